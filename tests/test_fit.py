"""Fits: intervals that hold what they promise, gross errors named, and no value that the data do not contain."""

import copy
import math
import resource
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.stats import binom, kstest

from ipnet.cards import CardFile, Entry, format_card, read_card_file
from ipnet.device import card_names, load_device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.fit import Fit, fit, fitted_card, install, load_junction, logarithms, parameter_names
from ipnet.fit_figure import fit_figure
from ipnet.likelihood import Law as _Law
from ipnet.measurement import Measurements, log_hazard, parse_measurements, read_measurements
from ipnet.physics import FINE, quadrature
from ipnet.simulated_measurement import format_measurements, plan, simulate
from ipnet.surrogate import cloglog

BASE = load_junction("mtj-thermal")
HEAT: dict[str, Any] = {"V_cond": 0.4, "t_cond": 5e-7}
FULL: dict[str, Any] = HEAT | {
    "delays": [1e-7, 3e-7, 1e-6, 3e-6],
    "ambients": [300, 340],
    "widths": [1e-7, 1e-6],
}


def junction(base: MTJ, *factors: float) -> MTJ:
    """A junction whose parameters are those of another times factors, in the order of `parameter_names`."""
    changed = copy.deepcopy(base)
    install(changed, logarithms(base) + np.log(factors))
    return changed


def measure(truth: MTJ = BASE, seed: int = 0, trials: int = 500, **design: Any) -> Measurements:
    return simulate(truth, plan(truth, **(FULL | design)), trials, seed)


def change(rows: Measurements, column: str, row: Any, value: Any) -> Measurements:
    columns = {key: part.copy() for key, part in rows.columns.items()}
    columns[column][row] = value
    return replace(rows, columns=columns)


@cache
def clean() -> Fit:
    return fit(measure(seed=1), BASE)


def covered(found: Fit, truth: MTJ) -> dict[str, bool]:
    values = np.exp(logarithms(truth))
    known = dict(zip(parameter_names(truth), values, strict=True))
    return {name: each.low <= known[name] <= each.high for name, each in found.estimates.items()}


@cache
def recoveries() -> tuple[dict[str, list[bool]], list[float], int]:
    """200 measurements of four junctions: which intervals hold the truth, p-values, and the number of warnings."""
    ap = load_device("mtj-thermal", rest_state="AP")
    assert isinstance(ap, MTJ)
    designs: list[tuple[MTJ, MTJ, dict[str, Any]]] = [
        (BASE, junction(BASE, 1, 1, 1, 1, 1), {}),
        (BASE, junction(BASE, 1.3, 0.8, 0.8, 0.6, 0.3), {"delays": [3e-8, 1e-7, 3e-7, 1e-6]}),
        (BASE, junction(BASE, 0.7, 1.1, 1.3, 1.5, 2), {"delays": [3e-7, 1e-6, 3e-6, 1e-5], "t_cond": 2e-6}),
        (ap, junction(ap, 1.1, 0.9, 1.2, 1.6, 0.7), {"ambients": [310, 360], "t_cond": 1e-6}),
    ]
    held, p_values, warnings = dict[str, list[bool]](), list[float](), 0
    for number, (base, truth, design) in enumerate(designs):
        conditions = plan(truth, **(FULL | design))
        for seed in range(50):
            found = fit(simulate(truth, conditions, 300, 1000 * number + seed), base)
            for name, inside in covered(found, truth).items():
                held.setdefault(name.removesuffix("_AP"), []).append(inside)
            p_values.append(found.goodness.p_value)
            warnings += len(found.warnings) + len(found.quarantined) + len(found.held)
    return held, p_values, warnings


@pytest.mark.parametrize("name", ["delta", "V_c0", "n_K", "R_th", "tau_th"])
def test_the_intervals_hold_the_truth_in_95_of_100_measurements(name: str) -> None:
    inside = recoveries()[0][name]
    assert len(inside) == 200
    assert 0.90 <= np.mean(inside) <= 0.99


