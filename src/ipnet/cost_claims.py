"""The claims about energy and area, from what `ipnet cost` wrote."""

from collections.abc import Sequence

from ipnet.array import PUBLISHED_AREA, Area
from ipnet.bill import Accounting
from ipnet.cost_report import CostReport, Ratio
from ipnet.cost_words import area_in_words, published_in_words
from ipnet.finding import Finding, finding
from ipnet.prices import Spread, shipped_prices
from ipnet.published_ratio import CONVOLUTION, LSTM

_LARGER = 20.0  # how many times larger a LIF neuron is: arXiv:2512.15829
_RATIOS = {"energy_lstm": ("lstm", LSTM), "energy_3d": ("conv3d", CONVOLUTION)}
_PRICED = "Prices are drawn from their ranges; nothing was measured on a chip, and the junctions were simulated."


def cost(reports: Sequence[CostReport]) -> dict[str, Finding]:
    """What the reports say about each claim; nothing of a claim without a report on it.

    Those count in which everything is counted at the package's prices; recordings before simulated clips, then the
    report with more contenders. The memory of junctions is the first of its study.
    """
    prices = shipped_prices()
    usual = {name: prices.at(name, 28, prices.values()) for name in prices.entries}
    counting = [report for report in reports if report.accounting == Accounting() and report.prices == usual]
    counting.sort(key=lambda report: (report.real, len(report.contenders)), reverse=True)
    found: dict[str, Finding] = {}
    for claim, (memory, published) in _RATIOS.items():
        for report in counting:
            rows = [row for row in report.ratios if row.of == memory]
            if rows:
                found[claim] = _ratio(report, rows, published)
                break
    of_area = [(report, report.area) for report in counting if report.area is not None]
    return found | ({"area": _area(*of_area[0])} if of_area else {})


def _ratio(report: CostReport, rows: Sequence[Ratio], published: float) -> Finding:
    first, *others = rows
    words = [f"{_words(row.ratio)} over {row.over}" for row in others]
    also = f" Also: {'; '.join(words)}." if words else ""
    return finding(
        met=first.ratio.low <= published <= first.ratio.high,
        real=False,
        reason=f"Memory energy of {first.of} over {first.over}, counted on {report.clips} clips of {report.data} "
        f"and priced at {report.accounting.node} nm, {report.accounting.precision}: {_words(first.ratio)}. "
        f"The claim needs {published:,.0f} within the interval.{also} {published_in_words(report)} {_PRICED}",
        ours=f"{_words(first.ratio)} ({first.of} over {first.over})",
        n=report.clips,
        seeds=1,
        data=report.data,
        command=report.command,
    )


def _area(report: CostReport, area: Area) -> Finding:
    own, larger = area.own, area.lif_over_own
    scaled = Spread(value=1e12 * own.value, low=1e12 * own.low, high=1e12 * own.high)
    return finding(
        met=own.low <= PUBLISHED_AREA <= own.high and larger.low > _LARGER,
        real=False,
        reason=f"{area_in_words(report)} The claim needs 1.5 um2 within the interval and more than 20 times below "
        f"a LIF neuron, for a neuron with a periphery of its own. {_PRICED}",
        ours=f"{_words(scaled)} um2, a LIF neuron is {_words(larger)} times larger",
        data="areas at 28 nm",
        command=report.command,
    )


def _words(spread: Spread) -> str:
    """A number with its interval.

    Example:
        >>> _words(Spread(value=0.4834, low=0.2671, high=0.7349))
        '0.483 [0.267, 0.735]'
    """
    return f"{spread.value:.3g} [{spread.low:.3g}, {spread.high:.3g}]"
