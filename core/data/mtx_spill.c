/* A matrix.mtx that does not fit in memory: its entries go to a file without a name, in the order
 * of cells. Files sorted by cell (what Cell Ranger and its kin write) take one pass over the text,
 * others one to count and one for every window of cells that fits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/fd.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/cache.h"
#include "core/data/mtx.h"

typedef struct Pair { /* as it lies in the file */
    int32_t col;
    float value;
} Pair;

enum {
    ENTRY = 20 /* bytes for an entry on its way: triplet and row */,
    FEWEST = 16,
    BLOCK = 1 << 18
};

typedef struct Spill {
    Matrix *m;
    JobCtl *ctl;
    int fd;
    int64_t *indptr;
    int32_t *cell, *col; /* the window's entries */
    float *value;
    size_t n, cap;
    size_t row0; /* rows before it are written */
} Spill;

/* ---- the file ---- */

static Err nameless_file(int *fd)
{
    Str path = {0};
    const char *tmp = getenv("TMPDIR");
    *fd = -1;
    for (int i = 0; i < 2 && *fd < 0; i++) {
        str_clear(&path);
        if (i == 0 && cache_folder(true, &path))
            continue;
        if (i == 1)
            str_add(&path, tmp && *tmp ? tmp : "/tmp");
        str_add(&path, "/spill-XXXXXX");
        char *name = str_take(&path);
        *fd = mkstemp(name);
        if (*fd >= 0)
            unlink(name);
        free(name);
    }
    str_free(&path);
    if (*fd < 0)
        FAIL(ERR_NOMEM, "does not fit in memory, and no file for it can be made: %s",
             strerror(errno));
    return OK;
}

static Err write_all(int fd, const void *data, size_t n)
{
    for (const char *p = data; n;) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            FAIL(ERR_NOMEM,
                 "does not fit in memory, and the cache folder cannot hold it (%s); make room, or "
                 "raise --max-memory",
                 k < 0 ? strerror(errno) : "nothing written");
        p += k;
        n -= (size_t)k;
    }
    return OK;
}

static Err read_back(int fd, int64_t at, void *out, size_t n)
{
    if (!fd_read_at(fd, out, n, (uint64_t)at))
        FAIL(ERR_GENERAL, "the sorted copy cannot be read: %s", strerror(errno));
    return OK;
}

/* ---- windows ---- */

static Err reserve(Spill *s, size_t cap)
{
    TRY(mem_realloc(&s->cell, cap, sizeof *s->cell));
    TRY(mem_realloc(&s->col, cap, sizeof *s->col));
    TRY(mem_realloc(&s->value, cap, sizeof *s->value));
    s->cap = cap;
    return OK;
}

/* Writes rows row0..row1, whose entries are the first n. */
static Err flush(Spill *s, size_t row1, size_t n)
{
    Csr c;
    Pair *pairs = NULL;
    TRY(mtx_rows(s->row0, row1, s->m->info.cols, s->cell, s->col, s->value, n, s->ctl, &c));
    size_t nnz = csr_nnz(&c);
    Err err = NEW(pairs, nnz);
    for (size_t k = 0; !err && k < nnz; k++)
        pairs[k] = (Pair){c.indices[k], c.values[k]};
    for (size_t r = 0; !err && r < c.rows; r++)
        s->indptr[s->row0 + r + 1] = s->indptr[s->row0] + c.indptr[r + 1];
    if (!err)
        err = write_all(s->fd, pairs, nnz * sizeof *pairs);
    free(pairs);
    csr_done(&c);
    s->row0 = row1;
    memmove(s->cell, s->cell + n, (s->n - n) * sizeof *s->cell);
    memmove(s->col, s->col + n, (s->n - n) * sizeof *s->col);
    memmove(s->value, s->value + n, (s->n - n) * sizeof *s->value);
    s->n -= n;
    return err;
}

/* Room for one more entry of a file sorted by cell: complete rows are written. */
static Err make_room(Spill *s)
{
    if (s->n < s->cap)
        return OK;
    size_t last = (size_t)s->cell[s->n - 1], n = s->n;
    while (n && (size_t)s->cell[n - 1] == last)
        n--;
    return n ? flush(s, last, n) : reserve(s, s->cap * 2);
}

typedef Err OnEntry(Spill *s, int32_t cell, int32_t col, float value, bool *stop);

/* One pass over the text. */
static Err each_entry(Spill *s, OnEntry *on, bool *stopped)
{
    TextFile *t;
    MtxHead h;
    MtxEntry e;
    Err err = OK;
    uint64_t seen = 0;
    const char *path = s->m->mtx_path;
    *stopped = false;
    TRY(textfile_open(path, &t));
    TRY_GOTO(mtx_head(path, t, &h));
    job_stage(s->ctl, "sorting the matrix", textfile_bytes(t));
    for (bool more = true; !*stopped; seen++) {
        int32_t cell, col;
        TRY_GOTO(mtx_next(path, t, &h, &e, &more));
        if (!more)
            break;
        TRY_GOTO(mtx_place(s->m, &e, &cell, &col));
        if (col >= 0)
            TRY_GOTO(on(s, cell, col, e.value, stopped));
        if (seen % 65536 == 0)
            TRY_GOTO(job_progress(s->ctl, textfile_at(t)));
    }
done:
    textfile_close(t);
    return err;
}

static Err add(Spill *s, int32_t cell, int32_t col, float value)
{
    s->cell[s->n] = cell;
    s->col[s->n] = col;
    s->value[s->n++] = value;
    return OK;
}

