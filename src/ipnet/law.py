"""A device's law over time: what a step does, forwards and backwards, as symbols; what was made of it is kept."""

import copy
import math
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ipnet.device import Device
from ipnet.errors import IPNetError
from ipnet.interpolation import interpolate
from ipnet.symbol import Graph, Symbol, gradients

_REMEMBERED = 16  # shapes of a device whose compiled law is kept
_LOCK = Lock()  # of what is remembered; compilers have locks of their own
_Made = TypeVar("_Made")
_KNOWN: "weakref.WeakKeyDictionary[Device, OrderedDict[Hashable, tuple[Any, Any, Any]]]" = (
    weakref.WeakKeyDictionary()
)


class Law(NamedTuple):
    """Symbols of the values that a step gives new, by name; the names are also those of the values it is given.

    Args:
        step: ``y`` and ``state0``, ``state1``, ... from ``x``, ``gain`` and the state.
        advance: the state from ``x``, ``gain``, the state and the emission ``y``.
        back: ``d_x``, ``d_gain`` (a sum over steps) and ``d_state0``, ... from the former, ``d_y``, ``d_gain`` and
            ``d_state0``, ... of the state after the step.
        limits: the largest value of each part of the state for which the law holds; None for any value.
    """

    step: Mapping[str, Symbol]
    advance: Mapping[str, Symbol]
    back: Mapping[str, Symbol]
    limits: tuple[float, ...] | None


def record(
    device: Device,
    shape: Sequence[int],
    dtype: torch.dtype,
    *,
    sample: bool,
    costs: Mapping[str, int] | None = None,
) -> Law:
    """The law of a device, from its `drive` and `cycle`.

    Args:
        device: on the CPU.
        shape: [devices, B, C, ...] of a step.
        dtype: single or double precision.
        sample: whether the neuron sends a random spike in place of its probability.
        costs: of operations: polynomials stand for parts of the law that cost more, see `ipnet.interpolation`,
            within `Device.limits`; None for the law itself.

    Raises:
        UnknownOperationError: see `ipnet.symbol`.
    """
    graph, poles = Graph(shape, dtype), range(len(device.state_names))
    x, gain, y, d_y, d_gain = (graph.given(name) for name in ("x", "gain", "y", "d_y", "d_gain"))
    state = tuple(graph.given(f"state{i}") for i in poles)
    d_after = [graph.given(f"d_state{i}") for i in poles]
    V = device.drive(graph.apply("mul", x, gain))  # type: ignore[arg-type]
    found: list[Symbol] = []

    def cycle(emit) -> list[Symbol]:  # type: ignore[no-untyped-def]
        emitted, after = device.cycle(V, state, emit)  # type: ignore[arg-type]
        return [graph.constant(symbol) for symbol in (emitted, *after)]

    def given(p: Symbol) -> Symbol:
        found.append(graph.constant(p))
        return y

    sent, *after = cycle((lambda p: graph.node("draw", graph.constant(p))) if sample else (lambda p: p))
    _, *advanced = cycle(given)
    (p,) = found
    limits = None if costs is None else device.limits()
    if limits is not None and costs is not None:
        known = {f"state{i}": (0.0, limit) for i, limit in enumerate(limits)} | {"y": (0.0, 1.0)}
        *laws, sent, p = interpolate([*after, *advanced, sent, p], known, costs)
        after, advanced = laws[: len(after)], laws[len(after) :]
    (to_y,) = gradients(advanced, d_after, (y,))  # which the probability takes on, drawn or not
    d_p = graph.apply("add", d_y, to_y)
    d_x, d_g, *d_state = gradients([*advanced, p], [*d_after, d_p], (x, gain, *state))
    return Law(
        {"y": sent} | {f"state{i}": symbol for i, symbol in enumerate(after)},
        {f"state{i}": symbol for i, symbol in enumerate(advanced)},
        {"d_x": d_x, "d_gain": graph.apply("add", d_gain, d_g)}
        | {f"d_state{i}": symbol for i, symbol in enumerate(d_state)},
        limits,
    )


def on_cpu(device: Device) -> Device:
    """The device, or a copy of it on the CPU, where a law is recorded."""
    somewhere = next(device.buffers(), torch.empty(0)).device
    return device if somewhere.type == "cpu" else copy.deepcopy(device).cpu()


def per_junction(fields: Sequence[Tensor], shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The constants that differ from junction to junction, one after the other: [fields, devices, C, ...].

    Args:
        fields: tensors that broadcast against [devices, B, C, ...] and are the same for every B.
        shape: [devices, B, C, ...], B >= 1.
        dtype: of the result.
    """
    found = torch.empty(len(fields), shape[0], *shape[2:], dtype=dtype)
    for place, field in zip(found, fields, strict=True):
        place.copy_(field.broadcast_to(tuple(shape))[:, 0])
    return found


def per_element(gain: Tensor, x: Tensor) -> Tensor:
    """The gain [C] of each element [C ...] of a step of x [T, B, C, ...]."""
    return gain.detach().repeat_interleave(math.prod(x.shape[3:]))


def remembered(device: Device, key: Hashable, make: Callable[[], _Made]) -> _Made:
    """What was made of a device for this key, made again when a buffer or a plain attribute of it has changed.

    Torch counts the changes of a tensor, except for those made through ``.data`` or numpy.
    """
    buffers = [buffer for module in device.modules() for buffer in module._buffers.values() if buffer is not None]
    version = (
        *map(_stamp, buffers),
        *(item for item in vars(device).items() if isinstance(item[1], int | float | str | tuple)),
    )
    with _LOCK:
        known = _KNOWN.setdefault(device, OrderedDict())
        found = known.get(key)
    made: _Made = found[0] if found and found[1] == version else make()
    with _LOCK:
        known[key] = made, version, buffers  # kept, so that no other tensor takes the place of one that is gone
        known.move_to_end(key)
        while len(known) > _REMEMBERED:
            known.popitem(last=False)
    return made


def _stamp(buffer: Tensor) -> Any:
    """What differs once a buffer has been replaced or written to."""
    return buffer.cpu().numpy().tobytes() if buffer.is_inference() else (id(buffer), buffer._version)


def not_finite(values: Tensor, what: str) -> IPNetError:
    """The error for values that hold nan or infinity."""
    bad = values[~values.isfinite()]
    return IPNetError(
        f"{what} must be finite; {bad.numel()} of {values.numel()} are not, the first is {bad[0]:g}: look for a "
        "learning rate that is too high or a division by zero before the neuron."
    )
