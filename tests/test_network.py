"""Network: what it predicts for every kind of targets, its views, its measures, its copies, and what it refuses."""

from __future__ import annotations

import copy
import pickle
import re
import tracemalloc

import numpy as np
import pytest
from inside import places

import fastmlp

ROWS, COLUMNS = 60, 4


def features(dtype=np.float64) -> np.ndarray:
    return np.random.default_rng(11).standard_normal((ROWS, COLUMNS)).astype(dtype)


def classes(count: int) -> np.ndarray:
    """Class numbers that the features tell of, all of them there."""
    return np.argsort(np.argsort(features()[:, 0])) * count // ROWS


def trained(y, backend=None, dtype=np.float64, **settings) -> fastmlp.Network:
    settings = {"hidden": (5,), "epochs": 30, "learning_rate": 0.02, "seed": 1, "batch_size": 20} | settings
    return fastmlp.train(features(dtype), y, backend=backend, **settings)


def close(dtype) -> dict[str, float]:
    """Tolerances of one forward pass through few units: some tens of roundings of numbers near 1."""
    return {"rtol": 1e-5, "atol": 1e-6} if np.dtype(dtype) == np.float32 else {"rtol": 1e-13, "atol": 1e-14}


# ---- kinds of targets ------------------------------------------------------------------------------------

LABELS = {
    "strings": np.array(["ash", "birch", "cedar"])[classes(3)],
    "objects": np.array(["ash", "birch", "cedar"], object)[classes(3)],
    "list": np.array(["ash", "birch", "cedar"])[classes(3)].tolist(),
    "integers": classes(4) * 10 - 5,
    "unsigned": classes(3).astype(np.uint8),
    "two strings": np.array(["no", "yes"])[classes(2)],
    "bools": classes(2).astype(bool),
    "two integers": np.array([-1, 1])[classes(2)],
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels_come_back_as_they_were(y, backend, dtype):
    net, X = trained(y, backend, dtype), features(dtype)
    known = np.unique(np.asarray(y))
    np.testing.assert_array_equal(net.classes_, known)
    assert net.classes_.dtype == known.dtype
    two = len(known) == 2
    assert net.loss_name == ("binary_cross_entropy" if two else "cross_entropy")
    assert net.activations[-1] == ("sigmoid" if two else "softmax")
    assert net.sizes == (COLUMNS, 5, 1 if two else len(known))

    proba, predicted = net.predict_proba(X), net.predict(X)
    assert proba.shape == (ROWS, len(known))
    assert proba.dtype == dtype
    # As many roundings as there are classes, of numbers below 1.
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=8 * np.finfo(dtype).eps)
    assert proba.min() >= 0
    np.testing.assert_array_equal(predicted, known[proba.argmax(axis=1)])
    assert predicted.dtype == known.dtype
    assert net.score(X, y) == np.mean(predicted == np.asarray(y))
    assert net.score(X, y) > 0.6, "it has learned something"
    assert net.history.accuracy.shape == (30,)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_two_classes_with_one_output_each(backend, loss):
    y = np.array(["no", "yes"])[classes(2)]
    net, X = trained(y, backend, loss=loss), features()
    assert net.sizes[-1] == 2
    np.testing.assert_array_equal(net.predict(X), net.classes_[net.forward(X)[-1].argmax(axis=1)])
    assert net.score(X, y) == np.mean(net.predict(X) == y)


@pytest.mark.parametrize("kind", [int, bool])
def test_one_hot_rows_are_the_same_as_labels(backend, kind):
    net, X, y = trained(np.eye(3, dtype=kind)[classes(3)], backend), features(), classes(3)
    other = trained(y, backend)
    np.testing.assert_array_equal(net.params, other.params)
    np.testing.assert_array_equal(net.classes_, [0, 1, 2])
    np.testing.assert_array_equal(net.predict(X), other.predict(X))
    assert net.score(X, y) == net.score(X, np.eye(3)[y]) == other.score(X, y)


