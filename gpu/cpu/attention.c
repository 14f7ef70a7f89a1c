/* Attention in blocks of queries and keys: scores live in a block on the stack, the softmax is
 * carried along (running maximum and sum, as in FlashAttention, Dao et al. 2022), and backward
 * computes the scores again from the saved log-sum-exp. Forward splits over (sequence, head, block
 * of queries), turns each block of keys once so that tiles (tile.c) can read it, and passes a few
 * queries at a time over it; backward works over (sequence, kv head), each of which owns its dk, dv
 * and dq, so nothing is added by two threads. */
#include "gpu/cpu/cpu.h"
#include "core/device/counter.h"
#include <omp.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

/* QB, KB: block of the backward pass. QUERIES: of one unit of forward work, ROWS of them at a time;
 * FEW: so few queries are not worth turning the keys for. TURNED: floats of turned keys. */
enum { QB = 128, KB = 256, QUERIES = 192, ROWS = 4 * TILE_ROWS, FEW = 2, TURNED = 1 << 16 };

/* One (sequence, head, query block). */
typedef struct Block {
    int64_t b, h, q0, nq, lo, hi; /* keys [lo,hi) can be visible to some query of the block */
} Block;

static Block make_block(const Attention *a, int64_t b, int64_t h, int64_t q0, int64_t most)
{
    Block k = {.b = b,
               .h = h,
               .q0 = q0,
               .nq = a->tq - q0 < most ? a->tq - q0 : most,
               .lo = 0,
               .hi = a->tk};
    if (a->len && a->len[b] < k.hi)
        k.hi = a->len[b];
    if (a->first && a->first[b] > 0)
        k.lo = a->first[b];
    if (a->causal) {
        int64_t last = q0 + k.nq + a->tk - a->tq; /* one past the last key of the last query */
        k.hi = last < k.hi ? last : k.hi;
    }
    if (k.hi < k.lo)
        k.hi = k.lo;
    return k;
}

static int64_t kv_row(const Attention *a, int64_t b, int64_t j)
{
    return b * (a->kv_rows ? a->kv_rows : a->tk) + j;
}
static int64_t kv_head(const Attention *a, int64_t h)
{
    return h / (a->heads / a->kv_heads);
}
static const float *key_at(const Attention *a, const float *base, int64_t ld, const Block *k,
                           int64_t j)
{
    return base + kv_row(a, k->b, j) * ld + kv_head(a, k->h) * a->dim;
}

/* Puts -inf where one of n queries from q0 on may not see key j; s is [n, nk] with row length KB.
 */
static void mask_scores(const Attention *a, const Block *k, int64_t q0, int64_t n, int64_t j0,
                        int64_t nk, float *s)
{
    if (!a->causal && !a->key_mask && a->prefix <= 0)
        return;
    for (int64_t i = 0; i < n; i++) {
        float *row = s + i * KB;
        int64_t qi = q0 + i;
        if (a->causal) {
            int64_t end = qi + a->tk - a->tq + 1 - j0;
            for (int64_t j = end < 0 ? 0 : end; j < nk; j++)
                row[j] = -INFINITY;
        }
        if (a->key_mask) {
            const uint8_t *m = a->key_mask + k->b * a->tk + j0;
            for (int64_t j = 0; j < nk; j++)
                if (!m[j])
                    row[j] = -INFINITY;
        }
        if (a->prefix > 0)
            for (int64_t j = a->prefix > j0 ? a->prefix - j0 : 0; j < nk; j++)
                if (j0 + j != qi)
                    row[j] = -INFINITY;
    }
}
static void scores(const Attention *a, const Block *k, int64_t j0, int64_t nk, float *s)
{
    const float *q = a->q + (k->b * a->tq + k->q0) * a->ldq + k->h * a->dim;
    cpu_sgemm(false, true, k->nq, nk, a->dim, a->scale, q, a->ldq, key_at(a, a->k, a->ldk, k, j0),
              a->ldk, 0.0f, s, KB);
    mask_scores(a, k, k->q0, k->nq, j0, nk, s);
}

