/* Tokenizers of published models, to the id: SentencePiece BPE (tokenizer.model), tokenizer.json
 * (BPE in the styles of Llama-2, GPT-2, Llama-3; WordPiece), BERT's vocab.txt, GPT-2's two files. */
#ifndef SCMM_MODEL_TOKENIZER_H
#define SCMM_MODEL_TOKENIZER_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Tokenizer Tokenizer;
/* settings: tokenizer_config.json beside it (added tokens, legacy), NULL or missing: none. */
CHECKED Err tokenizer_open_spm(const char *path, const char *settings, Tokenizer **out);
CHECKED Err tokenizer_open_json(const char *path, Tokenizer **out);
/* BERT's vocab.txt; rows: of the table of words, where [DEC] may have one behind the file's. */
CHECKED Err tokenizer_open_vocab(const char *path, const char *settings, size_t rows,
                                 Tokenizer **out);
/* GPT-2's vocab.json and merges.txt. */
CHECKED Err tokenizer_open_merges(const char *vocab, const char *merges, const char *settings,
                                  Tokenizer **out);
/* The tower's ("text", "lm") of an imported or shipped bundle. */
CHECKED Err tokenizer_open_bundle(const char *dir, const char *tower, Tokenizer **out);
void tokenizer_free(Tokenizer *t);                           /* NULL ok */
size_t tokenizer_size(const Tokenizer *t);                   /* ids are below it */
const char *tokenizer_token(const Tokenizer *t, int32_t id); /* "" when there is none */
bool tokenizer_is_special(const Tokenizer *t, int32_t id);
/* Text (any bytes) -> ids, with the special tokens that the model adds when `specials`. *ids is the
 * caller's to free; no truncation. */
CHECKED Err tokenizer_encode(const Tokenizer *t, const char *text, size_t len, bool specials,
                             int32_t **ids, size_t *n);
/* Ids -> UTF-8 text (caller frees), *len bytes (NULL: not asked; a text may hold NULs). Ids that
 * a table has rows for but the tokenizer no word: ERR_USAGE, with skip_special nothing. */
CHECKED Err tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                             char **text, size_t *len);
/* The part of that text which no later id can change: without an unfinished character at its end
 * and, where the decoder judges runs of bytes as a whole, without the last run. */
CHECKED Err tokenizer_decode_certain(const Tokenizer *t, const int32_t *ids, size_t n,
                                     bool skip_special, char **text, size_t *len);
#endif
