"""The names of a data frame's columns: kept by the first training run, checked by whatever takes X."""

import copy
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastmlp
from fastmlp import callbacks, diagnostics

OLD = Path(__file__).parent / "data" / "network-1.safetensors"


class Frame:
    """The least that a data frame is: numbers, and the columns' names."""

    def __init__(self, values: np.ndarray, columns: object) -> None:
        self.values, self.columns = values, columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


class Table(Frame):
    """One whose names lie as PyArrow's do: its columns are arrays."""

    def __init__(self, values: np.ndarray, columns: object) -> None:
        super().__init__(values, list(values.T))
        self._names = columns

    @property
    def column_names(self) -> list[str]:
        return list(self._names)


X = np.random.default_rng(0).standard_normal((40, 3))
Y = (X[:, 0] > X[:, 1]).astype(int)
NAMED, SWAPPED = Frame(X, ["a", "b", "c"]), Frame(X, ["b", "a", "c"])
SETTINGS = {"hidden": 4, "epochs": 2, "seed": 0}


def trained(rows: object = NAMED, **settings) -> fastmlp.Network:
    return fastmlp.train(rows, Y, **SETTINGS | settings)


# Every method that takes X, and what else does: a function of a network and rows.
CALLS = {
    name: lambda net, rows, name=name: getattr(net, name)(rows) for name in ("predict", "predict_proba", "forward")
}
CALLS |= {
    name: lambda net, rows, name=name: getattr(net, name)(rows, Y)
    for name in ("loss", "gradient", "score", "partial_train")
}
CALLS |= {
    "score by a metric": lambda net, rows: net.score(rows, Y, metric="f1"),
    "train": lambda net, rows: net.train(rows, Y, epochs=1),
    "check_gradient": lambda net, rows: diagnostics.check_gradient(net, rows, Y, entries=3),
    "health": diagnostics.health,
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def test_names_are_kept_as_scikit_learn_keeps_them():
    net = trained()
    assert net.feature_names_in_.tolist() == ["a", "b", "c"]
    assert net.feature_names_in_.dtype == object
    net.feature_names_in_[0] = "other"
    assert net.feature_names_in_[0] == "a", "a copy, which is the caller's"
    without = trained(X)
    assert not hasattr(without, "feature_names_in_")
    with pytest.raises(AttributeError, match="^feature_names_in_: the network was not trained on a data frame"):
        without.feature_names_in_  # noqa: B018
    np.testing.assert_array_equal(net.params, without.params)


@every_call
def test_the_same_names_pass(call):
    net = trained()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(net, Frame(X, np.array(["a", "b", "c"])))
        call(net, Table(X, "abc"))


@every_call
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (SWAPPED, "in another order than in training: column 0 is 'b' and was 'a'; "),
        (Frame(X, ["a", "b", "d"]), "other columns than in training: unknown 'd', missing 'c'; "),
        (Frame(np.c_[X, X], list("abcdef")), "other columns than in training: unknown 'd', 'e', 'f'; "),
        (Frame(X[:, :2], ["c", "a"]), "other columns than in training: missing 'b'; "),
        (Frame(X, ["a", "b", "b"]), "other columns than in training: missing 'c'; "),
        (Table(X, "acb"), "in another order than in training: column 1 is 'c' and was 'b'; "),
    ],
    ids=["order", "name", "more", "fewer", "twice", "a table's order"],
)
def test_other_names_are_refused(call, rows, words):
    net = trained()
    before = net.params.copy()
    with pytest.raises(ValueError, match="^X: got ") as raised:
        call(net, rows)
    assert words in str(raised.value)
    assert str(raised.value).endswith("are accepted: 'a', 'b', 'c'; feature_names_in_ has all of them")
    np.testing.assert_array_equal(net.params, before)


def test_names_that_come_twice_are_compared_place_by_place():
    net = trained(Frame(X, ["a", "a", "b"]))
    with pytest.raises(ValueError, match="another order than in training: column 1 is 'b' and was 'a'"):
        net.predict(Frame(X, ["a", "b", "a"]))
    with pytest.raises(ValueError, match="another order than in training: column 2 is None and was 'b'"):
        trained(Frame(X, ["a", "b", "b"])).predict(Frame(X[:, :2], ["a", "b"]))


@every_call
def test_names_on_one_side_only_are_a_warning(call):
    with pytest.warns(
        UserWarning, match="^X: got no names of columns, and .* trained with 'a', 'b', 'c', so that"
    ) as seen:
        call(trained(), X)
    assert (len(seen), seen[0].filename) == (1, __file__)
    with pytest.warns(
        UserWarning, match="^X: got names of columns, and the network was trained with none, so that"
    ) as seen:
        call(trained(X), NAMED)
    assert (len(seen), seen[0].filename) == (1, __file__)


