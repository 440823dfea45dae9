#!/bin/sh
# Makes the workers' software area: software.sh DIRECTORY
# One environment per program and version, as a site's shared area has them; none of it is in the stack's environment.
set -eu
area=$1
here=$(cd "$(dirname "$0")/.." && pwd)
sh "$here/install/environment.sh" "$area/ctapipe-0.28" "$here/requirements/ctapipe-0.28.txt"
tools="$here/software"
stamp="$area/ctapipe-0.28/.tools"
wanted=$(find "$tools" -name '*.py' -o -name pyproject.toml | sort | xargs cat | sha256sum | cut -d' ' -f1)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "Worker tools into $area/ctapipe-0.28 ..."
    "$area/ctapipe-0.28/bin/python" -m pip --disable-pip-version-check -q install --no-deps --no-build-isolation --force-reinstall "$tools"
    printf '%s' "$wanted" > "$stamp"
fi
