"""The fused time loop on a GPU: a device's law written for Triton, forwards and backwards, the state in registers.

The law is the one that `Device.drive` and `Device.cycle` state in torch, recorded by `ipnet.law`; Triton, which
comes with torch for GPUs on Linux, compiles it and keeps the machine code. A GPU waits for memory, not for
exponentials, so that the law stands as it is, without polynomials, and the state before each step is kept for the
way back instead of being computed anew.
"""

import linecache
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from textwrap import indent
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ipnet.cache import content_hash
from ipnet.device import Device
from ipnet.law import not_finite, on_cpu, per_element, per_junction, record, remembered
from ipnet.symbol import Symbol, ordered

BLOCK = 256  # elements of a program
_FORM = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "neg": "-{0}",
    "exp": "tl.exp({0})",
    "expm1": "expm1({0})",
    "log": "tl.log({0})",
    "log1p": "log1p({0})",
    "sqrt": "tl.sqrt({0})",
    "reciprocal": "1.0 / {0}",
    "cloglog": "-expm1(-{0})",
    "clamp_min": "tl.where({0} < {1}, {1}, {0})",  # in this form nan stays nan
    "clamp_max": "tl.where({0} > {1}, {1}, {0})",
    "minimum": "tl.where({0} > {1}, {1}, {0})",
    "maximum": "tl.where({0} < {1}, {1}, {0})",
    "if_ge": "tl.where({0} >= {1}, {2}, 0.0)",
    "if_le": "tl.where({0} <= {1}, {2}, 0.0)",
    "where": "tl.where({0} != 0.0, {1}, {2})",
    "draw": "tl.where(uniform(key, place, real) < {0}, 1.0, 0.0)",
}


class Compiled(NamedTuple):
    """A module with the functions `forward` and `backward`, and the constants of one device for one shape."""

    module: ModuleType
    scalars: Tensor
    fields: Tensor  # number after number, of each [devices, C, ...]


class _Writer:
    """Writes what a step computes, and gives constants their places."""

    def __init__(self) -> None:
        self.scalars: list[float] = []
        self.fields: list[Tensor] = []

    def lines(self, results: Mapping[str, Symbol]) -> str:
        """Assignments to the names of `results`, from variables that the given symbols name."""
        names: dict[Symbol, str] = {}
        text = ""
        for number, symbol in enumerate(ordered(results.values())):
            if symbol.op == "given":
                names[symbol] = symbol.value
            elif symbol.op == "constant":
                names[symbol] = self._constant(symbol.value)
            else:
                names[symbol] = f"v{number}"
                text += f"v{number} = {self._expression(symbol, [names[arg] for arg in symbol.args])}\n"
        values = ", ".join(names[symbol] + " + zero" * (symbol.op == "constant") for symbol in results.values())
        return text + (f"{', '.join(results)} = {values}" if results else "")  # numbers, too, become vectors

    def _constant(self, value: float | Tensor) -> str:
        known: list[Any] = self.fields if isinstance(value, Tensor) else self.scalars
        places = [
            i for i, other in enumerate(known) if other is value or (known is self.scalars and other == value)
        ]
        if not places:
            known.append(value)
        return f"{'f' if isinstance(value, Tensor) else 'k'}{places[0] if places else len(known) - 1}"

    @staticmethod
    def _expression(symbol: Symbol, args: Sequence[str]) -> str:
        if symbol.op == "logsumexp":
            largest = args[0]
            for arg in args[1:]:
                largest = f"tl.maximum({largest}, {arg})"
            return f"{largest} + tl.log({' + '.join(f'tl.exp({arg} - {largest})' for arg in args)})"
        return _FORM[symbol.op].format(*args)


