"""``ipnet robustness``: finished runs under the perturbations that a study declares."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipnet.console import Json, Set, bars, print_json, resumable, show
from ipnet.errors import IPNetError

if TYPE_CHECKING:
    from rich.table import Table

    from ipnet.robustness import Robustness
    from ipnet.robustness_curve import Curve


def robustness(
    runs: Annotated[Path, typer.Argument(help="Folder of finished runs, such as runs/demo.")],
    config: Annotated[
        str, typer.Option("--config", help="Study (file or shipped name) whose [robustness] has the levels.")
    ],
    split: Annotated[
        str, typer.Option(help="validation to look around; test for levels that were declared before.")
    ] = "validation",
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Test finished runs under noise, lost order and faulty hardware; what is done is skipped."""
    from ipnet.config import Study, read_config
    from ipnet.results import find_results
    from ipnet.robustness import declare
    from ipnet.robustness import robustness as evaluate

    if split not in ("validation", "test"):
        raise IPNetError(f"--split must be validation or test; got '{split}'.")
    levels = read_config(Study, config, settings or ()).robustness
    declare(levels)
    results = find_results(runs)
    found = []
    with bars("robustness", quiet=as_json) as progress, resumable():
        for i, (path, result) in enumerate(results):
            told = progress.run(result.run, i, len(results))
            found.append(evaluate(path.parent, levels, split=split, report=told))  # type: ignore[arg-type]
    pictures = _draw(found, runs)
    if as_json:
        print_json([run.model_dump() for run in found])
        return
    _print(found, pictures)


def _draw(found: "list[Robustness]", folder: Path) -> list[Path]:
    """One picture per study, beside its runs."""
    from ipnet.device_figures import save_figure
    from ipnet.robustness_curve import curves
    from ipnet.robustness_figure import robustness_figure

    pictures = []
    for study in sorted({run.study for run in found}):
        runs = [run for run in found if run.study == study]
        if drawn := curves(runs):
            name = "robustness" if folder.name == study else f"robustness-{study}"
            pictures.append(folder / f"{name}-{runs[0].split}.png")
            save_figure(robustness_figure(drawn, _title(runs[0])), pictures[-1])
    return pictures


def _title(run: "Robustness") -> str:
    kind = "real" if run.data["real"] else "SIMULATED"
    return f"{run.study}: {run.data['name']}, {kind} data, {run.split} split"


def _print(found: "list[Robustness]", pictures: list[Path]) -> None:
    from ipnet.robustness_curve import curves

    for study in sorted({run.study for run in found}):
        runs = [run for run in found if run.study == study]
        if drawn := curves(runs):
            show(_table(drawn, _title(runs[0])))
        for reason, names in _untested(runs).items():
            typer.echo(f"{', '.join(names)}: {reason}")
    for picture in pictures:
        typer.echo(f"figure: {picture}")


def _untested(runs: "list[Robustness]") -> dict[str, list[str]]:
    """What could not be tested, by the reason."""
    reasons: dict[str, list[str]] = {}
    for run in runs:
        for name, reason in run.untested.items():
            names = reasons.setdefault(reason, [])
            if name not in names:
                names.append(name)
    return reasons


def _table(curves: "list[Curve]", title: str) -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=title,
        caption=f"{curves[0].n} items; 95 % intervals over seeds, of the items for one seed\n"
        "loss: per unit of level (octave of speed), least squares through the undisturbed score",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("perturbation")
    table.add_column("contender", overflow="fold")
    for name in ("level", curves[0].score_label, "loss"):
        table.add_column(name, justify="right", no_wrap=True)
    for curve in curves:
        mean, low, high = curve.slope
        spread = f"\n[{low:.1f}, {high:.1f}]" if curve.seeds > 1 else ""
        table.add_row(
            curve.perturbation,
            f"{curve.contender}\n{curve.seeds} seed{'s' * (curve.seeds > 1)}",
            "\n".join(f"{point.level:g}" for point in curve.points),
            "\n".join(escape(f"{p.value:.1f} [{p.low:.1f}, {p.high:.1f}]") for p in curve.points),
            escape(f"{mean:.1f}{spread}"),
        )
    return table
