/* Nearest rows. For a block of queries: products with a run of references by cuBLAS, then a warp a
 * query goes along its row of products and keeps the best candidates sorted in shared memory; at
 * the end exact distances in double, one candidate a lane. What is kept depends on distances and
 * row numbers only, so the answer is the same at any launch geometry. */
#include "gpu/cuda/cuda.cuh"
#include <stdlib.h>
#include <string.h>

enum {
    WARPS = 4,          /* of a block, a query each; fewer when many neighbours are wanted */
    QUERY_BLOCK = 2048, /* queries at a time */
    REF_BLOCK = 32768,  /* references at a time, fewer when memory is short */
    SHARED_BYTES = 48 << 10,
    SPARE = 8, /* candidates beyond k: float32 may swap neighbours of nearly equal distance */
    UNROLL = 4
};

/* A search; queries: those of a block, at most QUERY_BLOCK. */
typedef struct Search {
    const Nearest *s;
    float *x, *norms;      /* [n,dim], [n] squared lengths */
    float *queries;        /* [queries,dim]; unused with self */
    float *product;        /* [queries,refs] */
    float *candidate;      /* [queries,heap] without the query's own length, rising */
    int32_t *row;          /* [queries,heap] -1: none */
    int32_t *order;        /* [n], or NULL */
    int32_t *indices;      /* [queries,k] */
    float *distances;      /* [queries,k] */
    int32_t *host_indices; /* the same, on their way to rows that lie anywhere */
    float *host_distances;
    int64_t heap, refs;
} Search;

struct Norm {
    int64_t dim;
    const float *x;
    float *y;
    BODY
    {
        float s = 0;
        for (int64_t c = 0; c < dim; c++)
            s += x[i * dim + c] * x[i * dim + c];
        y[i] = s;
    }
};
struct Start { /* no candidates, but the query itself where it is one of the rows */
    int64_t heap, first;
    bool self;
    float *candidate;
    int32_t *row;
    BODY
    {
        bool own = self && i % heap == 0;
        candidate[i] = own ? -INFINITY : INFINITY;
        row[i] = own ? (int32_t)(first + i / heap) : -1;
    }
};

/* Puts (d, r) behind those that are not larger; the last one drops out. The whole warp. */
static __device__ void insert(float *best, int32_t *row, int heap, float d, int32_t r, int lane)
{
    int at = 0;
    for (int c = 0; c < heap; c += 32)
        at += __popc(__ballot_sync(0xffffffffu, c + lane < heap && best[c + lane] <= d));
    for (int c = (heap - 1) / 32 * 32; c + 31 > at && c >= 0; c -= 32) {
        int t = c + lane;
        bool moves = t > at && t < heap;
        float before = moves ? best[t - 1] : 0.0f;
        int32_t row_before = moves ? row[t - 1] : 0;
        __syncwarp();
        if (moves) {
            best[t] = before;
            row[t] = row_before;
        }
        __syncwarp();
    }
    if (lane == 0) {
        best[at] = d;
        row[at] = r;
    }
    __syncwarp();
}

/* Queries [first, first + count) against references [ref, ref + n), whose products are there. */
struct Scan {
    int64_t first, count, ref, n;
    int heap;
    bool self;
    const float *product, *norms; /* [count,n], norms of the references */
    float *candidate;
    int32_t *row;
};
__global__ void scan_kernel(Scan s)
{
    DYNAMIC_SHARED(float, shared);
    int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32, heap = s.heap;
    int64_t q = (int64_t)blockIdx.x * warps + warp;
    float *best = shared + warp * heap;
    int32_t *row = (int32_t *)(shared + warps * heap) + warp * heap;
    if (q >= s.count) /* the whole warp; below only warps meet */
        return;
    for (int c = lane; c < heap; c += 32) {
        best[c] = s.candidate[q * heap + c];
        row[c] = s.row[q * heap + c];
    }
    __syncwarp();
    const float *p = s.product + q * s.n;
    int64_t own = s.self ? s.first + q - s.ref : -1; /* already there */
    float limit = best[heap - 1];
    for (int64_t j0 = 0; j0 < s.n; j0 += 32 * UNROLL) {
        float v[UNROLL];
        bool any = false;
        for (int u = 0; u < UNROLL; u++) {
            int64_t j = j0 + 32 * u + lane;
            v[u] = j < s.n && j != own ? p[j] + s.norms[j] : INFINITY;
            any |= v[u] < limit;
        }
        if (!__any_sync(0xffffffffu, any))
            continue;
        for (int u = 0; u < UNROLL; u++) {
            unsigned hits = __ballot_sync(0xffffffffu, v[u] < limit);
            for (; hits; hits &= hits - 1) {
                int from = __ffs(hits) - 1;
                float d = __shfl_sync(0xffffffffu, v[u], from);
                if (d < limit) { /* the same in all lanes */
                    insert(best, row, heap, d, (int32_t)(s.ref + j0 + 32 * u + from), lane);
                    limit = best[heap - 1];
                }
            }
        }
    }
    for (int c = lane; c < heap; c += 32) {
        s.candidate[q * heap + c] = best[c];
        s.row[q * heap + c] = row[c];
    }
}

