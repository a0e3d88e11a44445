"""Polynomials in place of long parts of a law that depend on one bounded quantity alone.

The temperature laws of a junction are smooth functions of one temperature, which a clamped voltage keeps within
known bounds. There Chebyshev interpolation converges geometrically: half a dozen terms reach single precision.

References:
    Trefethen, Approximation Theory and Approximation Practice (2013), chapters 3 and 8.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from torch import Tensor

from ipnet.symbol import Symbol, evaluate, ordered

Range = tuple[float, float]
Floats = NDArray[np.floating[Any]]

_DEGREES = (2, 4, 6, 8, 10, 13, 16, 20, 24)  # few, so that cards share a kernel
_CLOSE = {torch.float32: 3e-8, torch.float64: 1e-13}  # largest error, relative to the largest value
_POINTS = 64  # where the error is seen
_EVERYWHERE = (-math.inf, math.inf)
_INCREASING = {"exp": math.exp, "expm1": math.expm1, "log": math.log, "log1p": math.log1p, "sqrt": math.sqrt}


def interpolate(results: Sequence[Symbol], known: Mapping[str, Range], cost: Mapping[str, int]) -> list[Symbol]:
    """The same quantities, with polynomials in place of parts that they make cheaper.

    Args:
        results: quantities of one graph.
        known: within which bounds a given quantity lies, by its name; the others may be anything.
        cost: of an operation, in multiplications; 1 for those that are not named.

    Returns:
        Quantities equal to within some units in the last place of the largest value that each part takes, as long
        as what is given stays within its bounds.
    """
    order = ordered(results)
    of, bounds = roots(order), _bounds(order, known)
    done: dict[Symbol, Symbol] = {}

    def replaced(symbol: Symbol) -> Symbol:  # from the results down: the longest part first
        if symbol not in done:
            root, found = of.get(symbol, symbol), None
            if root is not symbol and (price := _price(symbol, root, cost)) > _worth(_DEGREES[0]):
                found = _polynomial(symbol, root, bounds[root], price)
            if found is None:
                done[symbol] = symbol.rebuilt([replaced(arg) for arg in symbol.args])
            else:
                graph, (middle, half) = symbol.graph, _middle(bounds[root])
                u = graph.apply("mul", 1 / half, graph.apply("sub", replaced(root), middle))
                done[symbol] = graph.node("polynomial", u, *map(graph.constant, found))
        return done[symbol]

    return [replaced(result) for result in results]


def roots(order: Sequence[Symbol]) -> dict[Symbol, Symbol]:
    """For each symbol the last one on which alone it depends; none for a constant.

    What a probability is made of stays: it may be tiny, and a polynomial is exact only beside its largest value.
    """
    kept: set[Symbol] = set()
    for symbol in order:
        if symbol.op == "cloglog":
            kept |= {symbol} | (set(ordered(symbol.args[:1])) - set(ordered(symbol.args[1:])))
    found: dict[Symbol, Symbol] = {}
    for symbol in order:
        below = {found[arg] for arg in symbol.args if arg in found}
        if symbol.op != "constant":
            alone = len(below) == 1 and symbol.op != "draw" and symbol not in kept
            found[symbol] = below.pop() if alone else symbol
    return found


def _bounds(order: Sequence[Symbol], known: Mapping[str, Range]) -> dict[Symbol, Range]:
    """Interval arithmetic: between which values each symbol lies."""
    found: dict[Symbol, Range] = {}
    for symbol in order:
        ends = _interval(symbol, [found[arg] for arg in symbol.args], known)
        found[symbol] = _EVERYWHERE if math.isnan(sum(map(abs, ends))) else ends
    return found


def _interval(symbol: Symbol, args: Sequence[Range], known: Mapping[str, Range]) -> Range:
    op = symbol.op
    if op == "constant":
        values = torch.as_tensor(symbol.value, dtype=torch.float64)
        return values.min().item(), values.max().item()
    if op == "given":
        return known.get(symbol.value, _EVERYWHERE)
    if op in ("add", "sub"):
        (a, b), (c, d) = args
        return (a + c, b + d) if op == "add" else (a - d, b - c)
    if op == "neg":
        return -args[0][1], -args[0][0]
    if op == "mul":
        products = [a * b for a, b in itertools.product(*args)]
        square = symbol.args[0] is symbol.args[1]
        return max(min(products), 0.0) if square else min(products), max(products)
    if op in ("clamp_min", "maximum", "clamp_max", "minimum"):
        pick = max if op in ("clamp_min", "maximum") else min
        return pick(a for a, _ in args), pick(b for _, b in args)
    if op == "reciprocal" and args[0][0] * args[0][1] > 0:
        return 1 / args[0][1], 1 / args[0][0]
    if op in _INCREASING:
        return _ends(op, args[0])
    return _EVERYWHERE


def _ends(op: str, ends: Range) -> Range:
    try:
        low, high = (_INCREASING[op](end) for end in ends)
    except (ValueError, OverflowError):
        return _EVERYWHERE
    return low, high


def _price(symbol: Symbol, root: Symbol, cost: Mapping[str, int]) -> int:
    """What it costs to get from `root` to `symbol`."""
    between: set[Symbol] = set()
    left = [symbol]
    while left:
        one = left.pop()
        if one is not root and one.op != "constant" and one not in between:
            between.add(one)
            left += one.args
    return sum(cost.get(one.op, 1) for one in between)


def _worth(degree: int) -> int:
    """What a polynomial costs, and some more, since a loop of many rows is not for free either."""
    return 2 * (degree + 2)


def _polynomial(symbol: Symbol, root: Symbol, ends: Range, price: int) -> list[float] | None:
    """The coefficients of `symbol` in powers of `root` brought to [-1, 1]; None if none is cheaper and as good."""
    middle, half = _middle(ends)
    u = np.cos(np.linspace(0, np.pi, _POINTS))
    own = any(isinstance(part.value, Tensor) for part in ordered([symbol]))  # coefficients for every junction
    if own or not 0 < half < math.inf:  # would be more to fetch than they save
        return None

    def at(u: Floats) -> Tensor:
        return evaluate(symbol, {root: torch.from_numpy(middle + half * u)})

    exact = at(u)
    allowed = _CLOSE[symbol.graph.dtype] * exact.abs().max()
    for degree in (degree for degree in _DEGREES if _worth(degree) < price):
        nodes, powers = chebyshev.chebpts1(degree + 1), np.zeros((degree + 1, degree + 1))
        for k, term in enumerate(np.eye(degree + 1)):
            powers[: k + 1, k] = chebyshev.cheb2poly(term)[: k + 1]
        terms = _product(np.linalg.inv(chebyshev.chebvander(nodes, degree)), at(nodes))
        coefficients = _product(powers, terms)  # in two steps: the terms fall as fast as the powers grow
        error = (_product(np.vander(u, degree + 1, increasing=True), coefficients) - exact).abs().max()
        if error <= allowed < math.inf:
            return coefficients.tolist()
    return None


def _middle(ends: Range) -> Range:
    """The middle of an interval and half its width."""
    return (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2


def _product(matrix: Floats, values: Tensor) -> Tensor:
    """The matrix product over the first axis of `values`."""
    product: Tensor = torch.tensordot(torch.from_numpy(np.ascontiguousarray(matrix)), values, 1)
    return product
