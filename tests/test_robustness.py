"""Robustness: a finished run under perturbations, resumed, summed up, drawn, and refused where it must be."""

import json
from pathlib import Path
from typing import Any

import pytest

import ipnet.perturbation
import ipnet.trainee
from ipnet.config import Study, read_config
from ipnet.errors import IPNetError
from ipnet.perturbation import PERTURBATIONS
from ipnet.results import read_results, wilson
from ipnet.robustness import declare, robustness
from ipnet.robustness_result import read_robustness
from ipnet.study import check_runs
from ipnet.tasks import Task
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
    code, out, err = ipnet("robustness", runs, "--config", study, "--json")
    assert code == 0, err
    told = json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    found = {run["contender"]: run for run in told["runs"]}
    assert [len(found[name]["rows"]) for name in ("none", "intrinsic")] == [4, 5]
    assert found["none"]["declared"] == {"event_drop": [0.5, 1.0], "stuck_devices": [0.3], "speed": [0.5, 2.0]}
    assert "need a memory; it has none" in found["none"]["untested"]["stuck_devices 0.3"]
    (verdict,) = told["studies"]
    assert (verdict["study"], verdict["split"], verdict["reference"]) == ("tiny", "validation", "intrinsic")
    assert [(m["perturbation"], m["level"], m["other"]) for m in verdict["matches"]] == [
        ("event_drop", 1.0, "none"),
        ("speed", 2.0, "none"),
    ]
    assert {len(curve["slope"]) == len(curve["relative"]) == 3 for curve in verdict["curves"]} == {True}
    assert (runs / "robustness-validation.png").stat().st_size > 10_000
    code, out, err = ipnet("robustness", runs, "--config", study)
    assert code == 0, err
    assert "real data, validation split" in out
    assert "stuck_devices 0.3: stuck_devices cannot disturb this network: stuck outputs need a memory" in out
    for text in ("event_drop", "speed", "20 items", "accuracy [%]", "of known", "intrinsic against each other"):
        assert text in out
    row = next(line for line in out.splitlines() if line.strip().startswith("stuck") and "none" in line)
    assert row.split()[-4:] == ["-"] * 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "robustness.event_dorp=[1]"], "did you mean 'event_drop'"),
        (["--set", "robustness.event_drop=[2]"], "event_drop: the probability that an event is lost"),
        (["--set", "robustness.event_drop=[0]"], "needs at least one level besides the neutral 0"),
        (["--set", "robustness={}"], "robustness needs perturbations"),
        (["--split", "train"], "--split must be validation or test"),
        (["--split", "test", "--set", "robustness.speed=[4]"], "must be those that the study declares; got --set"),
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


