/* uns/rank_genes_groups: `names`, `scores`, ... are record arrays with a field a group (anndata 0.6 and later), groups
 * with an array each (what other writers make of them), or data frames (`pts`, with genes as rows). Before scanpy 1.0:
 * uns/rank_genes_groups_gene_names and _gene_scores. */
#include "core/data/stored_ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset_impl.h"

void stored_ranks_free(StoredRanks *r)
{
    if (!r)
        return;
    free(r->key);
    free(r->groupby);
    free(r->method);
    free(r->reference);
    strings_free(r->groups, r->n_groups);
    strings_free(r->genes, r->n_groups * r->n);
    free(r->scores);
    free(r->logfoldchanges);
    free(r->pvals);
    free(r->pvals_adj);
    free(r->frac_in);
    free(r->frac_out);
    free(r);
}

/* ---- a table with one column a group, however it is stored ---- */

typedef struct Columns {
    Dataset *d;
    Array *records;    /* a record array, or NULL: */
    char *path;        /* a group with an array each */
    char **names;
    size_t n, rows;
} Columns;

static void columns_close(Columns *c)
{
    array_close(c->records);
    strings_free(c->names, c->n);
    free(c->path);
    *c = (Columns){0};
}

static Err open_records(Columns *c)
{
    FieldInfo *fields;
    size_t n;
    TRY(store_open_array(c->d->store, c->path, &c->records));
    if (c->records->info.rank > 1)
        FAIL(ERR_INPUT, "%s: has %d dimensions where a list is expected", c->path, c->records->info.rank);
    TRY(array_fields(c->records, &fields, &n));
    c->names = mem_must((n + 1) * sizeof *c->names);
    for (size_t i = 0; i < n; i++)
        if (fields[i].width == 1)
            c->names[c->n++] = mem_strdup(fields[i].name);
    fields_free(fields, n);
    c->rows = (size_t)c->records->info.count;
    return OK;
}

static Err open_arrays(Columns *c)
{
    char **names;
    size_t n;
    TRY(store_list(c->d->store, c->path, &names, &n));
    c->names = mem_must((n + 1) * sizeof *c->names);
    for (size_t i = 0; i < n; i++) {
        Array *a = NULL;
        char *p = path_join(c->path, names[i]);
        if (store_kind(c->d->store, p) == NODE_ARRAY && strcmp(names[i], "_index") != 0 &&
            store_open_array(c->d->store, p, &a) == OK && a->info.rank == 1) {
            if (c->n == 0 || a->info.count < c->rows)
                c->rows = (size_t)a->info.count;
            c->names[c->n++] = mem_strdup(names[i]);
        }
        array_close(a);
        free(p);
    }
    strings_free(names, n);
    return OK;
}

/* ERR_INPUT when there is no such element, or it has no columns. */
static Err columns_open(Dataset *d, const char *parent, const char *name, Columns *out)
{
    Columns c = {.d = d, .path = path_join(parent, name)};
    NodeKind kind = store_kind(d->store, c.path);
    Err err = kind == NODE_ARRAY   ? open_records(&c)
              : kind == NODE_GROUP ? open_arrays(&c)
                                   : err_set(ERR_INPUT, "%s: is not there", c.path);
    if (!err && (c.n == 0 || c.rows == 0))
        err = err_set(ERR_INPUT, "%s: has no columns for groups", c.path);
    if (err)
        columns_close(&c);
    else
        *out = c;
    return err;
}

/* Column i as numbers into out[rows], or as text (each allocated) into texts[rows]. */
static Err read_column(const Columns *c, size_t i, double *out, char **texts)
{
    if (c->records)
        return texts ? array_read_field_text(c->records, c->names[i], texts)
                     : array_read_field(c->records, c->names[i], MEM_F64, out);
    Array *a;
    char *p = path_join(c->path, c->names[i]);
    Err err = store_open_array(c->d->store, p, &a);
    free(p);
    TRY(err);
    if (a->info.rank != 1 || a->info.count < c->rows)
        err = err_set(ERR_INPUT, "%s: has changed its size", a->path);
    else if (texts)
        err = array_read_text(a, 0, c->rows, texts);
    else
        err = array_read_1d(a, 0, c->rows, MEM_F64, out);
    array_close(a);
    return err;
}

