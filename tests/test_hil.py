"""From an unknown junction to a network on a bench: procedures on a simulated chip, and the whole story once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ipnet.bench import DeadJunction
from ipnet.bench_file import read_bench
from ipnet.bench_procedures import characterise, halfway, trim
from ipnet.claims import ledger
from ipnet.device import load_device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.finished import load_finished
from ipnet.fit import fit, load_junction
from ipnet.hardware import hottest_shots
from ipnet.hil import bins_of, foresee, junction_of, rises_of, run_on_bench, trim_all
from ipnet.hil_result import HilRun, read_hil
from ipnet.hil_tune import tune_on_bench
from ipnet.instrument import SIMULATED
from ipnet.journal import Journal
from ipnet.limits import allows
from ipnet.limits import hottest as hottest_rise
from ipnet.measurement import read_measurements
from ipnet.shots import Shot, Trim, protocol_of, segments, waveform
from ipnet.simulated_measurement import format_measurements
from ipnet.virtual_chip import Chip
from test_bench import LIMITS, PROTOCOL
from test_bench import bench as toy
from tiny import train_tiny_network
from toy_bench import IDENTITIES, Lab

TRUE = {"V_c0": 0.334, "delta": 41.0, "R_th": (1.9e6,), "tau_th": (0.8e-6,)}


class ChipBench:
    """A chip without instruments: shots in, answers out, kept by key as a journal keeps them."""

    def __init__(self, chip: Chip, mtj: MTJ, dead: tuple[int, ...] = ()) -> None:
        self.chip, self.protocol, self.dead = chip, protocol_of(mtj), dead
        self.mtj = mtj
        self.limits = LIMITS.model_copy(update={"V_max": 0.42, "rise_max": 150.0, "duty": 0.5})
        self.R = float(mtj.card.parameters.R_P), float(mtj.card.parameters.R_AP)
        self.kept: dict[str, NDArray[np.bool_]] = {}

    def run(self, junction: int, shots: Sequence[Shot], key: str) -> NDArray[np.bool_]:
        if junction in self.dead:
            raise DeadJunction(junction, "it does not switch")
        if key not in self.kept:
            samples, reads = waveform(shots, self.protocol)
            current = self.chip.play(junction, samples, self.protocol.sample_time)[reads]
            threshold = -self.protocol.V_read * (1 / self.R[0] + 1 / self.R[1]) / 2
            self.kept[key] = np.asarray(current > threshold)
        return self.kept[key]

    def resistances(self, key: str) -> tuple[float, float]:
        return self.R if key in self.kept else (float("nan"), float("nan"))

    def allows(self, shot: Shot, R: float) -> bool:
        return allows(shot, self.protocol, self.limits, self.mtj, R)


@pytest.fixture(scope="module")
def expected() -> MTJ:
    return load_junction("mtj-thermal")


def chip(*true: dict[str, object], seed: int = 0) -> Chip:
    return Chip("mtj-thermal", seed=seed, true=true or ({},))


def test_an_unknown_junction_is_found_and_fitted(expected: MTJ, tmp_path: Path) -> None:
    bench = ChipBench(chip(TRUE), expected)
    middle = halfway(bench, 0, expected, 100e-9, "half")
    assert middle == pytest.approx(0.334 * 0.89, rel=0.03)
    rows = characterise(bench, 0, expected, trials=300, delays=(0.3e-6, 1e-6, 3e-6))
    (tmp_path / "data.csv").write_text(format_measurements(rows))
    read = read_measurements(tmp_path / "data.csv", expected)
    assert rows.digest == read.digest  # which the card is traced back by
    found = fit(read, expected)
    estimates = found.estimates
    for name, value in (("V_c0", 0.334), ("delta", 41.0)):
        estimate = estimates[name]
        wider = 0.5 * (estimate.high - estimate.low)  # a 95 % interval misses now and then; twice as wide does not
        assert estimate.low - wider < value < estimate.high + wider, str(estimate)
        assert estimate.high / estimate.low < 1.2
    assert any(name.startswith("tau_th") for name in estimates)


@pytest.mark.parametrize(("strongest", "exact"), [(0.42, True), (0.33, False)])
def test_a_trimmed_junction_gives_the_answers_of_the_card(expected: MTJ, strongest: float, exact: bool) -> None:
    """Cold, and after a drive that heated it; where the limits forbid to find out, cold at least."""
    bench = ChipBench(chip({"V_c0": 0.30, "R_th": (1.8e6,)}, {"V_c0": 0.34, "R_th": (1.5e6,)}), expected)
    bench.limits = bench.limits.model_copy(update={"V_max": strongest})
    trims = {junction: trim(bench, junction, expected, trials=2000, label=f"{junction}") for junction in (0, 1)}
    assert trims[0].V_probe < float(expected.V_probe) < trims[1].V_probe
    if exact:
        assert [trim.heat**2 for trim in trims.values()] == pytest.approx([1.6 / 1.8, 1.6 / 1.5], rel=0.05)
    else:
        assert [trim.heat for trim in trims.values()] == [1, 1]
    V, hot = 0.4, expected.rest(expected.V_probe)
    for drive in (0.0, V):
        state = expected.heat(hot, expected.power(torch.tensor(drive), antiparallel=False), torch.tensor(9e-7))
        wanted = float(expected.p_switch(expected.V_probe, expected.t_probe, state))
        for junction, own in trims.items():
            shot = Shot(np.array([-own.heat * drive, own.V_probe]), np.array([9e-7, 10e-9]))
            share = bench.run(junction, [shot] * 4000, f"check {junction} {drive}").mean()
            if exact or not drive:
                assert share == pytest.approx(wanted, abs=0.03)


class LawBench(ChipBench):
    """Junctions that are the card's, drawn from its law and not from a chip."""

    def __init__(self, mtj: MTJ, seed: int) -> None:
        super().__init__(chip({}), mtj)
        self.rng = np.random.default_rng(seed)

    def run(self, junction: int, shots: Sequence[Shot], key: str) -> NDArray[np.bool_]:
        if key not in self.kept:
            known: dict[bytes, float] = {}
            for shot in shots:
                known.setdefault(shot.V.tobytes(), 0.0)
            for shot in {shot.V.tobytes(): shot for shot in shots}.values():
                state = self.mtj.rest(torch.zeros((), dtype=torch.float64))
                for V, t in zip(*(torch.from_numpy(part[:-1].copy()) for part in (shot.V, shot.t)), strict=True):
                    state = self.mtj.heat(state, self.mtj.power(V, antiparallel=self.mtj.resting), t)
                V, t = (torch.tensor(float(part[-1]), dtype=torch.float64) for part in (shot.V, shot.t))
                known[shot.V.tobytes()] = float(self.mtj.answer(V, t, state))
            p = np.array([known[shot.V.tobytes()] for shot in shots])
            self.kept[key] = self.rng.random(len(p)) < p
        return self.kept[key]


