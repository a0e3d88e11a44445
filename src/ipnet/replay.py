"""A recorded run, played back: its journal answers in place of the bench, and whatever differs fails."""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ipnet.batch import Batch
from ipnet.bench import DeadJunction
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.journal import Journal
from ipnet.levels import Levels
from ipnet.limits import Limits, allows
from ipnet.shots import Protocol, Shot, digest


class Replay:
    """A journal that answers what was asked of its bench, and nothing else; nothing is sent, nothing written.

    Every answer is read once more from the current that was recorded, with the levels of its junction, and a
    junction that died dies again at the same shots.

    Args:
        journal: of the bench.
        limits: of its junctions.
        mtj: junction of their card.
        protocol: of its shots.
    """

    def __init__(self, journal: Journal, limits: Limits, mtj: MTJ, protocol: Protocol) -> None:
        self.journal, self.limits, self.mtj, self.protocol = journal, limits, mtj, protocol

    def run(self, junction: int, shots: Sequence[Shot], key: str) -> NDArray[np.bool_]:
        """What the junction answered.

        Args:
            junction: its number at the multiplexer.
            shots: those that were asked.
            key: under which.

        Returns:
            Whether each of them switched the junction [number of shots].

        Raises:
            IPNetError: no such key, other shots, another junction, missing answers, or such as do not follow from
                the currents.
            DeadJunction: the junction died before it had answered all of them.
        """
        self.journal.ask(key, shots, again=True)
        answers, batches = self.journal.answers(key), self.journal.answered(key)
        last = batches[-1].junction if batches else junction
        if (answers < 0).any() or last != junction:
            if why := self.journal.dead().get(junction):
                raise DeadJunction(junction, why)
            missing = int((answers < 0).sum())
            raise IPNetError(
                f"a replay needs the answers of junction {junction} to '{key}'; got {len(answers) - missing} of "
                f"{len(answers)}, the last of them of junction {last}: give the junctions of the record, or "
                "finish the run on the bench first, with the same command without --replay."
            )
        for batch in batches:
            if differs := _difference(batch, shots):
                version = json.loads(self.journal.header["versions"])["ipnet"]
                raise IPNetError(
                    f"batch {batch.number} of '{key}' must play back as it was recorded; {differs}: bring back "
                    f"the journal as the bench left it, and the version of IPNet that wrote it ({version})."
                )
        return np.equal(answers, 1)

    def resistances(self, key: str) -> tuple[float, float]:
        """Of the resting and of the switched junction that answered a key [ohm], as they were read."""
        return self.journal.resistances(key)

    def allows(self, shot: Shot, R: float) -> bool:
        """Whether the limits of the bench let a shot pass to a junction of this lowest resistance [ohm]."""
        return allows(shot, self.protocol, self.limits, self.mtj, R)


def _difference(batch: Batch, shots: Sequence[Shot]) -> str:
    """What of a batch contradicts what was asked, or what was read; empty if nothing does."""
    asked = batch.places >= 0
    played = [shot for shot, of_key in zip(batch.shots, asked, strict=True) if of_key]
    if digest(played) != digest([shots[place] for place in batch.places[asked]]):
        return "other shots were played than were asked"
    levels = Levels(*batch.levels)
    if not np.array_equal(levels.switches(batch.currents), batch.answers == 1):
        return "its answers do not follow from its currents"
    checked = levels.alive(*batch.currents[-2:].tolist())
    return "" if checked else "its last two shots say that the junction is dead"
