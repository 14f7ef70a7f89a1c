/* Filtering 10x features. */
#include "core/data/features.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"

void features_done(Features *f)
{
    strings_free(f->names, f->n);
    strings_free(f->ids, f->n);
    strings_free(f->types, f->n);
    strings_free(f->genomes, f->n);
    for (size_t i = 0; i < f->n_more; i++) {
        free(f->more[i].name);
        strings_free(f->more[i].texts, f->n);
    }
    free(f->more);
    *f = (Features){0};
}

/* Distinct texts in order of appearance, at most 32. */
static char **distinct(char *const *texts, size_t n, size_t *count)
{
    enum { MOST = 32 };
    char **out = mem_must(MOST * sizeof *out);
    *count = 0;
    StrMap *seen = strmap_new(MOST);
    for (size_t i = 0; i < n && *count < MOST; i++)
        if (*texts[i] && strmap_put(seen, texts[i], 0))
            out[(*count)++] = mem_strdup(texts[i]);
    strmap_free(seen);
    return out;
}

static void join(Str *s, char *const *texts, size_t n, const char *except)
{
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (except && strcmp(texts[i], except) == 0)
            continue;
        str_addf(s, "%s%s", first ? "" : ", ", texts[i]);
        first = false;
    }
}

Err features_check_genome(Dataset *d, const DatasetOptions *opt)
{
    const char *genome = opt ? opt->genome : NULL;
    if (!genome && (d->n_genomes < 2 || (opt && opt->any_genome)))
        return OK;
    for (size_t i = 0; genome && i < d->n_genomes; i++)
        if (strcmp(d->genomes[i], genome) == 0)
            return OK;
    if (genome && !d->n_genomes)
        FAIL(ERR_USAGE, "--genome %s: the file does not name a genome", genome);
    Str s = {0};
    join(&s, d->genomes, d->n_genomes, NULL);
    Err err =
        genome
            ? err_set(ERR_USAGE, "--genome %s: no such genome; there are: %s", genome, str_text(&s))
            : err_set(ERR_USAGE, "holds several genomes: %s; choose one with --genome NAME",
                      str_text(&s));
    str_free(&s);
    return err;
}

static Err no_such_type(char *const *types, size_t n, const char *type)
{
    Str s = {0};
    join(&s, types, n, NULL);
    err_set(ERR_USAGE,
            "no feature is of the type \"%s\"; there are: %s; choose with --feature-type", type,
            str_text(&s));
    str_free(&s);
    return ERR_USAGE;
}

/* Marks the features that pass. */
static Err select_features(Dataset *d, const Features *f, const DatasetOptions *opt, bool *pass)
{
    const char *type = opt && opt->feature_type ? opt->feature_type : "Gene Expression";
    const char *genome = opt ? opt->genome : NULL;
    size_t n_types = 0, passed = 0, other = 0;
    char **types = f->types ? distinct(f->types, f->n, &n_types) : NULL;
    bool all = n_types == 0; /* no types in the file: nothing to choose */
    for (size_t i = 0; i < f->n; i++) {
        bool right_type = all || strcmp(f->types[i], type) == 0;
        bool right_genome =
            !genome || !f->genomes || strcmp(f->genomes[i], genome) == 0 || !right_type;
        pass[i] = right_type && right_genome;
        passed += pass[i];
        other += !right_type;
    }
    Err err = OK;
    if (f->n && !passed && !all && !(opt && opt->any_genome))
        err = no_such_type(types, n_types, type);
    if (!err && other) {
        Str s = {0};
        join(&s, types, n_types, type);
        dataset_warn(d, "features: %zu of other types are left out (%s); see --feature-type", other,
                     str_text(&s));
        str_free(&s);
    }
    strings_free(types, n_types);
    return err;
}

static void add_column(Dataset *d, const char *name, char *const *texts, const int32_t *keep,
                       size_t n)
{
    if (!texts)
        return;
    const char **kept = mem_must(d->var.n * sizeof *kept);
    for (size_t i = 0; i < n; i++)
        if (!keep || keep[i] >= 0)
            kept[keep ? (size_t)keep[i] : i] = texts[i];
    bool few = strcmp(name, "gene_ids") != 0;
    frame_add_column(&d->var, few ? column_categories_of(name, kept, d->var.n)
                                  : column_strings(name, kept, d->var.n));
    free(kept);
}

Err features_settle(Dataset *d, const Features *f, const DatasetOptions *opt, int32_t **keep)
{
    if (!d->genomes && f->genomes)
        d->genomes = distinct(f->genomes, f->n, &d->n_genomes);
    TRY(features_check_genome(d, opt));
    if (d->n_genomes > 1 && !(opt && opt->genome)) {
        Str s = {0};
        join(&s, d->genomes, d->n_genomes, NULL);
        dataset_warn(d,
                     "features: the file holds several genomes: %s; choose one with --genome NAME",
                     str_text(&s));
        str_free(&s);
    }
    bool *pass;
    TRY(NEW0(pass, f->n));
    Err err = select_features(d, f, opt, pass);
    if (err) {
        free(pass);
        return err;
    }
    int32_t *map = mem_must(f->n * sizeof *map), col = 0;
    for (size_t i = 0; i < f->n; i++)
        map[i] = pass[i] ? col++ : -1;
    free(pass);
    d->var.n = (size_t)col;
    d->var.path = mem_strdup("features");
    d->var.index =
        (Slot){.name = mem_strdup(f->names_from), .form = SLOT_LOADED, .kind = COLUMN_STRING};
    d->var.names = mem_must(d->var.n * sizeof *d->var.names);
    for (size_t i = 0; i < f->n; i++)
        if (map[i] >= 0)
            d->var.names[map[i]] = mem_strdup(f->names[i]);
    add_column(d, "gene_ids", f->ids, map, f->n);
    add_column(d, "feature_types", f->types, map, f->n);
    add_column(d, "genome", f->genomes, map, f->n);
    for (size_t i = 0; i < f->n_more; i++)
        add_column(d, f->more[i].name, f->more[i].texts, map, f->n);
    if (d->var.n == f->n) {
        free(map);
        map = NULL;
    }
    *keep = map;
    return OK;
}
