"""What the gated memories share: a forget gate that starts open."""

import math

from torch import Tensor, nn

from ipnet.errors import IPNetError


def open_forget_gate(bias: Tensor, forget_bias: float) -> None:
    """Set the part of a bias that belongs to the forget gate, in place.

    Args:
        bias: that part [C].
        forget_bias: its start.

    Raises:
        IPNetError: a start that is not finite.

    References:
        Jozefowicz, Zaremba & Sutskever, "An Empirical Exploration of Recurrent Network Architectures", ICML 2015.
    """
    if not math.isfinite(forget_bias):
        raise IPNetError(f"forget_bias must be finite; got {forget_bias}: use 1.")
    nn.init.constant_(bias, forget_bias)
