"""resize_bilinear: half-pixel centres, no antialiasing."""

from pathlib import Path

import numpy as np
import torch.nn.functional as F

from vbref import Family, Random, fixed, numpy, seed_of

# N, C, H, W, height, width
SIZES = [
    (2, 1, 28, 28, 32, 32), (1, 3, 1, 1, 4, 5), (1, 1, 2, 2, 7, 3), (2, 3, 5, 9, 5, 9), (1, 2, 17, 13, 8, 29),
    (1, 1, 31, 7, 1, 1), (1, 2, 3, 10, 12, 5), (1, 1, 32, 32, 28, 28), (1, 1, 1, 6, 3, 11),
]


def generate(out: Path) -> list:
    family = Family(out, "resize_bilinear")
    for n, c, h, w, height, width in SIZES:
        name = f"n{n}c{c}h{h}w{w}-to{height}x{width}"
        seed = seed_of(family.op, name)
        x = (Random(seed).integers(0, 256, n, c, h, w) / 255).astype(np.float32)
        y = F.interpolate(fixed(x), size=(height, width), mode="bilinear", align_corners=False)
        family.add(name, {"input": x, "output": numpy(y)}, {"size": [height, width]}, seed)
    return [family.report()]
