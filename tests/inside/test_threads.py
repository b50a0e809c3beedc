"""The threads of a training run: how many, how they meet, and how an exception ends them."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from inside import places
from new_process import in_new_process

import fastmlp
from fastmlp import EarlyStopping


def points(rows: int = 90, columns: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels of three classes."""
    rng = np.random.default_rng(7)
    return rng.standard_normal((rows, columns)), rng.integers(0, 3, rows)


class Wrapped:
    """A build of the kernels whose runs are replaced: `make` takes a real one."""

    def __init__(self, kernels, make):
        self._kernels, self._make = kernels, make

    def Run(self, *arguments):  # noqa: N802  the kernels' name
        """Make a run that behaves otherwise."""
        return self._make(self._kernels.Run(*arguments))

    def __getattr__(self, name):
        return getattr(self._kernels, name)


class Proxy:
    """A run, some of whose methods are replaced."""

    def __init__(self, real, /, **methods):
        self._run = real
        vars(self).update(methods)

    def __getattr__(self, name):
        return getattr(self._run, name)


def network():
    """A network for three classes."""
    return fastmlp.Network((3, 6, 3), loss="cross_entropy", seed=3)


@pytest.mark.parametrize("thread", [0, 1, 2])
def test_an_exception_in_a_kernel_ends_all_threads(thread):
    X, y = points()
    net = network()

    def make(run):
        def fail(*_):
            raise MemoryError(f"thread {thread} does not come")

        if thread == 0:
            return Proxy(run, run=fail)
        return Proxy(run, help=lambda number: fail() if number == thread else run.help(number))

    places.replace_kernels(net, Wrapped(places.kernels_of(net), make))
    threads = threading.active_count()
    with pytest.raises(MemoryError, match="does not come"):
        net.train(X, y, epochs=2, n_threads=3)
    assert threading.active_count() == threads


def test_an_exception_in_a_helper_that_has_left_ends_the_training():
    X, y = points()
    net, failed = network(), threading.Event()

    def make(run):
        def help_and_fail(number):
            run.help(number)
            failed.set()
            raise MemoryError("after a call that was made")

        return Proxy(run, help=help_and_fail)

    places.replace_kernels(net, Wrapped(places.kernels_of(net), make))
    threads = threading.active_count()
    with pytest.raises(MemoryError, match="after a call"):
        net.train(X, y, epochs=1000, n_threads=2, callbacks=[lambda state: failed.wait(5) and time.sleep(0.01)])
    assert 1 <= len(net.history) < 1000
    assert threading.active_count() == threads


def test_helpers_that_have_left_for_good_cannot_be_called():
    kernels = places.backend.kernels(np.dtype("float64"), places.backend.available()[-1])
    stand_in = SimpleNamespace(
        abandoned=False, in_call=False, call_helpers=lambda *_: [], run=lambda *_: None, abandon=lambda: None
    )
    helpers = places.threads.Helpers(stand_in, kernels, 1)
    helpers.call(3)
    stand_in.abandoned = True
    with pytest.raises(RuntimeError, match="have left"):
        helpers.call(3)


@pytest.mark.parametrize("pause", [0.0, 0.01], ids=["they-wait", "they-have-left"])
def test_helpers_are_there_for_every_call(pause):
    X, y = points(400)
    nets = [
        fastmlp.train(X, y, epochs=20, seed=0, n_threads=n, callbacks=[lambda state: time.sleep(pause)]) for n in (1, 3)
    ]
    assert nets[0].params.tobytes() == nets[1].params.tobytes()
    assert [net.history.n_threads for net in nets] == [1, 3]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not bind processes to CPUs")
