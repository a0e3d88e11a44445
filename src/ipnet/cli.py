"""The command line. Everything heavy is imported inside the command that needs it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipnet import __version__
from ipnet.cli_cost import cost
from ipnet.cli_devices import devices
from ipnet.cli_hil import hil
from ipnet.cli_lab import lab
from ipnet.cli_memory import tasks
from ipnet.cli_recording import recording
from ipnet.cli_robustness import robustness
from ipnet.cli_tune import tune
from ipnet.console import Json, Root, Set, bars, keep_memory, print_json, recordings, resumable, show
from ipnet.errors import IPNetError

if TYPE_CHECKING:
    from ipnet.config import Run
    from ipnet.results import Result
    from ipnet.study import Cost

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(devices, name="devices", help="Device cards: measure, fit, check, compare, export.")
app.add_typer(hil, name="hil", help="Hardware in the loop: junctions of a network on instruments.")
app.add_typer(
    lab, name="lab", help="A virtual laboratory: instruments on ports of this machine, a chip behind them."
)
app.add_typer(tasks, name="tasks", help="Human memory tasks, performed by a card.")
app.command()(cost)
app.command()(recording)
app.command()(robustness)
app.command()(tune)

Runs = Annotated[Path, typer.Option("--output", "-o", help="Folder that holds the studies.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Working memory made of device physics: magnetic tunnel junctions as neurons for event cameras."""


def _run(runs: "list[Run]", output: Path, *, as_json: bool, root: Path | None = None) -> "list[Result]":
    from ipnet.study import check_runs, execute_all

    with recordings(runs[0].data, root), bars(runs[0].study, quiet=as_json) as progress:
        placed = check_runs(runs, output, progress.data)
        with resumable():
            return execute_all(placed, progress.run)


def _run_study(
    source: str, settings: list[str] | None, output: Path, *, as_json: bool, root: Path | None = None
) -> "list[Result]":
    from ipnet.config import Study, read_config
    from ipnet.robustness import declare

    study = read_config(Study, source, settings or ())
    if study.robustness:
        declare(study.robustness)
    return _run(study.runs(), output, as_json=as_json, root=root)


def _print_results(results: "list[Result]", *, as_json: bool) -> None:
    if as_json:
        print_json([result.model_dump() for result in results])
    else:
        from ipnet.cli_tables import result_tables

        show(*result_tables(results))


def _costs(
    source: str, settings: list[str] | None, output: Path, *, as_json: bool, root: Path | None
) -> "list[Cost]":
    from ipnet.config import Study, read_config
    from ipnet.study import check_runs, estimate

    study = read_config(Study, source, settings or ())
    with recordings(study.data, root), bars(study.study, quiet=as_json) as progress:
        return estimate(check_runs(study.runs(), output, progress.data))


def _print_costs(costs: "list[Cost]", *, as_json: bool) -> None:
    from ipnet.cli_tables import cost_table

    if as_json:
        total = {key: sum(getattr(cost, key) for cost in costs) for key in ("runs", "minutes", "cpu_minutes")}
        print_json({"contenders": [vars(cost) for cost in costs], "total": total})
    else:
        show(cost_table(costs))


@app.command()
def demo(output: Runs = Path("runs"), settings: Set = None, as_json: Json = False) -> None:
    """Simulated gestures and their reversed copies: four contenders, a table, a report, in minutes."""
    from ipnet.leak import leak_check
    from ipnet.report import write_report

    results = _run_study("demo", settings, output, as_json=as_json)
    _print_results(results, as_json=as_json)
    page = write_report(output / results[0].config["study"], output / results[0].config["study"] / "report.html")
    checks = leak_check(results)
    for check in checks:
        typer.echo(check.sentence, err=as_json)
    typer.echo(f"report: {page}", err=as_json)
    if not all(check.passed for check in checks):
        raise IPNetError("the benchmark leaks: a network without memory told clips from their reversed copies.")


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="TOML file of one run, or a study with --set contender=...")],
    settings: Set = None,
    root: Root = None,
    output: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Train one contender with one seed, test it once, write its result."""
    from ipnet.config import Run, read_config

    results = _run([read_config(Run, config, settings or ())], output, as_json=as_json, root=root)
    _print_results(results, as_json=as_json)


@app.command()
def study(
    config: Annotated[str, typer.Argument(help="TOML file of a study, or the name of a shipped one.")],
    settings: Set = None,
    root: Root = None,
    output: Runs = Path("runs"),
    cpu_minutes: Annotated[
        bool, typer.Option("--cpu-minutes", help="Train nothing; estimate what is still to be trained.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a grid of contenders and seeds; what is done is skipped, what was interrupted goes on."""
    if cpu_minutes:
        _print_costs(_costs(config, settings, output, as_json=as_json, root=root), as_json=as_json)
        return
    _print_results(_run_study(config, settings, output, as_json=as_json, root=root), as_json=as_json)


