#!/usr/bin/env python3
"""A second set of valid and hostile files, apart from those of h5ad_fixtures.py, with what must be said of each.

usage: file_set.py OUT_DIR [TAG=PYTHON ...]   (needs anndata 0.12, h5py, hdf5plugin, loompy, zarr; TAG=PYTHON: interpreters
with other versions of anndata for file_versions.py, e.g. 06=/venv/bin/python)

Writes the files and OUT_DIR/expect.json; tests/ref/file_check.py runs the program on all of them. Made with anndata
0.12.19, h5py 3.16, hdf5plugin 7.1, loompy 3.0.8, zarr 3.1.6. Seed: none, nothing is random.
"""
import gzip
import json
import os
import shutil
import subprocess
import sys

import anndata
import h5py
import hdf5plugin
import loompy
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr

from file_versions import C, CELLS, GENES, LOG, make, obs

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
EXPECT = {}
S = h5py.string_dtype("utf-8")
N, G = C.shape
i_, j_ = np.mgrid[0:N, 0:G]
IDS = [f"ENSG{k:011d}" for k in range(G)]


def path(name):
    p = os.path.join(out, name)
    if os.path.isdir(p):
        shutil.rmtree(p)
    elif os.path.exists(p):
        os.remove(p)
    return p


def expect(name, state="counts", matrix="X", values="C", info=0, expr=0, convert=0, genes=0, **more):
    """values: the array that expr and convert must give ("C", "LOG" or an array); exit codes of the four commands."""
    arrays = {"C": C, "LOG": LOG}
    v = arrays[values] if isinstance(values, str) else values
    EXPECT[name] = dict(state=state, model_matrix=matrix, values=None if v is None else np.asarray(v, float).tolist(), shape=None if v is None else v.shape,
                        info=info, expr=expr, convert=convert, genes=genes, **more)


def bad(name, info=3, expr=3, convert=3, genes=3, **more):
    expect(name, state=None, matrix="?", values=None, info=info, expr=expr, convert=convert, genes=genes, **more)


def h5ad(name, x=None, f=None, write=None, **more):
    a = make(sp.csr_matrix(C) if x is None else x)
    if f:
        f(a)
    a.write_h5ad(path(name), **(write or {}))
    expect(name, **more)


def edit(name, source, f, **more):
    p = path(name)
    shutil.copy(os.path.join(out, source), p)
    with h5py.File(p, "r+") as h:
        f(h)
    if more.pop("is_bad", False):
        bad(name, **more)
    else:
        expect(name, **more)


def put_x(h, data, indices, indptr, **kw):
    for k, v in (("data", data), ("indices", indices), ("indptr", indptr)):
        del h["X"][k]
        h["X"].create_dataset(k, data=v, **kw)


# ---- number types, sparse and dense
h5ad("base.h5ad")
h5ad("base_dense.h5ad", C)
for t in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
    edit(f"csr_{t}.h5ad", "base.h5ad", lambda h, t=t: put_x(h, h["X/data"][:].astype(t), h["X/indices"][:], h["X/indptr"][:]))
    edit(f"dense_{t}.h5ad", "base_dense.h5ad", lambda h, t=t: (h.__delitem__("X"), h.create_dataset("X", data=C.astype(t))),)
for t in (">i4", ">f8", ">f4", ">u2"):
    edit(f"csr_be_{t[1:]}.h5ad", "base.h5ad", lambda h, t=t: put_x(h, h["X/data"][:].astype(t), h["X/indices"][:].astype(">i4"),
                                                                   h["X/indptr"][:].astype(">i8")))
edit("csr_bool.h5ad", "base.h5ad", lambda h: put_x(h, h["X/data"][:] > 0, h["X/indices"][:], h["X/indptr"][:]), values=(C > 0) * 1.0)
for name, kw in (("chunk_row", dict(chunks=(1, G))), ("chunk_col", dict(chunks=(N, 1))), ("chunk_odd", dict(chunks=(7, 3), compression="gzip")),
                 ("lzf", dict(chunks=(7, 3), compression="lzf", shuffle=True)), ("fletcher", dict(chunks=(5, 5), fletcher32=True)),
                 ("szip", dict(chunks=(8, 8), compression="szip")), ("scaleoffset", dict(chunks=(8, 8), scaleoffset=0, dtype="i4")),
                 ("zstd", dict(chunks=(9, 4), **hdf5plugin.Zstd(clevel=5))), ("bz2", dict(chunks=(9, 4), **hdf5plugin.BZip2())),
                 ("blosc_zstd", dict(chunks=(9, 4), **hdf5plugin.Blosc(cname="zstd"))),
                 ("blosc_lz4hc", dict(chunks=(9, 4), **hdf5plugin.Blosc(cname="lz4hc", shuffle=0))),
                 ("blosc_zlib", dict(chunks=(9, 4), **hdf5plugin.Blosc(cname="zlib"))),
                 ("bshuf_zstd", dict(chunks=(9, 4), **hdf5plugin.Bitshuffle(cname="zstd")))):
    def go(h, kw=dict(kw)):
        del h["X"]
        x = C.astype(kw.pop("dtype", "f4"))
        h.create_dataset("X", data=x, **kw)
    edit(f"dense_{name}.h5ad", "base_dense.h5ad", go)
