/* `scmmgpt genes` and `scmmgpt expr`: names of genes, and their values for all cells. */
#include "tui/cli_commands.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assets.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/genes.h"
#include "core/data/table.h"

/* A file's matrix with its genes indexed. */
typedef struct Names {
    Dataset *d;
    int matrix;
    const char *const *names;
    const char *const *ids; /* NULL: none */
    size_t n;
    GeneIndex *index;
} Names;

static void names_done(Names *x)
{
    gene_index_free(x->index);
    dataset_close(x->d);
}

/* Counts, else X as stored, else what there is; -1: no readable matrix. */
static int matrix_for_values(Dataset *d, const char *forced)
{
    int m = dataset_model_matrix(d);
    if (m < 0 && forced)
        m = dataset_working_matrix(d);
    for (size_t i = 0; m < 0 && i < dataset_n_matrices(d); i++)
        if (strcmp(dataset_matrix(d, i)->name, "X") == 0)
            m = (int)i;
    if (m < 0)
        m = dataset_working_matrix(d);
    return m < 0 && dataset_n_matrices(d) ? 0 : m;
}

static Err find_ids(Names *x)
{
    const char *const *index;
    TRY(dataset_var_index(x->d, x->matrix, &index));
    if (x->n && gene_is_ensembl(index[0]))
        x->ids = index;
    for (size_t i = 0; i < dataset_n_var(x->d, x->matrix) && !x->ids; i++) {
        const Column *c;
        if (dataset_var_kind(x->d, x->matrix, i) != COLUMN_STRING ||
            dataset_var(x->d, x->matrix, i, &c) != OK)
            continue;
        if (c->n && c->missing == 0 && gene_is_ensembl(c->strings[0]))
            x->ids = (const char *const *)c->strings;
    }
    return OK;
}

static Err names_open(CliArgs *a, Names *x)
{
    a->file = a->argv[1];
    DatasetOptions opt = cli_session_params(a).dataset;
    TRY(dataset_open(a->file, &opt, a->ctl, &x->d));
    for (size_t i = 0; i < dataset_n_warnings(x->d); i++)
        log_warn("%s: %s", a->file, dataset_warning(x->d, i));
    x->matrix = matrix_for_values(x->d, opt.matrix);
    TRY(dataset_gene_names(x->d, x->matrix, &x->names, &x->n));
    TRY(find_ids(x));
    x->index = gene_index_new(x->names, x->ids, x->n);
    return OK;
}

static void add_suggestions(Str *s, const GeneHit *hit)
{
    for (size_t i = 0; i < hit->n_suggestions; i++)
        str_addf(s, "%s%s", i ? "," : "", hit->suggestions[i]);
}

static Err not_found(const char *query, const GeneHit *hit)
{
    Str s = {0};
    add_suggestions(&s, hit);
    if (hit->ambiguous)
        err_set(ERR_NOT_FOUND, "%s: is another name of several genes of the file: %s; choose one",
                query, str_text(&s));
    else if (hit->n_suggestions)
        err_set(ERR_NOT_FOUND, "%s: no such gene; did you mean %s?", query, str_text(&s));
    else
        err_set(ERR_NOT_FOUND, "%s: no such gene; 'scmmgpt genes FILE' lists the genes", query);
    str_free(&s);
    return ERR_NOT_FOUND;
}

/* ---- genes ---- */

/* The model's vocabulary (vocab.json of its bundle) and which genes of the file are in it. */
typedef struct Vocabulary {
    char **symbols; /* NULL when there is no bundle: names can be resolved without one */
    size_t n;
    GeneMatch match;
} Vocabulary;

static void vocabulary_done(Vocabulary *v)
{
    strings_free(v->symbols, v->n);
    gene_match_done(&v->match);
}

