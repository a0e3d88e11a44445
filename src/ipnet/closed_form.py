"""One clock cycle of a neuron in closed form: idle cycles as one multiplication, a pulse as one polynomial."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipnet.device import Device
from ipnet.device._variation import Varied
from ipnet.errors import IPNetError
from ipnet.koenigs import DEGREE, Array, Function, Koenigs, Slow, Table, in_parts, invert
from ipnet.neuron import Neuron

MOST = 4095  # events of one neuron in one cycle that are told apart, at most
MOST_OF_SEVERAL = 62  # the same for several state variables: (62 + 2) (62 + 1) codes are told apart
PROMISED = 1e-6  # relative error at which tables are refused
_AIMED = 1e-12
_ENTRIES = 2**21  # pieces of all tables together, at most
_NEGLIGIBLE = 1e-9  # what is below this share of the largest emission is held relative to that
_CURE = "use the clocked layer, ipnet.neuron.Neuron, on frames."
_MARGIN = 0.01  # of the range of states, above it
_SLACK = 1e-6  # of the range of states, for rounding
_ON_CURVE = 1e-5  # distance at which a given state lies on a curve, of the ranges
_FORGOTTEN = 1e-9  # share of a fast variable that may be left after a cycle


class ClosedForm:
    """What n events in a cycle, and k cycles without any, do to the state s of a neuron with one gain per channel.

    With q -> f(q) the device's own idle cycle and phi its linearising coordinate (`ipnet.koenigs`), z = phi(q):

        k idle cycles:             z -> lam^k z, exactly
        a cycle with n events:     z -> B_n(z) = phi(A_n(phi^-1(z))), A_n(s) the next state after n events

    and what is emitted in a cycle with n events is P_n(z).

    Of several state variables all but one, q, must be fast: what a cycle leaves of them is below 1e-9, so that the
    state after a cycle lies on a curve, one for each number m of events in that cycle:

        Gamma_m(q) = A_m(q, fast variables at rest),     m = 0 ... most;     Gamma_rest(q) = (q, those at rest).

    phi(s) of any state is that of the state of Gamma_rest with the same slow variable a cycle later, so that the
    first line above holds for every state, and B_mn(z) = phi(A_n(s)) with s on Gamma_m and phi(s) = z. The fast
    variables need no memory: z and m tell them. With one state variable there is one curve, Gamma_rest.

    V saturates at V_max, so that finitely many n differ: n = 0 ... `most`. B_mn, P_mn and the states of Gamma_m
    are tables of polynomials of degree 7 in z, computed in double precision from the neuron itself: no law of a
    device is written again here.

    Args:
        neuron: emits the expectation, of one device. Its gains are read now; when they change, a new closed form
            is needed.

    Attributes:
        idle: phi on Gamma_rest, its fixed point and lam.
        most: events in a cycle beyond which V does not rise, for every channel.
        curves: how many: most + 2, or 1 with one state variable. The curve of m idle or pulsed cycles is m.
        steps: B_mn(z) [C, curves (most + 1), pieces, 8], see `Table`; of the position in the span, from 0 to 1.
        emission: P_mn(z), likewise.
        spans: smallest and largest z of each curve [C, curves, 2].
        error: largest error of a table relative to the largest value of its function, for P_mn to its value; or
            the share of a fast variable that a cycle leaves, where that is more.

    Raises:
        IPNetError: random or parallel devices, devices that differ, two slow state variables, more than 4095
            events until V saturates (62 for several variables), or a law that no table holds to 1e-6.

    Example:
        >>> from ipnet.device import load_device
        >>> form = ClosedForm(Neuron(load_device("leaky"), channels=2))
        >>> round(form.idle.multiplier, 4), form.most  # 0.3 V per event, 0.4 V at most
        (0.8025, 2)
    """

    def __init__(self, neuron: Neuron) -> None:
        _check(neuron)
        self._device, self.channels = neuron.device, neuron.log_gain.numel()
        self._gain = neuron.device.gain.double() * torch.exp(neuron.log_gain.detach().double())
        self._several = len(neuron.device.state_names) > 1
        self.most = _events_to_saturation(neuron.device, self._gain, MOST_OF_SEVERAL if self._several else MOST)
        self._counts = np.arange(self.most + 1.0)[:, None]
        self.curves = self.most + 2 if self._several else 1
        self._slow = Slow(self._silent, [float(part[0]) for part in neuron.device.rest(torch.zeros(1))] or [0.0])
        low, high = self._reachable()
        self.interval = low, high + _MARGIN * (high - low)
        states = self._states_on(self._grid(257))
        self._ranges = np.maximum(np.ptp(states, (1, 2, 3)), np.finfo(float).tiny)
        self.error = self._left(states)
        after = self._slow(self._answers(states)[1])
        if not (after.min() >= low - _SLACK * high and after.max() <= self.interval[1]):
            raise IPNetError(
                f"the law of card '{self._device.card.name}' must keep states between those that steady pulses "
                f"reach, {low:.6g} and {high:.6g}; got {after.min():.6g} to {after.max():.6g}: {_CURE}"
            )
        self.idle = Koenigs(self._slow.f, self._slow.slope, self.interval)
        self.spans = self._phi(self._states_on(self._grid(2)))
        self.spans[..., 1] += high * (np.ptp(self.spans, -1) < _SLACK**2 * high)  # a curve that is a point
        self._fixed = self._states_on(np.full_like(self._grid(1), self.idle.fixed))[self._slow.index, 0, 0, 0]
        shape = self.channels, self.curves * (self.most + 1), -1, DEGREE + 1
        pieces = min(1024, _ENTRIES // (shape[0] * shape[1]))
        self.steps = self._table(self._steps, pieces).coefficients.reshape(shape)
        self.emission = self._table(self._emission, pieces, _NEGLIGIBLE).coefficients.reshape(shape)
        self._shapes = self._table(self._shape, pieces)

    def _table(self, functions: Function, pieces: int, floor: float = 1.0) -> Table:
        """Functions of the position in the span as a table.

        Raises:
            IPNetError: no table holds them.
        """
        table = Table(functions, (0.0, 1.0), precision=_AIMED, pieces=pieces, floor=floor)
        if not table.error <= PROMISED:
            raise IPNetError(
                f"the law of card '{self._device.card.name}' must be held by {pieces} pieces of a table to "
                f"{PROMISED:g}; got {table.error:.2g}: {_CURE}"
            )
        self.error = max(self.error, table.error)
        return table

    def coordinates(self, s: Array) -> tuple[Array, NDArray[np.int64]]:
        """The coordinates of given states [SI] [variables, C, K], and the curves that they lie on, each [C, K].

        Raises:
            IPNetError: a state that pulses up to V_max cannot reach.
        """
        (low, high), slow = self.interval, s[self._slow.index]
        slack = _SLACK * (high - low)
        if not (slow.min() >= low - slack and slow.max() <= high + slack):
            name = self._device.state_names[self._slow.index]
            raise IPNetError(
                f"a state must be one that pulses can reach, {name} between {low:.6g} and {high:.6g}; got "
                f"{slow.min():.6g} to {slow.max():.6g}: start at rest, or from a state of the same card."
            )
        z, curves, apart = in_parts(self._located, s)
        if not apart.max() <= _ON_CURVE:
            raise IPNetError(
                f"a state must be rest or one that whole events leave, to {_ON_CURVE:g} of the range of each of "
                f"{', '.join(self._device.state_names)}; got one {apart.max():.2g} away: start at rest, or from a "
                "state of the same card and gains."
            )
        return z, curves.astype(np.int64)

    def states(self, z: Array, curves: NDArray[np.int64]) -> Array:
        """The states s [SI] [variables, C, K] with given coordinates, on given curves, each [C, K]."""
        s = np.empty((len(self._ranges), *z.shape))
        for c in range(self.channels):
            for m in np.unique(curves[c]):
                here = curves[c] == m
                s[:, c, here] = in_parts(partial(self._on_curve, c, int(m)), z[c, here])
        return s

    def _cycle(self, u: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """The neuron for one cycle in plain torch: emission and next states; u is gain times events [V] [...]."""
        where, stateful = self._gain.device, bool(self._device.state_names)
        V = self._device.drive(u.to(where))
        p, after = self._device.cycle(V, tuple(states.to(where)) if stateful else (), lambda p: p)
        return p.cpu(), torch.stack(after).cpu() if stateful else 0 * states

    def _answers(self, states: Array) -> tuple[Array, Array]:
        """Emission [C, M, most + 1, K] and next states [variables, ...] of states [variables, C, M, K]."""
        return self._pulsed(self._counts, states[:, :, :, None])

    def _pulsed(self, counts: Array, states: Array) -> tuple[Array, Array]:
        """The neuron for one cycle with given events in it, that broadcast with states [variables, C, ...]."""
        shape = np.broadcast_shapes(counts.shape, states.shape[1:])
        u = torch.from_numpy(counts) * self._gain.cpu().view(-1, *[1] * (len(shape) - 1))
        with torch.no_grad():
            at = torch.from_numpy(np.broadcast_to(states, (len(states), *shape)).copy())
            p, after = self._cycle(u.expand(shape), at)
        return p.numpy(), after.numpy()

    def _silent(self, states: Tensor) -> Tensor:
        """The states [variables, ...] that follow in a cycle without events, in which all channels are alike."""
        return self._cycle(torch.zeros_like(states[0]), states)[1]

    def _states_on(self, q: Array) -> Array:
        """The states of all curves [variables, C, curves, K] at q [C, curves, K]."""
        states: Array = self._slow.line(torch.from_numpy(q)).numpy()
        if self._several:
            states[:, :, :-1] = self._pulsed(self._counts, states[:, :, :-1])[1]
        return states

    def _phi(self, states: Array) -> Array:
        """The coordinates [...] of states [variables, ...]."""
        return self.idle(self._slow(states))

    def _grid(self, count: int) -> Array:
        """Points of the interval for every curve [C, curves, count]."""
        return np.tile(np.linspace(*self.interval, count), (self.channels, self.curves, 1))

    def _places(self, u: Array) -> tuple[Array, Array]:
        """Coordinates z and points q of the curves [C, curves, K] at positions u [K] in the spans."""
        z = self.spans[..., :1] + np.ptp(self.spans, -1)[..., None] * u

        def coordinates(q: Array) -> Array:
            return self._phi(self._states_on(q.reshape(*z.shape[:2], -1))).reshape(len(q), -1)

        return z, invert(coordinates, self.interval, z.reshape(-1, u.size)).reshape(z.shape)

    def _steps(self, u: Array) -> Array:
        """B_mn of each channel, curve and count [C curves (most + 1), K]."""
        return self._phi(self._answers(self._states_on(self._places(u)[1]))[1]).reshape(-1, u.size)

    def _emission(self, u: Array) -> Array:
        """P_mn of each channel, curve and count [C curves (most + 1), K]."""
        return self._answers(self._states_on(self._places(u)[1]))[0].reshape(-1, u.size)

    def _shape(self, u: Array) -> Array:
        """The states on each curve [C curves variables, K]; (s - s*) / z for the slow one after idle cycles."""
        z, q = self._places(u)
        states = self._states_on(q)
        apart, z = states[self._slow.index, :, 0] - self._fixed, z[:, 0]
        states[self._slow.index, :, 0] = np.divide(apart, z, out=np.ones_like(z), where=z != 0)
        return np.moveaxis(states, 0, 2).reshape(-1, u.size)

    def _on_curve(self, c: int, m: int, z: Array) -> Array:
        """The states [variables, K] with coordinates z [K] on curve m of channel c."""
        (low, high), count = self.spans[c, m], len(self._ranges)
        first = (c * self.curves + m) * count
        states = self._shapes((z - low) / (high - low), slice(first, first + count))
        if m == 0:
            states[self._slow.index] = self._fixed + z * states[self._slow.index]
        return states

    def _located(self, s: Array) -> Array:
        """Coordinates of states [variables, C, K], their curves, and how far away, as shares of the ranges."""
        z = self._phi(s)
        curve, least = np.zeros(z.shape), np.full(z.shape, np.inf)
        for m in range(self.curves):
            found = self.states(z, np.full(z.shape, m))
            apart = (np.abs(found - s) / self._ranges[:, None, None]).max(0)
            curve, least = np.where(apart < least, m, curve), np.minimum(apart, least)
        return np.stack([z, curve, least])

    def _left(self, states: Array) -> float:
        """The largest share of a fast variable that a cycle leaves; refused if it is not negligible."""
        if not self._several:
            return 0.0
        fast, ends = np.arange(len(states)) != self._slow.index, [states[:, :, -1:].copy() for _ in range(2)]
        for end, extreme in zip(ends, (np.min, np.max), strict=True):
            end[fast] = extreme(states[fast], (1, 2, 3), keepdims=True)
        change = np.abs(self._answers(ends[1])[1] - self._answers(ends[0])[1])[fast].max((1, 2, 3, 4))
        left = float((change / self._ranges[fast]).max())
        if not left <= _FORGOTTEN:
            raise IPNetError(
                f"events are counted in closed form for devices of which a cycle leaves at most {_FORGOTTEN:g} of "
                f"all state variables but one; card '{self._device.card.name}' leaves {left:.2g} of one of "
                f"{', '.join(self._device.state_names)}: {_CURE}"
            )
        return left

    def _reachable(self) -> tuple[float, float]:
        """The ends of what the slow variable reaches from rest: fixed points of the cycles, and rest."""

        def after(q: Array) -> Array:
            states = self._pulsed(self._counts, self._slow.line(torch.from_numpy(q)).numpy())[1]
            return np.asarray(states[self._slow.index])

        low = np.zeros((self.channels, self.most + 1, 1))
        high = after(low)
        while np.any(after(high) > high) and high.max() < 1e30:
            high = 2 * high
        for _ in range(80):
            middle = (low + high) / 2
            above = after(middle) > middle
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return min(0.0, float(low.min())), float(high.max()) or 1.0


def _check(neuron: Neuron) -> None:
    """Refuse neurons without a closed form."""
    device = neuron.device
    if neuron.emission != "expectation":
        raise IPNetError(
            f"events are counted in closed form for emission = 'expectation'; got '{neuron.emission}': {_CURE}"
        )
    if isinstance(device, Varied):
        raise IPNetError(
            f"events are counted in closed form for junctions that are all alike; those of card "
            f"'{device.card.name}' vary: {_CURE}"
        )


def _events_to_saturation(device: Device, gain: Tensor, most: int) -> int:
    """The smallest n at which V has reached V_max in every channel, at least 1."""
    V = device.drive(gain[:, None] * torch.arange(most + 1, device=gain.device))
    missing = int((device.V_max.to(V.dtype) > V).sum(1).max())
    if missing > most:
        raise IPNetError(
            f"card '{device.card.name}': V must reach V_max = {float(device.V_max):g} V with {most} events in a "
            f"cycle; got {float(V[:, -1].min()):g} V with a gain of {float(gain.min()):.3g} V: raise the gain."
        )
    return max(1, missing)
