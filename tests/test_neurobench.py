"""NeuroBench's metrics: by hand on tiny networks, and as NeuroBench itself computes them where it is installed."""

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ipnet.budget import Backbone
from ipnet.counting import count_operations
from ipnet.errors import IPNetError
from ipnet.memory import MEMORIES
from ipnet.network import Network
from ipnet.neurobench import NeuroBenchMetrics, neurobench_metrics, neurobench_model
from ipnet.operations import Operations, total_of

FRAMES, CLIPS, SHAPE, OUTPUTS = 4, 3, (2, 8, 6), 5
REASON = "the oracle must be installed: pip install neurobench snntorch tqdm --no-deps"
SUPPORTED = ["none", "intrinsic", "conv2plus1d", "conv3d", "convlstm", "leaky", "lif"]


def network_of(memory: str, **options: Any) -> Network:
    """Its norms as after training, and some weights pruned."""
    torch.manual_seed(1)
    network = Network(SHAPE, OUTPUTS, Backbone(width=3, blocks=(1, 2)), memory, **options)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.uniform_(-0.5, 1.5)
        network.readout.weight[:, ::2] = 0
    return network


def clips_of(frames: int = FRAMES) -> Tensor:
    """Counts of events, mostly none."""
    counts = torch.rand(frames, CLIPS, *SHAPE, generator=torch.Generator().manual_seed(2)) * 4 - 2
    return counts.clamp(0).round()


def of_ones(memory: str = "none", at: tuple[str, ...] = (), **backbone: Any) -> Network:
    """One block, the stem a kernel of 1: every weight of the block 1, and without a memory its inputs as well."""
    network = Network((2, 4, 5), 7, Backbone(width=3, blocks=(1,), stem_kernel=1, **backbone), memory, at)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.fill_(1)
        network.parts["stem"].get_parameter("2.bias").fill_(1)
    return network


def counted(layer: nn.Module, clip: Tensor) -> Operations:
    return total_of(count_operations(layer, clip))


def test_padding_is_in_macs_and_not_in_dense() -> None:
    """Of 4 values under a kernel of 3, the two at the ends have 2 neighbours with themselves, the others 3."""
    convolution = nn.Conv1d(1, 5, 3, padding=1, bias=False)
    found = counted(convolution, torch.ones(1, 1, 4))
    assert (found.macs, found.dense) == (5 * 12, 5 * 10)


def test_dense_has_every_group_frame_and_stride() -> None:
    """Under a stride of 2, rows 0, 2, 4 of 5 have 2, 3, 2 taps, and columns 0, 2 of 4 have 2, 3.

    A group is one channel.
    """
    convolution = nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2)
    found = counted(nn.Sequential(nn.Flatten(0, 1), convolution), torch.zeros(7, 1, 2, 5, 4))
    assert (found.macs, found.dense) == (7 * 6 * 6 * 9, 7 * 6 * 7 * 5)
    assert found.effective_macs == found.effective_acs == 0


def test_a_product_with_minus_one_is_an_accumulate() -> None:
    found = counted(nn.Linear(3, 2), torch.tensor([[[-1.0, 0.0, 1.0]]]))
    assert (found.dense, found.effective_acs, found.effective_macs) == (6, 4, 0)
    assert counted(nn.Linear(3, 2), torch.tensor([[[-2.0, 0.0, 1.0]]])).effective_macs == 4


def test_zeros_stay_zeros_however_large_the_batch() -> None:
    """Convolutions that are fast by a transformation leave some 1e-9 where there was nothing, in batches of 16."""
    frames, first, second = 20, nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 5, 3)
    nn.init.ones_(first.weight)
    nn.init.zeros_(first.get_parameter("bias"))
    x = torch.zeros(frames, 1, 2, 16, 12)
    x[:, :, 0, 7, 6] = 1.1
    found = counted(nn.Sequential(nn.Flatten(0, 1), first, nn.ReLU(), second), x)
    assert found.effective_macs == frames * (9 * 3 + 9 * 3 * 9 * 5)


