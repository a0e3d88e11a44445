"""The commands about devices: numbers for people and machines, files written, mistakes in one sentence."""

import json
import re
from pathlib import Path

import pytest

from ipnet.cards import shipped_cards
from ipnet.device import load_device


def test_devices_lists_and_shows(ipnet) -> None:
    code, out, _ = ipnet("devices", "--json")
    assert code == 0
    assert {card["name"] for card in json.loads(out)} == set(shipped_cards())
    code, out, _ = ipnet("devices", "show", "mtj-thermal", "--json")
    values = json.loads(out)["values"]
    assert values["parameters.R_P"]["value"] == 2530
    assert values["parameters.R_P"]["unit"] == "ohm"
    assert values["variation.V_c0"]["unit"] == "%"
    code, out, _ = ipnet("devices", "show", "mtj-uta")
    assert code == 0
    assert "5, 2000" in out, "both poles"
    assert "assumed" in out
    assert "computed" in out


def test_a_measurement_becomes_a_card(ipnet, tmp_path: Path) -> None:
    data, card, picture = tmp_path / "data.csv", tmp_path / "mine.toml", tmp_path / "fit.svg"
    code, _, err = ipnet("devices", "simulate", "mtj-thermal", "-o", data, "--trials", 400, "--seed", 3)
    assert (code, err) == (0, f"written: {data}\n")
    first, header = data.read_text("utf-8").splitlines()[:2]
    assert first.startswith("# SIMULATED")
    assert header.startswith("V [V],t_pulse [ns],")
    code, out, _ = ipnet("devices", "fit", data, "-o", card, "--figure", picture, "--json")
    assert code == 0
    found = json.loads(out)
    truth = load_device("mtj-thermal").card.parameters
    for name, value in {
        "delta": truth.delta,
        "V_c0": truth.V_c0,
        "R_th": truth.R_th[0],
        "tau_th": truth.tau_th[0],
    }.items():
        estimate = found["estimates"][name]
        width = estimate["high"] - estimate["low"]
        assert estimate["low"] - width < value < estimate["high"] + width
        assert estimate["low"] < estimate["value"] < estimate["high"]
    assert found["quarantined"] == []
    assert load_device(card).card.parameters.delta == pytest.approx(found["estimates"]["delta"]["value"], rel=1e-4)
    assert picture.read_text("utf-8").startswith("<?xml")
    lines = data.read_text("utf-8").splitlines()
    data.write_text("\n".join([*lines[:5], "0.28,100,,,,300,400,500", *lines[5:]]) + "\n", "utf-8")
    code, out, _ = ipnet("devices", "fit", data, "-o", card)
    assert code == 0
    assert re.search(r"left out: line 6: .*switches", out)
    assert "deviance" in out


def test_characterise_and_match_answer(ipnet, tmp_path: Path) -> None:
    code, out, _ = ipnet("devices", "characterise", "mtj-thermal", "--figure", tmp_path / "deep" / "c.png")
    assert code == 0
    assert "horizon, to 1/e" in out
    assert (tmp_path / "deep" / "c.png").read_bytes()[:4] == b"\x89PNG"
    code, out, _ = ipnet("devices", "characterise", "memristor-rnnet", "--json")
    assert json.loads(out)["junction"] is None
    code, out, _ = ipnet("devices", "characterise", "memoryless")
    assert (code, "none" in out) == (0, True)
    task = "--frame-interval", "20ms", "--horizon", "500 ms"
    code, out, _ = ipnet("devices", "match", "memristor-rnnet", *task, "--json")
    assert json.loads(out)["verdict"] == "compressed"
    code, out, _ = ipnet("devices", "match", "mtj-thermal", *task, "--figure", tmp_path / "m.pdf")
    assert code == 0
    assert "25 frames" in out
    assert "R_th" in out
    assert (tmp_path / "m.pdf").read_bytes()[:4] == b"%PDF"


def test_validate_compares(ipnet, tmp_path: Path) -> None:
    options = "--match", "parameters", "--trajectories", 50
    code, out, _ = ipnet("devices", "validate", "mtj-uta", *options, "--figure", tmp_path / "v.png")
    assert code == 0
    assert "the compact law of 'mtj-uta' (200 ns, from P) holds in" in out
    assert (tmp_path / "v.png").stat().st_size > 10_000
    code, out, _ = ipnet("devices", "validate", "mtj-uta", *options, "--json")
    found = json.loads(out)
    assert len(found["macrospin"]) == len(found["holds"]) == 3
    assert all(len(row) == 7 for row in found["macrospin"])


def test_export_writes_a_deck(ipnet, tmp_path: Path) -> None:
    code, _, err = ipnet("devices", "export", "mtj-uta", "--spice", tmp_path / "out.cir")
    assert (code, err) == (0, f"written: {tmp_path / 'out.cir'}\n")
    assert ".subckt mtj_neuron" in (tmp_path / "out.cir").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("show mtj-termal", r"unknown card 'mtj-termal'; did you mean 'mtj-thermal'"),
        ("export leaky --spice out.cir", r"can be exported to SPICE; got card 'leaky'"),
        ("export mtj-uta --spice /dev/null/out.cir", r"cannot be written"),
        ("characterise mtj-thermal --figure out.gif", r"got 'out.gif'"),
        (
            "match mtj-thermal --frame-interval 20 --horizon 500ms",
            r"with a unit like 's' is needed; got '20'",
        ),
        ("match mtj-thermal --frame-interval 20mV --horizon 500ms", r"a unit like 's' is needed; got 'mV'"),
        (
            "match mtj-thermal --frame-interval 1ns --horizon 500ms",
            r"not be shorter than the pulses of a cycle",
        ),
        ("match mtj-thermal --frame-interval 20ms --horizon 5ms", r"horizon must be at least one frame interval"),
        ("validate memristor-rnnet", r"only a single MTJ has a macrospin"),
        ("validate mtj-uta --match curve", r"match must be one of S-curve, parameters; got 'curve'"),
        ("fit no.csv -o out.toml", r"no.csv"),
        ("fit no.csv -o out.txt", r"a card's name must end in .toml; got 'out.txt'"),
        ("simulate mtj-thermal -o x.csv --trials 0", r"trials must be at least 1; got 0"),
        ("simulate leaky -o x.csv", r"must be a card of device 'mtj'"),
    ],
)
def test_a_mistake_is_one_sentence(words: str, message: str, ipnet, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = ipnet("devices", *words.split())
    assert (code, out) == (2, "")
    assert re.search(message, err)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
