/* What a Model holds; for model_*.c only. */
#ifndef SCMM_MODEL_MODEL_IMPL_H
#define SCMM_MODEL_MODEL_IMPL_H
#include "core/model/bundle.h"
#include "core/model/generator.h"
#include "core/model/library.h"
#include "core/model/model.h"
#include "core/model/stage1.h"

typedef struct Writer Writer;
typedef struct Imported Imported;

struct Model {
    ModelDesc desc;
    cJSON *config;
    Device *device;
    GeneSpace *genes;
    CellTypes *types;
    Stage1Config c;
    Stage1 *member; /* [desc.members] */
    TextTower *tower;
    TextCache *cache;
    Tape *tape;           /* does not record */
    Generator *generator; /* NULL: none */
    Writer *writer;       /* NULL: none */
    Imported *imported;   /* NULL: a bundle of this project (imported.h) */
    Library *library;
    LibraryVectors lib;
    float *lib_label, *lib_mean, *lib_text;
    uint8_t *lib_trained;
};

/* Every member's part of each row to length 1/sqrt(members); a part without direction stays zero.
 */
void model_normalise(const Model *m, float *rows, size_t n);
/* The bundle's generator, when it has one. */
CHECKED Err model_load_generator(Model *m, const char *dir);
size_t model_generator_parameters(const Model *m);
/* decoder.json, decoder.safetensors, when they are there. */
CHECKED Err writer_load(Model *m, const char *dir);
void writer_free(Writer *w);
size_t writer_parameters(const Writer *w);
#endif