/* Dropout factor of weight (b,h,i,j): 0 or 1/(1-p). */
static void drop_row(const Attention *a, const Block *k, int64_t i, int64_t j0, int64_t nk,
                     float *row)
{
    uint64_t key = counter_key(a->seed);
    uint64_t base = (uint64_t)(((k->b * a->heads + k->h) * a->tq + k->q0 + i) * a->tk + j0);
    uint32_t threshold = counter_threshold(a->drop);
    float keep = 1.0f / (1.0f - a->drop);
    for (int64_t j = 0; j < nk; j++)
        row[j] *= counter_u32(key, base + (uint64_t)j) < threshold ? 0.0f : keep;
}

CLONES static float row_dot(int64_t n, const float *x, const float *y)
{
    float s = 0;
    _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++) s += x[i] * y[i];
    return s;
}
CLONES static float row_max(int64_t n, const float *x, float max)
{
    _Pragma("omp simd reduction(max : max)") for (int64_t i = 0; i < n; i++) max =
        x[i] > max ? x[i] : max;
    return max;
}
/* x = exp(scale*(x - max)), 0 where x is -inf; returns the sum. */
CLONES static float row_exp(int64_t n, float *x, float scale, float max)
{
    float sum = 0;
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; i++)
    {
        float e = x[i] < -1e30f ? 0.0f : vexp(scale * (x[i] - max));
        x[i] = e;
        sum += e;
    }
    return sum;
}
CLONES static void row_scale(int64_t n, float a, float *x)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) x[i] *= a;
}

/* ---- forward ---- */
typedef struct Forward {
    const Attention *a;
    const TileKernel *kernel;
    Block k;
    int64_t strip, keys; /* keys of a strip, of a block */
    _Alignas(64) float s[ROWS * KB];
    _Alignas(64) float turned[TURNED]; /* a block of keys as strips of [dim][strip] */
    float max[QUERIES], sum[QUERIES];
} Forward;

/* How many keys at a time: whole strips that fit, narrower ones for very wide heads. */
static void choose_keys(Forward *f)
{
    int64_t dim = f->a->dim;
    f->strip = f->kernel->cols;
    while (f->strip > 1 && f->strip * dim > TURNED)
        f->strip /= 2;
    f->keys = TURNED / dim / f->strip * f->strip;
    f->keys = f->keys > KB ? KB : f->keys;
}

/* out[c*strip + j] = x[j*ldx + c] for 4 rows and columns. */
static void turn_4(const float *x, int64_t ldx, int64_t strip, float *out)
{
#ifdef __x86_64__
    __m128 a = _mm_loadu_ps(x), b = _mm_loadu_ps(x + ldx), c = _mm_loadu_ps(x + 2 * ldx),
           d = _mm_loadu_ps(x + 3 * ldx);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(out, a);
    _mm_storeu_ps(out + strip, b);
    _mm_storeu_ps(out + 2 * strip, c);
    _mm_storeu_ps(out + 3 * strip, d);
#else
    for (int j = 0; j < 4; j++)
        for (int c = 0; c < 4; c++)
            out[c * strip + j] = x[j * ldx + c];
#endif
}
static void turn_keys(Forward *f, int64_t n, const float *x)
{
    int64_t dim = f->a->dim, ldx = f->a->ldk, strip = f->strip;
    for (int64_t j0 = 0; j0 < n; j0 += strip) {
        int64_t have = n - j0 < strip ? n - j0 : strip, j = 0;
        float *out = f->turned + j0 * dim;
        for (; j + 4 <= have && strip >= 4; j += 4)
            for (int64_t c = 0; c + 4 <= dim; c += 4)
                turn_4(x + (j0 + j) * ldx + c, ldx, strip, out + c * strip + j);
        for (int64_t r = 0; r < have; r++)
            for (int64_t c = r < j ? dim / 4 * 4 : 0; c < dim; c++)
                out[c * strip + r] = x[(j0 + r) * ldx + c];
    }
}

