"""Linearising coordinates: a contraction of an interval as a multiplication, and functions of it as tables.

Pure mathematics; `ipnet.frontier` applies it to the state of a device.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.polynomial.chebyshev import cheb2poly
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from torch import Tensor

from ipnet.errors import IPNetError

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

DEGREE = 7  # of a piece of a table: its 8 coefficients fill one cache line
_DIES = 1e-12  # a contraction stronger than this forgets its start within one step
_RESOLVED = 1e-13  # relative residual at which phi is taken as found
_PART = 10_000  # elements that are computed at once
_LONGEST = 200_000  # steps to the neighbourhood of the fixed point


def _chebyshev(count: int) -> Array:
    """The nodes of Chebyshev polynomials of the first kind in (-1, 1), rising."""
    return -np.cos((np.arange(count) + 0.5) * np.pi / count)


def _evaluation(nodes: Array, at: Array) -> Array:
    """The matrix that takes values at the Chebyshev `nodes` [M] of an interval to values at points `at` [K]."""
    angle = (np.arange(nodes.size) + 0.5) * np.pi / nodes.size
    weights = np.sin(angle) * (-1.0) ** np.arange(nodes.size)
    apart = at[:, None] - nodes
    hit = apart == 0
    terms = weights / np.where(hit, 1.0, apart)
    terms = np.where(hit.any(1, keepdims=True), hit.astype(float), terms)
    matrix: Array = terms / terms.sum(1, keepdims=True)
    return matrix


class Koenigs:
    """The coordinate phi in which a smooth contraction f of an interval is a multiplication.

    phi(f(s)) = lam phi(s), phi(s*) = 0, phi'(s*) = 1, lam = f'(s*) in (0, 1),

    so that k steps of f are phi -> lam^k phi, exactly. With q(s) = (f(s) - s*) / (lam (s - s*)) it is the product

    phi(s) = (s - s*) prod_{k >= 0} q(f^k(s)),

    whose logarithm h = ln(phi / (s - s*)) solves the linear equation h(s) - h(f(s)) = ln q(s), h(s*) = 0. It is
    solved by collocation at Chebyshev nodes in the widest neighbourhood of s* that they resolve (for a smooth f
    the whole interval); outside of it phi(s) = lam^-n phi(f^n(s)), which holds across kinks of f too. For an
    affine f, phi(s) = s - s*. A contraction with lam < 1e-12 forgets its start within a step: phi(s) = s - s* and
    lam = 0.

    Args:
        f: the map, on arrays of points; increasing, and into the interval.
        slope: its derivative.
        interval: the smallest and the largest point.

    Attributes:
        fixed: s*.
        multiplier: lam, 0 for a map that forgets its start within a step.

    Raises:
        IPNetError: f is no increasing contraction of the interval.

    Valid for: maps that are analytic around s* and continuous elsewhere.

    References:
        G. Koenigs, Ann. Sci. Ec. Norm. Sup. 1 (suppl.), 3 (1884); E. Schroeder, Math. Ann. 3, 296 (1870);
        J. Milnor, Dynamics in One Complex Variable, section 8.

    Example:
        >>> halved = Koenigs(lambda s: 0.5 * s / (1 + s), lambda s: 0.5 / (1 + s) ** 2, (0.0, 3.0))
        >>> abs(halved(np.array([1.0])) - 1 / 3).max() < 1e-14  # phi(s) = s / (1 + 2 s)
        np.True_
    """

    def __init__(self, f: Function, slope: Function, interval: tuple[float, float]) -> None:
        self.f, self.interval = f, interval
        self._extent = interval[1] - interval[0]
        self.fixed = self._find_fixed()
        self.multiplier = float(slope(np.array([self.fixed]))[0])
        grid = np.linspace(*interval, 257)
        ends, least = np.array(interval), float(slope(grid).min())
        if abs(self.multiplier) < _DIES and np.abs(f(grid) - self.fixed).max() <= _DIES * self._extent:
            self.multiplier = 0.0
            self._nodes, self._log, self._within = np.array([self.fixed]), np.zeros(1), ends
            return
        grid = grid[np.abs(grid - self.fixed) > 1e-6 * self._extent]
        nearer = bool((np.abs(f(grid) - self.fixed) < np.abs(grid - self.fixed)).all())
        if not (0 < self.multiplier < 1 and least > 0 and nearer):
            raise IPNetError(
                "a map can be linearised if it is increasing and brings every point nearer to its fixed point; "
                f"got the slope {self.multiplier:.3g} at its fixed point {self.fixed:.6g} and {least:.3g} or more "
                f"between {interval[0]:.6g} and {interval[1]:.6g}."
            )
        for halvings in range(30):
            within = self.fixed + (ends - self.fixed) / 2**halvings
            if any(self._solve(within, count, slope) for count in (16, 32, 64)):
                return
        raise IPNetError(
            f"a map can be linearised if it is smooth around its fixed point; at {self.fixed:.6g} it is not."
        )

    def _find_fixed(self) -> float:
        """The fixed point, by bisection; exactly the lower end if it is that."""
        low, high = self.interval
        for _ in range(100):
            middle = (low + high) / 2
            if self.f(np.array([middle]))[0] > middle:
                low = middle
            else:
                high = middle
        return low

    def _solve(self, within: Array, count: int, slope: Function) -> bool:
        """Find h = ln(phi / (s - s*)) at Chebyshev nodes of a neighbourhood; say whether they resolve it."""
        middle, half = within.mean(), (within[1] - within[0]) / 2
        nodes = middle + half * _chebyshev(count)
        times, weights = leggauss(32)  # (f(s) - s*) / (s - s*) is the mean slope between
        path = self.fixed + (times[:, None] + 1) / 2 * (nodes - self.fixed)
        q = weights @ slope(path.ravel()).reshape(path.shape) / (2 * self.multiplier)
        step = np.eye(count) - _evaluation(nodes, self.f(nodes))
        anchor = _evaluation(nodes, np.array([self.fixed]))
        log = np.linalg.lstsq(np.vstack([step, anchor]), np.append(np.log(q), 0.0), rcond=None)[0]
        self._nodes, self._log, self._within = nodes, log, within
        points = np.linspace(within[0], within[1], 3 * count + 1)
        residual = self(self.f(points)) - self.multiplier * self(points)
        return bool(np.abs(residual).max() <= _RESOLVED * np.abs(self(within)).max())

    def __call__(self, s: Array) -> Array:
        """The coordinate of points of the interval, any shape.

        Raises:
            IPNetError: the fixed point is so slow to reach that phi cannot be followed.
        """
        at, scale = np.array(s, np.float64).ravel(), np.ones(np.size(s))
        for _ in range(_LONGEST):
            outside = np.flatnonzero((at < self._within[0]) | (at > self._within[1]))
            if not outside.size:
                break
            at[outside] = self.f(at[outside])
            scale[outside] /= self.multiplier
        else:
            raise IPNetError(f"a map must come near its fixed point within {_LONGEST} steps to be linearised.")
        phi: Array = scale * (at - self.fixed) * np.exp(_evaluation(self._nodes, at) @ self._log)
        return phi.reshape(np.shape(s))

    def inverse(self, z: Array) -> Array:
        """The points s at which phi(s) = z, any shape."""
        return invert(lambda s: self(s), self.interval, np.reshape(z, (1, -1))).reshape(np.shape(z))


def invert(functions: Function, interval: tuple[float, float], z: Array) -> Array:
    """Points s [F, K] at which rising functions, one a row, are z: Newton's method, slopes of a rough table."""
    rough = np.tile(np.linspace(*interval, 129), (len(z), 1))
    values, step = functions(rough), (interval[1] - interval[0]) / 128
    rise = np.gradient(values, axis=1)
    inverse = np.divide(step, rise, out=np.zeros_like(rise), where=rise > 0)
    s, slopes = (np.stack([np.interp(*row) for row in zip(z, values, y, strict=True)]) for y in (rough, inverse))
    last = np.inf
    for _ in range(60):
        change = (functions(s) - z) * slopes
        s = np.clip(s - change, *interval)
        change = np.abs(change).max() / (interval[1] - interval[0])
        if change <= 4e-16 or last / 2 < change < 1e-13:  # nothing but rounding is left
            break
        last = change
    return s


