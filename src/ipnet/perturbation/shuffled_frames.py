"""Shuffled frames: the same pictures in another order."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation


class ShuffledFrames(InputPerturbation):
    """round(level T) frames, chosen at random, change places by a random permutation; the others stay.

    At level 1 every order is equally likely, and nothing of the clip's order is left.
    """

    meaning: ClassVar[str] = "share of frames that are shuffled [1]"

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Permute the frames."""
        steps = clip.shape[0]
        chosen = torch.randperm(steps, generator=generator)[: round(level * steps)]
        order = torch.arange(steps)
        order[chosen.sort().values] = chosen
        return clip[order]
