"""Makes everything below References/ again: `python generate.py --out DIR`.

One thread, deterministic algorithms: a second run writes the same bytes. (On another kind of CPU the last bits of a
float64 sum may differ, since the matrix library picks another kernel; the numbers agree to about 1e-15.)
"""

import argparse
import hashlib
import importlib
from pathlib import Path

import torch

MODULES = ["conv", "conv_transpose", "layers", "losses", "sequential", "optimizers", "images", "trajectories",
           "networks", "perturbed_step"]


def write_manifest(out: Path) -> int:
    files = sorted(out.rglob("*.safetensors"))
    lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(out).as_posix()}" for f in files]
    (out / "MANIFEST.sha256").write_text("\n".join(lines) + "\n")
    return sum(f.stat().st_size for f in files)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the References folder to write")
    parser.add_argument("--only", nargs="*", choices=MODULES, default=MODULES, help="some families only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in arguments.only:
        for line in importlib.import_module(name).generate(arguments.out):
            print(line, flush=True)
    print(f"{write_manifest(arguments.out) / 1e6:.2f} MB in all")


if __name__ == "__main__":
    main()
