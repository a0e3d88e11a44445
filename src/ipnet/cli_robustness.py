"""``ipnet robustness``: finished runs under the perturbations that a study declares."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipnet.console import Json, Root, Set, bars, print_json, recordings, resumable, show
from ipnet.errors import IPNetError

if TYPE_CHECKING:
    from rich.table import Table

    from ipnet.data import Split
    from ipnet.results import Result
    from ipnet.robustness_curve import Curve, Tested
    from ipnet.robustness_verdict import Match, Verdict

NONE = "-"  # what cannot be tested, or is not known


def robustness(
    runs: Annotated[Path, typer.Argument(help="Folder of finished runs, such as runs/demo.")],
    config: Annotated[
        str, typer.Option("--config", help="Study (file or shipped name) whose [robustness] has the levels.")
    ],
    split: Annotated[
        str, typer.Option(help="validation to look around; test for levels that were declared before.")
    ] = "validation",
    settings: Set = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Test finished runs under noise, lost order and faulty hardware; what is done is skipped."""
    from ipnet.results import find_results
    from ipnet.robustness_curve import studies
    from ipnet.robustness_verdict import judge

    if split not in ("validation", "test"):
        raise IPNetError(f"--split must be validation or test; got '{split}'.")
    levels = _levels(config, split, settings or ())
    results = find_results(runs)
    if split == "test":
        _require_own_study(config, [result for _, result in results])
    with recordings(results[0][1].config["data"], root):
        tested = _evaluate(results, levels, split, quiet=as_json)  # type: ignore[arg-type]
    found = [(study, judge(study)) for study in studies(tested)]
    pictures = _draw(found, runs)
    if as_json:
        print_json(
            {
                "runs": [run.found.model_dump() for study, _ in found for run in study],
                "studies": [
                    {"study": study[0].found.study, "split": split, "data": study[0].found.data} | verdict.plain()
                    for study, verdict in found
                ],
            }
        )
        return
    for study, verdict in found:
        _print(study, verdict)
    for picture in pictures:
        typer.echo(f"figure: {picture}")


def _levels(config: str, split: str, settings: Sequence[str]) -> Mapping[str, Sequence[float]]:
    """The declared levels; those of the test split come from the file alone."""
    from ipnet.config import Study, read_config
    from ipnet.robustness import declare

    changed = [text for text in settings if text.partition("=")[0].split(".")[0].strip() == "robustness"]
    if split == "test" and changed:
        raise IPNetError(
            f"levels of the test split must be those that the study declares; got --set {changed[0]}: write them "
            "into [robustness] of the study, or look around on the validation split."
        )
    levels = read_config(Study, config, settings).robustness
    declare(levels)
    return levels


def _require_own_study(config: str, results: "Sequence[Result]") -> None:
    from ipnet.config import Study, read_config

    name = read_config(Study, config).study
    other = next((result for result in results if result.config["study"] != name), None)
    if other:
        raise IPNetError(
            f"levels of the test split must be declared by the runs' own study; '{config}' is study '{name}', and "
            f"{other.run} is of '{other.config['study']}': give the study that made the runs."
        )


def _evaluate(
    results: "Sequence[tuple[Path, Result]]", levels: Mapping[str, Sequence[float]], split: "Split", *, quiet: bool
) -> "list[Tested]":
    from ipnet.robustness import declare
    from ipnet.robustness import robustness as evaluate
    from ipnet.robustness_curve import Tested

    tested, started, count = [], time.monotonic(), len(declare(levels)) + 1
    with bars("robustness", quiet=quiet) as progress, resumable():
        for i, (path, result) in enumerate(results):
            told = progress.run(result.run, i, len(results))
            tested.append(Tested(result, evaluate(path.parent, levels, split=split, report=told)))
            if not sys.stderr.isatty():  # where no bar can be shown, in a log say
                spent = time.monotonic() - started
                left = spent * (len(results) / (i + 1) - 1)
                done = f"{i + 1} of {len(results)} runs with {count} passes over the split each"
                typer.echo(f"{result.run}: {done}, {spent:.0f} s, about {left:.0f} s left", err=True)
    return tested


def _draw(found: "Sequence[tuple[list[Tested], Verdict]]", folder: Path) -> list[Path]:
    """One picture per study, beside its runs; studies of one name with other settings are numbered."""
    from ipnet.device_figures import save_figure
    from ipnet.robustness_figure import robustness_figure

    pictures: list[Path] = []
    for study, verdict in found:
        if verdict.curves:
            first = study[0].found
            name = "robustness" if folder.name == first.study else f"robustness-{first.study}"
            path = folder / f"{name}-{first.split}.png"
            if path in pictures:
                path = path.with_stem(f"{path.stem}-{len(pictures) + 1}")
            pictures.append(path)
            save_figure(robustness_figure(verdict.curves, _title(study)), path)
    return pictures


