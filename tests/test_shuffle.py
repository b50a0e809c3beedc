"""The order of the rows: a permutation that seed and epoch name, the same on every build, and even."""

import numpy as np
import pytest

from fastmlp import _reference


def shuffled(module, seed, epoch, size):
    """The order of one epoch."""
    order = np.full(size, -1, np.int32)
    module.shuffle(order, seed, epoch, size)
    return order


def by_the_book(seed, epoch, size):
    """The same in Python's whole numbers: SplitMix64's mixing draws the partners of a Fisher-Yates shuffle."""
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
    return order


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 1797])
@pytest.mark.parametrize("seed", [0, 1, 2017, 2**32, 2**63 - 1])
def test_a_permutation_by_the_book(kernels, seed, size):
    for epoch in (0, 1, 2, 1_000_000_007):
        order = shuffled(kernels, seed, epoch, size)
        np.testing.assert_array_equal(np.sort(order), np.arange(size))
        np.testing.assert_array_equal(order, by_the_book(seed, epoch, size))
        np.testing.assert_array_equal(order, shuffled(_reference, seed, epoch, size))


def test_the_same_on_every_machine(kernels):
    # Written down once: a training must come out the same in the next version.
    assert shuffled(kernels, 2017, 0, 10).tolist() == [0, 6, 3, 1, 8, 7, 9, 4, 5, 2]


def test_it_forgets_the_order_before(kernels):
    order = shuffled(kernels, 5, 0, 50)
    kernels.shuffle(order, 5, 1, 50)
    np.testing.assert_array_equal(order, shuffled(kernels, 5, 1, 50))


def test_it_differs_by_epoch_and_seed(kernels):
    orders = [shuffled(kernels, seed, epoch, 200).tobytes() for seed in range(10) for epoch in range(10)]
    assert len(set(orders)) == 100


@pytest.mark.parametrize("vary", ["epoch", "seed"])
def test_every_row_comes_to_every_place(kernels, vary):
    size, draws = 8, 4000
    counts = np.zeros((size, size))
    for i in range(draws):
        counts[np.arange(size), shuffled(kernels, *((3, i) if vary == "epoch" else (i, 3)), size)] += 1
    expected = draws / size
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # (8 - 1)² = 49 degrees of freedom, a standard deviation of sqrt(98) = 9.9: four of these on both sides. Orders
    # that are even in truth fall outside once in 10,000 seeds, and this seed stays as it is.
    assert 49 - 4 * 9.9 < chi_square < 49 + 4 * 9.9


def test_every_order_is_as_likely(kernels):
    draws = 4800
    orders = [tuple(shuffled(kernels, 7, epoch, 4).tolist()) for epoch in range(draws)]
    counts = np.array([orders.count(order) for order in set(orders)])
    assert len(counts) == 24
    # 23 degrees of freedom, a standard deviation of sqrt(46) = 6.8: four of these.
    assert ((counts - draws / 24) ** 2 / (draws / 24)).sum() < 23 + 4 * 6.8


def test_places_of_neighbours_have_nothing_to_do_with_each_other(kernels):
    size, draws = 500, 40
    for epoch in range(draws):
        order = shuffled(kernels, 1, epoch, size)
        next_order = shuffled(kernels, 1, epoch + 1, size)
        # A correlation of independent orders has a standard deviation of 1 / sqrt(499) = 0.045; 160 of them stay
        # within four of these but for one seed in a hundred.
        assert abs(np.corrcoef(order, next_order)[0, 1]) < 0.18
        assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.18
