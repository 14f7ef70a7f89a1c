"""Hostile checkpoints, each imported by the program: none may be taken, crash, run anything, need more than 1 GB or 5 s, leave an output, or be
answered with anything but exit code 4 and one line. usage: hostile_weights.py PROGRAM SCRATCH [PART OF A NAME]; SLOW=20 allows twenty
times the time and any memory (sanitizers); CORPUS=tests/fuzz/corpus puts the small ones there instead. Built by hand, seed 5; 0 of N wrong
is the only good answer."""
import io, json, os, pickle, random, shutil, struct, subprocess, sys, time, zipfile, zlib
program, scratch = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]); only = sys.argv[3] if len(sys.argv) > 3 else ""
slow = float(os.environ.get("SLOW", "1")); r = random.Random(5)
shutil.rmtree(scratch, ignore_errors=True); os.makedirs(scratch)
ran, out = os.path.join(scratch, "ran"), os.path.join(scratch, "bundle")
bad = runs = most = 0; longest = (0, "")

def seed(name, files):
    """What the fuzz targets start from: weights as they are, tokenizers behind their kind and an empty text."""
    for k, lead in {"pytorch_model.bin": b"", "model.safetensors": b"", "tokenizer.json": b"\1\0", "tokenizer.model": b"\0\0", "vocab.json": b"\xfe\0"}.items():
        v = files.get(k); v = v.encode() if isinstance(v, str) else v
        if k == "vocab.json" and v: v += b"\0" + (files["merges.txt"] if isinstance(files["merges.txt"], bytes) else files["merges.txt"].encode())
        if v and len(v) < 700 and not name.startswith(("zip_pickle", "zip_end", "zip_directory", "config")) and not (k == "tokenizer.model" and name.startswith("added")):
            open(os.path.join(os.environ["CORPUS"], "tokens" if lead else "ckpt", "hostile_" + name), "wb").write(lead + v)

def check(name, kind, files):
    """kind: the option of import; files: name -> bytes or text of the folder, or of the one file of --lightning."""
    global bad, runs, most, longest
    if only not in name: return
    if "CORPUS" in os.environ: return seed(name, files)
    d = os.path.join(scratch, "w"); shutil.rmtree(d, ignore_errors=True); os.makedirs(d)
    for k, v in files.items():
        if v is not None: open(os.path.join(d, k), "wb").write(v.encode() if isinstance(v, str) else v)
    source = os.path.join(d, "f.ckpt") if kind == "lightning" else d
    began = time.time(); log = open(os.path.join(scratch, "err"), "wb+")
    p = subprocess.Popen([program, "import", "-q"] + (extra_args.get(kind) or []) + ["--" + kind, source, "-o", out], stdout=subprocess.DEVNULL, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    why = ""
    while True:
        pid, status, use = os.wait4(p.pid, os.WNOHANG)
        if pid: break
        if time.time() - began > 12 * slow: p.kill(); os.wait4(p.pid, 0); why, use = "never ends", None; break
        time.sleep(.002)
    took = time.time() - began; log.seek(0); said = log.read().decode("utf8", "replace"); code = os.waitstatus_to_exitcode(status) if use else 0
    memory = use.ru_maxrss >> 10 if use else 0
    runs += 1; longest = max(longest, (took, name)); most = max(most, memory)
    if not why and code != 4: why = f"exit {code}"
    elif not why and (said.count("\n") != 1 or "\x1b" in said): why = "not one plain line"
    elif not why and took > 5 * slow: why = f"{took:.1f} s"
    elif not why and slow == 1 and memory > 1024: why = f"{memory} MB"
    if "Sanitizer" in said or "runtime error" in said: why = "sanitizer"
    if os.path.exists(out): why = "output left"; shutil.rmtree(out, ignore_errors=True)
    if os.path.exists(ran): why = "a command was run"; os.remove(ran)
    if why: bad += 1; print(f"{name}: {why}: {said.strip()[:300]}", flush=True)
    elif os.environ.get("SHOW"): print(f"{name}: {took:.2f} s {memory} MB: {said.strip()[:200].replace(scratch, '')}")

# ---- a sound Llama, scGPT and BERT to begin with ----
config = dict(model_type="llama", vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, rms_norm_eps=1e-5)
names = {"model.embed_tokens.weight": [8, 8], "lm_head.weight": [8, 8], "model.norm.weight": [8]}
names.update({f"model.layers.0.self_attn.{x}_proj.weight": [8, 8] for x in "qkvo"}); names.update({f"model.layers.0.mlp.{x}_proj.weight": [8, 8] for x in ("gate", "up", "down")})
names.update({f"model.layers.0.{x}_layernorm.weight": [8] for x in ("input", "post_attention")})
def product(s):
    n = 1
    for x in s: n *= x
    return n
def header():
    h, at = {}, 0
    for k, s in names.items(): h[k] = dict(dtype="F32", shape=s, data_offsets=[at, at + 4 * product(s)]); at += 4 * product(s)
    return h, at
def pack(head, data=b"", length=None):
    head = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(head) if length is None else length) + head + data
