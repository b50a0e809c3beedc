"""Pictures of a training: loss, accuracy, decision boundary, and the three side by side, still or moving.

The functions draw into matplotlib axes (made when none are given) and never touch pyplot: they work without
a display and change no global setting. This is the only file that imports matplotlib. The command line and
users import it, the core never does.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

try:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
    from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter
    from PIL import Image
except ImportError as error:
    raise ImportError('fastmlp.plotting needs matplotlib: pip install "fastmlp[plot]"') from error

from fastmlp.network import Network

if TYPE_CHECKING:
    from fastmlp.history import History

__all__ = ["plot_accuracy", "plot_boundary", "plot_loss", "plot_training", "save_animation"]

# Okabe and Ito's colours, which stay apart under every common colour-vision deficiency.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#8E4585"
INK, PALE = "#222222", "#DDDDDD"
CLASS_COLORS = (BLUE, ORANGE)

# An even number of bands puts an edge at one half; flat bands also keep an animation's file small.
PROBABILITY_BANDS = np.linspace(0.0, 1.0, 17)
PROBABILITY_COLORS = LinearSegmentedColormap.from_list("probability", ["#79B9DF", "#F8F8F8", "#F4AE7D"])
PROBABILITY_NORM = BoundaryNorm(PROBABILITY_BANDS, PROBABILITY_COLORS.N)

CURVE_SIZE, BOUNDARY_SIZE, STILL_DPI = (7.0, 4.4), (6.6, 5.8), 150
PANELS_SIZE, PANELS_DPI = (13.0, 4.9), 100
PANELS_PLACE = {"left": 0.058, "right": 0.98, "bottom": 0.18, "top": 0.84, "wspace": 0.22}
STRETCHES = 800


def plot_loss(history: History, ax: Axes | None = None) -> Axes:
    """Draw the loss of every epoch, with the validation loss beside it where there is one.

    Of a long history are drawn the lowest and the highest loss of each of 800 equal stretches of epochs, so
    that no spike is lost, and 800 epochs evenly spaced on a logarithmic axis. The axis of the epochs is
    logarithmic where the loss did nine tenths of its falling within the first hundredth of them. If the
    training diverged, the axis of the loss ends at twice the first loss (the last losses would flatten all
    others), and a line marks the epoch at which the loss stopped being finite.

    Parameters
    ----------
    history : History
        What happened, epoch by epoch; its `loss` and `val_loss` are drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default into a new figure (``ax.figure.savefig(path)`` writes it).

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn into.

    Raises
    ------
    ValueError
        If no loss of the history is finite.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.xor()
    >>> net = fastmlp.train(X, y, hidden=4, epochs=5, seed=0)
    >>> plot_loss(net.history).get_xlabel()
    'epoch'
    """
    curve = _loss_curve(history, _new_axes() if ax is None else ax)
    _choose_epoch_scale(curve.ax, history)
    return curve.ax


def plot_accuracy(history: History, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of every epoch, with the validation accuracy beside it where there is one.

    Long histories are thinned, and the axis of the epochs chosen, as in `plot_loss`.

    Parameters
    ----------
    history : History
        What happened, epoch by epoch; its `accuracy` and `val_accuracy` are drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default into a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn into.

    Raises
    ------
    ValueError
        If the history has no accuracy, as that of a regression.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.xor()
    >>> net = fastmlp.train(X, y, hidden=4, epochs=5, seed=0)
    >>> plot_accuracy(net.history).get_ylabel()
    'accuracy'
    """
    if history.accuracy is None:
        raise ValueError("history has no accuracy to draw: the network was trained for regression")
    curve = _accuracy_curve(history, _new_axes() if ax is None else ax)
    _choose_epoch_scale(curve.ax, history)
    return curve.ax


