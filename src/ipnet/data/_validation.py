"""A validation split out of the training recordings of a set that has none."""

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError


def hold_out(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """Choose recordings for validation, the same share of every class and at least one.

    Args:
        labels: the class of each training recording [N].
        share: to be held out, in (0, 1).
        seed: of the choice.

    Returns:
        Their numbers, sorted.

    Raises:
        IPNetError: a share outside (0, 1).

    Example:
        >>> held = hold_out(np.array([0, 1] * 10), 0.2, seed=0)
        >>> held.size, int((held % 2).sum())
        (4, 2)
    """
    if not 0 < share < 1:
        raise IPNetError(f"validation must be a share between 0 and 1; got {share}.")
    shuffled = np.random.default_rng(seed).permutation(labels.size)
    classes = (shuffled[labels[shuffled] == label] for label in np.unique(labels))
    held: NDArray[np.int64] = np.sort(np.concatenate([of[: max(1, round(share * of.size))] for of in classes]))
    return held
