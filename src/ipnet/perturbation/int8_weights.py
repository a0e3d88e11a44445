"""Weights in eight bits."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.network import Network
from ipnet.perturbation import NetworkPerturbation
from ipnet.perturbation._copies import with_weights

_LEVELS = 127  # symmetric: -127 to 127


def _rounded(w: Tensor) -> Tensor:
    """The nearest of 255 values, spaced evenly and symmetric around 0, of each output channel (axis 0)."""
    peak = w.abs().amax(tuple(range(1, w.dim())), keepdim=True)
    step = torch.where(peak > 0, peak / _LEVELS, 1.0)
    return step * (w / step).round().clamp(-_LEVELS, _LEVELS)


class Int8Weights(NetworkPerturbation):
    """w' = w + level (q(w) - w) with q(w) = s round(w / s), s = max|w| / 127 of each output channel.

    For every matrix and kernel: level 1 is int8 after training, 0 is none of it. Sums are made in
    single precision.

    References:
        Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", arXiv:1806.08342 (2018).
    """

    meaning: ClassVar[str] = "share of the rounding error of int8 [1]"

    def apply(self, network: Network, level: float, generator: torch.Generator) -> Network:  # noqa: ARG002
        """Round the weights."""
        return with_weights(network, _rounded, level)