@pytest.mark.parametrize("card", ["mtj-thermal", "mtj-nyu", "mtj-minnesota"])
def test_a_junction_that_is_the_card_keeps_its_heat(card: str) -> None:
    """Also where a pulse hardly warms, so that shots say little of it."""
    mtj = load_junction(card)
    if not mtj.probes:
        pytest.skip(f"the clock of {card} has no probe")
    heats = []
    for seed in range(3):
        bench = LawBench(mtj, seed)
        bench.limits = LIMITS.model_copy(
            update={"V_max": 9.0, "rise_max": 999.0, "t_max": 1e-3, "I_max": 1, "P_max": 1}
        )
        heats.append(trim(bench, 0, mtj).heat ** 2)
    assert np.abs(np.array(heats) - 1).max() < 0.12
    assert np.std(heats) < 0.06


def test_heat_is_raised_only_where_the_limits_allow_the_hottest_history(expected: MTJ) -> None:
    bench = ChipBench(chip({"R_th": (1.5e6,)}), expected)
    free = trim(bench, 0, expected, trials=1000, label="free").heat
    assert free > 1.015

    def hottest(own: Trim) -> list[Shot]:
        return hottest_shots(load_device("mtj-thermal", t_pulse=9e-7, t_cycle=9.5e-7), own)

    rises = [
        hottest_rise(*segments([shot], bench.protocol), expected)
        for shot in hottest(Trim(float(expected.V_probe)))
    ]
    bench.limits = bench.limits.model_copy(update={"rise_max": 1.01 * max(rises)})
    bound = trim(bench, 0, expected, trials=1000, label="bound", hottest=hottest).heat
    assert 1 <= bound < 1.006
    assert all(bench.allows(shot, min(bench.R)) for shot in hottest(Trim(float(expected.V_probe), bound)))


def test_what_does_not_switch_is_said(expected: MTJ) -> None:
    with pytest.raises(
        IPNetError, match=r"junction 0 must switch in half of the shots somewhere from .* it does in"
    ):
        halfway(ChipBench(chip({"V_c0": 0.9}), expected), 0, expected, 100e-9, "half")
    trims, dead = trim_all(ChipBench(chip({}, {}), expected, dead=(0,)), (0, 1), expected)
    assert (list(trims), dead) == ([1], {0: "it does not switch"})
    with pytest.raises(
        IPNetError, match=r"one junction at least must live; got: junction 0 is set aside: it does"
    ):
        trim_all(ChipBench(chip({}), expected, dead=(0,)), (0,), expected)
    assert trim(ChipBench(chip({}), expected), 0, expected).V_probe == pytest.approx(0.285, abs=0.004)


