"""What the commands share: how they print for people and for machines."""

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table for people.")]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=1, default=str))


def show(*parts: Any) -> None:
    """Print what rich can render."""
    from rich.console import Console

    console = Console()
    for part in parts:
        console.print(part)
