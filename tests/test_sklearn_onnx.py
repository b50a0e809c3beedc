"""The converter to ONNX: what ONNX Runtime answers is what the estimator answers, in every form that both have."""

from __future__ import annotations

import importlib
import re
import sys

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp.activations import HIDDEN_ACTIVATIONS
from fastmlp.losses import quantile
from fastmlp.sklearn import MLPClassifier, MLPRegressor

skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from skl2onnx.common.data_types import FloatTensorType, StringTensorType  # noqa: E402

from fastmlp.sklearn import onnx  # noqa: E402

# A few epochs are enough: what is compared are answers, however good.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# What the converter promises of float, of answers of order one, absolute, and relative to larger ones: weights, inputs
# and every product are rounded by 6e-8, and the layers here add up some ten of them.
PROMISED = 1e-5
FEATURES = 5


@pytest.fixture(autouse=True)
def _registered():
    onnx.register()


@pytest.fixture(name="X")
def _features(normal):
    return normal(120, FEATURES, dtype=np.float32)


def labels_of(X: np.ndarray, classes: object) -> np.ndarray:
    """Labels that follow from X, some of each class."""
    classes = np.asarray(classes)
    ranks = np.argsort(np.argsort(X @ np.arange(1.0, FEATURES + 1)))
    return classes[ranks * len(classes) // len(X)]


def classifier(X: np.ndarray, y: np.ndarray, **settings: object) -> MLPClassifier:
    return MLPClassifier((8,), random_state=0, max_iter=20, learning_rate_init=0.02, **settings).fit(X, y)


def regressor(X: np.ndarray, y: np.ndarray, hidden: tuple[int, ...] = (8,), **settings: object) -> MLPRegressor:
    return MLPRegressor(hidden_layer_sizes=hidden, random_state=0, max_iter=20, **settings).fit(X, y)


def session_of(model: object, X: np.ndarray, options: dict | None = None, **settings: object) -> object:
    """ONNX Runtime with a converted model."""
    graph = skl2onnx.to_onnx(model, X[:1], options=options, **settings)
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def answers(model: object, X: np.ndarray, options: dict | None = None, **settings: object) -> list:
    return session_of(model, X, options, **settings).run(None, {"X": X})


def assert_close(given: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(given, expected, rtol=PROMISED, atol=PROMISED)


# ---- activations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HIDDEN_ACTIVATIONS)
def test_hidden_activations(name, dtype, X):
    X = X.astype(dtype)
    model = regressor(X, X[:, 0], activation=name)
    model.coefs_ = [model.coefs_[0] * 6, model.coefs_[1]]  # kinks and flat parts are reached
    (given,) = answers(model, X)
    assert given.dtype == dtype
    expected = model.predict(X)[:, np.newaxis]
    assert_close(given, expected)
    if dtype == np.float64 and name != "gelu":  # whose erf is float
        # Sums of some ten products of order ten, functions within a few units in the last place: 1e-14 each.
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", HIDDEN_ACTIVATIONS)
def test_activations_far_from_zero(name, dtype):
    z = np.linspace(-400, 400, 161, dtype=dtype)[:, np.newaxis]
    model = regressor(z, z.ravel(), hidden=(1,), activation=name)
    one, zero = np.ones((1, 1)), np.zeros(1)
    model.coefs_, model.intercepts_ = [one, one], [zero, zero]
    assert_close(answers(model, z)[0], model.predict(z)[:, np.newaxis])


def test_an_activation_a_layer(X):
    model = regressor(X, X[:, 0], hidden=(7, 6, 5), activation=["logistic", "gelu", "leaky_relu"])
    assert_close(answers(model, X)[0].ravel(), model.predict(X))


def test_no_hidden_layer(X):
    model = regressor(X, X[:, :2], hidden=())
    assert_close(answers(model, X)[0], model.predict(X))


# ---- regression ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gamma", quantile(0.1, 0.5, 0.9)], ids=str)
def test_regression(loss, outputs, X, targets):
    columns = outputs * getattr(loss, "outputs_per_target", 1)
    y = targets(loss, len(X), columns)
    model = regressor(X, y.ravel() if outputs == 1 else y, loss=loss)
    (given,) = answers(model, X)
    assert_close(given, model.predict(X).reshape(len(X), columns))


# ---- classification ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "classes",
    [
        [0, 1],
        [-3, 8],
        [False, True],
        ["no", "yes"],
        np.array(["no", "yes"], object),
        [1.0, 2.0],
        [4, 2, 7],
        np.array([4, 2, 7], np.uint8),
        [0, 2**40, 1],
        ["ü", "b", "longer"],
        [5],
        ["only"],
    ],
    ids=str,
)
def test_labels_and_probabilities(classes, X, dtype):
    X = X.astype(dtype)
    model = classifier(X, labels_of(X, classes))
    labels, probabilities = answers(model, X, {"zipmap": False})
    assert probabilities.dtype == dtype
    assert labels.tolist() == model.predict(X).tolist()
    assert_close(probabilities, model.predict_proba(X))
    assert len(set(labels)) == len(classes)  # the comparison has seen all of them


@pytest.mark.parametrize("labels", [2, 3])
def test_several_labels_a_row(labels, X):
    model = classifier(X, (X[:, :labels] > 0).astype(int))
    given, probabilities = answers(model, X, {"zipmap": False})
    np.testing.assert_array_equal(given, model.predict(X))
    assert given.dtype == np.int64
    assert_close(probabilities, model.predict_proba(X))


def test_a_loss_without_probabilities_has_scores(X):
    model = classifier(X, labels_of(X, ["a", "b", "c"]), loss="hinge")
    labels, scores = answers(model, X, {"zipmap": False})
    np.testing.assert_array_equal(labels, model.predict(X))
    assert_close(scores, model.network_.forward(X)[-1])


def test_hinge_of_two_classes(X):
    model = classifier(X, labels_of(X, ["no", "yes"]), loss="hinge")
    labels, scores = answers(model, X, {"zipmap": False})
    np.testing.assert_array_equal(labels, model.predict(X))
    outputs = model.network_.forward(X)[-1]
    assert_close(scores, np.hstack((-outputs, outputs)))


def test_hinge_of_several_labels(X):
    model = classifier(X, (X[:, :3] > 0).astype(int), loss="hinge")
    labels, scores = answers(model, X, {"zipmap": False})
    np.testing.assert_array_equal(labels, model.predict(X))
    assert_close(scores, model.network_.forward(X)[-1])


def test_a_tie_goes_as_it_does_in_the_estimator(X):
    for model in (classifier(X, labels_of(X, ["a", "b"])), classifier(X, labels_of(X, ["a", "b", "c"]))):
        model.coefs_ = [np.zeros_like(weights) for weights in model.coefs_]
        model.intercepts_ = [np.zeros_like(biases) for biases in model.intercepts_]
        assert answers(model, X, {"zipmap": False})[0].tolist() == model.predict(X).tolist() == ["a"] * len(X)


# ---- skl2onnx's options --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [[3, 1], ["a", "b", "c"]], ids=str)
def test_zipmap(classes, X):
    model = classifier(X, labels_of(X, classes))
    probabilities = model.predict_proba(X)
    for options in (None, {"zipmap": True}):
        labels, maps = answers(model, X, options)
        assert labels.tolist() == model.predict(X).tolist()
        assert list(maps[0]) == model.classes_.tolist()
        assert_close(np.array([list(row.values()) for row in maps]), probabilities)
    labels, *columns = answers(model, X, {"zipmap": "columns"})
    assert labels.tolist() == model.predict(X).tolist()
    assert_close(np.stack(columns, axis=1), probabilities)


def test_zipmap_of_several_labels_a_row(X):
    model = classifier(X, (X[:, :3] > 0).astype(int))
    labels, maps = answers(model, X)
    np.testing.assert_array_equal(labels, model.predict(X))
    assert_close(np.array([[row[label] for label in range(3)] for row in maps]), model.predict_proba(X))


@pytest.mark.parametrize("zipmap", [True, False])
def test_nocl_gives_the_classes_numbers(zipmap, X):
    model = classifier(X, labels_of(X, ["a", "b", "c"]))
    labels, probabilities = answers(model, X, {"nocl": True, "zipmap": zipmap})
    np.testing.assert_array_equal(model.classes_[labels], model.predict(X))
    if zipmap:
        assert list(probabilities[0]) == [0, 1, 2]


@pytest.mark.parametrize("classes", [[3, 1], ["a", "b", "c"]], ids=str)
def test_class_labels_as_an_output(classes, X):
    model = classifier(X, labels_of(X, classes))
    *_, given = answers(model, X, {"zipmap": False, "output_class_labels": True})
    assert given.tolist() == model.classes_.tolist()


def test_other_options_are_refused(X):
    with pytest.raises(NameError, match="raw_scores"):
        answers(classifier(X, labels_of(X, [0, 1])), X, {"raw_scores": True})


# ---- how it is used ------------------------------------------------------------------------------------------------


def test_pipelines(X):
    X = X * 30 + 100
    model = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=20, random_state=0))
    model.fit(X, labels_of(X, ["a", "b", "c"]))
    labels, probabilities = answers(model, X, {"zipmap": False})
    np.testing.assert_array_equal(labels, model.predict(X))
    assert_close(probabilities, model.predict_proba(X))
    assert_close(np.array([list(row.values()) for row in answers(model, X)[1]]), model.predict_proba(X))
    model = make_pipeline(StandardScaler(), MLPRegressor(max_iter=20, random_state=0)).fit(X, X[:, 0])
    assert_close(answers(model, X)[0].ravel(), model.predict(X))


