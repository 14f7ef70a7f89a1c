/* `scmmgpt doctor`: what the program finds on this machine, for bug reports. */
#include "tui/cli_commands.h"

#include <cjson/cJSON.h>
#include <langinfo.h>
#include <locale.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/base/assets.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/cache.h"
#include "core/device/device.h"

typedef struct Report {
    cJSON *json;
    Str text;
} Report;

static void add(Report *r, const char *key, const char *value, const char *advice)
{
    cJSON *item = cJSON_AddObjectToObject(r->json, key);
    cJSON_AddStringToObject(item, "value", value);
    if (advice)
        cJSON_AddStringToObject(item, "advice", advice);
    str_addf(&r->text, "%-12s %s%s%s\n", key, value, advice ? "; " : "", advice ? advice : "");
}

static char *cpu_name(void)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512], *name = NULL;
    while (f && !name && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (str_starts(line, "model name") && colon)
            name = mem_strndup(colon + 2, strcspn(colon + 2, "\n"));
    }
    if (f)
        fclose(f);
    return name ? name : mem_strdup("unknown");
}

static void add_terminal(Report *r)
{
    const char *term = getenv("TERM"), *charset;
    setlocale(LC_ALL, "");
    charset = nl_langinfo(CODESET);
    add(r, "terminal", term ? term : "none",
        term ? NULL : "set TERM, or use the subcommands, which need no terminal");
    bool utf8 = strcmp(charset, "UTF-8") == 0;
    add(r, "charset", charset, utf8 ? NULL : "maps are drawn in ASCII; set LC_ALL=C.UTF-8 for finer ones");
    if (getenv("NO_COLOR") && getenv("NO_COLOR")[0])
        add(r, "colour", "off (NO_COLOR)", NULL);
}

static void add_cpu(Report *r)
{
    char *cpu = cpu_name();
    char *text = str_format("%s, %d threads", cpu, omp_get_max_threads());
    add(r, "cpu", text, NULL);
    free(text);
    free(cpu);
    text = str_format("%.1f GB available", (double)mem_available() / 1e9);
    add(r, "memory", text, NULL);
    free(text);
}

static void add_device(Report *r, const CliArgs *a)
{
    Device *d = NULL;
    const char *asked = a->g->device ? a->g->device : "auto";
    if (device_open(asked, &d) != OK) {
        add(r, "device", "none", err_message());
        return;
    }
    add(r, "device", d->name, device_note()[0] ? device_note() : NULL);
    device_close(d);
}

static void add_model(Report *r, const CliArgs *a)
{
    SessionParams p = cli_session_params(a);
    Session *s;
    double since = clock_seconds();
    if (session_open_empty(&p, &s) != OK)
        return;
    if (session_load_model(s, a->ctl) != OK) {
        add(r, "model", "none", err_message());
    } else {
        const ModelInfo *m = session_model(s);
        double seconds = clock_seconds() - since;
        char *text = str_format("%s, %.1f million parameters, %zu genes, loaded in %.2f s from %s", m->name,
                                (double)m->parameters / 1e6, m->vocab_genes, seconds, m->dir);
        add(r, "model", text, NULL);
        free(text);
    }
    session_close(s);
}

static void add_places(Report *r)
{
    Str path = {0};
    if (assets_path("demo/immune_559.h5ad", &path) == OK)
        add(r, "assets", str_text(&path), NULL);
    else
        add(r, "assets", "none", err_message());
    str_clear(&path);
    CacheEntry *entries = NULL;
    size_t n = 0;
    if (cache_folder(false, &path) == OK && cache_list(&entries, &n) == OK) {
        uint64_t bytes = 0;
        for (size_t i = 0; i < n; i++)
            bytes += entries[i].bytes;
        char *text = str_format("%s, %zu files, %.1f MB", str_text(&path), n, (double)bytes / 1e6);
        add(r, "cache", text, NULL);
        free(text);
        cache_entries_free(entries, n);
    } else {
        add(r, "cache", "none", err_message());
    }
    str_free(&path);
}

Err cli_doctor(CliArgs *a)
{
    TRY(cli_finish(a, 0, 0, "[--json]"));
    Report r = {.json = cJSON_CreateObject()};
    struct utsname u;
    add(&r, "version", SCMMGPT_VERSION, NULL);
    if (uname(&u) == 0) {
        char *text = str_format("%s %s %s", u.sysname, u.release, u.machine);
        add(&r, "system", text, NULL);
        free(text);
    }
    add_terminal(&r);
    add_cpu(&r);
    add_device(&r, a);
    add_model(&r, a);
    add_places(&r);
    if (a->g->json) {
        char *text = cJSON_Print(r.json);
        fprintf(a->out, "%s\n", text);
        cJSON_free(text);
    } else {
        fputs(str_text(&r.text), a->out);
    }
    cJSON_Delete(r.json);
    str_free(&r.text);
    return OK;
}
