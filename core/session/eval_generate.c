/* Generated cells against the real cells of the type that each prompt means, in 30 principal
 * components of the real cells; beside training cells of the type drawn again (told the type), the
 * file's mean profile, and other prompts. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/session/eval_generate.h"

static const char TASK[] = "generate", OWN[] = "generate",
                  RESAMPLED[] = "training cells drawn again (told the type)",
                  MEAN[] = "mean profile of the file", SHUFFLED[] = "shuffled prompts",
                  REAL[] = "real against real";
enum { N_K = 4, TOP_GENES = 50 };
static const size_t KS[N_K] = {3, 5, 10, 25};

/* ---- prompts ---- */

static Err read_prompts(EvalWork *w, Gen *g)
{
    char *text, *save = NULL;
    Err err = OK;
    size_t lines = 1;
    TRY(str_read_file(w->p->generate_prompts, 1 << 20, ERR_INPUT, &text, NULL));
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    TRY_GOTO(NEW0(g->prompt, lines));
    for (char *l = strtok_r(text, "\r\n", &save); l; l = strtok_r(NULL, "\r\n", &save)) {
        char *tab = strchr(l, '\t');
        int32_t class = -1;
        if (l[0] == '#')
            continue;
        if (!tab || !tab[1])
            FAIL_GOTO(ERR_INPUT, "%s: '%s' is not of the form 'plain name TAB prompt'",
                      w->p->generate_prompts, l);
        *tab = 0;
        for (size_t c = 0; c < w->k; c++)
            if (strcmp(w->name[c], l) == 0)
                class = (int32_t)c;
        if (class < 0)
            report_note(w->r, TASK, "prompt '%s' is left out: no cell is called '%s'", tab + 1, l);
        else
            g->prompt[g->n++] = (GenPrompt){mem_strdup(tab + 1), class};
    }
    if (g->n == 0)
        FAIL_GOTO(ERR_INPUT, "%s: no prompt for a label of this file", w->p->generate_prompts);
done:
    free(text);
    return err;
}

static Err find_prompts(EvalWork *w, Gen *g)
{
    if (w->p->generate_prompts)
        return read_prompts(w, g);
    TRY(NEW0(g->prompt, w->k));
    for (size_t c = 0; c < w->k; c++)
        g->prompt[g->n++] = (GenPrompt){mem_strdup(w->name[c]), (int32_t)c};
    return OK;
}

/* ---- the real side ---- */

static void gen_done(EvalWork *w, Gen *g)
{
    Real *r = &g->real;
    for (size_t i = 0; i < g->n; i++)
        free(g->prompt[i].text);
    free(g->prompt);
    expr_space_done(&r->space);
    free(r->x);
    for (size_t c = 0; c < w->k; c++) {
        if (r->cells)
            free(r->cells[c]);
        if (r->xs)
            free(r->xs[c]);
        if (r->mean)
            free(r->mean[c]);
    }
    free(r->cells);
    free(r->n);
    free(r->xs);
    free(r->mean);
}

static Err real_class(EvalWork *w, Real *r, size_t c)
{
    TRY(NEW(r->cells[c], w->n));
    for (size_t i = 0; i < w->n; i++)
        if (w->truth[i] == (int32_t)c)
            r->cells[c][r->n[c]++] = i;
    TRY(NEW(r->xs[c], r->n[c] * r->d));
    for (size_t i = 0; i < r->n[c]; i++)
        memcpy(r->xs[c] + i * r->d, r->x + r->cells[c][i] * r->d, r->d * sizeof *r->x);
    TRY(NEW(r->mean[c], w->counts.cols));
    return expr_mean_log(&w->counts, r->cells[c], r->n[c], r->mean[c]);
}

static Err real_side(EvalWork *w, Real *r)
{
    TRY(eval_counts(w));
    if (w->lognorm)
        FAIL(ERR_FEW_GENES, "the file has no counts: generated counts cannot be compared with it");
    TRY(expr_space_fit(&w->counts, EXPR_GENES, EXPR_PCS, w->p->seed, w->ctl, &r->space));
    r->d = r->space.pca.k;
    TRY(NEW(r->x, w->n * r->d));
    TRY(expr_space_project(&r->space, &w->counts, w->ctl, r->x));
    TRY(expr_median_distance(r->x, w->n, r->d, w->p->seed, &r->bandwidth));
    TRY(expr_summary(&w->counts, &r->all));
    TRY(NEW0(r->cells, w->k));
    TRY(NEW0(r->n, w->k));
    TRY(NEW0(r->xs, w->k));
    TRY(NEW0(r->mean, w->k));
    for (size_t c = 0; c < w->k; c++)
        TRY(real_class(w, r, c));
    return OK;
}