def test_multi_label_rows(backend, dtype):
    X = features(dtype)
    y = (X[:, :3] > [0, 0.5, -0.5]).astype(int)
    net = trained(y, backend, dtype)
    assert (net.loss_name, net.activations[-1], net.sizes[-1]) == ("binary_cross_entropy", "sigmoid", 3)
    assert net.classes_ is None
    predicted, proba = net.predict(X), net.predict_proba(X)
    assert predicted.dtype == np.int64
    assert proba.shape == predicted.shape == (ROWS, 3)
    np.testing.assert_array_equal(predicted, proba > 0.5)
    assert net.score(X, y) == np.mean((predicted == y).all(axis=1))
    assert net.score(X, y) > 0.5


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1), (ROWS, 2)], ids=str)
def test_regression(backend, dtype, shape):
    X = features(dtype)
    y = np.column_stack((X[:, 0] - X[:, 1], 3 * X[:, 2] + 1))[:, : int(np.prod(shape[1:]))].reshape(shape)
    net = trained(y, backend, dtype)
    assert (net.loss_name, net.activations[-1], net.classes_) == ("squared_error", "identity", None)
    predicted = net.predict(X)
    assert predicted.shape == shape
    assert predicted.dtype == dtype
    np.testing.assert_array_equal(predicted.reshape(ROWS, -1), net.forward(X)[-1])
    assert net.history.accuracy is None
    assert 0.3 < net.score(X, y) < 1
    with pytest.raises(ValueError, match="^predict_proba: got a network trained with loss 'squared_error'"):
        net.predict_proba(X)


def test_two_outputs_score_as_the_mean_of_both():
    X = features()
    net = trained(X[:, :2])
    outputs = net.predict(X)
    ratios = [((X[:, j] - outputs[:, j]) ** 2).sum() / ((X[:, j] - X[:, j].mean()) ** 2).sum() for j in (0, 1)]
    np.testing.assert_allclose(net.score(X, X[:, :2]), 1 - np.mean(ratios), rtol=1e-13)


def test_scores_are_scikit_learns(backend):
    metrics = pytest.importorskip("sklearn.metrics")
    X = features()
    for y in (X[:, 0] + 1, X[:, :3] * [1, 10, 100]):
        net = trained(y, backend)
        np.testing.assert_allclose(net.score(X, y), metrics.r2_score(y, net.predict(X)), rtol=1e-12)
    for y in (LABELS["strings"], LABELS["bools"], (X[:, :3] > 0).astype(int)):
        net = trained(y, backend)
        assert net.score(X, y) == metrics.accuracy_score(y, net.predict(X))


def test_the_score_of_a_constant_output():
    net = fastmlp.Network((COLUMNS, 1), seed=0)
    net.params[:] = [0, 0, 0, 0, 2]
    assert net.score(features(), np.full(ROWS, 2.0)) == 1.0
    assert net.score(features(), np.full(ROWS, 3.0)) == 0.0


def test_later_targets_are_coded_as_the_first(backend):
    net = trained(LABELS["strings"], backend)
    some = np.flatnonzero(LABELS["strings"] != "birch")
    X, y = features()[some], LABELS["strings"][some]
    assert net.score(X, y) == np.mean(net.predict(X) == y)
    with pytest.raises(ValueError, match="^y: got the unknown label 'oak' at row 1; the network knows 'ash', 'birch'"):
        net.loss(features()[:2], ["ash", "oak"])


# ---- dtypes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["float32", "float64", "float16", "int64", "bool"])
def test_float32_stays_and_everything_else_is_float64(given, backend):
    X = (features() > 0).astype(given)
    net = fastmlp.train(X, classes(2), hidden=3, epochs=1, backend=backend)
    wanted = np.float32 if given == "float32" else np.float64
    assert net.dtype == net.params.dtype == wanted
    assert net.predict_proba(X).dtype == net.gradient(X, classes(2)).dtype == wanted
    assert [h.dtype for h in net.forward(X)] == [wanted, wanted]


@pytest.mark.parametrize("asked", ["float32", np.float64])
def test_a_dtype_that_is_asked_for_is_taken(asked):
    for given in (np.float32, np.float64):
        net = trained(classes(2), dtype=given)
        net = fastmlp.train(features(given), classes(2), hidden=3, epochs=1, dtype=asked)
        assert net.dtype == np.dtype(asked)
        assert net.predict_proba(features(given)).dtype == np.dtype(asked)


# ---- forward, loss, gradient -----------------------------------------------------------------------------

FUNCTIONS = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("hidden", [(), (3,), (5, 129, 70)], ids=str)
def test_forward_gives_every_layer(backend, dtype, hidden, bias):
    names = ("tanh", "relu", "sigmoid")[: len(hidden)]
    net = trained(classes(3), backend, dtype, hidden=hidden, activation=names, bias=bias, epochs=2)
    assert net.activations == (*names, "softmax")
    X = features(dtype)
    layers = net.forward(X)
    assert [h.shape for h in layers] == [(ROWS, size) for size in net.sizes[1:]]
    below = X.astype(np.float64)
    for number, (h, name) in enumerate(zip(layers, net.activations, strict=True)):
        z = below @ net.weights[number].astype(np.float64) + (net.biases[number] if bias else 0)
        np.testing.assert_allclose(h, FUNCTIONS[name](z), **close(dtype))
        below = h.astype(np.float64)


