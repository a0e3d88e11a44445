"""Comparing contenders by their errors: what `ipnet.comparison` is for classes, for what is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ipnet.bootstrap import paired_bootstrap
from ipnet.comparison import Seeds, command_of, same_setting
from ipnet.errors import IPNetError
from ipnet.results import Estimate, Result, mean_interval


@dataclass(frozen=True)
class ErrorStanding(Seeds):
    """What a regression study found for one contender, over its seeds.

    Args:
        results: one per seed.
        against: the relative difference of the RMSE from that of the reference, which is the intrinsic contender
            with the best validation score; None for the reference itself, or without one.
    """

    against: Estimate | None = None

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


def compare_errors(first: Sequence[Result], second: Sequence[Result]) -> Estimate:
    """The paired bootstrap of ``rmse_first / rmse_second - 1`` on the seeds and items that both sides have.

    Groups are those of the item names, ``split/group/number``: drives, or blocks of a drive, whatever the seed.

    Raises:
        IPNetError: no item in common, or fewer than two groups.
    """
    one, other = _errors(first), _errors(second)
    shared = sorted(one.keys() & other.keys())
    groups = [item.rpartition("/")[0] for _, item in shared]
    return paired_bootstrap(
        np.array([one[key] for key in shared]), np.array([other[key] for key in shared]), groups
    )


def error_studies(results: Sequence[Result]) -> list[list[ErrorStanding]]:
    """The regression studies among `results`, in their order; in each the contender with the lowest RMSE first."""
    regressions = [result for result in results if result.is_regression]
    return [_ranked(study) for study in same_setting(regressions)]


def _against(first: Sequence[Result], second: Sequence[Result]) -> Estimate | None:
    """`compare_errors`, or None where a table must do without it: a test split of one group has no bootstrap."""
    groups = {item.rpartition("/")[0] for result in second for item in result.predictions["item"]}
    return compare_errors(first, second) if len(groups) > 1 else None


def _ranked(results: Sequence[Result]) -> list[ErrorStanding]:
    names = dict.fromkeys(result.contender for result in results)
    runs = {name: tuple(result for result in results if result.contender == name) for name in names}
    able = [name for name in names if all(result.model["memory"] == "intrinsic" for result in runs[name])]
    best = max(able, key=lambda name: np.mean([r.validation["score"] for r in runs[name]]), default=None)
    standings = [
        ErrorStanding(of, None if best in (None, name) else _against(of, runs[str(best)]))
        for name, of in runs.items()
    ]
    return sorted(standings, key=lambda standing: (standing.metric("rmse").value, standing.contender))
