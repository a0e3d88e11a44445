"""``ipnet hil``: a network's junctions on a bench. Everything heavy is imported where it is needed."""

from pathlib import Path
from typing import Annotated

import typer

from ipnet.console import Json, bars, print_json, resumable, show
from ipnet.errors import IPNetError

BenchPath = Annotated[Path, typer.Argument(help="TOML file of the bench, see docs/hardware.md.")]
JournalPath = Annotated[
    Path,
    typer.Option("--journal", help="SQLite file; every pulse and reply goes there, and the same command goes on."),
]

RunPath = Annotated[Path, typer.Argument(help="Folder of a finished run, such as runs/demo/intrinsic-seed0.")]
Layer = Annotated[str, typer.Option(help="Position of the memory that stands on the bench.")]
Replay = Annotated[
    bool,
    typer.Option(
        "--replay", help="Ask the journal in place of the bench; whatever differs from the record fails."
    ),
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
    replay: Replay = False,
) -> None:
    """Measure S-curves of a junction, cold and after heating."""
    from ipnet.bench_file import open_bench, read_bench, replay_bench
    from ipnet.bench_procedures import characterise as measure
    from ipnet.simulated_measurement import format_measurements

    file = read_bench(bench)
    number = file.junctions[0] if junction is None else junction
    with bars("characterise", quiet=False) as progress, resumable():
        done = progress.run(f"junction {number}", 0, 1)
        with (replay_bench if replay else open_bench)(file, journal) as (opened, mtj):
            rows = measure(
                opened,
                number,
                mtj,
                trials=trials,
                sample_time=opened.protocol.sample_time,
                label=f"characterise/{number}/{trials}",
                report=lambda share: done(share, ""),
            )
    _keep(output, format_measurements(rows), replay=replay)
    typer.echo(f"next: ipnet devices fit {output} -o card.toml")


@hil.command()
def run(
    folder: RunPath,
    bench: Annotated[Path, typer.Option(help="TOML file of the bench.")],
    layer: Layer = "frontier",
    clips: Annotated[int, typer.Option(min=1, help="Of the validation split.")] = 50,
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON file.")] = Path("hil.json"),
    journal: JournalPath = Path("hil.sqlite"),
    weights: Annotated[Path | None, typer.Option(help="File of 'ipnet hil tune', in place of the run's.")] = None,
    replay: Replay = False,
    as_json: Json = False,
) -> None:
    """Run a trained network with a memory on the bench, on recorded clips, and compare it with the software."""
    from ipnet.bench_file import open_bench, read_bench, replay_bench
    from ipnet.cli_tables import hil_tables
    from ipnet.finished import load_finished
    from ipnet.hil import junction_of, run_on_bench

    file, finished = read_bench(bench), load_finished(folder, weights)
    card, _ = junction_of(finished, layer)
    with bars("hardware in the loop", quiet=as_json) as progress, resumable():
        done = progress.run(finished.run.name, 0, 1)
        with (replay_bench if replay else open_bench)(file, journal, card=card) as (opened, _):
            found = run_on_bench(
                finished,
                layer,
                opened,
                file.junctions,
                clips=clips,
                identities=list(opened.journal.identities.values()),
                command=f"ipnet hil run runs/{finished.run.study}/{finished.run.name} --bench bench.toml "
                f"--layer {layer} --clips {clips}" + (f" --weights {weights.name}" if weights else ""),
                say=progress.say,
                report=lambda share: done(share, ""),
            )
    _keep(output, found.model_dump_json(indent=1) + "\n", replay=replay, quiet=as_json)
    if as_json:
        print_json(found.numbers)
    else:
        show(*hil_tables(found))


@hil.command()
def tune(
    folder: RunPath,
    bench: Annotated[Path, typer.Option(help="TOML file of the bench.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the weights.")],
    layer: Layer = "frontier",
    clips: Annotated[int, typer.Option(min=1, help="Of the train split.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="How often each clip is seen.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips in a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(min=0, help="Of all parameters.")] = 1e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of the clips and their order.")] = 0,
    journal: JournalPath = Path("hil.sqlite"),
) -> None:
    """Train a network further through the hardware: forwards on the bench, backwards through the card's model."""
    from ipnet.bench_file import open_bench, read_bench
    from ipnet.finished import load_finished
    from ipnet.hil import junction_of
    from ipnet.hil_tune import tune_on_bench

    file, finished = read_bench(bench), load_finished(folder)
    card, _ = junction_of(finished, layer)
    with bars("fine-tuning through the hardware", quiet=False) as progress, resumable():
        done = progress.run(finished.run.name, 0, 1)
        with open_bench(file, journal, card=card) as (opened, _):
            losses = tune_on_bench(
                finished,
                layer,
                opened,
                file.junctions,
                output,
                clips=clips,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                seed=seed,
                say=progress.say,
                report=lambda share: done(share, ""),
            )
    for number, loss in enumerate(losses, 1):
        typer.echo(f"epoch {number}: loss {loss:.4f}")
    typer.echo(f"written: {output}; next: ipnet hil run {folder} --bench {bench} --weights {output}")


@hil.command()
def compare(
    file: Annotated[Path, typer.Argument(help="File that 'ipnet hil run' wrote.")], as_json: Json = False
) -> None:
    """Software against hardware: accuracy, switching, and what heat does to it, each with its interval."""
    from ipnet.cli_tables import hil_tables
    from ipnet.hil_result import read_hil

    found = read_hil(file)
    if as_json:
        print_json(found.numbers)
    else:
        show(*hil_tables(found))


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
    from ipnet.cli_tables import hil_tables
    from ipnet.hil_demo import run_demo

    with bars("hardware in the loop, virtual laboratory", quiet=as_json) as progress, resumable():
        done = progress.run("demo", 0, 1)
        story = run_demo(output, seed=seed, clips=clips, say=progress.say, report=done)
    if as_json:
        print_json(story.run.numbers | {"card": [known.numbers for known in story.card]})
        return
    show(*hil_tables(story.run))
    for known in story.card:
        typer.echo(str(known))
    typer.echo("played back from its journal, without the bench: the same")


def _keep(output: Path, text: str, *, replay: bool, quiet: bool = False) -> None:
    """Write what was found; of a replay, compare it with what is there.

    Raises:
        IPNetError: a replay found something else.
    """
    from ipnet.cache import write_atomically

    there = replay and output.exists()
    if there and output.read_text("utf-8") != text:
        raise IPNetError(
            f"a replay must give '{output}' again, to the byte; got something else: give the options of the "
            "record, or another --output to see what differs."
        )
    if not there:
        write_atomically(output, lambda path: path.write_text(text, "utf-8"))
    if not quiet:
        typer.echo(f"{'reproduced exactly' if there else 'written'}: {output}")
