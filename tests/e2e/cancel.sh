#!/bin/sh
# Ctrl-C while a command waits for something that nothing interrupts: it ends with 130, one line, and leaves no file.
program=${SCMMGPT:-build/scmmgpt}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cells=$work/cells
mkdir "$cells" "$work/out"
printf 'E1\tCD3E\nE2\tMS4A1\n' >"$cells/features.tsv"
printf 'A\nB\nC\n' >"$cells/barcodes.tsv"
mkfifo "$cells/matrix.mtx" # whoever reads it waits for us

setsid "$program" convert "$cells" -o "$work/out/c.h5ad" 2>"$work/err" &
pid=$!
# The first reading, for a look at the values. The second one, for the matrix, begins when the output has; nobody writes.
printf '%%%%MatrixMarket matrix coordinate integer general\n2 3 0\n' >"$cells/matrix.mtx"
tries=0
while [ "$(find "$work/out" -type f | wc -l)" = 0 ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo "no output is begun"; cat "$work/err"; exit 1; }
    sleep 0.1
done
kill -INT $pid
wait $pid
code=$?
[ $code = 130 ] || { echo "exit code $code"; cat "$work/err"; exit 1; }
[ "$(cat "$work/err")" = "scmmgpt: $cells: cancelled" ] || { echo "stderr:"; cat "$work/err"; exit 1; }
[ "$(find "$work/out" -type f | wc -l)" = 0 ] || { echo "left:"; ls -A "$work/out"; exit 1; }
