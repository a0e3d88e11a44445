"""Retroactive interference: a list, other lists, then recall of the first."""

import numpy as np

from ipnet.field import Layout
from ipnet.paradigm import Integers, Paradigm, Performance, Recall, Show, Step, require, some_words
from ipnet.paradigm.free_recall import recalls_of
from ipnet.recall import Rate, Recalls, intrusions_per_list, mean_recalled, serial_position_curve, share_of


class RetroactiveInterference(Paradigm):
    """Words of a first list are named after other lists were shown.

    Args:
        list_length: words in each list.
        interpolated_lists: between the first and its recall.
        seconds_per_item: pace of the presentation [s].
        recall_seconds: time for recall [s].

    References:
        D. M. Riefer, W. H. Batchelder, Psychol. Rev. 95, 318 (1988).
    """

    title = "name the words of the first of several lists"

    def __init__(
        self,
        *,
        list_length: int = 25,
        interpolated_lists: int = 1,
        seconds_per_item: float = 1.0,
        recall_seconds: float = 90.0,
    ) -> None:
        require(list_length >= 1, "a list must have 1 word or more", list_length, "raise list_length")
        require(interpolated_lists >= 0, "the number of lists must not be negative", interpolated_lists, "take 0")
        require(seconds_per_item > 0, "a word must be shown for a while", f"{seconds_per_item} s", "raise it")
        require(recall_seconds > 0, "recall takes time", f"{recall_seconds} s", "raise recall_seconds")
        self.list_length, self.interpolated_lists = list_length, interpolated_lists
        self.seconds_per_item, self.recall_seconds = seconds_per_item, recall_seconds

    def script(self) -> list[Step]:
        """All lists, then recall."""
        shown = range(self.list_length * (1 + self.interpolated_lists))
        return [*(Show(column, self.seconds_per_item) for column in shown), Recall(self.recall_seconds)]

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """Words without repetition, over all lists."""
        count = self.list_length * (1 + self.interpolated_lists)
        return some_words(layout, count, np.random.default_rng((seed, index)))

    def score(self, performance: Performance) -> dict[str, Rate]:
        """Share of the first list that was named, by position and in all; words of other lists are intrusions."""
        recalls = self.recalls(performance)
        words = performance.items[:, : self.list_length, None]
        return {
            "recalled": share_of(performance.subjects, (words == performance.recalled[:, None]).any(2)),
            "serial_position": serial_position_curve(recalls),
            "mean_recalled": mean_recalled(recalls),
            "intrusions": intrusions_per_list(recalls),
        }

    def recalls(self, performance: Performance) -> Recalls:
        """By position in the first list."""
        return recalls_of(performance, self.list_length)
