/* What a file means, once a reader has described what is in it: which matrix has the counts, which
 * column names the genes. */
#include "core/data/dataset_impl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/genes.h"
#include "core/data/recover.h"

static int find_matrix(const Dataset *d, const char *name)
{
    for (size_t i = 0; i < d->n_matrices; i++)
        if (strcmp(d->matrices[i].info.name, name) == 0)
            return (int)i;
    return -1;
}

static bool has_state(const Dataset *d, int i, MatrixState state)
{
    return i >= 0 && d->matrices[i].info.readable && d->matrices[i].info.state == state;
}

static int find_counts(const Dataset *d)
{
    const char *order[] = {"layers/counts", "raw/X", "X"};
    for (size_t k = 0; k < 3; k++) {
        int i = find_matrix(d, order[k]);
        if (has_state(d, i, STATE_COUNTS))
            return i;
    }
    for (size_t i = 0; i < d->n_matrices; i++)
        if (strcasestr(d->matrices[i].info.name, "count") && has_state(d, (int)i, STATE_COUNTS))
            return (int)i;
    return -1;
}

static int find_lognorm(const Dataset *d)
{
    int x = find_matrix(d, "X"), raw = find_matrix(d, "raw/X");
    if (has_state(d, x, STATE_LOGNORM))
        return x;
    if (has_state(d, raw, STATE_LOGNORM))
        return raw;
    for (size_t i = 0; i < d->n_matrices; i++)
        if (has_state(d, (int)i, STATE_LOGNORM))
            return (int)i;
    return -1;
}

static char *why_none(const Dataset *d)
{
    Str s = {0};
    if (!d->n_matrices)
        str_add(&s, "the file holds no expression matrix");
    for (size_t i = 0; i < d->n_matrices; i++) {
        const MatrixInfo *m = &d->matrices[i].info;
        str_addf(&s, "%s%s %s", i ? ", " : "no matrix holds counts: ", m->name,
                 !m->readable                ? "is unreadable"
                 : m->state == STATE_LOGNORM ? "looks log-normalised"
                 : m->state == STATE_SCALED  ? "is scaled (negative values)"
                 : m->state == STATE_COUNTS  ? "has counts but is no layer for counts by its name"
                                             : "is in an unknown state");
    }
    return str_take(&s);
}

static Err choose_matrices(Dataset *d, const char *forced)
{
    for (size_t i = 0; i < d->n_matrices; i++) {
        MatrixInfo *m = &d->matrices[i].info;
        m->usable_for_model =
            m->readable && (m->state == STATE_COUNTS || m->state == STATE_LOGNORM);
    }
    d->model_matrix = find_counts(d);
    int lognorm = find_lognorm(d);
    free(d->reason);
    if (forced) {
        int i = find_matrix(d, forced);
        d->reason = mem_strdup("asked for");
        if (i < 0)
            FAIL(ERR_USAGE, "%s: the file has no matrix of this name; see: scmmgpt info", forced);
        if (!d->matrices[i].info.readable)
            FAIL(ERR_INPUT, "%s: cannot be read", forced);
        d->model_matrix = d->matrices[i].info.state == STATE_COUNTS ? i : -1;
        d->working_matrix = i;
        return OK;
    }
    d->working_matrix = d->model_matrix >= 0 ? d->model_matrix : lognorm;
    if (d->model_matrix >= 0)
        d->reason = str_format(
            "%s: the first matrix whose values are counts (whole numbers, none negative)",
            d->matrices[d->model_matrix].info.name);
    else
        d->reason = why_none(d);
    return OK;
}

/* ---- gene names ---- */

static int find_text_slot(const Frame *f, const char *name)
{
    for (size_t i = 0; i < f->n_slots; i++) {
        ColumnKind k = f->slots[i].kind;
        if (strcmp(f->slots[i].name, name) == 0 && (k == COLUMN_STRING || k == COLUMN_CATEGORICAL))
            return (int)i;
    }
    return -1;
}

