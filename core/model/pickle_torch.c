/* Tensors, parameters, storages and dictionaries of torch's pickles. Things that a Lightning file
 * carries beside them (settings, paths, numpy scalars) become opaque: their names are on the list,
 * they are never looked into. */
#include "core/model/pickle_torch.h"
#include "core/base/mem.h"
#include <string.h>

typedef enum Known {
    G_DICT,
    G_TENSOR,
    G_TENSOR_V2,
    G_TENSOR_V3,
    G_PARAMETER,
    G_STORAGE_TYPE, /* with a type */
    G_DTYPE,        /* with a type */
    G_SIZE,
    G_OPAQUE,
} Known;

static const struct {
    const char *module, *name;
    uint8_t what, type;
} GLOBALS[] = {
    {"collections", "OrderedDict", G_DICT, 0},
    {"collections", "Counter", G_DICT, 0},
    {"collections", "defaultdict", G_OPAQUE, 0},
    {"torch._utils", "_rebuild_tensor", G_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v2", G_TENSOR_V2, 0},
    {"torch._utils", "_rebuild_tensor_v3", G_TENSOR_V3, 0},
    {"torch._utils", "_rebuild_parameter", G_PARAMETER, 0},
    {"torch._utils", "_rebuild_parameter_with_state", G_PARAMETER, 0},
    {"torch.nn.parameter", "Parameter", G_PARAMETER, 0},
    {"torch", "FloatStorage", G_STORAGE_TYPE, ST_F32},
    {"torch", "DoubleStorage", G_STORAGE_TYPE, ST_F64},
    {"torch", "HalfStorage", G_STORAGE_TYPE, ST_F16},
    {"torch", "BFloat16Storage", G_STORAGE_TYPE, ST_BF16},
    {"torch", "LongStorage", G_STORAGE_TYPE, ST_I64},
    {"torch", "IntStorage", G_STORAGE_TYPE, ST_I32},
    {"torch", "ShortStorage", G_STORAGE_TYPE, ST_I16},
    {"torch", "CharStorage", G_STORAGE_TYPE, ST_I8},
    {"torch", "ByteStorage", G_STORAGE_TYPE, ST_U8},
    {"torch", "BoolStorage", G_STORAGE_TYPE, ST_BOOL},
    {"torch.storage", "UntypedStorage", G_STORAGE_TYPE, ST_TYPES},
    {"torch.storage", "TypedStorage", G_STORAGE_TYPE, ST_TYPES},
    {"torch", "UntypedStorage", G_STORAGE_TYPE, ST_TYPES},
    {"torch", "float32", G_DTYPE, ST_F32},
    {"torch", "float64", G_DTYPE, ST_F64},
    {"torch", "float16", G_DTYPE, ST_F16},
    {"torch", "bfloat16", G_DTYPE, ST_BF16},
    {"torch", "int64", G_DTYPE, ST_I64},
    {"torch", "int32", G_DTYPE, ST_I32},
    {"torch", "int16", G_DTYPE, ST_I16},
    {"torch", "int8", G_DTYPE, ST_I8},
    {"torch", "uint8", G_DTYPE, ST_U8},
    {"torch", "uint16", G_DTYPE, ST_U16},
    {"torch", "uint32", G_DTYPE, ST_U32},
    {"torch", "uint64", G_DTYPE, ST_U64},
    {"torch", "bool", G_DTYPE, ST_BOOL},
    {"torch", "Size", G_SIZE, 0},
    {"torch", "device", G_OPAQUE, 0},
    {"_codecs", "encode", G_OPAQUE, 0},
    {"builtins", "set", G_OPAQUE, 0},
    {"builtins", "bytearray", G_OPAQUE, 0},
    {"builtins", "complex", G_OPAQUE, 0},
    {"__builtin__", "set", G_OPAQUE, 0},
    {"__builtin__", "bytearray", G_OPAQUE, 0},
    {"__builtin__", "complex", G_OPAQUE, 0},
    {"builtins", "list", G_OPAQUE, 0},
    {"builtins", "dict", G_OPAQUE, 0},
    {"builtins", "tuple", G_OPAQUE, 0},
    {"builtins", "int", G_OPAQUE, 0},
    {"builtins", "float", G_OPAQUE, 0},
    {"builtins", "str", G_OPAQUE, 0},
    {"builtins", "bool", G_OPAQUE, 0},
    {"__builtin__", "list", G_OPAQUE, 0},
    {"__builtin__", "dict", G_OPAQUE, 0},
    {"__builtin__", "tuple", G_OPAQUE, 0},
    {"__builtin__", "int", G_OPAQUE, 0},
    {"__builtin__", "float", G_OPAQUE, 0},
    {"__builtin__", "str", G_OPAQUE, 0},
    {"__builtin__", "bool", G_OPAQUE, 0},
    {"argparse", "Namespace", G_OPAQUE, 0},
    {"pytorch_lightning.utilities.parsing", "AttributeDict", G_OPAQUE, 0},
    {"lightning.pytorch.utilities.parsing", "AttributeDict", G_OPAQUE, 0},
    {"lightning_fabric.utilities.data", "AttributeDict", G_OPAQUE, 0},
    {"lightning.fabric.utilities.data", "AttributeDict", G_OPAQUE, 0},
    {"pathlib", "PosixPath", G_OPAQUE, 0},
    {"pathlib", "Path", G_OPAQUE, 0},
    {"pathlib", "PurePosixPath", G_OPAQUE, 0},
    {"builtins", "frozenset", G_OPAQUE, 0},
    {"__builtin__", "frozenset", G_OPAQUE, 0},
    {"numpy", "dtype", G_OPAQUE, 0},
    {"numpy", "ndarray", G_OPAQUE, 0},
    {"numpy.core.multiarray", "_reconstruct", G_OPAQUE, 0},
    {"numpy._core.multiarray", "_reconstruct", G_OPAQUE, 0},
    {"numpy.core.numeric", "_frombuffer", G_OPAQUE, 0},
    {"numpy._core.numeric", "_frombuffer", G_OPAQUE, 0},
    {"numpy.core.multiarray", "scalar", G_OPAQUE, 0},
    {"numpy._core.multiarray", "scalar", G_OPAQUE, 0},
};
enum { N_GLOBALS = sizeof GLOBALS / sizeof *GLOBALS };

static bool same(const char *a, size_t n, const char *b)
{
    return strlen(b) == n && memcmp(a, b, n) == 0;
}

Err pk_global(const char *module, size_t n_module, const char *name, size_t n_name, uint8_t *out)
{
    for (int i = 0; i < N_GLOBALS; i++)
        if (same(module, n_module, GLOBALS[i].module) && same(name, n_name, GLOBALS[i].name)) {
            *out = (uint8_t)i;
            return OK;
        }
    FAIL(ERR_MODEL, "pickle: the global %.*s.%.*s is not allowed; nothing was run",
         n_module < 80 ? (int)n_module : 80, module, n_name < 80 ? (int)n_name : 80, name);
}

/* Item i of a tuple. */
static const PkValue *item(const Pickle *o, const PkValue *t, uint32_t i)
{
    return i < t->n ? &o->v[t->u.items[i]] : NULL;
}

Err pk_storage(Pickle *o, uint32_t id, uint32_t *out)
{
    const PkValue *t = &o->v[id];
    if (t->kind != PK_TUPLE || t->n < 5 || !pickle_text_is(item(o, t, 0), "storage"))
        FAIL(ERR_MODEL, "pickle: a persistent id that is no storage");
    const PkValue *type = item(o, t, 1), *key = item(o, t, 2), *numel = item(o, t, 4);
    if (type->kind != PK_GLOBAL || GLOBALS[type->sub].what != G_STORAGE_TYPE)
        FAIL(ERR_MODEL, "pickle: a storage without a type");
    if (key->kind != PK_TEXT || key->n == 0 || key->n > 20)
        FAIL(ERR_MODEL, "pickle: a storage whose key is no number");
    for (uint32_t i = 0; i < key->n; i++)
        if (key->u.text[i] < '0' || key->u.text[i] > '9')
            FAIL(ERR_MODEL, "pickle: a storage whose key is no number");
    if (numel->kind != PK_INT || numel->u.i < 0)
        FAIL(ERR_MODEL, "pickle: a storage without a size");
    if (t->n > 5 && item(o, t, 5)->kind != PK_NONE)
        FAIL(ERR_MODEL, "pickle: views of storages are not supported");
    PkStorage s = {.key = key->u.text,
                   .key_len = key->n,
                   .type = (StType)GLOBALS[type->sub].type,
                   .numel = numel->u.i};
    TRY(pk_new(o, PK_STORAGE, out));
    o->v[*out].u.storage = mem_must(sizeof s);
    *o->v[*out].u.storage = s;
    return OK;
}

static Err sizes(const Pickle *o, const PkValue *t, int *n, int64_t *out)
{
    if (!t || (t->kind != PK_TUPLE && t->kind != PK_LIST) || t->n > ST_MAX_DIMS)
        FAIL(ERR_MODEL, "pickle: a tensor without a shape, or of more than %d dimensions",
             ST_MAX_DIMS);
    for (uint32_t i = 0; i < t->n; i++) {
        const PkValue *v = item(o, t, i);
        if (v->kind != PK_INT || v->u.i < 0)
            FAIL(ERR_MODEL, "pickle: a negative size or stride of a tensor");
        out[i] = v->u.i;
    }
    *n = (int)t->n;
    return OK;
}

/* offset + sum (size-1)*stride < numel of the storage. */
static Err check_extent(const PkTensor *t, const PkStorage *s)
{
    uint64_t size = st_type_size(t->type), last = (uint64_t)t->offset;
    uint64_t room = s->type == ST_TYPES ? (uint64_t)s->numel / size : (uint64_t)s->numel;
    bool empty = false;
    for (int d = 0; d < t->ndim; d++)
        empty |= t->dim[d] == 0;
    for (int d = 0; !empty && d < t->ndim; d++) {
        uint64_t add;
        if (__builtin_mul_overflow((uint64_t)t->dim[d] - 1, (uint64_t)t->stride[d], &add) ||
            __builtin_add_overflow(last, add, &last))
            FAIL(ERR_MODEL, "pickle: a tensor beyond its storage");
    }
    if (empty ? (uint64_t)t->offset > room : last >= room)
        FAIL(ERR_MODEL, "pickle: a tensor beyond its storage");
    uint64_t elements = 1;
    for (int d = 0; !empty && d < t->ndim; d++)
        if (__builtin_mul_overflow(elements, (uint64_t)t->dim[d], &elements) ||
            elements > UINT64_MAX / 16)
            FAIL(ERR_MODEL, "pickle: a tensor larger than memory");
    /* strides of 0 may repeat a storage; not without end */
    if (!empty && elements > 1u << 20 && elements / 8 > room)
        FAIL(ERR_MODEL, "pickle: a tensor of %llu numbers in a storage of %llu",
             (unsigned long long)elements, (unsigned long long)room);
    return OK;
}

static Err make_tensor(Pickle *o, Known what, const PkValue *a, uint32_t *out)
{
    const PkValue *s = item(o, a, 0), *offset = item(o, a, 1);
    PkTensor t = {0};
    int strides;
    if (!s || s->kind != PK_STORAGE || !offset || offset->kind != PK_INT || offset->u.i < 0)
        FAIL(ERR_MODEL, "pickle: a tensor without a storage or an offset");
    t.storage = a->u.items[0];
    t.offset = offset->u.i;
    t.type = s->u.storage->type;
    TRY(sizes(o, item(o, a, 2), &t.ndim, t.dim));
    TRY(sizes(o, item(o, a, 3), &strides, t.stride));
    if (strides != t.ndim)
        FAIL(ERR_MODEL, "pickle: a tensor with %d sizes and %d strides", t.ndim, strides);
    if (what == G_TENSOR_V3) {
        const PkValue *type = item(o, a, 6);
        if (!type || type->kind != PK_GLOBAL || GLOBALS[type->sub].what != G_DTYPE)
            FAIL(ERR_MODEL, "pickle: a tensor without a type");
        t.type = (StType)GLOBALS[type->sub].type;
    }
    if (t.type == ST_TYPES || (s->u.storage->type != ST_TYPES && s->u.storage->type != t.type))
        FAIL(ERR_MODEL, "pickle: a tensor whose type is not its storage's");
    TRY(check_extent(&t, s->u.storage));
    TRY(pk_new(o, PK_TENSOR, out));
    o->v[*out].u.tensor = mem_must(sizeof t);
    *o->v[*out].u.tensor = t;
    return OK;
}

/* OrderedDict(), or OrderedDict([(key, value), ...]). */
static Err make_dict(Pickle *o, uint32_t args, uint32_t *out)
{
    TRY(pk_new(o, PK_DICT, out));
    const PkValue *list = item(o, &o->v[args], 0);
    if (!list || list->kind == PK_DICT)
        return OK;
    if (list->kind != PK_LIST && list->kind != PK_TUPLE)
        FAIL(ERR_MODEL, "pickle: a dictionary made from something strange");
    for (uint32_t i = 0; i < list->n; i++) {
        const PkValue *pair = &o->v[list->u.items[i]];
        if ((pair->kind != PK_TUPLE && pair->kind != PK_LIST) || pair->n != 2)
            FAIL(ERR_MODEL, "pickle: a dictionary made from something strange");
        TRY(pk_append(o, *out, pair->u.items[0]));
        TRY(pk_append(o, *out, pair->u.items[1]));
    }
    return OK;
}

Err pk_call(Pickle *o, uint8_t global, uint32_t args, uint32_t *out)
{
    Known what = (Known)GLOBALS[global].what;
    const PkValue *a = &o->v[args];
    switch (what) {
    case G_DICT:
        return make_dict(o, args, out);
    case G_TENSOR:
    case G_TENSOR_V2:
    case G_TENSOR_V3:
        return make_tensor(o, what, a, out);
    case G_PARAMETER:
        if (a->n < 1 || item(o, a, 0)->kind != PK_TENSOR)
            FAIL(ERR_MODEL, "pickle: a parameter without a tensor");
        *out = a->u.items[0];
        return OK;
    case G_SIZE:
        if (a->n != 1 || item(o, a, 0)->kind != PK_TUPLE)
            FAIL(ERR_MODEL, "pickle: torch.Size without sizes");
        *out = a->u.items[0];
        return OK;
    case G_OPAQUE:
        return pk_new(o, PK_OPAQUE, out);
    default:
        FAIL(ERR_MODEL, "pickle: a call of %s.%s", GLOBALS[global].module, GLOBALS[global].name);
    }
}
