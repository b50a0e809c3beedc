import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pytest

import fastmlp
from fastmlp import tables
from fastmlp.tables import Column, Table, Target


def frame_of(**columns):
    frame = pd.DataFrame(columns)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame


@pytest.fixture
def people():
    return frame_of(
        age=[20, 40, 60, 40],
        height=[1.5, 1.5, 1.5, 1.5],
        member=[True, False, True, True],
        town=["Ulm", "Jena", None, "Ulm"],
        buys=["yes", "no", "yes", "no"],
    )


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_features_of_every_kind_by_hand(people):
    table = Table.fit(people, "buys", "classification")
    spread = np.sqrt(200.0)  # of 20, 40, 60, 40: mean 40, variance (400 + 0 + 400 + 0) / 4
    expected = [
        # age, height (constant: scale 1), member, town "" (missing), Jena, Ulm
        [-20 / spread, 0, 1, 0, 0, 1],
        [0, 0, 0, 0, 1, 0],
        [20 / spread, 0, 1, 1, 0, 0],
        [0, 0, 1, 0, 0, 1],
    ]
    np.testing.assert_allclose(table.features(people), expected, rtol=1e-15)  # one division
    assert table.width == 6
    assert table.text_columns == ("town",)
    assert table.targets(people).tolist() == ["yes", "no", "yes", "no"]


def test_constant_column_of_an_inexact_number_keeps_scale_one():
    assert Column.fit(pd.Series([0.1] * 7, name="x")).scale == 1.0


def test_regression_target_is_standardised():
    frame = frame_of(x=[1, 2, 3], price=[10.0, 20.0, 60.0])
    table = Table.fit(frame, "price", "regression")
    targets = table.targets(frame)
    assert targets.mean() == pytest.approx(0.0, abs=1e-15)  # three numbers near 1: a rounding each
    assert targets.std() == pytest.approx(1.0, rel=1e-15)
    assert (table.target.mean, table.target.scale) == (30.0, pytest.approx(np.std([10, 20, 60])))


def test_columns_in_another_order_and_more_of_them(people):
    table = Table.fit(people, "buys", "classification")
    shuffled = people.assign(more="?")[["town", "more", "buys", "member", "height", "age"]]
    np.testing.assert_array_equal(table.features(shuffled), table.features(people))
    np.testing.assert_array_equal(table.features(people.drop(columns="buys")), table.features(people))


def test_missing_columns_are_named(people):
    table = Table.fit(people, "buys", "classification")
    with pytest.raises(ValueError, match="lacks 2 of the columns.*'age', 'town'"):
        table.features(people[["height", "member"]])


def test_unseen_categories_are_zeros_and_counted(people):
    table = Table.fit(people, "buys", "classification")
    later = people.assign(town=["Ulm", "Rom", "Rom", "Bern"])
    with pytest.warns(UserWarning, match=r"column 'town': 3 of 4 rows .*: 'Rom', 'Bern'; "):
        features = table.features(later)
    assert features[:, 3:].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, None, 3.0], "column 'x', row 2: got nothing; a finite number is accepted.*1 of 3 rows"),
        ([1.0, 2.0, np.inf], "column 'x', row 3: got inf"),
        ([None, None, None], "column 'x', row 1: got nothing"),
        ([True, None, False], "column 'x', row 2: got nothing; true or false is accepted"),
        (["a", "b", "c"], "column 'x': got 3 different texts in 3 rows.*--ignore"),
        (["2024-01-01", "2024-01-02", "2024-01-01"], "column 'x': got dates such as '2024-01-02'"),
        (["1.2.2024", "3.2.2024 10:30", "1.2.2024"], "column 'x': got dates"),
        (pd.to_datetime(["2024-01-01"] * 3), "column 'x': got datetime64 values"),
        (pd.to_timedelta([1, 2, 3]), "column 'x': got timedelta64 values"),
        ([datetime.date(2024, 1, 1)] * 3, "column 'x': got date values"),
        ([[1], [2], [3]], "column 'x': got mixed values"),
        ([b"a", b"b", b"a"], "column 'x': got bytes values"),
        ([1j, 2j, 3j], "column 'x': got complex values"),
        ([1e308, -1e308, 0.0], "column 'x': got numbers from -1e[+]308 to 1e[+]308"),
    ],
)
def test_columns_that_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Table.fit(frame_of(x=values, y=[0, 1, 0]), "y", "classification")


