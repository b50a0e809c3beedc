"""Rows of a sparse matrix, dense a window at a time: the same bits as of dense rows, and never more rows than that."""

import re
import tracemalloc

import numpy as np
import pytest
from inside import places
from inside.places import SparseRows, Window
from trained import assert_same

import fastmlp
from fastmlp import EarlyStopping

sparse = pytest.importorskip("scipy.sparse")

ROWS, COLUMNS, BATCH = 90, 5, 16  # five batches and one of ten rows


def numbers(dtype=np.float64, rows=ROWS, columns=COLUMNS):
    """Rows of which two numbers of five are not zero."""
    generator = np.random.default_rng(7)
    return (generator.standard_normal((rows, columns)) * (generator.random((rows, columns)) < 0.4)).astype(dtype)


def labels(rows=ROWS):
    return np.random.default_rng(8).integers(0, 3, rows)


def drawn(epoch):
    """Rows of which some come more than once."""
    return np.random.default_rng(epoch).integers(0, ROWS, ROWS)


def together(epoch):
    """The same, and they may be asked for before they are needed."""
    return drawn(epoch)


together.ahead = True


def sparse_rows(x):
    return SparseRows(sparse.csr_array(x), x.dtype)


@pytest.fixture
def holding(monkeypatch):
    """A function: batches and dtype -> windows hold so many batches of the rows here from then on."""

    def hold(batches, dtype=np.float64, batch=BATCH):
        places.switch(monkeypatch, window_bytes=batches * batch * COLUMNS * np.dtype(dtype).itemsize)

    return hold


@pytest.fixture
def fills(monkeypatch):
    """A list: how many rows a window has room for, the batch it was filled from, and how many it then holds."""
    seen, fill = [], Window.fill

    def noted(window, epoch, batch, order_of):
        held = fill(window, epoch, batch, order_of)
        seen.append((len(window.x), batch, held))
        return held

    places.switch(monkeypatch, window_fill=noted)
    return seen


# ---- rows and windows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("stored", ["float32", "float64", "int8"])
def test_rows_are_dense_when_they_are_asked_for(make, stored, dtype):
    x = np.round(4 * numbers()).astype(stored)
    rows = SparseRows(make(x), dtype)
    assert (len(rows), rows.shape, rows.dtype) == (ROWS, (ROWS, COLUMNS), dtype)
    for part in (slice(0, 3), slice(80, 200), slice(None, None, 7), np.array([5, 0, 5]), np.arange(3, dtype=np.int32)):
        given = rows[part]
        assert type(given) is np.ndarray
        assert given.dtype == dtype
        assert given.flags.c_contiguous
        np.testing.assert_array_equal(given, x[part])


@pytest.mark.parametrize("count", [1, 7, 90, 1000])
def test_blocks_are_all_rows_in_their_order(monkeypatch, count):
    x = numbers()
    places.switch(monkeypatch, block_bytes=count * COLUMNS * 8 + 3)
    blocks = list(sparse_rows(x).blocks())
    assert [len(block) for block in blocks[:-1]] == [count] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate(blocks), x)


def test_a_row_that_is_larger_than_a_block_is_one(monkeypatch):
    places.switch(monkeypatch, block_bytes=1)
    assert [len(block) for block in sparse_rows(numbers()).blocks()] == [1] * ROWS


