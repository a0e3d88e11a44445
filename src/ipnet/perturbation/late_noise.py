"""Late noise: background activity that begins with the second half of the clip."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation
from ipnet.perturbation._background import background_events


class LateNoise(InputPerturbation):
    """n'_t = n_t + k_t for the last T//2 frames, k ~ Poisson(level) as in `background_activity`.

    The frames before stay as they are. The counterpart of `early_noise`, in as many frames.
    """

    meaning: ClassVar[str] = "rate of background events in the second half [1/(pixel polarity frame)]"
    highest: ClassVar[float] = math.inf

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Add the events."""
        events = background_events(clip, level, generator)
        events[: len(clip) - len(clip) // 2] = 0
        return clip + events
