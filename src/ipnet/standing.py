"""Standings: what a study found for one contender, over its seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from ipnet.errors import IPNetError
from ipnet.pairing import Paired, answers_of, corrected, paired
from ipnet.results import REVERSED, Proportion, Result, mean_interval, wilson


@dataclass(frozen=True)
class Seeds:
    """The runs of one contender of a study.

    Args:
        results: one per seed.
    """

    results: tuple[Result, ...]

    @property
    def contender(self) -> str:
        """The contender as the study names it."""
        return self.results[0].contender

    @property
    def memory(self) -> str:
        """Its memory, whatever the contender is called."""
        return str(self.results[0].model["memory"])

    @property
    def seeds(self) -> int:
        """How many networks were trained."""
        return len(self.results)

    @property
    def positions(self) -> tuple[str, ...]:
        """Where the memory stands."""
        return tuple(self.results[0].model["positions"])

    @property
    def causal(self) -> bool:
        """Whether an output depends on no later frame."""
        return bool(self.results[0].model["causal"])

    @property
    def parameters(self) -> int:
        """Trained values."""
        return int(self.results[0].model["parameters"])

    @property
    def macs_per_clip(self) -> int:
        """Multiply-accumulates of one clip."""
        return int(self.results[0].model["macs_per_clip"])

    @property
    def state_bytes(self) -> int | None:
        """What one clip carries from frame to frame; None if the result does not say."""
        found = self.results[0].model.get("state_bytes")
        return None if found is None else int(found)

    @property
    def train_seconds(self) -> float:
        """Mean over seeds."""
        return sum(float(result.timing["train_seconds"]) for result in self.results) / self.seeds

    @property
    def latency(self) -> float | None:
        """Median over seeds of the seconds per streamed frame; None if it cannot stream, or no result says."""
        found = [result.timing.get("latency_per_frame_s") for result in self.results]
        known = [float(seconds) for seconds in found if seconds is not None]
        return median(known) if known else None

    @property
    def is_intrinsic(self) -> bool:
        """Whether its memory is the physics of devices that do remember."""
        return all(
            result.model["memory"] == "intrinsic" and result.physics.get("horizon_frames", 0) > 0
            for result in self.results
        )

    @property
    def validation(self) -> tuple[float, float]:
        """Mean validation score, then minus the mean loss: what a contender may be chosen by."""
        seen = [result.validation for result in self.results]
        return sum(v["score"] for v in seen) / self.seeds, -sum(v["loss"] for v in seen) / self.seeds


S = TypeVar("S", bound=Seeds)


@dataclass(frozen=True)
class Standing(Seeds):
    """What a study found for one contender, over its seeds.

    Args:
        results: one per seed.
        accuracy: mean over seeds.
        low: lower end of its interval: Student's t over seeds, Wilson's for one seed; within [0, 1].
        high: upper end.
        pooled: test clips of all seeds together; its interval takes them for independent, so it is narrow.
        class_pooled: the same, ignoring the direction; None without time-reversed copies.
    """

    accuracy: float
    low: float
    high: float
    pooled: Proportion
    class_pooled: Proportion | None

    @property
    def n(self) -> int:
        """Test clips of one run."""
        return self.pooled.n // self.seeds

    @property
    def class_accuracy(self) -> float | None:
        """Mean accuracy that ignores the direction."""
        return self.class_pooled.value if self.class_pooled else None

    @property
    def directions(self) -> tuple[Proportion, Proportion] | None:
        """Right answers to forward and to time-reversed clips, pooled over seeds; None without reversed copies."""
        counted = {True: [0, 0], False: [0, 0]}  # right, all
        for result in self.results:
            for (_, item), right in answers_of(result).items():
                counted[item.endswith(REVERSED)][0] += right
                counted[item.endswith(REVERSED)][1] += 1
        if not all(n for _, n in counted.values()):
            return None
        return wilson(*counted[False]), wilson(*counted[True])


def chosen(standings: Sequence[S]) -> S | None:
    """The intrinsic contender with the best validation score, the reference; the test split has no say."""
    able = [standing for standing in standings if standing.is_intrinsic]
    return max(able, key=lambda standing: standing.validation) if able else None


def paired_with_each(first: Standing, others: Sequence[Standing]) -> list[Paired]:
    """`paired` with each of several others, p-values Holm-corrected over them."""
    return corrected([paired(first.results, other.results) for other in others])


def _pool(results: Sequence[Result], metric: str) -> Proportion | None:
    found = [p for result in results if isinstance(p := result.metrics.get(metric), Proportion)]
    return wilson(sum(p.successes for p in found), sum(p.n for p in found)) if found else None


def seeds_of(results: Sequence[Result]) -> tuple[Result, ...]:
    """The results of one contender, one per seed.

    Raises:
        IPNetError: two of one seed.
    """
    seeds = [result.seed for result in results]
    if len(set(seeds)) < len(seeds):
        raise IPNetError(
            f"study '{results[0].config['study']}' must hold one result per contender and seed; got seeds {seeds} "
            f"of '{results[0].contender}': remove the copies."
        )
    return tuple(results)


def standing_of(results: Sequence[Result]) -> Standing:
    """The standing of a contender from its results, one per seed.

    Raises:
        IPNetError: results without accuracy, or two of one seed.
    """
    name = results[0].validation["score_name"]
    pooled = _pool(seeds_of(results), name)
    if pooled is None:
        raise IPNetError(
            f"study '{results[0].config['study']}' must hold results with '{name}'; got '{results[0].run}' "
            "without: run the study again."
        )
    mean, low, high = mean_interval([result.metrics[name].value for result in results])
    if len(results) == 1:
        low, high = pooled.low, pooled.high
    class_pooled = _pool(results, "class_accuracy")
    return Standing(tuple(results), mean, max(low, 0.0), min(high, 1.0), pooled, class_pooled)
