"""Ready callbacks, metrics of an epoch, rates that follow the loss, and chunks of a stream."""

import csv
import io
import math
import pickle

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp import EarlyStopping, callbacks
from fastmlp.metrics import METRICS, Metric
from fastmlp.schedules import Adaptive, Memory, OnPlateau


def moons(rows=120, noise=0.3):
    return fastmlp.datasets.moons(rows, noise=noise, seed=0)


def fit(backend=None, X=None, y=None, **options):
    X, y = moons() if X is None else (X, y)
    given = {"hidden": 8, "learning_rate": 0.02, "epochs": 12, "batch_size": 32, "seed": 0, "validation": 0.3}
    return fastmlp.train(X, y, backend=backend, **given | options)


# ---- callbacks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 3, 5, 12, 50])
def test_every_kth_epoch_and_the_last(backend, every):
    seen = []
    net = fit(backend, callbacks=[callbacks.Every(every, lambda state: seen.append((state.epoch, state.loss)))])
    epochs = [epoch for epoch in range(1, 13) if epoch % every == 0 or epoch == 12]
    assert seen == [(epoch, net.history.loss[epoch - 1]) for epoch in epochs]
    np.testing.assert_array_equal(net.params, fit(backend).params)


def test_a_sleeping_callback_stops_and_closes():
    class Seen:
        closed = 0

        def __call__(self, state):
            return state.epoch == 6

        def close(self):
            Seen.closed += 1

    net = fit(callbacks=[callbacks.Every(3, Seen())])
    assert (len(net.history), net.history.stopped, Seen.closed) == (6, "Seen returned True", 1)


def test_callbacks_are_closed_where_one_fails():
    class Closes:
        closed = 0

        def __call__(self, state):
            raise RuntimeError("disk full")

        def close(self):
            Closes.closed += 1

    with pytest.raises(RuntimeError, match="disk full"):
        fit(callbacks=[Closes()])
    assert Closes.closed == 1


def test_a_callback_sees_the_network_that_is_trained():
    X, y = moons()
    seen = []

    def look(state):
        seen.append((state.network.score(X, y), [w.copy() for w in state.network.weights]))

    net = fit(callbacks=[look])
    assert seen[-1][0] == net.score(X, y)
    for w, last in zip(net.weights, seen[-1][1], strict=True):
        np.testing.assert_array_equal(w, last)


def test_a_log_has_a_line_an_epoch(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("old", encoding="utf-8")
    net = fit(callbacks=[callbacks.CSVLog(path)], metrics=["f1"])
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [
        "epoch",
        "seconds",
        "learning_rate",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "gradient_norm",
        "f1",
        "val_f1",
    ]
    assert [int(line["epoch"]) for line in lines] == list(range(1, 13))
    for name in ("loss", "val_loss", "gradient_norm", "learning_rate"):
        assert [float(line[name]) for line in lines] == getattr(net.history, name).tolist()
    assert [float(line["val_f1"]) for line in lines] == net.history.metrics["val_f1"].tolist()
    fit(callbacks=[callbacks.CSVLog(path, every=5)], validation=None, X=np.ones((9, 1)), y=np.arange(9.0))
    header, *rest = path.read_text(encoding="utf-8").splitlines()
    assert header == "epoch,seconds,learning_rate,loss,gradient_norm"
    assert [line.split(",")[0] for line in rest] == ["5", "10", "12"]


def test_checkpoints(tmp_path):
    net = fit(callbacks=[callbacks.Checkpoint(tmp_path / "net-{epoch}", every=5)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net-10", "net-12", "net-5"]
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "net-12").params, net.params)
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "net-5").params, fit(epochs=5).params)


@pytest.mark.parametrize("best", ["val_loss", "val_accuracy", "val_roc_auc"])
def test_the_best_checkpoint_is_kept(tmp_path, best):
    path = tmp_path / "best"
    rule = EarlyStopping(best, patience=100)
    net = fit(
        callbacks=[callbacks.Checkpoint(path, best=best)],
        metrics=["roc_auc"],
        early_stopping=rule,
        learning_rate=0.3,
        epochs=60,
        hidden=32,
    )
    np.testing.assert_array_equal(fastmlp.load(path).params, net.params)
    assert net.history.best_epoch < 60


def test_a_log_goes_on(tmp_path):
    path = tmp_path / "log.csv"
    log = callbacks.CSVLog(path, append=True)
    fit(callbacks=[log], epochs=2)
    first = path.read_bytes()
    fit(callbacks=[callbacks.Every(3, log)], epochs=4)
    assert path.read_bytes().startswith(first)
    fit(callbacks=[callbacks.CSVLog(str(path), append=True)], epochs=1)
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["epoch"] for line in lines] == ["1", "2", "3", "4", "1"]
    assert all(None not in line and None not in line.values() for line in lines)
    assert pickle.loads(pickle.dumps(log)).append is True


@pytest.mark.parametrize("keep", ["all", "no newline", "other newlines", "mark", "names", "nothing", "mark alone"])
def test_a_log_goes_on_below_whatever_ends_the_file(tmp_path, keep):
    path = tmp_path / "log.csv"
    log = callbacks.CSVLog(path, append=True)
    fit(callbacks=[log], epochs=2)
    text, mark = path.read_bytes(), b"\xef\xbb\xbf"  # a spreadsheet begins files with it
    content = {
        "all": text,
        "no newline": text[:-2],
        "other newlines": text.replace(b"\r\n", b"\n"),
        "mark": mark + text,
        "names": text.splitlines()[0],
        "nothing": b"",
        "mark alone": mark,
    }[keep]
    path.write_bytes(content)
    fit(callbacks=[log], epochs=1)
    assert path.read_bytes().startswith(content)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert len({len(row) for row in rows}) == 1
    assert [row[0] for row in rows] == ["epoch", *(["1", "2"] if b"\n" in content else []), "1"]


