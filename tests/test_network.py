"""The network: any memory at any place, the same backbone around all, counted against closed forms."""

import pytest
import torch

from ipnet.budget import Backbone
from ipnet.config import Run
from ipnet.errors import IPNetError
from ipnet.memory import MEMORIES
from ipnet.network import Network, build_network, count_parameters, positions
from ipnet.ops import count_macs, count_state_bytes, frame_latency

TINY = Backbone(width=4, blocks=(1, 1))
SHAPE = (2, 8, 10)  # C, H, W
PLACES = [
    (name, position)
    for name in MEMORIES
    for position, place in positions(TINY).items()
    if place in MEMORIES[name].places
]
CAUSAL = [(name, position) for name, position in PLACES if MEMORIES[name].causal]


def frames(T: int, B: int) -> torch.Tensor:
    return torch.rand(T, B, *SHAPE, generator=torch.Generator().manual_seed(5))


def build(contender: str, seed: int = 0, **backbone: object) -> Network:
    run = Run.model_validate(
        {
            "study": "test",
            "contender": contender,
            "seed": seed,
            "data": {"name": "nmnist"},
            "backbone": {"width": 4, "blocks": [1, 1]} | backbone,
        }
    )
    return build_network(run, SHAPE, 3).eval()


@pytest.mark.parametrize(("memory", "position"), PLACES)
def test_every_memory_builds_and_trains_wherever_it_may_stand(memory: str, position: str) -> None:
    network = build(f"{memory}@{position}").train()
    y, state = network(frames(5, 2))
    assert y.shape == (5, 2, 3)
    assert list(state) == [position]
    y.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


