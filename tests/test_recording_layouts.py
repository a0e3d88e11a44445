"""Recordings: every format written byte by byte as it is published, and the damage that each can suffer."""

import re
import struct
from pathlib import Path
from typing import Any

import h5py
import lz4.frame
import numpy as np
import pytest
import zstandard

from clips import SENSOR, account, clip, opened, put
from ipnet.errors import IPNetError
from ipnet.events import make_events
from ipnet.recording import FORMATS, open_events


def evt2(*words: int, header: str = "% evt 2.0\n% geometry 240x180\n") -> bytes:
    return header.encode() + struct.pack(f"<{len(words)}I", *words)


def cd(p: int, t: int, x: int, y: int) -> int:
    return p << 28 | t << 22 | x << 11 | y


def test_evt2(tmp_path: Path) -> None:
    high, trigger, other, reserved = 8 << 28, 10 << 28, 14 << 28, 5 << 28
    words = [
        cd(0, 1, 2, 3),
        high | 2,
        cd(1, 5, 6, 7),
        trigger,
        other,
        15 << 28,
        reserved,
        cd(0, 63, 0, 179),
        high | 3,
    ]
    recording = opened(put(tmp_path, evt2(*words, cd(1, 0, 239, 0)) + b"\1\2\3", ".raw"))
    assert recording.read().tolist() == [(133, 6, 7, 1), (191, 0, 179, 0), (192, 239, 0, 1)]
    start = len("% evt 2.0\n% geometry 240x180\n")
    assert account(recording) == {
        "without a time or an address": (1, "event", start),
        "of a reserved type": (1, "word", start + 24),
        "cut off at the end": (3, "byte", start + 40),
    }


def test_words_that_look_like_a_header_are_words_after_its_end(tmp_path: Path) -> None:
    header = "% evt 2.0\n% geometry 240x180\n% end\n"
    content = header.encode() + b"% a\n" + evt2(8 << 28, cd(1, 5, 6, 7), header="")
    recording = open_events(put(tmp_path, content, ".raw"))
    assert recording.read().tolist() == [(5, 6, 7, 1)]
    assert account(recording) == {"without a time or an address": (1, "event", len(header))}


def test_evt2_turns_over_after_34_bits(tmp_path: Path) -> None:
    high = 8 << 28
    words = [
        high | 0xFFFFFFF,
        cd(1, 63, 0, 0),
        high | 0,
        cd(1, 1, 0, 0),
        high | 0xFFFFFFF,
        cd(1, 0, 0, 0),
        high | 0,
    ]
    content = evt2(*words, cd(0, 0, 5, 0))
    assert opened(put(tmp_path, content, ".raw")).read()["t"].tolist() == [
        2**34 - 1,
        2**34 + 1,
        2 * 2**34 - 64,
        2 * 2**34,
    ]


@pytest.mark.parametrize(
    ("header", "sensor"),
    [
        ("% evt 2.0\n% plugin_name hal_plugin_gen3_fx3\n", (480, 640)),
        ("% evt 2.0\n% plugin_name hal_plugin_gen41_evk2\n", (720, 1280)),
        ("% format EVT2;height=320;width=321\n% end\n", (320, 321)),
        ("% evt 2.0\r\n% width 346\r\n% height 260\r\n", (260, 346)),
        ("% Date 2020-09-14 09:03:25\n% evt 2.0\n% geometry 0x480\n", "must be (height, width)"),
        ("% evt 2.0\n% plugin_name hal_plugin_something\n", "does not state its sensor"),
    ],
)
def test_prophesee_headers(header: str, sensor: tuple[int, int] | str, tmp_path: Path) -> None:
    path = put(tmp_path, evt2(8 << 28 | 1, cd(1, 0, 0, 0), header=header), ".raw")
    if isinstance(sensor, str):
        with pytest.raises(IPNetError, match=re.escape(sensor)):
            open_events(path)
    else:
        recording = open_events(path)
        assert recording.sensor == sensor
        assert recording.read().tolist() == [(64, 0, 0, 1)]


def evt3(*words: int) -> bytes:
    return b"% evt 3.0\n% geometry 240x180\n% end\n" + struct.pack(f"<{len(words)}H", *words)


