#!/bin/sh
# Installs the Debian packages named in the arguments that are not there yet; asks for sudo only if something is missing.
missing=
for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
command -v apt-get >/dev/null || { echo "not a Debian system: install the equivalents of:$missing" >&2; exit 1; }
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "run as root, or install:$missing" >&2; exit 1; }
    as_root=sudo
fi
echo "installing:$missing" >&2
$as_root apt-get update -qq >&2
DEBIAN_FRONTEND=noninteractive exec $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
