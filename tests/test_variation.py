"""Junctions that differ: the spread of the card, wafers, broken junctions, noisy reads, and all of it by seed."""

import math
from pathlib import Path

import pytest
import torch

from ipnet.budget import Backbone
from ipnet.device import load_device
from ipnet.device._variation import Varied
from ipnet.errors import IPNetError
from ipnet.network import Network
from ipnet.neuron import Neuron


def of(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.full(shape, 0.3, dtype=dtype)


def test_the_spread_is_the_one_of_the_card() -> None:
    varied = load_device("mtj-thermal", variation="card")
    junctions, stuck = varied.population(of(1, 1, 200, 100))
    card = varied.card
    logs = {
        name: torch.log(getattr(junctions, name) / getattr(varied.nominal, name)).flatten()
        for name in card.variation
        if not name.startswith("stuck")
    }
    assert set(logs) == {"R_P", "R_AP", "V_c0", "V_c0_AP", "delta", "delta_AP", "R_th", "tau_th"}
    for name, log in logs.items():
        assert log.numel() == 20_000
        assert log.std().item() == pytest.approx(card.variation[name], rel=0.03)
        assert abs(log.mean().item()) < 5 * card.variation[name] / math.sqrt(20_000), (
            "the median is the card's value"
        )
    for pair, expected in {"R_P R_AP": 0.9, "R_P R_th": 0.7, "delta tau_th": 0.0}.items():
        a, b = (logs[name] for name in pair.split())
        assert torch.corrcoef(torch.stack([a, b]))[0, 1].item() == pytest.approx(expected, abs=0.03)
    assert bool(stuck.isnan().all())
    for name in ("V_h", "temp_C", "n_K", "V_max", "t_pulse"):
        assert torch.equal(getattr(junctions, name), getattr(varied.nominal, name)), f"{name} must not differ"


def test_each_junction_is_a_device_of_its_own_values() -> None:
    varied = load_device("mtj-thermal", variation="card", variation_seed=3, operation="bias")
    V = torch.linspace(0.26, 0.3, 12, dtype=torch.float64).view(1, 1, 4, 3)
    state, answers = varied.rest(V), []
    for _ in range(3):
        p, state = varied.cycle(V, state, lambda p: p)
        answers.append(p)
    junctions, _ = varied.population(V)
    for i in range(4):
        for j in range(3):
            values = {
                name: tuple(getattr(junctions, name)[:, 0, 0, i, j].tolist())
                if name in ("R_th", "tau_th")
                else getattr(junctions, name)[0, 0, i, j].item()
                for name in ("R_P", "R_AP", "V_c0", "delta", "R_th", "tau_th")
            }
            single = type(varied.nominal)(varied.card.with_parameters(**values))
            alone = single.rest(V[0, 0, i, j])
            for step in range(3):
                p, alone = single.cycle(V[0, 0, i, j], alone, lambda p: p)
                assert answers[step][0, 0, i, j].item() == pytest.approx(p.item(), rel=2e-3, abs=1e-4)
            assert state[0][0, 0, i, j].item() == pytest.approx(alone[0].item(), rel=1e-6)


@pytest.mark.parametrize("card", ["mtj-thermal"])
def test_a_population_belongs_to_the_seed_and_to_the_neuron(card: str) -> None:
    def answer(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        device = load_device(card, variation="card", variation_seed=seed)
        V = of(*shape, dtype=dtype)
        return device.cycle(V, device.rest(V), lambda p: p)[0]

    before = torch.get_rng_state()
    first = answer(1, 2, 5, 3, 4)
    assert torch.equal(first, answer(1, 2, 5, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, answer(2, 2, 5, 3, 4))
    assert torch.allclose(first, first[:, :1].expand_as(first), rtol=1e-12), (
        "all clips go through the same junctions"
    )
    assert first[:, 0].unique().numel() == 2 * 3 * 4, "every neuron and every parallel device has its own"
    single = answer(1, 2, 5, 3, 4, dtype=torch.float32)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), first, rtol=1e-3)


def test_the_layer_needs_no_change_and_training_moves_no_junction() -> None:
    network = Network((2, 8, 8), 3, Backbone(width=2), "intrinsic", ("frontier", "stem"), variation="card")
    x = torch.rand(4, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = Network((2, 8, 8), 3, Backbone(width=2), "intrinsic", ("frontier", "stem"))
    plain.load_state_dict(network.state_dict())
    assert not torch.allclose(network.eval()(x)[0], plain.eval()(x)[0])
    again = Network((2, 8, 8), 3, Backbone(width=2), "intrinsic", ("frontier", "stem"), variation="card")
    again.load_state_dict(network.state_dict())
    assert torch.equal(network(x)[0], again.eval()(x)[0])
    device = next(module.device for module in network.modules() if isinstance(module, Neuron))
    values = {name: value.clone() for name, value in device.population(of(1, 3, 2, 8, 8))[0].named_buffers()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
    network.train()(x)[0].square().sum().backward()
    optimizer.step()
    for name, value in device.population(of(1, 3, 2, 8, 8))[0].named_buffers():
        assert torch.equal(value, values[name])
    assert {name for name, _ in network.named_parameters()} == {name for name, _ in plain.named_parameters()}


def test_a_population_is_drawn_where_the_network_is() -> None:
    """`meta` stands for a GPU: every buffer of the population must have moved there."""
    device = load_device("mtj-thermal", variation="card").to("meta")
    V = of(1, 2, 3).to("meta")
    p, (rise,) = device.cycle(V, device.rest(V), lambda p: p)
    assert p.device.type == rise.device.type == "meta"
    assert all(value.device.type == "meta" for value in device.population(V)[0].buffers())


def test_every_layer_has_junctions_of_its_own() -> None:
    network = Network((4, 8, 8), 3, Backbone(width=4), "intrinsic", ("frontier", "stem"), variation="card")
    first, second = (module.device for module in network.modules() if isinstance(module, Neuron))
    V = of(1, 1, 4, 8, 8)
    assert (first.layer, second.layer) == (0, 1)
    assert not torch.equal(first.population(V)[0].R_P, second.population(V)[0].R_P)


def test_run_a_then_b_equals_run_a_plus_b() -> None:
    x = torch.rand(7, 2, 3, 5, generator=torch.Generator().manual_seed(0))
    whole, end = Neuron(load_device("mtj-thermal", variation="card"), 3, emission="sample", devices=2)(x)
    cell = Neuron(load_device("mtj-thermal", variation="card"), 3, emission="sample", devices=2)
    first, state = cell(x[:3])
    second, state = cell(x[3:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(end[0], state[0])


def test_stuck_junctions_answer_always_the_same(write_card) -> None:
    path = write_card("mtj-thermal", stuck_resting=(10, "%"), stuck_switched=(20, "%"))
    device = load_device(path, variation="card")
    V = of(1, 1, 100, 100).requires_grad_()
    p, _ = device.cycle(V, device.rest(V), lambda p: p)
    _, stuck = device.population(V)
    for answer, share in ((0.0, 0.1), (1.0, 0.2)):
        mine = stuck == answer
        assert mine.double().mean().item() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 1e4))
        assert bool((p[mine] == answer).all())
    p.sum().backward()
    assert not V.grad[~stuck.isnan()].any()
    assert (V.grad[stuck.isnan()] > 0).double().mean() > 0.9, "but for those that switch at any voltage"


def test_read_noise_turns_answers_round(vary) -> None:
    for rest_state in ("P", "AP"):
        mtj = vary("mtj-thermal", I_noise=(4, "uA"), rest_state=f'"{rest_state}"')
        clear = vary("mtj-thermal", I_noise=(0, "uA"), rest_state=f'"{rest_state}"')
        V = torch.linspace(0, 0.4, 5, dtype=torch.float64)
        difference = 0.05 / 2530 - 0.05 / (2530 * (1 + mtj.tmr_0.item() / (1 + (0.05 / 0.48) ** 2)))
        wrong = math.erfc(difference / 2 / 4e-6 / math.sqrt(2)) / 2
        assert 0.05 < wrong < 0.2
        p, noisy = (device.cycle(V, device.rest(V), lambda p: p)[0] for device in (clear, mtj))
        assert torch.allclose(noisy, p + wrong * (1 - 2 * p), rtol=1e-9)


def test_a_common_threshold_misreads_junctions_that_differ(write_card) -> None:
    """With a resistance spread as wide as the window some junctions are always misread, without any noise."""
    wide = {"variation.R_P": (40, "%"), "variation.R_AP": (40, "%"), "variation.R_th": (0, "%")}
    path = write_card("mtj-thermal", I_noise=(0, "uA"), **{'"R_P R_AP"': (0.999, "1")}, **wide)
    device = load_device(path, variation="card")
    junctions, _ = device.population(of(1, 1, 50, 50))
    resting = junctions.misread[0]
    assert set(resting.unique().tolist()) == {0.0, 1.0}
    middle = 0.05 / 2530 * (1 + 1 / (1 + device.card.parameters.tmr_0 / (1 + (0.05 / 0.48) ** 2))) / 2
    assert torch.equal(resting == 1, middle > 0.05 / junctions.R_P)


WAFER = """R_P [kohm], R_AP [kohm], V_c0 [mV], R_th [K/uW], state
2.4, 5.5, 310, 1.5,
2.6, 5.7, 325, 1.7, stuck_switched
"""


def test_trimmed_junctions_differ_and_answer_alike_when_cold(vary) -> None:  # type: ignore[no-untyped-def]
    V = of(1, 1, 20, 10)

    def cold(**clock: object) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        varied = load_device("mtj-thermal", variation="card", variation_seed=5, I_noise=0.0, **clock)
        state = varied.rest(V)
        p, _ = varied.cycle(varied.drive(0 * V), state, lambda p: p)
        return p, varied.nominal.cycle(0 * V, state, lambda p: p)[0], varied.population(V)[0].V_probe

    for rest_state in ("P", "AP"):
        p, nominal, V_probe = cold(trim="probe", rest_state=rest_state)
        assert V_probe.shape == V.shape
        assert V_probe.std() > 0.005
        assert torch.allclose(p, nominal, rtol=1e-6)
    p, nominal, V_probe = cold()
    assert V_probe.dim() == 0
    assert p.std() > 0.2 * nominal.mean()


def test_a_trimmed_network_survives_junctions_that_differ() -> None:
    x = (torch.rand(6, 2, 2, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.2).float()

    def shift(**clock: object) -> float:
        networks = [
            Network((2, 16, 16), 3, Backbone(width=4), "intrinsic", clock=clock, variation=variation).eval()
            for variation in (None, "card")
        ]
        networks[1].load_state_dict(networks[0].state_dict())
        alike, other = (network(x)[0] for network in networks)
        return float(((alike - other).abs().mean() / alike.std()).detach())

    assert shift(trim="probe") < 0.2 * shift()


def test_trimming_needs_a_probe() -> None:
    with pytest.raises(IPNetError, match=r"trim = 'probe' needs operation = 'drive and probe'; got 'bias'"):
        load_device("mtj-thermal", trim="probe", operation="bias")


def test_a_wafer_gives_its_junctions(tmp_path: Path) -> None:
    path = tmp_path / "wafer.csv"
    path.write_text(WAFER)
    device = load_device("mtj-thermal", variation=str(path), variation_seed=1)
    junctions, stuck = device.population(of(1, 1, 60))
    first = junctions.R_P == 2400
    assert set(junctions.R_P.unique().tolist()) == {2400.0, 2600.0}
    assert 10 < first.sum() < 50
    assert set(junctions.V_c0[first].tolist()) == {0.31}
    assert set(junctions.R_th[0][~first].tolist()) == {1.7e6}
    assert bool(stuck[first].isnan().all())
    assert bool((stuck[~first] == 1).all())
    assert junctions.delta.item() == device.card.parameters.delta, "what the wafer does not say is the card's"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"must have a header and a line per junction; got no junction"),
        ("R_P [kohm]\n", r"got no junction"),
        ("R_p\n1", r"unknown column of wafer 'wafer.csv' 'R_p'; did you mean 'R_P'\?"),
        ("exponent\n1", r"unknown column of wafer 'wafer.csv' 'exponent'"),
        ("R_P [kohm],V_c0\n2.5\n", r"wafer 'wafer.csv', line 2: 2 cells are needed, as in the header; got 1"),
        ("R_P [kohm]\n2.5\n\ntwo\n", r"line 4: 'R_P' must be a number .*'two'"),
        ("R_P [kohm]\n2.5 2.6\n", r"line 2: 'R_P' needs 1 number; got '2.5 2.6'"),
        ("R_P [kohm],V_c0\n2.5,\n", r"line 2: 'V_c0' needs 1 number; got ''"),
        ("R_th [K/uW]\n1 2\n", r"line 2: 'R_th' needs 1 number; got '1 2'"),
        ("R_P,R_P\n1,2\n", r"wafer 'wafer.csv' must have each column once; got 'R_P' twice"),
        ("Ms\n1e5\n", r"unknown column of wafer 'wafer.csv' 'Ms'"),
        ("R_P [s]\n2.5\n", r"line 2: 'R_P' must be .* a unit like 'ohm' is needed; got 's'"),
        ("R_P [kohm]\n2.5\n9\n", r"line 3: .*R_AP must exceed R_P .* got R_P = 9 kohm"),
        ("R_P [kohm],state\n2.5,dead\n", r"line 2: unknown state 'dead'; .*stuck_resting, stuck_switched"),
        (
            "V_c0_AP [V]\n0.45\n",
            r"among 1 junctions drawn with seed 0: .*V_reset must switch a cold junction back",
        ),
    ],
)
def test_a_bad_wafer_is_answered_with_the_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wafer.csv"
    path.write_text(text)
    with pytest.raises(IPNetError, match=message):
        load_device("mtj-thermal", variation=str(path)).population(of(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stuck_resting": (60, "%"), "stuck_switched": (50, "%")}, r"must not exceed 1 together; got 1.1"),
        ({"stuck_resting": (-1, "%")}, r"'stuck_resting' must not be negative or infinite; got -0.01"),
        ({'"R_P R_th"': (1.2, "1")}, r"must name two different values .* got 'R_P R_th' = 1.2"),
        ({'"R_P R_th"': (-0.9, "1")}, r"the correlations contradict each other"),
    ],
)
def test_a_spread_that_makes_no_sense(changes: dict[str, object], message: str, write_card) -> None:
    path = write_card("mtj-thermal", **changes)
    for variation in (None, "card"):  # a mistake is told before the spread is used
        with pytest.raises(IPNetError, match=message):
            load_device(path, variation=variation)


def test_a_value_that_cannot_vary(write_card) -> None:
    path = write_card("mtj-thermal")
    wrong = "[variation]\nexponent = { value = 1, unit = '%', assumed = 'a test' }"
    path.write_text(path.read_text().replace("[variation]", wrong))
    with pytest.raises(IPNetError, match=r"unknown value in card 'mtj-thermal', variation 'exponent'"):
        load_device(path, variation="card")


def test_a_card_without_a_spread_and_a_wafer_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=r"card 'memoryless', variation: the card states no spread; add"):
        load_device("memoryless", variation="card")
    with pytest.raises(IPNetError, match=r"no.csv' cannot be read"):
        load_device("mtj-thermal", variation=str(tmp_path / "no.csv"))
    assert isinstance(load_device("mtj-thermal", variation="card"), Varied)
