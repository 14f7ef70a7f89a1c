/* One gene, or the sum of each cell, of a matrix stored by cells: a pass over the file. libhdf5 says
 * where the parts of the arrays lie (one thread), several threads read, unpack and search them, and
 * the hits are put together in the order of the file, so that the answer does not depend on the
 * number of threads. Only the indices are read; values only where the gene is. Memory: a few MB a
 * thread. */
#include "core/data/dataset_impl.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { STRETCH = 1 << 16, AT_ONCE = 64, MOST_THREADS = 8, SINGLES = 64 };

/* A run of entries for one thread. */
typedef struct Piece {
    int64_t at;
    size_t n;
    ArrayPart part;
    bool plain; /* part is set */
    uint32_t *hit;
    size_t n_hits, cap;
    float *values; /* of the hits */
    ArrayPart *data;
    size_t n_data;
    bool failed;
} Piece;

typedef struct Scan {
    Matrix *m;
    int32_t gene; /* column in the file */
    int threads;
    Piece pieces[AT_ONCE];
    size_t n_pieces;
    size_t row; /* of the last hit */
} Scan;

static int threads_for(const Array *a)
{
    int n = omp_get_max_threads();
    size_t part = a->info.chunk[0] ? (size_t)a->info.chunk[0] * a->info.size : STRETCH * 8;
    size_t fit = ((size_t)12 << 20) / (part + 1); /* packed, unpacked, converted, twice */
    n = n < MOST_THREADS ? n : MOST_THREADS;
    return fit < 1 ? 1 : (size_t)n < fit ? n : (int)fit;
}

/* The next pieces of the array from *at on; entries that have no parts are read in stretches. */
static void next_pieces(Scan *s, Array *a, int64_t *at, int64_t end)
{
    for (s->n_pieces = 0; s->n_pieces < AT_ONCE && *at < end; s->n_pieces++) {
        Piece *p = &s->pieces[s->n_pieces];
        uint64_t last = (uint64_t)*at + STRETCH;
        p->plain = array_part(a, (uint64_t)*at, &p->part);
        if (p->plain)
            last = p->part.first + p->part.n;
        p->at = *at;
        p->n = (size_t)(last < (uint64_t)end ? last - (uint64_t)*at : (uint64_t)(end - *at));
        p->n_hits = p->n_data = 0;
        p->failed = false;
        *at += (int64_t)p->n;
    }
}

static bool add_hit(Piece *p, size_t k)
{
    if (p->n_hits == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 256;
        uint32_t *hit = realloc(p->hit, cap * sizeof *hit);
        float *values = realloc(p->values, cap * sizeof *values);
        p->hit = hit ? hit : p->hit;
        p->values = values ? values : p->values;
        if (!hit || !values)
            return false;
        p->cap = cap;
    }
    p->hit[p->n_hits++] = (uint32_t)k;
    return true;
}

/* Whether the gene is among GROUP indices; a loop of fixed length that compilers turn into vector
 * instructions. */
enum { GROUP = 64 };
static inline int any_of(const int32_t *indices, int32_t gene)
{
    int any = 0;
    for (int k = 0; k < GROUP; k++)
        any |= indices[k] == gene;
    return any;
}

static bool find_hits(Piece *p, const int32_t *indices, int32_t gene)
{
    bool good = true;
    for (size_t at = 0; at < p->n && good; at += GROUP) {
        size_t end = at + GROUP < p->n ? at + GROUP : p->n;
        if (end - at == GROUP && !any_of(indices + at, gene))
            continue;
        for (size_t k = at; k < end && good; k++)
            if (indices[k] == gene)
                good = add_hit(p, k);
    }
    return good;
}

/* Reads a piece of an array whose parts are known; any thread. */
static bool read_piece(const Array *a, const Piece *p, MemType type, void *out)
{
    return array_part_read(a, &p->part, (uint64_t)p->at, p->n, type, out);
}

static Err damaged(const Array *a)
{
    FAIL(ERR_INPUT, "%s: cannot be unpacked; the file is damaged or cut short, copy or write it again",
         a->path);
}

