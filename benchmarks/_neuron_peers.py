"""The worker of `neuron.py` in the peers' environment (``make bench-peers``): leaky integrate-and-fire neurons.

Each decays to about 0.8 per step, spikes at 1 and passes gradients by its own surrogate; the compiled ones are the
same code under `torch.compile`, compared with the plain ones before they are timed.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from _contender import Contender, Stage, batch_first
from _worker import serve, versions

TAU = 5.0  # steps


def spikingjelly(_: int) -> Contender:
    """Multi-step LIF; the library chooses the implementation, on a GPU its kernel for Triton."""
    from spikingjelly.activation_based.neuron import LIFNode

    module = LIFNode(TAU, decay_input=False, step_mode="m")

    def run(x: Tensor) -> Tensor:
        module.reset()
        return module(x)

    return Contender(module, run)


def in_a_loop(cell: Callable[..., Any], x: Tensor, state: Any) -> Tensor:
    """The spikes of a cell over time, from a first state."""
    spikes = []
    for x_t in x.unbind(0):
        spike, state = cell(x_t, state)
        spikes.append(spike)
    return torch.stack(spikes)


def snntorch(_: int) -> Contender:
    """Leaky, in a loop over time as its tutorials have it."""
    import snntorch

    module = snntorch.Leaky(beta=math.exp(-1 / TAU))

    return Contender(module, lambda x: in_a_loop(module, x, torch.zeros_like(x[0])))


def norse_box(_: int) -> Contender:
    """LIF without a synaptic current, in a loop over time."""
    from norse.torch import LIFBoxCell, LIFBoxParameters

    module = LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(1.0, device=sys.argv[2])), dt=1 / TAU)

    return Contender(module, lambda x: in_a_loop(module, x, None))


def norse_lif(_: int) -> Contender:
    """LIF with a synaptic current."""
    from norse.torch import LIF, LIFParameters

    module = LIF(LIFParameters(tau_mem_inv=torch.tensor(1.0, device=sys.argv[2])), dt=1 / TAU)
    return Contender(module, lambda x: module(x)[0])


def sinabs(_: int) -> Contender:
    """LIF, batch first."""
    from sinabs.layers import LIF

    module = LIF(TAU, norm_input=False)

    def run(x: Tensor) -> Tensor:
        module.reset_states()
        return module(x)

    return Contender(module, run, batch_first)


def compiled(make: Callable[[int], Contender]) -> Callable[[int], Contender]:
    """The same under `torch.compile`, for the one shape it is given."""

    def make_compiled(channels: int) -> Contender:
        plain = make(channels)
        return plain._replace(run=torch.compile(plain.run, dynamic=False), oracle=plain.run)

    return make_compiled


MAKERS = {make.__name__: make for make in (spikingjelly, snntorch, norse_box, norse_lif, sinabs)}
MAKERS |= {f"{name}_compiled": compiled(make) for name, make in MAKERS.items()}

if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    stage = Stage(MAKERS, sys.argv[2])
    serve({function.__name__: function for function in (stage.names, stage.prepare, stage.time, versions)})
