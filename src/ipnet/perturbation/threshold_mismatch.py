"""Threshold mismatch: no two pixels of a sensor need the same contrast to fire."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation


class ThresholdMismatch(InputPerturbation):
    """n' = n exp(level z) with z ~ N(0, 1), one for every pixel and polarity, the same in all frames.

    A pixel fires in inverse proportion to its contrast threshold, so a log-normal threshold is a log-normal gain.
    Counts become fractions: the mean over the phase of the signal. The pixels are drawn for every clip anew: each
    clip meets another camera of the kind.

    References:
        Lichtsteiner, Posch & Delbruck, IEEE J. Solid-State Circuits 43, 566 (2008): 2.1 % contrast mismatch at
        thresholds of about 15 %, so a level near 0.14 for frames in the sensor's own pixels; sums of
        several differ by less.
    """

    meaning: ClassVar[str] = "standard deviation of the logarithm of the threshold [1]"
    highest: ClassVar[float] = math.inf

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Scale the counts."""
        return clip * torch.exp(level * torch.randn(clip.shape[1:], generator=generator))
