"""Under which accounting do the published ratios of memory energy come out, if under any?

The paper says 2,874 times less than an LSTM and 90,920 times less than a parallel 3-D CNN, and not how it counted.
N neurons that take E each per frame, in the place of a memory that takes E_memory, give a ratio R if
E = E_memory / (N R).
What is unknown is searched over a stated range: hidden units of the LSTM, map of the 3-D convolution, what counts,
precision, technology, and E. One neuron must give both ratios, so the fewer accountings do, the more that says.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from ipnet.bill import PARTS, Accounting, Part, Precision, bill_of, joules
from ipnet.operations import Operations
from ipnet.prices import Node, PriceList

LSTM, CONVOLUTION = 2874.0, 90920.0  # arXiv:2512.15829, v1 and v2
HIDDEN = 32, 64, 128, 256, 512, 1024, 2048
CHANNELS = 32, 64, 128, 256, 512, 1024
SIDES = 1, 2, 3, 4, 7, 8, 14, 16, 28, 32, 64, 112, 128
COUNTED: dict[str, tuple[Part, ...]] = {
    "products": ("arithmetic",),
    "products, functions": ("arithmetic", "functions"),
    "products, functions, weights": ("arithmetic", "functions", "weights"),
    "all": PARTS,
}
# Energy of a neuron for a frame [J]: from a simulated MTJ neuron, 7 fJ (Nat. Commun. s41467-022-34774-9, Table 1),
# to a dual-free-layer pMTJ, 16 pJ a spike (arXiv:2309.07535).
NEURON = 7e-15, 16e-12
_UNITS, _VALUES = "as the LSTM has units", "one for each value of a map"
_NEAR = 0.1  # of a ratio: what counts as the published one


class Way(BaseModel):
    """An accounting under which both ratios come out.

    Args:
        counted: see `COUNTED`.
        precision: of numbers.
        node: technology [nm].
        hidden: units of the LSTM, and inputs.
        channels: of the 3-D convolution, in and out, with a cube of 3.
        side: of its map.
        neurons: whether one stands for each unit of the LSTM, or for each value of the map of the convolution.
        neuron_energy: that gives the ratio to the LSTM [J].
        convolution_ratio: that the same neuron then has to the convolution.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    counted: str
    precision: str
    node: int
    hidden: int
    channels: int
    side: int
    neurons: Literal["as the LSTM has units", "one for each value of a map"]
    neuron_energy: float
    convolution_ratio: float


class Search(BaseModel):
    """What a search found.

    Args:
        accountings: for the LSTM, without the energy of a neuron.
        neuron_energies: that 2,874 needs, smallest and largest over the accountings [J].
        needed: the same for int8 and 28 nm, by what is counted, for each number of hidden units.
        within: accountings in which that lies in `NEURON`.
        pairs: accountings for both.
        both: of these, those in which one neuron in `NEURON` gives 2,874 and, within a tenth, 90,920.
        ways: some of them: one neuron for each LSTM unit, as many channels as units, nearest first.
        own_energy: of the card's neuron in the clips that were counted [J].
        own_ratios: with that, smallest and largest ratio to an LSTM over the accountings.
        own_within: accountings in which it is 2,874 within a tenth.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    accountings: int
    neuron_energies: tuple[float, float]
    needed: dict[str, list[tuple[int, float]]]
    within: int
    pairs: int
    both: int
    ways: list[Way]
    own_energy: float
    own_ratios: tuple[float, float]
    own_within: int


def lstm_step(hidden: int) -> Operations:
    """An LSTM of as many inputs as hidden units, for a frame; see `torch.nn.LSTM`.

    Example:
        >>> lstm_step(64).macs
        32768
    """
    h, weights = hidden, 8 * hidden**2 + 8 * hidden
    return Operations(
        macs=8 * h**2,
        adds=5 * h,
        muls=3 * h,
        functions=5 * h,
        weights=weights,
        weight_reads=weights,
        reads=2 * h,
        writes=8 * h,
        state=2 * h,
        state_reads=2 * h,
        state_writes=2 * h,
    )


def convolution_step(channels: int, side: int) -> Operations:
    """A 3-D convolution with a cube of 3 over a map, for a frame.

    Example:
        >>> convolution_step(512, 3).macs / lstm_step(512).macs
        30.375
    """
    weights, values = 27 * channels**2, channels * side**2
    return Operations(
        macs=27 * channels**2 * side**2,
        weights=weights,
        weight_reads=weights,
        reads=3 * values,
        writes=values,
        state=2 * values,
    )


def search(prices: PriceList, own_energy: float) -> Search:
    """Search the stated range; prices are as they are.

    Args:
        prices: see `ipnet.prices.read_prices`.
        own_energy: of a neuron of the card for a frame [J].
    """
    values, needed, pairs = prices.values(), list[float](), 0
    found, own, plain = list[Way](), list[float](), dict[str, list[tuple[int, float]]]()

    def energy(operations: Operations, accounting: Accounting) -> float:
        return float(joules(bill_of({"": operations}, 1, accounting), prices, values, accounting.node))

    for counted, accounting in _accountings():
        lstms = {h: energy(lstm_step(h), accounting) for h in HIDDEN}
        maps = {(c, s): energy(convolution_step(c, s), accounting) for c, s in product(CHANNELS, SIDES)}
        if (accounting.precision, accounting.node) == ("int8", 28):
            plain[counted] = [(h, lstm / (h * LSTM)) for h, lstm in lstms.items()]
        needed += [lstm / (h * LSTM) for h, lstm in lstms.items()]
        own += [lstm / (h * own_energy) for h, lstm in lstms.items()]
        for (h, lstm), ((c, s), convolution) in product(lstms.items(), maps.items()):
            for neurons, count in ((_UNITS, h), (_VALUES, c * s**2)):
                pairs += 1
                one = lstm / (h * LSTM)
                ratio = convolution / (count * one)
                if NEURON[0] <= one <= NEURON[1] and abs(math.log(ratio / CONVOLUTION)) <= math.log1p(_NEAR):
                    way: dict[str, Any] = {"counted": counted, "precision": accounting.precision}
                    way |= {"node": accounting.node, "hidden": h, "channels": c, "side": s, "neurons": neurons}
                    found.append(Way(**way, neuron_energy=one, convolution_ratio=ratio))
    alike = [way for way in found if way.channels == way.hidden and way.neurons == _UNITS]
    return Search(
        accountings=len(needed),
        neuron_energies=(min(needed), max(needed)),
        needed=plain,
        within=sum(NEURON[0] <= energy <= NEURON[1] for energy in needed),
        pairs=pairs,
        both=len(found),
        ways=_nearest(alike)[:10],
        own_energy=own_energy,
        own_ratios=(min(own), max(own)),
        own_within=sum(abs(math.log(ratio / LSTM)) <= math.log1p(_NEAR) for ratio in own),
    )


def _accountings() -> Iterator[tuple[str, Accounting]]:
    for (counted, parts), precision, node in product(COUNTED.items(), get_args(Precision), get_args(Node)):
        yield counted, Accounting(parts=parts, precision=precision, node=node)


def _nearest(ways: Sequence[Way]) -> list[Way]:
    return sorted(ways, key=lambda way: abs(math.log(way.convolution_ratio / CONVOLUTION)))
