"""Reference numbers for tests/test_analysis_same.c, written to tests/golden/larger.txt: 900 cells that both make from the
same arithmetic (seed 23), so that the file holds answers only. scanpy 1.11.5, umap-learn 0.5.12, scikit-learn 1.9.1,
scikit-misc 0.5.3, leidenalg 0.12.0, numpy 2.4.6.
Usage: python tests/ref/larger.py [OUT]
"""
import sys
import warnings

warnings.filterwarnings("ignore")
import anndata as ad
import igraph
import leidenalg
import numpy as np
import scanpy as sc
import scipy.sparse as sp
from scanpy.tools._rank_genes_groups import _RankGenes
from sklearn.manifold import trustworthiness

N, GENES, GROUPS, TOP = 900, 1500, 6, 300
U = np.uint64


def uniform(stream, index):
    """splitmix64 of seed, stream and index, as make_counts() in C has it."""
    z = U(23) * U(0x9E3779B97F4A7C15) + U(stream) * U(0xD1B54A32D192ED03) + np.asarray(index, U) * U(0x9E3779B97F4A7C15)
    z = (z ^ (z >> U(30))) * U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> U(27))) * U(0x94D049BB133111EB)
    z ^= z >> U(31)
    return (z >> U(11)).astype(np.float64) * 2.0**-53


def counts():
    cell, gene = np.arange(N), np.arange(GENES)
    group = (uniform(1, cell) * uniform(2, cell) * GROUPS).astype(int)  # uneven
    b = uniform(3, gene)
    base = 0.01 + 2.0 * b * b * b * b
    base[:20] = 0
    e = uniform(4, np.arange(GROUPS * GENES)).reshape(GROUPS, GENES)
    effect = np.where(e > 0.93, 4.0, 1.0)
    depth = 0.4 + uniform(5, cell) * 1.2
    u = uniform(6, np.arange(N * GENES)).reshape(N, GENES)
    return np.floor(base * effect[group] * depth[:, None] * u / (1.02 - u)), group


with np.errstate(over="ignore"):
    x, group = counts()
a = ad.AnnData(sp.csr_matrix(x.astype(np.float32)), obs={"group": [str(g) for g in group]})
a.obs["group"] = a.obs["group"].astype("category")
OUT = open(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/larger.txt", "w")
OUT.write("# tests/ref/larger.py, seed 23: scanpy 1.11.5, umap-learn 0.5.12, scikit-learn 1.9.1, leidenalg 0.12.0\n")


def put(name, values):
    OUT.write(name + "".join(" %.9g" % v for v in np.asarray(values, dtype=np.float64).ravel()) + "\n")


put("sum", [x.sum(), (x * (1 + np.arange(GENES) % 7)).sum()])
sc.pp.highly_variable_genes(a, flavor="seurat_v3", n_top_genes=TOP)
put("hvg_v3", np.flatnonzero(a.var.highly_variable))
sc.pp.normalize_total(a, target_sum=1e4)
sc.pp.log1p(a)
sc.pp.highly_variable_genes(a, n_top_genes=TOP)
put("hvg_seurat", np.flatnonzero(a.var.highly_variable))
c = a[:, a.var.highly_variable].X.toarray().astype(np.float64)
c -= c.mean(0)
_, s, v = np.linalg.svd(c, full_matrices=False)
put("ratio", (s**2 / (s**2).sum())[:20])
put("loadings", v[:5].T)  # the groups: far from the sixth
a.obsm["X_pca"] = (c @ v[:20].T).astype(np.float32)
sc.pp.neighbors(a, n_neighbors=15, use_rep="X_pca")
maps = []
for seed in range(3):
    sc.tl.umap(a, random_state=seed)
    maps.append(trustworthiness(a.obsm["X_pca"], a.obsm["X_umap"], n_neighbors=15))
put("trustworthiness", maps)
g = igraph.Graph.Weighted_Adjacency(sp.triu(a.obsp["connectivities"]).tocoo(), mode="undirected")
best = []
for r in (0.5, 1.0, 2.0):
    runs = [leidenalg.find_partition(g, leidenalg.RBConfigurationVertexPartition, weights="weight", seed=k, n_iterations=-1,
                                     resolution_parameter=r).membership for k in range(5)]
    best.append(max(g.modularity(m, weights="weight", resolution=r) for m in runs))
put("modularity", best)
t = _RankGenes(a, "all", "group")
runs = list(t.t_test("t-test_overestim_var"))
put("overestimated_score", np.array([r[1][20::30] for r in runs]))
put("overestimated_pval", np.array([r[2][20::30] for r in runs]))
sc.tl.score_genes(a, [a.var_names[i] for i in (100, 400, 777, 901, 1203)])  # bins of 62 genes: 50 are drawn
put("score", a.obs["score"][::9])
OUT.close()
