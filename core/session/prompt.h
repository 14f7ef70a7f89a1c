/* What a person's words mean to the program: the types of the library they name or describe, with
 * weights, and the genes they name. Search and generation both start from this. For session_*.c
 * only; implemented in prompt.c. */
#ifndef SCMM_SESSION_PROMPT_H
#define SCMM_SESSION_PROMPT_H
#include "core/session/model_state.h"

typedef struct PromptMatch {
    char *text;
    size_t n_types;
    int32_t *type;  /* [n_types] library types, best first; may be empty when only genes are named */
    float *weight;  /* [n_types] sum 1 */
    int32_t *absent; /* [n_absent] library types that are named as not wanted ("but not T cells") */
    size_t n_absent;
    int32_t *up, *down; /* model genes named as present, as absent ("CD3-") */
    size_t n_up, n_down;
    float *vec;       /* [D] what cells are compared with, unit length */
    float *raw;       /* [W] text tower's vector of the prompt */
    float confidence; /* 0..1 that the words mean these types or genes */
    char *understood; /* "plasma cell; plasmablast; genes SDC1" */
} PromptMatch;

/* Hybrid matching: names, synonyms, genes and own-words texts of the library, by words and by
 * vectors. ERR_NOT_FOUND for words that name nothing biological (confidence below the refusal
 * threshold). The session needs no dataset. */
CHECKED Err prompt_match(Session *s, const char *text, JobCtl *ctl, PromptMatch **out);
void prompt_match_free(PromptMatch *p); /* NULL ok */
#endif
