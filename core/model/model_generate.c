/* Text to cell: the bundle's generator, if it has one. */
#include <unistd.h>

#include "core/base/mem.h"
#include "core/model/generator.h"
#include "core/model/imported.h"

Err model_load_generator(Model *m, const char *dir)
{
    char *path = bundle_path(dir, "generator.json");
    bool there = access(path, F_OK) == 0;
    free(path);
    if (!there)
        return OK;
    TRY(generator_load(dir, m->types, m->genes->n, (size_t)text_tower_config(m->tower)->width,
                       &m->generator));
    m->desc.has_generator = true;
    return OK;
}

size_t model_generator_parameters(const Model *m)
{
    const Generator *g = m->generator;
    return g ? g->hidden * (g->latent + g->hidden + g->embed + 2) + g->embed +
                   (g->embed + 1) * g->genes
             : 0;
}

const Anchor *model_anchors(const Model *m, size_t *n)
{
    *n = m->generator ? m->generator->n_anchors : 0;
    return m->generator ? m->generator->anchor : NULL;
}

static Err need_generator(const Model *m)
{
    if (!m->generator)
        FAIL(ERR_MODEL, "%s: this model has no generator; it cannot write cells", m->desc.dir);
    return OK;
}

Err model_anchor_weights(Model *m, const float *raw, float *weights)
{
    const LibraryVectors *l;
    TRY(need_generator(m));
    TRY(model_library(m, NULL, &l));
    generator_attend(m->generator, raw, l->text_raw, l->text_type, l->n_texts, weights);
    return OK;
}

Err model_anchor_expression(Model *m, const int32_t *genes, size_t n, float *out)
{
    TRY(need_generator(m));
    return generator_expression(m->generator, genes, n, out);
}

Err model_generate(Model *m, const GenerateSpec *s, JobCtl *ctl, Csr *counts, int32_t *anchor)
{
    if (m->imported)
        return imported_generate(m, s, ctl, counts);
    TRY(need_generator(m));
    return generator_draw(m->generator, s, ctl, counts, anchor);
}
