/* TSV tables: comments, a header, rows; floats with 6 significant digits; tabs and control
 * characters escaped. */
#ifndef SCMM_DATA_TABLE_H
#define SCMM_DATA_TABLE_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Table Table;

/* path NULL or "-": writes to `to` (borrowed); else a file that appears when the table is closed.
 */
CHECKED Err table_open(const char *path, FILE *to, bool force, Table **out);
/* Everything below remembers the first failure; table_close reports it. */
void table_comment(Table *t, const char *key,
                   const char *value);       /* "# key: value", before the header */
void table_text(Table *t, const char *text); /* one field; NULL is empty */
void table_number(Table *t, double v);
void table_int(Table *t, int64_t v);
void table_end_row(Table *t);
/* A whole row of texts: the header. The list ends with NULL. */
void table_row(Table *t, const char *first, ...) __attribute__((sentinel));
/* Flushes, makes the file appear, frees t. */
CHECKED Err table_close(Table *t);
/* Drops an unfinished table; NULL ok. */
void table_abort(Table *t);
#endif
