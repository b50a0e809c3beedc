"""The `fastmlp` command: the article's experiment, and training and predicting on tables.

Imports everything else and is imported by nothing. What only some commands need (matplotlib, pandas, tqdm) is
imported by them.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from fastmlp import article
from fastmlp._scalars import choice, whole
from fastmlp.activations import HIDDEN_ACTIVATIONS
from fastmlp.callbacks import ProgressBar
from fastmlp.network import Network
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.tables import TASKS, Table, choose_task, read_table, split_table

__all__ = ["main"]

# What `fastmlp xor` does when it isn't told: the article's first experiment, and the remedies.
ARTICLE = {
    "hidden": 3,
    "learning_rate": 0.003,
    "reg": 0.0,
    "rows": 50,
    "ridge": "published",
    "epochs": 1_000_000,
}
MODERN = {"hidden": 3, "learning_rate": 0.03, "epochs": 1000}
# A few neurons may start where no descent leads out of a poor valley; a new start costs hundredths of a second.
MODERN_STARTS, MODERN_ENOUGH = 30, 0.98


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `fastmlp` command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code: 0; 1 if `fastmlp train` diverged; 2 after an error (one line on standard error says
        which); 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        If the arguments themselves can't be understood (code 2), or only help or the version was asked for (0).

    Examples
    --------
    >>> main(["predict", "no.safetensors", "no.csv"])
    2
    """
    options = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = options.run(options) or 0
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("fastmlp: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of standard output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"fastmlp: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return code


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"fastmlp: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastmlp", description="Train multilayer perceptrons on CPUs, fast.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"fastmlp {fastmlp.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_xor(commands)
    _add_train(commands)
    _add_predict(commands)
    config = commands.add_parser("config", help="show the version, the builds and the threads in use")
    config.set_defaults(run=lambda options: fastmlp.show_config())
    return parser


def _add_xor(commands: Any) -> None:
    xor = commands.add_parser(
        "xor",
        allow_abbrev=False,
        help="train the article's network on XOR and draw how it learns",
        description="Train the article's network (no biases, sigmoid, squared error, full-batch gradient "
        "descent) on XOR, and write accuracy.png, boundary.png, loss.png and all.gif.",
    )
    xor.add_argument("--hidden", type=int, metavar="N", help="hidden neurons (default: 3)")
    xor.add_argument("--learning-rate", type=float, metavar="RATE", help="step size (default: 0.003; --modern: 0.03)")
    xor.add_argument("--epochs", type=int, metavar="N", help="default: 1,000,000; --modern: 1,000")
    xor.add_argument("--reg", type=float, metavar="LAMBDA", help="strength of the ridge penalty (default: 0)")
    xor.add_argument("--rows", type=int, metavar="N", help="train on the first N of 300 points (default: 50)")
    xor.add_argument(
        "--ridge",
        choices=["published", "true"],
        help="the penalty's step: as published (default), or the true gradient of the penalty",
    )
    xor.add_argument("--seed", type=int, default=2017, metavar="N", help="seed of the weights (default: 2017)")
    xor.add_argument("--out", type=Path, default=Path("xor"), metavar="FOLDER", help="default: xor")
    xor.add_argument("--frames", type=int, default=60, metavar="N", help="pictures in all.gif (default: 60)")
    xor.add_argument(
        "--modern",
        action="store_true",
        help="the same number of neurons with today's remedies: biases, relu, Adam, cross-entropy, minibatches, "
        "new starts; trained on all 300 points",
    )
    xor.set_defaults(run=_xor, parser=xor)


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train", allow_abbrev=False, help="train on a CSV or Parquet file and test on rows held out"
    )
    train.add_argument("data", type=Path, metavar="DATA", help="a .csv file with a header, or .parquet")
    train.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    train.add_argument(
        "--ignore", action="append", default=[], metavar="COLUMN", help="leave a column out; may be repeated"
    )
    train.add_argument("--task", choices=["auto", *TASKS], default="auto", help="default: auto")
    train.add_argument(
        "--hidden",
        type=_sizes,
        default=(64, 64),
        metavar="N,N,...",
        help="neurons of each hidden layer, or none for a linear model (default: 64,64)",
    )
    train.add_argument("--activation", choices=list(HIDDEN_ACTIVATIONS), default="relu", help="default: relu")
    train.add_argument("--epochs", type=int, default=200, metavar="N", help="default: 200")
    train.add_argument(
        "--batch-size", type=_batch_size, default="auto", metavar="N", help="rows a step: a number, auto or full"
    )
    train.add_argument("--learning-rate", type=float, metavar="RATE", help="default: the optimizer's")
    train.add_argument("--optimizer", choices=list(OPTIMIZERS), default="adam", help="default: adam")
    train.add_argument("--l2", type=float, default=0.0, metavar="LAMBDA", help="ridge penalty (default: 0)")
    train.add_argument("--test-fraction", type=float, default=0.2, metavar="SHARE", help="rows held out (default: 0.2)")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    train.add_argument("--threads", type=int, metavar="N", help="default: all that this process may use")
    train.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="default: float32")
    train.add_argument("--save", type=Path, metavar="FILE", help="write the model, such as model.safetensors")
    train.set_defaults(run=_train)


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", allow_abbrev=False, help="predict the rows of a CSV or Parquet file")
    predict.add_argument("model", type=Path, metavar="MODEL", help="a file that fastmlp train --save wrote")
    predict.add_argument("data", type=Path, metavar="DATA", help="a .csv file with a header, or .parquet")
    predict.add_argument("--out", type=Path, metavar="FILE", help="a CSV file (default: standard output)")
    predict.set_defaults(run=_predict)


