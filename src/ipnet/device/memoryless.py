"""The same thermally activated switch with no heat: what is left of a junction when its memory is taken away."""

from typing import ClassVar

from torch import Tensor

from ipnet.cards import Card, Pulses, Values, quantity
from ipnet.device import Device, Emit, State
from ipnet.physics import log_hazard, require_activated
from ipnet.surrogate import cloglog


class MemorylessParameters(Values):
    """What belongs to the junction."""

    delta: float = quantity("1", "thermal stability E_b / (k_B temp_0)", gt=0)
    V_c0: float = quantity("V", "intrinsic critical voltage", gt=0)
    tau_0: float = quantity("s", "attempt time", gt=0)
    exponent: float = quantity("1", "b in the barrier (1 - V/V_c0)^b, 1 or 2", ge=1, le=2, multiple_of=1)


class MemorylessClock(Pulses):
    """How the junction is operated."""

    t_pulse: float = quantity("s", "width of the input pulse", gt=0)


class Memoryless(Device):
    """A junction that cools completely between pulses: P = 1 - exp(-exp(eta(V))), no state.

    eta = ln(t_pulse / tau_0) - delta (1 - V / V_c0)^b, the limit R_th -> 0 of
    `ipnet.device.mtj.MTJ` in 'bias' operation.

    Valid for: thermally activated switching, t_pulse >= 10 tau_0.

    Raises:
        IPNetError: the card leaves the valid range.

    References:
        Taniguchi & Imamura, arXiv:1010.5845.
    """

    Parameters: ClassVar[type[Values]] = MemorylessParameters
    Clock: ClassVar[type[Values]] = MemorylessClock
    common: ClassVar[frozenset[str]] = frozenset({"exponent"})

    t_pulse: Tensor
    tau_0: Tensor
    delta: Tensor
    V_c0: Tensor

    def __init__(self, card: Card[MemorylessParameters, MemorylessClock]) -> None:
        super().__init__(card)
        self.b = int(card.parameters.exponent)
        self.check()

    def check(self) -> None:
        """Refuse a pulse that is too short."""
        require_activated(float(self.t_pulse), float(self.tau_0.max()), f"card '{self.card.name}': t_pulse")

    def cycle(self, V: Tensor, state: State, emit: Emit) -> tuple[Tensor, State]:
        """One clock cycle: the pulse switches the junction with P(V); nothing is carried on."""
        eta = log_hazard(V, self.t_pulse, self.tau_0, self.delta, self.V_c0, self.b)
        return emit(cloglog(eta)), state
