/* Counts from log-normalised values: the unit of each cell, found and verified on all of them. */
#include "core/data/recover.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const struct {
    double ln_base;
    const char *name;
} logarithms[] = {
    {1.0, "log1p"},
    {0.69314718055994531, "log2(1 + x)"},
    {2.30258509299404568, "log10(1 + x)"},
    {0, "none"}, /* counts per million and their like */
};
enum {
    N_LOGARITHMS = 3,
    LINEAR = 3,
    CELLS_SAMPLED = 24,
    MOST_VALUES = 65536,
    SMALL_MATRIX = 1 << 22
};

/* ---- one cell ---- */

static double before_log(double x, double ln_base)
{
    return ln_base > 0 ? expm1(x * ln_base) : x;
}

/* Relative error of y = base^x - 1 for an x that was rounded, and so were the steps before. */
static double error_of(double x, double y, double ln_base, double eps)
{
    return eps * (3 + x * ln_base * (1 + y) / y);
}

/* Are all values multiples of unit, within what rounding allows? Then *different says whether there
 * are at least two different multiples. */
static bool fits(const float *x, size_t n, double ln_base, double eps, double unit,
                 double unit_error, bool *different, bool *large)
{
    double first = 0;
    *different = false;
    for (size_t i = 0; i < n; i++) {
        if (x[i] == 0)
            continue;
        double y = before_log(x[i], ln_base), c = rint(y / unit);
        double allowed = 1e-4 + 1.5 * c * (error_of(x[i], y, ln_base, eps) + unit_error);
        if (allowed > 0.4) {
            *large = true;
            return false;
        }
        if (!(c >= 1) || !(fabs(y / unit - c) <= allowed)) /* NaN too */
            return false;
        *different |= first != 0 && c != first;
        first = c;
    }
    return true;
}

double recovery_unit(const float *x, size_t n, double ln_base, double eps, const char **why)
{
    enum { MOST_LEAST = 12 }; /* the smallest count of a cell is tried from 1 to this */
    float least = INFINITY;
    bool different, large = false;
    for (size_t i = 0; i < n; i++)
        if (x[i] != 0 && x[i] < least)
            least = x[i];
    if (!isfinite(least))
        return 1;
    double y = before_log(least, ln_base);
    for (int k = 1; least > 0 && k <= MOST_LEAST; k++)
        if (fits(x, n, ln_base, eps, y / k, error_of(least, y, ln_base, eps), &different, &large)) {
            *why = "has a single value, which does not tell its factor";
            return different ? y / k : -y;
        }
    *why = large ? "holds counts too large for the precision of its values"
                 : "holds values that are no multiples of one number";
    return 0;
}

/* A cell with a single value does not tell its factor; as long as nearly all others do, its counts
 * are taken as 1. */
static bool few_guesses(size_t guessed, size_t cells)
{
    return guessed <= cells / 20 + 1;
}

/* ---- a few cells ---- */

static double precision_of(const Matrix *m)
{
    return strcmp(m->info.dtype, "float16") == 0 ? 4.9e-4 : 6e-8; /* float64 may hold float32 */
}

/* The values of one cell, at most MOST_VALUES of them; genes do not matter. */
static Err cell_values(Dataset *d, Matrix *m, size_t row, float **out, size_t *n)
{
    if (m->kind == MATRIX_SPARSE && m->by_cells) {
        int64_t ptr[2], base = 0, last = 0;
        int64_t total = (int64_t)m->data->info.count;
        TRY(array_read_1d(m->indptr_array, row, 2, MEM_I64, ptr));
        TRY(array_read_1d(m->indptr_array, 0, 1, MEM_I64, &base));
        TRY(array_read_1d(m->indptr_array, m->info.rows, 1, MEM_I64, &last));
        base = last - base == total ? base : 0;
        if (ptr[0] < base || ptr[1] < ptr[0] || ptr[1] - base > total)
            FAIL(ERR_INPUT, "%s: does not ascend", m->indptr_array->path);
        *n = (size_t)(ptr[1] - ptr[0]);
        *n = *n > MOST_VALUES ? MOST_VALUES : *n;
        TRY(NEW(*out, *n + 1));
        Err err = *n ? array_read_1d(m->data, (uint64_t)(ptr[0] - base), *n, MEM_F32, *out) : OK;
        if (err)
            free(*out);
        return err;
    }
    Csr c;
    TRY(matrix_read_rows(d, m, row, 1, NULL, &c));
    *n = csr_nnz(&c);
    Err err = NEW(*out, *n + 1);
    if (!err)
        memcpy(*out, c.values, *n * sizeof **out);
    csr_done(&c);
    return err;
}

