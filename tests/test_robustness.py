"""Robustness: a finished run under perturbations, resumed, summed up, drawn, and refused where it must be."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ipnet.config import Study, read_config
from ipnet.errors import IPNetError
from ipnet.results import read_results, wilson
from ipnet.robustness import Answers, Robustness, Row, declare, read_robustness, robustness
from ipnet.robustness_curve import curves, paired_at
from ipnet.study import check_runs
from ipnet.train import execute
from tiny import write_tiny_study

LEVELS = """
[robustness]
event_drop = [0, 0.5, 1]
stuck_devices = [0.3]
speed = [0.5, 1, 2]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study file that declares levels, and the folder of its runs."""
    folder = tmp_path_factory.mktemp("finished")
    path = write_tiny_study(folder, epochs=20)
    path.write_text(path.read_text("utf-8") + LEVELS, "utf-8")
    quick = ["training.learning_rate=0.05", "training.rotate=0", "training.zoom=0", "training.shift=0"]
    quick += ["memory.intrinsic.emission=sample"]  # so that answers depend on the random draws of the test
    for run, place in check_runs(read_config(Study, path, quick).runs(), folder / "runs"):
        execute(run, place)
    return path, folder / "runs" / "tiny"


@pytest.mark.parametrize("contender", ["none", "intrinsic"])
def test_the_undisturbed_answers_are_those_of_the_run(contender: str, finished: tuple[Path, Path]) -> None:
    result = next(each for each in read_results(finished[1]) if each.contender == contender)
    found = robustness(finished[1] / f"{contender}-seed0", {"background_activity": [3.0]}, split="test")
    assert found.items == result.predictions["item"]
    assert found.truth == result.predictions["truth"]
    assert found.undisturbed.predicted == result.predictions["predicted"]
    assert found.undisturbed.metrics == result.metrics
    (row,) = found.rows
    assert (row.perturbation, row.level, row.seed) == ("background_activity", 3.0, 0)
    right = sum(truth == guess for truth, guess in zip(found.truth, row.predicted, strict=True))
    assert row.metrics["accuracy"] == wilson(right, 40)
    assert row.predicted != found.undisturbed.predicted


def test_what_is_done_is_kept_and_other_weights_start_anew(finished: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "none-seed0"
    folder.mkdir()
    for name in ("result.json", "model.safetensors"):
        (folder / name).write_bytes((finished[1] / "none-seed0" / name).read_bytes())
    first = robustness(folder, {"dropped_frames": [0.5]})
    assert len(first.items) == 20
    path = folder / "robustness-validation.json"
    marked = first.rows[0].model_copy(update={"predicted": [-1] * 20})
    path.write_text(first.model_copy(update={"rows": [marked]}).model_dump_json(), "utf-8")
    more = robustness(folder, {"dropped_frames": [0.5, 1.0]}, seeds=[0, 7])
    assert more == read_robustness(path)
    assert [(row.level, row.seed) for row in more.rows] == [(0.5, 0), (0.5, 7), (1.0, 0), (1.0, 7)]
    assert more.rows[0].predicted == [-1] * 20
    assert more.rows[1].predicted != first.rows[0].predicted
    assert more.rows[2].predicted == more.rows[3].predicted
    other = first.model_copy(update={"source": "of other weights", "rows": [marked]})
    path.write_text(other.model_dump_json(), "utf-8")
    assert robustness(folder, {"dropped_frames": [0.5]}) == first


def test_the_command_tells_people_and_machines_the_same(ipnet, finished: tuple[Path, Path]) -> None:
    study, runs = finished
    code, out, _ = ipnet("robustness", runs, "--config", study, "--json")
    assert code == 0
    found = {run["contender"]: run for run in json.loads(out)}
    assert [len(found[name]["rows"]) for name in ("none", "intrinsic")] == [4, 5]
    assert "is no activation" in found["none"]["untested"]["stuck_devices 0.3"]
    assert (runs / "robustness-validation.png").stat().st_size > 10_000
    code, out, _ = ipnet("robustness", runs, "--config", study)
    assert code == 0
    assert "real data, validation split" in out
    assert "stuck_devices 0.3: stuck_devices cannot disturb this network: 'none' is no activation" in out
    for text in ("event_drop", "speed", "20 items", "accuracy [%]"):
        assert text in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "robustness.event_dorp=[1]"], "did you mean 'event_drop'"),
        (["--set", "robustness.event_drop=[2]"], "event_drop: the probability that an event is lost"),
        (["--set", "robustness.event_drop=[0]"], "needs at least one level besides the neutral 0"),
        (["--set", "robustness={}"], "robustness needs perturbations"),
        (["--split", "train"], "--split must be validation or test"),
    ],
)
def test_a_mistake_is_one_sentence(ipnet, finished: tuple[Path, Path], words: list[str], message: str) -> None:
    code, _, err = ipnet("robustness", finished[1], "--config", finished[0], *words)
    assert code == 2
    assert err.count("\n") == 1
    assert message in err


def test_a_study_finds_mistakes_in_its_levels_before_its_first_run(ipnet, tmp_path: Path) -> None:
    study = write_tiny_study(tmp_path)
    code, _, err = ipnet("study", study, "--set", "robustness.speeed=[2]", "-o", tmp_path / "runs")
    assert code == 2
    assert "unknown perturbation 'speeed'; did you mean 'speed'" in err
    assert not (tmp_path / "runs").exists()


def test_a_run_without_its_weights_is_refused(finished: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes((finished[1] / "none-seed0" / "result.json").read_bytes())
    with pytest.raises(IPNetError, match=r"the weights '.*' must be there"):
        robustness(tmp_path, {"event_drop": [0.5]})
    (tmp_path / "model.safetensors").write_bytes((finished[1] / "intrinsic-seed0/model.safetensors").read_bytes())
    with pytest.raises(IPNetError, match="fit the run's configuration"):
        robustness(tmp_path, {"event_drop": [0.5]})


def test_declared_levels_are_sorted_and_without_the_neutral_one() -> None:
    plan = declare({"speed": [2.0, 1.0, 0.5, 2.0], "event_drop": [0, 0.1]})
    assert [(perturbation.name(), level) for perturbation, level in plan] == [
        ("speed", 0.5),
        ("speed", 2.0),
        ("event_drop", 0.1),
    ]


def _robustness(seed: int, clean: int, **rows: dict[float, int]) -> Robustness:
    def answers(right: int) -> dict[str, Any]:
        return {"metrics": {"accuracy": wilson(right, 100)}, "predicted": [0] * 100}

    return Robustness(
        source="s",
        run=f"lstm-seed{seed}",
        study="tiny",
        contender="lstm",
        seed=seed,
        data={},
        versions={},
        split="validation",
        score_name="accuracy",
        items=[str(i) for i in range(100)],
        truth=[0] * 100,
        undisturbed=Answers(**answers(clean)),
        untested={},
        rows=[
            Row(perturbation=name, level=level, seed=seed, **answers(right))
            for name, levels in rows.items()
            for level, right in levels.items()
        ],
    )


def test_slopes_are_least_squares_through_the_undisturbed_score() -> None:
    one = _robustness(0, 90, event_drop={0.1: 80, 0.2: 60}, speed={0.5: 70, 2.0: 50})
    drop, speed = curves([one])
    assert [(p.level, p.value) for p in drop.points] == [(0.0, 90), (0.1, 80), (0.2, 60)]
    assert drop.slope[0] == pytest.approx((0.1 * 10 + 0.2 * 30) / (0.1**2 + 0.2**2))
    assert math.isnan(drop.slope[1])
    assert drop.points[1].low == pytest.approx(100 * wilson(80, 100).low)
    assert speed.slope[0] == pytest.approx((20 + 40) / 2)
    two = _robustness(1, 88, event_drop={0.1: 80, 0.2: 66, 0.5: 10})
    (drop, _) = curves([one, two])
    slopes = 140, (0.1 * 8 + 0.2 * 22) / 0.05
    mean = sum(slopes) / 2
    assert drop.slope[0] == pytest.approx(mean)
    assert drop.slope[1] == pytest.approx(mean - 12.706 * abs(slopes[0] - slopes[1]) / 2, rel=1e-3)
    assert [p.level for p in drop.points] == [0.0, 0.1, 0.2]
    assert (drop.points[1].value, drop.points[1].low) == (pytest.approx(80), pytest.approx(80))
    assert (drop.seeds, drop.n) == (2, 100)


def test_contenders_are_paired_by_seed_and_recording() -> None:
    def run(contender: str, seed: int, clean: list[int], disturbed: list[int]) -> Robustness:
        template = _robustness(seed, 50, event_drop={0.5: 50})
        row = template.rows[0].model_copy(update={"predicted": disturbed})
        undisturbed = template.undisturbed.model_copy(update={"predicted": clean})
        changes = {"contender": contender, "items": ["a/1/0", "a/1/0/reversed", "a/2/0"], "truth": [0, 1, 0]}
        return template.model_copy(update={**changes, "undisturbed": undisturbed, "rows": [row]})

    one = [run("lstm", 0, [0, 1, 0], [0, 1, 0]), run("lstm", 1, [0, 1, 0], [0, 1, 1])]
    other = [run("none", 1, [0, 1, 0], [0, 0, 0]), run("none", 0, [0, 1, 0], [1, 0, 0])]
    test = paired_at(one, other, "event_drop", 0.5)
    assert (test.other, test.better, test.worse, test.n, test.p) == ("none", 1, 1, 2, 1.0)
    clean = paired_at(one, other, "event_drop", 0.0)
    assert (clean.better, clean.worse, clean.n) == (0, 0, 2)


def test_noisy_training_is_reproducible_and_other_than_clean(tmp_path: Path) -> None:
    path = write_tiny_study(tmp_path, contenders='["none"]')
    noisy = read_config(Study, path, ["training.noise.background_activity=0.5"]).runs()[0]
    first, second = (execute(noisy, tmp_path / name) for name in ("first", "second"))
    clean = execute(read_config(Study, path).runs()[0], tmp_path / "clean")
    assert first.history == second.history
    assert first.history != clean.history
    assert first.config["training"]["noise"] == {"background_activity": 0.5}


def test_unknown_noise_is_found_before_the_first_run(tmp_path: Path) -> None:
    path = write_tiny_study(tmp_path, contenders='["none"]')
    study = read_config(Study, path, ["training.noise.background=0.5"])
    with pytest.raises(IPNetError, match="unknown perturbation 'background'; did you mean 'background_activity'"):
        check_runs(study.runs(), tmp_path / "runs")
