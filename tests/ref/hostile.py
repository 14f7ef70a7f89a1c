"""Hostile files, each run through the program: none may crash, hang, take more than 1 GB or 5 s (data: 20 s of wall), or be
answered with anything but one line and exit code 3 (0 where the rest of a file is sound); weights: hostile_weights.py.
usage: hostile.py PROGRAM SCRATCH    Made with h5py 3 and zarr's layouts by hand, seed 5."""
import gzip, json, os, random, resource, subprocess, sys, time, zipfile, zlib
import h5py, numpy as np
program, scratch = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
random.seed(5); os.makedirs(scratch, exist_ok=True)
files = []                                              # path, commands, allowed exit codes

def path(name): p = os.path.join(scratch, name); os.makedirs(os.path.dirname(p), exist_ok=True); return p
def write(name, data):
    if isinstance(data, str): data = data.encode()
    with open(path(name), "wb") as f: f.write(data)
    return path(name)
def data(p, codes=(3,)):
    files.append((p, [["info", p], ["genes", p], ["expr", p, "G1"], ["convert", p, "-o", os.path.join(scratch, "out.h5ad"), "--force"],
                      ["plot", p, "--color", "kind", "-o", os.path.join(scratch, "out.svg"), "--force"]], codes))

# ---- HDF5 ----
def sound(name, n=6, m=4):
    f = h5py.File(path(name), "w")
    f.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for g, k, c in (("obs", n, "C"), ("var", m, "G")):
        o = f.create_group(g); o.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index", "column-order": np.array(["kind"], dtype=h5py.string_dtype())})
        o["_index"] = np.array([f"{c}{i}" for i in range(k)], dtype=h5py.string_dtype())
        q = o.create_group("kind"); q.attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False})
        q["codes"] = np.zeros(k, "i1"); q["categories"] = np.array(["a", "b"], dtype=h5py.string_dtype())
    x = f.create_group("X"); x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": np.array([n, m])})
    x["data"] = np.ones(n, "f4"); x["indices"] = np.zeros(n, "i4"); x["indptr"] = np.arange(n + 1)
    e = f.create_group("obsm"); e["X_umap"] = np.zeros((n, 2), "f4"); f.create_group("uns")
    return f
def h5(name, change, codes=(0, 2, 3, 7)):
    f = sound("h5/" + name + ".h5ad"); change(f); f.close(); data(path("h5/" + name + ".h5ad"), codes)
def put(f, key, value): 
    if key in f: del f[key]
    f[key] = value
big = 2**62
for k, v in {"negative": [0, -1, 2, 3, 4, 5, 6], "down": [0, 5, 1, 2, 3, 4, 6], "huge": [0, 1, 2, 3, 4, 5, big], "first": [1, 1, 2, 3, 4, 5, 6], "empty": [], "short": [0, 1]}.items():
    h5("indptr_" + k, lambda f: put(f, "X/indptr", np.array(v, "i8")))
for k, v in {"negative": -1, "above": 4, "huge": 2**31 - 1}.items(): h5("indices_" + k, lambda f: put(f, "X/indices", np.full(6, v, "i4")))
for k, v in {"huge": [big, big], "negative": [-6, 4], "zero": [0, 0], "one": [6], "three": [6, 4, 2], "wide": [6, 2**40], "tall": [2**40, 4], "text": "6x4", "float": [6.5, 4.0], "nan": [float("nan")] * 2}.items():
    h5("shape_" + k, lambda f: f["X"].attrs.__setitem__("shape", v))
for k, v in {"above": 100, "negative": -128}.items(): h5("codes_" + k, lambda f: put(f, "obs/kind/codes", np.full(6, v, "i1")))
for part in ("obs/_index", "var/_index", "obs/kind/codes", "obs/kind/categories", "X/data", "X/indices", "X/indptr", "obsm/X_umap"):
    tag = part.replace("/", "_")
    h5("gone_" + tag, lambda f: f.__delitem__(part))
    h5("scalar_" + tag, lambda f: put(f, part, 3))
    h5("group_" + tag, lambda f: (f.__delitem__(part), f.create_group(part)))
    h5("text_" + tag, lambda f: put(f, part, np.array(["\xff\x1b[2J" * 20] * 6, dtype=h5py.string_dtype())))
    h5("self_" + tag, lambda f: put(f, part, h5py.SoftLink("/" + part)))
    h5("outside_" + tag, lambda f: put(f, part, h5py.ExternalLink("/etc/passwd", "/x")))
    def bomb(f):
        del f[part]
        f.create_dataset(part, shape=(2**36,), chunks=(2**20,), dtype="i1", compression="gzip")
    h5("bomb_" + tag, bomb)
    def never(f): del f[part]; f.create_dataset(part, shape=(2**55,), chunks=(2**16,), dtype="f8")
    h5("unwritten_" + tag, never)
    def virtual(f):
        del f[part]; v = h5py.VirtualLayout((6,), "i4"); v[:] = h5py.VirtualSource("/etc/hosts", "x", (6,)); f.create_virtual_dataset(part, v)
    h5("virtual_" + tag, virtual)
    def raw(f): del f[part]; f.create_dataset(part, (6,), "i4", external=[("/etc/passwd", 0, 24)])
    h5("raw_" + tag, raw)
