"""What Lightning trains: a network on a task, with all randomness a function of (seed, epoch)."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from ipnet.budget import Training
from ipnet.config import Run
from ipnet.errors import DivergedError, IPNetError
from ipnet.network import Network
from ipnet.neuron import Neuron
from ipnet.perturbation import add_noise, build_noise
from ipnet.seeds import make_seed
from ipnet.tasks import Items, Task

EVALUATION = 2**31  # the "epoch" whose random numbers are used to evaluate
_NETWORK, _NEURON = 1, 2  # streams of their own: a seed sequence takes trailing zeros for nothing


def reseed(network: torch.nn.Module, *parts: int) -> None:
    """Restart all random draws of a network, so that an epoch does not depend on how often it was resumed.

    Each neuron has a stream of its own, by its number among the neurons: what is wrapped around the network does
    not change its draws.
    """
    torch.manual_seed(make_seed(*parts, 0, _NETWORK))
    for i, neuron in enumerate(module for module in network.modules() if isinstance(module, Neuron)):
        neuron.generator.manual_seed(make_seed(*parts, i, _NEURON))


@contextmanager
def isolated(threads: int) -> Iterator[None]:
    """Compute with this many threads; they and the global random state are as before when it is over."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def accelerator_of(training: Training) -> Literal["cpu", "cuda"]:
    """What a run computes on, in Lightning's words; ``"auto"`` takes a GPU if there is one.

    Raises:
        IPNetError: an accelerator that is not there, or a precision that it has not.
    """
    there = torch.cuda.is_available()
    if training.accelerator == "gpu" and not there:
        raise IPNetError(
            "training.accelerator = 'gpu' needs a GPU that torch can use; torch "
            f"{torch.__version__} finds none: install torch for the GPU, or take 'cpu' or 'auto'."
        )
    chosen: Literal["cpu", "cuda"] = "cuda" if there and training.accelerator != "cpu" else "cpu"
    if training.precision == "16-mixed" and chosen == "cpu":
        raise IPNetError(
            "training.precision = '16-mixed' needs a GPU; got accelerator = "
            f"'{training.accelerator}' and no GPU: take 'bf16-mixed' or '32-true'."
        )
    short = training.precision == "bf16-mixed" and chosen == "cuda"
    if short and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise IPNetError(
            "training.precision = 'bf16-mixed' needs a GPU with bfloat16; got "
            f"{torch.cuda.get_device_name()}: take '16-mixed' or '32-true'."
        )
    return chosen


