"""A probe voltage for each junction of a population."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ipnet.device.mtj import MTJ

_HALVINGS = 40  # of the interval in which the voltage lies: to 1e-12 of V_max


def probe_of_its_own(population: "MTJ", nominal: "MTJ") -> Tensor:
    """The probe voltage at which each junction switches, cold, as readily as the nominal one.

    Where V_max is too low for that, it is V_max. The hazard of a cold junction rises with the voltage, so the
    voltage is found by halving [0, V_max].

    Args:
        population: junctions that differ.
        nominal: the card's.

    Returns:
        V_probe [V], in the shape of the population.
    """

    def answer(mtj: "MTJ", V: Tensor) -> Tensor:
        rest = mtj.rest(V)
        return mtj.log_hazard(V, mtj.t_probe, rest, antiparallel=mtj.resting, rule=nominal.rule)

    wanted = answer(nominal, nominal.V_probe)
    low = torch.zeros_like(answer(population, population.V_max))
    high = low + population.V_max
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        less = answer(population, middle) < wanted
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    return high
