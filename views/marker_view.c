/* Sorting and filtering of marker tables. */
#include "views/marker_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"

static const char *const names[N_MARKER_COLUMNS] = {"rank", "gene", "logFC", "in", "out", "padj"};

const char *marker_column_name(MarkerColumn c)
{
    return names[c];
}

static double number(const Marker *m, MarkerColumn c)
{
    switch (c) {
    case MARKER_LOGFC:
        return (double)m->logfoldchange;
    case MARKER_IN:
        return (double)m->frac_in;
    case MARKER_OUT:
        return (double)m->frac_out;
    case MARKER_P:
        return m->pval_adj;
    default:
        return (double)m->score;
    }
}

/* ---- filter ---- */
bool marker_column_find(const char *name, size_t n, MarkerColumn *out)
{
    static const struct {
        const char *name;
        MarkerColumn column;
    } known[] = {{"score", MARKER_RANK}, {"rank", MARKER_RANK},
                 {"gene", MARKER_GENE},  {"logfc", MARKER_LOGFC},
                 {"lfc", MARKER_LOGFC},  {"logfoldchange", MARKER_LOGFC},
                 {"in", MARKER_IN},      {"frac_in", MARKER_IN},
                 {"out", MARKER_OUT},    {"frac_out", MARKER_OUT},
                 {"padj", MARKER_P},     {"pval_adj", MARKER_P},
                 {"p", MARKER_P}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == n && !strncasecmp(known[i].name, name, n)) {
            *out = known[i].column;
            return true;
        }
    return false;
}

static Err add_condition(const char *word, size_t sign, MarkerFilter *f)
{
    MarkerColumn column;
    bool equal = word[sign + 1] == '=';
    const char *value = word + sign + 1 + equal;
    char *end;
    double limit = strtod(value, &end);
    if (!marker_column_find(word, sign, &column) || column == MARKER_GENE)
        FAIL(ERR_USAGE, "'%s': the columns are score, logFC, in, out, padj", word);
    if (end == value || *end)
        FAIL(ERR_USAGE, "'%s': a number follows the sign, as in padj<0.05", word);
    if (f->n_conditions == MARKER_CONDITIONS)
        FAIL(ERR_USAGE, "'%s': %d conditions are the most", word, MARKER_CONDITIONS);
    f->conditions[f->n_conditions].column = column;
    f->conditions[f->n_conditions].above = word[sign] == '>';
    f->conditions[f->n_conditions].equal = equal;
    /* all but p are kept as float: 0.1 means the float next to it */
    f->conditions[f->n_conditions++].limit = column == MARKER_P ? limit : (double)(float)limit;
    return OK;
}

Err marker_filter_parse(const char *text, MarkerFilter *out)
{
    MarkerFilter f = {0};
    char *copy = mem_strdup(text), *save = NULL;
    Err err = OK;
    for (char *w = strtok_r(copy, " \t,", &save); w && err == OK;
         w = strtok_r(NULL, " \t,", &save)) {
        size_t sign = strcspn(w, "<>");
        if (w[sign])
            err = add_condition(w, sign, &f);
        else if (f.n_words == MARKER_WORDS || strlen(w) >= sizeof f.words[0])
            err = err_set(ERR_USAGE, "'%s': too many or too long words", w);
        else
            memcpy(f.words[f.n_words++], w, strlen(w) + 1);
    }
    free(copy);
    if (err == OK)
        *out = f;
    return err;
}

bool marker_passes(const MarkerFilter *f, const Marker *m)
{
    for (size_t i = 0; i < f->n_conditions; i++) {
        double v = number(m, f->conditions[i].column), limit = f->conditions[i].limit;
        bool beyond = f->conditions[i].above ? v > limit : v < limit; /* never a missing number */
        if (!beyond && !(f->conditions[i].equal && v == limit))
            return false;
    }
    for (size_t i = 0; i < f->n_words; i++)
        if (strcasestr(m->gene, f->words[i]))
            return true;
    return f->n_words == 0;
}

/* ---- order ---- */
typedef struct Keyed {
    double key;
    const char *gene;
    size_t row;
} Keyed;

static int by_key(const void *a, const void *b)
{
    const Keyed *x = a, *y = b;
    if (isnan(x->key) != isnan(y->key))
        return isnan(x->key) ? 1 : -1;
    if (x->key != y->key && !isnan(x->key))
        return x->key < y->key ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_gene(const void *a, const void *b)
{
    const Keyed *x = a, *y = b;
    int c = strcasecmp(x->gene, y->gene);
    return c ? c : (x->row > y->row) - (x->row < y->row);
}

size_t marker_rows(const MarkerTable *t, int group, const MarkerFilter *f, MarkerColumn by,
                   bool reverse, size_t *out)
{
    size_t n = 0;
    bool falling = (by == MARKER_LOGFC || by == MARKER_IN) != reverse;
    Keyed *k = mem_must((t->n + 1) * sizeof *k);
    for (size_t i = 0; i < t->n; i++) {
        const Marker *m = &t->rows[i];
        if ((group >= 0 && m->group != group) || !marker_passes(f, m))
            continue;
        double v = by == MARKER_RANK ? (double)i : number(m, by);
        k[n++] = (Keyed){falling || (by == MARKER_RANK && reverse) ? -v : v, m->gene, i};
    }
    if (by == MARKER_GENE)
        qsort(k, n, sizeof *k, by_gene);
    else if (by != MARKER_RANK || reverse)
        qsort(k, n, sizeof *k, by_key);
    for (size_t i = 0; i < n; i++)
        out[i] = k[by == MARKER_GENE && reverse ? n - 1 - i : i].row;
    free(k);
    return n;
}

size_t marker_view_rows(const MarkerTable *t, size_t n_groups, const MarkerView *v, size_t *out)
{
    size_t n = 0;
    if (v->group >= 0 || !n_groups)
        return marker_rows(t, v->group, &v->filter, v->by, v->reverse, out);
    for (size_t g = 0; g < n_groups; g++)
        n += marker_rows(t, (int)g, &v->filter, v->by, v->reverse, out + n);
    return n;
}
