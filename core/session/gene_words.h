/* Genes named in free text: symbols ("MS4A1", "foxp3"), surface and protein names ("CD20", "granzyme B"), each with the
 * sign it was written with ("CD3-", "CD16 negative"). */
#ifndef SCMM_SESSION_GENE_WORDS_H
#define SCMM_SESSION_GENE_WORDS_H
#include "core/session/label.h"
#include "core/session/words.h"

typedef struct GeneWord {
    char *symbol;
    bool negative;
    size_t from, to; /* words of the text it was written in: from .. to-1 */
} GeneWord;
typedef struct GeneWords {
    size_t n;
    GeneWord *v;
} GeneWords;

/* Is there such a gene? Exact spelling. */
typedef bool GeneKnown(void *user, const char *symbol);

/* words: words_split(text). A protein with several genes gives several entries with the same words. */
void gene_words_find(const LabelIndex *labels, GeneKnown *known, void *user, const char *text, const Words *words,
                     GeneWords *out);
void gene_words_done(GeneWords *g);
#endif
