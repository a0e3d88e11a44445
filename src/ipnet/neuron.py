"""The neuron: a device driven over time. The time loop in plain torch; `ipnet.fused` fuses the same law."""

import math
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ipnet.device import Device, State
from ipnet.errors import IPNetError
from ipnet.fused import can_fuse, number_of, run_fused
from ipnet.law import not_finite
from ipnet.surrogate import sample_spikes

Emission = Literal["expectation", "sample"]
Backend = Literal["auto", "fused", "reference"]
_WORTH_FUSING = 1024  # junctions: fewer do not repay seconds of compiling


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
        backend: ``"reference"`` is the loop in plain torch, for any machine and law; ``"fused"`` compiles the law
            for the CPU or, with Triton, for a GPU at the first call, seconds once, and gives the same to rounding
            (`ipnet.fused`); ``"auto"`` takes it where it can and a step has at least 1024 junctions, to repay it.

    Raises:
        IPNetError: unknown emission or backend, fewer than one device, or a law that cannot be fused.

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
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        for what, value, known in (("emission", emission, Emission), ("backend", backend, Backend)):
            if value not in get_args(known):
                raise IPNetError(f"{what} must be one of {', '.join(get_args(known))}; got '{value}'.")
        if devices < 1 or (devices > 1 and emission == "expectation"):
            raise IPNetError(
                f"devices must be at least 1, and 1 with emission = 'expectation'; got {devices}: "
                "use emission = 'sample' for parallel devices."
            )
        self.device, self.emission, self.devices, self.backend = device, emission, devices, backend
        self.log_gain = nn.Parameter(torch.zeros(channels))
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over time.

        Args:
            x: pre-activations [T, B, C, ...], T >= 1, finite; half precision is computed in single.
            state: where an earlier run ended; None starts at rest.

        Returns:
            Emission [T, B, C, ...] in [0, 1], and the state after the last step: each of
            `device.state_names` as [devices, B, C, ...].

        Raises:
            IPNetError: x has too few axes, other channels or no step, or holds nan or infinity; a state
                of another shape; a law that cannot be fused.
        """
        channels = self.log_gain.numel()
        if x.dim() < 3 or not x.shape[0] or x.shape[2] != channels or not x.is_floating_point():
            raise IPNetError(
                f"a neuron of {channels} channels takes x [T, B, {channels}, ...] with T >= 1; got the shape "
                f"{list(x.shape)} of {x.dtype}: arrange it so, in floating point."
            )
        precise = torch.promote_types(x.dtype, torch.float32)  # exponents of half precision are too coarse
        u, shape = x.to(precise), (self.devices, *x.shape[1:])
        gain = self.device.gain.to(precise) * torch.exp(self.log_gain.to(precise))
        if state is None:
            state = self.device.rest(u.new_empty(()).expand(shape))
        names = self.device.state_names
        if [part.shape for part in state] != [torch.Size(shape)] * len(names):
            raise IPNetError(
                f"the state must hold {len(names)} tensors {list(shape)} (devices, then the shape of a step); got "
                f"{[list(part.shape) for part in state]}: go on with inputs of the same shape, or from None."
            )
        keys = torch.empty(0, dtype=torch.int64)
        if self.emission == "sample":
            keys = torch.randint(-(2**63), 2**63 - 1, (x.shape[0],), generator=self.generator)
        run = partial(run_fused, self._number()) if self._fused(u) else partial(run_reference, self.device)
        start = torch.stack(state).to(precise) if state else u.new_empty(0, *shape)
        y, last = run(u, gain, start, keys)
        y = y.mean(1) if self.devices > 1 else y.squeeze(1)
        return y.to(x.dtype), tuple(last.unbind(0))

    def _fused(self, x: Tensor) -> bool:
        if self.backend == "reference":
            return False
        if self.backend == "auto" and self.devices * math.prod(x.shape[1:]) < _WORTH_FUSING:
            return False
        able: bool = self._able(x.device.type)
        if self.backend == "fused" and not able:
            raise IPNetError(
                "backend = 'fused' needs tensors on the CPU, or on a GPU with Triton installed, and a law of "
                f"operations that ipnet.symbol knows; got "
                f"card '{self.device.card.name}' on '{x.device}': use backend = 'auto'."
            )
        return able

    # What torch.compile takes for granted, in methods: of functions it does not accept modules in every version.

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def _able(self, place: str) -> bool:
        return can_fuse(self.device, place)

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def _number(self) -> int:
        return number_of(self.device)


def _expectation(p: Tensor) -> Tensor:
    return p


def run_reference(device: Device, x: Tensor, gain: Tensor, state: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The time loop in plain torch, arguments and results as of `ipnet.kernel.run_forward`."""
    if not torch.compiler.is_compiling():
        for values, what in ((gain, "gains"), (x, "pre-activations")):
            if not bool(values.isfinite().all()):
                raise not_finite(values, what)
    u = x * gain.view(-1, *[1] * (x.dim() - 3))
    parts, emitted = state.unbind(0), []
    for t, u_t in enumerate(u.unbind(0)):
        V = device.drive(u_t).expand(state.shape[1:])
        emit = partial(sample_spikes, key=int(keys[t])) if len(keys) else _expectation
        spikes, parts = device.cycle(V, parts, emit)
        emitted.append(spikes)
    return torch.stack(emitted), torch.stack(parts) if parts else state
