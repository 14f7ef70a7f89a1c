/* Building and freeing Columns (one obs or var column; the struct is in dataset.h). */
#ifndef SCMM_DATA_COLUMN_H
#define SCMM_DATA_COLUMN_H
#include "core/data/dataset.h"

/* Frees a heap column and all it owns; NULL ok. */
void column_free(Column *c);
Column *column_copy(const Column *c);
/* Each copies its input. NULL strings and codes out of range are missing values. */
Column *column_strings(const char *name, const char *const *values, size_t n);
Column *column_numbers(const char *name, const double *values, size_t n);
Column *column_categorical(const char *name, const int32_t *codes, size_t n,
                           const char *const *categories, size_t n_categories);
/* Strings to categories in order of their text. */
Column *column_categories_of(const char *name, const char *const *values, size_t n);
/* The value of row i as text ("" when missing), numbers as in tables; the result lives until the
 * next call with the same buffer. */
const char *column_text(const Column *c, size_t i, char buffer[32]);
/* Recounts c->missing. */
void column_count_missing(Column *c);

void strings_free(char **s, size_t n); /* NULL ok */
/* A number as every table and message writes it: integers whole, others with 6 significant digits.
 */
const char *number_text(double v, char buffer[32]);
#endif
