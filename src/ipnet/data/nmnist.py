"""N-MNIST: handwritten digits seen by an event camera that makes three saccades (Orchard et al., 2015)."""

import hashlib
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ipnet.data import EventSet, Split
from ipnet.data._cut import cut_events
from ipnet.data._folder import given_folder
from ipnet.data._validation import hold_out
from ipnet.errors import IPNetError
from ipnet.events import EVENT, Events
from ipnet.recording import open_events
from ipnet.recording.bin40 import Bin40

_SENSOR = (34, 34)
_SACCADES, _SACCADE = 3, 105_000  # of a recording, and the length of each [us]
_SUBSET = {"train": "train1K.txt", "test": "test100.txt"}
_FULL = {"train": "Train", "test": "Test"}


def read_bin(path: Path) -> Events:
    """Read one file of N-MNIST (``.bin``, ``.bs2``), whole and in order; the layout is `ipnet.recording.bin40`'s.

    Raises:
        IPNetError: unreadable, empty, cut in the middle of an event, off the sensor, or out of order.

    References:
        Orchard et al., Front. Neurosci. 9:437 (2015).
    """
    return open_events(path, sensor=_SENSOR, format="bin40", strict=True).read()


def write_bin(path: Path, events: Events) -> None:
    """Write events in the layout that `read_bin` reads; times below 2^23 us."""
    path.write_bytes(Bin40.encode(events, _SENSOR))


