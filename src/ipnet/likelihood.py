"""The likelihood of switching measurements: derivatives, maximum, covariance, and profile intervals.

Parameters are logarithms, in the order of `parameter_names`; several junctions [S] are computed at once.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import xlogy

from ipnet.cards import unit_of
from ipnet.device.mtj import MTJ
from ipnet.measurement import Floats, Measurements, log_hazard
from ipnet.physics import FINE, Quadrature, quadrature

Indices = NDArray[np.int64]

CHI2_95 = 3.841458820694124  # 95 % quantile of chi2 with one degree of freedom
_RULES = [quadrature(nodes, power) for nodes in (2, 3, 4, 6, 8, 12, 16, 24, 32) for power in (1, 2, 3)] + [FINE]
_STEP = 1e-7  # of a logarithm, for derivatives
_LONGEST = 0.7  # step of a logarithm in one iteration
_FARTHEST = np.log(100)  # from an estimate, where an interval counts as open
_CHUNK = 30_000  # numbers per pass, to stay in the cache
_WIDTH = 2.0  # standard deviation of the prior that only helps to find the start


def parameter_names(device: MTJ) -> tuple[str, ...]:
    """What can be fitted, in the order of the fit.

    Example:
        >>> from ipnet.device import load_device
        >>> parameter_names(load_device("mtj-thermal"))
        ('delta', 'V_c0', 'n_K', 'R_th', 'tau_th')
    """
    state = "_AP" if device.resting else ""
    numbers = [""] if device.poles == 1 else [f"[{i + 1}]" for i in range(device.poles)]
    return (f"delta{state}", f"V_c0{state}", "n_K", *(f"{key}{i}" for key in ("R_th", "tau_th") for i in numbers))


def unit_of_name(name: str) -> str:
    """SI unit of one of `parameter_names`."""
    return unit_of(MTJ.Parameters, name.partition("[")[0])


def logarithms(device: MTJ) -> Floats:
    """The values of `parameter_names` in a device, as logarithms; -inf for a zero."""
    first = [device.delta_AP, device.V_c0_AP] if device.resting else [device.delta, device.V_c0]
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(torch.stack([*first, device.n_K, *device.R_th, *device.tau_th]).numpy()))


def install(device: MTJ, logs: Floats) -> None:
    """Replace the values of a device by those of `logs` [P], or by those of several junctions [S, P]."""
    values = torch.from_numpy(np.exp(np.moveaxis(logs, -1, 0)))
    values = values[..., None] if logs.ndim > 1 else values
    for key, value in zip(("delta", "V_c0"), values, strict=False):
        ratio = getattr(device.card.parameters, f"{key}_AP") / getattr(device.card.parameters, key)
        setattr(device, key, value / ratio if device.resting else value)
        setattr(device, f"{key}_AP", value if device.resting else value * ratio)
    device.n_K, device.R_th, device.tau_th = values[2], values[3 : 3 + device.poles], values[3 + device.poles :]


class Look(NamedTuple):
    """An objective [S], half its negative slope [S, F], and half its expected curvature [S, F, F]."""

    value: Floats
    slope: Floats
    curvature: Floats


class Law:
    """The likelihood of rows as a function of the logarithms of all parameters, for several junctions at once."""

    def __init__(self, device: MTJ, rows: Measurements, rule: Quadrature) -> None:
        self.device, self.rows, self.rule = device, rows, rule
        self.conditions = rows.conditions(device)
        self.k, self.n = rows["switches"], rows["trials"]
        self.best = xlogy(self.k, self.k / self.n) + xlogy(self.n - self.k, 1 - self.k / self.n)

    def eta(self, logs: Floats, rule: Quadrature | None = None) -> Floats:
        """Ln H of every row [S, rows]."""
        rule = rule or self.rule
        install(self.device, logs)
        width = max(1, _CHUNK // (len(logs) * len(rule.times)))
        starts = range(0, len(self.rows), width)
        parts = [log_hazard(self.device, [part[i : i + width] for part in self.conditions], rule) for i in starts]
        return np.asarray(torch.cat(parts, -1).numpy())

    def jacobian(self, logs: Floats, free: Indices) -> tuple[Floats, Floats]:
        """Ln H [S, rows] and its derivatives by the free logarithms [S, F, rows], within 1e-6 of the largest."""
        moved = np.concatenate([logs[:, None], logs[:, None] + _STEP * np.eye(logs.shape[1])[free]], 1)
        eta = self.eta(moved.reshape(-1, logs.shape[1])).reshape(*moved.shape[:2], -1)
        with np.errstate(invalid="ignore"):
            return eta[:, 0], (eta[:, 1:] - eta[:, :1]) / _STEP

    def terms(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Deviance, score and expected information of each row by its ln H; infinite outside the law."""
        valid = np.isfinite(eta)
        h = np.exp(np.clip(np.where(valid, eta, 0.0), -600, 600))
        with np.errstate(over="ignore"):
            odds = h / np.expm1(h)
        log_p = np.log(-np.expm1(-h))
        deviance = 2 * np.maximum(self.best - self.k * log_p + (self.n - self.k) * h, 0)
        return np.where(valid, deviance, np.inf), self.k * odds - (self.n - self.k) * h, self.n * h * odds

    def look(
        self, logs: Floats, free: Indices, weights: Floats, cap: float = np.inf, prior: Floats | None = None
    ) -> Look:
        """The deviance of the weighted rows, of each no more than Huber's bound at `cap`, plus the prior's."""
        eta, slopes = self.jacobian(logs, free)
        deviance, score, information = self.terms(eta)
        share, size = weights, np.sqrt(deviance)
        if np.isfinite(cap):
            share = weights * np.minimum(1.0, cap / np.maximum(size, cap))
            deviance = np.where(size > cap, 2 * cap * size - cap**2, deviance)
        value = np.where(weights > 0, deviance, 0.0).sum(-1)
        slopes = np.where(np.isfinite(slopes), slopes, 0.0)
        slope = (slopes @ (share * score)[..., None])[..., 0]
        curvature = (slopes * (share * information)[:, None]) @ slopes.transpose(0, 2, 1)
        if prior is not None:
            off = (logs[:, free] - prior[free]) / _WIDTH
            value, slope = value + (off**2).sum(-1), slope - off / _WIDTH
            curvature = curvature + np.eye(len(free)) / _WIDTH**2
        return Look(value, slope, curvature)

    def covariance(self, logs: Floats, free: Indices, weights: Floats) -> Floats:
        """Of the free logarithms [F, F], from the expected information of the data alone."""
        return invert(self.look(logs, free, weights).curvature[0])


