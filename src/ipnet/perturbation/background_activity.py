"""Background activity: events without a cause, from leakage and shot noise in the pixels."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation
from ipnet.perturbation._background import background_events


class BackgroundActivity(InputPerturbation):
    """n' = n + k with k ~ Poisson(level), independent for every pixel, polarity and frame.

    Valid for: frames of equal duration. A rate r [1/s per pixel of the frame and
    polarity] is a level of r times that duration; a pixel that sums k pixels of the sensor has k times their rate.

    References:
        Hu, Liu & Delbruck, "v2e: From Video Frames to Realistic DVS Events", CVPR Workshops 2021.
    """

    meaning: ClassVar[str] = "rate of background events [1/(pixel polarity frame)]"
    highest: ClassVar[float] = math.inf

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Add the events."""
        return clip + background_events(clip, level, generator)
