"""Tables: columns of any kind in, the numbers that a network takes out.

Reads CSV and Parquet files, learns from the training rows how to encode each column, and carries the encoding with the
model as JSON. pandas is imported on first use: the core does without.

Every message is one line: "argument: what came; what is accepted; what to do". Rows are counted from 1, the first row
under the header.
"""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import asdict, dataclass, fields
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmlp._spec.values import check_fields, choice, listing, named, number, whole

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from fastmlp.network import Network

__all__ = ["Column", "Table", "Target", "choose_task", "read_table", "split_table"]

TASKS = ("classification", "regression")
KINDS = ("numeric", "boolean", "categorical")
MAX_CATEGORIES = 1000
# Integers are labels if they have few different values, each in many rows.
MAX_INTEGER_LABELS, ROWS_PER_INTEGER_LABEL = 20, 20
DATE = re.compile(r"(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{4}/\d{1,2}/\d{1,2})([ T]\d{1,2}:.*)?")
TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
# What pandas infers of a column's values -> how the column is encoded.
KIND_OF = {
    "boolean": "boolean",
    **dict.fromkeys(("integer", "floating", "mixed-integer-float", "decimal", "empty"), "numeric"),
    **dict.fromkeys(("string", "categorical", "mixed-integer"), "categorical"),
}


def _one_of(value: Any, argument: str, known: tuple[str, ...]) -> str:
    """Check a name without searching for a similar one: a model file may hold a string of any length."""
    if value not in known:
        raise ValueError(f"{argument}: got {value!r}; one of {listing(known)} is accepted")
    return value


def _different_strings(values: Any, argument: str) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{argument}: got something else than strings; a tuple of strings is accepted")
    if len(set(values)) != len(values):
        raise ValueError(f"{argument}: got some strings twice; different strings are accepted")
    return tuple(values)


_CHECKS = {
    "name": named,
    "kind": partial(_one_of, known=KINDS),
    "task": partial(_one_of, known=TASKS),
    "mean": partial(number, minimum=-np.inf),
    "scale": partial(number, above=0.0),
    "categories": _different_strings,
}


