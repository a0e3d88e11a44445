"""From a measurement to a device card: maximum likelihood, what the data can tell, intervals, goodness of fit.

The law is that of `ipnet.device.mtj.MTJ` on the rows of `ipnet.measurement`: cold, conditioning pulse, delay,
pulse; switches ~ binomial(trials, P). Fitted, as logarithms: delta and V_c0 of the resting state (the other state
keeps the ratio of the base card), n_K, and R_th and tau_th of each thermal pole. tau_0 and the exponent are never
fitted: along ln(tau_0) + delta the law hardly changes.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import binom, chi2, theilslopes

from ipnet.cards import Card, CardFile, Entry, make_card, unit_of
from ipnet.device import load_device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.measurement import FINE, READS, Floats, Measurements, Quarantined, log_hazard
from ipnet.physics import Quadrature, quadrature
from ipnet.units import format_si, to_si

Indices = NDArray[np.int64]

CHI2_95 = 3.841458820694124  # 95 % quantile of chi2 with one degree of freedom
LOOSEST = 0.5  # standard deviation of a logarithm above which a parameter counts as unknown
APART = 5.0  # ambient temperatures that differ by less do not tell n_K from R_th [K]
GROSS = 1e-3  # chance that any good row of a measurement is taken for a gross error
MOST_GROSS = 0.1  # share of contradicting rows beyond which the law is wrong, and not the rows
POOR = 1e-3  # p-value below which the law does not fit
FLANK = 0.4  # share of rows between 0 and 100 % below which a warning is due
_RULES = [quadrature(nodes, power) for nodes in (2, 3, 4, 6, 8, 12, 16, 24, 32) for power in (1, 2, 3)] + [FINE]
_STEP = 1e-7  # of a logarithm, for derivatives
_LONGEST = 0.7  # step of a logarithm in one iteration
_FARTHEST = np.log(100)  # from an estimate, where an interval counts as open
_CHUNK = 30_000  # numbers per pass, to stay in the cache
_WIDTH = 2.0  # standard deviation of the prior that only helps to find the start
_HUBER = 2.0  # deviance residual beyond which a row pulls no harder while the start is sought


def format_value(value: float, unit: str) -> str:
    """As `format_si`, but thermal resistances in kelvin per microwatt.

    Example:
        >>> format_value(1.6e6, "K/W"), format_value(1e-6, "s")
        ('1.6 K/uW', '1 us')
    """
    return f"{value / 1e6:.4g} K/uW" if unit == "K/W" else format_si(value, unit)


@dataclass(frozen=True)
class Estimate:
    """A fitted value in SI with its 95 % interval by profile likelihood.

    Args:
        name: as in `parameter_names`.
        unit: of the numbers.
        value: the most likely one.
        low: end of the interval; 0 if the data leave it open.
        high: end of the interval; infinite if the data leave it open.
        base: value of the base card.
        given: the held values that the interval is conditional on, for example "for n_K = 2.2": those of which an
            e-fold would move the estimate by more than a standard deviation.
    """

    name: str
    unit: str
    value: float
    low: float
    high: float
    base: float
    given: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the data bound the value on one side at most."""
        return self.low == 0 or np.isinf(self.high)

    @property
    def interval(self) -> str:
        """The interval as text, with what it is conditional on."""
        low = format_value(self.low, self.unit) if self.low else "0 (open)"
        high = "infinity (open)" if np.isinf(self.high) else format_value(self.high, self.unit)
        return f"95 % interval [{low}, {high}]{self.given and ' '}{self.given}"

    def __str__(self) -> str:
        return f"{self.name} = {format_value(self.value, self.unit)}, {self.interval}"


@dataclass(frozen=True)
class Goodness:
    """How well the law describes the counts.

    Args:
        deviance: twice the log-likelihood ratio to a free probability per row [1].
        pearson: sum of squared standardised residuals [1].
        dof: rows less fitted parameters.
        p_value: chance of a larger deviance under the law; chi2 scaled to the exact mean and variance of the
            deviance of each row, since counts near 0 or `trials` do not follow chi2 with `dof`.
        overdispersion: deviance over its expectation; 1 for binomial counts.
    """

    deviance: float
    pearson: float
    dof: int
    p_value: float
    overdispersion: float


