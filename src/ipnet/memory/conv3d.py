"""The 3-D convolution (Tran et al., 2015): space and time under one kernel."""

from torch import Tensor, nn

from ipnet.memory._temporal import TemporalConvolution


class Conv3D(TemporalConvolution):
    """A cubic convolution over time, height and width, after a spatial convolution, its norm and a ReLU.

    y_t = norm(sum_k W_k * relu(x_{t+k})), k = -kernel//2 .. kernel//2, * the convolution over [H, W] with a square
    of the same side, zero outside the clip and the map. As published it looks at later frames too, so it is not
    causal, carries no state and cannot run on a stream; the option `causal` shifts the kernel into the past,
    k = 1-kernel .. 0. Unlike there, it stands once after the stem and once after each stage and replaces no
    convolution of the backbone, which stays the same for all contenders.

    Args:
        channels: C of input and output.
        kernel: side of the cube in frames and pixels, odd.
        causal: pad the past only; the last kernel - 1 frames are then the state.

    Raises:
        IPNetError: an even kernel.

    References:
        Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks", ICCV 2015.
    """

    def _convolution(self, channels: int, kernel: int) -> nn.Module:
        side = kernel // 2
        return nn.Conv3d(channels, channels, kernel, padding=(0, side, side), bias=False)

    def _mixed(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(x.permute(1, 2, 0, 3, 4)).permute(2, 0, 1, 3, 4)
        return mixed
