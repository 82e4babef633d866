"""cross_entropy, mse_loss and bce_with_logits_loss, mean and sum (cross_entropy also none); the upstream gradient of a scalar
is 1."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vbref import Family, Random, fixed, leaf, numpy, seed_of


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
    options_of_cross_entropy(family)
    return family.report()


def options_of_cross_entropy(family: Family):
    """Class weights, ignored positions, smoothing, dimensions behind the classes, probabilities; one file each."""
    for shape, kind, weighted, ignored, smoothing, reduction in [
        ((2, 3), "labels", False, [1], 0.0, "mean"), ((6, 5), "labels", True, [], 0.0, "mean"),
        ((6, 5), "labels", True, [0, 4], 0.0, "sum"), ((7, 4), "labels", False, [], 0.1, "mean"),
        ((7, 4), "labels", True, [2, 3], 0.3, "mean"), ((5, 6), "labels", True, [0], 1.0, "sum"),
        ((8, 3), "labels", True, [1, 7], 0.2, "none"), ((4,), "labels", True, [], 0.1, "mean"),
        ((2, 3, 4, 5), "labels", False, [0, 7, 39], 0.0, "mean"), ((2, 3, 4, 5), "labels", True, [3, 4], 0.1, "none"),
        ((3, 2, 7), "labels", True, [5], 0.0, "sum"), ((1, 4, 2, 2, 3), "labels", True, [11], 0.2, "mean"),
        ((6, 5), "probabilities", False, [], 0.0, "mean"), ((2, 4, 3, 3), "probabilities", True, [], 0.2, "mean"),
        ((6, 3), "probabilities", True, [], 0.1, "none"), ((5,), "probabilities", False, [], 0.0, "sum"),
    ]:
        name = "x".join(map(str, shape)) + f"-{kind}" + ("-weights" if weighted else "") + f"-{reduction}"
        name += (f"-ignored{len(ignored)}" if ignored else "") + (f"-smoothing{smoothing}" if smoothing else "")
        seed = seed_of(family.op, name)
        random = Random(seed)
        axis = 0 if len(shape) == 1 else 1
        x = random.normal(*shape)
        positions = shape[:axis] + shape[axis + 1:]
        if kind == "labels":
            target = random.integers(0, shape[axis], *positions)
            target.reshape(-1)[ignored] = -100
            given = torch.from_numpy(np.array(target))
        else:
            target = random.uniform(*shape)
            target = (target / target.sum(axis=axis, keepdims=True)).astype(np.float32)
            given = fixed(target)
        weight = random.uniform(shape[axis], low=0.25, high=2) if weighted else None
        tx = leaf(x)
        y = F.cross_entropy(tx, given, weight=fixed(weight) if weighted else None, label_smoothing=smoothing,
                            reduction=reduction)
        tensors = {"input": x, "target": target}
        if weighted:
            tensors["weight"] = weight
        if reduction == "none":
            tensors["grad_output"] = random.normal(*positions)
            y.backward(fixed(tensors["grad_output"]))
        else:
            y.backward()
        attributes = {"reduction": reduction}
        if ignored:
            attributes["ignore_index"] = -100
        if smoothing:
            attributes["label_smoothing"] = smoothing
        tags = [reduction, kind] + (["ignored"] if ignored else []) + (["smoothing"] if smoothing else [])
        family.add(name, tensors | {"output": numpy(y), "grad_input": numpy(tx.grad)}, attributes, seed,
                   tags + (["weights"] if weighted else []))


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
