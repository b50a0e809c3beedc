"""What comes in at the door: what is accepted and how it is coded, and what is refused with which words."""

from __future__ import annotations

import re
import tracemalloc
from decimal import Decimal

import numpy as np
import pytest
from inside import places

from fastmlp.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastmlp.losses import LOSSES
from fastmlp.optimizers import OPTIMIZERS, SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop, Rprop
from fastmlp.schedules import Constant, MultiStep, StepDecay

F32, F64 = np.float32, np.float64
BINARY = "binary_cross_entropy"


class Sparse:
    """Stands in for a sparse matrix, of which only the method `toarray` matters at the door."""

    def toarray(self) -> np.ndarray:
        return np.eye(2)


# ---- features --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["float16", "float64", "int8", "uint64", "bool", ">f8", "longdouble"])
def test_features_become_float64_where_no_dtype_is_asked_for(given):
    X = np.array([[0, 1], [1, 1]], given)
    assert places.checks.features(X).dtype == F64
    assert places.checks.features(X).dtype.isnative
    np.testing.assert_array_equal(places.checks.features(X), [[0, 1], [1, 1]])


@pytest.mark.parametrize("dtype", [None, F32, F64])
def test_features_keep_float32_or_take_the_dtype_asked_for(dtype):
    X = np.ones((2, 3), F32)
    assert places.checks.features(X, dtype=dtype).dtype == (dtype or F32)


@pytest.mark.parametrize("dtype", [F32, F64])
def test_features_are_not_copied_where_they_are_right_already(dtype, tmp_path):
    X = np.arange(12, dtype=dtype).reshape(4, 3)
    assert np.shares_memory(places.checks.features(X), X)
    X.flags.writeable = False
    assert np.shares_memory(places.checks.features(X), X)
    X.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", dtype, "r", shape=(4, 3))
    checked = places.checks.features(mapped)
    assert np.shares_memory(checked, mapped)
    np.testing.assert_array_equal(checked, X)


def test_features_are_made_contiguous_and_aligned():
    X = np.arange(12.0).reshape(3, 4)
    unaligned = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(F64).reshape(3, 4)
    for view in (X.T, X[:, ::2], X[::-1], np.asfortranarray(X), unaligned):
        checked = places.checks.features(view)
        assert checked.flags.c_contiguous
        assert checked.flags.aligned
        np.testing.assert_array_equal(checked, view)


def test_features_read_lists_and_data_frames():
    pandas = pytest.importorskip("pandas")
    assert places.checks.features([[1, 2.5], (True, 3)]).tolist() == [[1.0, 2.5], [1.0, 3.0]]
    frame = pandas.DataFrame({"size": [1.5, 2.5], "red": [True, False], "rooms": [3, 4]})
    assert places.checks.features(frame).tolist() == [[1.5, 1.0, 3.0], [2.5, 0.0, 4.0]]
    nullable = frame.convert_dtypes()
    assert places.checks.features(nullable).tolist() == places.checks.features(frame).tolist()
    nullable.loc[1, "rooms"] = pandas.NA
    with pytest.raises(ValueError, match=r"X: got nan at row 1, column 2; finite numbers"):
        places.checks.features(nullable)
    with pytest.raises(TypeError, match="X: got dtype object"):
        places.checks.features(frame.assign(town=["Bonn", "Ulm"]))


@pytest.mark.parametrize(
    ("X", "kind", "words"),
    [
        (None, TypeError, r"X: got dtype object; bool, integer or floating columns are accepted"),
        ([[1, None]], TypeError, "X: got dtype object"),
        ([["a", "b"]], TypeError, "X: got dtype <U1"),
        ([["1", 2]], TypeError, "X: got dtype <U"),
        (np.zeros((2, 2), "M8[s]"), TypeError, r"X: got dtype datetime64\[s\]"),
        (np.zeros((2, 2), "m8[s]"), TypeError, r"X: got dtype timedelta64\[s\]"),
        (np.zeros((2, 2), complex), TypeError, "X: got dtype complex128"),
        (np.zeros((2, 2), "f8,f8"), TypeError, "X: got dtype"),
        (np.ma.masked_array(np.ones((2, 2)), mask=False), TypeError, "X: got a masked array; a plain array"),
        (Sparse(), TypeError, r"X: got a sparse Sparse; a dense array is accepted; use .toarray\(\)"),
        ([[1, 2], [3]], ValueError, "X: got a list that cannot be read as an array"),
        (1.5, ValueError, r"X: got shape \(\); a 2-D array"),
        ([1.0, 2.0], ValueError, r"X: got shape \(2,\); a 2-D array .*reshape\(-1, 1\)"),
        (np.ones((2, 2, 2)), ValueError, r"X: got shape \(2, 2, 2\)"),
        (np.ones((0, 3)), ValueError, r"X: got shape \(0, 3\); at least one row and one column"),
        (np.ones((3, 0)), ValueError, r"X: got shape \(3, 0\); at least one row and one column"),
        ([], ValueError, r"X: got shape \(0,\); a 2-D array"),
        ([[1.0, 2.0], [np.nan, np.inf]], ValueError, r"X: got nan at row 1, column 0; finite numbers"),
        ([[1.0, 2.0], [3.0, -np.inf]], ValueError, r"X: got -inf at row 1, column 1; finite numbers"),
        ([[np.inf, -np.inf]], ValueError, r"X: got inf at row 0, column 0"),
        (np.array([[1, np.nan]], np.float16), ValueError, r"X: got nan at row 0, column 1"),
    ],
)
def test_features_refuse(X, kind, words):
    with pytest.raises(kind, match=words) as raised:
        places.checks.features(X)
    assert "\n" not in str(raised.value)


def test_features_refuse_another_number_of_columns_before_they_convert():
    with pytest.raises(ValueError, match=r"X: got 3 columns \(shape \(2, 3\)\); the network takes 4"):
        places.checks.features(np.full((2, 3), np.nan), columns=4)
    assert places.checks.features(np.ones((2, 3)), columns=3).shape == (2, 3)