def _sizes(text: str) -> tuple[int, ...]:
    """Read the sizes of hidden layers from the command line."""
    if text == "none":
        return ()
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected numbers such as 64,64, or none") from error


def _batch_size(text: str) -> int | str:
    if text in ("auto", "full"):
        return text
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number, auto or full") from error


def _xor(options: argparse.Namespace) -> None:
    from fastmlp import plotting  # before the training: what can't be drawn need not be trained

    defaults = MODERN if options.modern else ARTICLE
    given = {name: value for name in ARTICLE if (value := getattr(options, name)) is not None}
    for name in given.keys() - defaults.keys():
        options.parser.error(f"--{name} is the article's alone and does not go with --modern; leave out either")
    if options.frames < 2:
        options.parser.error(f"--frames: got {options.frames}, expected a whole number of at least 2")
    settings = {**defaults, **given, "seed": options.seed}
    options.out.mkdir(parents=True, exist_ok=True)
    X, y = article.data()
    rows = settings.get("rows", len(X))
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastmlp.DivergenceWarning)  # the summary says it, and what to try
        network, starts = (_train_modern if options.modern else _train_article)(settings, options.frames)
    seconds = time.perf_counter() - started
    points = f"{rows} of {len(X)}" if rows < len(X) else f"all {len(X)}"
    _summarise_xor(network, settings, starts, seconds)
    title = f"XOR with {settings['hidden']} hidden neurons, trained on {points} points"
    written = _draw_xor(plotting, options.out, network, X, y, np.arange(len(X)) < rows, title)
    print(f"{'written':<10}{', '.join(map(str, written))}")


def _train_article(settings: dict[str, Any], frames: int) -> tuple[Network, int]:
    return article.train(**settings, frames=frames, progress=True), 1


def _train_modern(settings: dict[str, Any], frames: int) -> tuple[Network, int]:
    """Train with today's remedies, from new weights where the last ones led nowhere; keep the best network."""
    X, y = article.data()
    labels = y.argmax(axis=1)
    networks: list[Network] = []
    for start in range(MODERN_STARTS):
        with closing(ProgressBar()) as bar:
            seed = settings["seed"] + start
            networks.append(_train_modern_once({**settings, "seed": seed}, X, labels, frames, bar))
        if _accuracy(networks[-1], X, labels) > MODERN_ENOUGH:
            break
    return max(networks, key=lambda network: _accuracy(network, X, labels)), len(networks)


def _train_modern_once(
    settings: dict[str, Any], X: np.ndarray, labels: np.ndarray, frames: int, show: ProgressBar
) -> Network:
    """Train once, in stretches that end where a frame is kept: going on changes no bit."""
    network = fastmlp.Network(
        (2, settings["hidden"], 1), loss="binary_cross_entropy", classes=[0, 1], seed=settings["seed"]
    )
    epochs = whole(settings["epochs"], "epochs")
    ends = np.linspace(0, epochs, min(frames, epochs + 1)).astype(int).tolist()
    kept = [(0, network.params.copy())]
    for start, end in itertools.pairwise(ends):
        network.train(X, labels, learning_rate=settings["learning_rate"], batch_size=30, epochs=end - start)
        done = len(network.history)
        kept.append((done, network.params.copy()))
        show(fastmlp.Progress(done, epochs, network.history.loss[-1], network.history.accuracy[-1]))
        if not np.isfinite(network.history.loss[-1]):
            break
    network.history.frames = kept
    return network


def _accuracy(network: Network, X: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(network.predict(X) == labels))


