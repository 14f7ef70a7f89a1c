/* Pre-training of the cell encoder: losses and gradients against torch (tests/ref/pretrain.py), the
 * stream of cells, and runs from files to a folder that `import --scgpt` and stage 1 read. */
#include "tests/util.h"
#include "tests/util_folder.h"
#include "tests/util_model.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/data/h5ad_write.h"
#include "core/model/ckpt.h"
#include "core/model/scgpt_heads.h"
#include "core/model/weights.h"
#include "core/train/cell_stream.h"
#include "core/train/start_encoder.h"
#include "core/train/train.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/model/pretrain.safetensors"
enum { B = 3, P = 5, G = 4, C = 8, GENES = 40, CELLS = 300, FILES = 3 };

/* Half of the genes have a level of their own, the others go up and down together: a hidden one can
 * be told from its name or from the others. Cell i of file k carries its number in gene 0. */
static void write_file(int k)
{
    Csr x;
    char name[32], gene_name[GENES][16], cell_name[CELLS][16];
    const char *genes[GENES], *cells[CELLS];
    size_t at = 0;
    assert_ok(csr_init(&x, CELLS, GENES, CELLS * GENES));
    for (size_t i = 0; i < CELLS; i++) {
        Rng r = rng_make(11 + (uint64_t)k, i);
        double program = rng_uniform(&r);
        snprintf(cell_name[i], sizeof cell_name[i], "c%zu", i);
        cells[i] = cell_name[i];
        for (int g = 0; g < GENES; g++) {
            double m = g == 0 ? 1000.0 * k + (double)i + 1 : g % 2 ? 1 + 80 * program : 1 + 2 * g;
            x.indices[at] = g;
            x.values[at++] = g == 0 ? (float)m : (float)rng_poisson(&r, m) + 1;
        }
        x.indptr[i + 1] = (int64_t)at;
    }
    for (int g = 0; g < GENES; g++) {
        snprintf(gene_name[g], sizeof gene_name[g], "PGENE%02d", g);
        genes[g] = gene_name[g];
    }
    H5adContent c = {
        .cells = CELLS, .genes = GENES, .x = &x, .cell_names = cells, .gene_names = genes};
    snprintf(name, sizeof name, "part%d.h5ad", k);
    char *path = in_folder(name);
    assert_ok(h5ad_write(path, &c, true, NULL));
    free(path);
    csr_done(&x);
}

#define SHAPE                                                                                      \
    "\"width\":16,\"heads\":2,\"ffn\":16,\"layers\":1,\"dropout\":0,\"tokens\":41,\"batch\":16,"   \
    "\"held_out\":0.1,\"warmup\":10,\"lr\":0.02,"

static int setup(void **state)
{
    if (folder_make(state))
        return -1;
    for (int k = 0; k < FILES; k++)
        write_file(k);
    write_text("gen.json",
               "{\"stage\":\"pretrain\",\"files\":[\"part*.h5ad\"]," SHAPE
               "\"steps\":180,\"recall_after\":20,\"valid_every\":180,\"save_every\":9}");
    write_text("mask.json",
               "{\"stage\":\"pretrain\",\"files\":[\"part0.h5ad\",\"part2.h5ad\"]," SHAPE
               "\"objective\":\"masked\",\"values\":\"lognorm\",\"steps\":150}");
    return 0;
}
/* ---- against torch ---- */
static void assert_near(const float *got, const float *want, size_t n, double tol)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabs((double)want[i]) > most ? fabs((double)want[i]) : most;
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tol * (most > 1 ? most : 1)))
            fail_msg("%zu: %.8g, expected %.8g", i, (double)got[i], (double)want[i]);
}

static Tensor *input(Tape *t, const StFile *f, const char *name, int64_t w)
{
    const StTensor *x = need(f, name);
    DType type = x->type == ST_F32 ? DTYPE_F32 : x->type == ST_I32 ? DTYPE_I32 : DTYPE_U8;
    return tape_input(t, type, x->data, TAPE_DIMS(2, B, w));
}
static float value_of(Tape *t, Tensor *x)
{
    float v;
    assert_ok(tensor_read(t, x, &v));
    return v;
}