def test_too_many_categories_are_refused():
    text = [f"name {i % 1001}" for i in range(3000)]
    with pytest.raises(ValueError, match="column 'x': got 1001 different texts in 3000 rows"):
        Column.fit(pd.Series(text, name="x"))
    assert Column.fit(pd.Series(text[:1000] * 2, name="x")).width == 1000


def test_decimals_and_nullable_numbers_are_numbers():
    frame = frame_of(
        a=[decimal.Decimal("1.5"), decimal.Decimal("2.5")], b=pd.array([1, 3], dtype="Int64"), y=["u", "v"]
    )
    table = Table.fit(frame, "y", "classification")
    assert [(column.kind, column.mean) for column in table.columns] == [("numeric", 2.0), ("numeric", 2.0)]
    with pytest.raises(ValueError, match="column 'b', row 1: got nothing"):
        table.features(frame.assign(b=pd.array([None, 3], dtype="Int64")))


def test_cells_of_the_wrong_kind_are_refused_when_predicting(people):
    table = Table.fit(people, "buys", "classification")
    with pytest.raises(ValueError, match="column 'age', row 2: got 'old'; a finite number"):
        table.features(people.assign(age=["1", "old", "3", "4"]))
    with pytest.raises(ValueError, match="column 'member', row 1: got 'perhaps'; true or false"):
        table.features(people.assign(member=["perhaps", "true", "false", "true"]))
    with pytest.raises(ValueError, match="column 'age': got datetime64 values"):
        table.features(people.assign(age=pd.to_datetime(["2024-01-01"] * 4)))
    spelled = people.assign(member=["TRUE", "False", "1", "true"])
    np.testing.assert_array_equal(table.features(spelled), table.features(people))


def test_fit_refuses_what_leaves_nothing_to_learn(people):
    with pytest.raises(ValueError, match="target: got 'buy', expected one of .*did you mean 'buys'"):
        Table.fit(people, "buy", "classification")
    with pytest.raises(ValueError, match="no column except the target"):
        Table.fit(people[["buys"]], "buys", "classification")
    with pytest.raises(ValueError, match="got no rows"):
        Table.fit(people.iloc[:0], "buys", "classification")
    with pytest.raises(ValueError, match="task: got 'auto'"):
        Table.fit(people, "buys", "auto")


@pytest.mark.parametrize(
    ("values", "task", "reason"),
    [
        (["a", "b"] * 50, "classification", "holds text"),
        (pd.Categorical(["a", "b"] * 50), "classification", "holds text"),
        ([True, False] * 50, "classification", "holds true and false"),
        ([0.5, 1.0] * 50, "regression", "holds fractional numbers"),
        ([0, 1] * 2, "classification", "holds 2 different integers in 4 rows"),
        (list(range(5)) * 20, "classification", "holds 5 different integers in 100 rows"),
        (list(range(6)) * 19, "regression", "holds 6 different integers in 114 rows"),
        (list(range(20)) * 20, "classification", "holds 20 different integers in 400 rows"),
        (list(range(21)) * 30, "regression", "holds 21 different integers in 630 rows"),
    ],
)
def test_task_follows_from_the_target(values, task, reason):
    found, why = tables.choose_task(pd.Series(values, name="y"))
    assert found == task
    assert why == f"target 'y' {reason}"


