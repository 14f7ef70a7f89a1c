/* What the op files share: making results, noting how to go back, and reaching gradients. Not for
 * other folders. */
#ifndef SCMM_NN_TAPE_INTERNAL_H
#define SCMM_NN_TAPE_INTERNAL_H
#include "core/nn/tape.h"
#include <assert.h>

typedef struct Node Node;
/* Adds the gradients of n->in, given n->out->grad, which it may overwrite. */
typedef void BackFn(Tape *t, Node *n);
struct Node {
    BackFn *back;
    Tensor *out;
    Tensor *in[3];
    float *save[2]; /* device memory kept from forward */
    void *more;     /* host memory of the tape: descriptors, lists */
    int64_t i[4];
    float f[2];
    Act act;
    uint64_t seed;
};

/* True while nothing failed: ops return without computing otherwise. */
bool tape_live(Tape *t);
/* Latches a failure whose message is set. */
void tape_fail(Tape *t, Err err);
/* A float32 result with the given dimensions (uninitialised). */
Tensor *tape_result(Tape *t, int ndim, const int64_t *dim);
Tensor *tape_result_like(Tape *t, const Tensor *x);
/* x's dimensions with the last replaced by cols. */
Tensor *tape_result_cols(Tape *t, const Tensor *x, int64_t cols);
Tensor *tape_scalar(Tape *t);
Tensor *tape_result_i32(Tape *t, int ndim, const int64_t *dim);
/* A second handle on x's memory. */
Tensor *tape_handle(Tape *t, const Tensor *x);
float *tape_floats(Tape *t, int64_t n); /* device memory until reset; NULL after a failure */
float *tape_zeros(Tape *t, int64_t n);
void *tape_host(Tape *t, size_t bytes); /* zeroed host memory until reset */
/* Notes an op when the tape records and an argument needs a gradient (NULL arguments ok); else
 * returns NULL. */
Node *tape_note(Tape *t, BackFn *back, Tensor *out, Tensor *a, Tensor *b, Tensor *c);
/* The gradient of x to add to, or NULL when x needs none (or x is NULL, or memory failed). */
float *tape_grad(Tape *t, Tensor *x);
/* The same, but a new gradient comes uninitialised and *beta is 0: the caller writes instead of
 * adding. */
float *tape_grad_gemm(Tape *t, Tensor *x, float *beta);
#define OPS(t) (tape_device(t)->ops)
#define DEV(t) tape_device(t)
#endif
