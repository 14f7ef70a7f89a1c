/* What import*.c share: the pool of tensors under canonical names, and the list of what is written.
 */
#ifndef SCMM_MODEL_IMPORT_IMPL_H
#define SCMM_MODEL_IMPORT_IMPL_H
#include "core/model/ckpt.h"
#include "core/model/import.h"
#include "core/model/parts.h"

typedef struct PoolTensor {
    char *name;             /* canonical */
    const CkTensor *t;      /* of one of the checkpoints */
    const CkTensor *before; /* what an adapter or a Lightning file replaced; NULL */
    bool used, late;        /* late: from an adapter or a Lightning file */
    bool adapter;           /* from the adapter's folder */
} PoolTensor;
typedef struct Pool {
    PoolTensor *v;
    size_t n, cap;
    struct StrMap *by_name;
    Ckpt *ckpt[4 + IMPORT_LIGHTNING_MAX];
    int n_ckpt;
} Pool;
void pool_init(Pool *p);
void pool_done(Pool *p);
PoolTensor *pool_find(const Pool *p, const char *name); /* NULL */
/* Reads every source of the spec. */
CHECKED Err pool_fill(Pool *p, const ImportSpec *s);

/* LoRA: the addition to one weight; or new rows for some tokens of a table. */
typedef struct Lora {
    const CkTensor *a, *b, *magnitude;
    double scale;
    bool table;           /* of a table of tokens: A [rank,out], B [in,rank] */
    const CkTensor *rows; /* [k,cols] instead of the rows row_ids; NULL */
    const struct cJSON *row_ids;
} Lora;
typedef struct LoraRules LoraRules;
/* adapter NULL: the scale of the published training script. */
CHECKED Err lora_rules_read(const char *adapter, LoraRules **out);
void lora_rules_free(LoraRules *r);
/* The adapter's tensors for the weight `name` ("model.layers.0.self_attn.q_proj.weight"); *found.
 */
CHECKED Err lora_find(const LoraRules *r, Pool *p, const char *name, const CkTensor *base,
                      Lora *out, bool *found);
/* The addition to w [rows,cols] in float32: *a [rank,cols], *b [rows,rank] with the scale in it,
 * and with a magnitude *gain [rows], the factor of each row of w + b a (else NULL, and w is not
 * looked at). Caller frees the three. */
CHECKED Err lora_factors(const Lora *l, const float *w, int64_t rows, int64_t cols, float **a,
                         float **b, float **gain);
/* w[out,in] becomes w + scale B A (with a magnitude: rows rescaled). */
CHECKED Err lora_merge(const Lora *l, float *w, int64_t rows, int64_t cols);

/* One tensor to write: from a checkpoint, from memory (owned), or merged while writing. */
typedef struct OutTensor {
    char *name;
    StType type;
    int ndim;
    int64_t dim[ST_MAX_DIMS];
    const CkTensor *src;
    float *own;
    bool merge;
    Lora lora;
    StoredType quant; /* STORED_Q8, STORED_Q4: written as two tensors (quantize.h) */
    uint16_t *scale;  /* of both; owned by NAME.scale, which is written first and fills it */
} OutTensor;
typedef struct OutList {
    OutTensor *v;
    size_t n, cap;
} OutList;
CHECKED Err outlist_add(OutList *l, const OutTensor *t);
void outlist_done(OutList *l);
/* Streams the list into a safetensors file; each tensor passes through memory once. */
CHECKED Err outlist_save(OutList *l, const char *path, JobCtl *ctl);

/* How a folder of sentence-transformers makes one vector of a text: c->text_pool, text_unit,
 * text_tokens; nothing where DIR is another folder. */
CHECKED Err import_sentence(const char *dir, PartsConfig *c);
/* Shapes from the tensors, head counts from the folders' settings. */
CHECKED Err import_config(const ImportSpec *s, const Pool *p, PartsConfig *c, cJSON **lm);
#endif
