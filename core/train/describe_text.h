/* The sentences that the cell-to-text decoder learns: made from facts of the library and of the
 * cell, in three wordings. Nothing in them comes from other texts. */
#ifndef SCMM_TRAIN_DESCRIBE_TEXT_H
#define SCMM_TRAIN_DESCRIBE_TEXT_H
#include "core/base/rng.h"
#include "core/model/bpe.h"
#include "core/model/celltypes.h"

/* DESCRIBE_IS: "This is a B cell"; DESCRIBE_LIKELY: "Most likely a B cell". */
enum { DESCRIBE_WORDINGS = 3, DESCRIBE_GENES = 5, DESCRIBE_IS = 0, DESCRIBE_LIKELY = 2 };
/* Every sentence part that may occur, for learning the tokenizer: caller frees the strings and the
 * list. */
CHECKED Err describe_corpus(const CellTypes *c, char ***texts, size_t *n);

typedef struct Target { /* token ids; a gene is vocab + its place in the cell's list of genes */
    int32_t *ids;
    size_t n, cap;
    size_t name_end; /* ids before it name the type */
} Target;
/* The text of one type in one wording, naming the genes gene[0..n) (places in the cell's list),
 * ending with </s>. */
CHECKED Err describe_target(const Bpe *b, const CellType *t, int wording, const int32_t *gene,
                            size_t n, Target *out);
/* How a text about the type begins, its name included: "This is a B cell". Caller frees. */
char *describe_begin(const CellType *t, int wording);
/* The same up to the genes: name, lineage, function. Caller frees. */
char *describe_facts(const CellType *t, int wording);
/* A gene that says little about a cell's type: mitochondrial, ribosomal, heat shock, immediate
 * early, ... */
int describe_dull_gene(const char *symbol);
#endif