def test_evt3(tmp_path: Path) -> None:
    row, event, base, vector12, vector8, low, high = (kind << 12 for kind in (0, 2, 3, 4, 5, 6, 8))
    words = [
        *(event | 1, high | 1, low | 2, event | 3, row | 9, event | 1 << 11 | 4),
        *(high | 1, base | 1 << 11 | 100, vector12 | 0b100000000001, vector8 | 0b111110000001, vector12 | 1),
        *(0xA000, 0x7000, 0xE000, 0xF000, 0x1000, 0xD000),
        *(high | 2, event | 8, row | 1 << 11 | 10, low | 1, event | 8),
    ]
    recording = opened(put(tmp_path, evt3(*words) + b"\1", ".raw"))
    assert recording.read().tolist() == [
        (4098, 4, 9, 1),
        *((4098, x, 9, 1) for x in (100, 111, 112, 119, 120)),
        (8192, 8, 9, 0),  # a new high word starts the low one again
        (8193, 8, 10, 0),
    ]
    start = len(b"% evt 3.0\n% geometry 240x180\n% end\n")
    assert account(recording) == {
        "without a time or an address": (2, "event", start),
        "of a reserved type": (2, "word", start + 30),
        "cut off at the end": (1, "byte", start + 44),
    }


def test_evt3_turns_over_after_24_bits(tmp_path: Path) -> None:
    words = [0x8FFF, 0x6FFF, 0x0001, 0x2002, 0x8000, 0x6005, 0x2003, 0x8001, 0x2003, 0x8FFF, 0x8000, 0x2004]
    got = opened(put(tmp_path, evt3(*words), ".raw")).read()
    assert got["t"].tolist() == [2**24 - 1, 2**24 + 5, 2**24 + 4096, 2 * 2**24]


def test_evt3_keeps_its_state_from_block_to_block(tmp_path: Path) -> None:
    words = [0x8001, 0x6001, 0x0002, 0x3003, *[0x7000] * 65_535, 0x5001, *[0x7000] * 65_535, 0x5001]
    assert opened(put(tmp_path, evt3(*words), ".raw")).read().tolist() == [(4097, 3, 2, 0), (4097, 11, 2, 0)]


def test_dat(tmp_path: Path) -> None:
    header = b"% Data file containing CD events\n% Version 2\n% Width 240\n% Height 180\n\x0c\x08"
    words = [(2**32 - 1, 3 | 5 << 14 | 1 << 28), (4, 239 | 179 << 14), (4, 1 | 2 << 28), (3, 0)]
    recording = open_events(put(tmp_path, header + b"".join(struct.pack("<II", *pair) for pair in words), ".dat"))
    assert recording.sensor == SENSOR
    assert recording.read().tolist() == [(2**32 - 1, 3, 5, 1), (2**32 + 4, 239, 179, 0)]
    assert account(recording) == {
        "of a polarity other than 0 and 1": (1, "event", len(header) + 16),
        "earlier than the event before": (1, "event", len(header) + 24),
    }


def test_bin40(tmp_path: Path) -> None:
    # x, y, polarity in bit 7, then 23 bits of time, most significant first; y = 240 adds 2^13 us.
    content = bytes([3, 7, 0xFF, 0xFF, 0xFF, 4, 8, 0x00, 0x00, 0x01, 9, 240, 0, 0, 2, 5, 9, 0x81, 0x02, 0x03])
    recording = opened(put(tmp_path, content, ".bs2"))
    assert recording.read().tolist() == [
        (2**23 - 1, 3, 7, 1),
        (2**23 + 1, 4, 8, 0),
        (2**23 + 0x10203 + 2**13, 5, 9, 1),
    ]
    assert not recording.refused


def test_bin40_keeps_its_clock_from_block_to_block(tmp_path: Path) -> None:
    part = bytes([0, 240, 0, 0, 0]) + bytes([1, 2, 0, 0, 7]) * 2**16
    events = opened(put(tmp_path, part + part + bytes([3, 4, 0, 0, 8]), ".bin")).read()
    assert events.size == 2**17 + 1
    assert events["t"][[0, 2**16, -1]].tolist() == [2**13 + 7, 2**14 + 7, 2**14 + 8]