def test_synaptic_operations_by_hand() -> None:
    """Silent frames: the stem has nothing to do, its norm sends ones, so that only what follows multiplies."""
    found = neurobench_metrics(of_ones(), torch.zeros(6, 2, 2, 4, 5)).SynapticOperations
    stem, readout = 2 * 3 * 20, 3 * 7
    convolution = 3 * 3 * (2 + 3 + 3 + 2) * (2 + 3 + 3 + 3 + 2)
    assert found.Dense == 6 * (stem + 2 * convolution + readout)
    assert found.Effective_ACs == 6 * convolution
    assert found.Effective_MACs == 6 * (convolution + readout)


def test_static_metrics_by_hand() -> None:
    network = of_ones()
    with torch.no_grad():
        network.readout.weight[:4] = 0
    found = neurobench_metrics(network, torch.zeros(1, 1, 2, 4, 5))
    weights = 2 * 3 + 2 * 3 * 3 * 9 + 3 * 7
    norms = 2 + 3 + 3 + 3  # channels of the four norms
    assert found.ConnectionSparsity == 4 * 3 / weights
    assert found.ParameterCount == weights + 2 * norms + 7
    assert found.Footprint == 4 * found.ParameterCount + 4 * 2 * norms + 4 * 8  # statistics, and a count in int64


def test_activation_sparsity_by_hand() -> None:
    """Three activations of the same size: ones after the stem, zeros within the block, ones after it."""
    network = of_ones()
    with torch.no_grad():
        network.parts["stage1"].get_parameter("0.conv1.weight").fill_(-1)
    assert neurobench_metrics(network, torch.zeros(6, 2, 2, 4, 5)).ActivationSparsity == 1 / 3


def test_the_mean_over_clips_is_that_of_each() -> None:
    network, x = network_of("lif"), clips_of()
    each = [neurobench_metrics(network, clip) for clip in x.split(1, 1)]
    whole = neurobench_metrics(network, x)
    assert whole.ActivationSparsity == pytest.approx(sum(one.ActivationSparsity for one in each) / CLIPS)
    for name, value in whole.SynapticOperations:
        assert value == pytest.approx(sum(getattr(one.SynapticOperations, name) for one in each) / CLIPS)


def test_the_rate_is_that_of_the_looks() -> None:
    network, x = of_ones(temporal_stride=3), torch.zeros(6, 2, 2, 4, 5)
    assert neurobench_metrics(network, x, 0.05).ModelExecutionRate == pytest.approx(1 / 0.15)
    assert neurobench_metrics(network, x).ModelExecutionRate is None


@pytest.mark.parametrize("memory", [*MEMORIES])
def test_every_memory_has_metrics(memory: str) -> None:
    network = network_of(memory)
    found = neurobench_metrics(network, clips_of(), 0.01)
    products = found.SynapticOperations
    assert 0 < products.Effective_MACs + products.Effective_ACs < products.Dense
    assert 0 < found.ConnectionSparsity < 1
    assert 0 <= found.ActivationSparsity < 1
    assert NeuroBenchMetrics.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(("activation", "zeros"), [("relu", 2 / 3), ("mtj", 1 / 3)])
def test_neurons_are_activations(activation: str, zeros: float) -> None:
    """The last of three is a memory of neurons that its input, at most 1, never lets spike."""
    network = of_ones("lif", ("stage1",), activation=activation)
    with torch.no_grad():
        network.parts["stage1"].get_parameter("0.norm1.bias").fill_(-1e3)  # only junctions send more than 0 then
        network.parts["stage1"].get_parameter("0.conv2.weight").zero_()
    assert neurobench_metrics(network, torch.zeros(6, 2, 2, 4, 5)).ActivationSparsity == pytest.approx(zeros)


