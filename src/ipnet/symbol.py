"""A law as a graph of elementary operations: recorded from plain torch code, differentiated, simplified.

A `Symbol` stands in for a tensor: torch functions applied to it are recorded instead of computed. Whatever depends
on real tensors alone (the values of a card) is computed by torch while recording and enters as a constant.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor

from ipnet.errors import IPNetError


class UnknownOperationError(IPNetError):
    """A law uses an operation that a graph does not know."""


class Graph:
    """Symbols, each made once: the same operation on the same arguments is the same symbol.

    Args:
        shape: of the tensors that the symbols stand for, before broadcasting.
        dtype: their precision.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype) -> None:
        self.shape, self.dtype = torch.Size(shape), dtype
        self._known: dict[tuple[Any, ...], Symbol] = {}

    def node(self, op: str, *args: "Symbol", value: Any = None, key: Any = None) -> "Symbol":
        """The symbol of an operation; `value` is what a constant holds."""
        name = (op, key, *map(id, args))
        if name not in self._known:
            self._known[name] = Symbol(self, op, args, value, len(self._known))
        return self._known[name]

    def given(self, name: str) -> "Symbol":
        """A quantity that is given when the graph is evaluated."""
        return self.node("given", value=name, key=name)

    def constant(self, value: "Symbol | Tensor | float") -> "Symbol":
        """A symbol for a number or a tensor; symbols pass through."""
        if isinstance(value, Symbol):
            return value
        if isinstance(value, Tensor) and value.dim():
            return self.node("constant", value=value, key=("tensor", id(value)))
        number = float(value)
        return self.node("constant", value=number, key=("number", number, math.copysign(1.0, number)))

    def apply(self, op: str, *args: "Symbol | Tensor | float") -> "Symbol":
        """The simplified symbol of an operation on symbols, tensors and numbers."""
        symbols = [self.constant(arg) for arg in args]
        if all(symbol.op == "constant" for symbol in symbols):
            return self.constant(_FOLD[op](*(torch.as_tensor(s.value, dtype=torch.float64) for s in symbols)))
        return _SIMPLE[op](self, *symbols) if op in _SIMPLE else self.node(op, *symbols)


