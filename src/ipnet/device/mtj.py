"""A magnetic tunnel junction that is heated by its own pulses and switches more easily while it is warm."""

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import ClassVar

import torch
from scipy.optimize import brentq
from torch import Tensor

from ipnet.cards import Card, Values
from ipnet.device import Device, Emit, State
from ipnet.device._mtj_range import check_range, choose_rule
from ipnet.device._mtj_tables import MTJClock, MTJParameters
from ipnet.device._mtj_trim import probe_of_its_own
from ipnet.errors import IPNetError
from ipnet.physics import (
    FINE,
    Quadrature,
    anisotropy,
    barrier,
    log_hazard,
    magnetisation,
    polarisation,
    relax,
    require_activated,
    tmr_at_bias,
    tmr_of,
    torque,
)
from ipnet.surrogate import cloglog
from ipnet.units import format_si


def total(state: Sequence[Tensor]) -> Tensor:
    """Temperature rise of the junction: the sum over its thermal poles [K]."""
    return reduce(add, state)


class MTJ(Device):
    """A magnetic tunnel junction whose state is its temperature rise above ambient, one part per thermal pole.

    Per cycle:

    * bias: one pulse of V for t_pulse switches it and heats it;
    * drive and probe: a pulse of V for t_pulse heats the junction (with the polarity that stabilises the
      resting state, so it cannot switch), then a short pulse V_probe, the same for every neuron, switches it;
    * then the junction is read, reset if it is read as switched, and left to cool until t_cycle has passed.

    Heat (a Foster chain; solved exactly over each interval of constant power, `physics.relax`):
    C_i d(rise_i)/dt = V^2 / R - rise_i / R_i, tau_i = R_i C_i, rise = sum_i rise_i.

    Switching: P = 1 - exp(-H), H = int dt/tau_0 exp(-delta(temp) (1 - V/V_c0(temp))^b) over the pulse while it
    heats, by a quadrature (`rule`) chosen at construction as the smallest that is within 1e-4 of 128
    nodes in P anywhere in the range of the card; `switching_error` is the error found. With kappa the barrier
    relative to temp_0, delta(temp) = delta kappa temp_0/temp and V_c0(temp) = V_c0 kappa torque(P_0)/torque(P):
    kappa = K_eff(temp) / K_eff(temp_0), K_eff = K_i(temp)/t_free - mu_0 N Ms(temp)^2 / 2.

    Resistance: R_P in the parallel state, R_P (1 + TMR(V, temp)) in the antiparallel one.

    Reading compares the current at V_read with the middle of the two that the card's junction would give; Gaussian
    noise I_noise turns the answer round with the probabilities `misread`. Expected spikes stand for the
    fraction of cycles in which the junction is read as switched: resistance and reset heat are averaged with them.

    Assumptions: a switched junction that is misread is reset all the same; the power of a pulse is that at its
    start (read and reset: at ambient temperature); its resistance is that of the resting state, during the reset
    pulse that of the switched state.

    Valid for: thermally activated switching (pulses of at least 10 tau_0); temperatures below temp_C and temp_P at
    which K_eff is positive; a reset that succeeds and a read that does not disturb (1 in 1000 at most).

    Raises:
        IPNetError: the card leaves the valid range.

    References:
        The laws: see `ipnet.physics`; several thermal time scales: Hadamek et al., Micromachines 14, 1581
        (2023); the values: see each card.

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
    common: ClassVar[frozenset[str]] = frozenset({"exponent", "diameter", "alpha", "Ms", "K_i", "t_free"})

    R_P: Tensor
    R_AP: Tensor
    V_h: Tensor
    temp_P: Tensor
    delta: Tensor
    delta_AP: Tensor
    V_c0: Tensor
    V_c0_AP: Tensor
    tau_0: Tensor
    temp_0: Tensor
    temp_C: Tensor
    q: Tensor
    beta: Tensor
    Ms_weight: Tensor
    n_K: Tensor
    K_weight: Tensor
    Ms: Tensor
    K_i: Tensor
    t_free: Tensor
    R_th: Tensor
    tau_th: Tensor
    V_probe: Tensor
    V_read: Tensor
    V_reset: Tensor
    I_noise: Tensor
    t_pulse: Tensor
    t_probe: Tensor
    t_read: Tensor
    t_reset: Tensor
    tmr_0: Tensor
    P_0: Tensor
    shape_share: Tensor
    misread: Tensor
    tail_decay: Tensor
    tail_heat: Tensor
    tail_heat_switched: Tensor

    def __init__(self, card: Card[MTJParameters, MTJClock]) -> None:
        super().__init__(card)
        self.b = int(card.parameters.exponent)
        self.probes = card.clock.operation == "drive and probe"
        self.resting = card.clock.rest_state == "AP"
        self.poles = len(card.parameters.tau_th)
        self.state_names = tuple(f"temperature rise of pole {i + 1} [K]" for i in range(self.poles))
        self.derive()
        self.check()
        self.rule, self.switching_error = choose_rule(self)

    def derive(self) -> None:
        """Compute what follows from the values of the card; call it after replacing one."""
        parameters, clock = self.card.parameters, self.card.clock
        tmr_0 = self.R_AP / self.R_P - 1
        derived = {
            "tmr_0": tmr_0,
            "P_0": torch.sqrt(tmr_0 / (2 + tmr_0)),
            "shape_share": parameters.shape_anisotropy * self.t_free / self.K_i,
        }
        for name, value in derived.items():
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("misread", self._misread(parameters), persistent=False)
        names = ("tail_decay", "tail_heat", "tail_heat_switched")
        for name, value in zip(names, self._tail(clock), strict=True):
            self.register_buffer(name, value, persistent=False)

    def trim(self, nominal: Device) -> None:
        """Give each junction the probe voltage at which it answers, cold, as the card's; see `MTJClock`."""
        if self.card.clock.trim == "probe" and isinstance(nominal, MTJ):
            self.register_buffer("V_probe", probe_of_its_own(self, nominal), persistent=False)

    def check(self) -> None:
        """Refuse values that leave the valid range; see the class."""
        check_range(self)

    def resistance(self, V: Tensor, *, antiparallel: bool, rise: Tensor | None = None) -> Tensor:
        """R_P, or R_P (1 + TMR(V, temp)) in the antiparallel state [ohm], between R_P and R_AP.

        Args:
            V: voltage [V].
            antiparallel: the state.
            rise: temperature rise [K]; None stands for none.
        """
        if not antiparallel:
            return self.R_P
        if rise is None:
            return self.R_P * (1 + tmr_at_bias(self.tmr_0, V, self.V_h))
        P = polarisation(self.temp_0 + rise, self.temp_0, self.temp_P, self.P_0)
        return self.R_P * (1 + tmr_at_bias(tmr_of(P), V, self.V_h))

    def power(self, V: Tensor, *, antiparallel: bool, rise: Tensor | None = None) -> Tensor:
        """Joule heat V^2 / R [W]."""
        return V**2 / self.resistance(V, antiparallel=antiparallel, rise=rise)

    def steady_rise(self, V: Tensor, *, antiparallel: bool = False) -> Tensor:
        """The rise that a constant voltage would reach: sum(R_th) V^2 / R(V, state) [K]."""
        return self.R_th.sum(0) * self.power(V, antiparallel=antiparallel)

    def heat(self, state: State, power: Tensor, duration: Tensor) -> State:
        """The rises after an interval of constant power.

        Args:
            state: rise of each pole [K].
            power: [W]; zero lets the junction cool.
            duration: [s].
        """
        poles = zip(state, self.R_th, self.tau_th, strict=True)
        return tuple(relax(rise, R * power, duration, tau) for rise, R, tau in poles)

    def free_layer(self, rise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Magnetisation and barrier relative to temp_0, m and kappa, and polarisation P at temp_0 + rise [1]."""
        temp = self.temp_0 + rise
        m = magnetisation(temp, self.temp_0, self.temp_C, self.q, self.beta, self.Ms_weight)
        k = anisotropy(m, self.n_K, self.K_weight)
        kappa = (k - self.shape_share * m**2) / (1 - self.shape_share)
        return m, kappa, polarisation(temp, self.temp_0, self.temp_P, self.P_0)

    def stability(self, rise: Tensor, *, antiparallel: bool) -> tuple[Tensor, Tensor]:
        """Thermal stability [1] and critical voltage [V] of a state at temp_0 + rise; see the class."""
        _, kappa, P = self.free_layer(rise)
        delta, V_c0 = (self.delta_AP, self.V_c0_AP) if antiparallel else (self.delta, self.V_c0)
        warm = barrier(delta, kappa, self.temp_0, self.temp_0 + rise)
        return warm, V_c0 * kappa * torque(self.P_0) / torque(P)

    def log_hazard(
        self,
        V: Tensor,
        t_pulse: Tensor,
        state: State,
        *,
        antiparallel: bool,
        rule: Quadrature = FINE,
        ambient: Tensor | float = 0.0,
    ) -> Tensor:
        """Logarithm of the hazard integrated over a pulse while it heats the junction; the range is not checked.

        Args:
            V: voltage of the pulse, of the polarity that switches this state [V].
            t_pulse: width [s].
            state: rise of each pole at its start [K].
            antiparallel: the state that is left.
            rule: where in the pulse the hazard is evaluated.
            ambient: how much warmer than temp_0 the surroundings are [K].

        Returns:
            ln H [1], for `ipnet.surrogate.cloglog`.
        """
        power = self.power(V, antiparallel=antiparallel, rise=total(state) + ambient)
        nodes = []
        for time, weight in zip(*rule, strict=True):
            rise = total(self.heat(state, power, time * t_pulse)) + ambient
            delta, V_c0 = self.stability(rise, antiparallel=antiparallel)
            nodes.append(log_hazard(V, weight * t_pulse, self.tau_0, delta, V_c0, self.b))
        return torch.logsumexp(torch.stack(nodes), 0) if len(nodes) > 1 else nodes[0]

    def p_switch(self, V: Tensor, t_pulse: Tensor, state: State, *, antiparallel: bool | None = None) -> Tensor:
        """Probability that a pulse switches a junction, to the precision of 64 quadrature nodes.

        Args:
            V: voltage of the pulse, of the polarity that switches this state [V], in [0, V_max].
            t_pulse: width [s], at least 10 tau_0.
            state: rise of each pole at its start [K]; at both ends of the pulse their sum must lie between 0 and
                the steady rise at V_max.
            antiparallel: the state that is left; None for the resting state of the card's clock.

        Returns:
            P [1].

        Raises:
            IPNetError: a quantity is out of its range.
        """
        name, hottest = self.card.name, self.hottest.max().item()
        require_activated(float(t_pulse.min()), float(self.tau_0.max()), f"card '{name}': t_pulse")
        if len(state) != self.poles:
            raise IPNetError(
                f"card '{name}': state must have the rise of each of {self.poles} poles; got {len(state)}."
            )
        left = self.resting if antiparallel is None else antiparallel
        after = total(self.heat(state, self.power(V, antiparallel=left, rise=total(state)), t_pulse))
        ranges = [
            ("V", V, self.V_max, "V"),
            *(("rise", part, hottest, "K") for part in (*state, total(state), after)),
        ]
        for what, value, high, unit in ranges:
            for seen in (value.min().item(), value.max().item()):
                if not -1e-9 <= seen <= float(high) * (1 + 1e-6):
                    raise IPNetError(
                        f"card '{name}': {what} must lie in [0, {format_si(float(high), unit)}], where the law is "
                        f"valid; got {format_si(seen, unit)}."
                    )
        return cloglog(self.log_hazard(V, t_pulse, state, antiparallel=left))

    def cycle(self, V: Tensor, state: State, emit: Emit) -> tuple[Tensor, State]:
        """One clock cycle; see the class."""
        rise = total(state) if self.resting else None
        heated = self.heat(state, self.power(V, antiparallel=self.resting, rise=rise), self.t_pulse)
        if self.probes:
            emitted = emit(self.answer(self.V_probe, self.t_probe, heated))
            rise = total(heated) if self.resting else None
            power = self.power(self.V_probe, antiparallel=self.resting, rise=rise)
            heated = self.heat(heated, power, self.t_probe)
        else:
            emitted = emit(self.answer(V, self.t_pulse, state))
        tails = zip(heated, self.tail_decay, self.tail_heat, self.tail_heat_switched, strict=True)
        return emitted, tuple(part * decay + (heat + extra * emitted) for part, decay, heat, extra in tails)

    def answer(self, V: Tensor, t_pulse: Tensor, state: State) -> Tensor:
        """Probability that the junction is read as switched after a pulse [1]; the range is not checked.

        Args:
            V: voltage of the pulse, of the polarity that switches the resting state [V].
            t_pulse: width [s].
            state: rise of each pole at its start [K].
        """
        eta = self.log_hazard(V, t_pulse, state, antiparallel=self.resting, rule=self.rule)
        p = cloglog(eta)
        if not self.misreads:
            return p
        return self.misread[0] + (1 - self.misread[0] - self.misread[1]) * p

    def _misread(self, parameters: MTJParameters) -> Tensor:
        """Probabilities that the resting state is read as switched, and the switched one as resting."""
        V = self.V_read
        tmr = parameters.tmr_0 / (1 + (V / parameters.V_h) ** 2)
        middle = V / parameters.R_P * (1 + 1 / (1 + tmr)) / 2
        currents = [V / self.resistance(V, antiparallel=ap) for ap in (self.resting, not self.resting)]
        sign = -1 if self.resting else 1
        resting, switched = sign * (currents[0] - middle), sign * (middle - currents[1])
        margins = torch.stack([resting + 0 * switched, switched + 0 * resting])  # both in the shape of both
        misread = torch.erfc(margins / (math.sqrt(2) * self.I_noise.clamp(min=1e-30))) / 2
        self.misreads = bool((misread > 1e-12).any())
        return misread

    def _tail(self, clock: MTJClock) -> tuple[Tensor, Tensor, Tensor]:
        """Read, reset and idle as one affine map per pole: rise -> decay rise + heat + heat_switched emitted."""
        zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
        idle = clock.t_cycle - clock.t_pulse - clock.t_read - clock.t_reset
        idle -= clock.t_probe if self.probes else 0.0

        def run(start: Tensor, during_read: Tensor, during_reset: Tensor) -> Tensor:
            state: State = (start,) * self.poles
            state = self.heat(state, during_read, self.t_read)
            state = self.heat(state, during_reset, self.t_reset)
            return torch.stack(self.heat(state, zero, zero + max(idle, 0.0)))

        stayed = run(zero, self.power(self.V_read, antiparallel=self.resting), zero)
        switched = run(
            zero,
            self.power(self.V_read, antiparallel=not self.resting),
            self.power(self.V_reset, antiparallel=not self.resting),
        )
        return run(one, zero, zero), stayed, switched - stayed

    @property
    def hottest(self) -> Tensor:
        """The rise that V_max would reach in the parallel state, the upper end of the valid range [K]."""
        return self.steady_rise(self.V_max)

    def limits(self) -> tuple[float, ...]:
        """The rises [K] that the strongest of all pulses would reach in the parallel state, were it held."""
        strongest = torch.stack([self.V_max, self.V_probe, self.V_read, self.V_reset]).max()
        rises = self.R_th.reshape(self.poles, -1) * self.power(strongest, antiparallel=False).max()
        return tuple(rises.amax(1).tolist())

    def memory_cycles(self) -> float:
        """How many clock cycles the heat that a pulse leaves to the next cycle needs to fall to 1/e; 0 for none.

        With one pole tau_th / t_cycle; with several the time after which sum_i a_i exp(-t/tau_i) is 1/e of its
        start, a_i = R_i (1 - exp(-t_pulse/tau_i)) exp(-(t_cycle - t_pulse)/tau_i).
        """
        parameters, clock = self.card.parameters, self.card.clock
        idle = clock.t_cycle - clock.t_pulse
        parts = [
            (-R * math.expm1(-clock.t_pulse / tau) * math.exp(-idle / tau), tau)
            for R, tau in zip(parameters.R_th, parameters.tau_th, strict=True)
        ]
        start: float = sum(a for a, _ in parts)
        if not start:
            return 0.0

        def above(t: float) -> float:
            return math.fsum(a * math.exp(-t / tau) for a, tau in parts) / start - math.exp(-1)

        slowest = max(tau for _, tau in parts)
        horizon: float = brentq(above, 0.0, 2 * slowest, xtol=1e-12 * slowest)
        return float(horizon / clock.t_cycle)
