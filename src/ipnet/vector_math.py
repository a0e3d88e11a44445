"""Elementary functions for compiled loops: no branch, no library call, so that a loop becomes vector instructions.

Each exists for single (`_32`) and double precision (`_64`) and is within a few units in the last place of the
exact value. exp saturates near the smallest and the largest normal number; log takes 0 and normal positive
numbers; log1p takes x > -1.

References:
    Argument reduction: Cody & Waite, Software Manual for the Elementary Functions (1980); single-precision
    polynomials: Moshier, Methods and Programs for Mathematical Functions (1989); random bits: Steele, Lea & Flood,
    Fast splittable pseudorandom number generators, OOPSLA (2014).
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

FLAGS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp"}}
# not reassoc: it would break the exponent arithmetic below
LINE = 64  # bytes of a cache line
_F, _I, _D, _L, _U = np.float32, np.int32, np.float64, np.int64, np.uint64
_HI, _LO = 0.693359375, -2.12194440e-4  # log 2 in two parts
_HI_64, _LO_64 = 6.93145751953125e-1, 1.42860682030941723212e-6


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba.njit with the flags of the package, cached where there is a place to write the cache."""

    def compile_(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **{**FLAGS, **options})(function)
        except RuntimeError:
            return numba.njit(**{**FLAGS, **options})(function)

    return compile_


@compiled(forceinline=True)
def _split_32(x):  # type: ignore[no-untyped-def]
    """exp(x) = scale (1 + less): scale = 2^k and less = exp(x - k log 2) - 1."""
    x = _F(-87.3) if x < _F(-87.3) else x  # in this form nan stays nan
    x = _F(88.3) if x > _F(88.3) else x
    t = x * _F(1.44269504088896341) + _F(12582912.0)  # 1.5 2^23: the sum is rounded to an integer
    k = t - _F(12582912.0)
    r = x - k * _F(_HI) - k * _F(_LO)
    p = _F(1.9875691500e-4) * r + _F(1.3981999507e-3)
    p = (p * r + _F(8.3334519073e-3)) * r + _F(4.1665795894e-2)
    p = (p * r + _F(1.6666665459e-1)) * r + _F(5.0000001201e-1)
    return _I((_F(t).view(_I) << _I(23)) + _I(0x3F800000)).view(_F), p * (r * r) + r


@compiled(forceinline=True)
def _split_64(x):  # type: ignore[no-untyped-def]
    """As `_split_32`."""
    x = -708.0 if x < -708.0 else x
    x = 709.0 if x > 709.0 else x
    t = x * 1.44269504088896341 + 6755399441055744.0
    k = t - 6755399441055744.0
    r = x - k * _HI_64 - k * _LO_64
    p = r * (1 / 6227020800) + 1 / 479001600
    p = (p * r + 1 / 39916800) * r + 1 / 3628800
    p = (p * r + 1 / 362880) * r + 1 / 40320
    p = (p * r + 1 / 5040) * r + 1 / 720
    p = (p * r + 1 / 120) * r + 1 / 24
    p = (p * r + 1 / 6) * r + 0.5
    return _L((_D(t).view(_L) << _L(52)) + _L(0x3FF0000000000000)).view(_D), p * (r * r) + r


@compiled(forceinline=True)
def exp_32(x):  # type: ignore[no-untyped-def]
    """The exponential of x."""
    scale, less = _split_32(x)
    return scale + scale * less


@compiled(forceinline=True)
def exp_64(x):  # type: ignore[no-untyped-def]
    """As `exp_32`."""
    scale, less = _split_64(x)
    return scale + scale * less


@compiled(forceinline=True)
def expm1_32(x):  # type: ignore[no-untyped-def]
    """exp(x) - 1 without cancellation."""
    scale, less = _split_32(x)
    return scale * less + (scale - _F(1.0))


@compiled(forceinline=True)
def expm1_64(x):  # type: ignore[no-untyped-def]
    """As `expm1_32`."""
    scale, less = _split_64(x)
    return scale * less + (scale - 1.0)


@compiled(forceinline=True)
def log_32(x):  # type: ignore[no-untyped-def]
    """The natural logarithm: x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2))."""
    bits = _I(_F(x).view(_I) - _I(0x3F3504F3))
    k = _F(_I(bits >> _I(23)))
    f = _I((bits & _I(0x7FFFFF)) + _I(0x3F3504F3)).view(_F) - _F(1.0)
    p = _F(7.0376836292e-2) * f + _F(-1.1514610310e-1)
    p = (p * f + _F(1.1676998740e-1)) * f + _F(-1.2420140846e-1)
    p = (p * f + _F(1.4249322787e-1)) * f + _F(-1.6668057665e-1)
    p = (p * f + _F(2.0000714765e-1)) * f + _F(-2.4999993993e-1)
    p = p * f + _F(3.3333331174e-1)
    y = f + (f * f * (f * p - _F(0.5)) + k * _F(_LO)) + k * _F(_HI)
    return y if x > _F(0.0) else (_F(-math.inf) if x == _F(0.0) else _F(math.nan))


