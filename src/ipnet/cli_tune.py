"""``ipnet tune``: equal budgets for all contenders of a study, on validation alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipnet.console import Json, Root, Set, bars, print_json, recordings, resumable, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ipnet.tune import Trial


def tune(
    config: Annotated[
        str, typer.Argument(help="TOML file of a study with [search], or the name of a shipped one.")
    ],
    trials: Annotated[int | None, typer.Option(min=1, help="Per contender; default: those of [search].")] = None,
    contender: Annotated[list[str] | None, typer.Option(help="Tune this one. Repeatable; default: all.")] = None,
    settings: Set = None,
    root: Root = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that holds the studies.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """Try the ranges of [search], equally often for every contender; what is done is skipped."""
    from ipnet.config import Study, read_config
    from ipnet.train import check_writable
    from ipnet.tune import TRIALS_FILE, TUNED_FILE, best_of, unequal
    from ipnet.tune import tune as search
    from ipnet.tuning import Tuning

    study = read_config(Study, config, settings or ())
    folder = output / study.study
    check_writable(folder)
    with recordings(study.data, root):
        tuning = Tuning(study, contender or ())
        with bars(f"tuning {study.study}", quiet=as_json) as progress, resumable():
            found = search(tuning, folder, trials or study.search.trials, progress.run)
    if as_json:
        print_json([vars(trial) for trial in found])
    else:
        show(_table(found, best_of(found), study.study))
        typer.echo(f"trials: {folder / TRIALS_FILE}\ntables to paste: {folder / TUNED_FILE}")
    if warning := unequal(tuning, found):
        typer.echo(warning, err=True)


def _table(found: "Sequence[Trial]", best: "dict[str, Trial]", study: str) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{study}: trials, validation split"), caption="first: the study's present values")
    for name in ("contender", "trials", "first loss", "best loss", "score", "best values"):
        table.add_column(
            name, overflow="fold", justify="left" if name in ("contender", "best values") else "right"
        )
    for name in dict.fromkeys(trial.contender for trial in found):
        own = [trial for trial in found if trial.contender == name]
        trial = best.get(name)
        values = "\n".join(f"{key} = {value}" for key, value in trial.values.items()) if trial else "all diverged"
        scores = (f"{trial.loss:.4f}", f"{trial.score:.4g}") if trial else ("", "")
        table.add_row(name, str(len(own)), f"{own[0].loss:.4f}", *scores, escape(values))
    return table
