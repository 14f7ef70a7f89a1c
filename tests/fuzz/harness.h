/* What all fuzz targets share: a scratch file, and reading everything that a dataset has. */
#ifndef SCMM_FUZZ_HARNESS_H
#define SCMM_FUZZ_HARNESS_H
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset_impl.h"
#include "core/data/genes.h"
#include "core/data/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A folder of this process in memory-backed storage; removed by nobody (a handful of small files).
 */
static inline const char *fuzz_folder(void)
{
    static char path[64];
    if (!path[0]) {
        snprintf(path, sizeof path, "/dev/shm/scmmgpt-fuzz-%d", (int)getpid());
        mkdir(path, 0700);
        mem_set_budget((uint64_t)1 << 30);
        log_set_sink(NULL, NULL, LOG_ERROR);
    }
    return path;
}

static inline void fuzz_write(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
}

static inline void fuzz_read_matrix(Dataset *d, int i)
{
    const MatrixInfo *m = dataset_matrix(d, (size_t)i);
    if (!m->readable || m->rows > 4096 || m->cols > 65536)
        return;
    for (size_t r = 0; r < m->rows; r += 7) {
        Csr c;
        if (dataset_read_rows(d, i, r, m->rows - r < 7 ? m->rows - r : 7, NULL, &c))
            break;
        for (size_t k = 0; k < csr_nnz(&c); k++)
            if (c.indices[k] < 0 || (size_t)c.indices[k] >= m->cols)
                abort();
        csr_done(&c);
    }
    float *v = calloc(m->rows + 1, sizeof *v);
    Err err = m->cols ? dataset_read_gene(d, i, m->cols / 2, NULL, v) : OK;
    err = m->cols && d->matrices[i].kind == MATRIX_SPARSE && d->matrices[i].by_cells
              ? matrix_scan_gene(&d->matrices[i], m->cols - 1, NULL, v)
              : OK;
    (void)err;
    free(v);
}

/* Every reader function, whatever it returns. */
static inline void fuzz_read_all(Dataset *d)
{
    const char *const *names;
    const Column *c;
    size_t n;
    Err err = dataset_cell_names(d, &names);
    for (size_t i = 0; i < dataset_n_obs(d); i++) {
        uint32_t *rgb;
        err = dataset_obs(d, i, &c);
        err = dataset_colors(d, dataset_obs_name(d, i), &rgb, &n);
        free(rgb);
    }
    for (size_t i = 0; i < dataset_n_obsm(d); i++) {
        float *v = NULL;
        if (dataset_obsm_info(d, i)->d < 4096 && dataset_obsm(d, i, &v) == OK)
            free(v);
    }
    for (int i = -1; i < (int)dataset_n_matrices(d); i++)
        if (dataset_gene_names(d, i, &names, &n) == OK && n && n < 4096) {
            GeneIndex *ix = gene_index_new(names, NULL, n);
            GeneHit hit;
            err = gene_resolve(ix, "CD3E#2", &hit);
            err = gene_resolve(ix, names[n / 2], &hit);
            gene_index_free(ix);
        }
    for (int i = 0; i < (int)dataset_n_matrices(d); i++)
        fuzz_read_matrix(d, i);
    Tree *t;
    if (dataset_uns(d, &t) == OK)
        tree_free(t);
    Csr g;
    if (dataset_obsp(d, "connectivities", NULL, &g) == OK)
        csr_done(&g);
    (void)err;
}

static inline void fuzz_open(const char *path, const DatasetOptions *opt)
{
    Dataset *d;
    if (dataset_open_unwatched(path, opt, &d))
        return;
    fuzz_read_all(d);
    dataset_close(d);
}
#endif
