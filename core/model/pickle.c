/* The machine: a stack, a memo, and one table of the opcodes that torch writes (protocols 2 to 5).
 * Everything is bounded by the input's size and by OBJECTS_MAX. */
#include "core/model/pickle.h"
#include "core/base/mem.h"
#include "core/model/pickle_torch.h"
#include <string.h>

enum { OBJECTS_MAX = 4000000 };

typedef struct Machine {
    const uint8_t *p, *end, *begin;
    uint32_t *stack, *memo;
    size_t n_stack, cap_stack, n_memo, cap_memo, marks;
    Pickle *o;
} Machine;

Err pk_new(Pickle *o, PkKind kind, uint32_t *out)
{
    if (o->n >= OBJECTS_MAX)
        FAIL(ERR_MODEL, "pickle: more than %d objects", OBJECTS_MAX);
    if (o->n == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 1024;
        TRY(mem_realloc(&o->v, cap, sizeof *o->v));
        o->cap = cap;
    }
    o->v[o->n] = (PkValue){.kind = (uint8_t)kind};
    *out = (uint32_t)o->n++;
    return OK;
}

Err pk_append(Pickle *o, uint32_t container, uint32_t item)
{
    PkValue *c = &o->v[container];
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 4;
        TRY(mem_realloc(&c->u.items, cap, sizeof *c->u.items));
        c->cap = cap;
    }
    c->u.items[c->n++] = item;
    return OK;
}

static Err push(Machine *m, uint32_t v)
{
    if (m->n_stack == m->cap_stack) {
        size_t cap = m->cap_stack ? m->cap_stack * 2 : 256;
        TRY(mem_realloc(&m->stack, cap, sizeof *m->stack));
        m->cap_stack = cap;
    }
    m->stack[m->n_stack++] = v;
    return OK;
}

static Err push_new(Machine *m, PkKind kind, uint32_t *v)
{
    TRY(pk_new(m->o, kind, v));
    return push(m, *v);
}

static Err pop(Machine *m, uint32_t *v)
{
    if (m->n_stack == 0 || m->o->v[m->stack[m->n_stack - 1]].kind == PK_MARK)
        FAIL(ERR_MODEL, "pickle: stack underflow at byte %zu", (size_t)(m->p - m->begin));
    *v = m->stack[--m->n_stack];
    return OK;
}

static Err top(Machine *m, uint32_t *v)
{
    TRY(pop(m, v));
    m->n_stack++;
    return OK;
}

static Err need(Machine *m, uint64_t n)
{
    if (n > (uint64_t)(m->end - m->p))
        FAIL(ERR_MODEL, "pickle: ends in the middle of an instruction");
    return OK;
}

static Err number(Machine *m, int bytes, uint64_t *out)
{
    TRY(need(m, (uint64_t)bytes));
    *out = 0;
    for (int i = bytes - 1; i >= 0; i--)
        *out = *out << 8 | m->p[i];
    m->p += bytes;
    return OK;
}

static Err push_int(Machine *m, int64_t i)
{
    uint32_t v = 0;
    TRY(push_new(m, PK_INT, &v));
    m->o->v[v].u.i = i;
    return OK;
}

static Err push_text(Machine *m, int length_bytes)
{
    uint64_t n;
    uint32_t v;
    TRY(number(m, length_bytes, &n));
    TRY(need(m, n));
    if (n > INT32_MAX)
        FAIL(ERR_MODEL, "pickle: a text of %llu bytes", (unsigned long long)n);
    TRY(push_new(m, PK_TEXT, &v));
    m->o->v[v].u.text = (const char *)m->p;
    m->o->v[v].n = (uint32_t)n;
    m->p += n;
    return OK;
}

static Err push_long(Machine *m, int length_bytes)
{
    uint64_t n, x = 0;
    uint32_t v;
    TRY(number(m, length_bytes, &n));
    TRY(need(m, n));
    if (n > 8) {
        TRY(push_new(m, PK_BIG, &v));
        m->o->v[v].u.text = (const char *)m->p;
        m->o->v[v].n = (uint32_t)(n < UINT32_MAX ? n : UINT32_MAX);
        m->p += n;
        return OK;
    }
    for (size_t i = (size_t)n; i-- > 0;)
        x = x << 8 | m->p[i];
    if (n > 0 && n < 8 && m->p[n - 1] & 0x80)
        x |= ~(uint64_t)0 << (8 * n);
    m->p += n;
    return push_int(m, (int64_t)x);
}

