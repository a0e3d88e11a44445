"""The laws: exact relaxation, energy, monotony, and a second solver that knows nothing of the first."""

import math
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipnet.device import load_device
from ipnet.physics import barrier, critical_voltage, log_hazard, relax, tmr_at_bias
from ipnet.surrogate import cloglog, sample_spikes

MTJ = load_device("mtj-thermal")
positive = st.floats(1e-3, 1e3)
rises = st.floats(0, 500)


def tensor(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(rises, rises, positive, st.lists(st.floats(0, 2), min_size=1, max_size=6))
def test_relaxation_does_not_depend_on_how_time_is_cut(rise, steady, tau, parts) -> None:
    whole = relax(tensor(rise), tensor(steady), tensor(tau * sum(parts)), tensor(tau))
    cut = tensor(rise)
    for part in parts:
        cut = relax(cut, tensor(steady), tensor(tau * part), tensor(tau))
    assert math.isclose(whole.item(), cut.item(), rel_tol=1e-12, abs_tol=1e-12 * max(rise, steady, 1))


@settings(max_examples=40, deadline=None)
@given(rises, rises, positive)
def test_relaxation_ends_at_the_steady_rise_and_never_leaves_its_bounds(rise, steady, tau) -> None:
    times = tau * torch.linspace(0, 60, 200, dtype=torch.float64)
    course = relax(tensor(rise), tensor(steady), times, tensor(tau))
    assert course[0] == rise
    assert course[-1].item() == pytest.approx(steady, rel=1e-12, abs=1e-12)
    assert bool((course >= min(rise, steady) * (1 - 1e-12)).all())
    assert bool((course <= max(rise, steady) * (1 + 1e-12)).all())
    assert bool((course.diff() * math.copysign(1, steady - rise) >= -1e-12 * max(rise, steady)).all())


def test_the_steady_rise_is_resistance_times_power() -> None:
    mtj, V = load_device("mtj-thermal"), tensor(0.3)
    p = mtj.card.parameters
    assert mtj.steady_rise(V).item() == pytest.approx(p.R_th * 0.3**2 / p.R_P, rel=1e-12)
    antiparallel = p.R_P * (1 + p.tmr_0 / (1 + (0.3 / p.V_h) ** 2))
    assert mtj.steady_rise(V, antiparallel=True).item() == pytest.approx(p.R_th * 0.09 / antiparallel, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(rises, st.floats(0, 1e-3), st.floats(1e4, 1e7), st.floats(1e-7, 1e-5), st.floats(0.01, 5))
def test_energy_in_is_energy_stored_plus_energy_lost(rise, power, R_th, tau, share) -> None:
    times = torch.linspace(0, share * tau, 2001, dtype=torch.float64)
    course = relax(tensor(rise), tensor(R_th * power), times, tensor(tau))
    stored = tau / R_th * (course[-1] - course[0]).item()
    weights = torch.ones(2001, dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4, 2  # Simpson
    lost = (weights * course).sum().item() * (times[1] - times[0]).item() / 3 / R_th
    assert stored + lost == pytest.approx(power * share * tau, rel=1e-8, abs=1e-9 * rise * tau / R_th + 1e-30)


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)).map(sorted),
    st.tuples(st.floats(5, 100), st.floats(5, 100)).map(sorted),
    st.sampled_from([1, 2]),
)
def test_the_hazard_rises_with_voltage_and_falls_with_stability(voltages, deltas, b) -> None:
    def eta(V: float, delta: float) -> float:
        return log_hazard(tensor(V), tensor(1e-7), tensor(1e-9), tensor(delta), tensor(0.32), b).item()

    (low, high), (soft, stable) = voltages, deltas
    assert eta(low, soft) <= eta(high, soft) <= math.log(100) + 1e-12
    assert eta(low, stable) <= eta(low, soft)
    if high < 0.32 and high - low > 1e-6:
        assert eta(low, soft) < eta(high, soft)
    assert eta(0.0, soft) == pytest.approx(math.log(100) - soft)


@pytest.mark.parametrize("b", [1, 2])
def test_the_mean_time_to_switch_is_the_neel_arrhenius_law(b: int) -> None:
    V, delta, V_c0, tau_0 = 0.1, 40.0, 0.3, 1e-9
    dwell = tau_0 * math.exp(delta * (1 - V / V_c0) ** b)
    eta = log_hazard(tensor(V), tensor(dwell), tensor(tau_0), tensor(delta), tensor(V_c0), b)
    assert cloglog(eta).item() == pytest.approx(1 - math.exp(-1), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(0.1, 3))
