"""The chip is just another device: junctions behind a bench answer, and the model of their card has the gradient.

A bench cannot decide within a clock cycle, and heat is gone after microseconds. So every answer is a *shot* on a
cold junction: it replays the history of the neuron, with the spikes that were measured in it, and ends with the
probe. The pulses of the history have the polarity that cannot switch and the power that they would have had, so
that the junction is as warm as that of the card's law (`ipnet.device.mtj.MTJ.cycle`). What is older than
`FORGOTTEN` thermal time constants is left out.

A few junctions serve many neurons in turn; a junction that dies is set aside, and the others take its neurons.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipnet.bench import DeadJunction
from ipnet.device import Device, Emit, State
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.shots import Answers, Shot, Trim

FORGOTTEN = 7.0  # slowest thermal time constants after which a pulse is left out of a history: e^-7 is 0.1 %
_SHORTEST = 1e-12  # s, below which a phase of the clock is none
_DIGITS = 6  # V: a microvolt, finer than any generator
_NONE = -1.0  # in a history, before the first cycle: no voltage is negative

Floats = NDArray[np.float64]


class Hardware(Device):
    """Junctions behind a bench, one cycle of all neurons at a time.

    The state is that of the card's law, which the measured spikes heat, and the history of each neuron: the
    voltages of its last drives and whether it switched then. So a run can be cut and resumed, and the gradient is
    that of the law, straight through the measured spike.

    Args:
        model: the card's law; its operation must be ``"drive and probe"``.
        bench: measures, see `ipnet.bench.Bench`.
        junctions: those that take turns, at least one.
        label: of the run; with the number of the cycle it is the key under which answers are kept.
        trims: how junctions are asked that differ from the card's, see `ipnet.bench_procedures.trim`.

    Attributes:
        report: called after each cycle.
        alive: junctions that take turns still.
        dead: those that do not, and why.
        cycles: that were measured.
        expected: what the law said of each measured answer, cycle by cycle [1].
        measured: whether the junction switched, in the same order.
        served: which junction it was, in the same order.

    Raises:
        IPNetError: no junction, or another operation.
    """

    def __init__(
        self,
        model: MTJ,
        bench: Answers,
        junctions: Sequence[int],
        label: str,
        trims: Mapping[int, Trim] | None = None,
    ) -> None:
        super().__init__(model.card)
        if not junctions:
            raise IPNetError("hardware needs a junction; got none: name at least one that works.")
        if not model.probes:
            raise IPNetError(
                f"hardware needs operation = 'drive and probe', so that a history can be replayed; card "
                f"'{model.card.name}' has 'bias': change the clock."
            )
        self.model, self.bench, self.label = model, bench, label
        self.trims = dict(trims or {})
        self.alive, self.dead, self.cycles = list(junctions), dict[int, str](), 0
        self.report: Callable[[], None] = lambda: None
        self.expected, self.measured, self.served = list[Floats](), list[Floats](), list[NDArray[np.int64]]()
        self.depth = _depth(model)
        past = range(1, self.depth + 1)
        self.state_names = (
            *model.state_names,
            *(f"drive {k} cycles ago [V]" for k in past),
            *(f"whether it switched {k} cycles ago [1]" for k in past),
        )

    def rest(self, like: Tensor) -> State:
        """Cold junctions without a history."""
        none, zero = torch.full_like(like, _NONE), torch.zeros_like(like)
        return (*self.model.rest(like), *[none] * self.depth, *[zero] * self.depth)

    def cycle(self, V: Tensor, state: State, emit: Emit) -> tuple[Tensor, State]:
        """Measure one cycle of every neuron."""
        poles = self.model.poles
        rises, driven, switched = state[:poles], state[poles : poles + self.depth], state[poles + self.depth :]
        spikes = self._measured(V, driven, switched)

        def answer(p: Tensor) -> Tensor:
            self.expected.append(p.detach().double().cpu().numpy().ravel())
            return emit(p + (spikes - p).detach())

        emitted, after = self.model.cycle(V, rises, answer)
        self.report()
        return emitted, (*after, V.detach(), *driven[:-1], spikes, *switched[:-1])

    def memory_cycles(self) -> float:
        """Of the card's law."""
        return self.model.memory_cycles()

    def _measured(self, V: Tensor, driven: Sequence[Tensor], switched: Sequence[Tensor]) -> Tensor:
        """Spikes 0 or 1, in the shape of V."""
        rounded = np.round(_rows((*driven[::-1], V)), _DIGITS)  # as single precision may not be the same elsewhere
        drives = np.minimum(rounded, self.card.clock.V_max)  # that of this cycle last [K + 1, N]
        spiked = _rows(switched[::-1])  # [K, N]
        self.cycles += 1
        answers, by, waiting = np.zeros(V.numel(), bool), np.zeros(V.numel(), np.int64), np.arange(V.numel())
        turn = 0
        while len(waiting):
            waiting, turn = self._turn(drives, spiked, waiting, answers, by, turn), turn + 1
        self.measured.append(answers.astype(np.float64))
        self.served.append(by)
        return torch.from_numpy(answers).to(V.device, V.dtype).view(V.shape)

    def _turn(
        self,
        drives: Floats,
        spiked: Floats,
        waiting: NDArray[np.int64],
        answers: NDArray[np.bool_],
        by: NDArray[np.int64],
        turn: int,
    ) -> NDArray[np.int64]:
        """Ask the junctions that live for the neurons that wait; those whose junction died wait for another."""
        left, serving = [], list(self.alive)
        if not serving:
            raise IPNetError(
                f"all junctions are dead: {', '.join(map(str, self.dead))}; what was measured is in the journal: "
                "put in another chip and begin another journal."
            )
        for place, junction in enumerate(serving):
            mine = waiting[place :: len(serving)]
            if not len(mine):
                continue
            own = self.trims.get(junction, Trim(self.card.clock.V_probe))
            shots = shots_of(self.model, drives[-1, mine], drives[:-1, mine], spiked[:, mine], own)
            key = f"{self.label}/{self.cycles}/{turn}/{junction}"
            try:
                answers[mine], by[mine] = self.bench.run(junction, shots, key), junction
            except DeadJunction as error:
                self.alive.remove(junction)
                self.dead[junction] = error.why
                left.append(mine)
        return np.concatenate(left) if left else np.empty(0, np.int64)


