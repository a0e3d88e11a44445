"""Comparing contenders: within one study only, where everything but the contender and the seed is the same.

A study states what a contender has of its own in its table ``[contender]``; every run keeps what the study has
instead, so that two runs belong together if, and only if, they differ in nothing but their contenders' tables.

The paired test is exact and conservative: its unit is the recording. For each recording, the right answers of
either side are counted over seeds and over the recording's time-reversed copy; recordings whose counts differ
enter a two-sided sign test (McNemar's test, if there is one seed and one copy). One recording seen by three
networks is thus one observation, not three. The test speaks about these networks on new recordings; the
interval over seeds speaks about new networks.
"""

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any, TypeVar

from pydantic import ValidationError

from ipnet.cache import content_hash
from ipnet.cards import Card
from ipnet.config import Study, read_config, shipped_configs
from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.results import Estimate, Proportion, Result, holm, mcnemar, mean_interval, wilson
from ipnet.settings import lay_over

SIGNIFICANCE = 0.05
REVERSED = "/reversed"  # what the name of a time-reversed copy ends with


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
    """

    other: str
    better: int
    worse: int
    n: int
    p: float
    difference: Estimate

    @property
    def relation(self) -> str:
        """In words: ``"better than"``, ``"worse than"`` or ``"not separated from"``."""
        if self.p >= SIGNIFICANCE:
            return "not separated from"
        return "better than" if self.leads else "worse than"

    @property
    def leads(self) -> bool:
        """Whether the first did better, by what the test is about: here, on more recordings."""
        return self.better > self.worse


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


P = TypeVar("P", bound=Paired)
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


def answers_of(result: Result) -> dict[tuple[int, str], bool]:
    """Whether each (seed, item) of a run was predicted right."""
    items, truth, predicted = (result.predictions[key] for key in ("item", "truth", "predicted"))
    return {(result.seed, item): y == guess for item, y, guess in zip(items, truth, predicted, strict=True)}


def paired(first: Sequence[Result], second: Sequence[Result]) -> Paired:
    """The exact sign test over recordings (see the module) on the seeds and clips that both sides have."""
    one, other = (ChainMap(*map(answers_of, results)) for results in (first, second))
    leads: dict[str, list[int]] = {}
    for key in one.keys() & other.keys():
        leads.setdefault(key[1].removesuffix(REVERSED), []).append(one[key] - other[key])
    lead = [sum(of) / len(of) for of in leads.values()]
    better, worse = sum(v > 0 for v in lead), sum(v < 0 for v in lead)
    value, low, high = mean_interval(lead) if lead else (0.0, -1.0, 1.0)
    items = sum(map(len, leads.values()))
    difference = Estimate(value=value, low=low, high=high, n=items, unit="1", groups=len(lead))
    return Paired(second[0].contender, better, worse, len(lead), mcnemar(better, worse), difference)


def corrected(tests: Sequence[P]) -> list[P]:
    """The same tests with their p-values Holm-corrected over all of them."""
    return [replace(test, p=p) for test, p in zip(tests, holm([test.p for test in tests]), strict=True)]


def paired_with_each(first: Standing, others: Sequence[Standing]) -> list[Paired]:
    """`paired` with each of several others, p-values Holm-corrected over them."""
    return corrected([paired(first.results, other.results) for other in others])


def in_words(tests: Sequence[Paired]) -> str:
    """Which others the first is better than, not separated from, and worse than."""
    relations = "better than", "not separated from", "worse than"
    groups = {relation: [test.other for test in tests if test.relation == relation] for relation in relations}
    return "; ".join(f"{relation} {', '.join(others)}" for relation, others in groups.items() if others)


def _pool(results: Sequence[Result], metric: str) -> Proportion | None:
    found = [p for result in results if isinstance(p := result.metrics.get(metric), Proportion)]
    return wilson(sum(p.successes for p in found), sum(p.n for p in found)) if found else None


def _standing(results: Sequence[Result]) -> Standing:
    name = results[0].validation["score_name"]
    pooled = _pool(results, name)
    seeds = [result.seed for result in results]
    if pooled is None or len(set(seeds)) < len(seeds):
        raise IPNetError(
            f"study '{results[0].config['study']}' must hold one result with '{name}' per contender and seed; got "
            f"seeds {seeds} of '{results[0].contender}': remove the copies."
        )
    mean, low, high = mean_interval([result.metrics[name].value for result in results])
    if len(results) == 1:
        low, high = pooled.low, pooled.high
    class_pooled = _pool(results, "class_accuracy")
    return Standing(tuple(results), mean, max(low, 0.0), min(high, 1.0), pooled, class_pooled)


class Comparison:
    """The results of one study: everything but contender and seed is the same.

    Args:
        results: with equal configuration (but for contender and seed) and equal data.

    Raises:
        IPNetError: two results of one contender and seed.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = tuple(results)
        names = dict.fromkeys(result.contender for result in results)
        self.standings = {name: _standing([r for r in results if r.contender == name]) for name in names}

    @property
    def ranking(self) -> list[Standing]:
        """The most accurate contender first."""
        return sorted(self.standings.values(), key=lambda standing: (-standing.accuracy, standing.contender))

    @property
    def memories(self) -> dict[str, str]:
        """The memory of each contender."""
        return {name: standing.memory for name, standing in self.standings.items()}

    @property
    def study(self) -> str:
        """The name of the study."""
        return str(self.results[0].config["study"])

    @property
    def data(self) -> dict[str, Any]:
        """Facts about the data."""
        return self.results[0].data

    @property
    def real(self) -> bool:
        """Whether the data are recordings."""
        return bool(self.data["real"])

    @cached_property
    def best(self) -> Standing | None:
        """The intrinsic contender with the best validation score; the test split has no say."""
        return chosen(tuple(self.standings.values()))

    @cached_property
    def against_best(self) -> dict[str, Paired]:
        """Every other contender paired with `best`, p-values Holm-corrected; empty without `best`."""
        best = self.best
        if best is None:
            return {}
        others = [standing for standing in self.ranking if standing is not best]
        tests = corrected([paired(other.results, best.results) for other in others])
        return {other.contender: test for other, test in zip(others, tests, strict=True)}

    def of_memory(self, memory: str) -> Standing | None:
        """The contender with this memory; of several the one with the best validation score."""
        able = [standing for standing in self.standings.values() if standing.memory == memory]
        return max(able, key=lambda standing: standing.validation) if able else None

    @cached_property
    def command(self) -> str:
        """The command line that makes these results."""
        return command_of(self.results[0])


