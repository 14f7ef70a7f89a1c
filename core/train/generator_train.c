/* Training of the generator: evidence lower bound with the multinomial likelihood of a cell's
 * counts over the genes of its own panel, so that files with few genes teach what they can and the
 * rest comes from the others. Afterwards the anchors: mean and covariance of z over the training
 * cells of each (set, type, tissue). */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/celldecoder.h"
#include "core/train/run.h"
#include <lapacke.h>
#include <math.h>
#include <string.h>
#include <time.h>

enum { FULL_CELLS = 30, AVERAGE_DRAWS = 25, TERMS = 4 };

typedef struct Gen {
    Run *r;
    double steps, batch, seed, kl, kl_warm, genes, simulated, save_every;
    CellDecoderConfig c;
    CellDecoder dec;
    CellEncoder enc;
    Sampler *sampler;
    Tape *tape;
    int32_t *gene_of; /* [c.genes] model gene of each row, ascending */
    int32_t *row_of;  /* [G] row or -1 */
    DrawnCell cell;
    float *x, *target;
    uint8_t *mask;
    int32_t *source;
} Gen;

static Err read_options(Gen *g)
{
    g->steps = 400;
    g->batch = 96;
    g->kl = 1e-3;
    g->kl_warm = 150;
    g->genes = 10000;
    g->simulated = 0.4;
    g->save_every = 200;
    g->c = (CellDecoderConfig){.latent = 24, .hidden = 256, .width = 96};
    TRY(run_number(g->r, "steps", 1, 1e8, &g->steps));
    TRY(run_number(g->r, "batch", 2, 65536, &g->batch));
    TRY(run_number(g->r, "seed", 0, 9e15, &g->seed));
    TRY(run_number(g->r, "kl", 0, 100, &g->kl));
    TRY(run_number(g->r, "kl_warm", 1, 1e8, &g->kl_warm));
    TRY(run_number(g->r, "genes", 100, 1e6, &g->genes));
    TRY(run_number(g->r, "simulated", 0, 1, &g->simulated));
    TRY(run_number(g->r, "save_every", 1, 1e8, &g->save_every));
    double latent = 24, hidden = 256, width = 96;
    TRY(run_number(g->r, "latent", 1, 4096, &latent));
    TRY(run_number(g->r, "hidden", 1, 65536, &hidden));
    TRY(run_number(g->r, "width", 1, 4096, &width));
    g->c.latent = (int64_t)latent;
    g->c.hidden = (int64_t)hidden;
    g->c.width = (int64_t)width;
    return OK;
}

typedef struct Ranked {
    float score;
    int32_t gene;
} Ranked;

static int by_score(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->gene - y->gene;
}

