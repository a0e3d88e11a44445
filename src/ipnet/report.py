"""One self-contained HTML page about a folder of results: equal results give an equal page."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from ipnet.battery_tables import battery_sheets
from ipnet.budget import Backbone, Training
from ipnet.cache import content_hash, write_atomically
from ipnet.cards import Card
from ipnet.claims import ledger, read_evidence
from ipnet.comparison import Comparison, card_of, comparisons, percent
from ipnet.contender import own_values
from ipnet.cost_report import CostReport
from ipnet.cost_tables import cost_sheets
from ipnet.cost_words import sentences
from ipnet.hil_result import HilRun
from ipnet.hil_tables import hil_sheets
from ipnet.leak import leak_check
from ipnet.pairing import in_words
from ipnet.positions import sweeps
from ipnet.prediction_error import error_studies
from ipnet.results import Result
from ipnet.robustness_curve import read_tested
from ipnet.settings import flatten, toml_value
from ipnet.standing import Standing, paired_with_each
from ipnet.tables import error_sheets, study_sheets, subject_sheet
from ipnet.train import TRACE_FILE
from ipnet.units import format_duration, format_si
from ipnet.written_battery import WrittenBattery

_LARGEST_CONFUSION = 40  # classes; beyond it a matrix is not readable


def write_report(results_folder: Path, output: Path) -> Path:
    """Write the report of all results below a folder.

    Args:
        results_folder: holds the runs of one study or of several, files of `ipnet tasks battery`, `ipnet cost` and
            `ipnet hil`.
        output: HTML file; its folder is made.

    Returns:
        `output`.

    Raises:
        IPNetError: no results, a damaged file, or the file cannot be written.
    """
    found, batteries, costs, benches = read_evidence(results_folder)
    results = [result for _, result in found]
    paths = {id(result): path for path, result in found}
    studies, measured = comparisons(results), error_studies(results)
    commands = [study.command for study in studies] + [study[0].command for study in measured]
    commands += [battery.command for battery in batteries] + [report.command for report in costs]
    commands += [run.command for run in benches]
    page = _template().render(
        studies=[_study(comparison, number, paths) for number, comparison in enumerate(studies, 1)],
        measured=[{"first": study[0].results[0], "sheets": error_sheets(study)} for study in measured],
        batteries=[_battery(battery, number) for number, battery in enumerate(batteries, 1)],
        costs=[_cost(report, number) for number, report in enumerate(costs, 1)],
        benches=[_bench(run, number) for number, run in enumerate(benches, 1)],
        cards_figure=_cards(batteries) if len(batteries) > 1 else None,
        ledger=ledger(results, read_tested(found), batteries, costs, benches),
        own=_own(results),
        runs=[_provenance(result, paths[id(result)], results_folder) for result in results],
        folder=results_folder.resolve().name,
        commands=list(dict.fromkeys(commands)),
    )
    write_atomically(output, lambda temporary: temporary.write_text(page, "utf-8"))
    return output


def _template() -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_unbroken
    )
    environment.filters["percent"] = percent
    environment.filters["interval"] = lambda ends: f"[{100 * ends[0]:.2f}, {100 * ends[1]:.2f}]"
    environment.filters["seconds"] = format_duration
    environment.filters["si"] = lambda value: format_si(value, "s").replace("u", "µ")
    return environment.from_string(resources.files("ipnet").joinpath("report.html.j2").read_text("utf-8"))


def _unbroken(value: Any) -> Any:
    """Keep a percent sign on the line of its number."""
    return value.replace(" %", "\u00a0%") if isinstance(value, str) else value


def _study(comparison: Comparison, number: int, paths: Mapping[int, Path]) -> dict[str, Any]:
    """Everything that the template shows of a study."""
    from ipnet.figures import accuracy_figure, learning_figure  # matplotlib is slow to import
    from ipnet.position_figure import position_figure

    best, blind = comparison.best, comparison.of_memory("none")
    swept = sweeps(comparison)
    return {
        "anchor": f"study-{number}",
        "title": comparison.results[0].config["title"] or comparison.study,
        "comparison": comparison,
        "best": best,
        "blind": blind,
        "sheets": study_sheets(comparison),
        "subjects": subject_sheet(comparison),
        "sweeps": swept,
        "position_figure": position_figure(swept) if swept else None,
        "findings": _findings(comparison),
        "leaks": leak_check(comparison.results),
        "accuracy_figure": accuracy_figure(comparison),
        "learning_figure": learning_figure(comparison),
        "confusions": [_confusion(standing) for standing in comparison.ranking if standing.results[0].confusion],
        "heat": _heat(comparison, paths),
        "device": _device(best) if best else None,
        "compression": _compression(best.results[0]) if best else None,
    }


def _findings(comparison: Comparison) -> list[str]:
    """The outcome in sentences."""
    best, blind, sentences = comparison.best, comparison.of_memory("none"), []
    if best:
        kind = "recorded" if comparison.real else "simulated"
        over = f"over {best.seeds} seeds" if best.seeds > 1 else "of one seed"
        sentences.append(
            f"On {best.n} {kind} test clips, {best.contender} (the intrinsic memory with the best validation "
            f"score) is right on {percent(best.accuracy)} (95 % interval {over}: {percent(best.low)} to "
            f"{percent(best.high)})."
        )
    if blind and blind.class_accuracy is not None:
        sentences.append(
            f"The same backbone without memory is right on {percent(blind.accuracy)}; blind to order, it can "
            f"reach half of its class accuracy of {percent(blind.class_accuracy)} and no more."
        )
    others = [standing for standing in comparison.ranking if standing is not best]
    if best and others:
        tests = paired_with_each(best, others)
        sentences.append(f"Paired over recordings, {best.contender} is {in_words(tests)}.")
    return sentences


def _confusion(standing: Standing) -> dict[str, Any]:
    """A confusion matrix summed over seeds, shaded by the share of its row."""
    names = standing.results[0].outputs
    counts = np.sum([result.confusion for result in standing.results], 0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    rows = [
        {"name": name, "cells": [(int(count), round(float(share), 3)) for count, share in zip(*pair, strict=True)]}
        for name, *pair in zip(names, counts, shares, strict=True)
    ]
    readable = len(names) <= _LARGEST_CONFUSION
    return {
        "contender": standing.contender,
        "seeds": standing.seeds,
        "names": names,
        "rows": rows if readable else [],
    }


def _heat(comparison: Comparison, paths: Mapping[int, Path]) -> dict[str, str] | None:
    """The picture of the heat, of the first run that left a trace; the best intrinsic contender comes first."""
    from ipnet.figures import heat_figure, read_trace

    best = comparison.best.contender if comparison.best else ""
    for result in sorted(comparison.results, key=lambda result: (result.contender != best, result.seed)):
        path = paths[id(result)].with_name(TRACE_FILE)
        period = result.physics.get("clock_period_s")
        interval = comparison.data.get("frame_interval_s")
        if period and interval and path.exists():
            trace, horizon = read_trace(path), result.physics["horizon_frames"]
            picture = heat_figure(trace, interval, period, horizon)
            return {"picture": picture, "item": trace.item, "run": result.run}
    return None


def _compression(result: Result) -> float | None:
    """How much faster the device sees a clip than the camera did."""
    period, interval = result.physics.get("clock_period_s"), result.data.get("frame_interval_s")
    return float(interval) / float(period) if period and interval else None


def _device(standing: Standing) -> dict[str, Any]:
    """Facts about the device of an intrinsic contender, and its card if it can still be read."""
    result = standing.results[0]
    card = card_of(result)
    return {
        "contender": standing.contender,
        "physics": result.physics,
        "words": {key: value for key, value in result.physics["clock"].items() if isinstance(value, str)},
        "card": card,
        "values": _card_values(card) if card else [],
        "frame_interval": result.data.get("frame_interval_s"),
    }


def _card_values(card: Card[Any, Any]) -> list[dict[str, str]]:
    rows = []
    for name, entry in card.entries.items():
        table, _, key = name.partition(".")
        if table not in ("parameters", "clock"):  # all junctions of the run are those of the card
            continue
        field = type(getattr(card, table)).model_fields[key]
        unit = "" if entry.unit == "1" else f" {entry.unit}"
        span = f"{entry.range[0]:g} to {entry.range[1]:g}{unit}" if entry.range else ""
        rows.append(
            {
                "table": "junction" if table == "parameters" else "clock",
                "key": key,
                "meaning": field.description or "",
                "value": entry.numbers + unit,
                "range": span,
                "source": entry.source or "",
                "assumed": entry.assumed or "",
            }
        )
    return rows


def _battery(battery: WrittenBattery, number: int) -> dict[str, Any]:
    """Everything that the template shows of a battery."""
    from ipnet.battery_figure import battery_figure
    from ipnet.figures import data_uri

    choices = {key: value for key, value in flatten(battery.choices).items() if value is not None}
    return {
        "anchor": f"memory-{number}",
        "battery": battery,
        "holding": sum(trend.verdict == "holds" for trend in battery.trends),
        "figure": data_uri(battery_figure(battery), "svg"),
        "sheets": battery_sheets(battery),
        "choices": [f"{key} = {toml_value(value)}" for key, value in choices.items()],
    }


def _cards(batteries: Sequence[WrittenBattery]) -> str:
    """The picture across cards."""
    from ipnet.battery_figure import cards_figure
    from ipnet.figures import data_uri

    return data_uri(cards_figure(batteries), "svg")


def _cost(report: CostReport, number: int) -> dict[str, Any]:
    """Everything that the template shows of a file of costs."""
    from ipnet.cost_figure import cost_figure
    from ipnet.figures import data_uri

    return {
        "anchor": f"cost-{number}",
        "cost": report,
        "figure": data_uri(cost_figure(report), "svg"),
        "sheets": cost_sheets(report),
        "sentences": sentences(report),
    }


def _bench(run: HilRun, number: int) -> dict[str, Any]:
    """Everything that the template shows of a run on a bench."""
    from ipnet.figures import data_uri
    from ipnet.hil_figure import hil_figure

    return {
        "anchor": f"bench-{number}",
        "run": run,
        "figure": data_uri(hil_figure(run), "svg"),
        "sheets": hil_sheets(run),
    }


_SIZES = ("width", "parameters")  # either displaces the other


def _own(results: Sequence[Result]) -> list[dict[str, str]]:
    """A line for each contender that has values of its own, instead of what its study gives to all."""
    lines, defaults = [], {"backbone": Backbone.model_fields, "training": Training.model_fields}
    for result in results:
        told = {  # a default that is not written is an own value as well, where the study has another
            table: {
                k: fields[k].default for k in result.config.get("instead_of", {}).get(table, {}) if k not in _SIZES
            }
            | result.config[table]
            for table, fields in defaults.items()
        }
        values = ", ".join(
            f"{key} = {toml_value(value)}" for key, value in own_values(result.config | told).items()
        )
        if values:
            lines.append({"contender": result.contender, "study": str(result.config["study"]), "values": values})
    return [line for i, line in enumerate(lines) if line not in lines[:i]]


def _provenance(result: Result, path: Path, folder: Path) -> dict[str, Any]:
    return {
        "result": result,
        "config": content_hash(result.config),
        "file": path.relative_to(folder).as_posix(),
        "versions": _listed(result.versions),
    }


def _listed(versions: Mapping[str, str]) -> Sequence[str]:
    return [f"{name} {number}" for name, number in sorted(versions.items())]