def sound(change=None):
    h, n = header()
    if change: h = change(h) or h
    return pack(h, b"\0" * n)
def llama(name, weights=None, settings=config, file="model.safetensors", **more):
    check(name, "llama", {"config.json": settings if isinstance(settings, (str, bytes)) else json.dumps(settings), file: sound() if weights is None else weights, **{k.replace("__", "."): v for k, v in more.items()}})
extra_args = {"adapter": ["--llama", os.path.join(scratch, "base")]}
os.makedirs(os.path.join(scratch, "base")); open(os.path.join(scratch, "base/config.json"), "w").write(json.dumps(config)); open(os.path.join(scratch, "base/model.safetensors"), "wb").write(sound())
if subprocess.run([program, "import", "-q", "--llama", os.path.join(scratch, "base"), "-o", out], stdout=subprocess.DEVNULL).returncode: sys.exit("the sound one is refused")
shutil.rmtree(out)

# ---- safetensors ----
x = "model.norm.weight"
def put(**kw): return lambda h: h[x].update(kw)
for tag, c in dict(beyond=put(data_offsets=[0, 2**40]), negative=put(data_offsets=[-8, 24]), overlap=put(data_offsets=[0, 32]), swapped=put(data_offsets=[32, 0]), one=put(data_offsets=[0]), three=put(data_offsets=[0, 32, 64]), words=put(data_offsets=["0", "32"]), fraction=put(data_offsets=[0.5, 32.5]), nothing=put(data_offsets=None), wrap=put(data_offsets=[2**64 - 32, 2**64]),
                   shape_huge=put(shape=[2**62, 4]), shape_overflow=put(shape=[2**32, 2**32]), shape_wrap=put(shape=[2**63, 2]), shape_negative=put(shape=[-8]), shape_rank=put(shape=[1] * 999 + [8]), shape_float=put(shape=[8.5]), shape_text=put(shape="8"), shape_none=put(shape=None), shape_nested=put(shape=[[8]]), shape_zero_huge=put(shape=[0, 2**63]), shape_true=put(shape=[True] * 8),
                   dtype_unknown=put(dtype="F33"), dtype_f8=put(dtype="F8_E4M3", shape=[32]), dtype_f4=put(dtype="F4", shape=[64]), dtype_c64=put(dtype="C64", shape=[4]), dtype_number=put(dtype=4), dtype_long=put(dtype="F" * 10**6), gone=lambda h: h.pop(x) and None, entry_list=lambda h: h.update({x: []}), entry_null=lambda h: h.update({x: None}),
                   metadata_number=lambda h: h.update(__metadata__={"a": 1}), metadata_list=lambda h: h.update(__metadata__=[]), many=lambda h: h.update({f"n{i}": h[x] for i in range(20000)})).items(): llama("safetensors_" + tag, sound(c))
