"""The distributions that initial weights are drawn from.

================ ==================================================== ==============================
name             weights of a layer with `in` inputs and `out` outputs source
================ ==================================================== ==============================
glorot_uniform   uniform, variance 2 / (in + out)                     X. Glorot and Y. Bengio, 2010
glorot_normal    normal, variance 2 / (in + out)                      as above
he_uniform       uniform, variance 2 / in                             K. He et al., 2015
he_normal        normal, variance 2 / in                              as above
lecun_uniform    uniform, variance 1 / in                             Y. LeCun et al., 1998
lecun_normal     normal, variance 1 / in                              as above
orthogonal       orthonormal columns, or rows if these are fewer      A. Saxe et al., 2014
article          uniform in ±1                                        the article
================ ==================================================== ==============================
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastmlp._spec.elsewhere import table
from fastmlp._spec.values import as_array, choice, shown

# Family -> the variance of the weights of a layer, from its inputs and outputs.
_VARIANCES = {
    "glorot": lambda inputs, outputs: 2 / (inputs + outputs),
    "he": lambda inputs, _: 2 / inputs,
    "lecun": lambda inputs, _: 1 / inputs,
}
INITIALIZATIONS: tuple[str, ...] = (
    *(f"{family}_{shape}" for family in _VARIANCES for shape in ("uniform", "normal")),
    "orthogonal",
    "article",
)
# Elsewhere X. Glorot's and K. He's are called by their first names, also without the shape.
ELSEWHERE: Mapping[str, list[str]] = table(
    (name, f"{other} {other.split('_')[0]}")
    for name in INITIALIZATIONS
    for other in (name.replace("glorot", "xavier").replace("he_", "kaiming_"),)
)


def checked(init: Any, parameters: int, dtype: np.dtype) -> str | np.ndarray:
    """Check an initialization.

    Parameters
    ----------
    init : str or array-like
        A name of INITIALIZATIONS, or all parameters in one vector.
    parameters : int
        Number of parameters of the network.
    dtype : numpy dtype
        Dtype of the parameters.

    Returns
    -------
    str or ndarray, shape (parameters,)
        The name, or the parameters.

    Raises
    ------
    TypeError
        If `init` is neither a name nor a vector.
    ValueError
        If the name is unknown, or the vector has another length or holds numbers that are not finite.

    Examples
    --------
    >>> checked("he_normal", 13, np.dtype("float32"))
    'he_normal'
    """
    if isinstance(init, str):
        return choice(init, INITIALIZATIONS, "init", ELSEWHERE)
    if isinstance(init, type(None) | bool) or callable(init):
        raise TypeError(
            f"init: got {shown(init)}; a name such as 'he_normal', or all parameters in a vector, is accepted"
        )
    values = as_array(init, "init")
    if values.dtype.kind not in "iuf" or values.shape != (parameters,):
        raise ValueError(
            f"init: got {values.dtype} of shape {values.shape}; a name such as 'he_normal', or numbers of shape "
            f"({parameters},), W then b of each layer in turn, are accepted"
        )
    values = values.astype(dtype)
    if not np.isfinite(values).all():
        raise ValueError(
            f"init: got {values[~np.isfinite(values)][0]}; finite numbers in the range of {dtype} are accepted"
        )
    return values


def layer(init: str, generator: np.random.Generator, inputs: int, outputs: int, biases: int) -> np.ndarray:
    """Draw a layer's parameters.

    Parameters
    ----------
    init : str
        A name of INITIALIZATIONS.
    generator : Generator
        Source of the random numbers.
    inputs, outputs : int
        Inputs and outputs of the layer.
    biases : int
        Number of biases of the layer. They are drawn like the weights, except with "orthogonal", which makes them 0.

    Returns
    -------
    ndarray of float64, shape (inputs * outputs + biases,)
        W row by row, then b.

    Examples
    --------
    >>> layer("article", np.random.default_rng(0), 2, 3, 0).shape
    (6,)
    """
    count = inputs * outputs + biases
    if init == "orthogonal":
        # Uniformly among all matrices with orthonormal columns, or rows if these are fewer.
        q, r = np.linalg.qr(generator.standard_normal((max(inputs, outputs), min(inputs, outputs))))
        q *= np.sign(np.diag(r))  # because QR prefers some signs
        return np.append(q if inputs >= outputs else q.T, np.zeros(biases))
    if init == "article":
        return generator.uniform(-1, 1, count)
    family, shape = init.split("_")
    variance = _VARIANCES[family](inputs, outputs)
    if shape == "normal":
        return generator.normal(0, math.sqrt(variance), count)
    limit = math.sqrt(3 * variance)
    return generator.uniform(-limit, limit, count)
