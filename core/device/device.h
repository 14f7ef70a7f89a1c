/* Devices: one table of arithmetic (DeviceOps) that every backend fills completely.
 * The CPU backend (gpu/cpu) is linked in; the CUDA backend (gpu/cuda) is a plugin, device_cuda.so,
 * looked for in $SCMMGPT_PLUGIN_DIR, beside the executable and in PREFIX/lib/scmmgpt, and kept
 * loaded once opened. Kernels return nothing: a failure (no memory, a lost GPU) latches in the
 * Device and device_check() reports it, so that a model's forward pass reads as mathematics. Wrong
 * shapes are bugs and assert()ed in core/nn. All matrices are row-major float32 unless said;
 * kernels may run asynchronously in issue order. Every backward kernel *adds* to its gradients.
 * Same sizes give the same numbers at any number of threads. */
#ifndef SCMM_DEVICE_DEVICE_H
#define SCMM_DEVICE_DEVICE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
typedef int Err; /* the plugin sees error codes as numbers: 1 general, 5 memory */
extern "C" {
#else
#include "core/base/err.h"
#endif

#define DEVICE_ABI 7

typedef struct Device Device;
typedef struct DeviceOps DeviceOps;

struct Device {
    const DeviceOps *ops;
    void *impl;        /* the backend's own state */
    char name[128];    /* "CPU (4 threads, AVX-512)", "cuda:0 NVIDIA H100 (80 GiB)" */
    uint64_t memory;   /* bytes usable on the device at opening; 0 unknown */
    Err err;           /* latched failure, OK = 0 */
    char message[256]; /* its text */
    bool narrow;       /* asked for: weights of inference in 16 bits (params_pack) */
};

typedef enum Act {
    ACT_NONE,
    ACT_RELU,
    ACT_GELU, /* x * Phi(x), the erf form */
    ACT_SILU,
    ACT_TANH,
    ACT_SIGMOID,
    ACT_LEAKY, /* slope 0.01 below zero */
    ACT_EXP,
    ACT_LOG, /* log(x); x > 0 */
    ACT_SQUARE,
    ACT_SOFTPLUS,
    ACT_COUNT
} Act;

/* C[i] = alpha * op(A[i]) op(B[i]) + beta * C[i], i < batch. op(A) is [m,k], op(B) [k,n], C [m,n].
 * With ta the stored A is [k,m] (row length lda); with tb the stored B is [n,k]. Strides in
 * elements between the matrices of a batch; 0 shares one. beta 0 never reads C. */
typedef struct Gemm {
    bool ta, tb;
    int64_t m, n, k, batch;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;
    int64_t stride_a, stride_b, stride_c;
    float alpha, beta;
} Gemm;

/* softmax(scale * Q K^T + mask) V for each sequence and head, scores never stored whole.
 * q [batch,tq] rows of ldq floats, head h at offset h*dim; k, v likewise with kv_heads heads: query
 * head h reads kv head h / (heads/kv_heads). Rows of one sequence are contiguous (batch stride =
 * t*ld), except that k/v sequences are kv_rows rows apart (KV caches; 0: tk). Key j of sequence b
 * is seen by query i when first[b] <= j < len[b] (NULL: 0 and tk)  and  key_mask[b*tk+j] != 0
 * (key_mask NULL: all) and (!causal || j <= i + tk - tq) and (prefix == 0 || j < prefix || j == i):
 * keys from `prefix` on are seen by their own row only. A query that sees nothing gives zeros. lse
 * [batch,heads,tq] receives log sum exp of the scaled scores (NULL in inference). drop is the
 * probability of zeroing an attention weight (others scaled by 1/(1-drop)). */
typedef struct Attention {
    int64_t batch, heads, kv_heads, tq, tk, dim;
    const float *q, *k, *v;
    int64_t ldq, ldk, ldv, kv_rows;
    float *out; /* [batch,tq,heads*dim] rows of ldo floats */
    int64_t ldo;
    float *lse;
    float scale;
    bool causal;
    int64_t prefix;
    const int32_t *first, *len; /* device, [batch] */
    const uint8_t *key_mask;    /* device, [batch,tk] */
    float drop;
    uint64_t seed;
    /* backward: dout rows of ldo; dq/dk/dv have the layout of q/k/v and are added to; any may be
     * NULL */
    const float *dout;
    float *dq, *dk, *dv;
    float *delta; /* scratch [batch,heads,tq] */
} Attention;

/* Causal attention to a cache in pages: a page holds page_rows tokens of `width` = kv_heads*dim
 * floats; page[b*pages + i] (a host array of device pointers) is the i-th page of sequence b, keys
 * at offset k_at, values at v_at (floats). The queries are the last tq of the tk tokens. q and out
 * are [batch,tq,heads*dim], contiguous. */
typedef struct PagedAttention {
    int64_t batch, heads, kv_heads, tq, tk, dim;
    const float *q;
    float *out;
    float *const *page;
    int64_t pages, page_rows, k_at, v_at;
    float scale;
} PagedAttention;

/* Cross-entropy of rows of logits [n,v] against integer or soft targets.
 * mask byte != 0 excludes a class from the softmax (and its target must not be excluded);
 * mask_stride v: one mask per row, 0: one for all rows. Integer: target i32 [n], -100 = ignored
 * row; smoothing e gives (1-e)*nll + e*mean over the not excluded classes of -log p. Soft: soft
 * [n,v] >= 0 (rows need not sum to 1; excluded entries are ignored), row loss = -sum_j soft_j log
 * p_j. row_weight [n] NULL: 1. loss[0] = sum_i w_i loss_i / norm, norm = sum of w over the not
 * ignored rows (integer), n (soft); loss 0 when norm is 0. stats [2n+1] keeps what backward needs.
 */
typedef struct CrossEntropy {
    int64_t n, v;
    const float *logits;
    const int32_t *target;
    const float *soft;
    const uint8_t *mask;
    int64_t mask_stride;
    const float *row_weight;
    float smoothing;
    float *loss, *stats;
    /* backward: dlogits [n,v] += dloss[0] * d loss / d logits */
    const float *dloss;
    float *dlogits;
} CrossEntropy;

/* One AdamW step (Loshchilov and Hutter 2019): m, v moments; w -= lr*(mhat/(sqrt(vhat)+eps) +
 * decay*w). g is multiplied by grad_scale first. step counts from 1. */
typedef struct AdamStep {
    int64_t n;
    float *w, *m, *v;
    const float *g;
    float lr, beta1, beta2, eps, decay, grad_scale;
    int64_t step;
} AdamStep;

/* Weights prepared once for inference, in a form the backend likes. y[m,n] = act(x[m,k] W[n,k]^T +
 * bias). BF16X3 is float32 as a sum of two bf16 numbers, three products: near float32, for
 * processors whose bf16 products are several times faster (elsewhere it is F32). */
typedef enum WeightForm { WEIGHT_F32, WEIGHT_BF16, WEIGHT_INT8, WEIGHT_BF16X3 } WeightForm;
typedef struct PackedWeight PackedWeight;

/* A weight matrix [n,k] as a file holds it, rows one after another: float32, half precision,
 * bfloat16, or whole numbers with one half-precision scale for each STORED_GROUP weights of a row
 * (k is then a multiple of it). Q8: int8, weight = q * scale. Q4: half a byte each, byte j of a
 * group's 16 holds weight j below and weight j+16 above, weight = (q - 8) * scale. */
typedef enum StoredType {
    STORED_F32,
    STORED_F16,
    STORED_BF16,
    STORED_Q8,
    STORED_Q4,
    STORED_TYPES
} StoredType;
enum { STORED_GROUP = 32 };
typedef struct StoredWeight {
    StoredType type;
    int64_t n, k;
    const void *data;      /* host memory, any alignment */
    const uint16_t *scale; /* [n, k/STORED_GROUP]; Q8 and Q4 only */
} StoredWeight;
/* How exactly products with stored weights are computed. STORED_EXACT: float32 throughout, whatever
 * the storage. STORED_FAST: x may be rounded (int8 in groups beside Q8 and Q4; bf16 or half
 * precision where there are many rows and the processor gains by it). */
typedef enum StoredMode { STORED_EXACT, STORED_FAST } StoredMode;

/* One post-norm transformer layer of inference: a = attention of q, k, v = x W + b;
 * h = LN1(x + a Wo + bo); y = LN2(h + W2 act(W1 h + b1) + b2), x and y [batch,tokens,width] apart.
 * Key j of sequence b is seen when j < len[b] (NULL: all) and key_mask[b*tokens+j] (NULL: all).
 * Rows of y from len[b] on are unspecified but finite where x is. work: see encoder_layer_work. */
typedef struct EncoderLinear {
    const PackedWeight *w;
    const float *bias; /* NULL: none */
} EncoderLinear;
typedef struct EncoderLayer {
    int64_t batch, tokens, width, ffn, heads;
    float eps, scale;
    Act act;
    const float *x;
    float *y, *work;
    EncoderLinear q, k, v, out, ff1, ff2; /* k.w NULL: q gives all three, [3*width] */
    const float *gamma1, *beta1, *gamma2, *beta2;
    const int32_t *len;
    const uint8_t *key_mask;
} EncoderLayer;

/* ---- analysis of cells. These operations take and give host memory (unlike all others) and return
 * when they are done; a GPU keeps what it needs meanwhile. ---- */

/* Long operations ask on the calling thread, at least every 50 ms, whether to go on (`done`: how far
 * they are); CPU threads also ask stopped(), which is cheap and callable from any of them. After a
 * stop the results are unspecified. NULL functions: nobody stops it. */
typedef struct DeviceWatch {
    bool (*go_on)(void *user, uint64_t done);
    bool (*stopped)(void *user);
    void *user;
} DeviceWatch;
static inline bool device_go_on(const DeviceWatch *w, uint64_t done)
{
    return !w->go_on || w->go_on(w->user, done);
}
static inline bool device_stopped(const DeviceWatch *w)
{
    return w->stopped && w->stopped(w->user);
}

/* The k nearest rows of x for rows of `queries`, by Euclidean distance: candidates by float32
 * products, a few more than k, then exact distances in double. Equal distances go by number. */
typedef struct RowRange {
    int64_t first, count;
} RowRange;
typedef struct NearestTile { /* up to NEAREST_QUERIES queries against some rows of x */
    RowRange queries;
    const RowRange *refs;
    int64_t n_refs;
} NearestTile;
enum { NEAREST_QUERIES = 256 };
typedef struct Nearest {
    const float *x, *queries; /* [n,dim], [m,dim] */
    int64_t n, m, dim, k;
    bool self;            /* queries are x: the row itself comes first, at distance 0 */
    const int32_t *order; /* the number that row i of x (and, with self, of the queries) goes by; NULL: i */
    const NearestTile *tiles; /* every query in one tile */
    int64_t n_tiles;
    int32_t *indices; /* [m,k] by number, nearest first; a query with fewer than k references fills */
    float *distances; /* [m,k] up with its own number at distance 0 */
    DeviceWatch watch;      /* done: queries */
} Nearest;

/* A sparse matrix held ready for covariance(); its arrays must outlive it. Columns differ within a
 * row. */
typedef struct SparseRows {
    int64_t rows, cols;
    const int64_t *indptr;  /* [rows+1] */
    const int32_t *indices; /* [nnz] */
    const float *values;    /* [nnz] */
} SparseRows;
typedef struct HeldRows HeldRows;
enum { COVARIANCE_WIDTH = 8 }; /* vectors at a time, rows of 8 doubles */

/* Epochs of a layout in two dimensions by attracting edges and repelling samples (UMAP). In each
 * epoch every cell moves itself, reading where the others were at the epoch's beginning: edge e of
 * cell i fires in epochs next[e] = period[e], 2 period[e], ... (float sums); fired edges are taken in
 * order, as many together as fit with their repelling samples into 16 places. Steps shrink from 1 to 0; among `fixed`
 * places from a quarter, as umap-learn's transform does. */
typedef struct Layout {
    int64_t n;             /* cells that move */
    const int64_t *indptr; /* [n+1] */
    const int32_t *to;     /* rows of `fixed`, or of xy where that is NULL */
    const float *period;   /* [edges] */
    const float *fixed;    /* [n_others,2] places that do not move; NULL: cells move among themselves */
    int64_t n_others;
    double a, b;           /* of the curve 1 / (1 + a x^2b) */
    float pull;            /* factor of the attraction */
    int negatives[2];      /* repelling samples of a firing in even and odd epochs; 0..7 */
    uint64_t seed;
    int first, epochs;     /* epochs first .. epochs-1 are done */
    float *xy;             /* [n,2] start in, end out */
    DeviceWatch watch;           /* done: epochs */
    /* NULL, or called at the beginning of epochs (of some or of none) on the calling thread with the places at that
     * moment: a layout with that xy and `first` ends as this one does. */
    void (*reached)(void *user, int epoch, const float *xy);
    void *user;
} Layout;

/* The epoch in which an edge fires next when epochs 0 .. first-1 have been. */
static inline float layout_next(float period, int first)
{
    float next = period;
    while (next <= (float)(first - 1))
        next += period;
    return next;
}

struct DeviceOps {
    uint32_t abi;     /* DEVICE_ABI; checked first */
    uint32_t size;    /* sizeof(DeviceOps) */
    const char *kind; /* "cpu", "cuda" */
    /* ---- life and memory. open fills name, memory, impl; false: message says why in one line.
     * ---- */
    bool (*open)(Device *d, int index);
    void (*close)(Device *d);
    void *(*alloc)(Device *d,
                   size_t bytes); /* NULL and latched error when it does not fit; 64-byte aligned */
    void (*free)(Device *d, void *p); /* NULL ok */
    void (*upload)(Device *d, void *dst, const void *src,
                   size_t bytes); /* src may change on return */
    void (*download)(Device *d, void *dst, const void *src, size_t bytes); /* waits */
    void (*copy)(Device *d, void *dst, const void *src,
                 size_t bytes); /* on the device; no overlap */
    void (*zero)(Device *d, void *p, size_t bytes);
    void (*sync)(Device *d); /* waits for everything issued; latches asynchronous errors */

    /* ---- element by element ---- */
    void (*fill)(Device *d, int64_t n, float value, float *y);
    void (*axpy)(Device *d, int64_t n, float a, const float *x, float *y); /* y += a x */
    void (*scale)(Device *d, int64_t n, float a, const float *x,
                  float *y);                                              /* y = a x; y may be x */
    void (*act)(Device *d, Act act, int64_t n, const float *x, float *y); /* y may be x */
    /* dx (+)= dy * act'(x), given x and y = act(x); dx may be dy without add. RELU, TANH, SIGMOID,
     * LEAKY and EXP read y only (x NULL ok), the others x only (y NULL ok). */
    void (*act_backward)(Device *d, Act act, int64_t n, const float *x, const float *y,
                         const float *dy, float *dx, bool add);
    /* y[i] = x[i] + a*b[i % m]; y[i] = x[i]*b[i % m]; m divides n (m = n: same shape, m = columns:
     * a row). */
    void (*add)(Device *d, int64_t n, int64_t m, const float *x, float a, const float *b, float *y);
    void (*mul)(Device *d, int64_t n, int64_t m, const float *x, const float *b, float *y);
    /* dx[i] += dy[i]*b[i % m]; db[j] += sum over i = j mod m of dy[i]*x[i]; dx, db NULL ok. */
    void (*mul_backward)(Device *d, int64_t n, int64_t m, const float *x, const float *b,
                         const float *dy, float *dx, float *db);
    /* y[j] += a * sum over i = j mod m of x[i]: gradient of a broadcast. */
    void (*reduce_period)(Device *d, int64_t n, int64_t m, float a, const float *x, float *y);
    /* y[r,c] = x[r,c]*s[r]; backward dx += dy*s, ds[r] += <dy_r, x_r>; dx, ds NULL ok. */
    void (*mul_rows)(Device *d, int64_t rows, int64_t cols, const float *x, const float *s,
                     float *y);
    void (*mul_rows_backward)(Device *d, int64_t rows, int64_t cols, const float *x, const float *s,
                              const float *dy, float *dx, float *ds);
    /* pre[r,c] += bias[c] (NULL ok), y = act(pre); y may be pre. */
    void (*bias_act)(Device *d, int64_t rows, int64_t cols, const float *bias, Act act, float *pre,
                     float *y);
    /* y = silu(a)*b and its gradients (added; da, db NULL ok). */
    void (*swiglu)(Device *d, int64_t n, const float *a, const float *b, float *y);
    void (*swiglu_backward)(Device *d, int64_t n, const float *a, const float *b, const float *dy,
                            float *da, float *db);
    /* y = x or 0 with probability p, survivors scaled by 1/(1-p); mask from (seed, index). With
     * add, y += ... */
    void (*dropout)(Device *d, int64_t n, float p, uint64_t seed, const float *x, float *y,
                    bool add);
    void (*fill_normal)(Device *d, int64_t n, uint64_t seed,
                        float *y); /* standard normal by (seed, index) */

    /* ---- rows ---- */
    /* y = (x - mean)/sqrt(var + eps)*gamma + beta; stats [2*rows] (mean, 1/sd; NULL in inference).
     */
    void (*layernorm)(Device *d, int64_t rows, int64_t cols, float eps, const float *x,
                      const float *gamma, const float *beta, float *y, float *stats);
    void (*layernorm_backward)(Device *d, int64_t rows, int64_t cols, const float *x,
                               const float *gamma, const float *stats, const float *dy, float *dx,
                               float *dgamma, float *dbeta);
    /* y = x/sqrt(mean(x^2) + eps)*gamma; stats [rows]. */
    void (*rmsnorm)(Device *d, int64_t rows, int64_t cols, float eps, const float *x,
                    const float *gamma, float *y, float *stats);
    void (*rmsnorm_backward)(Device *d, int64_t rows, int64_t cols, const float *x,
                             const float *gamma, const float *stats, const float *dy, float *dx,
                             float *dgamma);
    /* y = x/max(|x|, 1e-12); norms [rows]. */
    void (*l2norm)(Device *d, int64_t rows, int64_t cols, const float *x, float *y, float *norms);
    void (*l2norm_backward)(Device *d, int64_t rows, int64_t cols, const float *y,
                            const float *norms, const float *dy, float *dx);
    void (*softmax)(Device *d, int64_t rows, int64_t cols, const float *x, float *y);
    void (*softmax_backward)(Device *d, int64_t rows, int64_t cols, const float *y, const float *dy,
                             float *dx);
    /* y[i,:] = table[index[i],:], zeros for a negative index; the gradient adds rows in index
     * order. */
    void (*gather)(Device *d, int64_t n, int64_t cols, const float *table, const int32_t *index,
                   float *y);
    void (*gather_backward)(Device *d, int64_t n, int64_t cols, const int32_t *index,
                            const float *dy, int64_t table_rows, float *dtable);
    /* dst[o*dst_stride + i] (+)= src[o*src_stride + i] for o < outer, i < inner. */
    void (*copy_block)(Device *d, int64_t outer, int64_t inner, const float *src,
                       int64_t src_stride, float *dst, int64_t dst_stride, bool add);
    /* y[b,t] = max_q x[b,q,t], arg the first q that reaches it. */
    void (*max_middle)(Device *d, int64_t b, int64_t q, int64_t t, const float *x, float *y,
                       int32_t *arg);
    void (*max_middle_backward)(Device *d, int64_t b, int64_t q, int64_t t, const int32_t *arg,
                                const float *dy, float *dx);
    void (*argmax)(Device *d, int64_t rows, int64_t cols, const float *x, int32_t *arg);
    /* Rotary positions, pairs (j, j+dim/2): rows [n, heads*dim] with row length ld, angle =
     * pos[row]*freq[j], freq [dim/2]. sign -1 turns back (the gradient). y (+)=; y may be x without
     * add. */
    void (*rope)(Device *d, int64_t n, int64_t heads, int64_t dim, const float *x, int64_t ldx,
                 const int32_t *pos, const float *freq, float sign, float *y, int64_t ldy,
                 bool add);

    /* ---- products and attention ---- */
    void (*gemm)(Device *d, const Gemm *g);
    void (*attention)(Device *d, const Attention *a);
    void (*attention_backward)(Device *d, const Attention *a);
    PackedWeight *(*pack)(Device *d, WeightForm form, int64_t n, int64_t k,
                          const float *w);         /* NULL: latched */
    void (*pack_free)(Device *d, PackedWeight *w); /* NULL ok */
    void (*linear_packed)(Device *d, int64_t m, const float *x, const PackedWeight *w,
                          const float *bias, Act act, float *y);
    /* A stored weight where it lies: the memory must outlive the result (the CPU reads straight
     * from it, a GPU takes a widened copy). Freed with pack_free; linear_packed takes it too. */
    PackedWeight *(*borrow)(Device *d, const StoredWeight *w);
    /* y[j][m,n_j] = x[m,k] W_j^T for `count` borrowed weights that share x. */
    void (*linear_stored)(Device *d, StoredMode mode, int64_t m, const float *x, int count,
                          const PackedWeight *const *w, float *const *y);
    /* y[i,:] = row index[i] of a borrowed weight, as float32. */
    void (*gather_stored)(Device *d, int64_t n, const PackedWeight *w, const int32_t *index,
                          float *y);
    void (*attention_paged)(Device *d, const PagedAttention *a);

    void (*encoder_layer)(Device *d, const EncoderLayer *e);

    /* ---- scalars and losses; results and upstream gradients are single floats on the device ----
     */
    void (*sum)(Device *d, int64_t n, float a, const float *x, float *y); /* y[0] = a*sum x */
    void (*add_scalar)(Device *d, int64_t n, float a, const float *s,
                       float *y); /* y[i] += a*s[0] */
    void (*sumsq)(Device *d, int64_t n, const float *x,
                  double *acc); /* acc[0] += sum x^2 (device) */
    void (*cross_entropy)(Device *d, const CrossEntropy *c);
    void (*cross_entropy_backward)(Device *d, const CrossEntropy *c);
    /* loss = sum w (x-t)^2 / sum w, w NULL: 1; norm[1] keeps 1/sum w; dx += dloss*d loss. */
    void (*mse)(Device *d, int64_t n, const float *x, const float *t, const float *w, float *loss,
                float *norm);
    void (*mse_backward)(Device *d, int64_t n, const float *x, const float *t, const float *w,
                         const float *norm, const float *dloss, float *dx, float *dt);
    /* z = mu + exp(logvar/2)*noise. */
    void (*reparam)(Device *d, int64_t n, const float *mu, const float *logvar, const float *noise,
                    float *z);
    void (*reparam_backward)(Device *d, int64_t n, const float *logvar, const float *noise,
                             const float *dz, float *dmu, float *dlogvar);
    /* loss = a * sum over all of -(1 + logvar - mu^2 - exp(logvar))/2. */
    void (*kl)(Device *d, int64_t n, float a, const float *mu, const float *logvar, float *loss);
    void (*kl_backward)(Device *d, int64_t n, float a, const float *mu, const float *logvar,
                        const float *dloss, float *dmu, float *dlogvar);
    void (*adamw)(Device *d, const AdamStep *s);

    /* ---- analysis of cells ---- */
    void (*nearest)(Device *d, const Nearest *s);
    HeldRows *(*hold_rows)(Device *d, const SparseRows *x, const DeviceWatch *watch); /* NULL: latched */
    void (*release_rows)(Device *d, HeldRows *h);                                     /* NULL ok */
    /* w = X' (X v - 1 shift') for v and w [cols,8], shift [8], in double. */
    void (*covariance)(Device *d, const HeldRows *h, const double *v, const double *shift, double *w,
                       const DeviceWatch *watch);
    void (*layout)(Device *d, const Layout *l);
};

#ifdef __cplusplus
}
#else
/* Opens "cpu", "cpu:16" (weights of inference in 16 bits), "cuda" (or "cuda:1"), or "auto": CUDA when
 * it works, else the CPU, whose reason for falling back is then in device_note(). The caller closes. ERR_USAGE for an unknown name,
 * ERR_GENERAL when it cannot start. */
CHECKED Err device_open(const char *name, Device **out);
void device_close(Device *d); /* NULL ok */
/* Why "auto" did not take the GPU; "" if it did or nobody asked. */
const char *device_note(void);
/* The latched failure, if any, as an Err with its message; it stays latched until device_clear().
 */
CHECKED Err device_check(Device *d);
void device_clear(Device *d);
/* Waits for the device and reports failures. */
CHECKED Err device_sync(Device *d);
/* Allocation with the usual error contract; device_free through d->ops->free. */
CHECKED Err device_alloc(Device *d, size_t bytes, void **out);
/* The linked-in backend. */
const DeviceOps *device_cpu_ops(void);
/* d; or where it is NULL, *plain made into a CPU device that holds nothing (so needs no closing) and
 * serves the operations of the analysis. */
Device *device_or_plain(Device *d, Device *plain);
/* Checks abi, size, kind and that no entry is NULL. */
CHECKED Err device_check_ops(const DeviceOps *ops, const char *where);
#endif
/* What a plugin exports. */
typedef const DeviceOps *DevicePluginEntry(void);
#define DEVICE_PLUGIN_ENTRY "scmmgpt_device_ops"
#endif
