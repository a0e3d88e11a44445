"""DVS128 Gesture, from the files that IBM publishes (Amir et al., 2017)."""

import functools
import hashlib
import re
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ipnet.cache import cached_array, content_hash
from ipnet.data import EventSet, Split
from ipnet.data._cut import cut_events
from ipnet.data._folder import find_folder
from ipnet.data._gesture_body import GESTURES
from ipnet.errors import IPNetError
from ipnet.events import Events, make_events
from ipnet.recording import FORMATS, INVALID_REASON, open_events

_SENSOR = (128, 128)
_LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
_TRIAL = re.compile(r"(user\d+)_\w+\.aedat")
_HEADER = "class,startTime_usec,endTime_usec"


class _Clip(NamedTuple):
    """A line of a label file: the number of its recording, its label from 0, and when it begins and ends [us]."""

    trial: int
    label: int
    start: int
    stop: int


class DVSGesture(EventSet):
    """DVS128 Gesture: 29 people make eleven gestures under three lightings before a DVS128.

    The folder is IBM's ``DvsGesture/``: ``trials_to_train.txt`` and ``trials_to_test.txt`` list the recordings
    ``userNN_LIGHT.aedat`` (AEDAT 3.1), and ``userNN_LIGHT_labels.csv`` beside each says which class, 1 to 11, is
    performed from when to when. Every line of a label file is a clip: 98 x 12 = 1176 to train and 24 x 12 = 288 to
    test, for arm roll is performed twice. The published split has subjects 1 to 23 to train and 24 to 29 to test;
    the validation split is whole subjects out of the 23.

    The irregularities of the published files: label times of ``user22_led`` overlap. Each clip is cut by its own
    times, so that an event may be in two clips, of one subject and thus in one split. A recording without a list
    entry is left out, as published; a list entry without its recording or label file is refused by name.

    A recording is parsed once; its events are kept in the cache and clips are cut from there.

    Args:
        root: the folder, or the one that holds it; None takes ``IPNET_DATA``.
        validation_subjects: training subjects kept for model selection, at least 1; some must stay.
        seed: of the choice of those subjects, at least 0.

    Raises:
        IPNetError: no folder, a list or label file that is damaged or missing, a subject in both lists, or an
            option outside its range.

    References:
        A. Amir et al., "A low power, fully event-based gesture recognition system", CVPR 2017; CC BY 4.0.
    """

    real: ClassVar[bool] = True
    description: ClassVar[str] = "DVS128 Gesture, recorded with a DVS128 (Amir et al. 2017), published split"

    def __init__(self, *, root: str | Path | None = None, validation_subjects: int = 3, seed: int = 0) -> None:
        self.sensor, self.classes = _SENSOR, GESTURES
        self.root = find_folder("DVS128 Gesture", root, "DvsGesture", tuple(_LISTS.values()))
        listed = {part: _listed(self.root / name) for part, name in _LISTS.items()}
        self.trials = [*listed["train"], *listed["test"]]
        subjects = {part: {_subject(trial) for trial in trials} for part, trials in listed.items()}
        if both := sorted(subjects["train"] & subjects["test"]):
            raise IPNetError(f"subjects must be in one list of '{self.root}' alone; {both[0]} is in both.")
        learners = sorted(subjects["train"])
        if not 1 <= validation_subjects < len(learners) or seed < 0:
            raise IPNetError(
                f"validation_subjects must be from 1 to {len(learners) - 1} and seed at least 0; got "
                f"{validation_subjects} and {seed}."
            )
        held = set(np.random.default_rng(seed).permutation(learners)[:validation_subjects].tolist())
        home: dict[str, Split] = dict.fromkeys(subjects["train"], "train")
        home |= dict.fromkeys(subjects["test"], "test") | dict.fromkeys(held, "validation")
        self.clips = [clip for number in range(len(self.trials)) for clip in self._labelled(number)]
        self._splits = np.array([home[_subject(self.trials[clip.trial])] for clip in self.clips])
        self.options = {"validation_subjects": validation_subjects, "seed": seed}
        self._digest = functools.cache(self._hashed)

    def _labelled(self, number: int) -> list[_Clip]:
        path = self.root / self.trials[number].replace(".aedat", "_labels.csv")
        lines = [line.strip() for line in _read_text(path).splitlines()]
        if lines[:1] != [_HEADER]:
            raise IPNetError(f"'{path}', line 1: must be '{_HEADER}'; got '{lines[0] if lines else ''}'.")
        clips = []
        for place, line in enumerate(lines[1:], 2):
            words = line.split(",")
            if not line:
                continue
            if len(words) != 3 or not all(word.isdigit() for word in words):
                raise IPNetError(f"'{path}', line {place}: must be a class and two times [us]; got '{line}'.")
            label, start, stop = (int(word) for word in words)
            if not 1 <= label <= len(GESTURES) or not start < stop:
                raise IPNetError(
                    f"'{path}', line {place}: the class must be from 1 to {len(GESTURES)} and end after it "
                    f"begins; got '{line}'."
                )
            clips.append(_Clip(number, label - 1, start, stop))
        return clips

    def indices(self, split: Split) -> NDArray[np.int64]:
        """The clips of a split, in the order of the published lists and label files."""
        return np.flatnonzero(self._splits == split)

    def label(self, index: int) -> int:
        """The gesture."""
        return self.clips[index].label

    def group(self, index: int) -> str:
        """The subject, ``"user01"``."""
        return _subject(self.trials[self.clips[index].trial])

    def events(self, index: int) -> Events:
        """The events of a clip, from its beginning and before its end, times from its beginning.

        Raises:
            IPNetError: the recording is missing or damaged, or has no event in these times.
        """
        trial, _, start, stop = self.clips[index]
        events = cached_array(f"dvs_gesture/{self._digest(trial)}", functools.partial(self._recording, trial))
        clip = cut_events(events, start, stop)
        if not clip.size:
            raise IPNetError(
                f"'{self.root / self.trials[trial]}' must hold events from {start} to {stop} us, as its label "
                "file says; there are none: get both files again."
            )
        return clip

    def _recording(self, trial: int) -> Events:
        """The events of a recording from the first label to the last."""
        path = self.root / self.trials[trial]
        of = [clip for clip in self.clips if clip.trial == trial]
        first, last = min(clip.start for clip in of), max(clip.stop for clip in of)
        recording = open_events(path, sensor=_SENSOR, format="aedat3")
        kept = [chunk[(chunk["t"] >= first) & (chunk["t"] < last)] for chunk in recording]
        if set(recording.refused) - {INVALID_REASON}:
            raise IPNetError(f"'{path}' is damaged: {recording.refused}; get it again.")
        return np.concatenate(kept)

    def _hashed(self, trial: int) -> str:
        """Hash of the bytes of a recording and of its clips."""
        path = self.root / self.trials[trial]
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise IPNetError(f"'{path}' cannot be read ({error.strerror}); get it again.") from error
        return content_hash(content, [clip for clip in self.clips if clip.trial == trial])

    def fingerprint(self) -> str:
        """Hash of the options, the lists, the labels and the contents of all recordings."""
        digests = [self._digest(trial) for trial in range(len(self.trials))]
        return content_hash(type(self).__name__, self.options, self.trials, digests)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Five subjects under one light, twelve clips each, written into `folder` in the published layout."""
        write_tree(folder / "DvsGesture", [f"user{n:02d}_led" for n in (1, 2, 3)], ["user24_led", "user25_led"])
        return cls(root=folder, validation_subjects=1)


def write_tree(root: Path, train: list[str], test: list[str], events: int = 20) -> None:
    """Write recordings in the published layout, twelve clips each and arm roll twice: a dot that circles.

    Args:
        root: the folder ``DvsGesture`` to be made.
        train: names of the training recordings without their ending, ``userNN_LIGHT``.
        test: of the test recordings.
        events: of each clip.
    """
    root.mkdir(parents=True)
    for part, names in (("train", train), ("test", test)):
        (root / _LISTS[part]).write_text("".join(f"{name}.aedat\n" for name in names))
    lines = [f"{gesture.replace(' ', '_')},{number}" for number, gesture in enumerate(GESTURES, 1)]
    (root / "gesture_mapping.csv").write_text("\n".join(["action,label", *lines]) + "\n")
    classes = [*range(1, 9), 8, *range(9, len(GESTURES) + 1)]
    for number, name in enumerate([*train, *test]):
        rng = np.random.default_rng(number)
        starts = 100_000 + 200_000 * np.arange(len(classes))
        t = (starts[:, None] + np.sort(rng.integers(0, 150_000, (len(classes), events)))).ravel()
        angle = t / 2e4 * np.repeat(classes, events)
        x, y = 64 + 40 * np.cos(angle), 64 + 40 * np.sin(angle)
        clip = make_events(t, x.astype(int), y.astype(int), rng.integers(0, 2, t.size))
        (root / f"{name}.aedat").write_bytes(FORMATS["aedat3"].encode(clip, _SENSOR))
        rows = [f"{label},{start},{start + 150_000}" for label, start in zip(classes, starts, strict=True)]
        (root / f"{name}_labels.csv").write_text("\n".join([_HEADER, *rows]) + "\n")


def _read_text(path: Path) -> str:
    try:
        return path.read_text("ascii", errors="replace")
    except OSError as error:
        raise IPNetError(f"'{path}' cannot be read ({error.strerror}); get DVS128 Gesture again.") from error


def _subject(trial: str) -> str:
    return trial.partition("_")[0]


def _listed(path: Path) -> list[str]:
    """The recordings of a list, each of them there."""
    trials = []
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        if not _TRIAL.fullmatch(name):
            raise IPNetError(f"'{path}', line {number}: must be userNN_LIGHT.aedat; got '{name}'.")
        if not path.with_name(name).is_file():
            raise IPNetError(f"'{path}', line {number}: lists '{name}', which is not beside it; get it again.")
        trials.append(name)
    if not trials:
        raise IPNetError(f"'{path}' lists no recordings; get the file again.")
    return trials
