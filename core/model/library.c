/* The library's texts as one list. */
#include "core/model/library.h"
#include "core/base/mem.h"

static void add_list(Library *l, const StrList *s, size_t type, uint8_t kind)
{
    for (size_t k = 0; k < s->n; k++) {
        l->text[l->n] = s->v[k];
        l->type[l->n] = (int32_t)type;
        l->kind[l->n++] = kind;
    }
}

static Err fill(const CellTypes *c, TextTower *t, TextCache *cache, JobCtl *ctl, Library *l)
{
    size_t cap = 0;
    l->n_types = celltypes_count(c);
    for (size_t i = 0; i < l->n_types; i++) {
        const CellType *x = celltypes_at(c, i);
        cap += 1 + x->synonyms.n + x->texts.n;
    }
    TRY(NEW(l->text, cap));
    TRY(NEW(l->type, cap));
    TRY(NEW(l->kind, cap));
    TRY(NEW(l->first, l->n_types + 1));
    for (size_t i = 0; i < l->n_types; i++) {
        const CellType *x = celltypes_at(c, i);
        l->first[i] = l->n;
        add_list(l, &(StrList){(char *[]){x->name}, 1}, i, TEXT_NAME);
        add_list(l, &x->synonyms, i, TEXT_SYNONYM);
        add_list(l, &x->texts, i, TEXT_OWN);
    }
    l->first[l->n_types] = l->n;
    if (!t)
        return OK;
    l->w = (size_t)text_tower_config(t)->width;
    TRY(NEW(l->raw, l->n * l->w));
    return textcache_embed(cache, t, l->text, l->n, ctl, l->raw);
}

Err library_new(const CellTypes *c, TextTower *t, TextCache *cache, JobCtl *ctl, Library **out)
{
    Library *l = mem_must(sizeof *l);
    Err err = fill(c, t, cache, ctl, l);
    if (err != OK)
        library_free(l);
    else
        *out = l;
    return err;
}

void library_free(Library *l)
{
    if (!l)
        return;
    free(l->text);
    free(l->type);
    free(l->kind);
    free(l->first);
    free(l->raw);
    free(l);
}