def test_true_laws_fit_and_nothing_is_left_out_or_doubted() -> None:
    _, p_values, warnings = recoveries()
    assert kstest(p_values, "uniform").pvalue > 1e-3
    assert 0.42 < np.mean(p_values) < 0.58
    assert warnings == 0


def test_p_values_hold_for_few_trials_too() -> None:
    conditions = plan(BASE, **(FULL | {"delays": [], "points": 12}))
    found = [fit(simulate(BASE, conditions, 6, seed), BASE).goodness for seed in range(60)]
    assert kstest([each.p_value for each in found], "uniform").pvalue > 1e-3
    assert np.mean([each.overdispersion for each in found]) == pytest.approx(1, abs=0.05)


def test_two_poles_are_recovered_from_a_card_with_one(write_card: Callable[..., Path]) -> None:
    truth = load_junction(write_card("mtj-thermal", R_th=([0.8, 1.2], "K/uW"), tau_th=([0.05, 1.5], "us")))
    delays = [1e-8, 3e-8, 6e-8, 1e-7, 2e-7, 3e-7, 1e-6, 3e-6]
    conditions = plan(truth, **(FULL | {"delays": delays, "widths": [2e-8, 1e-7, 1e-6]}))
    inside = []
    for seed in range(8):
        found = fit(simulate(truth, conditions, 2000, seed), BASE, poles=2)
        assert list(found.estimates) == ["delta", "V_c0", "n_K", "R_th[1]", "R_th[2]", "tau_th[1]", "tau_th[2]"]
        assert found.estimates["tau_th[1]"].value < found.estimates["tau_th[2]"].value
        inside += covered(found, truth).values()
    assert np.mean(inside) >= 0.85  # of 56 intervals that are correlated by measurement
    assert found.goodness.p_value > 1e-4
    assert fit(simulate(truth, conditions, 2000, 0), BASE).goodness.p_value < 1e-12


def likelihood(rows: Measurements, logs: np.ndarray) -> float:
    """-2 ln L from scipy's binomial distribution and 64 nodes."""
    device = copy.deepcopy(BASE)
    install(device, logs)
    p = cloglog(log_hazard(device, rows.conditions(device), FINE)).numpy()
    return float(-2 * binom.logpmf(rows["switches"], rows["trials"], p).sum())


def test_the_estimates_are_the_maximum_and_the_interval_ends_those_of_the_profile() -> None:
    found = clean()
    best = np.log([each.value for each in found.estimates.values()])
    lowest = likelihood(found.rows, best)
    sd = np.array([math.log(each.high / each.low) / 3.92 for each in found.estimates.values()])
    directions = np.linalg.cholesky(found.correlation) * sd[:, None]

    def profile(j: int | None, end: float) -> float:
        def cost(x: np.ndarray) -> float:
            logs = best + directions @ x
            if j is not None:
                logs[j] = math.log(end)
            return likelihood(found.rows, logs)

        return float(minimize(cost, np.zeros(5), method="BFGS", options={"gtol": 1e-3}).fun)

    assert profile(None, 0) == pytest.approx(lowest, abs=2e-3)
    for j, name in ((1, "V_c0"), (3, "R_th")):
        for end in (found.estimates[name].low, found.estimates[name].high):
            assert profile(j, end) - lowest == pytest.approx(3.8415, abs=0.03), (name, end)


def test_derivatives_are_exact_to_a_millionth() -> None:
    rows, logs = measure(), logarithms(BASE)
    law = _Law(copy.deepcopy(BASE), rows, quadrature(6, 1))
    _, slopes = law.jacobian(logs[None], np.arange(5))
    device = copy.deepcopy(BASE)

    def eta(values: torch.Tensor) -> torch.Tensor:
        device.delta, device.V_c0, device.n_K = values[:3].exp()
        device.R_th, device.tau_th = values[3:4].exp(), values[4:].exp()
        return log_hazard(device, rows.conditions(device), quadrature(6, 1))

    for j, direction in enumerate(torch.eye(5, dtype=torch.float64)):
        exact = torch.func.jvp(eta, (torch.from_numpy(logs),), (direction,))[1].numpy()
        np.testing.assert_allclose(slopes[0, j], exact, rtol=0, atol=1e-6 * np.abs(exact).max())


