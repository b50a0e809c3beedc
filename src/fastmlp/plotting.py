"""Pictures of a training run: loss, accuracy, decision boundary, and the three side by side, still or animated.

The functions draw into matplotlib axes (new ones by default) and never use pyplot: they work without a display and
change no global setting. No other module imports matplotlib.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
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

# Okabe and Ito's colours, which are distinct with every common colour-vision deficiency.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#8E4585"
INK, PALE = "#222222", "#DDDDDD"
CLASS_COLORS = (BLUE, ORANGE)

# An even number of bands has an edge at one half. Flat bands also keep the file of an animation small.
PROBABILITY_BANDS = np.linspace(0.0, 1.0, 17)
PROBABILITY_COLORS = LinearSegmentedColormap.from_list("probability", ["#79B9DF", "#F8F8F8", "#F4AE7D"])
PROBABILITY_NORM = BoundaryNorm(PROBABILITY_BANDS, PROBABILITY_COLORS.N)

CURVE_SIZE, BOUNDARY_SIZE, STILL_DPI = (7.0, 4.4), (6.6, 5.8), 150
PANELS_SIZE, PANELS_DPI = (13.0, 4.9), 100
PANELS_PLACE = {"left": 0.058, "right": 0.98, "bottom": 0.18, "top": 0.84, "wspace": 0.22}
STRETCHES = 800


def plot_loss(history: History, ax: Axes | None = None) -> Axes:
    """Draw the loss of every epoch, and the validation loss if there is one.

    Long histories are thinned: the lowest and the highest loss of each of 800 equal stretches of epochs are drawn, so
    that no spike is lost, and 800 epochs evenly spaced on a logarithmic axis. The axis of the epochs is logarithmic if
    nine tenths of the loss's fall are within the first hundredth of the epochs. If the training run diverged, the axis
    of the loss ends at twice the first loss, because the last losses would flatten the others, and a line marks the
    epoch at which the loss stopped being finite.

    Parameters
    ----------
    history : History
        History of the training run; its `loss` and `val_loss` are drawn.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default (``ax.figure.savefig(path)`` writes it).

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

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
    return _still(_loss_curve, history, ax)


