"""The tables of a study, made once for the command line and the report.

A study of classes has an accuracy table, a study of a measured quantity an error table; both are followed by the
paired comparison with the reference, the intrinsic contender with the best validation score, and by the cost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ipnet.comparison import Comparison
from ipnet.pairing import Paired
from ipnet.prediction_error import ErrorStanding
from ipnet.results import Estimate, Proportion
from ipnet.standing import Seeds
from ipnet.subjects import subject_accuracy

NONE = "–"


@dataclass(frozen=True)
class Cell:
    """What a table says in one place.

    Args:
        text: what is said everywhere.
        note: what there is room for in the report alone.
    """

    text: str
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table.

    Args:
        title: what it is about.
        heads: of the columns.
        rows: the first cell of each names the contender.
        note: how its numbers came about.
    """

    title: str
    heads: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str


def _sheet(title: str, heads: tuple[Cell, ...], rows: Sequence[tuple[Cell, ...]], note: str) -> Sheet:
    """A table without the columns that say nothing about any contender."""
    told = [i for i in range(len(heads)) if any(row[i].text != NONE for row in rows)]
    return Sheet(title, tuple(heads[i] for i in told), tuple(tuple(row[i] for i in told) for row in rows), note)


def share(value: float) -> str:
    """A share in per cent, without the sign.

    Example:
        >>> share(0.9675)
        '96.8'
    """
    return f"{100 * value:.1f}"


def interval(low: float, high: float) -> str:
    """The ends of an interval of shares, in per cent, without the sign.

    Example:
        >>> interval(0.5, 0.9675)
        '[50.0, 96.8]'
    """
    return f"[{share(low)}, {share(high)}]"


def _proportion(found: Proportion | None) -> Cell:
    return Cell(share(found.value), interval(found.low, found.high)) if found else Cell(NONE)


def estimate(found: Estimate) -> str:
    """A value with its interval, three significant digits each; no interval from one group alone.

    Example:
        >>> estimate(Estimate(value=0.01234, low=0.0101, high=0.0152, n=9, unit="rad"))
        '0.0123 [0.0101, 0.0152]'
    """
    if found.groups == 1 and found.low == found.high:
        return f"{found.value:.3g}"
    return f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]"


def _named(standing: Seeds) -> Cell:
    return Cell(standing.contender, ", ".join(standing.positions))


def accuracy_sheet(comparison: Comparison) -> Sheet:
    """Accuracy over seeds and over clips, forward and reversed, and with the direction ignored."""
    rows = []
    for standing in comparison.ranking:
        pooled, directions = standing.pooled, standing.directions or (None, None)
        rows.append(
            (
                _named(standing),
                Cell(f"{share(standing.accuracy)} {interval(standing.low, standing.high)}"),
                Cell(f"{standing.n} x {standing.seeds}"),
                Cell(interval(pooled.low, pooled.high), f"{pooled.successes} / {pooled.n}"),
                *map(_proportion, directions),
                _proportion(standing.class_pooled),
            )
        )
    heads = (
        Cell("contender", "memory at"),
        Cell("accuracy, %", "mean, 95 %"),
        Cell("n", "clips x seeds"),
        Cell("pooled, %", "Wilson 95 %, right / all"),
        Cell("fwd", "forward clips, %"),
        Cell("rev", "reversed clips, %"),
        Cell("class", "direction ignored, %"),
    )
    note = (
        "95 % intervals: Student's t over seeds (Wilson's for one seed), and Wilson's over the clips of all "
        "seeds pooled, which takes them for independent and so is narrow. fwd, rev: forward and reversed "
        "clips; class: direction ignored."
    )
    return _sheet("Accuracy", heads, rows, note)


def error_sheet(study: Sequence[ErrorStanding]) -> Sheet:
    """Errors in the unit of the target, and shares of its variance."""
    unit = study[0].metric("rmse").unit
    rows = []
    for standing in study:
        rmse = standing.metric("rmse")
        groups = str(rmse.groups) if rmse.groups else NONE
        mae = standing.metric("mae")
        shares = [standing.metric(name) for name in ("r2", "explained_variance")]
        rows.append(
            (
                _named(standing),
                Cell(estimate(rmse)),
                Cell(f"{mae.value:.3g}", f"[{mae.low:.3g}, {mae.high:.3g}]"),
                *(Cell(f"{of.value:.3f}", f"[{of.low:.3f}, {of.high:.3f}]") for of in shares),
                Cell(f"{rmse.n} x {standing.seeds}"),
                Cell(groups),
            )
        )
    heads = (
        Cell("contender", "memory at"),
        Cell(f"RMSE, {unit}", "95 %"),
        Cell(f"MAE, {unit}", "95 %"),
        Cell("R2", "95 %"),
        Cell("expl. var.", "95 %"),
        Cell("n", "clips x seeds"),
        Cell("groups", "drives or blocks"),
    )
    note = (
        "95 % intervals: Student's t over seeds; of one seed, the jackknife over groups, which are drives or "
        "blocks of a drive, with Student's t."
    )
    return _sheet(f"Errors of the {study[0].results[0].outputs[0]}", heads, rows, note)


def _p(value: float) -> str:
    return "< 1e-4" if value < 1e-4 else f"{value:.2g}"


