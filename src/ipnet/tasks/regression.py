"""Regression: what was measured at the end of a clip, the steering angle say?"""

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

from ipnet.bootstrap import bootstrap
from ipnet.data import SPLITS, Split
from ipnet.errors import IPNetError, unknown_name
from ipnet.results import Estimate, Metric
from ipnet.tasks._clips import ClipTask

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Clips:
    """Frames [N, T, 2, H, W] of a split and what was measured at their end [N]."""

    frames: NDArray[np.float32]
    measured: NDArray[np.float32]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Frames x [T, B, 2, H, W] and targets y [B] in their own unit."""
        chosen = np.asarray(numbers)
        return torch.from_numpy(self.frames[chosen]).transpose(0, 1), torch.from_numpy(self.measured[chosen])


class Regression(ClipTask):
    """Predict one of the targets of event clips, in its own unit.

    The network has one output z. It learns the standardised target, ``(y - mean) / sd`` with mean and standard
    deviation of the training split alone, by the smooth L1 loss; the prediction is ``mean + sd z``.

    Training jitters clips (`shift`, `rotate` and `zoom` under ``[training]``); a target that is read from where
    things are in the image, as a steering angle is, needs them at 0.

    Intervals come from a bootstrap that resamples blocks of consecutive clips, as many as a group of the data set
    has: clips that overlap or follow each other are not independent.

    Args:
        data: the data set: its registered name under ``"name"``, and its options.
        target: one of the set's `targets`, with or without its unit; None takes the first.
        steps: T, frames per clip.
        by: what each frame holds an equal share of, ``"time"`` or ``"count"``.
        size: [H, W] of the frames, each dividing the sensor's; None keeps the sensor's.

    Raises:
        IPNetError: an unknown data set, option or target; steps or size that do not fit; a target that is the
            same in all training clips.

    References:
        The smooth L1 loss: R. Girshick, "Fast R-CNN", ICCV 2015. The bootstrap of blocks: H. R. Kuensch, Ann.
        Stat. 17, 1217 (1989).
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
    ) -> None:
        super().__init__(data, steps, by, size)
        names = [name.partition(" [")[0] for name in self.data.targets]
        if not names:
            raise IPNetError(f"regression needs targets; data set '{self.data_name}' has none: take recognition.")
        wanted = (target or names[0]).partition(" [")[0]
        if wanted not in names:
            raise unknown_name(f"target of data set '{self.data_name}'", wanted, names)
        self._column = names.index(wanted)
        self.outputs = (self.data.targets[self._column],)
        self.unit = self.outputs[0].partition(" [")[2].removesuffix("]")
        train = self._measured("train")
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
    def _block(self) -> int:
        """Clips in a group, the median over all groups."""
        groups = [self.data.group(int(i)) for split in SPLITS for i in self.data.indices(split)]
        return int(np.median(np.unique(groups, return_counts=True)[1]))

    def _items(self, split: Split) -> _Clips:
        return _Clips(self._frames(split), self._measured(split).astype(np.float32), self._names(split))

    def facts(self) -> dict[str, Any]:
        """The facts of the clips, the target, and its mean and standard deviation in the training split."""
        return super().facts() | {"target": self.outputs[0], "mean": self._mean, "sd": self._sd}

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Smooth L1 between the output and the standardised target."""
        return F.smooth_l1_loss(output[:, 0], (y - self._mean) / self._sd)

    def predict(self, output: Tensor) -> Tensor:
        """The prediction [B] in the unit of the target."""
        return self._mean + self._sd * output[:, 0]

    def metrics(self, predicted: Tensor, y: Tensor) -> dict[str, Metric]:
        """`rmse` and `mae` in the unit of the target, `r2` and `explained_variance`, of clips in their order.

        ``r2 = 1 - mean((predicted - y)^2) / var(y)``; ``explained_variance = 1 - var(predicted - y) / var(y)``
        forgives a constant error, and is 0 for any constant prediction.
        """
        truth = y.double().numpy()
        error = predicted.double().numpy() - truth
        centred = truth - truth.mean()
        blocks = np.arange(truth.size) // max(1, min(self._block, truth.size // 2))
        values = np.stack([error**2, np.abs(error), error, centred, centred**2], axis=1)

        def estimate(statistic: Any, unit: str) -> Estimate:
            value, low, high = bootstrap(statistic, values, blocks)
            return Estimate(value=value, low=low, high=high, n=truth.size, unit=unit)

        return {
            "rmse": estimate(lambda mean: np.sqrt(mean[:, 0]), self.unit),
            "mae": estimate(lambda mean: mean[:, 1], self.unit),
            "r2": estimate(lambda mean: _share(mean[:, 0], mean), "1"),
            "explained_variance": estimate(lambda mean: _share(mean[:, 0] - mean[:, 2] ** 2, mean), "1"),
        }

    @classmethod
    def example(cls, folder: Path) -> Self:  # noqa: ARG003
        """Short simulated drives, six frames."""
        return cls(data={"name": "simulated_driving", "drives": 3, "duration": 2.0, "sensor": 16}, steps=6)


def _share(left: Array, mean: Array) -> Array:
    """1 - left / variance of the truth, from the means [R, 5] in the order of `Regression.metrics`."""
    total = mean[:, 4] - mean[:, 3] ** 2
    varied = total > 0
    return np.where(varied, 1 - left / np.where(varied, total, 1.0), 0.0)
