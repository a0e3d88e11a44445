"""Signal detection: how well old items are told from new ones, and how readily they are called old."""

from typing import NamedTuple

from scipy.stats import norm

from ipnet.errors import IPNetError


class Detection(NamedTuple):
    """Sensitivity and criterion of yes-no answers, in standard deviations of the evidence.

    Args:
        d_prime: distance of old from new items; 0 is chance.
        criterion: c; above 0 for a leaning to "new", 0 for none.
    """

    d_prime: float
    criterion: float


def d_prime(hits: int, n_old: int, false_alarms: int, n_new: int) -> Detection:
    """``d' = z(H) - z(F)`` and ``c = -(z(H) + z(F)) / 2`` with the log-linear correction.

    ``H = (hits + 1/2) / (n_old + 1)`` and ``F = (false_alarms + 1/2) / (n_new + 1)``, of all rates and not only of
    0 and 1, so that d' is finite and little biased; z is the inverse of the normal distribution.

    Args:
        hits: old items that were called old.
        n_old: old items, 1 or more.
        false_alarms: new items that were called old.
        n_new: new items, 1 or more.

    Raises:
        IPNetError: more answers than items, a negative count, or no items.

    References:
        M. J. Hautus, Behav. Res. Methods Instrum. Comput. 27, 46 (1995).

    Example:
        >>> sensitivity, criterion = d_prime(20, 20, 0, 20)
        >>> round(sensitivity, 3), round(abs(criterion), 3)
        (3.962, 0.0)
    """
    for what, count, n in ("hits", hits, n_old), ("false alarms", false_alarms, n_new):
        if n < 1 or not 0 <= count <= n:
            raise IPNetError(f"{what} must be 0 to the number of items, 1 or more of them; got {count} of {n}.")
    hit, false = (float(norm.ppf((count + 0.5) / (n + 1))) for count, n in ((hits, n_old), (false_alarms, n_new)))
    return Detection(hit - false, -(hit + false) / 2)
