"""The compact law against the macrospin: cards that are macrospins, cards that are not, and both directions."""

import math

import numpy as np
import pytest

from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.physics import K_B
from ipnet.validation import macrospin_of, validate


@pytest.mark.parametrize("rest_state", ["P", "AP"])
@pytest.mark.parametrize("card", ["mtj-uta", "mtj-minnesota"])
def test_the_cards_that_say_so_are_the_macrospin_of_their_set(card: str, rest_state: str) -> None:
    """Computed values in a card follow from its other values: barrier, critical voltage, attempt time, volume."""
    device = load_device(card, rest_state=rest_state)
    p, spin = device.card.parameters, macrospin_of(device, 10.0)
    assert spin.delta == pytest.approx(p.delta, rel=1e-12)
    assert spin.V_c0 == pytest.approx(p.V_c0_AP if rest_state == "AP" else p.V_c0, rel=1e-12)
    v = device.card.clock.V_probe / p.V_c0
    assert spin.tau_0 / ((1 - v**2) * (1 - v)) == pytest.approx(p.tau_0, rel=0.06), "Brown's, under the torque"
    assert spin.efficiency == pytest.approx(1.0, rel=2e-3), "V_c0 is Slonczewski's"
    volume = math.pi / 4 * p.diameter**2 * p.t_free
    assert spin.volume == pytest.approx(volume, rel=2e-3), "the whole layer turns over"
    assert p.K_eff * volume / (K_B * p.temp_0) == pytest.approx(p.delta, rel=2e-3)


def test_the_law_of_the_thermal_junction_has_the_heat_right() -> None:
    """Matched to the cold S-curve alone, the macrospin agrees with the compact law on warm junctions."""
    found = validate(load_device("mtj-thermal"), trajectories=600, rises=[0.0, 40.0])
    assert found.voltages.shape == (7,)
    assert found.compact.shape == found.macrospin.shape == found.error.shape == (2, 7)
    assert found.holds.all()
    assert "holds at every voltage and starting temperature" in found.verdict
    assert "plus 3 standard errors (0.06 at most)" in found.verdict
    assert np.abs(found.shift).max() < 0.5
    assert found.compact[1, 3] > found.compact[0, 3] + 0.2, "a case in which heat matters"
    assert (found.macrospin[1, 3] - found.macrospin[0, 3]) == pytest.approx(
        found.compact[1, 3] - found.compact[0, 3], abs=0.12
    )
    assert found.error[0, 3] == pytest.approx(
        math.sqrt(found.macrospin[0, 3] * (1 - found.macrospin[0, 3]) / 600), rel=0.02
    )


def test_an_exponent_of_one_is_not_a_macrospin_of_the_same_barrier() -> None:
    found = validate(load_device("mtj-thermal"), match="parameters", trajectories=100)
    assert found.delta[0] == pytest.approx(found.delta[1])
    assert found.V_c0[0] == pytest.approx(found.V_c0[1])
    assert found.macrospin.min() > 0.9, "its barrier (1 - v)^2 is nearly gone where (1 - v) is not"
    assert not found.holds.all()
    assert f"holds in {found.holds.sum()} of 21 conditions" in found.verdict
    assert "no rise" in found.verdict


def test_the_law_of_a_macrospin_holds_near_its_operating_voltage_and_fails_for_short_pulses() -> None:
    """tau_0 has the torque's prefactor at V_probe; a pulse of ten damping times is no thermal activation."""
    found = {
        width: validate(
            load_device("mtj-uta", t_probe=width, t_cycle=5e-6),
            match="parameters",
            trajectories=1000,
            rises=[0.0],
            voltages=voltages,
        )
        for width, voltages in ((1e-6, [0.24, 0.25, 0.26]), (12e-9, [0.30, 0.32, 0.34]))
    }
    settled, short = found.values()
    assert np.abs(settled.shift).max() < 0.35
    assert settled.holds.all()
    assert short.shift[0] < -0.7
    assert bool((short.macrospin < short.compact).all())


def test_both_directions_agree_where_the_junction_is_symmetric() -> None:
    options = {"match": "parameters", "trajectories": 400, "rises": [0.0, 25.0], "voltages": [0.25, 0.27, 0.29]}
    from_P, from_AP = (
        validate(load_device("mtj-uta", rest_state=state, t_cycle=1e-6), **options) for state in ("P", "AP")
    )
    assert (from_P.left, from_AP.left) == ("P", "AP")
    assert np.abs(from_P.macrospin - from_AP.macrospin).max() < 4 * np.hypot(from_P.error, from_AP.error).max()
    assert from_P.macrospin.min() < 0.3 < 0.6 < from_P.macrospin.max()


def test_questions_that_cannot_be_answered() -> None:
    with pytest.raises(IPNetError, match=r"only a single MTJ has a macrospin .* got card 'leaky' as Leaky"):
        validate(load_device("leaky"))
    with pytest.raises(IPNetError, match=r"match must be one of S-curve, parameters; got 'curve'"):
        validate(load_device("mtj-uta"), match="curve")
    with pytest.raises(IPNetError, match=r"got card 'mtj-thermal' as Varied: take"):
        validate(load_device("mtj-thermal", variation="card"))
    with pytest.raises(IPNetError, match=r"trajectories must be at least 50, .* got 1:?"):
        validate(load_device("mtj-uta"), trajectories=1)
    with pytest.raises(IPNetError, match=r"voltages must have at least one value"):
        validate(load_device("mtj-uta"), voltages=[])
    with pytest.raises(IPNetError, match=r"rise must lie in \[0, 115.2 K\].* got 300 K"):
        validate(load_device("mtj-uta"), rises=[0.0, 300.0])
    with pytest.raises(IPNetError, match=r"no macrospin of this free layer switches as steeply in 100 ns"):
        validate(load_device("mtj-minnesota", t_probe=100e-9), trajectories=100)
