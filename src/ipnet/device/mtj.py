"""A magnetic tunnel junction that is heated by its own pulses and switches more easily while it is warm."""

import math
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from ipnet.cards import Card, Values, quantity
from ipnet.device import Device, Emit, State
from ipnet.errors import IPNetError
from ipnet.physics import barrier, critical_voltage, log_hazard, relax, tmr_at_bias
from ipnet.surrogate import cloglog
from ipnet.units import format_si


class MTJParameters(Values):
    """What belongs to the junction."""

    R_P: float = quantity("ohm", "resistance of the parallel state at zero bias", gt=0)
    R_AP: float = quantity("ohm", "resistance of the antiparallel state at zero bias", gt=0)
    V_h: float = quantity("V", "voltage at which the TMR has halved", gt=0)
    delta: float = quantity("1", "thermal stability E_b / (k_B temp_0)", gt=0)
    V_c0: float = quantity("V", "intrinsic critical voltage at temp_0", gt=0)
    tau_0: float = quantity("s", "attempt time", gt=0)
    exponent: float = quantity("1", "b in the barrier (1 - V/V_c0)^b, 1 or 2", ge=1, le=2, multiple_of=1)
    temp_0: float = quantity("K", "ambient temperature", gt=0)
    softening: float = quantity("1/K", "fractional fall of barrier and V_c0 per kelvin", ge=0)
    R_th: float = quantity("K/W", "thermal resistance to ambient", ge=0)
    tau_th: float = quantity("s", "thermal time constant R_th C_th", gt=0)

    @model_validator(mode="after")
    def _is_a_junction(self) -> Self:
        if self.R_AP <= self.R_P:
            raise ValueError(
                f"R_AP must exceed R_P (TMR > 0); got R_P = {format_si(self.R_P, 'ohm')}, "
                f"R_AP = {format_si(self.R_AP, 'ohm')}: exchange them if the states are named the other way round"
            )
        return self

    @property
    def tmr_0(self) -> float:
        """TMR at zero bias, (R_AP - R_P) / R_P [1]."""
        return (self.R_AP - self.R_P) / self.R_P

    @property
    def C_th(self) -> float:
        """Heat capacity tau_th / R_th [J/K]; infinite for a junction that does not heat."""
        return self.tau_th / self.R_th if self.R_th else math.inf


class MTJClock(Values):
    """How the junction is operated; the user may choose these."""

    operation: Literal["bias", "drive and probe"]
    rest_state: Literal["P", "AP"]
    V_bias: float = quantity("V", "pulse voltage at zero input ('bias' only)", ge=0)
    gain: float = quantity("V", "voltage per unit of input before training", gt=0)
    V_max: float = quantity("V", "largest voltage ever applied to the junction", gt=0)
    V_probe: float = quantity("V", "probe pulse ('drive and probe' only)", ge=0)
    V_read: float = quantity("V", "read pulse", ge=0)
    V_reset: float = quantity("V", "magnitude of the reset pulse, applied if the junction switched", ge=0)
    t_cycle: float = quantity("s", "clock period, one frame", gt=0)
    t_pulse: float = quantity("s", "width of the input pulse", gt=0)
    t_probe: float = quantity("s", "width of the probe pulse ('drive and probe' only)", ge=0)
    t_read: float = quantity("s", "width of the read pulse", ge=0)
    t_reset: float = quantity("s", "width of the reset pulse", ge=0)

    @model_validator(mode="after")
    def _fits_the_cycle(self) -> Self:
        busy = self.t_pulse + self.t_read + self.t_reset
        busy += self.t_probe if self.operation == "drive and probe" else 0.0
        if busy > self.t_cycle * (1 + 1e-9):
            raise ValueError(
                f"the pulses of a cycle must fit into t_cycle; got {format_si(busy, 's')} of pulses in "
                f"{format_si(self.t_cycle, 's')}: lengthen t_cycle or shorten a pulse"
            )
        for key in ("V_bias", "V_probe", "V_read", "V_reset"):
            if getattr(self, key) > self.V_max:
                raise ValueError(
                    f"{key} must not exceed V_max; got {key} = {format_si(getattr(self, key), 'V')}, "
                    f"V_max = {format_si(self.V_max, 'V')}"
                )
        return self