/* Ensembl ids or plain numbers: not what people call genes. */
static bool looks_like_ids(Dataset *d, Frame *f, Slot *s)
{
    enum { SAMPLE = 64 };
    char *names[SAMPLE] = {0};
    size_t n = 0, ids = 0;
    if (f->names && s == &f->index) {
        n = f->n < SAMPLE ? f->n : SAMPLE;
        for (size_t i = 0; i < n; i++)
            names[i] = mem_strdup(f->names[i]);
    } else if (slot_sample(d, f, s, SAMPLE, names, &n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const char *t = names[i] ? names[i] : "";
        ids += gene_is_ensembl(t) || strspn(t, "0123456789") == strlen(t);
        free(names[i]);
    }
    return n && ids * 2 > n;
}

static int name_slot(Dataset *d, Frame *f)
{
    const char *first[] = {"feature_name", "gene_symbols", "gene_name"};
    const char *others[] = {"gene_symbol",
                            "symbol",
                            "Symbol",
                            "SYMBOL",
                            "hgnc_symbol",
                            "gene_names",
                            "gene_short_name",
                            "GeneName",
                            "GeneSymbol",
                            "Gene",
                            "gene",
                            "name",
                            "names",
                            "features",
                            "genes",
                            "gene_name_unique"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        int s = find_text_slot(f, first[i]);
        if (s >= 0 && !looks_like_ids(d, f, &f->slots[s]))
            return s;
    }
    if (!looks_like_ids(d, f, &f->index))
        return -1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        int s = find_text_slot(f, others[i]);
        if (s >= 0 && !looks_like_ids(d, f, &f->slots[s]))
            return s;
    }
    return -1;
}

/* A few hundred names tell the species. */
static void warn_of_species(Dataset *d)
{
    enum { SAMPLE = 400 };
    char *names[SAMPLE] = {0};
    size_t n = 0;
    Slot *s = d->var_name_slot >= 0 ? &d->var.slots[d->var_name_slot] : &d->var.index;
    if (!d->var.n || d->map_orthologs)
        return;
    if (d->var.names && s == &d->var.index)
        for (n = 0; n < SAMPLE && n < d->var.n; n++)
            names[n] = mem_strdup(d->var.names[n]);
    else if (slot_sample(d, &d->var, s, SAMPLE, names, &n))
        return;
    for (size_t i = 0; i < n; i++)
        if (!names[i])
            names[i] = mem_strdup("");
    const char *naming = gene_naming((const char *const *)names, n);
    if (str_starts(naming, "mouse"))
        dataset_warn(d, "var: gene names look like mouse symbols, the model knows human genes; add "
                        "--map-orthologs");
    else if (strstr(naming, "another species"))
        dataset_warn(d, "var: gene names are %s, the model knows human genes", naming);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
}

static Err choose_names(Dataset *d, const char *forced)
{
    int var_slot = -1, raw_slot = -1;
    if (forced && strcmp(forced, "index") != 0) {
        var_slot = find_text_slot(&d->var, forced);
        raw_slot = d->raw_var.path ? find_text_slot(&d->raw_var, forced) : -1;
        if (var_slot < 0 && raw_slot < 0)
            FAIL(ERR_USAGE, "var/%s: no such column of gene names", forced);
    } else if (!forced) {
        var_slot = d->var.n ? name_slot(d, &d->var) : -1;
        raw_slot = d->raw_var.path && d->raw_var.n ? name_slot(d, &d->raw_var) : -1;
    }
    d->var_name_slot = var_slot;
    for (size_t i = 0; i < d->n_matrices; i++)
        d->matrices[i].name_slot = d->matrices[i].var == &d->var ? var_slot : raw_slot;
    const Frame *f = &d->var;
    int slot = var_slot;
    if (d->working_matrix >= 0) {
        f = d->matrices[d->working_matrix].var;
        slot = d->matrices[d->working_matrix].name_slot;
    }
    free(d->gene_names_from);
    d->gene_names_from = mem_strdup(slot >= 0 ? f->slots[slot].name : "index");
    return OK;
}

Err dataset_settle(Dataset *d, const DatasetOptions *opt)
{
    d->map_orthologs = opt && opt->map_orthologs;
    for (size_t i = 0; i < d->n_matrices; i++) {
        Matrix *m = &d->matrices[i];
        if (m->info.readable && m->kind != MATRIX_MTX && matrix_sample_state(d, m)) {
            dataset_warn(d, "%s", err_message());
            m->info.readable = false;
            m->error = mem_strdup(err_message());
        }
    }
    TRY(choose_matrices(d, opt ? opt->matrix : NULL));
    TRY(choose_names(d, opt ? opt->gene_column : NULL));
    warn_of_species(d);
    warn_of_proteins(d);
    if (recovery_sample(d)) { /* a damaged matrix is named when it is read */
        d->recovery.possible = false;
        d->recovery.source = -1;
    }
    if (d->recovery.hidden >= 0)
        d->matrices[d->recovery.hidden].name_slot = d->matrices[d->recovery.source].name_slot;
    if (d->model_matrix < 0 && d->recovery.text) {
        char *both = str_format("%s; %s", d->reason, d->recovery.text);
        free(d->reason);
        d->reason = both;
    }
    const char *const *names;
    size_t n;
    /* Mapping reports how many names it changed: now, where people look for warnings. */
    return d->map_orthologs ? dataset_gene_names(d, d->working_matrix, &names, &n) : OK;
}
