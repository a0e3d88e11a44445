"""Long short-term memory (Hochreiter & Schmidhuber, 1997)."""

from typing import ClassVar

from torch import Tensor, nn

from ipnet.memory import Memory, Place


class LSTM(Memory):
    """c_t = f_t c_{t-1} + i_t g_t, y_t = o_t tanh(c_t), gates from x_t and y_{t-1}, of the width of its input.

    Args:
        channels: C, the width of input and state.

    References:
        Hochreiter & Schmidhuber, Neural Comput. 9, 1735 (1997); `torch.nn.LSTM`.
    """

    places: ClassVar[tuple[Place, ...]] = ("vector",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cell = nn.LSTM(channels, channels)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map x [T, B, C] to y [T, B, C], state (h, c) each [1, B, C]."""
        y, state = self.cell(x, state)
        return y, state
