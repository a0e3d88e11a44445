"""n-back, in columns or in one stream: is this what was shown n steps ago?"""

import numpy as np
from numpy.typing import NDArray

from ipnet.field import Layout
from ipnet.paradigm import Integers, Judge, Paradigm, Performance, Show, Step, require, require_time
from ipnet.recall import Rate, share_of


class NBack(Paradigm):
    """Letters appear in n columns in turn; each is compared with the one before it in its column, n steps ago.

    A letter in a column is a word of the field; the same letter in the n columns are words of one category, so
    that `Layout.overlap` says how badly a letter is bound to its column. A *lure* is a letter that now stands in
    another column; in one stream without columns it is that of n - 1 or n + 1 steps ago. Whoever goes by how warm
    a letter is cannot tell such a one.

    Args:
        n: columns, 1 to the number of words of a category.
        steps: comparisons in a trial.
        matches: share of the steps whose letter is that of n steps ago.
        lures: share of the steps with a lure; where there is none, another letter takes its place.
        columns: whether the letters stand in columns, or follow each other in one place.
        letters: different letters.
        seconds_per_item: for which a letter is seen after it was compared [s].

    References:
        K. Oberauer, J. Exp. Psychol. Learn. Mem. Cogn. 32, 601 (2006).
    """

    title = "is this the letter of n steps ago, the last in this column?"

    def __init__(
        self,
        *,
        n: int = 2,
        steps: int = 20,
        matches: float = 0.5,
        lures: float = 0.2,
        columns: bool = True,
        letters: int = 20,
        seconds_per_item: float = 1.0,
    ) -> None:
        require(n >= 1, "n must be 1 or more", n, "raise n")
        require(steps >= 1, "a trial must have 1 step or more", steps, "raise steps")
        for name, value in (("matches", matches), ("lures", lures)):
            require(0 <= value <= 1, f"{name} must be a share", value, "take a number from 0 to 1")
        require(matches + lures <= 1, "matches and lures are shares of all steps", matches + lures, "lower one")
        require(letters >= n + 2, "some letters must stand in no column", letters, f"take {n + 2} or more")
        require_time(seconds_per_item, "a letter must be seen")
        self.n, self.steps, self.matches, self.lures = n, steps, matches, lures
        self.columns, self.letters, self.seconds_per_item = columns, letters, seconds_per_item

    def script(self) -> list[Step]:
        """The first n letters are only seen; the others are first compared."""
        seen = [Show(step, self.seconds_per_item) for step in range(self.n + self.steps)]
        compared = [part for show in seen[self.n :] for part in (Judge(show.column), show)]
        return [*seen[: self.n], *compared]

    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """Letters, each in its column."""
        room = layout.words // layout.category
        require(self.letters <= room, "every letter needs a category", self.letters, f"take {room} at most")
        require(self.n <= layout.category, "every column needs a word", self.n, f"take {layout.category} at most")
        letters = self.stream(seed, index)
        return letters * layout.category + np.arange(len(letters)) % self.n * self.columns

    def stream(self, seed: int, index: int) -> Integers:
        """The letters of trial `index`, by number [n + steps]."""
        rng = np.random.default_rng((seed, index))
        stream = rng.permutation(self.letters)[: self.n].tolist()
        for draw in rng.random(self.steps):
            own, others = stream[-self.n], [stream[-back] for back in self._lures() if back <= len(stream)]
            lures = [letter for letter in others if letter != own]
            if draw < self.matches:
                stream.append(own)
            elif draw < self.matches + self.lures and lures:
                stream.append(lures[rng.integers(len(lures))])
            else:
                new = [letter for letter in range(self.letters) if letter != own and letter not in others]
                stream.append(new[rng.integers(len(new))])
        return np.array(stream, np.int64)

    def kinds(self, letters: Integers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each compared letter [trials, steps] matches, and whether it is a lure.

        Args:
            letters: [trials, n + steps].
        """
        probe, step = letters[:, self.n :], np.arange(self.n, letters.shape[1])
        match = probe == letters[:, step - self.n]
        others = [(probe == letters[:, step - back]) & (step >= back) for back in self._lures()]
        return match, ~match & np.any(others, 0) if others else np.zeros_like(match)

    def _lures(self) -> list[int]:
        """How many steps ago a lure was shown."""
        return list(range(1, self.n)) if self.columns else [back for back in (self.n - 1, self.n + 1) if back]

    def score(self, performance: Performance) -> dict[str, Rate]:
        """Right answers, hits, and false alarms to lures and to other letters."""
        match, lure = self.kinds(performance.items // performance.layout.category)
        said = performance.strength >= performance.criterion
        return {
            "accuracy": share_of(performance.subjects, said == match),
            "hits": share_of(performance.subjects, said, match),
            "false_alarms": share_of(performance.subjects, said, ~match & ~lure),
            "lure_false_alarms": share_of(performance.subjects, said, lure),
        }
