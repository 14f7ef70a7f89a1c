/* Opening a run, its log and its checkpoints; the door to the stages. */
#include "core/train/run.h"
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/weights.h"
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_MAX = 16 << 20 };

Err run_number(const Run *r, const char *key, double lo, double hi, double *value)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(r->config, key);
    if (!v)
        return OK;
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= lo && v->valuedouble <= hi))
        FAIL(ERR_USAGE, "%s: \"%s\" is not a number from %g to %g", r->p->config, key, lo, hi);
    *value = v->valuedouble;
    return OK;
}

Err run_text(const Run *r, const char *key, const char **value)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(r->config, key);
    if (!cJSON_IsString(v))
        FAIL(ERR_USAGE, "%s: \"%s\" is missing", r->p->config, key);
    *value = v->valuestring;
    return OK;
}

AdamwParams run_adamw(const Run *r, int64_t steps, AdamwParams a)
{
    const struct {
        const char *key;
        float *v;
    } f[] = {{"lr", &a.lr},       {"beta1", &a.beta1},    {"beta2", &a.beta2},
             {"decay", &a.decay}, {"clip", &a.clip_norm}, {"lr_final", &a.final}};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(r->config, f[i].key);
        if (cJSON_IsNumber(v))
            *f[i].v = (float)v->valuedouble;
    }
    const cJSON *w = cJSON_GetObjectItemCaseSensitive(r->config, "warmup");
    if (cJSON_IsNumber(w))
        a.warmup = (int64_t)w->valuedouble;
    a.total = steps;
    return a;
}

char *run_path(const Run *r, const char *name)
{
    return str_format("%s/%s", r->out, name);
}

/* ---- several processes ---- */
bool run_leads(const Run *r)
{
    return r->ranks.rank == 0;
}
uint64_t run_own_seed(const Run *r)
{
    return (uint64_t)r->ranks.rank * 0x9e3779b97f4a7c15u;
}
Err run_update(Run *r, ParamSet *ps, const AdamwParams *a, int64_t step, double *norm)
{
    TRY(ranks_average_gradients(&r->ranks, ps));
    return adamw_step(ps, a, step, norm);
}
Err run_progress(Run *r, int64_t step, Err *stop)
{
    TRY(ranks_agree(&r->ranks, job_progress(r->ctl, (size_t)step), stop));
    r->stopped = *stop != OK;
    return OK;
}

static Err make_dir(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        FAIL(ERR_GENERAL, "%s: cannot be made: %s", path, strerror(errno));
    return OK;
}

