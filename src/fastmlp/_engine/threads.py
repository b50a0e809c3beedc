"""The threads of a training run: how many there are, and the helpers that make kernel calls beside the first one.

A helper is sent into the kernels for a call, and waits there for those that follow (kernels/threads.pxi). If none
follows soon, the helper leaves, and is sent again for the next one. No helper outlives its training run.
"""

import functools
import math
import os
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp._engine import layout
from fastmlp._spec.values import shown

COST_MODEL = True  # for tests: if False, a training run that is asked for a number of threads takes exactly that many
# Multiply-adds of a step that are worth a thread: two barriers and the cores' talk cost a microsecond or so, and a
# core makes some 20 to 50 of these per nanosecond.
_WORK_PER_THREAD = 500_000
_COUNT = re.compile(r"\s*0*[1-9][0-9]{0,9}\s*")  # a number of threads in the environment
_MIN_WORK = 50_000_000  # multiply-adds of a whole training run that are worth starting threads for


class ThreadStartError(Exception):
    """A helper's thread cannot take part in calls; `number` is that of the helper, `reason` says why."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)
        self.number, self.reason = number, reason


def usable_cpus() -> int:
    """Return how many CPUs this process may use: those it is bound to, and not more than its container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(bound, quota())


@functools.cache  # the files are read once, since a small training run takes no longer than reading them
def quota(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> float:
    """Return the CPUs that the control groups of this process leave it, rounded up; infinity without a limit.

    Version 2 has one file with quota and period per group, version 1 two files; a group has the limits of all above it.
    """
    try:
        entries = [line.split(":", 2) for line in groups.read_text().splitlines()]
    except OSError:  # not Linux
        return math.inf
    found = [math.inf]
    for _, controllers, path in entries:
        if controllers and "cpu" not in controllers.split(","):
            continue
        folder = root / "cpu" if controllers else root
        parts = Path(path.lstrip("/"))
        for group in (parts, *parts.parents):
            with suppress(OSError, ValueError):  # no such file within a container, or "max"
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
                limit, period = " ".join((folder / group / name).read_text() for name in names).split()
                if int(limit) > 0:
                    found.append(math.ceil(int(limit) / int(period)))
    return min(found)


def default_threads() -> int:
    """Return the number of threads that are used unless told otherwise.

    The CPUs that this process may use, lowered by the environment's FASTMLP_NUM_THREADS and OMP_NUM_THREADS. A variable
    that is not a whole number of 1 or more is a ValueError.
    """
    threads = usable_cpus()
    for name in ("FASTMLP_NUM_THREADS", "OMP_NUM_THREADS"):
        if value := os.environ.get(name, "").strip():
            # OpenMP allows a list, one number per nesting level; the first is ours.
            numbers = value.split(",") if name == "OMP_NUM_THREADS" else [value]
            if not all(_COUNT.fullmatch(number) for number in numbers):
                raise ValueError(f"{name}: got {shown(value)}; a whole number of 1 or more is accepted")
            threads = min(threads, int(numbers[0]))
    return threads


def threads_for(layers: np.ndarray, build: Mapping[str, Any], rows: int, options: Any) -> int:
    """Decide how many threads a training run takes: as many as have work enough, and at most those asked for."""
    if options.n_threads is not None and not COST_MODEL:
        return options.n_threads
    batch = options.batch_size
    step = 3 * batch * int(layers["inputs"] @ layers["outputs"])
    if step * -(-rows // batch) * options.epochs < _MIN_WORK:
        return 1
    ceiling = options.default_threads if options.n_threads is None else min(options.n_threads, usable_cpus())
    threads = min(ceiling, step // _WORK_PER_THREAD)
    return min(threads, layout.max_threads(layers, build, batch=batch)) if threads > 1 else 1


class Helpers:
    """Makes kernel calls on several threads: the caller's and `count` helpers; `process` is the one they belong to."""

    def __init__(self, run: Any, kernels: Any, count: int) -> None:
        self._run, self._kernels, self._count, self.process = run, kernels, count, os.getpid()
        self._threads: dict[int, threading.Thread] = {}
        self._caller = -1
        self._errors: list[BaseException] = []

    @property
    def failed(self) -> bool:
        """Whether a helper was lost within a call."""
        return any(not isinstance(error, ThreadStartError) for error in self._errors)

    def end(self) -> None:
        """Let all helpers leave the kernels, and wait for them."""
        self._run.abandon()
        for thread in self._threads.values():
            with suppress(RuntimeError):  # one that was not started cannot be joined
                thread.join()

    def call(self, steps: int) -> None:
        """Make one kernel call of at most so many steps, on all threads; raise what was raised in any of them.

        ThreadStartError is raised before the call has changed anything; the helpers cannot be called any more after it.
        """
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
        taken, self._caller = {self._kernels.current_cpu()}, threading.get_native_id()
        for number in self._run.call_helpers(steps, self._count):
            if number in self._threads:
                self._threads[number].join()  # it is out of the kernels, and all but over
            # A daemon, since an interpreter that ends would wait for it, and it for a training run that has no end.
            thread = threading.Thread(target=self._help, args=(number, taken), name=f"fastmlp-{number}", daemon=True)
            self._threads[number] = thread  # before it starts: Ctrl-C may come while it does
            try:
                thread.start()
            except RuntimeError as error:  # a limit of the system
                raise ThreadStartError(number, str(error)) from error
            if self._errors and isinstance(self._errors[-1], ThreadStartError):
                raise self._errors[-1]

    def _help(self, number: int, taken: set[int]) -> None:
        """Take one thread's part in a call and in those that soon follow, on a CPU that is not among those `taken`.

        Linux often begins a thread on the CPU of the one that began it, and may leave both there for a tenth of a
        second although another CPU idles: they meet too often to look like two that should be parted. So a thread
        leaves by itself; where it then stays is the system's choice again.
        """
        try:
            if threading.get_native_id() == self._caller:
                raise ThreadStartError(
                    number, "threads are replaced by something that runs in the thread that starts them"
                )
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