def law_of(device: Device, shape: Sequence[int], like: Tensor, *, sample: bool) -> Compiled:
    """The compiled law of a device.

    Args:
        device: any device.
        shape: [devices, B, C, ...] of a step.
        like: its precision, single or double, and its place are taken.
        sample: whether the neuron sends a random spike in place of its probability.

    Raises:
        UnknownOperationError: the law uses an operation that `ipnet.symbol` does not know.
    """

    def compiled() -> Compiled:
        law, writer = record(on_cpu(device), shape, like.dtype, sample=sample), _Writer()
        state, d_state = ([f"{kind}{i}" for i in range(len(device.state_names))] for kind in ("state", "d_state"))
        step, back = writer.lines(law.step), writer.lines(law.back)
        parts = {
            "NUMBERS": _lines("{0} = tl.load(scalars + {1})", [f"k{i}" for i in range(len(writer.scalars))]),
            "FIELDS": _lines(
                "{0} = tl.load(fields + ({1} * devices + device) * width + at, inside, 0.0)",
                [f"f{i}" for i in range(len(writer.fields))],
            ),
            "START": _lines("{0} = tl.load(start + {1} * total + place, inside, 0.0)", state),
            "KEEP": _lines("tl.store(mark + {1} * total, {0}, inside)", state),
            "KEY": "key = tl.load(keys + t).to(tl.uint64, bitcast=True)" if sample else "",
            "STEP": step,
            "LAST": _lines("tl.store(last + {1} * total + place, {0}, inside)", state),
            "D_LAST": _lines("{0} = tl.load(d_last + {1} * total + place, inside, 0.0)", d_state),
            "MARKED": _lines("{0} = tl.load(mark + {1} * total, inside, 0.0)", state),
            "BACK": back,
            "D_START": _lines("tl.store(d_start + {1} * total + place, {0}, inside)", d_state),
        }
        text = re.sub(
            r"( +)@([A-Z_]+)\n", lambda found: indent(parts[found[2]] or "pass", found[1]) + "\n", _MODULE
        )
        return Compiled(
            _module(text.replace("POLES", str(len(state)))),
            torch.tensor(writer.scalars, dtype=like.dtype, device=like.device),
            per_junction(writer.fields, shape, like.dtype).to(like.device),
        )

    return remembered(device, (like.device, tuple(shape), like.dtype, sample), compiled)


def _lines(form: str, names: Sequence[str]) -> str:
    """A line for each name, {0}, with its number, {1}."""
    return "\n".join(form.format(name, number) for number, name in enumerate(names))


@cache
def _module(text: str) -> ModuleType:
    """The module of this text; Triton reads the text of a function where Python keeps the lines of files."""
    name = f"<ipnet neuron {content_hash(text)}>"
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    module = ModuleType(name)
    exec(compile(text, name, "exec"), vars(module))
    return module


@cache
def works() -> bool:
    """Whether Triton can build and start a program here: it needs a C compiler and a GPU that it knows."""
    try:
        y = torch.zeros(1, device="cuda")
        _module(_TRIAL).trial[(1,)](y)
        return bool(y == 1)
    except Exception:  # whatever is wrong, the plain loop does without it
        return False


