/* What the ask line is for: labels, suggestions, and what Enter does, by kind of prompt. Editing
 * itself is outside. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/pane.h"

const char *app_prompt_label(PromptKind k)
{
    static const char *const labels[N_PROMPTS] = {"",
                                                  "ask> ",
                                                  "generate> ",
                                                  "find> ",
                                                  ":",
                                                  "colour by> ",
                                                  "score of genes> ",
                                                  "map> ",
                                                  "select cells> ",
                                                  "figure to> ",
                                                  "data to> ",
                                                  "show genes> ",
                                                  "table to> ",
                                                  "genes to plot> ",
                                                  "composition by> ",
                                                  "leave? (y/n) "};
    return labels[k];
}

bool app_prompt_has_history(PromptKind k)
{
    return k == PROMPT_ASK || k == PROMPT_GENERATE || k == PROMPT_GATE;
}

/* ---- suggestions ---- */
/* 0: no match; larger is better: beginning, word beginning, inside, letters in order. */
static int match(const char *text, const char *typed)
{
    if (!*typed)
        return 1;
    size_t n = strlen(typed);
    if (!strcasecmp(text, typed))
        return 200;
    int shorter =
        40 - (int)(strlen(text) - n < 40 ? strlen(text) - n : 40); /* CD3E before CD300LB */
    if (!strncasecmp(text, typed, n))
        return 150 + shorter;
    const char *in = strcasestr(text, typed);
    if (in)
        return in > text && !isalnum((unsigned char)in[-1]) ? 100 + shorter : 50 + shorter;
    for (; *text && *typed; text++)
        if (tolower((unsigned char)*text) == tolower((unsigned char)*typed))
            typed++;
    return *typed ? 0 : 2;
}

typedef struct Candidates {
    PromptState *p;
    const char *typed;
    uint8_t rank[MAX_SUGGESTIONS];
} Candidates;

/* Kept in order of match; among equals in order of arrival. */
static void offer(Candidates *c, const char *text, const char *detail)
{
    PromptState *p = c->p;
    int m = match(text, c->typed);
    if (!m || (p->n == MAX_SUGGESTIONS && c->rank[p->n - 1] >= m))
        return;
    size_t at = p->n < MAX_SUGGESTIONS ? p->n++ : p->n - 1;
    for (; at > 0 && c->rank[at - 1] < m; at--) {
        c->rank[at] = c->rank[at - 1];
        p->suggestions[at] = p->suggestions[at - 1];
    }
    c->rank[at] = (uint8_t)m;
    snprintf(p->suggestions[at].text, sizeof p->suggestions[at].text, "%s", text);
    snprintf(p->suggestions[at].detail, sizeof p->suggestions[at].detail, "%s", detail);
}

static void offer_colors(App *a, Candidates *c)
{
    const Groups *g = app_groups(a);
    char detail[100];
    if (a->query)
        offer(c, "question", app_query(a)->text);
    if (a->work[WORK_CLUSTER].state == WORK_DONE || !g || !g->computed)
        offer(c, "leiden", "clusters found here");
    if (a->cell_annotation)
        offer(c, "annotation", "the type of every cell");
    for (size_t i = 0; i < a->facts->n_obs; i++) {
        snprintf(detail, sizeof detail, "column, %s", column_kind_name(a->facts->obs_kind[i]));
        if (a->facts->obs_kind[i] != COLUMN_STRING)
            offer(c, a->facts->obs[i], detail);
    }
    offer(c, "qc:counts", "counts of every cell");
    offer(c, "qc:genes", "genes found in every cell");
    offer(c, "qc:mito", "share of mitochondrial genes");
    offer(c, "qc:ribo", "share of ribosomal genes");
    if (strlen(c->typed) >= 1)
        for (size_t i = 0; i < a->facts->n_gene_names; i++)
            offer(c, a->facts->gene_names[i], "gene");
}

