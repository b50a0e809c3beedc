"""Tables: columns of any kind in, the numbers that a network takes out.

Reads CSV and Parquet files, learns from the training rows how to treat each column, and carries that
treatment with the model as JSON. The command line imports it, and so may users; it imports `_scalars`. pandas
is imported when it is first needed: the core does without.

Every message is one line: "argument: what came; what is accepted; what to do". Rows are counted from 1, the
first one under the header.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastmlp._scalars import choice, listing, number, whole

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from fastmlp.network import Network

__all__ = ["Column", "Table", "Target", "choose_task", "read_table", "split_table"]

TASKS = ("classification", "regression")
KINDS = ("numeric", "boolean", "categorical")
MOST_CATEGORIES = 1000
# What an integer target is, when nobody says: few values, each of many rows, are labels.
MOST_INTEGER_LABELS, ROWS_AN_INTEGER_LABEL = 20, 20
PARQUET = (".parquet", ".pq")
DATE = re.compile(r"(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{4}/\d{1,2}/\d{1,2})([ T]\d{1,2}:.*)?")
TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


@dataclass(frozen=True)
class Column:
    """How one input column becomes numbers.

    Parameters
    ----------
    name : str
        The column's name.
    kind : {"numeric", "boolean", "categorical"}
        ``"numeric"``: one input, ``(value - mean) / scale``. ``"boolean"``: one input, 0 or 1.
        ``"categorical"``: one input a category, 1 where the value is that category, otherwise 0.
    mean : float, default 0.0
        The mean over the training rows.
    scale : float, default 1.0
        The standard deviation over the training rows; 1 if they are all equal.
    categories : tuple of str, default ()
        The categories of the training rows, sorted. A missing value is the category ``""``.

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

    @property
    def width(self) -> int:
        """The number of inputs that the column becomes."""
        return len(self.categories) if self.kind == "categorical" else 1

    @classmethod
    def fit(cls, values: Series) -> Column:
        """Learn the treatment of a column from its training rows.

        Parameters
        ----------
        values : pandas.Series of shape (rows,)
            The training rows; its name is the column's.

        Returns
        -------
        Column
            The treatment.

        Raises
        ------
        ValueError
            If a number is missing or not finite, or the column holds dates, more than 1000 categories, text
            that is different in every row, or something that is neither number, true or false, nor text.

        Examples
        --------
        >>> import pandas
        >>> Column.fit(pandas.Series([1, 3], name="age"))
        Column(name='age', kind='numeric', mean=2.0, scale=1.0, categories=())
        """
        name, kind = str(values.name), _kind(values)
        if kind == "categorical":
            return cls(name, kind, categories=_categories(name, _text(values)))
        if kind == "boolean":
            _truth(values)
            return cls(name, kind)
        return cls(name, kind, *_mean_and_scale(name, _numbers(values)))

    def encode(self, values: Series) -> NDArray[np.float64]:
        """Return the inputs that a column becomes.

        Parameters
        ----------
        values : pandas.Series of shape (rows,)
            Rows of the column.

        Returns
        -------
        ndarray of shape (rows, width), float64
            The inputs. A category that the training rows did not hold is all zeros, with a UserWarning that
            counts them.

        Raises
        ------
        ValueError
            If a number is missing or not finite, or a value is not of the column's kind.

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
        return self._one_hot(_text(values))

    def _one_hot(self, text: Series) -> NDArray[np.float64]:
        codes = _pandas().Index(self.categories, dtype=object).get_indexer(text)
        unseen = codes < 0
        if unseen.any():
            warnings.warn(
                f"column {self.name!r}: {unseen.sum()} of {len(codes)} rows hold a category that the "
                f"training rows did not: {listing(dict.fromkeys(text[unseen]), limit=3)}; they count "
                "as none of the known ones",
                stacklevel=2,
            )
        inputs = np.zeros((len(codes), self.width))
        inputs[np.flatnonzero(~unseen), codes[~unseen]] = 1.0
        return inputs


@dataclass(frozen=True)
class Target:
    """What is predicted, and how.

    Parameters
    ----------
    name : str
        The column's name.
    task : {"classification", "regression"}
        What the column holds: labels, or numbers.
    mean : float, default 0.0
        Of a regression, the mean over the training rows.
    scale : float, default 1.0
        Of a regression, the standard deviation over the training rows; 1 if they are all equal.
    """

    name: str
    task: str
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Table:
    """The treatment of a table's columns, learned from the training rows and stored with the model.

    Parameters
    ----------
    columns : tuple of Column
        The input columns, in the order in which the network takes them.
    target : Target
        The column to predict.

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

    @property
    def width(self) -> int:
        """The number of inputs of the network."""
        return sum(column.width for column in self.columns)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The names of the columns whose cells are to be read as text, whatever they look like."""
        return tuple(column.name for column in self.columns if column.kind == "categorical")

    @classmethod
    def fit(cls, frame: DataFrame, target: str, task: str) -> Table:
        """Learn the treatment of every column from the training rows.

        Parameters
        ----------
        frame : pandas.DataFrame of shape (rows, columns)
            The training rows, target included.
        target : str
            The column to predict; all others are inputs.
        task : {"classification", "regression"}
            What the target holds (see `choose_task`).

        Returns
        -------
        Table
            The treatment.

        Raises
        ------
        TypeError
            If `target` or `task` is no string.
        ValueError
            If there is no such column or task, there are no rows or no other columns, or a column can't be
            used (see `Column.fit`).
        """
        target, task = choice(target, frame.columns, "target"), choice(task, TASKS, "task")
        if len(frame) == 0:
            raise ValueError("table: got no rows; at least one is needed")
        if frame.shape[1] == 1:
            raise ValueError(f"table: got no column but the target {target!r}; at least one more is needed")
        columns = tuple(Column.fit(frame[name]) for name in frame.columns if name != target)
        if task == "classification":
            return cls(columns, Target(target, task))
        return cls(columns, Target(target, task, *_mean_and_scale(target, _numbers(frame[target]))))

    def features(self, frame: DataFrame) -> NDArray[np.float64]:
        """Return the network's inputs for the rows of a table.

        Parameters
        ----------
        frame : pandas.DataFrame of shape (rows, any)
            The rows; columns may stand in any order, and those that the table does not know are left out.

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
        start = 0
        for column in self.columns:
            inputs[:, start : start + column.width] = column.encode(frame[column.name])
            start += column.width
        return inputs

    def targets(self, frame: DataFrame) -> NDArray:
        """Return what the network is trained towards.

        Parameters
        ----------
        frame : pandas.DataFrame of shape (rows, any)
            The rows, target included.

        Returns
        -------
        ndarray of shape (rows,)
            Of a classification the labels: bool, int64 or str; of a regression float64,
            ``(value - mean) / scale``.

        Raises
        ------
        ValueError
            If a target is missing, or is no finite number in a regression.
        """
        values = frame[self.target.name]
        if self.target.task == "classification":
            return _labels(values)
        return (_numbers(values) - self.target.mean) / self.target.scale

    def predict(self, network: Network, frame: DataFrame) -> DataFrame:
        """Return what a network says about the rows of a table.

        Parameters
        ----------
        network : Network
            The network that was trained on this table's features.
        frame : pandas.DataFrame of shape (rows, any)
            The rows, as for `features`.

        Returns
        -------
        pandas.DataFrame of shape (rows, 1 or 1 + classes)
            Column ``prediction``: the label, or the number in the target's own unit. Of a classification also
            ``probability_<label>`` for each label.

        Raises
        ------
        ValueError
            If the network doesn't go with the table, or the rows can't be used (see `features`).
        """
        labelled = network.classes_ is not None
        if network.sizes[0] != self.width or labelled != (self.target.task == "classification"):
            raise ValueError(
                f"table: makes {self.width} inputs for a {self.target.task}, which the network with "
                f"{network.sizes[0]} inputs is not; the model file is damaged"
            )
        features = self.features(frame)
        predicted = network.predict(features)
        if not labelled:
            predicted = self.target.mean + self.target.scale * np.asarray(predicted, float).reshape(-1)
        columns = {"prediction": predicted}
        if labelled:
            probabilities = network.predict_proba(features)
            for label, probability in zip(network.classes_, probabilities.T, strict=True):
                columns[f"probability_{label}"] = probability
        return _pandas().DataFrame(columns, index=frame.index)

    def to_json(self) -> str:
        """Write the treatment down as JSON, from which `from_json` makes it again.

        Returns
        -------
        str
            The JSON text.
        """
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Table:
        """Make a table from JSON, trusting nothing in it.

        Parameters
        ----------
        text : str
            What `to_json` returned, or a stranger wrote.

        Returns
        -------
        Table
            The treatment.

        Raises
        ------
        ValueError
            If it isn't what `to_json` returns: other keys, types or kinds, numbers that are not finite, a
            scale that is not positive, names or categories that are not strings or come twice.

        Examples
        --------
        >>> Table.from_json("{}")
        Traceback (most recent call last):
        ValueError: table: got the keys [], expected ['columns', 'target']; the model file is damaged
        """
        try:
            content = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"table: is not JSON ({error}); the model file is damaged") from error
        columns, target = _fields(content, ("columns", "target"))
        if not isinstance(columns, list) or not columns:
            _damaged("got no list of columns")
        columns = tuple(_column_from_json(column) for column in columns)
        table = cls(columns, _target_from_json(target))
        if len({table.target.name, *(column.name for column in columns)}) != len(columns) + 1:
            _damaged("got two columns of one name")
        return table


