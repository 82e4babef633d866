"""conv_transpose2d cases, with PyTorch's arguments."""

from pathlib import Path

import torch.nn.functional as F

from vbref import Family, Random, fixed, leaf, numpy, seed_of

# (N, Cin, H, W, Cout, R, S), stride, padding, output_padding, dilation, groups, bias, data
CASES = [
    ((1, 1, 3, 3, 1, 3, 3), (1, 1), (0, 0), (0, 0), (1, 1), 1, True, "normal"),
    ((2, 3, 5, 4, 4, 3, 3), (1, 1), (1, 1), (0, 0), (1, 1), 1, True, "normal"),
    ((1, 8, 4, 4, 6, 4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 1, True, "normal"),
    ((2, 4, 5, 5, 3, 3, 3), (2, 2), (1, 1), (1, 1), (1, 1), 1, True, "normal"),
    ((1, 16, 4, 5, 8, 2, 2), (2, 2), (0, 0), (0, 0), (1, 1), 1, True, "normal"),
    ((1, 4, 3, 4, 5, 3, 5), (3, 2), (1, 2), (2, 1), (1, 1), 1, True, "normal"),
    ((2, 6, 4, 4, 4, 3, 3), (2, 2), (1, 1), (1, 0), (1, 1), 2, True, "normal"),
    ((1, 6, 5, 4, 6, 3, 3), (1, 1), (1, 1), (0, 0), (1, 1), 6, True, "normal"),
    ((1, 4, 4, 5, 12, 3, 3), (2, 2), (1, 1), (1, 1), (1, 1), 4, True, "normal"),
    ((1, 5, 5, 6, 7, 3, 3), (1, 1), (2, 2), (0, 0), (2, 2), 1, True, "normal"),
    ((2, 3, 4, 4, 4, 3, 2), (2, 1), (1, 0), (1, 0), (2, 3), 1, False, "normal"),
    ((1, 7, 1, 1, 5, 4, 4), (1, 1), (0, 0), (0, 0), (1, 1), 1, True, "normal"),
    ((2, 5, 1, 1, 3, 1, 1), (1, 1), (0, 0), (0, 0), (1, 1), 1, False, "normal"),
    ((1, 4, 5, 5, 3, 2, 2), (3, 3), (0, 0), (0, 0), (1, 1), 1, True, "normal"),
    ((1, 3, 4, 3, 2, 1, 1), (2, 2), (0, 0), (1, 1), (1, 1), 1, True, "normal"),
    ((1, 2, 6, 5, 3, 17, 1), (1, 1), (8, 0), (0, 0), (1, 1), 1, True, "normal"),
    ((1, 3, 7, 7, 4, 5, 5), (1, 1), (2, 2), (0, 0), (1, 1), 1, False, "offset"),
    ((2, 4, 6, 6, 4, 3, 3), (2, 2), (0, 0), (0, 0), (1, 1), 1, True, "offset"),
    ((2, 8, 5, 5, 4, 3, 3), (2, 2), (1, 1), (1, 1), (1, 1), 1, True, "sparse"),
    ((1, 16, 6, 7, 24, 3, 3), (1, 1), (1, 1), (0, 0), (1, 1), 1, True, "normal"),
    ((1, 11, 5, 3, 13, 5, 3), (2, 1), (2, 1), (1, 0), (1, 1), 1, False, "normal"),
    ((1, 6, 4, 5, 9, 3, 3), (2, 3), (3, 2), (0, 2), (3, 2), 3, True, "normal"),
    # From the stride up to the dilation: rows at the end that no window reaches, but for those that padding hides.
    ((1, 1, 3, 3, 1, 3, 3), (1, 1), (0, 0), (1, 1), (2, 2), 1, True, "normal"),
    ((2, 3, 4, 5, 4, 3, 2), (1, 2), (0, 0), (2, 3), (3, 4), 1, True, "normal"),
    ((1, 4, 4, 3, 6, 2, 3), (2, 1), (1, 2), (4, 3), (5, 4), 2, False, "normal"),
    ((2, 3, 5, 4, 3, 1, 3), (1, 1), (0, 1), (1, 2), (2, 3), 3, True, "offset"),
]


def name_of(shape, stride, padding, output_padding, dilation, groups, bias, data) -> str:
    n, c, h, w, k, r, s = shape
    parts = [f"n{n}c{c}h{h}w{w}k{k}r{r}s{s}"]
    for letter, values, default in (("p", padding, (0, 0)), ("o", output_padding, (0, 0)),
                                    ("u", stride, (1, 1)), ("l", dilation, (1, 1))):
        if values != default:
            parts.append(f"{letter}{values[0]}x{values[1]}")
    if groups > 1:
        parts.append(f"g{groups}")
    return "-".join(parts + ([] if bias else ["nobias"]) + ([] if data == "normal" else [data]))


def tags_of(shape, stride, padding, output_padding, dilation, groups, bias, data) -> list:
    n, c, h, w, k, r, s = shape
    tests = {
        "1x1-image": h == w == 1, "kernel-exceeds-tile": max(r, s) > 16, "unequal-strides": len(set(stride)) > 1,
        "stride-exceeds-kernel": stride[0] > r or stride[1] > s, "dilation": max(dilation) > 1,
        "groups": 1 < groups < c, "depthwise": groups == c == k > 1, "depthwise-multiplier": groups == c > 1 and k > c,
        "single-channel": c == 1, "no-bias": not bias, "output-padding": max(output_padding) > 0,
        "offset-data": data == "offset", "sparse-data": data == "sparse",
    }
    return [tag for tag, holds in tests.items() if holds]


def generate(out: Path) -> list:
    family = Family(out, "conv_transpose2d")
    for case in CASES:
        (n, c, h, w, k, r, s), stride, padding, output_padding, dilation, groups, bias, data = case
        name = name_of(*case)
        seed = seed_of(family.op, name)
        random = Random(seed)
        x = random.normal(n, c, h, w, mean=10.0 if data == "offset" else 0.0)
        if data == "sparse":
            x *= random.keep(0.7, *x.shape)
        weight = random.normal(c, k // groups, r, s, scale=(c // groups * r * s) ** -0.5)
        b = random.normal(k, scale=0.5) if bias else None
        tx, tw, tb = leaf(x), leaf(weight), leaf(b) if bias else None
        y = F.conv_transpose2d(tx, tw, tb, stride=stride, padding=padding, output_padding=output_padding,
                               groups=groups, dilation=dilation)
        dy = random.normal(*y.shape)
        y.backward(fixed(dy))
        tensors = {
            "input": x, "weight": weight, "grad_output": dy,
            "output": numpy(y), "grad_input": numpy(tx.grad), "grad_weight": numpy(tw.grad),
        }
        if bias:
            tensors |= {"bias": b, "grad_bias": numpy(tb.grad)}
        attributes = {"stride": stride, "padding": padding, "output_padding": output_padding,
                      "dilation": dilation, "groups": groups}
        family.add(name, tensors, attributes, seed, tags_of(*case))
    return [family.report()]
