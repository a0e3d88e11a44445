"""Event data sets: one set per file. Drop a file with one `EventSet` here and it is found, listed and tested."""

import abc
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.events import Events
from ipnet.registry import Registry

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class EventSet(abc.ABC):
    """A set of event clips, each with a class, with measured quantities to predict, or with both.

    The contract, checked by `ipnet.contracts.check_data`: every clip is a pure function of the set's
    arguments and its index, in any order and in any process; splits are disjoint in indices and in groups.

    Attributes:
        real: True for recordings, False for simulated or converted events; printed beside every result.
        description: one line that names the data and their source.
        sensor: (H, W) in pixels.
        classes: the class names, by label; empty for a set without classes.
        targets: names of the measured quantities, each with its unit, as in ``"steering angle [deg]"``; empty for
            a set without any.
        handed: the targets that change their sign when the world is mirrored left to right, as a steering angle;
            None where the set does not say.
    """

    real: ClassVar[bool]
    description: ClassVar[str]
    sensor: tuple[int, int]
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    handed: tuple[str, ...] | None = None

    @abc.abstractmethod
    def indices(self, split: Split) -> NDArray[np.int64]:
        """The indices of the clips of a split, in a fixed order."""

    def label(self, index: int) -> int:
        """The class of clip `index`, 0 <= label < len(classes).

        Raises:
            IPNetError: the set has no classes.
        """
        raise IPNetError(f"clip {index} must have a class; {type(self).__name__} has none: take regression.")

    def target(self, index: int) -> NDArray[np.float64]:
        """What was measured at the end of clip `index`, [len(targets)] in the units of their names.

        Raises:
            IPNetError: the set has no targets.
        """
        raise IPNetError(f"clip {index} must have a target; {type(self).__name__} has none: take recognition.")

    @abc.abstractmethod
    def group(self, index: int) -> str:
        """What must stay whole within one split: the subject, the drive, or the recording."""

    @abc.abstractmethod
    def events(self, index: int) -> Events:
        """The events of clip `index`, at least one.

        Raises:
            IPNetError: the clip is damaged or empty; the message names it.
        """

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """A content hash of everything the clips depend on; the key of every cache made from them."""

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:  # noqa: B027
        """Compute and cache whatever makes `events` slow; `progress(done, total)` is told how far it is."""

    @classmethod
    @abc.abstractmethod
    def example(cls, folder: Path) -> Self:
        """A small instance for the contract suite, made of files that it writes into `folder`, or of none."""


DATA: Registry[EventSet] = Registry("data set", __name__, EventSet)
