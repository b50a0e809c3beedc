"""Model files: what is written comes back, and what a stranger wrote does no harm."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from inside import places
from safetensors.numpy import save_file

import fastmlp

ROWS = 40
LABELS = {
    "strings": np.array(["yes", "no", "perhaps"]),
    "objects": np.array(["yes", "no", "perhaps"], object),
    "not ASCII": np.array(["Äpfel", "日本", "\U0001f40d"]),
    "two strings": np.array(["b", "a"]),
    "bools": np.array([False, True]),
    "int64": np.array([-3, 10**15, 7]),
    "int8": np.array([-3, 100], np.int8),
    "uint64": np.array([2**64 - 1, 3], np.uint64),
}


def features(dtype=np.float64) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((ROWS, 3)).astype(dtype)


def targets(kind: str) -> np.ndarray:
    X = features()
    if kind in LABELS:
        return LABELS[kind][np.arange(ROWS) % len(LABELS[kind])]
    return {
        "one-hot": np.eye(3, dtype=int)[np.arange(ROWS) % 3],
        "multi-label": (X > 0).astype(int),
        "numbers": X[:, 0],
        "a column": X[:, :1],
        "two columns": X[:, :2],
    }[kind]


KINDS = [*LABELS, "one-hot", "multi-label", "numbers", "a column", "two columns"]


def assert_alike(one: fastmlp.Network, other: fastmlp.Network) -> None:
    """Two networks are the same, but for their histories."""
    np.testing.assert_array_equal(one.params, other.params)
    assert one.dtype == other.dtype
    for name in ("sizes", "activations", "loss_name", "l1", "l2", "seed", "metadata"):
        assert getattr(one, name) == getattr(other, name), name
    assert [w.shape for w in one.biases] == [w.shape for w in other.biases]
    if one.classes_ is None:
        assert other.classes_ is None
    else:
        np.testing.assert_array_equal(one.classes_, other.classes_)
        assert one.classes_.dtype == other.classes_.dtype


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.safetensors"


# ---- round trips -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_comes_back(kind, dtype, path):
    X, y = features(dtype), targets(kind)
    net = fastmlp.train(X, y, hidden=(4, 3), activation=("tanh", "relu"), epochs=2, seed=2**63 - 1, l1=0.25, l2=1e-300)
    net.metadata = {"made by": "a test", "": 'Ünïcode \0 and "quotes"'}
    net.save(path)
    other = fastmlp.load(path)
    assert_alike(net, other)
    assert len(other.history) == 0
    np.testing.assert_array_equal(net.predict(X), other.predict(X))
    assert net.predict(X).dtype == other.predict(X).dtype
    assert net.score(X, y) == other.score(X, y)
    assert net.loss(X, y) == other.loss(X, y)
    if net.loss_name != "squared_error":
        np.testing.assert_array_equal(net.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": ()},
        {"bias": False},
        {"output": "sigmoid", "loss": "squared_error"},
        {"loss": "cross_entropy"},
        {"hidden": (100,)},
    ],
    ids=str,
)
def test_every_shape_of_network_comes_back(settings, path):
    net = fastmlp.train(features(), targets("two strings"), **({"hidden": (4,), "epochs": 2, "seed": 0} | settings))
    net.save(str(path))
    other = fastmlp.load(str(path))
    assert_alike(net, other)
    np.testing.assert_array_equal(net.predict(features()), other.predict(features()))


def test_a_network_without_training_comes_back(path):
    net = fastmlp.Network((3, 2), loss="cross_entropy", classes=["b", "a"], seed=5)
    net.save(path)
    other = fastmlp.load(path)
    assert_alike(net, other)
    assert other.classes_.tolist() == ["b", "a"], "labels keep their order"
    assert repr(net) == repr(other)


def test_a_loaded_network_trains_on(path, backend):
    X, y = features(), targets("strings")
    net = fastmlp.train(X, y, hidden=4, epochs=2, seed=0, optimizer="sgd", batch_size="full", backend=backend)
    net.save(path)
    other = fastmlp.load(path, backend=backend)
    assert other.backend == backend
    # Plain gradient descent in full batches has no state, so that both go on alike.
    net.train(X, y, epochs=3, optimizer="sgd", batch_size="full")
    other.train(X, y, epochs=3, optimizer="sgd", batch_size="full")
    np.testing.assert_array_equal(net.params, other.params)


def test_the_backend_is_not_part_of_the_file(path):
    fastmlp.Network((3, 1), seed=0, backend="reference").save(path)
    assert fastmlp.load(path).backend == places.backend.in_use()
    with pytest.raises(ValueError, match="^backend: got 'refernce'"):
        fastmlp.load(path, backend="refernce")


def test_parameters_that_are_not_finite_come_back(path):
    net = fastmlp.Network((3, 1), seed=0)
    net.params[:] = [np.nan, np.inf, -0.0, 5e-324]
    net.save(path)
    np.testing.assert_array_equal(fastmlp.load(path).params.view(np.int64), net.params.view(np.int64))


def test_another_process_reads_the_file(path):
    X, y = features(), targets("not ASCII")
    net = fastmlp.train(X, y, hidden=4, epochs=3, seed=0)
    net.save(path)
    np.save(path.with_name("X.npy"), X)
    code = (
        "import sys, numpy as np, fastmlp\n"
        "net = fastmlp.load(sys.argv[1])\n"
        "np.save(sys.argv[3], net.predict_proba(np.load(sys.argv[2])))\n"
        "print(ascii(net.classes_.tolist()))\n"
    )
    files = [str(path), str(path.with_name("X.npy")), str(path.with_name("proba.npy"))]
    environment = os.environ | {"FASTMLP_BACKEND": places.backend.in_use()}
    command = [sys.executable, "-W", "error", "-c", code, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ascii(net.classes_.tolist())
    np.testing.assert_array_equal(np.load(files[2]), net.predict_proba(X))


# ---- refused at writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"a": None}, None, "text", [("a", "b")]], ids=str)
def test_metadata_that_is_not_text_is_refused(metadata, path):
    net = fastmlp.Network((3, 1), seed=0)
    net.metadata = metadata
    with pytest.raises(TypeError, match="^metadata: got "):
        net.save(path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "S"])
def test_labels_without_a_place_in_a_file_are_refused(dtype, path):
    labels = np.array([0, 1]).astype(dtype)
    net = fastmlp.Network((3, 1), loss="binary_cross_entropy", classes=labels, seed=0)
    with pytest.raises(TypeError, match=f"got labels of dtype {re.escape(str(labels.dtype))}; integers"):
        net.save(path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("broken", ["os.replace", "os.chmod", "to_bytes"])
def test_a_file_is_replaced_as_a_whole_or_not_at_all(broken, path, monkeypatch):
    fastmlp.Network((3, 1), seed=0).save(path)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError("no space left")

    module, name = (places.model_file.os, broken[3:]) if broken.startswith("os.") else (places.model_file, broken)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail)
        with pytest.raises(OSError, match="no space left"):
            fastmlp.Network((3, 5, 1), seed=1).save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]

    fastmlp.Network((3, 5, 1), seed=1).save(path)
    assert fastmlp.load(path).sizes == (3, 5, 1)
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastmlp.Network((3, 1), seed=0).save(tmp_path / "nowhere" / "model")


def test_a_folder_in_the_files_place_is_an_error_that_leaves_nothing(path):
    path.mkdir()
    with pytest.raises(OSError, match="model"):
        fastmlp.Network((3, 1), seed=0).save(path)
    assert os.listdir(path.parent) == [path.name]
    assert os.listdir(path) == []


@pytest.mark.skipif(os.name == "nt", reason="this system has no such permissions")
def test_a_new_file_has_the_permissions_of_any_new_file(path):
    path.with_name("other").write_text("")
    fastmlp.Network((3, 1), seed=0).save(path)
    assert path.stat().st_mode == path.with_name("other").stat().st_mode


# ---- refused at reading ----------------------------------------------------------------------------------

REFUSED = "is not a model file of fastmlp: "


def description(**changes) -> dict:
    """What a file of a network 3 -> 2 -> 3 says, with some of it changed."""
    return {
        "sizes": [3, 2, 3],
        "activations": ["relu", "softmax"],
        "loss": "cross_entropy",
        "output": "softmax",
        "bias": True,
        "l1": 0.0,
        "l2": 0.0,
        "loss_parameters": [],
        "kind": "labels",
        "squeeze": False,
        "dropout": [0.0],
        "missing": False,
        "classes": {"dtype": "int64", "values": [0, 1, 2]},
        "seed": 1,
        "metadata": {},
    } | changes


def write(path, described, tensors=None, notes=None) -> None:
    text = described if isinstance(described, str) else json.dumps(described)
    save_file(
        {"parameters": np.zeros(17)} if tensors is None else tensors,
        path,
        {"format": "fastmlp 1", "network": text} if notes is None else notes,
    )


def test_the_description_that_the_refusals_change_is_right(path):
    write(path, description())
    net = fastmlp.load(path)
    assert (net.sizes, len(net.params), net.classes_.tolist()) == ((3, 2, 3), 17, [0, 1, 2])


def without(name: str) -> dict:
    return {key: value for key, value in description().items() if key != name}


def labels(values: object, dtype: object = "int64") -> dict:
    return description(classes={"dtype": dtype, "values": values})


REGRESSION = {"loss": "squared_error", "output": "identity", "activations": ["relu", "identity"], "classes": None}
DESCRIPTIONS = {
    "nothing": ("", "its description is not JSON"),
    "no JSON": ("{'sizes': 3}", "its description is not JSON"),
    "deep": ("[" * 100_000, "its description is not JSON"),
    "many digits": ('{"sizes": [' + "1" * 5_000 + "]}", "its description is not JSON"),
    "a list": ([1, 2], "its description does not have the fields sizes, activations"),
    "null": ("null", "its description does not have the fields"),
    **{f"no {name}": (without(name), "its description does not have the fields") for name in description()},
    "more": (description(more=1), "its description does not have the fields"),
    "sizes a number": (description(sizes=3), "sizes is a int"),
    "sizes text": (description(sizes="323"), "sizes is a str"),
    "sizes null": (description(sizes=None), "sizes is a NoneType"),
    "activations": (description(activations={}), "activations is a dict"),
    "loss": (description(loss=2), "loss is a int"),
    "output": (description(output=None), "output is a NoneType"),
    "bias": (description(bias=1), "bias is a int"),
    "l1": (description(l1="0"), "l1 is a str"),
    "l2 true": (description(l2=True), "l2 is a bool"),
    "loss parameters": (description(loss_parameters=0.5), "loss_parameters is a float"),
    "loss parameters of text": (description(loss_parameters=["a"]), "loss_parameters are not numbers"),
    "parameters of a loss without": (description(loss_parameters=[0.5, 0.5]), "loss 'cross_entropy' has no parameters"),
    "two deltas": (
        description(**REGRESSION | {"loss": "huber", "loss_parameters": [0.5, 1.0]}),
        "loss 'huber' has one parameter",
    ),
    "a level of 1": (description(**REGRESSION | {"loss": "quantile", "loss_parameters": [1.0]}), "levels: got 1.0"),
    "squeeze": (description(squeeze=0), "squeeze is a int"),
    "dropout": (description(dropout=0.5), "dropout is a float"),
    "dropout of text": (description(dropout=["a"]), "dropout are not numbers"),
    "dropout of too many layers": (description(dropout=[0.5, 0.5]), "dropout: got 2 fractions for 1 hidden layers"),
    "dropout of all units": (description(dropout=[1.0]), "dropout[0]: got 1.0"),
    "missing": (description(missing=0), "missing is a int"),
    "smoothing of 1": (description(loss_parameters=[1.0]), "label_smoothing: got 1.0"),
    "seed true": (description(seed=True), "seed is a bool"),
    "seed 1.0": (description(seed=1.0), "seed is a float"),
    "classes": (description(classes=[0, 1, 2]), "classes is a list"),
    "metadata": (description(metadata=[]), "metadata is a list"),
    "metadata's values": (description(metadata={"a": 1}), "metadata is not text"),
    "metadata NaN": (description(metadata={"a": float("nan")}), "metadata is not text"),
    "names of columns": (description(feature_names="abc"), "feature_names is a str"),
    "names of columns no text": (description(feature_names=["a", "b", 3]), "feature_names are not text"),
    "names of other columns": (description(feature_names=["a"]), "1 names of columns do not go with sizes [3, 2, 3]"),
    "a size 0": (description(sizes=[3, 0, 3]), "sizes are not whole numbers above 0"),
    "a size -2": (description(sizes=[3, -2, 3]), "sizes are not whole numbers above 0"),
    "a size 2.0": (description(sizes=[3, 2.0, 3]), "sizes are not whole numbers above 0"),
    "a size true": (description(sizes=[3, True, 3]), "sizes are not whole numbers above 0"),
    "one size": (description(sizes=[3]), "sizes [3] do not go with activations"),
    "no size": (description(sizes=[], activations=[]), "sizes [] do not go with activations"),
    "activations short": (description(activations=["softmax"]), "do not go with activations ['softmax']"),
    "activations no names": (description(activations=[1, "softmax"]), "activations are not names"),
    "unknown activation": (description(activations=["relux", "softmax"]), "activation[0]: got 'relux'"),
    "hidden softmax": (description(activations=["softmax", "softmax"]), "activation[0]: got 'softmax'"),
    "another last activation": (description(activations=["relu", "relu"]), "do not end in the output 'softmax'"),
    "unknown loss": (description(loss="hing"), "loss: got 'hing'"),
    "unknown output": (description(output="hinge"), "output: got 'hinge'"),
    "output of another loss": (description(output="sigmoid"), "output: got 'sigmoid'; loss 'cross_entropy' goes with"),
    "l1 -1": (description(l1=-1.0), "l1: got -1.0"),
    "l2 NaN": (description(l2=float("nan")), "l2: got nan"),
    "l2 inf": (description(l2=float("inf")), "l2: got inf"),
    "l1 past every float": (description(l1=10**400), "l1: got an integer past every float"),
    "seed -1": (description(seed=-1), "seed: got -1"),
    "seed too large": (description(seed=2**63), "seed: got 9223372036854775808"),
    "fewer sizes than parameters": (description(sizes=[3, 1, 3]), "need 10 parameters, the file holds 17"),
    "more sizes than parameters": (description(sizes=[3, 3, 3]), "need 24 parameters, the file holds 17"),
    "no bias": (description(bias=False), "need 12 parameters, the file holds 17"),
    "unknown kind": (description(kind="label"), "targets of kind 'label' do not go with"),
    "kind of no classes": (description(kind="real"), "targets of kind 'real' do not go with"),
    "kind of classes": (description(**REGRESSION, kind="labels"), "targets of kind 'labels' do not go with"),
    "squeezed classes": (description(squeeze=True), "1-D predictions do not go with 3 outputs"),
    "squeezed columns": (description(**REGRESSION, kind="real", squeeze=True), "1-D predictions do not go with 3"),
    "two labels": (labels([0, 1]), "classes: got 0, 1"),
    "labels twice": (labels([0, 1, 1]), "classes: got 0, 1, 1"),
    "no labels": (labels([]), "classes: got "),
    "labels are no list": (labels("abc", "str"), "its labels have no list of values of a known dtype"),
    "labels of text": (labels(["0", "1", "2"]), "its labels are not all int"),
    "labels of bools": (labels([0, 1, True]), "its labels are not all int"),
    "labels nested": (labels([[0], [1], [2]]), "its labels are not all int"),
    "labels null": (labels(["a", "b", None], "object"), "its labels are not all str"),
    "labels too large": (labels([0, 1, 300], "uint8"), "its labels do not fit their dtype"),
    "labels NaN": (labels([0.0, 1.0, float("nan")], "float64"), "one of its labels is not finite"),
    "labels of unknown dtype": (labels([0, 1, 2], "datetime64"), "its labels have no list of values of a known dtype"),
    "labels of a dtype in a list": (labels([0, 1, 2], ["int64"]), "its labels have no list of values of a known dtype"),
    "labels of no dtype": (description(classes={"values": [0, 1, 2]}), "its labels have no list of values of a known"),
}


@pytest.mark.parametrize(("described", "words"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_description_that_is_wrong_is_refused(described, words, path):
    write(path, described)
    with pytest.raises(ValueError, match="^path: ") as raised:
        fastmlp.load(path)
    assert str(raised.value).startswith(f"path: {path} {REFUSED}")
    assert words in str(raised.value)


PARAMETERS = {
    "another name": ({"weights": np.zeros(17)}, "it does not hold one vector 'parameters'"),
    "two vectors": ({"parameters": np.zeros(17), "more": np.zeros(1)}, "it does not hold one vector 'parameters'"),
    "none": ({}, "it does not hold one vector 'parameters'"),
    "a matrix": ({"parameters": np.zeros((17, 1))}, "its parameters are float64 of shape (17, 1)"),
    "a number": ({"parameters": np.zeros(())}, "its parameters are float64 of shape ()"),
    "integers": ({"parameters": np.zeros(17, np.int64)}, "its parameters are int64 of shape (17,)"),
    "float16": ({"parameters": np.zeros(17, np.float16)}, "its parameters are float16 of shape (17,)"),
    "too few": ({"parameters": np.zeros(16)}, "need 17 parameters, the file holds 16"),
}


@pytest.mark.parametrize(("tensors", "words"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_that_are_wrong_are_refused(tensors, words, path):
    write(path, description(), tensors)
    with pytest.raises(ValueError, match="^path: ") as raised:
        fastmlp.load(path)
    assert words in str(raised.value)


@pytest.mark.parametrize("notes", [{}, {"format": "fastmlp 2"}, {"format": "pt"}, {"network": "{}"}], ids=str)
def test_another_format_is_refused(notes, path):
    write(path, description(), notes=notes)
    with pytest.raises(ValueError, match="its format is .*; 'fastmlp 1' is accepted$"):
        fastmlp.load(path)


CONTENTS = {
    "empty": b"",
    "text": b"sizes,activations\n" * 10,
    "a pickle": b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "a header larger than the file": (10**15).to_bytes(8, "little") + b"{}",
    "an offset past the end": (lambda header: len(header).to_bytes(8, "little") + header)(
        b'{"parameters":{"dtype":"F64","shape":[17],"data_offsets":[0,136]}}'
    ),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_what_is_no_safetensors_file_is_refused(content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="^path: .*it is not a safetensors file"):
        fastmlp.load(path)


def test_a_file_that_is_cut_anywhere_is_refused(path):
    fastmlp.Network((3, 2, 1), seed=0).save(path)
    content = path.read_bytes()
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="it is not a safetensors file"):
            fastmlp.load(path)


def test_a_byte_that_changed_is_refused_or_changes_a_value(path):
    net = fastmlp.train(features(), targets("strings"), hidden=2, epochs=1, seed=0)
    net.save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        at, value = int(rng.integers(len(content))), int(rng.integers(256))
        path.write_bytes(content[:at] + bytes([value]) + content[at + 1 :])
        try:
            other = fastmlp.load(path)
        except ValueError as error:
            assert str(error).startswith(f"path: {path} {REFUSED}")  # noqa: PT017 (either outcome is right)
            refused += 1
        else:
            assert len(other.params) == len(net.params)
            assert other.predict_proba(features()).shape == (ROWS, 3)
    assert refused > 200


@pytest.mark.parametrize(
    "sizes", [[10**12, 10**12, 3], [3, 10**12, 3], [3] * 100_000, [10**4000, 2, 3]], ids=["12", "wide", "deep", "huge"]
)
def test_sizes_that_the_file_does_not_hold_allocate_nothing(sizes, path):
    activations = ["relu"] * (len(sizes) - 2) + ["softmax"]
    write(path, description(sizes=sizes, activations=activations))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="the file holds 17"):
            fastmlp.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The description as Python objects takes a few dozen bytes for each of its characters at most.
    assert peak < 100_000 + 60 * path.stat().st_size


def test_a_path_that_leads_nowhere(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        fastmlp.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError, match="is a folder; a model file is accepted"):
        fastmlp.load(tmp_path)
    with pytest.raises(TypeError):
        fastmlp.load(None)
