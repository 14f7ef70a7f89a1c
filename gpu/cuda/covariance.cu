/* A sparse matrix and its transpose applied to eight vectors. The matrix is cut into blocks of
 * rows, each kept on the GPU both by rows and by columns; blocks that find no room there are
 * brought anew for each product. Y = X v - shift by rows, w += X' Y by columns: no two threads add
 * to one place, and sums are cut by sizes only. */
#include "gpu/cuda/cuda.cuh"
#include <stdlib.h>

enum {
    WIDTH = COVARIANCE_WIDTH,
    SLOTS = 32 / WIDTH, /* values that a warp takes at a time, eight lanes each */
    COLUMN_WARPS = 8,
    CHUNKS_MOST = 4096, /* pieces of rows when turning a block, a warp each */
    SCAN_THREADS = 256
};

typedef struct Block {
    int64_t first, rows, nnz;
    /* device; by row: begin[rows+1] of the whole matrix's numbers, by column: within the block */
    int64_t *row_begin, *column_begin;
    int32_t *column, *row;
    float *by_row, *by_column;
    bool resident;
} Block;

struct HeldRows {
    SparseRows x;
    Block *block;
    int64_t blocks;
    Block staging;             /* room for any block that is not resident; rows 0: none needed */
    uint32_t *count;           /* [chunks,cols] while turning a block */
    double *v, *shift, *y, *w; /* [cols,WIDTH], [WIDTH], [rows of a block,WIDTH], [cols,WIDTH] */
};

/* ---- by columns ---- */

/* Rows of chunk i of a block. */
static __device__ int64_t chunk_row(int64_t rows, int64_t chunks, int64_t i)
{
    return rows * i / chunks;
}
/* A warp a chunk, its rows in turn; the columns of a row differ, so lanes never meet. Without
 * `place` counts the values of each column, with it puts them where they go. */
struct Turn {
    int64_t rows, cols, chunks;
    Block b;
    uint32_t *count; /* [chunks,cols]: values of a column, then how many lie in chunks before */
};
template <bool PLACE> __global__ void turn_kernel(Turn t)
{
    int64_t chunk = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32;
    int lane = threadIdx.x % 32;
    if (chunk >= t.chunks) /* the whole warp */
        return;
    uint32_t *count = t.count + chunk * t.cols;
    int64_t base = t.b.row_begin[0], end = chunk_row(t.rows, t.chunks, chunk + 1);
    for (int64_t r = chunk_row(t.rows, t.chunks, chunk); r < end; r++) {
        for (int64_t j = t.b.row_begin[r] - base + lane; j < t.b.row_begin[r + 1] - base; j += 32) {
            int32_t c = t.b.column[j];
            int64_t at = count[c]++;
            if (PLACE) {
                at += t.b.column_begin[c];
                t.b.row[at] = (int32_t)r;
                t.b.by_column[at] = t.b.by_row[j];
            }
        }
        __syncwarp(); /* the next row may have the same columns */
    }
}
/* Counts of column i to places within it; how many there are to column_begin[i + 1]. */
struct CountColumn {
    int64_t cols, chunks;
    uint32_t *count;
    int64_t *begin;
    BODY
    {
        uint32_t sum = 0;
        for (int64_t k = 0; k < chunks; k++) {
            uint32_t n = count[k * cols + i];
            count[k * cols + i] = sum;
            sum += n;
        }
        begin[i + 1] = sum;
    }
};
/* Running sums of begin[1..cols], one block; begin[0] = 0. */
__global__ void begin_kernel(int64_t cols, int64_t *begin)
{
    __shared__ int64_t part[SCAN_THREADS];
    int64_t share = (cols + SCAN_THREADS - 1) / SCAN_THREADS, from = threadIdx.x * share;
    int64_t end = from + share < cols ? from + share : cols, sum = 0;
    for (int64_t c = from; c < end; c++)
        sum += begin[c + 1];
    part[threadIdx.x] = sum;
    __syncthreads();
    sum = 0;
    for (unsigned t = 0; t < threadIdx.x; t++)
        sum += part[t];
    for (int64_t c = from; c < end; c++) {
        sum += begin[c + 1];
        begin[c + 1] = sum;
    }
    if (threadIdx.x == 0)
        begin[0] = 0;
}

