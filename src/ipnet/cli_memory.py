"""``ipnet tasks``: human memory tasks, performed by a card. Everything heavy is imported where it is needed."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipnet.console import Json, bars, print_json, show
from ipnet.errors import IPNetError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ipnet.recall import Rate

Choices = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a free choice: rehearses=true, layout.overlap=0.25. Repeatable."),
]

tasks = typer.Typer(no_args_is_help=False, invoke_without_command=True)


@tasks.callback()
def list_tasks(context: typer.Context, as_json: Json = False) -> None:
    """List the tasks with their parameters."""
    if context.invoked_subcommand:
        return
    from rich.table import Table

    from ipnet.paradigm import PARADIGMS

    entries = {_dashed(name): PARADIGMS.build(name) for name in PARADIGMS}
    if as_json:
        print_json([{"name": name, "title": p.title, "parameters": p.parameters()} for name, p in entries.items()])
        return
    table = Table(title="Memory tasks")
    for head in ("task", "what is asked", "parameters"):
        table.add_column(head, overflow="fold")
    for name, paradigm in entries.items():
        table.add_row(name, paradigm.title, " ".join(_words(paradigm.parameters())))
    show(table)


@tasks.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run_task(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="Name of a task; its parameters follow, as in --list-length 15.")],
    card: Annotated[str, typer.Option(help="Name of a shipped card, or a TOML file.")] = "mtj-thermal",
    subjects: Annotated[int, typer.Option(min=2, help="Simulated people.")] = 200,
    trials: Annotated[int, typer.Option(min=1, help="Trials of each.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of stimuli, patterns and draws.")] = 0,
    settings: Choices = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")] = None,
    table: Annotated[
        Path | None, typer.Option(help="CSV file of all recalls to write, in psifr's long layout.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a card perform a task; no value of the card is fitted, and every free choice is printed."""
    from ipnet.observer import observer_of, perform
    from ipnet.paradigm import PARADIGMS
    from ipnet.recall import write_psifr_csv

    paradigm = PARADIGMS.build(task.replace("-", "_"), **_options(context.args))
    observer = observer_of(card).changed(settings or ())
    if table and paradigm.studied is None:
        raise IPNetError(f"--table needs a task with recall; '{task}' has none: leave it out.")
    with bars(task, quiet=as_json) as progress:
        done = progress.run(card, 0, 1)
        performed = perform(
            observer, paradigm, subjects=subjects, trials=trials, seed=seed, report=lambda share: done(share, "")
        )
    curves = paradigm.score(performed)
    if table and paradigm.studied is not None:
        write_psifr_csv(table, performed.recalls(paradigm.studied))
    found = {
        "task": task,
        "parameters": paradigm.parameters(),
        "choices": observer.model_dump(),
        "subjects": subjects,
        "trials": trials,
        "seed": seed,
        **_plain(curves),
    }
    found = _without_nan(found)
    if output:
        _write(output, found)
    if as_json:
        print_json(found)
    else:
        _print(task, curves, found["choices"])


@tasks.command("battery")
def run_all(
    card: Annotated[str, typer.Option(help="Name of a shipped card, or a TOML file.")] = "mtj-thermal",
    subjects: Annotated[int, typer.Option(min=2, help="Simulated people in each condition.")] = 200,
    trials: Annotated[int, typer.Option(min=1, help="Trials of each.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of stimuli, patterns and draws.")] = 0,
    settings: Choices = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the JSON file and the picture.")
    ] = Path("runs"),
    as_json: Json = False,
) -> None:
    """Let a card perform all tasks, beside people; what it fits, and which of their trends it shows."""
    from dataclasses import asdict

    from ipnet.battery import FIXED_ON, distances, run_battery, trends
    from ipnet.battery_figure import battery_figure
    from ipnet.cli_tables import battery_tables
    from ipnet.observer import observer_of
    from ipnet.written_battery import WrittenBattery

    observer = observer_of(card).changed(settings or ())
    with bars("battery", quiet=as_json) as progress:
        done = progress.run(card, 0, 1)
        outcomes = run_battery(
            observer, subjects=subjects, trials=trials, seed=seed, report=lambda name, share: done(share, name)
        )
    fits = distances(outcomes)
    found = {
        "card": observer.device().card.name,
        "choices": observer.model_dump(),
        "fixed_on": FIXED_ON,
        "subjects": subjects,
        "trials": trials,
        "seed": seed,
        "series": {
            name: {"at": o.at.tolist(), "mean": o.mean.tolist(), "se": o.se.tolist()}
            for name, o in outcomes.items()
        },
        "distances": {name: {who: asdict(fit) for who, fit in row.items()} for name, row in fits.items()},
        "trends": [asdict(trend) | {"verdict": trend.verdict} for trend in trends(outcomes)],
    }
    found = _without_nan(found)
    battery = WrittenBattery.model_validate(found)
    name = f"memory_tasks-{battery.card}{'-rehearsal' * observer.rehearses}"
    _write(output / f"{name}.json", found)
    _draw(output / f"{name}.png", battery_figure(battery))
    if as_json:
        print_json(found)
        return
    show(*battery_tables(battery))
    typer.echo(f"written: {output / name}.json and .png")