def plot_boundary(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    ax: Axes | None = None,
    *,
    trained: ArrayLike | None = None,
    colorbar: bool = True,
    resolution: int = 200,
) -> Axes:
    """Draw what a network of two inputs and two classes says about the plane, and the points on top.

    The colour is the probability of the second class; the line is where it is one half. Two outputs that do
    not add up to one (as two sigmoids) are divided by their sum, which leaves the line where the outputs are
    equal.

    Parameters
    ----------
    network : Network
        A network with two inputs and one or two outputs.
    X : array_like of shape (rows, 2)
        The points to draw; they also set the limits of the picture.
    y : array_like of shape (rows,) or (rows, 2)
        Their labels, or one-hot.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default into a new figure.
    trained : array_like of shape (rows,), bool, optional
        True for the rows that the network was trained on, which are drawn stronger; by default all.
    colorbar : bool, default True
        Whether to explain the colours beside the axes.
    resolution : int, default 200
        Grid points along each side.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn into.

    Raises
    ------
    ValueError
        If the network or `X` has not two inputs, or there are not two classes.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.xor()
    >>> net = fastmlp.train(X, y, hidden=4, epochs=5, seed=0)
    >>> plot_boundary(net, X, y).get_title(loc="left")
    'Decision boundary'
    """
    ax = _new_axes(BOUNDARY_SIZE) if ax is None else ax
    plane = _boundary_plane(network, X, y, ax, trained, resolution)
    if colorbar:
        _explain_colors(plane.ax, _class_names(network)[1])
    return plane.ax


def plot_training(
    network: Network, X: ArrayLike, y: ArrayLike, *, trained: ArrayLike | None = None, title: str = ""
) -> Figure:
    """Draw accuracy, decision boundary and loss side by side.

    Parameters
    ----------
    network : Network
        A trained network with two inputs and two classes.
    X : array_like of shape (rows, 2)
        The points to draw.
    y : array_like of shape (rows,) or (rows, 2)
        Their labels, or one-hot.
    trained : array_like of shape (rows,), bool, optional
        True for the rows that the network was trained on, which are drawn stronger; by default all.
    title : str, default ""
        What to write above the three.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; ``figure.savefig(path)`` writes it.

    Raises
    ------
    ValueError
        As `plot_accuracy` and `plot_boundary`.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.xor()
    >>> net = fastmlp.train(X, y, hidden=4, epochs=5, seed=0)
    >>> len(plot_training(net, X, y).axes)
    3
    """
    return _Panels(network, X, y, trained, title).figure


def save_animation(
    path: str | PathLike[str],
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    frames: list[tuple[int, NDArray]] | None = None,
    trained: ArrayLike | None = None,
    title: str = "",
    seconds: float = 6.0,
) -> None:
    """Write the training as an animated GIF: accuracy, decision boundary and loss side by side.

    Parameters
    ----------
    path : path-like
        The file to write; the folder must exist.
    network : Network
        The trained network; it is not changed.
    X : array_like of shape (rows, 2)
        The points to draw.
    y : array_like of shape (rows,) or (rows, 2)
        Their labels, or one-hot.
    frames : list of (epoch, parameters), optional
        One picture each: the number of epochs done, and `network.params` as it was then; by default those
        that the history kept.
    trained : array_like of shape (rows,), bool, optional
        True for the rows that the network was trained on, which are drawn stronger; by default all.
    title : str, default ""
        What to write above the three.
    seconds : float, default 6.0
        How long the animation runs before it rests on its last picture for two seconds.

    Raises
    ------
    ValueError
        If there are no frames; else as `plot_training`.
    OSError
        If the file can't be written.

    Examples
    --------
    >>> import fastmlp, os, tempfile
    >>> X, y = fastmlp.article.data()
    >>> net = fastmlp.article.train(epochs=100, frames=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_animation(os.path.join(folder, "all.gif"), net, X, y)
    ...     os.listdir(folder)
    ['all.gif']
    """
    frames = network.history.frames if frames is None else frames
    if not frames:
        raise ValueError("frames is empty: the training kept no parameters to draw; ask for some before it")
    panels = _Panels(network, X, y, trained, title)
    pictures = list(panels.pictures(_twin(network), frames))
    pauses = [round(1000.0 * seconds / len(pictures))] * (len(pictures) - 1) + [2000]
    pictures = _reduce_colors(pictures)
    pictures[0].save(path, format="GIF", save_all=True, append_images=pictures[1:], duration=pauses, loop=0)


def _twin(network: Network) -> Network:
    """Make a network of the same kind, whose parameters may be changed."""
    *hidden, output = network.activations
    return Network(
        network.sizes,
        activation=hidden,
        loss=network.loss_name,
        output=output,
        bias=bool(network.biases),
        classes=network.classes_,
        dtype=network.dtype,
    )


