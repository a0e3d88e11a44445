"""What the commands share: how they print for people and for machines."""

import ctypes
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ipnet.errors import IPNetError

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table for people.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a value: key=value, such as training.epochs=3. Repeatable."),
]
Root = Annotated[
    Path | None, typer.Option(help="Folder of the recordings, for this command in place of IPNET_DATA.")
]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # <malloc.h> of glibc


def keep_memory() -> None:
    """Let the process keep the memory that it frees, as mallopt(3) says; where there is no glibc, do nothing.

    Every step of a training needs the arrays of the one before. By default those above 32 MiB go back to the
    system and come as fresh pages, which it must find and clear: up to half of the time of a step.
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)
        if set_option is not None:
            set_option(_M_MMAP_MAX, 0)
            set_option(_M_TRIM_THRESHOLD, -1)
            set_option(_M_TOP_PAD, 1 << 26)


def recordings(data: dict[str, Any], root: Path | None) -> AbstractContextManager[None]:
    """Look for the recordings of a data set where ``--root`` says, while this lasts.

    Raises:
        IPNetError: the configuration of the data set says it as well.
    """
    from ipnet.data._folder import recordings_in

    if root is not None and "root" in data:
        raise IPNetError(
            f"the recordings must be in one place; got --root '{root}' and root = '{data['root']}' under [data]: "
            "leave one of them out."
        )
    return recordings_in(root)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=1, default=str))


def show(*parts: Any) -> None:
    """Print what rich can render."""
    from rich.console import Console

    console = Console()
    for part in parts:
        console.print(part)


@contextmanager
def resumable() -> Iterator[None]:
    """What a user interrupts here goes on with the same command; say so and leave with code 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on where it stopped.", err=True)
        raise typer.Exit(130) from None


@contextmanager
def bars(title: str, *, quiet: bool) -> Iterator[Any]:
    """Progress bars with the time left on standard error, so that standard output stays clean."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    quiet = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=quiet, refresh_per_second=2) as progress:
        yield Bars(progress, title)


class Bars:
    """One bar for the whole, one for the run in hand."""

    def __init__(self, progress: Any, title: str) -> None:
        self.progress = progress
        self.whole = progress.add_task(title, total=1.0, note="")
        self.part: Any = None

    def say(self, sentence: str) -> None:
        """Print above the bars."""
        self.progress.console.print(sentence, highlight=False, soft_wrap=True)

    def data(self, done: int, total: int) -> None:
        """Preparation of the data."""
        if self.part is None:
            self.part = self.progress.add_task("preparing the data", total=total, note="")
        self.progress.update(self.part, total=total, completed=done, note=f"{done} of {total} clips")

    def run(self, name: str, number: int, count: int) -> Any:
        """Start the bar of a run; returns what it reports to."""
        if self.part is not None:
            self.progress.remove_task(self.part)
        self.part = self.progress.add_task(name, total=1.0, note="")

        def report(fraction: float, note: str) -> None:
            self.progress.update(self.part, completed=fraction, note=note)
            self.progress.update(
                self.whole, completed=(number + fraction) / count, note=f"run {number + 1} of {count}"
            )

        return report
