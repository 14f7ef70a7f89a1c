/* A session for the tests of the explorer: 600 made-up cells in 5 groups, 40 genes, answers at
 * once. It implements core/session/session.h for the one test program that includes this file;
 * nothing here reaches the real program. */
#include "core/session/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"

enum { FAKE_CELLS = 600, FAKE_GENES = 40, FAKE_GROUPS = 5 };

/* What the next session is like. */
static struct {
    bool no_map, no_groups, bad_model, bad_file, slow_embed, unknown_last, stored_markers;
    int clusterings, neighbors, descriptions, annotations, plots;
    char last_plot[256];
} fake;

struct Session {
    SessionParams params;
    Dataset *dataset;
    ModelInfo model;
    bool loaded, embedded;
};

static const char *const fake_types[] = {"CD4 T cell",     "classical monocyte",
                                         "B cell",         "natural killer cell",
                                         "dendritic cell", "plasma cell"};
static const char *const fake_ids[] = {"CL:0000624", "CL:0000860", "CL:0000236",
                                       "CL:0000623", "CL:0000451", "CL:0000786"};
static const char *const fake_markers[][4] = {{"CD3E", "IL7R", "CD4", "LTB"},
                                              {"LYZ", "S100A8", "CD14", "FCN1"},
                                              {"MS4A1", "CD79A", "CD79B", "HLA-DRA"},
                                              {"NKG7", "GNLY", "PRF1", "KLRD1"},
                                              {"FCER1A", "CST3", "CLEC10A", "CD1C"}};

static int fake_group(size_t cell) /* 200, 160, 120, 80, 40 */
{
    static const size_t ends[] = {200, 360, 480, 560, 600};
    int g = 0;
    while (cell >= ends[g])
        g++;
    return g;
}

static Dataset *fake_dataset(void)
{
    char genes[FAKE_GENES][16];
    const char *names[FAKE_GENES];
    Csr m;
    Dataset *d = NULL;
    for (int g = 0; g < FAKE_GENES; g++) {
        if (g < 20)
            snprintf(genes[g], sizeof genes[g], "%s", fake_markers[g / 4][g % 4]);
        else
            snprintf(genes[g], sizeof genes[g], "GENE%d", g);
        names[g] = genes[g];
    }
    assert_ok(csr_init(&m, FAKE_CELLS, FAKE_GENES, FAKE_CELLS * 8));
    size_t at = 0;
    for (size_t i = 0; i < FAKE_CELLS; i++) {
        int type = fake_group(i);
        for (int k = 0; k < 4; k++) {
            m.indices[at] = 4 * type + k;
            m.values[at++] = (float)(1 + (i + (size_t)k) % 5);
        }
        for (int k = 0; k < 4; k++) {
            m.indices[at] = 20 + 5 * k + (int)(i % 5);
            m.values[at++] = 2;
        }
        m.indptr[i + 1] = (int64_t)at;
    }
    assert_ok(dataset_from_memory("fake.h5ad", &m, names, NULL, &d));
    Column *c = mem_must(sizeof *c);
    c->name = mem_strdup("n_counts");
    c->kind = COLUMN_NUMERIC;
    c->n = FAKE_CELLS;
    c->numbers = mem_must(FAKE_CELLS * sizeof *c->numbers);
    for (size_t i = 0; i < FAKE_CELLS; i++)
        c->numbers[i] = 1000 + (double)(i % 97);
    assert_ok(dataset_add_obs(d, c));
    c = mem_must(sizeof *c);
    c->name = mem_strdup("donor");
    c->kind = COLUMN_CATEGORICAL;
    c->n = FAKE_CELLS;
    c->codes = mem_must(FAKE_CELLS * sizeof *c->codes);
    c->n_categories = 2;
    c->categories = mem_must(2 * sizeof *c->categories);
    c->categories[0] = mem_strdup("first donor");
    c->categories[1] = mem_strdup("second donor");
    for (size_t i = 0; i < FAKE_CELLS; i++)
        c->codes[i] = i % 2;
    assert_ok(dataset_add_obs(d, c));
    return d;
}

SessionParams session_params_default(void)
{
    return (SessionParams){.device = "auto"};
}

Err session_open(const SessionParams *p, const char *path, JobCtl *ctl, Session **out)
{
    if (fake.bad_file)
        FAIL(ERR_INPUT, "X/indptr: decreases at row 7; the file is damaged");
    Session *s = mem_must(sizeof *s);
    s->params = *p;
    s->dataset = fake_dataset();
    *out = s;
    return OK;
}

