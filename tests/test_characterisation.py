"""A device in numbers and pictures: against closed forms, against brute force, and whether it fits a task."""

import json
import math
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ipnet.characterisation import Characterisation, characterise, energies, heat_courses, switching_curves
from ipnet.codesign import Match, match
from ipnet.device import card_names, load_device
from ipnet.device.memoryless import Memoryless
from ipnet.device.mtj import MTJ
from ipnet.device_figures import characterisation_figure, match_figure, save_figure
from ipnet.errors import IPNetError
from ipnet.horizon import at_period, kernel, memory_horizon, settled, shortest_period, sweep

DIMENSIONLESS = ("probability", "[")
COLD = {"R_th": (1.6e-3, "K/uW")}  # a junction that heats so little that its answers are linear in the heat


loaded = cache(load_device)  # nothing here changes a device


@cache
def numbers(card: str) -> Characterisation:
    return characterise(loaded(card))


@cache
def fitted(card: str, frames: float) -> Match:
    """At frames as long as the clock period of the card, or at 20 ms for a device that has none."""
    device = loaded(card)
    interval = getattr(device.card.clock, "t_cycle", 20e-3)
    return match(device, interval, frames * interval)


def expectation(p: torch.Tensor) -> torch.Tensor:
    return p


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def is_labelled(figure: Figure) -> bool:
    labels = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    names = (*DIMENSIONLESS, "pulse or cycle")  # the last is a list of names, not a quantity
    return bool(labels) and all(any(name in label for name in names) for label in labels)


# ------------------------------------------------------------------------------------------- kernel and horizon


@pytest.mark.parametrize("clock", [{}, {"operation": "bias", "V_bias": 0.28, "gain": 0.007}])
def test_the_kernel_is_what_an_event_k_cycles_ago_does_to_a_settled_device(clock) -> None:
    device, cycles = load_device("mtj-thermal", **clock), 180
    events = torch.zeros(cycles, 8, dtype=torch.float64)
    for k in range(7):
        events[-1 - k, k] = 1  # run k has its event k cycles before the last; run 7 has none
    state = device.rest(events[0])
    for x in events:
        p, state = device.cycle(device.drive(device.gain * x), state, expectation)
    found, silent = kernel(device, cycles=6), p[7].item()
    assert found.silent == pytest.approx(silent, rel=1e-9)
    assert found.emission == pytest.approx(p[:7].tolist(), rel=1e-9)
    assert found.shift == pytest.approx([logit(answer) - logit(silent) for answer in p[:7].tolist()], rel=1e-6)


def test_the_settled_state_stays_as_it_is() -> None:
    for card in card_names():
        device = loaded(card)
        state = settled(device)
        _, after = device.cycle(device.drive(torch.zeros((), dtype=torch.float64)), state, expectation)
        for part, later in zip(state, after, strict=True):
            assert later.item() == pytest.approx(part.item(), rel=1e-12)


def test_the_kernel_of_one_linear_pole_is_exponential(vary) -> None:
    device = vary("mtj-thermal", **COLD)
    clock, (tau,) = device.card.clock, device.card.parameters.tau_th
    shift = kernel(device, cycles=30).shift
    decay = np.exp(-(np.arange(30)) * clock.t_cycle / tau)
    np.testing.assert_allclose(np.array(shift[1:]) / shift[1], decay, rtol=2e-3)


def test_the_horizon_of_one_linear_pole_is_its_time_constant_at_any_clock(vary) -> None:
    device = vary("mtj-thermal", **COLD)
    (tau,) = device.card.parameters.tau_th
    assert memory_horizon(device).cycles == pytest.approx(device.memory_cycles(), rel=1e-3)
    points = sweep(device)
    assert len(points) == 13
    assert points[0].t_cycle == pytest.approx(140e-9)
    assert points[-1].t_cycle == pytest.approx(10 * tau, rel=2e-3)
    for point in points:
        assert point.detectable_cycles == 0
        if point.t_cycle > 6 * tau:
            assert point.cycles in (0, pytest.approx(tau / point.t_cycle, rel=1e-2))  # the digits run out
        else:
            assert point.seconds == pytest.approx(tau, rel=1e-3)
            assert point.cycles == pytest.approx(tau / point.t_cycle, rel=1e-3)


