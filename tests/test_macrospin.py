"""The macrospin: closed forms without noise, exact Fokker-Planck solutions with it, and a second solver, cmtj."""

import functools
import math
import re
from typing import Any

import numba
import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.linalg import eigh_tridiagonal
from scipy.stats import kstest

from ipnet.errors import IPNetError
from ipnet.macrospin import Macrospin
from ipnet.physics import relax

GAMMA, K_B, HBAR, E = 1.76085963023e11, 1.380649e-23, 1.054571817e-34, 1.602176634e-19
B_K, MS = 0.4, 1e6  # anisotropy field [T] and magnetisation [A/m] of the junctions below, at 300 K
TILTED = (math.sin(0.3), 0.0, math.cos(0.3))


def junction(delta: float = 5.0, alpha: float = 0.1, **changes: Any) -> Macrospin:
    """A junction that neither heats nor changes with temperature, unless told so."""
    values = {
        "temps": [300.0, 400.0],
        "Ms": [MS, MS],
        "K_eff": [B_K * MS / 2, B_K * MS / 2],
        "polarisation": [0.6, 0.6],
        "tmr": [0.0, 0.0],
        "volume": delta * K_B * 300 / (B_K * MS / 2),
        "alpha": alpha,
        "R_P": 2500.0,
        "V_h": 0.5,
        "temp_0": 300.0,
        "R_th": (0.0,),
        "tau_th": (1e-9,),
    }
    return Macrospin(**(values | changes))


def heating(delta: float = 5.0, alpha: float = 0.1, **changes: Any) -> Macrospin:
    """A junction of which every law softens with a temperature that its current raises by some ten kelvin."""
    soft: dict[str, Any] = {
        "Ms": [MS, 0.9 * MS],
        "K_eff": [B_K * MS / 2, 0.7 * B_K * MS / 2],
        "polarisation": [0.6, 0.55],
        "tmr": [1.2, 0.9],
        "R_th": (2e6, 5e6),
        "tau_th": (0.2e-9, 3e-9),
    }
    return junction(delta, alpha, **(soft | changes))


def rates(spin: Macrospin) -> tuple[float, float]:
    """Damping alpha gamma B_k / (1 + alpha^2) and diffusion D of m over the sphere at 300 K [1/s]."""
    damping = spin.alpha * GAMMA * B_K / (1 + spin.alpha**2)
    return damping, damping / (2 * spin.delta)


def still(steps: int, trajectories: int = 1) -> np.ndarray:
    return np.zeros((steps, trajectories, 3))


@functools.cache
def switched(delta: float, drive: float, time: float, cells: int = 800) -> float:
    """The exact probability that m_z < 0 after `time` [1/D], from the Boltzmann distribution of the upper well.

    The Fokker-Planck equation of an axially symmetric macrospin at constant temperature,
    d rho/dt = d/dz [(1 - z^2) (d rho/dz - rho df/dz)], f = delta z^2 - 2 delta drive z, drive = a_J / (alpha B_k),
    on cells that exchange probability in detailed balance; diagonalised.
    """
    edges = np.linspace(-1, 1, cells + 1)
    z, inner = (edges[1:] + edges[:-1]) / 2, edges[1:-1]
    f, between = (delta * x**2 - 2 * delta * drive * x for x in (z, inner))
    weight = np.exp(f - f.max())
    flow = (1 - inner**2) * np.exp(between - f.max()) * (cells / 2) ** 2
    loss = np.append(flow / weight[:-1], 0) + np.append(0, flow / weight[1:])
    root = np.sqrt(weight)
    eigenvalues, modes = eigh_tridiagonal(-loss, flow / (root[:-1] * root[1:]))
    well = np.where(z > 0, np.exp(delta * z**2 - delta), 0)
    amplitudes = np.exp(eigenvalues * time) * (modes.T @ (well / well.sum() / root))
    return float((root * (modes @ amplitudes))[z < 0].sum())


