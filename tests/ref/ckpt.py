"""Tiny random checkpoints of full public structure, and what PyTorch, transformers and peft compute
with them. Output: tests/golden/ckpt/. Made with torch 2.15, transformers 5.23, peft 0.21, seed 7.
usage: ckpt.py OUTDIR"""
import json, os, sys
from collections import OrderedDict
import numpy as np, h5py, torch, torch.nn as nn, torch.nn.functional as F
import transformers, peft
from safetensors.torch import save_file

out = sys.argv[1]
torch.manual_seed(7)
torch.set_num_threads(2)
rng = np.random.default_rng(7)
W, LAYERS, HEADS, FFN, GENES = 16, 2, 4, 24, 40        # cell encoder
QW, QL, QH, QF, QN, P = 16, 3, 4, 32, 4, 8             # Q-Former
V = 60                                                  # words
def path(*p):
    q = os.path.join(out, *p); os.makedirs(os.path.dirname(q), exist_ok=True); return q

# ---- scGPT ----
class Cell(nn.Module):
    def __init__(s):
        super().__init__()
        s.encoder = nn.Module(); s.encoder.embedding = nn.Embedding(GENES + 3, W); s.encoder.enc_norm = nn.LayerNorm(W)
        s.value_encoder = nn.Module(); s.value_encoder.linear1 = nn.Linear(1, W); s.value_encoder.linear2 = nn.Linear(W, W); s.value_encoder.norm = nn.LayerNorm(W)
        layer = nn.TransformerEncoderLayer(W, HEADS, FFN, 0.0, batch_first=True)
        s.transformer_encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
    def forward(s, g, v, pad):
        e = s.encoder.enc_norm(s.encoder.embedding(g))
        u = s.value_encoder.norm(s.value_encoder.linear2(torch.relu(s.value_encoder.linear1(v.clamp(max=512)[..., None]))))
        return s.transformer_encoder(e + u, src_key_padding_mask=pad)
def randomise(m, sd=0.15):
    with torch.no_grad():
        for n, p in m.named_parameters():
            p.copy_(torch.randn_like(p) * sd + (1 if ("norm" in n.lower() and n.endswith("weight")) else 0))
cell = Cell(); randomise(cell); cell.train()            # train(): dropout is 0, no fast path
vocab = {f"G{i}": i for i in range(GENES)}; vocab.update({"<pad>": GENES, "<cls>": GENES + 1, "<eoc>": GENES + 2})
json.dump(vocab, open(path("scgpt", "vocab.json"), "w"))
json.dump(dict(embsize=W, nheads=HEADS, d_hid=FFN, nlayers=LAYERS, pad_token="<pad>", input_style="binned"), open(path("scgpt", "args.json"), "w"))
base = cell.state_dict()
def layout(kind):
    o = OrderedDict()
    for k, v in base.items():
        if kind in ("wqkv", "impl"):
            k = k.replace("self_attn.in_proj_", "self_attn.Wqkv.")
        if kind == "impl":
            k = k.replace("self_attn.", "self_attn._impl.")
        o[("module." if kind == "module" else "") + k] = v
    o["flag_encoder.weight"] = torch.randn(2, W)
    return o
torch.save(layout("wqkv"), path("scgpt", "best_model.pt"))
for k in ("in_proj", "impl", "module"):
    torch.save(layout(k), path("layouts", k + ".pt"), _use_new_zipfile_serialization=(k != "module"))

# ---- BERT ----
bc = transformers.BertConfig(vocab_size=V, hidden_size=QW, num_hidden_layers=QL, num_attention_heads=QH, intermediate_size=QF,
                             max_position_embeddings=32, hidden_dropout_prob=0, attention_probs_dropout_prob=0)
bert = transformers.BertForMaskedLM(bc).eval(); randomise(bert)
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{i}" for i in range(V - 5)]
sd = {k: v.contiguous() for k, v in bert.state_dict().items() if "position_ids" not in k and k != "cls.predictions.decoder.weight" and k != "cls.predictions.decoder.bias"}
bc.save_pretrained(os.path.join(out, "bert")); save_file(sd, path("bert", "model.safetensors"), metadata={"format": "pt"})
open(path("bert", "vocab.txt"), "w").write("".join(w + "\n" for w in words))