class _Numbers(Dataset[Any]):
    """A dataset that fetches whole batches of `Items`."""

    def __init__(self, items: Items) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.__getitems__([number])

    def __getitems__(self, numbers: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        return (*self.items.batch(numbers), torch.as_tensor(numbers))


class Shuffled(Sampler[int]):
    """A permutation that is a function of (seed, epoch) alone."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng(make_seed(self.seed, self.epoch)).permutation(self.count)
        return iter(order.tolist())


def loader(
    items: Items, batch_size: int, sampler: Sampler[int] | None = None, *, workers: int = 0
) -> DataLoader[Any]:
    """Batches (x [T, B, C, H, W], y [B], numbers [B]) of a split, loaded by as many processes beside this one."""
    return DataLoader(
        _Numbers(items),
        batch_size,
        sampler=sampler,
        collate_fn=lambda batch: batch,
        num_workers=workers,
        # A process that is not a fork would get a copy of all frames instead of the mapped file.
        multiprocessing_context="fork" if workers else None,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # which draws what only workers use, and not from the global state
    )


def jitter_clips(x: Tensor, training: Training, generator: torch.Generator) -> Tensor:
    """Turn, zoom and shift each clip of a batch as a whole, a random amount for each.

    Args:
        x: frames [T, B, C, H, W].
        training: `rotate` [degrees], `zoom` [share] and `shift` [pixels] are the largest amounts.
        generator: source of randomness.

    Returns:
        Frames of the same shape, interpolated bilinearly, silence coming in at the border.
    """
    if not (training.rotate or training.zoom or training.shift):
        return x
    steps, count, channels, height, width = x.shape
    turn, zoom, down, right = (2 * torch.rand(4, count, generator=generator) - 1).unbind(0)
    angle, scale = turn * math.radians(training.rotate), 1 + zoom * training.zoom
    # affine_grid works in halves of the frame: a turn in pixels needs the ratio of the sides.
    cos, sin, ratio = scale * angle.cos(), scale * angle.sin(), height / width
    offset = 2 * (training.shift * right).round() / width, 2 * (training.shift * down).round() / height
    rows = torch.stack([cos, -sin * ratio, offset[0]], 1), torch.stack([sin / ratio, cos, offset[1]], 1)
    shape = [count, steps * channels, height, width]
    grid = F.affine_grid(torch.stack(rows, 1).to(x.device), shape, align_corners=False)
    moved = F.grid_sample(x.transpose(0, 1).reshape(shape), grid, align_corners=False)
    return moved.view(count, steps, channels, height, width).transpose(0, 1)


def adamw(network: Network, training: Training, learning_rate: float) -> torch.optim.AdamW:
    """AdamW, with the weight decay of a training on matrices and kernels only."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate)


class Trainee(lightning.LightningModule):
    """A network on a task; remembers the weights that did best on the validation split."""

    def __init__(self, network: Network, task: Task, run: Run) -> None:
        super().__init__()
        self.network, self.task, self.run = network, task, run
        self.noise = build_noise(run.training.noise)
        self.train_losses: list[Tensor] = []
        self.outputs: list[tuple[Tensor, Tensor, Tensor]] = []
        self.history: list[dict[str, float]] = []
        self.fingerprint = task.facts()["fingerprint"]
        self.started, self.seconds = time.perf_counter(), 0.0  # of this session, and of those before it
        self.best: dict[str, Any] = {"loss": math.inf, "score": 0.0, "epoch": -1, "weights": {}}

    def on_train_epoch_start(self) -> None:
        """Restart all random draws: an epoch does not depend on the ones before it."""
        reseed(self.network, self.run.seed, self.current_epoch)
        self.train_losses.clear()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], number: int) -> Tensor:
        """The loss of one batch of clips, moved as the world moves and then disturbed as a camera does."""
        x, y, _ = batch
        generator = torch.Generator().manual_seed(make_seed(self.run.seed, self.current_epoch, number))
        moved = jitter_clips(x, self.run.training, generator)
        loss = self.task.loss(self._answers(add_noise(moved, self.noise, generator)), y)
        self.train_losses.append(loss.detach())
        return loss

    def _answers(self, x: Tensor) -> Tensor:
        """Combined outputs [B, O]; half precision ends at the readout."""
        return self.task.combine(self.network(x)[0].float())

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], number: int) -> None:  # noqa: ARG002
        """Keep the combined outputs of one batch."""
        x, y, numbers = batch
        self.outputs.append((self._answers(x).detach(), y, numbers))

    test_step = validation_step

    def collect(self) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, targets and item numbers of the evaluation that just ended, on the CPU."""
        output, y, numbers = (torch.cat(part).cpu() for part in zip(*self.outputs, strict=True))
        self.outputs.clear()
        return output, y, numbers

    def on_validation_epoch_start(self) -> None:
        """Every evaluation uses the same random draws."""
        self.outputs.clear()
        reseed(self.network, self.run.seed, EVALUATION)

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        """Score the epoch; keep the weights if no loss before was as low."""
        output, y, _ = self.collect()
        loss = self.task.loss(output, y).item()
        if not math.isfinite(loss):
            raise DivergedError(
                f"the validation loss must be finite; got {loss} in epoch {self.current_epoch + 1} of "
                f"{self.run.name}: lower training.learning_rate."
            )
        score = self.task.metrics(self.task.predict(output), y)[self.task.score_name].value
        if loss < self.best["loss"]:
            weights = {key: value.to("cpu", copy=True) for key, value in self.network.state_dict().items()}
            self.best = {"score": score, "loss": loss, "epoch": self.current_epoch, "weights": weights}
        self.history.append(
            {
                "epoch": self.current_epoch,
                "train_loss": torch.stack(self.train_losses).mean().item(),
                "validation_loss": loss,
                f"validation_{self.task.score_name}": score,
            }
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of."""
        checkpoint["ipnet"] = {
            "history": self.history,
            "best": self.best,
            "config": self.run.model_dump_json(),
            "fingerprint": self.fingerprint,
            "seconds": self.seconds + time.perf_counter() - self.started,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        stored = checkpoint["ipnet"]
        self.history, self.best, self.seconds = stored["history"], stored["best"], stored["seconds"]

    def configure_optimizers(self) -> Any:
        """AdamW, weight decay on matrices and kernels only; linear warm-up, cosine decay to zero."""
        training = self.run.training
        optimizer = adamw(self.network, training, training.learning_rate)
        total = int(self.trainer.estimated_stepping_batches)
        warm = max(1, round(training.warmup * total))

        def factor(step: int) -> float:
            return (
                (step + 1) / warm
                if step < warm
                else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
            )

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
