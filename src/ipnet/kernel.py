"""The fused time loop: a device's law compiled for blocks of elements, forwards and backwards, on all cores.

The law is the one that `Device.drive` and `Device.cycle` state in torch: it is recorded (`ipnet.symbol`), written
as a loop (`ipnet.kernel_source`) and compiled by numba, which keeps the machine code in the cache folder. On the
way back the states are computed anew from the emissions, so that only x, y and the state at every `SEGMENT`-th
step are kept.
"""

import math
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipnet import vector_math
from ipnet.cache import cache_folder, content_hash, write_atomically
from ipnet.device import Device
from ipnet.errors import IPNetError
from ipnet.kernel_source import SEGMENT, STRIP, write_source
from ipnet.law import not_finite, per_element, per_junction, remembered

_WORTH_A_THREAD = 1 << 18  # element steps
_SLACK = 1e-5  # of a state at its limit, for rounding


class Compiled(NamedTuple):
    """A compiled law with the constants of one device for one shape."""

    module: ModuleType
    scalars: NDArray[Any]
    fields: NDArray[Any]  # number after number, of each [devices, C, ...]
    limits: tuple[float, ...] | None  # see `ipnet.kernel_source.Source`

    def work(self) -> NDArray[Any]:
        """Room for one call, the same for all calls of a thread: new pages would cost more than a small call."""
        name = self.module.real.__name__
        room: NDArray[Any] | None = getattr(_ROOM, name, None)
        if room is None or room.size < self.module.WORK:
            room = _aligned(self.module.WORK, self.module.real)
            setattr(_ROOM, name, room)
        return room


_ROOM = threading.local()


def law_from(device: Device, state: Tensor, *, sample: bool) -> Compiled:
    """The compiled law of a device from a state [parts, devices, B, C, ...] on, see `law_of`."""
    law = law_of(device, state.shape[1:], state.dtype, sample=sample)
    ends = [part.aminmax() for part in state] if law.limits else []
    if all(
        low >= 0 and high <= limit * (1 + _SLACK)
        for (low, high), limit in zip(ends, law.limits or (), strict=True)
    ):
        return law
    return law_of(device, state.shape[1:], state.dtype, sample=sample, interpolated=False)


def law_of(
    device: Device, shape: Sequence[int], dtype: torch.dtype, *, sample: bool, interpolated: bool = True
) -> Compiled:
    """The compiled law of a device.

    Args:
        device: any device.
        shape: [devices, B, C, ...] of a step.
        dtype: single or double precision.
        sample: see `ipnet.kernel_source.write_source`.
        interpolated: likewise.

    Raises:
        UnknownOperationError: the law uses an operation that cannot be compiled.
    """

    def compiled() -> Compiled:
        source = write_source(device, shape, dtype, sample=sample, interpolated=interpolated)
        fields = _flat(per_junction(source.fields, shape, dtype))
        return Compiled(_module(source.text), np.array(source.scalars, _real(dtype)), fields, source.limits)

    return remembered(device, ("cpu", tuple(shape), dtype, sample, interpolated), compiled)


@cache
def _module(text: str) -> ModuleType:
    """The module of this text, imported from the cache folder so that numba keeps its machine code beside it."""
    name = f"ipnet_neuron_{content_hash(text, Path(vector_math.__file__).read_text('utf-8'))}"
    path = cache_folder() / "kernels" / f"{name}.py"
    module = ModuleType(name)
    try:
        if not path.exists():
            write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))
        module.__file__ = str(path)
    except (IPNetError, OSError):  # nowhere to write: compiled anew in every process
        path = Path("<neuron>")
    sys.modules[name] = module  # where numba looks for it when it loads machine code
    exec(compile(text, path, "exec"), vars(module))
    return module


