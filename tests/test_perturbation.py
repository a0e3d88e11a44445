"""Perturbations: what each does to a clip or a network, against the distribution that it states."""

import math

import pytest
import torch
from torch import Tensor

from ipnet.budget import Backbone, Training
from ipnet.contracts import ContractViolation, check_perturbation
from ipnet.device import load_device, spread_device
from ipnet.errors import IPNetError
from ipnet.memory import MEMORIES
from ipnet.network import Network
from ipnet.perturbation import PERTURBATIONS, add_noise, build_noise, perturb_clips
from ipnet.trainee import reseed

SHAPE = (12, 2, 30, 25)  # T, C, H, W: 18 000 counts


def _perturb(name: str, clip: Tensor, level: float, seed: int = 1) -> Tensor:
    return perturb_clips(clip[:, None], [4], PERTURBATIONS.build(name), level, seed)[:, 0]


def _network(memory: str, **options: object) -> Network:
    torch.manual_seed(0)
    return Network((2, 8, 7), 3, Backbone(width=4, blocks=(1,)), memory, **options).eval()


def _frames(*shape: int) -> Tensor:
    return torch.poisson(torch.ones(*shape), generator=torch.Generator().manual_seed(2))


def _same(value: Tensor | float, expected: float, error: float) -> bool:
    """Within five standard errors."""
    return abs(float(value) - expected) <= 5 * error


@pytest.mark.parametrize("name", list(PERTURBATIONS))
def test_contract(name: str) -> None:
    check_perturbation(name)


def test_every_clip_and_every_seed_meets_a_disturbance_of_its_own() -> None:
    drop, x = PERTURBATIONS.build("event_drop"), torch.ones(5, 2, 2, 6, 7)
    disturbed = perturb_clips(x, [3, 4], drop, 0.5, 0)
    assert not torch.equal(disturbed[:, 0], disturbed[:, 1])
    assert torch.equal(disturbed[:, 1], perturb_clips(x, [4, 3], drop, 0.5, 0)[:, 0])
    assert not torch.equal(disturbed, perturb_clips(x, [3, 4], drop, 0.5, 1))


BROKEN = '''
import torch
from typing import ClassVar
from ipnet.perturbation import InputPerturbation

class Broken(InputPerturbation):
    """Adds a constant and breaks a rule."""

    meaning: ClassVar[str] = {meaning}
    highest: ClassVar[float] = 3.0
    calls = 0

    def apply(self, clip, level, generator):
        self.calls += 1
        return {rule}
'''


@pytest.mark.parametrize(
    ("name", "rule", "meaning", "clause"),
    [
        ("fine", "clip + level", "'constant [1]'", None),
        ("silent", "clip + level", "'constant'", "meaning of the level"),
        ("negative", "clip - 9", "'constant [1]'", "not negative"),
        ("flattens", "clip.flatten(1)", "'constant [1]'", "keep shape"),
        ("writes", "clip.add_(level)", "'constant [1]'", "tensors are untouched"),
        ("counts_calls", "clip + self.calls", "'constant [1]'", "Pure"),
        ("draws_globally", "clip + torch.rand(())", "'constant [1]'", "Pure|Global"),
    ],
)
def test_a_broken_perturbation_is_caught(name: str, rule: str, meaning: str, clause: str | None, plugin) -> None:
    plugin("perturbation", name, BROKEN.replace("{rule}", rule).replace("{meaning}", meaning))
    if clause is None:
        check_perturbation(name)
        return
    with pytest.raises(ContractViolation, match=clause):
        check_perturbation(name)


def test_background_events_come_at_the_stated_rate() -> None:
    clip, rate = _frames(*SHAPE), 0.07
    added = _perturb("background_activity", clip, rate) - clip
    n = added.numel()
    assert _same(added.mean(), rate, math.sqrt(rate / n))
    assert _same(added.var(), rate, math.sqrt((rate + 2 * rate**2) / n))
    assert torch.equal(added, added.round())
    assert added.sum((2, 3)).min() > 0


def test_early_and_late_noise_fill_a_half_of_the_clip_each_at_the_rate_of_background_activity() -> None:
    clip, rate = _frames(13, *SHAPE[1:]), 0.07
    early, late = (_perturb(name, clip, rate) - clip for name in ("early_noise", "late_noise"))
    assert not early[6:].any()
    assert not late[:7].any()
    for noise in (early[:6], late[7:]):
        assert _same(noise.mean(), rate, math.sqrt(rate / noise.numel()))
        assert noise.sum((1, 2, 3)).min() > 0


