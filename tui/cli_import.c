/* `scmmgpt import`: a bundle from public checkpoints. `scmmgpt forward`: raw tensors through its
 * parts, HDF5 in and out. */
#include "tui/cli_commands.h"
#include "tui/cli_model.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/h5_write.h"
#include "core/data/outfile.h"
#include "core/model/import.h"
#include "core/model/pipeline.h"
#include "core/model/parts.h"
#include "core/model/quantize.h"

/* ---- import ---- */

static void print_json(FILE *out, const ImportReport *r)
{
    static const char *const status[] = {"matched", "drawn", "missing", "unused"};
    cJSON *o = cJSON_CreateObject();
    for (int k = 0; k < 4; k++) {
        cJSON *list = cJSON_AddArrayToObject(o, status[k]);
        for (size_t i = 0; i < r->n; i++) {
            if (strcmp(r->row[i].status, status[k]) != 0)
                continue;
            cJSON *e = cJSON_CreateObject();
            cJSON_AddStringToObject(e, "name", r->row[i].name);
            cJSON_AddStringToObject(e, "shape", r->row[i].shape);
            cJSON_AddStringToObject(e, "dtype", r->row[i].type);
            cJSON_AddStringToObject(e, "source", r->row[i].source);
            cJSON_AddItemToArray(list, e);
        }
    }
    char *text = cJSON_Print(o);
    fprintf(out, "%s\n", text);
    free(text);
    cJSON_Delete(o);
}

static void print_table(FILE *out, const ImportReport *r)
{
    Str s = {0};
    str_add(&s, "tensor\tstatus\tshape\tdtype\tsource\n");
    for (size_t i = 0; i < r->n; i++) {
        str_add_tsv(&s, r->row[i].name);
        str_addf(&s, "\t%s\t%s\t%s\t", r->row[i].status, r->row[i].shape, r->row[i].type);
        str_add_tsv(&s, r->row[i].source);
        str_add_char(&s, '\n');
    }
    fputs(str_text(&s), out);
    str_free(&s);
}

/* --lightning may come several times; cli_take_string keeps only the last. */
static Err take_lightning(CliArgs *a, ImportSpec *s)
{
    for (int i = 1; i < a->argc; i++) {
        const char *value = NULL;
        int n = 1;
        if (strcmp(a->argv[i], "--") == 0)
            break;
        if (str_starts(a->argv[i], "--lightning="))
            value = a->argv[i] + strlen("--lightning=");
        else if (strcmp(a->argv[i], "--lightning") != 0)
            continue;
        else if (i + 1 < a->argc)
            value = a->argv[i + 1], n = 2;
        if (!value)
            FAIL(ERR_USAGE, "--lightning: a value is missing after it");
        if (s->n_lightning == IMPORT_LIGHTNING_MAX)
            FAIL(ERR_USAGE, "--lightning: more than %d files", IMPORT_LIGHTNING_MAX);
        s->lightning[s->n_lightning++] = value;
        memmove(a->argv + i, a->argv + i + n, (size_t)(a->argc - i - n) * sizeof *a->argv);
        a->argc -= n;
        i--;
    }
    return OK;
}

Err cli_import(CliArgs *a)
{
    const char *usage =
        "[--scgpt DIR] [--bert DIR] [--llama DIR] [--adapter DIR] [--lightning FILE] "
        "[--quantize q8|q4] [--cell-values KIND] [--token-types] [--from-parts] "
        "[--no-merge] -o BUNDLE";
    ImportSpec s = {.seed = a->g->seed, .out = a->g->output, .force = a->g->force};
    const char *quantize = NULL;
    TRY(cli_take_string(a, "--scgpt", &s.scgpt));
    TRY(cli_take_string(a, "--bert", &s.bert));
    TRY(cli_take_string(a, "--llama", &s.llama));
    TRY(cli_take_string(a, "--adapter", &s.adapter));
    TRY(cli_take_string(a, "--cell-values", &s.cell_values));
    TRY(cli_take_string(a, "--quantize", &quantize));
    s.from_parts = cli_take_flag(a, "--from-parts");
    s.keep_adapter = cli_take_flag(a, "--no-merge");
    s.token_types = cli_take_flag(a, "--token-types");
    TRY(take_lightning(a, &s));
    TRY(cli_finish(a, 0, 0, usage));
    if (!s.out)
        FAIL(ERR_USAGE, "-o BUNDLE is missing; usage: scmmgpt import %s", usage);
    if (quantize && !quantize_parse(quantize, &s.quantize))
        FAIL(ERR_USAGE, "--quantize: '%s' is not q8 or q4", quantize);
    if (quantize && !s.llama)
        FAIL(ERR_USAGE, "--quantize: stores the matrices of a language model; add --llama DIR");
    CellValues kind;
    if (s.cell_values && !pipeline_kind(s.cell_values, &kind))
        FAIL(ERR_USAGE, "--cell-values: '%s' is not binned, raw, lognorm or valrank",
             s.cell_values);
    if (s.token_types && !s.bert)
        FAIL(ERR_USAGE, "--token-types: needs --bert DIR");
    if (s.adapter && !s.llama)
        FAIL(ERR_USAGE, "--adapter: needs --llama DIR");
    if (s.keep_adapter && !s.adapter && !s.n_lightning)
        FAIL(ERR_USAGE,
             "--no-merge: needs --adapter DIR, or --lightning FILE with an adapter in it");
    ImportReport r;
    Err err = import_bundle(&s, a->ctl, &r);
    if (err == OK && a->g->json)
        print_json(a->out, &r);
    else if (err == OK)
        print_table(a->out, &r);
    else if (!a->g->quiet)
        for (size_t i = 0; i < r.n; i++)
            if (strcmp(r.row[i].status, "missing") == 0)
                fprintf(stderr, "missing\t%s\n", r.row[i].name);
    import_report_done(&r);
    return err;
}

