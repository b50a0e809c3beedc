"""Arrays at the door: array-likes in, aligned C-contiguous arrays of finite numbers out, or labels of one kind."""

from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

import numpy as np

from fastmlp._checks.sparse import SparseRows, dense, dense_or_windows, is_sparse
from fastmlp._checks.warn import warn_caller
from fastmlp._spec.values import as_array, listing, typed

# Numbers inspected together by the finite check: they fit in the cache, and so does what the check allocates.
BLOCK = 1 << 16


def features(
    X: Any,
    *,
    dtype: Any = None,
    columns: int | None = None,
    names: tuple[str, ...] | None = None,
    argument: str = "X",
    windows: bool = False,
) -> Any:
    """Check a table of features and bring it into the form that the kernels read.

    Parameters
    ----------
    X : array-like, shape (rows, columns)
        Numbers: bool, integer or floating; lists, arrays, memory maps, data frames, and SciPy's sparse matrices and
        arrays.
    dtype : numpy dtype or None, default None
        float32 or float64; None keeps float32 and makes everything else float64.
    columns : int or None, default None
        The number of columns that a network takes; None accepts any.
    names : tuple of str or None, default None
        The names of the columns that a network was trained with, () if they had none; None accepts any.
    argument : str, default "X"
        The argument's name, for messages.
    windows : bool, default False
        Whether a sparse `X` whose dense rows would take too much memory stays sparse; else it becomes dense whole.

    Returns
    -------
    ndarray or SparseRows, shape (rows, columns)
        C-contiguous float32 or float64; the same memory as `X` where `X` is already so (it is never written).

    Raises
    ------
    TypeError
        If `X` is masked, sparse but not SciPy's, does not hold real numbers, or some of its columns' names only are
        strings.
    ValueError
        If `X` is ragged, not 2-D, empty, of another number of columns or of other names of columns, or holds a NaN, an
        infinity or a number that `dtype` cannot hold.

    Warns
    -----
    UserWarning
        If either `X` or what the network was trained with has names of columns, and the other has none.

    Examples
    --------
    >>> features([[0, 1], [2, 3]]).dtype
    dtype('float64')
    """
    if isinstance(X, SparseRows):  # which has been checked
        return X
    own_names = check_names(X, names, argument)
    sparse = is_sparse(X)
    array = X if sparse else read_array(X, argument)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{argument}: got dtype {array.dtype}; bool, integer or floating columns are accepted; "
            "convert or leave out the other columns"
        )
    if array.ndim != 2:
        raise ValueError(
            f"{argument}: got shape {array.shape}; a 2-D array of shape (rows, columns) is accepted; "
            "reshape(-1, 1) makes a column of a 1-D array, reshape(1, -1) a row"
        )
    if 0 in array.shape:
        raise ValueError(f"{argument}: got shape {array.shape}; at least one row and one column are needed")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"{argument}: got {array.shape[1]} columns (shape {array.shape}); the network takes {columns}")
    if own_names and len(own_names) != array.shape[1]:
        raise ValueError(f"{argument}: got {len(own_names)} names for {array.shape[1]} columns; one each is accepted")
    if dtype is None:
        dtype = np.float32 if array.dtype == np.float32 else np.float64
    if not sparse:
        return converted(array, dtype, argument)
    return (dense_or_windows if windows else dense)(_converted_sparse(X, dtype, argument), dtype)


def _converted_sparse(X: Any, dtype: Any, argument: str) -> Any:
    """Convert a sparse matrix to CSR of `dtype`, all of it finite; what is stored several times is added up first."""
    given = X.tocsr()
    if not given.has_canonical_format:
        given = given.copy()
        given.sum_duplicates()
    with np.errstate(over="ignore"):  # found below, with its place
        result = given.astype(dtype, copy=False)

    def place(at: int) -> tuple[int, int]:
        return int(given.indptr.searchsorted(at, side="right")) - 1, int(given.indices[at])

    refuse_nonfinite(result.data, given.data, argument, place=place)
    return result


def column_names(X: Any, argument: str = "X") -> tuple[str, ...]:
    """Return the names of a data frame's columns if they are strings; () for anything else, as in scikit-learn."""
    if type(X) is np.ndarray:
        return ()
    # PyArrow's `columns` are the columns themselves. Its class is asked: a column of a frame may be called so.
    columns = getattr(X, "column_names" if hasattr(type(X), "column_names") else "columns", ())
    names = tuple(columns) if isinstance(columns, Iterable) else ()
    kinds = {isinstance(name, str) for name in names}
    if len(kinds) > 1:
        raise TypeError(
            f"{argument}: got columns some of whose names only are strings: {listing(names, limit=5)}; names that are "
            "all strings, or none of them, are accepted; X.columns = X.columns.astype(str) makes strings of all"
        )
    return tuple(map(str.__str__, names)) if kinds == {True} else ()