def mean_passage(delta: float, threshold: float) -> float:
    """Mean time from the Boltzmann distribution of the upper well to m_z = threshold, in units of 1/D."""

    def above(z: float) -> float:
        return quad(lambda w: math.exp(delta * (w**2 - 1)), z, 1)[0]

    def passage(z: float) -> float:
        return quad(lambda y: math.exp(delta * (1 - y**2)) * above(y) / (1 - y**2), threshold, z)[0]

    well = quad(lambda z: math.exp(delta * (z**2 - 1)) * passage(z), 0, 1, epsrel=1e-6)[0]
    return well / above(0)


# --- without noise -----------------------------------------------------------------------------------------------


def test_motion_obeys_gilberts_implicit_equation() -> None:
    """dm/dt from the solver, put into the equation that it never uses."""
    spin, V, B_ext = junction(alpha=0.3), 0.4, np.array([0.1, -0.2, 0.15])
    rng = np.random.default_rng(1)
    m = rng.standard_normal((50, 3))
    m /= np.linalg.norm(m, axis=1, keepdims=True)
    dt = 1e-16
    after = spin.run(V, dt, m_0=m, B_ext=B_ext, increments=still(1, 50)).m[0]
    rate = (after - m) / dt
    a_J = HBAR / (2 * E) * 0.6 / (1 + 0.6**2) * V / (spin.R_P * MS * spin.volume)
    B = B_ext + B_K * m[:, 2:] * [0, 0, 1]
    terms = (
        -GAMMA * np.cross(m, B),
        spin.alpha * np.cross(m, rate),
        GAMMA * a_J * np.cross(m, np.cross(m, [0, 0, 1])),
    )
    scale = np.linalg.norm(rate, axis=1).max()
    assert all(np.linalg.norm(term, axis=1).max() > 0.05 * scale for term in terms)  # every term counts
    assert np.abs(rate - sum(terms)).max() < 1e-4 * scale


def test_energy_is_kept_without_damping() -> None:
    spin, B_ext = junction(alpha=1e-14), np.array([0.1, 0.05, -0.1])

    def energy(m: np.ndarray) -> float:  # over Ms volume
        return float(-B_K / 2 * m[2] ** 2 - m @ B_ext)

    drift = []
    for steps in (500, 1000):
        m = spin.run(0.0, 0.77e-9, m_0=TILTED, B_ext=B_ext, increments=still(steps)).m[0, 0]
        assert abs(np.linalg.norm(m) - 1) < 1e-13
        assert np.linalg.norm(m - TILTED) > 0.1
        drift.append(abs(energy(m) - energy(np.array(TILTED))))
    assert drift[1] < 1e-4 * B_K
    assert drift[1] < drift[0] / 3.5, f"energy drift must be of order 2 at least: {drift}"


def test_precession_frequency() -> None:
    spin, t, B_z = junction(alpha=1e-14), 0.2e-9, 0.1
    m = spin.run(0.0, t, m_0=TILTED, B_ext=(0, 0, B_z), increments=still(400)).m[0, 0]
    turned = GAMMA * (B_K * TILTED[2] + B_z) * t
    assert turned > 2 * math.pi
    assert abs(math.remainder(math.atan2(m[1], m[0]) - turned, 2 * math.pi)) < 1e-7 * turned
    assert m[2] == pytest.approx(TILTED[2], abs=1e-12)


@pytest.mark.parametrize("precession", [True, False])
def test_damping_into_the_easy_axis(precession: bool) -> None:
    """Uniaxial: tan(theta) falls exponentially, d(theta)/dt = -damping sin(theta) cos(theta)."""
    spin, theta = junction(), 1.2
    damping, _ = rates(spin)
    t = 2 / damping
    m_0 = (math.sin(theta), 0, math.cos(theta))
    m = spin.run(0.0, t, m_0=m_0, increments=still(2000), precession=precession).m[0, 0]
    assert math.hypot(m[0], m[1]) / m[2] == pytest.approx(math.tan(theta) * math.exp(-2), rel=1e-4)


