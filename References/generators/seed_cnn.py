"""seed-cnn in float64, and the same network with every convolution and linear product perturbed."""

import math

import numpy as np
import torch
import torch.nn.functional as F

import philox

UNIT = 2.0**-24  # the unit roundoff of float32

# Name, shape, fan-in, in the order of parameters().
PARAMETERS = [
    ("conv1.weight", (32, 3, 3, 3), 27), ("conv1.bias", (32,), 27),
    ("conv2.weight", (64, 32, 3, 3), 288), ("conv2.bias", (64,), 288),
    ("conv3.weight", (128, 64, 3, 3), 576), ("conv3.bias", (128,), 576),
    ("fc1.weight", (1000, 2048), 2048), ("fc1.bias", (1000,), 2048),
    ("fc2.weight", (10, 1000), 1000), ("fc2.bias", (10,), 1000),
]


def initial_parameters(seed: int) -> dict:
    """F32 arrays by name: uniform in +-1/sqrt(fan_in), PyTorch's default for weight and bias."""
    return {name: philox.uniform(seed, i, shape, 1.0 / math.sqrt(fan_in))
            for i, (name, shape, fan_in) in enumerate(PARAMETERS)}


class Noise:
    """Component-wise perturbations level * u * S * xi, xi uniform in [-1, 1]."""

    def __init__(self, level: float, seed: int):
        self.scale = level * UNIT
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, value: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        xi = torch.rand(value.shape, generator=self.generator, dtype=torch.float64).mul_(2).sub_(1)
        return value + xi.mul_(self.scale).mul_(magnitude)


def convolution_gradients(dy, x, w, need_input: bool):
    return torch.ops.aten.convolution_backward(
        dy, x, w, [w.shape[0]], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [need_input, True, True])


class PerturbedConv(torch.autograd.Function):
    """3x3, padding 1. S = the same operator applied to absolute values."""

    @staticmethod
    def forward(ctx, x, w, b, noise):
        ctx.save_for_backward(x, w)
        ctx.noise = noise
        return noise(F.conv2d(x, w, b, padding=1), F.conv2d(x.abs(), w.abs(), b.abs(), padding=1))

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        need_input = ctx.needs_input_grad[0]
        exact = convolution_gradients(dy, x, w, need_input)
        magnitude = convolution_gradients(dy.abs(), x.abs(), w.abs(), need_input)
        return *(None if e is None else ctx.noise(e, m) for e, m in zip(exact, magnitude)), None


class PerturbedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b, noise):
        ctx.save_for_backward(x, w)
        ctx.noise = noise
        return noise(F.linear(x, w, b), F.linear(x.abs(), w.abs(), b.abs()))

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        noise, size = ctx.noise, dy.abs()
        return (noise(dy @ w, size @ w.abs()), noise(dy.T @ x, size.T @ x.abs()),
                noise(dy.sum(0), size.sum(0)), None)


def logits(p: dict, x: torch.Tensor, noise) -> torch.Tensor:
    """x [N,3,32,32] -> [N,10]."""
    for layer in ("conv1", "conv2", "conv3"):
        w, b = p[layer + ".weight"], p[layer + ".bias"]
        y = F.conv2d(x, w, b, padding=1) if noise is None else PerturbedConv.apply(x, w, b, noise)
        x = F.max_pool2d(F.relu(y), 2)
    x = x.flatten(1)
    for layer in ("fc1", "fc2"):
        w, b = p[layer + ".weight"], p[layer + ".bias"]
        x = F.linear(x, w, b) if noise is None else PerturbedLinear.apply(x, w, b, noise)
        x = F.relu(x) if layer == "fc1" else x
    return x


def train(optimizer: dict, seed: int, images: np.ndarray, labels: np.ndarray, noise=None) -> dict:
    """One float64 run: `loss` and `grad_norm` per step, `parameters` at the end. A perturbed run rounds the
    parameters to float32 after each step, since that is how they are stored between steps."""
    p = {name: torch.from_numpy(a).double().requires_grad_(True) for name, a in initial_parameters(seed).items()}
    if optimizer["op"] == "sgd":
        step = torch.optim.SGD(p.values(), lr=optimizer["lr"], momentum=optimizer["momentum"], foreach=False)
    else:
        step = torch.optim.Adam(p.values(), lr=optimizer["lr"], betas=tuple(optimizer["betas"]),
                                eps=optimizer["eps"], foreach=False)
    losses, norms = [], []
    for batch, target in zip(images, labels):
        x = torch.from_numpy(batch.astype(np.float32) / np.float32(255)).double()
        step.zero_grad()
        loss = F.cross_entropy(logits(p, x, noise), torch.from_numpy(target))
        loss.backward()
        losses.append(loss.item())
        norms.append(math.sqrt(sum(t.grad.square().sum().item() for t in p.values())))
        step.step()
        if noise is not None:
            with torch.no_grad():
                for t in p.values():
                    t.copy_(t.float().double())
    return {
        "loss": np.array(losses), "grad_norm": np.array(norms),
        "parameters": {name: t.detach().numpy() for name, t in p.items()},
    }
