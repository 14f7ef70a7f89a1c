/* The uns tree. */
#include "core/data/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/data/column.h"

Tree *tree_new(void)
{
    Tree *t = mem_must(sizeof *t);
    t->name = mem_strdup("");
    return t;
}

static void clear(Tree *t)
{
    for (size_t i = 0; t->kind == TREE_DICT && i < t->n; i++)
        tree_free(t->items[i]);
    free(t->items);
    free(t->text);
    strings_free(t->texts, t->n);
    free(t->numbers);
    *t = (Tree){.name = t->name};
}

void tree_free(Tree *t)
{
    if (!t)
        return;
    clear(t);
    free(t->name);
    free(t);
}

static Tree *find(const Tree *t, const char *name, size_t len)
{
    for (size_t i = 0; t->kind == TREE_DICT && i < t->n; i++)
        if (strncmp(t->items[i]->name, name, len) == 0 && !t->items[i]->name[len])
            return t->items[i];
    return NULL;
}

/* The item of that name, emptied, or a new one. */
static Tree *slot(Tree *t, const char *name)
{
    assert(t->kind == TREE_DICT);
    Tree *item = find(t, name, strlen(name));
    if (item) {
        clear(item);
        return item;
    }
    Tree **grown = mem_must((t->n + 1) * sizeof *grown);
    if (t->n)
        memcpy(grown, t->items, t->n * sizeof *grown);
    free(t->items);
    t->items = grown;
    item = mem_must(sizeof *item);
    item->name = mem_strdup(name);
    t->items[t->n++] = item;
    return item;
}

Tree *tree_dict(Tree *t, const char *name)
{
    Tree *item = find(t, name, strlen(name));
    return item && item->kind == TREE_DICT ? item : slot(t, name);
}

void tree_set_text(Tree *t, const char *name, const char *text)
{
    char *copy = mem_strdup(text); /* it may be the one that is replaced */
    Tree *s = slot(t, name);
    s->kind = TREE_TEXT;
    s->text = copy;
}

void tree_set_int(Tree *t, const char *name, int64_t v)
{
    Tree *s = slot(t, name);
    s->kind = TREE_INT;
    s->integer = v;
    s->number = (double)v;
}

void tree_set_float(Tree *t, const char *name, double v)
{
    Tree *s = slot(t, name);
    s->kind = TREE_FLOAT;
    s->number = v;
}

void tree_set_bool(Tree *t, const char *name, bool v)
{
    Tree *s = slot(t, name);
    s->kind = TREE_BOOL;
    s->number = v;
}

void tree_set_texts(Tree *t, const char *name, const char *const *texts, size_t n)
{
    Tree *s = slot(t, name);
    s->kind = TREE_TEXTS;
    s->texts = mem_must(n * sizeof *s->texts);
    s->n = n;
    for (size_t i = 0; i < n; i++)
        s->texts[i] = mem_strdup(texts[i]);
}

void tree_set_numbers(Tree *t, const char *name, const double *v, size_t rows, size_t cols,
                      bool integers)
{
    Tree *s = slot(t, name);
    size_t count = rows * (cols ? cols : 1);
    s->kind = integers ? TREE_INTS : TREE_FLOATS;
    s->rows = rows;
    s->cols = cols;
    s->numbers = mem_must(count * sizeof *v);
    if (count)
        memcpy(s->numbers, v, count * sizeof *v);
}

bool tree_has(const Tree *t, const char *name)
{
    return find(t, name, strlen(name)) != NULL;
}

const Tree *tree_get(const Tree *t, const char *path)
{
    while (t && *path) {
        size_t len = strcspn(path, "/");
        t = find(t, path, len);
        path += len + (path[len] == '/');
    }
    return t;
}

void tree_merge(Tree *into, const Tree *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const Tree *s = from->items[i];
        switch (s->kind) {
        case TREE_DICT:
            tree_merge(tree_dict(into, s->name), s);
            break;
        case TREE_TEXT:
            tree_set_text(into, s->name, s->text);
            break;
        case TREE_INT:
            tree_set_int(into, s->name, s->integer);
            break;
        case TREE_FLOAT:
            tree_set_float(into, s->name, s->number);
            break;
        case TREE_BOOL:
            tree_set_bool(into, s->name, s->number != 0);
            break;
        case TREE_TEXTS:
            tree_set_texts(into, s->name, (const char *const *)s->texts, s->n);
            break;
        default:
            tree_set_numbers(into, s->name, s->numbers, s->rows, s->cols, s->kind == TREE_INTS);
        }
    }
}
