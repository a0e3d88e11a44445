"""A set with the interface of tonic's: what the example of the adapter wraps."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class Dots:
    """Dots that move to the right or to the left; half as many to test as to train."""

    sensor_size: ClassVar[tuple[int, int, int]] = (14, 12, 2)
    classes: ClassVar[list[str]] = ["left", "right"]

    def __init__(self, save_to: str, train: bool = True) -> None:  # noqa: ARG002
        self.seeds = range(20) if train else range(20, 30)
        self.targets = [seed % 2 for seed in self.seeds]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, number: int) -> tuple[NDArray[Any], int]:
        rng, target = np.random.default_rng(self.seeds[number]), self.targets[number]
        events = np.empty(24, np.dtype([("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", bool)]))
        events["t"] = np.sort(rng.integers(1000, 90_000, 24))
        events["x"] = np.arange(24)[:: 1 if target else -1] // 2
        events["y"], events["p"] = rng.integers(0, 12, 24), rng.integers(0, 2, 24)
        return events, target
