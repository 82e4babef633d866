"""Small networks as one op: `sequential`."""

from pathlib import Path

import torch
from torch import nn

from vbref import Family, Random, fixed, leaf, numpy, seed_of


def conv(c, k, r, padding=0, stride=1, dilation=1, groups=1, bias=True) -> dict:
    return {"type": "Conv2d", "in_channels": c, "out_channels": k, "kernel_size": [r, r], "stride": [stride] * 2,
            "padding": [padding] * 2, "dilation": [dilation] * 2, "groups": groups, "bias": bias}


def fully(inputs, outputs, bias=True) -> dict:
    return {"type": "Linear", "in_features": inputs, "out_features": outputs, "bias": bias}


def norm(c) -> dict:
    return {"type": "BatchNorm2d", "num_features": c, "eps": 1e-5, "momentum": 0.1}


def pool(kind, kernel=2, stride=2, padding=0) -> dict:
    return {"type": f"{kind}Pool2d", "kernel_size": [kernel] * 2, "stride": [stride] * 2, "padding": [padding] * 2}


RELU, FLATTEN = {"type": "ReLU"}, {"type": "Flatten"}

# name, input shape, layers, training
CASES = [
    ("mlp", (5, 12), [fully(12, 16), RELU, fully(16, 7, bias=False), RELU, fully(7, 3)], True),
    ("conv-relu-pool-linear", (2, 3, 8, 8), [conv(3, 6, 3, 1), RELU, pool("Max"), FLATTEN, fully(96, 5)], True),
    ("seed-cnn-small", (3, 3, 16, 16),
     [conv(3, 4, 3, 1), RELU, pool("Max"), conv(4, 8, 3, 1), RELU, pool("Max"), conv(8, 8, 3, 1), RELU, pool("Max"),
      FLATTEN, fully(32, 20), RELU, fully(20, 10)], True),
    ("conv-norm-train", (3, 2, 7, 7),
     [conv(2, 6, 3, 1, bias=False), norm(6), RELU, conv(6, 4, 3, 1, stride=2, bias=False), norm(4), RELU], True),
    ("conv-norm-eval", (3, 2, 7, 7),
     [conv(2, 6, 3, 1, bias=False), norm(6), RELU, conv(6, 4, 3, 1, stride=2, bias=False), norm(4), RELU], False),
    ("separable", (2, 6, 9, 9),
     [conv(6, 6, 3, 1, groups=6, bias=False), norm(6), RELU, conv(6, 10, 1), RELU, pool("Avg", 3, 2, 1), FLATTEN,
      fully(250, 4)], True),
    ("dilated-grouped-5x5", (1, 4, 12, 12),
     [conv(4, 8, 5, 4, dilation=2, groups=2), RELU, conv(8, 3, 5, 2, stride=2), pool("Avg")], True),
    ("overlapping-max-pool", (2, 3, 13, 13), [conv(3, 5, 7, 3, stride=2), RELU, pool("Max", 3, 2, 1), FLATTEN], True),
]


def module(layer: dict) -> nn.Module:
    arguments = {key: tuple(value) if isinstance(value, list) else value
                 for key, value in layer.items() if key != "type"}
    return getattr(nn, layer["type"])(**arguments)


def generate(out: Path) -> list:
    family = Family(out, "sequential")
    for name, shape, layers, training in CASES:
        seed = seed_of(family.op, name)
        random = Random(seed)
        network = nn.Sequential(*map(module, layers)).double().train(training)
        tensors = {}
        with torch.no_grad():
            for key, parameter in network.named_parameters():
                scale = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.5
                value = random.normal(*parameter.shape, scale=scale, mean=0.2 if parameter.dim() == 1 else 0.0)
                tensors[f"param.{key}"] = value
                parameter.copy_(fixed(value))
            for key, buffer in network.named_buffers():
                if key.endswith("num_batches_tracked"):
                    continue
                value = random.uniform(*buffer.shape, low=0.5, high=1.5)
                tensors[f"buffer.{key}"] = value
                buffer.copy_(fixed(value))
        x = random.normal(*shape)
        tx = leaf(x)
        y = network(tx)
        dy = random.normal(*y.shape)
        y.backward(fixed(dy))
        tensors |= {"input": x, "grad_output": dy, "output": numpy(y), "grad_input": numpy(tx.grad)}
        tensors |= {f"grad.{key}": numpy(parameter.grad) for key, parameter in network.named_parameters()}
        tensors |= {f"buffer_after.{key}": numpy(buffer) for key, buffer in network.named_buffers()
                    if not key.endswith("num_batches_tracked")}
        family.add(name, tensors, {"layers": layers, "training": training}, seed, ["train" if training else "eval"])
    return [family.report()]
