"""The virtual chip: it gets voltages against time and must obey the law of its card, which it is asked without."""

import numpy as np
import pytest
import torch

from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.virtual_chip import Chip, Drift, Endurance, Fate

DT = 10e-9
COOL = [0.0] * 1000
NOMINAL = {}  # a junction that is the card's own


def shots(pulses, number, mtj):
    """`number` shots: pulses (V, samples), a read, a reset, and 10 us to cool; and where each is read."""
    shot = [V for V, samples in pulses for _ in range(samples)]
    shot += [-float(mtj.V_read), *[-float(mtj.V_reset)] * 2]
    return np.tile(shot + COOL, number), np.arange(number) * (len(shot) + 1000) + len(shot) - 3


def switched(chip, pulses, number=2000, junction=0):
    """In how many shots the junction was read as antiparallel."""
    mtj = chip.junctions[junction].mtj
    samples, reads = shots(pulses, number, mtj)
    current = chip.play(junction, samples, DT)[reads]
    return int((np.abs(current) < float(mtj.V_read) / float(mtj.R_P) * 0.75).sum())


def agrees(count, p, number=2000):
    """Within 4 standard deviations of the binomial distribution."""
    return abs(count - number * p) <= 4 * np.sqrt(number * p * (1 - p)) + 1


def tensor(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("V", [0.26, 0.275, 0.282, 0.29])
def test_s_curve_is_that_of_the_law(V):
    chip = Chip("mtj-thermal", 3, seed=4)
    for number, junction in enumerate(chip.junctions[:2]):
        p = float(junction.mtj.p_switch(tensor(V), tensor(100e-9), (tensor(0.0),)))
        assert agrees(switched(chip, [(V, 10)], junction=number), p)


@pytest.mark.parametrize("card", ["mtj-thermal", "mtj-nyu"])
def test_heat_is_forgotten_as_the_law_says(card):
    chip = Chip(card, 1, seed=1)
    mtj = chip.junctions[0].mtj
    V_heat, V = 0.95 * float(mtj.V_max), float(mtj.V_probe) * 0.98
    seen = []
    for delay in (1, 30, 100, 300):
        state = mtj.heat(mtj.rest(tensor(0.0)), mtj.power(tensor(V_heat), antiparallel=False), tensor(40 * DT))
        state = mtj.heat(state, tensor(0.0), tensor(delay * DT))
        p = float(mtj.p_switch(tensor(V), tensor(2 * DT), state, antiparallel=False))
        seen.append(p)
        assert agrees(switched(chip, [(-V_heat, 40), (0.0, delay), (V, 2)]), p)
    assert seen[0] > seen[-1] + 0.02


def test_a_replayed_history_answers_as_frames_do():
    chip = Chip("mtj-thermal", 1, seed=2, true=[NOMINAL])
    mtj = load_device("mtj-thermal")
    clock = mtj.card.clock
    drives = np.random.default_rng(0).choice([0.0, 0.2, 0.3, 0.35], 12)
    state, p = mtj.rest(tensor(0.0)), tensor(0.0)
    pulses = []
    for frame, V in enumerate(drives):
        last = frame == len(drives) - 1
        answer = []
        _, state = mtj.cycle(tensor(V), state, lambda q, answer=answer: answer.append(q) or torch.zeros_like(q))
        p = answer[0]
        pulses += [(-V, 10), (clock.V_probe if last else -clock.V_probe, 1)]
        pulses += [] if last else [(-clock.V_read, 1), (0.0, 10)]  # no reset: it had not switched
    assert p > 2 * float(mtj.p_switch(mtj.V_probe, mtj.t_probe, (tensor(0.0),)))  # the history matters
    assert agrees(switched(chip, pulses), float(p))


def test_blocks_side_by_side_are_the_same_as_one_after_the_other(monkeypatch):
    """Resets that fail, and idle times that leave heat: the guesses are wrong, and the result must not be."""
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(60):
        parts += [[-rng.uniform(0.1, 0.4)] * 20, [rng.uniform(0.27, 0.31)] * 10, [-0.05] * 2]
        parts += [[-rng.uniform(0.24, 0.31)] * 10, [0.0] * int(rng.choice([5, 900, 3000]))]
    samples = np.concatenate(parts)
    runs = []
    for split in (8.0, 1e9):
        monkeypatch.setattr("ipnet.virtual_pulses.SPLIT", split)
        chip = Chip("mtj-thermal", 1, seed=5)
        runs.append((chip.play(0, samples, DT), chip.junctions[0]))
    (fast, left), (slow, right) = runs
    np.testing.assert_allclose(fast, slow, rtol=1e-6)
    assert left.antiparallel == right.antiparallel
    np.testing.assert_allclose(left.rise, right.rise, atol=1e-4)
    assert len(np.unique(np.round(0.05 / np.abs(fast[samples == -0.05])))) > 2  # some were read as P, some as AP


def test_resistance_of_both_states_and_polarity():
    chip = Chip("mtj-thermal", 1, true=[NOMINAL])
    mtj = chip.junctions[0].mtj
    assert chip.hold(0, 0.02, 0.02) == pytest.approx(0.02 / float(mtj.R_P))
    chip.play(0, np.array([-0.4] * 100), DT)  # the wrong polarity heats and does not switch
    assert not chip.junctions[0].antiparallel
    chip.play(0, np.array([0.4] * 100), DT)
    R_AP = float(mtj.resistance(tensor(0.02), antiparallel=True))
    assert 0.02 / chip.hold(0, 0.02, 0.02) == pytest.approx(R_AP, rel=1e-3)
    chip.play(0, np.array([0.4] * 100), DT)
    assert chip.junctions[0].antiparallel
    chip.play(0, np.array([-0.4] * 100), DT)
    assert not chip.junctions[0].antiparallel


def test_heat_carries_over_within_a_waveform_and_is_gone_between_two():
    chip = Chip("mtj-thermal", 1, true=[NOMINAL])
    chip.play(0, np.array([-0.4] * 100), DT)
    hot = chip.junctions[0].rise.sum()
    assert hot == pytest.approx(float(chip.nominal.hottest) * (1 - np.exp(-1)), rel=1e-6)
    chip.play(0, np.array([0.0]), DT)
    assert chip.junctions[0].rise.sum() < 1e-9 * hot


@pytest.mark.parametrize(
    ("samples", "word"),
    [([0.5], "voltage"), ([-0.5], "voltage"), ([0.3] * 200, "width"), ([0.41], "power")],
)
def test_stress_beyond_the_limits_breaks_a_junction_for_good(samples, word):
    chip = Chip("mtj-thermal", 2, true=[NOMINAL] * 2, endurance=Endurance(V_max=0.42, P_max=65e-6, t_max=1e-6))
    before = chip.play(0, np.array([-0.05, 0.0, *samples, 0.0, -0.05]), DT)
    assert 0.05 / -before[0] == pytest.approx(2530)
    assert 0.05 / -before[-1] == pytest.approx(2530 / 20)
    assert chip.junctions[0].broken
    assert not chip.junctions[1].broken
    assert len(chip.violations) == 1
    assert chip.violations[0].startswith(f"junction 0, play 1: {word} ")
    assert 0.05 / chip.hold(0, 0.05, 1e-3) == pytest.approx(2530 / 20)


def test_what_the_clock_applies_breaks_nothing():
    chip = Chip("mtj-thermal", 8, seed=11)
    for number in range(8):
        chip.play(number, np.array([0.4, -0.4] * 50), DT)
    assert chip.violations == []


def test_fates():
    chip = Chip("mtj-thermal", 3, fates=[Fate(0, 1, "AP"), Fate(1, 0, "P"), Fate(2, 2, "broken")])
    always = [(0.4, 10)]
    assert [switched(chip, always, 5, junction) for junction in range(3)] == [5, 0, 5]
    assert [switched(chip, [(-0.4, 10)], 5, junction) for junction in range(3)] == [5, 0, 0]
    switched(chip, always, 5, 2)
    assert [junction.broken for junction in chip.junctions] == [False, False, True]
    assert chip.violations == []  # it was not the client's fault


def test_seeds_reproduce_and_junctions_do_not_share_random_numbers():
    def answers(seed, first):
        chip = Chip("mtj-thermal", 2, seed=seed)
        order = (0, 1) if first == 0 else (1, 0)
        found = {number: switched(chip, [(0.282, 10)], 200, number) for number in order}
        return found[0], found[1]

    assert answers(1, 0) == answers(1, 1)
    assert answers(1, 0) != answers(2, 0)


def test_junctions_differ_as_the_card_says():
    chip = Chip("mtj-thermal", 200, seed=0)
    R = np.array([float(junction.mtj.R_P) for junction in chip.junctions])
    assert np.std(np.log(R)) == pytest.approx(0.05, rel=0.2)
    assert len({float(junction.mtj.delta) for junction in chip.junctions}) == 200


def test_drift_is_slow_and_seeded():
    chips = [Chip("mtj-thermal", 1, seed=3, drift=Drift(R=0.01, V_c0=0.01), true=[NOMINAL]) for _ in range(2)]
    for _ in range(100):
        currents = [chip.play(0, np.array([-0.05]), DT)[0] for chip in chips]
    assert currents[0] == currents[1]
    assert 0.01 < abs(np.log(0.05 / -currents[0] / 2530)) < 0.4
    mtj = chips[0].junctions[0].mtj
    assert float(mtj.tmr_0) == pytest.approx(5667 / 2530 - 1)
    assert float(mtj.V_c0) != 0.3189


def test_noise_is_that_of_the_card_over_its_read_pulse():
    chip = Chip("mtj-thermal", 1)
    assert chip.noise(200_000, 10e-9).std() == pytest.approx(0.5e-6, rel=0.02)
    averaged = chip.noise(200_000, 2e-9).reshape(-1, 5).mean(1)
    assert averaged.std() == pytest.approx(0.5e-6, rel=0.02)


def test_no_junction_is_an_open_circuit():
    assert Chip("mtj-thermal", 1).play(7, np.array([0.3]), DT).tolist() == [0.0]


def test_what_cannot_be_a_chip():
    with pytest.raises(IPNetError, match="must be of the device 'mtj'; card 'leaky'"):
        Chip("leaky")
    with pytest.raises(IPNetError, match="at least 1 junction; got 0"):
        Chip("mtj-thermal", 0)
    with pytest.raises(IPNetError, match="0 to 1; got junction 2"):
        Chip("mtj-thermal", 2, fates=[Fate(2, 0, "P")])
