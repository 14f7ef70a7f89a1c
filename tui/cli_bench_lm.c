/* `scmmgpt bench --model BUNDLE` for a bundle with a published language model: how fast its weights
 * can be read, how long it takes to open, and tokens a second of a prompt and of decoding at each
 * number of threads, so that one can be chosen for each. */
#include "tui/cli_bench_lm.h"
#include "tui/cli_model.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/eval/bootstrap.h"
#include "core/model/json_read.h"
#include "core/model/lm_compare.h"
#include "core/model/parts.h"
#include "core/model/tokenizer.h"

enum { CONFIG_MAX = 16 << 20, CHUNK = 1 << 20, RUNS_MAX = 64, THREADS_MAX = 256 };

typedef struct LmBench {
    CliArgs *a;
    cJSON *parts;
    LmBenchSpec s;
    Parts p;
    int32_t *ids;
    size_t n; /* ids */
} LmBench;

bool cli_bench_lm_wanted(const char *dir)
{
    cJSON *o = NULL;
    char *path = dir ? str_format("%s/config.json", dir) : NULL;
    bool wanted = path && json_read_object(path, CONFIG_MAX, &o) == OK &&
                  cJSON_GetObjectItemCaseSensitive(o, "lm") != NULL;
    cJSON_Delete(o);
    free(path);
    return wanted;
}

static void tell(LmBench *b, const char *name, double value, const char *unit, int threads,
                 const char *what)
{
    cJSON *o = cJSON_GetObjectItemCaseSensitive(b->parts, name);
    if (!o) {
        o = cJSON_AddObjectToObject(b->parts, name);
        cJSON_AddNumberToObject(o, "value", value);
        cJSON_AddStringToObject(o, "unit", unit);
        cJSON_AddNumberToObject(o, "threads", threads);
        cJSON_AddStringToObject(o, "what", what);
        cJSON_AddObjectToObject(o, "by_threads");
    }
    char key[16];
    snprintf(key, sizeof key, "%d", threads);
    cJSON_AddNumberToObject(cJSON_GetObjectItemCaseSensitive(o, "by_threads"), key, value);
    if (value > cJSON_GetObjectItemCaseSensitive(o, "value")->valuedouble) {
        cJSON_SetNumberValue(cJSON_GetObjectItemCaseSensitive(o, "value"), value);
        cJSON_SetNumberValue(cJSON_GetObjectItemCaseSensitive(o, "threads"), threads);
    }
    if (!b->a->g->json)
        fprintf(b->a->out, "%s\t%.6g\t%s\t%d\t%s\n", name, value, unit, threads, what);
}

/* ---- reading ---- */
static uint64_t sum_chunk(const unsigned char *p, size_t n)
{
    uint64_t s[4] = {0};
    for (size_t i = 0; i + 64 <= n; i += 64) {
        uint64_t v[8];
        __builtin_prefetch(p + i + 4096);
        memcpy(v, p + i, sizeof v);
        for (int k = 0; k < 8; k++)
            s[k % 4] += v[k];
    }
    return s[0] + s[1] + s[2] + s[3];
}

/* GB/s at which all threads together can read the mapped weights; the second pass counts. */
static Err read_speed(LmBench *b, const char *path, double *out)
{
    StFile *f;
    TRY(st_open(path, &f));
    const unsigned char *from = NULL, *to = NULL;
    for (size_t i = 0; i < st_count(f); i++) {
        const unsigned char *p = st_at(f, i)->data;
        from = !from || p < from ? p : from;
        to = !to || p + st_at(f, i)->bytes > to ? p + st_at(f, i)->bytes : to;
    }
    size_t n = from ? (size_t)(to - from) / CHUNK : 0;
    volatile uint64_t keep = 0;
    double t = 0;
    for (int pass = 0; pass < 3; pass++) {
        uint64_t sum = 0;
        double start = clock_seconds();
#pragma omp parallel for schedule(dynamic, 1) reduction(+ : sum)
        for (size_t i = 0; i < n; i++)
            sum += sum_chunk(from + i * CHUNK, CHUNK);
        double spent = clock_seconds() - start;
        t = pass == 0 || (pass > 1 && t < spent) ? t : spent;
        keep += sum;
    }
    st_close(f);
    *out = n && t > 0 ? (double)n * CHUNK / t / 1e9 : 0;
    return OK;
}

/* ---- writing ---- */
typedef struct Clock {
    double first, last;
    size_t n;
} Clock;

static void on_token(void *user, int32_t id)
{
    Clock *c = user;
    (void)id;
    c->last = clock_seconds();
    if (c->n++ == 0)
        c->first = c->last;
}

static Err run_once(LmBench *b, double *prompt, double *decode)
{
    Clock c = {0};
    LmResult r;
    LmDecode how = {
        .max_new = (int)b->s.new, .beams = 1, .top_p = 1, .on_token = on_token, .user = &c};
    double start = clock_seconds();
    TRY(lm_generate(b->p.lm, b->ids, b->s.prompt, &how, b->a->ctl, &r));
    lm_result_done(&r);
    *prompt = (double)b->s.prompt / (c.first - start);
    *decode = c.n > 1 ? (double)(c.n - 1) / (c.last - c.first) : 0;
    return OK;
}

