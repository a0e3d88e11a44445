"""The array that a memory of junctions needs: its area, how fast it is, and how much faster than the sensor."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from ipnet.device import Device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.prices import PriceList, Spread

PUBLISHED_AREA = 1.5e-12  # m2, arXiv:2512.15829


class Area(BaseModel):
    """Areas of one neuron at 28 nm [m2], with the range of 95 % of the draws of all prices.

    A neuron is `devices` cells of one transistor and one junction, and what stands around them: a sense amplifier,
    a driver and the control of one neuron. `own` has all of it for itself and answers in every cycle; in `shared`
    the junctions of a bit line take turns.

    Args:
        own: with a periphery of its own.
        shared: with one for as many neurons as a bit line has.
        lif: of a fabricated leaky integrate-and-fire neuron.
        lif_over_own: how many times larger it is than `own`.
        lif_over_shared: and than `shared`.
        capacitor: that loses its charge as slowly as the junction its memory, at the pace of the sensor: leak
            conductance times that time, over the density; None if the time is unknown.
        sharers: neurons at one periphery with which a neuron takes 1.5 um2; None if its cells alone take more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    own: Spread
    shared: Spread
    lif: Spread
    lif_over_own: Spread
    lif_over_shared: Spread
    capacitor: Spread | None
    sharers: float | None


class Throughput(BaseModel):
    """How an array is clocked.

    Args:
        junctions: of the sensor: width, height, polarities, and clocks of a bank.
        arrays: of `rows` by `rows` junctions that hold them.
        t_cycle: clock period [s]; of a bank, the longest.
        frames_per_second: if all junctions are driven and read at once [Hz].
        row_by_row: frames per second if the junctions of a bit line are read one after the other [Hz].
        compression: how many times faster than the sensor the device sees a clip; None without frame interval.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    junctions: int
    arrays: int
    t_cycle: float
    frames_per_second: float
    row_by_row: float
    compression: float | None


def area_of(prices: PriceList, *, rows: int, devices: int = 1, memory_time: float | None = None) -> Area:
    """The area of one neuron; see `Area`.

    Args:
        prices: see `ipnet.prices.read_prices`.
        rows: junctions on a bit line.
        devices: junctions of a neuron: in parallel, or with clocks of their own.
        memory_time: in which the memory falls to 1/e, at the pace of the sensor [s]; None if unknown.

    Raises:
        IPNetError: fewer than one row or device.

    Example:
        >>> from ipnet.prices import shipped_prices
        >>> area = area_of(shipped_prices(), rows=128)
        >>> area.own.value > area.shared.value
        True
    """
    if rows < 1 or devices < 1:
        raise IPNetError(f"rows and devices must be 1 or more; got {rows} and {devices}.")

    def neuron(values: Mapping[str, Any], sharers: float) -> Any:
        return devices * values["cell_area"] + _periphery(values) / sharers

    def capacitor(values: Mapping[str, Any]) -> Any:
        return (memory_time or 0.0) * values["leak_conductance"] / values["capacitor_density"]

    values, drawn = prices.values(), prices.drawn
    own, shared = ((neuron(values, n), neuron(drawn, n)) for n in (1, rows))
    lif = values["lif_area"], drawn["lif_area"]
    room = PUBLISHED_AREA - devices * values["cell_area"]  # that the cells leave to their share of a periphery
    return Area(
        own=Spread.of(*own),
        shared=Spread.of(*shared),
        lif=Spread.of(*lif),
        lif_over_own=Spread.of(lif[0] / own[0], lif[1] / own[1]),
        lif_over_shared=Spread.of(lif[0] / shared[0], lif[1] / shared[1]),
        capacitor=None if memory_time is None else Spread.of(capacitor(values), capacitor(drawn)),
        sharers=_periphery(values) / room if room > 0 else None,
    )


def memory_area(operations: Mapping[str, float], bits: int, prices: PriceList, *, rows: int) -> Spread:
    """Area of a memory at 28 nm [m2]: its junctions, shared as in `Area`, and SRAM for its weights and state.

    Arithmetic is left out: how many units do it is a matter of speed.

    Args:
        operations: of the memory, by the names of `ipnet.operations.Operations`.
        bits: of a weight, and of a value of the state.
        prices: see `ipnet.prices.read_prices`.
        rows: junctions on a bit line.
    """
    kept = bits * (operations.get("weights", 0.0) + operations.get("state", 0.0))
    junctions = operations.get("junctions", 0.0)

    def area(values: Mapping[str, Any]) -> Any:
        cells = values["sram_cell_area"] / values["sram_efficiency"]
        return kept * cells + junctions * (values["cell_area"] + _periphery(values) / rows)

    return Spread.of(area(prices.values()), area(prices.drawn))


def _periphery(values: Mapping[str, Any]) -> Any:
    """What stands around the cells of one neuron [m2]."""
    return values["sense_area"] + values["driver_area"] + values["logic_area"]


def throughput_of(
    devices: Sequence[Device], pixels: tuple[int, int, int], frame_interval: float | None, *, rows: int
) -> Throughput:
    """How an array for a sensor is clocked; see `Throughput`.

    Args:
        devices: junctions of one neuron, each on a clock of its own.
        pixels: polarities, height and width of the sensor.
        frame_interval: time between two frames [s]; None if unknown.
        rows: junctions on a bit line.

    Raises:
        IPNetError: a device that is no magnetic tunnel junction.
    """
    clocks = []
    for device in devices:
        if not isinstance(device, MTJ):
            raise IPNetError(f"an array is of magnetic tunnel junctions; got the card '{device.card.name}'.")
        clocks.append(device.card.clock)
    junctions, period = math.prod(pixels) * len(devices), max(clock.t_cycle for clock in clocks)
    phases = [c.t_pulse + c.t_probe * (c.operation == "drive and probe") + c.t_read + c.t_reset for c in clocks]
    return Throughput(
        junctions=junctions,
        arrays=math.ceil(junctions / rows**2),
        t_cycle=period,
        frames_per_second=1 / period,
        row_by_row=1 / max(period, rows * max(phases)),
        compression=None if frame_interval is None else frame_interval / period,
    )
