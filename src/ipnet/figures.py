"""The figures of a report, as data URIs: equal results give equal bytes."""

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from ipnet.comparison import Comparison
from ipnet.errors import IPNetError
from ipnet.units import format_si

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a94a3",
    "axes.labelcolor": "#27303d",
    "xtick.color": "#566070",
    "ytick.color": "#566070",
    "text.color": "#27303d",
    "svg.hashsalt": "ipnet",
    "figure.facecolor": "white",
}
# Told apart with any colour vision (Okabe and Ito; the "muted" scheme of P. Tol), and by marker and line as well.
_INTRINSIC = ("#d55e00", "#e69f00", "#a63c06", "#f4a259", "#7a2e0e", "#ddaa33", "#ff7f50", "#5c1a00")
_OTHERS = (
    *("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#332288", "#117733", "#882255", "#44aa99", "#999933"),
    *("#aa4499", "#6699cc", "#661100", "#004488"),
)
_MARKERS = "osD^vPX*<>phd8"
_LINES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2, 1, 2, 1, 2)))
_EVENT_COLOURS = np.array([[0.13, 0.36, 0.74], [0.80, 0.12, 0.16]])  # darker, brighter
_PIXEL_COLOURS = ("#009e73", "#cc79a7", "#0072b2")
_COLUMNS = 8