def test_every_event_is_dropped_with_the_stated_probability_halves_too() -> None:
    clip = torch.full(SHAPE, 2.5)
    kept = _perturb("event_drop", clip, 0.3)
    n = kept.numel()
    assert _same(kept.floor().mean(), 0.7 * 2, math.sqrt(2 * 0.7 * 0.3 / n))
    assert _same((kept % 1).mean(), 0.7 / 2, 0.5 * math.sqrt(0.7 * 0.3 / n))
    assert not _perturb("event_drop", clip, 1.0).any()


def test_hot_pixels_fire_in_every_frame_in_one_polarity() -> None:
    clip = _frames(*SHAPE)
    added = _perturb("hot_pixels", clip, 0.2) - clip
    assert torch.equal(added, added[:1].expand_as(added))
    assert set(added.unique().tolist()) == {0.0, 2.0}
    assert not (added[0, 0] * added[0, 1]).any()
    pixels = added[0, 0].numel()
    hot = (added[0] > 0).float()
    assert _same(hot.sum() / pixels, 0.2, math.sqrt(0.2 * 0.8 / pixels))
    assert _same(hot[0].sum() / hot.sum(), 0.5, 0.5 / math.sqrt(float(hot.sum())))


def test_a_lamp_flickers_at_its_frequency_for_all_pixels_that_see_it() -> None:
    clip = _frames(*SHAPE)
    added = _perturb("flicker", clip, 0.4) - clip
    lit = added.any(0).any(0)
    assert _same(lit.float().mean(), 0.4, math.sqrt(0.4 * 0.6 / lit.numel()))
    course = added[:, :, lit]
    assert torch.equal(course, course[:, :, :1].expand_as(course))
    off, on = course[:, 0, 0], course[:, 1, 0]
    assert (on.sum(), off.sum()) == (3, 3)  # a quarter of a cycle in each of 12 frames
    assert (on.nonzero().diff(dim=0) == 4).all()
    assert abs(int(on.argmax() - off.argmax())) == 2


def test_thresholds_differ_from_pixel_to_pixel_and_not_from_frame_to_frame() -> None:
    clip = 1 + _frames(*SHAPE)
    logarithm = (_perturb("threshold_mismatch", clip, 0.3) / clip).log()
    assert torch.allclose(logarithm, logarithm[:1].expand_as(logarithm), atol=1e-5)
    n = logarithm[0].numel()
    assert _same(logarithm[0].mean(), 0, 0.3 / math.sqrt(n))
    assert _same(logarithm[0].std(), 0.3, 0.3 / math.sqrt(2 * n))


def test_frames_are_dropped_with_the_stated_probability() -> None:
    clip = torch.ones(2000, 1, 2, 3)
    seen = _perturb("dropped_frames", clip, 0.35)
    whole = seen.flatten(1).mean(1)
    assert set(whole.unique().tolist()) == {0.0, 1.0}
    assert _same(whole.mean(), 0.65, math.sqrt(0.35 * 0.65 / 2000))


def _numbered(steps: int) -> Tensor:
    return torch.arange(float(steps))[:, None, None, None].expand(steps, 2, 3, 4)


def test_a_share_of_the_frames_is_shuffled() -> None:
    clip = _numbered(400)
    order = _perturb("shuffled_frames", clip, 0.5)[:, 0, 0, 0]
    assert torch.equal(order.sort().values, torch.arange(400.0))
    moved = int((order != torch.arange(400)).sum())
    assert 185 <= moved <= 200  # of 200 that are chosen, one on average lands where it was
    full = _perturb("shuffled_frames", clip, 1.0)[:, 0, 0, 0]
    assert int((full == torch.arange(400)).sum()) <= 8
    assert abs(float(torch.corrcoef(torch.stack([full, torch.arange(400.0)]))[0, 1])) < 5 / math.sqrt(400)


def test_a_frozen_frame_repeats_what_was_shown_before() -> None:
    shown = _perturb("frozen_frames", _numbered(2000), 0.3)[:, 0, 0, 0]
    frozen = shown[1:] != torch.arange(1.0, 2000)
    assert _same(frozen.float().mean(), 0.3, math.sqrt(0.3 * 0.7 / 1999))
    assert torch.equal(shown[1:][frozen], shown[:-1][frozen])
    assert not _perturb("frozen_frames", _numbered(9), 1.0).any()


