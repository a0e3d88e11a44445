"""A network on a stream: chunk by chunk with the state carried on, in the time and memory of a chunk."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from ipnet.errors import IPNetError
from ipnet.neuron import Neuron


class Streamed(NamedTuple):
    """What `Network.stream` says of one chunk, in ordinary tensors that share no memory with the chunk.

    Attributes:
        output: [t, B, O].
        state: after the last frame of the chunk, by position: what to go on from.
        seconds_per_frame: wall time from having the chunk to having its output, over its t frames [s].
        state_bytes: of all tensors of the state [B]; the same after every chunk.
    """

    output: Tensor
    state: dict[str, Any]
    seconds_per_frame: float
    state_bytes: int


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, and afterwards every module as it was: a frozen norm stays frozen."""
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextlib.contextmanager
def drawing_nothing(network: nn.Module) -> Iterator[None]:
    """Afterwards the random draws of all neurons go on from where they were."""
    drawn = [(n.generator, n.generator.get_state()) for n in network.modules() if isinstance(n, Neuron)]
    try:
        yield
    finally:
        for generator, before in drawn:
            generator.set_state(before)


def state_bytes(state: Any) -> int:
    """Bytes of all tensors in a state of any nesting."""
    return sum(_of_tensors(state, "nbytes"))


def _of_tensors(state: Any, attribute: str) -> list[Any]:
    """An attribute of every tensor in a state of any nesting."""
    return [getattr(leaf, attribute) for leaf in tree_leaves(state) if isinstance(leaf, Tensor)]


def stream(network: Any, chunks: Iterable[Tensor], state: dict[str, Any] | None) -> Iterator[Streamed]:
    """The work of `Network.stream`, which says what is given, yielded and raised."""
    shape = None  # of the first chunk's frames [B, C, H, W]
    for number, chunk in enumerate(chunks):
        start = time.perf_counter()
        _check_chunk(network, chunk, shape, f"chunk {number}")
        try:
            if shape is None and state is not None:
                _check_state(network, state, chunk[: network.temporal_stride])
            with evaluating(network), torch.inference_mode():
                output, after = network(chunk, state)
        except IPNetError as error:
            raise IPNetError(f"chunk {number}: {error}") from error
        shape = chunk.shape[1:]
        # Copies made out here are ordinary tensors, which keep no chunk alive and do not change with it.
        output, state = output.clone(), tree_map_only(Tensor, torch.clone, after)
        if output.is_cuda:
            torch.cuda.synchronize(output.device)
        seconds = (time.perf_counter() - start) / len(chunk)
        yield Streamed(output, state, seconds, state_bytes(state))


def _check_chunk(network: Any, chunk: Tensor, shape: torch.Size | None, where: str) -> None:
    """Raise unless `chunk` can be run, after frames of `shape` [B, C, H, W] if there were any."""
    weight = network.readout.weight
    if not isinstance(chunk, Tensor) or chunk.dim() != 5 or not chunk.numel():
        got = list(chunk.shape) if isinstance(chunk, Tensor) else type(chunk).__name__
        raise IPNetError(
            f"{where}: a chunk must be a tensor [t, B, C, H, W], no axis empty; got {got}: cut a clip with "
            "clip.split(t), join frames with torch.stack, read arrays with torch.from_numpy."
        )
    if (chunk.dtype, chunk.device) != (weight.dtype, weight.device):
        raise IPNetError(
            f"{where}: a chunk must be of the weights' {weight.dtype} on '{weight.device}'; got {chunk.dtype} "
            f"on '{chunk.device}': use chunk.to(network.readout.weight)."
        )
    if shape is not None and chunk.shape[1:] != shape:
        raise IPNetError(
            f"{where}: frames [B, C, H, W] must be of the sizes of the first chunk, {list(shape)}; got "
            f"{list(chunk.shape[1:])}: start another stream for other frames."
        )
    if chunk.shape[2] != network.channels:
        raise IPNetError(f"{where}: frames must have C = {network.channels} channels; got {chunk.shape[2]}.")
    if not bool(chunk.isfinite().all()):
        bad = int((~chunk.isfinite()).sum())
        raise IPNetError(
            f"{where}: frames must be finite; {bad} of {chunk.numel()} values are not: leave those frames out."
        )


def _check_state(network: Any, state: dict[str, Any], frames: Tensor) -> None:
    """Raise unless `state` has the sizes of the one that `frames` [t, B, C, H, W] leave; nothing is drawn."""
    with evaluating(network), drawing_nothing(network), torch.inference_mode():
        left = network(frames)[1]
    for place, given in state.items():
        needed, got = _of_tensors(left[place], "shape"), _of_tensors(given, "shape")
        if given is not None and needed != got:
            raise IPNetError(
                f"the state at '{place}' must be of the sizes of these frames, {needed}; got {got}: "
                "go on with the frames of the stream that it is from, or start from None."
            )
