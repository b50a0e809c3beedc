"""The threads of a training: the one that asks for it, and its helpers, which end with it.

A helper is sent into the kernels for a call, and waits there for those that follow (kernels/training.pxi); where none
follows soon it leaves, and is sent again for the next one. Imports the layout; the training loop imports it.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from types import ModuleType

import numpy as np

from fastmlp import _layout


class Helpers:
    """Calls the kernels on several threads; used as a context, whose end is that of all but one.

    Parameters
    ----------
    kernels : module
        A build, or the reference.
    arguments : tuple
        What its ``train`` takes, but for the steps and the thread.
    control : ndarray of int64
        What the threads meet by: one of the arguments.
    count : int
        How many helpers there are.
    """

    def __init__(self, kernels: ModuleType, arguments: tuple, control: np.ndarray, count: int) -> None:
        self._kernels, self._arguments, self._control, self._count = kernels, arguments, control, count
        self._threads: dict[int, threading.Thread] = {}
        self._errors: list[BaseException] = []

    def __enter__(self) -> Helpers:
        """Give the helpers themselves; a thread begins when it is first needed."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let all leave, and wait for them."""
        self._kernels.abandon(self._control)
        for thread in self._threads.values():
            thread.join()

    @property
    def abandoned(self) -> bool:
        """Whether a call has ended on some of its threads only, or the helpers have: no call can follow."""
        return bool(self._control[_layout.ABANDONED])

    def call(self, steps: int) -> None:
        """Make one call of the kernels, on all threads.

        Parameters
        ----------
        steps : int
            How many steps, at least 1.

        Raises
        ------
        BaseException
            What was raised here or in a helper, which then are no more.
        """
        try:
            if self._count:
                self._send(steps)
            self._kernels.train(*self._arguments, steps, 0)
        except BaseException:
            # Helpers may wait for this thread at a barrier that it will not reach; not where Ctrl-C waited for the end
            # of the call.
            if self._control[_layout.CALL_STEPS]:
                self._kernels.abandon(self._control)
            raise
        if self.abandoned:
            raise self._errors[0] if self._errors else RuntimeError("the helpers of this training have left it")

    def _send(self, steps: int) -> None:
        """Call the helpers that wait in the kernels, and send those that do not."""
        taken = {self._kernels.current_cpu()}
        for number in self._kernels.call_helpers(self._control, steps, self._count):
            if number in self._threads:
                self._threads[number].join()  # it is out of the kernels, and all but over
            # A daemon, since an interpreter that ends would wait for it, and it for a training that has no end.
            thread = threading.Thread(
                target=self._help, args=(steps, number, taken), name=f"fastmlp-{number}", daemon=True
            )
            thread.start()
            self._threads[number] = thread

    def _help(self, steps: int, number: int, taken: set[int]) -> None:
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
            self._kernels.train(*self._arguments, steps, number)
        except BaseException as error:
            # The others wait for this thread at a barrier that it will not reach; `call` raises it there.
            self._errors.append(error)
            self._kernels.abandon(self._control)
