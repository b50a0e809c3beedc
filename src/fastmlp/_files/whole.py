"""Writes files that are never there in part."""

import os
import tempfile
from typing import Any

from fastmlp._spec.values import checked_path


def write(path: Any, content: bytes) -> None:
    """Write a file; an existing one is replaced once the new one is whole."""
    path = checked_path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mask = os.umask(0)  # the mask that new files get: there is no way to ask but to set it
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
