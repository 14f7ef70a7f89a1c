/* Rules that select cells: leiden=3, cell_type="B cell", CD3E>0, n_counts<=2000, joined by and, or, not and
 * parentheses; "all"; "@FILE" with one cell name a line. A name is an obs column first, then a gene (values of the
 * model matrix as stored). Recursive descent, one bitmap a term. */
#include "core/session/session_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"

enum { MAX_DEPTH = 64 };

typedef struct Parser {
    Session *s;
    JobCtl *ctl;
    const char *rule, *at;
    size_t n;
    int depth;
} Parser;

static Err parse_or(Parser *p, uint8_t **out);

static void skip_spaces(Parser *p)
{
    while (*p->at == ' ' || *p->at == '\t')
        p->at++;
}

static bool take_word(Parser *p, const char *word)
{
    skip_spaces(p);
    size_t n = strlen(word);
    if (strncasecmp(p->at, word, n) != 0 || !strchr(" \t()", p->at[n]))
        return false;
    p->at += n;
    return true;
}

static Err syntax(const Parser *p, const char *what)
{
    FAIL(ERR_USAGE, "rule '%s': %s at '%s'; examples: leiden=3, cell_type=\"B cell\" and CD3E>0", p->rule, what,
         *p->at ? p->at : "the end");
}

/* A bare word up to an operator or a parenthesis, or a quoted text. Bare names may hold spaces inside ("cell type=B"). */
static Err take_text(Parser *p, bool value, char **out)
{
    skip_spaces(p);
    if (*p->at == '"' || *p->at == '\'') {
        char quote = *p->at++;
        const char *end = strchr(p->at, quote);
        if (!end)
            return syntax(p, "a quote is not closed");
        *out = mem_strndup(p->at, (size_t)(end - p->at));
        p->at = end + 1;
        return OK;
    }
    size_t n = strcspn(p->at, value ? " \t()" : "=<>!()");
    while (n && (p->at[n - 1] == ' ' || p->at[n - 1] == '\t'))
        n--;
    if (n == 0)
        return syntax(p, value ? "a value is missing" : "a name is missing");
    *out = mem_strndup(p->at, n);
    p->at += n;
    return OK;
}

typedef enum Op { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE } Op;

static Err take_op(Parser *p, Op *out)
{
    static const struct {
        const char *text;
        Op op;
    } ops[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE}, {"=", OP_EQ}, {"<", OP_LT}, {">", OP_GT}};
    skip_spaces(p);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (str_starts(p->at, ops[i].text)) {
            p->at += strlen(ops[i].text);
            *out = ops[i].op;
            return OK;
        }
    return syntax(p, "one of = != < <= > >= is missing");
}

static bool compare(double a, Op op, double b)
{
    switch (op) {
    case OP_EQ:
        return a == b;
    case OP_NE:
        return a != b;
    case OP_LT:
        return a < b;
    case OP_LE:
        return a <= b;
    case OP_GT:
        return a > b;
    default:
        return a >= b;
    }
}

static Err match_numbers(const Parser *p, const char *name, const float *v, Op op, const char *value, uint8_t *in)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end)
        FAIL(ERR_USAGE, "rule '%s': %s is numeric, '%s' is not a number", p->rule, name, value);
    for (size_t i = 0; i < p->n; i++)
        in[i] = !isnan(v[i]) && compare(v[i], op, number);
    return OK;
}

static Err match_groups(const Parser *p, const char *name, Op op, const char *value, uint8_t *in)
{
    if (op != OP_EQ && op != OP_NE)
        FAIL(ERR_USAGE, "rule '%s': %s holds names: use = or !=", p->rule, name);
    Groups *g;
    TRY(session_groups(p->s, name, p->ctl, &g));
    Err err = OK;
    int32_t want = -1;
    Str known = {0};
    for (size_t i = 0; i < g->n_groups; i++) {
        if (strcmp(g->names[i], value) == 0)
            want = (int32_t)i;
        if (i < 12)
            str_addf(&known, "%s%s", i ? ", " : "", g->names[i]);
    }
    for (size_t i = 0; i < g->n_groups && want < 0; i++)
        if (str_equal_nocase(g->names[i], value))
            want = (int32_t)i;
    if (want < 0)
        err = err_set(ERR_NOT_FOUND, "rule '%s': %s has no '%s'; it has %s%s", p->rule, name, value, str_text(&known),
                      g->n_groups > 12 ? ", ..." : "");
    else
        for (size_t i = 0; i < p->n; i++)
            in[i] = (g->codes[i] == want) == (op == OP_EQ);
    str_free(&known);
    groups_free(g);
    return err;
}