def in_parts(function: Function, x: Array) -> Array:
    """A function of each column of `x`, which needs some hundred bytes for each, without needing them at once."""
    parts = np.array_split(x, 1 + x.size // _PART, axis=-1)
    return np.concatenate([function(part) for part in parts], axis=-1)


class Slow:
    """A map F of several variables that forgets all but one within a step, as a map of the slow one.

    pi(s) = q where F(s) and F(line(q)) have the same slow variable, line(q) = (q, the others at rest),

    so that s and line(pi(s)) have one future, and F is q -> pi(F(line(q))); with one variable pi(s) = s.

    Args:
        step: F, of states [variables, ...], differentiable.
        rest: where the line lies, and of which variable F leaves most there: the slow one.
    """

    def __init__(self, step: Callable[[Tensor], Tensor], rest: Sequence[float]) -> None:
        self._step, self._rest, self._single = step, rest, len(rest) == 1
        at = torch.tensor(rest, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda s: step(s[:, None])[:, 0], at)  # type: ignore[no-untyped-call]
        self.index = int(jacobian.diagonal().argmax())

    def line(self, q: Tensor) -> Tensor:
        """The states [variables, ...] with the slow variable q [...], the others at rest."""
        return torch.stack([q if v == self.index else 0 * q + rest for v, rest in enumerate(self._rest)])

    def __call__(self, states: Array) -> Array:
        """The slow variable pi of states [variables, ...]."""
        q: Array = states[self.index].copy()
        if not self._single:
            target = self._step(torch.from_numpy(states))[self.index].detach().numpy()
            for _ in range(20):  # where the fast variables hardly matter, the first suffices
                missing = target - self._step(self.line(torch.from_numpy(q)))[self.index].detach().numpy()
                if np.abs(missing).max() <= 1e-15 * np.abs(target).max():
                    break
                rate = self._rate(q, 1)
                q += np.divide(missing, rate, out=np.zeros_like(q), where=rate > _DIES)
        return q

    def f(self, q: Array) -> Array:
        """The map of the slow variable."""
        return self(self._step(self.line(torch.from_numpy(q))).detach().numpy())

    def slope(self, q: Array) -> Array:
        """Its derivative."""
        if self._single:
            return self._rate(q, 1)
        once, twice = self._rate(self.f(q), 1), self._rate(q, 2)
        return np.divide(twice, once, out=np.zeros_like(q), where=once > _DIES)

    def _rate(self, q: Array, steps: int) -> Array:
        """The derivative of the slow variable some steps after line(q)."""
        at = torch.from_numpy(q).requires_grad_()
        states = self.line(at)
        for _ in range(steps):
            states = self._step(states)
        return np.asarray(torch.autograd.grad(states[self.index].sum() + 0 * at.sum(), at)[0])  # F may be constant


class Table:
    """Functions on one interval as polynomials on pieces of equal width, to a given precision.

    The number of pieces is doubled until the error between the nodes, which are those of Chebyshev in each piece,
    is at most `precision` times the value of the function, or `floor` times its largest magnitude where that is
    more.

    Args:
        functions: maps points [K] to values [F, K].
        interval: the smallest and the largest point.
        precision: the error that is aimed at, relative.
        pieces: the largest number of pieces.
        floor: 1 for an error relative to the largest magnitude of a function, less for one relative to its value.

    Attributes:
        coefficients: [F, pieces, 8], of the powers 0 to 7 of the position -1 to 1 in the piece.
        error: largest error found, relative.

    Example:
        >>> table = Table(lambda x: np.sin(x)[None], (0.0, 3.0), precision=1e-12, pieces=64)
        >>> table.coefficients.shape[1] <= 16, bool(abs(table(np.array([1.0])) - np.sin(1.0)).max() < 1e-12)
        (True, True)
    """

    def __init__(
        self,
        functions: Function,
        interval: tuple[float, float],
        *,
        precision: float,
        pieces: int,
        floor: float = 1.0,
    ) -> None:
        self.interval, count = interval, 1
        nodes, between = _chebyshev(DEGREE + 1), _chebyshev(DEGREE + 2)
        orders = np.arange(DEGREE + 1)
        to_series = np.cos(orders[:, None] * np.arccos(nodes)) * np.where(orders, 2, 1)[:, None] / nodes.size
        to_powers = np.stack([np.pad(cheb2poly(one), (0, DEGREE - i)) for i, one in enumerate(np.eye(DEGREE + 1))])
        while True:
            values = self._sample(functions, nodes, count)
            self.coefficients: Array = np.ascontiguousarray(values @ to_series.T @ to_powers)
            found = self.coefficients @ np.vander(between, DEGREE + 1, increasing=True).T
            true = self._sample(functions, between, count)
            extent = np.maximum(np.abs(true).max((1, 2), keepdims=True), np.finfo(float).tiny)
            self.error = float((np.abs(found - true) / np.maximum(np.abs(true), floor * extent)).max())
            if self.error <= precision or 2 * count > pieces:
                return
            count *= 2

    def _sample(self, functions: Function, at: Array, count: int) -> Array:
        """Values [F, count, len(at)] at the same positions of each of `count` pieces."""
        width = (self.interval[1] - self.interval[0]) / count
        points = self.interval[0] + width * (np.arange(count)[:, None] + (at + 1) / 2)
        return functions(points.ravel()).reshape(-1, *points.shape)

    def __call__(self, x: Array, which: slice = slice(None)) -> Array:
        """All or some functions at points [K]: [F, K]; beyond the interval the outermost pieces are continued."""
        count = self.coefficients.shape[1]
        place = (x - self.interval[0]) * (count / (self.interval[1] - self.interval[0]))
        piece = np.clip(place.astype(np.int64), 0, count - 1)
        powers = np.vander(2 * (place - piece) - 1, DEGREE + 1, increasing=True)
        return np.asarray(np.einsum("fkc,kc->fk", self.coefficients[which, piece], powers))
