"""The pixel of an event camera: from a sequence of intensities to the events that it would write."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.events import EVENT, Events

_LARGEST_SIDE = 2**15 - 1  # x and y are 16-bit integers


@dataclass(frozen=True)
class DVSPixel:
    """The parameters of one kind of dynamic vision sensor (DVS) pixel.

    The pixel compares the logarithm of its intensity with the value that it stored at its last event::

        d(t) = ln(I(t) + dark) - stored + theta_on * leak_rate * (t - t_stored)
        d >=  theta_on   -> brighter (ON) event
        d <= -theta_off  -> darker (OFF) event

    After an event the pixel is held in reset for `refractory` and stores what it sees at the end of it, so that
    changes within it are lost. ``theta_on`` and ``theta_off`` are drawn once per pixel from normal distributions
    around `threshold_on` and `threshold_off` and cut below at a tenth of these. Noise events are added on top
    as a Poisson process that leaves the stored value alone.

    Not modelled: the finite bandwidth of the photoreceptor, noise that grows in the dark, readout arbitration.

    Attributes:
        threshold_on: mean ON threshold [e-folds of intensity], > 0; the default of v2e's command.
        threshold_off: mean OFF threshold [e-folds of intensity], > 0; the default of v2e's command.
        mismatch: standard deviation of both thresholds over the pixels [e-folds], >= 0; as in v2e. The
            128x128 chip of Lichtsteiner et al. has 2.1 % contrast.
        refractory: time in reset after an event [us], >= 0; the default of v2e's command.
        leak_rate: ON events of a pixel that sees no change, through its leaking reset switch [Hz], >= 0; the
            default of v2e's emulator class (its command has 0.01).
        shot_noise_rate: noise events of either polarity, per pixel [Hz], >= 0; `assumed`, v2e uses 1-10 Hz in
            dim light.
        dark: intensity that acts like the dark current, in the unit of the frames, >= 0; `assumed` for frames
            in which white is 1.

    Raises:
        IPNetError: a parameter is not finite or outside its range.

    References:
        Y. Hu, S.-C. Liu, T. Delbruck, "v2e: from video frames to realistic DVS events", CVPR Workshops 2021,
        arXiv:2006.07722. P. Lichtsteiner, C. Posch, T. Delbruck, "A 128x128 120 dB 15 us latency asynchronous
        temporal contrast vision sensor", IEEE J. Solid-State Circuits 43, 566 (2008).

    Example:
        >>> DVSPixel(threshold_on=0.0)
        Traceback (most recent call last):
        ...
        ipnet.errors.IPNetError: threshold_on of a DVS pixel must exceed 0 e-folds; got 0.0. Typical: 0.2.
    """

    threshold_on: float = 0.2
    threshold_off: float = 0.2
    mismatch: float = 0.03
    refractory: float = 500.0
    leak_rate: float = 0.1
    shot_noise_rate: float = 1.0
    dark: float = 0.01

    def __post_init__(self) -> None:
        for name in ("threshold_on", "threshold_off"):
            if not 0 < getattr(self, name) < math.inf:
                raise IPNetError(
                    f"{name} of a DVS pixel must exceed 0 e-folds; got {getattr(self, name)}. "
                    f"Typical: {getattr(DVSPixel, name)}."
                )
        for name, unit in (
            ("mismatch", " e-folds"),
            ("refractory", " us"),
            ("leak_rate", " Hz"),
            ("shot_noise_rate", " Hz"),
            ("dark", ""),
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise IPNetError(
                    f"{name} of a DVS pixel must be finite and at least 0; got {getattr(self, name)}{unit}. "
                    "Use 0 to omit it."
                )


@numba.njit(cache=True, nogil=True)
def _push(keys, used, key):  # type: ignore[no-untyped-def]
    """Append to a buffer that doubles when it is full; return it."""
    if used == keys.size:
        larger = np.empty(2 * used, np.int64)
        larger[:used] = keys
        keys = larger
    keys[used] = key
    return keys


@numba.njit(cache=True, nogil=True)
def _fire(i, level, now, pixels, leak, refractory, start, stop, keys, used):  # type: ignore[no-untyped-def]
    """Append the events of pixel `i` between two frames, the log intensity going from `level` to `now`."""
    stored, since, on, off = pixels
    slope = (now - level) / (stop - start)
    if since[i] > start:  # it wakes from reset within this interval
        stored[i] = level + slope * (since[i] - start)
    while since[i] < stop:
        gap = now - stored[i] + leak * on[i] * (stop - since[i])
        if -off[i] < gap < on[i]:
            break
        up = gap > 0.0
        moving = max(start, since[i])
        ahead = level + slope * (moving - start) - stored[i] + leak * on[i] * (moving - since[i])
        hit = moving + ((on[i] if up else -off[i]) - ahead) / (slope + leak * on[i])
        hit = min(stop, max(moving, hit))
        keys = _push(keys, used, (int(hit) * on.size + i) * 2 + up)
        used += 1
        since[i] = hit + refractory
        stored[i] = level + slope * (since[i] - start)
    return keys, used


@numba.njit(cache=True, nogil=True)
def _mark(now, stored, since, on, off, leak, start, stop, busy):  # type: ignore[no-untyped-def]
    """Mark the few pixels that fire or wake until `stop`, in a loop without branches, which becomes vectors."""
    for i in range(now.size):
        gap = now[i] - stored[i] + leak * on[i] * (stop - since[i])
        busy[i] = (gap >= on[i]) | (gap <= -off[i]) | (since[i] > start)


@numba.njit(cache=True, nogil=True)
def _advance(level, now, pixels, leak, refractory, start, stop, keys, used, busy):  # type: ignore[no-untyped-def]
    """Ramp the pixels numbered `busy` from `level` to `now` between `start` and `stop` [us].

    Returns the key buffer and its used length. A key is (t * pixels + pixel) * 2 + polarity: the order of keys is
    the order of events.
    """
    for i in busy:
        if pixels[1][i] < stop:
            keys, used = _fire(i, level[i], now[i], pixels, leak, refractory, start, stop, keys, used)
    return keys, used


@numba.njit(cache=True, nogil=True)
def _decode(keys, width, size, t, x, y, p):  # type: ignore[no-untyped-def]
    for k in range(keys.size):
        pixel = (keys[k] >> 1) % size
        t[k], x[k], y[k], p[k] = (keys[k] >> 1) // size, pixel % width, pixel // width, keys[k] & 1


def _settled(level: NDArray[np.float32], pixel: DVSPixel, rng: np.random.Generator) -> NDArray[np.float64]:
    """What every pixel holds after a long look at the first frame [4, pixels].

    The rows are the stored level, the time it was stored [us], theta_on and theta_off. With leak the stored level
    lies anywhere between two leak events.
    """
    held = np.zeros((4, level.size))
    for row, mean in ((2, pixel.threshold_on), (3, pixel.threshold_off)):
        held[row] = np.maximum(mean + pixel.mismatch * rng.standard_normal(level.size), 0.1 * mean)
    phase = rng.random(level.size)
    held[0] = level - (phase * held[2] if pixel.leak_rate > 0 else 0.0)
    return held


def _noise_keys(rate: float, duration: float, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The keys of shot noise: a Poisson process of `rate` [Hz] in each of `size` pixels over `duration` [us]."""
    count = rng.poisson(rate * size * duration * 1e-6)
    t = (rng.random(count) * duration).astype(np.int64)
    return (t * size + rng.integers(size, size=count)) * 2 + rng.integers(2, size=count)


