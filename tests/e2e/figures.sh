#!/bin/sh
# plot on the demo data: every kind and option gives what it says, whatever the threads, the time zone and the language;
# provenance is in each kind of file; mistakes are one line and leave nothing.
set -e
s=${SCMMGPT:-build/scmmgpt}
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
"$s" cluster assets/demo/immune_559.h5ad -o "$t/c.h5ad" -q
awk 'BEGIN { print "cell\tdonor" }' >"$t/donor.tsv"
"$s" expr "$t/c.h5ad" LYZ --no-header-comments -q -o "$t/lyz.tsv"
awk 'NR > 1 { print $1 "\t" (NR % 3 ? "donor A" : "donor B") }' "$t/lyz.tsv" >>"$t/donor.tsv"

# $1 name, the rest options
plot() {
    out=$t/$1
    shift
    "$s" plot "$t/c.h5ad" "$@" -o "$out" --force -q
}
# $1 file, $2 how often, $3 text in an SVG
has() {
    n=$(grep -c -- "$3" "$t/$1" || true)
    [ "$n" -eq "$2" ] || { echo "$1: '$3' $n times instead of $2"; exit 1; }
}
# $1 exit code, the rest a command: one line of error and no figure
refuses() {
    want=$1 code=0
    shift
    "$s" plot "$t/c.h5ad" "$@" -o "$t/no.png" -q 2>"$t/err" || code=$?
    [ $code -eq "$want" ] && [ "$(wc -l <"$t/err")" -eq 1 ] && [ ! -e "$t/no.png" ] || { echo "plot $*: $code $(cat "$t/err")"; exit 1; }
}

# the same bytes
for kind in png svg pdf; do
    plot a.$kind --color leiden --color CD3E --split-by leiden --threads 1 --strip-metadata
    mv "$t/a.$kind" "$t/b.$kind"
    LC_ALL=de_DE.UTF-8 LANG=tr_TR.UTF-8 TZ=Asia/Tokyo "$s" plot "$t/c.h5ad" --color leiden --color CD3E --split-by leiden --threads 3 \
        --strip-metadata -o "$t/a.$kind" -q
    cmp "$t/a.$kind" "$t/b.$kind"
done

# maps
plot m.svg --color CD3E --color LYZ
has m.svg 1 '>log1p CP10k<'
plot m.svg --color CD3E --color LYZ --free-scales
has m.svg 2 '>log1p CP10k<'
plot m.svg --color score:CD3E,CD3D --vcenter 0
has m.svg 1 '>0<'
plot m.svg --color CD3E --cells leiden=2 --split-by leiden
has m.svg 1 'coloured: leiden=2 (137 cells)'
has m.svg 1 '>CD3E, log1p CP10k<'
plot m.svg --color leiden --highlight 1,2 --simulate greyscale
has m.svg 0 '>0 ('
has m.svg 1 '>1 (153)<'
plot m.svg --groups "$t/donor.tsv" --color CD3E
has m.svg 1 '>donor B ('
has m.svg 1 '>CD3E<'
plot m.svg --color leiden --style poster --size slide --letters --frame full --ncols 1
has m.svg 1 'font-face'
plot m.pdf --color leiden --size square --transparent
plot m.png --color leiden --sidecar
grep -q '"kind":	"map"' "$t/m.json"
grep -aq 'scmmgpt plot' "$t/m.png"
grep -aq dataset_sha256 "$t/m.png"
plot m.png --color leiden --strip-metadata
if grep -aq 'scmmgpt plot' "$t/m.png"; then echo "m.png: not stripped"; exit 1; fi

# plots of groups
genes=CD3E,LYZ,MS4A1
for kind in dotplot matrix heatmap violin; do
    for file in k.svg k.png k.pdf; do
        plot $file --kind $kind --groupby leiden --genes $genes
    done
    plot k.svg --kind $kind --groupby leiden --genes $genes
    has k.svg 1 '>CD3E<'
done
plot k.svg --kind dotplot --groupby leiden --genes $genes --scale-genes
has k.svg 1 '>mean, 0'
plot k.svg --kind dotplot --markers 2 --groupby leiden --size slide
plot k.svg --kind violin --groupby leiden --color CD3E --cells 'LYZ>0'
has k.svg 1 'cells: LYZ&gt;0 ('
plot k.svg --kind histogram --color LYZ
has k.svg 1 'cells without the gene'
plot k.svg --kind histogram --color qc:mito --groupby leiden --highlight 1
has k.svg 1 '>1 (153)<'
has k.svg 0 '>2 (137)<'
plot k.svg --kind composition --groupby leiden --groups "$t/donor.tsv"
has k.svg 1 '>% of cells<'
plot k.svg --kind composition --groupby leiden --groups "$t/donor.tsv" --absolute --sidecar
has k.svg 1 '>cells<'
has k.svg 1 '>donor A ('
grep -q '"kind":	"composition"' "$t/k.json"

refuses 2 --kind pie
refuses 2 --kind histogram
refuses 2 --kind violin --markers 2 --genes CD3E
refuses 2 --color leiden --size 1mm
refuses 2 --color CD3E --vmin 5 --vmax 1
refuses 7 --color nothing_of_that_name
refuses 7 --color leiden --highlight 99
refuses 7 --color leiden --cells leiden=99
refuses 7 --color leiden --cells 'CD3E>999999'
refuses 7 --kind violin --groupby leiden --genes CD3E --cells 'CD3E>999999'
