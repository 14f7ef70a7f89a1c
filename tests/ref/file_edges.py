#!/usr/bin/env python3
"""Small files with what is rare and once went wrong, for tests/test_edges.c.

usage: file_edges.py tests/golden/files   (needs anndata 0.12, awkward, h5py, zarr)

10 cells x 5 genes; counts[i, j] = (3 i + 5 j) % 4. Made with anndata 0.12.19, awkward 2.14, h5py 3.16, zarr 3.1.6.
Seed: none, nothing is random.
"""
import os
import sys
import tempfile
import zipfile

import anndata
import awkward
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

out = sys.argv[1]
anndata.settings.allow_write_nullable_strings = True
anndata.settings.zarr_write_format = 3
GENES = ["CD3E", "LYZ", "NKG7", "GRCh38_CD8A", "2-Sep"]
CELLS = ["cell%d" % i for i in range(10)]
i, j = np.mgrid[0:10, 0:5]
C = ((3 * i + 5 * j) % 4).astype("f4")
WIDE = C.astype("f8") / 3 + (C > 0) * 1e-12


def base(x):
    a = anndata.AnnData(x, obs=pd.DataFrame(index=CELLS), var=pd.DataFrame({"id": np.arange(5)}, index=GENES))
    a.obs["large"] = np.array([2**63 + 2048 + k for k in range(10)], dtype="u8")
    return a


# float64 by genes, and what anndata 0.8 does not read: masked texts, awkward arrays
a = base(sp.csc_matrix(WIDE))
a.obsm["ragged"] = awkward.Array([list(range(k % 3)) for k in range(10)])
a.uns["ragged"] = awkward.Array([[1, 2], [3]])
a.uns["texts"] = pd.array(["a", None], dtype="string")
a.uns["frame"] = pd.DataFrame({"t": pd.array(["a", None], dtype="string"), "n": [1, 2]})
a.write_h5ad(os.path.join(out, "wide.h5ad"), compression="gzip")
with h5py.File(os.path.join(out, "wide.h5ad"), "r+") as h:  # how anndata 0.12 and later write None
    h["layers/none"] = h5py.Empty("f4")
    h["layers/none"].attrs["encoding-type"] = "null"

# X written as null, counts in raw with the genes of var: layers, varm and columns of var stay
a = base(sp.csr_matrix(C))
raw = anndata.AnnData(sp.csr_matrix(C), obs=pd.DataFrame(index=CELLS), var=pd.DataFrame({"own": np.arange(5) * 2}, index=GENES))
a.raw = raw
a.layers["half"] = C / 2
a.varm["PCs"] = np.arange(10.0).reshape(5, 2)
a.write_h5ad(os.path.join(out, "null_x.h5ad"), compression="gzip")
with h5py.File(os.path.join(out, "null_x.h5ad"), "r+") as h:
    del h["X"]
    h["X"] = h5py.Empty("f4")
    h["X"].attrs["encoding-type"] = "null"
    h["X"].attrs["encoding-version"] = "0.1.0"

# Zarr: records, uint64
a = base(sp.csr_matrix(C))
a.uns["records"] = np.rec.array([(1, "a", 2.5), (-2, "béta", 3.5)], dtype=[("i", "i4"), ("s", "U5"), ("f", "f8")])
with tempfile.TemporaryDirectory() as t:
    a.write_zarr(t + "/z.zarr")
    z = zipfile.ZipFile(os.path.join(out, "records.zarr.zip"), "w", zipfile.ZIP_DEFLATED)
    for root, _, files in sorted(os.walk(t + "/z.zarr")):
        for f in sorted(files):
            p = os.path.join(root, f)
            z.writestr(zipfile.ZipInfo(os.path.relpath(p, t + "/z.zarr")), open(p, "rb").read(), zipfile.ZIP_DEFLATED)
    z.close()

# anndata 0.7: categories that are numbers, by reference
a = anndata.AnnData(sp.csr_matrix(C), obs=pd.DataFrame({"code": np.zeros(10, "i4")}, index=CELLS), var=pd.DataFrame(index=GENES))
a.write_h5ad(os.path.join(out, "old_numbers.h5ad"), compression="gzip")
with h5py.File(os.path.join(out, "old_numbers.h5ad"), "r+") as h:
    h["obs"].attrs["encoding-version"] = "0.1.0"
    h["obs"].create_group("__categories")["code"] = np.array([7, 30, 400])
    h["obs/__categories/code"].attrs["ordered"] = False
    del h["obs/code"]
    h["obs/code"] = np.array([k % 3 if k % 4 else -1 for k in range(10)], dtype="i1")
    h["obs/code"].attrs["categories"] = h["obs/__categories/code"].ref

# MuData: an AnnData for each modality
with h5py.File(os.path.join(out, "multi.h5mu"), "w") as h:
    for name in ("prot", "rna"):
        h.create_group("mod/" + name)
    h.create_group("obs")
    h.create_group("var")
