/* FileFacts: a copy of the dataset's structure that the UI thread may read at any time. */
#include "views/facts.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static char **strings_new(size_t n)
{
    return mem_must((n + 1) * sizeof(char *));
}

static void strings_free(char **s, size_t n)
{
    for (size_t i = 0; s && i < n; i++)
        free(s[i]);
    free(s);
}

static void describe_matrix(FileFacts *f, const Dataset *d)
{
    int m = dataset_working_matrix(d);
    const char *reason = dataset_model_matrix_reason(d);
    f->matrix_reason = mem_strdup(reason ? reason : "");
    f->matrix_ok = dataset_model_matrix(d) >= 0;
    RecoveryInfo counts;
    bool hidden = dataset_recoverable(d, &counts);
    if (m < 0) {
        f->matrix = hidden ? str_format("%s, counts recoverable", counts.matrix) : mem_strdup("no usable matrix");
        return;
    }
    const MatrixInfo *info = dataset_matrix(d, (size_t)m);
    const MatrixInfo *first = dataset_matrix(d, 0);
    bool other = strcmp(info->name, "X") && !strcmp(first->name, "X");
    if (!other && hidden) {
        f->matrix =
            str_format("%s %s, %s", info->name, matrix_state_name(info->state),
                       counts.logarithm ? "counts recoverable" : "counts perhaps recoverable");
        return;
    }
    f->matrix = other ? str_format("X %s: using %s (%s)", matrix_state_name(first->state),
                                   info->name, matrix_state_name(info->state))
                      : str_format("%s %s", info->name, matrix_state_name(info->state));
}

FileFacts *facts_new(Session *s)
{
    Dataset *d = session_dataset(s);
    FileFacts *f = mem_must(sizeof *f);
    char *path = mem_strdup(dataset_path(d));
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        path[--len] = 0;
    const char *slash = strrchr(path, '/');
    f->name = mem_strdup(slash && slash[1] ? slash + 1 : path);
    free(path);
    f->encoding = mem_strdup(dataset_encoding(d));
    f->cells = dataset_cells(d);
    f->genes = dataset_genes(d);
    describe_matrix(f, d);
    f->n_obs = dataset_n_obs(d);
    f->obs = strings_new(f->n_obs);
    f->obs_kind = mem_must((f->n_obs + 1) * sizeof *f->obs_kind);
    for (size_t i = 0; i < f->n_obs; i++) {
        f->obs[i] = mem_strdup(dataset_obs_name(d, i));
        f->obs_kind[i] = dataset_obs_kind(d, i);
    }
    f->maps = strings_new(dataset_n_obsm(d));
    for (size_t i = 0; i < dataset_n_obsm(d); i++)
        if (dataset_obsm_info(d, i)->d >= 2)
            f->maps[f->n_maps++] = mem_strdup(dataset_obsm_info(d, i)->name);
    f->n_warnings = dataset_n_warnings(d);
    f->warnings = strings_new(f->n_warnings);
    for (size_t i = 0; i < f->n_warnings; i++)
        f->warnings[i] = mem_strdup(dataset_warning(d, i));
    return f;
}

void facts_free(FileFacts *f)
{
    if (!f)
        return;
    free(f->name);
    free(f->encoding);
    free(f->matrix);
    free(f->matrix_reason);
    free(f->obs_kind);
    strings_free(f->obs, f->n_obs);
    strings_free(f->maps, f->n_maps);
    strings_free(f->warnings, f->n_warnings);
    free(f);
}