/* Exact distances of the candidates, the best k in order. */
struct Finish {
    int64_t first, count, dim, k;
    int heap;
    bool self;
    const float *x, *queries;
    const int32_t *row, *order;
    int32_t *indices;
    float *distances;
};
__global__ void finish_kernel(Finish f)
{
    DYNAMIC_SHARED(double, exact_of_block);
    int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32, heap = f.heap;
    int64_t q = (int64_t)blockIdx.x * warps + warp;
    double *exact = exact_of_block + warp * heap;
    int32_t *number = (int32_t *)(exact_of_block + warps * heap) + warp * heap;
    if (q >= f.count)
        return;
    int count = 0;
    for (int c0 = 0; c0 < heap; c0 += 32) { /* candidates that are none lie at the end */
        int c = c0 + lane;
        int32_t r = c < heap ? f.row[q * heap + c] : -1;
        count += __popc(__ballot_sync(0xffffffffu, r >= 0));
        if (r < 0)
            continue;
        double sum = 0;
        for (int64_t i = 0; i < f.dim; i++) { /* as the CPU: no fused multiply-add */
            double diff = (double)f.queries[q * f.dim + i] - (double)f.x[r * f.dim + i];
            sum = __dadd_rn(sum, __dmul_rn(diff, diff));
        }
        exact[c] = f.self && r == f.first + q ? -1.0 : sum; /* first whatever its twins */
        number[c] = f.order ? f.order[r] : r;
    }
    __syncwarp();
    for (int c = lane; c < count; c += 32) {
        int rank = 0;
        for (int o = 0; o < count; o++)
            rank += exact[o] < exact[c] || (exact[o] == exact[c] && number[o] < number[c]);
        if (rank < f.k) {
            f.indices[q * f.k + rank] = number[c];
            f.distances[q * f.k + rank] = exact[c] > 0 ? sqrtf((float)exact[c]) : 0.0f;
        }
    }
    int32_t own = (int32_t)(f.first + q);
    for (int64_t c = count + lane; c < f.k; c += 32) {
        f.indices[q * f.k + c] = f.order && f.self ? f.order[own] : own;
        f.distances[q * f.k + c] = 0;
    }
}

/* ---- the search ---- */
static void release(Device *d, Search *f)
{
    cuda_free_all(d, f->x, f->norms, f->queries, f->product, f->candidate, f->row, f->order,
                  f->indices, f->distances);
    free(f->host_indices);
    free(f->host_distances);
}
/* The product takes up to half of the memory that is left. */
static void prepare(Device *d, Search *f)
{
    const Nearest *s = f->s;
    size_t n = (size_t)s->n, dim = (size_t)s->dim, available = 0, total = 0;
    size_t q = s->m < QUERY_BLOCK ? (size_t)s->m : (size_t)QUERY_BLOCK;
    size_t heap = (size_t)f->heap, k = (size_t)s->k;
    f->x = (float *)cuda_room(d, n * dim * sizeof(float));
    f->norms = (float *)cuda_room(d, n * sizeof(float));
    f->queries = (float *)cuda_room(d, s->self ? 0 : q * dim * sizeof(float));
    f->candidate = (float *)cuda_room(d, q * heap * sizeof(float));
    f->row = (int32_t *)cuda_room(d, q * heap * sizeof(int32_t));
    f->order = s->order ? (int32_t *)cuda_room(d, n * sizeof(int32_t)) : NULL;
    f->indices = (int32_t *)cuda_room(d, q * k * sizeof(int32_t));
    f->distances = (float *)cuda_room(d, q * k * sizeof(float));
    f->host_indices = (int32_t *)malloc(q * k * sizeof(int32_t));
    f->host_distances = (float *)malloc(q * k * sizeof(float));
    if (!f->host_indices || !f->host_distances)
        cuda_fail(d, ERROR_NOMEM, "neighbours", "out of memory");
    if (d->err || !cuda_ok(d, cudaMemGetInfo(&available, &total), "asking for memory"))
        return;
    f->refs = (int64_t)(available / 2 / (q * sizeof(float))) / 32 * 32;
    f->refs = f->refs < 32 ? 32 : f->refs > REF_BLOCK ? (int64_t)REF_BLOCK : f->refs;
    f->refs = f->refs > s->n ? s->n : f->refs;
    f->product = (float *)cuda_room(d, q * (size_t)f->refs * sizeof(float));
    if (d->err)
        return;
    d->ops->upload(d, f->x, s->x, n * dim * sizeof(float));
    if (s->order)
        d->ops->upload(d, f->order, s->order, n * sizeof(int32_t));
    each(d, s->n, Norm{s->dim, f->x, f->norms}, "neighbours");
}

