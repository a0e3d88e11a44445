"""Polynomials in place of parts of a law."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ipnet.device import load_device
from ipnet.interpolation import interpolate
from ipnet.kernel import law_from, law_of
from ipnet.neuron import Neuron
from ipnet.surrogate import cloglog
from ipnet.symbol import Graph, Symbol, evaluate, gradients, ordered

COST = {"exp": 60, "sqrt": 60, "log": 60, "reciprocal": 20, "cloglog": 15, "polynomial": 8}
INSIDE = {"a": (0.0, 1.0)}


def recorded(dtype: torch.dtype = torch.float64) -> tuple[Graph, Symbol, Symbol]:
    graph = Graph((101,), dtype)
    return graph, graph.given("a"), graph.given("b")


def operations(*symbols: Symbol) -> set[str]:
    return {symbol.op for symbol in ordered(symbols)}


def arrhenius(a: Tensor | Symbol) -> Tensor:
    return torch.exp(-3 / (2 + a)) * torch.sqrt(4 - a)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-7), (torch.float64, 1e-12)])
def test_a_smooth_law_becomes_a_polynomial_with_the_right_slope(dtype: torch.dtype, close: float) -> None:
    graph, a, _ = recorded(dtype)
    (law,) = interpolate([arrhenius(a)], INSIDE, COST)
    assert "polynomial" in operations(law)
    assert not {"exp", "sqrt", "reciprocal"} & operations(law)
    points = torch.linspace(0, 1, 101, dtype=torch.float64).requires_grad_()
    truth = arrhenius(points)
    truth.sum().backward()
    (slope,) = gradients([law], [graph.constant(1.0)], (a,))
    for symbol, expected in ((law, truth), (slope, points.grad)):
        found = evaluate(symbol, {a: points.detach()})
        assert (found / expected - 1).abs().max() < close * (1 if symbol is law else 100)


def test_what_has_no_bounds_or_two_inputs_stays() -> None:
    _, a, b = recorded()
    for law in (arrhenius(b), torch.exp(a * b) * torch.exp(b)):
        assert interpolate([law], INSIDE, COST) == [law]


def test_a_clamp_that_is_never_reached_does_not_hinder() -> None:
    _, a, _ = recorded()
    (law,) = interpolate([torch.exp(torch.log(a + 2).clamp(max=5.0))], INSIDE, COST)
    assert operations(law) == {"polynomial", "mul", "add", "constant", "given"}


def test_what_a_kink_hides_is_found_below_it() -> None:
    _, a, _ = recorded()
    (law,) = interpolate([(arrhenius(a) - 0.5).clamp(min=0)], INSIDE, COST)
    assert {"clamp_min", "polynomial"} <= operations(law)
    assert "exp" not in operations(law)


def test_a_probability_stays_an_exponential_however_small() -> None:
    """An error that is small beside the largest probability would be large beside a small one."""
    _, a, _ = recorded()
    (p,) = interpolate([cloglog(40 * arrhenius(a) - 60)], INSIDE, COST)
    points = torch.linspace(0, 1, 101, dtype=torch.float64)
    truth = cloglog(40 * arrhenius(points) - 60)
    assert "polynomial" in operations(p)
    assert truth.min() < 1e-15
    assert (evaluate(p, {a: points}) / truth - 1).abs().max() < 1e-11


def test_what_differs_from_junction_to_junction_stays() -> None:
    _, a, _ = recorded()
    law = torch.exp(torch.linspace(1, 2, 101, dtype=torch.float64) * a) * torch.sqrt(a + 1)
    assert "exp" in operations(*interpolate([law], INSIDE, COST))


@pytest.mark.parametrize("law", [lambda a: a**1.7, torch.log, lambda a: 1 / (a * (a + 1))])
def test_what_is_infinite_at_an_end_stays(law: Callable[[Tensor], Tensor]) -> None:
    """As a^1.7 = exp(1.7 log a) is on the way, at 0."""
    _, a, _ = recorded()
    (found,) = interpolate([law(a)], INSIDE, COST)
    points = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert torch.allclose(evaluate(found, {a: points}), law(points), rtol=1e-12)


@pytest.mark.parametrize("card", ["mtj-thermal", "mtj-nyu", "mtj-uta", "mtj-minnesota"])
def test_no_cycle_leaves_the_limits(card: str) -> None:
    device = load_device(card)
    limits = device.limits() or ()
    for start in (0.0, 1.0):
        for V in (0.0, float(device.V_max)):
            for emitted in (0.0, 1.0):
                state = tuple(torch.tensor([start * limit], dtype=torch.float64) for limit in limits)
                for _ in range(50):
                    _, state = device.cycle(
                        torch.tensor([V], dtype=torch.float64), state, lambda p, e=emitted: torch.full_like(p, e)
                    )
                    assert all(0 <= part <= limit for part, limit in zip(state, limits, strict=True))


def test_a_state_beyond_its_limits_gets_the_law_itself() -> None:
    """A polynomial holds between cold and the hottest that pulses can make; a caller may hand in anything."""
    neuron = Neuron(load_device("mtj-thermal"), 2, backend="fused")
    device = neuron.device
    (limit,) = device.limits() or ()
    for rise, inside in ((0.0, True), (limit, True), (2 * limit, False), (-1.0, False)):
        state = torch.full((1, 1, 1, 2, 3), rise)
        law = law_from(device, state, sample=False)
        assert (law is law_of(device, (1, 1, 2, 3), torch.float32, sample=False)) == inside


@pytest.mark.parametrize("rise", [-30.0, 300.0])
def test_a_foreign_state_gives_what_the_plain_loop_gives(rise: float) -> None:
    x = torch.linspace(-0.5, 1.5, 24, dtype=torch.float64).view(4, 1, 2, 3)
    answers = []
    for backend in ("fused", "reference"):
        neuron = Neuron(load_device("mtj-thermal"), 2, backend=backend)
        u = x.clone().requires_grad_()
        y, state = neuron(u, (torch.full((1, 1, 2, 3), rise, dtype=torch.float64),))
        y.sum().backward()
        answers.append((y.detach(), state[0].detach(), u.grad))
    for fused, plain in zip(*answers, strict=True):
        assert torch.allclose(fused, plain, rtol=1e-10, atol=1e-14)
