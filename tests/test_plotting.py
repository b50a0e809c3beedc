import subprocess
import sys
import types

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

import fastmlp
from fastmlp import article, datasets, plotting


def history_of(loss, accuracy=None, **more):
    """Make what the curves need of a History."""
    return fastmlp.History(
        loss=np.asarray(loss, float), accuracy=None if accuracy is None else np.asarray(accuracy, float), **more
    )


@pytest.fixture(scope="module")
def xor():
    X, y = datasets.xor(rows=60)
    return fastmlp.train(X, y, hidden=4, epochs=20, learning_rate=0.02, seed=0), X, y


def drawn(ax):
    """Return the pixels of an axes' figure, shape (height, width, 3)."""
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]


def test_loss_line_is_the_history():
    ax = plotting.plot_loss(history_of([0.5, 0.4, 0.45, 0.1]))
    line = ax.lines[0]
    assert line.get_xdata().tolist() == [1, 2, 3, 4]
    assert line.get_ydata().tolist() == [0.5, 0.4, 0.45, 0.1]
    assert ax.get_title(loc="left") == "Loss  0.1"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("epoch", "loss", "linear")


def test_accuracy_line_is_the_history():
    ax = plotting.plot_accuracy(history_of([1.0, 1.0], [0.5, 0.75]))
    assert ax.lines[0].get_ydata().tolist() == [0.5, 0.75]
    assert ax.get_title(loc="left") == "Accuracy  75.0%"
    assert ax.get_ylim() == (pytest.approx(0.4), 1.02)


def test_curves_go_into_the_axes_that_are_given():
    left, right = Figure().subplots(1, 2)
    history = history_of([1.0, 0.5], [0.5, 0.75])
    assert plotting.plot_loss(history, left) is left
    assert plotting.plot_accuracy(history, right) is right


def test_validation_is_drawn_beside():
    history = history_of([1.0, 0.5], [0.5, 0.75], val_loss=np.array([1.1, 0.7]), val_accuracy=np.array([0.2, 0.3]))
    for ax, values in ((plotting.plot_loss(history), [1.1, 0.7]), (plotting.plot_accuracy(history), [0.2, 0.3])):
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation"]
        assert values in [line.get_ydata().tolist() for line in ax.lines if len(line.get_ydata()) == 2]


def test_long_histories_are_thinned_and_keep_their_spikes():
    loss = np.linspace(1.0, 0.5, 100_003)
    loss[[77_777, 99_990]] = 9.0, 0.01
    ax = plotting.plot_loss(history_of(loss))
    epochs, values = ax.lines[0].get_data()
    assert len(epochs) < 4000
    assert (np.diff(epochs) > 0).all()
    np.testing.assert_array_equal(values, loss[np.asarray(epochs) - 1])
    assert {1, 2, 77_778, 99_991, 100_003} <= set(epochs)


def test_epochs_are_logarithmic_where_all_happens_early():
    early = 0.2 + np.exp(-np.arange(10_000.0))
    assert plotting.plot_loss(history_of(early)).get_xscale() == "log"
    assert plotting.plot_accuracy(history_of(early, 1.0 - early)).get_xscale() == "log"
    assert plotting.plot_loss(history_of(np.linspace(1, 0, 10_000))).get_xscale() == "linear"
    assert plotting.plot_loss(history_of(np.linspace(0, 1, 10_000))).get_xscale() == "linear"


def test_divergence_is_marked_and_does_not_flatten_the_rest():
    ax = plotting.plot_loss(history_of([0.3, 0.2, 0.25, 1e200, np.inf]))
    assert ax.get_ylim()[1] == pytest.approx(0.6)
    assert ax.get_title(loc="left") == "Loss  not finite"
    assert [text.get_text() for text in ax.texts] == ["not finite at\nepoch 5"]
    assert np.isfinite(ax.lines[0].get_ydata()).all()
    drawn(ax)


def test_curves_that_cannot_be_drawn():
    with pytest.raises(ValueError, match="no accuracy"):
        plotting.plot_accuracy(history_of([1.0]))
    with pytest.raises(ValueError, match="no finite loss"):
        plotting.plot_loss(history_of([np.nan]))


@pytest.mark.parametrize("draw", [plotting.plot_loss, plotting.plot_accuracy])
def test_one_epoch_can_be_drawn(draw):
    drawn(draw(history_of([0.5], [0.5])))


def test_boundary_colours_follow_the_network():
    # p = 1 / (1 + exp(-4 x1)): the right half is of class 1, the left of class 0.
    network = fastmlp.Network((2, 1), loss="binary_cross_entropy", classes=["no", "yes"])
    network.params[:] = 4.0, 0.0, 0.0
    X = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    ax = plotting.plot_boundary(network, X, ["no", "yes", "no", "yes"])
    pixels = drawn(ax).astype(int)
    height = len(pixels)

    def colour(x, y):
        column, row = ax.transData.transform((x, y)).round().astype(int)
        return pixels[height - 1 - row, column]

    left, right = colour(-0.8, 0.3), colour(0.8, 0.3)
    assert left[2] > left[0] + 50  # blue
    assert right[0] > right[2] + 50  # orange
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["class no", "class yes"]
    assert ax.figure.axes[1].get_ylabel() == "probability of class yes"