_OUTCOMES = {"better than": "better", "worse than": "worse", "not separated from": "not separated"}


def _points(difference: Estimate) -> str:
    value, low, high = (100 * of for of in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _paired_row(standing: Seeds, test: Paired | None, reference: str) -> tuple[Cell, ...]:
    if test is None:
        said = "reference" if standing.contender == reference else NONE
        return _named(standing), Cell(said), *(Cell(NONE) for _ in range(4))
    return (
        _named(standing),
        Cell(_OUTCOMES[test.relation]),
        Cell(f"{test.better} : {test.worse}", f"of {test.n}"),
        Cell(_p(test.p)),
        Cell(_points(test.difference)),
        Cell("inf" if math.isinf(test.ratio) else f"{test.ratio:.3g}x"),
    )


def _paired_heads(difference: str, ratio: str) -> tuple[Cell, ...]:
    return (
        Cell("contender", "memory at"),
        Cell("is", "than the reference"),
        Cell("won : lost", "recordings"),
        Cell("p", "Holm"),
        Cell(difference, "difference, 95 %"),
        Cell(ratio, "times the reference's"),
    )


def paired_sheet(comparison: Comparison) -> Sheet | None:
    """Every contender against the reference; None without an intrinsic contender, or with nothing beside it."""
    best = comparison.best
    if best is None or not comparison.against_best:
        return None
    tests, name = comparison.against_best, best.contender
    rows = [_paired_row(of, tests.get(of.contender), name) for of in comparison.ranking]
    note = (
        "The reference is the intrinsic contender that validates best. won : lost: recordings on which the "
        "contender was right more, or less, often, over all seeds and both directions; p: exact sign test, "
        "Holm-corrected over this table; points: difference in accuracy, with Student's t over recordings; "
        "errors: ratio of error rates. All of it on the seeds that both have."
    )
    heads = _paired_heads("points", "errors")
    return _sheet(f"Paired with {name}", heads, rows, note)


def paired_errors_sheet(study: Sequence[ErrorStanding]) -> Sheet | None:
    """Every contender against the reference; None if there was nothing to pair."""
    if not (other := next((standing.against.other for standing in study if standing.against), "")):
        return None
    rows = [_paired_row(standing, standing.against, other) for standing in study]
    note = (
        "The reference is the intrinsic contender that validates best. won : lost: groups (drives or blocks "
        "of a drive) in which the error of the contender is smaller, or larger; RMSE, %: relative difference "
        "within a group, geometric mean over groups, by the paired t test of its logarithm; p Holm-corrected "
        "over this table; RMSE: ratio over all clips. All of it on the seeds that both have."
    )
    heads = _paired_heads("RMSE, %", "RMSE")
    return _sheet(f"Paired with {other}", heads, rows, note)


def _latency(seconds: float | None) -> str:
    return NONE if seconds is None else f"{1e3 * seconds:.3g}"


def cost_sheet(standings: Sequence[Seeds]) -> Sheet:
    """What each contender costs to keep, to train and to run."""
    rows = [
        (
            _named(standing),
            Cell("yes" if standing.causal else "no"),
            Cell(f"{standing.parameters:,}"),
            Cell(f"{standing.macs_per_clip / 1e6:.1f} M"),
            Cell(NONE if standing.state_bytes is None else f"{standing.state_bytes:,}"),
            Cell(f"{standing.train_seconds:.0f}"),
            Cell(_latency(standing.latency)),
        )
        for standing in standings
    ]
    heads = (
        Cell("contender", "memory at"),
        Cell("causal"),
        Cell("parameters"),
        Cell("MACs", "per clip"),
        Cell("state, B", "of one clip"),
        Cell("training, s", "mean of a run"),
        Cell("ms/frame", "on a stream"),
    )
    note = (
        "MACs: products of convolutions and matrices of one clip, not the physics of devices. state: bytes "
        "carried from frame to frame. ms/frame: median on a stream; only what is causal can stream."
    )
    return _sheet("Cost", heads, rows, note)


def subject_sheet(comparison: Comparison) -> Sheet | None:
    """Accuracy of each subject, a column each; None if the test items name no subjects."""
    found = {standing.contender: subject_accuracy(standing) for standing in comparison.ranking}
    subjects = sorted({subject for of in found.values() for subject in of})
    if not subjects:
        return None
    rows = [
        (_named(standing), *(_proportion(found[standing.contender].get(subject)) for subject in subjects))
        for standing in comparison.ranking
    ]
    heads = (Cell("contender", "memory at"), *map(Cell, subjects))
    note = "Accuracy [%] with Wilson's 95 % interval, seeds and directions pooled."
    return _sheet("Accuracy of each subject", heads, rows, note)


def study_sheets(comparison: Comparison) -> list[Sheet]:
    """The tables of a study of classes."""
    sheets = accuracy_sheet(comparison), paired_sheet(comparison), cost_sheet(comparison.ranking)
    return [sheet for sheet in sheets if sheet]


def error_sheets(study: Sequence[ErrorStanding]) -> list[Sheet]:
    """The tables of a study of a measured quantity."""
    sheets = error_sheet(study), paired_errors_sheet(study), cost_sheet(study)
    return [sheet for sheet in sheets if sheet]
