"""A single perturbed step of resnet18 at level 4, with a seed that no envelope was made with: the step of an engine of which is known
what it is, for the tests of what judges steps."""

from pathlib import Path

import networks
from vbref import save

NAME, LEVEL, NUMBER = "resnet18", 4, 7


def generate(out: Path) -> list:
    found = networks.step(NAME, LEVEL, NUMBER)
    attributes = {"network": NAME, "level": LEVEL, "quantities": sorted(found)}
    size = save(out / "networks" / "perturbed" / f"{NAME}.safetensors", dict(found), "perturbed-step", attributes,
                seed=str(1000 * LEVEL + NUMBER), description=f"one step of {NAME}, every product off by {LEVEL} * u * S * xi")
    return [f"perturbed step of {NAME}: {size / 1e3:.0f} kB"]
