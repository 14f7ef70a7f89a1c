#!/usr/bin/env python3
"""Runs info, genes, expr and convert on the files of file_set.py and compares with what must come out.

usage: file_check.py PROGRAM DIR [PYTHON08] [--only TEXT]
PYTHON08: an interpreter with anndata 0.8, in which every converted file is opened as well.
"""
import io
import json
import math
import os
import subprocess
import sys
import tempfile

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

program, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
python08 = sys.argv[3] if len(sys.argv) > 3 and not sys.argv[3].startswith("--") else None
only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
expect = json.load(open(os.path.join(folder, "expect.json")))
failures, checks = [], 0
env = dict(os.environ, OMP_NUM_THREADS="2")


def run(*args, timeout=60):
    try:
        p = subprocess.run([program, *args], capture_output=True, timeout=timeout, cwd=folder, env=env)
        return p.returncode, p.stdout.decode("utf-8", "replace"), p.stderr.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return -1, "", "TIMEOUT"


def check(name, ok, text):
    global checks
    checks += 1
    if not ok:
        failures.append(f"{name}: {text}")
        print(failures[-1], flush=True)


def code(name, command, rc, want, err):
    check(name, want is None or rc == want, f"{command}: exit {rc}, expected {want}: {err.strip()[:300]}")
    if rc not in (0, 130, 143):
        lines = [x for x in err.splitlines() if x.strip()]
        check(name, len(lines) == 1 and lines[0].startswith("scmmgpt: "), f"{command} -q: not one line: {err[:300]}")
        check(name, "HDF5-DIAG" not in err and "Sanitizer" not in err, f"{command}: library messages")


def dense(x):
    return np.asarray(x.todense() if sp.issparse(x) else x)


def equal(a, b, where=""):
    """None when equal, else where not."""
    if type(a).__name__ in ("OverloadedDict", "AxisArrays", "Layers", "PairwiseArrays") or isinstance(a, dict):
        if set(a.keys()) != set(b.keys()):
            return f"{where}: keys {sorted(a.keys())} / {sorted(b.keys())}"
        for k in a.keys():
            r = equal(a[k], b[k], f"{where}/{k}")
            if r:
                return r
        return None
    if isinstance(a, pd.DataFrame):
        if list(a.columns) != list(b.columns) or list(map(str, a.index)) != list(map(str, b.index)):
            return f"{where}: columns or index {list(a.columns)[:9]} / {list(b.columns)[:9]}"
        for k in a.columns:
            x, y = a[k], b[k]
            if str(x.dtype) == "category":
                if str(y.dtype) != "category" or list(map(str, x.cat.categories)) != list(map(str, y.cat.categories)) or list(x.cat.codes) != list(y.cat.codes):
                    return f"{where}/{k}: categories"
            elif not all((pd.isna(p) and pd.isna(q)) or p == q for p, q in zip(x, y)):
                return f"{where}/{k}: {list(x)[:4]} / {list(y)[:4]}"
        return None
    if isinstance(a, pd.Categorical):
        return None if list(a) == list(b) else where
    if sp.issparse(a) or sp.issparse(b):
        return None if a.dtype == b.dtype and np.array_equal(dense(a), dense(b)) else f"{where}: {a.dtype} {b.dtype}"
    if isinstance(a, np.ndarray) and a.dtype.names:
        return None if a.dtype.names == b.dtype.names and all(list(a[k]) == list(b[k]) for k in a.dtype.names) else where
    if isinstance(a, (np.ndarray, pd.api.extensions.ExtensionArray)):
        x, y = np.asarray(a), np.asarray(b)
        if x.dtype.kind in "fc" and y.dtype.kind in "fc":
            return None if x.dtype == y.dtype and np.array_equal(x, y, equal_nan=True) else f"{where}: {x.dtype} {y.dtype}"
        same = x.shape == y.shape and (x.dtype.kind == y.dtype.kind or x.dtype.kind in "OUT")
        same = same and all((pd.isna(p) and pd.isna(q)) or p == q for p, q in zip(x.ravel(), y.ravel()))
        return None if same else f"{where}: {x.dtype} {x.shape} {y.dtype} {y.shape}"
    return None if a == b or (a is None and b is None) else f"{where}: {a!r} / {b!r}"


def read(path):
    import warnings
    warnings.simplefilter("ignore")
    return anndata.read_zarr(path) if path.rstrip("/").endswith(".zarr") else anndata.read_h5ad(path)