static int by_gene(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* The genes with the largest mean + sd of x over types. */
static Err choose_genes(Gen *g)
{
    const GeneSpace *s = g->r->corpus->genes;
    size_t n = s->n < (size_t)g->genes ? s->n : (size_t)g->genes;
    Ranked *r;
    TRY(NEW(r, s->n));
    for (size_t i = 0; i < s->n; i++)
        r[i] = (Ranked){s->mean[i] + s->sd[i], (int32_t)i};
    qsort(r, s->n, sizeof *r, by_score);
    Err err = NEW(g->gene_of, n);
    if (err == OK)
        err = NEW(g->row_of, s->n);
    if (err == OK) {
        for (size_t i = 0; i < n; i++)
            g->gene_of[i] = r[i].gene;
        qsort(g->gene_of, n, sizeof *g->gene_of, by_gene);
        for (size_t i = 0; i < s->n; i++)
            g->row_of[i] = -1;
        for (size_t i = 0; i < n; i++)
            g->row_of[g->gene_of[i]] = (int32_t)i;
        g->c.genes = (int64_t)n;
        g->c.sources = (int64_t)g->r->corpus->n_sets;
    }
    free(r);
    return err;
}

static Err start_shares(Gen *g)
{
    float *v;
    TRY(NEW(v, (size_t)g->c.genes));
    for (int64_t i = 0; i < g->c.genes; i++)
        v[i] = logf(g->r->corpus->genes->fraction[g->gene_of[i]] + 1e-7f);
    Err err = param_write(g->dec.ps, g->dec.log_share, v);
    free(v);
    return err;
}

/* Row i of the batch: input x, target shares over the panel, mask of genes the panel lacks. */
static void fill_row(Gen *g, size_t i)
{
    size_t n = (size_t)g->c.genes;
    const DrawnCell *d = &g->cell;
    const CorpusSet *set = &g->r->corpus->set[d->set];
    float *x = g->x + i * n, *t = g->target + i * n;
    double total = 0, inside = 0;
    memset(x, 0, n * sizeof *x);
    memset(t, 0, n * sizeof *t);
    for (size_t k = 0; k < d->n; k++) {
        total += d->count[k];
        inside += g->row_of[d->gene[k]] >= 0 ? d->count[k] : 0;
    }
    for (size_t k = 0; k < d->n; k++) {
        int32_t row = g->row_of[d->gene[k]];
        if (row < 0)
            continue;
        x[row] = log1pf((float)(1e4 * d->panel * d->count[k] / total));
        t[row] = (float)(d->count[k] / inside);
    }
    for (size_t k = 0; k < n; k++)
        g->mask[i * n + k] = !set->has[g->gene_of[k]];
    g->source[i] = d->set;
}

static double seconds(void)
{
    struct timespec x;
    clock_gettime(CLOCK_MONOTONIC, &x);
    return (double)x.tv_sec + 1e-9 * (double)x.tv_nsec;
}

static Err one_step(Gen *g, const AdamwParams *adam, int64_t step)
{
    double from = seconds(), log[TERMS];
    int64_t b = (int64_t)g->batch, n = g->c.genes;
    Rng r = rng_make((uint64_t)g->seed, (uint64_t)step);
    for (int64_t i = 0; i < b; i++) {
        do
            TRY(sampler_draw(g->sampler, &r, (double)i < g->simulated * g->batch, &g->cell));
        while (g->cell.n == 0);
        fill_row(g, (size_t)i);
    }
    tape_reset(g->tape);
    tape_set_seed(g->tape, (uint64_t)g->seed * 1000003u + (uint64_t)step);
    Tensor *mean, *logvar;
    cell_encoder_forward(g->tape, &g->enc, tape_input_f32(g->tape, g->x, 2, b, n), &mean, &logvar);
    Tensor *z = op_reparam(g->tape, mean, logvar);
    Tensor *logits =
        cell_decoder_forward(g->tape, &g->dec, z, tape_input_i32(g->tape, g->source, 1, b));
    CeSpec spec = {.mask = tape_input_u8(g->tape, g->mask, 2, b, n)};
    Tensor *term[2] = {
        op_cross_entropy_soft(g->tape, logits, tape_input_f32(g->tape, g->target, 2, b, n), &spec),
        op_kl(g->tape, mean, logvar)};
    double warm = (double)step / g->kl_warm;
    float weight[2] = {1, (float)(g->kl * (warm < 1 ? warm : 1))};
    Tensor *loss = op_weighted_sum(g->tape, 2, term, weight);
    TRY(tape_backward(g->tape, loss));
    float v[3];
    TRY(tensor_read(g->tape, loss, &v[0]));
    TRY(tensor_read(g->tape, term[0], &v[1]));
    TRY(tensor_read(g->tape, term[1], &v[2]));
    for (int i = 0; i < 3; i++)
        log[i] = v[i];
    TRY(adamw_step(g->dec.ps, adam, step, &log[3]));
    TRY(adamw_step(g->enc.ps, adam, step, NULL));
    run_log(g->r, 0, step, adamw_rate(adam, step), g->batch / (seconds() - from), log, TERMS);
    return OK;
}

static Err save_state(Gen *g, int64_t step)
{
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "step", (double)step);
    Err err = run_checkpoint_save(g->r, "generator-encoder", g->enc.ps, state);
    if (err == OK)
        err = run_checkpoint_save(g->r, "generator", g->dec.ps, state);
    cJSON_Delete(state);
    return err;
}

