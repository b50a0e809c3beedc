"""The activations that a layer can have: a checked table of names and the kernels' codes for them.

No arithmetic here: the kernels and the reference compute them. Imports nothing of fastmlp; `_validate`, the
network and the kernels' callers may import it.

========== ============================= =====================================
name       h(z)                          derivative, written with h
========== ============================= =====================================
identity   z                             1
sigmoid    1 / (1 + exp(-z))             h (1 - h)
tanh       tanh(z)                       1 - h^2
relu       max(z, 0)                     1 where h > 0, else 0
softmax    exp(z_j) / sum_k exp(z_k)     output layer only, with cross-entropy
========== ============================= =====================================
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ACTIVATIONS: Mapping[str, int] = MappingProxyType(
    {"identity": 0, "sigmoid": 1, "tanh": 2, "relu": 3, "softmax": 4}
)
# Softmax couples the units of a layer; its derivative is simple only together with cross-entropy.
HIDDEN_ACTIVATIONS: tuple[str, ...] = tuple(name for name in ACTIVATIONS if name != "softmax")
