"""Files with stored marker genes for tests/test_stored_ranks.c: tests/golden/stored_ranks.h5ad and .tsv.

scanpy 1.11.5, anndata 0.12.19, h5py, numpy seed 11. Three rankings of three columns in three layouts: as scanpy and anndata
write it (type, with pts); as anndata 0.6 did, with fixed-length text and without shares (batch); a group with an
array a group, without p-values and with genes filtered out (side). The .tsv is what scanpy's own reader says of the first.
Usage: python tests/ref/stored_ranks.py [FOLDER]
"""
import sys
import warnings

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp

warnings.filterwarnings("ignore")
folder = sys.argv[1] if len(sys.argv) > 1 else "tests/golden"
rng = np.random.default_rng(11)
n, genes = 40, 12
kind = rng.integers(0, 3, n)
X = rng.poisson(1 + 3.0 * (np.arange(genes)[None] % 3 == kind[:, None])).astype(np.float32)
obs = pd.DataFrame(
    {
        "type": pd.Categorical([["B cell", "T cell", "naïve/other"][k] for k in kind]),
        "batch": pd.Categorical([["b1", "b2"][k] for k in rng.integers(0, 2, n)]),
        "side": pd.Categorical([["left", "right"][k] for k in rng.integers(0, 2, n)]),
    },
    index=[f"c{i}" for i in range(n)],
)
a = ad.AnnData(sp.csr_matrix(X), obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(genes)]))
sc.pp.normalize_total(a, target_sum=1e4)
sc.pp.log1p(a)
sc.tl.rank_genes_groups(a, "type", method="wilcoxon", tie_correct=True, pts=True, n_genes=5)
sc.tl.rank_genes_groups(a, "batch", method="t-test", key_added="older", n_genes=3)
older = a.uns.pop("older")
path = f"{folder}/stored_ranks.h5ad"
a.write_h5ad(path)
with h5py.File(path, "r+") as h:
    g = h["uns"].create_group("older")
    names = older["names"]
    g["names"] = names.astype([(k, "S8") for k in names.dtype.names])
    for k in ("scores", "pvals", "pvals_adj", "logfoldchanges"):
        g[k] = older[k]
    p = g.create_group("params")
    p["groupby"], p["method"], p["reference"] = "batch", "t-test", "rest"
    g = h["uns"].create_group("rank_genes_groups_filtered")
    text = h5py.string_dtype("utf-8")
    for k, (left, right) in {"names": (["G3", "nan", "G5"], ["G1", "G99", "G2"]), "scores": ([3.0, 2.0, 1.0], [6.0, 5.0, 4.0])}.items():
        sub = g.create_group(k)
        for side, v in (("left", left), ("right", right)):
            sub.create_dataset(side, data=v, dtype=text if k == "names" else None)
    p = g.create_group("params")
    p["groupby"] = "side"
sc.get.rank_genes_groups_df(a, None).to_csv(f"{folder}/stored_ranks.tsv", sep="\t", index=False)