/* Where the values of the hits lie. */
static Err place_values(Scan *s, Piece *p)
{
    Array *a = s->m->data;
    for (size_t i = 0; i < p->n_hits;) {
        ArrayPart part;
        if (!array_part(a, (uint64_t)p->at + p->hit[i], &part)) {
            TRY(array_read_1d(a, (uint64_t)p->at + p->hit[i], 1, MEM_F32, &p->values[i]));
            i++;
            continue;
        }
        TRY(mem_realloc(&p->data, p->n_data + 1, sizeof *p->data));
        p->data[p->n_data++] = part;
        while (i < p->n_hits && (uint64_t)p->at + p->hit[i] < part.first + part.n)
            i++;
    }
    return OK;
}

/* The values of the hits in one part: many at once, few one by one where that is cheap. */
static bool read_values(const Array *a, Piece *p, const ArrayPart *part, size_t *i, float *buffer)
{
    size_t first = *i, end = first;
    while (end < p->n_hits && (uint64_t)p->at + p->hit[end] < part->first + part->n)
        end++;
    *i = end;
    uint64_t from = (uint64_t)p->at + p->hit[first];
    if (part->packed || end - first > SINGLES) {
        if (!array_part_read(a, part, from, p->hit[end - 1] - p->hit[first] + 1, MEM_F32, buffer))
            return false;
        for (size_t k = first; k < end; k++)
            p->values[k] = buffer[p->hit[k] - p->hit[first]];
        return true;
    }
    for (size_t k = first; k < end; k++)
        if (!array_part_read(a, part, (uint64_t)p->at + p->hit[k], 1, MEM_F32, &p->values[k]))
            return false;
    return true;
}

/* Hits before the part were read singly already. */
static bool read_all_values(const Array *a, Piece *p, float *buffer)
{
    size_t i = 0;
    for (size_t k = 0; k < p->n_data; k++) {
        while (i < p->n_hits && (uint64_t)p->at + p->hit[i] < p->data[k].first)
            i++;
        if (!read_values(a, p, &p->data[k], &i, buffer))
            return false;
    }
    return true;
}

static size_t largest_piece(const Scan *s)
{
    size_t n = 1;
    for (size_t i = 0; i < s->n_pieces; i++)
        n = s->pieces[i].n > n ? s->pieces[i].n : n;
    return n;
}

/* Runs `work` for every piece, each thread with a buffer of its own. */
static Err each_piece(Scan *s, const Array *a, bool (*work)(const Scan *, const Array *, Piece *, void *))
{
    bool failed = false;
    size_t n = largest_piece(s);
#pragma omp parallel num_threads(s->threads) reduction(|| : failed)
    {
        void *buffer = malloc(n * 8);
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < s->n_pieces; i++)
            failed = failed || !buffer || !work(s, a, &s->pieces[i], buffer);
        free(buffer);
    }
    return failed ? damaged(a) : OK;
}

static bool search(const Scan *s, const Array *a, Piece *p, void *buffer)
{
    return !p->plain || (read_piece(a, p, MEM_I32, buffer) && find_hits(p, buffer, s->gene));
}

static bool fetch(const Scan *s, const Array *a, Piece *p, void *buffer)
{
    return read_all_values(a, p, buffer);
}

/* Arrays without parts (Zarr, rare types): read by their store, searched here. */
static Err search_rest(Scan *s)
{
    int32_t *indices;
    Err err = OK;
    TRY(NEW(indices, STRETCH));
    for (size_t i = 0; i < s->n_pieces && !err; i++) {
        Piece *p = &s->pieces[i];
        if (p->plain)
            continue;
        err = array_read_1d(s->m->indices, (uint64_t)p->at, p->n, MEM_I32, indices);
        if (!err && !find_hits(p, indices, s->gene))
            err = err_set(ERR_NOMEM, "out of memory");
    }
    free(indices);
    return err;
}

static void add_up(Scan *s, float *out)
{
    const Matrix *m = s->m;
    for (size_t i = 0; i < s->n_pieces; i++) {
        const Piece *p = &s->pieces[i];
        for (size_t k = 0; k < p->n_hits; k++) {
            while (s->row + 1 < m->info.rows && m->indptr[s->row + 1] <= p->at + p->hit[k])
                s->row++; /* rows only go up */
            out[s->row] += p->values[k];
        }
    }
}

