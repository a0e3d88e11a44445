"""The ledger's rules, each in both directions, on made-up results."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Command
from fabricated import fabricate, fabricate_errors, fabricate_tested, right_but, write_runs
from ipnet.claims import Row, Verdict, ledger, published_claims
from ipnet.comparison import comparisons
from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.leak import leak_check
from ipnet.pairing import Paired, paired
from ipnet.results import Estimate, Result, holm
from ipnet.robustness_curve import Tested as Disturbed  # not one of pytest's tests
from ipnet.robustness_result import robustness_file, write_robustness
from ipnet.standing import paired_with_each

IDS = """
nback recall interference gesture11 gesture22 same_backbone driving frontier all_mtj raw_device hil noise
energy_lstm energy_3d area
""".split()  # noqa: SIM905 - reads like the table it copies
N = 60


def row(results: Sequence[Result], claim: str) -> Row:
    return next(row for row in ledger(results) if row.id == claim)


def backbones(intrinsic: Sequence[bool], baseline: Sequence[bool], **facts: object) -> list[Result]:
    """One study with the contenders that same_backbone needs."""
    names = ("rnn", "lstm", "conv2plus1d")
    return [
        fabricate("intrinsic@frontier", intrinsic, **facts),  # type: ignore[arg-type]
        *(fabricate(name, baseline, **facts) for name in names),  # type: ignore[arg-type]
    ]


def test_the_ledger_lists_every_claim_in_order_and_attempts_none_without_results() -> None:
    assert [claim.id for claim in published_claims()] == IDS
    rows = ledger([])
    assert [row.id for row in rows] == IDS
    assert {row.verdict for row in rows} == {"not attempted"}
    assert all(row.reason.endswith(".") and row.source.startswith("arXiv:2512.15829") for row in rows)


def test_the_vocabulary_of_verdicts_is_fixed() -> None:
    assert get_args(Verdict) == ("reproduced", "supported on simulated data", "differs", "not attempted")


# gesture11 and gesture22


@pytest.mark.parametrize(
    ("claim", "reverse_time", "n"), [("gesture11", False, 288), ("gesture22", True, 576)], ids=["11", "22"]
)
@pytest.mark.parametrize(
    ("data", "real", "errors", "verdict"),
    [
        ("dvs_gesture", True, 1, "reproduced"),
        ("dvs_gesture", True, 40, "differs"),
        ("simulated_gesture", False, 1, "supported on simulated data"),
        ("simulated_gesture", False, 40, "differs"),
        ("nmnist", True, 0, "not attempted"),
    ],
)
def test_gestures(
    claim: str, reverse_time: bool, n: int, data: str, real: bool, errors: int, verdict: str
) -> None:
    right = right_but(n, *range(errors))
    result = fabricate("intrinsic", right, classes=11, reverse_time=reverse_time, data=data, real=real)
    found = row([result], claim)
    assert found.verdict == verdict
    if verdict != "not attempted":
        assert (found.n, found.seeds, found.data, found.real) == (n, 1, data, real)
        assert ("simulated" in found.reason) == (not real)
        assert found.command == "ipnet study made-up.toml"
    other = "gesture22" if claim == "gesture11" else "gesture11"
    assert row([result], other).verdict == "not attempted"


def test_eleven_classes_are_not_read_off_a_study_of_twenty_two() -> None:
    result = fabricate("intrinsic", right_but(576, 0), classes=11, reverse_time=True, data="dvs_gesture")
    assert result.metrics["class_accuracy"].value == 1.0
    assert row([result], "gesture11").verdict == "not attempted"


def test_an_interval_that_holds_everything_supports_nothing() -> None:
    few = fabricate("intrinsic", right_but(20), classes=11, data="dvs_gesture")
    assert few.metrics["accuracy"].high == 1.0
    found = row([few], "gesture11")
    assert found.verdict == "differs"
    assert "too wide" in found.reason


def test_several_seeds_are_judged_by_their_own_spread() -> None:
    def seeds(*errors: int) -> list[Result]:
        runs = [right_but(288, *range(count)) for count in errors]
        return [
            fabricate("intrinsic", right, seed=i, classes=11, data="dvs_gesture") for i, right in enumerate(runs)
        ]

    assert row(seeds(1, 2, 3), "gesture11").verdict == "reproduced"
    assert row(seeds(0, 120), "gesture11").verdict == "differs"  # the t-interval spans everything
    assert row(seeds(8, 9, 10), "gesture11").verdict == "differs"


# same_backbone


@pytest.mark.parametrize(
    ("real", "intrinsic", "baseline", "verdict", "words"),
    [
        (True, right_but(N, 0), right_but(N, *range(20)), "reproduced", "better than rnn"),
        (False, right_but(N, 0), right_but(N, *range(20)), "supported on simulated data", "better than rnn"),
        (True, right_but(N, 0, 1), right_but(N, 2, 3, 4), "differs", "not separated from rnn"),
        (False, right_but(N, *range(20)), right_but(N, 0), "differs", "worse than rnn"),
    ],
    ids=["better", "better, simulated", "level", "worse"],
)
def test_same_backbone(real: bool, intrinsic: list[bool], baseline: list[bool], verdict: str, words: str) -> None:
    found = row(backbones(intrinsic, baseline, real=real), "same_backbone")
    assert found.verdict == verdict
    assert words in found.reason
    assert found.n == N


def test_one_baseline_that_is_not_beaten_decides() -> None:
    results = backbones(right_but(N, 0), right_but(N, *range(20)))
    results[2] = fabricate("lstm", right_but(N, 1))
    found = row(results, "same_backbone")
    assert found.verdict == "differs"
    assert "not separated from lstm" in found.reason


def test_eighteen_times_the_errors_is_counted_on_the_seeds_that_both_have() -> None:
    results = backbones(right_but(N, 0), right_but(N, *range(18)))
    assert row(results, "same_backbone").verdict == "reproduced"
    more = fabricate(
        "intrinsic@frontier", right_but(N, *range(5)), seed=1
    )  # no baseline was trained with this seed
    assert row([*results, more], "same_backbone").verdict == "reproduced"
    assert row(backbones(right_but(N, 0), right_but(N, *range(17))), "same_backbone").verdict == "differs"


def test_a_missing_baseline_or_a_card_without_memory_is_no_attempt() -> None:
    results = backbones(right_but(N, 0), right_but(N, *range(20)))
    assert row(results[:-1], "same_backbone").verdict == "not attempted"
    cold = results[0].model_copy(update={"physics": results[0].physics | {"horizon_frames": 0.0}})
    assert row([cold, *results[1:]], "same_backbone").verdict == "not attempted"


def test_contenders_of_different_studies_are_never_compared() -> None:
    results = backbones(right_but(N, 0), right_but(N, *range(20)))
    apart = [fabricate("intrinsic@frontier", right_but(N, 0), study="another"), *results[1:]]
    assert row(apart, "same_backbone").verdict == "not attempted"


def test_the_best_intrinsic_contender_is_chosen_by_validation_not_by_test() -> None:
    results = backbones(right_but(N, *range(20)), right_but(N, *range(20)))
    results.append(fabricate("intrinsic@stem", right_but(N), validation=0.1))
    found = row(results, "same_backbone")
    assert found.reason.startswith("intrinsic@frontier")
    assert found.verdict == "differs"


def test_recordings_are_preferred_even_where_simulated_data_look_better() -> None:
    better = backbones(right_but(N, 0), right_but(N, *range(20)), real=False, study="simulated", data="made up")
    level = backbones(right_but(N, 0), right_but(N, 1))
    found = row([*better, *level], "same_backbone")
    assert (found.real, found.verdict) == (True, "differs")


# frontier, all_mtj, raw_device


@pytest.mark.parametrize(
    ("frontier", "stem", "real", "verdict"),
    [
        (right_but(N, 0), right_but(N, *range(20)), True, "reproduced"),
        (right_but(N, 0), right_but(N, *range(20)), False, "supported on simulated data"),
        (right_but(N, 0), right_but(N, 1), True, "differs"),
        (right_but(N, *range(20)), right_but(N, 0), True, "differs"),
    ],
)
def test_frontier(frontier: list[bool], stem: list[bool], real: bool, verdict: str) -> None:
    results = [
        fabricate("intrinsic@frontier", frontier, real=real),
        fabricate("intrinsic@stem", stem, real=real),
        fabricate("intrinsic@frontier+stem", right_but(N), real=real),
    ]
    assert row(results, "frontier").verdict == verdict
    assert row([results[0], results[2]], "frontier").verdict == "not attempted"


def test_a_bank_beside_one_junction_is_no_position() -> None:
    bank = fabricate("intrinsic@frontier", right_but(N), seed=0)
    bank = bank.model_copy(
        update={"config": bank.config | {"contender": "bank", "stands_for": "intrinsic@frontier"}}
    )
    one = fabricate("intrinsic@frontier", right_but(N, *range(20)))
    assert row([bank, one], "frontier").verdict == "not attempted"
    stem = fabricate("intrinsic@stem", right_but(N, *range(10)))
    assert row([bank, one, stem], "frontier").verdict == "differs"


def test_small_wins_do_not_outweigh_large_losses() -> None:
    found = Paired("b", 30, 12, 100, 0.008, Estimate(value=-0.02, low=-0.1, high=0.06, n=100, unit="1"), 1.2)
    assert found.relation == "not separated from"


def test_every_neuron_a_junction() -> None:
    assert row([fabricate("intrinsic", right_but(N), activation="mtj")], "all_mtj").verdict == "reproduced"
    simulated = [fabricate("intrinsic", right_but(N), activation="mtj", real=False)]
    assert row(simulated, "all_mtj").verdict == "supported on simulated data"
    assert row([fabricate("intrinsic", right_but(N))], "all_mtj").verdict == "not attempted"
    assert row([fabricate("lstm", right_but(N), activation="mtj")], "all_mtj").verdict == "not attempted"


def test_raw_device_counts_assumed_parameters(tmp_path, write_card) -> None:  # type: ignore[no-untyped-def]
    found = row([fabricate("intrinsic", right_but(N))], "raw_device")
    assert found.verdict == "differs"
    card = load_device("mtj-thermal").card
    assumed = sum(bool(card.entries[f"parameters.{key}"].assumed) for key in type(card.parameters).model_fields)
    assert 0 < assumed < 24
    assert f"{assumed} of 24 parameters of card 'mtj-thermal' are assumed" in found.reason
    earlier = fabricate("intrinsic", right_but(N))
    del earlier.physics["parameters"]["tau_th"]
    assert row([earlier], "raw_device").verdict == "not attempted"
    measured = write_card("mtj-thermal")
    before, clock = measured.read_text("utf-8").split("[clock]")
    measured.write_text(f"{before.replace('assumed =', 'source =')}[clock]{clock}", "utf-8")
    assert row([fabricate("intrinsic", right_but(N), card=str(measured))], "raw_device").verdict == "reproduced"
    gone = fabricate("intrinsic", right_but(N), card=str(tmp_path / "gone.toml"))
    assert row([gone], "raw_device").verdict == "not attempted"


# driving


def steering(data: str, factor: float, spread: float = 0.02, *, real: bool = True) -> list[Result]:
    """An intrinsic memory with `factor` times the errors of lstm on six drives, times e^-spread or e^+spread."""
    like = fabricate("lstm", right_but(18), data=data, real=real)
    like = like.model_copy(update={"outputs": ["steering angle [deg]"]})
    errors = np.random.default_rng(0).normal(size=18)
    less = errors * factor * np.exp(np.repeat([-spread, spread] * 3, 3))
    return [
        fabricate_errors(name, seed, of.tolist(), like)
        for name, of in (("lstm", errors), ("intrinsic@frontier", less))
        for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("data", "real", "factor", "spread", "verdict"),
    [
        ("ddd20", True, 0.85, 0.02, "reproduced"),
        ("ddd20", True, 0.9, 0.02, "differs"),  # not by enough
        ("ddd20", True, 0.85, 0.5, "differs"),  # not surely
        ("ddd20", True, 1.2, 0.02, "differs"),
        ("rc_car", False, 0.85, 0.02, "supported on simulated data"),
        ("simulated_driving", False, 0.85, 0.02, "supported on simulated data"),
        ("simulated_driving", False, 0.9, 0.02, "differs"),
        ("nmnist", True, 0.85, 0.02, "not attempted"),
    ],
)
def test_driving(data: str, real: bool, factor: float, spread: float, verdict: str) -> None:
    found = row(steering(data, factor, spread, real=real), "driving")
    assert found.verdict == verdict
    if verdict == "not attempted":
        return
    half = 2.570582 * spread * math.sqrt(6 / 5) / math.sqrt(6)  # t(0.975, 5)
    expected = [math.log(factor) - half, math.log(factor) + half]
    assert found.interval is not None
    assert [math.log1p(end) for end in found.interval] == pytest.approx(expected, abs=1e-6)
    assert (found.n, found.seeds, found.data, found.real) == (6, 2, data, real)
    words = (
        f"{100 * abs(1 - factor):.1f} % {'lower' if factor < 1 else 'higher'} than that of lstm on a typical drive"
    )
    assert words in found.reason
    assert found.command == "ipnet study made-up.toml"


def test_recordings_of_drives_count_before_video_and_video_before_simulation() -> None:
    recorded, video, made_up = (
        steering(data, factor, real=data == "ddd20")
        for data, factor in (("ddd20", 0.95), ("rc_car", 0.8), ("simulated_driving", 0.7))
    )
    assert row([*made_up, *video, *recorded], "driving").data == "ddd20"
    assert row([*made_up, *video], "driving").data == "rc_car"


def test_driving_needs_steering_an_lstm_a_memory_and_several_drives() -> None:
    results = steering("ddd20", 0.8)
    assert row(results[:2], "driving").verdict == "not attempted"
    assert row(results[2:], "driving").verdict == "not attempted"
    speed = [result.model_copy(update={"outputs": ["vehicle speed [km/h]"]}) for result in results]
    assert row(speed, "driving").verdict == "not attempted"
    single = [
        result.model_copy(
            update={"predictions": result.predictions | {"item": [f"test/a/{i}" for i in range(18)]}}
        )
        for result in results
    ]
    assert row(single, "driving").verdict == "not attempted"


# noise


def noisy(*, real: bool = True, **lost: tuple[int, int, int]) -> list[Disturbed]:
    """Three seeds of each contender, right on 90 clips; noise costs `lost` of them, and late noise none."""
    return [
        fabricate_tested(
            name,
            seed,
            90,
            real=real,
            background_activity={0.5: 90 - of[seed]},
            early_noise={0.5: 90 - of[seed]},
            late_noise={0.5: 90},
        )
        for name, of in lost.items()
        for seed in range(3)
    ]


def row_of(tested: Sequence[Disturbed]) -> Row:
    return next(row for row in ledger([run.result for run in tested], tested) if row.id == "noise")


@pytest.mark.parametrize(
    ("gru", "real", "verdict", "worse"),
    [
        ((40, 43, 38), True, "reproduced", 2),
        ((40, 43, 38), False, "supported on simulated data", 2),
        ((10, 20, 1), True, "differs", 1),  # not separated
        ((2, 1, 2), True, "differs", 1),  # opposite
    ],
)
def test_noise(gru: tuple[int, int, int], real: bool, verdict: str, worse: int) -> None:
    found = row_of(noisy(intrinsic=(10, 9, 11), lstm=(50, 47, 52), gru=gru, none=(60, 60, 60), real=real))
    assert found.verdict == verdict
    assert found.ours == f"{worse} of 2 recurrent memories lose more than intrinsic in both"
    assert (found.n, found.seeds, found.data, found.real) == (100, 3, "nmnist", real)
    slope = 100 / 65 / 0.5  # per clip that is lost, of the 65 known above chance
    assert f"Noise in the whole clip: intrinsic {10 * slope:.1f} [" in found.reason
    assert f"a difference of {(10 - 149 / 3) * slope:.1f} [" in found.reason
    assert found.reason.count("p = ") == 4
    assert found.command == "ipnet robustness runs/made-up --config made-up.toml --split test"


def test_noise_needs_both_memories_under_both_kinds_of_noise() -> None:
    study = noisy(intrinsic=(10, 9, 11), lstm=(50, 47, 52), none=(60, 60, 60))
    assert row_of(study).verdict == "reproduced"
    assert row_of([run for run in study if run.found.contender != "intrinsic"]).verdict == "not attempted"
    assert row_of([run for run in study if run.found.contender != "lstm"]).verdict == "not attempted"
    whole = [
        fabricate_tested(name, seed, 90, background_activity={0.5: 80 - 40 * (name == "lstm") - seed})
        for name in ("intrinsic", "lstm")
        for seed in range(3)
    ]
    assert row_of(whole).verdict == "not attempted"
    assert row([run.result for run in study], "noise").verdict == "not attempted"


def test_a_recurrent_memory_that_knows_nothing_has_no_say() -> None:
    blind = [
        fabricate_tested(
            "gru", seed, 27, background_activity={0.5: 25}, early_noise={0.5: 25}, late_noise={0.5: 25}
        )
        for seed in range(3)
    ]
    found = row_of([*noisy(intrinsic=(10, 9, 11), lstm=(50, 47, 52)), *blind])
    assert found.ours == "1 of 1 recurrent memories lose more than intrinsic in both"
    assert "nan" not in found.reason
    assert found.reason.endswith("Not judged in both, for want of a spread or of knowledge: gru.")


def test_one_seed_says_nothing_of_the_spread() -> None:
    single = [run for run in noisy(intrinsic=(10, 9, 11), lstm=(50, 47, 52)) if run.found.seed == 0]
    assert row_of(single).verdict == "not attempted"


def test_claims_read_the_files_of_robustness_beside_the_results(tmp_path: Path, ipnet: Command) -> None:
    study = noisy(intrinsic=(10, 9, 11), lstm=(50, 47, 52))
    write_runs(tmp_path, [run.result for run in study], traces=False)
    places = [tmp_path / "made-up" / run.found.run / robustness_file("test") for run in study]
    for place, run in zip(places, study, strict=True):
        write_robustness(place, run.found)
    code, out, err = ipnet("claims", tmp_path, "--json")
    assert code == 0, err
    assert next(row["verdict"] for row in json.loads(out) if row["id"] == "noise") == "reproduced"
    places[0].write_bytes(places[1].read_bytes())
    code, _, err = ipnet("claims", tmp_path)
    assert code == 2
    assert "must be of the run and data of the result beside it, made-up/intrinsic-seed0" in err


# the statistics


def test_a_recording_seen_by_three_networks_in_both_directions_counts_once() -> None:
    first = [fabricate("intrinsic", right_but(40), seed=i, reverse_time=True) for i in range(3)]
    second = [fabricate("rnn", right_but(40, 0, 1, 20, 21), seed=i, reverse_time=True) for i in range(3)]
    test = paired(first, second)
    assert (test.better, test.worse, test.n) == (2, 0, 20)
    assert test.p == 0.5  # 12 wins of 12 had they been pooled: p = 0.0005


def test_only_seeds_that_both_have_are_paired() -> None:
    first = [fabricate("intrinsic", right_but(N), seed=0), fabricate("intrinsic", right_but(N), seed=1)]
    second = [fabricate("rnn", right_but(N, 0), seed=1)]
    assert paired(first, second).better == 1
    assert paired(first[:1], second).n == 0
    assert paired(first[:1], second).relation == "not separated from"


def test_holm_corrects_over_the_family() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    # Six wins of six: p = 0.031 alone, and three of a kind are not significant.
    standings = comparisons(backbones(right_but(N), right_but(N, *range(6))))[0].ranking
    first = next(standing for standing in standings if standing.is_intrinsic)
    others = [standing for standing in standings if standing is not first]
    assert paired_with_each(first, others[:1])[0].relation == "better than"
    assert {test.relation for test in paired_with_each(first, others)} == {"not separated from"}


def test_a_standing_sums_up_its_seeds() -> None:
    results = [fabricate("intrinsic", right_but(100, *range(errors)), seed=errors) for errors in (2, 4, 6)]
    (standing,) = comparisons(results)[0].ranking
    assert standing.accuracy == pytest.approx(0.96)
    half = 4.302653 * 0.02 / math.sqrt(3)
    assert (standing.low, standing.high) == pytest.approx((0.96 - half, min(1.0, 0.96 + half)), abs=1e-6)
    assert (standing.pooled.successes, standing.pooled.n, standing.n, standing.seeds) == (288, 300, 100, 3)
    (single,) = comparisons(results[:1])[0].ranking
    assert (single.low, single.high) == (results[0].metrics["accuracy"].low, results[0].metrics["accuracy"].high)


def test_a_copied_result_is_refused() -> None:
    result = fabricate("intrinsic", right_but(N))
    with pytest.raises(IPNetError, match=r"one result per contender and seed"):
        comparisons([result, result])


def test_a_shipped_study_is_named_by_its_command() -> None:
    from ipnet.config import Study, read_config

    shipped = read_config(Study, "nmnist20").runs()[0]
    result = fabricate("none", right_but(N)).model_copy(update={"config": shipped.model_dump(mode="json")})
    assert comparisons([result])[0].command == "ipnet study nmnist20"
    changed = shipped.model_copy(update={"training": shipped.training.model_copy(update={"epochs": 1})})
    result = result.model_copy(update={"config": changed.model_dump(mode="json")})
    assert comparisons([result])[0].command == "ipnet study nmnist20.toml"


def test_leak_check_looks_at_memoryless_runs_only() -> None:
    # Of a recording and its reverse (item i and 100 + i) exactly one is right if both get the same answer.
    half = [(i % 2 == 0) == (i < 100) for i in range(200)]
    blind = fabricate("none", half, reverse_time=True)
    seer = fabricate("none", right_but(200, *range(40)), seed=1, reverse_time=True)
    # As often right, but by answering the two differently: half of the recordings right twice, half wrong twice.
    lucky = fabricate("none", [i % 2 == 0 for i in range(200)], seed=2, reverse_time=True)
    others = [fabricate("lstm", half, reverse_time=True), fabricate("none", half, study="forward")]
    checks = leak_check([blind, seer, lucky, *others])
    assert [check.passed for check in checks] == [True, False, False]
    assert "do not give the direction away" in checks[0].sentence
    assert "100 recordings told from their reverse" in checks[2].sentence
    assert "may give the direction away" in checks[1].sentence


@settings(max_examples=25, deadline=None)
@given(
    wrong=st.lists(st.integers(0, N - 1), max_size=N, unique=True),
    baseline=st.lists(st.integers(0, N - 1), max_size=N, unique=True),
    data=st.sampled_from(["simulated_gesture", "dvs_gesture", "anything"]),
    activation=st.sampled_from(["relu", "mtj"]),
    reverse_time=st.booleans(),
)
def test_simulated_data_never_reproduce(
    wrong: list[int], baseline: list[int], data: str, activation: str, reverse_time: bool
) -> None:
    facts = {"data": data, "activation": activation, "reverse_time": reverse_time, "classes": 11}
    results = backbones(right_but(N, *wrong), right_but(N, *baseline), real=False, **facts)
    results.append(fabricate("intrinsic@head", right_but(N, *baseline), real=False, **facts))  # type: ignore[arg-type]
    rows = ledger(results)
    assert "reproduced" not in {row.verdict for row in rows}
    assert {row.verdict for row in rows} <= set(get_args(Verdict))
    assert [row.id for row in rows] == IDS
