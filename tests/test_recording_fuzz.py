"""Damaged recordings: whatever the bytes, readers give a result that accounts for every event, or an `IPNetError`.

Each reader sees mutated copies (bits flipped, cut, bytes inserted, blocks repeated, zeroed or exchanged, header
bytes overwritten) of a file that its format's `encode` wrote and, with ``IPNET_DATA``, of a real recording. By
default 150 of each, of recordings of at most 64 KiB but for AEDAT 4.0; the full run is

    IPNET_FUZZ=10000 python -m pytest -s tests/test_recording_fuzz.py

A reader that hangs is ended after a minute with a traceback.
"""

import faulthandler
import os
import random
import re
import resource
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clips import SENSOR, attempted, clip, opened
from ipnet.errors import IPNetError
from ipnet.events import check_events
from ipnet.recording import FORMATS

COUNT = int(os.environ.get("IPNET_FUZZ", "150"))
FULL = COUNT >= 1000
MEMORY = 700 << 10  # KiB by which a process may grow over all copies of a file
REAL = {
    "evt2": ("evt2_sample.raw", (480, 640)),
    "dat": ("ncars_sample.dat", (100, 120)),
    "bin40": ("faces_easy_0001.bin", (180, 240)),
    "aedat4": ("davis346_frames_imu_0.17s.aedat4", (260, 346)),
}


@pytest.fixture(autouse=True)
def _hangs_end() -> Iterator[None]:
    yield
    faulthandler.cancel_dump_traceback_later()


# How many events damaged bytes hold, counted again as simply as can be; None where that cannot be said


