"""Perturbations: what a trained network is tested under, and what one may be trained under, one per file.

Drop a file with one `InputPerturbation` or one `NetworkPerturbation` here and it is found, listed and tested.
"""

import abc
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ipnet.errors import IPNetError, unknown_name
from ipnet.network import Network
from ipnet.registry import Registry
from ipnet.seeds import make_seed

_CLIP, _NETWORK = 3, 4  # streams of their own: the fourth number of a seed, which is 0, 1 or 2 in `ipnet.trainee`


class Perturbation(abc.ABC):
    """A disturbance of one kind; its level says how strong it is.

    The contract, checked by `ipnet.contracts.check_perturbation`: the neutral level changes nothing, bit for bit;
    what is given stays untouched; the outcome is a function of the level and the random generator.

    Attributes:
        meaning: what the level is, with its unit in brackets.
        neutral: the level that changes nothing.
        lowest: smallest level.
        highest: largest level.
    """

    meaning: ClassVar[str]
    neutral: ClassVar[float] = 0.0
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0

    @classmethod
    def name(cls) -> str:
        """The name under which it is registered: that of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def check(cls, level: float) -> None:
        """Refuse a level outside the range.

        Raises:
            IPNetError: names the perturbation and its range.
        """
        if not cls.lowest <= level <= cls.highest or math.isinf(level):
            raise IPNetError(
                f"{cls.name()}: the {cls.meaning} must lie in [{cls.lowest:g}, {cls.highest:g}]; got {level:g}."
            )

    @classmethod
    def distance(cls, level: float) -> float:
        """How far a level is from where nothing is disturbed: what the loss of the score is held against."""
        return abs(level - cls.neutral)


class InputPerturbation(Perturbation):
    """A disturbance of a clip's frames, as a camera or a link to it would cause."""

    def perturb(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """The disturbed clip; at the neutral level the clip itself.

        Args:
            clip: events per pixel, channel (polarity) and frame [T, C, H, W], not negative. Halves occur, where
                an event lies on the border of two frames, and any fraction after a clip was turned.
            level: in [lowest, highest].
            generator: source of randomness.

        Returns:
            A clip of the same shape; the argument is left untouched.

        Raises:
            IPNetError: a level outside the range.
        """
        self.check(level)
        if level == self.neutral:
            return clip
        return self.apply(clip.cpu(), level, generator).to(clip.device)  # drawn on the CPU, the same everywhere

    @abc.abstractmethod
    def apply(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """What `perturb` does at any other level than the neutral one, on the CPU."""


class NetworkPerturbation(Perturbation):
    """A disturbance of the network itself, as the hardware that runs it would cause."""

    def perturb(self, network: Network, level: float, seed: int) -> nn.Module:
        """A disturbed copy, called like the network; at the neutral level the network itself.

        Args:
            network: trained; left untouched.
            level: in [lowest, highest].
            seed: of the random draws.

        Raises:
            IPNetError: a level outside the range, or a network that `inapplicable` speaks about.
        """
        self.check(level)
        if level == self.neutral:
            return network
        if reason := self.inapplicable(network):
            raise IPNetError(f"{self.name()} cannot disturb this network: {reason}.")
        return self.apply(network, level, torch.Generator().manual_seed(make_seed(seed, 0, 0, _NETWORK)))

    def inapplicable(self, network: Network) -> str:  # noqa: ARG002
        """Why it cannot disturb this network; empty if it can."""
        return ""

    @abc.abstractmethod
    def apply(self, network: Network, level: float, generator: torch.Generator) -> nn.Module:
        """What `perturb` does at any other level than the neutral one."""


PERTURBATIONS: Registry[Perturbation] = Registry("perturbation", __name__, Perturbation)
Noise = Sequence[tuple[InputPerturbation, float]]


def perturb_clips(
    x: Tensor, numbers: Sequence[int], perturbation: InputPerturbation, level: float, seed: int
) -> Tensor:
    """Disturb every clip of a batch by itself, as a function of the level, the seed and the clip's number.

    So a clip meets the same disturbance in whatever batch it comes, and every network that is tested with a seed
    meets the same.

    Args:
        x: frames [T, B, C, H, W].
        numbers: of the B clips.
        perturbation: what to do.
        level: how strongly.
        seed: of the draws.
    """
    generators = [torch.Generator().manual_seed(make_seed(seed, number, 0, _CLIP)) for number in numbers]
    clips = zip(x.unbind(1), generators, strict=True)
    return torch.stack([perturbation.perturb(clip, level, generator) for clip, generator in clips], 1)


def build_noise(levels: Mapping[str, float]) -> Noise:
    """The perturbations of ``[training] noise``, in the order given, each with its highest level.

    Raises:
        IPNetError: an unknown name, one that disturbs networks, or a level outside the range.
    """
    noise = []
    for name, level in levels.items():
        perturbation = PERTURBATIONS.build(name)
        if not isinstance(perturbation, InputPerturbation):
            able = [known for known in PERTURBATIONS if issubclass(PERTURBATIONS[known], InputPerturbation)]
            raise unknown_name("perturbation of the input", name, able)
        perturbation.check(level)
        noise.append((perturbation, level))
    return noise


def add_noise(x: Tensor, noise: Noise, generator: torch.Generator) -> Tensor:
    """Disturb each clip of a batch by a random amount: levels uniform between the neutral and the given one.

    Args:
        x: frames [T, B, C, H, W].
        noise: perturbations in the order in which they act, each with its level.
        generator: source of randomness.
    """
    if not noise:
        return x
    clips = []
    for clip in x.unbind(1):
        for perturbation, highest in noise:
            share = float(torch.rand((), generator=generator))
            level = perturbation.neutral + share * (highest - perturbation.neutral)
            clip = perturbation.perturb(clip, level, generator)
        clips.append(clip)
    return torch.stack(clips, 1)
