/* The tape: an arena of device memory for tensors, an arena of host memory for handles and notes,
 * and the list of notes that backward runs in reverse. */
#include "core/nn/tape_internal.h"
#include "core/base/mem.h"
#include "core/nn/params.h"
#include <string.h>

enum { HOST_CHUNK = 1 << 16, ALIGN = 256, CHUNK_MIN = 1 << 20, CHUNKS_MAX = 64 };

typedef struct HostChunk {
    struct HostChunk *next;
    size_t used, size;
    max_align_t data[];
} HostChunk;

typedef struct Chunk {
    char *data;
    size_t size, used;
} Chunk;

struct Tape {
    Device *d;
    bool record;
    Err err;
    char message[256];
    Chunk chunk[CHUNKS_MAX];
    size_t chunks, now; /* chunks made; the one being filled */
    size_t want;        /* size of the single chunk to make after a reset, 0: nothing to do */
    HostChunk *host;
    Node **nodes;
    size_t node_count, node_cap;
    uint64_t seed, stream;
};

/* ---- life ---- */
Err tape_new(Device *d, bool record, Tape **out)
{
    Tape *t = mem_must(sizeof *t);
    t->d = d;
    t->record = record;
    *out = t;
    return OK;
}

static void free_chunks(Tape *t)
{
    for (size_t i = 0; i < t->chunks; i++)
        t->d->ops->free(t->d, t->chunk[i].data);
    t->chunks = t->now = 0;
}

static void free_host(Tape *t)
{
    while (t->host) {
        HostChunk *next = t->host->next;
        free(t->host);
        t->host = next;
    }
}

void tape_free(Tape *t)
{
    if (!t)
        return;
    free_chunks(t);
    free_host(t);
    free(t->nodes);
    free(t);
}

/* Several chunks become one of their total size, so that the steady state is a single block. */
void tape_reset(Tape *t)
{
    if (t->chunks > 1) {
        t->want = 0;
        for (size_t i = 0; i < t->chunks; i++)
            t->want += t->chunk[i].size;
        free_chunks(t);
    }
    if (t->chunks == 1)
        t->chunk[0].used = 0;
    t->now = 0;
    while (t->host && t->host->next) {
        HostChunk *next = t->host->next;
        free(t->host);
        t->host = next;
    }
    if (t->host)
        t->host->used = 0;
    t->node_count = 0;
    t->stream = 0;
    t->err = OK;
    device_clear(t->d);
}

Device *tape_device(const Tape *t)
{
    return t->d;
}
bool tape_recording(const Tape *t)
{
    return t->record;
}
void tape_set_recording(Tape *t, bool record)
{
    t->record = record;
}
void tape_set_seed(Tape *t, uint64_t seed)
{
    t->seed = seed;
    t->stream = 0;
}
uint64_t tape_next_seed(Tape *t)
{
    return t->seed * 0x9E3779B97F4A7C15ull + ++t->stream;
}
size_t tape_reserved(const Tape *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->chunks; i++)
        n += t->chunk[i].size;
    return n;
}

/* ---- errors ---- */
static void latch(Tape *t, Err err)
{
    if (t->err != OK)
        return;
    t->err = err;
    strncpy(t->message, err_message(), sizeof t->message - 1);
}
void tape_fail(Tape *t, Err err)
{
    latch(t, err);
}
bool tape_live(Tape *t)
{
    if (t->err == OK && t->d->err != OK)
        latch(t, device_check(t->d));
    return t->err == OK;
}
Err tape_error(Tape *t)
{
    if (tape_live(t))
        return OK;
    FAIL(t->err, "%s", t->message);
}

/* ---- memory ---- */
void *tape_host(Tape *t, size_t bytes)
{
    bytes = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!t->host || t->host->used + bytes > t->host->size) {
        size_t size = bytes > HOST_CHUNK ? bytes : HOST_CHUNK;
        HostChunk *c = mem_must(sizeof *c + size);
        c->size = size;
        c->next = t->host;
        t->host = c;
    }
    void *p = (char *)t->host->data + t->host->used;
    t->host->used += bytes;
    memset(p, 0, bytes);
    return p;
}

static bool add_chunk(Tape *t, size_t bytes)
{
    size_t size = t->chunks ? 2 * t->chunk[t->chunks - 1].size : CHUNK_MIN;
    size = t->want > size ? t->want : size;
    size = bytes > size ? bytes : size;
    void *p = NULL;
    assert(t->chunks < CHUNKS_MAX);
    if (device_alloc(t->d, size, &p) != OK && size > bytes) {
        device_clear(t->d); /* try with what is needed now */
        size = bytes;
        p = t->d->ops->alloc(t->d, size);
    }
    if (!p)
        return false;
    t->want = 0;
    t->chunk[t->chunks] = (Chunk){p, size, 0};
    t->now = t->chunks++;
    return true;
}

