"""Devices: one physics per file, one junction per card in ``cards/``.

Drop a file with one `Device` here and it is found, listed and tested; drop a TOML card into ``cards/`` likewise.
"""

import abc
import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ipnet.cards import Card, Values, make_card, read_card_file, shipped_cards
from ipnet.registry import Registry

State = tuple[Tensor, ...]
Emit = Callable[[Tensor], Tensor]


class Device(nn.Module, abc.ABC):
    """A volatile device that is pulsed once per clock cycle and may switch.

    Every value of the card is a buffer: it moves with the module between machines and precisions, but no
    optimiser can reach it and no checkpoint can change it. What training may change is the gain, which
    belongs to the neuron.

    Attributes:
        Parameters: the table of the junction's values that a card must give.
        Clock: the table of the operating values; `V_max` and `gain` are among them.
        state_names: what time carries, with units, in the order of `State`.
        layer: which layer of a network the device serves; junctions that differ are drawn anew for each.
        common: values of `Parameters` in which junctions of one kind cannot differ, see `variation` of a card.
    """

    Parameters: ClassVar[type[Values]]
    Clock: ClassVar[type[Values]]
    common: ClassVar[frozenset[str]] = frozenset()
    layer: int = 0
    state_names: tuple[str, ...] = ()

    V_bias: Tensor
    V_max: Tensor
    gain: Tensor

    def __init__(self, card: Card[Any, Any]) -> None:
        super().__init__()
        self.card = card
        for table in (card.parameters, card.clock):
            for key, value in table.model_dump().items():
                if isinstance(value, float | tuple):
                    self.register_buffer(key, torch.tensor(value, dtype=torch.float64), persistent=False)

    def derive(self) -> None:
        """Compute the buffers that follow from others; called after values of the card were replaced."""

    def check(self) -> None:
        """Refuse values that leave the range in which the law is valid; called after values were replaced.

        Raises:
            IPNetError: names the quantity, its value and the cure.
        """

    def trim(self, nominal: "Device") -> None:
        """Choose what the clock lets each junction of a population have for itself; nothing by default.

        Args:
            nominal: the card's own junction.
        """

    def drive(self, u: Tensor) -> Tensor:
        """Voltage of the pulse: V = clip(V_bias + u, 0, V_max).

        Args:
            u: gain times pre-activation [V], any shape.

        Returns:
            V [V], same shape.
        """
        return (self.V_bias + u).clamp(min=0).clamp(max=self.V_max.to(u.dtype))

    def rest(self, like: Tensor) -> State:
        """The state of devices that were never pulsed, one per element of `like`."""
        return tuple(torch.zeros_like(like) for _ in self.state_names)

    @abc.abstractmethod
    def cycle(self, V: Tensor, state: State, emit: Emit) -> tuple[Tensor, State]:
        """One clock cycle: pulse, switch, read, reset, idle.

        Args:
            V: pulse voltages from `drive` [V], any shape.
            state: `State` of that shape.
            emit: turns the switching probability into what the neuron sends on (itself, or a random draw);
                called exactly once.

        Returns:
            What was emitted, in [0, 1], and the state at the start of the next cycle.
        """

    def limits(self) -> tuple[float, ...] | None:
        """Bounds that no cycle leaves: each part of the state stays between 0 and its limit; None if unknown.

        Where they are known, parts of the law may be computed as polynomials (`ipnet.interpolation`), but for a
        probability that is written with `ipnet.surrogate.cloglog`.

        """
        return None

    def memory_cycles(self) -> float:
        """How many clock cycles the state needs to fall to 1/e; 0 without memory."""
        return 0.0


DEVICES: Registry[Device] = Registry("device", __name__, Device)


def load_device(
    card: str | Path, *, variation: str | None = None, variation_seed: int = 0, **clock: Any
) -> Device:
    """The device of a card.

    Args:
        card: name of a shipped card, or path of a TOML file.
        variation: None for junctions that are all the card's; ``"card"`` for junctions that differ as the card's
            ``[variation]`` says; or the CSV file of a wafer. Every neuron then has junctions of its own.
        variation_seed: which of the junctions stands where.
        **clock: operating values in SI that replace the card's; values of the junction cannot be replaced.

    Raises:
        IPNetError: no such card or clock value, a value that breaks a rule, or a spread that cannot be drawn.

    Example:
        >>> load_device("mtj-thermal").card.parameters.R_P
        2530.0
    """
    from ipnet.device._variation import Varied, check_spread

    file = read_card_file(card)
    entry = DEVICES[file.device]
    device = entry(make_card(file, entry.Parameters, entry.Clock).with_clock(**clock))
    check_spread(device)
    return device if variation is None else Varied(device, variation, variation_seed)


def spread_device(device: Device, factor: float, seed: int) -> Device:
    """A population of junctions that differ by `factor` times the spread of the device's card.

    Args:
        device: of a card with a ``[variation]``; left untouched. Of a population, its nominal junction counts.
        factor: of every standard deviation and of the shares of stuck junctions, >= 0.
        seed: which of the junctions stands where.

    Raises:
        IPNetError: the card has no spread, or the shares of stuck junctions exceed 1; when it is run, a junction
            that leaves the valid range.
    """
    from ipnet.device._variation import Varied, check_spread

    nominal = copy.deepcopy(device.nominal if isinstance(device, Varied) else device)
    nominal.card = replace(nominal.card, variation={k: factor * v for k, v in nominal.card.variation.items()})
    check_spread(nominal)
    population = Varied(nominal, "card", seed)
    population.layer = device.layer
    return population


def card_names() -> list[str]:
    """The names of the shipped cards.

    Example:
        >>> "mtj-thermal" in card_names()
        True
    """
    return list(shipped_cards())