Err session_open_empty(const SessionParams *p, Session **out)
{
    FAIL(ERR_GENERAL, "not used by the explorer");
}

void session_close(Session *s)
{
    if (s)
        dataset_close(s->dataset);
    free(s);
}

Dataset *session_dataset(Session *s)
{
    return s->dataset;
}

const SessionParams *session_params(const Session *s)
{
    return &s->params;
}

/* ---- what the file has ---- */
void values_free(Values *v)
{
    if (!v)
        return;
    free(v->name);
    free(v->unit);
    free(v->v);
    free(v);
}

void groups_free(Groups *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_groups; i++)
        free(g->names[i]);
    free(g->key);
    free(g->codes);
    free(g->names);
    free(g->sizes);
    free(g->colors);
    free(g->model_sha256);
    free(g);
}

void map_free(Map *m)
{
    if (!m)
        return;
    free(m->name);
    free(m->xy);
    free(m);
}

void selection_free(Selection *s)
{
    if (!s)
        return;
    free(s->rule);
    free(s->in);
    free(s);
}

static Map *fake_map(bool computed)
{
    static const double at[FAKE_GROUPS][3] = {
        {6, 0, 1.6}, {-6, 1, 1.4}, {4, 8, 1.2}, {7, -6, 1}, {-4, -5, 0.6}};
    Map *m = mem_must(sizeof *m);
    Rng r = rng_make(7, 1);
    m->name = mem_strdup("X_umap");
    m->n = FAKE_CELLS;
    m->computed = computed;
    m->xy = mem_must(2 * FAKE_CELLS * sizeof *m->xy);
    for (size_t i = 0; i < FAKE_CELLS; i++) {
        const double *c = at[fake_group(i)];
        m->xy[2 * i] = (float)(c[0] + c[2] * (rng_uniform(&r) + rng_uniform(&r) - 1));
        m->xy[2 * i + 1] = (float)(c[1] + c[2] * (rng_uniform(&r) + rng_uniform(&r) - 1));
    }
    return m;
}

static Groups *fake_groups(const char *key, bool computed, size_t n)
{
    static const uint32_t colors[] = {0xE69F00, 0x56B4E9, 0x009E73, 0xF0E442, 0x0072B2};
    Groups *g = mem_must(sizeof *g);
    g->key = mem_strdup(key);
    g->n_cells = FAKE_CELLS;
    g->n_groups = n;
    g->computed = computed;
    g->codes = mem_must(FAKE_CELLS * sizeof *g->codes);
    g->names = mem_must((n + 1) * sizeof *g->names);
    g->sizes = mem_must((n + 1) * sizeof *g->sizes);
    g->colors = mem_must((n + 1) * sizeof *g->colors);
    for (size_t i = 0; i < FAKE_CELLS; i++) {
        g->codes[i] = (int32_t)((size_t)fake_group(i) % n);
        g->sizes[g->codes[i]]++;
    }
    for (size_t i = 0; i < n; i++) {
        g->names[i] = str_format("%zu", i);
        g->colors[i] = colors[i % 5];
    }
    return g;
}

Err session_map(Session *s, const char *basis, JobCtl *ctl, Map **out)
{
    if (fake.no_map)
        FAIL(ERR_NOT_FOUND, "the file has no map");
    *out = fake_map(false);
    return OK;
}

Err session_groups(Session *s, const char *key, JobCtl *ctl, Groups **out)
{
    if (fake.no_groups && !key)
        FAIL(ERR_NOT_FOUND, "the file has no groups");
    if (key && strcmp(key, "leiden") && strcmp(key, "donor"))
        FAIL(ERR_NOT_FOUND, "obs/%s: there is no such column", key);
    *out = fake_groups(key ? key : "leiden", false, key && !strcmp(key, "donor") ? 2 : FAKE_GROUPS);
    return OK;
}

static Values *fake_values(const char *name, const char *unit)
{
    Values *v = mem_must(sizeof *v);
    v->name = mem_strdup(name);
    v->unit = mem_strdup(unit);
    v->n = FAKE_CELLS;
    v->v = mem_must(FAKE_CELLS * sizeof *v->v);
    return v;
}

Err session_obs_values(Session *s, const char *key, JobCtl *ctl, Values **out)
{
    *out = fake_values(key, "");
    for (size_t i = 0; i < FAKE_CELLS; i++)
        (*out)->v[i] = (float)(i % 97);
    return OK;
}

