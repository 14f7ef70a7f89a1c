/* What a file has to show without computing anything: its map, its groups, its numbers, a gene. */
#include "core/session/session_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/palette.h"

/* ---- freeing ---- */

void values_free(Values *v)
{
    if (!v)
        return;
    free(v->name);
    free(v->unit);
    free(v->v);
    free(v);
}

void groups_free(Groups *g)
{
    if (!g)
        return;
    for (size_t i = 0; g->names && i < g->n_groups; i++)
        free(g->names[i]);
    free(g->names);
    free(g->key);
    if (!g->borrowed)
        free(g->codes);
    free(g->sizes);
    free(g->colors);
    free(g->model_sha256);
    free(g);
}

void map_free(Map *m)
{
    if (!m)
        return;
    free(m->name);
    free(m->xy);
    free(m);
}

void selection_free(Selection *s)
{
    if (!s)
        return;
    free(s->rule);
    free(s->in);
    free(s);
}

/* ---- groups ---- */

Err groups_copy(const Groups *g, Groups **out)
{
    Err err = OK;
    Groups *c = mem_must(sizeof *c);
    c->key = mem_strdup(g->key);
    c->n_cells = g->n_cells;
    c->computed = g->computed;
    c->model_sha256 = g->model_sha256 ? mem_strdup(g->model_sha256) : NULL;
    TRY_GOTO(NEW(c->codes, g->n_cells));
    memcpy(c->codes, g->codes, g->n_cells * sizeof *c->codes);
    TRY_GOTO(NEW0(c->names, g->n_groups));
    c->n_groups = g->n_groups;
    TRY_GOTO(NEW(c->sizes, g->n_groups));
    TRY_GOTO(NEW(c->colors, g->n_groups));
    for (size_t i = 0; i < g->n_groups; i++) {
        c->names[i] = mem_strdup(g->names[i]);
        c->sizes[i] = g->sizes[i];
        c->colors[i] = g->colors[i];
    }
    *out = c;
    c = NULL;
done:
    groups_free(c);
    return err;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Distinct texts of a string column, sorted; *n of them, borrowed from the column. */
static Err distinct_strings(const Column *c, char ***out, size_t *n)
{
    char **all;
    size_t m = 0, k = 0;
    TRY(NEW(all, c->n));
    for (size_t i = 0; i < c->n; i++)
        if (c->strings[i])
            all[m++] = c->strings[i];
    qsort(all, m, sizeof *all, compare_strings);
    for (size_t i = 0; i < m; i++)
        if (i == 0 || strcmp(all[i], all[i - 1]) != 0)
            all[k++] = all[i];
    *out = all;
    *n = k;
    return OK;
}

static Err codes_of_strings(const Column *c, char **names, size_t n, int32_t *codes)
{
    for (size_t i = 0; i < c->n; i++) {
        char **hit = c->strings[i] ? bsearch(&c->strings[i], names, n, sizeof *names, compare_strings) : NULL;
        codes[i] = hit ? (int32_t)(hit - names) : -1;
    }
    return OK;
}

/* Numbers become groups when they are few whole ones (a clustering stored as integers). */
static Err codes_of_numbers(const Column *c, char ***names, size_t *n, int32_t *codes)
{
    enum { MAX_GROUPS = 500 };
    double seen[MAX_GROUPS];
    size_t k = 0;
    for (size_t i = 0; i < c->n; i++) {
        double v = c->numbers[i];
        codes[i] = -1;
        if (isnan(v))
            continue;
        size_t lo = 0, hi = k;
        while (lo < hi) {
            size_t mid = (lo + hi) / 2;
            if (seen[mid] < v)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo < k && seen[lo] == v)
            continue;
        if (k == MAX_GROUPS || v != floor(v))
            FAIL(ERR_INPUT, "obs/%s: a numeric column, not groups; choose a categorical one", c->name);
        memmove(seen + lo + 1, seen + lo, (k - lo) * sizeof *seen);
        seen[lo] = v;
        k++;
    }
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = 0; j < k; j++)
            if (c->numbers[i] == seen[j])
                codes[i] = (int32_t)j;
    TRY(NEW0(*names, k));
    for (size_t j = 0; j < k; j++)
        (*names)[j] = str_format("%.0f", seen[j]);
    *n = k;
    return OK;
}

