"""Junctions behind a bench: the same heat as the law's, and what becomes of a junction that dies."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ipnet.bench import DeadJunction
from ipnet.device import load_device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.hardware import Hardware
from ipnet.neuron import Neuron
from ipnet.shots import Shot, Trim


def probability(mtj: MTJ, shot: Shot) -> float:
    """Of the last pulse, after heat that is followed segment by segment; nothing of `Hardware` is used."""
    state = mtj.rest(torch.zeros((), dtype=torch.float64))
    assert (shot.V[:-1] <= 0).all(), "a history must not switch the junction"
    for V, t in zip(shot.V[:-1], shot.t[:-1], strict=True):
        power = mtj.power(torch.tensor(abs(V), dtype=torch.float64), antiparallel=mtj.resting)
        state = mtj.heat(state, power, torch.tensor(t, dtype=torch.float64))
    last = (torch.tensor(float(part[-1]), dtype=torch.float64) for part in (shot.V, shot.t))
    return float(mtj.p_switch(*last, state))


class Bench:
    """Junctions that answer as the card says, each shot from its own draw."""

    def __init__(self, mtj: MTJ, seed: int = 0, dies: int | None = None) -> None:
        self.mtj, self.rng, self.dies = mtj, np.random.default_rng(seed), dies
        self.asked: list[tuple[int, str]] = []
        self.expected: list[float] = []

    def run(self, junction: int, shots: Sequence[Shot], key: str) -> NDArray[np.bool_]:
        if junction == self.dies and len(self.asked) > 4:
            raise DeadJunction(junction, "it does not switch")
        self.asked.append((junction, key))
        p = np.array([probability(self.mtj, shot) for shot in shots])
        self.expected += p.tolist()
        return np.asarray(self.rng.random(len(p)) < p)


def neuron_on(bench: Bench, junctions: Sequence[int] = (0,), label: str = "run") -> tuple[Neuron, Hardware]:
    hardware = Hardware(bench.mtj, bench, junctions, label)
    return Neuron(hardware, channels=2, backend="reference"), hardware


def events(T: int = 9) -> torch.Tensor:
    drawn = torch.rand(T, 1, 2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return (drawn < 0.4).double()


@pytest.mark.parametrize("clock", [{}, {"t_cycle": 140e-9}, {"gain": 0.2, "t_cycle": 400e-9}])
def test_a_replayed_history_warms_a_junction_as_the_law_does(clock: dict[str, float]) -> None:
    bench = Bench(load_device("mtj-thermal", **clock))
    neuron, hardware = neuron_on(bench)
    spikes, _ = neuron(events())
    expected = np.concatenate(hardware.expected)
    assert np.ptp(expected) > 0.02
    assert np.abs(expected - bench.expected).max() < 1e-4 * np.ptp(expected) + 1e-6
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert np.concatenate(hardware.measured).tolist() == spikes.flatten().tolist()


def test_a_run_can_be_cut_and_resumed() -> None:
    mtj = load_device("mtj-thermal")
    whole, _ = neuron_on(Bench(mtj))
    parts, _ = neuron_on(Bench(mtj))
    x = events()
    y, last = whole(x)
    first, state = parts(x[:4])
    second, state = parts(x[4:], state)
    assert torch.equal(torch.cat([first, second]), y)
    assert all(torch.equal(a, b) for a, b in zip(state, last, strict=True))


def test_the_gradient_is_that_of_the_law_at_the_measured_spikes() -> None:
    neuron, _ = neuron_on(Bench(load_device("mtj-thermal")))
    x = events().requires_grad_()
    y, _ = neuron(x)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert neuron.log_gain.grad is not None
    model = Neuron(load_device("mtj-thermal"), channels=2, emission="sample", backend="reference")
    other = events().requires_grad_()
    model(other)[0].sum().backward()
    assert other.grad is not None
    assert torch.corrcoef(torch.stack([x.grad.flatten(), other.grad.flatten()]))[0, 1] > 0.9


def test_junctions_take_turns_and_the_keys_name_what_was_asked() -> None:
    bench = Bench(load_device("mtj-thermal"))
    neuron, _ = neuron_on(bench, (3, 5, 7), "clip")
    neuron(events(2))
    assert [junction for junction, _ in bench.asked] == [3, 5, 7] * 2
    assert len({key for _, key in bench.asked}) == 6
    again = Bench(load_device("mtj-thermal"))
    neuron_on(again, (3, 5, 7), "clip")[0](events(2))
    assert again.asked == bench.asked


def test_a_dead_junction_is_set_aside_and_the_others_take_its_neurons() -> None:
    bench = Bench(load_device("mtj-thermal"), dies=5)
    neuron, hardware = neuron_on(bench, (3, 5, 7))
    y, _ = neuron(events(6))
    assert (hardware.alive, hardware.dead) == ([3, 7], {5: "it does not switch"})
    assert len(bench.expected) == y.numel()
    assert len({key for _, key in bench.asked}) == len(bench.asked)
    alone = Bench(load_device("mtj-thermal"), dies=5)
    with pytest.raises(IPNetError, match=r"all junctions are dead: 5; what was measured is in the journal"):
        neuron_on(alone, (5,))[0](events(8))


def test_a_trimmed_junction_is_asked_at_voltages_of_its_own() -> None:
    mtj = load_device("mtj-thermal")
    asked: list[Shot] = []

    class Noting(Bench):
        def run(self, junction: int, shots: Sequence[Shot], key: str) -> NDArray[np.bool_]:
            asked.extend(shots)
            return super().run(junction, shots, key)

    trims = {1: Trim(0.29, 0.9)}
    Neuron(Hardware(mtj, Noting(mtj), (0, 1), "run", trims), channels=2, backend="reference")(events(3))
    assert sorted({float(shot.V[-1]) for shot in asked}) == [0.285, 0.29]
    drives, own = ({float(shot.V[:-1].min()) for shot in asked if shot.V[-1] == V} for V in (0.285, 0.29))
    assert sorted(own) == pytest.approx(sorted(0.9 * V for V in drives))


def test_what_cannot_stand_on_a_bench() -> None:
    mtj = load_device("mtj-thermal")
    with pytest.raises(IPNetError, match="hardware needs a junction; got none"):
        Hardware(mtj, Bench(mtj), (), "run")
    with pytest.raises(IPNetError, match=r"hardware needs operation = 'drive and probe'.*has 'bias'"):
        Hardware(load_device("mtj-thermal", operation="bias"), Bench(mtj), (0,), "run")