def invert(information: Floats) -> Floats:
    """The inverse; very large along directions of which the data say nothing."""
    scale = np.sqrt(np.maximum(np.diag(information), 1e-30))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    return np.asarray((vectors / np.maximum(values, 1e-12)) @ vectors.T / np.outer(scale, scale))


def climb(
    law: Law, logs: Floats, free: Indices, weights: Floats, *, cap: float = np.inf, prior: Floats | None = None
) -> tuple[Floats, Look]:
    """Fisher scoring with Levenberg's damping, for several starts [S, P] at once."""
    damping, unit = np.full(len(logs), 1e-3), np.eye(len(free))
    now = law.look(logs, free, weights, cap, prior)
    for _ in range(60):
        scale = np.einsum("sff->sf", now.curvature)
        ridge = damping[:, None] * scale + 1e-12 * scale.max(-1, keepdims=True, initial=1e-200)
        step = np.linalg.solve(now.curvature + ridge[:, None] * unit, now.slope[..., None])[..., 0]
        step /= np.maximum(1.0, np.abs(step).max(-1, keepdims=True) / _LONGEST)
        tried = logs.copy()
        tried[:, free] += step
        then = law.look(tried, free, weights, cap, prior)
        better = then.value <= now.value + 1e-9
        with np.errstate(invalid="ignore"):
            settled = better & ~(now.value - then.value > 1e-6)
        logs = np.where(better[:, None], tried, logs)
        masks = (better.reshape(-1, *[1] * (part.ndim - 1)) for part in now)
        now = Look(*(np.where(mask, new, old) for mask, new, old in zip(masks, then, now, strict=True)))
        damping = np.where(better, damping / 10, damping * 10)
        if np.all(settled | (damping > 1e6)):
            break
    return logs, now


