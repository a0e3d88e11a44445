"""Training: augmentation, selection and determinism."""

from pathlib import Path

import pytest
import torch

from ipnet.budget import Training
from ipnet.config import Study, read_config
from ipnet.train import execute
from ipnet.trainee import jitter_clips
from tiny import write_tiny_study


def test_a_shifted_clip_moves_as_a_whole_by_whole_pixels() -> None:
    x = torch.zeros(3, 8, 1, 9, 11)
    x[:, :, :, 4, 5] = torch.arange(1.0, 4.0)[:, None, None]
    training = Training(shift=2, rotate=0, zoom=0)
    shifted = jitter_clips(x, training, torch.Generator().manual_seed(3))
    assert shifted.shape == x.shape
    seen = set()
    for clip in shifted.unbind(1):
        places = {tuple(place.tolist()) for place in (clip[:, 0] > 0.5).nonzero()[:, 1:]}
        assert len(places) == 1
        assert clip.sum().item() == pytest.approx(6, abs=1e-4)
        seen |= places
    assert len(seen) > 3
    assert all(abs(y - 4) <= 2 and abs(x - 5) <= 2 for y, x in seen)


def test_a_turned_clip_keeps_its_shape_on_frames_that_are_not_square() -> None:
    x = torch.zeros(1, 50, 1, 21, 41)
    x[:, :, :, 10, 30:32] = 1.0  # 10.5 pixels right of the middle
    turned = jitter_clips(x, Training(shift=0, rotate=90, zoom=0), torch.Generator().manual_seed(0))
    rows, columns = torch.meshgrid(torch.arange(21.0), torch.arange(41.0), indexing="ij")
    mass = turned[0, :, 0]
    weight = mass.sum((1, 2)).clamp(min=1e-6)
    y, x_ = (mass * rows).sum((1, 2)) / weight - 10, (mass * columns).sum((1, 2)) / weight - 20
    whole = weight > 1.9  # not cut off at the border
    assert whole.sum() > 10
    assert torch.allclose(torch.hypot(x_, y)[whole], torch.full((int(whole.sum()),), 10.5), atol=0.3)
    assert y[whole].abs().max() > 3


def test_no_jitter_is_no_change() -> None:
    x = torch.rand(2, 3, 1, 4, 5)
    assert jitter_clips(x, Training(shift=0, rotate=0, zoom=0), torch.Generator()) is x


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
