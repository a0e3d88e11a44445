"""Proactive interference: pairs A-B, then pairs A-C; what is A paired with?"""

import numpy as np

from ipnet.field import Layout
from ipnet.paradigm import Cue, Integers, Paradigm, Performance, Show, Step, require, require_time
from ipnet.recall import Rate, share_of


class ProactiveInterference(Paradigm):
    """Pairs with a response B, shown one or several times, then pairs of the same cues with a response C.

    A cue is a category of the field and its responses are words of it, which compete when the cue is given. Both
    responses are asked for, one after the other.

    Args:
        pairs: cues, each with a response B and a response C, one to the number of categories.
        ab_presentations: how often the list of pairs A-B is shown.
        seconds_per_item: for which a pair is shown [s].

    References:
        F. J. DaPolito (1966), in D. M. Riefer, W. H. Batchelder, Psychol. Rev. 95, 318 (1988).
    """

    title = "what was this word paired with, now that it was paired twice?"

    def __init__(self, *, pairs: int = 10, ab_presentations: int = 1, seconds_per_item: float = 2.0) -> None:
        require(pairs >= 1, "there must be 1 pair or more", pairs, "raise pairs")
        require(ab_presentations >= 0, "presentations must not be negative", ab_presentations, "take 0 for none")
        require_time(seconds_per_item, "a pair must be shown")
        self.pairs, self.ab_presentations, self.seconds_per_item = pairs, ab_presentations, seconds_per_item

    def script(self) -> list[Step]:
        """A-B as often as asked, A-C once, then every cue."""
        first, second = range(self.pairs), range(self.pairs, 2 * self.pairs)
        shown = [*list(first) * self.ab_presentations, *second]
        asked = range(2 * self.pairs, 3 * self.pairs)
        cues = [Cue(column, "category", again=again) for column in asked for again in (False, True)]
        return [*(Show(column, self.seconds_per_item) for column in shown), *cues]

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """Responses B, responses C, and the cues in random order, each by its response C."""
        categories = layout.words // layout.category
        require(self.pairs <= categories, "every cue needs a category", self.pairs, f"take {categories} at most")
        require(
            layout.category >= 2, "a cue needs two responses", layout.category, "raise the category of the field"
        )
        rng = np.random.default_rng((seed, index))
        cues = rng.permutation(categories)[: self.pairs] * layout.category
        responses = np.stack([rng.permutation(layout.category)[:2] for _ in cues])
        C = cues + responses[:, 1]
        return np.concatenate([cues + responses[:, 0], C, rng.permutation(C)])

    def score(self, performance: Performance) -> dict[str, Rate]:
        """Share of the cues for which B was named, and C, first or second."""
        n = self.pairs
        B, C, asked = (performance.items[:, part * n : (part + 1) * n] for part in range(3))
        order = (asked[:, :, None] == C[:, None, :]).argmax(2)
        shares = {"B": np.take_along_axis(B, order, 1), "C": asked}
        named = performance.named.reshape(len(asked), n, 2)
        return {
            name: share_of(performance.subjects, (named == words[:, :, None]).any(2))
            for name, words in shares.items()
        }
