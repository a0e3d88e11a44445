"""Cards: every value has unit and origin, and every mistake in a card is answered by one sentence."""

from pathlib import Path

import pytest

from ipnet.cards import read_card_file
from ipnet.device import card_names, load_device
from ipnet.errors import IPNetError

SOURCE = '{ value = 45, unit = "1", source = "a paper" }'

MISTAKES: dict[str, tuple[dict[str, object], str]] = {
    "resistances exchanged": (
        {"R_AP": (500, "ohm")},
        r"R_AP must exceed R_P \(TMR > 0\); got R_P = 2.53 kohm, R_AP = 500 ohm: exchange",
    ),
    "no TMR": ({"R_AP": (2530, "ohm")}, r"R_AP must exceed R_P"),
    "negative attempt time": ({"tau_0": (-1, "ns")}, r"parameters: 'tau_0' must be greater than 0; got -1 ns\."),
    "negative thermal time": ({"tau_th": (-1, "us")}, r"parameters: 'tau_th' must be greater than 0; got -1 us\."),
    "no thermal time": ({"tau_th": (0, "us")}, r"'tau_th' must be greater than 0; got 0 s\."),
    "nan": ({"delta": ("nan", "1")}, r"'delta' must be a finite number; got nan"),
    "infinite": ({"R_th": ("inf", "K/W")}, r"'R_th' must be a finite number; got inf"),
    "fractional exponent": ({"exponent": (1.5, "1")}, r"'exponent' must be a multiple of 1; got 1.5"),
    "wrong dimension": ({"tau_0": (1, "V")}, r"'tau_0': a unit like 's' is needed; got 'V'"),
    "unknown unit": ({"tau_0": (1, "nsec")}, r"'tau_0': unknown unit 'nsec'"),
    "missing value": ({"delta": None}, r"parameters: 'delta' is missing; add it"),
    "no origin": ({"delta": '{ value = 45, unit = "1" }'}, r"parameters.delta' a value must name a 'source'"),
    "two origins": (
        {"delta": '{ value = 45, unit = "1", source = "a", assumed = "b" }'},
        r"parameters.delta' a value must name a 'source' or say 'assumed' and why \(one of the two\)",
    ),
    "no unit": ({"delta": '{ value = 45, source = "a" }'}, r"'parameters.delta.unit' is missing"),
    "bare number": ({"delta": "45"}, r"'parameters.delta' "),
    "word for a number": ({"t_pulse": '"long"'}, r"clock: 't_pulse' must be a valid number; got long"),
    "unknown operation": ({"operation": '"pulse"'}, r"must be 'bias' or 'drive and probe'; got 'pulse'"),
    "pulses that do not fit": ({"t_pulse": (300, "ns")}, r"must fit into t_cycle; got 340 ns .* 220 ns"),
    "read above the limit": ({"V_read": (0.5, "V")}, r"not exceed V_max; got V_read = 500 mV, V_max = 400"),
    "pulse too short": ({"t_probe": (5, "ns")}, r"t_probe must be at least 10 tau_0 .* got 5 ns with"),
    "one value for two poles": (
        {"R_th": '{ value = [1, 2], unit = "K/uW", assumed = "a test" }'},
        r"R_th and tau_th must have one value per thermal pole; got 2 and 1: give each pole both",
    ),
    "a pole without a time": (
        {
            "R_th": '{ value = [1, 2], unit = "K/uW", assumed = "a test" }',
            "tau_th": '{ value = [1, 0], unit = "us", assumed = "a test" }',
        },
        r"'tau_th' must be greater than 0; got 0 s\.",
    ),
    "no pole": (
        {"R_th": '{ value = [], unit = "K/uW", assumed = "a test" }'},
        r"one value per thermal pole; got 0",
    ),
    "list for a number": (
        {"delta": '{ value = [40, 50], unit = "1", assumed = "a test" }'},
        r"parameters: 'delta' must be a valid number; got",
    ),
    "hotter than the Curie temperature": (
        {"temp_C": (390, "K")},
        r"must stay below temp_C = 390 K; got 401.2 K at V_max = 400 mV \(a rise of 101 K\): lower V_max or R_th",
    ),
    "no polarisation left": ({"temp_P": (390, "K")}, r"must stay below temp_P = 390 K; got 401.2 K"),
    "Curie temperature below room temperature": ({"temp_C": (200, "K")}, r"temp_C must exceed temp_0; got 200 K"),
    "in-plane": ({"Ms": (1, "MA/m")}, r"K_eff = K_i / t_free - mu_0 N Ms\^2 / 2 must be positive .* got -"),
    "barrier melts": (
        {"Ms": (800, "kA/m"), "n_K": (12, "1")},
        r"K_eff must stay positive; the barrier vanishes at V_max = 400 mV \(a rise of 101 K\): lower",
    ),
    "thicker than wide": ({"t_free": (50, "nm")}, r"must be a disc, wider than thick; got diameter = 40 nm"),
    "weak reset": (
        {"V_reset": (0.29, "V")},
        r"V_reset must switch a cold junction back in 99.9% .*: raise V_reset",
    ),
    "disturbing read": ({"V_read": (0.26, "V")}, r"V_read must leave a hot junction as it is .*: lower V_read"),
    "negative noise": ({"I_noise": (-1, "uA")}, r"'I_noise' must be greater than or equal to 0; got -1 uA"),
    "unknown device": ({"device": '"mjt"'}, r"unknown device 'mjt'; did you mean 'mtj'\?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_named(mistake: str, write_card) -> None:
    changes, message = MISTAKES[mistake]
    path = write_card("mtj-thermal", **changes)
    with pytest.raises(IPNetError, match=message) as caught:
        load_device(path)
    assert "\n" not in str(caught.value)
    assert "card" in str(caught.value) or "device" in str(caught.value)


def test_unknown_key_is_answered_with_the_nearest(write_card) -> None:
    path = write_card("mtj-thermal", delta=f"delta = {SOURCE}".removeprefix("delta = ") + f"\nR_tH = {SOURCE}")
    with pytest.raises(IPNetError, match=r"unknown value 'R_tH'; did you mean 'R_th'\?"):
        load_device(path)


def test_unknown_table_and_unknown_field_of_an_entry(write_card) -> None:
    with pytest.raises(IPNetError, match=r"unknown key 'clocks'; did you mean 'clock'\?"):
        load_device(write_card("memoryless", extra="\n[clocks]\n"))
    with pytest.raises(IPNetError, match="sauce"):
        load_device(write_card("memoryless", delta=SOURCE.replace("source", "sauce")))


def test_damaged_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "cut.toml"
    path.write_text('name = "cut\n')
    with pytest.raises(IPNetError, match=r"cut.toml' is not valid TOML: .*line 1"):
        load_device(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(IPNetError, match="is not valid TOML"):
        load_device(path)


def test_missing_file_and_unknown_card(tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=r"no\.toml' cannot be read \(No such file"):
        load_device(tmp_path / "no.toml")
    with pytest.raises(
        IPNetError, match=r"unknown card 'mtj-termal'; did you mean 'mtj-thermal'\? Known: .*memoryless"
    ):
        load_device("mtj-termal")


@pytest.mark.parametrize("name", card_names())
def test_shipped_card_is_named_as_its_file_and_its_ranges_hold_its_values(name: str) -> None:
    file = read_card_file(name)
    assert file.name == name
    assert len(file.title) > 10
    for key, entry in (*file.parameters.items(), *file.clock.items(), *file.variation.items()):
        if not isinstance(entry, str) and entry.range:
            values = entry.value if isinstance(entry.value, tuple) else (entry.value,)
            assert all(entry.range[0] <= value <= entry.range[1] for value in values), key


def test_si_values_and_derived_ones() -> None:
    card = load_device("mtj-thermal").card
    assert card.parameters.tau_th == pytest.approx((1e-6,), abs=0)
    assert card.parameters.R_th == pytest.approx((1.6e6,))
    assert card.parameters.tmr_0 == pytest.approx(1.24, rel=1e-3)
    assert card.parameters.C_th == pytest.approx((0.625e-12,), abs=0)
    assert round(card.parameters.P_0, 4) == 0.6186
    assert card.parameters.K_eff == pytest.approx(1.145e-3 / 2.6e-9 - card.parameters.shape_anisotropy)
    assert card.clock.t_cycle == pytest.approx(220e-9, abs=0)


def test_the_clock_can_be_changed_and_says_so() -> None:
    device = load_device("mtj-thermal", t_cycle=500e-9, operation="bias")
    assert device.card.clock.t_cycle == float(device.t_cycle) == 500e-9
    assert device.memory_cycles() == pytest.approx(2.0)
    assert device.card.entries["clock.t_cycle"].assumed == "set by the user for this run"
    assert device.card.entries["clock.t_cycle"].unit == "s"
    assert load_device("mtj-thermal").card.clock.t_cycle == pytest.approx(220e-9, abs=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t_cycel": 1e-6}, r"unknown clock value 't_cycel'; did you mean 't_cycle'\?"),
        ({"R_P": 1e3}, r"unknown clock value 'R_P'"),
        ({"t_cycle": -1e-9}, r"clock: 't_cycle' must be greater than 0; got -1 ns"),
        ({"gain": float("nan")}, r"'gain' must be a finite number; got nan"),
        ({"V_probe": 0.9}, r"V_probe must not exceed V_max"),
    ],
)
def test_wrong_change_of_the_clock(change: dict[str, float], message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        load_device("mtj-thermal", **change)


def test_a_card_cannot_be_written_to() -> None:
    card = load_device("mtj-thermal").card
    with pytest.raises(ValueError, match="frozen"):
        card.parameters.R_P = 1.0
    with pytest.raises(AttributeError):
        card.parameters = None  # type: ignore[misc]