@pytest.mark.parametrize("seed", range(4))
def test_a_base_card_a_factor_3_off_leads_to_the_same_estimates(seed: int) -> None:
    off = junction(BASE, *3.0 ** np.random.default_rng(seed).choice([-1, 1], 5))
    found = fit(measure(seed=1), off)
    assert found.held == ()
    for name, each in clean().estimates.items():
        width = math.log(each.high / each.low)
        assert math.log(found.estimates[name].value / each.value) == pytest.approx(0, abs=0.01 * width)
        assert math.log(found.estimates[name].high / each.high) == pytest.approx(0, abs=0.02 * width)


@pytest.mark.parametrize("seed", range(3))
def test_5_percent_gross_errors_are_named_and_change_nothing(seed: int) -> None:
    rows = measure(seed=seed, points=9)
    clear = np.flatnonzero(np.abs(rows["switches"] / rows["trials"] - 0.5) > 0.15)
    wrong = np.random.default_rng(seed).choice(clear, round(0.05 * len(rows)), replace=False)
    spoilt = rows
    for kind, row in enumerate(wrong):
        trials, switches, V = (rows[key][row] for key in ("trials", "switches", "V"))
        column, value = [
            ("switches", trials - switches),
            ("V", V / 10),
            ("t_pulse", 10 * rows["t_pulse"][row]),
            ("V", 0.4),  # as if exchanged with V_cond
            ("switches", 0.0 if switches > trials / 2 else trials),
        ][kind % 5]
        spoilt = change(spoilt, column, row, value)
    found, clean_fit = fit(spoilt, BASE), fit(rows, BASE)
    assert [row.line for row in found.quarantined] == sorted(rows.lines[wrong].tolist())
    assert sorted(found.rejected.lines) == sorted(rows.lines[wrong])
    assert all(each.reason.startswith("switches must be near ") for each in found.quarantined)
    assert len(found.rows) == len(found.p) == len(found.residuals) == len(rows) - len(wrong)
    for name, each in clean_fit.estimates.items():
        assert each.low < found.estimates[name].value < each.high, name


def test_rows_that_could_not_be_read_stay_in_the_list() -> None:
    lines = format_measurements(measure(seed=1)).splitlines()
    likely = int(np.argmax(clean().p > 0.9)) + 1  # the header is line 1
    lines[40] = lines[40].replace(",500,", ",fifty,")
    lines[likely] = lines[likely].rsplit(",", 1)[0] + ",30"
    found = fit(parse_measurements("\n".join(lines), BASE, "two.csv"), BASE)
    assert [row.line for row in found.quarantined] == sorted([41, likely + 1])
    assert "t_cond must be a finite number; got 'fifty'" in " ".join(map(str, found.quarantined))
    assert len(found.rows) == len(lines) - 3


def test_a_law_that_contradicts_many_rows_loses_none_of_them() -> None:
    rows = measure(seed=2)
    some = np.arange(0, len(rows), 6)
    found = fit(change(rows, "switches", some, (rows["trials"] - rows["switches"])[some]), BASE)
    assert (len(found.rows), found.quarantined) == (len(rows), ())
    assert found.goodness.p_value < 1e-12
    assert any(text.startswith("The law does not fit (p = ") for text in found.warnings)


def test_a_wrong_law_is_found_out(write_card: Callable[..., Path]) -> None:
    curved = load_junction(write_card("mtj-thermal", exponent=(2, "1"), V_c0=(0.42, "V"), V_c0_AP=(0.36, "V")))
    rows = measure(curved, seed=0, trials=5000, V_cond=0.35)
    right, wrong = fit(rows, curved), fit(rows, BASE)
    assert right.goodness.p_value > 1e-3
    assert right.warnings == ()
    assert wrong.goodness.p_value < 1e-6
    assert any("try other poles, or another exponent" in text for text in wrong.warnings)


