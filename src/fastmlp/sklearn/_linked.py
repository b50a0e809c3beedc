"""An estimator's network, of whose parameters `coefs_` and `intercepts_` are views until they are replaced."""

from __future__ import annotations

import copy
from operator import is_
from typing import Any

import numpy as np

from fastmlp.network import Network
from fastmlp.sklearn import _translation


class LinkedCoefficients:
    """Makes the network, and a new one when coefficients or the parameters that it was made of were replaced."""

    def _make_network(self, sizes: tuple[int, ...], parameters: np.ndarray, dtype: Any) -> Network:
        """Return a network of this estimator's settings with these parameters."""
        draws = np.any(self.dropout) and hasattr(self, "_random_state")
        network = Network(
            sizes,
            activation=_translation.activation_names(self.activation, len(sizes) - 2),
            l1=self.l1,
            l2=self.alpha,
            dropout=self.dropout,
            init=parameters,
            dtype=dtype,
            seed=int(self._random_state.randint(2**31 - 1)) if draws else 0,
            **self._network_options(sizes[-1]),
        )
        network._model.loss_fraction = 1 / sizes[-1] if network.loss_name in _translation.AVERAGED else 1.0
        self._made_with = self._made_of()
        self.out_activation_ = _translation.OUTPUT_NAMES.get(network.activations[-1], network.activations[-1])
        return network

    def _made_of(self) -> tuple:
        """Return the parameters that a network is made of; they may be set between two fits."""
        names = ("activation", "l1", "alpha", "dropout", "loss", "label_smoothing", "missing_targets")
        return tuple(getattr(self, name, None) for name in names)

    def _link(self, network: Network) -> None:
        """Make the coefficients views of a network's parameters, within the lists that users may hold."""
        self.network_ = network
        for name, own in (("coefs_", network.weights), ("intercepts_", network.biases)):
            if isinstance(vars(self).get(name), list):
                vars(self)[name][:] = own
            else:
                setattr(self, name, list(own))

    def _is_linked(self) -> bool:
        """Return whether the coefficients are the network's, none of them replaced."""
        network = vars(self).get("network_")
        return network is not None and all(
            len(given) == len(own) and all(map(is_, given, own))
            for given, own in ((self.coefs_, network.weights), (self.intercepts_, network.biases))
        )

    def _current_network(self) -> Network:
        """Return the network, after replaced coefficients and parameters were taken over into a new one."""
        same_settings = vars(self).get("_made_with") == self._made_of()
        if self._is_linked() and same_settings:
            return self.network_
        parameters = np.concatenate(
            [np.ravel(part) for pair in zip(self.coefs_, self.intercepts_, strict=True) for part in pair]
        )
        sizes = (*(len(weights) for weights in self.coefs_), np.shape(self.coefs_[-1])[1])
        before = vars(self).get("network_")
        if before is None or before.sizes != sizes:
            network = self._make_network(sizes, parameters, np.result_type(*self.coefs_))
        elif same_settings:
            network = copy.deepcopy(before)
            network.params = parameters
        else:
            network = self._make_network(sizes, parameters, before.dtype)
            network._go_on_from(copy.deepcopy(before))
        self._link(network)
        return network

    def __getstate__(self) -> dict[str, Any]:
        """Leave out linked coefficients: they would be stored twice."""
        state = super().__getstate__()
        left_out = ("coefs_", "intercepts_") if "coefs_" in state and self._is_linked() else ()
        return {name: value for name, value in state.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "network_" in state and "coefs_" not in state:
            self._link(self.network_)
