"""The picture of a run on a bench: its accuracy among runs in software, switching, and temperature."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ipnet.figures import STYLE
from ipnet.hil_result import HilRun

_BENCH, _SOFTWARE = "#c2410c", "#0b6fb8"


def hil_figure(run: HilRun) -> Figure:
    """Three panels: clips that are right, answers that switched, and the temperature that they tell of."""
    with mpl.rc_context(STYLE):
        figure = Figure((13.2, 3.6), layout="constrained")
        axes: Any = figure.subplots(1, 3)
        _accuracy(axes[0], run)
        low, high = (np.array([getattr(part.measured, end) for part in run.bins]) for end in ("low", "high"))
        expected = np.array([part.expected for part in run.bins])
        measured = np.array([part.measured.value for part in run.bins])
        _against(axes[1], expected, measured, low, high, "share that switched", "expected by the law", "measured")
        seen = [part.rise_measured for part in run.bins]
        low, high = (np.array([getattr(one, end) for one in seen]) for end in ("low", "high"))
        rise, told = (np.array([part.rise_expected for part in run.bins]), np.array([one.value for one in seen]))
        _against(axes[2], rise, told, low, high, "temperature rise [K]", "by the law", "told by the junctions")
    return figure


def _accuracy(axes: Axes, run: HilRun) -> None:
    truth = np.array(run.truth)
    software = 100 * (np.array(run.software) == truth).mean(1)
    value, low, high = (100 * part for part in run.foreseen)
    axes.axvspan(low, high, color=_SOFTWARE, alpha=0.12, lw=0)
    axes.axvline(value, color=_SOFTWARE, lw=1.2)
    rows = np.linspace(0.25, 0.75, len(software)) if len(software) > 1 else np.array([0.5])
    axes.plot(software, rows, "o", color=_SOFTWARE, ms=5, label="software, one run each")
    axes.plot([100 * run.accuracy.value], [0.9], "D", color=_BENCH, ms=8, label="on the bench")
    axes.set(ylim=(0, 1.15), yticks=[])
    axes.margins(x=0.2)
    axes.set_title(f"clips that are right, of {len(truth)} [%]", loc="left", fontsize=9)
    axes.legend(loc="lower right", fontsize=7.5, frameon=False)


def _against(axes: Axes, x: Any, y: Any, low: Any, high: Any, title: str, across: str, up: str) -> None:
    """Measured against expected, with intervals, beside the line on which they are the same."""
    ends = min(x.min(), low.min()), max(x.max(), high.max())
    axes.plot(ends, ends, color="#9aa3af", lw=1)
    axes.errorbar(x, y, np.stack([y - low, high - y]), fmt="o", color=_BENCH, ms=4, lw=1.2)
    axes.set_title(title, loc="left", fontsize=9)
    axes.set(xlabel=across, ylabel=up)