def test_damping_into_a_field() -> None:
    """Field alone: tan(theta/2) falls exponentially, and the torque acts like a field of a_J / alpha."""
    spin, theta, B_z = junction(K_eff=[1e-3, 1e-3], volume=1e-25), 2.5, 0.5
    rate = spin.alpha * GAMMA * B_z / (1 + spin.alpha**2)
    a_J = HBAR / (2 * E) * 0.6 / (1 + 0.6**2) / (spin.R_P * MS * spin.volume)  # per volt
    for V, B in ((0.0, B_z), (-spin.alpha * B_z / a_J, 0.0)):
        m_0 = (math.sin(theta), 0, math.cos(theta))
        m = spin.run(V, 3 / rate, m_0=m_0, B_ext=(0, 0, B), increments=still(3000)).m[0, 0]
        assert math.tan(math.acos(m[2]) / 2) == pytest.approx(math.tan(theta / 2) * math.exp(-3), rel=1e-3)


@pytest.mark.parametrize("start", ["P", "AP"])
def test_critical_voltage(start: str) -> None:
    """Without noise a small tilt grows just above the critical voltage and decays just below it, hot or cold."""
    spin = heating(R_th=(0.0,), tau_th=(1.0,))  # a rise that stays
    barrier = B_K * MS / 2 * spin.volume
    formula = 4 * E / HBAR * spin.alpha * barrier * spin.R_P * (1 + 0.6**2) / 0.6
    assert spin.V_c0 == pytest.approx(formula, rel=1e-9)
    assert spin.delta == pytest.approx(barrier / (K_B * 300), rel=1e-12)
    sign = 1.0 if start == "P" else -1.0
    m_0 = (math.sin(0.05), 0, sign * math.cos(0.05))
    critical = spin.critical_voltage([300.0, 390.0])
    assert critical[1] < 0.85 * critical[0]
    for factor, ends in ((0.98, 1), (1.02, -1)):
        pulse = spin.run(
            sign * factor * critical, 60e-9, rises=[[0], [90]], m_0=m_0, start=start, increments=still(20000)
        )
        assert (np.sign(pulse.m[:, 0, 2]) == sign * ends).all(), (factor, pulse.m[:, 0])
        assert (np.isfinite(pulse.t_cross[:, 0]) == (ends < 0)).all()


def test_torque_scales_with_efficiency() -> None:
    assert junction(efficiency=0.5).V_c0 == pytest.approx(2 * junction().V_c0)


def test_order_without_noise_is_two() -> None:
    """Motion, heat and the laws that change with it, against the limit of small steps."""
    spin, tilts = heating(), np.linspace(0.3, 2.7, 9)
    m_0 = np.stack([np.sin(tilts), 0 * tilts, np.cos(tilts)], -1)
    course = [spin.run(0.12, 0.4e-9, m_0=m_0, increments=still(n, 9)) for n in (200, 400, 800, 12800)]
    for values in ([pulse.m for pulse in course], [pulse.rises for pulse in course]):
        errors = [float(np.linalg.norm(value - values[-1])) for value in values[:-1]]
        orders = np.log2(np.array(errors[:-1]) / errors[1:])
        assert ((orders > 1.9) & (orders < 2.1)).all(), f"errors {errors}, orders {orders}"
    assert course[-1].rises.sum(-1).min() > 2


# --- heat --------------------------------------------------------------------------------------------------------


def test_every_pole_relaxes_exactly_at_fixed_resistance() -> None:
    spin = junction(R_th=(3e6, 1e6, 2e6), tau_th=(1e-10, 2e-9, 1e-6))
    V, t_pulse = np.array([0.1, 0.2]), 3e-9
    rises = np.array([[0.0, 5.0, 20.0], [8.0, 0.0, 3.0]])
    pulse = spin.run(V, t_pulse, rises=rises, trajectories=70, dt=1e-12)
    steady = np.outer(V**2 / spin.R_P, spin.R_th)
    tensors = [torch.from_numpy(a) for a in (rises, steady, np.full(1, t_pulse), np.array(spin.tau_th))]
    expected = relax(*tensors).numpy()
    assert np.abs(pulse.rises / expected[:, None] - 1).max() < 1e-9


