"""The fused time loop as an operation of torch, with gradients.

`ipnet.kernel` does the work on the CPU, `ipnet.triton_kernel` on a GPU.
"""

import weakref
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ipnet import kernel, triton_kernel
from ipnet.device import Device
from ipnet.law import on_cpu, record
from ipnet.symbol import UnknownOperationError

_DEVICES: "weakref.WeakValueDictionary[int, Device]" = weakref.WeakValueDictionary()
_ABLE: "weakref.WeakKeyDictionary[Device, bool]" = weakref.WeakKeyDictionary()


def number_of(device: Device) -> int:
    """The number by which the operators below know a device."""
    _DEVICES[id(device)] = device
    return id(device)


def can_fuse(device: Device, place: str) -> bool:
    """Whether there is a kernel for this type of place, such as ``"cpu"``, and the law can be recorded.

    A law that is wrong in itself will say so in the plain loop.
    """
    if place != "cpu" and (place != "cuda" or not triton_kernel.works()):
        return False
    if device not in _ABLE:
        try:
            record(on_cpu(device), (1, 1, 1), torch.float32, sample=False)
            _ABLE[device] = True
        except (UnknownOperationError, AttributeError, TypeError, RecursionError):
            _ABLE[device] = False
    return _ABLE[device]


def _kernel(x: Tensor) -> ModuleType:
    return triton_kernel if x.is_cuda else kernel


# Custom operators, so that torch.compile takes the kernel for one operation instead of looking into it.


@torch.library.custom_op("ipnet::neuron", mutates_args=())
def _neuron(
    x: Tensor, gain: Tensor, state: Tensor, keys: Tensor, number: int, mark: bool
) -> tuple[Tensor, Tensor, Tensor]:
    found: tuple[Tensor, Tensor, Tensor] = _kernel(x).run_forward(
        _DEVICES[number], x, gain, state, keys, mark=mark
    )
    return found


@_neuron.register_fake
def _(x: Tensor, _: Tensor, state: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    marks = x.new_empty(_kernel(x).marks_of(x) * rest[-1], *state.shape)
    return x.new_empty(x.shape[0], *state.shape[1:]), x.new_empty(state.shape), marks


@torch.library.custom_op("ipnet::neuron_backward", mutates_args=())
def _neuron_backward(
    x: Tensor,
    gain: Tensor,
    marks: Tensor,
    y: Tensor,
    d_y: Tensor,
    d_last: Tensor,
    number: int,
    sample: bool,
    to_x: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    device, run = _DEVICES[number], _kernel(x).run_backward
    found: tuple[Tensor, Tensor, Tensor] = run(device, x, gain, marks, y, d_y, d_last, sample=sample, to_x=to_x)
    return found


@_neuron_backward.register_fake
def _(x: Tensor, gain: Tensor, marks: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape if rest[-1] else 0), torch.empty_like(gain), x.new_empty(marks.shape[1:])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, gain, _, keys, ctx.number, _ = inputs
    ctx.device, ctx.sample = _DEVICES[ctx.number], bool(keys.numel())  # kept alive until the gradients are taken
    ctx.set_materialize_grads(False)  # marks have none
    y, _, marks = output
    ctx.save_for_backward(x, gain, marks, y)


def _differentiate(ctx: Any, d_y: Tensor | None, d_last: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    to_x, to_gain, to_state = ctx.needs_input_grad[:3]
    saved = ctx.saved_tensors
    *_, marks, y = saved
    d_y = torch.zeros_like(y) if d_y is None else d_y
    d_last = torch.zeros_like(marks[0]) if d_last is None else d_last
    d_x, d_gain, d_state = _neuron_backward(*saved, d_y, d_last, ctx.number, ctx.sample, to_x)
    return d_x if to_x else None, d_gain if to_gain else None, d_state if to_state else None, None, None, None


_neuron.register_autograd(_differentiate, setup_context=_keep)


def run_fused(number: int, x: Tensor, gain: Tensor, state: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """As `ipnet.kernel.run_forward`, with gradients and without marks; `number` is that of the device."""
    mark = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, gain, state))
    y, last, *_ = _neuron(x, gain, state, keys, number, mark)
    return y, last
