"""Pictures of a training run: loss, accuracy, decision boundary, and the three side by side, still or animated.

The functions draw into matplotlib axes (new ones by default) and never use pyplot: they work without a display and
change no global setting. No other module imports matplotlib.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray

try:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter
    from PIL import Image
except ImportError as error:
    raise ImportError('fastmlp.plotting needs matplotlib: pip install "fastmlp[plot]"') from error

from fastmlp._checks import arrays
from fastmlp.history import History
from fastmlp.network import Network

__all__ = ["plot_accuracy", "plot_boundary", "plot_loss", "plot_training", "save_animation"]

# Okabe and Ito's colours, which are distinct with every common colour-vision deficiency.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#8E4585"
INK, PALE = "#222222", "#DDDDDD"
CLASS_COLORS = (BLUE, ORANGE)

# An even number of bands has an edge at one half. Flat bands also keep the file of an animation small.
PROBABILITY_BANDS = np.linspace(0.0, 1.0, 17)
PROBABILITY_COLORS = {
    "cmap": LinearSegmentedColormap.from_list("probability", ["#79B9DF", "#F8F8F8", "#F4AE7D"]),
    "norm": BoundaryNorm(PROBABILITY_BANDS, 256),
}

STRETCHES = 800

# Show a panel after some epochs, with the network's parameters then; return the artists that have changed.
Show = Callable[[int, Network], list[Artist]]


def plot_loss(history: History, ax: Axes | None = None) -> Axes:
    """Draw the loss of every epoch, and the validation loss if there is one.

    Long histories are thinned: the lowest and the highest loss of each of 800 equal stretches of epochs are drawn, so
    that no spike is lost, and 800 epochs evenly spaced on a logarithmic axis. The axis of the epochs is logarithmic if
    nine tenths of the loss's fall are within the first hundredth of the epochs. If the training run diverged, the axis
    of the loss ends at twice the first loss, because the last losses would flatten the others, and a line marks the
    epoch at which the loss stopped being finite or grew beyond use.

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
    ax = _new_axes((6.6, 5.8)) if ax is None else ax
    _plane(ax, network, X, y, trained, resolution, colorbar)
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
    return _panels(network, X, y, trained, title)[0]


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
    figure, show = _panels(network, X, y, trained, title)
    pictures = _reduce_colors(list(_pictures(figure, show, copy.deepcopy(network), frames)))
    pauses = [round(1000.0 * seconds / len(pictures))] * (len(pictures) - 1) + [2000]
    pictures[0].save(path, format="GIF", save_all=True, append_images=pictures[1:], duration=pauses, loop=0)


def _panels(network: Network, X: ArrayLike, y: ArrayLike, trained: ArrayLike | None, title: str) -> tuple[Figure, Show]:
    """Draw accuracy, decision boundary and loss side by side; return the figure, and what shows it at any epoch."""
    figure = FigureCanvasAgg(Figure((13.0, 4.9), dpi=100)).figure
    left, middle, right = figure.subplots(
        1, 3, gridspec_kw={"left": 0.058, "right": 0.98, "bottom": 0.18, "top": 0.84, "wspace": 0.22}
    )
    panels = (
        _accuracy_curve(left, network.history),
        _plane(middle, network, X, y, trained),
        _loss_curve(right, network.history),
    )
    figure.text(0.012, 0.975, title, ha="left", va="top", color=INK, fontsize=13)
    counter = figure.text(0.988, 0.975, "", ha="right", va="top", color=INK, fontsize=13)

    def show(epoch: int, network: Network) -> list[Artist]:
        counter.set_text(f"epoch {epoch:,} of {len(network.history):,}")
        return [counter, *(artist for panel in panels for artist in panel(epoch, network))]

    return figure, show


def _pictures(figure: Figure, show: Show, network: Network, frames: list[tuple[int, NDArray]]) -> Iterator[Image.Image]:
    """Yield one picture per frame. The fixed parts are drawn once: text and axes take most of the time."""
    for artist in show(0, network):
        artist.set_animated(True)
    figure.canvas.draw()
    still = figure.canvas.copy_from_bbox(figure.bbox)
    for epoch, parameters in frames:
        network.params[:] = parameters
        figure.canvas.restore_region(still)
        for artist in show(epoch, network):
            figure.draw_artist(artist)
        yield Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])


