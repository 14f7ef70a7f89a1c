/* `scmmgpt model`: what a bundle holds, and whether it is whole. `scmmgpt embed`: cell vectors into
 * a file. */
#include "tui/cli_commands.h"
#include "tui/cli_model.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/assets.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/h5ad_write.h"
#include "core/data/provenance.h"
#include "core/model/bundle.h"
#include "core/model/parts.h"

/* ---- model ---- */

/* Files of a bundle that hold weights, and what they are. */
static const struct {
    const char *file, *what;
} PARTS[] = {{"model.safetensors", NULL}, /* of an imported bundle: by its configuration */
             {"lm.safetensors", "language model, imported"},
             {"text.safetensors", "text tower (MiniLM)"},
             {"generator.safetensors", "text to cell"},
             {"decoder.safetensors", "cell to text"},
             {"library.safetensors", "sentence vectors of the cell-type library"},
             {"anchors.safetensors", "sentence vectors of the generator's anchors"},
             {"genes.safetensors", "gene statistics"}};

static bool has(const cJSON *config, const char *part)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(config, part));
}

/* What model.safetensors of an imported bundle holds. */
static void name_parts(const cJSON *config, Str *s)
{
    static const struct {
        const char *key, *what;
    } parts[] = {{"cell", "cell encoder"},
                 {"query", "Q-Former"},
                 {"text", "text (BERT)"},
                 {"projector", "projector"},
                 {"expr", "expression decoder"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (has(config, parts[i].key))
            str_addf(s, "%s%s", s->len ? ", " : "", parts[i].what);
    str_add(s, ", imported");
}

/* Scales are none; a byte of a 4-bit matrix (quantize.h) holds two. */
static int parameters_an_element(const StFile *f, const StTensor *t)
{
    if (str_ends(t->name, ".scale"))
        return 0;
    char *scale = str_format("%s.scale", t->name);
    int n = t->type == ST_U8 && st_find(f, scale) ? 2 : 1;
    free(scale);
    return n;
}

static Err add_part(cJSON *list, const char *dir, const char *file, const char *what,
                    double *parameters)
{
    char *path = bundle_path(dir, file);
    struct stat st;
    StFile *f = NULL;
    if (stat(path, &st) != 0) {
        free(path);
        return OK;
    }
    Err err = st_open(path, &f);
    if (err == OK) {
        double n[ST_TYPES] = {0}, all = 0;
        for (size_t i = 0; i < st_count(f); i++) {
            const StTensor *t = st_at(f, i);
            n[t->type] += (double)t->elements;
            all += (double)t->elements * parameters_an_element(f, t);
        }
        cJSON *o = cJSON_CreateObject(), *types = cJSON_AddObjectToObject(o, "dtypes");
        cJSON_AddStringToObject(o, "file", file);
        cJSON_AddStringToObject(o, "what", what);
        cJSON_AddNumberToObject(o, "bytes", (double)st.st_size);
        cJSON_AddNumberToObject(o, "tensors", (double)st_count(f));
        cJSON_AddNumberToObject(o, "parameters", all);
        for (int i = 0; i < ST_TYPES; i++)
            if (n[i] > 0)
                cJSON_AddNumberToObject(types, st_type_name((StType)i), n[i]);
        cJSON_AddItemToArray(list, o);
        *parameters += all;
    }
    st_close(f);
    free(path);
    return err;
}

static Err add_parts(cJSON *root, const cJSON *config, const char *dir)
{
    cJSON *list = cJSON_AddArrayToObject(root, "parts");
    double parameters = 0;
    const cJSON *members = cJSON_GetObjectItemCaseSensitive(config, "members");
    for (int i = 0; cJSON_IsNumber(members) && i < members->valueint; i++) {
        char name[40];
        snprintf(name, sizeof name, "member%d.safetensors", i);
        TRY(add_part(list, dir, name, "cell encoder, Q-Former and heads", &parameters));
    }
    Str imported = {0};
    Err err = OK;
    name_parts(config, &imported);
    for (size_t i = 0; err == OK && i < sizeof PARTS / sizeof *PARTS; i++) {
        double n = 0;
        const char *what = PARTS[i].what ? PARTS[i].what : str_text(&imported);
        err = add_part(list, dir, PARTS[i].file, what, &n);
        parameters += i < 5 ? n : 0;
    }
    str_free(&imported);
    TRY(err);
    cJSON_AddNumberToObject(root, "parameters", parameters);
    return OK;
}

/* JSON of a file of the bundle under `key`, when there is one. */
static void add_file(cJSON *root, const char *key, const char *dir, const char *file)
{
    char *path = bundle_path(dir, file), *text = NULL;
    if (str_read_file(path, 16 << 20, ERR_MODEL, &text, NULL) == OK) {
        cJSON *o = cJSON_Parse(text);
        if (o)
            cJSON_AddItemToObject(root, key, o);
    }
    free(text);
    free(path);
}

static void copy_item(cJSON *root, const cJSON *config, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(config, key);
    if (v)
        cJSON_AddItemToObject(root, key, cJSON_Duplicate(v, 1));
}

static double number(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

/* The configuration without the sizes of parts that are not there. */
static cJSON *shape_of(const cJSON *config)
{
    static const struct {
        const char *part, *prefix;
    } sizes[] = {{"cell", "cell_"},     {"cell", "gene_"}, {"cell", "pad_"},  {"cell", "cls_"},
                 {"query", "query_"},   {"query", "quer"}, {"query", "proj"}, {"text", "text_"},
                 {"projector", "llm_"}, {"expr", "expr_"}};
    cJSON *shape = cJSON_Duplicate(config, 1), *next;
    for (cJSON *o = shape->child; o; o = next) {
        bool gone = false;
        next = o->next;
        for (size_t i = 0; !gone && i < sizeof sizes / sizeof *sizes; i++)
            gone = !cJSON_IsBool(o) && !has(config, sizes[i].part) &&
                   str_starts(o->string, sizes[i].prefix);
        if (gone)
            cJSON_Delete(cJSON_DetachItemViaPointer(shape, o));
    }
    return shape;
}

/* A bundle made by import: what its configuration says. Nobody says what it was trained on. */
static void describe_imported(const cJSON *config, cJSON *root)
{
    cJSON *v = cJSON_AddObjectToObject(root, "vocabularies");
    const cJSON *lm = cJSON_GetObjectItemCaseSensitive(config, "lm");
    double words = number(config, "query_vocab");
    if (words <= 0 && has(config, "text"))
        words = number(config, "text_vocab");
    cJSON_AddNumberToObject(v, "genes", number(config, "gene_rows"));
    cJSON_AddNumberToObject(v, "word_pieces", words);
    cJSON_AddNumberToObject(v, "language_model", number(lm, "vocab_size"));
    copy_item(root, config, "format");
    copy_item(root, config, "kind");
    cJSON_AddNumberToObject(root, "members", 1);
    if (has(config, "cell"))
        copy_item(root, config, "cell_values");
    cJSON_AddItemToObject(root, "shape", shape_of(config));
    cJSON_AddStringToObject(root, "license", "those of the imported checkpoints");
    cJSON_AddArrayToObject(root, "data");
    cJSON_AddArrayToObject(root, "scores");
}

static Err describe_bundle(const char *dir, cJSON *root)
{
    static const char *const KEYS[] = {"format",         "members", "stage1", "temperature",
                                       "unknown_margin", "license", "data"};
    cJSON *config;
    char hex[65];
    GeneSpace *genes = NULL;
    WordPiece *words = NULL;
    char *vocab = bundle_path(dir, "vocab.txt");
    Err err = OK;
    TRY_GOTO(bundle_read_config(dir, false, &config));
    copy_item(root, config, "name");
    cJSON_AddStringToObject(root, "dir", dir);
    err = bundle_sha256(dir, hex);
    if (err == OK)
        cJSON_AddStringToObject(root, "sha256", hex);
    if (err == OK)
        err = add_parts(root, config, dir);
    bool imported = cJSON_GetObjectItemCaseSensitive(config, "kind") != NULL;
    if (err == OK && imported)
        describe_imported(config, root);
    if (err == OK && !imported)
        err = bundle_read_genes(dir, &genes);
    if (err == OK && !imported)
        err = wordpiece_open(vocab, &words);
    if (err == OK && !imported) {
        cJSON *v = cJSON_AddObjectToObject(root, "vocabularies");
        cJSON_AddNumberToObject(v, "genes", (double)genes->n);
        cJSON_AddNumberToObject(v, "word_pieces", (double)wordpiece_size(words));
        const cJSON *trained = cJSON_GetObjectItemCaseSensitive(config, "trained");
        cJSON_AddNumberToObject(root, "types_trained", cJSON_GetArraySize(trained));
        for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
            copy_item(root, config, KEYS[i]);
        add_file(root, "scores", dir, "measures.json");
    }
    cJSON_Delete(config);
done:
    genespace_free(genes);
    wordpiece_free(words);
    free(vocab);
    return err;
}

static const char *text(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(v) ? v->valuestring : "";
}

static void print_text(FILE *f, const cJSON *root)
{
    const cJSON *o, *t, *v = cJSON_GetObjectItemCaseSensitive(root, "vocabularies");
    fprintf(f, "name\t%s\ndir\t%s\nsha256\t%s\nparameters\t%.0f\nmembers\t%.0f\n",
            text(root, "name"), text(root, "dir"), text(root, "sha256"), number(root, "parameters"),
            number(root, "members"));
    fprintf(f, "genes\t%.0f\nword pieces\t%.0f\n", number(v, "genes"), number(v, "word_pieces"));
    if (cJSON_HasObjectItem(v, "language_model"))
        fprintf(f, "tokens of the language model\t%.0f\n", number(v, "language_model"));
    if (cJSON_HasObjectItem(root, "types_trained"))
        fprintf(f, "cell types with training cells\t%.0f\n", number(root, "types_trained"));
    fprintf(f, "licence\t%s\n", text(root, "license"));
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "parts"))
    {
        fprintf(f, "part\t%s\t%s\t%.1f MB\t%.0f parameters\t", text(o, "file"), text(o, "what"),
                number(o, "bytes") / 1e6, number(o, "parameters"));
        const char *sep = "";
        cJSON_ArrayForEach(t, cJSON_GetObjectItemCaseSensitive(o, "dtypes"))
        {
            fprintf(f, "%s%s", sep, t->string);
            sep = ",";
        }
        fputc('\n', f);
    }
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "data"))
        fprintf(f, "trained on\t%s\t%.0f %s\tsha256 %s\n", text(o, "name"), number(o, "rows"),
                cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "averages")) ? "cluster averages"
                                                                              : "cells",
                text(o, "sha256"));
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "scores")) fprintf(
        f, "measured\t%s\t%.0f cells, %.0f names\taccuracy %.3f\tmacro-F1 %.3f\n", text(o, "set"),
        number(o, "cells"), number(o, "candidates"), number(o, "accuracy"), number(o, "macro_f1"));
}

