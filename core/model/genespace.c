/* Genes of a model and the panel-aware values: a cell's counts are scaled to what its panel would
 * hold of an average cell, so that a file with 200 genes is not blown up to 10,000 counts. */
#include "core/model/genespace.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 256 << 20, MAX_TOKENS = 4096 };
static const float SD_CAP = 1.5f;

Err genespace_new(const char *const *names, size_t n, GeneSpace **out)
{
    GeneSpace *s = mem_must(sizeof *s);
    s->by_name = strmap_new(n);
    Err err = NEW0(s->name, n);
    if (err != OK) {
        genespace_free(s);
        return err;
    }
    s->n = n;
    for (size_t i = 0; i < n; i++) {
        s->name[i] = mem_strdup(names[i]);
        strmap_put(s->by_name, names[i], (int64_t)i);
    }
    s->index = gene_index_new((const char *const *)s->name, NULL, n);
    *out = s;
    return OK;
}

void genespace_free(GeneSpace *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->name && i < s->n; i++)
        free(s->name[i]);
    free(s->name);
    strmap_free(s->by_name);
    gene_index_free(s->index);
    free(s->fraction);
    free(s->mean);
    free(s->sd);
    free(s);
}

int32_t genespace_find(const GeneSpace *s, const char *name)
{
    int64_t g = strmap_get(s->by_name, name, -1);
    GeneHit hit;
    if (g < 0 && gene_find(s->index, name, &hit) == OK && hit.how != GENE_NONE)
        g = (int64_t)hit.column;
    return (int32_t)g;
}

Err genespace_map(const GeneSpace *s, const char *const *names, size_t n, size_t min_matched,
                  GeneMap *out)
{
    GeneMatch m;
    TRY(gene_match(names, NULL, n, (const char *const *)s->name, s->n, &m));
    GeneMap g = {.n_file = n, .matched = m.matched, .gene = m.to};
    m.to = NULL;
    gene_match_done(&m);
    for (size_t i = 0; i < n; i++)
        g.panel += g.gene[i] >= 0 && s->fraction ? (double)s->fraction[g.gene[i]] : 0;
    if (g.matched < min_matched) {
        size_t matched = g.matched;
        const char *naming = gene_naming(names, n);
        gene_map_done(&g);
        FAIL(ERR_FEW_GENES,
             "genes: %zu of %zu are known to the model, %zu are needed (--min-genes); the file's "
             "names look like %s, the model knows human gene symbols and Ensembl ids; %s",
             matched, n, min_matched, naming,
             strstr(naming, "mouse")     ? "use --map-orthologs"
             : strstr(naming, "another") ? "map them to human genes first"
             : matched * 2 > n           ? "a small panel can be let through with --min-genes"
                                         : "name another column of var with --gene-column");
    }
    *out = g;
    return OK;
}

Err genespace_read_vocab(const char *path, GeneSpace **out)
{
    char *text;
    size_t len;
    TRY(str_read_file(path, FILE_MAX, ERR_MODEL, &text, &len));
    cJSON *root = cJSON_ParseWithLength(text, len);
    free(text);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        FAIL(ERR_MODEL, "%s: not a JSON object of genes and numbers", path);
    }
    size_t n = 0;
    const cJSON *e;
    cJSON_ArrayForEach(e, root) n += e->string[0] != '<';
    const char **names = NULL;
    Err err = OK;
    TRY_GOTO(NEW0(names, n));
    cJSON_ArrayForEach(e, root)
    {
        if (e->string[0] == '<')
            continue;
        size_t id = cJSON_IsNumber(e) && e->valuedouble >= 0 && e->valuedouble < (double)n
                        ? (size_t)e->valuedouble
                        : n;
        if (id == n || names[id])
            FAIL_GOTO(ERR_MODEL, "%s: gene %s: its number is missing, too large or taken", path,
                      e->string);
        names[id] = e->string;
    }
    err = genespace_new(names, n, out);
done:
    free(names);
    cJSON_Delete(root);
    return err;
}

Err genespace_write_vocab(const GeneSpace *s, const char *const *special, size_t n,
                          const char *path)
{
    cJSON *root = cJSON_CreateObject();
    for (size_t i = 0; i < s->n; i++)
        cJSON_AddItemToObject(root, s->name[i], cJSON_CreateNumber((double)i));
    for (size_t i = 0; i < n; i++)
        cJSON_AddItemToObject(root, special[i], cJSON_CreateNumber((double)(s->n + i)));
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    FILE *f = fopen(path, "wb");
    bool ok = f && fputs(text, f) >= 0;
    if (f && fclose(f) != 0)
        ok = false;
    free(text);
    if (!ok)
        FAIL(ERR_GENERAL, "%s: cannot be written", path);
    return OK;
}

/* A heap of the `width` best tokens; the worst of them is on top. Equal scores: the smaller gene
 * wins. */
typedef struct Token {
    float score, x;
    int32_t gene;
} Token;

static bool worse(const Token *a, const Token *b)
{
    return a->score < b->score || (a->score == b->score && a->gene > b->gene);
}

static void sift(Token *h, size_t n, size_t i)
{
    for (;;) {
        size_t l = 2 * i + 1, m = i;
        if (l < n && worse(&h[l], &h[m]))
            m = l;
        if (l + 1 < n && worse(&h[l + 1], &h[m]))
            m = l + 1;
        if (m == i)
            return;
        Token t = h[i];
        h[i] = h[m];
        h[m] = t;
        i = m;
    }
}

static void push(Token *h, size_t *n, size_t width, Token t)
{
    if (*n < width) {
        size_t i = (*n)++;
        h[i] = t;
        while (i && worse(&h[i], &h[(i - 1) / 2])) {
            Token up = h[(i - 1) / 2];
            h[(i - 1) / 2] = h[i];
            h[i] = up;
            i = (i - 1) / 2;
        }
    } else if (worse(&h[0], &t)) {
        h[0] = t;
        sift(h, width, 0);
    }
}

size_t genespace_tokens(const GeneSpace *s, const int32_t *gene, const float *count, size_t n,
                        double panel, size_t width, int32_t *out_gene, float *out_value)
{
    Token heap[MAX_TOKENS];
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += gene[i] >= 0 ? count[i] : 0;
    if (!(total > 0))
        return 0;
    width = width < MAX_TOKENS ? width : MAX_TOKENS;
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t g = gene[i];
        if (g < 0 || !(count[i] > 0))
            continue;
        float x = log1pf((float)(1e4 * panel * count[i] / total));
        push(heap, &used, width, (Token){(x - s->mean[g]) * fminf(s->sd[g], SD_CAP), x, g});
    }
    for (size_t i = used; i-- > 0;) { /* heap sort: worst to the end */
        out_gene[i] = heap[0].gene;
        out_value[i] = heap[0].x;
        heap[0] = heap[i];
        sift(heap, i, 0);
    }
    return used;
}

float model_x(const GeneMap *g, double count, double total)
{
    return total > 0 && count > 0 ? log1pf((float)(1e4 * g->panel * count / total)) : 0;
}

void gene_map_done(GeneMap *g)
{
    free(g->gene);
    *g = (GeneMap){0};
}

void cell_tokens_done(CellTokens *t)
{
    free(t->gene);
    free(t->value);
    free(t->len);
    *t = (CellTokens){0};
}
