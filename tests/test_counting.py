"""Counts of operations: against closed forms, against torch's own counter, and against loops written by hand."""

import math
import warnings
from dataclasses import asdict, fields
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ipnet.budget import Backbone
from ipnet.counting import count_operations
from ipnet.device import load_device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.memory import MEMORIES
from ipnet.memory.intrinsic import Intrinsic
from ipnet.network import Network
from ipnet.neuron import Neuron
from ipnet.operations import Operations, total_of
from ipnet.pulses import applied

T, C, H, W = 6, 2, 8, 10


def network_of(memory: str, *at: str, stride: int = 1, **options: Any) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        backbone = Backbone(width=4, blocks=(1, 1), temporal_stride=stride)
        return Network((C, H, W), 3, backbone, memory, at, **options)


def clip(*shape: int, seed: int = 0) -> Tensor:
    """Small whole numbers, many of them 0 [T, 1, ...]."""
    counts = torch.poisson(torch.full(shape, 0.7), generator=torch.Generator().manual_seed(seed))
    return counts.unsqueeze(1)


def by_frame(layer: nn.Module) -> nn.Module:
    """A layer that sees each frame alone."""
    return nn.Sequential(nn.Flatten(0, 1), layer)


def total(module: nn.Module, x: Tensor) -> Operations:
    return total_of(count_operations(module, x))


def nonzero(operations: Operations) -> dict[str, float]:
    return {name: value for name, value in asdict(operations).items() if value}


def torchs_macs(module: nn.Module, x: Tensor) -> dict[str, int]:
    """What torch's own counter finds, by the name of the module."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's note about a GPU setting
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            module.eval()(x)
    return {name: sum(ops.values()) // 2 for name, ops in counter.get_flop_counts().items()}


def both(module: nn.Module, x: Tensor) -> set[float]:
    return {total(module, x).macs, torchs_macs(module, x)["Global"]}


# -------------------------------------------------------------------------------------- multiply-accumulates

SMALL = st.integers(1, 5)
ODD = st.sampled_from([1, 3, 5])
SIDES = st.tuples(st.integers(5, 9), st.integers(5, 9)).filter(lambda sides: sides[0] != sides[1])


@settings(max_examples=50, deadline=None)
@given(
    SMALL, SMALL, SMALL, SMALL, SIDES, *[st.tuples(st.integers(1, 3), st.integers(1, 3))] * 2, st.integers(0, 2)
)
def test_a_convolution_takes_what_its_closed_form_says(
    frames: int,
    groups: int,
    into: int,
    out: int,
    sides: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: int,
) -> None:
    layer = nn.Conv2d(into * groups, out * groups, kernel, stride, padding, groups=groups)
    h, w = ((n + 2 * padding - k) // s + 1 for n, k, s in zip(sides, kernel, stride, strict=True))
    expected = frames * out * groups * h * w * into * math.prod(kernel)
    assert both(by_frame(layer), clip(frames, into * groups, *sides)) == {expected}


@settings(max_examples=50, deadline=None)
@given(SMALL, SMALL, SMALL)
def test_a_linear_layer_and_an_lstm_take_what_their_closed_forms_say(frames: int, into: int, out: int) -> None:
    x = clip(frames, into)
    assert both(nn.Linear(into, out), x) == {frames * into * out}
    assert both(nn.LSTM(into, out), x) == {frames * 4 * out * (into + out)}
    assert both(MEMORIES.build("lstm", into), x) == {frames * 8 * into**2}


@settings(max_examples=50, deadline=None)
@given(SMALL, SMALL, SIDES, ODD, st.booleans())
def test_memories_of_maps_take_what_their_closed_forms_say(
    frames: int, channels: int, sides: tuple[int, int], kernel: int, causal: bool
) -> None:
    x, values = clip(frames, channels, *sides), frames * math.prod(sides) * channels**2
    expected = {"conv2plus1d": kernel, "conv3d": kernel**3}
    for name, under in expected.items():
        assert both(MEMORIES.build(name, channels, kernel=kernel, causal=causal), x) == {values * under}
    assert both(MEMORIES.build("convlstm", channels, kernel=kernel), x) == {values * 4 * 2 * kernel**2}


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("memory", list(MEMORIES))
def test_each_layer_of_a_network_takes_what_torch_counts(memory: str, stride: int) -> None:
    network, x = network_of(memory, stride=stride), clip(T, C, H, W)
    layers, expected = count_operations(network, x), torchs_macs(network, x)
    assert set(layers) <= {name for name, _ in network.named_modules()}
    assert expected.pop("Global") == expected.pop("Network") == sum(layer.macs for layer in layers.values()) > 0
    for called, macs in expected.items():
        name = called.removeprefix("Network.")
        inside = [layer for key, layer in layers.items() if f"{key}.".startswith(f"{name}.")]
        assert sum(layer.macs for layer in inside) == macs, name
    whole = total_of(layers)
    for field in fields(Operations):
        assert getattr(whole, field.name) == sum(getattr(layer, field.name) for layer in layers.values())
    assert whole.unknown == 0


def test_what_the_counter_does_not_know_is_said() -> None:
    class Error(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.erf(x)

    assert nonzero(total(Error(), clip(T, C))) == {"unknown": T * C}


# ------------------------------------------------------------------------------------------ effective counts


def sparse(*shape: int, seed: int) -> Tensor:
    """Half of it zeros."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * (torch.rand(shape, generator=generator) < 0.5)