@pytest.mark.parametrize(("memory", "position"), CAUSAL)
def test_run_a_plus_b_equals_run_a_then_run_b_for_every_causal_contender(memory: str, position: str) -> None:
    network, x = build(f"{memory}@{position}"), 2 * frames(7, 2)
    with torch.no_grad():
        whole, end = network(x)
        for cut in (1, 4):
            first, state = network(x[:cut])
            second, state = network(x[cut:], state)
            torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(state, end, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("contender", ["intrinsic@frontier", "intrinsic@stage2", "rnn", "lstm"])
def test_the_past_counts(contender: str) -> None:
    network, x, other = build(contender), frames(6, 1), frames(6, 1)
    other[0] = 3 - other[0]
    assert not torch.allclose(network(x)[0][-1], network(other)[0][-1], atol=1e-7)


def test_run_in_pieces_of_one_frame_with_several_positions() -> None:
    network, x = build("intrinsic@frontier+stem+head"), frames(4, 3)
    whole, state, pieces = network(x)[0], None, []
    for frame in x.split(1):
        y, state = network(frame, state)
        pieces.append(y)
    assert list(state) == ["frontier", "stem", "head"]
    torch.testing.assert_close(torch.cat(pieces), whole)


def test_all_contenders_of_a_seed_share_the_weights_of_the_backbone() -> None:
    def shared(contender: str, seed: int) -> dict[str, torch.Tensor]:
        state = build(contender, seed).state_dict()
        return {name: value for name, value in state.items() if name.startswith(("parts.", "readout."))}

    reference = shared("none", 0)
    assert len(reference) > 20
    for memory, position in PLACES:
        weights = shared(f"{memory}@{position}", 0)
        assert list(weights) == list(reference)
        assert all(torch.equal(weights[name], reference[name]) for name in reference), (memory, position)
    assert not torch.equal(shared("none", 1)["readout.weight"], reference["readout.weight"])


def test_building_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    build("lstm")
    assert torch.equal(torch.get_rng_state(), before)


def test_without_memory_the_order_of_frames_does_not_matter() -> None:
    x = 4 * frames(6, 2)  # with the norm of a batch enough to make every neuron spike
    none = build("none").train()
    assert not none.memories
    torch.testing.assert_close(none(x.flip(0))[0].mean(0), none(x)[0].mean(0), rtol=1e-5, atol=1e-6)
    for contender in set(MEMORIES) - {"none"}:
        network = build(contender).train()
        gap = (network(x.flip(0))[0].mean(0) - network(x)[0].mean(0)).abs().max()
        assert gap > 1e-6, contender


# ------------------------------------------------------------------------------------------------- counts

T, (C, H, W), OUTPUTS = 5, SHAPE, 3
BACKBONE = T * (
    H * W * 9 * C * 4  # stem
    + 2 * H * W * 9 * 4 * 4  # stage 1, two convolutions
    + (H // 2) * (W // 2) * (9 * 4 * 8 + 9 * 8 * 8 + 4 * 8)  # stage 2: strided, second, shortcut
    + 8 * OUTPUTS  # readout
)


@pytest.mark.parametrize(
    ("contender", "extra"),
    [
        ("none", 0),
        ("intrinsic@frontier", 0),
        ("intrinsic@stem", 0),
        ("rnn", T * 2 * 8 * 8),
        ("lstm", T * 4 * 2 * 8 * 8),
        ("gru", T * 3 * 2 * 8 * 8),
        ("ssm", T * 6 * 8 * 8),
        ("leaky", 0),
        ("lif", 0),
        ("convlstm", T * (H // 2) * (W // 2) * 4 * 2 * 9 * 8 * 8),
        ("conv2plus1d@stem", T * H * W * 3 * 4 * 4),
        ("conv3d@stem", T * H * W * 27 * 4 * 4),
        ("conv2plus1d", T * 3 * (2 * H * W * 4 * 4 + (H // 2) * (W // 2) * 8 * 8)),
    ],
)
def test_multiply_accumulates_equal_the_closed_form(contender: str, extra: int) -> None:
    network = build(contender).train()
    assert count_macs(network, (T, *SHAPE)) == BACKBONE + extra
    assert network.training


def test_counting_draws_nothing_and_moves_no_statistics() -> None:
    network, before = build("none").train(), torch.get_rng_state()
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    count_macs(network, (T, *SHAPE))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("contender", "extra"),
    [
        ("none", 0),
        ("intrinsic@frontier", 2),
        ("intrinsic@stage2", 8),
        ("rnn", 2 * 8 * 8 + 2 * 8),
        ("lstm", 4 * (2 * 8 * 8 + 2 * 8)),
        ("gru", 3 * (2 * 8 * 8 + 2 * 8)),
        ("ssm", 6 * 8 * 8 + (4 + 2 + 2) * 8),
        ("leaky", 2),
        ("lif", 2 * (4 + 4 + 8)),
        ("lif@frontier", 2 * 2),
        ("convlstm", 4 * (2 * 9 * 8 * 8 + 8)),
        ("conv3d@stem", 27 * 4 * 4 + 2 * 4),
        ("conv2plus1d@stem", 3 * 4 * 4 + 2 * 4),
    ],
)
def test_what_a_memory_adds_to_the_trained_values(contender: str, extra: int) -> None:
    network = build(contender)
    assert count_parameters(network) - count_parameters(build("none")) == extra
    assert count_parameters(network.memories) == extra


def test_resnet_18_has_the_published_number_of_parameters() -> None:
    backbone = Backbone(width=64, blocks=(2, 2, 2, 2), stem_kernel=7, stem_stride=2, stem_pool=True)
    network = Network((3, 32, 32), 1000, backbone, "none")
    assert count_parameters(network) - 2 * 3 == 11_689_512  # less the norm of the three input channels
    assert network.eval()(torch.zeros(1, 1, 3, 32, 32))[0].shape == (1, 1, 1000)


# ----------------------------------------------------------------------------------------------- structure


def test_an_all_mtj_network_has_a_junction_wherever_a_relu_would_stand() -> None:
    relu, mtj = build("intrinsic@frontier"), build("intrinsic@frontier", activation="mtj")

    def names(network: Network, kind: str) -> list[str]:
        return [name for name, module in network.named_modules() if type(module).__name__ == kind]

    assert len(names(relu, "ReLU")) == len(names(mtj, "_MTJActivation")) == 5
    assert not names(mtj, "ReLU")
    y, _ = mtj(frames(4, 2))
    assert bool(y.isfinite().all())


def test_a_memory_that_is_an_activation_replaces_it() -> None:
    def kinds(contender: str) -> dict[str, str]:
        return {place: type(module).__name__ for place, module in build(contender).activations.items()}

    assert kinds("intrinsic@stem") == {"stem": "Identity", "stage1": "ReLU", "stage2": "ReLU"}
    assert set(kinds("lif").values()) == {"Identity"}
    assert set(kinds("conv2plus1d@stem").values()) == {"ReLU"}


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_temporal_convolution_is_torchs_own(kernel: int) -> None:
    memory = MEMORIES.build("conv2plus1d", 4, kernel=kernel).eval()
    x = torch.randn(6, 2, 4, 5, 3, generator=torch.Generator().manual_seed(1))
    weight = memory.mix.weight.view(4, kernel, 4).transpose(1, 2)  # out, in, time
    expected = torch.nn.functional.conv3d(
        x.relu().permute(1, 2, 0, 3, 4), weight[..., None, None], padding=(kernel // 2, 0, 0)
    )
    y, state = memory(x)
    torch.testing.assert_close(y.permute(1, 2, 0, 3, 4), expected, rtol=1e-4, atol=1e-5)
    assert state is None


def test_default_positions() -> None:
    assert {name: tuple(build(name).memories) for name in MEMORIES} == {
        "none": (),
        "intrinsic": ("frontier",),
        "rnn": ("head",),
        "lstm": ("head",),
        "gru": ("head",),
        "ssm": ("head",),
        "leaky": ("frontier",),
        "lif": ("stem", "stage1", "stage2"),
        "convlstm": ("stage2",),
        "conv2plus1d": ("stem", "stage1", "stage2"),
        "conv3d": ("stem", "stage1", "stage2"),
    }


def test_the_trace_is_the_state_after_every_frame() -> None:
    network, x = build("intrinsic"), frames(4, 2)
    states = network.trace(x, "frontier")
    assert len(states) == 4
    for t in (0, 3):
        expected = network(x[: t + 1])[1]["frontier"]
        assert states[t][0].shape == (1, 2, *SHAPE)
        torch.testing.assert_close(states[t], expected)


@pytest.mark.parametrize(
    ("contender", "message"),
    [
        ("lstn", r"unknown memory 'lstn'; did you mean 'lstm'\?"),
        (
            "lstm@haed",
            r"unknown position 'haed'; did you mean 'head'\? Known: frontier, head, stage1, stage2, stem",
        ),
        ("intrinsic@stem+stage3", r"unknown position 'stage3'; did you mean 'stage[12]'\?"),
        ("lstm@frontier", r"'lstm' cannot stand at 'frontier'; it can at: head\."),
        ("conv2plus1d@head", r"'conv2plus1d' cannot stand at 'head'; it can at: stem, stage1, stage2\."),
    ],
)
def test_a_wrong_contender(contender: str, message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        build(contender)


def test_a_wrong_option() -> None:
    with pytest.raises(
        IPNetError, match=r"unknown option of memory 'conv2plus1d' 'kernle'; did you mean 'kernel'\?"
    ):
        Network(SHAPE, 3, TINY, "conv2plus1d", kernle=3)
    with pytest.raises(IPNetError, match=r"the temporal kernel must be odd and positive; got 4: use 3 or 5"):
        Network(SHAPE, 3, TINY, "conv2plus1d", kernel=4)
    with pytest.raises(IPNetError, match=r"unknown card 'mtj'"):
        Network(SHAPE, 3, TINY, "intrinsic", card="mtj")


def test_options_of_a_memory_that_does_not_exist() -> None:
    run = {"study": "s", "contender": "none", "data": {"name": "nmnist"}, "memory": {"intrinsik": {}}}
    with pytest.raises(IPNetError, match=r"unknown memory 'intrinsik'; did you mean 'intrinsic'\?"):
        build_network(Run.model_validate(run), SHAPE, 3)


@pytest.mark.parametrize("contender", ["none", "rnn", "conv2plus1d", "intrinsic@stem"])
def test_a_stride_in_time_sums_the_frames(contender: str) -> None:
    x = frames(6, 2)
    strided, plain = build(contender, temporal_stride=3), build(contender)
    y, _ = strided(x)
    assert torch.equal(y, plain(torch.stack([x[:3].sum(0), x[3:].sum(0)]))[0])
    with pytest.raises(IPNetError, match="temporal_stride = 3; got 5"):
        strided(x[:5])


@pytest.mark.parametrize("contender", ["intrinsic@frontier", "leaky@frontier"])
def test_a_memory_at_the_frontier_sees_every_frame_of_a_stride(contender: str) -> None:
    x = 5 * frames(6, 2)
    strided, plain = build(contender, temporal_stride=3), build(contender)
    y, state = strided(x)
    whole, end = plain(x)
    torch.testing.assert_close(y, whole[2::3])
    torch.testing.assert_close(state, end)
    assert strided.temporal_stride * len(strided.trace(x, "frontier")) == 3 * len(plain.trace(x, "frontier"))
    streamed = torch.cat([result.output for result in strided.stream(x.split(3))])
    torch.testing.assert_close(streamed, y)
    with pytest.raises(IPNetError, match="chunk 0: frames must come in multiples"):
        next(strided.stream(x.split(2)))


def test_a_stride_costs_the_backbone_less() -> None:
    shape = (6, *SHAPE)
    assert 3 * count_macs(build("none", temporal_stride=3), shape) == count_macs(build("none"), shape)
    assert count_state_bytes(build("lstm", temporal_stride=3), shape) == count_state_bytes(build("lstm"), shape)
    assert frame_latency(build("lstm", temporal_stride=3), frames(6, 1)) is not None