@pytest.mark.parametrize(
    "content",
    [b"epoch,seconds,loss\r\n1,0.5,0.25\r\n", b"old", b"\n", b"\xff\xfe\x00\x01" * 99, b"\0" * 300_000, b"a" * 300_000],
    ids=["fewer", "no log", "no first line", "no text", "zeros", "long"],
)
def test_a_log_of_other_columns_is_refused_before_the_training_run(tmp_path, content):
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    X, y = moons()
    net = fit(epochs=1, validation=None)
    before = net.params.copy()
    for log in (callbacks.CSVLog(path, append=True), callbacks.Every(2, callbacks.CSVLog(path, append=True))):
        with pytest.raises(
            ValueError, match=r"^path: got '.*log.csv' to append to, .* 'epoch,seconds,learning_rate,lo"
        ):
            net.train(X, y, epochs=2, callbacks=[log])
    np.testing.assert_array_equal(net.params, before)
    assert len(net.history) == 1
    assert path.read_bytes() == content


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("place", ["none/log.csv", "."])
def test_a_log_needs_a_folder(tmp_path, place, append):
    net = fit(epochs=1)
    with pytest.raises(FileNotFoundError, match="^path: got '.*'; a file in a folder that exists is accepted$"):
        net.train(*moons(), callbacks=[callbacks.CSVLog(tmp_path / place, append=append)])
    assert len(net.history) == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"validation": None},
        {"metrics": ["f1", "accuracy", Metric("a, b\n", lambda y, predicted: 0.5)]},
        {"X": np.ones((9, 1)), "y": np.arange(9.0), "metrics": ["r2", Metric("accuracy", lambda y, predicted: 0.5)]},
        {
            "optimizer": "lbfgs",
            "learning_rate": None,
            "batch_size": "full",
            "metrics": [Metric("f", lambda y, predicted: 0.5, training=False)],
        },
    ],
    ids=["all", "training rows", "metrics", "numbers", "lbfgs"],
)
def test_callbacks_hear_of_the_numbers_beforehand(options):
    class Names(callbacks.Callback):
        checked = called = None

        def check_numbers(self, names):
            assert self.called is None
            self.checked = list(names)

        def __call__(self, state):
            self.called = list(state.numbers())

    names = Names()
    fit(callbacks=[callbacks.Every(1, names)], epochs=2, **options)
    assert names.checked == names.called


def test_a_worse_network_replaces_no_better_file(tmp_path):
    best = callbacks.Checkpoint(tmp_path / "best-{epoch}", best="val_loss")
    net = fit(callbacks=[best], learning_rate=0.3, epochs=60, hidden=32)
    epoch = 1 + int(np.argmin(net.history.val_loss))
    saved = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert f"best-{epoch}" in saved
    fit(callbacks=[callbacks.Every(1, best)], epochs=2, learning_rate=1e-6)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == saved
    X, y = moons()
    net = fastmlp.load(tmp_path / f"best-{epoch}")
    net.train(X, y, validation=(X, y), callbacks=[best], epochs=200, learning_rate=0.01, seed=0)
    assert min(net.history.val_loss) < best._best_value + 1e-15, "a better one does"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} != saved


def test_what_could_not_be_saved_is_not_the_best(tmp_path):
    best = callbacks.Checkpoint(tmp_path / "folder" / "best", best="loss")
    with pytest.raises(FileNotFoundError):
        fit(callbacks=[best])
    (tmp_path / "folder").mkdir()
    net = fit(callbacks=[best], epochs=1)
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "folder" / "best").params, net.params)


@pytest.mark.parametrize("best", [None, "loss"])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, backend, best):
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    seen = []
    with pytest.warns(fastmlp.DivergenceWarning):
        fit(
            backend,
            X,
            1e3 * X.sum(axis=1),
            optimizer="sgd",
            learning_rate=1e37,
            batch_size="full",
            callbacks=[callbacks.Checkpoint(tmp_path / "x", best=best), lambda state: seen.append(state.params.copy())],
        )
    assert not np.isfinite(seen[0]).all(), "the loss is finite, and the step that follows it overflows"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_no_best_one(tmp_path, value):
    mine = Metric("mine", lambda y, predicted: value)
    fit(metrics=[mine], callbacks=[callbacks.Checkpoint(tmp_path / "x", best="val_mine")])
    assert not (tmp_path / "x").exists()


def test_a_bar_shows_how_far_it_is():
    pytest.importorskip("tqdm")
    text = io.StringIO()
    bar = callbacks.ProgressBar(every=4, file=text, ascii=True)
    fit(callbacks=[bar])
    assert "12.0/12.0" in text.getvalue()
    first = len(text.getvalue())
    fit(callbacks=[bar], validation=None, X=np.ones((9, 1)), y=np.arange(9.0))
    assert "loss=" in text.getvalue()[first:]
    assert "accuracy" not in text.getvalue()[first:]
    assert "val_" not in text.getvalue()[first:]


@pytest.mark.parametrize("show", ["progress", "callback"])
def test_a_bar_names_the_numbers_of_both_kinds_of_rows(show, capsys):
    pytest.importorskip("tqdm")
    net = fit(progress=True) if show == "progress" else fit(callbacks=[callbacks.ProgressBar()])
    shown = capsys.readouterr().err
    loss, val_loss, accuracy, val_accuracy = (
        getattr(net.history, name)[-1] for name in ("loss", "val_loss", "accuracy", "val_accuracy")
    )
    assert (
        f"loss={loss:.4g}, val_loss={val_loss:.4g}, accuracy={accuracy:.4f}, val_accuracy={val_accuracy:.4f}" in shown
    )