static void losses_and_gradients_are_those_of_torch(void **state)
{
    (void)state;
    Device *d;
    Tape *t;
    ParamSet *ps;
    StFile *f;
    Scgpt enc = {0};
    ScgptHeads heads;
    ScgptConfig c = {.vocab = 20, .width = C, .layers = 2, .heads = 2, .ffn = 12};
    assert_ok(device_open("cpu", &d));
    assert_ok(tape_new(d, true, &t));
    assert_ok(params_new(d, &ps));
    assert_ok(scgpt_init(ps, "", &c, 0, &enc));
    assert_ok(scgpt_heads_init(ps, "", &c, 0, &heads));
    assert_ok(st_open(GOLDEN, &f));
    assert_ok(weights_load(ps, f, ""));

    float *masked = floats(f, "out.masked"), *gen = floats(f, "out.generative"), got[3];
    Tensor *gene = input(t, f, "in.gene", P), *target = input(t, f, "in.value", P);
    Tensor *x = scgpt_forward_masked(t, &enc, gene, input(t, f, "in.value_masked", P),
                                     &(AttnSpec){.key_mask = input(t, f, "in.there", P)});
    Tensor *weight = input(t, f, "in.weight_masked", P), *names = scgpt_gene_rows(t, &enc, gene);
    got[0] = value_of(t, op_mse(t, scgpt_decode_rows(t, &heads, x), target, weight));
    got[1] = value_of(
        t, op_mse(t, scgpt_decode_cell(t, &heads, op_take(t, x, 0), names), target, weight));
    assert_near(got, masked, 2, 1e-5);

    tape_reset(t);
    gene = input(t, f, "in.gene", P);
    Tensor *hidden = input(t, f, "in.hidden", G), *value = input(t, f, "in.value", P),
           *visible = input(t, f, "in.visible", P + G);
    target = input(t, f, "in.target", G);
    weight = input(t, f, "in.weight", G);
    ScgptHidden h = scgpt_forward_generative(t, &enc, &heads, gene, value, hidden, visible, NULL);
    Tensor *cell = op_take(t, h.known, 0), *loss[3];
    loss[0] = op_mse(t, scgpt_decode_rows(t, &heads, h.unknown), target, weight);
    loss[1] = op_mse(t, scgpt_decode_cell(t, &heads, cell, scgpt_gene_rows(t, &enc, hidden)),
                     target, weight);
    ScgptHidden again =
        scgpt_forward_generative(t, &enc, &heads, gene, value, hidden, visible, op_detach(t, cell));
    loss[2] = op_mse(t, scgpt_decode_rows(t, &heads, again.unknown), target, weight);
    Tensor *all = op_weighted_sum(t, 3, loss, (float[]){1, 1, 1});
    assert_ok(tape_backward(t, all));
    for (int i = 0; i < 3; i++)
        got[i] = value_of(t, loss[i]);
    assert_near(got, gen, 3, 1e-5);
    size_t gradients = 0;
    for (size_t i = 0; i < params_count(ps); i++) {
        Param *p = params_at(ps, i);
        char *name = str_format("grad.%s", p->name);
        if (st_find(f, name)) {
            size_t n = (size_t)tensor_size(&p->t);
            float *want = floats(f, name), *have = malloc(n * sizeof *have);
            assert_ok(param_read_grad(ps, p, have));
            assert_near(have, want, n, 1e-4);
            free(want);
            free(have);
            gradients++;
        }
        free(name);
    }
    assert_int_equal(gradients, 6);
    free(masked);
    free(gen);
    st_close(f);
    scgpt_done(&enc);
    params_free(ps);
    tape_free(t);
    device_close(d);
}

/* ---- the stream ---- */
static CellStream *open_all(void)
{
    static char *path[FILES];
    CellStream *s;
    for (int k = 0; k < FILES; k++) {
        char name[32];
        snprintf(name, sizeof name, "part%d.h5ad", k);
        free(path[k]);
        path[k] = in_folder(name);
    }
    CellStreamSpec spec = {
        .file = path, .n_files = FILES, .held_out = 0.1, .seed = 5, .values = {.kind = VALUES_RAW}};
    assert_ok(cell_stream_open(&spec, NULL, &s));
    return s;
}
static int number_of(const StreamCells *c, size_t i)
{
    return (int)c->value[c->first[i]] - 1; /* gene 0 is the first column */
}

