/* Text to cell, training: a variational autoencoder over counts whose decoder the generator keeps,
 * then anchors. The encoder reads panel-aware log values of a cell; in `mask_share` of the cells
 * only the genes of another set's panel, so that the latent place of a cell does not depend on
 * which genes were measured (a blood cell of a small panel is then decoded to a whole
 * transcriptome). Likelihood: multinomial over the genes of the cell's own panel, per count.
 *
 * Anchors: mean and covariance of the posterior over a (set, type, tissue), plus a correction of
 * the decoder's mean expression, because a smooth decoder pulls rare types towards common ones. */
#include <math.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/train/generator_vae.h"

typedef struct Trainer {
    Run *r;
    Vae v;
    Sampler *sampler;
    Tape *tape;
    DrawnCell cell;
    float *x, *target; /* [batch,N] */
    uint8_t *outside;  /* [batch,N] 1: not in the cell's panel */
} Trainer;

static Err read_options(const Run *r, VaeOptions *o)
{
    *o = (VaeOptions){.steps = 700,
                      .batch = 96,
                      .seed = 0,
                      .genes = 14000,
                      .latent = 24,
                      .hidden = 256,
                      .embed = 96,
                      .simulated = 0.4,
                      .mask_share = 0.5,
                      .kl = 0.5,
                      .kl_warmup = 150,
                      .save_every = 200,
                      .dispersion = 2.5,
                      .widen = 1.5,
                      .shifts = 200,
                      .shrink = 20,
                      .size_mean = 7.74,
                      .size_sd = 0.4};
    TRY(run_number(r, "steps", 1, 1e8, &o->steps));
    TRY(run_number(r, "batch", 2, 65536, &o->batch));
    TRY(run_number(r, "seed", 0, 9e15, &o->seed));
    TRY(run_number(r, "genes", 100, 1e6, &o->genes));
    TRY(run_number(r, "latent", 1, 1024, &o->latent));
    TRY(run_number(r, "hidden", 1, 1024, &o->hidden));
    TRY(run_number(r, "embed", 1, 1024, &o->embed));
    TRY(run_number(r, "simulated", 0, 1, &o->simulated));
    TRY(run_number(r, "mask_share", 0, 1, &o->mask_share));
    TRY(run_number(r, "kl", 0, 1e3, &o->kl));
    TRY(run_number(r, "kl_warmup", 1, 1e8, &o->kl_warmup));
    TRY(run_number(r, "save_every", 1, 1e8, &o->save_every));
    TRY(run_number(r, "dispersion", 0, 1e6, &o->dispersion));
    TRY(run_number(r, "widen", 0, 10, &o->widen));
    TRY(run_number(r, "shifts", 0, 1e6, &o->shifts));
    TRY(run_number(r, "shrink", 0, 1e9, &o->shrink));
    TRY(run_number(r, "size_mean", 0, 20, &o->size_mean));
    return run_number(r, "size_sd", 0, 5, &o->size_sd);
}

/* Another set's panel to hide behind, or -1. */
static int draw_panel(const Trainer *t, Rng *r)
{
    const Corpus *c = t->r->corpus;
    int pick = -1;
    uint64_t n = 0;
    if (rng_uniform(r) >= t->v.o.mask_share)
        return -1;
    for (size_t s = 0; s < c->n_sets; s++)
        if (!c->set[s].full && rng_below(r, ++n) == 0)
            pick = (int)s;
    return pick;
}

static Err draw_batch(Trainer *t, Rng *r)
{
    size_t b = (size_t)t->v.o.batch, n = t->v.n;
    size_t simulated = (size_t)lround(t->v.o.simulated * t->v.o.batch);
    for (size_t i = 0; i < b; i++) {
        double total = 0;
        for (int tries = 0; tries < 100 && total <= 0; tries++) {
            TRY(sampler_draw(t->sampler, r, i < simulated, &t->cell));
            total = vae_fill(&t->v, &t->cell, draw_panel(t, r), t->x + i * n, t->target + i * n);
        }
        if (total <= 0)
            FAIL(ERR_INPUT, "the training cells express none of the generator's genes");
        const uint8_t *has = t->r->corpus->set[t->cell.set].has;
        for (size_t k = 0; k < n; k++)
            t->outside[i * n + k] = !has[t->v.gene[k]];
    }
    return OK;
}

