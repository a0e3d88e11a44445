"""The claims about memory: which trends of people a card shows, as `ipnet tasks battery` wrote them down."""

from collections.abc import Iterable, Sequence

from ipnet.finding import Finding, finding
from ipnet.written_battery import WrittenBattery, WrittenTrend

CARD = "mtj-thermal"  # whose battery counts, if there are several
FEWEST = 20  # simulated people, below which intervals are too narrow
_CLAIMS = "nback", "recall", "interference"


def memory(batteries: Sequence[WrittenBattery]) -> dict[str, Finding]:
    """What the largest battery of `CARD`, or else of another card, says about each claim; nothing without one.

    A claim is met if every trend that was stated for it holds. Batteries of fewer than `FEWEST` simulated people
    do not count, nor those whose choices are not the card's (`ipnet.observer.observer_of`): with rehearsal, say.
    """
    counting = [battery for battery in batteries if battery.subjects >= FEWEST and not battery.own_choices]
    chosen = max(counting, key=lambda battery: (battery.card == CARD, battery.subjects), default=None)
    if chosen is None:
        return {}
    rows = {claim: [trend for trend in chosen.trends if trend.claim == claim] for claim in _CLAIMS}
    return {claim: _found(chosen, trends) for claim, trends in rows.items() if trends}


def _found(battery: WrittenBattery, trends: Sequence[WrittenTrend]) -> Finding:
    holding = [trend.statement for trend in trends if trend.verdict == "holds"]
    others = [f"{trend.statement} ({trend.verdict})" for trend in trends if trend.verdict != "holds"]
    return finding(
        met=not others,
        real=False,
        reason=f"Trends of people that {battery.card} shows: {_list(holding)}. Not shown: {_list(others)}. "
        "The claim needs all of them. The card was simulated; no value of the junction was fitted to people.",
        ours=f"{len(holding)} of {len(trends)} trends",
        n=battery.subjects,
        seeds=1,
        data=f"{battery.card}, {battery.trials} trials each",
        command=battery.command,
    )


def _list(statements: Iterable[str]) -> str:
    return "; ".join(statements) or "none"
