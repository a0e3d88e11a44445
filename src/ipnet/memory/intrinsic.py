"""Intrinsic plasticity: the memory is the physics of the neuron itself."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ipnet.device import State, load_device
from ipnet.errors import IPNetError
from ipnet.memory import Memory
from ipnet.neuron import Emission, Neuron
from ipnet.units import format_si


class Intrinsic(Memory):
    """Neurons made of devices; what they were driven with lingers in the devices' state. See `ipnet.neuron`.

    It stands where an activation function stands, adds one trained gain per channel and no weight. With a `bank`
    each element drives several junctions, which the same card makes and clocks of their own drive: a short cycle
    forgets less from frame to frame than a long one. All answers go on, [T, B, K C, ...] for a bank of K.

    Args:
        channels: C, one gain for each and for each junction of a bank.
        card: name of a shipped device card, or path of a TOML file.
        clock: operating values in SI that replace the card's, for example ``{"operation": "bias"}``.
        bank: values that replace those of `clock`, for each junction of a bank; None for one junction.
        emission: ``"expectation"`` or ``"sample"``.
        devices: junctions in parallel per neuron, for ``"sample"``.
        seed: of the random draws.
        variation: ``"card"`` or a wafer's CSV file for junctions that differ, see `ipnet.device.load_device`.
        variation_seed: which of them stands where.

    Raises:
        IPNetError: an empty bank; see `ipnet.device.load_device` and `ipnet.neuron.Neuron`.

    References:
        arXiv:2512.15829 (the idea; every device value comes from the card).
    """

    default: ClassVar[str] = "frontier"
    is_activation: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __init__(
        self,
        channels: int,
        *,
        card: str = "mtj-thermal",
        clock: dict[str, Any] | None = None,
        bank: list[dict[str, Any]] | None = None,
        emission: Emission = "expectation",
        devices: int = 1,
        seed: int = 0,
        variation: str | None = None,
        variation_seed: int = 0,
    ) -> None:
        super().__init__()
        self.variation = {"variation": variation, "variation_seed": variation_seed} if variation else {}
        self.bank = nn.ModuleList()
        for i, own in enumerate(_bank(bank)):
            values = (clock or {}) | own
            device = load_device(card, variation=variation, variation_seed=variation_seed, **values)
            self.bank.append(Neuron(device, channels, emission=emission, devices=devices, seed=seed + i))

    @property
    def neurons(self) -> list[Neuron]:
        """One for each junction of the bank."""
        return [neuron for neuron in self.bank if isinstance(neuron, Neuron)]

    @classmethod
    def widening(cls, *, bank: list[dict[str, Any]] | None = None, **_: Any) -> int:
        """Junctions in the bank."""
        return len(_bank(bank))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Map x [T, B, C, ...] to y in [0, 1] [T, B, K C, ...]; the states of `Neuron`, one after the other."""
        parts = len(state or ()) // len(self.bank)
        emitted, after = [], list[Tensor]()
        for i, neuron in enumerate(self.neurons):
            y, own = neuron(x, state[i * parts : (i + 1) * parts] if state else None)
            emitted.append(y)
            after += own
        return torch.cat(emitted, 2) if len(emitted) > 1 else emitted[0], tuple(after)

    def report(self) -> dict[str, Any]:
        """Card values in SI, clock period and memory horizon in frames (one frame is one clock cycle).

        Of a bank it is the junction that remembers longest; ``bank_horizons`` are those of all.
        """
        horizons = [neuron.device.memory_cycles() for neuron in self.neurons]
        device = self.neurons[horizons.index(max(horizons))].device
        period = getattr(device.card.clock, "t_cycle", None)
        return {
            "card": device.card.name,
            "parameters": device.card.parameters.model_dump(),
            "clock": device.card.clock.model_dump(),
            "clock_period": format_si(period, "s") if period else None,
            "clock_period_s": period,
            "horizon_frames": max(horizons),
            **({"bank_horizons": horizons} if len(horizons) > 1 else {}),
        } | self.variation


def _bank(bank: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    if bank is not None and not (isinstance(bank, list) and bank):
        raise IPNetError(
            f"a bank must be a list of clock tables, at least one; got {bank!r}: leave it out for one."
        )
    return bank or [{}]
