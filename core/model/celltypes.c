/* Loading the cell-type library and answering questions about names and ancestry. Names are
 * compared in a folded form (lower case, blanks for hyphens and underscores, no plural), so that
 * "CD14+ monocytes" and "CD14+ Monocyte" are one. */
#include "core/model/celltypes.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include <cjson/cJSON.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 64 << 20 };

typedef struct Term { /* a line of the hierarchy table */
    char *id, *name, *parents;
    int32_t *anc; /* all ancestors, near ones first */
    size_t n_anc;
} Term;

struct CellTypes {
    CellType *t;
    size_t n, cap;
    Term *term;
    size_t n_terms;
    StrMap *by_id, *by_name, *term_by_id;
};

/* ---- names ---- */
static void fold_word(Str *out, const char *w, size_t n)
{
    if (n > 3 && w[n - 1] == 's' && w[n - 2] != 's' && w[n - 2] != 'u' && w[n - 2] != 'i')
        n--;
    if (out->len)
        str_add_char(out, ' ');
    str_add_n(out, w, n);
}

static char *fold_name(const char *name)
{
    Str low = {0}, out = {0};
    for (const char *p = name; *p; p++)
        str_add_char(&low, strchr("-_\t", *p) ? ' ' : (char)tolower((unsigned char)*p));
    const char *p = str_text(&low);
    while (*p) {
        size_t n = strcspn(p, " ");
        if (n)
            fold_word(&out, p, n);
        p += n + (p[n] == ' ');
    }
    str_free(&low);
    return str_take(&out);
}

static void put_name(CellTypes *c, const char *name, int64_t i)
{
    char *key = fold_name(name);
    if (*key)
        strmap_put(c->by_name, key, i);
    free(key);
}

static void index_names(CellTypes *c)
{
    for (size_t i = 0; i < c->n; i++)
        put_name(c, c->t[i].name, (int64_t)i);
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->t[i].synonyms.n; k++)
            put_name(c, c->t[i].synonyms.v[k], (int64_t)i);
    for (size_t i = 0; i < c->n; i++) {
        const char *own = celltypes_ontology_name(c, c->t[i].id);
        if (own)
            put_name(c, own, (int64_t)i);
        for (size_t k = 0; k < c->t[i].other_languages.n; k++)
            put_name(c, c->t[i].other_languages.v[k], (int64_t)i);
    }
}

/* ---- JSON ---- */
static Err read_text(const cJSON *o, const char *key, bool needed, char **out)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!cJSON_IsString(v)) {
        if (needed || v)
            FAIL(ERR_MODEL, "\"%s\" is not a text", key);
        *out = mem_strdup("");
        return OK;
    }
    *out = mem_strdup(v->valuestring);
    return OK;
}

static Err read_list(const cJSON *o, const char *key, StrList *out)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key), *x;
    if (!v)
        return OK;
    if (!cJSON_IsArray(v))
        FAIL(ERR_MODEL, "\"%s\" is not a list", key);
    TRY(NEW0(out->v, (size_t)cJSON_GetArraySize(v)));
    cJSON_ArrayForEach(x, v)
    {
        if (!cJSON_IsString(x))
            FAIL(ERR_MODEL, "\"%s\" holds something that is not a text", key);
        out->v[out->n++] = mem_strdup(x->valuestring);
    }
    return OK;
}

static Err read_type(const cJSON *o, CellType *t)
{
    if (!cJSON_IsObject(o))
        FAIL(ERR_MODEL, "not an object");
    TRY(read_text(o, "id", true, &t->id));
    TRY(read_text(o, "name", true, &t->name));
    TRY(read_text(o, "lineage", false, &t->lineage));
    TRY(read_text(o, "function", false, &t->function));
    TRY(read_list(o, "synonyms", &t->synonyms));
    TRY(read_list(o, "other_languages", &t->other_languages));
    TRY(read_list(o, "tissues", &t->tissues));
    TRY(read_list(o, "texts", &t->texts));
    TRY(read_list(o, "high", &t->high));
    return read_list(o, "low", &t->low);
}

static void list_done(StrList *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
}

