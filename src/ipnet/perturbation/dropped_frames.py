"""Dropped frames: some arrive empty."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation


class DroppedFrames(InputPerturbation):
    """n'_t = 0 with probability level, independent for every frame; the others keep their places."""

    meaning: ClassVar[str] = "probability that a frame is empty [1]"

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Empty the frames."""
        kept = torch.rand(clip.shape[0], generator=generator) >= level
        return clip * kept[:, None, None, None]
