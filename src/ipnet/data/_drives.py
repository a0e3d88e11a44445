"""Windows cut from drives: what the sets with a steering angle do alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ipnet.data import EventSet, Split
from ipnet.data._cut import cut_events
from ipnet.errors import IPNetError
from ipnet.events import Events

Times = NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """The windows of all drives, one after the other.

    Attributes:
        drive: number of the drive of each window [N].
        start: time at which each window begins [us], [N].
        stop: time before which it ends [us], [N].
        targets: what was measured at its end [N, K].
        groups: what must stay whole within a split, for each window.
        splits: the split of each window.
    """

    drive: Times
    start: Times
    stop: Times
    targets: NDArray[np.float64]
    groups: tuple[str, ...]
    splits: tuple[Split, ...]

    @classmethod
    def join(cls, parts: "list[Windows]") -> "Windows":
        """All windows of several drives."""
        drive, start, stop, targets = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("drive", "start", "stop", "targets")
        )
        groups = tuple(group for part in parts for group in part.groups)
        return cls(drive, start, stop, targets, groups, tuple(split for part in parts for split in part.splits))


class WindowSet(EventSet):
    """A set whose clips are windows of drives; `windows` says which, and a subclass gives their events."""

    windows: Windows

    def indices(self, split: Split) -> NDArray[np.int64]:
        """The windows of a split, drive by drive, in order of time."""
        return np.flatnonzero(np.array(self.windows.splits) == split)

    def group(self, index: int) -> str:
        """The drive, or the block of it."""
        return self.windows.groups[self._known(index)]

    def target(self, index: int) -> NDArray[np.float64]:
        """What was measured at the end of the window [K]."""
        measured: NDArray[np.float64] = self.windows.targets[self._known(index)].copy()
        return measured

    def _known(self, index: int) -> int:
        if not 0 <= index < len(self.windows.start):
            raise IPNetError(f"{type(self).__name__} has windows 0 to {len(self.windows.start) - 1}; got {index}.")
        return int(index)

    def _cut(self, events: Events, index: int) -> Events:
        """The events of a window out of those of its drive, with times from its beginning.

        Raises:
            IPNetError: there are none.
        """
        start, stop = int(self.windows.start[index]), int(self.windows.stop[index])
        clip = cut_events(events, start, stop)
        if not clip.size:
            raise IPNetError(
                f"a clip must hold at least one event; window {index} of '{self.group(index)}' at {start} us has "
                "none: take longer windows."
            )
        return clip


def alternate(number: int) -> Split:
    """The split of a block by its number in its recording: three of five to learn from, one each for the others.

    Example:
        >>> [alternate(number) for number in range(5)]
        ['train', 'train', 'validation', 'train', 'test']
    """
    pattern: tuple[Split, ...] = ("train", "train", "validation", "train", "test")
    return pattern[number % len(pattern)]


def whole_drives(drives: int, seed: int) -> tuple[Split, ...]:
    """The split of every drive: a fifth of them to test, a tenth to validate, at least one each, drawn by `seed`.

    Raises:
        IPNetError: fewer than three drives.

    Example:
        >>> sorted(whole_drives(10, 0))
        ['test', 'test', 'train', 'train', 'train', 'train', 'train', 'train', 'train', 'validation']
    """
    if drives < 3:
        raise IPNetError(f"three splits need at least 3 drives; got {drives}.")
    test, validation = max(1, round(0.2 * drives)), max(1, round(0.1 * drives))
    chosen: list[Split] = ["train"] * drives
    for rank, drive in enumerate(np.random.default_rng(seed).permutation(drives)):
        if rank < test + validation:
            chosen[drive] = "test" if rank < test else "validation"
    return tuple(chosen)
