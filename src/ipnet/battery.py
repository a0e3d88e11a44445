"""The battery: one card through all paradigms, beside people and beside traces without physics.

Every condition of the human reference is predicted, with choices that were fixed on one of them (`FIXED_ON`).
Three reference models, fitted to people on that condition alone, predict it as well: a trace that fades
exponentially, one that fades as a power of time, and a constant.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.forgetting import fit_forgetting
from ipnet.human import human_reference
from ipnet.observer import Observer, perform
from ipnet.paradigm import PARADIGMS

Floats = NDArray[np.float64]
Ages = Sequence[Sequence[float]]
FIXED_ON = "free recall 20-1"
DELAY = 30.0  # s, of the delayed free recall
# What `calibrate` may choose: parts of the period of the card's own clock, and junctions at each place.
PERIODS = 1.0, 0.8, 0.637
JUNCTIONS = 2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 224, 320, 480, 720, 1000, 1500, 2200, 3200, 4500, 6400
MODELS = "exponential trace", "power trace", "constant"
_RESAMPLED = 2000  # bootstrap samples


@dataclass(frozen=True)
class Series:
    """A curve to be compared: the score of one condition along its own axis, or one score of several conditions.

    Args:
        name: of the series.
        axis: what is on its axis.
        paradigm: its registered name.
        score: the score of the paradigm that counts.
        conditions: options of the paradigm, by the place on the axis; by None if the score has an axis.
        ages: for each place, the seconds between study and test of the items that count; for reference models.
        people: means over people, one for each place; empty if there are no numbers.
        people_se: their standard errors; empty if unknown.
        chance: share of right answers without any memory; for reference models.
    """

    name: str
    axis: str
    paradigm: str
    score: str
    conditions: Mapping[float | None, Mapping[str, Any]]
    ages: Ages
    people: tuple[float, ...] = ()
    people_se: tuple[float, ...] = ()
    chance: float = 0.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a card did in a series.

    Args:
        at: places on the axis [K].
        by_subject: the score of each subject [S, K]; nan where it had no occasion.
    """

    at: Floats
    by_subject: Floats

    @property
    def mean(self) -> Floats:
        """Over subjects [K]."""
        return np.asarray(np.nanmean(self.by_subject, 0))

    @property
    def se(self) -> Floats:
        """Standard error of the mean [K]."""
        return np.asarray(np.nanstd(self.by_subject, 0, ddof=1) / np.sqrt(len(self.by_subject)))

    def resampled(self, seed: int) -> Floats:
        """The mean over as many subjects, drawn with replacement [samples, K]."""
        S = len(self.by_subject)
        weights = np.random.default_rng(seed).multinomial(S, np.full(S, 1 / S), _RESAMPLED).astype(float)
        known = np.isfinite(self.by_subject)
        with np.errstate(invalid="ignore"):
            return np.asarray(weights @ np.where(known, self.by_subject, 0.0) / (weights @ known))


@dataclass(frozen=True)
class Distance:
    """How far a prediction is from people.

    Args:
        rmse: root of the mean squared difference.
        r: correlation; nan if the prediction is flat.
        rmse_interval: 95 %, over simulated people; of a reference model twice its value.
        r_interval: likewise.
    """

    rmse: float
    r: float
    rmse_interval: tuple[float, float]
    r_interval: tuple[float, float]


@dataclass(frozen=True)
class Trend:
    """A trend of people that was stated before the card was run.

    Args:
        claim: row of the ledger.
        statement: what people show.
        value: a statistic that is above 0 if the card shows it as well.
        interval: 95 %, over simulated people; where several differences must all hold, jointly.
    """

    claim: str
    statement: str
    value: float
    interval: tuple[float, float]

    @property
    def verdict(self) -> str:
        """``holds`` if the interval is above 0, ``fails`` if it is below, else ``undecided``."""
        return "holds" if self.interval[0] > 0 else "fails" if self.interval[1] < 0 else "undecided"


def _list_ages(length: int, seconds: float, delay: float = 0.0) -> list[list[float]]:
    """From the end of each word to the beginning of recall."""
    return [[(length - position) * seconds + delay] for position in range(1, length + 1)]


