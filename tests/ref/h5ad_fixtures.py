#!/usr/bin/env python3
"""Small single-cell files in many layouts for the reader tests, all of one synthetic dataset.

usage: h5ad_fixtures.py tests/golden/h5ad   (needs anndata, h5py, hdf5plugin, loompy, zarr)

12 cells x 8 genes; counts[i, j] = (7 i + 3 j) % 5 where (i + 2 j) % 3 != 0, else 0. Written with anndata 0.12,
h5py and, for the old generations, by hand after files of those versions. Seed: none, nothing is random.
"""
import gzip
import os
import shutil
import sys

import anndata
import h5py
import hdf5plugin
import loompy
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
CELLS = [f"cell{i}" for i in range(12)]
GENES = ["CD3E", "MS4A1", "LYZ", "NKG7", "IL8", "CD3E-AS", "cd8a", "PPBP"]
i, j = np.mgrid[0:12, 0:8]
C = np.where((i + 2 * j) % 3 != 0, (7 * i + 3 * j) % 5, 0).astype(np.float32)
LOG = np.log1p(C / np.maximum(C.sum(1, keepdims=True), 1) * 1e4).astype(np.float32)
TYPES = ["B", "T", None, "B", "T", "B", "NK", "T", "B", "B", "T", "NK"]
S = h5py.string_dtype("utf-8")


def path(name):
    p = os.path.join(out, name)
    if os.path.isdir(p):
        shutil.rmtree(p)
    elif os.path.exists(p):
        os.remove(p)
    return p


def obs():
    o = pd.DataFrame(index=CELLS)
    o["type"] = pd.Categorical(TYPES, categories=["T", "NK", "B", "unused"])
    o["score"] = np.where(np.arange(12) == 3, np.nan, np.arange(12) / 4)
    o["n"] = np.arange(12, dtype=np.int64) * 1000
    o["good"] = np.arange(12) % 2 == 0
    o["note"] = [f"note {k}" for k in range(12)]
    return o


def base(x):
    a = anndata.AnnData(x, obs=obs(), var=pd.DataFrame({"gene_ids": [f"ENSG{k:011d}" for k in range(8)]}, index=GENES))
    a.obsm["X_umap"] = np.stack([np.arange(12), -np.arange(12)], 1).astype(np.float32) / 2
    a.uns["type_colors"] = ["#ff0000", "#00ff00", "#0000ff80", "black"]
    a.uns["nested"] = {"k": 3, "t": "text", "list": np.array([1.5, 2.5])}
    return a


def h5ad(name, x, f=None, **kw):
    a = base(x)
    if f:
        f(a)
    a.write_h5ad(path(name), **kw)


def edit(name, source, f):
    p = path(name)
    shutil.copy(os.path.join(out, source), p)
    with h5py.File(p, "r+") as h:
        f(h)


# ---- current anndata
h5ad("csr.h5ad", sp.csr_matrix(C))
h5ad("csc.h5ad", sp.csc_matrix(C))
h5ad("dense.h5ad", C)
h5ad("dense_f64_gzip.h5ad", C.astype("f8"), compression="gzip")
h5ad("csr_i64.h5ad", sp.csr_matrix(C.astype("i8")))
h5ad("csr_lzf.h5ad", sp.csr_matrix(C), compression="lzf")


def layers(a):
    a.layers["counts"] = sp.csr_matrix(C)
    a.layers["scaled"] = LOG - 3
    a.X = sp.csr_matrix(LOG)


def raw(a):
    b = anndata.AnnData(sp.csr_matrix(C), obs=a.obs, var=pd.DataFrame(index=GENES))
    a.raw = b
    a.X = LOG - LOG.mean(0)
    a._inplace_subset_var(np.arange(6))


h5ad("layers.h5ad", sp.csr_matrix(C), layers)
h5ad("raw_scaled.h5ad", sp.csr_matrix(C), raw)
h5ad("lognorm.h5ad", sp.csr_matrix(LOG))


def ensembl(a):
    a.var["feature_name"] = pd.Categorical(GENES)
    a.var_names = [f"ENSG{k:011d}.{k}" for k in range(8)]


h5ad("feature_name.h5ad", sp.csr_matrix(C), ensembl)