def loop(f): f["uns/a"] = f["uns"]; f["uns/b"] = f["/"]
h5("loop_uns", loop)
def deep(f):
    g = f["uns"]
    for i in range(3000): g = g.create_group("d")
h5("deep_uns", deep)
def ladder(f):
    g = f["uns"]
    for i in range(60): h = g.create_group("l"); g["r"] = h; g = h
h5("ladder_uns", ladder)
def soft(f):
    f["uns/a"] = h5py.SoftLink("/uns/b"); f["uns/b"] = h5py.SoftLink("/uns/a")
h5("soft_cycle", soft)
h5("obs_is_root", lambda f: put(f, "obs", h5py.SoftLink("/")))
h5("index_names_itself", lambda f: f["obs"].attrs.__setitem__("_index", "../obs"))
h5("index_long", lambda f: f["obs"].attrs.__setitem__("_index", "x" * 60000))
h5("order_many", lambda f: f["obs"].attrs.__setitem__("column-order", np.array(["kind"] * 3000, dtype="S8")))
h5("column_slashes", lambda f: f["obs"].attrs.__setitem__("column-order", np.array(["../../etc", "/", "", "."], dtype="S16")))
def chunk_bomb(f):
    del f["X/data"]; d = f.create_dataset("X/data", shape=(2**28,), chunks=(2**28,), dtype="f4", compression="gzip", fillvalue=1)
    d.id.write_direct_chunk((0,), zlib.compress(b"\0" * 2**20))
h5("chunk_of_a_gigabyte", chunk_bomb)
h5("many_groups", lambda f: [f.create_group(f"uns/g{i}") for i in range(5000)])
def padded(f): put(f, "uns/pad", np.random.default_rng(5).integers(0, 255, 3 << 20).astype("u1"))
h5("large", padded)
whole = open(path("h5/large.h5ad"), "rb").read(); small = open(path("h5/gone_obs_kind_codes.h5ad"), "rb").read()
for i in range(60):                                     # damage of the structure, below and above 2 MB
    b = bytearray(whole if i % 3 == 0 else small)
    for _ in range(1 + i % 7): b[random.randrange(8, min(len(b), 24000))] = random.choice((0, 255, 127, random.randrange(256)))
    data(write(f"h5/damaged_{i}.h5ad", b), (0, 2, 3, 7))