def shots_of(mtj: MTJ, V: Floats, driven: Floats, switched: Floats, own: Trim) -> list[Shot]:
    """The shots that ask neurons for their answer to a drive, after their histories.

    Args:
        mtj: the card's law.
        V: drive of this cycle, of each neuron [N] [V].
        driven: drives of the cycles before [K, N], the last one last; negative where there was none [V].
        switched: whether the neuron switched in them [K, N].
        own: how the junction that answers is asked.

    Returns:
        One for each neuron. Voltages are positive in the polarity that switches the resting state.
    """
    clock, rest = mtj.card.clock, mtj.resting
    idle = clock.t_cycle - clock.t_pulse - clock.t_probe - clock.t_read - clock.t_reset
    widths = np.array([clock.t_pulse, clock.t_probe, clock.t_read, clock.t_reset, idle])
    alike = _same_power(mtj, mtj.V_read, rest), _same_power(mtj, mtj.V_reset, rest)
    started, spiked = driven >= 0, switched > 0.5
    probed = np.where(started, clock.V_probe, 0.0)
    read = np.where(started, np.where(spiked, alike[0], clock.V_read), 0.0)
    reset = np.where(started & spiked, alike[1], 0.0)
    cycles = -np.stack(
        [np.where(started, driven, 0.0), probed, read, reset, np.zeros_like(driven)], 1
    )  # [K, 5, N]
    lasting = widths > _SHORTEST
    widths, cycles = widths[lasting], cycles[:, lasting]
    history, shots = cycles.reshape(-1, len(V)), list[Shot]()
    times, last = np.tile(widths, len(driven)), np.array([clock.t_pulse, clock.t_probe])
    first = len(widths) * (len(driven) - started.sum(0))  # segments before the first cycle are left out
    for n, begin in enumerate(first):
        voltages = np.concatenate([own.heat * history[begin:, n], [-own.heat * V[n], own.V_probe]])
        shots.append(Shot(voltages, np.concatenate([times[begin:], last])))
    return shots


def hottest_shots(mtj: MTJ, own: Trim) -> list[Shot]:
    """The shots of a neuron that was driven with V_max in all of its past, and switched always, or never."""
    V = np.array([mtj.card.clock.V_max])
    past = np.repeat(V[None], _depth(mtj), 0)
    return [shot for spiked in (0.0, 1.0) for shot in shots_of(mtj, V, past, np.full_like(past, spiked), own)]


def _depth(mtj: MTJ) -> int:
    """How many cycles a history has."""
    return math.ceil(FORGOTTEN * float(mtj.tau_th.max()) / float(mtj.card.clock.t_cycle))


def _rows(parts: Sequence[Tensor]) -> Floats:
    """Each part as one row, in double precision."""
    return np.stack([part.detach().double().cpu().numpy().ravel() for part in parts])


def _same_power(mtj: MTJ, V: Tensor, rest: bool) -> float:
    """The voltage that heats the resting state as V heats the switched one [V]."""
    power = mtj.power(V, antiparallel=not rest)
    return float((power * mtj.resistance(V, antiparallel=rest)).sqrt())