class Symbol:
    """One quantity of a law; see the module. It can be used in arithmetic and in torch functions.

    Attributes:
        op: what is done with `args`: a key of `DERIVATIVE`, ``"given"`` or ``"constant"``.
        args: symbols.
        value: the name of a given quantity, or what a constant holds: a float, or a tensor [...].
        number: its place in the order in which the symbols of the graph were made.
    """

    def __init__(self, graph: Graph, op: str, args: tuple["Symbol", ...], value: Any, number: int) -> None:
        self.graph, self.op, self.args, self.value, self.number = graph, op, args, value, number

    shape = property(lambda self: self.graph.shape)
    dtype = property(lambda self: self.graph.dtype)
    device = property(lambda _: torch.device("cpu"))

    @classmethod
    def __torch_function__(cls, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Record a torch function."""
        name = func.__name__.strip("_")
        if name not in _RECORD:
            raise UnknownOperationError(
                f"the operation '{name}' is not known; known: {', '.join(sorted(_RECORD))}: write it with them."
            )
        return _RECORD[name](*args, **(kwargs or {}))

    def is_number(self, number: float) -> bool:
        """Whether this is the constant `number`."""
        return self.op == "constant" and isinstance(self.value, float) and self.value == number

    def rebuilt(self, args: Sequence["Symbol"]) -> "Symbol":
        """The same operation on other arguments."""
        if all(new is old for new, old in zip(args, self.args, strict=True)):
            return self
        simplified = self.op not in ("cloglog", "logsumexp", "draw")
        return self.graph.apply(self.op, *args) if simplified else self.graph.node(self.op, *args)

    def dim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def to(self, *_: Any, **__: Any) -> "Symbol":
        """The symbol itself: precision belongs to the graph."""
        return self

    def clamp(self, min: Any = None, max: Any = None) -> "Symbol":  # noqa: A002 torch's names
        """As `torch.clamp`."""
        return _clamp(self, min, max)

    def __neg__(self) -> "Symbol":
        return self.graph.apply("neg", self)

    def __pow__(self, exponent: Any) -> "Symbol":
        return self.graph.apply("pow", self, exponent)

    def __rpow__(self, base: Any) -> "Symbol":
        return self.graph.apply("pow", base, self)


class _Stack(tuple[Symbol, ...]):
    """Symbols joined along a new first axis, for a reduction over it."""

    __torch_function__ = Symbol.__torch_function__


def _stack(parts: Sequence[Symbol], dim: int = 0) -> _Stack:
    if dim:
        raise UnknownOperationError(f"'stack' must make axis 0; got axis {dim}.")
    return _Stack(parts)


def _binary(op: str, *, swapped: bool = False) -> Callable[..., Symbol]:
    def record(a: Any, b: Any) -> Symbol:
        graph: Graph = (a if isinstance(a, Symbol) else b).graph
        return graph.apply(op, b, a) if swapped else graph.apply(op, a, b)

    return record


def _unary(op: str) -> Callable[[Symbol], Symbol]:
    return lambda a: a.graph.apply(op, a)


def _clamp(x: Symbol, min: Any = None, max: Any = None) -> Symbol:  # noqa: A002
    low = x if min is None else x.graph.apply("clamp_min", x, min)
    return low if max is None else x.graph.apply("clamp_max", low, max)


def _where(condition: Tensor, a: Any, b: Any) -> Symbol:
    graph: Graph = (a if isinstance(a, Symbol) else b).graph
    if isinstance(condition, Symbol):
        raise UnknownOperationError("'where' must depend on values of the card alone; use clamp for symbols.")
    return graph.apply("where", condition.to(torch.float64), a, b)


def _logsumexp(parts: Sequence[Symbol], dim: int) -> Symbol:
    if dim or not isinstance(parts, _Stack):
        raise UnknownOperationError("'logsumexp' must act on axis 0 of a stack.")
    return parts[0].graph.node("logsumexp", *parts)


def _cloglog(eta: Symbol) -> Symbol:
    apply, parts = eta.graph.apply, eta.args if eta.op == "logsumexp" else (eta,)
    return eta.graph.node("cloglog", reduce(partial(apply, "add"), [apply("exp", part) for part in parts]), *parts)


_UNARY = ("exp", "expm1", "log", "log1p", "sqrt", "neg", "reciprocal")
_BINARY = ("add", "sub", "mul", "pow", "minimum", "maximum")
_RECORD: dict[str, Callable[..., Any]] = {
    **{op: _unary(op) for op in _UNARY},
    **{op: _binary(op) for op in _BINARY},
    **{f"r{op}": _binary(op, swapped=True) for op in _BINARY[:4]},
    **{name: _binary("div") for name in ("div", "truediv", "true_divide")},
    **{name: _binary("div", swapped=True) for name in ("rdiv", "rtruediv")},
    "square": lambda a: a.graph.apply("mul", a, a),
    "clamp": _clamp,
    "where": _where,
    "stack": _stack,
    "logsumexp": _logsumexp,
    "cloglog": _cloglog,
}
for _name, _op in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div")):
    setattr(Symbol, f"__{_name}__", _binary(_op))
    setattr(Symbol, f"__r{_name}__", _binary(_op, swapped=True))
for _name in ("minimum", "maximum", "exp", "expm1", "log", "log1p", "sqrt", "square"):
    setattr(Symbol, _name, _RECORD[_name])

_FOLD: dict[str, Callable[..., Tensor]] = {
    **{op: getattr(torch, op) for op in (*_UNARY, *_BINARY, "div")},
    "clamp_min": torch.clamp_min,
    "clamp_max": torch.clamp_max,
    "where": lambda mask, a, b: torch.where(mask != 0, a, b),
    "if_ge": lambda a, b, g: torch.where(a >= b, g, 0),
    "if_le": lambda a, b, g: torch.where(a <= b, g, 0),
    "logsumexp": lambda *parts: reduce(torch.logaddexp, parts),
    "cloglog": lambda e, *_: -torch.expm1(-e),
    "polynomial": lambda u, *coefficients: reduce(lambda inner, c: inner * u + c, reversed(coefficients)),
}


def _add(graph: Graph, a: Symbol, b: Symbol) -> Symbol:
    if a.is_number(0.0) or b.is_number(0.0):
        return b if a.is_number(0.0) else a
    if a is b:
        return graph.apply("mul", 2.0, a)
    if a.op == "neg" or b.op == "neg":
        return graph.apply("sub", a, b.args[0]) if b.op == "neg" else graph.apply("sub", b, a.args[0])
    for one, other in ((a, b), (b, a)):
        if one.op == "constant" and other.op == "add" and other.args[0].op == "constant":
            return graph.apply("add", graph.apply("add", one, other.args[0]), other.args[1])
    return graph.node("add", *_sorted(a, b))


def _sub(graph: Graph, a: Symbol, b: Symbol) -> Symbol:
    if b.is_number(0.0):
        return a
    if b.op in ("neg", "constant"):
        return graph.apply("add", a, graph.apply("neg", b))
    if a.op == "neg":
        return graph.apply("neg", graph.apply("add", a.args[0], b))
    return graph.node("sub", a, b)


def _mul(graph: Graph, a: Symbol, b: Symbol) -> Symbol:
    for one, other in ((a, b), (b, a)):
        if one.is_number(1.0):
            return other
        if one.is_number(-1.0):
            return graph.apply("neg", other)
        if one.op == "neg":
            return graph.apply("neg", graph.apply("mul", one.args[0], other))
        if one.op == "mul" and one.args[0].op == "constant":  # constants move out, to be joined
            inner, outer = (one.args[1], other) if other.op != "constant" else (one.args[0], other)
            rest = one.args[0] if other.op != "constant" else one.args[1]
            return graph.apply("mul", rest, graph.apply("mul", inner, outer))
    return graph.node("mul", *_sorted(a, b))


def _div(graph: Graph, a: Symbol, b: Symbol) -> Symbol:
    return graph.apply("mul", a, graph.apply("reciprocal", b))  # shared by all that is divided by b


def _reciprocal(graph: Graph, a: Symbol) -> Symbol:
    if a.op == "reciprocal":
        return a.args[0]
    if a.op == "mul" and "constant" in (a.args[0].op, a.args[1].op):
        return graph.apply("mul", *(graph.apply("reciprocal", arg) for arg in a.args))
    if a.op == "mul" and "reciprocal" in (a.args[0].op, a.args[1].op):
        return graph.apply("mul", *(graph.apply("reciprocal", arg) for arg in a.args))
    return graph.node("reciprocal", a)


def _neg(graph: Graph, a: Symbol) -> Symbol:
    if a.op == "mul" and a.args[0].op == "constant":
        return graph.apply("mul", graph.apply("neg", a.args[0]), a.args[1])
    if a.op == "sub":
        return graph.apply("sub", a.args[1], a.args[0])
    return a.args[0] if a.op == "neg" else graph.node("neg", a)


def _pow(graph: Graph, a: Symbol, b: Symbol) -> Symbol:
    if b.is_number(0.5):
        return graph.apply("sqrt", a)
    if b.op == "constant" and isinstance(b.value, float) and b.value == round(b.value) and abs(b.value) <= 16:
        power = graph.constant(1.0)
        for _ in range(abs(int(b.value))):
            power = graph.apply("mul", power, a)
        return power if b.value >= 0 else graph.apply("reciprocal", power)
    return graph.apply("exp", graph.apply("mul", b, graph.apply("log", a)))


def _log(graph: Graph, a: Symbol) -> Symbol:
    if a.op == "exp":
        return a.args[0]
    if a.op == "mul" and a.args[0].op == "constant" and isinstance(a.args[0].value, float) and a.args[0].value > 0:
        return graph.apply("add", graph.apply("log", a.args[0]), graph.apply("log", a.args[1]))
    return graph.node("log", a)


def _sorted(a: Symbol, b: Symbol) -> tuple[Symbol, Symbol]:
    """The arguments of a commutative operation, constants first, so that a + b and b + a are one symbol."""
    return (a, b) if (a.op != "constant", a.number) <= (b.op != "constant", b.number) else (b, a)


_SIMPLE: dict[str, Callable[..., Symbol]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "reciprocal": _reciprocal,
    "neg": _neg,
    "log": _log,
    "pow": _pow,
}


def _passed(how: str, *, tie: float) -> Callable[..., Sequence[Symbol]]:
    """Derivatives of a choice between two: to the chosen one; of equals, the share `tie` goes to the first."""

    def derivative(y: Symbol, g: Symbol, a: Symbol, b: Symbol) -> Sequence[Symbol]:
        apply = y.graph.apply
        first = apply(how, a, b, g)
        if tie != 1:
            first = apply("mul", 0.5, apply("add", first, apply("sub", g, apply(how, b, a, g))))
        return [first, apply("sub", g, first)]

    return derivative


def _d_logsumexp(y: Symbol, g: Symbol, *parts: Symbol) -> Sequence[Symbol]:
    apply = y.graph.apply
    return [apply("mul", g, apply("exp", apply("sub", part, y))) for part in parts]


def _d_log(y: Symbol, g: Symbol, a: Symbol) -> Sequence[Symbol]:
    apply = y.graph.apply  # of x^b = exp(b log x), b > 1, nothing must be left at x = 0, where 1/x is infinite
    return [apply("div", g, apply("clamp_min", a, 1e-30))]


def _d_sqrt(y: Symbol, g: Symbol, a: Symbol) -> Sequence[Symbol]:
    apply = y.graph.apply  # g / (2 y) = g y / (2 a), since 1/a is often at hand
    return [apply("mul", apply("mul", 0.5, g), apply("div", y, a))]


def _d_reciprocal(y: Symbol, g: Symbol, _: Symbol) -> Sequence[Symbol]:
    apply = y.graph.apply
    return [apply("neg", apply("mul", apply("mul", g, y), y))]


def _d_cloglog(y: Symbol, g: Symbol, e: Symbol, *parts: Symbol) -> Sequence[Symbol | None]:
    apply = y.graph.apply
    # exp(eta - e), since exp(eta) exp(-e) is inf * 0 once e overflows; e itself is only an aid
    return [None, *(apply("mul", g, apply("exp", apply("sub", eta, e))) for eta in parts)]


def _d_polynomial(y: Symbol, g: Symbol, u: Symbol, *coefficients: Symbol) -> Sequence[Symbol | None]:
    apply = y.graph.apply
    slope = [apply("mul", float(k), c) for k, c in enumerate(coefficients) if k]
    return [apply("mul", g, y.graph.node("polynomial", u, *slope)), *[None] * len(coefficients)]


# d(op)/d(args) times the gradient g of its result y.
_Rule = Callable[..., Sequence[Symbol | None]]
DERIVATIVE: dict[str, _Rule] = {
    "add": lambda _, g, *__: [g, g],
    "sub": lambda y, g, *_: [g, y.graph.apply("neg", g)],
    "mul": lambda y, g, a, b: [y.graph.apply("mul", g, b), y.graph.apply("mul", g, a)],
    "reciprocal": _d_reciprocal,
    "neg": lambda y, g, _: [y.graph.apply("neg", g)],
    "exp": lambda y, g, _: [y.graph.apply("mul", g, y)],
    "expm1": lambda y, g, _: [y.graph.apply("mul", g, y.graph.apply("add", y, 1.0))],
    "log": _d_log,
    "log1p": lambda y, g, a: [y.graph.apply("div", g, y.graph.apply("add", a, 1.0))],
    "sqrt": _d_sqrt,
    "clamp_min": _passed("if_ge", tie=1),
    "clamp_max": _passed("if_le", tie=1),
    "minimum": _passed("if_le", tie=0.5),
    "maximum": _passed("if_ge", tie=0.5),
    "where": lambda y, g, mask, *_: [
        None,
        y.graph.apply("where", mask, g, 0.0),
        y.graph.apply("where", mask, 0.0, g),
    ],
    "logsumexp": _d_logsumexp,
    "cloglog": _d_cloglog,
    "polynomial": _d_polynomial,
}


def ordered(results: Iterable[Symbol]) -> list[Symbol]:
    """Every symbol that `results` need, arguments before what is made of them."""
    done: dict[int, Symbol] = {}

    def visit(symbol: Symbol) -> None:
        if id(symbol) not in done:
            for arg in symbol.args:
                visit(arg)
            done[id(symbol)] = symbol

    for result in results:
        visit(result)
    return list(done.values())


def evaluate(result: Symbol, given: Mapping[Symbol, Tensor]) -> Tensor:
    """The value of a symbol in double precision, from values of symbols on which it depends."""
    found = dict(given)
    left = [result]
    while left:
        symbol = left[-1]
        missing = [arg for arg in symbol.args if arg not in found]
        if symbol in found or not missing:
            left.pop()
            if symbol.op == "constant":
                found[symbol] = torch.as_tensor(symbol.value, dtype=torch.float64)
            elif symbol not in found:
                found[symbol] = _FOLD[symbol.op](*(found[arg] for arg in symbol.args))
        left += [] if symbol in found else missing
    return found[result]


def gradients(results: Sequence[Symbol], seeds: Sequence[Symbol], wanted: Sequence[Symbol]) -> list[Symbol]:
    """sum_k seeds[k] d results[k] / d wanted[i] for each wanted symbol, by the chain rule in reverse.

    Args:
        results: quantities.
        seeds: the gradient that reaches each of them.
        wanted: given quantities.
    """
    graph = wanted[0].graph
    found: dict[int, Symbol] = {}

    def reach(symbol: Symbol, g: Symbol) -> None:
        found[id(symbol)] = graph.apply("add", found[id(symbol)], g) if id(symbol) in found else g

    for result, seed in zip(results, seeds, strict=True):
        reach(result, seed)
    for symbol in reversed(ordered(results)):
        if id(symbol) in found and symbol.op in DERIVATIVE:
            parts = DERIVATIVE[symbol.op](symbol, found[id(symbol)], *symbol.args)
            for arg, part in zip(symbol.args, parts, strict=True):
                if part is not None and arg.op != "constant":
                    reach(arg, part)
    return [found.get(id(symbol), graph.constant(0.0)) for symbol in wanted]