@dataclass(frozen=True)
class Column:
    """How one input column becomes numbers.

    Parameters
    ----------
    name : str
        The column's name.
    kind : {"numeric", "boolean", "categorical"}
        ``"numeric"``: one input, ``(value - mean) / scale``. ``"boolean"``: one input, 0 or 1.
        ``"categorical"``: one input per category, 1 if the value is the category, otherwise 0.
    mean : float, default 0.0
        The mean over the training rows.
    scale : float, default 1.0
        The standard deviation over the training rows, above 0; 1 if the rows are all equal.
    categories : tuple of str, default ()
        The categories of the training rows, sorted, 1 to 1000 for a categorical column, none for other columns. A
        missing value is the category ``""``.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

    Examples
    --------
    >>> Column("colour", "categorical", categories=("blue", "red")).width
    2
    """

    name: str
    kind: str
    mean: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, _CHECKS)
        accepted = range(1, MAX_CATEGORIES + 1) if self.kind == "categorical" else range(1)
        if len(self.categories) not in accepted:
            raise ValueError(
                f"categories: got {len(self.categories)} with kind {self.kind!r}; {accepted[0]} to {accepted[-1]} are "
                "accepted"
            )

    @property
    def width(self) -> int:
        """The number of inputs that the column becomes."""
        return len(self.categories) if self.kind == "categorical" else 1

    @classmethod
    def fit(cls, values: Series) -> Column:
        """Compute the encoding of a column from its training rows.

        Parameters
        ----------
        values : pandas.Series of shape (rows,)
            The training rows; the series has the name of the column.

        Returns
        -------
        Column
            The encoding.

        Raises
        ------
        ValueError
            If a number is missing or not finite, or the column holds dates, more than 1000 categories, text that
            is different in every row, or anything except numbers, true and false, and text.

        Examples
        --------
        >>> import pandas
        >>> Column.fit(pandas.Series([1, 3], name="age"))
        Column(name='age', kind='numeric', mean=2.0, scale=1.0, categories=())
        """
        name, kind = str(values.name), _kind(values)
        if kind == "categorical":
            return cls(name, kind, categories=_categories(values))
        if kind == "boolean":
            _truth(values)
            return cls(name, kind)
        return cls(name, kind, *_mean_and_scale(name, _numbers(values)))

    def encode(self, values: Series) -> NDArray[np.float64]:
        """Return the network's inputs for the column.

        Parameters
        ----------
        values : pandas.Series of shape (rows,)
            Rows of the column.

        Returns
        -------
        ndarray of shape (rows, width), float64
            The inputs. A category that is not in the training rows is all zeros, with a UserWarning that counts
            the rows.

        Raises
        ------
        ValueError
            If a number is missing or not finite, or a value is not of the column's kind.

        Warns
        -----
        UserWarning
            If rows hold categories that the training rows did not.

        Examples
        --------
        >>> import pandas
        >>> Column("age", "numeric", mean=2.0, scale=4.0).encode(pandas.Series([4, 0])).ravel()
        array([ 0.5, -0.5])
        """
        if self.kind == "numeric":
            return (_numbers(values)[:, None] - self.mean) / self.scale
        if self.kind == "boolean":
            return _truth(values)[:, None]
        text = _text(values)
        codes = _pandas().Index(self.categories, dtype=object).get_indexer(text)
        known = codes >= 0
        if not known.all():
            warnings.warn(
                f"column {self.name!r}: {(~known).sum()} of {len(codes)} rows hold a category that the training rows "
                f"did not: {listing(dict.fromkeys(text[~known]), limit=3)}; they count as none of the known categories",
                stacklevel=2,
            )
        inputs = np.zeros((len(codes), self.width))
        inputs[np.flatnonzero(known), codes[known]] = 1.0
        return inputs


@dataclass(frozen=True)
class Target:
    """The column that is predicted.

    Parameters
    ----------
    name : str
        The column's name.
    task : {"classification", "regression"}
        Whether the column holds labels or numbers.
    mean : float, default 0.0
        For a regression, the mean over the training rows.
    scale : float, default 1.0
        For a regression, the standard deviation over the training rows, above 0; 1 if the rows are all equal.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.
    """

    name: str
    task: str
    mean: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, _CHECKS)