def choose_rule(law: Law, logs: Floats) -> Quadrature:
    """The smallest quadrature that moves no estimate by more than a hundredth of its standard deviation.

    By the Cauchy-Schwarz inequality no estimate moves by more than sqrt(sum_i w_i error_i^2) standard deviations,
    with w_i the information about ln H of row i and error_i the error of that.
    """
    exact = law.eta(logs, FINE)
    weight = law.terms(exact)[2]
    errors = ((weight * (law.eta(logs, rule) - exact) ** 2).sum() for rule in _RULES)
    return next(rule for rule, error in zip(_RULES, errors, strict=True) if error <= 0.01**2)


def probability(eta: Floats) -> Floats:
    """P = 1 - exp(-exp(eta))."""
    return np.asarray(-np.expm1(-np.exp(np.clip(eta, -600, 600))))


def intervals(law: Law, logs: Floats, free: Indices, lowest: float) -> Floats:
    """Ends of the 95 % intervals of the free logarithms by profile likelihood [F, 2]; infinite where open.

    Each end solves deviance = lowest + chi2 with all others at their best, by Newton's method on both conditions
    at once: move = N + c v, with N the step to the maximum of the quadratic model at hand and v the direction in
    which the parameter moves while the others follow (Venzon & Moolgavkar, Appl. Statist. 37, 87 (1988)).
    """
    F, weights = len(free), np.ones(len(law.rows))
    own, side = np.tile(np.arange(F), 2), np.repeat([-1.0, 1.0], F)
    covariance = law.covariance(logs, free, weights)
    here = np.repeat(logs, 2 * F, 0)
    first = np.sqrt(CHI2_95) * side[:, None] * (covariance / np.sqrt(np.diag(covariance)))[:, own].T
    here[:, free] += np.clip(first, -2, 2)
    ends, running = np.full(2 * F, np.nan), np.arange(2 * F)
    for _ in range(12):
        look = law.look(here[running], free, weights)
        each, j = np.arange(len(running)), own[running]
        inverse = np.stack([invert(part) for part in look.curvature])
        newton = (inverse @ look.slope[..., None])[..., 0]
        gain, variance = (look.slope * newton).sum(1), inverse[each, j, j]
        excess = look.value - lowest - CHI2_95
        found = (np.abs(excess) < 0.004) & (gain - newton[each, j] ** 2 / variance < 0.004)
        ends[running[found]] = here[running[found], free[j[found]]]
        reach = np.sqrt(np.maximum(gain - excess, 0) / variance)
        move = newton + (side[running] * reach)[:, None] * inverse[each, j]
        move /= np.maximum(1.0, np.abs(move).max(1, keepdims=True) / _LONGEST)
        usable = ~found & np.isfinite(excess) & (np.abs(here[running][:, free] - logs[:, free]).max(1) < _FARTHEST)
        here[np.ix_(running[usable], free)] += move[usable]
        running = running[usable]
        if not len(running):
            break
    for i in np.flatnonzero(np.isnan(ends)):
        ends[i] = _bracket(law, logs, free, int(own[i]), float(side[i]), lowest)
    return ends.reshape(2, F).T


def _bracket(law: Law, logs: Floats, free: Indices, j: int, side: float, lowest: float) -> float:
    """One end by bracketing and bisection, where Newton's method fails."""
    others, here, weights = np.delete(free, j), logs.copy(), np.ones(len(law.rows))

    def inside(distance: float) -> bool:
        nonlocal here
        start = here.copy()
        start[0, free[j]] = logs[0, free[j]] + side * distance
        climbed, look = climb(law, start, others, weights)
        here = climbed if np.isfinite(look.value[0]) else here
        return bool(look.value[0] < lowest + CHI2_95)

    near, far = 0.0, 0.02
    while inside(far):
        near, far = far, 1.6 * far
        if far > _FARTHEST:
            return float(side * np.inf)
    for _ in range(12):
        middle = (near + far) / 2
        near, far = (middle, far) if inside(middle) else (near, middle)
    return float(logs[0, free[j]] + side * (near + far) / 2)


def moves(law: Law, logs: Floats, free: Indices, covariance: Floats, slopes: Floats) -> Floats:
    """How far estimates move [F, H] if something else is an e-fold larger: -cov J' W slopes, to first order.

    The slopes [H, rows] are those of ln H by the logarithm of what else it is.
    """
    eta, own = law.jacobian(logs, free)
    return np.asarray(-covariance @ (own[0] * law.terms(eta)[2][0]) @ slopes.T)
