"""A battery as `ipnet tasks battery` wrote it: what the ledger, the figures, the tables and the report read."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ipnet.observer import observer_of
from ipnet.settings import flatten, read_json, replaced, toml_value

PATTERN = "memory_tasks-*.json"
Number = float | None  # JSON has no other word for a number that is none


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WrittenSeries(_Written):
    """One of `ipnet.battery.Outcome`: its mean over simulated people, and the standard error."""

    at: tuple[float, ...]
    mean: tuple[Number, ...]
    se: tuple[Number, ...]


class WrittenDistance(_Written):
    """One of `ipnet.battery.Distance`."""

    rmse: Number
    r: Number
    rmse_interval: tuple[Number, Number]
    r_interval: tuple[Number, Number]


class WrittenTrend(_Written):
    """One of `ipnet.battery.Trend`."""

    claim: str
    statement: str
    value: Number
    interval: tuple[Number, Number]
    verdict: str


class WrittenBattery(_Written):
    """All of a file.

    Args:
        card: its name.
        choices: the observer's.
        fixed_on: the condition on which they were fixed.
        subjects: simulated people in each condition.
        trials: of each.
        seed: of stimuli, patterns and draws.
        series: by name.
        distances: by series, then ``"card"`` or a reference model.
        trends: of people, tested on the card.
    """

    card: str
    choices: dict[str, Any]
    fixed_on: str
    subjects: int
    trials: int
    seed: int
    series: dict[str, WrittenSeries]
    distances: dict[str, dict[str, WrittenDistance]]
    trends: tuple[WrittenTrend, ...]

    @property
    def name(self) -> str:
        """The card, and whether it rehearsed."""
        return self.card + ", rehearsing" * bool(self.choices.get("rehearses"))

    @property
    def own_choices(self) -> dict[str, Any]:
        """The choices, by dotted keys, that are not those which were fixed for the card."""
        return flatten(replaced(self.choices, observer_of(self._asked_for).model_dump(mode="json")))

    @property
    def command(self) -> str:
        """What makes the file again."""
        words = f"ipnet tasks battery --card {self._asked_for} --subjects {self.subjects} --trials {self.trials}"
        told = {key: value for key, value in self.own_choices.items() if value is not None}
        own = "".join(f" --set {key}={toml_value(value)}" for key, value in told.items())
        return f"{words} --seed {self.seed}{own}"

    @property
    def _asked_for(self) -> str:
        return str(self.choices.get("card", self.card))


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
    return read_json(path, WrittenBattery, "battery")
