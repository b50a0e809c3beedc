"""What the loop asks of callbacks: at the end of which epochs they are called, and that they are closed."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager


def next_call(callback: object, epoch: int, epochs: int) -> int:
    """Return the first epoch after `epoch` at whose end a callback is called; past `epochs` if there is none."""
    every = getattr(callback, "every", 1)
    if isinstance(every, Collection):
        return min((later for later in every if later > epoch), default=epochs + 1)
    return min((epoch // every + 1) * every, epochs) if epoch < epochs else epochs + 1


@contextmanager
def closing(callbacks: Sequence[object]) -> Iterator[None]:
    """Close every callback at the end, also if one of them cannot be closed.

    The first error is raised once all are closed; if an exception ends the training run anyway, that one is raised and
    the error is a warning.
    """
    failed, errors = True, []
    try:
        yield
        failed = False
    finally:
        for callback in callbacks:
            close = getattr(callback, "close", None)
            if callable(close):
                try:
                    close()
                except BaseException as error:  # what one callback cannot do must not keep the others from it
                    errors.append(error)
        for error in errors[0 if failed else 1 :]:
            text = f"callbacks: a close() raised {type(error).__name__}: {error}"
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        if errors and not failed:
            raise errors[0]
