"""Comparing contenders: within one study only, where everything but the contender and the seed is the same.

The paired test is exact and conservative: its unit is the recording. For each recording, the right answers of
either side are counted over seeds and over the recording's time-reversed copy; recordings whose counts differ
enter a two-sided sign test (McNemar's test, if there is one seed and one copy). One recording seen by three
networks is thus one observation, not three. The test speaks about these networks on new recordings; the
interval over seeds speaks about new networks.
"""

from collections import ChainMap, Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ipnet.cache import content_hash
from ipnet.cards import Card
from ipnet.config import Study, read_config, shipped_configs
from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.results import Proportion, Result, holm, mcnemar, mean_interval, wilson

SIGNIFICANCE = 0.05
_TIES = 0.005  # of the clips, so one recording in a hundred


@dataclass(frozen=True)
class Paired:
    """A paired comparison of one contender with another.

    Args:
        other: the other.
        better: recordings on which the first was right more often.
        worse: recordings on which it was right less often.
        n: recordings that both saw.
        p: exact p-value, Holm-corrected where several were compared.
    """

    other: str
    better: int
    worse: int
    n: int
    p: float

    @property
    def relation(self) -> str:
        """In words: ``"better than"``, ``"worse than"`` or ``"not separated from"``."""
        if self.p >= SIGNIFICANCE:
            return "not separated from"
        return "better than" if self.better > self.worse else "worse than"


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
    def seeds(self) -> int:
        """How many networks were trained."""
        return len(self.results)


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
    def positions(self) -> tuple[str, ...]:
        """Where the memory stands."""
        return tuple(self.results[0].model["positions"])

    @property
    def parameters(self) -> int:
        """Trained values."""
        return int(self.results[0].model["parameters"])

    @property
    def macs_per_clip(self) -> int:
        """Multiply-accumulates of one clip."""
        return int(self.results[0].model["macs_per_clip"])

    @property
    def train_seconds(self) -> float:
        """Mean over seeds."""
        return sum(float(result.timing["train_seconds"]) for result in self.results) / self.seeds

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


Right = Mapping[tuple[int, str], bool]  # whether each (seed, item) was predicted right: what paired tests compare


def right_answers(
    seed: int, items: Sequence[str], truth: Sequence[Any], predicted: Sequence[Any]
) -> dict[tuple[int, str], bool]:
    """Which items of one run were predicted right."""
    return {(seed, item): y == guess for item, y, guess in zip(items, truth, predicted, strict=True)}


def sign_test(one: Right, other: Right, name: str) -> Paired:
    """The exact sign test over recordings (see the module) on the seeds and clips that both sides have.

    Args:
        one: answers of the first.
        other: answers of the other.
        name: of the other.
    """
    lead: Counter[str] = Counter()
    for key in one.keys() & other.keys():
        lead[key[1].removesuffix("/reversed")] += one[key] - other[key]
    better, worse = sum(v > 0 for v in lead.values()), sum(v < 0 for v in lead.values())
    return Paired(name, better, worse, len(lead), mcnemar(better, worse))


def paired(first: Sequence[Result], second: Sequence[Result]) -> Paired:
    """`sign_test` on the test splits of several runs of either side."""
    one, other = (
        ChainMap(
            *(
                right_answers(result.seed, *(result.predictions[key] for key in ("item", "truth", "predicted")))
                for result in results
            )
        )
        for results in (first, second)
    )
    return sign_test(one, other, second[0].contender)


def paired_with_each(first: Standing, others: Sequence[Standing]) -> list[Paired]:
    """`paired` with each of several others, p-values Holm-corrected over them."""
    tests = [paired(first.results, other.results) for other in others]
    corrected = holm([test.p for test in tests])
    return [replace(test, p=p) for test, p in zip(tests, corrected, strict=True)]


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
        able = [standing for standing in self.standings.values() if standing.is_intrinsic]
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
    return content_hash({key: value for key, value in config.items() if key not in ("contender", "seed")})


def same_setting(results: Sequence[Result]) -> list[list[Result]]:
    """Results sorted into studies, in the order in which the studies appear."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((_setting(result.config), result.data["fingerprint"]), []).append(result)
    return list(groups.values())


def comparisons(results: Sequence[Result]) -> list[Comparison]:
    """The studies of classes among `results`; those of a measured quantity are `ipnet.prediction_error`'s."""
    return [Comparison(study) for study in same_setting([r for r in results if not r.is_regression])]


def compare(results: Sequence[Result]) -> list[Standing]:
    """One line per contender of every study, the most accurate first.

    Raises:
        IPNetError: two results of one study with the same contender and seed.
    """
    return [standing for comparison in comparisons(results) for standing in comparison.ranking]


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


def _told_apart(result: Result) -> int:
    """Recordings that were answered differently when played backwards; without memory only rounding does that."""
    answers: dict[str, set[int]] = {}
    for item, predicted in zip(result.predictions["item"], result.predictions["predicted"], strict=True):
        answers.setdefault(item.removesuffix("/reversed"), set()).add(predicted)
    return sum(len(seen) > 1 for seen in answers.values())


class LeakCheck(BaseModel):
    """Whether the order-blind control sits at half of its class accuracy, as it must.

    Args:
        run: name of the run.
        study: of the run.
        passed: whether the half lies in the Wilson interval of the accuracy, and no more recordings than rounding
            can explain (one in a hundred) are answered differently forward and backward.
        sentence: the same in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    study: str
    passed: bool
    sentence: str


def leak_check(results: Sequence[Result]) -> list[LeakCheck]:
    """For every run without memory on clips and their time-reversed copies: is the direction invisible to it?"""
    checks = []
    for result in results:
        accuracy, classes = result.metrics.get("accuracy"), result.metrics.get("class_accuracy")
        if result.model["memory"] != "none" or not isinstance(accuracy, Proportion) or classes is None:
            continue
        half = classes.value / 2
        told = _told_apart(result)
        passed = accuracy.low <= half <= accuracy.high and told <= _TIES * accuracy.n
        sentence = (
            f"{result.run} ({result.config['study']}): accuracy {percent(accuracy.value)} "
            f"[{percent(accuracy.low)}, {percent(accuracy.high)}], half of its class accuracy {percent(half)}, "
            f"{told} recordings told from their reverse: "
            + ("frames do not give the direction away." if passed else "frames may give the direction away.")
        )
        study = str(result.config["study"])
        checks.append(LeakCheck(run=result.run, study=study, passed=passed, sentence=sentence))
    return checks


def percent(share: float) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.9965)
        '99.65 %'
    """
    return f"{100 * share:.2f} %"
