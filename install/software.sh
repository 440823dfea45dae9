#!/bin/sh
# Makes the workers' software area: software.sh DIRECTORY
# One environment per program and version, as a site's shared area has them; none of it is in the stack's environment.
set -eu
mkdir -p "$1"
area=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
sh "$here/install/environment.sh" "$area/ctapipe-0.28" "$here/requirements/ctapipe-0.28.txt"
tools="$here/software"
stamp="$area/ctapipe-0.28/.tools"
wanted=$(find "$tools/src" "$tools/pyproject.toml" -name '*.py' -o -name pyproject.toml | sort | xargs cat | sha256sum | cut -d' ' -f1)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "Worker tools into $area/ctapipe-0.28 ..."
    "$area/ctapipe-0.28/bin/python" -m pip --disable-pip-version-check -qq install --no-deps --no-build-isolation --force-reinstall "$tools"
    printf '%s' "$wanted" > "$stamp"
fi

# ctapipe compiles parts of itself with numba at first use: 40 s, once per cache. The cache is filled here, by the user who
# will run the jobs (numba ignores a cache that it may not write to), on a few events; which also proves the installation.
cache="$area/numba-cache"
if [ ! -f "$cache/.filled" ] || [ "$cache/.filled" -ot "$area/ctapipe-0.28/.installed" ]; then
    echo "Filling the compiler's cache of $area/ctapipe-0.28 (once) ..."
    mkdir -p "$cache"
    as=""
    if [ "$(id -u)" -eq 0 ]; then
        id ctarucio > /dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ctarucio
        chown ctarucio: "$cache"
        as="setpriv --reuid=ctarucio --regid=ctarucio --init-groups"
        # a checkout below a closed directory, such as /root: the right to read, as the stack has it
        $as test -r "$here/install/try-ctapipe.sh" ||
            as="$as --inh-caps=+dac_read_search --ambient-caps=+dac_read_search --securebits=+no_setuid_fixup"
    fi
    NUMBA_CACHE_DIR=$cache PATH="$area/ctapipe-0.28/bin:$PATH" $as sh "$here/install/try-ctapipe.sh" "$here/Workflow/config/dl0-to-dl2.yaml"
    : > "$cache/.filled"
fi
