"""The network: one backbone, a memory at a position, one readout per frame."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ipnet.budget import Backbone
from ipnet.config import Run
from ipnet.device import load_device
from ipnet.errors import IPNetError, unknown_name
from ipnet.memory import MEMORIES, Memory, Place
from ipnet.neuron import Neuron
from ipnet.streaming import Streamed, stream


class _MTJActivation(nn.Module):
    """A memoryless MTJ neuron where a ReLU would stand: every neuron of the network is a junction."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.neuron = Neuron(load_device("memoryless"), channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.neuron(x[None])[0][0]
        return y


def _activation(kind: str, channels: int) -> nn.Module:
    return nn.ReLU() if kind == "relu" else _MTJActivation(channels)


class _Block(nn.Module):
    """The basic residual block up to its sum; the activation after the sum belongs to what follows."""

    def __init__(self, channels: int, out: int, stride: int, activation: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.act1 = _activation(activation, out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        total: Tensor = y + self.shortcut(x)
        return total


def _parts(channels: int, backbone: Backbone, widths: list[int]) -> nn.ModuleDict:
    """The stem and the stages, each up to the norm or sum where a memory can follow."""
    kind, kernel = backbone.activation, backbone.stem_kernel
    stem = nn.Conv2d(channels, widths[0], kernel, backbone.stem_stride, kernel // 2, bias=False)
    # The first norm centres what the sensor or a frontier memory sends: a cold junction also answers now and then.
    parts = nn.ModuleDict({"stem": nn.Sequential(nn.BatchNorm2d(channels), stem, nn.BatchNorm2d(widths[0]))})
    previous = widths[0]
    for i, (width, count) in enumerate(zip(widths, backbone.blocks, strict=True)):
        stage: list[nn.Module] = [nn.MaxPool2d(3, 2, 1)] if i == 0 and backbone.stem_pool else []
        for j in range(count):
            stage += [_activation(kind, width)] if j else []
            stage.append(_Block(previous, width, 2 if i and not j else 1, kind))
            previous = width
        parts[f"stage{i + 1}"] = nn.Sequential(*stage)
    return parts


def positions(backbone: Backbone) -> dict[str, Place]:
    """Where a memory can stand in a backbone, from the sensor to the readout, and what it finds there.

    ``frontier``: the sensor frames, before any weight; ``stem`` and ``stage1..n``: the feature maps after the
    norm, before the activation; ``head``: the pooled vector.

    Example:
        >>> list(positions(Backbone(blocks=(1, 1))))
        ['frontier', 'stem', 'stage1', 'stage2', 'head']
    """
    stages: dict[str, Place] = {f"stage{i + 1}": "map" for i in range(len(backbone.blocks))}
    return {"frontier": "sensor", "stem": "map", **stages, "head": "vector"}


class Network(nn.Module):
    """A residual network over frames with memories at named positions.

    Spatial layers see each frame alone; only the memories join frames. `forward` returns one output per
    frame; the task decides how they are combined.

    Args:
        shape: (C, H, W) of a frame.
        outputs: O, the number of outputs per frame.
        backbone: width (not `parameters`) and depth.
        memory: entry of `ipnet.memory.MEMORIES`.
        at: positions of the memory; empty for its default.
        options: keyword options of the memory.

    Raises:
        IPNetError: an unknown memory, position or option, or a position where this memory cannot stand.

    Example:
        >>> network = Network((2, 16, 16), 3, Backbone(width=4), "lstm")
        >>> y, state = network(torch.zeros(5, 2, 2, 16, 16))
        >>> y.shape, list(state)
        (torch.Size([5, 2, 3]), ['head'])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        backbone: Backbone,
        memory: str,
        at: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        if backbone.parameters is not None:
            raise IPNetError("a network must be given its width, not parameters: build it with build_network.")
        self.width, self.temporal_stride = backbone.width, backbone.temporal_stride
        widths = [backbone.width * 2**i for i in range(len(backbone.blocks))]
        channels = dict(zip(positions(backbone), [shape[0], widths[0], *widths, widths[-1]], strict=True))
        chosen = self._choose(memory, at, backbone)
        widening = MEMORIES[memory].widening(**options)
        if widening > 1 and chosen != ("frontier",):
            raise IPNetError(
                f"a memory that gives {widening} channels for one must stand at 'frontier' alone, where the stem "
                f"can take them; got {', '.join(chosen)}: name '{memory}@frontier'."
            )
        self.channels = shape[0]
        self.parts = _parts(shape[0] * widening, backbone, widths)
        self.readout = nn.Linear(widths[-1], outputs)
        # The memory draws its initial weights last, so that all contenders of a seed share the backbone's.
        self.memories = nn.ModuleDict(
            {place: MEMORIES.build(memory, channels[place], **options) for place in chosen}
        )
        replaced = chosen if MEMORIES[memory].is_activation else ()
        self.activations = nn.ModuleDict(
            {
                place: nn.Identity() if place in replaced else _activation(backbone.activation, channels[place])
                for place in self.parts
            }
        )
        self.memory_name = memory
        self.causal = all(module.causal for module in self.memories.values())
        for layer, module in enumerate(module for module in self.modules() if isinstance(module, Neuron)):
            module.device.layer = layer  # junctions that differ do so in every layer anew

    @staticmethod
    def _choose(memory: str, at: tuple[str, ...], backbone: Backbone) -> tuple[str, ...]:
        entry, known = MEMORIES[memory], positions(backbone)
        if not at:
            maps = tuple(name for name, place in known.items() if place == "map")
            at = {"maps": maps, "top": maps[-1:], "": ()}.get(entry.default, (entry.default,))
        for name in at:
            if name not in known:
                raise unknown_name("position", name, known)
            if known[name] not in entry.places:
                able = [known_name for known_name, place in known.items() if place in entry.places]
                raise IPNetError(f"'{memory}' cannot stand at '{name}'; it can at: {', '.join(able)}.")
        return at

    def forward(self, x: Tensor, state: dict[str, Any] | None = None) -> tuple[Tensor, dict[str, Any]]:
        """Run over frames x [T, B, C, H, W]: outputs [T / stride, B, O], and the state by position.

        `state` is where an earlier run ended; None starts from nothing.

        Raises:
            IPNetError: T is no multiple of the backbone's temporal stride.
        """
        before, after, stride = state or {}, {}, self.temporal_stride
        if len(x) % stride:
            raise IPNetError(
                f"frames must come in multiples of backbone.temporal_stride = {stride}; got {len(x)}: cut clips "
                "and chunks so."
            )

        def remember(place: str, clips: Tensor) -> Tensor:
            """Run the memory of a position over time, if there is one."""
            if place in self.memories:
                # Half precision would round away what a state collects over many frames.
                with torch.autocast(x.device.type, enabled=False):
                    single = clips.to(torch.promote_types(clips.dtype, torch.float32))
                    clips, after[place] = self.memories[place](single, before.get(place))
            return clips

        if "frontier" in self.memories:
            seen = remember("frontier", x)[stride - 1 :: stride]
        else:
            seen = x.view(-1, stride, *x.shape[1:]).sum(1) if stride > 1 else x
        flat = seen.flatten(0, 1)

        def unfolded(flat: Tensor) -> Tensor:
            return flat.view(*seen.shape[:2], *flat.shape[1:])

        for place, part in self.parts.items():
            flat = self.activations[place](remember(place, unfolded(part(flat))).flatten(0, 1))
        vector = remember("head", unfolded(flat.mean((2, 3))))
        return self.readout(vector), after

    def stream(self, chunks: Iterable[Tensor], state: dict[str, Any] | None = None) -> Iterator[Streamed]:
        """Run over frames as they arrive, one chunk at a time: the outputs of one whole clip, in constant memory.

        Each chunk runs in evaluation mode and without gradient. Between chunks nothing is held but the state, and
        every module is in the mode in which it was. An error ends the stream; what was yielded before it stays
        valid, and another stream can go on from the state of the last result.

        Args:
            chunks: frames [t, B, C, H, W], t >= 1 and free to vary, the rest as in the first chunk; taken one by
                one, never written to.
            state: where an earlier stream or run ended; None starts from nothing.

        Returns:
            An iterator of one `Streamed` per chunk.

        Raises:
            IPNetError: at the call, a memory that looks at later frames, or a state of other positions; while
                running, and with the number of the chunk from 0, a chunk of other axes, sizes, dtype or device,
                without frames, or with nan or infinity, or a first chunk that the state does not fit.

        Example:
            >>> from ipnet.events import make_events, stream_frames
            >>> recording = [make_events([0, 900, 2500], [0, 1, 2], [3, 4, 5], [1, 0, 1])]
            >>> frames = stream_frames(recording, sensor=(16, 16), interval=1000)
            >>> network = Network((2, 16, 16), 3, Backbone(width=4), "intrinsic")
            >>> for result in network.stream(torch.from_numpy(frame)[None, None] for frame in frames):
            ...     print(list(result.output.shape), result.state_bytes)
            [1, 1, 3] 2048
            [1, 1, 3] 2048
            [1, 1, 3] 2048
        """
        if not self.causal:
            able = ", ".join(sorted(name for name in MEMORIES if MEMORIES[name].causal))
            raise IPNetError(
                f"a stream needs a memory that looks at no later frame; '{self.memory_name}' looks at them: run "
                f"whole clips with network(x), set its option causal if it has one, or take one of: {able}."
            )
        if state and set(state) != set(self.memories):
            raise IPNetError(
                f"a state must hold the positions of the network's memories, {list(self.memories)}; got "
                f"{list(state)}: go on from a state of this network, or from None."
            )
        return stream(self, chunks, state or None)

    def trace(self, x: Tensor, place: str) -> list[tuple[Tensor, ...]]:
        """What the memory at a position carries on after each frame of x [T, B, C, H, W], without gradient.

        Behind the frontier it is after each look of the backbone.
        """
        states, state = [], None
        with torch.no_grad():
            for frames in torch.split(x, 1 if place == "frontier" else self.temporal_stride):
                if place == "frontier":
                    _, carried = self.memories[place](frames, state)
                    state = carried
                else:
                    _, state = self(frames, state)
                    carried = state[place]
                states.append((carried,) if isinstance(carried, Tensor) else tuple(carried or ()))
        return states

    def report(self) -> dict[str, Any]:
        """Facts about the physics of the memory, see `Memory.report`; the first position speaks for all."""
        first = next(iter(self.memories.values()), None)
        return first.report() if isinstance(first, Memory) else {}


def check_stride(run: Run, steps: int) -> None:
    """Refuse clips whose frames the backbone of a run cannot look at.

    Raises:
        IPNetError: the temporal stride does not divide the number of frames.
    """
    if steps % run.backbone.temporal_stride:
        raise IPNetError(
            f"contender '{run.contender}': backbone.temporal_stride must divide task.steps = {steps}; got "
            f"{run.backbone.temporal_stride}: change one of them."
        )


def build_network(run: Run, shape: tuple[int, int, int], outputs: int) -> Network:
    """The network of a run, its weights drawn from the run's seed without touching the global random state.

    Raises:
        IPNetError: see `Network`; or no width has as few parameters as the backbone may have.
    """
    MEMORIES[run.memory_name]
    for name in run.memory:
        MEMORIES[name]
    options, backbone = run.memory.get(run.memory_name, {}), run.backbone
    with torch.random.fork_rng(devices=[]):
        if backbone.parameters is not None:
            written = json.dumps(options, sort_keys=True)
            backbone = _of_largest_width(shape, outputs, backbone, run.memory_name, run.positions, written)
        torch.manual_seed(run.seed)
        return Network(shape, outputs, backbone, run.memory_name, run.positions, **options)


def count_parameters(module: nn.Module) -> int:
    """The number of trained values.

    Example:
        >>> count_parameters(nn.Linear(3, 2))
        8
    """
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@cache
def _of_largest_width(
    shape: tuple[int, int, int], outputs: int, backbone: Backbone, memory: str, at: tuple[str, ...], written: str
) -> Backbone:
    """The widest of these backbones whose network has at most ``backbone.parameters`` trained values."""
    allowed, given, options = backbone.parameters or 0, backbone.model_dump(), json.loads(written)
    del given["parameters"]

    def wide(width: int) -> Backbone:
        return Backbone.model_validate(given | {"width": width})

    def parameters(width: int) -> int:
        return count_parameters(Network(shape, outputs, wide(width), memory, at, **options))

    if (fewest := parameters(1)) > allowed:
        raise IPNetError(
            f"a network with memory '{memory}' must fit into backbone.parameters = {allowed}; it has {fewest} at "
            "width 1: allow more, or take fewer blocks."
        )
    fits, too_wide = 1, 2  # networks grow with their width
    while parameters(too_wide) <= allowed:
        fits, too_wide = too_wide, 2 * too_wide
    while too_wide - fits > 1:
        middle = (fits + too_wide) // 2
        fits, too_wide = (middle, too_wide) if parameters(middle) <= allowed else (fits, middle)
    return wide(fits)
