"""Early noise: background activity that is over when the second half of the clip begins."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation
from ipnet.perturbation._background import background_events


class EarlyNoise(InputPerturbation):
    """n'_t = n_t + k_t for the first T//2 frames, k ~ Poisson(level) as in `background_activity`.

    The frames after stay as they are. With `late_noise` it is the test of accumulation: a network without memory
    loses as much by either, because the readout averages over all frames; what early noise costs beyond late noise
    is what the memory carried on.
    """

    meaning: ClassVar[str] = "rate of background events in the first half [1/(pixel polarity frame)]"
    highest: ClassVar[float] = math.inf

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Add the events."""
        events = background_events(clip, level, generator)
        events[len(clip) // 2 :] = 0
        return clip + events
