"""Intervals over groups, against cases that are known without them, and how often they hold the truth."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from ipnet.errors import IPNetError
from ipnet.intervals import paired_ratio, ratio_of_means


def test_many_independent_values_give_the_interval_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(9.0, 2.0, 400)
    mean, low, high = ratio_of_means(values, np.ones(400), range(400))
    half = 1.966 * values.std(ddof=1) / math.sqrt(400)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == (pytest.approx(mean - half, abs=0.01), pytest.approx(mean + half, abs=0.01))


def test_copies_within_a_group_add_nothing() -> None:
    values = np.random.default_rng(2).gamma(2.0, size=30)
    alone = ratio_of_means(values, np.ones(30), range(30))
    seven, ones = np.repeat(values, 7), np.ones(210)
    assert ratio_of_means(seven, ones, np.repeat(np.arange(30), 7)) == pytest.approx(alone)
    taken_for_independent = ratio_of_means(seven, ones, range(210))
    assert taken_for_independent[2] - taken_for_independent[1] < 0.5 * (alone[2] - alone[1])


def test_one_group_has_no_spread_and_no_group_is_refused() -> None:
    assert ratio_of_means(np.array([1.0, 3.0]), np.ones(2), "aa") == (2.0, 2.0, 2.0)
    assert ratio_of_means(np.zeros(2), np.ones(2), "ab") == (0.0, 0.0, 0.0)
    assert all(math.isfinite(end) for end in ratio_of_means(np.array([0.0, 3.0]), np.ones(2), "ab"))
    with pytest.raises(IPNetError, match="a group for each of its values; got 0 of 0"):
        ratio_of_means(np.empty(0), np.empty(0), [])
    with pytest.raises(IPNetError, match="got 3 of 2"):
        ratio_of_means(np.ones(2), np.ones(2), "abc")


def test_errors_in_proportion_differ_by_exactly_their_ratio() -> None:
    errors = np.random.default_rng(3).normal(size=60)
    found = paired_ratio(0.88 * errors, errors, np.arange(60) // 10)
    assert (found.value, found.low, found.high) == (pytest.approx(-0.12),) * 3
    assert (found.n, found.groups, found.unit) == (60, 6, "1")


def test_the_paired_interval_by_hand() -> None:
    # Ratios of the groups: 1/2, 1/2 and 1/4, so logarithms -1, -1 and -2 times ln 2.
    found = paired_ratio([1, -1, 2, 1], [2, 2, -4, 4], "aabc")
    mean, half = -4 / 3, 4.302652729911275 / 3  # t(0.975, 2) times the standard error, 1/3
    expected = [2**power - 1 for power in (mean, mean - half, mean + half)]
    assert [found.value, found.low, found.high] == pytest.approx(expected)


def _held(trial: Callable[[np.random.Generator], bool], count: int = 500) -> float:
    rng = np.random.default_rng(5)
    return sum(trial(rng) for _ in range(count)) / count


@pytest.mark.parametrize("groups", [6, 20])
def test_the_paired_interval_holds_the_truth_as_often_as_it_says(groups: int) -> None:
    """Errors of both models vary between drives log-normally, together and apart; the true ratio is 0.88."""

    def trial(rng: np.random.Generator) -> bool:
        drive = np.repeat(np.arange(groups), 10)
        level = rng.normal(0, 0.4, groups)
        a, b = (
            rng.normal(size=len(drive)) * np.exp(level + rng.normal(0, 0.15, groups))[drive] * scale
            for scale in (0.88, 1.0)
        )
        found = paired_ratio(a, b, drive)
        return found.low <= -0.12 <= found.high

    assert 0.92 < _held(trial) < 0.98


@pytest.mark.parametrize(("groups", "least"), [(6, 0.87), (20, 0.88)])
def test_the_interval_of_one_error_is_wide_enough_for_few_groups(groups: int, least: float) -> None:
    """A mean of log-normal values is hard with few of them; percentiles of a bootstrap hold 76 and 86 %."""

    def trial(rng: np.random.Generator) -> bool:
        squares = np.exp(2 * rng.normal(0, 0.4, groups)) * rng.chisquare(8, groups) / 8
        _, low, high = ratio_of_means(squares, np.ones(groups), range(groups))
        return bool(low <= math.exp(2 * 0.4**2) <= high)

    assert least < _held(trial) < 0.97


@pytest.mark.parametrize(
    ("a", "b", "groups", "message"),
    [
        ([1.0], [1.0, 2.0], "aa", "got 1, 2 and 2: give the same items"),
        ([1.0, 2.0], [1.0, 2.0], "aa", "at least 2 groups; got 1"),
        ([1.0, 2.0], [1.0, 0.0], "ab", "both models must err in every group"),
        ([0.0, 2.0], [1.0, 1.0], "ab", "both models must err in every group"),
    ],
)
def test_what_cannot_be_compared(a: list[float], b: list[float], groups: str, message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        paired_ratio(a, b, groups)
