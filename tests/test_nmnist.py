"""N-MNIST: both published layouts, read back from files that the tests write, and damaged ones."""

from pathlib import Path

import numpy as np
import pytest

from ipnet.data.nmnist import NMNIST, read_bin, write_bin
from ipnet.errors import IPNetError
from ipnet.events import frame_events, make_events, reverse_time
from ipnet.tasks.recognition import Recognition

CLIP = make_events([0, 5, 70_000, 2**23 - 1], [0, 33, 1, 17], [33, 0, 2, 17], [1, 0, 1, 0])


def write_subset(root: Path, train: int = 4, test: int = 2) -> None:
    """The layout of the 1000 + 100 subset: numbered files and two lists."""
    number = 1
    for name, count in (("train1K.txt", train), ("test100.txt", test)):
        lines = []
        for i in range(10 * count):
            write_bin(root / f"{number}.bs2", make_events([i, i + 3], [i % 34, 3], [4, i % 34], [0, 1]))
            lines.append(f"{number}\t{i % 10}")
            number += 1
        (root / name).write_text("#sample digit\n" + "\n".join(lines) + "\n")


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    write_bin(tmp_path / "a.bin", CLIP)
    assert np.array_equal(read_bin(tmp_path / "a.bin"), CLIP)


def test_the_bytes_are_those_of_the_publication(tmp_path: Path) -> None:
    # x, y, polarity in bit 7, then 23 bits of time, most significant first.
    (tmp_path / "a.bin").write_bytes(bytes([3, 7, 0x80 | 0x01, 0x02, 0x03, 33, 0, 0x7F, 0xFF, 0xFF]))
    assert read_bin(tmp_path / "a.bin").tolist() == [(0x010203, 3, 7, 1), (2**23 - 1, 33, 0, 0)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(12), r"a\.bin' is damaged: .*at byte 10, has 2"),
        (bytes(4), r"at byte 0, has 4"),
        (b"", r"a\.bin': a clip must hold at least one event"),
        (bytes([34, 0, 0, 0, 0]), r"a\.bin': .*sensor of 34x34 pixels; event 0 has x = 34, y = 0"),
        (bytes([0, 0, 0, 0, 9, 0, 0, 0, 0, 8]), r"times must not decrease; event 1 does"),
    ],
)
def test_a_damaged_file_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(IPNetError, match=message):
        read_bin(tmp_path / "a.bin")


def test_missing_recordings_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IPNetError, match=r"gone\.bin' cannot be read \(No such file"):
        read_bin(tmp_path / "gone.bin")
    with pytest.raises(IPNetError, match=r"no N-MNIST in '.*nowhere': it must hold Train/ and Test/"):
        NMNIST(root=tmp_path / "nowhere")
    monkeypatch.delenv("IPNET_DATA", raising=False)
    with pytest.raises(IPNetError, match="set IPNET_DATA to their folder"):
        NMNIST()
    monkeypatch.setenv("IPNET_DATA", str(tmp_path))
    NMNIST.example(tmp_path / "N-MNIST")
    assert NMNIST().root == tmp_path / "N-MNIST"


