/* The subcommands' frame: global options, the table of commands, signals, progress on stderr, one-line errors.
 * What a command does is in cli_*.c and, below that, in core/session. */
#include "tui/cli.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tui/cli_commands.h"
#include "tui/cli_signals.h"

static const CliCommand commands[] = {
#define X(name, function, usage, help) {name, usage, help, function},
    CLI_COMMANDS(X)
#undef X
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

/* ---- options ---- */

static void remove_args(CliArgs *a, int at, int n)
{
    memmove(a->argv + at, a->argv + at + n, (size_t)(a->argc - at - n) * sizeof *a->argv);
    a->argc -= n;
}

/* Index of option `name` before any "--", or -1; *value is the text after "=", or NULL. */
static int find_option(const CliArgs *a, const char *name, char **value)
{
    size_t n = strlen(name);
    for (int i = 1; i < a->argc && strcmp(a->argv[i], "--") != 0; i++) {
        if (strcmp(a->argv[i], name) == 0) {
            *value = NULL;
            return i;
        }
        if (n > 2 && strncmp(a->argv[i], name, n) == 0 && a->argv[i][n] == '=') {
            *value = a->argv[i] + n + 1;
            return i;
        }
    }
    return -1;
}

Err cli_take_string(CliArgs *a, const char *name, const char **value)
{
    char *text;
    int at;
    while ((at = find_option(a, name, &text)) >= 0) { /* the last one wins */
        if (!text && (at + 1 >= a->argc || strcmp(a->argv[at + 1], "--") == 0))
            FAIL(ERR_USAGE, "%s: a value is missing after it", name);
        *value = text ? text : a->argv[at + 1];
        remove_args(a, at, text ? 1 : 2);
    }
    return OK;
}

Err cli_take_number(CliArgs *a, const char *name, double lo, double hi, double *value)
{
    const char *text = NULL;
    TRY(cli_take_string(a, name, &text));
    if (!text)
        return OK;
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (end == text || *end || errno || !(v >= lo && v <= hi))
        FAIL(ERR_USAGE, "%s: '%s' is not a number from %g to %g", name, text, lo, hi);
    *value = v;
    return OK;
}

Err cli_take_size(CliArgs *a, const char *name, size_t lo, size_t hi, size_t *value)
{
    const char *text = NULL;
    TRY(cli_take_string(a, name, &text));
    if (!text)
        return OK;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (end == text || *end || errno || text[0] == '-' || v < lo || v > hi)
        FAIL(ERR_USAGE, "%s: '%s' is not a whole number from %zu to %zu", name, text, lo, hi);
    *value = (size_t)v;
    return OK;
}

bool cli_take_flag(CliArgs *a, const char *name)
{
    char *text;
    int at;
    bool found = false;
    while ((at = find_option(a, name, &text)) >= 0 && !text) {
        remove_args(a, at, 1);
        found = true;
    }
    return found;
}

Err cli_finish(CliArgs *a, int min, int max, const char *usage)
{
    bool options = true;
    for (int i = 1; i < a->argc;) {
        if (options && strcmp(a->argv[i], "--") == 0) {
            options = false;
            remove_args(a, i, 1);
        } else if (options && a->argv[i][0] == '-' && a->argv[i][1]) {
            FAIL(ERR_USAGE, "%s: unknown option; usage: scmmgpt %s %s", a->argv[i], a->argv[0], usage);
        } else {
            i++;
        }
    }
    if (a->argc - 1 < min)
        FAIL(ERR_USAGE, "an argument is missing; usage: scmmgpt %s %s", a->argv[0], usage);
    if (max >= 0 && a->argc - 1 > max)
        FAIL(ERR_USAGE, "%s: one argument too many; usage: scmmgpt %s %s", a->argv[max + 1], a->argv[0],
             usage);
    return OK;
}

/* "4G", "500M", "123456" (bytes). */
static Err parse_bytes(const char *name, const char *text, uint64_t *out)
{
    char *end;
    double v = strtod(text, &end);
    const char *units = "KMGT";
    const char *unit = *end ? strchr(units, *end & ~0x20) : NULL;
    for (long i = 0; unit && i <= unit - units; i++)
        v *= 1024;
    if (end == text || (*end && (!unit || (end[1] && strcasecmp(end + 1, "B") != 0))) || !(v >= 1) || v > 1e18)
        FAIL(ERR_USAGE, "%s: '%s' is not a size such as 4G", name, text);
    *out = (uint64_t)v;
    return OK;
}

static Err take_globals(CliArgs *a, CliGlobals *g)
{
    const char *max_memory = NULL;
    size_t seed = 0, threads = 0;
    g->min_genes = SIZE_MAX;
    g->json = cli_take_flag(a, "--json");
    g->quiet = cli_take_flag(a, "-q") | cli_take_flag(a, "--quiet");
    g->verbose = cli_take_flag(a, "-v") | cli_take_flag(a, "--verbose");
    g->force = cli_take_flag(a, "--force");
    g->no_header_comments = cli_take_flag(a, "--no-header-comments");
    g->map_orthologs = cli_take_flag(a, "--map-orthologs");
    g->allow_external = cli_take_flag(a, "--allow-external");
    TRY(cli_take_string(a, "--log", &g->log_file));
    TRY(cli_take_string(a, "--device", &g->device));
    TRY(cli_take_string(a, "--model", &g->model));
    TRY(cli_take_string(a, "--genome", &g->genome));
    TRY(cli_take_string(a, "--feature-type", &g->feature_type));
    TRY(cli_take_string(a, "--matrix", &g->matrix));
    TRY(cli_take_string(a, "--gene-column", &g->gene_column));
    TRY(cli_take_string(a, "-o", &g->output));
    TRY(cli_take_string(a, "--output", &g->output));
    TRY(cli_take_string(a, "--max-memory", &max_memory));
    TRY(cli_take_size(a, "--seed", 0, SIZE_MAX / 2, &seed));
    TRY(cli_take_size(a, "--min-genes", 1, 1000000, &g->min_genes));
    TRY(cli_take_size(a, "--threads", 1, 4096, &threads));
    g->seed = seed;
    g->threads = (int)threads;
    if (max_memory)
        TRY(parse_bytes("--max-memory", max_memory, &g->max_memory));
    return OK;
}

SessionParams cli_session_params(const CliArgs *a)
{
    SessionParams p = session_params_default();
    p.dataset = (DatasetOptions){.genome = a->g->genome,
                                 .feature_type = a->g->feature_type,
                                 .gene_column = a->g->gene_column,
                                 .map_orthologs = a->g->map_orthologs,
                                 .allow_external = a->g->allow_external,
                                 .matrix = a->g->matrix};
    if (a->g->device)
        p.device = a->g->device;
    p.model_dir = a->g->model;
    p.seed = a->g->seed;
    p.min_genes = a->g->min_genes == SIZE_MAX ? 0 : a->g->min_genes;
    p.command = a->g->command_line;
    return p;
}

Err cli_open(CliArgs *a, const char *path, Session **out)
{
    a->file = path;
    SessionParams p = cli_session_params(a);
    TRY(session_open(&p, path, a->ctl, out));
    const Dataset *d = session_dataset(*out);
    for (size_t i = 0; i < dataset_n_warnings(d); i++)
        log_warn("%s: %s", path, dataset_warning(d, i));
    return OK;
}

/* ---- stderr: log lines and progress ---- */

typedef struct Stderr {
    bool tty, bar_shown, quiet;
    const char *stage;
    double since; /* of the stage, when `from` of its items were done */
    size_t from, done;
    double last;
    FILE *log;
    Str held; /* with -q: warnings, until it is known that the command succeeded */
} Stderr;
static Stderr the_stderr;

static void clear_bar(void)
{
    if (the_stderr.bar_shown)
        fputs("\r\033[K", stderr);
    the_stderr.bar_shown = false;
}

static void write_log(void *user, LogLevel level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (the_stderr.quiet && !the_stderr.log) {
        str_addf(&the_stderr.held, "scmmgpt: %s: %s\n", names[level], line);
        return;
    }
    clear_bar();
    fprintf(the_stderr.log ? the_stderr.log : stderr, "scmmgpt: %s: %s\n", names[level], line);
}

/* A bar on a terminal, ten times a second; else one line every ten seconds. */
static void show_progress(void *user, const char *stage, size_t done, size_t total)
{
    double t = clock_seconds();
    Stderr *e = &the_stderr;
    if (e->quiet || t - e->last < (e->tty ? 0.1 : 10.0))
        return;
    e->last = t;
    if (e->stage != stage || done < e->done) {
        e->since = t;
        e->from = done;
    }
    e->stage = stage;
    e->done = done;
    if (e->tty)
        fputs("\r\033[K", stderr);
    if (total)
        fprintf(stderr, "%s %zu/%zu (%.0f %%)", stage, done, total, 100.0 * (double)done / (double)total);
    else
        fprintf(stderr, "%s", stage);
    if (total && t - e->since >= 2 && done > e->from) {
        double speed = (double)(done - e->from) / (t - e->since);
        fprintf(stderr, ", %.3g/s, %.0f s left", speed, (double)(total - done) / speed);
    }
    if (e->tty)
        fflush(stderr);
    else
        fputc('\n', stderr);
    e->bar_shown = e->tty;
}

/* ---- main ---- */

static JobCtl the_ctl;

static char *join_command_line(int argc, char **argv)
{
    Str s = {0};
    str_add(&s, "scmmgpt");
    for (int i = 1; i < argc; i++) {
        bool plain = argv[i][0] && strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                   "0123456789_-./=:,+@%") == strlen(argv[i]);
        str_add(&s, plain ? " " : " '");
        for (const char *p = argv[i]; *p; p++)
            if (*p == '\'')
                str_add(&s, "'\\''");
            else
                str_add_char(&s, *p);
        str_add(&s, plain ? "" : "'");
    }
    return str_take(&s);
}

