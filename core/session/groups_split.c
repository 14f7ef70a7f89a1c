/* A partition in which some cells have got groups of their own: sub-clusters put in the place of what they divide. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/palette.h"
#include "core/session/session.h"

typedef struct Split {
    const Groups *g, *sub;
    int32_t *left;   /* [g groups] its number now; -1: no cell is left of it */
    int32_t *fresh;  /* [sub groups] */
    int32_t *parent; /* [sub groups] the group most of its cells were in; -1 none */
} Split;

/* Where most cells of each sub-cluster were. */
static Err find_parents(Split *s)
{
    size_t na = s->g->n_groups, nb = s->sub->n_groups, *count;
    TRY(NEW0(count, na * nb + 1));
    for (size_t i = 0; i < s->g->n_cells; i++)
        if (s->sub->codes[i] >= 0 && s->g->codes[i] >= 0)
            count[(size_t)s->sub->codes[i] * na + (size_t)s->g->codes[i]]++;
    for (size_t b = 0; b < nb; b++) {
        size_t most = 0;
        s->parent[b] = -1;
        for (size_t a = 0; a < na; a++)
            if (count[b * na + a] > most) {
                most = count[b * na + a];
                s->parent[b] = (int32_t)a;
            }
    }
    free(count);
    return OK;
}

static bool is_taken(const Groups *g, uint32_t color)
{
    for (size_t i = 0; i < g->n_groups; i++)
        if (g->colors[i] == color)
            return true;
    return false;
}

/* The first part of a group that is gone keeps its colour, all others get one that is free. */
static uint32_t color_of_part(const Split *s, size_t b, const Groups *out, const uint32_t *palette, size_t n)
{
    int32_t p = s->parent[b];
    bool first = p >= 0 && s->left[p] < 0 && !is_taken(out, s->g->colors[p]);
    if (first)
        return s->g->colors[p];
    for (size_t i = 0; i < n; i++) {
        bool old = false;
        for (size_t a = 0; a < s->g->n_groups; a++)
            old |= s->g->colors[a] == palette[i];
        if (!old && !is_taken(out, palette[i]))
            return palette[i];
    }
    return palette[out->n_groups % n];
}

static void add_group(Groups *out, char *take_name, uint32_t color)
{
    out->names[out->n_groups] = take_name;
    out->colors[out->n_groups++] = color;
}

static Err fill(Split *s, const char *name, Groups *out)
{
    size_t most = s->g->n_groups + s->sub->n_groups;
    uint32_t *palette;
    TRY(NEW(palette, most + 20));
    palette_categorical(palette, most + 20);
    for (size_t i = 0; i < s->g->n_cells; i++)
        if (s->g->codes[i] >= 0 && s->sub->codes[i] < 0)
            s->left[s->g->codes[i]] = 0;
    for (size_t a = 0; a < s->g->n_groups; a++)
        if (s->left[a] == 0) {
            s->left[a] = (int32_t)out->n_groups;
            add_group(out, mem_strdup(s->g->names[a]), s->g->colors[a]);
        }
    for (size_t b = 0; b < s->sub->n_groups; b++) {
        uint32_t color = color_of_part(s, b, out, palette, most + 20);
        s->fresh[b] = (int32_t)out->n_groups;
        add_group(out, str_format("%s.%zu", name, b), color);
    }
    free(palette);
    for (size_t i = 0; i < out->n_cells; i++) {
        int32_t b = s->sub->codes[i], a = s->g->codes[i];
        out->codes[i] = b >= 0 ? s->fresh[b] : a >= 0 ? s->left[a] : -1;
        if (out->codes[i] >= 0)
            out->sizes[out->codes[i]]++;
    }
    return OK;
}

Err groups_split(const Groups *g, const Groups *sub, const char *name, Groups **out)
{
    Err err = OK;
    Split s = {g, sub, NULL, NULL, NULL};
    size_t most = g->n_groups + sub->n_groups;
    Groups *m = mem_must(sizeof *m);
    if (g->n_cells != sub->n_cells)
        FAIL_GOTO(ERR_USAGE, "%s: %zu cells cannot be split by %zu", g->key, g->n_cells, sub->n_cells);
    m->key = mem_strdup(g->key);
    m->n_cells = g->n_cells;
    m->computed = true;
    TRY_GOTO(NEW(m->codes, g->n_cells));
    TRY_GOTO(NEW0(m->names, most));
    TRY_GOTO(NEW0(m->sizes, most));
    TRY_GOTO(NEW(m->colors, most));
    TRY_GOTO(NEW(s.left, g->n_groups + 1));
    TRY_GOTO(NEW(s.fresh, sub->n_groups + 1));
    TRY_GOTO(NEW(s.parent, sub->n_groups + 1));
    memset(s.left, 0xff, (g->n_groups + 1) * sizeof *s.left);
    TRY_GOTO(find_parents(&s));
    TRY_GOTO(fill(&s, name, m));
    *out = m;
    m = NULL;
done:
    free(s.left);
    free(s.fresh);
    free(s.parent);
    groups_free(m);
    return err;
}