@pytest.fixture(scope="module")
def finished_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny_network(tmp_path_factory.mktemp("trained"))


def test_a_network_on_the_bench_agrees_with_the_software(
    finished_folder: Path, expected: MTJ, tmp_path: Path
) -> None:
    bench = ChipBench(chip({}, {}), expected)
    shares: list[float] = []
    found = run_on_bench(
        load_finished(finished_folder),
        "frontier",
        bench,
        (0, 1),
        clips=6,
        trims={},
        report=shares.append,
        identities=[SIMULATED],
    )
    assert found.answers == 6 * 4 * 2 * 2 * 2
    assert shares[-1] == 1
    assert abs(found.deviation) < 4
    assert len(found.hardware) == len(found.truth) == 6
    assert sum(part.measured.n for part in found.bins) == found.answers
    assert found.foreseen[1] <= found.foreseen[0] <= found.foreseen[2]
    (tmp_path / "hil.json").write_text(found.model_dump_json())
    assert read_hil(tmp_path / "hil.json") == found
    again = run_on_bench(
        load_finished(finished_folder), "frontier", bench, (0, 1), clips=6, trims={}, identities=[SIMULATED]
    )
    assert again == found  # every answer came from what was kept


def test_a_chip_that_is_no_such_junction_is_seen(finished_folder: Path, expected: MTJ) -> None:
    bench = ChipBench(chip({"V_c0": 0.31}), expected)
    found = run_on_bench(load_finished(finished_folder), "frontier", bench, (0,), clips=6, trims={})
    assert found.deviation > 6


def test_agreement_is_judged_by_what_the_software_foresees(finished_folder: Path, expected: MTJ) -> None:
    bench = ChipBench(chip({}), expected)
    found = run_on_bench(load_finished(finished_folder), "frontier", bench, (0,), clips=6, trims={})

    def made(right: int, foreseen: float) -> HilRun:
        truth, n = (0,) * 40, 10
        software = tuple(tuple(int(i >= foreseen * 40) for i in range(40)) for _ in range(n))
        hardware = tuple(int(i >= right) for i in range(40))
        return found.model_copy(update={"truth": truth, "hardware": hardware, "software": software})

    assert made(30, 0.75).agrees
    assert not made(20, 0.75).agrees
    assert made(30, 0.75).accuracy.successes == 30


def test_the_claim_needs_what_is_foreseen_and_a_chip_that_is_real(finished_folder: Path, expected: MTJ) -> None:
    found = run_on_bench(
        load_finished(finished_folder), "frontier", ChipBench(chip({}), expected), (0,), clips=6, trims={}
    )
    agreeing = found.model_copy(update={"hardware": found.truth, "software": (found.truth,) * 10, "real": True})
    other = agreeing.model_copy(update={"hardware": tuple(1 - min(t, 1) for t in found.truth)})

    def verdict(*runs: HilRun) -> str:
        return next(row.verdict for row in ledger([], (), (), (), runs) if row.id == "hil")

    assert verdict() == "not attempted"
    assert verdict(agreeing.model_copy(update={"identities": ("a", SIMULATED)})) == "supported on simulated data"
    assert verdict(agreeing) == "reproduced"
    assert verdict(agreeing.model_copy(update={"identities": ("a", SIMULATED)}), other) == "differs"


def test_fine_tuning_goes_through_the_chip(finished_folder: Path, expected: MTJ, tmp_path: Path) -> None:
    bench, shares = ChipBench(chip({}, {}), expected), list[float]()

    def tuned(name: str, **options: object) -> tuple[list[float], dict[str, torch.Tensor]]:
        losses = tune_on_bench(
            load_finished(finished_folder),
            "frontier",
            bench,
            (0, 1),
            tmp_path / name,
            trims={},
            clips=6,
            batch_size=4,
            report=shares.append,
            **options,
        )
        return losses, load_file(tmp_path / name)

    losses, weights = tuned("tuned", epochs=2, learning_rate=1e-2)
    assert len(losses) == 2
    assert shares == [0.25, 0.5, 0.75, 1]
    before = load_file(finished_folder / "model.safetensors")
    assert weights.keys() == before.keys()
    moved = {name for name in before if not torch.equal(before[name], weights[name])}
    assert any("log_gain" in name for name in moved), "a gradient passes through the junctions"
    asked = len(bench.kept)
    again, same = tuned("again", epochs=2, learning_rate=1e-2)
    assert again == losses
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert len(bench.kept) == asked, "all answers came from what was kept"
    _, unmoved = tuned("still", epochs=1, learning_rate=0.0)
    assert all(
        torch.equal(before[name], unmoved[name]) for name in before if "running" not in name and "num" not in name
    )
    found = load_finished(finished_folder, tmp_path / "tuned")
    assert found.source != load_finished(finished_folder).source
    with pytest.raises(IPNetError, match=r"the clips must be 1 to \d+, as many as the split has; got 9999"):
        tune_on_bench(found, "frontier", bench, (0, 1), tmp_path / "none", trims={}, clips=9999)
    with pytest.raises(IPNetError, match=r"the weights .* must be there and fit"):
        load_finished(finished_folder, tmp_path / "none")


