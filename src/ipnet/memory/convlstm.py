"""The convolutional LSTM (Shi et al., 2015): an LSTM whose products are convolutions over the map."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ipnet.memory import Memory, Place
from ipnet.memory._gates import open_forget_gate
from ipnet.memory._temporal import require_odd


class ConvLSTM(Memory):
    """c_t = f_t c_{t-1} + i_t tanh(g_t), y_t = h_t = o_t tanh(c_t), with the width of its input.

    (i_t, f_t, o_t, g_t) = W * x_t + U * h_{t-1} + b, the first three through a sigmoid, * the convolution over
    [H, W], zero outside the map. There are no peepholes from c to the gates, as in most code since; the paper has
    them. The bias of the forget gate f starts open, so that it remembers before it has learnt to; all else
    starts as torch draws it. h is bounded by tanh, so it replaces the activation function that would follow.

    Args:
        channels: C of input, state and output.
        kernel: side of both kernels [pixels], odd.
        forget_bias: where the bias of the forget gate starts, finite; 1 is usual for long sequences.

    Raises:
        IPNetError: an even kernel, or a forget bias that is not finite.

    References:
        Shi et al., "Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting",
        NeurIPS 2015, eq. (3). The bias: Jozefowicz, Zaremba & Sutskever, "An Empirical Exploration of Recurrent
        Network Architectures", ICML 2015.
    """

    places: ClassVar[tuple[Place, ...]] = ("sensor", "map")
    default: ClassVar[str] = "top"
    is_activation: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(self, channels: int, *, kernel: int = 3, forget_bias: float = 1.0) -> None:
        super().__init__()
        require_odd(kernel, "spatial")
        self.of_input = nn.Conv2d(channels, 4 * channels, kernel, padding=kernel // 2)
        self.of_hidden = nn.Conv2d(channels, 4 * channels, kernel, padding=kernel // 2, bias=False)
        open_forget_gate(self.of_input.get_parameter("bias")[channels : 2 * channels], forget_bias)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map x [T, B, C, H, W] to y of the same shape, state (h, c) each [1, B, C, H, W]."""
        start = x.new_zeros(1, *x.shape[1:])
        h, c = (part.squeeze(0) for part in (state or (start, start)))
        hidden = []
        for from_input in self.of_input(x.flatten(0, 1)).unflatten(0, x.shape[:2]).unbind(0):
            i, f, o, g = (from_input + self.of_hidden(h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            hidden.append(h)
        return torch.stack(hidden), (h[None], c[None])
