/* Growable byte strings, and the few text helpers that several modules need. */
#ifndef SCMM_BASE_STR_H
#define SCMM_BASE_STR_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct Str {
    char *data; /* always NUL-terminated once anything was added; NULL when empty */
    size_t len, cap;
} Str;

void str_free(Str *s);
void str_clear(Str *s);
void str_add(Str *s, const char *text);
void str_add_n(Str *s, const char *bytes, size_t n);
void str_add_char(Str *s, char c);
void str_addf(Str *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The text, "" when empty; valid until the next change. */
const char *str_text(const Str *s);
/* Hands the buffer over (caller frees) and leaves s empty; never NULL. */
char *str_take(Str *s);
/* A new formatted string; caller frees. */
char *str_format(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Appends text with tab, newline, backslash and control characters escaped (\t \n \\ \xNN): one TSV field. */
void str_add_tsv(Str *s, const char *text);
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* A copy that libraries and files take: what is not UTF-8, and control characters, become "?", tabs and line ends blanks. */
char *str_utf8(const char *text);
bool str_ends_nocase(const char *s, const char *suffix); /* ASCII case only */
bool str_equal_nocase(const char *a, const char *b); /* ASCII case only */
/* Whole file into *out (caller frees, NUL added); *len may be NULL. Fails with `code` naming the path. */
CHECKED Err str_read_file(const char *path, size_t max_bytes, Err code, char **out, size_t *len);
#endif
