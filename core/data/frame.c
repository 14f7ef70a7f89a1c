/* Data frames of anndata in every generation: a group with one member per column (0.7 and later),
 * or one compound array (before). Opening classifies the columns without reading their values; see
 * frame_read.c for those. */
#include "core/data/dataset_impl.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"

Slot *frame_add_slot(Frame *f, const char *name, ColumnKind kind, SlotForm form, const char *path)
{
    Slot *grown = mem_must((f->n_slots + 1) * sizeof *grown);
    if (f->n_slots)
        memcpy(grown, f->slots, f->n_slots * sizeof *grown);
    free(f->slots);
    f->slots = grown;
    Slot *s = &f->slots[f->n_slots++];
    *s = (Slot){.name = mem_strdup(name), .kind = kind, .form = form, .path = mem_strdup(path)};
    return s;
}

void frame_add_column(Frame *f, Column *take)
{
    Slot *s = frame_add_slot(f, take->name, take->kind, SLOT_LOADED, "");
    s->column = take;
}

static void slot_done(Slot *s)
{
    free(s->name);
    free(s->path);
    free(s->categories);
    free(s->field);
    column_free(s->column);
}

void frame_done(Frame *f)
{
    for (size_t i = 0; i < f->n_slots; i++)
        slot_done(&f->slots[i]);
    free(f->slots);
    slot_done(&f->index);
    strings_free(f->names, f->n);
    free(f->path);
    *f = (Frame){0};
}

static bool kind_of_class(ElemClass c, ColumnKind *out)
{
    switch (c) {
    case ELEM_INT:
    case ELEM_FLOAT:
        *out = COLUMN_NUMERIC;
        return true;
    case ELEM_BOOL:
        *out = COLUMN_BOOL;
        return true;
    case ELEM_STRING:
        *out = COLUMN_STRING;
        return true;
    default:
        return false;
    }
}

/* Class and length of a one-dimensional array. */
static Err peek(Dataset *d, const char *path, ColumnKind *kind, size_t *n)
{
    Array *a;
    TRY(store_open_array(d->store, path, &a));
    Err err = OK;
    if (a->info.rank != 1 && !(a->info.rank == 2 && a->info.shape[1] == 1))
        err = err_set(ERR_INPUT, "%s: has %d dimensions where one is expected", path, a->info.rank);
    else if (!kind_of_class(a->info.cls, kind))
        err =
            err_set(ERR_INPUT, "%s: values of the type %s are not known here", path, a->info.dtype);
    *n = (size_t)a->info.shape[0];
    array_close(a);
    return err;
}

/* A column that is a group: categorical or nullable. */
static Err classify_group(Dataset *d, const char *path, Slot *s, size_t *n)
{
    char *encoding = store_attr_text(d->store, path, "encoding-type");
    char *codes = path_join(path, "codes"), *categories = path_join(path, "categories");
    char *values = path_join(path, "values");
    ColumnKind ignored;
    Err err = OK;
    s->path = mem_strdup(path);
    if (encoding && str_starts(encoding, "nullable-")) {
        s->form = SLOT_NULLABLE;
        err = peek(d, values, &s->kind, n);
    } else if (store_kind(d->store, codes) == NODE_ARRAY &&
               store_kind(d->store, categories) != NODE_NONE) {
        int64_t ordered = 0;
        size_t got;
        s->form = SLOT_CATEGORIES;
        s->kind = COLUMN_CATEGORICAL;
        err = peek(d, codes, &ignored, n);
        if (!err)
            err = store_attr_ints(d->store, path, "ordered", &ordered, 1, &got);
        s->ordered = ordered != 0;
        s->categories = categories;
        free(s->path);
        s->path = codes;
        codes = categories = NULL;
    } else {
        err = err_set(ERR_INPUT, "%s: the encoding \"%s\" is not known here", path,
                      encoding ? encoding : "none");
    }
    free(encoding);
    free(codes);
    free(categories);
    free(values);
    return err;
}

static Err classify(Dataset *d, const char *path, Slot *s, size_t *n)
{
    switch (store_kind(d->store, path)) {
    case NODE_NONE:
        FAIL(ERR_INPUT, "%s: is missing or unreadable", path);
    case NODE_OUTSIDE:
        FAIL(ERR_INPUT,
             "%s: is a link to another file, which is not followed "
             "without --allow-external, or to nothing",
             path);
    case NODE_GROUP:
        return classify_group(d, path, s, n);
    default:
        break;
    }
    s->path = mem_strdup(path);
    TRY(peek(d, path, &s->kind, n));
    s->form = SLOT_ARRAY;
    s->categories = store_attr_target(d->store, path, "categories");
    if (s->categories) { /* 0.7: a reference into __categories */
        int64_t ordered = 0;
        size_t got;
        s->form = SLOT_CATEGORIES;
        s->kind = COLUMN_CATEGORICAL;
        TRY(store_attr_ints(d->store, s->categories, "ordered", &ordered, 1, &got));
        s->ordered = ordered != 0;
    }
    return OK;
}

/* The member that names the rows. */
static char *index_member(Dataset *d, const char *path)
{
    char *name = store_attr_text(d->store, path, "_index");
    const char *usual[] = {"_index", "index"};
    for (size_t i = 0; !name && i < 2; i++) {
        char *p = path_join(path, usual[i]);
        if (store_kind(d->store, p) != NODE_NONE)
            name = mem_strdup(usual[i]);
        free(p);
    }
    return name;
}