typedef struct Sample {
    size_t cells, fit;        /* with values; of these with a unit, or a single value */
    size_t told;              /* with a unit */
    double sum_low, sum_high; /* of the values before the logarithm */
    const char *why;
    size_t failed; /* a cell without a unit */
} Sample;

static Err sample_with(Dataset *d, Matrix *m, int log, Sample *s)
{
    size_t step = m->info.rows > CELLS_SAMPLED ? m->info.rows / CELLS_SAMPLED : 1;
    double ln = logarithms[log].ln_base;
    *s = (Sample){.sum_low = DBL_MAX};
    for (size_t row = 0; row < m->info.rows && s->cells < CELLS_SAMPLED; row += step) {
        float *x = NULL;
        size_t n = 0;
        TRY(cell_values(d, m, row, &x, &n));
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += before_log(x[i], ln);
        const char *why = "";
        double unit = recovery_unit(x, n, ln, precision_of(m), &why);
        free(x);
        if (sum <= 0)
            continue;
        s->cells++;
        s->fit += unit != 0;
        s->told += unit > 0;
        if (unit <= 0) {
            s->failed = row;
            s->why = why;
        }
        if (unit == 0)
            return OK;
        s->sum_low = sum < s->sum_low ? sum : s->sum_low;
        s->sum_high = sum > s->sum_high ? sum : s->sum_high;
    }
    return OK;
}

static void set_text(Recovery *r, char *take)
{
    free(r->text);
    r->text = take;
}

/* The model can use the source as well, whatever its unit. */
static void set_possible(Dataset *d, bool possible)
{
    Recovery *r = &d->recovery;
    MatrixInfo *m = &d->matrices[r->source].info;
    r->possible = possible;
    m->usable_for_model = possible || m->state == STATE_LOGNORM;
}

/* The matrix that shows the counts; not among those that people see. */
static void add_hidden(Dataset *d, int source)
{
    char *name = str_format("%s (counts recovered)", d->matrices[source].info.name);
    Matrix *m = dataset_new_matrix(d, name); /* the array may have moved */
    const Matrix *from = &d->matrices[source];
    free(name);
    m->kind = MATRIX_RECOVERED;
    m->by_cells = true;
    m->var = from->var;
    m->file_genes = from->info.cols;
    m->info.storage = from->info.storage;
    snprintf(m->info.dtype, sizeof m->info.dtype, "float32");
    m->info.rows = from->info.rows;
    m->info.cols = from->info.cols;
    m->info.nnz = from->info.nnz;
    m->info.state = STATE_COUNTS;
    m->info.usable_for_model = m->info.readable = true;
    d->n_hidden = 1;
    d->recovery.hidden = (int)d->n_matrices - 1;
}

/* The log-normalised matrix in use; where there is none, an X in another unit. */
static int source_of(const Dataset *d)
{
    int w = d->working_matrix;
    if (w >= 0)
        return d->matrices[w].info.state == STATE_LOGNORM ||
                       d->matrices[w].info.state == STATE_UNKNOWN
                   ? w
                   : -1;
    for (size_t i = 0; i < d->n_matrices; i++) {
        const MatrixInfo *m = &d->matrices[i].info;
        bool x = strcmp(m->name, "X") == 0 || strcmp(m->name, "raw/X") == 0;
        if (x && m->readable && m->state == STATE_UNKNOWN && m->nnz)
            return (int)i;
    }
    return -1;
}

