/* Fibers, barriers and memory of the emulated GPU; see cuda_runtime.h for what is checked. */
#include "cuda_runtime.h"
#include <cstdio>
#include <map>
#include <sys/mman.h>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

[[noreturn]] static void defect(const char *what, int line, const char *file)
{
    fprintf(stderr, "emulated GPU: %s at %s:%d, block (%u,%u,%u)\n", what, file, line, blockIdx.x, blockIdx.y,
            blockIdx.z);
    abort();
}

/* ---- fibers: one for each thread of a block, kept for the next block ---- */
enum State { IDLE, READY, AT_BLOCK, AT_WARP };
struct Fiber {
    void *stack; /* where it stopped */
    State state;
    dim3 thread;
    EmulatedOp op; /* what it waits for */
    unsigned mask;
    uint64_t value;
    int source, line;
    const char *file;
};
enum { STACK = 1 << 16 };
static std::vector<Fiber *> fibers;
static void *scheduler;
static int current;
static const std::function<void()> *kernel;
static std::vector<float> shared_memory;

void *emulated_shared()
{
    return shared_memory.data();
}
int emulated_lane()
{
    return current % 32;
}

/* Saves the registers that a call keeps on this stack, goes on with the other one. */
extern "C" void emulated_switch(void **save, void *to);
#ifdef __x86_64__
asm(".globl emulated_switch\n.type emulated_switch,@function\nemulated_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\npop %rcx\njmp *%rcx\n");
enum { SAVED = 6 };
#else
#error "the emulated GPU needs an x86-64 processor"
#endif

static void leave()
{
    emulated_switch(&fibers[current]->stack, scheduler);
}
static void fiber_main()
{
    for (;;) {
        (*kernel)();
        fibers[current]->state = IDLE;
        leave();
    }
}
static void enter(int i)
{
    current = i;
    threadIdx = fibers[i]->thread;
    emulated_switch(&scheduler, fibers[i]->stack);
}
static void make_fibers(int n)
{
    while ((int)fibers.size() < n) {
        Fiber *f = new Fiber();
        size_t aside = fibers.size() % 61 * 192; /* else all stacks share a few lines of the cache */
        void **top = (void **)((char *)malloc(STACK) + STACK - aside) - 1;
        *--top = (void *)fiber_main; /* as if it had been called */
        f->stack = top - SAVED;
        fibers.push_back(f);
    }
}

int emulated_block_meet(int value, int line, const char *file)
{
    Fiber *f = fibers[current];
    f->state = AT_BLOCK;
    f->value = (uint64_t)value;
    f->line = line;
    f->file = file;
    leave();
    return (int)f->value;
}
uint64_t emulated_warp_meet(EmulatedOp op, unsigned mask, uint64_t value, int source, int line, const char *file)
{
    Fiber *f = fibers[current];
    if (!(mask >> emulated_lane() & 1) || source < 0 || source > 31)
        defect("a lane that is not in its own mask, or reads one that does not exist", line, file);
    f->state = AT_WARP;
    f->op = op;
    f->mask = mask;
    f->value = value;
    f->source = source;
    f->line = line;
    f->file = file;
    leave();
    return f->value;
}

/* Lets the lanes that wait with lane `i` go on when all of their mask are there. */
static bool release_warp(int i, int n)
{
    Fiber *f = fibers[i];
    int base = i - i % 32;
    uint64_t result[32], votes = 0;
    for (int l = 0; l < 32; l++) {
        if (!(f->mask >> l & 1))
            continue;
        if (base + l >= n)
            defect("a mask with lanes beyond the block", f->line, f->file);
        Fiber *o = fibers[base + l];
        if (o->state == IDLE)
            defect("waiting for a lane that has left", f->line, f->file);
        if (o->state != AT_WARP || o->mask != f->mask)
            return false;
        if (o->line != f->line || o->file != f->file || o->op != f->op)
            defect("lanes of one mask at different places", f->line, f->file);
        votes |= (uint64_t)(o->value != 0) << l;
    }
    for (int l = 0; l < 32; l++) {
        if (!(f->mask >> l & 1))
            continue;
        Fiber *o = fibers[base + l];
        if (o->op == OP_SHUFFLE && !(f->mask >> o->source & 1))
            defect("a lane read from outside the mask", f->line, f->file);
        result[l] = o->op == OP_BALLOT ? votes : o->op == OP_SHUFFLE ? fibers[base + o->source]->value : 0;
    }
    for (int l = 0; l < 32; l++)
        if (f->mask >> l & 1) {
            fibers[base + l]->value = result[l];
            fibers[base + l]->state = READY;
        }
    return true;
}
/* All threads that have not left wait for the block, at one place. */
static bool release_block(int n)
{
    Fiber *first = NULL;
    uint64_t any = 0;
    for (int i = 0; i < n; i++) {
        Fiber *f = fibers[i];
        if (f->state == IDLE)
            continue;
        if (f->state != AT_BLOCK)
            return false;
        if (!first)
            first = f;
        if (f->line != first->line || f->file != first->file)
            defect("threads of a block at different barriers", f->line, f->file);
        any |= f->value;
    }
    for (int i = 0; i < n; i++)
        if (fibers[i]->state == AT_BLOCK) {
            fibers[i]->value = any;
            fibers[i]->state = READY;
        }
    return first != NULL;
}

