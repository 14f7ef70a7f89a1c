#!/bin/sh
# The acceptance table: run.sh FILE TRAIN... (h5ad files; FILE has obs/cell_type_label as in pbmc3k).
# SCMMGPT: the program (build/scmmgpt); KEY: the label column; SCMMGPT_MODEL: another bundle; OUT: folder for the full
# reports (JSON and tables; default eval-output). Prints figure, floor, interval, best baseline, and what missed its floor.
set -e
[ $# -ge 1 ] || { echo "usage: tests/eval/run.sh FILE TRAIN.h5ad[:KEY]..." >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
program=${SCMMGPT:-$here/../../build/scmmgpt}
key=${KEY:-cell_type_label}
out=${OUT:-eval-output}
file=$1
shift
mkdir -p "$out"
for f in "$@"; do
    set -- "$@" "--reference=$f"
    shift
done
[ $# -eq 0 ] || set -- "$@" --reference-labels "$here/baseline_labels.tsv"
report() { # name of the report, options
    name=$1
    shift
    "$program" eval "$file" --label-key "$key" --force --no-header-comments -o "$out/$name.tsv" "$@"
}
report annotate8 --tasks annotate --labels "$here/pbmc3k_8.tsv" --absent "$here/absent10.txt" "$@"
report annotate9 --tasks annotate --labels "$here/pbmc3k_9.tsv" "$@"
report retrieve --tasks retrieve --labels "$here/pbmc3k_9.tsv" --prompts "$here/prompts.tsv"
report held --tasks retrieve --labels "$here/pbmc3k_9.tsv" --prompts "$here/prompts_held.tsv"
report cluster --tasks cluster --labels "$here/pbmc3k_9.tsv"
report describe --tasks describe --labels "$here/pbmc3k_9.tsv" "$@"
report generate --tasks generate --labels "$here/pbmc3k_8.tsv" --generate-prompts "$here/generate_prompts.tsv" "$@"

refused=0 asked=0
while IFS= read -r prompt; do
    case $prompt in '' | '#'*) continue ;; esac
    asked=$((asked + 1))
    status=0
    "$program" query "$file" "$prompt" -q -o /dev/null --force >/dev/null 2>&1 || status=$?
    [ $status -ne 7 ] || refused=$((refused + 1))
done <<EOF
$(head -n "${NONSENSE:-20}" "$here/nonsense.tsv" | cut -f 1)
EOF

# table VARIANT-PATTERN MEASURE REPORT FLOOR|- [at-most]
row() {
    awk -F '\t' -v v="$2" -v m="$3" -v floor="$4" -v most="$5" -v title="$6" '
        $4 == m && ($3 ~ v) && !seen { seen = 1; value = $5; lo = $6; hi = $7; n = $8 }
        $4 == m && $2 == "baseline" && $5 != "" &&
            (best == "" || (most == "" ? $5 > best : $5 < best)) { best = $5; who = $3 }
        END {
            if (!seen) { printf "%-52s %s\n", title, "not measured"; exit }
            ok = floor == "-" ? "" : (most == "" ? (value >= floor) : (value <= floor)) ? "ok" : "MISSED"
            printf "%-52s %-9.4g", title, value
            printf " %-17s", lo == "" ? "" : sprintf("[%.3g, %.3g]", lo, hi)
            printf " n=%-6s %-8s %-7s", n, floor == "-" ? "" : (most == "" ? ">= " : "<= ") floor, ok
            if (best != "") printf " baseline %.4g (%s)", best, who
            printf "\n"
        }' "$out/$1.tsv"
}
echo "measure                                              value     95 % interval"
row annotate8 'default' accuracy 0.94 '' 'annotate, eight names: accuracy'
row annotate8 'default' macro_f1 0.92 '' 'annotate, eight names: macro-F1'
row annotate8 '^model alone' accuracy 0.90 '' '  model alone: accuracy'
row annotate8 '^model alone' macro_f1 - '' '  model alone: macro-F1'
row annotate8 '^markers alone' accuracy - '' '  markers alone: accuracy'
row annotate8 '^markers alone' macro_f1 - '' '  markers alone: macro-F1'
row annotate8 '^model \+ markers$' accuracy - '' '  model + markers: accuracy'
row annotate8 '^model \+ markers$' macro_f1 - '' '  model + markers: macro-F1'
row annotate8 'absent types' accuracy_cost 0.05 most 'ten absent types added: accuracy lost'
row annotate8 'default' ece 0.06 most 'calibration error (ECE)'
row annotate8 'default' unknown_auroc 0.90 '' 'a type left out is unknown: AUROC'
row annotate9 'default' accuracy 0.83 '' 'annotate, nine names: accuracy'
row annotate9 'default' macro_f1 - '' 'annotate, nine names: macro-F1'
row annotate9 '^model alone' accuracy - '' '  model alone: accuracy'
row retrieve '^query$' precision_at_n 0.70 '' 'prompts: mean precision@n'
row held '^query$' precision_at_n 0.70 '' 'prompts of the second list: mean precision@n'
row generate '^generate$' knn_acc.5 0.60 '' 'generate: k-NN (5) against real cells'
row generate '^shuffled' knn_acc.5 0.10 most '  shuffled prompts'
row generate '^generate$' diversity 0.7 '' '  diversity within a type (0.7 to 1.3)'
row generate '^generate$' diversity 1.3 most '  diversity within a type (0.7 to 1.3)'
row generate '^generate$' counts_median_ratio 0.75 '' '  median counts over real (0.75 to 1.25)'
row generate '^generate$' counts_median_ratio 1.25 most '  median counts over real (0.75 to 1.25)'
row generate '^generate$' genes_median_ratio 0.75 '' '  median genes over real (0.75 to 1.25)'
row generate '^generate$' genes_median_ratio 1.25 most '  median genes over real (0.75 to 1.25)'
row generate '^generate$' integer_counts 1 '' '  integer counts'
row generate '^generate$' training_cells_copied 0 most '  training cells copied'
row generate '^generate$' mmd - most '  MMD (squared)'
row generate '^generate$' emd - most '  EMD (sliced)'
row describe '^describe$' type_or_lineage_right 0.95 '' 'describe: type or lineage right'
row describe '^describe$' type_right - '' '  type right'
row describe '^describe$' all_genes_expressed 1 '' '  every gene named is expressed'
row describe '^describe$' repeats_a_gene 0 most '  texts that name a gene twice'
row describe '^describe$' function_fits_the_type - '' '  what it does fits the type it names'
row describe '^describe$' bleu2 - '' '  BLEU-2'
row describe '^describe$' rougeL - '' '  ROUGE-L'
row cluster '^X_scmmgpt$' ari - '' 'embedding: ARI (baseline PCA)'
row cluster '^X_scmmgpt$' nmi - '' 'embedding: NMI'
row cluster '^X_scmmgpt$' asw - '' 'embedding: ASW'
row cluster '^X_scmmgpt$' avgbio - '' 'embedding: avgbio'
echo "nonsense prompts refused: $refused of $asked"