/* ---- log ---- */
Err run_log_open(Run *r, const char *name, const char *const *columns, size_t n, bool append)
{
    r->started = clock_seconds();
    if (!run_leads(r))
        return OK;
    char *path = run_path(r, name);
    r->log = fopen(path, append ? "a" : "w");
    Err err =
        r->log ? OK : err_set(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    free(path);
    TRY(err);
    if (!append) {
        fputs("member\tstep\tlr\tcells_per_s\tseconds", r->log);
        for (size_t i = 0; i < n; i++)
            fprintf(r->log, "\t%s", columns[i]);
        fputc('\n', r->log);
    }
    return OK;
}

void run_log(Run *r, int64_t member, int64_t step, double lr, double per_second,
             const double *values, size_t n)
{
    if (!r->log)
        return;
    fprintf(r->log, "%lld\t%lld\t%.6g\t%.1f\t%.1f", (long long)member, (long long)step, lr,
            per_second, clock_seconds() - r->started);
    for (size_t i = 0; i < n; i++)
        fprintf(r->log, "\t%.6g", values[i]);
    fputc('\n', r->log);
    fflush(r->log);
}

/* ---- checkpoints ---- */
static void fingerprint(const Run *r, char hex[65])
{
    Str s = {0};
    str_add(&s, r->text);
    for (size_t i = 0; r->corpus && i < r->corpus->n_sets; i++)
        str_add(&s, r->corpus->set[i].sha256);
    if (r->data_identity)
        str_add(&s, r->data_identity);
    hash_sha256(str_text(&s), s.len, hex);
    str_free(&s);
}

static char *checkpoint_path(const char *dir, const char *name, const char *ext)
{
    return str_format("%s/checkpoint/%s.%s", dir, name, ext);
}

Err run_checkpoint_save(Run *r, const char *name, ParamSet *ps, cJSON *state)
{
    if (!run_leads(r))
        return OK;
    char *dir = run_path(r, "checkpoint"), *weights = checkpoint_path(r->out, name, "safetensors"),
         *json = checkpoint_path(r->out, name, "json"), hex[65];
    StWriter *w = st_writer_new();
    char *text = NULL;
    Err err = OK;
    fingerprint(r, hex);
    cJSON_DeleteItemFromObjectCaseSensitive(state, "run");
    cJSON_AddStringToObject(state, "run", hex);
    text = cJSON_PrintUnformatted(state);
    TRY_GOTO(make_dir(dir));
    TRY_GOTO(weights_save(ps, w, "", true));
    TRY_GOTO(weights_save_moments(ps, w, ""));
    st_writer_meta(w, "state", text);
    TRY_GOTO(st_writer_save(w, weights));
    err = bundle_write_text(json, text);
done:
    st_writer_free(w);
    free(text);
    free(dir);
    free(weights);
    free(json);
    return err;
}

Err run_checkpoint_load(Run *r, const char *name, ParamSet *ps, cJSON **state)
{
    *state = NULL;
    if (!r->p->resume)
        return OK;
    char *path = checkpoint_path(r->p->resume, name, "safetensors"), hex[65];
    StFile *f = NULL;
    cJSON *s = NULL;
    Err err = OK;
    if (access(path, R_OK) != 0)
        goto done;
    TRY_GOTO(st_open(path, &f));
    const char *text = st_meta(f, "state");
    s = text ? cJSON_Parse(text) : NULL;
    const cJSON *run = cJSON_GetObjectItemCaseSensitive(s, "run");
    fingerprint(r, hex);
    if (!cJSON_IsString(run))
        FAIL_GOTO(ERR_MODEL, "%s: not a checkpoint of this program", path);
    if (strcmp(run->valuestring, hex) != 0)
        FAIL_GOTO(ERR_MODEL, "%s: was made with another configuration or other data", path);
    TRY_GOTO(weights_load(ps, f, ""));
    TRY_GOTO(weights_load_moments(ps, f, ""));
    *state = s;
    s = NULL;
done:
    cJSON_Delete(s);
    st_close(f);
    free(path);
    return err;
}

void run_checkpoint_drop(Run *r, const char *name)
{
    if (!run_leads(r))
        return;
    const char *ext[] = {"safetensors", "json"};
    for (int i = 0; i < 2; i++) {
        char *path = checkpoint_path(r->out, name, ext[i]);
        unlink(path);
        free(path);
    }
    char *dir = run_path(r, "checkpoint");
    rmdir(dir); /* stays when other checkpoints are in it */
    free(dir);
}

/* ---- the run ---- */
/* "base": another configuration whose members hold where this one has none; relative to this file's
 * folder. */
static Err merge_base(Run *r)
{
    const cJSON *base = cJSON_GetObjectItemCaseSensitive(r->config, "base"), *e;
    if (!base)
        return OK;
    if (!cJSON_IsString(base))
        FAIL(ERR_USAGE, "%s: \"base\" is not a file name", r->p->config);
    const char *slash = strrchr(r->p->config, '/');
    char *path = str_format("%.*s%s", slash ? (int)(slash - r->p->config + 1) : 0, r->p->config,
                            base->valuestring);
    char *text = NULL;
    size_t len;
    Err err = str_read_file(path, CONFIG_MAX, ERR_USAGE, &text, &len);
    cJSON *o = err == OK ? cJSON_ParseWithLength(text, len) : NULL;
    if (err == OK && !cJSON_IsObject(o))
        err = err_set(ERR_USAGE, "%s: not a JSON object", path);
    cJSON_ArrayForEach(e, o)
    {
        if (!cJSON_GetObjectItemCaseSensitive(r->config, e->string))
            cJSON_AddItemToObject(r->config, e->string, cJSON_Duplicate(e, 1));
    }
    cJSON_Delete(o);
    free(text);
    free(path);
    free(r->text);
    r->text = cJSON_PrintUnformatted(r->config);
    return err;
}

static Err read_config(Run *r)
{
    size_t len;
    TRY(str_read_file(r->p->config, CONFIG_MAX, ERR_USAGE, &r->text, &len));
    r->config = cJSON_ParseWithLength(r->text, len);
    if (!cJSON_IsObject(r->config))
        FAIL(ERR_USAGE, "%s: not a JSON object", r->p->config);
    TRY(merge_base(r));
    const char *out = r->p->output ? r->p->output : r->p->resume;
    if (!out)
        TRY(run_text(r, "output", &out));
    r->out = mem_strdup(out);
    return OK;
}

static Err open_texts(Run *r)
{
    const char *types, *tower;
    TRY(run_text(r, "celltypes", &types));
    TRY(run_text(r, "text_tower", &tower));
    TRY(celltypes_load(types, &r->types));
    TRY(text_tower_open(tower, r->device, &r->tower));
    r->cache = textcache_new((size_t)text_tower_config(r->tower)->width);
    const char *const where[] = {r->out, tower};
    for (int i = 0; i < 2; i++) {
        char *path = bundle_path(where[i], "library.safetensors");
        Err err = access(path, R_OK) == 0 ? textcache_load(r->cache, path) : OK;
        free(path);
        TRY(err);
    }
    TRY(library_new(r->types, r->tower, r->cache, r->ctl, &r->library));
    if (!run_leads(r))
        return OK;
    char *path = run_path(r, "library.safetensors");
    Err err = textcache_save(r->cache, path, r->library->text, r->library->n);
    free(path);
    return err;
}

static Err execute(Run *r)
{
    TRY(read_config(r));
    const char *stage;
    TRY(run_text(r, "stage", &stage));
    static const struct {
        const char *name;
        Err (*train)(Run *);
        bool texts;
    } STAGES[] = {{"pretrain", train_pretrain, false},
                  {"1", train_stage1, true},
                  {"generator", train_generator, true},
                  {"2", train_decoder, true}};
    size_t n = sizeof STAGES / sizeof *STAGES, i = 0;
    while (i < n && strcmp(stage, STAGES[i].name) != 0)
        i++;
    if (i == n)
        FAIL(ERR_USAGE,
             "%s: \"stage\" is \"%s\"; it must be \"pretrain\", \"1\", \"generator\" or \"2\"",
             r->p->config, stage);
    TRY(ranks_open(&r->ranks));
    TRY(make_dir(r->out));
    TRY(device_open(r->p->device ? r->p->device : "auto", &r->device));
    if (STAGES[i].texts) {
        TRY(open_texts(r));
        TRY(corpus_open(r->config, r->p->data, r->types, r->ctl, &r->corpus));
    }
    return STAGES[i].train(r);
}

Err train_run(const TrainParams *p, JobCtl *ctl)
{
    Run r = {.p = p, .ctl = ctl};
    Err err = execute(&r);
    if (r.log)
        fclose(r.log);
    corpus_free(r.corpus);
    library_free(r.library);
    textcache_free(r.cache);
    text_tower_free(r.tower);
    celltypes_free(r.types);
    device_close(r.device);
    if (err == OK || r.stopped) /* else the launcher ends the others, which wait for us */
        ranks_close(&r.ranks);
    cJSON_Delete(r.config);
    free(r.text);
    free(r.out);
    return err;
}