/* ---- launches ---- */
/* Another order with every launch, so that the same work done twice meets two. */
static int64_t launches;

static int64_t coprime_step(int64_t n)
{
    for (int64_t step = n / 2 + 1;; step++) {
        int64_t a = step, b = n;
        while (b) {
            int64_t t = a % b;
            a = b;
            b = t;
        }
        if (a == 1)
            return step;
    }
}
/* 0 .. n-1 rising, falling or mixed. */
static std::vector<int64_t> an_order(int64_t n)
{
    std::vector<int64_t> order(n);
    uint64_t kind = ((uint64_t)launches * 0x9e3779b97f4a7c15u >> 60) % 3;
    int64_t step = kind == 2 ? coprime_step(n) : 1;
    for (int64_t i = 0; i < n; i++)
        order[i] = kind == 1 ? n - 1 - i : i * step % n;
    return order;
}

/* Runs a warp until all of its lanes have left or wait for the block. Each warp runs as far ahead of the others as
 * barriers let it: what relies on being in step fails. */
static void run_warp(int base, int n, const std::vector<int64_t> &order)
{
    for (bool go_on = true; go_on;) {
        go_on = false;
        for (int64_t lane : order) {
            int i = base + (int)lane;
            if (i < n && fibers[i]->state == READY)
                enter(i);
        }
        for (int i = base; i < base + 32 && i < n; i++)
            if (fibers[i]->state == AT_WARP)
                go_on |= release_warp(i, n);
    }
}
static void run_block(int n, const std::vector<int64_t> &warps, const std::vector<int64_t> &lanes)
{
    for (auto &v : shared_memory)
        v = NAN;
    for (int i = 0; i < n; i++) {
        fibers[i]->state = READY;
        fibers[i]->thread = dim3((unsigned)i % blockDim.x, (unsigned)i / blockDim.x % blockDim.y,
                                 (unsigned)i / blockDim.x / blockDim.y);
    }
    do {
        for (int64_t w : warps)
            run_warp((int)w * 32, n, lanes);
        for (int i = 0; i < n; i++)
            if (fibers[i]->state == AT_WARP)
                defect("lanes that wait for others for ever", fibers[i]->line, fibers[i]->file);
    } while (release_block(n));
}

static cudaError_t last_error;
static size_t shared_allowed = 48 << 10;
enum { SHARED_MOST = 163 << 10 };

cudaError_t emulated_allow_shared(int bytes)
{
    if (bytes < 0 || bytes > SHARED_MOST)
        return cudaErrorInvalidValue;
    shared_allowed = bytes > (48 << 10) ? (size_t)bytes : 48 << 10;
    return cudaSuccess;
}
void emulated_launch(dim3 grid, dim3 block, size_t shared, const std::function<void()> &f)
{
    int64_t n = (int64_t)block.x * block.y * block.z, blocks = (int64_t)grid.x * grid.y * grid.z;
    if (n == 0 || n > 1024 || block.z > 64 || blocks == 0 || grid.x > 0x7fffffffu || grid.y > 65535 ||
        grid.z > 65535 || shared > shared_allowed) {
        last_error = cudaErrorInvalidConfiguration;
        return;
    }
    gridDim = grid;
    blockDim = block;
    kernel = &f;
    shared_memory.resize(shared / sizeof(float) + 2);
    make_fibers((int)n);
    emulated_open_memory();
    launches++;
    std::vector<int64_t> warps = an_order((n + 31) / 32), lanes = an_order(32);
    for (int64_t b : an_order(blocks)) {
        blockIdx = dim3((unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y), (unsigned)(b / grid.x / grid.y));
        run_block((int)n, warps, lanes);
    }
    emulated_close_memory();
}
cudaError_t cudaGetLastError()
{
    cudaError_t e = last_error;
    last_error = cudaSuccess;
    return e;
}
const char *cudaGetErrorString(cudaError_t e)
{
    return e == cudaErrorMemoryAllocation       ? "out of memory"
           : e == cudaErrorInvalidConfiguration ? "invalid configuration argument"
                                                : "invalid argument";
}

