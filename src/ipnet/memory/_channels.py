"""What the memories with one trained value per channel share."""

from torch import Tensor


def along_channels(values: Tensor, x: Tensor) -> Tensor:
    """View values [C] so that they meet the channels of x [T, B, C, ...] and of its frames [B, C, ...]."""
    return values.view(-1, *[1] * (x.dim() - 3))