static Err train_networks(Gen *g)
{
    int64_t step = 0, steps = (int64_t)g->steps;
    cJSON *state, *other;
    TRY(run_checkpoint_load(g->r, "generator", g->dec.ps, &state));
    TRY(run_checkpoint_load(g->r, "generator-encoder", g->enc.ps, &other));
    if (state && other)
        step = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(state, "step"));
    else
        TRY(start_shares(g));
    cJSON_Delete(state);
    cJSON_Delete(other);
    AdamwParams adam = adamw_params_default();
    adam.lr = 3e-3f;
    adam.warmup = 20;
    adam.decay = 1e-4f;
    adam = run_adamw(g->r, steps, adam);
    job_stage(g->r->ctl, "training the generator", (size_t)steps);
    while (step < steps) {
        TRY(one_step(g, &adam, ++step));
        Err stop = job_progress(g->r->ctl, (size_t)step);
        if (stop != OK || step % (int64_t)g->save_every == 0 || step == steps) {
            TRY(save_state(g, step));
            if (stop != OK)
                return err_set(stop, "stopped after step %d; go on with --resume %s", (int)step,
                               g->r->out);
        }
    }
    return OK;
}

/* ---- anchors ---- */
typedef struct Moments { /* of z over the cells of one anchor */
    int32_t set, type, tissue;
    size_t n;
    double *sum, *sq; /* [d], [d,d] */
    double *noise;    /* [d] mean posterior variance */
} Moments;

typedef struct Anchors {
    Moments *a;
    size_t n;
    StrMap *at;
} Anchors;

static Err find_anchor(Gen *g, Anchors *l, const DrawnCell *d, Moments **out)
{
    char key[64];
    size_t z = (size_t)g->c.latent;
    snprintf(key, sizeof key, "%d %d %d", d->set, d->type, d->tissue);
    int64_t i = strmap_get(l->at, key, -1);
    if (i < 0) {
        TRY(mem_realloc(&l->a, l->n + 1, sizeof *l->a));
        i = (int64_t)l->n++;
        l->a[i] = (Moments){.set = d->set, .type = d->type, .tissue = d->tissue};
        TRY(NEW0(l->a[i].sum, z));
        TRY(NEW0(l->a[i].sq, z * z));
        TRY(NEW0(l->a[i].noise, z));
        strmap_put(l->at, key, i);
    }
    *out = &l->a[i];
    return OK;
}

/* Rows waiting in the batch buffers are encoded and added to their anchors. */
static Err flush(Gen *g, Anchors *l, size_t *pending, const int32_t *anchor)
{
    size_t z = (size_t)g->c.latent, b = *pending;
    if (!b)
        return OK;
    float *m, *v = NULL;
    TRY(NEW(m, b * z));
    Err err = NEW(v, b * z);
    tape_reset(g->tape);
    Tensor *mean, *logvar;
    cell_encoder_forward(g->tape, &g->enc, tape_input_f32(g->tape, g->x, 2, (int64_t)b, g->c.genes),
                         &mean, &logvar);
    if (err == OK)
        err = tensor_read(g->tape, mean, m);
    if (err == OK)
        err = tensor_read(g->tape, logvar, v);
    for (size_t i = 0; err == OK && i < b; i++) {
        Moments *a = &l->a[anchor[i]];
        a->n++;
        for (size_t p = 0; p < z; p++) {
            a->sum[p] += m[i * z + p];
            a->noise[p] += exp(v[i * z + p]);
            for (size_t q = 0; q < z; q++)
                a->sq[p * z + q] += (double)m[i * z + p] * m[i * z + q];
        }
    }
    free(m);
    free(v);
    *pending = 0;
    return err;
}

static Err collect(Gen *g, Anchors *l)
{
    const Corpus *c = g->r->corpus;
    int32_t *anchor;
    size_t pending = 0;
    TRY(NEW(anchor, (size_t)g->batch));
    Err err = OK;
    job_stage(g->r->ctl, "anchors", c->n);
    for (size_t i = 0; i < c->n; i++) {
        if (c->cell[i].held)
            continue;
        size_t draws = c->set[c->cell[i].set].averages ? AVERAGE_DRAWS : 1;
        for (size_t k = 0; k < draws; k++) {
            Rng r = rng_make((uint64_t)g->seed ^ 0x616e63686f72u, i * AVERAGE_DRAWS + k);
            Moments *a;
            if (draws == 1)
                TRY_GOTO(corpus_row(c, i, &g->cell));
            else
                TRY_GOTO(sampler_simulate(g->sampler, &r, i, &g->cell));
            if (g->cell.n == 0)
                continue;
            TRY_GOTO(find_anchor(g, l, &g->cell, &a));
            fill_row(g, pending);
            anchor[pending++] = (int32_t)(a - l->a);
            if (pending == (size_t)g->batch)
                TRY_GOTO(flush(g, l, &pending, anchor));
        }
        TRY_GOTO(job_progress(g->r->ctl, i));
    }
    err = flush(g, l, &pending, anchor);
done:
    free(anchor);
    return err;
}

