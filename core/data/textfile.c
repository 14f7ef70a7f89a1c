/* Line reading over zlib. */
#include "core/data/textfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "core/base/mem.h"

enum { STEP = 1 << 18, LONGEST = 1 << 24 };

struct TextFile {
    gzFile gz;
    char *path;
    char *buffer;
    size_t cap, from, to; /* unread bytes are buffer[from..to) */
    uint64_t number, bytes;
};

Err textfile_open(const char *path, TextFile **out)
{
    struct stat st;
    gzFile gz = gzopen(path, "rb");
    if (!gz || stat(path, &st)) {
        err_set(ERR_INPUT, "%s: cannot be opened: %s", path, strerror(errno ? errno : ENOMEM));
        if (gz)
            gzclose(gz);
        return ERR_INPUT;
    }
    gzbuffer(gz, STEP);
    TextFile *t = mem_must(sizeof *t);
    t->gz = gz;
    t->path = mem_strdup(path);
    t->bytes = (uint64_t)st.st_size;
    t->cap = STEP + 1;
    t->buffer = mem_must(t->cap);
    *out = t;
    return OK;
}

void textfile_close(TextFile *t)
{
    if (!t)
        return;
    gzclose(t->gz);
    free(t->buffer);
    free(t->path);
    free(t);
}

/* Reads more behind the unread bytes; *end at the end of the file. */
static Err fill(TextFile *t, int *end)
{
    memmove(t->buffer, t->buffer + t->from, t->to - t->from);
    t->to -= t->from;
    t->from = 0;
    if (t->cap - t->to < STEP / 2) {
        if (t->cap > LONGEST)
            FAIL(ERR_INPUT, "%s: line %llu is longer than 16 MB; this is no text file", t->path,
                 (unsigned long long)t->number + 1);
        TRY(mem_realloc(&t->buffer, t->cap * 2, 1));
        t->cap *= 2;
    }
    int n = gzread(t->gz, t->buffer + t->to, (unsigned)(t->cap - t->to - 1));
    int code = 0;
    const char *why = n <= 0 ? gzerror(t->gz, &code) : "";
    if (n < 0 || (n == 0 && code != Z_OK && code != Z_STREAM_END))
        FAIL(ERR_INPUT, "%s: is damaged or cut short (%s); copy it again", t->path, why);
    *end = n == 0;
    t->to += (size_t)n;
    return OK;
}

Err textfile_line(TextFile *t, char **line)
{
    char *start, *stop;
    int end = 0;
    while (!(stop = memchr(t->buffer + t->from, '\n', t->to - t->from)) && !end)
        TRY(fill(t, &end));
    start = t->buffer + t->from;
    if (!stop) { /* the last line may lack its end */
        if (t->from == t->to) {
            *line = NULL;
            return OK;
        }
        stop = t->buffer + t->to;
    }
    t->from = (size_t)(stop - t->buffer) + (stop < t->buffer + t->to);
    *stop = 0;
    if (stop > start && stop[-1] == '\r')
        stop[-1] = 0;
    t->number++;
    *line = start;
    return OK;
}

uint64_t textfile_number(const TextFile *t)
{
    return t->number;
}

uint64_t textfile_bytes(const TextFile *t)
{
    return t->bytes;
}

uint64_t textfile_at(const TextFile *t)
{
    z_off_t at = gzoffset(t->gz);
    return at < 0 ? 0 : (uint64_t)at;
}
