"""A convolution problem of 1, 2 or 3 spatial axes, its corner tags, and its float64 numbers."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F

from vbref import Family, Random, fixed, is_prime, leaf, numpy, seed_of

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
AXES = {1: "w", 2: "hw", 3: "dhw"}
KERNEL_AXES = {1: "s", 2: "rs", 3: "trs"}

# A filter with more taps than this on an axis is larger than any tile that an engine transforms it with.
LARGEST_TILE = 16


@dataclasses.dataclass(frozen=True)
class Problem:
    n: int
    c: int
    k: int
    size: tuple  # spatial extents, outermost axis first
    kernel: tuple
    stride: tuple
    padding: tuple  # ((begin, end), ...)
    dilation: tuple
    groups: int = 1
    bias: bool = True
    data: str = "normal"  # or "offset", "sparse"

    @property
    def rank(self) -> int:
        return len(self.size)

    @property
    def extent(self) -> tuple:
        """The dilated kernel."""
        return tuple((r - 1) * d + 1 for r, d in zip(self.kernel, self.dilation))

    @property
    def output(self) -> tuple:
        return tuple(
            (h + sum(p) - e) // s + 1 if h + sum(p) >= e else 0
            for h, p, e, s in zip(self.size, self.padding, self.extent, self.stride))

    @property
    def name(self) -> str:
        """What the file is called: the problem, and what differs from the defaults."""
        def joined(values, separator="x"):
            return separator.join(str(v) for v in values)

        text = f"n{self.n}c{self.c}"
        text += "".join(f"{a}{v}" for a, v in zip(AXES[self.rank], self.size))
        text += f"k{self.k}" + "".join(f"{a}{v}" for a, v in zip(KERNEL_AXES[self.rank], self.kernel))
        sides = [p for pair in self.padding for p in pair]
        if any(sides):
            text += f"-p{sides[0]}" if len(set(sides)) == 1 else "-p" + joined(sides, "_")
        if set(self.stride) != {1}:
            text += "-u" + joined(self.stride)
        if set(self.dilation) != {1}:
            text += "-l" + joined(self.dilation)
        if self.groups != 1:
            text += f"-g{self.groups}"
        return text + ("" if self.bias else "-nobias") + ("" if self.data == "normal" else f"-{self.data}")

    @property
    def attributes(self) -> dict:
        return {
            "stride": list(self.stride),
            "padding": [list(p) for p in self.padding],
            "dilation": list(self.dilation),
            "groups": self.groups,
        }

    @property
    def tags(self) -> frozenset:
        sides = [p for pair in self.padding for p in pair]
        c, k, g = self.c, self.k, self.groups
        tests = {
            "1x1-image": set(self.size) == {1},
            "kernel-equals-image": self.extent == self.size,
            "kernel-exceeds-tile": max(self.kernel) > LARGEST_TILE,
            "stride-exceeds-kernel": any(s > r for s, r in zip(self.stride, self.kernel)),
            "unequal-strides": len(set(self.stride)) > 1,
            "four-sided-padding": len(set(sides)) == len(sides),
            "padding-exceeds-kernel": any(max(p) > e for p, e in zip(self.padding, self.extent)),
            "dilation": any(d > 1 and r > 1 for d, r in zip(self.dilation, self.kernel)),
            "groups": 1 < g < c,
            "depthwise": g == c == k > 1,
            "depthwise-multiplier": g == c > 1 and k > c,
            "prime-channels": c > 2 and is_prime(c) and any(v > 2 and is_prime(v) for v in (k, k // g)),
            "single-channel": c == 1,
            "no-bias": not self.bias,
            "offset-data": self.data == "offset",
            "sparse-data": self.data == "sparse",
        }
        return frozenset(tag for tag, holds in tests.items() if holds)

    @property
    def valid(self) -> bool:
        return (min(self.output) > 0 and self.c % self.groups == 0 and self.k % self.groups == 0)

    @property
    def bytes(self) -> int:
        """About the size of the file: input, weight, grad_output as F32 and their results as F64."""
        def product(values):
            return int(np.prod(values))

        return 12 * (self.n * self.c * product(self.size) + self.n * self.k * product(self.output)
                     + self.k * (self.c // self.groups) * product(self.kernel))


def apply(p: Problem, x: torch.Tensor, w: torch.Tensor, b) -> torch.Tensor:
    pads = [side for pair in reversed(p.padding) for side in pair]  # F.pad begins at the innermost axis
    return CONV[p.rank](F.pad(x, pads), w, b, stride=p.stride, dilation=p.dilation, groups=p.groups)


def numbers(p: Problem, seed: int) -> dict:
    """All tensors of the case."""
    random = Random(seed)
    fan_in = p.c // p.groups * int(np.prod(p.kernel))
    x = random.normal(p.n, p.c, *p.size, mean=10.0 if p.data == "offset" else 0.0)
    if p.data == "sparse":
        x *= random.keep(0.7, *x.shape)
    w = random.normal(p.k, p.c // p.groups, *p.kernel, scale=fan_in ** -0.5)
    b = random.normal(p.k, scale=0.5) if p.bias else None
    dy = random.normal(p.n, p.k, *p.output)
    tx, tw, tb = leaf(x), leaf(w), leaf(b) if p.bias else None
    y = apply(p, tx, tw, tb)
    assert tuple(y.shape) == dy.shape, (p, y.shape, dy.shape)
    y.backward(fixed(dy))
    tensors = {
        "input": x, "weight": w, "grad_output": dy,
        "output": numpy(y), "grad_input": numpy(tx.grad), "grad_weight": numpy(tw.grad),
    }
    if p.bias:
        tensors |= {"bias": b, "grad_bias": numpy(tb.grad)}
    return tensors


def telling(p: Problem, tensors: dict) -> bool:
    """Whether most of the entries that have a term are not zero: a case full of zeros proves nothing."""
    ones = {name: torch.ones(tensors[name].shape, dtype=torch.float64, requires_grad=True)
            for name in ("input", "weight")}
    y = apply(p, ones["input"], ones["weight"], None)
    y.backward(torch.ones_like(y))
    b = tensors["bias"].astype(np.float64).reshape(1, -1, *[1] * p.rank) if p.bias else 0.0
    pairs = [
        (numpy(y), tensors["output"] - b),
        (numpy(ones["input"].grad), tensors["grad_input"]),
        (numpy(ones["weight"].grad), tensors["grad_weight"]),
    ]
    return all((terms > 0).any() and (np.abs(values[terms > 0]) > 1e-12).mean() >= 0.6 for terms, values in pairs)


def add(family: Family, p: Problem) -> bool:
    """Writes the case unless it is a duplicate or tells nothing."""
    if p.name in family.names or not p.valid:
        return False
    seed = seed_of(family.op, p.name)
    tensors = numbers(p, seed)
    if not telling(p, tensors):
        return False
    family.add(p.name, tensors, p.attributes, seed, p.tags)
    return True