@pytest.mark.parametrize("batches", [1, 2, 3, 100])
@pytest.mark.parametrize("order", [None, drawn(0)], ids=["in their order", "drawn"])
def test_a_window_holds_batches_and_an_order_that_leads_to_them(holding, batches, order):
    holding(batches)
    x, y, weights = numbers(), np.arange(2.0 * ROWS).reshape(ROWS, 2), np.linspace(0, 1, ROWS)
    window = Window(places.Samples(sparse_rows(x), y, weights), BATCH)
    batch, place = 0, np.arange(ROWS) if order is None else order
    while batch < 6:
        held = window.fill(0, batch, lambda epoch: order)
        assert held == min(batches, 6 - batch)
        rows = slice(batch * BATCH, (batch + held) * BATCH)
        for part, source in ((window.x, x), (window.y, y), (window.weights, weights)):
            np.testing.assert_array_equal(part[window.order[rows]], source[place[rows]])
        batch += held
    # From within what it holds, as where a training goes back.
    assert window.fill(0, 4, lambda epoch: order) == min(batches, 2)
    np.testing.assert_array_equal(window.x[window.order[64:80]], x[place[64:80]])
    # What it holds is not made dense again; the same batches of another epoch are others.
    window.x[:] = 7
    if batches > 1:
        assert window.fill(0, 5, lambda epoch: pytest.fail("it is held")) == 1
        assert (window.x == 7).all()
    window.fill(1, 4, lambda epoch: order)
    np.testing.assert_array_equal(window.x[window.order[64:80]], x[place[64:80]])
    assert window.order.dtype == np.int32