def aedat3_packet(kind: int, *events: tuple[int, int], turns: int = 0, size: int = 8) -> bytes:
    n = len(events)
    data = b"".join(struct.pack("<Ii", *event).ljust(size, b"\0") for event in events)
    return struct.pack("<hhiiiiii", kind, 1, size, 4, turns, n, n, n) + data


AEDAT3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def test_aedat3(tmp_path: Path) -> None:
    on, off = 5 << 17 | 6 << 2 | 2 | 1, 127 << 17 | 1
    content = AEDAT3 + aedat3_packet(0, (1, 1)) + aedat3_packet(1, (on, 10), (off, 11), (on - 1, 12))
    content += aedat3_packet(3, (1, 13), size=36) + aedat3_packet(1, (on, 2), (off, -1), turns=1)
    recording = open_events(put(tmp_path, content + b"12345", ".aedat"))
    assert recording.sensor == (128, 128)
    assert recording.read().tolist() == [(10, 5, 6, 1), (11, 127, 0, 0), (2**31 + 2, 5, 6, 1)]
    assert account(recording) == {
        "marked invalid in the file": (1, "event", len(AEDAT3) + 36 + 28 + 16),
        "without a time or an address": (1, "event", len(content) - 8),
        "cut off at the end": (5, "byte", len(content)),
    }


@pytest.mark.parametrize("field", [(0, 99), (2, -8), (2, 9), (3, 5), (4, -1), (6, 9), (6, -1), (7, 3)])
def test_aedat3_ends_at_a_damaged_header(field: tuple[int, int], tmp_path: Path) -> None:
    good = aedat3_packet(1, (1, 1), (1, 2))
    header = list(struct.unpack_from("<hhiiiiii", good))
    header[field[0]] = field[1]
    bad = struct.pack("<hhiiiiii", *header) + good[28:]
    recording = open_events(put(tmp_path, AEDAT3 + good + bad + good, ".aedat"))
    assert recording.read()["t"].tolist() == [1, 2]
    assert account(recording) == {"after a damaged packet header": (88, "byte", len(AEDAT3) + 44)}


def aedat4_header(compression: int = 1, table: int = -1, streams: str = "") -> bytes:
    xml = streams or (
        '<dv><node name="outInfo">'
        '<node name="2"><attr key="typeIdentifier">EVTS</attr><node name="info"><attr key="sizeX">240</attr>'
        '<attr key="sizeY">180</attr></node></node><node name="3"><attr key="typeIdentifier">FRME</attr></node>'
        "</node></dv>"
    )
    slots = struct.pack("<5H", 10, 20, 16, 8, 4)
    body = struct.pack("<I4s6x", 24, b"IOHE") + slots + struct.pack("<iIqi", 10, 16, table, compression)
    body += struct.pack("<I", len(xml)) + xml.encode()
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(body)) + body


def aedat4_events(*events: tuple[int, int, int, int], count: int | None = None) -> bytes:
    body = struct.pack("<I4s2x3HiI", 16, b"EVTS", 6, 8, 4, 6, 4)
    body += struct.pack("<I", len(events) if count is None else count)
    body += b"".join(struct.pack("<qhhB3x", *event) for event in events)
    return struct.pack("<I", len(body)) + body


def aedat4_packet(stream: int, content: bytes) -> bytes:
    return struct.pack("<ii", stream, len(content)) + content


COMPRESS = {
    0: bytes,
    1: lz4.frame.compress,
    2: lambda content: lz4.frame.compress(content, compression_level=9),
    3: zstandard.ZstdCompressor().compress,
    4: zstandard.ZstdCompressor(level=19).compress,
}


