/* torch.save files: the zip form (torch 1.6 and later) and the older stream of pickles. The pickle
 * says which tensors there are; their bytes are the records of the zip, or follow in the stream. */
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/ckpt.h"
#include "core/model/ckpt_zip.h"
#include "core/model/pickle.h"
#include <stdio.h>
#include <string.h>

enum { PICKLE_MAX = 64 << 20, KEY = 32 };

/* Where a storage's bytes are, by key. */
typedef struct Place {
    const uint8_t *data;
    uint64_t size;
} Place;
typedef struct Places {
    StrMap *by_key;
    Place *v;
    size_t n;
} Places;

static void places_free(Places *p)
{
    strmap_free(p->by_key);
    free(p->v);
}

static Err places_init(Places *p, size_t n)
{
    p->by_key = strmap_new(n);
    return NEW0(p->v, n);
}

static void places_add(Places *p, const char *key, size_t len, const uint8_t *data, uint64_t size)
{
    char k[KEY];
    if (len >= sizeof k)
        return;
    memcpy(k, key, len);
    k[len] = 0;
    p->v[p->n] = (Place){data, size};
    strmap_put(p->by_key, k, (int64_t)p->n++);
}

typedef struct Source {
    Ckpt *c;
    const char *path;
    const Pickle *pk;
    const Places *places;
} Source;

static Err add_tensor(const Source *s, const char *name, const PkTensor *t)
{
    const PkStorage *st = pickle_at(s->pk, t->storage)->u.storage;
    int64_t i = strmap_get_n(s->places->by_key, st->key, st->key_len, -1);
    if (i < 0)
        FAIL(ERR_MODEL, "tensor %s: its data (storage %.*s) is missing", name, (int)st->key_len,
             st->key);
    const Place *p = &s->places->v[i];
    uint64_t unit = st->type == ST_TYPES ? 1 : st_type_size(st->type), size;
    if (__builtin_mul_overflow((uint64_t)st->numel, unit, &size) || size > p->size)
        FAIL(ERR_MODEL, "tensor %s: its storage has %llu bytes, fewer than it needs", name,
             (unsigned long long)p->size);
    CkTensor x = {.type = t->type, .ndim = t->ndim, .file = s->path};
    memcpy(x.dim, t->dim, sizeof x.dim);
    memcpy(x.stride, t->stride, sizeof x.stride);
    x.data = p->data + (uint64_t)t->offset * st_type_size(t->type);
    return ckpt_put(s->c, name, &x);
}

/* The dictionary with the tensors: a Lightning file has it inside. */
static const PkValue *find_dict(const Pickle *pk)
{
    static const char *const inner[] = {"state_dict", "model_state_dict", "model"};
    const PkValue *root = pickle_at(pk, pickle_root(pk));
    for (int i = 0; i < 3; i++) {
        const PkValue *v = pickle_get(pk, root, inner[i]);
        if (v && v->kind == PK_DICT)
            return v;
    }
    return root;
}

static Err add_dict(const Source *s)
{
    const PkValue *d = find_dict(s->pk);
    size_t found = 0;
    if (d->kind != PK_DICT)
        FAIL(ERR_MODEL, "holds no dictionary of tensors");
    for (uint32_t i = 0; i + 1 < d->n; i += 2) {
        const PkValue *k = pickle_at(s->pk, d->u.items[i]),
                      *v = pickle_at(s->pk, d->u.items[i + 1]);
        if (k->kind != PK_TEXT || v->kind != PK_TENSOR)
            continue;
        if (k->n > 1000 || memchr(k->u.text, 0, k->n))
            FAIL(ERR_MODEL, "a tensor's name is too long or holds a zero byte");
        char *name = mem_strndup(k->u.text, k->n);
        Err err = add_tensor(s, name, v->u.tensor);
        free(name);
        TRY(err);
        found++;
    }
    if (!found)
        FAIL(ERR_MODEL, "holds no tensors");
    return OK;
}

/* ---- zip ---- */

static bool ends(const ZipRecord *r, const char *text)
{
    size_t n = strlen(text);
    return r->name_len >= n && memcmp(r->name + r->name_len - n, text, n) == 0;
}

/* Record TOP + text. */
static const ZipRecord *find_record(const ZipRecord *r, size_t n, const ZipRecord *pkl,
                                    const char *text)
{
    size_t top = pkl->name_len - strlen("data.pkl"), len = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (r[i].name_len == top + len && memcmp(r[i].name, pkl->name, top) == 0 &&
            memcmp(r[i].name + top, text, len) == 0)
            return &r[i];
    return NULL;
}

static Err find_pickle(const ZipRecord *r, size_t n, const ZipRecord **out)
{
    *out = NULL;
    for (size_t i = 0; i < n; i++)
        if (ends(&r[i], "/data.pkl")) {
            if (*out)
                FAIL(ERR_MODEL, "zip: two records named data.pkl");
            *out = &r[i];
        }
    if (!*out)
        FAIL(ERR_MODEL, "zip: no data.pkl; not a file of torch.save");
    if (find_record(r, n, *out, "constants.pkl"))
        FAIL(ERR_MODEL, "a TorchScript archive; save the state_dict instead");
    const ZipRecord *order = find_record(r, n, *out, "byteorder");
    if (order && !(order->size == 6 && memcmp(order->data, "little", 6) == 0))
        FAIL(ERR_MODEL, "big-endian data are not supported");
    if ((*out)->size > PICKLE_MAX)
        FAIL(ERR_MODEL, "data.pkl is larger than %d MB", PICKLE_MAX >> 20);
    return OK;
}