static Err in_order(Spill *s, int32_t cell, int32_t col, float value, bool *stop)
{
    *stop = (size_t)cell < s->row0 || (s->n && cell < s->cell[s->n - 1]);
    if (*stop)
        return OK;
    TRY(make_room(s));
    return add(s, cell, col, value);
}

static Err count(Spill *s, int32_t cell, int32_t col, float value, bool *stop)
{
    s->indptr[cell + 1]++;
    return OK;
}

static Err in_window(Spill *s, int32_t cell, int32_t col, float value, bool *stop)
{
    bool inside = (size_t)cell >= s->row0 && s->n < s->cap &&
                  (size_t)cell < (size_t)s->indptr[0]; /* the window's end, see by_windows */
    return inside ? add(s, cell, col, value) : OK;
}

/* Not sorted by cell: count, then a pass for each window. */
static Err by_windows(Spill *s)
{
    bool stopped;
    size_t rows = s->m->info.rows;
    int64_t *counts;
    TRY(NEW(counts, rows + 1));
    memset(s->indptr, 0, (rows + 1) * sizeof *s->indptr);
    s->n = s->row0 = 0;
    Err err = ftruncate(s->fd, 0) || lseek(s->fd, 0, SEEK_SET)
                  ? err_set(ERR_GENERAL, "%s", strerror(errno))
                  : each_entry(s, count, &stopped);
    memcpy(counts, s->indptr, (rows + 1) * sizeof *counts);
    s->indptr[0] = 0;
    while (!err && s->row0 < rows) {
        size_t row1 = s->row0;
        uint64_t sum = 0;
        while (row1 < rows && (row1 == s->row0 || sum + (uint64_t)counts[row1 + 1] <= s->cap))
            sum += (uint64_t)counts[++row1];
        if (sum > s->cap)
            err = reserve(s, (size_t)sum);
        int64_t from = s->indptr[s->row0];
        s->indptr[0] = (int64_t)row1;
        if (!err)
            err = each_entry(s, in_window, &stopped);
        s->indptr[0] = 0;
        s->indptr[s->row0] = from;
        if (!err)
            err = flush(s, row1, s->n);
    }
    free(counts);
    return err;
}

Err mtx_spill(Matrix *m, uint64_t memory, JobCtl *ctl)
{
    Spill s = {.m = m, .ctl = ctl, .fd = -1};
    size_t cap = (size_t)(memory / ENTRY);
    bool stopped = false;
    Err err = OK;
    TRY(nameless_file(&s.fd));
    TRY_GOTO(NEW0(s.indptr, m->info.rows + 1));
    TRY_GOTO(reserve(&s, cap < FEWEST ? FEWEST : cap));
    TRY_GOTO(each_entry(&s, in_order, &stopped));
    if (stopped)
        TRY_GOTO(by_windows(&s));
    else
        TRY_GOTO(flush(&s, m->info.rows, s.n));
    m->spill_fd = s.fd;
    m->indptr = s.indptr;
    m->kind = MATRIX_SPILLED;
    s.fd = -1;
    s.indptr = NULL;
done:
    if (s.fd >= 0)
        close(s.fd);
    free(s.indptr);
    free(s.cell);
    free(s.col);
    free(s.value);
    return err ? err_context(err, "%s", m->mtx_path) : OK;
}

/* ---- reading ---- */

Err spill_read_rows(const Matrix *m, size_t row0, size_t n, Csr *out)
{
    Csr c;
    Pair *pairs;
    int64_t from = m->indptr[row0];
    size_t nnz = (size_t)(m->indptr[row0 + n] - from), at = 0;
    TRY(mem_check_budget((uint64_t)nnz * 8, m->info.name));
    TRY(csr_init(&c, n, m->info.cols, nnz));
    Err err = NEW(pairs, BLOCK);
    for (size_t r = 0; r <= n; r++)
        c.indptr[r] = m->indptr[row0 + r] - from;
    while (!err && at < nnz) {
        size_t k = nnz - at < BLOCK ? nnz - at : BLOCK;
        err = read_back(m->spill_fd, (from + (int64_t)at) * (int64_t)sizeof *pairs, pairs,
                      k * sizeof *pairs);
        for (size_t i = 0; !err && i < k; i++) {
            c.indices[at + i] = pairs[i].col;
            c.values[at + i] = pairs[i].value;
        }
        at += k;
    }
    free(pairs);
    if (err)
        csr_done(&c);
    else
        *out = c;
    return err;
}

Err spill_read_gene(const Matrix *m, size_t col, JobCtl *ctl, float *out)
{
    Pair *pairs;
    int64_t nnz = m->indptr[m->info.rows], at = 0;
    size_t row = 0;
    TRY(NEW(pairs, BLOCK));
    Err err = OK;
    while (!err && at < nnz) {
        int64_t k = nnz - at < BLOCK ? nnz - at : BLOCK;
        err = read_back(m->spill_fd, at * (int64_t)sizeof *pairs, pairs, (size_t)k * sizeof *pairs);
        for (int64_t i = 0; !err && i < k; i++) {
            if ((size_t)pairs[i].col != col)
                continue;
            while (m->indptr[row + 1] <= at + i)
                row++;
            out[row] += pairs[i].value;
        }
        at += k;
        if (!err)
            err = job_progress(ctl, ctl ? atomic_load(&ctl->done) : 0);
    }
    free(pairs);
    return err;
}
