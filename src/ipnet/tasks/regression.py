"""Regression: what was measured at the end of a clip, the steering angle say?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ipnet.data import SPLITS, Split
from ipnet.errors import IPNetError, unknown_name
from ipnet.intervals import ratio_of_means
from ipnet.results import MIRRORED, Estimate, Metric
from ipnet.tasks._clips import ClipTask

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Clips:
    """Frames [N, T, 2, H, W] of a split and what was measured at their end [N].

    With `sign`, item N + i is the mirror image of item i, and its target is `sign` times that of the item.
    """

    frames: NDArray[np.float32]
    measured: NDArray[np.float32]
    names: Sequence[str]
    sign: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Frames x [T, B, 2, H, W] and targets y [B] in their own unit."""
        clips, mirrored = np.asarray(numbers) % len(self.measured), np.asarray(numbers) >= len(self.measured)
        x, y = torch.from_numpy(self.frames[clips]), torch.from_numpy(self.measured[clips])
        if mirrored.any():
            chosen = torch.from_numpy(mirrored)
            x[chosen], y[chosen] = x[chosen].flip(-1), self.sign * y[chosen]
        return x.transpose(0, 1), y


class Regression(ClipTask):
    """Predict one of the targets of event clips, in its own unit.

    The network has one output z. It learns the standardised target, ``(y - mean) / sd`` with mean and standard
    deviation of the training split alone, by the smooth L1 loss; the prediction is ``mean + sd z``.

    Training jitters clips (`shift`, `rotate` and `zoom` under ``[training]``); a target that is read from where
    things are in the image, as a steering angle is, needs them at 0.

    Intervals take whole groups of the data set for independent, drives or blocks of a drive: clips that overlap or
    follow each other are not (`ipnet.intervals.ratio_of_means`).

    Args:
        data: the data set: its registered name under ``"name"``, and its options.
        target: one of the set's `targets`, with or without its unit; None takes the first.
        steps: T, frames per clip.
        by: what each frame holds an equal share of, ``"time"`` or ``"count"``.
        size: [H, W] of the frames, each dividing the sensor's; None keeps the sensor's.
        mirror: learn from the mirror image of every training clip as well; the target changes its sign if it is
            one of the set's `handed`, which must not be None. Validation and test are as they are.
        readout: the output that counts, the ``"mean"`` over the frames or the one after the ``"last"``.

    Raises:
        IPNetError: an unknown data set, option, target or readout; steps or size that do not fit; a target that
            is the same in all training clips.

    References:
        The smooth L1 loss: R. Girshick, "Fast R-CNN", ICCV 2015.
    """

    score_name = "r2"

    def __init__(
        self,
        *,
        data: dict[str, Any],
        target: str | None = None,
        steps: int = 16,
        by: Literal["time", "count"] = "time",
        size: Sequence[int] | None = None,
        mirror: bool = False,
        readout: Literal["mean", "last"] = "mean",
    ) -> None:
        super().__init__(data, steps, by, size)
        if readout not in ("mean", "last"):
            raise IPNetError(f"readout must be mean or last; got '{readout}'.")
        self.mirror, self.readout = mirror, readout
        names = [name.partition(" [")[0] for name in self.data.targets]
        if not names:
            raise IPNetError(f"regression needs targets; data set '{self.data_name}' has none: take recognition.")
        wanted = (target or names[0]).partition(" [")[0]
        if wanted not in names:
            raise unknown_name(f"target of data set '{self.data_name}'", wanted, names)
        self._column = names.index(wanted)
        self.outputs = (self.data.targets[self._column],)
        self.unit = self.outputs[0].partition(" [")[2].removesuffix("]")
        if mirror and self.data.handed is None:
            raise IPNetError(
                "mirror = true needs a data set that says in `handed` what a mirror does to its targets; "
                f"'{self.data_name}' does not: take mirror = false, or give the set handed = ()."
            )
        self._sign = -1 if self.outputs[0] in (self.data.handed or ()) else 1
        train = self._measured("train")
        train = np.concatenate([train, self._sign * train]) if mirror else train
        self._mean, self._sd = float(train.mean()), float(train.std())
        if not self._sd > 0:
            raise IPNetError(
                f"'{self.outputs[0]}' must differ between training clips; all {train.size} have {train[0]:g}: "
                "take more drives."
            )

    def _measured(self, split: Split) -> Array:
        """The target of every clip of a split [N]."""
        return np.array([self.data.target(int(i))[self._column] for i in self.data.indices(split)])

    @cached_property
    def _recordings(self) -> list[tuple[NDArray[np.float32], list[str]]]:
        """Targets and groups of the clips of each split, in their order."""
        return [
            (self._measured(split).astype(np.float32), [self.data.group(int(i)) for i in self.data.indices(split)])
            for split in SPLITS
        ]

    def _groups(self, y: NDArray[np.float32]) -> Sequence[object]:
        """The recording of each clip of the split with these targets; their numbers if there is no such split."""
        return next((groups for targets, groups in self._recordings if np.array_equal(targets, y)), range(len(y)))

    def _items(self, split: Split) -> _Clips:
        names, sign = self._names(split), 0
        if self.mirror and split == "train":
            names, sign = names + [name + MIRRORED for name in names], self._sign
        return _Clips(self._frames(split), self._measured(split).astype(np.float32), names, sign)

    def facts(self) -> dict[str, Any]:
        """The facts of the clips, every copy counted; the target, its mean and standard deviation in training."""
        facts = super().facts() | {"target": self.outputs[0], "mean": self._mean, "sd": self._sd}
        if self.mirror:
            facts["items"] = facts["items"] | {"train": 2 * facts["items"]["train"]}
        return facts

    def combine(self, outputs: Tensor) -> Tensor:
        """The output [B, O] that counts, by `readout`."""
        return outputs[-1] if self.readout == "last" else super().combine(outputs)

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Smooth L1 between the output and the standardised target."""
        return F.smooth_l1_loss(output[:, 0], (y - self._mean) / self._sd)

    def predict(self, output: Tensor) -> Tensor:
        """The prediction [B] in the unit of the target."""
        return self._mean + self._sd * output[:, 0]

    def metrics(self, predicted: Tensor, y: Tensor, groups: Sequence[object] | None = None) -> dict[str, Metric]:
        """`rmse` and `mae` in the unit of the target, `r2` and `explained_variance`.

        ``r2 = 1 - mean((predicted - y)^2) / var(y)``; ``explained_variance = 1 - var(predicted - y) / var(y)``
        forgives a constant error, and is 0 for any constant prediction.

        Args:
            predicted: of N clips.
            y: what was measured, in the same unit.
            groups: the recording of each clip; None takes those of the split that has these targets in this order,
                and every clip for a recording of its own if there is none.
        """
        truth = y.double().numpy()
        error = predicted.double().numpy() - truth
        of = self._groups(y.numpy()) if groups is None else groups
        one, centred = np.ones_like(truth), (truth - truth.mean()) ** 2
        spread = centred if centred.any() else None

        def estimate(above: Array, unit: str) -> Estimate:
            value, low, high = ratio_of_means(above, one, of)
            return Estimate(value=value, low=low, high=high, n=truth.size, unit=unit, groups=len(set(of)))

        def share(above: Array) -> Estimate:
            ratio, low, high = (1.0, 1.0, 1.0) if spread is None else ratio_of_means(above, spread, of)
            return Estimate(
                value=1 - ratio, low=1 - high, high=1 - low, n=truth.size, unit="1", groups=len(set(of))
            )

        square = estimate(error**2, self.unit)
        roots = {key: math.sqrt(getattr(square, key)) for key in ("value", "low", "high")}
        return {
            "rmse": square.model_copy(update=roots),
            "mae": estimate(np.abs(error), self.unit),
            "r2": share(error**2),
            "explained_variance": share((error - error.mean()) ** 2),
        }

    @classmethod
    def example(cls, folder: Path) -> Self:  # noqa: ARG003
        """Short simulated drives, six frames."""
        return cls(data={"name": "simulated_driving", "drives": 3, "duration": 2.0, "sensor": 16}, steps=6)
