"""What a device card means in numbers: switching, heating, the kernel and horizon of its memory, and energy.

Kernel, horizon and answers are measured through `Device.cycle`, as a network uses the device, and so hold for any;
`Junction` is for magnetic tunnel junctions. Results are plain numbers in SI: `dataclasses.asdict` feeds JSON.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from ipnet.device import Device, State
from ipnet.device.mtj import MTJ, total
from ipnet.errors import IPNetError
from ipnet.horizon import Horizon, Kernel, answers_to, expectation, kernel, memory_horizon, number, settled, sweep
from ipnet.pulses import Kind, applied

RISES = (0.0, 10.0, 20.0, 50.0)  # at the start of the S-curves [K]
EVENTS = (0, 1, 3, 10)  # in a row before an answer curve
EVENT_RATE = 0.1  # events per cycle, for the average energy


@dataclass(frozen=True)
class Curve:
    """Answer to a pulse against its voltage; of a junction, the probability that its operating pulse switches."""

    start: float  # of a junction: rise of its slowest pole [K]; of another device: number of events before
    V: tuple[float, ...]  # [V]
    p: tuple[float, ...]  # [1]
    V_50: float | None = None  # of a junction: where p = 1/2 [V]; None above V_max
    slope: float | None = None  # of a junction: dV / d logit(p) there [V]


def answer_curves(device: Device, amplitude: float = 1.0) -> tuple[Curve, ...]:
    """Answer against voltage after `EVENTS` events in a row, from the settled state; one curve without state."""
    V = torch.linspace(0, device.V_max.item(), 201, dtype=torch.float64)
    event = device.drive(device.gain * amplitude)
    state, curves = settled(device), list[Curve]()
    with torch.no_grad():
        for count in range(max(EVENTS) + 1):
            if count in EVENTS:
                p, _ = device.cycle(V, tuple(part.expand(len(V)) for part in state), expectation)
                curves.append(Curve(float(count), tuple(V.tolist()), tuple(p.tolist())))
            if not state:
                break
            _, state = device.cycle(event, state, expectation)
    return tuple(curves)


@dataclass(frozen=True)
class HeatCourse:
    """Rise of a cold junction during one input pulse and after it, with nothing else applied."""

    V: float  # [V]
    time: tuple[float, ...]  # since the start of the pulse [s]
    rise: tuple[float, ...]  # [K]
    poles: tuple[tuple[float, ...], ...]  # of each thermal pole [K]


@dataclass(frozen=True)
class Energy:
    """Joule heat V^2 / R t of the pulses [J], in the junction alone: no drivers, amplifiers or wires.

    `average` is that of a cycle with an event at `event_rate`, on a junction that had settled in silence.
    """

    drive_silent: float
    drive_event: float
    probe: float  # 0 in 'bias' operation
    read: float
    read_switched: float
    reset: float  # only if the junction switched
    cycle_silent: float  # no event, no switching
    cycle_event: float  # an event, no switching
    cycle_switched: float  # an event and switching
    event_rate: float  # events per cycle [1]
    average: float


@dataclass(frozen=True)
class Junction:
    """What only a heated junction has; its operating pulse is the one that switches: the probe if there is one."""

    operation: str
    V_operating: float  # voltage of the operating pulse [V]
    width: float  # of the operating pulse [s]
    t_pulse: float  # width of the input pulse [s]
    silent_rise: float  # at the start of a cycle, settled in silence [K]
    event_rise: float  # that the input pulse of an event leaves in a cold junction at its end [K]
    logit_per_kelvin: float  # d logit(p) / d rise of the slowest pole, at V_operating and silent_rise [1/K]
    switching: tuple[Curve, ...]
    heating: tuple[HeatCourse, ...]
    energy: Energy


def _in_slowest(mtj: MTJ, rise: Tensor) -> State:
    """A state with all of its rise in the slowest pole, where it is a cycle after the pulse."""
    slowest = int(mtj.tau_th.argmax())
    return tuple(rise if i == slowest else torch.zeros_like(rise) for i in range(mtj.poles))


def _logit_switch(mtj: MTJ, V: Tensor, width: Tensor, state: State) -> Tensor:
    """logit(p) of a pulse, from the logarithm of the hazard H: logit(1 - exp(-H)) = H + ln(1 - exp(-H))."""
    eta = mtj.log_hazard(V, width, state, antiparallel=mtj.resting)
    hazard = torch.exp(eta.clamp(min=-30))
    return torch.where(eta < -30, eta, hazard + torch.log(-torch.expm1(-hazard)))


def _operating(mtj: MTJ) -> tuple[Tensor, Tensor]:
    """Voltage and width of the pulse that switches."""
    return (mtj.V_probe, mtj.t_probe) if mtj.probes else (mtj.drive(number(0.0)), mtj.t_pulse)


def _halves(mtj: MTJ, width: Tensor, rises: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
    """V_50 at each rise [V], by Newton's method, and dV / d logit(p) there [V]."""
    V, state = guess, _in_slowest(mtj, rises)
    for _ in range(8):
        at = V.detach().requires_grad_()
        logit = _logit_switch(mtj, at, width, state)
        (slope,) = torch.autograd.grad(logit.sum(), at)
        V = (at - logit / slope).detach()
        if bool((logit.abs() < 1e-9).all()):  # and the step just made squares that
            break
    return V, 1 / slope


