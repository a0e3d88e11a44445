"""Compiled loops over events; `ipnet.frontier` says what they compute.

A pixel of one polarity is 16 bytes: z at the start of the cycle of its last event, and one integer that holds that
cycle and the code m (most + 1) + n: n events in it, from a state on curve m. What a block of events will touch is
fetched ahead of use, so that the memory answers for many of them at once; nothing in the loop depends on a branch
that cannot be predicted.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipnet.vector_math import compiled, prefetch

CODE_BITS = 12  # of a key; the others are the cycle
CODE = (1 << CODE_BITS) - 1
PIXEL = np.dtype([("z", "<f8"), ("key", "<i8")])

_GONE = 2.0**-100  # a factor that leaves nothing of a state
_BLOCK = 64
_I, _U = np.int64, np.uint64  # an unsigned index cannot count from the end, and costs no check for it


class Law(NamedTuple):
    """What the loops know of the neuron, in the symbols of `ipnet.closed_form.ClosedForm`."""

    steps: NDArray[np.float64]  # B_mn(z) [2 codes, pieces, 8]
    low: NDArray[np.float64]  # [2 codes]: z at which the first piece begins
    per_z: NDArray[np.float64]  # [2 codes]: 1 / the width of all pieces
    more: NDArray[np.int64]  # [codes]: the code with one event more
    following: NDArray[np.int64]  # [codes]: that of the next cycle, still without events
    coarse: NDArray[np.float64]  # lam^k = coarse[k >> bits] fine[k & (2^bits - 1)]
    fine: NDArray[np.float64]
    bits: int


def powers(lam: float) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Tables of lam^k, see `Law`, up to the k at which it leaves nothing of a state, k < coarse.size << bits."""
    longest = 1 if lam == 0 else int(np.ceil(np.log(_GONE) / np.log(lam))) + 1
    bits = (longest.bit_length() + 1) // 2
    coarse = np.arange((longest >> bits) + 1)
    return np.asarray(lam ** (coarse * 2.0**bits)), np.asarray(lam ** np.arange(2.0**bits)), bits


class Clock(NamedTuple):
    """Which cycle a time belongs to: floor((t - start) p / q), times in us."""

    start: int
    p: int
    q: int
    per_us: float  # p / q, rounded


@compiled(forceinline=True)
def _polynomial(a, u):  # type: ignore[no-untyped-def]
    """The piecewise polynomial `a` [pieces, 8] at the position u, in pieces."""
    j = min(max(_I(u), 0), a.shape[0] - 1)
    w = 2.0 * (u - j) - 1.0
    square = w * w  # Estrin's scheme: most products wait for no other
    low = (a[j, 3] * w + a[j, 2]) * square + (a[j, 1] * w + a[j, 0])
    high = (a[j, 7] * w + a[j, 6]) * square + (a[j, 5] * w + a[j, 4])
    return high * (square * square) + low


@compiled(forceinline=True)
def _value(tables, z, code, sign, law):  # type: ignore[no-untyped-def]
    """The polynomials of a sign and code in tables [2 codes, pieces, 8] at z."""
    row = _U(sign) * _U(law.more.size) + _U(code)
    return _polynomial(tables[row], (z - law.low[row]) * (law.per_z[row] * tables.shape[1]))


@compiled(forceinline=True)
def _after(z, code, idle, sign, law):  # type: ignore[no-untyped-def]
    """The coordinate after a cycle of that code and `idle` cycles without events."""
    k = min(max(idle, 0), (law.coarse.size << law.bits) - 1)
    factor = law.coarse[_U(k >> law.bits)] * law.fine[_U(k & ((1 << law.bits) - 1))]
    return factor * _value(law.steps, z, code, sign, law)


@compiled()
def first_wrong(events, previous, height, width):  # type: ignore[no-untyped-def]
    """Index of the first event that is earlier than the one before it, off the sensor, or of no polarity."""
    for i in range(events.size):
        event = events[i]
        outside = (np.uint16(event.x) >= width) | (np.uint16(event.y) >= height)
        if (event.t < previous) | outside | (event.p > 1):
            return i
        previous = event.t
    return events.size


@compiled()
def count(events, first, stop, pixels, height, width, clock, law):  # type: ignore[no-untyped-def]
    """Count events[first:] with t < stop into the pixels [2 H W]; return the index of the first not counted."""
    place, cycle, sign = np.empty(_BLOCK, _U), np.empty(_BLOCK, _I), np.empty(_BLOCK, _U)
    size = _BLOCK
    while size == _BLOCK:
        size = min(_BLOCK, events.size - first)
        for i in range(size):
            event = events[_U(first + i)]
            if event.t >= stop:
                size = i
                break
            passed = event.t - clock.start
            c = _I(passed * clock.per_us)  # right to within one
            rest = passed * clock.p - c * clock.q
            cycle[i] = c + _I(rest >= clock.q) - _I(rest < 0)
            sign[i] = event.p
            place[i] = _U((_I(event.p) * height + event.y) * width + event.x)
            prefetch(pixels, place[i])  # type: ignore[call-arg]
        for i in range(size):
            pixel, c = place[i], cycle[i]
            z, key = pixels[pixel].z, pixels[pixel].key
            code, idle = _U(key & CODE), c - (key >> CODE_BITS) - 1
            after = _after(z, code, idle, sign[i], law)
            start = _U(law.following[code]) if idle == 0 else _U(0)
            pixels[pixel].z = z if idle < 0 else after
            pixels[pixel].key = (key & ~CODE) + law.more[code] if idle < 0 else (c << CODE_BITS) + law.more[start]
        first += size
    return first


@compiled(forceinline=True)
def _at(pixel, cycle, sign, law):  # type: ignore[no-untyped-def]
    """The coordinate at the start of a cycle, and its code so far."""
    code, idle = pixel.key & CODE, cycle - (pixel.key >> CODE_BITS) - 1
    if idle < 0:
        return pixel.z, code
    if idle >= law.coarse.size << law.bits:
        return 0.0, 0
    return _after(pixel.z, code, idle, sign, law), law.following[code] if idle == 0 else 0


@compiled()
def look(pixels, cycle, law, tables, values):  # type: ignore[no-untyped-def]
    """Write the value of tables [2 codes, pieces, 8] at z, for the code of a cycle, clipped to [0, 1]."""
    for sign in range(2):
        rest = _value(tables, 0.0, 0, sign, law)
        for i in range(values.shape[1]):
            z, code = _at(pixels[sign * values.shape[1] + i], cycle, sign, law)
            at_rest = (z == 0.0) & (code == 0)
            value = rest if at_rest else _value(tables, z, code, sign, law)
            values[sign, i] = min(max(value, 0.0), 1.0)


@compiled()
def coordinates(pixels, cycle, law, z, codes):  # type: ignore[no-untyped-def]
    """Write z at the start of a cycle, and its code so far, into z and codes [2, H W]."""
    for sign in range(2):
        for i in range(z.shape[1]):
            z[sign, i], codes[sign, i] = _at(pixels[sign * z.shape[1] + i], cycle, sign, law)
