"""Intrinsic plasticity: the memory is the physics of the neuron itself."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ipnet.device import Device, State, load_device
from ipnet.device._variation import Varied
from ipnet.errors import IPNetError
from ipnet.memory import Memory
from ipnet.neuron import Emission, Neuron
from ipnet.units import format_si

_SETTLED = 10.0  # memory horizons after which a junction is as hot as it gets


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
        amplify: send y = (p - p_cold) / (p_hot - p_cold) instead of p, p_cold being the answer of a junction at
            rest to no voltage and p_hot that of one held at V_max: a sense amplifier. The weights behind could
            learn the same, but slowly, since p may vary by a few per cent; it matters where no norm follows, at
            the last stage and the head.
        emission: ``"expectation"`` or ``"sample"``.
        devices: junctions in parallel per neuron, for ``"sample"``.
        seed: of the random draws.
        variation: ``"card"`` or a wafer's CSV file for junctions that differ, see `ipnet.device.load_device`.
        variation_seed: which of them stands where.

    Raises:
        IPNetError: an empty bank, or nothing to amplify; see `ipnet.device.load_device` and `ipnet.neuron.Neuron`.

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
        amplify: bool = False,
        emission: Emission = "expectation",
        devices: int = 1,
        seed: int = 0,
        variation: str | None = None,
        variation_seed: int = 0,
    ) -> None:
        super().__init__()
        if amplify and emission != "expectation":
            raise IPNetError(
                f"amplify needs emission = 'expectation'; got '{emission}', whose spikes are 0 or 1: leave one "
                "of them out."
            )
        self.variation = {"variation": variation, "variation_seed": variation_seed} if variation else {}
        self.bank = nn.ModuleList()
        for i, own in enumerate(_bank(bank)):
            values = (clock or {}) | own
            device = load_device(card, variation=variation, variation_seed=variation_seed, **values)
            self.bank.append(Neuron(device, channels, emission=emission, devices=devices, seed=seed + i))
        self.ranges = [_range(neuron.device) if amplify else (0.0, 1.0) for neuron in self.neurons]

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
        for i, (neuron, (cold, hot)) in enumerate(zip(self.neurons, self.ranges, strict=True)):
            y, own = neuron(x, state[i * parts : (i + 1) * parts] if state else None)
            emitted.append(y if (cold, hot) == (0.0, 1.0) else (y - cold) / (hot - cold))
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


def _range(device: Device) -> tuple[float, float]:
    """What a junction of the card answers at rest to no voltage, and when it has been held at V_max [1]."""
    nominal = device.nominal if isinstance(device, Varied) else device
    cold = state = nominal.rest(torch.zeros((), dtype=torch.float64))
    lowest, _ = nominal.cycle(torch.zeros((), dtype=torch.float64), cold, lambda p: p)
    highest, strongest = lowest, nominal.V_max.max()
    for _ in range(1 + math.ceil(_SETTLED * nominal.memory_cycles())):
        highest, state = nominal.cycle(strongest, state, lambda p: p)
    if not highest > lowest:
        raise IPNetError(
            f"amplify needs a junction that answers more often when it is hot; card '{device.card.name}' has "
            f"p = {lowest:.3g} cold and {highest:.3g} hot: leave amplify out, or change the clock."
        )
    return lowest.item(), highest.item()


def _bank(bank: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    if bank is not None and not (isinstance(bank, list) and bank):
        raise IPNetError(
            f"a bank must be a list of clock tables, at least one; got {bank!r}: leave it out for one."
        )
    return bank or [{}]