static void print_help(FILE *f)
{
    fputs("scmmgpt FILE                 explore single-cell data in the terminal\n"
          "scmmgpt COMMAND ...          the same actions without a terminal\n\n",
          f);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(f, "  %-9s %-52s %s\n", commands[i].name, commands[i].usage, commands[i].help);
    fputs("\nAll commands: --json -q -v --log FILE --seed N --threads N --device auto|cpu|cpu:16|cuda[:N] --model DIR\n"
          "  --force (overwrite) -o FILE --max-memory 4G --matrix NAME --gene-column NAME --genome NAME\n"
          "  --feature-type NAME --map-orthologs --min-genes 100 --allow-external (follow links)\n"
          "Exit codes: 0 ok, 1 general, 2 usage, 3 input, 4 model, 5 memory, 6 too few genes, 7 nothing found,\n"
          "  130 Ctrl-C, 143 SIGTERM\n",
          f);
}

static const CliCommand *find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* The message begins with the value of an option that names a file: that file is the culprit, not the data. */
static bool names_other_file(const char *message, int argc, char **argv)
{
    static const char *const options[] = {"-o", "--output", "--model", "--labels", "--log", "--few-shot", "--like",
                                          "--genes-from", "--generated", "--resume", "--prompts", "--reference"};
    for (int i = 1; i + 1 < argc; i++)
        for (size_t k = 0; k < sizeof options / sizeof options[0]; k++) {
            size_t n = strlen(argv[i + 1]);
            if (strcmp(argv[i], options[k]) == 0 && n && strncmp(message, argv[i + 1], n) == 0 &&
                strchr(":/", message[n]))
                return true;
        }
    return false;
}

