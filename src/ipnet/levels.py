"""Read currents of a junction on a bench: how they are taken from a record, told apart, and known to be wrong."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipnet.device.mtj import MTJ
from ipnet.limits import Limits
from ipnet.shots import Floats, Protocol, Shot
from ipnet.units import format_si


class Levels(NamedTuple):
    """Read currents of the resting and of the switched junction [A]; NaN if they are not known."""

    resting: float = math.nan
    switched: float = math.nan

    @property
    def known(self) -> bool:
        """Whether the junction was calibrated."""
        return not math.isnan(self.resting)

    def switches(self, currents: Floats) -> NDArray[np.bool_]:
        """Which currents are nearer to that of the switched junction.

        Example:
            >>> Levels(2e-5, 1e-5).switches(np.array([1.9e-5, 1.1e-5]))
            array([False,  True])
        """
        above: NDArray[np.bool_] = np.greater(currents, (self.resting + self.switched) / 2)
        return above if self.switched > self.resting else np.logical_not(above)

    def near(self, currents: Floats) -> NDArray[np.bool_]:
        """Which currents are those of a junction in either state, within half of their difference.

        Example:
            >>> Levels(2e-5, 1e-5).near(np.array([0.0, 0.6e-5, 1.6e-5, 3e-5]))
            array([False,  True,  True, False])
        """
        low, high = sorted(self)
        margin = (high - low) / 2
        return (currents > low - margin) & (currents < high + margin)

    def alive(self, switched: float, resting: float) -> bool:
        """Whether these are the currents after a shot that must switch the junction, and after one that cannot."""
        pair = np.array([switched, resting])
        return bool(self.near(pair).all()) and self.switches(pair).tolist() == [True, False]


UNKNOWN = Levels()


def check_shots(mtj: MTJ, protocol: Protocol, limits: Limits) -> tuple[Shot, Shot]:
    """A shot that must switch a junction, as surely as the reset brings it back, and one that cannot."""
    card = mtj.card.parameters
    ratio = card.V_c0_AP / card.V_c0 if mtj.resting else card.V_c0 / card.V_c0_AP
    V = min(protocol.V_reset * ratio, limits.V_max)
    surely = Shot(np.array([V]), np.array([protocol.t_reset]))
    return surely, Shot(np.array([0.0]), np.array([protocol.sample_time]))


def strangeness(mtj: MTJ, V_read: float, resting: float, switched: float) -> str:
    """What is wrong with the resistances of a junction, measured in both states [ohm]; empty if nothing is.

    They are wrong beyond a factor of 2 from the card's R_P, or of 4 from its TMR.
    """
    card = mtj.card.parameters
    low, high = (switched, resting) if mtj.resting else (resting, switched)
    tmr = card.tmr_0 / (1 + (V_read / card.V_h) ** 2)
    if card.R_P / 2 < low < 2 * card.R_P and tmr / 4 < high / low - 1 < 4 * tmr:
        return ""
    return (
        f"it has {format_si(resting, 'ohm')} at rest and {format_si(switched, 'ohm')} switched, far from the "
        f"card's R_P of {format_si(card.R_P, 'ohm')} and its TMR of {tmr:.3g}"
    )


def read_currents(record: Floats, step: float, reads: NDArray[np.int64], protocol: Protocol) -> Floats:
    """Mean over each read pulse of a record, without the first quarter of it if there are samples enough.

    Args:
        record: current from the trigger on [A].
        step: between its samples [s].
        reads: first sample of each read pulse in the waveform.
        protocol: of the waveform.

    Example:
        >>> protocol = Protocol(1.0, 0.05, 2.0, 0.4, 1.0, 1.0)
        >>> read_currents(np.array([0.0, 9.0, 1.0, 2.0, 9.0, 0.0]), 1.0, np.array([2]), protocol)
        array([1.5])
    """
    width = protocol.t_read / step
    start = reads * protocol.sample_time / step
    first = np.rint(start + (width / 4 if width >= 4 else 0.0)).astype(np.int64).clip(0, len(record) - 1)
    last = np.rint(start + width).astype(np.int64).clip(first + 1, len(record))
    sums = np.append(0.0, np.cumsum(record))
    means: Floats = (sums[last] - sums[first]) / (last - first)
    return means