def choose_task(values: Series, task: str = "auto") -> tuple[str, str]:
    """Decide whether a target holds labels or numbers.

    Fractional numbers are a regression; text, categories, true and false are labels. Integers are labels if
    there are at most 2 different ones, or at most 20 and at most one for every 20 rows; otherwise they are
    numbers.

    Parameters
    ----------
    values : pandas.Series of shape (rows,)
        The target of all rows.
    task : {"auto", "classification", "regression"}, default "auto"
        What to take it for; ``"auto"`` decides.

    Returns
    -------
    task : str
        ``"classification"`` or ``"regression"``.
    reason : str
        Why, for people.

    Raises
    ------
    TypeError
        If `task` is no string.
    ValueError
        If a target is missing, `task` is unknown, or the labels are dates, more than 1000, all equal, or text
        that is different in every row.

    Examples
    --------
    >>> import pandas
    >>> choose_task(pandas.Series(["yes", "no", "yes"], name="buys"))
    ('classification', "target 'buys' holds text")
    """
    choice(task, ("auto", *TASKS), "task")
    _refuse_missing(values)
    reason = f"--task {task}"
    if task == "auto":
        task, reason = _task_of(values)
    if task == "classification":
        name = str(values.name)
        labels = len(_categories(name, _text(values))) if _kind(values) == "categorical" else values.nunique()
        if not 2 <= labels <= MOST_CATEGORIES:
            raise ValueError(
                f"target {name!r}: got {labels} different labels; 2 to {MOST_CATEGORIES} are "
                "accepted; numbers may want --task regression"
            )
    return task, reason