def test_task_can_be_said():
    values = pd.Series([0, 1, 2], name="y")
    assert tables.choose_task(values, "regression") == ("regression", "--task regression")
    assert tables.choose_task(values, "classification")[0] == "classification"
    with pytest.raises(ValueError, match="task: got 'regresion'.*did you mean 'regression'"):
        tables.choose_task(values, "regresion")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, None, 2], "column 'y', row 1: got nothing; a value in every row of the target"),
        (["a", "a", "a"], "target 'y': got 1 different labels"),
        (["a", "b", "c"], "column 'y': got 3 different texts in 3 rows"),
    ],
)
def test_targets_that_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        tables.choose_task(pd.Series(values, name="y"))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([True, False], np.array([True, False])),
        ([3, 5], np.array([3, 5])),
        ([3.0, 5.0], np.array([3, 5])),
        ([0.5, 1.0], np.array(["0.5", "1.0"])),
        (["b", "a"], np.array(["b", "a"])),
        (pd.Categorical([2, 1]), np.array(["2", "1"])),
    ],
)
def test_labels_keep_their_type(values, labels):
    table = Table((Column("x", "numeric"),), Target("y", "classification"))
    found = table.targets(frame_of(x=[1, 2], y=values))
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(found, labels)


def test_split_is_seeded_and_stratified():
    frame = frame_of(y=["rare"] * 5 + ["common"] * 95, x=range(100))
    training, test = tables.split_table(frame, "y", "classification", 0.2, seed=1)
    assert (len(training), len(test)) == (80, 20)
    assert (test["y"] == "rare").sum() == 1
    assert sorted([*training.index, *test.index]) == list(range(1, 101))
    again = tables.split_table(frame, "y", "classification", 0.2, seed=1)[1]
    other = tables.split_table(frame, "y", "classification", 0.2, seed=2)[1]
    assert test.equals(again)
    assert not test.equals(other)


@pytest.mark.parametrize("seed", range(20))
def test_every_class_of_two_rows_keeps_one_for_training(seed):
    frame = frame_of(y=[row // 2 for row in range(20)])
    training, test = tables.split_table(frame, "y", "classification", 0.5, seed)
    assert sorted(training["y"]) == sorted(test["y"]) == list(range(10))


def test_split_of_numbers_and_of_single_rows():
    frame = frame_of(y=np.linspace(0, 1, 30))
    for task in ("regression", "classification"):  # the latter with classes of one row: nothing to stratify
        training, test = tables.split_table(frame, "y", task, 0.1, seed=0)
        assert (len(training), len(test)) == (27, 3)
    assert len(tables.split_table(frame, "y", "regression", 0.0, seed=0)[1]) == 0


@pytest.mark.parametrize("share", [0.6, -0.1, np.nan])
def test_split_refuses_a_share(share):
    with pytest.raises(ValueError, match="test_fraction: got"):
        tables.split_table(frame_of(y=[1.0, 2.0]), "y", "regression", share, seed=0)


def test_csv_keeps_text_and_counts_rows_from_one(tmp_path):
    path = write(tmp_path / "a.csv", "\ufeffcode,n\n01,1\n,2\nNA,3\n")
    frame = tables.read_table(path, ("code", "not there"))
    assert list(frame.index) == [1, 2, 3]
    assert list(frame.columns) == ["code", "n"]
    assert frame["code"].tolist()[0] == "01"
    assert frame["code"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "No columns to parse"),
        ("a,b\n", "no rows under the header"),
        ("a,b\n1,2,3\n4,5,6\n", "more cells than the header"),
        ("a,b\n1,2\n4,5,6\n", "Expected 2 fields in line 3, saw 3"),
    ],
)
def test_csv_files_that_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"a\.csv: .*{message}"):
        tables.read_table(write(tmp_path / "a.csv", text))


