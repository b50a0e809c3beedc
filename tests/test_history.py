"""History: its lengths, its text, and how histories join."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from fastmlp import History

MEASURES = ("accuracy", "val_loss", "val_accuracy")
NOTES = ("layer_epochs", "layer_gradient_norms", "layer_activations")
ALWAYS = ("loss", "learning_rate", "gradient_norm", "seconds")


def history(epochs: int, first: float = 0.0, **changes) -> History:
    """A history of rising numbers, all measures in it unless changed."""
    names = (*ALWAYS, *MEASURES)
    fields = {name: first + number + np.arange(epochs) / 100 for number, name in enumerate(names)}
    return History(**(fields | changes))


def test_an_empty_history():
    empty = History()
    assert len(empty) == 0
    assert repr(empty) == "History(0 epochs)"
    assert [getattr(empty, name) for name in MEASURES] == [None] * 3
    assert all(getattr(empty, name).shape == (0,) for name in ALWAYS)
    assert empty.frames == []
    assert empty.frames is not History().frames


def test_the_text_shows_the_last_epoch():
    plain = {"accuracy": np.array([0.1, 0.2, 0.98765]), "val_loss": None, "val_accuracy": None}
    assert repr(history(3, **plain)) == "History(3 epochs, loss 0.02, accuracy 0.9877)"
    assert repr(History(np.array([np.nan]))) == "History(1 epoch, loss nan)"
    every = history(2, metrics={"f1": np.array([0.0, 0.5])}, stopped="a callback returned True")
    assert repr(every) == (
        "History(2 epochs, loss 0.01, accuracy 4.01, val_loss 5.01, val_accuracy 6.01, f1 0.5; "
        "stopped: a callback returned True)"
    )


def test_the_table_shows_the_first_and_the_last_epoch():
    page = history(2, val_loss=None, metrics={"<b>": np.array([0.0, 0.5])}, stopped="a & b")._repr_html_()
    assert page.startswith("<table><caption>History: 2 epochs in 6.01 s; stopped: a &amp; b</caption>")
    assert "<tr><td>epoch</td><td>1</td><td>2</td></tr><tr><td>loss</td><td>0</td><td>0.01</td></tr>" in page
    assert "<td>&lt;b&gt;</td><td>0</td><td>0.5</td>" in page
    assert "val_loss" not in page
    assert "History: 0 epochs in 0 s" in History()._repr_html_()
    assert not re.findall(r"style|color|class|href|src|script", page), (
        "the page's own colours, and nothing from outside"
    )


def test_to_dict_has_arrays_of_one_length():
    every = history(3, metrics={"f1": np.ones(3), "val_f1": np.zeros(3)}, frames=[(0, np.zeros(2))], best_epoch=2)
    assert list(every.to_dict()) == [
        *("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "gradient_norm", "seconds"),
        *("f1", "val_f1"),
    ]
    assert every.to_dict()["epoch"].tolist() == [1, 2, 3]
    assert every.to_dict()["val_loss"] is every.val_loss
    assert {len(values) for values in every.to_dict().values()} == {3}
    without = history(3, val_loss=None, val_accuracy=None, accuracy=None).to_dict()
    assert list(without) == ["epoch", "loss", "learning_rate", "gradient_norm", "seconds"]
    assert list(History(np.zeros(2)).to_dict()) == ["epoch", "loss"], "made by hand, without the others"
    assert {name: values.shape for name, values in History().to_dict().items()} == dict.fromkeys(without, (0,))


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_to_dict_makes_a_data_frame(epochs):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame((history(epochs) if epochs else History()).to_dict())
    assert frame.epoch.tolist() == [*range(1, epochs + 1)]
    assert frame.loss.tolist() == [number / 100 for number in range(epochs)]


@pytest.mark.parametrize(("epochs", "later"), [(1, 1), (3, 2), (2, 5)])
def test_extended_joins_every_entry(epochs, later):
    one, other = history(epochs, frames=[(0, np.zeros(2))]), history(later, first=10, frames=[(5, np.ones(2))])
    joined = one.extended(other)
    assert len(joined) == epochs + later
    for name in (*ALWAYS, *MEASURES):
        np.testing.assert_array_equal(getattr(joined, name), [*getattr(one, name), *getattr(other, name)], name)
    assert [epoch for epoch, _ in joined.frames] == [0, 5]
    assert (len(one), len(one.frames), len(other)) == (epochs, 1, later), "neither of the two is changed"


def test_every_field_takes_part_in_joining():
    assert {field.name for field in dataclasses.fields(History)} == {
        *ALWAYS,
        *MEASURES,
        *NOTES,
        "metrics",
        "frames",
        "stopped",
        "best_epoch",
        "n_threads",
    }


def test_extended_joins_metrics_and_notes():
    one, other = history(3), history(2)
    one.metrics, other.metrics = {"f1": np.array([0.1, 0.2, 0.3])}, {"f1": np.ones(2), "mse": np.zeros(2)}
    one.layer_epochs, other.layer_epochs = np.arange(2), np.array([4])
    one.layer_activations, other.layer_activations = np.ones((2, 3)), np.zeros((1, 3))
    one.layer_gradient_norms, other.layer_gradient_norms = np.ones((2, 3)), np.zeros((1, 3))
    joined = one.extended(history(0), other)
    np.testing.assert_array_equal(joined.metrics["f1"], [0.1, 0.2, 0.3, 1, 1])
    np.testing.assert_array_equal(joined.metrics["mse"], [np.nan] * 3 + [0, 0])
    np.testing.assert_array_equal(joined.layer_epochs, [0, 1, 4])
    for name in NOTES[1:]:
        np.testing.assert_array_equal(getattr(joined, name), [[1] * 3, [1] * 3, [0] * 3])
    many = one.extended(*[history(1, first=number) for number in range(50)])
    assert len(many) == 53
    assert many.layer_epochs.tolist() == [0, 1]


def test_extended_tells_why_the_last_training_stopped():
    one, other = history(3), history(2)
    one.stopped, other.stopped, other.best_epoch = "early", "late", 1
    one.n_threads, other.n_threads = 4, 2
    joined = one.extended(other)
    assert (joined.stopped, joined.best_epoch) == ("late", 4), "the epoch as the joined history counts it"
    assert joined.n_threads == 2
    assert one.extended(history(2)).best_epoch is None
    assert History().n_threads == 0
    assert one.extended(History()).n_threads == 4, "no epoch was trained afterwards"


def test_extended_from_nothing():
    later = history(2, accuracy=None)
    joined = History().extended(later)
    assert len(joined) == 2
    assert joined.accuracy is None
    np.testing.assert_array_equal(joined.loss, later.loss)


def test_extended_by_nothing():
    one = history(2)
    joined = one.extended(history(0))
    np.testing.assert_array_equal(joined.loss, one.loss)
    np.testing.assert_array_equal(joined.val_loss, one.val_loss)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_that_only_one_has_is_nan_in_the_other(name):
    with_it, without = history(2), history(3, **{name: None})
    np.testing.assert_array_equal(getattr(with_it.extended(without), name), [*getattr(with_it, name), *[np.nan] * 3])
    np.testing.assert_array_equal(getattr(without.extended(with_it), name), [*[np.nan] * 3, *getattr(with_it, name)])
    assert getattr(without.extended(without), name) is None