@dataclass(frozen=True)
class Table:
    """The encoding of a table's columns, computed from the training rows and stored with the model.

    Parameters
    ----------
    columns : tuple of Column
        The input columns, in the order in which the network takes them.
    target : Target
        The column to predict.

    Raises
    ------
    ValueError
        If there is no input column, or two columns have the same name.

    Examples
    --------
    >>> import pandas
    >>> frame = pandas.DataFrame({"size": [1.0, 3.0], "red": [True, False], "kind": ["a", "b"]})
    >>> table = Table.fit(frame, "kind", "classification")
    >>> table.features(frame).tolist(), table.targets(frame).tolist()
    ([[-1.0, 1.0], [1.0, 0.0]], ['a', 'b'])
    >>> Table.from_json(table.to_json()) == table
    True
    """

    columns: tuple[Column, ...]
    target: Target

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError(
                f"columns: got no column except the target {self.target.name!r}; at least one more is needed"
            )
        if len({self.target.name, *(column.name for column in self.columns)}) <= len(self.columns):
            raise ValueError("columns: got two columns with the same name; different names are accepted")

    @property
    def width(self) -> int:
        """The number of inputs of the network."""
        return sum(column.width for column in self.columns)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The names of the columns whose cells are read as text, whatever they look like."""
        return tuple(column.name for column in self.columns if column.kind == "categorical")

    @classmethod
    def fit(cls, frame: DataFrame, target: str, task: str) -> Table:
        """Compute the encoding of every column from the training rows.

        Parameters
        ----------
        frame : pandas.DataFrame of shape (rows, columns)
            The training rows, target included.
        target : str
            The column to predict; all others are inputs.
        task : {"classification", "regression"}
            Whether the target holds labels or numbers (see `choose_task`).

        Returns
        -------
        Table
            The encoding.

        Raises
        ------
        TypeError
            If `target` or `task` is not a string.
        ValueError
            If the column or the task is unknown, there are no rows or no other columns, or a column can't be used
            (see `Column.fit`).
        """
        target, task = choice(target, frame.columns, "target"), choice(task, TASKS, "task")
        if len(frame) == 0:
            raise ValueError("table: got no rows; at least one is needed")
        columns = tuple(Column.fit(frame[name]) for name in frame.columns if name != target)
        scaling = () if task == "classification" else _mean_and_scale(target, _numbers(frame[target]))
        return cls(columns, Target(target, task, *scaling))

    def features(self, frame: DataFrame) -> NDArray[np.float64]:
        """Return the network's inputs for the rows of a table.

        Parameters
        ----------
        frame : pandas.DataFrame of shape (rows, any)
            The rows; columns may be in any order, and unknown columns are ignored.

        Returns
        -------
        ndarray of shape (rows, width), float64
            The inputs.

        Raises
        ------
        ValueError
            If columns are missing, or a cell can't be used (see `Column.encode`).
        """
        missing = [column.name for column in self.columns if column.name not in frame.columns]
        if missing:
            raise ValueError(
                f"table: lacks {len(missing)} of the columns that the model was trained with: "
                f"{', '.join(map(repr, missing))}"
            )
        inputs = np.empty((len(frame), self.width))
        ends = np.cumsum([column.width for column in self.columns])
        for column, place in zip(self.columns, np.split(inputs, ends[:-1], axis=1), strict=True):
            place[:] = column.encode(frame[column.name])
        return inputs

    def targets(self, frame: DataFrame) -> NDArray:
        """Return the network's targets for the rows of a table.

        Parameters
        ----------
        frame : pandas.DataFrame of shape (rows, any)
            The rows, target included.

        Returns
        -------
        ndarray of shape (rows,)
            For a classification the labels: bool, int64 or str; for a regression float64,
            ``(value - mean) / scale``.

        Raises
        ------
        ValueError
            If a target is missing, or is not a finite number in a regression.
        """
        values = frame[self.target.name]
        if self.target.task == "regression":
            return (_numbers(values) - self.target.mean) / self.target.scale
        _refuse_cells(values, values.isna().to_numpy(), "a value in every row of the target")
        kind = _kind(values)
        if kind == "boolean":
            return _truth(values) == 1.0
        if kind == "numeric":
            numbers = _numbers(values)
            if np.all(np.abs(numbers) < 2.0**53) and np.all(numbers == np.floor(numbers)):
                return numbers.astype(np.int64)
        return _text(values).to_numpy(str)

    def predict(self, network: Network, frame: DataFrame) -> DataFrame:
        """Return a network's predictions for the rows of a table.

        Parameters
        ----------
        network : Network
            The network that was trained on this table's features.
        frame : pandas.DataFrame of shape (rows, any)
            The rows, as for `features`.

        Returns
        -------
        pandas.DataFrame of shape (rows, 1 or 1 + classes)
            Column ``prediction``: the label, or the number in the target's own unit. For a classification also
            ``probability_<label>`` for each label.

        Raises
        ------
        ValueError
            If the network doesn't fit the table, or the rows can't be used (see `features`).
        """
        labelled = network.classes_ is not None
        if network.sizes[0] != self.width or labelled != (self.target.task == "classification"):
            raise ValueError(
                f"table: makes {self.width} inputs for a {self.target.task}, which the network with "
                f"{network.sizes[0]} inputs is not; the model file is damaged"
            )
        features = self.features(frame)
        columns = {"prediction": network.predict(features)}
        if labelled:
            for label, column in zip(network.classes_, network.predict_proba(features).T, strict=True):
                columns[f"probability_{label}"] = column
        else:
            columns["prediction"] = self.target.mean + self.target.scale * columns["prediction"].astype(float).ravel()
        return _pandas().DataFrame(columns, index=frame.index)

    def to_json(self) -> str:
        """Return the table as JSON, for `from_json`.

        Returns
        -------
        str
            The JSON text.
        """
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Table:
        """Return the table of a JSON text, trusting nothing in the text.

        Parameters
        ----------
        text : str
            A result of `to_json`, or a stranger's text.

        Returns
        -------
        Table
            The table.

        Raises
        ------
        ValueError
            If the text isn't what `to_json` returns: other keys, types or kinds, numbers that are not finite, a
            scale that is not positive, names or categories that are not strings or that repeat.

        Examples
        --------
        >>> Table.from_json("{}")
        Traceback (most recent call last):
        ValueError: table: got the keys [], expected ['columns', 'target']; the model file is damaged
        """
        try:
            columns, target = _values(json.loads(text), cls)
            return cls(tuple(Column(*_values(column, Column)) for column in columns), Target(*_values(target, Target)))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"table: {error!s:.200}; the model file is damaged") from error


def choose_task(values: Series, task: str = "auto") -> tuple[str, str]:
    """Return whether a target is to be taken as labels or as numbers.

    Fractional numbers are a regression; text, categories, true and false are labels. Integers are labels if at most 2
    are different, or at most 20 and at most one per 20 rows; otherwise they are numbers.

    Parameters
    ----------
    values : pandas.Series of shape (rows,)
        The target of all rows.
    task : {"auto", "classification", "regression"}, default "auto"
        The task; ``"auto"`` decides by the values.

    Returns
    -------
    task : str
        ``"classification"`` or ``"regression"``.
    reason : str
        The reason, for a message.

    Raises
    ------
    TypeError
        If `task` is not a string.
    ValueError
        If a target is missing, `task` is unknown, or the labels are dates, more than 1000, all equal, or text that is
        different in every row.

    Examples
    --------
    >>> import pandas
    >>> choose_task(pandas.Series(["yes", "no", "yes"], name="buys"))
    ('classification', "target 'buys' holds text")
    """
    choice(task, ("auto", *TASKS), "task")
    _refuse_cells(values, values.isna().to_numpy(), "a value in every row of the target")
    task, reason = _task_of(values) if task == "auto" else (task, f"--task {task}")
    if task == "classification":
        labels = len(_categories(values)) if _kind(values) == "categorical" else values.nunique()
        if not 2 <= labels <= MAX_CATEGORIES:
            raise ValueError(
                f"target {str(values.name)!r}: got {labels} different labels; 2 to {MAX_CATEGORIES} are accepted; "
                "for numbers, take --task regression"
            )
    return task, reason


def read_table(path: str | PathLike[str], text_columns: tuple[str, ...] = ()) -> DataFrame:
    """Read a CSV file, or a Parquet file if its name ends in .parquet or .pq.

    Parameters
    ----------
    path : path-like
        The file. CSV is UTF-8, separated by commas, with a header; .gz, .bz2, .xz and .zip are unpacked.
    text_columns : tuple of str, default ()
        Columns whose cells are text, whatever they look like: ``01`` stays ``01``.

    Returns
    -------
    pandas.DataFrame of shape (rows, columns)
        The table, with its rows counted from 1.

    Raises
    ------
    OSError
        If the file can't be read.
    ValueError
        If the file isn't a table, has no rows, has rows longer than the header, or two columns with the same name.
    ImportError
        If pandas is not installed, or pyarrow for Parquet.
    """
    pandas, path = _pandas(), Path(path)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pandas.read_parquet(path).reset_index(drop=True)
        else:
            with warnings.catch_warnings():
                # If a row is longer than the header, pandas warns, and drops cells or shifts them to the left.
                warnings.simplefilter("error", pandas.errors.ParserWarning)
                frame = pandas.read_csv(
                    path,
                    dtype=dict.fromkeys(text_columns, str),
                    index_col=False,
                    low_memory=False,
                    encoding="utf-8-sig",
                )
    except pandas.errors.ParserWarning as warning:
        raise ValueError(f"{path}: got rows with more cells than the header; equal numbers are accepted") from warning
    except ValueError as error:
        raise ValueError(f"{path}: {error}; a table with a header is accepted, as CSV or Parquet") from error
    frame.columns = [str(name) for name in frame.columns]
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise ValueError(f"{path}: got two columns named {repeated[0]!r}; different names are accepted")
    if len(frame) == 0:
        raise ValueError(f"{path}: got no rows under the header; at least one is needed")
    frame.index = pandas.RangeIndex(1, len(frame) + 1)
    return frame


def split_table(
    frame: DataFrame, target: str, task: str, test_fraction: float, seed: int
) -> tuple[DataFrame, DataFrame]:
    """Return the training rows and the test rows of a table.

    The rows are shuffled, and every ``1 / test_fraction``-th row is taken for the test. In a classification whose
    classes have at least two rows each, the shuffled rows are first ordered by class: the test rows then hold the same
    fraction of each class, to within one row, and each class keeps at least one training row.

    Parameters
    ----------
    frame : pandas.DataFrame of shape (rows, columns)
        All rows.
    target : str
        The column to predict.
    task : {"classification", "regression"}
        Whether the column holds labels or numbers.
    test_fraction : float
        The fraction of the rows to test on, from 0 to 0.5.
    seed : int
        Seed of ``numpy.random.default_rng``.

    Returns
    -------
    training, test : pandas.DataFrame
        The two sets of rows, each in the order of the table.

    Raises
    ------
    TypeError
        If `test_fraction` is not a number, or `seed` is not a whole number.
    ValueError
        If `test_fraction` is not from 0 to 0.5, or `seed` is negative.

    Examples
    --------
    >>> import pandas
    >>> frame = pandas.DataFrame({"colour": list("rrrrbbbb"), "size": range(8)})
    >>> training, test = split_table(frame, "colour", "classification", test_fraction=0.25, seed=0)
    >>> len(training), test["colour"].tolist()
    (6, ['r', 'b'])
    """
    number(test_fraction, "test_fraction", maximum=0.5)
    rng = np.random.default_rng(whole(seed, "seed", minimum=0))
    order = rng.permutation(len(frame))
    if task == "classification":
        codes, labels = frame[target].factorize()
        if np.bincount(codes, minlength=len(labels)).min() >= 2:
            order = order[np.argsort(codes[order], kind="stable")]
    # In steps of test_fraction from a random start, a row is taken whenever a step passes a whole number.
    taken = np.diff(np.floor(rng.random() + test_fraction * np.arange(len(frame) + 1))) > 0
    return frame.iloc[np.sort(order[~taken])], frame.iloc[np.sort(order[taken])]


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError('tables are read with pandas, which is missing: pip install "fastmlp[cli]"') from error
    return pandas


def _kind(values: Series) -> str:
    """Return how a column is encoded; refuse a column that can't be."""
    types = _pandas().api.types
    inferred = types.infer_dtype(values, skipna=True)
    kind = "boolean" if types.is_bool_dtype(values.dtype) else KIND_OF.get(inferred)
    if kind is None:
        raise ValueError(
            f"column {str(values.name)!r}: got {inferred} values ({values.dtype}); numbers, true and false, and text "
            "are accepted; convert them (a date into year, month, day), or leave the column out (--ignore)"
        )
    return kind


