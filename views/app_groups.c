/* Clusters changed by hand: merged, divided, from more or fewer neighbours, and brought back. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/app.h"

static const char edited[] = "_edited";

bool app_groups_by_hand(const App *a)
{
    const Groups *g = app_groups(a);
    return g && g->computed && str_ends(g->key, edited);
}

void app_forget_edits(App *a)
{
    for (size_t i = 0; i < a->n_former; i++)
        shared_drop(&a->former[i].groups);
    a->n_former = 0;
    free(a->marked);
    a->marked = NULL;
    a->n_marked = 0;
}

void app_keep_groups(App *a)
{
    if (!a->groups)
        return;
    if (a->n_former == MAX_UNDO) {
        shared_drop(&a->former[0].groups);
        memmove(a->former, a->former + 1, (MAX_UNDO - 1) * sizeof *a->former);
        a->n_former--;
    }
    a->former[a->n_former++] = (Former){shared_hold(a->groups), a->groups_resolution};
}

static void choose_group(App *a, int32_t group)
{
    for (size_t i = 0; i < a->n_cluster_rows; i++)
        if (a->cluster_rows[i] == (size_t)group)
            a->clusters.cursor = i + 1;
    app_select_group(a, group);
}

/* The cluster that has most cells of the one that was chosen is chosen now. */
static void follow_group(App *a, const Groups *before, int group)
{
    const Groups *g = app_groups(a);
    if (group < 0 || before->n_cells != g->n_cells || !g->n_groups)
        return;
    size_t *count = mem_must(g->n_groups * sizeof *count), best = 0;
    for (size_t i = 0; i < g->n_cells; i++)
        if (before->codes[i] == group && g->codes[i] >= 0)
            count[g->codes[i]]++;
    for (size_t k = 1; k < g->n_groups; k++)
        best = count[k] > count[best] ? k : best;
    if (count[best])
        choose_group(a, (int32_t)best);
    free(count);
}

void app_take_clusters(App *a, Groups *g, double resolution)
{
    Shared *before = a->groups ? shared_hold(a->groups) : NULL;
    int group = a->group;
    app_keep_groups(a);
    if (before && groups_keep_colors(before->p, g) != OK)
        app_message(a, ROLE_WARN, "%s", err_message()); /* only the colours differ */
    app_set_groups(a, shared_new(g, (void (*)(void *))groups_free));
    a->groups_resolution = resolution;
    a->recolored = before != NULL;
    if (before)
        follow_group(a, before->p, group);
    shared_drop(&before);
}

void app_undo_groups(App *a)
{
    if (!a->n_former) {
        app_message(a, ROLE_DIM, "the clusters have not been changed");
        return;
    }
    Former f = a->former[--a->n_former];
    Shared *before = shared_hold(a->groups);
    int group = a->group;
    a->former[a->n_former].groups = NULL;
    app_set_groups(a, f.groups);
    follow_group(a, before->p, group);
    shared_drop(&before);
    a->resolution = a->groups_resolution = f.resolution;
    a->recolored = true; /* perhaps: a table beside the figure is never wrong */
    app_message(a, ROLE_GOOD, "the clusters before: %s (%zu)", app_groups(a)->key,
                app_groups(a)->n_groups);
}

/* Takes g, under a name that says that a person had a hand in it. */
static void take_edited(App *a, Groups *g)
{
    if (!str_ends(g->key, edited)) {
        char *key = str_format("%s%s", g->key, edited);
        free(g->key);
        g->key = key;
    }
    app_keep_groups(a);
    app_set_groups(a, shared_new(g, (void (*)(void *))groups_free));
}

void app_mark_group(App *a, size_t g)
{
    const Groups *groups = app_groups(a);
    if (!groups || g >= groups->n_groups)
        return;
    if (!a->marked)
        a->marked = mem_must(groups->n_groups + 1);
    a->marked[g] = !a->marked[g];
    a->n_marked = a->marked[g] ? a->n_marked + 1 : a->n_marked - 1;
    app_message(a, ROLE_DIM, "%zu marked: M makes them one cluster", a->n_marked);
}

/* "CD4 T + CD8 T", "0 + 3"; NULL where that would be too long: the first one's name. */
static char *joined_name(const Groups *g, const int32_t *which, size_t n)
{
    enum { MOST = 48 };
    Str s = {0};
    for (size_t i = 0; i < n; i++)
        str_addf(&s, "%s%s", i ? " + " : "", g->names[which[i]]);
    if (s.len > MOST)
        str_free(&s);
    return s.len ? str_take(&s) : NULL;
}

void app_merge_marked(App *a)
{
    const Groups *g = app_groups(a);
    Groups *merged = NULL;
    if (!g || a->n_marked < 2) {
        app_message(a, ROLE_WARN, "mark two clusters or more with m first");
        return;
    }
    int32_t *which = mem_must(a->n_marked * sizeof *which);
    size_t n = 0;
    for (size_t i = 0; i < g->n_groups; i++)
        if (a->marked[i])
            which[n++] = (int32_t)i;
    int32_t first = which[0];
    char *name = joined_name(g, which, n);
    Err err = groups_merge(g, which, n, name, &merged);
    free(which);
    free(name);
    if (err != OK) {
        app_message(a, ROLE_ERROR, "%s", err_message());
        return;
    }
    take_edited(a, merged);
    choose_group(a, first);
    app_message(a, ROLE_GOOD, "%zu clusters are one now; u undoes it", n);
}

void app_split_groups(App *a, const Groups *sub, const char *name)
{
    Groups *split = NULL;
    if (sub->n_groups < 2) {
        app_message(a, ROLE_WARN,
                    "these cells stay one cluster at resolution %.2f: :resolution 2, then S again",
                    a->resolution);
        return;
    }
    if (groups_split(app_groups(a), sub, name, &split) != OK) {
        app_message(a, ROLE_ERROR, "%s", err_message());
        return;
    }
    take_edited(a, split);
    app_message(a, ROLE_GOOD, "%s is %zu clusters now; u undoes it", name, sub->n_groups);
}

void app_change_neighbors(App *a, int by)
{
    if (!by)
        return;
    a->neighbors += by;
    a->own_graph = true;
    app_message(a, ROLE_DIM, "leiden with %d neighbours; the map follows", a->neighbors);
    app_start(a, WORK_CLUSTER, NULL);
}