def _title(study: "Sequence[Tested]") -> str:
    run = study[0].found
    kind = "real" if run.data["real"] else "SIMULATED"
    return f"{run.study}: {run.data['name']}, {kind} data, {run.split} split"


def _print(study: "Sequence[Tested]", verdict: "Verdict") -> None:
    if verdict.curves:
        show(_curve_table(study, verdict))
    if verdict.matches:
        show(_match_table(verdict))
    if verdict.differences:
        show(_difference_table(verdict))
    for reason, names in _untested(study).items():
        typer.echo(f"{', '.join(names)}: {reason}")


def _untested(study: "Sequence[Tested]") -> dict[str, list[str]]:
    """What could not be tested, by the reason."""
    reasons: dict[str, list[str]] = {}
    for run in study:
        for name, reason in run.found.untested.items():
            names = reasons.setdefault(reason, [])
            if name not in names:
                names.append(name)
    return reasons


def _new_table(title: str, caption: str, names: Sequence[str], numbers: Sequence[str]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _interval(mean: float, low: float, high: float, join: str = "\n") -> str:
    """A mean over seeds with its interval, if it has one."""
    from rich.markup import escape

    if math.isnan(mean):
        return NONE
    return escape(f"{mean:.1f}" + ("" if math.isnan(low) else f"{join}[{low:.1f}, {high:.1f}]"))


def _curve_table(study: "Sequence[Tested]", verdict: "Verdict") -> "Table":
    from ipnet.robustness_verdict import CARRIED

    curves = verdict.curves
    table = _new_table(
        _title(study),
        f"{curves[0].n} items; 95 % intervals over seeds, of the items for one seed\n"
        "loss: per unit of level (octave of speed), least squares through the undisturbed score\n"
        "of known: the same in % of the undisturbed score above chance\n"
        "-: cannot be tested; or undisturbed a run is no better than chance",
        ("perturbation", "contender"),
        ("level", curves[0].score_label, "loss", "of known"),
    )
    by_place = {(curve.perturbation, curve.contender): curve for curve in curves}
    contenders = sorted({run.found.contender for run in study})
    for name in dict.fromkeys(curve.perturbation for curve in curves):
        for contender in contenders:
            curve = by_place.get((name, contender))
            table.add_row(name, *(_curve_row(curve) if curve else (contender, *[NONE] * 4)))
    for contender, carried in verdict.carried.items():
        table.add_row(CARRIED, contender, *[NONE] * 3, _interval(*carried))
    return table


def _curve_row(curve: "Curve") -> tuple[str, ...]:
    return (
        f"{curve.contender}\n{curve.seeds} seed{'s' * (curve.seeds > 1)}",
        "\n".join(f"{point.level:g}" for point in curve.points),
        "\n".join(_interval(p.value, p.low, p.high, " ") for p in curve.points),
        _interval(*curve.slope),
        _interval(*curve.relative),
    )


def _match_table(verdict: "Verdict") -> "Table":
    table = _new_table(
        f"{verdict.reference} against each other contender, at the largest level",
        "better, worse: recordings on which it is right more, less often, by the exact sign test; of a\n"
        "regression drives or blocks where its error is smaller, larger, by Student's paired t; p after Holm",
        ("perturbation", "level", "other"),
        ("better", "worse", "p", f"{verdict.reference} is"),
    )
    for match in verdict.matches:
        table.add_row(match.perturbation, f"{match.level:g}", match.other, *_test(match), match.relation)
    return table


def _test(match: "Match") -> tuple[str, str, str]:
    """The figures of a match: on how many recordings or groups it is better and worse, and p."""
    if match.test is None:
        return NONE, NONE, NONE
    return f"{match.test.better}", f"{match.test.worse}", f"{match.test.p:.2g}"


def _difference_table(verdict: "Verdict") -> "Table":
    table = _new_table(
        f"Does recurrent memory accumulate? {verdict.reference} minus each",
        "difference of the losses of known, paired by seed, with 95 % interval; p of Student's t, Holm-corrected\n"
        "accumulates: it loses more than the intrinsic memory; opposite: it loses less",
        ("perturbation", "other"),
        ("difference", "p", "the other"),
    )
    for each in verdict.differences:
        figures = _interval(each.value, each.low, each.high, " ")
        p = NONE if math.isnan(each.p) else f"{each.p:.2g}"
        table.add_row(each.perturbation, f"{each.other}, {each.seeds} seeds", figures, p, each.verdict)
    return table