static int64_t chunks_of(const Block *b, int64_t cols)
{
    int64_t chunks = b->nnz / (4 * cols) + 1; /* the counts stay small beside the values */
    chunks = chunks < CHUNKS_MOST ? chunks : (int64_t)CHUNKS_MOST;
    return chunks < b->rows ? chunks : b->rows;
}
/* Brings a block's values to the GPU and turns them. */
static void bring(Device *d, const HeldRows *h, const Block *from, Block *to)
{
    int64_t begin = h->x.indptr[from->first], cols = h->x.cols;
    to->first = from->first;
    to->rows = from->rows;
    to->nnz = from->nnz;
    d->ops->upload(d, to->row_begin, h->x.indptr + from->first,
                   (size_t)(from->rows + 1) * sizeof(int64_t));
    d->ops->upload(d, to->column, h->x.indices + begin, (size_t)from->nnz * sizeof(int32_t));
    d->ops->upload(d, to->by_row, h->x.values + begin, (size_t)from->nnz * sizeof(float));
    int64_t chunks = chunks_of(from, cols);
    unsigned blocks = (unsigned)((chunks * 32 + 127) / 128);
    Turn t = {from->rows, cols, chunks, *to, h->count};
    d->ops->zero(d, h->count, (size_t)(chunks * cols) * sizeof *h->count);
    LAUNCH(d, turn_kernel<false>, blocks, 128, 0, t);
    launched(d, "principal components");
    each(d, cols, CountColumn{cols, chunks, h->count, to->column_begin}, "principal components");
    LAUNCH(d, begin_kernel, 1, SCAN_THREADS, 0, cols, to->column_begin);
    LAUNCH(d, turn_kernel<true>, blocks, 128, 0, t);
    launched(d, "principal components");
}

/* ---- products ---- */

/* A warp a row: y = x v - shift. */
__global__ void by_row_kernel(Block b, const double *v, const double *shift, double *y)
{
    int lane = threadIdx.x % 32, slot = lane / WIDTH, j = lane % WIDTH;
    int64_t step = (int64_t)gridDim.x * blockDim.x / 32, base = b.row_begin[0];
    for (int64_t r = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32; r < b.rows; r += step) {
        double sum = 0;
        for (int64_t e = b.row_begin[r] - base + slot; e < b.row_begin[r + 1] - base; e += SLOTS)
            sum += (double)b.by_row[e] * v[(int64_t)b.column[e] * WIDTH + j];
        for (int o = 16; o >= WIDTH; o >>= 1)
            sum += __shfl_xor_sync(0xffffffffu, sum, o);
        if (slot == 0)
            y[r * WIDTH + j] = sum - shift[j];
    }
}
/* A block a column: w += x' y. */
__global__ void by_column_kernel(int64_t cols, Block b, const double *y, double *w)
{
    __shared__ double part[COLUMN_WARPS][WIDTH];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, slot = lane / WIDTH, j = lane % WIDTH;
    for (int64_t c = blockIdx.x; c < cols; c += gridDim.x) {
        double sum = 0;
        for (int64_t e = b.column_begin[c] + warp * SLOTS + slot; e < b.column_begin[c + 1];
             e += COLUMN_WARPS * SLOTS)
            sum += (double)b.by_column[e] * y[(int64_t)b.row[e] * WIDTH + j];
        for (int o = 16; o >= WIDTH; o >>= 1)
            sum += __shfl_xor_sync(0xffffffffu, sum, o);
        if (slot == 0)
            part[warp][j] = sum;
        __syncthreads();
        if (threadIdx.x < WIDTH) {
            sum = 0;
            for (int i = 0; i < COLUMN_WARPS; i++)
                sum += part[i][threadIdx.x];
            w[c * WIDTH + threadIdx.x] += sum;
        }
        __syncthreads(); /* before the next column's parts */
    }
}

static void cuda_covariance(Device *d, const HeldRows *h, const double *v, const double *shift,
                            double *w, const DeviceWatch *watch)
{
    size_t size = (size_t)(h->x.cols * WIDTH) * sizeof *w;
    d->ops->upload(d, h->v, v, size);
    d->ops->upload(d, h->shift, shift, WIDTH * sizeof *shift);
    d->ops->zero(d, h->w, size);
    for (int64_t i = 0; i < h->blocks && !d->err; i++) {
        Block b = h->block[i];
        if (!b.resident) {
            b = h->staging;
            bring(d, h, &h->block[i], &b);
        }
        unsigned blocks = (unsigned)((b.rows + 7) / 8);
        LAUNCH(d, by_row_kernel, blocks, 256, 0, b, h->v, h->shift, h->y);
        LAUNCH(d, by_column_kernel, row_blocks(h->x.cols), COLUMN_WARPS * 32, 0, h->x.cols, b, h->y,
               h->w);
        launched(d, "principal components");
        d->ops->sync(d);
        if (!device_go_on(watch, 0))
            return;
    }
    d->ops->download(d, w, h->w, size);
}

/* ---- what is held ---- */

