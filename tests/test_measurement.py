"""Measurements: every bad row is named with its line, every wrong header is answered, the law is the card's."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ipnet.device import load_device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.measurement import UNITS, Measurements, log_hazard, parse_measurements, read_measurements
from ipnet.simulated_measurement import format_measurements, plan, simulate, voltage_at
from ipnet.surrogate import cloglog

JUNCTION = load_device("mtj-thermal")
GOOD = "0.28,100,0.4,300,500,300,100,41"
HEADER = "V [V],t_pulse [ns],V_cond [V],t_cond [ns],delay [ns],ambient [K],trials,switches"


def parse(*lines: str, name: str = "a.csv") -> Measurements:
    assert isinstance(JUNCTION, MTJ)
    return parse_measurements("\n".join(lines), JUNCTION, name)


def equal(one: Measurements, other: Measurements) -> bool:
    return all(np.allclose(one[key], other[key], rtol=1e-11, atol=0, equal_nan=True) for key in UNITS)


RANGE = "lie in [0, 400 mV], up to V_max of card 'mtj-thermal'"
ABSOLUTE = "be an absolute temperature from 100 K to 1354 K"
REASONS = {
    "0.28,100,0.4,300,500,300,100": "a row must have 8 cells, as the header has; got 7",
    "0.28,100,0.4,300,500,300,100,41,7": "a row must have 8 cells, as the header has; got 9",
    "0.28 V,100,0.4,300,500,300,100,41": "V must be a finite number; got '0.28 V'",
    "nan,100,0.4,300,500,300,100,41": "V must be a finite number; got 'nan'",
    "0.28,inf,0.4,300,500,300,100,41": "t_pulse must be a finite number; got 'inf'",
    "0.28,1_00,0.4,300,500,300,100,41": "t_pulse must be a finite number; got '1_00'",
    "0.28,1e999,0.4,300,500,300,100,41": "t_pulse must be a finite number; got '1e999'",
    "-0.28,100,0.4,300,500,300,100,41": f"V must {RANGE}; got -280 mV",
    "0.41,100,0.4,300,500,300,100,41": f"V must {RANGE}; got 410 mV",
    "0.28,100,4,300,500,300,100,41": f"V_cond must {RANGE}; got 4 V",
    "0.28,100,-0.4,300,500,300,100,41": f"V_cond must {RANGE}; got -400 mV",
    "0.28,9.9,0.4,300,500,300,100,41": "t_pulse must be at least 10 tau_0 = 10 ns; got 9.9 ns",
    "0.28,-100,0.4,300,500,300,100,41": "t_pulse must be at least 10 tau_0 = 10 ns; got -100 ns",
    "0.28,100,0.4,-300,500,300,100,41": "t_cond must not be negative; got -300 ns",
    "0.28,100,0.4,300,-500,300,100,41": "delay must not be negative; got -500 ns",
    "0.28,100,0.4,300,,300,100,41": "a conditioning pulse must have V_cond, t_cond and delay; delay is empty",
    "0.28,100,,300,500,300,100,41": "a conditioning pulse must have V_cond, t_cond and delay; V_cond is empty",
    ",100,0.4,300,500,300,100,41": "V must be given; its cell is empty",
    "0.28,100,0.4,300,500,,100,41": "ambient must be given; its cell is empty",
    "0.28,100,0.4,300,500,25,100,41": f"ambient must {ABSOLUTE}; got 25 K",
    "0.28,100,0.4,300,500,1400,100,41": f"ambient must {ABSOLUTE}; got 1400 K",
    "0.28,100,0.4,300,500,300,0,0": "trials must be positive; got 0",
    "0.28,100,0.4,300,500,300,100.5,41": "trials must be a whole number; got 100.5",
    "0.28,100,0.4,300,500,300,100,40.5": "switches must be a whole number; got 40.5 of 100",
    "0.28,100,0.4,300,500,300,100,-1": "switches must not be negative; got -1 of 100",
    "0.28,100,0.4,300,500,300,100,101": "switches must not exceed trials; got 101 of 100",
}


@pytest.mark.parametrize("row", REASONS)
def test_a_bad_row_is_left_out_with_its_line_and_the_reason(row: str) -> None:
    rows = parse("# a comment", HEADER, GOOD, "", row, GOOD, GOOD)
    assert [str(bad) for bad in rows.quarantined] == [f"line 5: {REASONS[row]}"]
    assert rows.lines.tolist() == [3, 6, 7]
    assert equal(rows, parse(HEADER, GOOD, GOOD, GOOD))


def test_values_are_converted_to_si() -> None:
    rows = parse(
        HEADER.replace("V [V]", "V [mV]").replace("delay [ns]", "delay (µs)"), GOOD.replace("0.28", "280")
    )
    expected = {"V": 0.28, "t_pulse": 1e-7, "V_cond": 0.4, "t_cond": 3e-7, "delay": 5e-4, "ambient": 300.0}
    for key, value in (expected | {"trials": 100, "switches": 41}).items():
        assert rows[key][0] == pytest.approx(value, rel=1e-12, abs=0), key
    assert np.isnan(rows["R_P"][0])
    assert rows.quarantined == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", ";").replace(".", ","),
        lambda text: text.replace(",", " , "),
        lambda text: text.replace("\n", ",,\n"),
        lambda text: "\n\n# note, with commas\n" + text + "\n,,,,\n",
        lambda text: text.replace("0.28", '"0.28"'),
        lambda text: text.replace("100,41", "1e2,41.0"),
    ],
)
def test_dialects_mean_the_same(change: Callable[[str], str], tmp_path: Path) -> None:
    text = f"{HEADER}\n{GOOD}\n{GOOD.replace('0.28', '0.29')}\n"
    path = tmp_path / "dialect.csv"
    path.write_bytes(change(text).encode())
    assert isinstance(JUNCTION, MTJ)
    rows = read_measurements(path, JUNCTION)
    assert equal(rows, parse(*text.splitlines()))
    assert rows.quarantined == ()
    assert rows.name == "dialect.csv"


def test_a_comma_that_may_mean_thousands_is_not_guessed() -> None:
    good = GOOD.replace(",", ";")
    rows = parse(HEADER.replace(",", ";"), good, good, good.replace(";100;41", ";1,000;41"))
    assert [str(bad) for bad in rows.quarantined] == [
        "line 4: trials must be clear; got '1,000', whose comma may mean thousands or a decimal point"
    ]


def test_there_are_five_ways_to_say_no_conditioning() -> None:
    cells = ("0.28,100,,,,300,100,41", "0.28,100,0,0,0,300,100,41", "0.28,100,0,300,500,300,100,41")
    rows = parse(HEADER, *cells, "0.28,100,0.4,0,500,300,100,41")
    assert not rows.heated.any()
    without = parse("V,t_pulse [ns],trials,switches", "0.28,100,100,41")
    for i in range(4):
        assert equal(rows.take(np.array([i])), without)
    assert without["ambient"][0] == 300


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "V [V],t_pulse [ns],trails,switches",
            r"'a.csv': unknown column 'trails'; did you mean 'trials'\? Known: R_AP",
        ),
        ("V [V],t_pulse [ns],,switches", r"unknown column ''"),
        ("V [V],trials,switches", r"'t_pulse' is missing beside V, switches, trials; add it\."),
        ("V,t_pulse,delay,trials,switches", r"'V_cond' is missing .*; add it; a conditioning pulse has all three"),
        ("V [s],t_pulse,trials,switches", r"column 'V': a unit like 'V' is needed; got 's'"),
        ("V [volts],t_pulse,trials,switches", r"column 'V': unknown unit 'volts'"),
        ("ambient [degC],V,t_pulse,trials,switches", r"column 'ambient': unknown unit 'degC'"),
        ("V,V [mV],t_pulse,trials,switches", r"must name each column once; got 'V' twice: remove one"),
    ],
)
def test_mistakes_in_the_header(header: str, message: str) -> None:
    with pytest.raises(IPNetError, match=message) as caught:
        parse(header, "0.28,100,100,41")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_mostly_bad_is_refused() -> None:
    bad = GOOD.replace("100,41", "100,141")
    rows = parse(HEADER, GOOD, bad, GOOD)
    assert len(rows.quarantined) == 1
    message = r"most rows must be good; 2 of 3 are not, the first: line 2: switches must not .*; correct them\."
    with pytest.raises(IPNetError, match=message):
        parse(HEADER, bad, bad, GOOD)
    with pytest.raises(IPNetError, match="1 of 1 are not"):
        parse(HEADER, bad)
    with pytest.raises(IPNetError, match=r"has a header and no row; add at least one"):
        parse(HEADER, "# nothing")
    with pytest.raises(IPNetError, match=r"is empty; it must begin with a header"):
        parse("# nothing", "")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert isinstance(JUNCTION, MTJ)
    with pytest.raises(IPNetError, match=r"no\.csv' cannot be read \(No such file"):
        read_measurements(tmp_path / "no.csv", JUNCTION)
    path = tmp_path / "utf16.csv"
    path.write_bytes(HEADER.encode("utf-16"))
    with pytest.raises(IPNetError, match=r"'utf16.csv' must be UTF-8 text; byte 0 is not"):
        read_measurements(path, JUNCTION)


def test_a_read_far_from_the_others_is_left_out() -> None:
    lines = [f"{GOOD},{R_P},{R_AP}" for R_P, R_AP in ((2530, 5660), (2540, 5680), (2520, ""), (25300, 5650))]
    rows = parse(f"{HEADER},R_P [ohm],R_AP [ohm]", *lines)
    assert [str(bad) for bad in rows.quarantined] == [
        "line 5: R_P must be near the median of all reads, 2.535 kohm; got 25.3 kohm"
    ]
    assert rows["R_P"].tolist() == [2530, 2540, 2520]
    assert np.isnan(rows["R_AP"][2])
    assert len(parse(f"{HEADER},R_P [ohm]", *[f"{GOOD},{R}" for R in (2530, 2530, 2600, 0)]).quarantined) == 1


def test_the_law_of_a_row_is_heat_cool_switch() -> None:
    mtj = JUNCTION
    assert isinstance(mtj, MTJ)
    rows = parse(HEADER, GOOD, "0.27,200,,,,330,100,41")
    p = cloglog(log_hazard(mtj, rows.conditions(mtj)))
    rise = 1.6e6 * 0.4**2 / 2530 * (1 - math.exp(-0.3)) * math.exp(-0.5)
    V, t_pulse, warm = (torch.tensor(value, dtype=torch.float64) for value in (0.28, 1e-7, rise))
    assert p[0].item() == pytest.approx(mtj.p_switch(V, t_pulse, (warm,)).item(), rel=1e-12)
    V, t_pulse, cold = (torch.tensor(value, dtype=torch.float64) for value in (0.27, 2e-7, 0.0))
    eta = mtj.log_hazard(V, t_pulse, (cold,), antiparallel=False, ambient=30.0)
    assert p[1].item() == pytest.approx(cloglog(eta).item(), rel=1e-12)


def test_in_the_antiparallel_state_the_conditioning_pulse_heats_through_its_resistance() -> None:
    mtj = load_device("mtj-thermal", rest_state="AP")
    assert isinstance(mtj, MTJ)
    rows = parse(HEADER, GOOD)
    R = 2530 * (1 + (5667 / 2530 - 1) / (1 + (0.4 / 0.48) ** 2))
    rise = torch.tensor(1.6e6 * 0.4**2 / R * (1 - math.exp(-0.3)) * math.exp(-0.5), dtype=torch.float64)
    p = cloglog(log_hazard(mtj, rows.conditions(mtj)))
    expected = mtj.p_switch(
        torch.tensor(0.28, dtype=torch.float64), torch.tensor(1e-7), (rise,), antiparallel=True
    )
    assert p[0].item() == pytest.approx(expected.item(), rel=1e-6)


def test_simulated_counts_are_binomial_with_the_card_s_probability() -> None:
    assert isinstance(JUNCTION, MTJ)
    rows = simulate(JUNCTION, {"V": np.full(4000, 0.28), "t_pulse": 1e-7}, 50, seed=0)
    p = cloglog(log_hazard(JUNCTION, rows.conditions(JUNCTION)))[0].item()
    assert rows["switches"].mean() / 50 == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 2e5))
    assert rows["switches"].var() == pytest.approx(50 * p * (1 - p), rel=0.12)


def test_simulation_depends_on_its_seed_alone() -> None:
    assert isinstance(JUNCTION, MTJ)
    conditions = {"V": [0.27, 0.28, 0.29], "t_pulse": 1e-7}
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one, same, other = (simulate(JUNCTION, conditions, 1000, seed) for seed in (1, 1, 2))
    assert equal(one, same)
    assert one.digest == same.digest != other.digest
    assert not equal(one, other)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())


@pytest.mark.parametrize("reads", [False, True])
def test_written_measurements_read_the_same(tmp_path: Path, reads: bool) -> None:
    mtj = JUNCTION
    assert isinstance(mtj, MTJ)
    conditions: dict[str, object] = dict(
        plan(mtj, delays=[1e-7, 1e-6], V_cond=0.4, t_cond=3e-7, ambients=[300, 340])
    )
    conditions |= {"R_P": 2531.5} if reads else {}
    rows = simulate(mtj, conditions, 700, seed=1)  # type: ignore[arg-type]
    path = tmp_path / "rows.csv"
    path.write_text(format_measurements(rows), "utf-8")
    again = read_measurements(path, mtj)
    assert equal(rows, again)
    assert (again.lines.tolist(), again.digest) == (rows.lines.tolist(), rows.digest)
    assert ("R_P" in path.read_text()) == reads


def test_unknown_and_missing_conditions_are_answered() -> None:
    assert isinstance(JUNCTION, MTJ)
    with pytest.raises(IPNetError, match=r"unknown column 'Vcond'; did you mean 'V_cond'"):
        simulate(JUNCTION, {"V": 0.28, "t_pulse": 1e-7, "Vcond": 0.3}, 100, seed=0)
    with pytest.raises(IPNetError, match=r"conditions must have V and t_pulse; t_pulse is missing"):
        simulate(JUNCTION, {"V": 0.28}, 100, seed=0)


def test_a_plan_spans_every_s_curve() -> None:
    mtj = JUNCTION
    assert isinstance(mtj, MTJ)
    conditions = plan(
        mtj, delays=[1e-7, 1e-6], V_cond=0.4, t_cond=3e-7, widths=[1e-7, 1e-6], ambients=[300, 340], points=5
    )
    rows = simulate(mtj, conditions, 1, seed=0)
    p = cloglog(log_hazard(mtj, rows.conditions(mtj))).numpy().reshape(-1, 5)
    assert p.shape[0] == 2 * 2 + 2 * 2
    np.testing.assert_allclose(p[:, 0], 0.03, atol=2e-3)
    np.testing.assert_allclose(p[:, -1], 0.97, atol=2e-3)
    assert len(np.unique(np.stack([rows[key] for key in ("t_pulse", "delay", "ambient")], 1), axis=0)) == 8


def test_the_voltage_for_a_probability_is_its_inverse() -> None:
    assert isinstance(JUNCTION, MTJ)
    rows = parse(HEADER, GOOD, GOOD.replace("300,100", "350,100"))
    rest = rows.conditions(JUNCTION)[1:]
    V = torch.from_numpy(voltage_at(JUNCTION, 0.2, rest))
    np.testing.assert_allclose(cloglog(log_hazard(JUNCTION, (V, *rest))).numpy(), 0.2, rtol=1e-6)
    assert V[1] < V[0]


def test_several_junctions_at_once_are_each_alone() -> None:
    mtj = load_device("mtj-thermal")
    assert isinstance(mtj, MTJ)
    rows = parse(HEADER, GOOD, "0.29,100,,,,330,100,41", "0.26,1000,0.3,100,10,300,100,41")
    alone = []
    for value in (1e6, 2e6):
        mtj.R_th = torch.tensor([value], dtype=torch.float64)
        alone.append(log_hazard(mtj, rows.conditions(mtj)))
    mtj.R_th = torch.tensor([[[1e6], [2e6]]], dtype=torch.float64)
    torch.testing.assert_close(log_hazard(mtj, rows.conditions(mtj)), torch.stack(alone), rtol=1e-12, atol=0)
