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

from ipnet.data import DATA, Split
from ipnet.errors import IPNetError
from ipnet.results import REVERSED, Metric, wilson
from ipnet.tasks._clips import ClipTask


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


class Recognition(ClipTask):
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
        if not 0 <= label_smoothing < 1:
            raise IPNetError(f"label_smoothing must be at least 0 and below 1; got {label_smoothing}.")
        super().__init__(data, steps, by, size)
        if not self.data.classes:
            raise IPNetError(f"recognition needs classes; data set '{self.data_name}' has none: take regression.")
        self.reverse_time, self.swap_polarity = reverse_time, swap_polarity
        self.label_smoothing = label_smoothing
        backward = tuple(f"{name}, reversed" for name in self.data.classes) if reverse_time else ()
        self.outputs = (*self.data.classes, *backward)

    def _items(self, split: Split) -> _Clips:
        names = self._names(split)
        names += [name + REVERSED for name in names] if self.reverse_time else []
        labels = np.array([self.data.label(int(i)) for i in self.data.indices(split)], np.int64)
        return _Clips(
            self._frames(split), labels, names, len(self.data.classes), self.reverse_time, self.swap_polarity
        )

    def facts(self) -> dict[str, Any]:
        """The facts of the clips, every copy counted, and the number of classes."""
        facts = super().facts() | {"classes": len(self.outputs)}
        if self.reverse_time:
            facts["description"] += ", with time-reversed copies"
            facts["items"] = {split: 2 * count for split, count in facts["items"].items()}
        return facts

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(output, y, label_smoothing=self.label_smoothing)

    def predict(self, output: Tensor) -> Tensor:
        """The class of the largest output."""
        return output.argmax(1)

    def metrics(
        self,
        predicted: Tensor,
        y: Tensor,
        groups: Sequence[object] | None = None,  # noqa: ARG002
    ) -> dict[str, Metric]:
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
