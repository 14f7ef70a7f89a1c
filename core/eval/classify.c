/* Accuracy, F1, calibration and ranking measures, written for weights. */
#include "core/eval/classify.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"

double classify_accuracy(const void *class_pair, const uint32_t *weight)
{
    const ClassPair *p = class_pair;
    double right = 0, total = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (p->truth[i] < 0)
            continue;
        double w = weight ? weight[i] : 1;
        total += w;
        right += p->truth[i] == p->prediction[i] ? w : 0;
    }
    return total > 0 ? right / total : NAN;
}

typedef struct ClassCounts {
    double *truth, *predicted, *hit; /* [k] */
} ClassCounts;

static double *count_classes(const ClassPair *p, const uint32_t *weight, ClassCounts *c)
{
    double *block = calloc(3 * p->k + 1, sizeof *block);
    if (!block)
        return NULL;
    *c = (ClassCounts){block, block + p->k, block + 2 * p->k};
    for (size_t i = 0; i < p->n; i++) {
        int32_t t = p->truth[i], q = p->prediction[i];
        if (t < 0)
            continue;
        double w = weight ? weight[i] : 1;
        c->truth[t] += w;
        if (q >= 0)
            c->predicted[q] += w;
        if (t == q)
            c->hit[t] += w;
    }
    return block;
}

/* Averages f(class) over classes in truth; by_cells weighs each by its cells. */
static double class_average(const ClassPair *p, const uint32_t *weight, bool recall, bool by_cells)
{
    ClassCounts c;
    double *block = count_classes(p, weight, &c), sum = 0, total = 0;
    if (!block)
        return NAN;
    for (size_t k = 0; k < p->k; k++) {
        if (c.truth[k] <= 0)
            continue;
        double v = recall ? c.hit[k] / c.truth[k] : 2 * c.hit[k] / (c.truth[k] + c.predicted[k]);
        double w = by_cells ? c.truth[k] : 1;
        sum += w * v;
        total += w;
    }
    free(block);
    return total > 0 ? sum / total : NAN;
}

double classify_macro_f1(const void *class_pair, const uint32_t *weight)
{
    return class_average(class_pair, weight, false, false);
}

double classify_weighted_f1(const void *class_pair, const uint32_t *weight)
{
    return class_average(class_pair, weight, false, true);
}

double classify_balanced_accuracy(const void *class_pair, const uint32_t *weight)
{
    return class_average(class_pair, weight, true, false);
}

void classify_confusion(const ClassPair *p, size_t *count)
{
    memset(count, 0, p->k * (p->k + 1) * sizeof *count);
    for (size_t i = 0; i < p->n; i++) {
        if (p->truth[i] < 0)
            continue;
        size_t column = p->prediction[i] < 0 ? p->k : (size_t)p->prediction[i];
        count[(size_t)p->truth[i] * (p->k + 1) + column]++;
    }
}

double classify_ece(const void *calibration, const uint32_t *weight)
{
    const Calibration *c = calibration;
    double cells[ECE_BINS] = {0}, right[ECE_BINS] = {0}, sum[ECE_BINS] = {0}, total = 0, ece = 0;
    for (size_t i = 0; i < c->n; i++) {
        double p = c->probability[i], w = weight ? weight[i] : 1;
        if (isnan(p))
            continue;
        /* Bins are open on the left, ]0, 1/15], ..., as in Guo et al. */
        int b = (int)ceil(p * ECE_BINS) - 1;
        b = b < 0 ? 0 : b >= ECE_BINS ? ECE_BINS - 1 : b;
        cells[b] += w;
        right[b] += c->right[i] ? w : 0;
        sum[b] += w * p;
        total += w;
    }
    for (int b = 0; b < ECE_BINS; b++)
        ece += fabs(right[b] - sum[b]);
    return total > 0 ? ece / total : NAN;
}

/* ---- rankings ---- */

typedef struct Ranked {
    float score;
    uint32_t item;
} Ranked;

static int by_falling_score(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->item > y->item) - (x->item < y->item);
}

Err ranking_init(const float *score, const uint8_t *positive, size_t n, Ranking *out)
{
    Err err = OK;
    Ranked *rows = NULL;
    Ranking r = {0};
    TRY_GOTO(NEW(rows, n));
    TRY_GOTO(NEW(r.score, n));
    TRY_GOTO(NEW(r.positive, n));
    TRY_GOTO(NEW(r.item, n));
    for (size_t i = 0; i < n; i++)
        if (!isnan(score[i]))
            rows[r.n++] = (Ranked){score[i], (uint32_t)i};
    qsort(rows, r.n, sizeof *rows, by_falling_score);
    for (size_t i = 0; i < r.n; i++) {
        r.score[i] = rows[i].score;
        r.item[i] = rows[i].item;
        r.positive[i] = positive[rows[i].item] != 0;
    }
    *out = r;
    r = (Ranking){0};
done:
    free(rows);
    ranking_done(&r);
    return err;
}

void ranking_done(Ranking *r)
{
    free(r->score);
    free(r->positive);
    free(r->item);
    *r = (Ranking){0};
}

double classify_auroc(const void *ranking, const uint32_t *weight)
{
    const Ranking *r = ranking;
    double above = 0, area = 0, negatives = 0; /* positives seen so far */
    for (size_t i = 0; i < r->n;) {
        double pos = 0, neg = 0;
        size_t j = i;
        for (; j < r->n && r->score[j] == r->score[i]; j++) {
            double w = weight ? weight[r->item[j]] : 1;
            *(r->positive[j] ? &pos : &neg) += w;
        }
        area += neg * (above + pos / 2);
        above += pos;
        negatives += neg;
        i = j;
    }
    return above > 0 && negatives > 0 ? area / (above * negatives) : NAN;
}

double classify_average_precision(const void *ranking, const uint32_t *weight)
{
    const Ranking *r = ranking;
    double pos = 0, seen = 0, sum = 0;
    for (size_t i = 0; i < r->n;) {
        double here = 0;
        size_t j = i;
        for (; j < r->n && r->score[j] == r->score[i]; j++) {
            double w = weight ? weight[r->item[j]] : 1;
            seen += w;
            here += r->positive[j] ? w : 0;
        }
        pos += here;
        sum += here > 0 ? here * pos / seen : 0;
        i = j;
    }
    return pos > 0 ? sum / pos : NAN;
}

double classify_precision_at(const Ranking *r, size_t top)
{
    size_t positives = 0;
    for (size_t i = 0; i < r->n; i++)
        positives += r->positive[i];
    if (positives == 0)
        return NAN;
    if (top == 0)
        top = positives;
    if (top > r->n)
        top = r->n;
    double hits = 0;
    for (size_t i = 0; i < top;) {
        size_t j = i, here = 0;
        for (; j < r->n && r->score[j] == r->score[i]; j++)
            here += r->positive[j];
        size_t taken = j <= top ? j - i : top - i;
        hits += (double)here * (double)taken / (double)(j - i);
        i = j;
    }
    return hits / (double)top;
}
