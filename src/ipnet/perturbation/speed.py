"""Speed: the same movement, faster or slower than it was."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation


class Speed(InputPerturbation):
    """n'_t = events of the clip between t s and (t + 1) s, with s the level: no event is made or lost.

    A frame that is cut gives each part the events of its share of the time. At s = 2 the clip is over after half
    of the frames and silence follows; at s = 0.5 its first half fills them all. As in a camera, a movement makes
    the same events at any speed.
    """

    meaning: ClassVar[str] = "factor of the speed [1]"
    neutral: ClassVar[float] = 1.0
    lowest: ClassVar[float] = 1 / 16
    highest: ClassVar[float] = 16.0

    @classmethod
    def distance(cls, level: float) -> float:
        """Octaves of speed: twice as fast is as far away as half as fast."""
        return abs(math.log2(level))

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Resample the frames."""
        steps = clip.shape[0]
        edge = torch.arange(steps + 1, dtype=clip.dtype, device=clip.device)
        start, end = (level * part[:, None] for part in (edge[:-1], edge[1:]))
        overlap = (torch.minimum(end, edge[1:]) - torch.maximum(start, edge[:-1])).clamp(min=0)
        return torch.einsum("ts,schw->tchw", overlap, clip)
