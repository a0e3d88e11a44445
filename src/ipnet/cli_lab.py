"""The commands about the virtual laboratory. Everything heavy is imported inside the command that needs it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ipnet.console import Json, show
from ipnet.errors import IPNetError

lab = typer.Typer(no_args_is_help=True)


@lab.callback()
def _about() -> None:
    """A laboratory without a laboratory: instruments that listen on ports of this machine."""


@lab.command()
def serve(
    card: Annotated[
        str, typer.Option(help="Card of the junctions: a shipped name, or a TOML file.")
    ] = "mtj-thermal",
    junctions: Annotated[int, typer.Option(help="Junctions of the chip.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Of the junctions and of all they do.", min=0)] = 0,
    faults: Annotated[Path | None, typer.Option(help="TOML file: what goes wrong, and how often.")] = None,
    ports: Annotated[str, typer.Option(help="Of generator, meter and digitiser; 0: any.")] = "0,0,0",
    serial: Annotated[
        bool, typer.Option("--serial", help="Put the meter on a serial line: a pseudo-terminal.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Serve a generator, a source-measure unit and an oscilloscope with a chip behind them, until Ctrl-C."""
    import threading

    from ipnet.virtual_faults import Faults, chip_with, read_faults
    from ipnet.virtual_lab import VirtualLab

    try:
        numbers = [int(port) for port in ports.split(",")]
    except ValueError as error:
        raise IPNetError(f"--ports must be three whole numbers such as 0,0,0; got '{ports}'.") from error
    wrong = read_faults(faults) if faults else Faults()
    chip = chip_with(card, junctions, seed, wrong)
    try:
        with VirtualLab(chip, wrong, numbers, serial=serial) as laboratory:
            _show(laboratory.resources, as_json=as_json)
            threading.Event().wait()
    except KeyboardInterrupt:
        typer.echo("the laboratory is closed.", err=True)


def _show(resources: dict[str, str], *, as_json: bool) -> None:
    """Where the instruments can be reached; JSON in one line, for which whoever started this waits."""
    if as_json:
        typer.echo(json.dumps(resources))
        return
    from rich.table import Table

    table = Table("instrument", "VISA resource", title="Virtual laboratory (SIMULATED)")
    for name, resource in resources.items():
        table.add_row(name, resource)
    show(table)