def test_a_bar_takes_a_progress():
    pytest.importorskip("tqdm")
    text = io.StringIO()
    bar = callbacks.ProgressBar(file=text)
    bar(fastmlp.Progress(0, 3, math.nan, math.nan, math.nan, math.nan))
    bar(fastmlp.Progress(3, 3, 0.5, None))
    bar.close()
    assert text.getvalue().rstrip().endswith(", loss=0.5]")
    assert "val_" not in text.getvalue()


def test_the_text_of_a_state():
    seen = []
    net = fit(callbacks=[lambda state: seen.append(repr(state))], metrics=["f1"])
    history = net.history
    assert seen[1].startswith(f"EpochState(epoch 2 of 12, learning_rate {history.learning_rate[1]:.4g}, loss ")
    assert seen[1].endswith(f", f1 {history.metrics['f1'][1]:.4g}, val_f1 {history.metrics['val_f1'][1]:.4g})")
    assert "\n" not in seen[1]
    assert "nan" not in seen[1]


def test_progress_true_shows_a_bar(capsys):
    pytest.importorskip("tqdm")
    net = fit(progress=True)
    assert "12.0/12.0" in capsys.readouterr().err
    np.testing.assert_array_equal(net.params, fit().params)
    assert fit(progress=False).history.stopped == ""


class Lazy:
    """Never wants to be called."""

    every = 0

    def __call__(self, state):
        """Do nothing."""


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: callbacks.Every(0, print), ValueError, "^every: got 0"),
        (lambda: callbacks.Every(2, 3), TypeError, "^callback: got 3"),
        (lambda: callbacks.CSVLog("x", every=1.5), TypeError, "^every: got 1.5"),
        (lambda: callbacks.CSVLog("x", append=1), TypeError, "^append: got 1"),
        (lambda: callbacks.Checkpoint("x", best=3), TypeError, "^best: got 3"),
        (
            lambda: fit(callbacks=[callbacks.Every(5, callbacks.Checkpoint("x", best="val_f1"))]),
            ValueError,
            r"^callbacks: got best 'val_f1', which is not measured; pass metrics=\['f1'\]",
        ),
        (lambda: fit(callbacks=[Lazy()]), ValueError, "^callbacks: every: got 0"),
        (lambda: fit(callbacks=[callbacks.CSVLog]), TypeError, "^callbacks: got the class CSVLog"),
        (
            lambda: fit(callbacks=[callbacks.Checkpoint("x", best="val_los")]),
            ValueError,
            "^callbacks: best: got 'val_los', expected one of .*; did you mean 'val_loss'",
        ),
    ],
)
def test_callbacks_check_themselves(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


# ---- metrics of an epoch -----------------------------------------------------------------------------------


def balance(y, predicted, sample_weight=None):
    """A measure of one's own: how often the second label is predicted."""
    return np.average(predicted == "yes", weights=sample_weight)


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_are_those_of_the_weights_after_the_epoch(backend, weighted):
    X, codes = moons()
    y = np.array(["no", "yes"])[codes]
    names = ["accuracy", "balanced_accuracy", "f1", "roc_auc"]
    weights = np.random.default_rng(0).uniform(0, 2, len(y)) if weighted else None
    seen = []
    net = fastmlp.train(
        X[:80],
        y[:80],
        hidden=6,
        epochs=5,
        seed=0,
        backend=backend,
        metrics=[*names, balance],
        sample_weight=None if weights is None else weights[:80],
        validation=(X[80:], y[80:], *([] if weights is None else [weights[80:]])),
        callbacks=[lambda state: seen.append((state.metrics, state.params.copy()))],
    )
    expected = {f"{part}{name}" for part in ("", "val_") for name in (*names, "balance")}
    assert net.history.metrics.keys() == expected
    for epoch, (given, params) in enumerate(seen):
        net.params = params
        for prefix, rows in (("", slice(80)), ("val_", slice(80, None))):
            kept = None if weights is None else weights[rows]
            for name in (*names, balance):
                value = net.score(X[rows], y[rows], kept, metric=name)
                name = getattr(name, "__name__", name)
                assert given[prefix + name] == net.history.metrics[prefix + name][epoch]
                assert given[prefix + name] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(net.history.metrics["val_accuracy"], net.history.val_accuracy, rtol=1e-6)


def test_scores_are_scikit_learns(normal):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    X, y = normal(200, 4), np.random.default_rng(0).integers(0, 3, 200)
    net = fastmlp.train(X, y, hidden=8, epochs=20, seed=0)
    predicted, probabilities = net.predict(X), net.predict_proba(X)
    weights = np.random.default_rng(1).uniform(0.1, 2, 200)
    limit = {"rel": 1e-12}  # the same sums in another order
    for given in (None, weights):
        expected = {
            "accuracy": sklearn_metrics.accuracy_score(y, predicted, sample_weight=given),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(y, predicted, sample_weight=given),
            "f1": sklearn_metrics.f1_score(y, predicted, average="macro", sample_weight=given),
            "roc_auc": sklearn_metrics.roc_auc_score(y, probabilities, multi_class="ovr", sample_weight=given),
        }
        for name, value in expected.items():
            assert net.score(X, y, given, metric=name) == pytest.approx(value, **limit), name
        losses = Metric("log_loss", sklearn_metrics.log_loss, given="scores", rises=False)
        assert net.score(X, y, given, metric=losses) == pytest.approx(
            sklearn_metrics.log_loss(y, probabilities, sample_weight=given), **limit
        )
    targets = np.c_[X[:, 0] + X[:, 1], X[:, 2] ** 2]
    numbers = fastmlp.train(X, targets, hidden=8, epochs=20, seed=0)
    outputs = numbers.predict(X)
    for given in (None, weights):
        assert numbers.score(X, targets, given) == pytest.approx(
            sklearn_metrics.r2_score(targets, outputs, sample_weight=given), **limit
        )
        for name, function in (("mse", "mean_squared_error"), ("mae", "mean_absolute_error"), ("r2", "r2_score")):
            value = getattr(sklearn_metrics, function)(targets, outputs, sample_weight=given)
            assert numbers.score(X, targets, given, metric=name) == pytest.approx(value, **limit), name


def test_a_weighted_score_is_that_of_repeated_rows(normal):
    X, counts = normal(60, 3), np.random.default_rng(0).integers(0, 4, 60)
    often = np.repeat(X, counts, axis=0)
    for y, names in (((X[:, 0] > 0).astype(int), [None, "f1", "roc_auc"]), (X[:, 0] ** 2, [None, "mse", "mae"])):
        net = fastmlp.train(X, y, hidden=5, epochs=5, seed=0)
        for name in names:
            value = net.score(often, np.repeat(y, counts), metric=name)
            assert net.score(X, y, counts, metric=name) == pytest.approx(value, rel=1e-12)


def test_stopping_looks_at_a_metric():
    rule = EarlyStopping("val_roc_auc", patience=4)
    net = fit(epochs=200, metrics=["roc_auc"], early_stopping=rule)
    values = net.history.metrics["val_roc_auc"]
    assert net.history.best_epoch == 1 + int(np.argmax(values)), "more is better"
    assert len(net.history) == net.history.best_epoch + 4
    X = np.random.default_rng(0).normal(size=(90, 3))
    errors = fit(X=X, y=X[:, 0] ** 2, epochs=300, metrics=["mae"], early_stopping=EarlyStopping("val_mae", patience=3))
    assert errors.history.best_epoch == 1 + int(np.argmin(errors.history.metrics["val_mae"])), "less is better"


def share(y, predicted, sample_weight=None):
    """A measure of one's own, which is the accuracy."""
    return np.average(y == predicted, weights=sample_weight)


def test_a_metric_of_validation_rows_alone_is_looked_at(tmp_path):
    chosen, seen = Metric("share", share, training=False), []
    net = fit(
        epochs=200,
        metrics=[chosen],
        early_stopping=EarlyStopping("val_share", patience=4),
        callbacks=[
            callbacks.CSVLog(tmp_path / "log.csv"),
            callbacks.Checkpoint(tmp_path / "best", best="val_share"),
            lambda state: seen.append(state.metrics),
        ],
    )
    values = net.history.metrics["val_share"]
    assert net.history.best_epoch == 1 + int(np.argmax(values)), "more is better"
    assert len(net.history) == net.history.best_epoch + 4
    assert net.history.stopped == "val_share has not improved for 4 epochs"
    assert seen == [{"val_share": value} for value in values]
    assert (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()[0].endswith(",gradient_norm,val_share")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "best").params, net.params)
    assert fit(metrics=[chosen], validation=None, epochs=2).history.metrics == {}


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": Adaptive(0.1, monitor="share")},
        {"callbacks": [callbacks.Checkpoint("x", best="share")]},
        {"early_stopping": EarlyStopping("share")},
    ],
    ids=["learning_rate", "callbacks", "early_stopping"],
)
def test_of_training_rows_it_has_no_number(options):
    with pytest.raises(ValueError, match="got (monitor )?'share'"):
        fit(metrics=[Metric("share", share, training=False)], epochs=5, **options)


