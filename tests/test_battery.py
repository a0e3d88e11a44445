"""The battery: what it compares with people, its statistics on known outcomes, its command and its claims."""

import json
from pathlib import Path

import numpy as np
import pytest

from fabricated import fabricate_battery, write_battery
from ipnet.battery import FIXED_ON, Outcome, Series, ages_of, all_series, distances, reference_models, trends
from ipnet.battery_figure import battery_figure, cards_figure
from ipnet.battery_tables import battery_sheets
from ipnet.claims import ledger
from ipnet.errors import IPNetError
from ipnet.human import human_reference
from ipnet.observer import observer_of
from ipnet.paradigm import PARADIGMS
from ipnet.written_battery import WrittenBattery, read_batteries, read_battery

SUBJECTS = 30


def outcome(entry: Series, values: np.ndarray, spread: float = 0.0) -> Outcome:
    noise = np.random.default_rng(0).normal(0, spread, (SUBJECTS, len(values)))
    at = np.arange(len(values)) if None in entry.conditions else np.array(list(entry.conditions))
    return Outcome(at, values + noise - noise.mean(0))


def outcomes_of_people() -> dict[str, Outcome]:
    """A card that does what people do; where there are no numbers, it does nothing."""
    return {
        entry.name: outcome(entry, np.array(entry.people or [0.0] * len(entry.ages)), 0.01)
        for entry in all_series()
    }


def test_every_series_has_a_place_for_each_number() -> None:
    for entry in all_series():
        for options in entry.conditions.values():
            PARADIGMS.build(entry.paradigm, **options)
        places = len(entry.conditions) if None not in entry.conditions else len(entry.ages)
        assert len(entry.ages) == places
        assert not entry.people or len(entry.people) == places
        assert len(entry.people_se) in (0, places)
    known = {entry.name for entry in all_series() if entry.people}
    people = human_reference()
    assert len(known) == 2 * len(people.free_recall.conditions) + 6  # every table of the reference is predicted
    assert FIXED_ON in known


def test_who_does_as_people_do_is_at_no_distance_and_shows_every_trend_of_theirs() -> None:
    outcomes = outcomes_of_people()
    for name, row in distances(outcomes).items():
        assert row["card"].rmse == pytest.approx(0, abs=1e-9), name
        assert row["card"].r == pytest.approx(1), name
        low, high = row["card"].rmse_interval
        assert 0 <= low < high < 0.02
    found = {trend.statement: trend for trend in trends(outcomes)}
    no_numbers = {"primacy outlasts the delay"}  # of people for the delayed list
    first_session = {"accuracy falls with each step of n"}  # people fall with each in all sessions together
    assert {s for s, trend in found.items() if trend.verdict != "holds"} == no_numbers | first_session
    assert (np.diff(human_reference().n_back.all_sessions) < 0).all()


def test_who_does_nothing_shows_no_trend() -> None:
    nothing = {entry.name: outcome(entry, np.full(len(entry.ages), 0.5), 0.05) for entry in all_series()}
    assert {trend.verdict for trend in trends(nothing)} <= {"undecided", "fails"}
    upside = {
        entry.name: outcome(entry, 1 - np.array(entry.people or [0.0] * len(entry.ages)), 0.01)
        for entry in all_series()
    }
    verdicts = {trend.statement: trend.verdict for trend in trends(upside)}
    assert verdicts["recency: the last five positions rise"] == "fails"
    assert verdicts["primacy: the first three positions are above the middle"] == "fails"


def test_intervals_cover_the_mean_over_subjects() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for number in range(200):
        drawn = Outcome(np.arange(2), rng.normal(0.4, 0.1, (SUBJECTS, 2)))
        low, high = np.quantile(drawn.resampled(number)[:, 0], [0.025, 0.975])
        covered += low <= 0.4 <= high
    assert 180 <= covered <= 199


def test_a_subject_without_an_occasion_is_left_out() -> None:
    values = np.array([[0.2, np.nan], [0.4, 0.6], [0.6, 0.8]])
    found = Outcome(np.arange(2), values)
    assert found.mean.tolist() == pytest.approx([0.4, 0.7])
    again = found.resampled(0)[:, 1]
    assert np.isnan(again).mean() == pytest.approx(1 / 27, abs=0.02)  # the one subject, three times
    assert abs(np.nanmean(again) - 0.7) < 0.02


def test_reference_models_are_fitted_on_one_condition() -> None:
    models, entries = reference_models(), {entry.name: entry for entry in all_series()}
    fixed = entries[FIXED_ON]
    people = np.array(fixed.people)
    assert models["constant"](fixed) == pytest.approx(people.mean())
    for name in ("exponential trace", "power trace"):
        predicted = models[name](fixed)
        assert np.sqrt(np.mean((predicted - people) ** 2)) < people.std()
        assert (np.diff(predicted) > 0).all()
    back = models["exponential trace"](entries["n-back"])
    assert (back > 0.5).all()  # half of the answers are right by chance
    assert (np.diff(back) < 0).all()


