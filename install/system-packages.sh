#!/bin/sh
# Installs the Debian packages that the stack needs, and says which and why. Does nothing when they are all there.
set -eu

need() { # package, what for
    dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $1"
    [ -z "${LIST:-}" ] || printf '  %-26s %s\n' "$1" "$2"
}

check() {
    missing=""
    need python3-venv             "the environment's Python (Debian's 3.11, for which gfal2 is built)"
    need python3-dev              "headers, to build M2Crypto"
    need build-essential          "compiler: M2Crypto, XRootD plug-ins of the testbed"
    need swig                     "M2Crypto"
    need libssl-dev               "M2Crypto"
    need libmariadb-dev           "mysqlclient (DIRAC's databases)"
    need pkg-config               "mysqlclient"
    need python3-gfal2            "gfal2's Python module (the PyPI one does not build on Debian 12)"
    need gfal2-plugin-xrootd      "root:// transfers"
    need gfal2-plugin-http        "davs:// transfers"
    need gfal2-plugin-file        "local files in gfal2"
    need postgresql-15            "Rucio's database"
    need mariadb-server           "DIRAC's databases"
    need xrootd-server            "storage"
    need xrootd-server-plugins    "HTTP, prepare interface, authorisation of the storage"
    need xrootd-plugins           "GSI for XRootD"
    need xrootd-client            "xrdcp, xrdfs"
    need xrootd-client-plugins    "root:// client of gfal2"
    need voms-clients             "voms-proxy-info"
    need openssl                  "certificates"
    need util-linux               "setpriv"
    need procps                   "ps, for DIRAC's job agent"
}

if [ "${1:-}" = "--list" ]; then
    LIST=1 check
    exit 0
fi
check
if [ -z "$missing" ]; then
    echo "System packages: all there."
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "System packages are missing:$missing" >&2
    echo "Install them as root:  apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "Installing system packages:$missing"
# Debian starts a server on installation; the stack brings its own, on its own ports, so none is started here.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
fi
export DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] || printf 'create_main_cluster = false\n' > /etc/postgresql-common/createcluster.conf
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing > /dev/null
check
if [ -n "$missing" ]; then
    echo "apt-get succeeded, but these packages are still missing:$missing" >&2
    exit 1
fi
