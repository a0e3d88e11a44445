"""Release from proactive interference: words of one category after another, then of a new one."""

import numpy as np

from ipnet.field import Layout
from ipnet.paradigm import (
    Cue,
    Integers,
    Paradigm,
    Performance,
    Show,
    Step,
    distracted,
    require,
    require_time,
    some_distractors,
)
from ipnet.recall import Rate, shares_of


class Release(Paradigm):
    """One word after another is retained over a distracting task; the words before the last are of one category.

    The category is the cue, and its words compete: those of earlier words are still there. The last word is of
    another category, or of the same.

    Args:
        words: one after the other.
        retention: distracting task after each word [s].
        change: whether the last word is of a new category.
        seconds_per_item: for which a word is shown [s].

    References:
        D. D. Wickens, D. G. Born, C. K. Allen, J. Verbal Learn. Verbal Behav. 2, 440 (1963).
    """

    title = "remember one word after another of one category, then of a new one"

    def __init__(
        self, *, words: int = 4, retention: float = 3.0, change: bool = True, seconds_per_item: float = 1.0
    ) -> None:
        require(words >= 1, "there must be 1 word or more", words, "raise words")
        require_time(retention, "retention must not be negative", "take 0 for none", none=True)
        require_time(seconds_per_item, "a word must be shown")
        self.words, self.retention, self.change = words, retention, change
        self.seconds_per_item = seconds_per_item

    def script(self) -> list[Step]:
        """Each word, its distracting task and its recall."""
        steps, column = list[Step](), self.words
        for word in range(self.words):
            steps.append(Show(word, self.seconds_per_item))
            steps += [*distracted(column, self.retention), Cue(word, "category")]
            column += int(self.retention)
        return steps

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """The words, then all distractors."""
        categories = layout.words // layout.category
        require(self.words <= layout.category, "a category must hold the words", self.words, "take fewer words")
        require(categories >= 2, "there must be a new category", categories, "raise the words of the field")
        rng = np.random.default_rng((seed, index))
        first, new = rng.permutation(categories)[:2] * layout.category
        words = first + rng.permutation(layout.category)[: self.words]
        if self.change:
            words[-1] += new - first
        return np.concatenate([words, some_distractors(layout, self.words * int(self.retention), rng)])

    def score(self, performance: Performance) -> dict[str, Rate]:
        """Share of the words that were named, and of earlier words in their place, one after the other."""
        words, named = performance.items[:, : self.words], performance.named
        earlier = [(named[:, [k]] == words[:, :k]).any(1) for k in range(self.words)]
        return {
            "recalled": shares_of(performance.subjects, named == words),
            "earlier_words": shares_of(performance.subjects, np.stack(earlier, 1)),
        }
