"""Who may touch a network while it is trained.

One training run at a time, which holds the network during each kernel call. Threads that predict, save or copy
meanwhile wait for the end of the call. Neither side starves: readers that came during a call go before the next one,
and those that come while the next call waits for its turn go after it.
"""

import os
import threading


class Access:
    """The training run of one network, and its readers.

    Attributes
    ----------
    calling : context manager
        Keeps readers out during a kernel call.
    reading : context manager
        Keeps the kernel calls of a training run out; any number of threads may read at a time.
    """

    def __init__(self) -> None:
        self.reading = _Reading()
        self.calling = _Calling(self.reading)

    def begin(self, run: object, steady: bool = False) -> None:
        """Hold the network for one training run, which any object stands for; a second one is refused.

        `steady`: nothing but the training run may change parameters and objective.
        """
        state = self.reading
        state.forget_other_process()
        with state.lock:
            if state.run is not None:
                by = "the call that this callback belongs to" if state.is_own() else "another thread"
                raise RuntimeError(
                    f"train: this network is being trained by {by}; one call trains a network at a time; train a "
                    "network of its own: copy.deepcopy(network)"
                )
            state.run, state.owner, state.steady = run, threading.get_ident(), steady

    def holds(self, run: object) -> bool:
        return self.reading.run is run

    def end(self, run: object) -> None:
        """Release the network, if it is this training run that holds it."""
        state = self.reading
        with state.lock:
            if state.run is run:
                state.run, state.owner, state.steady, state.is_calling = None, None, False, False
                state.readers.discard(threading.get_ident())
                state.condition.notify_all()

    def check_assignment(self, name: str) -> None:
        state = self.reading
        state.forget_other_process()
        if state.owner is None:
            return
        if not state.is_own():
            raise RuntimeError(
                f"{name}: assigned while another thread trains this network; a callback of the training run may "
                "assign it, or any thread once the training run is over"
            )
        if state.steady:
            raise ValueError(
                f"{name}: assigned by a callback with an optimizer that remembers its steps; assign it after the "
                "training run, or take another optimizer, such as 'adam'"
            )


class _Reading:
    """Who trains and who reads; the fields are changed while `lock` is held.

    Ctrl-C may come at any call of a function, on its way into a context or out of one. So readers are a set of threads,
    which a thread may leave twice, and whatever is left of a thread ends with what it does next.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()  # entered by itself: a condition's own methods could be interrupted in between
        self.condition = threading.Condition(self.lock)
        self.readers: set[int] = set()  # threads that read
        self.queued = 0  # those that wait for the end of a call
        self.is_calling = False  # a kernel call is under way or waits for the readers to leave
        self.run: object | None = None
        self.owner: int | None = None  # the thread whose training run it is
        self.steady = False
        self._process = os.getpid()

    def is_own(self) -> bool:
        return self.owner == threading.get_ident()

    def forget_other_process(self) -> None:
        """After a fork, forget the threads of the parent process, except the one that has forked."""
        if self._process != os.getpid():
            run, owner, steady = (self.run, self.owner, self.steady) if self.is_own() else (None, None, False)
            self.__init__()
            self.run, self.owner, self.steady = run, owner, steady

    def __enter__(self) -> None:
        try:
            self.forget_other_process()
            with self.lock:
                # A signal's handler may read on the thread that trains, right after a call.
                if self.is_calling and not self.is_own():
                    self.queued += 1
                    try:
                        self.condition.wait_for(lambda: not self.is_calling)
                    finally:
                        self.queued -= 1
                self.readers.add(threading.get_ident())
        except BaseException:
            self._leave()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            self._leave()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        with self.lock:
            self.readers.discard(threading.get_ident())
            self.condition.notify_all()


class _Calling:
    """A kernel call; one that is interrupted on its way in or out is over when its training run is, at the latest."""

    def __init__(self, state: _Reading) -> None:
        self._state = state

    def __enter__(self) -> None:
        state = self._state
        try:
            state.forget_other_process()
            with state.lock:
                state.condition.wait_for(lambda: not state.queued)  # readers that the last call kept waiting
                state.is_calling = True
                state.readers.discard(threading.get_ident())
                state.condition.wait_for(lambda: not state.readers)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        with self._state.lock:
            self._state.is_calling = False
            self._state.condition.notify_all()