/* ---- the parts ---- */

/* "nan" is what scanpy's filter leaves in place of a name. */
static void empty_missing(char **genes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!genes[i] || strcmp(genes[i], "nan") == 0) {
            free(genes[i]);
            genes[i] = mem_strdup("");
        }
}

static Err read_names(Dataset *d, const char *path, const char *name, JobCtl *ctl, StoredRanks *r)
{
    Columns c;
    TRY(columns_open(d, path, name, &c));
    Err err = mem_check_budget((uint64_t)c.n * c.rows * 32, c.path);
    if (!err)
        err = NEW0(r->genes, c.n * c.rows);
    if (!err) {
        r->n = c.rows;
        r->n_groups = c.n;
        r->groups = mem_must((c.n + 1) * sizeof *r->groups);
    }
    for (size_t i = 0; i < c.n && !err; i++) {
        r->groups[i] = mem_strdup(c.names[i]);
        err = read_column(&c, i, NULL, r->genes + i * c.rows);
        if (!err)
            empty_missing(r->genes + i * c.rows, c.rows);
        if (!err)
            err = job_progress(ctl, i);
    }
    columns_close(&c);
    return err;
}

static size_t find_text(char *const *list, size_t n, const char *text)
{
    size_t i = 0;
    while (i < n && strcmp(list[i], text) != 0)
        i++;
    return i;
}

/* One of scores, pvals, ...: stays NULL when the file lacks it. */
static Err read_numbers(Dataset *d, const char *path, const char *name, JobCtl *ctl, const StoredRanks *r,
                        double **out)
{
    Columns c;
    char *p = path_join(path, name);
    bool there = store_kind(d->store, p) != NODE_NONE;
    free(p);
    if (!there)
        return OK;
    Err err = columns_open(d, path, name, &c);
    if (!err && c.rows != r->n) {
        err = err_set(ERR_INPUT, "%s: has %zu rows where %zu are expected", c.path, c.rows, r->n);
        columns_close(&c);
    }
    if (err) {
        dataset_warn(d, "%s; left out", err_message());
        return OK;
    }
    double *v;
    err = NEW(v, r->n_groups * r->n);
    for (size_t i = 0; !err && i < r->n_groups * r->n; i++)
        v[i] = NAN;
    for (size_t i = 0; i < c.n && !err; i++) {
        size_t g = find_text(r->groups, r->n_groups, c.names[i]);
        if (g == r->n_groups)
            continue;
        err = read_column(&c, i, v + g * r->n, NULL);
        if (!err)
            err = job_progress(ctl, i);
    }
    if (err == ERR_INPUT) { /* damaged: the names alone are still worth showing */
        dataset_warn(d, "%s; left out", err_message());
        err = OK;
        free(v);
        v = NULL;
    }
    columns_close(&c);
    if (err)
        free(v);
    else
        *out = v;
    return err;
}

/* pts and pts_rest: data frames with the genes as rows, in the order of var. */
static Err read_shares(Dataset *d, const char *path, const char *name, const StoredRanks *r, double **out)
{
    Frame f;
    char **rows;
    char *p = path_join(path, name);
    Err err = store_kind(d->store, p) == NODE_NONE ? ERR_NOT_FOUND : frame_open(d, p, &f);
    free(p);
    if (err == ERR_NOT_FOUND)
        return OK;
    if (err) {
        dataset_warn(d, "%s; left out", err_message());
        return OK;
    }
    StrMap *row = NULL;
    double *v = NULL;
    TRY_GOTO(frame_names(d, &f, &rows));
    TRY_GOTO(NEW(v, r->n_groups * r->n));
    for (size_t i = 0; i < r->n_groups * r->n; i++)
        v[i] = NAN;
    row = strmap_new(f.n);
    for (size_t i = 0; i < f.n; i++)
        strmap_put(row, rows[i], (int64_t)i);
    for (size_t i = 0; i < f.n_slots; i++) {
        const Column *c;
        size_t g = find_text(r->groups, r->n_groups, f.slots[i].name);
        if (g == r->n_groups)
            continue;
        TRY_GOTO(slot_read(d, &f, &f.slots[i], &c));
        for (size_t k = 0; c->numbers && k < r->n; k++) {
            int64_t at = strmap_get(row, r->genes[g * r->n + k], -1);
            if (at >= 0)
                v[g * r->n + k] = c->numbers[at];
        }
    }
    *out = v;
    v = NULL;
done:
    if (err == ERR_INPUT) {
        dataset_warn(d, "%s; left out", err_message());
        err = OK;
    }
    free(v);
    strmap_free(row);
    frame_done(&f);
    return err;
}

