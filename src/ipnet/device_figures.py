"""Pictures of a device: what it is, and whether its memory fits a task. Every axis has its unit in brackets."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from ipnet.characterisation import Characterisation, Curve, Junction
from ipnet.codesign import Match
from ipnet.errors import IPNetError
from ipnet.figures import STYLE
from ipnet.horizon import DETECTABLE, Horizon, Kernel
from ipnet.units import format_si, to_si

Panel = Callable[[Axes], None]

# Told apart with any colour vision, and by marker or dash as well (Okabe and Ito).
_BLUE, _RED, _GREY = "#0072b2", "#d55e00", "#8a94a3"
_SHADE, _DASH = "#eef1f5", (0, (4, 3))
_METADATA: Any = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF; equal figures give equal bytes.

    Raises:
        IPNetError: another kind of file.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in _METADATA:
        raise IPNetError(f"a figure must be one of {', '.join(_METADATA)}; got '{path.name}': change its suffix.")
    with mpl.rc_context(STYLE):
        figure.savefig(path, format=kind, dpi=160, metadata=_METADATA[kind])


def _si(value: float, unit: str) -> str:
    return EngFormatter(unit=unit)(float(f"{value:.3g}"))


def _ramp(count: int) -> list[Any]:
    """Colours from cold to hot that also grow lighter."""
    return list(mpl.colormaps["inferno"](np.linspace(0.1, 0.76, max(count, 2))))[:count]


def _logarithmic(axis: Any, unit: str = "") -> None:
    """A logarithmic axis; ticks such as 100 ns, or plain numbers without unit; two per decade if there is room."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    narrow = high < 160 * low
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0) if narrow else (1.0,)))
    if unit or narrow:
        axis.set_major_formatter(EngFormatter(unit=unit) if unit else StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _finish(axes: Axes, x: str, y: str, legend: str = "") -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.grid(color="#e6e9ee", lw=0.8)
    axes.set_axisbelow(True)
    if legend and axes.get_legend_handles_labels()[0]:
        style: Any = {"loc": legend, "frameon": False, "fontsize": 7.5}
        axes.legend(handlelength=1.9, labelspacing=0.35, **style)


def _scaled(values: Sequence[float], unit: str) -> tuple[float, str]:
    """Factor and symbol of the prefix that suits the largest value, for a linear axis."""
    symbol = format_si(1.001 * max(map(abs, values)), unit).split()[1]
    return 1 / to_si(1.0, symbol, unit), symbol.replace("u", "µ")


def _level(axes: Axes, y: float, text: str, side: str = "left") -> None:
    """A dashed line across, with its name above one of its ends."""
    axes.axhline(y, color=_GREY, ls=_DASH, lw=1, zorder=1)
    x, shift = (0, 4) if side == "left" else (1, -2)
    place: Any = axes.get_yaxis_transform()
    axes.annotate(text, (x, y), (shift, 2), place, "offset points", ha=side, fontsize=7.5)


def _switching(junction: Junction) -> Panel:
    def draw(axes: Axes) -> None:
        factor, unit = _scaled(junction.switching[0].V, "V")
        for curve, colour in zip(junction.switching, _ramp(len(junction.switching)), strict=True):
            name = f"rise {curve.start:.3g} K"
            if curve.V_50 is not None and curve.slope is not None:
                name += f": $V_{{50}}$ = {factor * curve.V_50:.4g} {unit}, {1e3 * curve.slope:.2g} mV/logit"
                axes.plot(factor * curve.V_50, 0.5, "o", color=colour, ms=4.5, mec="white", mew=0.7, zorder=3)
            axes.plot(factor * np.array(curve.V), curve.p, color=colour, lw=1.7, label=name)
        if curve.V[0] <= junction.V_operating <= curve.V[-1]:
            V = factor * junction.V_operating
            axes.plot([V, V], [0, 1], color=_GREY, ls=_DASH, lw=1, zorder=1, label=f"used: {V:.4g} {unit}")
        axes.set_ylim(-0.02, 1.1 + 0.115 * (len(junction.switching) + 1))
        axes.set_yticks(np.linspace(0, 1, 5))
        pulse = "probe" if junction.operation == "drive and probe" else "input"
        x = f"voltage of the {pulse} pulse ({_si(junction.width, 's')}) [{unit}]"
        _finish(axes, x, "switching probability", "upper left")

    return draw


def _answers(curves: Sequence[Curve]) -> Panel:
    def draw(axes: Axes) -> None:
        factor, unit = _scaled(curves[0].V, "V")
        for curve, colour in zip(curves, _ramp(len(curves)), strict=True):
            name = f"after {curve.start:.0f} event{'s' if curve.start != 1 else ''}" if len(curves) > 1 else None
            axes.plot(factor * np.array(curve.V), curve.p, color=colour, lw=1.7, label=name)
        axes.set_ylim(-0.02, 1.02)
        _finish(axes, f"voltage of the input pulse [{unit}]", "answer (probability)", "upper left")

    return draw


def _heating(junction: Junction) -> Panel:
    def draw(axes: Axes) -> None:
        first = junction.heating[0]
        axes.axvspan(first.time[0], junction.t_pulse, color=_SHADE, lw=0)
        for course, colour in zip(junction.heating, _ramp(len(junction.heating)), strict=True):
            axes.plot(course.time, course.rise, color=colour, lw=1.8, label=_si(course.V, "V"))
            for pole, dash in zip(course.poles, _dashes(len(course.poles)), strict=False):
                axes.plot(course.time, pole, color=colour, lw=1.1, ls=dash)
        for i, dash in enumerate(_dashes(len(first.poles))):
            axes.plot([], [], color=_GREY, lw=1.1, ls=dash, label=f"pole {i + 1}")
        axes.set_xlim(first.time[0], first.time[-1])
        axes.set_ylim(0, 1.2 * max(max(course.rise) for course in junction.heating) or 1.0)
        _logarithmic(axes.xaxis, "s")
        place: Any = axes.get_xaxis_transform()
        axes.text(junction.t_pulse, 0.97, "input pulse ", transform=place, ha="right", va="top", fontsize=7.5)
        _finish(axes, "time since the pulse began [s]", "temperature rise [K]", "upper right")

    return draw


def _dashes(poles: int) -> list[Any]:
    """A dash for each of several poles; none for one, which is the rise itself."""
    return [(0, (1 + 3 * i, 1.2 + 0.6 * i)) for i in range(poles)] if poles > 1 else []


def _shift_label(scale: str) -> str:
    return "shift of the answer [logit]" if scale == "logit" else "shift of the answer [1]"


def _kernel(seen: Kernel) -> Panel:
    def draw(axes: Axes) -> None:
        shift, ages = np.array(seen.shift), np.arange(len(seen.shift))
        marker: Any = {"marker": "o", "ms": 4.2} if len(ages) <= 40 else {}
        axes.plot(ages[1:], shift[1:], color=_RED, lw=1.6, label="memory of one event", **marker)
        own = f"in its own cycle: {shift[0]:.3g}" if shift[0] > 3 * shift[1] else "in its own cycle"
        inside = ages[:1] if shift[0] <= 3 * shift[1] else ages[:0]  # a direct effect would dwarf the memory
        axes.plot(inside, shift[inside], "o", mfc="white", mec=_RED, ms=5, label=own)
        shown = shift[len(ages[:1]) - len(inside) :]
        top, detectable, tail = 1.3 * max(shown.max(), 1e-12), DETECTABLE[seen.scale], shift[1] / math.e
        _level(axes, tail, "1/e", "right")
        if detectable < top / 1.2:
            _level(axes, detectable, f"{detectable:g}", "left" if abs(detectable - tail) < 0.08 * top else "right")
        axes.set_ylim(min(0.0, 1.1 * shown.min()), top)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _finish(axes, "age of the event [cycles]", _shift_label(seen.scale), "upper right")

    return draw


def _horizons(sweep: Sequence[Horizon], at: Horizon, quantity: str) -> Panel:
    """Horizon against clock period; `quantity` is "cycles" or "seconds"."""

    def draw(axes: Axes) -> None:
        seconds = quantity == "seconds"
        factor, unit = (
            _scaled([max(h.seconds or 0.0, h.detectable_seconds or 0.0) for h in sweep], "s")
            if seconds
            else (1.0, "cycles")
        )
        level = f"until below {DETECTABLE[at.scale]:g} {'logit' if at.scale == 'logit' else ''}".rstrip()
        for prefix, name, colour, marker in (("", "until 1/e", _RED, "o"), ("detectable_", level, _BLUE, "s")):
            points = [(h.t_cycle, factor * (getattr(h, prefix + quantity) or 0.0)) for h in sweep]
            points = [point for point in points if point[1]]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, marker=marker, ms=4, lw=1.6, label=name)
        _logarithmic(axes.xaxis, "s")
        if at.t_cycle is not None:
            name = f"card: {_si(at.t_cycle, 's')}"
            axes.axvline(at.t_cycle, ymax=0.76, color=_GREY, ls=_DASH, lw=1, zorder=1, label=name)
        if seconds:
            axes.set_ylim(0, 1.45 * axes.get_ylim()[1])
        else:
            _logarithmic(axes.yaxis)
        _finish(axes, "clock period [s]", f"horizon [{unit}]", "upper right")

    return draw


