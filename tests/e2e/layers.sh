#!/bin/sh
# The house: includes go tui -> views -> core <- gpu; inside core from higher folders to lower ones; each outside
# library is included in one place; the top level holds what it should.
cd "$(dirname "$0")/../.." || exit 1
bad=0
complain() {
    echo "$1"
    bad=1
}

# $1 folder, then the folders it may include from
may() {
    from=$1
    shift
    allowed=$(printf '%s|' "$from" "$@")
    hits=$(grep -rnE '^#include "' "$from" --include='*.c' --include='*.h' --include='*.cu' --include='*.cuh' |
        grep -vE "^[^:]+:[0-9]+:#include \"(${allowed%|})/")
    [ -z "$hits" ] || complain "$from includes against the direction:
$hits"
}
base=core/base
device="$base core/device"
data="$base core/data"
analysis="$data core/analysis"
nn="$device core/nn"
model="$analysis $nn core/model"
train="$model core/train"
eval="$train core/eval"
may core/base
may core/device $base
may core/data $base
may core/analysis $data $device
may core/nn $device $data core/analysis
may core/model $model core/nn
may core/train $train
may core/eval $eval
may core/figure $base core/analysis
may core/session $eval core/figure
may gpu $device
may views core views
may tui views core

# $1 pattern of the header, $2 where it may be
only() {
    hits=$(grep -rnE "^#include <($1)" core gpu views tui | grep -vE "^($2)")
    [ -z "$hits" ] || complain "<$1> outside $2:
$hits"
}
only 'hdf5' 'core/data/h5'
only 'igraph' 'core/analysis/leiden'
only 'cairo|png\.h' 'core/figure/'
only '(n?curses|ncursesw/)' 'tui/'
only 'readline/' 'tui/prompt'
only '(oneapi/dnnl|dnnl)' 'gpu/cpu/|core/analysis/linalg'
only '(cuda|cublas)' 'gpu/cuda/'
only '(lapacke|cblas)' 'core/analysis/|core/train/|core/model/'

want="LICENSE Makefile README.md assets core gpu tests tui views"
have=$(git ls-files 2>/dev/null | cut -d/ -f1 | grep -v '^\.' | sort -u | tr '\n' ' ')
[ -z "$have" ] || [ "$have" = "$(printf '%s\n' $want | sort | tr '\n' ' ')" ] || complain "top level: $have"
for d in tui core gpu views assets tests; do
    [ -e "$d/README.md" ] || complain "$d/README.md is missing"
done
exit $bad
