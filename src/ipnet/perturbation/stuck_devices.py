"""Stuck devices: some answer the same whatever they are driven with."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.memory import MEMORIES
from ipnet.network import Network
from ipnet.perturbation import NetworkPerturbation
from ipnet.perturbation._copies import with_outputs


class StuckDevices(NetworkPerturbation):
    """A share of a memory's outputs always stands at one end of its range or at the other, one half each.

    The ends are the memory's `bounds`: 0 and 1 for a junction that never or always switches, -1 and 1 for a gate
    behind a tanh. Which outputs are stuck is the same in all clips: it is one chip.

    Valid for: memories whose outputs are bounded.
    """

    meaning: ClassVar[str] = "share of stuck outputs [1]"

    def inapplicable(self, network: Network) -> str:
        """A memory without bounds has no ends to be stuck at."""
        if not len(network.memories):
            return "stuck outputs need a memory; it has none: leave it out"
        if MEMORIES[network.memory_name].bounds is None:
            return (
                f"stuck outputs need a memory with `bounds`, the ends to be stuck at; '{network.memory_name}' has "
                "none: leave it out"
            )
        return ""

    def apply(self, network: Network, level: float, generator: torch.Generator) -> Network:
        """Overrule the outputs."""
        low, high = MEMORIES[network.memory_name].bounds or (0.0, 0.0)  # `inapplicable` refuses None
        draws: dict[str, Tensor] = {}

        def stick(place: str, y: Tensor) -> Tensor:
            if place not in draws:
                draws[place] = torch.rand(y.shape[2:], generator=generator).to(y.device)
            draw = draws[place]
            ends = torch.where(draw < level / 2, high, low).to(y.dtype)
            return torch.where(draw < level, ends, y)

        return with_outputs(network, list(network.memories), stick)
