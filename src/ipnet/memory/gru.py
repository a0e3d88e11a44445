"""Gated recurrent unit (Cho et al., 2014)."""

from typing import ClassVar

from torch import Tensor, nn

from ipnet.memory import Memory, Place


class GRU(Memory):
    """h_t = (1 - z_t) n_t + z_t h_{t-1}, y_t = h_t, gates from x_t and h_{t-1}, of the width of its input.

    All values start as torch draws them, uniform within 1/sqrt(C).

    Args:
        channels: C, the width of input and state.

    References:
        Cho et al., arXiv:1406.1078 (EMNLP 2014); `torch.nn.GRU`.
    """

    places: ClassVar[tuple[Place, ...]] = ("vector",)
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cell = nn.GRU(channels, channels)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map x [T, B, C] to y [T, B, C], state [1, B, C]."""
        y, state = self.cell(x, state)
        return y, state
