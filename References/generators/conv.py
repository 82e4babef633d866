"""conv1d, conv2d and conv3d cases: the corners pairwise, then what single engines have to be asked."""

from pathlib import Path

from conv_pairwise import combine
from conv_problem import Problem, add
from vbref import Family


def square(n, c, h, k, r, p, *, w=None, s=None, stride=1, dilation=1, **rest) -> Problem:
    """A 2-D problem with the same padding on all sides (or a (top, bottom, left, right) tuple)."""
    sides = (p,) * 4 if isinstance(p, int) else p
    pair = (lambda v: (v, v) if isinstance(v, int) else v)
    return Problem(n, c, k, (h, w or h), (r, s or r), pair(stride), (sides[:2], sides[2:]), pair(dilation), **rest)


# 3x3 and 5x5 at stride 1 is what Winograd takes: tiles that fit, that are ragged by 1, 2, 3, one tile only,
# fewer outputs than a tile, channel counts around the vector widths, groups and dilation through lowerings.
UNIT_STRIDE = [
    square(1, 1, 4, 1, 3, 0), square(1, 1, 6, 1, 3, 1), square(2, 3, 8, 4, 3, 1), square(1, 3, 7, 8, 3, 1),
    square(2, 4, 9, 6, 3, 1), square(1, 5, 10, 7, 3, 1), square(3, 2, 5, 3, 3, 1), square(2, 7, 3, 5, 3, 1),
    square(2, 6, 3, 4, 3, 0), square(1, 8, 2, 8, 3, 1), square(1, 4, 6, 4, 3, 2), square(2, 3, 12, 5, 3, 0),
    square(1, 16, 8, 16, 3, 1), square(1, 17, 9, 15, 3, 1), square(1, 16, 14, 24, 3, 1, bias=False),
    square(1, 32, 10, 32, 3, 1), square(1, 33, 7, 31, 3, 1), square(2, 16, 6, 48, 3, 1), square(1, 48, 7, 16, 3, 1),
    square(1, 16, 13, 16, 3, (0, 1, 2, 3), w=11), square(2, 3, 6, 4, 3, (3, 0, 1, 2), w=9),
    square(1, 64, 5, 16, 3, 1, data="offset"), square(2, 8, 8, 8, 3, 1, data="sparse"),
    square(2, 5, 16, 4, 3, 1, w=5), square(2, 5, 5, 4, 3, 1, w=17), square(1, 2, 23, 3, 3, 1, w=22, bias=False),
    square(2, 8, 7, 12, 3, 1, groups=2), square(1, 12, 9, 8, 3, 1, groups=4), square(1, 16, 8, 32, 3, 1, groups=2),
    square(1, 9, 10, 9, 3, 1, groups=9), square(1, 6, 9, 12, 3, 1, groups=6), square(1, 32, 7, 32, 3, 1, groups=32),
    square(1, 4, 11, 6, 3, 2, dilation=2), square(2, 3, 12, 4, 3, 3, dilation=3),
    square(1, 8, 13, 8, 3, (2, 1, 0, 3), dilation=(1, 2)), square(1, 8, 10, 8, 3, 2, dilation=2, groups=2),
    square(1, 6, 11, 6, 3, 2, dilation=2, groups=6), square(1, 16, 9, 16, 3, (1, 2, 4, 3), w=10, dilation=(2, 1)),
    square(1, 1, 6, 1, 5, 0), square(1, 1, 5, 2, 5, 2), square(2, 3, 9, 4, 5, 2), square(1, 4, 10, 6, 5, 2),
    square(1, 5, 11, 7, 5, 2, w=8), square(2, 6, 5, 3, 5, 0), square(1, 16, 8, 16, 5, 2), square(1, 17, 7, 15, 5, 2),
    square(1, 16, 14, 8, 5, 2, bias=False), square(1, 24, 9, 16, 5, (0, 1, 2, 3), w=11),
    square(1, 32, 6, 16, 5, 2, data="offset"), square(2, 4, 8, 4, 5, 4, data="sparse"), square(2, 3, 13, 4, 5, 0),
    square(1, 8, 9, 12, 5, 2, groups=2), square(1, 9, 8, 9, 5, 2, groups=9), square(1, 4, 9, 12, 5, 2, groups=4),
    square(1, 4, 12, 4, 5, 4, dilation=2), square(1, 6, 11, 6, 5, (4, 3, 2, 5), dilation=2, groups=3),
    square(1, 3, 15, 3, 5, (2, 2, 6, 6), dilation=(1, 3)), square(2, 8, 6, 8, 3, 1, s=5, w=7),
]