def read_table(path: str | PathLike[str], text_columns: tuple[str, ...] = ()) -> DataFrame:
    """Read a CSV file, or a Parquet file if its name ends in .parquet or .pq.

    Parameters
    ----------
    path : path-like
        The file. CSV is UTF-8, separated by commas, with a header; pandas unpacks .gz, .bz2, .xz and .zip.
    text_columns : tuple of str, default ()
        Columns whose cells are text, whatever they look like: ``01`` stays ``01``.

    Returns
    -------
    pandas.DataFrame of shape (rows, columns)
        Its rows are counted from 1.

    Raises
    ------
    OSError
        If the file can't be read.
    ValueError
        If it isn't a table, has no rows, rows longer than the header, or two columns of one name.
    ImportError
        If pandas is not installed, or pyarrow for Parquet.
    """
    pandas, path = _pandas(), Path(path)
    try:
        if path.suffix.lower() in PARQUET:
            frame = pandas.read_parquet(path).reset_index(drop=True)
        else:
            frame = _read_csv(pandas, path, text_columns)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; a table with a header is accepted, as CSV or Parquet") from error
    frame.columns = [str(name) for name in frame.columns]
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"{path}: got two columns named {twice!r}; every column needs a name of its own")
    if len(frame) == 0:
        raise ValueError(f"{path}: got no rows under the header; at least one is needed")
    frame.index = pandas.RangeIndex(1, len(frame) + 1)
    return frame


