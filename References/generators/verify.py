"""Checks the stored files by other means than those that made them: `python verify.py --references DIR`.

Convolutions are computed again from their definition, with numpy, tap by tap; every file is loaded with the
safetensors library; checksums are compared with the manifest.
"""

import argparse
import collections
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
from safetensors import safe_open


def load(path: Path):
    with safe_open(path, "np") as f:
        return {name: f.get_tensor(name) for name in f.keys()}, f.metadata()


def taps(kernel, stride, dilation, output):
    """For each tap: its index, and the slices of the padded input that it meets."""
    for tap in itertools.product(*map(range, kernel)):
        yield tap, tuple(slice(t * d, t * d + s * (o - 1) + 1, s)
                         for t, d, s, o in zip(tap, dilation, stride, output))


def convolution(x, w, b, dy, stride, padding, dilation, groups):
    """output, grad_input, grad_weight and grad_bias of a cross-correlation, from the formula."""
    x, w, dy = (a.astype(np.float64) for a in (x, w, dy))
    n, c, k = x.shape[0], x.shape[1], w.shape[0]
    out = dy.shape[2:]
    padded = np.pad(x, [(0, 0), (0, 0), *padding])
    y, dx, dw = np.zeros(dy.shape), np.zeros(padded.shape), np.zeros(w.shape)
    for tap, where in taps(w.shape[2:], stride, dilation, out):
        for g in range(groups):
            cs, ks = slice(g * c // groups, (g + 1) * c // groups), slice(g * k // groups, (g + 1) * k // groups)
            wt = w[(ks, slice(None), *tap)]
            xt = padded[(slice(None), cs, *where)]
            y[:, ks] += np.einsum("kc,nc...->nk...", wt, xt)
            dx[(slice(None), cs, *where)] += np.einsum("kc,nk...->nc...", wt, dy[:, ks])
            dw[(ks, slice(None), *tap)] = np.einsum(
                "nkp,ncp->kc", dy[:, ks].reshape(n, k // groups, -1), xt.reshape(n, c // groups, -1))
    dx = dx[(slice(None), slice(None), *(slice(lo, lo + e) for (lo, _), e in zip(padding, x.shape[2:])))]
    db = dy.sum(axis=(0, *range(2, dy.ndim)))
    return (y if b is None else y + b.astype(np.float64).reshape(1, -1, *[1] * len(out))), dx, dw, db


def transposed(x, w, b, dy, stride, padding, dilation, groups):
    """The same of a transposed convolution: the input is scattered, tap by tap."""
    x, w, dy = (a.astype(np.float64) for a in (x, w, dy))
    n, cin, cout = x.shape[0], x.shape[1], w.shape[1] * groups
    full = [max(s * (h - 1) + d * (r - 1) + 1, o + 2 * p) for s, h, d, r, o, p in zip(
        stride, x.shape[2:], dilation, w.shape[2:], dy.shape[2:], padding)]
    canvas, dfull = np.zeros((n, cout, *full)), np.zeros((n, cout, *full))
    inner = (slice(None), slice(None), *(slice(p, p + o) for p, o in zip(padding, dy.shape[2:])))
    dfull[inner] = dy
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for tap, where in taps(w.shape[2:], stride, dilation, x.shape[2:]):
        for g in range(groups):
            ci, co = (slice(g * v // groups, (g + 1) * v // groups) for v in (cin, cout))
            wt, dt = w[(ci, slice(None), *tap)], dfull[(slice(None), co, *where)]
            canvas[(slice(None), co, *where)] += np.einsum("ik,ni...->nk...", wt, x[:, ci])
            dx[:, ci] += np.einsum("ik,nk...->ni...", wt, dt)
            dw[(ci, slice(None), *tap)] = np.einsum(
                "nip,nkp->ik", x[:, ci].reshape(n, cin // groups, -1), dt.reshape(n, cout // groups, -1))
    y = canvas[inner]
    return (y if b is None else y + b.astype(np.float64).reshape(1, -1, 1, 1)), dx, dw, dy.sum(axis=(0, 2, 3))


def deviation(stored, computed) -> float:
    return float(np.abs(stored - computed).max() / (np.abs(computed).max() + 1e-300))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().references
    worst, counts, bad = collections.defaultdict(float), collections.Counter(), []
    for path in sorted((root / "cases").rglob("*.safetensors")):
        tensors, metadata = load(path)
        op, attributes = metadata["op"], json.loads(metadata["attributes"])
        assert metadata["format"] == "vbench-reference-1" and op == path.parent.name, path
        counts[op] += 1
        if not op.startswith("conv"):
            continue
        attributes.pop("output_padding", None)
        formula = transposed if op == "conv_transpose2d" else convolution
        results = formula(tensors["input"], tensors["weight"], tensors.get("bias"), tensors["grad_output"],
                          **attributes)
        for name, value in zip(("output", "grad_input", "grad_weight", "grad_bias"), results):
            if name not in tensors:
                assert name == "grad_bias" and "bias" not in tensors, (path, name)
                continue
            assert tensors[name].dtype == np.float64 and tensors[name].shape == value.shape, (path, name)
            error = deviation(tensors[name], value)
            worst[op] = max(worst[op], error)
            if error > 1e-12:
                bad.append((path.name, name, error))
    for line in (root / "MANIFEST.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        if hashlib.sha256((root / name).read_bytes()).hexdigest() != digest:
            bad.append((name, "checksum"))
    print("cases:", dict(counts))
    print("largest relative deviation from the formula:", dict(worst))
    print("files:", sum(1 for _ in root.rglob("*.safetensors")), "bad:", bad)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