# Shapes of real networks, made small in channels; stems, bottlenecks, strided blocks.
NETWORKS = [
    square(1, 3, 32, 8, 11, 2, stride=4), square(2, 3, 23, 8, 7, 3, stride=2), square(1, 3, 16, 32, 3, 1),
    square(1, 32, 8, 32, 3, 1), square(2, 16, 9, 32, 1, 0), square(2, 32, 9, 16, 1, 0, stride=2, bias=False),
    square(2, 64, 3, 64, 1, 0), square(1, 16, 9, 32, 3, 1, stride=2), square(2, 8, 10, 16, 3, 1, stride=2, bias=False),
    square(1, 24, 9, 24, 3, 1, stride=2, groups=24, bias=False), square(1, 16, 8, 16, 5, 2, stride=2, groups=16),
    square(4, 16, 1, 24, 1, 0), square(1, 256, 2, 8, 3, 1), square(2, 8, 6, 128, 1, 0, data="offset"),
]

# Large kernels: what the FFT is for, same padding, wide and tall ones, tiles with and without overlap.
LARGE = [
    square(1, 8, 14, 8, 7, 3), square(2, 4, 17, 6, 7, 3), square(1, 4, 20, 4, 9, 4), square(1, 6, 19, 5, 11, 5),
    square(1, 3, 24, 4, 15, 7), square(1, 4, 20, 4, 31, 15), square(1, 2, 33, 2, 31, 15),
    square(1, 6, 24, 6, 31, 15, groups=6), square(1, 2, 31, 3, 31, 0), square(2, 3, 18, 2, 17, 8, data="offset"),
    square(1, 3, 40, 3, 7, 3, w=6), square(1, 4, 9, 4, 1, (0, 0, 10, 10), w=30, s=21),
    square(1, 4, 30, 4, 21, (10, 10, 0, 0), w=9, s=1), square(1, 2, 20, 3, 13, 6, stride=2),
    square(1, 2, 22, 3, 9, 8, dilation=2), square(1, 2, 26, 2, 19, 9, stride=3, bias=False),
    square(2, 2, 20, 4, 18, 9, data="sparse"), square(1, 4, 28, 8, 17, 8, groups=2), square(1, 2, 48, 2, 9, 4),
]


def line(n, c, w, k, s, p, *, stride=1, dilation=1, **rest) -> Problem:
    sides = (p, p) if isinstance(p, int) else p
    return Problem(n, c, k, (w,), (s,), (stride,), (sides,), (dilation,), **rest)


LINES = [
    line(2, 3, 16, 4, 3, 1), line(1, 16, 33, 16, 3, 1), line(2, 5, 50, 7, 9, 4), line(1, 1, 200, 3, 31, 15),
    line(1, 8, 64, 8, 5, (4, 0), dilation=1), line(2, 6, 40, 6, 3, (4, 0), dilation=2, groups=6),
    line(1, 4, 100, 8, 10, 0, stride=5, bias=False), line(1, 2, 300, 2, 65, 32), line(3, 7, 1, 11, 1, 0),
]


def box(n, c, size, k, kernel, p, *, stride=(1, 1, 1), dilation=(1, 1, 1), **rest) -> Problem:
    padding = tuple((v, v) if isinstance(v, int) else v for v in p)
    return Problem(n, c, k, size, kernel, stride, padding, dilation, **rest)


BOXES = [
    box(1, 3, (4, 6, 5), 4, (3, 3, 3), (1, 1, 1)), box(1, 8, (3, 7, 7), 8, (3, 3, 3), (1, 1, 1)),
    box(2, 2, (5, 4, 6), 3, (1, 3, 3), (0, 1, 1)), box(2, 2, (6, 3, 4), 3, (3, 1, 1), (1, 0, 0)),
    box(1, 4, (6, 7, 5), 4, (3, 3, 3), (2, 1, 0), stride=(2, 2, 2), groups=2),
    box(1, 3, (7, 6, 8), 3, (3, 2, 3), (2, 1, 2), dilation=(2, 1, 2), groups=3, bias=False),
    box(1, 2, (4, 5, 6), 5, (2, 3, 4), ((0, 1), (2, 3), (4, 5)), stride=(1, 2, 3)),
    box(2, 16, (2, 4, 4), 8, (1, 1, 1), (0, 0, 0)), box(1, 2, (9, 8, 7), 2, (5, 5, 5), (2, 2, 2)),
]


def family(out: Path, rank: int, fixed: list, *, limit: int, times: int) -> str:
    cases = Family(out, f"conv{rank}d")
    left = combine(cases, rank, limit_bytes=limit, times=times)
    for p in fixed:
        if p.name not in cases.names and not add(cases, p):
            raise ValueError(f"{p.name}: not valid, or its numbers are mostly zero")
    return cases.report() + (f"\n  no (further) case found for {left}" if left else "")


def generate(out: Path) -> list:
    return [
        family(out, 1, LINES, limit=12_000, times=1),
        family(out, 2, UNIT_STRIDE + NETWORKS + LARGE, limit=44_000, times=3),
        family(out, 3, BOXES, limit=60_000, times=1),
    ]