def test_bytes_that_are_no_table_are_refused(tmp_path):
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00PAR" * 50)
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            tables.read_table(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(OSError, match="nothing.csv"):
        tables.read_table(tmp_path / "nothing.csv")


def test_parquet_gives_what_csv_gives(tmp_path, people):
    people.to_parquet(tmp_path / "a.parquet")
    people.to_csv(tmp_path / "a.csv", index=False)
    of_parquet, of_csv = (tables.read_table(tmp_path / name) for name in ("a.parquet", "a.csv"))
    table = Table.fit(of_parquet, "buys", "classification")
    assert Table.fit(of_csv, "buys", "classification") == table
    np.testing.assert_array_equal(table.features(of_csv), table.features(of_parquet))


def test_without_pandas_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "fastmlp\[cli\]"'):
        tables.read_table(tmp_path / "a.csv")


def test_json_brings_back_the_same_table(people):
    for target, task in (("buys", "classification"), ("age", "regression")):
        table = Table.fit(people, target, task)
        again = Table.from_json(table.to_json())
        assert again == table
        np.testing.assert_array_equal(again.features(people), table.features(people))


def good():
    return {
        "columns": [
            {"name": "age", "kind": "numeric", "mean": 1.5, "scale": 2, "categories": []},
            {"name": "town", "kind": "categorical", "mean": 0, "scale": 1, "categories": ["", "Ulm"]},
        ],
        "target": {"name": "buys", "task": "classification", "mean": 0.0, "scale": 1.0},
    }


def changed(path, value):
    """Return the good table with the thing at a path of keys set, or taken out where the value is None."""
    table = good()
    place = table
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(table)


def test_json_written_by_hand_is_accepted():
    assert Table.from_json(json.dumps(good())).width == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "null",
        "1" * 5000,
        "[" * 100_000,
        changed(["columns"], None),
        changed(["columns"], []),
        changed(["columns"], {}),
        changed(["columns", 0], 3),
        changed(["more"], 1),
        changed(["columns", 0, "name"], 7),
        changed(["columns", 0, "name"], "town"),
        changed(["columns", 0, "name"], "buys"),
        changed(["columns", 0, "kind"], "integer"),
        changed(["columns", 0, "kind"], ["numeric"]),
        changed(["columns", 0, "mean"], None),
        changed(["columns", 0, "mean"], "1"),
        changed(["columns", 0, "mean"], True),
        changed(["columns", 0, "mean"], float("nan")),
        changed(["columns", 0, "mean"], float("inf")),
        changed(["columns", 0, "mean"], 10**400),
        changed(["columns", 0, "scale"], 0),
        changed(["columns", 0, "scale"], -1.0),
        changed(["columns", 0, "categories"], ["a"]),
        changed(["columns", 1, "categories"], []),
        changed(["columns", 1, "categories"], ["a", "a"]),
        changed(["columns", 1, "categories"], ["a", 1]),
        changed(["columns", 1, "categories"], "ab"),
        changed(["columns", 1, "categories"], [str(i) for i in range(1001)]),
        changed(["target"], "buys"),
        changed(["target", "task"], "clustering"),
        changed(["target", "scale"], "1"),
    ],
)
def test_json_of_a_stranger_is_refused(text):
    with pytest.raises(ValueError, match="table: .*model file is damaged"):
        Table.from_json(text)


def test_predictions_carry_labels_and_probabilities(people):
    table = Table.fit(people, "buys", "classification")
    features = table.features(people)
    network = fastmlp.train(features, table.targets(people), hidden=4, epochs=3, seed=0)
    predictions = table.predict(network, people)
    assert list(predictions.columns) == ["prediction", "probability_no", "probability_yes"]
    assert predictions["prediction"].tolist() == network.predict(features).tolist()
    # Two probabilities of a row are p and 1 - p: adding them up again costs a rounding.
    np.testing.assert_allclose(predictions.iloc[:, 1:].sum(axis=1), 1.0, rtol=1e-15)
    probable = predictions["probability_yes"] > 0.5
    assert (predictions["prediction"] == np.where(probable, "yes", "no")).all()


def test_predictions_of_a_regression_are_in_the_targets_unit(people):
    table = Table.fit(people, "age", "regression")
    features = table.features(people)
    network = fastmlp.train(features, table.targets(people), hidden=(), epochs=3, seed=0)
    predictions = table.predict(network, people)
    assert list(predictions.columns) == ["prediction"]
    expected = 40.0 + np.sqrt(200.0) * network.predict(features)
    np.testing.assert_allclose(predictions["prediction"], expected, rtol=1e-14)  # the square root, two operations


def test_a_network_of_another_table_is_refused(people):
    table = Table.fit(people, "buys", "classification")
    for sizes, classes in (((5, 1), ["no", "yes"]), ((6, 1), None)):
        network = fastmlp.Network(sizes, loss="binary_cross_entropy" if classes else "squared_error", classes=classes)
        with pytest.raises(ValueError, match="model file is damaged"):
            table.predict(network, people)