@pytest.mark.parametrize("layout", ["folders", "subset"])
def test_validation_is_cut_from_training_evenly(layout: str, tmp_path: Path) -> None:
    if layout == "folders":
        NMNIST.example(tmp_path)
    else:
        write_subset(tmp_path)
    data = NMNIST(root=tmp_path, validation=0.25, seed=3)
    train, validation, test = (set(data.indices(split).tolist()) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (30, 10, 20)
    assert not train & validation
    assert not (train | validation) & test
    for part, each in ((train, 3), (validation, 1), (test, 2)):
        assert np.bincount([data.label(i) for i in part]).tolist() == [each] * 10
    other = NMNIST(root=tmp_path, validation=0.25, seed=4)
    assert set(other.indices("validation").tolist()) != validation
    assert other.indices("test").tolist() == data.indices("test").tolist()
    assert other.fingerprint() != data.fingerprint()


def test_the_subset_is_read_in_the_order_of_its_lists(tmp_path: Path) -> None:
    write_subset(tmp_path, train=2, test=1)
    data = NMNIST(root=tmp_path, validation=0.5)
    assert [data.label(i) for i in range(30)] == [*range(10)] * 3
    assert [data.group(i) for i in (0, 19, 20)] == ["1.bs2", "20.bs2", "21.bs2"]
    assert data.events(13).tolist() == [(13, 13, 4, 0), (16, 3, 13, 1)]


def test_the_fingerprint_sees_a_changed_byte(tmp_path: Path) -> None:
    write_subset(tmp_path)
    before = NMNIST(root=tmp_path).fingerprint()
    path = tmp_path / "7.bs2"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    assert NMNIST(root=tmp_path).fingerprint() != before


@pytest.mark.parametrize("line", ["7", "7\tten", "seven 7", "7 7 7"])
def test_a_damaged_list_is_named_with_its_line(line: str, tmp_path: Path) -> None:
    write_subset(tmp_path)
    text = (tmp_path / "train1K.txt").read_text().splitlines()
    (tmp_path / "train1K.txt").write_text("\n".join([*text[:4], line, *text[4:]]))
    with pytest.raises(
        IPNetError, match=rf"train1K\.txt', line 5: must be a sample number and a digit; got '{line}'"
    ):
        NMNIST(root=tmp_path)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_validation_is_a_share(share: float, tmp_path: Path) -> None:
    write_subset(tmp_path)
    with pytest.raises(IPNetError, match=rf"a share between 0 and 1; got {share}"):
        NMNIST(root=tmp_path, validation=share)


def test_a_missing_clip_is_named_when_it_is_read(tmp_path: Path) -> None:
    write_subset(tmp_path)
    (tmp_path / "12.bs2").unlink()
    data = NMNIST(root=tmp_path)
    with pytest.raises(IPNetError, match=r"12\.bs2' cannot be read"):
        data.events(11)


@pytest.mark.parametrize("by", ["time", "count"])
@pytest.mark.parametrize("swap_polarity", [False, True])
def test_recognition_sees_the_frames_of_the_reversed_events(by: str, swap_polarity: bool, tmp_path: Path) -> None:
    data = NMNIST.example(tmp_path)
    options = {"steps": 5, "by": by, "size": [17, 34], "swap_polarity": swap_polarity}
    source = {"name": "nmnist", "root": str(tmp_path), "validation": 0.25}
    items = Recognition(data=source, reverse_time=True, **options).items("train")
    assert len(items) == 60
    x, y = items.batch([37, 2, 7])
    for b, (number, backward) in enumerate([(7, True), (2, False), (7, False)]):
        events = data.events(int(data.indices("train")[number]))
        events = reverse_time(events, swap_polarity=swap_polarity) if backward else events
        assert np.array_equal(x[:, b], frame_events(events, (34, 34), 5, by=by, size=(17, 34)))
        assert y[b] == data.label(int(data.indices("train")[number])) + 10 * backward


@pytest.mark.data
def test_the_shared_subset(data_root: Path) -> None:
    data = NMNIST(root=data_root)
    train, validation, test = (data.indices(split) for split in ("train", "validation", "test"))
    assert (len(train) + len(validation), len(test)) == (1000, 100)
    assert len(validation) == pytest.approx(100, abs=5)
    assert {data.label(int(i)) for i in test} == set(range(10))
    first = data.events(0)
    assert first.size == data.files[0][0].stat().st_size // 5 > 1000
    assert 250_000 < first["t"][-1] < 350_000
    for index in (0, 500, 999, 1000, 1099):
        assert data.events(index).size > 500


def _moves(path: Path) -> None:
    """Five events: two in the first movement, one in the second, two in the third."""
    write_bin(path, make_events([0, 104_999, 105_000, 210_000, 314_999], [0, 1, 2, 3, 4], [0] * 5, [1] * 5))


@pytest.mark.parametrize(
    ("saccade", "times"),
    [(1, [0, 104_999]), (2, [0]), (3, [0, 104_999]), (None, [0, 104_999, 105_000, 210_000, 314_999])],
)
def test_a_saccade_is_one_movement(saccade: int | None, times: list[int], tmp_path: Path) -> None:
    write_subset(tmp_path)
    _moves(tmp_path / "14.bs2")
    assert NMNIST(root=tmp_path, saccade=saccade).events(13)["t"].tolist() == times  # type: ignore[arg-type]


def test_every_saccade_is_a_clip_of_its_recording(tmp_path: Path) -> None:
    write_subset(tmp_path)
    _moves(tmp_path / "14.bs2")
    data = NMNIST(root=tmp_path, saccade="each")
    assert [data.events(3 * 13 + k)["x"].tolist() for k in range(3)] == [[0, 1], [2], [3, 4]]
    assert [(data.label(i), data.group(i)) for i in (39, 41, 42)] == [(3, "14.bs2"), (3, "14.bs2"), (4, "15.bs2")]
    assert [data.indices(split).size for split in ("train", "validation", "test")] == [90, 30, 60]
    assert "every saccade by itself" in data.description
    whole, first = NMNIST(root=tmp_path), NMNIST(root=tmp_path, saccade=1)
    assert len({data.fingerprint(), whole.fingerprint(), first.fingerprint()}) == 3
    with pytest.raises(IPNetError, match=r"1\.bs2' must hold events in each saccade; .* from 210000 us"):
        data.events(2)