@every_call
def test_without_names_nothing_is_said(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(trained(X), X)
        call(trained(X), Frame(X, [0, 1, 2]))


@pytest.mark.parametrize("columns", [[0, 1, 2], [("a", 1), ("a", 2), ("b", 1)], 3, None, len, []], ids=str)
def test_what_is_no_string_is_no_name(columns):
    assert not hasattr(trained(Frame(X, columns)), "feature_names_in_")


def test_names_only_some_of_which_are_strings_are_refused():
    with pytest.raises(TypeError, match=r"^X: got columns some of whose names only are strings: 'a', 1, 2; "):
        trained(Frame(X, ["a", 1, 2]))
    with pytest.raises(TypeError, match="^validation X: got columns some of whose names"):
        trained(validation=(Frame(X, ["a", "b", 2]), Y))
    for net in (trained(), trained(X), fastmlp.Network((3, 1), seed=0)):
        with pytest.raises(TypeError, match="^X: got columns some of whose names"):
            net.predict(Frame(X, ["a", 1, 2]))


def test_each_column_has_one_name():
    with pytest.raises(ValueError, match="^X: got 2 names for 3 columns"):
        trained(Frame(X, ["a", "b"]))


@pytest.mark.parametrize("train", [trained, lambda **settings: trained().train(NAMED, Y, epochs=1, **settings)])
def test_validation_rows_have_the_names_of_the_training_rows(train):
    with pytest.raises(ValueError, match="^validation X: got columns in another order"):
        train(validation=(SWAPPED, Y))
    with pytest.warns(UserWarning, match="^validation X: got no names of columns"):
        train(validation=(X, Y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(validation=(NAMED, Y))


def test_the_first_training_run_sets_the_names():
    net = fastmlp.Network((3, 4, 1), loss="binary_cross_entropy", seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.predict(SWAPPED)
        with pytest.raises(ValueError, match="^epochs: got 0"):
            net.train(SWAPPED, Y, epochs=0)
        assert not hasattr(net, "feature_names_in_"), "a call that was refused changes nothing"
        net.partial_train(NAMED, Y).partial_train(NAMED, Y)
    with pytest.warns(UserWarning, match="^X: got no names"):
        net.train(X, Y, epochs=1)
    assert net.feature_names_in_.tolist() == ["a", "b", "c"], "a later training run changes nothing"


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_keep_the_names(make):
    net = make(trained())
    assert net.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="another order"):
        net.predict(SWAPPED)


@pytest.mark.parametrize("names", [["a", "b", "c"], ["", '\0 "ü" \'', "\ud800"]], ids=["plain", "odd"])
def test_a_file_keeps_the_names(names, tmp_path):
    trained(Frame(X, names), callbacks=[callbacks.Checkpoint(tmp_path / "during")]).save(tmp_path / "after")
    for name in ("during", "after"):
        net = fastmlp.load(tmp_path / name)
        assert net.feature_names_in_.tolist() == names
        with pytest.raises(ValueError, match="another order"):
            net.predict(Frame(X, names[::-1]))


def test_a_file_knows_whether_there_were_names(tmp_path):
    trained(X).save(tmp_path / "without")
    fastmlp.Network((3, 1), seed=0).save(tmp_path / "untrained")
    with pytest.warns(UserWarning, match="trained with none"):
        fastmlp.load(tmp_path / "without").predict(NAMED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastmlp.load(tmp_path / "untrained").predict(NAMED)
        fastmlp.load(OLD).predict(Frame(np.ones((2, 4)), list("abcd")))  # which does not say


def test_what_the_library_computes_itself_is_no_one_sided_call():
    pytest.importorskip("matplotlib")
    from fastmlp import plotting

    plane = Frame(X[:, :2], ["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = trained(plane, validation=0.2, metrics=["f1"])
        assert diagnostics.health(net).rows > 0
        plotting.plot_boundary(net, plane, Y, resolution=5)
    with pytest.raises(ValueError, match="^X: got columns in another order"):
        plotting.plot_boundary(net, Frame(X[:, :2], ["b", "a"]), Y, resolution=5)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames_of_libraries(library):
    frames = pytest.importorskip(library)
    make = frames.table if library == "pyarrow" else frames.DataFrame
    frame, swapped = (
        make(dict(zip(names, X.T, strict=True))) for names in (["a", "b", "columns"], ["b", "a", "columns"])
    )
    net = trained(frame)
    assert net.feature_names_in_.tolist() == ["a", "b", "columns"]
    np.testing.assert_array_equal(net.params, trained(X).params)
    np.testing.assert_array_equal(net.predict(frame), trained(X).predict(X))
    with pytest.raises(ValueError, match="column 0 is 'b' and was 'a'"):
        net.predict(swapped)


def test_the_estimators_check_names_once():
    pandas = pytest.importorskip("pandas")
    estimators = pytest.importorskip("fastmlp.sklearn")
    frame = pandas.DataFrame(X, columns=list("abc"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = estimators.MLPClassifier((4,), solver="lbfgs", max_iter=100, alpha=1).fit(frame, Y)
        model.predict(frame)
        assert model.score(frame, Y) > 0.5
    with pytest.warns(UserWarning, match="^X does not have valid feature names, but MLPClassifier") as seen:
        model.predict_proba(X)
    assert len(seen) == 1
    with pytest.raises(ValueError, match="should match those that were passed during fit"):
        model.predict(frame[["b", "a", "c"]])


def test_a_column_may_be_called_as_a_method_of_sparse_matrices():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["toarray", "columns", "column_names"])
    net = trained(frame)
    np.testing.assert_array_equal(net.predict(frame), trained(X).predict(X))
    assert net.feature_names_in_.tolist() == ["toarray", "columns", "column_names"]
