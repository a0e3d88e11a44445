"""The text of a fused time loop, forwards and backwards, written from the graph of a device's cycle.

The loops run over blocks of `BLOCK` elements. All that a step needs of a block lies in one flat array `w`, row r
of element j at w[r BLOCK + j], so that the compiler sees that rows do not overlap and makes vectors of the loop. A
long law is cut into several loops, between which intermediate values lie in rows of their own.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import accumulate
from textwrap import indent
from typing import NamedTuple

import torch
from torch import Tensor

from ipnet.device import Device
from ipnet.law import record
from ipnet.symbol import Symbol, ordered

BLOCK = 128  # two dozen rows of it stay in the first cache
STRIP = 1024  # elements that advance together: a page of memory in every step
SEGMENT = 16  # steps whose states are computed anew on the way back: with a strip's inputs they stay in the cache
LENGTH = 45  # of a loop, in instructions: few enough that several of its turns are under way at once
_COST = {
    "exp": 14,
    "expm1": 14,
    "log": 20,
    "log1p": 24,
    "cloglog": 15,
    "polynomial": 1,
    "logsumexp": 16,
    "draw": 20,
    "reciprocal": 8,
    "sqrt": 8,
}
_EACH = ("logsumexp", "polynomial")  # cost as much for each argument
_PLAIN = {
    0.0: "zero",
    0.5: "half",
    1.0: "one",
    2.0: "two",
}  # other numbers are arguments, so that cards share a kernel
_INFIX = {"add": "+", "sub": "-", "mul": "*"}
_FORM = {
    "neg": "-{0}",
    "exp": "exp({0})",
    "expm1": "expm1({0})",
    "log": "log({0})",
    "log1p": "log1p({0})",
    "sqrt": "math.sqrt({0})",
    "reciprocal": "one / {0}",
    "cloglog": "-expm1(-{0})",
    "clamp_min": "{1} if {0} < {1} else {0}",  # in this form nan stays nan
    "clamp_max": "{1} if {0} > {1} else {0}",
    "minimum": "{1} if {0} > {1} else {0}",
    "maximum": "{1} if {0} < {1} else {0}",
    "if_ge": "{2} if {0} >= {1} else zero",
    "if_le": "{2} if {0} <= {1} else zero",
    "where": "{1} if {0} != zero else {2}",
    "draw": "one if uniform(key, first + j) < {0} else zero",
}


class Source(NamedTuple):
    """A module with the functions `forward` and `backward`, and the constants that they take.

    Args:
        text: Python.
        scalars: values that all elements share.
        fields: values of each element, broadcasting against [devices, B, C, ...].
        limits: the largest value of each part of the state for which the functions hold; None for any value.
    """

    text: str
    scalars: list[float]
    fields: list[Tensor]
    limits: tuple[float, ...] | None


class _Writer:
    """Writes loops over a block, and gives constants and intermediate values their places."""

    def __init__(self, rows: Iterable[str]) -> None:
        self.rows = {name: number for number, name in enumerate(rows)}
        self.scalars: list[float] = []
        self.fields: list[Tensor] = []
        self.spare = 0  # rows for intermediate values
        self.variables = 0

    def loops(self, results: Mapping[str, Symbol]) -> str:
        """Loops that compute `results`, by row, from the rows that the given symbols name."""
        if not results:
            return ""
        parts = _parted([symbol for symbol in ordered(results.values()) if not _is_number(symbol)])
        last_use = {arg: i for i, part in enumerate(parts) for symbol in part for arg in symbol.args}
        last_use |= dict.fromkeys(results.values(), len(parts) - 1)
        kept: dict[Symbol, int] = {}
        text = ""
        for i, part in enumerate(parts):
            needed = dict.fromkeys(arg for symbol in part for arg in symbol.args)  # in order: the text is a name
            if i == len(parts) - 1:
                needed |= dict.fromkeys(results.values())
            names = {symbol: self._number(symbol.value) for symbol in needed if _is_number(symbol)}
            lines = []
            for symbol in [*(symbol for symbol in kept if symbol in needed), *part]:
                names[symbol] = f"v{self.variables}"  # never used again: numba would have to tell the uses apart
                self.variables += 1
                value = self._kept(kept[symbol]) if symbol in kept else self._expression(symbol, names)
                lines.append(f"{names[symbol]} = {value}")
            kept = {symbol: row for symbol, row in kept.items() if last_use[symbol] > i}
            for symbol in part:
                if last_use[symbol] > i:
                    kept[symbol] = next(row for row in range(len(kept) + 1) if row not in kept.values())
                    lines.append(f"{self._kept(kept[symbol])} = {names[symbol]}")
            if i == len(parts) - 1:
                lines += [f"{self._at(self.rows[row])} = {names[symbol]}" for row, symbol in results.items()]
            text += "for j in range(whole):\n" + "".join(f"    {line}\n" for line in lines)
        return text

    def _expression(self, symbol: Symbol, names: Mapping[Symbol, str]) -> str:
        args = [names[arg] for arg in symbol.args]
        if symbol.op == "given":
            return self._at(self.rows[symbol.value])
        if symbol.op == "constant":
            return f"w[FIELD + {self._field(symbol.value) * BLOCK} + j]"
        if symbol.op in _INFIX:
            return f"{args[0]} {_INFIX[symbol.op]} {args[1]}"
        if symbol.op == "polynomial":
            return reduce(lambda inner, c: f"({inner}) * {args[0]} + {c}", reversed(args[1:]))
        if symbol.op == "logsumexp":
            largest = _largest(args)
            return f"{largest} + log({' + '.join(f'exp({arg} - {largest})' for arg in args)})"
        return _FORM[symbol.op].format(*args)

    @staticmethod
    def _at(row: int) -> str:
        return f"w[{row * BLOCK} + j]"

    def _kept(self, row: int) -> str:
        self.spare = max(self.spare, row + 1)
        return self._at(len(self.rows) + row)

    def _number(self, value: float) -> str:
        if value in _PLAIN:
            return _PLAIN[value]
        if value not in self.scalars:
            self.scalars.append(value)
        return f"k{self.scalars.index(value)}"

    def _field(self, value: Tensor) -> int:
        known = [i for i, field in enumerate(self.fields) if field is value]
        if not known:
            self.fields.append(value)
        return known[0] if known else len(self.fields) - 1


def _is_number(symbol: Symbol) -> bool:
    return symbol.op == "constant" and isinstance(symbol.value, float)


def _parted(symbols: Sequence[Symbol]) -> list[list[Symbol]]:
    """Symbols in parts of limited length: a processor overlaps the elements of a short loop, not of a long one."""
    costs = [_COST.get(symbol.op, 1) * (len(symbol.args) if symbol.op in _EACH else 1) for symbol in symbols]
    share = sum(costs) / math.ceil(sum(costs) / LENGTH) if symbols else 1
    parts: dict[int, list[Symbol]] = {}
    for symbol, cost, end in zip(symbols, costs, accumulate(costs), strict=True):
        parts.setdefault(int((end - cost / 2) / share), []).append(symbol)
    return list(parts.values())


def _largest(args: Sequence[str]) -> str:
    return args[0] if len(args) == 1 else f"max({args[0]}, {_largest(args[1:])})"


def write_source(
    device: Device, shape: Sequence[int], dtype: torch.dtype, *, sample: bool, interpolated: bool = True
) -> Source:
    """The fused time loop of a device.

    Args:
        device: its `drive` and `cycle` are recorded.
        shape: [devices, B, C, ...] of a step.
        dtype: single or double precision.
        sample: whether the neuron sends a random spike in place of its probability.
        interpolated: whether polynomials may stand for parts of the law, see `ipnet.interpolation`, within
            `Device.limits`.

    Raises:
        UnknownOperationError: see `ipnet.symbol`.
    """
    law = record(device, shape, dtype, sample=sample, costs=_COST if interpolated else None)
    poles = range(len(device.state_names))
    named = [f"{kind}{i}" for kind in ("state", "d_state") for i in poles]
    writer = _Writer(["x", "gain", "y", "d_y", "d_x", "d_gain", *named])
    loops = {"STEP": law.step, "ADVANCE": law.advance, "BACK": law.back}
    text = _MODULE.replace("@bits", "64" if dtype == torch.float64 else "32")
    for name, results in loops.items():
        loop = writer.loops(results)
        place = f"@{name}\n"
        margin = text.partition(place)[0].rpartition("\n")[2]
        text = text.replace(margin + place, indent(loop, margin))
    numbers = "".join(f"    k{i} = scalars[{i}]\n" for i in range(len(writer.scalars)))
    text = text.replace("    @numbers\n", numbers)
    for name, value in {
        "BLOCK": BLOCK,
        "STRIP": STRIP,
        "SEGMENT": SEGMENT,
        "POLES": len(poles),
        "FIELDS": len(writer.fields),
        "SPARE": writer.spare,
    }.items():
        text = text.replace(f"@{name}", str(value))
    return Source(text, writer.scalars, writer.fields, law.limits)


_MODULE = '''\
"""Written by ipnet.kernel_source from the law of a device."""

import math

import numpy as np

from ipnet.vector_math import (
    compiled,
    copy,
    copy_back,
    exp_@bits as exp,
    expm1_@bits as expm1,
    fetch,
    log_@bits as log,
    log1p_@bits as log1p,
    uniform_@bits as uniform,
)

real = np.float@bits
BLOCK, STRIP, SEGMENT, POLES, FIELDS = @BLOCK, @STRIP, @SEGMENT, @POLES, @FIELDS
X, GAIN, Y, D_Y, D_X, D_GAIN, STATE = range(0, 7 * BLOCK, BLOCK)
D_STATE = STATE + POLES * BLOCK
BAD = D_GAIN  # a row that the way forwards does not need
FIELD = D_STATE + (POLES + @SPARE) * BLOCK
SIZE = FIELD + FIELDS * BLOCK
WORK = SIZE + (1 + (2 + SEGMENT) * POLES) * STRIP  # values that a call works in


@compiled(forceinline=True)
def load(gain, fields, strip, w, device, start, n, at):
    """What is the same in every step, and what the steps hand on: the rows of a block."""
    width = gain.size
    copy(gain, start, w[GAIN :][:n])
    for i in range(FIELDS):
        copy(fields, (i * (fields.size // (FIELDS * width)) + device) * width + start, w[FIELD + i * BLOCK :][:n])
    for i in range(POLES):
        copy(strip, i * STRIP + at, w[STATE + i * BLOCK :][:n])

@compiled()
def forward(x, gain, scalars, fields, state, keys, y, last, marks, work, clips, low, high):
    """Items low to high: rows [devices x B] in strips; returns how many lanes met an x that is not finite."""
    zero, half, one, two = real(0.0), real(0.5), real(1.0), real(2.0)
    @numbers
    steps, width = keys.size, gain.size
    rows, strips = y.size // (steps * width), (width + STRIP - 1) // STRIP
    w, strip = work[:SIZE], work[SIZE : SIZE + POLES * STRIP]
    w[:] = zero
    for item in range(low, high):
        row, begin = item // strips, item % strips * STRIP
        end = min(begin + STRIP, width)
        for i in range(POLES):
            copy(state, (i * rows + row) * width + begin, strip[i * STRIP :][: end - begin])
        for t in range(steps):
            key = keys[t]
            if marks.size and t % SEGMENT == 0:
                for i in range(POLES):
                    place = ((t // SEGMENT * POLES + i) * rows + row) * width + begin
                    copy_back(strip[i * STRIP :][: end - begin], marks, place)
            for start in range(begin, end, BLOCK):
                n, at = min(BLOCK, end - start), start - begin
                whole = (n + 15) // 16 * 16
                first = row * width + start
                load(gain, fields, strip, w, row // clips, start, n, at)
                here, there = (t * clips + row % clips) * width + start, (t * rows + row) * width + start
                fetch(x, here + clips * width, n)  # of the next step, too far away to be guessed
                fetch(y, there + rows * width, n)
                copy(x, here, w[X :][:n])
                for j in range(n):
                    w[BAD + j] += w[X + j] - w[X + j]  # 0, or nan for good
                @STEP
                copy_back(w[Y :][:n], y, there)
                for i in range(POLES):
                    copy_back(w[STATE + i * BLOCK :][:n], strip, i * STRIP + at)
        for i in range(POLES):
            copy_back(strip[i * STRIP :][: end - begin], last, (i * rows + row) * width + begin)
    bad = 0
    for j in range(BLOCK):
        bad += not w[BAD + j] == zero
    return bad

@compiled()
def backward(x, gain, scalars, fields, marks, y, d_y, d_last, d_x, d_gain, d_state, work, steps, clips, low, high):
    """Gradients of items low to high; d_gain [channels] sums over them. The states are computed anew from y."""
    zero, half, one, two = real(0.0), real(0.5), real(1.0), real(2.0)
    @numbers
    width = gain.size
    rows, strips, inner = y.size // (steps * width), (width + STRIP - 1) // STRIP, width // d_gain.size
    w, sums, work = work[:SIZE], work[SIZE : SIZE + STRIP], work[SIZE + STRIP :]
    size = POLES * STRIP
    w[:] = zero
    strip, d_strip, path = work[:size], work[size : 2 * size], work[2 * size :]
    for item in range(low, high):
        row, begin = item // strips, item % strips * STRIP
        end = min(begin + STRIP, width)
        for i in range(POLES):
            copy(d_last, (i * rows + row) * width + begin, d_strip[i * STRIP :][: end - begin])
        sums[:] = zero
        for low_t in range((steps - 1) // SEGMENT * SEGMENT, -1, -SEGMENT):
            high_t = min(low_t + SEGMENT, steps)
            for i in range(POLES):
                place = ((low_t // SEGMENT * POLES + i) * rows + row) * width + begin
                copy(marks, place, strip[i * STRIP :][: end - begin])
            for t in range(low_t, high_t if POLES else low_t):
                copy_back(strip, path, (t - low_t) * POLES * STRIP)
                for start in range(begin, end if t + 1 < high_t else begin, BLOCK):
                    n, at = min(BLOCK, end - start), start - begin
                    whole = (n + 15) // 16 * 16
                    here, there = (t * clips + row % clips) * width + start, (t * rows + row) * width + start
                    fetch(x, here + clips * width, n)
                    fetch(y, there + rows * width, n)
                    load(gain, fields, strip, w, row // clips, start, n, at)
                    copy(x, here, w[X :][:n])
                    copy(y, there, w[Y :][:n])
                    @ADVANCE
                    for i in range(POLES):
                        copy_back(w[STATE + i * BLOCK :][:n], strip, i * STRIP + at)
            for back in range(high_t - low_t):
                t = high_t - 1 - back
                for start in range(begin, end, BLOCK):
                    n, at = min(BLOCK, end - start), start - begin
                    whole = (n + 15) // 16 * 16
                    here, there = (t * clips + row % clips) * width + start, (t * rows + row) * width + start
                    fetch(d_y, there - rows * width, n)
                    fetch(d_x, there - rows * width, n)
                    load(gain, fields, path[(t - low_t) * POLES * STRIP :], w, row // clips, start, n, at)
                    copy(x, here, w[X :][:n])
                    copy(y, there, w[Y :][:n])
                    copy(d_y, there, w[D_Y :][:n])
                    copy(sums, at, w[D_GAIN :][:n])
                    for i in range(POLES):
                        copy(d_strip, i * STRIP + at, w[D_STATE + i * BLOCK :][:n])
                    @BACK
                    if d_x.size:
                        copy_back(w[D_X :][:n], d_x, there)
                    copy_back(w[D_GAIN :][:n], sums, at)
                    for i in range(POLES):
                        copy_back(w[D_STATE + i * BLOCK :][:n], d_strip, i * STRIP + at)
        for i in range(POLES):
            copy_back(d_strip[i * STRIP :][: end - begin], d_state, (i * rows + row) * width + begin)
        for j in range(end - begin):
            d_gain[(begin + j) // inner] += sums[j]
'''
