/* Which columns of a matrix are genes. Files of several assays put proteins (and guides, peaks)
 * beside the genes; a protein called CD4 must not be taken for the gene. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset_impl.h"

static int type_slot(const Frame *f)
{
    for (size_t i = 0; i < f->n_slots; i++) {
        const Slot *s = &f->slots[i];
        bool text = s->kind == COLUMN_STRING || s->kind == COLUMN_CATEGORICAL;
        if (text && (strcmp(s->name, "feature_types") == 0 || strcmp(s->name, "feature_type") == 0))
            return (int)i;
    }
    return -1;
}

/* The way antibodies are called where no column says what they are. */
static bool called_protein(const char *name)
{
    return str_starts(name, "AB_") || str_starts(name, "ADT_") || str_starts(name, "prot_") ||
           strstr(name, "_TotalSeq") || strstr(name, "-TotalSeq");
}

/* By the column of types: 1 for genes. False when the types do not speak of genes at all. */
static bool by_types(const Column *c, uint8_t *mask, const char **other)
{
    char b[32];
    bool any = false;
    for (size_t i = 0; i < c->n; i++) {
        const char *t = column_text(c, i, b);
        mask[i] =
            strcmp(t, "Gene Expression") == 0 || strcmp(t, "gene") == 0 || strcmp(t, "GEX") == 0;
        any |= mask[i];
        if (!mask[i] && t != b)
            *other = t;
    }
    return any;
}

Err rna_columns(Dataset *d, Frame *var, uint8_t **mask, size_t *others, const char **what)
{
    const Column *c = NULL;
    char **names;
    uint8_t *in;
    int slot = type_slot(var);
    *mask = NULL;
    *others = 0;
    *what = "by their names";
    TRY(frame_names(d, var, &names));
    if (slot >= 0 && slot_read(d, var, &var->slots[slot], &c))
        c = NULL;
    TRY(NEW(in, var->n));
    if (!c || !by_types(c, in, what))
        for (size_t i = 0; i < var->n; i++)
            in[i] = !called_protein(names[i]);
    for (size_t i = 0; i < var->n; i++)
        *others += !in[i];
    if (*others && *others < var->n)
        *mask = in;
    else
        free(in);
    *others = *mask ? *others : 0;
    return OK;
}

Err dataset_rna_columns(Dataset *d, int matrix, uint8_t **mask, size_t *others)
{
    const char *what;
    Frame *var = matrix < 0 ? &d->var : d->matrices[matrix].var;
    return rna_columns(d, var, mask, others, &what);
}

void warn_of_proteins(Dataset *d)
{
    uint8_t *mask = NULL;
    size_t others = 0;
    const char *what = "";
    int slot = type_slot(&d->var);
    if (slot < 0 || !d->store || rna_columns(d, &d->var, &mask, &others, &what))
        return;
    if (others)
        dataset_warn(d,
                     "var/%s: %zu of %zu columns are no genes (%s); they are kept out of the model",
                     d->var.slots[slot].name, others, d->var.n, what);
    free(mask);
}