def test_overdispersed_counts_are_reported() -> None:
    rows = measure(seed=0)
    p = cloglog(log_hazard(BASE, rows.conditions(BASE))).numpy()
    generator = np.random.default_rng(0)
    drifting = generator.beta(p * 120, (1 - p) * 120)
    found = fit(change(rows, "switches", slice(None), generator.binomial(500, drifting)), BASE)
    assert found.goodness.overdispersion > 2.5
    assert found.goodness.p_value < 1e-6


LACKS = {
    "conditioning": (
        {"delays": []},
        ("n_K",),
        ("R_th", "tau_th"),
        "No conditioning pulse heats the junction; R_th = 1.6 K/uW, tau_th = 1 us of the base card: measure "
        "S-curves at several delays after a conditioning pulse.",
    ),
    "a second ambient temperature": (
        {"ambients": [300]},
        ("R_th", "tau_th"),
        ("n_K",),
        "This data cannot separate R_th from n_K (dV_c0/dtemp); n_K = 2.2 of the base card: measure S-curves at "
        "two or more ambient temperatures, 5 K apart or more.",
    ),
    "ambient temperatures that differ": (
        {"ambients": [300, 302]},
        ("R_th", "tau_th"),
        ("n_K",),
        "This data cannot separate R_th from n_K (dV_c0/dtemp)",
    ),
    "heat and ambient temperatures": (
        {"delays": [], "ambients": [300]},
        ("delta", "V_c0"),
        ("n_K", "R_th", "tau_th"),
        "This data cannot determine n_K (dV_c0/dtemp)",
    ),
    "delays within tau_th": (
        {"delays": [5e-6, 6e-6], "t_cond": 3e-7},
        ("n_K",),
        (),
        "The delays, 5 us to 6 us, ",
    ),
    "any heat that is left": (
        {"delays": [5e-6, 1e-5], "t_cond": 3e-7, "trials": 60},
        ("n_K",),
        ("tau_th",),
        "The delays, 5 us to 10 us, cannot determine tau_th; tau_th = 1 us of the base card: measure more pulses "
        "at delays from a third of tau_th to three times tau_th, after more heat.",
    ),
    "short delays only": (
        {"delays": [1e-8, 2e-8], "t_cond": 3e-7},
        ("n_K",),
        (),
        "The delays, 10 ns to 20 ns, ",
    ),
    "a second width": (
        {"widths": [1e-7]},
        ("R_th", "tau_th", "n_K"),
        (),
        "All pulses last 100 ns, the law of the width is untested: measure a second width.",
    ),
}


@pytest.mark.parametrize("lack", LACKS)
def test_what_the_data_lack_is_held_and_said(lack: str) -> None:
    design, free, held, sentence = LACKS[lack]
    found = fit(measure(seed=1, **design), BASE)
    assert any(text.startswith(sentence) for text in found.warnings), found.warnings
    assert not any(text.startswith(sentence) for text in clean().warnings)
    assert set(free) <= set(found.estimates)
    assert set(held) <= set(found.held)
    assert set(found.estimates) | set(found.held) == set(parameter_names(BASE))
    for name, value in zip(parameter_names(BASE), np.exp(logarithms(found.device)), strict=True):
        if name in found.held:
            assert value == pytest.approx(float(np.exp(logarithms(BASE))[parameter_names(BASE).index(name)]))


def test_the_full_design_raises_no_warning() -> None:
    assert clean().warnings == ()
    assert clean().held == ()
    assert [each.given for each in clean().estimates.values()] == [""] * 5
    assert clean().notes[0].startswith("tau_0 = 1 ns and exponent = 1 are those of the base card; a tenth of that")


def test_the_interval_of_the_thermal_resistance_is_conditional_on_a_held_exponent() -> None:
    true, false = (fit(measure(seed=1, ambients=[300]), junction(BASE, 1, 1, n_K, 1, 1)) for n_K in (1, 1.5))
    estimate = true.estimates["R_th"]
    assert estimate.given == "for n_K = 2.2"
    assert estimate.interval.endswith("K/uW] for n_K = 2.2")
    assert estimate.low < 1.6e6 < estimate.high
    assert false.estimates["R_th"].high < true.estimates["R_th"].value


