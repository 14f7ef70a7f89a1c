"""Hostile files, each run through the program: none may crash, hang, take more than 1 GB or 5 s (data: 20 s of wall), or be
answered with anything but one line and the exit code of its kind (data 3, weights 4; 0 where the rest of a file is sound).
usage: hostile.py PROGRAM SCRATCH    Made with h5py 3 and zarr's layouts by hand, seed 5."""
import gzip, io, json, os, pickle, random, resource, struct, subprocess, sys, time, zipfile, zlib
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
# ---- weights ----
def weights(folder, kind="llama"):
    files.append((folder, [["import", "--" + kind, folder, "-o", os.path.join(scratch, "bundle"), "--force"]], (4,)))
good = dict(model_type="llama", vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, rms_norm_eps=1e-5)
names = {"model.embed_tokens.weight": [8, 8], "lm_head.weight": [8, 8], "model.norm.weight": [8]}
names.update({f"model.layers.0.self_attn.{x}_proj.weight": [8, 8] for x in "qkvo"}); names.update({f"model.layers.0.mlp.{x}_proj.weight": [8, 8] for x in ("gate", "up", "down")})
names.update({f"model.layers.0.{x}_layernorm.weight": [8] for x in ("input", "post_attention")})
def st(change=None, tail=b""):
    h, at = {}, 0
    for k, s in names.items(): n = 4 * int(np.prod(s)); h[k] = dict(dtype="F32", shape=s, data_offsets=[at, at + n]); at += n
    if change: change(h)
    j = h if isinstance(h, bytes) else json.dumps(h).encode(); return struct.pack("<Q", len(j)) + j + b"\0" * at + tail
def llama(name, config=good, weight=None, file="model.safetensors", **extra):
    write(f"w/{name}/config.json", config if isinstance(config, (str, bytes)) else json.dumps(config)); write(f"w/{name}/{file}", st() if weight is None else weight)
    for k, v in extra.items(): write(f"w/{name}/" + k.replace("__", "."), v)
    weights(path("w/" + name))
for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "rope_theta", "rms_norm_eps", "max_position_embeddings", "eos_token_id", "bos_token_id"):
    for tag, v in dict(nan=float("nan"), inf=float("inf"), zero=0, less=-1, huge=1e300, big=2**31, odd=3, text="8", many=[1] * 100000).items():
        if (tag == "zero" and key in ("eos_token_id", "bos_token_id", "rms_norm_eps")) or (tag == "odd" and key in ("rope_theta", "rms_norm_eps", "max_position_embeddings", "eos_token_id", "bos_token_id")) or (key == "rope_theta" and tag in ("big", "huge")): continue
        llama(f"config_{key}_{tag}", {**good, key: v})
for tag, v in dict(deep="[" * 100000, cut='{"model_type":', null="null", empty="", list="[]", zero=b"\0" * 999, utf=b'{"\xff":1}').items(): llama("config_" + tag, v)
x = "model.norm.weight"
for tag, c in dict(beyond=lambda h: h[x].update(data_offsets=[0, 2**40]), negative=lambda h: h[x].update(data_offsets=[-8, 24]), overlap=lambda h: h[x].update(data_offsets=[0, 32]), swapped=lambda h: h[x].update(data_offsets=[32, 0]), huge=lambda h: h[x].update(shape=[2**62, 4]),
                   overflow=lambda h: h[x].update(shape=[2**32, 2**32]), rank=lambda h: h[x].update(shape=[1] * 999 + [8]), dtype=lambda h: h[x].update(dtype="F33"), gone=lambda h: h.pop(x), float=lambda h: h[x].update(shape=[8.5]), text=lambda h: h[x].update(shape="8"), many=lambda h: h.update({f"n{i}": h[x] for i in range(20000)})).items(): llama("st_" + tag, weight=st(c))
for tag, b in dict(length=struct.pack("<Q", 2**63) + b"{}", zero=b"\0" * 8, cut=st()[:-5], tail=st(tail=b"x" * 9), short=b"\1\2", nested=struct.pack("<Q", 100000) + b"[" * 100000, comma=struct.pack("<Q", 10**8) + b"0," * (5 * 10**7)).items(): llama("st_" + tag, weight=b)
class Bad:
    def __reduce__(self): return os.system, ("touch " + path("ran"),)
def torch_zip(p, extra=(), method=zipfile.ZIP_STORED):
    b = io.BytesIO(); z = zipfile.ZipFile(b, "w", method); z.writestr("archive/data.pkl", p); z.writestr("archive/version", "3\n")
    for k, v in extra: z.writestr(k, v)
    z.close(); return b.getvalue()
for tag, p in dict(system=pickle.dumps(Bad(), 2), nested=b"\x80\x02" + b"]" * 10**6 + b".", memo=b"\x80\x02]" + b"r\xff\xff\xff\x7f" * 10 + b".", dup=b"\x80\x02]" + b"2" * 10**6 + b".", mark=b"\x80\x02" + b"(" * 10**6 + b"t.", long=b"\x80\x02\x8b\xff\xff\xff\x7f", binunicode=b"\x80\x02X\xff\xff\xff\xff", stop=b".", none=b"",
                   double=b"\x80\x02(" + b"2" * 30 + b"l.", tuples=b"\x80\x02)" + b"2\x86" * 100000 + b".", cycle=b"\x80\x02]q\0h\0a.", dict_cycle=b"\x80\x02}q\0h\0h\0s.", frame=b"\x80\x04\x95" + b"\xff" * 8, proto=b"\x80\x63.", inst=b"(ios\nsystem\n.", getattr=b"\x80\x02cbuiltins\ngetattr\n.").items():
    llama("pickle_" + tag, weight=p, file="pytorch_model.bin"); llama("zip_" + tag, weight=torch_zip(p), file="pytorch_model.bin")
t = torch_zip(b"\x80\x02}.", [("archive/data/0", b"\0" * 64)])
llama("zip_deflated", weight=torch_zip(b"\x80\x02}." + b"\0" * (300 << 20), method=zipfile.ZIP_DEFLATED), file="pytorch_model.bin")
end = len(t) - 22
for i in range(4, 22):
    for v in (0xff, 0x7f):
        b = bytearray(t); b[end + i] = v; llama(f"zip_end_{i}_{v}", weight=bytes(b), file="pytorch_model.bin")
llama("index", weight=b"x", file="unused", model__safetensors__index__json=json.dumps({"weight_map": {k: "../../../etc/passwd" for k in names}}))
tok = dict(deep="[" * 10**5, cut='{"model":', empty="", numbers='{"model":{"type":"BPE","vocab":{"a":-1,"b":99999999999,"c":1e300},"merges":[]}}', twice='{"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":["a b"]}}', merges='{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","zz"],["",""]]}}', ids='{"model":{"type":"BPE","vocab":{"a":4000000},"merges":[]}}')
for tag, v in tok.items(): llama("tokenizer_" + tag, tokenizer__json=v)
for tag, v in dict(random=os.urandom(999), length=b"\x0a\xff\xff\xff\xff\x0f", varint=b"\xff" * 99, nested=b"\x0a\x7f" * 50, zero=b"").items(): llama("spm_" + tag, tokenizer__model=v)

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
if os.path.exists(path("ran")): bad += 1; print("a pickle ran a command")
print(f"{len(files)} files, {runs} runs, {bad} wrong; most memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MB")
sys.exit(bad > 0)