@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 1000])
def test_rows_do_not_depend_on_their_company(backend, dtype, rows):
    X = np.random.default_rng(2).standard_normal((rows, COLUMNS)).astype(dtype)
    for hidden in ((5,), (100, 100)):
        net = trained(classes(3), backend, dtype, hidden=hidden, epochs=2)
        proba = net.predict_proba(X)
        for row in {0, rows // 2, rows - 1}:
            np.testing.assert_allclose(net.predict_proba(X[row : row + 1])[0], proba[row], **close(dtype))


@pytest.mark.parametrize("rows", [1, 60, 5000])
def test_the_loss_is_the_objective(backend, rows):
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((rows, COLUMNS)), rng.integers(0, 3, rows)
    net = fastmlp.Network(
        (COLUMNS, 6, 3), activation="tanh", loss="cross_entropy", l1=0.3, l2=0.7, seed=0, backend=backend
    )
    every = np.concatenate([weights.ravel() for weights in net.weights])
    rowwise = -np.log(net.predict_proba(X)[np.arange(rows), y])
    expected = rowwise.mean() + 0.35 * (every**2).sum() / rows + 0.3 * np.abs(every).sum() / rows
    # Sums of at most 5000 rounded numbers, in double.
    np.testing.assert_allclose(net.loss(X, y), expected, rtol=1e-13)


def test_the_loss_of_squared_error_is_half_the_sum_over_outputs(backend):
    X, y = features(), features()[:, :2]
    net = fastmlp.Network((COLUMNS, 2), seed=0, backend=backend)
    np.testing.assert_allclose(net.loss(X, y), ((y - net.predict(X)) ** 2).sum() / (2 * ROWS), rtol=1e-14)


def test_the_gradient_has_the_order_of_the_parameters(backend):
    X, y = features(), features()[:, :2]
    net = fastmlp.Network((COLUMNS, 2), seed=0, l2=0.5, backend=backend)
    gradient = net.gradient(X, y)
    assert gradient.shape == net.params.shape
    assert not np.shares_memory(gradient, net.params)
    error = net.predict(X) - y
    of_weights = X.T @ error / ROWS + 0.5 / ROWS * net.weights[0]
    # Means of 60 products near 1, which may cancel to a tenth.
    np.testing.assert_allclose(gradient, [*of_weights.ravel(), *error.mean(axis=0)], rtol=1e-12, atol=1e-14)


# ---- parameters and their views --------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_writing_to_a_view_changes_the_network(backend, bias):
    net = fastmlp.Network((COLUMNS, 3, 2), activation="tanh", bias=bias, seed=0, backend=backend)
    before = net.predict(features())
    for views in (net.weights, net.biases):
        for view in views:
            assert np.shares_memory(view, net.params)
            view += 0.5
    start = fastmlp.Network((COLUMNS, 3, 2), bias=bias, seed=0, backend=backend)
    np.testing.assert_array_equal(net.params, start.params + 0.5)
    assert (net.predict(features()) != before).all()
    net.params[:] = start.params
    np.testing.assert_array_equal(net.weights[1], start.weights[1])
    np.testing.assert_array_equal(net.predict(features()), before)


def test_without_biases_there_are_none():
    net = fastmlp.Network((COLUMNS, 3, 2), bias=False, seed=0)
    assert net.biases == ()
    assert len(net.params) == COLUMNS * 3 + 3 * 2
    np.testing.assert_array_equal(net.predict(np.zeros((1, COLUMNS))), np.zeros((1, 2)))


def test_initial_parameters_are_glorots_and_the_seeds():
    net = fastmlp.Network((300, 200, 10), seed=4)
    for weights, biases in zip(net.weights, net.biases, strict=True):
        limit = np.sqrt(6 / sum(weights.shape))
        assert np.abs(weights).max() <= limit
        # The standard deviation of a uniform distribution; the estimate from 2000 or more draws is within 5 %.
        np.testing.assert_allclose(weights.std(), limit / np.sqrt(3), rtol=0.05)
        assert np.abs(biases).max() <= limit
        assert len(set(biases.tolist())) == len(biases)
    np.testing.assert_array_equal(net.params, fastmlp.Network((300, 200, 10), seed=4).params)
    assert (net.params != fastmlp.Network((300, 200, 10), seed=5).params).any()


def test_a_seed_that_is_drawn_is_told():
    X, y = features(), classes(3)
    net = fastmlp.train(X, y, hidden=3, epochs=2)
    again = fastmlp.train(X, y, hidden=3, epochs=2, seed=net.seed)
    np.testing.assert_array_equal(net.params, again.params)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_networks_of_their_own(make, backend):
    net, X, y = trained(classes(3), backend), features(), classes(3)
    net.metadata["made by"] = "a test"
    other = make(net)
    np.testing.assert_array_equal(other.params, net.params)
    assert not np.shares_memory(other.params, net.params)
    assert all(np.shares_memory(view, other.params) for view in (*other.weights, *other.biases))
    assert (other.backend, other.metadata, len(other.history)) == (backend, net.metadata, 30)
    before = net.params.copy()
    other.train(X, y, epochs=2)
    np.testing.assert_array_equal(net.params, before)
    if make is not copy.copy:  # a shallow copy shares the optimizer's state, as it shares the history
        net.train(X, y, epochs=2)
        np.testing.assert_array_equal(net.params, other.params)


# ---- text ------------------------------------------------------------------------------------------------


def test_the_summary():
    net = fastmlp.Network((4, 64, 3), loss="cross_entropy", seed=0, dtype="float32", backend="reference")
    assert net.summary().splitlines() == [
        "Network: classification, cross_entropy, float32, backend reference",
        "layers:",
        "  4 -> 64 relu        320 parameters",
        "  64 -> 3 softmax     195 parameters",
        "515 parameters in all",
        "not trained",
    ]
    net.train(features(np.float32), classes(3), epochs=3)
    last = net.summary().splitlines()[-1]
    assert last.startswith("trained for 3 epochs in ")
    assert last.endswith(f" s: loss {net.history.loss[-1]:.4g}, training accuracy {net.history.accuracy[-1]:.4g}")


@pytest.mark.parametrize(
    ("loss", "kind"),
    [("squared_error", "regression"), ("binary_cross_entropy", "multi-label"), ("cross_entropy", "classification")],
)
def test_the_summary_names_the_kind(loss, kind):
    net = fastmlp.Network((4, 2), loss=loss, bias=False, seed=0)
    assert net.summary().startswith(f"Network: {kind}, {loss}, float64, backend {places.backend.in_use()}\n")
    assert "8 parameters in all, no biases\n" in net.summary()


def test_the_summary_is_shown_as_it_reads():
    text = fastmlp.Network((4, 2), seed=0).summary()
    assert isinstance(text, str)
    assert repr(text) == str(text) == text == copy.copy(text)
    assert pickle.loads(pickle.dumps(text)) == text
    assert type(str(text)) is str


def test_the_table_of_a_network():
    net = fastmlp.Network((4, 64, 3), loss="cross_entropy", seed=0, backend="reference")
    page = net._repr_html_()
    caption = "Network: classification, cross_entropy, float64, backend reference; 515 parameters in all; not trained"
    assert page.startswith(f"<table><caption>{caption}</caption>")
    assert "<tr><td>4 -&gt; 64</td><td>relu</td><td>320</td></tr>" in page
    assert page.count("<tr>") == 3
    net.train(features(), classes(3), epochs=1)
    assert "; trained for 1 epoch in " in net._repr_html_()
    assert not re.findall(r"style|color|href|src|script", page), "the page's own colours, and nothing from outside"


def test_the_text_of_a_network():
    assert repr(fastmlp.Network((2, 3, 1), seed=0)).startswith(
        "Network((2, 3, 1), activations=('relu', 'identity'), loss='squared_error'"
    )


# ---- bad input -------------------------------------------------------------------------------------------


def spoiled(value: float) -> np.ndarray:
    X = features()
    X[7, 2] = value
    return X


class Sparse:
    """Stands in for a sparse matrix, of which only the method `toarray` matters."""

    def toarray(self):
        return features()


SPOILED_TARGETS = features()[:, 0]
SPOILED_TARGETS[9] = np.nan
BAD = {
    "1-D X": ({"X": features()[:, 0]}, ValueError, r"^X: got shape \(60,\); a 2-D array"),
    "3-D X": ({"X": features()[None]}, ValueError, r"^X: got shape \(1, 60, 4\)"),
    "no rows": ({"X": features()[:0]}, ValueError, r"^X: got shape \(0, 4\)"),
    "no columns": ({"X": features()[:, :0]}, ValueError, r"^X: got shape \(60, 0\)"),
    "objects": ({"X": features().astype(object)}, TypeError, "^X: got dtype object"),
    "complex": ({"X": features() + 1j}, TypeError, "^X: got dtype complex128"),
    "strings": ({"X": features().astype(str)}, TypeError, "^X: got dtype <U"),
    "sparse": ({"X": Sparse()}, TypeError, "^X: got a sparse Sparse"),
    "ragged": ({"X": [[1.0, 2.0], [3.0]]}, ValueError, "^X: got a list that cannot be read"),
    "NaN in X": ({"X": spoiled(np.nan)}, ValueError, "^X: got nan at row 7, column 2"),
    "inf in X": ({"X": spoiled(np.inf)}, ValueError, "^X: got inf at row 7, column 2"),
    "-inf in X": ({"X": spoiled(-np.inf)}, ValueError, "^X: got -inf at row 7, column 2"),
    "NaN in y": ({"y": SPOILED_TARGETS}, ValueError, "^y: got nan at row 9"),
    "short y": ({"y": classes(3)[:-1]}, ValueError, "^y: got 59 rows where X has 60"),
    "mixed labels": ({"y": [1, "a"] * 30}, TypeError, "^y: got 1 "),
    "missing label": ({"y": np.array(["a", None] * 30, object)}, TypeError, "^y: got None"),
    "activation": ({"activation": "rleu"}, ValueError, "^activation: got 'rleu', .*did you mean 'relu'"),
    "activations": ({"activation": ("relu", "tanh")}, ValueError, "^activation: got 2 names for 1 hidden layers"),
    "hidden softmax": ({"activation": "softmax"}, ValueError, "^activation: got 'softmax'"),
    "loss": ({"loss": "crossentropy"}, ValueError, "^loss: got 'crossentropy'; use 'cross_entropy'"),
    "output": ({"output": "sigmiod"}, ValueError, "^output: got 'sigmiod', .*did you mean 'sigmoid'"),
    "optimizer": ({"optimizer": "adma"}, ValueError, "^optimizer: got 'adma', .*did you mean 'adam'"),
    "optimizer class": ({"optimizer": fastmlp.SGD}, TypeError, r"^optimizer: got the class SGD; .*SGD\(\)"),
    "backend": ({"backend": "refernce"}, ValueError, "^backend: got 'refernce', .*did you mean 'reference'"),
    "hidden 0": ({"hidden": (5, 0)}, ValueError, r"^hidden\[1\]: got 0"),
    "hidden -1": ({"hidden": -1}, ValueError, "^hidden: got -1"),
    "hidden 2.0": ({"hidden": 2.0}, TypeError, "^hidden: got 2.0"),
    "hidden text": ({"hidden": "5"}, TypeError, "^hidden: got '5'"),
    "epochs 0": ({"epochs": 0}, ValueError, "^epochs: got 0"),
    "epochs 1.5": ({"epochs": 1.5}, TypeError, "^epochs: got 1.5"),
    "epochs True": ({"epochs": True}, TypeError, "^epochs: got True"),
    "batch 0": ({"batch_size": 0}, ValueError, "^batch_size: got 0"),
    "batch 1.0": ({"batch_size": 1.0}, TypeError, "^batch_size: got 1.0"),
    "batch all": ({"batch_size": "all"}, ValueError, "^batch_size: got 'all', expected one of 'auto', 'full'"),
    "threads 0": ({"n_threads": 0}, ValueError, "^n_threads: got 0"),
    "threads 1.5": ({"n_threads": 1.5}, TypeError, "^n_threads: got 1.5"),
    "rate -1": ({"learning_rate": -1.0}, ValueError, "^learning_rate: got -1.0"),
    "rate NaN": ({"learning_rate": np.nan}, ValueError, "^learning_rate: got nan"),
    "rate inf": ({"learning_rate": np.inf}, ValueError, "^learning_rate: got inf"),
    "rate text": ({"learning_rate": "0.1"}, TypeError, "^learning_rate: got '0.1'"),
    "l2 -1": ({"l2": -1}, ValueError, "^l2: got -1"),
    "l1 NaN": ({"l1": np.nan}, ValueError, "^l1: got nan"),
    "shuffle 1": ({"shuffle": 1}, TypeError, "^shuffle: got 1"),
    "bias 0": ({"bias": 0}, TypeError, "^bias: got 0"),
    "seed -1": ({"seed": -1}, ValueError, "^seed: got -1"),
    "seed 1.0": ({"seed": 1.0}, TypeError, "^seed: got 1.0"),
    "dtype": ({"dtype": "int8"}, ValueError, "^dtype: got int8"),
    "progress": ({"progress": 1}, TypeError, "^progress: got 1; True, or a callable"),
    "numbers and classes": (
        {"y": features()[:, 0], "loss": "cross_entropy"},
        ValueError,
        "^loss: got 'cross_entropy' with numbers in y",
    ),
    "three classes and one output": (
        {"loss": "binary_cross_entropy"},
        ValueError,
        "^loss: got 'binary_cross_entropy' with 3 classes",
    ),
    "output of another loss": ({"output": "identity"}, ValueError, "^output: got 'identity'; loss 'cross_entropy'"),
    "a wide rate for float32": ({"learning_rate": 1e39, "dtype": "float32"}, ValueError, r"^learning_rate: got 1e\+39"),
}
# What only makes a network, and what only a training takes.
MAKING = {"activation", "loss", "output", "backend", "hidden", "l1", "l2", "bias", "dtype", "dropout"}


@pytest.mark.parametrize(("bad", "kind", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_the_same_words_everywhere(bad, kind, words):
    messages = set()
    for backend in places.backend.available():
        with pytest.raises(kind, match=words) as raised:
            fastmlp.train(**({"X": features(), "y": classes(3), "hidden": (5,), "backend": backend} | bad))
        messages.add(str(raised.value))
    assert len(messages) == 1
    assert "\n" not in messages.pop()


def test_what_is_refused_changes_nothing(backend):
    X, y = features(), classes(3)
    net, whole = trained(y, backend), trained(y, backend)
    params, frames = net.params.copy(), net.history
    refused = {name: bad for name, bad in BAD.items() if not MAKING & bad[0].keys()}
    assert len(refused) > 25
    for bad, kind, words in refused.values():
        with pytest.raises(kind, match=words if "y" not in bad else "^y: "):
            net.train(**({"X": X, "y": y, "optimizer": "sgd"} | bad))
        with pytest.raises(ValueError, match="^X: got 3 columns"):
            net.train(X[:, :3], y)
    np.testing.assert_array_equal(net.params, params)
    assert net.history is frames
    settings = {"epochs": 3, "learning_rate": 0.02, "batch_size": 20}
    net.train(X, y, **settings)
    whole.train(X, y, **settings)
    np.testing.assert_array_equal(net.params, whole.params)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "forward", "loss", "gradient", "score", "train"])
def test_another_number_of_columns_is_refused(backend, method):
    net = trained(classes(3), backend)
    more = () if method in ("predict", "predict_proba", "forward") else (classes(3),)
    with pytest.raises(ValueError, match=r"^X: got 5 columns \(shape \(60, 5\)\); the network takes 4$"):
        getattr(net, method)(np.ones((ROWS, 5)), *more)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"sizes": (3,)}, ValueError, r"^sizes: got \(3,\); at least inputs and outputs"),
        ({"sizes": 3}, ValueError, r"^sizes: got \(3,\); at least inputs and outputs"),
        ({"sizes": (2, 0, 1)}, ValueError, r"^sizes\[1\]: got 0"),
        ({"sizes": 2.5}, TypeError, "^sizes: got 2.5"),
        ({"loss": "hing"}, ValueError, "^loss: got 'hing'"),
        ({"loss": "cross_entropy"}, ValueError, "^sizes: got 1 output with loss 'cross_entropy'"),
        ({"classes": ["a", "b"]}, ValueError, "^classes: got 'a', 'b'"),
        ({"output": "softmax"}, ValueError, "^output: got 'softmax'; loss 'squared_error' goes with"),
        ({"seed": 2**63}, ValueError, "^seed: got 9223372036854775808"),
    ],
    ids=str,
)
def test_a_network_refuses(arguments, kind, words):
    with pytest.raises(kind, match=words):
        fastmlp.Network(**({"sizes": (2, 3, 1)} | arguments))