class NMNIST(EventSet):
    """N-MNIST from the published folders, or from the 1000 + 100 clip subset distributed with slayerPytorch.

    Full set: ``root/Train/<digit>/*.bin`` and ``root/Test/<digit>/*.bin``. Subset: ``root/<number>.bs2`` with
    ``train1K.txt`` and ``test100.txt``. The validation split is cut from the training recordings, the same
    share of every digit; there are no writer identities, so splits are recording-disjoint, not
    writer-disjoint.

    The camera makes the same three movements in every recording, one after the other, so that the order of a whole
    clip is the order of the movements. With `saccade` a clip is a single movement of 105 ms, and its order is that
    within the movement.

    Args:
        root: folder of either layout; None takes ``IPNET_DATA`` (that folder, or ``nmnist1100`` in it).
        validation: share of the training recordings kept for model selection, in (0, 1).
        seed: of the choice of validation recordings.
        saccade: 1, 2 or 3 for that movement of every recording; ``"each"`` for all three as clips of their own,
            which stay in one split; None for the whole recording.

    Raises:
        IPNetError: no folder, no recordings in it, a damaged list, or a share outside (0, 1).

    References:
        Orchard et al., Front. Neurosci. 9:437 (2015); CC BY-SA 4.0.
    """

    real: ClassVar[bool] = True
    description: ClassVar[str] = "N-MNIST, recorded with an ATIS sensor (Orchard et al. 2015)"

    def __init__(
        self,
        *,
        root: str | Path | None = None,
        validation: float = 0.1,
        seed: int = 0,
        saccade: Literal[1, 2, 3, "each"] | None = None,
    ) -> None:
        self.sensor, self.classes = _SENSOR, tuple(str(digit) for digit in range(10))
        self.root = _find_root(root)
        subset = (self.root / _SUBSET["train"]).exists()
        listed = {part: (_listed if subset else _globbed)(self.root, part) for part in ("train", "test")}
        self.files = [*listed["train"], *listed["test"]]
        train = np.arange(len(listed["train"]))
        labels = np.array([label for _, label in listed["train"]])
        held = hold_out(labels, validation, seed)
        recordings: dict[Split, NDArray[np.int64]] = {
            "train": np.setdiff1d(train, held),
            "validation": held,
            "test": np.arange(len(listed["train"]), len(self.files)),
        }
        self.saccade, self._each = saccade, _SACCADES if saccade == "each" else 1
        clips = np.arange(self._each)
        self.splits = {split: (self._each * of[:, None] + clips).ravel() for split, of in recordings.items()}
        self.options: dict[str, object] = {"validation": validation, "seed": seed}
        if saccade is not None:  # without it the fingerprint is that of results from before there was a choice
            self.options["saccade"] = saccade
            self.description += f", {'every saccade' if saccade == 'each' else f'saccade {saccade}'} by itself"  # type: ignore[misc]

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Clips of a split, in the order of the published list."""
        return self.splits[split]

    def label(self, index: int) -> int:
        """The digit."""
        return self.files[index // self._each][1]

    def group(self, index: int) -> str:
        """The recording."""
        return str(self.files[index // self._each][0].relative_to(self.root))

    def events(self, index: int) -> Events:
        """Three saccades, about 305 ms, or one of them with times from its beginning.

        Raises:
            IPNetError: the file is missing, damaged or empty; the message names it.
        """
        recording, number = divmod(index, self._each)
        path = self.files[recording][0]
        if self.saccade is None:
            return read_bin(path)
        start = _SACCADE * (number if self.saccade == "each" else self.saccade - 1)
        clip = cut_events(read_bin(path), start, start + _SACCADE)
        if not clip.size:
            raise IPNetError(
                f"'{path}' must hold events in each saccade; there are none from {start} us on for {_SACCADE} us: "
                "take whole recordings."
            )
        return clip

    def fingerprint(self) -> str:
        """Hash of the names, labels and contents of all files."""
        digest = hashlib.sha256(repr((type(self).__name__, self.options)).encode())
        for path, label in self.files:
            digest.update(f"{path.relative_to(self.root)}={label}:".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest() if path.exists() else b"missing")
        return digest.hexdigest()[:16]

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Sixty clips in the published layout, written into `folder`: a dot per digit, moving with time."""
        rng = np.random.default_rng(0)
        for part, count in (("Train", 4), ("Test", 2)):
            for digit in range(10):
                target = folder / part / str(digit)
                target.mkdir(parents=True, exist_ok=True)
                for number in range(count):
                    clip = np.empty(40, EVENT)
                    clip["t"] = np.sort(rng.integers(0, 300_000, 40))
                    clip["x"], clip["y"] = np.arange(40) * 3 // 4 + 2, 3 * digit + rng.integers(0, 3, 40)
                    clip["p"] = rng.integers(0, 2, 40)
                    write_bin(target / f"{number:05d}.bin", clip)
        return cls(root=folder, validation=0.25)


def _find_root(root: str | Path | None) -> Path:
    given = given_folder("N-MNIST", root)
    for folder in (given, given / "nmnist1100", given / "N-MNIST"):
        if (folder / _SUBSET["train"]).exists() or (folder / _FULL["train"]).is_dir():
            return folder
    raise IPNetError(
        f"no N-MNIST in '{given}': it must hold Train/ and Test/ with a folder per digit, or train1K.txt, "
        "test100.txt and .bs2 files."
    )


def _listed(root: Path, part: str) -> list[tuple[Path, int]]:
    files = []
    path = root / _SUBSET[part]
    for number, line in enumerate(path.read_text("ascii", errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        if len(words) != 2 or not words[0].isdigit() or words[1] not in [str(digit) for digit in range(10)]:
            raise IPNetError(f"'{path}', line {number}: must be a sample number and a digit; got '{line}'.")
        files.append((root / f"{words[0]}.bs2", int(words[1])))
    if not files:
        raise IPNetError(f"'{path}' lists no recordings; get the file again.")
    return files


def _globbed(root: Path, part: str) -> list[tuple[Path, int]]:
    folder = root / _FULL[part]
    files = [(path, digit) for digit in range(10) for path in sorted((folder / str(digit)).glob("*.bin"))]
    if not files:
        raise IPNetError(f"no .bin files in '{folder}/<digit>/'; get the data set again.")
    return files