KEYS = {"format", "encoding", "cells", "genes", "matrices", "model_matrix", "model_matrix_reason", "gene_names_from", "obs", "obsm", "warnings"}
converted = []
tmp = tempfile.mkdtemp(prefix="filecheck")
for key, e in expect.items():
    if only not in key:
        continue
    name, *options = key.split(" ")
    values = None if e["values"] is None else np.array(e["values"]).reshape(e["shape"])
    before = os.stat(os.path.join(folder, name)).st_mtime_ns
    rc, text, err = run("info", name, "--json", "-q", *options)
    code(key, "info", rc, e["info"], err)
    genes = None
    if rc == 0:
        j = json.loads(text)
        check(key, KEYS <= set(j), f"info: keys missing {KEYS - set(j)}")
        check(key, e["model_matrix"] in ("?", j["model_matrix"]), f"info: model_matrix {j['model_matrix']}, expected {e['model_matrix']}")
        x = [m for m in j["matrices"] if m["name"] == "X"]
        if e["state"]:
            check(key, x and x[0]["state"] == e["state"], f"info: X is {x and x[0]['state']}, expected {e['state']}")
        for w in e.get("warns", []):
            check(key, any(w in t for t in j["warnings"]), f"info: no warning names {w}: {j['warnings']}")
        if values is not None and e["model_matrix"] in ("X", None):
            check(key, (j["cells"], j["genes"]) == values.shape, f"info: {j['cells']} x {j['genes']}")
        if "recovered" in e:
            check(key, bool(j.get("recovered_counts")) == e["recovered"], f"info: recovered_counts {j.get('recovered_counts')}, {j['model_matrix_reason']}")
        check(key, "names_from" not in e or j["gene_names_from"] == e["names_from"], f"info: names from {j['gene_names_from']}")
    for w in e.get("says", []):
        check(key, w in err + text, f"message without {w}: {err} {text[-400:]}")
    rc, text, err = run("genes", name, "-q", *options)
    code(key, "genes", rc, e["genes"], err)
    if rc == 0:
        t = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
        check(key, list(t.columns)[:5] == ["query", "name", "column", "how", "in_vocabulary"], f"genes: columns {list(t.columns)}")
        genes = list(t["name"])
        for q, col, how in e.get("ask", []):
            rc, text, err = run("genes", name, q, "-q")
            row = text.splitlines()[1].split("\t") if rc == 0 else ["", "", "", "", ""]
            check(key, row[2:4] == [str(col), how], f"genes {q}: {row} {err.strip()}")
    if genes:
        seen = {}
        asked = []
        for g in genes:
            seen[g] = seen.get(g, 0) + 1
            asked.append(g if seen[g] == 1 else f"{g}#{seen[g]}")
        rc, text, err = run("expr", name, *asked, "-q", *options)
        code(key, "expr", rc, e["expr"], err)
        if rc == 0:
            t = pd.read_csv(io.StringIO(text), sep="\t", keep_default_na=False, na_values=["nan", ""], quoting=3)
            check(key, list(t.columns) == ["cell", *asked], f"expr: columns {list(t.columns)[:4]}")
            if values is not None:
                v = t.iloc[:, 1:].to_numpy(float)
                check(key, v.shape == values.shape and np.allclose(v, values, rtol=6e-6, atol=1e-9), "expr: values differ")
    else:
        rc, text, err = run("expr", name, "CD3E", "-q", *options)
        code(key, "expr", rc, e["expr"], err)
    o = os.path.join(tmp, key.replace(" ", "_").replace("/", "_") + ".out.h5ad")
    rc, text, err = run("convert", name, "-o", o, "--force", "-q", *options)
    code(key, "convert", rc, e["convert"], err)
    check(key, (rc == 0) == os.path.exists(o), f"convert: exit {rc}, output {'there' if os.path.exists(o) else 'missing'}")
    check(key, not [f for f in os.listdir(tmp) if not f.endswith(".out.h5ad")], "convert: leaves files behind")
    if rc == 0:
        try:
            a = read(o)
            if values is not None:
                check(key, a.X is not None and np.allclose(dense(a.X).astype(float), values, rtol=1e-6 if "f4" not in key else 1e-6, atol=0), "convert: X differs")
            converted.append(o)
            source = os.path.join(folder, name)
            if e.get("whole") or name.startswith(("ann_0", "obs_kinds", "nullable")):
                b = read(source)
                raw = e["model_matrix"] == "raw/X"
                for part in ("obs", "obsm", "uns", "obsp") + (() if raw else ("var", "varm", "varp")):
                    r = equal(getattr(b, part), getattr(a, part), part)
                    check(key, r is None, f"convert: {r}")
        except Exception as x:  # noqa: BLE001
            check(key, False, f"convert: anndata {anndata.__version__} cannot open it: {type(x).__name__} {str(x)[:300]}")
    check(key, os.stat(os.path.join(folder, name)).st_mtime_ns == before, "input changed")
if python08 and converted:
    script = ("import sys, warnings; warnings.simplefilter('ignore'); import anndata\n"
              "for p in sys.argv[1:]:\n"
              "    try: a = anndata.read_h5ad(p); str(a)\n"
              "    except Exception as x: print(p, type(x).__name__, str(x)[:300].replace(chr(10), ' '))\n")
    p = subprocess.run([python08, "-W", "ignore", "-c", script, *converted], capture_output=True, text=True)
    for line in p.stdout.splitlines():
        check(os.path.basename(line.split(" ")[0]), False, "anndata 0.8: " + line.split(" ", 1)[1])
    checks += len(converted)
print(f"{len(expect)} files, {checks} checks, {len(failures)} failures")
sys.exit(bool(failures))