/* ---- forward ---- */

/* Dataset NAME [b, *n] into *out (NULL when it is not there); b is set by the first. */
static Err read_matrix(Store *s, const char *name, MemType type, int64_t *b, int64_t *n, void *out)
{
    void **to = out;
    Array *x;
    if (store_kind(s, name) == NODE_NONE)
        return OK;
    Err err = store_open_array(s, name, &x);
    if (err != OK)
        return err_context(ERR_INPUT, "%s", name);
    ElemClass want = type == MEM_F32 ? ELEM_FLOAT : ELEM_INT;
    const ArrayInfo *i = &x->info;
    bool number = i->cls == want || i->cls == ELEM_BOOL || (type == MEM_F32 && i->cls == ELEM_INT);
    if (!number)
        err = err_set(ERR_INPUT, "%s: holds %s, not %s", name, i->dtype,
                      type == MEM_F32 ? "numbers" : "whole numbers");
    else if (i->rank != 2)
        err = err_set(ERR_INPUT, "%s: has %d dimensions, not 2", name, i->rank);
    else if (i->count == 0 || i->count > (uint64_t)1 << 31)
        err = err_set(ERR_INPUT, "%s: is empty or too large", name);
    else if (*b && (uint64_t)*b != i->shape[0])
        err = err_set(ERR_INPUT, "%s: has %llu rows, other datasets have %lld", name,
                      (unsigned long long)i->shape[0], (long long)*b);
    else if (*n && (uint64_t)*n != i->shape[1])
        err = err_set(ERR_INPUT, "%s: has %llu columns, its partner has %lld", name,
                      (unsigned long long)i->shape[1], (long long)*n);
    if (err == OK)
        err = mem_alloc(to, (size_t)i->count, mem_type_size(type));
    if (err == OK) {
        *b = (int64_t)i->shape[0];
        *n = (int64_t)i->shape[1];
        err = array_read(x, (uint64_t[]){0, 0}, i->shape, type, *to);
        if (err != OK)
            err = err_context(ERR_INPUT, "%s", name);
    }
    array_close(x);
    return err;
}

static Err read_input(const char *path, PartsInput *in)
{
    Store *s;
    TRY(store_open_h5(path, &s));
    Err err = read_matrix(s, "gene_ids", MEM_I32, &in->b, &in->l, &in->gene_ids);
    if (err == OK)
        err = read_matrix(s, "values", MEM_F32, &in->b, &in->l, &in->values);
    if (err == OK)
        err = read_matrix(s, "text_ids", MEM_I32, &in->b, &in->tokens, &in->text_ids);
    if (err == OK)
        err = read_matrix(s, "text_mask", MEM_I32, &in->b, &in->tokens, &in->text_mask);
    if (err == OK)
        err = read_matrix(s, "lm_ids", MEM_I32, &in->b, &in->s, &in->lm_ids);
    if (err == OK && !in->gene_ids && !in->text_ids && !in->lm_ids)
        err = err_set(ERR_INPUT, "gene_ids: none of gene_ids, text_ids, lm_ids is there");
    store_close(s);
    return err;
}

static Err write_output(void *user, const char *name, int rank, const uint64_t *shape,
                        const float *values)
{
    return h5w_array(user, name, NULL, DISK_F32, rank, shape, MEM_F32, values);
}

static Err forward_to(CliArgs *a, const Parts *p, const PartsInput *in, const char *path)
{
    OutFile out = {0};
    H5Writer *w = NULL;
    TRY(outfile_begin(path, true, &out));
    Err err = h5w_create(out.temp, a->ctl, &w);
    if (err == OK) {
        err = parts_forward(p, in, a->ctl, write_output, w);
        if (err == OK)
            err = h5w_close(w);
        else
            h5w_abort(w);
    }
    if (err == OK)
        return outfile_commit(&out);
    outfile_abort(&out);
    return err;
}

Err cli_forward(CliArgs *a)
{
    const char *usage = "[--model BUNDLE] --input IN.h5 --output OUT.h5", *input = NULL;
    TRY(cli_take_string(a, "--input", &input));
    TRY(cli_finish(a, 0, 0, usage));
    if (!input || !a->g->output)
        FAIL(ERR_USAGE, "%s is missing; usage: scmmgpt forward %s", input ? "--output" : "--input",
             usage);
    Str dir = {0};
    PartsInput in = {0};
    Parts p = {0};
    Device *d = NULL;
    a->file = input;
    Err err = read_input(input, &in);
    if (err == OK)
        err = device_open("cpu", &d);
    if (err == OK)
        err = cli_model_folder(a, &dir);
    if (err == OK) {
        a->file = a->g->model;
        err = parts_open(str_text(&dir), d, in.gene_ids || in.text_ids, in.lm_ids != NULL, a->ctl, &p);
    }
    if (err == OK) {
        a->file = input;
        err = forward_to(a, &p, &in, a->g->output);
    }
    parts_done(&p);
    if (d)
        device_close(d);
    str_free(&dir);
    free(in.gene_ids);
    free(in.values);
    free(in.text_ids);
    free(in.text_mask);
    free(in.lm_ids);
    return err;
}