Err session_gene(Session *s, const char *name, bool lognorm, JobCtl *ctl, Values **out)
{
    for (int g = 0; g < FAKE_GROUPS; g++)
        for (int k = 0; k < 4; k++)
            if (!strcmp(name, fake_markers[g][k])) {
                *out = fake_values(name, "log1p CP10k");
                for (size_t i = 0; i < FAKE_CELLS; i++)
                    (*out)->v[i] = fake_group(i) == g ? 1 + (float)(i % 5) : 0;
                return OK;
            }
    FAIL(ERR_NOT_FOUND, "%s: no gene has this name; did you mean CD3E?", name);
}

bool color_is_computed(const char *name)
{
    return strchr(name, ':') != NULL;
}

Err session_color_values(Session *s, const char *name, JobCtl *ctl, Values **out)
{
    bool obs = dataset_find_obs(s->dataset, name) >= 0;
    return obs || color_is_computed(name) ? session_obs_values(s, name, ctl, out)
                                          : session_gene(s, name, true, ctl, out);
}

Err session_select(Session *s, const char *rule, JobCtl *ctl, Selection **out)
{
    int group;
    if (sscanf(rule, "leiden=%d", &group) != 1)
        FAIL(ERR_USAGE, "rule '%s': expected KEY=VALUE", rule);
    Selection *sel = mem_must(sizeof *sel);
    sel->rule = mem_strdup(rule);
    sel->n_cells = FAKE_CELLS;
    sel->in = mem_must(FAKE_CELLS);
    for (size_t i = 0; i < FAKE_CELLS; i++)
        sel->n += sel->in[i] = fake_group(i) == group;
    *out = sel;
    return OK;
}

/* ---- analysis ---- */
ClusterParams cluster_params_default(void)
{
    return (ClusterParams){.resolution = 1, .neighbors = 15, .pcs = 50, .hvg = 2000, .umap = true};
}

Err session_subcluster(Session *s, const Selection *cells, const ClusterParams *p, JobCtl *ctl,
                       Clustering **out)
{
    Clustering *c = mem_must(sizeof *c);
    c->groups = fake_groups("leiden", true, 2);
    memset(c->groups->sizes, 0, 2 * sizeof *c->groups->sizes);
    for (size_t i = 0; i < FAKE_CELLS; i++) {
        int32_t *code = &c->groups->codes[i];
        *code = cells->in[i] ? (int32_t)(i % 2) : -1;
        if (*code >= 0)
            c->groups->sizes[*code]++;
    }
    *out = c;
    return OK;
}

Err groups_copy(const Groups *g, Groups **out)
{
    *out = fake_groups(g->key, g->computed, g->n_groups);
    memcpy((*out)->codes, g->codes, g->n_cells * sizeof *g->codes);
    for (size_t i = 0; i < g->n_groups; i++) {
        free((*out)->names[i]);
        (*out)->names[i] = mem_strdup(g->names[i]);
    }
    return OK;
}

/* The merged groups become the first of them; the last group takes the place of a hole. */
Err groups_merge(const Groups *g, const int32_t *which, size_t n, const char *name, Groups **out)
{
    *out = fake_groups(g->key, true, g->n_groups);
    Groups *m = *out;
    memcpy(m->codes, g->codes, g->n_cells * sizeof *m->codes);
    memset(m->sizes, 0, m->n_groups * sizeof *m->sizes);
    for (size_t i = 0; i < m->n_cells; i++) {
        for (size_t k = 1; k < n; k++)
            if (m->codes[i] == which[k])
                m->codes[i] = which[0];
        m->sizes[m->codes[i]]++;
    }
    return OK;
}

Err groups_keep_colors(const Groups *before, Groups *after)
{
    if (after->n_groups && before->n_groups)
        after->colors[0] = before->colors[0];
    return OK;
}

void clustering_free(Clustering *c)
{
    if (!c)
        return;
    groups_free(c->groups);
    map_free(c->map);
    free(c);
}

Err session_cluster(Session *s, const ClusterParams *p, JobCtl *ctl, Clustering **out)
{
    Clustering *c = mem_must(sizeof *c);
    fake.clusterings++;
    fake.neighbors = p->neighbors;
    c->groups = fake_groups("leiden", true, p->resolution < 1 ? 3 : FAKE_GROUPS);
    c->map = p->umap ? fake_map(true) : NULL;
    *out = c;
    return OK;
}

void marker_table_free(MarkerTable *t)
{
    if (!t)
        return;
    free(t->groupby);
    free(t->method);
    free(t->rows);
    free(t);
}

