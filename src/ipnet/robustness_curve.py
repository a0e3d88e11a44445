"""Curves of robustness: score against level for each contender, how steeply it falls, and who stands it better."""

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass

from ipnet.comparison import Paired, right_answers, sign_test
from ipnet.errors import IPNetError
from ipnet.perturbation import PERTURBATIONS
from ipnet.results import Metric, Proportion, mean_interval
from ipnet.robustness import Answers, Robustness


@dataclass(frozen=True)
class Point:
    """A score with its 95 % interval: Student's t over the runs, the score's own for one run. Shares in per cent.

    Args:
        level: of the perturbation.
        value: mean over the runs.
        low: lower end of the interval.
        high: upper end.
    """

    level: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """One contender under one perturbation.

    Args:
        study: name of the study.
        contender: as the study names it.
        perturbation: its name.
        points: by level, the neutral one among them.
        slope: loss of the score per unit of level (per octave of speed): mean and 95 % interval, Student's t over
            the runs; nan for the interval of one run.
        score_label: what the score is, with its unit.
        seeds: how many runs.
        n: items of one run.
    """

    study: str
    contender: str
    perturbation: str
    points: tuple[Point, ...]
    slope: tuple[float, float, float]
    score_label: str
    seeds: int
    n: int


def curves(found: Sequence[Robustness]) -> list[Curve]:
    """The curves of several runs, by study, perturbation and contender; levels that all runs of a curve have."""
    groups: dict[tuple[str, str, str], list[Robustness]] = {}
    for run in found:
        for name in sorted({row.perturbation for row in run.rows}):
            groups.setdefault((run.study, name, run.contender), []).append(run)
    return [_curve(runs, name) for (_, name, _), runs in sorted(groups.items(), key=lambda group: group[0])]


def _curve(runs: Sequence[Robustness], name: str) -> Curve:
    entry, first = PERTURBATIONS[name], runs[0]
    shared = set.intersection(*({row.level for row in run.rows if row.perturbation == name} for run in runs))
    levels = sorted(shared | {entry.neutral})
    points = [_point([_at(run, name, level) for run in runs], first.score_name, level) for level in levels]
    slope = mean_interval([_slope(run, name, sorted(shared)) for run in runs])
    metric = first.undisturbed.metrics[first.score_name]
    label = f"{first.score_name} [{'%' if isinstance(metric, Proportion) else metric.unit}]"
    return Curve(first.study, first.contender, name, tuple(points), slope, label, len(runs), len(first.items))


def paired_at(first: Sequence[Robustness], second: Sequence[Robustness], name: str, level: float) -> Paired:
    """The exact sign test of one contender against another under one perturbation, paired by seed and recording.

    Args:
        first: the runs of one contender.
        second: the runs of the other, on the same split of the same data.
        name: of the perturbation.
        level: that both were tested at; the neutral one compares them undisturbed. Of several draws the first
            counts.

    Raises:
        IPNetError: their answers are not classes.
    """
    if not isinstance(first[0].undisturbed.metrics[first[0].score_name], Proportion):
        raise IPNetError(
            f"the sign test needs answers that are right or wrong; '{first[0].study}' is scored by "
            f"{first[0].score_name}: compare errors with ipnet.bootstrap.paired_bootstrap."
        )
    one, other = (
        ChainMap(
            *(
                right_answers(run.seed, run.items, run.truth, answers.predicted)
                for run in runs
                for answers in _at(run, name, level)[:1]
            )
        )
        for runs in (first, second)
    )
    return sign_test(one, other, second[0].contender)


def _at(run: Robustness, name: str, level: float) -> list[Answers]:
    """The answers of a run at a level, one for each seed of the draws."""
    if level == PERTURBATIONS[name].neutral:
        return [run.undisturbed]
    return [row for row in run.rows if (row.perturbation, row.level) == (name, level)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _scale(metric: Metric) -> float:
    return 100.0 if isinstance(metric, Proportion) else 1.0


def _score(answers: Sequence[Answers], metric: str) -> float:
    return _mean([_scale(each.metrics[metric]) * each.metrics[metric].value for each in answers])


def _point(runs: Sequence[Sequence[Answers]], metric: str, level: float) -> Point:
    value, low, high = mean_interval([_score(answers, metric) for answers in runs])
    own = [each.metrics[metric] for each in runs[0]]
    scale = _scale(own[0])
    if len(runs) == 1:
        low, high = scale * _mean([each.low for each in own]), scale * _mean([each.high for each in own])
    if isinstance(own[0], Proportion):
        low, high = max(low, 0.0), min(high, scale)
    return Point(level, value, low, high)


def _slope(run: Robustness, name: str, levels: Sequence[float]) -> float:
    """Least squares through the undisturbed score: sum(d (a_0 - a)) / sum(d^2), d the distance of the level."""
    clean = _score([run.undisturbed], run.score_name)
    distances = [PERTURBATIONS[name].distance(level) for level in levels]
    losses = [clean - _score(_at(run, name, level), run.score_name) for level in levels]
    return sum(d * loss for d, loss in zip(distances, losses, strict=True)) / sum(d**2 for d in distances)
