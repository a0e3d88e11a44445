"""What takes a batch through: limits, then the journal, then the instruments, then the journal again."""

import math
from collections.abc import Sequence

import numpy as np

from ipnet.batch import Batch, Kind
from ipnet.device.mtj import MTJ
from ipnet.errors import UnreadableError
from ipnet.journal import Journal
from ipnet.levels import UNKNOWN, Levels, read_currents
from ipnet.limits import Limits, check_batch
from ipnet.link import Link, Playable
from ipnet.shots import Floats, Protocol, Shot, waveform


class Sender:
    """Sends batches, each exactly once, within limits and on record.

    Args:
        link: to the instruments.
        journal: of the bench.
        limits: that no pulse may break.
        mtj: junction of the card.
    """

    def __init__(self, link: Link, journal: Journal, limits: Limits, mtj: MTJ) -> None:
        self._link, self._journal, self._limits, self._mtj = link, journal, limits, mtj
        self._sign = -1.0 if mtj.resting else 1.0  # positive voltages at the chip switch P to AP

    def send(
        self,
        junction: int,
        shots: Sequence[Shot],
        protocol: Protocol,
        kind: Kind,
        *,
        key: str = "",
        places: Sequence[int] = (),
        levels: Levels = UNKNOWN,
    ) -> Batch:
        """Check a batch, write it down, play it, and write down what came back.

        Args:
            junction: its number.
            shots: all of the batch; of answers, the last two check the junction.
            protocol: what follows each shot.
            kind: see `Batch`.
            key: of the answers.
            places: of each shot among those of the key.
            levels: of the junction.

        Raises:
            IPNetError: a limit would be broken; nothing was sent.
        """
        R = protocol.V_read / max(levels) if levels.known else math.inf
        check_batch(shots, protocol, self._limits, self._mtj, self._journal.applied(junction), R)
        number = self._journal.open_batch(
            junction, shots, protocol=protocol, kind=kind, key=key, places=places, levels=levels
        )
        return self.finish(self._journal.batch(number))

    def finish(self, batch: Batch) -> Batch:
        """Play an open batch, or find out what became of a sent one; the batch as it is then."""
        number, levels = batch.number, Levels(*batch.levels)
        samples, reads = waveform(batch.shots, batch.protocol)

        def read(record: Floats, step: float) -> Floats:
            return -self._sign * read_currents(record, step, reads, batch.protocol)

        playable = Playable(
            name=batch.name,
            junction=batch.junction,
            samples=self._sign * samples,
            sample_time=batch.protocol.sample_time,
            I_range=self._range(batch, samples),
            plausible=lambda record, step: not levels.known or bool(levels.near(read(record, step)).all()),
        )
        planned = batch.state == "open"
        try:
            played = self._link.play(playable, lambda: self._journal.send_batch(number), sent=not planned)
        except UnreadableError as error:
            self._journal.note("unreadable", batch.junction, str(error))
            nothing = np.full(len(batch.shots), np.nan)
            self._journal.close_batch(number, nothing, [-1] * len(nothing), void=True)
            return self._journal.batch(number)
        if played is None:
            self._journal.lose_batch(number)
        else:
            currents = read(*played)
            answers = levels.switches(currents) if levels.known else np.full(len(currents), -1)
            void = batch.kind == "answers" and not levels.alive(*currents[-2:].tolist())
            self._journal.close_batch(number, currents, answers, void=void)
        return self._journal.batch(number)

    def _range(self, batch: Batch, samples: Floats) -> float:
        """Full scale [A] that holds the strongest pulse of either sign on a junction that lives."""
        levels = Levels(*batch.levels)
        R = batch.protocol.V_read / max(levels) if levels.known else self._mtj.card.parameters.R_P / 2
        return 2 * 1.3 * float(np.abs(samples).max()) / R