# ---- memory ----------------------------------------------------------------------------------------------


def peak_of(call) -> int:
    """The most bytes that a call has allocated at a time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "arguments", [{"epochs": 0}, {"l2": -1.0}, {"backend": "x87"}, {"activation": "rleu"}], ids=str
)
def test_refused_before_anything_is_allocated(arguments):
    X, y = features(), classes(3)

    def refused():
        with pytest.raises(ValueError, match=f"^{next(iter(arguments))}"):
            fastmlp.train(X, y, **({"hidden": (10**6, 10**6), "epochs": 10**9} | arguments))

    assert peak_of(refused) < 2**20


def test_x_is_not_copied(backend, dtype):
    X = np.random.default_rng(0).standard_normal((20 * 2**20 // dtype.itemsize // 64, 64)).astype(dtype)
    assert X.nbytes == 20 * 2**20
    y = X[:, 0].copy()
    peak = peak_of(lambda: fastmlp.train(X, y, hidden=2, epochs=1, batch_size=100, backend=backend, n_threads=1))
    # A copy would be all of X; the order of the rows is allocated, which takes the reference 100 bytes a row.
    assert peak < X.nbytes / 2 if backend == places.backend.REFERENCE else peak < X.nbytes / 8


def test_x_may_be_read_only_memory_of_a_file(tmp_path, backend, dtype):
    X, y = features(dtype), classes(3)
    X.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", dtype, "r", shape=X.shape)
    one = fastmlp.train(mapped, y, hidden=5, epochs=3, seed=0, batch_size=20, backend=backend)
    two = fastmlp.train(X, y, hidden=5, epochs=3, seed=0, batch_size=20, backend=backend)
    np.testing.assert_array_equal(one.params, two.params)
    np.testing.assert_array_equal(one.predict_proba(mapped), two.predict_proba(X))
    np.testing.assert_array_equal(np.fromfile(tmp_path / "X", dtype), X.ravel())


def test_the_order_of_memory_does_not_matter(backend):
    X, y = features(), classes(3)
    nets = [
        fastmlp.train(given, y, hidden=5, epochs=3, seed=0, backend=backend)
        for given in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X.tolist(), X.astype(">f8"))
    ]
    for other in nets[1:]:
        np.testing.assert_array_equal(nets[0].params, other.params)


# ---- backends and copies of a network ------------------------------------------------------------------------


def test_assigned_parameters_are_copied_in():
    net = fastmlp.Network((2, 3, 1), seed=0)
    params, weights = net.params, net.weights[0]
    net.params = params * 0.5
    assert net.params is params
    assert np.shares_memory(weights, net.params)
    with pytest.raises(ValueError, match=r"params: got shape \(3,\)"):
        net.params = np.zeros(3)


def test_parameters_that_may_not_be_written_are_not(backend):
    net = fastmlp.Network((2, 30, 1), seed=0, backend=backend)
    before = net.params.copy()
    net.params.flags.writeable = False
    assert net.predict(np.ones((3, 2))).shape == (3,)
    assert net.gradient(np.ones((3, 2)), np.ones(3)).shape == net.params.shape
    with pytest.raises(ValueError, match="read-only"):
        net.train(np.ones((3, 2)), np.ones(3), epochs=1)
    np.testing.assert_array_equal(net.params, before)


def test_spare_lanes_do_not_overflow_where_no_sample_does(backend):
    # f(0) overflows in float32, f(1), which is all the samples there are, does not.
    net = fastmlp.Network((1, 1, 1, 1), activation="relu", dtype=np.float32, backend=backend)
    net.params = [-1e20, 1e20, 1e20, 0.5, 1.0, 0.0]
    gradient = net.gradient(np.ones((3, 1)), np.zeros(3))
    np.testing.assert_array_equal(gradient, np.float32([0, 0, 0, 0.5, 0.25, 0.5]))


# ---- values that would fail later, or not at all ----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (
            {"bias_init": 1e300, "dtype": "float32"},
            ValueError,
            "^bias_init: got 1e\\+300; float32 holds numbers up to 3.4",
        ),
        ({"bias_init": -1e39, "dtype": "float32"}, ValueError, "^bias_init: got -1e\\+39"),
        ({"hidden": 10**30}, ValueError, "^hidden: got 10*, expected a whole number of at least 1 and at most 9223372"),
        ({"hidden": 10**18}, ValueError, "^hidden: got .* parameters of float64; at most 2199023255552 are accepted"),
        ({"hidden": (10**9, 10**9)}, ValueError, "^hidden: got "),
        ({"epochs": 10**30}, ValueError, "^epochs: got 10*, expected .* at most 2147483647"),
        ({"loss": np.array([2, 2])}, TypeError, "^loss: got array"),
        ({"optimizer": np.array([2, 2])}, TypeError, "^optimizer: got array"),
        ({"batch_size": np.array([2, 2])}, TypeError, "^batch_size: got array"),
        ({"seed": 10**30}, ValueError, "^seed: got "),
        ({"n_threads": 10**30}, ValueError, "^n_threads: got "),
    ],
    ids=str,
)
def test_options_beyond_what_can_be_held(options, kind, words, normal):
    with pytest.raises(kind, match=words):
        fastmlp.train(normal(10, 3), np.arange(10) % 2, **{"epochs": 1} | options)


def test_as_many_rows_to_a_batch_as_one_likes(normal):
    X, y = normal(10, 3), np.arange(10) % 2
    one, other = (fastmlp.train(X, y, epochs=2, seed=0, batch_size=size) for size in ("full", 10**30))
    np.testing.assert_array_equal(one.params, other.params)


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        (lambda params: params + 1j, TypeError, "^params: got dtype complex128; finite numbers of shape"),
        (lambda params: ["1"] * len(params), TypeError, "^params: got dtype <U1"),
        (lambda params: [None] * len(params), TypeError, "^params: got dtype object"),
        (lambda params: params[:-1], ValueError, "^params: got shape"),
        (lambda params: params[:, None], ValueError, "^params: got shape"),
        (
            lambda params: np.where(np.arange(len(params)) == 3, np.nan, params),
            ValueError,
            "^params: got nan at place 3",
        ),
        (
            lambda params: np.where(np.arange(len(params)) == 2, 1e300, params),
            ValueError,
            r"^params: got 1e\+300 at place 2",
        ),
    ],
)
def test_parameters_are_finite_numbers(values, kind, words):
    net = fastmlp.Network((2, 3, 1), seed=0, dtype=np.float32)
    before = net.params.copy()
    with pytest.raises(kind, match=words):
        net.params = values(before.astype(np.float64))
    np.testing.assert_array_equal(net.params, before)
    net.params = [True] * len(before)
    assert (net.params == 1).all()


@pytest.mark.parametrize("path", [b"net.safetensors", 3, None], ids=repr)
def test_paths_are_text(path):
    calls = (
        fastmlp.Network((2, 1)).save,
        fastmlp.load,
        fastmlp.callbacks.CSVLog,
        fastmlp.callbacks.Checkpoint,
    )
    for call in calls:
        with pytest.raises(TypeError, match=r"^path: got .*; a str or path-like is accepted"):
            call(path)


@pytest.mark.parametrize("path", ["{x}.st", "{}.st", "{epoch:zz}.st", "{.st", "{epoch.name}.st", "{epoch[0]}"])
def test_the_epoch_is_the_only_field_of_a_path(path):
    with pytest.raises(ValueError, match=r"^path: got .*; \{epoch\} is the only field"):
        fastmlp.callbacks.Checkpoint(path)


def test_braces_of_a_path_may_be_doubled(tmp_path, normal):
    kept = fastmlp.callbacks.Checkpoint(tmp_path / "{{a}}-{epoch:03}.st")
    fastmlp.train(normal(10, 3), np.arange(10) % 2, epochs=2, hidden=3, callbacks=[kept])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["{a}-001.st", "{a}-002.st"]


RAGGED = [[1.0], [2.0, 3.0]]


@pytest.mark.parametrize("name", ["init", "sample_weight", "X", "y"])
def test_arrays_that_are_ragged_are_named(name, normal):
    options = {"X": normal(2, 2), "y": [0, 1], name: RAGGED}
    with pytest.raises(ValueError, match=f"^{name}: got a list that cannot be read as an array"):
        fastmlp.train(**options)


def test_what_is_assigned_to_a_network_is_checked():
    net = fastmlp.Network((2, 3, 1))
    with pytest.raises(ValueError, match="^params: got a list that cannot be read as an array"):
        net.params = RAGGED
    with pytest.raises(TypeError, match=r"^history: got 5 \(int\); a History is accepted"):
        net.history = 5
    with pytest.raises(ValueError, match="^classes: got 3; 2 different labels"):
        fastmlp.Network((2, 1), loss="binary_cross_entropy", classes=3)


@pytest.mark.parametrize("value", [None, "high", [1.0], 1j, 10**400], ids=str)
def test_what_a_callable_returns_in_place_of_a_number_is_named(value, normal):
    X, y = normal(8, 2), normal(8)

    def mine(*_):
        return value

    with pytest.raises(TypeError, match=r"^metric 'mine': got .* \(.*\); a number is accepted$"):
        fastmlp.train(X, y, metrics=[mine])
    with pytest.raises(TypeError, match=r"^early_stopping: monitor: got .* \(.*\); a number is accepted$"):
        fastmlp.train(X, y, early_stopping=fastmlp.EarlyStopping(monitor=mine))
    with pytest.raises((TypeError, ValueError), match="^shuffle: got "):
        fastmlp.train(X, y, batch_size=4, shuffle=mine)