@dataclass(frozen=True)
class Fit:
    """A fitted junction; see `fit`.

    Args:
        base: the card that gives everything that is not fitted; with R_P and R_AP as read, and one value of R_th
            and tau_th per pole of the fit.
        device: the junction with the fitted values.
        estimates: what the data determine, by name.
        held: what was kept at the base card's value although it could have been fitted.
        correlation: of the logarithms of the estimates, in their order.
        rows: the rows behind the fit.
        rejected: the rows that only gross errors explain.
        quarantined: these and the rows that could not be used, by line, with reason.
        p: fitted probability of each row.
        residuals: signed square root of the deviance of each row.
        goodness: of the rows behind the fit.
        warnings: what the data cannot tell, and what to measure.
        notes: what the estimates are conditional on.
    """

    base: CardFile
    device: MTJ
    estimates: Mapping[str, Estimate]
    held: tuple[str, ...]
    correlation: Floats
    rows: Measurements
    rejected: Measurements
    quarantined: tuple[Quarantined, ...]
    p: Floats
    residuals: Floats
    goodness: Goodness
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


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


def _unit(name: str) -> str:
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


class _Look(NamedTuple):
    """An objective [S], half its negative slope [S, F], and half its expected curvature [S, F, F]."""

    value: Floats
    slope: Floats
    curvature: Floats


class _Law:
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
    ) -> _Look:
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
        return _Look(value, slope, curvature)

    def covariance(self, logs: Floats, free: Indices, weights: Floats) -> Floats:
        """Of the free logarithms [F, F], from the expected information of the data alone."""
        return _invert(self.look(logs, free, weights).curvature[0])


def _invert(information: Floats) -> Floats:
    """The inverse; very large along directions of which the data say nothing."""
    scale = np.sqrt(np.maximum(np.diag(information), 1e-30))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    return np.asarray((vectors / np.maximum(values, 1e-12)) @ vectors.T / np.outer(scale, scale))


def _climb(
    law: _Law, logs: Floats, free: Indices, weights: Floats, *, cap: float = np.inf, prior: Floats | None = None
) -> tuple[Floats, _Look]:
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
        now = _Look(*(np.where(mask, new, old) for mask, new, old in zip(masks, then, now, strict=True)))
        damping = np.where(better, damping / 10, damping * 10)
        if np.all(settled | (damping > 1e6)):
            break
    return logs, now


