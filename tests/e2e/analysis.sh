#!/bin/sh
# cluster, markers, de, qc on the demo data: files appear, tables have their columns, one seed gives one answer.
set -e
s=${SCMMGPT:-build/scmmgpt}
data=assets/demo/immune_559.h5ad
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
"$s" cluster "$data" -o "$t/a.h5ad" -q --resolution 0.8 --threads 1
"$s" cluster "$data" -o "$t/b.h5ad" -q --resolution 0.8 --threads 3
"$s" info "$t/a.h5ad" | grep -q X_umap
"$s" markers "$t/a.h5ad" --groupby leiden --top 5 --no-header-comments -q -o "$t/a.tsv"
"$s" markers "$t/b.h5ad" --groupby leiden --top 5 --no-header-comments -q -o "$t/b.tsv"
cmp "$t/a.tsv" "$t/b.tsv" # the same clusters at any number of threads
head -1 "$t/a.tsv" | grep -q "^group.gene.score.logfoldchange.pval.pval_adj.frac_in.frac_out$"
"$s" de "$t/a.h5ad" --a leiden=0 --b leiden=1 --method t-test --top 3 -q -o "$t/de.tsv"
[ "$(grep -vc '^#' "$t/de.tsv")" -eq 4 ]
"$s" qc "$data" -q -o "$t/qc.tsv"
[ "$(grep -vc '^#' "$t/qc.tsv")" -eq 560 ]
code=0
"$s" cluster "$data" -q 2>"$t/err" || code=$?
[ $code -eq 2 ]
[ "$(wc -l <"$t/err")" -eq 1 ]
code=0
"$s" markers "$data" --groupby nothing -q 2>"$t/err" || code=$?
[ $code -eq 7 ]
