/* The feature tables of 10x outputs (.h5 and mtx folders): the filter by feature type and genome.
 * Private to core/data. */
#ifndef SCMM_DATA_FEATURES_H
#define SCMM_DATA_FEATURES_H
#include "core/data/dataset_impl.h"

typedef struct FeatureColumn {
    char *name, **texts;
} FeatureColumn;

/* Arrays of n texts; all but names may be NULL. */
typedef struct Features {
    size_t n;
    char **names, **ids, **types, **genomes;
    const char *names_from;
    FeatureColumn *more; /* what else is said of them: probe ids, patterns of barcodes */
    size_t n_more;
} Features;

void features_done(Features *f);
/* Fills d->var with the features that pass the filter and *keep with the column map (NULL when all
 * pass); warns about the types left out; fails with ERR_USAGE when nothing passes or a genome must
 * be chosen. */
CHECKED Err features_settle(Dataset *d, const Features *f, const DatasetOptions *opt,
                            int32_t **keep);
/* With d->genomes filled: is the choice made, and is it one of them? */
CHECKED Err features_check_genome(Dataset *d, const DatasetOptions *opt);
#endif