/* loss[0] total, [1] nats a count, [2] KL of a cell. */
static Err train_step(Trainer *t, int64_t step, const AdamwParams *adam, double loss[4])
{
    const VaeOptions *o = &t->v.o;
    int64_t b = (int64_t)o->batch, n = (int64_t)t->v.n;
    Rng r = rng_make((uint64_t)o->seed + run_own_seed(t->r), 1000 + (uint64_t)step);
    TRY(draw_batch(t, &r));
    tape_reset(t->tape);
    tape_set_seed(t->tape, (uint64_t)o->seed * 1000003u + (uint64_t)step + run_own_seed(t->r));
    Tensor *mu, *logvar;
    vae_encode(t->tape, &t->v, tape_input_f32(t->tape, t->x, 2, b, n), &mu, &logvar);
    Tensor *logits = vae_decode(t->tape, &t->v, op_reparam(t->tape, mu, logvar));
    CeSpec spec = {.mask = tape_input_u8(t->tape, t->outside, 2, b, n)};
    Tensor *nll =
        op_cross_entropy_soft(t->tape, logits, tape_input_f32(t->tape, t->target, 2, b, n), &spec);
    Tensor *kl = op_kl(t->tape, mu, logvar), *parts[] = {nll, kl};
    double warm = step < o->kl_warmup ? (double)step / o->kl_warmup : 1;
    Tensor *sum = op_weighted_sum(t->tape, 2, parts, (float[]){1, (float)(warm * o->kl / 1000)});
    float v[3];
    TRY(tape_backward(t->tape, sum));
    TRY(tensor_read(t->tape, sum, &v[0]));
    TRY(tensor_read(t->tape, nll, &v[1]));
    TRY(tensor_read(t->tape, kl, &v[2]));
    for (int i = 0; i < 3; i++)
        loss[i] = v[i];
    return run_update(t->r, t->v.ps, adam, step, &loss[3]);
}

static Err save_state(Trainer *t, int64_t step)
{
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "step", (double)step);
    Err err = run_checkpoint_save(t->r, "generator", t->v.ps, state);
    cJSON_Delete(state);
    return err;
}

static Err train_steps(Trainer *t, int64_t first)
{
    int64_t steps = (int64_t)t->v.o.steps;
    AdamwParams defaults = adamw_params_default();
    defaults.lr = 3e-3f;
    defaults.decay = 1e-4f;
    defaults.clip_norm = 5;
    defaults.warmup = 30;
    AdamwParams adam = run_adamw(t->r, steps, defaults);
    job_stage(t->r->ctl, "training the generator", (size_t)steps);
    double started = clock_seconds();
    for (int64_t step = first + 1; step <= steps; step++) {
        double loss[4] = {0};
        TRY(train_step(t, step, &adam, loss));
        double done = (double)(step - first) * t->v.o.batch * t->r->ranks.size;
        if (step % 20 == 0 || step == steps)
            run_log(t->r, 0, step, adamw_rate(&adam, step), done / (clock_seconds() - started),
                    loss, 4);
        Err stop;
        TRY(run_progress(t->r, step, &stop));
        if (stop != OK || (step % (int64_t)t->v.o.save_every == 0 && step < steps))
            TRY(save_state(t, step));
        if (stop != OK)
            return err_set(stop, "stopped after step %lld; go on with --resume %s", (long long)step,
                           t->r->out);
    }
    return OK;
}

static Err record(Trainer *t, const Generator *g)
{
    cJSON *config, *o;
    TRY(bundle_read_config(t->r->out, true, &config));
    cJSON_DeleteItemFromObjectCaseSensitive(config, "generator");
    o = cJSON_AddObjectToObject(config, "generator");
    cJSON_AddNumberToObject(o, "steps", t->v.o.steps);
    cJSON_AddNumberToObject(o, "seed", t->v.o.seed);
    cJSON_AddNumberToObject(o, "genes", (double)g->genes);
    cJSON_AddNumberToObject(o, "anchors", (double)g->n_anchors);
    Err err = bundle_write_config(t->r->out, config);
    cJSON_Delete(config);
    if (err == OK)
        err = bundle_write_sums(t->r->out);
    return err;
}

static Err train_all(Trainer *t)
{
    static const char *const COLUMNS[] = {"loss", "nll", "kl", "grad_norm"};
    cJSON *state = NULL;
    Generator *g = NULL;
    size_t b, n;
    TRY(read_options(t->r, &t->v.o));
    TRY(vae_init(t->r, &t->v));
    b = (size_t)t->v.o.batch;
    n = t->v.n;
    TRY(NEW(t->x, b * n));
    TRY(NEW(t->target, b * n));
    TRY(NEW(t->outside, b * n));
    TRY(sampler_new(t->r->corpus, &t->sampler));
    TRY(tape_new(t->r->device, true, &t->tape));
    TRY(run_log_open(t->r, "generator_log.tsv", COLUMNS, 4, t->r->p->resume != NULL));
    TRY(run_checkpoint_load(t->r, "generator", t->v.ps, &state));
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(state, "step");
    int64_t first = cJSON_IsNumber(at) ? (int64_t)at->valuedouble : 0;
    cJSON_Delete(state);
    TRY(train_steps(t, first));
    if (!run_leads(t->r))
        return OK;
    TRY(vae_anchors(t->r, &t->v, t->sampler, t->tape, &g));
    Err err = generator_save(g, t->r->out);
    if (err == OK) {
        run_checkpoint_drop(t->r, "generator");
        err = record(t, g);
    }
    generator_free(g);
    return err;
}

Err train_generator(Run *r)
{
    Trainer t = {.r = r};
    Err err = train_all(&t);
    vae_done(&t.v);
    sampler_free(t.sampler);
    tape_free(t.tape);
    drawn_cell_done(&t.cell);
    free(t.x);
    free(t.target);
    free(t.outside);
    return err;
}
