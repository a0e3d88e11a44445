"""What a user with the recordings and a GPU types, on small files in the published layout and without a GPU."""

import json
import os
from pathlib import Path

import pytest
import torch

from ipnet.config import Study, read_config
from ipnet.data.dvs_gesture import write_tree
from ipnet.data.nmnist import NMNIST
from tiny import write_tiny_study


def _sets(**settings: object) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


SMALL = _sets(
    seeds="[0]",
    contenders="['intrinsic@frontier', 'conv3d']",
    task__size="[8, 8]",
    task__steps=4,
    data__validation_subjects=1,
    backbone__width=4,
    backbone__blocks="[1, 1]",
    training__epochs=1,
    training__shift=1,
    training__batch_size=7,  # too few junctions for the compiled kernel, which takes seconds to make
    training__threads=1,
)


@pytest.fixture
def gestures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two subjects to train, one to validate, one to test."""
    monkeypatch.delenv("IPNET_DATA", raising=False)
    trials = [f"user{n:02d}_led" for n in (1, 2, 3, 24)]
    write_tree(tmp_path / "mine" / "DvsGesture", trials[:3], trials[3:])
    return tmp_path / "mine"


def test_the_command_for_dvs_gesture_runs(ipnet, gestures: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    changes = [*SMALL, *_sets(training__accelerator="cpu", training__workers=1)]
    words = "study", "dvs_gesture22", "--root", gestures, *changes, "-o", tmp_path / "runs", "--json"
    code, out, err = ipnet(*words)
    assert (code, err) == (0, "")
    assert "IPNET_DATA" not in os.environ
    results = json.loads(out)
    assert [result["config"]["contender"] for result in results] == ["intrinsic@frontier", "conv3d"]
    assert results[0]["data"]["items"] == {"train": 48, "validation": 24, "test": 24}
    assert results[0]["data"]["classes"] == 22
    assert results[0]["config"]["training"]["precision"] == "bf16-mixed"
    assert results[0]["metrics"]["accuracy"]["n"] == 24
    assert str(gestures) not in out  # the place of the files is no part of the result
    moved = gestures.rename(tmp_path / "moved")
    code, again, _ = ipnet("study", "dvs_gesture22", "--root", moved, *words[4:])
    assert (code, json.loads(again)) == (0, results)  # nor of what makes it the same run


def test_without_a_gpu_the_command_says_what_to_do(  # type: ignore[no-untyped-def]
    ipnet, gestures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = ipnet("study", "dvs_gesture22", "--root", gestures, *SMALL, "-o", tmp_path / "runs")
    assert code == 2
    assert "training.accelerator = 'gpu' needs a GPU" in err
    assert err.count("\n") == 1


def test_a_root_takes_the_place_of_the_variable(ipnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    study = write_tiny_study(tmp_path, contenders='["none"]', epochs=1)
    given = study.read_text("utf-8")
    study.write_text("\n".join(line for line in given.splitlines() if not line.startswith("root")), "utf-8")
    monkeypatch.setenv("IPNET_DATA", str(tmp_path / "nowhere"))
    words = "train", study, "--set", "contender=none", "-o", tmp_path / "runs", "--json"
    code, _, err = ipnet(*words)
    assert (code, "nowhere" in err) == (2, True)
    code, out, _ = ipnet(*words, "--root", tmp_path / "clips")
    assert code == 0
    assert json.loads(out)[0]["config"]["data"] == {"name": "nmnist", "validation": 0.25}
    assert os.environ["IPNET_DATA"] == str(tmp_path / "nowhere")
    with study.open("a") as file:
        file.write(
            '\n[robustness]\nevent_drop = [0.5]\n[search]\ntrials = 1\n"training.learning_rate" = [1e-4, 0.1]\n'
        )
    for more in (("robustness", tmp_path / "runs", "--config", study), ("tune", study, "-o", tmp_path / "runs")):
        code, _, err = ipnet(*more)
        assert (code, "nowhere" in err) == (2, True)
        code, _, err = ipnet(*more, "--root", tmp_path / "clips")
        assert (code, "Traceback" in err) == (0, False)
    code, _, err = ipnet(*words, "--root", tmp_path / "elsewhere")
    assert (code, "elsewhere' is none: check the path after --root" in err) == (2, True)
    study.write_text(given, "utf-8")
    code, _, err = ipnet(*words, "--root", tmp_path / "clips")
    assert (code, "leave one of them out" in err) == (2, True)


def test_saccades_run_as_a_study(ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    NMNIST.example(tmp_path / "clips")
    changes = _sets(seeds="[0]", contenders="['none']", training__epochs=1, backbone__width=4, task__steps=3)
    changes += _sets(data__validation=0.25, data__saccade=1)
    words = "study", "nmnist20_saccade", "--root", tmp_path / "clips", *changes, "-o", tmp_path / "runs", "--json"
    code, out, err = ipnet(*words)
    assert (code, err) == (0, "")
    (result,) = json.loads(out)
    assert result["data"]["items"] == {"train": 60, "validation": 20, "test": 40}
    assert "saccade 1 by itself" in result["data"]["description"]


@pytest.mark.parametrize("name", ["dvs_gesture22", "ddd20"])
def test_studies_for_a_gpu_have_the_published_backbone(name: str) -> None:
    study = read_config(Study, name)
    backbone = study.backbone
    assert (backbone.width, backbone.blocks) == (64, (2, 2, 2, 2))  # ResNet-18
    assert (backbone.stem_kernel, backbone.stem_stride, backbone.stem_pool) == (7, 2, True)
    assert (study.training.accelerator, study.training.precision) == ("gpu", "bf16-mixed")
    assert study.training.workers > 1
    assert len(study.seeds) >= 5
    assert study.task["steps"] >= 16
