"""Training one run with Lightning: the same budget, selection rule and bookkeeping for every contender."""

import logging
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ipnet.cache import content_hash, write_atomically
from ipnet.config import Run
from ipnet.errors import IPNetError
from ipnet.network import Network, build_network
from ipnet.neuron import Neuron
from ipnet.ops import count_macs, count_parameters
from ipnet.results import RESULT_FILE, Result, read_result, write_result
from ipnet.tasks import Items, Task, build_task

Report = Callable[[float, str], None]
WEIGHTS_FILE, TRACE_FILE, _LAST = "model.safetensors", "trace.npz", "last.ckpt"
_EVALUATION = 2**31  # the "epoch" whose random numbers are used to evaluate


def _seed(*parts: int) -> int:
    """One seed from several numbers, the same on every machine."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _reseed(network: torch.nn.Module, *parts: int) -> None:
    """Restart all random draws of a network, so that an epoch does not depend on how often it was resumed."""
    torch.manual_seed(_seed(*parts))
    for i, module in enumerate(network.modules()):
        if isinstance(module, Neuron):
            module.generator.manual_seed(_seed(*parts, i))


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


class _Shuffled(Sampler[int]):
    """A permutation that is a function of (seed, epoch) alone."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng(_seed(self.seed, self.epoch)).permutation(self.count)
        return iter(order.tolist())


def _loader(items: Items, batch_size: int, sampler: Sampler[int] | None = None) -> DataLoader[Any]:
    return DataLoader(_Numbers(items), batch_size, sampler=sampler, collate_fn=lambda batch: batch)