def test_features_name_the_argument():
    with pytest.raises(ValueError, match=r"^validation X: got shape"):
        places.checks.features([1.0], argument="validation X")


def test_features_that_float32_cannot_hold_are_refused_with_their_place():
    X = np.ones((3, 2))
    X[1, 1] = 1e300
    assert places.checks.features(X).dtype == F64
    with pytest.raises(ValueError, match=r"X: got 1e\+300 at row 1, column 1, which float32 cannot hold"):
        places.checks.features(X, dtype=F32)


@pytest.mark.parametrize("dtype", [F32, F64])
def test_large_finite_features_pass_although_their_sum_overflows(dtype):
    X = np.full((300, 300), np.finfo(dtype).max, dtype)
    assert places.checks.features(X) is X or np.shares_memory(places.checks.features(X), X)
    X[::2] *= -1
    places.checks.features(X)


@pytest.mark.parametrize("flat", [0, 65535, 65536, 65537, 131071, 199999])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_found_in_any_block(flat, bad):
    X = np.zeros((20000, 10))
    X.flat[-1] = np.nan
    X.flat[flat] = bad
    with pytest.raises(ValueError, match=rf"at row {flat // 10}, column {flat % 10};"):
        places.checks.features(X)


@pytest.mark.parametrize("value", [1.0, np.finfo(F64).max])
def test_the_finite_check_needs_little_memory(value):
    X = np.full((1_000_000, 4), value)
    tracemalloc.start()
    try:
        places.checks.features(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Blocks of 2^16 values and two boolean arrays as long, plus what Python itself needs; X takes 32 MB.
    assert peak < 1_000_000


def test_the_check_leaves_no_trace_in_numpy_error_settings():
    with np.errstate(all="raise"):
        before = np.geterr()
        places.checks.features(np.array([[1e300, 1e-300]]) * 0 + 1, dtype=F32)
        with pytest.raises(ValueError, match="float32 cannot hold"):
            places.checks.features(np.array([[1e300, 1e-300]]), dtype=F32)
        assert np.geterr() == before


# ---- targets: every row of the table ---------------------------------------------------------------------

LABELS_2 = ["cat", "dog", "cat", "dog"]
LABELS_3 = [7, 3, 5, 3]
ONE_HOT = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]])
MULTILABEL = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1], [1, 1, 1]])
COUNTS = np.array([[2, 0], [1, 5], [0, 0], [3, 1]])
REAL = np.array([0.5, -1.0, 2.0, 0.0])
CODED_2 = [[0], [1], [0], [1]]
EYE_2 = [[1, 0], [0, 1], [1, 0], [0, 1]]
EYE_3 = [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]]

TABLE = [
    # y, loss asked for, loss, output, values, classes, kind
    (LABELS_2, None, BINARY, "sigmoid", CODED_2, ["cat", "dog"], "labels"),
    (LABELS_2, "cross_entropy", "cross_entropy", "softmax", [0, 1, 0, 1], ["cat", "dog"], "labels"),
    (LABELS_2, "squared_error", "squared_error", "identity", EYE_2, ["cat", "dog"], "labels"),
    ([True, False] * 2, None, BINARY, "sigmoid", [[1], [0], [1], [0]], [0, 1], "labels"),
    (LABELS_3, None, "cross_entropy", "softmax", [2, 0, 1, 0], [3, 5, 7], "labels"),
    (LABELS_3, "squared_error", "squared_error", "identity", EYE_3, [3, 5, 7], "labels"),
    (ONE_HOT, None, "cross_entropy", "softmax", [0, 2, 1, 2], [0, 1, 2], "one_hot"),
    (ONE_HOT == 1, None, "cross_entropy", "softmax", [0, 2, 1, 2], [0, 1, 2], "one_hot"),
    (ONE_HOT, "squared_error", "squared_error", "identity", ONE_HOT, [0, 1, 2], "one_hot"),
    (ONE_HOT, BINARY, BINARY, "sigmoid", ONE_HOT, None, "multilabel"),
    (ONE_HOT * 1.0, "cross_entropy", "cross_entropy", "softmax", [0, 2, 1, 2], [0, 1, 2], "one_hot"),
    (ONE_HOT * 1.0, "squared_error", "squared_error", "identity", ONE_HOT, [0, 1, 2], "one_hot"),
    (ONE_HOT * 1.0, None, "squared_error", "identity", ONE_HOT, [0, 1, 2], "one_hot"),
    (MULTILABEL, None, BINARY, "sigmoid", MULTILABEL, None, "multilabel"),
    (MULTILABEL == 1, None, BINARY, "sigmoid", MULTILABEL, None, "multilabel"),
    (MULTILABEL, "squared_error", "squared_error", "identity", MULTILABEL, None, "multilabel"),
    (MULTILABEL * 1.0, BINARY, BINARY, "sigmoid", MULTILABEL, None, "multilabel"),
    (COUNTS, "squared_error", "squared_error", "identity", COUNTS, None, "real"),
    (REAL, None, "squared_error", "identity", REAL.reshape(4, 1), None, "real"),
    (REAL, "squared_error", "squared_error", "identity", REAL.reshape(4, 1), None, "real"),
    (REAL.reshape(4, 1), None, "squared_error", "identity", REAL.reshape(4, 1), None, "real"),
    (MULTILABEL * 1.0, None, "squared_error", "identity", MULTILABEL, None, "real"),
    ([0.0, 1.0, 1.0, 0.0], None, "squared_error", "identity", [[0], [1], [1], [0]], None, "real"),
    ([0.0, 1.0, 1.0, 0.0], BINARY, BINARY, "sigmoid", [[0], [1], [1], [0]], [0, 1], "labels"),
]


@pytest.mark.filterwarnings("ignore:y. got floats that are exactly 0 and 1")
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize(("y", "asked", "loss", "output", "values", "classes", "kind"), TABLE)
def test_targets(y, asked, loss, output, values, classes, kind, dtype):
    coded = places.checks.targets(y, 4, dtype, loss=asked)
    task = coded.task
    assert (task.loss.name, task.output, task.kind) == (loss, output, kind)
    assert task.squeeze == (kind == "real" and np.ndim(y) == 1)
    assert (None if task.classes is None else task.classes.tolist()) == classes
    assert task.outputs == (len(classes) if loss == "cross_entropy" else np.shape(values)[1])
    assert coded.values.dtype == (np.int32 if loss == "cross_entropy" else dtype)
    assert coded.values.flags.c_contiguous
    np.testing.assert_array_equal(coded.values, values)


