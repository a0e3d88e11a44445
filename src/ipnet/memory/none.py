"""No memory: the order-blind control. Frames are averaged by the readout and nothing else."""

from typing import ClassVar

from torch import Tensor

from ipnet.memory import Memory


class NoMemory(Memory):
    """y = x. A network with it sees a clip as a set of frames, so forward and reversed clips look the same.

    Args:
        channels: C, unused: the identity fits every width.
    """

    default: ClassVar[str] = ""

    def __init__(self, channels: int) -> None:  # noqa: ARG002
        super().__init__()

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        """The identity."""
        return x, state