def test_the_note_says_what_tau_0_does() -> None:
    rows = measure(seed=1)
    faster = junction(BASE, 1, 1, 1, 1, 1)
    faster.tau_0 = BASE.tau_0 / 10
    other = fit(rows, faster).estimates
    said = clean().notes[0].rsplit("would make delta = ")[1]
    assert float(said.split(" and ")[0]) == pytest.approx(other["delta"].value, rel=3e-3)
    assert float(said.split("V_c0 = ")[1].split(" mV")[0]) == pytest.approx(1e3 * other["V_c0"].value, rel=1e-2)


def test_saturated_probabilities_determine_nothing_but_where_the_step_is() -> None:
    rows = measure(seed=0)
    step = np.where(rows["V"] > 0.27, rows["trials"], 0.0)
    cold = rows["V_cond"] == 0
    found = fit(change(rows, "switches", slice(None), step).take(cold & (rows["ambient"] == 300)), BASE)
    assert "delta" in found.held
    assert any(
        text.startswith("Saturated probabilities or a single voltage do not determine delta;")
        for text in found.warnings
    )
    assert any(text.startswith("Only 0% of the rows lie between 0 and 100 %") for text in found.warnings)
    with pytest.raises(
        IPNetError, match=r"must have rows at which 5 to 95 % .*: measure several voltages there\."
    ):
        fit(change(rows, "switches", slice(None), 0.0), BASE)


def test_a_few_heated_rows_among_many_are_found_from_a_card_without_heat() -> None:
    conditions = plan(BASE, **(FULL | {"delays": [1e-7, 1e-6]}))
    cold, warm = (np.flatnonzero(mask) for mask in (conditions["V_cond"] == 0, conditions["V_cond"] > 0))
    order = np.concatenate([np.tile(cold, 60), warm])
    rows = simulate(BASE, {key: part[order] for key, part in conditions.items()}, 500, seed=1)
    cool = copy.deepcopy(BASE)
    cool.R_th = 0 * BASE.R_th
    found = fit(rows, cool)
    assert found.held == ()
    assert found.estimates["R_th"].low < 1.6e6 < found.estimates["R_th"].high
    assert found.estimates["R_th"].base == 0


def test_a_loose_value_is_not_held_where_the_data_contradict_the_base_card() -> None:
    rows = measure(seed=0, trials=20, delays=[2e-6, 4e-6], t_cond=3e-7)
    cool = fit(rows, junction(BASE, 1, 1, 1, 0.1, 1))
    assert "R_th" in fit(rows, BASE).held
    assert "R_th" not in cool.held
    assert 0.16e6 < cool.estimates["R_th"].low < 1.6e6 * 1.3
    assert cool.quarantined == ()


def test_an_interval_that_the_data_leave_open_says_so() -> None:
    found = fit(measure(seed=0, delays=[5e-6, 1e-5], t_cond=3e-7), BASE)
    tau_th = found.estimates["tau_th"]
    assert tau_th.is_open
    assert tau_th.low == 0
    assert "[0 (open), " in str(tau_th)
    assert any(text.startswith("The data bound tau_th on one side only") for text in found.warnings)
    assert "range" not in format_card(fitted_card(found, "open")).split("\ntau_th")[1].splitlines()[0]


def test_more_poles_than_the_data_tell_apart_are_not_fitted() -> None:
    rows = measure(seed=3)
    found = fit(rows, BASE, poles=2)
    assert found.warnings[0].startswith("The data do not tell 2 thermal poles apart, 1 is fitted")
    assert {name: each.value for name, each in found.estimates.items()} == {
        name: each.value for name, each in fit(rows, BASE).estimates.items()
    }
    with pytest.raises(IPNetError, match=r"poles must be 1 or 2, or as many as card 'mtj-thermal' has; got 3"):
        fit(rows, BASE, poles=3)