def duplicates(a):
    a.var_names = ["CD3E", "LYZ", "CD3E", "NKG7", "IL8", "lyz", "GRCh38_CD19", "PPBP"]


h5ad("duplicate_genes.h5ad", sp.csr_matrix(C), duplicates)


def nullable(a):
    a.obs["ni"] = pd.array([None if k == 2 else k for k in range(12)], dtype="Int64")
    a.obs["nb"] = pd.array([None if k == 5 else k % 3 == 0 for k in range(12)], dtype="boolean")


h5ad("nullable.h5ad", sp.csr_matrix(C), nullable)


def odd_obsm(a):
    a.obsm["frame"] = pd.DataFrame({"u": np.arange(12.0), "v": np.arange(12) * 2}, index=CELLS)
    a.obsm["sparse"] = sp.csr_matrix(C[:, :3])
    a.obsm["cube"] = np.zeros((12, 2, 2), np.float32)
    a.obsm["ints"] = np.arange(24, dtype=np.int32).reshape(12, 2)
    a.obsp["connectivities"] = sp.csr_matrix(np.eye(12, k=1, dtype=np.float32) * 0.5)


h5ad("obsm.h5ad", sp.csr_matrix(C), odd_obsm)
h5ad("no_x.h5ad", sp.csr_matrix(C), lambda a: delattr(a, "X"))
anndata.AnnData(sp.csr_matrix((0, 8), dtype=np.float32), var=pd.DataFrame(index=GENES)).write_h5ad(path("no_cells.h5ad"))

# ---- what other writers do
edit("f16.h5ad", "dense.h5ad", lambda h: (h.__delitem__("X"), h.create_dataset("X", data=C.astype("f2"), chunks=(1, 8))))


def unsorted(h):
    """Entries of every row reversed, and the first entry of row 1 split into two halves."""
    ptr, idx, val = h["X/indptr"][:], h["X/indices"][:], h["X/data"][:]
    rows = [(list(idx[a:b][::-1]), list(val[a:b][::-1])) for a, b in zip(ptr[:-1], ptr[1:])]
    rows[1][0].append(rows[1][0][0])
    rows[1][1][0] /= 2
    rows[1][1].append(rows[1][1][0])
    for k in ("indptr", "indices", "data"):
        del h["X"][k]
    h["X/indptr"] = np.cumsum([0] + [len(r[0]) for r in rows]).astype("i8")
    h["X/indices"] = np.concatenate([r[0] for r in rows]).astype("i8")
    h["X/data"] = np.concatenate([r[1] for r in rows]).astype("f4")


edit("unsorted.h5ad", "csr.h5ad", unsorted)


def strings013(h):
    """anndata 0.13 with pandas 3: nullable-string-array as index and inside categories."""
    def put(group, name, values, mask):
        del group[name]
        g = group.create_group(name)
        g.attrs["encoding-type"], g.attrs["encoding-version"], g.attrs["na-value"] = "nullable-string-array", "0.1.0", "NaN"
        g.create_dataset("values", data=values, dtype=S)
        g["mask"] = np.array(mask)
    put(h["obs"], "_index", CELLS, [False] * 12)
    put(h["obs/type"], "categories", ["T", "NK", "B", "unused"], [False] * 4)
    put(h["obs"], "note", [f"note {k}" for k in range(12)], [k == 1 for k in range(12)])
    h.create_group("obs/null").attrs["encoding-type"] = "awkward-array"
    h["obs"].attrs["column-order"] = list(h["obs"].attrs["column-order"]) + ["null"]


edit("strings_0_13.h5ad", "csr.h5ad", strings013)


def links(h):
    del h["obsm"]["X_umap"]
    h["obsm/outside"] = h5py.ExternalLink("/etc/passwd", "x")
    h["obs/elsewhere"] = h5py.ExternalLink("csr.h5ad", "obs/n")
    h["obs"].attrs["column-order"] = list(h["obs"].attrs["column-order"]) + ["elsewhere", "loop"]
    h["obs/loop"] = h5py.SoftLink("/obs/loop")
    v = h5py.VirtualLayout((12, 2), "f4")
    v[:] = h5py.VirtualSource("csr.h5ad", "obsm/X_umap", (12, 2))
    h.create_virtual_dataset("obsm/virtual", v)
    h.create_dataset("obsm/external", shape=(12, 2), dtype="f4", external=[("/etc/passwd", 0, 96)])


