/* Stage 1, one step on the host: what a batch holds and what the losses aim at. */
#ifndef SCMM_TRAIN_STAGE1_BATCH_H
#define SCMM_TRAIN_STAGE1_BATCH_H
#include "core/train/run.h"

enum { GENE_WORD = 4, TERMS = 6, TEXT_TOKENS = 64 };

typedef struct Stage1Options {
    double steps, batch, members, seed, tau, simulated, w_cell, w_ancestor, w_text, w_gene, w_match,
        w_caption, name_share, synonym_share, save_every;
} Stage1Options;

typedef struct Stage1Step { /* host side of one step */
    CellInput in;
    int32_t *type, *gene_word;
    int32_t *tok_gene;
    float *tok_value;
    float *bank;                  /* [n_types, W]; or, when texts go through the Q-Former: */
    const char **bank_text;       /* [n_types] */
    int32_t *bank_ids, *bank_len; /* [n_types, bank_width] */
    size_t bank_width;
    int32_t *wrong_type; /* [b] */
    int32_t *target, *anc_target, *diag, *match_label;
    uint8_t *mask, *anc_mask, *text_mask;
    float *text_soft, *identity, *sim, *wrong;
    DrawnCell cell;
} Stage1Step;

typedef struct Stage1Trainer {
    Run *r;
    Stage1Options o;
    Stage1Config c;
    Sampler *sampler;
    Tape *tape;
    size_t n_types, w;
    bool *trained; /* [n_types] has training cells, itself or a descendant */
    bool *related; /* [n_types, n_types] */
    Stage1Step s;
} Stage1Trainer;

/* Text runs through the Q-Former's own layers instead of the text tower. */
bool stage1_inside(const Stage1Trainer *t);
CHECKED Err stage1_step_init(Stage1Trainer *t);
void stage1_step_done(Stage1Step *s);
/* Cells, one text of every type, and the targets of a step. */
CHECKED Err stage1_draw_batch(Stage1Trainer *t, Rng *r);
/* A wrong text for every cell, the likelier the more it looks like the cell: sim [b, types]. */
CHECKED Err stage1_draw_wrong(Stage1Trainer *t, Tensor *sim, Rng *r);
#endif
