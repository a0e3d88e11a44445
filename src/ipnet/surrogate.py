"""Emission: from a switching probability to what a neuron sends on, with gradients that survive.

The complementary log-log function is the exact response of a thermally activated switch; the straight-through
estimator passes the gradient of the expectation through a random draw (Bengio et al., arXiv:1308.3432).
"""

from typing import Any

import torch
from torch import Tensor


class _CLogLog(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, eta: Tensor) -> Tensor:
        ctx.save_for_backward(eta)
        return -torch.expm1(-torch.exp(eta))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (eta,) = ctx.saved_tensors
        # Written as one exponential: the chain rule of forward is 0 * inf once exp(eta) overflows.
        return gradients[0] * torch.exp(eta - torch.exp(eta))


def cloglog(eta: Tensor) -> Tensor:
    """Complementary log-log: P = 1 - exp(-exp(eta)), dP/deta = exp(eta - exp(eta)).

    Exact for small P (no cancellation), 1 without overflow for large eta, with a gradient that is finite
    everywhere and never zero where P is small.

    Args:
        eta: any shape, floating point.

    Returns:
        P in [0, 1], same shape.

    Example:
        >>> cloglog(torch.tensor([-1000.0, -20.0, 1000.0])).tolist()[::2]
        [0.0, 1.0]
    """
    result: Tensor = _CLogLog.apply(eta)  # type: ignore[no-untyped-call]
    return result


def sample_spikes(p: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw spikes in {0, 1} with probability `p`; the gradient is that of the expectation (straight-through).

    Args:
        p: switching probabilities in [0, 1], any shape.
        generator: source of randomness, on any device; None draws from torch's global one.

    Returns:
        Spikes of the shape and type of `p`.

    References:
        Bengio, Leonard & Courville, arXiv:1308.3432.

    Example:
        >>> sample_spikes(torch.tensor([0.0, 1.0])).tolist()
        [0.0, 1.0]
    """
    source = generator.device if generator else p.device  # the same draws wherever the network runs
    draw = torch.rand(p.shape, generator=generator, dtype=p.dtype, device=source).to(p.device)
    spikes = (draw < p).to(p.dtype)
    return spikes + (p - p.detach())
