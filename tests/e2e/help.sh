#!/bin/sh
# Every option that a command's source takes is explained by some command's --help.
cd "$(dirname "$0")/../.." || exit 1
program=${SCMMGPT:-build/scmmgpt}
all=$("$program" help | awk 'NF && /^  [a-z]/ {print $1}' | while read -r c; do "$program" "$c" --help; done; "$program" help)
missing=0
for o in $(grep -ho 'cli_take_[a-z]*(a, "-[-a-z]*"' tui/cli_*.c | sed 's/.*"\(-[-a-z]*\)"/\1/' | sort -u); do
    printf '%s\n' "$all" | grep -q -e "$o\b" || { echo "no help for $o"; missing=1; }
done
exit $missing