def _energy(junction: Junction) -> Panel:
    def draw(axes: Axes) -> None:
        energy = junction.energy
        rows = [
            ("silent pulse", energy.drive_silent, _GREY),
            ("event pulse", energy.drive_event, _GREY),
            ("probe", energy.probe, _GREY),
            ("read", energy.read, _GREY),
            ("reset", energy.reset, _GREY),
            ("silent cycle", energy.cycle_silent, _BLUE),
            ("event cycle", energy.cycle_event, _BLUE),
            ("and switching", energy.cycle_switched, _BLUE),
            ("average", energy.average, _RED),
        ]
        rows = [row for row in rows[::-1] if row[1] > 0]
        names, values, colours = zip(*rows, strict=True)
        axes.barh(range(len(rows)), values, color=colours, height=0.62)
        axes.set_xlim(min(values) / 3, max(values) * 30)
        for row, value in enumerate(values):
            axes.annotate(
                _si(value, "J"), (value, row), (3, 0), textcoords="offset points", va="center", fontsize=7.5
            )
        axes.set_yticks(range(len(rows)), names)
        axes.tick_params(axis="y", length=0)
        _logarithmic(axes.xaxis, "J")
        _finish(axes, "energy in the junction alone [J]", "pulse or cycle")

    return draw


def _page(panels: Sequence[tuple[str, Panel]], heading: str, columns: int) -> Figure:
    """Panels side by side, lettered."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure((4.1 * columns + 0.3, 3.25 * rows + 0.35), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.09, h_pad=0.09)  # type: ignore[union-attr, call-arg]
        figure.suptitle(heading, x=0.01, ha="left", fontsize=11, weight="bold")
        for i, (title, draw) in enumerate(panels):
            axes = figure.add_subplot(rows, columns, i + 1)
            draw(axes)
            axes.set_title(f"{'abcdef'[i]}  {title}", loc="left", fontsize=9.5, pad=6)
    return figure


def characterisation_figure(found: Characterisation) -> Figure:
    """Everything that was measured on a device, one panel each; what does not apply is left out."""
    panels = list[tuple[str, Panel]]()
    if found.junction:
        panels += [("Switching", _switching(found.junction)), ("Heating and cooling", _heating(found.junction))]
    if found.answers:
        panels.append(("Answer", _answers(found.answers)))
    if found.kernel:
        panels.append(("Memory of one event", _kernel(found.kernel)))
    if found.sweep and found.horizon:
        panels.append(("Horizon in cycles", _horizons(found.sweep, found.horizon, "cycles")))
        panels.append(("Horizon in device time", _horizons(found.sweep, found.horizon, "seconds")))
    if found.junction:
        rate = f"{found.junction.energy.event_rate:g} events per cycle"
        panels.append((f"Energy (average at {rate})", _energy(found.junction)))
    return _page(panels, found.card, 2 if len(panels) == 4 else 3)


def _task_kernel(found: Match, seen: Kernel) -> Panel:
    """The memory in the time of the task, with the wanted horizon."""

    def draw(axes: Axes) -> None:
        end = max(1.5 * found.horizon, 4 * found.frame_interval)
        factor, unit = _scaled([end], "s")
        time = factor * found.frame_interval * np.arange(1, len(seen.shift))
        marker: Any = {"marker": "o", "ms": 3.6} if len(time) <= 60 else {}
        axes.plot(time, seen.shift[1:], color=_RED, lw=1.7, **marker)
        _level(axes, seen.shift[1] / math.e, "1/e")
        axes.axvline(factor * found.horizon, color=_GREY, ls=_DASH, lw=1, zorder=1)
        place: Any = axes.get_xaxis_transform()
        text = f" wanted: {_si(found.horizon, 's')}"
        axes.text(factor * found.horizon, 0.98, text, transform=place, va="top", fontsize=7.5)
        axes.set_xlim(0, factor * end)
        axes.set_ylim(min(0.0, 1.1 * min(seen.shift[1:])), 1.15 * max(*seen.shift[1:], 1e-12))
        _finish(axes, f"age of the event in the time of the task [{unit}]", _shift_label(seen.scale))

    return draw


def _task_horizon(found: Match) -> Panel:
    """Frames remembered against compression, with what is wanted and where the pulses end it."""

    def draw(axes: Axes) -> None:
        points = [(point.compression, point.frames) for point in found.sweep if point.frames]
        compressions = [point.compression for point in found.sweep] + [1.0]
        if points:
            axes.plot(*zip(*points, strict=True), color=_BLUE, lw=1.7, marker="s", ms=3.6, label="remembered")
        if found.compression and found.reached:
            name = "closest" if found.verdict == "no" else "fits"
            axes.plot(found.compression, found.reached, "*", color=_RED, ms=13, mec="white", zorder=4, label=name)
        if found.shortest_period:
            limit = found.frame_interval / found.shortest_period
            axes.axvspan(limit, 1e3 * limit, color=_SHADE, lw=0, label="pulses exceed the frame")
            compressions.append(limit)
        if not found.native_frames:
            axes.plot([], [], " ", label="natively gone by the next frame")
        frames = [value for _, value in points] + [found.frames]
        axes.set(xlim=(0.7, 4 * max(compressions)), ylim=(min(frames) / 2, 40 * max(frames)))
        _logarithmic(axes.xaxis)
        _logarithmic(axes.yaxis)
        side = "right" if found.verdict == "native" else "left"
        _level(axes, found.frames, f"wanted: {float(f'{found.frames:.3g}'):,.10g} frames", side)
        _finish(axes, "compression, frame interval / clock period [1]", "horizon [frames]", "upper left")

    return draw


def match_figure(found: Match) -> Figure:
    """Whether a memory fits a task: its kernel in the time of the task, and its horizon against compression.

    Raises:
        IPNetError: the device has no memory to draw.
    """
    if found.kernel is None or found.t_cycle is None:
        raise IPNetError(
            f"card '{found.card}' has no memory, so there is nothing to draw: take one that has a state."
        )
    verdict = {"native": "fits natively", "compressed": "fits if replayed faster", "no": "does not fit"}
    clock = f"Memory of one event at t_cycle = {_si(found.t_cycle, 's')}"
    task = f"{_si(found.horizon, 's')} in frames of {_si(found.frame_interval, 's')}"
    panels = [(clock, _task_kernel(found, found.kernel)), ("Horizon against compression", _task_horizon(found))]
    return _page(panels, f"{found.card}: {verdict[found.verdict]} ({task})", 2)
