/* Is there a type in the library that fits a cell better than every candidate? Types that are kin of a candidate do not
 * count: "CD4 T cell" among the candidates speaks for naive and memory cells too. */
#include "core/session/annotate_tuning.h"
#include "core/session/annotate_work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* Is a library type what a label without a type is about, by its texts? */
static bool texts_near(const AnnotateWork *w, const LibraryVectors *lib, size_t candidate, size_t type)
{
    size_t width = model_desc(w->m->model)->text_width;
    const float *raw = w->c->raw + candidate * width;
    for (size_t i = lib->first_text[type]; i < lib->first_text[type + 1]; i++) {
        float dot = 0;
        for (size_t k = 0; k < width; k++)
            dot += raw[k] * lib->text_raw[i * width + k];
        if (dot > (float)UNKNOWN_KIN)
            return true;
    }
    return false;
}

static bool is_kin(const AnnotateWork *w, const LibraryVectors *lib, size_t type)
{
    const CellTypes *t = model_celltypes(w->m->model);
    for (size_t i = 0; i < w->c->n; i++)
        if (w->c->type[i] >= 0 ? celltypes_related(t, (int32_t)type, w->c->type[i]) : texts_near(w, lib, i, type))
            return true;
    return false;
}

/* Library types that are no candidate and no kin of one. */
static Err bank_of(const AnnotateWork *w, Candidates *bank)
{
    const Candidates *lib;
    const LibraryVectors *vectors;
    TRY(scoring_library(w->s, w->m, w->ctl, &lib));
    TRY(model_library(w->m->model, w->ctl, &vectors));
    *bank = (Candidates){.d = lib->d};
    TRY(NEW(bank->vec, lib->n * 2 * lib->d));
    TRY(NEW(bank->markers, lib->n));
    for (size_t j = 0; j < lib->n; j++) {
        if (is_kin(w, vectors, j))
            continue;
        memcpy(bank->vec + 2 * bank->n * lib->d, lib->vec + 2 * j * lib->d, 2 * lib->d * sizeof *lib->vec);
        bank->markers[bank->n++] = lib->markers[j]; /* borrowed */
    }
    bank->n_vec = 2 * bank->n;
    return OK;
}

static Err best_of_bank(AnnotateWork *w, const Candidates *bank)
{
    enum { BLOCK = 512 };
    float *sim = NULL, *marker = NULL;
    Err err = OK;
    TRY_GOTO(NEW(sim, BLOCK * bank->n));
    TRY_GOTO(NEW(marker, BLOCK * bank->n));
    job_stage(w->ctl, "looking for other types", w->n);
    for (size_t at = 0; at < w->n; at += BLOCK) {
        size_t rows[BLOCK], k = w->n - at < BLOCK ? w->n - at : BLOCK;
        for (size_t i = 0; i < k; i++)
            rows[i] = at + i;
        TRY_GOTO(scoring_raw(w->m, bank, rows, k, sim, marker));
        scores_combine(sim, marker, k, bank->n, w->weight, w->m->scale);
        for (size_t i = 0; i < k; i++) {
            int32_t first, second;
            scores_top(sim + i * bank->n, bank->n, &first, &second);
            w->other[at + i] = sim[i * bank->n + (size_t)first];
        }
        TRY_GOTO(job_progress(w->ctl, at + k));
    }
done:
    free(sim);
    free(marker);
    return err;
}

static void best_of_library(AnnotateWork *w)
{
    for (size_t i = 0; i < w->n; i++)
        for (size_t j = 0; j < w->c->n; j++)
            w->other[i] = fmaxf(w->other[i], w->absolute[i * w->c->n + j]);
}

Err annotate_find_others(AnnotateWork *w)
{
    Candidates bank = {0};
    Err err = OK;
    TRY_GOTO(NEW(w->other, w->n));
    for (size_t i = 0; i < w->n; i++)
        w->other[i] = -1e9f;
    if (w->c->all_types) {
        best_of_library(w);
        return OK;
    }
    TRY_GOTO(bank_of(w, &bank));
    if (bank.n)
        TRY_GOTO(best_of_bank(w, &bank));
done:
    free(bank.vec);
    free(bank.markers);
    return err;
}