def split_table(
    frame: DataFrame, target: str, task: str, test_fraction: float, seed: int
) -> tuple[DataFrame, DataFrame]:
    """Divide a table into training rows and test rows.

    The rows are shuffled, and every ``1 / test_fraction``-th is taken for the test. In a classification whose
    classes have two rows or more each, the shuffled rows are first ordered by class: each class then gives
    its share, to within one row, and keeps at least one row for training.

    Parameters
    ----------
    frame : pandas.DataFrame of shape (rows, columns)
        All rows.
    target : str
        The column to predict.
    task : {"classification", "regression"}
        What it holds.
    test_fraction : float
        The share of the rows to test on, from 0 to 0.5.
    seed : int
        Seed of ``numpy.random.default_rng``.

    Returns
    -------
    training, test : pandas.DataFrame
        The rows of either, in their first order.

    Raises
    ------
    TypeError
        If `test_fraction` is no number, or `seed` no whole number.
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
    if number(test_fraction, "test_fraction") > 0.5:
        raise ValueError(
            f"test_fraction: got {test_fraction!r}, expected a number from 0 to 0.5; at least half of the rows "
            "are for training"
        )
    rng = np.random.default_rng(whole(seed, "seed", minimum=0))
    order = rng.permutation(len(frame))
    if task == "classification":
        codes, labels = frame[target].factorize()
        if np.bincount(codes, minlength=len(labels)).min() >= 2:
            order = order[np.argsort(codes[order], kind="stable")]
    # Steps of test_fraction from a random start: a row is taken where they pass a whole number.
    steps = rng.random() + test_fraction * np.arange(len(frame) + 1)
    taken = np.diff(np.floor(steps)) > 0
    return frame.iloc[np.sort(order[~taken])], frame.iloc[np.sort(order[taken])]


def _pandas() -> ModuleType:
    try:
        import pandas
    except ImportError as error:
        raise ImportError('tables are read with pandas, which is missing: pip install "fastmlp[cli]"') from error
    return pandas


def _read_csv(pandas: ModuleType, path: Path, text_columns: tuple[str, ...]) -> DataFrame:
    cells = dict.fromkeys(text_columns, str)
    with warnings.catch_warnings():
        # A row longer than the header: pandas would drop its last cells, or shift the others to the left.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            return pandas.read_csv(path, dtype=cells, index_col=False, low_memory=False, encoding="utf-8-sig")
        except pandas.errors.ParserWarning as warning:
            raise ValueError("the rows have more cells than the header") from warning


def _kind(values: Series) -> str:
    """Return how a column is to be treated; refuse one that can't be."""
    types, dtype = _pandas().api.types, values.dtype
    inferred = types.infer_dtype(values, skipna=True)
    if types.is_bool_dtype(dtype) or inferred == "boolean":
        return "boolean"
    if inferred in ("integer", "floating", "mixed-integer-float", "decimal", "empty"):
        return "numeric"
    if inferred in ("string", "categorical", "mixed-integer"):
        return "categorical"
    raise ValueError(
        f"column {str(values.name)!r}: got {inferred} values ({dtype}); numbers, true and false, and "
        "text are accepted; turn them into such (a date into year, month, day), or leave the "
        "column out (--ignore)"
    )


def _text(values: Series) -> Series:
    """Return every cell as text; a missing one is empty."""
    return values.astype(object).where(values.notna(), "").map(str)


