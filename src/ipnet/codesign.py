"""Does this device remember for as long as a task needs: natively, replayed faster, or with another device?"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from ipnet.device import Device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.horizon import Kernel, at_period, kernel, memory_horizon, resolution, shortest_period
from ipnet.units import format_si

Verdict = Literal["native", "compressed", "no"]
TOLERANCE = 1e-3  # a horizon that is short by less fits [1]
_POINTS = 12


@dataclass(frozen=True)
class Signal:
    """What is left of one event at the horizon, against the noise of one sampled spike.

    d' = (P_event - P_silent) / sqrt((P_event (1 - P_event) + P_silent (1 - P_silent)) / 2) for one spike of one
    device; n independent devices or repetitions reach sqrt(n) d'.
    """

    shift: float  # of the answer [logit, or 1]; 0 if double precision resolves none
    scale: str  # of the shift, see `Kernel`
    silent: float  # answer without the event [1]
    event: float  # answer with it [1]
    d_prime: float  # of one spike [1]
    devices: int | None  # for d' = 1; None if nothing is left


@dataclass(frozen=True)
class Point:
    """How many frames the device remembers, to 1/e, at a clock period."""

    t_cycle: float  # [s]
    compression: float  # frame interval / t_cycle [1]
    frames: float | None  # None if the device cannot be operated so


@dataclass(frozen=True)
class Cure:
    """The slowest thermal pole with which the same junction fits at a clock period; other poles as they are."""

    keep: str  # "R_th" (tau_th changes through C_th) or "C_th" (through R_th)
    t_cycle: float  # [s]
    compression: float  # [1]
    tau_th: float  # [s]
    R_th: float  # [K/W]
    C_th: float | None  # [J/K]; None for a pole that does not heat
    steady_rise: float  # of all poles at V_max, the hottest state [K]
    valid: bool  # whether the law of the junction holds up to that rise
    reason: str  # if not, why
    signal: Signal | None  # at the horizon; None if not valid


@dataclass(frozen=True)
class Match:
    """Whether a device fits a task, and the numbers behind it."""

    card: str
    verdict: Verdict  # "native": at one cycle per frame; "compressed": replayed faster; "no"
    sentences: tuple[str, ...]  # the same for people
    frame_interval: float  # [s]
    horizon: float  # wanted, in the time of the task [s]
    frames: float  # wanted: horizon / frame_interval
    native_frames: float | None  # remembered at one cycle per frame; None if it cannot be operated so
    t_cycle: float | None  # at which it fits, or comes closest [s]; None without memory
    compression: float | None  # frame_interval / t_cycle [1]
    reached: float  # frames remembered there
    least_compression: float | None  # at which it fits [1]; None if it fits at no clock
    memory: float  # time in which it fades to 1/e, at the clock of the card or at rest [s]
    shortest_period: float  # that the pulses allow [s]; 0 without limit
    poles: tuple[float, ...]  # frames in which each thermal pole falls to 1/e natively, tau_th / frame_interval
    sweep: tuple[Point, ...]
    kernel: Kernel | None  # at t_cycle
    signal: Signal | None  # at the wanted horizon and t_cycle
    cures: tuple[Cure, ...]


def _signal(seen: Kernel, age: float) -> Signal:
    """The signal of an event `age` cycles ago, log-linear between cycles."""
    low, part = int(age), age - int(age)
    here, after = (seen.shift[k] if k < len(seen.shift) else 0.0 for k in (low, low + 1))
    shift = here if not part else 0.0
    if part and here * after > 0:
        shift = math.copysign(abs(here) ** (1 - part) * abs(after) ** part, here)
    if abs(shift) < resolution(seen.silent, seen.scale):
        return Signal(0.0, seen.scale, seen.silent, seen.silent, 0.0, None)
    p, more = seen.silent, shift
    if seen.scale == "logit":  # P(logit p + shift) - p, with no cancellation
        more = p * (1 - p) * math.expm1(shift) / (1 + p * math.expm1(shift))
    noise = math.sqrt((p * (1 - p) + (p + more) * (1 - p - more)) / 2)
    d_prime = more / max(noise, 1e-9)
    return Signal(shift, seen.scale, p, p + more, d_prime, max(1, math.ceil(d_prime**-2)))


def _cycles(device: Device, wanted: float, amplitude: float) -> float:
    """Cycles remembered, run for as long as tells whether they are enough."""
    return memory_horizon(device, amplitude, longest=2 * math.ceil(wanted) + 2).cycles


def _frames(device: Device, t_cycle: float, wanted: float, amplitude: float) -> float | None:
    """Cycles remembered at a clock period; None if the device does not allow it."""
    try:
        return _cycles(at_period(device, t_cycle), wanted, amplitude)
    except IPNetError:
        return None


def _sweep(device: Device, frame_interval: float, wanted: float, amplitude: float, memory: float) -> list[Point]:
    """From one cycle per frame downwards to the shortest period, or to a memory far above the wanted one."""
    periods = [frame_interval]
    shortest = max(shortest_period(device), memory / (8 * wanted)) * (1 + 1e-9)
    if memory and shortest < frame_interval:
        periods += np.geomspace(min(frame_interval, 12 * memory), shortest, _POINTS).tolist()
    return [Point(t, frame_interval / t, _frames(device, t, wanted, amplitude)) for t in dict.fromkeys(periods)]


def _log_fit(frames: float | None, wanted: float) -> float:
    return math.log(max(frames or 0.0, 1e-300) / wanted)


def _operate(device: Device, points: list[Point], wanted: float, amplitude: float) -> Point:
    """The slowest clock at which the memory is as long as wanted, or else the one at which it is longest."""
    fits = next((i for i, point in enumerate(points) if _log_fit(point.frames, wanted) >= -TOLERANCE), None)
    if fits is None:
        return max(points, key=lambda point: point.frames or 0.0)
    if fits == 0:
        return points[0]

    def lack(log_t: float) -> float:
        return _log_fit(_frames(device, math.exp(log_t), wanted, amplitude), wanted)

    frame_interval = points[fits].t_cycle * points[fits].compression
    ends = (math.log(points[fits - i].t_cycle) for i in (0, 1))
    t_cycle = math.exp(brentq(lack, *ends, xtol=1e-6))
    return Point(t_cycle, frame_interval / t_cycle, _frames(device, t_cycle, wanted, amplitude))


def _with_tau(mtj: MTJ, tau_th: float, keep: str, t_cycle: float) -> MTJ:
    """The junction with another time constant of its slowest pole [s], at a clock period [s]."""
    old = mtj.card.parameters
    taus, R_th = list(old.tau_th), list(old.R_th)
    slowest = max(range(mtj.poles), key=taus.__getitem__)
    if keep == "C_th":
        R_th[slowest] *= tau_th / taus[slowest]
    taus[slowest] = tau_th
    values = old.model_dump() | {"tau_th": tuple(taus), "R_th": tuple(R_th)}
    return MTJ(replace(mtj.card, parameters=type(old).model_validate(values)).with_clock(t_cycle=t_cycle))


def _needed_tau(mtj: MTJ, keep: str, t_cycle: float, wanted: float, amplitude: float) -> float:
    """The time constant of the slowest pole with which the memory is as long as wanted [s].

    Raises:
        IPNetError: there is none, or the junction leaves the range in which its law holds.
    """
    guess = wanted * t_cycle
    near = _with_tau(mtj, guess, keep, t_cycle)
    slowest = int(near.tau_th.argmax())

    def excess(log_factor: float) -> float:
        varied = copy.deepcopy(near)
        varied.tau_th[slowest] *= math.exp(log_factor)
        varied.R_th[slowest] *= math.exp(log_factor) if keep == "C_th" else 1.0
        varied.derive()
        return _log_fit(_cycles(varied, wanted, amplitude), wanted)

    at, here, step = 0.0, excess(0.0), 0.03
    for _ in range(8):
        after = at - math.copysign(step, here)
        there = excess(after)
        if (there < 0) != (here < 0):
            return guess * math.exp(brentq(excess, at, after, xtol=1e-6))
        at, here, step = after, there, 2 * step
    raise IPNetError("no time constant of the slowest pole gives the wanted memory")


def _cures(mtj: MTJ, place: Point, wanted: float, amplitude: float) -> Iterator[Cure]:
    """What the slowest pole would have to be for the junction to fit at a clock period."""
    old, tau = mtj.card.parameters, wanted * place.t_cycle
    slowest = old.tau_th.index(max(old.tau_th))
    for keep in ("R_th", "C_th"):
        reason, signal = "", None
        try:
            tau = _needed_tau(mtj, keep, place.t_cycle, wanted, amplitude)
            cured = _with_tau(mtj, tau, keep, place.t_cycle)
            signal = _signal(kernel(cured, math.ceil(wanted) + 1, amplitude), wanted)
        except IPNetError as error:
            reason = str(error)
        grown = tau / old.tau_th[slowest]
        R_th = old.R_th[slowest] * (grown if keep == "C_th" else 1.0)
        steady = (sum(old.R_th) - old.R_th[slowest] + R_th) * mtj.power(mtj.V_max, antiparallel=False).item()
        C_th = tau / R_th if R_th else None
        yield Cure(keep, place.t_cycle, place.compression, tau, R_th, C_th, steady, not reason, reason, signal)


def _check(device: Device, frame_interval: float, horizon: float, compression: float | None) -> None:
    for name, value in (("frame interval", frame_interval), ("horizon", horizon)):
        if not 0 < value < math.inf:
            raise IPNetError(f"the {name} must be a positive time; got {format_si(value, 's')}.")
    if horizon < frame_interval:
        raise IPNetError(
            f"the horizon must be at least one frame interval; got {format_si(horizon, 's')} in frames of "
            f"{format_si(frame_interval, 's')}: shorten the frames."
        )
    shortest = shortest_period(device)
    if frame_interval < shortest * (1 - 1e-6):
        raise IPNetError(
            f"a frame must not be shorter than the pulses of a cycle, {format_si(shortest, 's')} for card "
            f"'{device.card.name}'; got {format_si(frame_interval, 's')}: lengthen the frames."
        )
    if compression is None:
        return
    if not 1 <= compression < math.inf:
        raise IPNetError(f"the compression must be at least 1 (1 is real time); got {compression:g}.")
    if frame_interval / compression < shortest * (1 - 1e-6):
        raise IPNetError(
            f"a replayed frame must not be shorter than the pulses of a cycle, {format_si(shortest, 's')} for "
            f"card '{device.card.name}'; got {format_si(frame_interval / compression, 's')}: lower the "
            f"compression to {frame_interval / shortest:.4g} or less."
        )


def match(
    device: Device,
    frame_interval: float,
    horizon: float,
    compression: float | None = None,
    *,
    amplitude: float = 1.0,
) -> Match:
    """Does the memory of this device last for `horizon` at one cycle per frame, or with frames replayed faster?

    The memory, in cycles, is `Horizon.cycles`: from one cycle after an event until its shift is 1/e of that. It
    fits if it is at least horizon / frame_interval frames. Natively t_cycle = frame_interval; compressed, recorded
    frames are replayed with t_cycle = frame_interval / compression, down to the time that the pulses take; the
    least compression that fits is given.

    Args:
        device: any device.
        frame_interval: time between frames in the task [s].
        horizon: how long the task must remember, in its own time [s].
        compression: operate there, and nowhere else [1]; None searches.
        amplitude: of one event, in units of the gain [1].

    Raises:
        IPNetError: a time is not positive, the horizon shorter than a frame, or a frame shorter than the pulses.

    Example:
        >>> from ipnet.device import load_device
        >>> found = match(load_device("memristor-rnnet"), frame_interval=20e-3, horizon=500e-3)
        >>> found.verdict, round(found.compression, 3), round(found.t_cycle, 6)  # tau / 25 frames
        ('compressed', 10.0, 0.002)
    """
    _check(device, frame_interval, horizon, compression)
    wanted = horizon / frame_interval
    seen = memory_horizon(device, amplitude)
    memory = max(seen.seconds or 0.0, device.memory_cycles() * (seen.t_cycle or frame_interval))
    points = _sweep(device, frame_interval, wanted, amplitude, memory)
    best = place = _operate(device, points, wanted, amplitude)
    if compression is not None:
        operated = at_period(device, frame_interval / compression)
        place = Point(frame_interval / compression, compression, _cycles(operated, wanted, amplitude))
    fits = [_log_fit(point.frames, wanted) >= -TOLERANCE for point in (place, best)]
    found = Match(
        card=device.card.name,
        verdict=("native" if place.compression == 1 else "compressed") if fits[0] else "no",
        sentences=(),
        frame_interval=frame_interval,
        horizon=horizon,
        frames=wanted,
        native_frames=points[0].frames,
        t_cycle=place.t_cycle if memory else None,
        compression=place.compression if memory else None,
        reached=place.frames or 0.0,
        least_compression=best.compression if fits[1] else None,
        memory=memory,
        shortest_period=shortest_period(device),
        poles=tuple(tau / frame_interval for tau in device.card.parameters.tau_th)
        if isinstance(device, MTJ)
        else (),
        sweep=tuple(points),
        kernel=None,
        signal=None,
        cures=(),
    )
    if memory:
        found = _measured(device, found, place, amplitude)
    return replace(found, sentences=tuple(_sentences(found)))


def _measured(device: Device, found: Match, place: Point, amplitude: float) -> Match:
    """With the kernel, the signal and, where it does not fit natively, the cures."""
    cycles = math.ceil(max(min(1.6 * found.frames, 40 * found.reached + 40), 4)) + 1
    seen, cures = kernel(at_period(device, place.t_cycle), cycles, amplitude), list[Cure]()
    if isinstance(device, MTJ) and found.verdict != "native":
        for at in dict.fromkeys([found.sweep[0], place] if found.verdict == "no" else [found.sweep[0]]):
            cures += _cures(device, at, found.frames, amplitude)
    return replace(found, kernel=seen, signal=_signal(seen, found.frames), cures=tuple(cures))


def _si(value: float, unit: str) -> str:
    return format_si(float(f"{value:.3g}"), unit)


def _count(value: float) -> str:
    """Three digits, without exponent up to ten million."""
    return f"{float(f'{value:.3g}'):,.0f}" if 1e3 <= value < 1e7 else f"{value:.3g}"


def _sentences(found: Match) -> Iterator[str]:
    """The verdict in words."""
    card, interval = found.card, _si(found.frame_interval, "s")
    yield f"The task needs a memory of {_si(found.horizon, 's')}: {_count(found.frames)} frames of {interval}."
    if found.t_cycle is None:
        yield f"It does not fit: {card} has no memory, its answer is the same whatever came before."
        return
    reached = f"{_count(found.reached)} frames, {_si(found.reached * found.frame_interval, 's')} of the task"
    if found.verdict == "native":
        yield f"It fits natively: at one cycle per frame, {card} remembers {reached}."
        if found.reached > 3 * found.frames:
            excess = _count(found.reached / found.frames)
            yield f"That is {excess} times as long as needed: old events blur the answers."
    else:
        native = "cannot be operated" if found.native_frames is None else "remembers not even the next frame"
        native = f"remembers {_count(found.native_frames)} frames" if found.native_frames else native
        yield (
            f"Natively it does not fit: at one cycle per frame, {card} {native}; its memory fades to 1/e in "
            f"{_si(found.memory, 's')} and would have to be {_count(found.horizon / found.memory)} times as slow."
        )
        if found.compression != 1:
            yield from _replay(found, reached)
    yield from _poles(found)
    yield f"At that clock, {_left(found, found.signal)}."
    for cure in found.cures:
        yield _cure(found, cure)


def _replay(found: Match, reached: str) -> Iterator[str]:
    """What replay gives, for a memory that does not fit natively."""
    t_cycle, compression = found.t_cycle or 0.0, found.compression or 1.0
    replayed = f"replayed {_count(compression)} times as fast, one frame every {_si(t_cycle, 's')}"
    if found.verdict == "compressed":
        yield (
            f"Compressed it fits: {replayed}, it remembers {reached}; the frames are recorded first, so "
            "this is not real time."
        )
        return
    bound = ", the least that the pulses of a cycle need" if t_cycle < found.shortest_period * (1 + 1e-6) else ""
    yield f"Compressed it does not fit either: {replayed}{bound}, it remembers {reached}."
    if found.least_compression:
        yield f"It would fit if replayed {_count(found.least_compression)} times as fast or faster."
    elif found.reached >= 1:
        longest = found.reached * found.frame_interval
        yield (
            f"The same replay would fit with frames of {_si(found.horizon / found.reached, 's')} or longer, or "
            f"with a horizon of {_si(longest, 's')} or shorter."
        )


def _poles(found: Match) -> Iterator[str]:
    fits = [str(i + 1) for i, frames in enumerate(found.poles) if frames >= found.frames * (1 - TOLERANCE)]
    if fits:
        named = f"Pole {fits[0]} of {len(found.poles)} is" if len(fits) == 1 else f"Poles {' and '.join(fits)} are"
        yield f"{named} slow enough natively."
    elif found.poles:
        slowest = _si(max(found.poles) * found.frame_interval, "s")
        yield f"No thermal pole is slow enough natively; the slowest has tau_th = {slowest}."


def _left(found: Match, signal: Signal | None) -> str:
    """How strong an event is at the horizon."""
    if signal is None or signal.devices is None:
        return f"after {_count(found.frames)} frames nothing measurable is left of one event"
    unit = " logit" if signal.scale == "logit" else ""
    return (
        f"after {_count(found.frames)} frames one event shifts the answer by {signal.shift:.2g}{unit} (from P = "
        f"{signal.silent:.3g}): d' = {abs(signal.d_prime):.2g} for one spike of one device, so d' = 1 takes "
        f"{_count(signal.devices)} devices in parallel or as many repetitions"
    )


def _cure(found: Match, cure: Cure) -> str:
    """What another junction would have to be."""
    changed = f"R_th = {cure.R_th:.3g} K/W" if cure.keep == "C_th" else f"C_th = {cure.C_th or 0:.3g} J/K"
    where = "natively" if cure.compression == 1 else f"replayed {_count(cure.compression)} times as fast"
    pole = "" if len(found.poles) == 1 else " of the slowest pole"
    start = (
        f"To fit {where} with {cure.keep} as it is, tau_th{pole} must be {_si(cure.tau_th, 's')} through {changed}"
    )
    if not cure.valid:
        return f"{start}; that is out of range: {cure.reason.removesuffix('.')}."
    return f"{start} (V_max heats it by at most {cure.steady_rise:.3g} K); {_left(found, cure.signal)}."