@pytest.mark.parametrize("compression", COMPRESS)
def test_aedat4(compression: int, tmp_path: Path) -> None:
    pack = COMPRESS[compression]
    parts = [
        aedat4_packet(3, b"frame"),
        aedat4_packet(2, pack(aedat4_events((10**15, 1, 2, 1), (10**15 + 1, 239, 179, 0)))),
        aedat4_packet(2, pack(aedat4_events())),
        aedat4_packet(
            2, pack(aedat4_events((10**15 + 2, -1, 0, 0), (10**15 + 3, 0, 0, 7), (10**15 + 4, 3, 4, 1)))
        ),
    ]
    start = len(aedat4_header())
    table = start + sum(map(len, parts))
    content = aedat4_header(compression, table) + b"".join(parts) + b"the table of the packets"
    recording = open_events(put(tmp_path, content, ".aedat4"))
    assert recording.sensor == SENSOR
    assert recording.read().tolist() == [(10**15, 1, 2, 1), (10**15 + 1, 239, 179, 0), (10**15 + 4, 3, 4, 1)]
    place = table - len(parts[3])
    assert account(recording) == {
        "off the sensor": (1, "event", place),
        "of a polarity other than 0 and 1": (1, "event", place),
    }


ONE, TWO = aedat4_events((1, 1, 2, 1)), aedat4_events((2, 1, 2, 1))
# 72 MB that arrive as 0.3 MB: sound, but no camera writes it, and memory must stay bounded
LARGE = struct.pack("<I", 28 + 16 * 4_500_000) + aedat4_events(count=4_500_000)[4:] + bytes(16 * 4_500_000)


@pytest.mark.parametrize(
    "damaged",
    [
        lz4.frame.compress(ONE)[:-9],
        b"\0" + lz4.frame.compress(ONE)[1:],
        lz4.frame.compress(ONE.replace(b"EVTS", b"IMUS")),
        lz4.frame.compress(aedat4_events((1, 1, 2, 1), count=2)),
        lz4.frame.compress(aedat4_events((1, 1, 2, 1), count=0)),
        lz4.frame.compress(aedat4_events((1, 1, 2, 1), count=2**32 - 1)),
        lz4.frame.compress(ONE[:4] + b"\xff\xff\xff\x7f" + ONE[8:]),
        lz4.frame.compress(LARGE),
        lz4.frame.compress(b""),
        b"",
    ],
)
def test_aedat4_leaves_out_a_packet_that_cannot_be_decoded(damaged: bytes, tmp_path: Path) -> None:
    content = aedat4_header() + b"".join(aedat4_packet(2, part) for part in (damaged, lz4.frame.compress(TWO)))
    recording = open_events(put(tmp_path, content, ".aedat4"))
    assert recording.read().tolist() == [(2, 1, 2, 1)]
    assert account(recording) == {"that cannot be decoded": (1, "packet", len(aedat4_header()))}
    with pytest.raises(
        IPNetError, match=rf"is damaged: packets must be whole.*\(at byte {len(aedat4_header())}\)"
    ):
        open_events(tmp_path / "clip.aedat4", strict=True).read()


def test_aedat4_tells_what_its_packets_do_not_account_for(tmp_path: Path) -> None:
    packet = aedat4_packet(2, lz4.frame.compress(ONE))
    start, end = len(aedat4_header()), len(aedat4_header()) + len(packet)
    for content, expected in (
        (aedat4_header() + packet + packet[:-1], {"cut off at the end": (1, "packet", end)}),
        (aedat4_header() + packet + b"\1\0\0\0zzzz", {"after a damaged packet header": (8, "byte", end)}),
        (aedat4_header() + packet + b"123", {"after a damaged packet header": (3, "byte", end)}),
        (aedat4_header(table=end + 50) + packet, {"cut off at the end": (50, "byte", end)}),
        (
            aedat4_header(table=end - 5) + packet,
            {"across the place of the table (kept)": (1, "packet", start)},
        ),
    ):
        recording = open_events(put(tmp_path, content, ".aedat4"))
        assert recording.read().tolist() == [(1, 1, 2, 1)]
        assert account(recording) == expected


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (aedat4_header(7), r"compression must be 0 to 4 \(none, LZ4, ZSTD\); got 7"),
        (aedat4_header(streams="<dv>"), r"its header is damaged \(no element found"),
        (aedat4_header(streams="<dv/>"), r"must name one stream of events; it names 0"),
        (
            aedat4_header(streams='<dv><node name="x"><attr key="typeIdentifier"/></node></dv>'),
            r"header is damaged",
        ),
    ],
)
def test_aedat4_headers(header: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=message):
        open_events(put(tmp_path, header + aedat4_packet(2, b""), ".aedat4"))