def words(content: bytes, kind: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """What follows the lines that begin with %, as whole numbers."""
    start = 0
    while (line := re.compile(rb"%( [\t -~]*)?\r?\n").match(content, start)) is not None:
        start = line.end()
        if line[0].startswith(b"% end"):
            break
    size = np.dtype(kind).itemsize
    return np.frombuffer(content, kind, (len(content) - start) // size, start).astype(np.int64)


def count_evt3(content: bytes) -> int:
    found = words(content, "<u2")
    vectors = [(found[found >> 12 == kind] & mask) for kind, mask in ((4, 0xFFF), (5, 0xFF))]
    return int((found >> 12 == 2).sum()) + sum(int(bits).bit_count() for part in vectors for bits in part)


def count_aedat3(content: bytes) -> int:
    start = content.index(b"#!END-HEADER\r\n") + 14
    total = 0
    while start + 28 <= len(content):
        kind, _, size, at, turns, capacity, number, valid = struct.unpack_from("<hhiiiiii", content, start)
        sound = 0 <= kind < 14 and size >= 8 and turns >= 0 and 0 <= valid <= number <= capacity
        if not sound or (kind == 1 and (size, at) != (8, 4)):
            break
        start += 28 + number * size
        if kind == 1:
            total += number if start <= len(content) else number - (start - len(content) + 7) // 8
    return total


def count_aedat4(content: bytes) -> int | None:
    """Of packets with the usual offsets; None if one has others."""
    start = 18 + struct.unpack_from("<I", content, 14)[0]
    table = struct.unpack_from("<q", content, 14 + 22)[0]
    streams = {int(name) for name in re.findall(rb'<node\s+name="(\d+)"', content[:start])}
    total = 0
    while start + 8 <= len(content) and start != table:
        stream, size = struct.unpack_from("<ii", content, start)
        if stream not in streams or not 0 <= size <= len(content) - start - 8:
            break
        if stream == 0:
            number = count_packet(content[start + 8 : start + 8 + size])
            if number is None:
                return None
            total += number
        start += 8 + size
    return total


def count_packet(content: bytes) -> int | None:
    try:
        body = lz4.frame.LZ4FrameDecompressor().decompress(content, 1 << 26)
    except RuntimeError:
        return 0
    number = struct.unpack_from("<I", body, 28)[0] if len(body) >= 32 else 0
    if body[4:28] != struct.pack("<I4s2x3HiI", 16, b"EVTS", 6, 8, 4, 6, 4):
        return None if body[8:12] == b"EVTS" else 0
    whole = struct.unpack_from("<I", body)[0] == len(body) - 4 and 0 <= len(body) - 32 - 16 * number < 16
    return number if whole else 0


def count_text(content: bytes) -> int | None:
    """None if the lines before the events are not the two that `encode` writes."""
    lines = content.split(b"\n")
    if lines[:2] != [b"240 180", b"t x y p"]:
        return None
    return sum(1 for line in lines[2:] if not re.match(rb"\s*([#%]|$)", line))


COUNTS: dict[str, Callable[[bytes], int | None]] = {
    "evt2": lambda content: int((words(content, "<u4") >> 28 <= 1).sum()),
    "evt3": count_evt3,
    "dat": lambda content: (words(content, "u1").size - 2) // 8,
    "bin40": lambda content: sum(row != 240 for row in content[1 : len(content) // 5 * 5 : 5]),
    "aedat3": count_aedat3,
    "aedat4": count_aedat4,
    "text": count_text,
}


# The damage ----------------------------------------------------------------------------------------------------


def damaged(content: bytes, seed: int) -> bytes:
    """A copy with one kind of damage; the same for the same seed."""
    rng, made = random.Random(seed), bytearray(content)
    place, size = rng.randrange(len(made)), rng.choice([1, 2, 5, 8, 100, 4096])
    match rng.choice(["flip", "flip", "cut", "insert", "repeat", "zero", "exchange", "header"]):
        case "flip":
            for _ in range(rng.choice([1, 1, 2, 40])):
                made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
        case "cut":
            del made[place:]
        case "insert":
            made[place:place] = rng.randbytes(size)
        case "repeat":
            made[place:place] = made[place : place + size]
        case "zero":
            made[place : place + size] = bytes(len(made[place : place + size]))
        case "exchange":
            other = rng.randrange(len(made))
            made[place : place + size], made[other : other + size] = (
                made[other : other + size],
                made[place : place + size],
            )
        case "header":
            for _ in range(rng.choice([1, 2, 8])):
                made[rng.randrange(min(len(made), 400))] = rng.randrange(256)
    return bytes(made)


def check(name: str, path: Path, content: bytes, sensor: tuple[int, int], seed: int) -> str:
    """Read a damaged file; say what came of it."""
    faulthandler.dump_traceback_later(60, exit=True)
    path.write_bytes(content)
    asked = name if seed % 3 else None
    recording, events = attempted(path, format=asked, sensor=sensor)
    if recording is None:
        recording, events = attempted(path, format=asked, sensor=None)  # perhaps the sensor is what was damaged
    if recording is None:
        return "error"
    name = recording.format
    check_events(events, recording.sensor, str(path))
    count = COUNTS[name](content) if name in COUNTS else None
    assert count is None or events.size + recording.refused.events == count, (events.size, str(recording.refused))
    if seed % 10 == 0:
        again = opened(path, format=name, sensor=recording.sensor, chunk=1 + seed % 97)
        assert np.array_equal(again.read(), events)
        assert str(again.refused) == str(recording.refused)
    if seed % 10 == 1 and recording.refused:
        with pytest.raises(IPNetError, match=re.escape(str(path))):
            opened(path, format=name, sensor=recording.sensor, strict=True).read()
    return "refusals" if recording.refused else "whole"


def fuzz(name: str, folder: Path, content: bytes, sensor: tuple[int, int]) -> None:
    path = folder / f"clip{FORMATS[name].suffixes[0]}"
    check(name, path, content, sensor, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = []
    for seed in range(COUNT):
        try:
            results.append(check(name, path, damaged(content, seed), sensor, seed))
        except BaseException as error:
            error.add_note(f"{name}, seed {seed}")
            raise
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY
    tally = {kind: results.count(kind) for kind in sorted(set(results))}
    print(f"{name}: {COUNT} damaged copies of {len(content)} bytes: {tally}")
    assert len(tally) >= 2  # the damage was felt, and it did not make everything unreadable


@pytest.mark.parametrize("name", list(FORMATS))
def test_damaged_files(name: str, tmp_path: Path) -> None:
    fuzz(name, tmp_path, FORMATS[name].encode(clip(300), SENSOR), SENSOR)


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_damaged_recordings(name: str, data_root: Path, tmp_path: Path) -> None:
    file, sensor = REAL[name]
    content = (data_root / "recordings" / file).read_bytes()
    fuzz(name, tmp_path, content if FULL else content[: 1 << 16 if name != "aedat4" else None], sensor)


@pytest.mark.parametrize("name", list(FORMATS))
@given(tail=st.binary(max_size=400), keep=st.integers(0, 2000))
@settings(max_examples=30 if not FULL else 1000, deadline=None)
def test_any_bytes_after_a_sound_beginning(
    name: str, tail: bytes, keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = FORMATS[name].encode(clip(60), SENSOR)[:keep] + tail
    check(name, tmp_path_factory.mktemp("tail") / f"clip{FORMATS[name].suffixes[0]}", content, SENSOR, keep)
