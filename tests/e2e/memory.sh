#!/bin/sh
# --max-memory: every command that works on values stops with 5, one line and no output when it is too little, and keeps
# below it otherwise.
set -e
s=${SCMMGPT:-build/scmmgpt}
data=assets/demo/immune_559.h5ad
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
refused() {
    code=0
    "$s" "$@" -q --max-memory 12M -o "$t/out.h5ad" >"$t/stdout" 2>"$t/err" || code=$?
    [ $code -eq 5 ] || { echo "$1: exit $code" >&2; cat "$t/err" >&2; exit 1; }
    [ "$(wc -l <"$t/err")" -eq 1 ]
    [ ! -e "$t/out.h5ad" ]
}
refused cluster "$data"
"$s" cluster "$data" -q --max-memory 2G -o "$t/c.h5ad"
clustered=$t/c.h5ad
refused markers "$clustered" --groupby leiden
refused de "$clustered" --a leiden=0 --b leiden=1
refused qc "$data"
refused convert "$data"
refused expr "$data" CD3E --lognorm
refused embed "$data"
refused annotate "$data"
refused describe "$clustered" --cells leiden=0 -n 1
refused query "$data" "cells that make antibodies"
refused generate "plasma cells" -n 2
refused eval "$clustered" --label-key leiden
