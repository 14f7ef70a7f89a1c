/* The file: a header, genes+1 positions (int64), nnz rows (int32), nnz values (float32), the sums of
 * the cells (float64), all little-endian as in memory. Its name is a hash of the dataset's path, size, time and
 * structure, so that a changed file has another one. */
#include "core/data/sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fd.h"
#include "core/base/hash.h"
#include "core/base/leftover.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/cache.h"

static const char magic[16] = "scmmgpt by gen2";

typedef struct Header {
    char magic[16];
    char key[64];
    uint64_t cells, genes, nnz;
    char path[1024]; /* of the dataset, for people */
} Header;

struct Sidecar {
    int fd;
    Header h;
};

/* ---- key and place ---- */

static Err key_of(Dataset *d, const Matrix *m, char hex[65], char real[1024])
{
    Str s = {0};
    TRY(dataset_identity(d, &s, real));
    str_addf(&s, "\n%s %s %s %zu %zu %zu %d", m->info.name, m->info.storage, m->info.dtype, m->info.rows,
             m->info.cols, m->info.nnz, m->keep != NULL);
    hash_sha256(s.data, s.len, hex);
    str_free(&s);
    return OK;
}

static Err path_of(const char *hex, bool create, Str *out)
{
    TRY(cache_folder(create, out));
    str_addf(out, "/%.40s" SIDECAR_SUFFIX, hex);
    return OK;
}

/* ---- reading ---- */

static uint64_t rows_at(const Header *h)
{
    return sizeof *h + (h->genes + 1) * 8;
}

static uint64_t values_at(const Header *h)
{
    return rows_at(h) + h->nnz * 4;
}

static uint64_t sums_at(const Header *h)
{
    return values_at(h) + h->nnz * 4;
}

static uint64_t end_of(const Header *h)
{
    return sums_at(h) + h->cells * 8;
}

