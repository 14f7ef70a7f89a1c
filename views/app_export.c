/* Names of files to write, and the commands that make a view or a table again. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/map_raster.h"
#include "views/pane.h"

static char *stem(const App *a)
{
    char *s = mem_strdup(a->facts ? a->facts->name : "scmmgpt");
    char *dot = strrchr(s, '.');
    if (dot && dot > s)
        *dot = 0;
    return s;
}

/* Letters and digits stay; all else becomes one '-'. At most 40 bytes. */
static void add_slug(Str *out, const char *text)
{
    bool dash = true;
    for (size_t n = 0; *text && n < 40; text++) {
        bool plain = isalnum((unsigned char)*text) || *text == '_';
        if (plain || !dash) {
            str_add_char(out, plain ? *text : '-');
            n++;
        }
        dash = !plain;
    }
    while (out->len && out->data[out->len - 1] == '-')
        out->data[--out->len] = 0;
}

/* The first of name.ext, name-2.ext, ... that does not exist. */
static char *fresh_name(Str *base, const char *ext)
{
    for (int i = 1; i < 1000; i++) {
        char *name = i == 1 ? str_format("%s%s", str_text(base), ext)
                            : str_format("%s-%d%s", str_text(base), i, ext);
        if (access(name, F_OK) != 0) {
            str_free(base);
            return name;
        }
        free(name);
    }
    str_free(base);
    return str_format("figure%s", ext);
}

static char *extended(const App *a, const char *what, const char *ext)
{
    Str s = {0};
    char *base = stem(a);
    str_addf(&s, "%s_", base);
    add_slug(&s, what);
    free(base);
    return fresh_name(&s, ext);
}

char *app_table_default(const App *a)
{
    const Groups *g = app_groups(a);
    bool one = g && a->group >= 0;
    char *what = a->show_de ? mem_strdup("A_versus_B")
                            : str_format("markers_%s%s%s", g ? g->key : "", one ? "_" : "",
                                         one ? g->names[a->group] : "");
    char *name = extended(a, what, ".tsv");
    free(what);
    return name;
}

char *app_export_default(const App *a)
{
    const Values *v = app_color_values(a);
    const Groups *g = app_groups(a);
    if (app_exports_chart(a)) {
        char *what = str_format("%s_%s", chart_name(a->chart_kind), g->key);
        char *name = extended(a, what, ".png");
        free(what);
        return name;
    }
    Str s = {0};
    char *base = stem(a);
    str_add(&s, base);
    free(base);
    str_add_char(&s, '_');
    add_slug(&s, a->color_mode == COLOR_BY_QUERY && app_query(a) ? app_query(a)->text
                 : v                                             ? v->name
                 : g                                             ? g->key
                                                                 : "map");
    return fresh_name(&s, ".png");
}

char *app_data_default(const App *a)
{
    Str s = {0};
    char *base = stem(a);
    str_add(&s, base);
    free(base);
    bool generated = a->subject == SUBJECT_GENERATED && a->subject_generated < a->n_generated;
    str_add(&s, generated ? "_generated_" : "_labels");
    if (generated)
        add_slug(&s, app_generated(a, a->subject_generated)->prompt);
    return fresh_name(&s, generated ? ".h5ad" : ".tsv");
}

bool app_view_box(const App *a, double box[4])
{
    const MapState *v = &a->map_view;
    const MapRaster *r = a->raster;
    memset(box, 0, 4 * sizeof *box);
    if (!r || (v->zoom <= 1 && v->cx == 0 && v->cy == 0))
        return false;
    map_from_dots(r, 0, 4 * r->h, &box[0], &box[1]);
    map_from_dots(r, 2 * r->w, 0, &box[2], &box[3]);
    return true;
}

