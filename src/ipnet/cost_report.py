"""What `ipnet cost` writes, and how it is read again."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ipnet.array import Area, Throughput
from ipnet.bill import Accounting, Bill
from ipnet.neurobench import NeuroBenchMetrics
from ipnet.prices import Spread
from ipnet.published_ratio import Search
from ipnet.settings import read_json

PATTERN = "cost-*.json"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ContenderCost(_Table):
    """What one contender takes for a clip, the mean of some.

    Args:
        contender: its name in the study.
        memory: its memory.
        trained: whether its weights are those of a finished run; else they are as drawn.
        parameters: trained values of the network.
        operations: of the whole network, by the names of `ipnet.operations.Operations`.
        memory_operations: those that would vanish without the memory.
        layers: operations of each layer, those that are not zero.
        bill: how much of each price the network takes.
        memory_bill: how much of it would vanish without the memory.
        energy: of the network [J].
        memory_energy: of the memory [J].
        memory_area: of what keeps the memory, at 28 nm: junctions, or SRAM for weights and state [m2].
        neurobench: NeuroBench's metrics of the network, if they were asked for.
    """

    contender: str
    memory: str
    trained: bool
    parameters: int
    operations: dict[str, float]
    memory_operations: dict[str, float]
    layers: dict[str, dict[str, float]]
    bill: Bill
    memory_bill: Bill
    energy: Spread
    memory_energy: Spread
    memory_area: Spread
    neurobench: NeuroBenchMetrics | None = None


class Ratio(_Table):
    """How many times the memory energy of one contender is that of another, and what moves it.

    Args:
        of: contender.
        over: contender.
        ratio: of their memory energies.
        moves: for each price, the ratio at the low and the high end of its range, the largest move first.
    """

    of: str
    over: str
    ratio: Spread
    moves: list[tuple[str, float, float]]


class CostReport(_Table):
    """What `ipnet cost` writes: everything that its figures can be computed from again.

    Args:
        study: its name.
        command: that makes the file again.
        data: the set that the clips are of.
        real: whether they are recordings.
        clips: how many were counted, of the validation split.
        frames: of the sensor in a clip.
        frame_interval: time between two frames [s]; None if unknown.
        accounting: what counts.
        prices: each price in SI at the node of the accounting.
        contenders: what each takes.
        ratios: of memory energies, to that of each contender made of junctions.
        area: of a neuron of the first of them, at 28 nm; None without one.
        throughput: of its array.
        published: under which accounting the published ratios come out, with the energy of its neurons.
    """

    study: str
    command: str
    data: str
    real: bool
    clips: int
    frames: int
    frame_interval: float | None
    accounting: Accounting
    prices: dict[str, float]
    contenders: list[ContenderCost]
    ratios: list[Ratio]
    area: Area | None
    throughput: Throughput | None
    published: Search | None


def read_costs(folder: Path) -> list[CostReport]:
    """The files of `ipnet cost` in a folder.

    Raises:
        IPNetError: a file that is none, by name.
    """
    return [read_json(path, CostReport, "costs") for path in sorted(folder.glob(PATTERN))]