def command_of(result: Result) -> str:
    """The command line that makes a result: of a shipped study, or of the user's own TOML file."""
    study = str(result.config["study"])
    if study in shipped_configs():
        shipped = read_config(Study, study).runs()[0].model_dump(mode="json")
        if _setting(shipped) == _setting(result.config):
            return f"ipnet study {study}"
    return f"ipnet study {study}.toml"


def _setting(config: dict[str, Any]) -> str:
    """The study's part of a run's configuration, hashed."""
    shared = lay_over(config, config.get("instead_of", {}))
    of_a_run = ("contender", "stands_for", "seed", "instead_of")
    return content_hash({key: value for key, value in shared.items() if key not in of_a_run})


def same_setting(results: Sequence[Result]) -> list[list[Result]]:
    """Results sorted into studies, in the order in which the studies appear."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((_setting(result.config), result.data["fingerprint"]), []).append(result)
    return list(groups.values())


def comparisons(results: Sequence[Result]) -> list[Comparison]:
    """The studies of classes among `results`; those of a measured quantity are `ipnet.prediction_error`'s."""
    return [Comparison(study) for study in same_setting([r for r in results if not r.is_regression])]


def card_of(result: Result) -> Card[Any, Any] | None:
    """The device card of an intrinsic result; None without one, or if the card on disk has other values."""
    options = result.config["memory"].get("intrinsic", {})
    if result.model["memory"] != "intrinsic":
        return None
    try:
        clock = (options.get("clock") or {}) | (options.get("bank") or [{}])[0]
        card = load_device(options.get("card", "mtj-thermal"), **clock).card
    except IPNetError:
        return None
    same = (
        table.model_validate(result.physics[name], strict=False)
        == getattr(card, name)  # JSON has lists for tuples
        for name, table in (("parameters", type(card.parameters)), ("clock", type(card.clock)))
    )
    try:
        return card if all(same) else None
    except ValidationError:
        return None  # values of an earlier form of the card


def percent(share: float) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.9965)
        '99.65 %'
    """
    return f"{100 * share:.2f} %"
