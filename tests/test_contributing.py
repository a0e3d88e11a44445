"""The recipes of CONTRIBUTING.md run as they stand: each block is dropped in as one file and contract-tested."""

import json
import re
from pathlib import Path

import pytest

from ipnet.config import Run
from ipnet.contracts import (
    check_data,
    check_device,
    check_instrument,
    check_memory,
    check_paradigm,
    check_perturbation,
    check_task,
)
from ipnet.device import load_device
from ipnet.report import write_report
from ipnet.train import execute

GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCK = re.compile(
    r'^```(?:python|toml) title="src/ipnet/(?P<path>\S+)"\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL
)
RECIPES = {match["path"]: match["text"] for match in BLOCK.finditer(GUIDE.read_text("utf-8"))}


@pytest.fixture
def dropped(plugin, tmp_path: Path):
    """Drop the recipe of a folder, return its name (or, for a card, its path)."""

    def drop(folder: str) -> str:
        (path,) = (Path(path) for path in RECIPES if str(Path(path).parent) == folder)
        if path.suffix == ".toml":
            card = tmp_path / path.name
            card.write_text(RECIPES[str(path)], "utf-8")
            return str(card)
        return plugin(folder, path.stem, RECIPES[str(path)])

    return drop


@pytest.fixture
def tiny_run():
    """One epoch of a network with some hundred weights."""

    def make(contender: str, data: str, task: dict[str, object], **options: object) -> Run:
        return Run.model_validate(
            {
                "study": "recipe",
                "contender": contender,
                "task": task,
                "data": {"name": data} | options,
                "backbone": {"width": 2, "blocks": [1]},
                "training": {"epochs": 1, "batch_size": 5, "shift": 0, "threads": 1},
            }
        )

    return make


def test_there_is_one_recipe_for_every_extension_point() -> None:
    assert sorted(str(Path(path).parent) for path in RECIPES) == [
        "data",
        "device",
        "device/cards",
        "instrument",
        "memory",
        "paradigm",
        "perturbation",
        "tasks",
    ]


def test_device_and_card(dropped) -> None:
    dropped("device")
    card = dropped("device/cards")
    check_device(card)
    assert load_device(card).memory_cycles() == pytest.approx(1 / 0.22)


def test_the_device_is_a_memory_at_once(dropped) -> None:
    dropped("device")
    check_memory("intrinsic", card=dropped("device/cards"))


def test_memory(dropped) -> None:
    check_memory(dropped("memory"))


def test_data(dropped, tmp_path: Path) -> None:
    check_data(dropped("data"), tmp_path / "data")


def test_task(dropped, tmp_path: Path) -> None:
    check_task(dropped("tasks"), tmp_path / "task")


def test_perturbation(dropped) -> None:
    check_perturbation(dropped("perturbation"))


def test_paradigm(dropped, ipnet) -> None:  # type: ignore[no-untyped-def]
    check_paradigm(dropped("paradigm"))
    code, out, _ = ipnet("tasks", "run", "scanning", "--list-length", 6, "--subjects", 4, "--json")
    assert code == 0
    assert 0 <= json.loads(out)["accuracy"] <= 1


def test_instrument(dropped) -> None:
    check_instrument(dropped("instrument"))


def test_memory_and_data_train_together(dropped, tiny_run, tmp_path: Path) -> None:
    memory, data = dropped("memory"), dropped("data")
    task = {"name": "recognition", "steps": 4, "reverse_time": True}
    result = execute(tiny_run(memory, data, task, clips=4), tmp_path / "run")
    assert result.model["positions"] == ["frontier"]
    assert result.metrics["accuracy"].n == 8
    assert (tmp_path / "run" / "trace.npz").exists()


def test_task_trains(dropped, tiny_run, tmp_path: Path) -> None:
    run = tiny_run("lstm", "generated", {"name": dropped("tasks")}, trials=6)
    result = execute(run, tmp_path / "runs" / "one")
    assert result.metrics["accuracy"].n == 6
    page = write_report(tmp_path / "runs", tmp_path / "report.html").read_text("utf-8")
    assert result.data["name"] in page


def test_commands_and_paths_exist() -> None:
    text = GUIDE.read_text("utf-8")
    for path in re.findall(r"`(tests/[a-z_]+\.py|pyproject\.toml)`", text):
        assert (GUIDE.parent / path).exists(), path
