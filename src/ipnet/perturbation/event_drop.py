"""Lost events: a saturated link drops them without looking."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation


class EventDrop(InputPerturbation):
    """n' ~ Binomial(n, 1 - level): every event is lost with the same probability, independent of all others.

    What a count has beyond its whole part is kept or lost in one piece, so that the mean is (1 - level) n for
    any count.

    References:
        Gu et al., "EventDrop: Data Augmentation for Event-based Learning", IJCAI 2021.
    """

    meaning: ClassVar[str] = "probability that an event is lost [1]"

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Thin the counts."""
        whole = clip.floor()
        kept = torch.binomial(whole, torch.full_like(clip, 1 - level), generator=generator)
        return kept + (clip - whole) * (torch.rand(clip.shape, generator=generator) >= level)
