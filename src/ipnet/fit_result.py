"""What a fit says: estimates with intervals, and how well the law describes the counts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from scipy.stats import binom, chi2

from ipnet.cards import CardFile
from ipnet.device.mtj import MTJ
from ipnet.likelihood import Law, probability
from ipnet.measurement import Floats, Measurements, Quarantined
from ipnet.units import format_si


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


def goodness_of(law: Law, eta: Floats, fitted: int) -> Goodness:
    """At ln H of each row, with so many fitted parameters."""
    mean, variance = (float(part.sum()) for part in _moments(law.n, eta))
    expected, spread = max(mean - fitted, 1e-9), max(variance - 2 * fitted, 1e-9)
    deviance, p = float(law.terms(eta)[0].sum()), probability(eta)
    pearson = float(((law.k - law.n * p) ** 2 / np.maximum(law.n * p * (1 - p), 1e-300)).sum())
    dof = len(law.n) - fitted
    if dof <= 0:
        return Goodness(deviance, pearson, dof, 1.0, 1.0)
    p_value = float(chi2.sf(2 * deviance * expected / spread, 2 * expected**2 / spread))
    return Goodness(deviance, pearson, dof, p_value, deviance / expected)
