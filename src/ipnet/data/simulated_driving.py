"""Simulated driving: an event camera in a car that keeps its lane on a road that bends, and the steering angle."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ipnet.cache import cached_array, content_hash
from ipnet.data._drives import Windows, WindowSet, whole_drives
from ipnet.data._road import FRAME_RATE, Drive, draw_drive, render
from ipnet.errors import IPNetError
from ipnet.events import Events
from ipnet.pixel import DVSPixel, simulate_events

_WHEELBASE = 2.7  # m
_STEERING_RATIO = 15.0  # of the steering wheel's angle to that of the road wheels
_GENERATOR = 1  # raise it when a drive changes: it is part of the fingerprint


class SimulatedDriving(WindowSet):
    """Drives on random roads; the target is the angle of the steering wheel at the end of each window.

    Kinematic bicycle: a car of wheelbase L = 2.7 m on a road of curvature k turns its road wheels by
    ``atan(L k)``, its steering wheel by the steering ratio, 15, times that. Left is positive. The car keeps its
    distance from the middle line, so that its curvature is the road's.

    The road's curvature is a sum of waves of 40 to 160 m, 1/67 m in the root mean square; the speed is 8 to 14
    m/s. A pinhole camera of 60 degrees looks at the ground, tilted down by 5 to 8 degrees: grainy asphalt and
    grass, a dashed middle line, edge lines, patches of shade, and hills on the horizon that turn as the car does
    (`ipnet.data._road`). Every drive has a road, speed, camera, colours, sun and sensor of its own. The images,
    100 a second, go through `ipnet.pixel`. All numbers are `assumed`; a result on this set says nothing about
    accuracy on recorded roads.

    Drives are disjoint between splits: a fifth of them to test, a tenth to validate, at least one each.

    Args:
        drives: how many, at least 3.
        duration: length of a drive [s], 1 to 600.
        window: length of a clip [s], 0.1 to 10 and at most the duration.
        stride: from window to window [s], at least 0.01.
        sensor: side of the square sensor [pixels], 16 to 256.
        seed: of roads, looks, sensors and splits, at least 0.

    Raises:
        IPNetError: an option is outside its range.

    References:
        R. Rajamani, "Vehicle Dynamics and Control", 2nd ed. 2012, section 2.2: the bicycle model.

    Example:
        >>> data = SimulatedDriving(drives=10, duration=2.0)
        >>> [len(data.indices(split)) for split in ("train", "validation", "test")]
        [49, 7, 14]
        >>> data.targets, data.group(0)
        (('steering angle [deg]',), 'drive000')
    """

    real: ClassVar[bool] = False
    description: ClassVar[str] = "simulated driving: a random road seen by a simulated DVS, steering angle"
    targets = ("steering angle [deg]",)
    handed = targets

    def __init__(
        self,
        *,
        drives: int = 40,
        duration: float = 20.0,
        window: float = 0.5,
        stride: float = 0.25,
        sensor: int = 64,
        seed: int = 0,
    ) -> None:
        for name, value, least, most, unit in (
            ("drives", drives, 3, 10_000, ""),
            ("duration", duration, 1.0, 600.0, " s"),
            ("window", window, 0.1, min(10.0, duration), " s"),
            ("stride", stride, 0.01, duration, " s"),
            ("sensor", sensor, 16, 256, " pixels"),
            ("seed", seed, 0, 2**32, ""),
        ):
            if not least <= value <= most:
                raise IPNetError(
                    f"{name} of simulated driving must be from {least} to {most}{unit}; got {value}{unit}."
                )
        self.sensor, self.seed, self.duration = (sensor, sensor), seed, duration
        self.options = [drives, duration, window, stride, sensor, seed]
        splits = whole_drives(drives, seed)
        length, step = round(1e6 * window), round(1e6 * stride)
        start = np.arange(0, round(1e6 * duration) - length + 1, step, dtype=np.int64)
        self.windows = Windows.join(
            [
                Windows(
                    drive=np.full(start.size, number),
                    start=start,
                    stop=start + length,
                    targets=_steering(self._drive(number), 1e-6 * (start + length).astype(np.float64))[:, None],
                    groups=(f"drive{number:03d}",) * start.size,
                    splits=(split,) * start.size,
                )
                for number, split in enumerate(splits)
            ]
        )

    def _drive(self, number: int) -> Drive:
        frames = round(self.duration * FRAME_RATE) + 1
        return draw_drive(frames, np.random.default_rng((self.seed, 1, number)))

    def events(self, index: int) -> Events:
        """The events of a window, times from its beginning.

        Raises:
            IPNetError: there are none.
        """
        return self._cut(self._recording(int(self.windows.drive[self._known(index)])), index)

    def fingerprint(self) -> str:
        """Hash of the generator's version and the options."""
        return content_hash(type(self).__name__, _GENERATOR, *self.options)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Simulate and cache all drives that are missing, on all cores."""
        drives = self.options[0]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, _ in enumerate(pool.map(self._recording, range(int(drives))), 1):
                if progress is not None:
                    progress(done, int(drives))

    @classmethod
    def example(cls, folder: Path) -> Self:  # noqa: ARG003
        """Three short drives on a sensor of 16x16."""
        return cls(drives=3, duration=2.0, sensor=16)

    def _recording(self, number: int) -> Events:
        """The events of a whole drive, mapped from the cache."""
        key = content_hash("simulated_driving", _GENERATOR, self.seed, self.duration, self.sensor)
        return cached_array(f"simulated_driving/{key}/{number}", functools.partial(self._simulate, number))

    def _simulate(self, number: int) -> Events:
        images = render(self._drive(number), self.sensor[0], np.random.default_rng((self.seed, 3, number)))
        return simulate_events(images, 1e6 / FRAME_RATE, DVSPixel(), (self.seed, 2, number))


def _steering(drive: Drive, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """The angle of the steering wheel [deg] at some times [s], by the kinematic bicycle."""
    curvature = np.interp(time * FRAME_RATE, np.arange(drive.curvature.size), drive.curvature)
    angle: NDArray[np.float64] = _STEERING_RATIO * np.rad2deg(np.arctan(_WHEELBASE * curvature))
    return angle
