"""A contender: a layer over time, timed forwards and backwards. Needs torch alone: every environment has it."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

Arrange = Callable[[Tensor], Tensor]


def time_first(x: Tensor) -> Tensor:
    """Leave [T, B, C, H, W]."""
    return x


def batch_first(x: Tensor) -> Tensor:
    """[B, T, C, H, W]."""
    return x.transpose(0, 1)


def pixels(x: Tensor) -> Tensor:
    """[T, B * H * W, C]: every pixel is a sequence."""
    return x.permute(0, 1, 3, 4, 2).flatten(1, 3)


class Contender(NamedTuple):
    """A layer.

    Attributes:
        module: holds the parameters, whose gradients are computed too.
        run: from an input to an output of the same shape.
        arrange: the layout that the layer likes best; it is given that, contiguous, and not timed for it.
        oracle: computes the same, for a contender that could be wrong.
    """

    module: nn.Module
    run: Callable[[Tensor], Tensor]
    arrange: Arrange = time_first
    oracle: Callable[[Tensor], Tensor] | None = None


@cache
def inputs(arrange: Arrange, shape: tuple[int, ...], place: str) -> tuple[Tensor, Tensor]:
    """An input, uniform in [-0.5, 1.5), and the gradient of the output, both contiguous in a layout."""
    generator = torch.Generator().manual_seed(0)
    x = arrange(2 * torch.rand(shape, generator=generator) - 0.5).contiguous().to(place)
    return x.requires_grad_(), arrange(torch.rand(shape, generator=generator)).contiguous().to(place)


def finish(place: str) -> None:
    """Wait for the GPU."""
    if place != "cpu":
        torch.cuda.synchronize(place)


def forward_backward(contender: Contender, shape: Sequence[int], place: str) -> float:
    """Seconds of one pass forwards and backwards; no gradient and no graph is left from the pass before."""
    x, gradient = inputs(contender.arrange, tuple(shape), place)
    x.grad = None
    contender.module.zero_grad(set_to_none=True)
    gc.collect()
    finish(place)
    began = time.perf_counter()
    y = contender.run(x)
    y.backward(gradient)
    finish(place)
    return time.perf_counter() - began


class Stage:
    """The contenders of one process, on the CPU or on a GPU (``cuda``)."""

    def __init__(self, makers: Mapping[str, Callable[[int], Contender]], place: str) -> None:
        self.makers, self.place = makers, place
        self.ready: dict[tuple[str, int], Contender] = {}

    def names(self) -> list[str]:
        """Who is here."""
        return list(self.makers)

    def prepare(self, name: str, shape: Sequence[int]) -> None:
        """Make a contender for C = shape[2] channels, compare it with its oracle and warm it up.

        Raises:
            ValueError: it differs from its oracle in more than one element of a thousand.
        """
        torch.manual_seed(0)
        contender = self.ready[name, shape[2]] = self._made(name, shape[2])
        for _ in range(2):
            forward_backward(contender, shape, self.place)
        if contender.oracle:
            x, _ = inputs(contender.arrange, tuple(shape), self.place)
            with torch.no_grad():
                differs = (contender.run(x) - contender.oracle(x)).abs() > 1e-4
            if differs.float().mean() > 1e-3:
                raise ValueError(f"{name} differs from its oracle in {differs.float().mean():.1%} of the elements")

    def time(self, name: str, shape: Sequence[int]) -> float:
        """Seconds of one round of a contender that was prepared, after one that brings its memory back."""
        forward_backward(self.ready[name, shape[2]], shape, self.place)
        return forward_backward(self.ready[name, shape[2]], shape, self.place)

    def memory(self, name: str, shape: Sequence[int]) -> dict[str, int]:
        """Bytes of one pass in a fresh process: input, output, and the rise to the peak of the resident set.

        On a GPU it is that of the memory that torch has handed out.

        The rise holds the output, the gradient of the input and whatever else the pass needs; the input and the
        gradient of the output were there before. Code and threads are warmed up on a small input.
        """
        torch.manual_seed(0)
        contender = self._made(name, shape[2])
        forward_backward(contender, (2, 1, shape[2], 4, 4), self.place)
        x, gradient = inputs(contender.arrange, tuple(shape), self.place)
        gc.collect()
        if self.place != "cpu":
            torch.cuda.reset_peak_memory_stats(self.place)
            before = torch.cuda.memory_allocated(self.place)
            contender.run(x).backward(gradient)
            rise = torch.cuda.max_memory_allocated(self.place) - before
            return {"input": x.nbytes, "output": gradient.nbytes, "rise": rise}
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak starts anew
        before = _resident("VmRSS")
        contender.run(x).backward(gradient)
        return {"input": x.nbytes, "output": gradient.nbytes, "rise": _resident("VmHWM") - before}

    def _made(self, name: str, channels: int) -> Contender:
        contender = self.makers[name](channels)
        contender.module.to(self.place)
        return contender


def _resident(line: str) -> int:
    """A line of Linux' account of this process, in bytes."""
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return 1024 * int(next(entry for entry in status if entry.startswith(line)).split()[1])
