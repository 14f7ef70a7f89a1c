#!/bin/sh
# The spread over training seeds: spread.sh DIR... with the report folders (OUT) that run.sh wrote for several models.
# Prints mean, least and largest of every figure of the program itself.
[ $# -ge 2 ] || { echo "usage: tests/eval/spread.sh DIR DIR..." >&2; exit 2; }
for d in "$@"; do
    for f in "$d"/*.tsv; do
        awk -F '\t' -v name="$(basename "$f" .tsv)" '$2 == "model" || $2 == "variant" {
            if ($5 != "") print name "\t" $3 "\t" $4 "\t" $5 }' "$f"
    done
done | awk -F '\t' -v dirs=$# '
    { k = $1 "\t" $2 "\t" $3
      if (!(k in n)) { order[++keys] = k; lo[k] = hi[k] = $4 }
      n[k]++; sum[k] += $4
      if ($4 < lo[k]) lo[k] = $4
      if ($4 > hi[k]) hi[k] = $4 }
    END {
        print "report\tvariant\tmeasure\tmean\tleast\tlargest\tmodels"
        for (i = 1; i <= keys; i++) { k = order[i]; printf "%s\t%.4g\t%s\t%s\t%d\n", k, sum[k] / n[k], lo[k], hi[k], n[k] }
    }'