static MarkerTable *fake_table(size_t n_groups)
{
    MarkerTable *t = mem_must(sizeof *t);
    t->groupby = mem_strdup("leiden");
    t->method = mem_strdup("wilcoxon");
    t->rows = mem_must(4 * n_groups * sizeof *t->rows);
    for (size_t g = 0; g < n_groups; g++)
        for (int k = 0; k < 4; k++)
            t->rows[t->n++] = (Marker){.group = (int32_t)g,
                                       .gene = fake_markers[g % FAKE_GROUPS][k],
                                       .score = 20 - (float)k,
                                       .logfoldchange = 4.91f - (float)k,
                                       .frac_in = 0.86f - 0.1f * (float)k,
                                       .frac_out = 0.05f,
                                       .pval_adj = k ? pow(10, -200 + 60 * k) : 0};
    return t;
}

const char *marker_method_name(MarkerMethod m)
{
    static const char *const names[] = {"wilcoxon", "t-test", "t-test_overestim_var"};
    return names[m];
}

static MarkerTable *fake_tested(size_t n_groups, MarkerMethod m)
{
    MarkerTable *t = fake_table(n_groups);
    free(t->method);
    t->method = mem_strdup(marker_method_name(m));
    return t;
}

Err session_markers(Session *s, const Groups *g, MarkerMethod m, size_t top, JobCtl *ctl,
                    MarkerTable **out)
{
    *out = fake_tested(g->n_groups, m);
    return OK;
}

Err session_stored_markers(Session *s, const Groups *g, size_t top, JobCtl *ctl, MarkerTable **out)
{
    if (!fake.stored_markers)
        FAIL(ERR_NOT_FOUND, "uns/rank_genes_groups: the file has none");
    *out = fake_table(g->n_groups);
    (*out)->precomputed = true;
    for (size_t i = 0; i < (*out)->n; i++)
        (*out)->rows[i].frac_in = NAN;
    return OK;
}

Err session_de(Session *s, const Selection *a, const Selection *b, MarkerMethod m, size_t top,
               JobCtl *ctl, MarkerTable **out)
{
    *out = fake_tested(1, m);
    return OK;
}

/* ---- model ---- */
Err session_load_model(Session *s, JobCtl *ctl)
{
    if (fake.bad_model)
        FAIL(ERR_MODEL, "models/none: no bundle there; --model DIR or $SCMMGPT_MODEL names one");
    s->loaded = true;
    s->model = (ModelInfo){
        .name = "mini-1", .device = "cpu", .genes_matched = 36, .genes_in_file = FAKE_GENES};
    return OK;
}

const ModelInfo *session_model(const Session *s)
{
    return s->loaded ? &s->model : NULL;
}

Err session_embed(Session *s, JobCtl *ctl)
{
    job_stage(ctl, "cells", 1000000);
    for (size_t i = 0; fake.slow_embed; i++) {
        usleep(2000);
        TRY(job_progress(ctl, i));
    }
    s->embedded = true;
    return OK;
}

bool session_is_embedded(const Session *s)
{
    return s->embedded;
}

AnnotateParams annotate_params_default(void)
{
    return (AnnotateParams){.evidence = 1, .refine = -1};
}

void annotation_free(Annotation *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n_labels; i++) {
        free(a->labels[i]);
        free(a->label_ids[i]);
    }
    for (size_t i = 0; i < a->n; i++) {
        free(a->evidence[i]);
        free(a->missing_markers[i]);
    }
    free(a->labels);
    free(a->label_ids);
    free(a->label);
    free(a->second);
    free(a->probability);
    free(a->second_probability);
    free(a->unknown);
    free(a->evidence);
    free(a->missing_markers);
    free(a);
}