/* When there is none the reason is logged. */
static void read_vocabulary(CliArgs *a, Vocabulary *v)
{
    Str path = {0};
    const char *dir = a->g->model ? a->g->model : getenv("SCMMGPT_MODEL");
    char *text = NULL;
    Err err = OK;
    if (dir && *dir)
        str_addf(&path, "%s/vocab.json", dir);
    else
        err = assets_path("model/mini-1/vocab.json", &path);
    if (!err)
        err = str_read_file(str_text(&path), (size_t)64 << 20, ERR_MODEL, &text, NULL);
    cJSON *j = err ? NULL : cJSON_Parse(text);
    if (cJSON_IsObject(j)) {
        const cJSON *item;
        v->symbols = mem_must((size_t)(cJSON_GetArraySize(j) + 1) * sizeof *v->symbols);
        cJSON_ArrayForEach(item, j) if (item->string[0] != '<') v->symbols[v->n++] =
            mem_strdup(item->string);
    } else {
        log_info("no model vocabulary: %s", err ? err_message() : "vocab.json is no JSON object");
    }
    cJSON_Delete(j);
    free(text);
    str_free(&path);
}

/* "1", "0", or "" without a vocabulary. Of columns with one name the model takes the first. */
static const char *in_vocabulary(const Names *x, const Vocabulary *v, size_t column)
{
    if (!v->symbols)
        return "";
    size_t first = gene_index_duplicate(x->index, column, 0);
    return v->match.to[first == SIZE_MAX ? column : first] >= 0 ? "1" : "0";
}

static void gene_row(const Names *x, Table *t, const Vocabulary *v, const char *query,
                     const GeneHit *hit)
{
    Str s = {0};
    bool found = hit->how != GENE_NONE;
    add_suggestions(&s, hit);
    table_text(t, query);
    table_text(t, found ? hit->name : "");
    if (found)
        table_int(t, (int64_t)hit->column);
    else
        table_text(t, "");
    table_text(t, gene_how_name(hit->how));
    table_text(t, found ? in_vocabulary(x, v, hit->column) : "");
    table_int(t, found ? (int64_t)hit->duplicates : 0);
    table_text(t, str_text(&s));
    table_end_row(t);
    str_free(&s);
}

static Err list_genes(CliArgs *a, const Names *x, Table *t, const Vocabulary *v)
{
    for (size_t i = 0; i < x->n; i++) {
        size_t copies = 0;
        while (gene_index_duplicate(x->index, i, copies) != SIZE_MAX)
            copies++;
        GeneHit hit = {.how = GENE_EXACT, .column = i, .name = x->names[i], .duplicates = copies};
        gene_row(x, t, v, x->names[i], &hit);
    }
    if (v->symbols && !a->g->quiet)
        fprintf(stderr, "matched %zu of %zu genes (%s) to the model vocabulary of %zu\n",
                v->match.matched, x->n, gene_naming(x->names, x->n), v->n);
    return OK;
}

static Err resolve_genes(CliArgs *a, const Names *x, Table *t, const Vocabulary *v)
{
    Err missing = OK;
    for (int i = 2; i < a->argc; i++) {
        GeneHit hit;
        TRY(gene_resolve(x->index, a->argv[i], &hit));
        gene_row(x, t, v, a->argv[i], &hit);
        if (hit.how == GENE_NONE && missing == OK)
            missing = not_found(a->argv[i], &hit);
    }
    return missing;
}

Err cli_genes(CliArgs *a)
{
    Names x = {0};
    Table *t = NULL;
    TRY(cli_finish(a, 1, -1, "FILE [NAME...] [-o T.tsv]"));
    Vocabulary v = {0};
    Err err = names_open(a, &x);
    if (!err)
        read_vocabulary(a, &v);
    if (!err && v.symbols)
        err = gene_match(x.names, x.ids, x.n, (const char *const *)v.symbols, v.n, &v.match);
    if (!err)
        err = table_open(a->g->output, a->out, a->g->force, &t);
    if (!err) {
        table_row(t, "query", "name", "column", "how", "in_vocabulary", "duplicates", "suggestions",
                  NULL);
        err = a->argc > 2 ? resolve_genes(a, &x, t, &v) : list_genes(a, &x, t, &v);
        char *message = mem_strdup(err ? err_message() : "");
        Err closed = table_close(t); /* the table is whole also when a name was not found */
        if (err)
            err_restore(message);
        else
            err = closed;
        free(message);
    }
    vocabulary_done(&v);
    names_done(&x);
    return err;
}

