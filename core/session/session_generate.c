/* Pseudo-cells from words: prompt -> types and genes (prompt.h) -> anchors and emphasis (aim.h) ->
 * counts (model_generate) -> what the new cells are, by the program's own annotation, where they lie
 * on the file's map, and how they compare with its real cells, beside a shuffled prompt. Of the
 * file, generation uses gene names and, for the size of the new cells, library sizes; no expression
 * value of it goes in. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/project.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/session/aim.h"
#include "core/session/quality.h"

typedef struct Work {
    Session *s;
    const GenerateParams *p;
    JobCtl *ctl;
    ModelState *m;
    PromptMatch *match;
    Aim aim;
    GeneMap genes;
    const Reference *real; /* NULL: a session without cells */
    Generated *out;
} Work;

void generated_free(Generated *g)
{
    if (!g)
        return;
    for (size_t i = 0; g->nearest_label && i < g->counts.rows; i++)
        free(g->nearest_label[i]);
    for (size_t i = 0; g->genes && i < g->n_genes; i++)
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

/* ---- genes ---- */

static Err copy_names(Work *w, const char *const *names, size_t n)
{
    TRY(NEW0(w->out->genes, n));
    w->out->n_genes = n;
    for (size_t i = 0; i < n; i++)
        w->out->genes[i] = mem_strdup(names ? names[i] : model_gene_name(w->m->model, i));
    return OK;
}

/* Names only, never values. */
static Err names_of_file(Work *w, const char *path)
{
    Dataset *d;
    const char *const *names;
    size_t n;
    TRY(dataset_open(path, &w->s->params.dataset, w->ctl, &d));
    int matrix = dataset_working_matrix(d);
    if (matrix < 0 && dataset_n_matrices(d))
        matrix = 0;
    Err err = matrix < 0 ? err_set(ERR_INPUT, "X: there is no matrix whose genes could be used")
                         : dataset_gene_names(d, matrix, &names, &n);
    if (err == OK)
        err = copy_names(w, names, n);
    dataset_close(d);
    return err == OK ? OK : err_context(err, "%s", path);
}

static Err choose_genes(Work *w)
{
    enum { FEWEST = 50 };
    if (w->p->genes_from) {
        TRY(names_of_file(w, w->p->genes_from));
    } else if (w->s->dataset) {
        TRY(model_state_genes(w->s, w->ctl, &w->m));
        TRY(copy_names(w, w->m->names, w->m->map.n_file));
    } else {
        TRY(copy_names(w, NULL, model_desc(w->m->model)->genes));
    }
    return model_map_genes(w->m->model, (const char *const *)w->out->genes, w->out->n_genes, FEWEST,
                           &w->genes);
}

/* ---- cells ---- */

static Err draw(Work *w, const Aim *aim, const char *prompt, size_t n, const GeneMap *genes,
                Csr *counts)
{
    GenerateSpec spec = {.weights = aim->weights,
                         .prompt = prompt,
                         .genes = genes,
                         .n = n,
                         .seed = w->p->seed,
                         .emphasis = aim->emphasis};
    if (w->real)
        aim_size(aim, w->real, model_celltypes(w->m->model), &spec.log_size_mean,
                 &spec.log_size_sd);
    return model_generate(w->m->model, &spec, w->ctl, counts, NULL);
}

/* What the new cells are, by the same annotation that real cells get, as a file of their own. */
static Err look_at(Work *w)
{
    Generated *g = w->out;
    Session *own = NULL;
    Dataset *d = NULL;
    Csr copy = {0};
    Annotation *a = NULL;
    CellEmbedding *e = NULL;
    SessionParams p = w->s->params;
    AnnotateParams ap = annotate_params_default();
    size_t *all = NULL, n = g->counts.rows;
    Err err = OK;
    ap.refine = 0; /* smoothing over cells of one prompt would only repeat the majority */
    TRY_GOTO(NEW(all, n));
    for (size_t i = 0; i < n; i++)
        all[i] = i;
    TRY_GOTO(csr_take_rows(&g->counts, all, n, &copy));
    TRY_GOTO(dataset_from_memory("generated", &copy, (const char *const *)g->genes, NULL, &d));
    TRY_GOTO(session_open_empty(&p, &own));
    own->dataset = d;
    d = NULL;
    model_state_share(w->s, own);
    TRY_GOTO(session_annotate(own, &ap, NULL, w->ctl, &a));
    TRY_GOTO(session_cell_embedding(own, w->ctl, &e));
    TRY_GOTO(NEW0(g->nearest_label, n));
    for (size_t i = 0; i < n; i++)
        g->nearest_label[i] = mem_strdup(a->label[i] < 0 ? "" : a->labels[a->label[i]]);
    g->d = e->d_text;
    g->x_scmmgpt = e->x_scmmgpt;
    e->x_scmmgpt = NULL;
done:
    annotation_free(a);
    cell_embedding_free(e);
    session_close(own);
    dataset_close(d);
    csr_done(&copy);
    free(all);
    return err;
}

/* The cells in the columns of the session's file, by model gene. */
static Err in_file_columns(const Work *w, const Csr *x, Csr *out)
{
    const ModelState *m = w->m;
    Csr t;
    size_t n = 0;
    int32_t *to;
    TRY(NEW(to, x->cols));
    for (size_t c = 0; c < x->cols; c++)
        to[c] = w->genes.gene[c] < 0 ? -1 : m->column_of[w->genes.gene[c]];
    Err err = csr_init(&t, x->rows, m->map.n_file, csr_nnz(x));
    if (err != OK) {
        free(to);
        return err;
    }
    float *row = NULL;
    err = NEW0(row, m->map.n_file);
    for (size_t i = 0; err == OK && i < x->rows; i++) {
        for (int64_t k = x->indptr[i]; k < x->indptr[i + 1]; k++)
            if (to[x->indices[k]] >= 0)
                row[to[x->indices[k]]] = x->values[k];
        for (size_t c = 0; c < m->map.n_file; c++)
            if (row[c] > 0) {
                t.indices[n] = (int32_t)c;
                t.values[n++] = row[c];
                row[c] = 0;
            }
        t.indptr[i + 1] = (int64_t)n;
    }
    free(row);
    free(to);
    if (err != OK)
        csr_done(&t);
    else
        *out = t;
    return err;
}

/* ---- the control ---- */

static bool kin(const CellTypes *t, const Aim *a, int32_t type)
{
    for (size_t i = 0; i < a->n_types; i++)
        if (celltypes_related(t, a->types[i], type))
            return true;
    return false;
}

/* A text of the library, drawn by seed, for a type that has nothing to do with the prompt's. */
static Err draw_other_prompt(Work *w, PromptMatch **match, Aim *aim)
{
    enum { TRIES = 50, OWN_WORDS = 2 };
    const CellTypes *t = model_celltypes(w->m->model);
    const LibraryVectors *l;
    Rng r = rng_make(w->p->seed, 4242);
    TRY(model_library(w->m->model, w->ctl, &l));
    for (int i = 0; i < TRIES; i++) {
        size_t k = (size_t)rng_below(&r, l->n_texts);
        int32_t type = l->text_type[k];
        PromptMatch *p = NULL;
        if (l->text_kind[k] != OWN_WORDS || !l->trained[type] || kin(t, &w->aim, type))
            continue;
        Err err = prompt_match(w->s, l->text_string[k], w->ctl, &p);
        if (err == ERR_NOT_FOUND)
            continue;
        TRY(err);
        bool other = p->n_types > 0;
        for (size_t j = 0; j < p->n_types; j++)
            other &= !kin(t, &w->aim, p->type[j]);
        err = other ? aim_new(w->m, p, w->ctl, aim) : ERR_NOT_FOUND;
        if (err == OK) {
            *match = p;
            return OK;
        }
        prompt_match_free(p);
        if (err != ERR_NOT_FOUND)
            return err;
    }
    *match = NULL;
    return OK;
}

static Err judge(Work *w)
{
    enum { CONTROL = 200 };
    Generated *g = w->out;
    PromptMatch *other = NULL;
    Aim aim = {0};
    Csr cells[2] = {{0}, {0}}, raw = {0};
    QualityInput in = {.real = w->real,
                       .types = w->aim.types,
                       .n_types = w->aim.n_types,
                       .cells = {&cells[0], NULL},
                       .seed = w->p->seed};
    Err err = OK;
    TRY_GOTO(in_file_columns(w, &g->counts, &cells[0]));
    TRY_GOTO(draw_other_prompt(w, &other, &aim));
    if (other) {
        TRY_GOTO(draw(w, &aim, other->text, w->p->n < CONTROL ? w->p->n : CONTROL, &w->genes,
                      &raw));
        TRY_GOTO(in_file_columns(w, &raw, &cells[1]));
        in.cells[1] = &cells[1];
    }
    TRY_GOTO(quality_measure(w->m, &in, w->ctl, &g->quality));
    g->quality->prompt = mem_strdup(w->p->prompt);
    g->quality->shuffled_prompt = mem_strdup(other ? other->text : "");
done:
    csr_done(&cells[0]);
    csr_done(&cells[1]);
    csr_done(&raw);
    aim_done(&aim);
    prompt_match_free(other);
    return err;
}

static Err place_on(Work *w, const Map *map)
{
    const Reference *r = w->real;
    Generated *g = w->out;
    size_t d = r->space.pca.k;
    float *xy = NULL, *x = NULL;
    Csr cells = {0};
    ProjectParams p = project_params_default();
    Device *device;
    Err err = OK;
    p.seed = w->p->seed;
    TRY_GOTO(NEW(xy, r->n * 2));
    for (size_t i = 0; i < r->n; i++)
        memcpy(xy + 2 * i, map->xy + 2 * r->cells[i], 2 * sizeof *xy);
    TRY_GOTO(in_file_columns(w, &g->counts, &cells));
    TRY_GOTO(NEW(x, cells.rows * d));
    TRY_GOTO(expr_space_project(&r->space, &cells, w->ctl, x));
    TRY_GOTO(NEW(g->xy, cells.rows * 2));
    TRY_GOTO(session_device(w->s, &device));
    err = project_cells(device, r->x, r->n, xy, x, cells.rows, d, &p, w->ctl, g->xy);
done:
    csr_done(&cells);
    free(x);
    free(xy);
    return err;
}

static Err run(Work *w, const Map *map)
{
    Session *s = w->s;
    TRY(model_state(s, w->ctl, &w->m));
    TRY(prompt_match(s, w->p->prompt, w->ctl, &w->match));
    TRY(aim_new(w->m, w->match, w->ctl, &w->aim));
    w->out->prompt = mem_strdup(w->p->prompt);
    w->out->understood = mem_strdup(w->match->understood);
    w->out->seed = w->p->seed;
    TRY(choose_genes(w));
    if (s->dataset) {
        TRY(reference_get(s, w->p->label_key, w->ctl, &w->real));
        TRY(model_state_embedded(s, w->ctl, &w->m));
    }
    TRY(draw(w, &w->aim, w->p->prompt, w->p->n, &w->genes, &w->out->counts));
    if (!w->p->place_only)
        TRY(look_at(w));
    if (w->real && !w->p->place_only)
        TRY(judge(w));
    if (w->real && map)
        TRY(place_on(w, map));
    return OK;
}

Err session_generate(Session *s, const GenerateParams *p, const Map *map, JobCtl *ctl,
                     Generated **out)
{
    Work w = {.s = s, .p = p, .ctl = ctl, .out = mem_must(sizeof(Generated))};
    if (!p->n) {
        generated_free(w.out);
        FAIL(ERR_USAGE, "generate: the number of cells must be at least 1");
    }
    Err err = run(&w, map);
    prompt_match_free(w.match);
    aim_done(&w.aim);
    gene_map_done(&w.genes);
    if (err != OK)
        generated_free(w.out);
    else
        *out = w.out;
    return err;
}