static int report(Err err, const CliArgs *a, int argc, char **argv)
{
    if (err == OK) {
        fputs(str_text(&the_stderr.held), stderr);
        return 0;
    }
    clear_bar();
    const char *m = err_message();
    bool named = a->file && strncmp(m, a->file, strlen(a->file)) == 0;
    named = named || err == ERR_MODEL || names_other_file(m, argc, argv);
    Str line = {0};
    if (a->file && !named)
        str_addf(&line, "%s: %s", a->file, m);
    else
        str_add(&line, m[0] ? m : "failed without a message");
    for (size_t i = 0; i < line.len; i++) /* file contents may be quoted in it */
        if ((unsigned char)line.data[i] < 0x20)
            line.data[i] = ' ';
    fprintf(stderr, "scmmgpt: %s\n", str_text(&line));
    str_free(&line);
    return (int)err;
}

Err cli_call(const CliArgs *from, FILE *out, const char *const *argv, const char **file)
{
    CliGlobals g = {0};
    CliArgs a = {.g = &g, .out = out, .ctl = from->ctl};
    while (argv[a.argc])
        a.argc++;
    a.argv = mem_must((size_t)(a.argc + 2) * sizeof *a.argv);
    memcpy(a.argv + 1, argv, (size_t)a.argc * sizeof *a.argv);
    g.command_line = join_command_line(a.argc + 1, a.argv);
    memmove(a.argv, a.argv + 1, (size_t)a.argc * sizeof *a.argv);
    const CliCommand *c = find_command(argv[0]);
    Err err = c ? take_globals(&a, &g) : err_set(ERR_USAGE, "%s: no such command", argv[0]);
    g.device = g.device ? g.device : from->g->device;
    g.model = g.model ? g.model : from->g->model;
    g.quiet = from->g->quiet;
    if (err == OK)
        err = c->run(&a);
    *file = a.file;
    free(a.argv);
    free(g.command_line);
    return err;
}

