"""What robustness says: the intrinsic contender against each other; does recurrent memory accumulate noise?

Two questions with one answer each, both paired by seed. Who does better at the largest level: the exact sign test
over recordings of `ipnet.pairing`, for a regression the t test over groups of `ipnet.prediction_error`. Who
loses more per level: the difference of the relative slopes, Student's t over seeds (each seed gives one
difference; a normal distribution of them is assumed, because no exact test of five seeds can reach p < 0.05). Both
are Holm-corrected over the contenders within a perturbation, not over perturbations.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import BaseModel
from scipy import stats

from ipnet.errors import IPNetError
from ipnet.pairing import SIGNIFICANCE, Paired, corrected, paired
from ipnet.perturbation import PERTURBATIONS
from ipnet.prediction_error import compare_errors
from ipnet.results import Result, holm, mean_interval
from ipnet.robustness_curve import Curve, Tested, curves, perturbations, shared_levels
from ipnet.standing import Seeds, chosen

RECURRENT = ("rnn", "gru", "lstm", "convlstm")
CARRIED = "early_noise - late_noise"  # what early noise costs beyond late noise: the memory carried it on

Slopes = dict[str, dict[str, Mapping[int, float]]]  # relative, by perturbation, contender and seed


@dataclass(frozen=True)
class Difference:
    """The relative slope of the intrinsic contender minus that of a recurrent one.

    Args:
        perturbation: its name, or `CARRIED`.
        other: the recurrent contender.
        value: mean over seeds [% of what each knew, per unit of level].
        low: lower end of the 95 % interval, Student's t over seeds.
        high: upper end.
        seeds: that both have.
        p: of no difference, Holm-corrected over the recurrent contenders; nan below two seeds, or if all of them
            say the same to the last digit: then nothing is known of their spread.
    """

    perturbation: str
    other: str
    value: float
    low: float
    high: float
    seeds: int
    p: float

    @property
    def verdict(self) -> str:
        """In words: the other ``"accumulates"`` (it loses more), is ``"not separated"``, or ``"opposite"``."""
        if not self.p < SIGNIFICANCE:  # nan, too
            return "not separated"
        return "accumulates" if self.value < 0 else "opposite"


@dataclass(frozen=True)
class Match:
    """The intrinsic contender against another at the largest level of a perturbation.

    Args:
        perturbation: its name.
        level: the largest that all runs share.
        other: the other contender.
        test: of the answers or of the errors, Holm-corrected over the others; None if a regression has one group
            of clips, or one without any error.
    """

    perturbation: str
    level: float
    other: str
    test: Paired | None

    @property
    def relation(self) -> str:
        """In words: ``"better than"``, ``"worse than"`` or ``"not separated from"``."""
        return self.test.relation if self.test else "not separated from"


@dataclass(frozen=True)
class Verdict:
    """Everything that a study says about robustness.

    Args:
        curves: of `ipnet.robustness_curve.curves`.
        reference: the intrinsic contender with the best validation score, as in the report; None without one.
        matches: of it against each other contender.
        differences: of its slopes from those of each recurrent contender.
        carried: relative slope under early noise minus that under late noise, by contender: mean and 95 % interval
            over seeds. Above 0, the memory carries noise on; at 0, it has forgotten it.
    """

    curves: list[Curve]
    reference: str | None
    matches: list[Match]
    differences: list[Difference]
    carried: dict[str, tuple[float, float, float]]

    def plain(self) -> dict[str, Any]:
        """For JSON: what is not a number is None, what is in words is written out."""
        content: dict[str, Any] = _without_nan(asdict(self))
        for entry, match in zip(content["matches"], self.matches, strict=True):
            entry["relation"] = match.relation
        for entry, difference in zip(content["differences"], self.differences, strict=True):
            entry["verdict"] = difference.verdict
        return content


def _without_nan(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _without_nan(value.model_dump())
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def judge(study: Sequence[Tested]) -> Verdict:
    """The verdict on the runs of one study.

    Raises:
        IPNetError: runs that share no level.
    """
    drawn, first = curves(study), _reference(study)
    slopes = _slopes(drawn)
    carried = {name: mean_interval(list(of.values())) for name, of in slopes.get(CARRIED, {}).items()}
    if first is None:
        return Verdict(drawn, None, [], [], carried)
    matches = [match for name in perturbations(study) for match in _matches(study, first, name)]
    recurrent = {run.found.contender for run in study if run.result.model["memory"] in RECURRENT}
    return Verdict(drawn, first, matches, _differences(slopes, first, recurrent), carried)


def _reference(study: Sequence[Tested]) -> str | None:
    names = dict.fromkeys(run.found.contender for run in study)
    best = chosen([Seeds(tuple(run.result for run in study if run.found.contender == name)) for name in names])
    return best.contender if best else None


def paired_at(first: Sequence[Tested], second: Sequence[Tested], name: str, level: float) -> Paired | None:
    """One contender against another under one perturbation, paired by seed and recording; uncorrected.

    Args:
        first: the runs of one contender.
        second: the runs of the other, on the same split of the same data.
        name: of the perturbation.
        level: that both were tested at; the neutral one compares them undisturbed. Of several draws the first
            counts.

    Returns:
        The exact sign test for classes; for a regression the t test of the errors, or None where that cannot be:
        one group of clips, or one without any error.
    """
    one, other = ([_as_result(run, name, level) for run in runs] for runs in (first, second))
    if not one[0].is_regression:
        return paired(one, other)
    try:
        return compare_errors(one, other)
    except IPNetError:
        return None


def _as_result(run: Tested, name: str, level: float) -> Result:
    """The result that the run would have, had it been tested at this level."""
    answers = run.at(name, level)[0]
    predictions = {"item": run.found.items, "truth": run.found.truth, "predicted": answers.predicted}
    return run.result.model_copy(update={"predictions": predictions})


def _matches(study: Sequence[Tested], first: str, name: str) -> list[Match]:
    runs: dict[str, list[Tested]] = {}
    for run in study:
        if run.levels(name):
            runs.setdefault(run.found.contender, []).append(run)
    if first not in runs:
        return []
    level = max(shared_levels(study, name), key=lambda level: (PERTURBATIONS[name].distance(level), level))
    others = sorted(runs.keys() - {first})
    tests = [paired_at(runs[first], runs[other], name, level) for other in others]
    known = {test.other: test for test in corrected([test for test in tests if test])}
    return [Match(name, level, other, known.get(other)) for other in others]


def _slopes(drawn: Sequence[Curve]) -> Slopes:
    """The relative slopes of the curves, and what early noise costs beyond late noise where both were tested."""
    slopes: Slopes = {}
    for curve in drawn:
        slopes.setdefault(curve.perturbation, {})[curve.contender] = curve.by_seed
    early, late = slopes.get("early_noise", {}), slopes.get("late_noise", {})
    for name in sorted(early.keys() & late.keys()):
        if both := _minus(early[name], late[name]):
            slopes.setdefault(CARRIED, {})[name] = both
    return slopes


def _differences(slopes: Slopes, first: str, recurrent: set[str]) -> list[Difference]:
    return [
        difference
        for name, of in slopes.items()
        if first in of
        for difference in _holm(
            [_difference(name, other, _minus(of[first], of[other])) for other in sorted(recurrent & of.keys())]
        )
    ]


def _minus(one: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    """The difference for each seed that both have."""
    return {seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())}


def _difference(perturbation: str, other: str, by_seed: Mapping[int, float]) -> Difference:
    values = list(by_seed.values())
    mean, low, high = mean_interval(values) if values else (math.nan,) * 3
    spread = len(set(values)) > 1 and not math.isnan(mean)
    p = float(stats.ttest_1samp(values, 0.0).pvalue) if spread else math.nan
    return Difference(perturbation, other, mean, low, high, len(values), p)


def _holm(found: Sequence[Difference]) -> list[Difference]:
    known = iter(holm([each.p for each in found if not math.isnan(each.p)]))
    return [each if math.isnan(each.p) else replace(each, p=next(known)) for each in found]
