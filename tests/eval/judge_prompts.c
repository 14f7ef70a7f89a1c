/* A tool for judging search, not a test: every prompt of prompts.tsv and nonsense.tsv against a labelled file. See
 * README.md here. judge_prompts FILE KEY PROMPTS NONSENSE: one line a prompt (precision among the first n cells, n = cells
 * of the expected types; "-" when the file has none), then the means. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/session/prompt.h"

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if ((e) != OK) {                                                                           \
            fprintf(stderr, "%s\n", err_message());                                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static const CellTypes *types;

static bool expected(const char *list, int32_t type)
{
    char *copy = strdup(list), *save = NULL;
    bool hit = false;
    for (char *id = strtok_r(copy, ",", &save); id; id = strtok_r(NULL, ",", &save))
        hit |= type >= 0 && celltypes_id_is_a(types, celltypes_at(types, (size_t)type)->id, id);
    free(copy);
    return hit;
}

static bool related(const char *list, int32_t type)
{
    char *copy = strdup(list), *save = NULL;
    bool hit = expected(list, type);
    for (char *id = strtok_r(copy, ",", &save); id; id = strtok_r(NULL, ",", &save))
        hit |= type >= 0 && celltypes_id_is_a(types, id, celltypes_at(types, (size_t)type)->id);
    free(copy);
    return hit;
}

int main(int argc, char **argv)
{
    SessionParams p = session_params_default();
    Session *s;
    ModelState *m;
    Groups *g;
    MUST(session_open(&p, argv[1], NULL, &s));
    MUST(session_groups(s, argv[2], NULL, &g));
    MUST(session_embed(s, NULL));
    MUST(model_state(s, NULL, &m));
    types = model_celltypes(m->model);
    int32_t *of_group = malloc(g->n_groups * sizeof *of_group);
    for (size_t i = 0; i < g->n_groups; i++)
        of_group[i] = label_find(m->labels, g->names[i]);
    double sum = 0, all = 0, right = 0, kin = 0, refused = 0, other = 0, slowest = 0, time = 0, warned = 0, false_warned = 0;
    size_t n = 0, n_other = 0;
    for (int file = 3; file < 5; file++) {
        char *text, *save = NULL;
        size_t lines = 0, out = 0;
        MUST(str_read_file(argv[file], 1 << 20, ERR_INPUT, &text, NULL));
        for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
            if (*l == '#')
                continue;
            char *tab = strchr(l, '\t'), *tab2 = tab ? strchr(tab + 1, '\t') : NULL;
            if (tab)
                *tab = 0;
            if (tab2)
                *tab2 = 0;
            lines++;
            PromptMatch *pm = NULL;
            QueryResult *q = NULL;
            double t0 = clock_seconds();
            Err err = session_query(s, l, NULL, &q);
            double t1 = clock_seconds() - t0;
            Err err2 = prompt_match(s, l, NULL, &pm);
            if (err == ERR_NOT_FOUND) {
                out++;
                printf("%s\tREFUSED\t%s\n", file == 3 ? "real" : "nonsense", l);
            } else if (file == 4) {
                MUST(err);
                printf("nonsense\t%.2f\t%s\t-> %s\n", pm->confidence, l, pm->understood);
            } else {
                MUST(err);
                MUST(err2);
                time += t1;
                slowest = n + n_other > 0 && t1 > slowest ? t1 : slowest;
                size_t want = 0, hit = 0;
                for (size_t i = 0; i < g->n_cells; i++)
                    want += g->codes[i] >= 0 && expected(tab + 1, of_group[g->codes[i]]);
                for (size_t r = 0; r < want; r++)
                    hit += g->codes[q->order[r]] >= 0 && expected(tab + 1, of_group[g->codes[q->order[r]]]);
                bool first = pm->n_types && expected(tab + 1, pm->type[0]), near = pm->n_types && related(tab + 1, pm->type[0]);
                right += first;
                kin += near;
                all++;
                float top = 0;
                for (size_t r = 0; r < 5; r++)
                    top += q->scores->v[q->order[r]] / 5;
                if (want) {
                    false_warned += q->warning[0] != 0;
                    sum += (double)hit / (double)want;
                    n++;
                    printf("%s\t%.2f\t%.2f\t%.2f\t%s\t%s\t-> %s\n", q->warning[0] ? "realWARN" : "real", (double)hit / (double)want, pm->confidence, top,
                           first ? "" : near ? "near" : "WRONG", l, pm->understood);
                } else {
                    n_other++;
                    warned += q->warning[0] != 0;
                    printf("%s\t-\t%.2f\t%.2f\t%s\t%s\t-> %s\n", q->warning[0] ? "otherWARN" : "other", pm->confidence, top, first ? "" : near ? "near" : "WRONG", l, pm->understood);
                }
            }
            query_result_free(q);
            prompt_match_free(pm);
        }
        if (file == 3)
            refused = (double)out / (double)lines;
        else
            other = (double)out / (double)lines;
        free(text);
    }
    printf("mean precision@n %.3f over %zu prompts; first type right %.3f, right or kin %.3f of %.0f; real refused %.3f, "
           "nonsense refused %.3f; absent types warned %.2f of %zu, present ones %.2f; mean %.3f s, slowest %.3f s\n",
           sum / (double)n, n, right / all, kin / all, all, refused, other, warned / (double)(n_other ? n_other : 1), n_other,
           false_warned / (double)(n ? n : 1),
           time / all, slowest);
    session_close(s);
    return 0;
}
