"""What a measurement determines: start, gross errors, and parameters that have to be held."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom, theilslopes

from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.likelihood import CHI2_95, Indices, Law, choose_rule, climb, logarithms, probability
from ipnet.measurement import Floats, Measurements

LOOSEST = 0.5  # standard deviation of a logarithm above which a parameter counts as unknown
GROSS = 1e-3  # chance that any good row of a measurement is taken for a gross error
MOST_GROSS = 0.1  # share of contradicting rows beyond which the law is wrong, and not the rows
_HUBER = 2.0  # deviance residual beyond which a row pulls no harder while the start is sought


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


def _seek(law: Law, free: Indices, known: Floats) -> tuple[Floats, Floats]:
    """Where the likelihood is highest, roughly, whatever a few rows say [1, P]; and the prior's middle [P]."""
    rows = law.rows
    parts = [np.flatnonzero(mask) for mask in (rows.heated, ~rows.heated)]
    few = [part[np.linspace(0, len(part) - 1, min(len(part), 150)).astype(int)] for part in parts]
    some = Law(law.device, rows.take(np.concatenate(few)), law.rule)
    guesses = _guess(law.device, some.rows)
    prior = known.copy()
    prior[free] = np.where(np.isfinite(known), known, guesses[-1])[free]
    starts = np.repeat(prior[None], len(guesses), 0)
    starts[:, free] = guesses[:, free]
    size = np.sqrt(some.terms(some.eta(starts))[0])
    cost = np.where(size > _HUBER, 2 * _HUBER * size - _HUBER**2, size**2).sum(1)
    first = starts[np.argsort(cost, kind="stable")[:4]]
    found, look = climb(some, first, free, np.ones(len(some.rows)), cap=_HUBER, prior=prior)
    best = found[[int(np.argmin(look.value))]]
    return climb(law, best, free, np.ones(len(rows)), cap=_HUBER, prior=prior)[0], prior


def plausible(law: Law, logs: Floats) -> NDArray[np.bool_]:
    """Rows whose counts the law allows: exact binomial tails, Bonferroni's bound for all rows together."""
    p = probability(law.eta(logs)[0])
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


def solve(law: Law, free: Indices, known: Floats) -> tuple[Floats, Indices, NDArray[np.bool_]]:
    """Estimate what the data determine from the rows that the law allows, in turns until both agree.

    What the data leave unknown is held at the base card's value, unless it is n_K or heat, the law fits (deviance
    below twice the rows) and the data contradict that value (chi2 at 95 %).

    Returns:
        Logarithms [1, P], which of them are free, and which rows they are made from.
    """
    count, poles, rejecting, firm = len(law.rows), law.device.poles, True, set[int]()
    logs, prior = _seek(law, free, known)
    law.rule = choose_rule(law, logs)
    kept = plausible(law, logs)
    for _ in range(30):
        if rejecting and (~kept).sum() > MOST_GROSS * count:
            kept, rejecting = np.ones(count, bool), False
        weights = kept.astype(float)
        hold = _unknown(law.covariance(logs, free, weights), free, poles, firm)
        if hold is None:
            logs, _ = climb(law, logs, free, weights)
            hold = _unknown(law.covariance(logs, free, weights), free, poles, firm)
        if hold is None:
            rule, now = choose_rule(law, logs), plausible(law, logs) if rejecting else kept
            if len(rule.times) <= len(law.rule.times) and np.array_equal(now, kept):
                break
            law.rule, kept = max(law.rule, rule, key=lambda rule: len(rule.times)), now
            continue
        if len(free) == 1:
            raise IPNetError(
                f"measurement '{law.rows.name}' must have rows at which 5 to 95 % of the pulses switch; its "
                "counts do not determine any value of the junction: measure several voltages there."
            )
        logs, without = climb(law, logs, free, np.ones(count), cap=_HUBER, prior=prior)
        start, rest = logs.copy(), free[free != hold]
        start[0, hold] = known[hold]
        found, with_it = climb(law, start, rest, np.ones(count), cap=_HUBER, prior=prior)
        fits = without.value[0] < 2 * count
        if hold > 1 and fits and with_it.value[0] - without.value[0] > CHI2_95:
            firm.add(hold)
        else:
            logs, free = found, rest
    return logs, free, kept
