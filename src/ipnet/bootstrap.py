"""Intervals of what is not a share, an error in degrees say: the bootstrap over groups that belong together."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.results import CONFIDENCE, Estimate

_RESAMPLES = 2000


def bootstrap(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    values: NDArray[np.float64],
    groups: Sequence[object] | NDArray[Any],
) -> tuple[float, float, float]:
    """A function of means and its 95 % percentile interval, found by drawing whole groups with replacement.

    Args:
        statistic: from means [R, K] to one number each [R].
        values: what to take the means of [N, K], N >= 1.
        groups: the group of each row; rows of one group are drawn together, because they are not independent.

    Returns:
        The statistic of all rows, and the ends of its interval; both equal it if there is one group alone. The
        same values give the same interval.

    Raises:
        IPNetError: no values, or groups of another number.

    References:
        B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; of whole clusters: A. C.
        Davison, D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.

    Example:
        >>> value, low, high = bootstrap(lambda mean: mean[:, 0], np.arange(10.0)[:, None], range(10))
        >>> value, 2.0 < low < 3.5, 5.5 < high < 7.0
        (4.5, True, True)
    """
    if len(values) < 1 or len(groups) != len(values):
        raise IPNetError(f"a bootstrap needs a group for each of its values; got {len(groups)} of {len(values)}.")
    number = np.unique(np.asarray(list(groups)), return_inverse=True)[1]
    counted = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    sums = np.zeros((int(number.max()) + 1, counted.shape[1]))
    np.add.at(sums, number, counted)
    draws = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), _RESAMPLES)
    totals = np.concatenate([sums.sum(0, keepdims=True), draws @ sums])
    found = statistic(totals[:, :-1] / totals[:, -1:])
    low, high = np.quantile(found[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(found[0]), float(low), float(high)


def paired_bootstrap(
    errors_a: Sequence[float] | NDArray[np.float64],
    errors_b: Sequence[float] | NDArray[np.float64],
    groups: Sequence[object] | NDArray[Any],
) -> Estimate:
    """How much larger the root mean square of `errors_a` is than that of `errors_b`: ``rmse_a / rmse_b - 1``.

    Args:
        errors_a: prediction minus truth of one model on N items, any unit.
        errors_b: of another model on the same items, in the same unit.
        groups: the drive, or block of a drive, of each item; both models are resampled together, group by group.

    Returns:
        The relative difference [1], negative if the first is better, with its 95 % percentile interval.

    Raises:
        IPNetError: numbers of errors that differ, fewer than two groups, or a second model without any error.

    Example:
        >>> paired_bootstrap([1, -2, 3, 4], [2, -4, 6, 8], "aabb").value
        -0.5
    """
    if not len(errors_a) == len(errors_b) == len(groups):
        raise IPNetError(
            "a paired bootstrap needs both errors and the group of each item; got "
            f"{len(errors_a)}, {len(errors_b)} and {len(groups)}: give the same items in the same order."
        )
    if len(set(groups)) < 2:
        raise IPNetError(f"a paired bootstrap needs at least 2 groups; got {len(set(groups))}: take more drives.")
    squares = np.square(np.stack([errors_a, errors_b], axis=1).astype(np.float64))
    drives = np.array([str(group) for group in groups])
    if any(not squares[drives == drive, 1].any() for drive in set(drives)):
        raise IPNetError("the second model must err in every group; it does not: compare RMSE.")
    value, low, high = bootstrap(lambda mean: np.sqrt(mean[:, 0] / mean[:, 1]) - 1, squares, drives)
    return Estimate(value=value, low=low, high=high, n=len(drives), unit="1")