def test_any_number_of_rows(X):
    model = classifier(X, labels_of(X, [0, 1, 2]))
    session = session_of(model, X, {"zipmap": False})
    for rows in (1, 2, 7, len(X)):
        labels, probabilities = session.run(None, {"X": X[:rows]})
        np.testing.assert_array_equal(labels, model.predict(X[:rows]))
        assert_close(probabilities, model.predict_proba(X[:rows]))
    assert [output.shape for output in session.get_outputs()] == [[None], [None, 3]]


def test_replaced_coefficients(X):
    model = regressor(X, X[:, :2])
    model.coefs_ = [weights * 2 for weights in model.coefs_]
    assert_close(answers(model, X)[0], model.predict(X))
    before = model.predict(X)
    model.coefs_[1] = np.zeros((8, 2))
    assert_close(answers(model, X)[0], np.tile(model.intercepts_[1], (len(X), 1)))
    assert np.abs(before - model.predict(X)).max() > 0.1


def test_whole_numbers_as_inputs():
    X = np.random.default_rng(0).integers(-3, 4, (60, FEATURES))
    model = regressor(X, X[:, 0])
    assert_close(answers(model, X)[0].ravel(), model.predict(X))


@pytest.mark.parametrize("opset", [11, 13, 15, 18])
def test_older_opsets(opset, X):
    hidden = tuple(3 for _ in HIDDEN_ACTIVATIONS)
    model = regressor(X, X[:, 0], hidden=hidden, activation=list(HIDDEN_ACTIVATIONS))
    assert_close(answers(model, X, target_opset=opset)[0].ravel(), model.predict(X))
    model = classifier(X, labels_of(X, ["a", "b", "c"]))
    labels, maps = answers(model, X, target_opset=opset)
    np.testing.assert_array_equal(labels, model.predict(X))
    assert_close(np.array([list(row.values()) for row in maps]), model.predict_proba(X))