@compiled(forceinline=True)
def log_64(x):  # type: ignore[no-untyped-def]
    """As `log_32`, with log(1 + f) = 2 artanh(f / (2 + f))."""
    bits = _D(x).view(_L) - _L(0x3FE6A09E667F3BCD)
    k = _D(bits >> _L(52))
    f = _L((bits & _L(0xFFFFFFFFFFFFF)) + _L(0x3FE6A09E667F3BCD)).view(_D) - 1.0
    s = f / (2.0 + f)
    q = s * s
    p = q * (2 / 23) + 2 / 21
    p = (p * q + 2 / 19) * q + 2 / 17
    p = (p * q + 2 / 15) * q + 2 / 13
    p = (p * q + 2 / 11) * q + 2 / 9
    p = (p * q + 2 / 7) * q + 2 / 5
    p = (p * q + 2 / 3) * q
    y = (f - s * (f - p)) + k * _LO_64 + k * _HI_64  # 2 artanh(s) = f - s (f - p), since 2 s = f - s f
    return y if x > 0.0 else (-math.inf if x == 0.0 else math.nan)


@compiled(forceinline=True)
def log1p_32(x):  # type: ignore[no-untyped-def]
    """log(1 + x) without cancellation."""
    u = _F(1.0) + x
    return log_32(u) + (x - (u - _F(1.0))) / u


@compiled(forceinline=True)
def log1p_64(x):  # type: ignore[no-untyped-def]
    """As `log1p_32`."""
    u = 1.0 + x
    return log_64(u) + (x - (u - 1.0)) / u


@compiled(forceinline=True)
def scrambled(a):  # type: ignore[no-untyped-def]
    """The finaliser of SplitMix64: every bit of the result depends on every bit of `a`."""
    a = (a ^ (a >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    a = (a ^ (a >> _U(27))) * _U(0x94D049BB133111EB)
    return a ^ (a >> _U(31))


@compiled(forceinline=True)
def uniform_32(key, number):  # type: ignore[no-untyped-def]
    """A random number in [0, 1) that is a function of `key` and `number` alone."""
    return _F(scrambled(key + (_U(number) + _U(1)) * _U(0x9E3779B97F4A7C15)) >> _U(40)) * _F(2.0**-24)


@compiled(forceinline=True)
def uniform_64(key, number):  # type: ignore[no-untyped-def]
    """As `uniform_32`."""
    return _D(scrambled(key + (_U(number) + _U(1)) * _U(0x9E3779B97F4A7C15)) >> _U(11)) * 2.0**-53


@intrinsic
def prefetch(_: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index] to be brought near, to be written."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = signature.args[0]
        view = context.make_array(kind)(context, builder, values[0])
        place = cgutils.get_item_pointer(context, builder, kind, view, values[1:], wraparound=False)  # type: ignore[no-untyped-call]
        number = ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        call = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], shape)
        write, near, data = number(1), number(3), number(1)
        builder.call(call, [builder.bitcast(place, cgutils.voidptr_t), write, near, data])
        return context.get_dummy_value()

    return types.void(array, index), generate


@compiled(forceinline=True)
def fetch(values, start, count):  # type: ignore[no-untyped-def]
    """Ask for `count` values from `start` on, as far as there are any, before they are needed."""
    for i in range(max(start, 0), min(start + count, values.size), LINE // values.itemsize):
        prefetch(values, i)  # type: ignore[call-arg]


@intrinsic
def copied(_: Any, values: Any, start: Any, to: Any, at: Any, count: Any) -> Any:
    """Copy `count` values from values[start] on to where to[at] begins: one call, little to compile."""
    if values.dtype != to.dtype:
        raise TypingError(f"arrays must be of one precision; got {values.dtype} and {to.dtype}.")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = []
        for array, index in ((0, 1), (2, 3)):
            kind = signature.args[array]
            view = context.make_array(kind)(context, builder, arguments[array])
            at = [arguments[index]]
            places.append(cgutils.get_item_pointer(context, builder, kind, view, at, wraparound=False))  # type: ignore[no-untyped-call]
        source, target = places
        itemsize = context.get_constant(types.intp, values.dtype.bitwidth // 8)
        cgutils.raw_memcpy(builder, target, source, arguments[4], itemsize)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(values, start, to, at, count), generate


@compiled(forceinline=True)
def copy(values, start, row):  # type: ignore[no-untyped-def]
    """Fill `row` with the values from `start` on."""
    copied(values, start, row, 0, row.size)  # type: ignore[call-arg]


@compiled(forceinline=True)
def copy_back(row, values, start):  # type: ignore[no-untyped-def]
    """Put `row` into the values from `start` on."""
    copied(row, 0, values, start, row.size)  # type: ignore[call-arg]
