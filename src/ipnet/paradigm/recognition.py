"""Recognition: which of these words were in the list?"""

import numpy as np

from ipnet.field import Layout
from ipnet.paradigm import (
    Integers,
    Judge,
    Paradigm,
    Performance,
    Show,
    Step,
    distracted,
    require,
    require_time,
    some_distractors,
    some_words,
)
from ipnet.recall import Rate, share_of, shares_of


class Recognition(Paradigm):
    """A list of words, then the same words and as many new ones, each to be called old or new.

    Args:
        list_length: words in the list.
        seconds_per_item: pace of the presentation [s].
        delay: between the last word and the first question, filled with distractors, one per second [s].

    References:
        D. M. Green, J. A. Swets, Signal Detection Theory and Psychophysics, Wiley (1966).
    """

    title = "tell words of a list from others"

    def __init__(self, *, list_length: int = 10, seconds_per_item: float = 1.0, delay: float = 0.0) -> None:
        require(list_length >= 1, "a list must have 1 word or more", list_length, "raise list_length")
        require_time(seconds_per_item, "a word must be shown")
        require_time(delay, "delay must not be negative", "take 0 for none", none=True)
        self.list_length, self.seconds_per_item, self.delay = list_length, seconds_per_item, delay

    def script(self) -> list[Step]:
        """The list, the delay, and the questions."""
        L = self.list_length
        shown = [Show(word, self.seconds_per_item) for word in range(L)]
        return [*shown, *distracted(3 * L, self.delay), *(Judge(L + question) for question in range(2 * L))]

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """The list, the questions in random order, distractors."""
        rng = np.random.default_rng((seed, index))
        words = some_words(layout, 2 * self.list_length, rng)
        filled = some_distractors(layout, int(self.delay), rng)
        return np.concatenate([words[: self.list_length], rng.permutation(words), filled])

    def score(self, performance: Performance) -> dict[str, Rate]:
        """Hits, by position in the list and in all, and false alarms."""
        L = self.list_length
        asked, listed = performance.items[:, L : 3 * L], performance.items[:, :L]
        old = asked[:, :, None] == listed[:, None, :]
        said = performance.strength >= performance.criterion
        by_position = np.take_along_axis(said, old.argmax(1), 1)  # every word is asked for once
        return {
            "hits_by_position": shares_of(performance.subjects, by_position),
            "hits": share_of(performance.subjects, said, old.any(2)),
            "false_alarms": share_of(performance.subjects, said, ~old.any(2)),
        }
