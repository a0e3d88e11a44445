"""Emission: from a switching probability to what a neuron sends on, with gradients that survive.

The complementary log-log function is the exact response of a thermally activated switch; the straight-through
estimator passes the gradient of the expectation through a random draw (Bengio et al., arXiv:1308.3432). A sharp
threshold has no useful gradient; that of an arctangent stands in (Fang et al., arXiv:2007.05785).
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


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
    if has_torch_function_unary(eta):  # for example a symbol of `ipnet.symbol`
        recorded: Tensor = handle_torch_function(cloglog, (eta,), eta)
        return recorded
    result: Tensor = _CLogLog.apply(eta)  # type: ignore[no-untyped-call]
    return result


def sample_spikes(p: Tensor, key: int) -> Tensor:
    """Draw spikes in {0, 1} with probability `p`; the gradient is that of the expectation (straight-through).

    Element i spikes if `uniform(key, ...)[i]` is below p_i: the draws depend on the key and the place alone.

    Args:
        p: switching probabilities in [0, 1], any shape.
        key: 64-bit random number.

    Returns:
        Spikes of the shape and type of `p`.

    References:
        Bengio, Leonard & Courville, arXiv:1308.3432.

    Example:
        >>> sample_spikes(torch.tensor([0.0, 1.0]), key=7).tolist()
        [0.0, 1.0]
    """
    spikes = (uniform(key, p) < p).to(p.dtype)
    return spikes + (p - p.detach())


class _ArctanSpikes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, excess: Tensor) -> Tensor:
        ctx.save_for_backward(excess)
        return (excess >= 0).to(excess.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (excess,) = ctx.saved_tensors
        slope: Tensor = 1 / (1 + (math.pi * excess) ** 2)
        return gradients[0] * slope


def arctan_spikes(excess: Tensor) -> Tensor:
    """Spikes of a sharp threshold; the gradient is that of arctan(pi u) / pi + 1/2, 1 / (1 + (pi u)^2).

    Args:
        excess: u, by how much the threshold is exceeded, any shape, floating point.

    Returns:
        1 where u >= 0, else 0, of the shape and type of u.

    References:
        Fang et al., ICCV 2021 (arXiv:2007.05785).

    Example:
        >>> arctan_spikes(torch.tensor([-0.1, 0.0, 0.1])).tolist()
        [0.0, 1.0, 1.0]
    """
    result: Tensor = _ArctanSpikes.apply(excess)  # type: ignore[no-untyped-call]
    return result


def uniform(key: int, like: Tensor) -> Tensor:
    """Random numbers in [0, 1) that are a function of `key` and of the place in the tensor: a counter, scrambled.

    Element i is the upper 24 (double precision: 53) bits of mix(key + (i + 1) 0x9E3779B97F4A7C15) as a fraction,
    with the finaliser of SplitMix64 for mix; `ipnet.vector_math.uniform_32` computes the same in compiled loops.

    Args:
        key: 64-bit random number.
        like: its shape, type and place are taken.

    References:
        Steele, Lea & Flood, Fast splittable pseudorandom number generators, OOPSLA (2014).
    """
    a = torch.arange(1, like.numel() + 1, device=like.device) * _signed(0x9E3779B97F4A7C15) + _signed(key)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        a = (a ^ _shifted(a, shift)) * _signed(factor)
    bits = 53 if like.dtype == torch.float64 else 24
    drawn: Tensor = _shifted(a ^ _shifted(a, 31), 64 - bits)
    fractions: Tensor = drawn.to(like.dtype) * 2.0**-bits
    return fractions.view(like.shape)


def _signed(bits: int) -> int:
    """The 64-bit integer of these bits, since torch multiplies signed ones."""
    bits &= 2**64 - 1
    return bits - 2**64 if bits >> 63 else bits


def _shifted(a: Tensor, places: int) -> Tensor:
    """Shifted to the right with zeros coming in."""
    shifted: Tensor = (a >> places) & (2 ** (64 - places) - 1)
    return shifted
