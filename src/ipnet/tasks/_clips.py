"""What every task on event clips does alike: build the data set, frame its clips, and keep the frames."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ipnet.cache import cached_array, content_hash
from ipnet.data import DATA, SPLITS, EventSet, Split
from ipnet.errors import IPNetError
from ipnet.events import frame_events
from ipnet.tasks import Progress, Task


class ClipTask(Task):
    """A task whose inputs are the framed clips of one event data set.

    Args:
        data: the data set: its registered name under ``"name"``, and its options.
        steps: T, frames per clip.
        by: what each frame holds an equal share of, ``"time"`` or ``"count"``.
        size: [H, W] of the frames, each dividing the sensor's; None keeps the sensor's.

    Raises:
        IPNetError: an unknown data set or option; steps or size that do not fit.
    """

    def __init__(
        self, data: dict[str, Any], steps: int, by: Literal["time", "count"], size: Sequence[int] | None
    ) -> None:
        if size is not None and len(size) != 2:
            raise IPNetError(f"size must be [H, W]; got {list(size)}.")
        self.data_name = str(data["name"])
        self.data: EventSet = DATA.build(self.data_name, **{k: v for k, v in data.items() if k != "name"})
        self.size = (int(size[0]), int(size[1])) if size else self.data.sensor
        self.by: Literal["time", "count"] = by
        self.shape = (steps, 2, *self.size)
        # An unfit size or number of steps shows on the first clip, before anything is computed.
        self._frame(int(self.data.indices("train")[0]))
        self.fingerprint = content_hash(self.data.fingerprint(), steps, by, self.size)

    def _frame(self, index: int) -> NDArray[np.float32]:
        clip = self.data.events(index)
        return frame_events(clip, self.data.sensor, self.shape[0], by=self.by, size=self.size)

    def _frames(self, split: Split, progress: Progress | None = None) -> NDArray[np.float32]:
        """The frames of a split [N, T, 2, H, W], mapped from the cache."""
        indices = self.data.indices(split)

        def compute() -> NDArray[np.float32]:
            frames = np.empty((len(indices), *self.shape), np.float32)
            for i, index in enumerate(indices):
                frames[i] = self._frame(int(index))
                if progress:
                    progress(i + 1, len(indices))
            return frames

        return cached_array(f"frames/{self.fingerprint}-{split}", compute)

    def _names(self, split: Split) -> list[str]:
        """``split/group/index`` of every clip."""
        return [f"{split}/{self.data.group(int(i))}/{int(i)}" for i in self.data.indices(split)]

    def prepare(self, progress: Progress | None = None) -> None:
        """Simulate what must be simulated, frame every clip, and cache the frames."""
        self.data.prepare(progress)
        for split in SPLITS:
            self._frames(split, progress)

    def facts(self) -> dict[str, Any]:
        """Name, origin, fingerprint, items per split, and the time between frames of the first clip."""
        first = self.data.events(int(self.data.indices("train")[0]))
        return {
            "name": self.data_name,
            "real": self.data.real,
            "description": self.data.description,
            "fingerprint": self.fingerprint,
            "items": {split: len(self.data.indices(split)) for split in SPLITS},
            "frame_interval_s": float(first["t"][-1] - first["t"][0]) * 1e-6 / self.shape[0],
        }
