"""Comparing contenders by their errors: what `ipnet.comparison` is for classes, for what is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ipnet.comparison import command_of, same_setting
from ipnet.errors import IPNetError
from ipnet.intervals import log_ratios, paired_ratio
from ipnet.pairing import Paired, corrected, ratio_of
from ipnet.results import Estimate, Result, mean_interval
from ipnet.standing import Seeds, chosen, seeds_of


class PairedErrors(Paired):
    """A paired comparison of errors: its test is about how large they are, not in how many groups."""

    @property
    def leads(self) -> bool:
        """Whether the errors of the first are smaller, by their geometric mean over groups."""
        return self.difference.value < 0

    is_ahead = leads


@dataclass(frozen=True)
class ErrorStanding(Seeds):
    """What a regression study found for one contender, over its seeds.

    Args:
        results: one per seed.
        against: its errors paired with those of the reference, which is the intrinsic contender with the best
            validation score; None for the reference itself, without one, without a seed that both have, or if the
            test split is one group.
    """

    against: PairedErrors | None = None

    @property
    def command(self) -> str:
        """The command line that makes these results."""
        return command_of(self.results[0])

    def metric(self, name: str) -> Estimate:
        """Mean over seeds with Student's interval; of one seed, its own interval over groups of clips."""
        found = [result.metrics[name] for result in self.results]
        if not all(isinstance(of, Estimate) for of in found):
            raise IPNetError(
                f"'{name}' of '{self.contender}' must be an estimate with a unit; run the study again."
            )
        estimates = [of for of in found if isinstance(of, Estimate)]
        if len(estimates) == 1:
            return estimates[0]
        mean, low, high = mean_interval([of.value for of in estimates])
        return estimates[0].model_copy(update={"value": mean, "low": low, "high": high})


def _errors(results: Sequence[Result]) -> dict[tuple[int, str], float]:
    """Prediction minus truth of each (seed, item)."""
    return {
        (result.seed, item): predicted - truth
        for result in results
        for item, truth, predicted in zip(
            result.predictions["item"], result.predictions["truth"], result.predictions["predicted"], strict=True
        )
    }


def compare_errors(first: Sequence[Result], second: Sequence[Result]) -> PairedErrors:
    """Student's paired t test of ``ln(rmse_first / rmse_second)`` over groups, on seeds and items of both.

    Groups are those of the item names, ``split/group/number``: drives, or blocks of a drive, whatever the seed.
    `Paired.better` counts those with a smaller error, `Paired.difference` is `ipnet.intervals.paired_ratio`.

    Raises:
        IPNetError: no item in common, fewer than two groups, or one without any error.
    """
    one, other = _errors(first), _errors(second)
    shared = sorted(one.keys() & other.keys())
    errors = np.array([one[key] for key in shared]), np.array([other[key] for key in shared])
    groups = [item.rpartition("/")[0] for _, item in shared]
    ratios = log_ratios(*errors, groups)
    mean, error = float(ratios.mean()), float(stats.sem(ratios))
    p = 2 * float(stats.t.sf(abs(mean) / error, len(ratios) - 1)) if error else float(mean == 0)
    better, worse = int((ratios < 0).sum()), int((ratios > 0).sum())
    ratio = ratio_of(*(float(np.sqrt(np.mean(of**2))) for of in errors))
    return PairedErrors(second[0].contender, better, worse, len(ratios), p, paired_ratio(*errors, groups), ratio)


def error_studies(results: Sequence[Result]) -> list[list[ErrorStanding]]:
    """The regression studies among `results`, in their order; in each the contender with the lowest RMSE first.

    Raises:
        IPNetError: two results of one contender and seed.
    """
    regressions = [result for result in results if result.is_regression]
    return [_ranked(study) for study in same_setting(regressions)]


def _groups(results: Sequence[Result]) -> int:
    return len({item.rpartition("/")[0] for result in results for item in result.predictions["item"]})


def _ranked(results: Sequence[Result]) -> list[ErrorStanding]:
    names = dict.fromkeys(result.contender for result in results)
    standings = [ErrorStanding(seeds_of([r for r in results if r.contender == name])) for name in names]
    best = chosen(standings)
    if best is not None and _groups(best.results) > 1:  # a test split of one group has no spread between groups
        seeds = {result.seed for result in best.results}
        others = [of for of in standings if of is not best and seeds & {result.seed for result in of.results}]
        tests = corrected([compare_errors(other.results, best.results) for other in others])
        against = dict(zip([of.contender for of in others], tests, strict=True))
        standings = [ErrorStanding(of.results, against.get(of.contender)) for of in standings]
    return sorted(standings, key=lambda standing: (standing.metric("rmse").value, standing.contender))