def switching_curves(mtj: MTJ, rises: Sequence[float] = RISES, points: int = 121) -> tuple[Curve, ...]:
    """S-curves of the pulse that switches at several starting rises [K], those within the valid range.

    If the junction cannot get as hot as the last of `rises`, its hottest takes that place.
    """
    _, width = _operating(mtj)
    hottest, V_max = mtj.hottest.item(), mtj.V_max.item()
    starts = torch.tensor(sorted({min(rise, hottest) for rise in rises}), dtype=torch.float64)
    scan = torch.linspace(0, V_max, points, dtype=torch.float64)
    found = _logit_switch(mtj, scan, width, _in_slowest(mtj, starts[:, None].expand(-1, points))).numpy()
    low, high = np.interp(-6, found[-1], scan), np.interp(6, found[0], scan)
    V = torch.linspace(float(low), float(high), points, dtype=torch.float64)
    p = mtj.p_switch(V, width, _in_slowest(mtj, starts[:, None].expand(-1, points)))
    guess = torch.tensor([np.interp(0, logits, scan) for logits in found], dtype=torch.float64)
    V_50, slope = _halves(mtj, width, starts, guess)
    within = [logits[-1] > 0 for logits in found]
    return tuple(
        Curve(rise, tuple(V.tolist()), tuple(row), *(half if inside else (None, None)))
        for rise, row, half, inside in zip(
            starts.tolist(), p.tolist(), zip(V_50.tolist(), slope.tolist(), strict=True), within, strict=True
        )
    )