/* ---- measuring one source of cells ---- */

typedef struct PerPrompt {
    double *v[N_K +
              6]; /* knn..., mmd, emd, diversity, counts ratio, genes ratio, top genes; [n] each */
} PerPrompt;
static const char *const MEASURES[N_K + 6] = {
    "knn_acc.3", "knn_acc.5", "knn_acc.10",           "knn_acc.25",          "mmd",
    "emd",       "diversity", "counts_ratio_in_type", "genes_ratio_in_type", "top_genes"};

static Err median_ratios(EvalWork *w, const Real *r, const Csr *made, int32_t class, double *counts,
                         double *genes)
{
    Csr own = {0};
    ExprSummary a, b;
    TRY(csr_take_rows(&w->counts, r->cells[class], r->n[class], &own));
    Err err = expr_summary(&own, &a);
    if (err == OK)
        err = expr_summary(made, &b);
    csr_done(&own);
    TRY(err);
    *counts = b.counts_median / a.counts_median;
    *genes = b.genes_median / a.genes_median;
    return OK;
}

static Err top_genes(EvalWork *w, const Real *r, const Csr *made, int32_t class, double *share)
{
    double *mean;
    TRY(NEW(mean, w->counts.cols));
    Err err = expr_mean_log(made, NULL, 0, mean);
    if (err == OK)
        err = expr_top_overlap(mean, r->mean[class], w->counts.cols, TOP_GENES, share);
    free(mean);
    return err;
}

static Err rows_of(const Csr *m, size_t at, size_t n, Csr *out)
{
    size_t *rows;
    TRY(NEW(rows, n));
    for (size_t i = 0; i < n; i++)
        rows[i] = at + i;
    Err err = csr_take_rows(m, rows, n, out);
    free(rows);
    return err;
}

static Err measure_prompt(EvalWork *w, const Real *r, const Batch *b, size_t i, const float *x,
                          const int32_t *vote, PerPrompt *p)
{
    int32_t class = b->class[i];
    size_t per = b->per, at = i * per, total = b->n * per;
    const float *own = x + at * r->d;
    Csr made = {0};
    for (size_t k = 0; k < N_K; k++) {
        double right = 0;
        for (size_t j = 0; j < per; j++)
            right += vote[k * total + at + j] == class;
        p->v[k][i] = right / (double)per;
    }
    p->v[N_K][i] = expr_mmd(own, per, r->xs[class], r->n[class], r->d, r->bandwidth);
    TRY(expr_emd(own, per, r->xs[class], r->n[class], r->d, EXPR_DIRECTIONS, w->p->seed,
                 &p->v[N_K + 1][i]));
    p->v[N_K + 2][i] = expr_spread(own, per, r->d) / expr_spread(r->xs[class], r->n[class], r->d);
    TRY(rows_of(&b->counts, at, per, &made));
    Err err = median_ratios(w, r, &made, class, &p->v[N_K + 3][i], &p->v[N_K + 4][i]);
    if (err == OK)
        err = top_genes(w, r, &made, class, &p->v[N_K + 5][i]);
    csr_done(&made);
    return err;
}

/* All measures of a batch, a prompt being one observation; those refused are missing, except that
 * k-NN counts 0. */
static Err measure_batch(EvalWork *w, const Real *r, const Batch *b, ReportKind kind,
                         const char *name)
{
    size_t total = b->n * b->per;
    float *x = NULL;
    int32_t *vote = NULL;
    double *block = NULL;
    PerPrompt p;
    Err err = OK;
    TRY_GOTO(NEW(x, total * r->d));
    TRY_GOTO(NEW(vote, N_K * total));
    TRY_GOTO(NEW(block, (N_K + 6) * b->n));
    for (size_t m = 0; m < N_K + 6; m++)
        p.v[m] = block + m * b->n;
    TRY_GOTO(expr_space_project(&r->space, &b->counts, w->ctl, x));
    TRY_GOTO(expr_knn_vote(r->x, w->truth, w->n, w->k, x, total, r->d, KS, N_K, w->ctl, vote));
    for (size_t i = 0; i < b->n; i++) {
        if (b->there[i])
            TRY_GOTO(measure_prompt(w, r, b, i, x, vote, &p));
        for (size_t m = 0; !b->there[i] && m < N_K + 6; m++)
            p.v[m][i] = m < N_K ? 0 : NAN;
    }
    for (size_t m = 0; m < N_K + 6; m++) {
        Estimate e;
        TRY_GOTO(bootstrap_mean(p.v[m], b->n, NULL, 0, w->p->seed, &e));
        report_add(w->r, TASK, kind, name, MEASURES[m], e);
    }
done:
    free(x);
    free(vote);
    free(block);
    return err;
}