def test_boundary_of_two_outputs_lies_where_they_are_equal():
    # Two sigmoids whose sum is not one; the second is the larger one where x2 > 0.
    network = fastmlp.Network((2, 2), loss="squared_error", output="sigmoid", bias=False)
    network.weights[0][:] = [[0.0, 0.0], [-1.0, 2.0]]
    X = np.array([[0.0, -1.0], [1.0, 1.0]])
    probability = plotting._second_class(network, np.array([[0.3, -0.5], [0.3, 0.0], [0.3, 0.5]]))
    assert probability[0] < 0.5 < probability[2]
    assert probability[1] == 0.5
    plotting.plot_boundary(network, X, np.eye(2))


def test_held_out_points_are_drawn_weaker(xor):
    network, X, y = xor
    trained = np.arange(len(X)) < 20
    ax = plotting.plot_boundary(network, X, y, trained=trained, colorbar=False)
    held_out, strong = (artist for artist in ax.collections if isinstance(artist, PathCollection))
    assert (len(held_out.get_offsets()), len(strong.get_offsets())) == (40, 20)
    assert held_out.get_sizes()[0] < strong.get_sizes()[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()][2:] == ["trained on", "held out"]


def test_boundary_refuses_what_has_no_plane(xor):
    network, X, y = xor
    with pytest.raises(ValueError, match="2 inputs"):
        plotting.plot_boundary(network, np.ones((4, 3)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="two classes"):
        plotting.plot_boundary(network, X, np.arange(len(X)))
    with pytest.raises(ValueError, match="2 inputs"):
        plotting.plot_boundary(fastmlp.Network((3, 1)), X, y)


def test_training_shows_three_panels(xor):
    network, X, y = xor
    figure = plotting.plot_training(network, X, y, title="XOR")
    titles = [ax.get_title(loc="left").split("  ")[0] for ax in figure.axes]
    assert titles == ["Accuracy", "Decision boundary", "Loss"]
    assert "XOR" in [text.get_text() for text in figure.texts]


def test_animation_has_a_picture_a_frame_and_leaves_the_network_alone(tmp_path):
    X, y = article.data()
    network = article.train(epochs=400, frames=5)
    before = network.params.copy()
    path = tmp_path / "all.gif"
    plotting.save_animation(path, network, X, y, trained=np.arange(300) < 50, title="XOR", seconds=1.0)
    np.testing.assert_array_equal(network.params, before)
    with Image.open(path) as gif:
        assert gif.format == "GIF"
        assert gif.n_frames == 5
        assert gif.info["loop"] == 0
        pictures, pauses = [], []
        for frame in range(5):
            gif.seek(frame)
            pictures.append(np.asarray(gif.convert("RGB"), int))
            pauses.append(gif.info["duration"])
    assert pauses == [200, 200, 200, 200, 2000]
    for one, next_one in zip(pictures, pictures[1:], strict=False):
        assert (one != next_one).any(axis=2).sum() > 100
    assert tuple(pictures[0][0, 0]) == (255, 255, 255)


def test_last_picture_of_an_animation_is_the_still_one(tmp_path):
    X, y = article.data()
    network = article.train(epochs=300, frames=3)
    plotting.save_animation(tmp_path / "all.gif", network, X, y, title="XOR")
    figure = plotting.plot_training(network, X, y, title="XOR")
    figure.canvas.draw()
    still = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    with Image.open(tmp_path / "all.gif") as gif:
        gif.seek(2)
        last = np.asarray(gif.convert("RGB"), int)
    off = np.abs(still - last)[50:].max(axis=2)  # below the title, beside which the animation counts the epochs
    # 256 colours stand for some thousands of blended ones, a few of 255 steps away; where a curve meets the frame,
    # the animation has the one on top, the still picture the other.
    assert off.mean() < 2
    assert (off > 20).mean() < 1e-3


def test_animation_without_frames_is_refused(tmp_path, xor):
    network, X, y = xor
    with pytest.raises(ValueError, match="frames: got none"):
        plotting.save_animation(tmp_path / "all.gif", network, X, y)
    assert not (tmp_path / "all.gif").exists()


def test_nothing_global_is_touched():
    code = (
        "import sys, matplotlib\n"
        "settings = lambda: {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != 'backend'}\n"
        "before = settings()\n"
        "import fastmlp.plotting as plotting, fastmlp\n"
        "X, y = fastmlp.datasets.xor(); network = fastmlp.train(X, y, hidden=2, epochs=2, seed=0)\n"
        "plotting.plot_training(network, X, y)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert settings() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    source = types.ModuleType("fastmlp.plotting_again")
    with open(plotting.__file__, encoding="utf-8") as file, pytest.raises(ImportError, match=r"fastmlp\[plot\]"):
        exec(compile(file.read(), plotting.__file__, "exec"), source.__dict__)
