#!/usr/bin/env python3
"""Goldens of tests/test_nn_golden.c: PyTorch's answers and gradients for the operations of core/nn.

Made with torch 2 on a CPU, seed 1: python3 tests/ref/nn.py > tests/golden/nn.txt
Format, one array a line: NAME NDIM DIM... VALUE... (float32, nine digits). The version is in the last line.
"""
import math

import torch
import torch.nn.functional as F

torch.manual_seed(1)


def put(name, x):
    x = x.detach().to(torch.float32)
    dims = list(x.shape) or [1]
    print(name, len(dims), *dims, *(f"{v:.9g}" for v in x.flatten().tolist()))


def grads(case, out, **inputs):
    """Inputs, the result, a random direction, and the gradients of <result, direction>."""
    direction = torch.randn(out.shape)
    (out * direction).sum().backward()
    for name, x in inputs.items():
        put(f"{case}.{name}", x)
        put(f"{case}.d{name}", x.grad)
    put(f"{case}.out", out)
    put(f"{case}.dir", direction)


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def attention(case, b, h, hk, tq, tk, d, causal, lens):
    q, k, v = leaf(b, tq, h * d), leaf(b, tk, hk * d), leaf(b, tk, hk * d)

    def split(x, n):
        return x.view(b, -1, n, d).transpose(1, 2).repeat_interleave(h // n, 1)

    see = torch.arange(tk)[None, None, :] < torch.tensor(lens)[:, None, None]
    if causal:
        see = see & torch.ones(tq, tk).tril(tk - tq).bool()[None]
    see = see.expand(b, tq, tk)[:, None]
    o = F.scaled_dot_product_attention(split(q, h), split(k, hk), split(v, hk), attn_mask=see)
    grads(case, o.transpose(1, 2).reshape(b, tq, h * d), q=q, k=k, v=v)


def rope(x, pos, heads, theta):
    """Rotation of pairs (j, j + dim/2), as in Llama."""
    b, t, c = x.shape
    d = c // heads
    inv = theta ** (-torch.arange(0, d, 2).float() / d)
    angle = torch.cat([pos[:, None] * inv] * 2, -1)
    y = x.view(b, t, heads, d)
    half = torch.cat([-y[..., d // 2 :], y[..., : d // 2]], -1)
    return (y * angle.cos()[:, None] + half * angle.sin()[:, None]).view(b, t, c)


attention("cross", 2, 4, 4, 3, 7, 8, False, [7, 4])
attention("causal", 2, 4, 2, 6, 6, 8, True, [6, 5])
x, g, b = leaf(5, 33), leaf(33), leaf(33)
grads("layernorm", F.layer_norm(x, (33,), g, b, 1e-5), x=x, g=g, b=b)
x, g = leaf(5, 33), leaf(33)
grads("rmsnorm", g * (x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)), x=x, g=g)
x, w, b = leaf(4, 9), leaf(6, 9), leaf(6)
grads("gelu", F.gelu(F.linear(x, w, b)), x=x, w=w, b=b)
x, w, b = leaf(4, 9), leaf(6, 9), leaf(6)
grads("silu", F.silu(F.linear(x, w, b)), x=x, w=w, b=b)
x = leaf(2, 5, 16)
grads("rope", rope(x, torch.tensor([0.0, 1, 2, 17, 300]), 2, 10000.0), x=x)
x = leaf(6, 11)
target = torch.tensor([3, -100, 0, 10, 5, -100])
put("ce.target", target)
grads("ce", F.cross_entropy(x, target, ignore_index=-100, label_smoothing=0.1).view(1), x=x)
x = leaf(3, 11)
counts = torch.poisson(torch.full((3, 11), 1.5))
panel = torch.rand(11) < 0.7
logp = torch.log_softmax(x.masked_fill(~panel, -math.inf), -1).masked_fill(~panel, 0)
put("multinomial.counts", counts)
put("multinomial.excluded", (~panel).float())
grads("multinomial", -(counts * logp).sum(-1).mean().view(1), x=x)

# Ten steps of AdamW with clipping on a fixed quadratic.
p = torch.nn.Parameter(torch.randn(4, 3))
a = torch.randn(4, 3)
put("adamw.start", p)
put("adamw.goal", a)
opt = torch.optim.AdamW([p], lr=0.05, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.01)
for _ in range(10):
    opt.zero_grad()
    ((p - a) ** 2).mean().backward()
    torch.nn.utils.clip_grad_norm_([p], 0.3)
    opt.step()
put("adamw.end", p)
print("made.with.torch", torch.__version__)