# ---- Q-Former: written out after the paper's code ----
class Attn(nn.Module):
    def __init__(s, kv):
        super().__init__()
        s.self = nn.Module(); s.self.query = nn.Linear(QW, QW); s.self.key = nn.Linear(kv, QW); s.self.value = nn.Linear(kv, QW)
        s.output = nn.Module(); s.output.dense = nn.Linear(QW, QW); s.output.LayerNorm = nn.LayerNorm(QW, 1e-12)
    def forward(s, x, kv, mask):
        h = lambda t: t.view(t.shape[0], t.shape[1], QH, -1).transpose(1, 2)
        a = h(s.self.query(x)) @ h(s.self.key(kv)).transpose(2, 3) / (QW // QH) ** .5 + mask
        c = (a.softmax(-1) @ h(s.self.value(kv))).transpose(1, 2).reshape(x.shape)
        return s.output.LayerNorm(x + s.output.dense(c))
class Wrap(nn.Module): pass
def dense(i, o, norm=False):
    m = Wrap(); m.dense = nn.Linear(i, o)
    if norm: m.LayerNorm = nn.LayerNorm(o, 1e-12)
    return m
class QLayer(nn.Module):
    def __init__(s, i):
        super().__init__(); s.attention = Attn(QW)
        if i % 2 == 0: s.crossattention = Attn(W)
        s.intermediate, s.output = dense(QW, QF), dense(QF, QW, True)
        s.intermediate_query, s.output_query = dense(QW, QF), dense(QF, QW, True)
class Stage1(nn.Module):
    def __init__(s):
        super().__init__()
        s.cell_encoder = Wrap(); s.cell_encoder.model = cell
        s.query_tokens = nn.Parameter(torch.randn(1, QN, QW)); s.ln_gene = nn.LayerNorm(W)
        s.cell_proj, s.text_proj, s.gtm_head = nn.Linear(QW, P), nn.Linear(QW, P), nn.Linear(QW, 2)
        q = s.Qformer = Wrap(); q.bert = Wrap(); e = q.bert.embeddings = Wrap()
        e.word_embeddings, e.position_embeddings, e.LayerNorm = nn.Embedding(V + 1, QW), nn.Embedding(32, QW), nn.LayerNorm(QW, 1e-12)
        e.register_buffer("position_ids", torch.arange(32)[None])
        q.bert.encoder = Wrap(); q.bert.encoder.layer = nn.ModuleList(QLayer(i) for i in range(QL))
        c = q.cls = Wrap(); c.predictions = Wrap(); c.predictions.transform = dense(QW, QW, True); c.predictions.decoder = nn.Linear(QW, V + 1)
        c.predictions.decoder.weight = e.word_embeddings.weight
    def run(s, q, ids, G, gm, tm, mode):
        e = s.Qformer.bert.embeddings
        nq = QN if q else 0; h = []
        if q: h.append(s.query_tokens.expand(G.shape[0], -1, -1))
        if ids is not None: h.append(e.word_embeddings(ids) + e.position_embeddings.weight[: ids.shape[1]])
        h = e.LayerNorm(torch.cat(h, 1)); B, n = h.shape[:2]
        vis = torch.ones(B, n, n)
        if ids is not None: vis[:, :, nq:] *= tm[:, None, :]
        if mode == "lm":
            vis[:, :nq, nq:] = 0; vis[:, nq:, nq:] *= torch.tril(torch.ones(n - nq, n - nq))
        mask = (1 - vis)[:, None] * -10000.
        cross = None if G is None else (1 - gm.float())[:, None, None] * torch.finfo(torch.float32).min
        for l in s.Qformer.bert.encoder.layer:
            h = l.attention(h, h, mask); hq, ht = h[:, :nq], h[:, nq:]
            if q and hasattr(l, "crossattention"): hq = l.crossattention(hq, G, cross)
            if q: hq = l.output_query.LayerNorm(hq + l.output_query.dense(F.gelu(l.intermediate_query.dense(hq))))
            if ids is not None: ht = l.output.LayerNorm(ht + l.output.dense(F.gelu(l.intermediate.dense(ht))))
            h = torch.cat([hq, ht], 1)
        return h[:, :nq], h[:, nq:]
s1 = Stage1()
with torch.no_grad():
    keep = {k: v.clone() for k, v in base.items()}
randomise(s1); cell.load_state_dict(keep)
class Old(dict): pass
import argparse
torch.save({"epoch": 1, "global_step": 5, "pytorch-lightning_version": "2.0.7", "hyper_parameters": {"args": argparse.Namespace(lr=1e-4)},
            "state_dict": OrderedDict(("blip2qformer." + k, v) for k, v in s1.state_dict().items()),
            "optimizer_states": [{"state": {0: {"step": torch.tensor(3.), "exp_avg": torch.randn(3, 2).t()}}}], "lr_schedulers": []}, path("stage1.ckpt"))

# ---- Llama, LoRA ----
def llama(**k):
    c = transformers.LlamaConfig(vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                 max_position_embeddings=32, bos_token_id=1, eos_token_id=2, **k)
    m = transformers.LlamaForCausalLM(c).eval(); randomise(m, .25); m.tie_weights(); return m
lms = {"llama": llama(), "llama_tied": llama(tie_word_embeddings=True, attention_bias=True, mlp_bias=True, head_dim=8),
       "llama_linear": llama(rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=10000.)),
       "llama_dynamic": llama(rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=10000.)),
       "llama_3": llama(rope_parameters=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16, rope_theta=500000.))}