def test_resistance_follows_state_bias_and_temperature() -> None:
    """Long after switching on, the rise of an antiparallel junction solves rise = R_th V^2 G_AP(V, rise)."""
    temps = np.linspace(300, 400, 11)
    curved = {"temps": temps, "tmr": 1.2 - 0.3 * ((temps - 300) / 100) ** 2}
    laws = {name: heating().at(name, temps) for name in ("Ms", "K_eff", "polarisation")}
    spin = heating(**(laws | curved), R_th=(6e5, 1e5), tau_th=(1e-10, 1e-10))
    V = np.array([0.05, 0.3, 0.45])
    down = {"start": "AP", "m_0": (0, 0, -1), "increments": still(4000)}
    rise = np.array([spin.run(v, 4e-9, **down).rises.sum() for v in V])
    tmr = np.interp(300 + rise, temps, curved["tmr"]) / (1 + (V / 0.5) ** 2)
    assert len(set(rise // 10)) == 3  # each on another straight piece of the table
    assert rise == pytest.approx(7e5 * V**2 / (2500 * (1 + tmr)), rel=1e-9)
    level = spin.run(V, 4e-9, m_0=(0, 0, 1), increments=still(4000)).rises[:, 0].sum(-1)
    assert level == pytest.approx(7e5 * V**2 / 2500, rel=1e-9)


def test_warmth_helps_switching() -> None:
    spin = heating(delta=10, R_th=(0.0,), tau_th=(1e-6,))
    p, error = spin.switching_probability(
        np.full(3, 0.5 * spin.V_c0), 4e-9, rises=[[0], [40], [80]], trajectories=2000, precession=False
    )
    assert (np.diff(p) > 5 * np.hypot(error[1:], error[:-1])).all(), p


def test_tables_are_followed_piece_by_piece() -> None:
    """More nodes on the same straight laws change nothing but rounding, while the temperature runs over them."""
    coarse, temps = heating(R_th=(4e7,), tau_th=(1e-9,)), np.linspace(300, 400, 38)
    fine = heating(
        **{name: coarse.at(name, temps) for name in ("Ms", "K_eff", "polarisation", "tmr")},
        temps=temps,
        R_th=(4e7,),
        tau_th=(1e-9,),
    )
    a, b = (spin.run([0.05, 0.07], 3e-9, dt=1e-12, trajectories=40) for spin in (coarse, fine))
    assert a.rises.max() > 30
    assert np.abs(a.m - b.m).max() < 1e-9
    assert np.abs(a.rises - b.rises).max() < 1e-9


# --- order with noise --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("axes", "low", "high"), [((1, 1, 1), 0.4, 0.6), ((1, 0, 0), 0.85, 1.15)])
def test_strong_order(axes: tuple[int, int, int], low: float, high: float) -> None:
    """Theory: 1/2 with noise along three axes, whose rotations do not commute, and 1 along one axis (Ruemelin)."""
    spin, paths, finest = junction(delta=0.5, alpha=0.5), 512, 2048
    t = 2 / (GAMMA * B_K)
    path = np.random.default_rng(0).standard_normal((finest, paths, 3)) * math.sqrt(t / finest) * axes
    fine = spin.run(0.0, t, m_0=TILTED, increments=path).m[0]
    errors = []
    halvings = np.arange(4, 8)
    for k in halvings:
        coarse = path.reshape(finest >> k, 1 << k, paths, 3).sum(1)
        errors.append(np.linalg.norm(spin.run(0.0, t, m_0=TILTED, increments=coarse).m[0] - fine, axis=-1).mean())
    order = np.polyfit(halvings, np.log2(errors), 1)[0]
    assert low < order < high, f"errors {errors}, order {order:.2f}"


def test_weak_order() -> None:
    """Free diffusion on the sphere: the mean of m falls as e^(-2 D t) exactly; theory: order 1."""
    spin, N = junction(K_eff=[1e-6, 1e-6], volume=2e-26, alpha=0.5), 2_000_000
    D = spin.alpha * GAMMA / (1 + spin.alpha**2) * K_B * 300 / (MS * spin.volume)
    errors, steps = [], np.array([8, 16, 32])
    for n in steps:
        m = spin.run(0.0, 0.5 / D, m_0=(0.8, 0, 0.6), dt=0.5 / D / n, trajectories=N).m[0]
        along = m @ [0.8, 0, 0.6]
        errors.append(along.mean() - math.exp(-1))
    noise = along.std() / math.sqrt(N)
    order = -np.polyfit(np.log2(steps), np.log2(np.abs(errors)), 1)[0]
    assert abs(errors[0]) > 5 * noise, f"errors {errors} must be seen above {noise:.1e}"
    assert 0.7 < order < 1.3, f"errors {errors} +- {noise:.1e}, order {order:.2f}"


# --- statistics --------------------------------------------------------------------------------------------------


def test_strength_and_shape_of_the_thermal_field() -> None:
    """One small step turns m = x by gamma' sigma sqrt(1 + alpha^2) times two independent standard normals."""
    spin, dt, N = junction(alpha=0.3), 1e-18, 400_000
    m = spin.run(0.0, dt, m_0=(1, 0, 0), dt=dt, trajectories=N).m[0]
    variance = 2 * 0.3 * K_B * 300 / (GAMMA * MS * spin.volume) * dt
    normals = m[:, 1:] / (GAMMA / (1 + 0.3**2) * math.sqrt(variance * (1 + 0.3**2)))
    assert abs(normals.mean()) < 3 / math.sqrt(2 * N)
    assert abs(normals.var() - 1) < 3 * math.sqrt(2 / (2 * N))
    assert abs(np.corrcoef(normals.T)[0, 1]) < 3 / math.sqrt(N)
    assert kstest(normals.ravel(), "norm").pvalue > 0.0027
    beyond, expected = int((np.abs(normals) > 4).sum()), 2 * N * math.erfc(4 / math.sqrt(2))
    assert abs(beyond - expected) < 3 * math.sqrt(expected)


@pytest.mark.parametrize("delta", [0.3, 5.0, 60.0])
def test_junctions_start_in_boltzmann_distribution(delta: float) -> None:
    spin = junction(delta, K_eff=[B_K * MS / 2] * 2)
    z = np.linspace(0, 1, 20001)
    cumulated = np.append(0, np.cumsum(np.exp(spin.stability(350.0) * (z[1:] ** 2 - 1))))
    for start, sign in (("P", 1), ("AP", -1)):
        m = spin.run(0.0, 1e-20, rises=[[50.0]], start=start, trajectories=4000, increments=still(1, 4000)).m[0]
        assert (sign * m[:, 2] > 0).all()
        assert kstest(m[:, 2] * sign, lambda x: np.interp(x, z, cumulated / cumulated[-1])).pvalue > 0.0027
        assert kstest(np.arctan2(m[:, 1], m[:, 0]), "uniform", (-math.pi, 2 * math.pi)).pvalue > 0.0027


@pytest.mark.parametrize("precession", [True, False])
def test_equilibrium_is_boltzmanns(precession: bool) -> None:
    """From one well into both: m_z is distributed as exp(delta m_z^2 + 2 delta m_z B_z / B_k)."""
    spin, B_z = junction(delta=2.5), 0.05
    t = 10 * spin.tau_0 * math.exp(spin.delta)
    m = spin.run(0.0, t, B_ext=(0, 0, B_z), trajectories=10000, precession=precession, seed=4).m[0]
    z = np.linspace(-1, 1, 20001)
    cumulated = np.cumsum(np.exp(2.5 * (z**2 - 1) + 5 * z * B_z / B_K))
    assert np.abs(np.linalg.norm(m, axis=-1) - 1).max() < 1e-12
    result = kstest(m[:, 2], lambda x: np.interp(x, z, cumulated / cumulated[-1]))
    assert result.pvalue > 0.0027, result


def test_dwell_times() -> None:
    """Exponential, with the mean of the exact first-passage integral; every junction leaves its well."""
    spin, N = junction(delta=5.0), 2500
    _, D = rates(spin)
    expected = mean_passage(5.0, -0.7) / D
    dwell = spin.run(0.0, 10 * expected, trajectories=N, precession=False, threshold=-0.7).t_cross[0]
    assert (dwell < np.inf).mean() > 1 - 10 * math.exp(-10)
    dwell = dwell[dwell < np.inf]
    assert dwell.mean() == pytest.approx(expected, rel=3 / math.sqrt(N) + 0.01)  # 0.01: the accuracy of the step
    late = dwell[dwell > 0.2 * expected] - 0.2 * expected  # after the way itself
    assert kstest(late, "expon", (0, late.mean())).pvalue > 0.0027


@pytest.mark.parametrize("delta", [15.0, 30.0])
def test_attempt_time_is_browns_limit_of_the_exact_dwell(delta: float) -> None:
    """Mean dwell -> tau_0 e^delta (1 + 1/delta + ...) for a high barrier."""
    spin = junction(delta)
    exact = mean_passage(delta, -0.7) / rates(spin)[1]
    assert spin.tau_0 * math.exp(delta) * (1 + 1 / delta) == pytest.approx(exact, rel=4 / delta**2)


DRIVES = np.array([0.0, 0.3, 0.6, 0.9, 1.3])
TIMES = np.array([100.0, 30.0, 6.0, 3.0, 1.5])  # in 1/damping, for probabilities away from 0 and 1


@pytest.mark.parametrize("precession", [True, False])
def test_default_step_meets_the_exact_switching_probability(precession: bool) -> None:
    """Within 3 standard errors and the accuracy of the step, 1 % of the hazard; a sixteenfold step leaves it."""
    spin, N = junction(delta=8.0), 20000
    damping, D = rates(spin)
    for drive, time in zip(DRIVES, TIMES, strict=True):
        exact = switched(8.0, drive, time * D / damping)
        p, error = spin.switching_probability(
            drive * spin.V_c0, time / damping, trajectories=N, precession=precession
        )
        allowed = 0.01 * (1 - exact) * -math.log(1 - exact) + 3 * error[0]
        assert abs(p[0] - exact) < allowed, f"drive {drive}: {p[0]:.4f} for {exact:.4f} +- {error[0]:.4f}"
    V, t = 0.3 * spin.V_c0, 20 / damping
    exact, coarse = switched(8.0, 0.3, 20 * D / damping), 16 * spin.default_step(V, t)
    p, error = spin.switching_probability(V, t, trajectories=N, dt=coarse)
    assert abs(p[0] - exact) > 3 * error[0] + 0.01 * (1 - exact) * -math.log(1 - exact)


def test_precession_does_not_change_the_law_of_m_z() -> None:
    spin, options = heating(delta=8.0), {"rises": [[0.0, 10.0]], "trajectories": 10000}
    V = np.array([0.2, 0.5, 0.8, 1.1, 1.5]) * spin.V_c0
    for t in (0.5e-9, 2e-9):
        p, error = spin.switching_probability(V, t, **options)
        q, other = spin.switching_probability(V, t, precession=False, seed=1, **options)
        assert ((p > 0.001) & (p < 0.999)).sum() >= 2
        assert (np.abs(p - q) < 3 * np.hypot(error, other)).all(), (p, q)
    assert spin.default_step(V, t, precession=False) > 2 * spin.default_step(V, t)


def test_cmtj_agrees() -> None:
    """Slonczewski torque and thermal field of cmtj's Heun solver at fixed temperature, at five voltages."""
    cmtj = pytest.importorskip("cmtj", reason="cmtj (GPL) is an oracle of the tests only")
    spin, N, t, steps = junction(delta=5.0), 300, 2e-9, 2000
    factors = np.array([0.1, 0.25, 0.4, 0.55, 0.7])
    p, error = spin.switching_probability(factors * spin.V_c0, t, m_0=TILTED, dt=t / steps, trajectories=20000)
    constants, mu_0 = cmtj.constants.PhysicalConstants, 4e-7 * math.pi
    try:
        constants.set_gyromagnetic_ratio(GAMMA * mu_0)
        constants.set_magnetic_permeability(mu_0)
        for k, factor in enumerate(factors):
            thickness = 1e-9
            area = spin.volume / thickness
            none = [cmtj.CVector(0, 0, 0)] * 3
            axis = cmtj.CVector(0, 0, 1)
            # mu_0 Ms in tesla; with lambda = 1 its torque is that of P/2 at any angle; beta is the by-product
            layer = cmtj.Layer.createSTTLayer(
                "free",
                axis,
                axis,
                MS * mu_0,
                thickness,
                area,
                none,
                spin.alpha,
                1.0,
                spin.alpha,
                0.6 / (1 + 0.6**2),
            )
            layer.setReferenceLayer(axis)
            other = cmtj.Junction([layer])
            other.setLayerAnisotropyDriver("free", cmtj.constantDriver(B_K * MS / 2))
            other.setLayerCurrentDriver("free", cmtj.constantDriver(-factor * spin.V_c0 / (spin.R_P * area)))
            other.setLayerTemperatureDriver("free", cmtj.constantDriver(300.0))
            other.setLayerSeed("free", k)
            switched = 0
            for _ in range(N):
                other.setLayerMagnetisation("free", cmtj.CVector(*TILTED))
                other.clearLog()
                other.runSimulation(t * (1 + 1e-9), t / steps, t, solverMode=cmtj.SolverMode.Heun)
                switched += other.getLayerMagnetisation("free").z < 0
            q = (switched + 0.5) / (N + 1)
            bound = 3 * math.hypot(error[k], math.sqrt(q * (1 - q) / N))
            assert abs(p[k] - switched / N) < bound, f"{factor} V_c0: {p[k]:.3f}, cmtj {switched / N:.3f}"
    finally:
        constants.resetToDefaults()
    assert p[0] < 0.5 < p[-1]


# --- conduct -----------------------------------------------------------------------------------------------------


def test_a_seed_fixes_the_result_on_any_number_of_threads() -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("needs two threads")
    spin, before = heating(), numba.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 2):
            numba.set_num_threads(threads)
            results.append(spin.run([0.1, 0.2], 1e-10, m_0=TILTED, trajectories=150, seed=7))
    finally:
        numba.set_num_threads(before)
    for result in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], result, strict=True))
    other = spin.run([0.1, 0.2], 1e-10, m_0=TILTED, trajectories=150, seed=8)
    together = np.stack([other.m, results[0].m])[..., 2]
    assert len(np.unique(together)) == together.size  # no two junctions share their noise