@tasks.command("compare")
def compare_cards(
    batteries: Annotated[list[Path], typer.Argument(help="Files that 'ipnet tasks battery' wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write.")] = Path(
        "runs/memory_cards.png"
    ),
    as_json: Json = False,
) -> None:
    """Which card forgets most as people do: RMSE of each card in each task, as a picture."""
    from ipnet.battery_figure import cards_figure
    from ipnet.written_battery import read_battery

    found = [read_battery(path) for path in batteries]
    _draw(output, cards_figure(found))
    if as_json:
        print_json(
            {battery.card: {n: row["card"].rmse for n, row in battery.distances.items()} for battery in found}
        )
    else:
        typer.echo(f"written: {output}")


@tasks.command("calibrate")
def calibrate_card(
    card: Annotated[str, typer.Option(help="Name of a shipped card, or a TOML file.")] = "mtj-thermal",
    subjects: Annotated[int, typer.Option(min=2, help="Simulated people for each choice.")] = 100,
    trials: Annotated[int, typer.Option(min=1, help="Trials of each.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of stimuli, patterns and draws.")] = 0,
    as_json: Json = False,
) -> None:
    """Which clock and number of junctions come nearest to people on free recall 20-1, and on nothing else."""
    from rich.table import Table

    from ipnet.battery import FIXED_ON, calibrate
    from ipnet.observer import Observer

    with bars("calibrate", quiet=as_json) as progress:
        done = progress.run(card, 0, 1)
        found = calibrate(
            Observer(card=card), subjects=subjects, trials=trials, seed=seed, report=lambda share: done(share, "")
        )
    rows = [{"t_cycle": o.t_cycle, "junctions": o.layout.junctions, "rmse": rmse} for o, rmse in found]
    if as_json:
        print_json(rows)
        return
    best = rows[0]
    clock = "" if best["t_cycle"] is None else f"--set t_cycle={best['t_cycle']:.4g} "
    table = Table(
        title=f"{card} on {FIXED_ON}",
        caption=f"choose the first: {clock}--set layout.junctions={best['junctions']}",
    )
    for head in ("t_cycle, s", "junctions", "RMSE"):
        table.add_column(head)
    for row in rows:
        period = "none" if row["t_cycle"] is None else f"{row['t_cycle']:.4g}"
        table.add_row(period, str(row["junctions"]), f"{row['rmse']:.4f}")
    show(table)


def _options(words: Sequence[str]) -> dict[str, Any]:
    """``--list-length 15 --filled false`` as options.

    Raises:
        IPNetError: a word that is no option, or an option without a value.
    """
    options: dict[str, Any] = {}
    rest = list(words)
    while rest:
        name, equals, text = rest.pop(0).partition("=")
        if not name.startswith("--"):
            raise IPNetError(f"a parameter of a task is written --name value, as in --delay 10; got '{name}'.")
        if not equals:
            if not rest:
                raise IPNetError(f"the parameter {name} needs a value, as in --delay 10.")
            text = rest.pop(0)
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        options[name.removeprefix("--").replace("-", "_")] = value
    return options


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _words(parameters: dict[str, Any]) -> list[str]:
    return [f"--{_dashed(name)} {str(value).lower()}" for name, value in parameters.items()]


def _plain(curves: "dict[str, Rate]") -> dict[str, Any]:
    """Mean and standard error of each curve, and what it is over."""
    found: dict[str, Any] = {}
    for name, curve in curves.items():
        found[name], found[f"{name}_se"] = curve.mean.tolist(), curve.se.tolist()
        if curve.mean.ndim:
            found[f"{name}_at"] = curve.at.tolist()
    return found


def _without_nan(value: Any) -> Any:
    """The same with None for every number that is none, as JSON has no other word for it."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and value != value else value


def _write(path: Path, found: dict[str, Any]) -> None:
    import json

    from ipnet.cache import write_atomically

    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(found, indent=1) + "\n", "utf-8"))


def _draw(path: Path, figure: "Figure") -> None:
    from ipnet.cache import write_atomically
    from ipnet.device_figures import save_figure

    write_atomically(path, lambda temporary: save_figure(figure, temporary))


def _print(task: str, curves: "dict[str, Rate]", choices: dict[str, Any]) -> None:
    from rich.table import Table

    free = {name: value for name, value in choices.items() if name not in ("card", "layout")} | choices["layout"]
    table = Table(
        title=f"{task}, simulated people of the card {choices['card']}",
        caption="free choices: " + ", ".join(f"{name} {value}" for name, value in free.items()),
    )
    for head in ("curve", "at", "mean", "standard error"):
        table.add_column(head)
    for name, curve in curves.items():
        places = curve.at.tolist() if curve.mean.ndim else [""]
        for at, mean, se in zip(places, curve.mean.reshape(-1), curve.se.reshape(-1), strict=True):
            if mean == mean:  # a lag that never was possible has none
                table.add_row(name if at == places[0] else "", str(at), f"{mean:.3f}", f"{se:.3f}")
    show(table)
