"""The battery: one card through all paradigms, beside people and beside traces without physics.

Every condition of the human reference is predicted, with choices that were fixed on one of them (`FIXED_ON`).
Three reference models, fitted to people on that condition alone, predict it as well: a trace that fades
exponentially, one that fades as a power of time, and a constant.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.forgetting import fit_forgetting
from ipnet.human import human_reference
from ipnet.observer import Observer, perform
from ipnet.paradigm import PARADIGMS, Cue, Judge, Recall, Show
from ipnet.recall import moments

Floats = NDArray[np.float64]
Ages = Sequence[Sequence[float]]
FIXED_ON = "free recall 20-1"
DELAY = 30.0  # s, of the delayed free recall
# What `calibrate` may choose: parts of the period of the card's own clock, and junctions at each place.
PERIODS = 1.0, 0.8, 0.637
JUNCTIONS = 32, 48, 64, 80, 96, 112, 128, 160, 224, 320, 480, 720, 1000, 1500, 2200, 3200, 4500, 6400
MODELS = "exponential trace", "power trace", "constant"
SMALLEST = 0.005  # half a point: an effect below it is none
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
        return moments(self.by_subject)[0]

    @property
    def se(self) -> Floats:
        """Standard error of the mean [K]."""
        return moments(self.by_subject)[1]

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
        value: a statistic that is above 0 if the card shows it as well; of several, the smallest.
        interval: 95 %, over simulated people. Of several differences that must all be above 0, the smallest and
            its ends: each must hold by itself, and one that fails must do so among so many.
    """

    claim: str
    statement: str
    value: float
    interval: tuple[float, float]

    @property
    def verdict(self) -> str:
        """``holds`` if the interval is above `SMALLEST`, ``fails`` if it is below 0, else ``undecided``."""
        return "holds" if self.interval[0] > SMALLEST else "fails" if self.interval[1] < 0 else "undecided"


def ages_of(paradigm: str, options: Mapping[str, Any], score: str) -> list[list[float]]:
    """For each place of a score, the seconds from the end of a word to its test; several where words are averaged.

    A judgement and a cue take a second. Of a cue that is asked for at a random moment the mean moment counts.

    Args:
        paradigm: its registered name.
        options: of the paradigm.
        score: of the paradigm.
    """
    task = PARADIGMS.build(paradigm, **options)
    now, seen, asked, recall = 0.0, dict[int, float](), dict[int, float](), 0.0  # when each column was
    for step in task.script():
        if isinstance(step, Judge | Cue):
            asked[step.column] = now
            now += 1
        elif isinstance(step, Recall):
            recall = now
        else:
            now += step.seconds
            if isinstance(step, Show):
                seen[step.column] = now
    if task.studied is not None:
        each = [recall - seen[column] for column in range(task.studied)]
        return [[age] for age in each] if score in ("serial_position", "probability_first_recall") else [each]
    if paradigm == "proactive_interference":
        pairs, moment = options["pairs"], float(np.mean(list(asked.values())))
        first = 0 if score == "B" else pairs
        return [[moment - seen[column] for column in range(first, first + pairs)]]
    back = options.get("n", 0)  # where the word stands that a question is about
    return [[moment - seen[column - back] for column, moment in asked.items()]]


def _series(
    name: str, axis: str, paradigm: str, score: str, conditions: Mapping[Any, Any], **people: Any
) -> Series:
    """A series with the ages that follow from the scripts of its conditions."""
    ages = [age for options in conditions.values() for age in ages_of(paradigm, options, score)]
    return Series(name, axis, paradigm, score, conditions, ages, **people)


def _of_lists(name: str, length: int, seconds: float, score: str, *, delay: float = 0.0, **people: Any) -> Series:
    options = {"list_length": length, "seconds_per_item": seconds, "delay": delay}
    return _series(name, "position in the list", "free_recall", score, {None: options}, **people)