def test_global_random_state_and_the_callers_arrays_are_untouched() -> None:
    @numba.njit
    def draw(seed: int) -> float:
        if seed >= 0:
            np.random.seed(seed)  # noqa: NPY002
        return np.random.random()  # noqa: NPY002

    draw(3)
    expected = draw(-1)
    draw(3)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    V, rises, m_0 = np.array([0.1, 0.2]), np.array([[1.0, 2.0]] * 2), np.array(TILTED)
    V.flags.writeable = rises.flags.writeable = m_0.flags.writeable = False
    path = still(3, 5)
    path.flags.writeable = False
    heating().run(V, 1e-11, rises=rises, m_0=m_0, trajectories=3)
    heating().run(V, 1e-11, rises=rises, m_0=m_0, increments=path)
    assert draw(-1) == expected
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_shapes_and_crossing_times() -> None:
    spin = heating()
    pulse = spin.run([0.1, 0.2], 1e-11, trajectories=67, threshold=0.9999)
    assert [a.shape for a in pulse] == [(2, 67, 3), (2, 67, 2), (2, 67)]
    t_cross = pulse.t_cross
    assert (t_cross[(t_cross > 0) & (t_cross < np.inf)] <= 1e-11 * (1 + 1e-9)).all()
    assert (t_cross == 0).any()
    assert spin.run(0.1, 1e-11, m_0=(0, 0, -1), trajectories=2).t_cross.tolist() == [[0.0, 0.0]]