def plot_accuracy(history: History, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of every epoch, and the validation accuracy if there is one.

    Long histories are thinned, and the scale of the epochs is chosen, as in `plot_loss`.

    Parameters
    ----------
    history : History
        History of the training run; its `accuracy` and `val_accuracy` are drawn.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If the history has no accuracy, as after a regression.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.xor()
    >>> net = fastmlp.train(X, y, hidden=4, epochs=5, seed=0)
    >>> plot_accuracy(net.history).get_ylabel()
    'accuracy'
    """
    return _still(_accuracy_curve, history, ax)


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
    """Draw the predictions of a network of two inputs and two classes over the plane, and points on top.

    The colour is the probability of the second class; the line is at one half. Two outputs whose sum is not one, such
    as two sigmoids, are divided by their sum, which leaves the line where the outputs are equal.

    Parameters
    ----------
    network : Network
        A network with two inputs and one or two outputs.
    X : array_like of shape (rows, 2)
        The points to draw; they also determine the limits of the axes.
    y : array_like of shape (rows,) or (rows, 2)
        Labels of the points, or one-hot rows.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; those of a new figure by default.
    trained : array_like of shape (rows,), bool, optional
        True for the training rows, which are drawn larger; all rows by default.
    colorbar : bool, default True
        Whether to draw a colour bar beside the axes.
    resolution : int, default 200
        Grid points along each axis.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If the network does not have two inputs, `X` two columns, or `y` two classes.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.xor()
    >>> net = fastmlp.train(X, y, hidden=4, epochs=5, seed=0)
    >>> plot_boundary(net, X, y).get_title(loc="left")
    'Decision boundary'
    """
    ax = _new_axes(BOUNDARY_SIZE) if ax is None else ax
    _Plane(ax, network, X, y, trained, resolution)
    if colorbar:
        _add_color_bar(ax, _class_names(network)[1])
    return ax


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
        Labels of the points, or one-hot rows.
    trained : array_like of shape (rows,), bool, optional
        True for the training rows, which are drawn larger; all rows by default.
    title : str, default ""
        Title of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; ``figure.savefig(path)`` writes it.

    Raises
    ------
    ValueError
        As for `plot_accuracy` and `plot_boundary`.

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
    """Write a training run as an animated GIF: accuracy, decision boundary and loss side by side.

    Parameters
    ----------
    path : path-like
        The file to write, in a folder that exists.
    network : Network
        The trained network; it stays unchanged.
    X : array_like of shape (rows, 2)
        The points to draw.
    y : array_like of shape (rows,) or (rows, 2)
        Labels of the points, or one-hot rows.
    frames : list of (epoch, parameters), optional
        The number of epochs and the parameters of each picture; those that the history kept by default.
    trained : array_like of shape (rows,), bool, optional
        True for the training rows, which are drawn larger; all rows by default.
    title : str, default ""
        Title of the figure.
    seconds : float, default 6.0
        Duration of the animation, before it rests on its last picture for two seconds.

    Raises
    ------
    ValueError
        If there are no frames, and as for `plot_training`.
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
        raise ValueError("frames: got none; parameters of at least one epoch are accepted; keep frames when training")
    panels = _Panels(network, X, y, trained, title)
    pictures = _reduce_colors(list(panels.pictures(copy.deepcopy(network), frames)))
    pauses = [round(1000.0 * seconds / len(pictures))] * (len(pictures) - 1) + [2000]
    pictures[0].save(path, format="GIF", save_all=True, append_images=pictures[1:], duration=pauses, loop=0)


class _Panels:
    """Accuracy, decision boundary and loss side by side, at any epoch."""

    def __init__(self, network: Network, X: ArrayLike, y: ArrayLike, trained: ArrayLike | None, title: str):
        self.figure = Figure(PANELS_SIZE, dpi=PANELS_DPI)
        FigureCanvasAgg(self.figure)
        left, middle, right = self.figure.subplots(1, 3, gridspec_kw=PANELS_PLACE)
        self.panels = (
            _accuracy_curve(left, network.history),
            _Plane(middle, network, X, y, trained),
            _loss_curve(right, network.history),
        )
        self.epochs = len(network.history)
        self.figure.text(0.012, 0.975, title, ha="left", va="top", color=INK, fontsize=13)
        self.counter = self.figure.text(0.988, 0.975, "", ha="right", va="top", color=INK, fontsize=13)

    def pictures(self, network: Network, frames: list[tuple[int, NDArray]]) -> Iterator[Image.Image]:
        """Yield one picture per frame. The fixed parts are drawn once: text and axes take most of the time."""
        canvas = self.figure.canvas
        for artist in self._moving():
            artist.set_animated(True)
        canvas.draw()
        still = canvas.copy_from_bbox(self.figure.bbox)
        for epoch, parameters in frames:
            network.params[:] = parameters
            for panel in self.panels:
                panel.show(epoch, network)
            self.counter.set_text(f"epoch {epoch:,} of {self.epochs:,}")
            canvas.restore_region(still)
            for artist in self._moving():
                self.figure.draw_artist(artist)
            yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])

    def _moving(self) -> list[Artist]:
        return [self.counter, *(artist for panel in self.panels for artist in panel.artists)]


