"""Measure what is paid besides the arithmetic: import, calls on tiny data, predictions, and on demand installation.

    python bench/overheads.py [--install] [--repeats 9] [--seconds 0.05] [--out FILE.csv]

Predictions are compared with those of other libraries, all with the same weights in one process on one CPU, taking
turns; each must first predict what fastmlp does. `--install` times `pip install` into a new environment, and weighs
the wheel; it takes minutes.
"""

import argparse
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness.cases import CASES, Layers, data, start
from harness.options import Script
from harness.records import BENCH, Record, Row, show, written
from harness.rivals import PyTorch, network, present, scikit_learn, stopped_on_purpose, version
from harness.timing import alone, process, take_turns

import fastmlp

CASE = CASES["digits-float32"]
SHAPE = "→".join(map(str, CASE.sizes))
OURS, NOT_INSTALLED = "fastmlp", "not installed"

# Two correct predictions may differ by what rounding makes of a sum of a hundred products, and by an exp of a few
# units in the last place: 1e-6 of a probability was met; a wrong weight or activation makes a thousand times that.
AGREEMENT = 1e-5

Predict = Callable[[np.ndarray], np.ndarray]


# --------------------------------------------------------------------------------------------------- predictors


def numpy_predictor(layers: Layers) -> Predict:
    """Return the network written down in NumPy, without any check."""
    (w1, b1), (w2, b2) = layers

    def predict(X: np.ndarray) -> np.ndarray:
        z = np.maximum(X @ w1 + b1, 0) @ w2 + b2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return predict


