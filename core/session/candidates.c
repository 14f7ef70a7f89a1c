/* Making candidates. A label that the library knows brings its texts and markers; one that it does not know has its own
 * words: the label, its description, and the genes named in it. */
#include "core/session/candidates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/session/gene_words.h"

void candidates_done(Candidates *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->labels)
            free(c->labels[i]);
        if (c->texts)
            free(c->texts[i]);
        if (c->markers)
            marker_set_done(&c->markers[i]);
    }
    free(c->labels);
    free(c->texts);
    free(c->type);
    free(c->vec);
    free(c->raw);
    free(c->markers);
    *c = (Candidates){0};
}

static Err make_room(Candidates *c, size_t n)
{
    *c = (Candidates){0};
    Err err = OK;
    TRY_GOTO(NEW0(c->labels, n));
    TRY_GOTO(NEW0(c->texts, n));
    TRY_GOTO(NEW(c->type, n));
    TRY_GOTO(NEW0(c->markers, n));
done:
    if (err)
        candidates_done(c);
    return err;
}

static void add(Candidates *c, StrMap *seen, const char *label, const char *text)
{
    if (!*label || !strmap_put(seen, label, 1))
        return;
    c->labels[c->n] = mem_strdup(label);
    c->texts[c->n] = mem_strdup(text);
    c->type[c->n++] = -1;
}

/* A line without its end: carriage return and blanks go, blanks inside stay. */
static char *trim(char *s)
{
    s += strspn(s, " \r");
    size_t n = strlen(s);
    while (n && strchr(" \r", s[n - 1]))
        s[--n] = 0;
    return s;
}

Err candidates_read_labels(const char *path, Candidates *out)
{
    char *text;
    size_t lines = 1;
    TRY(str_read_file(path, 16 << 20, ERR_INPUT, &text, NULL));
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    Err err = make_room(out, lines);
    StrMap *seen = strmap_new(lines);
    char *save = NULL, *start = str_starts(text, "\xEF\xBB\xBF") ? text + 3 : text;
    for (char *l = strtok_r(start, "\n", &save); err == OK && l; l = strtok_r(NULL, "\n", &save)) {
        char *tab = strchr(l, '\t');
        if (tab)
            *tab = 0;
        add(out, seen, trim(l), tab ? trim(tab + 1) : "");
    }
    strmap_free(seen);
    free(text);
    if (err == OK && out->n == 0) {
        candidates_done(out);
        FAIL(ERR_USAGE, "%s: holds no labels; one a line is expected", path);
    }
    return err;
}

Err candidates_from_list(const char *const *labels, size_t n, Candidates *out)
{
    TRY(make_room(out, n));
    StrMap *seen = strmap_new(n + 1);
    for (size_t i = 0; i < n; i++)
        add(out, seen, labels[i], "");
    strmap_free(seen);
    if (out->n == 0) {
        candidates_done(out);
        FAIL(ERR_USAGE, "no labels to choose from");
    }
    return OK;
}

/* ---- vectors ---- */

static void add_to(float *sum, const float *v, size_t d, float weight)
{
    for (size_t i = 0; i < d; i++)
        sum[i] += weight * v[i];
}

static Err make_vectors(const ModelState *m, Candidates *c)
{
    c->d = model_desc(m->model)->dim;
    c->n_vec = 2 * c->n;
    TRY(NEW0(c->vec, c->n_vec * c->d));
    return NEW0(c->raw, c->n * model_desc(m->model)->text_width);
}

static void set_library_vectors(const ModelState *m, const LibraryVectors *lib, Candidates *c, size_t i)
{
    size_t d = c->d, w = model_desc(m->model)->text_width, t = (size_t)c->type[i];
    memcpy(c->vec + 2 * i * d, lib->label + t * d, d * sizeof *c->vec);
    memcpy(c->vec + (2 * i + 1) * d, lib->mean_texts + t * d, d * sizeof *c->vec);
    memcpy(c->raw + i * w, lib->text_raw + lib->first_text[t] * w, w * sizeof *c->raw);
}

