"""Shots: the samples that a bench sends, and what it refuses to sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.shots import Protocol, Shot, digest, points_of, protocol_of, segments, waveform

PROTOCOL = Protocol(sample_time=10e-9, V_read=0.05, t_read=30e-9, V_reset=0.4, t_reset=20e-9, t_cool=70e-9)


def test_samples_say_segment_after_segment_and_where_each_read_begins() -> None:
    shots = [Shot([-0.3, 0.0, 0.28], [20e-9, 10e-9, 10e-9]), Shot([0.1], [10e-9])]
    samples, reads = waveform(shots, PROTOCOL)
    after = [-0.05] * 3 + [-0.4] * 2 + [0.0] * 7
    assert samples.tolist() == [0.0, -0.3, -0.3, 0.0, 0.28, *after, 0.1, *after]
    assert reads.tolist() == [5, 18]


@given(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=9), min_size=1, max_size=9))
def test_whole_samples_are_neither_lost_nor_added(widths: list[list[int]]) -> None:
    shots = [Shot([-0.1 - 0.01 * i for i in range(len(w))], [n * 10e-9 for n in w]) for w in widths]
    samples, reads = waveform(shots, PROTOCOL)
    assert len(samples) == 1 + sum(map(sum, widths)) + 12 * len(widths)
    assert len(samples) == 1 + sum(points_of(shot, PROTOCOL) for shot in shots)
    assert (samples[reads] == -0.05).all()
    assert (samples[reads - 1] <= -0.1).all()
    V, t = segments(shots, PROTOCOL)
    assert np.isclose((V * t).sum(), samples.sum() * 10e-9)


def test_the_protocol_of_a_card_waits_until_its_slowest_pole_is_cold() -> None:
    mtj = load_device("mtj-thermal")
    protocol = protocol_of(mtj, sample_time=3e-9)
    assert (protocol.V_read, protocol.V_reset) == (0.05, 0.4)
    assert np.allclose([protocol.t_read, protocol.t_reset], [12e-9, 21e-9])  # whole samples, never fewer
    assert 20e-6 <= protocol.t_cool < 20e-6 + 3e-9
    assert protocol_of(mtj, t_read=50e-9).t_read == 50e-9


@pytest.mark.parametrize(
    ("V", "t", "word"),
    [
        ([], [], "one segment at least"),
        ([0.1], [1e-8, 1e-8], "one voltage and one duration"),
        ([0.1, np.nan], [1e-8, 1e-8], "finite; got nan V"),
        ([np.inf], [1e-8], "finite; got inf V"),
        ([0.1], [0.0], "longer than 0 s"),
        ([0.1], [np.nan], "longer than 0 s"),
    ],
)
def test_a_shot_that_cannot_be_played_is_refused(V: list[float], t: list[float], word: str) -> None:
    with pytest.raises(IPNetError, match=word):
        Shot(V, t)


def test_a_duration_between_two_samples_is_refused() -> None:
    with pytest.raises(IPNetError, match="multiple of the sample time, 10 ns; got 25 ns"):
        waveform([Shot([0.1], [25e-9])], PROTOCOL)
    with pytest.raises(IPNetError, match="multiple of the sample time"):
        Protocol(sample_time=10e-9, V_read=0.05, t_read=35e-9, V_reset=0.4, t_reset=20e-9, t_cool=70e-9)
    with pytest.raises(IPNetError, match="V_read of a protocol must be positive"):
        Protocol(sample_time=10e-9, V_read=0.0, t_read=30e-9, V_reset=0.4, t_reset=20e-9, t_cool=70e-9)
    with pytest.raises(IPNetError, match="one shot at least"):
        waveform([], PROTOCOL)


def test_a_shot_keeps_what_it_was_given() -> None:
    V = np.array([0.1, 0.2])
    shot = Shot(V, [1e-8, 1e-8])
    V[0] = 9.0
    assert shot.V[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        shot.V[0] = 9.0
    assert digest([shot]) != digest([shot, shot]) != digest([Shot([0.1], [1e-8]), Shot([0.2], [1e-8])])
