"""What is done for a clip, in numbers: the quantities that a price list puts prices on."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import reduce
from operator import add
from typing import Self


@dataclass(frozen=True)
class Operations:
    """What is done for one clip, in numbers of values unless a unit says otherwise.

    Args:
        macs: multiply-accumulates, zeros included.
        dense: those without the zeros that a convolution pads its input with.
        effective_macs: those of two factors that are not zero, without `effective_acs`.
        effective_acs: the same where all inputs are -1, 0 or 1: accumulates.
        adds: element-wise additions.
        muls: element-wise multiplications.
        compares: comparisons.
        functions: sigmoid, tanh and other functions.
        weights: values of weights and biases that multiply-accumulates take.
        weight_reads: how often one of them is fetched.
        reads: inputs that are fetched.
        writes: outputs that are written.
        state: values that are kept from frame to frame.
        state_reads: how often one of them is fetched.
        state_writes: how often one of them is written.
        junctions: devices.
        drives: drive pulses of more than 0 V.
        probes: probe pulses.
        senses: reads of a junction.
        resets: reset pulses, as many as are expected.
        heat: in the junctions [J].
        current_squared: integral over the pulses, of all junctions [A2 s].
        voltage_squared: sum over the pulses of all junctions [V2].
        unpriced: cycles of devices whose card says nothing about energy.
        unknown: values that came from operations which are none of these.
    """

    macs: float = 0
    dense: float = 0
    effective_macs: float = 0
    effective_acs: float = 0
    adds: float = 0
    muls: float = 0
    compares: float = 0
    functions: float = 0
    weights: float = 0
    weight_reads: float = 0
    reads: float = 0
    writes: float = 0
    state: float = 0
    state_reads: float = 0
    state_writes: float = 0
    junctions: float = 0
    drives: float = 0
    probes: float = 0
    senses: float = 0
    resets: float = 0
    heat: float = 0
    current_squared: float = 0
    voltage_squared: float = 0
    unpriced: float = 0
    unknown: float = 0

    def __add__(self, other: Self) -> "Operations":
        return Operations(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Self) -> "Operations":
        return Operations(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __truediv__(self, number: float) -> "Operations":
        return Operations(*(a / number for a in astuple(self)))


def total_of(layers: Mapping[str, Operations]) -> Operations:
    """The sum over layers."""
    return reduce(add, layers.values(), Operations())