static Err push_float(Machine *m)
{
    uint64_t bits = 0;
    uint32_t v;
    TRY(need(m, 8));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | *m->p++;
    TRY(push_new(m, PK_FLOAT, &v));
    memcpy(&m->o->v[v].u.f, &bits, 8);
    return OK;
}

/* Position of the topmost mark. */
static Err find_mark(Machine *m, size_t *at)
{
    if (m->marks == 0)
        FAIL(ERR_MODEL, "pickle: an instruction misses its mark");
    for (*at = m->n_stack; (*at)-- > 0;)
        if (m->o->v[m->stack[*at]].kind == PK_MARK)
            return OK;
    FAIL(ERR_MODEL, "pickle: an instruction misses its mark");
}

/* What lies above the mark goes into container; the mark goes too. */
static Err take_marked(Machine *m, uint32_t container, size_t mark)
{
    for (size_t i = mark + 1; i < m->n_stack; i++)
        TRY(pk_append(m->o, container, m->stack[i]));
    m->n_stack = mark;
    m->marks--;
    return OK;
}

static Err tuple_of(Machine *m, size_t n)
{
    uint32_t v, item[3];
    for (size_t i = n; i-- > 0;)
        TRY(pop(m, &item[i]));
    TRY(pk_new(m->o, PK_TUPLE, &v));
    for (size_t i = 0; i < n; i++)
        TRY(pk_append(m->o, v, item[i]));
    return push(m, v);
}

/* TUPLE, FROZENSET */
static Err marked_items(Machine *m, PkKind kind)
{
    size_t mark;
    uint32_t v;
    TRY(find_mark(m, &mark));
    TRY(pk_new(m->o, kind, &v));
    TRY(take_marked(m, v, mark));
    return push(m, v);
}

/* SETITEMS, APPENDS, ADDITEMS, or the form for one. */
static Err add_items(Machine *m, bool pairs, bool marked)
{
    size_t mark = 0;
    uint32_t c, x, y = 0;
    if (marked) {
        TRY(find_mark(m, &mark));
        if (mark == 0 || m->o->v[m->stack[mark - 1]].kind == PK_MARK)
            FAIL(ERR_MODEL, "pickle: stack underflow");
        c = m->stack[mark - 1];
        if (pairs && (m->n_stack - mark - 1) % 2)
            FAIL(ERR_MODEL, "pickle: a key without a value");
    } else {
        TRY(pop(m, &x));
        if (pairs)
            TRY(pop(m, &y));
        TRY(top(m, &c));
    }
    PkKind kind = (PkKind)m->o->v[c].kind;
    if (kind == PK_OPAQUE) {
        if (marked) {
            m->n_stack = mark;
            m->marks--;
        }
        return OK;
    }
    if (kind != (pairs ? PK_DICT : PK_LIST))
        FAIL(ERR_MODEL, "pickle: items are added to something that is no %s",
             pairs ? "dictionary" : "list");
    if (marked)
        return take_marked(m, c, mark);
    if (pairs)
        TRY(pk_append(m->o, c, y));
    return pk_append(m->o, c, x);
}

static Err memo_put(Machine *m, uint64_t i)
{
    uint32_t v;
    TRY(top(m, &v));
    if (i >= OBJECTS_MAX)
        FAIL(ERR_MODEL, "pickle: memo entry %llu", (unsigned long long)i);
    if (i >= m->cap_memo) {
        size_t cap = m->cap_memo ? m->cap_memo : 256;
        while (cap <= i)
            cap *= 2;
        TRY(mem_realloc(&m->memo, cap, sizeof *m->memo));
        m->cap_memo = cap;
    }
    for (; m->n_memo <= i; m->n_memo++)
        m->memo[m->n_memo] = UINT32_MAX;
    m->memo[i] = v;
    return OK;
}

