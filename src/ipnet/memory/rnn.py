"""The plain recurrent network (Elman, 1990)."""

from typing import ClassVar

from torch import Tensor, nn

from ipnet.memory import Memory, Place


class RNN(Memory):
    """h_t = tanh(W x_t + U h_{t-1} + b), y_t = h_t, of the width of its input.

    All values start as torch draws them, uniform within 1/sqrt(C).

    Args:
        channels: C, the width of input and state.

    References:
        Elman, Cogn. Sci. 14, 179 (1990); `torch.nn.RNN`.
    """

    places: ClassVar[tuple[Place, ...]] = ("vector",)
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cell = nn.RNN(channels, channels)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map x [T, B, C] to y [T, B, C], state [1, B, C]."""
        y, state = self.cell(x, state)
        return y, state