def _text(values: Series) -> Series:
    """Return every cell as text; a missing cell is empty."""
    return values.astype(object).where(values.notna(), "").map(str)


def _numbers(values: Series) -> NDArray[np.float64]:
    """Return every cell as a finite number, or refuse the column."""
    _kind(values)
    numbers = _pandas().to_numeric(values.astype(object), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    _refuse_cells(values, ~np.isfinite(numbers), "a finite number")
    return numbers


def _truth(values: Series) -> NDArray[np.float64]:
    """Return every cell as 1 (true) or 0 (false), or refuse the column."""
    truth = _text(values).str.lower().map(TRUTH).to_numpy(np.float64)
    _refuse_cells(values, np.isnan(truth), "true or false")
    return truth


def _refuse_cells(values: Series, refused: NDArray[np.bool_], accepted: str) -> None:
    """Raise if a cell is refused, with the first one in the message."""
    if refused.any():
        first = int(np.argmax(refused))
        cell = values.iloc[first]
        got = "nothing" if _pandas().isna(cell) else repr(getattr(cell, "item", lambda: cell)())
        raise ValueError(
            f"column {str(values.name)!r}, row {values.index[first]}: got {got}; {accepted} is accepted; "
            f"{refused.sum()} of {len(values)} rows are refused: correct them or leave them out"
        )


def _categories(values: Series) -> tuple[str, ...]:
    """Return the categories of a column of text, sorted; refuse names, identifiers and dates."""
    name, categories = str(values.name), sorted(set(_text(values)))
    if len(categories) > MAX_CATEGORIES or len(categories) == len(values) > 1:
        raise ValueError(
            f"column {name!r}: got {len(categories)} different texts in {len(values)} rows; at most "
            f"{MAX_CATEGORIES}, of several rows each, are accepted; a name of a single row predicts nothing about "
            "other rows: leave the column out (--ignore)"
        )
    if all(DATE.fullmatch(category) for category in categories if category) and any(categories):
        raise ValueError(
            f"column {name!r}: got dates such as {categories[-1]!r}; numbers, true and false, and text are accepted; "
            "convert them into numbers (year, month, day), or leave the column out (--ignore)"
        )
    return tuple(categories)


def _mean_and_scale(name: str, numbers: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and the standard deviation of a column; 1 in place of a deviation of 0."""
    if numbers.min() == numbers.max():  # because rounding may give equal numbers a tiny deviation
        return float(numbers[0]), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(np.mean(numbers)), float(np.std(numbers))
    if not (np.isfinite([mean, scale]).all() and scale > 0.0):
        raise ValueError(
            f"column {name!r}: got numbers from {numbers.min():g} to {numbers.max():g}, whose standard deviation is "
            "out of the range of floats; convert them into another unit"
        )
    return mean, scale


def _task_of(values: Series) -> tuple[str, str]:
    """Return the task of a target by its values, and the reason."""
    kind, target = _kind(values), f"target {str(values.name)!r}"
    if kind != "numeric":
        return "classification", f"{target} holds {'text' if kind == 'categorical' else 'true and false'}"
    if not _pandas().api.types.is_integer_dtype(values.dtype):
        return "regression", f"{target} holds fractional numbers"
    labels = values.nunique()
    few = labels <= max(2, min(MAX_INTEGER_LABELS, len(values) / ROWS_PER_INTEGER_LABEL))
    return (
        "classification" if few else "regression",
        f"{target} holds {labels} different integers in {len(values):,} rows",
    )


def _values(content: Any, kind: type) -> list[Any]:
    """Return the values of a JSON object that has exactly the fields of a dataclass, in their order."""
    names = [field.name for field in fields(kind)]
    if not isinstance(content, dict):
        raise TypeError(f"got {type(content).__name__}, expected an object with the keys {names}")
    if set(content) != set(names):
        raise ValueError(f"got the keys {sorted(content)[:10]}, expected {names}")
    return [content[name] for name in names]
