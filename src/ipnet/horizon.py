"""How long a device remembers: what one input pulse leaves in the answers of later cycles.

Measured through `Device.cycle`, as a network uses the device, and so for any of them.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from ipnet.device import Device, State
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError

DETECTABLE = {"logit": 0.1, "emission": 0.025}  # 0.1 logit moves an answer of 1/2 by 0.025
LONGEST = 2000  # cycles that are run; a longer horizon follows from the decay of the last two


@dataclass(frozen=True)
class Kernel:
    """How far one input pulse shifts the answer k cycles later: the memory as a network sees it.

    shift[k] = logit(emission[k]) - logit(silent),  logit(p) = ln(p / (1 - p)),  k = 0, 1, ...

    The device has settled under silent cycles (x = 0: V_bias, and the probe if its clock has one); then one pulse
    V_bias + amplitude gain takes the place of a silent one. Answers are expectations: what a spike does to the
    state (reading and resetting a switched junction) acts with its probability, the mean field of many devices.
    Age k = 0 is the answer to the pulse itself, in 'bias' operation with the direct effect of its voltage; the
    memory is k >= 1. Where a silent answer is 0 or 1, which has no logit, shift = emission[k] - silent.
    """

    t_cycle: float | None  # clock period [s]; None for a device without one
    amplitude: float  # of the pulse, in units of the gain [1]
    V_event: float  # voltage of the pulse, V_max at most [V]
    scale: str  # of the shift: "logit", or "emission" if there is none
    silent: float  # answer without a pulse [1]
    emission: tuple[float, ...]  # answer k cycles after the pulse [1]
    shift: tuple[float, ...]  # [logit, or 1]


@dataclass(frozen=True)
class Horizon:
    """How long the shift of one input pulse lasts, in cycles and as time of the device.

    `cycles` runs from k = 1 until |shift| is 1/e of `first`, log-linear between cycles; it is 0 without memory, or
    if `first` is too small for double precision. `detectable_cycles` is the age k at which |shift| falls below
    `DETECTABLE`; 0 if it is below from k = 1 on. Times are None for a device without a clock period.
    """

    t_cycle: float | None  # clock period [s]
    first: float  # |shift| at k = 1 [logit, or 1]
    scale: str  # as in `Kernel`
    cycles: float
    seconds: float | None
    detectable_cycles: float
    detectable_seconds: float | None


def expectation(p: Tensor) -> Tensor:
    """Emit the switching probability itself."""
    return p


def number(*values: float) -> Tensor:
    """One or several numbers in double precision."""
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)


def _period(device: Device) -> float | None:
    value: float | None = getattr(device.card.clock, "t_cycle", None)
    return value


def at_period(device: Device, t_cycle: float) -> Device:
    """The same device at another clock period [s]; itself if it has none, and so follows any.

    Raises:
        IPNetError: its clock or its law does not allow that.
    """
    if _period(device) is None:
        return device
    card = device.card.with_clock(t_cycle=t_cycle)
    if not isinstance(device, MTJ):
        return type(device)(card)
    changed = copy.deepcopy(device)  # much faster than a new one, whose range and quadrature would be the same
    changed.card, changed.t_cycle = card, number(t_cycle)
    changed.derive()
    return changed


def settled(device: Device) -> State:
    """The state that silent cycles lead to: the fixed point of a cycle at x = 0, by Newton's method from rest.

    Raises:
        IPNetError: there is none.
    """
    V = device.drive(number(0.0))
    if not device.state_names:
        return device.rest(V)

    def after(state: Tensor) -> Tensor:
        return torch.stack(device.cycle(V, tuple(state.unbind()), expectation)[1])

    state = torch.stack(device.rest(V))
    for i in range(100):
        if i % 10 == 0:  # a slope costs as much as many cycles, and changes little
            slope = torch.autograd.functional.jacobian(after, state)  # type: ignore[no-untyped-call]
            inverse = torch.linalg.inv(torch.eye(len(state), dtype=torch.float64) - slope)
        with torch.no_grad():
            change = inverse @ (after(state) - state)
        state = state + change
        if bool((change.abs() <= 1e-10 * state.abs()).all()):
            return tuple(state.unbind())
    raise IPNetError(
        f"card '{device.card.name}': silent cycles must lead to a steady state; none was found: lower V_bias."
    )


def answers_to(device: Device, amplitude: float) -> Iterator[tuple[float, float]]:
    """Answers (without, with) an event k = 0, 1, ... cycles ago; both runs start from one state."""
    if not amplitude > 0:
        raise IPNetError(f"amplitude must be positive; got {amplitude:g}: 1 is one event.")
    silent, V = (device.drive(device.gain * number(0.0, x)) for x in (0.0, amplitude))
    state = tuple(part.expand(2) for part in settled(device))
    while True:
        with torch.no_grad():
            p, state = device.cycle(V, state, expectation)
        yield p[0].item(), p[1].item()
        V = silent


def _logit(p: float) -> float:
    """ln(p / (1 - p)); 1 is taken as 1 - 2^-53 (36.7 logit), 0 as the smallest number (-745 logit)."""
    p = min(max(p, 5e-324), 1 - 2.0**-53)
    return math.log(p) - math.log1p(-p)


def _scale(silent: float) -> str:
    return "logit" if 0 < silent <= 1 - 1e-6 else "emission"


def resolution(silent: float, scale: str) -> float:
    """The smallest shift that double precision tells from none, with a margin [logit, or 1]."""
    return 1e-11 / (1 - silent) if scale == "logit" else 1e-11


def _shift(silent: float, event: float, scale: str) -> float:
    return _logit(event) - _logit(silent) if scale == "logit" else event - silent


def kernel(device: Device, cycles: int, amplitude: float = 1.0) -> Kernel:
    """The kernel for k = 0 to `cycles`, see `Kernel`.

    Raises:
        IPNetError: the amplitude is not positive, or the device does not settle.

    Example:
        >>> from ipnet.device import load_device
        >>> shift = kernel(load_device("mtj-thermal"), cycles=3).shift
        >>> shift[1] > shift[2] > shift[3] > 0
        True
    """
    pairs = list(islice(answers_to(device, amplitude), cycles + 1))
    silent = pairs[0][0]
    scale = _scale(silent)
    return Kernel(
        t_cycle=_period(device),
        amplitude=amplitude,
        V_event=device.drive(device.gain * amplitude).item(),
        scale=scale,
        silent=silent,
        emission=tuple(event for _, event in pairs),
        shift=tuple(_shift(*pair, scale) for pair in pairs),
    )


def _falls_below(sizes: Sequence[float], level: float, smallest: float) -> tuple[float, bool]:
    """The age k >= 1 at which sizes fall below a level, log-linear, beyond the last too; and if it is resolved."""
    at = next((k for k in range(1, len(sizes)) if sizes[k] < level), len(sizes) - 1)
    before, here = sizes[max(at - 1, 1)], max(sizes[at], smallest)
    if at == 1 or before <= here:
        return (1.0 if here < level else math.inf), sizes[at] >= smallest
    return at - 1 + math.log(before / level) / math.log(before / here), sizes[at] >= smallest


def memory_horizon(device: Device, amplitude: float = 1.0, *, longest: int = LONGEST) -> Horizon:
    """How long one event is remembered, see `Horizon`.

    Args:
        device: any device.
        amplitude: of the event, in units of the gain [1].
        longest: cycles to run; a longer horizon is extrapolated from the decay of the last two.

    Raises:
        IPNetError: the amplitude is not positive, the device does not settle, or its memory does not fade.

    Example:
        >>> from ipnet.device import load_device
        >>> round(memory_horizon(load_device("memristor-rnnet")).seconds, 6)  # its tau, 50 ms
        0.05
    """
    sizes, first, scale, smallest = list[float](), 0.0, "logit", 0.0
    for k, (silent, event) in enumerate(answers_to(device, amplitude)):
        scale = _scale(silent)
        sizes.append(abs(_shift(silent, event, scale)))
        first = sizes[min(k, 1)]
        smallest = resolution(silent, scale)
        if k and (sizes[k] < min(first / math.e, DETECTABLE[scale]) or first < smallest or k == longest):
            break
    cycles, resolved = _falls_below(sizes, first / math.e, smallest)
    cycles = cycles - 1 if resolved else 0.0
    seen = first >= DETECTABLE[scale]
    detectable = _falls_below(sizes, DETECTABLE[scale], smallest)[0] if seen else 0.0
    if math.inf in (cycles, detectable):
        raise IPNetError(
            f"card '{device.card.name}': the shift of an event must fade; it does not in {len(sizes) - 1} cycles: "
            "lower V_bias."
        )
    t = _period(device)
    times = (None, None) if t is None else (cycles * t, detectable * t)
    return Horizon(t, first, scale, cycles, times[0], detectable, times[1])


def shortest_period(device: Device) -> float:
    """The shortest clock period that the card allows: the time its pulses take [s]; 0 if there is no limit.

    Example:
        >>> from ipnet.device import load_device
        >>> round(shortest_period(load_device("mtj-thermal")) * 1e9, 3)  # 100 + 10 + 10 + 20 ns
        140.0
    """

    def allowed(t_cycle: float) -> bool:
        try:
            device.card.with_clock(t_cycle=t_cycle)
        except IPNetError:
            return False
        return True

    high = _period(device) or 0.0
    low = 1e-9 * high
    if not high or allowed(low):
        return 0.0
    while high / low > 1 + 1e-12:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if allowed(middle) else (middle, high)
    return high


def sweep(device: Device, amplitude: float = 1.0, points: int = 13) -> tuple[Horizon, ...]:
    """The horizon over clock periods, from the shortest (or 1/300 of the memory) to ten times the memory.

    Empty without memory or clock period; periods at which the law does not hold are left out.
    """
    at_card = memory_horizon(device, amplitude)
    memory = max(at_card.seconds or 0.0, device.memory_cycles() * (at_card.t_cycle or 0.0))
    if not memory:
        return ()
    start, found = max(shortest_period(device), memory / 300), list[Horizon]()
    for t_cycle in np.geomspace(start, max(10 * memory, 4 * start), points).tolist():
        with suppress(IPNetError):
            found.append(memory_horizon(at_period(device, t_cycle), amplitude))
    return tuple(found)