def hdf5(folder: Path, **contents: Any) -> Path:
    """An HDF5 file; ``a__b`` is the data set a/b."""
    with h5py.File(folder / "clip.h5", "w") as file:
        for name, values in contents.items():
            file[name.replace("__", "/")] = values
    return folder / "clip.h5"


CLIP = [(5, 1, 2, 1), (6, 3, 4, 0), (8, 5, 6, 1)]
T, X, Y, P = (np.array(column) for column in zip(*CLIP, strict=True))


def test_hdf5_of_dsec(tmp_path: Path) -> None:
    columns = {"t": T.astype("u4"), "x": X.astype("u2"), "y": Y.astype("u2"), "p": P.astype("u1")}
    path = hdf5(tmp_path, **{f"events__{k}": v for k, v in columns.items()}, t_offset=1000, ms_to_idx=[0])
    assert opened(path).read().tolist() == [(t + 1000, x, y, p) for t, x, y, p in CLIP]


def test_hdf5_of_metavision(tmp_path: Path) -> None:
    table = np.array(
        [(x, y, p, t) for t, x, y, p in CLIP], [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]
    )
    path = hdf5(tmp_path, CD__events=table)
    with h5py.File(path, "a") as file:
        file.attrs["geometry"] = "1280x720"
    recording = open_events(path)
    assert recording.sensor == (720, 1280)
    assert recording.read().tolist() == CLIP


def test_hdf5_whose_heap_is_damaged_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hdf5(tmp_path, events=make_events(T, X, Y, P))
    with h5py.File(path, "a") as file:
        file.attrs["geometry"] = "240x180"
    content = bytearray(path.read_bytes())
    size = content.index(b"GCOL") + 16 + 8  # of the first object of the heap; libhdf5 2.0 waits for it to end
    content[size : size + 8] = bytes(8)
    path.write_bytes(content)
    monkeypatch.setattr("ipnet.recording.hdf5._PATIENCE", 1.0)
    with pytest.raises(IPNetError, match=r"cannot be read as HDF5 \(its attribute 'geometry' cannot be read\)"):
        open_events(path)


def test_hdf5_of_mvsec(tmp_path: Path) -> None:
    table = np.stack([X, Y, 1.5e9 + T * 1e-6, 2 * P - 1], axis=1)
    path = hdf5(tmp_path, davis__left__events=table, davis__left__image_raw=np.zeros((1, 260, 346), "u1"))
    recording = open_events(path)
    assert recording.sensor == (260, 346)
    assert recording.read().tolist() == [(1_500_000_000_000_000 + t, x, y, p) for t, x, y, p in CLIP]


@pytest.mark.parametrize("group", ["prophesee__left", "events"])
def test_hdf5_of_other_tables(group: str, tmp_path: Path) -> None:
    path = hdf5(tmp_path, **{f"{group}__{k}s": v for k, v in zip("txyp", (T * 1e-6, X, Y, P > 0), strict=True)})
    with pytest.raises(IPNetError, match=r"times that are no whole numbers .* give time_unit = 's' or 'us'"):
        opened(path)
    assert opened(path, time_unit="s").read().tolist() == CLIP
    assert opened(hdf5(tmp_path, events=np.stack([X, Y, T, P], axis=1)), columns="xytp").read().tolist() == CLIP
    assert opened(hdf5(tmp_path, events=make_events(T, X, Y, P))).read().tolist() == CLIP


def test_hdf5_of_event_utils_states_its_sensor(tmp_path: Path) -> None:
    path = hdf5(tmp_path, **{f"events__{k}s": v for k, v in zip("txyp", (T, X, Y, P), strict=True)})
    with h5py.File(path, "a") as file:
        file.attrs["sensor_resolution"] = (180, 240)
    assert open_events(path).sensor == SENSOR


