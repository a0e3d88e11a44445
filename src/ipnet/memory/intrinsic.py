"""Intrinsic plasticity: the memory is the physics of the neuron itself."""

from typing import Any, ClassVar

from torch import Tensor

from ipnet.device import State, load_device
from ipnet.memory import Memory
from ipnet.neuron import Emission, Neuron
from ipnet.units import format_si


class Intrinsic(Memory):
    """Neurons made of devices; what they were driven with lingers in the devices' state. See `ipnet.neuron`.

    It stands where an activation function stands, adds one trained gain per channel and no weight.

    Args:
        channels: C, one gain for each.
        card: name of a shipped device card, or path of a TOML file.
        clock: operating values in SI that replace the card's, for example ``{"operation": "bias"}``.
        emission: ``"expectation"`` or ``"sample"``.
        devices: junctions in parallel per neuron, for ``"sample"``.
        seed: of the random draws.
        variation: ``"card"`` or a wafer's CSV file for junctions that differ, see `ipnet.device.load_device`.
        variation_seed: which of them stands where.

    Raises:
        IPNetError: see `ipnet.device.load_device` and `ipnet.neuron.Neuron`.

    References:
        arXiv:2512.15829 (the idea; every device value comes from the card).
    """

    default: ClassVar[str] = "frontier"
    is_activation: ClassVar[bool] = True

    def __init__(
        self,
        channels: int,
        *,
        card: str = "mtj-thermal",
        clock: dict[str, Any] | None = None,
        emission: Emission = "expectation",
        devices: int = 1,
        seed: int = 0,
        variation: str | None = None,
        variation_seed: int = 0,
    ) -> None:
        super().__init__()
        device = load_device(card, variation=variation, variation_seed=variation_seed, **(clock or {}))
        self.variation = {"variation": variation, "variation_seed": variation_seed} if variation else {}
        self.neuron = Neuron(device, channels, emission=emission, devices=devices, seed=seed)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Map x [T, B, C, ...] to y in [0, 1] of the same shape; state as of `Neuron`."""
        y, state = self.neuron(x, state)
        return y, state

    def report(self) -> dict[str, Any]:
        """Card values in SI, clock period and memory horizon in frames (one frame is one clock cycle)."""
        device = self.neuron.device
        period = getattr(device.card.clock, "t_cycle", None)
        return {
            "card": device.card.name,
            "parameters": device.card.parameters.model_dump(),
            "clock": device.card.clock.model_dump(),
            "clock_period": format_si(period, "s") if period else None,
            "clock_period_s": period,
            "horizon_frames": device.memory_cycles(),
        } | self.variation
