"""Read noise: what a memory holds is not quite what is read from it."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from ipnet.network import Network
from ipnet.perturbation import NetworkPerturbation
from ipnet.perturbation._copies import with_outputs


class ReadNoise(NetworkPerturbation):
    """y' = y + level sd(y) z with z ~ N(0, 1) at every output of every memory in every frame.

    sd(y) is the standard deviation of the memory's outputs over the clip, so that memories whose outputs have
    another scale or an offset are disturbed as much: an offset tells nothing. What the memory carries on is
    untouched: the noise is in the reading.
    The draws follow the order of the clips and differ with the size of the batches.
    """

    meaning: ClassVar[str] = "standard deviation relative to that of the output [1]"
    highest: ClassVar[float] = math.inf

    def inapplicable(self, network: Network) -> str:
        """A network without memory has nothing to read."""
        return "" if len(network.memories) else "it has no memory to read from"

    def apply(self, network: Network, level: float, generator: torch.Generator) -> Network:
        """Add the noise to what the memories answer."""

        def read(place: str, y: Tensor) -> Tensor:  # noqa: ARG001
            sd = y.std([axis for axis in range(y.dim()) if axis != 1], correction=0, keepdim=True)
            return y + level * sd * torch.randn(y.shape, generator=generator).to(y)

        return with_outputs(network, list(network.memories), read)