Sidecar *sidecar_open(Dataset *d, const Matrix *m)
{
    char hex[65], real[1024];
    Str path = {0};
    struct stat st;
    int fd = -1;
    Header h;
    if (key_of(d, m, hex, real) == OK && path_of(hex, false, &path) == OK)
        fd = open(str_text(&path), O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fd_read_at(fd, &h, sizeof h, 0) &&
                memcmp(h.magic, magic, sizeof magic) == 0 &&
                memcmp(h.key, hex, sizeof h.key) == 0 && h.cells == m->info.rows &&
                h.genes == m->info.cols && h.nnz <= m->info.nnz && fstat(fd, &st) == 0 &&
                (uint64_t)st.st_size == end_of(&h);
    if (good)
        utimensat(AT_FDCWD, str_text(&path), NULL, 0); /* used now */
    str_free(&path);
    if (!good) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    Sidecar *s = mem_must(sizeof *s);
    s->fd = fd;
    s->h = h;
    return s;
}

void sidecar_close(Sidecar *s)
{
    if (!s)
        return;
    close(s->fd);
    free(s);
}

Err sidecar_read_gene(Sidecar *s, size_t gene, float *out)
{
    int64_t ends[2];
    int32_t *rows = NULL;
    float *values = NULL;
    Err err = OK;
    bool good = fd_read_at(s->fd, ends, sizeof ends, sizeof s->h + gene * 8) && ends[0] >= 0 &&
                ends[1] >= ends[0] && (uint64_t)ends[1] <= s->h.nnz;
    size_t n = good ? (size_t)(ends[1] - ends[0]) : 0;
    TRY_GOTO(NEW(rows, n));
    TRY_GOTO(NEW(values, n));
    good = good && fd_read_at(s->fd, rows, n * 4, rows_at(&s->h) + (uint64_t)ends[0] * 4) &&
           fd_read_at(s->fd, values, n * 4, values_at(&s->h) + (uint64_t)ends[0] * 4);
    for (size_t i = 0; i < n && good; i++) {
        good = (uint64_t)rows[i] < s->h.cells;
        if (good)
            out[rows[i]] += values[i];
    }
    if (!good)
        err = err_set(ERR_GENERAL, "the cached copy by gene is damaged; run: scmmgpt cache clear");
done:
    free(rows);
    free(values);
    return err;
}

bool sidecar_read_sums(Sidecar *s, double *out)
{
    return fd_read_at(s->fd, out, s->h.cells * sizeof *out, sums_at(&s->h));
}

char *sidecar_describe(const char *path)
{
    Header h;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good =
        fd >= 0 && fd_read_at(fd, &h, sizeof h, 0) && memcmp(h.magic, magic, sizeof magic) == 0;
    if (fd >= 0)
        close(fd);
    return mem_strdup(good ? (h.path[sizeof h.path - 1] = 0, h.path) : "");
}

/* ---- building ---- */

typedef struct Build {
    int fd;
    Header h;
    int64_t *at;   /* [genes+1] first position of each gene */
    int64_t *next; /* [genes] where its next value goes */
    double *sums;  /* [cells] */
} Build;

static Err write_at(int fd, const void *in, size_t n, uint64_t at)
{
    const char *p = in;
    while (n) {
        ssize_t put = pwrite(fd, p, n, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            FAIL(ERR_GENERAL, "the cache cannot be written: %s", strerror(errno));
        p += put;
        n -= (size_t)put;
        at += (uint64_t)put;
    }
    return OK;
}

/* Blocks of about 8 million values, fewer where memory is short: 20 bytes a value at the widest. */
static size_t build_rows(const Matrix *m)
{
    uint64_t fit = mem_budget() / 20, most = (uint64_t)1 << 23;
    size_t per_row = m->info.rows ? m->info.nnz / m->info.rows + 1 : 1,
           rows = (size_t)(fit < most ? fit : most) / per_row;
    return rows < 1 ? 1 : rows;
}

/* Positions from the indices alone. A gene that a row names twice keeps a place that stays zero: nothing is added to
 * the first cell. */
static Err count_genes(Matrix *m, JobCtl *ctl, Build *b)
{
    enum { STEP = 1 << 20 };
    int32_t *indices;
    Err err = OK;
    uint64_t nnz = m->indices->info.count;
    TRY(NEW(indices, STEP));
    for (uint64_t at = 0; at < nnz; at += STEP) {
        size_t n = nnz - at < STEP ? (size_t)(nnz - at) : STEP;
        TRY_GOTO(array_read_1d(m->indices, at, n, MEM_I32, indices));
        for (size_t k = 0; k < n; k++) {
            if ((uint32_t)indices[k] >= m->file_genes)
                FAIL_GOTO(ERR_INPUT, "%s: entry %llu names column %d of %zu; the file is damaged", m->indices->path,
                          (unsigned long long)(at + k), (int)indices[k], m->file_genes);
            int32_t gene = m->keep ? m->keep[indices[k]] : indices[k];
            if (gene >= 0)
                b->at[gene + 1]++;
        }
        TRY_GOTO(job_progress(ctl, (size_t)((double)(at + n) / (double)nnz * (double)m->info.rows)));
    }
    for (size_t g = 0; g < m->info.cols; g++) {
        b->at[g + 1] += b->at[g];
        b->next[g] = b->at[g];
    }
done:
    free(indices);
    return err;
}

static Err write_block(Build *b, const Csr *c, size_t row0)
{
    Csr t;
    TRY(csr_transpose(c, &t));
    size_t nnz = csr_nnz(&t);
    Err err = OK;
    for (size_t k = 0; k < nnz; k++)
        t.indices[k] += (int32_t)row0;
    for (size_t g = 0; g < t.rows && !err; g++) {
        size_t n = (size_t)(t.indptr[g + 1] - t.indptr[g]);
        if (!n)
            continue;
        err = write_at(b->fd, t.indices + t.indptr[g], n * 4,
                       rows_at(&b->h) + (uint64_t)b->next[g] * 4);
        if (!err)
            err = write_at(b->fd, t.values + t.indptr[g], n * 4,
                           values_at(&b->h) + (uint64_t)b->next[g] * 4);
        b->next[g] += (int64_t)n;
    }
    csr_done(&t);
    return err;
}

static Err write_blocks(Dataset *d, Matrix *m, JobCtl *ctl, Build *b)
{
    size_t step = build_rows(m);
    for (size_t r = 0; r < m->info.rows; r += step) {
        Csr c;
        size_t n = m->info.rows - r < step ? m->info.rows - r : step;
        TRY(matrix_read_rows(d, m, r, n, ctl, &c));
        csr_row_sums(&c, b->sums + r);
        Err err = write_block(b, &c, r);
        csr_done(&c);
        TRY(err);
        sync_file_range(b->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* to disk meanwhile, so that the end does not wait */
        TRY(job_progress(ctl, r + n));
    }
    return OK;
}

static Err build_into(Dataset *d, Matrix *m, JobCtl *ctl, Build *b)
{
    size_t genes = m->info.cols;
    TRY(NEW0(b->at, genes + 1));
    TRY(NEW(b->next, genes));
    TRY(NEW0(b->sums, m->info.rows));
    job_stage(ctl, "counting values by gene", m->info.rows);
    TRY(count_genes(m, ctl, b));
    b->h.nnz = (uint64_t)b->at[genes];
    int full = posix_fallocate(b->fd, 0, (off_t)end_of(&b->h));
    if (full && full != EOPNOTSUPP && full != EINVAL)
        FAIL(ERR_GENERAL, "the cache cannot be written: %s", strerror(full));
    job_stage(ctl, "copying by gene", m->info.rows);
    TRY(write_blocks(d, m, ctl, b));
    TRY(write_at(b->fd, b->at, (genes + 1) * 8, sizeof b->h));
    TRY(write_at(b->fd, b->sums, b->h.cells * 8, sums_at(&b->h)));
    return write_at(b->fd, &b->h, sizeof b->h, 0);
}

Err sidecar_build(Dataset *d, Matrix *m, JobCtl *ctl)
{
    Build b = {.fd = -1};
    char hex[65], real[1024];
    Str path = {0};
    char *temp = NULL;
    Err err = OK;
    TRY(key_of(d, m, hex, real));
    TRY(cache_make_room(sizeof(Header) + (m->info.cols + 1) * 8 + (uint64_t)m->info.nnz * 8 +
                        (uint64_t)m->info.rows * 8));
    TRY_GOTO(path_of(hex, true, &path));
    memcpy(b.h.magic, magic, sizeof magic);
    memcpy(b.h.key, hex, sizeof b.h.key);
    memcpy(b.h.path, real, sizeof b.h.path);
    b.h.cells = m->info.rows;
    b.h.genes = m->info.cols;
    temp = str_format("%s.XXXXXX", str_text(&path));
    b.fd = mkstemp(temp);
    if (b.fd < 0)
        FAIL_GOTO(ERR_GENERAL, "%s: cannot be written: %s", temp, strerror(errno));
    leftover_add(temp);
    TRY_GOTO(build_into(d, m, ctl, &b));
    if (ftruncate(b.fd, (off_t)end_of(&b.h)) || fdatasync(b.fd) || rename(temp, str_text(&path)))
        FAIL_GOTO(ERR_GENERAL, "%s: cannot be written: %s", str_text(&path), strerror(errno));
done:
    if (err && temp && b.fd >= 0)
        unlink(temp);
    if (temp)
        leftover_forget(temp);
    if (b.fd >= 0)
        close(b.fd);
    free(temp);
    free(b.at);
    free(b.next);
    free(b.sums);
    str_free(&path);
    return err;
}