edit("links.h5ad", "csr.h5ad", links)

# ---- anndata 0.7: no encodings on columns, categories by reference
with h5py.File(path("v0_7.h5ad"), "w") as h:
    def frame(name, index, columns):
        g = h.create_group(name)
        g.attrs["encoding-type"], g.attrs["encoding-version"] = "dataframe", "0.1.0"
        g.attrs["_index"], g.attrs["column-order"] = "index", list(columns) or np.array([])
        g.create_dataset("index", data=index, dtype=S)
        for k, v in columns.items():
            if isinstance(v, tuple):
                c = g.require_group("__categories").create_dataset(k, data=v[1], dtype=S)
                c.attrs["ordered"] = np.bool_(False)
                d = g.create_dataset(k, data=np.array(v[0], "i1"))
                d.attrs["categories"] = c.ref
            else:
                g.create_dataset(k, data=v)
    frame("obs", CELLS, {"type": ([2, 0, -1, 2, 0, 2, 1, 0, 2, 2, 0, 1], ["T", "NK", "B", "unused"]),
                         "n": np.arange(12) * 1000})
    frame("var", GENES, {})
    g = h.create_group("X")
    m = sp.csr_matrix(C)
    g.attrs["encoding-type"], g.attrs["encoding-version"], g.attrs["shape"] = "csr_matrix", "0.1.0", np.array([12, 8])
    for k in ("data", "indices", "indptr"):
        g.create_dataset(k, data=getattr(m, k), compression="lzf", maxshape=(None,))
    h.create_group("uns")

# ---- anndata 0.5/0.6: compound obs, var, obsm; raw.X; categories in uns
with h5py.File(path("v0_6.h5ad"), "w") as h:
    o = np.zeros(12, [("index", "S8"), ("type", "i1"), ("n", "i8"), ("score", "f4")])
    o["index"], o["type"], o["n"] = CELLS, [2, 0, -1, 2, 0, 2, 1, 0, 2, 2, 0, 1], np.arange(12) * 1000
    o["score"] = np.where(np.arange(12) == 3, np.nan, np.arange(12) / 4)
    h["obs"] = o
    v = np.zeros(8, [("index", "S8")])
    v["index"] = GENES
    h["var"] = v[:6]
    h["raw.var"] = v
    e = np.zeros(12, [("X_umap", "f4", (2,)), ("X_pca", "f8", (3,))])
    e["X_umap"] = np.stack([np.arange(12), -np.arange(12)], 1) / 2
    h["obsm"] = e
    h["X"] = (LOG - LOG.mean(0))[:, :6]
    g = h.create_group("raw.X")
    g.attrs["h5sparse_format"], g.attrs["h5sparse_shape"] = "csr", np.array([12, 8])
    for k in ("data", "indices", "indptr"):
        g.create_dataset(k, data=getattr(sp.csr_matrix(C), k), maxshape=(None,))
    h["uns/type_categories"] = np.array(["T", "NK", "B", "unused"], "S6")
    h["uns/type_colors"] = np.array(["#ff0000", "#00ff00", "#0000ff", "#000000"], "S7")


# ---- 10x
def tenx(g, genes, ids, types, genome, x):
    m = sp.csr_matrix(x.astype("i4"))
    g.create_dataset("barcodes", data=np.array([f"AAAC{k:02d}-1" for k in range(12)], "S8"))
    g["data"], g["indices"], g["indptr"] = m.data, m.indices.astype("i8"), m.indptr.astype("i8")
    g["shape"] = np.array([len(genes), 12], "i4")
    if types is None:
        g["genes"], g["gene_names"] = np.array(ids, "S16"), np.array(genes, "S16")
        return
    f = g.create_group("features")
    f["id"], f["name"] = np.array(ids, "S16"), np.array(genes, "S16")
    f["feature_type"], f["genome"] = np.array(types, "S20"), np.array(genome, "S8")
    f["_all_tag_keys"] = np.array(["genome"], "S6")


