"""Checks the stored files by other means than those that made them: `python verify.py [--references DIR]`.

Every case is loaded with the safetensors library and computed again from its definition (formulas.py); its expected
tensors must be exactly those that the definition gives. Checksums are compared with the manifest.
"""

import argparse
import collections
import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

from formulas import FORMULAS, doubles

TOLERANCE = 1e-12  # relative to the largest entry: both sides are float64
GIVEN = {"input", "weight", "bias", "target", "mask", "running_mean", "running_var", "grad_output"}


def load(path: Path) -> tuple:
    with safe_open(path, "np") as f:
        return {name: f.get_tensor(name) for name in f.keys()}, f.metadata()


def faults(path: Path, worst: dict) -> list:
    tensors, metadata = load(path)
    op = metadata["op"]
    if metadata["format"] != "vbench-reference-1" or op != path.parent.name:
        return [f"{path}: format {metadata['format']}, op {op}"]
    expected = FORMULAS[op](doubles(tensors), **json.loads(metadata["attributes"]))
    optimizer = op in ("sgd", "adam", "adamw")
    given = {name for name in tensors if name in GIVEN or name.startswith(("param.", "buffer."))
             or optimizer and name.startswith("grad.")}
    if set(tensors) - given != set(expected):
        return [f"{path}: has {sorted(set(tensors) - given)}, the definition gives {sorted(expected)}"]
    found = []
    for name, value in expected.items():
        stored, value = tensors[name], np.asarray(value)
        if stored.dtype != value.dtype or stored.shape != value.shape:
            found.append(f"{path}: {name} is {stored.dtype}{stored.shape}, not {value.dtype}{value.shape}")
            continue
        deviation = float(np.abs(stored - value).max() / (np.abs(value).max() or 1.0))
        worst[op] = max(worst[op], deviation)
        if not deviation <= TOLERANCE:
            found.append(f"{path}: {name} deviates by {deviation:.1e}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().references
    worst, counts, found = collections.defaultdict(float), collections.Counter(), []
    for path in sorted((root / "cases").rglob("*.safetensors")):
        counts[path.parent.name] += 1
        found += faults(path, worst)
    listed = dict(line.split("  ")[::-1] for line in (root / "MANIFEST.sha256").read_text().splitlines())
    present = {f.relative_to(root).as_posix(): f for f in root.rglob("*.safetensors")}
    found += [f"{name}: in the manifest or on disk only" for name in sorted(listed.keys() ^ present.keys())]
    found += [f"{name}: checksum differs" for name in sorted(listed.keys() & present.keys())
              if hashlib.sha256(present[name].read_bytes()).hexdigest() != listed[name]]
    for op, count in sorted(counts.items()):
        print(f"{op:22} {count:4} cases, largest relative deviation {worst[op]:.1e}")
    print("\n".join(found) or f"{len(present)} files are good")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
