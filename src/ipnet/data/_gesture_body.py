"""How the eleven gestures move a person's hands, in the plane of the image.

The person faces the camera, so that the right hand is at the left of the image; senses of rotation are those that
the camera sees. Lengths are in image widths unless arm lengths are said. Every number is `assumed`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GESTURES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter clockwise",
    "left arm clockwise",
    "left arm counter clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
_TEMPO = (1.7, 1.4, 1.4, 0.9, 0.9, 0.9, 0.9, 1.2, 1.5, 1.4, 0.9)  # repetitions a second
FRAME_RATE = 250.0  # frames a second; a hand moves by a pixel or two of 128 from frame to frame


@dataclass(frozen=True)
class Subject:
    """One simulated person, dressed, before one background.

    Attributes:
        scale: size of the body, 1 = shoulders 0.27 wide.
        build: factors on shoulder width, upper arm, forearm, head [4].
        place: shift of the person (x, y) from the middle.
        shirt, skin, wall: reflectances, 0 to 1.
        weave: contrast of the stripes of the shirt, 0 to 1.
        pitch: stripes in an image width.
        sleeved: whether the shirt covers the forearms.
        tempo: factor on the speed of every gesture.
        reach: factor on the size of every gesture.
        attack: fraction of a repetition that its fast part takes.
        gravity: how much faster a circling arm falls than it rises, 0 to 1 (eccentricity of Kepler's equation).
        sway: amplitude of the swaying body.
        clutter: seed of the objects on the wall.
    """

    scale: float
    build: tuple[float, float, float, float]
    place: tuple[float, float]
    shirt: float
    skin: float
    wall: float
    weave: float
    pitch: float
    sleeved: bool
    tempo: float
    reach: float
    attack: float
    gravity: float
    sway: float
    clutter: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Subject":
        """A random person; the shirt differs from the wall either way, skin is always the brighter of the two."""
        wall = rng.uniform(0.2, 0.5)
        contrast = rng.uniform(0.45, 1.2, 2) * (rng.choice((-1, 1)), 1)
        shirt, skin = np.clip(wall * np.exp(contrast), 0.06, 0.95)
        stripes = rng.random() < 0.5
        return cls(
            scale=rng.uniform(0.82, 1.05),
            build=tuple(rng.uniform(0.92, 1.08, 4)),
            place=(rng.uniform(-0.05, 0.05), rng.uniform(-0.03, 0.05)),
            shirt=float(shirt),
            skin=float(skin),
            wall=wall,
            weave=rng.uniform(0.2, 0.6) if stripes else 0.0,
            pitch=rng.uniform(8, 20),
            sleeved=bool(rng.random() < 0.5),
            tempo=rng.uniform(0.8, 1.25),
            reach=rng.uniform(0.75, 1.1),
            attack=rng.uniform(0.22, 0.34),
            gravity=rng.uniform(0.3, 0.5),
            sway=rng.uniform(0.003, 0.01),
            clutter=int(rng.integers(2**31)),
        )


@dataclass(frozen=True)
class Motion:
    """What the hands do in F frames.

    Attributes:
        right, left: where a hand is from its own shoulder, (outward, down) [F, 2] in arm lengths.
        depth: how far the right hand is nearer to the camera than the left one [F], -1 to 1.
    """

    right: Array
    left: Array
    depth: Array


def _stroke(phase: Array, attack: float) -> Array:
    """0 to 1 in the fraction `attack` of each repetition, and back to 0 in the rest of it; smooth."""
    part = phase % 1.0
    rising = np.minimum(part / attack, 1.0)
    falling = np.maximum((part - attack) / (1.0 - attack), 0.0)
    return 0.5 * (np.cos(np.pi * falling) - np.cos(np.pi * rising))


def _fall(phase: Array, gravity: float) -> Array:
    """The angle [rad] of an arm that circles faster where its cosine is positive, that is downwards.

    It solves Kepler's equation ``2 pi phase = angle - gravity * sin(angle)``.
    """
    angle = np.linspace(0.0, 2 * np.pi, 257)
    turns = np.floor(phase)
    return np.interp(phase - turns, (angle - gravity * np.sin(angle)) / (2 * np.pi), angle) + 2 * np.pi * turns


def _still(phase: Array, out: float, down: float) -> Array:
    return np.stack([np.full_like(phase, out), np.full_like(phase, down)], axis=1)


def _wave(phase: Array, who: Subject) -> Array:
    """A raised forearm that swings outwards fast and back slowly."""
    angle = 0.75 * who.reach * (2 * _stroke(phase, who.attack) - 1)
    return np.stack([0.38 + 0.5 * np.sin(angle), -0.05 - 0.5 * np.cos(angle)], axis=1)


def _circle(phase: Array, who: Subject, *, inward: bool) -> Array:
    """A nearly straight arm that circles; `inward`: at the top it moves towards the head."""
    angle = _fall(phase, who.gravity)
    side = 1.0 if inward else -1.0
    out = 0.12 - side * 0.72 * who.reach * np.cos(angle)
    return np.stack([out, 0.72 * who.reach * np.sin(angle)], axis=1)


def _clap(phase: Array, who: Subject, half: float) -> Array:
    out = -half + 0.05 + 0.55 * who.reach * (1 - _stroke(phase, who.attack))
    return np.stack([out, np.full_like(out, 0.35)], axis=1)


def _roll(phase: Array, who: Subject, half: float) -> Array:
    """A forearm before the chest that turns about the other; it rolls forwards, so that it falls in front."""
    angle = _fall(phase, who.gravity)
    return np.stack([-half - 0.12 + 0.05 * np.cos(angle), 0.45 + 0.26 * who.reach * np.sin(angle)], axis=1)


def _drum(phase: Array, who: Subject) -> Array:
    down = 0.62 - 0.55 * who.reach * (1 - _stroke(phase, who.attack))
    return np.stack([np.full_like(down, -0.08), down], axis=1)


def _strum(phase: Array, who: Subject) -> Array:
    swing = who.reach * (_stroke(phase, who.attack) - 0.5)
    return np.stack([-0.35 - 0.08 * swing, 0.58 + 0.5 * swing], axis=1)


def _gesticulate(phase: Array, who: Subject, rng: np.random.Generator) -> Array:
    """Random places that the hand darts to and comes back from slowly, another one at each repetition."""
    start = int(np.floor(phase[0]))
    places = int(np.floor(phase[-1])) - start + 1
    targets = rng.uniform((0.35, -0.7), (0.9, 0.8), (places, 2))
    there = _stroke(phase, who.attack)[:, None]
    rest = _still(phase, 0.45, 0.4)
    moved: Array = rest + (targets[np.floor(phase).astype(int) - start] - rest) * there
    return moved


def choreograph(gesture: int, frames: int, who: Subject, half: float, rng: np.random.Generator) -> Motion:
    """One performance: the phase at the start, the speed and its wobble are drawn from `rng`.

    Args:
        gesture: index into `GESTURES`.
        frames: F, at `FRAME_RATE`.
        who: the performer.
        half: half of the shoulder width [arm lengths].
        rng: randomness of this clip.
    """
    time = np.arange(frames) / FRAME_RATE
    rate = _TEMPO[gesture] * who.tempo * rng.uniform(0.9, 1.1)
    phase = rng.random() + rate * time + 0.03 * np.sin(2 * np.pi * (0.7 * time + rng.random()))
    idle = _still(phase, *rng.normal((0.1, 0.9), 0.02))
    level = np.zeros(frames)
    if gesture == 0:
        hand = _clap(phase, who, half)
        return Motion(hand, hand, level)
    if gesture in (1, 3, 4):
        hand = _wave(phase, who) if gesture == 1 else _circle(phase, who, inward=gesture == 3)
        return Motion(hand, idle, level)
    if gesture in (2, 5, 6):
        hand = _wave(phase, who) if gesture == 2 else _circle(phase, who, inward=gesture == 6)
        return Motion(idle, hand, level)
    if gesture == 7:
        return Motion(_roll(phase, who, half), _roll(phase + 0.5, who, half), np.cos(_fall(phase, who.gravity)))
    if gesture == 8:
        return Motion(_drum(phase, who), _drum(phase + 0.5, who), level)
    if gesture == 9:
        fret = _still(phase, 0.42, 0.3) + 0.06 * np.sin(2 * np.pi * 0.4 * phase)[:, None] * (1.0, -0.5)
        return Motion(_strum(phase, who), fret, level)
    hands = [_gesticulate(phase, who, rng), _gesticulate(phase + rng.random(), who, rng)]
    if rng.random() < 0.5:
        hands[rng.integers(2)] = idle
    return Motion(hands[0], hands[1], level)