def effective_of_a_convolution(x: Tensor, weight: Tensor, stride: int, padding: int, groups: int) -> int:
    """Products of a sample and a weight, neither of which is zero, one by one."""
    out, into, kh, kw = weight.shape
    n, _, h, w = x.shape
    rows, columns = ((side + 2 * padding - k) // stride + 1 for side, k in ((h, kh), (w, kw)))
    found = 0
    for b, o, r, c, i, dr, dc in product(*map(range, (n, out, rows, columns, into, kh, kw))):
        row, column = r * stride + dr - padding, c * stride + dc - padding
        if 0 <= row < h and 0 <= column < w:
            channel = o // (out // groups) * into + i
            found += bool(x[b, channel, row, column] != 0 and weight[o, i, dr, dc] != 0)
    return found


@pytest.mark.parametrize("binary", [False, True])
def test_effective_products_of_a_convolution_are_those_without_a_zero(binary: bool) -> None:
    layer = nn.Conv2d(4, 6, (3, 2), 2, 1, groups=2)
    layer.weight.data = sparse(6, 2, 3, 2, seed=1)
    x = sparse(2, 4, 5, 6, seed=2)
    x = (x != 0).float() if binary else x
    found = total(by_frame(layer), x.unsqueeze(1))
    expected = effective_of_a_convolution(x, layer.weight, 2, 1, 2)
    assert 0 < expected < found.macs / 2
    assert (found.effective_macs, found.effective_acs) == ((0, expected) if binary else (expected, 0))


@pytest.mark.parametrize("binary", [False, True])
def test_effective_products_of_a_linear_layer_are_those_without_a_zero(binary: bool) -> None:
    layer = nn.Linear(5, 7)
    layer.weight.data = sparse(7, 5, seed=3)
    x = sparse(3, 5, seed=4)
    x = (x != 0).float() if binary else x
    found = total(layer, x.unsqueeze(1))
    triples = product(range(3), range(5), range(7))
    expected = sum(bool(x[t, i] != 0 and layer.weight[o, i] != 0) for t, i, o in triples)
    assert (found.effective_macs, found.effective_acs) == ((0, expected) if binary else (expected, 0))


# -------------------------------------------------------------------------------- element-wise work, traffic


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


VALUES = T * C * H * W


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.BatchNorm2d(C), {"muls": VALUES, "adds": VALUES}),
        (nn.ReLU(), {"compares": VALUES}),
        (nn.Sigmoid(), {"functions": VALUES}),
        (nn.Tanh(), {"functions": VALUES}),
        (nn.MaxPool2d(3, 2, 1), {"compares": 8 * T * C * (H // 2) * (W // 2)}),
        (_Mean(), {"adds": VALUES}),
        (nn.LayerNorm(W), {"muls": 3 * VALUES, "adds": 4 * VALUES}),
        (nn.GLU(1), {"muls": VALUES / 2, "functions": VALUES / 2}),
        (nn.Flatten(), {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_element_wise_work_is_counted_as_it_is_done(layer: nn.Module, expected: dict[str, float]) -> None:
    assert nonzero(total(by_frame(layer), clip(T, C, H, W))) == expected


def test_an_lstm_takes_five_functions_three_products_and_two_states_per_unit_and_step() -> None:
    found = total(MEMORIES.build("lstm", 5), clip(T, 5))
    assert found.functions == T * 5 * 5
    assert found.muls == T * 3 * 5
    assert found.adds == T * 5 * 5  # two products of each gate, and the new cell
    assert (found.state, found.state_reads, found.state_writes) == (10, T * 10, T * 10)


def test_weights_of_a_convolution_are_fetched_once_per_look() -> None:
    found = count_operations(network_of("none", stride=3), clip(T, C, H, W))
    assert found["parts.stage2.0.conv1"].weights == 8 * 4 * 9
    assert found["parts.stage2.0.conv1"].weight_reads == 2 * 8 * 4 * 9
    assert (found["readout"].weights, found["readout"].weight_reads) == (3 * 9, 2 * 3 * 9)


def test_weights_of_a_recurrence_are_fetched_once_per_step() -> None:
    found = count_operations(network_of("lstm", stride=3), clip(T, C, H, W))["memories.head.cell"]
    assert (found.weights, found.weight_reads) == (8 * 8 * 8 + 8 * 8, 2 * (8 * 8 * 8 + 8 * 8))
    for name, values in (("of_hidden", 4 * 9 * 4 * 4), ("of_input", 4 * 9 * 4 * 4 + 4 * 4)):
        found = count_operations(network_of("convlstm", "stem"), clip(T, C, H, W))[f"memories.stem.{name}"]
        assert (found.weights, found.weight_reads) == (values, T * values)


def test_weights_that_a_look_takes_twice_are_fetched_for_each_further_step() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.layer(self.layer(frame)) for frame in x.split(1)])

    assert total(Twice(), clip(T, 5)).weight_reads == 2 * T * 30


def test_what_depends_on_weights_alone_is_computed_before_there_is_a_clip() -> None:
    found = nonzero(total(MEMORIES.build("leaky", C), clip(T, C, H, W)))
    carried = {name: found.pop(name) for name in ("state", "state_reads", "state_writes")}
    assert found == {"adds": VALUES, "muls": 2 * VALUES}
    assert carried == {"state": C * H * W, "state_reads": VALUES, "state_writes": VALUES}


def test_inputs_are_fetched_and_outputs_written_once_per_layer() -> None:
    layer = nn.Conv2d(C, 3, 3, 2, 1)
    found = total(by_frame(layer), clip(T, C, H, W))
    assert (found.reads, found.writes) == (VALUES, T * 3 * (H // 2) * (W // 2))
    found = total(nn.Linear(5, 7), clip(T, 5))
    assert (found.reads, found.writes) == (T * 5, T * 7)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("memory", ["conv2plus1d", "conv3d"])
def test_a_convolution_over_time_fetches_and_keeps_the_frames_under_its_kernel(memory: str, causal: bool) -> None:
    found = total(MEMORIES.build(memory, C, kernel=5, causal=causal), clip(T, C, H, W))
    assert (found.reads, found.writes) == (5 * VALUES, VALUES)
    assert (found.state, found.state_reads, found.state_writes) == (4 * C * H * W, 0, 0)


def test_a_convolutional_lstm_keeps_two_maps() -> None:
    found = total(MEMORIES.build("convlstm", C), clip(T, C, H, W))
    assert (found.state, found.state_reads, found.state_writes) == (2 * C * H * W, 2 * VALUES, 2 * VALUES)


@pytest.mark.parametrize("memory", ["leaky", "convlstm", "intrinsic"])
def test_a_memory_at_the_frontier_sees_every_frame_of_a_stride(memory: str) -> None:
    def seen(stride: int) -> Operations:
        layers = count_operations(network_of(memory, "frontier", stride=stride), clip(T, C, H, W))
        return total_of({name: layer for name, layer in layers.items() if name.startswith("memories")})

    assert seen(3) == seen(1)
    assert seen(3).state_reads or seen(3).probes == VALUES


# -------------------------------------------------------------------------------------------------- junctions


def by_hand(device: MTJ, voltages: Tensor) -> dict[str, float]:
    """Sums over the pulses of one junction at a time, for voltages [T, n]."""
    found = dict.fromkeys(("heat", "current_squared", "voltage_squared", "resets"), 0.0)
    for column in voltages.T:
        state = device.rest(column[0])
        for V in column:
            emitted, after = device.cycle(V, state, lambda p: p)
            for pulse in applied(device, V, state, emitted):
                found["heat"] += float(pulse.V**2 / pulse.R * pulse.width * pulse.share)
                found["current_squared"] += float(pulse.V**2 / pulse.R**2 * pulse.width * pulse.share)
                found["voltage_squared"] += float(pulse.V**2 * pulse.share)
            found["resets"] += float(emitted)
            state = after
    return found


@pytest.mark.parametrize("operation", ["bias", "drive and probe"])
@pytest.mark.parametrize("rest_state", ["P", "AP"])
def test_a_neuron_takes_the_pulses_of_its_junctions_one_by_one(operation: str, rest_state: str) -> None:
    device = load_device("mtj-thermal", operation=operation, rest_state=rest_state)
    assert isinstance(device, MTJ)
    neuron, x = Neuron(device, 2), clip(5, 2, 3) - 0.2  # a negative input is a pulse of no voltage
    neuron.log_gain.data = torch.tensor([-0.3, 0.1])
    found, gain = total(neuron, x), device.gain * torch.tensor([[-0.3], [0.1]]).double().exp()
    voltages = device.drive(gain * x[:, 0].double()).flatten(1)
    assert found.junctions == 6
    assert found.drives == int((voltages > 0).sum()) < 30
    assert found.senses == 30
    assert found.probes == 30 * (operation == "drive and probe")
    for name, expected in by_hand(device, voltages).items():
        assert getattr(found, name) == pytest.approx(expected, rel=1e-9, abs=0), name
    assert found.resets == pytest.approx(neuron(x)[0].sum().item(), rel=1e-5)
    assert found.macs == found.muls == found.functions == found.unpriced == 0


def test_parallel_junctions_and_those_of_a_bank_add_up() -> None:
    x = clip(5, 2, 3)
    one = total(Intrinsic(2), x)
    assert total(Intrinsic(2, emission="sample", devices=3), x).heat == pytest.approx(
        3 * one.heat, rel=1e-9, abs=0
    )
    found = total(Intrinsic(2, emission="sample", devices=3), x)
    assert (found.junctions, found.senses, found.drives) == (18, 90, 3 * one.drives)
    slow = total(Intrinsic(2, clock={"t_cycle": 1e-6}), x)
    banked = total(Intrinsic(2, bank=[{}, {"t_cycle": 1e-6}]), x)
    assert one.heat != slow.heat
    assert banked == one + slow


def test_junctions_that_differ_take_what_those_of_the_card_take() -> None:
    x = clip(5, 2, 3)
    assert total(Intrinsic(2, variation="card"), x) == total(Intrinsic(2), x)


@pytest.mark.parametrize("card", ["memoryless", "leaky", "memristor-rnnet"])
def test_a_device_whose_card_says_nothing_about_energy_has_no_price(card: str) -> None:
    found = nonzero(total(Intrinsic(2, card=card), clip(5, 2, 3)))
    assert found == {"junctions": 6, "unpriced": 30}


# --------------------------------------------------------------------------------------- nothing is changed


class _Stops(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(C, C)

    def forward(self, x: Tensor) -> Tensor:
        self.layer(x)
        raise ValueError("in the middle")


def hooks_of(module: nn.Module) -> int:
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in module.modules())


def test_counting_changes_nothing() -> None:
    network = network_of("intrinsic", emission="sample").train()
    network.parts["stem"].eval()
    modes = [module.training for module in network.modules()]
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    neuron = next(module for module in network.modules() if isinstance(module, Neuron))
    drawn, own, x = torch.get_rng_state(), neuron.generator.get_state(), clip(T, C, H, W)
    before = x.clone()
    count_operations(network, x)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.equal(neuron.generator.get_state(), own)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    assert torch.equal(x, before)
    assert hooks_of(network) == 0


def test_a_network_that_fails_is_left_as_it_was() -> None:
    network = _Stops().train()
    with pytest.raises(ValueError, match="in the middle"):
        count_operations(network, clip(T, C))
    assert hooks_of(network) == 0
    assert all(module.training for module in network.modules())
    assert torch.is_grad_enabled()
    assert network.layer(clip(T, C)).requires_grad


def test_other_clips_are_other_pulses_and_the_same_products() -> None:
    network, x = network_of("intrinsic"), clip(T, C, H, W)
    still = torch.cat([clip(1, C, H, W, seed=1), torch.zeros_like(x[1:])])
    busy, calm = total(network, x), total(network, still)
    assert busy.macs == calm.macs
    assert busy.drives > calm.drives > 0
    assert busy.heat > calm.heat
    assert busy.probes == calm.probes


@pytest.mark.parametrize("clips", [0, 2])
def test_several_clips_at_a_time_are_refused(clips: int) -> None:
    with pytest.raises(IPNetError, match=rf"for one clip at a time; got {clips}: cut the batch\."):
        count_operations(nn.Linear(3, 2), torch.ones(5, clips, 3))


def test_a_transposed_convolution_is_refused() -> None:
    with pytest.raises(IPNetError, match=r"transposed convolutions are not counted; use one that is not\."):
        count_operations(by_frame(nn.ConvTranspose2d(C, 3, 3)), clip(T, C, H, W))
