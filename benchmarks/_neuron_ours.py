"""The worker of `neuron.py` in IPNet's environment: its own neurons, and the layers of torch."""

import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from _contender import Contender, Stage, finish, pixels
from _worker import serve, versions
from ipnet.cards import shipped_cards
from ipnet.device import load_device
from ipnet.memory import MEMORIES
from ipnet.neuron import Backend, Neuron


def neuron(channels: int, card: str | Path, *, backend: Backend = "fused", **clock: Any) -> Contender:
    """A neuron of ours."""
    module = Neuron(load_device(card, **clock), channels, backend=backend)
    return Contender(module, lambda x: module(x)[0])


def two_poles(channels: int) -> Contender:
    """The shipped junction with its heat in two poles, a fast one and a slow one."""
    text = shipped_cards()["mtj-thermal"].read_text("utf-8")
    for key, value, unit in (("R_th", [0.8, 0.8], "K/uW"), ("tau_th", [0.1, 1], "us")):
        entry = f'{key} = {{ value = {value}, unit = "{unit}", assumed = "a benchmark" }}'
        text = re.sub(rf"^{key} = .*$", entry, text, count=1, flags=re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / "two-poles.toml"
        card.write_text(text, "utf-8")
        return neuron(channels, card)


def relu(_: int) -> Contender:
    """The floor: no memory at all."""
    module = nn.ReLU()
    return Contender(module, module)


def recurrent(kind: type[nn.LSTM | nn.GRU], channels: int) -> Contender:
    """A recurrent layer for every pixel, as many features as channels."""
    module = kind(channels, channels)
    return Contender(module, lambda x: module(x)[0], pixels)


def convlstm(channels: int) -> Contender:
    """A convolutional LSTM, 3x3."""
    module = MEMORIES.build("convlstm", channels)
    return Contender(module, lambda x: module(x)[0])


MAKERS: dict[str, Callable[[int], Contender]] = {
    "relu": relu,
    "ours": lambda C: neuron(C, "mtj-thermal"),
    "ours_two_poles": two_poles,
    "ours_bias": lambda C: neuron(C, "mtj-thermal", operation="bias", V_bias=0.25, gain=0.1),
    "ours_leaky": lambda C: neuron(C, "leaky"),
    "ours_memristor": lambda C: neuron(C, "memristor-rnnet"),
    "ours_memoryless": lambda C: neuron(C, "memoryless"),
    "reference": lambda C: neuron(C, "mtj-thermal", backend="reference"),
    "lstm": lambda C: recurrent(nn.LSTM, C),
    "gru": lambda C: recurrent(nn.GRU, C),
    "convlstm": convlstm,
}


def first_call() -> float:
    """Seconds of the first pass of this process, forwards and backwards; imports and card came before."""
    module = Neuron(load_device("mtj-thermal"), 2, backend="fused").to(sys.argv[2])
    x = torch.rand(2, 1, 2, 4, 4, device=sys.argv[2], requires_grad=True)
    began = time.perf_counter()
    module(x)[0].sum().backward()
    finish(sys.argv[2])
    return time.perf_counter() - began


def state_bytes(steps: int) -> int:
    """Bytes that the state after `steps` steps of inference keeps alive."""
    with torch.no_grad():
        cell = Neuron(load_device("mtj-thermal"), 2, backend="fused").to(sys.argv[2])
        _, state = cell(torch.rand(steps, 1, 2, 4, 4, device=sys.argv[2]))
    return sum(part.untyped_storage().nbytes() for part in state)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    stage = Stage(MAKERS, sys.argv[2])
    functions = (stage.names, stage.prepare, stage.time, stage.memory, first_call, state_bytes, versions)
    serve({function.__name__: function for function in functions})
