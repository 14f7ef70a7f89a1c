#!/bin/sh
# Opening, plotting and looking at a gene of files with 2,638, 68,000 (plain, gzip) and a million cells beside Python's anndata and
# scanpy. Makes the files in BENCH_DATA (default build/bench, 9 GB) when they are not there; without Python's h5py and numpy
# it says so and ends. CELLS: sizes (default "2638 68000 68000:gzip 1000000"). SCMMGPT: the program; PYTHON: an interpreter;
# THREADS, CORES: of both.
here=$(cd "$(dirname "$0")" && pwd)
program=${SCMMGPT:-$here/../../build/scmmgpt}
python=${PYTHON:-python3}
data=${BENCH_DATA:-$here/../../build/bench}
[ -x "$program" ] || { echo "$program is missing: run make first" >&2; exit 1; }
"$python" -c 'import h5py, numpy' 2>/dev/null || { echo "== large files: $python has no h5py and numpy, skipped"; exit 0; }
"$python" -c 'import anndata, scanpy' 2>/dev/null || { echo "== anndata and scanpy are missing: without peers"; PEERS=0; export PEERS; }
[ -x /usr/bin/time ] || { echo "== large files: GNU time is missing (Debian: time), skipped"; exit 0; }
mkdir -p "$data"
set --
for c in ${CELLS:-2638 68000 68000:gzip 1000000}; do
    f=$data/cells_$(echo "$c" | tr : _).h5ad
    [ -s "$f" ] || { "$python" "$here/make_cells.py" "${c%%:*}" "$f.part" "${c#*:}" && mv "$f.part" "$f"; } || exit 1
    set -- "$@" "$f=$(echo "$c" | tr : ' ') cells"
done
pin=
command -v taskset >/dev/null 2>&1 && pin="taskset -c ${CORES:-0,1}"
$pin "$python" "$here/large.py" "$program" "$@"