def _of_free_recall(
    name: str, length: int, seconds: float, *, delay: float = 0.0, score: str, **people: Any
) -> Series:
    options = {"list_length": length, "seconds_per_item": seconds, "delay": delay}
    ages = _list_ages(length, seconds, delay)
    return Series(name, "position in the list", "free_recall", score, {None: options}, ages, **people)


def all_series() -> tuple[Series, ...]:
    """Every series of the battery; those of people first, in the order of `ipnet.human`."""
    people, found = human_reference(), list[Series]()
    for name, shown in people.free_recall.conditions.items():
        found.append(
            _of_free_recall(
                f"free recall {name}",
                shown.items,
                shown.seconds_per_item,
                score="serial_position",
                people=shown.spc,
                people_se=shown.se,
            )
        )
    for name, shown in people.free_recall.conditions.items():
        first = f"first recall {name}"
        found.append(
            _of_free_recall(
                first, shown.items, shown.seconds_per_item, score="probability_first_recall", people=shown.pfr
            )
        )
    brown = people.brown_peterson
    found.append(
        Series(
            "retention",
            "distracting task [s]",
            "retention",
            "recalled",
            {t: {"retention": float(t)} for t in brown.t_s},
            [[t] for t in brown.t_s],
            brown.p,
        )
    )
    back = people.n_back
    found.append(
        Series(
            "n-back",
            "n",
            "n_back",
            "accuracy",
            {n: {"n": n} for n in back.n},
            [[2.0 * n - 1] for n in back.n],  # a letter is compared for a second and seen for another
            back.session1,
            back.session1_se,
            chance=0.5,
        )
    )
    retro, length = people.retroactive_interference, 25
    found.append(
        Series(
            "retroactive interference",
            "lists in between",
            "retroactive_interference",
            "recalled",
            {k: {"interpolated_lists": k, "list_length": length} for k in retro.interpolated_lists},
            [[age + k * length for (age,) in _list_ages(length, 1.0)] for k in retro.interpolated_lists],
            retro.all_words,
        )
    )
    pro, pairs, pace = people.proactive_interference, 10, 2.0
    for response, shares in (("B", pro.test1.B), ("C", pro.test1.C)):
        since = [age + pairs * pace * (response == "B") for (age,) in _list_ages(pairs, pace)]
        asked = [age + pairs / 2 for age in since]
        found.append(
            Series(
                f"proactive interference, {response}",
                "presentations of A-B",
                "proactive_interference",
                response,
                {k: {"ab_presentations": k, "pairs": pairs} for k in pro.ab_presentations},
                [asked] * len(pro.ab_presentations),
                shares,
            )
        )
    spoken = people.distractors
    kinds = {0: (0, "different"), 1: (1, "different"), 3: (3, "identical"), 4: (3, "different")}
    found.append(
        Series(
            "distractors",
            "between two words: none, one, three identical, three different",
            "serial_recall",
            "recalled",
            {
                place: {"list_length": spoken.items, "distractors": count, "kinds": kind}
                for place, (count, kind) in zip(range(4), kinds.values(), strict=True)
            },
            [[spoken.items * (1.0 + count)] for count, _ in kinds.values()],
            (spoken.quiet, spoken.one, spoken.three_identical, spoken.three_different),
        )
    )
    found.append(_of_free_recall("delayed recall", 20, 1.0, delay=DELAY, score="serial_position"))
    lengths = range(1, 10)
    found.append(
        Series(
            "memory span",
            "words in the list",
            "serial_recall",
            "without_error",
            {L: {"list_length": L} for L in lengths},
            [[float(L)] for L in lengths],
        )
    )
    return tuple(found)