@pytest.mark.filterwarnings("ignore:y. got floats that are exactly 0 and 1")
@pytest.mark.parametrize(("y", "asked", "loss", "output", "values", "classes", "kind"), TABLE)
def test_encode_codes_as_targets_did(y, asked, loss, output, values, classes, kind):
    task = places.checks.targets(y, 4, F64, loss=asked).task
    coded = places.checks.encode(y, 4, F64, task)
    assert coded.dtype == (np.int32 if loss == "cross_entropy" else F64)
    np.testing.assert_array_equal(coded, values)
    one_row = places.checks.encode(y[1:2], 1, F64, task)  # of a single class, which is fine here
    np.testing.assert_array_equal(one_row, values[1:2])


@pytest.mark.parametrize("labels", [["b", "a", "c"], [2, 0, 9], np.array([3, 1, 2], np.uint8)])
def test_a_column_of_labels_is_labels(labels):
    column = np.reshape(labels, (3, 1))
    flat = places.checks.targets(labels, 3, F64)
    coded = places.checks.targets(column, 3, F64)
    np.testing.assert_array_equal(coded.values, flat.values)
    np.testing.assert_array_equal(places.checks.encode(column, 3, F64, flat.task), flat.values)


def test_a_float_column_of_two_classes_is_labels_for_binary_cross_entropy():
    column = np.array([[0.0], [1.0], [0.0]])
    coded = places.checks.targets(column, 3, F64, loss="binary_cross_entropy")
    assert coded.task.kind == "labels"
    np.testing.assert_array_equal(coded.values, column)
    np.testing.assert_array_equal(places.checks.encode(column, 3, F64, coded.task), column)


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        (np.array(["b", "a"], object), object),
        (np.array(["b", "a"]), "<U1"),
        (np.array([2, 1], np.int8), np.int8),
        (np.array([True, False]), np.bool_),
        (np.array([2, 1], object), np.int64),
        (np.array([True, False], object), np.bool_),
    ],
)
def test_classes_keep_the_dtype_in_which_labels_came(labels, dtype):
    classes = places.checks.targets(labels, 2, F64).task.classes
    assert classes.dtype == dtype
    assert classes.tolist() == sorted(labels.tolist())


def test_targets_read_pandas():
    pandas = pytest.importorskip("pandas")
    categories = pandas.Series(LABELS_2, dtype="category")
    for series in (pandas.Series(LABELS_2), categories, categories.array):
        coded = places.checks.targets(series, 4, F64)
        assert coded.task.classes.tolist() == ["cat", "dog"]
        np.testing.assert_array_equal(coded.values, CODED_2)
    ratings = pandas.Series([0.5, 1.5, 2.5, 0.5], dtype="category")  # categories are labels, floats too
    assert places.checks.targets(ratings, 4, F64).values.tolist() == [0, 1, 2, 0]
    nullable = pandas.Series([1, 2, 2, 1], dtype="Int64")
    assert places.checks.targets(nullable, 4, F64).task.classes.tolist() == [1, 2]
    assert places.checks.targets(pandas.get_dummies(LABELS_3), 4, F64).values.tolist() == [2, 0, 1, 0]
    with pytest.raises(TypeError, match=r"y: got nan \(float\) at row 1; labels of one kind"):
        places.checks.targets(pandas.Series(["a", None, "b", "a"], dtype="category"), 4, F64)


def test_real_targets_are_not_copied_where_they_are_right_already():
    y = np.ones((4, 2)) / 3
    assert np.shares_memory(places.checks.targets(y, 4, F64).values, y)
    assert places.checks.targets(y, 4, F32).values.dtype == F32


@pytest.mark.parametrize(
    ("loss", "output"), [(loss.name, output) for loss in LOSSES.values() for output in loss.outputs]
)
def test_every_output_that_goes_with_a_loss_is_accepted(loss, output):
    assert places.checks.targets([1, 2], 2, F64, loss=loss, output=output).task.output == output


@pytest.mark.parametrize(
    ("loss", "output", "listed"),
    [
        ("squared_error", "softmax", "'identity', 'sigmoid'"),
        ("binary_cross_entropy", "identity", "'sigmoid'"),
        ("binary_cross_entropy", "softmax", "'sigmoid'"),
        ("cross_entropy", "sigmoid", "'softmax'"),
        (None, "softmax", "'sigmoid'"),
    ],
)
def test_an_output_that_does_not_go_with_the_loss_is_refused(loss, output, listed):
    with pytest.raises(ValueError, match=f"output: got '{output}'; loss '.*' goes with {listed}$"):
        places.checks.targets([0, 1], 2, F64, loss=loss, output=output)


