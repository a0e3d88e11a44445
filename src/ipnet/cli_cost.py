"""``ipnet cost``: what memories cost. Everything heavy is imported where it is needed."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ipnet.console import Json, Root, Set, bars, print_json, recordings, show
from ipnet.errors import IPNetError

Own = Annotated[
    list[str] | None,
    typer.Option("--accounting", help="What counts: precision=fp32, sparse=true, node=45, rows=64. Repeatable."),
]


def cost(
    config: Annotated[str, typer.Argument(help="TOML file of a study, or the name of a shipped one.")],
    contenders: Annotated[str, typer.Option(help="Names, separated by commas; default: all of the study.")] = "",
    accounting: Own = None,
    prices: Annotated[
        Path | None, typer.Option(help="TOML file of prices that replace the package's, see docs/cost.md.")
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="Clips of the validation split to count on.")] = 2,
    frames_per_second: Annotated[
        float | None, typer.Option(help="Pace at which power is given; default: that of the clips.")
    ] = None,
    neurobench: Annotated[
        bool, typer.Option("--neurobench", help="Add NeuroBench's static and workload metrics.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Folder of studies; finished runs give their weights.")] = Path(
        "runs"
    ),
    settings: Set = None,
    root: Root = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the JSON file and the picture.")
    ] = Path("runs"),
    as_json: Json = False,
) -> None:
    """Count what each memory does on real clips, price it, and say which accounting gives the published ratios."""
    from rich.markup import escape

    from ipnet.bill import read_accounting
    from ipnet.cache import write_atomically
    from ipnet.cli_tables import cost_tables
    from ipnet.config import Study, read_config
    from ipnet.cost import cost_of
    from ipnet.cost_figure import cost_figure
    from ipnet.cost_words import sentences
    from ipnet.device_figures import save_figure
    from ipnet.prices import read_prices

    counted = read_accounting(accounting or ())
    priced, study = read_prices(prices), read_config(Study, config, settings or ())
    if frames_per_second is not None and not 0 < frames_per_second < float("inf"):
        raise IPNetError(f"--frames-per-second must be positive; got {frames_per_second:g}: use 1000.")
    interval = 1 / frames_per_second if frames_per_second else None
    names = [name.strip() for name in contenders.split(",")] if contenders else list(study.contenders)
    with recordings(study.data, root), bars("cost", quiet=as_json) as progress:
        done = progress.run(study.study, 0, 1)
        found = cost_of(
            study,
            names,
            counted,
            priced,
            runs=runs,
            clips=clips,
            frame_interval=interval,
            command=" ".join(["ipnet", *(shlex.quote(word) for word in sys.argv[1:])]),
            neurobench=neurobench,
            report=lambda name, share: done(share, name),
        )
    file = output / f"cost-{found.study}.json"
    write_atomically(file, lambda path: path.write_text(found.model_dump_json(indent=1) + "\n", "utf-8"))
    write_atomically(file.with_suffix(".png"), lambda path: save_figure(cost_figure(found), path))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    show(*cost_tables(found))
    show(*(escape(words) + "\n" for words in sentences(found)))
    typer.echo(f"written: {file} and {file.with_suffix('.png').name}")
