"""Goldens of core/eval: text measures by NLTK and rouge_score, class, cluster and expression measures by
scikit-learn and scipy. Inputs are synthetic (seed 11). Run: python tests/ref/eval.py (writes tests/golden/eval_*.tsv);
the versions used are written into the files."""
import os
import sys

import nltk
import numpy as np
import rouge_score.rouge_scorer
import scipy
import scipy.stats
import sklearn
from nltk.stem.porter import PorterStemmer
from nltk.translate import meteor_score as ms
from nltk.translate.bleu_score import corpus_bleu
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

OUT = os.path.join(os.path.dirname(__file__), "..", "golden")
RNG = np.random.default_rng(11)
VERSIONS = (f"# python {sys.version.split()[0]}, nltk {nltk.__version__}, scikit-learn {sklearn.__version__}, "
            f"scipy {scipy.__version__}, numpy {np.__version__}, seed 11")


def table(name, lines):
    with open(os.path.join(OUT, name), "w") as f:
        f.write("\n".join([VERSIONS] + lines) + "\n")


def numbers(v):
    return " ".join(f"{float(x):.17g}" for x in np.ravel(v))


# ---- stems ----
ROOTS = ("happ hop controll relat ration valenc digit conform radic vil analog predict operat feud decis hope call form"
         " sens tripl electr good reviv allow infer air gyroscop adjust defens irrit replac depend adopt hom commun activ"
         " bowdler prob ceas roll tann fail fil hiss fizz conflat troubl siz agre plaster mot s p fl tr ski t l d enjo"
         " differenti immun lymphocyt cytotox express secret bind antibod enzym recogni yy say syzyg be").split()
ENDS = ("s es ies ed ied eed ing y e er ational tional enci anci izer bli alli entli eli ousli ization ation ator alism iveness"
        " fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence ic able ible ant ement"
        " ment ent ion sion tion ou ism ate iti ous ive ize ll").split()
words = {r + e for r in ROOTS for e in ENDS}
words = sorted(RNG.choice(sorted(words), 600, replace=False).tolist()) + [
    "sky", "skies", "dying", "news", "innings", "proceed", "a", "is", "ties", "died", "cells", "expressing", "cd8", "t",
    "monocytes", "classically", "radically", "electricity", "generalizations", "oscillators"]
stem = PorterStemmer()
table("eval_stem.tsv", [f"{w}\t{stem.stem(w)}" for w in words])

# ---- texts ----
VOCAB = ("this is a the cell cells T B natural killer monocyte of lineage it makes antibodies binds binding bound kills killing"
         " infected expresses expressing expressed genes MS4A1 CD79A CD3E NKG7 LYZ and with high levels level , . myeloid"
         " lymphoid recognises recognised pathogens pathogen").split()


def sentence(n):
    return " ".join(RNG.choice(VOCAB, n)).replace(" ,", ",").replace(" .", ".")


def words_of(text):
    """The tokenizer called "words"."""
    import re
    return re.findall(r"[a-z0-9\x80-\U0010ffff]+|[^\sa-z0-9\x80-\U0010ffff]", text.lower())