def test_resistances_that_were_read_are_those_of_the_card_and_heat_follows(tmp_path: Path) -> None:
    rows = measure(seed=1)
    reads = np.random.default_rng(0).normal([[1000], [2100]], [[5], [9]], (2, len(rows)))
    both = change(change(rows, "R_P", slice(None), reads[0]), "R_AP", slice(None), reads[1])
    found = fit(both, BASE)
    entry = fitted_card(found, "read").parameters["R_P"]
    mean, error = reads[0].mean(), reads[0].std(ddof=1) / len(rows) ** 0.5
    assert entry.value == pytest.approx(mean, rel=1e-5)
    assert entry.range == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), rel=1e-5)
    assert f"mean of {len(rows)} reads, standard error" in str(entry.source)
    ratio = found.estimates["R_th"].value / clean().estimates["R_th"].value
    assert ratio == pytest.approx(mean / 2530, rel=1e-3)
    assert not any("was not read" in note for note in found.notes)
    cold = fit(both.take(rows["V_cond"] == 0), BASE)
    assert float(cold.device.R_th) == pytest.approx(1.6e6 * cold.rows["R_P"].mean() / 2530, rel=1e-5)
    assert "R_th" in cold.held
    alone = fit(change(rows, "R_P", slice(None), 1000.0), BASE).base.parameters["R_AP"]
    assert alone.value == pytest.approx(1000 * 5667 / 2530, rel=1e-5)
    assert alone.assumed == "the TMR of card 'mtj-thermal'"
    with pytest.raises(IPNetError, match="R_AP must exceed R_P"):
        fit(change(both, "R_AP", slice(None), 900.0), BASE)


def test_the_fitted_card_carries_values_intervals_and_sources(tmp_path: Path) -> None:
    found, base = clean(), read_card_file("mtj-thermal")
    path = tmp_path / "fitted.toml"
    path.write_text(format_card(fitted_card(found, "fitted")), "utf-8")
    file, parameters = read_card_file(path), load_junction(path).card.parameters
    assert file == fitted_card(found, "fitted")
    for name, each in found.estimates.items():
        value = getattr(parameters, name)
        assert value == pytest.approx((each.value,) if name.endswith("_th") else each.value, rel=1e-5)
        entry = file.parameters[name]
        start = f"fitted to simulated (sha256 {found.rows.digest}, 84 rows, 42000 trials), 95 % interval ["
        assert str(entry.source).startswith(start)
        assert entry.unit == base.parameters[name].unit
        assert entry.range is not None
        scale = (entry.value[0] if isinstance(entry.value, tuple) else entry.value) / each.value
        assert entry.range == pytest.approx((each.low * scale, each.high * scale), rel=1e-5)
    assert parameters.delta_AP == pytest.approx(parameters.delta, rel=1e-5)
    assert "in the ratio to V_c0" in str(file.parameters["V_c0_AP"].assumed)
    for key in set(base.parameters) - {*found.estimates, "delta_AP", "V_c0_AP"}:
        assert file.parameters[key] == base.parameters[key]
    assert (file.clock, file.variation) == (base.clock, base.variation)
    assert f"p = {found.goodness.p_value:.2g}" in file.description


@pytest.mark.parametrize("state", ["P", "AP"])
def test_the_other_state_keeps_its_ratio(state: str, write_card: Callable[..., Path]) -> None:
    path = write_card("mtj-thermal", V_c0_AP=(0.26, "V"), rest_state=f'"{state}"')
    base = load_junction(path)
    found = fit(measure(base, seed=0), base)
    end, other, true = ("_AP", "", 0.26) if base.resting else ("", "_AP", 0.3189)
    assert list(found.estimates) == [f"delta{end}", f"V_c0{end}", "n_K", "R_th", "tau_th"]
    estimate = found.estimates[f"V_c0{end}"]
    assert estimate.low < true < estimate.high
    card = fitted_card(found, "other").parameters
    kept = estimate.value / true * (0.3189 if base.resting else 0.26)
    assert card[f"V_c0{other}"].value == pytest.approx(kept, rel=1e-5)
    assert f"in the ratio to V_c0{end} that" in str(card[f"V_c0{other}"].assumed)


