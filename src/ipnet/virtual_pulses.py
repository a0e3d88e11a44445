"""What a waveform does to one virtual junction: heat, stochastic switching and the resistance that is seen.

A waveform is cut into runs of constant voltage, and the runs into blocks that end with a long idle time. A block
depends on the one before only through the state and a rest of heat, so the blocks are computed side by side from
guesses of both, and those whose guess was wrong once more, with the same random numbers, until nothing changes:
the result is that of one after the other.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipnet.device.mtj import MTJ
from ipnet.physics import quadrature
from ipnet.surrogate import cloglog

Floats = NDArray[np.float64]
Start = tuple[bool, Floats]  # antiparallel, and the rise of each pole [K]

QUIET = 1e-3  # V, below which nothing but idle time passes
SPLIT = 8.0  # time constants of the slowest pole, an idle time after which a new block begins
SAME = 1e-4  # K, a difference of temperature that changes a hazard by 1 in 10 000 at most
_NODES = quadrature(24, 3).at_once(1)


class Runs(NamedTuple):
    """Stretches of constant voltage: V [n] [V], their durations t [n] [s], and their samples counts [n]."""

    V: Floats
    t: Floats
    counts: NDArray[np.int64]

    def first(self, number: int) -> "Runs":
        """The first so many."""
        return Runs(self.V[:number], self.t[:number], self.counts[:number])


def runs_of(samples: Floats, sample_time: float) -> Runs:
    """The runs of a waveform.

    Example:
        >>> runs_of(np.array([0.2, 0.2, 0.0]), 1e-8).counts.tolist()
        [2, 1]
    """
    edges = np.flatnonzero(samples[1:] != samples[:-1]) + 1
    bounds = np.concatenate([[0], edges, [len(samples)]])
    counts = np.diff(bounds)
    return Runs(samples[bounds[:-1]], counts * sample_time, counts)


class Thermal(NamedTuple):
    """Thermal poles of a junction: resistances R [poles] [K/W] and time constants tau [poles] [s]."""

    R: Floats
    tau: Floats

    @classmethod
    def of(cls, mtj: MTJ) -> "Thermal":
        """The poles of a junction."""
        return cls(mtj.R_th.numpy(), mtj.tau_th.numpy())


class _Blocks(NamedTuple):
    """Runs side by side: V, t and draws [K, blocks], padded in front; which run stands where, -1 for none."""

    V: Floats
    t: Floats
    draws: Floats
    places: NDArray[np.int64]

    def take(self, which: NDArray[np.int64]) -> "_Blocks":
        return _Blocks(self.V[:, which], self.t[:, which], self.draws[:, which], self.places[:, which])


def answer(mtj: MTJ, thermal: Thermal, runs: Runs, start: Start, draws: Floats) -> tuple[Floats, Start]:
    """Resistance at the start of each run [ohm], and how the junction is left.

    Args:
        mtj: the junction.
        thermal: its poles.
        runs: the waveform.
        start: the junction before it.
        draws: a uniform random number of each run; a run switches the junction, at its end, if P exceeds it.
    """
    blocks = _side_by_side(runs, draws, SPLIT * float(thermal.tau.max()))
    states, rises = _guess(mtj, thermal, blocks, start)
    count = blocks.V.shape[1]
    R, ends = np.empty_like(blocks.V), (np.zeros(count, bool), np.empty_like(rises))
    wrong = np.arange(count)
    while len(wrong):
        R[:, wrong], (ends[0][wrong], ends[1][wrong]) = _simulate(
            mtj, thermal, blocks.take(wrong), states[wrong], rises[wrong]
        )
        differs = (states[1:] != ends[0][:-1]) | (np.abs(rises[1:] - ends[1][:-1]).sum(1) > SAME)
        wrong = np.flatnonzero(differs) + 1
        states[wrong], rises[wrong] = ends[0][wrong - 1], ends[1][wrong - 1]
    resistances = np.empty(len(runs.V))
    real = blocks.places >= 0
    resistances[blocks.places[real]] = R[real]
    return resistances, (bool(ends[0][-1]), ends[1][-1])


def _side_by_side(runs: Runs, draws: Floats, idle: float) -> _Blocks:
    """The blocks of a waveform, their ends aligned."""
    number = np.arange(len(runs.V))
    last = np.flatnonzero((np.abs(runs.V) <= QUIET) & (runs.t >= idle))
    if not len(last) or last[-1] != number[-1]:
        last = np.append(last, number[-1])
    lengths = np.diff(last, prepend=-1)
    block = np.repeat(np.arange(len(last)), lengths)
    row = lengths.max() - 1 - (last[block] - number)
    shape = lengths.max(), len(last)
    V, t, u, places = np.zeros(shape), np.zeros(shape), np.ones(shape), np.full(shape, -1)
    for part, values in ((V, runs.V), (t, runs.t), (u, draws), (places, number)):
        part[row, block] = values
    return _Blocks(V, t, u, places)


def _guess(mtj: MTJ, thermal: Thermal, blocks: _Blocks, start: Start) -> tuple[NDArray[np.bool_], Floats]:
    """State [blocks] and rise [blocks, poles] at the start of each block, if nothing switches."""
    after = np.cumsum(blocks.t[::-1], 0)[::-1] - blocks.t
    power = blocks.V**2 / float(mtj.R_AP if start[0] else mtj.R_P)
    tau = thermal.tau
    share = -np.expm1(-blocks.t[..., None] / tau) * np.exp(-after[..., None] / tau)
    left = thermal.R * (power[..., None] * share).sum(0)
    rises = np.concatenate([start[1][None], left[:-1]])
    return np.full(blocks.V.shape[1], start[0]), rises


def _simulate(
    mtj: MTJ, thermal: Thermal, blocks: _Blocks, antiparallel: NDArray[np.bool_], rise: Floats
) -> tuple[Floats, tuple[NDArray[np.bool_], Floats]]:
    """Run all blocks from their starts, run by run: resistances [K, blocks], and their ends."""
    state, decays = antiparallel.copy(), np.exp(-blocks.t[..., None] / thermal.tau)
    R = np.full(blocks.V.shape, float(mtj.R_P))
    loud = (np.abs(blocks.V).max(1) > QUIET).tolist()
    for k, (V, decay) in enumerate(zip(blocks.V, decays, strict=True)):
        if state.any():
            rows = np.flatnonzero(state)
            seen = mtj.resistance(_tensor(V[rows]), antiparallel=True, rise=_tensor(rise[rows].sum(1)))
            R[k, rows] = seen.numpy()
        switched = _switched(mtj, V, blocks.t[k], blocks.draws[k], state, rise) if loud[k] else None
        steady = thermal.R * (V**2 / R[k])[:, None]
        rise = steady + (rise - steady) * decay
        if switched is not None:
            state ^= switched
    return R, (state, rise)


def _switched(
    mtj: MTJ, V: Floats, t: Floats, draws: Floats, state: NDArray[np.bool_], rise: Floats
) -> NDArray[np.bool_]:
    """Which junctions a run switches [blocks]."""
    switched = np.zeros(len(V), bool)
    for antiparallel, facing in ((False, V), (True, -V)):
        rows = np.flatnonzero((state == antiparallel) & (facing > QUIET) & (draws < 1))
        if len(rows):
            poles = tuple(_tensor(part) for part in rise[rows].T)
            with torch.no_grad():
                eta = mtj.log_hazard(
                    _tensor(facing[rows]), _tensor(t[rows]), poles, antiparallel=antiparallel, rule=_NODES
                ).logsumexp(0)
                switched[rows] = draws[rows] < cloglog(eta).numpy()
    return switched


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))
