"""Stuck devices: some answer the same whatever they are driven with."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.network import Network
from ipnet.perturbation import NetworkPerturbation
from ipnet.perturbation._copies import activations, with_outputs


class StuckDevices(NetworkPerturbation):
    """A share of a memory's outputs always answers 0 or 1, one half each, the same in all clips: it is one chip.

    Valid for: memories that stand for an activation function, whose outputs lie in [0, 1].
    """

    meaning: ClassVar[str] = "share of stuck outputs [1]"

    def inapplicable(self, network: Network) -> str:
        """A memory that is no activation has no outputs that 0 and 1 bound."""
        if activations(network):
            return ""
        return f"'{network.memory_name}' is no activation, so its outputs have no 0 and 1 to be stuck at"

    def apply(self, network: Network, level: float, generator: torch.Generator) -> Network:
        """Overrule the outputs."""
        draws: dict[str, Tensor] = {}

        def stick(place: str, y: Tensor) -> Tensor:
            if place not in draws:
                draws[place] = torch.rand(y.shape[2:], generator=generator).to(y.device)
            draw = draws[place]
            return torch.where(draw < level, (draw < level / 2).to(y.dtype), y)

        return with_outputs(network, activations(network), stick)
