#!/bin/sh
# eval and bench as a person runs them: keys of the contract, tables, exit codes, nothing left behind on failure.
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
cd "$(dirname "$0")/../.." || exit 1
program=${SCMMGPT:-build/scmmgpt}
fail() {
    echo "FAILED: $1"
    exit 1
}
data=assets/demo/immune_559.h5ad
# The demo has no labels: its clusters stand for some, right or not, since only the form is looked at.
"$program" cluster "$data" -o "$out/demo.h5ad" --no-umap -q || fail "cluster"
printf '0\tT cell\n1\tclassical monocyte\n2\tB cell\n' >"$out/map.tsv"
"$program" eval "$out/demo.h5ad" --label-key leiden --tasks annotate,cluster,retrieve --labels "$out/map.tsv" --json -q \
    -o "$out/e.json" || fail "eval"
for key in provenance annotate accuracy macro_f1 weighted_f1 ece unknown_auroc cluster ari nmi asw avgbio retrieve \
    precision_at_n baseline '"low"' '"high"' '"n"' 'model alone' 'markers alone' PCA confusion; do
    grep -q "$key" "$out/e.json" || fail "no $key in the JSON"
done
"$program" eval "$out/demo.h5ad" --label-key leiden --tasks cluster -q -o "$out/e.tsv" || fail "eval as a table"
grep -q "^task	kind	variant	measure	value	low	high	n$" "$out/e.tsv" || fail "the table's header"
grep -q "^cluster	baseline	PCA	ari	" "$out/e.tsv" || fail "the baseline's row"

expect() { # code, words that the one line holds, arguments
    code=$1 words=$2
    shift 2
    "$program" "$@" -q >"$out/o" 2>"$out/err"
    status=$?
    [ $status -eq "$code" ] || fail "'$*' exits $status, not $code"
    [ "$(wc -l <"$out/err")" -eq 1 ] || fail "'$*' does not say one line: $(cat "$out/err")"
    grep -q -- "$words" "$out/err" || fail "'$*' says: $(cat "$out/err")"
}
expect 2 'label-key' eval "$out/demo.h5ad"
expect 2 "none of annotate" eval "$out/demo.h5ad" --label-key leiden --tasks paint
expect 7 'nope' eval "$out/demo.h5ad" --label-key nope
expect 3 'missing.tsv' eval "$out/demo.h5ad" --label-key leiden --labels "$out/missing.tsv"
expect 3 'missing.h5ad' eval "$out/demo.h5ad" --label-key leiden --tasks cluster --reference "$out/missing.h5ad" -o "$out/never.tsv"
[ ! -e "$out/never.tsv" ] || fail "a failed run left a file"
expect 4 'bundle' eval "$out/demo.h5ad" --label-key leiden --model "$out"
"$program" bench --parts open,load --runs 1 --json -q >"$out/b.json" || fail "bench"
grep -q '"load"' "$out/b.json" && grep -q '"threads"' "$out/b.json" || fail "bench's JSON"
