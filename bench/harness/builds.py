"""What the scripts need of fastmlp besides its interface for users: builds, kernels and the sizes of a training run.

Every access to private parts of fastmlp stands here, inside a function. The rest of the harness needs the public
interface alone and runs on any version.
"""

import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

import fastmlp
from fastmlp import activations

REFERENCE = "reference"


def usable_cpus() -> int:
    """Count the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def loadable() -> list[str]:
    """Return the names of the builds that can be used here, the best one last, without the reference."""
    return [build.name for build in fastmlp.backends() if not build.missing and build.name != REFERENCE]


def in_use() -> str:
    """Return the name of the build that fastmlp has chosen."""
    return next(build.name for build in fastmlp.backends() if build.in_use)


def kernels(dtype: str, name: str) -> Any:
    """Return a build's kernel functions, which read shapes from their arrays."""
    from fastmlp._engine import backend

    return backend.kernels(np.dtype(dtype), name)


def activation_code(name: str) -> int:
    """Return the number that the kernels know an activation by."""
    return activations.ACTIVATIONS[name].code


def laid_out(training: Callable[[], Any]) -> Any:
    """Train, and return the last plan that was made: sizes and offsets of what the training run works in."""
    from fastmlp._engine import layout

    plans, lay_out = [], layout.plan

    def keep(*arguments: Any, **settings: Any) -> Any:
        plans.append(lay_out(*arguments, **settings))
        return plans[-1]

    with mock.patch.object(layout, "plan", keep):
        training()
    return plans[-1]


def kept_bytes(parameters: int, state: int) -> int:
    """Return the bytes of the snapshots that a rollback needs, from the bytes of parameters and optimizer state."""
    from fastmlp._training import snapshots

    return snapshots.kept_bytes(parameters, state)
