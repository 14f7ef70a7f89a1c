/* The words of the cell-type library: names found in a text, types ranked by the words they share with it (BM25 over
 * names, synonyms, other languages, own words, tissues and marker symbols), and likely spellings of unknown words. */
#ifndef SCMM_SESSION_LEXICON_H
#define SCMM_SESSION_LEXICON_H
#include "core/model/celltypes.h"
#include "core/session/words.h"

typedef struct Lexicon Lexicon;
/* The library must outlive it. */
Lexicon *lexicon_new(const CellTypes *types);
void lexicon_free(Lexicon *x); /* NULL ok */
/* Ordinary words, one a line ("##" pieces are left out), that are no misspellings even when the library lacks them. */
CHECKED Err lexicon_add_dictionary(Lexicon *x, const char *path);

typedef struct NamedType {
    int32_t type;
    size_t from, to; /* words from .. to-1 */
} NamedType;
/* Types named in the words, longest names first, no word used twice; up to words->n into out. skip[i] != 0: the word is
 * taken (NULL: none). Short abbreviations count only as the library writes them ("DC", not "dc"), unless the name is
 * all there is. */
size_t lexicon_names(const Lexicon *x, const char *text, const Words *words, const uint8_t *skip, NamedType *out);
/* score[types] 0..1: how much of the words' weight each type's texts cover; words in skip and stop words are left out.
 * Returns the share of the weight that lies in words the library knows at all. */
float lexicon_rank(const Lexicon *x, const Words *words, const uint8_t *skip, float *score);
/* Is the folded word in any text of the library? */
bool lexicon_knows(const Lexicon *x, const char *word);
/* The word of a type's name that was probably meant by a misspelt one; NULL when the word is known, too short, or like
 * nothing. Borrowed. */
const char *lexicon_correct(const Lexicon *x, const char *word);
#endif
