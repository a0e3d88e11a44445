"""The picture of a validation: S-curves of the compact law and of the macrospin at each starting temperature."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from ipnet.figures import STYLE
from ipnet.validation import TOLERANCE, Validation


def validation_figure(found: Validation) -> Figure:
    """Probabilities against voltage, and their differences with three standard errors and the tolerance.

    Args:
        found: of `ipnet.validation.validate`.
    """
    millivolts, fine = 1e3 * found.voltages, 1e3 * np.linspace(found.voltages[0], found.voltages[-1], 101)
    colours: Any = mpl.colormaps["inferno"](np.linspace(0.1, 0.76, max(len(found.rises), 2)))
    with mpl.rc_context(STYLE):
        figure = Figure((8.4, 3.5), layout="constrained")
        width = f"{1e9 * found.t_pulse:.4g} ns"
        title = f"{found.card}: switching from {found.left} in {width}, same {found.match}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
        curves, gaps = figure.subplots(1, 2)
        gaps.axhspan(-TOLERANCE, TOLERANCE, color="#eef1f5", lw=0, label=f"within {TOLERANCE}")
        for i, (rise, colour) in enumerate(zip(found.rises, colours, strict=False)):
            points: Any = {"color": colour, "fmt": "o", "ms": 4, "capsize": 2, "lw": 1.2}
            eta = np.log(-np.log1p(-found.compact[i].clip(1e-12, 1 - 1e-12)))  # nearly straight in voltage
            line = -np.expm1(-np.exp(np.interp(fine, millivolts, eta)))
            curves.plot(fine, line, color=colour, lw=1.7, label=f"{rise:.0f} K")
            curves.errorbar(millivolts, found.macrospin[i], 3 * found.error[i], **points)
            shift = 0.004 * (millivolts[-1] - millivolts[0]) * (i - (len(found.rises) - 1) / 2)
            gap = found.macrospin[i] - found.compact[i]
            gaps.errorbar(millivolts + 2 * shift, gap, 3 * found.error[i], **points, label=f"{rise:.0f} K")
        curves.errorbar([], [], [], color="#8a94a3", fmt="o", ms=4, capsize=2, label="macrospin, 3 s.e.")
        curves.plot([], [], color="#8a94a3", lw=1.7, label="compact law")
        curves.set(xlabel="voltage of the pulse [mV]", ylabel="switching probability", ylim=(-0.03, 1.03))
        gaps.set(xlabel="voltage of the pulse [mV]", ylabel="probability: macrospin less compact law")
        for axes in (curves, gaps):
            axes.grid(color="#e6e9ee", lw=0.8)
            axes.set_axisbelow(True)
            axes.legend(frameon=False, fontsize=7.5)
        reach = max(0.12, 1.35 * float(np.abs(found.macrospin - found.compact).max()))
        gaps.set_ylim(-reach, reach)
    return figure
