"""Operations, traffic and pulses of a network, layer by layer, counted by watching it work on a real clip.

Torch's dispatcher hands every operation of a forward pass to a counter, layer by layer. The rules:

* Convolutions and matrix products are multiply-accumulates; the bias starts the accumulator and costs nothing.
* Element-wise work is counted as it is done: additions, multiplications, comparisons, functions such as sigmoid.
  A norm at inference is one multiplication and one addition per value. What depends on weights alone is computed
  once, before there is any clip, and does not count; nor does moving data within a layer.
* A layer with weights fetches each of its inputs once per look and writes each output once; a convolution over
  time fetches all frames under its kernel. Other work is done on the way, and frames come from the sensor by
  themselves. Each weight is fetched once per look, or once per step of a loop over time.
* What a memory carries in digital form is fetched and written at every look; junctions carry heat instead.
* A `Neuron` is no arithmetic but pulses on junctions, taken from the voltages and states of this very clip.

A look is a frame of the backbone; a memory at the frontier looks at every frame of the sensor.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ipnet.device._variation import Varied
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.memory import Memory
from ipnet.network import Network
from ipnet.neuron import Neuron
from ipnet.operations import Operations
from ipnet.pulses import applied
from ipnet.streaming import drawing_nothing, evaluating

_ADDS = {"add": 1.0, "add_": 1.0, "sub": 1.0, "sub_": 1.0, "rsub": 1.0, "native_batch_norm": 1.0}
_ADDS |= {"native_layer_norm": 4.0}  # the mean, the variance, the difference, the bias
_MULS = {"mul": 1.0, "mul_": 1.0, "div": 1.0, "native_batch_norm": 1.0, "native_layer_norm": 3.0, "glu": 1.0}
_COMPARES = dict.fromkeys(("relu", "relu_", "clamp", "clamp_min", "ge", "gt", "le", "lt", "maximum"), 1.0)
_FUNCTIONS = dict.fromkeys(
    ("sigmoid", "sigmoid_", "tanh", "tanh_", "exp", "log", "sqrt", "cos", "sin", "gelu", "glu"), 1.0
)
_SUMS = {"mean", "sum"}
_MOVES = {  # data, without computing
    *("view", "_unsafe_view", "reshape", "t", "transpose", "permute", "expand", "unsqueeze", "squeeze", "select"),
    *("slice", "split", "unsafe_split", "unbind", "cat", "stack", "clone", "detach", "copy_", "_to_copy"),
    *("empty", "new_empty", "new_zeros", "zeros", "zeros_like", "promote_types", "ones_like", "alias"),
}


def count_operations(network: nn.Module, clip: Tensor) -> dict[str, Operations]:
    """What each layer does for one clip; see the module.

    Args:
        network: of `ipnet.network.Network`, or any module that maps frames to one tensor.
        clip: [T, 1, C, H, W].

    Returns:
        By the name of the module.

    Raises:
        IPNetError: several clips, or a transposed convolution.

    Example:
        >>> from ipnet.operations import total_of
        >>> total_of(count_operations(nn.Linear(3, 2), torch.ones(5, 1, 3))).macs
        30.0
    """
    if clip.shape[1] != 1:
        raise IPNetError(f"operations are counted for one clip at a time; got {clip.shape[1]}: cut the batch.")
    stride = network.temporal_stride if isinstance(network, Network) else 1
    counter = _Counter(network, frames=len(clip), looks=len(clip) // stride)
    with warnings.catch_warnings(), evaluating(network), drawing_nothing(network), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's note about a GPU setting that the flags below do not change
        with _plain_products(), counter.watching(), counter:
            network(clip)
        for name, neuron, x in counter.driven:
            counter.add(name, **_pulses(neuron, x))
    return {name: Operations(**found) for name, found in counter.found.items()}


@contextmanager
def _plain_products() -> Iterator[None]:
    """No oneDNN, whose LSTM is opaque to the counter, and no NNPACK, whose convolution of zeros is not quite 0."""
    with torch.backends.mkldnn.flags(enabled=False), torch.backends.nnpack.flags(enabled=False):
        yield


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts by layer, as plain numbers by the names of `Operations`."""

    def __init__(self, network: nn.Module, *, frames: int, looks: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.network, self.frames, self.looks = network, frames, looks
        self.found: dict[str, dict[str, float]] = {}
        self.driven: list[tuple[str, Neuron, Tensor]] = []
        self.calls: dict[tuple[str, int], int] = {}
        self.stack, self.paused = [""], 0
        # Tensors that depend on no clip; kept, so that no other takes their place in memory.
        known = [*network.parameters(), *network.buffers()]
        self.constants = {_storage(tensor): tensor for tensor in known}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Know which layer is at work, and what goes into neurons and memories, while this lasts."""
        with ExitStack() as hooks:
            for name, module in self.network.named_modules():
                before = module.register_forward_pre_hook(self._enter(name))
                after = module.register_forward_hook(self._leave(name))
                hooks.callback(before.remove)
                hooks.callback(after.remove)
            yield

    def add(self, name: str, **numbers: float) -> None:
        """Add to the counts of a layer."""
        layer = self.found.setdefault(name, {})
        for key, number in numbers.items():
            layer[key] = layer.get(key, 0) + float(number)

    def _enter(self, name: str) -> Any:
        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.stack.append(name)
            if isinstance(module, Neuron):
                self.paused += 1
                self.driven.append((name, module, inputs[0].detach()))

        return enter

    def _leave(self, name: str) -> Any:
        def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self.stack.pop()
            self.paused -= isinstance(module, Neuron)
            if isinstance(module, Memory):
                self.add(name, **self._carried(name, module, inputs[0], output[1]))

        return leave

    def _looks(self, name: str) -> int:
        return self.frames if name.startswith("memories.frontier") else self.looks

    def _carried(self, name: str, memory: Memory, x: Tensor, state: Any) -> dict[str, float]:
        """The values that a memory keeps: frames that it needs again, or a state that every look changes."""
        if memory.window:
            return {"state": memory.window * x[0].numel()}
        if any(isinstance(module, Neuron) for module in memory.modules()):
            return {}
        kept = sum(leaf.numel() for leaf in tree_leaves(state) if isinstance(leaf, Tensor))
        return {"state": kept, "state_reads": kept * self._looks(name), "state_writes": kept * self._looks(name)}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.paused:
            self._count(func.overloadpacket.__name__, args, result)
        return result

    def _count(self, op: str, args: tuple[Any, ...], result: Any) -> None:
        tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        name = self.stack[-1]
        if op == "convolution":
            self.add(name, **_convolved(args, outputs[0]), **self._weights(name, args[1], args[2]))
        elif op in ("mm", "addmm", "bmm"):
            a, b = args[-2:]
            bias = args[0] if op == "addmm" else None
            self.add(name, **self._multiplied(a, b, outputs[0]), **self._weights(name, b, bias))
        elif tensors and all(_storage(tensor) in self.constants for tensor in tensors):
            self.constants |= {_storage(tensor): tensor for tensor in outputs}
        elif op not in _MOVES and tensors:
            self._elementwise(name, op, args, outputs[0])

    def _elementwise(self, name: str, op: str, args: tuple[Any, ...], output: Tensor) -> None:
        if op == "max_pool2d_with_indices":
            under = args[1][0] * args[1][1]
            values = {"compares": float(output.numel() * (under - 1))}
        elif op in _SUMS:
            values = {"adds": float(args[0].numel())}
        else:
            kinds = {"adds": _ADDS, "muls": _MULS, "compares": _COMPARES, "functions": _FUNCTIONS}
            values = {kind: output.numel() * known[op] for kind, known in kinds.items() if op in known}
        self.add(name, **(values or {"unknown": output.numel()}))

    def _weights(self, name: str, weight: Tensor, bias: Tensor | None) -> dict[str, float]:
        """Weights of a product: new ones are kept, and each look or step fetches them."""
        if _storage(weight) not in self.constants:
            return {}
        values = weight.numel() + (0 if bias is None else bias.numel())
        key = (name, _storage(weight))
        calls = self.calls[key] = self.calls.get(key, 0) + 1
        if calls == 1:
            return {"weights": values, "weight_reads": values * self._looks(name)}
        return {"weight_reads": values * (calls > self._looks(name))}

    def _multiplied(self, a: Tensor, b: Tensor, output: Tensor) -> dict[str, float]:
        one = torch.float64
        effective = ((a != 0).to(one) @ (b != 0).to(one)).sum().item()
        fetched = sum(factor.numel() for factor in (a, b) if _storage(factor) not in self.constants)
        macs = output.numel() * a.shape[-1]
        counts = {"macs": macs, "dense": macs, "reads": fetched, "writes": output.numel()}
        return counts | _effective(a, effective)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _effective(x: Tensor, count: float) -> dict[str, float]:
    """Accumulates if all inputs are -1, 0 or 1, else multiply-accumulates."""
    ternary = bool(((x == 0) | (x.abs() == 1)).all())
    return {"effective_acs" if ternary else "effective_macs": count}


def _convolved(args: tuple[Any, ...], output: Tensor) -> dict[str, float]:
    x, weight, _, stride, padding, dilation, transposed, _, groups = args
    if transposed:
        raise IPNetError("transposed convolutions are not counted; use one that is not.")
    fetched = x.numel()
    if x.dim() == 5:  # over time: a look fetches the frames under the kernel
        fetched = x.numel() // x.shape[2] * weight.shape[2] * output.shape[2]
    convolve: Any = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.dim()]

    def products(inputs: Tensor, weights: Tensor) -> float:
        """How many there are of an input and a weight that are both 1, the others being 0."""
        made = convolve(inputs.float(), weights.float(), None, stride, padding, dilation, groups)
        return float(made.double().sum())

    counts = {
        "macs": output.numel() * weight[0].numel(),
        "dense": len(x) * products(torch.ones_like(x[:1]), torch.ones_like(weight)),
        "reads": fetched,
        "writes": output.numel(),
    }
    return counts | _effective(x, products(x != 0, weight != 0))


def _pulses(neuron: Neuron, x: Tensor) -> dict[str, float]:
    """The pulses on the junctions of a neuron that starts at rest, for a clip x [T, 1, C, ...]."""
    device = neuron.device.nominal if isinstance(neuron.device, Varied) else neuron.device
    cycles, each = x.numel() * neuron.devices, float(neuron.devices)
    junctions = x[0, 0].numel() * neuron.devices
    if not isinstance(device, MTJ):
        return {"junctions": junctions, "unpriced": cycles}
    gain = (device.gain * neuron.log_gain.double().exp()).view(-1, *[1] * (x.dim() - 3))
    state = device.rest(x.new_empty(x.shape[1:], dtype=torch.float64))
    found = {"junctions": float(junctions), "probes": float(cycles * device.probes), "senses": float(cycles)}
    for frame in x.double().unbind(0):
        V = device.drive(gain * frame)
        emitted, after = device.cycle(V, state, lambda p: p)
        sums = {"drives": (V > 0).sum().item(), "resets": emitted.sum().item()}
        pulses, spread = applied(device, V, state, emitted), torch.ones_like(V)
        for what in ("heat", "current_squared", "voltage_squared"):
            sums[what] = sum((getattr(pulse, what) * spread).sum().item() for pulse in pulses)
        for key, value in sums.items():
            found[key] = found.get(key, 0.0) + each * value
        state = after
    return found