X_ROWS, CODES = moons(60)
LABELS = np.array(["no", "yes"])[CODES]
THREE = np.arange(60) % 3
ONES = CODES == 1
ALIKE = np.c_[CODES, 1 - CODES, CODES]
# Rows to validate on whose areas are NaN whatever is predicted: their targets are all the same.
ONE_SIDED = {
    "labels": {"y": LABELS, "validation": (X_ROWS[ONES], LABELS[ONES])},
    "two classes, one of weight 0": {"y": CODES, "validation": (X_ROWS, CODES, np.where(ONES, 0.5, 0.0))},
    "three classes": {"y": THREE, "validation": (X_ROWS[THREE == 2], THREE[THREE == 2])},
    "one row": {"y": THREE, "validation": (X_ROWS[:1], THREE[:1])},
    "one-hot": {"y": np.eye(3)[THREE], "loss": "squared_error", "validation": (X_ROWS[:1], np.eye(3)[:1])},
    "hinge": {"y": CODES, "loss": "hinge", "validation": (X_ROWS[ONES], CODES[ONES])},
    "several labels": {"y": ALIKE, "validation": (X_ROWS[ONES], ALIKE[ONES])},
}
MONITORS = {
    "early_stopping": ("monitor", lambda name: {"early_stopping": EarlyStopping(name)}),
    "learning_rate": ("monitor", lambda name: {"learning_rate": Adaptive(0.1, monitor=name)}),
    "callbacks": ("best", lambda name: {"callbacks": [callbacks.Every(2, callbacks.Checkpoint("x", best=name))]}),
}


