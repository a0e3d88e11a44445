"""The contenders against second, independent computations: what each remembers, exactly."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ipnet.budget import Backbone, Training
from ipnet.contracts import ContractViolation, check_memory
from ipnet.errors import IPNetError
from ipnet.memory import MEMORIES, Memory
from ipnet.network import Network
from ipnet.ops import count_state_bytes, frame_latency
from ipnet.surrogate import arctan_spikes

SHAPE = (2, 8, 10)  # C, H, W
OVER_TIME = ("conv2plus1d", "conv3d")


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def build(name: str, channels: int, **options: object) -> Memory:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MEMORIES.build(name, channels, **options).eval()


def network(name: str, *at: str, **options: object) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(SHAPE, 3, Backbone(width=4, blocks=(1, 1)), name, at, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"kernel": 5}) for name in (*OVER_TIME, "convlstm")),
        *((name, {"kernel": kernel, "causal": True}) for name in OVER_TIME for kernel in (1, 3, 5)),
        ("lif", {"tau": 8.0, "gain": 0.5}),
        ("leaky", {"tau": 0.5}),
        ("ssm", {"r_min": 0.9, "r_max": 0.999, "max_phase": 0.3}),
    ],
    ids=str,
)
def test_options_keep_the_contract(name: str, options: dict[str, object]) -> None:
    check_memory(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("convlstm", {"kernel": 2}, r"the spatial kernel must be odd and positive; got 2: use 3 or 5"),
        ("conv3d", {"kernel": -1}, r"the temporal kernel must be odd and positive; got -1"),
        ("lif", {"tau": 1.0}, r"tau must be above 1 and finite; got 1.0 frames: use 2"),
        ("lif", {"gain": 0.0}, r"the gain must be positive and finite; got 0.0: use 1"),
        ("lif", {"gain": math.inf}, r"got inf: use 1"),
        ("leaky", {"tau": 0.0}, r"tau must be positive and finite; got 0.0 frames: use 4"),
        ("leaky", {"tau": math.inf}, r"got inf frames"),
        ("ssm", {"r_min": 0.5, "r_max": 0.5}, r"0 <= r_min < r_max <= 1; got 0.5 and 0.5: use 0 and 1"),
        ("ssm", {"r_max": 1.1}, r"got 0.0 and 1.1"),
        ("ssm", {"max_phase": 0.0}, r"max_phase must be above 0 and at most 2 pi; got 0.0 rad: leave it out"),
        ("ssm", {"max_phase": 6.3}, r"got 6.3 rad"),
    ],
)
def test_a_wrong_option(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        build(name, 3, **options)


# ------------------------------------------------------------------------------------------------ fading traces


def test_the_leaky_trace_is_its_closed_form_in_every_channel() -> None:
    memory, T = build("leaky", 2, tau=2.5), 6
    assert memory.w.sigmoid().tolist() == pytest.approx([math.exp(-1 / 2.5)] * 2)
    a = torch.tensor([0.25, 0.75])
    memory.w.data = torch.logit(a)
    x = random(T, 3, 2, 4, 5)
    y, state = memory(x)
    for t in range(T):
        kernel = (1 - a) * a ** torch.arange(t, -1, -1)[:, None]  # [t + 1, C]
        expected = torch.einsum("sc,sbchw->bchw", kernel, x[: t + 1])
        torch.testing.assert_close(y[t], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state, y[-1:])


def test_the_leaky_trace_learns_its_time_constant_at_the_learning_rate_of_all() -> None:
    memory, x = build("leaky", 2), random(16, 8, 2)
    target = torch.cat([build("leaky", 1, tau=tau)(x[:, :, i : i + 1])[0] for i, tau in enumerate((2.0, 8.0))], 2)
    optimizer = torch.optim.AdamW(memory.parameters(), lr=Training().learning_rate)
    for _ in range(1000):
        optimizer.zero_grad()
        (memory(x)[0] - target.detach()).square().mean().backward()
        optimizer.step()
    assert (-1 / memory.w.sigmoid().log()).tolist() == pytest.approx([2.0, 8.0], rel=0.05)


def test_lif_spikes_and_resets_as_computed_by_hand() -> None:
    memory = build("lif", 2, tau=4.0)
    memory.w.data[1] = 0  # tau = 2
    x = torch.tensor([2.0, 2.0, 2.0, 0.0, 3.0]).view(5, 1, 1).expand(5, 1, 2)
    y, v = memory(x)
    # v = 0.5, 0.875, 1.15625 -> 0, 0, 0.75 with tau = 4; 1 -> 0, 1 -> 0, 1 -> 0, 0, 1.5 -> 0 with tau = 2
    assert y[:, 0].T.tolist() == [[0, 0, 1, 0, 0], [1, 1, 1, 0, 1]]
    assert v.flatten().tolist() == [0.75, 0.0]
    stronger = build("lif", 2, tau=4.0, gain=2.002)  # v = 1 -> 0, 1 -> 0, 1 -> 0, 0, 1.5 -> 0
    assert stronger(x)[0][:, 0].T.tolist() == [[1, 1, 1, 0, 1]] * 2
    assert set(dict(stronger.named_parameters())) == {"w", "log_gain"}


def test_lif_passes_the_gradient_of_an_arctangent_but_none_through_the_reset() -> None:
    memory = build("lif", 1)  # tau = 2
    for first, spike in ((1.0, 0.0), (2.4, 1.0)):
        x = torch.tensor([first, 1.2]).view(2, 1, 1).requires_grad_()
        y, _ = memory(x)
        assert y[0].item() == spike
        (through_time,) = torch.autograd.grad(y[1].sum(), x, retain_graph=True)
        v = 0.5 * 1.2 + (0 if spike else 0.25 * first)
        slope = 1 / (1 + math.pi**2 * (v - 1) ** 2)
        expected = [0 if spike else 0.25 * slope, 0.5 * slope]
        assert through_time.flatten().tolist() == pytest.approx(expected)


def test_arctan_spikes_have_the_slope_of_their_arctangent() -> None:
    u = torch.linspace(-2, 2, 41, dtype=torch.float64).requires_grad_()
    smooth = torch.atan(math.pi * u) / math.pi + 0.5
    (expected,) = torch.autograd.grad(smooth.sum(), u)
    spikes = arctan_spikes(u)
    (slope,) = torch.autograd.grad(spikes.sum(), u)
    torch.testing.assert_close(slope, expected)
    assert torch.equal(spikes, (u >= 0).double())


# --------------------------------------------------------------------------------------------------- recurrences


def dense_state_space(memory: Memory, x: Tensor) -> Tensor:
    """Every y_t of x [T, B, C] from its equations, with matrix powers in complex double precision."""
    value = {name: parameter.detach().double() for name, parameter in memory.named_parameters()}
    A = torch.diag(torch.exp(torch.complex(-value["nu"].exp(), value["theta"].exp())))
    B, C = torch.complex(*value["B"].chunk(2, 0)), torch.complex(*value["C"].chunk(2, 1)).conj()
    B = value["log_gamma"].exp()[:, None] * B
    impulse = [(C @ torch.linalg.matrix_power(A, t) @ B).real for t in range(len(x))]
    impulse[0] = impulse[0] + torch.diag(value["D"])
    u = (x - x.mean(2, keepdim=True)) / (x.var(2, keepdim=True, unbiased=False) + 1e-5).sqrt()
    u = value["norm.weight"] * u + value["norm.bias"]
    v = torch.stack([sum(u[s] @ impulse[t - s].T for s in range(t + 1)) for t in range(len(u))])
    z = v * (1 + torch.erf(v / math.sqrt(2))) / 2
    (W_1, W_2), (b_1, b_2) = value["W.weight"].chunk(2), value["W.bias"].chunk(2)
    return x + (z @ W_1.T + b_1) / (1 + torch.exp(-z @ W_2.T - b_2))


def test_the_state_space_layer_is_a_dense_complex_system() -> None:
    memory, x = build("ssm", 5, r_min=0.4).double(), random(7, 3, 5).double()
    memory.norm.weight.data, memory.norm.bias.data = random(2, 5, seed=2).double()
    y, (real, imaginary) = memory(x)
    torch.testing.assert_close(y, dense_state_space(memory, x))
    assert real.shape == imaginary.shape == (1, 3, 5)


def test_the_state_space_layer_has_the_gradients_of_its_values() -> None:
    memory = build("ssm", 3).double()
    x = random(4, 2, 3).double().requires_grad_()
    names, values = zip(*memory.named_parameters(), strict=True)
    block = {"norm.weight", "norm.bias", "W.weight", "W.bias"}
    assert set(names) == {"nu", "theta", "log_gamma", "B", "C", "D"} | block

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(memory, dict(zip(names, values, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(run, (x, *values))


def test_the_state_space_layer_starts_on_its_ring_with_states_of_the_size_of_the_input() -> None:
    memory = build("ssm", 400, r_min=0.6, r_max=0.8, max_phase=0.5)
    radius = torch.exp(-torch.exp(memory.nu)).detach()
    assert 0.6 <= radius.min() < 0.61
    assert 0.79 < radius.max() <= 0.8
    assert (radius**2).mean().item() == pytest.approx((0.36 + 0.64) / 2, abs=0.02)
    torch.testing.assert_close(memory.log_gamma.exp(), (1 - radius**2).sqrt())
    assert 0.49 < memory.theta.exp().max() <= 0.5
    _, (real, imaginary) = memory(30 + 20 * random(60, 4, 400))  # the norm takes offset and size away
    assert (real.square() + imaginary.square()).mean().item() == pytest.approx(1, abs=0.1)


def test_the_convolutional_lstm_is_its_equations_step_by_step() -> None:
    C, memory = 3, build("convlstm", 3, kernel=5)
    memory.of_input.bias.data = random(4 * C, seed=2)
    W, U, b = memory.of_input.weight, memory.of_hidden.weight, memory.of_input.bias
    x = random(4, 2, C, 6, 7)
    h = c = torch.zeros(2, C, 6, 7)
    y, (last_h, last_c) = memory(x)
    for t in range(4):
        i, f, o, g = (
            F.conv2d(torch.cat([x[t], h], 1), torch.cat([W[rows], U[rows]], 1), b[rows], padding=2)
            for rows in torch.arange(4 * C).split(C)
        )
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        torch.testing.assert_close(y[t], h, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close((last_h[0], last_c[0]), (h, c), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("start", [None, 0.25])
def test_only_a_forget_gate_starts_open(start: float | None) -> None:
    C, options = 5, {} if start is None else {"forget_bias": start}
    cell, maps = build("lstm", C, **options).cell, build("convlstm", C, **options).of_input
    for bias, draw in ((cell.bias_ih_l0 + cell.bias_hh_l0, 2 / math.sqrt(C)), (maps.bias, 1 / math.sqrt(9 * C))):
        forget, others = bias[C : 2 * C], torch.cat([bias[:C], bias[2 * C :]])
        assert torch.equal(forget, torch.full((C,), 1.0 if start is None else start))
        assert 0 < others.abs().max() < draw
        assert bias.requires_grad
    for name in ("lstm", "convlstm"):
        with pytest.raises(IPNetError, match="forget_bias must be finite; got nan: use 1"):
            build(name, C, forget_bias=math.nan)


def test_the_lstm_is_its_equations_with_the_forget_gate_second() -> None:
    C, memory, x = 3, build("lstm", 3), random(4, 2, 3)
    W, U, b = memory.cell.weight_ih_l0, memory.cell.weight_hh_l0, memory.cell.bias_ih_l0 + memory.cell.bias_hh_l0
    h = c = torch.zeros(2, C)
    for t, y in enumerate(memory(x)[0]):
        i, f, g, o = (x[t] @ W.T + h @ U.T + b).split(C, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        torch.testing.assert_close(y, h, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------------------------- convolutions over time


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_cubic_convolution_is_torchs_own_with_zeros_around_clip_and_map(kernel: int) -> None:
    memory, x = build("conv3d", 4, kernel=kernel), random(6, 2, 4, 5, 7)
    y, state = memory(x)
    expected = F.conv3d(x.relu().permute(1, 2, 0, 3, 4), memory.mix.weight, padding=kernel // 2)
    torch.testing.assert_close(y.permute(1, 2, 0, 3, 4), expected, rtol=1e-4, atol=1e-5)
    assert state is None


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("name", OVER_TIME)
def test_the_causal_variant_gives_the_published_answers_later(name: str, kernel: int) -> None:
    published, causal = build(name, 4, kernel=kernel), build(name, 4, kernel=kernel, causal=True)
    causal.load_state_dict(published.state_dict())
    x, late = random(6, 2, 4, 5, 7), kernel // 2
    y, state = causal(x)
    torch.testing.assert_close(y[late:], published(x)[0][:-late], rtol=1e-4, atol=1e-5)
    assert torch.equal(state, x[1 - kernel :].relu())


@pytest.mark.parametrize("name", OVER_TIME)
def test_only_the_causal_variant_runs_on_a_stream(name: str) -> None:
    causal, x = network(name, causal=True, kernel=5).eval(), random(7, 2, *SHAPE).abs()
    assert causal.causal
    with torch.no_grad():
        whole, _ = causal(x)
    results = list(causal.stream(x.split([1, 3, 1, 2])))
    torch.testing.assert_close(torch.cat([result.output for result in results]), whole, rtol=1e-4, atol=1e-5)
    published = network(name)
    assert not published.causal
    with pytest.raises(IPNetError, match=rf"'{name}' looks at them: .* set its option causal if it has one"):
        published.stream([])


VARIANT = '''
from ipnet.memory import Memory

class Variant(Memory):
    """The identity, or with the average over the clip added."""

    causal = {default}

    def __init__(self, channels, *, causal, honest=True):
        super().__init__()
        self.causal, self.looks_ahead = causal, causal != honest

    def forward(self, x, state=None):
        return x + 0.1 * x.mean(0) if self.looks_ahead else x, None
'''


@pytest.mark.parametrize("default", [True, False])
def test_the_contract_takes_an_instance_at_its_word(plugin, default: bool) -> None:
    name = f"variant_{default}".lower()
    plugin("memory", name, VARIANT.replace("{default}", str(default)))
    check_memory(name, causal=True)
    check_memory(name, causal=False)
    with pytest.raises(ContractViolation, match="Causal"):
        check_memory(name, causal=True, honest=False)


# -------------------------------------------------------------------------------------------------------- counts

STAGE1, STAGE2 = 4 * 8 * 10, 8 * 4 * 5  # values of a feature map


@pytest.mark.parametrize(
    ("built", "values"),
    [
        (("none",), 0),
        (("intrinsic",), 2 * 8 * 10),
        (("lif", "frontier", "head"), 2 * 8 * 10 + 8),
        (("leaky", "stem"), STAGE1),
        (("rnn",), 8),
        (("gru",), 8),
        (("lstm",), 2 * 8),
        (("ssm",), 2 * 8),
        (("convlstm",), 2 * STAGE2),
        (("conv3d",), 0),
    ],
    ids=str,
)
def test_state_bytes_of_a_clip(built: tuple[str, ...], values: int) -> None:
    counted = network(*built).train()
    kept = {name: value.clone() for name, value in counted.state_dict().items()}
    assert count_state_bytes(counted, (5, *SHAPE)) == 4 * values
    assert counted.training
    assert all(torch.equal(value, kept[name]) for name, value in counted.state_dict().items())


@pytest.mark.parametrize("name", OVER_TIME)
def test_a_causal_convolution_carries_the_frames_under_its_kernel(name: str) -> None:
    assert count_state_bytes(network(name, kernel=5, causal=True), (5, *SHAPE)) == 4 * 4 * (2 * STAGE1 + STAGE2)


def test_latency_is_measured_where_a_network_can_stream() -> None:
    clip = random(4, 1, *SHAPE)
    latency = frame_latency(network("lstm"), clip)
    assert latency is not None
    assert 0 < latency < 1
    assert frame_latency(network("conv3d"), clip) is None


BANK = [{"t_cycle": 440e-9}, {"t_cycle": 220e-9}, {"t_cycle": 150e-9}]


@pytest.mark.parametrize(
    ("name", "options"), [("intrinsic", {"bank": BANK}), ("leaky", {"tau": [1.0, 4.0, 16.0]})]
)
def test_a_bank_fulfils_the_contract_and_widens_the_stem(name: str, options: dict[str, object]) -> None:
    check_memory(name, **options)
    network = Network((2, 8, 8), 3, Backbone(width=4), name, ("frontier",), **options)
    y, _ = network(torch.rand(5, 2, 2, 8, 8))
    assert y.shape == (5, 2, 3)
    assert network.parts["stem"][0].num_features == 6
    (streamed,) = network.eval().stream([torch.rand(4, 1, 2, 8, 8)])
    assert streamed.output.shape == (4, 1, 3)
    with pytest.raises(IPNetError, match="must stand at 'frontier' alone"):
        Network((2, 8, 8), 3, Backbone(width=4), name, ("stem",), **options)


def test_a_bank_is_its_junctions_side_by_side() -> None:
    x = torch.rand(6, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    together, state = MEMORIES.build("intrinsic", 3, bank=BANK)(x)
    alone = [MEMORIES.build("intrinsic", 3, clock=clock)(x) for clock in BANK]
    assert torch.equal(together, torch.cat([y for y, _ in alone], 2))
    assert all(torch.equal(a, b) for a, (_, (b,)) in zip(state, alone, strict=True))
    for bank in ([], 3):
        with pytest.raises(IPNetError, match="a bank must be a list"):
            Network((2, 8, 8), 3, Backbone(width=4), "intrinsic", bank=bank)
    facts = [MEMORIES.build("intrinsic", 3, bank=bank).report() for bank in (BANK, BANK[::-1])]
    horizons = facts[0]["bank_horizons"]
    assert horizons == sorted(horizons)  # a short cycle forgets less between frames
    assert [fact["horizon_frames"] for fact in facts] == [max(horizons)] * 2


def test_an_amplifier_spreads_the_answers_over_0_to_1() -> None:
    x = 10 * torch.rand(40, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    plain, amplified = (MEMORIES.build("intrinsic", 3, bank=BANK, amplify=on)(x)[0] for on in (False, True))
    for p, y in zip(plain.chunk(len(BANK), 2), amplified.chunk(len(BANK), 2), strict=True):
        assert torch.corrcoef(torch.stack([p.flatten(), y.flatten()]))[0, 1] > 1 - 1e-6  # one straight line
    cold, hot = torch.zeros(1, 1, 3, 4), torch.full((200, 1, 3, 4), 10.0)
    assert MEMORIES.build("intrinsic", 3, amplify=True)(cold)[0].abs().max() < 1e-6
    assert MEMORIES.build("intrinsic", 3, amplify=True)(hot)[0][-1].min().item() == pytest.approx(1, abs=1e-4)
    with pytest.raises(IPNetError, match="spikes are 0 or 1: leave one"):
        MEMORIES.build("intrinsic", 3, amplify=True, emission="sample")


def test_a_trace_for_each_time_constant() -> None:
    x = torch.rand(6, 1, 2, generator=torch.Generator().manual_seed(0))
    together, _ = MEMORIES.build("leaky", 2, tau=[1.0, 8.0])(x)
    alone = [MEMORIES.build("leaky", 2, tau=tau)(x)[0] for tau in (1.0, 8.0)]
    assert torch.allclose(together, torch.cat(alone, 2))
    with pytest.raises(IPNetError, match="tau must be positive"):
        MEMORIES.build("leaky", 2, tau=[4.0, 0.0])
