"""What a network does for one clip, what it carries from frame to frame, and how fast it is, by watching it."""

import statistics

import torch
from torch import Tensor, nn

from ipnet.counting import count_operations
from ipnet.network import Network
from ipnet.operations import total_of
from ipnet.streaming import evaluating, state_bytes


def count_macs(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of one clip: convolutions and matrix products.

    Args:
        network: called with one clip.
        shape: [T, C, H, W] of the clip.

    Example:
        >>> count_macs(nn.Linear(3, 2), (5, 3))
        30
    """
    return int(total_of(count_operations(network, torch.zeros(shape[0], 1, *shape[1:]))).macs)


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