/* Texts that only the person gave: unknown labels and all descriptions. */
static Err embed_own_words(const ModelState *m, JobCtl *ctl, Candidates *c)
{
    size_t d = c->d, w = model_desc(m->model)->text_width, n = 0;
    const char **text;
    size_t *slot;
    TextVectors v = {0};
    Err err = OK;
    TRY(NEW(text, 2 * c->n));
    TRY_GOTO(NEW(slot, 2 * c->n));
    for (size_t i = 0; i < c->n; i++) {
        if (c->type[i] < 0) {
            slot[n] = 2 * i;
            text[n++] = c->labels[i];
        }
        if (c->texts[i][0]) {
            slot[n] = 2 * i + 1;
            text[n++] = c->texts[i];
        }
    }
    if (n)
        TRY_GOTO(model_embed_texts(m->model, text, n, ctl, &v));
    for (size_t k = 0; k < n; k++) {
        size_t i = slot[k] / 2;
        bool known = c->type[i] >= 0;
        add_to(c->vec + slot[k] * d, v.vec + k * d, d, known ? 0.5f : 1); /* library texts weigh more than one sentence */
        if (slot[k] % 2 == 0)
            memcpy(c->raw + i * w, v.raw + k * w, w * sizeof *c->raw);
        if (slot[k] % 2 == 0 && !c->texts[i][0])
            add_to(c->vec + (slot[k] + 1) * d, v.vec + k * d, d, 1);
    }
done:
    text_vectors_done(&v);
    free(text);
    free(slot);
    return err;
}

/* ---- markers ---- */

static bool in_file(void *user, const char *symbol)
{
    return model_state_column(user, symbol) >= 0;
}

/* Library markers plus the genes named in label and description. */
static Err set_markers(const ModelState *m, Candidates *c, size_t i)
{
    const CellType *t = c->type[i] >= 0 ? celltypes_at(model_celltypes(m->model), (size_t)c->type[i]) : NULL;
    char *text = str_format("%s . %s", c->type[i] < 0 ? c->labels[i] : "", c->texts[i]);
    Words words;
    GeneWords genes;
    words_split(text, &words);
    gene_words_find(m->labels, in_file, (void *)m, text, &words, &genes);
    size_t n_high = 0, n_low = 0;
    const char **high = mem_must((genes.n + (t ? t->high.n : 0) + 1) * sizeof *high);
    const char **low = mem_must((genes.n + (t ? t->low.n : 0) + 1) * sizeof *low);
    for (size_t k = 0; t && k < t->high.n; k++)
        high[n_high++] = t->high.v[k];
    for (size_t k = 0; t && k < t->low.n; k++)
        low[n_low++] = t->low.v[k];
    for (size_t k = 0; k < genes.n; k++)
        if (genes.v[k].negative)
            low[n_low++] = genes.v[k].symbol;
        else
            high[n_high++] = genes.v[k].symbol;
    Err err = model_state_markers(m, high, n_high, low, n_low, &c->markers[i]);
    free(high);
    free(low);
    gene_words_done(&genes);
    words_done(&words);
    free(text);
    return err;
}

Err candidates_resolve(const ModelState *m, JobCtl *ctl, Candidates *c)
{
    const LibraryVectors *lib;
    TRY(model_library(m->model, ctl, &lib));
    for (size_t i = 0; i < c->n; i++) {
        c->type[i] = label_find(m->labels, c->labels[i]);
        if (c->type[i] < 0 && str_starts(c->texts[i], "CL:"))
            c->type[i] = celltypes_find_id(model_celltypes(m->model), c->texts[i]);
    }
    TRY(make_vectors(m, c));
    for (size_t i = 0; i < c->n; i++) {
        if (c->type[i] >= 0)
            set_library_vectors(m, lib, c, i);
        TRY(set_markers(m, c, i));
    }
    return embed_own_words(m, ctl, c);
}

Err candidates_of_library(const ModelState *m, JobCtl *ctl, Candidates *out)
{
    const CellTypes *t = model_celltypes(m->model);
    const LibraryVectors *lib;
    Err err = OK;
    TRY(model_library(m->model, ctl, &lib));
    TRY(make_room(out, celltypes_count(t)));
    out->all_types = true;
    for (size_t i = 0; i < celltypes_count(t); i++) {
        out->labels[i] = mem_strdup(celltypes_at(t, i)->name);
        out->texts[i] = mem_strdup("");
        out->type[i] = (int32_t)i;
        out->n++;
    }
    TRY_GOTO(make_vectors(m, out));
    for (size_t i = 0; i < out->n; i++) {
        set_library_vectors(m, lib, out, i);
        TRY_GOTO(set_markers(m, out, i));
    }
    return OK;
done:
    candidates_done(out);
    return err;
}

const char *candidates_id(const ModelState *m, const Candidates *c, size_t i)
{
    return c->type[i] < 0 ? "" : celltypes_at(model_celltypes(m->model), (size_t)c->type[i])->id;
}