for n, m in lms.items(): m.save_pretrained(os.path.join(out, n), max_shard_size="6KB" if n == "llama" else "1GB")
pc = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], rank_pattern={"layers.1.self_attn.q_proj": 2}, alpha_pattern={"v_proj": 3}, init_lora_weights=False)
plain = transformers.LlamaForCausalLM.from_pretrained(os.path.join(out, "llama"))
pm = peft.get_peft_model(plain, pc).eval(); pm.save_pretrained(os.path.join(out, "adapter"))
dm = peft.get_peft_model(transformers.LlamaForCausalLM.from_pretrained(os.path.join(out, "llama")),
                         peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj"], use_dora=True, use_rslora=True, init_lora_weights=False)).eval()
with torch.no_grad():
    for n, p in dm.named_parameters():
        if "magnitude" in n: p.mul_(1.3)
dm.save_pretrained(os.path.join(out, "dora"))

# ---- stage 2 ----
H, E = 16, 8
class Stage2(nn.Module):
    def __init__(s):
        super().__init__()
        s.llm_proj = Wrap(); s.llm_proj.fc1, s.llm_proj.fc2 = nn.Linear(QW, 12), nn.Linear(12, H)
        d = s.expr_decoder = Wrap(); d.gene_embed = nn.Embedding(GENES + 5, E); d.cell_proj = nn.Linear(H, 2 * E)
        d.cross_attn = nn.MultiheadAttention(E, 4, batch_first=True); d.mlp = nn.Sequential(nn.Linear(2 * E, E), nn.ReLU(), nn.Linear(E, 1))
s2 = Stage2(); randomise(s2, .3)
st = OrderedDict()
for k, v in s1.state_dict().items():
    if k.startswith(("query_tokens", "ln_gene", "cell_encoder")) or (k.startswith("Qformer.bert") and not any(x in k for x in ("word_emb", "position_", ".intermediate.", "layer.0.output.", "layer.1.output.", "layer.2.output."))):
        st["blip2lm." + k] = v
for k, v in s2.state_dict().items(): st["blip2lm." + k] = v
for k, v in plain.state_dict().items():
    k = k.replace("base_model.model.", "")
    st["blip2lm.llm_model.base_model.model." + k] = v
torch.save({"state_dict": st, "hyper_parameters": {}}, path("stage2.ckpt"))

# ---- inputs and answers ----
B, L, T, S = 3, 9, 7, 12
g = rng.integers(0, GENES, (B, L)).astype(np.int32); g[:, 0] = GENES + 1; g[1, 6:] = GENES; g[2, 3] = GENES
v = rng.integers(0, 900, (B, L)).astype(np.float32); v[:, 0] = -2; v[g == GENES] = 0
tid = rng.integers(5, V, (B, T)).astype(np.int32); tm = np.ones((B, T), np.int8); tm[0, 5:] = 0; tm[2, 2:] = 0
lid = rng.integers(3, 50, (B, S)).astype(np.int32); lid[1, 8:] = -1
with h5py.File(path("in.h5"), "w") as f:
    f["gene_ids"], f["values"], f["text_ids"], f["text_mask"], f["lm_ids"] = g, v, tid, tm, lid
with torch.no_grad(), h5py.File(path("expected.h5"), "w") as f:
    G, pad = torch.tensor(g).long(), torch.tensor(g == GENES)
    x = cell(G, torch.tensor(v), pad); I, M = torch.tensor(tid).long(), torch.tensor(tm).float()
    f["cell_hidden"], f["cell_emb"] = x, x[:, 0]
    ln = s1.ln_gene(x); gm = ~pad
    hq, _ = s1.run(True, None, ln, gm, M, ""); _, ht = s1.run(False, I, None, None, M, "")
    f["query_hidden"], f["text_hidden"] = hq, ht
    cf, tf = F.normalize(s1.cell_proj(hq), dim=-1), F.normalize(s1.text_proj(ht[:, 0]), dim=-1)
    f["cell_feats"], f["text_feats"], f["sim"] = cf, tf, torch.einsum("bqd,nd->bqn", cf, tf).max(1)[0]
    f["match_logits"] = s1.gtm_head(s1.run(True, I, ln, gm, M, "")[0]).mean(1)
    p = s1.Qformer.cls.predictions
    f["caption_logits"] = p.decoder(p.transform.LayerNorm(F.gelu(p.transform.dense(s1.run(True, I, ln, gm, M, "lm")[1]))))
    C = s2.llm_proj.fc2(torch.relu(s2.llm_proj.fc1(hq))); f["cell_tokens"] = C
    d = s2.expr_decoder; ge = d.gene_embed(G); k, val = d.cell_proj(C[:, :1]).split(E, -1)
    f["expr"] = d.mlp(torch.cat([d.cross_attn(ge, k, val)[0], ge], -1))[..., 0]
    # BERT alone, without token types
    e = bert.bert.embeddings; e.token_type_embeddings.weight.zero_()
    f["bert_hidden"] = bert.bert(I, attention_mask=M.long()).last_hidden_state
    LI = torch.tensor(np.maximum(lid, 0)).long()
    for n, m in lms.items(): f["lm/" + n] = m(LI).logits
    f["lm/adapter"] = pm(LI).logits; f["lm/dora"] = dm(LI).logits
    prompt = torch.tensor([[1, 7, 23, 11]])
    lms["llama"].generation_config.pad_token_id = 0
    for n, kw in (("greedy", {}), ("beam5", dict(num_beams=5, early_stopping=False, length_penalty=1.0))):
        for i in range(4):
            pr = torch.tensor([[1, 7 + 5 * i, 23, 11]])
            f[f"gen/{n}{i}"] = lms["llama"].generate(pr, max_new_tokens=24, do_sample=False, attention_mask=torch.ones_like(pr), **kw)[0, pr.shape[1]:].numpy()

# ---- torch files with views, types and the old form ----
b = torch.arange(12.)
views = OrderedDict(plain=b.view(3, 4), t=b.view(3, 4).t(), part=b[2:8:2], scalar=torch.tensor(3.5), f64=torch.tensor([1.5, -2.]), f16=torch.tensor([1., 65504., 6e-8]).half(),
                    bf16=torch.tensor([1., 3.25]).bfloat16(), i64=torch.tensor([-5, 1 << 40]), u8=torch.tensor([0, 255], dtype=torch.uint8), bool=torch.tensor([True, False]),
                    empty=torch.zeros(0, 4), param=nn.Parameter(torch.ones(2)))
views["f64"] = views["f64"].double()
torch.save(views, path("views.pt")); torch.save(views, path("views_legacy.pt"), _use_new_zipfile_serialization=False)
torch.save(views, path("views_p4.pt"), pickle_protocol=4)
import collections  # what else a training run leaves in its files
torch.save({"a": np.arange(5.), "b": np.float32(2), "c": np.zeros((2, 3), order="F"), "d": bytearray(b"ab"), "e": frozenset([1]), "f": collections.defaultdict(list), "g": {1, 2}, "h": torch.Size([2]), "i": torch.float16, "j": torch.device("cpu"),
            "k": 10**30, "state_dict": views}, path("views_p5.pt"), pickle_protocol=5)
class Evil:
    def __reduce__(s): return (os.system, ("touch /tmp/scmmgpt_evil",))
torch.save({"a": torch.ones(2), "b": Evil()}, path("evil.pt"))