def test_what_a_run_takes_is_said_before_it_starts(finished_folder: Path, tmp_path: Path) -> None:
    _, junction = junction_of(load_finished(finished_folder), "frontier")
    limits = LIMITS.model_copy(update={"pulses": 1e9})
    with Journal(
        tmp_path / "j", identities=IDENTITIES, limits=limits, card=junction.card, protocol=PROTOCOL
    ) as journal:
        asked, said = toy(Lab(), journal, limits=limits, mtj=junction, shots_per_batch=14), list[str]()
        effort = foresee(load_finished(finished_folder), "frontier", asked, (0, 1), 6)
        assert journal.applied(0) == 0
        run = run_on_bench(
            load_finished(finished_folder), "frontier", asked, (0, 1), clips=6, trims={}, say=said.append
        )
        applied = max(journal.applied(number) for number in (0, 1))
        played = sum(batch.kind == "answers" for batch in journal._batches(""))
    assert said == [str(effort)]
    assert effort.answers == run.answers
    assert 0.7 * applied < effort.pulses < 2 * applied, "some switch less, and calibrations come on top"
    assert effort.seconds == 0.5 * played, "half a second for each batch, before there was any"
    assert said[0].endswith("pulses on a junction")


def test_each_junction_is_accounted_for(finished_folder: Path, expected: MTJ) -> None:
    bench = ChipBench(chip({"V_c0": 0.31}, {}, {}), expected, dead=(2,))
    found = run_on_bench(load_finished(finished_folder), "frontier", bench, (0, 1, 2), clips=6, trims={})
    warm, right, dead = found.junctions
    assert warm.deviation > 5
    assert abs(right.deviation) < 4
    assert (dead.answers, dead.dead, found.dead) == (0, "it does not switch", (2,))
    assert warm.answers + right.answers == found.answers == sum(part.measured.n for part in found.bins)


def test_the_temperature_of_a_share(expected: MTJ) -> None:
    """Junctions that are warmer by 8 K than the law says are found to be warmer by 8 K."""
    rng, rise = np.random.default_rng(0), rises_of(expected)
    warm = torch.from_numpy(rng.uniform(0, 60, 40_000))

    def p(rises: torch.Tensor) -> NDArray[np.float64]:
        return np.asarray(expected.answer(expected.V_probe, expected.t_probe, (rises,)))

    parts = bins_of(p(warm), (rng.random(len(warm)) < p(warm + 8)).astype(float), expected)
    for part in parts:
        seen = part.rise_measured
        wider = 0.5 * (seen.high - seen.low)
        assert seen.low - wider < part.rise_expected + 8 < seen.high + wider
        assert seen.high - seen.low < 6
    assert rise(0.0) == -50
    assert rise(1.0) == pytest.approx(float(expected.hottest))


def test_bins_hold_equally_many() -> None:
    p = np.linspace(0.1, 0.9, 80)
    parts = bins_of(p, (p > 0.5).astype(float), load_junction("mtj-thermal"), 4)
    assert [part.measured.n for part in parts] == [20] * 4
    assert [part.measured.value for part in parts] == [0, 0, 1, 1]


def test_what_cannot_run_on_a_bench(finished_folder: Path, expected: MTJ, tmp_path: Path) -> None:
    bench, finished = ChipBench(chip({}), expected), load_finished(finished_folder)
    with pytest.raises(IPNetError, match="unknown position with a memory 'stem'"):
        run_on_bench(finished, "stem", bench, (0,), clips=2)
    with pytest.raises(IPNetError, match=r"the clips must be 1 to \d+"):
        run_on_bench(finished, "frontier", bench, (0,), clips=10_000)
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(IPNetError, match="run on a bench"):
        read_hil(tmp_path / "broken.json")
    (tmp_path / "bench.toml").write_text('card = "mtj-thermal"\njunctions = []\n')
    with pytest.raises(IPNetError, match=r"bench 'bench\.toml'"):
        read_bench(tmp_path / "bench.toml")