@pytest.mark.parametrize(
    ("x", "interval", "message"),
    [
        (torch.zeros(6, 2, 4, 5), None, r"clips must be \[T, B, C, H, W\], no axis empty; got \[6, 2, 4, 5\]"),
        (torch.zeros(6, 0, 2, 4, 5), None, r"no axis empty; got \[6, 0, 2, 4, 5\]"),
        (torch.zeros(6, 1, 2, 4, 5), 0.0, r"frame interval must be positive; got 0\.0 s"),
    ],
)
def test_what_cannot_be_counted_is_refused(x: Tensor, interval: float | None, message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        neurobench_metrics(of_ones(), x, interval)


def test_a_missing_harness_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neurobench", None)
    with pytest.raises(IPNetError, match="pip install neurobench snntorch tqdm --no-deps; without --no-deps"):
        neurobench_model(of_ones())


class Cell(nn.Module):
    """A recurrent layer as NeuroBench can see it: its cell, step by step."""

    def __init__(self, layer: nn.LSTM | nn.GRU | nn.RNN) -> None:
        super().__init__()
        kind = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "RNN": nn.RNNCell}[type(layer).__name__]
        self.cell = kind(layer.input_size, layer.hidden_size)
        self.cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})

    def forward(self, x: Tensor, _: Any = None) -> tuple[Tensor, None]:
        state: Any = x.new_zeros(x.shape[1:])
        state, sent = (state, state) if isinstance(self.cell, nn.LSTMCell) else state, []
        for frame in x:
            state = self.cell(frame, state)
            sent.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(sent), None


def harness(network: Network, x: Tensor) -> dict[str, Any]:
    """What NeuroBench's own harness says of a network, clip by clip."""
    benchmarks = pytest.importorskip("neurobench.benchmarks", reason=REASON, exc_type=ImportError)
    from neurobench.metrics import static, workload

    metrics = [
        [static.Footprint, static.ConnectionSparsity, static.ParameterCount],
        [workload.ActivationSparsity, workload.SynapticOperations, workload.ClassificationAccuracy],
    ]
    clips = x.transpose(0, 1)
    predicted = network.eval()(x)[0].mean(0).argmax(-1)
    loader = DataLoader(TensorDataset(clips, predicted), batch_size=1)
    model = neurobench_model(network)
    found: dict[str, Any] = benchmarks.Benchmark(model, loader, [], [lambda y: y.mean(1).argmax(-1)], metrics).run(
        quiet=True
    )
    assert found.pop("ClassificationAccuracy") == pytest.approx(1)
    return found


def check_agreement(ours: NeuroBenchMetrics, theirs: dict[str, Any]) -> None:
    """Within the rounding of their sums, which are of 32 bits, and of their sparsity."""
    found = ours.model_dump(exclude={"ModelExecutionRate"})
    assert found.pop("SynapticOperations") == pytest.approx(theirs.pop("SynapticOperations"), rel=1e-6)
    assert found.pop("ConnectionSparsity") == pytest.approx(theirs.pop("ConnectionSparsity"), abs=5.1e-5)
    assert found == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("memory", SUPPORTED)
def test_neurobench_agrees(memory: str) -> None:
    network = network_of(memory)
    check_agreement(neurobench_metrics(network, clips_of()), harness(network, clips_of()))


def test_the_model_takes_batches_first() -> None:
    pytest.importorskip("neurobench.models", reason=REASON, exc_type=ImportError)
    network = Network(SHAPE, OUTPUTS, Backbone(width=3, blocks=(1,), temporal_stride=2), "none").train()
    y = neurobench_model(network)(clips_of().transpose(0, 1).contiguous())
    assert network.training
    assert torch.equal(y.transpose(0, 1), network.eval()(clips_of())[0])
    check_agreement(neurobench_metrics(network, clips_of()), harness(network, clips_of()))


@pytest.mark.parametrize("memory", ["lstm", "gru", "rnn"])
def test_neurobench_agrees_on_the_cell_of_a_recurrent_layer(memory: str) -> None:
    network = network_of(memory)
    ours = neurobench_metrics(network, clips_of())
    network.memories["head"] = Cell(network.memories["head"].cell)
    theirs = harness(network, clips_of())
    if memory == "lstm":  # it leaves out what its first step multiplies with a state of zero: four gates and f c
        theirs["SynapticOperations"]["Dense"] += 6 * (4 * 6 + 1)
    check_agreement(ours, theirs)


@pytest.mark.parametrize(("memory", "weight"), [("lstm", "cell.weight_ih_l0"), ("ssm", "B, memories.head.C")])
def test_a_harness_that_would_miss_weights_is_refused(memory: str, weight: str) -> None:
    pytest.importorskip("neurobench.models", reason=REASON, exc_type=ImportError)
    with pytest.raises(IPNetError, match=f"it would miss memories.head.{weight}.*: use neurobench_metrics"):
        neurobench_model(network_of(memory))