class MTJ(Device):
    """A magnetic tunnel junction with one thermal pole.

    Per cycle, with the rise theta above ambient as the only state:

    * bias: one pulse of V for t_pulse; it switches with P(V, theta) and heats;
    * drive and probe: a pulse of V for t_pulse heats the junction (with the polarity that stabilises the
      resting state, so it cannot switch), then a short pulse V_probe, the same for every neuron, switches it
      with P(V_probe, theta);
    * then the junction is read, reset if it switched, and left to cool until t_cycle has passed.

    P = 1 - exp(-exp(eta)), eta = ln(t / tau_0) - delta(theta) (1 - V / V_c0(theta))^b  (`physics.log_hazard`);
    heating is solved exactly over each interval of constant power (`physics.relax`). Expected spikes stand for
    the fraction of cycles in which the junction switched: resistance and reset heat are averaged with them.

    Assumptions: the hazard uses the temperature at the start of its pulse; the resistance during the input
    pulse is that of the resting state, during the reset pulse that of the switched state; the reset succeeds.

    Valid for: thermally activated switching (pulses of at least 10 tau_0); softening * rise < 1.

    Raises:
        IPNetError: the card leaves the valid range.

    References:
        The laws: see `ipnet.physics`; the values: see each card.

    Example:
        >>> from ipnet.device import load_device
        >>> mtj = load_device("mtj-thermal")
        >>> cold = mtj.rest(torch.zeros(1))
        >>> p, (warm,) = mtj.cycle(mtj.drive(torch.tensor([0.1])), cold, emit=lambda p: p)
        >>> bool(warm > 0)
        True
    """

    Parameters: ClassVar[type[Values]] = MTJParameters
    Clock: ClassVar[type[Values]] = MTJClock
    state_names: ClassVar[tuple[str, ...]] = ("temperature rise [K]",)

    delta: Tensor
    V_c0: Tensor
    V_h: Tensor
    V_probe: Tensor
    tau_0: Tensor
    tau_th: Tensor
    R_P: Tensor
    R_th: Tensor
    softening: Tensor
    temp_0: Tensor
    t_pulse: Tensor
    t_probe: Tensor
    tail_decay: Tensor
    tail_heat: Tensor
    tail_heat_switched: Tensor
    tmr_0: Tensor

    def __init__(self, card: Card[MTJParameters, MTJClock]) -> None:
        super().__init__(card)
        clock = card.clock
        self.probes = clock.operation == "drive and probe"
        self.b = int(card.parameters.exponent)
        self.register_buffer("tmr_0", torch.tensor(card.parameters.tmr_0, dtype=torch.float64), persistent=False)
        if self.probes:
            self.V_bias.zero_()
        self._check_range(card)
        for name, value in zip(("tail_decay", "tail_heat", "tail_heat_switched"), self._tail(clock), strict=True):
            self.register_buffer(name, value, persistent=False)

    def _check_range(self, card: Card[MTJParameters, MTJClock]) -> None:
        clock = card.clock
        self.check_activated("t_probe" if self.probes else "t_pulse")
        hottest = self.steady_rise(torch.tensor(clock.V_max, dtype=torch.float64)).item()
        if card.parameters.softening * hottest >= 1:
            raise IPNetError(
                f"card '{card.name}': softening * rise must stay below 1 (the barrier would vanish); got a rise "
                f"of {hottest:.3g} K at V_max = {format_si(clock.V_max, 'V')}: lower V_max or R_th."
            )

    def resistance(self, V: Tensor, *, antiparallel: bool) -> Tensor:
        """R_P in the parallel state, R_P (1 + TMR(V)) in the antiparallel state [ohm]; R_P <= R <= R_AP."""
        return self.R_P * (1 + tmr_at_bias(self.tmr_0, V, self.V_h)) if antiparallel else self.R_P

    def steady_rise(self, V: Tensor, *, antiparallel: bool = False) -> Tensor:
        """The rise that a constant voltage would reach: R_th V^2 / R(V, state) [K]."""
        return self.R_th * V**2 / self.resistance(V, antiparallel=antiparallel)

    def p_switch(self, V: Tensor, t_pulse: Tensor, rise: Tensor) -> Tensor:
        """Probability that a pulse of voltage V [V] and width t_pulse [s] switches a junction `rise` [K] warm."""
        delta = barrier(self.delta, self.softening, self.temp_0, rise)
        V_c0 = critical_voltage(self.V_c0, self.softening, rise)
        return cloglog(log_hazard(V, t_pulse, self.tau_0, delta, V_c0, self.b))

    def cycle(self, V: Tensor, state: State, emit: Emit) -> tuple[Tensor, State]:
        """One clock cycle; see the class."""
        (rise,) = state
        resting = self.card.clock.rest_state == "AP"
        heated = relax(rise, self.steady_rise(V, antiparallel=resting), self.t_pulse, self.tau_th)
        if self.probes:
            emitted = emit(self.p_switch(self.V_probe, self.t_probe, heated))
            steady = self.steady_rise(self.V_probe, antiparallel=resting)
            heated = relax(heated, steady, self.t_probe, self.tau_th)
        else:
            emitted = emit(self.p_switch(V, self.t_pulse, rise))
        rise = heated * self.tail_decay + (self.tail_heat + self.tail_heat_switched * emitted)
        return emitted, (rise,)

    def _tail(self, clock: MTJClock) -> tuple[Tensor, Tensor, Tensor]:
        """Read, reset and idle as one affine map: rise -> decay rise + heat + heat_switched emitted."""
        zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
        resting = clock.rest_state == "AP"
        read, reset = zero + clock.V_read, zero + clock.V_reset
        idle = clock.t_cycle - clock.t_pulse - clock.t_read - clock.t_reset
        idle -= clock.t_probe if self.probes else 0.0

        def run(start: Tensor, during_read: Tensor, during_reset: Tensor) -> Tensor:
            rise = relax(start, during_read, zero + clock.t_read, self.tau_th)
            rise = relax(rise, during_reset, zero + clock.t_reset, self.tau_th)
            return relax(rise, zero, zero + max(idle, 0.0), self.tau_th)

        stayed = run(zero, self.steady_rise(read, antiparallel=resting), zero)
        switched = run(
            zero,
            self.steady_rise(read, antiparallel=not resting),
            self.steady_rise(reset, antiparallel=not resting),
        )
        return run(one, zero, zero), stayed, switched - stayed

    def memory_cycles(self) -> float:
        """tau_th / t_cycle: how many clock cycles the heat needs to fall to 1/e; 0 if nothing heats."""
        parameters: Any = self.card.parameters
        return float(parameters.tau_th / self.card.clock.t_cycle) if parameters.R_th else 0.0
