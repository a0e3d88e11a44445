"""Data sets of tonic, which the user installs beside this package, and classes with the same interface."""

import functools
import hashlib
import importlib
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ipnet.data import EventSet, Split
from ipnet.data._folder import given_folder
from ipnet.data._validation import hold_out
from ipnet.errors import IPNetError
from ipnet.events import Events, make_events

EXAMPLE = "ipnet.data._tonic_example.Dots"


class Tonic(EventSet):
    """One class of ``tonic.datasets``, or any class that is called and indexed like one.

    tonic is GPL-3.0 and no part of this package: install it yourself. The class is called with the folder and
    ``train=True`` or ``train=False``; it has ``sensor_size`` (W, H, 2) and ``targets``, and item i is a structured
    array of x, y, t [us], p and a target. Its own test split is kept; validation is cut from its training
    recordings, the same share of every class. tonic does not say whose recordings they are, so that splits are
    recording-disjoint, not subject-disjoint: for DVS128 Gesture take `ipnet.data.dvs_gesture`.

    Args:
        dataset: name of the class, such as ``"NMNIST"``, or its dotted path outside ``tonic.datasets``.
        root: where its files are, or where tonic downloads them to; None takes ``IPNET_DATA``.
        validation: share of the training recordings kept for model selection, in (0, 1).
        seed: of their choice, at least 0.
        recorded: False for a set of simulated events.

    Raises:
        IPNetError: tonic is not installed, no such class, or one without a train and test split, targets or a
            sensor with two polarities.

    References:
        G. Lenz et al., "Tonic: event-based datasets and transformations", 2021, https://github.com/neuromorphs/tonic.
    """

    real: ClassVar[bool] = True
    description: ClassVar[str] = "through tonic (Lenz et al. 2021)"

    def __init__(
        self,
        *,
        dataset: str,
        root: str | Path | None = None,
        validation: float = 0.1,
        seed: int = 0,
        recorded: bool = True,
    ) -> None:
        entry, folder = _find(dataset), str(given_folder(f"data set '{dataset}'", root))
        try:
            self.parts = [entry(folder, train=train) for train in (True, False)]
            train, test = ([*part.targets] for part in self.parts)
            width, height, polarities = entry.sensor_size
        except (TypeError, AttributeError) as error:
            raise IPNetError(
                f"'{dataset}' must have a train and a test split, targets and a sensor_size ({error}): take "
                "another."
            ) from error
        if polarities != 2 or not train or not test:
            raise IPNetError(
                f"'{dataset}' must have two polarities and recordings in both splits; got {polarities}, "
                f"{len(train)} and {len(test)}: take another."
            )
        names, self.labels = np.unique([*train, *test], return_inverse=True)
        known = list(getattr(entry, "classes", ()))
        whole = names.dtype.kind in "iu" and names[0] >= 0 and names[-1] < len(known)
        self.classes = tuple(str(known[name] if whole else name) for name in names)
        self.sensor, self.dataset, self.first_test = (int(height), int(width)), dataset, len(train)
        held = hold_out(self.labels[: len(train)], validation, seed)
        self.splits: dict[Split, NDArray[np.int64]] = {
            "train": np.setdiff1d(np.arange(len(train)), held),
            "validation": held,
            "test": np.arange(len(train), len(train) + len(test)),
        }
        self.real = recorded  # type: ignore[misc]
        self.description = f"{dataset} {type(self).description}"  # type: ignore[misc]
        self.options = (dataset, validation, seed, recorded)
        self._digest = functools.cache(self._hashed)

    def _place(self, index: int) -> tuple[int, int]:
        """The part, 0 to train and 1 to test, and the number in it."""
        return (1, index - self.first_test) if index >= self.first_test else (0, index)

    def indices(self, split: Split) -> NDArray[np.int64]:
        """The recordings of a split, in tonic's order."""
        return self.splits[split]

    def label(self, index: int) -> int:
        """The class."""
        return int(self.labels[index])

    def group(self, index: int) -> str:
        """The recording, by tonic's split and number."""
        part, number = self._place(index)
        return f"{('train', 'test')[part]}{number}"

    def events(self, index: int) -> Events:
        """The events of a recording, times from the first.

        Raises:
            IPNetError: there are none.
        """
        part, number = self._place(index)
        found: Any = self.parts[part][number][0]
        if not len(found):
            raise IPNetError(
                f"a clip must hold at least one event; {self.group(index)} of '{self.dataset}' has none."
            )
        events = make_events(*(found[name] for name in "txyp"))
        events["t"] -= events["t"][0]
        return events

    def _hashed(self) -> str:
        digest = hashlib.sha256(repr(("tonic", self.options, self.labels.tolist())).encode())
        for index in range(len(self.labels)):
            digest.update(self.events(index).tobytes())
        return digest.hexdigest()[:16]

    def fingerprint(self) -> str:
        """Hash of the options, the labels and the events of all recordings, read once."""
        return self._digest()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Thirty recordings of a class like tonic's, which comes with this package."""
        return cls(dataset=EXAMPLE, root=folder, validation=0.25, recorded=False)


def _find(dataset: str) -> Any:
    """The class; tonic is imported here and nowhere else."""
    module, _, name = dataset.rpartition(".")
    try:
        return getattr(importlib.import_module(module or "tonic.datasets"), name)
    except ImportError as error:
        raise IPNetError(
            f"data set '{dataset}' needs its package, which does not come with this one ({error}): install tonic."
        ) from error
    except AttributeError as error:
        raise IPNetError(f"'{module or 'tonic.datasets'}' has no data set '{name}'; check the name.") from error
