"""Frozen frames: the link holds the last picture for a while."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation


class FrozenFrames(InputPerturbation):
    """n'_t = n'_{t-1} with probability level, independent for every frame but the first: sample and hold."""

    meaning: ClassVar[str] = "probability that a frame repeats the one before [1]"

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Hold the frames."""
        steps = clip.shape[0]
        frozen = torch.rand(steps, generator=generator) < level
        shown = torch.where(frozen, 0, torch.arange(steps)).cummax(0).values
        return clip[shown]
