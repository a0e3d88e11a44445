"""Paradigms: tasks by which memory is studied, one per file; what is shown, what is asked, how it is scored.

Drop a file with one `Paradigm` here and it is found, listed, run and tested.
"""

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.field import Layout
from ipnet.recall import Rate, Recalls
from ipnet.registry import Registry

LONGEST = 1e5  # s, of anything
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Show:
    """The item of a column is seen for some seconds."""

    column: int
    seconds: float


@dataclass(frozen=True)
class Pause:
    """Nothing happens for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Judge:
    """How strongly the item of a column is remembered, asked in one cycle."""

    column: int


@dataclass(frozen=True)
class Recall:
    """Whatever comes to mind is named, for so many seconds at most."""

    seconds: float


@dataclass(frozen=True)
class Cue:
    """One word is asked for by what the item of a column has in common with others, in one cycle.

    Args:
        column: of the item.
        by: its ``"category"``, or its ``"place"`` in the category (a column of n-back, a place of a list).
        again: whether another word is wanted than that of the cue before.
    """

    column: int
    by: Literal["category", "place"]
    again: bool = False


Step = Show | Pause | Judge | Cue | Recall


@dataclass(frozen=True, eq=False)
class Performance:
    """What was answered in many trials.

    Args:
        items: what was in each column [trials, columns].
        strength: z of the items that were judged [trials, judgements].
        named: words that were named when one was asked for [trials, cues], -1 for none.
        recalled: words in the order in which they were named [trials, answers], -1 for none.
        subjects: whose trial it was [trials].
        criterion: z from which on an item is called old.
        layout: of the field.
    """

    items: Integers
    strength: Floats
    named: Integers
    recalled: Integers
    subjects: Integers
    criterion: float
    layout: Layout

    def recalls(self, studied: int) -> Recalls:
        """The words that came to mind, by their place among the first `studied` columns."""
        hit = self.recalled[:, :, None] == self.items[:, None, :studied]
        place = np.where(hit.any(2), hit.argmax(2) + 1, -1)
        return Recalls(studied, np.where(self.recalled < 0, 0, place), self.subjects)


class Paradigm(abc.ABC):
    """A task; the constructor takes its parameters by keyword, each with a default.

    The contract, checked by `ipnet.contracts.check_paradigm`: `items` is a pure function of (seed, index), in any
    order and in any process; every column that a step names exists; the numbers of the items lie within the
    words and distractors it was given.

    Attributes:
        title: one line that says what is asked.
    """

    title: ClassVar[str]

    @abc.abstractmethod
    def script(self) -> list[Step]:
        """What happens in a trial, in order; the same in all trials."""

    @abc.abstractmethod
    def items(self, layout: Layout, seed: int, index: int) -> Integers:
        """What is in each column of trial `index` [columns]: words 0 <= i < words, distractors from there on.

        Raises:
            IPNetError: too few words for a trial.
        """

    @abc.abstractmethod
    def score(self, performance: Performance) -> dict[str, Rate]:
        """The curves that the field draws, by name; those of people have the same names."""

    @property
    def studied(self) -> int | None:
        """How many of the first columns are the list that is recalled; None for a paradigm without recall."""
        return None

    def parameters(self) -> dict[str, Any]:
        """The values of the parameters, by name."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


PARADIGMS: Registry[Paradigm] = Registry("paradigm", __name__, Paradigm)


def require(holds: bool, rule: str, value: object, cure: str) -> None:
    """Refuse a parameter of a paradigm.

    Raises:
        IPNetError: it does not hold.
    """
    if not holds:
        raise IPNetError(f"{rule}; got {value}: {cure}.")


def require_time(seconds: float, rule: str, cure: str = "raise it", *, none: bool = False) -> None:
    """Refuse a time that is not positive, or with `none` negative, or longer than `LONGEST`.

    Raises:
        IPNetError: it is.
    """
    require((seconds >= 0 if none else seconds > 0) and seconds <= LONGEST, rule, f"{seconds} s", cure)


def some_words(layout: Layout, count: int, rng: np.random.Generator) -> Integers:
    """Different words, at random.

    Raises:
        IPNetError: the field has fewer.
    """
    require(count <= layout.words, f"a trial needs {count} words", layout.words, "raise the words of the field")
    return rng.permutation(layout.words)[:count]


def some_distractors(layout: Layout, count: int, rng: np.random.Generator) -> Integers:
    """Distractors, at random.

    Raises:
        IPNetError: the field has none.
    """
    known = layout.distractors
    require(known > 0 or not count, "a filled time needs distractors", known, "raise the field's distractors")
    return layout.words + rng.integers(0, max(known, 1), count)


def distracted(first: int, seconds: float) -> list[Step]:
    """A time filled with distractors, one in each whole second, from the column `first` on.

    Example:
        >>> distracted(7, 2.5)
        [Show(column=7, seconds=1.0), Show(column=8, seconds=1.0), Pause(seconds=0.5)]
    """
    whole = int(seconds)
    steps: list[Step] = [Show(first + i, 1.0) for i in range(whole)]
    return [*steps, Pause(seconds - whole)] if seconds > whole else steps
