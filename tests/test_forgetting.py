"""Forgetting curves: published fits, curves that are known exactly, and scipy's general least squares."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from ipnet.errors import IPNetError
from ipnet.forgetting import fit_forgetting

SECONDS = np.array([1, 3, 6, 9, 12, 18])
RECALLED = [0.94, 0.77, 0.40, 0.26, 0.24, 0.16]  # Murdock 1961


def test_the_fits_of_myung_2003() -> None:
    """Least squares of ``a exp(-t / tau)`` and ``a t^-b``, J. Math. Psychol. 47, 90, section on the example."""
    exponential, _ = fit_forgetting(SECONDS, RECALLED)
    assert (round(exponential.a, 3), round(1 / exponential.tau, 3)) == (1.092, 0.141)
    _, power = fit_forgetting(SECONDS - 1, RECALLED)
    assert (round(power.a, 3), round(power.b, 3)) == (1.003, 0.511)


@pytest.mark.parametrize("seed", range(5))
def test_scipy_finds_the_same_curves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0, 30, 9))
    p = 0.9 * np.exp(-t / rng.uniform(3, 20)) + rng.normal(0, 0.05, 9)
    for law, mine in zip(
        (lambda t, a, k: a * np.exp(-k * t), lambda t, a, k: a * (1 + t) ** -k), fit_forgetting(t, p), strict=True
    ):
        theirs = law(t, *curve_fit(law, t, p, p0=(1, 0.2))[0])
        np.testing.assert_allclose(mine.at(t), theirs, atol=1e-5)
        assert mine.rmse == pytest.approx(math.sqrt(np.mean((theirs - p) ** 2)))
        assert mine.r == pytest.approx(np.corrcoef(theirs, p)[0, 1], abs=1e-5)


@given(st.floats(0.1, 3), st.floats(0.5, 200), st.floats(0.05, 3))
def test_exact_curves_are_found_again(a: float, tau: float, b: float) -> None:
    exponential, _ = fit_forgetting(SECONDS, a * np.exp(-SECONDS / tau))
    assert (exponential.a, exponential.tau) == (pytest.approx(a, rel=1e-4), pytest.approx(tau, rel=1e-4))
    assert exponential.r == pytest.approx(1)
    _, power = fit_forgetting(SECONDS, a * (1.0 + SECONDS) ** -b)
    assert (power.a, power.b) == (pytest.approx(a, rel=1e-4), pytest.approx(b, rel=1e-4))
    assert power.rmse < 1e-5 * a


@given(st.floats(1e-9, 1e9))
def test_the_unit_of_time_is_that_of_tau(unit: float) -> None:
    seconds, other = (fit_forgetting(SECONDS * factor, RECALLED)[0] for factor in (1, unit))
    assert other.tau == pytest.approx(seconds.tau * unit, rel=1e-5)
    assert (other.a, other.rmse) == (pytest.approx(seconds.a, rel=1e-5), pytest.approx(seconds.rmse))


@pytest.mark.parametrize("p", [[0.5, 0.5, 0.5, 0.5], [0.4, 0.4, 0.6, 0.6]])
def test_what_does_not_fall_has_no_time_constant(p: list[float]) -> None:
    exponential, power = fit_forgetting([0, 1, 2, 5], p)
    assert (exponential.a, exponential.tau) == (pytest.approx(0.5), math.inf)
    assert (power.a, power.b) == (pytest.approx(0.5), 0)
    assert math.isnan(exponential.r)
    assert exponential.at([0, 7]).tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("t", "p", "message"),
    [
        ([0, 1, 1], [1, 0.5, 0.5], r"at each of 3 different times or more; got t \[3\], p \[3\] and 2 different"),
        ([0, 1, 2], [1, 0.5], r"got t \[3\], p \[2\]"),
        ([0, 1, -2], [1, 0.5, 0.2], "times must be 0 or more and all values finite"),
        ([0, 1, 2], [1, math.nan, 0.2], "all values finite"),
        ([0, 1, 2], [1, 0, 0], "falls too steeply for the times it was measured at"),
    ],
)
def test_what_cannot_be_fitted(t: list[float], p: list[float], message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        fit_forgetting(t, p)
