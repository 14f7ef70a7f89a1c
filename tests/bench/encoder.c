/* How fast the encoders run: `encoder cell [genes] [batch] [form]` is a scGPT of published size (12 layers,
 * 512 wide, 8 heads) with random weights, in each form of weights; `encoder text DIR FILE` embeds
 * the lines of FILE with the text tower of a bundle. OMP_NUM_THREADS sets the threads. Prints
 * "name value unit" lines for encoder.sh. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/model/bert.h"
#include "core/model/scgpt.h"

static Err forward(Tape *t, const Scgpt *s, const int32_t *gene, const float *value,
                   const int32_t *len, int64_t b, int64_t n, float *out)
{
    tape_reset(t);
    Tensor *h = scgpt_forward(t, s, tape_input_i32(t, gene, 2, b, n),
                              tape_input_f32(t, value, 2, b, n), tape_input_i32(t, len, 1, b));
    return tensor_read(t, op_take(t, h, 0), out);
}

/* Cells a second: the best of a few runs, as the peer is measured. spread: the shortest cell has a
 * tenth of the genes of the longest. */
static Err time_cells(Device *d, const Scgpt *s, int64_t b, int64_t n, bool spread, const char *name,
                      float *out)
{
    int32_t *gene, *len;
    float *value;
    Tape *t;
    TRY(NEW(gene, (size_t)(b * n)));
    TRY(NEW(len, (size_t)b));
    TRY(NEW(value, (size_t)(b * n)));
    for (int64_t i = 0; i < b * n; i++) {
        gene[i] = (int32_t)(i * 7919 % (s->c.vocab - 1));
        value[i] = (float)(i % 51);
    }
    for (int64_t i = 0; i < b; i++)
        len[i] = (int32_t)(spread ? n / 10 + (n - n / 10) * i / (b > 1 ? b - 1 : 1) : n);
    TRY(tape_new(d, false, &t));
    double best = 1e30, begin = clock_seconds();
    for (int run = 0; run < 2 || (run < 6 && clock_seconds() - begin < 5); run++) {
        double from = clock_seconds();
        TRY(forward(t, s, gene, value, len, b, n, out));
        double spent = clock_seconds() - from;
        if (run > 0 && spent < best) /* the first one makes room */
            best = spent;
    }
    printf("%s %.4g cells/s\n", name, (double)b / best);
    fflush(stdout);
    tape_free(t);
    free(gene);
    free(len);
    free(value);
    return OK;
}

/* only: the one form to measure, for a profiler; NULL: all. */
static Err bench_cells(int64_t n, int64_t b, const char *only)
{
    static const struct {
        WeightForm form;
        const char *name;
    } forms[] = {{WEIGHT_F32, "float32"}, {WEIGHT_BF16X3, "bf16x3"}, {WEIGHT_BF16, "bf16"}};
    ScgptConfig c = {.vocab = 2000, .width = 512, .layers = 12, .heads = 8, .ffn = 512};
    float *out[3];
    Device *d;
    ParamSet *ps;
    Scgpt s = {0};
    TRY(device_open("cpu", &d));
    TRY(params_new(d, &ps));
    TRY(scgpt_init(ps, "", &c, 1, &s));
    for (int i = 0; i < 3; i++) {
        TRY(NEW(out[i], (size_t)(b * c.width)));
        if (only && strcmp(only, forms[i].name) != 0)
            continue;
        params_unpack(ps);
        TRY(params_pack(ps, "transformer_encoder", forms[i].form));
        TRY(params_pack(ps, "value_encoder.linear2", forms[i].form));
        TRY(time_cells(d, &s, b, n, false, forms[i].name, out[i]));
        double worst = 0, size = 0;
        for (int64_t k = 0; k < b * c.width; k++) {
            worst = fmax(worst, fabs(out[i][k] - out[0][k]));
            size += out[0][k] * out[0][k];
        }
        if (i && !only)
            printf("%s-error %.2g of-unit\n", forms[i].name, worst / sqrt(size / (double)(b * c.width)));
    }
    for (int i = 0; i < 3 && !only; i += 2) {
        params_unpack(ps);
        TRY(params_pack(ps, "transformer_encoder", forms[i].form));
        TRY(params_pack(ps, "value_encoder.linear2", forms[i].form));
        TRY(time_cells(d, &s, b, n, true, i ? "bf16-mixed-lengths" : "mixed-lengths", out[0]));
    }
    for (int i = 0; i < 3; i++)
        free(out[i]);
    scgpt_done(&s);
    params_free(ps);
    device_close(d);
    return OK;
}

static Err bench_texts(const char *dir, const char *path)
{
    enum { MOST = 20000 };
    static char *line[MOST];
    size_t n = 0, room = 0;
    ssize_t length;
    FILE *f = fopen(path, "r");
    if (!f)
        FAIL(ERR_INPUT, "%s: cannot be opened", path);
    while (n < MOST && (length = getline(&line[n], &room, f)) > 0) {
        line[n][strcspn(line[n], "\n")] = 0;
        n++;
        room = 0;
    }
    fclose(f);
    Device *d;
    TextTower *t;
    float *out;
    TRY(device_open("cpu", &d));
    TRY(text_tower_open(dir, d, &t));
    TRY(NEW(out, n * (size_t)text_tower_config(t)->width));
    double begin = clock_seconds();
    TRY(text_tower_embed(t, (const char *const *)line, n, NULL, out));
    printf("texts %.4g sentences/s\n", (double)n / (clock_seconds() - begin));
    FILE *save = getenv("VECTORS") ? fopen(getenv("VECTORS"), "wb") : NULL;
    if (save) {
        fwrite(out, sizeof *out, n * (size_t)text_tower_config(t)->width, save);
        fclose(save);
    }
    free(out);
    for (size_t i = 0; i < n; i++)
        free(line[i]);
    text_tower_free(t);
    device_close(d);
    return OK;
}

int main(int argc, char **argv)
{
    Err err = OK;
    if (argc >= 2 && strcmp(argv[1], "cell") == 0)
        err = bench_cells(argc > 2 ? atol(argv[2]) : 600, argc > 3 ? atol(argv[3]) : 8,
                          argc > 4 ? argv[4] : NULL);
    else if (argc == 4 && strcmp(argv[1], "text") == 0)
        err = bench_texts(argv[2], argv[3]);
    else
        err = err_set(ERR_USAGE, "usage: encoder cell [GENES [BATCH [FORM]]] | text BUNDLE FILE");
    if (err != OK)
        fprintf(stderr, "encoder: %s\n", err_message());
    return err;
}
