"""Curves and verdicts of robustness, from runs that nobody trained: what must come out is known."""

import math
from collections.abc import Mapping

import pytest
from scipy import stats

from fabricated import fabricate_tested
from ipnet.errors import IPNetError
from ipnet.pairing import Paired
from ipnet.results import holm, mcnemar, wilson
from ipnet.robustness_curve import Tested as Disturbed  # not one of pytest's tests
from ipnet.robustness_curve import curves, studies
from ipnet.robustness_figure import robustness_figure
from ipnet.robustness_verdict import CARRIED, judge, paired_at

N = 100


def test_slopes_are_least_squares_through_the_undisturbed_score() -> None:
    one = fabricate_tested("lstm", 0, 90, event_drop={0.1: 80, 0.2: 60}, speed={0.5: 70, 2.0: 50})
    drop, speed = curves([one])
    assert [(p.level, p.value) for p in drop.points] == [(0.0, 90), (0.1, 80), (0.2, 60)]
    assert drop.slope[0] == pytest.approx((0.1 * 10 + 0.2 * 30) / (0.1**2 + 0.2**2))
    assert drop.relative[0] == pytest.approx(100 * drop.slope[0] / (90 - 25))
    assert math.isnan(drop.slope[1])
    assert drop.points[1].low == pytest.approx(100 * wilson(80, 100).low)
    assert speed.slope[0] == pytest.approx((20 + 40) / 2)
    two = fabricate_tested("lstm", 1, 88, event_drop={0.1: 80, 0.2: 66, 0.5: 10})
    (drop, _) = curves([one, two])
    slopes = 140, (0.1 * 8 + 0.2 * 22) / 0.05
    mean = sum(slopes) / 2
    assert drop.slope[0] == pytest.approx(mean)
    assert drop.slope[1] == pytest.approx(mean - 12.706 * abs(slopes[0] - slopes[1]) / 2, rel=1e-3)
    assert drop.by_seed == pytest.approx({0: 100 * slopes[0] / 65, 1: 100 * slopes[1] / 63})
    assert [p.level for p in drop.points] == [0.0, 0.1, 0.2]
    assert (drop.points[1].value, drop.points[1].low) == (pytest.approx(80), pytest.approx(80))
    assert (drop.seeds, drop.n) == (2, 100)


def test_what_is_written_below_a_panel_is_no_wider_than_the_panel() -> None:
    one = fabricate_tested("lstm", 0, 90, late_noise={0.3: 80}, read_noise={0.02: 85}, hot_pixels={0.1: 70})
    panels = [axes for axes in robustness_figure(curves([one]), "made up").axes if axes.axison]
    lines = [line for axes in panels for line in axes.get_xlabel().split("\n")]
    assert len(panels) == 3 < len(lines)
    assert max(map(len, lines)) <= 45


def test_the_slope_of_a_reset_is_held_against_the_distance_from_the_nearer_end() -> None:
    (reset,) = curves([fabricate_tested("lstm", 0, 90, reset_state={0.25: 80, 0.75: 70})])
    assert reset.slope[0] == pytest.approx((0.25 * 10 + 0.25 * 20) / (2 * 0.25**2))


def test_who_knows_nothing_has_nothing_to_lose() -> None:
    blind = fabricate_tested("lstm", 0, 27, event_drop={0.5: 25})
    verdict = judge([fabricate_tested("intrinsic", 0, 90, event_drop={0.5: 60}), blind])
    assert [curve.slope[0] for curve in verdict.curves] == pytest.approx([60, 4])
    assert math.isnan(verdict.curves[1].relative[0])
    plain = verdict.plain()
    assert plain["curves"][1]["relative"] == [None] * 3
    assert [each["verdict"] for each in plain["differences"]] == ["not separated"]


def test_runs_of_a_study_are_those_of_one_setting() -> None:
    one = fabricate_tested("lstm", 0, 90, event_drop={0.1: 80})
    other = fabricate_tested(
        "lstm", 0, 90, data="dvs_gesture", event_drop={0.2: 80}
    )  # the same name, and other data
    none = fabricate_tested("none", 0, 90, event_drop={0.5: 80})
    assert studies([one, other, none]) == [[one, none], [other]]
    with pytest.raises(IPNetError, match="one run per contender and seed; got lstm-seed0 twice"):
        studies([one, one])
    with pytest.raises(IPNetError, match=r"must share a level of 'event_drop' .* with one \[robustness\] table"):
        curves([one, none])


