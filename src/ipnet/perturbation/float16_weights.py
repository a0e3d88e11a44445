"""Weights in half precision."""

from typing import ClassVar

import torch

from ipnet.network import Network
from ipnet.perturbation import NetworkPerturbation
from ipnet.perturbation._copies import with_weights


class Float16Weights(NetworkPerturbation):
    """w' = w + level (float16(w) - w) for every matrix and kernel: level 1 is half precision, 0 is none of it.

    Sums are still made in single precision.
    """

    meaning: ClassVar[str] = "share of the rounding error of float16 [1]"

    def apply(self, network: Network, level: float, generator: torch.Generator) -> Network:  # noqa: ARG002
        """Round the weights."""
        return with_weights(network, lambda w: w.half().to(w.dtype), level)