/* How the counts were changed, for people. */
static char *how_changed(const Recovery *r, bool same)
{
    Str s = {0};
    if (r->log == LINEAR)
        str_add(&s, "counts times a factor for each cell");
    else
        str_addf(&s, "%s of counts times a factor for each cell", logarithms[r->log].name);
    if (same)
        str_addf(&s, ", %.0f a cell", r->target);
    return str_take(&s);
}

Err recovery_sample(Dataset *d)
{
    Recovery *r = &d->recovery;
    *r = (Recovery){.source = -1, .hidden = -1};
    int at = source_of(d);
    if (at < 0)
        return OK;
    Matrix *m = &d->matrices[at];
    bool linear = m->info.state == STATE_UNKNOWN;
    r->source = at;
    bool cheap = m->by_cells || m->info.nnz <= SMALL_MATRIX;
    if ((m->kind == MATRIX_MTX || !cheap) &&
        !linear) { /* stored by genes: a cell costs a pass over the file */
        set_possible(d, true);
        set_text(r, str_format("%s is stored by genes; whether its counts can be recovered is seen "
                               "when the model needs them",
                               m->info.name));
        add_hidden(d, at);
        return OK;
    }
    Sample s = {0}, first = {0};
    for (int log = linear ? LINEAR : 0; log <= (linear ? LINEAR : N_LOGARITHMS - 1); log++) {
        TRY(sample_with(d, m, log, &s));
        if (s.told && s.fit == s.cells && few_guesses(s.fit - s.told, s.cells)) {
            bool same = s.sum_high - s.sum_low < 1e-3 * s.sum_high;
            r->log = log;
            set_possible(d, true);
            r->checked = s.cells;
            r->target = same ? rint((s.sum_low + s.sum_high) / 2) : 0;
            char *how = how_changed(r, same);
            set_text(r, str_format("its counts can be recovered (%s; %zu cells looked at)", how,
                                   s.cells));
            free(how);
            add_hidden(d, at);
            return OK;
        }
        if (log == 0 || linear)
            first = s;
    }
    if (first.cells)
        set_text(r, str_format("its counts cannot be recovered: cell %zu %s", first.failed + 1,
                               first.why));
    return OK;
}

/* ---- all cells ---- */

/* What came of all cells. */
typedef struct AllCells {
    size_t failed; /* the first without a unit; SIZE_MAX: none */
    const char *why;
    size_t guessed, first_guess;
    const char *why_guess;
} AllCells;

static void note_cell(AllCells *all, size_t row, double unit, const char *why)
{
    if (unit == 0 && row < all->failed) {
        all->failed = row;
        all->why = why;
    }
    if (unit < 0 && (!all->guessed++ || row < all->first_guess)) {
        all->first_guess = row;
        all->why_guess = why;
    }
}

static Err units_of_block(Dataset *d, Matrix *m, int log, size_t row0, size_t n, JobCtl *ctl,
                          double *unit, AllCells *all)
{
    Csr c;
    double eps = precision_of(m), ln = logarithms[log].ln_base;
    TRY(matrix_read_rows(d, m, row0, n, ctl, &c));
#pragma omp parallel for schedule(dynamic, 64)
    for (size_t i = 0; i < n; i++) {
        const char *reason = "";
        double u = recovery_unit(c.values + c.indptr[i], (size_t)(c.indptr[i + 1] - c.indptr[i]),
                                 ln, eps, &reason);
        unit[row0 + i] = fabs(u);
        if (u <= 0) {
#pragma omp critical
            note_cell(all, row0 + i, u, reason);
        }
    }
    csr_done(&c);
    return OK;
}

static Err all_units(Dataset *d, Matrix *m, int log, JobCtl *ctl, double *unit, AllCells *all)
{
    size_t step = matrix_block_rows(m);
    *all = (AllCells){.failed = SIZE_MAX};
    job_stage(ctl, "recovering counts", m->info.rows);
    for (size_t r = 0; r < m->info.rows && all->failed == SIZE_MAX; r += step) {
        size_t n = m->info.rows - r < step ? m->info.rows - r : step;
        TRY(units_of_block(d, m, log, r, n, ctl, unit, all));
        TRY(job_progress(ctl, r + n));
    }
    if (all->failed == SIZE_MAX && !few_guesses(all->guessed, m->info.rows)) {
        all->failed = all->first_guess;
        all->why = all->why_guess;
    }
    return OK;
}

