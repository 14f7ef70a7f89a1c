/* Lines of a text file, gzip-compressed (also in several members) or plain. Private to core/data.
 */
#ifndef SCMM_DATA_TEXTFILE_H
#define SCMM_DATA_TEXTFILE_H
#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct TextFile TextFile;
CHECKED Err textfile_open(const char *path, TextFile **out);
void textfile_close(TextFile *t); /* NULL ok */
/* The next line without its end (\n or \r\n) in *line, valid until the next call; NULL at the end
 * of the file. Fails on damaged gzip data, and on a line above 16 MB. */
CHECKED Err textfile_line(TextFile *t, char **line);
uint64_t textfile_number(const TextFile *t); /* of the last line, from 1 */
uint64_t textfile_bytes(const TextFile *t);  /* size of the file on the disk */
/* Bytes consumed of the file on the disk, for progress. */
uint64_t textfile_at(const TextFile *t);
#endif