IDS = [f"ENSG{k:011d}" for k in range(8)]
with h5py.File(path("tenx_v3.h5"), "w") as h:
    tenx(h.create_group("matrix"), GENES, IDS, ["Gene Expression"] * 6 + ["Antibody Capture"] * 2, ["GRCh38"] * 8, C)
with h5py.File(path("tenx_v3_two_genomes.h5"), "w") as h:
    tenx(h.create_group("matrix"), GENES, IDS, ["Gene Expression"] * 8, ["GRCh38"] * 5 + ["mm10"] * 3, C)
with h5py.File(path("tenx_v2.h5"), "w") as h:
    tenx(h.create_group("GRCh38"), GENES, IDS, None, None, C)
with h5py.File(path("tenx_v2_two_genomes.h5"), "w") as h:
    tenx(h.create_group("hg19"), GENES, IDS, None, None, C)
    tenx(h.create_group("mm10"), [x.title() for x in GENES], IDS, None, None, C * 2)
with h5py.File(path("molecule_info.h5"), "w") as h:
    h["barcode_idx"], h["umi"], h["count"] = np.arange(3), np.arange(3), np.arange(3)


# ---- damaged files
def damage(name, element, f):
    def go(h):
        v = f(h[element][:])
        del h[element]
        h[element] = v
    edit(name, "csr.h5ad", go)


damage("bad_indptr_decreasing.h5ad", "X/indptr", lambda v: np.concatenate([v[:5], [v[5] + 9], v[6:]]))
damage("bad_indptr_short.h5ad", "X/indptr", lambda v: v[:-1])
damage("bad_index_large.h5ad", "X/indices", lambda v: np.where(np.arange(len(v)) == 7, 99, v))
damage("bad_index_negative.h5ad", "X/indices", lambda v: np.where(np.arange(len(v)) == 7, -2, v))
damage("bad_data_short.h5ad", "X/data", lambda v: v[:-2])
damage("bad_codes.h5ad", "obs/type/codes", lambda v: np.where(v == 1, 77, v).astype("i1"))
damage("bad_obs_length.h5ad", "obs/n", lambda v: v[:-1])
edit("bad_shape.h5ad", "csr.h5ad", lambda h: h["X"].attrs.__setitem__("shape", np.array([12, 9])))
edit("bad_rows.h5ad", "csr.h5ad", lambda h: h["X"].attrs.__setitem__("shape", np.array([1 << 40, 8])))
edit("bad_no_obs.h5ad", "csr.h5ad", lambda h: h.__delitem__("obs"))


def huge(h):
    for k in ("data", "indices"):
        del h["X"][k]
        h["X"].create_dataset(k, shape=(1 << 45,), dtype="i4" if k == "indices" else "f4", chunks=(1 << 10,))


edit("bad_huge.h5ad", "csr.h5ad", huge)


def bomb(h):
    """A terabyte of zeros that packs into nothing: declared, never written."""
    del h["obs/n"]
    h.create_dataset("obs/n", shape=(1 << 37,), dtype="i8", chunks=(1 << 16,), compression="gzip")


