"""Where a memory stands best: the contenders of a study that are one memory at several positions."""

from dataclasses import dataclass

from ipnet.comparison import Comparison
from ipnet.pairing import Paired, in_words
from ipnet.standing import Standing, paired_with_each

_FRONTIER = ("frontier",)


@dataclass(frozen=True)
class Sweep:
    """One memory at several positions.

    Args:
        memory: its name.
        standings: from the sensor to the head, several positions at once last.
        tests: the memory at the frontier alone paired with each other position, p-values Holm-corrected; empty if
            it was not tried there.
    """

    memory: str
    standings: tuple[Standing, ...]
    tests: tuple[Paired, ...]

    @property
    def verdict(self) -> str:
        """The outcome for the frontier in one sentence."""
        if not self.tests:
            return f"{self.memory} was not tried at the frontier alone."
        rank = 1 + sum(test.difference.value < 0 for test in self.tests)
        first = all(test.relation == "better than" for test in self.tests)
        standing = "the frontier is first" if first else "no position is better than the frontier"
        if any(test.relation == "worse than" for test in self.tests):
            standing = "the frontier is not the best position"
        return (
            f"{self.memory}: {standing} (number {rank} of {len(self.standings)} by accuracy). "
            f"Paired over recordings, p Holm-corrected over {len(self.tests)}, "
            f"{self.memory} at the frontier is {in_words(self.tests)}."
        )


def place(position: str) -> tuple[int, int]:
    """Sorts positions as the signal passes them: frontier, stem, stage1, stage2, ..., head.

    Example:
        >>> sorted(["head", "stage10", "stage2", "stem", "frontier"], key=place)
        ['frontier', 'stem', 'stage2', 'stage10', 'head']
    """
    stage = position.removeprefix("stage")
    known = {"frontier": 0, "stem": 1, "head": 3}
    return (2, int(stage)) if stage.isdecimal() else (known.get(position, 4), 0)


def sweeps(comparison: Comparison) -> list[Sweep]:
    """The memories of a study that stand at two positions or more, in order of their names."""
    memories: dict[str, list[Standing]] = {}
    for standing in comparison.standings.values():
        if standing.positions and "stands_for" not in standing.results[0].config:  # a variant is no position
            memories.setdefault(standing.memory, []).append(standing)
    return [_sweep(memory, of) for memory, of in sorted(memories.items()) if len(of) > 1]


def _sweep(memory: str, standings: list[Standing]) -> Sweep:
    ordered = sorted(standings, key=lambda of: (len(of.positions), [place(name) for name in of.positions]))
    frontier = next((of for of in ordered if of.positions == _FRONTIER), None)
    tests = paired_with_each(frontier, [of for of in ordered if of is not frontier]) if frontier else []
    return Sweep(memory, tuple(ordered), tuple(tests))
