/* Words of prompts, labels and texts in a form that can be compared: lower case, without accents, plural and the
 * decorations of marker names ("CD16+", "CD16⁺", "CD16-positive" are one word; "CD16-", "CD16 negative" another). */
#ifndef SCMM_SESSION_WORDS_H
#define SCMM_SESSION_WORDS_H
#include <stdbool.h>
#include <stddef.h>

typedef struct Word {
    char *text;        /* folded, plural taken off: "monocyte", "cd16", "cd16neg" */
    size_t start, end; /* bytes of the original it came from */
    bool capitals;     /* typed in capitals and digits only, with a letter: "NK", "CD4" */
    bool stop;         /* carries no meaning of its own: "the", "which" */
} Word;
typedef struct Words {
    size_t n;
    Word *v;
} Words;

/* Never fails; text may be any bytes. Chinese and Japanese characters are words of their own. */
void words_split(const char *text, Words *out);
void words_done(Words *w);
/* Lower case and base letters: "Müller" -> "muller", "γδ" -> "gammadelta". Caller frees. */
char *words_fold(const char *text);
/* words from..to-1 joined by blanks; caller frees. */
char *words_join(const Words *w, size_t from, size_t to);
/* Edit distance with swaps of neighbours counted once (Damerau; optimal string alignment), or max + 1 when larger. */
size_t words_distance(const char *a, const char *b, size_t max);
#endif