edit("bad_bomb.h5ad", "csr.h5ad", bomb)
whole = open(os.path.join(out, "csr.h5ad"), "rb").read()
open(path("bad_truncated.h5ad"), "wb").write(whole[: len(whole) // 2])
open(path("bad_zeroed.h5ad"), "wb").write(whole[:4096] + bytes(len(whole) - 4096))
open(path("not_lfs.h5ad"), "w").write("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
open(path("not_html.h5ad"), "w").write("<!DOCTYPE html><html><body>Sign in</body></html>\n")
open(path("empty.h5ad"), "wb")


# ---- filters of hdf5plugin, one chunk edge inside the data
def packed(name, **kw):
    def go(h):
        for k in ("data", "indices"):
            v = h["X"][k][:]
            del h["X"][k]
            h["X"].create_dataset(k, data=v, chunks=(19,), **kw)
    edit(name, "csr.h5ad", go)


packed("filter_zstd.h5ad", **hdf5plugin.Zstd())
packed("filter_lz4.h5ad", **hdf5plugin.LZ4())
packed("filter_blosc.h5ad", **hdf5plugin.Blosc(cname="lz4", shuffle=hdf5plugin.Blosc.BITSHUFFLE))
packed("filter_bitshuffle.h5ad", **hdf5plugin.Bitshuffle(cname="lz4"))
packed("filter_bitshuffle_none.h5ad", **hdf5plugin.Bitshuffle(cname="none"))
packed("filter_blosc2.h5ad", **hdf5plugin.Blosc2())


# ---- Matrix Market folders
def mtx(name, features, barcodes, matrix, lines, rows, gz=False, prefix="", eol="\n"):
    d = path(name)
    os.makedirs(d)

    def put(file, text_lines):
        data = (eol.join(text_lines) + eol).encode()
        file = os.path.join(d, prefix + file)
        if gz:  # two members, as bgzip and cat make them
            half = len(data) // 2
            open(file + ".gz", "wb").write(gzip.compress(data[:half], mtime=0) + gzip.compress(data[half:], mtime=0))
        else:
            open(file, "wb").write(data)
    put(features, rows)
    put(barcodes, [f"AAAC{k:02d}-1" for k in range(12)])
    put(matrix, lines)


def entries(x, field):
    m = sp.coo_matrix(x)
    value = {"integer": lambda v: f" {int(v)}", "real": lambda v: f" {v:.3e}", "pattern": lambda v: ""}[field]
    return [f"%%MatrixMarket matrix coordinate {field} general", "% made for tests", "", f"{x.shape[0]} {x.shape[1]} {m.nnz}"] + [
        f"{r + 1} {c + 1}{value(v)}" for r, c, v in zip(m.row, m.col, m.data)]


THREE = [f"{a}\t{g}\tGene Expression" for a, g in zip(IDS, GENES)]
mtx("mtx_v3", "features.tsv", "barcodes.tsv", "matrix.mtx", entries(C.T, "integer"),
    THREE[:6] + [x.replace("Gene Expression", "Antibody Capture") for x in THREE[6:]], gz=True)
mtx("mtx_v2/hg19", "genes.tsv", "barcodes.tsv", "matrix.mtx", entries(C.T, "real"), [x.rsplit("\t", 1)[0] for x in THREE],
    eol="\r\n")
mtx("mtx_prefix_transposed", "features.tsv", "barcodes.tsv", "matrix.mtx", entries(C, "integer"), GENES, prefix="GSM1_")
mtx("mtx_short", "features.tsv", "barcodes.tsv", "matrix.mtx", entries(C.T, "integer")[:-3], THREE)
mtx("mtx_outside", "features.tsv", "barcodes.tsv", "matrix.mtx", entries(C.T, "integer")[:-1] + ["9 1 1"], THREE)
mtx("mtx_lie", "features.tsv", "barcodes.tsv", "matrix.mtx", ["%%MatrixMarket matrix coordinate integer general", "8 12 99999999999"], THREE)
mtx("mtx_strangers", "features.tsv", "barcodes.tsv", "matrix.mtx", entries(C[:5].T, "integer"), THREE)

# ---- loom
loompy.create(path("loom.loom"), C.T, {"Gene": np.array(GENES), "Accession": np.array(IDS)},
              {"CellID": np.array(CELLS), "n": np.arange(12) * 1000})
loompy.create(path("loom_names.loom"), {"": sp.coo_matrix(C.T), "spliced": sp.coo_matrix(C.T * 2)},
              {"gene_names": np.array(GENES)}, {"cell_names": np.array(CELLS), "emb": np.ones((12, 2))})

# ---- Zarr
for version in (2, 3):
    anndata.settings.zarr_write_format = version
    for name, x in (("csr", sp.csr_matrix(C)), ("dense", C)):
        with zarr.storage.ZipStore(path(f"{name}_v{version}.zarr.zip"), mode="w") as z:
            base(x).write_zarr(z, chunks=(5, 3) if name == "dense" else None)
g = zarr.open_group(path("sharded.zarr"), mode="w", zarr_format=3)
g.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
for k, n in (("obs", CELLS), ("var", GENES)):
    f = g.create_group(k)
    f.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "i", "column-order": []})
    a = f.create_array("i", data=np.array(n), chunks=(5,))
    a.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
g.create_array("X", data=C, chunks=(3, 4), shards=(6, 8), compressors=[zarr.codecs.ZstdCodec()])
for k in sorted(os.listdir(out)):
    print(k, os.path.getsize(os.path.join(out, k)))
