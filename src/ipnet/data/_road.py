"""A road that bends, and what a camera behind the windscreen sees of it, frame by frame.

The road is flat and level. Ahead of the car its centre line is ``y(x) = integral of the heading`` for small
headings, the model of lane detection (Dickmanns and Mysliwetz 1992), so that row by row the image is a shift.
Lengths are in metres, angles in radians, left is positive. Every number is `assumed`.

References:
    E. D. Dickmanns, B. D. Mysliwetz, "Recursive 3-D road and relative ego-state recognition", IEEE Trans. Pattern
    Anal. Mach. Intell. 14, 199 (1992).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FRAME_RATE = 100.0  # frames a second; the road just ahead moves by about a pixel of 64 from frame to frame
_STEP = 0.25  # m, between points of the road
_VIEW = 60.0  # m, how far the road is drawn
_LANE = 3.5  # width of a lane; there are two
_LINE = 0.15  # width of a marking
_DASH, _DASHES = 3.0, 9.0  # length of a dash of the middle line, and from dash to dash
_CURVATURE = 0.015  # 1/m, standard deviation: a radius of 67 m
_BEND = (40.0, 160.0)  # shortest and longest wavelength of the curvature
_WAVES = 12
_FIELD = np.deg2rad(60.0)  # horizontal field of view
_GROUND = 128  # points of a noise table, each way


@dataclass(frozen=True)
class Drive:
    """One drive: the road, and where the car is on it at every frame.

    Attributes:
        travelled: way since the beginning [F].
        curvature: of the road where the car is [1/m], [F].
        heading: direction of the road where the car is [F].
        road: curvature at every `_STEP` of the way [P].
    """

    travelled: Array
    curvature: Array
    heading: Array
    road: Array


def draw_drive(frames: int, rng: np.random.Generator) -> Drive:
    """A random road and a car that keeps its lane at a speed that changes slowly, 8 to 14 m/s.

    Args:
        frames: F, at `FRAME_RATE`.
        rng: randomness of this drive.
    """
    time = np.arange(frames) / FRAME_RATE
    mean, swing, period = rng.uniform(9, 13), rng.uniform(0, 1.0), rng.uniform(6, 15)
    speed = mean + swing * np.sin(2 * np.pi * (time / period + rng.random()))
    travelled = np.cumsum(speed) / FRAME_RATE
    way = np.arange(0.0, travelled[-1] + _VIEW + 2 * _STEP, _STEP)
    wavelength = np.exp(rng.uniform(np.log(_BEND[0]), np.log(_BEND[1]), _WAVES))[:, None]
    waves = np.sin(2 * np.pi * (way / wavelength + rng.random((_WAVES, 1))))
    road = _CURVATURE * np.sqrt(2 / _WAVES) * waves.sum(0)
    heading = np.cumsum(road) * _STEP
    return Drive(travelled, np.interp(travelled, way, road), np.interp(travelled, way, heading), road)


def _noise(table: Array, across: Array, along: Array) -> Array:
    """Smooth noise, 0 to 1, at places in units of its grain; the table repeats."""
    u, v = across % _GROUND, along % _GROUND
    i, j = u.astype(int), v.astype(int)
    a, b = u - i, v - j
    right, up = (i + 1) % _GROUND, (j + 1) % _GROUND
    low = table[i, j] + a * (table[right, j] - table[i, j])
    high = table[i, up] + a * (table[right, up] - table[i, up])
    blend: Array = low + b * (high - low)
    return blend


def _line(distance: Array, footprint: Array) -> Array:
    """The share of a pixel [0, 1] that a marking covers whose middle is `distance` away."""
    return np.clip((_LINE / 2 - np.abs(distance)) / footprint + 0.5, 0.0, 1.0) * np.minimum(1, _LINE / footprint)


class _Camera:
    """A pinhole camera, level but for its pitch, that looks along the car: where its rows and columns meet ground.

    Attributes:
        sky: rows above the horizon.
        ahead: distance ahead of each row of ground [R, 1].
        lateral: place to the left of each pixel of ground [R, W].
        footprint: width of a pixel on the ground [R, 1].
    """

    def __init__(self, side: int, rng: np.random.Generator) -> None:
        height, pitch = rng.uniform(1.2, 1.4), np.deg2rad(rng.uniform(5, 8))
        focal = side / 2 / np.tan(_FIELD / 2)
        below = (np.arange(side) + 0.5 - side / 2) / focal
        angle = np.arctan(below) + pitch
        ground = angle > np.arctan(height / _VIEW)
        self.sky = int(np.argmax(ground))
        self.ahead = (height / np.tan(angle[ground]))[:, None]
        depth = np.hypot(self.ahead[:, 0], height) * np.cos(np.arctan(below[ground]))
        self.footprint = (depth / focal)[:, None]
        self.lateral = -(np.arange(side) + 0.5 - side / 2) * self.footprint
        self.per_pixel = 1 / focal  # rad, in the middle of the image


def render(drive: Drive, side: int, rng: np.random.Generator) -> Iterator[Array]:
    """The luminance [side, side] of every frame: asphalt and grass with grain, markings, shade, hills and sky.

    Args:
        drive: the road and the way of the car.
        side: height and width in pixels.
        rng: randomness of the camera, the colours and the light.
    """
    camera = _Camera(side, rng)
    asphalt, grass, shade, hills = rng.random((4, _GROUND, _GROUND))
    offset = rng.uniform(-0.3, 0.3)  # of the car from the middle of its lane, the right one
    tone_road, tone_grass, paint = rng.uniform(0.15, 0.25), rng.uniform(0.2, 0.4), rng.uniform(0.6, 0.9)
    sun, depth = rng.uniform(0.5, 1.0), rng.uniform(0.0, 0.5)
    detail = np.minimum(1.0, 0.3 / camera.footprint)  # grain that is finer than a pixel averages out
    points = np.arange(0.0, _VIEW, _STEP)
    rows = np.arange(camera.sky)[:, None]
    bearing = (np.arange(side) - side / 2) * camera.per_pixel
    image = np.empty((side, side))
    for travelled, heading in zip(drive.travelled, drive.heading, strict=True):
        first = int(travelled / _STEP)
        turned = np.cumsum(drive.road[first : first + points.size]) * _STEP
        centre = np.interp(camera.ahead[:, 0], points, np.cumsum(turned) * _STEP)[:, None]
        across = camera.lateral - centre - _LANE / 2 - offset  # from the middle line, left is positive
        along = camera.ahead + travelled + np.zeros_like(across)
        light = sun * (1 - depth * _noise(shade, across / 8, along / 8))
        road = tone_road * (1 + detail * (_noise(asphalt, across / 0.3, along / 0.6) - 0.5))
        verge = tone_grass * (1 + 1.5 * detail * (_noise(grass, across / 0.5, along / 0.8) - 0.5))
        edge = np.clip((_LANE + 0.4 - np.abs(across)) / camera.footprint + 0.5, 0.0, 1.0)
        dashed = _line(across, camera.footprint) * (along % _DASHES < _DASH)
        marked = np.maximum(dashed, _line(np.abs(across) - _LANE, camera.footprint))
        surface = verge + edge * (road - verge)
        image[camera.sky :] = light * (surface + marked * (paint - surface))
        image[: camera.sky] = _sky(hills, bearing - heading, rows, camera) * sun
        yield image


def _sky(hills: Array, bearing: Array, rows: NDArray[np.int64], camera: _Camera) -> Array:
    """Hills that keep their bearing [W] while the car turns, before a bright sky; [rows, W]."""
    skyline = camera.sky * (1 - 0.6 * _noise(hills, bearing / 0.12, np.full_like(bearing, 7.0)))
    texture = _noise(hills, bearing[None] / 0.03 + 0 * rows, 0.4 * rows + 0 * bearing[None])
    cover = np.clip(rows + 0.5 - skyline[None], 0.0, 1.0)
    haze: Array = 0.9 - cover * (0.75 - 0.3 * texture)
    return haze