@pytest.mark.parametrize("argument", MONITORS)
@pytest.mark.parametrize("rows", ONE_SIDED)
@pytest.mark.parametrize("metric", ["roc_auc", Metric("area", METRICS["roc_auc"].function, given="scores")], ids=str)
def test_what_is_nan_for_the_rows_is_not_monitored(rows, argument, metric):
    name, (field, monitored) = getattr(metric, "name", metric), MONITORS[argument]
    options = ONE_SIDED[rows] | {"X": X_ROWS, "metrics": [metric], "epochs": 1}
    with pytest.raises(
        ValueError, match=f"^{argument}: got {field} 'val_{name}', which is NaN if all rows have the same"
    ):
        fit(**options | monitored(f"val_{name}"))
    assert np.isnan(fit(**options).history.metrics[f"val_{name}"]).all(), "measured, and not monitored, it is NaN"
    assert fit(**options | {"early_stopping": EarlyStopping(name)}).history.best_epoch == 1, (
        "of training rows it is not"
    )


def test_a_metric_of_ones_own_may_compare_rows():
    options = ONE_SIDED["labels"] | {"X": X_ROWS, "epochs": 1, "early_stopping": EarlyStopping("val_mine")}
    fit(**options, metrics=[Metric("mine", lambda y, predicted: 0.5)])
    with pytest.raises(ValueError, match="^early_stopping: got monitor 'val_mine', which is NaN if all rows"):
        fit(**options, metrics=[Metric("mine", lambda y, predicted: 0.5, compares_rows=True)])


def test_a_search_has_no_rate_to_monitor():
    options = {"optimizer": "lbfgs", "batch_size": "full"}
    for argument in ("early_stopping", "callbacks"):
        field, monitored = MONITORS[argument]
        with pytest.raises(ValueError, match=f"^{argument}: got {field} 'learning_rate' with optimizer 'lbfgs', which"):
            fit(**options | {"learning_rate": None} | monitored("learning_rate"))


def test_metrics_of_every_kind_of_targets(backend, normal):
    X = normal(60, 4)
    for y, loss, names in (
        ((X[:, :3] > 0).astype(int), None, ["accuracy", "f1", "roc_auc"]),
        ((X[:, :3] > 0).astype(int), "hinge", ["accuracy", "f1", "roc_auc"]),
        ((X[:, 0] > 0).astype(int), "hinge", ["balanced_accuracy", "f1", "roc_auc"]),
        (np.eye(3)[np.arange(60) % 3], "squared_error", ["accuracy", "f1", "roc_auc"]),
        (np.eye(2)[np.arange(60) % 2], "squared_error", ["accuracy", "roc_auc"]),
        (X[:, 0], "huber", ["mse", "mae", "r2"]),
        (np.abs(X[:, :2]), "gamma", ["mse", "mae", "r2"]),
    ):
        net = fastmlp.train(X, y, loss=loss, hidden=5, epochs=3, seed=0, metrics=names, backend=backend)
        for name in names:
            assert net.history.metrics[name][-1] == pytest.approx(net.score(X, y, metric=name), rel=1e-12)
            assert np.isfinite(net.history.metrics[name]).all()