def _curve(ax: Axes, history: History, name: str, number: str, color: str) -> Show:
    """Draw a measure over the epochs; return what shows it up to any epoch, with the last value in the title."""
    measured, validation = getattr(history, name), getattr(history, f"val_{name}")
    epochs, values = _thin(measured)
    if not len(values):
        raise ValueError(f"history: got no finite {name}; a history with a finite {name} is accepted")
    _style(ax, "epoch", name)
    ax.set_xlim(0, len(measured))
    ax.xaxis.set(major_locator=MaxNLocator(5, integer=True), major_formatter=EngFormatter(sep=""))
    (line,) = ax.plot(epochs, values, color=color, linewidth=1.8, label="training")
    (tip,) = ax.plot([], [], "o", color=color, markersize=6, clip_on=False, zorder=3)
    if validation is not None:
        ax.plot(*_thin(validation), color=INK, linewidth=1.4, linestyle="--", label="validation")
        ax.legend(frameon=False, fontsize=10, labelcolor=INK)

    def show(epoch: int, _: Network | None = None) -> list[Artist]:
        done = int(np.searchsorted(epochs, epoch, side="right"))
        last = slice(done - 1, done)  # nothing before the first epoch
        line.set_data(epochs[:done], values[:done])
        tip.set_data(epochs[last], values[last])
        tip.set_visible(bool(np.all(values[last] <= ax.get_ylim()[1])))
        stopped = epoch >= len(measured) > epochs[-1]
        text = "not finite" if stopped else "".join(map(number.format, values[last]))
        return [line, tip, _title(ax, f"{name.capitalize()}  {text}")]

    return show


def _loss_curve(ax: Axes, history: History) -> Show:
    show = _curve(ax, history, "loss", "{:.4g}", PURPLE)
    loss = np.asarray(history.loss, float)
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
    show(len(loss))
    return show