static Err match_term(Parser *p, const char *name, Op op, const char *value, uint8_t *in)
{
    Dataset *d = session_dataset(p->s);
    int obs = dataset_find_obs(d, name);
    if (obs >= 0 && dataset_obs_kind(d, (size_t)obs) != COLUMN_NUMERIC)
        return match_groups(p, name, op, value, in);
    Values *v;
    if (obs >= 0)
        TRY(session_obs_values(p->s, name, p->ctl, &v));
    else
        TRY(err_context(session_gene(p->s, name, false, p->ctl, &v), "rule '%s'", p->rule));
    Err err = match_numbers(p, name, v->v, op, value, in);
    values_free(v);
    return err;
}

static Err cells_of_file(Parser *p, const char *path, uint8_t *in)
{
    char *text, *save = NULL;
    const char *const *names;
    TRY(str_read_file(path, (size_t)1 << 30, ERR_USAGE, &text, NULL));
    Err err = dataset_cell_names(session_dataset(p->s), &names);
    StrMap *wanted = strmap_new(1024);
    if (err == OK) {
        for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
            strmap_put(wanted, line, 1);
        for (size_t i = 0; i < p->n; i++)
            in[i] = strmap_get(wanted, names[i], 0) == 1;
    }
    strmap_free(wanted);
    free(text);
    return err;
}

static Err parse_term(Parser *p, uint8_t **out)
{
    Err err = OK;
    char *name = NULL, *value = NULL;
    uint8_t *in = NULL;
    Op op = OP_EQ;
    TRY(NEW0(in, p->n));
    skip_spaces(p);
    if (take_word(p, "all")) {
        memset(in, 1, p->n);
    } else if (*p->at == '@') {
        p->at++;
        TRY_GOTO(take_text(p, true, &name));
        TRY_GOTO(cells_of_file(p, name, in));
    } else {
        TRY_GOTO(take_text(p, false, &name));
        TRY_GOTO(take_op(p, &op));
        TRY_GOTO(take_text(p, true, &value));
        TRY_GOTO(match_term(p, name, op, value, in));
    }
    *out = in;
    in = NULL;
done:
    free(in);
    free(name);
    free(value);
    return err;
}

static Err parse_not(Parser *p, uint8_t **out)
{
    if (++p->depth > MAX_DEPTH)
        return syntax(p, "nested too deeply");
    Err err;
    skip_spaces(p);
    if (take_word(p, "not")) {
        err = parse_not(p, out);
        for (size_t i = 0; err == OK && i < p->n; i++)
            (*out)[i] = !(*out)[i];
    } else if (*p->at == '(') {
        p->at++;
        err = parse_or(p, out);
        skip_spaces(p);
        if (err == OK && *p->at != ')') {
            free(*out);
            err = syntax(p, "a parenthesis is not closed");
        } else if (err == OK) {
            p->at++;
        }
    } else {
        err = parse_term(p, out);
    }
    p->depth--;
    return err;
}

static Err parse_and(Parser *p, uint8_t **out)
{
    TRY(parse_not(p, out));
    while (take_word(p, "and")) {
        uint8_t *right;
        Err err = parse_not(p, &right);
        if (err) {
            free(*out);
            return err;
        }
        for (size_t i = 0; i < p->n; i++)
            (*out)[i] &= right[i];
        free(right);
    }
    return OK;
}

static Err parse_or(Parser *p, uint8_t **out)
{
    TRY(parse_and(p, out));
    while (take_word(p, "or")) {
        uint8_t *right;
        Err err = parse_and(p, &right);
        if (err) {
            free(*out);
            return err;
        }
        for (size_t i = 0; i < p->n; i++)
            (*out)[i] |= right[i];
        free(right);
    }
    return OK;
}

Err session_select(Session *s, const char *rule, JobCtl *ctl, Selection **out)
{
    Parser p = {.s = s, .ctl = ctl, .rule = rule, .at = rule, .n = dataset_cells(session_dataset(s))};
    uint8_t *in;
    TRY(parse_or(&p, &in));
    skip_spaces(&p);
    if (*p.at) {
        free(in);
        return syntax(&p, "cannot be read");
    }
    Selection *sel = mem_must(sizeof *sel);
    *sel = (Selection){.rule = mem_strdup(rule), .n_cells = p.n, .in = in};
    for (size_t i = 0; i < p.n; i++)
        sel->n += in[i];
    *out = sel;
    return OK;
}
