"""Recognition: which class does a clip belong to, and was it played forward or backward?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ipnet.cache import cached_array, content_hash
from ipnet.data import DATA, SPLITS, EventSet, Split
from ipnet.errors import IPNetError
from ipnet.events import frame_events
from ipnet.results import Metric, wilson
from ipnet.tasks import Progress, Task


@dataclass(frozen=True)
class _Clips:
    """Frames [N, T, 2, H, W] of a split; with `backward`, item N + i is item i reversed."""

    frames: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: Sequence[str]
    classes: int
    backward: bool
    swap_polarity: bool

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Frames x [T, B, 2, H, W] and labels y [B]."""
        clips, reverse = np.asarray(numbers) % len(self.labels), np.asarray(numbers) >= len(self.labels)
        x = torch.from_numpy(self.frames[clips])
        if reverse.any():
            chosen = torch.from_numpy(reverse)
            mirrored = x[chosen].flip(1)
            x[chosen] = mirrored.flip(2) if self.swap_polarity else mirrored
        return x.transpose(0, 1), torch.from_numpy(self.labels[clips] + reverse * self.classes)


class Recognition(Task):
    """Classify event clips; with `reverse_time`, tell each clip from its time-reversed copy as well.

    With C classes and `reverse_time` there are 2 C: label c forward, C + c backward, and both copies of a clip
    are always in the same split. Every frame of a reversed clip is a frame of the original
    (`ipnet.events.frame_events`), so a model that ignores order cannot beat half of its own class accuracy:
    ``accuracy = class_accuracy / 2`` in expectation. Reversing the frames is exactly framing the reversed
    events.

    Args:
        data: the data set: its registered name under ``"name"``, and its options.
        steps: T, frames per clip.
        by: what each frame holds an equal share of, ``"time"`` or ``"count"``.
        size: [H, W] of the frames, each dividing the sensor's; None keeps the sensor's.
        reverse_time: add the time-reversed copies.
        swap_polarity: exchange the polarities of reversed copies.
        label_smoothing: of the cross-entropy.

    Raises:
        IPNetError: an unknown data set or option; steps or size that do not fit.
    """

    def __init__(
        self,
        *,
        data: dict[str, Any],
        steps: int = 16,
        by: Literal["time", "count"] = "time",
        size: Sequence[int] | None = None,
        reverse_time: bool = False,
        swap_polarity: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        if size is not None and len(size) != 2:
            raise IPNetError(f"size must be [H, W]; got {list(size)}.")
        if not 0 <= label_smoothing < 1:
            raise IPNetError(f"label_smoothing must be at least 0 and below 1; got {label_smoothing}.")
        self.data_name = str(data["name"])
        self.data: EventSet = DATA.build(self.data_name, **{k: v for k, v in data.items() if k != "name"})
        self.size = (int(size[0]), int(size[1])) if size else self.data.sensor
        self.by: Literal["time", "count"] = by
        self.reverse_time, self.swap_polarity = reverse_time, swap_polarity
        self.label_smoothing = label_smoothing
        self.shape = (steps, 2, *self.size)
        backward = tuple(f"{name}, reversed" for name in self.data.classes) if reverse_time else ()
        self.outputs = (*self.data.classes, *backward)
        # An unfit size or number of steps shows on the first clip, before anything is computed.
        first = int(self.data.indices("train")[0])
        frame_events(self.data.events(first), self.data.sensor, steps, by=by, size=self.size)
        self.fingerprint = content_hash(self.data.fingerprint(), steps, by, self.size)

    def _frames(self, split: Split, progress: Progress | None = None) -> NDArray[np.float32]:
        indices = self.data.indices(split)

        def compute() -> NDArray[np.float32]:
            frames = np.empty((len(indices), *self.shape), np.float32)
            for i, index in enumerate(indices):
                clip = self.data.events(int(index))
                frames[i] = frame_events(clip, self.data.sensor, self.shape[0], by=self.by, size=self.size)
                if progress:
                    progress(i + 1, len(indices))
            return frames

        return cached_array(f"frames/{self.fingerprint}-{split}", compute)

    def prepare(self, progress: Progress | None = None) -> None:
        """Simulate what must be simulated, frame every clip, and cache the frames."""
        self.data.prepare(progress)
        for split in SPLITS:
            self._frames(split, progress)

    def _items(self, split: Split) -> _Clips:
        indices = self.data.indices(split)
        names = [f"{split}/{self.data.group(int(i))}/{int(i)}" for i in indices]
        names += [f"{name}/reversed" for name in names] if self.reverse_time else []
        labels = np.array([self.data.label(int(i)) for i in indices], np.int64)
        return _Clips(
            self._frames(split), labels, names, len(self.data.classes), self.reverse_time, self.swap_polarity
        )

    def facts(self) -> dict[str, Any]:
        """Name, origin, fingerprint, items per split, and the time between frames of the first clip."""
        copies = 2 if self.reverse_time else 1
        first = self.data.events(int(self.data.indices("train")[0]))
        return {
            "name": self.data_name,
            "real": self.data.real,
            "description": self.data.description + (", with time-reversed copies" if self.reverse_time else ""),
            "fingerprint": self.fingerprint,
            "items": {split: copies * len(self.data.indices(split)) for split in SPLITS},
            "classes": len(self.outputs),
            "frame_interval_s": float(first["t"][-1] - first["t"][0]) * 1e-6 / self.shape[0],
        }

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(output, y, label_smoothing=self.label_smoothing)

    def predict(self, output: Tensor) -> Tensor:
        """The class of the largest output."""
        return output.argmax(1)

    def metrics(self, predicted: Tensor, y: Tensor) -> dict[str, Metric]:
        """`accuracy`; with reversed copies also `class_accuracy`, which ignores the direction."""
        found: dict[str, Metric] = {"accuracy": wilson(int((predicted == y).sum()), len(y))}
        if self.reverse_time:
            classes = len(self.data.classes)
            right = int((predicted % classes == y % classes).sum())
            found["class_accuracy"] = wilson(right, len(y))
        return found

    def confusion(self, predicted: Tensor, y: Tensor) -> list[list[int]]:
        """Counts [truth, prediction]."""
        classes = len(self.outputs)
        counts: list[list[int]] = (
            torch.bincount(y * classes + predicted, minlength=classes**2).view(classes, -1).tolist()
        )
        return counts

    @classmethod
    def example(cls, folder: Path) -> Self:
        """The example of N-MNIST, six frames, with reversed copies."""
        DATA["nmnist"].example(folder)
        return cls(data={"name": "nmnist", "root": str(folder)}, steps=6, reverse_time=True)
