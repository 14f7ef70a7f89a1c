/* Loading a bundle. Each part is checked by name and shape as it is read. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/imported.h"
#include "core/model/model_impl.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static double number(const cJSON *o, const char *key, double otherwise)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

static Err load_member(Model *m, const char *dir, size_t i)
{
    char name[40];
    snprintf(name, sizeof name, "member%zu.safetensors", i);
    char *path = bundle_path(dir, name);
    StFile *f = NULL;
    Err err = stage1_init(m->device, &m->c, PARAMS_BLANK, &m->member[i]);
    if (err == OK)
        err = st_open(path, &f);
    if (err == OK)
        err = weights_load(m->member[i].ps, f, "");
    st_close(f);
    free(path);
    /* the products that every cell passes through; tables stay as they are */
    if (err == OK)
        err = params_pack(m->member[i].ps, "cell_encoder.model.transformer_encoder", WEIGHT_F32);
    if (err == OK)
        err = params_pack(m->member[i].ps, "cell_encoder.model.value_encoder.linear2", WEIGHT_F32);
    if (err == OK)
        err = params_pack(m->member[i].ps, "Qformer.bert.encoder", WEIGHT_F32);
    return err;
}

static Err load_config(Model *m, const char *dir)
{
    if (number(m->config, "format", 0) != 1)
        FAIL(ERR_MODEL,
             "%s/config.json: \"format\" is not 1; this program reads bundles of format 1", dir);
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(m->config, "stage1");
    if (!cJSON_IsObject(shape))
        FAIL(ERR_MODEL, "%s/config.json: \"stage1\" is missing", dir);
    m->c = stage1_config_default((int64_t)m->genes->n, 384);
    Err err = stage1_config_read(shape, &m->c);
    if (err != OK)
        return err_context(err, "%s/config.json", dir);
    if (m->c.cell.vocab != (int64_t)m->genes->n + 2)
        FAIL(ERR_MODEL, "%s: vocab.json has %zu genes, config.json says %lld", dir, m->genes->n,
             (long long)m->c.cell.vocab - 2);
    double members = number(m->config, "members", 1);
    if (!(members >= 1 && members <= 64))
        FAIL(ERR_MODEL, "%s/config.json: \"members\" is not between 1 and 64", dir);
    m->desc.members = (size_t)members;
    return OK;
}

static Err load_texts(Model *m, const char *dir)
{
    TRY(text_tower_open(dir, m->device, &m->tower));
    if (m->c.text_width && text_tower_config(m->tower)->width != m->c.text_width)
        FAIL(ERR_MODEL, "%s: text.json and config.json disagree on the width of texts", dir);
    m->cache = textcache_new((size_t)text_tower_config(m->tower)->width);
    char *path = bundle_path(dir, "library.safetensors");
    Err err = access(path, R_OK) == 0 ? textcache_load(m->cache, path) : OK;
    free(path);
    return err;
}

static Err load_own(Model *m, const char *dir, JobCtl *ctl)
{
    TRY(bundle_read_genes(dir, &m->genes));
    TRY(load_config(m, dir));
    TRY(load_texts(m, dir));
    TRY(NEW0(m->member, m->desc.members));
    for (size_t i = 0; i < m->desc.members; i++) {
        TRY(load_member(m, dir, i));
        TRY(job_progress(ctl, i));
    }
    TRY(model_load_generator(m, dir));
    return writer_load(m, dir);
}

/* What an imported bundle has instead of a text tower, members and files of its own. */
static void describe_imported(ModelDesc *d, const Imported *x)
{
    const PartsConfig *c = &x->p.c;
    bool tells = c->lm && c->projector && c->llm_width == c->l.width;
    d->text_width = d->dim; /* a text's own vector is all that is known of it */
    d->has_match = c->match;
    d->has_decoder = tells;
    d->has_generator = tells && c->expr;
    d->own_words = true;
    d->parameters = imported_parameters(x);
}

static void describe(Model *m, const char *dir)
{
    ModelDesc *d = &m->desc;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(m->config, "name");
    snprintf(d->name, sizeof d->name, "%s", cJSON_IsString(name) ? name->valuestring : "model");
    snprintf(d->device, sizeof d->device, "%s", m->device->name);
    snprintf(d->dir, sizeof d->dir, "%s", dir);
    d->genes = m->genes->n;
    d->queries = (size_t)m->c.queries;
    d->width = (size_t)m->c.proj;
    d->dim = d->members * d->width;
    d->cls_width = d->members * (size_t)m->c.cell.width;
    d->temperature = (float)number(m->config, "temperature", 0.1);
    d->unknown_margin = (float)number(m->config, "unknown_margin", 0.05);
    if (m->imported) {
        describe_imported(d, m->imported);
        return;
    }
    d->text_width = (size_t)text_tower_config(m->tower)->width;
    d->has_match = m->c.text_width && m->c.match &&
                   cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(m->config, "match_trained"));
    d->parameters = text_tower_parameters(m->tower) + model_generator_parameters(m) +
                    writer_parameters(m->writer);
    for (size_t i = 0; i < d->members; i++)
        d->parameters += (size_t)params_elements(m->member[i].ps, false);
}

static Err load(Model *m, const char *dir, const char *celltypes_dir, const char *device,
                JobCtl *ctl)
{
    job_stage(ctl, "loading the model", 0);
    TRY(bundle_sha256(dir, m->desc.sha256));
    TRY(device_open(device ? device : "auto", &m->device));
    TRY(celltypes_load(celltypes_dir, &m->types));
    TRY(bundle_read_config(dir, false, &m->config));
    TRY(imported_kind(m->config) ? imported_load(m, dir, ctl) : load_own(m, dir, ctl));
    TRY(tape_new(m->device, false, &m->tape));
    describe(m, dir);
    return OK;
}

Err model_load(const char *dir, const char *celltypes_dir, const char *device, JobCtl *ctl,
               Model **out)
{
    Model *m = mem_must(sizeof *m);
    Err err = load(m, dir, celltypes_dir, device, ctl);
    if (err != OK)
        model_free(m);
    else
        *out = m;
    return err;
}

void model_free(Model *m)
{
    if (!m)
        return;
    for (size_t i = 0; m->member && !m->imported && i < m->desc.members; i++)
        stage1_done(&m->member[i]);
    imported_free(m->imported);
    free(m->member);
    free(m->lib_label);
    free(m->lib_mean);
    free(m->lib_text);
    free(m->lib_trained);
    generator_free(m->generator);
    writer_free(m->writer);
    library_free(m->library);
    textcache_free(m->cache);
    text_tower_free(m->tower);
    celltypes_free(m->types);
    genespace_free(m->genes);
    tape_free(m->tape);
    device_close(m->device);
    cJSON_Delete(m->config);
    free(m);
}

const ModelDesc *model_desc(const Model *m)
{
    return &m->desc;
}

const CellTypes *model_celltypes(const Model *m)
{
    return m->types;
}

Err model_verify(const char *dir)
{
    return bundle_verify(dir);
}

/* ---- genes ---- */
const char *model_gene_name(const Model *m, size_t gene)
{
    return m->genes->name[gene];
}

int32_t model_find_gene(const Model *m, const char *name)
{
    return genespace_find(m->genes, name);
}

const float *model_gene_mean(const Model *m)
{
    return m->genes->mean;
}

const float *model_gene_sd(const Model *m)
{
    return m->genes->sd;
}

Err model_map_genes(const Model *m, const char *const *names, size_t n, size_t min_matched,
                    GeneMap *out)
{
    return genespace_map(m->genes, names, n, min_matched, out);
}