static Err add_zip(Ckpt *c, const char *path, CkMap m)
{
    ZipRecord *r = NULL;
    const ZipRecord *pkl = NULL;
    size_t n = 0, used;
    Places places = {0};
    Pickle *pk = NULL;
    Err err = OK;
    TRY(zip_records(m.data, m.size, &r, &n));
    TRY_GOTO(find_pickle(r, n, &pkl));
    TRY_GOTO(places_init(&places, n));
    size_t top = pkl->name_len - strlen("data.pkl");
    for (size_t i = 0; i < n; i++)
        if (r[i].name_len > top + 5 && memcmp(r[i].name, pkl->name, top) == 0 &&
            memcmp(r[i].name + top, "data/", 5) == 0)
            places_add(&places, r[i].name + top + 5, r[i].name_len - top - 5, r[i].data, r[i].size);
    TRY_GOTO(pickle_read(pkl->data, (size_t)pkl->size, &pk, &used));
    err = add_dict(&(Source){c, path, pk, &places});
done:
    pickle_free(pk);
    places_free(&places);
    free(r);
    return err;
}

/* ---- the older stream ---- */

static const uint8_t MAGIC[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

static Err next_pickle(CkMap m, size_t *at, Pickle **out)
{
    size_t used = 0, room = m.size - *at;
    TRY(pickle_read(m.data + *at, room < PICKLE_MAX ? room : PICKLE_MAX, out, &used));
    *at += used;
    return OK;
}

/* magic number, protocol, system: true when the stream is torch's. */
static Err read_preamble(CkMap m, size_t *at)
{
    Pickle *pk = NULL;
    Err err = OK;
    TRY_GOTO(next_pickle(m, at, &pk));
    const PkValue *v = pickle_at(pk, pickle_root(pk));
    if (v->kind != PK_BIG || v->n != sizeof MAGIC || memcmp(v->u.text, MAGIC, sizeof MAGIC) != 0)
        FAIL_GOTO(ERR_MODEL, "a pickle that torch.save did not write");
    pickle_free(pk);
    pk = NULL;
    TRY_GOTO(next_pickle(m, at, &pk));
    v = pickle_at(pk, pickle_root(pk));
    if (v->kind != PK_INT || v->u.i != 1001)
        FAIL_GOTO(ERR_MODEL, "a torch file of an unknown protocol");
    pickle_free(pk);
    pk = NULL;
    TRY_GOTO(next_pickle(m, at, &pk));
    v = pickle_get(pk, pickle_at(pk, pickle_root(pk)), "little_endian");
    if (!v || v->kind != PK_BOOL || !v->u.i)
        FAIL_GOTO(ERR_MODEL, "big-endian data are not supported");
done:
    pickle_free(pk);
    return err;
}

/* Bytes of one element of a storage, from the pickle that names it. */
static uint64_t unit_of(const StrMap *unit, const PkValue *key)
{
    return (uint64_t)strmap_get_n(unit, key->u.text, key->n, 0);
}

static StrMap *storage_units(const Pickle *pk)
{
    StrMap *unit = strmap_new(64);
    for (uint32_t i = 0; i < pickle_count(pk); i++) {
        const PkValue *v = pickle_at(pk, i);
        if (v->kind != PK_STORAGE)
            continue;
        const PkStorage *s = v->u.storage;
        char key[KEY];
        snprintf(key, sizeof key, "%.*s", (int)s->key_len, s->key);
        strmap_put(unit, key, s->type == ST_TYPES ? 1 : (int64_t)st_type_size(s->type));
    }
    return unit;
}

static Err find_places(CkMap m, size_t at, const Pickle *pk, const Pickle *keys, Places *p)
{
    const PkValue *list = pickle_at(keys, pickle_root(keys));
    if (list->kind != PK_LIST)
        FAIL(ERR_MODEL, "the list of storages is missing");
    TRY(places_init(p, list->n));
    StrMap *unit = storage_units(pk);
    Err err = OK;
    for (uint32_t i = 0; i < list->n; i++) {
        const PkValue *k = pickle_at(keys, list->u.items[i]);
        uint64_t count = 0, u = k->kind == PK_TEXT ? unit_of(unit, k) : 0;
        if (u == 0) /* only the tensors' types tell how long a storage is */
            FAIL_GOTO(ERR_MODEL, "a storage that belongs to no tensor of the file");
        if (m.size - at < 8)
            FAIL_GOTO(ERR_MODEL, "cut off");
        for (int b = 7; b >= 0; b--)
            count = count << 8 | m.data[at + (size_t)b];
        at += 8;
        if (count > (m.size - at) / u)
            FAIL_GOTO(ERR_MODEL, "storage %.*s: does not fit the file; it is cut off or damaged",
                      k->n < 20 ? (int)k->n : 20, k->u.text);
        places_add(p, k->u.text, k->n, m.data + at, count * u);
        at += count * u;
    }
done:
    strmap_free(unit);
    return err;
}

static Err add_legacy(Ckpt *c, const char *path, CkMap m)
{
    size_t at = 0;
    Pickle *pk = NULL, *keys = NULL;
    Places places = {0};
    Err err = OK;
    TRY(read_preamble(m, &at));
    TRY_GOTO(next_pickle(m, &at, &pk));
    TRY_GOTO(next_pickle(m, &at, &keys));
    TRY_GOTO(find_places(m, at, pk, keys, &places));
    err = add_dict(&(Source){c, path, pk, &places});
done:
    places_free(&places);
    pickle_free(pk);
    pickle_free(keys);
    return err;
}

Err ckpt_add_torch(Ckpt *c, const char *path, CkMap m)
{
    if (m.size > 4 && memcmp(m.data, "PK\3\4", 4) == 0)
        return add_zip(c, path, m);
    if (m.data[0] == 0x80)
        return add_legacy(c, path, m);
    FAIL(ERR_MODEL,
         "the tar form of very old torch files is not supported; load and save it with a "
         "current torch");
}
