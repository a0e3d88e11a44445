"""Analyses of free and serial recall: what was recalled, in which order, and how surely.

Pure functions of `Recalls` that return a `Rate`: counts per subject, so that a mean over subjects and its standard
error are the same for people and for devices. A *recall* is an answer that names an item of the list; an
*intrusion* names another. The counts equal those of psifr (N. W. Morton, JOSS 5, 2669, 2020).
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipnet.cache import write_atomically
from ipnet.errors import IPNetError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recalls:
    """Lists that were studied, and the answers to each.

    Args:
        studied: L, items per list.
        recalled: [trials, answers], in order of output: the position 1..L of the item in its list, -1 for an
            intrusion, 0 for no answer (padding, or an omission in serial recall). Items may be repeated.
        subjects: [trials], whose list it was: names or numbers; empty if all are of one subject.

    Raises:
        IPNetError: no trial, an answer that is none of these, or another number of subjects.

    Example:
        >>> recalls = Recalls(3, [[3, 1, 3, 0], [3, 2, -1, 1], [0, 0, 0, 0]], subjects="aab")
        >>> recalls.names.tolist(), recalls.lists.tolist()
        (['a', 'b'], [2, 1])
    """

    studied: int
    recalled: Integers | Sequence[Sequence[int]]
    subjects: NDArray[Any] | Sequence[object] = ()
    answers: Integers = field(init=False, repr=False)  # `recalled`, a read-only copy
    names: NDArray[Any] = field(init=False, repr=False)  # of the S subjects, sorted
    subject: Integers = field(init=False, repr=False)  # of each trial: index in `names` [trials]

    def __post_init__(self) -> None:
        answers = _answers(self.studied, self.recalled)
        owners = list(self.subjects) or [1] * len(answers)
        if np.shape(owners) != (len(answers),):
            raise IPNetError(f"every trial needs a subject; got {len(owners)} of them for {len(answers)} trials.")
        names, subject = np.unique(np.asarray(owners), return_inverse=True)
        for name, array in ("answers", answers), ("names", names), ("subject", subject):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def lists(self) -> Integers:
        """Lists of each subject [S]."""
        return np.bincount(self.subject)

    @property
    def spoken(self) -> Integers:
        """The answers [trials, answers] without gaps: every 0 stands at the end."""
        gap = self.answers == 0
        if not (gap[:, :-1] & ~gap[:, 1:]).any():
            return self.answers
        return np.take_along_axis(self.answers, np.argsort(gap, axis=1, kind="stable"), 1)


def _answers(studied: int, recalled: Integers | Sequence[Sequence[int]]) -> Integers:
    try:
        given = np.asarray(recalled)
    except ValueError as error:  # rows of different lengths
        raise IPNetError(f"answers must be [trials, answers], padded with 0; got {error}.") from error
    if given.ndim != 2 or not len(given) or not (np.issubdtype(given.dtype, np.integer) or given.size == 0):
        raise IPNetError(f"answers must be integers [trials, answers]; got {given.dtype} {list(given.shape)}.")
    if studied < 1:
        raise IPNetError(f"a list must have 1 item or more; got {studied}.")
    for trial, place in np.argwhere((given < -1) | (given > studied)):
        raise IPNetError(
            f"an answer must be a position from 1 to {studied}, 0 for none or -1 for an intrusion; got "
            f"{given[trial, place]} in trial {trial}."
        )
    return given.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Rate:
    """How often something happened, of how often it could have: ``actual / possible`` for each subject.

    Args:
        at: what a rate is of: positions or lags [K]; the list length [] of a single number.
        actual: counts [S, K], or [S] of a single number.
        possible: counts of the same shape.
    """

    at: Integers
    actual: Integers
    possible: Integers

    @property
    def by_subject(self) -> Floats:
        """The rate of each subject [S, K] or [S]; nan where it was never possible."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.actual / self.possible)

    @property
    def mean(self) -> Floats:
        """Mean over subjects [K] or []; those of whom it was never possible are left out."""
        return moments(self.by_subject)[0]

    @property
    def se(self) -> Floats:
        """Standard error of the mean, ``sd / sqrt(S)`` over the same subjects; nan for fewer than two."""
        return moments(self.by_subject)[1]


def moments(by_subject: Floats) -> tuple[Floats, Floats]:
    """Mean over subjects and its standard error, ``sd / sqrt(S)``, of [S, ...]; who has nan is left out."""
    count = np.isfinite(by_subject).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(by_subject, 0) / count
        se = np.sqrt(np.nansum((by_subject - mean) ** 2, 0) / (count - 1) / count)
    return np.asarray(mean), np.asarray(se)


