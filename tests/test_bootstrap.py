"""The bootstrap over groups, against cases that are known without it."""

import math

import numpy as np
import pytest

from ipnet.bootstrap import bootstrap, paired_bootstrap
from ipnet.errors import IPNetError


def _mean(values: np.ndarray) -> np.ndarray:
    return values[:, 0]


def test_independent_values_give_the_interval_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    mean, low, high = bootstrap(_mean, values[:, None], range(400))
    half = 1.96 * values.std() / math.sqrt(400)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == (pytest.approx(mean - half, abs=0.02), pytest.approx(mean + half, abs=0.02))


def test_copies_within_a_group_add_nothing() -> None:
    values = np.random.default_rng(2).normal(size=30)
    alone = bootstrap(_mean, values[:, None], range(30))
    copied = bootstrap(_mean, np.repeat(values, 7)[:, None], np.repeat(np.arange(30), 7))
    assert copied == pytest.approx(alone)
    taken_for_independent = bootstrap(_mean, np.repeat(values, 7)[:, None], range(210))
    assert taken_for_independent[2] - taken_for_independent[1] < 0.5 * (copied[2] - copied[1])


def test_one_group_has_no_spread_and_no_group_is_refused() -> None:
    assert bootstrap(_mean, np.array([[1.0], [3.0]]), "aa") == (2.0, 2.0, 2.0)
    with pytest.raises(IPNetError, match="a group for each of its values; got 0 of 0"):
        bootstrap(_mean, np.empty((0, 1)), [])
    with pytest.raises(IPNetError, match="got 3 of 2"):
        bootstrap(_mean, np.ones((2, 1)), "abc")


def test_errors_in_proportion_differ_by_exactly_their_ratio() -> None:
    errors = np.random.default_rng(3).normal(size=60)
    found = paired_bootstrap(0.88 * errors, errors, np.arange(60) // 10)
    assert (found.value, found.low, found.high) == (pytest.approx(-0.12),) * 3
    assert (found.n, found.unit) == (60, "1")


def test_the_paired_interval_is_that_of_the_delta_method() -> None:
    # ln(rmse_a / rmse_b) = (ln A - ln B) / 2 with A, B the mean squares; its variance by linearisation.
    rng = np.random.default_rng(4)
    shared = rng.normal(size=2000)
    a, b = shared + 0.3 * rng.normal(size=2000), 1.2 * shared + 0.3 * rng.normal(size=2000)
    terms = (a**2 / np.mean(a**2) - b**2 / np.mean(b**2)) / 2
    ratio = math.sqrt(np.mean(a**2) / np.mean(b**2))
    half = 1.96 * terms.std() / math.sqrt(2000) * ratio
    found = paired_bootstrap(a, b, range(2000))
    assert found.value == pytest.approx(ratio - 1)
    assert (found.low, found.high) == (
        pytest.approx(ratio - 1 - half, abs=0.15 * half),
        pytest.approx(ratio - 1 + half, abs=0.15 * half),
    )


@pytest.mark.parametrize(
    ("a", "b", "groups", "message"),
    [
        ([1.0], [1.0, 2.0], "aa", "got 1, 2 and 2: give the same items"),
        ([1.0, 2.0], [1.0, 2.0], "aa", "at least 2 groups; got 1"),
        ([1.0, 2.0], [1.0, 0.0], "ab", "the second model must err in every group"),
    ],
)
def test_what_cannot_be_compared(a: list[float], b: list[float], groups: str, message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        paired_bootstrap(a, b, groups)