def test_the_resistance_lies_between_both_states(V, tmr_0) -> None:
    ratio = tmr_at_bias(tensor(tmr_0), tensor(V), tensor(0.48)).item()
    assert 0 < ratio <= tmr_0
    mtj = MTJ
    p = mtj.card.parameters
    for antiparallel in (False, True):
        R = mtj.resistance(tensor(V), antiparallel=antiparallel).item()
        assert p.R_P <= R <= p.R_AP * (1 + 1e-12)
    assert mtj.resistance(tensor(0.0), antiparallel=True).item() == pytest.approx(p.R_AP)


def test_barrier_and_critical_voltage_soften() -> None:
    s, temp = tensor(7e-4), tensor(300.0)
    assert barrier(tensor(45.0), s, temp, tensor(0.0)).item() == 45.0
    assert barrier(tensor(45.0), s, temp, tensor(100.0)).item() == pytest.approx(45 * 0.93 * 0.75)
    assert critical_voltage(tensor(0.3), s, tensor(100.0)).item() == pytest.approx(0.279)


# ------------------------------------------------------------------------------------ complementary log-log


@pytest.mark.parametrize("eta", [-40.0, -20.0, -5.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.5])
def test_cloglog_and_its_gradient_to_full_precision(eta: float) -> None:
    with localcontext() as context:
        context.prec = 60
        hazard = Decimal(eta).exp()
        p, slope = float(1 - (-hazard).exp()), float(hazard * (-hazard).exp())
    x = tensor(eta).requires_grad_()
    y = cloglog(x)
    y.backward()
    assert y.item() == pytest.approx(p, rel=1e-14, abs=0)
    assert x.grad.item() == pytest.approx(slope, rel=1e-13, abs=0)


