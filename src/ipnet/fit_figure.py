"""The picture of a fit: the counts and the fitted law, what is left over, and what was left out."""

import re
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter
from scipy.special import xlogy
from scipy.stats import beta, norm

from ipnet.figures import STYLE
from ipnet.fit import GROSS, Fit, format_value
from ipnet.measurement import Floats, Measurements, log_hazard
from ipnet.simulated_measurement import voltage_at
from ipnet.surrogate import cloglog
from ipnet.units import format_si

_INK, _RED, _GREY, _GRID = "#27303d", "#d55e00", "#8a94a3", "#e6e9ee"
_BLUE, _DASH = "#0072b2", (0, (4, 3))
_MARKERS = "osD^vP"
_CURVES, _SERIES, _NAMED = 6, 3, 6  # at most: S-curves per panel, courses of recovery, crosses with a line number
_SETTING = ("t_pulse", "V_cond", "t_cond", "delay", "ambient")
_COURSE = ("t_pulse", "V_cond", "t_cond", "ambient")


def fit_figure(fit: Fit) -> Figure:
    """S-curves, cold and after a conditioning pulse, the recovery between them, estimates, and residuals.

    Bars are 95 % intervals (of counts: Clopper & Pearson); crosses are rows that were left out, with their line in
    the file. Of many conditions some are shown, evenly spaced.
    """
    good, left_out = fit.goodness, len(fit.quarantined)
    title = (
        f"{fit.rows.name}: {len(fit.rows)} rows, deviance {good.deviance:.4g} with {good.dof} degrees of freedom"
    )
    title += f", p = {good.p_value:.2g}" + (f"; {left_out} rows left out" if left_out else "")
    with mpl.rc_context(STYLE):
        figure = Figure((13.2, 7.6), layout="constrained")
        grid: Any = figure.subplots(2, 3)
        _draw_curves(grid[0, 0], fit, _cold(fit.rows), "cold junction")
        _draw_estimates(grid[0, 2], fit)
        settings = _heated(fit.rows)
        if len(settings):
            _, V_cond, t_cond, _, ambient = settings[0]
            name = f"after {format_si(V_cond, 'V')} for {_time(t_cond)}; ambient {ambient:g} K"
            _draw_curves(grid[0, 1], fit, settings, name)
            _draw_recovery(grid[1, 0], fit)
        for axes in (grid[0, 1], grid[1, 0]) if not len(settings) else ():
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no conditioning pulses", ha="center", transform=axes.transAxes, color=_GREY)
        rejected = cloglog(log_hazard(fit.device, fit.rejected.conditions(fit.device))).numpy()
        _draw_residuals(grid[1, 1], fit, 100 * fit.p, 100 * rejected, "fitted switching probability [%]")
        _draw_residuals(grid[1, 2], fit, 1e3 * fit.rows["V"], 1e3 * fit.rejected["V"], "pulse voltage [mV]")
        figure.suptitle(title, fontsize=10)
        return figure


def _settings(rows: Measurements, chosen: Any, keys: Sequence[str]) -> Floats:
    """The different values of some columns among the chosen rows, ascending [settings, keys]."""
    return np.unique(np.stack([rows[key][chosen] for key in keys], 1), axis=0)


def _cold(rows: Measurements) -> Floats:
    return _settings(rows, ~rows.heated, _SETTING)


def _heated(rows: Measurements) -> Floats:
    """The settings of the pulse, the heat and the ambient temperature that were measured at most delays."""
    settings = _settings(rows, rows.heated, _SETTING)
    others = np.delete(settings, 3, 1)
    values, counts = np.unique(others, axis=0, return_counts=True)
    chosen: Floats = settings[(others == values[counts.argmax()]).all(1)] if len(settings) else settings
    return chosen


def _some(settings: Floats, most: int) -> Floats:
    """Evenly spaced ones of many."""
    chosen: list[int] = np.linspace(0, len(settings) - 1, min(most, len(settings))).round().astype(int).tolist()
    return settings[chosen]


def _of(rows: Measurements, setting: Floats, keys: Sequence[str]) -> Any:
    return np.all([rows[key] == value for key, value in zip(keys, setting, strict=True)], axis=0)


def _rest(fit: Fit, setting: Floats) -> list[torch.Tensor]:
    """Conditions without the voltage, of settings [..., 5]."""
    parts = [torch.from_numpy(np.atleast_1d(part)) for part in np.moveaxis(setting, -1, 0)]
    return [*parts[:-1], parts[-1] - fit.device.temp_0]


