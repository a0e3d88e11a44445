"""What a reader could not deliver: how much, why, and where it began."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ipnet.errors import IPNetError

Unit = Literal["event", "word", "packet", "byte"]
Place = Literal["byte", "line", "row"]


@dataclass(frozen=True)
class Refusal:
    """Everything that one rule refused.

    Attributes:
        count: how many.
        unit: what `count` counts; whatever was too damaged to hold events is not counted as events.
        first: where the first one begins: byte offset, line number from 1, or row number from 0.
    """

    count: int
    unit: Unit
    first: int


class Refused(Mapping[str, Refusal]):
    """The account of one reading: reason -> `Refusal`; empty if the file kept every rule.

    Args:
        path: the file, for messages.
        place: what positions in it count.
        strict: raise at the first refusal instead of counting it.

    Example:
        >>> refused = Refused(Path("a.bin"), "byte", strict=False)
        >>> refused.add("off the sensor", 2, 15, "events must lie on the sensor")
        >>> print(refused, refused.events)
        2 events off the sensor, the first at byte 15 2
    """

    def __init__(self, path: Path, place: Place, *, strict: bool) -> None:
        self.path, self.place, self.strict = path, place, strict
        self._reasons: dict[str, Refusal] = {}

    def add(self, reason: str, count: int, first: int, rule: str, unit: Unit = "event") -> None:
        """Count `count` refusals, the first of them at `first`.

        Raises:
            IPNetError: in strict mode; it says `rule` and the position.
        """
        if self.strict:
            damaged = "" if unit == "event" else " is damaged"
            raise IPNetError(
                f"'{self.path}'{damaged}: {rule} (at {self.place} {first}). "
                "Get the file again, or read it with strict=False, which leaves such parts out and counts them."
            )
        known = self._reasons.get(reason, Refusal(0, unit, first))
        self._reasons[reason] = Refusal(known.count + count, unit, known.first)

    @property
    def events(self) -> int:
        """How many events were refused."""
        return sum(refusal.count for refusal in self.values() if refusal.unit == "event")

    def __getitem__(self, reason: str) -> Refusal:
        return self._reasons[reason]

    def __iter__(self) -> Iterator[str]:
        return iter(self._reasons)

    def __len__(self) -> int:
        return len(self._reasons)

    def __str__(self) -> str:
        return "; ".join(
            f"{refusal.count} {refusal.unit}{'s' * (refusal.count != 1)} {reason}, the first at {self.place} "
            f"{refusal.first}"
            for reason, refusal in self.items()
        )
