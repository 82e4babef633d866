"""Training trajectories of networks with the envelopes that a float32 run is judged by."""

import concurrent.futures
import multiprocessing
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import philox
from networks import LEVELS, NETWORKS, initialize
from perturbation import Noise, perturb
from vbref import save

STEPS, BATCH, CLASSES, SIDE = 20, 64, 10, 32
SEED = 20240229
SAMPLE = 64
STEP_SAMPLE = 16  # after each step; few, because there are many steps
SGD = {"op": "sgd", "lr": 0.01, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
ADAM = {"op": "adam", "lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
# What a level's envelopes are of.
QUANTITIES = ["loss", "grad_norm", "step_inputs", "step_gradients", "step_distance", "step_medians", "distance", "norm",
              "update_norm", "sample_distance", "sample_max"]
# file: network, optimizer, steps, images of a step, perturbed runs per level
TRAJECTORIES = {
    "seed-cnn-sgd": ("seed-cnn", SGD, STEPS, BATCH, 6),
    "seed-cnn-adam": ("seed-cnn", ADAM, STEPS, BATCH, 6),
    "lenet-adam": ("lenet", ADAM, STEPS, BATCH, 6),
    # So few images make large gradients: at the usual rate rounding grows a thousandfold per step.
    "resnet18-sgd": ("resnet18", SGD | {"lr": 0.001}, 5, 4, 3),
    "alexnet-sgd": ("alexnet", SGD, 4, 8, 3),
    "vgg11-sgd": ("vgg11", SGD, 3, 4, 2),
    # Channels of next to no variance are normalized here: a gradient has lost half of float32's digits.
    "mobilenet-v2-sgd": ("mobilenet-v2", SGD | {"lr": 0.00001}, 3, 8, 3),
}
COLOURS = np.array([
    [0.9, 0.2, 0.2], [0.2, 0.8, 0.3], [0.2, 0.3, 0.9], [0.9, 0.8, 0.2], [0.8, 0.3, 0.8],
    [0.2, 0.8, 0.8], [0.9, 0.5, 0.2], [0.6, 0.6, 0.6], [0.5, 0.2, 0.7], [0.3, 0.6, 0.2],
])


def pattern(label: int, g: np.random.Generator) -> np.ndarray:
    """One of ten drawings with random place, pitch and phase: [32,32] in 0...1."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    cy, cx = g.uniform(11, 21, 2)
    pitch, phase = g.uniform(4, 7), g.uniform(0, 2 * np.pi)
    radius = np.hypot(y - cy, x - cx)

    def wave(t):
        return 0.5 + 0.5 * np.sin(2 * np.pi * t / pitch + phase)

    def checker(cell):
        return ((y + phase) // cell + (x + phase) // cell) % 2

    drawings = [
        lambda: wave(y), lambda: wave(x), lambda: wave((x + y) * 0.7), lambda: wave((x - y) * 0.7),
        lambda: checker(4), lambda: checker(8), lambda: np.exp(-(radius / 7) ** 2), lambda: wave(radius),
        lambda: np.exp(-((radius - 9) / 2) ** 2), lambda: np.minimum(np.abs(x - cx), np.abs(y - cy)) < 3,
    ]
    return drawings[label]().astype(np.float64)


def batches() -> tuple:
    """images U8 [20,64,3,32,32] and labels I64 [20,64]: a pattern in its colour (mixed with a random one) on a
    random background, with noise."""
    g = np.random.Generator(np.random.PCG64(SEED))
    labels = g.integers(0, CLASSES, (STEPS, BATCH), dtype=np.int64)
    images = np.empty((STEPS, BATCH, 3, SIDE, SIDE), dtype=np.uint8)
    for step in range(STEPS):
        for i in range(BATCH):
            label = int(labels[step, i])
            drawing = pattern(label, g)
            front = 0.6 * COLOURS[label] + 0.4 * g.random(3)
            back = 0.5 * g.random(3)
            image = back[:, None, None] + (front - back)[:, None, None] * drawing
            image += g.normal(0, 0.08, image.shape)
            images[step, i] = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return images, labels


def enlarged(images: np.ndarray, side: int, axis: int) -> np.ndarray:
    """Bilinear along one axis with half-pixel centres, every operation in float32."""
    places = np.maximum(0, (np.arange(side) + 0.5) * (images.shape[axis] / side) - 0.5)
    lower = places.astype(np.int64)
    upper = np.minimum(lower + 1, images.shape[axis] - 1)
    weight = (places - lower).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(images.ndim)])
    return (np.float32(1) - weight) * images.take(lower, axis) + weight * images.take(upper, axis)


def network_images(images: np.ndarray, shape: tuple, batch: int) -> np.ndarray:
    """The first `batch` images of a step (bytes) as a network takes them: byte/255; the middle, or bilinear where the
    network's are larger, columns first; of grey networks the green channel."""
    channels, side, _ = shape
    first, edge = (1 if channels == 1 else 0), max(0, SIDE - side) // 2
    x = images[:batch, first:first + channels, edge:edge + side, edge:edge + side].astype(np.float32) / np.float32(255)
    return enlarged(enlarged(x, side, 3), side, 2) if side > SIDE else x


def run(name: str, level: int, number: int) -> dict:
    """One float64 run with all that is stored or compared. Level 0 is the exact run. A perturbed run rounds the
    parameters to float32 after each step, since that is how they are stored between steps. One thread, so that it is
    the same run on any number of workers."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network, optimizer, steps, batch, _ = TRAJECTORIES[name]
    kind, shape = NETWORKS[network]
    model = kind().double()
    initialize(model, SEED)
    if level:
        perturb(model, Noise(level, 1000 * level + number))
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear, nn.BatchNorm2d))]
    parameters = dict(model.named_parameters())
    inputs = {}
    for layer in layers:
        layer.register_forward_pre_hook(lambda m, x: inputs.__setitem__(m, x[0].detach().norm().item()))
    if optimizer["op"] == "sgd":
        step = torch.optim.SGD(parameters.values(), lr=optimizer["lr"], momentum=optimizer["momentum"], foreach=False)
    else:
        step = torch.optim.Adam(parameters.values(), lr=optimizer["lr"], betas=tuple(optimizer["betas"]),
                                eps=optimizer["eps"], foreach=False)
    result = {"loss": [], "grad_norm": [], "step_inputs": [], "step_gradients": [], "step_samples": []}
    images, labels = batches()
    for i in range(steps):
        x = network_images(images[i], shape, batch)
        step.zero_grad()
        loss = F.cross_entropy(model(torch.from_numpy(x).double()), torch.from_numpy(labels[i][:batch]))
        loss.backward()
        norms = [t.grad.norm().item() for t in parameters.values()]
        step.step()
        if level:
            with torch.no_grad():
                for t in parameters.values():
                    t.copy_(t.float().double())
        result["loss"].append(loss.item())
        result["grad_norm"].append(float(np.linalg.norm(norms)))
        result["step_inputs"].append([inputs[layer] for layer in layers])
        result["step_gradients"].append(norms)
        result["step_samples"].append(np.concatenate([
            t.detach().numpy().reshape(-1)[sample_indices(t.numel(), STEP_SAMPLE)] for t in parameters.values()]))
    names = {module: key for key, module in model.named_modules()}
    # Those of a perturbed run are float32 numbers: half the memory.
    kept = np.float32 if level else np.float64
    return {key: np.array(value) for key, value in result.items()} | {
        "layers": [names[layer] for layer in layers],
        "parameters": {key: t.detach().numpy().astype(kept) for key, t in parameters.items()}}


def initial_parameters(name: str) -> dict:
    model = NETWORKS[TRAJECTORIES[name][0]][0]()
    initialize(model, SEED)
    return {key: t.detach().double().numpy() for key, t in model.named_parameters()}


def sample_indices(size: int, most: int = SAMPLE) -> np.ndarray:
    count = min(size, most)
    return np.arange(count, dtype=np.int64) * size // count


def distances(found: np.ndarray, exact: np.ndarray, sizes: list) -> np.ndarray:
    """[steps, entries] of the samples of all parameters: the estimate of |p - p*| / |p*| over all parameters together,
    in which each sampled entry stands for size / m of its parameter's."""
    weights = np.concatenate([
        np.full(min(size, STEP_SAMPLE), size / min(size, STEP_SAMPLE)) for size in sizes])
    return np.sqrt(((found - exact) ** 2 * weights).sum(1) / (exact**2 * weights).sum(1))


def medians(found: np.ndarray, exact: np.ndarray, sizes: list) -> np.ndarray:
    """[steps, parameters]: of each parameter the median distance of its sampled entries. A few entries whose gradient's
    sign is lost move it little."""
    ends = np.cumsum([min(size, STEP_SAMPLE) for size in sizes])[:-1]
    return np.stack([np.median(part, axis=1) for part in np.split(np.abs(found - exact), ends, axis=1)], axis=1)


def deviations(runs: list, exact: dict, start: dict, indices: dict) -> dict:
    """The largest deviation of `runs` from the exact run, in everything that a checker can look at."""
    def norm(a):
        return float(np.linalg.norm(a))

    def per_parameter(f):
        return np.array([max(f(name, r["parameters"][name], exact["parameters"][name]) for r in runs)
                         for name in exact["parameters"]])

    def sampled(name, a):
        return a.reshape(-1)[indices[name]]

    sizes = [a.size for a in start.values()]
    stepwise = {key: np.max([np.abs(r[key] - exact[key]) for r in runs], axis=0)
                for key in ("loss", "grad_norm", "step_inputs", "step_gradients")}
    return stepwise | {
        "step_distance": np.max(
            [distances(r["step_samples"], exact["step_samples"], sizes) for r in runs], axis=0),
        "step_medians": np.max(
            [medians(r["step_samples"], exact["step_samples"], sizes) for r in runs], axis=0),
        "distance": per_parameter(lambda name, a, e: norm(a - e) / norm(e)),
        "norm": per_parameter(lambda name, a, e: abs(norm(a) - norm(e))),
        "update_norm": per_parameter(lambda name, a, e: abs(norm(a - start[name]) - norm(e - start[name]))),
        "sample_distance": per_parameter(lambda name, a, e: norm(sampled(name, a - e)) / norm(sampled(name, e))),
        "sample_max": per_parameter(lambda name, a, e: float(np.abs(sampled(name, a - e)).max())),
    }


def trajectory(key: str, results: dict) -> tuple:
    network, optimizer, steps, batch, runs = TRAJECTORIES[key]
    exact = results[0][0]
    start = initial_parameters(key)
    # Of networks of many parameters fewer entries each.
    most = SAMPLE if len(start) <= 16 else STEP_SAMPLE
    indices = {name: sample_indices(a.size, most) for name, a in start.items()}
    tensors = {name: exact[name] for name in ("loss", "grad_norm", "step_inputs", "step_gradients", "step_samples")}
    for name, a in exact["parameters"].items():
        tensors |= {
            f"norm.{name}": np.float64(np.linalg.norm(a)),
            f"update_norm.{name}": np.float64(np.linalg.norm(a - start[name])),
            f"sample_indices.{name}": indices[name],
            f"sample.{name}": a.reshape(-1)[indices[name]],
            f"initial_sample.{name}": start[name].reshape(-1)[indices[name]].astype(np.float32),
        }
    for level in LEVELS:
        within = [r for lower in LEVELS if lower <= level for r in results[lower]]  # these keep the bound as well
        for name, value in deviations(within, exact, start, indices).items():
            tensors[f"envelope.k{level}.{name}"] = value
    attributes = {
        "network": network, "steps": steps, "batch": batch, "seed": SEED, "batches": "batches.safetensors",
        "loss": "cross_entropy", "reduction": "mean", "optimizer": optimizer,
        "parameters": list(start), "layers": exact["layers"], "levels": LEVELS, "runs": runs,
    }
    return tensors, attributes


def generate(out: Path) -> list:
    folder = out / "trajectories"
    images, labels = batches()
    save(folder / "batches.safetensors", {"images": images, "labels": labels}, "batches", {},
         seed=str(SEED), description="ten classes of coloured drawings with noise, made by trajectories.py")
    counter, key, output = (np.array(column, dtype=np.int64) for column in zip(*philox.KNOWN_ANSWERS))
    save(folder / "philox.safetensors", {"counter": counter, "key": key, "output": output}, "philox4x32-10", {},
         description="the known answers of Random123")
    lines = []
    with concurrent.futures.ProcessPoolExecutor(
            os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        # One after the other: the parameters of all runs of the large ones take gigabytes.
        for name, (network, *_, runs) in TRAJECTORIES.items():
            jobs = [(name, level, number)
                    for level in [*LEVELS, 0] for number in range(runs if level else 1)]
            results = {}
            for (_, level, _), result in zip(jobs, pool.map(run, *zip(*jobs))):
                results.setdefault(level, []).append(result)
            lines.append(write(folder, name, results))
    return lines


def write(folder: Path, name: str, results: dict) -> str:
    network, optimizer, steps, *_ = TRAJECTORIES[name]
    tensors, attributes = trajectory(name, results)
    size = save(folder / f"{name}.safetensors", tensors, "trajectory", attributes, seed=str(SEED),
                description=f"{network}, {steps} steps of {optimizer['op']}, exact and with envelopes")
    return (f"trajectory {name}: loss {tensors['loss'][0]:.4f} -> {tensors['loss'][-1]:.4f}, {size / 1e3:.0f} kB; "
            "envelope of the last loss " + ", ".join(f"k{v}: {tensors[f'envelope.k{v}.loss'][-1]:.1e}" for v in LEVELS))