static Err fill_groups(Dataset *d, const Column *c, Groups *g)
{
    Err err = OK;
    char **distinct = NULL;
    g->n_cells = c->n;
    g->borrowed = c->codes;
    g->codes = c->codes;
    if (!g->borrowed)
        TRY(NEW(g->codes, c->n));
    char *const *names = c->categories;
    char *bools[] = {"false", "true"};
    size_t n = c->n_categories;
    if (c->kind == COLUMN_NUMERIC) {
        TRY_GOTO(codes_of_numbers(c, &g->names, &g->n_groups, g->codes));
        n = g->n_groups;
    } else {
        if (c->kind == COLUMN_STRING) {
            TRY_GOTO(distinct_strings(c, &distinct, &n));
            TRY_GOTO(codes_of_strings(c, distinct, n, g->codes));
            names = distinct;
        } else if (c->kind == COLUMN_BOOL) {
            names = bools;
            n = 2;
        }
        TRY_GOTO(NEW0(g->names, n));
        g->n_groups = n;
        for (size_t i = 0; i < n; i++)
            g->names[i] = mem_strdup(names[i]);
    }
    TRY_GOTO(NEW0(g->sizes, n));
    for (size_t i = 0; i < c->n; i++)
        if (g->codes[i] >= 0)
            g->sizes[g->codes[i]]++;
    uint32_t *stored = NULL;
    size_t n_stored = 0;
    TRY_GOTO(dataset_colors(d, c->name, &stored, &n_stored));
    TRY_GOTO(NEW(g->colors, n));
    palette_categorical(g->colors, n);
    if (n_stored >= n && n)
        memcpy(g->colors, stored, n * sizeof *stored);
    free(stored);
done:
    free(distinct);
    return err;
}

/* How good a column is as the first colouring: cell types before clusters before anything else. */
static int rank_group_column(const char *name)
{
    static const char *const best[] = {"cell_type", "celltype", "cell_type_label", "cell.type", "CellType",
                                       "annotation", "cell_ontology_class", "bulk_labels", "leiden", "louvain",
                                       "seurat_clusters", "clusters", "cluster", "predicted_labels"};
    int n = sizeof best / sizeof best[0];
    for (int i = 0; i < n; i++)
        if (str_equal_nocase(name, best[i]))
            return 2 * (n - i) + 1;
    for (int i = 0; i < n; i++)
        if (strcasestr(name, best[i]))
            return 2 * (n - i);
    return 0;
}

static int best_group_column(const Dataset *d)
{
    int best = -1, best_rank = 0;
    for (size_t i = 0; i < dataset_n_obs(d); i++) {
        ColumnKind k = dataset_obs_kind(d, i);
        int rank = rank_group_column(dataset_obs_name(d, i));
        if (k != COLUMN_NUMERIC && rank > best_rank) {
            best = (int)i;
            best_rank = rank;
        }
    }
    return best;
}

static Err find_obs(const Dataset *d, const char *key, size_t *out)
{
    int i = dataset_find_obs(d, key);
    if (i < 0)
        FAIL(ERR_NOT_FOUND, "obs/%s: no such column; 'info' lists them", key);
    *out = (size_t)i;
    return OK;
}

Err session_groups(Session *s, const char *key, JobCtl *ctl, Groups **out)
{
    Dataset *d = s->dataset;
    size_t i = 0;
    if (key) {
        TRY(find_obs(d, key, &i));
    } else {
        int best = best_group_column(d);
        if (best < 0)
            FAIL(ERR_NOT_FOUND, "obs: no column with cell types or clusters; 'cluster' makes one");
        i = (size_t)best;
    }
    const Column *c;
    TRY(dataset_obs(d, i, &c));
    Groups *g = mem_must(sizeof *g);
    g->key = mem_strdup(c->name);
    Err err = fill_groups(d, c, g);
    if (err) {
        groups_free(g);
        return err_context(err, "obs/%s", dataset_obs_name(d, i));
    }
    *out = g;
    return OK;
}

Err session_obs_values(Session *s, const char *key, JobCtl *ctl, Values **out)
{
    size_t i = 0;
    TRY(find_obs(s->dataset, key, &i));
    const Column *c;
    TRY(dataset_obs(s->dataset, i, &c));
    if (c->kind != COLUMN_NUMERIC && c->kind != COLUMN_BOOL)
        FAIL(ERR_USAGE, "obs/%s: not a numeric column", key);
    float *v;
    TRY(NEW(v, c->n));
    for (size_t j = 0; j < c->n; j++)
        v[j] = c->kind == COLUMN_NUMERIC ? (float)c->numbers[j] : c->codes[j] < 0 ? NAN : (float)c->codes[j];
    Values *r = mem_must(sizeof *r);
    *r = (Values){.name = mem_strdup(key), .unit = mem_strdup(""), .n = c->n, .v = v};
    *out = r;
    return OK;
}

/* ---- maps ---- */

