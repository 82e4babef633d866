"""Corners of convolution combined pairwise.

Greedy: while some pair of corner tags that can occur together is still short of cases, draw problems that aim at
such a pair and keep the one that covers most of these. Sizes stay small, so that files do.
"""

import itertools
import random

from conv_problem import Problem, add
from vbref import Family

TAGS = [
    "1x1-image", "kernel-equals-image", "kernel-exceeds-tile", "stride-exceeds-kernel", "unequal-strides",
    "four-sided-padding", "padding-exceeds-kernel", "dilation", "groups", "depthwise", "depthwise-multiplier",
    "prime-channels", "single-channel", "no-bias", "offset-data", "sparse-data",
]
# What a draw may try; the tags of a problem are always computed from the problem itself.
EXCLUSIVE = [
    {"groups", "depthwise", "depthwise-multiplier", "single-channel"}, {"offset-data", "sparse-data"},
    {"groups", "prime-channels"}, {"single-channel", "prime-channels"},
]


def draw_channels(r: random.Random, wanted: set) -> tuple:
    if "single-channel" in wanted:
        return 1, r.choice([1, 3, 4, 8]), 1
    if "groups" in wanted:
        g = r.choice([2, 3, 4])
        return g * r.choice([2, 3, 4]), g * r.choice([1, 2, 3, 5]), g
    c = r.choice([3, 5, 7, 11, 13]) if "prime-channels" in wanted else r.choice([2, 4, 6, 8, 10, 16])
    if "depthwise" in wanted:
        return c, c, c
    if "depthwise-multiplier" in wanted:
        return c, c * (r.choice([3, 5]) if "prime-channels" in wanted else r.choice([2, 3, 4])), c
    return c, r.choice([3, 5, 7, 11, 13]) if "prime-channels" in wanted else r.choice([2, 4, 6, 8, 16]), 1


def draw(r: random.Random, wanted: set, rank: int) -> Problem:
    c, k, groups = draw_channels(r, wanted)
    small = [1, 2, 3, 3, 3, 4, 5] if rank == 2 else [1, 2, 3, 3] if rank == 3 else [1, 2, 3, 4, 5, 7, 9]
    kernel = [r.choice(small) for _ in range(rank)]
    if r.random() < 0.6:
        kernel = [kernel[0]] * rank
    if "kernel-exceeds-tile" in wanted:
        kernel[r.randrange(rank)] = r.choice([17, 18, 19, 21])
    dilation = [1] * rank
    if "dilation" in wanted:
        kernel = [max(2, v) for v in kernel]
        dilation = [r.choice([1, 2, 2, 3]) for _ in range(rank)]
    stride = [r.choice([1, 1, 2])] * rank
    if "stride-exceeds-kernel" in wanted:
        small_axes = [axis for axis in range(rank) if kernel[axis] <= 5] or [0]
        axis = r.choice(small_axes)
        if kernel[axis] <= 5:
            kernel[axis] = r.choice([1, 2, 3])
        stride[axis] = kernel[axis] + 1
    if "unequal-strides" in wanted and len(set(stride)) == 1:
        stride[r.randrange(rank)] += r.choice([1, 2])
    extent = [(v - 1) * d + 1 for v, d in zip(kernel, dilation)]
    largest = 13 if rank == 2 else 7 if rank == 3 else 41
    size = [max(v - r.choice([0, 1, 2]), 1) + r.randrange(largest - 4) for v in extent]
    if "kernel-equals-image" in wanted:
        size = list(extent)
    if "1x1-image" in wanted:
        size = [1] * rank
    same = r.choice([0, 0, 1, 1, 2])
    padding = [[same, same] for _ in range(rank)]
    if "four-sided-padding" in wanted:
        sides = r.sample(range(2 * rank + 1), 2 * rank)
        padding = [sides[2 * i:2 * i + 2] for i in range(rank)]
    if "padding-exceeds-kernel" in wanted:
        axis = r.randrange(rank)
        padding[axis][r.randrange(2)] = extent[axis] + r.choice([1, 2])
    for axis in range(rank):  # an image smaller than the kernel needs padding to have an output at all
        missing = extent[axis] - size[axis] - sum(padding[axis])
        if missing > 0:
            padding[axis][0] += missing - missing // 2 + r.choice([0, 1])
            padding[axis][1] += missing // 2
    data = "offset" if "offset-data" in wanted else "sparse" if "sparse-data" in wanted else "normal"
    n = 4 if data == "sparse" and set(size) == {1} else r.choice([1, 2, 2, 3])
    return Problem(n, c, k, tuple(size), tuple(kernel), tuple(stride), tuple(map(tuple, padding)),
                   tuple(dilation), groups, "no-bias" not in wanted, data)


def possible(pair) -> bool:
    return not any(len(set(pair) & group) > 1 for group in EXCLUSIVE)


def combine(family: Family, rank: int, *, limit_bytes: int, times: int) -> list:
    """Adds two cases for each corner (as alone as it can be), then cases until every possible pair of corners
    occurs together in `times` cases; returns the corners and pairs that no case could be found for."""
    r = random.Random(20240611 + rank)
    corners = [tag for tag in TAGS if rank > 1 or tag != "unequal-strides"]
    need = {frozenset({tag}): 2 for tag in corners}
    failed = cover(family, rank, r, need, limit_bytes, most_tags=2)
    need = {frozenset(pair): times for pair in itertools.combinations(corners, 2) if possible(pair)}
    return failed + cover(family, rank, r, need, limit_bytes, most_tags=5)


def cover(family: Family, rank: int, r: random.Random, need: dict, limit_bytes: int, most_tags: int) -> list:
    """Adds cases until every set of tags in `need` occurs as often as it says. A case has at most `most_tags`
    tags where that is possible, so that a failure says which corner it is."""
    failed = []
    while todo := sorted(tuple(sorted(aim)) for aim, left in need.items() if left > 0):
        candidates = []
        for _ in range(240):
            wanted = set(r.choice(todo))
            for tag in r.sample(TAGS, r.choice([0, 0, 1, 2])):
                if len(wanted) < most_tags and possible(wanted | {tag}):
                    wanted.add(tag)
            p = draw(r, wanted, rank)
            if not p.valid or p.bytes > limit_bytes or p.name in family.names:
                continue
            gain = sum(1 for aim, left in need.items() if left > 0 and aim <= p.tags)
            if gain:
                candidates.append((max(len(p.tags) - most_tags, 0), -gain, p.bytes, p.name, p))
        for *_, p in sorted(candidates)[:24]:
            if add(family, p):
                for aim in need:
                    need[aim] -= aim <= p.tags
                break
        else:
            failed.append("+".join(todo[0]))
            del need[frozenset(todo[0])]
    return failed
