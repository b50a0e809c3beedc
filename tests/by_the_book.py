"""Formulas of the kernels in Python's whole numbers."""

from functools import cache

import numpy as np


@cache
def order_of(seed, epoch, size):
    """Return the order of an epoch's rows: SplitMix64's mixing draws the partners of a Fisher-Yates shuffle."""
    mask, golden = 2**64 - 1, 0x9E3779B97F4A7C15

    def mix(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    key = mix((seed + golden * (epoch + 1)) & mask)
    order = list(range(size))
    for i in range(size - 1, 0, -1):
        j = (mix((key + golden * i) & mask) >> 32) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return np.array(order)
