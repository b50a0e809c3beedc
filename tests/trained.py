"""What tests ask of trained networks: whether two are the same to the bit, and how many threads trained them."""

import copy
import dataclasses

import numpy as np

# What two equal training runs may differ in.
TIMES_AND_THREADS = {"seconds", "n_threads"}


def ran(net, threads):
    """Check how many threads the last training run of a network took."""
    found = getattr(net.history, "n_threads", None)
    if found is not None:  # None: not recorded yet
        assert found == threads


def assert_same(one, other, leaving_out=()):
    """Check that two networks have the same bits: parameters, histories, and the optimizer's state by going on."""
    np.testing.assert_array_equal(one.params, other.params)
    for field in dataclasses.fields(one.history):
        if field.name not in TIMES_AND_THREADS.union(leaving_out):
            assert_equal(*(getattr(net.history, field.name) for net in (one, other)), field.name)
    np.testing.assert_array_equal(*(params_after_a_part(net) for net in (one, other)), "the optimizer's state")


def assert_equal(found, expected, name):
    """Check that two entries of histories are equal: arrays, numbers, texts, and dicts or lists of such."""
    if isinstance(found, dict):
        assert found.keys() == expected.keys(), name
        found, expected = list(found.items()), list(expected.items())
    if isinstance(found, list | tuple):
        assert len(found) == len(expected), name
        for pair in zip(found, expected, strict=True):
            assert_equal(*pair, name)
    else:
        np.testing.assert_array_equal(found, expected, name)


def params_after_a_part(net):
    """Return the parameters that a copy of a network has after one more epoch with the same optimizer."""
    net = copy.deepcopy(net)
    X = np.random.default_rng(0).standard_normal((12, net.sizes[0])).astype(net.dtype)
    return net.partial_train(X, net.predict(X), batch_size="full").params