def test_a_metric_of_a_network_that_diverges_is_nan(normal):
    with pytest.warns(fastmlp.DivergenceWarning):
        net = fastmlp.train(
            normal(40, 3),
            normal(40),
            hidden=(),
            optimizer="sgd",
            learning_rate=1e3,
            epochs=200,
            seed=0,
            metrics=["r2"],
            dtype="float32",
        )
    assert len(net.history.metrics["r2"]) == len(net.history)
    assert np.isnan(net.history.metrics["r2"][-1])


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"metrics": "f1"}, TypeError, "^metrics: got 'f1'; a list of names"),
        ({"metrics": ["f2"]}, ValueError, r"^metrics\[0\]: got 'f2', .*'f1', 'roc_auc'"),
        ({"metrics": ["mse"]}, ValueError, "^metrics: got 'mse' with targets of kind 'labels'; it goes with 'real'"),
        ({"metrics": ["f1", "f1"]}, ValueError, "^metrics: got 'f1' twice"),
        (
            {"metrics": [lambda y, p: 0.0], "sample_weight": np.ones(120)},
            ValueError,
            "^metrics: got '<lambda>', which takes no sample_weight",
        ),
        (
            {"early_stopping": EarlyStopping("val_f1")},
            ValueError,
            r"^early_stopping: got monitor 'val_f1', which is not measured; pass metrics=\['f1'\]",
        ),
        (
            {"learning_rate": OnPlateau(0.1, monitor="val_loss"), "validation": None},
            ValueError,
            "^learning_rate: got monitor 'val_loss' without validation rows",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_refused(options, kind, words):
    with pytest.raises(kind, match=words):
        fit(**options)


def test_every_metric_has_a_name_of_its_own():
    assert list(METRICS) == ["accuracy", "balanced_accuracy", "f1", "roc_auc", "mse", "mae", "r2"]


# ---- rates that follow the loss ----------------------------------------------------------------------------


def followed(schedule, losses):
    """The rate of every epoch, from the losses of those before."""
    memory, rates = Memory(schedule.rate), []
    for loss in losses:
        rates.append(memory.rate)
        schedule.look(memory, loss)
    return rates


@pytest.mark.parametrize(
    "schedule",
    [
        OnPlateau(0.1, factor=0.5, patience=1, threshold=0.02),
        OnPlateau(0.1, patience=2, cooldown=1, threshold=0.05, monitor="val_loss"),
        Adaptive(0.1, patience=1, threshold=0.01),
        Adaptive(0.05, divisor=2.0, patience=0, threshold=0.005),
    ],
    ids=repr,
)
def test_a_training_follows_its_losses(backend, schedule):
    net = fit(backend, learning_rate=schedule, epochs=60, optimizer="sgd", batch_size="full")
    expected = followed(schedule, getattr(net.history, schedule.monitor))
    np.testing.assert_array_equal(net.history.learning_rate, expected)
    assert net.history.learning_rate[-1] < 0.5 * schedule.rate
    # The rate that is written down is the rate that was used.
    X, y = moons()
    kept, _ = places.checked_rows.split(0.3, (X, y, None), places.task_of(net), 0)
    rows, codes = kept.x, kept.y
    twin = fastmlp.Network(net.sizes, loss=net.loss_name, seed=0, backend=backend)
    for rate in expected[: len(net.history)]:
        twin.train(rows, codes, optimizer="sgd", learning_rate=rate, batch_size="full", epochs=1)
    np.testing.assert_array_equal(twin.params, net.params)


def test_going_on_remembers_what_it_has_seen(backend):
    X, y = moons()
    options = {"learning_rate": OnPlateau(0.3, factor=0.5, patience=1), "optimizer": "sgd", "batch_size": "full"}
    whole, parts = (fastmlp.Network((2, 8, 1), loss="binary_cross_entropy", seed=0, backend=backend) for _ in range(2))
    whole.train(X, y, epochs=50, **options)
    for epochs in (1, 20, 29):
        parts.train(X, y, epochs=epochs, **options)
    np.testing.assert_array_equal(parts.history.learning_rate, whole.history.learning_rate)
    np.testing.assert_array_equal(parts.params, whole.params)
    # a schedule with other settings begins anew
    parts.train(X, y, epochs=1, **options | {"learning_rate": OnPlateau(0.3, patience=3)})
    assert parts.history.learning_rate[-1] == 0.3


def test_adaptive_ends_the_training():
    net = fit(learning_rate=Adaptive(1e-3, patience=1, threshold=10.0), epochs=500)
    # a drop every two epochs, from 1e-3 to 1e-6 by fives: 5 drops, and two more epochs at 3.2e-7
    assert net.history.stopped == "the learning rate has fallen to 3.2e-07"
    assert len(net.history) == 2 * 6 + 1
    np.testing.assert_allclose(sorted(set(net.history.learning_rate))[::-1], 1e-3 / 5.0 ** np.arange(6), rtol=1e-12)


# An Adaptive without a divisor: scikit-learn's rule of when to end, at a rate that stays.

SIGNS = {"loss": 1, "val_loss": 1, "accuracy": -1, "val_accuracy": -1, "r2": -1, "val_r2": -1, "val_mae": 1}


def ends(values, tolerance, patience, best=np.inf, count=0):
    """Behind how many epochs scikit-learn ends, as of numbers that are to fall; with what it goes on to remember."""
    for epoch, value in enumerate(values, 1):
        count = count + 1 if value > best - tolerance else 0
        best = min(best, value)
        if count > patience:
            return epoch, best, count
    return len(values), best, count


def noisy(backend, monitor, **options):
    """A training of labels, or of numbers, whose losses on rows of its own come to rise."""
    X, y = moons()
    if monitor.endswith(("r2", "mae")):
        y = X[:, 0] * X[:, 1] + np.random.default_rng(0).normal(0, 0.5, len(X))
    return fit(backend, X, y, **{"hidden": 24, "epochs": 60, "learning_rate": 0.03} | options)


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("monitor", SIGNS)
def test_a_plateau_ends_the_training_where_scikit_learn_does(backend, monitor, watched):
    metrics = [monitor.removeprefix("val_")] if monitor.endswith(("r2", "mae")) else []
    options = {"metrics": metrics, "callbacks": [lambda state: None] if watched else ()}
    whole = noisy(backend, monitor, **options)
    values = whole.history.metrics[monitor] if metrics else getattr(whole.history, monitor)
    lengths = set()
    for threshold, patience in ((0.0, 0), (0.0, 2), (1e-4, 4), (0.02, 3), (0.02, 7), (0.5, 10), (0.0, 59)):
        rule = Adaptive(0.03, divisor=None, patience=patience, threshold=threshold, monitor=monitor)
        net = noisy(backend, monitor, learning_rate=rule, **options)
        length, _, count = ends(SIGNS[monitor] * values, threshold, patience)
        assert len(net.history) == length, (threshold, patience)
        reason = f"{monitor} has not improved for {patience} epochs" if count > patience and length < 60 else ""
        assert net.history.stopped == reason
        assert places.schedule_memory(net).ended == (count > patience)
        np.testing.assert_array_equal(net.history.learning_rate, 0.03)
        np.testing.assert_array_equal(net.history.loss, whole.history.loss[:length])
        lengths.add(length)
    assert len(lengths) > 3, "the rules differ"


@pytest.mark.parametrize("watched", [False, True])
def test_the_best_weights_of_a_plateau_may_come_back(backend, watched):
    seen = []
    net = noisy(
        backend,
        "val_loss",
        learning_rate=Adaptive(0.03, divisor=None, patience=6, monitor="val_loss"),
        early_stopping=EarlyStopping("val_loss", patience=10**9),
        callbacks=[lambda state: seen.append(state.params.copy())] if watched else (),
    )
    best = int(np.argmin(net.history.val_loss))
    assert best + 1 == net.history.best_epoch < len(net.history) < 60
    assert net.history.stopped == "val_loss has not improved for 6 epochs"
    expected = seen[best] if watched else noisy(backend, "val_loss", epochs=best + 1).params
    np.testing.assert_array_equal(net.params, expected)


def test_a_plateau_is_remembered_from_training_to_training(backend):
    X, y = moons()
    rule = Adaptive(0.3, divisor=None, patience=3, threshold=2e-3)
    options = {"learning_rate": rule, "optimizer": "sgd", "batch_size": "full"}
    whole, parts = (fastmlp.Network((2, 8, 1), loss="binary_cross_entropy", seed=0, backend=backend) for _ in range(2))
    whole.train(X, y, epochs=200, **options)
    assert 10 < len(whole.history) < 150
    while len(parts.history) < len(whole.history):
        left = len(whole.history) - len(parts.history)
        parts.train(X, y, epochs=7, **options)
        assert len(parts.last_history) == min(7, left)
    np.testing.assert_array_equal(parts.params, whole.params)
    # Ended, it goes on counting where it stood: another epoch without an improvement ends it again.
    _, best, count = ends(whole.history.loss, 2e-3, 3)
    for _ in range(3):
        whole.train(X, y, epochs=9, **options)
        length, best, count = ends(whole.last_history.loss, 2e-3, 3, best, count)
        assert len(whole.last_history) == length == 1
    # With other settings too, where that is asked for: the estimators of scikit-learn do.
    places.remember_schedule(whole)
    whole.train(X, y, epochs=50, **options | {"learning_rate": Adaptive(0.2, divisor=None, patience=20, threshold=9.0)})
    length, *_ = ends(whole.last_history.loss, 9.0, 20, best, count)
    assert len(whole.last_history) == length == 20 - count + 1
    np.testing.assert_array_equal(whole.last_history.learning_rate, 0.2)
    whole.train(X, y, epochs=30, **options | {"learning_rate": Adaptive(0.2, divisor=None, patience=20, threshold=8.0)})
    assert len(whole.last_history) == 22, "by itself another rule begins anew: the first epoch is the best, 21 follow"


PLATEAU = OnPlateau(0.3, factor=0.5, patience=4, threshold=0.02)


@pytest.mark.parametrize(
    ("rule", "reset"),
    [(PLATEAU, False), (PLATEAU, True), (Adaptive(0.3, divisor=None, patience=4), False)],
    ids=["kind", "kind and state", "number"],
)
def test_a_rule_of_another_kind_or_number_begins_anew(rule, reset):
    X, y = moons()
    options = {"optimizer": "sgd", "batch_size": "full", "validation": (X[:30], y[:30]), "epochs": 30}
    net, twin = (fastmlp.Network((2, 8, 1), loss="binary_cross_entropy", seed=0) for _ in range(2))
    net.train(X, y, learning_rate=Adaptive(0.3, divisor=None, patience=3, monitor="val_accuracy"), **options)
    assert places.schedule_memory(net).ended
    if reset:
        net.reset_optimizer()
    twin.params = net.params
    for each in (net, twin):
        each.train(X, y, learning_rate=rule, **options)
    np.testing.assert_array_equal(net.last_history.learning_rate, twin.history.learning_rate)


def test_ends_by_hand():
    def looked(rule, losses):
        memory = Memory(rule.rate)
        for epoch, loss in enumerate(losses, 1):
            rule.look(memory, loss)
            if memory.ended:
                return epoch, memory.rate
        return None, memory.rate

    rule = Adaptive(0.5, divisor=None, patience=1, threshold=0.25)
    assert looked(rule, [1.0, 0.75, 0.5, 0.25]) == (None, 0.5), "a fall by the threshold itself is one"
    assert looked(rule, [1.0, 0.8, 0.6]) == (3, 0.5), "small ones move the best"
    assert looked(rule, [1.0, 0.8, 0.55, 0.5, 0.45]) == (5, 0.5), "the second is one, though not on the first"
    assert looked(rule, [1.0, 2.0, 0.75, 2.0, 0.5, 2.0, 2.0]) == (7, 0.5)
    nan = float("nan")
    assert looked(rule, [1.0, nan, nan]) == (3, 0.5), "NaN is no improvement"
    assert looked(rule, [nan, 1.0, nan, 0.75]) == (None, 0.5), "nor is it the best"


@pytest.mark.parametrize(
    ("monitor", "options", "words"),
    [
        (
            "val_f2",
            {},
            "monitor: got 'val_f2', expected one of 'learning_rate', 'loss', 'accuracy', 'val_loss', 'val_acc",
        ),
        ("val_f1", {}, r"got monitor 'val_f1', which is not measured; pass metrics=\['f1'\]"),
        ("val_r2", {"metrics": ["f1"]}, "got monitor 'val_r2', which is not measured"),
        ("seconds", {}, "monitor: got 'seconds', expected one of"),
        ("val_accuracy", {"validation": None}, "got monitor 'val_accuracy' without validation rows; pass validation="),
        ("val_f1", {"metrics": ["f1"], "validation": None}, "got monitor 'val_f1' without validation rows"),
        ("accuracy", {"X": np.ones((9, 1)), "y": np.arange(9.0)}, "got monitor 'accuracy' for regression"),
    ],
    ids=str,
)
def test_a_monitor_that_is_not_measured_is_refused(monitor, options, words):
    with pytest.raises(ValueError, match=f"^learning_rate: {words}"):
        fit(learning_rate=Adaptive(0.1, divisor=None, monitor=monitor), **options)


def test_plateaus_by_hand():
    losses = [1.0, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5]
    assert followed(OnPlateau(1.0, factor=0.5, patience=1), losses) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert followed(OnPlateau(1.0, factor=0.5, patience=1, final=0.4), losses)[-1] == 0.4
    # a threshold of 0.2 of the best: 0.9 is no improvement on 1.0, 0.5 is
    rates = followed(OnPlateau(1.0, factor=0.5, patience=2, threshold=0.2), losses)
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5]
    absolute = OnPlateau(1.0, factor=0.5, patience=2, threshold=0.05, relative=False)
    assert followed(absolute, losses) == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    nan = float("nan")
    assert followed(OnPlateau(1.0, factor=0.5, patience=0), [nan, nan, 1.0, 1.0]) == [1, 0.5, 0.25, 0.25]
    # Numbers that rise come with their sign reversed: -0.5 is no improvement on -0.5, nor -0.55 by a fifth.
    rule = OnPlateau(1.0, factor=0.5, patience=1, threshold=0.2)
    assert followed(rule, [-0.5, -0.5, -0.55, -0.61, -0.7]) == [1, 1, 1, 0.5, 0.5]
    # No positive loss can fall by more than all of itself; the first is the best even so.
    assert followed(OnPlateau(1.0, factor=0.5, patience=1, threshold=1.5), [1.0, 0.1, 0.1, 0.1]) == [1, 1, 1, 0.5]


