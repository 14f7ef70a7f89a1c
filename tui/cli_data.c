/* `scmmgpt info` and `scmmgpt convert`: what is in a file, and the same as a current h5ad. */
#include "tui/cli_commands.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/h5ad_write.h"

/* ---- info ---- */

static cJSON *matrix_json(const MatrixInfo *m)
{
    cJSON *j = cJSON_CreateObject();
    double shape[2] = {(double)m->rows, (double)m->cols};
    cJSON_AddStringToObject(j, "name", m->name);
    cJSON_AddStringToObject(j, "storage", m->storage);
    cJSON_AddStringToObject(j, "dtype", m->dtype);
    cJSON_AddItemToObject(j, "shape", cJSON_CreateDoubleArray(shape, 2));
    cJSON_AddNumberToObject(j, "nnz", (double)m->nnz);
    cJSON_AddStringToObject(j, "state", matrix_state_name(m->state));
    cJSON_AddBoolToObject(j, "usable_for_model", m->usable_for_model);
    return j;
}

static cJSON *column_json(const Column *c)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "name", c->name);
    cJSON_AddStringToObject(j, "kind", column_kind_name(c->kind));
    if (c->kind == COLUMN_CATEGORICAL) {
        cJSON *list = cJSON_AddArrayToObject(j, "categories");
        for (size_t i = 0; i < c->n_categories; i++)
            cJSON_AddItemToArray(list, cJSON_CreateString(c->categories[i]));
    }
    cJSON_AddNumberToObject(j, "missing", (double)c->missing);
    return j;
}

static cJSON *obsm_json(const ObsmInfo *o)
{
    cJSON *j = cJSON_CreateObject();
    double shape[2] = {(double)o->n, (double)o->d};
    cJSON_AddStringToObject(j, "name", o->name);
    cJSON_AddItemToObject(j, "shape", cJSON_CreateDoubleArray(shape, 2));
    return j;
}

/* Reads the obs columns; those that cannot be read become warnings. */
static void add_obs(Dataset *d, cJSON *json, cJSON *warnings)
{
    cJSON *list = cJSON_AddArrayToObject(json, "obs");
    for (size_t i = 0; i < dataset_n_obs(d); i++) {
        const Column *c;
        if (dataset_obs(d, i, &c) == OK) {
            cJSON_AddItemToArray(list, column_json(c));
            continue;
        }
        char *text = str_format("obs/%s: %s; left out", dataset_obs_name(d, i), err_message());
        cJSON_AddItemToArray(warnings, cJSON_CreateString(text));
        free(text);
    }
}

/* Counts behind log-normalised values: null when there are counts, or they cannot be had back. */
static void add_recovery(const Dataset *d, cJSON *json)
{
    RecoveryInfo r;
    if (!dataset_recoverable(d, &r)) {
        cJSON_AddNullToObject(json, "recovered_counts");
        return;
    }
    cJSON *j = cJSON_AddObjectToObject(json, "recovered_counts");
    cJSON_AddStringToObject(j, "matrix", r.matrix);
    if (r.logarithm)
        cJSON_AddStringToObject(j, "logarithm", r.logarithm);
    else
        cJSON_AddNullToObject(j, "logarithm");
    if (r.target_sum > 0)
        cJSON_AddNumberToObject(j, "target_sum", r.target_sum);
    else
        cJSON_AddNullToObject(j, "target_sum");
    cJSON_AddNumberToObject(j, "cells_checked", (double)r.cells_checked);
}

static cJSON *info_json(Dataset *d)
{
    cJSON *j = cJSON_CreateObject(), *warnings = cJSON_CreateArray();
    cJSON_AddStringToObject(j, "format", dataset_format(d));
    cJSON_AddStringToObject(j, "encoding", dataset_encoding(d));
    cJSON_AddNumberToObject(j, "cells", (double)dataset_cells(d));
    cJSON_AddNumberToObject(j, "genes", (double)dataset_genes(d));
    cJSON *list = cJSON_AddArrayToObject(j, "matrices");
    for (size_t i = 0; i < dataset_n_matrices(d); i++)
        if (dataset_matrix(d, i)->readable) /* a warning names the others */
            cJSON_AddItemToArray(list, matrix_json(dataset_matrix(d, i)));
    int model = dataset_model_matrix(d);
    if (model >= 0)
        cJSON_AddStringToObject(j, "model_matrix", dataset_matrix(d, (size_t)model)->name);
    else
        cJSON_AddNullToObject(j, "model_matrix");
    cJSON_AddStringToObject(j, "model_matrix_reason", dataset_model_matrix_reason(d));
    add_recovery(d, j);
    cJSON_AddStringToObject(j, "gene_names_from", dataset_gene_names_from(d));
    add_obs(d, j, warnings);
    list = cJSON_AddArrayToObject(j, "obsm");
    for (size_t i = 0; i < dataset_n_obsm(d); i++)
        cJSON_AddItemToArray(list, obsm_json(dataset_obsm_info(d, i)));
    if (dataset_n_genomes(d)) {
        list = cJSON_AddArrayToObject(j, "genomes");
        for (size_t i = 0; i < dataset_n_genomes(d); i++)
            cJSON_AddItemToArray(list, cJSON_CreateString(dataset_genome(d, i)));
    }
    for (size_t i = 0; i < dataset_n_warnings(d); i++)
        cJSON_AddItemToArray(warnings, cJSON_CreateString(dataset_warning(d, i)));
    cJSON_AddItemToObject(j, "warnings", warnings);
    return j;
}