@pytest.mark.parametrize(
    ("y", "loss", "kind", "words"),
    [
        ([1.0, 2.0, 3.0], None, ValueError, "y: got 3 rows where X has 4"),
        ([], None, ValueError, "y: got 0 rows where X has 4"),
        (2.0, None, ValueError, r"y: got shape \(\)"),
        (np.ones((4, 2, 2)), None, ValueError, r"y: got shape \(4, 2, 2\); shape \(rows,\) or \(rows"),
        (np.ones((4, 0)), None, ValueError, r"y: got shape \(4, 0\)"),
        ([1.0, np.nan, 2.0, 3.0], None, ValueError, "y: got nan at row 1; finite numbers"),
        ([[1.0, 2.0]] * 3 + [[1.0, -np.inf]], None, ValueError, "y: got -inf at row 3, column 1; finite"),
        ([0.0, np.nan, 1.0, 1.0], "binary_cross_entropy", ValueError, "y: got nan at row 1; finite"),
        (COUNTS, None, ValueError, r"y: got whole numbers other than 0 and 1 .*y.astype\(float\)"),
        (COUNTS, "binary_cross_entropy", ValueError, "y: got 2 at row 0, column 0; 0 and 1 are accepted"),
        (COUNTS, "cross_entropy", ValueError, "loss: got 'cross_entropy' with numbers in y"),
        (REAL, "cross_entropy", ValueError, "'cross_entropy' with numbers in y; .*pass integer labels"),
        (MULTILABEL * 0.9, "hinge", ValueError, "y: got 0.9 at row 0, column 0; 0 and 1"),
        ([0.0, 1.0, 1.0, 0.0], "cross_entropy", ValueError, "pass integer labels"),
        (MULTILABEL, "cross_entropy", ValueError, "with a multilabel matrix in y; .*labels or one-hot rows"),
        (MULTILABEL, "cross_entropy", ValueError, "is 'squared_error', 'binary_cross_entropy', 'hinge'$"),
        (MULTILABEL * 1.0, "cross_entropy", ValueError, "y: got 1.0, 0.0, 1.0 at row 0 .* rows of probabilities that"),
        (ONE_HOT * 0.5, "cross_entropy", ValueError, r"y: got 0.5, 0.0, 0.0 at row 0 .* one-hot rows, or rows of prob"),
        (ONE_HOT * 2.0 - 0.5, "cross_entropy", ValueError, "y: got 1.5, -0.5, -0.5 at row 0"),
        (REAL, "binary_cross_entropy", ValueError, "y: got 0.5 at row 0; 0 and 1 are accepted"),
        (MULTILABEL * 0.9, "binary_cross_entropy", ValueError, "y: got 0.9 at row 0, column 0; 0 and 1"),
        (LABELS_3, "binary_cross_entropy", ValueError, "loss: got 'binary_cross_entropy' with 3 classes"),
        (LABELS_2, "crossentropy", ValueError, "loss: got 'crossentropy'; use 'cross_entropy'"),
        (LABELS_2, 1, TypeError, r"loss: got 1 \(int\), expected one of 'squared_error', "),
        (["a", "b", None, "a"], None, TypeError, r"y: got None \(NoneType\) at row 2; labels of one kind"),
        (["a", 1, "b", "b"], None, TypeError, r"y: got 1 \(int\) at row 1 among strings"),
        (np.array([1, "a", 2, 3], object), None, TypeError, r"y: got 'a' \(str\) at row 1; labels of one"),
        (np.array([1, True, 2, 3], object), None, TypeError, r"y: got True \(bool\) at row 1"),
        (np.array([1.5, 2, 3, 4], object), None, TypeError, r"y: got 1.5 \(float\) at row 0"),
        ([2**70, 1, 2, 3], None, TypeError, r"y: got 1180591620717411303424 \(int\) at row 0"),
        (np.array([["a", "b"]] * 4), None, TypeError, r"y: got dtype <U1, shape \(4, 2\)"),
        (np.zeros(4, "M8[s]"), None, TypeError, r"y: got dtype datetime64\[s\]"),
        (np.zeros(4, complex), None, TypeError, "y: got dtype complex128"),
        (np.ma.masked_array([0, 1, 0, 1]), None, TypeError, "y: got a masked array"),
        (Sparse(), None, TypeError, "y: got a sparse Sparse"),
        ([[1], [1, 2], [3], [4]], None, ValueError, "y: got a list that cannot be read as an array"),
    ],
)
def test_targets_refuse(y, loss, kind, words):
    with pytest.raises(kind, match=words) as raised:
        places.checks.targets(y, 4, F64, loss=loss)
    assert "\n" not in str(raised.value)


def test_targets_that_float32_cannot_hold_are_refused_with_their_place():
    with pytest.raises(ValueError, match=r"y: got 1e\+300 at row 1, column 0, which float32 cannot hold"):
        places.checks.targets([0.0, 1e300], 2, F32)


def test_an_unknown_output_name_is_refused():
    with pytest.raises(ValueError, match="output: got 'sofmax', .*did you mean 'softmax'"):
        places.checks.targets([0, 1], 2, F64, output="sofmax")


# ---- encode ----------------------------------------------------------------------------------------------


def task_of(y, loss=None):
    return places.checks.targets(y, len(y), F64, loss=loss).task


@pytest.mark.parametrize(
    ("known", "y", "kind", "words"),
    [
        (
            task_of(LABELS_2),
            ["cat", "cow"],
            ValueError,
            "unknown label 'cow' at row 1; .*knows 'cat', 'dog'$",
        ),
        (task_of(LABELS_2), [0, 1], ValueError, "y: got the unknown label 0 at row 0"),
        (task_of(LABELS_3), [3, 4], ValueError, "y: got the unknown label 4 at row 1; .*knows 3, 5, 7$"),
        (task_of(LABELS_3), [3, 5, 7], ValueError, "y: got 3 rows where X has 2"),
        (task_of(LABELS_3), [[1, 0], [0, 1]], ValueError, r"y: got shape \(2, 2\); labels of shape \(2,\)"),
        (task_of(LABELS_3), [[1, 0, 0], [1, 1, 0]], ValueError, "y: got 1, 1, 0 at row 1; one-hot rows"),
        (task_of(ONE_HOT), [[0, 0, 2], [0, 0, 1]], ValueError, "y: got 0, 0, 2 at row 0; one-hot rows"),
        (task_of(MULTILABEL), [[0, 1, 2], [0, 0, 0]], ValueError, "y: got 2 at row 0, column 2; 0 and 1"),
        (task_of(MULTILABEL), [[0, 1], [0, 0]], ValueError, "y: got 2 columns .*the network has 3 outputs"),
        (task_of(REAL), [[0.0, 1.0], [0.0, 0.0]], ValueError, "y: got 2 columns .*the network has 1 output$"),
        (task_of(REAL), ["a", "b"], ValueError, "y: got labels .*has no classes and takes numbers"),
        (task_of(REAL), [0.0, np.inf], ValueError, "y: got inf at row 1; finite"),
        (task_of(REAL), [None, 1.0], TypeError, r"y: got None \(NoneType\) at row 0"),
    ],
)
def test_encode_refuses(known, y, kind, words):
    with pytest.raises(kind, match=words) as raised:
        places.checks.encode(y, 2, F64, known)
    assert "\n" not in str(raised.value)