def test_speed_conserves_what_is_played() -> None:
    clip = _frames(*SHAPE)
    fast, slow = _perturb("speed", clip, 2.0), _perturb("speed", clip, 0.5)
    assert torch.equal(fast[:6], clip[::2] + clip[1::2])
    assert not fast[6:].any()
    assert torch.equal(slow, clip[:6].repeat_interleave(2, 0) / 2)
    assert torch.allclose(_perturb("speed", clip, 1.5).sum(0), clip.sum(0), atol=1e-4)
    assert torch.allclose(_perturb("speed", clip, 0.7).sum(), clip[:8].sum() + 0.4 * clip[8].sum(), rtol=1e-5)


def test_a_reset_loses_what_was_before_it() -> None:
    network, x = _network("lstm"), _frames(6, 3, 2, 8, 7)
    with torch.no_grad():
        outputs = PERTURBATIONS.build("reset_state").perturb(network, 0.5, 0)(x)[0]
        assert torch.equal(outputs[:3], network(x[:3])[0])
        assert torch.equal(outputs[3:], network(x[3:])[0])
        assert not torch.allclose(outputs, network(x)[0])
        blind = _network("none")
        assert torch.allclose(PERTURBATIONS.build("reset_state").perturb(blind, 0.5, 0)(x)[0], blind(x)[0])


def test_a_reset_is_as_far_from_harmless_as_its_place_from_the_nearer_end() -> None:
    distance = PERTURBATIONS["reset_state"].distance
    assert [distance(level) for level in (0.0, 0.25, 0.5, 0.75, 1.0)] == [0.0, 0.25, 0.5, 0.25, 0.0]


def test_a_reset_changes_no_random_draw() -> None:
    network, x = _network("intrinsic", emission="sample", at=("frontier", "stem")), _frames(6, 3, 2, 8, 7)
    for level, same in ((0.01, 6), (0.5, 3)):  # at 0.01 of 6 frames nothing is lost
        answers = []
        for each in (network, PERTURBATIONS.build("reset_state").perturb(network, level, 0)):
            reseed(each, 0, 1)
            with torch.no_grad():
                answers.append(each(x)[0][:same])
        assert torch.equal(*answers)


def _outputs_of_memory(network: Network, place: str, x: Tensor) -> Tensor:
    seen: list[Tensor] = []
    network.memories[place].register_forward_hook(lambda module, args, answer: seen.append(answer[0]))
    with torch.no_grad():
        network(x)
    return seen[0]


def test_read_noise_is_relative_to_the_output() -> None:
    x = _frames(40, 5, 2, 8, 7)
    clean = _outputs_of_memory(_network("lstm"), "head", x)
    noisy = _outputs_of_memory(PERTURBATIONS.build("read_noise").perturb(_network("lstm"), 0.2, 0), "head", x)
    rms = clean.square().mean((0, 2), keepdim=True).sqrt()
    z = (noisy - clean) / (0.2 * rms)
    assert _same(z.mean(), 0, 1 / math.sqrt(z.numel()))
    assert _same(z.std(), 1, 1 / math.sqrt(2 * z.numel()))
    louder = torch.cat([x[:, :1], 9 * x[:, 1:]], 1)  # the other clips do not make this one's noise louder
    again = _outputs_of_memory(PERTURBATIONS.build("read_noise").perturb(_network("lstm"), 0.2, 0), "head", louder)
    assert torch.allclose(again[:, 0], noisy[:, 0], atol=1e-5)
    assert PERTURBATIONS.build("read_noise").inapplicable(_network("none")) == "it has no memory to read from"


