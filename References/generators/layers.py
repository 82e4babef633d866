"""linear, pools, relu, flatten, dropout and batch_norm2d."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vbref import Family, Random, fixed, leaf, numpy, seed_of


def unary(family: Family, name: str, function, x: np.ndarray, random: Random, attributes: dict, seed: int,
          tags=(), **more):
    """A case of an op with one input: output and grad_input."""
    tx = leaf(x)
    y = function(tx)
    dy = random.normal(*y.shape)
    y.backward(fixed(dy))
    tensors = {"input": x, "grad_output": dy, "output": numpy(y), "grad_input": numpy(tx.grad)}
    family.add(name, tensors | more, attributes, seed, tags)


def linear(out: Path) -> str:
    family = Family(out, "linear")
    for n, inputs, outputs, bias, mean in [
            (1, 1, 1, True, 0), (4, 3, 5, True, 0), (1, 17, 10, True, 0), (7, 64, 33, True, 0), (3, 128, 10, False, 0),
            (16, 31, 1, True, 0), (5, 1, 7, False, 0), (8, 100, 40, True, 10), (64, 20, 10, True, 0)]:
        name = f"n{n}i{inputs}o{outputs}" + ("" if bias else "-nobias") + ("-offset" if mean else "")
        seed = seed_of(family.op, name)
        random = Random(seed)
        x, w = random.normal(n, inputs, mean=mean), random.normal(outputs, inputs, scale=inputs ** -0.5)
        b = random.normal(outputs) if bias else None
        tx, tw, tb = leaf(x), leaf(w), leaf(b) if bias else None
        y = F.linear(tx, tw, tb)
        dy = random.normal(*y.shape)
        y.backward(fixed(dy))
        tensors = {"input": x, "weight": w, "grad_output": dy,
                   "output": numpy(y), "grad_input": numpy(tx.grad), "grad_weight": numpy(tw.grad)}
        if bias:
            tensors |= {"bias": b, "grad_bias": numpy(tb.grad)}
        family.add(name, tensors, {}, seed, (["no-bias"] if not bias else []) + (["offset-data"] if mean else []))
    return family.report()


# N, C, H, W, kernel, stride, padding
POOLS = [
    (1, 1, 2, 2, (2, 2), (2, 2), (0, 0)), (2, 3, 8, 8, (2, 2), (2, 2), (0, 0)), (1, 4, 7, 9, (2, 2), (2, 2), (0, 0)),
    (2, 5, 9, 7, (3, 3), (2, 2), (1, 1)), (1, 2, 8, 8, (3, 3), (2, 2), (0, 0)), (1, 3, 6, 10, (3, 2), (1, 2), (1, 0)),
    (2, 2, 5, 5, (5, 5), (1, 1), (0, 0)), (1, 7, 5, 6, (3, 3), (1, 1), (1, 1)), (1, 3, 9, 9, (2, 2), (3, 3), (0, 0)),
    (3, 16, 4, 4, (4, 4), (4, 4), (0, 0)), (1, 2, 6, 5, (1, 1), (2, 2), (0, 0)), (2, 3, 1, 1, (3, 3), (2, 2), (1, 1)),
]


def pool_name(n, c, h, w, kernel, stride, padding) -> str:
    return f"n{n}c{c}h{h}w{w}-k{kernel[0]}x{kernel[1]}-u{stride[0]}x{stride[1]}-p{padding[0]}x{padding[1]}"


def pools(out: Path) -> list:
    largest, average = Family(out, "max_pool2d"), Family(out, "avg_pool2d")
    for case in POOLS:
        n, c, h, w, kernel, stride, padding = case
        attributes = {"kernel": kernel, "stride": stride, "padding": padding}
        for ties in (False, True):
            name = pool_name(*case) + ("-ties" if ties else "")
            if ties and (kernel == (1, 1) or h == 1):
                continue
            seed = seed_of(largest.op, name)
            random = Random(seed)
            # Integers of a narrow range: many equal maxima within a window. Negative ones too, so that padding
            # with 0 instead of minus infinity shows.
            x = random.integers(-3, 0, n, c, h, w).astype(np.float32) if ties else random.normal(n, c, h, w)
            indices = F.max_pool2d(fixed(x), kernel, stride, padding, return_indices=True)[1].numpy().copy()
            unary(largest, name, lambda t: F.max_pool2d(t, kernel, stride, padding), x, random, attributes, seed,
                  ["ties"] if ties else [], indices=indices)
        for count_include_pad in (True, False) if any(padding) else (True,):
            name = pool_name(*case) + ("" if count_include_pad else "-exclude_pad")
            seed = seed_of(average.op, name)
            random = Random(seed)
            unary(average, name,
                  lambda t: F.avg_pool2d(t, kernel, stride, padding, count_include_pad=count_include_pad),
                  random.normal(n, c, h, w), random, attributes | {"count_include_pad": count_include_pad}, seed)
    return [largest.report(), average.report()]


def element_wise(out: Path) -> list:
    relu, flatten, dropout = Family(out, "relu"), Family(out, "flatten"), Family(out, "dropout")
    for shape in [(1,), (5,), (3, 7), (2, 3, 4, 5), (2, 2, 3, 4, 5), (1, 17, 3, 3)]:
        name = "x".join(map(str, shape))
        seed = seed_of(relu.op, name)
        random = Random(seed)
        x = random.normal(*shape)
        x.reshape(-1)[1::4] = 0.0  # the kink: gradient 0
        x.reshape(-1)[2::8] = -0.0
        unary(relu, name, F.relu, x, random, {}, seed)
    for shape, start in [((2, 3, 4, 5), 1), ((3, 4), 1), ((1, 8, 1, 1), 1), ((4, 2, 3), 0), ((2, 3, 4, 2, 2), 2)]:
        name = "x".join(map(str, shape)) + f"-from{start}"
        seed = seed_of(flatten.op, name)
        random = Random(seed)
        unary(flatten, name, lambda t: t.flatten(start), random.normal(*shape), random, {"start_dim": start}, seed)
    for shape, p, training in [
            ((4, 10), 0.5, True), ((2, 3, 4, 5), 0.25, True), ((64,), 0.9, True), ((3, 5), 0.0, True),
            ((2, 8), 1.0, True), ((4, 6), 0.5, False), ((1, 4, 3, 3), 0.1, True)]:
        name = "x".join(map(str, shape)) + f"-p{p}" + ("" if training else "-eval")
        seed = seed_of(dropout.op, name)
        random = Random(seed)
        x, mask = random.normal(*shape), random.keep(p, *shape)
        factor = fixed(mask.astype(np.float32)) / (1 - p) if p < 1 else torch.zeros(shape, dtype=torch.float64)
        unary(dropout, name, lambda t: t * factor if training else t * 1.0, x, random,
              {"p": p, "training": training}, seed, **({"mask": mask} if training else {}))
    return [relu.report(), flatten.report(), dropout.report()]


def batch_norm(out: Path) -> str:
    family = Family(out, "batch_norm2d")
    for (n, c, h, w), eps, momentum, affine, mean in [
            ((2, 3, 4, 5), 1e-5, 0.1, True, 0.0), ((4, 1, 3, 3), 1e-5, 0.1, True, 0.0),
            ((1, 5, 6, 7), 1e-5, 0.1, True, 0.0), ((8, 7, 1, 1), 1e-5, 0.1, True, 0.0),
            ((2, 16, 5, 5), 1e-3, 0.01, True, 0.0), ((3, 4, 4, 4), 1e-5, 1.0, True, 0.0),
            ((2, 3, 4, 4), 1e-5, 0.1, False, 0.0), ((2, 4, 6, 6), 1e-5, 0.1, True, 30.0)]:
        for training in (True, False):
            name = (f"n{n}c{c}h{h}w{w}-e{eps:g}-m{momentum:g}" + ("" if affine else "-plain")
                    + ("-offset" if mean else "") + ("" if training else "-eval"))
            seed = seed_of(family.op, name)
            random = Random(seed)
            x = random.normal(n, c, h, w, scale=2.0, mean=mean)
            running = {"running_mean": random.normal(c, mean=mean), "running_var": random.uniform(c, low=0.5, high=4)}
            weight, bias = (random.normal(c, mean=1.0), random.normal(c)) if affine else (None, None)
            after = {key: fixed(value) for key, value in running.items()}
            tx, tw, tb = leaf(x), *((leaf(weight), leaf(bias)) if affine else (None, None))
            y = F.batch_norm(tx, after["running_mean"], after["running_var"], tw, tb, training, momentum, eps)
            dy = random.normal(*y.shape)
            y.backward(fixed(dy))
            tensors = {"input": x, "grad_output": dy, "output": numpy(y), "grad_input": numpy(tx.grad), **running}
            tensors |= {f"{key}_after": numpy(value) for key, value in after.items()}
            if affine:
                tensors |= {"weight": weight, "bias": bias,
                            "grad_weight": numpy(tw.grad), "grad_bias": numpy(tb.grad)}
            tags = ["train" if training else "eval"] + (["offset-data"] if mean else [])
            family.add(name, tensors, {"eps": eps, "momentum": momentum, "training": training}, seed, tags)
    return family.report()


def generate(out: Path) -> list:
    return [linear(out), *pools(out), *element_wise(out), batch_norm(out)]