static Err run_command(const CliCommand *c, CliArgs *a, CliGlobals *g)
{
    TRY(take_globals(a, g));
    if (g->threads)
        omp_set_num_threads(g->threads);
    mem_set_budget(g->max_memory);
    the_stderr.quiet = g->quiet;
    if (g->log_file) {
        the_stderr.log = fopen(g->log_file, "a");
        if (!the_stderr.log)
            FAIL(ERR_GENERAL, "%s: cannot be written: %s", g->log_file, strerror(errno));
    }
    log_set_sink(write_log, NULL, g->verbose ? LOG_DEBUG : LOG_WARN);
    Err err = c->run(a);
    if (err == OK && (fflush(a->out) != 0 || ferror(a->out)))
        FAIL(ERR_GENERAL, "standard output: cannot be written: %s", strerror(errno));
    return err;
}

/* Commands that write folders. */
static bool is_patient(const char *command)
{
    static const char *const list[] = {"train", "import", "export", "demo"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(command, list[i]) == 0)
            return true;
    return false;
}

int cli_main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? ERR_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("scmmgpt " SCMMGPT_VERSION);
        return 0;
    }
    the_stderr.tty = isatty(STDERR_FILENO);
    the_stderr.last = the_stderr.tty ? 0 : clock_seconds();
    CliGlobals g = {0};
    g.command_line = join_command_line(argc, argv);
    char **rest = mem_must((size_t)argc * sizeof *rest);
    memcpy(rest, argv + 1, (size_t)(argc - 1) * sizeof *rest);
    CliArgs a = {.g = &g, .argc = argc - 1, .argv = rest, .out = stdout, .ctl = &the_ctl};
    the_ctl.on_progress = show_progress;
    atomic_store(&the_ctl.stage, "");
    const CliCommand *c = find_command(argv[1]);
    Err err;
    cli_signals_begin(&a, is_patient(argv[1]));
    cli_expect_crashes(argc > 2 ? argv[2] : NULL);
    if (!c) {
        err = err_set(ERR_USAGE, "%s: no such command or file; 'scmmgpt help' lists the commands", argv[1]);
    } else if (cli_take_flag(&a, "--help") || cli_take_flag(&a, "-h")) {
        printf("scmmgpt %s %s\n  %s\n", c->name, c->usage, c->help);
        cli_print_options(stdout, c->name);
        puts("  'scmmgpt help' lists the options of all commands");
        err = OK;
    } else {
        err = run_command(c, &a, &g);
    }
    cli_signals_end();
    int code = report(err, &a, argc, argv);
    clear_bar();
    str_free(&the_stderr.held);
    if (the_stderr.log)
        fclose(the_stderr.log);
    free(rest);
    free(g.command_line);
    return code;
}
