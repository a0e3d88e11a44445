"""Memory paradigms: contracts, stimuli against brute force, and how they are performed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from psifr import fr as psifr

from ipnet.contracts import check_paradigm
from ipnet.errors import IPNetError
from ipnet.field import Layout
from ipnet.observer import Observer, _timed, observer_of, perform
from ipnet.paradigm import PARADIGMS, Cue, Judge, Pause, Performance, Recall, Show, Step

LAYOUT = Layout(places=128, size=8, junctions=64, words=40, distractors=10, category=5)
OPTIONS = {
    "free_recall": [{}, {"delay": 2.5}, {"delay": 3, "filled": False}, {"distractor": 1.5, "list_length": 4}],
    "n_back": [{}, {"n": 1}, {"n": 5, "lures": 0.5}, {"matches": 0.0, "lures": 0.0}, {"columns": False}],
    "recognition": [{}, {"delay": 4.0}],
    "proactive_interference": [{}, {"ab_presentations": 3}],
    "retroactive_interference": [{"list_length": 3, "interpolated_lists": 4}, {"interpolated_lists": 0}],
    "serial_recall": [{}, {"distractors": 3, "kinds": "identical"}, {"distractors": 2, "list_length": 1}],
    "release": [{}, {"change": False, "words": 1}, {"retention": 0.0}],
    "similarity": [{}, {"list_length": 10}],
    "retention": [{}, {"retention": 0.0}, {"filled": False}],
}


@pytest.mark.parametrize("name", list(PARADIGMS))
def test_every_paradigm_keeps_the_contract(name: str) -> None:
    for options in OPTIONS.get(name, [{}]):
        check_paradigm(name, **options)


def test_stimuli_are_the_same_in_another_process() -> None:
    code = (
        "from ipnet.paradigm import PARADIGMS; from ipnet.field import Layout;"
        "print([PARADIGMS.build(n).items(Layout(), 7, 11).tolist() for n in PARADIGMS])"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(there) == [PARADIGMS.build(name).items(Layout(), 7, 11).tolist() for name in PARADIGMS]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5), st.integers(1, 12), st.floats(0, 0.6), st.floats(0, 0.4), st.integers(0, 2**32))
def test_labels_and_lures_are_those_of_brute_force(
    n: int, steps: int, matches: float, lures: float, seed: int
) -> None:
    """10,000 streams: 50 for each of 200 choices."""
    paradigm = PARADIGMS.build("n_back", n=n, steps=steps, matches=matches, lures=lures, letters=8)
    streams = np.stack([paradigm.stream(seed, index) for index in range(50)])
    row = PARADIGMS.build("n_back", n=n, steps=steps, matches=matches, lures=lures, letters=8, columns=False)
    streams_of_one = np.stack([row.stream(seed, index) for index in range(5)])
    for letters, match, lure in zip(streams_of_one, *row.kinds(streams_of_one), strict=True):
        for step in range(n, n + steps):
            assert match[step - n] == (letters[step] == letters[step - n])
            near = [letters[b] for b in (step - n + 1, step - n - 1) if 0 <= b < step]
            assert lure[step - n] == (letters[step] != letters[step - n] and letters[step] in near)
    for letters, match, lure in zip(streams, *paradigm.kinds(streams), strict=True):
        columns = dict(enumerate(letters[:n]))  # what stands in each of them
        for step, letter in enumerate(letters[n:], n):
            own = columns[step % n]
            assert match[step - n] == (letter == own)
            others = [seen for column, seen in columns.items() if column != step % n]
            assert lure[step - n] == (letter != own and letter in others)
            columns[step % n] = letter


def test_shares_of_matches_and_lures_are_as_asked() -> None:
    paradigm = PARADIGMS.build("n_back", n=3, steps=2000, matches=0.3, lures=0.2)
    match, lure = paradigm.kinds(paradigm.stream(0, 0)[None])
    assert match.mean() == pytest.approx(0.3, abs=0.05)
    assert lure.mean() == pytest.approx(0.2, abs=0.05)


def test_items_are_pulsed_in_whole_cycles_and_no_time_is_lost() -> None:
    def cycles(*script: Step) -> list[tuple[str, int]]:
        return [(type(step).__name__, count) for step, count in _timed(Observer(), list(script))]

    assert cycles(Show(0, 1.5), Show(1, 1.5), Pause(0.2), Recall(3.0)) == [
        ("Show", 1),
        ("Show", 1),
        ("Pause", 1),  # what two words have left
        ("Pause", 0),
        ("Recall", 3),
    ]
    assert cycles(Pause(0.6), Judge(0), Pause(0.6), Cue(0, "place")) == [
        ("Pause", 0),
        ("Judge", 1),
        ("Pause", 1),
        ("Cue", 1),
    ]
    assert sum(count for _, count in cycles(*[Show(0, 1.1)] * 30)) == 33
    with pytest.raises(IPNetError, match=r"got 0.2 s, and 1 s per cycle: lower seconds_per_cycle"):
        cycles(Show(0, 0.2))


@pytest.mark.parametrize("delay", [0.0, 0.5, 1.5, 2.5, 10.3])
@pytest.mark.parametrize("pace", [1.0, 1.5, 1.9, 3.0])
def test_any_pace_and_delay_of_a_second_or_more(delay: float, pace: float) -> None:
    paradigm = PARADIGMS.build("free_recall", list_length=12, seconds_per_item=pace, delay=delay)
    curves = paradigm.score(perform(observer_of("mtj-thermal"), paradigm, subjects=40, trials=4))
    end = curves["serial_position"].mean[-5:]
    assert (np.diff(end) > -0.08).all()  # no word is pulsed more often than its neighbours


def test_a_performance_is_a_function_of_its_seed() -> None:
    paradigm = PARADIGMS.build("free_recall", list_length=4)
    state = torch.get_rng_state()
    first, same, other = (
        perform(Observer(layout=LAYOUT), paradigm, subjects=3, trials=2, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.recalled, same.recalled)
    assert not np.array_equal(first.items, other.items)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", list(PARADIGMS))
def test_a_memoryless_card_is_at_chance(name: str) -> None:
    """What it names or calls old has nothing to do with what it was shown."""
    paradigm = PARADIGMS.build(name)
    performed = perform(Observer(card="memoryless"), paradigm, subjects=40, trials=10)
    curves = paradigm.score(performed)
    if "hits" in curves:
        wrong = curves["false_alarms"]
        assert abs(curves["hits"].mean - wrong.mean) < 4 * np.hypot(curves["hits"].se, wrong.se)
        assert wrong.mean == pytest.approx(0.05, abs=0.02)
        return
    found = [curves[key] for key in ("serial_position", "recalled", "B", "C") if key in curves]
    answers = np.concatenate([performed.recalled, performed.named], 1)
    guessed = (answers >= 0).sum() / len(answers)  # words that were named, per trial
    assert all(rate.mean.mean() < 4 * guessed / Layout().category + 0.01 for rate in found)
    assert guessed < 2 + 0.1 * performed.named.shape[1]


def test_serial_recall_scores_what_is_named_at_its_place() -> None:
    paradigm = PARADIGMS.build("serial_recall", list_length=3)
    items = np.stack([paradigm.items(Layout(), 0, index) for index in range(2)])
    named = items[:, :3].copy()
    named[0, 1], named[1, [0, 1]] = -1, named[1, [1, 0]]
    nothing = np.zeros((2, 0))
    curves = paradigm.score(
        Performance(items, nothing, named, nothing.astype(int), np.array([0, 1]), 1.6, Layout())
    )
    assert curves["serial_position"].actual.tolist() == [[1, 0, 1], [0, 0, 1]]
    assert curves["recalled"].actual.tolist() == [2, 1]
    assert curves["without_error"].actual.tolist() == [0, 0]


def test_interference_is_scored_by_list_and_by_response() -> None:
    pairs = PARADIGMS.build("proactive_interference", pairs=3)
    items = pairs.items(Layout(), 0, 0)[None]
    B, C, asked = items[0, :3], items[0, 3:6], items[0, 6:]
    assert sorted(asked) == sorted(C)
    assert (B // 10 == C // 10).all()
    assert (B != C).all()
    of = {int(c): int(b) for b, c in zip(B, C, strict=True)}
    named = np.array([[of[int(asked[0])], asked[0], asked[1], -1, -1, -1]])
    empty, who = np.zeros((1, 0)), np.array([0])
    shares = pairs.score(Performance(items, empty, named, empty.astype(int), who, 1.6, Layout()))
    assert {name: share.actual.tolist() for name, share in shares.items()} == {"B": [1], "C": [2]}
    lists = PARADIGMS.build("retroactive_interference", list_length=4, interpolated_lists=2)
    items = lists.items(Layout(), 0, 0)[None]
    assert len(set(items[0])) == 12
    recalled = items[:, [1, 3, 6]]  # two of the first list, one of the second
    curves = lists.score(Performance(items, empty, empty.astype(int), recalled, who, 1.6, Layout()))
    assert curves["recalled"].mean == 0.5
    assert curves["intrusions"].mean == 1


def test_what_resembles_an_old_word_is_taken_for_it() -> None:
    paradigm = PARADIGMS.build("similarity")
    wrong = []
    for overlap in (0.0, 0.5, 0.9):
        observer = observer_of("mtj-thermal").changed([f"layout.overlap={overlap}"])
        curves = paradigm.score(perform(observer, paradigm, subjects=40, trials=5))
        wrong.append(float(curves["similar_false_alarms"].mean))
        assert curves["hits"].mean > 0.4
        assert curves["false_alarms"].mean < 0.12
    assert wrong[0] < 0.12
    assert wrong[0] + 0.1 < wrong[1] < wrong[2]


def test_a_new_category_releases_from_what_was_learnt_before() -> None:
    recalled = []
    for change in (False, True):
        paradigm = PARADIGMS.build("release", change=change, retention=1.0)
        curves = paradigm.score(perform(observer_of("mtj-thermal"), paradigm, subjects=60, trials=5))
        recalled.append(curves["recalled"].mean)
        assert curves["earlier_words"].mean[0] == 0
    assert recalled[0][0] > recalled[0][3] + 0.05  # interference builds up
    assert recalled[1][3] > recalled[0][3] + 0.05  # and ends with the category


def test_distractors_are_the_same_or_not() -> None:
    for kinds, different in (("identical", 1), ("different", 3)):
        paradigm = PARADIGMS.build("serial_recall", distractors=3, kinds=kinds)
        shown = paradigm.items(Layout(distractors=3), 0, 0)[5:].reshape(5, 3)
        assert [len(set(after)) for after in shown.tolist()] == [different] * 5


def test_recall_begins_with_the_end_of_a_list_and_fades() -> None:
    paradigm = PARADIGMS.build("free_recall", list_length=10)
    curve = paradigm.score(perform(observer_of("mtj-thermal"), paradigm, subjects=30, trials=4))
    recalled = curve["serial_position"].mean
    assert recalled[-1] > 0.9
    assert (np.diff(recalled[4:]) > 0).all()
    assert curve["probability_first_recall"].mean.argmax() == 9
    delayed = PARADIGMS.build("free_recall", list_length=10, delay=15)
    late = delayed.score(perform(observer_of("mtj-thermal"), delayed, subjects=30, trials=4))
    assert late["serial_position"].mean[-1] < recalled[-1] / 3


def test_rehearsal_keeps_several_words_and_is_done_in_spare_cycles_alone() -> None:
    def curve(seconds: float, *, rehearses: bool) -> np.ndarray:
        paradigm = PARADIGMS.build("free_recall", list_length=10, seconds_per_item=seconds)
        observer = observer_of("mtj-thermal").model_copy(update={"rehearses": rehearses})
        return paradigm.score(perform(observer, paradigm, subjects=30, trials=4))["serial_position"].mean

    without, rehearsed = curve(2, rehearses=False), curve(2, rehearses=True)
    assert (rehearsed[:3] > without[:3] + 0.1).all()
    assert rehearsed[0] > rehearsed[3:5].max()  # primacy
    assert rehearsed[-1] == rehearsed.max()  # and recency
    assert (curve(1, rehearses=False) == curve(1, rehearses=True)).all()  # at one word per cycle none is to spare


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seconds_per_cycle=0", "'seconds_per_cycle' must be greater than 0; got 0"),
        ("patience=0", "'patience' must be greater than or equal to 1; got 0"),
        ("false_alarms=0.6", "'false_alarms' must be less than or equal to 0.5; got 0.6"),
        ("layout.junction=3", "unknown key 'layout.junction'; did you mean 'layout.junctions'?"),
        ("layout.size=600", "an item must fit into the field; got 600 places of 512"),
        ("layout.overlap=1", "'layout.overlap' must be less than 1; got 1"),
    ],
)
def test_bad_choices_are_refused(ipnet, setting: str, message: str) -> None:  # type: ignore[no-untyped-def]
    code, _, err = ipnet("tasks", "run", "retention", "--set", setting)
    assert code == 2
    assert message in err
    assert observer_of("mtj-thermal").changed(["layout.overlap=0.25"]).layout.overlap == 0.25


def test_the_command_predicts_what_is_asked_for(ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = (
        "tasks",
        "run",
        "free-recall",
        "--list-length",
        5,
        "--seconds-per-item",
        2,
        "--delay=0",
        "--subjects",
        4,
    )
    code, out, err = ipnet(*words, "--trials", 2, "--json", "-o", tmp_path / "new" / "found.json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert json.loads((tmp_path / "new" / "found.json").read_text()) == found
    for key in ("serial_position", "probability_first_recall"):
        assert len(found[key]) == len(found[f"{key}_se"]) == 5
    assert 0 <= found["mean_recalled"] <= 5
    assert found["mean_recalled_se"] >= 0
    assert found["parameters"]["list_length"] == 5
    assert found["choices"]["layout"]["junctions"] == observer_of("mtj-thermal").layout.junctions
    assert {"card", "t_cycle", "seconds_per_cycle", "false_alarms", "patience", "rehearses"} < set(
        found["choices"]
    )
    code, out, _ = ipnet(*words)
    assert code == 0
    assert "free choices: t_cycle" in out


def test_the_recalls_are_written_for_psifr(ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = "tasks", "run", "free-recall", "--list-length", 5, "--subjects", 3, "--trials", 2
    code, out, _ = ipnet(*words, "--table", tmp_path / "recalls.csv", "--json")
    assert code == 0
    raw = pd.read_csv(tmp_path / "recalls.csv")
    merged = psifr.merge_free_recall(raw)
    curve = psifr.spc(merged).groupby("input")["recall"].mean()
    assert curve.tolist() == pytest.approx(json.loads(out)["serial_position"])
    code, _, err = ipnet("tasks", "run", "n-back", "--subjects", 2, "--trials", 1, "--table", tmp_path / "x.csv")
    assert (code, "--table needs a task with recall; 'n-back' has none: leave it out" in err) == (2, True)


def test_the_command_lists_the_tasks(ipnet) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = ipnet("tasks", "--json")
    assert code == 0
    assert [entry["name"] for entry in json.loads(out)] == sorted(name.replace("_", "-") for name in PARADIGMS)
    assert "--list-length 20" in " ".join(ipnet("tasks")[1].split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("free-recal",), "unknown paradigm 'free_recal'; did you mean 'free_recall'?"),
        (("free-recall", "--list-lenght", 3), "did you mean 'list_length'?"),
        (("free-recall", "--list-length", "x"), "'list_length' must be a valid integer; got 'x'"),
        (("free-recall", "--list-length"), "the parameter --list-length needs a value, as in --delay 10"),
        (("free-recall", "15"), "is written --name value, as in --delay 10; got '15'"),
        (("free-recall", "--list-length", 300), "a trial needs 300 words; got 200: raise the words"),
        (("free-recall", "--delay", -1), "delay must not be negative; got -1 s: take 0 for none"),
        (("n-back", "--n", 0), "n must be 1 or more; got 0: raise n"),
        (("n-back", "--matches", 0.9, "--lures", 0.3), "matches and lures are shares of all steps"),
        (("n-back", "--letters", 30), "every letter needs a category; got 30: take 20 at most"),
        (("retention", "--retention", -2), "retention must not be negative; got -2 s"),
        (("serial-recall", "--list-length", 11), "every place needs a word; got 11: take 10 at most"),
        (("serial-recall", "--distractors", -1), "distractors must not be negative; got -1: take 0 for none"),
        (("serial-recall", "--kinds", "odd"), "'kinds' must be 'different' or 'identical'; got 'odd'"),
        (("retroactive-interference", "--interpolated-lists", -1), "must not be negative; got -1: take 0"),
        (("proactive-interference", "--pairs", 21), "every cue needs a category; got 21: take 20 at most"),
        (("free-recall", "--delay", "inf"), "delay must not be negative; got inf s"),
        (("free-recall", "--recall-seconds", "inf"), "recall takes time; got inf s"),
        (("serial-recall", "--distractors", 200), "distractors must differ; got 200: at most 100"),
        (("similarity", "--list-length", 11), "half of the categories must be new; got 11: take 10 at most"),
        (("release", "--words", 11), "a category must hold the words; got 11: take fewer words"),
        (("recognition", "--list-length", 0), "a list must have 1 word or more; got 0"),
        (("free-recall", "--card", "no-such"), "no-such"),
    ],
)
def test_bad_words_of_the_command(ipnet, words: tuple[object, ...], message: str) -> None:  # type: ignore[no-untyped-def]
    code, _, err = ipnet("tasks", "run", *words, "--subjects", 2, "--trials", 1)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