def _numbers(values: Series) -> NDArray[np.float64]:
    """Return every cell as a finite number; refuse the column at the first one that isn't."""
    _kind(values)
    numbers = _pandas().to_numeric(values.astype(object), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    _refuse_cells(values, ~np.isfinite(numbers), "a finite number")
    return numbers


def _truth(values: Series) -> NDArray[np.float64]:
    """Return every cell as 1 (true) or 0 (false); refuse the column at the first one that is neither."""
    truth = _text(values).str.lower().map(TRUTH).to_numpy(np.float64)
    _refuse_cells(values, np.isnan(truth), "true or false")
    return truth


def _labels(values: Series) -> NDArray:
    """Return every cell as a label: bool, int64 or str."""
    _refuse_missing(values)
    kind = _kind(values)
    if kind == "boolean":
        return _truth(values) == 1.0
    if kind == "numeric":
        numbers = _numbers(values)
        if np.all(np.abs(numbers) < 2.0**53) and np.all(numbers == np.floor(numbers)):
            return numbers.astype(np.int64)
    return _text(values).to_numpy(str)


def _refuse_missing(values: Series) -> None:
    _refuse_cells(values, values.isna().to_numpy(), "a value in every row of the target")


def _refuse_cells(values: Series, refused: NDArray[np.bool_], accepted: str) -> None:
    if refused.any():
        first = int(np.argmax(refused))
        cell = values.iloc[first]
        got = "nothing" if _pandas().isna(cell) else repr(getattr(cell, "item", lambda: cell)())
        raise ValueError(
            f"column {str(values.name)!r}, row {values.index[first]}: got {got}; {accepted} is "
            f"accepted; {refused.sum()} of {len(values)} rows are like that: mend them or leave "
            "them out"
        )


def _categories(name: str, text: Series) -> tuple[str, ...]:
    """Return the categories of a column of text, sorted; refuse names, numbers of things, and dates."""
    categories = sorted(set(text))
    if len(categories) > MOST_CATEGORIES or len(categories) == len(text) > 1:
        raise ValueError(
            f"column {name!r}: got {len(categories)} different texts in {len(text)} rows; at most "
            f"{MOST_CATEGORIES}, of several rows each, are accepted; what tells single rows apart "
            "teaches nothing about others: leave the column out (--ignore)"
        )
    if all(DATE.fullmatch(category) for category in categories if category) and any(categories):
        raise ValueError(
            f"column {name!r}: got dates such as {categories[-1]!r}; numbers, true and false, and "
            "text are accepted; turn them into numbers (year, month, day), or leave the column out "
            "(--ignore)"
        )
    return tuple(categories)


def _mean_and_scale(name: str, numbers: NDArray[np.float64]) -> tuple[float, float]:
    if numbers.min() == numbers.max():  # rounding would make the deviation of equal numbers tiny instead of 0
        return float(numbers[0]), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(np.mean(numbers)), float(np.std(numbers))
    if not (math.isfinite(mean) and math.isfinite(scale) and scale > 0.0):
        raise ValueError(
            f"column {name!r}: got numbers from {numbers.min():g} to {numbers.max():g}, whose "
            "standard deviation is past the range of floats; bring them into another unit"
        )
    return mean, scale


def _task_of(values: Series) -> tuple[str, str]:
    kind, target = _kind(values), f"target {str(values.name)!r}"
    if kind != "numeric":
        return "classification", f"{target} holds {'text' if kind == 'categorical' else 'true and false'}"
    if not _pandas().api.types.is_integer_dtype(values.dtype):
        return "regression", f"{target} holds fractional numbers"
    labels = values.nunique()
    few = labels <= 2 or labels <= min(MOST_INTEGER_LABELS, len(values) / ROWS_AN_INTEGER_LABEL)
    return (
        "classification" if few else "regression",
        f"{target} holds {labels} different integers in {len(values):,} rows",
    )


def _damaged(what: str) -> NoReturn:
    raise ValueError(f"table: {what}; the model file is damaged")


def _fields(content: Any, names: tuple[str, ...]) -> list[Any]:
    """Return the named fields of a JSON object that has these and no others."""
    if not isinstance(content, dict):
        _damaged(f"got {type(content).__name__} where an object with the keys {list(names)} is expected")
    if set(content) != set(names):
        _damaged(f"got the keys {sorted(content)[:10]}, expected {list(names)}")
    return [content[name] for name in names]


def _column_from_json(content: Any) -> Column:
    name, kind, mean, scale, categories = _fields(content, ("name", "kind", "mean", "scale", "categories"))
    if not isinstance(name, str) or kind not in KINDS:
        _damaged("got a column whose name or kind is unknown")
    if not isinstance(categories, list) or not all(isinstance(category, str) for category in categories):
        _damaged(f"got categories of column {name!r} that are not a list of strings")
    wanted = range(1, MOST_CATEGORIES + 1) if kind == "categorical" else (0,)
    if len(set(categories)) != len(categories) or len(categories) not in wanted:
        _damaged(f"got {len(categories)} categories of the {kind} column {name!r}, or some twice")
    return Column(name, kind, *_mean_and_scale_from_json(mean, scale), tuple(categories))


def _target_from_json(content: Any) -> Target:
    name, task, mean, scale = _fields(content, ("name", "task", "mean", "scale"))
    if not isinstance(name, str) or task not in TASKS:
        _damaged("got a target whose name or task is unknown")
    return Target(name, task, *_mean_and_scale_from_json(mean, scale))


def _mean_and_scale_from_json(mean: Any, scale: Any) -> tuple[float, float]:
    try:
        return number(mean, "mean", minimum=-math.inf), number(scale, "scale", above=0.0)
    except (TypeError, ValueError) as error:
        raise ValueError(f"table: {error}; the model file is damaged") from error
