"""The leaky integrate-and-fire neuron with a trained time constant (Fang et al., 2021)."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from ipnet.errors import IPNetError
from ipnet.memory import Memory
from ipnet.memory._channels import along_channels
from ipnet.surrogate import arctan_spikes


class LIF(Memory):
    """A potential that leaks, is driven, and is set back to zero where it reaches 1 and spikes.

    v_t = v_{t-1} (1 - y_{t-1}) + (gain x_t - v_{t-1} (1 - y_{t-1})) / tau, y_t = 1 where v_t >= 1, else 0, with
    1/tau = sigmoid(w). The reset passes no gradient on, as in the authors' runs. As there, it stands by default
    behind weights and their norm, after the stem and every stage; the activations inside a residual block stay
    those of the backbone, which is the same for all contenders. Unlike there, w is one value per channel, not per
    layer, and a trained gain per channel stands for weights at the frontier, where there are none; `intrinsic` has
    the same gain. Without it, whole counts of events and tau = 2 leave no memory: from any v < 1, a count of 1
    never spikes and a count of 2 always does.

    Args:
        channels: C, one time constant and one gain for each.
        tau: time constant before training [frames], above 1.
        gain: of every channel before training, positive; the counterpart of `clock.gain` of `intrinsic`.

    Raises:
        IPNetError: tau is not above 1, the gain is not positive, or one of them is not finite.

    References:
        Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking Neural
        Networks", ICCV 2021 (arXiv:2007.05785).

    Example:
        >>> y, v = LIF(1)(torch.full((4, 1, 1), 1.5))
        >>> y.flatten().tolist(), v.item()
        ([0.0, 1.0, 0.0, 1.0], 0.0)
    """

    default: ClassVar[str] = "maps"
    is_activation: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __init__(self, channels: int, *, tau: float = 2.0, gain: float = 1.0) -> None:
        super().__init__()
        if not 1 < tau < math.inf:
            raise IPNetError(f"tau must be above 1 and finite; got {tau} frames: use 2.")
        if not 0 < gain < math.inf:
            raise IPNetError(f"the gain must be positive and finite; got {gain}: use 1.")
        self.w = nn.Parameter(torch.full((channels,), -math.log(tau - 1)))
        self.log_gain = nn.Parameter(torch.full((channels,), math.log(gain)))

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map x [T, B, C, ...] to spikes y in {0, 1} of the same shape, state v after the reset [1, B, C, ...]."""
        rate = along_channels(self.w.sigmoid(), x)
        v = x.new_zeros(x.shape[1:]) if state is None else state.squeeze(0)
        emitted = []
        for drive in (along_channels(self.log_gain.exp(), x) * x).unbind(0):
            v = v + rate * (drive - v)
            spikes = arctan_spikes(v - 1)
            v = v * (1 - spikes.detach())
            emitted.append(spikes)
        return torch.stack(emitted), v[None]