def _draw_xor(
    plotting: Any, out: Path, network: Network, X: np.ndarray, y: np.ndarray, trained: np.ndarray, title: str
) -> list[Path]:
    history = network.history
    drawn = {
        "accuracy.png": plotting.plot_accuracy(history),
        "boundary.png": plotting.plot_boundary(network, X, y, trained=trained),
        "loss.png": plotting.plot_loss(history),
    }
    for name, ax in drawn.items():
        ax.figure.savefig(out / name)
    frames = history.frames
    if frames[-1][0] < len(history):  # stopped early: the last finite weights end the film
        frames = [*frames, (len(history), network.params)]
    plotting.save_animation(out / "all.gif", network, X, y, frames=frames, trained=trained, title=title)
    return [*(out / name for name in drawn), out / "all.gif"]


def _summarise_xor(network: Network, settings: dict[str, Any], starts: int, seconds: float) -> None:
    history = network.history
    loss = history.loss[-1]
    finite = bool(np.isfinite(loss))
    epochs = starts * settings["epochs"] if finite else len(history)
    print(f"{'loss':<10}{loss:.6g}" + ("" if finite else f" at epoch {len(history):,}: the training stopped there"))
    X, y = article.data()
    accuracy = _accuracy(network, X, y.argmax(axis=1))
    print(f"{'accuracy':<10}{accuracy:.1%} of {len(X)} points")
    print(f"{'epochs':<10}{epochs:,} in {seconds:.2f} s, {epochs / seconds:,.0f} a second")
    if starts > 1:
        enough = f"the others ended below {MODERN_ENOUGH:.0%}"
        print(f"{'starts':<10}{starts}; {enough if accuracy > MODERN_ENOUGH else 'the best one counts'}")
    if not finite:
        advice = "try a smaller --learning-rate"
        if settings.get("reg") and settings["ridge"] == "published":
            advice += ", or --ridge true: the published penalty is not the gradient of the published loss"
        print(f"{'diverged':<10}{advice}")


def _refuse_unwritable(path: Path | None, option: str) -> None:
    """Refuse, before any work is done, to write where no file can be."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"{option}: got {str(path)!r}, which is a folder; the name of a file is accepted")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise ValueError(f"{option}: got {str(path)!r}, whose folder is not there or can't be written; make it first")


def _train(options: argparse.Namespace) -> int:
    _refuse_unwritable(options.save, "--save")
    frame = read_table(options.data)
    target = choice(options.target, frame.columns, "--target")
    inputs = frame.columns.drop(target)
    frame = frame.drop(columns=[choice(name, inputs, "--ignore") for name in options.ignore])
    task, reason = choose_task(frame[target], options.task)
    training, test = split_table(frame, target, task, options.test_fraction, options.seed)
    table = Table.fit(training, target, task)
    X, y = table.features(training), table.targets(training)
    X_test, y_test = (table.features(test), table.targets(test)) if len(test) else (X, y)
    print(f"task: {task} ({reason})")
    print(f"rows: {len(training):,} for training, {len(test):,} for the test")
    print(f"inputs: {table.width} from {len(table.columns)} columns")
    started = time.perf_counter()
    network = _fit(options, X, y)
    seconds = time.perf_counter() - started
    network.metadata["table"] = table.to_json()
    if options.save is not None:
        network.save(options.save)
        print(f"saved: {options.save}")
    loss = network.history.loss[-1]
    print(f"training: {len(network.history):,} epochs in {seconds:.2f} s, loss {loss:.4g}")
    rows = "test" if len(test) else "training"
    if task == "classification":
        print(f"{rows} accuracy: {_accuracy(network, X_test, y_test):.3f} ({len(y_test):,} rows)")
    else:
        print(f"{rows} R²: {network.score(X_test, y_test):.3f} ({len(y_test):,} rows)")
    return 0 if np.isfinite(loss) else 1


def _fit(options: argparse.Namespace, X: np.ndarray, y: np.ndarray) -> Network:
    return fastmlp.train(
        X,
        y,
        hidden=options.hidden,
        activation=options.activation,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        l2=options.l2,
        batch_size=options.batch_size,
        epochs=options.epochs,
        progress=True,
        seed=options.seed,
        dtype=options.dtype,
        n_threads=options.threads,
    )


def _predict(options: argparse.Namespace) -> None:
    _refuse_unwritable(options.out, "--out")
    network = fastmlp.load(options.model)
    if "table" not in network.metadata:
        raise ValueError(
            f"{options.model}: holds a network but no table; only models saved by fastmlp train --save know the "
            "columns; use fastmlp.load in Python for others"
        )
    table = Table.from_json(network.metadata["table"])
    predictions = table.predict(network, read_table(options.data, table.text_columns))
    predictions.to_csv(sys.stdout if options.out is None else options.out, index=False)
    if options.out is not None:
        print(f"{len(predictions):,} predictions written to {options.out}")