@pytest.mark.parametrize("size", [1, 100, 640, 641, 1919, 1920, 10**9])
@pytest.mark.parametrize("batch", [1, 16, 64, 90])
@pytest.mark.parametrize("coded", [labels(), numbers()[:, :2].astype(np.float32)], ids=["labels", "numbers"])
def test_a_window_is_no_larger_than_it_may_be_or_than_a_batch(monkeypatch, dtype, size, batch, coded):
    places.switch(monkeypatch, window_bytes=size)
    window = Window(places.Samples(sparse_rows(numbers(dtype)), coded), batch)
    of_a_batch = batch * COLUMNS * dtype.itemsize
    assert window.x.nbytes <= max(size, of_a_batch)
    assert len(window.x) == min(ROWS, max(1, size // of_a_batch) * batch), "and no smaller than need be"
    assert window.weights is None
    assert (window.x.dtype, window.y.dtype, window.y.shape[1:]) == (dtype, coded.dtype, coded.shape[1:])
    window.fill(0, 0, lambda epoch: None)
    np.testing.assert_array_equal(window.y[: len(window.x)], coded[: len(window.x)])


def test_zeros_are_looked_for_in_sparse_rows_too():
    for x in (numbers(), np.ones((ROWS, COLUMNS)), np.zeros((1, 1)), numbers(rows=1000)):
        assert places.many_zeros(sparse_rows(x)) == places.many_zeros(x)


# ---- trainings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batches", "n_threads"), [(1, 2), (3, 1), (100, 2)])
@pytest.mark.parametrize("shuffle", [True, False, drawn], ids=["seed", "no", "callable"])
@pytest.mark.parametrize("hidden", [(6,), (100, 70)], ids=["narrow", "wide"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_a_training_is_that_of_dense_rows(backend, dtype, loss, hidden, shuffle, batches, n_threads, holding, fills):
    holding(batches, dtype)
    x, weights = numbers(dtype), np.random.default_rng(1).uniform(0, 2, ROWS) if batches == 3 else None
    y = labels() if loss == "cross_entropy" else np.random.default_rng(2).standard_normal((ROWS, 3))
    options = {"batch_size": BATCH, "epochs": 3, "shuffle": shuffle, "sample_weight": weights}
    nets = [
        fastmlp.Network((COLUMNS, *hidden, 3), loss=loss, l1=0.01, l2=0.1, seed=1, dtype=dtype, backend=backend)
        for _ in range(2)
    ]
    nets[0].train(x, y, **options, n_threads=1)
    nets[1].train(sparse_rows(x), y, **options, n_threads=n_threads)
    assert_same(*nets)
    assert {room for room, *_ in fills} == {min(ROWS, batches * BATCH)}
    assert len(fills) >= 3 * -(-6 // batches)


@pytest.mark.parametrize("batch", [1, 7, 90])
def test_in_every_layout_and_batch(backend, layout, batch, holding):
    holding(2, batch=batch)
    x, y = numbers(), labels()
    nets = [fastmlp.Network((COLUMNS, 20, 3), loss="cross_entropy", seed=1, backend=backend) for _ in range(2)]
    for net, given in zip(nets, (x, sparse_rows(x)), strict=True):
        net.train(given, y, batch_size=batch, epochs=2, n_threads=2)
    assert_same(*nets)


def reached(state):
    """Enough, behind four epochs."""
    return state.epoch == 4


UNSEEN = (np.random.default_rng(3).standard_normal((30, COLUMNS)), np.random.default_rng(4).integers(0, 3, 30))
WATCHED = {
    "alone": {},
    "validated": {"validation": UNSEEN},
    "callbacks": {"callbacks": [reached]},
    "best": {"validation": UNSEEN, "early_stopping": EarlyStopping("val_loss", patience=3), "learning_rate": 0.1},
    "best, watched": {
        "validation": UNSEEN,
        "early_stopping": EarlyStopping("val_loss", patience=3),
        "learning_rate": 0.1,
        "callbacks": [lambda state: None],
    },
    "best of all": {"early_stopping": EarlyStopping("loss", patience=99)},
    "goal": {"early_stopping": EarlyStopping("loss", patience=99, goal=1.0)},
    "plateau": {"learning_rate": fastmlp.schedules.OnPlateau(0.1, factor=0.5, patience=0, threshold=0.1)},
    "adaptive": {"learning_rate": fastmlp.schedules.Adaptive(0.01, divisor=None, patience=2, threshold=0.02)},
    "metrics": {"metrics": ["f1", "roc_auc"], "validation": UNSEEN},
    "steps": {"learning_rate": fastmlp.schedules.Exponential(0.02, 0.95, unit="step")},
    "clipped": {"clip_norm": 0.1, "max_norm": 1.0},
    "classes": {"class_weight": {0: 5.0, 1: 0.0}, "validation": UNSEEN},
    "classes of weighted rows": {"class_weight": "balanced", "sample_weight": np.linspace(0, 2, ROWS)},
    "own average": {
        "average": "batch",
        "sample_weight": np.linspace(0, 2, ROWS),
        "optimizer": "sgd",
    },
}


@pytest.mark.parametrize(
    ("shuffle", "n_threads"), [(True, 2), (drawn, 1), (together, 2)], ids=["seed", "callable", "together"]
)
@pytest.mark.parametrize("case", WATCHED)
def test_whoever_looks_sees_what_dense_rows_show(backend, case, shuffle, n_threads, holding):
    holding(2)
    x, y = numbers(), labels()
    nets = [
        fastmlp.Network((COLUMNS, 12, 3), loss="cross_entropy", dropout=0.2, l2=0.1, seed=1, backend=backend)
        for _ in range(2)
    ]
    for net, given in zip(nets, (x, sparse_rows(x)), strict=True):
        net.train(
            given, y, **{"batch_size": BATCH, "epochs": 14, "shuffle": shuffle} | WATCHED[case], n_threads=n_threads
        )
    assert_same(*nets)
    if case in ("best", "best, watched"):
        assert nets[0].history.best_epoch < len(nets[0].history) < 14


def test_frames_are_those_of_dense_rows(monkeypatch, backend, holding):
    holding(2)
    places.set_frames(monkeypatch, (0, 1, 4))
    x, y = numbers(), labels()
    nets = [fastmlp.Network((COLUMNS, 6, 3), loss="cross_entropy", seed=1, backend=backend) for _ in range(2)]
    for net, rows in zip(nets, (x, sparse_rows(x)), strict=True):
        net.train(rows, y, batch_size=BATCH, epochs=5)
    assert [epoch for epoch, _ in nets[1].history.frames] == [0, 1, 4]
    for (_, one), (_, other) in zip(*(net.history.frames for net in nets), strict=True):
        np.testing.assert_array_equal(one, other)


def test_however_the_steps_are_cut_into_calls(monkeypatch, backend, holding, fills):
    holding(4)
    x, y = numbers(), labels()
    nets, counts = [], []
    for first_steps in (1, 5, 10**9):  # single steps; calls that end within windows and epochs; one call
        places.switch(monkeypatch, first_steps=first_steps, slice_seconds=0.0)
        fills.clear()
        nets.append(fastmlp.Network((COLUMNS, 6, 3), loss="cross_entropy", seed=1, backend=backend))
        nets[-1].train(sparse_rows(x), y, batch_size=BATCH, epochs=3)
        counts.append([(batch, held) for _, batch, held in fills])
    assert_same(nets[0], nets[1])
    assert_same(nets[0], nets[2])
    assert counts[0] == [(0, 4), (1, 3), (2, 2), (3, 1), (4, 2), (5, 1)] * 3, "what is left of those it holds"
    assert counts[1][:3] == [(0, 4), (4, 2), (5, 1)], "four steps and one, and then single ones"
    assert counts[2] == [(0, 4), (4, 2)] * 3, "as few as there can be"


@pytest.mark.parametrize("optimizer", ["lbfgs", "rprop", "adam"])
def test_all_rows_in_one_batch(backend, dtype, optimizer, holding, fills):
    holding(1, dtype)
    x, y = numbers(dtype), labels()
    nets = [
        fastmlp.Network((COLUMNS, 8, 3), loss="cross_entropy", l2=0.2, seed=1, dtype=dtype, backend=backend)
        for _ in range(2)
    ]
    for net, given in zip(nets, (x, sparse_rows(x)), strict=True):
        net.train(given, y, optimizer=optimizer, batch_size="full", epochs=9)
    assert_same(*nets)
    assert set(fills) == {(ROWS, 0, 1)}, "a batch is larger than a window may be, and is held all the same"


def test_dense_and_sparse_rows_may_come_in_turn(backend, holding):
    holding(2)
    x, y = numbers(), labels()
    net, plain = (fastmlp.Network((COLUMNS, 8, 3), loss="cross_entropy", seed=1, backend=backend) for _ in range(2))
    plain.train(x, y, batch_size=BATCH, epochs=6)
    net.train(sparse_rows(x), y, batch_size=BATCH, epochs=2).train(x, y, batch_size=BATCH, epochs=1)
    net.partial_train(sparse_rows(x), y, batch_size=BATCH)
    net.train(sparse_rows(x), y, batch_size=BATCH, epochs=2)
    assert_same(net, plain)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_leaves_a_network_that_can_go_on(backend, error, holding):
    holding(2)
    x, y = numbers(), labels()

    def stop(state):
        if state.epoch == 3:
            raise error("stop here")

    nets = [fastmlp.Network((COLUMNS, 8, 3), loss="cross_entropy", seed=1, backend=backend) for _ in range(2)]
    for net, given in zip(nets, (x, sparse_rows(x)), strict=True):
        with pytest.raises(error, match="stop here"):
            net.train(given, y, batch_size=BATCH, epochs=9, callbacks=[stop], n_threads=2)
        net.train(given, y, batch_size=BATCH, epochs=2)
    assert_same(*nets)
    assert len(nets[1].history) == 5


@pytest.mark.parametrize("rate", [0.9, 3.0, 1e3, 1e6])
@pytest.mark.parametrize("shuffle", [True, False, drawn, together], ids=["seed", "no", "callable", "together"])
@pytest.mark.parametrize("watched", [False, True])
def test_a_divergence_goes_back_as_with_dense_rows(backend, rate, shuffle, watched, holding):
    holding(2)
    x = numbers()
    nets, words = [], []
    for given in (x, sparse_rows(x)):
        net = fastmlp.Network((COLUMNS, 6, 1), activation="identity", seed=3, backend=backend)
        with pytest.warns(fastmlp.DivergenceWarning) as seen:
            net.train(
                given,
                3 * x[:, 0],
                optimizer=fastmlp.SGD(momentum=0.9),
                learning_rate=rate,
                batch_size=BATCH,
                epochs=200,
                shuffle=shuffle,
                callbacks=[lambda state: None] if watched else (),
            )
        nets.append(net)
        words.append(str(seen[0].message))
    assert words[0] == words[1]
    assert re.search("the weights (before the last step|of . steps before) came back", words[0])
    assert np.isfinite(nets[1].params).all()
    assert_same(*nets)


# ---- predictions and metrics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 9, 1000])
def test_predictions_are_those_of_dense_rows(monkeypatch, backend, dtype, count, tolerance):
    x, y = numbers(dtype), labels()
    places.switch(monkeypatch, block_bytes=count * COLUMNS * dtype.itemsize)
    net = fastmlp.Network((COLUMNS, 30, 3), loss="cross_entropy", seed=1, dtype=dtype, backend=backend)
    net.train(x, y, epochs=5)
    np.testing.assert_array_equal(net.predict(sparse_rows(x)), net.predict(x))
    # NumPy multiplies few rows otherwise than many; the kernels do not.
    limit = tolerance("forward", dtype) if backend == "reference" else 0
    np.testing.assert_allclose(net.predict_proba(sparse_rows(x)), net.predict_proba(x), rtol=0, atol=limit)
    for metric in ("accuracy", "f1"):
        assert net.score(sparse_rows(x), y, metric=metric) == net.score(x, y, metric=metric)
    targets, weights = x[:, :2] - 0.5 * x[:, 1:3], np.linspace(0, 1, ROWS)
    numbers_net = fastmlp.Network((COLUMNS, 9, 2), seed=1, dtype=dtype, backend=backend).train(x, targets, epochs=5)
    expected = numbers_net.predict(x)
    limit *= float(np.abs(expected).max())
    np.testing.assert_allclose(numbers_net.predict(sparse_rows(x)), expected, rtol=0, atol=limit)
    for metric in (None, "mse", "r2"):
        found = numbers_net.score(sparse_rows(x), targets, weights, metric=metric)
        # Squares of errors of at most 4; r2 divides their mean by a variance above 1/4.
        assert found == pytest.approx(numbers_net.score(x, targets, weights, metric=metric), rel=0, abs=32 * limit)


def test_rows_that_the_network_was_trained_on_are_kept_for_looking_at(backend):
    x, y = numbers(rows=1000), labels(1000)
    nets = [fastmlp.Network((COLUMNS, 8, 3), loss="cross_entropy", seed=1, backend=backend) for _ in range(2)]
    for net, given in zip(nets, (x, sparse_rows(x)), strict=True):
        net.train(given, y, epochs=1)
    np.testing.assert_array_equal(places.kept_rows(nets[1]), places.kept_rows(nets[0]))


# ---- memory --------------------------------------------------------------------------------------------------


def test_the_dense_rows_are_never_there_at_once(monkeypatch, dtype):
    # 20,000 rows of 400 numbers are 64 or 32 MB; a window is 1 MB, and dense rows on their way into it are another.
    # What is not of the features, such as an order, targets and a forward pass, is another MB in all.
    size, rows, columns = 1 << 20, 20_000, 400
    places.switch(monkeypatch, window_bytes=size, block_bytes=size)
    x = sparse.random_array((rows, columns), density=0.002, format="csr", rng=np.random.default_rng(0), dtype=dtype)
    y = np.arange(rows) % 2
    net = fastmlp.Network((columns, 2, 1), loss="binary_cross_entropy", seed=0, dtype=dtype)
    given = SparseRows(x, dtype)
    tracemalloc.start()
    try:
        net.train(given, y, epochs=2, n_threads=1, metrics=["accuracy"])
        net.predict(given)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size < peak < 4 * size < rows * columns * dtype.itemsize / 7
