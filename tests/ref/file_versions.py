#!/usr/bin/env python3
"""One synthetic dataset as the anndata that runs this writes it: tests/ref/file_set.py calls it with interpreters of
several generations (written with 0.5.10, 0.6.22, 0.7.8, 0.8.0, 0.10.9, 0.11.4, 0.12.19, 0.13.4).

usage: PYTHON file_versions.py OUT_DIR TAG   -> OUT_DIR/ann_TAG_{csr,dense,raw}.h5ad

30 cells x 20 genes; counts[i, j] = (7 i + 3 j) % 6 where (i + 2 j) % 3 != 0, else 0. Nothing is random.
"""
import sys
import warnings

import numpy as np
import pandas as pd
import scipy.sparse as sp

warnings.simplefilter("ignore")
import anndata  # noqa: E402

if hasattr(anndata, "settings") and hasattr(anndata.settings, "allow_write_nullable_strings"):
    anndata.settings.allow_write_nullable_strings = True

GENES = ["CD3E", "MS4A1", "LYZ", "NKG7", "PPBP", "CD8A", "GNLY", "FCGR3A", "CD14", "IL7R", "CCR7", "S100A8", "FCER1A", "CST3",
         "CD79A", "GZMB", "PRF1", "KLRD1", "HLA-DRA", "CD4"]
CELLS = ["cell%d" % i for i in range(30)]
i, j = np.mgrid[0:30, 0:20]
C = np.where((i + 2 * j) % 3 != 0, (7 * i + 3 * j) % 6, 0).astype(np.float32)
LOG = np.log1p(C / C.sum(1, keepdims=True) * 1e4).astype(np.float32)


def obs():
    o = pd.DataFrame(index=CELLS)
    kinds = ["T", "B", "NK", None, "B"]
    o["type"] = pd.Categorical([kinds[k % 5] for k in range(30)], categories=["T", "NK", "B", "unused"])
    o["n"] = np.arange(30, dtype=np.int64) * 1000
    o["score"] = np.where(np.arange(30) == 3, np.nan, np.arange(30) / 4.0)
    o["good"] = np.arange(30) % 2 == 0
    o["batch"] = pd.Categorical(["b%d" % (k % 3) for k in range(30)])
    return o


def make(x):
    a = anndata.AnnData(x, obs=obs(), var=pd.DataFrame({"gene_ids": ["ENSG%011d" % k for k in range(20)]}, index=GENES))
    a.obsm["X_umap"] = np.stack([np.arange(30), -np.arange(30)], 1).astype(np.float32) / 2
    a.obsm["X_pca"] = np.arange(90, dtype=np.float64).reshape(30, 3) / 7
    a.varm["PCs"] = np.arange(60, dtype=np.float64).reshape(20, 3) / 9
    a.uns["type_colors"] = np.array(["#ff0000", "#00ff00", "#0000ff", "#000000"])
    a.uns["log1p"] = {"base": 2.5}
    a.uns["nested"] = {"k": 3, "t": "text", "list": np.array([1.5, 2.5]), "f32": np.array([[1, 2], [3, 4]], np.float32)}
    scores = np.rec.array([(1.0, 2.0), (3.0, 4.0)], dtype=[("T", "f4"), ("B", "f4")])
    a.uns["rank_genes_groups"] = {"params": {"groupby": "type"}, "scores": scores}
    return a


def write(a, path):
    (a.write_h5ad if hasattr(a, "write_h5ad") else a.write)(path)


def main(out, tag):
    write(make(sp.csr_matrix(C)), "%s/ann_%s_csr.h5ad" % (out, tag))
    write(make(C), "%s/ann_%s_dense.h5ad" % (out, tag))
    a = make(sp.csr_matrix(C))
    a.raw = a
    b = anndata.AnnData((LOG - LOG.mean(0))[:, :12], obs=a.obs, var=a.var.iloc[:12], uns=a.uns)
    for k in ("X_umap", "X_pca"):
        b.obsm[k] = a.obsm[k]
    b.raw = a
    if hasattr(b, "layers"):
        b.layers["logcounts"] = LOG[:, :12]
    if hasattr(b, "obsp"):
        b.obsp["connectivities"] = sp.csr_matrix(np.eye(30, k=1) * 0.3)
        b.varp["corr"] = np.eye(12)
    write(b, "%s/ann_%s_raw.h5ad" % (out, tag))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
