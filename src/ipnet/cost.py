"""What a memory costs: counts of real networks on real clips, priced, and the ratios between memories.

Memory is what would vanish if the contender were replaced by ``none`` in the same backbone, with the same weights
and on the same clips: the difference of two bills. So a bank of junctions also pays for the wider stem that takes
its answers, and a memory that sends something where the sensor was silent pays for it in a sparse accounting.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ipnet.array import area_of, memory_area, throughput_of
from ipnet.bill import BITS, Accounting, Bill, bill_of, difference, joules, sensitivity
from ipnet.budget import Backbone
from ipnet.config import Run, Study
from ipnet.cost_report import ContenderCost, CostReport, Ratio
from ipnet.counting import count_operations
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError, unknown_name
from ipnet.finished import load_finished
from ipnet.memory.intrinsic import Intrinsic
from ipnet.network import Network, build_network, count_parameters
from ipnet.neurobench import neurobench_metrics
from ipnet.operations import Operations, total_of
from ipnet.prices import PriceList, Spread
from ipnet.published_ratio import search
from ipnet.results import RESULT_FILE
from ipnet.tasks import Task, build_task

_DEVICE = "pulse", "access_resistance", "line_capacitance", "driver", "sense"  # prices of a neuron of junctions


def cost_of(
    study: Study,
    names: Sequence[str],
    accounting: Accounting,
    prices: PriceList,
    *,
    runs: Path,
    clips: int = 2,
    frame_interval: float | None = None,
    command: str = "",
    neurobench: bool = False,
    report: Callable[[str, float], None] = lambda *_: None,
) -> CostReport:
    """Count and price some contenders of a study on clips of its validation split.

    Args:
        study: names the data, the backbone and the contenders.
        names: of the contenders.
        accounting: what counts.
        prices: see `ipnet.prices.read_prices`.
        runs: folder of studies, in which finished runs of the first seed give their weights.
        clips: to take the mean of.
        frame_interval: time between two frames [s]; None for that of the clips.
        command: that is written beside what it found.
        neurobench: whether to add NeuroBench's metrics.
        report: told the contender and the share that is done.

    Raises:
        IPNetError: an unknown contender, fewer clips than asked for, or what `load_finished` refuses.
    """
    for name in names:
        if name not in study.contenders:
            raise unknown_name("contender", name, study.contenders)
    task = build_task(study.task, study.data)
    items, facts = task.items("validation"), task.facts()
    interval = frame_interval or facts.get("frame_interval_s")
    if not 1 <= clips <= len(items):
        raise IPNetError(f"the clips must be 1 to {len(items)}, as many as there are to validate; got {clips}.")
    x, _ = items.batch(list(range(clips)))
    found, networks = list[ContenderCost](), list[Network]()
    for number, name in enumerate(names):
        report(name, number / len(names))
        run = study.run(name, study.seeds[0])
        network, trained = _network(run, task, runs / study.study)
        networks.append(network)
        counted = [_mean(one, x) for one in (network, without_memory(network, run.backbone, task))]
        one = _contender(run, network, trained, counted, len(x), accounting, prices)
        metrics = neurobench_metrics(network, x, interval) if neurobench else None
        found.append(one.model_copy(update={"neurobench": metrics}))
    report("", 1.0)
    junctions = _junctions(networks)
    lasts = interval and junctions and interval * max(device.memory_cycles() for device in junctions)
    return CostReport(
        study=study.study,
        command=command,
        data=facts["name"],
        real=facts["real"],
        clips=clips,
        frames=len(x),
        frame_interval=interval,
        accounting=accounting,
        prices={name: prices.at(name, accounting.node, prices.values()) for name in prices.entries},
        contenders=found,
        ratios=_ratios(found, prices, accounting),
        area=area_of(prices, rows=accounting.rows, memory_time=lasts) if junctions else None,
        throughput=junctions and throughput_of(junctions, task.shape[1:], interval, rows=accounting.rows),
        published=_published(found, len(x), prices, accounting),
    )


def without_memory(network: Network, backbone: Backbone, task: Task) -> Network:
    """The same backbone without the memory, with its weights wherever they fit; the others are always the same."""
    same = Backbone.model_validate(backbone.model_dump(exclude={"parameters"}) | {"width": network.width})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bare = Network(task.shape[1:], len(task.outputs), same, "none")
    there = bare.state_dict()
    fitting = {k: v for k, v in network.state_dict().items() if k in there and there[k].shape == v.shape}
    bare.load_state_dict(fitting, strict=False)
    return bare


def _contender(
    run: Run,
    network: Network,
    trained: bool,
    counted: Sequence[dict[str, Operations]],
    frames: int,
    accounting: Accounting,
    prices: PriceList,
) -> ContenderCost:
    """Price the operations of a network with its memory and without."""
    looks = frames / network.temporal_stride
    whole, bare = (bill_of(layers, looks, accounting) for layers in counted)
    total, memory = total_of(counted[0]), total_of(counted[0]) - total_of(counted[1])
    gone, rows = difference(whole, bare), accounting.rows

    def energy(bill: Bill) -> Spread:
        value, many = (joules(bill, prices, values, accounting.node) for values in (prices.values(), prices.drawn))
        return Spread.of(value, many)

    return ContenderCost(
        contender=run.contender,
        memory=run.memory_name,
        trained=trained,
        parameters=count_parameters(network),
        operations=_written(total),
        memory_operations=_written(memory),
        layers={layer: _written(operations) for layer, operations in counted[0].items()},
        bill=whole,
        memory_bill=gone,
        energy=energy(whole),
        memory_energy=energy(gone),
        memory_area=memory_area(_written(memory), BITS[accounting.precision], prices, rows=rows),
    )


def _ratios(found: Sequence[ContenderCost], prices: PriceList, accounting: Accounting) -> list[Ratio]:
    """How many times the memory energy of each is that of each contender made of junctions."""
    node, drawn, ratios = accounting.node, prices.drawn, list[Ratio]()
    for below in (one for one in found if one.memory == "intrinsic" and one.memory_energy.value > 0):
        for above in (one for one in found if one.memory != "intrinsic" and one.memory_bill):
            many = joules(above.memory_bill, prices, drawn, node) / joules(below.memory_bill, prices, drawn, node)
            ratios.append(
                Ratio(
                    of=above.contender,
                    over=below.contender,
                    ratio=Spread.of(above.memory_energy.value / below.memory_energy.value, many),
                    moves=list(sensitivity(above.memory_bill, below.memory_bill, prices, node)),
                )
            )
    return ratios


def _published(found: Sequence[ContenderCost], frames: int, prices: PriceList, accounting: Accounting) -> Any:
    """Search with the energy that a junction of the first contender that has some takes for a frame."""
    for one in found:
        junctions = one.memory_operations.get("junctions")
        if junctions and not one.memory_operations.get("unpriced"):
            own = {name: quantity for name, quantity in one.memory_bill.items() if name in _DEVICE}
            energy = joules(own, prices, prices.values(), accounting.node) / (junctions * frames)
            return search(prices, float(energy))
    return None


def _junctions(networks: Sequence[Network]) -> Any:
    """The devices of the first memory made of magnetic tunnel junctions; None without one."""
    memories = (memory for network in networks for memory in network.memories.values())
    for memory in (memory for memory in memories if isinstance(memory, Intrinsic)):
        devices = [getattr(neuron.device, "nominal", neuron.device) for neuron in memory.neurons]
        if all(isinstance(device, MTJ) for device in devices):
            return devices
    return None


def _network(run: Run, task: Task, folder: Path) -> tuple[Network, bool]:
    """The network of a run, and whether it was trained."""
    if (folder / run.name / RESULT_FILE).exists():
        finished = load_finished(folder / run.name)
        if finished.run == run:
            return finished.network, True
    return build_network(run, task.shape[1:], len(task.outputs)), False


def _mean(network: Network, x: Tensor) -> dict[str, Operations]:
    """What each layer does for a clip, the mean over clips x [T, B, C, H, W]."""
    counted = [count_operations(network, clip) for clip in torch.split(x, 1, 1)]
    names = dict.fromkeys(name for layers in counted for name in layers)
    each = {name: [layers.get(name, Operations()) for layers in counted] for name in names}
    return {name: sum(parts[1:], parts[0]) / len(parts) for name, parts in each.items()}


def _written(operations: Operations) -> dict[str, float]:
    return {name: value for name, value in asdict(operations).items() if value}