static void block_free(Device *d, Block *b)
{
    cuda_free_all(d, b->row_begin, b->column_begin, b->column, b->row, b->by_row, b->by_column);
}
static void cuda_release_rows(Device *d, HeldRows *h)
{
    if (!h)
        return;
    for (int64_t i = 0; h->block && i < h->blocks; i++)
        block_free(d, &h->block[i]);
    block_free(d, &h->staging);
    cuda_free_all(d, h->count, h->v, h->shift, h->y, h->w);
    free(h->block);
    free(h);
}
static size_t block_bytes(const Block *b, int64_t cols)
{
    return (size_t)b->nnz * 16 + (size_t)(b->rows + cols + 2) * sizeof(int64_t) + 6 * 256;
}
static void block_room(Device *d, Block *b, int64_t cols)
{
    size_t n = (size_t)b->nnz;
    b->row_begin = (int64_t *)cuda_room(d, (size_t)(b->rows + 1) * sizeof(int64_t));
    b->column_begin = (int64_t *)cuda_room(d, (size_t)(cols + 1) * sizeof(int64_t));
    b->column = (int32_t *)cuda_room(d, n * sizeof(int32_t));
    b->row = (int32_t *)cuda_room(d, n * sizeof(int32_t));
    b->by_row = (float *)cuda_room(d, n * sizeof(float));
    b->by_column = (float *)cuda_room(d, n * sizeof(float));
}
/* Cuts the rows into blocks of at most `most` values (a longer row is one by itself). */
static bool cut(HeldRows *h, int64_t most)
{
    const SparseRows *x = &h->x;
    /* Two neighbours hold more than `most`, unless there are too many rows. */
    int64_t room_for = x->indptr[x->rows] / most * 2 + 2 * (x->rows >> 24) + 2;
    h->block = (Block *)calloc((size_t)room_for, sizeof *h->block);
    for (int64_t first = 0, end; h->block && first < x->rows; first = end) {
        for (end = first + 1; end < x->rows && end - first < 1 << 24; end++)
            if (x->indptr[end + 1] - x->indptr[first] > most)
                break;
        if (h->blocks == room_for)
            return false;
        Block *b = &h->block[h->blocks++];
        b->first = first;
        b->rows = end - first;
        b->nnz = x->indptr[end] - x->indptr[first];
    }
    return h->block != NULL;
}
/* What all blocks need together, and the largest of each size. */
static Block largest(const HeldRows *h, size_t *bytes, int64_t *counts)
{
    Block most = {};
    *bytes = 0;
    *counts = 0;
    for (int64_t i = 0; i < h->blocks; i++) {
        const Block *b = &h->block[i];
        int64_t n = chunks_of(b, h->x.cols) * h->x.cols;
        most.rows = b->rows > most.rows ? b->rows : most.rows;
        most.nnz = b->nnz > most.nnz ? b->nnz : most.nnz;
        *counts = n > *counts ? n : *counts;
        *bytes += block_bytes(b, h->x.cols);
    }
    return most;
}
static void hold(Device *d, HeldRows *h, const DeviceWatch *watch)
{
    state(d);
    size_t available = 0, total = 0, all;
    int64_t cols = h->x.cols, counts;
    if (!cuda_ok(d, cudaMemGetInfo(&available, &total), "asking for memory"))
        return;
    int64_t most = (int64_t)(available / 8 / 16);
    most = most < 1 << 16 ? 1 << 16 : most > 1 << 26 ? 1 << 26 : most;
    if (!cut(h, most)) {
        cuda_fail(d, ERROR_NOMEM, "principal components", "out of memory");
        return;
    }
    Block large = largest(h, &all, &counts);
    h->count = (uint32_t *)cuda_room(d, (size_t)counts * sizeof(uint32_t));
    h->v = (double *)cuda_room(d, (size_t)(cols * WIDTH) * sizeof(double));
    h->shift = (double *)cuda_room(d, WIDTH * sizeof(double));
    h->y = (double *)cuda_room(d, (size_t)(large.rows * WIDTH) * sizeof(double));
    h->w = (double *)cuda_room(d, (size_t)(cols * WIDTH) * sizeof(double));
    if (d->err || !cuda_ok(d, cudaMemGetInfo(&available, &total), "asking for memory"))
        return;
    size_t spare = total / 16; /* for others on this GPU, and what allocation rounds up */
    available = available > spare ? available - spare : 0;
    if (all > available) { /* some blocks will come and go */
        h->staging = large;
        block_room(d, &h->staging, cols);
        size_t staging = block_bytes(&large, cols);
        available = available > staging ? available - staging : 0;
    }
    for (int64_t i = 0; i < h->blocks && !d->err; i++) {
        Block *b = &h->block[i];
        if (block_bytes(b, cols) > available)
            continue;
        available -= block_bytes(b, cols);
        block_room(d, b, cols);
        b->resident = true;
        if (!d->err)
            bring(d, h, b, b);
        d->ops->sync(d);
        if (!device_go_on(watch, 0))
            return;
    }
}
static HeldRows *cuda_hold_rows(Device *d, const SparseRows *x, const DeviceWatch *watch)
{
    HeldRows *h = (HeldRows *)calloc(1, sizeof *h);
    if (!h) {
        cuda_fail(d, ERROR_NOMEM, "principal components", "out of memory");
        return NULL;
    }
    h->x = *x;
    if (x->rows > 0 && x->cols > 0)
        hold(d, h, watch);
    if (!d->err)
        return h;
    cuda_release_rows(d, h);
    return NULL;
}

void covariance_fill(DeviceOps *o)
{
    o->hold_rows = cuda_hold_rows;
    o->release_rows = cuda_release_rows;
    o->covariance = cuda_covariance;
}