def test_a_callback_takes_over_from_a_schedule():
    def push(state):
        if state.epoch == 5:
            state.learning_rate = 0.7

    net = fit(learning_rate=OnPlateau(0.1, patience=100), callbacks=[push])
    np.testing.assert_array_equal(net.history.learning_rate, [0.1] * 5 + [0.7] * 7)


@pytest.mark.parametrize(
    ("make", "settings", "kind", "words"),
    [
        (OnPlateau, {"factor": 1.0}, ValueError, "^factor: got 1.0"),
        (OnPlateau, {"patience": -1}, ValueError, "^patience"),
        (OnPlateau, {"relative": 1}, TypeError, "^relative: got 1"),
        (OnPlateau, {"cooldown": 0.5}, TypeError, "^cooldown"),
        (OnPlateau, {"monitor": None}, TypeError, "^monitor: got None"),
        (OnPlateau, {"threshold": -1}, ValueError, "^threshold"),
        (OnPlateau, {"final": -1}, ValueError, "^final"),
        (Adaptive, {"divisor": 1.0}, ValueError, "^divisor: got 1.0"),
        (Adaptive, {"threshold": None}, TypeError, "^threshold"),
        (Adaptive, {"patience": 1.5}, TypeError, "^patience: got 1.5"),
        (Adaptive, {"monitor": 1}, TypeError, "^monitor"),
    ],
)
def test_schedules_check_themselves(make, settings, kind, words):
    with pytest.raises(kind, match=words):
        make(0.1, **settings)


