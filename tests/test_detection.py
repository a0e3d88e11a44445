"""Sensitivity and criterion: values from a table of the normal distribution, and symmetries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipnet.detection import d_prime
from ipnet.errors import IPNetError

COUNTS = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_values_of_the_normal_table() -> None:
    """H = 2.5 / 4 and F = 0.5 / 4 have z = 0.3186 and -1.1503; 84.5 / 100 and 15.5 / 100, 1.0152 and -1.0152."""
    assert d_prime(2, 3, 0, 3) == pytest.approx((1.4690, 0.4159), abs=1e-4)
    assert d_prime(84, 99, 15, 99) == pytest.approx((2.0304, 0.0), abs=1e-4)
    assert d_prime(0, 3, 0, 7).criterion > 0  # nothing was called old


@given(COUNTS, COUNTS)
def test_exchanged_items_and_exchanged_answers(old: tuple[int, int], new: tuple[int, int]) -> None:
    found = d_prime(*old, *new)
    assert d_prime(*new, *old) == pytest.approx((-found.d_prime, found.criterion), abs=1e-9)
    turned = d_prime(old[1] - old[0], old[1], new[1] - new[0], new[1])
    assert turned == pytest.approx((-found.d_prime, -found.criterion), abs=1e-9)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((5, 4, 0, 4), "hits must be 0 to the number of items, 1 or more of them; got 5 of 4"),
        ((-1, 4, 0, 4), "hits .* got -1 of 4"),
        ((0, 4, 5, 4), "false alarms .* got 5 of 4"),
        ((0, 4, 0, 0), "false alarms .* got 0 of 0"),
    ],
)
def test_impossible_counts(counts: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        d_prime(*counts)
