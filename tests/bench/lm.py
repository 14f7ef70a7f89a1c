"""The language model beside llama.cpp and transformers: python tests/bench/lm.py [--cores 0,1] [--keep DIR]

Makes a Llama of random weights in TinyLlama's shape (1.1 billion, bf16, seed 0) and the same as GGUF (F16, Q8_0, Q4_0) in
a temporary folder, then on the same cores, one after another: ours (`scmmgpt bench --model`), llama.cpp
(llama-cpp-python and gguf; LLAMA_PYTHON is an interpreter that has them) and transformers in bf16 (PYTHON). Tokens a
second for a prompt of 256 tokens and for 32 tokens after it, the median of three runs; peers that are not there are named
and left out. --load also measures decoding while two other processes compute on the same cores.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("SCMMGPT", os.path.join(HERE, "../../build/scmmgpt"))
SHAPE = dict(layers=22, width=2048, heads=32, kv=4, ffn=5632, vocab=32000)
PROMPT, NEW, RUNS = int(os.environ.get("PROMPT", 256)), int(os.environ.get("NEW", 32)), int(os.environ.get("RUNS", 3))


def tensors(s=SHAPE):
    """(name, shape) of every parameter."""
    dim = s["width"] // s["heads"]
    yield "model.embed_tokens.weight", (s["vocab"], s["width"])
    for i in range(s["layers"]):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (s["width"],)
        yield p + "self_attn.q_proj.weight", (s["width"], s["width"])
        yield p + "self_attn.k_proj.weight", (s["kv"] * dim, s["width"])
        yield p + "self_attn.v_proj.weight", (s["kv"] * dim, s["width"])
        yield p + "self_attn.o_proj.weight", (s["width"], s["width"])
        yield p + "post_attention_layernorm.weight", (s["width"],)
        yield p + "mlp.gate_proj.weight", (s["ffn"], s["width"])
        yield p + "mlp.up_proj.weight", (s["ffn"], s["width"])
        yield p + "mlp.down_proj.weight", (s["width"], s["ffn"])
    yield "model.norm.weight", (s["width"],)
    yield "lm_head.weight", (s["vocab"], s["width"])


def values(rng, shape):
    """bf16 numbers as uint16: ones for a norm, else N(0, 0.02)."""
    import numpy as np

    if len(shape) == 1:
        return np.full(shape, 0x3F80, np.uint16)
    x = rng.standard_normal(shape, np.float32) * np.float32(0.02)
    return ((x.view(np.uint32) + 0x8000) >> 16).astype(np.uint16)


def make(folder):
    """config.json and model.safetensors, written tensor by tensor."""
    import numpy as np

    s, rng, at, head = SHAPE, np.random.default_rng(0), 0, {}
    for name, shape in tensors():
        size = int(np.prod(shape)) * 2
        head[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, shape in tensors():
            f.write(values(rng, shape).tobytes())
    config = dict(
        model_type="llama", architectures=["LlamaForCausalLM"], vocab_size=s["vocab"], hidden_size=s["width"],
        intermediate_size=s["ffn"], num_hidden_layers=s["layers"], num_attention_heads=s["heads"], num_key_value_heads=s["kv"],
        hidden_act="silu", max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False,
        bos_token_id=1, eos_token_id=2, torch_dtype="bfloat16",
    )
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)


def gguf(folder, kind, out):
    """The same weights for llama.cpp."""
    import gguf as g
    import numpy as np

    q = dict(F16=g.GGMLQuantizationType.F16, Q8_0=g.GGMLQuantizationType.Q8_0, Q4_0=g.GGMLQuantizationType.Q4_0)[kind]
    s, w = SHAPE, g.GGUFWriter(out, "llama")
    w.add_context_length(2048)
    w.add_embedding_length(s["width"])
    w.add_block_count(s["layers"])
    w.add_feed_forward_length(s["ffn"])
    w.add_head_count(s["heads"])
    w.add_head_count_kv(s["kv"])
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(s["width"] // s["heads"])
    w.add_rope_freq_base(10000.0)
    w.add_vocab_size(s["vocab"])
    w.add_file_type(dict(F16=1, Q8_0=7, Q4_0=2)[kind])
    w.add_tokenizer_model("no_vocab")
    names = g.get_tensor_name_map(g.MODEL_ARCH.LLAMA, s["layers"])
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(n))
        for name, shape in tensors():
            f.seek(8 + n + head[name]["data_offsets"][0])
            raw = np.frombuffer(f.read(int(np.prod(shape)) * 2), np.uint16)
            x = (raw.astype(np.uint32) << 16).view(np.float32).reshape(shape)
            if ".q_proj." in name or ".k_proj." in name:  # llama.cpp rotates neighbours, not halves
                h = s["heads"] if ".q_proj." in name else s["kv"]
                x = x.reshape(h, 2, shape[0] // h // 2, shape[1]).swapaxes(1, 2).reshape(shape)
            to = names.get_name(name, try_suffixes=(".weight",))
            if len(shape) == 1:
                w.add_tensor(to, x)
            else:
                w.add_tensor(to, g.quants.quantize(x, q), raw_dtype=q)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def report(name, prompt, decode):
    print(json.dumps({name: [statistics.median(prompt), statistics.median(decode)]}), flush=True)


def run_llama(path, threads):
    """In a process of its own: llama.cpp on one file."""
    import ctypes
    import numpy as np
    import llama_cpp as l

    quiet = l.llama_log_callback(lambda *a: None)
    l.llama_log_set(quiet, ctypes.c_void_p(0))
    l.llama_backend_init()
    m = l.llama_model_load_from_file(path.encode(), l.llama_model_default_params())
    p = l.llama_context_default_params()
    p.n_ctx, p.n_batch, p.n_ubatch, p.n_threads, p.n_threads_batch = 1024, 512, 512, threads, threads
    c = l.llama_init_from_model(m, p)
    ids = np.random.default_rng(1).integers(3, 30000, PROMPT).astype(np.int32)

    def decode(x):
        a = (l.llama_token * len(x))(*[int(i) for i in x])
        if l.llama_decode(c, l.llama_batch_get_one(a, len(x))):
            raise RuntimeError("llama_decode failed")
        return np.ctypeslib.as_array(l.llama_get_logits_ith(c, -1), (SHAPE["vocab"],))

    prompt, new = [], []
    decode(ids[:8])
    for _ in range(RUNS):
        l.llama_memory_clear(l.llama_get_memory(c), True)
        t = time.perf_counter()
        x = decode(ids)
        prompt.append(PROMPT / (time.perf_counter() - t))
        t = time.perf_counter()
        for _ in range(NEW):
            x = decode([int(np.argmax(x))])
        new.append(NEW / (time.perf_counter() - t))
    report(os.path.basename(path), prompt, new)


def run_transformers(folder, threads):
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    m = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    ids = torch.from_numpy(np.random.default_rng(1).integers(3, 30000, PROMPT))[None]
    prompt, new = [], []
    with torch.inference_mode():
        m(ids[:, :8])
        for _ in range(RUNS):
            t = time.perf_counter()
            o = m(ids, use_cache=True, logits_to_keep=1)
            prompt.append(PROMPT / (time.perf_counter() - t))
            t = time.perf_counter()
            for _ in range(NEW):
                o = m(o.logits[:, -1:].argmax(-1), past_key_values=o.past_key_values, use_cache=True)
            new.append(NEW / (time.perf_counter() - t))
    report("transformers bf16", prompt, new)


def peak(p, seen):
    """Largest resident and private memory of a running process so far, in MB."""
    try:
        with open(f"/proc/{p.pid}/status") as f:
            v = {x.split(":")[0]: x.split()[1] for x in f if x.startswith(("VmHWM", "RssAnon"))}
        seen[0] = max(seen[0], int(v["VmHWM"]) // 1024)
        seen[1] = max(seen[1], int(v["RssAnon"]) // 1024)
    except (OSError, KeyError):
        pass


def run(argv, o, quiet=True):
    """stdout of a command on the cores, and its memory; None when it failed."""
    n = len(o.cores.split(","))
    env = dict(os.environ, OMP_NUM_THREADS=str(n), MKL_NUM_THREADS=str(n))
    seen = [0, 0]
    p = subprocess.Popen(["taskset", "-c", o.cores] + argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if quiet else None, env=env)
    while p.poll() is None:
        peak(p, seen)
        time.sleep(0.02)
    out = p.stdout.read()
    return (json.loads(out), seen) if p.returncode == 0 and out.strip() else (None, seen)


def ours(bundle, o, prompt=PROMPT, new=NEW, runs=RUNS):
    n = str(len(o.cores.split(",")))
    out, mem = run([PROGRAM, "bench", "--model", bundle, "--runs", str(runs), "--prompt-tokens", str(prompt), "--new-tokens", str(new + 1), "--threads", n, "--json", "-q"], o)
    p = out["parts"]
    return [p["lm_prompt"]["by_threads"][n], p["lm_decode"]["by_threads"][n], p["memory"]["value"]], mem


def peer_llama(folder, hf, kind, o):
    if not o.llama:
        return None
    path = os.path.join(folder, kind + ".gguf")
    me = os.path.abspath(__file__)
    if not os.path.exists(path):
        subprocess.check_call([o.llama, me, "gguf", hf, kind, path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    out, _ = run([o.llama, me, "llama", path, str(len(o.cores.split(",")))], o)
    if not o.keep:
        os.unlink(path)
    return list(out.values())[0] if out else None


def line(name, x, best=None, note=""):
    ratio = f"{x[0] / best[0]:6.2f} x {x[1] / best[1]:6.2f} x" if best else ""
    print(f"  {name:24s} {x[0]:8.1f} {x[1]:9.2f}   {ratio} {note}", flush=True)


class Load:
    """A process on each core that only computes, for as long as the block lasts."""

    def __init__(self, o):
        self.o = o

    def __enter__(self):
        self.p = [subprocess.Popen(["taskset", "-c", c, sys.executable, "-c", "while True: pass"]) for c in self.o.cores.split(",")]
        time.sleep(0.5)

    def __exit__(self, *a):
        for p in self.p:
            p.kill()
            p.wait()


def has(python, *modules):
    if not python:
        return False
    code = "import importlib.util as u, sys; sys.exit(not all(u.find_spec(m) for m in sys.argv[1:]))"
    try:
        return subprocess.run([python, "-c", code, *modules]).returncode == 0
    except OSError:
        return False


def compare(folder, o):
    hf = os.path.join(folder, "hf")
    if not os.path.exists(os.path.join(hf, "model.safetensors")):
        make(hf)
    weights = sum(int(__import__("math").prod(s)) for _, s in tensors())
    print(f"Llama, {weights / 1e9:.2f} billion random weights; cores {o.cores}; load average {os.getloadavg()[0]:.1f}")
    print(f"  {'':24s} {'prompt':>8s} {'decoding':>9s}   tokens/s; ours over the peer")
    for kind, quantize in (("F16", None), ("Q8_0", "q8"), ("Q4_0", "q4")):
        if kind not in o.only.split(","):
            continue
        bundle = os.path.join(folder, "ours_" + kind)
        if not os.path.exists(bundle):
            q = ["--quantize", quantize] if quantize else []
            subprocess.check_call([PROGRAM, "import", "--llama", hf, *q, "-o", bundle, "-q"], stdout=subprocess.DEVNULL)
        peer = peer_llama(folder, hf, kind, o)
        if peer:
            line(f"llama.cpp {kind}", peer)
        mine, mem = ours(bundle, o)
        size = os.path.getsize(os.path.join(bundle, "lm.safetensors"))
        line(f"scmmgpt {quantize or 'bf16'}", mine, peer, f"weights at {mine[1] * size / 1e9:.1f} of {mine[2]:.1f} GB/s; resident {mem[0]} MB, private {mem[1]} MB")
        if quantize is None and o.transformers:
            out, _ = run([o.transformers, os.path.abspath(__file__), "transformers", hf, str(len(o.cores.split(",")))], o)
            if out:
                peer = list(out.values())[0]
                line("transformers bf16", peer)
                line("scmmgpt bf16", mine, peer, "(the run above)")
        if o.load and quantize == "q8":
            with Load(o):
                os.environ.update(PROMPT="32", NEW="8", RUNS="1")
                peer = peer_llama(folder, hf, kind, o)
                if peer:
                    line(f"llama.cpp {kind}, loaded", peer)
                mine, _ = ours(bundle, o, 32, 8, 1)
                line("scmmgpt q8, loaded", mine, peer, "a computing process beside on each core")
                for k in ("PROMPT", "NEW", "RUNS"):
                    os.environ.pop(k)
        if not o.keep:
            subprocess.call(["rm", "-r", bundle])
    print(f"  load average at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    step = {"make": make, "gguf": gguf, "llama": lambda a, b: run_llama(a, int(b)), "transformers": lambda a, b: run_transformers(a, int(b))}
    if len(sys.argv) > 1 and sys.argv[1] in step:
        step[sys.argv[1]](*sys.argv[2:])
        sys.exit()
    p = argparse.ArgumentParser()
    p.add_argument("--cores", default="0,1")
    p.add_argument("--keep", default=None, help="folder for the models, kept for the next run")
    p.add_argument("--only", default="F16,Q8_0,Q4_0")
    p.add_argument("--no-load", dest="load", action="store_false", help="leave out decoding beside other work")
    o = p.parse_args()
    o.llama = os.environ.get("LLAMA_PYTHON", sys.executable)
    o.transformers = os.environ.get("PYTHON", sys.executable)
    if not has(o.llama, "llama_cpp", "gguf"):
        print("== llama-cpp-python or gguf is not installed (LLAMA_PYTHON), skipped")
        o.llama = None
    if not has(o.transformers, "torch", "transformers"):
        print("== torch or transformers is not installed (PYTHON), skipped")
        o.transformers = None
    if o.keep:
        os.makedirs(o.keep, exist_ok=True)
        compare(o.keep, o)
    else:
        with tempfile.TemporaryDirectory() as t:
            compare(t, o)
