#!/bin/sh
# For a person with an NVIDIA GPU: every operation beside the CPU, the program end to end on the GPU beside the CPU, and how
# much faster it is. `make test-gpu` builds what is needed and runs this; the last line is the result.
SCMMGPT=${SCMMGPT:-build/scmmgpt}
build=$(dirname "$SCMMGPT")
scale=${SCALE:-1} # of the sizes that are timed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
passed=0 failed=0

check() { # NAME COMMAND...: passes when the command does
    name=$1
    shift
    if "$@" >"$work/log" 2>&1 && ! grep -q SKIPPED "$work/log"; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        tail -20 "$work/log" | sed 's/^/        /'
    fi
}
finish() {
    if [ $failed -eq 0 ]; then
        echo "GPU works: $passed checks passed"
    else
        echo "GPU does not work: $failed of $((passed + failed)) checks failed"
        exit 1
    fi
}

demo=assets/demo/immune_559.h5ad
check "the program finds the GPU" "$SCMMGPT" annotate $demo -o "$work/found.tsv" --device cuda
[ $failed -eq 0 ] || finish # nothing else can
check "every operation agrees with the CPU" "$build/tests/test_device"
check "components, neighbours and maps agree with the CPU" "$build/tests/test_gpu"

# The program's answers on both.
for device in cpu cuda; do
    "$SCMMGPT" annotate $demo -o "$work/annotate.$device" --device $device --no-header-comments --force >/dev/null 2>&1
    "$SCMMGPT" cluster $demo -o "$work/cluster.$device.h5ad" --device $device --force >"$work/cluster.$device" 2>/dev/null
    "$SCMMGPT" describe $demo --cells all -n 5 --device $device 2>/dev/null | grep -v '^#' >"$work/describe.$device"
done
same_names() { # the label's column; cells between two names may fall on either side
    paste "$work/annotate.cpu" "$work/annotate.cuda" | awk -F'\t' '
        NR == 1 { columns = NF / 2 }
        NR > 1 { same += $1 == $(1 + columns) && $2 == $(2 + columns) }
        END { print same + 0, "of", NR - 1; exit !(NR > 500 && same >= 0.99 * (NR - 1)) }'
}
check "annotate gives cells the same names" same_names
check "cluster finds the same clusters" cmp "$work/cluster.cpu" "$work/cluster.cuda"
check "describe writes text" [ -s "$work/describe.cuda" ]
check "generate runs" "$SCMMGPT" generate "plasma cells" -n 20 -o "$work/made.h5ad" --device cuda

echo
"$build/tests/bench/gpu" "$scale"
for device in cpu cuda; do
    start=$(date +%s%N)
    "$SCMMGPT" embed $demo -o "$work/embed.$device.h5ad" --device $device --force >/dev/null 2>&1
    echo "embed, whole program, 559 cells, $device: $((($(date +%s%N) - start) / 1000000)) ms"
done
echo
finish
