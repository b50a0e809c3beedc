"""Where the parts lie that the tests inspect and patch: the one file to change when a part moves."""

# ruff: noqa: F401 (modules that tests reach through this one)
from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from fastmlp import network
from fastmlp._checks import arrays, options, targets, task, topology
from fastmlp._checks import samples as checked_rows
from fastmlp._checks import sparse as sparse_rows
from fastmlp._checks.samples import Samples
from fastmlp._engine import backend, derivatives, layout, prediction, reference, threads
from fastmlp._files import model_file
from fastmlp._spec import values
from fastmlp._spec.records import names as spec_names
from fastmlp._training import divergence, fit, model, orders, run, snapshots, sparse, steps

# What a test may set for itself: a name of its own -> the module (its name, if it needs a package) and the name there.
SWITCHES = {
    "first_steps": (steps, "_FIRST_STEPS"),
    "max_growth": (steps, "_MAX_GROWTH"),
    "slice_seconds": (steps, "SLICE_SECONDS"),
    "lookback_seconds": (steps, "_PAST_SECONDS"),
    "first_epochs": (run, "_FIRST_EPOCHS"),
    "ahead_numbers": (orders, "_AHEAD_NUMBERS"),
    "window_bytes": (sparse, "WINDOW_BYTES"),
    "block_bytes": (sparse_rows, "_BLOCK_BYTES"),
    "derivative_bytes": (derivatives, "_BLOCK_BYTES"),
    "dense_bytes": (sparse_rows, "dense_bytes"),
    "replayed_bytes": (snapshots, "_REPLAYED_BYTES"),
    "kept_seconds": (snapshots, "_KEPT_SECONDS"),
    "copied_bytes_per_second": (snapshots, "_COPY_BYTES_PER_SECOND"),
    "unjoined_histories": (fit, "_MAX_UNJOINED"),
    "plan": (layout, "plan"),
    "is_narrow": (layout, "is_narrow"),
    "wide_groups": (layout, "_wide_groups"),
    "narrow_bytes": (layout, "_NARROW_BYTES"),
    "import_module": (backend.importlib, "import_module"),
    "cpu_features": (backend, "_cpu_features"),
    "loaded_builds": (backend, "_loaded"),
    "backend_in_use": (backend, "in_use"),
    "thread_call": (threads.Helpers, "call"),
    "window_fill": (sparse.Window, "fill"),
    "outputs": (prediction.Predictor, "outputs"),
    "aligned": (layout, "aligned"),
    "differentiate": (model.Model, "differentiate"),
    "cost_model": (threads, "COST_MODEL"),
    "onnx_bytes": ("fastmlp._files.onnx", "_MAX_BYTES"),
}

SparseRows, Window = sparse.SparseRows, sparse.Window
first_steps, max_growth = steps._FIRST_STEPS, steps._MAX_GROWTH
aligned, many_zeros = layout.aligned, run._has_many_zeros
find_missing, load_build, module_name = backend._find_missing, backend._load, backend._module_name
REQUIREMENTS = backend._REQUIREMENTS
BUILDS = tuple(name for name in backend.NAMES if name != backend.REFERENCE)


def switch(monkeypatch, **values):
    """Set some of the switches until the test ends."""
    for name, value in values.items():
        module, attribute = SWITCHES[name]
        monkeypatch.setattr(importlib.import_module(module) if isinstance(module, str) else module, attribute, value)


def given(name):
    """Return what stands at a switch now."""
    return getattr(*SWITCHES[name])


def forget_layouts():
    """Drop the layouts that are kept from one training to the next."""
    layout._laid_out.cache_clear()


def threads_for(layers, build, rows, *, batch, epochs, n_threads=None, max_threads=8):
    """Return how many threads the cost model gives a training run."""
    options = SimpleNamespace(batch_size=batch, epochs=epochs, n_threads=n_threads, default_threads=max_threads)
    return threads.threads_for(layers, build, rows, options)


def run_thread(helpers, number, taken):
    """Run one thread's part in a kernel call."""
    helpers._help(number, taken)


# ---- what a network keeps ------------------------------------------------------------------------------------


def kernels_of(net):
    """Return the module that computes a network."""
    return net._model.kernels


def replace_kernels(net, kernels):
    """Let other kernels compute a network."""
    net._model.kernels = kernels


def slots(net):
    """Return the optimizer's state, one vector; empty before the first training run."""
    return np.empty(0) if net._record.state is None else net._record.state.slots


def position(net, *names):
    """Return the fields of where a network's training stands."""
    found = tuple(net._record.state.position[name][0].item() for name in names)
    return found if len(names) > 1 else found[0]


