"""Similarity: how often a new word is taken for one of a list that it resembles."""

import numpy as np

from ipnet.field import Layout
from ipnet.paradigm import Integers, Judge, Paradigm, Performance, Show, Step, require, require_time
from ipnet.recall import Rate, share_of


class Similarity(Paradigm):
    """A list of words, then questions about them, about new words that resemble them, and about other new words.

    Words of one category resemble each other by `Layout.overlap`: with none there is nothing to be mistaken.

    Args:
        list_length: words in the list, each of a category of its own; at most half of the categories.
        seconds_per_item: pace of the presentation [s].

    References:
        H. L. Roediger, K. B. McDermott, J. Exp. Psychol. Learn. Mem. Cogn. 21, 803 (1995).
    """

    title = "tell words of a list from new ones that resemble them"

    def __init__(self, *, list_length: int = 5, seconds_per_item: float = 1.0) -> None:
        require(list_length >= 1, "a list must have 1 word or more", list_length, "raise list_length")
        require_time(seconds_per_item, "a word must be shown")
        self.list_length, self.seconds_per_item = list_length, seconds_per_item

    def script(self) -> list[Step]:
        """The list, then the questions."""
        L = self.list_length
        shown = [Show(word, self.seconds_per_item) for word in range(L)]
        return [*shown, *(Judge(L + question) for question in range(3 * L))]

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """The list, then old words, words that resemble them, and others, in random order."""
        L, known = self.list_length, layout.words // layout.category
        require(known >= 2 * L, "half of the categories must be new", L, f"take {known // 2} at most")
        require(layout.category >= 2, "a word needs another that it resembles", layout.category, "raise category")
        rng = np.random.default_rng((seed, index))
        first = rng.permutation(known)[: 2 * L] * layout.category
        places = np.stack([rng.permutation(layout.category)[:2] for _ in range(2 * L)], 1)
        listed, alike, other = first[:L] + places[0, :L], first[:L] + places[1, :L], first[L:] + places[0, L:]
        return np.concatenate([listed, rng.permutation(np.concatenate([listed, alike, other]))])

    def score(self, performance: Performance) -> dict[str, Rate]:
        """Hits, and false alarms to words that resemble old ones and to others."""
        listed, asked = performance.items[:, : self.list_length], performance.items[:, self.list_length :]
        old = (asked[:, :, None] == listed[:, None]).any(2)
        category = performance.layout.category
        alike = (asked[:, :, None] // category == listed[:, None] // category).any(2) & ~old
        said = performance.strength >= performance.criterion
        return {
            "hits": share_of(performance.subjects, said, old),
            "similar_false_alarms": share_of(performance.subjects, said, alike),
            "false_alarms": share_of(performance.subjects, said, ~old & ~alike),
        }
