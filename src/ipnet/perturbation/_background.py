"""What background activity in the whole clip and in a half of it share: the draw."""

import torch
from torch import Tensor


def background_events(clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Poisson events of the mean `level` at every pixel, polarity and frame of a clip [T, C, H, W]."""
    return torch.poisson(torch.full_like(clip, level), generator=generator)