def test_hdf5_without_its_codec_names_the_cure(tmp_path: Path) -> None:
    for code, cure in ((0x8ECF, "install Prophesee's hdf5_ecf"), (32_001, "pip install hdf5plugin")):
        if h5py.h5z.filter_avail(code):
            continue
        with h5py.File(tmp_path / "clip.h5", "w") as file:
            table = make_events(T, X, Y, P)
            how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            how.set_chunk((3,))
            how.set_filter(code, h5py.h5z.FLAG_OPTIONAL)
            kind, space = h5py.h5t.py_create(table.dtype), h5py.h5s.create_simple((3,))
            h5py.h5d.create(file.create_group("CD").id, b"events", kind, space, how)
        with pytest.raises(IPNetError, match=rf"HDF5 filter {code}, which is not installed: {cure}"):
            opened(tmp_path / "clip.h5")


def test_hdf5_tells_of_missing_rows_and_of_blocks_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = hdf5(tmp_path, events__t=T, events__x=X, events__y=Y[:2], events__p=P)
    recording = opened(path)
    assert recording.read().tolist() == CLIP[:2]
    assert account(recording) == {"of which a column is missing": (1, "event", 2)}
    events = clip(100_000)
    path.write_bytes(FORMATS["hdf5"].encode(events, SENSOR))
    with h5py.File(path) as file:
        place = file["events/x"].id.get_chunk_info(80).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 20] = bytes(20)
    path.write_bytes(content)
    recording = opened(path)
    assert np.array_equal(recording.read(), events[:65_536])
    assert account(recording) == {"that cannot be decoded": (100_000 - 65_536, "event", 65_536)}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"other": [1]}, r"neither CD/events nor events nor davis/left/events; it has \['other'\]"),
        ({"events": ["a"]}, r"cannot be read as HDF5"),
        ({"davis__left__events": [[1, 2, 3]]}, r"'davis/left/events' has the shape \(1, 3\)"),
        ({"events__t": T, "events__x": X, "events__y": Y, "events__p": [["a"]]}, r"'events/p' holds no numbers"),
        (
            {"events__t": T, "events__x": X, "events__y": Y, "events__p": [[1]]},
            r"'events/p' has the shape \(1, 1\)",
        ),
    ],
)
def test_hdf5_of_no_known_layout(contents: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=message):
        opened(hdf5(tmp_path, **contents))


def npy(folder: Path, array: np.ndarray[Any, Any]) -> Path:
    np.save(folder / "clip.npy", array)
    return folder / "clip.npy"


def test_npy(tmp_path: Path) -> None:
    named = np.array(
        [(x, y, t, p) for t, x, y, p in CLIP], [("x", ">i4"), ("y", "f4"), ("timestamp", "u8"), ("pol", "?")]
    )
    assert opened(npy(tmp_path, named)).read().tolist() == CLIP
    table = np.stack([X, Y, T, P], axis=1)
    assert opened(npy(tmp_path, table), columns="xytp").read().tolist() == CLIP
    assert opened(npy(tmp_path, np.asfortranarray(table.astype(">u4"))), columns="xytp").read().tolist() == CLIP
    seconds = np.stack([T * 1e-6, X, Y, 2 * P - 1], axis=1)
    with pytest.raises(IPNetError, match=r"give time_unit = 's' or 'us'"):
        opened(npy(tmp_path, seconds))
    assert opened(tmp_path / "clip.npy", time_unit="s").read().tolist() == CLIP
    with pytest.raises(IPNetError, match=r"must hold a structured array \[N\] .* got int64 of shape \(4, 3\)"):
        opened(npy(tmp_path, table.T))
    with pytest.raises(IPNetError, match=r"must hold a structured array"):
        opened(npy(tmp_path, np.zeros(3, [("t", "i8"), ("x", "i2")])))


