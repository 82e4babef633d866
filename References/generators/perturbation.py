"""Networks in which every convolution and linear product, in all passes, deviates at random by a stated bound: what
the envelopes of steps and trajectories are made with."""

import torch
import torch.nn.functional as F
from torch import nn

UNIT = 2.0**-24  # the unit roundoff of float32


class Noise:
    """Component-wise perturbations level * u * S * xi, xi uniform in [-1, 1]."""

    def __init__(self, level: float, seed: int):
        self.scale = level * UNIT
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, value: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        xi = torch.rand(value.shape, generator=self.generator, dtype=torch.float64).mul_(2).sub_(1)
        return value + xi.mul_(self.scale).mul_(magnitude)


class Perturbed(torch.autograd.Function):
    """A convolution or linear product `layer`; S = the same operator applied to absolute values."""

    @staticmethod
    def run(layer, x, w, b):
        if isinstance(layer, nn.Linear):
            return F.linear(x, w, b)
        return F.conv2d(x, w, b, layer.stride, layer.padding, layer.dilation, layer.groups)

    @staticmethod
    def gradients(layer, dy, x, w, needed):
        if isinstance(layer, nn.Linear):
            return [dy @ w if needed[0] else None, dy.T @ x if needed[1] else None, dy.sum(0) if needed[2] else None]
        return torch.ops.aten.convolution_backward(
            dy, x, w, [w.shape[0]], layer.stride, layer.padding, layer.dilation, False, [0, 0], layer.groups, needed)

    @staticmethod
    def forward(ctx, layer, noise, x, w, b):
        ctx.layer, ctx.noise = layer, noise
        ctx.save_for_backward(x, w)
        size = None if b is None else b.abs()
        return noise(Perturbed.run(layer, x, w, b), Perturbed.run(layer, x.abs(), w.abs(), size))

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        needed = list(ctx.needs_input_grad[2:])
        exact = Perturbed.gradients(ctx.layer, dy, x, w, needed)
        magnitude = Perturbed.gradients(ctx.layer, dy.abs(), x.abs(), w.abs(), needed)
        return None, None, *(ctx.noise(e, m) if need else None for e, m, need in zip(exact, magnitude, needed))


def perturb(model: nn.Module, noise: Noise):
    """Puts the noise into every convolution and linear layer of the model."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.forward = lambda x, m=module: Perturbed.apply(m, noise, x, m.weight, m.bias)
