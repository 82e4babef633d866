"""Training trajectories of seed-cnn with the envelopes that a float32 run is judged by."""

import concurrent.futures
import multiprocessing
import os
from pathlib import Path

import numpy as np
import torch

import philox
import seed_cnn
from vbref import save

STEPS, BATCH, CLASSES, SIDE = 20, 64, 10, 32
SEED = 20240229
LEVELS = [1, 16, 256, 4096]
RUNS = 6
SAMPLE = 64
OPTIMIZERS = [
    {"op": "sgd", "lr": 0.01, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False},
    {"op": "adam", "lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
]
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


def run(optimizer: dict, level: int, number: int) -> dict:
    """Level 0 is the exact run. One thread, so that it is the same run on any number of workers."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    noise = seed_cnn.Noise(level, 1000 * level + number) if level else None
    return seed_cnn.train(optimizer, SEED, *batches(), noise)


def sample_indices(size: int) -> np.ndarray:
    count = min(size, SAMPLE)
    return np.arange(count, dtype=np.int64) * size // count


def deviations(runs: list, exact: dict, start: dict, indices: dict) -> dict:
    """The largest deviation of `runs` from the exact run, in everything that a checker can look at."""
    def norm(a):
        return float(np.linalg.norm(a))

    def per_parameter(f):
        return np.array([max(f(name, r["parameters"][name], exact["parameters"][name]) for r in runs)
                         for name in exact["parameters"]])

    def sampled(name, a):
        return a.reshape(-1)[indices[name]]

    return {
        "loss": np.max([np.abs(r["loss"] - exact["loss"]) for r in runs], axis=0),
        "grad_norm": np.max([np.abs(r["grad_norm"] - exact["grad_norm"]) for r in runs], axis=0),
        "distance": per_parameter(lambda name, a, e: norm(a - e) / norm(e)),
        "norm": per_parameter(lambda name, a, e: abs(norm(a) - norm(e))),
        "update_norm": per_parameter(lambda name, a, e: abs(norm(a - start[name]) - norm(e - start[name]))),
        "sample_distance": per_parameter(lambda name, a, e: norm(sampled(name, a - e)) / norm(sampled(name, e))),
        "sample_max": per_parameter(lambda name, a, e: float(np.abs(sampled(name, a - e)).max())),
    }


def trajectory(optimizer: dict, results: dict) -> tuple:
    exact = results[0][0]
    start = {name: a.astype(np.float64) for name, a in seed_cnn.initial_parameters(SEED).items()}
    indices = {name: sample_indices(a.size) for name, a in start.items()}
    tensors = {"loss": exact["loss"], "grad_norm": exact["grad_norm"]}
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
        for key, value in deviations(within, exact, start, indices).items():
            tensors[f"envelope.k{level}.{key}"] = value
    attributes = {
        "network": "seed-cnn", "steps": STEPS, "batch": BATCH, "seed": SEED, "batches": "batches.safetensors",
        "loss": "cross_entropy", "reduction": "mean", "optimizer": optimizer,
        "parameters": list(start), "levels": LEVELS, "runs": RUNS,
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
    jobs = [(o["op"], level, n) for level in [*LEVELS, 0] for n in range(RUNS if level else 1) for o in OPTIMIZERS]
    by_name = {o["op"]: o for o in OPTIMIZERS}
    with concurrent.futures.ProcessPoolExecutor(
            os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        done = list(pool.map(run, *zip(*((by_name[op], level, n) for op, level, n in jobs))))
    lines = []
    for name, optimizer in by_name.items():
        results = {}
        for (op, level, _), result in zip(jobs, done):
            if op == name:
                results.setdefault(level, []).append(result)
        tensors, attributes = trajectory(optimizer, results)
        save(folder / f"seed-cnn-{name}.safetensors", tensors, "trajectory", attributes, seed=str(SEED),
             description=f"seed-cnn, {STEPS} steps of {name}, exact and with envelopes")
        lines.append(f"trajectory {name}: loss {tensors['loss'][0]:.4f} -> {tensors['loss'][-1]:.4f}; envelope of "
                     "the last loss " + ", ".join(f"k{v}: {tensors[f'envelope.k{v}.loss'][-1]:.1e}" for v in LEVELS))
    return lines