# ---- chunks of a stream ------------------------------------------------------------------------------------


def test_chunks_are_passes_with_the_optimizers_state(backend, dtype):
    X, y = moons(200)
    X = X.astype(dtype)
    options = {"loss": "binary_cross_entropy", "seed": 0, "dtype": dtype, "backend": backend}
    net, twin = (fastmlp.Network((2, 8, 1), **options) for _ in range(2))
    optimizer = fastmlp.SGD(momentum=0.9)
    for number, first in enumerate(range(0, 200, 50)):
        rows = slice(first, first + 50)
        given = {"optimizer": optimizer, "learning_rate": 0.05} if number == 0 else {}
        assert net.partial_train(X[rows], y[rows], batch_size=10, **given) is net
        twin.train(X[rows], y[rows], optimizer=optimizer, learning_rate=0.05, batch_size=10, epochs=1)
    np.testing.assert_array_equal(net.params, twin.params)
    assert len(net.history) == 4
    np.testing.assert_array_equal(net.history.learning_rate, 0.05)
    assert places.position(net, "step") == 20


def test_an_optimizer_that_goes_on_keeps_its_rate():
    X, y = moons(60)
    net = fastmlp.Network((2, 8, 1), loss="binary_cross_entropy", seed=0)
    for given in ({"learning_rate": 0.5}, {}, {"learning_rate": 0.2}, {}):
        net.partial_train(X, y, optimizer="sgd", **given)
    net.partial_train(X, y).partial_train(X, y, optimizer="adam").partial_train(X, y)
    np.testing.assert_array_equal(net.history.learning_rate, [0.5, 0.5, 0.2, 0.2, 0.2, 0.001, 0.001])


def test_one_chunk_again_and_again_is_a_training():
    X, y = moons(60)
    net, whole = (fastmlp.Network((2, 8, 1), loss="binary_cross_entropy", seed=0) for _ in range(2))
    for _ in range(6):
        net.partial_train(X, y, learning_rate=fastmlp.schedules.Exponential(0.01, 0.8), batch_size=20)
    whole.train(X, y, learning_rate=fastmlp.schedules.Exponential(0.01, 0.8), batch_size=20, epochs=6)
    np.testing.assert_array_equal(net.params, whole.params)
    np.testing.assert_array_equal(net.history.learning_rate, whole.history.learning_rate)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"epochs": 2}, TypeError, "^epochs: got it for one pass"),
        ({"class_weight": "balanced"}, ValueError, "^class_weight: got 'balanced' for a chunk"),
        ({"hidden": 3}, TypeError, "hidden"),
    ],
)
def test_what_chunks_cannot_have(options, kind, words):
    X, y = moons(20)
    net = fastmlp.Network((2, 3, 1), loss="binary_cross_entropy", seed=0)
    with pytest.raises(kind, match=words):
        net.partial_train(X, y, **options)
    with pytest.raises(ValueError, match="^y: got the unknown label 2"):
        net.partial_train(X, y + 1)
