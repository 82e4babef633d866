"""The file format `vbench-reference-1` and what every generator shares.

Written by hand instead of through safetensors.save_file: that one writes the metadata in an order that changes
from run to run, and the files here have to be byte-identical when they are made again.
"""

import json
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

PRODUCER = "torch " + torch.__version__.split("+")[0]

DTYPES = {
    np.dtype("float64"): "F64",
    np.dtype("float32"): "F32",
    np.dtype("int64"): "I64",
    np.dtype("uint32"): "U32",
    np.dtype("uint8"): "U8",
}


def save(path: Path, tensors: dict, op: str, attributes: dict, **extra: str) -> int:
    """Writes one file; returns its size. `extra` is further metadata (tags, seed, description)."""
    metadata = {
        "attributes": json.dumps(attributes, separators=(",", ":")),
        "format": "vbench-reference-1",
        "op": op,
        "precision": "float64",
        "producer": PRODUCER,
    } | extra
    header = {"__metadata__": dict(sorted(metadata.items()))}
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    blobs, offset = [], 0
    for name, a in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        blob = a.astype(a.dtype.newbyteorder("<")).tobytes()  # row-major, also from a strided array
        header[name] = {
            "dtype": DTYPES[a.dtype],
            "shape": list(a.shape),
            "data_offsets": [offset, offset + len(blob)],
        }
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    return 8 + len(text) + offset


class Family:
    """The cases of one op: refuses a name twice, counts tags, adds seed and place."""

    def __init__(self, out: Path, op: str):
        self.out, self.op = out, op
        self.names, self.tags, self.bytes = set(), {}, 0

    def add(self, name: str, tensors: dict, attributes: dict, seed: int, tags=(), description: str = ""):
        if name in self.names:
            raise ValueError(f"{self.op}/{name} is written twice")
        for key, value in tensors.items():
            a = np.asarray(value)
            if a.dtype.kind == "f" and not np.isfinite(a).all():
                raise ValueError(f"{self.op}/{name}: {key} is not finite")
        self.names.add(name)
        for tag in tags:
            self.tags[tag] = self.tags.get(tag, 0) + 1
        self.bytes += save(
            self.out / "cases" / self.op / f"{name}.safetensors", tensors, self.op, attributes,
            tags=",".join(sorted(tags)), seed=str(seed), description=description)

    def report(self) -> str:
        tags = "  ".join(f"{tag}:{count}" for tag, count in sorted(self.tags.items()))
        return f"{self.op}: {len(self.names)} cases, {self.bytes / 1e6:.2f} MB  {tags}"


def seed_of(*parts: object) -> int:
    """A seed that depends on the case's name only, so that adding a case changes no other."""
    return zlib.crc32("/".join(str(p) for p in parts).encode())


class Random:
    """Seeded float32 data."""

    def __init__(self, seed: int):
        self.generator = np.random.Generator(np.random.PCG64(seed))

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> np.ndarray:
        return (self.generator.standard_normal(shape) * scale + mean).astype(np.float32)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        return self.generator.uniform(low, high, shape).astype(np.float32)

    def integers(self, low: int, high: int, *shape: int) -> np.ndarray:
        """low <= value < high, I64."""
        return self.generator.integers(low, high, shape, dtype=np.int64)

    def keep(self, p: float, *shape: int) -> np.ndarray:
        """1 with probability 1 - p, U8."""
        return (self.generator.random(shape) >= p).astype(np.uint8)

    def shuffled(self, values) -> np.ndarray:
        return self.generator.permutation(np.asarray(values))


def leaf(a: np.ndarray) -> torch.Tensor:
    """A float64 tensor with exactly the values of the float32 array, whose gradient is wanted."""
    return torch.from_numpy(np.array(a)).double().requires_grad_(True)


def fixed(a: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(a)).double()


def numpy(t: torch.Tensor) -> np.ndarray:
    return t.detach().contiguous().numpy().copy()


def is_prime(x: int) -> bool:
    return x > 1 and all(x % d for d in range(2, math.isqrt(x) + 1))