def _accuracy_curve(ax: Axes, history: History) -> Show:
    if history.accuracy is None:
        raise ValueError("history: got no accuracy, as after a regression; a history of a classification is accepted")
    show = _curve(ax, history, "accuracy", "{:.1%}", GREEN)
    lowest = np.fmin.reduce(np.append(history.accuracy, [] if history.val_accuracy is None else history.val_accuracy))
    ax.set_ylim(np.floor(10.0 * lowest - 0.3) / 10.0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    show(len(history.accuracy))
    return show


def _still(draw: Callable[[Axes, History], Show], history: History, ax: Axes | None) -> Axes:
    """Draw a whole curve, over logarithmic epochs if the loss did nine tenths of its fall in a hundredth of them."""
    ax = _new_axes() if ax is None else ax
    draw(ax, history)
    loss = np.asarray(history.loss, float)
    early = loss[: max(1, len(loss) // 100)]
    if loss[0] - early.min() > 0.9 * (loss[0] - np.fmin.reduce(loss)) > 0.0:
        ax.set(xscale="log", xlim=(1, len(loss)))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.minorticks_off()
    return ax


def _plane(
    ax: Axes,
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    trained: ArrayLike | None,
    resolution: int = 200,
    colorbar: bool = False,
) -> Show:
    """Draw the probability of the second class over the plane, and points; return what shows it for any parameters."""
    X, is_second = _two_class_points(network, X, y)
    trained = np.ones(len(X), bool) if trained is None else np.asarray(trained, bool)
    _style(ax, "$x_1$", "$x_2$")
    _title(ax, "Decision boundary")
    ax.grid(False)
    ax.set_aspect("equal")
    margin = 0.05 * np.ptp(X, axis=0)
    x1, x2 = np.linspace(X.min(axis=0) - margin, X.max(axis=0) + margin, resolution).T
    grid = np.stack(np.meshgrid(x1, x2), axis=-1).reshape(-1, 2)
    colors = np.where(is_second, *reversed(CLASS_COLORS))
    points = [
        ax.scatter(*X[~trained].T, c=colors[~trained], s=12, alpha=0.6, linewidths=0, zorder=2),
        ax.scatter(*X[trained].T, c=colors[trained], s=36, edgecolors="white", linewidths=0.9, zorder=3),
    ]
    bands: list[Artist] = []  # and the line at one half, if the plane holds it

    def show(_: int, network: Network) -> list[Artist]:
        for artist in bands:
            artist.remove()
        probability = _second_class(network, grid).reshape(len(x2), len(x1))
        bands[:] = [ax.contourf(x1, x2, probability, PROBABILITY_BANDS, **PROBABILITY_COLORS, zorder=0)]
        if probability.min() < 0.5 < probability.max():
            bands.append(ax.contour(x1, x2, probability, [0.5], colors=INK, linewidths=1.6, zorder=1))
        return [*bands, *points]

    show(0, network)
    names = (0, 1) if network.classes_ is None else network.classes_
    _add_legend(ax, names, held_out=not trained.all())
    if colorbar:
        _add_color_bar(ax, bands[0], names[1])
    return show


def _two_class_points(network: Network, X: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return X as an array, and whether each row is of the second class."""
    arrays.check_names(X, network._record.feature_names)
    X, y = np.asarray(X, float), np.asarray(y)
    if X.ndim != 2 or X.shape[1] != 2 or network.sizes[0] != 2:
        raise ValueError(
            f"X: got shape {X.shape} with a network of {network.sizes[0]} inputs; shape (rows, 2) with a network of "
            "2 inputs is accepted"
        )
    classes, codes = np.unique(y.argmax(axis=1) if y.ndim == 2 else y, return_inverse=True)
    if len(classes) != 2 or network.sizes[-1] > 2:
        raise ValueError(
            f"y: got {len(classes)} classes with a network of {network.sizes[-1]} outputs; two classes with 1 or 2 "
            "outputs are accepted"
        )
    return X, codes == 1


def _second_class(network: Network, X: NDArray) -> NDArray:
    """Return the probability of the second class, shape (rows,)."""
    outputs = np.asarray(network._model.outputs(arrays.features(X, dtype=network.dtype)), float)
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    total = outputs.sum(axis=1)  # 0 if both sigmoids are saturated, which counts as equal
    return np.divide(outputs[:, 1], total, out=np.full(len(X), 0.5), where=total > 0.0)


def _add_legend(ax: Axes, classes: Sequence[object], held_out: bool) -> None:
    points = [(color, 6, f"class {name!s}") for color, name in zip(CLASS_COLORS, classes, strict=True)]
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


def _add_color_bar(ax: Axes, bands: Artist, class_name: object) -> None:
    bar = ax.figure.colorbar(
        bands,
        ax=ax,
        ticks=np.linspace(0, 1, 5),
        format=PercentFormatter(1.0, decimals=0),
        shrink=0.85,
        pad=0.03,
    )
    bar.ax.tick_params(colors=INK, length=0)
    bar.ax.minorticks_off()
    bar.set_label(f"probability of class {class_name!s}", color=INK, fontsize=11)
    bar.outline.set_visible(False)


def _thin(values: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return the epochs (from 1) and the finite values to draw, of a long history some thousands as in `plot_loss`."""
    values = np.asarray(values, float)
    epochs = np.flatnonzero(np.isfinite(values))
    last = len(epochs) - 1
    if last > 4 * STRETCHES:
        length = -(-len(epochs) // STRETCHES)
        stretches = np.pad(values[epochs], (0, -len(epochs) % length), mode="edge").reshape(-1, length)
        early = np.geomspace(1, last, STRETCHES).astype(int)
        starts = length * np.arange(len(stretches))
        extremes = [starts + stretches.argmin(axis=1), starts + stretches.argmax(axis=1)]
        epochs = epochs[np.unique(np.minimum(np.concatenate([[0], early, *extremes]), last))]
    return epochs + 1, values[epochs]


def _new_axes(size: tuple[float, float] = (7.0, 4.4)) -> Axes:
    return FigureCanvasAgg(Figure(size, dpi=150, layout="constrained")).figure.subplots()


def _style(ax: Axes, xlabel: str, ylabel: str) -> None:
    ax.set_xlabel(xlabel, color=INK, fontsize=11)
    ax.set_ylabel(ylabel, color=INK, fontsize=11)
    ax.tick_params(colors=INK, labelsize=10, length=0)
    ax.grid(color=PALE, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[:].set_color(PALE)
    ax.spines[["top", "right"]].set_visible(False)


def _title(ax: Axes, text: str) -> Artist:
    return ax.set_title(text, loc="left", color=INK, fontsize=12, fontweight="bold")


def _reduce_colors(pictures: list[Image.Image]) -> list[Image.Image]:
    """Return pictures with 256 colours, the same for all, so that no colour flickers between pictures."""
    joined = Image.fromarray(np.concatenate(pictures[:: max(1, len(pictures) // 4)] + pictures[-1:]))
    colors = joined.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    reduced = [picture.quantize(palette=colors, dither=Image.Dither.NONE) for picture in pictures]
    # The background has become nearly white: make its colour, that of a corner, white.
    palette, background = colors.getpalette(), reduced[0].getpixel((0, 0))
    palette[3 * background : 3 * background + 3] = [255, 255, 255]
    for picture in reduced:
        picture.putpalette(palette)
    return reduced
