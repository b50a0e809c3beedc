"""The activations that a layer can have.

No arithmetic here: the kernels and the reference compute them, by the rows of `_spec.activations`.

============ ================================== =========================================
name         h(z)                               derivative, written with h if it follows from h
============ ================================== =========================================
identity     z                                  1
sigmoid      1 / (1 + exp(-z))                  h (1 - h)
tanh         tanh(z)                            1 - h^2
relu         max(z, 0)                          1 where h > 0, else 0
leaky_relu   max(z, 0.01 z)                     1 where h > 0, else 0.01
elu          z where z > 0, else exp(z) - 1     1 where h > 0, else h + 1
selu         s z where z > 0, else              s where h > 0, else h + s a
             s a (exp(z) - 1)
softplus     log(1 + exp(z))                    1 - exp(-h)
silu         z g, g = sigmoid(z)                g + z g (1 - g)
gelu         z Phi(z), Phi of the normal        Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi)
             distribution
gelu_tanh    z g, g = sigmoid(2 u),             g + z g (1 - g) 2 u'(z)
             u = sqrt(2 / pi) (z + 0.044715 z^3)
hard_sigmoid z / 6 + 1/2, at least 0, at most 1 1/6 where 0 < h < 1, else 0
hard_tanh    z, at least -1, at most 1          1 where -1 < h < 1, else 0
softmax      exp(z_j) / sum_k exp(z_k)          output layer only, with cross-entropy
exponential  exp(z)                             output layer only, with poisson and gamma
============ ================================== =========================================

leaky_relu is A. L. Maas et al.'s (2013), elu D.-A. Clevert et al.'s (2016), selu G. Klambauer et al.'s (2017), with
s = 1.0507009873554805 and a = 1.6732632423543772, softplus C. Dugas et al.'s (2001), gelu and silu D. Hendrycks and
K. Gimpel's (2016). gelu_tanh is the form of gelu that PyTorch calls approximate="tanh"; z g = z (1 + tanh(u)) / 2.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fastmlp._spec import activations as rows
from fastmlp._spec.activations import Activation
from fastmlp._spec.elsewhere import table

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(rows.ACTIVATIONS)
ELSEWHERE: Mapping[str, list[str]] = table((name, row.elsewhere) for name, row in ACTIVATIONS.items())
HIDDEN_ACTIVATIONS: tuple[str, ...] = tuple(name for name, row in ACTIVATIONS.items() if row.hidden)
# Two inputs have the same output, so that the slope is kept beside it.
KEPT_ACTIVATIONS: tuple[str, ...] = tuple(name for name, row in ACTIVATIONS.items() if row.kept)
