"""Flicker: a lamp on the mains goes on and off, and the pixels that it lights see it."""

from typing import ClassVar

import torch
from torch import Tensor

from ipnet.perturbation import InputPerturbation

FREQUENCY = 0.25  # cycles per frame: assumed, and slow enough that frames differ


class Flicker(InputPerturbation):
    """n' = n + k_t for a share of the frame's pixels: an event each time the lamp goes on, one when it goes off.

    The lamp runs 0.25 cycles per frame from a random phase, the same for all pixels that see it: in frame t it
    goes on floor((t + 1)/4 + phase) - floor(t/4 + phase) times, and off half a cycle later. Going on is an event
    of the last channel (brighter), going off of the first (darker).
    """

    meaning: ClassVar[str] = "share of the frame's pixels that see the lamp [1]"

    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Add what the lamp makes the pixels fire."""
        steps, channels, height, width = clip.shape
        lit = torch.rand(height, width, generator=generator) < level
        cycles = FREQUENCY * torch.arange(steps + 1) + torch.rand((), generator=generator)
        fired = torch.zeros(steps, channels)
        fired[:, -1] += cycles.floor().diff()
        fired[:, 0] += (cycles + 0.5).floor().diff()
        return clip + fired[:, :, None, None] * lit
