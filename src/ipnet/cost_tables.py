"""The tables of `ipnet cost`."""

from ipnet.cost_report import ContenderCost, CostReport
from ipnet.prices import Spread
from ipnet.tables import NONE, Cell, Sheet
from ipnet.units import format_si

_COUNTS = {  # of a memory, what people look for
    "macs": "products",
    "functions": "functions",
    "weight_reads": "weights fetched",
    "state": "state kept",
    "probes": "probes",
    "drives": "drives",
}


def cost_sheets(report: CostReport) -> tuple[Sheet, ...]:
    """All that have rows."""
    sheets = energy_sheet(report), count_sheet(report), ratio_sheet(report), neurobench_sheet(report)
    return tuple(sheet for sheet in sheets if sheet.rows)


def energy_sheet(report: CostReport) -> Sheet:
    """Energy of each memory and network, power at the pace of the frames, and the area that keeps the memory."""
    heads = (
        Cell("contender"),
        Cell("memory a frame", "95 % interval"),
        Cell("a clip"),
        Cell("power", "of the memory"),
        Cell("network", "a frame, with its memory"),
        Cell("area", "of what keeps the memory, um2"),
    )
    rows = []
    for one in report.contenders:
        frame, area = one.memory_energy.value / report.frames, one.memory_area.value
        power = frame / report.frame_interval if report.frame_interval else 0
        rows.append(
            (
                Cell(_name(one)),
                Cell(_spread(one.memory_energy, report.frames) if one.memory_bill else NONE),
                _quantity(one.memory_energy.value, "J"),
                _quantity(power, "W"),
                _quantity(one.energy.value / report.frames, "J"),
                Cell(f"{1e12 * area:.3g}" if area > 0 else NONE),
            )
        )
    accounting = report.accounting
    note = (
        f"Memory: what would vanish with it. {accounting.precision}, {accounting.node} nm, "
        f"{'zeros cost nothing' if accounting.sparse else 'zeros cost as well'}; counted: "
        f"{', '.join(accounting.parts)}. Mean of {report.clips} clips of {report.frames} frames. Intervals: "
        "prices are drawn from their ranges."
    )
    if report.frame_interval:
        note += f" Power: at a frame every {format_si(report.frame_interval, 's')}."
    if any(not one.trained for one in report.contenders):
        note += " A star: not trained."
    return Sheet("Energy", heads, tuple(rows), note)


def count_sheet(report: CostReport) -> Sheet:
    """What each memory does for a clip, in numbers."""
    heads = Cell("contender"), *(Cell(name) for name in _COUNTS.values())
    rows = []
    for one in report.contenders:
        counts = [one.memory_operations.get(key) for key in _COUNTS]
        rows.append((Cell(_name(one)), *(Cell(NONE if count is None else _count(count)) for count in counts)))
    note = (
        "For a clip; the JSON file has all counts, of every layer, and the prices that they are multiplied with."
    )
    unpriced = [one.contender for one in report.contenders if one.memory_operations.get("unpriced")]
    if unpriced:
        note += f" Without a price, since their cards say nothing about energy: {', '.join(unpriced)}."
    return Sheet("What the memory does", heads, tuple(rows), note)


def ratio_sheet(report: CostReport) -> Sheet:
    """How many times the memory energy of each is that of a memory of junctions, and what moves it most."""
    heads = Cell("memory energy of"), Cell("over"), Cell("ratio"), Cell("95 %"), Cell("moved most by")
    rows = [
        (
            Cell(row.of),
            Cell(row.over),
            Cell(f"{row.ratio.value:.3g}"),
            Cell(f"[{row.ratio.low:.3g}, {row.ratio.high:.3g}]"),
            Cell(row.moves[0][0] if row.moves else NONE),
        )
        for row in report.ratios
    ]
    return Sheet("Ratios", heads, tuple(rows), "Above 1, the memory of junctions takes less.")


def neurobench_sheet(report: CostReport) -> Sheet:
    """NeuroBench's metrics, of the contenders that have them."""
    heads = (
        Cell("contender"),
        Cell("footprint", "bytes"),
        Cell("weights 0", "share"),
        Cell("sent 0", "share of activations"),
        Cell("dense", "synaptic operations"),
        Cell("eff. MACs"),
        Cell("eff. ACs"),
        Cell("rate"),
    )
    rows = []
    for one in report.contenders:
        if (found := one.neurobench) is not None:
            made, rate = found.SynapticOperations, found.ModelExecutionRate
            rows.append(
                (
                    Cell(_name(one)),
                    Cell(str(found.Footprint)),
                    Cell(f"{found.ConnectionSparsity:.3f}"),
                    Cell(f"{found.ActivationSparsity:.3f}"),
                    *(Cell(_count(count)) for count in (made.Dense, made.Effective_MACs, made.Effective_ACs)),
                    Cell(NONE if rate is None else f"{rate:.3g} Hz"),
                )
            )
    note = "By the definitions of NeuroBench 2.3.0, for a clip; see ipnet.neurobench."
    return Sheet("NeuroBench", heads, tuple(rows), note)


def _name(one: ContenderCost) -> str:
    return one.contender if one.trained else f"{one.contender}*"


def _quantity(value: float, unit: str) -> Cell:
    return Cell(format_si(value, unit) if value else NONE)


def _spread(energy: Spread, frames: int) -> str:
    """Value and interval for a frame, in one unit.

    Example:
        >>> _spread(Spread(value=2e-9, low=1e-9, high=3e-9), 2)
        '1 [0.5, 1.5] nJ'
    """
    number, unit = format_si(energy.value / frames, "J").split()
    scale = float(number) / (energy.value / frames)
    low, high = (f"{scale * end / frames:.3g}" for end in (energy.low, energy.high))
    return f"{float(number):.3g} [{low}, {high}] {unit}"


def _count(value: float) -> str:
    """A count for people.

    Example:
        >>> _count(12_345_678.0), _count(-1200.0), _count(80.0)
        ('12.3 M', '-1.2 k', '80')
    """
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}"
    return f"{value:.3g}"