static int64_t round_keys(int64_t nk)
{
    return (nk + 15) / 16 * 16;
}
/* Scores of n queries from row i of the block on with the keys [j0, j0+nk). */
static void forward_scores(Forward *f, int64_t i, int64_t n, int64_t j0, int64_t nk)
{
    const Attention *a = f->a;
    const Block *k = &f->k;
    const float *q = a->q + (k->b * a->tq + k->q0 + i) * a->ldq + k->h * a->dim;
    const float *key = key_at(a, a->k, a->ldk, k, j0);
    if (k->nq <= FEW)
        for (int64_t r = 0; r < n; r++)
            for (int64_t j = 0; j < nk; j++)
                f->s[r * KB + j] = row_dot(a->dim, q + r * a->ldq, key + j * a->ldk);
    Tile t = {.k = a->dim, .a = q, .lda = a->ldq, .ldb = f->strip, .ldc = KB};
    for (int64_t j = 0; j < nk && k->nq > FEW; j += f->strip) {
        t.b = f->turned + j * a->dim;
        t.c = f->s + j;
        cpu_rows_times(f->kernel, n, nk - j < f->strip ? nk - j : f->strip, t);
    }
    mask_scores(a, k, k->q0 + i, n, j0, nk, f->s);
    for (int64_t r = 0; r < n; r++) /* whole vectors, without a rest */
        for (int64_t j = nk; j < round_keys(nk); j++)
            f->s[r * KB + j] = -INFINITY;
}

/* Queries [i, i+n) of the block against the keys [j0, j0+nk). */
static void forward_rows(Forward *f, int64_t i, int64_t n, int64_t j0, int64_t nk)
{
    const Attention *a = f->a;
    const Block *k = &f->k;
    float *s = f->s, *out = a->out + (k->b * a->tq + k->q0 + i) * a->ldo + k->h * a->dim;
    forward_scores(f, i, n, j0, nk);
    for (int64_t r = 0; r < n; r++) {
        float *max = &f->max[i + r], *sum = &f->sum[i + r];
        float top = row_max(round_keys(nk), s + r * KB, *max);
        float carry = *max < -1e30f ? 0.0f : expf(a->scale * (*max - top));
        *sum = *sum * carry + row_exp(round_keys(nk), s + r * KB, a->scale, top);
        *max = top;
        if (a->drop > 0)
            drop_row(a, k, i + r, j0, nk, s + r * KB);
        if (j0 > k->lo)
            row_scale(a->dim, carry, out + r * a->ldo);
    }
    cpu_rows_times(f->kernel, n, a->dim,
                   (Tile){.k = nk,
                          .a = s,
                          .lda = KB,
                          .b = key_at(a, a->v, a->ldv, k, j0),
                          .ldb = a->ldv,
                          .c = out,
                          .ldc = a->ldo,
                          .add = j0 > k->lo});
}

static void forward_block(Forward *f)
{
    const Attention *a = f->a;
    const Block *k = &f->k;
    float *out = a->out + (k->b * a->tq + k->q0) * a->ldo + k->h * a->dim;
    for (int64_t i = 0; i < k->nq; i++) {
        f->max[i] = -INFINITY;
        f->sum[i] = 0;
        if (k->lo == k->hi)
            memset(out + i * a->ldo, 0, (size_t)a->dim * sizeof *out);
    }
    for (int64_t j0 = k->lo; j0 < k->hi; j0 += f->keys) {
        int64_t nk = k->hi - j0 < f->keys ? k->hi - j0 : f->keys;
        if (k->nq > FEW)
            turn_keys(f, nk, key_at(a, a->k, a->ldk, k, j0));
        for (int64_t i = 0; i < k->nq; i += ROWS)
            forward_rows(f, i, k->nq - i < ROWS ? k->nq - i : ROWS, j0, nk);
    }
    for (int64_t i = 0; i < k->nq; i++) {
        row_scale(a->dim, f->sum[i] > 0 ? 1.0f / f->sum[i] : 0.0f, out + i * a->ldo);
        if (a->lse)
            a->lse[(k->b * a->heads + k->h) * a->tq + k->q0 + i] =
                f->sum[i] > 0 ? a->scale * f->max[i] + logf(f->sum[i]) : INFINITY;
    }
}

int64_t cpu_attention_units(const Attention *a)
{
    return a->batch * a->heads * ((a->tq + QUERIES - 1) / QUERIES);
}
void cpu_attention_unit(const Attention *a, int64_t unit)
{
    int64_t blocks = (a->tq + QUERIES - 1) / QUERIES;
    Forward f;
    f.a = a;
    f.kernel = cpu_tile_kernel();
    f.k = make_block(a, unit / blocks / a->heads, unit / blocks % a->heads, unit % blocks * QUERIES,
                     QUERIES);
    choose_keys(&f);
    forward_block(&f);
}