def test_encode_reads_whole_numbers_as_numbers_in_regression():
    for y in ([1, 2], [[1], [2]], np.array([1, 2], np.uint8)):
        assert places.checks.encode(y, 2, F32, task_of(REAL)).tolist() == [[1.0], [2.0]]


def test_encode_takes_one_hot_rows_where_classes_are_known():
    assert places.checks.encode(np.eye(3), 3, F64, task_of(LABELS_3)).tolist() == [0, 1, 2]
    assert places.checks.encode([[0, 1], [1, 0]], 2, F64, task_of(LABELS_2)).tolist() == [[1.0], [0.0]]


def test_many_known_labels_are_not_all_listed():
    with pytest.raises(ValueError, match=r"knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\. \(50 in all\)$"):
        places.checks.encode([99], 1, F64, task_of(list(range(50)), "cross_entropy"))


# ---- the task of a network that has seen no targets ------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "outputs", "classes", "kind", "found", "squeeze"),
    [
        ("squared_error", 1, None, "real", None, True),
        ("squared_error", 3, None, "real", None, False),
        ("squared_error", 2, ["a", "b"], "labels", ["a", "b"], False),
        ("binary_cross_entropy", 1, None, "labels", [0, 1], False),
        ("binary_cross_entropy", 1, ["no", "yes"], "labels", ["no", "yes"], False),
        ("binary_cross_entropy", 4, None, "multilabel", None, False),
        ("cross_entropy", 3, None, "labels", [0, 1, 2], False),
        ("cross_entropy", 2, [10, 20], "labels", [10, 20], False),
        ("cross_entropy", 1, ["a"], "labels", ["a"], False),
        ("binary_cross_entropy", 1, ["a"], "labels", ["a"], False),
        ("hinge", 1, [7], "labels", [7], False),
        ("squared_error", 1, [7], "labels", [7], False),
    ],
)
def test_task(loss, outputs, classes, kind, found, squeeze):
    task = places.checks.task(loss, outputs, classes=classes)
    assert (task.loss.name, task.outputs, task.kind, task.squeeze) == (loss, outputs, kind, squeeze)
    assert task.output == LOSSES[loss].outputs[0]
    assert (None if task.classes is None else task.classes.tolist()) == found


@pytest.mark.parametrize(
    ("loss", "outputs", "classes", "words"),
    [
        ("cross_entropy", 1, None, "sizes: got 1 output with loss 'cross_entropy'; at least 2"),
        ("cross_entropy", 3, ["a", "b"], "classes: got 'a', 'b'; 3 different labels go with 3 outputs"),
        ("cross_entropy", 3, ["a", "b", "a"], "classes: got 'a', 'b', 'a'; 3 different labels"),
        ("binary_cross_entropy", 1, [0, 1, 2], "classes: got 0, 1, 2; 2 different labels go with 1 output"),
        ("squared_error", 1, ["a", "b"], "classes: got 'a', 'b'; 1 different label goes with 1 output"),
        ("hinge", 1, ["a", "a"], "classes: got 'a', 'a'; 2 different labels"),
    ],
)
def test_task_refuses_classes_that_do_not_go_with_the_outputs(loss, outputs, classes, words):
    with pytest.raises(ValueError, match=words):
        places.checks.task(loss, outputs, classes=classes)


def test_classes_given_in_another_order_keep_it():
    task = places.checks.task("cross_entropy", 3, classes=["c", "a", "b"])
    assert places.checks.encode(["a", "b", "c"], 3, F64, task).tolist() == [1, 2, 0]


# ---- settings --------------------------------------------------------------------------------------------


def test_choice():
    assert places.checks.choice("relu", ACTIVATIONS, "activation") == "relu"
    words = r"^activation: got 'rleu', expected one of 'tanh', 'relu'; did you mean 'relu'\?$"
    with pytest.raises(ValueError, match=words):
        places.checks.choice("rleu", ("tanh", "relu"), "activation")
    with pytest.raises(ValueError, match=r"did you mean 'relu'\?$"):
        places.checks.choice("ReLU", ("tanh", "relu"), "activation")
    with pytest.raises(ValueError, match=r"^loss: got 'zzz', expected one of 'tanh', 'relu'$"):
        places.checks.choice("zzz", ("tanh", "relu"), "loss")
    for value in (None, 3, ["relu"], b"relu"):
        with pytest.raises(TypeError, match="^activation: got .*expected one of 'tanh', 'relu'"):
            places.checks.choice(value, ("tanh", "relu"), "activation")


@pytest.mark.parametrize("value", [1, np.int8(1), np.uint64(1)])
def test_whole_takes_integers(value):
    assert type(places.checks.whole(value, "epochs")) is int


@pytest.mark.parametrize("value", [True, np.True_, 1.0, np.float64(1), "1", None, [1], 1j])
def test_whole_refuses_everything_else(value):
    with pytest.raises(TypeError, match="^epochs: got .*expected a whole number of at least 1$"):
        places.checks.whole(value, "epochs")


def test_whole_keeps_its_range():
    for value in (0, -5, np.int64(-1)):
        with pytest.raises(ValueError, match=f"^epochs: got {value}, expected a whole number of at least 1$"):
            places.checks.whole(value, "epochs")
    with pytest.raises(ValueError, match="got 9, expected a whole number of at least 2 and at most 8"):
        places.checks.whole(9, "n_threads", minimum=2, maximum=8)
    assert places.checks.whole(0, "frames", minimum=0) == 0


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.int64(3)])
def test_number_takes_real_numbers(value):
    checked = places.checks.number(value, "l2")
    assert type(checked) is float
    assert checked == value


@pytest.mark.parametrize("value", [True, np.False_, "0.1", None, 1j, [0.1], np.array(0.1)])
def test_number_refuses_everything_else(value):
    with pytest.raises(TypeError, match="^l2: got .*expected a finite number of at least 0$"):
        places.checks.number(value, "l2")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-300, -1, 10**400])
