"""sgd, adam and adamw: parameters after every step, from given initial values and gradients."""

from pathlib import Path

import numpy as np
import torch

from vbref import Family, Random, fixed, numpy, seed_of

STEPS = 8
SHAPES = [(3, 4), (5,), (2, 3, 2, 2)]
SGD = {"lr": 0.01, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
ADAM = {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
ADAMW = ADAM | {"weight_decay": 0.01}

CASES = {
    "sgd": [
        ("plain", SGD), ("momentum", SGD | {"momentum": 0.9}), ("weight_decay", SGD | {"weight_decay": 0.1}),
        ("nesterov", SGD | {"momentum": 0.9, "nesterov": True}), ("large-lr", SGD | {"lr": 0.5}),
        ("dampening", SGD | {"momentum": 0.9, "dampening": 0.3}),
        ("momentum-weight_decay", SGD | {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.05}),
        ("nesterov-weight_decay", SGD | {"lr": 0.05, "momentum": 0.7, "weight_decay": 0.01, "nesterov": True}),
        ("all", SGD | {"lr": 0.03, "momentum": 0.5, "dampening": 0.2, "weight_decay": 0.2}),
    ],
    "adam": [
        ("defaults", ADAM), ("lr", ADAM | {"lr": 0.05}), ("betas", ADAM | {"betas": [0.5, 0.9]}),
        ("large-eps", ADAM | {"eps": 0.1}), ("weight_decay", ADAM | {"weight_decay": 0.1}),
        ("all", ADAM | {"lr": 0.02, "betas": [0.8, 0.99], "eps": 1e-4, "weight_decay": 0.05}),
        ("no-momentum", ADAM | {"betas": [0.0, 0.99]}),
    ],
    "adamw": [
        ("defaults", ADAMW), ("lr", ADAMW | {"lr": 0.05}), ("weight_decay", ADAMW | {"lr": 0.01, "weight_decay": 0.3}),
        ("no-weight_decay", ADAMW | {"weight_decay": 0.0}), ("large-eps", ADAMW | {"eps": 0.1}),
        ("all", ADAMW | {"lr": 0.02, "betas": [0.8, 0.99], "eps": 1e-4, "weight_decay": 0.05}),
    ],
}
CLASSES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def generate(out: Path) -> list:
    lines = []
    for op, cases in CASES.items():
        family = Family(out, op)
        for name, options in cases:
            seed = seed_of(op, name)
            random = Random(seed)
            initial = [random.normal(*shape) for shape in SHAPES]
            # Gradients of different size per parameter; a few exact zeros (Adam divides by their root plus eps).
            grads = [random.normal(STEPS, *shape, scale=scale) for shape, scale in zip(SHAPES, (1.0, 0.01, 10.0))]
            for g in grads:
                g.reshape(STEPS, -1)[:, 0] = 0.0
            parameters = [fixed(a).requires_grad_(True) for a in initial]
            arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
            optimizer = CLASSES[op](parameters, **arguments, foreach=False)
            after = [[] for _ in SHAPES]
            for step in range(STEPS):
                for parameter, g in zip(parameters, grads):
                    parameter.grad = fixed(g[step])
                optimizer.step()
                for i, parameter in enumerate(parameters):
                    after[i].append(numpy(parameter))
            tensors = {}
            for i in range(len(SHAPES)):
                tensors |= {f"param.{i}": initial[i], f"grad.{i}": grads[i], f"param_after.{i}": np.stack(after[i])}
            family.add(name, tensors, options | {"steps": STEPS}, seed)
        lines.append(family.report())
    return lines