static void every_epoch_gives_every_cell_once_in_another_order(void **state)
{
    (void)state;
    CellStream *s = open_all();
    size_t n = cell_stream_cells(s);
    StreamCells a = {0}, b = {0};
    uint8_t seen[FILES * 1000] = {0};
    int moved = 0;
    assert_int_equal(n + cell_stream_held_out(s), FILES * CELLS);
    assert_true(cell_stream_held_out(s) > 50 && cell_stream_held_out(s) < 140);
    assert_ok(cell_stream_read(s, 0, n, NULL, &a));
    assert_ok(cell_stream_read(s, n, n, NULL, &b));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a.first[i + 1] - a.first[i], GENES);
        seen[number_of(&a, i)] += 1;
        seen[number_of(&b, i)] += 16;
        moved += number_of(&a, i) != number_of(&b, i);
    }
    for (size_t i = 0; i < sizeof seen; i++)
        assert_true(seen[i] == 0 || seen[i] == 17);
    assert_true(moved > (int)n / 2);
    assert_ok(cell_stream_read_held_out(s, 1000, NULL, &b));
    assert_int_equal(b.n, cell_stream_held_out(s));
    for (size_t i = 0; i < b.n; i++)
        assert_int_equal(seen[number_of(&b, i)], 0);
    stream_cells_done(&a);
    stream_cells_done(&b);
    cell_stream_close(s);
}

static void a_position_gives_the_same_cells_whatever_was_read_before(void **state)
{
    (void)state;
    CellStream *s = open_all(), *u = open_all();
    StreamCells a = {0}, b = {0};
    assert_ok(cell_stream_read(s, 0, 700, NULL, &a));
    assert_ok(cell_stream_read(s, 1234, 20, NULL, &a));
    assert_ok(cell_stream_read(u, 1234, 20, NULL, &b));
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(number_of(&a, i), number_of(&b, i));
    stream_cells_done(&a);
    stream_cells_done(&b);
    cell_stream_close(s);
    cell_stream_close(u);
}

/* ---- runs ---- */
static double number_in(const char *file, const char *key)
{
    char *path = in_folder(file), *text;
    assert_ok(str_read_file(path, 1 << 20, ERR_GENERAL, &text, NULL));
    cJSON *o = cJSON_Parse(text);
    double v = cJSON_GetNumberValue(cJSON_GetObjectItem(o, key));
    cJSON_Delete(o);
    free(text);
    free(path);
    return v;
}
static void stop_at_22(void *user, const char *stage, size_t done, size_t total)
{
    (void)total;
    if (stage && strcmp(stage, "pre-training") == 0 && done == 22)
        atomic_store(&((JobCtl *)user)->cancel, ERR_TERMINATED);
}

static void hidden_genes_are_told_from_the_others(void **state)
{
    (void)state;
    assert_ok(train("gen.json", "gen", NULL, NULL));
    double mse = number_in("gen/args.json", "held_out_mse"),
           mean = number_in("gen/args.json", "held_out_mse_of_cell_mean");
    assert_true(mean > 50); /* bins 1 to 50 */
    assert_true(mse < 0.75 * mean);
    assert_ok(train("mask.json", "mask", NULL, NULL));
    mse = number_in("mask/args.json", "held_out_mse");
    mean = number_in("mask/args.json", "held_out_mse_of_cell_mean");
    assert_true(mse < 0.75 * mean);
}

static void a_stopped_run_ends_as_if_it_had_not_been_stopped(void **state)
{
    (void)state;
    JobCtl ctl = {.on_progress = stop_at_22, .user = &ctl};
    char a[65], b[65];
    assert_err(train("gen.json", "again", NULL, &ctl), ERR_TERMINATED);
    assert_non_null(strstr(err_message(), "after step 22"));
    assert_ok(train("gen.json", "again", "again", NULL));
    hash_of("gen/best_model.pt", a);
    hash_of("again/best_model.pt", b);
    assert_string_equal(a, b);
    char *left = in_folder("again/checkpoint");
    assert_int_not_equal(access(left, F_OK), 0);
    free(left);
}

static void the_folder_holds_what_scgpt_has(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"encoder.embedding.weight",
                                        "encoder.enc_norm.weight",
                                        "value_encoder.linear1.weight",
                                        "transformer_encoder.layers.0.self_attn.Wqkv.weight",
                                        "decoder.fc.4.bias",
                                        "mvc_decoder.W.weight",
                                        "mvc_decoder.gene2query.bias",
                                        "flag_encoder.weight"};
    char *path = in_folder("gen/best_model.pt");
    Ckpt *c = ckpt_new();
    assert_ok(ckpt_add_file(c, path));
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        assert_non_null(ckpt_find(c, NAMES[i]));
    assert_int_equal(ckpt_find(c, NAMES[0])->dim[0], GENES + 3);
    assert_int_equal(number_in("gen/vocab.json", "<pad>"), GENES);
    assert_int_equal(number_in("gen/vocab.json", "<cls>"), GENES + 1);
    assert_int_equal(number_in("gen/args.json", "embsize"), 16);
    ckpt_free(c);
    free(path);
}

