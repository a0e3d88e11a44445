"""A diagonal linear state-space layer, the block around the linear recurrent unit (Orvieto et al., 2023)."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ipnet.errors import IPNetError
from ipnet.memory import Memory, Place

_MARGIN = 1e-4  # of uniform draws from the ends of their range, where a logarithm would be infinite


class StateSpace(Memory):
    """One block of the paper: norm, linear recurrence, gated linear unit, skip connection; every value trained.

    u_t = norm(x_t), h_t = lambda h_{t-1} + gamma B u_t, z_t = gelu(Re(C h_t) + D u_t),
    y_t = x_t + (W_1 z_t + b_1) sigmoid(W_2 z_t + b_2), with C complex states.

    lambda = exp(-exp(nu) + i exp(theta)), |lambda| < 1 whatever nu is. It starts uniform on the part of the ring
    r_min <= |lambda| <= r_max with phases up to max_phase, and gamma = exp(log_gamma) at sqrt(1 - |lambda|^2),
    which keeps the states of the size of u. B and C are complex matrices, D is diagonal. By default it is the
    whole disk, where the paper starts; it narrows ring and phase only for sequences of thousands of steps.

    The norm is over the channels of each frame. The paper takes batch norm, whose statistics would join the
    frames of a clip in training. Its networks stack six blocks with dropout and train the recurrence at a lower
    learning rate; here there is one block, without dropout, at the learning rate of all contenders.

    Args:
        channels: C, the width of input and state.
        r_min: inner radius of the ring, 0 <= r_min < r_max.
        r_max: outer radius, at most 1.
        max_phase: largest phase of lambda before training [rad], above 0, at most 2 pi.

    Raises:
        IPNetError: the radii are not in order, or a radius or the phase is out of range.

    References:
        Orvieto et al., "Resurrecting Recurrent Neural Networks for Long Sequences", ICML 2023
        (arXiv:2303.06349), Fig. 1, Lemma 3.2 and Appendix A.
    """

    places: ClassVar[tuple[Place, ...]] = ("vector",)

    def __init__(
        self, channels: int, *, r_min: float = 0.0, r_max: float = 1.0, max_phase: float = 2 * math.pi
    ) -> None:
        super().__init__()
        if not 0 <= r_min < r_max <= 1:
            raise IPNetError(f"the ring needs 0 <= r_min < r_max <= 1; got {r_min} and {r_max}: use 0 and 1.")
        if not 0 < max_phase <= 2 * math.pi:
            raise IPNetError(f"max_phase must be above 0 and at most 2 pi; got {max_phase} rad: leave it out.")
        share, turn = torch.empty(2, channels).uniform_(_MARGIN, 1 - _MARGIN)
        square = r_min**2 + share * (r_max**2 - r_min**2)  # |lambda|^2, uniform for a uniform density on the ring
        self.nu = nn.Parameter(torch.log(-0.5 * torch.log(square)))
        self.theta = nn.Parameter(torch.log(max_phase * turn))
        self.log_gamma = nn.Parameter(0.5 * torch.log1p(-square))
        # Real and imaginary parts are stacked; the minus sign of Re(C h) is part of what C learns.
        self.B = nn.Parameter(torch.randn(2 * channels, channels) / math.sqrt(2 * channels))
        self.C = nn.Parameter(torch.randn(channels, 2 * channels) / math.sqrt(channels))
        self.D = nn.Parameter(torch.randn(channels))
        self.norm = nn.LayerNorm(channels)
        self.W = nn.Linear(channels, 2 * channels)  # W_1 above W_2

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map x [T, B, C] to y [T, B, C], state (Re h, Im h) each [1, B, C]."""
        radius = torch.exp(-torch.exp(self.nu))
        cosine, sine = radius * self.theta.exp().cos(), radius * self.theta.exp().sin()
        start = x.new_zeros(1, *x.shape[1:])
        real, imaginary = (part.squeeze(0) for part in (state or (start, start)))
        u, gamma, states = self.norm(x), self.log_gamma.exp(), []
        for driven in F.linear(u, self.B).unbind(0):
            from_real, from_imaginary = driven.chunk(2, -1)
            real, imaginary = (
                cosine * real - sine * imaginary + gamma * from_real,
                sine * real + cosine * imaginary + gamma * from_imaginary,
            )
            states.append(torch.cat([real, imaginary], -1))
        z = F.gelu(F.linear(torch.stack(states), self.C) + self.D * u)
        return x + F.glu(self.W(z)), (real[None], imaginary[None])
