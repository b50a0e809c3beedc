"""`Network.to_onnx`: what ONNX Runtime answers is what the network answers; files are whole or not there."""

import importlib
import os
import sys

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp.activations import HIDDEN_ACTIVATIONS
from fastmlp.losses import LOSSES, huber, quantile

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# What is promised of float32, absolute of answers of order one, relative of larger ones: inputs, weights and products
# are rounded by 6e-8, and the layers here add up some ten of them. Of float64 gelu alone needs it, whose erf is float.
PROMISED = 1e-6
FEATURES = 5


@pytest.fixture(name="X")
def _features(normal):
    return normal(60, FEATURES)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def session_of(net, path):
    net.to_onnx(path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def answers(net, X, path):
    """What ONNX Runtime answers, by the names of the outputs."""
    session = session_of(net, path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X.astype(net.dtype)}), strict=True))


def assert_answers(net, X, path, promised=PROMISED):
    """The answers are the network's, for all rows and for one."""
    rows = X.astype(net.dtype)
    for part in (rows, rows[:1]):
        found, known = answers(net, part, path), places.task_of(net)
        name = "probabilities" if known.loss.probabilities else "outputs"
        assert list(found) == ([name] if known.is_regression else [name, "label"])
        expected = net.predict_proba(part) if known.loss.probabilities else net.forward(part)[-1]
        assert found[name].dtype == net.dtype
        np.testing.assert_allclose(found[name], expected, rtol=promised, atol=promised)
        if not known.is_regression:
            assert found["label"].tolist() == net.predict(part).tolist()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("hidden", [(), (7, 6)], ids=str)
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_every_activation(activation, hidden, bias, dtype, X, path):
    net = fastmlp.Network((FEATURES, *hidden, 3), activation=activation, bias=bias, seed=1, dtype=dtype)
    assert_answers(net, X, path)
    if dtype == np.float64 and activation != "gelu":
        # Sums of some ten products of order one, functions within a few units in the last place: 1e-15 each.
        assert_answers(net, X, path, 1e-13)


@pytest.mark.parametrize("outputs", [1, 2, 6])
@pytest.mark.parametrize(
    "loss", [name for name in LOSSES if name != "quantile"] + [huber(0.3), quantile(0.1, 0.9)], ids=str
)
def test_every_loss(loss, outputs, dtype, X, path):
    if outputs == 1 and (loss == "cross_entropy" or not isinstance(loss, str)):
        outputs = 4
    assert_answers(fastmlp.Network((FEATURES, 4, outputs), loss=loss, seed=2, dtype=dtype), X, path)


@pytest.mark.filterwarnings("ignore:y. got one single class")
@pytest.mark.parametrize("loss", [None, "hinge", "squared_error"])
@pytest.mark.parametrize(
    "labels",
    [
        [0, 1],
        [4, 2, 7],
        [0, 2**40],
        [False, True],
        ["no", "yes"],
        np.array(["ü", "b", "longer"], object),
        ["only"],
        [3],
    ],
    ids=str,
)
def test_labels(labels, loss, X, path):
    y = np.asarray(labels)[np.arange(len(X)) % len(labels)]
    assert_answers(fastmlp.train(X, y, hidden=8, epochs=20, loss=loss, seed=0, dtype="float32"), X, path)


@pytest.mark.filterwarnings("ignore:y. got one single class")
def test_a_single_class_is_certain(X, path):
    net = fastmlp.train(X, [1.0] * len(X), loss="binary_cross_entropy", epochs=1)
    assert (answers(net, X, path)["probabilities"] == 1).all()


def test_the_model_says_what_it_is(X, path):
    net = fastmlp.train(X.astype("float32"), np.arange(len(X)) % 3, epochs=1, seed=0)
    net.metadata = {"units": "µm", "from": "a test"}
    session = session_of(net, path)
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape) == ("X", "tensor(float)", ["rows", FEATURES])
    results = [(each.name, each.type, each.shape) for each in session.get_outputs()]
    assert results == [("probabilities", "tensor(float)", ["rows", 3]), ("label", "tensor(int64)", ["rows"])]
    about = session.get_modelmeta()
    assert (about.custom_metadata_map, about.producer_name) == (net.metadata, "fastmlp")


def test_it_follows_the_parameters_and_changes_nothing(X, path):
    net = fastmlp.train(X, X[:, :2], hidden=4, epochs=2, seed=0)
    before = net.params.copy()
    assert_answers(net, X, path)
    np.testing.assert_array_equal(net.params, before)
    net.params = 2 * before
    assert_answers(net, X, path)


def test_a_file_is_replaced_as_a_whole_or_not_at_all(path, monkeypatch):
    net = fastmlp.Network((3, 1), seed=0)
    net.to_onnx(path)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no space left"):
            fastmlp.Network((3, 5, 1), seed=1).to_onnx(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_what_has_no_place_in_a_file_is_refused(path, monkeypatch):
    net = fastmlp.Network((2, 3, 2), loss="cross_entropy", classes=[0.5, 1.5])
    with pytest.raises(ValueError, match="^classes_: got labels of dtype float64; ONNX has strings and whole numbers"):
        net.to_onnx(path)
    net = fastmlp.Network((2, 3, 2), loss="cross_entropy", classes=np.array([1, 2**63 + 5], np.uint64))
    with pytest.raises(ValueError, match="^classes_: got labels of dtype uint64; "):
        net.to_onnx(path)
    net = fastmlp.Network((2, 3, 1))
    net.metadata = {"a": 1}
    with pytest.raises(TypeError, match="^metadata: got {'a': 1}; a dict of str to str is accepted$"):
        net.to_onnx(path)
    net.metadata = {}
    places.switch(monkeypatch, onnx_bytes=100)
    with pytest.raises(ValueError, match="^to_onnx: got a network of 104 bytes; an ONNX file holds up to 100; save"):
        net.to_onnx(path)
    with pytest.raises(TypeError, match="^path: got 5"):
        fastmlp.Network((2, 1)).to_onnx(5)
    assert os.listdir(path.parent) == []


def test_without_onnx_it_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "fastmlp._files.onnx")
    monkeypatch.delattr(importlib.import_module("fastmlp._files"), "onnx")
    with pytest.raises(ImportError, match=r'^to_onnx needs the package onnx: pip install "fastmlp\[onnx\]"$'):
        fastmlp.Network((2, 1)).to_onnx(path)
    assert os.listdir(path.parent) == []