/* mean[d] and the lower Cholesky factor [d,d] of the covariance; few cells: mostly its diagonal and
 * the pooled spread. */
static Err anchor_prior(const Moments *a, size_t z, const double *pooled, float *mean, float *chol)
{
    double *cov, n = (double)a->n;
    TRY(NEW(cov, z * z));
    double own = n / (n + FULL_CELLS); /* trust in the anchor's own covariance */
    for (size_t p = 0; p < z; p++)
        for (size_t q = 0; q < z; q++) {
            double c = a->sq[p * z + q] / n - a->sum[p] / n * a->sum[q] / n;
            c = own * c + (1 - own) * pooled[p * z + q];
            cov[p * z + q] = c + (p == q ? a->noise[p] / n + 1e-4 : 0);
        }
    int info = (int)LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', (lapack_int)z, cov, (lapack_int)z);
    for (size_t p = 0; p < z; p++) {
        mean[p] = (float)(a->sum[p] / n);
        for (size_t q = 0; q < z; q++)
            chol[p * z + q] = q <= p ? (float)cov[p * z + q] : 0;
    }
    free(cov);
    if (info != 0)
        FAIL(ERR_GENERAL, "an anchor's covariance is not positive");
    return OK;
}

/* Mean of the covariances within anchors. */
static Err pooled_covariance(const Anchors *l, size_t z, double **out)
{
    double *p, total = 0;
    TRY(NEW0(p, z * z));
    for (size_t i = 0; i < l->n; i++) {
        const Moments *a = &l->a[i];
        double n = (double)a->n;
        if (a->n < FULL_CELLS)
            continue;
        total++;
        for (size_t j = 0; j < z; j++)
            for (size_t k = 0; k < z; k++)
                p[j * z + k] += a->sq[j * z + k] / n - a->sum[j] / n * a->sum[k] / n;
    }
    for (size_t j = 0; total > 0 && j < z * z; j++)
        p[j] /= total;
    *out = p;
    return OK;
}

static cJSON *anchors_json(const Gen *g, const Anchors *l)
{
    const Corpus *c = g->r->corpus;
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < l->n; i++) {
        const Moments *a = &l->a[i];
        bool averages = c->set[a->set].averages;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "type", celltypes_at(g->r->types, (size_t)a->type)->id);
        cJSON_AddStringToObject(o, "tissue", c->tissue[a->tissue]);
        cJSON_AddNumberToObject(o, "source", a->set);
        cJSON_AddNumberToObject(o, "n", (double)(averages ? a->n / AVERAGE_DRAWS : a->n));
        cJSON_AddBoolToObject(o, "full", c->set[a->set].full);
        cJSON_AddBoolToObject(o, "averages", averages);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

/* The texts that anchors are found by besides the library's: "TYPE of the TISSUE". */
static Err anchor_texts(Gen *g, const Anchors *l)
{
    const char **text;
    float *v = NULL;
    TRY(NEW0(text, l->n));
    Err err = NEW(v, l->n * g->r->library->w);
    for (size_t i = 0; i < l->n; i++)
        text[i] = str_format("%s of the %s", celltypes_at(g->r->types, (size_t)l->a[i].type)->name,
                             g->r->corpus->tissue[l->a[i].tissue]);
    if (err == OK)
        err = textcache_embed(g->r->cache, g->r->tower, text, l->n, g->r->ctl, v);
    char *path = run_path(g->r, "anchors.safetensors");
    if (err == OK)
        err = textcache_save(g->r->cache, path, text, l->n);
    for (size_t i = 0; i < l->n; i++)
        free((char *)text[i]);
    free(path);
    free(text);
    free(v);
    return err;
}

