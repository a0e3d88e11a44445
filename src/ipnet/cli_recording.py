"""``ipnet recording``: what is in a camera's file, and what had to be refused of it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ipnet.console import Json, print_json, show
from ipnet.errors import IPNetError


def recording(
    file: Annotated[
        Path, typer.Argument(help="AEDAT4, AEDAT 3.1, RAW (EVT2, EVT3), DAT, HDF5, .bin, .npy or text.")
    ],
    sensor: Annotated[
        str | None, typer.Option(help="Pixels as WIDTHxHEIGHT, for a file that does not state them.")
    ] = None,
    time_unit: Annotated[str | None, typer.Option(help="Of times with a fractional part: s or us.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first event that must be refused.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What a camera's file holds: format, sensor, events, duration, rate, and what was refused, with its place."""
    from ipnet.recording import open_events

    if time_unit not in (None, "s", "us"):
        raise IPNetError(f"--time-unit must be s or us; got '{time_unit}'.")
    with open_events(file, sensor=_pixels(sensor), time_unit=time_unit, strict=strict) as opened:  # type: ignore[arg-type]
        count = brighter = 0
        first, last = None, 0
        for chunk in opened:
            first = int(chunk["t"][0]) if first is None else first
            last = int(chunk["t"][-1])
            count, brighter = count + chunk.size, brighter + int(chunk["p"].sum())
    seconds = (last - (first or 0)) * 1e-6
    height, width = opened.sensor
    facts: dict[str, Any] = {
        "file": str(file),
        "format": opened.format,
        "sensor": f"{width}x{height}",
        "events": count,
        "brighter": brighter / count,
        "duration_s": seconds,
        "events_per_second": count / seconds if seconds else None,
        "refused_events": opened.refused.events,
        "refused": str(opened.refused) or "nothing",
    }
    if as_json:
        print_json(facts)
    else:
        from rich.table import Table

        table = Table(show_header=False)
        for name, value in facts.items():
            table.add_row(name.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
        show(table)


def _pixels(sensor: str | None) -> tuple[int, int] | None:
    """(H, W) of 'WIDTHxHEIGHT'."""
    if sensor is None:
        return None
    width, _, height = sensor.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise IPNetError(f"--sensor must be WIDTHxHEIGHT, such as 346x260; got '{sensor}'.")
    return int(height), int(width)