def check_names(X: Any, expected: tuple[str, ...] | None, argument: str = "X") -> tuple[str, ...]:
    """Return the names of columns; raise if they are not the expected ones, warn if only one of the two has any."""
    names = column_names(X, argument)
    if expected is None or names == expected:
        return names
    if not names or not expected:
        ours, theirs = ("names", "none") if names else ("no names", listing(expected, limit=5))
        warn_caller(
            f"{argument}: got {ours} of columns, and the network was trained with {theirs}, so that their order is not "
            "checked; data frames both times, or neither time, are accepted",
            UserWarning,
        )
        return names
    kind, parts = "other columns", {"unknown": set(names) - set(expected), "missing": set(expected) - set(names)}
    found = [f"{what} {listing(sorted(part), limit=5)}" for what, part in parts.items() if part]
    if not found:
        pairs = enumerate(zip_longest(names, expected))
        at, (own, other) = next((at, pair) for at, pair in pairs if pair[0] != pair[1])
        kind, found = "columns in another order", [f"column {at} is {own!r} and was {other!r}"]
    raise ValueError(
        f"{argument}: got {kind} than in training: {', '.join(found)}; the names of training, in their order, are "
        f"accepted: {listing(expected)}; feature_names_in_ has all of them"
    )


def read_array(values: Any, argument: str) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{argument}: got a masked array; a plain array is accepted; fill the masked entries")
    if hasattr(type(values), "toarray"):  # its class is asked: a column of a frame may be called so
        raise TypeError(f"{argument}: got a sparse {type(values).__name__}; a dense array is accepted; use .toarray()")
    array = as_array(values, argument)
    if array.dtype == object and _is_numeric_frame(values):
        # A frame whose columns are numbers of several dtypes (bool and float, say) arrives as objects.
        array = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if array.dtype.kind in "US" and isinstance(values, (list, tuple)):
        # Of a flat list such as ["a", None, 1] NumPy silently makes strings.
        for row, value in enumerate(values):
            if not isinstance(value, (str, bytes, list, tuple, np.ndarray)):
                raise TypeError(
                    f"{argument}: got {typed(value)} at row {row} among strings; values of one kind are accepted"
                )
    return array


def _is_numeric_frame(values: Any) -> bool:
    dtypes = getattr(values, "dtypes", None)
    is_frame = dtypes is not None and hasattr(values, "to_numpy") and hasattr(values, "columns")
    return is_frame and all(getattr(dtype, "kind", "O") in "biuf" for dtype in dtypes)


def converted(array: np.ndarray, dtype: Any, argument: str, missing: bool = False) -> np.ndarray:
    """Convert to an aligned C-contiguous array of `dtype`, without a copy where it already is; all finite.

    Where numbers may be `missing`, NaN passes.
    """
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        result = array
    else:
        with np.errstate(all="ignore"):  # what overflows float32 is found below, with its place
            result = np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
    if array.dtype.kind == "f":
        refuse_nonfinite(result, array, argument, missing)
    return result


def refuse_nonfinite(
    array: np.ndarray,
    original: np.ndarray,
    argument: str,
    missing: bool = False,
    advice: str = "",
    place: Callable[..., tuple[int, ...]] | None = None,
) -> None:
    """Raise, with its place, at the first value that is not finite; NaN passes where numbers may be `missing`.

    `array` is C-contiguous, and `original` what it was converted from. `place` takes an index into it and returns the
    row and the column, if these are others.
    """
    flat = array.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        finite = ~np.isinf(block) if missing else np.isfinite(block)
        first = finite.argmin()  # of what is not finite, if anything is; sooner than finite.all()
        if finite[first]:
            continue
        index = np.unravel_index(start + first, array.shape)
        value, at = original[index], index if place is None else place(*index)
        where = ", ".join(f"{name} {int(number)}" for name, number in zip(("row", "column"), at, strict=False))
        if np.isfinite(value):
            raise ValueError(
                f"{argument}: got {value!s} at {where}, which {array.dtype} cannot hold; "
                "scale the data or use a wider dtype"
            )
        raise ValueError(
            f"{argument}: got {value!s} at {where}; finite numbers are accepted; fill or leave out such rows{advice}"
        )


def label_array(array: np.ndarray, argument: str) -> np.ndarray:
    """Check that an array holds numbers or labels; Python objects of one kind become its dtype."""
    if array.dtype.kind == "O" and array.ndim == 1:
        array = _labels_of_objects(array, argument)
    if array.dtype.kind in "biuf" or (array.dtype.kind in "OUST" and array.ndim == 1):
        return array
    raise TypeError(
        f"{argument}: got dtype {array.dtype}, shape {array.shape}; numbers, or labels (integers, bools, "
        "strings) of shape (rows,), are accepted"
    )


def _labels_of_objects(array: np.ndarray, argument: str) -> np.ndarray:
    """Bring a 1-D object array of strings, of bools or of integers to labels of that one kind."""
    for kinds, dtype in ((str, np.object_), ((bool, np.bool_), np.bool_), ((int, np.integer), np.int64)):
        other = next((row for row, label in enumerate(array) if not _is_label(label, kinds)), None)
        if other is None:
            return array.astype(dtype, copy=False)
        if other > 0:  # the first label is of this kind, this one is not
            break
    label = array[other]
    raise TypeError(
        f"{argument}: got {typed(label)} at row {other}; labels of one kind "
        "(integers, bools or strings) are accepted; leave out rows without a label"
    )


def _is_label(label: Any, kinds: Any) -> bool:
    """Return whether an object is a label of these types; integers are not bools, and int64 holds them."""
    if kinds == (int, np.integer):
        return isinstance(label, kinds) and not isinstance(label, (bool, np.bool_)) and -(2**63) <= label < 2**63
    return isinstance(label, kinds)
