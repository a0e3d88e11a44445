"""The picture of a sweep: accuracy against where the memory stands."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from ipnet.figures import STYLE, colours, data_uri, markers
from ipnet.positions import Sweep


def position_figure(sweeps: Sequence[Sweep]) -> str:
    """A panel per memory: seeds as dots, mean and 95 % interval at every position.

    Args:
        sweeps: of one study, at least one.
    """
    widest = max(len(sweep.standings) for sweep in sweeps)
    with mpl.rc_context(STYLE):
        figure = Figure((max(4.2, 1.4 + 0.95 * widest), 0.6 + 2.5 * len(sweeps)), layout="constrained")
        panels = figure.subplots(len(sweeps), 1, squeeze=False, sharey=True)[:, 0]
        for axes, sweep in zip(panels, sweeps, strict=True):
            names = [standing.contender for standing in sweep.standings]
            colour, marker = colours(dict.fromkeys(names, sweep.memory)), markers(names)
            for column, standing in enumerate(sweep.standings):
                name, mean = standing.contender, 100 * standing.accuracy
                ends = [[mean - 100 * standing.low], [100 * standing.high - mean]]
                dots = [100 * result.metrics["accuracy"].value for result in standing.results]
                axes.plot([column + 0.16] * len(dots), dots, ".", color=colour[name], alpha=0.5, ms=5)
                axes.errorbar(column, mean, ends, color=colour[name], fmt=marker[name], ms=6, lw=1.6, capsize=3)
            labels = ["\n+ ".join(standing.positions) for standing in sweep.standings]
            axes.set_xticks(range(len(labels)), labels, fontsize=8)
            axes.set_xlim(-0.5, widest - 0.5)
            axes.set_title(sweep.memory, fontsize=9, loc="left")
            axes.set_ylabel("test accuracy (%)")
            axes.grid(axis="y", color="#e6e9ee", lw=0.8)
            axes.set_axisbelow(True)
        return data_uri(figure, "svg")