static void type_done(CellType *t)
{
    free(t->id);
    free(t->name);
    free(t->lineage);
    free(t->function);
    StrList *lists[] = {&t->synonyms, &t->other_languages, &t->tissues, &t->texts, &t->high,
                        &t->low};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_done(lists[i]);
    free(t->ancestors);
}

static Err add_types(CellTypes *c, const cJSON *root)
{
    if (!cJSON_IsArray(root))
        FAIL(ERR_MODEL, "not a JSON list of cell types");
    size_t entry = 0;
    const cJSON *o;
    cJSON_ArrayForEach(o, root)
    {
        CellType t = {0};
        Err err = read_type(o, &t);
        if (err == OK && strmap_get(c->by_id, t.id, -1) < 0) {
            if (c->n == c->cap) {
                size_t cap = c->cap ? c->cap * 2 : 128;
                err = mem_realloc(&c->t, cap, sizeof *c->t);
                c->cap = err == OK ? cap : c->cap;
            }
            if (err == OK) {
                strmap_put(c->by_id, t.id, (int64_t)c->n);
                c->t[c->n++] = t;
                entry++;
                continue;
            }
        }
        type_done(&t);
        if (err != OK)
            return err_context(err, "entry %zu", entry + 1);
        entry++;
    }
    return OK;
}

static Err load_json(CellTypes *c, const char *path)
{
    char *text;
    size_t len;
    TRY(str_read_file(path, FILE_MAX, ERR_MODEL, &text, &len));
    cJSON *root = cJSON_ParseWithLength(text, len);
    Err err = root ? add_types(c, root) : err_set(ERR_MODEL, "not valid JSON");
    cJSON_Delete(root);
    free(text);
    return err == OK ? OK : err_context(err, "%s", path);
}

static int json_file(const struct dirent *d)
{
    return str_ends(d->d_name, ".json");
}

static Err load_all_json(CellTypes *c, const char *dir)
{
    struct dirent **d = NULL;
    int n = scandir(dir, &d, json_file, alphasort);
    if (n < 0)
        FAIL(ERR_MODEL, "%s: %s", dir, strerror(errno));
    Err err = OK;
    for (int i = 0; i < n; i++) {
        char *path = str_format("%s/%s", dir, d[i]->d_name);
        if (err == OK)
            err = load_json(c, path);
        free(path);
        free(d[i]);
    }
    free(d);
    if (err == OK && c->n == 0)
        FAIL(ERR_MODEL, "%s: holds no cell types", dir);
    return err;
}

/* ---- hierarchy ---- */
static Err parse_terms(CellTypes *c, char *text)
{
    size_t lines = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    TRY(NEW0(c->term, lines + 1));
    c->term_by_id = strmap_new(lines);
    char *save = NULL;
    size_t line = 0;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        if (++line == 1)
            continue;
        char *name = strchr(l, '\t'), *parents = name ? strchr(name + 1, '\t') : NULL;
        if (!parents)
            FAIL(ERR_MODEL, "line %zu: not three columns", line);
        *name++ = *parents++ = 0;
        strmap_put(c->term_by_id, l, (int64_t)c->n_terms);
        c->term[c->n_terms++] =
            (Term){mem_strdup(l), mem_strdup(name), mem_strdup(parents), NULL, 0};
    }
    return OK;
}

/* Breadth first over parents, so that near ancestors come first. */
static Err find_ancestors(CellTypes *c, size_t i, int32_t *seen, int32_t *list)
{
    size_t n = 0;
    int32_t at = (int32_t)i;
    seen[i] = (int32_t)i + 1;
    for (size_t done = 0;; at = list[done++]) {
        const char *p = c->term[at].parents;
        while (*p) {
            size_t len = strcspn(p, " ");
            int64_t a = strmap_get_n(c->term_by_id, p, len, -1);
            if (a >= 0 && seen[a] != (int32_t)i + 1) {
                seen[a] = (int32_t)i + 1;
                list[n++] = (int32_t)a;
            }
            p += len + (p[len] == ' ');
        }
        if (done == n)
            break;
    }
    TRY(NEW(c->term[i].anc, n));
    if (n)
        memcpy(c->term[i].anc, list, n * sizeof *list);
    c->term[i].n_anc = n;
    return OK;
}

