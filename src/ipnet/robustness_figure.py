"""The picture of robustness: score against level, one panel per perturbation, one line per contender."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from ipnet.figures import STYLE, colours, markers
from ipnet.perturbation import PERTURBATIONS
from ipnet.robustness_curve import Curve

_COLUMNS = 3
_LINE = 42  # letters below a panel


def robustness_figure(curves: Sequence[Curve], title: str) -> Figure:
    """Means with their 95 % intervals as bands, of the curves of one study.

    Args:
        curves: of `ipnet.robustness_curve.curves`, at least one.
        title: says which data, whether real or simulated, and which split.
    """
    names = list(dict.fromkeys(curve.perturbation for curve in curves))
    contenders = {curve.contender: curve.memory for curve in curves}
    rows, columns = math.ceil(len(names) / _COLUMNS), min(len(names), _COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure((1.6 + 3.1 * columns, 0.8 + 2.5 * rows), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
        panels: Any = figure.subplots(rows, columns, squeeze=False, sharey=True)
        panels = panels.ravel()
        for axes, name in zip(panels, names, strict=False):
            _panel(axes, [curve for curve in curves if curve.perturbation == name], contenders)
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        for axes in panels[:: _COLUMNS if rows > 1 else columns]:
            axes.set_ylabel(curves[0].score_label)
        shown = {
            label: handle
            for axes in panels
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(shown.values(), shown.keys(), loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _panel(axes: Axes, curves: Sequence[Curve], contenders: Mapping[str, str]) -> None:
    colour, marker = colours(contenders), markers(contenders)
    for curve in curves:
        name, levels = curve.contender, [point.level for point in curve.points]
        bounds = [point.low for point in curve.points], [point.high for point in curve.points]
        axes.fill_between(levels, *bounds, color=colour[name], alpha=0.15, lw=0)
        style: Any = {"marker": marker[name], "ms": 4.5, "mec": "white", "mew": 0.6, "lw": 1.6}
        axes.plot(levels, [point.value for point in curve.points], color=colour[name], label=name, **style)
    entry = PERTURBATIONS[curves[0].perturbation]
    axes.axvline(entry.neutral, color="#8a94a3", lw=0.8, ls=(0, (4, 3)))
    if entry.lowest > 0:  # a factor: twice is as far away as half
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_title(curves[0].perturbation.replace("_", " "), fontsize=9, loc="left")
    axes.set_xlabel(textwrap.fill(entry.meaning.replace(" [1]", ""), _LINE), fontsize=7.5)
    axes.grid(color="#e6e9ee", lw=0.8)
    axes.set_axisbelow(True)
