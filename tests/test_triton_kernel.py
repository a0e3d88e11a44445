"""The kernel for a GPU against the plain loop: on a GPU where there is one, else as Triton interprets it."""

import math
import os
import subprocess
import sys

import pytest
import torch

from ipnet import fused, triton_kernel
from ipnet.errors import IPNetError
from ipnet.surrogate import uniform
from test_kernel import LARGE, LAWS, LAYOUTS, compare, inputs, neuron, results

pytest.importorskip("triton", reason="the kernel for a GPU needs triton (Linux)")
PLACE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of lanes that are not used


@pytest.fixture(autouse=True)
def _triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_kernel", lambda _: triton_kernel)


@pytest.mark.parametrize("law", LAWS)
def test_double_precision_is_exact(law: str) -> None:
    compare(law, inputs(6, 2, 3, 5, 9), 1e-10, PLACE)


@pytest.mark.parametrize("law", LAWS)
def test_single_precision_is_near_the_exact_values(law: str) -> None:
    x = inputs(6, 2, 3, 5, 9).abs().float()
    for a, b in zip(results(law, x, "fused", place=PLACE), results(law, x.double(), "reference"), strict=True):
        assert a.dtype == torch.float32
        assert float((a - b).norm()) <= 3e-5 * float(b.norm())


@pytest.mark.parametrize("law", LARGE)
def test_a_law_with_many_nodes(law: str) -> None:
    compare(law, inputs(2, 1, 2, 7), 1e-10, PLACE)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 3), (5, 1, 2, 257), (2, 0, 3, 4), (2, 3, 2, 16, 16)])
def test_shapes(shape: tuple[int, ...]) -> None:
    compare("mtj-thermal", inputs(*shape), 1e-10, PLACE)


@pytest.mark.parametrize(
    "wanted", [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]
)
def test_any_gradient_may_be_wanted(wanted: tuple[bool, bool, bool]) -> None:
    compare("two poles", inputs(4, 2, 3, 7), 1e-10, PLACE, wanted=wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_stride(layout: str) -> None:
    x = LAYOUTS[layout](inputs(4, 2, 3, 5, 6))
    ours = neuron("mtj-thermal", 3, "fused").to(PLACE)(x.to(PLACE))[0]
    assert float((ours.cpu() - neuron("mtj-thermal", 3, "reference")(x)[0]).detach().abs().max()) < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("devices", [1, 3])
def test_samples_are_the_draws_of_every_other_backend(dtype: torch.dtype, devices: int) -> None:
    x, options = inputs(6, 2, 3, 40, dtype=dtype), {"emission": "sample", "devices": devices, "seed": 4}
    ours = neuron("mtj-thermal", 3, "fused", **options).to(PLACE)(x.to(PLACE))[0].cpu()
    plain = neuron("mtj-thermal", 3, "reference", **options)(x)[0]
    assert float((ours != plain).double().mean()) < 1e-3  # a draw may lie between two roundings of a probability
    assert 0.01 < float(ours.detach().mean()) < 0.99
    assert uniform(5, x.to(PLACE)).cpu().equal(uniform(5, x))


def test_the_gradient_of_samples() -> None:
    compare("mtj-thermal", inputs(4, 2, 3, 40), 1e-10, PLACE, emission="sample", devices=2, seed=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(value: float) -> None:
    x = inputs(4, 2, 3, 60)
    x[2, 1, 2, 59] = value
    cell = neuron("mtj-thermal", 3, "fused").to(PLACE)
    with pytest.raises(IPNetError, match=r"pre-activations must be finite; 1 of 1440 are not, the first is"):
        cell(x.to(PLACE))
    with torch.no_grad():
        cell.log_gain[1] = value if value != -float("inf") else float("nan")
    with pytest.raises(IPNetError, match=r"gains must be finite; 1 of 3 are not"):
        cell(inputs(4, 2, 3, 60).to(PLACE))


def test_a_state_that_is_not_a_number_stays_so() -> None:
    state = (torch.full((1, 1, 3, 8), math.nan, device=PLACE).double(),)
    y, (end,) = neuron("leaky", 3, "fused").to(PLACE)(inputs(2, 1, 3, 8).to(PLACE), state)
    assert bool(y.isnan().all())
    assert bool(end.isnan().all())


def test_a_replaced_value_is_seen() -> None:
    cell, x = neuron("mtj-thermal", 3, "fused").to(PLACE), inputs(3, 1, 3, 8).to(PLACE)
    before = cell(x)[0]
    cell.device.register_buffer("V_c0", cell.device.V_c0 * 1.01, persistent=False)
    replaced = cell(x)[0]
    assert not torch.allclose(before, replaced, rtol=1e-3)
    cell.device.V_c0.mul_(1.01)
    assert not torch.allclose(cell(x)[0], replaced, rtol=1e-3)


def test_nothing_is_kept_without_gradients() -> None:
    x, device = inputs(4, 2, 3, 7).to(PLACE), neuron("leaky", 3, "fused").to(PLACE).device
    gain, state = (
        torch.ones(3, dtype=x.dtype, device=PLACE),
        torch.zeros(1, 1, 2, 3, 7, dtype=x.dtype, device=PLACE),
    )
    for mark in (False, True):
        *_, marks = triton_kernel.run_forward(device, x, gain, state, torch.empty(0, dtype=torch.int64), mark=mark)
        assert len(marks) == 4 * mark


def test_where_triton_does_not_work_the_plain_loop_serves_a_gpu() -> None:
    code = (
        "from ipnet.fused import can_fuse; from ipnet.device import load_device;"
        "card = load_device('leaky'); print(can_fuse(card, 'cpu'), can_fuse(card, 'cuda'))"
    )
    blind = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=blind)
    assert done.stdout == "True False\n", done.stderr