def test_number_keeps_its_range(value):
    with pytest.raises(ValueError, match="^l2: got .*expected a finite number of at least 0$"):
        places.checks.number(value, "l2")


def test_number_keeps_open_bounds():
    with pytest.raises(ValueError, match="got 0.0, expected a finite number above 0$"):
        places.checks.number(0, "epsilon", above=0)
    with pytest.raises(ValueError, match="got 1.0, expected a finite number of at least 0 and below 1$"):
        places.checks.number(1, "momentum", below=1)
    assert places.checks.number(1, "momentum", maximum=1) == 1
    with pytest.raises(ValueError, match="got 1.5, expected a finite number of at least 0, at most 1$"):
        places.checks.number(1.5, "momentum", maximum=1)


def test_flag():
    assert places.checks.flag(np.True_, "bias") is True
    for value in (0, 1, "yes", None):
        with pytest.raises(TypeError, match="^bias: got .*expected True or False$"):
            places.checks.flag(value, "bias")


class Unwritable:
    """Stands in for an object whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Long:
    """Stands in for an object whose repr is long and has several lines."""

    def __repr__(self) -> str:
        return "first\n   " + "second " * 10_000


def test_a_value_is_shown_in_one_short_line():
    assert places.values.shown(np.eye(2)) == "array([[1., 0.], [0., 1.]])"
    assert places.values.shown("a  b\n") == r"'a  b\n'"
    assert places.values.shown(Unwritable()) == "an object of type Unwritable that cannot be written out"
    assert places.values.shown(10**5000) == "an object of type int that cannot be written out"
    text = places.values.shown(Long())
    assert text.startswith("first second second ")
    assert text.endswith("...")
    assert len(text) == 203
    assert places.values.listing([Unwritable()]) == "an object of type Unwritable that cannot be written out"


# What is no number, flag or name of any argument below.
HOSTILE = (
    Unwritable(),
    Long(),
    np.array([0.5, 0.5]),
    np.array(0.5),
    np.ones((300, 300)),
    np.timedelta64(1, "s"),
    np.datetime64("2020"),
    b"adam",
    {"a": 1},
    {1.5},
    (each for each in ()),
    1j,
    10**5000,
    -(10**5000),
    Decimal("0.1"),
    slice(3),
    "a\0b",
    "\udc80",
    "x" * 100_000,
)
REFUSES_ALL = [
    lambda value: places.checks.choice(value, ("adam",), "argument"),
    lambda value: places.checks.flag(value, "argument"),
    lambda value: places.checks.number(value, "argument"),
    lambda value: places.checks.whole(value, "argument"),
]


@pytest.mark.parametrize("check", REFUSES_ALL)
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
def test_what_is_refused_is_named_in_one_line(check, value):
    with pytest.raises((TypeError, ValueError), match="^argument: got ") as raised:
        check(value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_whole_numbers_are_those_of_64_bits():
    assert places.checks.whole(2**63 - 1, "patience") == 2**63 - 1
    words = "^patience: got 9223372036854775808, expected a whole number of at least 1 and at most 9223372036854775807$"
    with pytest.raises(ValueError, match=words):
        places.checks.whole(2**63, "patience")


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_names_no_file_is_refused(path):
    with pytest.raises(ValueError, match="^path: got '"):
        places.values.checked_path(path)


def test_whole_or_epochs_takes_no_array_without_a_dimension():
    for every in (np.array([2, 3]), {2, 3}, (2, 3), range(2, 4)):
        assert places.values.whole_or_epochs(every, "every") == {2, 3}
    with pytest.raises(TypeError, match=r"^every: got array\(2\) \(ndarray\), expected a whole number"):
        places.values.whole_or_epochs(np.array(2), "every")
    with pytest.raises(TypeError, match=r"^milestones: got array\(2\); increasing whole numbers"):
        MultiStep(0.1, np.array(2))


@pytest.mark.parametrize("kind", [Adam, AdamW, NAdam, RMSprop, Adagrad, Adadelta])
@pytest.mark.parametrize("dtype", [F32, F64])
def test_epsilon_is_a_number_of_the_dtype(kind, dtype):
    smallest = float(np.finfo(dtype).tiny)
    assert places.checks.optimizer(kind(epsilon=smallest), dtype).epsilon == smallest
    for value in (smallest / 2, 1e39) if dtype is F32 else (smallest / 2,):
        words = f"^epsilon: got {re.escape(str(value))}; numbers from .* to .*, as {np.dtype(dtype)} holds them"
        with pytest.raises(ValueError, match=words):
            places.checks.optimizer(kind(epsilon=value), dtype)


def test_an_initial_accumulator_is_a_number_of_the_dtype():
    for value in (0.0, 1e30):
        assert places.checks.optimizer(Adagrad(initial_accumulator=value), F32).initial_accumulator == value
    words = "^initial_accumulator: got 1e.300; numbers from 1.18e-38 to 3.4e.38, as float32 holds them, are accepted"
    with pytest.raises(ValueError, match=words):
        places.checks.optimizer(Adagrad(initial_accumulator=1e300), F32)


@pytest.mark.parametrize(
    ("hidden", "sizes"),
    [((), ()), ([], ()), (5, (5,)), (np.int64(5), (5,)), ((3, 2), (3, 2)), (np.array([3, 2]), (3, 2))],
)
def test_hidden_sizes(hidden, sizes):
    assert places.checks.hidden_sizes(hidden) == sizes


@pytest.mark.parametrize(
    ("hidden", "kind", "words"),
    [
        (0, ValueError, "^hidden: got 0, expected a whole number of at least 1"),
        ((3, -1), ValueError, r"^hidden\[1\]: got -1, expected"),
        ((3, 2.0), TypeError, r"^hidden\[1\]: got 2.0 \(float\)"),
        (np.array([3.0]), TypeError, r"^hidden\[0\]: got 3.0 \(float\)"),
        (True, TypeError, r"^hidden: got True \(bool\)"),
        (2.5, TypeError, r"^hidden: got 2.5 \(float\); a whole number or a tuple or list"),
        ("64", TypeError, r"^hidden: got '64' \(str\)"),
        (None, TypeError, r"^hidden: got None \(NoneType\)"),
    ],
)
def test_hidden_sizes_refuse(hidden, kind, words):
    with pytest.raises(kind, match=words):
        places.checks.hidden_sizes(hidden)


def test_activations():
    assert tuple(name for name in ACTIVATIONS if name not in ("softmax", "exponential")) == HIDDEN_ACTIVATIONS
    assert places.checks.activations("tanh", 3) == ("tanh",) * 3
    assert places.checks.activations("tanh", 0) == ()
    assert places.checks.activations(["tanh", "relu"], 2) == ("tanh", "relu")
    with pytest.raises(ValueError, match="^activation: got 1 names for 2 hidden layers; one name for all"):
        places.checks.activations(["tanh"], 2)
    with pytest.raises(ValueError, match=r"^activation\[1\]: got 'thanh', .*did you mean 'tanh'"):
        places.checks.activations(["tanh", "thanh"], 2)
    with pytest.raises(ValueError, match="^activation: got 'softmax', expected one of 'identity', .*'relu'"):
        places.checks.activations("softmax", 1)
    with pytest.raises(TypeError, match="^activation: got None"):
        places.checks.activations(None, 1)


@pytest.mark.parametrize(
    ("value", "rows", "size"),
    [
        ("auto", 1000, 200),
        ("auto", 50, 50),
        ("full", 7, 7),
        (3, 7, 3),
        (7, 7, 7),
        (8, 7, 7),
        (np.int64(2), 7, 2),
    ],
)
def test_batch_size(value, rows, size):
    assert places.checks.batch_size(value, rows, Adam()) == size


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (0, ValueError, "^batch_size: got 0"),
        ("ful", ValueError, "^batch_size: got 'ful', expected one of 'auto', 'full'; did you mean 'full'"),
        (32.0, TypeError, r"^batch_size: got 32.0 \(float\)"),
        (None, TypeError, "^batch_size: got None"),
        (True, TypeError, "^batch_size: got True"),
    ],
)
def test_batch_size_refuses(value, kind, words):
    with pytest.raises(kind, match=words):
        places.checks.batch_size(value, 100, Adam())


def test_floating():
    assert places.checks.floating(None) is None
    for dtype in ("float32", F32, np.dtype(F32)):
        assert places.checks.floating(dtype) == np.dtype(F32)
    assert places.checks.floating(float) == np.dtype(F64)
    for dtype in ("float16", int, ">f8" if np.little_endian else "<f8", "longdouble"):
        with pytest.raises(ValueError, match="^dtype: got .*; 'float32', 'float64' or None is accepted"):
            places.checks.floating(dtype)
    for dtype in ("single precision", 32, [1]):
        with pytest.raises(TypeError, match="^dtype: got .*; 'float32', 'float64' or None is accepted"):
            places.checks.floating(dtype)


def test_seed():
    assert places.checks.checked_seed(0) == 0
    assert places.checks.checked_seed(np.uint32(7)) == 7
    assert places.checks.checked_seed(2**63 - 1) == 2**63 - 1
    drawn = {places.checks.checked_seed(None) for _ in range(5)}
    assert len(drawn) == 5  # five equal draws of 63 bits do not happen
    assert all(0 <= value < 2**63 for value in drawn)
    for value in (-1, 2**63):
        with pytest.raises(ValueError, match=f"^seed: got {value}, expected a whole number of at least 0"):
            places.checks.checked_seed(value)
    for value in (1.0, "1", True, np.random.default_rng(0)):
        with pytest.raises(TypeError, match="^seed: got "):
            places.checks.checked_seed(value)


def test_order():
    def mine(epoch):
        return range(5)

    assert places.checks.shuffle(True) is True
    assert places.checks.shuffle(np.False_) is False
    assert places.checks.shuffle(mine) is mine
    for value in (int, 1, "yes", None):
        with pytest.raises(TypeError, match="^shuffle: got .*expected True or False$"):
            places.checks.shuffle(value)


# ---- optimizers ------------------------------------------------------------------------------------------


def test_optimizer():
    assert places.checks.optimizer("sgd") == SGD()
    assert places.checks.optimizer("adam") == Adam()
    mine = SGD(momentum=0.9)
    assert places.checks.optimizer(mine) is mine
    for kind in map(type, OPTIMIZERS.values()):
        words = rf"^optimizer: got the class {kind.__name__}; .*write {kind.__name__}\(\)"
        with pytest.raises(TypeError, match=words):
            places.checks.optimizer(kind)
    with pytest.raises(ValueError, match="^optimizer: got 'adm', expected one of 'sgd', .*; did you mean 'adam'"):
        places.checks.optimizer("adm")
    for value in (None, 1, int):
        with pytest.raises(TypeError, match="^optimizer: got "):
            places.checks.optimizer(value)


def test_learning_rate():
    assert places.checks.learning_rate(None, SGD()) == Constant(0.01)
    assert places.checks.learning_rate(None, Adam()) == Constant(0.001)
    assert places.checks.learning_rate(1, Adam()) == Constant(1.0)
    schedule = StepDecay(0.1, every=3)
    assert places.checks.learning_rate(schedule, Adam()) is schedule
    for value in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="^learning_rate: got "):
            places.checks.learning_rate(value, SGD())
    with pytest.raises(TypeError, match="^learning_rate: got 'fast'"):
        places.checks.learning_rate("fast", SGD())


def test_optimizers_say_what_the_kernels_need():
    codes = {name: optimizer.code for name, optimizer in OPTIMIZERS.items()}
    assert codes == {
        "sgd": 0,
        "adam": 1,
        "amsgrad": 1,
        "adamw": 1,
        "nadam": 2,
        "rmsprop": 3,
        "adagrad": 4,
        "adadelta": 5,
        "lion": 6,
        "rprop": 7,
        "lbfgs": 8,
    }
    assert all(name in (optimizer.name, "amsgrad") for name, optimizer in OPTIMIZERS.items())
    assert (SGD().slots, SGD(momentum=0.5).slots, Adam().slots, Adam(amsgrad=True).slots) == (0, 1, 2, 3)
    assert [RMSprop(**given).slots for given in ({}, {"momentum": 0.5}, {"centered": True})] == [1, 2, 3]
    assert Rprop().starts(0.02) == (0.0, 0.02)
    assert Adagrad(initial_accumulator=0.5).starts(0.02) == (0.5,)
    fields = set(places.layout.SETTINGS.names)
    for optimizer in OPTIMIZERS.values():
        assert optimizer.settings().keys() <= fields, "the kernels know every setting"
    # Settings by their place stay where they were: what came later stands behind, or has no place.
    assert SGD(0.9, True, True) == SGD(momentum=0.9, nesterov=True, rate_in_velocity=True)
    assert Adam(0.8, 0.9, 1e-6, True) == Adam(beta1=0.8, beta2=0.9, epsilon=1e-6, amsgrad=True)
    assert AdamW(0.8, 0.9, 1e-6, True, 0.3) == AdamW(0.8, 0.9, 1e-6, amsgrad=True, weight_decay=0.3)
    assert AdamW(0.8, 0.9, 1e-6, True, 0.3).weight_decay == 0.3
    for make, settings in ((Adam, (0.9, 0.999, 1e-8, False, True)), (AdamW, (0.9, 0.999, 1e-8, False, 0.1, True))):
        with pytest.raises(TypeError, match="positional arguments"):
            make(*settings)
    assert repr(SGD(np.float64(0.5), np.True_)) == "SGD(momentum=0.5, nesterov=True, rate_in_velocity=False)"


@pytest.mark.parametrize(
    ("make", "settings", "kind", "words"),
    [
        (SGD, {"momentum": 1.1}, ValueError, "^momentum: got 1.1, expected .*at least 0, at most 1$"),
        (SGD, {"momentum": -0.1}, ValueError, "^momentum: got -0.1"),
        (SGD, {"momentum": np.nan}, ValueError, "^momentum: got nan"),
        (SGD, {"momentum": True}, TypeError, r"^momentum: got True \(bool\)"),
        (SGD, {"momentum": "0.9"}, TypeError, r"^momentum: got '0.9' \(str\)"),
        (SGD, {"momentum": 0.9, "nesterov": 1}, TypeError, r"^nesterov: got 1 \(int\)"),
        (SGD, {"nesterov": True}, ValueError, "^nesterov: got True with momentum 0; it needs"),
        (Adam, {"beta1": 1.0}, ValueError, "^beta1: got 1.0"),
        (Adam, {"beta2": -0.5}, ValueError, "^beta2: got -0.5"),
        (Adam, {"beta2": False}, TypeError, "^beta2: got False"),
        (Adam, {"epsilon": 0.0}, ValueError, "^epsilon: got 0.0, expected a finite number above 0"),
        (Adam, {"epsilon": np.inf}, ValueError, "^epsilon: got inf"),
        (Adam, {"epsilon": None}, TypeError, "^epsilon: got None"),
        (SGD, {"rate_in_velocity": 0}, TypeError, r"^rate_in_velocity: got 0 \(int\), expected True or False"),
        (Adam, {"amsgrad": 1}, TypeError, r"^amsgrad: got 1 \(int\), expected True or False"),
        (Adam, {"epsilon_hat": 1}, TypeError, r"^epsilon_hat: got 1 \(int\), expected True or False"),
        (AdamW, {"epsilon_hat": "yes"}, TypeError, "^epsilon_hat: got 'yes'"),
        (NAdam, {"epsilon_hat": True}, TypeError, "unexpected keyword argument 'epsilon_hat'"),
        (AdamW, {"weight_decay": -0.1}, ValueError, "^weight_decay: got -0.1"),
        (NAdam, {"momentum_decay": np.nan}, ValueError, "^momentum_decay: got nan"),
        (RMSprop, {"centered": "yes"}, TypeError, "^centered: got 'yes'"),
        (RMSprop, {"beta2": 1}, ValueError, "^beta2: got 1.0"),
        (Adagrad, {"initial_accumulator": -1}, ValueError, "^initial_accumulator: got -1.0"),
        (Adagrad, {"rate_decay": -1}, ValueError, "^rate_decay: got -1.0"),
        (Lion, {"beta1": 1.5}, ValueError, "^beta1: got 1.5"),
        (Rprop, {"eta_minus": 1.0}, ValueError, "^eta_minus: got 1.0, expected .* above 0 and below 1"),
        (Rprop, {"eta_plus": 1.0}, ValueError, "^eta_plus: got 1.0, expected .* above 1"),
        (Rprop, {"least_step": 0}, ValueError, "^least_step: got 0.0, expected .* above 0"),
        (Rprop, {"least_step": 2, "most_step": 1}, ValueError, "^least_step: got 2.0, above most_step 1.0"),
    ],
)
def test_optimizers_check_themselves(make, settings, kind, words):
    with pytest.raises(kind, match=words):
        make(**settings)


# ---- tables ----------------------------------------------------------------------------------------------


def test_tables_are_as_the_kernels_number_them_and_cannot_be_written():
    assert [row.code for row in ACTIVATIONS.values()] == list(range(len(ACTIVATIONS)))
    assert list(ACTIVATIONS)[:5] == ["identity", "sigmoid", "tanh", "relu", "softmax"]
    assert {name: loss.code for name, loss in LOSSES.items()} == {
        "squared_error": 0,
        "binary_cross_entropy": 1,
        "cross_entropy": 2,
        "absolute_error": 3,
        "huber": 4,
        "quantile": 5,
        "log_cosh": 6,
        "poisson": 7,
        "gamma": 8,
        "hinge": 9,
    }
    for table in (ACTIVATIONS, LOSSES, OPTIMIZERS):
        with pytest.raises(TypeError):
            table["new"] = 9
    for loss in LOSSES.values():
        assert set(loss.outputs) <= set(ACTIVATIONS)