class _Curve:
    """A line over the epochs, with its last value in the title, up to any epoch."""

    def __init__(
        self, ax: Axes, name: str, number: str, color: str, values: ArrayLike, validation: ArrayLike | None
    ) -> None:
        self.ax, self.title, self.number, self.last = ax, name.capitalize(), number, len(values)
        self.epochs, self.values = _thin(values)
        if not len(self.values):
            raise ValueError(f"history: got no finite {name}; a history with a finite {name} is accepted")
        _style(ax, "epoch", name)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        (self.line,) = ax.plot(self.epochs, self.values, color=color, linewidth=1.8, label="training")
        (self.tip,) = ax.plot([], [], "o", color=color, markersize=6, clip_on=False, zorder=3)
        if validation is not None:
            ax.plot(*_thin(validation), color=INK, linewidth=1.4, linestyle="--", label="validation")
            ax.legend(frameon=False, fontsize=10, labelcolor=INK)
        ax.set_xlim(0, self.last)

    def show(self, epoch: int, _: Network | None = None) -> None:
        done = int(np.searchsorted(self.epochs, epoch, side="right"))
        self.line.set_data(self.epochs[:done], self.values[:done])
        value = self.values[done - 1 : done]
        self.tip.set_data(self.epochs[done - 1 : done], value)
        self.tip.set_visible(bool(np.all(value <= self.ax.get_ylim()[1])))
        stopped = epoch >= self.last > self.epochs[-1]
        text = "not finite" if stopped else self.number.format(*value) if done else ""
        self.artists = [self.line, self.tip, _title(self.ax, f"{self.title}  {text}")]


class _Plane:
    """The probability of the second class over the plane, with points on top, for any parameters."""

    def __init__(
        self,
        ax: Axes,
        network: Network,
        X: ArrayLike,
        y: ArrayLike,
        trained: ArrayLike | None,
        resolution: int = 200,
    ) -> None:
        self.ax = ax
        X, is_second = _two_class_points(network, X, y)
        trained = np.ones(len(X), bool) if trained is None else np.asarray(trained, bool)
        _style(ax, "$x_1$", "$x_2$")
        _title(ax, "Decision boundary")
        ax.grid(False)
        ax.set_aspect("equal")
        margin = 0.05 * np.ptp(X, axis=0)
        self.x1, self.x2 = np.linspace(X.min(axis=0) - margin, X.max(axis=0) + margin, resolution).T
        self.grid = np.stack(np.meshgrid(self.x1, self.x2), axis=-1).reshape(-1, 2)
        colors = np.where(is_second, *reversed(CLASS_COLORS))
        self.points = [
            ax.scatter(*X[~trained].T, c=colors[~trained], s=12, alpha=0.6, linewidths=0, zorder=2),
            ax.scatter(*X[trained].T, c=colors[trained], s=36, edgecolors="white", linewidths=0.9, zorder=3),
        ]
        self.probability: list[Artist] = []
        self.show(0, network)
        _add_legend(ax, _class_names(network), bool((~trained).any()))

    def show(self, _: int, network: Network) -> None:
        for artist in self.probability:
            artist.remove()
        probability = _second_class(network, self.grid).reshape(len(self.x2), len(self.x1))
        place, bands = (self.x1, self.x2, probability), {"cmap": PROBABILITY_COLORS, "norm": PROBABILITY_NORM}
        self.probability = [self.ax.contourf(*place, PROBABILITY_BANDS, **bands, zorder=0)]
        if probability.min() < 0.5 < probability.max():
            self.probability.append(self.ax.contour(*place, [0.5], colors=INK, linewidths=1.6, zorder=1))
        self.artists = [*self.probability, *self.points]


def _loss_curve(ax: Axes, history: History) -> _Curve:
    loss = np.asarray(history.loss, float)
    curve = _Curve(ax, "loss", "{:.4g}", PURPLE, loss, history.val_loss)
    if not np.isfinite(loss[-1]):
        ax.set_ylim(top=2.0 * loss[0], bottom=0.95 * min(loss[0], np.min(loss[np.isfinite(loss)])))
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
    curve.show(curve.last)
    return curve