/* All cells have a unit. */
static void accept(Dataset *d, const AllCells *all, double *take_unit)
{
    Recovery *r = &d->recovery;
    Str s = {0};
    char *how = how_changed(r, false);
    r->unit = take_unit;
    str_addf(&s, "its counts were recovered (%s, verified on all %zu cells", how, d->obs.n);
    if (all->guessed)
        str_addf(&s, "; %zu with a single value are taken to have counts of 1", all->guessed);
    str_add(&s, ")");
    free(how);
    set_text(r, str_take(&s));
}

Err dataset_recover_counts(Dataset *d, JobCtl *ctl, int *matrix)
{
    Recovery *r = &d->recovery;
    *matrix = -1;
    if (r->unit)
        *matrix = r->hidden;
    if (r->unit || !r->possible)
        return OK;
    Matrix *m = &d->matrices[r->source];
    double *unit;
    size_t failed = SIZE_MAX;
    const char *why = "";
    Err err = OK;
    TRY(mem_check_budget(m->info.rows * sizeof *unit, m->info.name));
    TRY(NEW0(unit, m->info.rows));
    int first = r->checked ? r->log : 0, last = r->checked ? r->log : N_LOGARITHMS - 1;
    for (int log = first; log <= last; log++) {
        AllCells all;
        TRY_GOTO(all_units(d, m, log, ctl, unit, &all));
        if (all.failed == SIZE_MAX) {
            r->log = log;
            accept(d, &all, unit);
            *matrix = r->hidden;
            return OK;
        }
        if (log == first) {
            failed = all.failed;
            why = all.why;
        }
    }
    set_possible(d, false);
    set_text(r, str_format("its counts cannot be recovered: cell %zu %s", failed + 1, why));
done:
    free(unit);
    return err;
}

static float count_of(const Recovery *r, float x, size_t row)
{
    return x == 0 ? 0 : (float)rint(before_log(x, logarithms[r->log].ln_base) / r->unit[row]);
}

Err recovery_read_rows(Dataset *d, Matrix *m, size_t row0, size_t n, JobCtl *ctl, Csr *out)
{
    const Recovery *r = &d->recovery;
    if (!r->unit)
        FAIL(ERR_INPUT, "%s: has not been recovered", m->info.name);
    TRY(matrix_read_rows(d, &d->matrices[r->source], row0, n, ctl, out));
    for (size_t i = 0; i < n; i++)
        for (int64_t k = out->indptr[i]; k < out->indptr[i + 1]; k++)
            out->values[k] = count_of(r, out->values[k], row0 + i);
    return OK;
}

Err recovery_read_gene(Dataset *d, Matrix *m, size_t col, JobCtl *ctl, float *out)
{
    const Recovery *r = &d->recovery;
    if (!r->unit)
        FAIL(ERR_INPUT, "%s: has not been recovered", m->info.name);
    TRY(matrix_read_gene(d, &d->matrices[r->source], col, ctl, out));
    for (size_t i = 0; i < m->info.rows; i++)
        out[i] = count_of(r, out[i], i);
    return OK;
}

void recovery_done(Recovery *r)
{
    free(r->unit);
    free(r->text);
}

/* ---- for people ---- */

const char *dataset_recovery_text(const Dataset *d)
{
    return d->recovery.text ? d->recovery.text : "";
}

bool dataset_recoverable(const Dataset *d, RecoveryInfo *out)
{
    const Recovery *r = &d->recovery;
    if (!r->possible)
        return false;
    *out = (RecoveryInfo){.matrix = d->matrices[r->source].info.name,
                          .logarithm = r->checked || r->unit ? logarithms[r->log].name : NULL,
                          .target_sum = r->target,
                          .cells_checked = r->unit ? d->obs.n : r->checked,
                          .recovered = r->unit != NULL};
    return true;
}