def _table(recalls: Recalls, trial: Integers, column: Integers, width: int) -> Integers:
    """How often each column occurs in trials of each subject [S, width]."""
    cell = recalls.subject[trial] * width + column
    return np.bincount(cell, minlength=len(recalls.names) * width).reshape(-1, width)


def _of_lists(recalls: Recalls, trial: Integers, position: Integers) -> Rate:
    """The share of lists [S, L] for pairs of a trial and a position 1..L."""
    actual = _table(recalls, trial, position - 1, recalls.studied)
    positions = np.arange(1, recalls.studied + 1)
    return Rate(positions, actual, np.broadcast_to(recalls.lists[:, None], actual.shape))


def _was_recalled(recalls: Recalls) -> NDArray[np.bool_]:
    """Whether each item was recalled [trials, L + 1]; item 0 is none."""
    found = np.zeros((len(recalls.answers), recalls.studied + 1), bool)
    np.put_along_axis(found, np.maximum(recalls.answers, 0), True, 1)  # noqa: FBT003 - numpy takes it by place
    found[:, 0] = False
    return found


def serial_position_curve(recalls: Recalls) -> Rate:
    """``SPC(i) = lists in which item i was recalled / lists``, i = 1..L; a repeated item counts once.

    References:
        B. B. Murdock, J. Exp. Psychol. 64, 482 (1962).

    Example:
        >>> serial_position_curve(Recalls(3, [[3, 1, 3], [3, 2, -1]])).mean.tolist()
        [0.5, 0.5, 1.0]
    """
    return _of_lists(recalls, *np.nonzero(_was_recalled(recalls)))


def serial_recall_curve(recalls: Recalls) -> Rate:
    """``share of lists whose i-th answer is item i``, i = 1..L: serial recall, scored strictly.

    Here alone a 0 within the answers holds a place: an omission does not shift what follows.

    References:
        K. Oberauer et al., Psychol. Bull. 144, 885 (2018), benchmark 1.

    Example:
        >>> serial_recall_curve(Recalls(3, [[1, 0, 3], [2, 1, 3]])).mean.tolist()
        [0.5, 0.0, 1.0]
    """
    answers = recalls.answers[:, : recalls.studied]
    trial, place = np.nonzero(answers == np.arange(1, answers.shape[1] + 1))
    return _of_lists(recalls, trial, place + 1)


def probability_first_recall(recalls: Recalls) -> Rate:
    """``PFR(i) = lists whose first recall is item i / lists with a recall``, i = 1..L.

    Intrusions before the first recall are passed over and lists without any recall are left out, as in psifr's
    ``pnr``; so the rates of a subject sum to 1.

    References:
        M. W. Howard, M. J. Kahana, J. Exp. Psychol. Learn. Mem. Cogn. 25, 923 (1999).

    Example:
        >>> probability_first_recall(Recalls(3, [[3, 1], [-1, 2], [0, 0], [3, 2], [3, 1]])).mean.tolist()
        [0.0, 0.25, 0.75]
    """
    right = recalls.answers > 0
    trial = np.flatnonzero(right.any(1))
    first = recalls.answers[trial, right[trial].argmax(1)] if len(trial) else trial
    actual = _table(recalls, trial, first - 1, recalls.studied)
    possible = np.broadcast_to(actual.sum(1, keepdims=True), actual.shape)
    return Rate(np.arange(1, recalls.studied + 1), actual, possible)


def lag_crp(recalls: Recalls) -> Rate:
    """``CRP(lag) = transitions of this lag made / possible``, lag = -(L-1)..L-1: conditional response probability.

    A transition leads from one recall to the answer right after it, if both name items not recalled before: none
    leads to or from a repeat or an intrusion. Possible is every item not yet recalled; lag 0 never is.

    References:
        M. J. Kahana, Mem. Cogn. 24, 103 (1996).

    Example:
        >>> crp = lag_crp(Recalls(4, [[4, 2, 3, 1]]))
        >>> dict(zip(crp.at.tolist(), crp.actual[0].tolist()))
        {-3: 0, -2: 2, -1: 0, 0: 0, 1: 1, 2: 0, 3: 0}
        >>> crp.possible[0].tolist()
        [1, 2, 2, 0, 1, 0, 0]
    """
    trials, length = np.arange(len(recalls.answers)), recalls.studied
    width = 2 * length - 1
    actual, possible = (np.zeros((len(recalls.names), width), np.int64) for _ in range(2))
    left = np.ones((len(trials), length + 1), bool)  # not yet recalled
    left[:, 0] = False
    before = np.zeros(len(trials), np.int64)  # the new recall just before; 0 for none
    for answer in np.maximum(recalls.spoken, 0).T:
        is_new = left[trials, answer]
        moving = np.flatnonzero(is_new & (before > 0))
        row, item = np.nonzero(left[moving])
        actual += _table(recalls, moving, (answer - before)[moving] + length - 1, width)
        possible += _table(recalls, moving[row], item - before[moving[row]] + length - 1, width)
        left[trials, answer] = False
        before = np.where(is_new, answer, 0)
    return Rate(np.arange(1 - length, length), actual, possible)