static Err bundle_folder(const CliArgs *a, Str *dir)
{
    if (a->argc < 2)
        return cli_model_folder(a, dir);
    str_add(dir, a->argv[1]);
    return OK;
}

static Err verify_imported(const char *dir, JobCtl *ctl)
{
    Parts p = {0};
    Device *d;
    TRY(device_open("cpu", &d));
    Err err = parts_open(dir, d, true, true, ctl, &p);
    parts_done(&p);
    device_close(d);
    return err;
}

/* Shapes: the whole bundle is loaded as it is for use. */
static Err verify(const char *dir, JobCtl *ctl)
{
    Str types = {0};
    Model *m = NULL;
    cJSON *config = NULL;
    Err err = model_verify(dir);
    if (err == OK)
        err = bundle_read_config(dir, false, &config);
    if (err == OK && cJSON_GetObjectItemCaseSensitive(config, "kind")) {
        cJSON_Delete(config);
        return verify_imported(dir, ctl);
    }
    cJSON_Delete(config);
    if (err == OK)
        err = assets_path("celltypes/hierarchy.tsv", &types);
    if (err == OK) {
        types.data[strlen(types.data) - strlen("/hierarchy.tsv")] = 0;
        err = model_load(dir, types.data, "cpu", ctl, &m);
    }
    model_free(m);
    str_free(&types);
    return err;
}

