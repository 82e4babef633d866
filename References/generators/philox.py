"""Philox4x32-10, the counter-based generator of initial weights.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel Random Numbers: As Easy as 1, 2, 3. SC 2011.
"""

import numpy as np

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)

# The known answers that come with Random123: counter, key, output.
KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
     [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]


def philox4x32(counter: np.ndarray, key) -> np.ndarray:
    """Ten rounds. counter [M,4] and key (2 numbers, 32 bits each); returns [M,4], 32 bits each in uint64."""
    c0, c1, c2, c3 = (np.asarray(counter, dtype=np.uint64)[:, i] for i in range(4))
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        a, b = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = ((b >> SHIFT) ^ c1 ^ np.uint64(k0), b & LOW, (a >> SHIFT) ^ c3 ^ np.uint64(k1), a & LOW)
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1)


def words(seed: int, tensor: int, count: int) -> np.ndarray:
    """The first `count` words of tensor `tensor`: word i is output i % 4 of the block i / 4."""
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    zeros = np.zeros_like(blocks)
    counter = np.stack([blocks & LOW, blocks >> SHIFT, zeros + np.uint64(tensor), zeros], axis=1)
    return philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32)).reshape(-1)[:count]


def uniform(seed: int, tensor: int, shape, bound: float) -> np.ndarray:
    """float32((2 u - 1) * bound), u = (word >> 8) * 2^-24, computed in float64."""
    u = (words(seed, tensor, int(np.prod(shape))) >> np.uint64(8)).astype(np.float64) * 2.0**-24
    return ((2.0 * u - 1.0) * bound).astype(np.float32).reshape(shape)


for _counter, _key, _output in KNOWN_ANSWERS:
    assert philox4x32(np.array([_counter]), _key)[0].tolist() == _output
