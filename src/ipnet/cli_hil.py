"""``ipnet hil``: a network's junctions on a bench. Everything heavy is imported where it is needed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipnet.console import Json, bars, print_json, resumable, show

if TYPE_CHECKING:
    from rich.table import Table

    from ipnet.hil import HilRun

BenchPath = Annotated[Path, typer.Argument(help="TOML file of the bench, see docs/hardware.md.")]
JournalPath = Annotated[
    Path,
    typer.Option("--journal", help="SQLite file; every pulse and reply goes there, and the same command goes on."),
]

hil = typer.Typer(no_args_is_help=True)


@hil.callback()
def _about() -> None:
    """Hardware in the loop: junctions of a network on instruments."""


@hil.command()
def characterise(
    bench: BenchPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV file that 'ipnet devices fit' reads.")],
    journal: JournalPath = Path("hil.sqlite"),
    junction: Annotated[
        int | None, typer.Option(help="At the multiplexer; default: the first of the bench.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Shots at each voltage.")] = 400,
) -> None:
    """Measure S-curves of a junction, cold and after heating."""
    from ipnet.bench_file import open_bench, read_bench
    from ipnet.bench_procedures import characterise as measure
    from ipnet.cache import write_atomically
    from ipnet.simulated_measurement import format_measurements

    file = read_bench(bench)
    number = file.junctions[0] if junction is None else junction
    with bars("characterise", quiet=False) as progress, resumable():
        done = progress.run(f"junction {number}", 0, 1)
        with open_bench(file, journal) as (opened, mtj):
            rows = measure(
                opened,
                number,
                mtj,
                trials=trials,
                sample_time=opened.protocol.sample_time,
                label=f"characterise/{number}/{trials}",
                report=lambda share: done(share, ""),
            )
    write_atomically(output, lambda path: path.write_text(format_measurements(rows), "utf-8"))
    typer.echo(f"written: {output}; next: ipnet devices fit {output} -o card.toml")


@hil.command()
def run(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished run, such as runs/demo/intrinsic-seed0.")],
    bench: Annotated[Path, typer.Option(help="TOML file of the bench.")],
    layer: Annotated[str, typer.Option(help="Position of the memory that stands on the bench.")] = "frontier",
    clips: Annotated[int, typer.Option(min=1, help="Of the validation split.")] = 50,
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON file.")] = Path("hil.json"),
    journal: JournalPath = Path("hil.sqlite"),
    as_json: Json = False,
) -> None:
    """Run a trained network with a memory on the bench, on recorded clips, and compare it with the software."""
    from ipnet.bench_file import open_bench, read_bench
    from ipnet.cache import write_atomically
    from ipnet.finished import load_finished
    from ipnet.hil import junction_of, run_on_bench, trim_all

    file, finished = read_bench(bench), load_finished(folder)
    card, junction = junction_of(finished, layer)
    with bars("hardware in the loop", quiet=as_json) as progress, resumable():
        done = progress.run(finished.run.name, 0, 1)
        with open_bench(file, journal, card=card) as (opened, _):
            probes = trim_all(opened, file.junctions, junction)
            found = run_on_bench(
                finished,
                layer,
                opened,
                sorted(probes),
                clips=clips,
                probes=probes,
                identities=list(opened.journal.identities.values()),
                simulated=file.simulated,
                report=lambda share: done(share, ""),
            )
    write_atomically(output, lambda path: path.write_text(found.model_dump_json(indent=1) + "\n", "utf-8"))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        show(_table(found))
        typer.echo(f"written: {output}")


@hil.command()
def compare(
    file: Annotated[Path, typer.Argument(help="File that 'ipnet hil run' wrote.")], as_json: Json = False
) -> None:
    """Software against hardware: accuracy, switching, and what heat does to it, each with its interval."""
    from ipnet.hil import read_hil

    found = read_hil(file)
    if as_json:
        print_json(_numbers(found))
    else:
        show(_table(found))


@hil.command()
def export(
    journal: Annotated[Path, typer.Argument(help="SQLite file of a bench.")],
    output: Annotated[Path, typer.Argument(help="File to write: .h5 or .csv.")],
) -> None:
    """Write every pulse and reply of a journal as HDF5 or CSV."""
    from ipnet.journal import Journal

    with Journal.reopen(journal) as opened:
        opened.export(output)
    typer.echo(f"written: {output}")


@hil.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("runs/hil"),
    seed: Annotated[int, typer.Option(min=0, help="Of the chip.")] = 0,
    clips: Annotated[int, typer.Option(min=1, help="Clips that run through the bench.")] = 50,
    as_json: Json = False,
) -> None:
    """On the virtual laboratory: measure a junction, fit a card, train a network, run it on the chip, compare."""
    from ipnet.hil_demo import run_demo

    with bars("hardware in the loop, virtual laboratory", quiet=as_json) as progress, resumable():
        done = progress.run("demo", 0, 1)
        found, said = run_demo(output, seed=seed, clips=clips, report=done)
    if as_json:
        print_json(_numbers(found) | {"card": said})
    else:
        show(_table(found))
        for line in said:
            typer.echo(line)


def _numbers(found: "HilRun") -> dict[str, Any]:
    low = found.foreseen
    return {
        "accuracy": found.accuracy.model_dump(),
        "foreseen": dict(zip(("value", "low", "high"), low, strict=True)),
        "agrees": found.agrees,
        "deviation": found.deviation,
        "answers": found.answers,
        "dead": found.dead,
        "bins": [part.model_dump() for part in found.bins],
    }


def _table(found: "HilRun") -> "Table":
    from rich.table import Table

    chip = "the virtual laboratory's chip (SIMULATED)" if found.simulated else ", ".join(found.identities)
    kind = "recorded" if found.real else "SIMULATED"
    table = Table(
        title=f"{found.run}, {found.place} on {chip}",
        caption=f"{len(found.truth)} {kind} clips of {found.data}, {found.split} split; {found.answers:,} answers "
        f"of {len(found.junctions)} junctions in turns, {len(found.dead)} set aside. Switching: by what the law "
        "expects.",
    )
    for head in ("", "hardware", "software", "95 %"):
        table.add_column(head)
    value, low, high = found.foreseen
    within = "" if found.agrees else ", missed"
    table.add_row(
        "accuracy", f"{found.accuracy.value:.3f}", f"{value:.3f}", f"[{low:.3f}, {high:.3f}] foreseen{within}"
    )
    for part in found.bins:
        measured = part.measured
        ends = f"[{measured.low:.4f}, {measured.high:.4f}] measured"
        table.add_row("switching", f"{measured.value:.4f}", f"{part.expected:.4f}", ends)
    table.add_row("all answers", f"{found.deviation:+.1f} standard deviations", "0", "")
    return table