def _per_list(recalls: Recalls, counts: Integers) -> Rate:
    """The mean of a count of each trial [trials] over the lists of each subject."""
    total = np.bincount(recalls.subject, counts).astype(np.int64)
    return Rate(np.asarray(recalls.studied), total, recalls.lists)


def mean_recalled(recalls: Recalls) -> Rate:
    """``different items recalled / lists``: the sum of the serial position curve.

    Example:
        >>> float(mean_recalled(Recalls(3, [[3, 1, 3], [3, -1, 0]])).mean)
        1.5
    """
    return _per_list(recalls, _was_recalled(recalls).sum(1))


def intrusions_per_list(recalls: Recalls) -> Rate:
    """``answers that name no item of the list / lists``.

    Example:
        >>> float(intrusions_per_list(Recalls(3, [[3, 1, 3], [3, -1, 0]])).mean)
        0.5
    """
    return _per_list(recalls, (recalls.answers == -1).sum(1))


def share_of(subjects: Integers, happened: NDArray[np.bool_], among: NDArray[np.bool_] | None = None) -> Rate:
    """``how often it happened / how often it could have`` for each subject: hits, false alarms, right answers.

    Args:
        subjects: whose trial it was [trials].
        happened: in each trial [trials, answers].
        among: where it could have; None for everywhere.

    Example:
        >>> share_of(np.array([7, 7]), np.array([[True, False], [True, True]])).mean.item()
        0.75
    """
    shares = shares_of(subjects, happened, among)
    return Rate(np.asarray(happened.shape[1]), shares.actual.sum(1), shares.possible.sum(1))


def shares_of(subjects: Integers, happened: NDArray[np.bool_], among: NDArray[np.bool_] | None = None) -> Rate:
    """As `share_of`, for each of the answers by itself [answers].

    Example:
        >>> shares_of(np.array([7, 7]), np.array([[True, False], [True, True]])).mean.tolist()
        [1.0, 0.5]
    """
    among = np.ones_like(happened) if among is None else among
    names, subject = np.unique(subjects, return_inverse=True)
    actual, possible = np.zeros((2, len(names), happened.shape[1]), np.int64)
    np.add.at(actual, subject, happened & among)
    np.add.at(possible, subject, among)
    return Rate(np.arange(1, happened.shape[1] + 1), actual, possible)


def to_psifr(recalls: Recalls) -> dict[str, NDArray[Any]]:
    """Columns of psifr's long table, one row per studied item and per answer; for ``pandas.DataFrame``.

    Args:
        recalls: their lists are numbered 1, 2, ... for each subject.

    Returns:
        ``subject``; ``list``; ``trial_type``, ``"study"`` or ``"recall"``; ``position`` in the list or among the
        answers, from 1; ``item``, a number: no two lists of a subject share one, and intrusions have numbers < 0.

    Example:
        >>> table = to_psifr(Recalls(2, [[2, -1, 2]]))
        >>> table["trial_type"].tolist(), table["position"].tolist(), table["item"].tolist()
        (['study', 'study', 'recall', 'recall', 'recall'], [1, 2, 1, 2, 3], [1, 2, 2, -1, 2])
    """
    spoken, length = recalls.spoken, recalls.studied
    order = np.argsort(recalls.subject, kind="stable")
    number = np.empty(len(spoken), np.int64)  # of the list, for its subject
    number[order] = 1 + np.arange(len(spoken)) - np.repeat(np.cumsum(recalls.lists) - recalls.lists, recalls.lists)
    study, output = np.arange(1, length + 1), np.arange(1, spoken.shape[1] + 1)
    item = np.hstack([np.broadcast_to(study, (len(spoken), length)), spoken]) + (number[:, None] - 1) * length
    item[:, length:][spoken == -1] = -1 - np.arange((spoken == -1).sum())
    is_there = np.hstack([np.ones((len(spoken), length), bool), spoken != 0])
    columns = {
        "subject": recalls.names[recalls.subject][:, None],
        "list": number[:, None],
        "trial_type": np.repeat(["study", "recall"], [length, len(output)]),
        "position": np.hstack([study, output]),
        "item": item,
    }
    return {name: np.broadcast_to(column, item.shape)[is_there] for name, column in columns.items()}


def write_psifr_csv(path: Path, recalls: Recalls) -> Path:
    """Write the table of `to_psifr` as CSV with a header, whole or not at all; returns `path`.

    Raises:
        IPNetError: the folder cannot be written.
    """
    table = to_psifr(recalls)

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table)
            writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))

    write_atomically(path, write)
    return path