/* ---- what the program generates ---- */

static Err generate_all(EvalWork *w, const Gen *g, Batch *b)
{
    size_t refused = 0;
    for (size_t i = 0; i < g->n; i++) {
        GenerateParams p = {.prompt = g->prompt[i].text, .n = b->per, .seed = w->p->seed + i};
        Generated *made = NULL;
        Err err = session_generate(w->s, &p, NULL, w->ctl, &made);
        refused += err == ERR_NOT_FOUND;
        if (err != OK && err != ERR_NOT_FOUND)
            return err;
        if (made && (made->counts.cols != b->counts.cols || made->counts.rows != b->per))
            err = err_set(ERR_GENERAL, "generated cells are %zu x %zu, %zu x %zu were asked for",
                          made->counts.rows, made->counts.cols, b->per, b->counts.cols);
        else
            err = gen_batch_add(b, i, made ? &made->counts : NULL);
        generated_free(made);
        TRY(err);
    }
    report_add_plain(w->r, TASK, REPORT_MODEL, OWN, "refused", (double)refused / (double)g->n,
                     g->n);
    return OK;
}

/* ---- controls ---- */

/* Every prompt judged as if another type's had been asked: prompts are permuted until no type meets
 * itself. */
static Err shuffle_classes(EvalWork *w, const Gen *g, int32_t *class)
{
    size_t *order;
    Rng r = rng_make(w->p->seed, 77);
    TRY(NEW(order, g->n));
    rng_permutation(&r, g->n, order);
    for (size_t i = 0; i < g->n; i++)
        for (size_t j = 0; j < g->n && g->prompt[order[i]].class == g->prompt[i].class; j++)
            if (g->prompt[order[j]].class != g->prompt[i].class &&
                g->prompt[order[i]].class != g->prompt[j].class) {
                size_t t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
    for (size_t i = 0; i < g->n; i++)
        class[i] = g->prompt[order[i]].class;
    free(order);
    return OK;
}

/* The two halves of each class against each other: what MMD and EMD are when nothing differs but
 * the cells. */
static Err real_halves(EvalWork *w, const Real *r)
{
    double *mmd, *emd = NULL;
    Estimate e;
    Err err = OK;
    TRY(NEW(mmd, w->k));
    TRY_GOTO(NEW(emd, w->k));
    for (size_t c = 0; c < w->k; c++) {
        size_t half = r->n[c] / 2;
        mmd[c] =
            expr_mmd(r->xs[c], half, r->xs[c] + half * r->d, r->n[c] - half, r->d, r->bandwidth);
        emd[c] = NAN;
        if (half > 1)
            TRY_GOTO(expr_emd(r->xs[c], half, r->xs[c] + half * r->d, r->n[c] - half, r->d,
                              EXPR_DIRECTIONS, w->p->seed, &emd[c]));
    }
    TRY_GOTO(bootstrap_mean(mmd, w->k, NULL, 0, w->p->seed, &e));
    report_add(w->r, TASK, REPORT_CONTROL, REAL, "mmd", e);
    TRY_GOTO(bootstrap_mean(emd, w->k, NULL, 0, w->p->seed, &e));
    report_add(w->r, TASK, REPORT_CONTROL, REAL, "emd", e);
done:
    free(mmd);
    free(emd);
    return err;
}

static Err add_summary(EvalWork *w, const Real *r, const Batch *b)
{
    ExprSummary made;
    Csr present = {0};
    size_t *rows = NULL, n = 0;
    Err err = OK;
    TRY_GOTO(NEW(rows, b->n * b->per));
    for (size_t i = 0; i < b->n * b->per; i++)
        if (b->there[i / b->per])
            rows[n++] = i;
    TRY_GOTO(csr_take_rows(&b->counts, rows, n, &present));
    TRY_GOTO(expr_summary(&present, &made));
    const struct {
        const char *name;
        double made, real;
    } v[] = {{"counts_median", made.counts_median, r->all.counts_median},
             {"genes_median", made.genes_median, r->all.genes_median},
             {"sparsity", made.sparsity, r->all.sparsity},
             {"integer_counts", made.integer, r->all.integer}};
    for (size_t i = 0; i < 4; i++) {
        report_add_plain(w->r, TASK, REPORT_MODEL, OWN, v[i].name, v[i].made, made.cells);
        report_add_plain(w->r, TASK, REPORT_CONTROL, "real cells", v[i].name, v[i].real, w->n);
    }
    report_add_plain(w->r, TASK, REPORT_MODEL, OWN, "counts_median_ratio",
                     made.counts_median / r->all.counts_median, made.cells);
    report_add_plain(w->r, TASK, REPORT_MODEL, OWN, "genes_median_ratio",
                     made.genes_median / r->all.genes_median, made.cells);
done:
    free(rows);
    csr_done(&present);
    return err;
}

static Err add_copies(EvalWork *w, const GeneMatch *match, const Batch *b)
{
    size_t copies = 0, found;
    int32_t *to;
    TRY(NEW(to, b->counts.cols));
    Err err = OK;
    for (size_t s = 0; s < w->n_references && err == OK; s++) {
        for (size_t c = 0; c < b->counts.cols; c++)
            to[c] = -1;
        for (size_t c = 0; c < w->reference[s].counts.cols; c++)
            if (match[s].to[c] >= 0)
                to[match[s].to[c]] = (int32_t)c;
        err = expr_copies(&b->counts, &w->reference[s].counts, to, &found);
        copies += err == OK ? found : 0;
    }
    free(to);
    TRY(err);
    report_add_plain(w->r, TASK, REPORT_MODEL, OWN, "training_cells_copied", (double)copies,
                     b->n * b->per);
    return OK;
}

static Err with_references(EvalWork *w, const Gen *g, const Batch *own)
{
    GeneMatch *match;
    Batch b = {0};
    Err err = OK;
    TRY(eval_references(w));
    TRY(NEW0(match, w->n_references));
    for (size_t s = 0; s < w->n_references; s++)
        TRY_GOTO(gene_match(w->reference[s].genes, NULL, w->reference[s].counts.cols, w->genes,
                            w->counts.cols, &match[s]));
    TRY_GOTO(add_copies(w, match, own));
    TRY_GOTO(gen_batch_new(g, own->per, w->counts.cols, &b));
    TRY_GOTO(gen_resample(w, g, match, &b));
    TRY_GOTO(measure_batch(w, &g->real, &b, REPORT_BASELINE, RESAMPLED));
done:
    for (size_t s = 0; s < w->n_references; s++)
        gene_match_done(&match[s]);
    free(match);
    gen_batch_done(&b);
    return err;
}

static Err run(EvalWork *w, Gen *g, Batch *own, Batch *mean)
{
    TRY(find_prompts(w, g));
    TRY(real_side(w, &g->real));
    TRY(gen_batch_new(g, w->p->generate_cells, w->counts.cols, own));
    TRY(generate_all(w, g, own));
    TRY(measure_batch(w, &g->real, own, REPORT_MODEL, OWN));
    TRY(add_summary(w, &g->real, own));
    TRY(gen_batch_new(g, own->per, w->counts.cols, mean));
    TRY(gen_mean_profile(w, g, mean));
    TRY(measure_batch(w, &g->real, mean, REPORT_BASELINE, MEAN));
    TRY(real_halves(w, &g->real));
    if (w->p->n_references)
        TRY(with_references(w, g, own));
    if (w->k > 1) {
        TRY(shuffle_classes(w, g, own->class));
        TRY(measure_batch(w, &g->real, own, REPORT_CONTROL, SHUFFLED));
    }
    report_note(w->r, TASK,
                "%zu prompts of %zu cells; a prompt is one observation of the intervals; space: "
                "log1p of counts per "
                "10,000, %d variable genes, %zu components of the real cells",
                g->n, own->per, EXPR_GENES, g->real.d);
    report_note(w->r, TASK,
                "mmd: unbiased squared MMD to the real cells of the type, Gaussian kernel of the "
                "real cells' median "
                "distance (%.4g); emd: 1-Wasserstein over %d random directions; diversity: spread "
                "within the prompt "
                "over that within the real type; top_genes: share of the type's %d highest genes",
                g->real.bandwidth, EXPR_DIRECTIONS, TOP_GENES);
    return OK;
}

Err eval_generate(EvalWork *w)
{
    Gen g = {0};
    Batch own = {0}, mean = {0};
    Err err = run(w, &g, &own, &mean);
    gen_batch_done(&own);
    gen_batch_done(&mean);
    gen_done(w, &g);
    return err;
}
