"""The picture of the battery: each series of a card as a line, people as points, traces without physics behind."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ipnet.battery import FIXED_ON, Outcome, Series, all_series, distances, reference_models
from ipnet.figures import STYLE

_COLUMNS = 4
_CARD, _PEOPLE, _TRACE = "#0b6fb8", "#c2410c", "#9aa3af"


def battery_figure(outcomes: Mapping[str, Outcome], title: str) -> Figure:
    """Means over simulated people with twice their standard error as a band.

    Args:
        outcomes: of `ipnet.battery.run_battery`.
        title: says which card.
    """
    everything, models, fits = all_series(), reference_models(), distances(outcomes)
    rows = math.ceil(len(everything) / _COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure((3.1 * _COLUMNS, 0.7 + 2.6 * rows), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
        panels: Any = figure.subplots(rows, _COLUMNS, squeeze=False)
        for axes, entry in zip(panels.ravel(), everything, strict=False):
            _panel(axes, entry, outcomes[entry.name])
            if entry.people and entry.score != "probability_first_recall":
                trace = models["exponential trace"](entry)
                axes.plot(outcomes[entry.name].at, trace, color=_TRACE, lw=1.2, ls="--", label="exponential trace")
            note = " (fixed on this)" if entry.name == FIXED_ON else ""
            axes.set_title(entry.name + note, fontsize=9, loc="left")
            if entry.name in fits:
                found = fits[entry.name]["card"]
                axes.set_title(f"RMSE {found.rmse:.2f}", fontsize=7.5, loc="right", color="#5b6470")
        for axes in panels.ravel()[len(everything) :]:
            axes.set_axis_off()
        for axes in panels[:, 0]:
            axes.set_ylabel("share")
        shown = {
            label: handle
            for axes in panels.ravel()
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(shown.values(), shown.keys(), loc="outside lower left", ncols=len(shown), frameon=False)
    return figure


def _panel(axes: Axes, entry: Series, outcome: Outcome) -> None:
    mean, se = outcome.mean, outcome.se
    axes.fill_between(outcome.at, mean - 2 * se, mean + 2 * se, color=_CARD, alpha=0.2, lw=0)
    axes.plot(outcome.at, mean, color=_CARD, lw=1.8, marker="o", ms=3, label="card")
    if entry.people:
        error = np.array(entry.people_se) if entry.people_se else None
        points: Any = {"color": _PEOPLE, "marker": "s", "ms": 3.5, "ls": "none", "elinewidth": 1}
        axes.errorbar(outcome.at, entry.people, yerr=error, label="people", **points)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(textwrap.fill(entry.axis, 40), fontsize=8)
    axes.grid(color="#e6e9ee", lw=0.8)
    axes.set_axisbelow(True)