static void *device_bytes(Tape *t, size_t bytes)
{
    if (!tape_live(t))
        return NULL;
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    bytes = bytes ? bytes : ALIGN;
    while (t->now < t->chunks && t->chunk[t->now].used + bytes > t->chunk[t->now].size) {
        if (t->now + 1 >= t->chunks)
            break;
        t->chunk[++t->now].used = 0;
    }
    if (t->chunks == 0 || t->chunk[t->now].used + bytes > t->chunk[t->now].size)
        if (!add_chunk(t, bytes)) {
            latch(t, device_check(t->d));
            return NULL;
        }
    Chunk *c = &t->chunk[t->now];
    void *p = c->data + c->used;
    c->used += bytes;
    return p;
}
float *tape_floats(Tape *t, int64_t n)
{
    return device_bytes(t, (size_t)n * sizeof(float));
}
float *tape_zeros(Tape *t, int64_t n)
{
    float *p = tape_floats(t, n);
    if (p)
        t->d->ops->zero(t->d, p, (size_t)n * sizeof(float));
    return p;
}

TapeMark tape_mark(const Tape *t)
{
    return (TapeMark){t->now, t->chunks ? t->chunk[t->now].used : 0};
}

static bool before_mark(const Tape *t, TapeMark m, const char *p)
{
    for (size_t i = 0; i < t->chunks; i++) {
        const Chunk *c = &t->chunk[i];
        if (p >= c->data && p < c->data + c->size)
            return i < m.chunk || (i == m.chunk && p < c->data + m.used);
    }
    return true; /* not ours: a parameter */
}

Tensor *tape_rewind(Tape *t, TapeMark m, Tensor *keep)
{
    if (t->record || !tape_live(t))
        return keep;
    size_t bytes = (size_t)tensor_size(keep) * (keep->dtype == DTYPE_U8 ? 1 : 4);
    bool copy = !before_mark(t, m, keep->data);
    void *temp = keep->data;
    /* Source and destination may overlap: go through fresh memory unless they are clearly apart. */
    if (copy) {
        temp = device_bytes(t, bytes);
        if (!temp)
            return keep;
        t->d->ops->copy(t->d, temp, keep->data, bytes);
    }
    t->now = m.chunk < t->chunks ? m.chunk : 0;
    if (t->chunks)
        t->chunk[t->now].used = m.used;
    if (copy) {
        void *home = device_bytes(t, bytes);
        if (home && home != temp) {
            assert((char *)home + bytes <= (char *)temp || (char *)home >= (char *)temp + bytes);
            t->d->ops->copy(t->d, home, temp, bytes);
        }
        keep->data = home;
    }
    return keep;
}

/* ---- tensors ---- */
static Tensor *new_tensor(Tape *t, DType type, int ndim, const int64_t *dim)
{
    assert(ndim >= 1 && ndim <= 4);
    Tensor *x = tape_host(t, sizeof *x);
    x->dtype = type;
    x->ndim = ndim;
    for (int i = 0; i < 4; i++)
        x->dim[i] = i < ndim ? dim[i] : 1;
    int64_t n = 1;
    for (int i = 0; i < ndim; i++)
        if (__builtin_mul_overflow(n, dim[i], &n) || n > INT64_MAX / 8) {
            latch(t, err_set(ERR_NOMEM, "no memory for so large a tensor; use smaller batches"));
            return x;
        }
    x->data = device_bytes(t, (size_t)n * (type == DTYPE_U8 ? 1 : 4));
    return x;
}
Tensor *tape_result(Tape *t, int ndim, const int64_t *dim)
{
    return new_tensor(t, DTYPE_F32, ndim, dim);
}
Tensor *tape_result_i32(Tape *t, int ndim, const int64_t *dim)
{
    return new_tensor(t, DTYPE_I32, ndim, dim);
}
Tensor *tape_result_like(Tape *t, const Tensor *x)
{
    return new_tensor(t, DTYPE_F32, x->ndim, x->dim);
}
Tensor *tape_result_cols(Tape *t, const Tensor *x, int64_t cols)
{
    int64_t dim[4];
    memcpy(dim, x->dim, sizeof dim);
    dim[x->ndim - 1] = cols;
    return new_tensor(t, DTYPE_F32, x->ndim, dim);
}
Tensor *tape_scalar(Tape *t)
{
    return new_tensor(t, DTYPE_F32, 1, (const int64_t[]){1});
}
Tensor *tape_handle(Tape *t, const Tensor *x)
{
    Tensor *y = tape_host(t, sizeof *y);
    *y = *x;
    y->param = NULL;
    return y;
}

