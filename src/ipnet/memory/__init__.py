"""Memories: what carries information across frames, one per file. The backbone around them is the same for all.

Drop a file with one `Memory` here and it is found, listed, trained and tested.
"""

import abc
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from ipnet.registry import Registry

Place = Literal["sensor", "map", "vector"]


class Memory(nn.Module, abc.ABC):
    """A layer over time, called like `nn.LSTM`: ``y, state = memory(x, state)``.

    The constructor takes the number of channels C first and options by keyword. The contract, checked by
    `ipnet.contracts.check_memory`: y has the shape of x, or `widening` times its channels; elements of a batch do
    not see each other; a causal memory gives the same y in one call as in two joined by the state, and y_t depends
    on x_0..x_t alone.

    Attributes:
        causal: False if y_t also depends on later frames; such a memory cannot run on a stream. The class states
            its default; an instance whose options make it otherwise says so itself.
        places: where it may stand: on the ``sensor`` frames, on feature ``map``s, on the pooled ``vector``.
        default: the positions it takes when none is named: ``"frontier"``, ``"stem"``, ``"head"``;
            ``"maps"`` for the stem and every stage; ``"top"`` for the last stage; ``""`` for nowhere.
        is_activation: True if its output replaces the activation function that would follow.
        window: frames beside the present one that it must have at hand; 0 for one that carries a state instead.
        bounds: the two ends between which its outputs lie, started from nothing; None if nothing bounds them.
    """

    causal: bool = True
    window: int = 0
    places: ClassVar[tuple[Place, ...]] = ("sensor", "map", "vector")
    default: ClassVar[str] = "head"
    is_activation: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float] | None] = None

    @classmethod
    def widening(cls, **options: Any) -> int:  # noqa: ARG003
        """How many channels it gives for each that it gets, built with these options."""
        return 1

    @abc.abstractmethod
    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over time.

        Args:
            x: [T, B, C, ...] with T >= 1.
            state: where an earlier run ended; None starts from nothing.

        Returns:
            y [T, B, widening C, ...], and the state after the last frame: a tensor, a tuple of tensors, or None.
        """

    def report(self) -> dict[str, Any]:
        """Facts about the physics that belong beside a result; empty for a memory without physics."""
        return {}


MEMORIES: Registry[Memory] = Registry("memory", __name__, Memory)
