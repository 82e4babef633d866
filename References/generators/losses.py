"""cross_entropy, mse_loss and bce_with_logits_loss, mean and sum; the upstream gradient is 1."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vbref import Family, Random, leaf, numpy, seed_of


def cross_entropy(out: Path) -> str:
    family = Family(out, "cross_entropy")
    for n, c, scale, mean in [(1, 2, 1, 0), (4, 10, 1, 0), (64, 10, 3, 0), (7, 3, 1, 0), (5, 1, 1, 0), (2, 1000, 1, 0),
                              (6, 5, 1, 500), (6, 4, 200, 0)]:  # the last two overflow a softmax without the maximum
        for reduction in ("mean", "sum"):
            name = f"n{n}c{c}-{reduction}" + (f"-mean{mean}" if mean else "") + (f"-scale{scale}" if scale > 1 else "")
            seed = seed_of(family.op, name)
            random = Random(seed)
            x, target = random.normal(n, c, scale=scale, mean=mean), random.integers(0, c, n)
            tx = leaf(x)
            y = F.cross_entropy(tx, torch.from_numpy(target), reduction=reduction)
            y.backward()
            family.add(name, {"input": x, "target": target, "output": numpy(y), "grad_input": numpy(tx.grad)},
                       {"reduction": reduction}, seed, [reduction])
    return family.report()


def mse_loss(out: Path) -> str:
    family = Family(out, "mse_loss")
    for shape, mean in [((1,), 0), ((3, 4), 0), ((2, 3, 4, 5), 0), ((100,), 0), ((4, 7), 20)]:
        for reduction in ("mean", "sum"):
            name = "x".join(map(str, shape)) + f"-{reduction}" + ("-offset" if mean else "")
            seed = seed_of(family.op, name)
            random = Random(seed)
            x, target = random.normal(*shape, mean=mean), random.normal(*shape, mean=mean)
            tx, tt = leaf(x), leaf(target)
            y = F.mse_loss(tx, tt, reduction=reduction)
            y.backward()
            family.add(name, {"input": x, "target": target, "output": numpy(y), "grad_input": numpy(tx.grad),
                              "grad_target": numpy(tt.grad)}, {"reduction": reduction}, seed, [reduction])
    return family.report()


def bce_with_logits_loss(out: Path) -> str:
    family = Family(out, "bce_with_logits_loss")
    for shape, scale, hard in [((1,), 1, True), ((3, 4), 1, False), ((64, 1), 2, True), ((2, 3, 4, 5), 1, False),
                               ((5, 6), 100, True)]:  # the last one overflows exp where it is not guarded
        for reduction in ("mean", "sum"):
            name = ("x".join(map(str, shape)) + f"-{reduction}" + ("-hard" if hard else "-soft")
                    + (f"-scale{scale}" if scale > 1 else ""))
            seed = seed_of(family.op, name)
            random = Random(seed)
            x, target = random.normal(*shape, scale=scale), random.uniform(*shape)
            target = np.rint(target) if hard else target
            tx = leaf(x)
            y = F.binary_cross_entropy_with_logits(tx, torch.from_numpy(target).double(), reduction=reduction)
            y.backward()
            family.add(name, {"input": x, "target": target, "output": numpy(y), "grad_input": numpy(tx.grad)},
                       {"reduction": reduction}, seed, [reduction, "hard" if hard else "soft"])
    return family.report()


def generate(out: Path) -> list:
    return [cross_entropy(out), mse_loss(out), bce_with_logits_loss(out)]
