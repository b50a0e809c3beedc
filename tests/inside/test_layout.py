"""Where every number of a training lies: nothing overlaps, nothing is left out, nothing is written outside."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from inside import places

import fastmlp

LINE = 64  # bytes of a cache line
TOPOLOGIES = [
    (1, 1),
    (2, 1),
    (3, 2),
    (64, 1),
    (5, 64),
    (65, 1),
    (784, 10),
    (2, 3, 2),
    (2, 10, 2),
    (24, 8, 2),
    (4, 32, 16, 4),
    (7, 13, 11, 5, 3),
    (3, 1, 1, 1, 1, 2),
    (64, 60, 3),
    (64, 64, 64),
    (784, 128, 10),
    (28, 300, 300, 1),
    (33, 65, 1),
    (17, 257, 129, 65, 33, 9),
    (1024, 512, 1000),
]
# rows of a batch, of all samples and of the validation samples
ROWS = [(1, 1, 0), (50, 50, 300), (200, 1797, 0), (997, 5000, 17), (2500, 2500, 3000)]


def layers_of(sizes: tuple[int, ...], bias: bool = True) -> np.ndarray:
    return places.layout.network_layers(sizes, (1,) * (len(sizes) - 1), bias)


def plan_of(sizes, rows, build, bias=True, threads=1, settled=False, shuffle=False) -> places.layout.Plan:
    batch, every, validation = rows
    return places.layout.plan(
        layers_of(sizes, bias),
        build,
        batch=batch,
        rows=every,
        validation_rows=validation,
        threads=threads,
        settled=settled,
        settings={"shuffle": shuffle},
    )


@pytest.fixture
def build(backend, dtype):
    return places.backend.kernels(dtype, backend).sizes()


def assert_disjoint(ranges: dict[str, tuple[int, int]], end: int) -> None:
    """Ranges of (begin, size) lie one behind the other between 0 and `end`."""
    reached = 0
    for name, (begin, size) in sorted(ranges.items(), key=lambda item: item[1]):
        assert begin >= reached, f"{name} begins at {begin}, before {reached}"
        reached = begin + size
    assert reached <= end


def own_and_shared(plan: places.layout.Plan, build: dict) -> tuple[dict, dict]:
    """The ranges of a plan: those in a thread's own part, and those that all threads share."""
    s = {name: plan.settings[name].item() for name in plan.settings.dtype.names}
    chunk, row_block = s["chunk"], build["row_block"]
    per_layer = {}
    for number, layer in enumerate(plan.layers):
        width = int(layer["outputs"]) if s["narrow"] else 1
        for name in ("activations", "deltas"):
            at = int(layer[name])
            size = width * int(layer["stride"]) if s["narrow"] else int(layer["stride"]) * chunk
            per_layer[f"{name} of layer {number}"] = (at, size)
    sample = (s["inputs"] + s["outputs"] + 1) * chunk
    if s["narrow"]:
        own = {"inputs": (s["inputs_at"], sample), "losses": (s["losses_at"], 3 * chunk)} | per_layer
        shared = {"groups": (s["groups_at"], s["groups"] * s["parameters"])}
        for name, rows in (("resident_at", s["batch"]), ("validation_resident_at", s["validation_rows"])):
            if s[name] >= 0:
                shared[name] = (s[name], -(-rows // chunk) * sample)
        return own, shared
    block = s["outputs"] * row_block
    own = {
        "packed": (s["packed_at"], build["pack_reals"]),
        "outputs": (s["outputs_at"], block),
        "output deltas": (s["output_deltas_at"], block),
        "targets": (s["targets_at"], block),
        "losses": (s["losses_at"], 3 * row_block),
        "labels": (s["labels_at"], row_block),
    }
    if s["shuffle"]:
        # Of the chunk's units, whole blocks of rows or groups about as long as each other, the largest share.
        units = s["groups"] if s["groups"] > 1 else math.ceil(chunk / row_block)
        share = math.ceil(units / s["threads"]) * math.ceil(chunk / units)
        own["inputs"] = (s["inputs_at"], share * s["inputs_stride"])
        if s["groups"] == 1 and s["threads"] > 1:
            columns = max(int(slab["rows"]) for slab in plan.slabs if slab["layer"] == 0)
            own["inputs of a slab"] = (s["slab_inputs_at"], columns * chunk)
    groups = {"groups": (s["groups_at"], s["groups"] * s["parameters"])} if s["groups"] > 1 else {}
    return own, groups | per_layer


# ---- the parameter vector --------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", TOPOLOGIES, ids=str)
def test_layers_tile_the_parameter_vector(sizes, bias):
    layers = layers_of(sizes, bias)
    at = 0
    for layer, inputs, outputs in zip(layers, sizes[:-1], sizes[1:], strict=True):
        assert (layer["inputs"], layer["outputs"], layer["weights"]) == (inputs, outputs, at)
        at += inputs * outputs
        assert layer["bias"] == (at if bias else -1)
        at += outputs if bias else 0
    assert places.layout.parameter_count(layers) == at


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", TOPOLOGIES, ids=str)
def test_slabs_tile_the_parameter_vector(sizes, bias, build):
    plan = plan_of(sizes, ROWS[1], build, bias)
    slabs, count = plan.slabs, places.layout.parameter_count(plan.layers)
    assert slabs["begin"][0] == 0
    assert slabs["end"][-1] == count
    np.testing.assert_array_equal(slabs["begin"][1:], slabs["end"][:-1])
    assert (slabs["rows"] > 0).all()
    for number, layer in enumerate(plan.layers):
        own = slabs[slabs["layer"] == number]
        assert own["rows"].sum() == layer["inputs"]
        np.testing.assert_array_equal(own["first_row"], np.cumsum(own["rows"]) - own["rows"])
        np.testing.assert_array_equal(own["begin"], layer["weights"] + own["first_row"] * layer["outputs"])
        # Biases are no part of the penalty, and lie behind the layer's last weights.
        np.testing.assert_array_equal(own["penalized"], own["rows"] * layer["outputs"])
        biases = own["end"] - own["begin"] - own["penalized"]
        np.testing.assert_array_equal(biases[:-1], 0)
        assert biases[-1] == (layer["outputs"] if bias else 0)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 5, 2), (70, 33, 1)], ids=str)
