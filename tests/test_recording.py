"""Recordings: what every format must do, what none can read, and real recordings against other decoders."""

import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clips import SENSOR, account, attempted, clip, encoded, opened, put
from ipnet.errors import IPNetError
from ipnet.events import EVENT, Events, check_events, make_events
from ipnet.recording import FORMATS, open_events

FORMAT_NAMES = sorted(FORMATS)

# What every format must do -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_what_is_written_is_read_back_in_chunks_of_any_size(name: str, tmp_path: Path) -> None:
    events = clip(1003)
    path = encoded(tmp_path, name, events)
    for size in (1, 7, 1000, 1003, 5000):
        recording = opened(path, chunk=size)
        chunks = list(recording)
        assert [chunk.size for chunk in chunks] == [size] * (1003 // size) + [1003 % size] * (1003 % size > 0)
        assert np.array_equal(np.concatenate(chunks), events)
        assert recording.format == name
        assert recording.sensor == SENSOR
        assert not recording.refused
    assert np.array_equal(recording.read(), events)


@pytest.mark.parametrize("name", FORMAT_NAMES)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_clip_survives(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    fields = {"t": (0, 2**23 - 1), "x": (0, 239), "y": (0, 179), "p": (0, 1)}
    n = data.draw(st.integers(1, 300))
    events = make_events(
        *(data.draw(arrays.arrays(np.int64, n, elements=st.integers(*bounds))) for bounds in fields.values())
    )
    path = encoded(tmp_path_factory.mktemp("any"), name, events)
    assert np.array_equal(opened(path, chunk=data.draw(st.integers(1, 400))).read(), events)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_iterations_are_independent_and_can_be_left(name: str, tmp_path: Path) -> None:
    events = clip(300)
    with opened(encoded(tmp_path, name, events), chunk=64) as recording:
        first, second = iter(recording), iter(recording)
        next(first)
        pairs = list(zip(recording, second, strict=True))
        assert all(np.array_equal(a, b) for a, b in pairs)
        assert np.array_equal(np.concatenate([a for a, _ in pairs]), events)
        left = iter(recording)
        next(left)
    with pytest.raises(StopIteration):
        next(left)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_wherever_a_file_is_cut_what_is_whole_is_delivered_and_the_cut_is_told(name: str, tmp_path: Path) -> None:
    events = clip(40)
    path = encoded(tmp_path, name, events)
    content = path.read_bytes()
    silent = 0
    for size in range(0, len(content), 1 + len(content) // 500):
        path.write_bytes(content[:size])
        recording, got = attempted(path, format=name)
        if recording is None:
            continue
        assert np.array_equal(got[:-1], events[: got.size - 1])  # a number cut in its middle is still a number
        if name != "text":
            assert np.array_equal(got, events[: got.size])
        silent += got.size < events.size and not recording.refused
    # Only a cut between two records cannot be seen, in files that do not say how long they are.
    between = {"bin40": 40, "dat": 40, "evt2": 80, "evt3": 160, "aedat3": 3, "aedat4": 3, "text": len(content)}
    assert silent <= between.get(name, 0)


@pytest.mark.parametrize("name", FORMAT_NAMES)
@pytest.mark.parametrize(
    ("change", "reason", "rule"),
    [
        ({"x": 239 + 1}, "off the sensor", r"sensor of 240x180 pixels; event 107 has x = 240"),
        ({"y": 179 + 1}, "off the sensor", r"sensor of 240x180 pixels; event 107 has x = \d+, y = 180"),
        ({"t": -1}, "earlier than the event before", r"times must not decrease; event 107 does"),
        ({"p": 3}, "of a polarity other than 0 and 1", r"polarity must be 0 or 1; event 107 has 3"),
    ],
)
def test_a_bad_event_is_refused_counted_and_placed(
    name: str, change: dict[str, int], reason: str, rule: str, tmp_path: Path
) -> None:
    if "p" in change and name not in ("aedat4", "dat", "hdf5", "npy", "text"):
        pytest.skip("the format has one bit for the polarity")
    events = clip(120)
    events["t"] += np.arange(120) + 1
    bad = events.copy()
    for field, value in change.items():
        bad[field][[107, 109]] = value if value >= 0 else bad[field][106] - 1
    path = encoded(tmp_path, name, bad)
    recording = opened(path)
    assert np.array_equal(recording.read(), np.delete(events, [107, 109]))
    assert recording.refused.events == 2
    ((found, (count, unit, first)),) = account(recording).items()
    assert (found, count, unit) == (reason, 2, "event")
    whole = encoded(tmp_path, name, events[:107]).read_bytes()
    if FORMATS[name].place == "byte" and name != "aedat4":  # there, the place is that of the packet
        assert len(whole) <= first < len(whole) + 8
    encoded(tmp_path, name, bad)
    with pytest.raises(IPNetError, match=rule):
        opened(path, strict=True).read()
    with pytest.raises(IPNetError, match=rf"clip.*\(at (byte|line|row) {first}\)"):
        opened(path, strict=True).read()


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_no_good_event_is_an_error(name: str, tmp_path: Path) -> None:
    events = clip(3)
    with pytest.raises(IPNetError, match=r"clip\.\w+'.*(at least one event|got none|no events)"):
        opened(encoded(tmp_path, name, events[:0])).read()
    events["x"] = 239 + 1
    with pytest.raises(IPNetError, match=r"got none: 3 events off the sensor, the first at (byte|line|row) \d+"):
        opened(encoded(tmp_path, name, events)).read()


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_a_format_that_does_not_state_its_sensor_asks_for_it(name: str, tmp_path: Path) -> None:
    path = encoded(tmp_path, name, clip(3))
    if name in ("bin40", "npy"):
        with pytest.raises(IPNetError, match=r"does not state its sensor; give sensor = \(height, width\)"):
            open_events(path)
        return
    assert open_events(path).sensor == SENSOR
    with pytest.raises(
        IPNetError, match=r"states \(height, width\) = \(180, 240\); got \(240, 180\): leave it out"
    ):
        open_events(path, sensor=(240, 180))


def test_a_file_dropped_into_the_folder_is_found(plugin: Any, tmp_path: Path) -> None:
    plugin(
        "recording",
        "triples",
        """
        import numpy as np
        from ipnet.recording import Batch, EventFormat

        class Triples(EventFormat):
            suffixes = (".tri",)
            magic = False

            def __init__(self, path, stated):
                self.path = path

            def batches(self, refused):
                t, x, y = np.fromfile(self.path, "u1").reshape(-1, 3).T.astype(np.int32)
                yield Batch(t.astype(np.int64), x.copy(), y.copy(), np.zeros_like(x), range(0, 3 * x.size, 3))

            @classmethod
            def encode(cls, events, sensor):
                return np.stack([events[name] for name in "txy"], axis=1).astype("u1").tobytes()
        """,
    )
    assert "triples" in list(FORMATS)
    events = make_events([1, 2], [3, 4], [5, 6], [0, 0])
    assert np.array_equal(opened(encoded(tmp_path, "triples", events)).read(), events)


# What no format can read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.bin", None, r"gone\.bin' cannot be read \(No such file"),
        ("empty.raw", b"", r"empty\.raw': a clip must hold at least one event; got an empty file"),
        (
            "a.mp4",
            b"ftypisom",
            r"a\.mp4' is of no known format\. Known: aedat3, aedat4, bin40, .*format = '<name>'",
        ),
        (
            "a.raw",
            b"\0\0\0\x80",
            r"a\.raw' is of no known format; it begins with .*, as no evt2 or evt3 file does",
        ),
        ("a.raw", b"% format EVT21;height=720;width=1280\n% end\n", r"a\.raw' is of no known format; it begins"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), r"a\.h5' cannot be read as HDF5"),
        ("a.npy", b"\x93NUMPY\x01\0\x10\0{'descr': '<f8'}", r"a\.npy': it must begin like a NumPy array"),
        ("a.dat", b"% Data file containing CD events\n% Version 1\n\x0c\x08", r"version 2; got version 1"),
        ("a.dat", b"% Data file containing x\n% Version 2\n\x0e\x08", r"byte 37: .* got type 14 of 8 bytes"),
        ("a.dat", b"% Data file containing x\n% Version 2\n", r"byte 37: .* got type -1 of -1 bytes"),
        ("a.aedat", b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n", r"must end in '#!END-HEADER'"),
        ("a.aedat4", b"#!AER-DAT4.0\r\n\x08\0\0\0", r"its header is damaged \(it says 8 bytes and has 0"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(IPNetError, match=message):
        opened(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 0}, r"at least 1 event; got chunk = 0"),
        ({"chunk": 2.5}, r"got chunk = 2\.5"),
        ({"sensor": (0, 5)}, r"sensor must be \(height, width\) in pixels, 1 to 32767 each; got \(0, 5\)"),
        ({"sensor": (34, 40_000)}, r"got \(34, 40000\)"),
        ({"sensor": (34,)}, r"got \(34,\)"),
        ({"columns": "txy"}, r"columns must name t, x, y and p once each; got 'txy'"),
        ({"time_unit": "ms"}, r"time_unit must be 's' or 'us'; got 'ms'"),
        ({"format": "evt4"}, r"unknown recording format 'evt4'; did you mean 'evt\d'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=message):
        opened(encoded(tmp_path, "bin40", clip(3)), **options)


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=r"must be a file; got the folder"):
        open_events(tmp_path)


def test_a_file_is_recognised_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    events = clip(10)
    for name in FORMAT_NAMES:
        if FORMATS[name].magic:
            assert opened(put(tmp_path, FORMATS[name].encode(events, SENSOR), ".bin")).format == name


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    pair = np.zeros((2_000_000, 2), "<u4")
    pair[:, 0] = np.arange(2_000_000)
    path = put(tmp_path, b"% Data file containing CD events\n% Version 2\n\x0c\x08" + pair.tobytes(), ".dat")
    total = sum(chunk.size for chunk in opened(path))  # compiled before it is measured
    tracemalloc.start()
    total += sum(chunk.size for chunk in opened(path, chunk=10_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 4_000_000
    assert peak < 12_000_000  # the events alone have 26 MB


# Real recordings, against independent decoders -----------------------------------------------------------------

RECORDINGS: dict[str, tuple[str, int, tuple[int, int], bool]] = {
    "davis346_aestream_0.13s.aedat4": ("aedat4", 117_667, (260, 346), True),
    "davis346_frames_imu_0.17s.aedat4": ("aedat4", 6_676, (260, 346), True),
    "evt2_sample.raw": ("evt2", 539_481, (480, 640), True),
    "ncars_sample.dat": ("dat", 2_009, (100, 120), False),
    "faces_easy_0001.bin": ("bin40", 67_445, (180, 240), False),
}


@pytest.mark.data
@pytest.mark.parametrize("name", RECORDINGS)
def test_real_recordings(name: str, data_root: Path) -> None:
    kind, count, sensor, stated = RECORDINGS[name]
    recording = open_events(data_root / "recordings" / name, sensor=None if stated else sensor)
    events = recording.read()
    assert (recording.format, events.size, recording.sensor) == (kind, count, sensor)
    assert not recording.refused
    check_events(events, sensor, name)


def by_aedat(path: Path) -> Iterator[Any]:
    aedat = pytest.importorskip("aedat")
    yield from (packet["events"] for packet in aedat.Decoder(path) if "events" in packet)


def by_dv(path: Path) -> Iterator[Any]:
    dv = pytest.importorskip("dv_processing")
    reader = dv.io.MonoCameraRecording(str(path))
    while reader.isRunning() and (batch := reader.getNextEventBatch()) is not None:
        found = batch.numpy()
        yield np.rec.fromarrays(
            [found["timestamp"], found["x"], found["y"], found["polarity"]], names=["t", "x", "y", "on"]
        )


def by_faery(path: Path) -> Iterator[Any]:
    yield from pytest.importorskip("faery").events_stream_from_file(path, dimensions_fallback=(640, 480))


def by_hand(path: Path) -> Iterator[Any]:
    """The DAT file with `struct` alone."""
    content = path.read_bytes()
    start = content.index(b"29:21\n") + len(b"29:21\n") + 2
    found = np.array(
        [(t, w & 0x3FFF, w >> 14 & 0x3FFF, w >> 28) for t, w in struct.iter_unpack("<II", content[start:])]
    )
    yield dict(zip(("t", "x", "y", "on"), found.T, strict=True))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("davis346_aestream_0.13s.aedat4", by_aedat),
        ("davis346_aestream_0.13s.aedat4", by_dv),
        ("davis346_frames_imu_0.17s.aedat4", by_aedat),
        ("davis346_frames_imu_0.17s.aedat4", by_faery),
        ("evt2_sample.raw", by_faery),
        ("ncars_sample.dat", by_hand),
    ],
)
def test_other_decoders_agree_on_real_recordings(name: str, oracle: Any, data_root: Path) -> None:
    path = data_root / "recordings" / name
    events = open_events(path, sensor=RECORDINGS[name][2]).read()
    assert_same(events, list(oracle(path)))


def assert_same(events: Events, parts: list[Any]) -> None:
    for field, other in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        assert np.array_equal(events[field], np.concatenate([part[other] for part in parts]).astype(np.int64)), (
            field
        )


@pytest.mark.parametrize("name", ["evt2", "evt3", "dat", "aedat4"])
def test_other_decoders_read_what_encode_writes(name: str, tmp_path: Path) -> None:
    events = clip(500)
    path = encoded(tmp_path, name, events)
    assert_same(events, list((by_aedat if name == "aedat4" else by_faery)(path)))


@pytest.mark.parametrize(("version", "suffix"), [("evt2", ".raw"), ("evt3", ".raw"), ("dat2", ".dat")])
def test_what_another_library_writes_is_read(version: str, suffix: str, tmp_path: Path) -> None:
    faery = pytest.importorskip("faery")
    events = clip(2000)
    theirs = np.zeros(events.size, faery.EVENTS_DTYPE)
    for field, other in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        theirs[other] = events[field]
    path = tmp_path / f"clip{suffix}"
    faery.events_stream_from_array(theirs, SENSOR[::-1]).to_file(path, version=version, zero_t0=False)
    assert np.array_equal(open_events(path).read(), events)


def test_chunks_are_event_arrays(tmp_path: Path) -> None:
    for name in FORMAT_NAMES:
        for chunk in opened(encoded(tmp_path, name, clip(30)), chunk=20):
            assert chunk.dtype == EVENT
            assert chunk.flags.writeable
