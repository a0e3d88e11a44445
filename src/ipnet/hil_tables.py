"""The tables of `ipnet hil`."""

from ipnet.hil_result import HilRun
from ipnet.tables import NONE, Cell, Sheet, interval, share


def hil_sheets(run: HilRun) -> tuple[Sheet, ...]:
    """Accuracy, switching and temperature, and what each junction did."""
    return accuracy_sheet(run), switching_sheet(run), junction_sheet(run)


def accuracy_sheet(run: HilRun) -> Sheet:
    """What the network got right on the bench and without it."""
    value, low, high = run.foreseen
    on_bench, n = run.accuracy, len(run.truth)
    heads = Cell("clips that are right"), Cell("%"), Cell("95 %"), Cell("of")
    rows = (
        (Cell("foreseen by the software"), Cell(share(value)), Cell(interval(low, high)), Cell(str(n))),
        (
            Cell("on the bench" if run.agrees else "on the bench, missed"),
            Cell(share(on_bench.value)),
            Cell(interval(on_bench.low, on_bench.high)),
            Cell(str(n)),
        ),
    )
    note = (
        f"{len(run.software)} runs in software, with single spikes of their own, say how often each clip is "
        "right; what is foreseen is one more such run. On the bench: Wilson interval."
    )
    return Sheet("Accuracy", heads, rows, note)


def switching_sheet(run: HilRun) -> Sheet:
    """What the law expected of the junctions, what they did, and the temperatures that both tell of."""
    heads = (
        Cell("expected", "of answers that the law expects alike, %"),
        Cell("switched", "%"),
        Cell("95 %"),
        Cell("rise", "by the law, K"),
        Cell("told", "by the junctions, K"),
        Cell("95 %"),
    )
    rows = tuple(
        (
            Cell(share(part.expected)),
            Cell(share(part.measured.value)),
            Cell(interval(part.measured.low, part.measured.high)),
            Cell(f"{part.rise_expected:.1f}"),
            Cell(f"{part.rise_measured.value:.1f}"),
            Cell(f"[{part.rise_measured.low:.1f}, {part.rise_measured.high:.1f}]"),
        )
        for part in run.bins
    )
    note = (
        f"{run.answers:,} answers, from the coldest eighth to the warmest; all of them: {run.deviation:+.1f} "
        "standard deviations of chance off. Rise: at which the card's law switches as often [K]; told: the same "
        "for the share that was measured, from -50 K to the hottest that the card allows. Wilson intervals."
    )
    return Sheet("Switching [%] and temperature [K]", heads, rows, note)


def junction_sheet(run: HilRun) -> Sheet:
    """What each junction did, and why some were set aside."""
    heads = (
        Cell("junction"),
        Cell("answers"),
        Cell("off", "by standard deviations of chance"),
        Cell("probe", "its own, mV"),
        Cell("heat", "factor of its other voltages"),
        Cell("set aside"),
    )
    rows = tuple(
        (
            Cell(str(one.junction)),
            Cell(f"{one.answers:,}"),
            Cell(f"{one.deviation:+.1f}" if one.answers else NONE),
            Cell(NONE if one.V_probe is None else f"{1e3 * one.V_probe:.1f}"),
            Cell(NONE if one.heat is None else f"{one.heat:.3f}"),
            Cell("yes" if one.dead else "no"),
        )
        for one in run.junctions
    )
    reasons = " ".join(f"Junction {one.junction}: {one.dead}." for one in run.junctions if one.dead)
    note = (
        "Off: measured less expected answers, in standard deviations of chance. Probe [mV], and heat, a factor of "
        f"all voltages before it: as trimmed; 1.000 also where the limits forbid to find out. {reasons}"
    ).strip()
    return Sheet("Junctions", heads, rows, note)