def test_the_views_of_a_network_are_the_layout(sizes):
    net = fastmlp.Network(sizes, seed=0)
    net.params[:] = np.arange(len(net.params))
    seen = [array.ravel() for pair in zip(net.weights, net.biases, strict=True) for array in pair]
    np.testing.assert_array_equal(np.concatenate(seen), net.params)


# ---- the workspace ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", TOPOLOGIES, ids=str)
def test_nothing_overlaps_in_the_workspace(sizes, build):
    ways = [(True, False), (False, False), (False, True)]
    for rows, (settled, shuffle), threads in itertools.product(ROWS, ways, (1, 3)):
        plan = plan_of(sizes, rows, build, threads=threads, settled=settled, shuffle=shuffle)
        settings = plan.settings[0]
        own, shared = own_and_shared(plan, build)
        assert_disjoint(shared, int(settings["private_at"]))
        assert_disjoint(own, int(settings["private_size"]))
        assert plan.workspace == settings["private_at"] + threads * settings["private_size"]


@pytest.mark.parametrize("sizes", TOPOLOGIES, ids=str)
def test_the_builds_vectors_lie_on_cache_lines(sizes, dtype):
    for name in places.backend.available()[1:]:  # the reference takes no notice of the workspace
        build = places.backend.kernels(dtype, name).sizes()
        for rows in ROWS:
            plan = plan_of(sizes, rows, build, threads=2, shuffle=True)
            own, shared = own_and_shared(plan, build)
            offsets = {what: begin for what, (begin, _) in (own | shared).items()}
            offsets |= {what: int(plan.settings[what][0]) for what in ("private_at", "private_size")}
            offsets |= {f"stride of layer {number}": int(layer["stride"]) for number, layer in enumerate(plan.layers)}
            assert [what for what, at in offsets.items() if at * dtype.itemsize % LINE] == [], (name, rows)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000])
def test_aligned_zeros(size, dtype):
    array = places.aligned(np.zeros, size, dtype)
    assert array.shape == (size,)
    assert array.dtype == dtype
    assert array.ctypes.data % LINE == 0
    assert not array.any()


@pytest.mark.parametrize("sizes", TOPOLOGIES, ids=str)
def test_nothing_overlaps_in_the_tallies(sizes, build):
    for rows in ROWS:
        plan = plan_of(sizes, rows, build)
        s = {name: plan.settings[name].item() for name in plan.settings.dtype.names}
        checked = max(s["validation_rows"], s["rows"])
        if s["narrow"]:
            sums, parts = s["groups"], math.ceil(checked / s["chunk"])
        elif s["groups"] > 1:
            sums, parts = (s["groups"] * math.ceil(count / s["chunk"]) for count in (s["batch"], checked))
        else:
            sums, parts = (math.ceil(count / build["row_block"]) for count in (s["batch"], checked))
        assert_disjoint(
            {
                "sums of losses and hits": (0, 2 * sums),
                "penalties": (s["penalties_at"], 2 * len(plan.slabs)),
                "norms": (s["norms_at"], len(plan.slabs)),
                "validation": (s["validation_at"], 2 * parts),
            },
            plan.tallies,
        )