def test_a_helper_leaves_the_cpu_of_its_caller_and_may_run_anywhere_again():
    kernels = places.backend.kernels(np.dtype("float64"), places.backend.available()[-1])
    allowed, seen = os.sched_getaffinity(0), []
    stand_in = SimpleNamespace(help=lambda number: seen.append((number, os.sched_getaffinity(0))))
    taken = {kernels.current_cpu()}
    helpers = places.threads.Helpers(stand_in, kernels, 1)
    helper = threading.Thread(target=places.run_thread, args=(helpers, 1, taken))
    helper.start()
    helper.join()
    assert seen == [(1, allowed)]
    assert taken <= allowed
    assert len(taken) == min(2, len(allowed))


def threads_of(sizes, *, rows, batch, epochs, n_threads=None, max_threads=8):
    layers = places.layout.network_layers(sizes, (0,) * (len(sizes) - 1), True)
    build = places.backend.kernels("float32").sizes()
    return places.threads_for(
        layers, build, rows, batch=batch, epochs=epochs, n_threads=n_threads, max_threads=max_threads
    )


@pytest.mark.cost_model
def test_threads_are_for_work_that_is_worth_them(monkeypatch):
    monkeypatch.setattr(places.threads, "usable_cpus", lambda: 16)
    assert threads_of((2, 3, 1), rows=50, batch=50, epochs=1000) == 1
    assert threads_of((1000, 1000, 10), rows=5120, batch=512, epochs=10) == 8
    assert threads_of((1000, 1000, 10), rows=5120, batch=512, epochs=10, max_threads=2) == 2
    # A number is a ceiling, whatever the variables of the environment say.
    assert threads_of((2, 3, 1), rows=50, batch=50, epochs=1, n_threads=64) == 1
    wide = {"sizes": (1000, 1000, 10), "rows": 5120, "batch": 512, "epochs": 10}
    assert threads_of(**wide, n_threads=3) == 3
    assert threads_of(**wide, n_threads=12, max_threads=1) == 12
    assert threads_of(**wide, n_threads=64) == 16, "there are no more CPUs"


@pytest.mark.cost_model
def test_many_threads_for_little_work_are_one():
    X, y = points(480)
    assert fastmlp.train(X, y, hidden=16, epochs=2, seed=0, n_threads=64).history.n_threads == 1


def write_groups(tmp_path, groups, files):
    """Write what Linux would tell: the groups of this process, and the files below their folders."""
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return places.threads.quota.__wrapped__(tmp_path, tmp_path / "groups")


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, np.inf),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "400000 100000"}, 1),
        ("0::/../elsewhere\n", {"cpu.max": "300000 100000"}, 3),
        (
            "4:memory:/\n5:cpu,cpuacct:/docker/x\n",
            {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
            1,
        ),
        ("5:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, np.inf),
        ("0::/\n", {}, np.inf),
        ("", {}, np.inf),
    ],
)
def test_a_containers_quota_counts(tmp_path, groups, files, expected):
    assert write_groups(tmp_path, groups, files) == expected


def test_no_control_groups_are_no_quota(tmp_path):
    assert places.threads.quota.__wrapped__(tmp_path, tmp_path / "none") == np.inf


