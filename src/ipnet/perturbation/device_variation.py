"""Device variation: the chip's junctions differ, the network was trained as if they did not."""

import copy
import math
from typing import ClassVar

import torch

from ipnet.device import spread_device
from ipnet.network import Network
from ipnet.neuron import Neuron
from ipnet.perturbation import NetworkPerturbation


def _neurons(network: Network) -> list[Neuron]:
    """The neurons of the memories whose card states how its junctions differ."""
    found = [module for module in network.memories.modules() if isinstance(module, Neuron)]
    return [neuron for neuron in found if neuron.device.card.variation]


class DeviceVariation(NetworkPerturbation):
    """The junctions of every memory are drawn anew, with `level` times the spread that their card states.

    At level 1 it is the card's own ``[variation]`` (see `ipnet.device.load_device`), stuck junctions included; the
    chip is the same in all clips.

    Valid for: memories made of devices whose card has a ``[variation]``.
    """

    meaning: ClassVar[str] = "factor of the card's spread [1]"
    highest: ClassVar[float] = math.inf

    def inapplicable(self, network: Network) -> str:
        """Only junctions can differ as a card says."""
        return "" if _neurons(network) else f"'{network.memory_name}' has no devices with a card's [variation]"

    def apply(self, network: Network, level: float, generator: torch.Generator) -> Network:
        """Exchange the junctions."""
        changed = copy.deepcopy(network)
        for neuron in _neurons(changed):
            seed = int(torch.randint(2**31, (), generator=generator))
            neuron.device = spread_device(neuron.device, level, seed)
        return changed