def test_the_test_split_takes_one_declaration(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("result.json", "model.safetensors"):
        (tmp_path / name).write_bytes((finished[1] / "none-seed0" / name).read_bytes())
    declared = {"event_drop": [0.0, 0.5], "speed": [2.0]}
    first = robustness(tmp_path, declared, split="test")
    assert (first.declared, first.draws) == ({"event_drop": [0.5], "speed": [2.0]}, [0])
    before = (tmp_path / "robustness-test.json").read_bytes()

    def items(task: Task, split: str) -> Any:
        pytest.fail(f"{task} handed out the {split} split again")

    monkeypatch.setattr(Task, "items", items)
    assert robustness(tmp_path, declared, split="test") == first
    for other in ({"event_drop": [0.5]}, declared | {"speed": [3.0]}, declared | {"flicker": [1.0]}):
        with pytest.raises(IPNetError, match="must be declared before it is looked at"):
            robustness(tmp_path, other, split="test")
    with pytest.raises(IPNetError, match="restore the declaration"):
        robustness(tmp_path, declared, split="test", seeds=[1])
    assert (tmp_path / "robustness-test.json").read_bytes() == before


def test_levels_of_the_test_split_come_from_the_runs_own_study(
    ipnet, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    text = finished[0].read_text("utf-8").replace('"tiny"', '"other"')
    (tmp_path / "other.toml").write_text(text, "utf-8")
    code, _, err = ipnet("robustness", finished[1], "--config", tmp_path / "other.toml", "--split", "test")
    assert code == 2
    assert "must be declared by the runs' own study" in err


def test_chance_is_the_best_constant_answer(finished: tuple[Path, Path]) -> None:
    found = robustness(finished[1] / "none-seed0", {"event_drop": [0.5]})
    assert found.chance == max(found.truth.count(y) for y in found.truth) / len(found.truth)


def test_no_disturbance_draws_what_training_or_the_network_draws(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, set[int]] = {"trainee": set(), "perturbation": set()}
    for module in (ipnet.trainee, ipnet.perturbation):

        def record(
            *parts: int, who: str = module.__name__.removeprefix("ipnet."), make: Any = module.make_seed
        ) -> int:
            seed = int(make(*parts))
            made[who].add(seed)
            return seed

        monkeypatch.setattr(module, "make_seed", record)
    study = write_tiny_study(
        tmp_path, contenders='["intrinsic"]', epochs=6
    )  # more epochs and batches than streams
    run = read_config(Study, study, ["training.batch_size=8", "training.noise.event_drop=0.5"]).runs()[0]
    execute(run, tmp_path / "run")
    robustness(tmp_path / "run", {"event_drop": [0.5], "read_noise": [0.1]})
    assert len(made["trainee"]) > 30
    assert len(made["perturbation"]) == 20 + 1  # clips, and one network
    assert not made["trainee"] & made["perturbation"]


STEERING = """
study = "tiny_steering"
contenders = ["none", "intrinsic", "lstm"]
seeds = [0]
task = { name = "regression", steps = 4, size = [8, 8] } # small enough that no kernel is compiled
data = { name = "simulated_driving", drives = 8, duration = 1.0, sensor = 16 }
backbone = { width = 3, blocks = [1], stem_stride = 4 }
memory.intrinsic.bank = [{ t_cycle = 3e-6 }, { t_cycle = 5e-6 }]
training = { epochs = 1, batch_size = 4, threads = 1 }

[robustness]
"""


def test_every_perturbation_on_a_regression_with_a_bank(ipnet, tmp_path: Path) -> None:
    levels = {name: 2.0 if name == "speed" else 0.5 for name in PERTURBATIONS}
    study = tmp_path / "tiny_steering.toml"
    study.write_text(STEERING + "".join(f"{name} = [{level}]\n" for name, level in levels.items()), "utf-8")
    code, _, err = ipnet("study", study, "-o", tmp_path / "runs")
    assert code == 0, err
    runs = tmp_path / "runs" / "tiny_steering"
    code, out, err = ipnet("robustness", runs, "--config", study, "--split", "test", "--json")
    assert code == 0, err
    assert "3 of 3 runs" in err
    told = json.loads(out)
    found = {run["contender"]: run for run in told["runs"]}
    assert {row["perturbation"] for row in found["intrinsic"]["rows"]} == set(PERTURBATIONS)
    assert set(found["lstm"]["untested"]) == {"device_variation 0.5"}
    assert set(found["none"]["untested"]) == {"device_variation 0.5", "read_noise 0.5", "stuck_devices 0.5"}
    assert found["none"]["chance"] == pytest.approx(0.0, abs=1e-6)
    (verdict,) = told["studies"]
    tests = {(match["perturbation"], match["other"]): match["test"] for match in verdict["matches"]}
    assert tests["event_drop", "lstm"]["difference"]["unit"] == "1"
    assert {each["other"] for each in verdict["differences"]} == {"lstm"}
    code, out, err = ipnet("robustness", runs, "--config", study, "--split", "test")
    assert code == 0, err
    assert "r2 [1]" in out
    assert "SIMULATED data" in out


def test_declared_levels_are_sorted_and_without_the_neutral_one() -> None:
    plan = declare({"speed": [2.0, 1.0, 0.5, 2.0], "event_drop": [0, 0.1]})
    assert [(perturbation.name(), level) for perturbation, level in plan] == [
        ("speed", 0.5),
        ("speed", 2.0),
        ("event_drop", 0.1),
    ]
    with pytest.raises(IPNetError, match="'reset_state' needs at least one level besides"):
        declare({"reset_state": [0.0, 1.0]})  # neither end of the clip loses anything


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
