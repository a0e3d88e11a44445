"""What a camera sees of a gesture: a body of capsules before a cluttered wall, anti-aliased, frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from ipnet.data._gesture_body import FRAME_RATE, Array, Motion, Subject

MAINS_FLICKER = 100.0  # Hz, twice a mains frequency of 50 Hz
_SHOULDER, _UPPER, _FORE, _HEAD = 0.135, 0.19, 0.17, 0.072  # half shoulder width, arm, head radius [image widths]
_COLUMNS = 9  # of a part: x0 y0 x1 y1 r0 r1, reflectance, contrast of stripes, stripes in a pixel


@dataclass(frozen=True)
class Lighting:
    """One way to light the scene.

    Attributes:
        name: what it is called.
        flicker: amplitude of the flicker at twice the mains frequency, as a fraction of the intensity.
        slope: change of intensity from one side of the image to the other, as a fraction.
        shot_noise: noise events of a pixel in this light [Hz]; dimmer light, more noise.
    """

    name: str
    flicker: float
    slope: float
    shot_noise: float


LIGHTINGS = (
    Lighting("fluorescent", flicker=0.04, slope=0.1, shot_noise=1.0),
    Lighting("LED", flicker=0.0, slope=0.2, shot_noise=0.7),
    Lighting("natural", flicker=0.0, slope=0.7, shot_noise=0.4),
)


@numba.njit(cache=True, nogil=True)
def _draw(image, part):  # type: ignore[no-untyped-def]
    """Blend a capsule that narrows from r0 to r1 over an image, rounded by shading and striped along its axis."""
    x0, y0, x1, y1, r0, r1, tone, weave, pitch = part
    dx, dy, wide = x1 - x0, y1 - y0, max(r0, r1) + 1.0
    length = max(dx * dx + dy * dy, 1e-6)
    stripes, dx_l, dy_l = pitch * np.sqrt(length), dx / length, dy / length
    for row in range(max(0, int(min(y0, y1) - wide)), min(image.shape[0], int(max(y0, y1) + wide) + 1)):
        for column in range(max(0, int(min(x0, x1) - wide)), min(image.shape[1], int(max(x0, x1) + wide) + 1)):
            px, py = column + 0.5 - x0, row + 0.5 - y0
            along = min(1.0, max(0.0, px * dx_l + py * dy_l))
            px, py, radius = px - along * dx, py - along * dy, r0 + along * (r1 - r0)
            square = px * px + py * py
            if square < (radius + 0.5) ** 2:
                cover = 1.0 if square < (radius - 0.5) ** 2 else radius + 0.5 - np.sqrt(square)
                turn = along * stripes
                ripple = abs(2.0 * (turn - np.floor(turn)) - 1.0) - 0.5
                colour = tone * (1.0 + weave * ripple - 0.25 * min(1.0, square / (radius * radius)))
                image[row, column] += cover * (colour - image[row, column])


@numba.njit(cache=True, nogil=True)
def _draw_all(image, parts):  # type: ignore[no-untyped-def]
    for part in parts:
        _draw(image, part)


def _arm(shoulder: Array, hand: Array, side: float, upper: float, fore: float) -> tuple[Array, Array]:
    """The elbow and the hand [F, 2] of an arm that reaches for `hand` (outward, down) [arm lengths].

    The elbow is where the law of cosines has it, below or outside of the line to the hand; where it would change
    sides the upper arm is foreshortened. `side` is -1 for the right arm, which is at the left of the image.
    """
    reach = hand * (side * (upper + fore), upper + fore)
    length = np.maximum(np.hypot(reach[:, 0], reach[:, 1]), 1e-6)
    x, y = reach[:, 0] / length, reach[:, 1] / length
    distance = np.clip(length, abs(upper - fore) + 1e-3, 0.999 * (upper + fore))
    cosine = (upper**2 + distance**2 - fore**2) / (2 * upper * distance)
    bend = side * np.tanh(2 * (y - side * x)) * np.sqrt(1 - cosine**2)
    elbow = shoulder + upper * np.stack([cosine * x + bend * y, cosine * y - bend * x], axis=1)
    return elbow, shoulder + distance[:, None] * np.stack([x, y], axis=1)


def _capsule(start: Array, end: Array, radii: tuple[Array | float, Array | float], *look: float) -> Array:
    part = np.empty((len(start), _COLUMNS))
    part[:, 0:2], part[:, 2:4], part[:, 4], part[:, 5], part[:, 6:] = start, end, radii[0], radii[1], look
    return part


def _arm_parts(joints: tuple[Array, Array, Array], who: Subject, near: Array) -> Array:
    """The capsules [F, 3, columns] of upper arm, forearm and hand; `near` [F] is the size of the latter two."""
    shoulder, elbow, hand = joints
    thick = 0.036 * who.scale
    shirt, skin = (who.shirt, who.weave, who.pitch), (who.skin, 0.0, 0.0)
    axis = hand - elbow
    finger = hand + 0.03 * who.scale * axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-6)
    return np.stack(
        [
            _capsule(shoulder, elbow, (thick, 0.85 * thick), *shirt),
            _capsule(elbow, hand, (0.85 * thick * near, 0.62 * thick * near), *(shirt if who.sleeved else skin)),
            _capsule(hand, finger, (0.8 * thick * near, 0.7 * thick * near), *skin),
        ],
        axis=1,
    )


def shoulder_half(who: Subject) -> float:
    """Half of the shoulder width of a subject [arm lengths]."""
    return _SHOULDER * who.build[0] / (_UPPER * who.build[1] + _FORE * who.build[2])


def body_parts(who: Subject, motion: Motion, rng: np.random.Generator) -> Array:
    """The capsules of the body in every frame [F, 10, columns], the farthest first, in image widths.

    The whole body sways; `rng` draws how.
    """
    time = np.arange(len(motion.depth)) / FRAME_RATE
    rates, phases = rng.uniform(0.25, 0.7, 2), rng.random(2)
    sway = who.sway * np.sin(2 * np.pi * (time[:, None] * rates + phases)) * (1.0, 0.4)
    chest = np.array([0.5, 0.43]) + np.array(who.place) + rng.normal(0, 0.01, 2) + sway
    scale, (broad, upper, fore, round_) = who.scale, who.build
    half, head = scale * broad * _SHOULDER, scale * round_ * _HEAD
    right, left, hips = chest + np.array([[[-half, 0.0]], [[half, 0.0]], [[0.0, 0.8]]])
    shirt, skin = (who.shirt, who.weave, who.pitch), (0.9 * who.skin, 0.0, 0.0)
    slack = np.array([0.01, 0.012])  # the shirt starts below the line of the shoulders
    top = chest + 0.4 * sway - np.array([0.0, 0.035 * scale + 1.9 * head])
    chin = top + np.array([0.0, 0.45 * head])
    trunk = [
        _capsule(chest + 5 * slack * (0, 1), hips, (0.85 * half, 0.8 * half), *shirt),
        _capsule(right + slack, left + slack * (-1, 1), (0.045 * scale, 0.045 * scale), *shirt),
        _capsule(chest, top, (0.5 * head, 0.5 * head), *skin),
        _capsule(top, chin, (head, 0.8 * head), who.skin, 0.0, 0.0),
    ]
    arms = []
    for shoulder, hand, side in ((right, motion.right, -1.0), (left, motion.left, 1.0)):
        elbow, wrist = _arm(shoulder, hand, side, scale * upper * _UPPER, scale * fore * _FORE)
        arms.append(_arm_parts((shoulder, elbow, wrist), who, 1.0 - 0.15 * side * motion.depth))
    front = (motion.depth > 0)[:, None, None]
    behind, before = np.where(front, arms[1], arms[0]), np.where(front, arms[0], arms[1])
    return np.concatenate([np.stack(trunk, axis=1), behind, before], axis=1)


def _wall(who: Subject, sensor: int) -> NDArray[np.float32]:
    """The reflectance of what is behind the person: a blotchy wall with boards and poles."""
    rng = np.random.default_rng(who.clutter)
    place = (np.arange(sensor) + 0.5) / sensor
    wall = np.full((sensor, sensor), who.wall, np.float32)
    for _ in range(6):
        kx, ky, phase = rng.uniform(-40, 40), rng.uniform(-40, 40), rng.uniform(0, 2 * np.pi)
        wall *= 1 + 0.04 * np.sin(kx * place + ky * place[:, None] + phase)
    for _ in range(rng.integers(2, 7)):
        x, y, wide, high = rng.uniform((-0.1, -0.1, 0.03, 0.05), (1.0, 0.9, 0.4, 0.5))
        inside = (place > x) & (place < x + wide) & ((place > y) & (place < y + high))[:, None]
        wall[inside] *= np.exp(rng.uniform(-0.6, 0.6))
    clipped: NDArray[np.float32] = np.clip(wall, 0.04, 1.0)
    return clipped


def render(
    who: Subject, parts: Array, lighting: Lighting, sensor: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Yield the linear intensity [H, W] of every frame; the array is reused by the next frame.

    Args:
        who: whose wall is behind.
        parts: capsules [F, parts, columns] from `body_parts`.
        lighting: how the scene is lit.
        sensor: H = W in pixels.
        rng: draws the phase of the flicker and the bright side.
    """
    wall, frame = _wall(who, sensor), np.empty((sensor, sensor), np.float32)
    pixels = parts.copy()
    pixels[:, :, :6] *= sensor
    pixels[:, :, 8] /= sensor
    slope = lighting.slope * rng.choice((-0.5, 0.5))
    light = np.tile(1 + slope * np.linspace(-1, 1, sensor), (sensor, 1)).astype(np.float32)
    time = np.arange(len(parts)) / FRAME_RATE
    gain = 1 + lighting.flicker * np.sin(2 * np.pi * (MAINS_FLICKER * time + rng.random()))
    for step in range(len(parts)):
        np.copyto(frame, wall)
        _draw_all(frame, pixels[step])
        frame *= light
        frame *= np.float32(gain[step])
        yield frame
