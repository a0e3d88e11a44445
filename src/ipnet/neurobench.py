"""NeuroBench's metrics of a network, from our own counter, and a network as a model for NeuroBench's own harness.

So that our networks can stand in its tables. The definitions are those of the source of version 2.3.0:

* Footprint: bytes of all parameters and buffers as they are stored. The constants of a card are buffers.
* ConnectionSparsity: share of zeros among the weights of linear layers and convolutions, and among weights and
  biases of recurrent layers.
* ActivationSparsity: share of zeros that activations send, of all frames of all clips together.
* SynapticOperations: products of weights and inputs for a clip. Dense counts products with zeros, too, but not
  with those that a convolution pads its input with, which our ``macs`` count. Effective are products of factors
  that are not zero: ACs where all inputs of a layer are -1, 0 or 1, else MACs. Biases, norms, pooling, activation
  functions and the work inside a neuron or a leaky trace do not count.
* ModelExecutionRate: forward passes per second, in the time that the clips were recorded in.

What differs, because NeuroBench cannot see it or leaves it open:

* It does not support `nn.RNN`, `nn.LSTM` and `nn.GRU`. They are counted here as it counts their cells: besides the
  matrix products, three products per unit and step that join gates and state, none in `nn.RNN`. Its Dense of
  `nn.LSTMCell` alone leaves out what is multiplied with a state of zero, as in the first step; here it counts.
* It misses products with matrices that belong to no layer, as in the memory ``ssm``; they count here.
* An activation is to it `nn.ReLU`, `nn.Sigmoid` and what the user adds. Here these are the memories that stand for
  an activation function, and other layers of neurons.
* It takes a whole batch for one input when it tells ACs from MACs; here it is one clip: give it batches of 1.
* It rounds the connection sparsity to 4 decimals, and does not compute the rate.

References:
    J. Yik et al., "The neurobench framework for benchmarking neuromorphic computing algorithms and systems", Nat.
    Commun. 16, 1545 (2025), doi:10.1038/s41467-025-56739-4, arXiv:2304.04640.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ipnet.counting import count_operations
from ipnet.errors import IPNetError
from ipnet.memory import Memory
from ipnet.network import Network
from ipnet.neuron import Neuron
from ipnet.operations import Operations, total_of
from ipnet.streaming import evaluating

_CONNECTIONS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNCellBase)
_GATED = 3  # products of gates and state per unit and step, of an LSTM and of a GRU


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SynapticCounts(_Table):
    """Products of weights and inputs for a clip, the mean of some clips.

    Args:
        Effective_MACs: of two factors that are not zero, where some input of the layer is none of -1, 0 and 1.
        Effective_ACs: of two factors that are not zero, where all inputs of the layer are.
        Dense: all, without padding.
    """

    Effective_MACs: float
    Effective_ACs: float
    Dense: float


class NeuroBenchMetrics(_Table):
    """By the names of NeuroBench; see the module.

    Args:
        Footprint: of parameters and buffers [B].
        ConnectionSparsity: share of weights that are zero.
        ParameterCount: values of all parameters, trained or not.
        ActivationSparsity: share of activations that are zero; 0 without any.
        SynapticOperations: for a clip.
        ModelExecutionRate: looks of the backbone per second [Hz]; None without a frame interval.
    """

    Footprint: int
    ConnectionSparsity: float
    ParameterCount: int
    ActivationSparsity: float
    SynapticOperations: SynapticCounts
    ModelExecutionRate: float | None


def neurobench_metrics(network: Network, x: Tensor, frame_interval: float | None = None) -> NeuroBenchMetrics:
    """NeuroBench's metrics of a network, without NeuroBench.

    Args:
        network: trained or not.
        x: clips [T, B, C, H, W], at least one.
        frame_interval: time between two frames [s], if known.

    Raises:
        IPNetError: an axis of the clips is missing or empty, or the interval is not positive.

    Example:
        >>> from ipnet.budget import Backbone
        >>> network = Network((2, 8, 8), 3, Backbone(width=4), "lif")
        >>> found = neurobench_metrics(network, torch.ones(5, 2, 2, 8, 8), frame_interval=0.01)
        >>> found.ParameterCount, found.SynapticOperations.Dense, found.ModelExecutionRate
        (1391, 150840.0, 100.0)
    """
    if x.dim() != 5 or not x.numel():
        raise IPNetError(
            f"clips must be [T, B, C, H, W], no axis empty; got {list(x.shape)}: stack clips along axis 1."
        )
    if frame_interval is not None and not frame_interval > 0:
        raise IPNetError(f"the frame interval must be positive; got {frame_interval} s: leave it out if unknown.")
    zeros, activations, total = 0, 0, Operations()
    for clip in torch.split(x, 1, 1):
        with _sent_by(_activations(network)) as sent, _sent_by(_gated(network)) as joined:
            total += total_of(count_operations(network, clip))
        zeros += sum(int((y == 0).sum()) for y in sent)
        activations += sum(y.numel() for y in sent)
        total += sum((_gate_products(y) for y in joined), Operations())
    mean, parameters = total / x.shape[1], list(network.parameters())
    return NeuroBenchMetrics(
        Footprint=sum(tensor.nbytes for tensor in (*parameters, *network.buffers())),
        ConnectionSparsity=_connection_sparsity(network),
        ParameterCount=sum(parameter.numel() for parameter in parameters),
        ActivationSparsity=zeros / activations if activations else 0.0,
        SynapticOperations=SynapticCounts(
            Effective_MACs=mean.effective_macs, Effective_ACs=mean.effective_acs, Dense=mean.dense
        ),
        ModelExecutionRate=1 / (frame_interval * network.temporal_stride) if frame_interval else None,
    )


def neurobench_model(network: Network) -> Any:
    """A network as a ``NeuroBenchModel``, for ``neurobench.benchmarks.Benchmark``.

    It takes batches [B, T, C, H, W] and returns the outputs per look, [B, T / stride, O]; a postprocessor such as
    ``lambda y: y.mean(1).argmax(-1)`` makes a prediction of them.

    Raises:
        IPNetError: NeuroBench is not installed, or would miss weights of this network.
    """
    try:
        from neurobench.hooks.layer import LayerHook
        from neurobench.hooks.neuron import NeuronHook
        from neurobench.models import NeuroBenchModel
    except ImportError as error:
        raise IPNetError(
            f"NeuroBench's harness must be installed ({error}): pip install neurobench snntorch tqdm --no-deps; "
            "without --no-deps, pip also installs torchaudio and tonic, and may replace torch to suit them."
        ) from error
    if missed := _missed_weights(network):
        raise IPNetError(
            f"NeuroBench must see all weights in linear layers, convolutions and recurrent cells; it would miss "
            f"{', '.join(missed)}: use neurobench_metrics, which counts them."
        )

    class ActivationHook(NeuronHook):  # type: ignore[misc]
        """Takes what a memory or a neuron sends, without its state."""

        def hook_fn(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            super().hook_fn(layer, inputs, _without_state(output))

    class Model(NeuroBenchModel):  # type: ignore[misc]
        """Batch first, evaluated without gradient."""

        def __call__(self, batch: Tensor) -> Tensor:
            with evaluating(network), torch.no_grad():
                y: Tensor = network(batch.transpose(0, 1))[0]
            return y.transpose(0, 1)

        def __net__(self) -> Network:
            return network

        def register_hooks(self) -> None:
            self.activation_hooks += [ActivationHook(layer) for layer in _activations(network)]
            self.connection_hooks += [LayerHook(layer) for layer in self.connection_layers()]

    return Model()


def _activations(module: nn.Module) -> Iterator[nn.Module]:
    """Activation functions, neurons, and the memories that stand for them, none of them within another."""
    for child in module.children():
        replaces = isinstance(child, Memory) and child.is_activation
        if replaces or isinstance(child, nn.ReLU | nn.Sigmoid | Neuron):
            yield child
        else:
            yield from _activations(child)


def _gated(network: nn.Module) -> Iterator[nn.Module]:
    return (module for module in network.modules() if isinstance(module, nn.LSTM | nn.GRU))


def _gate_products(y: Tensor) -> Operations:
    """Products of gates and state, from the outputs y [T, B, H]; at the first step the state is still zero."""
    dense = _GATED * y.numel()
    return Operations(dense=dense, effective_macs=dense - y[0].numel())


@contextmanager
def _sent_by(layers: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect what layers send, while this lasts."""
    sent = list[Tensor]()

    def keep(_layer: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        sent.append(_without_state(output))

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_hook(keep).remove)
        yield sent


def _without_state(output: Any) -> Tensor:
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first


def _connection_sparsity(network: nn.Module) -> float:
    """All matrices, and the biases of recurrent layers: everything with one axis is another bias, or a norm."""
    counted = [
        parameter.detach()
        for module in network.modules()
        for parameter in module.parameters(recurse=False)
        if parameter.dim() > 1 or isinstance(module, nn.RNNBase | nn.RNNCellBase)
    ]
    return sum(int((one == 0).sum()) for one in counted) / sum(one.numel() for one in counted)


def _missed_weights(network: nn.Module) -> list[str]:
    """Names of matrices that belong to none of the layers that NeuroBench knows."""
    seen = {id(p) for m in network.modules() if isinstance(m, _CONNECTIONS) for p in m.parameters(recurse=False)}
    return [name for name, p in network.named_parameters() if p.dim() > 1 and id(p) not in seen]