for cut in (0, 7, 8, 100, 2000, len(small) // 2, len(small) - 1): data(write(f"h5/cut_{cut}.h5ad", small[:cut]))
# ---- mtx ----
def mtx(name, m, feat=b"G1\tG1\nG2\tG2\n", bar=b"C1\nC2\n", codes=(3,)):
    for n, v in (("matrix.mtx.gz", m), ("features.tsv.gz", feat), ("barcodes.tsv.gz", bar)): write(f"mtx/{name}/{n}", v if v[:2] == b"\x1f\x8b" else gzip.compress(v))
    data(path("mtx/" + name), codes)
head = b"%%MatrixMarket matrix coordinate integer general\n"
for k, v in {"huge": b"2 2 99999999999999\n1 1 1\n", "wide": b"99999999999 2 1\n1 1 1\n", "negative": b"-2 2 1\n1 1 1\n", "zero_index": b"2 2 1\n0 1 1\n", "above": b"2 2 1\n3 1 1\n", "more": b"2 2 1\n1 1 1\n2 2 1\n",
             "less": b"2 2 3\n1 1 1\n", "word": b"2 2 1\n1 x 1\n", "overflow": b"2 2 1\n18446744073709551617 1 1\n", "nothing": b"", "zeros": b"\0" * 1000, "nan": b"2 2 1\n1 1 nan\n", "huge_value": b"2 2 1\n1 1 1e999\n"}.items(): mtx(k, head + v, codes=(0, 2, 3, 7) if k in ("nan", "huge_value", "more", "less") else (3,))
mtx("bomb", gzip.compress(head + b"%" * (300 << 20)))
mtx("bomb_features", head + b"2 2 1\n1 1 1\n", feat=gzip.compress(b"A" * (300 << 20)))
mtx("bomb_lines", head + b"2 2 1\n1 1 1\n", bar=gzip.compress(b"\n" * (200 << 20)))
mtx("cut", gzip.compress(head + b"2 2 1\n1 1 1\n")[:-10])
# ---- zarr ----
def zarr(name, entries, codes=(0, 2, 3, 7)):
    z = zipfile.ZipFile(path(f"zarr/{name}.zarr.zip"), "w", zipfile.ZIP_DEFLATED)
    for k, v in entries.items(): z.writestr(k, v if isinstance(v, (str, bytes)) else json.dumps(v))
    z.close(); data(path(f"zarr/{name}.zarr.zip"), codes)
def array(n, **kw): return {**dict(zarr_format=2, shape=[n], chunks=[n], dtype="<i4", compressor=None, fill_value=0, filters=None, order="C"), **kw}
def frame(**kw):
    e = {".zgroup": {"zarr_format": 2}, ".zattrs": {"encoding-type": "anndata", "encoding-version": "0.1.0"}}
    for g in ("obs", "var"):
        e[g + "/.zgroup"] = {"zarr_format": 2}; e[g + "/.zattrs"] = {"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index", "column-order": ["kind"]}
        e[g + "/_index/.zarray"] = array(3); e[g + "/_index/0"] = b"\1\0\0\0" * 3; e[g + "/kind/.zarray"] = array(3); e[g + "/kind/0"] = b"\1\0\0\0" * 3
    e.update(kw); return e
for k, v in {"shape_huge": array(2**62), "shape_negative": array(-3), "chunks_zero": array(3, chunks=[0]), "chunks_huge": array(3, chunks=[2**61]), "rank": array(3, shape=[1] * 300, chunks=[1] * 300), "dtype": array(3, dtype="<i400"), "dtype_text": array(3, dtype="<U999999999"),
             "dtype_list": array(3, dtype=[["a", "<i4"]]), "shape_text": array(3, shape="3"), "shape_float": array(3, shape=[1e300]), "compressor": array(3, compressor={"id": "blosc", "cname": "x" * 5000}), "filters": array(3, filters=[{"id": "delta"}] * 5000),
             "fill": array(3, fill_value={"a": []}), "separator": array(3, dimension_separator="/../"), "nested": "[" * 100000, "objects": '{"a":' * 50000, "cut": '{"zarr_format":2,', "empty": "", "null": "null"}.items():
    zarr("array_" + k, frame(**{"obs/kind/.zarray": v})); zarr("index_" + k, frame(**{"obs/_index/.zarray": v}))
    zarr("root_" + k, {".zgroup": v if isinstance(v, str) else json.dumps(v)}, (0, 2, 3, 7))
for c in ("gzip", "zlib", "zstd", "lz4", "blosc"):
    zarr("chunk_" + c, frame(**{"obs/kind/.zarray": array(3, compressor={"id": c, "level": 1}), "obs/kind/0": os.urandom(64)}))
    zarr("lying_" + c, frame(**{"obs/kind/.zarray": array(3, compressor={"id": c, "level": 1}), "obs/kind/0": b"\xff\xff\xff\x7f" * 8}))
zarr("gzip_bomb", frame(**{"obs/kind/.zarray": array(3, compressor={"id": "gzip", "level": 9}), "obs/kind/0": gzip.compress(b"\0" * (400 << 20))}))
zarr("zip_bomb", frame(**{"obs/kind/0": b"\0" * (700 << 20)}))
zarr("zip_bomb_text", frame(**{"obs/.zattrs": b" " * (700 << 20)}))
zarr("climb", frame(**{"../../etc/x": "x", "obs/_index/.zattrs": {"a": "../" * 4000}}))
# ---- running ----
def limits(): resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
bad = runs = 0
only = sys.argv[3] if len(sys.argv) > 3 else ""
for p, commands, codes in files:
    if only and only not in p: continue
    for c in commands:
        began = time.time(); runs += 1
        r = subprocess.Popen([program] + c, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=limits, env={**os.environ, "XDG_CACHE_HOME": path("cache/x"), "OMP_NUM_THREADS": "1"})
        said, why = b"", ""
        try: said = r.communicate(timeout=90)[1]
        except subprocess.TimeoutExpired: r.kill(); r.communicate(); why = "never ends"
        took = time.time() - began; lines = [x for x in said.decode("utf8", "replace").splitlines() if not x.startswith(("scmmgpt: warning", "warning"))]
        if not why and r.returncode not in codes: why = f"exit {r.returncode}, allowed {codes}"
        if not why and r.returncode and len([x for x in lines if x.startswith("scmmgpt:")]) != 1: why = "not one line"
        if b"Sanitizer" in said or b"runtime error" in said: why = "sanitizer"
        if not why and b"\x1b" in said: why = "escapes reach the terminal"
        if not why and took > 20: why = f"{took:.0f} s"
        if why: bad += 1; print(f"{os.path.relpath(p, scratch)} {c[0]}: {why}: {' | '.join(lines)[:300]}", flush=True)
print(f"{len(files)} files, {runs} runs, {bad} wrong; most memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MB")
sys.exit(bad > 0)