def run_battery(
    observer: Observer,
    *,
    subjects: int = 200,
    trials: int = 10,
    seed: int = 0,
    report: Callable[[str, float], None] = lambda *_: None,
) -> dict[str, Outcome]:
    """Every series, by name; a condition that several need is run once.

    Args:
        observer: the card and the free choices.
        subjects: in each condition.
        trials: of each subject.
        seed: of stimuli, patterns and draws.
        report: told the series and the share that is done.

    Raises:
        IPNetError: see `ipnet.observer.perform`.
    """
    scored: dict[str, Any] = {}
    outcomes: dict[str, Outcome] = {}
    everything = all_series()
    for number, entry in enumerate(everything):
        parts, at = [], list[float]()
        for place, options in entry.conditions.items():
            key = f"{entry.paradigm} {sorted(options.items())}"
            if key not in scored:
                paradigm = PARADIGMS.build(entry.paradigm, **options)
                scored[key] = paradigm.score(
                    perform(observer, paradigm, subjects=subjects, trials=trials, seed=seed)
                )
            rate = scored[key][entry.score]
            parts.append(rate.by_subject.reshape(subjects, -1))
            at += [float(x) for x in rate.at] if place is None else [float(place)]
        outcomes[entry.name] = Outcome(np.array(at), np.concatenate(parts, 1))
        report(entry.name, (number + 1) / len(everything))
    return outcomes


def calibrate(
    observer: Observer,
    *,
    subjects: int = 100,
    trials: int = 10,
    seed: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> list[tuple[Observer, float]]:
    """RMSE on `FIXED_ON` of each clock and number of junctions that may be chosen, the best first.

    Args:
        observer: what the other choices are taken from.
        subjects: for each choice.
        trials: of each subject.
        seed: of stimuli, patterns and draws.
        report: told the share that is done.

    Raises:
        IPNetError: see `ipnet.observer.perform`.
    """
    (fixed,) = (entry for entry in all_series() if entry.name == FIXED_ON)
    (options,) = fixed.conditions.values()
    paradigm, people = PARADIGMS.build(fixed.paradigm, **options), np.array(fixed.people)
    own = getattr(load_device(observer.card).card.clock, "t_cycle", None)
    clocks = [None] if own is None else [own * part for part in PERIODS]
    found = []
    for number, (t_cycle, junctions) in enumerate(product(clocks, JUNCTIONS)):
        layout = observer.layout.model_copy(update={"junctions": junctions})
        tried = observer.model_copy(update={"t_cycle": t_cycle, "layout": layout})
        with suppress(IPNetError):  # a period that the phases of the clock do not fit into
            tried.device()
            performed = perform(tried, paradigm, subjects=subjects, trials=trials, seed=seed)
            predicted = paradigm.score(performed)[fixed.score].mean
            found.append((tried, float(_distance(predicted, people)[0])))
        report((number + 1) / (len(clocks) * len(JUNCTIONS)))
    return sorted(found, key=lambda pair: pair[1])


def _distance(predicted: Floats, people: Floats) -> tuple[Floats, Floats]:
    """RMSE and r of predictions [..., K]."""
    rmse = np.sqrt(np.mean((predicted - people) ** 2, -1))
    a, b = predicted - predicted.mean(-1, keepdims=True), people - people.mean()
    a = np.where(np.abs(a) < 1e-9, 0.0, a)  # a constant stays flat
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum())
    return np.asarray(rmse), np.asarray(r)


def _interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def distances(outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Distance]]:
    """For each series that people have numbers for: the card, and each reference model."""
    found: dict[str, dict[str, Distance]] = {}
    models = reference_models()
    for entry in all_series():
        if not entry.people:
            continue
        people, outcome = np.array(entry.people), outcomes[entry.name]
        rmse, r = _distance(outcome.mean, people)
        again = _distance(outcome.resampled(0), people)
        found[entry.name] = {"card": Distance(float(rmse), float(r), _interval(again[0]), _interval(again[1]))}
        for name, predict in models.items():
            if entry.score == "probability_first_recall":
                continue  # a trace alone does not say which word comes first
            rmse, r = _distance(predict(entry), people)
            found[entry.name][name] = Distance(float(rmse), float(r), (float(rmse),) * 2, (float(r),) * 2)
    return found