def test_the_binomial_error_is_never_zero() -> None:
    p, error = junction(delta=40).switching_probability([0.0, 0.0], 1e-11, trajectories=99)
    assert p.tolist() == [0.0, 0.0]
    assert error == pytest.approx(math.sqrt(0.005 * 0.995 / 99))
    p, _ = junction(delta=40).switching_probability([0.0], 1e-11, trajectories=9, start="AP")
    assert p.tolist() == [0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"volume": 0.0}, "volume must be positive"),
        ({"alpha": math.nan}, "alpha must be positive"),
        ({"V_h": 0.0}, "V_h must be positive; got 0.0 V"),
        ({"R_th": (1e6, 1e6)}, "one value per thermal pole; got 2 and 1"),
        ({"R_th": (), "tau_th": ()}, "use R_th = (0,)"),
        ({"tau_th": (0.0,)}, "tau_th positive"),
        ({"temps": [300.0, 290.0]}, "ascending"),
        ({"temps": [300.0]}, "two at least"),
        ({"temps": [300.0, 310.0, 330.0]}, "uniformly spaced"),
        ({"Ms": [MS, MS, MS]}, "Ms needs one value per temperature; got (3,) for (2,)"),
        ({"Ms": [MS, -1.0]}, "Ms must be positive at every temperature; got -1 at 400 K"),
        ({"polarisation": [1.0, 0.5]}, "polarisation must be between 0 and 1"),
        ({"tmr": [0.5, -0.1]}, "tmr must be at least 0"),
        ({"K_eff": [math.nan, 1.0]}, "K_eff must be positive"),
        ({"temp_0": 299.0}, "temps must contain temp_0, 299 K; got 300 to 400 K"),
    ],
)
def test_a_junction_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(IPNetError, match=re.escape(message)):
        junction(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"V": math.nan}, "V must be one finite voltage or a list"),
        ({"V": []}, "V must be one finite voltage or a list"),
        ({"V": [[0.1]]}, "V must be one finite voltage or a list"),
        ({"t_pulse": 0.0}, "t_pulse must be positive"),
        ({"rises": [[-1.0, 0.0]]}, "rises must be finite and at least 0 K"),
        ({"rises": [[1.0]] * 3}, "rises must have the shape (1, 2), [n, poles]; got (3, 1)"),
        ({"rises": [[60.0, 41.0]]}, "temperatures must stay within temps, 300 to 400 K; got 401 K"),
        ({"V": 2.0}, "extend the tables, or lower V, t_pulse or R_th"),
        ({"start": "up"}, "start must be 'P' or 'AP'; got 'up'"),
        ({"trajectories": 0}, "dt and trajectories must be positive"),
        ({"dt": -1e-12}, "dt and trajectories must be positive"),
        ({"threshold": 1.0}, "threshold must lie between -1 and 1"),
        ({"m_0": (0, 0, 2)}, "m_0 must be unit vectors"),
        ({"m_0": (0, 1)}, "m_0 must broadcast to (1, 1000, 3); got (2,)"),
        ({"B_ext": (0, 1)}, "B_ext must be three finite components"),
        ({"B_ext": (0.1, 0, 0), "precession": False}, "precession = False needs B_ext along z"),
        ({"increments": np.zeros((5, 3))}, "increments must have the shape [steps, trajectories, 3]; got (5, 3)"),
    ],
)
def test_a_run_that_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(IPNetError, match=re.escape(message)):
        heating().run(**({"V": 0.1, "t_pulse": 1e-10} | arguments))


def test_a_step_out_of_the_tables_is_refused() -> None:
    with pytest.raises(IPNetError, match="within temps"):
        heating().default_step(2.0, 1e-8)
