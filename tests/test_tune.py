"""Tuning: equal budgets, the study's values first, never the test split, resumable; and the cost of a study."""

import csv
import json
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipnet import study as study_module
from ipnet import tuning as tuning_module
from ipnet.config import Study, read_config
from ipnet.errors import DivergedError, IPNetError
from ipnet.search import Search
from ipnet.study import check_runs, estimate
from ipnet.tasks.recognition import Recognition
from ipnet.train import alone, execute
from ipnet.tune import Trial, best_of, tune, unequal
from ipnet.tuning import Tuning, part_of
from tiny import write_tiny_study

SEARCH = """
[memory.leaky]
tau = 3.0
[contender.slow]
is = "leaky@frontier"
memory.tau = 9.0
[search]
trials = 4
epochs = 1
clips = 21
"training.learning_rate" = [1e-3, 1e-1]
"memory.leaky.tau" = [1.0, 20.0]
"training.batch_size" = [8, 16, 32]
"""

Loss = Callable[[str, float], float]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = write_tiny_study(tmp_path, contenders='["none", "slow"]')
    path.write_text(path.read_text("utf-8") + SEARCH)
    return path


@pytest.fixture
def study(config: Path) -> Study:
    return read_config(Study, config)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Trainings that cost nothing: the loss is a function of the learning rate; the runs are kept."""
    runs: list[Any] = []

    def train_once(self: Tuning, run: Any, report: Any) -> tuple[float, float]:
        runs.append(run)
        rate = run.training.learning_rate
        return (math.inf, math.nan) if rate > 0.01 else (abs(math.log(rate / 8e-3)), 0.5)

    monkeypatch.setattr(Tuning, "train_once", train_once)
    return runs


def test_the_test_split_is_never_asked_for(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    items, frame = Recognition._items, Recognition._frame

    def watched(self: Recognition, split: Any) -> Any:
        asked.append(split)
        assert split != "test"
        return items(self, split)

    def framed(self: Recognition, index: int) -> Any:
        assert index not in self.data.indices("test")
        return frame(self, index)

    monkeypatch.setattr(Recognition, "_items", watched)
    monkeypatch.setattr(Recognition, "_frame", framed)
    monkeypatch.setenv("IPNET_CACHE", str(tmp_path / "empty"))
    found = tune(Tuning(study), tmp_path / "runs", 1)
    assert set(asked) == {"train", "validation"}
    assert [(trial.contender, trial.number) for trial in found] == [("none", 0), ("slow", 0)]
    assert all(math.isfinite(trial.loss) and 0 <= trial.score <= 1 and trial.seconds > 0 for trial in found)
    assert not list(tmp_path.rglob("result.json"))


def test_every_contender_has_the_same_budget(study: Study, tmp_path: Path, quick: list[Any]) -> None:
    tuning = Tuning(study)
    found = tune(tuning, tmp_path, 4)
    assert [run.contender for run in quick] == ["none", "slow"] * 4
    assert {(run.seed, run.training.epochs) for run in quick} == {(1000, 1)}
    assert unequal(tuning, found) == ""
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [(row["contender"], row["trial"]) for row in rows] == [
        (c, str(i)) for c in ("none", "slow") for i in range(4)
    ]
    assert [json.loads(row["values"]) for row in rows] == [trial.values for trial in found]


def test_the_first_trial_has_the_values_of_the_study(study: Study, tmp_path: Path, quick: list[Any]) -> None:
    found = tune(Tuning(study), tmp_path, 1)
    shared = {"training.learning_rate": 2e-3, "training.batch_size": 16}
    assert [dict(trial.values) for trial in found] == [shared, shared | {"memory.tau": 9.0}]
    assert quick[1].memory == {"leaky": {"tau": 9.0}}


def test_values_lie_in_their_ranges_and_belong_to_their_memory(
    study: Study, tmp_path: Path, quick: list[Any]
) -> None:
    found = tune(Tuning(study), tmp_path, 4)
    for trial in found:
        assert 1e-3 <= trial.values["training.learning_rate"] <= 0.1
        assert trial.values["training.batch_size"] in (8, 16, 32)
        assert ("memory.tau" in trial.values) == (trial.contender == "slow")
    for run, trial in zip(quick, sorted(found, key=lambda trial: trial.number), strict=True):
        assert run.training.learning_rate == trial.values["training.learning_rate"]
    assert len({trial.values["training.learning_rate"] for trial in found if trial.contender == "none"}) == 4


def test_an_interrupted_search_ends_like_another(
    study: Study, tmp_path: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune(Tuning(study), tmp_path / "whole", 4)
    train_once, calls = Tuning.train_once, iter(range(5))

    def interrupted(self: Tuning, run: Any, report: Any) -> tuple[float, float]:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return train_once(self, run, report)

    with monkeypatch.context() as patch:
        patch.setattr(Tuning, "train_once", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tune(Tuning(study), tmp_path / "cut", 4)
    quick.clear()
    resumed = tune(Tuning(study), tmp_path / "cut", 4)
    assert len(quick) == 8 - 5
    assert [(t.contender, t.number, t.values, t.loss) for t in resumed] == [
        (t.contender, t.number, t.values, t.loss) for t in whole
    ]
    quick.clear()
    tune(Tuning(study), tmp_path / "cut", 4)
    assert not quick


def test_a_diverged_trial_counts_and_is_not_chosen(study: Study, tmp_path: Path, quick: list[Any]) -> None:
    found = tune(Tuning(study, ["slow"]), tmp_path, 4)
    diverged = [trial for trial in found if trial.values["training.learning_rate"] > 0.01]
    assert diverged
    assert all(trial.loss == math.inf for trial in diverged)
    assert all(math.isfinite(trial.loss) for trial in best_of(found).values())
    assert best_of([Trial("none", 0, {}, math.inf, math.nan, 1.0)]) == {}


@pytest.mark.parametrize("error", [DivergedError("the loss must be finite"), IPNetError("a clip is damaged")])
def test_only_divergence_counts_as_a_trial(
    error: IPNetError, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(tuning_module, "fit", fails)
    tuning = Tuning(study)
    if isinstance(error, DivergedError):
        assert tuning.train_once(tuning.run("none", {}), lambda *_: None)[0] == math.inf
    else:
        with pytest.raises(IPNetError, match="a clip is damaged"):
            tuning.train_once(tuning.run("none", {}), lambda *_: None)


def test_the_tables_to_paste_give_the_best_runs(
    config: Path, study: Study, tmp_path: Path, quick: list[Any]
) -> None:
    best = best_of(tune(Tuning(study, ["slow"]), tmp_path, 4))
    tables = (tmp_path / "tuned.toml").read_text("utf-8")
    assert tomllib.loads(tables)["contender"]["slow"]["is"] == "leaky@frontier"
    old = '[contender.slow]\nis = "leaky@frontier"\nmemory.tau = 9.0\n'
    config.write_text(config.read_text("utf-8").replace(old, tables))
    pasted = read_config(Study, config)
    assert pasted.run("slow", 0).memory["leaky"]["tau"] == best["slow"].values["memory.tau"]
    for name, trial in best.items():
        assert pasted.run(name, 0).training.learning_rate == trial.values["training.learning_rate"]


def test_unequal_budgets_are_said_and_another_search_is_refused(
    ipnet: Any, config: Path, tmp_path: Path, quick: list[Any]
) -> None:
    code, out, err = ipnet("tune", config, "--trials", 2, "--contender", "slow", "-o", tmp_path / "r", "--json")
    assert (code, len(json.loads(out))) == (0, 2)
    assert "the budgets differ" in err
    assert "none 0, slow 2" in err
    code, out, err = ipnet("tune", config, "--trials", 2, "-o", tmp_path / "r")
    assert (code, err) == (0, "")
    assert "slow" in out
    code, _, err = ipnet("tune", config, "--trials", 3, "--set", "search.epochs=2", "-o", tmp_path / "r")
    assert code == 2
    assert "must belong to this very study and search" in err


@pytest.mark.usefixtures("quick")
def test_processes_share_the_folder_if_they_tune_different_contenders(study: Study, tmp_path: Path) -> None:
    with alone(tmp_path, "none"):
        found = tune(Tuning(study, ["slow"]), tmp_path, 2)
        assert [trial.contender for trial in found] == ["slow", "slow"]
        with pytest.raises(IPNetError, match="one process at a time"):
            tune(Tuning(study), tmp_path, 2)


def test_a_part_is_whole_recordings_drawn_by_seed(study: Study) -> None:
    whole = Tuning(study).task.items("train")
    part = part_of(whole, 21, 0)
    assert len(part) == 20
    assert {f"{name}/reversed" for name in part.names if "reversed" not in name} <= set(part.names)
    assert part.names == part_of(whole, 21, 0).names != part_of(whole, 21, 1).names
    number = whole.names.index(part.names[3])
    assert part.batch([3])[0].equal(whole.batch([number])[0])
    with pytest.raises(IPNetError, match=r"search\.clips must hold one recording with its copies, 2; got 1"):
        part_of(whole, 1, 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("search.seed=0", r"search\.seed must not be one of the study's \[0\]; got 0"),
        (
            "search.training.learning_rate=[1e-2, 1e-1]",
            r"must hold what the study has for 'none'; got \[0\.01, 0\.1\]",
        ),
        ("search.memory.lstn.size=[1, 2]", r"unknown memory 'lstn'; did you mean 'lstm'"),
        ("search.memory.leaky.ta=[1.0, 2.0]", r"unknown option of memory 'leaky' 'ta'; did you mean 'tau'"),
        ("search.training.zom=[0.1, 0.2]", r"unknown key 'training\.zom'; did you mean 'training\.zoom'"),
        ("search.training.zoom=[0.0, 0.2]", r"must have 0 < low < high for 'training\.zoom'"),
        ("search.training.zoom=[0.1]", r"at least two values for 'training\.zoom'"),
        ("search.training.epochs=[3, 4]", r"must leave the budget alone.*'training\.epochs': remove it"),
        ("search.trails=4", r"unknown key 'search\.trails'; did you mean 'search\.trials'"),
    ],
)
def test_mistakes_are_found_before_the_first_trial(setting: str, message: str, config: Path) -> None:
    with pytest.raises(IPNetError, match=message):
        Tuning(read_config(Study, config, [setting]))


def test_a_contender_must_be_of_the_study_and_a_search_have_a_range(study: Study) -> None:
    with pytest.raises(IPNetError, match="one of the study's; got 'lstm': take of none, slow"):
        Tuning(study, ["lstm"])
    with pytest.raises(IPNetError, match="must name at least one range"):
        Tuning(study.model_copy(update={"search": Search()}))


def test_a_search_is_no_part_of_a_run(config: Path, study: Study) -> None:
    assert read_config(Study, config, ["search.trials=99"]).runs() == study.runs()


def test_the_cost_of_a_study_is_that_of_the_runs_without_a_result(
    ipnet: Any, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = ["seeds=[0, 1, 2]", "training.epochs=2"], tmp_path / "runs"
    study = read_config(Study, config, settings)
    execute(*check_runs(study.runs()[:1], folder)[0])
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    words = [word for setting in settings for word in ("--set", setting)]
    code, out, err = ipnet("study", config, *words, "-o", folder, "--cpu-minutes", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [(cost["contender"], cost["runs"]) for cost in found["contenders"]] == [("none", 2), ("slow", 3)]
    assert found["total"]["runs"] == 5
    assert all(cost["minutes"] > 0 for cost in found["contenders"])
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    monkeypatch.setattr(study_module, "_seconds", lambda *_: 0.6)
    two = read_config(Study, config, [*settings, "training.threads=2"])
    _, slow = estimate([(run, tmp_path / "none yet") for run in two.runs()])
    # 3 runs, 2 epochs, 60, 20 and 40 items in batches of 16, 0.6 s each
    assert slow.minutes == pytest.approx(3 * (2 * (4 + 2) + 3) * 0.6 / 60)
    assert slow.cpu_minutes == 2 * slow.minutes
    code, out, _ = ipnet("study", config, *words, "-o", folder, "--cpu-minutes")
    assert "CPU minutes" in out