def schedule_memory(net):
    """Return what a schedule that follows the losses remembers of them."""
    return net._record.state.memory


def remember_schedule(net):
    """Let the next schedule go on with what the last one remembers."""
    net._keep_schedule()


def optimizer_of(net):
    """Return the optimizer of the last training run."""
    return net._record.optimizer


def histories(net):
    """Return the histories that are not joined yet."""
    return net._record.histories


def workspaces(net):
    """Return the workspaces that are kept for predictions."""
    return net._model.predictor._workspaces


def kept_rows(net):
    """Return the rows of the last training run that are kept for the diagnostics."""
    return net._record.sample


def task_of(net):
    """Return what a network knows of its targets."""
    return net._model.task


def set_frames(monkeypatch, epochs):
    """Let every training run keep the parameters of some epochs, as the article's pictures need."""
    inner = options.TrainingOptions.__post_init__

    def with_frames(self):
        inner(self)
        object.__setattr__(self, "frames", epochs)

    monkeypatch.setattr(options.TrainingOptions, "__post_init__", with_frames)


class Coded(NamedTuple):
    """Targets as the kernels read them, and the task that follows from them."""

    task: task.Task
    values: np.ndarray


def code_targets(*given, **options):
    """Return what targets are, and their codes."""
    return Coded(*targets.targets(*given, **options))


# The checks by their names, wherever each lies.
checks = SimpleNamespace(
    targets=code_targets,
    **{
        name: getattr(module, name)
        for module, names in {
            arrays: ("features",),
            targets: ("encode",),
            task: ("task",),
            values: ("choice", "whole", "number", "flag"),
            topology: ("hidden_sizes", "activations", "floating", "checked_seed", "checked_dropout"),
            options: ("batch_size", "optimizer", "learning_rate", "shuffle"),
        }.items()
        for name in names
    },
)


def dropped_gradient(net, X, y, sample_weight=None):
    """Return the gradient without the units that the first epoch leaves out."""
    return net._model.differentiate(net._samples(X, y, sample_weight), dropping=True)[1]


def plan_of(net, **sizes):
    """Lay out a call for a network."""
    return layout.plan(net._model.layers, net._model.kernels.sizes(), **sizes)


def train_checked(net, samples, validation=None, **given):
    """Train on rows that are given as the kernels read them."""
    held_out = Samples() if validation is None else validation
    chosen = options.TrainingOptions(net._summary(samples, held_out), **given)
    return net._fit(samples, held_out, chosen)


def output_layer(
    kernels, arrays, y, weights, parameters, *, loss, metric=0, activation=0, threshold=0.5, metric_weights=None
):
    """Call the kernel of the output layer; `arrays` are losses, dz, h and z."""
    given = layout.OutputLayer(loss, metric, activation, threshold, parameters)
    samples = SimpleNamespace(x=None, y=y, weights=weights, metric_weights=metric_weights)
    return kernels.output_forward_backward(*arrays, samples, given)


def count_kernel_calls(monkeypatch, kernels):
    """Return a list that grows by one entry per call in which a thread trains; cleared, it counts anew."""
    calls, inner = [], threads.Helpers.call

    def call(self, steps):
        calls.append(1)
        inner(self, steps)

    monkeypatch.setattr(threads.Helpers, "call", call)
    return calls


def split(fraction, X, values, weights, known, seed):
    """Return X, coded targets and weights of the rows to train on, and of those to validate on."""
    parts = checked_rows.split(fraction, (X, values, weights), known, seed)
    return tuple((part.x, part.y, part.weights) for part in parts)


def drawn_rows(fraction, y, seed, **options):
    """Return the numbers of the rows to train on, and of those that a fraction draws to validate on."""
    known = code_targets(y, len(y), np.float64, **options)
    numbers = np.arange(float(len(y)))[:, None]
    parts = split(fraction, numbers, known.values, None, known.task, seed)
    return tuple(x[:, 0].astype(int) for x, *_ in parts)


def divergence_report(net, X, y):
    """Return what is said of a training run that ended with these weights."""
    found = divergence.Divergence(1, 1, net.params, 0, slice(None), 0.1)
    data = options.TrainingData(net._model.task, net.dtype, Samples(X, y))
    chosen = options.TrainingOptions(data, optimizer="sgd", batch_size="full")
    run_of = SimpleNamespace(samples=Samples(X, y), options=chosen, settings={"l2": 0.0, "own_average": False})
    return divergence.report(found, net._model, run_of)


def kernel_call(net):
    """Return the context in which a training run makes a kernel call, and which threads that read wait for."""
    return net._model.access.calling
