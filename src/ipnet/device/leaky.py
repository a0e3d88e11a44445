"""An ideal leaky integrator: exponential memory and nothing else, the control for every device with physics."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.cards import Pulses, Values, quantity
from ipnet.device import Device, Emit, State
from ipnet.surrogate import cloglog


class LeakyParameters(Values):
    """What belongs to the neuron."""

    tau: float = quantity("s", "time in which the trace fades to 1/e", gt=0)
    threshold: float = quantity("V", "trace at which it answers in 63 % of the cycles", ge=0)
    width: float = quantity("V", "rise of the trace that makes an answer e times more likely", gt=0)


class LeakyClock(Pulses):
    """How the neuron is operated."""

    t_cycle: float = quantity("s", "clock period, one frame", gt=0)


class Leaky(Device):
    """A low-pass of the pulse voltage, answered like the junction of `ipnet.device.mtj.MTJ`.

    q_t = q_{t-1} e^{-t_cycle/tau} + V_t (1 - e^{-t_cycle/tau}),  P_t = 1 - exp(-exp((q_t - threshold) / width))

    The trace q solves tau dq/dt = V - q exactly, with V held over the cycle. It is the mean of all past pulses
    with weights that fade exponentially and sum to 1: the horizon tau says how far back it looks and not how
    strongly it answers, a constant V is reached itself, q stays in [0, V_max], and two cycles at one V are one
    of twice the length.

    It is the junction in 'drive and probe' operation with all peculiarities removed: the input charges the trace,
    then a complementary log-log answer reads it. What the junction has in addition, and what a comparison of the
    two therefore isolates: heat that grows with V^2, barriers that depend on temperature in a curved way, probe,
    read and reset pulses that heat too, and spikes that act back on the state. In 'sample' emission the answer is
    a draw; the trace itself is free of noise and independent of the draw.

    Valid for: any value of the card; it is a definition, not a device.

    References:
        Abbott, Brain Res. Bull. 50, 303 (1999), on the leaky integrator of Lapicque (1907).

    Example:
        >>> from ipnet.device import load_device
        >>> leaky = load_device("leaky")
        >>> V, state = leaky.drive(torch.tensor([0.3])), leaky.rest(torch.zeros(1))
        >>> for _ in range(100):
        ...     p, state = leaky.cycle(V, state, emit=lambda p: p)
        >>> round(state[0].item(), 6)
        0.3
    """

    Parameters: ClassVar[type[Values]] = LeakyParameters
    Clock: ClassVar[type[Values]] = LeakyClock
    state_names = ("trace [V]",)

    tau: Tensor
    threshold: Tensor
    width: Tensor
    t_cycle: Tensor

    def cycle(self, V: Tensor, state: State, emit: Emit) -> tuple[Tensor, State]:
        """One clock cycle: follow the pulse, answer; see the class."""
        (trace,) = state
        elapsed = self.t_cycle / self.tau
        trace = trace * torch.exp(-elapsed) - V * torch.expm1(-elapsed)
        return emit(cloglog((trace - self.threshold) / self.width)), (trace,)

    def memory_cycles(self) -> float:
        """How many clock cycles the trace needs to fade to 1/e: tau / t_cycle."""
        return float(self.card.parameters.tau / self.card.clock.t_cycle)
