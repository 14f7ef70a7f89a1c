/* The words of a prompt: which types and genes they name, and which of them are not wanted. */
#ifndef SCMM_SESSION_PROMPT_READ_H
#define SCMM_SESSION_PROMPT_READ_H
#include "core/session/gene_words.h"
#include "core/session/lexicon.h"
#include <stdint.h>

typedef struct Reading {
    char *text;         /* spelling put right */
    char *positive;     /* without the clauses that were turned around */
    Words words;        /* of text */
    GeneWords genes;    /* outside names */
    NamedType *names;
    size_t n_names;
    uint8_t *used;      /* [words] part of a name or gene */
    uint8_t *negative;  /* [words] inside a clause that is turned around: "but not T cells" */
    bool explained;     /* names and genes account for every telling word */
    size_t subject;     /* the name that the sentence is about ("T cells that help B cells"); n_names: none */
} Reading;

void prompt_read(const Lexicon *x, const LabelIndex *labels, GeneKnown *known, void *user, const char *text,
                 Reading *out);
void reading_done(Reading *r);
/* Is name or gene i wanted? A gene with a minus sign in a negated clause is wanted again. */
bool reading_name_wanted(const Reading *r, size_t i);
bool reading_gene_wanted(const Reading *r, size_t i);
#endif
