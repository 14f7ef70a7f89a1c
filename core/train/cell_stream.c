/* The files of a stream, their blocks in the order of an epoch, and the window in memory. */
#include "core/train/cell_stream.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/data/dataset.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, WINDOW = 16, OPEN_FILES = 8, FEW_GENES = 100 };
/* streams of random numbers behind one seed */
enum { SPLIT = 1, BLOCKS = 2, CELLS = 3 };

typedef struct File {
    const char *path;
    Dataset *d; /* NULL: closed */
    uint64_t used;
    size_t cells;
    int matrix;
    bool log;
    int32_t *gene; /* [columns] */
    size_t columns;
} File;

typedef struct Block {
    uint32_t file;
    size_t row, n, train; /* rows; those that are not held out */
} Block;

struct CellStream {
    CellStreamSpec spec;
    GeneSpace *genes;
    File *file;
    Block *block;
    size_t n_blocks, cells, held;
    Str identity;
    uint64_t clock;
    /* the epoch whose order is known */
    uint64_t epoch;
    size_t *order; /* [n_blocks] */
    /* the window in memory: blocks order[w*WINDOW..] of the epoch */
    uint64_t window_epoch;
    size_t window_start; /* position of its first cell within the epoch */
    StreamCells w;
    size_t *shuffled; /* [w.n] */
};

/* ---- files ---- */
static void close_oldest(CellStream *s)
{
    File *old = NULL;
    size_t open = 0;
    for (size_t i = 0; i < s->spec.n_files; i++) {
        File *f = &s->file[i];
        if (!f->d)
            continue;
        open++;
        if (!old || f->used < old->used)
            old = f;
    }
    if (open < OPEN_FILES)
        return;
    dataset_close(old->d);
    old->d = NULL;
}

