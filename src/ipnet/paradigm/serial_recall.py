"""Serial recall: a list of words in its order, with or without distractors between them."""

from typing import Literal

import numpy as np

from ipnet.field import Layout
from ipnet.paradigm import Cue, Integers, Paradigm, Performance, Show, Step, require, require_time
from ipnet.recall import Rate, Recalls, serial_recall_curve, share_of


class SerialRecall(Paradigm):
    """Words in a list, each to be named when its place is asked for, from the first to the last.

    A word at a place is a word of the field, as in n-back; its place is the cue, and all words that can stand
    there compete.

    Args:
        list_length: words in a list, 1 to the number of words of a category.
        seconds_per_item: pace of the presentation [s].
        distractors: spoken after each word.
        kinds: whether the distractors after a word are all ``"different"`` or ``"identical"``.
        seconds_per_distractor: that each takes [s].

    References:
        S. Lewandowsky, S. M. Geiger, D. B. Morrell, K. Oberauer, J. Exp. Psychol. Learn. Mem. Cogn. 36, 958
        (2010); memory span: G. A. Miller, Psychol. Rev. 63, 81 (1956).
    """

    title = "name the words of a list in their order"

    def __init__(
        self,
        *,
        list_length: int = 5,
        seconds_per_item: float = 1.0,
        distractors: int = 0,
        kinds: Literal["different", "identical"] = "different",
        seconds_per_distractor: float = 1.0,
    ) -> None:
        require(list_length >= 1, "a list must have 1 word or more", list_length, "raise list_length")
        require_time(seconds_per_item, "a word must be shown")
        require(distractors >= 0, "distractors must not be negative", distractors, "take 0 for none")
        require_time(seconds_per_distractor, "a distractor takes time")
        self.list_length, self.seconds_per_item, self.distractors = list_length, seconds_per_item, distractors
        self.kinds, self.seconds_per_distractor = kinds, seconds_per_distractor

    def script(self) -> list[Step]:
        """Words, each followed by its distractors; then every place is asked for."""
        L, steps = self.list_length, list[Step]()
        for word in range(L):
            first = L + word * self.distractors
            steps.append(Show(word, self.seconds_per_item))
            steps += [
                Show(column, self.seconds_per_distractor) for column in range(first, first + self.distractors)
            ]
        return [*steps, *(Cue(word, "place") for word in range(L))]

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """Different words, each at its place; distractors."""
        L, known = self.list_length, layout.words // layout.category
        require(layout.category >= L, "every place needs a word", L, f"take {layout.category} at most")
        require(known >= L, "a list needs different words", L, f"take {known} at most")
        rng = np.random.default_rng((seed, index))
        words = rng.permutation(known)[:L] * layout.category + np.arange(L)
        count = 1 if self.kinds == "identical" else self.distractors
        require(count <= layout.distractors, "distractors must differ", count, f"at most {layout.distractors}")
        after = [rng.permutation(layout.distractors)[:count] for _ in range(L)] if self.distractors else []
        spoken = [np.resize(layout.words + chosen, self.distractors) for chosen in after]
        return np.concatenate([words, *spoken]).astype(np.int64)

    def score(self, performance: Performance) -> dict[str, Rate]:
        """Share recalled at each place and in all, and of lists without an error."""
        words = performance.items[:, : self.list_length]
        right = performance.named == words
        answers = np.where(right, np.arange(1, self.list_length + 1), np.where(performance.named < 0, 0, -1))
        return {
            "serial_position": serial_recall_curve(Recalls(self.list_length, answers, performance.subjects)),
            "recalled": share_of(performance.subjects, right),
            "without_error": share_of(performance.subjects, right.all(1, keepdims=True)),
        }
