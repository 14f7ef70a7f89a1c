#!/bin/sh
# The encoders beside PyTorch, in one run on the same two cores: a scGPT of published size (12 layers, 512 wide, 600 genes,
# 8 cells; random weights: speed does not depend on them), and sentences through MiniLM, start included. Then the same with
# two busy processes on the same cores. CORES, THREADS, PYTHON (an interpreter with torch and sentence-transformers) from outside.
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
program=${SCMMGPT:-$top/build/scmmgpt}
ours=$(dirname "$program")/tests/bench/encoder
python=${PYTHON:-python3}
threads=${THREADS:-2}
[ -x "$ours" ] || { echo "$ours is missing: make bench builds it" >&2; exit 1; }
pin=
command -v taskset >/dev/null 2>&1 && pin="taskset -c ${CORES:-0,1}"
work=$(mktemp -d)
busy=
trap 'kill $busy 2>/dev/null; rm -rf "$work"' EXIT
export OMP_NUM_THREADS=$threads MKL_NUM_THREADS=$threads TOKENIZERS_PARALLELISM=true
export GOMP_SPINCOUNT=1000 # as the program sets it: spin briefly, then sleep
value() { awk -v k="$2" '$1 == k { print $2 }' "$1"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a > 0 && b > 0) printf "%.2f x", a / b; else printf "-" }'; }
seconds() { date +%s.%N; }
peers() { "$python" -c "import $1" >/dev/null 2>&1; }

echo "== $threads threads${pin:+ on cores ${CORES:-0,1}}, load $(cut -d' ' -f1-3 /proc/loadavg)"
$pin "$ours" cell 600 8 >"$work/cell"
if peers torch; then
    $pin env -u GOMP_SPINCOUNT "$python" "$here/encoder.py" cell 600 8 "$threads" >"$work/torch"
    $pin "$ours" cell 600 8 >"$work/again" # the machine may not be ours alone: before and after the peer
else
    echo "== no torch in $python: peers left out"
fi
touch "$work/torch" "$work/again"
best() { sort -k2 -g "$work/cell" "$work/again" | awk -v k="$1" '$1 == k { v = $2 } END { print v }'; }
f32=$(best float32) bf16=$(best bf16) x3=$(best bf16x3)
echo "scGPT size, cells/s	ours	torch	ratio"
echo "float32	$f32	$(value "$work/torch" float32)	$(ratio "$f32" "$(value "$work/torch" float32)")"
echo "float32 as three bf16 products (where there is AMX; else float32)	$x3	$(value "$work/torch" float32)	$(ratio "$x3" "$(value "$work/torch" float32)")"
echo "16-bit weights (PyTorch: bf16), error $(value "$work/cell" bf16-error) of a unit	$bf16	$(value "$work/torch" bf16)	$(ratio "$bf16" "$(value "$work/torch" bf16)")"
echo "float32 against torch's bf16	$f32	$(value "$work/torch" bf16)	$(ratio "$f32" "$(value "$work/torch" bf16)")"
echo "float32, lengths 60 to 600 (padding is not computed)	$(best mixed-lengths); 16-bit weights $(best bf16-mixed-lengths)"

grep -ho '"[^"]\{20,\}"' "$top"/assets/celltypes/*.json | tr -d '"' | head -1000 >"$work/lines"
from=$(seconds)
VECTORS=$work/vectors $pin "$ours" text "$top/assets/model/mini-1" "$work/lines" >"$work/text"
whole=$(awk -v a="$from" -v b="$(seconds)" -v n="$(wc -l <"$work/lines")" 'BEGIN { printf "%.4g", n / (b - a) }')
peers transformers && COMPARE=$work/vectors $pin env -u GOMP_SPINCOUNT "$python" "$here/encoder.py" text "$work/lines" "$threads" \
    >"$work/peer" 2>/dev/null
touch "$work/peer"
echo "MiniLM, $(wc -l <"$work/lines") sentences, sentences/s	ours	$(value "$work/peer" peer)	ratio"
echo "without start	$(value "$work/text" texts)	$(value "$work/peer" texts)	$(ratio "$(value "$work/text" texts)" "$(value "$work/peer" texts)")"
echo "start included	$whole	$(value "$work/peer" texts-and-start)	$(ratio "$whole" "$(value "$work/peer" texts-and-start)")"
echo "least cosine with the peer's vectors (ours are stored in 8 bits)	$(value "$work/peer" cosine)"

for i in 1 2; do
    $pin sh -c 'while :; do :; done' &
    busy="$busy $!"
done
$pin "$ours" cell 600 8 >"$work/loaded"
if [ -s "$work/torch" ]; then
    $pin env -u GOMP_SPINCOUNT "$python" "$here/encoder.py" cell 600 8 "$threads" >"$work/torch2"
fi
touch "$work/torch2"
kill $busy
busy=
echo "two busy processes on the same cores, cells/s	ours	torch	ratio"
echo "float32	$(value "$work/loaded" float32)	$(value "$work/torch2" float32)	$(ratio "$(value "$work/loaded" float32)" "$(value "$work/torch2" float32)")"
echo "share of the speed alone	$(ratio "$(value "$work/loaded" float32)" "$f32")	$(ratio "$(value "$work/torch2" float32)" "$(value "$work/torch" float32)")"