def _share(work: Callable[[int, int], Any], items: int, element_steps: int) -> list[Any]:
    """Let threads do the items 0 to `items`, each a part of them; torch's number of threads counts."""
    threads = min(torch.get_num_threads(), items, 1 + element_steps // _WORTH_A_THREAD)
    if threads < 2:
        return [work(0, items)]
    ends = [items * i // threads for i in range(threads + 1)]
    others = [_pool(os.getpid(), threads).submit(work, *part) for part in pairwise(ends[1:])]
    return [work(*ends[:2]), *(other.result() for other in others)]


@cache
def _pool(_: int, threads: int) -> ThreadPoolExecutor:
    """Threads that stay: starting them takes milliseconds. A forked process does not inherit them."""
    return ThreadPoolExecutor(threads - 1, "ipnet-neuron")


def _real(dtype: torch.dtype) -> type[np.floating[Any]]:
    """The same precision in numpy."""
    return np.float64 if dtype == torch.float64 else np.float32


def _empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """A new tensor in memory of numpy, which asks for large pages: fewer to be fetched from the system.

    It begins with a cache line, as tensors of torch do.
    """
    return torch.from_numpy(_aligned(math.prod(shape), _real(like.dtype))).view(*shape)


def _aligned(size: int, real: type[np.floating[Any]]) -> NDArray[Any]:
    """An array that begins with a cache line: vectors from elsewhere touch two lines each."""
    array = np.empty(size + vector_math.LINE, real)
    skipped = -array.ctypes.data % vector_math.LINE // array.itemsize
    return array[skipped : skipped + size]


def _flat(x: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = x.detach().contiguous().view(-1).numpy()
    return array


def run_forward(
    device: Device, x: Tensor, gain: Tensor, state: Tensor, keys: Tensor, *, mark: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The emissions over time, the state at the end, and states in between.

    Args:
        device: the device.
        x: pre-activations [T, B, C, ...] on the CPU, single or double precision.
        gain: of each channel [C] [V].
        state: at the start [parts, devices, B, C, ...].
        keys: one 64-bit random number per step [T], or none [0] for the expectation.
        mark: whether `run_backward` will follow.

    Returns:
        Emissions [T, devices, B, C, ...], the state [parts, devices, B, C, ...]; with `mark` also the states
        before steps 0, SEGMENT, 2 SEGMENT, ... [ceil(T / SEGMENT), parts, devices, B, C, ...], otherwise none.

    Raises:
        IPNetError: a pre-activation or a gain is not finite.
    """
    if not bool(gain.isfinite().all()):
        raise not_finite(gain, "gains")
    y, last = _empty((x.shape[0], *state.shape[1:]), x), _empty(state.shape, x)
    marks = _empty((marks_of(x) * mark, *state.shape), x)
    if not y.numel():
        return y, last.copy_(state), marks
    law = law_from(device, state, sample=bool(keys.numel()))
    keys_ = keys.numpy().view(np.uint64) if keys.numel() else np.zeros(x.shape[0], np.uint64)
    given = (_flat(x), per_element(gain, x).numpy(), law.scalars, law.fields, _flat(state), keys_)
    found = (_flat(y), _flat(last), _flat(marks))

    def work(low: int, high: int) -> int:
        bad: int = law.module.forward(*given, *found, law.work(), x.shape[1], low, high)
        return bad

    if sum(_share(work, _items(state), y.numel())):
        raise not_finite(x, "pre-activations")
    return y, last, marks


def run_backward(
    device: Device,
    x: Tensor,
    gain: Tensor,
    marks: Tensor,
    y: Tensor,
    d_y: Tensor,
    d_last: Tensor,
    *,
    sample: bool,
    to_x: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x, gain and the first state, from those of what `run_forward` returned.

    Args:
        device: the device.
        x: as given to `run_forward`.
        gain: likewise.
        marks: states that it returned.
        y: emissions that it returned.
        d_y: their gradient.
        d_last: gradient of the last state.
        sample: whether emissions were drawn; their gradient is that of the probability.
        to_x: whether the gradient of x is wanted; if not, it is empty.
    """
    d_x, d_state = _empty(y.shape if to_x else (0,), x), _empty(d_last.shape, x)
    if not y.numel():
        return torch.zeros_like(x) if to_x else d_x, torch.zeros_like(gain), d_state.copy_(d_last)
    law = law_from(device, marks[0], sample=sample)
    given = (_flat(x), per_element(gain, x).numpy(), law.scalars, law.fields, _flat(marks), _flat(y), _flat(d_y))
    d_last_, d_x_, d_state_ = _flat(d_last), _flat(d_x), _flat(d_state)

    def work(low: int, high: int) -> NDArray[Any]:
        d_gain = np.zeros(gain.numel())
        law.module.backward(*given, d_last_, d_x_, d_gain, d_state_, law.work(), *x.shape[:2], low, high)
        return d_gain

    d_gain = torch.from_numpy(np.sum(_share(work, _items(d_last), y.numel()), 0)).to(gain.dtype)
    if to_x:
        d_x = d_x.sum(1) if d_x.shape[1] > 1 else d_x.squeeze(1)
    return d_x, d_gain, d_state


def _items(state: Tensor) -> int:
    """Rows [devices x B] times the strips of each."""
    return state.shape[1] * state.shape[2] * -(-math.prod(state.shape[3:]) // STRIP)


def marks_of(x: Tensor) -> int:
    """How many states in between `run_forward` keeps for `run_backward`."""
    return -(-x.shape[0] // SEGMENT)