def _guess(device: MTJ, rows: Measurements) -> Floats:
    """Starts [S, P]: delta and V_c0 from a robust line through the cold S-curve, the heat from a grid.

    ln(t_pulse/tau_0) - ln(-ln(1 - P)) = delta (1 - V/V_c0)^b, a line in V once its b-th root is taken.
    """
    logs, k, n = logarithms(device), rows["switches"], rows["trials"]
    logs[2] = max(logs[2], 0.0)
    heated = rows.heated
    off = np.abs(rows["ambient"] - float(device.temp_0))
    telling = (~heated | heated.all()) & (k > 0) & (k < n)
    line = np.flatnonzero(telling & (off <= off[telling].min(initial=np.inf) + 1))
    line = line[:: 1 + len(line) // 150]
    if len(np.unique(rows["V"][line])) > 1:
        hazard = -np.log1p(-(k + 0.5) / (n + 1))
        heights = np.maximum(np.log(rows["t_pulse"] / float(device.tau_0)) - np.log(hazard), 1e-3) ** (
            1 / device.b
        )
        slope, height, *_ = theilslopes(heights[line], rows["V"][line])
        if slope < 0 < height:
            logs[:2] = device.b * np.log(height), np.log(-height / slope)
    if not heated.any():
        return logs[None]
    times = np.concatenate([rows["delay"][heated], rows["t_cond"][heated]])
    times = np.geomspace(times[times > 0].min() / 3, times.max() * 3, 7)
    pairs = [(i, j) for i in range(7) for j in ([i] if device.poles == 1 else range(i + 1, 7))]
    hottest = float(device.power(torch.tensor(rows["V_cond"].max()), antiparallel=device.resting).max())
    grid = [
        [*[rise / hottest / device.poles] * device.poles, *np.geomspace(times[i], times[j], device.poles)]
        for rise in np.geomspace(3, 300, 7)
        for i, j in pairs
    ]
    starts = np.repeat(logs[None], len(grid), 0)
    starts[:, 3:] = np.log(grid)
    return starts if np.isinf(logs).any() else np.concatenate([logs[None], starts])


def _seek(law: _Law, free: Indices, known: Floats) -> tuple[Floats, Floats]:
    """Where the likelihood is highest, roughly, whatever a few rows say [1, P]; and the prior's middle [P]."""
    rows = law.rows
    parts = [np.flatnonzero(mask) for mask in (rows.heated, ~rows.heated)]
    few = [part[np.linspace(0, len(part) - 1, min(len(part), 150)).astype(int)] for part in parts]
    some = _Law(law.device, rows.take(np.concatenate(few)), law.rule)
    guesses = _guess(law.device, some.rows)
    prior = known.copy()
    prior[free] = np.where(np.isfinite(known), known, guesses[-1])[free]
    starts = np.repeat(prior[None], len(guesses), 0)
    starts[:, free] = guesses[:, free]
    size = np.sqrt(some.terms(some.eta(starts))[0])
    cost = np.where(size > _HUBER, 2 * _HUBER * size - _HUBER**2, size**2).sum(1)
    first = starts[np.argsort(cost, kind="stable")[:4]]
    found, look = _climb(some, first, free, np.ones(len(some.rows)), cap=_HUBER, prior=prior)
    best = found[[int(np.argmin(look.value))]]
    return _climb(law, best, free, np.ones(len(rows)), cap=_HUBER, prior=prior)[0], prior


def _choose_rule(law: _Law, logs: Floats) -> Quadrature:
    """The smallest quadrature that moves no estimate by more than a hundredth of its standard deviation.

    By the Cauchy-Schwarz inequality no estimate moves by more than sqrt(sum_i w_i error_i^2) standard deviations,
    with w_i the information about ln H of row i and error_i the error of that.
    """
    exact = law.eta(logs, FINE)
    weight = law.terms(exact)[2]
    errors = ((weight * (law.eta(logs, rule) - exact) ** 2).sum() for rule in _RULES)
    return next(rule for rule, error in zip(_RULES, errors, strict=True) if error <= 0.01**2)


def _probability(eta: Floats) -> Floats:
    """P = 1 - exp(-exp(eta))."""
    return np.asarray(-np.expm1(-np.exp(np.clip(eta, -600, 600))))


def _plausible(law: _Law, logs: Floats) -> NDArray[np.bool_]:
    """Rows whose counts the law allows: exact binomial tails, Bonferroni's bound for all rows together."""
    p = _probability(law.eta(logs)[0])
    tails = np.minimum(binom.cdf(law.k, law.n, p), binom.sf(law.k - 1, law.n, p))
    return np.asarray(2 * tails >= GROSS / len(p))


def _unknown(covariance: Floats, free: Indices, poles: int, firm: set[int]) -> int | None:
    """What to hold: of the direction that is known worst, n_K before tau_th before R_th before delta; or None."""
    if np.sqrt(np.diag(covariance)).max() <= LOOSEST:
        return None
    worst = np.abs(np.linalg.eigh(covariance)[1][:, -1])
    order = [2, *range(2 + 2 * poles, 2, -1), 0, 1]
    doubtful = [i for i in free[worst > 0.3 * worst.max()].tolist() if i not in firm]
    return min(doubtful, key=order.index) if doubtful else None


def _solve(law: _Law, free: Indices, known: Floats) -> tuple[Floats, Indices, NDArray[np.bool_]]:
    """Estimate what the data determine from the rows that the law allows, in turns until both agree.

    What the data leave unknown is held at the base card's value, unless it is n_K or heat, the law fits (deviance
    below twice the rows) and the data contradict that value (chi2 at 95 %).

    Returns:
        Logarithms [1, P], which of them are free, and which rows they are made from.
    """
    count, poles, rejecting, firm = len(law.rows), law.device.poles, True, set[int]()
    logs, prior = _seek(law, free, known)
    law.rule = _choose_rule(law, logs)
    kept = _plausible(law, logs)
    for _ in range(30):
        if rejecting and (~kept).sum() > MOST_GROSS * count:
            kept, rejecting = np.ones(count, bool), False
        weights = kept.astype(float)
        hold = _unknown(law.covariance(logs, free, weights), free, poles, firm)
        if hold is None:
            logs, _ = _climb(law, logs, free, weights)
            hold = _unknown(law.covariance(logs, free, weights), free, poles, firm)
        if hold is None:
            rule, now = _choose_rule(law, logs), _plausible(law, logs) if rejecting else kept
            if len(rule.times) <= len(law.rule.times) and np.array_equal(now, kept):
                break
            law.rule, kept = max(law.rule, rule, key=lambda rule: len(rule.times)), now
            continue
        if len(free) == 1:
            raise IPNetError(
                f"measurement '{law.rows.name}' must have rows at which 5 to 95 % of the pulses switch; its "
                "counts do not determine any value of the junction: measure several voltages there."
            )
        logs, without = _climb(law, logs, free, np.ones(count), cap=_HUBER, prior=prior)
        start, rest = logs.copy(), free[free != hold]
        start[0, hold] = known[hold]
        found, with_it = _climb(law, start, rest, np.ones(count), cap=_HUBER, prior=prior)
        fits = without.value[0] < 2 * count
        if hold > 1 and fits and with_it.value[0] - without.value[0] > CHI2_95:
            firm.add(hold)
        else:
            logs, free = found, rest
    return logs, free, kept


def _intervals(law: _Law, logs: Floats, free: Indices, lowest: float) -> Floats:
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
        inverse = np.stack([_invert(part) for part in look.curvature])
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


def _bracket(law: _Law, logs: Floats, free: Indices, j: int, side: float, lowest: float) -> float:
    """One end by bracketing and bisection, where Newton's method fails."""
    others, here, weights = np.delete(free, j), logs.copy(), np.ones(len(law.rows))

    def inside(distance: float) -> bool:
        nonlocal here
        start = here.copy()
        start[0, free[j]] = logs[0, free[j]] + side * distance
        climbed, look = _climb(law, start, others, weights)
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


def _moments(n: Floats, eta: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the deviance of binomial counts: exact where few are expected, else 1 + c, 2 (1 + c)^2.

    c = (1 - p q) / (6 n p q), q = 1 - p: Bartlett's correction.
    """
    h = np.exp(np.clip(eta, -600, 600))
    p, q = -np.expm1(-h), np.exp(-h)
    few = np.flatnonzero(n * np.minimum(p, q) < 20)
    mean = 1 + (1 - p * q) / (6 * n * np.maximum(p * q, 1e-300))
    variance = 2 * mean**2
    total, common = n[few, None], (p > q)[few, None]
    rare = np.minimum(np.arange(81.0), total)
    chance = binom.pmf(np.arange(81), total, np.where(common, q[few, None], p[few, None]))
    k = np.where(common, total - rare, rare)
    deviance = xlogy(k, k / total / p[few, None]) + xlogy(total - k, 1 - k / total) + (total - k) * h[few, None]
    mean[few] = (chance * 2 * deviance).sum(1)
    variance[few] = (chance * (2 * deviance) ** 2).sum(1) - mean[few] ** 2
    return mean, variance


def _goodness(law: _Law, eta: Floats, fitted: int) -> Goodness:
    """At ln H of each row, with so many fitted parameters."""
    mean, variance = (float(part.sum()) for part in _moments(law.n, eta))
    expected, spread = max(mean - fitted, 1e-9), max(variance - 2 * fitted, 1e-9)
    deviance, p = float(law.terms(eta)[0].sum()), _probability(eta)
    pearson = float(((law.k - law.n * p) ** 2 / np.maximum(law.n * p * (1 - p), 1e-300)).sum())
    dof = len(law.n) - fitted
    if dof <= 0:
        return Goodness(deviance, pearson, dof, 1.0, 1.0)
    p_value = float(chi2.sf(2 * deviance * expected / spread, 2 * expected**2 / spread))
    return Goodness(deviance, pearson, dof, p_value, deviance / expected)


def _show(name: str, value: float) -> str:
    return f"{name} = {format_value(value, _unit(name))}"


def _span(times: Floats) -> str:
    low, high = format_si(float(times.min()), "s"), format_si(float(times.max()), "s")
    return f"all {low}" if low == high else f"{low} to {high}"


def _missing(names: tuple[str, ...], values: list[float], free: Indices, rows: Measurements) -> list[str]:
    """What is held, and what to measure to learn it."""
    heated, found = rows.heated, list[str]()
    if not heated.any():
        what = ", ".join(_show(name, value) for name, value in zip(names[3:], values[3:], strict=True))
        cure = "measure S-curves at several delays after a conditioning pulse"
        found.append(f"No conditioning pulse heats the junction; {what} of the base card: {cure}.")
    for i in np.setdiff1d(np.arange(len(names)), free).tolist():
        if i < 2:
            lack = f"Saturated probabilities or a single voltage do not determine {names[i]}"
            cure = "several voltages at which 5 to 95 % of the pulses switch"
        elif i == 2:
            lost = "separate R_th from n_K (dV_c0/dtemp)" if heated.any() else "determine n_K (dV_c0/dtemp)"
            lack = f"This data cannot {lost}"
            cure = f"S-curves at two or more ambient temperatures, {APART:g} K apart or more"
            if np.ptp(rows["ambient"]) >= APART:
                cure = "more pulses at ambient temperatures further apart"
        elif heated.any():
            lack = f"The delays, {_span(rows['delay'][heated])}, cannot determine {names[i]}"
            cure = "more pulses at delays from a third of tau_th to three times tau_th, after more heat"
        else:
            continue
        found.append(f"{lack}; {_show(names[i], values[i])} of the base card: measure {cure}.")
    return found


def _doubts(result: Fit, sd: Mapping[str, float]) -> list[str]:
    """What weakens the estimates, and what to measure."""
    rows, good, found = result.rows, result.goodness, list[str]()
    heated = rows["delay"][rows.heated]
    if np.ptp(rows["t_pulse"]) <= 1e-6 * rows["t_pulse"].max():
        width = format_si(rows["t_pulse"][0], "s")
        found.append(f"All pulses last {width}, the law of the width is untested: measure a second width.")
    flank = float(np.mean((rows["switches"] > 0) & (rows["switches"] < rows["trials"])))
    if flank < FLANK:
        found.append(f"Only {flank:.0%} of the rows lie between 0 and 100 %: measure voltages on the flank.")
    for name, each in result.estimates.items():
        if each.is_open:
            found.append(f"The data bound {name} on one side only, {each.interval}: measure more pulses.")
        if name.startswith("tau_th") and sd[name] > 0.1 and not heated.min() <= each.value <= heated.max():
            cure = "measure delays from a third of it to three times"
            found.append(f"The delays, {_span(heated)}, do not span {_show(name, each.value)}: {cure}.")
    if good.p_value < POOR:
        wide = max(good.overdispersion, 1) ** 0.5
        found.append(
            f"The law does not fit (p = {good.p_value:.1g}): counts scatter {good.overdispersion:.3g} times as "
            f"much as binomial ones, intervals are too narrow, {wide:.3g} times or more: try other poles, or "
            f"another {'' if len(heated) else 'R_th, '}exponent or tau_0 in the base card."
        )
    return found


def _moves(law: _Law, logs: Floats, free: Indices, covariance: Floats, slopes: Floats) -> Floats:
    """How far estimates move [F, H] if something else is an e-fold larger: -cov J' W slopes, to first order.

    The slopes [H, rows] are those of ln H by the logarithm of what else it is.
    """
    eta, own = law.jacobian(logs, free)
    return np.asarray(-covariance @ (own[0] * law.terms(eta)[2][0]) @ slopes.T)


def _notes(law: _Law, logs: Floats, free: Indices, covariance: Floats) -> tuple[str, ...]:
    """What the estimates are conditional on."""
    device, names = law.device, parameter_names(law.device)
    tau_0, here = device.tau_0, law.eta(logs)
    device.tau_0 = tau_0 * np.exp(1e-6)
    slopes = (law.eta(logs) - here) / 1e-6
    device.tau_0 = tau_0
    away = np.exp(logs[0, free] - np.log(10) * _moves(law, logs, free, covariance, slopes)[:, 0])
    shown = [_show(names[i], float(value)) for i, value in zip(free, away, strict=True) if i < 2]
    notes = [
        f"{_show('tau_0', float(tau_0))} and exponent = {device.b} are those of the base card; a tenth of that "
        f"tau_0 would make {' and '.join(shown)}.",
        "delta and V_c0 of the other state keep the ratio to these that they have in the base card.",
    ]
    resting = "R_AP" if device.resting else "R_P"
    if not np.isfinite(law.rows[resting]).any():
        notes.append(
            f"{_show(resting, float(getattr(device, resting)))} was not read; R_th is proportional to it."
        )
    return tuple(notes)


def load_junction(base: str | Path) -> MTJ:
    """The junction of a card that can be the base of a fit.

    Raises:
        IPNetError: no such card, or one of another device.
    """
    device = load_device(base)
    if not isinstance(device, MTJ):
        raise IPNetError(
            f"the base of a fit must be a card of device 'mtj'; '{device.card.name}' is of "
            f"'{device.card.device}': choose another card."
        )
    return device


@contextmanager
def _one_thread() -> Iterator[None]:
    """Passes are too short to share: on a busy machine, waiting for a second thread takes ten times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def fit(rows: Measurements, base: MTJ, poles: int | None = None) -> Fit:
    """The junction that makes a measurement most likely, as far as the measurement determines it.

    Parameters that the data leave unknown (standard deviation of the logarithm above `LOOSEST`) keep the value of
    the base card, n_K first, and a warning says what to measure. Rows whose counts are impossible under the law
    (Bonferroni's bound at `GROSS`) are left out and named, unless they are more than `MOST_GROSS` of all.

    Args:
        rows: the measurement.
        base: what gives everything else, among it the exponent, tau_0 and the clock; see `load_junction`.
        poles: number of thermal poles, 1 or 2; None for those of the base card.

    Raises:
        IPNetError: the rows determine nothing; the resistances that were read break a rule.

    Example:
        >>> from ipnet.measurement import plan, simulate
        >>> mtj = load_junction("mtj-thermal")
        >>> rows = simulate(mtj, plan(mtj, widths=[1e-7, 1e-6], ambients=[300, 340]), 2000, seed=1)
        >>> found = fit(rows, mtj).estimates["V_c0"]
        >>> found.low < 0.3189 < found.high
        True
    """
    file = _prepare(base, rows, poles)
    device = copy.deepcopy(base) if file == _file(base.card) else _build(file)
    known, heat = logarithms(device), range(3, 3 + 2 * device.poles)
    law = _Law(device, rows, quadrature(4, 2))
    candidates = [0, 1, *[2] * bool(np.ptp(rows["ambient"]) >= APART), *(heat if rows.heated.any() else ())]
    logs, free, kept = _solve(law, np.array(candidates), known)
    unknown = not set(heat) <= set(free.tolist())
    if unknown and device.poles > base.poles:
        simpler = fit(rows, base)
        lost = f"The data do not tell {device.poles} thermal poles apart, {base.poles} is fitted: add delays."
        return replace(simpler, warnings=(lost, *simpler.warnings))
    if not unknown:
        order = np.argsort(logs[0, 3 + device.poles :])
        logs[0, 3:] = logs[0, 3:].reshape(2, -1)[:, order].ravel()
    return _conclude(law, logs, free, kept, file, known)


def _conclude(
    whole: _Law, logs: Floats, free: Indices, kept: NDArray[np.bool_], file: CardFile, known: Floats
) -> Fit:
    """Intervals, goodness, warnings and notes from the rows that were kept."""
    device, rows, names = whole.device, whole.rows, parameter_names(whole.device)
    law = _Law(device, rows.take(kept), whole.rule)
    logs, look = _climb(law, logs, free, np.ones(len(law.rows)))
    covariance, values, bases = _invert(look.curvature[0]), np.exp(logs[0]).tolist(), np.exp(known).tolist()
    sd = np.sqrt(np.diag(covariance))
    ends = np.exp(_intervals(law, logs, free, float(look.value[0])))
    held = [i for i in range(len(names)) if i not in free]
    moved = np.abs(_moves(law, logs, free, covariance, law.jacobian(logs, np.array(held, int))[1][0]))
    estimates = dict[str, Estimate]()
    for at, (i, (low, high)) in enumerate(zip(free.tolist(), ends.tolist(), strict=True)):
        given = [_show(names[j], values[j]) for j, move in zip(held, moved[at], strict=True) if move > sd[at]]
        text = f"for {', '.join(given)}" if given else ""
        estimates[names[i]] = Estimate(names[i], _unit(names[i]), values[i], low, high, bases[i], text)
    eta, p, trials = law.eta(logs)[0], _probability(whole.eta(logs)[0]), rows["trials"]
    gross = [
        Quarantined(
            int(rows.lines[i]),
            f"switches must be near {p[i] * trials[i]:.4g} of {trials[i]:g}, as the other rows say; got "
            f"{rows['switches'][i]:g}",
        )
        for i in np.flatnonzero(~kept)
    ]
    result = Fit(
        base=file,
        device=device,
        estimates=estimates,
        held=tuple(names[i] for i in held),
        correlation=covariance / np.outer(sd, sd),
        rows=law.rows,
        rejected=rows.take(~kept),
        quarantined=tuple(sorted([*rows.quarantined, *gross], key=lambda row: row.line)),
        p=p[kept],
        residuals=np.sign(law.k - law.n * p[kept]) * np.sqrt(law.terms(eta)[0]),
        goodness=_goodness(law, eta, len(free)),
        warnings=(),
        notes=_notes(law, logs, free, covariance),
    )
    install(device, logs[0])
    doubts = _doubts(result, dict(zip(estimates, sd.tolist(), strict=True)))
    return replace(result, warnings=(*_missing(names, values, free, law.rows), *doubts))


def _build(file: CardFile) -> MTJ:
    """The junction of a card that may not have been written yet."""
    return MTJ(make_card(file, MTJ.Parameters, MTJ.Clock))  # type: ignore[arg-type]


def _file(card: Card[Any, Any]) -> CardFile:
    """A card as it would be written."""
    tables: dict[str, dict[str, Any]] = {"parameters": {}, "clock": {}, "variation": {}, "correlation": {}}
    tables["clock"] = {key: value for key, value in card.clock.model_dump().items() if isinstance(value, str)}
    for name, entry in card.entries.items():
        table, _, key = name.partition(".")
        tables[table][key] = entry
    about = {"name": card.name, "device": card.device, "title": card.title, "description": card.description}
    return CardFile.model_validate(about | tables)


def _name(rows: Measurements) -> str:
    return f"{rows.name} (sha256 {rows.digest}, {len(rows)} rows, {int(rows['trials'].sum())} trials)"


def _entry(old: Entry, unit: str, value: Any, interval: tuple[float, float] = (0, 0), **origin: Any) -> Entry:
    """A value in SI as an entry in the unit of another, to 6 digits; the interval as its range if bounded."""
    factor = to_si(1.0, old.unit, unit)
    parts = tuple(float(f"{part / factor:.6g}") for part in np.atleast_1d(value))
    low, high = (float(f"{part / factor:.6g}") for part in interval)
    bounds = (low, high) if 0 < low < high < np.inf else None
    return Entry(value=parts if np.ndim(value) else parts[0], unit=old.unit, range=bounds, **origin)


def _prepare(base: MTJ, rows: Measurements, poles: int | None) -> CardFile:
    """The base card with the resistances that were read and the thermal poles that are wanted.

    R_th is scaled with the resistance of the resting state, so that a pulse heats as it does in the base card; if
    only R_P was read, the TMR is kept.
    """
    file, known = _file(base.card), base.card.parameters
    entries, found = dict(file.parameters), dict[str, float]()
    for key in READS:
        reads = rows[key][np.isfinite(rows[key])]
        if len(reads):
            mean, error = float(reads.mean()), float(reads.std(ddof=min(1, len(reads) - 1)) / len(reads) ** 0.5)
            text = f"mean of {len(reads)} reads, standard error {format_si(error, 'ohm')}, in {_name(rows)}"
            ends = (mean - 1.96 * error, mean + 1.96 * error)
            found[key], entries[key] = mean, _entry(entries[key], "ohm", mean, ends, source=text)
    if "R_P" in found and "R_AP" not in found:
        found["R_AP"] = known.R_AP * found["R_P"] / known.R_P
        entries["R_AP"] = _entry(entries["R_AP"], "ohm", found["R_AP"], assumed=f"the TMR of card '{file.name}'")
    resting = "R_AP" if base.resting else "R_P"
    scale = found.get(resting, getattr(known, resting)) / getattr(known, resting)
    R_th, tau_th = np.array(known.R_th) * scale, np.array(known.tau_th)
    if poles == 1 < len(R_th):
        R_th, tau_th = R_th.sum(keepdims=True), np.exp(np.log(tau_th).mean(keepdims=True))
    elif poles == 2 and len(R_th) == 1:
        R_th, tau_th = R_th[[0, 0]] / 2, tau_th[[0, 0]] * [0.1, 1.0]
    if poles not in (None, len(R_th)):
        raise IPNetError(f"poles must be 1 or 2, or as many as card '{file.name}' has; got {poles}: leave it out.")
    text = f"card '{file.name}', for the same heat with the resistance and the number of poles of the measurement"
    for key, values in (("R_th", R_th), ("tau_th", tau_th)):
        if values.tolist() != list(getattr(known, key)):
            entries[key] = _entry(entries[key], unit_of(MTJ.Parameters, key), values, assumed=text)
    return file.model_copy(update={"parameters": entries})


def fitted_card(result: Fit, name: str) -> CardFile:
    """The base card with the fitted values, each with the measurement as its source and its interval as range.

    Write it with `ipnet.cards.format_card`.

    Args:
        result: of `fit`.
        name: of the card.

    Raises:
        IPNetError: the fitted junction breaks a rule of the base card's clock.
    """
    file, device, entries = result.base, result.device, dict(result.base.parameters)
    source = f"fitted to {_name(result.rows)}"
    for key in ("delta", "V_c0", "n_K", "R_th", "tau_th"):
        state = "_AP" if device.resting and key in ("delta", "V_c0") else ""
        own, found = f"{key}{state}", [each for part, each in result.estimates.items() if part.startswith(key)]
        if not found:
            continue
        value, unit = getattr(device, own).numpy(), unit_of(MTJ.Parameters, own)
        texts = [found[0].interval] if value.size == 1 else [f"{each.name}: {each.interval}" for each in found]
        ends = (found[0].low, found[0].high) if value.size == 1 else (0.0, 0.0)
        entries[own] = _entry(entries[own], unit, value, ends, source=f"{source}, {'; '.join(texts)}")
        if key in ("delta", "V_c0"):
            other = key if state else f"{key}_AP"
            text = f"in the ratio to {own} that it has in card '{file.name}'"
            entries[other] = _entry(entries[other], unit, getattr(device, other).numpy(), assumed=text)
    good = result.goodness
    about = [
        f"Fitted to {_name(result.rows)}; {len(result.quarantined)} rows were left out.",
        f"Deviance {good.deviance:.4g} with {good.dof} degrees of freedom, p = {good.p_value:.2g}.",
    ]
    card = file.model_copy(
        update={
            "name": name,
            "title": f"Junction fitted to {result.rows.name}, otherwise {file.name}",
            "description": "\n".join([*about, *result.warnings, *result.notes, ""]),
            "parameters": entries,
        }
    )
    try:
        _build(card)
    except IPNetError as error:
        raise IPNetError(
            f"the fitted junction must obey the clock of card '{file.name}' ({str(error).rstrip('.')}): write a "
            "copy of that card with another clock and fit with that as base."
        ) from error
    return card
