"""The language model beside llama.cpp and transformers: python tests/bench/lm.py [--cores 0,1] [--keep DIR]

Makes a Llama of random weights in TinyLlama's shape (1.1 billion, bf16, seed 0) and the same as GGUF (F16, Q8_0, Q4_0) in
a temporary folder, then on the same cores, one after another: ours (`scmmgpt bench --model`), llama.cpp
(llama-cpp-python and gguf; LLAMA_PYTHON is an interpreter that has them) and transformers in bf16 (PYTHON). Tokens a
second for a prompt of 256 tokens and for 32 tokens after it, the median of three runs; peers that are not there are named
and left out. --load also measures decoding while two other processes compute on the same cores.
"""
import argparse
import importlib.util
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


if __name__ == "__main__":
    step = {"make": make, "gguf": gguf, "llama": lambda a, b: run_llama(a, int(b)), "transformers": lambda a, b: run_transformers(a, int(b))}
    if len(sys.argv) > 1 and sys.argv[1] in step:
        step[sys.argv[1]](*sys.argv[2:])
        sys.exit()