def test_a_long_horizon_is_extrapolated_and_one_below_double_precision_is_none() -> None:
    device = at_period(loaded("leaky"), 1e-10)
    assert memory_horizon(device, longest=50).cycles == pytest.approx(1e4, rel=1e-3)
    assert memory_horizon(at_period(device, 1e-4)).cycles == 0


def test_the_detectable_age_is_where_the_kernel_crosses_a_tenth_of_a_logit() -> None:
    found = numbers("mtj-thermal")
    age = int(found.horizon.detectable_cycles)
    assert found.kernel.shift[age] >= 0.1 > found.kernel.shift[age + 1]
    assert found.horizon.detectable_seconds == pytest.approx(found.horizon.detectable_cycles * 220e-9)
    weak = memory_horizon(loaded("mtj-thermal"), amplitude=0.3)
    assert (weak.first < 0.1, weak.detectable_cycles) == (True, 0)


def test_without_heat_there_is_no_memory_even_if_the_pulse_itself_switches(vary) -> None:
    device = vary("mtj-thermal", R_th=(0, "K/uW"))
    assert set(kernel(device, cycles=5).shift) == {0.0}
    bias = MTJ(device.card.with_clock(operation="bias", V_bias=0.28, gain=0.007))
    shift = kernel(bias, cycles=5).shift
    assert shift[0] > 0.5
    assert set(shift[1:]) == {0.0}
    assert (memory_horizon(bias).cycles, sweep(bias)) == (0, ())


def test_an_answer_without_logit_is_measured_as_it_is() -> None:
    found = kernel(loaded("memristor-rnnet"), cycles=4)
    assert (found.scale, found.silent) == ("emission", 0.0)
    assert found.shift == found.emission
    held = kernel(load_device("memoryless", V_bias=0.0), cycles=1, amplitude=50.0)
    assert held.scale == "logit"
    assert (held.V_event, held.shift[0] > 30) == (pytest.approx(0.35), True)


def test_the_shortest_period_is_the_time_of_the_pulses() -> None:
    device = loaded("mtj-thermal")
    assert shortest_period(device) == pytest.approx(140e-9, rel=1e-8)
    at_period(device, shortest_period(device))
    with pytest.raises(IPNetError, match="must fit into t_cycle"):
        at_period(device, 139e-9)
    assert shortest_period(loaded("leaky")) == 0
    assert shortest_period(loaded("memoryless")) == 0


def test_another_period_is_a_new_device_and_the_same_as_a_loaded_one() -> None:
    device = loaded("mtj-thermal")
    changed, direct = at_period(device, 500e-9), load_device("mtj-thermal", t_cycle=500e-9)
    assert kernel(changed, cycles=3) == kernel(direct, cycles=3)
    assert device.card.clock.t_cycle == 220e-9
    assert kernel(device, cycles=3).t_cycle == 220e-9


# ------------------------------------------------------------------------------------------- the junction


def test_the_s_curves_are_the_switching_law_and_cross_a_half_at_v_50() -> None:
    device = loaded("mtj-thermal")
    curves = switching_curves(device)
    assert [curve.start for curve in curves] == [0, 10, 20, 50]
    for curve in curves:
        start = (torch.tensor(curve.start, dtype=torch.float64),)

        def p(V: float, start: tuple[torch.Tensor, ...] = start) -> float:
            return device.p_switch(torch.tensor(V, dtype=torch.float64), device.t_probe, start).item()

        assert curve.p[::20] == pytest.approx([p(V) for V in curve.V[::20]], rel=1e-12)
        assert p(curve.V_50) == pytest.approx(0.5, abs=1e-12)
        assert logit(p(curve.V_50 + 1e-3 * curve.slope)) == pytest.approx(1e-3, rel=1e-2)
    assert all(hot.V_50 < cold.V_50 for cold, hot in pairwise(curves))