/* ---- which element ---- */

/* A text of uns/KEY/params; "" when there is none. */
static char *param(Dataset *d, const char *path, const char *name)
{
    char *text = NULL, *p = str_format("%s/params/%s", path, name);
    Array *a = NULL;
    if (store_kind(d->store, p) == NODE_ARRAY && store_open_array(d->store, p, &a) == OK &&
        a->info.cls == ELEM_STRING && a->info.count == 1 && array_read_text(a, 0, 1, &text))
        text = NULL;
    array_close(a);
    free(p);
    return text ? text : mem_strdup("");
}

static bool is_ranking(Dataset *d, const char *path, const char *groupby)
{
    char *names = path_join(path, "names"), *params = path_join(path, "params");
    bool is = store_kind(d->store, path) == NODE_GROUP &&
              (store_kind(d->store, names) == NODE_ARRAY || store_kind(d->store, names) == NODE_GROUP) &&
              (store_kind(d->store, params) == NODE_GROUP || strstr(path, "rank_genes_groups"));
    free(names);
    free(params);
    if (is && groupby) {
        char *stored = param(d, path, "groupby");
        is = !*stored || strcmp(stored, groupby) == 0;
        free(stored);
    }
    return is;
}

/* The element's name in uns; NULL when there is none. */
static char *find_ranking(Dataset *d, const char *groupby)
{
    char **names = NULL, *found = NULL;
    size_t n = 0;
    if (is_ranking(d, "uns/rank_genes_groups", groupby))
        return mem_strdup("rank_genes_groups");
    if (store_list(d->store, "uns", &names, &n))
        return NULL;
    for (size_t i = 0; i < n && !found; i++) {
        char *p = path_join("uns", names[i]);
        if (is_ranking(d, p, groupby))
            found = mem_strdup(names[i]);
        free(p);
    }
    strings_free(names, n);
    if (!found && store_kind(d->store, "uns/rank_genes_groups_gene_names") == NODE_ARRAY)
        found = mem_strdup("rank_genes_groups");
    return found;
}

Err dataset_stored_ranks(Dataset *d, const char *groupby, JobCtl *ctl, StoredRanks **out)
{
    Err err = OK;
    char *key = d->store && store_kind(d->store, "uns") == NODE_GROUP ? find_ranking(d, groupby) : NULL;
    if (!key)
        FAIL(ERR_NOT_FOUND, "the file has no stored marker genes%s%s", groupby ? " of obs/" : "",
             groupby ? groupby : "");
    char *path = path_join("uns", key), *old = str_format("%s_gene_names", path);
    bool is_old = store_kind(d->store, path) != NODE_GROUP;
    StoredRanks *r = mem_must(sizeof *r);
    r->key = key;
    r->groupby = param(d, path, "groupby");
    r->method = param(d, path, "method");
    r->reference = param(d, path, "reference");
    if (is_old) {
        TRY_GOTO(read_names(d, "uns", "rank_genes_groups_gene_names", ctl, r));
        TRY_GOTO(read_numbers(d, "uns", "rank_genes_groups_gene_scores", ctl, r, &r->scores));
    } else {
        TRY_GOTO(read_names(d, path, "names", ctl, r));
        TRY_GOTO(read_numbers(d, path, "scores", ctl, r, &r->scores));
        TRY_GOTO(read_numbers(d, path, "logfoldchanges", ctl, r, &r->logfoldchanges));
        TRY_GOTO(read_numbers(d, path, "pvals", ctl, r, &r->pvals));
        TRY_GOTO(read_numbers(d, path, "pvals_adj", ctl, r, &r->pvals_adj));
        TRY_GOTO(read_shares(d, path, "pts", r, &r->frac_in));
        TRY_GOTO(read_shares(d, path, "pts_rest", r, &r->frac_out));
    }
    *out = r;
    r = NULL;
done:
    free(path);
    free(old);
    stored_ranks_free(r);
    return err;
}