static Err memo_get(Machine *m, int bytes)
{
    uint64_t i;
    TRY(number(m, bytes, &i));
    if (i >= m->n_memo || m->memo[i] == UINT32_MAX)
        FAIL(ERR_MODEL, "pickle: memo entry %llu does not exist", (unsigned long long)i);
    return push(m, m->memo[i]);
}

static Err line(Machine *m, const char **text, size_t *n)
{
    const uint8_t *e = memchr(m->p, '\n', (size_t)(m->end - m->p));
    if (!e)
        FAIL(ERR_MODEL, "pickle: ends in the middle of an instruction");
    *text = (const char *)m->p;
    *n = (size_t)(e - m->p);
    m->p = e + 1;
    return OK;
}

static Err push_global(Machine *m, const char *module, size_t n_module, const char *name,
                       size_t n_name)
{
    uint32_t v;
    uint8_t sub;
    TRY(pk_global(module, n_module, name, n_name, &sub));
    TRY(push_new(m, PK_GLOBAL, &v));
    m->o->v[v].sub = sub;
    return OK;
}

static Err stack_global(Machine *m)
{
    uint32_t module, name;
    TRY(pop(m, &name));
    TRY(pop(m, &module));
    const PkValue *a = &m->o->v[module], *b = &m->o->v[name];
    if (a->kind != PK_TEXT || b->kind != PK_TEXT)
        FAIL(ERR_MODEL, "pickle: a global without a name");
    return push_global(m, a->u.text, a->n, b->u.text, b->n);
}

static Err line_global(Machine *m)
{
    const char *module = "", *name = "";
    size_t n_module = 0, n_name = 0;
    TRY(line(m, &module, &n_module));
    TRY(line(m, &name, &n_name));
    return push_global(m, module, n_module, name, n_name);
}

static Err call(Machine *m)
{
    uint32_t f, args, v;
    TRY(pop(m, &args));
    TRY(pop(m, &f));
    if (m->o->v[f].kind != PK_GLOBAL || m->o->v[args].kind != PK_TUPLE)
        FAIL(ERR_MODEL, "pickle: a call of something that is no known function");
    TRY(pk_call(m->o, m->o->v[f].sub, args, &v));
    return push(m, v);
}

static Err build(Machine *m)
{
    uint32_t state, v;
    TRY(pop(m, &state));
    TRY(top(m, &v));
    if (m->o->v[v].kind != PK_DICT && m->o->v[v].kind != PK_OPAQUE)
        FAIL(ERR_MODEL, "pickle: BUILD on something that is no dictionary");
    return OK;
}

static Err persistent(Machine *m)
{
    uint32_t id, v;
    TRY(pop(m, &id));
    TRY(pk_storage(m->o, id, &v));
    return push(m, v);
}

static Err push_bool(Machine *m, bool b)
{
    uint32_t v = 0;
    TRY(push_new(m, PK_BOOL, &v));
    m->o->v[v].u.i = b;
    return OK;
}

static Err skip(Machine *m, int bytes)
{
    TRY(need(m, (uint64_t)bytes));
    m->p += bytes;
    return OK;
}