def test_the_s_curves_stay_in_the_range_of_the_card(vary) -> None:
    device = vary("mtj-thermal", R_th=(0.4, "K/uW"))
    curves = switching_curves(device)
    assert [curve.start for curve in curves] == [0, 10, 20, device.hottest.item()]
    assert curves[-1].start < 50
    assert max(curve.V[-1] for curve in curves) <= device.card.clock.V_max
    bare = switching_curves(vary("mtj-thermal", R_th=(0, "K/uW"), name="bare.toml"))
    assert [curve.start for curve in bare] == [0]


def test_a_kelvin_shifts_the_operating_point_by_so_many_logits() -> None:
    device, found = loaded("mtj-thermal"), numbers("mtj-thermal").junction
    warm = [torch.tensor(found.silent_rise + step, dtype=torch.float64) for step in (-0.01, 0.01)]
    p = [device.p_switch(device.V_probe, device.t_probe, (rise,)).item() for rise in warm]
    assert found.logit_per_kelvin == pytest.approx((logit(p[1]) - logit(p[0])) / 0.02, rel=1e-4)
    assert (found.V_operating, found.width) == (0.285, pytest.approx(10e-9))


def test_heat_follows_the_exponentials_of_each_pole(vary) -> None:
    device = vary("mtj-thermal", R_th=([0.5, 1.0], "K/uW"), tau_th=([20, 1000], "ns"))
    for course in heat_courses(device, [0.1, 0.3]):
        time, power = np.array(course.time), course.V**2 / 2530
        for R, tau, pole in zip((0.5e6, 1e6), (20e-9, 1e-6), course.poles, strict=True):
            during = R * power * -np.expm1(-np.minimum(time, 100e-9) / tau)
            after = np.exp(-np.maximum(time - 100e-9, 0) / tau)
            np.testing.assert_allclose(pole, during * after, rtol=1e-9)
        np.testing.assert_allclose(course.rise, np.sum(course.poles, 0), rtol=1e-12)
    found = numbers("mtj-thermal").junction
    assert [course.V for course in found.heating] == pytest.approx([0.15, 0.3, 0.4])
    assert max(found.heating[1].rise) == pytest.approx(found.event_rise, rel=1e-3)


def test_the_energies_are_v_squared_over_r_times_t() -> None:
    device, found = loaded("mtj-thermal"), numbers("mtj-thermal")
    energy, parameters = found.junction.energy, device.card.parameters

    def switched(V: float) -> float:
        return parameters.R_P * (1 + parameters.tmr_0 / (1 + (V / parameters.V_h) ** 2))

    assert energy.drive_silent == 0
    assert energy.drive_event == pytest.approx(0.3**2 / 2530 * 100e-9)
    assert energy.probe == pytest.approx(0.285**2 / 2530 * 10e-9)
    assert energy.read == pytest.approx(0.05**2 / 2530 * 10e-9)
    assert energy.read_switched == pytest.approx(0.05**2 / switched(0.05) * 10e-9)
    assert energy.reset == pytest.approx(0.4**2 / switched(0.4) * 20e-9)
    assert energy.cycle_silent == pytest.approx(energy.probe + energy.read)
    assert energy.cycle_event == pytest.approx(energy.drive_event + energy.cycle_silent)
    extra = energy.reset + energy.read_switched - energy.read
    assert energy.cycle_switched == pytest.approx(energy.cycle_event + extra)
    p_silent, p_event = found.kernel.silent, found.kernel.emission[0]
    average = 0.9 * (energy.cycle_silent + p_silent * extra) + 0.1 * (energy.cycle_event + p_event * extra)
    assert energy.average == pytest.approx(average, rel=1e-9)
    assert energies(device, event_rate=0.0).average == pytest.approx(energy.cycle_silent + p_silent * extra)


# ------------------------------------------------------------------------------------------- every card


@pytest.mark.parametrize("card", card_names())
def test_every_card_gives_numbers_for_json_and_figures_with_units(card: str) -> None:
    found, fit = numbers(card), fitted(card, 2.0)
    json.dumps([asdict(found), asdict(fit)], allow_nan=False)
    figure = characterisation_figure(found)
    thermal, remembers = found.device == "mtj", bool(found.state_names)
    assert len(figure.axes) == (6 if thermal else 4 if remembers else 1)
    assert is_labelled(figure)
    assert fit.verdict == ("native" if remembers else "no")
    if remembers:
        assert is_labelled(match_figure(fit))
    else:
        with pytest.raises(IPNetError, match="no memory"):
            match_figure(fit)


