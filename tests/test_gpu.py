"""On a GPU: neurons take its kernel, networks say the same as on the CPU, trainings run in every precision."""

import copy
import json
from pathlib import Path

import pytest
import torch

from ipnet import triton_kernel
from ipnet.budget import Backbone
from ipnet.memory import MEMORIES
from ipnet.network import Network
from test_kernel import inputs, neuron
from tiny import write_tiny_study

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")


def test_a_neuron_takes_the_kernel_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, run = [], triton_kernel.run_forward
    monkeypatch.setattr(triton_kernel, "run_forward", lambda *a, **o: taken.append(1) or run(*a, **o))
    x = inputs(5, 2, 3, 16, 16, dtype=torch.float32)
    cell = neuron("mtj-thermal", 3, "auto")
    expected = cell(x)[0]
    found, (rise,) = cell.cuda()(x.cuda())
    assert taken
    assert (found.device.type, rise.device.type) == ("cuda", "cuda")
    assert torch.allclose(found.cpu(), expected, rtol=1e-4, atol=1e-7)
    with torch.autocast("cuda", torch.bfloat16):
        assert cell(x.cuda().bfloat16())[0].dtype == torch.bfloat16


def test_torch_compile_takes_it_whole() -> None:
    x, grads = inputs(4, 2, 3, 400, dtype=torch.float32).cuda(), []
    for compiled in (False, True):
        cell = neuron("mtj-thermal", 3, "fused").cuda()
        y, (rise,) = (torch.compile(cell, fullgraph=True) if compiled else cell)(x)
        (y.sum() + rise.sum()).backward()
        grads.append((y.detach(), rise.detach(), cell.log_gain.grad))
    for plain, through in zip(*grads, strict=True):
        assert torch.allclose(plain, through, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "at"),
    [*((name, ()) for name in MEMORIES), ("intrinsic", ("stem", "stage1", "head")), ("lif", ("stage1",))],
)
def test_a_network_says_the_same_as_on_the_cpu(
    name: str, at: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        here = Network((2, 16, 20), 3, Backbone(width=4, blocks=(1, 1)), name, at)
    there, x = copy.deepcopy(here).cuda(), inputs(6, 2, 2, 16, 20, dtype=torch.float32).abs()
    outputs, gradients = [], []
    for network, clip in ((here, x), (there, x.cuda())):
        output = network(clip)[0]
        output.square().sum().backward()
        outputs.append(output.detach().cpu())
        gradients.append(torch.cat([p.grad.cpu().flatten() for p in network.parameters() if p.grad is not None]))
    assert torch.allclose(*outputs, rtol=1e-3, atol=1e-5)
    assert float((gradients[0] - gradients[1]).norm()) <= 1e-2 * float(gradients[0].norm())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_study_trains_and_goes_on(ipnet, tmp_path: Path, precision: str) -> None:  # type: ignore[no-untyped-def]
    study = write_tiny_study(tmp_path, contenders='["intrinsic@frontier", "convlstm"]', epochs=2)
    words = "study", study, "--set", "training.accelerator=gpu", "--set", f"training.precision={precision}"
    code, out, err = ipnet(*words, "-o", tmp_path / "runs", "--json")
    assert (code, err) == (0, "")
    for result in json.loads(out):
        assert torch.cuda.get_device_name() in result["timing"]["machine"]
        assert result["metrics"]["accuracy"]["n"] > 0
