"""Training: augmentation, selection and determinism."""

from pathlib import Path

import torch

from ipnet.config import Study, read_config
from ipnet.train import execute
from ipnet.trainee import shift_clips
from tiny import write_tiny_study


def test_shift_moves_a_whole_clip_and_fills_with_silence() -> None:
    x = torch.zeros(3, 2, 1, 5, 7)
    x[:, :, :, 2, 3] = torch.arange(1.0, 4.0)[:, None, None]
    shifted = shift_clips(x, 1, torch.Generator().manual_seed(3))
    assert shifted.shape == x.shape
    for clip in shifted.unbind(1):
        places = {tuple(place.tolist()) for place in (clip[:, 0] > 0).nonzero()[:, 1:]}
        assert len(places) == 1
        assert clip.sum() == 6
    large = shift_clips(torch.ones(2, 3, 1, 4, 4), 2, torch.Generator().manual_seed(1))
    assert large.sum() < 2 * 3 * 16
    assert shift_clips(x, 0, torch.Generator()) is x


def test_a_run_is_a_function_of_its_configuration(tmp_path: Path) -> None:
    run = read_config(Study, write_tiny_study(tmp_path, contenders='["intrinsic"]')).runs()[0]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = execute(run, tmp_path / "first")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = execute(run, tmp_path / "second")
    other = execute(run.model_copy(update={"seed": 1}), tmp_path / "other")
    assert first.history == second.history
    assert first.predictions == second.predictions
    assert first.history != other.history


def test_sampled_emission_trains_reproducibly(tmp_path: Path) -> None:
    study = read_config(
        Study, write_tiny_study(tmp_path, contenders='["intrinsic"]'), ["memory.intrinsic.emission=sample"]
    )
    first, second = (execute(study.runs()[0], tmp_path / name) for name in ("first", "second"))
    assert first.history == second.history
