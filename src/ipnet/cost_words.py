"""What `ipnet cost` found about published ratios and about the array, in sentences."""

from ipnet.cost_report import CostReport
from ipnet.published_ratio import CONVOLUTION, LSTM, NEURON, Search
from ipnet.units import format_si


def sentences(report: CostReport) -> list[str]:
    """All of them."""
    search = in_words(report.published) if report.published else ""
    return [words for words in (area_in_words(report), search) if words]


def in_words(found: Search) -> str:
    """What a search found, in some sentences."""
    low, high = (format_si(energy, "J") for energy in NEURON)
    least, most = (format_si(energy, "J") for energy in found.neuron_energies)
    own = format_si(found.own_energy, "J")
    text = (
        f"{LSTM:,.0f} times less than an LSTM needs a neuron of {least} to {most} for a frame, by accounting; in "
        f"{found.within} of {found.accountings} it lies between {low} and {high}, where published neurons are. "
        f"{CONVOLUTION:,.0f} as well, within a tenth, gives one such neuron in {found.both:,} of {found.pairs:,} "
        "accountings."
    )
    if found.ways:
        way = found.ways[0]
        text += (
            f" Nearest with a neuron for each LSTM unit and as many channels: {way.counted}, {way.precision}, "
            f"{way.node} nm, {way.hidden} units, a map of {way.side} x {way.side}: "
            f"{format_si(way.neuron_energy, 'J')} a neuron, {way.convolution_ratio:,.0f} times."
        )
    least, most = (f"{ratio:,.0f}" for ratio in found.own_ratios)
    return (
        f"{text} A junction of this card takes {own} for a frame, with its periphery: {least} to {most} times "
        f"less than an LSTM, {LSTM:,.0f} within a tenth in {found.own_within} of {found.accountings}."
    )


def area_in_words(report: CostReport) -> str:
    """Area and clock of an array, in some sentences; empty without junctions."""
    if report.area is None or report.throughput is None:
        return ""
    area, array = report.area, report.throughput
    own, shared, larger, much_larger = (
        f"{factor * spread.value:.3g} [{factor * spread.low:.2g}, {factor * spread.high:.2g}]"
        for factor, spread in (
            (1e12, area.own),
            (1e12, area.shared),
            (1, area.lif_over_own),
            (1, area.lif_over_shared),
        )
    )
    pace = "" if array.compression is None else f", {array.compression:,.0f} times the pace of the sensor"
    sharers = "no sharing" if area.sharers is None else f"a periphery shared by {area.sharers:.1f}"
    slow, fast = (format_si(rate, "Hz") for rate in (array.row_by_row, array.frames_per_second))
    return (
        f"A neuron of one junction takes {own} um2 at 28 nm with a periphery of its own, {shared} um2 with one "
        f"for each bit line of {report.accounting.rows}; a fabricated LIF neuron is {larger} and {much_larger} "
        f"times larger. 1.5 um2 comes out with {sharers}. For this sensor: {array.junctions:,} junctions, arrays "
        f"needed: {array.arrays}, a frame every {format_si(array.t_cycle, 's')}{pace}; read row by row, {slow} in "
        f"place of {fast}."
    )