def run_forward(
    device: Device, x: Tensor, gain: Tensor, state: Tensor, keys: Tensor, *, mark: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """As `ipnet.kernel.run_forward`, on the GPU where x is; the marks are the states before every step."""
    y, last = (
        x.new_empty(x.shape[0], *state.shape[1:]),
        torch.empty_like(state, memory_format=torch.contiguous_format),
    )
    marks = x.new_empty(marks_of(x) * mark, *state.shape)
    if not y.numel():
        return y, last.copy_(state), marks
    law, bad = law_of(device, state.shape[1:], x, sample=bool(keys.numel())), x.new_zeros(1, dtype=torch.int32)
    given = x.contiguous(), per_element(gain, x), law.scalars, law.fields, state.contiguous(), keys.to(x.device)
    with _on(x):
        law.module.forward[_programs(y)](*given, y, last, marks, bad, *_sizes(y), MARK=mark, BLOCK=BLOCK)
    if bool(bad):
        raise not_finite(x, "pre-activations") if bool(gain.isfinite().all()) else not_finite(gain, "gains")
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
    """As `ipnet.kernel.run_backward`, on the GPU where x is."""
    d_x, d_gain = x.new_empty(y.shape if to_x else (0,)), x.new_empty(y.shape[1:])
    d_state = torch.empty_like(d_last, memory_format=torch.contiguous_format)
    if not y.numel():
        return torch.zeros_like(x) if to_x else d_x, torch.zeros_like(gain), d_state.copy_(d_last)
    law = law_of(device, y.shape[1:], x, sample=sample)
    given = x.contiguous(), per_element(gain, x), law.scalars, law.fields, marks, y, d_y.contiguous()
    found = d_x, d_gain, d_state
    with _on(x):
        law.module.backward[_programs(y)](*given, d_last.contiguous(), *found, *_sizes(y), TO_X=to_x, BLOCK=BLOCK)
    if to_x:
        d_x = d_x.sum(1) if d_x.shape[1] > 1 else d_x.squeeze(1)
    return d_x, d_gain.flatten(3).sum((0, 1, 3)) if d_gain.dim() > 3 else d_gain.sum((0, 1)), d_state


def marks_of(x: Tensor) -> int:
    """How many states `run_forward` keeps for `run_backward`."""
    return x.shape[0]


def _sizes(y: Tensor) -> tuple[int, int, int, int]:
    """T, devices, B, and elements [C ...] of a clip."""
    return *y.shape[:3], math.prod(y.shape[3:])


def _programs(y: Tensor) -> tuple[int]:
    return (-(-y[0].numel() // BLOCK),)


def _on(x: Tensor) -> Any:
    """Where Triton starts its programs: the GPU of x, which need not be the current one."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


_TRIAL = """\
import triton
import triton.language as tl


@triton.jit
def trial(y):
    tl.store(y, 1.0)
"""

_MODULE = '''\
"""Written by ipnet.triton_kernel from the law of a device."""

import triton
import triton.language as tl


@triton.jit
def expm1(x):
    """exp(x) - 1 without cancellation: (u - 1) x / log(u) near 0, whatever the error of u = exp(x) (Kahan)."""
    u = tl.exp(x)
    near = (u > 0.5) & (u < 2.0) & (u != 1.0)
    inner = tl.where(near, u, 2.0)
    return tl.where(u == 1.0, x, tl.where(near, (inner - 1.0) * (x / tl.log(inner)), u - 1.0))


@triton.jit
def log1p(x):
    """log(1 + x) without cancellation."""
    u = 1.0 + x
    return tl.log(u) + (x - (u - 1.0)) / u


@triton.jit
def uniform(key, place, real: tl.constexpr):
    """As `ipnet.surrogate.uniform`."""
    a = key + (place.to(tl.uint64) + 1) * 0x9E3779B97F4A7C15
    a = (a ^ (a >> 30)) * 0xBF58476D1CE4E5B9
    a = (a ^ (a >> 27)) * 0x94D049BB133111EB
    a = a ^ (a >> 31)
    if real == tl.float64:
        return (a >> 11).to(real) * 1.1102230246251565e-16
    else:
        return (a >> 40).to(real) * 5.9604644775390625e-08


@triton.jit
def forward(
    xs, gains, scalars, fields, start, keys, ys, last, marks, bad, steps, devices, clips, width,
    MARK: tl.constexpr, BLOCK: tl.constexpr,
):
    """Each lane has one element of [devices, B, C, ...] over all steps."""
    real: tl.constexpr = xs.dtype.element_ty
    total = tl.cast(devices, tl.int64) * clips * width
    a_step = total // devices
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < total
    row, at = place // width, place % width
    device, clip = row // clips, row % clips
    zero = tl.full([BLOCK], 0.0, real)
    gain = tl.load(gains + at, inside, 0.0)
    @NUMBERS
    @FIELDS
    @START
    wrong = gain - gain != 0.0
    x_t, y_t, mark = xs + clip * width + at, ys + place, marks + place
    for t in range(steps):
        x = tl.load(x_t, inside, 0.0)
        wrong |= x - x != 0.0
        if MARK:
            @KEEP
        @KEY
        @STEP
        tl.store(y_t, y, inside)
        x_t += a_step
        y_t += total
        mark += POLES * total
    @LAST
    tl.atomic_or(bad + place * 0, wrong.to(tl.int32), wrong)


@triton.jit
def backward(
    xs, gains, scalars, fields, marks, ys, d_ys, d_last, d_xs, d_gains, d_start, steps, devices, clips, width,
    TO_X: tl.constexpr, BLOCK: tl.constexpr,
):
    """As `forward`, from the last step to the first."""
    real: tl.constexpr = xs.dtype.element_ty
    total = tl.cast(devices, tl.int64) * clips * width
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < total
    row, at = place // width, place % width
    device, clip = row // clips, row % clips
    zero = tl.full([BLOCK], 0.0, real)
    gain, d_gain = tl.load(gains + at, inside, 0.0), zero
    @NUMBERS
    @FIELDS
    @D_LAST
    for back in range(steps):
        t = tl.cast(steps - 1 - back, tl.int64)
        here = t * total + place
        x = tl.load(xs + (t * clips + clip) * width + at, inside, 0.0)
        y, d_y = tl.load(ys + here, inside, 0.0), tl.load(d_ys + here, inside, 0.0)
        mark = marks + t * POLES * total + place
        @MARKED
        @BACK
        if TO_X:
            tl.store(d_xs + here, d_x, inside)
    tl.store(d_gains + place, d_gain, inside)
    @D_START
'''
