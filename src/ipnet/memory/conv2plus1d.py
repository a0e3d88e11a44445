"""The temporal half of the (2+1)D convolution (Tran et al., 2018); the backbone is the spatial half."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ipnet.errors import IPNetError
from ipnet.memory import Memory, Place


class Conv2Plus1D(Memory):
    """A 1-D convolution over time at every pixel, after a spatial convolution, its norm and a ReLU.

    y_t = norm(sum_k W_k relu(x_{t+k})), k = -kernel//2 .. kernel//2, zero outside the clip. As published it
    looks at later frames too, so it is not causal, carries no state and cannot run on a stream. Unlike there, it
    stands once after the stem and once after each stage, not after every convolution inside a block, so that the
    backbone stays the same for all contenders.

    Args:
        channels: C of input and output.
        kernel: frames under the kernel, odd.

    Raises:
        IPNetError: an even kernel.

    References:
        Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018.
    """

    causal: ClassVar[bool] = False
    places: ClassVar[tuple[Place, ...]] = ("map",)
    default: ClassVar[str] = "maps"

    def __init__(self, channels: int, *, kernel: int = 3) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise IPNetError(f"the temporal kernel must be odd and positive; got {kernel}: use 3 or 5.")
        self.reach = kernel // 2
        self.mix = nn.Conv2d(kernel * channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Map x [T, B, C, H, W] to y of the same shape; there is no state."""
        steps = x.shape[0]
        padded = torch.nn.functional.pad(x.relu(), [0] * 8 + [self.reach, self.reach])
        window = torch.cat([padded[k : k + steps] for k in range(2 * self.reach + 1)], dim=2)
        return self.norm(self.mix(window.flatten(0, 1))).unflatten(0, x.shape[:2]), state
