"""The threads of a training run: how many there are, and the helpers that make kernel calls beside the first one.

A helper is sent into the kernels for a call, and waits there for those that follow (kernels/training.pxi). If none
follows soon, the helper leaves, and is sent again for the next one. No helper outlives its training run.
"""

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from fastmlp._engine import layout

COST_MODEL = True  # for tests: if False, a training run takes exactly as many threads as it was asked for
# Multiply-adds of a step that are worth a thread: two barriers and the cores' talk cost a microsecond or so, and a
# core makes some 20 to 50 of these per nanosecond.
_WORK_PER_THREAD = 500_000
_MIN_WORK = 50_000_000  # multiply-adds of a whole training run that are worth starting threads for


def usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> int:
    """Return the number of threads that are used unless told otherwise.

    The CPUs that this process may use, lowered by the environment's FASTMLP_NUM_THREADS and OMP_NUM_THREADS. A variable
    that is not a whole number of 1 or more is a ValueError.
    """
    threads = usable_cpus()
    for name in ("FASTMLP_NUM_THREADS", "OMP_NUM_THREADS"):
        # OpenMP allows a list, one number per nesting level; the first is ours.
        if first := os.environ.get(name, "").partition(",")[0].strip():
            if not first.isdecimal() or int(first) < 1:
                raise ValueError(f"{name}: got {first!r}; a whole number of 1 or more is accepted")
            threads = min(threads, int(first))
    return threads


def threads_for(layers: np.ndarray, build: Mapping[str, Any], rows: int, options: Any) -> int:
    """Decide how many threads a training run takes: those asked for, or as many as have work enough."""
    if options.n_threads is not None or not COST_MODEL:
        return options.n_threads or options.default_threads
    batch = options.batch_size
    step = 3 * batch * int(layers["inputs"] @ layers["outputs"])
    if step * -(-rows // batch) * options.epochs < _MIN_WORK:
        return 1
    threads = min(options.default_threads, step // _WORK_PER_THREAD)
    return min(threads, layout.max_threads(layers, build, batch=batch)) if threads > 1 else 1


class Helpers:
    """Makes kernel calls on several threads: the caller's and `count` helpers."""

    def __init__(self, run: Any, kernels: Any, count: int) -> None:
        self._run, self._kernels, self._count = run, kernels, count
        self._threads: dict[int, threading.Thread] = {}
        self._errors: list[BaseException] = []

    def end(self) -> None:
        """Let all helpers leave the kernels, and wait for them."""
        self._run.abandon()
        for thread in self._threads.values():
            thread.join()

    def call(self, steps: int) -> None:
        """Make one kernel call of at most so many steps, on all threads; raise what was raised in any of them."""
        try:
            if self._count:
                self._send(steps)
            self._run.run(steps)
        except BaseException:
            # Helpers may wait for this thread at a barrier that it will not reach; not if Ctrl-C waited for the end of
            # the call.
            if self._run.in_call:
                self._run.abandon()
            raise
        if self._run.abandoned:
            raise self._errors[0] if self._errors else RuntimeError("the helpers of this training run have left it")

    def _send(self, steps: int) -> None:
        """Call the helpers that wait in the kernels, and send those that do not."""
        taken = {self._kernels.current_cpu()}
        for number in self._run.call_helpers(steps, self._count):
            if number in self._threads:
                self._threads[number].join()  # it is out of the kernels, and all but over
            # A daemon, since an interpreter that ends would wait for it, and it for a training run that has no end.
            thread = threading.Thread(target=self._help, args=(number, taken), name=f"fastmlp-{number}", daemon=True)
            thread.start()
            self._threads[number] = thread

    def _help(self, number: int, taken: set[int]) -> None:
        """Take one thread's part in a call and in those that soon follow, on a CPU that is not among those `taken`.

        Linux often begins a thread on the CPU of the one that began it, and may leave both there for a tenth of a
        second although another CPU idles: they meet too often to look like two that should be parted. So a thread
        leaves by itself; where it then stays is the system's choice again.
        """
        try:
            if -1 not in taken:
                with suppress(OSError):  # a sandbox may forbid it; what is lost is time
                    allowed = os.sched_getaffinity(0)
                    os.sched_setaffinity(0, allowed - taken or allowed)
                    taken.add(self._kernels.current_cpu())
                    os.sched_setaffinity(0, allowed)
            self._run.help(number)
        except BaseException as error:
            # The others wait for this thread at a barrier that it will not reach; `call` raises it there.
            self._errors.append(error)
            self._run.abandon()