def test_a_card_that_would_not_load_says_what_to_change() -> None:
    hard = junction(BASE, 1, 1.3, 1, 1, 1)
    found = fit(measure(hard, seed=1), BASE)
    assert found.estimates["V_c0"].low < 1.3 * 0.3189 < found.estimates["V_c0"].high
    message = (
        r"must obey the clock of card 'mtj-thermal' \(.*V_reset must switch .*raise V_reset.*\): write a copy"
    )
    with pytest.raises(IPNetError, match=message) as caught:
        fitted_card(found, "hard")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", card_names())
def test_a_card_is_written_as_it_was_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "again.toml"
    path.write_text(format_card(read_card_file(name)), "utf-8")
    assert read_card_file(path) == read_card_file(name)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=60, deadline=None)
@given(TEXT, TEXT, st.floats(allow_nan=False), TEXT.filter(lambda text: bool(text.strip())))
def test_a_card_is_written_as_it_was_read_whatever_it_says(description, key, value, source) -> None:
    entry = Entry(value=(value, 1.0), unit=key, source=source)
    update = {"description": description, "title": key, "correlation": {key: entry}}
    file = read_card_file("mtj-thermal").model_copy(update=update)
    assert CardFile.model_validate(tomllib.loads(format_card(file))) == file


def test_only_junctions_are_fitted() -> None:
    with pytest.raises(
        IPNetError, match=r"must be a card of device 'mtj'; 'memoryless' is of 'memoryless': choose"
    ):
        load_junction("memoryless")


def test_a_fit_leaves_everything_else_alone() -> None:
    before = {key: value.clone() for key, value in BASE.named_buffers()}
    rows, threads, state = measure(seed=1), torch.get_num_threads(), torch.get_rng_state()
    columns = {key: part.copy() for key, part in rows.columns.items()}
    torch.set_num_threads(2)
    try:
        one, two = fit(rows, BASE), fit(rows, BASE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert one.estimates == two.estimates
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[key]) for key, value in BASE.named_buffers())
    assert all(np.array_equal(part, rows[key], equal_nan=True) for key, part in columns.items())


def labels(figure: Figure) -> list[str]:
    return [text for axes in figure.axes if axes.axison for text in (axes.get_xlabel(), axes.get_ylabel())]


def test_every_axis_of_the_figure_has_a_unit(tmp_path: Path) -> None:
    rows = measure(seed=1)
    row = int(np.argmax(clean().p > 0.9))
    figure = fit_figure(fit(change(rows, "switches", row, 20.0), BASE))
    assert all("[" in text or text == "parameter" for text in labels(figure))
    assert len(labels(figure)) == 12
    assert f"line {rows.lines[row]}" in {text.get_text() for axes in figure.axes for text in axes.texts}
    figure.savefig(tmp_path / "fit.png")
    assert (tmp_path / "fit.png").stat().st_size > 20_000


def test_the_figure_leaves_out_what_was_not_measured() -> None:
    assert len(labels(fit_figure(fit(measure(seed=1, delays=[]), BASE)))) == 8


def test_5000_rows_take_less_than_10_seconds_of_a_processor(tmp_path: Path) -> None:
    delays = np.geomspace(2e-8, 5e-6, 47).tolist()
    rows = measure(seed=0, trials=1000, delays=delays, ambients=list(range(300, 401, 20)), points=17)
    assert len(rows) > 4900
    path = tmp_path / "many.csv"
    path.write_text(format_measurements(rows), "utf-8")
    program = (
        "import sys; from ipnet.fit import *; from ipnet.measurement import read_measurements;"
        "base = load_junction('mtj-thermal'); found = fit(read_measurements(sys.argv[1], base), base);"
        "print(len(found.rows), found.held, found.estimates['R_th'].low < 1.6e6 < found.estimates['R_th'].high)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.split(maxsplit=1)[1].strip() == "() True"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def test_a_measurement_is_read_fitted_and_written_as_the_user_would(tmp_path: Path) -> None:
    path = tmp_path / "junction7.csv"
    path.write_text("# junction 7\n" + format_measurements(measure(seed=4)), "utf-8")
    found = fit(read_measurements(path, BASE), BASE)
    source = str(fitted_card(found, "junction7").parameters["tau_th"].source)
    assert source.startswith("fitted to junction7.csv (sha256 ")