def heat_courses(mtj: MTJ, voltages: Sequence[float], points: int = 161) -> tuple[HeatCourse, ...]:
    """Heating and relaxation of a cold junction by one input pulse of each of the voltages [V]."""
    width, taus = mtj.t_pulse.item(), mtj.tau_th.tolist()
    during = np.geomspace(min(*taus, width) / 30, width, points // 2)
    after = np.geomspace(width, width + 8 * max(taus), points - points // 2 + 1)[1:]
    time = torch.tensor(np.concatenate([during, after]))
    cold, courses = mtj.rest(torch.zeros_like(time)), list[HeatCourse]()
    for V in voltages:
        power = mtj.power(number(V), antiparallel=mtj.resting, rise=number(0.0))
        heated = mtj.heat(cold, power, time.clamp(max=width))
        poles = mtj.heat(heated, number(0.0), (time - width).clamp(min=0))
        shown = tuple(tuple(pole.tolist()) for pole in poles)
        courses.append(HeatCourse(V, tuple(time.tolist()), tuple(total(poles).tolist()), shown))
    return tuple(courses)


def energies(mtj: MTJ, amplitude: float = 1.0, event_rate: float = EVENT_RATE) -> Energy:
    """Energy of every pulse and of the cycles they make, see `Energy`.

    Raises:
        IPNetError: the event rate is no probability.
    """
    if not 0 <= event_rate <= 1:
        raise IPNetError(f"event_rate must lie in [0, 1], events per cycle; got {event_rate:g}.")
    state = settled(mtj)

    def heats(x: float, switched: float) -> dict[str, float]:
        pulses = applied(mtj, mtj.drive(mtj.gain * x), state, number(switched))
        return {kind: sum(pulse.heat.item() for pulse in pulses if pulse.kind == kind) for kind in get_args(Kind)}

    silent, event, switched = heats(0.0, 0.0), heats(amplitude, 0.0), heats(amplitude, 1.0)
    cycles = [sum(cycle.values()) for cycle in (silent, event, switched)]
    spike = cycles[2] - cycles[1]
    p_silent, p_event = next(answers_to(mtj, amplitude))
    average = (1 - event_rate) * (cycles[0] + p_silent * spike) + event_rate * (cycles[1] + p_event * spike)
    return Energy(
        drive_silent=silent["drive"],
        drive_event=event["drive"],
        probe=silent["probe"],
        read=silent["read"],
        read_switched=switched["read"],
        reset=switched["reset"],
        cycle_silent=cycles[0],
        cycle_event=cycles[1],
        cycle_switched=cycles[2],
        event_rate=event_rate,
        average=average,
    )


def junction(mtj: MTJ, amplitude: float = 1.0, event_rate: float = EVENT_RATE) -> Junction:
    """What only a heated junction has, see `Junction`."""
    V, width = _operating(mtj)
    rises = settled(mtj)
    slowest = int(mtj.tau_th.argmax())
    warmth = rises[slowest].detach().requires_grad_()
    state = tuple(warmth if i == slowest else rise for i, rise in enumerate(rises))
    (per_kelvin,) = torch.autograd.grad(_logit_switch(mtj, V, width, state), warmth)
    event = mtj.drive(mtj.gain * amplitude).item()
    heating = heat_courses(mtj, sorted({event / 2, event, mtj.V_max.item()}))
    power = mtj.power(number(event), antiparallel=mtj.resting, rise=number(0.0))
    return Junction(
        operation=mtj.card.clock.operation,
        V_operating=V.item(),
        width=width.item(),
        t_pulse=mtj.t_pulse.item(),
        silent_rise=total(rises).item(),
        event_rise=total(mtj.heat(mtj.rest(power), power, mtj.t_pulse)).item(),
        logit_per_kelvin=per_kelvin.item(),
        switching=switching_curves(mtj),
        heating=heating,
        energy=energies(mtj, amplitude, event_rate),
    )


@dataclass(frozen=True)
class Characterisation:
    """A device in numbers; what does not apply is None or empty."""

    card: str
    device: str
    state_names: tuple[str, ...]
    kernel: Kernel | None  # None without state
    horizon: Horizon | None  # at the clock of the card
    sweep: tuple[Horizon, ...]  # over the clock period
    answers: tuple[Curve, ...]  # of a device that is no junction
    junction: Junction | None


def characterise(device: Device, amplitude: float = 1.0, event_rate: float = EVENT_RATE) -> Characterisation:
    """A device in numbers, at the clock of its card.

    Args:
        device: any device; a heated junction gives more.
        amplitude: of one event, in units of the gain [1].
        event_rate: events per cycle, for the average energy [1].

    Raises:
        IPNetError: the amplitude or the rate is out of range, or silent cycles do not settle.

    Example:
        >>> from ipnet.device import load_device
        >>> numbers = characterise(load_device("memoryless"))
        >>> numbers.kernel is None, numbers.answers[0].p[0] < numbers.answers[0].p[-1]
        (True, True)
    """
    remembers, thermal = bool(device.state_names), isinstance(device, MTJ)
    at_card = memory_horizon(device, amplitude)
    shown = min(max(12, math.ceil(3.2 * at_card.cycles + 1)), 400)
    return Characterisation(
        card=device.card.name,
        device=device.card.device,
        state_names=tuple(device.state_names),
        kernel=kernel(device, shown, amplitude) if remembers else None,
        horizon=at_card if remembers else None,
        sweep=sweep(device, amplitude),
        answers=() if thermal else answer_curves(device, amplitude),
        junction=junction(device, amplitude, event_rate) if isinstance(device, MTJ) else None,
    )
