"""Tasks: what the trainer sees, one per file. Gestures, steering and n-back are the same thing to it.

Drop a file with one `Task` here and it is found, listed and tested.
"""

import abc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor

from ipnet.data import Split
from ipnet.errors import IPNetError
from ipnet.registry import Registry
from ipnet.results import Metric

Progress = Callable[[int, int], None]


class Items(Protocol):
    """A split: items by number, each frames x [T, C, H, W] and a target y."""

    @property
    def names(self) -> Sequence[str]:
        """One name per item, unique in its task."""
        ...

    def __len__(self) -> int: ...

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The items of these numbers as x [T, B, C, H, W] and y [B, ...]."""
        ...


class Task(abc.ABC):
    """A problem with inputs, targets, a loss and a score.

    The contract, checked by `ipnet.contracts.check_task`: every item is a pure function of the task's
    arguments and its number; names of items are unique across splits; the test split is handed out once.

    Attributes:
        shape: (T, C, H, W) of one input.
        outputs: names of the network's outputs.
        score_name: the metric that is reported of every epoch and that contenders are ranked by; the weights of a
            run are those of the epoch with the lowest validation loss.
    """

    score_name: ClassVar[str] = "accuracy"
    shape: tuple[int, int, int, int]
    outputs: tuple[str, ...]
    _test_taken = False

    def items(self, split: Split) -> Items:
        """The items of a split. The test split is handed out once in the life of a task.

        Raises:
            IPNetError: the test split is asked for a second time.
        """
        if split == "test":
            if self._test_taken:
                raise IPNetError("the test split must be touched once per run; it was already handed out.")
            self._test_taken = True
        return self._items(split)

    @abc.abstractmethod
    def _items(self, split: Split) -> Items:
        """The items of a split."""

    @abc.abstractmethod
    def facts(self) -> dict[str, Any]:
        """What belongs beside every result: name, real (bool), description, fingerprint, items per split."""

    @abc.abstractmethod
    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """The scalar to minimise; output [B, O] is what `combine` returns."""

    @abc.abstractmethod
    def predict(self, output: Tensor) -> Tensor:
        """Predictions [B] from combined outputs [B, O]."""

    @abc.abstractmethod
    def metrics(self, predicted: Tensor, y: Tensor, groups: Sequence[object] | None = None) -> dict[str, Metric]:
        """Metrics of a split, `score_name` among them.

        Args:
            predicted: of all its items, in their order.
            y: their targets.
            groups: what each item belongs to, its recording say; None leaves it to the task.
        """

    def confusion(self, predicted: Tensor, y: Tensor) -> list[list[int]]:  # noqa: ARG002
        """Counts [truth, prediction]; empty for a task without classes."""
        return []

    def combine(self, outputs: Tensor) -> Tensor:
        """One output per clip from one per frame: [T, B, O] to [B, O], the mean over time."""
        return outputs.mean(0)

    def prepare(self, progress: Progress | None = None) -> None:  # noqa: B027
        """Compute and cache whatever makes items slow; `progress(done, total)` is told how far it is."""

    @classmethod
    @abc.abstractmethod
    def example(cls, folder: Path) -> Self:
        """A small instance for the contract suite; it may write files into `folder`."""


TASKS: Registry[Task] = Registry("task", __name__, Task)


def build_task(task: dict[str, Any], data: dict[str, Any]) -> Task:
    """The task of a configuration: ``[task]`` with its name and options, ``[data]`` handed on as it is.

    Raises:
        IPNetError: an unknown name or option.
    """
    options = {key: value for key, value in task.items() if key != "name"}
    return TASKS.build(task["name"], data=data, **options)
