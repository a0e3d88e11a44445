"""What `ipnet cost` found about published ratios and about the array, in sentences."""

from ipnet.cost_report import CostReport
from ipnet.published_ratio import CONVOLUTION, LSTM, NEURON
from ipnet.units import format_si


def sentences(report: CostReport) -> list[str]:
    """All of them."""
    return [words for words in (area_in_words(report), published_in_words(report)) if words]


def published_in_words(report: CostReport) -> str:
    """What the search for the published ratios found, in some sentences; empty without one."""
    found = report.published
    if found is None:
        return ""
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
    spike = report.prices["lif_energy"]
    spikes = found.own_energy / spike
    least, most = (f"{ratio:,.0f}" for ratio in found.own_ratios)
    return (
        f"{text} A junction of this card takes {own} for a frame, with its periphery: {least} to {most} times "
        f"less than an LSTM, {LSTM:,.0f} within a tenth in {found.own_within} of {found.accountings}. A "
        f"fabricated LIF neuron takes {format_si(spike, 'J')} for a spike, {spikes:,.0f} times less."
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
    kept = "" if area.capacitor is None else f"{1e12 * area.capacitor.value:,.0f} um2"
    pace = "" if array.compression is None else f", {array.compression:,.0f} times the pace of the sensor"
    sharers = "no sharing" if area.sharers is None else f"a periphery shared by {area.sharers:.1f}"
    slow, fast = (format_si(rate, "Hz") for rate in (array.row_by_row, array.frames_per_second))
    return (
        f"A neuron of one junction takes {own} um2 at 28 nm with a periphery of its own, {shared} um2 with one "
        f"for each bit line of {report.accounting.rows}; a fabricated LIF neuron is {larger} and {much_larger} "
        f"times larger. 1.5 um2 comes out with {sharers}. For this sensor: {array.junctions:,} junctions, arrays "
        f"needed: {array.arrays}, a frame every {format_si(array.t_cycle, 's')}{pace}; read row by row, {slow} in "
        f"place of {fast}."
    ) + (f" A capacitor that remembers as long, at the pace of the sensor, takes {kept}." if kept else "")
