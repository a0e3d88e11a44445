"""The narrowest place of a law: the fewest quantities through which everything given acts on a result.

Whoever knows the slopes of the result there need not come back to what is expensive behind it.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

from ipnet.interpolation import roots
from ipnet.symbol import Symbol, ordered

_EXPENSIVE = 8  # multiplications
_WORTH = 30  # what must lie behind, for slopes to be worth their memory


def narrowest(result: Symbol, cost: Mapping[str, int], most: int) -> list[Symbol]:
    """A smallest set of symbols that cuts `result`, and all that is expensive below it, off from what is given.

    Of several the one nearest to what is given is taken.

    Args:
        result: of a law.
        cost: of an operation, in multiplications; 1 for those that are not named.
        most: symbols in the set.

    Returns:
        The set; empty if it would be larger, or if nothing expensive lies behind it.
    """
    order = ordered([result])
    heavy = [symbol for symbol in order if cost.get(symbol.op, 1) >= _EXPENSIVE or symbol is result]
    candidates = [symbol for symbol in dict.fromkeys(roots(order).values()) if symbol not in heavy]
    for size in range(1, most + 1):
        for cut in combinations(candidates, size):
            behind = _behind(heavy, cut)
            if all(symbol.op != "given" for symbol in behind):
                return list(cut) if sum(cost.get(symbol.op, 1) for symbol in behind) > _WORTH else []
    return []


def _behind(results: Sequence[Symbol], cut: Sequence[Symbol]) -> set[Symbol]:
    """Everything that `results` need, down to the cut."""
    found: set[Symbol] = set()
    left = list(results)
    while left:
        symbol = left.pop()
        if symbol not in found and symbol not in cut:
            found.add(symbol)
            left += symbol.args
    return found
