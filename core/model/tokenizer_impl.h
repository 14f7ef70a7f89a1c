/* What tok_*.c share. */
#ifndef SCMM_MODEL_TOKENIZER_IMPL_H
#define SCMM_MODEL_TOKENIZER_IMPL_H
#include "core/base/hash.h"
#include "core/base/str.h"
#include "core/model/tokenizer.h"
#include "core/model/wordpiece.h"
#include <cjson/cJSON.h>

typedef struct Ids {
    int32_t *v;
    size_t n, cap;
} Ids;
CHECKED Err tok_add_id(Ids *a, int32_t id);

typedef struct Added {  /* a token taken literally out of the text */
    char *text, *match; /* match: as it stands in the text that is searched (normalised) */
    size_t len;         /* of match */
    int32_t id;
    bool special, lstrip, rstrip, single, normalized;
} Added;

typedef enum SplitKind {
    SPLIT_NONE,
    SPLIT_GPT2,
    SPLIT_LLAMA3,
    SPLIT_QWEN,
    SPLIT_OWN
} SplitKind;
/* SPLIT_OWN, as a pattern: words of the decoder of this project (bpe.h). */
#define TOK_OWN_WORDS " ?[.,;:()]| ?[^ .,;:()]+| "
/* Lengths in bytes of the parts of valid UTF-8 text, one after another. */
typedef Err SplitPart(void *user, const char *text, size_t len);
CHECKED Err tok_split(SplitKind kind, const char *text, size_t len, SplitPart *each, void *user);

enum { TOK_STEPS = 16 };
typedef struct Step { /* of a normalizer, pre-tokenizer or decoder */
    enum {
        STEP_PREPEND,
        STEP_REPLACE,
        STEP_NFC,
        STEP_NFD,
        STEP_NFKC,
        STEP_NFKD,
        STEP_LOWER,
        STEP_METASPACE,
        STEP_SPLIT,
        STEP_BYTES,
        STEP_BYTE_FALLBACK,
        STEP_FUSE,
        STEP_STRIP,
        STEP_WORDPIECE
    } kind;
    char *a, *b;       /* replace a by b; prepended a; prefix */
    SplitKind split;   /* of STEP_SPLIT; of STEP_BYTES: NONE or GPT2 */
    bool prefix_space; /* STEP_BYTES */
    int prepend;       /* STEP_METASPACE: 0 never, 1 first, 2 always */
    bool meta_split;   /* parts begin at the mark */
    int start, stop;   /* STEP_STRIP */
} Step;

/* Merges: pair of ids -> rank and result. */
typedef struct PairMap PairMap;
PairMap *pairmap_new(size_t n);
void pairmap_free(PairMap *m);
void pairmap_put(PairMap *m, int32_t a, int32_t b, uint32_t rank, int32_t id);
bool pairmap_get(const PairMap *m, int32_t a, int32_t b, uint32_t *rank, int32_t *id);

typedef struct Symbol {
    const char *text; /* in the input */
    size_t len;
    int32_t id; /* -1: none */
    bool frozen;
} Symbol;
/* Merges symbols s[0..*n) in place: the best pair first (lowest rank), leftmost on ties. */
typedef bool MergePair(const void *user, const Symbol *a, const Symbol *b, double *rank,
                       int32_t *id);
CHECKED Err tok_merge(Symbol *s, size_t *n, MergePair *pair, const void *user);

struct Tokenizer {
    enum { TOK_SPM, TOK_BPE, TOK_JSON_WORDS, TOK_VOCAB } kind;
    char **piece;
    size_t n, cap;
    StrMap *id;
    float *score;
    uint8_t *type; /* SentencePiece: 1 normal, 2 unknown, 3 control, 4 user, 6 byte; 0 added */
    bool has_user;
    PairMap *pairs;
    WordPiece *words;
    bool *special; /* [n] */
    Added *added;
    size_t n_added, cap_added;
    StrMap *added_at; /* text -> place in added */
    int32_t unk, bos, eos, byte[256]; /* -1: none */
    bool byte_fallback, fuse_unk, ignore_merges;
    bool dummy_prefix, remove_extra, legacy;
    Step norm[TOK_STEPS], pre[TOK_STEPS], dec[TOK_STEPS];
    int n_norm, n_pre, n_dec;
    int32_t before[8], after[8]; /* what the post-processor adds */
    int n_before, n_after;
};
CHECKED Err tok_set_piece(Tokenizer *t, int32_t id, const char *text);
CHECKED Err tok_add_added(Tokenizer *t, const char *text, int32_t id, const cJSON *flags);
/* A tokenizer.json's normalised tokens are looked for as its normalizer writes them. */
CHECKED Err tok_normalize_added(Tokenizer *t);
/* Tokens that tokenizer_config.json at `path` (read as `settings`; both may be NULL) adds, or the
 * older added_tokens.json beside it. */
CHECKED Err tok_read_added(Tokenizer *t, const char *path, const cJSON *settings);
/* A special token of the settings, which stands there as a text or an object. */
const char *tok_special(const cJSON *settings, const char *key, const char *otherwise);
/* A tokenizer.json that is read already; path: for messages. */
CHECKED Err tok_json_open(const cJSON *root, const char *path, Tokenizer **out);
void tok_find_bytes(Tokenizer *t);
/* One piece of text without added tokens; first: it is at the very start. */
CHECKED Err tok_spm_encode(const Tokenizer *t, const char *text, size_t len, bool first, Ids *out);
CHECKED Err tok_json_normalize(const Tokenizer *t, Str *text);
CHECKED Err tok_json_encode(const Tokenizer *t, Str *text, bool first, Ids *out);
Err tok_decode_spm(const Tokenizer *t, const int32_t *ids, size_t n, bool skip, Str *out);
Err tok_decode_json(const Tokenizer *t, const int32_t *ids, size_t n, bool skip, Str *out);
/* Valid UTF-8 with U+FFFD for what is not; each: one for every bad byte, else one for every cut-off
 * sequence as Rust does. */
void tok_lossy(Str *out, const char *bytes, size_t n, bool each);
bool tok_is_space(int32_t c);
/* The character that stands for a byte in byte-level vocabularies (GPT-2's). */
int32_t tok_char_of_byte(int b);
#endif
