#!/bin/sh
# Runs every test program of a build folder and every tests/e2e script; the last line is "N passed, N failed".
build=${1:-build}
passed=0 failed=0
# Threads that wait sleep soon: on shared cores spinning ones starve those that work.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000}
# What libraries keep until the process ends is no leak of ours.
export LSAN_OPTIONS=suppressions=$(pwd)/tests/lsan.supp:print_suppressions=0
log=$build/tests/log
mkdir -p "$log"
for t in "$build"/tests/test_*; do
    [ -f "$t" ] && [ -x "$t" ] || continue
    name=$(basename "$t")
    case $name in *.o | *.d) continue ;; esac
    "$t" >"$log/$name.txt" 2>&1
    status=$?
    p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log/$name.txt" | awk '{s+=$1}END{print s+0}')
    f=$(grep '^\[  FAILED  \] [A-Za-z_]' "$log/$name.txt" | sort -u | wc -l)
    if [ $status -ne 0 ]; then
        [ "$f" -gt 0 ] || f=1
        echo "--- $name (exit $status)"
        grep -v '^\[ *\(RUN\|OK\)' "$log/$name.txt" | tail -40
    fi
    passed=$((passed + p)) failed=$((failed + f))
    printf '%-28s %4d passed %s\n' "$name" "$p" "$([ "$f" -gt 0 ] && echo "$f failed")"
done
for t in tests/e2e/*.sh; do
    [ -f "$t" ] || continue
    name=$(basename "$t")
    if SCMMGPT="$build/scmmgpt" sh "$t" >"$log/$name.txt" 2>&1; then
        passed=$((passed + 1))
        printf '%-28s    1 passed\n' "$name"
    else
        failed=$((failed + 1))
        echo "--- $name"
        tail -40 "$log/$name.txt"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