Err session_annotate(Session *s, const AnnotateParams *p, const Groups *groups, JobCtl *ctl,
                     Annotation **out)
{
    static const float sure[] = {0.71f, 0.95f, 0.97f, 0.93f, 0.44f};
    Annotation *a = mem_must(sizeof *a);
    fake.annotations++;
    a->n = groups ? groups->n_groups : FAKE_CELLS;
    a->n_labels = 6;
    a->labels = mem_must(6 * sizeof *a->labels);
    a->label_ids = mem_must(6 * sizeof *a->label_ids);
    for (int i = 0; i < 6; i++) {
        a->labels[i] = mem_strdup(fake_types[i]);
        a->label_ids[i] = mem_strdup(fake_ids[i]);
    }
    a->label = mem_must(a->n * sizeof *a->label);
    a->second = mem_must(a->n * sizeof *a->second);
    a->probability = mem_must(a->n * sizeof *a->probability);
    a->second_probability = mem_must(a->n * sizeof *a->second_probability);
    a->unknown = mem_must(a->n);
    a->evidence = mem_must(a->n * sizeof *a->evidence);
    a->missing_markers = mem_must(a->n * sizeof *a->missing_markers);
    for (size_t i = 0; i < a->n; i++) {
        int g = groups ? (int)i % FAKE_GROUPS : fake_group(i);
        a->label[i] = g;
        a->second[i] = 5;
        a->probability[i] = sure[g];
        a->second_probability[i] = 0.02f;
        a->unknown[i] = g == 4;
        a->evidence[i] = str_format("%s,%s", fake_markers[g][0], fake_markers[g][1]);
        a->missing_markers[i] = mem_strdup("SDC1");
    }
    *out = a;
    return OK;
}

DescribeParams describe_params_default(void)
{
    return (DescribeParams){.decoding = DECODE_GREEDY, .beams = 5, .temperature = 1};
}

void description_free(Description *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_markers; i++)
        free(d->markers_named[i]);
    free(d->markers_named);
    free(d->markers_expressed);
    free(d->subject);
    free(d->text);
    free(d->label);
    free(d->label_id);
    free(d->second);
    free(d->evidence);
    free(d->missing_markers);
    free(d);
}

static Description *fake_description(const char *subject, JobCtl *ctl)
{
    static const char *const words[] = {
        "These lymphocytes carry the antigen receptor ", "machinery (CD79A, CD79B) and ",
        "the surface antigen MS4A1; ", "no plasma-cell programme (SDC1) is seen."};
    Description *d = mem_must(sizeof *d);
    Str text = {0};
    fake.descriptions++;
    for (int i = 0; i < 4; i++) {
        job_text(ctl, words[i]);
        str_add(&text, words[i]);
    }
    d->subject = mem_strdup(subject);
    d->text = str_take(&text);
    d->label = mem_strdup("B cell");
    d->label_id = mem_strdup("CL:0000236");
    d->second = mem_strdup("plasma cell");
    d->n_markers = 4;
    d->markers_named = mem_must(4 * sizeof *d->markers_named);
    d->markers_expressed = mem_must(4);
    static const char *const named[] = {"CD79A", "CD79B", "MS4A1", "SDC1"};
    for (int i = 0; i < 4; i++) {
        d->markers_named[i] = mem_strdup(named[i]);
        d->markers_expressed[i] = i < 3;
    }
    d->evidence = mem_strdup("");
    d->missing_markers = mem_strdup("");
    snprintf(d->decoding, sizeof d->decoding, "greedy");
    d->tokens = 61;
    return d;
}

Err session_describe_cell(Session *s, size_t cell, const DescribeParams *p, JobCtl *ctl,
                          Description **out)
{
    *out = fake_description("cell", ctl);
    return OK;
}

Err session_describe_set(Session *s, const Selection *cells, const char *name,
                         const DescribeParams *p, JobCtl *ctl, Description **out)
{
    *out = fake_description(name, ctl);
    return OK;
}

void query_result_free(QueryResult *q)
{
    if (!q)
        return;
    values_free(q->scores);
    free(q->text);
    free(q->percentile);
    free(q->order);
    free(q->understood);
    free(q->warning);
    free(q);
}

Err session_query(Session *s, const char *text, JobCtl *ctl, QueryResult **out)
{
    if (!strstr(text, "antibod"))
        FAIL(ERR_NOT_FOUND, "the question names nothing biological that the model knows; name a "
                            "type, a gene or what the cells do");
    QueryResult *q = mem_must(sizeof *q);
    char *name = str_format("query: %s", text);
    q->text = mem_strdup(text);
    q->scores = fake_values(name, "");
    free(name);
    q->percentile = mem_must(FAKE_CELLS * sizeof *q->percentile);
    q->order = mem_must(FAKE_CELLS * sizeof *q->order);
    size_t at = 0;
    for (int pass = 0; pass < 2; pass++) /* group 2 first */
        for (size_t i = 0; i < FAKE_CELLS; i++)
            if ((fake_group(i) == 2) == (pass == 0)) {
                q->scores->v[i] = 0.9f - 0.001f * (float)at;
                q->percentile[i] = 100.f * (1 - (float)at / FAKE_CELLS);
                q->order[at++] = i;
            }
    q->understood = mem_strdup("plasma cell; B cell; genes MS4A1");
    q->warning = mem_strdup("");
    *out = q;
    return OK;
}