static void offer_commands(Candidates *c)
{
    static const struct {
        const char *name, *detail;
    } more[] = {{"resolution ", "of the clusters: resolution 1.5"},
                {"neighbors ", "of the clusters and their map: neighbors 30"},
                {"seed ", "of generating: seed 7"}};
    char detail[112];
    for (Action i = 1; i < N_ACTIONS; i++) {
        const ActionInfo *info = action_info(i);
        snprintf(detail, sizeof detail, "%-8s %s", info->keys, info->help);
        offer(c, info->command, detail);
    }
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        offer(c, more[i].name, more[i].detail);
}

static const char *file_map_name(const App *a)
{
    return ((const Map *)shared_get(a->file_map))->name;
}

static bool in_list(const FileFacts *f, const char *name)
{
    for (size_t i = 0; i < f->n_maps; i++)
        if (!strcmp(f->maps[i], name))
            return true;
    return false;
}

static void suggest(App *a)
{
    PromptState *p = &a->prompt;
    Candidates c = {.p = p, .typed = p->text};
    char made[64];
    p->n = 0;
    if (p->kind == PROMPT_COLOR) {
        offer_colors(a, &c);
    } else if (p->kind == PROMPT_COMMAND) {
        if (!strchr(p->text, ' '))
            offer_commands(&c);
    } else if (p->kind == PROMPT_COMPOSITION) {
        for (size_t i = 0; i < a->facts->n_obs; i++)
            offer(&c, a->facts->obs[i], column_kind_name(a->facts->obs_kind[i]));
    } else if (p->kind == PROMPT_MAP) {
        for (size_t i = 0; i < a->facts->n_maps; i++)
            offer(&c, a->facts->maps[i], "in the file");
        if (a->file_map && !in_list(a->facts, file_map_name(a)))
            offer(&c, file_map_name(a), "in the file");
        if (a->made_map) {
            snprintf(made, sizeof made, "made here, %d neighbours", a->map_neighbors);
            offer(&c, "computed", made);
        }
    }
    p->chosen = p->kind == PROMPT_COMMAND ? p->n : 0;
    if (p->kind == PROMPT_COMMAND && p->n && *p->text && c.rank[0] >= 150)
        p->chosen = 0;
}

/* ---- life of a prompt ---- */
void app_prompt_open(App *a, PromptKind kind, const char *initial)
{
    PromptState *p = &a->prompt;
    p->kind = kind;
    app_prompt_edited(a, "", initial, (int)strlen(initial));
}

void app_prompt_edited(App *a, const char *before, const char *text, int cursor)
{
    PromptState *p = &a->prompt;
    bool same = !strcmp(p->text, text) && p->n;
    snprintf(p->before, sizeof p->before, "%s", before);
    snprintf(p->text, sizeof p->text, "%s", text);
    int len = (int)strlen(p->text);
    p->cursor = cursor < 0 ? 0 : cursor > len ? len : cursor;
    a->dirty = true;
    if (p->kind == PROMPT_CONFIRM_QUIT && *text) {
        if (*text == 'y' || *text == 'Y')
            a->quit = true;
        app_prompt_cancel(a);
    } else if (!same) {
        suggest(a);
    }
}

void app_prompt_cancel(App *a)
{
    a->prompt.kind = PROMPT_NONE;
    a->prompt.n = 0;
    a->prompt.text[0] = 0;
    a->dirty = true;
}

bool app_prompt_move(App *a, int by)
{
    PromptState *p = &a->prompt;
    if (!p->n)
        return false;
    long n = (long)p->n, at = p->chosen >= p->n ? (by > 0 ? -1 : 0) : (long)p->chosen;
    p->chosen = (size_t)((at + by + n) % n);
    a->dirty = true;
    return true;
}

const char *app_prompt_complete(App *a)
{
    PromptState *p = &a->prompt;
    if (!p->n)
        return NULL;
    return p->suggestions[p->chosen < p->n ? p->chosen : 0].text;
}

