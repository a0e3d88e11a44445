"""How the command line prints the tables of studies and batteries: 80 columns wide, to read or into a file."""

import io
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ipnet.battery_tables import battery_sheets
from ipnet.cache import write_atomically
from ipnet.comparison import comparisons
from ipnet.cost_report import CostReport
from ipnet.cost_tables import cost_sheets
from ipnet.hil_result import HilRun
from ipnet.hil_tables import hil_sheets
from ipnet.positions import sweeps
from ipnet.prediction_error import error_studies
from ipnet.results import Result
from ipnet.study import Cost
from ipnet.tables import Sheet, error_sheets, study_sheets
from ipnet.written_battery import WrittenBattery

TABLE_FILE = "table.txt"
_WIDTH = 80


def _table(title: str, sheet: Sheet) -> Table:
    table = Table(
        title=escape(title),
        caption=escape(sheet.note),
        caption_justify="left",
        min_width=_WIDTH - 4,
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    for i, head in enumerate(sheet.heads):
        table.add_column(escape(head.text), justify="right" if i else "left", no_wrap=i > 0, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(escape(cell.text) for cell in row))
    return table


def _study_table(first: Result, sheet: Sheet) -> Table:
    kind = "real" if first.data["real"] else "SIMULATED"
    title = first.config["title"] or first.config["study"]
    return _table(f"{title}\n{sheet.title}: {first.data['name']}, {kind} data, test split", sheet)


def result_tables(results: Sequence[Result]) -> list[Table | str]:
    """All tables about some results, study by study, and the verdicts on where a memory stands best."""
    parts: list[Table | str] = []
    for comparison in comparisons(results):
        parts += [_study_table(comparison.results[0], sheet) for sheet in study_sheets(comparison)]
        parts += [escape(sweep.verdict) for sweep in sweeps(comparison)]
    for study in error_studies(results):
        parts += [_study_table(study[0].results[0], sheet) for sheet in error_sheets(study)]
    return parts


def battery_tables(battery: WrittenBattery) -> list[Table]:
    """All tables about a battery."""
    run = f"SIMULATED, n = {battery.subjects} with {battery.trials} trials each, seed {battery.seed}"
    title = f"Human memory tasks performed by {battery.name}"
    return [_table(f"{title}\n{sheet.title}: {run}", sheet) for sheet in battery_sheets(battery)]


def cost_tables(report: CostReport) -> list[Table]:
    """All tables about costs."""
    kind = "recorded" if report.real else "SIMULATED"
    return [
        _table(f"{report.study}\n{sheet.title}: {report.data}, {kind} clips, validation split", sheet)
        for sheet in cost_sheets(report)
    ]


def hil_tables(run: HilRun) -> list[Table]:
    """All tables about a run on a bench."""
    chip = "the virtual laboratory's chip, SIMULATED" if run.simulated else "a bench"
    kind = "recorded" if run.real else "SIMULATED"
    title = f"{run.run}, {run.place} on {chip}"
    return [
        _table(f"{title}\n{sheet.title}: {run.data}, {kind} clips, {run.split} split", sheet)
        for sheet in hil_sheets(run)
    ]


def write_tables(
    results: Sequence[Result],
    path: Path,
    batteries: Sequence[WrittenBattery] = (),
    costs: Sequence[CostReport] = (),
    benches: Sequence[HilRun] = (),
) -> Path:
    """Write the tables as text, the same on every machine.

    Raises:
        IPNetError: the file cannot be written.
    """
    text = io.StringIO()
    console = Console(file=text, width=_WIDTH, force_terminal=False, color_system=None, _environ={})
    parts = [*result_tables(results), *(table for battery in batteries for table in battery_tables(battery))]
    parts += [table for report in costs for table in cost_tables(report)]
    for part in [*parts, *(table for run in benches for table in hil_tables(run))]:
        console.print(part)
    lines = "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
    write_atomically(path, lambda temporary: temporary.write_text(lines, "utf-8"))
    return path


def cost_table(costs: list[Cost]) -> Table:
    """What is still to be trained, and in total."""
    table = Table(title="still to be trained", caption="estimated from three batches of each on this machine")
    for name in ("contender", "runs", "minutes", "CPU minutes"):
        table.add_column(name, justify="left" if name == "contender" else "right", no_wrap=True)
    for cost in costs:
        table.add_row(cost.contender, str(cost.runs), f"{cost.minutes:.1f}", f"{cost.cpu_minutes:.1f}")
    table.add_section()
    total = [sum(of) for of in zip(*((cost.minutes, cost.cpu_minutes) for cost in costs), strict=True)]
    table.add_row("all", str(sum(cost.runs for cost in costs)), *(f"{minutes:.1f}" for minutes in total))
    return table