class _Panels:
    """Accuracy, decision boundary and loss side by side, which can be shown as of any epoch."""

    def __init__(self, network: Network, X: ArrayLike, y: ArrayLike, trained: ArrayLike | None, title: str):
        self.figure = Figure(PANELS_SIZE, dpi=PANELS_DPI)
        FigureCanvasAgg(self.figure)
        left, middle, right = self.figure.subplots(1, 3, gridspec_kw=PANELS_PLACE)
        self.accuracy = _accuracy_curve(network.history, left)
        self.plane = _boundary_plane(network, X, y, middle, trained)
        self.loss = _loss_curve(network.history, right)
        self.epochs = len(network.history)
        self.figure.text(0.012, 0.975, title, ha="left", va="top", color=INK, fontsize=13)
        self.counter = self.figure.text(0.988, 0.975, "", ha="right", va="top", color=INK, fontsize=13)

    def pictures(self, network: Network, frames: list[tuple[int, NDArray]]) -> Iterator[Image.Image]:
        """Yield a picture a frame. What stays the same is drawn once: text and axes take most of the time."""
        canvas = self.figure.canvas
        for artist in self._moving():
            artist.set_animated(True)
        canvas.draw()
        still = canvas.copy_from_bbox(self.figure.bbox)
        for epoch, parameters in frames:
            network.params[:] = parameters
            self.accuracy.show(epoch)
            self.plane.show(network)
            self.loss.show(epoch)
            self.counter.set_text(f"epoch {epoch:,} of {self.epochs:,}")
            canvas.restore_region(still)
            for artist in self._moving():
                self.figure.draw_artist(artist)
            yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])

    def _moving(self) -> list[Artist]:
        return [*self.plane.artists(), *self.accuracy.artists(), *self.loss.artists(), self.counter]


class _Curve:
    """A line over the epochs that can be shown up to any of them; the title says where it stands."""

    def __init__(self, ax: Axes, title: str, number: str, values: ArrayLike, color: str):
        self.ax, self.title, self.number = ax, title, number
        self.epochs, self.values = _thin(np.asarray(values, float))
        if not len(self.values):
            raise ValueError(f"history has no finite {title.lower()} to draw")
        (self.line,) = ax.plot(self.epochs, self.values, color=color, linewidth=1.8, label="training")
        (self.tip,) = ax.plot([], [], "o", color=color, markersize=6, clip_on=False, zorder=3)
        self.last = len(values)
        ax.set_xlim(0, self.last)

    def show(self, epoch: int) -> None:
        done = int(np.searchsorted(self.epochs, epoch, side="right"))
        self.line.set_data(self.epochs[:done], self.values[:done])
        now, value = self.epochs[done - 1 : done], self.values[done - 1 : done]
        self.tip.set_data(now, value)
        self.tip.set_visible(bool(np.all(value <= self.ax.get_ylim()[1])))
        stopped = epoch >= self.last > self.epochs[-1]
        text = "not finite" if stopped else self.number.format(*value) if done else ""
        self.heading = _title(self.ax, f"{self.title}  {text}")

    def artists(self) -> list[Artist]:
        return [self.line, self.tip, self.heading]


class _Plane:
    """The probability of the second class over the plane, with points on it, for any parameters."""

    def __init__(self, ax: Axes, X: NDArray, is_second: NDArray, trained: NDArray, resolution: int):
        self.ax = ax
        margin = 0.05 * np.ptp(X, axis=0)
        low, high = X.min(axis=0) - margin, X.max(axis=0) + margin
        self.x1, self.x2 = np.linspace(low, high, resolution).T
        self.grid = np.stack(np.meshgrid(self.x1, self.x2), axis=-1).reshape(-1, 2)
        self.points = _draw_points(ax, X, is_second, trained)
        self.probability: list[Artist] = []

    def show(self, network: Network) -> None:
        while self.probability:
            self.probability.pop().remove()
        probability = _second_class(network, self.grid).reshape(len(self.x2), len(self.x1))
        self.probability.append(
            self.ax.contourf(
                self.x1,
                self.x2,
                probability,
                PROBABILITY_BANDS,
                cmap=PROBABILITY_COLORS,
                norm=PROBABILITY_NORM,
                zorder=0,
            )
        )
        if probability.min() < 0.5 < probability.max():
            self.probability.append(
                self.ax.contour(self.x1, self.x2, probability, [0.5], colors=INK, linewidths=1.6, zorder=1)
            )

    def artists(self) -> list[Artist]:
        return [*self.probability, *self.points]


