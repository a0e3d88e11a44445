"""From operations to energy: a bill says how much of each price a network takes, an accounting what counts.

Energy is sum_k quantity_k price_k, so that every figure can be computed again by hand from bill and price list.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ipnet.errors import invalid_config
from ipnet.operations import Operations
from ipnet.prices import Node, PriceList
from ipnet.settings import apply_setting

Part = Literal["arithmetic", "functions", "weights", "activations", "state", "junctions", "periphery"]
PARTS: tuple[Part, ...] = (
    "arithmetic",
    "functions",
    "weights",
    "activations",
    "state",
    "junctions",
    "periphery",
)
Precision = Literal["int8", "fp16", "fp32"]
Bill = dict[str, float]
BITS: dict[Precision, int] = {"int8": 8, "fp16": 16, "fp32": 32}
_ACCUMULATOR: dict[Precision, str] = {"int8": "add_int32", "fp16": "add_fp16", "fp32": "add_fp32"}
_CAPACITY = {"sram_8kB": 2**13, "sram_32kB": 2**15, "sram_1MB": 2**20}  # bytes


class Accounting(BaseModel):
    """What counts.

    Args:
        node: technology [nm] that prices are scaled to.
        precision: of weights, activations and state; products of int8 are accumulated in int32.
        sparse: whether a product with a factor of zero costs nothing.
        parts: arithmetic; functions such as sigmoid; fetching and writing of weights, activations and state; the
            pulses in the junctions; and their periphery: access transistors, lines, sense amplifiers, and drivers
            of drives and resets (a probe, the same for all, needs none of its own).
        rows: junctions on a bit line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: Node = 28
    precision: Precision = "int8"
    sparse: bool = False
    parts: tuple[Part, ...] = PARTS
    rows: int = Field(128, ge=1)


def read_accounting(settings: Sequence[str]) -> Accounting:
    """An accounting with some values of its own, written as in ``"precision=fp32"``.

    Raises:
        IPNetError: no such value, or one of the wrong type or range.
    """
    content = Accounting().model_dump()
    for setting in settings:
        apply_setting(content, setting)
    try:
        return Accounting.model_validate(content)
    except ValidationError as error:
        raise invalid_config(error, Accounting, "accounting") from error


def bill_of(layers: Mapping[str, Operations], looks: float, accounting: Accounting) -> Bill:
    """How much of each price a network takes for a clip.

    Each layer has a memory for its weights, one for its state, and one for the inputs and outputs of a look; each
    is the smallest that holds them.

    Args:
        layers: of `ipnet.counting.count_operations`.
        looks: of the backbone at the clip.
        accounting: what counts.

    Example:
        >>> bill_of({"linear": Operations(macs=100)}, 1, Accounting())
        {'mul_int8': 100, 'add_int32': 100}
    """
    found: Bill = {}
    for layer in layers.values():
        takes = _takes(layer, looks, accounting)
        for part in accounting.parts:
            for name, quantity in takes[part]:
                if quantity:
                    found[name] = found.get(name, 0) + quantity
    return found


def _takes(layer: Operations, looks: float, accounting: Accounting) -> dict[Part, list[tuple[str, float]]]:
    precision, bits = accounting.precision, BITS[accounting.precision]
    add, mul, accumulate = f"add_{precision}", f"mul_{precision}", _ACCUMULATOR[precision]
    products = layer.effective_macs if accounting.sparse else layer.macs
    sums = products + (layer.effective_acs if accounting.sparse else 0)

    def memory(values: float) -> str:
        return next((name for name, size in _CAPACITY.items() if values * bits / 8 <= size), "dram")

    traffic = layer.reads + layer.writes
    return {
        "arithmetic": [(mul, products), (accumulate, sums), (add, layer.adds + layer.compares), (mul, layer.muls)],
        "functions": [("function", layer.functions)],
        "weights": [(memory(layer.weights), bits * layer.weight_reads)],
        "activations": [(memory(traffic / looks), bits * traffic)],
        "state": [(memory(layer.state), bits * (layer.state_reads + layer.state_writes))],
        "junctions": [("pulse", layer.heat)],
        "periphery": [
            ("access_resistance", layer.current_squared),
            ("line_capacitance", accounting.rows * layer.voltage_squared),
            ("driver", layer.drives + layer.resets),
            ("sense", layer.senses),
        ],
    }


def difference(bill: Bill, without: Bill) -> Bill:
    """What would vanish from a bill with what is gone; negative where more would come."""
    both = {name: bill.get(name, 0) - without.get(name, 0) for name in (*bill, *without)}
    return {name: quantity for name, quantity in both.items() if quantity}


def joules(bill: Bill, prices: PriceList, values: Mapping[str, Any], node: Node) -> Any:
    """Energy of a bill [J].

    Args:
        bill: of `bill_of`.
        prices: which price scales which.
        values: of `PriceList.values`, or many of each from `PriceList.draw`.
        node: technology [nm].
    """
    return sum((quantity * prices.at(name, node, values) for name, quantity in bill.items()), 0.0)


def sensitivity(of: Bill, over: Bill, prices: PriceList, node: Node) -> Sequence[tuple[str, float, float]]:
    """How a ratio of two bills moves when one price goes to the ends of its range, the largest move first.

    Returns:
        Name, ratio at the low end, ratio at the high end.
    """
    values, rows = prices.values(), list[tuple[str, float, float]]()
    concerned = [*of, *over]
    names = dict.fromkeys([*concerned, *(prices.factor(name, node) for name in concerned)])
    for name in filter(None, names):
        low, high = (
            joules(of, prices, moved, node) / joules(over, prices, moved, node)
            for moved in (values | {name: end} for end in prices.ends(name))
        )
        rows.append((name, float(low), float(high)))
    return sorted(rows, key=lambda row: -abs(row[2] - row[1]))