/* ---- memory: each allocation ends at a page nobody may touch, and addresses are not used twice ---- */
enum : size_t { PAGE = 4096, ALIGN = 256, SPACE = (size_t)1 << 40, FILL_UP_TO = 64 << 20 };
static char *space;
static size_t used;
static size_t total = (size_t)2 << 30, in_use;
static std::map<char *, size_t> live; /* start to size */

static size_t up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}
static char *pages_of(char *p)
{
    return p - (size_t)(p - space) % PAGE;
}
static void protect(char *p, size_t bytes, int how)
{
    char *from = pages_of(p);
    if (mprotect(from, up((size_t)(p + up(bytes, ALIGN) - from), PAGE), how))
        defect("mprotect fails", __LINE__, __FILE__);
}
void emulated_open_memory()
{
    for (auto &a : live)
        protect(a.first, a.second, PROT_READ | PROT_WRITE);
}
void emulated_close_memory()
{
    for (auto &a : live)
        protect(a.first, a.second, PROT_NONE);
}
/* EMULATED_KB: memory of the GPU. */
cudaError_t cudaMemGetInfo(size_t *available, size_t *all)
{
    if (getenv("EMULATED_KB"))
        total = (size_t)atol(getenv("EMULATED_KB")) << 10;
    *all = total;
    *available = total > in_use ? total - in_use : 0;
    return cudaSuccess;
}
cudaError_t emulated_malloc(void **out, size_t bytes)
{
    size_t available, all, want = up(bytes ? bytes : 1, ALIGN);
    cudaMemGetInfo(&available, &all);
    if (want > available)
        return last_error = cudaErrorMemoryAllocation;
    if (!space)
        space = (char *)mmap(NULL, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED || used + want + 2 * PAGE > SPACE)
        return last_error = cudaErrorMemoryAllocation;
    used = up(used + want, PAGE) + PAGE;
    char *p = space + used - PAGE - want;
    protect(p, want, PROT_READ | PROT_WRITE);
    if (want <= FILL_UP_TO)
        memset(p, 0xff, want);
    memset(p + bytes, 0xa5, want - bytes);
    live[p] = bytes;
    in_use += want;
    protect(p, want, PROT_NONE);
    *out = p;
    return cudaSuccess;
}
cudaError_t cudaFree(void *v)
{
    char *p = (char *)v;
    if (!p)
        return cudaSuccess;
    auto a = live.find(p);
    if (a == live.end())
        defect("freeing what is not allocated", __LINE__, __FILE__);
    size_t bytes = a->second, want = up(bytes ? bytes : 1, ALIGN);
    protect(p, want, PROT_READ);
    for (size_t i = bytes; i < want; i++)
        if ((unsigned char)p[i] != 0xa5)
            defect("something was written past the end of an allocation", __LINE__, __FILE__);
    protect(p, want, PROT_NONE);
    madvise(pages_of(p), (size_t)(p + want - pages_of(p)), MADV_DONTNEED);
    live.erase(a);
    in_use -= want;
    return cudaSuccess;
}
/* Whether [v, v + bytes) lies inside one allocation. */
static bool on_device(const void *v, size_t bytes)
{
    char *p = (char *)v;
    auto a = live.upper_bound(p);
    if (a == live.begin())
        return false;
    --a;
    return p >= a->first && p + bytes <= a->first + a->second;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t)
{
    bool to_host = kind == cudaMemcpyDeviceToHost, from_host = kind == cudaMemcpyHostToDevice;
    if (bytes == 0)
        return cudaSuccess;
    if (on_device(to, bytes) == to_host || on_device(from, bytes) == from_host)
        defect("a copy whose ends are not where it says, or past an allocation's end", __LINE__, __FILE__);
    emulated_open_memory();
    memcpy(to, from, bytes);
    emulated_close_memory();
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t)
{
    if (bytes == 0)
        return cudaSuccess;
    if (!on_device(p, bytes))
        defect("clearing past an allocation's end", __LINE__, __FILE__);
    emulated_open_memory();
    memset(p, value, bytes);
    emulated_close_memory();
    return cudaSuccess;
}
