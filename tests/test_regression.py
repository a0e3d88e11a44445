"""Regression: targets in their own unit, metrics known by hand, and studies from training to report."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from conftest import Command
from fabricated import fabricate, fabricate_errors
from ipnet.data.simulated_driving import SimulatedDriving
from ipnet.errors import IPNetError
from ipnet.prediction_error import compare_errors, error_studies
from ipnet.report import write_report
from ipnet.results import Estimate, holm, read_results, write_result
from ipnet.tables import paired_errors_sheet
from ipnet.tasks.recognition import Recognition
from ipnet.tasks.regression import Regression
from ipnet.tuning import part_of

DATA = {"name": "simulated_driving", "drives": 3, "duration": 2.0, "sensor": 16}


def test_targets_come_in_their_unit_and_are_learned_standardised() -> None:
    task = Regression(data=DATA, target="steering angle", steps=4)
    items = task.items("train")
    x, y = items.batch(range(len(items)))
    assert x.shape == (4, len(items), 2, 16, 16)
    truth = [task.data.target(int(i))[0] for i in task.data.indices("train")]
    assert y.numpy() == pytest.approx(np.array(truth, np.float32))
    assert task.outputs == ("steering angle [deg]",)
    standardised = (y - y.mean()) / y.std(correction=0)
    assert task.predict(standardised[:, None]).numpy() == pytest.approx(y.numpy(), rel=1e-4, abs=1e-3)
    assert task.loss(standardised[:, None], y).item() == pytest.approx(0.0, abs=1e-9)
    assert task.loss(standardised[:, None] + 3, y).item() == pytest.approx(2.5, rel=1e-4)  # |3| - 1/2


def test_metrics_by_hand() -> None:
    task = Regression(data=DATA, steps=4)
    y = torch.tensor([1.0, -1.0, 3.0, -3.0])
    found = task.metrics(y + torch.tensor([1.0, 1.0, 1.0, -1.0]), y)
    assert found["rmse"].value == 1.0
    assert found["mae"].value == 1.0
    assert found["explained_variance"].value == pytest.approx(1 - 0.75 / 5)
    assert found["r2"].value == pytest.approx(1 - 1 / 5)  # the score: a constant error counts
    assert found[task.score_name] is found["r2"]
    estimate = found["rmse"]
    assert isinstance(estimate, Estimate)
    assert (estimate.n, estimate.unit, found["explained_variance"].unit) == (4, "deg", "1")  # type: ignore[union-attr]
    off = task.metrics(torch.full((4,), 7.0), y)["explained_variance"]
    assert off.value == pytest.approx(0.0)
    assert task.metrics(y, torch.full((4,), 7.0))["explained_variance"].value == 0.0


def test_intervals_are_wider_where_clips_follow_each_other() -> None:
    task = Regression(data=DATA | {"duration": 4.0}, steps=4)
    rng = np.random.default_rng(0)
    level = torch.from_numpy(np.repeat(rng.normal(size=8), 15))
    blocks = np.arange(120) // 15
    steady = task.metrics(level, torch.zeros(120), blocks.tolist())["rmse"]
    shuffled = task.metrics(level[torch.from_numpy(rng.permutation(120))], torch.zeros(120), blocks.tolist())[
        "rmse"
    ]
    assert isinstance(steady, Estimate)
    assert steady.groups == 8
    assert steady.value == pytest.approx(shuffled.value)
    assert steady.high - steady.low > 1.5 * (shuffled.high - shuffled.low)


def test_the_clips_of_a_split_are_grouped_by_their_drives() -> None:
    task = Regression(data=DATA | {"drives": 10}, steps=4)
    items = task.items("test")
    _, y = items.batch(range(len(items)))
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=len(y)))
    drives = [name.rpartition("/")[0] for name in items.names]
    assert 1 < len(set(drives)) < len(y)
    found = task.metrics(y + noise, y)["rmse"]
    assert found == task.metrics(y + noise, y, drives)["rmse"]
    assert isinstance(found, Estimate)
    assert found.groups == len(set(drives))
    alone = task.metrics(y + noise, y + 1.0)["rmse"]  # of no split, so every clip stands for itself
    assert isinstance(alone, Estimate)
    assert alone.groups == len(y)


def test_what_cannot_be_predicted(tmp_path: Path) -> None:
    with pytest.raises(
        IPNetError, match=r"unknown target of data set 'simulated_driving' 'stering angle'; did you"
    ):
        Regression(data=DATA, target="stering angle")
    with pytest.raises(IPNetError, match="data set 'simulated_gesture' has none: take recognition"):
        Regression(data={"name": "simulated_gesture", "train": 22, "test": 1, "duration": 0.1, "sensor": 16})
    with pytest.raises(IPNetError, match="'simulated_driving' has none: take regression"):
        Recognition(data=DATA)


def test_a_set_that_does_not_say_what_a_mirror_does_is_not_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedDriving, "handed", None)
    Regression(data=DATA, steps=4)
    with pytest.raises(
        IPNetError, match=r"'simulated_driving' does not: take mirror = false, or give the set handed"
    ):
        Regression(data=DATA, steps=4, mirror=True)


@pytest.mark.parametrize("sign", [-1, 1])
def test_mirror_images_are_learned_from_and_nothing_else(sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if sign == 1:  # a speed, say, looks the same in a mirror
        monkeypatch.setattr(SimulatedDriving, "handed", ())
    plain, task = (Regression(data=DATA, steps=4, mirror=mirror) for mirror in (False, True))
    items, count = task.items("train"), len(plain.items("train"))
    assert len(items) == 2 * count == task.facts()["items"]["train"] == len(set(items.names))
    assert items.names[count] == f"{items.names[0]}/mirrored"
    x, y = items.batch([count + 1, 1, 0])
    assert torch.equal(x[:, 0], x[:, 1].flip(-1))
    assert not torch.equal(x[:, 0], x[:, 1])
    assert y[0] == sign * y[1]
    both = items.batch(range(2 * count))[1].double().numpy()
    assert (task.facts()["mean"], task.facts()["sd"]) == pytest.approx(
        (both.mean(), both.std()), rel=1e-5, abs=1e-5
    )
    for split in ("validation", "test"):
        mine, others = task.items(split), plain.items(split)  # type: ignore[arg-type]
        assert mine.names == others.names
        assert torch.equal(mine.batch([0])[0], others.batch([0])[0])


def test_a_part_for_tuning_takes_clips_with_their_mirror_images() -> None:
    items = Regression(data=DATA, steps=4, mirror=True).items("train")
    names = part_of(items, 7, 0).names
    assert len(names) == 6
    assert {name.removesuffix("/mirrored") for name in names} == {n for n in names if not n.endswith("/mirrored")}


def test_the_readout_says_which_output_counts() -> None:
    outputs = torch.arange(6.0).view(3, 2, 1)
    assert Regression(data=DATA, steps=4).combine(outputs).tolist() == [[2.0], [3.0]]
    assert Regression(data=DATA, steps=4, readout="last").combine(outputs).tolist() == [[4.0], [5.0]]
    with pytest.raises(IPNetError, match="readout must be mean or last; got 'first'"):
        Regression(data=DATA, steps=4, readout="first")  # type: ignore[arg-type]


STUDY = """
study = "tiny_steering"
contenders = ["none", "intrinsic"]
seeds = [0]
task = { name = "regression", steps = 4 }
data = { name = "simulated_driving", drives = 10, duration = 1.5, sensor = 16 }
backbone = { width = 3, blocks = [1], stem_stride = 4 }
training = { epochs = 1, batch_size = 16, threads = 1 }
"""


def test_a_study_of_steering_from_training_to_report(tmp_path: Path, ipnet: Command) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    code, out, errors = ipnet("study", tmp_path / "tiny.toml", "-o", tmp_path / "runs")
    assert code == 0, errors
    assert "steering angle [deg]" in out
    results = read_results(tmp_path / "runs")
    rmse = results[0].metrics["rmse"]
    errors_of = np.subtract(results[0].predictions["predicted"], results[0].predictions["truth"])
    assert rmse.value == pytest.approx(math.sqrt(np.mean(errors_of**2)), rel=1e-5)
    assert rmse.low < rmse.value < rmse.high
    page = write_report(tmp_path / "runs", tmp_path / "report.html").read_text("utf-8")
    assert "steering angle [deg]" in page
    assert "tiny_steering" in page
    assert f"{rmse.value:.3g}" in page
    code, out, errors = ipnet("claims", tmp_path / "runs", "--json")
    assert code == 0, errors
    assert {row["verdict"] for row in json.loads(out)} == {"not attempted"}


def test_contenders_are_compared_by_their_errors_on_the_same_items(tmp_path: Path) -> None:
    like = fabricate("lstm", [True] * 6)
    errors = [1.0, -2.0, 0.5, 3.0, -1.0, 2.0]
    physics = [fabricate_errors("intrinsic", seed, [0.8 * e for e in errors], like) for seed in (0, 1)]
    lstm = [fabricate_errors("lstm", seed, errors[:], like) for seed in (0, 1, 2)]
    found = compare_errors(physics, lstm)
    ratio = found.difference
    assert (ratio.value, ratio.low, ratio.high) == (pytest.approx(-0.2),) * 3
    assert (ratio.n, ratio.groups) == (12, 2)  # of the third seed of the LSTM there is no other side
    assert (found.better, found.worse, found.n) == (2, 0, 2)
    assert found.ratio == pytest.approx(0.8)
    for i, made in enumerate([*lstm, *physics]):
        write_result(tmp_path / str(i), made)
    (study,) = error_studies([*read_results(tmp_path), like])
    assert [standing.contender for standing in study] == ["intrinsic", "lstm"]
    assert study[0].against is None
    assert study[1].against is not None
    assert study[1].against.difference.value == pytest.approx(0.25)
    assert study[1].against.other == "intrinsic"
    assert study[1].metric("rmse").unit == "deg"
    write_result(tmp_path / "copy", physics[0])
    with pytest.raises(
        IPNetError, match=r"one result per contender and seed; got seeds \[0, 0, 1\] of 'intrinsic'"
    ):
        error_studies(read_results(tmp_path))


def test_a_contender_that_shares_no_seed_with_the_reference_is_not_paired() -> None:
    like = fabricate("lstm", [True] * 6)
    errors = [1.0, -2.0, 0.5, 3.0, -1.0, 2.0]
    runs = [
        fabricate_errors(name, seed, errors, like) for name, seed in (("intrinsic", 0), ("lstm", 1), ("gru", 0))
    ]
    (study,) = error_studies(runs)
    assert {of.contender: of.against is not None for of in study} == {
        "gru": True,
        "intrinsic": False,
        "lstm": False,
    }
    sheet = paired_errors_sheet(study)
    assert sheet is not None
    assert {row[0].text: row[1].text for row in sheet.rows} == {
        "gru": "not separated",
        "intrinsic": "reference",
        "lstm": "\N{EN DASH}",
    }


def test_who_errs_less_is_not_a_matter_of_the_number_of_groups() -> None:
    like, rng = fabricate("lstm", [True] * 6), np.random.default_rng(2)
    errors = rng.normal(size=60)
    drives = np.repeat([0.99] * 11 + [2.0] * 9, 3)  # a little better on eleven drives, twice as bad on nine
    found = compare_errors(
        [fabricate_errors("lstm", 0, (drives * errors).tolist(), like)],
        [fabricate_errors("intrinsic", 0, errors.tolist(), like)],
    )
    assert (found.better, found.worse) == (11, 9)
    assert found.p < 0.01
    assert found.relation == "worse than"


def test_the_reference_remembers_and_p_is_that_of_the_t_test() -> None:
    like, rng = fabricate("lstm", [True] * 6), np.random.default_rng(1)
    runs = {
        "intrinsic@stem": fabricate_errors("intrinsic@stem", 0, rng.normal(size=18).tolist(), like),
        "lstm": fabricate_errors("lstm", 0, rng.normal(size=18).tolist(), like),
        # It validates best, but its device forgets at once.
        "intrinsic@head": fabricate_errors(
            "intrinsic@head", 0, rng.normal(size=18).tolist(), like, horizon=0, score=0.9
        ),
    }
    (study,) = error_studies(list(runs.values()))
    against = {standing.contender: standing.against for standing in study}
    assert against["intrinsic@stem"] is None
    errors = {
        name: np.square(np.subtract(run.predictions["predicted"], run.predictions["truth"])).reshape(6, 3).mean(1)
        for name, run in runs.items()
    }
    p = [
        stats.ttest_1samp(0.5 * np.log(errors[name] / errors["intrinsic@stem"]), 0).pvalue
        for name in ("lstm", "intrinsic@head")
    ]
    found = [test.p for name in ("lstm", "intrinsic@head") if (test := against[name])]
    assert found == pytest.approx(holm(p))