/* A word as a POSIX shell reads it. */
void app_add_quoted(Str *s, const char *word)
{
    if (*word &&
        word[strspn(word,
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=@%+,-")] ==
            0) {
        str_add(s, word);
        return;
    }
    str_add_char(s, '\'');
    for (; *word; word++)
        if (*word == '\'')
            str_add(s, "'\\''");
        else
            str_add_char(s, *word);
    str_add_char(s, '\'');
}

void app_add_option(Str *s, const char *name, const char *value)
{
    if (!value)
        return;
    str_addf(s, " %s ", name);
    app_add_quoted(s, value);
}

/* How the file was read; the seed where it is not 0. */
void app_add_reading(Str *s, const App *a, uint64_t seed)
{
    const SessionParams *p = &a->opt.session;
    app_add_option(s, "--genome", p->dataset.genome);
    app_add_option(s, "--feature-type", p->dataset.feature_type);
    app_add_option(s, "--gene-column", p->dataset.gene_column);
    app_add_option(s, "--matrix", p->dataset.matrix);
    if (p->dataset.map_orthologs)
        str_add(s, " --map-orthologs");
    if (p->dataset.allow_external)
        str_add(s, " --allow-external");
    if (p->min_genes)
        str_addf(s, " --min-genes %zu", p->min_genes);
    if (seed)
        str_addf(s, " --seed %llu", (unsigned long long)seed);
}

const Generated *app_figure_generated(const App *a)
{
    size_t i = a->subject == SUBJECT_GENERATED ? a->subject_generated : a->n_generated - 1;
    return i < a->n_generated ? app_generated(a, i) : NULL;
}

/* Clusters that no command finds again on this map: changed by hand, found here on the graph of the
 * file's map, or numbers that the model has given names. They go into a table beside the figure. */
static bool has_other_names(const App *a)
{
    const Groups *g = app_groups(a);
    for (size_t i = 0; g && i < g->n_groups; i++)
        if (app_group_name(a, i) != g->names[i])
            return true;
    return false;
}

char *app_figure_group_name(const App *a, size_t k)
{
    const Groups *g = app_groups(a);
    const char *name = app_group_name(a, k);
    if (name == g->names[k])
        return mem_strdup(name);
    return str_format("%s (%s)", name, g->names[k]); /* several may be one type */
}

Groups *app_named_groups(const App *a)
{
    const Groups *g = app_groups(a);
    Groups *named = NULL;
    if (!g || !has_other_names(a) || groups_copy(g, &named) != OK)
        return NULL;
    free(named->model_sha256);
    named->model_sha256 = mem_strdup(a->model.sha256);
    for (size_t i = 0; i < g->n_groups; i++) {
        free(named->names[i]);
        named->names[i] = app_figure_group_name(a, i);
    }
    return named;
}

bool app_figure_needs_table(const App *a)
{
    const Groups *g = app_groups(a);
    const Map *m = app_map(a);
    if (app_exports_chart(a))
        return g->computed || has_other_names(a);
    if (g && !app_color_values(a) && has_other_names(a))
        return true;
    return g && g->computed && !app_color_values(a) && !groups_are_annotation(g) &&
           (app_groups_by_hand(a) || a->recolored || !m || !m->computed ||
            a->map_neighbors != a->neighbors);
}

char *app_figure_beside(const char *figure, const char *ext)
{
    return str_format("%s%s", figure, ext);
}

char *app_cells_rule(const char *path)
{
    return str_format(path[strcspn(path, " \t()")] ? "@\"%s\"" : "@%s", path);
}

bool app_figure_selection(const App *a)
{
    return a->selected && a->facts && a->n_selected < a->facts->cells &&
           (a->group < 0 || !app_exports_chart(a));
}

bool app_figure_only(const App *a)
{
    const Chart *c = shared_get(a->chart);
    return app_exports_chart(a) && c->kind == CHART_HISTOGRAM && a->group >= 0;
}

char *app_figure_color(const App *a)
{
    const Groups *g = app_groups(a);
    const Values *v = app_color_values(a);
    const Chart *c = shared_get(a->chart);
    bool query = a->color_mode == COLOR_BY_QUERY && app_query(a);
    if (app_exports_chart(a)) {
        if (c->kind == CHART_DOTS || app_chart_of_query(a))
            return NULL;
        if (c->kind == CHART_BARS)
            return !c->by || app_figure_needs_table(a) ? NULL : mem_strdup(g->key);
        return mem_strdup(c->name);
    }
    if (query || app_figure_needs_table(a) || (!v && g && groups_are_annotation(g)))
        return NULL;
    return v ? mem_strdup(v->name) : g && !g->computed ? mem_strdup(g->key) : NULL; /* else those of --cluster */
}

/* " --cells RULE" */
static void add_selection(Str *s, const App *a, const char *output, bool in_file)
{
    if (!app_figure_selection(a))
        return;
    char *path = app_figure_beside(output, ".cells.txt"), *rule = in_file ? app_cells_rule(path) : mem_strdup(a->rule);
    app_add_option(s, "--cells", rule);
    free(rule);
    free(path);
}

static void add_groups_table(Str *s, const char *output)
{
    char *table = app_figure_beside(output, ".groups.tsv");
    app_add_option(s, "--groups", table);
    free(table);
}

/* What the colours and the hollow cells come from. */
static void add_content(Str *s, const App *a, const Generated *made, const char *output)
{
    const Groups *g = app_groups(a);
    const Values *v = app_color_values(a);
    bool query = a->color_mode == COLOR_BY_QUERY && app_query(a), annotation = !v && g && groups_are_annotation(g);
    char *color = app_figure_color(a);
    if (query)
        app_add_option(s, "--query", app_query(a)->text);
    else if (annotation && !app_figure_needs_table(a))
        str_add(s, " --annotate");
    else if (app_figure_needs_table(a))
        add_groups_table(s, output);
    app_add_option(s, "--color", color);
    free(color);
    if (made) {
        app_add_option(s, "--generate", made->prompt);
        str_addf(s, " -n %zu", made->counts.rows);
        if (made->seed != a->opt.session.seed)
            str_addf(s, " --generate-seed %llu", (unsigned long long)made->seed);
    }
    if (query || made || annotation)
        app_add_option(s, "--model", a->opt.session.model_dir);
}

bool app_can_be_typed(const char *rule)
{
    return !strstr(rule, "rectangle ") && !strstr(rule, "polygon ") && !strstr(rule, " on ");
}

bool app_chart_of_query(const App *a)
{
    const Chart *c = shared_get(a->chart);
    return (c->kind == CHART_VIOLIN || c->kind == CHART_HISTOGRAM) && a->color_mode == COLOR_BY_QUERY &&
           !a->chart_genes && app_query(a);
}

bool app_exports_chart(const App *a)
{
    const Chart *c = shared_get(a->chart);
    return a->focus == PANE_PLOT && c && c->kind == a->chart_kind && c->groups == a->groups;
}

static char *chart_command(const App *a, const char *output, bool cells_in_file)
{
    static const char *const kinds[N_CHART_KINDS] = {"dotplot", "violin", "histogram", "composition"};
    const Chart *c = shared_get(a->chart);
    const Groups *g = app_groups(a);
    Str s = {0}, genes = {0};
    bool table = app_figure_needs_table(a), all = c->kind == CHART_HISTOGRAM && !app_figure_only(a);
    char *color = app_figure_color(a);
    str_add(&s, "scmmgpt plot ");
    app_add_quoted(&s, a->opt.path);
    app_add_reading(&s, a, a->opt.session.seed);
    str_addf(&s, " --kind %s --size 170mm", kinds[c->kind]);
    app_add_option(&s, "--groupby", c->kind == CHART_BARS && c->by ? c->by : table || all ? NULL : g->key);
    if (table && !all)
        add_groups_table(&s, output);
    for (size_t i = 0; i < c->n_genes; i++)
        str_addf(&genes, "%s%s", i ? "," : "", c->genes[i]);
    if (c->kind == CHART_DOTS)
        app_add_option(&s, "--genes", str_text(&genes));
    if (app_chart_of_query(a)) {
        app_add_option(&s, "--query", app_query(a)->text);
        app_add_option(&s, "--model", a->opt.session.model_dir);
    }
    app_add_option(&s, "--color", color);
    if (app_figure_only(a)) {
        char *only = app_figure_group_name(a, (size_t)a->group);
        app_add_option(&s, "--highlight", only);
        free(only);
    }
    add_selection(&s, a, output, cells_in_file);
    app_add_option(&s, "-o", output);
    str_free(&genes);
    free(color);
    return str_take(&s);
}

char *app_export_command(const App *a, const char *output, bool cells_in_file)
{
    if (app_exports_chart(a))
        return chart_command(a, output, cells_in_file);
    const Map *m = app_map(a);
    const Generated *made = app_figure_generated(a);
    uint64_t seed = a->opt.session.seed;
    Str s = {0};
    if (made && !made->xy)
        made = NULL; /* made before there was a map: the figure has no place for them */
    str_add(&s, "scmmgpt plot ");
    app_add_quoted(&s, a->opt.path);
    app_add_reading(&s, a, seed);
    if (m && m->computed) {
        str_add(&s, " --cluster");
        if (a->map_neighbors != cluster_params_default().neighbors)
            str_addf(&s, " --neighbors %d", a->map_neighbors);
        if (a->groups_resolution != cluster_params_default().resolution)
            str_addf(&s, " --resolution %.9g", a->groups_resolution);
    }
    add_content(&s, a, made, output);
    add_selection(&s, a, output, cells_in_file);
    if (m && !m->computed && str_starts(m->name, "X_"))
        app_add_option(&s, "--basis", m->name + 2);
    double box[4];
    if (app_view_box(a, box))
        str_addf(&s, " --view=%.6g,%.6g,%.6g,%.6g", box[0], box[1], box[2], box[3]);
    app_add_option(&s, "-o", output);
    return str_take(&s);
}

void app_wrote(App *a, const char *what, const char *command)
{
    app_message(a, ROLE_GOOD, "wrote %s%s%s", what, command ? "   again: " : "", command ? command : "");
    if (command)
        str_addf(&a->written, "%s\n", command);
}

char *app_data_command(const App *a, const char *output)
{
    const Groups *g = app_groups(a);
    Str s = {0};
    bool named = a->cell_annotation || (a->annotation && g && !g->computed);
    str_addf(&s, "scmmgpt %s", named ? "annotate " : a->query ? "query " : "");
    app_add_quoted(&s, a->opt.path);
    if (!named && a->query) {
        str_add_char(&s, ' ');
        app_add_quoted(&s, app_query(a)->text);
    }
    app_add_reading(&s, a, a->opt.session.seed);
    if (named && !a->cell_annotation)
        app_add_option(&s, "--by", g->key);
    if (named || a->query)
        app_add_option(&s, "-o", output);
    return str_take(&s);
}
