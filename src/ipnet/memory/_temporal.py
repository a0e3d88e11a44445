"""What the convolutions over time share: the frames that they see beside the present one, and the norm."""

import abc
from typing import ClassVar

import torch
from torch import Tensor, nn

from ipnet.errors import IPNetError
from ipnet.memory import Memory, Place


class TemporalConvolution(Memory):
    """y_t = norm(sum_k W_k * relu(x_{t+k})), k = -kernel//2 .. kernel//2, zero outside the clip.

    The causal variant takes k = 1-kernel .. 0 instead, so that y_t depends on x_0..x_t alone; the last kernel - 1
    frames are the state.

    Args:
        channels: C of input and output.
        kernel: frames under the kernel, odd.
        causal: pad the past only.

    Raises:
        IPNetError: an even kernel.
    """

    causal: bool = False
    places: ClassVar[tuple[Place, ...]] = ("map",)
    default: ClassVar[str] = "maps"

    def __init__(self, channels: int, *, kernel: int = 3, causal: bool = False) -> None:
        super().__init__()
        require_odd(kernel, "temporal")
        self.causal, self.window = causal, kernel - 1
        self.past, self.future = (kernel - 1, 0) if causal else (kernel // 2, kernel // 2)
        self.mix = self._convolution(channels, kernel)
        self.norm = nn.BatchNorm2d(channels)

    @abc.abstractmethod
    def _convolution(self, channels: int, kernel: int) -> nn.Module:
        """The convolution, without bias: the norm after it has one."""

    @abc.abstractmethod
    def _mixed(self, x: Tensor) -> Tensor:
        """Apply it to x [past + T + future, B, C, H, W]; returns [T, B, C, H, W]."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Map x [T, B, C, H, W] to y of the same shape.

        The state is None, or for the causal variant relu(x) of the last frames, [kernel - 1, B, C, H, W].
        """
        past = x.new_zeros(self.past, *x.shape[1:]) if state is None else state
        padded = torch.cat([past, x.relu(), x.new_zeros(self.future, *x.shape[1:])])
        y = self.norm(self._mixed(padded).flatten(0, 1)).unflatten(0, x.shape[:2])
        return y, padded[len(x) :] if self.causal else None


def require_odd(kernel: int, which: str) -> None:
    """Raise unless a kernel has a centre.

    Raises:
        IPNetError: it is even, or not positive.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise IPNetError(f"the {which} kernel must be odd and positive; got {kernel}: use 3 or 5.")