@pytest.mark.parametrize("sizes", TOPOLOGIES, ids=str)
def test_only_the_private_parts_depend_on_the_threads(sizes, build):
    for rows in ROWS:
        one, five = (plan_of(sizes, rows, build, threads=threads) for threads in (1, 5))
        np.testing.assert_array_equal(one.layers, five.layers)
        np.testing.assert_array_equal(one.slabs, five.slabs)
        assert one.tallies == five.tallies
        assert five.workspace - one.workspace == 4 * int(one.settings["private_size"][0])
        for name in places.layout.SETTINGS.names:
            if name != "threads":
                assert one.settings[name] == five.settings[name], name


def test_a_plan_leaves_the_networks_layers_alone(build):
    layers = layers_of((3, 4, 2))
    before = layers.copy()
    places.layout.plan(layers, build, batch=10, rows=10)
    np.testing.assert_array_equal(layers, before)


def test_chunks_reach_over_the_whole_batch(build):
    for sizes in TOPOLOGIES:
        for rows in ROWS:
            settings = plan_of(sizes, rows, build).settings[0]
            assert settings["chunk"] >= 1
            if settings["narrow"]:
                assert 1 <= settings["groups"] <= -(-rows[0] // int(settings["chunk"]))


@pytest.mark.parametrize(
    ("sizes", "lanes", "batch", "narrow"),
    [
        ((2, 10, 2), 8, 1, True),
        ((2, 10, 2), 2, 50, True),
        ((511, 1), 2, 1, True),
        ((512, 1), 2, 1, False),
        ((512, 1), 2, 16, True),
        ((1024, 1), 1, 16, False),
        ((60, 64, 16), 16, 100, False),
        ((60, 49, 9), 16, 100, True),
        ((60, 65, 9), 16, 100, False),
        ((90, 90, 1), 16, 100, False),
        ((200, 200, 10), 16, 500, False),
    ],
)
def test_narrow_networks_are_the_small_ones_and_those_that_leave_lanes_empty(sizes, lanes, batch, narrow):
    # Up to 512 parameters always; up to 1024 from 16 rows on; up to 8192 where lanes would be filled badly.
    assert places.layout.is_narrow(layers_of(sizes), lanes, batch) is narrow


def test_all_layouts_are_among_the_topologies(build):
    settings = [plan_of(sizes, rows, build).settings[0] for sizes in TOPOLOGIES for rows in ROWS]
    found = {(bool(one["narrow"]), bool(one["groups"] > 1)) for one in settings}
    assert found == {(True, False), (True, True), (False, False), (False, True)}


# ---- what the kernels write ------------------------------------------------------------------------------

GUARD = 128  # numbers before and behind an array


@pytest.fixture
def guards(monkeypatch):
    """Put guards around every array that a network lays out; returns them."""
    wholes = []

    def guarded(make, size: int, dtype: np.dtype) -> np.ndarray:
        assert make is np.zeros
        item = np.dtype(dtype).itemsize
        whole = np.full(size + 2 * GUARD + LINE // item, 7, dtype)
        first = GUARD + -whole[GUARD:].ctypes.data % LINE // item
        wholes.append((whole[:first], whole[first + size :]))
        whole[first : first + size] = 0
        return whole[first : first + size]

    places.switch(monkeypatch, aligned=guarded)
    return wholes


# Of batches of 299 rows the last one is a single row, where the others come in several groups.
@pytest.mark.parametrize(("batch", "threads"), [(1, 3), (37, 1), (299, 3), (300, 1)])
@pytest.mark.parametrize(
    "sizes", [(1, 1), (2, 3, 2), (5, 17, 9, 3), (33, 65, 1), (70, 129, 67, 5), (784, 16, 3)], ids=str
)
def test_nothing_is_written_outside(sizes, batch, threads, backend, dtype, guards):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, sizes[0])).astype(dtype), rng.standard_normal((300, sizes[-1])).astype(dtype)
    net = fastmlp.Network(sizes, activation="tanh", seed=0, dtype=dtype, backend=backend, l2=0.1)
    net.train(X, y, epochs=2, batch_size=batch, n_threads=threads)
    net.gradient(X, y)
    net.score(X, y)
    net.loss(X[:batch], y[:batch])
    assert len(guards) >= 1
    for before, behind in guards:
        assert (before == 7).all()
        assert (behind == 7).all()
