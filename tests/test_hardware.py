"""Where and how exactly a run computes: half precision, loading processes, and hardware that is not there."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ipnet.budget import Training
from ipnet.config import Study, read_config
from ipnet.errors import IPNetError
from ipnet.neuron import Neuron
from ipnet.study import check_runs
from ipnet.train import execute
from ipnet.trainee import accelerator_of
from tiny import write_tiny_study

CONTENDERS = '["intrinsic"]'


def _found(folder: Path, out: str, *settings: str) -> Any:
    (run,) = read_config(Study, folder / "tiny.toml", settings).runs()
    return execute(run, folder / out)


def test_loading_processes_change_no_number(tmp_path: Path) -> None:
    write_tiny_study(tmp_path, contenders=CONTENDERS)
    plain, helped = _found(tmp_path, "plain"), _found(tmp_path, "helped", "training.workers=2")
    assert helped.history == plain.history
    assert helped.predictions == plain.predictions
    assert helped.config["training"]["workers"] == 2
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "helped")]
    assert weights[0] == weights[1]


def test_half_precision_trains_the_backbone_and_spares_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    forward = Neuron.forward

    def watched(self: Neuron, x: torch.Tensor, state: Any = None) -> Any:
        y, after = forward(self, x, state)
        seen.add((x.dtype, y.dtype, after[0].dtype, torch.is_autocast_enabled("cpu")))
        return y, after

    monkeypatch.setattr(Neuron, "forward", watched)
    write_tiny_study(tmp_path, contenders='["intrinsic@frontier+stem"]')
    mixed = _found(tmp_path, "mixed", "training.precision=bf16-mixed", "training.workers=2")
    whole = _found(tmp_path, "whole")
    assert seen == {(torch.float32, torch.float32, torch.float32, False)}
    losses = [entry["train_loss"] for result in (mixed, whole) for entry in result.history]
    assert losses[:2] == pytest.approx(losses[2:], rel=0.05)
    assert losses[:2] != losses[2:]
    assert mixed.metrics["accuracy"].n == 40


@pytest.mark.parametrize("contender", ["lstm", "convlstm", "ssm", "lif", "conv3d"])
def test_every_kind_of_memory_trains_in_half_precision(contender: str, tmp_path: Path) -> None:
    write_tiny_study(tmp_path, contenders=f'["{contender}"]', epochs=1)
    result = _found(tmp_path, "mixed", "training.precision=bf16-mixed")
    assert len(result.history) == 1


class TestHardwareThatIsNotThere:
    """Refused before any data are prepared."""

    @pytest.fixture(autouse=True)
    def _no_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (["training.accelerator=gpu"], r"accelerator = 'gpu' needs a GPU.*take 'cpu' or 'auto'"),
            (
                ["training.precision=16-mixed"],
                r"'16-mixed' needs a GPU; got accelerator = 'cpu'.*take 'bf16-mixed'",
            ),
            (["training.precision=16-mixed", "training.accelerator=auto"], r"got accelerator = 'auto' and no GPU"),
        ],
    )
    def test_it_is_refused(self, settings: list[str], message: str, tmp_path: Path) -> None:
        runs = read_config(Study, write_tiny_study(tmp_path), [*settings, "data.root=/nowhere"]).runs()
        with pytest.raises(IPNetError, match=message):
            check_runs(runs, tmp_path / "runs")
        with pytest.raises(IPNetError, match=message):
            execute(runs[0], tmp_path / "runs")

    def test_auto_takes_the_processor(self) -> None:
        assert accelerator_of(Training(accelerator="auto")) == "cpu"


def test_a_gpu_is_taken_if_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "an old card")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert accelerator_of(Training(accelerator="auto", precision="16-mixed")) == "cuda"
    assert accelerator_of(Training()) == "cpu"
    with pytest.raises(
        IPNetError, match="needs a GPU with bfloat16; got an old card: take '16-mixed' or '32-true'"
    ):
        accelerator_of(Training(accelerator="gpu", precision="bf16-mixed"))


def test_defaults_are_not_written_so_that_old_results_stay_valid() -> None:
    later = {"accelerator", "precision", "workers", "noise"}
    assert not later & set(Training().model_dump())
    used = Training(accelerator="auto", precision="bf16-mixed", workers=1, noise={"event_drop": 0.5})
    assert later < set(used.model_dump())
    assert Training.model_validate(used.model_dump(mode="json")) == used