static void another_encoder_starts_from_the_folder(void **state)
{
    (void)state;
    const char *const NAMES[] = {"PGENE07", "UNHEARD", "PGENE02"};
    Device *d;
    ParamSet *ps;
    GeneSpace *genes;
    Scgpt enc = {0};
    ScgptConfig c = {.vocab = 5, .width = 16, .layers = 1, .heads = 2, .ffn = 16};
    char *path = in_folder("gen/best_model.pt"), *folder = in_folder("gen");
    Ckpt *from = ckpt_new();
    assert_ok(device_open("cpu", &d));
    assert_ok(params_new(d, &ps));
    assert_ok(scgpt_init(ps, "cell.", &c, 9, &enc));
    assert_ok(genespace_new(NAMES, 3, &genes));
    assert_ok(ckpt_add_file(from, path));
    float before[5 * 16], after[5 * 16], *table = malloc((GENES + 3) * 16 * sizeof *table);
    assert_ok(param_read(ps, enc.embedding, before));
    assert_ok(start_from_encoder(ps, "cell.", &enc, genes, folder));
    assert_ok(param_read(ps, enc.embedding, after));
    ckpt_read_f32(ckpt_find(from, "encoder.embedding.weight"), table);
    assert_memory_equal(after, table + 7 * 16, 64);
    assert_memory_equal(after + 16, before + 16, 64);
    assert_memory_equal(after + 32, table + 2 * 16, 64);
    assert_memory_equal(after + 64, table + (GENES + 1) * 16, 64); /* <cls> */
    float w[256], want[256];
    assert_ok(param_read(ps, enc.layer[0].ff1.w, w));
    ckpt_read_f32(ckpt_find(from, "transformer_encoder.layers.0.linear1.weight"), want);
    assert_memory_equal(w, want, sizeof w);
    scgpt_done(&enc);
    params_free(ps);
    /* another shape */
    c.ffn = 24;
    assert_ok(params_new(d, &ps));
    assert_ok(scgpt_init(ps, "cell.", &c, 9, &enc));
    assert_err(start_from_encoder(ps, "cell.", &enc, genes, folder), ERR_MODEL);
    assert_non_null(strstr(err_message(), "linear1"));
    scgpt_done(&enc);
    params_free(ps);
    genespace_free(genes);
    ckpt_free(from);
    device_close(d);
    free(table);
    free(path);
    free(folder);
}

static void configurations_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *rest, *names;
        Err err;
    } BAD[] = {{"\"files\":[]", "files", ERR_USAGE},
               {"\"files\":[\"nowhere*.h5ad\"]", "nowhere", ERR_INPUT},
               {"\"files\":[\"part0.h5ad\"],\"objective\":\"x\"", "objective", ERR_USAGE},
               {"\"files\":[\"part0.h5ad\"],\"values\":\"x\"", "values", ERR_USAGE},
               {"\"files\":[\"part0.h5ad\"],\"heads\":3,\"width\":16", "heads", ERR_USAGE},
               {"\"files\":[\"gen.json\"]", "gen.json", ERR_INPUT}};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        char *text = str_format("{\"stage\":\"pretrain\",%s}", BAD[i].rest);
        write_text("bad.json", text);
        assert_err(train("bad.json", "bad", NULL, NULL), BAD[i].err);
        assert_non_null(strstr(err_message(), BAD[i].names));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_those_of_torch),
        cmocka_unit_test(every_epoch_gives_every_cell_once_in_another_order),
        cmocka_unit_test(a_position_gives_the_same_cells_whatever_was_read_before),
        cmocka_unit_test(hidden_genes_are_told_from_the_others),
        cmocka_unit_test(a_stopped_run_ends_as_if_it_had_not_been_stopped),
        cmocka_unit_test(the_folder_holds_what_scgpt_has),
        cmocka_unit_test(another_encoder_starts_from_the_folder),
        cmocka_unit_test(configurations_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, folder_remove);
}