static Err need_file(CellStream *s, File *f, JobCtl *ctl)
{
    f->used = ++s->clock;
    if (f->d)
        return OK;
    close_oldest(s);
    TRY(err_context(dataset_open(f->path, NULL, ctl, &f->d), "%s", f->path));
    if (f->columns && dataset_cells(f->d) != f->cells)
        FAIL(ERR_INPUT, "%s: has changed since training began", f->path);
    return OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All gene names of the files. */
static Err join_genes(CellStream *s, JobCtl *ctl)
{
    StrMap *seen = strmap_new(65536);
    char **name = NULL;
    size_t count = 0, cap = 0;
    Err err = OK;
    for (size_t i = 0; i < s->spec.n_files; i++) {
        File *f = &s->file[i];
        const char *const *g;
        size_t n;
        TRY_GOTO(need_file(s, f, ctl));
        TRY_GOTO(dataset_gene_names(f->d, dataset_working_matrix(f->d), &g, &n));
        for (size_t k = 0; k < n; k++) {
            if (g[k][0] == '<' || !strmap_put(seen, g[k], 1))
                continue;
            if (count == cap)
                TRY_GOTO(mem_realloc(&name, cap = cap ? 2 * cap : 32768, sizeof *name));
            name[count++] = mem_strdup(g[k]);
        }
    }
    qsort(name, count, sizeof *name, by_name);
    err = genespace_new((const char *const *)name, count, &s->genes);
done:
    for (size_t i = 0; i < count; i++)
        free(name[i]);
    free(name);
    strmap_free(seen);
    return err;
}

/* Of columns with one name the first counts. */
static Err map_columns(CellStream *s, File *f)
{
    const char *const *name;
    size_t known = 0;
    uint8_t *taken;
    TRY(dataset_gene_names(f->d, f->matrix, &name, &f->columns));
    TRY(NEW(f->gene, f->columns));
    TRY(NEW0(taken, s->genes->n));
    for (size_t i = 0; i < f->columns; i++) {
        int64_t g = strmap_get(s->genes->by_name, name[i], -1);
        f->gene[i] = g >= 0 && !taken[g] ? (int32_t)g : -1;
        known += f->gene[i] >= 0;
        if (g >= 0)
            taken[g] = 1;
    }
    free(taken);
    size_t need = s->genes->n < FEW_GENES ? 1 : FEW_GENES;
    if (known < need)
        FAIL(ERR_FEW_GENES, "%s: %zu of its %zu genes are in the vocabulary; give gene symbols",
             f->path, known, f->columns);
    return OK;
}

static Err look_at_file(CellStream *s, size_t i, JobCtl *ctl)
{
    File *f = &s->file[i];
    TRY(need_file(s, f, ctl));
    f->cells = dataset_cells(f->d);
    f->matrix = dataset_working_matrix(f->d);
    if (f->matrix < 0)
        FAIL(ERR_INPUT, "%s: no matrix with counts or log-normalised values: %s", f->path,
             dataset_model_matrix_reason(f->d));
    const MatrixInfo *m = dataset_matrix(f->d, (size_t)f->matrix);
    f->log = m->state == STATE_LOGNORM;
    str_addf(&s->identity, "%s\t%zu\t%zu\t%zu\n", f->path, m->rows, m->cols, m->nnz);
    return map_columns(s, f);
}

/* ---- blocks ---- */
static bool is_held(const CellStream *s, size_t file, size_t row)
{
    Rng r = rng_make(s->spec.seed << 2 | SPLIT, (uint64_t)file << 40 | row);
    return rng_uniform(&r) < s->spec.held_out;
}

static Err make_blocks(CellStream *s, JobCtl *ctl)
{
    for (size_t i = 0; i < s->spec.n_files; i++)
        s->n_blocks += (s->file[i].cells + BLOCK - 1) / BLOCK;
    TRY(NEW(s->block, s->n_blocks));
    TRY(NEW(s->order, s->n_blocks));
    size_t at = 0;
    for (size_t i = 0; i < s->spec.n_files; i++)
        for (size_t row = 0; row < s->file[i].cells; row += BLOCK) {
            size_t left = s->file[i].cells - row;
            Block b = {.file = (uint32_t)i, .row = row, .n = left < BLOCK ? left : BLOCK};
            for (size_t k = 0; k < b.n; k++)
                b.train += !is_held(s, i, row + k);
            s->cells += b.train;
            s->held += b.n - b.train;
            s->block[at++] = b;
            TRY(job_look(ctl));
        }
    if (!s->cells)
        FAIL(ERR_INPUT, "%s: no cells to train on", s->spec.n_files ? s->file[0].path : "files");
    return OK;
}

Err cell_stream_open(const CellStreamSpec *spec, JobCtl *ctl, CellStream **out)
{
    CellStream *s = mem_must(sizeof *s);
    *s = (CellStream){.spec = *spec, .epoch = UINT64_MAX, .window_epoch = UINT64_MAX};
    Err err = OK;
    TRY_GOTO(NEW0(s->file, spec->n_files));
    for (size_t i = 0; i < spec->n_files; i++)
        s->file[i].path = spec->file[i];
    err = spec->vocabulary ? genespace_read_vocab(spec->vocabulary, &s->genes) : join_genes(s, ctl);
    if (err != OK)
        goto done;
    job_stage(ctl, "opening files", spec->n_files);
    for (size_t i = 0; i < spec->n_files; i++) {
        TRY_GOTO(look_at_file(s, i, ctl));
        TRY_GOTO(job_progress(ctl, i + 1));
    }
    TRY_GOTO(make_blocks(s, ctl));
    log_info("%zu files, %zu cells (%zu kept apart), %zu genes", spec->n_files, s->cells + s->held,
             s->held, s->genes->n);
done:
    if (err == OK)
        *out = s;
    else
        cell_stream_close(s);
    return err;
}

void cell_stream_close(CellStream *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->file && i < s->spec.n_files; i++) {
        dataset_close(s->file[i].d);
        free(s->file[i].gene);
    }
    free(s->file);
    free(s->block);
    free(s->order);
    free(s->shuffled);
    stream_cells_done(&s->w);
    genespace_free(s->genes);
    str_free(&s->identity);
    free(s);
}

const GeneSpace *cell_stream_genes(const CellStream *s)
{
    return s->genes;
}
size_t cell_stream_cells(const CellStream *s)
{
    return s->cells;
}
size_t cell_stream_held_out(const CellStream *s)
{
    return s->held;
}
const char *cell_stream_identity(const CellStream *s)
{
    return str_text(&s->identity);
}

/* ---- the window ---- */
void stream_cells_done(StreamCells *c)
{
    free(c->first);
    free(c->gene);
    free(c->value);
    *c = (StreamCells){0};
}

/* Room for one more cell of at most n genes. */
static Err reserve(StreamCells *c, size_t n)
{
    if (c->n + 2 > c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 64;
        TRY(mem_realloc(&c->first, cap, sizeof *c->first));
        c->cap = cap;
    }
    if (!c->n)
        c->first[0] = 0;
    size_t need = (size_t)c->first[c->n] + n;
    if (need > c->nnz_cap) {
        size_t cap = need + need / 2 + 4096;
        TRY(mem_realloc(&c->gene, cap, sizeof *c->gene));
        TRY(mem_realloc(&c->value, cap, sizeof *c->value));
        c->nnz_cap = cap;
    }
    return OK;
}

