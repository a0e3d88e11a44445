"""Counting what a network does by watching it do it."""

import warnings

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(module: nn.Module) -> int:
    """The number of trained values.

    Example:
        >>> count_parameters(nn.Linear(3, 2))
        8
    """
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


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
    training = network.training
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's note about a GPU setting that the flags below do not change
        # oneDNN's fused LSTM is opaque to the counter; its plain form does the same products.
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            network.eval()(torch.zeros(shape[0], 1, *shape[1:]))
    network.train(training)
    return int(counter.get_total_flops()) // 2
