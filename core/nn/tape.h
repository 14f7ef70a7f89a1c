/* Tape: the memory and the history of one step. Ops (ops.h) take their results from the tape's
 * arena and, while it records, note how to go back; tape_backward() runs the notes in reverse.
 * tape_reset() forgets the step and keeps the memory for the next one, so a training loop allocates
 * nothing after its first steps.
 *
 *     tape_reset(t);
 *     Tensor *x = tape_input_f32(t, values, 2, 40, 128);
 *     Tensor *loss = op_mean(t, op_linear(t, x, w, b, ACT_GELU));
 *     TRY(tape_backward(t, loss));             // gradients are in w->grad, b->grad
 *     TRY(tensor_read(t, loss, &value));
 *
 * Failures (device memory) latch: later ops return tensors of the right shape without computing,
 * and tape_error(), tape_backward() and tensor_read() report it, so model code checks once per
 * step. Wrong shapes are assert()ed. One thread at a time uses a tape. */
#ifndef SCMM_NN_TAPE_H
#define SCMM_NN_TAPE_H
#include "core/base/err.h"
#include "core/device/device.h"
#include "core/device/tensor.h"

typedef struct Tape Tape;

/* A tape on d (borrowed, must outlive it). record: ops are noted for backward (training). */
CHECKED Err tape_new(Device *d, bool record, Tape **out);
void tape_free(Tape *t); /* NULL ok */
/* Forgets all tensors and notes; every Tensor * handed out becomes invalid. Clears a latched error.
 */
void tape_reset(Tape *t);
Device *tape_device(const Tape *t);
bool tape_recording(const Tape *t);
void tape_set_recording(Tape *t, bool record);
/* Seed of dropout and noise; each such op of a step takes the next stream. Set it every step (seed
 * + step). */
void tape_set_seed(Tape *t, uint64_t seed);
uint64_t tape_next_seed(Tape *t);
CHECKED Err tape_error(Tape *t);
/* Bytes of arena reserved. */
size_t tape_reserved(const Tape *t);

/* Data going up; host arrays of product(dims) elements, copied. ndim 1..4, then ndim dimensions
 * (int64_t or int). */
#define tape_input_f32(t, data, ...) tape_input(t, DTYPE_F32, data, TAPE_DIMS(__VA_ARGS__))
#define tape_input_i32(t, data, ...) tape_input(t, DTYPE_I32, data, TAPE_DIMS(__VA_ARGS__))
#define tape_input_u8(t, data, ...) tape_input(t, DTYPE_U8, data, TAPE_DIMS(__VA_ARGS__))
#define TAPE_DIMS(...) ((const int64_t[]){__VA_ARGS__})
/* dims[0] = ndim, dims[1..] the dimensions. */
Tensor *tape_input(Tape *t, DType type, const void *data, const int64_t *dims);
/* An uninitialised float32 tensor / one filled with value; no gradient. */
Tensor *tape_empty(Tape *t, const int64_t *dims);
Tensor *tape_fill(Tape *t, float value, const int64_t *dims);
/* An input with a gradient, for tests and for optimising inputs. */
Tensor *tape_leaf_f32(Tape *t, const float *data, const int64_t *dims);

/* Data coming down: the whole tensor (elements of its type) into host memory; waits. */
CHECKED Err tensor_read(Tape *t, const Tensor *x, void *out);
/* `count` elements from element `offset` on. */
CHECKED Err tensor_read_part(Tape *t, const Tensor *x, int64_t offset, int64_t count, void *out);
CHECKED Err tensor_read_grad(Tape *t, const Tensor *x,
                             float *out); /* zeros when nothing flowed back */

/* Adds d loss / d everything to the gradients of all that need one; loss has one element. Parameter
 * gradients add up over several calls (gradient accumulation) until optimizer_step or
 * params_zero_grad. Call once per recorded step. */
CHECKED Err tape_backward(Tape *t, Tensor *loss);

/* Inference of deep stacks in constant memory: mark before the layers, and after each layer
 * x = tape_rewind(t, mark, x) gives back everything since the mark except x. While recording:
 * returns x unchanged. Every other Tensor * made since the mark becomes invalid. */
typedef struct TapeMark {
    size_t chunk, used;
} TapeMark;
TapeMark tape_mark(const Tape *t);
Tensor *tape_rewind(Tape *t, TapeMark mark, Tensor *keep);
#endif
