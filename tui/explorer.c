/* `scmmgpt [open] FILE`, `scmmgpt demo`: options, and what file to show. */
#include "tui/explorer.h"

#include <fcntl.h>
#include <locale.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/assets.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"

static const char usage[] =
    "usage: scmmgpt [open] FILE [--device D] [--model DIR] [--seed N] [--threads N] [--matrix "
    "NAME] "
    "[--gene-column NAME] [--genome NAME] [--feature-type TYPE] [--max-memory 4G] [--log FILE] "
    "[--map-orthologs] [--min-genes N] [--allow-external] "
    "[--no-mouse] [--color auto|never|16|256|truecolor] [--glyphs auto|braille|block|ascii]";

/* Options with a value; a subcommand's own ones never get here. */
static const char *const with_value[] = {
    "--device",     "--model",        "--seed",     "--threads", "--color",
    "--glyphs",     "--log",          "--genome",   "--matrix",  "--gene-column",
    "--max-memory", "--feature-type", "--min-genes"};

static bool takes_value(const char *arg)
{
    for (size_t i = 0; i < sizeof with_value / sizeof *with_value; i++)
        if (!strcmp(arg, with_value[i]))
            return true;
    return false;
}

/* The first argument that is no option; argc when there is none. */
static int first_word(int argc, char **argv)
{
    int i = 1;
    while (i < argc && argv[i][0] == '-' && argv[i][1] && strcmp(argv[i], "--"))
        i += takes_value(argv[i]) ? 2 : 1;
    if (i < argc && !strcmp(argv[i], "--"))
        i++;
    return i < argc ? i : argc;
}

bool explorer_is_asked(int argc, char **argv)
{
    int i = first_word(argc, argv);
    if (i == argc)
        return false;
    if (!strcmp(argv[i], "open"))
        return true;
    if (!strcmp(argv[i], "demo"))
        return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (strpbrk(argv[i], "./"))
        return true; /* no subcommand has a dot or a slash in its name */
    return first_word(argc - i, argv + i) == argc - i && access(argv[i], F_OK) == 0;
}

/* ---- options ---- */
typedef struct Given {
    ExplorerOptions o;
    char *log_path;
    char *file;
} Given;

static Err set_option(Given *g, const char *name, const char *value)
{
    SessionParams *s = &g->o.app.session;
    char *end = NULL;
    if (!strcmp(name, "--device"))
        s->device = value;
    else if (!strcmp(name, "--model"))
        s->model_dir = value;
    else if (!strcmp(name, "--genome"))
        s->dataset.genome = value;
    else if (!strcmp(name, "--matrix"))
        s->dataset.matrix = value;
    else if (!strcmp(name, "--gene-column"))
        s->dataset.gene_column = value;
    else if (!strcmp(name, "--feature-type"))
        s->dataset.feature_type = value;
    else if (!strcmp(name, "--log"))
        g->o.term.log_path = value;
    else if (!strcmp(name, "--color"))
        g->o.term.color = value;
    else if (!strcmp(name, "--glyphs"))
        g->o.term.glyphs = value;
    else if (!strcmp(name, "--seed"))
        s->seed = strtoull(value, &end, 10);
    else if (!strcmp(name, "--min-genes"))
        s->min_genes = strtoull(value, &end, 10);
    else if (!strcmp(name, "--threads"))
        omp_set_num_threads((int)strtol(value, &end, 10) > 0 ? (int)strtol(value, &end, 10) : 1);
    else if (!strcmp(name, "--max-memory")) {
        double n = strtod(value, &end);
        const char *unit = *end ? strchr("KMGT", *end) : NULL;
        for (const char *u = "KMGT"; unit && u <= strchr("KMGT", *end) && *u; u++)
            n *= 1024;
        mem_set_budget((uint64_t)n);
        end += unit != NULL;
    }
    if (end && (*end || end == value))
        FAIL(ERR_USAGE, "%s: '%s' is not a number", name, value);
    return OK;
}

static bool is_one_of(const char *value, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(value, *words))
            return true;
    return false;
}

static Err parse(int argc, char **argv, Given *g)
{
    static const char *const colors[] = {"auto", "never", "16", "256", "truecolor", NULL};
    static const char *const glyphs[] = {"auto", "braille", "block", "ascii", NULL};
    bool options = true;
    for (int i = 1; i < argc; i++) {
        char *arg = argv[i];
        if (options && !strcmp(arg, "--")) {
            options = false;
        } else if (options && !strcmp(arg, "--no-mouse")) {
            g->o.app.mouse = g->o.term.mouse = false;
        } else if (options && !strcmp(arg, "--map-orthologs")) {
            g->o.app.session.dataset.map_orthologs = true;
        } else if (options && !strcmp(arg, "--allow-external")) {
            g->o.app.session.dataset.allow_external = true;
        } else if (options && arg[0] == '-' && arg[1]) {
            char name[32];
            char *equals = strchr(arg, '=');
            snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - arg) : 31, arg);
            if (!takes_value(name))
                FAIL(ERR_USAGE, "%s: the explorer has no such option; %s", arg, usage);
            if (!equals && i + 1 == argc)
                FAIL(ERR_USAGE, "%s: a value is missing", arg);
            TRY(set_option(g, name, equals ? equals + 1 : argv[++i]));
        } else if (!g->file && (!strcmp(arg, "open") || !strcmp(arg, "demo")) && options) {
            if (*arg == 'd')
                g->file = mem_strdup("");
        } else if (!g->file) {
            g->file = mem_strdup(arg);
        } else {
            FAIL(ERR_USAGE, "%s: one file at a time; %s", arg, usage);
        }
    }
    if (!is_one_of(g->o.term.color, colors) || !is_one_of(g->o.term.glyphs, glyphs))
        FAIL(ERR_USAGE, "--color is auto, never, 16, 256 or truecolor; --glyphs is auto, braille, "
                        "block or ascii");
    if (!g->file)
        FAIL(ERR_USAGE, "a file is missing; %s", usage);
    return OK;
}

static void write_log(void *user, LogLevel level, const char *line)
{
    fprintf(stderr, "%s\n", line); /* stderr is the log file during full screen */
}

int explorer_main(int argc, char **argv)
{
    Given g = {0};
    Str demo = {0};
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C");
    g.o.app.session = session_params_default();
    g.o.app.mouse = g.o.term.mouse = true;
    g.o.term.color = g.o.term.glyphs = "auto";
    Err err = parse(argc, argv, &g);
    if (err == OK && !*g.file) {
        err = assets_path("demo/immune_559.h5ad", &demo);
        free(g.file);
        g.file = mem_strdup(str_text(&demo));
    }
    if (err == OK && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
        err = err_set(
            ERR_USAGE,
            "the explorer needs a terminal; scmmgpt info FILE and the other commands do not");
    if (err != OK) {
        fprintf(stderr, "scmmgpt: %s\n", err_message());
    } else {
        g.log_path = g.o.term.log_path ? NULL : state_path("log");
        if (g.log_path)
            g.o.term.log_path = g.log_path;
        log_set_sink(write_log, NULL, LOG_INFO);
        g.o.app.path = g.o.name = g.file;
        err = (Err)loop_run(&g.o);
    }
    free(g.log_path);
    free(g.file);
    str_free(&demo);
    return (int)err;
}