Tensor *tape_input(Tape *t, DType type, const void *data, const int64_t *dims)
{
    Tensor *x = new_tensor(t, type, (int)dims[0], dims + 1);
    if (x->data && tensor_size(x))
        t->d->ops->upload(t->d, x->data, data, (size_t)tensor_size(x) * (type == DTYPE_U8 ? 1 : 4));
    return x;
}
Tensor *tape_empty(Tape *t, const int64_t *dims)
{
    return new_tensor(t, DTYPE_F32, (int)dims[0], dims + 1);
}
Tensor *tape_fill(Tape *t, float value, const int64_t *dims)
{
    Tensor *x = tape_empty(t, dims);
    if (x->data)
        t->d->ops->fill(t->d, tensor_size(x), value, x->data);
    return x;
}
Tensor *tape_leaf_f32(Tape *t, const float *data, const int64_t *dims)
{
    Tensor *x = tape_input(t, DTYPE_F32, data, dims);
    x->needs_grad = true;
    return x;
}

Err tensor_read_part(Tape *t, const Tensor *x, int64_t offset, int64_t count, void *out)
{
    size_t size = x->dtype == DTYPE_U8 ? 1 : 4;
    assert(offset >= 0 && count >= 0 && offset + count <= tensor_size(x));
    TRY(tape_error(t));
    t->d->ops->download(t->d, out, (const char *)x->data + (size_t)offset * size,
                        (size_t)count * size);
    return tape_error(t);
}
Err tensor_read(Tape *t, const Tensor *x, void *out)
{
    return tensor_read_part(t, x, 0, tensor_size(x), out);
}

static const Tensor *root_of(const Tensor *x)
{
    while (x->view_of)
        x = x->view_of;
    return x;
}
Err tensor_read_grad(Tape *t, const Tensor *x, float *out)
{
    const float *g = root_of(x)->grad;
    TRY(tape_error(t));
    if (g)
        t->d->ops->download(t->d, out, g, (size_t)tensor_size(x) * sizeof *out);
    else
        memset(out, 0, (size_t)tensor_size(x) * sizeof *out);
    return tape_error(t);
}

/* ---- going back ---- */
Node *tape_note(Tape *t, BackFn *back, Tensor *out, Tensor *a, Tensor *b, Tensor *c)
{
    bool need = (a && a->needs_grad) || (b && b->needs_grad) || (c && c->needs_grad);
    if (!t->record || !need || !tape_live(t))
        return NULL;
    if (t->node_count == t->node_cap) {
        t->node_cap = t->node_cap ? 2 * t->node_cap : 256;
        if (mem_realloc(&t->nodes, t->node_cap, sizeof *t->nodes) != OK) {
            latch(t, ERR_NOMEM);
            return NULL;
        }
    }
    Node *n = tape_host(t, sizeof *n);
    *n = (Node){.back = back, .out = out, .in = {a, b, c}};
    t->nodes[t->node_count++] = n;
    out->needs_grad = true;
    return n;
}

static float *make_grad(Tape *t, Tensor *x, bool clear)
{
    size_t bytes = (size_t)tensor_size(x) * sizeof(float);
    if (x->param) { /* outlives the step */
        void *p = NULL;
        if (device_alloc(t->d, bytes, &p) != OK)
            return NULL;
        x->grad = p;
    } else {
        x->grad = tape_floats(t, tensor_size(x));
    }
    if (x->grad && clear)
        t->d->ops->zero(t->d, x->grad, bytes);
    return x->grad;
}
float *tape_grad(Tape *t, Tensor *x)
{
    if (!x || !x->needs_grad)
        return NULL;
    Tensor *r = (Tensor *)root_of(x);
    return r->grad ? r->grad : make_grad(t, r, true);
}
float *tape_grad_gemm(Tape *t, Tensor *x, float *beta)
{
    if (!x || !x->needs_grad)
        return NULL;
    Tensor *r = (Tensor *)root_of(x);
    *beta = r->grad ? 1.0f : 0.0f;
    return r->grad ? r->grad : make_grad(t, r, false);
}

Err tape_backward(Tape *t, Tensor *loss)
{
    assert(tensor_size(loss) == 1 && t->record);
    TRY(tape_error(t));
    if (!loss->needs_grad)
        return OK;
    float *g = tape_grad(t, loss);
    if (g)
        t->d->ops->fill(t->d, 1, 1.0f, g);
    for (size_t i = t->node_count; i-- > 0 && tape_live(t);)
        if (t->nodes[i]->out->grad)
            t->nodes[i]->back(t, t->nodes[i]);
    t->node_count = 0;
    return tape_error(t);
}
