"""The temporal half of the (2+1)D convolution (Tran et al., 2018); the backbone is the spatial half."""

import torch
from torch import Tensor, nn

from ipnet.memory._temporal import TemporalConvolution


class Conv2Plus1D(TemporalConvolution):
    """A 1-D convolution over time at every pixel, after a spatial convolution, its norm and a ReLU.

    y_t = norm(sum_k W_k relu(x_{t+k})), k = -kernel//2 .. kernel//2, zero outside the clip. As published it
    looks at later frames too, so it is not causal, carries no state and cannot run on a stream; the option
    `causal` shifts the kernel into the past, k = 1-kernel .. 0. Unlike there, it stands once after the stem and
    once after each stage, not after every convolution inside a block, so that the backbone stays the same for all
    contenders.

    Args:
        channels: C of input and output.
        kernel: frames under the kernel, odd.
        causal: pad the past only; the last kernel - 1 frames are then the state.

    Raises:
        IPNetError: an even kernel.

    References:
        Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018.
    """

    def _convolution(self, channels: int, kernel: int) -> nn.Module:
        return nn.Conv2d(kernel * channels, channels, 1, bias=False)

    def _mixed(self, x: Tensor) -> Tensor:
        steps = len(x) - self.past - self.future
        window = torch.cat([x[k : k + steps] for k in range(len(x) - steps + 1)], dim=2)
        mixed: Tensor = self.mix(window.flatten(0, 1)).unflatten(0, window.shape[:2])
        return mixed
