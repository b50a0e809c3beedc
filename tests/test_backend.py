"""Which build computes: forced, picked, missing; how many threads; and what importing the package brings along."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastmlp
from fastmlp import _backend, _layout, _reference, training

VARIABLES = ("FASTMLP_BACKEND", "FASTMLP_NUM_THREADS", "OMP_NUM_THREADS")
TRAIN = """
X, y = fastmlp.datasets.moons(20)
net = fastmlp.train(X, y, hidden=3, epochs=2, seed=0)
print(net.backend, net._kernels.__name__)
"""


def in_new_process(code: str, before: str = "", **variables: str) -> subprocess.CompletedProcess:
    """Run code after `import fastmlp` in a new interpreter, `before` ahead of the import."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | variables
    program = f"{before}\nimport fastmlp\n{code}"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


# ---- forced ----------------------------------------------------------------------------------------------


def test_the_environment_forces_a_backend(backend):
    done = in_new_process("fastmlp.show_config()" + TRAIN, FASTMLP_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    assert f"build in use: {backend} (forced by FASTMLP_BACKEND)\n" in done.stdout
    module = _backend.kernels(np.dtype("float64"), backend).__name__
    assert done.stdout.splitlines()[-1] == f"{backend} {module}"


def test_the_best_build_is_taken_where_none_is_forced():
    # An empty variable is how a shell unsets one for a single command.
    done = in_new_process("fastmlp.show_config()", FASTMLP_BACKEND="")
    assert f"build in use: {_backend.available()[-1]}\n" in done.stdout, done.stderr


def test_an_unknown_backend_fails_at_import():
    done = in_new_process("print('went on')", FASTMLP_BACKEND="x86-64-v33")
    assert done.returncode == 1
    assert done.stdout == ""
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: FASTMLP_BACKEND: got 'x86-64-v33', expected one of 'reference', 'baseline'")
    assert message.endswith("did you mean 'x86-64-v3'?")


def without(*builds: str) -> str:
    """Code that makes builds look as if they had never been built."""
    names = [_backend._module_name(build, "float32") for build in builds]
    return f"import sys; sys.modules.update(dict.fromkeys({names!r}))"


def test_a_forced_build_that_was_not_built_fails_at_import():
    done = in_new_process("print('went on')", without("baseline"), FASTMLP_BACKEND="baseline")
    assert done.returncode == 1
    assert done.stdout == ""
    message = "FASTMLP_BACKEND: got 'baseline', which cannot be used: not built for this machine; usable here are"
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {message}")


def test_a_package_without_builds_says_so_at_import_and_has_the_reference():
    builds = [name for name in _backend.NAMES if name != _backend.REFERENCE]
    done = in_new_process("print('went on')", without(*builds))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ImportError: fastmlp: no build of the kernels can be used" in done.stderr.splitlines()[-1]
    assert all(f"{build}: " in done.stderr for build in builds)
    done = in_new_process(TRAIN, without(*builds), FASTMLP_BACKEND="reference")
    assert done.stdout.split() == ["reference", "fastmlp._reference"], done.stderr


def test_a_build_of_which_one_dtype_is_missing_fails_at_import():
    build = _backend.available()[-1]
    if build == _backend.REFERENCE:
        pytest.skip("no build of the kernels is there")
    name = _backend._module_name(build, "float64")
    done = in_new_process("print('went on')", f"import sys; sys.modules[{name!r}] = None")
    assert done.returncode == 1
    assert done.stdout == ""
    assert name in done.stderr.splitlines()[-1]


# ---- found -----------------------------------------------------------------------------------------------


def test_a_machine_that_lacks_features_gets_the_builds_it_can_run(monkeypatch):
    monkeypatch.setattr(_backend, "_cpu_features", lambda: {"AVX2": True, "FMA3": True, "F16C": False})
    loaded, missing = _backend._find()
    assert "F16C" in _backend._REQUIREMENTS["x86-64-v3"]
    assert set(loaded) <= {"baseline"}
    for build, text in (("x86-64-v3", "F16C"), ("x86-64-v4", "AVX512F, AVX512BW, AVX512CD, AVX512DQ, AVX512VL, F16C")):
        assert missing[build] in (f"this machine lacks {text}", "not built for this machine")


def test_an_unusable_backend_is_refused_with_its_reason(monkeypatch):
    monkeypatch.setitem(_backend.missing, "x86-64-v4", "this machine lacks AVX512F")
    with pytest.raises(ValueError, match=r"^backend: got 'x86-64-v4', which cannot be used: this machine lacks AVX"):
        fastmlp.train([[0.0], [1.0]], [0, 1], epochs=1, backend="x86-64-v4")
    monkeypatch.setenv("FASTMLP_BACKEND", "x86-64-v4")
    with pytest.raises(ImportError, match=r"^FASTMLP_BACKEND: got 'x86-64-v4', which cannot be used"):
        _backend._pick()


def test_records_are_as_long_in_the_builds_as_in_the_layout(backend, dtype):
    sizes = _backend.kernels(dtype, backend).sizes()
    for name in ("layer", "slab", "settings", "epoch", "position"):
        assert sizes[name] == getattr(_layout, name.upper()).itemsize
    if backend != _backend.REFERENCE:
        assert sizes["dtype"] == np.dtype(dtype).name


@pytest.mark.parametrize(("field", "value"), [("layer", 8), ("position", 1), ("dtype", "float16")])
def test_a_build_of_other_sources_is_refused(monkeypatch, field, value):
    other = SimpleNamespace(__name__="other", sizes=lambda: _reference.sizes() | {"dtype": "float32", field: value})
    monkeypatch.setattr(_backend.importlib, "import_module", lambda name: other)
    with pytest.raises(ImportError, match="other .*reinstall fastmlp"):
        _backend._load("baseline")


def test_a_build_of_other_sources_fails_when_it_is_used_and_is_told_of(monkeypatch, capsys):
    stale = SimpleNamespace(__name__="stale", sizes=lambda: _reference.sizes() | {"layer": 8})
    monkeypatch.setattr(_backend, "_loaded", {})
    monkeypatch.setattr(_backend.importlib, "import_module", lambda name: stale)
    monkeypatch.delitem(_backend.missing, "baseline", raising=False)
    with pytest.raises(ImportError, match="stale was built from other sources .*reinstall fastmlp"):
        fastmlp.train([[0.0], [1.0]], [0, 1], epochs=1, backend="baseline")
    fastmlp.show_config()
    assert "  baseline: broken: fastmlp: stale was built from other sources" in capsys.readouterr().out


def test_the_reference_serves_both_dtypes():
    assert _backend.kernels(np.dtype("float32"), "reference") is _backend.kernels(np.dtype("float64"), "reference")
    assert _backend.available()[0] == "reference"


def test_a_backend_is_a_string():
    with pytest.raises(TypeError, match=r"^backend: got 3 \(int\), expected one of 'reference'"):
        _backend.resolve(3)


def test_show_config_tells_versions_builds_and_threads(capsys, monkeypatch):
    monkeypatch.setitem(_backend.missing, "baseline", "not built for this machine")
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    fastmlp.show_config()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"fastmlp {fastmlp.__version__} (Python ")
    assert f"NumPy {np.__version__}" in lines[0]
    assert lines[1] == f"build in use: {_backend.in_use}"
    assert [line.split(":")[0].strip() for line in lines[2:-1]] == list(reversed(_backend.NAMES))
    assert "  baseline: not built for this machine" in lines
    assert lines[-1] == f"threads: 1 (of {_backend.usable_cpus()} usable CPUs)"


