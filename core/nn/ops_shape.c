/* Operations that move elements: views, concatenation, slices, tables, positions. */
#include "core/nn/ops.h"
#include "core/nn/tape_internal.h"
#include <string.h>

Tensor *op_reshape(Tape *t, Tensor *x, const int64_t *dims)
{
    Tensor *y = tape_handle(t, x);
    assert(dims[0] >= 1 && dims[0] <= 4);
    y->ndim = (int)dims[0];
    for (int i = 0; i < 4; i++)
        y->dim[i] = i < y->ndim ? dims[i + 1] : 1;
    assert(tensor_size(y) == tensor_size(x));
    y->view_of = x;
    return y;
}

static void repeat_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->reduce_period(DEV(t), tensor_size(n->out), tensor_size(n->in[0]), 1.0f,
                              n->out->grad, dx);
}
Tensor *op_repeat(Tape *t, Tensor *x, int64_t batch)
{
    assert(x->dim[0] == 1 && x->ndim > 1);
    int64_t dim[4] = {batch, x->dim[1], x->dim[2], x->dim[3]}, size = tensor_size(x);
    Tensor *y = tape_result(t, x->ndim, dim);
    tape_note(t, repeat_back, y, x, NULL, NULL);
    if (tape_live(t))
        OPS(t)->copy_block(DEV(t), batch, size, tensor_f32(x), 0, tensor_f32(y), size, false);
    return y;
}

/* Elements of x from `axis` on, and how many such blocks there are. */
static int64_t inner_size(const Tensor *x, int axis)
{
    int64_t n = 1;
    for (int i = axis; i < x->ndim; i++)
        n *= x->dim[i];
    return n;
}
static int64_t outer_size(const Tensor *x, int axis)
{
    int64_t n = 1;
    for (int i = 0; i < axis; i++)
        n *= x->dim[i];
    return n;
}

/* ---- concat: one note a part, since a note holds few arguments ---- */
static void part_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->copy_block(DEV(t), n->i[0], n->i[1], n->out->grad + n->i[2], n->i[3], dx, n->i[1],
                           true);
}
Tensor *op_concat(Tape *t, int axis, int n, Tensor *const *parts)
{
    assert(n >= 1 && axis >= 0 && axis < parts[0]->ndim);
    int64_t dim[4], offset = 0;
    memcpy(dim, parts[0]->dim, sizeof dim);
    for (int i = 1; i < n; i++) {
        assert(parts[i]->ndim == parts[0]->ndim);
        for (int k = 0; k < parts[0]->ndim; k++)
            assert(k == axis || parts[i]->dim[k] == parts[0]->dim[k]);
        dim[axis] += parts[i]->dim[axis];
    }
    Tensor *y = tape_result(t, parts[0]->ndim, dim);
    int64_t outer = outer_size(y, axis), row = inner_size(y, axis);
    for (int i = 0; i < n; i++) {
        int64_t inner = inner_size(parts[i], axis);
        Node *note = tape_note(t, part_back, y, parts[i], NULL, NULL);
        if (note)
            note->i[0] = outer, note->i[1] = inner, note->i[2] = offset, note->i[3] = row;
        if (tape_live(t) && inner)
            OPS(t)->copy_block(DEV(t), outer, inner, tensor_f32(parts[i]), inner,
                               tensor_f32(y) + offset, row, false);
        offset += inner;
    }
    return y;
}
Tensor *op_concat2(Tape *t, int axis, Tensor *a, Tensor *b)
{
    return op_concat(t, axis, 2, (Tensor *const[]){a, b});
}

static void slice_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->copy_block(DEV(t), n->i[0], n->i[1], n->out->grad, n->i[1], dx + n->i[2], n->i[3],
                           true);
}
static Tensor *slice_as(Tape *t, Tensor *x, int axis, int64_t from, int64_t count, int ndim,
                        const int64_t *dim)
{
    assert(axis >= 0 && axis < x->ndim && from >= 0 && count >= 0 && from + count <= x->dim[axis]);
    int64_t outer = outer_size(x, axis), row = inner_size(x, axis), unit = inner_size(x, axis + 1);
    Tensor *y = tape_result(t, ndim, dim);
    Node *n = tape_note(t, slice_back, y, x, NULL, NULL);
    if (n)
        n->i[0] = outer, n->i[1] = count * unit, n->i[2] = from * unit, n->i[3] = row;
    if (tape_live(t) && count)
        OPS(t)->copy_block(DEV(t), outer, count * unit, tensor_f32(x) + from * unit, row,
                           tensor_f32(y), count * unit, false);
    return y;
}
Tensor *op_slice(Tape *t, Tensor *x, int axis, int64_t from, int64_t count)
{
    int64_t dim[4];
    memcpy(dim, x->dim, sizeof dim);
    dim[axis] = count;
    return slice_as(t, x, axis, from, count, x->ndim, dim);
}
Tensor *op_take(Tape *t, Tensor *x, int64_t position)
{
    assert(x->ndim == 3);
    return slice_as(t, x, 1, position, 1, 2, (const int64_t[]){x->dim[0], x->dim[2]});
}

/* ---- tables ---- */
static void gather_back(Tape *t, Node *n)
{
    float *dtable = tape_grad(t, n->in[0]);
    if (dtable)
        OPS(t)->gather_backward(DEV(t), tensor_rows(n->out), tensor_cols(n->out),
                                (const int32_t *)(void *)n->save[0], n->out->grad, n->in[0]->dim[0],
                                dtable);
}
Tensor *op_gather(Tape *t, Tensor *table, const Tensor *index)
{
    assert(table->ndim == 2 && index->dtype == DTYPE_I32 && index->ndim <= 3);
    int64_t dim[4] = {1, 1, 1, 1};
    memcpy(dim, index->dim, (size_t)index->ndim * sizeof *dim);
    dim[index->ndim] = table->dim[1];
    Tensor *y = tape_result(t, index->ndim + 1, dim);
    Node *n = tape_note(t, gather_back, y, table, NULL, NULL);
    if (n)
        n->save[0] = index->data;
    if (tape_live(t))
        OPS(t)->gather(DEV(t), tensor_size(index), table->dim[1], tensor_f32(table),
                       tensor_i32(index), tensor_f32(y));
    return y;
}
Tensor *op_take_each(Tape *t, Tensor *x, const int32_t *position)
{
    assert(x->ndim == 3);
    int64_t b = x->dim[0], tok = x->dim[1];
    int32_t *index = tape_host(t, (size_t)b * sizeof *index);
    for (int64_t i = 0; i < b; i++) {
        assert(position[i] >= 0 && position[i] < tok);
        index[i] = (int32_t)(i * tok + position[i]);
    }
    Tensor *flat = op_reshape(t, x, TAPE_DIMS(2, b * tok, x->dim[2]));
    return op_gather(t, flat, tape_input_i32(t, index, 1, b));
}