static Err add_cell(const CellStream *s, const File *f, const Csr *m, size_t row, float *room,
                    StreamCells *w)
{
    size_t n = (size_t)(m->indptr[row + 1] - m->indptr[row]);
    TRY(reserve(w, n));
    int32_t *gene = w->gene + w->first[w->n];
    float *value = w->value + w->first[w->n];
    double total = 0;
    for (size_t k = 0; k < n; k++) {
        size_t at = (size_t)m->indptr[row] + k;
        gene[k] = f->gene[m->indices[at]];
        value[k] = m->values[at];
        total += value[k];
    }
    Pipeline p = s->spec.values;
    p.most = SIZE_MAX;
    n = pipeline_apply(&p, gene, value, n, total, f->log, room);
    w->first[w->n + 1] = w->first[w->n] + (int64_t)n;
    w->n++;
    return OK;
}

/* The cells of a block that are held out, or the others. */
static Err add_block(CellStream *s, const Block *b, bool held, JobCtl *ctl, StreamCells *out)
{
    File *f = &s->file[b->file];
    Csr m;
    float *room = NULL;
    TRY(need_file(s, f, ctl));
    TRY(err_context(dataset_read_rows(f->d, f->matrix, b->row, b->n, ctl, &m), "%s", f->path));
    Err err = NEW(room, 2 * csr_nnz(&m) + 1);
    for (size_t i = 0; err == OK && i < b->n; i++)
        if (is_held(s, b->file, b->row + i) == held)
            err = add_cell(s, f, &m, i, room, out);
    free(room);
    csr_done(&m);
    return err;
}

static void order_epoch(CellStream *s, uint64_t epoch)
{
    if (s->epoch == epoch)
        return;
    Rng r = rng_make(s->spec.seed << 2 | BLOCKS, epoch);
    rng_permutation(&r, s->n_blocks, s->order);
    s->epoch = epoch;
}

/* Reads the window of the epoch that holds its `at`th cell. */
static Err need_window(CellStream *s, uint64_t epoch, size_t at, JobCtl *ctl)
{
    if (s->window_epoch == epoch && at >= s->window_start && at < s->window_start + s->w.n)
        return OK;
    order_epoch(s, epoch);
    size_t window = 0, start = 0, n;
    for (;; window++, start += n) {
        n = 0;
        for (size_t i = window * WINDOW; i < (window + 1) * WINDOW && i < s->n_blocks; i++)
            n += s->block[s->order[i]].train;
        if (at < start + n)
            break;
    }
    s->w.n = 0;
    s->window_epoch = UINT64_MAX;
    for (size_t i = window * WINDOW; i < (window + 1) * WINDOW && i < s->n_blocks; i++)
        TRY(add_block(s, &s->block[s->order[i]], false, ctl, &s->w));
    Rng r = rng_make(s->spec.seed << 2 | CELLS, epoch << 32 | window);
    TRY(mem_realloc(&s->shuffled, s->w.n, sizeof *s->shuffled));
    rng_permutation(&r, s->w.n, s->shuffled);
    s->window_epoch = epoch;
    s->window_start = start;
    return OK;
}

static Err copy_cell(const StreamCells *from, size_t i, StreamCells *to)
{
    size_t n = (size_t)(from->first[i + 1] - from->first[i]);
    TRY(reserve(to, n));
    memcpy(to->gene + to->first[to->n], from->gene + from->first[i], n * sizeof *to->gene);
    memcpy(to->value + to->first[to->n], from->value + from->first[i], n * sizeof *to->value);
    to->first[to->n + 1] = to->first[to->n] + (int64_t)n;
    to->n++;
    return OK;
}

Err cell_stream_read(CellStream *s, uint64_t position, size_t n, JobCtl *ctl, StreamCells *out)
{
    out->n = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t epoch = (position + i) / s->cells;
        size_t at = (size_t)((position + i) % s->cells);
        TRY(need_window(s, epoch, at, ctl));
        TRY(copy_cell(&s->w, s->shuffled[at - s->window_start], out));
    }
    return OK;
}

Err cell_stream_read_held_out(CellStream *s, size_t n, JobCtl *ctl, StreamCells *out)
{
    out->n = 0;
    for (size_t i = 0; i < s->n_blocks && out->n < n; i++)
        if (s->block[i].train < s->block[i].n)
            TRY(add_block(s, &s->block[i], true, ctl, out));
    if (out->n > n)
        out->n = n;
    return OK;
}
