#!/bin/sh
# Speed beside other programs on the same file and the same number of cores: scmmgpt bench, then the peers in Python that
# are there (scanpy for reading, clustering, markers; torch for an encoder of the same size). What is missing is said
# and left out. SCMMGPT: the program; FILE: an h5ad with counts (default: the demo); PYTHON: an interpreter with the peers.
here=$(cd "$(dirname "$0")" && pwd)
program=${SCMMGPT:-$here/../../build/scmmgpt}
file=${FILE:-$here/../../assets/demo/immune_559.h5ad}
python=${PYTHON:-python3}
threads=${THREADS:-2}
[ -x "$program" ] || { echo "$program is missing: run make first" >&2; exit 1; }
echo "== scmmgpt, $threads threads: $file"
OMP_NUM_THREADS=$threads "$program" bench "$file" -q --threads "$threads" || exit $?
command -v "$python" >/dev/null 2>&1 || { echo "== peers: no $python here, skipped"; exit 0; }
OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads MKL_NUM_THREADS=$threads NUMBA_NUM_THREADS=$threads \
    "$python" "$here/peers.py" "$file" "$threads"
