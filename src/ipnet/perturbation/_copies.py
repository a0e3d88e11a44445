"""What perturbations of a network share: disturbed copies of it."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ipnet.network import Network


def with_weights(network: Network, rounded: Callable[[Tensor], Tensor], level: float) -> Network:
    """A copy with ``w' = w + level (rounded(w) - w)`` in every matrix and kernel.

    Vectors (biases, norms, gains) stay as they are: a chip keeps them in its wider accumulator. Values of devices
    are no weights and cannot change.
    """
    changed = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in changed.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.lerp(parameter, rounded(parameter), level))
    return changed


def with_outputs(network: Network, chosen: list[str], change: Callable[[str, Tensor], Tensor]) -> Network:
    """A copy in which the memories at the chosen positions answer change(position, y) for y [T, B, C, ...]."""
    changed = copy.deepcopy(network)
    for place in chosen:

        def hook(module: nn.Module, args: Any, answer: Any, place: str = place) -> Any:  # noqa: ARG001
            y, state = answer
            return change(place, y), state

        changed.memories[place].register_forward_hook(hook)
    return changed