def onnx_predictor(layers: Layers) -> Predict:
    """Return the prediction of the network as an ONNX model, by ONNX Runtime on one thread."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    names = ("w1", "b1", "w2", "b2")
    arrays = [array for layer in layers for array in layer]
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["X", "w1", "b1"], ["z1"]),
            helper.make_node("Relu", ["z1"], ["h1"]),
            helper.make_node("Gemm", ["h1", "w2", "b2"], ["z2"]),
            helper.make_node("Softmax", ["z2"], ["probabilities"], axis=1),
        ],
        "network",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", CASE.sizes[0]])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", CASE.sizes[-1]])],
        [numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)],
    )
    # Versions that are old enough for any runtime of the last years.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda X: session.run(None, {"X": X})[0]


def estimator_predictor(classifier: Callable[..., Any], layers: Layers) -> Predict:
    """Return the prediction of a classifier, scikit-learn's or fastmlp's, with the weights."""
    estimator = classifier(CASE.sizes[1:-1], activation=CASE.activation, max_iter=1, random_state=0)
    with stopped_on_purpose():
        estimator.fit(*data(CASE, 100))  # only to make the arrays
    estimator.coefs_ = [weights for weights, _ in layers]
    estimator.intercepts_ = [biases for _, biases in layers]
    return estimator.predict_proba


def torch_predictor(layers: Layers) -> Predict:
    """Return the prediction of PyTorch's module without autograd; arrays are shared."""
    import torch

    torch.set_num_threads(1)
    model = PyTorch.model(CASE, layers)
    PyTorch.load(model, layers)

    def predict(X: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.softmax(model(torch.from_numpy(X)), 1).numpy()

    return predict


def jax_predictor(layers: Layers) -> Predict:
    """Return JAX's prediction, compiled for each number of rows."""
    import jax

    (w1, b1), (w2, b2) = layers
    compiled = jax.jit(lambda X: jax.nn.softmax(jax.nn.relu(X @ w1 + b1) @ w2 + b2))
    return lambda X: np.asarray(compiled(X))


# Contender: the distributions it needs, and what makes it.
PREDICTORS: dict[str, tuple[tuple[str, ...], Callable[[Layers], Predict]]] = {
    OURS: ((OURS,), lambda layers: network(CASE, layers).predict_proba),
    "onnxruntime": (("onnxruntime", "onnx"), onnx_predictor),
    "numpy": (("numpy",), numpy_predictor),
    "scikit-learn": (
        ("scikit-learn",),
        lambda layers: estimator_predictor(scikit_learn("neural_network").MLPClassifier, layers),
    ),
    "fastmlp.sklearn": (("scikit-learn",), lambda layers: estimator_predictor(fastmlp.sklearn.MLPClassifier, layers)),
    "pytorch": (("torch",), torch_predictor),
    "jax": (("jax",), jax_predictor),
}


def missing() -> list[str]:
    """Return the names of the contenders that cannot be timed here; fastmlp need not be installed to be imported."""
    return [name for name, (needed, _) in PREDICTORS.items() if name != OURS and not all(map(present, needed))]


def parameters() -> Layers:
    """Draw the weights of all predictors; unlike at the start of a training run, biases are not zero."""
    random = np.random.default_rng(3)
    return [(weights, random.standard_normal(biases.shape, biases.dtype)) for weights, biases in start(CASE)]


def time_predictions(rows: int, repeats: int, seconds: float) -> dict[str, list[float]]:
    """Time predictions in turns, in this process and on one CPU; ValueError if one differs from fastmlp's."""
    if hasattr(os, "sched_setaffinity"):
        # One CPU is one thread for all, XLA included, which has no other switch.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    X, layers = data(CASE, CASE.rows)[0][:rows], parameters()
    absent = missing()
    predictors = {name: make(layers) for name, (_, make) in PREDICTORS.items() if name not in absent}
    expected = predictors[OURS](X)
    for name, predict in predictors.items():
        apart = float(np.abs(predict(X) - expected).max())
        if not apart <= AGREEMENT:
            raise ValueError(f"{name} predicts something else: a probability is {apart:.1g} off")
    return take_turns({name: lambda p=predict: p(X) for name, predict in predictors.items()}, repeats, seconds)


# -------------------------------------------------------------------------------------------- fastmlp's own calls


def time_own_calls(repeats: int, seconds: float) -> dict[str, list[float]]:
    """Time predict on one row, and what train takes over its kernels on tiny data, in this process."""
    net, X = network(CASE, parameters()), data(CASE, 100)[0]
    row = X[:1].copy()
    X, y = data(CASES["xor"])
    small = fastmlp.train(X, y, hidden=(10,), epochs=1, seed=0)
    calls = {
        f"predict, 1 row, {SHAPE}": lambda: net.predict(row),
        "predict, 1 row, 2→10→2": lambda: small.predict(X[:1]),
    }
    found = take_turns(calls, repeats, seconds)
    for epochs in (1, 100):
        question = f"train, 50 rows, 2→10→2, {epochs} epoch{'s' if epochs > 1 else ''}, over the kernels' time"
        found[question] = [train_over_kernels(X, y, epochs) for _ in range(repeats * 20)]
    return found


def train_over_kernels(X: np.ndarray, y: np.ndarray, epochs: int) -> float:
    """Train once, and return how many seconds longer that takes than the kernel calls do."""
    begun = time.perf_counter()
    net = fastmlp.train(X, y, hidden=(10,), epochs=epochs, seed=0)
    return time.perf_counter() - begun - float(net.history.seconds.sum())


def time_import(repeats: int) -> list[float]:
    """Return the seconds of `import fastmlp` after `import numpy`, one entry per new process."""
    code = "import time, numpy; t = time.perf_counter(); import fastmlp; print(time.perf_counter() - t)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code]
    printed = [subprocess.check_output(command, env=environment) for _ in range(repeats + 1)]
    return [float(seconds) for seconds in printed[1:]]  # the first may have had to compile modules


# -------------------------------------------------------------------------------------------------- installation


def install() -> list[Row]:
    """Install from clean sources as a user does, into a new environment, and build the wheel; return the rows."""
    with tempfile.TemporaryDirectory() as folder:
        source, environment, dist = (Path(folder) / name for name in ("source", "environment", "dist"))
        left_out = shutil.ignore_patterns(".git", "build", "*.so", "__pycache__", "*.egg-info", "record")
        shutil.copytree(BENCH.parent, source, ignore=left_out)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
        begun = time.perf_counter()
        subprocess.run([python, "-m", "pip", "install", "--quiet", source], check=True)
        taken = time.perf_counter() - begun
        subprocess.run([python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", dist, source], check=True)
        (built,) = dist.glob("*.whl")
        size = built.stat().st_size / 1e6
    return [row_of("pip install .", OURS, "s", [taken]), row_of("the wheel's size", OURS, "MB", [size])]


# ---------------------------------------------------------------------------------------------------- the record


def row_of(
    question: str, contender: str, unit: str, values: Sequence[float], ours: float | None = None, note: str = ""
) -> Row:
    """Return a row of the record: what was asked of which library, its measurements, and fastmlp's median if any."""
    median = statistics.median(values or [math.nan])
    return {
        "question": question,
        "contender": contender,
        "unit": unit,
        "median": written(median, 4),
        "minimum": written(min(values, default=math.nan), 4),
        "ratio_to_fastmlp": written(median / ours, 4) if ours else "",
        "note": note,
    }


def prediction_rows(question: str, found: dict[str, list[float]], absent: Sequence[str]) -> list[Row]:
    """Return the rows of a comparison of predictions; contenders that are absent have one that states so."""
    micros = {name: [value * 1e6 for value in seconds] for name, seconds in found.items()}
    ours = statistics.median(micros[OURS])
    timed = [row_of(question, name, "µs", values, ours) for name, values in micros.items()]
    return [*timed, *(row_of(question, name, "µs", [], note=NOT_INSTALLED) for name in absent)]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--install", action="store_true", help="time pip install ., and weigh the wheel")


def run(given: argparse.Namespace, record: Record) -> None:
    absent = missing()
    used = [needed for name, (needed, _) in PREDICTORS.items() if name not in (OURS, *absent)]
    packages = dict.fromkeys(name for needed in used for name in needed)
    timing = f"{given.repeats} timings taken in turns; predictions on one CPU, in float32"
    record.describe(timing, [version(name) for name in packages if name != "numpy"])

    def keep(found: list[Row]) -> None:
        show(found[0]["question"], found, ("contender", "median", "minimum", "unit", "ratio_to_fastmlp", "note"))
        record.rows.extend(found)

    milliseconds = [value * 1e3 for value in time_import(given.repeats)]
    keep([row_of("import fastmlp over import numpy", OURS, "ms", milliseconds)])
    for question, values in alone(time_own_calls, given.repeats, given.seconds).items():
        keep([row_of(question, OURS, "µs", [value * 1e6 for value in values])])
    with process(threads=1) as ask:
        for count in (1, CASE.rows):
            found = ask(time_predictions, count, given.repeats, given.seconds)
            question = f"predict_proba, {count} row{'s' if count > 1 else ''}, {SHAPE}"
            keep(prediction_rows(question, found, absent))
    if given.install:
        for row in install():
            keep([row])


SCRIPT = Script(__doc__, run, "overheads", repeats=9, seconds=0.05, options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
