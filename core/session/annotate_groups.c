/* The labels of all cells as a partition of them, for the map and its legend. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/figure/palette.h"
#include "core/session/session.h"

/* The label of a cell as an index, n_labels for unknown. */
static size_t label_index(const Annotation *an, size_t cell)
{
    return an->unknown[cell] || an->label[cell] < 0 ? an->n_labels : (size_t)an->label[cell];
}

static int32_t add_group(Groups *g, const char *name, size_t size)
{
    g->names[g->n_groups] = mem_strdup(name);
    g->sizes[g->n_groups] = size;
    return (int32_t)g->n_groups++;
}

/* The palette without its grey, which is left to the rest. */
enum { REST_COLOR = 0x666666 };
static void color_types(uint32_t *colors, size_t n)
{
    uint32_t *all = mem_must((n + 1) * sizeof *all);
    palette_categorical(all, n + 1);
    for (size_t i = 0, k = 0; i < n; i++, k++) {
        k += all[k] == REST_COLOR;
        colors[i] = all[k <= n ? k : n];
    }
    free(all);
}

Groups *annotation_groups(const Annotation *an)
{
    size_t n = an->n_labels, least = an->n / 200 > 5 ? an->n / 200 : 5, others = 0;
    Groups *g = mem_must(sizeof *g);
    int32_t *id = mem_must((n + 1) * sizeof *id);
    size_t *count = mem_must((n + 1) * sizeof *count);
    g->key = mem_strdup("annotation");
    g->n_cells = an->n;
    g->computed = true;
    g->codes = mem_must((an->n + 1) * sizeof *g->codes);
    g->names = mem_must((n + 3) * sizeof *g->names);
    g->sizes = mem_must((n + 3) * sizeof *g->sizes);
    g->colors = mem_must((n + 3) * sizeof *g->colors);
    for (size_t i = 0; i < an->n; i++)
        count[label_index(an, i)]++;
    for (size_t l = 0; l < n; l++) {
        id[l] = -1;
        if (count[l] >= least)
            id[l] = add_group(g, an->labels[l], count[l]);
        else
            others += count[l];
    }
    color_types(g->colors, g->n_groups);
    id[n] = count[n] ? add_group(g, "unknown", count[n]) : -1;
    int32_t rest = others ? add_group(g, "other types", others) : -1;
    if (id[n] >= 0)
        g->colors[id[n]] = 0xAAAAAA;
    if (rest >= 0)
        g->colors[rest] = REST_COLOR;
    for (size_t i = 0; i < an->n; i++) {
        int32_t k = id[label_index(an, i)];
        g->codes[i] = k < 0 ? rest : k;
    }
    free(id);
    free(count);
    return g;
}
