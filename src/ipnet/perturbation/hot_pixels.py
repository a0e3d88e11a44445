"""Hot pixels: some fire all the time, whatever they see."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation

EVENTS = 2.0  # per frame: assumed, one hot pixel of the sensor at 100 events per second in frames of 20 ms


class HotPixels(InputPerturbation):
    """n' = n + 2 in every frame for a share of the pixels of the frame, each in one polarity drawn at random.

    Where a pixel of the frame sums k of the sensor, a share q of hot pixels on the sensor is 1 - (1 - q)^k of
    those of the frame. Which are hot is drawn for every clip anew: each clip meets another camera of the kind.
    """

    meaning: ClassVar[str] = "share of the frame's pixels that are hot [1]"

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Add what the hot pixels fire."""
        channels, height, width = clip.shape[1:]
        hot = torch.rand(height, width, generator=generator) < level
        polarity = torch.randint(channels, (height, width), generator=generator)
        fires = hot & (torch.arange(channels)[:, None, None] == polarity)
        return clip + EVENTS * fires