h, n = header(); text = json.dumps(h)
for tag, b in dict(length=pack("{}".encode(), length=2**63), length_100m=pack(b"{}", length=10**8), length_over=pack(b"{}", length=100_000_001), zero=b"\0" * 8, empty=b"", short=b"\1\2", cut=sound()[:-5], tail=sound() + b"x" * 9, nested=pack(b"[" * 10**6), objects=pack(b'{"a":' * 200000 + b"1" + b"}" * 200000), commas=pack(b"0," * (5 * 10**7)), spaces=pack(b"{" + b" " * (9 * 10**7) + b"}"),
                   entries=pack(("{" + ",".join(f'"t{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(900000)) + "}").encode()), long_name=pack(json.dumps({"a" * 5000000: dict(dtype="F32", shape=[1], data_offsets=[0, 4])}).encode(), b"0000"), twice=pack((text[:-1] + f', "{x}": ' + json.dumps(h[x]) + "}").encode(), b"\0" * n),
                   nul=pack(b'{"a\\u0000b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"0000"), escapes=pack(b'{"a\\n\\u001b[31m":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', b"0000"), utf8=pack(b'{"\xff\xfe":{}}'), surrogate=pack(b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', b"0000"), number=pack(b'{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,4]}}', b"0000"),
                   digits=pack(b'{"a":{"dtype":"F32","shape":[' + b"9" * 10**6 + b'],"data_offsets":[0,4]}}', b"0000"), array=pack(b"[]"), string=pack(b'"{}"'), trailing=pack(b"{}x"), comment=pack(b"{/**/}"), bom=pack(b"\xef\xbb\xbf{}")).items(): llama("safetensors_" + tag, b)
for i in range(20):
    b = bytearray(sound())
    for _ in range(3): b[r.randrange(len(text))] = r.randrange(256)
    b[8] = ord("[")
    llama(f"safetensors_noise_{i}", bytes(b))
for tag, v in dict(climb="../../../etc/passwd", root="/etc/passwd", missing="no.safetensors", number=3, empty="", dot=".", none=None, back="..\\x", long="a" * 10**5, itself="model.safetensors.index.json").items(): llama("index_" + tag, b"x", file="unused", model__safetensors__index__json=json.dumps({"weight_map": {k: v for k in names}}))
for tag, v in dict(nothing={}, list={"weight_map": []}, text={"weight_map": "x"}, empty={"weight_map": {}}).items(): llama("index_" + tag, b"x", file="unused", model__safetensors__index__json=json.dumps(v))
llama("index_lies", None, model__safetensors=None, file="a.safetensors", model__safetensors__index__json=json.dumps({"weight_map": {**{k: "a.safetensors" for k in names}, "not.there": "a.safetensors"}}))
llama("index_deep", b"x", file="unused", model__safetensors__index__json="[" * 10**6)

# ---- pickles, bare and in a zip ----
class Bad:
    def __init__(self, f, *a): self.f, self.a = f, a
    def __reduce__(self): return self.f, self.a
def zipped(p, extra=(), method=zipfile.ZIP_STORED, top="archive"):
    b = io.BytesIO(); z = zipfile.ZipFile(b, "w", method); z.writestr(top + "/data.pkl", p); z.writestr(top + "/version", "3\n"); z.writestr(top + "/data/0", b"\0" * 64)
    for k, v in extra: z.writestr(k, v)
    z.close(); return b.getvalue()
def touch(): return "touch " + ran
laughs = b"\x80\x02]q\x00X\x02\x00\x00\x00aaa" + b"".join(b"]q" + bytes([i]) + b"(" + (b"h" + bytes([i - 1])) * 10 + b"e" for i in range(1, 60)) + b"."
u = lambda s: b"X" + struct.pack("<I", len(s)) + s.encode()
command = u(touch())
pickles = dict(system=pickle.dumps(Bad(os.system, touch()), 2), system4=pickle.dumps(Bad(os.system, touch()), 4), popen=pickle.dumps(Bad(subprocess.Popen, touch()), 2), eval=b"\x80\x02c__builtin__\neval\n" + command + b"\x85R.", exec=b"\x80\x02cbuiltins\nexec\n" + command + b"\x85R.", inst=b"(" + command + b"ios\nsystem\n.", obj=b"(cos\nsystem\n" + command + b"o.", getattr=b"\x80\x02cbuiltins\ngetattr\n(cos\nsystem\n" + u("x") + b"tR.",
               stack_global=b"\x80\x04" + b"\x8c\x02os\x8c\x06system\x93" + command + b"\x85R.", dotted=b"\x80\x04\x8c\x0bcollections\x8c\x1aOrderedDict.__init__.__self\x93.", torch_load=b"\x80\x02ctorch\nload\n" + u("/etc/passwd") + b"\x85R.", hub=b"\x80\x02ctorch.hub\nload\n)R.", numpy_load=b"\x80\x02cnumpy\nload\n" + u("x") + b"\x85R.", newobj=b"\x80\x02cos\nsystem\n" + command + b"\x85\x81.", newobj_ex=b"\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92.", ext=b"\x80\x02\x82\x01.", persid=b"P0\n.",
               build_call=b"\x80\x02ccollections\nOrderedDict\n)R}" + u("__reduce__") + b"cos\nsystem\nsb.", reduce_text=b"\x80\x02" + u("os.system") + command + b"\x85R.", reduce_dict=b"\x80\x02}" + command + b"\x85R.", storage_call=b"\x80\x02ctorch\nFloatStorage\n)R.", dtype_call=b"\x80\x02ctorch\nfloat32\n)R.", global_cut=b"\x80\x02cos\nsys", global_long=b"\x80\x02c" + b"a" * 10**6 + b"\n" + b"b" * 10**6 + b"\n.", global_escape=b"\x80\x02c\x1b[2J\n\x1b]0;x\x07\n.",
               nested=b"\x80\x02" + b"]" * 10**6 + b".", appended=b"\x80\x02" + b"]" * 2000000 + b"a" * 1999999 + b".", memo=b"\x80\x02]r\xff\xff\xff\x7f.", memo_far=b"\x80\x02" + b"]r\xff\x08\x3d\x00" * 100 + b".", memo_miss=b"\x80\x02h\x09.", dup=b"\x80\x02]" + b"2" * 10**6 + b".", marks=b"\x80\x02" + b"(" * 10**6 + b"t.", long=b"\x80\x02\x8b\xff\xff\xff\x7f", text_long=b"\x80\x02X\xff\xff\xff\xff", text8=b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.", bytearray8=b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.",
               buffer=b"\x80\x05\x97.", stop=b".", nothing=b"", none=b"\x80\x02N.", number=b"\x80\x02K\x01.", tuples=b"\x80\x02)" + b"2\x86" * 100000 + b".", cycle=b"\x80\x02]q\0h\0a.", dict_cycle=b"\x80\x02}q\0" + u("a") + b"h\0s.", laughs=laughs, frame=b"\x80\x04\x95" + b"\xff" * 8, proto=b"\x80\x63.", underflow=b"\x80\x02" + b"0" * 9 + b".", odd=b"\x80\x02}(" + u("a") + b"u.", append_dict=b"\x80\x02}(" + u("a") + b"e.", set_list=b"\x80\x02]" + u("a") + b"Ns.", wide=b"\x80\x02(" + b"N" * 5000000 + b"l.", wide_list=b"\x80\x02](" + b"N" * 5000000 + b"e.")
for tag, p in pickles.items(): llama("pickle_" + tag, p, file="pytorch_model.bin"); llama("zip_pickle_" + tag, zipped(p), file="pytorch_model.bin"); check("lightning_" + tag, "lightning", {"f.ckpt": zipped(p)})
def i(v): return b"J" + struct.pack("<i", v) if -2**31 <= v < 2**31 else b"\x8a\x09" + v.to_bytes(9, "little", signed=True)
def tensor(offset=0, size=(4,), stride=(1,), numel=16, key="0", kind="FloatStorage", word="storage", name="model.norm.weight", f="_rebuild_tensor_v2", more=b""):
    p = b"\x80\x02}" + u(name) + b"ctorch._utils\n" + f.encode() + b"\n((" + u(word) + b"ctorch\n" + kind.encode() + b"\n" + u(key) + u("cpu") + i(numel) + more + b"tQ" + i(offset) + b"(" + b"".join(map(i, size)) + b"t(" + b"".join(map(i, stride)) + b"t\x89ccollections\nOrderedDict\n)RtRs."
    return zipped(p)
for tag, kw in dict(offset=dict(offset=20), offset_negative=dict(offset=-1), offset_huge=dict(offset=2**62), stride=dict(stride=(9,)), stride_negative=dict(offset=3, stride=(-1,)), stride_huge=dict(size=(4, 4), stride=(2**62, 1)), strides=dict(stride=(1, 1)), size_negative=dict(size=(-2,)), sizes=dict(size=(2**40, 2**40), stride=(0, 0)), repeat=dict(size=(2**33,), stride=(0,)), rank=dict(size=(1,) * 100, stride=(1,) * 100), numel=dict(numel=2**60), numel_negative=dict(numel=-1), key_path=dict(key="../0"), key_missing=dict(key="7"), key_long=dict(key="0" * 100),
                    word=dict(word="module"), kind_quantised=dict(kind="QInt8Storage"), kind_complex=dict(kind="ComplexFloatStorage"), kind_module=dict(kind="load"), quantised=dict(f="_rebuild_qtensor"), sparse=dict(f="_rebuild_sparse_tensor"), nested=dict(f="_rebuild_nested_tensor"), device=dict(f="_rebuild_device_tensor_from_numpy"), wrapper=dict(f="_rebuild_wrapper_subclass"), view=dict(more=b"(" + u("1") + i(0) + i(4) + b"t"), name_nul=dict(name="a\0b"), name_long=dict(name="a" * 5000)).items(): llama("tensor_" + tag, tensor(**kw), file="pytorch_model.bin")

# ---- zips ----
t = zipped(b"\x80\x02}."); end = len(t) - 22
for k in range(4, 22):
    for v in (0xff, 0x7f): b = bytearray(t); b[end + k] = v; llama(f"zip_end_{k}_{v}", bytes(b), file="pytorch_model.bin")
directory = struct.unpack_from("<I", t, end + 16)[0]
for k in range(4, 46):
    if k in (5, 4, 6, 7): continue                     # versions say nothing
    b = bytearray(t); b[directory + k] ^= 0x7f; llama(f"zip_directory_{k}", bytes(b), file="pytorch_model.bin")
full = sound()
def end64(entries, size, offset): return struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, size, offset) + struct.pack("<4sIQI", b"PK\6\7", 0, directory + (end - directory), 1)
for tag, b in dict(bomb=zipped(b"\x80\x02}.", [("archive/data/1", b"\0" * (300 << 20))], zipfile.ZIP_DEFLATED), bomb_pickle=zipped(b"\x80\x02" + b"N0" * (40 << 20) + b".", method=zipfile.ZIP_DEFLATED), large_pickle=zipped(b"\x80\x02" + b"N0" * (40 << 20) + b"."), twice=zipped(b"\x80\x02}.", [("archive/data.pkl", b"\x80\x02}.")]), two=zipped(b"\x80\x02}.", [("other/data.pkl", b"\x80\x02}.")]), absolute=zipped(b"\x80\x02}.", top="/etc"), climb=zipped(b"\x80\x02}.", top="../.."), script=zipped(b"\x80\x02}.", [("archive/constants.pkl", b"}.")]), big=zipped(b"\x80\x02}.", [("archive/byteorder", b"big")]),
                   none=zipped(b"\x80\x02}.")[:end], no_pickle=zipped(b"\x80\x02}.").replace(b"data.pkl", b"dato.pkl"), cut=t[:len(t) // 2], tail=t + b"x", comment=t[:end + 20] + b"\xff\xff", many=t[:directory] + t[directory:end] * 30000 + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xffff, 0xffff, (end - directory) * 30000 & 0xffffffff, directory, 0),
                   zip64_huge=t[:end] + end64(2**60, 2**60, 0) + t[end:], zip64_far=t[:end] + end64(3, end - directory, 2**62) + t[end:], zip64_itself=t[:end] + struct.pack("<4sIQI", b"PK\6\7", 0, end, 1) + t[end:], start=b"PK\3\4" + r.randbytes(3000000), nested=zipped(t)).items(): llama("zip_" + tag, b, file="pytorch_model.bin")
z = zipfile.ZipInfo("archive/data/1"); z.external_attr = 0o120777 << 16; llama("zip_symlink", zipped(b"\x80\x02}.", [(z, "/etc/passwd")]), file="pytorch_model.bin")
b = bytearray(t); second = b.find(b"PK\1\2", directory + 4); b[second + 42:second + 46] = b[directory + 42:directory + 46]; llama("zip_overlap", bytes(b), file="pytorch_model.bin")
for tag, b in dict(tar=b"\0" * 257 + b"ustar" + b"\0" * 1000, text=b"hello, this is no checkpoint", zeros=b"\0" * 10**5, gzip=zlib.compress(full), hdf5=b"\x89HDF\r\n\x1a\n" + b"\0" * 99, gguf=b"GGUF\3\0\0\0" + b"\0" * 99).items(): llama("file_" + tag, b, file="pytorch_model.bin")
magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
for tag, b in dict(magic=magic, protocol=magic + b"\x80\x02K\x09.", endless=magic * 1000, keys=magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}" + u("little_endian") + b"\x88s." + b"\x80\x02}." + b"\x80\x02](" + u("0") * 10000 + b"e.", sizes=magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}" + u("little_endian") + b"\x88s." + tensor()[tensor().find(b"\x80\x02}"):tensor().find(b"RtRs.") + 5] + b"\x80\x02](" + u("0") + b"e." + b"\xff" * 8).items(): llama("legacy_" + tag, b, file="pytorch_model.bin")

# ---- settings ----
for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "rope_theta", "rms_norm_eps", "max_position_embeddings", "eos_token_id", "bos_token_id"):
    for tag, v in dict(nan=float("nan"), inf=float("inf"), zero=0, less=-1, huge=1e300, big=2**31, odd=3, text="8", many=[1] * 100000).items():
        if (tag == "zero" and key in ("eos_token_id", "bos_token_id", "rms_norm_eps")) or (tag == "odd" and key in ("rope_theta", "rms_norm_eps", "max_position_embeddings", "eos_token_id", "bos_token_id")) or (key == "rope_theta" and tag in ("big", "huge")): continue
        llama(f"config_{key}_{tag}", settings={**config, key: v})
for tag, v in dict(deep="[" * 100000, cut='{"model_type":', null="null", empty="", list="[]", zero=b"\0" * 999, utf8=b'{"\xff":1}', layers=json.dumps({**config, "num_hidden_layers": 10**6}), scaling=json.dumps({**config, "rope_scaling": {"type": "yarn", "factor": 2}}), scaling_text=json.dumps({**config, "rope_scaling": "linear"}), factor=json.dumps({**config, "rope_scaling": {"type": "linear", "factor": 0}}), act=json.dumps({**config, "hidden_act": "relu"}), kind=json.dumps({**config, "model_type": "gpt2"})).items(): llama("config_" + tag, settings=v)
base = os.path.dirname(os.path.abspath(__file__)) + "/../golden/ckpt/"
def golden(kind, file, text):
    files = {f: open(base + kind + "/" + f, "rb").read() for f in os.listdir(base + kind)}; files[file] = text; return files
genes = json.load(open(base + "scgpt/vocab.json")); args = json.load(open(base + "scgpt/args.json")); bert = json.load(open(base + "bert/config.json")); lora = json.load(open(base + "adapter/adapter_config.json"))
for tag, v in dict(beyond={**genes, "X": 10**6}, negative={**genes, "X": -1}, fraction={**genes, "X": .5}, text={**genes, "X": "1"}, huge={**genes, "X": 1e300}, list=[], empty={}, deep="[" * 10**5, cut='{"A":').items(): check("genes_" + tag, "scgpt", golden("scgpt", "vocab.json", v if isinstance(v, str) else json.dumps(v)))
for key in ("embsize", "nheads", "d_hid", "nlayers"):
    for tag, v in dict(zero=0 if key != "nlayers" else -5, less=-1, huge=1e300, big=2**31, text="8", nan=float("nan"), list=[1]).items(): check(f"args_{key}_{tag}", "scgpt", golden("scgpt", "args.json", json.dumps({**args, key: v})))
for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size", "layer_norm_eps"):
    for tag, v in dict(less=-1, huge=1e300, text="8", nan=float("nan"), list=[1]).items(): check(f"bert_{key}_{tag}", "bert", golden("bert", "config.json", json.dumps({**bert, key: v})))
for tag, v in dict(nul="[PAD]\0[UNK]\n", none="a\nb\n", empty="", binary=r.randbytes(10**5), many="[PAD]\n[UNK]\n[CLS]\n[SEP]\n" + "x\n" * 10**6).items(): check("vocab_" + tag, "bert", golden("bert", "vocab.txt", v))
for tag, kw in dict(type={"peft_type": "IA3"}, rank={"r": 0}, rank_text={"r": "8"}, rank_huge={"r": 1e300}, pattern={"rank_pattern": {"(": 4}}, pattern_repeat={"rank_pattern": {"((a{1,99}){1,99}){1,99}": 4}}, pattern_long={"alpha_pattern": {"(a|" * 9999: 4}}, pattern_text={"alpha_pattern": {"q_proj": "x"}}).items(): check("adapter_" + tag, "adapter", golden("adapter", "adapter_config.json", json.dumps({**lora, **kw})))

# ---- tokenizers ----
bpe = lambda **kw: json.dumps({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}, **kw})
for tag, v in dict(deep="[" * 10**5, cut='{"model":', empty="", list="[]", nothing="{}", numbers='{"model":{"type":"BPE","vocab":{"a":-1,"b":99999999999,"c":1e300},"merges":[]}}', merges='{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","zz"],["",""]]}}', merge_three='{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","a","a"]]}}', merge_number='{"model":{"type":"BPE","vocab":{"a":0},"merges":[1]}}', ids='{"model":{"type":"BPE","vocab":{"a":4000000},"merges":[]}}', beyond='{"model":{"type":"BPE","vocab":{"a":8},"merges":[]}}', unigram='{"model":{"type":"Unigram","vocab":[]}}', wordlevel='{"model":{"type":"WordLevel","vocab":{}}}',
                   added=bpe(added_tokens=[{"id": 10**6, "content": "x"}]), added_negative=bpe(added_tokens=[{"id": -1, "content": "x"}]), added_many=bpe(added_tokens=[{"id": 8 + k, "content": f"<{k}>"} for k in range(300000)]), added_number=bpe(added_tokens=[3]), normalizer=bpe(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}), replace=bpe(normalizer={"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": "b"}), sequence=bpe(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 10000}), nested=bpe(pre_tokenizer=json.loads('{"type":"Sequence","pretokenizers":[' * 20 + "]}" * 20)), split=bpe(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a*)*b"}, "behavior": "Isolated"}),
                   post=bpe(post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}] * 100, "special_tokens": {"x": {"ids": [99]}}}), post_many=bpe(post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}] * 100, "special_tokens": {"x": {"ids": [1]}}}), decoder=bpe(decoder={"type": "CTC"}), strip=bpe(decoder={"type": "Strip", "content": "a", "start": 1e300, "stop": 0}), dropout='{"model":{"type":"BPE","dropout":0.5,"vocab":{"a":0},"merges":[]}}').items(): llama("tokenizer_" + tag, tokenizer__json=v)
