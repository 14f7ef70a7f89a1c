#!/bin/sh
# The kernels with the instructions of lesser processors, and bf16 products through oneDNN where it has them: the same
# goldens and bounds hold. (test_quant goes through the tiers itself; what the compiler makes of plain C for each
# processor is not chosen by this.)
tests=$(dirname "${SCMMGPT:-build/scmmgpt}")/tests
log=$(mktemp)
trap 'rm -f "$log"' EXIT
check() {
    setting=$1
    shift
    for t in "$@"; do
        env "$setting" "$tests/$t" >"$log" 2>&1 || { echo "$setting $t"; tail -20 "$log"; exit 1; }
    done
}
for tier in plain avx2 avx512; do
    check SCMMGPT_CPU_TIER=$tier test_params test_kvcache test_nn_golden
done
check SCMMGPT_CPU_TIER=avx2 test_device
check SCMMGPT_CPU_BF16=1 test_quant
