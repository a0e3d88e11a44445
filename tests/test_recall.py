"""Analyses of recall: tables counted by hand, laws for random answers, and psifr as the oracle."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ipnet.errors import IPNetError
from ipnet.recall import (
    Rate,
    Recalls,
    intrusions_per_list,
    lag_crp,
    mean_recalled,
    probability_first_recall,
    serial_position_curve,
    serial_recall_curve,
    to_psifr,
    write_psifr_csv,
)

ANALYSES = (
    serial_position_curve,
    serial_recall_curve,
    probability_first_recall,
    lag_crp,
    mean_recalled,
    intrusions_per_list,
)
nan = float("nan")

# Transitions of a: 5 to 1 and 1 to 2; the second 1 is a repeat. Its other list has none: an intrusion parts 4 from
# 5, and the second 5 is a repeat. Those of b: 2 to 3.
BY_HAND = Recalls(5, [[5, 1, 2, 1, 3], [-1, 2, 3, 0, 0], [4, -1, 5, 5, 2], [0, 0, 0, 0, 0]], subjects="abab")


@pytest.mark.parametrize(
    ("analysis", "a", "b", "mean", "se"),
    [
        (
            serial_position_curve,
            [0.5, 1, 0.5, 0.5, 1],
            [0, 0.5, 0.5, 0, 0],
            [0.25, 0.75, 0.5, 0.25, 0.5],
            [0.25, 0.25, 0, 0.25, 0.5],
        ),
        (serial_recall_curve, [0] * 5, [0, 0.5, 0.5, 0, 0], [0, 0.25, 0.25, 0, 0], [0, 0.25, 0.25, 0, 0]),
        (
            probability_first_recall,
            [0, 0, 0, 0.5, 0.5],
            [0, 1, 0, 0, 0],
            [0, 0.5, 0, 0.25, 0.25],
            [0, 0.5, 0, 0.25, 0.25],
        ),
        (
            lag_crp,
            [1, 0, 0, 0, nan, 1, 0, 0, nan],
            [nan, nan, nan, 0, nan, 1, 0, 0, nan],
            [1, 0, 0, 0, nan, 1, 0, 0, nan],
            [nan, nan, nan, 0, nan, 0, 0, 0, nan],
        ),
        (mean_recalled, 3.5, 1, 2.25, 1.25),
        (intrusions_per_list, 0.5, 0.5, 0.5, 0),
    ],
    ids=["positions", "places", "first", "lags", "recalled", "intrusions"],
)
def test_counted_by_hand(
    analysis: Callable[[Recalls], Rate], a: object, b: object, mean: object, se: object
) -> None:
    found = analysis(BY_HAND)
    np.testing.assert_allclose(found.by_subject, [a, b])
    np.testing.assert_allclose(found.mean, mean)
    np.testing.assert_allclose(found.se, se, atol=1e-15)
    assert found.at.shape == found.mean.shape


def test_transitions_counted_by_hand() -> None:
    found = lag_crp(BY_HAND)
    assert found.at.tolist() == [-4, -3, -2, -1, 0, 1, 2, 3, 4]
    assert found.actual.tolist() == [[1, 0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0, 0, 0]]
    assert found.possible.tolist() == [[1, 1, 1, 1, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 1, 1, 1, 0]]


def test_the_standard_error_is_that_of_the_means_of_subjects() -> None:
    # Shares of item 1: 1/4, 1/2 and 1 of 4, 2 and 1 lists; the mean of lists would be 3/7.
    found = serial_position_curve(Recalls(1, [[1], [0], [0], [0], [1], [0], [1]], subjects=[3, 3, 3, 3, 5, 5, 8]))
    assert found.mean.tolist() == [pytest.approx(7 / 12)]
    assert found.se.tolist() == [pytest.approx(np.std([0.25, 0.5, 1], ddof=1) / np.sqrt(3))]
    assert np.isnan(serial_position_curve(Recalls(1, [[1], [0]])).se).all()


@st.composite
def some_recalls(draw: st.DrawFn) -> Recalls:
    studied, trials = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    answers = draw(arrays(np.int64, (trials, draw(st.integers(0, 7))), elements=st.integers(-1, studied)))
    subjects = draw(st.lists(st.integers(0, 2), min_size=trials, max_size=trials))
    return Recalls(studied, answers, subjects)


@given(some_recalls())
def test_the_serial_position_curve_adds_up_to_the_items_recalled(recalls: Recalls) -> None:
    curve, mean = serial_position_curve(recalls), mean_recalled(recalls)
    np.testing.assert_allclose(curve.by_subject.sum(1), mean.by_subject)
    assert float(curve.mean.sum()) == pytest.approx(float(mean.mean))
    answers = (recalls.answers > 0).sum(1) + (recalls.answers == -1).sum(1)
    assert float((mean.actual + intrusions_per_list(recalls).actual).sum()) <= answers.sum()


@given(some_recalls())
def test_rates_are_shares_and_somebody_comes_first(recalls: Recalls) -> None:
    for analysis in ANALYSES[:4]:
        found = analysis(recalls)
        assert (found.actual >= 0).all()
        assert (found.actual <= found.possible).all()
        assert found.at.shape == found.actual.shape[1:]
    first = probability_first_recall(recalls)
    recalling = mean_recalled(recalls).actual > 0
    np.testing.assert_allclose(first.by_subject[recalling].sum(1), 1)
    assert np.isnan(first.by_subject[~recalling]).all()


@given(some_recalls())
def test_every_list_has_at_most_one_transition_fewer_than_recalls(recalls: Recalls) -> None:
    crp = lag_crp(recalls)
    first, mean = probability_first_recall(recalls), mean_recalled(recalls)
    assert (crp.actual.sum(1) <= mean.actual - first.actual.sum(1)).all()
    assert (crp.possible[:, recalls.studied - 1] == 0).all()  # lag 0


@given(some_recalls(), st.randoms(use_true_random=False))
def test_the_order_of_trials_means_nothing(recalls: Recalls, random: object) -> None:
    order = np.arange(len(recalls.answers))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = Recalls(recalls.studied, recalls.answers[order], recalls.names[recalls.subject][order])
    for analysis in ANALYSES:
        np.testing.assert_array_equal(analysis(shuffled).actual, analysis(recalls).actual)
        np.testing.assert_array_equal(analysis(shuffled).possible, analysis(recalls).possible)


@given(some_recalls())
def test_a_list_read_backwards_mirrors_positions_and_lags(recalls: Recalls) -> None:
    answers = np.where(recalls.answers > 0, recalls.studied + 1 - recalls.answers, recalls.answers)
    mirrored = Recalls(recalls.studied, answers, recalls.subject)
    for analysis in serial_position_curve, probability_first_recall, lag_crp:
        np.testing.assert_array_equal(analysis(mirrored).actual, analysis(recalls).actual[:, ::-1])
        np.testing.assert_array_equal(analysis(mirrored).possible, analysis(recalls).possible[:, ::-1])


@given(some_recalls(), st.data())
def test_gaps_among_the_answers_matter_to_serial_recall_alone(recalls: Recalls, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, recalls.answers.shape[1]))
    apart = Recalls(recalls.studied, np.insert(recalls.answers, place, 0, axis=1), recalls.subject)
    for analysis in set(ANALYSES) - {serial_recall_curve}:
        np.testing.assert_array_equal(analysis(apart).actual, analysis(recalls).actual)
        np.testing.assert_array_equal(analysis(apart).possible, analysis(recalls).possible)


def test_an_omission_keeps_its_place_in_serial_recall() -> None:
    assert serial_recall_curve(Recalls(3, [[1, 0, 3]])).mean.tolist() == [1, 0, 1]
    assert serial_recall_curve(Recalls(3, [[1, 3, 0]])).mean.tolist() == [1, 0, 0]
    assert serial_recall_curve(Recalls(2, [[1, 2, 2]])).mean.tolist() == [1, 1]  # more answers than items


@pytest.fixture
def psifr():  # type: ignore[no-untyped-def]
    return pytest.importorskip("psifr.fr", reason="psifr (GPL) is an oracle of the tests only")


@pytest.mark.parametrize("studied", range(2, 12))
def test_psifr_finds_the_same(psifr, studied: int) -> None:  # type: ignore[no-untyped-def]
    """Ten data sets of two subjects with repeats, intrusions, gaps and lists without a recall."""
    import pandas as pd

    rng = np.random.default_rng(studied)
    subjects = rng.permutation(np.repeat(np.arange(20), 4))
    answers = rng.integers(-1, studied + 1, (len(subjects), studied + 1))
    answers *= np.arange(studied + 1) < rng.integers(0, studied + 2, (len(subjects), 1))
    recalls = Recalls(studied, answers, subjects)
    table = psifr.merge_free_recall(pd.DataFrame(to_psifr(recalls)))

    def compare(found: Rate, theirs: pd.DataFrame, at: str, columns: dict[str, str]) -> None:
        for ours, column in columns.items():
            pivot = theirs.pivot_table(column, "subject", at, dropna=False)
            assert pivot.columns.tolist() == found.at.tolist()
            assert pivot.index.tolist() == recalls.names.tolist()
            np.testing.assert_allclose(getattr(found, ours), pivot, rtol=1e-12)
            if ours == "by_subject":
                np.testing.assert_allclose(found.mean, pivot.mean(), rtol=1e-12)
                np.testing.assert_allclose(found.se, pivot.sem(), rtol=1e-9, atol=1e-15)

    compare(serial_position_curve(recalls), psifr.spc(table), "input", {"by_subject": "recall"})
    counts = {"actual": "actual", "possible": "possible", "by_subject": "prob"}
    compare(lag_crp(recalls), psifr.lag_crp(table), "lag", counts)
    first = psifr.pnr(table).query("output == 1")
    compare(probability_first_recall(recalls), first, "input", counts)
    table["right"] = table["study"] & table["recall"]
    per_list = table.groupby(["subject", "list"])[["right", "intrusion"]].sum().groupby("subject").mean()
    np.testing.assert_allclose(mean_recalled(recalls).by_subject, per_list["right"])
    np.testing.assert_allclose(intrusions_per_list(recalls).by_subject, per_list["intrusion"])
    assert lag_crp(recalls).actual.sum() > 10
    assert (answers == -1).any()


def test_the_table_of_psifr_numbers_lists_items_and_intrusions(tmp_path: Path) -> None:
    recalls = Recalls(2, [[2, -1, 0], [0, 0, 0], [-1, 0, 2], [-1, 1, -1]], subjects=["b", "a", "a", "b"])
    path = write_psifr_csv(tmp_path / "new" / "recalls.csv", recalls)
    assert path.read_text("utf-8").splitlines() == [
        "subject,list,trial_type,position,item",
        *("b,1,study,1,1", "b,1,study,2,2", "b,1,recall,1,2", "b,1,recall,2,-1"),
        *("a,1,study,1,1", "a,1,study,2,2"),
        *("a,2,study,1,3", "a,2,study,2,4", "a,2,recall,1,-2", "a,2,recall,2,4"),
        *("b,2,study,1,3", "b,2,study,2,4", "b,2,recall,1,-3", "b,2,recall,2,3", "b,2,recall,3,-4"),
    ]
    assert [file.name for file in path.parent.iterdir()] == ["recalls.csv"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IPNetError, match="file' must be writable"):
        write_psifr_csv(tmp_path / "file" / "recalls.csv", BY_HAND)


def test_answers_are_copied_and_cannot_be_changed() -> None:
    mine = np.array([[1, 2], [2, -1]])
    recalls = Recalls(2, mine)
    mine[:] = 0
    assert recalls.answers.tolist() == [[1, 2], [2, -1]]
    with pytest.raises(ValueError, match="read-only"):
        recalls.answers[0, 0] = 1
    with pytest.raises(AttributeError):
        recalls.studied = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("studied", "answers", "subjects", "message"),
    [
        (3, [[1, 4]], (), "a position from 1 to 3, 0 for none or -1 for an intrusion; got 4 in trial 0"),
        (3, [[1, 3], [0, -2]], (), "got -2 in trial 1"),
        (3, [[1.0, 2.0]], (), r"integers \[trials, answers\]; got float64 \[1, 2\]"),
        (3, [1, 2], (), r"got int64 \[2\]"),
        (3, np.empty((0, 4), np.int64), (), r"got int64 \[0, 4\]"),
        (3, [[1, 2], [3]], (), "padded with 0; got"),
        (0, [[0]], (), "a list must have 1 item or more; got 0"),
        (3, [[1], [2]], "abc", "every trial needs a subject; got 3 of them for 2 trials"),
    ],
)
def test_what_is_no_recall(studied: int, answers: object, subjects: str, message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        Recalls(studied, answers, subjects)  # type: ignore[arg-type]