# ---- importing -------------------------------------------------------------------------------------------


def test_importing_brings_no_more_than_every_call_needs():
    # What NumPy brings along, some versions more than others, costs nothing here.
    before = "import sys, numpy; known = set(sys.modules)"
    done = in_new_process("print(*sorted(set(sys.modules) - known))", before)
    assert done.returncode == 0, done.stderr
    brought = set(done.stdout.split())
    assert "fastmlp.network" in brought
    assert not brought & {"safetensors", "concurrent.futures", "difflib", "json", "logging", "platform", "tempfile"}
    kernels = {name for name in brought if name.startswith("fastmlp._kernels")}
    build = _backend.available()[-1]
    dtypes = () if build == _backend.REFERENCE else ("float32", "float64")
    assert kernels == {_backend._module_name(build, dtype) for dtype in dtypes}


def test_the_reference_needs_no_build():
    code = "import sys; print([name for name in sys.modules if name.startswith('fastmlp._kernels')])"
    assert in_new_process(code, FASTMLP_BACKEND="reference").stdout == "[]\n"


def test_what_is_left_out_comes_when_it_is_asked_for(tmp_path):
    code = f"""
X, y = fastmlp.datasets.moons(200)
net = fastmlp.train(X, y, hidden=3, epochs=2, seed=0, n_threads=2)
net.save({str(tmp_path / "model")!r})
assert (fastmlp.load({str(tmp_path / "model")!r}).params == net.params).all()
for backend in fastmlp._backend.available():
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
    monkeypatch.setattr(_backend.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("own", "openmp", "threads"),
    [
        (None, None, 8), ("3", None, 3), (None, "4", 4), ("3", "4", 3), ("5", "4", 4), ("100", None, 8),
        (None, "2,1", 2), (None, " 6 , 2", 6), ("", "", 8),
    ],
)
@pytest.mark.usefixtures("eight_cpus")
def test_the_environment_lowers_the_threads(monkeypatch, own, openmp, threads):
    for name, value in (("FASTMLP_NUM_THREADS", own), ("OMP_NUM_THREADS", openmp)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert _backend.default_threads() == threads


@pytest.mark.parametrize("name", ["FASTMLP_NUM_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1 2", "²"])
def test_a_wrong_number_of_threads_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"^{name}: got '{value}'; a whole number of 1 or more is accepted$"):
        _backend.default_threads()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to CPUs")
def test_cpus_that_the_process_may_not_use_do_not_count():
    cpu = min(os.sched_getaffinity(0))
    bind = f"import os; os.sched_setaffinity(0, {{{cpu}}})"
    done = in_new_process("fastmlp.show_config(); print(fastmlp._backend.default_threads())", bind)
    assert done.stdout.splitlines()[-2:] == ["threads: 1 (of 1 usable CPUs)", "1"], done.stderr


def threads_of(sizes, *, rows, batch, epochs, n_threads=None, most_threads=8):
    layers = _layout.network_layers(sizes, [0] * (len(sizes) - 1), True)
    schedule = training.Schedule(epochs, batch, True, 0, 0.01, n_threads=n_threads, most_threads=most_threads)
    return training.threads_for(layers, fastmlp._backend.kernels("float32").sizes(), rows, schedule)


def test_threads_are_for_work_that_is_worth_them():
    assert threads_of((2, 3, 1), rows=50, batch=50, epochs=1000) == 1
    assert threads_of((1000, 1000, 10), rows=5120, batch=512, epochs=10) == 8
    assert threads_of((1000, 1000, 10), rows=5120, batch=512, epochs=10, most_threads=2) == 2
    assert threads_of((2, 3, 1), rows=50, batch=50, epochs=1, n_threads=5) == 5, "what is asked for is taken as it is"


def test_no_more_threads_than_a_step_can_be_shared_out_among():
    assert threads_of((64, 100, 10), rows=1800, batch=200, epochs=1000) == 2, "two groups of 100 rows"
    assert threads_of((4, 32, 16, 4), rows=3000, batch=3000, epochs=1000) > 2, "as many groups as chunks of samples"
    assert threads_of((1000, 1000, 10), rows=64, batch=64, epochs=1000, most_threads=64) == 4, "four blocks of 16 rows"
    assert threads_of((1000, 1000, 10), rows=8, batch=8, epochs=1000, most_threads=64) == 4, "a million weights"
    assert threads_of((300, 300, 10), rows=8, batch=8, epochs=1000, most_threads=64) == 1, "few rows, few weights"


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
