"""Adds to stored trajectories and steps the levels of their envelopes, and the quantities of a level, that they lack:
`python more_levels.py`.

Everything else stays as it is bit by bit, whatever CPU made it; only where a level is added below a stored one, that one grows to
cover it. Deviations are those from an exact run made here, which agrees with the stored one to about 1e-15.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
from safetensors import safe_open

import networks
import trajectories
from generate import write_manifest
from vbref import save


def load(path: Path) -> tuple:
    with safe_open(path, "np") as f:
        return {name: f.get_tensor(name) for name in f.keys()}, f.metadata()


def with_levels(stored: list, wanted: list, tensors: dict, quantities: set, found) -> dict:
    """`tensors` with the envelopes of the stored and the wanted levels; `found(level)` are those of a level's own runs by
    name, of which only what is not stored is taken."""
    tensors, below = dict(tensors), {}
    for level in sorted({*stored, *wanted}):
        prefix = f"envelope.k{level}"
        own = {name: value for name, value in tensors.items() if name == prefix or name.startswith(prefix + ".")}
        own = {name.removeprefix(prefix): value for name, value in own.items()}
        if level in wanted and not quantities <= own.keys():
            own = found(level) | own
        below |= {name: np.maximum(value, below.get(name, value)) for name, value in own.items()}
        tensors |= {prefix + name: below[name] for name in own}
    return tensors


def add(path: Path, wanted: list, quantities: set, found) -> str:
    """`quantities` are the names of what a level has after its `envelope.k<level>`."""
    tensors, metadata = load(path)
    attributes = json.loads(metadata["attributes"])
    stored = attributes["levels"]
    if all(f"envelope.k{level}{name}" in tensors for level in wanted for name in quantities):
        return f"{path.name}: nothing to add"
    changed = with_levels(stored, wanted, tensors, quantities, found)
    grown = [name for name in tensors if not np.array_equal(tensors[name], changed[name])]
    wanted = sorted({*stored, *wanted})
    extra = {key: metadata[key] for key in metadata if key not in ("attributes", "format", "op", "precision", "producer")}
    save(path, changed, metadata["op"], attributes | {"levels": wanted}, **extra)
    return f"{path.name}: levels {stored} -> {wanted}; grown: {', '.join(grown) or 'none'}"


def trajectory(folder: Path, name: str, levels: list, pool) -> str:
    *_, runs = trajectories.TRAJECTORIES[name]
    start = trajectories.initial_parameters(name)
    # As many entries of each parameter as the file has.
    tensors, _ = load(folder / f"{name}.safetensors")
    indices = {key: tensors[f"sample_indices.{key}"] for key in start}
    exact = pool.submit(trajectories.run, name, 0, 0).result()

    def found(level):
        results = pool.map(trajectories.run, [name] * runs, [level] * runs, range(runs))
        values = trajectories.deviations(list(results), exact, start, indices)
        return {f".{key}": value for key, value in values.items()}

    return add(folder / f"{name}.safetensors", levels, {f".{key}" for key in trajectories.QUANTITIES}, found)


def step(folder: Path, name: str, levels: list, pool) -> str:
    exact = pool.submit(networks.step, name, 0, 0).result()

    def found(level):
        runs = list(pool.map(networks.step, [name] * networks.RUNS, [level] * networks.RUNS, range(networks.RUNS)))
        return {"": np.array(
            [max(networks.deviation(key, run[key], exact[key]) for run in runs) for key in sorted(exact)])}

    return add(folder / f"{name}.safetensors", levels, {""}, found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--only", nargs="*", help="some files only, as in seed-cnn-sgd lenet")
    parser.add_argument("--kind", choices=["trajectories", "networks"], help="one folder only")
    parser.add_argument("--levels", nargs="*", type=int, default=networks.LEVELS, help="some levels only")
    arguments = parser.parse_args()
    root, only, kind, levels = arguments.references, arguments.only, arguments.kind, arguments.levels
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        for name in trajectories.TRAJECTORIES if kind != "networks" else []:
            if only is None or name in only:
                print(trajectory(root / "trajectories", name, levels, pool), flush=True)
        for name in networks.NETWORKS if kind != "trajectories" else []:
            if name != "seed-cnn" and (only is None or name in only):
                print(step(root / "networks", name, levels, pool), flush=True)
    write_manifest(root)


if __name__ == "__main__":
    main()