static Err step(Machine *m, uint8_t op, bool *stop)
{
    uint64_t n;
    uint32_t v;
    switch (op) {
    case 0x80: /* PROTO */
        TRY(number(m, 1, &n));
        if (n < 2 || n > 5)
            FAIL(ERR_MODEL, "pickle: protocol %d", (int)n);
        return OK;
    case 0x95: /* FRAME */
        return skip(m, 8);
    case '(':
        m->marks++;
        return push_new(m, PK_MARK, &v);
    case '.':
        *stop = true;
        return OK;
    case '0':
        return pop(m, &v);
    case 'N':
        return push_new(m, PK_NONE, &v);
    case 0x88:
        return push_bool(m, true);
    case 0x89:
        return push_bool(m, false);
    case 'J':
        TRY(number(m, 4, &n));
        return push_int(m, (int32_t)(uint32_t)n);
    case 'K':
        TRY(number(m, 1, &n));
        return push_int(m, (int64_t)n);
    case 'M':
        TRY(number(m, 2, &n));
        return push_int(m, (int64_t)n);
    case 0x8a:
        return push_long(m, 1);
    case 0x8b:
        return push_long(m, 4);
    case 'G':
        return push_float(m);
    case 'X':
    case 'T':
    case 'B':
        return push_text(m, 4);
    case 'U':
    case 'C':
    case 0x8c:
        return push_text(m, 1);
    case 0x8d:
    case 0x8e:
    case 0x96: /* BYTEARRAY8 */
        return push_text(m, 8);
    case '}':
        return push_new(m, PK_DICT, &v);
    case ']':
        return push_new(m, PK_LIST, &v);
    case ')':
        return push_new(m, PK_TUPLE, &v);
    case 0x8f: /* EMPTY_SET */
        return push_new(m, PK_LIST, &v);
    case 't':
        return marked_items(m, PK_TUPLE);
    case 0x91:
        return marked_items(m, PK_LIST);
    case 0x85:
    case 0x86:
    case 0x87:
        return tuple_of(m, (size_t)(op - 0x84));
    case 's':
        return add_items(m, true, false);
    case 'u':
        return add_items(m, true, true);
    case 'a':
        return add_items(m, false, false);
    case 'e':
    case 0x90: /* ADDITEMS */
        return add_items(m, false, true);
    case 'q':
        TRY(number(m, 1, &n));
        return memo_put(m, n);
    case 'r':
        TRY(number(m, 4, &n));
        return memo_put(m, n);
    case 0x94: /* MEMOIZE */
        return memo_put(m, m->n_memo);
    case 'h':
        return memo_get(m, 1);
    case 'j':
        return memo_get(m, 4);
    case 'c':
        return line_global(m);
    case 0x93:
        return stack_global(m);
    case 'R':
    case 0x81: /* NEWOBJ */
        return call(m);
    case 'b':
        return build(m);
    case 'Q':
        return persistent(m);
    default:
        FAIL(ERR_MODEL, "pickle: instruction 0x%02x at byte %zu is not allowed", op,
             (size_t)(m->p - m->begin - 1));
    }
}

static Err run(Machine *m)
{
    bool stop = false;
    uint32_t v;
    while (!stop) {
        TRY(need(m, 1));
        uint8_t op = *m->p++;
        TRY(step(m, op, &stop));
    }
    TRY(pop(m, &v));
    m->o->root = v;
    return OK;
}

Err pickle_read(const uint8_t *data, size_t len, Pickle **out, size_t *used)
{
    Machine m = {.p = data, .begin = data, .end = data + len};
    m.o = mem_must(sizeof *m.o);
    Err err = run(&m);
    free(m.stack);
    free(m.memo);
    if (err != OK) {
        pickle_free(m.o);
        return err;
    }
    *used = (size_t)(m.p - data);
    *out = m.o;
    return OK;
}

void pickle_free(Pickle *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        PkValue *v = &p->v[i];
        if (v->kind == PK_TUPLE || v->kind == PK_LIST || v->kind == PK_DICT)
            free(v->u.items);
        else if (v->kind == PK_STORAGE)
            free(v->u.storage);
        else if (v->kind == PK_TENSOR)
            free(v->u.tensor);
    }
    free(p->v);
    free(p);
}

uint32_t pickle_count(const Pickle *p)
{
    return (uint32_t)p->n;
}

uint32_t pickle_root(const Pickle *p)
{
    return p->root;
}

const PkValue *pickle_at(const Pickle *p, uint32_t value)
{
    return &p->v[value];
}

bool pickle_text_is(const PkValue *v, const char *text)
{
    return v->kind == PK_TEXT && v->n == strlen(text) && memcmp(v->u.text, text, v->n) == 0;
}

const PkValue *pickle_get(const Pickle *p, const PkValue *dict, const char *key)
{
    if (dict->kind != PK_DICT)
        return NULL;
    for (uint32_t i = 0; i + 1 < dict->n; i += 2)
        if (pickle_text_is(&p->v[dict->u.items[i]], key))
            return &p->v[dict->u.items[i + 1]];
    return NULL;
}