/* Warps of a block, `bytes` of shared memory for each candidate. */
static int warps_for(int64_t heap, int bytes)
{
    int64_t fit = SHARED_BYTES / (heap * bytes);
    return fit < WARPS ? (int)fit : WARPS;
}

/* One block of queries against one run of references. */
static void search_run(Device *d, const Search *f, RowRange queries, const float *q, int64_t ref,
                       int64_t n)
{
    const Nearest *s = f->s;
    Gemm g = {};
    g.tb = true;
    g.m = queries.count, g.n = n, g.k = s->dim, g.batch = 1;
    g.a = q, g.b = f->x + ref * s->dim, g.c = f->product;
    g.lda = g.ldb = s->dim, g.ldc = n;
    g.alpha = -2;
    cuda_gemm(d, &g);
    int warps = warps_for(f->heap, 8);
    Scan scan = {queries.first, queries.count,  ref,          n,     (int)f->heap, s->self,
                 f->product,    f->norms + ref, f->candidate, f->row};
    LAUNCH(d, scan_kernel, (unsigned)((queries.count + warps - 1) / warps), (unsigned)warps * 32,
           (size_t)(warps * f->heap * 8), scan);
    launched(d, "neighbours");
}

/* Results of a block of queries to their rows. */
static void give(Device *d, const Search *f, RowRange queries)
{
    const Nearest *s = f->s;
    size_t count = (size_t)(queries.count * s->k), row = (size_t)s->k;
    bool anywhere = s->order && s->self;
    int32_t *indices = anywhere ? f->host_indices : s->indices + queries.first * s->k;
    float *distances = anywhere ? f->host_distances : s->distances + queries.first * s->k;
    d->ops->download(d, indices, f->indices, count * sizeof(int32_t));
    d->ops->download(d, distances, f->distances, count * sizeof(float));
    for (int64_t i = 0; anywhere && i < queries.count; i++) {
        int64_t to = (int64_t)s->order[queries.first + i] * s->k;
        memcpy(s->indices + to, indices + i * s->k, row * sizeof(int32_t));
        memcpy(s->distances + to, distances + i * s->k, row * sizeof(float));
    }
}

/* Queries against the references of a tile; false: stopped. */
static bool search_block(Device *d, const Search *f, RowRange queries, const NearestTile *t)
{
    const Nearest *s = f->s;
    const float *q = s->self ? f->x + queries.first * s->dim : f->queries;
    int64_t runs = 0;
    if (!s->self)
        d->ops->upload(d, f->queries, s->queries + queries.first * s->dim,
                       (size_t)(queries.count * s->dim) * sizeof(float));
    each(d, queries.count * f->heap, Start{f->heap, queries.first, s->self, f->candidate, f->row},
         "neighbours");
    for (int64_t r = 0; r < t->n_refs && !d->err; r++)
        for (int64_t j = 0; j < t->refs[r].count; j += f->refs, runs++) {
            int64_t n = t->refs[r].count - j < f->refs ? t->refs[r].count - j : f->refs;
            search_run(d, f, queries, q, t->refs[r].first + j, n);
            if (runs % 32 == 31) { /* some milliseconds of work */
                d->ops->sync(d);
                if (d->err || device_stopped(&s->watch))
                    return false;
            }
        }
    int warps = warps_for(f->heap, 12);
    Finish finish = {queries.first, queries.count, s->dim,     s->k,
                     (int)f->heap,  s->self,       f->x,       q,
                     f->row,        f->order,      f->indices, f->distances};
    LAUNCH(d, finish_kernel, (unsigned)((queries.count + warps - 1) / warps), (unsigned)warps * 32,
           (size_t)(warps * f->heap * 12), finish);
    launched(d, "neighbours");
    give(d, f, queries);
    return !d->err;
}

static void cuda_nearest(Device *d, const Nearest *s)
{
    Search f = {};
    if (s->m <= 0)
        return;
    f.s = s;
    f.heap = s->k + SPARE < s->n ? s->k + SPARE : s->n;
    if (warps_for(f.heap, 12) < 1) {
        cuda_fail(d, ERROR_GENERAL, "neighbours",
                  "more than 4,000 of them are not supported on a GPU; use --device cpu");
        return;
    }
    prepare(d, &f);
    int64_t done = 0;
    for (int64_t t = 0, end; t < s->n_tiles && !d->err; t = end) { /* tiles that go together */
        RowRange queries = s->tiles[t].queries;
        for (end = t + 1; end < s->n_tiles; end++) {
            const NearestTile *next = &s->tiles[end];
            if (next->refs != s->tiles[t].refs || next->n_refs != s->tiles[t].n_refs ||
                next->queries.first != queries.first + queries.count ||
                queries.count + next->queries.count > QUERY_BLOCK)
                break;
            queries.count += next->queries.count;
        }
        if (!search_block(d, &f, queries, &s->tiles[t]))
            break;
        done += queries.count;
        if (!device_go_on(&s->watch, (uint64_t)done))
            break;
    }
    release(d, &f);
}

void nearest_fill(DeviceOps *o)
{
    o->nearest = cuda_nearest;
}
