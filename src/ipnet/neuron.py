"""The neuron: a device driven over time. This is the only time loop of the package."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ipnet.device import Device, State
from ipnet.errors import IPNetError
from ipnet.surrogate import sample_spikes

Emission = Literal["expectation", "sample"]


class Neuron(nn.Module):
    """One neuron per element, made of one device or of several in parallel.

    Per step t and channel c: V_t = device.drive(gain_c x_t), one `device.cycle`, and the emission is the
    switching probability (`expectation`), a random spike, or the mean of `devices` independent junctions with
    heat of their own (`sample`, gradient straight-through). The only trained value is ln(gain_c / gain_card):
    a gain stays positive and every device value untouched.

    Args:
        device: the device, see `ipnet.device.load_device`.
        channels: C, one gain for each.
        emission: ``"expectation"`` or ``"sample"``.
        devices: junctions in parallel per neuron, for ``"sample"``.
        seed: of the random draws; the global random state is never used.

    Raises:
        IPNetError: unknown emission, or fewer than one device.

    Example:
        >>> from ipnet.device import load_device
        >>> neuron = Neuron(load_device("mtj-thermal"), channels=2)
        >>> y, state = neuron(torch.ones(5, 1, 2, 4, 3))
        >>> y.shape, bool((y[1:] > y[:-1]).all())
        (torch.Size([5, 1, 2, 4, 3]), True)
    """

    def __init__(
        self,
        device: Device,
        channels: int,
        *,
        emission: Emission = "expectation",
        devices: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if emission not in get_args(Emission):
            raise IPNetError(f"emission must be one of {', '.join(get_args(Emission))}; got '{emission}'.")
        if devices < 1 or (devices > 1 and emission == "expectation"):
            raise IPNetError(
                f"devices must be at least 1, and 1 with emission = 'expectation'; got {devices}: "
                "use emission = 'sample' for parallel devices."
            )
        self.device, self.emission, self.devices = device, emission, devices
        self.log_gain = nn.Parameter(torch.zeros(channels))
        self.generator = torch.Generator().manual_seed(seed)

    def emit(self, p: Tensor) -> Tensor:
        """What is sent on for a switching probability `p`, see the class."""
        return p if self.emission == "expectation" else sample_spikes(p, self.generator)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over time.

        Args:
            x: pre-activations [T, B, C, ...], T >= 1; half precision is computed in single.
            state: where an earlier run ended; None starts at rest.

        Returns:
            Emission [T, B, C, ...] in [0, 1], and the state after the last step: each of
            `device.state_names` as [devices, B, C, ...].
        """
        precise = torch.promote_types(x.dtype, torch.float32)  # exponents of half precision are too coarse
        gain = self.device.gain.to(precise) * torch.exp(self.log_gain)
        u = x * gain.view(-1, *[1] * (x.dim() - 3))
        if state is None:
            state = self.device.rest(u[0].expand(self.devices, *u.shape[1:]))
        emitted = []
        for u_t in u.unbind(0):
            V = self.device.drive(u_t).expand(self.devices, *u_t.shape)
            spikes, state = self.device.cycle(V, state, self.emit)
            emitted.append(spikes.mean(0) if self.devices > 1 else spikes[0])
        return torch.stack(emitted).to(x.dtype), state