def _levels(frames: Iterable[Any], dark: float) -> Iterator[NDArray[np.float32]]:
    """Yield ln(intensity + dark) of every frame [H, W], each a new array."""
    shape = None
    for number, frame in enumerate(frames):
        image = np.asarray(frame, dtype=np.float32)
        if image.ndim != 2 or not 1 <= min(image.shape) <= max(image.shape) <= _LARGEST_SIDE:
            raise IPNetError(
                f"an intensity frame must be [H, W] with sides of 1 to {_LARGEST_SIDE} pixels; "
                f"frame {number} has the shape {list(image.shape)}."
            )
        if image.shape != (shape or image.shape):
            raise IPNetError(
                f"all frames of a clip must have one shape, {list(shape or ())}; frame {number} has "
                f"{list(image.shape)}."
            )
        shape = image.shape
        image = image + np.float32(dark)
        low, high = float(image.min()), float(image.max())
        if not 0 < low <= high < math.inf:
            raise IPNetError(
                f"intensity + dark must be positive and finite everywhere, with dark = {dark:g}; frame {number} "
                f"holds {low if not low > 0 else high:g}: give linear intensities, not logarithms."
            )
        yield np.log(image, out=image)


def simulate_events(
    frames: NDArray[Any] | Iterable[NDArray[Any]],
    interval_us: float,
    pixel: DVSPixel,
    seed: int | tuple[int, ...],
) -> Events:
    """The events that a sensor of such pixels writes while it looks at a sequence of frames.

    The logarithm of intensity is interpolated linearly between frames, so that a time stamp is as fine as a
    microsecond; the frame rate must be high enough for an edge to move by about a pixel from frame to frame.

    Args:
        frames: linear intensities, [F, H, W] or any iterable of [H, W], F >= 2, at the times 0, `interval_us`,
            2 `interval_us`, ... Any unit, but that of ``pixel.dark``. An iterable may reuse its frame.
        interval_us: time between frames [us], > 0.
        pixel: the parameters of the pixels.
        seed: seeds thresholds, leak phases and noise; the global random state is not touched.

    Returns:
        Event array [N], N >= 0, sorted by time, then row, column and polarity; 0 <= t <= (F - 1) interval_us.

    Raises:
        IPNetError: fewer than two frames, frames of different shapes, an intensity without a logarithm, or an
            interval that is not positive.

    Valid for:
        recordings shorter than 2**62 / (H W) microseconds (years).

    Example:
        >>> quiet = DVSPixel(mismatch=0, refractory=0, leak_rate=0, shot_noise_rate=0, dark=0)
        >>> ramp = np.exp([[[0.0, 0.0]], [[0.49, -0.3]]])  # one pixel brightens by 2.45 thresholds
        >>> simulate_events(ramp, 1000.0, quiet, seed=0).tolist()
        [(408, 0, 0, 1), (666, 1, 0, 0), (816, 0, 0, 1)]
    """
    if not 0 < interval_us < math.inf:
        raise IPNetError(f"the time between frames must be finite and exceed 0 us; got {interval_us} us.")
    rng = np.random.default_rng(seed)
    levels = _levels(frames, pixel.dark)
    first = level = next(levels, np.empty((0, 0), np.float32))
    pixels, busy = _settled(first.ravel(), pixel, rng), np.empty(first.size, np.bool_)
    rows, leak = (pixels[0], pixels[1], pixels[2], pixels[3]), pixel.leak_rate * 1e-6
    keys, used, steps = np.empty(4096, np.int64), 0, 0
    for now in levels:
        start, stop = steps * interval_us, (steps + 1) * interval_us
        _mark(now.ravel(), *rows, leak, start, stop, busy)
        keys, used = _advance(
            level.ravel(), now.ravel(), rows, leak, pixel.refractory, start, stop, keys, used, np.flatnonzero(busy)
        )
        level, steps = now, steps + 1
    if steps < 1:
        raise IPNetError(f"a clip needs at least 2 frames to hold a change; got {min(1, first.size)}.")
    noise = _noise_keys(pixel.shot_noise_rate, steps * interval_us, first.size, rng)
    keys = np.sort(np.concatenate([keys[:used], noise]))
    events = np.empty(keys.size, EVENT)
    _decode(keys, first.shape[1], first.size, events["t"], events["x"], events["y"], events["p"])
    return events
