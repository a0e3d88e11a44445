"""Reset: the memories lose what they hold in the middle of a clip."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ipnet.network import Network
from ipnet.perturbation import NetworkPerturbation


class _Reset(nn.Module):
    """A network that starts from nothing twice."""

    def __init__(self, network: Network, share: float) -> None:
        super().__init__()
        self.network, self.share = network, share

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Outputs [T, B, O] of x [T, B, C, H, W], and the state after the last frame."""
        stride = self.network.temporal_stride
        cut = stride * round(self.share * x.shape[0] / stride)
        if not 0 < cut < x.shape[0]:
            outputs, state = self.network(x)
            return outputs, state
        before, _ = self.network(x[:cut])
        after, state = self.network(x[cut:])
        return torch.cat([before, after]), state


class ResetState(NetworkPerturbation):
    """The state of every memory is lost after round(level T) looks of the backbone; the readout goes on over all.

    A memory that looks at later frames does not look across the reset either. Levels 0 and 1 lose nothing.
    """

    meaning: ClassVar[str] = "share of the clip after which the state is lost [1]"

    @classmethod
    def distance(cls, level: float) -> float:
        """The share of the clip in its shorter part: the level is a place in the clip, harmless at either end."""
        return min(level, 1 - level)

    def apply(self, network: Network, level: float, generator: torch.Generator) -> nn.Module:  # noqa: ARG002
        """Run the two parts by themselves."""
        return _Reset(network, level)