def test_the_picture_has_a_panel_for_each_series() -> None:
    battery = WrittenBattery.model_validate(fabricate_battery())
    figure = battery_figure(battery)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.removesuffix(" (fixed on this)") for title in titles if title] == [e.name for e in all_series()]
    assert sum(title.endswith("(fixed on this)") for title in titles) == 1
    (first,) = (entry for entry in all_series() if entry.name == FIXED_ON)
    drawn = next(axes for axes in figure.axes if axes.get_title(loc="left").startswith(FIXED_ON)).lines[0]
    assert drawn.get_ydata() == pytest.approx(first.people)
    for change in ({}, {FIXED_ON: battery.series["n-back"]}):
        series = {name: of for name, of in battery.series.items() if name != FIXED_ON} | change
        with pytest.raises(IPNetError, match=f"a battery must hold all of '{FIXED_ON}'"):
            battery_figure(battery.model_copy(update={"series": series}))


def test_the_tables_say_what_the_file_says() -> None:
    battery = WrittenBattery.model_validate(fabricate_battery(verdicts=("holds", "fails")))
    rmse, r, trend = ([[cell.text for cell in row] for row in sheet.rows] for sheet in battery_sheets(battery))
    assert rmse[0] == ["free recall 10-2", "0.010 [0.009, 0.020]", "–", "–", "0.300"]
    assert r[0] == ["free recall 10-2", "0.990 [0.980, 0.995]", "–", "–", "–"]
    assert len(rmse) == len(r) == len(battery.distances)
    assert trend == [
        [f"trend {i}", "nback", "0.100 [0.000, 0.200]", said] for i, said in enumerate(("holds", "fails"))
    ]


def test_the_command_of_a_battery_makes_its_choices_again() -> None:
    chosen = observer_of("mtj-thermal").changed(["rehearses=true", "layout.overlap=0.25"])
    battery = WrittenBattery.model_validate(fabricate_battery(choices=chosen.model_dump(mode="json")))
    words = battery.command.split()
    assert words[:5] == ["ipnet", "tasks", "battery", "--card", "mtj-thermal"]
    assert " ".join(words[5:11]) == "--subjects 50 --trials 2 --seed 3"
    settings = [word for word, before in zip(words[1:], words, strict=False) if before == "--set"]
    assert observer_of("mtj-thermal").changed(settings) == chosen
    assert battery.name == "mtj-thermal, rehearsing"