@app.command()
def report(
    runs: Annotated[Path, typer.Argument(help="Folder of results: studies, memory tasks, costs, benches.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="HTML file to write.")] = None,
    as_json: Json = False,
) -> None:
    """Write the results of a folder as one self-contained HTML page and, beside it, the tables as text."""
    from ipnet.claims import read_evidence
    from ipnet.cli_tables import TABLE_FILE, write_tables
    from ipnet.report import write_report
    from ipnet.study_numbers import study_numbers

    page = write_report(runs, output or runs / "report.html")
    found, batteries, costs, benches = read_evidence(runs)
    results = [result for _, result in found]
    table = write_tables(results, page.with_name(TABLE_FILE), batteries, costs, benches)
    if as_json:
        numbers = {"studies": study_numbers(results), "batteries": [battery.model_dump() for battery in batteries]}
        numbers["costs"] = [cost.model_dump(mode="json") for cost in costs]
        numbers["benches"] = [run.numbers for run in benches]
        print_json({"report": str(page), "table": str(table), **numbers})
    else:
        typer.echo(f"report: {page}\ntables: {table}")


@app.command()
def claims(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of results; default: runs and what is shipped.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The ledger: every claim of arXiv:2512.15829, what was found, on which data, and the verdict."""
    from ipnet.claims import ledger, read_evidence
    from ipnet.cost_report import read_costs
    from ipnet.hil_result import read_benches
    from ipnet.robustness_curve import read_tested
    from ipnet.written_battery import read_batteries

    if runs:
        parts = [read_evidence(folder) for folder in runs]
        found, batteries, costs, benches = (
            [entry for part in kind for entry in part] for kind in zip(*parts, strict=True)
        )
    else:
        found = _evidence()
        batteries = [battery for folder in _shipped() for battery in read_batteries(folder)]
        costs = [cost for folder in _shipped() for cost in read_costs(folder)]
        benches = [run for folder in _shipped() for run in read_benches(folder)]
    rows = ledger([result for _, result in found], read_tested(found), batteries, costs, benches)
    if as_json:
        print_json([row.model_dump() for row in rows])
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Claims of arXiv:2512.15829", show_lines=True)
    for name in ("claim", "published", "ours", "data", "verdict", "why"):
        table.add_column(name, overflow="fold")
    for row in rows:
        spread = f"\n[{100 * row.interval[0]:.1f}, {100 * row.interval[1]:.1f}] %" if row.interval else ""
        count = f"\nn = {row.n}, {row.seeds} seeds" if row.n else ""
        kind = "" if row.real is None else "\n(real)" if row.real else "\n(SIMULATED)"
        table.add_row(
            row.id,
            row.published,
            escape(row.ours + spread + count),
            row.data + kind,
            row.verdict,
            escape(row.reason),
        )
    show(table)


def _evidence() -> "list[tuple[Path, Result]]":
    """The results in ``runs``, and of every study that is not among them those that come with the package."""
    from ipnet.results import RESULT_FILE, find_results

    found: list[tuple[Path, Result]] = []
    for folder in _shipped():
        if any(folder.rglob(RESULT_FILE)):
            known = {result.config["study"] for _, result in found}
            found += [pair for pair in find_results(folder) if pair[1].config["study"] not in known]
    return found


def _shipped() -> tuple[Path, ...]:
    """Where evidence lies: the user's first, then what comes with the package, installed or in its repository."""
    package = Path(__file__).parent
    return Path("runs"), package / "evidence", package.parents[1] / "docs" / "results"


def main() -> None:
    """Run the command line; a mistake of the user's is one sentence and exit code 2."""
    keep_memory()
    try:
        app()
    except IPNetError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