def _colours(count: int) -> list[Any]:
    return list(mpl.colormaps["viridis"](np.linspace(0.05, 0.82, max(count, 2))))[:count]


def _time(value: float) -> str:
    return format_si(float(f"{value:.3g}"), "s").replace(" u", " µ")


def _finish(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=9, loc="left")
    axes.grid(color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7.5, loc="best", handletextpad=0.3)


def _draw_curves(axes: Axes, fit: Fit, settings: Floats, title: str) -> None:
    """Counts and law against voltage; those left out as crosses where they lie within the panel."""
    delayed = len(settings) > 0 and settings[0, 1] > 0
    settings, crosses = _some(settings, _CURVES) if len(settings) else settings, list[tuple[int, float, float]]()
    for setting, colour, marker in zip(settings, _colours(len(settings)), _MARKERS, strict=False):
        here, out = (rows.take(_of(rows, setting, _SETTING)) for rows in (fit.rows, fit.rejected))
        reach = 0.08 * max(float(np.ptp(here["V"])), 0.05 * float(here["V"].max()))
        V = np.linspace(max(float(here["V"].min()) - reach, 0), float(here["V"].max()) + reach, 120)
        P = cloglog(log_hazard(fit.device, [torch.from_numpy(V), *_rest(fit, np.tile(setting, (120, 1)))])).numpy()
        name = f"delay {_time(setting[3])}" if delayed else f"{_time(setting[0])}, {setting[4]:g} K"
        axes.plot(1e3 * V, P, color=colour, lw=1.4)
        k, n = here["switches"], here["trials"]
        low = np.where(k > 0, beta.ppf(0.025, np.maximum(k, 1), n - k + 1), 0.0)
        high = np.where(k < n, beta.ppf(0.975, k + 1, np.maximum(n - k, 1)), 1.0)
        style: Any = {"color": colour, "fmt": marker, "ms": 4.2, "mec": "white", "mew": 0.5, "lw": 1.0}
        axes.errorbar(1e3 * here["V"], k / n, (k / n - low, high - k / n), label=name, **style)
        crosses += [
            (line, 1e3 * V_out, P_out)
            for line, V_out, P_out in zip(out.lines, out["V"], out["switches"] / out["trials"], strict=True)
            if V[0] <= V_out <= V[-1]
        ]
    _cross(axes, *np.array(sorted(crosses)).reshape(-1, 3).T)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    _finish(axes, "pulse voltage [mV]", "switching probability [%]", title)


def _cross(axes: Axes, lines: Any, x: Floats, y: Floats) -> None:
    axes.plot(x, y, "x", color=_RED, ms=6.5, mew=1.7, zorder=4)
    corners = cycle([(6, 4, "left"), (-6, 4, "right"), (6, -10, "left"), (-6, -10, "right")])
    for line, V, height, (right, up, side) in list(zip(lines, x, y, corners, strict=False))[:_NAMED]:
        style: Any = {"textcoords": "offset points", "fontsize": 7, "color": _RED, "ha": side}
        axes.annotate(f"line {line:.0f}", (V, height), (right, up), **style)


def _draw_recovery(axes: Axes, fit: Fit) -> None:
    """V_50 against delay: the law, and at each delay the law shifted as the counts ask for."""
    rows = fit.rows
    courses = _some(_settings(rows, rows.heated & (rows["delay"] > 0), _COURSE), _SERIES)
    step = 1e-6
    moved = [rows.conditions(fit.device)[0] + step, *rows.conditions(fit.device)[1:]]
    slope = (log_hazard(fit.device, moved) - log_hazard(fit.device, rows.conditions(fit.device))).numpy() / step
    p = np.clip(fit.p, 1e-300, 1 - 1e-12)
    h = -np.log1p(-p)
    score = slope * h * (rows["switches"] - rows["trials"] * p) / p  # by the shift of the voltage
    information = rows["trials"] * (slope * h) ** 2 * (1 - p) / p
    for course, colour, marker in zip(courses, _colours(len(courses)), _MARKERS, strict=False):
        mask = _of(rows, course, _COURSE) & (rows["delay"] > 0)
        delays = np.unique(rows["delay"][mask])
        line = np.geomspace(delays[0] / 2, delays[-1] * 2, 100)
        axes.plot(line, 1e3 * _V_50(fit, course, line), color=colour, lw=1.4)
        cold = _V_50(fit, course * [1, 0, 0, 1], np.zeros(1))
        axes.axhline(1e3 * float(cold[0]), color=colour, ls=_DASH, lw=0.9)
        parts = [mask & (rows["delay"] == delay) for delay in delays]
        known = np.array([information[part].sum() for part in parts])
        told = known > 0
        shift = np.array([score[part].sum() for part in parts])[told] / known[told]
        style: Any = {"color": colour, "fmt": marker, "ms": 4.5, "mec": "white", "mew": 0.5, "lw": 1.0}
        style["label"] = f"{_time(course[0])}, {course[3]:g} K"
        y = _V_50(fit, course, delays[told]) - shift
        axes.errorbar(delays[told], 1e3 * y, 1.96e3 / np.sqrt(known[told]), **style)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _finish(axes, "delay after the conditioning pulse [s]", "$V_{50}$ [mV]", "recovery (dashed: cold)")