def test_the_command_and_its_claims(ipnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    code, out, err = ipnet("tasks", "battery", "--subjects", 20, "--trials", 1, "-o", "found", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert json.loads((tmp_path / "found" / "memory_tasks-mtj-thermal.json").read_text()) == found
    assert (tmp_path / "found" / "memory_tasks-mtj-thermal.png").stat().st_size > 10_000
    assert found["fixed_on"] == FIXED_ON
    assert set(found["series"]) == {entry.name for entry in all_series()}
    assert found["choices"]["layout"]["places"] == 512
    rows = {row.id: row for row in ledger([], (), read_batteries(tmp_path / "found"))}
    for claim in ("nback", "recall", "interference"):
        assert rows[claim].verdict in ("differs", "supported on simulated data")
        assert rows[claim].real is False
        assert f"of {sum(trend['claim'] == claim for trend in found['trends'])} trends" in rows[claim].ours
    code, out, _ = ipnet("claims", "found", "--json")
    assert code == 0
    assert {row["verdict"] for row in json.loads(out)[:3]} <= {"differs", "supported on simulated data"}


def test_a_claim_needs_all_its_trends_and_the_card_of_the_paper(tmp_path: Path) -> None:
    def write(card: str, *verdicts: str, subjects: int = 50, **choices: object) -> None:
        chosen = observer_of(card).model_dump(mode="json") | choices
        made = fabricate_battery(card, verdicts=verdicts, subjects=subjects, choices=chosen)
        write_battery(tmp_path, made, f"{card}-{subjects}{'-other' * bool(choices)}")

    def row() -> tuple[str, str]:
        (found,) = (row for row in ledger([], (), read_batteries(tmp_path)) if row.id == "nback")
        return found.verdict, found.ours

    assert row() == ("not attempted", "")
    write("leaky", "holds", "fails")
    assert row() == ("differs", "1 of 2 trends")
    write("mtj-thermal", "holds", "holds")
    assert row() == ("supported on simulated data", "2 of 2 trends")
    write("mtj-thermal", "fails", "fails", rehearses=True)
    write("mtj-thermal", "fails", "fails", subjects=500, seconds_per_cycle=0.5)
    write("mtj-thermal", "fails", "fails", subjects=19)
    assert row() == ("supported on simulated data", "2 of 2 trends")
    write("mtj-thermal", "holds", "undecided", subjects=51)
    assert row() == ("differs", "1 of 2 trends")
    (tmp_path / "memory_tasks-broken.json").write_text('{"card": 3}', "utf-8")
    with pytest.raises(IPNetError, match=r"battery '.*memory_tasks-broken.json'"):
        row()


def test_two_people_of_a_card_that_recalls_nothing(ipnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    words = "--card", "memoryless", "--subjects", 2, "--trials", 1
    code, _, err = ipnet("tasks", "battery", *words)
    assert (code, err) == (0, "")
    (found,) = read_batteries(tmp_path / "runs")
    assert any(row["card"].rmse is None for row in found.distances.values())
    assert ipnet("tasks", "compare", "runs/memory_tasks-memoryless.json")[0] == 0
    code, out, _ = ipnet("claims", "runs", "--json")
    assert (code, json.loads(out)[0]["verdict"]) == (0, "not attempted")
    assert ipnet("claims", "runs", tmp_path / "mistyped")[0] == 2


def test_ages_are_those_of_the_scripts() -> None:
    def mean(name: str, options: dict[str, object], score: str = "recalled") -> list[float]:
        return [float(np.mean(group)) for group in ages_of(name, options, score)]

    assert mean("retention", {"retention": 2.5}) == [2.5]
    assert mean("free_recall", {"list_length": 3, "seconds_per_item": 2.0, "delay": 1.5}, "serial_position") == [
        5.5,
        3.5,
        1.5,
    ]
    assert mean("serial_recall", {"list_length": 5}) == [4.0]
    assert mean("serial_recall", {"list_length": 5, "distractors": 1}) == [7.0]
    assert ages_of("n_back", {"n": 1, "steps": 3}, "accuracy") == [[0.0, 0.0, 0.0]]
    assert ages_of("n_back", {"n": 3, "steps": 9}, "accuracy")[0][-1] == 4.0
    B, C = (mean("proactive_interference", {"pairs": 10, "ab_presentations": 2}, score)[0] for score in "BC")
    assert pytest.approx(20.0) == B - C


def test_choices_are_made_on_one_condition(ipnet, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("ipnet.battery.JUNCTIONS", (1, 112))
    code, out, _ = ipnet("tasks", "calibrate", "--subjects", 20, "--trials", 2, "--json")
    assert code == 0
    rows = json.loads(out)
    assert len(rows) == 6
    assert [row["rmse"] for row in rows] == sorted(row["rmse"] for row in rows)
    assert (rows[0]["t_cycle"], rows[0]["junctions"]) == (pytest.approx(140.14e-9), 112)
    assert rows[0]["rmse"] == pytest.approx(0.17, abs=0.02)
    code, out, _ = ipnet("tasks", "calibrate", "--card", "memoryless", "--subjects", 2, "--trials", 1)
    assert code == 0
    assert "choose the first: --set layout.junctions=" in " ".join(out.split())


def test_cards_are_compared(ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shipped = Path(__file__).parents[1] / "docs" / "results" / "memory_tasks-mtj-thermal.json"
    other = json.loads(shipped.read_text("utf-8")) | {"card": "other"}
    other["distances"]["n-back"]["card"]["rmse"] = 0.01
    (tmp_path / "other.json").write_text(json.dumps(other), "utf-8")
    code, out, err = ipnet(
        "tasks", "compare", shipped, tmp_path / "other.json", "-o", tmp_path / "a" / "b.png", "--json"
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["other"]["n-back"] == 0.01
    assert json.loads(out)["mtj-thermal"]["retention"] < 0.2
    assert (tmp_path / "a" / "b.png").stat().st_size > 10_000
    figure = cards_figure([read_battery(shipped), read_battery(tmp_path / "other.json")])
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_weight() == "bold"]
    assert "0.01" in bold
    assert ipnet("tasks", "compare", tmp_path / "none.json")[0] == 2


def test_a_joint_trend_that_is_flat_is_undecided() -> None:
    """The smallest of several differences is biased downwards: that alone must not count as a failure."""
    rng, verdicts = np.random.default_rng(0), []
    for _ in range(40):
        found = outcomes_of_people()
        found["n-back"] = Outcome(np.arange(1, 6), 0.9 + rng.normal(0, 0.05, (200, 5)))
        verdicts.append(trends(found)[0].verdict)
    assert verdicts.count("undecided") >= 34