for name, kw in (("blosc2", hdf5plugin.Blosc2()), ("zfp", hdf5plugin.Zfp(reversible=True)), ("sz3", hdf5plugin.SZ3(absolute=0.001))):
    def go(h, kw=kw):
        del h["X"]
        h.create_dataset("X", data=C, chunks=(15, 10), **kw)
    edit(f"filter_{name}.h5ad", "base_dense.h5ad", go, is_bad=True, genes=0, says=["X", "filter"])


def shuffled(h, repeat=False):
    ptr, idx, val = h["X/indptr"][:], h["X/indices"][:], h["X/data"][:]
    rows = []
    for a, b in zip(ptr[:-1], ptr[1:]):
        p = np.random.default_rng(int(a)).permutation(b - a)
        rows.append((idx[a:b][p], val[a:b][p]))
    if repeat:
        rows = [(np.r_[i, i[:2], 5], np.r_[v[:2] - 1, v[2:], 1, 1, 0]) for i, v in rows]
    put_x(h, np.concatenate([r[1] for r in rows]).astype("f4"), np.concatenate([r[0] for r in rows]).astype("i8"),
          np.cumsum([0] + [len(r[0]) for r in rows]).astype("i8"))


edit("unsorted.h5ad", "base.h5ad", shuffled)
edit("duplicate_entries.h5ad", "base.h5ad", lambda h: shuffled(h, True))
edit("u4_indices.h5ad", "base.h5ad", lambda h: put_x(h, h["X/data"][:], h["X/indices"][:].astype("u4"), h["X/indptr"][:].astype("u8")))


def explicit_zeros(h):
    m = sp.csr_matrix(np.ones_like(C))
    put_x(h, C.ravel(), m.indices, m.indptr)


edit("explicit_zeros.h5ad", "base.h5ad", explicit_zeros)
edit("no_shape.h5ad", "base.h5ad", lambda h: h["X"].attrs.__delitem__("shape"))
edit("indptr_base.h5ad", "base.h5ad", lambda h: put_x(h, h["X/data"][:], h["X/indices"][:], h["X/indptr"][:] + 100))
h5ad("csc.h5ad", sp.csc_matrix(C))
h5ad("csc_i8.h5ad", sp.csc_matrix(C.astype("i8")))
edit("csc_unsorted.h5ad", "csc.h5ad", shuffled)


def nan(h):
    v = h["X/data"][:]
    v[3] = np.nan
    v[9] = np.inf
    h["X/data"][...] = v


edit("nan_values.h5ad", "base.h5ad", nan, state="unknown", matrix=None, values=None)
# counts that can be had back: every cell has a 1 and another count
R = np.where((i_ * 7 + j_ * 3) % 4 == 0, (i_ * i_ + 5 * j_ + i_ * j_) % 23, 0).astype("f4")
R[:, 0], R[:, 1] = 1, 2
RLOG = np.log1p(R / R.sum(1, keepdims=True) * 1e4)
RLOG2 = np.log2(1 + R / R.sum(1, keepdims=True) * 1e6)
h5ad("lognorm.h5ad", sp.csr_matrix(LOG), state="lognorm", matrix=None, values="LOG", recovered=False)  # cells with one value
h5ad("lognorm_f4.h5ad", sp.csr_matrix(RLOG.astype("f4")), state="lognorm", matrix=None, values=RLOG.astype("f4"), recovered=True)
h5ad("lognorm_csc.h5ad", sp.csc_matrix(RLOG.astype("f4")), state="lognorm", matrix=None, values=RLOG.astype("f4"), recovered=True)
h5ad("lognorm_dense_f64.h5ad", RLOG, state="lognorm", matrix=None, values=RLOG, recovered=True)
h5ad("log2_cpm.h5ad", sp.csr_matrix(RLOG2), state="lognorm", matrix=None, values=RLOG2, recovered=True)
NOISE = (RLOG * (1 + (i_ + j_) % 5 / 100)).astype("f4")
h5ad("lognorm_noise.h5ad", sp.csr_matrix(NOISE), state="lognorm", matrix=None, values=NOISE, recovered=False)
CPM = (C / C.sum(1, keepdims=True) * 1e6).astype("f4")
h5ad("cpm.h5ad", sp.csr_matrix(CPM), state="unknown", matrix=None, values=CPM)
h5ad("scaled.h5ad", LOG - LOG.mean(0), state="scaled", matrix=None, values=LOG - LOG.mean(0))


