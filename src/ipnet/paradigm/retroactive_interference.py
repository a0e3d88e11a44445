"""Retroactive interference: a list, other lists, then recall of the first."""

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
    require,
    require_time,
    some_words,
)
from ipnet.recall import Rate, intrusions_per_list, mean_recalled, serial_position_curve, share_of


class RetroactiveInterference(Paradigm):
    """Each of several lists is recalled when it was shown; in the end the words of the first are named once more.

    The recall of each list takes its time and is not scored.

    Args:
        list_length: words in each list.
        interpolated_lists: between the first and the end.
        seconds_per_item: pace of the presentation [s].
        between: time for the recall of each list [s].
        recall_seconds: time for recall in the end [s].

    References:
        D. M. Riefer, W. H. Batchelder, Psychol. Rev. 95, 318 (1988).
    """

    title = "name the words of the first of several lists"

    def __init__(
        self,
        *,
        list_length: int = 25,
        interpolated_lists: int = 1,
        seconds_per_item: float = 5.0,
        between: float = 90.0,
        recall_seconds: float = 300.0,
    ) -> None:
        require(list_length >= 1, "a list must have 1 word or more", list_length, "raise list_length")
        require(interpolated_lists >= 0, "the number of lists must not be negative", interpolated_lists, "take 0")
        require_time(seconds_per_item, "a word must be shown")
        require_time(recall_seconds, "recall takes time", "raise recall_seconds")
        self.list_length, self.interpolated_lists = list_length, interpolated_lists
        require_time(between, "between must not be negative", "take 0 for none", none=True)
        self.seconds_per_item, self.between, self.recall_seconds = seconds_per_item, between, recall_seconds

    def script(self) -> list[Step]:
        """Each list and the time for its recall, then the recall that is scored."""
        steps = list[Step]()
        for first in range(0, self.list_length * (1 + self.interpolated_lists), self.list_length):
            shown = range(first, first + self.list_length)
            steps += [*(Show(column, self.seconds_per_item) for column in shown), Pause(self.between)]
        return [*steps, Recall(self.recall_seconds)]

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """Words without repetition, over all lists."""
        count = self.list_length * (1 + self.interpolated_lists)
        return some_words(layout, count, np.random.default_rng((seed, index)))

    def score(self, performance: Performance) -> dict[str, Rate]:
        """Share of the first list that was named, by position and in all; words of other lists are intrusions."""
        recalls = performance.recalls(self.list_length)
        words = performance.items[:, : self.list_length, None]
        return {
            "recalled": share_of(performance.subjects, (words == performance.recalled[:, None]).any(2)),
            "serial_position": serial_position_curve(recalls),
            "mean_recalled": mean_recalled(recalls),
            "intrusions": intrusions_per_list(recalls),
        }

    @property
    def studied(self) -> int:
        """The words of the first list."""
        return self.list_length