piece = lambda s, score=0.0, kind=1: b"\x0a" + (lambda m: bytes([len(m)]) + m)(b"\x0a" + bytes([len(s)]) + s.encode() + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind]))
model = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("a")
for tag, v in dict(random=r.randbytes(999), length=b"\x0a\xff\xff\xff\xff\x0f", varint=b"\xff" * 99, nested=b"\x0a\x7f" * 50, zero=b"", group=b"\x0b" * 1000, unigram=model + b"\x12\x02\x18\x01", word=model + b"\x12\x02\x18\x03", charsmap=model + b"\x12\x02\x18\x02" + b"\x1a\x05\x12\x03abc", suffix=model + b"\x12\x05\x18\x02\xc0\x01\x01", specials=model + b"\x12\x08\x18\x02\xc0\x02\xff\xff\x7f", many=b"\x0a\x00" * 5000000, beyond=model + b"".join(piece(f"p{k}") for k in range(9)) + b"\x12\x02\x18\x02").items(): llama("spm_" + tag, tokenizer__model=v)
for tag, (v, m) in dict(beyond=('{"a":0,"b":9}', "a b\n"), merges=('{"a":0,"b":1}', "a b\n"), words=('{"a":0}', "a\n"), list=("[]", "a b\n"), cut=('{"a":', "a b\n"), ids=('{"a":-5}', ""), binary=('{"a":0}', r.randbytes(9999))).items(): llama("merges_" + tag, vocab__json=v, merges__txt=m)
for tag, v in dict(beyond={"9": {"content": "x"}}, words={"x": {"content": "x"}}, huge={"99999999999999999999": {"content": "x"}}, none={"3": {}}).items(): llama("added_" + tag, tokenizer__model=model + b"\x12\x02\x18\x02", tokenizer_config__json=json.dumps({"added_tokens_decoder": v}))

print(f"{bad} of {runs} wrong; most memory {most} MB, longest {longest[0]:.1f} s ({longest[1]})")
sys.exit(bad > 0)