def test_stuck_devices_answer_the_same_to_everything() -> None:
    network = _network("intrinsic", at=("frontier", "stem"))
    stuck = PERTURBATIONS.build("stuck_devices").perturb(network, 0.4, 0)
    x = _frames(5, 6, 2, 8, 7)
    clean, broken = (_outputs_of_memory(each, "frontier", x) for each in (network, stuck))
    held = (broken == broken[:1, :1]).all(0).all(0)
    n = held.numel()
    assert _same(held.float().mean(), 0.4, math.sqrt(0.4 * 0.6 / n))
    assert set(broken[:, :, held].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(broken[:, :, ~held], clean[:, :, ~held])
    with pytest.raises(IPNetError, match=r"need a memory with `bounds`, .*; 'ssm' has none: leave it out"):
        PERTURBATIONS.build("stuck_devices").perturb(_network("ssm"), 0.4, 0)


@pytest.mark.parametrize(("memory", "place"), [("convlstm", "stage1"), ("lstm", "head")])
def test_outputs_stick_at_the_ends_of_their_own_range(memory: str, place: str) -> None:
    x = _frames(5, 6, 2, 8, 7)
    stuck = PERTURBATIONS.build("stuck_devices").perturb(_network(memory), 0.5, 0)
    clean, broken = (_outputs_of_memory(each, place, x) for each in (_network(memory), stuck))
    assert set(broken[broken != clean].tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("name", [name for name in MEMORIES if MEMORIES[name].bounds])
def test_outputs_lie_within_the_bounds_that_a_memory_states(name: str) -> None:
    low, high = MEMORIES[name].bounds or (0.0, 0.0)
    torch.manual_seed(0)
    memory, shape = MEMORIES.build(name, 4), (30, 3, 4, 5, 6) if "map" in MEMORIES[name].places else (30, 3, 4)
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.mul_(20)
        y, _ = memory(30 * torch.randn(shape))
    assert low <= y.min() < y.max() <= high
    assert y.max() - y.min() > 0.25 * (high - low)  # and no wider than they must be


def test_devices_vary_by_a_multiple_of_the_cards_spread() -> None:
    network, x = _network("intrinsic"), _frames(5, 1, 2, 8, 7)
    clean = _outputs_of_memory(network, "frontier", x)
    errors = []
    for level in (0.5, 1.5):
        varied = PERTURBATIONS.build("device_variation").perturb(network, level, 0)
        errors.append(float((_outputs_of_memory(varied, "frontier", x) - clean).std()))
    assert errors[0] > 0
    assert 2 * errors[0] < errors[1] < 6 * errors[0]
    assert "no devices" in PERTURBATIONS.build("device_variation").inapplicable(_network("lstm"))


def test_a_spread_of_factor_one_is_the_cards_own() -> None:
    card = load_device("mtj-thermal", variation="card", variation_seed=3)
    spread = spread_device(load_device("mtj-thermal"), 1.0, 3)
    V = torch.linspace(0, 0.4, 8)
    assert torch.equal(
        card.cycle(V, card.rest(V), lambda p: p)[0], spread.cycle(V, spread.rest(V), lambda p: p)[0]
    )
    again = spread_device(card, 1.0, 3)
    assert torch.equal(card.cycle(V, card.rest(V), lambda p: p)[0], again.cycle(V, again.rest(V), lambda p: p)[0])


@pytest.mark.parametrize(("name", "values"), [("int8_weights", 255), ("float16_weights", None)])
def test_weights_lose_precision_and_vectors_keep_it(name: str, values: int | None) -> None:
    network = _network("lstm")
    rounded, half = (PERTURBATIONS.build(name).perturb(network, level, 0) for level in (1.0, 0.5))
    for (key, w), q, h in zip(network.named_parameters(), rounded.parameters(), half.parameters(), strict=True):
        if w.dim() < 2:
            assert torch.equal(w, q), key
            continue
        assert torch.allclose(h, (w + q) / 2), key
        if values is None:
            assert torch.equal(q, w.half().float()), key
            continue
        for row, kept in zip(w, q, strict=True):
            step = float(row.detach().abs().max()) / 127
            assert torch.allclose(kept / step, (row / step).round(), atol=1e-4), key
            assert float((kept - row).detach().abs().max()) <= 0.5001 * step, key


def test_noise_in_training_is_drawn_per_clip_up_to_its_level() -> None:
    noise = build_noise({"event_drop": 0.4, "background_activity": 0.1})
    x = torch.full((4, 60, 2, 20, 20), 8.0)
    disturbed = add_noise(x, noise, torch.Generator().manual_seed(0))
    lost = 1 - disturbed.mean((0, 2, 3, 4)) / 8
    assert lost.min() > -0.02
    assert lost.max() < 0.41
    assert _same(lost.mean(), 0.2 - 0.05 / 8, 0.4 / math.sqrt(12 * 60))
    assert lost.std() > 0.08
    assert add_noise(x, build_noise({}), torch.Generator()) is x


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"event_dorp": 0.1}, "unknown perturbation 'event_dorp'; did you mean 'event_drop'"),
        ({"int8_weights": 1.0}, "unknown perturbation of the input 'int8_weights'"),
        (
            {"event_drop": 1.5},
            r"event_drop: the probability that an event is lost \[1\] must lie in \[0, 1\]; got 1.5",
        ),
        ({"speed": 0.0}, "speed: the factor of the speed"),
        ({"background_activity": math.inf}, "background_activity.*got inf"),
    ],
)
def test_noise_that_cannot_be_is_refused(noise: dict[str, float], message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        build_noise(noise)


def test_training_without_noise_is_written_as_before_there_was_any() -> None:
    assert "noise" not in Training().model_dump(mode="json")
    assert Training(noise={"speed": 2.0}).model_dump()["noise"] == {"speed": 2.0}