static const char *text_of(const cJSON *j, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItem(j, key));
    return s ? s : "none";
}

static double number_of(const cJSON *j, const char *key)
{
    return cJSON_GetNumberValue(cJSON_GetObjectItem(j, key));
}

/* Up to 6 categories, then how many more. */
static void add_categories(Str *s, const cJSON *categories)
{
    int n = cJSON_GetArraySize(categories);
    for (int i = 0; i < n && i < 6; i++) {
        str_add(s, i ? ", " : "  ");
        str_add_tsv(s, cJSON_GetArrayItem(categories, i)->valuestring);
    }
    if (n > 6)
        str_addf(s, ", ... (%d)", n);
}

static void print_column(FILE *out, const cJSON *c)
{
    Str s = {0};
    str_add(&s, "  ");
    str_add_tsv(&s, text_of(c, "name"));
    while (s.len < 26)
        str_add_char(&s, ' ');
    str_addf(&s, " %-12s", text_of(c, "kind"));
    if (number_of(c, "missing") > 0)
        str_addf(&s, "  %.0f missing", number_of(c, "missing"));
    add_categories(&s, cJSON_GetObjectItem(c, "categories"));
    fprintf(out, "%s\n", str_text(&s));
    str_free(&s);
}

static void print_info(FILE *out, const cJSON *j)
{
    const cJSON *item;
    fprintf(out, "%.0f cells x %.0f genes, %s", number_of(j, "cells"), number_of(j, "genes"),
            text_of(j, "format"));
    fprintf(out, " (%s), gene names from %s\n", text_of(j, "encoding"),
            text_of(j, "gene_names_from"));
    fprintf(out, "matrices\n");
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(j, "matrices"))
    {
        const cJSON *shape = cJSON_GetObjectItem(item, "shape");
        fprintf(
            out, "  %-23s %-5s %-8s %.0f x %.0f, %.0f values, %s%s\n", text_of(item, "name"),
            text_of(item, "storage"), text_of(item, "dtype"),
            cJSON_GetArrayItem(shape, 0)->valuedouble, cJSON_GetArrayItem(shape, 1)->valuedouble,
            number_of(item, "nnz"), text_of(item, "state"),
            cJSON_IsTrue(cJSON_GetObjectItem(item, "usable_for_model")) ? ""
                                                                        : " (not for the model)");
    }
    fprintf(out, "model matrix: %s\n", text_of(j, "model_matrix_reason"));
    fprintf(out, "obs\n");
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(j, "obs")) print_column(out, item);
    fprintf(out, "obsm\n");
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(j, "obsm"))
    {
        const cJSON *shape = cJSON_GetObjectItem(item, "shape");
        fprintf(out, "  %-23s %.0f x %.0f\n", text_of(item, "name"),
                cJSON_GetArrayItem(shape, 0)->valuedouble,
                cJSON_GetArrayItem(shape, 1)->valuedouble);
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(j, "warnings"))
    {
        Str s = {0};
        str_add_tsv(&s, item->valuestring);
        fprintf(out, "warning: %s\n", str_text(&s));
        str_free(&s);
    }
}

/* Everything readable is shown first; a file whose matrices are all unreadable then counts as
 * unreadable. */
static Err any_matrix(Dataset *d)
{
    size_t n = dataset_n_matrices(d);
    for (size_t i = 0; i < n; i++)
        if (dataset_matrix(d, i)->readable)
            return OK;
    return n ? dataset_check_matrix(d, 0) : OK;
}

Err cli_info(CliArgs *a)
{
    Dataset *d;
    TRY(cli_finish(a, 1, 1, "FILE [--json]"));
    a->file = a->argv[1];
    DatasetOptions opt = cli_session_params(a).dataset;
    opt.any_genome = true;
    TRY(dataset_open(a->file, &opt, a->ctl, &d));
    cJSON *j = info_json(d);
    if (a->g->json) {
        char *text = cJSON_Print(j);
        fprintf(a->out, "%s\n", text);
        free(text);
    } else {
        print_info(a->out, j);
    }
    cJSON_Delete(j);
    Err err = any_matrix(d);
    dataset_close(d);
    return err;
}

/* ---- convert ---- */

Err cli_convert(CliArgs *a)
{
    Dataset *d;
    TRY(cli_finish(a, 1, 1, "FILE -o OUT.h5ad"));
    if (!a->g->output)
        FAIL(ERR_USAGE, "-o: name the file to write; usage: scmmgpt convert FILE -o OUT.h5ad");
    if (strcmp(a->g->output, "-") == 0)
        FAIL(ERR_USAGE, "-o -: an h5ad cannot go to standard output; name a file");
    a->file = a->argv[1];
    DatasetOptions opt = cli_session_params(a).dataset;
    TRY(dataset_open(a->file, &opt, a->ctl, &d));
    Err err = h5ad_write_copy(d, a->g->output, H5AD_MODEL_IN_X, NULL, a->g->force, a->ctl);
    for (size_t i = 0; i < dataset_n_warnings(d) && err == OK; i++)
        log_warn("%s: %s", a->file, dataset_warning(d, i));
    dataset_close(d);
    return err;
}
