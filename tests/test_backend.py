"""Which build computes: forced, picked, missing; how many threads; and what importing the package brings along."""

from __future__ import annotations

import os

import numpy as np
import pytest
from inside import places
from new_process import TRAIN, in_new_process

import fastmlp

pytestmark = pytest.mark.usefixtures("plain_environment")


# ---- forced ----------------------------------------------------------------------------------------------


def test_the_environment_forces_a_backend(backend):
    done = in_new_process("fastmlp.show_config()" + TRAIN, FASTMLP_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    assert f"build in use: {backend} (forced by FASTMLP_BACKEND)\n" in done.stdout
    module = places.backend.kernels(np.dtype("float64"), backend).__name__
    assert done.stdout.splitlines()[-1] == f"{backend} {module}"


def test_the_best_build_is_taken_where_none_is_forced():
    # An empty variable is how a shell unsets one for a single command.
    done = in_new_process("fastmlp.show_config()", FASTMLP_BACKEND="")
    assert f"build in use: {places.backend.available()[-1]}\n" in done.stdout, done.stderr


# ---- importing -------------------------------------------------------------------------------------------


def test_importing_brings_no_more_than_every_call_needs():
    # What NumPy brings along, some versions more than others, costs nothing here.
    before = "import sys, numpy; known = set(sys.modules)"
    done = in_new_process("print(*sorted(set(sys.modules) - known))", before)
    assert done.returncode == 0, done.stderr
    brought = set(done.stdout.split())
    assert "fastmlp.network" in brought
    assert not brought & {"safetensors", "concurrent.futures", "difflib", "json", "logging", "platform", "tempfile"}
    assert not [name for name in brought if name.startswith("fastmlp._kernels")], "a build comes with its first use"


@pytest.mark.parametrize("build", places.backend.NAMES)
def test_only_the_build_in_use_is_loaded(build):
    if build in places.backend.missing:
        pytest.skip(places.backend.missing[build])
    code = "import sys; fastmlp.Network((1, 1)); print(*(name for name in sys.modules if '._kernels' in name))"
    done = in_new_process(code, FASTMLP_BACKEND=build)
    dtypes = () if build == places.backend.REFERENCE else ("float32", "float64")
    assert set(done.stdout.split()) == {places.module_name(build, dtype) for dtype in dtypes}, done.stderr


def test_what_is_left_out_comes_when_it_is_asked_for(tmp_path):
    code = f"""
X, y = fastmlp.datasets.moons(200)
net = fastmlp.train(X, y, hidden=3, epochs=2, seed=0, n_threads=2)
net.save({str(tmp_path / "model")!r})
assert (fastmlp.load({str(tmp_path / "model")!r}).params == net.params).all()
for backend in (row.name for row in fastmlp.backends() if not row.missing):
    fastmlp.train(X, y, hidden=3, epochs=1, seed=0, backend=backend)
fastmlp.show_config()
try:
    fastmlp.train(X, y, activation="rleu")
except ValueError as error:
    print(error)
"""
    done = in_new_process(code)
    assert done.returncode == 0, done.stderr
    assert "did you mean 'relu'?" in done.stdout


# ---- threads ---------------------------------------------------------------------------------------------


@pytest.fixture
def eight_cpus(monkeypatch):
    monkeypatch.setattr(places.threads.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("own", "openmp", "threads"),
    [
        (None, None, 8),
        ("3", None, 3),
        (None, "4", 4),
        ("3", "4", 3),
        ("5", "4", 4),
        ("100", None, 8),
        (None, "2,1", 2),
        (None, " 6 , 2", 6),
        (" 0006 ", None, 6),
        (None, "9999999999", 8),
        ("", "", 8),
    ],
)
@pytest.mark.usefixtures("eight_cpus")
def test_the_environment_lowers_the_threads(monkeypatch, own, openmp, threads):
    for name, value in (("FASTMLP_NUM_THREADS", own), ("OMP_NUM_THREADS", openmp)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert places.threads.default_threads() == threads


@pytest.mark.parametrize("name", ["FASTMLP_NUM_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1 2", "²", ",4", "4,", "4,x", "4,0", "9" * 11])
def test_a_wrong_number_of_threads_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"^{name}: got '{value}'; a whole number of 1 or more is accepted$"):
        places.threads.default_threads()


def test_a_list_of_threads_is_openmps_alone(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "4,2")
    with pytest.raises(ValueError, match=r"^FASTMLP_NUM_THREADS: got '4,2'"):
        places.threads.default_threads()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to CPUs")
def test_cpus_that_the_process_may_not_use_do_not_count():
    cpu = min(os.sched_getaffinity(0))
    bind = f"import os; os.sched_setaffinity(0, {{{cpu}}})"
    done = in_new_process(
        "fastmlp.show_config(); from fastmlp._engine.threads import default_threads; print(default_threads())", bind
    )
    assert done.stdout.splitlines()[-2:] == ["threads: 1 (of 1 usable CPUs)", "1"], done.stderr


def test_a_wrong_number_of_threads_refuses_a_training_however_small(monkeypatch):
    X, y = fastmlp.datasets.moons(20)
    net = fastmlp.train(X, y, hidden=3, epochs=2, seed=0)
    before = net.params.copy()
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "many")
    with pytest.raises(ValueError, match=r"^FASTMLP_NUM_THREADS: got 'many'"):
        net.train(X, y, epochs=1)
    np.testing.assert_array_equal(net.params, before)


# ---- what the import brings along ------------------------------------------------------------------------


def test_the_import_brings_no_library_that_is_an_extra():
    extras = ("matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "tqdm")
    done = in_new_process(f"import sys\nprint([name for name in {extras} if name in sys.modules])")
    assert done.stdout == "[]\n", done.stderr
