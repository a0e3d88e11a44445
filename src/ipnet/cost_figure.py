"""The picture of costs: memory energies, what moves a ratio, and which neuron gives the published one."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ipnet.cost_report import CostReport, Ratio
from ipnet.figures import STYLE, colours
from ipnet.published_ratio import LSTM, NEURON, Search
from ipnet.units import format_si

_MOVES = 10  # prices in the tornado
_BLUE, _RED, _GREY = "#0b6fb8", "#c2410c", "#9aa3af"


def cost_figure(report: CostReport) -> Figure:
    """Memory energies with intervals, a tornado of one ratio, and the energies of a neuron that give 2,874."""
    kind = "recorded" if report.real else "simulated"
    panels = 1 + bool(_shown(report)) + (report.published is not None)
    with mpl.rc_context(STYLE):
        figure = Figure((4.6 * panels, 1.8 + 0.27 * max(len(report.contenders), _MOVES)), layout="constrained")
        title = f"Memory energy, {report.study}: {report.clips} {kind} clips of {report.data}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
        axes: Any = figure.subplots(1, panels, squeeze=False)[0]
        _energies(axes[0], report)
        ratio = _shown(report)
        if ratio:
            _tornado(axes[1], ratio)
        if report.published is not None:
            _needed(axes[-1], report.published)
    return figure


def _shown(report: CostReport) -> Ratio | None:
    """The ratio to an LSTM, or else the first."""
    return next((row for row in report.ratios if row.of.startswith("lstm")), next(iter(report.ratios), None))


def _energies(axes: Axes, report: CostReport) -> None:
    shown = [one for one in report.contenders if one.memory_energy.value > 0]
    colour = colours({one.contender: one.memory for one in report.contenders})
    for row, one in enumerate(shown):
        spread, frames = one.memory_energy, report.frames
        ends = max(spread.low, spread.value / 100) / frames, spread.high / frames
        axes.plot(ends, (row, row), color=colour[one.contender], lw=2, solid_capstyle="butt")
        axes.plot(spread.value / frames, row, "o", color=colour[one.contender], ms=6)
        axes.annotate(
            format_si(spread.value / frames, "J"), (ends[1], row), (4, 0), textcoords="offset points", va="center",
            fontsize=7.5,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [one.contender for one in shown])
    axes.margins(x=0.25)
    axes.invert_yaxis()
    axes.set_title("energy of the memory for a frame [J]", loc="left", fontsize=9)
    axes.grid(axis="x", color="#e6e9ee", lw=0.8)
    axes.set_axisbelow(True)


def _tornado(axes: Axes, row: Ratio) -> None:
    moves = row.moves[:_MOVES]
    for place, (_, low, high) in enumerate(moves):
        axes.plot((row.ratio.value, low), (place, place), color=_BLUE, lw=7, solid_capstyle="butt")
        axes.plot((row.ratio.value, high), (place, place), color=_RED, lw=7, solid_capstyle="butt")
    axes.axvline(row.ratio.value, color="#27303d", lw=0.8)
    axes.plot([], [], color=_BLUE, lw=5, label="price at its low end")
    axes.plot([], [], color=_RED, lw=5, label="at its high end")
    axes.set_yticks(range(len(moves)), [name.replace("_", " ") for name, _, _ in moves])
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=7.5, loc="lower right")
    axes.set_title(f"memory energy of {row.of} over {row.over}", loc="left", fontsize=9)


def _needed(axes: Axes, found: Search) -> None:
    for place, (counted, energies) in enumerate(found.needed.items()):
        hidden, joule = np.array(energies).T
        colour = (_BLUE, "#009e73", "#cc79a7", _RED)[place % 4]
        axes.plot(hidden, joule, marker="o", ms=3.5, color=colour, label=counted)
    axes.axhspan(*NEURON, color=_GREY, alpha=0.15, lw=0, label="published neurons")
    axes.axhline(found.own_energy, color="#27303d", lw=1, ls="--", label="this card's")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("hidden units of the LSTM")
    axes.legend(frameon=False, fontsize=7)
    axes.set_title(f"energy of a neuron that gives {LSTM:,.0f} [J], int8, 28 nm", loc="left", fontsize=9)
