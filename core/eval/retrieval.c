/* Reads prompts and decides which classes answer them. */
#include "core/eval/retrieval.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

void eval_prompts_done(EvalPrompts *p)
{
    for (size_t i = 0; i < p->n; i++) {
        for (size_t k = 0; k < p->v[i].n_ids; k++)
            free(p->v[i].ids[k]);
        free(p->v[i].ids);
        free(p->v[i].text);
    }
    free(p->v);
    *p = (EvalPrompts){0};
}

static Err parse_ids(const char *path, size_t line, char *text, EvalPrompt *p)
{
    char *save = NULL;
    TRY(NEW0(p->ids, strlen(text) / 4 + 1));
    for (char *id = strtok_r(text, " ,;\r\t", &save); id; id = strtok_r(NULL, " ,;\r\t", &save)) {
        if (strncmp(id, "CL", 2) != 0 || strlen(id) < 4 || !strchr(":_", id[2]))
            FAIL(ERR_INPUT, "%s: line %zu: '%s' is no Cell Ontology id such as CL:0000236", path,
                 line, id);
        id[2] = ':';
        p->ids[p->n_ids++] = mem_strdup(id);
    }
    if (p->n_ids == 0)
        FAIL(ERR_INPUT, "%s: line %zu: no Cell Ontology id after the tab", path, line);
    return OK;
}

static Err parse_lines(const char *path, char *text, EvalPrompts *out)
{
    size_t lines = 1, line = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    TRY(NEW0(out->v, lines));
    for (char *next = text; next;) {
        char *l = next;
        next = strchr(l, '\n');
        if (next)
            *next++ = 0;
        line++;
        l[strcspn(l, "\r")] = 0;
        char *tab = strchr(l, '\t');
        if (!l[0] || l[0] == '#' || (line == 1 && str_starts(l, "prompt\t")))
            continue;
        if (!tab || tab == l)
            FAIL(ERR_INPUT, "%s: line %zu: not of the form 'prompt TAB ids'", path, line);
        *tab = 0;
        tab[1 + strcspn(tab + 1, "\t")] = 0; /* further columns are the reader's own */
        EvalPrompt *p = &out->v[out->n++];
        p->text = mem_strdup(l);
        TRY(parse_ids(path, line, tab + 1, p));
    }
    if (out->n == 0)
        FAIL(ERR_INPUT, "%s: no prompt in it", path);
    return OK;
}

Err eval_prompts_read(const char *path, EvalPrompts *out)
{
    char *text;
    EvalPrompts p = {0};
    TRY(str_read_file(path, 16 << 20, ERR_INPUT, &text, NULL));
    Err err = parse_lines(path, text, &p);
    free(text);
    if (err != OK) {
        eval_prompts_done(&p);
        return err;
    }
    *out = p;
    return OK;
}

size_t eval_relevant(const CellTypes *types, const EvalPrompt *p, const char *const *class_ids,
                     size_t k, uint8_t *relevant)
{
    size_t n = 0;
    for (int coarser = 0; coarser < 2 && n == 0; coarser++)
        for (size_t c = 0; c < k; c++) {
            relevant[c] = 0;
            for (size_t i = 0; i < p->n_ids && class_ids[c][0] && !relevant[c]; i++)
                relevant[c] = coarser ? celltypes_id_is_a(types, p->ids[i], class_ids[c])
                                      : celltypes_id_is_a(types, class_ids[c], p->ids[i]);
            n += relevant[c];
        }
    return n;
}
