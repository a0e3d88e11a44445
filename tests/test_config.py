"""Configurations: shipped ones build, unknown keys are answered with the nearest one, settings keep their type."""

from pathlib import Path
from typing import Any

import pytest

from ipnet.config import Run, Study, read_config, shipped_configs
from ipnet.data import DATA
from ipnet.errors import IPNetError
from ipnet.network import build_network
from ipnet.perturbation import build_noise
from ipnet.registry import Registry
from ipnet.robustness import declare
from ipnet.tasks import TASKS

CONFIG = """
study = "s"
contenders = ["none", "intrinsic@frontier"]
seeds = [0, 7]
[task]
name = "recognition"
steps = 4
[data]
name = "nmnist"
[backbone]
width = 8
[training]
epochs = 3
[memory.intrinsic]
card = "memoryless"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG)
    return path


def _known_options(registry: Registry[Any], table: dict[str, Any]) -> bool:
    import inspect

    return set(table) <= {"name", *inspect.signature(registry[table["name"]]).parameters}


@pytest.mark.parametrize("name", list(shipped_configs()))
def test_shipped_configuration(name: str) -> None:
    study = read_config(Study, name)
    assert study.study == name
    assert study.title
    assert _known_options(TASKS, study.task)
    assert _known_options(DATA, study.data)
    build_noise(study.training.noise)
    assert not study.robustness or declare(study.robustness)
    width = min(study.backbone.width, 16)  # to draw more weights takes seconds
    narrow = study.backbone.model_copy(update={"width": width})
    for run in study.model_copy(update={"backbone": narrow}).runs()[: len(study.contenders)]:
        build_network(run, (2, 32, 32), 3)


def test_the_runs_of_a_study_are_all_contenders_of_a_seed_then_the_next_seed(config: Path) -> None:
    runs = read_config(Study, config).runs()
    assert [run.name for run in runs] == [
        "none-seed0",
        "intrinsic-at-frontier-seed0",
        "none-seed7",
        "intrinsic-at-frontier-seed7",
    ]
    assert all(run.training.epochs == 3 and run.backbone.width == 8 for run in runs)
    assert all(run.memory == {"intrinsic": {"card": "memoryless"}} for run in runs)


@pytest.mark.parametrize(
    ("contender", "name", "memory", "positions"),
    [
        ("lstm", "lstm-seed4", "lstm", ()),
        ("intrinsic@stem", "intrinsic-at-stem-seed4", "intrinsic", ("stem",)),
        ("intrinsic@frontier+stem", "intrinsic-at-frontier-stem-seed4", "intrinsic", ("frontier", "stem")),
    ],
)
def test_a_contender_is_a_memory_and_its_positions(contender, name, memory, positions) -> None:
    run = Run(study="s", data={"name": "nmnist"}, contender=contender, seed=4)
    assert (run.name, run.memory_name, run.positions) == (name, memory, positions)


@pytest.mark.parametrize(
    ("setting", "key", "near"),
    [
        ("sead=[1]", "sead", "seeds"),
        ("training.epoch=3", "training.epoch", "training.epochs"),
        ("training.learning_rat=3", "training.learning_rat", "training.learning_rate"),
        ("backbone.widht=3", "backbone.widht", "backbone.width"),
        ("backbon.width=3", "backbon", "backbone"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(setting: str, key: str, near: str, config: Path) -> None:
    with pytest.raises(
        IPNetError, match=rf"configuration 'mine\.toml': unknown key '{key}'; did you mean '{near}'\?"
    ):
        read_config(Study, config, [setting])


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("training.epochs=5", lambda s: s.training.epochs == 5),
        ("training.learning_rate=1e-4", lambda s: s.training.learning_rate == 1e-4),
        ("backbone.blocks=[1,2,3]", lambda s: s.backbone.blocks == (1, 2, 3)),
        ("backbone.stem_pool=true", lambda s: s.backbone.stem_pool is True),
        ("backbone.activation=mtj", lambda s: s.backbone.activation == "mtj"),
        ('backbone.activation="mtj"', lambda s: s.backbone.activation == "mtj"),
        ("contenders=['lstm@head']", lambda s: s.contenders == ("lstm@head",)),
        ("data.root=/some/where", lambda s: s.data["root"] == "/some/where"),
        ("data.validation=0.2", lambda s: s.data == {"name": "nmnist", "validation": 0.2}),
        ("memory.intrinsic.clock.t_cycle=1e-6", lambda s: s.memory["intrinsic"]["clock"] == {"t_cycle": 1e-6}),
        ("memory.conv2plus1d.kernel=5", lambda s: s.memory["conv2plus1d"] == {"kernel": 5}),
        ("title=a = b", lambda s: s.title == "a = b"),
    ],
)
def test_a_setting_keeps_its_type(setting: str, read, config: Path) -> None:
    assert read(read_config(Study, config, [setting]))


def test_the_last_setting_counts(config: Path) -> None:
    assert read_config(Study, config, ["training.epochs=5", "training.epochs=6"]).training.epochs == 6


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs", r"a setting is written key=value, such as training.epochs=3; got 'epochs'"),
        ("=3", r"a setting is written key=value"),
        ("study.name=x", r"'study' in the setting 'study\.name=x' is a value, not a table"),
        ("training.epochs=0", r"'training\.epochs' must be greater than or equal to 1; got 0"),
        ("training.epochs=many", r"'training\.epochs' must be a valid integer.*got 'many'"),
        ("training.warmup=1", r"'training\.warmup' must be less than 1; got 1"),
        ("backbone.blocks=[]", r"'backbone\.blocks'"),
        ("backbone.activation=gelu", r"'backbone\.activation' must be 'relu' or 'mtj'; got 'gelu'"),
        ("contenders=[]", r"'contenders'"),
        ("study=a/b", r"'study'.*got 'a/b'"),
        ("data={}", r"\[data\] must have a 'name'; add name"),
        ("task={steps=3}", r"\[task\] must have a 'name'"),
    ],
)
def test_a_wrong_value_is_named(setting: str, message: str, config: Path) -> None:
    with pytest.raises(IPNetError, match=message) as caught:
        read_config(Study, config, [setting])
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named(config: Path) -> None:
    config.write_text(CONFIG.replace('contenders = ["none", "intrinsic@frontier"]', ""))
    with pytest.raises(IPNetError, match=r"'contenders' is missing; add it"):
        read_config(Study, config)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=r"unknown configuration 'nmnist2'; did you mean 'nmnist20'\?"):
        read_config(Study, "nmnist2")
    with pytest.raises(IPNetError, match=r"no\.toml' cannot be read \(No such file"):
        read_config(Study, tmp_path / "no.toml")
    (tmp_path / "cut.toml").write_text("study = \n")
    with pytest.raises(IPNetError, match=r"cut\.toml' is not valid TOML: .*line 1"):
        read_config(Study, tmp_path / "cut.toml")


def test_a_configuration_cannot_be_changed_later(config: Path) -> None:
    study = read_config(Study, config)
    with pytest.raises(ValueError, match="frozen"):
        study.training.epochs = 9  # type: ignore[misc]