/* ---- expr ---- */

static Err lognorm(Names *x, JobCtl *ctl, double *values, size_t cells, size_t genes)
{
    const MatrixInfo *m = dataset_matrix(x->d, (size_t)x->matrix);
    if (m->state != STATE_COUNTS) {
        log_warn("%s: is not counts (%s); values are given as stored", m->name,
                 matrix_state_name(m->state));
        return OK;
    }
    double *sums;
    TRY(NEW(sums, cells));
    Err err = dataset_row_sums(x->d, x->matrix, ctl, sums);
    for (size_t g = 0; g < genes && !err; g++)
        for (size_t i = 0; i < cells; i++)
            values[g * cells + i] =
                sums[i] > 0 ? log1p(1e4 * values[g * cells + i] / sums[i]) : 0;
    free(sums);
    return err;
}

/* Names of cells come in blocks: those of a million cells would take more memory than the values. */
static Err write_rows(Names *x, const double *values, size_t cells, size_t genes, Table *t)
{
    enum { BLOCK = 16384 };
    char *names[BLOCK];
    for (size_t row = 0; row < cells; row += BLOCK) {
        size_t n = cells - row < BLOCK ? cells - row : BLOCK;
        TRY(dataset_cell_names_block(x->d, row, n, names));
        for (size_t i = 0; i < n; i++) {
            table_text(t, names[i]);
            free(names[i]);
            for (size_t g = 0; g < genes; g++)
                table_number(t, values[g * cells + row + i]);
            table_end_row(t);
        }
    }
    return OK;
}

static Err write_expr(CliArgs *a, Names *x, const double *values, size_t cells, size_t genes)
{
    Table *t;
    TRY(table_open(a->g->output, a->out, a->g->force, &t));
    table_text(t, "cell");
    for (size_t g = 0; g < genes; g++)
        table_text(t, a->argv[2 + g]);
    table_end_row(t);
    Err err = write_rows(x, values, cells, genes, t);
    if (err) {
        table_abort(t);
        return err;
    }
    return table_close(t);
}

static Err expr_of(CliArgs *a, Names *x, bool log)
{
    size_t genes = (size_t)a->argc - 2, cells = dataset_cells(x->d);
    const MatrixInfo *m = dataset_matrix(x->d, (size_t)x->matrix);
    double *values;
    Err err = OK;
    if (m->state != STATE_COUNTS && !log)
        log_warn("%s: %s; values are given as stored (%s)", m->name,
                 dataset_model_matrix_reason(x->d), matrix_state_name(m->state));
    TRY(mem_check_budget((uint64_t)cells * genes * sizeof *values, "the table"));
    TRY(NEW(values, cells * genes));
    job_stage(a->ctl, "reading genes", genes);
    for (size_t g = 0; g < genes; g++) {
        GeneHit hit;
        const char *query = a->argv[2 + g];
        TRY_GOTO(gene_resolve(x->index, query, &hit));
        if (hit.how == GENE_NONE)
            TRY_GOTO(not_found(query, &hit));
        if (hit.duplicates > 1 && !strchr(query, '#'))
            log_warn("%s: %zu columns have this name; the first is taken, %s#2 is the second",
                     query, hit.duplicates, query);
        TRY_GOTO(dataset_read_gene_exact(x->d, x->matrix, hit.column, a->ctl,
                                         values + g * cells));
        TRY_GOTO(job_progress(a->ctl, g + 1));
    }
    if (log)
        TRY_GOTO(lognorm(x, a->ctl, values, cells, genes));
    err = write_expr(a, x, values, cells, genes);
done:
    free(values);
    return err;
}

Err cli_expr(CliArgs *a)
{
    Names x = {0};
    bool log = cli_take_flag(a, "--lognorm");
    TRY(cli_finish(a, 2, -1, "FILE GENE... [--lognorm] [-o T.tsv]"));
    Err err = names_open(a, &x);
    if (!err && x.matrix < 0)
        err = err_set(ERR_INPUT, "X: the file holds no expression matrix, so no gene has values");
    if (!err)
        err = expr_of(a, &x, log);
    names_done(&x);
    return err;
}
