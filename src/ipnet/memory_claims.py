"""The claims about memory: which trends of people a card shows, as `ipnet tasks battery` wrote them down."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ipnet.errors import IPNetError, invalid_config
from ipnet.finding import Finding, finding
from ipnet.observer import observer_of

PATTERN = "memory_tasks-*.json"
CARD = "mtj-thermal"  # whose battery counts, if there are several
FEWEST = 20  # simulated people, below which intervals are too narrow
_CLAIMS = "nback", "recall", "interference"


class WrittenTrend(BaseModel):
    """One of `ipnet.battery.Trend`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: str
    statement: str
    value: float | None
    interval: tuple[float | None, float | None]
    verdict: str


class WrittenDistance(BaseModel):
    """What a comparison of cards needs of `ipnet.battery.Distance`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rmse: float | None
    r: float | None


class WrittenBattery(BaseModel):
    """What the ledger and a comparison of cards need of a battery."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    card: str
    subjects: int
    trials: int
    choices: dict[str, Any]
    distances: dict[str, dict[str, WrittenDistance]] = {}
    trends: tuple[WrittenTrend, ...]

    def is_calibrated(self) -> bool:
        """Whether the free choices are those that were fixed for the card."""
        return self.choices == observer_of(self.choices.get("card", self.card)).model_dump(mode="json")


def read_batteries(folder: Path) -> list[WrittenBattery]:
    """The batteries of a folder.

    Raises:
        IPNetError: a file that is none, by name.
    """
    return [read_battery(path) for path in sorted(folder.glob(PATTERN))]


def read_battery(path: Path) -> WrittenBattery:
    """A file of `ipnet tasks battery`.

    Raises:
        IPNetError: it is none.
    """
    try:
        return WrittenBattery.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        raise invalid_config(error, WrittenBattery, f"battery '{path}'") from error
    except (OSError, UnicodeDecodeError) as error:
        raise IPNetError(f"battery '{path}' cannot be read: {error}.") from error


def memory(batteries: Sequence[WrittenBattery]) -> dict[str, Finding]:
    """What the largest battery of `CARD`, or else of another card, says about each claim; nothing without one.

    A claim is met if every trend that was stated for it holds. Batteries of fewer than `FEWEST` simulated people
    do not count, nor those whose choices are not the card's (`ipnet.observer.observer_of`): with rehearsal, say.
    """
    counting = [battery for battery in batteries if battery.subjects >= FEWEST and battery.is_calibrated()]
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
        command=f"ipnet tasks battery --card {battery.card} --subjects {battery.subjects}",
    )


def _list(statements: Iterable[str]) -> str:
    return "; ".join(statements) or "none"