@dataclass(frozen=True)
class Trace:
    """What the memory at the frontier went through over one clip.

    Args:
        frames: event counts [T, 2, H, W], axis 1 = (darker, brighter).
        rise: temperature rise at the end of each cycle, of the hotter junction of each pixel [K] [T, H, W].
        item: name of the clip.
    """

    frames: NDArray[np.float64]
    rise: NDArray[np.float64]
    item: str

    @property
    def pixels(self) -> list[tuple[int, int]]:
        """Three pixels (row, column): driven early, in the middle, and late in the clip."""
        steps, found = len(self.rise), list[tuple[int, int]]()
        for part in range(3):
            window = self.rise[part * steps // 3 : max((part + 1) * steps // 3, part * steps // 3 + 1)]
            lead = window.max(0) - self.rise.mean(0)
            apart = 1 + min(lead.shape) // 8
            for row, column in found:
                near = np.s_[max(row - apart + 1, 0) : row + apart, max(column - apart + 1, 0) : column + apart]
                lead[near] = -np.inf
            found.append(divmod(int(lead.argmax()), lead.shape[1]))
        return found


def read_trace(path: Path) -> Trace:
    """Read the trace that a run left.

    Raises:
        IPNetError: the file is damaged or of another layout.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            frames, state = (np.asarray(content[key], np.float64) for key in ("frames", "state"))
            item = str(content["item"])
    except Exception as error:  # numpy and zipfile answer damage with many kinds of error
        raise IPNetError(
            f"trace '{path}' is damaged ({type(error).__name__}); run the contender again."
        ) from error
    if frames.ndim != 4 or frames.shape[1] != 2 or frames.shape != state.shape or not frames.size:
        raise IPNetError(
            f"trace '{path}' must hold frames and state [T, 2, H, W] of one shape; got {list(frames.shape)} and "
            f"{list(state.shape)}: run the contender again."
        )
    return Trace(frames, state.max(1), item)


def colours(contenders: Mapping[str, str]) -> dict[str, str]:
    """A colour per contender by its memory: warm for intrinsic, grey for none, cool for the rest."""
    warm = [name for name in sorted(contenders) if contenders[name] == "intrinsic"]
    cool = [name for name in sorted(contenders) if contenders[name] not in ("intrinsic", "none")]
    found = {name: _INTRINSIC[i % len(_INTRINSIC)] for i, name in enumerate(warm)}
    found |= {name: _OTHERS[i % len(_OTHERS)] for i, name in enumerate(cool)}
    return dict.fromkeys(contenders, "#6b7280") | found


def markers(contenders: Iterable[str]) -> dict[str, str]:
    """A marker per contender, so that they are told apart without colours as well."""
    return {name: _MARKERS[i % len(_MARKERS)] for i, name in enumerate(sorted(contenders))}


def lines(contenders: Iterable[str]) -> dict[str, Any]:
    """A dash pattern per contender; together with the marker it tells 70 apart."""
    return {name: _LINES[i % len(_LINES)] for i, name in enumerate(sorted(contenders))}


def data_uri(figure: Figure, kind: str) -> str:
    """A figure as what a page can show without fetching anything; `kind` is ``"svg"`` or ``"png"``."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def accuracy_figure(comparison: Comparison) -> str:
    """Accuracy of every seed and mean with both intervals, one line per contender, the best on top."""
    ranking = comparison.ranking
    with mpl.rc_context(STYLE):
        figure = Figure((6.4, 1.25 + 0.36 * len(ranking)), layout="constrained")
        axes, lowest = figure.add_subplot(), 100.0
        colour, marker = colours(comparison.memories), markers(comparison.memories)
        for row, standing in enumerate(reversed(ranking)):
            name, metric = standing.contender, standing.results[0].validation["score_name"]
            seeds = [100 * result.metrics[metric].value for result in standing.results]
            axes.plot([100 * standing.low, 100 * standing.high], [row, row], color=colour[name], lw=1.6)
            pooled = [100 * standing.pooled.low, 100 * standing.pooled.high]
            axes.plot(pooled, [row, row], color=colour[name], lw=6, alpha=0.25, solid_capstyle="butt")
            axes.plot(seeds, [row + 0.24] * len(seeds), ".", color=colour[name], ms=5, alpha=0.8, mec="none")
            axes.plot(100 * standing.accuracy, row, marker[name], color=colour[name], ms=6.5, mec="white", mew=0.8)
            lowest = min(lowest, 100 * standing.low, pooled[0])
        axes.set_yticks(range(len(ranking)), [standing.contender for standing in reversed(ranking)])
        axes.tick_params(axis="y", length=0, labelcolor="#27303d")
        _ceiling(axes, comparison)
        axes.set_xlim(max(0.0, 5 * np.floor(lowest / 5 - 0.4)), 100.8)
        axes.set_ylim(-0.6, len(ranking) - 0.3)
        axes.grid(axis="x", color="#e6e9ee", lw=0.8)
        axes.set_axisbelow(True)
        axes.set_xlabel("accuracy on the test split (%)")
        return data_uri(figure, "svg")


def _ceiling(axes: Axes, comparison: Comparison) -> None:
    """Mark half of the class accuracy without memory: the most that a network blind to order can reach."""
    blind = comparison.of_memory("none")
    if blind is None or blind.class_accuracy is None:
        return
    half = 50 * blind.class_accuracy
    axes.axvline(half, color="#6b7280", ls=(0, (4, 3)), lw=1)
    place = blended_transform_factory(axes.transData, axes.transAxes)
    axes.text(half, 1.0, " half of class accuracy: blind to order", transform=place, fontsize=7.5, va="bottom")


def learning_figure(comparison: Comparison) -> str:
    """Validation score per epoch: mean over seeds, and every seed as a thin line."""
    with mpl.rc_context(STYLE):
        figure = Figure((6.4, 1.25 + 0.36 * max(len(comparison.standings), 4)), layout="constrained")
        axes = figure.add_subplot()
        colour, marker = colours(comparison.memories), markers(comparison.memories)
        dash = lines(comparison.memories)
        for standing in comparison.ranking:
            name, key = standing.contender, f"validation_{standing.results[0].validation['score_name']}"
            curves = [[100 * epoch[key] for epoch in result.history] for result in standing.results]
            shortest = min(len(curve) for curve in curves)
            epochs = np.arange(1, shortest + 1)
            for curve in curves:
                axes.plot(epochs, curve[:shortest], color=colour[name], lw=0.7, alpha=0.35)
            mean = np.mean([curve[:shortest] for curve in curves], 0)
            step = max(1, shortest // 6)
            style: Any = {"marker": marker[name], "markevery": step, "ms": 4.5, "mec": "white", "mew": 0.6}
            style["ls"] = dash[name]
            axes.plot(epochs, mean, color=colour[name], lw=1.8, label=name, **style)
        axes.grid(color="#e6e9ee", lw=0.8)
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation accuracy (%)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside right upper", frameon=False, fontsize=8, handlelength=2.6)
        return data_uri(figure, "svg")


def _event_image(frame: NDArray[np.float64], full: float) -> NDArray[np.float64]:
    """Counts [2, H, W] as colours [H, W, 3] on white: red brighter, blue darker."""
    share = np.clip(frame / full, 0, 1) ** 0.6
    ink: NDArray[np.float64] = np.einsum("phw,pc->hwc", share, 1 - _EVENT_COLOURS)
    return np.clip(1 - ink, 0, 1)


def _time(value: float) -> str:
    return format_si(float(f"{value:.3g}"), "s").replace("u", "µ")


def heat_figure(trace: Trace, frame_interval: float, clock_period: float, horizon: float) -> str:
    """The picture: events of a clip above the heat that they leave in the junctions of the frontier.

    Args:
        trace: of one clip.
        frame_interval: time between frames in the world [s].
        clock_period: time between frames in the device [s].
        horizon: clock cycles in which the heat falls to 1/e.
    """
    steps = len(trace.rise)
    shown = np.unique(np.linspace(0, steps - 1, min(_COLUMNS, steps)).round().astype(int))
    occupied = trace.frames[trace.frames > 0]
    full = float(np.quantile(occupied, 0.98)) if occupied.size else 1.0
    hottest = max(float(trace.rise.max()), 1e-9)
    with mpl.rc_context(STYLE):
        figure = Figure((12.4, 5.9), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=(3.3, 2.2))
        upper, lower = parts
        grid = upper.subplots(2, len(shown), squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
        for column, step in enumerate(shown):
            events, heat = grid[:, column]
            events.imshow(_event_image(trace.frames[step], full), interpolation="nearest")
            image = heat.imshow(trace.rise[step], cmap="inferno", vmin=0, vmax=hottest, interpolation="nearest")
            world, device = (step + 1) * frame_interval, (step + 1) * clock_period
            events.set_title(f"{_time(world)}\n{_time(device)} in the device", fontsize=8)
            for (row, pixel), letter, colour in zip(trace.pixels, "abc", _PIXEL_COLOURS, strict=True):
                heat.plot(pixel, row, "s", mfc="none", mec="white", ms=7, mew=2.2)
                heat.plot(pixel, row, "s", mfc="none", mec=colour, ms=7, mew=1.2)
                if column == 0:
                    heat.annotate(
                        letter, (pixel, row), (5, 4), textcoords="offset points", color="white", weight="bold"
                    )
            for axes in (events, heat):
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set(visible=True, color="#c3cad4", linewidth=0.8)
        grid[0, 0].set_ylabel("events in the frame", fontsize=9)
        grid[1, 0].set_ylabel("temperature rise", fontsize=9)
        bar = upper.colorbar(image, ax=grid, pad=0.012, fraction=0.012, shrink=0.46, anchor=(0, 0.0), aspect=14)
        bar.set_label("K above ambient")
        bar.outline.set_visible(False)
        _rise_axes(lower.add_subplot(), trace, frame_interval, clock_period, horizon)
        return data_uri(figure, "png")


def _rise_axes(axes: Axes, trace: Trace, frame_interval: float, clock_period: float, horizon: float) -> None:
    """The rise of three pixels over time, with a tick for every frame in which the pixel had events."""
    times = 1e3 * frame_interval * np.arange(1, len(trace.rise) + 1)
    height = 1.12 * max(*(float(trace.rise[:, row, pixel].max()) for row, pixel in trace.pixels), 1e-9)
    for i, ((row, pixel), letter, colour) in enumerate(zip(trace.pixels, "abc", _PIXEL_COLOURS, strict=True)):
        label = f"pixel {letter} (x = {pixel}, y = {row})"
        axes.plot(times, trace.rise[:, row, pixel], color=colour, marker=_MARKERS[i], ms=3.5, lw=1.6, label=label)
        hit = times[trace.frames[:, :, row, pixel].sum(1) > 0]
        axes.plot(hit, np.full(len(hit), height * (1.15 - 0.06 * i)), "|", color=colour, ms=6, mew=1.6)
    axes.set(xlabel="time in the world (ms)", ylabel="temperature rise (K)", ylim=(0, 1.33 * height))
    axes.set_xlim(0, times[-1] * 1.02)
    length, level = 1e3 * frame_interval * horizon, 1.25 * height
    if 0 < length < times[-1]:
        ends = (times[-1] - length, level), (times[-1], level)
        axes.annotate("", *ends, arrowprops={"arrowstyle": "<->", "color": "#27303d", "shrinkA": 0, "shrinkB": 0})
        axes.text(
            ends[0][0], level, f"heat falls to 1/e in {horizon:.1f} frames  ", ha="right", va="center", fontsize=8
        )
    factor = 1e3 * clock_period / frame_interval  # ms in the world to us in the device
    there_and_back: Any = (lambda time: time * factor, lambda time: time / factor)
    top = axes.secondary_xaxis("top", functions=there_and_back)
    top.set_xlabel("time in the device (µs)")
    axes.grid(color="#e6e9ee", lw=0.8)
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=8)
    axes.text(
        1.012,
        0.5,
        "ticks above: frames in\nwhich the pixel had events",
        transform=axes.transAxes,
        fontsize=8,
        va="top",
    )