def test_equal_figures_are_equal_bytes_and_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    for kind in ("svg", "png", "pdf"):
        for name in ("a", "b"):
            save_figure(characterisation_figure(numbers("memoryless")), tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    with pytest.raises(IPNetError, match=r"png, svg, pdf; got 'a\.jpg'"):
        save_figure(characterisation_figure(numbers("memoryless")), tmp_path / "a.jpg")


# ------------------------------------------------------------------------------------------- match


@pytest.mark.parametrize(("frames", "interval"), [(3, 1e-6), (6, 20e-3)])
def test_the_least_compression_is_the_analytic_one(vary, frames: int, interval: float) -> None:
    device = vary("mtj-thermal", **COLD)
    (tau,) = device.card.parameters.tau_th
    found = match(device, interval, frames * interval)
    assert found.verdict == "compressed"
    assert found.t_cycle == pytest.approx(tau / frames, rel=2e-3)
    assert found.compression == pytest.approx(interval * frames / tau, rel=2e-3)
    assert found.least_compression == found.compression
    assert found.reached == pytest.approx(frames, rel=1e-3)
    assert found.poles == (pytest.approx(tau / interval),)


def test_the_suggested_junctions_fit_once_they_are_made(write_card) -> None:
    found = match(loaded("mtj-thermal"), 1e-6, 3e-6)
    assert found.verdict == "compressed"
    assert [(cure.keep, cure.compression, cure.valid) for cure in found.cures] == [
        ("R_th", 1, True),
        ("C_th", 1, True),
    ]
    for cure in found.cures:
        values = {"tau_th": ([cure.tau_th], "s"), "R_th": ([cure.R_th], "K/W")}
        made = load_device(write_card("mtj-thermal", **values))
        assert made.card.parameters.C_th[0] == pytest.approx(cure.C_th)
        assert made.hottest.item() == pytest.approx(cure.steady_rise)
        fit = match(made, 1e-6, 3e-6)
        assert fit.verdict == "native"
        assert fit.reached == pytest.approx(3, rel=1e-3)
        assert fit.signal.shift == pytest.approx(cure.signal.shift, rel=1e-3)
        assert fit.cures == ()


def test_a_suggestion_for_the_fastest_clock_fits_there(write_card) -> None:
    found = match(loaded("mtj-thermal"), 20e-3, 0.5)
    assert found.verdict == "no"
    assert found.t_cycle == pytest.approx(140e-9)
    assert [cure.valid for cure in found.cures] == [True, False, True, True]
    assert "temp_C" in found.cures[1].reason
    assert found.cures[1].steady_rise > 1e6
    cure = found.cures[3]
    values = {"tau_th": ([cure.tau_th], "s"), "R_th": ([cure.R_th], "K/W")}
    fit = match(load_device(write_card("mtj-thermal", **values)), 20e-3, 0.5, compression=cure.compression)
    assert fit.verdict == "compressed"
    assert fit.reached == pytest.approx(25, rel=2e-3)
    text = " ".join(found.sentences)
    for part in ("25 frames of 20 ms", "143,000 times as fast", "140 ns", "slowest has tau_th = 1 us", "d' = "):
        assert part in text


def test_the_verdict_turns_at_the_boundary(vary) -> None:
    memristor = loaded("memristor-rnnet")  # tau = 50 ms
    assert match(memristor, 10e-3, 49.9e-3).verdict == "native"
    assert match(memristor, 10e-3, 50.2e-3).verdict == "compressed"
    device = vary("mtj-thermal", **COLD)
    longest = memory_horizon(at_period(device, 140e-9)).cycles
    assert longest == pytest.approx(1000 / 140, rel=1e-3)
    assert match(device, 1e-3, 0.995e-3 * longest).verdict == "compressed"
    assert match(device, 1e-3, 1.005e-3 * longest).verdict == "no"


def test_a_given_compression_is_the_only_one_that_counts() -> None:
    memristor = loaded("memristor-rnnet")
    assert match(memristor, 20e-3, 0.5, compression=12).verdict == "compressed"
    found = match(memristor, 20e-3, 0.5, compression=5)
    assert (found.verdict, found.t_cycle) == ("no", 4e-3)
    assert found.reached == pytest.approx(12.5, rel=1e-3)
    assert found.least_compression == pytest.approx(10, rel=1e-3)
    assert any("10 times as fast or faster" in sentence for sentence in found.sentences)
    assert match(memristor, 20e-3, 40e-3, compression=1).verdict == "native"


def test_a_memory_that_is_much_too_long_is_called_so() -> None:
    found = fitted("memristor-rnnet", 1.0)
    assert found.verdict == "native"
    assert any("times as long as needed" in sentence for sentence in found.sentences)


def test_the_signal_is_that_of_two_binomials() -> None:
    found = fitted("mtj-thermal", 2.0)
    p, q = found.kernel.silent, found.kernel.emission[2]
    d_prime = (q - p) / math.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    assert found.signal.shift == found.kernel.shift[2]
    assert found.signal.event == pytest.approx(q, rel=1e-12)
    assert found.signal.d_prime == pytest.approx(d_prime, rel=1e-9)
    n = found.signal.devices
    assert math.sqrt(n) * d_prime >= 1 > math.sqrt(n - 1) * d_prime


def test_a_pole_that_is_slow_enough_is_named(vary) -> None:
    device = vary("mtj-thermal", R_th=([0.5, 1.0], "K/uW"), tau_th=([0.02, 5], "us"))
    found = match(device, 0.5e-6, 4e-6)
    assert found.verdict == "native"
    assert found.poles == (pytest.approx(0.04), pytest.approx(10))
    assert "Pole 2 of 2 is slow enough natively." in found.sentences


def test_devices_without_memory_are_told_so(vary) -> None:
    for device in (loaded("memoryless"), vary("mtj-thermal", R_th=(0, "K/uW"))):
        found = match(device, 20e-3, 0.5)
        assert (found.verdict, found.t_cycle, found.signal, found.cures) == ("no", None, None, ())
        assert "has no memory" in found.sentences[-1]


def test_a_device_without_clock_period_follows_the_frames() -> None:
    class Fading(Memoryless):
        state_names = ("trace [V]",)

        def cycle(self, V, state, emit):
            answer, _ = super().cycle(V + state[0], (), emit)
            return answer, (0.9 * state[0] + 1e-5 * (self.V_bias < V),)

        def memory_cycles(self) -> float:
            return -1 / math.log(0.9)

    device = Fading(loaded("memoryless").card)
    assert memory_horizon(device).cycles == pytest.approx(9.49, rel=1e-2)
    assert sweep(device) == ()
    assert [match(device, 1.0, frames).verdict for frames in (9.0, 10.0)] == ["native", "no"]
    assert len(characterisation_figure(characterise(device)).axes) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_interval": 0.0}, "frame interval must be a positive time; got 0 s"),
        ({"frame_interval": -1e-3}, "frame interval must be a positive time; got -1 ms"),
        ({"horizon": math.inf}, "horizon must be a positive time"),
        ({"horizon": math.nan}, "horizon must be a positive time"),
        ({"horizon": 10e-3}, "at least one frame interval; got 10 ms in frames of 20 ms"),
        ({"frame_interval": 100e-9}, "not be shorter than the pulses of a cycle, 140 ns"),
        ({"compression": 0.5}, "compression must be at least 1"),
        ({"compression": 1e6}, r"lower the compression to 1\.429e\+05"),
        ({"amplitude": 0.0}, "amplitude must be positive"),
    ],
)
def test_what_cannot_be_asked_is_refused(options, message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        match(loaded("mtj-thermal"), **{"frame_interval": 20e-3, "horizon": 0.5, **options})


def test_an_event_rate_is_a_probability() -> None:
    with pytest.raises(IPNetError, match="event_rate must lie in"):
        energies(loaded("mtj-thermal"), event_rate=1.5)
