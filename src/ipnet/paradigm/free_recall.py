"""Free recall: a list of words is shown, then named in any order."""

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
    require,
    require_time,
    some_distractors,
    some_words,
)
from ipnet.recall import (
    Rate,
    intrusions_per_list,
    lag_crp,
    mean_recalled,
    probability_first_recall,
    serial_position_curve,
)


class FreeRecall(Paradigm):
    """Words one after the other, then recall in any order.

    Args:
        list_length: words in a list.
        seconds_per_item: pace of the presentation [s].
        delay: between the last word and recall [s].
        filled: whether distractors fill the delay, one in each whole second, or nothing does.
        distractor: after each word, seconds filled with distractors (continual distractor) [s].
        recall_seconds: time for recall [s]; Murdock gave 90.

    References:
        B. B. Murdock, J. Exp. Psychol. 64, 482 (1962); filled delay: M. Glanzer, A. R. Cunitz, J. Verbal Learn.
        Verbal Behav. 5, 351 (1966); continual distractor: R. A. Bjork, W. B. Whitten, Cogn. Psychol. 6, 173
        (1974).
    """

    title = "name the words of a list in any order"

    def __init__(
        self,
        *,
        list_length: int = 20,
        seconds_per_item: float = 1.0,
        delay: float = 0.0,
        filled: bool = True,
        distractor: float = 0.0,
        recall_seconds: float = 90.0,
    ) -> None:
        require(list_length >= 1, "a list must have 1 word or more", list_length, "raise list_length")
        for name, value in (("delay", delay), ("distractor", distractor)):
            require_time(value, f"{name} must not be negative", "take 0 for none", none=True)
        require_time(seconds_per_item, "a word must be shown")
        require_time(recall_seconds, "recall takes time", "raise recall_seconds")
        self.list_length, self.seconds_per_item, self.delay = list_length, seconds_per_item, delay
        self.filled, self.distractor, self.recall_seconds = filled, distractor, recall_seconds

    def script(self) -> list[Step]:
        """Words, with distractors after each, then the delay, then recall."""
        steps: list[Step] = []
        column = self.list_length
        for word in range(self.list_length):
            steps.append(Show(word, self.seconds_per_item))
            steps += distracted(column, self.distractor)
            column += int(self.distractor)
        delay = distracted(column, self.delay) if self.filled else [Pause(self.delay)]
        return [*steps, *delay, Recall(self.recall_seconds)]

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """Words without repetition; distractors at random."""
        rng = np.random.default_rng((seed, index))
        chosen = some_words(layout, self.list_length, rng)
        filled = int(self.distractor) * self.list_length + int(self.delay) * self.filled
        return np.concatenate([chosen, some_distractors(layout, filled, rng)])

    def score(self, performance: Performance) -> dict[str, Rate]:
        """Serial positions, first recalls, lags, and how many words and intrusions."""
        recalls = performance.recalls(self.list_length)
        return {
            "serial_position": serial_position_curve(recalls),
            "probability_first_recall": probability_first_recall(recalls),
            "lag_crp": lag_crp(recalls),
            "mean_recalled": mean_recalled(recalls),
            "intrusions": intrusions_per_list(recalls),
        }

    @property
    def studied(self) -> int:
        """The words of the list."""
        return self.list_length