def shift_clips(x: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """Translate each clip of a batch [T, B, C, H, W] by up to `reach` pixels, zeros coming in at the border."""
    if not reach:
        return x
    height, width = x.shape[-2:]
    padded = torch.nn.functional.pad(x, [reach] * 4)
    offsets = torch.randint(0, 2 * reach + 1, (x.shape[1], 2), generator=generator).tolist()
    clips = [
        clip[..., top : top + height, left : left + width]
        for clip, (top, left) in zip(padded.unbind(1), offsets, strict=True)
    ]
    return torch.stack(clips, 1)


class _Trainee(lightning.LightningModule):
    """A network on a task; remembers the weights that did best on the validation split."""

    def __init__(self, network: Network, task: Task, run: Run) -> None:
        super().__init__()
        self.network, self.task, self.run = network, task, run
        self.train_losses: list[Tensor] = []
        self.outputs: list[tuple[Tensor, Tensor, Tensor]] = []
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {"score": -math.inf, "loss": math.inf, "epoch": -1, "weights": {}}

    def on_train_epoch_start(self) -> None:
        _reseed(self.network, self.run.seed, self.current_epoch)
        self.train_losses.clear()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], number: int) -> Tensor:
        x, y, _ = batch
        generator = torch.Generator().manual_seed(_seed(self.run.seed, self.current_epoch, number))
        outputs, _ = self.network(shift_clips(x, self.run.training.shift, generator))
        loss = self.task.loss(self.task.combine(outputs), y)
        self.train_losses.append(loss.detach())
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], number: int) -> None:  # noqa: ARG002
        x, y, numbers = batch
        self.outputs.append((self.task.combine(self.network(x)[0]).detach(), y, numbers))

    test_step = validation_step

    def collect(self) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, targets and item numbers of the evaluation that just ended."""
        output, y, numbers = (torch.cat(part) for part in zip(*self.outputs, strict=True))
        self.outputs.clear()
        return output, y, numbers

    def on_validation_epoch_start(self) -> None:
        self.outputs.clear()
        _reseed(self.network, self.run.seed, _EVALUATION)

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        output, y, _ = self.collect()
        loss = self.task.loss(output, y).item()
        score = self.task.metrics(self.task.predict(output), y)[self.task.score_name].value
        if (score, -loss) > (self.best["score"], -self.best["loss"]):
            weights = {key: value.clone() for key, value in self.network.state_dict().items()}
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
        checkpoint["ipnet"] = {"history": self.history, "best": self.best, "config": self.run.model_dump_json()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history, self.best = checkpoint["ipnet"]["history"], checkpoint["ipnet"]["best"]

    def configure_optimizers(self) -> Any:
        training = self.run.training
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": training.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=training.learning_rate)
        total = int(self.trainer.estimated_stepping_batches)
        warm = max(1, round(training.warmup * total))

        def factor(step: int) -> float:
            return (
                (step + 1) / warm
                if step < warm
                else 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
            )

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _AtomicIO(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, so that a run can be killed at any moment."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        write_atomically(Path(path), lambda temporary: torch.save(checkpoint, temporary))


class _Progress(Callback):
    def __init__(self, report: Report) -> None:
        self.report = report

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        latest = module.history[-1] if module.history else {}
        note = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        if latest:
            note += f", validation {100 * latest[f'validation_{module.task.score_name}']:.1f} %"
        self.report(trainer.global_step / trainer.estimated_stepping_batches, note)


def check_writable(folder: Path) -> None:
    """Make sure that results can be written into `folder` before anything is computed.

    Raises:
        IPNetError: the folder cannot be made or written.
    """
    write_atomically(folder / ".writable", lambda temporary: temporary.write_text(""))
    (folder / ".writable").unlink(missing_ok=True)


def finished(run: Run, folder: Path) -> Result | None:
    """The result of a run if it is already there.

    Raises:
        IPNetError: the folder holds a result or a checkpoint of another configuration.
    """
    if (folder / RESULT_FILE).exists():
        result = read_result(folder / RESULT_FILE)
        if content_hash(result.config) != content_hash(run.model_dump(mode="json")):
            raise IPNetError(
                f"'{folder}' must hold a result of this very configuration; it holds one of another: choose "
                "another output folder, or remove it."
            )
        return result
    return None


def _checkpoint_of(run: Run, folder: Path) -> str | None:
    path = folder / _LAST
    if not path.exists():
        return None
    stored = torch.load(path, weights_only=True)["ipnet"]["config"]
    if stored != run.model_dump_json():
        raise IPNetError(
            f"'{path}' must be a checkpoint of this very configuration; it is one of another: choose another "
            "output folder, or remove it."
        )
    return str(path)


def execute(run: Run, folder: Path, report: Report = lambda _fraction, _note: None) -> Result:
    """Train, select on validation, test once, write the result; resume from the last whole epoch if there is one.

    Args:
        run: the configuration.
        folder: of this run; receives ``result.json``, ``model.safetensors`` and, with a memory at the frontier,
            ``trace.npz`` (its state over one validation clip).
        report: told the fraction done and a note, often.

    Returns:
        The result, also if it was already there.

    Raises:
        IPNetError: the configuration or the data break a rule, or the folder cannot be used.
    """
    done = finished(run, folder)
    if done:
        return done
    check_writable(folder)
    task = build_task(run.task, run.data)
    network = build_network(run, task.shape[1:], len(task.outputs))
    checkpoint = _checkpoint_of(run, folder)
    started, trainee = time.perf_counter(), _Trainee(network, task, run)
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.set_num_threads(run.training.threads)
        try:
            trainer = _fit(trainee, folder, checkpoint, report)
            trained = time.perf_counter() - started
            network.load_state_dict(trainee.best["weights"])
            items = task.items("test")
            trainer.test(trainee, _loader(items, run.training.batch_size), verbose=False)
        finally:
            torch.set_num_threads(threads)
    result = _result(trainee, items, trained, resumed=checkpoint is not None)
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    write_atomically(folder / WEIGHTS_FILE, lambda temporary: save_file(weights, temporary))
    _write_trace(trainee, folder / TRACE_FILE)
    write_result(folder, result)
    (folder / _LAST).unlink(missing_ok=True)
    return result


def _fit(trainee: _Trainee, folder: Path, checkpoint: str | None, report: Report) -> lightning.Trainer:
    training = trainee.run.training
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    keep_last = ModelCheckpoint(
        folder, Path(_LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=training.epochs,
        deterministic=True,
        gradient_clip_val=training.clip_norm,
        callbacks=[keep_last, _Progress(report)],
        plugins=[_AtomicIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    train, validation = trainee.task.items("train"), trainee.task.items("validation")
    trainer.fit(
        trainee,
        _loader(train, training.batch_size, _Shuffled(len(train), trainee.run.seed)),
        _loader(validation, training.batch_size),
        ckpt_path=checkpoint,
    )
    if len(trainee.history) < training.epochs:
        raise KeyboardInterrupt  # Lightning answers Ctrl-C by returning early
    return trainer


def _result(trainee: _Trainee, items: Items, seconds: float, *, resumed: bool) -> Result:
    run, task, network = trainee.run, trainee.task, trainee.network
    output, y, numbers = trainee.collect()
    predicted = task.predict(output)
    confusion = torch.zeros(len(task.outputs), len(task.outputs), dtype=torch.int64)
    confusion.index_put_((y, predicted), torch.ones_like(y), accumulate=True)
    best = trainee.best
    return Result(
        run=run.name,
        config=run.model_dump(mode="json"),
        data=task.facts(),
        versions={name: version(name) for name in ("mtj-ipnet", "torch", "lightning", "numpy")}
        | {"python": platform.python_version()},
        model={
            "memory": run.memory_name,
            "positions": list(network.memories),
            "causal": network.causal,
            "parameters": count_parameters(network),
            "memory_parameters": count_parameters(network.memories),
            "macs_per_clip": count_macs(network, task.shape),
            "input_shape": list(task.shape),
        },
        physics=network.report(),
        validation={
            "score_name": task.score_name,
            "epoch": best["epoch"],
            "score": best["score"],
            "loss": best["loss"],
        },
        metrics=task.metrics(predicted, y),
        confusion=confusion.tolist(),
        outputs=list(task.outputs),
        predictions={
            "item": [items.names[i] for i in numbers.tolist()],
            "truth": y.tolist(),
            "predicted": predicted.tolist(),
        },
        history=trainee.history,
        timing={
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "train_seconds": round(seconds, 1),
            "resumed": resumed,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        },
    )


def _write_trace(trainee: _Trainee, path: Path) -> None:
    """Keep what the frontier's memory went through over the first validation clip: the report's picture."""
    if "frontier" not in trainee.network.memories:
        return
    items = trainee.task.items("validation")
    x, _ = items.batch([0])
    states = trainee.network.eval().trace(x, "frontier")
    if not states or not states[0]:
        return
    arrays = {
        "frames": x[:, 0].numpy().astype(np.float16),
        "state": torch.stack([state[0][0, 0] for state in states]).numpy().astype(np.float16),
        "item": np.array(items.names[0]),
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    write_atomically(path, write)


def predictions_of(results: Sequence[Result]) -> dict[tuple[int, str], bool]:
    """Whether each (seed, item) was predicted right, over several runs: what paired tests compare."""
    return {
        (result.seed, item): truth == predicted
        for result in results
        for item, truth, predicted in zip(
            result.predictions["item"], result.predictions["truth"], result.predictions["predicted"], strict=True
        )
    }
