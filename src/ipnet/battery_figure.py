"""The picture of the battery: each series of a card as a line, people as points, traces without physics behind."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ipnet.battery import MODELS, Series, all_series, reference_models
from ipnet.errors import IPNetError
from ipnet.figures import STYLE
from ipnet.written_battery import WrittenBattery, WrittenSeries

_COLUMNS = 4
_CARD, _PEOPLE, _TRACE = "#0b6fb8", "#c2410c", "#9aa3af"


def battery_figure(battery: WrittenBattery) -> Figure:
    """Means over simulated people with twice their standard error as a band.

    Raises:
        IPNetError: a series is missing, or is not over the places of this version.
    """
    everything, models = all_series(), reference_models()
    for entry in everything:
        if entry.name not in battery.series or len(battery.series[entry.name].at) != len(entry.ages):
            raise IPNetError(
                f"a battery must hold all of '{entry.name}' to be drawn, and that of {battery.name} does not: run "
                f"`{battery.command}` again."
            )
    rows = math.ceil(len(everything) / _COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure((3.1 * _COLUMNS, 0.7 + 2.6 * rows), layout="constrained")
        people = f"({battery.subjects} simulated people in each condition)"
        title = f"Human memory tasks performed by {battery.name} {people}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
        panels: Any = figure.subplots(rows, _COLUMNS, squeeze=False)
        for axes, entry in zip(panels.ravel(), everything, strict=False):
            shown = battery.series[entry.name]
            _panel(axes, entry, shown)
            if entry.people and entry.score != "probability_first_recall":
                trace = models["exponential trace"](entry)
                axes.plot(shown.at, trace, color=_TRACE, lw=1.2, ls="--", label="exponential trace")
            note = " (fixed on this)" if entry.name == battery.fixed_on else ""
            axes.set_title(entry.name + note, fontsize=9, loc="left")
            if entry.people:
                rmse = _rmse(battery, entry.name)
                axes.set_title(f"RMSE {rmse:.2f}", fontsize=7.5, loc="right", color="#5b6470")
        for axes in panels.ravel()[len(everything) :]:
            axes.set_axis_off()
        for axes in panels[:, 0]:
            axes.set_ylabel("share")
        legend = {
            label: handle
            for axes in panels.ravel()
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(legend.values(), legend.keys(), loc="outside lower left", ncols=len(legend), frameon=False)
    return figure


def cards_figure(batteries: Sequence[WrittenBattery]) -> Figure:
    """How far each card is from people in each series: RMSE, the nearest card of a series in bold.

    Args:
        batteries: one for each card, at least one.
    """
    names = list(dict.fromkeys(name for battery in batteries for name in battery.distances))
    cards = [battery.name for battery in batteries]
    far = np.array([[_rmse(battery, name) for battery in batteries] for name in names])
    far = np.hstack([far, [[_rmse(batteries[0], name, model) for model in MODELS] for name in names]])
    with mpl.rc_context(STYLE):
        figure = Figure((3.2 + 1.05 * far.shape[1], 1.6 + 0.36 * len(names)), layout="constrained")
        axes = figure.subplots()
        axes.imshow(far, cmap="Blues", vmin=0, vmax=0.8, aspect="auto")
        for row, column in np.ndindex(far.shape):
            value = far[row, column]
            if np.isfinite(value):
                nearest = value == np.nanmin(far[row, : len(cards)]) and column < len(cards)
                weight, colour = ("bold" if nearest else "normal"), ("white" if value > 0.45 else "#27303d")
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", weight=weight, color=colour)
        axes.set_xticks(range(far.shape[1]), [*cards, *MODELS], rotation=20, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.axvline(len(cards) - 0.5, color="white", lw=4)
        axes.tick_params(length=0)
        axes.set_title("Distance from people: RMSE; right, traces without physics", loc="left", weight="bold")
    return figure


def _rmse(battery: WrittenBattery, name: str, who: str = "card") -> float:
    found = battery.distances.get(name, {}).get(who)
    return float("nan") if found is None or found.rmse is None else found.rmse


def _panel(axes: Axes, entry: Series, shown: WrittenSeries) -> None:
    mean, se = np.array(shown.mean, float), np.array(shown.se, float)  # nan in place of None
    axes.fill_between(shown.at, mean - 2 * se, mean + 2 * se, color=_CARD, alpha=0.2, lw=0)
    axes.plot(shown.at, mean, color=_CARD, lw=1.8, marker="o", ms=3, label="card")
    if entry.people:
        error = np.array(entry.people_se) if entry.people_se else None
        points: Any = {"color": _PEOPLE, "marker": "s", "ms": 3.5, "ls": "none", "elinewidth": 1}
        axes.errorbar(shown.at, entry.people, yerr=error, label="people", **points)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(textwrap.fill(entry.axis, 40), fontsize=8)
    axes.grid(color="#e6e9ee", lw=0.8)
    axes.set_axisbelow(True)
