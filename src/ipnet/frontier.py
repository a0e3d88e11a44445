"""The sensor-interface layer, event by event: the states of the clocked layer at the cost of the events alone."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ipnet.closed_form import ClosedForm
from ipnet.device import State
from ipnet.errors import IPNetError
from ipnet.event_kernels import PIXEL, Clock, Law, coordinates, count, first_wrong, look, powers
from ipnet.events import EVENT, Events
from ipnet.koenigs import DEGREE, Array
from ipnet.neuron import Neuron

_LONGEST = 2**50  # cycles of a stream, at most
_SIMPLE = 2**31  # largest numerator and denominator of cycles per microsecond
_LARGEST_SIDE = 2**15 - 1  # x and y are 16-bit integers
_ALWAYS = 2**63 - 1


class Frontier:
    """A `Neuron` per pixel and polarity that is updated by events, and equals the one that is clocked by frames.

    Camera time is cut into cycles: cycle c covers the times [c, c + 1) / rate after `start`, decided in integers.
    The clocked layer pulses each neuron once per cycle, with V = drive(gain_c n) for n events in that cycle (also
    for n = 0). Here an event touches its own pixel alone: with z the linearising coordinate of the state, it takes
    the pixel from the cycle of its last event, with n events, through the `idle` cycles between to its own,

        z -> lam^idle B_mn(z),

    m the number of events in the cycle before (it matters for devices with several state variables), see
    `ipnet.closed_form.ClosedForm`. The work is that of the events, the memory that of the sensor, however long the
    stream; how it is cut into chunks makes no difference.

    A cycle of camera time is one t_cycle of the device, whatever the rate: the stream is replayed on the clock of
    the device, compressed in time (at 1 kHz and t_cycle = 220 ns, by 4500).

    Args:
        neuron: with one gain for each polarity (darker, brighter). Its gains are read now.
        sensor: (H, W) of the camera in pixels.
        rate: cycles per second of camera time [Hz]. A decimal stands for what it prints, 29.97 for 2997/100.
        start: camera time at which cycle 0 begins [us]; None takes the first event's.
        state: of the neurons at the start of cycle 0, as `Neuron` returns it [1, 1, 2, H, W]; None is rest.

    Attributes:
        start: see above; None until the first event has come.
        cycle: the first cycle that may still receive events.
        counted: events counted so far.

    Raises:
        IPNetError: a neuron without closed form (see there) or with other than two channels; a sensor, rate or
            state out of its range.

    Valid for: streams of up to 2^50 cycles.

    Example:
        >>> from ipnet.device import load_device
        >>> from ipnet.events import make_events
        >>> neuron = Neuron(load_device("mtj-thermal"), channels=2)
        >>> frontier = Frontier(neuron, sensor=(3, 4), rate=1000.0)
        >>> frontier.update(make_events([0, 1500, 1700], [1, 1, 1], [2, 2, 2], [1, 1, 1]))
        >>> frames = torch.zeros(2, 1, 2, 3, 4, dtype=torch.float64)
        >>> frames[0, 0, 1, 2, 1], frames[1, 0, 1, 2, 1] = 1, 2
        >>> bool(torch.allclose(frontier.sample(1), neuron(frames)[0][-1, 0], rtol=1e-9))
        True
    """

    def __init__(
        self,
        neuron: Neuron,
        sensor: tuple[int, int],
        rate: float | Fraction,
        *,
        start: int | None = None,
        state: State | None = None,
    ) -> None:
        if neuron.log_gain.numel() != 2:
            raise IPNetError(
                f"the frontier needs a neuron of 2 channels, darker and brighter; got {neuron.log_gain.numel()}."
            )
        if len(sensor) != 2 or not all(isinstance(n, int) and 1 <= n <= _LARGEST_SIDE for n in sensor):
            raise IPNetError(f"a sensor must be (H, W), sides of 1 to {_LARGEST_SIDE} pixels; got {sensor}.")
        self.sensor, self.start, self.cycle, self.counted = sensor, start, 0, 0
        self._per_us = _cycles_per_us(rate)
        self._form, self._device = ClosedForm(neuron), neuron.device
        form = self._form
        codes, self._per_curve = np.arange(form.steps.shape[1]), form.most + 1
        m, n = np.divmod(codes, self._per_curve)
        low, high = np.ascontiguousarray(np.moveaxis(form.spans[:, m], -1, 0)).reshape(2, -1)
        more = codes + (n < form.most)
        following = n * self._per_curve if form.curves > 1 else 0 * n
        steps, self._emission = (table.reshape(low.size, -1, DEGREE + 1) for table in (form.steps, form.emission))
        self._law = Law(steps, low, 1 / (high - low), more, following, *powers(form.idle.multiplier))
        self._pixels = np.zeros(2 * sensor[0] * sensor[1], PIXEL)
        z, curves = form.coordinates(self._given(state))
        pixels = self._pixels.reshape(2, -1)
        pixels["z"], pixels["key"] = z, curves * self._per_curve
        self._last = -_ALWAYS

    @property
    def state_bytes(self) -> int:
        """Bytes of all that time carries: 32 per pixel of the camera."""
        return self._pixels.nbytes

    @property
    def error(self) -> float:
        """Largest error of a table, relative to the values; states are within error / (1 - lam)."""
        return self._form.error

    def update(self, events: Events) -> None:
        """Count a chunk of events: any number of them, that of zero included.

        Args:
            events: event array [N], not earlier than those counted before.

        Raises:
            IPNetError: no event array, or an event out of time order, before the current cycle, off the sensor or
                of no polarity. Nothing of such a chunk is counted, and all that was before is kept.
        """
        self._check(events)
        self._count(events, 0, _ALWAYS)

    def maps(self, chunks: Iterable[Events], every: int) -> Iterator[Tensor]:
        """Count a stream, and yield the emission of the last of every `every` cycles: every - 1, 2 every - 1, ...

        A map is yielded as soon as an event of a later cycle has come, so that nothing can change it any more. The
        cycles after the last such map stay open: further chunks may follow in another call, as if there had been
        one stream, and `sample` gives the emission of any cycle from then on.

        Args:
            chunks: event arrays, see `update`.
            every: cycles from one map to the next, >= 1: int(0.033 rate) for a map every 33 ms.

        Yields:
            Maps [2, H, W], see `sample`.

        Raises:
            IPNetError: see `update`; `every` is not a whole number of at least 1.
        """
        if not isinstance(every, int) or every < 1:
            raise IPNetError(f"maps must be a whole number of cycles apart, at least 1; got every = {every}.")
        for chunk in chunks:
            self._check(chunk)
            done = 0
            while done < chunk.size:
                due = self.cycle // every * every + every - 1
                done = self._count(chunk, done, min(self._time(due + 1), _ALWAYS))
                if done < chunk.size:
                    sampled = self.sample(due)
                    self.cycle = due + 1
                    yield sampled

    def sample(self, cycle: int | None = None) -> Tensor:
        """What the clocked layer emits in a cycle: switching probabilities [2, H, W] in [0, 1], double.

        Args:
            cycle: the current cycle (None), with those of its events that have come, or a later one, with none.

        Raises:
            IPNetError: the cycle is over.
        """
        p = np.empty((2, self._pixels.size // 2))
        look(self._pixels, self._open(cycle), self._law, self._emission, p)
        return torch.from_numpy(p).reshape(2, *self.sensor)

    def state(self, cycle: int | None = None) -> State:
        """The state at the start of a cycle [SI]: what `Neuron` returns after that many steps [1, 1, 2, H, W].

        Args:
            cycle: the current cycle (None) or a later one.

        Raises:
            IPNetError: the cycle is over.
        """
        z, codes = np.empty((2, self._pixels.size // 2)), np.empty((2, self._pixels.size // 2), np.int64)
        coordinates(self._pixels, self._open(cycle), self._law, z, codes)
        states = torch.from_numpy(self._form.states(z, codes // self._per_curve))
        return tuple(
            s.reshape(1, 1, 2, *self.sensor) for s, _ in zip(states, self._device.state_names, strict=False)
        )

    def _given(self, state: State | None) -> Array:
        """A start state [variables, 2, H W], or [variables, 2, 1] where all are alike; 0 for a device without."""
        device, shape = self._device, (1, 1, 2, *self.sensor)
        parts = device.rest(torch.zeros(1)) if state is None else state
        if len(parts) != len(device.state_names) or any(state and part.shape != shape for part in parts):
            raise IPNetError(
                f"a start state must be {len(device.state_names)} tensors {list(shape)}, as Neuron returns them; "
                f"got {[list(part.shape) for part in parts]}."
            )
        if not parts:
            return np.zeros((1, 2, 1))
        given = torch.stack(parts).detach().cpu().double()
        return np.asarray(given.reshape(len(parts), 2, -1) if state else given[:, None].expand(-1, 2, -1))

    def _time(self, cycle: int) -> int:
        """The first microsecond of a cycle, once the start is known."""
        return (self.start or 0) - (-cycle * self._per_us.denominator // self._per_us.numerator)

    def _check(self, events: Events) -> None:
        """Refuse a chunk that breaks a rule; otherwise its first event is the start if none was given."""
        if not isinstance(events, np.ndarray) or events.dtype != EVENT or events.ndim != 1:
            got = (
                f"{events.dtype} {list(events.shape)}" if isinstance(events, np.ndarray) else type(events).__name__
            )
            raise IPNetError(f"a chunk must be an event array [N] of dtype ipnet.events.EVENT; got {got}.")
        if not events.size:
            return
        earliest = -_ALWAYS if self.start is None else max(self._last, self._time(self.cycle))
        wrong = first_wrong(events, earliest, *self.sensor)
        if wrong < events.size:
            raise IPNetError(self._complaint(events, wrong, earliest))
        start, last = int(events["t"][0]) if self.start is None else self.start, int(events["t"][-1])
        latest = start + min(2**62, _LONGEST * self._per_us.denominator) // self._per_us.numerator
        if last >= latest:
            raise IPNetError(
                f"with this rate, events must come before {latest} us; event {events.size - 1} of the chunk has "
                f"t = {last} us: begin a new frontier from `state`."
            )
        self.start = start

    def _complaint(self, events: Events, i: int, earliest: int) -> str:
        """Which rule event i of a chunk breaks."""
        t, x, y, p = events[i].tolist()
        before = int(events["t"][i - 1]) if i else earliest
        if t < before:
            over = "" if i else ", where earlier chunks or maps ended"
            return (
                f"times must not decrease; event {i} of the chunk has t = {t} us after {before} us{over}. Sort it."
            )
        if p > 1:
            return f"polarity must be 0 or 1; event {i} of the chunk has p = {p}."
        return (
            f"events must lie on the sensor of {self.sensor[1]}x{self.sensor[0]} pixels; event {i} of the chunk "
            f"has x = {x}, y = {y}."
        )

    def _count(self, events: Events, first: int, stop: int) -> int:
        """Count the events from `first` on that come before the time `stop`; return the index of the next."""
        p, q = self._per_us.numerator, self._per_us.denominator
        clock = Clock(self.start or 0, p, q, p / q)
        done = int(count(events, first, stop, self._pixels, *self.sensor, clock, self._law))
        if done > first:
            self._last = int(events["t"][done - 1])
            self.cycle = max(self.cycle, (self._last - clock.start) * p // q)
            self.counted += done - first
        return done

    def _open(self, cycle: int | None) -> int:
        """A cycle that is not over; the current one for None."""
        at = self.cycle if cycle is None else cycle
        if not self.cycle <= at < _LONGEST:
            raise IPNetError(
                f"the current cycle, {self.cycle}, and later ones up to 2^50 can be looked at; got cycle {at}."
            )
        return at


def _cycles_per_us(rate: float | Fraction) -> Fraction:
    """Cycles per microsecond of camera time, exactly."""
    try:
        exact = rate if isinstance(rate, Fraction) else Fraction(str(rate))
    except ValueError:
        exact = Fraction(0)
    per_us = exact / 1_000_000
    if not (per_us > 0 and max(per_us.numerator, per_us.denominator) <= _SIMPLE):
        raise IPNetError(
            f"the rate must be cycles per second that, divided by 10^6, are a fraction of numbers up to 2^31; got "
            f"{rate} Hz: give a positive number with fewer digits."
        )
    return per_us
