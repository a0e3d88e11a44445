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
        show(_table(curves(runs), _title(runs[0])))
        for name, reason in sorted({pair for run in runs for pair in run.inapplicable.items()}):
            typer.echo(f"{name} was left out: {reason}.")
    for picture in pictures:
        typer.echo(f"figure: {picture}")


def _table(curves: "list[Curve]", title: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        caption="95 % intervals over seeds, or over clips for one seed; loss: score lost per unit of level,\n"
        "least squares through the undisturbed score; per octave for speed",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    for name in ("perturbation", "contender", "score at level", "n x seeds", "loss"):
        table.add_column(name, overflow="fold")
    for curve in curves:
        seen = [f"{p.level:g}: {p.value:.3f} [{p.low:.3f}, {p.high:.3f}]" for p in curve.points]
        mean, low, high = curve.slope
        spread = f" [{low:.3f}, {high:.3f}]" if curve.seeds > 1 else ""
        table.add_row(
            curve.perturbation,
            curve.contender,
            "\n".join(seen).replace("[", r"\["),
            f"{curve.n} x {curve.seeds}",
            f"{mean:.3f}{spread}".replace("[", r"\["),
        )
    return table
