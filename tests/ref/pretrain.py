#!/usr/bin/env python3
"""Golden of tests/test_pretrain.c: losses of scGPT's two pre-training objectives and their gradients.

Written out from the published formulas in torch (version in the file's metadata), seed 3, float64, then stored as float32:
    python3 tests/ref/pretrain.py tests/golden/model/pretrain.safetensors
"""
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(3)
V, C, H, FFN, LAYERS, B, P, G = 20, 8, 2, 12, 2, 3, 5, 4
W = {"encoder.embedding.weight": (V, C), "value_encoder.linear1.weight": (C, 1), "value_encoder.linear2.weight": (C, C),
     "decoder.fc.0.weight": (C, C), "decoder.fc.2.weight": (C, C), "decoder.fc.4.weight": (1, C),
     "mvc_decoder.gene2query.weight": (C, C), "mvc_decoder.W.weight": (C, C), "flag_encoder.weight": (2, C)}
NORMS = ["encoder.enc_norm", "value_encoder.norm"]
for i in range(LAYERS):
    b = f"transformer_encoder.layers.{i}."
    W |= {b + "self_attn.Wqkv.weight": (3 * C, C), b + "self_attn.out_proj.weight": (C, C),
          b + "linear1.weight": (FFN, C), b + "linear2.weight": (C, FFN)}
    NORMS += [b + "norm1", b + "norm2"]
p = {k: torch.randn(s, dtype=torch.float64) * 0.4 for k, s in W.items()}
for k in list(W):
    if not k.startswith(("encoder.embedding", "mvc_decoder.W", "flag")):
        p[k.replace("weight", "bias")] = torch.randn(W[k][0], dtype=torch.float64) * 0.2
for n in NORMS:
    p[n + ".weight"] = 1 + torch.randn(C, dtype=torch.float64) * 0.1
    p[n + ".bias"] = torch.randn(C, dtype=torch.float64) * 0.1
p = {k: v.float().double().requires_grad_() for k, v in p.items()}


def lin(x, n, bias=True):
    return F.linear(x, p[n + ".weight"], p[n + ".bias"] if bias else None)


def norm(x, n):
    return F.layer_norm(x, (C,), p[n + ".weight"], p[n + ".bias"], 1e-5)


def names(gene):
    return norm(p["encoder.embedding.weight"][gene], "encoder.enc_norm")


def entry(gene, value):
    return names(gene) + norm(lin(F.relu(lin(value[..., None], "value_encoder.linear1")), "value_encoder.linear2"),
                              "value_encoder.norm")


def layers(x, seen, known):
    """seen [B,T,T] true: visible; rows from `known` on go past out_proj."""
    n = x.shape[1]
    for i in range(LAYERS):
        b = f"transformer_encoder.layers.{i}."
        q, k, v = (y.view(B, n, H, C // H).transpose(1, 2) for y in lin(x, b + "self_attn.Wqkv").split(C, -1))
        s = (q @ k.transpose(2, 3) / (C // H) ** 0.5).masked_fill(~seen[:, None], float("-inf"))
        a = (s.softmax(-1) @ v).transpose(1, 2).reshape(B, n, C)
        a = torch.cat([lin(a[:, :known], b + "self_attn.out_proj"), a[:, known:]], 1)
        x = norm(x + a, b + "norm1")
        x = norm(x + lin(F.relu(lin(x, b + "linear1")), b + "linear2"), b + "norm2")
    return x


def by_row(x):
    h = F.leaky_relu(lin(x, "decoder.fc.0"), 0.01)
    return lin(F.leaky_relu(lin(h, "decoder.fc.2"), 0.01), "decoder.fc.4")[..., 0]


def by_cell(cell, gene):
    return (lin(torch.sigmoid(lin(names(gene), "mvc_decoder.gene2query")), "mvc_decoder.W", False) * cell[:, None]).sum(-1)


def mse(x, y, w):
    return (w * (x - y) ** 2).sum() / w.sum()


gene = torch.randint(0, V - 2, (B, P))
gene[:, 0] = V - 1
value = torch.randint(1, 9, (B, P)).double()
value[:, 0] = -2
hidden = torch.randint(0, V - 2, (B, G))
target = torch.randint(1, 9, (B, G)).double()
there = torch.ones(B, P, dtype=torch.bool)
there[1, 4] = there[2, 3] = there[2, 4] = False
wanted = torch.ones(B, G, dtype=torch.bool)
wanted[0, 3] = wanted[2, 2] = wanted[2, 3] = False

# masked: the third token of every cell is hidden
value_m = value.clone()
value_m[:, 2] = -1
w_m = torch.zeros(B, P, dtype=torch.float64)
w_m[:, 2] = 1
x = layers(entry(gene, value_m), there[:, None].expand(B, P, P), P)
masked = [mse(by_row(x), value, w_m), mse(by_cell(x[:, 0], gene), value, w_m)]

# generative
seen = torch.zeros(B, P + G, P + G, dtype=torch.bool)
seen[:, :, :P] = there[:, None]
seen |= torch.cat([torch.zeros(P), torch.ones(G)]).bool().diag()[None]
x0 = torch.cat([entry(gene, value), names(hidden) + p["flag_encoder.weight"][1]], 1)
x = layers(x0, seen, P)
again = x0.clone()
again[:, 0] = x[:, 0].detach()
y = layers(again, seen, P)
w = wanted.double()
generative = [mse(by_row(x[:, P:]), target, w), mse(by_cell(x[:, 0], hidden), target, w), mse(by_row(y[:, P:]), target, w)]
sum(generative).backward()

t = {k: v.detach() for k, v in p.items()}
t |= {"in.gene": gene.int(), "in.value": value, "in.value_masked": value_m, "in.hidden": hidden.int(), "in.target": target,
      "in.weight": w, "in.weight_masked": w_m, "in.there": there.to(torch.uint8),
      "in.visible": torch.cat([there, wanted], 1).to(torch.uint8), "out.masked": torch.stack(masked).detach(),
      "out.generative": torch.stack(generative).detach(), "out.rows": x.detach()}
for n in ["transformer_encoder.layers.0.self_attn.Wqkv.weight", "transformer_encoder.layers.1.self_attn.out_proj.weight",
          "flag_encoder.weight", "encoder.embedding.weight", "mvc_decoder.W.weight", "value_encoder.linear1.weight"]:
    t["grad." + n] = p[n].grad
t = {k: v.float().contiguous() if v.dtype == torch.float64 else v.contiguous() for k, v in t.items()}
save_file(t, sys.argv[1], {"torch": torch.__version__, "seed": "3"})