def test_to_register_again_changes_nothing(X):
    model = regressor(X, X[:, 0])
    before = skl2onnx.to_onnx(model, X[:1]).SerializeToString()
    onnx.register()
    graph = skl2onnx.convert_sklearn(model, "ONNX(MLPRegressor)", [("X", FloatTensorType([None, FEATURES]))])
    assert graph.SerializeToString() == before


# ---- what cannot be done -------------------------------------------------------------------------------------------


def test_one_class_has_no_zipmap(X):
    model = classifier(X, labels_of(X, ["only"]))
    with pytest.raises(ValueError, match="zipmap: got a classifier of one class.*options={'zipmap': False}"):
        answers(model, X)


@pytest.mark.parametrize("options", [{}, {"zipmap": False}, {"zipmap": "columns"}], ids=str)
@pytest.mark.parametrize(
    "classes",
    [
        np.array(["2020-01-01", "2021-01-01"], "M8[D]"),
        np.array([1, 2], "m8[D]"),
        np.array([1, 2**63 + 5], np.uint64),
    ],
    ids=["dates", "durations", "past int64"],
)
def test_labels_that_onnx_does_not_have_are_refused(classes, options, X):
    model = classifier(X, classes[(X[:, 0] > 0).astype(int)])
    with pytest.raises(ValueError, match=f"^classes_: got labels of dtype {re.escape(str(classes.dtype))}; "):
        answers(model, X, options)
    numbers, scores = answers(model, X, {"nocl": True, "zipmap": False})
    np.testing.assert_array_equal(model.classes_[numbers], model.predict(X))
    assert_close(scores, model.predict_proba(X))


@pytest.mark.parametrize("classes", [["a", "b", "c"], ("x", "y", "z"), [3, 1, 2]], ids=str)
@pytest.mark.parametrize("zipmap", [True, False])
def test_labels_set_by_hand_may_be_a_list(zipmap, classes, X):
    model = classifier(X, labels_of(X, range(3)))
    model.classes_ = classes
    assert answers(model, X, {"zipmap": zipmap})[0].tolist() == model.predict(X).tolist()


def test_inputs_are_numbers(X):
    with pytest.raises(RuntimeError, match="wrong type.*StringTensorType"):
        skl2onnx.convert_sklearn(regressor(X, X[:, 0]), initial_types=[("X", StringTensorType([None, FEATURES]))])


def test_what_is_not_fitted_is_not_converted(X):
    with pytest.raises(NotFittedError):
        answers(MLPRegressor(), X)


def test_without_skl2onnx_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    monkeypatch.delitem(sys.modules, "fastmlp.sklearn.onnx")
    with pytest.raises(ImportError, match=r'^fastmlp.sklearn.onnx needs skl2onnx: pip install "fastmlp\[onnx\]"$'):
        importlib.import_module("fastmlp.sklearn.onnx")