def reference_models() -> dict[str, Callable[[Series], Floats]]:
    """Predictions of traces that are fitted to people on `FIXED_ON` alone."""
    (fixed,) = (entry for entry in all_series() if entry.name == FIXED_ON)
    exponential, power = fit_forgetting([age for (age,) in fixed.ages], fixed.people)
    constant = float(np.mean(fixed.people))

    def predict(trace: Callable[[Floats], Floats]) -> Callable[[Series], Floats]:
        def of(entry: Series) -> Floats:
            shares = np.array([trace(np.asarray(ages, float)).clip(0, 1).mean() for ages in entry.ages])
            return np.asarray(entry.chance + (1 - entry.chance) * shares)

        return of

    traces = exponential.at, power.at, lambda ages: np.full(ages.shape, constant)
    return {name: predict(trace) for name, trace in zip(MODELS, traces, strict=True)}


def trends(outcomes: Mapping[str, Outcome]) -> tuple[Trend, ...]:
    """The trends that people show, tested on the card."""
    means = {name: (outcome.mean, outcome.resampled(1)) for name, outcome in outcomes.items()}

    def test(
        claim: str, statement: str, statistic: Callable[[Mapping[str, Floats]], Floats], several: int = 1
    ) -> Trend:
        value = float(statistic({name: mean for name, (mean, _) in means.items()}))
        again = statistic({name: resampled for name, (_, resampled) in means.items()})
        return Trend(claim, statement, value, _interval(again, 1 - 0.05 / several))

    def smallest_fall(name: str) -> Callable[[Mapping[str, Floats]], Floats]:
        return lambda of: np.asarray(-np.diff(of[name], axis=-1).max(-1))

    def slope(of: Floats) -> Floats:
        x = np.arange(of.shape[-1]) - (of.shape[-1] - 1) / 2
        return np.asarray((of * x).sum(-1) / (x**2).sum())

    spc, fast, slow = "free recall 20-1", "free recall 20-1", "free recall 20-2"
    n = len(outcomes["n-back"].at) - 1
    lists = len(outcomes["retroactive interference"].at) - 1
    return (
        test("nback", "accuracy falls with each step of n", smallest_fall("n-back"), n),
        test(
            "nback",
            "accuracy is lower at n = 5 than at n = 1",
            lambda of: of["n-back"][..., 0] - of["n-back"][..., -1],
        ),
        test("recall", "recency: the last five positions rise", lambda of: slope(of[spc][..., -5:])),
        test(
            "recall",
            "recency is steeper than the middle",
            lambda of: slope(of[spc][..., -5:]) - np.abs(slope(of[spc][..., 5:15])),
        ),
        test(
            "recall",
            "primacy: the first three positions are above the middle",
            lambda of: of[spc][..., :3].mean(-1) - of[spc][..., 5:15].mean(-1),
        ),
        test(
            "recall",
            "a filled delay takes recency away",
            lambda of: of[spc][..., -5:].mean(-1) - of["delayed recall"][..., -5:].mean(-1),
        ),
        test(
            "recall",
            "slower presentation raises the positions before recency",
            lambda of: of[slow][..., :15].mean(-1) - of[fast][..., :15].mean(-1),
        ),
        test(
            "recall",
            "a word of a longer list is recalled less often",
            lambda of: of["free recall 10-2"].mean(-1) - of[slow].mean(-1),
        ),
        test("interference", "recall falls with one list in between", _first_fall("retroactive interference")),
        test(
            "interference",
            "recall falls with every further list",
            smallest_fall("retroactive interference"),
            lists,
        ),
        test("interference", "recall falls with one distractor after each word", _first_fall("distractors")),
        test(
            "interference",
            "three different distractors disturb more than three identical ones",
            lambda of: of["distractors"][..., 2] - of["distractors"][..., 3],
        ),
        test(
            "interference",
            "what was learnt more often is recalled more often (B)",
            lambda of: of["proactive interference, B"][..., -1] - of["proactive interference, B"][..., 0],
        ),
    )


def _first_fall(name: str) -> Callable[[Mapping[str, Floats]], Floats]:
    return lambda of: np.asarray(of[name][..., 0] - of[name][..., 1])