pairs = []
for i in range(24):
    ref = sentence(int(RNG.integers(4, 24)))
    toks = ref.split()
    hyp = [t if RNG.random() < 0.7 else str(RNG.choice(VOCAB)) for t in toks]
    if i % 3 == 0:
        hyp = hyp[: len(hyp) // 2 + 1]
    if i % 4 == 1:
        hyp = hyp[2:] + hyp[:2]
    if i % 5 == 2:
        hyp = hyp + sentence(3).split()
    pairs.append((" ".join(hyp), ref))
pairs += [("zzz qqq", "this is a cell"), ("cell", "cell"), ("γδ T cells", "γδ T cell αβ")]


class NoSynonyms:
    """WordNet is not shipped with the program: the third stage of METEOR finds nothing."""

    def synsets(self, word):
        return []


def ratio(a, b):
    lcs = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            lcs[i + 1, j + 1] = lcs[i, j] + 1 if x == y else max(lcs[i, j + 1], lcs[i + 1, j])
    return 2 * lcs[-1, -1] / (len(a) + len(b)) if len(a) + len(b) else 1.0


scorer = rouge_score.rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
rows = []
for hyp, ref in pairs:
    r = scorer.score(ref, hyp)
    meteor = ms.single_meteor_score(words_of(ref), words_of(hyp), wordnet=NoSynonyms())
    rows.append((hyp, ref, r["rouge1"].fmeasure, r["rouge2"].fmeasure, r["rougeL"].fmeasure, meteor, ratio(hyp, ref)))
table("eval_text.tsv", ["\t".join([h, r] + [f"{x:.17g}" for x in rest]) for h, r, *rest in rows])

import warnings

warnings.simplefilter("ignore")
refs, hyps = [[words_of(r)] for _, r in pairs], [words_of(h) for h, _ in pairs]
bleu = [100 * corpus_bleu(refs, hyps, weights=w) for w in [(0.5, 0.5), (0.25,) * 4]]
# Only short texts: no 3-grams, no 4-grams at all.
short = [("a b", "a b c"), ("b", "b a")]
srefs, shyps = [[words_of(r)] for _, r in short], [words_of(h) for h, _ in short]
bleu += [100 * corpus_bleu(srefs, shyps, weights=w) for w in [(0.5, 0.5), (0.25,) * 4]]
lines = ["bleu " + numbers(bleu)]

# ---- classes ----
n, k = 300, 5
truth = RNG.choice(k, n, p=[0.4, 0.3, 0.2, 0.07, 0.03])
pred = np.where(RNG.random(n) < 0.75, truth, RNG.integers(0, k + 1, n))  # class k is never true
conf = np.clip(RNG.beta(5, 2, n), 0.01, 1)
score = np.round(RNG.normal(size=n) + (truth == 1), 1)  # ties
present = np.unique(truth)
edges = np.linspace(0, 1, 16)
ece = 0.0
for b in range(15):
    inside = (conf > edges[b]) & (conf <= edges[b + 1])
    if inside.any():
        ece += abs((pred == truth)[inside].mean() - conf[inside].mean()) * inside.mean()
lines += [
    "truth " + numbers(truth), "pred " + numbers(pred), "conf " + numbers(conf), "score " + numbers(score),
    "accuracy " + numbers(metrics.accuracy_score(truth, pred)),
    "macro_f1 " + numbers(metrics.f1_score(truth, pred, labels=present, average="macro")),
    "weighted_f1 " + numbers(metrics.f1_score(truth, pred, average="weighted")),
    "balanced " + numbers(metrics.recall_score(truth, pred, labels=present, average="macro")),
    "ece " + numbers(ece),
    "auroc " + numbers(metrics.roc_auc_score(truth == 1, score)),
    "average_precision " + numbers(metrics.average_precision_score(truth == 1, score)),
]

# ---- clusters ----
x = (RNG.normal(size=(n, 4)) + np.array([[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 3], [2, 2, 0, 0]])[truth]
     ).astype(np.float32)
found = np.where(RNG.random(n) < 0.8, truth, RNG.integers(0, 7, n))
s = metrics.silhouette_samples(x.astype(np.float64), truth)
lines += ["x " + numbers(x), "found " + numbers(found),
          "ari " + numbers(metrics.adjusted_rand_score(truth, found)),
          "nmi " + numbers(metrics.normalized_mutual_info_score(truth, found)),
          "silhouette " + numbers(s)]

# ---- expression ----
a, b = x[:120, :], (x[120:200, :] * 1.2 + 0.3).astype(np.float32)
knn = [KNeighborsClassifier(kk).fit(a, truth[:120]).predict(b) for kk in (3, 5, 10, 25)]
pool = np.vstack([a, b]).astype(np.float64)
d2 = ((pool[:, None] - pool[None]) ** 2).sum(-1)
iu = np.triu_indices(len(pool), 1)
sigma = np.median(np.sqrt(d2[iu]))
K = np.exp(-d2 / (2 * sigma**2))
na, nb = len(a), len(b)
kaa, kbb, kab = K[:na, :na], K[na:, na:], K[:na, na:]
mmd = ((kaa.sum() - na) / (na * (na - 1)) + (kbb.sum() - nb) / (nb * (nb - 1)) - 2 * kab.mean())
w1 = scipy.stats.wasserstein_distance(a[:, 0].astype(np.float64), b[:, 0].astype(np.float64))
lines += ["knn " + numbers(np.array(knn)), "mmd_bandwidth " + numbers(sigma), "mmd " + numbers(mmd), "w1 " + numbers(w1)]

# ---- baselines: logistic regression (C = 1, bias not penalised), nearest standardised centroid by cosine ----
lr = LogisticRegression(C=1.0, tol=1e-10, max_iter=10000).fit(x[:200].astype(np.float64), truth[:200])
p = lr.predict_proba(x[200:].astype(np.float64))
z = (x - x[:200].mean(0)) / x[:200].std(0)
cent = np.stack([z[:200][truth[:200] == c].mean(0) for c in range(k)])
cos = (z[200:] @ cent.T) / np.linalg.norm(z[200:], axis=1)[:, None] / np.linalg.norm(cent, axis=1)
lines += ["logreg " + numbers(p), "centroid " + numbers(cos.argmax(1))]
table("eval_numbers.tsv", lines)
