"""The `fastmlp` command: the article's experiment, and training and predicting on tables.

matplotlib, pandas and tqdm are imported by the commands that need them.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from fastmlp._engine import backend, threads
from fastmlp._spec.values import choice, whole
from fastmlp.callbacks import Every
from fastmlp.tables import TASKS, Table, choose_task, read_table, split_table

# Settings of `fastmlp xor`: those of the article's first experiment, and today's.
ARTICLE = {
    "hidden": 3,
    "learning_rate": 0.003,
    "reg": 0.0,
    "rows": 50,
    "ridge": "published",
    "epochs": 1_000_000,
}
MODERN = {"hidden": 3, "learning_rate": 0.03, "epochs": 1000}
# So few neurons may start in a poor valley that no descent leaves; another start costs hundredths of a second.
MODERN_STARTS, MODERN_ENOUGH = 30, 0.98
# Options of `fastmlp train` that are parameters of `fastmlp.train`.
TRAIN_SETTINGS = (
    "hidden",
    "activation",
    "optimizer",
    "learning_rate",
    "l2",
    "batch_size",
    "epochs",
    "seed",
    "dtype",
    "n_threads",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `fastmlp` command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code: 0; 1 if `fastmlp train` diverged; 2 after an error, which is one line on standard error; 130
        after Ctrl-C; 141 if the reader of standard output has closed it.

    Raises
    ------
    SystemExit
        If the arguments can't be parsed (code 2), or after printing the help or the version (code 0).

    Examples
    --------
    >>> main(["predict", "no.safetensors", "no.csv"])
    2
    """
    options = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            backend.in_use(), threads.default_threads()  # what the environment sets wrongly, before any work
            code = options.run(options) or 0
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("fastmlp: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of standard output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        print(f"fastmlp: error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
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
    for name, (run, texts, options) in COMMANDS.items():
        command = commands.add_parser(name, allow_abbrev=False, **texts)
        for option, settings in options.items():
            command.add_argument(option, **settings)
        command.set_defaults(run=run, parser=command)
    return parser


def _whole(text: str, accepted: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {accepted}") from error


def _sizes(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(_whole(size, "numbers such as 64,64, or none") for size in text.split(","))


def _batch_size(text: str) -> int | str:
    return text if text in ("auto", "full") else _whole(text, "a whole number, auto or full")


def _name_among(known: Iterable[str], elsewhere: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return what argparse is told of an option that takes one of the known names."""

    def read(text: str) -> str:
        try:
            return choice(text, known, "", elsewhere)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from error

    return {"type": read, "choices": list(known)}


def _xor(options: argparse.Namespace) -> None:
    from fastmlp import plotting  # before training, which is in vain if nothing can be drawn

    defaults = MODERN if options.modern else ARTICLE
    given = {name: value for name in ARTICLE if (value := getattr(options, name)) is not None}
    for name in given.keys() - defaults.keys():
        options.parser.error(f"--{name} is for the article's experiment and does not go with --modern; leave out one")
    if options.frames < 2:
        options.parser.error(f"--frames: got {options.frames}, expected a whole number of at least 2")
    settings = {**defaults, **given, "seed": options.seed}
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastmlp.DivergenceWarning)  # the summary reports a divergence
        networks = (
            _train_modern(settings, options.frames)
            if options.modern
            else [fastmlp.article.train(**settings, frames=options.frames, progress=True)]
        )
    seconds = time.perf_counter() - started
    network = max(networks, key=_accuracy)
    _summarise_xor(network, settings, len(networks), seconds)
    _draw_xor(plotting, options.out, network, settings)


def _train_modern(settings: dict[str, Any], frames: int) -> list[fastmlp.Network]:
    """Train until one start is good enough; return the network of every start."""
    networks: list[fastmlp.Network] = []
    for start in range(MODERN_STARTS):
        networks.append(_train_start({**settings, "seed": settings["seed"] + start}, frames))
        if _accuracy(networks[-1]) > MODERN_ENOUGH:
            break
    return networks


def _train_start(settings: dict[str, Any], frames: int) -> fastmlp.Network:
    """Train one network, and keep frames of it."""
    X, y = fastmlp.article.data()
    network = fastmlp.Network(
        (2, settings["hidden"], 1), loss="binary_cross_entropy", classes=[0, 1], seed=settings["seed"]
    )
    epochs = whole(settings["epochs"], "epochs")
    kept = [(0, network.params.copy())]

    def keep(state: fastmlp.EpochState) -> None:
        kept.append((state.epoch, state.params.copy()))

    ends = np.linspace(0, epochs, min(frames, epochs + 1)).astype(int)[1:].tolist()
    network.train(
        X,
        y.argmax(axis=1),
        learning_rate=settings["learning_rate"],
        batch_size=30,
        epochs=epochs,
        callbacks=[Every(ends, keep)],
        progress=True,
    )
    network.history.frames = kept
    return network


def _accuracy(network: fastmlp.Network) -> float:
    """Return the accuracy on all of the article's points."""
    X, y = fastmlp.article.data()
    return float(np.mean(network.predict(X) == y.argmax(axis=1)))


def _summarise_xor(network: fastmlp.Network, settings: dict[str, Any], starts: int, seconds: float) -> None:
    loss, accuracy = network.history.loss[-1], _accuracy(network)
    finite = np.isfinite(loss)
    epochs = starts * settings["epochs"] if finite else len(network.history)
    lines = {
        "loss": f"{loss:.6g}",
        "accuracy": f"{accuracy:.1%} of 300 points",
        "epochs": f"{epochs:,} in {seconds:.2f} s, {epochs / seconds:,.0f} per second",
    }
    if starts > 1:
        others = f"the others ended below {MODERN_ENOUGH:.0%}" if accuracy > MODERN_ENOUGH else "the best one counts"
        lines["starts"] = f"{starts}; {others}"
    if not finite:
        lines["loss"] += f" at epoch {epochs:,}: the training stopped there"
        lines["diverged"] = "try a smaller --learning-rate"
        if settings.get("reg") and settings["ridge"] == "published":
            lines["diverged"] += ", or --ridge true: the published penalty is not the gradient of the published loss"
    for name, text in lines.items():
        print(f"{name:<10}{text}")


def _draw_xor(plotting: Any, out: Path, network: fastmlp.Network, settings: dict[str, Any]) -> None:
    """Draw a trained network, and print the files that are written."""
    X, y = fastmlp.article.data()
    rows = settings.get("rows", len(X))
    trained = np.arange(len(X)) < rows
    drawn = {
        "accuracy.png": plotting.plot_accuracy(network.history),
        "boundary.png": plotting.plot_boundary(network, X, y, trained=trained),
        "loss.png": plotting.plot_loss(network.history),
    }
    for name, ax in drawn.items():
        ax.figure.savefig(out / name)
    frames = network.history.frames
    if frames[-1][0] < len(network.history):  # stopped early: the last finite weights end the animation
        frames = [*frames, (len(network.history), network.params)]
    points = f"{rows} of {len(X)}" if rows < len(X) else f"all {len(X)}"
    plotting.save_animation(
        out / "all.gif",
        network,
        X,
        y,
        frames=frames,
        trained=trained,
        title=f"XOR with {settings['hidden']} hidden neurons, trained on {points} points",
    )
    print(f"{'written':<10}{', '.join(str(out / name) for name in (*drawn, 'all.gif'))}")


def _refuse_unwritable(path: Path | None, option: str) -> None:
    """Raise, before any work is done, if no file can be written at a path."""
    if path is not None and path.is_dir():
        raise ValueError(f"{option}: got {str(path)!r}, which is a folder; the name of a file is accepted")
    if path is not None and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise ValueError(
            f"{option}: got {str(path)!r}, whose folder does not exist or can't be written to; make it first"
        )


def _train(options: argparse.Namespace) -> int:
    _refuse_unwritable(options.save, "--save")
    frame = read_table(options.data)
    target = choice(options.target, frame.columns, "--target")
    frame = frame.drop(columns=[choice(name, frame.columns.drop(target), "--ignore") for name in options.ignore])
    task, reason = choose_task(frame[target], options.task)
    training, test = split_table(frame, target, task, options.test_fraction, options.seed)
    table = Table.fit(training, target, task)
    X, y = table.features(training), table.targets(training)
    X_test, y_test = (table.features(test), table.targets(test)) if len(test) else (X, y)
    print(
        f"task: {task} ({reason})",
        f"rows: {len(training):,} for training, {len(test):,} for the test",
        f"inputs: {table.width} from {len(table.columns)} columns",
        sep="\n",
    )
    started = time.perf_counter()
    settings = {name: getattr(options, name) for name in TRAIN_SETTINGS}
    network = fastmlp.train(X, y, loss=_loss_of(task, y), progress=True, **settings)
    seconds = time.perf_counter() - started
    network.metadata["table"] = table.to_json()
    if options.save is not None:
        network.save(options.save)
        print(f"saved: {options.save}")
    loss = network.history.loss[-1]
    print(f"training: {len(network.history):,} epochs in {seconds:.2f} s, loss {loss:.4g}")
    measured = (
        f"accuracy: {np.mean(network.predict(X_test) == y_test):.3f}"
        if task == "classification"
        else f"R²: {network.score(X_test, y_test):.3f}"
    )
    print(f"{'test' if len(test) else 'training'} {measured} ({len(y_test):,} rows)")
    return 0 if np.isfinite(loss) else 1


def _loss_of(task: str, y: np.ndarray) -> str:
    """Return the loss of a task that is known, so that nothing is left to guess from y."""
    if task == "regression":
        return "squared_error"
    return "cross_entropy" if len(np.unique(y)) > 2 else "binary_cross_entropy"


def _predict(options: argparse.Namespace) -> None:
    _refuse_unwritable(options.out, "--out")
    network = fastmlp.load(options.model)
    if "table" not in network.metadata:
        raise ValueError(
            f"{options.model}: holds a network but no table; models saved by fastmlp train --save are accepted; use "
            "fastmlp.load in Python for others"
        )
    table = Table.from_json(network.metadata["table"])
    predictions = table.predict(network, read_table(options.data, table.text_columns))
    predictions.to_csv(sys.stdout if options.out is None else options.out, index=False)
    if options.out is not None:
        print(f"{len(predictions):,} predictions written to {options.out}")


def _config(options: argparse.Namespace) -> None:
    fastmlp.show_config()


DATA = {"type": Path, "metavar": "DATA", "help": "a .csv file with a header, or .parquet"}
XOR_OPTIONS = {
    "--hidden": {"type": int, "metavar": "N", "help": "hidden neurons (default: 3)"},
    "--learning-rate": {"type": float, "metavar": "RATE", "help": "step size (default: 0.003; --modern: 0.03)"},
    "--epochs": {"type": int, "metavar": "N", "help": "default: 1,000,000; --modern: 1,000"},
    "--reg": {"type": float, "metavar": "LAMBDA", "help": "strength of the ridge penalty (default: 0)"},
    "--rows": {"type": int, "metavar": "N", "help": "train on the first N of 300 points (default: 50)"},
    "--ridge": {
        "choices": ["published", "true"],
        "help": "the penalty's step: as published (default), or the true gradient of the penalty",
    },
    "--seed": {"type": int, "default": 2017, "metavar": "N", "help": "seed of the weights (default: 2017)"},
    "--out": {"type": Path, "default": Path("xor"), "metavar": "FOLDER", "help": "default: xor"},
    "--frames": {"type": int, "default": 60, "metavar": "N", "help": "pictures in all.gif (default: 60)"},
    "--modern": {
        "action": "store_true",
        "help": "the same number of neurons with today's remedies: biases, relu, Adam, cross-entropy, minibatches, "
        "new starts; trained on all 300 points",
    },
}
TRAIN_OPTIONS = {
    "data": DATA,
    "--target": {"required": True, "metavar": "COLUMN", "help": "the column to predict"},
    "--ignore": {
        "action": "append",
        "default": [],
        "metavar": "COLUMN",
        "help": "leave a column out; may be repeated",
    },
    "--task": {"choices": ["auto", *TASKS], "default": "auto", "help": "default: auto"},
    "--hidden": {
        "type": _sizes,
        "default": (64, 64),
        "metavar": "N,N,...",
        "help": "neurons of each hidden layer, or none for a linear model (default: 64,64)",
    },
    "--activation": {
        **_name_among(fastmlp.activations.HIDDEN_ACTIVATIONS, fastmlp.activations.ELSEWHERE),
        "default": "relu",
        "help": "default: relu",
    },
    "--epochs": {"type": int, "default": 200, "metavar": "N", "help": "default: 200"},
    "--batch-size": {
        "type": _batch_size,
        "default": "auto",
        "metavar": "N",
        "help": "rows per step: a number, auto or full (default: auto)",
    },
    "--learning-rate": {"type": float, "metavar": "RATE", "help": "default: the optimizer's"},
    "--optimizer": {
        **_name_among(fastmlp.optimizers.OPTIMIZERS, fastmlp.optimizers.ELSEWHERE),
        "default": "adam",
        "help": "default: adam",
    },
    "--l2": {"type": float, "default": 0.0, "metavar": "LAMBDA", "help": "ridge penalty (default: 0)"},
    "--test-fraction": {
        "type": float,
        "default": 0.2,
        "metavar": "FRACTION",
        "help": "fraction of the rows that is held out (default: 0.2)",
    },
    "--seed": {"type": int, "default": 0, "metavar": "N", "help": "default: 0"},
    "--threads": {
        "type": int,
        "dest": "n_threads",
        "metavar": "N",
        "help": "default: all that this process may use",
    },
    "--dtype": {"choices": ["float32", "float64"], "default": "float32", "help": "default: float32"},
    "--save": {"type": Path, "metavar": "FILE", "help": "write the model, such as model.safetensors"},
}
# Command -> its function, its texts, its options.
COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int | None], dict[str, str], dict[str, dict[str, Any]]]] = {
    "xor": (
        _xor,
        {
            "help": "train the article's network on XOR and draw how it learns",
            "description": "Train the article's network (no biases, sigmoid, squared error, full-batch gradient "
            "descent) on XOR, and write accuracy.png, boundary.png, loss.png and all.gif.",
        },
        XOR_OPTIONS,
    ),
    "train": (_train, {"help": "train on a CSV or Parquet file and test on held-out rows"}, TRAIN_OPTIONS),
    "predict": (
        _predict,
        {"help": "predict the rows of a CSV or Parquet file"},
        {
            "model": {"type": Path, "metavar": "MODEL", "help": "a file that fastmlp train --save wrote"},
            "data": DATA,
            "--out": {"type": Path, "metavar": "FILE", "help": "a CSV file (default: standard output)"},
        },
    ),
    "config": (_config, {"help": "show the version, the builds and the threads in use"}, {}),
}