def _loss_curve(history: History, ax: Axes) -> _Curve:
    _style(ax, "epoch", "loss")
    loss = np.asarray(history.loss, float)
    curve = _Curve(ax, "Loss", "{:.4g}", loss, PURPLE)
    if history.val_loss is not None:
        _add_validation(ax, history.val_loss)
    _end_axis_at_divergence(ax, loss)
    curve.show(curve.last)
    return curve


def _accuracy_curve(history: History, ax: Axes) -> _Curve:
    if history.accuracy is None:
        raise ValueError("history has no accuracy to draw: the network was trained for regression")
    _style(ax, "epoch", "accuracy")
    curve = _Curve(ax, "Accuracy", "{:.1%}", history.accuracy, GREEN)
    lowest = curve.values.min()
    if history.val_accuracy is not None:
        _add_validation(ax, history.val_accuracy)
        lowest = min(lowest, np.fmin.reduce(history.val_accuracy))
    ax.set_ylim(np.floor(10.0 * lowest - 0.3) / 10.0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    curve.show(curve.last)
    return curve


def _boundary_plane(
    network: Network, X: ArrayLike, y: ArrayLike, ax: Axes, trained: ArrayLike | None, resolution: int = 200
) -> _Plane:
    X, is_second = _two_class_points(network, X, y)
    trained = np.ones(len(X), bool) if trained is None else np.asarray(trained, bool)
    _style(ax, "$x_1$", "$x_2$")
    _title(ax, "Decision boundary")
    ax.grid(False)
    ax.set_aspect("equal")
    plane = _Plane(ax, X, is_second, trained, resolution)
    plane.show(network)
    _add_legend(ax, _class_names(network), bool((~trained).any()))
    return plane


def _two_class_points(network: Network, X: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return X as an array, and for each row whether it is of the second class."""
    X, y = np.asarray(X, float), np.asarray(y)
    if X.ndim != 2 or X.shape[1] != 2 or network.sizes[0] != 2:
        raise ValueError(
            f"only a network of 2 inputs has a plane to draw: the network has {network.sizes[0]} "
            f"inputs, X has shape {X.shape}"
        )
    if y.ndim == 2:
        y = y.argmax(axis=1)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) != 2 or network.sizes[-1] > 2:
        raise ValueError(
            f"only two classes can be drawn: y has {len(classes)}, the network has {network.sizes[-1]} outputs"
        )
    return X, codes == 1


def _second_class(network: Network, X: NDArray) -> NDArray:
    """Return the probability of the second class, shape (rows,)."""
    outputs = np.asarray(network.forward(X)[-1], float)
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    total = outputs.sum(axis=1)  # 0 where both sigmoids are saturated: as good as equal
    return np.divide(outputs[:, 1], total, out=np.full(len(X), 0.5), where=total > 0.0)


def _class_names(network: Network) -> tuple[str, str]:
    return ("0", "1") if network.classes_ is None else tuple(str(label) for label in network.classes_)


def _draw_points(ax: Axes, X: NDArray, is_second: NDArray, trained: NDArray) -> list[Artist]:
    """Draw the rows trained on large and ringed, over the others, which are small and faint."""
    colors = np.where(is_second, *reversed(CLASS_COLORS))
    held_out = ax.scatter(*X[~trained].T, c=colors[~trained], s=12, alpha=0.6, linewidths=0, zorder=2)
    strong = ax.scatter(*X[trained].T, c=colors[trained], s=36, edgecolors="white", linewidths=0.9, zorder=3)
    return [held_out, strong]


def _add_legend(ax: Axes, classes: tuple[str, str], held_out: bool) -> None:
    def dot(color: str, size: float, label: str) -> Line2D:
        return Line2D([], [], marker="o", linestyle="", color=color, markersize=size, label=label)

    handles = [dot(color, 6, f"class {name}") for color, name in zip(CLASS_COLORS, classes, strict=True)]
    if held_out:
        handles += [dot("#777777", 6, "trained on"), dot("#AAAAAA", 3.5, "held out")]
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=4,
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handletextpad=0.1,
        columnspacing=1.2,
    )


def _explain_colors(ax: Axes, class_name: str) -> None:
    colors = ScalarMappable(PROBABILITY_NORM, PROBABILITY_COLORS)
    bar = ax.figure.colorbar(colors, ax=ax, ticks=[0.0, 0.25, 0.5, 0.75, 1.0], shrink=0.85, pad=0.03)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    bar.ax.tick_params(colors=INK, length=0)
    bar.ax.minorticks_off()
    bar.set_label(f"probability of class {class_name}", color=INK, fontsize=11)
    bar.outline.set_visible(False)


def _add_validation(ax: Axes, values: ArrayLike) -> None:
    ax.plot(*_thin(np.asarray(values, float)), color=INK, linewidth=1.4, linestyle="--", label="validation")
    ax.legend(frameon=False, fontsize=10, labelcolor=INK)


def _end_axis_at_divergence(ax: Axes, loss: NDArray) -> None:
    if np.isfinite(loss[-1]):
        return
    first = loss[0]
    ax.set_ylim(top=2.0 * first, bottom=0.95 * min(first, np.min(loss[np.isfinite(loss)])))
    ax.axvline(len(loss), color=INK, linewidth=1.2, linestyle=":", clip_on=False)
    ax.annotate(
        f"not finite at\nepoch {len(loss):,}",
        (len(loss), 1.0),
        (-16, -4),
        ha="right",
        va="top",
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=INK,
        fontsize=10,
    )


def _thin(values: NDArray) -> tuple[NDArray, NDArray]:
    """Return the epochs (from 1) and the values to draw: the finite ones, of a long history some thousands.

    Of a long history are drawn: of each of 800 equal stretches of epochs the lowest and the highest value, so
    that no spike is lost, and 800 epochs that are evenly spaced on a logarithmic axis, so that the beginning
    is not lost either.
    """
    epochs = np.flatnonzero(np.isfinite(values))
    last = len(epochs) - 1
    if last > 4 * STRETCHES:
        length = -(-len(epochs) // STRETCHES)
        stretches = np.pad(values[epochs], (0, -len(epochs) % length), mode="edge").reshape(-1, length)
        starts = length * np.arange(len(stretches))
        early = np.geomspace(1, last, STRETCHES).astype(int)
        extremes = [starts + stretches.argmin(axis=1), starts + stretches.argmax(axis=1)]
        epochs = epochs[np.unique(np.minimum(np.concatenate([[0], early, *extremes]), last))]
    return epochs + 1, values[epochs]


def _choose_epoch_scale(ax: Axes, history: History) -> None:
    """Make the epoch axis logarithmic if the loss did nine tenths of its fall in a hundredth of the epochs."""
    loss = np.asarray(history.loss, float)
    early = loss[: max(1, len(loss) // 100)]
    if loss[0] - early.min() > 0.9 * (loss[0] - np.fmin.reduce(loss)) > 0.0:
        ax.set_xscale("log")
        ax.set_xlim(1, len(loss))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.minorticks_off()


def _new_axes(size: tuple[float, float] = CURVE_SIZE) -> Axes:
    figure = Figure(size, dpi=STILL_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def _style(ax: Axes, xlabel: str, ylabel: str) -> None:
    ax.set_xlabel(xlabel, color=INK, fontsize=11)
    ax.set_ylabel(ylabel, color=INK, fontsize=11)
    ax.tick_params(colors=INK, labelsize=10, length=0)
    ax.grid(color=PALE, linewidth=0.7)
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(PALE)
    if xlabel == "epoch":
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def _title(ax: Axes, text: str) -> Text:
    return ax.set_title(text, loc="left", color=INK, fontsize=12, fontweight="bold")


def _reduce_colors(pictures: list[Image.Image]) -> list[Image.Image]:
    """Reduce pictures to 256 colours, the same for all, so that none flickers from one picture to the next."""
    few = pictures[:: max(1, len(pictures) // 4)] + pictures[-1:]
    joined = Image.new("RGB", (few[0].width, few[0].height * len(few)))
    for place, picture in enumerate(few):
        joined.paste(picture, (0, place * picture.height))
    colors = joined.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    reduced = [picture.quantize(palette=colors, dither=Image.Dither.NONE) for picture in pictures]
    # The paper became nearly white: make the colour that it was given, which a corner shows, white.
    palette, paper = colors.getpalette(), reduced[0].getpixel((0, 0))
    palette[3 * paper : 3 * paper + 3] = [255, 255, 255]
    for picture in reduced:
        picture.putpalette(palette)
    return reduced