@cache
def all_series() -> tuple[Series, ...]:
    """Every series of the battery; those of people first, in the order of `ipnet.human`."""
    people, found = human_reference(), list[Series]()
    lists = people.free_recall.conditions
    for name, shown in lists.items():
        means: dict[str, Any] = {"people": shown.spc, "people_se": shown.se}
        pace = shown.seconds_per_item
        found.append(_of_lists(f"free recall {name}", shown.items, pace, "serial_position", **means))
    for name, shown in lists.items():
        pace, score = shown.seconds_per_item, "probability_first_recall"
        found.append(_of_lists(f"first recall {name}", shown.items, pace, score, people=shown.pfr))
    brown = people.brown_peterson
    task = {t: {"retention": float(t)} for t in brown.t_s}
    found.append(_series("retention", "distracting task [s]", "retention", "recalled", task, people=brown.p))
    back = people.n_back
    means = {"people": back.session1, "people_se": back.session1_se}
    found.append(_series("n-back", "n", "n_back", "accuracy", {n: {"n": n} for n in back.n}, chance=0.5, **means))
    retro = people.retroactive_interference
    between = {k: {"interpolated_lists": k, "list_length": 25} for k in retro.interpolated_lists}
    name = "retroactive interference"
    task_name = "retroactive_interference"
    found.append(_series(name, "lists in between", task_name, "recalled", between, people=retro.all_words))
    pro = people.proactive_interference
    shown_often = {k: {"ab_presentations": k, "pairs": 10} for k in pro.ab_presentations}
    for response, shares in (("B", pro.test1.B), ("C", pro.test1.C)):
        name = f"proactive interference, {response}"
        axis, task_name = "presentations of A-B", "proactive_interference"
        found.append(_series(name, axis, task_name, response, shown_often, people=shares))
    spoken = people.distractors
    kinds = (0, "different"), (1, "different"), (3, "identical"), (3, "different")
    said = {
        place: {"list_length": spoken.items, "distractors": count, "kinds": kind}
        for place, (count, kind) in enumerate(kinds)
    }
    axis = "between two words: none, one, three identical, three different"
    shares = spoken.quiet, spoken.one, spoken.three_identical, spoken.three_different
    found.append(_series("distractors", axis, "serial_recall", "recalled", said, people=shares))
    found.append(_of_lists("delayed recall", 20, 1.0, "serial_position", delay=DELAY))
    spans = {L: {"list_length": L} for L in range(1, 10)}
    found.append(_series("memory span", "words in the list", "serial_recall", "without_error", spans))
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
        if _fits(tried):
            performed = perform(tried, paradigm, subjects=subjects, trials=trials, seed=seed)
            predicted = paradigm.score(performed)[fixed.score].mean
            found.append((tried, float(_distance(predicted, people)[0])))
        report((number + 1) / (len(clocks) * len(JUNCTIONS)))
    return sorted(found, key=lambda pair: pair[1])


def _fits(observer: Observer) -> bool:
    """Whether the phases of the card's clock fit into the chosen period."""
    try:
        observer.device()
    except IPNetError:
        return False
    return True


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
    """The trends that people show in the numbers of `ipnet.human`, or are known for, tested on the card."""
    means = {name: (outcome.mean, outcome.resampled(1)) for name, outcome in outcomes.items()}

    def test(claim: str, statement: str, statistic: Callable[[Mapping[str, Floats]], Floats]) -> Trend:
        value = statistic({name: mean for name, (mean, _) in means.items()})
        again = statistic({name: resampled for name, (_, resampled) in means.items()}).reshape(_RESAMPLED, -1)
        low = min(_interval(part)[0] for part in again.T)
        high = min(_interval(part, 1 - 0.05 / again.shape[1])[1] for part in again.T)
        return Trend(claim, statement, float(value.min()), (low, high))

    def slope(of: Floats) -> Floats:
        x = np.arange(of.shape[-1]) - (of.shape[-1] - 1) / 2
        return np.asarray((of * x).sum(-1) / (x**2).sum())

    def fall(name: str, before: int, after: int) -> Callable[[Mapping[str, Floats]], Floats]:
        return lambda of: np.asarray(of[name][..., before] - of[name][..., after])

    spc, slow, late = "free recall 20-1", "free recall 20-2", "delayed recall"
    retro, B = "retroactive interference", "proactive interference, B"
    return (
        test("nback", "accuracy falls with each step of n", lambda of: -np.diff(of["n-back"], axis=-1)),
        test("nback", "accuracy is lower at n = 5 than at n = 1", fall("n-back", 0, 4)),
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
            "a filled delay takes recency away: the end rises less",
            lambda of: slope(of[spc][..., -5:]) - slope(of[late][..., -5:]),
        ),
        test(
            "recall",
            "primacy outlasts the delay",
            lambda of: of[late][..., :3].mean(-1) - of[late][..., 5:15].mean(-1),
        ),
        test(
            "recall",
            "slower presentation raises the positions before recency",
            lambda of: of[slow][..., :15].mean(-1) - of[spc][..., :15].mean(-1),
        ),
        test(
            "recall",
            "a word of a longer list is recalled less often",
            lambda of: of["free recall 10-2"].mean(-1) - of[slow].mean(-1),
        ),
        test("interference", "recall falls with one list in between", fall(retro, 0, 1)),
        test("interference", "recall falls further with four lists", fall(retro, 1, 4)),
        test("interference", "recall falls with one distractor after each word", fall("distractors", 0, 1)),
        test(
            "interference",
            "different distractors disturb more than identical ones",
            fall("distractors", 2, 3),
        ),
        test("interference", "B is recalled more often, the more often it was shown", fall(B, -1, 0)),
    )
