"""Simulated gestures: people made of capsules perform the classes of DVS128 Gesture before an event camera."""

import functools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ipnet.cache import cache_folder, cached_array, content_hash
from ipnet.data import EventSet, Split
from ipnet.data._gesture_body import FRAME_RATE, GESTURES, Subject, choreograph
from ipnet.data._gesture_scene import LIGHTINGS, body_parts, render, shoulder_half
from ipnet.errors import IPNetError
from ipnet.events import EVENT, Events
from ipnet.pixel import DVSPixel, simulate_events

_GENERATOR = 2  # raise it when a clip changes: it is part of the fingerprint
# Before a clip the person moves for 3.6 s, shown 15 times faster, and the events of this are cut off: pixels that
# were just reset would fire more than others and give away which end of a clip is its beginning.
_WARM_UP, _HASTE = 900, 15  # frames
_TRAIN_SUBJECTS, _TEST_SUBJECTS = 23, 6  # of the real set
_CLIPS_EACH = 51  # clips of a training subject of the real set: 1176 / 23
_STORED = np.dtype([("tp", "<u4"), ("x", "u1"), ("y", "u1")])  # 6 bytes an event; tp = 2 t + p


class SimulatedGesture(EventSet):
    """The eleven gestures of DVS128 Gesture, simulated; the same labels, sensor and numbers of clips and subjects.

    A person of capsules stands before a cluttered wall and moves the hands by inverse kinematics; the images go
    through `ipnet.pixel`. A subject has an own build, place, clothes, wall, stripes, speed, size of movement and
    sway; a clip has an own start, speed, wobble and noise. Clips take turns in three kinds of light: fluorescent
    (flickers), LED, natural (from one side, least noise). Labels take turns too, so that in every split each class
    has as many clips as another, or one more.

    Assumptions that give time its arrow, so that a clip can be told from its reverse (in recordings gravity and
    anatomy do this; how strongly is not measured here):

    * clap, wave, drum and strum have one fast and one slow half: the fast one (hands together, outward swing,
      strike, down-strum) takes 22 to 34 % of a repetition, drawn per subject;
    * a circling arm falls faster than it rises (Kepler's equation, eccentricity 0.3 to 0.5, drawn per subject);
      this and the polarity of edges tell a reversed clockwise circle from a counter-clockwise one;
    * the arms roll forwards, so that the hand in front falls, with the same eccentricity;
    * "other gestures" darts to random places and returns slowly;
    * skin is brighter than the wall, so that a moving hand has brighter events ahead and darker ones behind, and
      in reverse the other way round: polarity is kept. Shirts and sleeves are brighter or darker.

    Single frames show none of this: a reversed clip has the frames of the original. All numbers are `assumed`; a
    result on this set says nothing about accuracy on recorded people.

    Args:
        train: clips to learn from, including validation, >= 22 (>= 1 without validation).
        test: clips to test on, >= 1.
        validation: fraction of the training *subjects* kept for validation, 0 <= validation < 1; above 0 it is at
            least one subject, and one at least stays for training.
        duration: length of a clip [s], 0.1 to 60.
        seed: seed of subjects and clips, >= 0.
        sensor: side of the square sensor [pixels], 16 to 256.

    Raises:
        IPNetError: an option is outside its range.

    References:
        A. Amir et al., "A low power, fully event-based gesture recognition system", CVPR 2017: the eleven classes,
        29 subjects, 23 of them to train on, three kinds of light.

    Example:
        >>> data = SimulatedGesture(train=44, test=22)
        >>> [len(data.indices(split)) for split in ("train", "validation", "test")]
        [22, 22, 22]
        >>> data.classes[data.label(7)], data.group(0), data.group(65)
        ('arm roll', 'subject01', 'subject03')
    """

    real: ClassVar[bool] = False
    description: ClassVar[str] = "simulated gestures: an articulated person seen by a simulated DVS, 11 classes"

    def __init__(
        self,
        *,
        train: int = 1176,
        test: int = 288,
        validation: float = 0.15,
        duration: float = 1.5,
        seed: int = 0,
        sensor: int = 128,
    ) -> None:
        if not 0 <= validation < 1:
            raise IPNetError(
                f"validation must be a fraction of the training subjects from 0 to below 1; got {validation}."
            )
        for name, value, least, most in (
            ("train", train, 22 if validation else 1, math.inf),
            ("test", test, 1, math.inf),
            ("seed", seed, 0, math.inf),
            ("sensor", sensor, 16, 256),
            ("duration", duration, 0.1, 60.0),
        ):
            if not least <= value <= most:
                unit = {"sensor": " pixels", "duration": " s"}.get(name, "")
                limits = f"at least {least}" if most == math.inf else f"from {least} to {most}{unit}"
                raise IPNetError(f"{name} of the simulated gestures must be {limits}; got {value}{unit}.")
        self.train, self.test, self.validation = train, test, validation
        self.duration, self.seed, self.side = duration, seed, sensor
        self.sensor, self.classes = (sensor, sensor), GESTURES
        learners = min(_TRAIN_SUBJECTS, max(2 if validation else 1, round(train / _CLIPS_EACH)))
        testers = min(_TEST_SUBJECTS, max(1, round(test / _CLIPS_EACH)))
        held_out = min(learners - 1, max(1, round(validation * learners))) if validation else 0
        subjects = np.concatenate(
            [np.arange(train) * learners // train, learners + np.arange(test) * testers // test]
        )
        self._subjects: NDArray[np.int64] = subjects
        splits: tuple[Split, ...] = ("train", "validation", "test")
        first = np.searchsorted(subjects, [0, learners - held_out, learners, learners + testers])
        self._borders = {split: (int(first[i]), int(first[i + 1])) for i, split in enumerate(splits)}

    def indices(self, split: Split) -> NDArray[np.int64]:
        """The clips of a split: the first subjects train, the next validate, the last test."""
        start, stop = self._borders[split]
        return np.arange(start, stop, dtype=np.int64)

    def label(self, index: int) -> int:
        """The class of clip `index`; classes take turns."""
        return self._known(index) % len(GESTURES)

    def group(self, index: int) -> str:
        """The simulated subject, from 'subject01'."""
        return f"subject{self._subjects[self._known(index)] + 1:02d}"

    def lighting(self, index: int) -> str:
        """The light that clip `index` is recorded in; lights take turns after every eleven clips."""
        return LIGHTINGS[self._known(index) // len(GESTURES) % len(LIGHTINGS)].name

    def fingerprint(self) -> str:
        """A content hash of the generator and the options."""
        options = (self.train, self.test, self.validation, self.duration, self.seed, self.side)
        return content_hash("simulated_gesture", _GENERATOR, *options)

    def events(self, index: int) -> Events:
        """The events of clip `index`, from the cache if they are there.

        Raises:
            IPNetError: there is no such clip, nothing moved in it, or the cache holds something else.
        """
        stored = cached_array(self._key(index), lambda: self._simulate(index))
        if stored.dtype != _STORED:
            raise IPNetError(
                f"'{self._file(index)}' must hold a clip of the simulated gestures; it does not: delete it."
            )
        if stored.size == 0:
            raise IPNetError(
                f"a clip must hold at least one event; clip {index} of {self.duration} s on {self.side} pixels "
                "has none: give a longer duration or a larger sensor."
            )
        events = np.empty(stored.size, EVENT)
        events["t"], events["p"] = stored["tp"] >> 1, stored["tp"] & 1
        events["x"], events["y"] = stored["x"], stored["y"]
        return events

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Simulate and cache all clips that are missing, on all cores; what is done survives an interrupt."""
        total = len(self._subjects)
        missing = [i for i in range(total) if not self._file(i).exists()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(cached_array, self._key(i), functools.partial(self._simulate, i)) for i in missing]
            try:
                for done, job in enumerate(as_completed(jobs), start=total - len(missing) + 1):
                    job.result()
                    if progress is not None:
                        progress(done, total)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @classmethod
    def example(cls, folder: Path) -> Self:  # noqa: ARG003
        """Thirty-six short clips on a sensor of 32x32."""
        return cls(train=24, test=12, duration=0.6, sensor=32)

    def _known(self, index: int) -> int:
        if not 0 <= index < len(self._subjects):
            raise IPNetError(f"the simulated gestures have clips 0 to {len(self._subjects) - 1}; got {index}.")
        return int(index)

    def _key(self, index: int) -> str:
        return f"simulated_gesture/{self.fingerprint()}/{self._known(index)}"

    def _file(self, index: int) -> Path:
        return cache_folder() / f"{self._key(index)}.npy"

    def _simulate(self, index: int) -> NDArray[np.void]:
        """Render and sense one clip; everything random comes from the seed, the subject and the index."""
        who = Subject.draw(np.random.default_rng((self.seed, 0, int(self._subjects[index]))))
        rng = np.random.default_rng((self.seed, 1, index))
        light = LIGHTINGS[index // len(GESTURES) % len(LIGHTINGS)]
        frames = _WARM_UP + math.ceil(self.duration * FRAME_RATE) + 1
        motion = choreograph(self.label(index), frames, who, shoulder_half(who), rng)
        parts = body_parts(who, motion, rng)
        images = render(who, np.concatenate([parts[:_WARM_UP:_HASTE], parts[_WARM_UP:]]), light, self.side, rng)
        pixel = DVSPixel(shot_noise_rate=light.shot_noise)
        events = simulate_events(images, 1e6 / FRAME_RATE, pixel, (self.seed, 2, index))
        start = round(1e6 * _WARM_UP / _HASTE / FRAME_RATE)
        first, last = np.searchsorted(events["t"], [start, start + round(1e6 * self.duration)])
        stored = np.empty(last - first, _STORED)
        stored["tp"] = 2 * (events["t"][first:last] - start) + events["p"][first:last]
        stored["x"], stored["y"] = events["x"][first:last], events["y"][first:last]
        return stored
