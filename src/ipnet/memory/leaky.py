"""The ideal leaky trace with a trained time constant: the upper control of every fading physical memory."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ipnet.errors import IPNetError
from ipnet.memory import Memory
from ipnet.memory._channels import along_channels


class Leaky(Memory):
    """h_t = a h_{t-1} + (1 - a) x_t, y_t = h_t, with a = exp(-1/tau) trained for each channel as sigmoid(w).

    Linear, without noise or limits, and free to choose its horizon, which no device is. Its weights sum to 1: a
    constant input comes out as it went in. With several tau each channel has several traces, [T, B, K C, ...].

    Args:
        channels: C, one time constant for each and for each tau.
        tau: frames after which an input has faded to 1/e, before training; or a list of K of them.

    Raises:
        IPNetError: tau is not positive and finite, or an empty list.

    Example:
        >>> y, _ = Leaky(1, tau=1 / math.log(2))(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1))
        >>> [round(value, 3) for value in y.flatten().tolist()]
        [0.5, 0.25, 0.125]
    """

    default: ClassVar[str] = "frontier"

    def __init__(self, channels: int, *, tau: float | list[float] = 4.0) -> None:
        super().__init__()
        taus = _listed(tau)
        if not taus or not all(0 < one < math.inf for one in taus):
            raise IPNetError(f"tau must be positive and finite; got {tau} frames: use 4.")
        self.scales = len(taus)
        starts = torch.tensor([-math.log(math.expm1(1 / one)) for one in taus])
        self.w = nn.Parameter(starts.repeat_interleave(channels))

    @classmethod
    def widening(cls, *, tau: float | list[float] = 4.0, **_: Any) -> int:
        """Traces of each channel."""
        return len(_listed(tau))

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map x [T, B, C, ...] to y [T, B, K C, ...], state [1, B, K C, ...]."""
        x = torch.cat([x] * self.scales, 2)
        a = along_channels(self.w.sigmoid(), x)
        h = x.new_zeros(x.shape[1:]) if state is None else state.squeeze(0)
        trace = []
        for new in ((1 - a) * x).unbind(0):
            h = a * h + new
            trace.append(h)
        return torch.stack(trace), h[None]


def _listed(tau: float | list[float]) -> list[float]:
    return tau if isinstance(tau, list) else [tau]
