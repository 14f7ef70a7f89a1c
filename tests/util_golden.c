/* Reads golden files whole and cuts them into lines and fields in place. */
#include "tests/util_golden.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/util.h"

struct Golden {
    char *text, **line;
    size_t n;
    double **numbers; /* kept until closing */
    size_t n_numbers;
};

Golden *golden_open(const char *name)
{
    Golden *g = mem_must(sizeof *g);
    char *path = str_format("tests/golden/%s", name);
    assert_ok(str_read_file(path, 64 << 20, ERR_INPUT, &g->text, NULL));
    free(path);
    size_t lines = 1;
    for (const char *p = g->text; *p; p++)
        lines += *p == '\n';
    g->line = mem_must(lines * sizeof *g->line);
    char *save = NULL;
    for (char *l = strtok_r(g->text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        if (l[0] != '#')
            g->line[g->n++] = l;
    g->numbers = mem_must((g->n + 1) * sizeof *g->numbers);
    /* Fields become strings of their own. */
    for (size_t i = 0; i < g->n; i++)
        for (char *p = g->line[i]; *p; p++)
            if (*p == '\t')
                *p = 0x1e;
    return g;
}

void golden_close(Golden *g)
{
    for (size_t i = 0; i < g->n_numbers; i++)
        free(g->numbers[i]);
    free(g->numbers);
    free(g->line);
    free(g->text);
    free(g);
}

size_t golden_lines(const Golden *g)
{
    return g->n;
}

const char *golden_field(const Golden *g, size_t line, size_t field)
{
    static char out[4][8192]; /* a few may be in use at once */
    static int turn;
    const char *p = g->line[line];
    for (size_t i = 0; i < field && p; i++) {
        p = strchr(p, 0x1e);
        p = p ? p + 1 : NULL;
    }
    if (!p)
        fail_msg("golden line %zu has no field %zu", line, field);
    char *text = out[turn++ % 4];
    size_t n = strcspn(p, "\x1e");
    memcpy(text, p, n);
    text[n] = 0;
    return text;
}

const double *golden_numbers(Golden *g, const char *key, size_t *n)
{
    size_t k = strlen(key);
    for (size_t i = 0; i < g->n; i++) {
        if (strncmp(g->line[i], key, k) != 0 || g->line[i][k] != ' ')
            continue;
        double *v = mem_must((strlen(g->line[i]) + 1) * sizeof *v);
        assert_true(g->n_numbers < g->n);
        g->numbers[g->n_numbers++] = v;
        *n = 0;
        char *end;
        for (char *p = g->line[i] + k;; p = end) {
            double x = strtod(p, &end);
            if (end == p)
                return v;
            v[(*n)++] = x;
        }
    }
    fail_msg("the golden file has no numbers called %s", key);
    return NULL;
}

double golden_number(Golden *g, const char *key)
{
    size_t n;
    const double *v = golden_numbers(g, key, &n);
    assert_int_equal(n, 1);
    return v[0];
}