def test_npy_refuses_numbers_that_cannot_be(tmp_path: Path) -> None:
    rows = [[5, 1, 2, 1], [np.nan, 1, 2, 1], [6, 1.5, 2, 1], [6, np.inf, 2, 1], [1e300, 1, 2, 1], [6, 3, 4, 0.5]]
    recording = opened(npy(tmp_path, np.array([*rows, [7.4, 3, 4, -2], [8, 3, 4, 0]])), time_unit="us")
    assert recording.read().tolist() == [(5, 1, 2, 1), (8, 3, 4, 0)]
    assert account(recording) == {
        "of an impossible time": (2, "event", 1),
        "off the sensor": (2, "event", 2),
        "of a polarity other than 0 and 1": (2, "event", 5),
    }


@pytest.mark.parametrize("fortran", [False, True])
def test_npy_that_is_cut_tells_how_many_are_missing(fortran: bool, tmp_path: Path) -> None:
    table = np.stack([T, X, Y, P], axis=1)
    path = npy(tmp_path, np.asfortranarray(table) if fortran else table)
    path.write_bytes(path.read_bytes()[:-9])
    recording = opened(path)
    assert recording.read().tolist() == CLIP[: 1 if fortran else 2]
    assert recording.refused.events == 3 - (1 if fortran else 2)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("5 1 2 1\n6 3 4 0\n8 5 6 1\n", {}),
        ("# a remark\n\n5,1,2,1\r\n6,3,4,0\r\n8,5,6,1", {}),
        ("x;y;p;t;label\n1;2;1;5;a\n3;4;0;6;b\n5;6;1;8;c\n", {}),
        ('"timestamp [s]","x","y","polarity"\n5e-6,1,2,1\n0.000006,3,4,-1\n8e-06,5,6,+1\n', {}),
        ("t_us\tx\ty\tp\n5.0\t1\t2\t1\n6.2\t3\t4\t0\n8.0\t5\t6\t1\n", {}),
        ("0.000005 1 2 1\n0.000006 3 4 0\n0.000008 5 6 1\n", {"time_unit": "s"}),
        ("1 2 5 1\n3 4 6 0\n5 6 8 1\n", {"columns": "xytp"}),
    ],
)
def test_text(text: str, options: dict[str, Any], tmp_path: Path) -> None:
    assert opened(put(tmp_path, text.encode(), ".csv"), **options).read().tolist() == CLIP


def test_text_states_its_sensor_as_e2vid_does(tmp_path: Path) -> None:
    recording = open_events(put(tmp_path, b"346 260\n5 1 2 1\n", ".txt"))
    assert recording.sensor == (260, 346)
    assert recording.read().tolist() == [(5, 1, 2, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5 1 2 1\n", r"does not state their unit; give time_unit = 's' or 'us'"),
        ("t_s x y p\n0.5 1 2 1\n", r"states its times in s; got time_unit = 'us'"),
        ("a b c d\n1 2 3 4\n", r"line 1: the names must include t, x, y and p; got \['a', 'b', 'c', 'd'\]"),
        ("# x\n1 2 3 4 5\n", r"line 2: without a line of names there must be four columns; got 5"),
        ("t x y p\n", r"at least one event; got none: there are none in it"),
    ],
)
def test_text_that_cannot_be_read_says_why(text: str, message: str, tmp_path: Path) -> None:
    unit = {"time_unit": "us"} if "t_s" in text else {}
    with pytest.raises(IPNetError, match=message):
        opened(put(tmp_path, text.encode(), ".txt"), **unit).read()


def test_text_refuses_lines_by_number(tmp_path: Path) -> None:
    recording = opened(put(tmp_path, b"t x y p\n5 1 2 1\n# x\n6 3\n6 three 4 1\n\xff\n8 5 6 1\n", ".txt"))
    assert recording.read().tolist() == [CLIP[0], CLIP[2]]
    assert account(recording) == {
        "that are not four numbers": (3, "event", 4),
    }
    recording = opened(put(tmp_path, b"5 1 2 1\n" * 10_000 + b"7.5 3 4 0\n8 5 6 1\n", ".txt"))
    assert recording.read().size == 10_001
    assert account(recording) == {"of an impossible time": (1, "event", 10_001)}
    with pytest.raises(IPNetError, match=r"line 2: must be shorter than 1 MiB"):
        opened(put(tmp_path, b"1 2 3 4\n" + b"1 2 3 4 " * 300_000, ".txt")).read()
