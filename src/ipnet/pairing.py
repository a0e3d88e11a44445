"""Paired comparisons of contenders: who is right more often on the same recordings.

The test is exact and conservative: its unit is the recording. For each recording, the right answers of
either side are counted over seeds and over the recording's time-reversed copy; recordings whose counts differ
enter a two-sided sign test (McNemar's test, if there is one seed and one copy). One recording seen by three
networks is thus one observation, not three. The test speaks about these networks on new recordings; the
interval over seeds speaks about new networks.
"""

import math
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ipnet.results import Estimate, Result, holm, mcnemar, mean_interval, recording_of

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Paired:
    """A paired comparison of one contender with another.

    Args:
        other: the other.
        better: recordings on which the first was right more often.
        worse: recordings on which it was right less often.
        n: recordings that both saw.
        p: p-value, Holm-corrected where several were compared.
        difference: with its 95 % interval, Student's t over recordings: of answers, the difference in accuracy; of
            measured quantities, the relative difference of the error, negative if the first is better.
        ratio: errors of the first over those of the other on the seeds and items that both have: error rates, or
            RMSE of all items; inf if only the other makes none, 1 if neither makes any.
    """

    other: str
    better: int
    worse: int
    n: int
    p: float
    difference: Estimate
    ratio: float

    @property
    def relation(self) -> str:
        """In words: ``"better than"``, ``"worse than"`` or ``"not separated from"``.

        Small wins on many recordings beside large losses on few separate nothing.
        """
        if self.p >= SIGNIFICANCE or self.leads != self.is_ahead:
            return "not separated from"
        return "better than" if self.leads else "worse than"

    @property
    def leads(self) -> bool:
        """Whether the first did better, by what the test is about: here, on more recordings."""
        return self.better > self.worse

    @property
    def is_ahead(self) -> bool:
        """Whether the difference speaks for the first."""
        return self.difference.value > 0


P = TypeVar("P", bound=Paired)


def answers_of(result: Result) -> dict[tuple[int, str], bool]:
    """Whether each (seed, item) of a run was predicted right."""
    items, truth, predicted = (result.predictions[key] for key in ("item", "truth", "predicted"))
    return {(result.seed, item): y == guess for item, y, guess in zip(items, truth, predicted, strict=True)}


def ratio_of(errors: float, others: float) -> float:
    """How many times as large the errors of one are; two that make none are alike.

    Example:
        >>> ratio_of(6, 2), ratio_of(1, 0), ratio_of(0, 0)
        (3.0, inf, 1.0)
    """
    if others == 0:
        return 1.0 if errors == 0 else math.inf
    return errors / others


def paired(first: Sequence[Result], second: Sequence[Result]) -> Paired:
    """The exact sign test over recordings (see the module) on the seeds and clips that both sides have."""
    one, other = (ChainMap(*map(answers_of, results)) for results in (first, second))
    leads: dict[str, list[int]] = {}
    each_saccade = first[0].config["data"].get("saccade") == "each"  # three clips of one recording
    shared = sorted(one.keys() & other.keys())  # in one order, or sums would round differently
    for key in shared:
        clip = recording_of(key[1])
        leads.setdefault(clip.rpartition("/")[0] if each_saccade else clip, []).append(one[key] - other[key])
    lead = [sum(of) / len(of) for of in leads.values()]
    better, worse = sum(v > 0 for v in lead), sum(v < 0 for v in lead)
    value, low, high = mean_interval(lead) if lead else (0.0, -1.0, 1.0)
    items = sum(map(len, leads.values()))
    difference = Estimate(value=value, low=low, high=high, n=items, unit="1", groups=len(lead))
    ratio = ratio_of(*(sum(not answers[key] for key in shared) for answers in (one, other)))
    return Paired(second[0].contender, better, worse, len(lead), mcnemar(better, worse), difference, ratio)


def corrected(tests: Sequence[P]) -> list[P]:
    """The same tests with their p-values Holm-corrected over all of them."""
    return [replace(test, p=p) for test, p in zip(tests, holm([test.p for test in tests]), strict=True)]


def in_words(tests: Sequence[Paired]) -> str:
    """Which others the first is better than, not separated from, and worse than."""
    relations = "better than", "not separated from", "worse than"
    groups = {relation: [test.other for test in tests if test.relation == relation] for relation in relations}
    return "; ".join(f"{relation} {', '.join(others)}" for relation, others in groups.items() if others)