/* A column that is listed twice is one column. */
static void drop_repeats(Dataset *d, const char *path, char **names, size_t *n)
{
    StrMap *seen = strmap_new(*n);
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        if (strmap_put(seen, names[i], 1)) {
            names[kept++] = names[i];
            continue;
        }
        dataset_warn(d, "%s: column-order names %s twice", path, names[i]);
        free(names[i]);
    }
    *n = kept;
    strmap_free(seen);
}

static Err column_names(Dataset *d, const char *path, const char *index, char ***names, size_t *n)
{
    TRY(store_attr_texts(d->store, path, "column-order", names, n));
    int64_t number;
    size_t numbers = 0;
    drop_repeats(d, path, *names, n);
    if (*n)
        return OK;
    strings_free(*names, 0);
    *names = NULL;
    TRY(store_attr_ints(d->store, path, "column-order", &number, 1, &numbers));
    char *version = store_attr_text(d->store, path, "encoding-type");
    bool listed =
        version != NULL; /* an empty list is written as float64 of length 0, and means none */
    free(version);
    if (listed)
        return OK;
    char **all;
    size_t n_all, kept = 0;
    TRY(store_list(d->store, path, &all, &n_all));
    for (size_t i = 0; i < n_all; i++)
        if ((index && strcmp(all[i], index) == 0) || strcmp(all[i], "__categories") == 0)
            free(all[i]);
        else
            all[kept++] = all[i];
    *names = all;
    *n = kept;
    return OK;
}

static Err open_group(Dataset *d, const char *path, Frame *f)
{
    char *index = index_member(d, path), **names = NULL;
    size_t n_names = 0;
    Err err = OK;
    bool sized = false;
    f->index.name = mem_strdup(index ? index : "index");
    f->index.form = SLOT_LOADED;
    if (index) {
        char *p = path_join(path, index);
        err = classify(d, p, &f->index, &f->n);
        free(p);
        TRY_GOTO(err);
        sized = true;
    }
    TRY_GOTO(column_names(d, path, index, &names, &n_names));
    for (size_t i = 0; i < n_names; i++) {
        Slot s = {0};
        size_t n = 0;
        char *p = path_join(path, names[i]);
        if (index && strcmp(names[i], index) == 0) {
            free(p);
            continue;
        }
        Err bad = classify(d, p, &s, &n);
        if (!bad && sized && n != f->n)
            bad = err_set(ERR_INPUT, "%s: has %zu values where %zu are expected", p, n, f->n);
        free(p);
        if (bad) {
            dataset_warn(d, "%s; left out", err_message());
            slot_done(&s);
            continue;
        }
        f->n = n;
        sized = true;
        Slot *kept = frame_add_slot(f, names[i], s.kind, s.form, "");
        free(kept->path);
        free(kept->name);
        s.name = mem_strdup(names[i]);
        *kept = s;
    }
    if (!index)
        dataset_warn(d, "%s: has no index; rows are named by their numbers", path);
done:
    free(index);
    strings_free(names, n_names);
    return err;
}

/* Before 0.7: fields of a compound array, the first one is the index, categories are in uns. */
static Err open_compound(Dataset *d, const char *path, Frame *f)
{
    Array *a;
    FieldInfo *fields = NULL;
    size_t n = 0;
    Err err = OK;
    TRY(store_open_array(d->store, path, &a));
    f->n = (size_t)a->info.count;
    TRY_GOTO(array_fields(a, &fields, &n));
    if (!n || a->info.rank > 1)
        FAIL_GOTO(ERR_INPUT, "%s: is neither a data frame nor a table", path);
    for (size_t i = 0; i < n; i++) {
        Slot s = {.form = SLOT_FIELD};
        if (!kind_of_class(fields[i].cls, &s.kind) || fields[i].width != 1) {
            dataset_warn(d, "%s/%s: values of the type %s are not known here; left out", path,
                         fields[i].name, fields[i].dtype);
            continue;
        }
        s.path = mem_strdup(path);
        memcpy(s.dtype, fields[i].dtype, sizeof s.dtype);
        s.field = mem_strdup(fields[i].name);
        s.name = mem_strdup(fields[i].name);
        if (i == 0) {
            f->index = s;
            continue;
        }
        char *categories = str_format("uns/%s_categories", s.name);
        if (fields[i].cls == ELEM_INT && store_kind(d->store, categories) == NODE_ARRAY) {
            s.kind = COLUMN_CATEGORICAL;
            s.categories = mem_strdup(categories);
        }
        free(categories);
        Slot *kept = frame_add_slot(f, s.name, s.kind, s.form, "");
        free(kept->path);
        free(kept->name);
        *kept = s;
    }
done:
    fields_free(fields, n);
    array_close(a);
    return err;
}

Err frame_open(Dataset *d, const char *path, Frame *out)
{
    Frame f = {.path = mem_strdup(path)};
    Err err = OK;
    switch (store_kind(d->store, path)) {
    case NODE_GROUP:
        err = open_group(d, path, &f);
        break;
    case NODE_ARRAY:
        err = open_compound(d, path, &f);
        break;
    case NODE_OUTSIDE:
        err = err_set(ERR_INPUT,
                      "%s: is a link to another file, which is not followed "
                      "without --allow-external, or to nothing",
                      path);
        break;
    default:
        err = err_set(ERR_INPUT, "%s: is missing; this is no anndata file, or it is damaged", path);
    }
    if (err) {
        frame_done(&f);
        return err;
    }
    *out = f;
    return OK;
}