static Err at_threads(LmBench *b, int threads)
{
    double prompt[RUNS_MAX], decode[RUNS_MAX];
    char what[128];
    omp_set_num_threads(threads);
    for (size_t i = 0; i < b->s.runs; i++)
        TRY(run_once(b, &prompt[i], &decode[i]));
    double d = median_of(decode, b->s.runs);
    snprintf(what, sizeof what, "%zu tokens read at once", b->s.prompt);
    tell(b, "lm_prompt", median_of(prompt, b->s.runs), "tokens/s", threads, what);
    snprintf(what, sizeof what, "tokens written one by one; the weights at %.1f GB/s",
             d * (double)lm_bytes(b->p.lm) / 1e9);
    tell(b, "lm_decode", d, "tokens/s", threads, what);
    return OK;
}

static Err random_ids(LmBench *b)
{
    Rng r = rng_make(1, 0);
    b->n = b->s.prompt;
    TRY(NEW(b->ids, b->n));
    for (size_t i = 0; i < b->n; i++)
        b->ids[i] = (int32_t)rng_below(&r, (uint64_t)b->p.c.l.vocab);
    return OK;
}

static Err measure(LmBench *b, const char *dir, Device *d, int threads)
{
    double speed, start;
    char *path = str_format("%s/lm.safetensors", dir);
    Err err = read_speed(b, path, &speed);
    free(path);
    TRY(err);
    tell(b, "memory", speed, "GB/s", threads, "reading the mapped weights");
    start = clock_seconds();
    TRY(parts_open(dir, d, false, true, b->a->ctl, &b->p));
    tell(b, "lm_load", clock_seconds() - start, "s", threads, "opening the language model");
    TRY(random_ids(b));
    LmResult warm;
    TRY(lm_generate(b->p.lm, b->ids, b->s.prompt < 8 ? b->s.prompt : 8,
                    &(LmDecode){.max_new = 2, .beams = 1, .top_p = 1}, b->a->ctl, &warm));
    lm_result_done(&warm);
    for (int t = threads; t >= 1; t = t > 4 ? t / 2 : t - 1)
        TRY(at_threads(b, t));
    return OK;
}

/* ---- comparing ---- */
static Err text_ids(LmBench *b, const char *dir)
{
    Tokenizer *t;
    char *text;
    size_t len;
    TRY(str_read_file(b->s.text, (size_t)1 << 28, ERR_INPUT, &text, &len));
    Err err = tokenizer_open_bundle(dir, "lm", &t);
    if (err == OK) {
        err = tokenizer_encode(t, text, len, true, &b->ids, &b->n);
        tokenizer_free(t);
    }
    free(text);
    if (err == OK && b->n < 2)
        FAIL(ERR_INPUT, "%s: too short to compare on", b->s.text);
    return err;
}

static Err compare(LmBench *b, const char *dir, Device *d)
{
    Parts ref = {0};
    LmDifference x;
    TRY(parts_open(dir, d, false, true, b->a->ctl, &b->p));
    TRY(parts_open(b->s.against, d, false, true, b->a->ctl, &ref));
    Err err = ref.lm ? OK : err_set(ERR_MODEL, "%s: has no language model", b->s.against);
    if (err == OK)
        err = b->s.text ? text_ids(b, dir) : random_ids(b);
    if (err == OK)
        err = lm_compare(b->p.lm, ref.lm, b->ids, (int64_t)b->n, b->a->ctl, &x);
    parts_done(&ref);
    TRY(err);
    int t = omp_get_max_threads();
    tell(b, "lm_logit_error", x.logits, "spread", t,
         "rms difference of logits over their rms spread");
    tell(b, "lm_logit_worst", x.worst, "spread", t, "the largest one");
    tell(b, "lm_divergence", x.divergence, "nats", t, "mean Kullback-Leibler divergence");
    tell(b, "lm_agreement", x.agreement, "share", t, "positions with the same most likely token");
    tell(b, "lm_perplexity", x.perplexity, "", t, b->s.text ? b->s.text : "random tokens");
    tell(b, "lm_perplexity_against", x.exact, "", t, b->s.against);
    return OK;
}

Err cli_bench_lm(CliArgs *a, const char *dir, const LmBenchSpec *spec)
{
    LmBench b = {.a = a, .s = *spec};
    Device *d = NULL;
    int threads = omp_get_max_threads() < THREADS_MAX ? omp_get_max_threads() : THREADS_MAX;
    cJSON *out = cJSON_CreateObject();
    b.parts = cJSON_AddObjectToObject(out, "parts");
    a->file = dir;
    Err err = device_open("cpu", &d);
    if (!a->g->json)
        fprintf(a->out, "part\tvalue\tunit\tthreads\twhat\n");
    if (err == OK)
        err = spec->against ? compare(&b, dir, d) : measure(&b, dir, d, threads);
    omp_set_num_threads(threads);
    if (err == OK && a->g->json)
        err = cli_print_json(a, out);
    free(b.ids);
    parts_done(&b.p);
    if (d)
        device_close(d);
    cJSON_Delete(out);
    return err;
}
