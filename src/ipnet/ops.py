"""Counting what a network does, keeps and takes by watching it do it."""

import statistics
import warnings

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ipnet.network import Network
from ipnet.streaming import evaluating, state_bytes


def count_macs(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of one clip, counted by torch's dispatcher on a real forward pass.

    Convolutions and matrix products count; element-wise work (norms, activations, device physics) does not.

    Args:
        network: called with one clip.
        shape: [T, C, H, W] of the clip.

    Returns:
        Half of the floating-point operations that torch counts.

    Example:
        >>> count_macs(nn.Linear(3, 2), (5, 3))
        30
    """
    with warnings.catch_warnings(), evaluating(network), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's note about a GPU setting that the flags below do not change
        # oneDNN's fused LSTM is opaque to the counter; its plain form does the same products.
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            network(torch.zeros(shape[0], 1, *shape[1:]))
    return int(counter.get_total_flops()) // 2


def count_state_bytes(network: Network, shape: tuple[int, ...]) -> int:
    """Bytes that the memories carry from one frame of a clip to the next, all positions together.

    A memory that looks at later frames carries none: it needs the whole clip instead.

    Args:
        network: its memories say what they carry.
        shape: [T, C, H, W] of a clip.

    Example:
        >>> from ipnet.budget import Backbone
        >>> count_state_bytes(Network((2, 8, 8), 3, Backbone(width=4), "lstm"), (5, 2, 8, 8))
        64
    """
    with evaluating(network), torch.no_grad():
        _, state = network(torch.zeros(network.temporal_stride, 1, *shape[1:]))
    return state_bytes(state)


def frame_latency(network: Network, clip: Tensor) -> float | None:
    """Median wall time from having a frame to having its output, frame by frame [s]; None if not causal.

    Args:
        network: run by `Network.stream`.
        clip: [T, B, C, H, W]; B = 1 is what a camera sends.
    """
    if not network.causal:
        return None
    chunks = torch.split(clip, network.temporal_stride)
    return statistics.median(result.seconds_per_frame for result in network.stream(chunks))
