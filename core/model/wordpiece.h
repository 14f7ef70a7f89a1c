/* BERT's uncased WordPiece tokenizer: clean, lower-case, strip accents, split at blanks and
 * punctuation, then the greedy longest match against a vocabulary (one token a line, id = line
 * number). */
#ifndef SCMM_MODEL_WORDPIECE_H
#define SCMM_MODEL_WORDPIECE_H
#include "core/base/err.h"
#include "core/base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct WordPiece WordPiece;

/* Reads vocab.txt; [UNK], [CLS], [SEP], [PAD] must be there. */
CHECKED Err wordpiece_open(const char *vocab_path, WordPiece **out);
/* The same from the file's text. */
CHECKED Err wordpiece_from_text(const char *vocab, WordPiece **out);
typedef struct WordPieceStyle {
    bool lower, strip; /* letters become small; accents go */
    bool keep_chinese; /* no blanks around CJK characters */
    bool fast;         /* as Rust's tokenizers: unassigned characters stay, Unicode 8 */
} WordPieceStyle;
/* Default: lower and strip. */
void wordpiece_set_style(WordPiece *w, WordPieceStyle style);
/* text as the words are looked for: cleaned, letters folded, blanks around CJK characters. */
void wordpiece_normalize(const WordPiece *w, const char *text, Str *out);
/* The pieces of a text in which nothing is a special token; *ids is the caller's to free. */
CHECKED Err wordpiece_pieces(const WordPiece *w, const char *text, int32_t **ids, size_t *n);
void wordpiece_free(WordPiece *w); /* NULL ok */
size_t wordpiece_size(const WordPiece *w);
int32_t wordpiece_id(const WordPiece *w, const char *token); /* -1 */
const char *wordpiece_token(const WordPiece *w, int32_t id);
int32_t wordpiece_pad(const WordPiece *w);
/* [CLS] + pieces cut to max-2 + [SEP]; max 0: no limit. *ids is the caller's to free. Invalid UTF-8
 * bytes are dropped. specials 0: the pieces alone. */
CHECKED Err wordpiece_encode(const WordPiece *w, const char *text, size_t max, int specials,
                             int32_t **ids, size_t *n);
/* Several texts as rows of *width ids (the longest; [PAD] behind), with [CLS] and [SEP]; ids
 * [n,width], len [n], the caller's to free. */
CHECKED Err wordpiece_encode_rows(const WordPiece *w, const char *const *texts, size_t n,
                                  size_t max, int32_t **ids, int32_t **len, size_t *width);
#endif