void quality_free(Quality *q)
{
    if (!q)
        return;
    free(q->prompt);
    free(q->shuffled_prompt);
    free(q->nearest_types[0]);
    free(q->nearest_types[1]);
    free(q->high);
    free(q->low);
    free(q);
}

void generated_free(Generated *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->counts.rows; i++)
        free(g->nearest_label[i]);
    for (size_t i = 0; i < g->n_genes; i++)
        free(g->genes[i]);
    csr_done(&g->counts);
    free(g->genes);
    free(g->nearest_label);
    free(g->prompt);
    free(g->understood);
    free(g->x_scmmgpt);
    free(g->xy);
    quality_free(g->quality);
    free(g);
}

Err session_generate(Session *s, const GenerateParams *p, const Map *map, JobCtl *ctl,
                     Generated **out)
{
    if (!strcmp(p->prompt, "nonsense"))
        FAIL(ERR_NOT_FOUND, "no type matches with confidence");
    Generated *g = mem_must(sizeof *g);
    Rng r = rng_make(p->seed, 2);
    assert_ok(csr_init(&g->counts, p->n, 1, p->n));
    for (size_t i = 0; i < p->n; i++) {
        g->counts.values[i] = 1;
        g->counts.indices[i] = 0;
        g->counts.indptr[i + 1] = (int64_t)i + 1;
    }
    g->prompt = mem_strdup(p->prompt);
    g->seed = p->seed;
    g->understood = mem_strdup("plasma cell");
    g->n_genes = 1;
    g->genes = mem_must(sizeof *g->genes);
    g->genes[0] = mem_strdup("MS4A1");
    g->nearest_label = mem_must((p->n + 1) * sizeof *g->nearest_label);
    g->xy = mem_must((2 * p->n + 1) * sizeof *g->xy);
    for (size_t i = 0; i < p->n; i++) {
        g->nearest_label[i] = mem_strdup("plasma cell");
        g->xy[2 * i] = (float)(1 + rng_uniform(&r));
        g->xy[2 * i + 1] = (float)(7 + rng_uniform(&r));
    }
    Quality *q = g->quality = mem_must(sizeof *q);
    *q = (Quality){.n = p->n,
                   .knn_acc = {{0.91, 0.92, 0.93, 0.90}, {0.08, 0.08, 0.09, 0.08}},
                   .mmd = {0.021, 0.310},
                   .emd = {3.1, 11.8},
                   .mmd_real = 0.012,
                   .emd_real = 2.4,
                   .sparsity = 0.93,
                   .sparsity_real = 0.932,
                   .counts_median = 4012,
                   .counts_median_real = 3930,
                   .genes_median = 1204,
                   .genes_median_real = 1187,
                   .diversity = 0.94};
    q->prompt = mem_strdup(p->prompt);
    q->shuffled_prompt = mem_strdup("cells plasma");
    q->nearest_types[0] = mem_strdup("plasma cell 93%, B cell 6%");
    q->nearest_types[1] = mem_strdup("T cell 61%, monocyte 22%");
    q->high = mem_strdup("IGKC JCHAIN MZB1 XBP1 SDC1");
    q->low = mem_strdup("CD3E LYZ");
    *out = g;
    return OK;
}

PlotParams plot_params_default(void)
{
    return (PlotParams){.size = "85mm", .dpi = 300};
}

Err session_chart(Session *s, const ChartParams *c, const PlotParams *p, JobCtl *ctl)
{
    snprintf(fake.last_plot, sizeof fake.last_plot, "%s kind %d, %zu colours", p->output,
             (int)c->kind, p->n_colors);
    return OK;
}

Err session_plot(Session *s, const PlotParams *p, JobCtl *ctl)
{
    fake.plots++;
    char made[32] = "";
    if (p->generated)
        snprintf(made, sizeof made, " generated %llu", (unsigned long long)p->generated->seed);
    snprintf(fake.last_plot, sizeof fake.last_plot, "%s%s%s%s%s%s", p->output,
             p->values       ? " values"
             : p->groups     ? " groups"
             : p->n_colors   ? " color "
                             : "",
             p->n_colors ? p->colors[0] : "", p->query ? " query" : "", made, p->rule ? " of " : "");
    if (p->rule)
        strncat(fake.last_plot, p->rule, sizeof fake.last_plot - strlen(fake.last_plot) - 1);
    return OK;
}
