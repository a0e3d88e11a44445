"""The pulses that one clock cycle puts on a junction, and the energy that they take.

A pulse of the voltage V and the width t on the resistance R takes V^2 / R t from its line. That is the heat that
`ipnet.device.mtj.MTJ.cycle` gives to the junction: the resistance of a pulse is that at its start, at ambient
temperature for the read and the reset.
"""

from typing import Literal, NamedTuple

from torch import Tensor

from ipnet.device import State
from ipnet.device.mtj import MTJ, total

Kind = Literal["drive", "probe", "read", "reset"]


class Applied(NamedTuple):
    """A pulse on a junction, or on many.

    Attributes:
        kind: what it is for.
        V: voltage [V].
        R: resistance of the junction at its start [ohm].
        width: [s].
        share: of the cycles, in which it is given [1].
    """

    kind: Kind
    V: Tensor
    R: Tensor
    width: Tensor
    share: Tensor

    @property
    def heat(self) -> Tensor:
        """Joule heat V^2 / R t, times the share [J]."""
        return self.V**2 / self.R * self.width * self.share

    @property
    def current_squared(self) -> Tensor:
        """I^2 t, times the share [A2 s]: a resistance in series takes so many times its ohms."""
        return (self.V / self.R) ** 2 * self.width * self.share

    @property
    def voltage_squared(self) -> Tensor:
        """V^2, times the share [V2]: a line of the capacitance C takes C times that."""
        return self.V**2 * self.share


def applied(mtj: MTJ, V: Tensor, state: State, emitted: Tensor) -> list[Applied]:
    """The pulses of one clock cycle.

    Args:
        mtj: a junction.
        V: pulse voltages from `drive` [V].
        state: at the start of the cycle.
        emitted: share of the cycles in which the junction is read as switched, what `cycle` emits [1].

    Returns:
        The drive, the probe if there is one, the read of the resting and of the switched state, the reset.

    Example:
        >>> import torch
        >>> from ipnet.device import load_device
        >>> mtj = load_device("mtj-thermal")
        >>> V = mtj.drive(torch.tensor(0.3))
        >>> drive, *_ = applied(mtj, V, mtj.rest(V), torch.tensor(0.1))
        >>> drive.kind, f"{drive.heat.item():.3e} J"
        ('drive', '3.557e-12 J')
    """
    rest, other, always = mtj.resting, not mtj.resting, V.new_ones(())
    R = mtj.resistance(V, antiparallel=rest, rise=total(state))
    pulses = [Applied("drive", V, R, mtj.t_pulse, always)]
    if mtj.probes:
        heated = mtj.heat(state, V**2 / R, mtj.t_pulse)
        R = mtj.resistance(mtj.V_probe, antiparallel=rest, rise=total(heated))
        pulses.append(Applied("probe", mtj.V_probe, R, mtj.t_probe, always))
    for switched, share in ((rest, 1 - emitted), (other, emitted)):
        R = mtj.resistance(mtj.V_read, antiparallel=switched)
        pulses.append(Applied("read", mtj.V_read, R, mtj.t_read, share))
    R = mtj.resistance(mtj.V_reset, antiparallel=other)
    return [*pulses, Applied("reset", mtj.V_reset, R, mtj.t_reset, emitted)]
