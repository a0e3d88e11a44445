"""Long short-term memory (Hochreiter & Schmidhuber, 1997)."""

from typing import ClassVar

from torch import Tensor, nn

from ipnet.memory import Memory, Place
from ipnet.memory._gates import open_forget_gate


class LSTM(Memory):
    """c_t = f_t c_{t-1} + i_t g_t, y_t = o_t tanh(c_t), gates from x_t and y_{t-1}, of the width of its input.

    The bias of the forget gate f starts open, so that it remembers before it has learnt to; all else starts as
    torch draws it.

    Args:
        channels: C, the width of input and state.
        forget_bias: where the bias of the forget gate starts, finite; 1 is usual for long sequences.

    Raises:
        IPNetError: a forget bias that is not finite.

    References:
        Hochreiter & Schmidhuber, Neural Comput. 9, 1735 (1997); `torch.nn.LSTM`. The bias: Jozefowicz,
        Zaremba & Sutskever, "An Empirical Exploration of Recurrent Network Architectures", ICML 2015.
    """

    places: ClassVar[tuple[Place, ...]] = ("vector",)
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(self, channels: int, *, forget_bias: float = 1.0) -> None:
        super().__init__()
        self.cell = nn.LSTM(channels, channels)
        forget = slice(channels, 2 * channels)  # torch's order is i, f, g, o, and its two biases add up
        open_forget_gate(self.cell.get_parameter("bias_ih_l0")[forget], forget_bias)
        nn.init.zeros_(self.cell.get_parameter("bias_hh_l0")[forget])

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map x [T, B, C] to y [T, B, C], state (h, c) each [1, B, C]."""
        y, state = self.cell(x, state)
        return y, state