static Err write_part(Gen *g, const Anchors *l)
{
    size_t z = (size_t)g->c.latent;
    float *mean = NULL, *chol = NULL;
    double *pooled = NULL;
    StWriter *w = st_writer_new();
    char *path = run_path(g->r, "generator.safetensors"), *json = run_path(g->r, "generator.json"),
         *text = NULL;
    cJSON *o = cell_decoder_config_write(&g->c), *names = cJSON_CreateArray();
    Err err = OK;
    TRY_GOTO(NEW(mean, l->n * z));
    TRY_GOTO(NEW(chol, l->n * z * z));
    TRY_GOTO(pooled_covariance(l, z, &pooled));
    for (size_t i = 0; i < l->n; i++)
        TRY_GOTO(anchor_prior(&l->a[i], z, pooled, mean + i * z, chol + i * z * z));
    TRY_GOTO(weights_save(g->dec.ps, w, "", false));
    TRY_GOTO(st_writer_add_f32(w, "anchor.mean", ST_F32, 2, (int64_t[]){(int64_t)l->n, (int64_t)z},
                               mean));
    TRY_GOTO(st_writer_add_f32(w, "anchor.spread", ST_F16, 3,
                               (int64_t[]){(int64_t)l->n, (int64_t)z, (int64_t)z}, chol));
    TRY_GOTO(st_writer_add(w, "gene", ST_I32, 1, &g->c.genes, g->gene_of));
    TRY_GOTO(st_writer_save(w, path));
    cJSON_AddItemToObject(o, "anchors", anchors_json(g, l));
    text = cJSON_PrintUnformatted(o);
    TRY_GOTO(bundle_write_text(json, text));
    err = anchor_texts(g, l);
done:
    cJSON_Delete(names);
    cJSON_Delete(o);
    st_writer_free(w);
    free(mean);
    free(chol);
    free(pooled);
    free(path);
    free(json);
    free(text);
    return err;
}

static Err make_anchors(Gen *g)
{
    Anchors l = {.at = strmap_new(512)};
    tape_set_recording(g->tape, false);
    Err err = collect(g, &l);
    if (err == OK)
        err = write_part(g, &l);
    if (err == OK)
        log_info("generator: %zu anchors, %lld genes", l.n, (long long)g->c.genes);
    for (size_t i = 0; i < l.n; i++) {
        free(l.a[i].sum);
        free(l.a[i].sq);
        free(l.a[i].noise);
    }
    free(l.a);
    strmap_free(l.at);
    return err;
}

static Err run(Gen *g)
{
    static const char *const COLUMNS[] = {"loss", "likelihood", "kl", "grad_norm"};
    Device *d = g->r->device;
    TRY(read_options(g));
    TRY(choose_genes(g));
    size_t cells = (size_t)g->batch, n = (size_t)g->c.genes;
    TRY(NEW(g->x, cells * n));
    TRY(NEW(g->target, cells * n));
    TRY(NEW(g->mask, cells * n));
    TRY(NEW(g->source, cells));
    TRY(cell_decoder_init(d, &g->c, (uint64_t)g->seed, &g->dec));
    TRY(cell_encoder_init(d, &g->c, (uint64_t)g->seed, &g->enc));
    TRY(sampler_new(g->r->corpus, &g->sampler));
    TRY(tape_new(d, true, &g->tape));
    TRY(run_log_open(g->r, "generator.log.tsv", COLUMNS, TERMS, g->r->p->resume != NULL));
    TRY(train_networks(g));
    TRY(make_anchors(g));
    run_checkpoint_drop(g->r, "generator");
    run_checkpoint_drop(g->r, "generator-encoder");
    return bundle_write_sums(g->r->out);
}

Err train_generator(Run *r)
{
    Gen g = {.r = r};
    Err err = run(&g);
    sampler_free(g.sampler);
    tape_free(g.tape);
    cell_decoder_done(&g.dec);
    cell_encoder_done(&g.enc);
    drawn_cell_done(&g.cell);
    free(g.gene_of);
    free(g.row_of);
    free(g.x);
    free(g.target);
    free(g.mask);
    free(g.source);
    return err;
}
