"""The neuron: expectation and samples, gradients, seeds, and device values that nothing can train."""

import math

import pytest
import torch

from ipnet.budget import Backbone
from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.network import Network
from ipnet.neuron import Neuron


def neuron(card: str = "mtj-thermal", channels: int = 3, **options: object) -> Neuron:
    return Neuron(load_device(card), channels, **options)


def frames(*shape: int) -> torch.Tensor:
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(3)) - 0.5


@pytest.mark.parametrize("shape", [(7, 2, 3), (7, 2, 3, 5, 4), (1, 1, 3, 6)])
@pytest.mark.parametrize(("emission", "devices"), [("expectation", 1), ("sample", 1), ("sample", 3)])
def test_shapes(shape: tuple[int, ...], emission: str, devices: int) -> None:
    y, (rise,) = neuron(emission=emission, devices=devices)(frames(*shape))
    assert y.shape == shape
    assert rise.shape == (devices, *shape[1:])
    assert bool(((y >= 0) & (y <= 1 + 1e-6)).all())


def test_every_channel_has_its_own_gain() -> None:
    cell, x = neuron("memoryless"), torch.ones(2, 4, 3, 5)
    with torch.no_grad():
        cell.log_gain.copy_(torch.tensor([-1.0, 0.0, 1.0]))
    y = cell(x)[0]
    assert bool((y[:, :, 0] < y[:, :, 1]).all())
    assert bool((y[:, :, 1] < y[:, :, 2]).all())
    V = cell.device.drive(cell.device.gain * math.e * torch.ones(()))
    expected = cell.device.cycle(V, (), lambda p: p)[0]
    assert torch.allclose(y[:, :, 2], expected.float().expand(2, 4, 5))


@pytest.mark.parametrize("card", ["mtj-thermal", "memoryless"])
def test_the_expectation_is_the_mean_of_many_samples(card: str) -> None:
    x = torch.tensor([0.2, 0.8, 1.0])
    p = neuron(card)(x.view(1, 1, 3))[0].flatten()
    count = 40_000
    spikes = neuron(card, emission="sample", seed=1)(x.expand(1, count, 3))[0][0]
    for mean, expected in zip(spikes.mean(0).tolist(), p.tolist(), strict=True):
        assert abs(mean - expected) < 5 * math.sqrt(expected * (1 - expected) / count)


def test_parallel_devices_average_their_spikes_and_have_heat_of_their_own() -> None:
    y, (rise,) = neuron(emission="sample", devices=3, seed=2)(1 + frames(9, 4, 3))
    assert set((3 * y.detach()).round(decimals=4).unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert {1.0, 2.0} & set((3 * y.detach()).round(decimals=4).unique().tolist())
    assert bool((rise[0] != rise[1]).any())


def test_a_seed_fixes_the_spikes_and_the_global_state_is_untouched() -> None:
    x, before = 1 + frames(20, 4, 3), torch.get_rng_state()
    first, again, other = (neuron(emission="sample", seed=seed)(x)[0] for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_gradient_of_a_sample_is_that_of_the_expectation() -> None:
    gradients = []
    for emission in ("expectation", "sample"):
        cell, x = neuron(emission=emission), frames(1, 2, 3, 5).requires_grad_()
        (cell(x)[0] * torch.arange(1, 6)).sum().backward()
        gradients.append((x.grad, cell.log_gain.grad))
    assert gradients[0][0].abs().max() > 0
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-9)


def test_memory_reaches_back_in_time_and_so_does_the_gradient() -> None:
    x = torch.full((6, 1, 3), 0.9, requires_grad=True)
    y = neuron()(x)[0]
    y[-1].sum().backward()
    assert bool((x.grad[0] > 0).all())
    assert bool((x.grad[1:] > x.grad[:-1]).all()), "older inputs must matter less"


@pytest.mark.parametrize("emission", ["expectation", "sample"])
@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_run_can_be_cut(emission: str, cut: int) -> None:
    x = 1 + frames(9, 2, 3, 4)
    whole, (end,) = neuron(emission=emission)(x)
    cell = neuron(emission=emission)
    first, state = cell(x[:cut])
    second, (state,) = cell(x[cut:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(end, state)


def test_a_constant_drive_warms_to_a_steady_answer() -> None:
    y = neuron()(torch.full((60, 1, 3), 0.8))[0]
    assert bool((y[1:] >= y[:-1] - 1e-6).all())
    assert y[0].max() < y[-1].min()
    assert torch.allclose(y[-1], y[-2], rtol=1e-4)


def test_training_moves_the_gain_and_no_device_value() -> None:
    cell = neuron()
    before = {name: value.clone() for name, value in cell.named_buffers()}
    optimizer = torch.optim.AdamW(cell.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(20):
        optimizer.zero_grad()
        (1 - cell(frames(5, 2, 3))[0]).square().mean().backward()
        optimizer.step()
    assert [name for name, _ in cell.named_parameters()] == ["log_gain"]
    assert bool((cell.log_gain != 0).all())
    assert len(before) > 10
    for name, value in cell.named_buffers():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("activation", ["relu", "mtj"])
def test_training_a_whole_network_changes_no_device_value(activation: str) -> None:
    network = Network((2, 8, 8), 3, Backbone(width=2, activation=activation), "intrinsic", ("frontier", "stem"))
    devices = [module.device for module in network.modules() if isinstance(module, Neuron)]
    before = [{name: value.clone() for name, value in device.named_buffers()} for device in devices]
    weights = [parameter.clone() for parameter in network.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05, weight_decay=0.5)
    for _ in range(20):
        optimizer.zero_grad()
        output = network(2 * frames(4, 3, 2, 8, 8).abs())[0].mean(0)
        torch.nn.functional.cross_entropy(output, torch.arange(3)).backward()
        optimizer.step()
    assert len(devices) == (2 if activation == "relu" else 6)
    for device, values in zip(devices, before, strict=True):
        for name, value in device.named_buffers():
            assert torch.equal(value, values[name]), name
    changed = [not torch.equal(a, b) for a, b in zip(network.parameters(), weights, strict=True)]
    assert all(changed)


def test_a_checkpoint_cannot_carry_a_device_value() -> None:
    cell = neuron()
    assert set(cell.state_dict()) == {"log_gain"}
    with pytest.raises(RuntimeError, match=r"device\.R_P"):
        cell.load_state_dict(cell.state_dict() | {"device.R_P": torch.tensor(1.0)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"emission": "spike"}, r"emission must be one of expectation, sample; got 'spike'"),
        ({"emission": "sample", "devices": 0}, r"devices must be at least 1, .* got 0"),
        ({"devices": 2}, r"1 with emission = 'expectation'; got 2: use emission = 'sample'"),
    ],
)
def test_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        neuron(**options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("card", ["mtj-thermal", "leaky", "memristor-rnnet"])
def test_half_precision_is_computed_in_single(card: str, dtype: torch.dtype) -> None:
    x = frames(6, 2, 3).abs()
    whole, (state,) = neuron(card)(x.to(dtype).float())
    half, (kept,) = neuron(card)(x.to(dtype))
    assert half.dtype == dtype
    assert kept.dtype == torch.float32
    assert torch.equal(half, whole.to(dtype))
    assert torch.equal(kept, state)