def _accuracy_curve(ax: Axes, history: History) -> _Curve:
    if history.accuracy is None:
        raise ValueError("history: got no accuracy, as after a regression; a history of a classification is accepted")
    curve = _Curve(ax, "accuracy", "{:.1%}", GREEN, history.accuracy, history.val_accuracy)
    lowest = np.fmin.reduce(np.append(curve.values, [] if history.val_accuracy is None else history.val_accuracy))
    ax.set_ylim(np.floor(10.0 * lowest - 0.3) / 10.0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    curve.show(curve.last)
    return curve


def _still(draw: Callable[[Axes, History], _Curve], history: History, ax: Axes | None) -> Axes:
    """Draw a whole curve, over logarithmic epochs if the loss did nine tenths of its fall in a hundredth of them."""
    ax = _new_axes() if ax is None else ax
    draw(ax, history)
    loss = np.asarray(history.loss, float)
    early = loss[: max(1, len(loss) // 100)]
    if loss[0] - early.min() > 0.9 * (loss[0] - np.fmin.reduce(loss)) > 0.0:
        ax.set_xscale("log")
        ax.set_xlim(1, len(loss))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.minorticks_off()
    return ax


def _two_class_points(network: Network, X: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return X as an array, and whether each row is of the second class."""
    X, y = np.asarray(X, float), np.asarray(y)
    if X.ndim != 2 or X.shape[1] != 2 or network.sizes[0] != 2:
        raise ValueError(
            f"X: got shape {X.shape} with a network of {network.sizes[0]} inputs; shape (rows, 2) with a network of "
            "2 inputs is accepted"
        )
    if y.ndim == 2:
        y = y.argmax(axis=1)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) != 2 or network.sizes[-1] > 2:
        raise ValueError(
            f"y: got {len(classes)} classes with a network of {network.sizes[-1]} outputs; two classes with 1 or 2 "
            "outputs are accepted"
        )
    return X, codes == 1


def _second_class(network: Network, X: NDArray) -> NDArray:
    """Return the probability of the second class, shape (rows,)."""
    outputs = np.asarray(network.forward(X)[-1], float)
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    total = outputs.sum(axis=1)  # 0 if both sigmoids are saturated, which counts as equal
    return np.divide(outputs[:, 1], total, out=np.full(len(X), 0.5), where=total > 0.0)


def _class_names(network: Network) -> tuple[str, str]:
    return ("0", "1") if network.classes_ is None else tuple(str(label) for label in network.classes_)


def _add_legend(ax: Axes, classes: tuple[str, str], held_out: bool) -> None:
    points = [(color, 6, f"class {name}") for color, name in zip(CLASS_COLORS, classes, strict=True)]
    if held_out:
        points += [("#777777", 6, "trained on"), ("#AAAAAA", 3.5, "held out")]
    handles = [
        Line2D([], [], marker="o", linestyle="", color=color, markersize=size, label=label)
        for color, size, label in points
    ]
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


def _add_color_bar(ax: Axes, class_name: str) -> None:
    colors, percent = ScalarMappable(PROBABILITY_NORM, PROBABILITY_COLORS), PercentFormatter(1.0, decimals=0)
    bar = ax.figure.colorbar(colors, ax=ax, ticks=np.linspace(0, 1, 5), format=percent, shrink=0.85, pad=0.03)
    bar.ax.tick_params(colors=INK, length=0)
    bar.ax.minorticks_off()
    bar.set_label(f"probability of class {class_name}", color=INK, fontsize=11)
    bar.outline.set_visible(False)


def _thin(values: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return the epochs (from 1) and the finite values to draw, of a long history some thousands as in `plot_loss`."""
    values = np.asarray(values, float)
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
    ax.spines[:].set_color(PALE)
    ax.spines[["top", "right"]].set_visible(False)


def _title(ax: Axes, text: str) -> Text:
    return ax.set_title(text, loc="left", color=INK, fontsize=12, fontweight="bold")


def _reduce_colors(pictures: list[Image.Image]) -> list[Image.Image]:
    """Return pictures with 256 colours, the same for all, so that no colour flickers between pictures."""
    few = pictures[:: max(1, len(pictures) // 4)] + pictures[-1:]
    joined = Image.fromarray(np.concatenate([np.asarray(picture) for picture in few]))
    colors = joined.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    reduced = [picture.quantize(palette=colors, dither=Image.Dither.NONE) for picture in pictures]
    # The background has become nearly white: make its colour, that of a corner, white.
    palette, background = colors.getpalette(), reduced[0].getpixel((0, 0))
    palette[3 * background : 3 * background + 3] = [255, 255, 255]
    for picture in reduced:
        picture.putpalette(palette)
    return reduced
