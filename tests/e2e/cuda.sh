#!/bin/sh
# The CUDA kernels on the emulated GPU of tests/cuda: every operation agrees with the CPU, twice the same in two orders of
# threads; the analysis where memory takes one block of values at a time; too little memory is said with the way out.
set -e
build=$(dirname "$SCMMGPT")
[ -f "$build/emulated/device_cuda.so" ] || { echo "no emulated GPU in this build"; exit 0; }
export SCMMGPT_PLUGIN_DIR=$build/emulated
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache

ran() { # a test program, and that it had a GPU
    if ! "$@" >"$work/log" 2>&1 || grep SKIPPED "$work/log"; then
        cat "$work/log"
        exit 1
    fi
}
TEST_ONLY=the_gpu_agrees_with_the_cpu ran "$build/tests/test_device"
EMULATED_KB=1500 ran "$build/tests/test_gpu"

status=0
EMULATED_KB=100 "$SCMMGPT" cluster assets/demo/immune_559.h5ad -o "$work/out.h5ad" --device cuda 2>"$work/log" || status=$?
cat "$work/log"
[ $status -eq 5 ] && grep -q -- '--device cpu$' "$work/log" && [ ! -e "$work/out.h5ad" ]
