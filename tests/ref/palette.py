"""Searches the palette of 20 in core/figure/palette.c: numpy 2.4, seed 3.

Okabe and Ito's seven colours and a grey stay; twelve are added so that the smallest distance (CIE76) between any two,
to the grey of missing cells and to white, over normal sight and simulated deuteranopia, protanopia and tritanopia
(Machado et al. 2009) is as large as a random search finds. Usage: python palette.py
"""
import numpy as np

M = [np.eye(3),
     np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
     np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
     np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]])]
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def lab(lin):
    v = lin @ XYZ.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def views(rgb):
    """[n, 3] 0..255 -> [n, 4, 3] Lab as each viewer sees it."""
    c = np.asarray(rgb) / 255.0
    lin = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return np.stack([lab(np.clip(lin @ m.T, 0, 1)) for m in M], 1)


def split(h):
    return [h >> 16 & 255, h >> 8 & 255, h & 255]


FIXED = [0x0072B2, 0xE69F00, 0x009E73, 0xCC79A7, 0x56B4E9, 0xD55E00, 0xF0E442, 0x7F7F7F]
AWAY = [0xD3D3D3, 0xFFFFFF]


def main():
    rng = np.random.default_rng(3)
    fixed, away = views([split(h) for h in FIXED]), views([split(h) for h in AWAY])
    pool = rng.integers(0, 256, (16000, 3))
    pv = views(pool)
    chroma = np.hypot(pv[:, 0, 1], pv[:, 0, 2])
    good = (pv[:, 0, 0] > 32) & (pv[:, 0, 0] < 84) & (chroma > 28) & (chroma < 80)
    pool, pv = pool[good], pv[good]
    base = np.concatenate([fixed, away])

    def dist(a, b):  # smallest over the viewers
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1)).min(-1)

    to_base = dist(pv, base).min(1)
    best, chosen = 0, None
    for _ in range(15):
        near = to_base.copy()
        pick = []
        for k in range(12):
            top = np.argsort(-near)[: 40 if k < 8 else 8]
            i = rng.choice(top)
            pick.append(i)
            near = np.minimum(near, dist(pv, pv[i:i + 1])[:, 0])
        for _ in range(3):  # exchange each for the best left
            for k in range(12):
                others = [p for j, p in enumerate(pick) if j != k]
                near = np.minimum(to_base, dist(pv, pv[others]).min(1))
                pick[k] = int(np.argmax(near))
        rest = dist(pv[pick], pv[pick]) + np.eye(12) * 1e9
        score = min(to_base[pick].min(), rest.min())
        if score > best:
            best, chosen = score, list(pick)
    print("smallest distance of the added colours", round(best, 2))
    print(", ".join("0x%02X%02X%02X" % tuple(pool[i]) for i in chosen))


if __name__ == "__main__":
    main()