static Err map_of_obsm(Dataset *d, size_t i, Map **out)
{
    const ObsmInfo *info = dataset_obsm_info(d, i);
    if (info->d < 2)
        FAIL(ERR_USAGE, "obsm/%s: one column, a map needs two", info->name);
    float *all;
    TRY(dataset_obsm(d, i, &all));
    for (size_t c = 0; c < info->n; c++) {
        float x = all[c * info->d], y = all[c * info->d + 1];
        bool finite = isfinite(x) && isfinite(y);
        all[2 * c] = finite ? x : NAN; /* in place: 2 <= d */
        all[2 * c + 1] = finite ? y : NAN;
    }
    Map *m = mem_must(sizeof *m);
    *m = (Map){.name = mem_strdup(info->name), .n = info->n, .xy = all};
    *out = m;
    return OK;
}

static Err map_of_obs_columns(Session *s, const char *x_name, const char *y_name, JobCtl *ctl, Map **out)
{
    Values *x = NULL, *y = NULL;
    Err err = OK;
    float *xy = NULL;
    TRY_GOTO(session_obs_values(s, x_name, ctl, &x));
    TRY_GOTO(session_obs_values(s, y_name, ctl, &y));
    TRY_GOTO(NEW(xy, 2 * x->n));
    for (size_t i = 0; i < x->n; i++) {
        bool finite = isfinite(x->v[i]) && isfinite(y->v[i]);
        xy[2 * i] = finite ? x->v[i] : NAN;
        xy[2 * i + 1] = finite ? y->v[i] : NAN;
    }
    Map *m = mem_must(sizeof *m);
    size_t stem = strlen(x_name);
    while (stem && strchr("0123456789_.-", x_name[stem - 1]))
        stem--;
    *m = (Map){.name = mem_strndup(x_name, stem), .n = x->n, .xy = xy};
    *out = m;
done:
    values_free(x);
    values_free(y);
    return err;
}

static const char *numeric_obs(const Dataset *d, char *want /* freed */)
{
    const char *hit = NULL;
    for (size_t i = 0; i < dataset_n_obs(d); i++)
        if (dataset_obs_kind(d, i) == COLUMN_NUMERIC && str_equal_nocase(dataset_obs_name(d, i), want))
            hit = dataset_obs_name(d, i);
    free(want);
    return hit;
}

/* "UMAP_1"/"UMAP_2" and its like in obs; "_X"/"_Y" as loom files have it. */
static bool find_obs_pair(const Dataset *d, const char *basis, const char **x, const char **y)
{
    static const char *const separators[] = {"_", "", "-", "."};
    if (strcmp(basis, "_X") == 0) {
        *x = numeric_obs(d, mem_strdup("_X"));
        *y = numeric_obs(d, mem_strdup("_Y"));
        return *x && *y;
    }
    for (size_t i = 0; i < sizeof separators / sizeof separators[0]; i++) {
        *x = numeric_obs(d, str_format("%s%s1", basis, separators[i]));
        *y = numeric_obs(d, str_format("%s%s2", basis, separators[i]));
        if (*x && *y)
            return true;
    }
    return str_starts(basis, "X_") && find_obs_pair(d, basis + 2, x, y);
}

static Err map_by_name(Session *s, const char *basis, JobCtl *ctl, Map **out, bool *found)
{
    int i = dataset_find_obsm(s->dataset, basis);
    const char *x, *y;
    *found = true;
    if (i >= 0 && dataset_obsm_info(s->dataset, (size_t)i)->d >= 2)
        return map_of_obsm(s->dataset, (size_t)i, out);
    if (find_obs_pair(s->dataset, basis, &x, &y))
        return map_of_obs_columns(s, x, y, ctl, out);
    *found = false;
    return OK;
}

Err session_map(Session *s, const char *basis, JobCtl *ctl, Map **out)
{
    static const char *const best[] = {"X_umap", "umap", "X_tsne", "tsne", "X_draw_graph_fa", "X_phate", "X_pacmap",
                                       "_X", "X_pca", "pca", "spatial"};
    bool found = false;
    if (basis) {
        TRY(map_by_name(s, basis, ctl, out, &found));
        if (!found)
            FAIL(ERR_NOT_FOUND, "obsm/%s: no such embedding; 'info' lists them, 'cluster' makes X_umap", basis);
        return OK;
    }
    for (size_t i = 0; i < sizeof best / sizeof best[0] && !found; i++)
        TRY(map_by_name(s, best[i], ctl, out, &found));
    for (size_t i = 0; i < dataset_n_obsm(s->dataset) && !found; i++)
        if (dataset_obsm_info(s->dataset, i)->d >= 2) {
            TRY(map_of_obsm(s->dataset, i, out));
            found = true;
        }
    if (!found)
        FAIL(ERR_NOT_FOUND, "obsm: no embedding of two dimensions; 'cluster' makes X_umap");
    return OK;
}
