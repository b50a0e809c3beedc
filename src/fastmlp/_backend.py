"""Which build of the kernels computes: picked once, at import, or forced.

A build is one instruction set; each has a module a dtype. The best one that both the CPU and the operating system
support is taken; `FASTMLP_BACKEND` forces one, and fails loudly if it is not there. ``"reference"`` is the NumPy twin.
The build that is taken is loaded at once, another when it is asked for.

Imports the layout, the reference and the built modules; Network and training import it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType, ModuleType

import numpy as np

from fastmlp import _layout, _reference
from fastmlp._scalars import choice
from fastmlp._version import __version__

# Instruction set -> the features that NumPy must find usable on this machine. NumPy asks the CPU and the operating
# system both: a kernel that does not save the wide registers makes the feature absent.
_REQUIREMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "x86-64-v4": ("AVX512F", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512VL", "AVX2", "FMA3", "F16C"),
        "x86-64-v3": ("AVX2", "FMA3", "F16C"),
        "baseline": (),
    }
)
REFERENCE = "reference"
NAMES: tuple[str, ...] = (REFERENCE, *reversed(_REQUIREMENTS))
_DTYPES = ("float32", "float64")


def _cpu_features() -> Mapping[str, bool]:
    """Ask NumPy what this machine has; it runs the CPU's and the operating system's checks when it is imported."""
    core = importlib.import_module("numpy._core" if int(np.__version__.split(".")[0]) >= 2 else "numpy.core")
    return core._multiarray_umath.__cpu_features__


def _unsupported(instruction_set: str) -> list[str]:
    """List the features of an instruction set that this machine lacks."""
    present = _cpu_features()
    return [feature for feature in _REQUIREMENTS[instruction_set] if not present.get(feature, False)]


def _module_name(instruction_set: str, dtype: str) -> str:
    return f"fastmlp._kernels_{dtype}_{instruction_set.replace('-', '_')}"


def _load(instruction_set: str) -> dict[np.dtype, ModuleType]:
    """Load a build's modules, one a dtype, and compare its records with the layout's."""
    modules = {}
    for dtype in _DTYPES:
        module = modules[np.dtype(dtype)] = importlib.import_module(_module_name(instruction_set, dtype))
        sizes = module.sizes()
        for name in ("layer", "slab", "settings", "epoch", "position"):
            expected = getattr(_layout, name.upper()).itemsize
            if sizes[name] != expected:
                raise ImportError(
                    f"fastmlp: {module.__name__} was built from other sources ({name} record of {sizes[name]} bytes, "
                    f"{expected} expected); reinstall fastmlp"
                )
        if sizes["dtype"] != dtype:
            raise ImportError(f"fastmlp: {module.__name__} computes in {sizes['dtype']}; reinstall fastmlp")
    return modules


def _find() -> tuple[list[str], dict[str, str]]:
    """List every build that this machine can run, the best first; for the others, say why not."""
    found: list[str] = []
    missing: dict[str, str] = {}
    for instruction_set in _REQUIREMENTS:
        lacking = _unsupported(instruction_set)
        if importlib.util.find_spec(_module_name(instruction_set, "float32")) is None:
            missing[instruction_set] = "not built for this machine"
        elif lacking:
            missing[instruction_set] = f"this machine lacks {', '.join(lacking)}"
        else:
            found.append(instruction_set)
    return found, missing


def _pick() -> str:
    """Take the forced build, or the best one there is."""
    forced = os.environ.get("FASTMLP_BACKEND")
    if forced:
        try:
            return resolve(forced, "FASTMLP_BACKEND")
        except ValueError as error:
            raise ImportError(str(error)) from error
    if not _builds:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        raise ImportError(
            f"fastmlp: no build of the kernels can be used ({reasons}); reinstall fastmlp with a C compiler, or set "
            "FASTMLP_BACKEND=reference to compute in NumPy"
        )
    return _builds[0]


def resolve(backend: str, argument: str = "backend") -> str:
    """Check a backend's name.

    Parameters
    ----------
    backend : str
        ``"reference"`` or an instruction set.
    argument : str, default "backend"
        What the error calls it.

    Returns
    -------
    str
        The same name.

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If the name is unknown, or that build is not there or cannot run here.
    """
    choice(backend, NAMES, argument)
    if backend in missing:
        raise ValueError(
            f"{argument}: got {backend!r}, which cannot be used: {missing[backend]}; "
            f"usable here are {', '.join(map(repr, available()))}"
        )
    return backend


def kernels(dtype: np.dtype, backend: str | None = None) -> ModuleType:
    """Give the module that computes.

    Parameters
    ----------
    dtype : numpy dtype
        float32 or float64.
    backend : str or None, default None
        ``"reference"``, an instruction set, or None for the one picked at import.

    Returns
    -------
    module
        A build of the kernels, or the reference: the same functions with the same signatures.

    Raises
    ------
    ImportError
        If the build cannot be loaded, or comes of other sources than this file.
    """
    name = in_use if backend is None else resolve(backend)
    if name == REFERENCE:
        return _reference
    if name not in _loaded:
        _loaded[name] = _load(name)
    return _loaded[name][np.dtype(dtype)]


def available() -> tuple[str, ...]:
    """Name the backends that can be used on this machine, the reference first, the best build last."""
    return (REFERENCE, *reversed(_builds))


def usable_cpus() -> int:
    """Count the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Count the threads that are used unless told otherwise.

    The CPUs this process may use, lowered by the environment's FASTMLP_NUM_THREADS and OMP_NUM_THREADS.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If one of the variables is not a whole number of 1 or more.
    """
    threads = usable_cpus()
    for name in ("FASTMLP_NUM_THREADS", "OMP_NUM_THREADS"):
        # OpenMP allows a list, one number a nesting level; the first is ours.
        value = os.environ.get(name)
        first = value.split(",")[0].strip() if value else ""
        if first:
            if not first.isdecimal() or int(first) < 1:
                raise ValueError(f"{name}: got {first!r}; a whole number of 1 or more is accepted")
            threads = min(threads, int(first))
    return threads


def _condition(name: str) -> str:
    """Say whether a backend can be used: one that should be is loaded for that."""
    if name in missing:
        return missing[name]
    try:
        kernels(np.dtype(np.float64), name)
    except ImportError as error:
        return f"broken: {error}"
    return "available"


def show_config() -> None:
    """Print the version, the build in use, the builds there are and the threads.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.show_config()  # doctest: +ELLIPSIS
    fastmlp ...
    """
    import platform  # here: nothing else needs it, and it takes as long to import as a build

    forced = os.environ.get("FASTMLP_BACKEND")
    print(f"fastmlp {__version__} (Python {platform.python_version()}, NumPy {np.__version__}, {sys.platform})")
    print(f"build in use: {in_use}" + (" (forced by FASTMLP_BACKEND)" if forced else ""))
    for name in reversed(NAMES):
        print(f"  {name}: {_condition(name)}")
    print(f"threads: {default_threads()} (of {usable_cpus()} usable CPUs)")


_builds, missing = _find()
in_use = _pick()
_loaded: dict[str, dict[np.dtype, ModuleType]] = {} if in_use == REFERENCE else {in_use: _load(in_use)}
