/* Cells in words. The label comes from the annotation (model, markers, neighbours); the decoder
 * writes the text, beginning with that label, and may name only telling genes that the cell
 * expresses (a set: at least a quarter of its cells). Where it slips into another type's facts it is
 * led back (telling.h). Afterwards every symbol in the text is checked against the counts once more,
 * so that what is reported does not rest on the decoder's word. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/rows.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/session/reference.h"
#include "core/session/telling.h"
#include "core/train/describe_text.h"

enum { SET_CELLS = 1000 }; /* larger sets are sampled */
static const double OFTEN = 0.25;

DescribeParams describe_params_default(void)
{
    return (DescribeParams){.decoding = DECODE_GREEDY, .beams = 5, .temperature = 1};
}

void description_free(Description *d)
{
    if (!d)
        return;
    for (size_t i = 0; d->markers_named && i < d->n_markers; i++)
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

typedef struct Work {
    Session *s;
    ModelState *m;
    const DescribeParams *p;
    JobCtl *ctl;
    const size_t *cells; /* [n] ascending */
    size_t n;
    uint8_t *expressed; /* [model genes] */
    uint8_t *columns;   /* [file columns] the same for every column */
    Description *d;
} Work;

/* ---- what is expressed ---- */

static Err find_expressed(Work *w)
{
    size_t n_cols = w->m->map.n_file;
    Rows rows = rows_of_dataset(w->s->dataset, w->m->matrix, false);
    Csr x = {0};
    uint32_t *count = NULL;
    Err err = OK;
    rows.pick = w->cells;
    rows.n = w->n;
    TRY_GOTO(NEW0(w->expressed, model_desc(w->m->model)->genes));
    TRY_GOTO(NEW0(w->columns, n_cols));
    TRY_GOTO(NEW0(count, n_cols));
    TRY_GOTO(rows_gather(&rows, NULL, 0, w->ctl, &x));
    for (size_t k = 0; k < csr_nnz(&x); k++)
        count[x.indices[k]] += x.values[k] > 0;
    double least = w->n == 1 ? 1 : OFTEN * (double)w->n;
    for (size_t c = 0; c < n_cols; c++) {
        w->columns[c] = count[c] > 0 && count[c] >= least;
        if (w->columns[c] && w->m->map.gene[c] >= 0)
            w->expressed[w->m->map.gene[c]] = 1;
    }
done:
    csr_done(&x);
    free(count);
    return err;
}

/* ---- the label ---- */

static void take_label(Work *w, const Annotation *a, size_t row)
{
    Description *d = w->d;
    int32_t first = a->label[row], second = a->second[row];
    d->label = mem_strdup(first < 0 ? "" : a->labels[first]);
    d->label_id = mem_strdup(first < 0 ? "" : a->label_ids[first]);
    d->second = mem_strdup(second < 0 ? "" : a->labels[second]);
    d->probability = a->probability[row];
    d->second_probability = second < 0 ? 0 : a->second_probability[row];
    d->unknown = a->unknown[row];
    d->evidence = mem_strdup(a->evidence ? a->evidence[row] : "");
    d->missing_markers = mem_strdup(a->missing_markers ? a->missing_markers[row] : "");
}

static Err label_of_cell(Work *w)
{
    const Annotation *a;
    TRY(reference_annotation(w->s, w->ctl, &a));
    take_label(w, a, w->cells[0]);
    return OK;
}

static Err label_of_set(Work *w, const Selection *set)
{
    char *name = (char *)"set";
    size_t size = set->n;
    uint32_t color = 0;
    Groups one = {.key = (char *)"set",
                  .n_cells = set->n_cells,
                  .n_groups = 1,
                  .names = &name,
                  .sizes = &size,
                  .colors = &color,
                  .computed = true};
    AnnotateParams p = annotate_params_default();
    Annotation *a;
    TRY(NEW(one.codes, set->n_cells));
    for (size_t i = 0; i < set->n_cells; i++)
        one.codes[i] = set->in[i] ? 0 : -1;
    Err err = session_annotate(w->s, &p, &one, w->ctl, &a);
    free(one.codes);
    TRY(err);
    take_label(w, a, 0);
    annotation_free(a);
    return OK;
}

/* ---- the text ---- */

static void name_decoding(Work *w, DescribeSpec *spec)
{
    Description *d = w->d;
    d->seed = w->p->seed;
    spec->seed = w->p->seed;
    spec->beams = 1;
    if (w->p->decoding == DECODE_BEAM) {
        spec->beams = w->p->beams;
        snprintf(d->decoding, sizeof d->decoding, "beams %d", w->p->beams);
    } else if (w->p->decoding == DECODE_SAMPLE) {
        spec->temperature = (float)w->p->temperature;
        snprintf(d->decoding, sizeof d->decoding, "temperature %g", w->p->temperature);
    } else {
        snprintf(d->decoding, sizeof d->decoding, "greedy");
    }
}

static void add_symbol(Description *d, const char *symbol, bool expressed)
{
    for (size_t i = 0; i < d->n_markers; i++)
        if (strcmp(d->markers_named[i], symbol) == 0)
            return;
    d->markers_named[d->n_markers] = mem_strdup(symbol);
    d->markers_expressed[d->n_markers++] = expressed;
}

static bool in_word(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

/* Every word of the text that is a gene's symbol, in order. The type's own name ("CD4 T cell") is
 * a name and claims no expression. */
static Err check_text(Work *w)
{
    Description *d = w->d;
    size_t len = strlen(d->text);
    const char *name = d->label[0] ? strstr(d->text, d->label) : NULL, *p = d->text;
    TRY(NEW0(d->markers_named, len / 2 + 1));
    TRY(NEW0(d->markers_expressed, len / 2 + 1));
    while (*p) {
        size_t n = 0;
        char word[64];
        while (in_word(p[n]))
            n++;
        size_t used = n;
        while (used && (p[used - 1] == '.' || p[used - 1] == '-'))
            used--; /* the end of a sentence */
        bool named = name && p >= name && p < name + strlen(d->label);
        if (used >= 2 && used < sizeof word && !named) {
            snprintf(word, sizeof word, "%.*s", (int)used, p);
            int32_t g = model_find_gene(w->m->model, word);
            if (g >= 0 && strcmp(model_gene_name(w->m->model, (size_t)g), word) == 0)
                add_symbol(d, word, w->expressed[g]);
        }
        p += n ? n : 1;
    }
    return OK;
}

/* Expressed genes without those that say little about a type (ribosomal, ...), if enough are left. */
static Err telling_genes(const Work *w, uint8_t **out)
{
    size_t n = model_desc(w->m->model)->genes, left = 0;
    TRY(NEW0(*out, n));
    for (size_t g = 0; g < n; g++)
        left += (*out)[g] = w->expressed[g] && !describe_dull_gene(model_gene_name(w->m->model, g));
    if (left < DESCRIBE_GENES)
        memcpy(*out, w->expressed, n);
    return OK;
}

static Err write_text(Work *w)
{
    Description *d = w->d;
    CellTokens tokens = {0};
    DescribeResult r = {0};
    size_t *rows = NULL;
    char *begin = NULL, *facts = NULL;
    uint8_t *telling = NULL;
    DescribeSpec spec = {.n_rows = w->n};
    int32_t type = celltypes_find_id(model_celltypes(w->m->model), d->label_id);
    Err err = OK;
    if (type >= 0) {
        const CellType *t = celltypes_at(model_celltypes(w->m->model), (size_t)type);
        int wording = d->unknown ? DESCRIBE_LIKELY : DESCRIBE_IS;
        begin = describe_begin(t, wording);
        facts = describe_facts(t, wording);
    }
    spec.begin = begin;
    TRY_GOTO(telling_genes(w, &telling));
    spec.allowed = telling;
    name_decoding(w, &spec);
    TRY_GOTO(model_state_tokens(w->s, w->m, w->cells, w->n, w->ctl, &tokens));
    TRY_GOTO(NEW(rows, w->n));
    for (size_t i = 0; i < w->n; i++)
        rows[i] = i;
    spec.cells = &tokens;
    spec.rows = rows;
    if (model_desc(w->m->model)->own_words)
        TRY_GOTO(model_describe(w->m->model, &spec, w->ctl, &r));
    else
        TRY_GOTO(telling_write(w->m->model, &spec, facts, w->ctl, &r, &d->corrected));
    d->text = mem_strdup(r.text);
    d->tokens = r.tokens;
    d->cancelled = r.cancelled;
    err = check_text(w);
done:
    describe_result_done(&r);
    cell_tokens_done(&tokens);
    free(rows);
    free(begin);
    free(facts);
    free(telling);
    return err;
}

static Err describe(Work *w, const Selection *set, const char *subject, Description **out)
{
    w->d = mem_must(sizeof *w->d);
    w->d->subject = mem_strdup(subject);
    Err err = model_state_embedded(w->s, w->ctl, &w->m); /* its errors are about the file or the model */
    if (err == OK) {
        err = set ? label_of_set(w, set) : label_of_cell(w);
        if (err == OK)
            err = find_expressed(w);
        if (err == OK)
            err = write_text(w);
        if (err != OK)
            err = err_context(err, "%s", subject);
    }
    free(w->expressed);
    free(w->columns);
    if (err != OK)
        description_free(w->d);
    else
        *out = w->d;
    return err;
}

Err session_describe_cell(Session *s, size_t cell, const DescribeParams *p, JobCtl *ctl,
                          Description **out)
{
    const char *const *names;
    if (!s->dataset || cell >= dataset_cells(s->dataset))
        FAIL(ERR_NOT_FOUND, "cell %zu: there is no such cell", cell);
    TRY(dataset_cell_names(s->dataset, &names));
    Work w = {.s = s, .p = p, .ctl = ctl, .cells = &cell, .n = 1};
    return describe(&w, NULL, names[cell], out);
}

static int by_number(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* Members of the set, a sample of large ones, ascending. */
static Err sample_of(const Selection *set, size_t **out, size_t *n)
{
    size_t *all, *order = NULL, k = 0;
    Rng r = rng_make(0, 78);
    TRY(NEW(all, set->n));
    for (size_t i = 0; i < set->n_cells; i++)
        if (set->in[i])
            all[k++] = i;
    *n = k < SET_CELLS ? k : SET_CELLS;
    if (k > SET_CELLS) {
        Err err = NEW(order, k);
        if (err != OK) {
            free(all);
            return err;
        }
        rng_permutation(&r, k, order);
        for (size_t i = 0; i < *n; i++)
            order[i] = all[order[i]];
        free(all);
        all = order;
        qsort(all, *n, sizeof *all, by_number);
    }
    *out = all;
    return OK;
}

Err session_describe_set(Session *s, const Selection *set, const char *name,
                         const DescribeParams *p, JobCtl *ctl, Description **out)
{
    if (!set->n)
        FAIL(ERR_NOT_FOUND, "%s: there are no cells in it", name);
    size_t *cells, n;
    TRY(sample_of(set, &cells, &n));
    Work w = {.s = s, .p = p, .ctl = ctl, .cells = cells, .n = n};
    Err err = describe(&w, set, name, out);
    free(cells);
    return err;
}