def _V_50(fit: Fit, course: Floats, delays: Floats) -> Floats:  # noqa: N802
    settings = np.insert(np.tile(course, (len(delays), 1)), 3, delays, axis=1)
    return voltage_at(fit.device, 0.5, _rest(fit, settings))


def _draw_estimates(axes: Axes, fit: Fit) -> None:
    """Estimates and intervals over the values of the base card; an open end is an arrow."""
    names = [f"{name}\n{format_value(each.value, each.unit)}" for name, each in fit.estimates.items()]
    ends = list[float]()
    for row, each in enumerate(fit.estimates.values()):
        base = each.base or each.value
        low, high = max(each.low, each.value / 10) / base, min(each.high, each.value * 10) / base
        ends += [low, high]
        axes.plot([low, high], [row, row], color=_BLUE, lw=2)
        for end, arrow, is_open in ((low, "<", each.low == 0), (high, ">", each.high == np.inf)):
            axes.plot(end, row, arrow if is_open else "", color=_BLUE, ms=6)
        axes.plot(each.value / base, row, "o", color=_BLUE, ms=6, mec="white", mew=0.8)
        place: Any = axes.get_yaxis_transform()
        axes.text(0.5, row + 0.28, each.given, transform=place, ha="center", va="center", fontsize=7, color=_GREY)
    axes.axvline(1, color=_GREY, ls=_DASH, lw=1)
    if max(ends) > 4 * min(ends):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.4g}"))
    axes.set_yticks(range(len(names)), [re.sub(r"(?<=[ /])u", "µ", name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    _finish(axes, f"estimate / value of card {fit.base.name} [1]", "parameter", "estimates with 95 % intervals")


def _draw_residuals(axes: Axes, fit: Fit, x: Floats, x_out: Floats, label: str) -> None:
    """Signed roots of the deviances; rows left out stand at the edge if they lie beyond it."""
    bound = float(norm.isf(GROSS / (len(fit.rows) + len(fit.rejected)) / 2))
    reach = 0.05 * max(float(np.ptp(x)), 1.0)
    edges = float(x.min()) - reach, float(x.max()) + reach
    axes.axhspan(-1.96, 1.96, color="#eef1f5", lw=0)
    for level in (-bound, bound):
        axes.axhline(level, color=_GREY, ls=_DASH, lw=1)
    axes.plot(x, fit.residuals, ".", color=_BLUE, ms=5, alpha=0.7, mec="none")
    _cross(axes, fit.rejected.lines, np.clip(x_out, *edges), np.clip(_residuals(fit), -1.25 * bound, 1.25 * bound))
    axes.set_ylim(-1.45 * bound, 1.45 * bound)
    axes.set_xlim(edges[0] - reach, edges[1] + reach)
    _finish(axes, label, "deviance residual [1]", "residuals; band: 95 %, dashed: bound for rows left out")


def _residuals(fit: Fit) -> Floats:
    """Of the rows that were left out."""
    k, n = fit.rejected["switches"], fit.rejected["trials"]
    eta = log_hazard(fit.device, fit.rejected.conditions(fit.device)).numpy()
    h = np.exp(np.clip(eta, -600, 600))
    log_p = np.log(-np.expm1(-h))
    deviance = xlogy(k, k / n) + xlogy(n - k, 1 - k / n) - k * log_p + (n - k) * h
    return np.asarray(np.sign(k / n + np.expm1(-h)) * np.sqrt(2 * np.maximum(deviance, 0)))
