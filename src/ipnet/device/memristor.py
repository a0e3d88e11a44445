"""A short-term-memory memristor: every pulse adds conductance, and between pulses it fades."""

from typing import ClassVar, Self

import torch
from pydantic import model_validator
from torch import Tensor

from ipnet.cards import Card, Pulses, Values, quantity
from ipnet.device import Device, Emit, State
from ipnet.errors import IPNetError
from ipnet.units import format_si


class MemristorParameters(Values):
    """What belongs to the device."""

    G_min: float = quantity("S", "conductance of the off state, never pulsed", ge=0)
    G_max: float = quantity("S", "conductance that no pulse exceeds", gt=0)
    tau: float = quantity("s", "time in which the conductance above G_min fades to 1/e", gt=0)
    P_c: float = quantity("1", "share of G_max - G that a pulse of V_set adds", gt=0, lt=1)
    V_set: float = quantity("V", "amplitude of a full spike", gt=0)
    V_0: float = quantity("V", "voltage over which the rate of potentiation grows e times", gt=0)

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.G_max <= self.G_min:
            raise ValueError(
                f"G_max must exceed G_min; got G_min = {format_si(self.G_min, 'S')}, "
                f"G_max = {format_si(self.G_max, 'S')}: exchange them if they are named the other way round"
            )
        return self


class MemristorClock(Pulses):
    """How the device is operated."""

    t_cycle: float = quantity("s", "clock period, one frame", gt=0)


class Memristor(Device):
    """A memristor with short-term memory, RN-Net's law with pulses of any amplitude.

    G_t - G_min = (G_{t-1} - G_min) e^{-t_cycle/tau} + P(V_t) (G_max - G_{t-1})

    As in RN-Net, fading and potentiation both act on the conductance at the end of the last cycle; there, a spike
    is all or nothing and P is P_c or 0. Here the share grows with the amplitude:

    P(V) = 1 - (1 - P_c)^{sinh(V/V_0) / sinh(V_set/V_0)}

    This is what a rate of potentiation proportional to sinh(V/V_0), the law of ion migration in WOx memristors,
    adds during a pulse of fixed width. P is 0 at V = 0, P_c at V_set, smooth, rising and below 1, and V_0 much
    above V_set makes the exponent V / V_set.

    The state is the conductance above the off state. What is emitted is the normalised read-out
    (G_t - G_min) / (G_max - G_min) after the pulse. In 'sample' emission it is the probability of a spike: that
    is a comparator with a threshold drawn evenly from the range, not noise of the device, and reading leaves the
    conductance as it is.

    Assumptions: the read-out does not disturb; a pulse is short against t_cycle; no variation from pulse to pulse.

    Valid for: P(V_max) <= e^{-t_cycle/tau}; beyond that, the law would leave a fuller device emptier than an
    emptier one.

    Raises:
        IPNetError: the card leaves the valid range.

    References:
        The law: Yoo et al., RN-Net, arXiv:2303.10770. The sinh: dw/dt = lambda sinh(eta V) - w/tau of Du et al.,
        Nat. Commun. 8, 2204 (2017), Supplementary Table 1, as quoted in llandsmeer/frontiers_nbox_k, fit_hh.py.

    Example:
        >>> from ipnet.device import load_device
        >>> memristor = load_device("memristor-rnnet")
        >>> spike, silence = memristor.drive(torch.tensor([1.5])), memristor.drive(torch.tensor([0.0]))
        >>> first, state = memristor.cycle(spike, memristor.rest(spike), emit=lambda p: p)
        >>> later, state = memristor.cycle(silence, state, emit=lambda p: p)
        >>> round(first.item(), 3), round((later / first).item(), 3)
        (0.2, 0.803)
    """

    Parameters: ClassVar[type[Values]] = MemristorParameters
    Clock: ClassVar[type[Values]] = MemristorClock
    common: ClassVar[frozenset[str]] = frozenset({"G_min", "G_max"})  # the read-out is relative to them
    state_names = ("conductance above the off state [S]",)

    G_min: Tensor
    G_max: Tensor
    tau: Tensor
    P_c: Tensor
    V_set: Tensor
    V_0: Tensor
    t_cycle: Tensor

    def __init__(self, card: Card[MemristorParameters, MemristorClock]) -> None:
        super().__init__(card)
        self.check()

    def check(self) -> None:
        """Refuse pulses that add a larger share than a cycle keeps."""
        most, kept, clock = self.share(self.V_max), torch.exp(-self.t_cycle / self.tau), self.card.clock
        if not bool((most <= kept).all()):
            raise IPNetError(
                f"card '{self.card.name}': a pulse must not add a larger share than a cycle keeps, P(V_max) <= "
                f"exp(-t_cycle/tau); got {most.max():.3g} at V_max = {format_si(clock.V_max, 'V')} and "
                f"{kept.min():.3g}: lower V_max or P_c, or shorten t_cycle."
            )

    def share(self, V: Tensor) -> Tensor:
        """P(V), the share of G_max - G that a pulse adds [1].

        Args:
            V: pulse voltage [V], any shape.

        Returns:
            The share in [0, 1), same shape.
        """
        # sinh(V/V_0) / sinh(V_set/V_0), written so that neither overflows.
        rate = torch.exp((V - self.V_set) / self.V_0)
        rate = rate * (torch.expm1(-2 * V / self.V_0) / torch.expm1(-2 * self.V_set / self.V_0))
        return -torch.expm1(torch.log1p(-self.P_c) * rate)

    def cycle(self, V: Tensor, state: State, emit: Emit) -> tuple[Tensor, State]:
        """One clock cycle: fade, add, read; see the class."""
        (gained,) = state
        room = self.G_max - self.G_min
        gained = gained * torch.exp(-self.t_cycle / self.tau) + self.share(V) * (room - gained)
        return emit(gained / room), (gained,)

    def memory_cycles(self) -> float:
        """How many clock cycles the conductance needs to fade to 1/e: tau / t_cycle."""
        return float(self.card.parameters.tau / self.card.clock.t_cycle)