def layer(name, values):
    def go(a):
        a.layers[name] = values
        a.X = sp.csr_matrix(LOG)
    return go


h5ad("layer_counts.h5ad", None, layer("counts", sp.csr_matrix(C)), state="lognorm", matrix="layers/counts")
h5ad("layer_raw_counts.h5ad", None, layer("raw_counts", sp.csr_matrix(C)), state="lognorm", matrix="layers/raw_counts")
h5ad("layer_spliced.h5ad", None, layer("spliced", sp.csr_matrix(C)), state="lognorm", matrix=None, values="LOG")
h5ad("layer_csc.h5ad", None, layer("counts", sp.csc_matrix(C)), state="lognorm", matrix="layers/counts")

# ---- frames
edit("no_x.h5ad", "base.h5ad", lambda h: h.__delitem__("X"), state=None, matrix=None, values=None, expr=3, convert=0)


def empty_groups(h):
    for k in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        if k in h:
            del h[k]


edit("no_groups.h5ad", "base.h5ad", empty_groups)


def kinds(a):
    a.obs["Int"] = pd.array([None if k == 2 else k for k in range(N)], dtype="Int64")
    a.obs["Bool"] = pd.array([None if k == 5 else k % 3 == 0 for k in range(N)], dtype="boolean")
    a.obs["many"] = pd.Categorical([f"c{k}" for k in range(N)], categories=[f"c{k}" for k in range(1500)])
    a.obs["num cat"] = pd.Categorical([k % 3 for k in range(N)])
    a.obs["float cat"] = pd.Categorical([k % 3 / 2 for k in range(N)])
    a.obs["bool cat"] = pd.Categorical([k % 3 == 0 for k in range(N)])
    a.obs["ordered"] = pd.Categorical(["lo", "hi"] * (N // 2), categories=["lo", "hi"], ordered=True)
    a.obs["text"] = [f"täxt\t{k}\n" for k in range(N)]
    a.obs["f2"] = np.arange(N, dtype="f4")
    a.obs["u1"] = np.arange(N, dtype="u1")
    a.obs["none"] = pd.Categorical([None] * N)
    a.obs["index2"] = a.obs_names
    a.obs["name"] = list(a.obs_names)
    for k in range(300):
        a.obs[f"q{k}"] = np.float32(k)


h5ad("obs_kinds.h5ad", None, kinds)


def wide_codes(h, t, missing):
    g = h["obs/type"]
    c = g["codes"][:].astype("i8")
    del g["codes"]
    g["codes"] = np.where(c < 0, missing, c).astype(t)


edit("codes_i8.h5ad", "base.h5ad", lambda h: wide_codes(h, "i8", -1))
edit("codes_u1.h5ad", "base.h5ad", lambda h: wide_codes(h, "u1", 255))


def nullable_strings(h):
    def put(group, name, values, mask):
        del group[name]
        g = group.create_group(name)
        g.attrs["encoding-type"], g.attrs["encoding-version"], g.attrs["na-value"] = "nullable-string-array", "0.1.0", "NaN"
        g.create_dataset("values", data=values, dtype=S)
        g["mask"] = np.array(mask)
    put(h["obs"], "_index", CELLS, [False] * N)
    put(h["var"], "_index", GENES, [False] * G)
    put(h["obs/type"], "categories", ["T", "NK", "B", "unused"], [False] * 4)


edit("nullable_strings.h5ad", "base.h5ad", nullable_strings)


def unknown(h):
    g = h.create_group("obsm/strange")
    g.attrs["encoding-type"], g.attrs["encoding-version"] = "hologram", "9.0.0"
    g = h.create_group("obs/strange")
    g.attrs["encoding-type"], g.attrs["encoding-version"] = "hologram", "9.0.0"
    h["obs"].attrs["column-order"] = list(h["obs"].attrs["column-order"]) + ["strange"]
    g = h.create_group("layers/strange")
    g.attrs["encoding-type"], g.attrs["encoding-version"] = "hologram", "9.0.0"
    d = h.create_dataset("uns/nothing", data=h5py.Empty("f4"))
    d.attrs["encoding-type"], d.attrs["encoding-version"] = "null", "0.1.0"
    g = h.create_group("uns/strange")
    g.attrs["encoding-type"], g.attrs["encoding-version"] = "hologram", "9.0.0"
    d = h.create_dataset("varm/complex", data=np.ones((G, 2), "c8"))


edit("unknown_encodings.h5ad", "base.h5ad", unknown, warns=["obsm/strange", "obs/strange", "layers/strange"])


def extras(a):
    """What has no place among numbers and texts: it must survive convert."""
    a.obsm["frame"] = pd.DataFrame({"u": np.arange(N) * 1.5, "s": [f"x{k}" for k in range(N)]}, index=CELLS)
    a.obsm["sparse"] = sp.csc_matrix(C[:, :4].astype("f8"))
    a.obsm["cube"] = np.arange(N * 4, dtype="i2").reshape(N, 2, 2)
    a.varm["frame"] = pd.DataFrame({"q": pd.Categorical(["a", "b"] * (G // 2))}, index=GENES)
    a.varm["ints"] = np.arange(G * 2).reshape(G, 2)
    a.obsp["d64"] = sp.csr_matrix(np.eye(N, k=2) / 3)
    a.obsp["dense"] = np.eye(N, k=1)
    a.varp["corr"] = sp.csr_matrix(np.eye(G))
    a.uns["frame"] = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    a.uns["sparse"] = sp.csr_matrix(np.eye(3))
    a.uns["cat"] = pd.Categorical(["x", "y", "x"])
    a.uns["cube"] = np.zeros((2, 3, 4), "f4")
    a.uns["rec"] = np.rec.array([(1, 2.5), (3, 4.5)], dtype=[("a", "i4"), ("b", "f8")])
    a.uns["names"] = np.rec.array([("LYZ", "CD3E"), ("NKG7", "CD14")], dtype=[("T", "O"), ("B", "O")])
    a.uns["deep"] = {"a": {"b": {"c": {"d": np.int8(3), "flag": np.bool_(True), "u8": np.uint64(2 ** 63)}}}}
    a.uns["bools"] = np.array([True, False])
    a.uns["empty"] = {}
    a.uns["nullable"] = pd.array([1, None, 3], dtype="Int64")


h5ad("extras.h5ad", None, extras, whole=True)
h5ad("extras_lzf.h5ad", None, extras, write=dict(compression="lzf"), whole=True)
h5ad("extras_gzip.h5ad", None, extras, write=dict(compression="gzip"), whole=True)
h5ad("odd_names.h5ad", None, lambda a: (setattr(a, "obs_names", ["a b", "ü/1", "", "tab\tx", "dup", "dup"] + CELLS[6:]),
                                       a.obs.insert(0, "col with space", np.arange(N))))
one = make(sp.csr_matrix(C))[:1].copy()
one.write_h5ad(path("one_cell.h5ad"))
expect("one_cell.h5ad", values=C[:1])
none = make(sp.csr_matrix(C))[:0].copy()
none.write_h5ad(path("no_cells.h5ad"))
expect("no_cells.h5ad", state="unknown", matrix=None, values=C[:0])
nog = make(sp.csr_matrix(C))[:, :0].copy()
nog.write_h5ad(path("no_genes.h5ad"))
expect("no_genes.h5ad", state="unknown", matrix=None, values=C[:, :0], expr=None)

# ---- names of genes
h5ad("ens_version.h5ad", None, lambda a: setattr(a, "var_names", [f"{x}.{k}" for k, x in enumerate(
    ["ENSG00000198851", "ENSG00000156738", "ENSG00000090382"] + IDS[3:])]), ask=[("CD3E", 0, "alias"), ("ENSG00000156738", 1, "ensembl"),
                                                                                ("ENSG00000090382.9", 2, "ensembl")])
h5ad("prefixed.h5ad", None, lambda a: setattr(a, "var_names", ["GRCh38_" + x for x in GENES]), ask=[("CD3E", 0, "case"), ("GRCh38_LYZ", 2, "exact")])
h5ad("excel.h5ad", None, lambda a: setattr(a, "var_names", ["1-Mar", "2-Sep", "Dec-01"] + GENES[3:]),
     ask=[("MARCHF1", 0, "alias"), ("SEPTIN2", 1, "alias"), ("SEPT2", 1, "alias"), ("1-Mar", 0, "exact")])
h5ad("duplicates.h5ad", None, lambda a: setattr(a, "var_names", ["LYZ", "CD3E", "LYZ"] + GENES[3:]),
     ask=[("LYZ", 0, "exact"), ("LYZ#2", 2, "exact"), ("lyz", 0, "case")])
h5ad("mouse.h5ad", None, lambda a: setattr(a, "var_names", [x.capitalize() for x in GENES]), warns=["mouse"], ask=[("Cd3e", 0, "exact"), ("CD3E", 0, "case")])
h5ad("aliases.h5ad", None, lambda a: setattr(a, "var_names", ["CXCL8", "FCGR3A", "CD45"] + GENES[3:]), ask=[("IL8", 0, "alias"), ("PTPRC", 2, "alias")])


def feature_name(a):
    a.var["feature_name"] = pd.Categorical(GENES)
    a.var_names = IDS


def cite(a):
    a.var["feature_types"] = ["Gene Expression"] * 15 + ["Antibody Capture"] * 5


h5ad("cite.h5ad", None, cite, warns=["feature_types"])
h5ad("feature_name.h5ad", None, feature_name, names_from="feature_name", ask=[("CD3E", 0, "exact"), (IDS[4], 4, "ensembl")])

# ---- 0.7 with references, 0.5 by hand is in file_versions
# ---- 10x
def tenx(g, genes, ids, types, genome, x, index="i8", **more):
    m = sp.csr_matrix(x.astype("i4"))
    g.create_dataset("barcodes", data=np.array([f"AAAC{k:02d}-1" for k in range(N)], "S8"))
    g["data"], g["indices"], g["indptr"] = m.data.astype(more.pop("data", "i4")), m.indices.astype(index), m.indptr.astype(index)
    g["shape"] = np.array([len(genes), N], "i4")
    if types is None:
        g["genes"], g["gene_names"] = np.array(ids, "S16"), np.array(genes, "S16")
        return
    f = g.create_group("features")
    f["id"], f["name"] = np.array(ids, "S16"), np.array(genes, "S16")
    f["feature_type"] = np.array(types, "S20")
    if genome:
        f["genome"] = np.array(genome, "S8")
    f["_all_tag_keys"] = np.array(["genome"], "S6")
    for k, v in more.items():
        f[k] = np.array(v, "S20")


def tenx_file(name, f, **more):
    with h5py.File(path(name), "w") as h:
        f(h)
    if more.pop("is_bad", False):
        bad(name, **more)
    else:
        expect(name, **more)


RNA = ["Gene Expression"] * G
ADT = ["Gene Expression"] * 15 + ["Antibody Capture"] * 5
tenx_file("tenx_v3.h5", lambda h: tenx(h.create_group("matrix"), GENES, IDS, RNA, ["GRCh38"] * G, C))
tenx_file("tenx_v3_u4.h5", lambda h: tenx(h.create_group("matrix"), GENES, IDS, RNA, ["GRCh38"] * G, C, index="u4", data="u4"))
tenx_file("tenx_adt.h5", lambda h: tenx(h.create_group("matrix"), GENES, IDS, ADT, ["GRCh38"] * 15 + [""] * 5, C), values=C[:, :15], warns=["Antibody Capture"])
tenx_file("tenx_no_genome.h5", lambda h: tenx(h.create_group("matrix"), GENES, IDS, RNA, None, C))
tenx_file("tenx_probe.h5", lambda h: tenx(h.create_group("matrix"), GENES, [f"{x}|p{k}" for k, x in enumerate(IDS)], RNA, ["GRCh38"] * G, C,
                                          gene_id=IDS, probe_region=["spliced"] * G, filtered_probes=["TRUE"] * G))
tenx_file("tenx_v2.h5", lambda h: tenx(h.create_group("GRCh38"), GENES, IDS, None, None, C))
two = lambda h: (tenx(h.create_group("hg19"), GENES, IDS, None, None, C),  # noqa: E731
                 tenx(h.create_group("mm10"), [x.title() for x in GENES], IDS, None, None, C * 2))
tenx_file("tenx_v2_two.h5", two, state=None, matrix="?", values=None, expr=2, convert=2, genes=2)
EXPECT["tenx_v2_two.h5 --genome hg19"] = dict(EXPECT["tenx_v2.h5"])
EXPECT["tenx_v2_two.h5 --genome mm10"] = dict(EXPECT["tenx_v2.h5"], values=(C * 2).tolist())
tenx_file("tenx_v3_two.h5", lambda h: tenx(h.create_group("matrix"), GENES, IDS, RNA, ["GRCh38"] * 12 + ["mm10"] * 8, C),
          state=None, matrix="?", values=None, expr=2, convert=2, genes=2)
tenx_file("molecule_info.h5", lambda h: [h.create_dataset(k, data=np.arange(3)) for k in ("barcode_idx", "umi", "count", "gem_group")],
          is_bad=True, says=["molecule_info"])
tenx_file("tenx_bad_shape.h5", lambda h: (tenx(h.create_group("matrix"), GENES, IDS, RNA, ["GRCh38"] * G, C),
                                          h["matrix/shape"].__setitem__(0, 7)), is_bad=True, says=["shape"])
tenx_file("some.h5", lambda h: h.create_dataset("x", data=[1]), is_bad=True)


# ---- mtx
def mtx(name, lines, features, barcodes=None, gz=False, prefix="", eol="\n", names=("features.tsv", "barcodes.tsv", "matrix.mtx"), **more):
    d = path(name)
    os.makedirs(d)
    for file, rows in zip(names, (features, barcodes or [f"AAAC{k:02d}-1" for k in range(N)], lines)):
        data = (eol.join(rows) + eol).encode()
        if gz:
            third = len(data) // 3
            open(os.path.join(d, prefix + file + ".gz"), "wb").write(gzip.compress(data[:third], mtime=0) + gzip.compress(data[third:], mtime=0))
        else:
            open(os.path.join(d, prefix + file), "wb").write(data)
    if more.pop("is_bad", False):
        bad(name, **more)
    else:
        expect(name, **more)


def entries(x, field="integer", order=None, head=(), blank=False):
    m = sp.coo_matrix(x)
    o = np.arange(m.nnz) if order is None else order(m)
    value = {"integer": lambda v: f" {int(v)}", "real": lambda v: f" {v:.4e}", "pattern": lambda v: ""}[field]
    body = [f"{m.row[k] + 1} {m.col[k] + 1}{value(m.data[k])}" for k in o]
    if blank:
        body = [y for x in body for y in (x, "")]
    return [f"%%MatrixMarket matrix coordinate {field} general", *head, f"{x.shape[0]} {x.shape[1]} {m.nnz}"] + body


THREE = [f"{a}\t{g}\tGene Expression" for a, g in zip(IDS, GENES)]
TWO = [f"{a}\t{g}" for a, g in zip(IDS, GENES)]
by_gene = lambda m: np.lexsort((m.col, m.row))  # noqa: E731
by_cell = lambda m: np.lexsort((m.row, m.col))  # noqa: E731
mixed = lambda m: np.argsort((np.arange(m.nnz) * 7919) % m.nnz, kind="stable")  # noqa: E731
mtx("mtx_v3", entries(C.T, order=by_cell), THREE, gz=True)
mtx("mtx_v2", entries(C.T, "real", by_gene), TWO, names=("genes.tsv", "barcodes.tsv", "matrix.mtx"))
mtx("mtx_star", entries(C.T, order=by_cell, head=("%", "% made by STAR")), THREE)
mtx("mtx_mixed", entries(C.T, order=mixed, blank=True, head=("%", "")), THREE, eol="\r\n")
mtx("mtx_prefix", entries(C.T), THREE, gz=True, prefix="GSM12345_donor1_")
mtx("mtx_one_column", entries(C.T), GENES)
mtx("mtx_transposed", entries(C), TWO)
mtx("mtx_header", entries(C.T), ["id\tname\ttype"] + THREE, ["barcode"] + [f"AAAC{k:02d}-1" for k in range(N)])
mtx("mtx_pattern", entries((C > 0) * 1.0, "pattern").copy() and entries(((C > 0) * 1.0).T, "pattern"), THREE, values=(C > 0) * 1.0)
mtx("mtx_adt", entries(C.T), [x if k < 15 else x.replace("Gene Expression", "Antibody Capture") for k, x in enumerate(THREE)],
    values=C[:, :15], warns=["Antibody Capture"])
mtx("mtx_real", entries(LOG.T.round(4), "real"), THREE, state="lognorm", matrix=None, values=None)
mtx("mtx_cut", entries(C.T)[:-9], THREE, is_bad=True, info=0, genes=0)
mtx("mtx_more", entries(C.T) + ["1 1 1"], THREE, is_bad=True, info=0, genes=0)
mtx("mtx_outside", entries(C.T)[:-1] + ["21 1 1"], THREE, is_bad=True, info=None, genes=None)
mtx("mtx_zero_based", entries(C.T)[:-1] + ["0 0 1"], THREE, is_bad=True, info=None, genes=None)
mtx("mtx_lie", ["%%MatrixMarket matrix coordinate integer general", f"20 30 {10 ** 15}", "1 1 1"], THREE, is_bad=True)
mtx("mtx_no_barcodes", entries(C.T), THREE, is_bad=True)
os.remove(os.path.join(out, "mtx_no_barcodes/barcodes.tsv"))


# ---- loom
def loom(name, layers, rows, cols, f=None, **more):
    p = path(name)
    loompy.create(p, layers, rows, cols)
    if f:
        with h5py.File(p, "r+") as h:
            f(h)
    expect(name, **more)


loom("v3.loom", C.T, {"Gene": np.array(GENES), "Accession": np.array(IDS)}, {"CellID": np.array(CELLS), "type": np.array(["a", "b", "c"] * 10)})
loom("foreign.loom", {"": sp.coo_matrix(C.T), "spliced": sp.coo_matrix(C.T)}, {"gene_names": np.array(GENES)}, {"cell_names": np.array(CELLS)})
loom("hca.loom", C.T, {"ensembl_ids": np.array(IDS), "Gene": np.array(GENES)},
     {"CellID": np.array(CELLS), "cell_suspension_id": np.array(["s"] * N), "X_umap": np.ones((N, 2))})


def loom2(h):
    if "attrs" in h:
        del h["attrs"]
    h.attrs["LOOM_SPEC_VERSION"] = "2.0.1"
    for g in ("row_graphs", "col_graphs", "layers"):
        if g in h:
            del h[g]


loom("v2.loom", C.T, {"Gene": np.array(GENES)}, {"CellID": np.array(CELLS)}, loom2)
loom("nameless.loom", C.T, {"Gene": np.array(GENES)}, {"x": np.arange(N)}, warns=["col_attrs"])

# ---- Zarr
anndata.settings.zarr_write_format = 2
make(sp.csr_matrix(C)).write_zarr(path("v2.zarr"))
expect("v2.zarr")
make(C).write_zarr(path("v2_dense.zarr"), chunks=(7, 3))
expect("v2_dense.zarr")
anndata.settings.zarr_write_format = 3
make(sp.csr_matrix(C)).write_zarr(path("v3.zarr"))
expect("v3.zarr")
for v in (2, 3):
    anndata.settings.zarr_write_format = v
    with zarr.storage.ZipStore(path(f"v{v}.zarr.zip"), mode="w") as z:
        make(sp.csc_matrix(C)).write_zarr(z)
    expect(f"v{v}.zarr.zip")
    shutil.copytree(os.path.join(out, f"v{v}.zarr"), path(f"v{v}_consolidated.zarr"))
    zarr.consolidate_metadata(os.path.join(out, f"v{v}_consolidated.zarr"))
    expect(f"v{v}_consolidated.zarr")


def zarr_dense(name, fmt, shards=None, chunks=(6, 8), **kw):
    p = path(name)
    shutil.copytree(os.path.join(out, f"v{fmt}.zarr"), p)
    g = zarr.open_group(p, mode="r+")
    del g["X"]
    a = g.create_array("X", data=C, chunks=chunks, shards=shards, **kw)
    a.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    if os.path.exists(os.path.join(p, ".zmetadata")):
        os.remove(os.path.join(p, ".zmetadata"))
    expect(name)


zarr_dense("sharded.zarr", 3, shards=(12, 16), chunks=(3, 4))
zarr_dense("v3_gzip.zarr", 3, compressors=[zarr.codecs.GzipCodec()])
zarr_dense("v3_zstd.zarr", 3, compressors=[zarr.codecs.ZstdCodec()])
zarr_dense("v3_blosc.zarr", 3, compressors=[zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")])
zarr_dense("v3_plain.zarr", 3, compressors=None)
import numcodecs  # noqa: E402
zarr_dense("v2_zlib.zarr", 2, compressors=[numcodecs.Zlib()])
zarr_dense("v2_lz4.zarr", 2, compressors=[numcodecs.LZ4()])
zarr_dense("v2_blosc.zarr", 2, compressors=[numcodecs.Blosc(cname="zstd")])
zarr_dense("v2_fortran.zarr", 2, order="F")

for v in (2, 3):
    anndata.settings.zarr_write_format = v
    a = make(sp.csr_matrix(C))
    extras(a)
    for k in ("rec", "names", "rank_genes_groups"):  # Zarr keeps them as raw records
        del a.uns[k]
    del a.uns["deep"]["a"]["b"]["c"]["u8"]  # beyond int64, named and left out
    a.write_zarr(path(f"extras_v{v}.zarr"))
    expect(f"extras_v{v}.zarr", whole=True)

# ---- refused with a way out
for name, head in (("seurat.rds", b"\x1f\x8b\x08\x00" + bytes(40)), ("plain.rds", b"RDX3\nX\n" + bytes(40)), ("table.csv", b"gene,a,b\nCD3E,1,2\n"),
                   ("whole.h5ad.gz", gzip.compress(b"\x89HDF" + bytes(1000))), ("page.h5ad", b"<html><body>404</body></html>"),
                   ("lfs.h5ad", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n"), ("empty.h5ad", b""), ("noise.h5ad", bytes(range(256)) * 9)):
    open(path(name), "wb").write(head)
    bad(name)
with h5py.File(path("seurat.h5seurat"), "w") as h:
    h.create_group("assays/RNA")
    h.create_group("meta.data")
    h.create_group("reductions")
bad("seurat.h5seurat", says=["h5Seurat", "Convert"])


# ---- hostile
def hostile(name, f, source="base.h5ad", **more):
    edit(name, source, f, is_bad=True, **more)


def replace(path_, value):
    def go(h):
        del h[path_]
        h[path_] = value(h) if callable(value) else value
    return go


whole = open(os.path.join(out, "base.h5ad"), "rb").read()
open(path("cut_half.h5ad"), "wb").write(whole[: len(whole) // 2])
bad("cut_half.h5ad")
open(path("cut_100.h5ad"), "wb").write(whole[:-100])
bad("cut_100.h5ad", info=None, expr=None, convert=None, genes=None)
open(path("zeroed.h5ad"), "wb").write(whole[:4096] + bytes(len(whole) - 4096))
bad("zeroed.h5ad")
hostile("indptr_down.h5ad", lambda h: h["X/indptr"].__setitem__(5, 999), info=0, genes=0)
hostile("indptr_short.h5ad", lambda h: (h.__setitem__("p", h["X/indptr"][:-1]), h.__delitem__("X/indptr"), h.move("p", "X/indptr")), genes=0)
hostile("index_large.h5ad", lambda h: h["X/indices"].__setitem__(7, 99), info=0, genes=0)
hostile("index_negative.h5ad", lambda h: h["X/indices"].__setitem__(7, -2), info=0, genes=0)
hostile("shape_other.h5ad", lambda h: h["X"].attrs.__setitem__("shape", np.array([N, G + 1])), genes=0)
hostile("shape_negative.h5ad", lambda h: h["X"].attrs.__setitem__("shape", np.array([-1, G])), genes=0)
hostile("no_obs.h5ad", lambda h: h.__delitem__("obs"))
hostile("no_var.h5ad", lambda h: h.__delitem__("var"))
hostile("x_cycle.h5ad", lambda h: (h.__delitem__("X"), h.__setitem__("X", h5py.SoftLink("/X"))), genes=0, info=None)


def huge_sparse(h):
    for k, t in (("data", "f4"), ("indices", "i4")):
        del h["X"][k]
        h["X"].create_dataset(k, shape=(3 << 31,), dtype=t, chunks=(1 << 20,), compression="gzip")
    h["X/indptr"][...] = np.r_[np.zeros(N, "i8"), 3 << 20]


hostile("huge_declared.h5ad", huge_sparse, genes=0)
edit("bomb_obs.h5ad", "base.h5ad", lambda h: (h.__delitem__("obs/n"), h.create_dataset("obs/n", shape=(1 << 37,), dtype="i8", chunks=(1 << 16,),
                                                                                     compression="gzip")), warns=["obs/n"])
edit("cycle_groups.h5ad", "base.h5ad", lambda h: (h["uns"].__setitem__("me", h["uns"]), h["obsm"].__setitem__("up", h["/"])))
edit("ext_link.h5ad", "base.h5ad", lambda h: (h.__delitem__("obsm/X_umap"), h.__setitem__("obsm/X_umap", h5py.ExternalLink("base.h5ad", "obsm/X_umap"))),
     warns=["obsm/X_umap"])
edit("ext_x.h5ad", "base.h5ad", lambda h: (h.__delitem__("X"), h.__setitem__("X", h5py.ExternalLink("base.h5ad", "X"))), is_bad=True, genes=0)


def vds(h):
    v = h5py.VirtualLayout((N, G), "f4")
    v[:] = h5py.VirtualSource("base_dense.h5ad", "X", (N, G))
    del h["X"]
    h.create_virtual_dataset("X", v)


edit("vds_x.h5ad", "base_dense.h5ad", vds, is_bad=True, genes=0)
C.astype("f4").tofile(os.path.join(out, "raw.bin"))
edit("ext_storage.h5ad", "base_dense.h5ad", lambda h: (h.__delitem__("X"), h.create_dataset("X", shape=(N, G), dtype="f4", external=[("raw.bin", 0, N * G * 4)])),
     is_bad=True, genes=0)
for k in ("ext_x", "vds_x", "ext_storage"):
    EXPECT[k + ".h5ad --allow-external"] = dict(EXPECT["base.h5ad"])
edit("codes_out.h5ad", "base.h5ad", lambda h: h["obs/type/codes"].__setitem__(3, 77), warns=["obs/type"])
edit("obs_short.h5ad", "base.h5ad", replace("obs/n", lambda h: np.arange(5)), warns=["obs/n"])
edit("obsm_short.h5ad", "base.h5ad", replace("obsm/X_umap", lambda h: np.zeros((5, 2))), warns=["obsm/X_umap"])

for tag_python in sys.argv[2:]:
    tag, python = tag_python.split("=")
    subprocess.run([python, os.path.join(os.path.dirname(os.path.abspath(__file__)), "file_versions.py"), out, tag], check=True)
    for kind, m in (("csr", "X"), ("dense", "X"), ("raw", "raw/X")):
        expect(f"ann_{tag}_{kind}.h5ad", matrix=m, state="scaled" if kind == "raw" else "counts")
json.dump(EXPECT, open(os.path.join(out, "expect.json"), "w"))
print(len(EXPECT), "files")