def test_cloglog_passes_gradcheck() -> None:
    eta = torch.linspace(-8, 3, 23, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cloglog, (eta,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cloglog_survives_extremes(dtype: torch.dtype) -> None:
    eta = torch.tensor([-1e4, -100.0, -80.0, 5.0, 88.0, 89.0, 800.0, 1e4], dtype=dtype, requires_grad=True)
    p = cloglog(eta)
    p.sum().backward()
    assert p.dtype == dtype
    assert p.tolist()[0] == 0
    assert p.tolist()[3:] == [1.0] * 5
    assert bool(eta.grad.isfinite().all())
    assert bool((eta.grad >= 0).all())
    assert eta.grad[2] > 0, "where P is small the gradient must not vanish"


def test_spikes_follow_their_probability_and_keep_its_gradient() -> None:
    p = torch.tensor([0.0, 0.2, 0.9, 1.0]).repeat(20_000, 1).requires_grad_()
    spikes = sample_spikes(p, torch.Generator().manual_seed(0))
    assert set(spikes.detach().round(decimals=5).unique().tolist()) == {0.0, 1.0}
    mean = spikes.mean(0).tolist()
    assert (mean[0], mean[3]) == (0.0, 1.0)
    for value, expected in zip(mean[1:3], (0.2, 0.9), strict=True):
        assert abs(value - expected) < 5 * math.sqrt(expected * (1 - expected) / 20_000)
    (spikes * torch.arange(4)).sum().backward()
    assert torch.equal(p.grad, torch.arange(4.0).expand_as(p))


# ------------------------------------------------------------------- the cycle, against a brute-force solver


def brute_force_cycle(card, V: float, rise: float, spike: float) -> tuple[float, float]:
    """Switching probability and final rise of one cycle by fourth-order Runge-Kutta, with no shared code."""
    p, c = card.parameters, card.clock
    other = {"P": "AP", "AP": "P"}[c.rest_state]

    def resistance(volt: float, state: str) -> float:
        return p.R_P if state == "P" else p.R_P + (p.R_AP - p.R_P) / (1 + volt**2 / p.V_h**2)

    def heat(rise: float, volt: float, state: str, duration: float) -> float:
        steps = 400
        h = duration / steps

        def slope(value: float) -> float:
            return (volt**2 / resistance(volt, state) - value / p.R_th) / (p.tau_th / p.R_th)

        for _ in range(steps):
            a = slope(rise)
            b = slope(rise + h * a / 2)
            d = slope(rise + h * b / 2)
            e = slope(rise + h * d)
            rise += h * (a + 2 * b + 2 * d + e) / 6
        return rise

    def probability(volt: float, width: float, rise: float) -> float:
        stability = p.delta * (1 - p.softening * rise) / (1 + rise / p.temp_0)
        distance = max(0.0, 1 - volt / (p.V_c0 * (1 - p.softening * rise)))
        return 1 - np.exp(-width / p.tau_0 * np.exp(-stability * distance**p.exponent))

    idle = c.t_cycle - c.t_pulse - c.t_read - c.t_reset
    if c.operation == "bias":
        answer = probability(V, c.t_pulse, rise)
        rise = heat(rise, V, c.rest_state, c.t_pulse)
    else:
        rise = heat(rise, V, c.rest_state, c.t_pulse)
        answer = probability(c.V_probe, c.t_probe, rise)
        rise = heat(rise, c.V_probe, c.rest_state, c.t_probe)
        idle -= c.t_probe
    if spike:
        rise = heat(rise, c.V_read, other, c.t_read)
        rise = heat(rise, c.V_reset, other, c.t_reset)
    else:
        rise = heat(rise, c.V_read, c.rest_state, c.t_read)
        rise = heat(rise, 0.0, c.rest_state, c.t_reset)
    return answer, heat(rise, 0.0, c.rest_state, idle)


@pytest.mark.parametrize("exponent", [1, 2])
@pytest.mark.parametrize("spike", [0.0, 1.0])
@pytest.mark.parametrize("rest_state", ["P", "AP"])
@pytest.mark.parametrize("operation", ["bias", "drive and probe"])
def test_a_cycle_equals_a_brute_force_integration(operation, rest_state, spike, exponent, vary) -> None:
    mtj = vary(
        "mtj-thermal",
        operation=f'"{operation}"',
        rest_state=f'"{rest_state}"',
        exponent=(exponent, "1"),
        V_read=(0.15, "V"),
        t_reset=(30, "ns"),
        tau_th=(0.4, "us"),
    )
    answers = []
    for V, rise in ((0.0, 0.0), (0.28, 0.0), (0.31, 35.0), (0.4, 4.0)):
        p, (after,) = mtj.cycle(
            tensor(V)[None], (tensor(rise)[None],), lambda p: answers.append(p) or torch.full_like(p, spike)
        )
        assert p.item() == spike
        answer, expected = brute_force_cycle(mtj.card, V, rise, spike)
        assert answers[-1].item() == pytest.approx(answer, rel=1e-9, abs=1e-15)
        assert after.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("spike", [0.25, 0.5])
def test_an_expected_spike_heats_as_the_mean_of_both_outcomes(spike: float) -> None:
    mtj = load_device("mtj-thermal", rest_state="AP")

    def after(s: float) -> float:
        return mtj.cycle(tensor(0.3), (tensor(9.0),), lambda p: torch.full_like(p, s))[1][0].item()

    assert after(spike) == pytest.approx((1 - spike) * after(0.0) + spike * after(1.0), rel=1e-12)
    assert after(1.0) > after(0.0)


def test_a_junction_that_does_not_heat_is_the_memoryless_one(vary) -> None:
    cold = vary("mtj-thermal", R_th=(0, "K/W"), operation='"bias"')
    control = load_device("memoryless")
    V = torch.linspace(0, 0.4, 50, dtype=torch.float64)
    state, stateless = cold.rest(V), control.rest(V)
    for _ in range(3):
        p, state = cold.cycle(V, state, lambda p: p)
        expected, stateless = control.cycle(V, stateless, lambda p: p)
        assert torch.equal(p, expected)
        assert not state[0].any()
    assert cold.memory_cycles() == control.memory_cycles() == 0
    assert cold.card.parameters.C_th == math.inf


def test_a_hot_junction_switches_more_easily() -> None:
    mtj = load_device("mtj-thermal")
    for V in (0.1, 0.2, 0.25):
        p = mtj.p_switch(tensor(V), mtj.t_pulse, torch.linspace(0, 100, 21, dtype=torch.float64))
        assert bool((p.diff() > 0).all())


@pytest.mark.parametrize("operation", ["bias", "drive and probe"])
def test_heat_lingers_and_fades_with_the_stated_horizon(operation: str) -> None:
    mtj = load_device("mtj-thermal", operation=operation)
    rests = []
    for first in (0.4, 0.25):
        state = mtj.rest(torch.zeros(1, dtype=torch.float64))
        course = []
        for V in [first] + [0.0 if operation == "drive and probe" else 0.2] * 8:
            _, state = mtj.cycle(tensor(V)[None], state, torch.zeros_like)
            course.append(state[0].item())
        rests.append(course)
    gap = [a - b for a, b in zip(*rests, strict=True)]
    assert gap[0] > 1
    for now, later in pairwise(gap):
        assert later / now == pytest.approx(math.exp(-1 / mtj.memory_cycles()), rel=1e-9)


def test_the_published_s_curve_is_met() -> None:
    """25, 48, 81 % at 0.275, 0.282, 0.288 V (Nat. Commun. s41467-025-66864-9); the card says within 4 points."""
    mtj = load_device("mtj-thermal", operation="bias")
    for V, p in ((0.275, 0.25), (0.282, 0.48), (0.288, 0.81)):
        assert mtj.p_switch(tensor(V), mtj.t_pulse, tensor(0.0)).item() == pytest.approx(p, abs=0.04)
