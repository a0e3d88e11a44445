"""Curves of robustness: score against level for each contender of a study, and how steeply it falls."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ipnet.comparison import same_setting
from ipnet.errors import IPNetError
from ipnet.perturbation import PERTURBATIONS
from ipnet.results import Metric, Proportion, Result, mean_interval
from ipnet.robustness_result import Answers, Robustness, read_robustness, robustness_file


@dataclass(frozen=True)
class Tested:
    """A finished run with what perturbations did to it.

    Args:
        result: of the run.
        found: the same run under perturbations.
    """

    result: Result
    found: Robustness

    def levels(self, name: str) -> set[float]:
        """At which levels of a perturbation it was tested."""
        return {row.level for row in self.found.rows if row.perturbation == name}

    def at(self, name: str, level: float) -> list[Answers]:
        """The answers at a level, one for each seed of the draws; at the neutral level the undisturbed ones."""
        if level == PERTURBATIONS[name].neutral:
            return [self.found.undisturbed]
        return [row for row in self.found.rows if (row.perturbation, row.level) == (name, level)]

    def score(self, answers: Sequence[Answers]) -> float:
        """Mean score of several answers; a share in per cent."""
        metrics = [each.metrics[self.found.score_name] for each in answers]
        return _mean([_scale(metric) * metric.value for metric in metrics])

    @property
    def known(self) -> float:
        """Undisturbed score above chance; nan where its interval reaches chance: there is nothing to lose."""
        metric, chance = self.found.undisturbed.metrics[self.found.score_name], self.found.chance
        return _scale(metric) * (metric.value - chance) if metric.low > chance else math.nan


def read_tested(found: Sequence[tuple[Path, Result]]) -> list[Tested]:
    """The runs that `ipnet robustness --split test` left a file for, beside the result.

    Args:
        found: of `ipnet.results.find_results`.

    Raises:
        IPNetError: a file that is damaged, or of another run or other data than the result beside it.
    """
    tested = []
    for path, result in found:
        file = path.with_name(robustness_file("test"))
        if file.exists():
            tested.append(Tested(result, read_robustness(file)))
            beside, own = tested[-1].found, (result.config["study"], result.run, result.data["fingerprint"])
            if (beside.study, beside.run, beside.data["fingerprint"]) != own:
                raise IPNetError(
                    f"'{file}' must be of the run and data of the result beside it, {own[0]}/{own[1]}; it is of "
                    f"{beside.study}/{beside.run}: remove it and run `ipnet robustness` again."
                )
    return tested


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
        memory: of the contender.
        perturbation: its name.
        points: by level, the neutral one among them.
        slope: loss of the score per unit of distance (see `Perturbation.distance`): mean and 95 % interval,
            Student's t over the runs; nan for the interval of one run.
        relative: the same loss in per cent of what each run knew, its undisturbed score minus chance; nan if one
            of them knew nothing.
        by_seed: `relative` of each run.
        score_label: what the score is, with its unit.
        seeds: how many runs.
        n: items of one run.
    """

    study: str
    contender: str
    memory: str
    perturbation: str
    points: tuple[Point, ...]
    slope: tuple[float, float, float]
    relative: tuple[float, float, float]
    by_seed: Mapping[int, float]
    score_label: str
    seeds: int
    n: int


def studies(tested: Sequence[Tested]) -> list[list[Tested]]:
    """Runs sorted into studies, by the rule of the report: all but contender and seed is the same.

    Raises:
        IPNetError: two runs of one study with the same contender and seed.
    """
    by_result = {id(run.result): run for run in tested}
    found = [[by_result[id(result)] for result in group] for group in same_setting([run.result for run in tested])]
    for study in found:
        runs = [run.found.run for run in study]
        if twice := [name for i, name in enumerate(runs) if name in runs[:i]]:
            raise IPNetError(
                f"study '{study[0].found.study}' must hold one run per contender and seed; got {twice[0]} twice: "
                "remove the copy."
            )
    return found


def shared_levels(study: Sequence[Tested], name: str) -> list[float]:
    """The levels of a perturbation at which all runs of a study were tested, but those that it cannot disturb.

    Raises:
        IPNetError: there is none.
    """
    able = [run for run in study if run.levels(name)]
    shared = set.intersection(*(run.levels(name) for run in able))
    if not shared:
        seen = {run.found.run: sorted(run.levels(name)) for run in able}
        raise IPNetError(
            f"the runs of a study must share a level of '{name}' to be compared; got {seen}: test all of them "
            "with one [robustness] table."
        )
    return sorted(shared)


def perturbations(study: Sequence[Tested]) -> list[str]:
    """What the runs of a study were tested under, by name."""
    return sorted({row.perturbation for run in study for row in run.found.rows})


def curves(study: Sequence[Tested]) -> list[Curve]:
    """The curves of one study, by perturbation and contender, on the levels that all its runs have.

    Raises:
        IPNetError: runs that share no level.
    """
    drawn = []
    for name in perturbations(study):
        levels = shared_levels(study, name)
        able = [run for run in study if run.levels(name)]
        contenders = sorted({run.found.contender for run in able})
        drawn += [
            _curve([run for run in able if run.found.contender == each], name, levels) for each in contenders
        ]
    return drawn


def _curve(runs: Sequence[Tested], name: str, levels: Sequence[float]) -> Curve:
    first = runs[0].found
    points = [_point(runs, name, level) for level in sorted({*levels, PERTURBATIONS[name].neutral})]
    slopes = [_slope(run, name, levels) for run in runs]
    relative = {run.found.seed: 100 * slope / run.known for run, slope in zip(runs, slopes, strict=True)}
    metric = first.undisturbed.metrics[first.score_name]
    return Curve(
        study=first.study,
        contender=first.contender,
        memory=str(runs[0].result.model["memory"]),
        perturbation=name,
        points=tuple(points),
        slope=mean_interval(slopes),
        relative=mean_interval(list(relative.values())),
        by_seed=relative,
        score_label=f"{first.score_name} [{'%' if isinstance(metric, Proportion) else metric.unit}]",
        seeds=len(runs),
        n=len(first.items),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _scale(metric: Metric) -> float:
    return 100.0 if isinstance(metric, Proportion) else 1.0


def _point(runs: Sequence[Tested], name: str, level: float) -> Point:
    value, low, high = mean_interval([run.score(run.at(name, level)) for run in runs])
    own = [each.metrics[runs[0].found.score_name] for each in runs[0].at(name, level)]
    scale = _scale(own[0])
    if len(runs) == 1:
        low, high = scale * _mean([each.low for each in own]), scale * _mean([each.high for each in own])
    if isinstance(own[0], Proportion):
        low, high = max(low, 0.0), min(high, scale)
    return Point(level, value, low, high)


def _slope(run: Tested, name: str, levels: Sequence[float]) -> float:
    """Least squares through the undisturbed score: sum(d (a_0 - a)) / sum(d^2), d the distance of the level."""
    clean = run.score([run.found.undisturbed])
    distances = [PERTURBATIONS[name].distance(level) for level in levels]
    losses = [clean - run.score(run.at(name, level)) for level in levels]
    return sum(d * loss for d, loss in zip(distances, losses, strict=True)) / sum(d**2 for d in distances)