static void scan_done(Scan *s)
{
    for (size_t i = 0; i < AT_ONCE; i++) {
        free(s->pieces[i].hit);
        free(s->pieces[i].values);
        free(s->pieces[i].data);
    }
    free(s);
}

Err matrix_scan_gene(Matrix *m, size_t file_column, JobCtl *ctl, float *out)
{
    Err err = OK;
    TRY(matrix_load_indptr(m));
    Scan *s = mem_must(sizeof *s);
    int64_t at = m->indptr[0], end = m->indptr[m->info.rows];
    s->m = m;
    s->gene = (int32_t)file_column;
    s->threads = threads_for(m->indices);
    job_stage(ctl, "looking for the gene", (size_t)end);
    while (at < end) {
        next_pieces(s, m->indices, &at, end);
        TRY_GOTO(each_piece(s, m->indices, search));
        TRY_GOTO(search_rest(s));
        for (size_t i = 0; i < s->n_pieces; i++)
            TRY_GOTO(place_values(s, &s->pieces[i]));
        TRY_GOTO(each_piece(s, m->data, fetch));
        add_up(s, out);
        TRY_GOTO(job_progress(ctl, (size_t)at));
    }
done:
    scan_done(s);
    return err;
}

/* ---- sums ---- */

typedef struct Sums {
    Scan scan;
    size_t first_row[AT_ONCE]; /* that the piece begins in */
    double head[AT_ONCE], tail[AT_ONCE];
    double *out;
} Sums;

/* The first row that ends behind `at`. */
static size_t row_of(const Matrix *m, int64_t at)
{
    size_t lo = 0, hi = m->info.rows;
    while (lo + 1 < hi) {
        size_t mid = (lo + hi) / 2;
        if (m->indptr[mid] <= at)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* Rows that lie in the piece are written; its first and last row may go on in others. */
static bool sum_piece(const Scan *scan, const Array *a, Piece *p, void *buffer)
{
    Sums *s = (Sums *)scan; /* its first member; each piece writes its own places */
    const Matrix *m = scan->m;
    size_t i = (size_t)(p - scan->pieces), first = row_of(m, p->at);
    float *v = buffer;
    if (!read_piece(a, p, MEM_F32, v))
        return false;
    s->first_row[i] = first;
    s->head[i] = s->tail[i] = 0;
    int64_t end = p->at + (int64_t)p->n, at = p->at;
    for (size_t r = first; at < end; r++) {
        double sum = 0;
        int64_t to = m->indptr[r + 1] < end ? m->indptr[r + 1] : end;
        for (; at < to; at++)
            sum += v[at - p->at];
        if (r == first)
            s->head[i] = sum;
        else if (at == end)
            s->tail[i] = sum;
        else
            s->out[r] = sum;
    }
    return true;
}

bool matrix_can_sum(const Matrix *m)
{
    ArrayPart part;
    return m->kind == MATRIX_SPARSE && m->by_cells && !m->keep && m->data->info.count &&
           array_part(m->data, 0, &part);
}

Err matrix_sum_rows(Matrix *m, JobCtl *ctl, double *out)
{
    Err err = OK;
    TRY(matrix_load_indptr(m));
    Sums *s = mem_must(sizeof *s);
    Scan *scan = &s->scan;
    int64_t at = m->indptr[0], end = m->indptr[m->info.rows];
    scan->m = m;
    scan->threads = threads_for(m->data);
    s->out = out;
    memset(out, 0, m->info.rows * sizeof *out);
    while (at < end) {
        next_pieces(scan, m->data, &at, end);
        for (size_t i = 0; i < scan->n_pieces; i++)
            if (!scan->pieces[i].plain)
                FAIL_GOTO(ERR_INPUT, "%s: cannot be read; the file is damaged", m->data->path);
        TRY_GOTO(each_piece(scan, m->data, sum_piece));
        for (size_t i = 0; i < scan->n_pieces; i++) {
            const Piece *p = &scan->pieces[i];
            out[s->first_row[i]] += s->head[i];
            out[row_of(m, p->at + (int64_t)p->n - 1)] += s->tail[i];
        }
        TRY_GOTO(job_progress(ctl, row_of(m, at - 1)));
    }
done:
    free(s);
    return err;
}
