"""How far apart the colours of core/figure/palette.c are, by number, and the search that found the twelve beyond Okabe and
Ito's: numpy 2.4, seed 3.

Distances are CIEDE2000 for normal sight and simulated deuteranopia, protanopia and tritanopia (Machado et al. 2009, severity 1,
as core/figure simulates them); greyscale is the smallest step of lightness L*. Beside ours the palettes that scanpy uses.

usage: palette.py           measures
       palette.py search    searches (a minute); the best set has the largest smallest distance of any two, to the grey of
                            missing cells, of cells outside a selection and to white
"""
import os
import re
import sys

import numpy as np

M = [np.eye(3),
     np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
     np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
     np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]])]
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
VIEWERS = ["normal", "deuteranopia", "protanopia", "tritanopia"]


def lab(lin):
    v = lin @ XYZ.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def views(rgb):
    """[n, 3] 0..255 -> [n, 4, 3] Lab as each viewer sees it."""
    c = np.asarray(rgb) / 255.0
    lin = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return np.stack([lab(np.clip(lin @ m.T, 0, 1)) for m in M], 1)


def ciede2000(a, b):
    """Lab arrays [..., 3] (Sharma, Wu, Dalal 2005)."""
    l1, a1, b1 = np.moveaxis(a, -1, 0)
    l2, a2, b2 = np.moveaxis(b, -1, 0)
    weight = lambda c: np.sqrt(c ** 7 / (c ** 7 + 25.0 ** 7))
    g = 0.5 * (1 - weight((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    grey = c1 * c2 == 0
    turn = h2 - h1
    turn = np.where(grey, 0, np.where(turn > 180, turn - 360, np.where(turn < -180, turn + 360, turn)))
    total = h1 + h2
    hue = np.where(grey, total, np.where(abs(h1 - h2) <= 180, total / 2, np.where(total < 360, (total + 360) / 2, (total - 360) / 2)))
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    cos = lambda d: np.cos(np.radians(d))
    t = 1 - 0.17 * cos(hue - 30) + 0.24 * cos(2 * hue) + 0.32 * cos(3 * hue + 6) - 0.2 * cos(4 * hue - 63)
    dl = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2) / (1 + 0.015 * chroma * t)
    rotation = -2 * weight(chroma) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    return np.sqrt(dl ** 2 + dc ** 2 + dh ** 2 + rotation * dc * dh)


def between(a, b):
    """The smallest over the viewers, [len(a), len(b)]."""
    return np.min([ciede2000(a[:, None, k], b[None, :, k]) for k in range(4)], 0)


def split(h):
    return [h >> 16 & 255, h >> 8 & 255, h & 255]


OKABE_ITO = [0xE69F00, 0x56B4E9, 0x009E73, 0xF0E442, 0x0072B2, 0xD55E00, 0xCC79A7, 0x666666]
AWAY = [0xD3D3D3, 0xE3E3E3, 0xFFFFFF]
PEERS = {
    "scanpy, 10 (vega_10)": "1f77b4 ff7f0e 2ca02c d62728 9467bd 8c564b e377c2 7f7f7f bcbd22 17becf",
    "scanpy, 20 (vega_20)": "1f77b4 ff7f0e 279e68 d62728 aa40fc 8c564b e377c2 b5bd61 17becf aec7e8 ffbb78 98df8a ff9896 c5b0d5 "
                            "c49c94 f7b6d2 dbdb8d 9edae5 ad494a 8c6d31",
}


def shipped():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../core/figure/palette.c")
    body = re.search(r"palette\[COLORS\] = \{(.*?)\}", open(path).read(), re.S)[1]
    return [int(x, 16) for x in re.findall(r"0x([0-9A-F]{6})", body)]


def measure():
    ours = shipped()
    sets = {"ours, first 8": ours[:8], "ours, first 12": ours[:12], "ours, 20": ours}
    sets.update((name, [int(x, 16) for x in text.split()]) for name, text in PEERS.items())
    print(f"{'smallest CIEDE2000':24}" + "".join(f"{v:>14}" for v in VIEWERS) + f"{'grey, step L*':>16}")
    for name, colors in sets.items():
        v = views([split(h) for h in colors])
        least = [(ciede2000(v[:, None, k], v[None, :, k]) + np.eye(len(v)) * 999).min() for k in range(4)]
        print(f"{name:24}" + "".join(f"{x:14.1f}" for x in least) + f"{np.diff(np.sort(v[:, 0, 0])).min():16.2f}")


def improve(near, apart, pick, rounds=6):
    """Exchanges each for the best that is left."""
    for _ in range(rounds):
        for k in range(len(pick)):
            others = [p for j, p in enumerate(pick) if j != k]
            pick[k] = int(np.argmax(np.minimum(near, apart[others].min(0))))
    return pick


def search():
    rng = np.random.default_rng(3)
    fixed, away = views([split(h) for h in OKABE_ITO]), views([split(h) for h in AWAY])
    pool = rng.integers(0, 256, (9000, 3))
    seen = views(pool)
    chroma = np.hypot(seen[:, 0, 1], seen[:, 0, 2])
    good = (seen[:, 0, 0] > 26) & (seen[:, 0, 0] < 88) & (chroma > 18) & (chroma < 88)
    near = between(seen, np.concatenate([fixed, away])).min(1)
    good = np.flatnonzero(good & (near > 7))
    good = rng.choice(good, min(1800, len(good)), replace=False)
    pool, seen, near = pool[good], seen[good], near[good]
    apart = between(seen, seen).astype("f4")
    best, chosen = 0, []
    for _ in range(120):
        left, pick = near.copy(), []
        for k in range(12):
            pick.append(int(rng.choice(np.argsort(-left)[: 30 if k < 8 else 6])))
            left = np.minimum(left, apart[pick[-1]])
        pick = improve(near, apart, pick)
        score = min(near[pick].min(), (apart[np.ix_(pick, pick)] + np.eye(12) * 999).min())
        if score > best:
            best, chosen = score, pick
    colors = np.concatenate([fixed, seen[chosen]])
    order, d = list(range(8)), between(colors, colors)
    while len(order) < 20: # the one farthest from those before
        order.append(max(set(range(20)) - set(order), key=lambda i: d[i, order].min()))
    print("smallest distance", round(float(best), 2))
    print(", ".join("0x%02X%02X%02X" % tuple(pool[chosen[i - 8]]) for i in order[8:]))


if __name__ == "__main__":
    search() if sys.argv[1:] == ["search"] else measure()
