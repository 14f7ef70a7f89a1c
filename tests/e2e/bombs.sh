#!/bin/sh
# Files that unpack to much more than they are: an answer in one line, without unpacking them.
set -e
s=${SCMMGPT:-build/scmmgpt}
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
mkdir "$t/line" "$t/names"
table() { printf '%%%%MatrixMarket matrix coordinate integer general\n3 3 1\n1 1 1\n'; }
ones() { head -c 100000000 /dev/zero | tr '\0' 1; }
{ table | head -2; ones; } | gzip -1 >"$t/line/matrix.mtx.gz"
table | gzip >"$t/names/matrix.mtx.gz"
ones | gzip -1 >"$t/names/barcodes.tsv.gz"
printf 'A\nB\nC\n' | gzip | tee "$t/line/barcodes.tsv.gz" "$t/line/features.tsv.gz" >"$t/names/features.tsv.gz"
for what in line/matrix.mtx.gz names/barcodes.tsv.gz; do
    code=0
    "$s" info "$t/${what%/*}" >/dev/null 2>"$t/err" || code=$?
    [ "$code" -eq 3 ] || { echo "$what: exit code $code"; cat "$t/err"; exit 1; }
    grep -q "$what: line . is longer than 16 MB" "$t/err" && [ "$(wc -l <"$t/err")" -eq 1 ] || { cat "$t/err"; exit 1; }
done