def test_contenders_are_paired_by_seed_and_recording() -> None:
    def run(contender: str, seed: int, clean: list[int], disturbed: list[int]) -> Disturbed:
        made = fabricate_tested(contender, seed, 50, event_drop={0.5: 50})
        row = made.found.rows[0].model_copy(update={"predicted": disturbed})
        undisturbed = made.found.undisturbed.model_copy(update={"predicted": clean})
        facts = {"items": ["a/1/0", "a/1/0/reversed", "a/2/0"], "truth": [0, 1, 0]}
        return Disturbed(
            made.result, made.found.model_copy(update={**facts, "undisturbed": undisturbed, "rows": [row]})
        )

    one = [run("lstm", 0, [0, 1, 0], [0, 1, 0]), run("lstm", 1, [0, 1, 0], [0, 1, 1])]
    other = [run("none", 1, [0, 1, 0], [0, 0, 0]), run("none", 0, [0, 1, 0], [1, 0, 0])]
    test = paired_at(one, other, "event_drop", 0.5)
    assert _counts(test) == ("none", 1, 1, 2, 1.0)
    assert _counts(paired_at(one, other, "event_drop", 0.0)) == ("none", 0, 0, 2, 1.0)


def _counts(test: Paired | None) -> tuple[str, int, int, int, float]:
    assert test is not None
    return test.other, test.better, test.worse, test.n, test.p


def _study(**levels: Mapping[str, tuple[int, int, int]]) -> list[Disturbed]:
    """Right answers of 90 undisturbed ones, by perturbation, contender and seed."""
    names = {contender for of in levels.values() for contender in of}
    return [
        fabricate_tested(
            name, seed, 90, **{key: {0.5: of[name][seed]} for key, of in levels.items() if name in of}
        )
        for name in sorted(names)
        for seed in range(3)
    ]


def test_the_intrinsic_contender_meets_each_other_at_the_largest_level() -> None:
    study = [
        fabricate_tested("intrinsic", 0, 90, event_drop={0.1: 85, 0.5: 80}),
        fabricate_tested("lstm", 0, 90, event_drop={0.1: 85, 0.5: 72}),
        fabricate_tested("none", 0, 90, event_drop={0.1: 85, 0.5: 78}, speed={2.0: 90}),
    ]
    verdict = judge(study)
    assert verdict.reference == "intrinsic"
    p = holm([mcnemar(8, 0), mcnemar(2, 0)])
    assert [(m.level, m.other, _counts(m.test)) for m in verdict.matches] == [
        (0.5, "lstm", ("lstm", 8, 0, N, p[0])),
        (0.5, "none", ("none", 2, 0, N, p[1])),
    ]
    assert [m.relation for m in verdict.matches] == ["better than", "not separated from"]
    without = judge(study[1:])
    assert (without.reference, without.matches, without.differences) == (None, [], [])


def test_the_verdict_on_accumulation_is_a_paired_difference_of_slopes() -> None:
    noise = {
        "intrinsic": (80, 81, 79),
        "lstm": (40, 43, 38),  # loses more with every seed
        "gru": (80, 70, 89),  # as much, on average
        "rnn": (90, 90, 88),  # less
        "none": (10, 10, 10),  # is not recurrent
    }
    verdict = judge(_study(background_activity=noise))
    found = {each.other: each for each in verdict.differences}
    assert {name: each.verdict for name, each in found.items()} == {
        "gru": "not separated",
        "lstm": "accumulates",
        "rnn": "opposite",
    }
    slope = 100 / 65 / 0.5  # of a loss of one clip
    lost = {
        name: [slope * (b - a) for a, b in zip(noise["intrinsic"], noise[name], strict=True)] for name in found
    }
    assert found["lstm"].value == pytest.approx(sum(lost["lstm"]) / 3)
    raw = {name: stats.ttest_1samp(lost[name], 0).pvalue for name in lost}
    assert [found[name].p for name in lost] == pytest.approx(holm([raw[name] for name in lost]))
    assert found["lstm"].p > raw["lstm"]
    assert found["lstm"].low < found["lstm"].value < found["lstm"].high < 0


def test_what_early_noise_costs_beyond_late_noise_was_carried() -> None:
    early = {"intrinsic": (80, 81, 79), "lstm": (40, 42, 41)}
    late = {"intrinsic": (80, 80, 80), "lstm": (70, 70, 70)}
    verdict = judge(_study(early_noise=early, late_noise=late))
    slope = 100 / 65 / 0.5
    assert verdict.carried["lstm"][0] == pytest.approx(29 * slope)
    assert verdict.carried["intrinsic"][0] == pytest.approx(0, abs=1e-9)
    (carried,) = [each for each in verdict.differences if each.perturbation == CARRIED]
    assert (carried.verdict, carried.value) == ("accumulates", pytest.approx(-29 * slope))
    assert not judge(_study(early_noise=early)).carried


def test_seeds_that_say_the_same_tell_nothing_of_their_spread() -> None:
    same = {"intrinsic": (80, 80, 80), "lstm": (40, 40, 40)}
    (each,) = judge(_study(background_activity=same)).differences
    assert math.isnan(each.p)
    assert each.verdict == "not separated"
