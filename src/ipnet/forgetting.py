"""Forgetting curves: how a share that is remembered falls with time, by an exponential and by a power law."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from ipnet.errors import IPNetError

Floats = NDArray[np.float64]
_STEEPEST = 12.0  # e-folds between the two times that are closest: more than any count of answers can show
_SLOWEST = 1e-4  # e-folds over all times: less than any count of answers can show


@dataclass(frozen=True)
class Exponential:
    """``p = a exp(-t / tau)``.

    Args:
        a: p at t = 0, in the unit of p.
        tau: time constant, in the unit of t; infinite if p does not fall.
        rmse: root of the mean squared residual, in the unit of p.
        r: correlation of the curve with p [1]; nan if one of them is flat.
    """

    a: float
    tau: float
    rmse: float
    r: float

    def at(self, t: ArrayLike) -> Floats:
        """The curve at times t, of the shape of t."""
        return np.asarray(self.a * np.exp(-np.asarray(t) / self.tau))


@dataclass(frozen=True)
class Power:
    """``p = a (1 + t)^-b``; what 1 is depends on the unit of t, and so does the curve.

    Args:
        a: p at t = 0, in the unit of p.
        b: exponent [1]; 0 if p does not fall.
        rmse: root of the mean squared residual, in the unit of p.
        r: correlation of the curve with p [1]; nan if one of them is flat.
    """

    a: float
    b: float
    rmse: float
    r: float

    def at(self, t: ArrayLike) -> Floats:
        """The curve at times t, of the shape of t."""
        return np.asarray(self.a * (1 + np.asarray(t)) ** -self.b)


def fit_forgetting(t: Sequence[float] | Floats, p: Sequence[float] | Floats) -> tuple[Exponential, Power]:
    """Both laws, each by least squares: ``a`` and ``tau``, ``a`` and ``b`` with the least ``sum (p - curve)^2``.

    ``a`` follows from the other parameter in closed form, so one parameter is searched for, over all values that
    the times can tell apart.

    Args:
        t: times since study [N], not negative, 3 different ones or more; any unit, seconds for human data.
        p: what is left at each: a share, a strength [N].

    Raises:
        IPNetError: too few times, a value that is not finite or negative time, or a fall too steep for the times.

    References:
        J. T. Wixted, E. B. Ebbesen, Psychol. Sci. 2, 409 (1991).

    Example:
        >>> exponential, power = fit_forgetting([1, 3, 6, 9, 12, 18], [0.94, 0.77, 0.40, 0.26, 0.24, 0.16])
        >>> round(exponential.a, 3), round(exponential.tau, 2), round(exponential.rmse, 3)
        (1.092, 7.09, 0.053)
    """
    time, left = np.asarray(t, np.float64), np.asarray(p, np.float64)
    if time.ndim != 1 or time.shape != left.shape or len(np.unique(time)) < 3:
        raise IPNetError(
            "a forgetting curve needs a value at each of 3 different times or more; got "
            f"t {list(time.shape)}, p {list(left.shape)} and {len(np.unique(time))} different times."
        )
    if not (np.isfinite(time).all() and np.isfinite(left).all() and (time >= 0).all()):
        raise IPNetError(f"times must be 0 or more and all values finite; got t = {list(t)}, p = {list(p)}.")
    a, rate = _decay(time, left)
    exponential = a * np.exp(-rate * time)
    tau = 1 / rate if rate else float("inf")
    c, b = _decay(np.log1p(time), left)
    power = c * (1 + time) ** -b
    return Exponential(a, tau, *_quality(exponential, left)), Power(c, b, *_quality(power, left))


def _decay(u: Floats, p: Floats) -> tuple[float, float]:
    """Least squares of ``p = a exp(-k u)``, k >= 0: both laws have this form, with u = t and u = ln(1 + t)."""

    def amplitude(k: ArrayLike) -> tuple[Floats, Floats]:
        shape = np.exp(-np.multiply.outer(k, u - u.min()))
        return np.asarray(shape @ p / np.sum(shape**2, -1)), shape

    def cost(k: ArrayLike) -> Floats:
        a, shape = amplitude(k)
        return np.asarray(np.sum((p - a[..., None] * shape) ** 2, -1))

    apart = np.diff(np.unique(u))
    rates = np.concatenate([[0.0], np.geomspace(_SLOWEST / apart.sum(), _STEEPEST / apart.min(), 400)])
    best = int(np.argmin(cost(rates)))
    if best == len(rates) - 1:
        raise IPNetError(f"p falls too steeply for the times it was measured at; got p = {p.tolist()}: add times.")
    k = 0.0
    if best:
        around = rates[best - 1], rates[best + 1]
        k = float(minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": 1e-9 * around[1]}).x)
    return float(amplitude(k)[0] * np.exp(k * u.min())), k


def _quality(curve: Floats, p: Floats) -> tuple[float, float]:
    """RMSE, and the correlation of curve and p."""
    rmse = float(np.sqrt(np.mean((p - curve) ** 2)))
    flat = np.ptp(curve) == 0 or np.ptp(p) == 0
    return rmse, float("nan") if flat else float(np.corrcoef(curve, p)[0, 1])
