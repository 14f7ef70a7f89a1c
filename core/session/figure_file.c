/* Provenance and the sidecar of figures. */
#include "core/session/figure_file.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/version.h"
#include "core/figure/legend.h"

enum { HASHED_ANYWAY = 64 << 20 };

static Err find_vector_points(const char *name, int *out)
{
    static const char *const names[] = {"auto", "never", "always"};
    for (int i = 0; i < 3; i++)
        if (!name || strcmp(name, names[i]) == 0) {
            *out = i - 1;
            return OK;
        }
    FAIL(ERR_USAGE, "--vector-points: '%s'; use auto, always or never", name);
}

/* Slides are looked at from afar. */
static Err find_style(const PlotParams *pp, double *zoom)
{
    static const char *const names[] = {"paper", "meeting", "poster"};
    static const double zooms[] = {1, 1.7, 2.5};
    const char *name = pp->style ? pp->style : pp->size && str_equal_nocase(pp->size, "slide") ? "meeting" : "paper";
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *zoom = zooms[i];
            return OK;
        }
    FAIL(ERR_USAGE, "--style: '%s'; use paper, meeting or poster", name);
}

/* Hashing a large file takes longer than everything else about a figure: only where the figure may hold what a model
 * said, or the file is small. */
static Err hash_for_figure(Session *s, const PlotParams *pp, JobCtl *ctl, char hash[65])
{
    struct stat st;
    bool may_hold_model_output = pp->generated || pp->groups || pp->values;
    const char *path = dataset_path(session_dataset(s));
    hash[0] = 0;
    if (may_hold_model_output || (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= HASHED_ANYWAY))
        return dataset_sha256(session_dataset(s), ctl, hash);
    return OK;
}

void session_plot_begin(Session *s, const PlotParams *pp)
{
    if (!pp->strip_metadata)
        dataset_sha256_begin(session_dataset(s), HASHED_ANYWAY);
}

static void add(FigureFile *f, const char *key, const char *value)
{
    if (value && value[0])
        f->meta[f->render.n_meta++] = (MetaPair){key, value};
}

Err figure_file_begin(Session *s, const PlotParams *pp, bool placed, uint64_t seed, JobCtl *ctl, FigureFile *f)
{
    *f = (FigureFile){.render = {.dpi = pp->dpi > 0 ? pp->dpi : 300, .force = pp->force, .transparent = pp->transparent}};
    f->render.meta = f->meta;
    TRY(find_vector_points(pp->vector_points, &f->render.vector_points));
    TRY(find_style(pp, &f->render.zoom));
    if (pp->simulate) {
        TRY(color_simulate_find(pp->simulate, &f->render.simulate));
        f->render.simulate++;
    }
    if (pp->strip_metadata)
        return OK;
    TRY(hash_for_figure(s, pp, ctl, f->hash));
    snprintf(f->seed, sizeof f->seed, "%llu", (unsigned long long)seed);
    const double *v = pp->view;
    if (v[0] != v[2])
        snprintf(f->view, sizeof f->view, "%.6g,%.6g,%.6g,%.6g", v[0], v[1], v[2], v[3]);
    add(f, "Software", "scmmgpt");
    add(f, "version", SCMMGPT_VERSION);
    add(f, "command", pp->command ? pp->command : session_params(s)->command);
    add(f, "dataset_sha256", f->hash);
    add(f, "seed", f->seed);
    add(f, "view", f->view);
    add(f, "cells", pp->rule);
    add(f, "query", pp->query);
    add(f, "simulate", pp->simulate);
    if (placed)
        add(f, "prompt", pp->generated->prompt);
    const Groups *g = pp->groups;
    bool asked = placed || pp->query || (g && groups_are_annotation(g));
    if (asked && session_model(s))
        add(f, "model_sha256", session_model(s)->sha256);
    else if (g)
        add(f, "model_sha256", g->model_sha256);
    return OK;
}

char *figure_cells_text(const char *what, const char *rule, size_t n)
{
    char *count = count_text(n);
    char *text = rule[0] == '@' ? str_format("%s: %s chosen cells", what, count) : str_format("%s: %s (%s cells)", what, rule, count);
    free(count);
    return text;
}

static cJSON *text_of(const char *text)
{
    char *clean = str_utf8(text);
    cJSON *json = cJSON_CreateString(clean);
    free(clean);
    return json;
}

static cJSON *describe(const FigureFile *file, const char *kind, const FigureFacts *f)
{
    cJSON *json = cJSON_CreateObject(), *panels = cJSON_AddArrayToObject(json, "panels");
    cJSON *provenance = cJSON_AddObjectToObject(json, "provenance");
    for (size_t i = 0; i < file->render.n_meta; i++)
        cJSON_AddItemToObject(provenance, file->meta[i].key, text_of(file->meta[i].value));
    cJSON_AddItemToObject(json, "kind", text_of(kind));
    if (f->basis)
        cJSON_AddItemToObject(json, "basis", text_of(f->basis));
    if (f->groupby)
        cJSON_AddItemToObject(json, "groupby", text_of(f->groupby));
    cJSON_AddNumberToObject(json, "cells", (double)f->cells);
    cJSON_AddNumberToObject(json, "width_mm", f->width_mm);
    if (f->view)
        cJSON_AddItemToObject(json, "view", cJSON_CreateDoubleArray(f->view, 4));
    for (size_t i = 0; i < f->panels.n; i++)
        cJSON_AddItemToArray(panels, text_of(f->panels.text[i]));
    if (f->generated)
        cJSON_AddItemToObject(json, "generated", text_of(f->generated));
    return json;
}

Err figure_file_sidecar(const PlotParams *pp, const FigureFile *file, const char *kind, const FigureFacts *f)
{
    cJSON *json = describe(file, kind, f);
    char *text = cJSON_Print(json);
    char *path = str_format("%.*s.json", (int)(strrchr(pp->output, '.') - pp->output), pp->output);
    FILE *out = fopen(path, "w");
    bool ok = out && fputs(text, out) >= 0;
    ok = out && fputc('\n', out) >= 0 && ok;
    ok = out && fclose(out) == 0 && ok;
    Err err = ok ? OK : err_set(ERR_GENERAL, "%s: cannot be written", path);
    free(path);
    cJSON_free(text);
    cJSON_Delete(json);
    return err;
}