void cpu_attention(Device *d, const Attention *a)
{
    (void)d;
    int64_t n = cpu_attention_units(a);
    bool alone = omp_get_max_threads() == 1 || n == 1 ||
                 a->batch * a->heads * a->tq * a->tk * a->dim < 100000;
#pragma omp parallel for schedule(dynamic, 1) if (!alone)
    for (int64_t i = 0; i < n; i++)
        cpu_attention_unit(a, i);
}

/* p = exp(s - lse); lse is +inf for a query that saw nothing. */
CLONES static void row_weights(int64_t n, float *s, float lse)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) s[i] =
        s[i] < -1e30f || lse > 1e30f ? 0.0f : vexp(s[i] - lse);
}
/* ds = p*(dp - delta). */
CLONES static void row_dscores(int64_t n, const float *p, float delta, float *dp)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) dp[i] = p[i] * (dp[i] - delta);
}

static void backward_block(const Attention *a, const Block *k)
{
    _Alignas(64) float p[QB * KB];
    _Alignas(64) float dp[QB * KB];
    float delta[QB];
    int64_t row = k->b * a->tq + k->q0, off = k->h * a->dim;
    const float *q = a->q + row * a->ldq + off, *dout = a->dout + row * a->ldo + off;
    const float *lse = a->lse + (k->b * a->heads + k->h) * a->tq + k->q0;
    for (int64_t i = 0; i < k->nq; i++)
        delta[i] = row_dot(a->dim, dout + i * a->ldo, a->out + row * a->ldo + off + i * a->ldo);
    for (int64_t j0 = k->lo; j0 < k->hi; j0 += KB) {
        int64_t nk = k->hi - j0 < KB ? k->hi - j0 : KB;
        int64_t kv = kv_row(a, k->b, j0), kvh = kv_head(a, k->h) * a->dim;
        scores(a, k, j0, nk, p);
        for (int64_t i = 0; i < k->nq; i++)
            row_weights(nk, p + i * KB, lse[i]);
        cpu_sgemm(false, true, k->nq, nk, a->dim, 1.0f, dout, a->ldo, a->v + kv * a->ldv + kvh,
                  a->ldv, 0.0f, dp, KB);
        for (int64_t i = 0; i < k->nq; i++) {
            if (a->drop > 0)
                drop_row(a, k, i, j0, nk, dp + i * KB);
            row_dscores(nk, p + i * KB, delta[i], dp + i * KB);
            if (a->drop > 0)
                drop_row(a, k, i, j0, nk, p + i * KB);
        }
        if (a->dv)
            cpu_sgemm(true, false, nk, a->dim, k->nq, 1.0f, p, KB, dout, a->ldo, 1.0f,
                      a->dv + kv * a->ldv + kvh, a->ldv);
        if (a->dk)
            cpu_sgemm(true, false, nk, a->dim, k->nq, a->scale, dp, KB, q, a->ldq, 1.0f,
                      a->dk + kv * a->ldk + kvh, a->ldk);
        if (a->dq)
            cpu_sgemm(false, false, k->nq, a->dim, nk, a->scale, dp, KB, a->k + kv * a->ldk + kvh,
                      a->ldk, 1.0f, a->dq + row * a->ldq + off, a->ldq);
    }
}

void cpu_attention_backward(Device *d, const Attention *a)
{
    (void)d;
    int64_t n = a->batch * a->kv_heads, group = a->heads / a->kv_heads;
    int threads = omp_get_max_threads();
    bool alone = threads == 1 || n == 1;
    if (alone)
        omp_set_num_threads(1);
#pragma omp parallel for schedule(dynamic, 1) if (!alone)
    for (int64_t i = 0; i < n; i++)
        for (int64_t h = i % a->kv_heads * group, end = h + group; h < end; h++)
            for (int64_t q0 = 0; q0 < a->tq; q0 += QB) {
                Block k = make_block(a, i / a->kv_heads, h, q0, QB);
                backward_block(a, &k);
            }
    if (alone)
        omp_set_num_threads(threads);
}
