/* Reading the training corpus: configuration, label and tissue tables, files, one joint gene list.
 */
#include "core/train/corpus.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/dataset.h"
#include "core/train/corpus_impl.h"
#include <fnmatch.h>
#include <math.h>
#include <string.h>

enum { TABLE_MAX = 16 << 20, FULL_GENES = 10000, CHUNK = 512 };

typedef struct Rule { /* a line of labels.tsv */
    char *set, *column, *value;
    int32_t type; /* library index, -1 unknown to the library */
} Rule;

typedef struct Builder {
    Corpus *c;
    const char *data;
    char *labels_text, *tissues_text;
    Rule *rule;
    size_t n_rules;
    StrMap *tissue_of; /* column value -> offset of the plain word in tissues_text */
    StrMap *tissue_id;
    Dataset **file; /* [n_sets] open until all are read */
    double held_out;
    uint64_t split_seed;
    GeneSpace *vocab;
    Csr *part; /* [n_sets] counts in joint genes */
} Builder;

static char *join_path(const char *dir, const char *path)
{
    return path[0] == '/' || !dir || !*dir ? mem_strdup(path) : str_format("%s/%s", dir, path);
}

static const char *text_member(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

static Err need_text(const cJSON *o, const char *key, const char **out)
{
    *out = text_member(o, key);
    if (!*out)
        FAIL(ERR_USAGE, "configuration: \"%s\" is missing", key);
    return OK;
}

/* ---- tables ---- */
static Err read_labels(Builder *b, const char *path)
{
    TRY(str_read_file(path, TABLE_MAX, ERR_INPUT, &b->labels_text, NULL));
    size_t lines = 1, unknown = 0;
    for (const char *p = b->labels_text; *p; p++)
        lines += *p == '\n';
    TRY(NEW0(b->rule, lines));
    char *save = NULL;
    for (char *l = strtok_r(b->labels_text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        if (*l == '#' || str_starts(l, "set\t"))
            continue;
        char *f[4] = {l};
        for (int i = 1; i < 4; i++) {
            char *tab = f[i - 1] ? strchr(f[i - 1], '\t') : NULL;
            if (!tab)
                FAIL(ERR_INPUT, "%s: \"%s\": not four columns", path, l);
            *tab = 0;
            f[i] = tab + 1;
        }
        int32_t type = celltypes_find_id(b->c->types, f[3]);
        unknown += type < 0;
        b->rule[b->n_rules++] = (Rule){f[0], f[1], f[2], type};
    }
    if (unknown)
        log_warn(
            "%s: %zu labels mean types that the library does not have; their cells are left out",
            path, unknown);
    return OK;
}

static Err read_tissues(Builder *b, const char *path)
{
    b->tissue_of = strmap_new(256);
    if (!path)
        return OK;
    TRY(str_read_file(path, TABLE_MAX, ERR_INPUT, &b->tissues_text, NULL));
    char *save = NULL;
    for (char *l = strtok_r(b->tissues_text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char *tab = strchr(l, '\t');
        if (!tab || *l == '#')
            continue;
        *tab = 0;
        strmap_put(b->tissue_of, l, tab + 1 - b->tissues_text);
    }
    return OK;
}

static Err tissue_index(Builder *b, const char *name, int32_t *out)
{
    Corpus *c = b->c;
    int64_t i = strmap_get(b->tissue_id, name, -1);
    if (i < 0) {
        TRY(mem_realloc(&c->tissue, c->n_tissues + 1, sizeof *c->tissue));
        i = (int64_t)c->n_tissues++;
        c->tissue[i] = mem_strdup(name);
        strmap_put(b->tissue_id, name, i);
    }
    *out = (int32_t)i;
    return OK;
}

/* ---- one file ---- */
static const char *column_text(const Column *col, size_t i)
{
    if (col->kind == COLUMN_CATEGORICAL)
        return col->codes[i] < 0 ? NULL : col->categories[col->codes[i]];
    return col->kind == COLUMN_STRING ? col->strings[i] : NULL;
}

static Err find_column(Dataset *d, const char *name, const Column **out)
{
    int i = dataset_find_obs(d, name);
    if (i < 0)
        FAIL(ERR_INPUT, "obs/%s: there is no such column", name);
    return dataset_obs(d, (size_t)i, out);
}

/* type[n] of every row by the rules of this set, later rules win. */
static Err label_rows(Builder *b, const char *set, Dataset *d, int32_t *type)
{
    size_t n = dataset_cells(d);
    for (size_t i = 0; i < n; i++)
        type[i] = -1;
    const Column *col = NULL;
    const char *name = "";
    for (size_t r = 0; r < b->n_rules; r++) {
        const Rule *u = &b->rule[r];
        if (strcmp(u->set, set) != 0)
            continue;
        if (strcmp(name, u->column) != 0)
            TRY(find_column(d, u->column, &col));
        name = u->column;
        for (size_t i = 0; i < n; i++) {
            const char *v = column_text(col, i);
            if (v && (strcmp(v, u->value) == 0 ||
                      (str_ends(u->value, "*") && fnmatch(u->value, v, 0) == 0)))
                type[i] = u->type;
        }
    }
    return OK;
}

static Err tissue_rows(Builder *b, const cJSON *o, Dataset *d, int32_t *tissue)
{
    const char *fixed = text_member(o, "tissue"), *column = text_member(o, "tissue_column");
    const Column *col = NULL;
    if (column)
        TRY(find_column(d, column, &col));
    for (size_t i = 0; i < dataset_cells(d); i++) {
        const char *v = col ? column_text(col, i) : fixed;
        int64_t at = v && col ? strmap_get(b->tissue_of, v, -1) : -1;
        TRY(tissue_index(b, at >= 0 ? b->tissues_text + at : v ? v : "", &tissue[i]));
    }
    return OK;
}

/* Counts of a row range from whatever scale the file has to a linear one. */
static void to_linear(Csr *m, MatrixState state)
{
    if (state != STATE_LOGNORM)
        return;
    for (size_t i = 0; i < csr_nnz(m); i++)
        m->values[i] = expm1f(m->values[i]);
}

/* Keeps the entries of known genes, in joint gene numbers, ascending. */
static Err append_rows(const Csr *m, const int32_t *gene, const int32_t *type, Csr *out,
                       size_t *nnz_cap)
{
    size_t need = csr_nnz(out) + csr_nnz(m);
    if (need > *nnz_cap) {
        size_t cap = need * 2;
        TRY(mem_realloc(&out->indices, cap, sizeof *out->indices));
        TRY(mem_realloc(&out->values, cap, sizeof *out->values));
        *nnz_cap = cap;
    }
    for (size_t i = 0; i < m->rows; i++) {
        if (type[i] < 0)
            continue;
        int64_t at = out->indptr[out->rows];
        for (int64_t k = m->indptr[i]; k < m->indptr[i + 1]; k++) {
            int32_t g = gene[m->indices[k]];
            if (g < 0 || !(m->values[k] > 0))
                continue;
            out->indices[at] = g;
            out->values[at++] = m->values[k];
        }
        out->indptr[++out->rows] = at;
    }
    return OK;
}

/* The matrix to read: counts or log values; averages are neither and lie in the first one. -1:
 * none. */
static int usable_matrix(const Dataset *d, bool averages)
{
    int m = dataset_working_matrix(d);
    return m < 0 && averages && dataset_n_matrices(d) && dataset_matrix(d, 0)->readable ? 0 : m;
}

static Err read_matrix(Dataset *d, int m, const int32_t *gene, const int32_t *type, size_t genes,
                       JobCtl *ctl, Csr *out)
{
    MatrixState state = dataset_matrix(d, (size_t)m)->state;
    size_t n = dataset_cells(d), cap = 0;
    out->cols = genes;
    TRY(NEW0(out->indptr, n + 1));
    for (size_t at = 0; at < n; at += CHUNK) {
        Csr rows;
        TRY(dataset_read_rows(d, m, at, n - at < CHUNK ? n - at : CHUNK, ctl, &rows));
        to_linear(&rows, state);
        Err err = append_rows(&rows, gene, type + at, out, &cap);
        csr_done(&rows);
        TRY(err);
    }
    return OK;
}

static Err map_columns(Dataset *d, int matrix, const GeneSpace *space, int32_t **gene, size_t *n)
{
    const char *const *names;
    TRY(dataset_gene_names(d, matrix, &names, n));
    TRY(NEW(*gene, *n));
    uint8_t *taken;
    TRY(NEW0(taken, space->n));
    for (size_t i = 0; i < *n; i++) {
        int64_t g = strmap_get(space->by_name, names[i], -1);
        (*gene)[i] = g >= 0 && !taken[g] ? (int32_t)g : -1;
        if (g >= 0)
            taken[g] = 1;
    }
    free(taken);
    return OK;
}

static Err read_set(Builder *b, size_t s, const cJSON *o, JobCtl *ctl)
{
    Corpus *c = b->c;
    CorpusSet *set = &c->set[s];
    Dataset *d = b->file[s];
    size_t n = dataset_cells(d), n_genes = 0;
    int m = usable_matrix(d, set->averages);
    int32_t *gene = NULL, *type = NULL, *tissue = NULL;
    Err err = OK;
    TRY_GOTO(NEW(type, n));
    TRY_GOTO(NEW(tissue, n));
    TRY_GOTO(map_columns(d, m, c->genes, &gene, &n_genes));
    TRY_GOTO(NEW0(set->has, c->genes->n));
    size_t known = 0;
    for (size_t i = 0; i < n_genes; i++)
        if (gene[i] >= 0) {
            set->has[gene[i]] = 1;
            known++;
        }
    set->full = known >= FULL_GENES;
    TRY_GOTO(label_rows(b, set->name, d, type));
    TRY_GOTO(tissue_rows(b, o, d, tissue));
    TRY_GOTO(read_matrix(d, m, gene, type, c->genes->n, ctl, &b->part[s]));
    set->first = c->n;
    TRY_GOTO(mem_realloc(&c->cell, c->n + n, sizeof *c->cell));
    for (size_t i = 0; i < n; i++) {
        if (type[i] < 0) {
            c->unlabelled++;
            continue;
        }
        Rng r = rng_make(b->split_seed, (uint64_t)s << 32 | i);
        bool held = !set->averages && rng_uniform(&r) < b->held_out;
        c->cell[c->n++] = (CorpusCell){(int32_t)s, type[i], tissue[i], held};
    }
    set->n = c->n - set->first;
    log_info("%s: %zu of %zu rows labelled, %zu genes", set->name, set->n, n, known);
done:
    free(gene);
    free(type);
    free(tissue);
    return err;
}

/* ---- all files ---- */
static Err join_genes(Builder *b)
{
    uint8_t *used;
    const char **names = NULL;
    Err err = OK;
    TRY(NEW0(used, b->vocab->n));
    for (size_t s = 0; s < b->c->n_sets; s++) {
        const char *const *g;
        size_t n;
        int m = usable_matrix(b->file[s], b->c->set[s].averages);
        TRY_GOTO(dataset_gene_names(b->file[s], m, &g, &n));
        for (size_t i = 0; i < n; i++) {
            int64_t k = strmap_get(b->vocab->by_name, g[i], -1);
            if (k >= 0)
                used[k] = 1;
        }
    }
    TRY_GOTO(NEW(names, b->vocab->n));
    size_t n = 0;
    for (size_t k = 0; k < b->vocab->n; k++)
        if (used[k])
            names[n++] = b->vocab->name[k];
    err = genespace_new(names, n, &b->c->genes);
done:
    free(names);
    free(used);
    return err;
}

static Err join_parts(Builder *b)
{
    Corpus *c = b->c;
    size_t nnz = 0, row = 0;
    for (size_t s = 0; s < c->n_sets; s++)
        nnz += csr_nnz(&b->part[s]);
    TRY(csr_init(&c->counts, c->n, c->genes->n, nnz));
    for (size_t s = 0; s < c->n_sets; s++) {
        const Csr *p = &b->part[s];
        int64_t at = c->counts.indptr[row];
        size_t m = csr_nnz(p);
        if (m) {
            memcpy(c->counts.indices + at, p->indices, m * sizeof *p->indices);
            memcpy(c->counts.values + at, p->values, m * sizeof *p->values);
        }
        for (size_t i = 0; i < p->rows; i++, row++)
            c->counts.indptr[row + 1] = at + p->indptr[i + 1];
    }
    return OK;
}

static Err open_files(Builder *b, const cJSON *sets, JobCtl *ctl)
{
    Corpus *c = b->c;
    size_t n = (size_t)cJSON_GetArraySize(sets);
    TRY(NEW0(c->set, n));
    TRY(NEW0(b->file, n));
    TRY(NEW0(b->part, n));
    const cJSON *o;
    cJSON_ArrayForEach(o, sets)
    {
        const char *name, *file;
        TRY(need_text(o, "name", &name));
        TRY(need_text(o, "file", &file));
        CorpusSet *s = &c->set[c->n_sets];
        s->name = mem_strdup(name);
        s->path = join_path(b->data, file);
        s->averages = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "averages"));
        c->n_sets++;
        Err err = dataset_open(s->path, NULL, ctl, &b->file[c->n_sets - 1]);
        if (err == OK)
            err = hash_sha256_file(s->path, s->sha256);
        if (err == OK && usable_matrix(b->file[c->n_sets - 1], s->averages) < 0)
            err = err_set(ERR_INPUT, "no usable matrix");
        if (err != OK)
            return err_context(err, "%s", s->path);
    }
    return OK;
}

static Err count_types(Corpus *c)
{
    TRY(NEW0(c->type_cells, celltypes_count(c->types)));
    for (size_t i = 0; i < c->n; i++)
        c->type_cells[c->cell[i].type] += !c->cell[i].held;
    return OK;
}

static Err build(Builder *b, const cJSON *config, JobCtl *ctl)
{
    const char *vocab, *labels;
    const cJSON *sets = cJSON_GetObjectItemCaseSensitive(config, "sets");
    if (!cJSON_IsArray(sets) || cJSON_GetArraySize(sets) == 0)
        FAIL(ERR_USAGE, "configuration: \"sets\" is missing or empty");
    TRY(need_text(config, "vocabulary", &vocab));
    TRY(need_text(config, "labels", &labels));
    TRY(read_labels(b, labels));
    TRY(read_tissues(b, text_member(config, "tissues")));
    int32_t none;
    b->tissue_id = strmap_new(128);
    TRY(tissue_index(b, "", &none));
    char *path = join_path(b->data, vocab);
    Err err = genespace_read_vocab(path, &b->vocab);
    free(path);
    TRY(err);
    job_stage(ctl, "reading training files", (size_t)cJSON_GetArraySize(sets));
    TRY(open_files(b, sets, ctl));
    TRY(join_genes(b));
    for (size_t s = 0; s < b->c->n_sets; s++) {
        err = read_set(b, s, cJSON_GetArrayItem(sets, (int)s), ctl);
        if (err != OK)
            return err_context(err, "%s", b->c->set[s].path);
        TRY(job_progress(ctl, s + 1));
    }
    TRY(join_parts(b));
    TRY(count_types(b->c));
    return corpus_statistics(b->c);
}

static void builder_done(Builder *b)
{
    for (size_t s = 0; s < b->c->n_sets; s++) {
        if (b->file)
            dataset_close(b->file[s]);
        if (b->part)
            csr_done(&b->part[s]);
    }
    free(b->file);
    free(b->part);
    free(b->rule);
    free(b->labels_text);
    free(b->tissues_text);
    strmap_free(b->tissue_of);
    strmap_free(b->tissue_id);
    genespace_free(b->vocab);
}

Err corpus_open(const cJSON *config, const char *data_dir, const CellTypes *types, JobCtl *ctl,
                Corpus **out)
{
    Builder b = {.c = mem_must(sizeof(Corpus)), .held_out = 0.15};
    const cJSON *held = cJSON_GetObjectItemCaseSensitive(config, "held_out");
    const cJSON *seed = cJSON_GetObjectItemCaseSensitive(config, "split_seed");
    b.c->types = types;
    b.data = data_dir ? data_dir : text_member(config, "data");
    b.held_out = cJSON_IsNumber(held) ? held->valuedouble : 0.15;
    b.split_seed = cJSON_IsNumber(seed) ? (uint64_t)seed->valuedouble : 0;
    Err err = build(&b, config, ctl);
    builder_done(&b);
    if (err != OK)
        corpus_free(b.c);
    else
        *out = b.c;
    return err;
}

void corpus_free(Corpus *c)
{
    if (!c)
        return;
    for (size_t s = 0; s < c->n_sets; s++) {
        free(c->set[s].name);
        free(c->set[s].path);
        free(c->set[s].has);
    }
    for (size_t i = 0; i < c->n_tissues; i++)
        free(c->tissue[i]);
    free(c->tissue);
    free(c->set);
    free(c->cell);
    free(c->type_cells);
    csr_done(&c->counts);
    genespace_free(c->genes);
    free(c);
}
