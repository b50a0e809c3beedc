"""Numbers that follow from keys: orders of rows, and which units a step leaves out."""

import numpy as np

DROPOUT_STREAM = 0xD1B54A32D192ED03
GOLDEN = 0x9E3779B97F4A7C15


def mix(z: np.ndarray) -> np.ndarray:
    """A bijection of 64 bits that leaves no pattern: the finaliser of SplitMix64 (G. Steele et al., 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def mix_once(z: int) -> int:
    """The same of one number."""
    return int(mix(np.array([z & (2**64 - 1)], np.uint64))[0])


def mix_words(x: np.ndarray) -> np.ndarray:
    """A bijection of 32 bits that leaves no pattern: the finaliser of MurmurHash3 (A. Appleby, 2011)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def shuffle(order, seed, epoch):
    """order = the permutation of 0 ... size - 1 that seed and epoch name."""
    size = len(order)
    places = np.arange(size - 1, 0, -1, dtype=np.uint64)
    draws = mix(np.uint64(mix_once(seed + GOLDEN * (epoch + 1))) + np.uint64(GOLDEN) * places) >> np.uint64(32)
    partners = (draws * (places + np.uint64(1))) >> np.uint64(32)
    mixed = list(range(size))
    for i, j in zip(range(size - 1, 0, -1), partners.tolist(), strict=True):
        mixed[i], mixed[j] = mixed[j], mixed[i]
    order[:] = mixed


def dropout(h, slopes, units, first):
    """h = h m / (1 - p), slopes likewise; m is 0 for a fraction p = threshold / 2^31 of the units, else 1."""
    rows, size = h.shape
    of_epoch = mix_once((units.seed ^ DROPOUT_STREAM) + GOLDEN * (units.epoch + 1))
    key = mix_once(of_epoch + GOLDEN * (units.layer + 1))
    numbers = np.arange(first * size, (first + rows) * size, dtype=np.uint64).astype(np.uint32).reshape(rows, size)
    drawn = mix_words(mix_words(numbers ^ np.uint32(key & 0xFFFFFFFF)) ^ np.uint32(key >> 32))
    kept = (drawn >> np.uint32(1)) >= units.threshold
    scale = h.dtype.type(1.0 / (1.0 - units.threshold / 2147483648.0))
    h[:] = np.where(kept, h * scale, 0)
    slopes[:] = np.where(kept, slopes * scale, 0)