/* ---- Enter ---- */
/* A clustering stored as numbers is still a partition. */
static bool names_a_clustering(const char *name)
{
    static const char *const words[] = {"cluster", "leiden", "louvain", "snn_res"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}

static void color_by(App *a, const char *name)
{
    if (!strcmp(name, "question") && a->query) {
        a->color_mode = COLOR_BY_QUERY;
        app_changed(a);
        return;
    }
    if (!strcmp(name, "leiden") && a->work[WORK_CLUSTER].state != WORK_DONE) {
        bool in_file = false;
        for (size_t i = 0; i < a->facts->n_obs; i++)
            in_file |= !strcmp(a->facts->obs[i], name);
        if (!in_file) {
            app_start(a, WORK_CLUSTER, NULL);
            return;
        }
    }
    for (size_t i = 0; i < a->facts->n_obs; i++)
        if (!strcmp(a->facts->obs[i], name)) {
            bool groups = a->facts->obs_kind[i] == COLUMN_CATEGORICAL ||
                          a->facts->obs_kind[i] == COLUMN_STRING || names_a_clustering(name);
            app_start(a, groups ? WORK_GROUPS : WORK_COLOR, name);
            return;
        }
    if (!strcmp(name, "leiden"))
        app_start(a, WORK_CLUSTER, NULL);
    else if (!strcmp(name, "annotation") && a->cell_annotation)
        app_start(a, WORK_ANNOTATE_CELLS, NULL);
    else
        app_start(a, WORK_COLOR, name);
}

/* A map that is at hand, or one that must be read. */
static void show_map(App *a, const char *name)
{
    Shared *known = a->made_map && !strcmp(name, "computed")         ? a->made_map
                    : a->file_map && !strcmp(name, file_map_name(a)) ? a->file_map
                                                                     : NULL;
    if (!known) {
        app_start(a, WORK_MAP, name);
        return;
    }
    shared_set(&a->map, shared_hold(known));
    a->map_view = (MapState){.zoom = 1, .labels = a->map_view.labels, .inner = a->map_view.inner};
    a->places++;
    app_changed(a);
}

/* "CD79A MS4A1, CD19" -> the colour that session_color_values knows. */
static void score_by(App *a, const char *text)
{
    Str s = {0};
    str_add(&s, "score:");
    for (bool first = true; *(text += strspn(text, " ,")); first = false) {
        size_t n = strcspn(text, " ,");
        str_add(&s, first ? "" : ",");
        str_add_n(&s, text, n);
        text += n;
    }
    app_start(a, WORK_COLOR, str_text(&s));
    str_free(&s);
}

static void search_for(App *a, const char *text)
{
    snprintf(a->search, sizeof a->search, "%s", text);
    app_act(a, ACT_SEARCH_NEXT);
}

static void filter_by(App *a, const char *text)
{
    MarkerFilter f;
    if (marker_filter_parse(text, &f) != OK) {
        app_message(a, ROLE_ERROR, "%s", err_message());
        return;
    }
    a->marker_filter = f;
    snprintf(a->marker_filter_text, sizeof a->marker_filter_text, "%s", text);
    a->markers_list = (ListState){0};
    a->tables++;
}

static void generate(App *a, const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (end > text && *end == ' ' && n > 0 && n <= 100000) {
        a->n_to_generate = n;
        text = end + strspn(end, " ");
    }
    if (*text) {
        app_start(a, WORK_GENERATE, text);
        a->slot = PANE_TEXT;
    }
}

static void ask(App *a, const char *text)
{
    app_start(a, WORK_QUERY, text);
    if (a->wide)
        a->slot = PANE_TEXT; /* else the map stays, which the scores colour */
}

/* While the name was typed the clusters may have changed. */
static void write_table(App *a, const char *path)
{
    if (app_markers(a))
        app_start(a, WORK_TABLE, path);
    else
        app_message(a, ROLE_WARN, "there is no table yet");
}

static void command(App *a, const char *line)
{
    char name[48];
    size_t n = strcspn(line, " ");
    snprintf(name, sizeof name, "%.*s", (int)(n < 47 ? n : 47), line);
    const char *arg = line + n + strspn(line + n, " ");
    double number = strtod(arg, NULL);
    if (!strcmp(name, "resolution") && number > 0) {
        a->resolution = number > 20 ? 20 : number;
        app_start(a, WORK_CLUSTER, NULL);
        return;
    }
    if (!strcmp(name, "neighbors") && number >= 2 && number <= 500) {
        app_change_neighbors(a, (int)number - a->neighbors);
        return;
    }
    if (!strcmp(name, "seed") && *arg) {
        a->seed = strtoull(arg, NULL, 10);
        app_message(a, ROLE_DIM, "seed %llu", (unsigned long long)a->seed);
        return;
    }
    Action act = action_find(name);
    if (act == ACT_NONE) {
        app_message(a, ROLE_ERROR, "no command %s; ? lists them", name);
        return;
    }
    if (!*arg || !a->facts) {
        app_act(a, act);
        return;
    }
    switch (act) {
    case ACT_COLOR:
        color_by(a, arg);
        break;
    case ACT_GATE:
        app_start(a, WORK_GATE, arg);
        break;
    case ACT_ASK:
        ask(a, arg);
        break;
    case ACT_GENERATE:
        generate(a, arg);
        break;
    case ACT_EXPORT:
        app_start(a, WORK_PLOT, arg);
        break;
    case ACT_DATA:
        app_start(a, WORK_DATA, arg);
        break;
    case ACT_FILTER:
        filter_by(a, arg);
        break;
    case ACT_GENES:
        app_chart_genes(a, arg);
        break;
    case ACT_COMPOSITION:
        app_chart_column(a, arg);
        break;
    case ACT_TABLE:
        write_table(a, arg);
        break;
    case ACT_EMBEDDING:
        show_map(a, arg);
        break;
    case ACT_SCORE:
        score_by(a, arg);
        break;
    case ACT_SEARCH:
        search_for(a, arg);
        break;
    default:
        app_message(a, ROLE_ERROR, "%s takes no argument", name);
        break;
    }
}

/* W writes what the name says: .h5ad the generated cells, else the labels. */
static void write_data(App *a, const char *path)
{
    if (str_ends(path, ".h5ad") && !a->n_generated)
        app_message(a, ROLE_ERROR,
                    "there are no generated cells: T makes some; labels go to .tsv or .csv");
    else
        app_start(a, WORK_DATA, path);
}

void app_prompt_accept(App *a, bool alternative)
{
    PromptState *p = &a->prompt;
    PromptKind kind = p->kind;
    char *text = mem_strdup(p->text);
    size_t len = strlen(text);
    while (len && text[len - 1] == ' ')
        text[--len] = 0;
    bool pick = (kind == PROMPT_COLOR || kind == PROMPT_COMPOSITION || kind == PROMPT_MAP ||
                 (kind == PROMPT_COMMAND && !strchr(text, ' '))) &&
                p->chosen < p->n;
    if (pick) {
        const char *chosen = p->suggestions[p->chosen].text;
        if (str_ends(chosen, " ")) { /* it wants an argument */
            free(text);
            app_prompt_edited(a, "", chosen, (int)strlen(chosen));
            return;
        }
        free(text);
        text = mem_strdup(chosen);
    }
    app_prompt_cancel(a);
    if (kind == PROMPT_FILTER) /* an empty one shows all */
        filter_by(a, text);
    else if (kind == PROMPT_GENES)
        app_chart_genes(a, text);
    else if (*text)
        switch (kind) {
        case PROMPT_ASK:
            if (alternative)
                generate(a, text);
            else
                ask(a, text);
            break;
        case PROMPT_GENERATE:
            generate(a, text);
            break;
        case PROMPT_SEARCH:
            search_for(a, text);
            break;
        case PROMPT_COMMAND:
            command(a, text);
            break;
        case PROMPT_COLOR:
            color_by(a, text);
            break;
        case PROMPT_MAP:
            show_map(a, text);
            break;
        case PROMPT_SCORE:
            score_by(a, text);
            break;
        case PROMPT_GATE:
            app_start(a, WORK_GATE, text);
            break;
        case PROMPT_EXPORT:
            app_start(a, WORK_PLOT, text);
            break;
        case PROMPT_DATA:
            write_data(a, text);
            break;
        case PROMPT_COMPOSITION:
            app_chart_column(a, text);
            break;
        case PROMPT_TABLE:
            write_table(a, text);
            break;
        default:
            break;
        }
    free(text);
}