Err cli_model(CliArgs *a)
{
    Str dir = {0};
    bool check = cli_take_flag(a, "--verify");
    cJSON *root = cJSON_CreateObject();
    Err err = OK;
    TRY_GOTO(cli_finish(a, 0, 1, "[DIR] [--json] [--verify]"));
    TRY_GOTO(bundle_folder(a, &dir));
    if (check)
        TRY_GOTO(verify(str_text(&dir), a->ctl));
    TRY_GOTO(describe_bundle(str_text(&dir), root));
    if (check)
        cJSON_AddBoolToObject(root, "verified", true);
    if (a->g->json) {
        char *s = cJSON_Print(root);
        fprintf(a->out, "%s\n", s);
        free(s);
    } else {
        print_text(a->out, root);
        if (check)
            fputs("verified\tevery file has the hash and every tensor the shape it must have\n",
                  a->out);
    }
done:
    cJSON_Delete(root);
    str_free(&dir);
    return err;
}

/* ---- embed ---- */

static Err write_embedding(CliArgs *a, Session *s, const CellEmbedding *e)
{
    Dataset *d = session_dataset(s);
    const ModelInfo *m = session_model(s);
    char matched[32], hex[65];
    TRY(dataset_sha256(d, a->ctl, hex));
    snprintf(matched, sizeof matched, "%zu", m->genes_matched);
    Provenance p = {a->g->command_line, SCMMGPT_VERSION, hex, m->sha256, a->g->seed, NULL, matched,
                    m->device,          m->matrix};
    Tree *uns = tree_new();
    provenance_to_tree(&p, uns);
    H5adArray obsm[2] = {{"X_scgpt", e->d_cls, e->x_scgpt}, {"X_scmmgpt", e->d_text, e->x_scmmgpt}};
    size_t shared = e->d_text ? 1 : 0; /* a cell encoder alone has no space shared with text */
    H5adBytes queries = {"X_scmmgpt_queries", e->d_queries, e->queries};
    H5adContent add = {.obsm = obsm,
                       .n_obsm = 1 + shared,
                       .obsm_bytes = &queries,
                       .n_obsm_bytes = shared,
                       .uns = uns};
    if (!shared)
        log_warn("%s: has a cell encoder alone; X_scmmgpt is left out", m->dir);
    Err err = h5ad_write_copy(d, a->g->output, H5AD_AS_IT_IS, &add, a->g->force, a->ctl);
    tree_free(uns);
    return err;
}

Err cli_embed(CliArgs *a)
{
    TRY(cli_finish(a, 1, 1, "FILE -o OUT.h5ad"));
    if (!a->g->output || strcmp(a->g->output, "-") == 0)
        FAIL(ERR_USAGE, "-o: name the h5ad to write; usage: scmmgpt embed FILE -o OUT.h5ad");
    Session *s = NULL;
    CellEmbedding *e = NULL;
    Err err = OK;
    TRY_GOTO(cli_open(a, a->argv[1], &s));
    TRY_GOTO(session_load_model(s, a->ctl));
    TRY_GOTO(session_cell_embedding(s, a->ctl, &e));
    err = write_embedding(a, s, e);
done:
    cell_embedding_free(e);
    session_close(s);
    return err;
}
