"""Retention of a single item over a filled interval (Brown-Peterson)."""

import numpy as np

from ipnet.field import Layout
from ipnet.paradigm import (
    Integers,
    Paradigm,
    Pause,
    Performance,
    Recall,
    Show,
    Step,
    distracted,
    require_time,
    some_distractors,
    some_words,
)
from ipnet.recall import Rate, serial_position_curve


class Retention(Paradigm):
    """One word, a distracting task, then its recall.

    Args:
        retention: duration of the task [s].
        filled: whether distractors fill it, one in each whole second, or nothing does.
        seconds_per_item: for which the word is shown [s].
        recall_seconds: time for recall [s].

    References:
        L. R. Peterson, M. J. Peterson, J. Exp. Psychol. 58, 193 (1959); B. B. Murdock, J. Exp. Psychol. 62, 618
        (1961).
    """

    title = "remember one word during a distracting task"

    def __init__(
        self,
        *,
        retention: float = 6.0,
        filled: bool = True,
        seconds_per_item: float = 1.0,
        recall_seconds: float = 10.0,
    ) -> None:
        require_time(retention, "retention must not be negative", "take 0 for none", none=True)
        require_time(seconds_per_item, "a word must be shown")
        require_time(recall_seconds, "recall takes time", "raise recall_seconds")
        self.retention, self.filled = retention, filled
        self.seconds_per_item, self.recall_seconds = seconds_per_item, recall_seconds

    def script(self) -> list[Step]:
        """The word, the task, recall."""
        task = distracted(1, self.retention) if self.filled else [Pause(self.retention)]
        return [Show(0, self.seconds_per_item), *task, Recall(self.recall_seconds)]

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """A word, then distractors."""
        rng = np.random.default_rng((seed, index))
        filled = int(self.retention) * self.filled
        return np.concatenate([some_words(layout, 1, rng), some_distractors(layout, filled, rng)])

    def score(self, performance: Performance) -> dict[str, Rate]:
        """How often the word was named."""
        return {"recalled": serial_position_curve(performance.recalls(1))}

    @property
    def studied(self) -> int:
        """The one word."""
        return 1
