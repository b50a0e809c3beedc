"""Code that runs in an interpreter of its own, whose environment chooses no backend and no threads by itself."""

from __future__ import annotations

import os
import subprocess
import sys

VARIABLES = ("FASTMLP_BACKEND", "FASTMLP_NUM_THREADS", "OMP_NUM_THREADS")
TRAIN = """
X, y = fastmlp.datasets.moons(20)
net = fastmlp.train(X, y, hidden=3, epochs=2, seed=0)
print(net.backend, net._model.kernels.__name__)
"""


def in_new_process(code: str, before: str = "", **variables: str) -> subprocess.CompletedProcess:
    """Run code after `import fastmlp` in a new interpreter, `before` ahead of the import."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | variables
    program = f"{before}\nimport fastmlp\n{code}"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True, check=False
    )