static Err close_terms(CellTypes *c)
{
    int32_t *seen = NULL, *list = NULL;
    Err err = OK;
    TRY_GOTO(NEW0(seen, c->n_terms));
    TRY_GOTO(NEW0(list, c->n_terms));
    for (size_t i = 0; i < c->n_terms; i++)
        TRY_GOTO(find_ancestors(c, i, seen, list));
done:
    free(seen);
    free(list);
    return err;
}

static Err load_hierarchy(CellTypes *c, const char *dir)
{
    char *path = str_format("%s/hierarchy.tsv", dir), *text = NULL;
    Err err = OK;
    TRY_GOTO(str_read_file(path, FILE_MAX, ERR_MODEL, &text, NULL));
    err = parse_terms(c, text);
    if (err == OK)
        err = close_terms(c);
    if (err != OK)
        err = err_context(err, "%s", path);
done:
    free(path);
    free(text);
    return err;
}

static Err link_library(CellTypes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        CellType *t = &c->t[i];
        int64_t k = strmap_get(c->term_by_id, t->id, -1);
        size_t n = k < 0 ? 0 : c->term[k].n_anc;
        TRY(NEW0(t->ancestors, n));
        for (size_t a = 0; a < n; a++) {
            int32_t lib = celltypes_find_id(c, c->term[c->term[k].anc[a]].id);
            if (lib >= 0)
                t->ancestors[t->n_ancestors++] = lib;
        }
    }
    return OK;
}

Err celltypes_load(const char *dir, CellTypes **out)
{
    CellTypes *c = mem_must(sizeof *c);
    c->by_id = strmap_new(512);
    c->by_name = strmap_new(4096);
    Err err = load_all_json(c, dir);
    if (err == OK)
        err = load_hierarchy(c, dir);
    if (err == OK)
        err = link_library(c);
    if (err != OK) {
        celltypes_free(c);
        return err;
    }
    index_names(c);
    *out = c;
    return OK;
}

void celltypes_free(CellTypes *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        type_done(&c->t[i]);
    free(c->t);
    for (size_t i = 0; i < c->n_terms; i++) {
        free(c->term[i].id);
        free(c->term[i].name);
        free(c->term[i].parents);
        free(c->term[i].anc);
    }
    free(c->term);
    strmap_free(c->by_id);
    strmap_free(c->by_name);
    strmap_free(c->term_by_id);
    free(c);
}

/* ---- questions ---- */
size_t celltypes_count(const CellTypes *c)
{
    return c->n;
}

const CellType *celltypes_at(const CellTypes *c, size_t i)
{
    return &c->t[i];
}

int32_t celltypes_find_id(const CellTypes *c, const char *id)
{
    return (int32_t)strmap_get(c->by_id, id, -1);
}

int32_t celltypes_find(const CellTypes *c, const char *name)
{
    int32_t i = celltypes_find_id(c, name);
    if (i >= 0)
        return i;
    char *key = fold_name(name);
    i = (int32_t)strmap_get(c->by_name, key, -1);
    free(key);
    return i;
}

bool celltypes_is_a(const CellTypes *c, int32_t a, int32_t b)
{
    if (a == b)
        return true;
    const CellType *t = &c->t[a];
    for (size_t i = 0; i < t->n_ancestors; i++)
        if (t->ancestors[i] == b)
            return true;
    return false;
}

bool celltypes_related(const CellTypes *c, int32_t a, int32_t b)
{
    return celltypes_is_a(c, a, b) || celltypes_is_a(c, b, a);
}

bool celltypes_id_is_a(const CellTypes *c, const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    int64_t i = strmap_get(c->term_by_id, a, -1), j = strmap_get(c->term_by_id, b, -1);
    if (i < 0 || j < 0)
        return false;
    for (size_t k = 0; k < c->term[i].n_anc; k++)
        if (c->term[i].anc[k] == j)
            return true;
    return false;
}

const char *celltypes_ontology_name(const CellTypes *c, const char *id)
{
    int64_t i = strmap_get(c->term_by_id, id, -1);
    return i < 0 ? NULL : c->term[i].name;
}