@pytest.mark.parametrize("allowed", [0, 1])
def test_threads_that_cannot_be_started(monkeypatch, backend, allowed):
    if backend == "reference":
        pytest.skip("the reference computes in one thread")
    X, y = points(400)
    one = fastmlp.train(X, y, epochs=20, seed=0, n_threads=1, backend=backend)
    begun, given = [], threading.Thread.start

    def start(thread):
        if sum(each.is_alive() for each in begun) == allowed:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        given(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    words = (
        rf"thread {allowed + 2} of 3 could not be started \(can't start new thread\); .* goes on with {allowed + 1};"
    )
    with pytest.warns(RuntimeWarning, match=words) as seen:
        net = fastmlp.train(X, y, epochs=20, seed=0, n_threads=3, backend=backend)
    assert len(seen) == 1
    assert net.history.n_threads == allowed + 1
    np.testing.assert_array_equal(net.params, one.params)


def test_threads_that_are_replaced_by_something_that_waits_in_the_same_one(monkeypatch):
    class Greenlet(threading.Thread):
        """What gevent makes of a thread: it runs where it is started, and whoever started it waits."""

        def start(self):
            self.run()

        def join(self, timeout=None):
            """It is over."""

    X, y = points(400)
    one = fastmlp.train(X, y, epochs=20, seed=0, n_threads=1)
    monkeypatch.setattr(places.threads.threading, "Thread", Greenlet)
    with pytest.warns(RuntimeWarning, match=r"^n_threads: thread 2 of 3 could not be started \(threads are replaced"):
        net = fastmlp.train(X, y, epochs=20, seed=0, n_threads=3)
    assert net.history.n_threads == 1
    np.testing.assert_array_equal(net.params, one.params)


FORK = """
import os, sys, warnings
from fastmlp._engine import threads
threads.COST_MODEL = False
X, y = fastmlp.datasets.moons(400, seed=0)
children = []

def fork(state):
    if state.epoch == 3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of a fork beside threads
            children.append(os.fork())

net = fastmlp.train(X, y, hidden=16, epochs=9, seed=0, n_threads=3, callbacks=[fork])
twin = fastmlp.train(X, y, hidden=16, epochs=9, seed=0, n_threads=1)
same = net.params.tobytes() == twin.params.tobytes() and net.history.n_threads == 3
if children[0] == 0:
    os._exit(0 if same else 5)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) or not same)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_that_is_forked_in_a_callback_trains_on():
    done = in_new_process(FORK)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.cost_model
def test_no_more_threads_than_a_step_can_be_shared_out_among():
    assert threads_of((64, 100, 10), rows=1800, batch=200, epochs=1000) == 2, "two groups of 100 rows"
    assert threads_of((4, 32, 16, 4), rows=3000, batch=3000, epochs=1000) > 2, "as many groups as chunks of samples"
    assert threads_of((1000, 1000, 10), rows=64, batch=64, epochs=1000, max_threads=64) == 4, "four blocks of 16 rows"
    assert threads_of((1000, 1000, 10), rows=8, batch=8, epochs=1000, max_threads=64) == 4, "a million weights"
    assert threads_of((300, 300, 10), rows=8, batch=8, epochs=1000, max_threads=64) == 1, "few rows, few weights"


@pytest.mark.parametrize("slice_seconds", [1e-9, 1.0])
@pytest.mark.parametrize("calls", [1, 2, 4, 9, 40])
def test_an_interruption_brings_the_best_weights_back(backend, monkeypatch, calls, slice_seconds):
    X, y = fastmlp.datasets.moons(300, noise=0.3, seed=0)
    options = {"learning_rate": 0.05, "batch_size": 32, "n_threads": 1, "validation": (X[:100], y[:100])}
    net, twin = (fastmlp.Network((2, 64, 1), loss="binary_cross_entropy", seed=0, backend=backend) for _ in range(2))
    given, made = places.given("thread_call"), []

    def interrupted(*arguments):
        given(*arguments)
        made.append(1)
        if len(made) == calls:
            raise KeyboardInterrupt

    places.switch(monkeypatch, thread_call=interrupted)
    places.switch(monkeypatch, lookback_seconds=slice_seconds)  # an epoch a call, or many
    places.switch(monkeypatch, first_steps=16)  # two epochs and a bit, so that each call has an end of one
    rule = EarlyStopping("val_loss", patience=200)
    try:
        net.train(X[100:], y[100:], epochs=150, early_stopping=rule, **options)
        assert len(made) < calls
    except KeyboardInterrupt:
        assert len(made) >= calls
    monkeypatch.undo()
    best = int(np.argmin(net.history.val_loss)) + 1
    assert net.history.best_epoch == best
    twin.train(X[100:], y[100:], epochs=best, **options)
    np.testing.assert_array_equal(net.params, twin.params)
