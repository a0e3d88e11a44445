"""Training one run with Lightning: the same budget, selection rule and bookkeeping for every contender."""

import fcntl
import logging
import os
import platform
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save_file

from ipnet.budget import Training
from ipnet.cache import TEMPORARY, content_hash, write_atomically
from ipnet.config import Run
from ipnet.errors import BusyError, IPNetError
from ipnet.network import build_network, count_parameters
from ipnet.ops import count_macs, count_state_bytes, frame_latency
from ipnet.results import RESULT_FILE, Result, read_result, write_result
from ipnet.tasks import Items, Task, build_task
from ipnet.tested_once import claim_test
from ipnet.trainee import Shuffled, Trainee, accelerator_of, isolated, loader

Report = Callable[[float, str], None]
WEIGHTS_FILE, TRACE_FILE, _LAST = "model.safetensors", "trace.npz", "last.ckpt"


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


def finished(run: Run, folder: Path, fingerprint: str) -> Result | None:
    """The result of a run on the data of this fingerprint, if it is already there.

    Raises:
        IPNetError: the folder holds a result of another configuration or of other data.
    """
    if not (folder / RESULT_FILE).exists():
        return None
    result = read_result(folder / RESULT_FILE)
    same_config = content_hash(result.config) == content_hash(run.model_dump(mode="json"))
    _require_same(
        folder / RESULT_FILE, same_config=same_config, same_data=result.data["fingerprint"] == fingerprint
    )
    return result


def _require_same(path: Path, *, same_config: bool, same_data: bool) -> None:
    if not (same_config and same_data):
        what = "other data" if same_config else "another configuration"
        raise IPNetError(
            f"'{path}' must belong to this very configuration and these very data; it is of {what}: choose "
            "another output folder, or remove it."
        )


def checkpoint_of(run: Run, folder: Path, fingerprint: str) -> str | None:
    """The path of the checkpoint from which a run can go on, if there is one.

    Raises:
        IPNetError: it is damaged, or of another configuration or other data.
    """
    path = folder / _LAST
    if not path.exists():
        return None
    try:
        stored = torch.load(path, "cpu", weights_only=True)["ipnet"]
    except Exception as error:
        raise IPNetError(f"checkpoint '{path}' is damaged; remove it and the run starts again.") from error
    same_config = stored["config"] == run.model_dump_json()
    _require_same(path, same_config=same_config, same_data=stored["fingerprint"] == fingerprint)
    return str(path)


@contextmanager
def alone(folder: Path, part: str = "") -> Iterator[None]:
    """Keep other processes out of a folder, or out of their named part of its work.

    The lock goes with the process, however it ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        check_writable(folder)  # says why it is not
    with (folder / f".lock{part}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"'{folder}' must be worked on by one process at a time; another one is at it: wait for it, or "
                "give the processes different contenders or seeds."
            ) from error
        except OSError as error:
            raise IPNetError(
                f"'{folder}' must be on a file system with locks; got '{error.strerror}': choose another folder."
            ) from error
        for abandoned in [] if part else folder.glob(TEMPORARY):  # those of a part may be another process's
            abandoned.unlink(missing_ok=True)  # of a process that was killed while it wrote
        check_writable(folder)
        yield


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
        IPNetError: the configuration or the data break a rule, training diverged, or the folder cannot be used.
    """
    accelerator_of(run.training)
    with alone(folder):
        task = build_task(run.task, run.data)
        fingerprint = task.facts()["fingerprint"]
        done = finished(run, folder, fingerprint)
        return done or _train(run, task, folder, checkpoint_of(run, folder, fingerprint), report)


def _train(run: Run, task: Task, folder: Path, checkpoint: str | None, report: Report) -> Result:
    network = build_network(run, task.shape[1:], len(task.outputs))
    trainee = Trainee(network, task, run)
    with isolated(run.training.threads), warnings.catch_warnings():
        trainer = fit(trainee, folder, checkpoint, report)
        seconds = trainee.seconds + time.perf_counter() - trainee.started
        network.load_state_dict(trainee.best["weights"])
        weights = {key: value.contiguous() for key, value in network.state_dict().items()}
        claim_test(folder, run, trainee.fingerprint, weights)
        items = task.items("test")
        batches = loader(items, run.training.batch_size, workers=run.training.workers)
        trainer.test(trainee, batches, verbose=False)
        latency = frame_latency(network, task.items("validation").batch([0])[0])
    timing = {
        "train_seconds": round(seconds, 3),
        "latency_per_frame_s": latency,
        "resumed": checkpoint is not None,
    }
    result = _result(trainee, items, timing)
    write_atomically(folder / WEIGHTS_FILE, lambda temporary: save_file(weights, temporary))
    _write_trace(trainee, folder / TRACE_FILE)
    write_result(folder, result)
    (folder / _LAST).unlink(missing_ok=True)
    return result


def fit(
    trainee: Trainee, folder: Path, checkpoint: str | None, report: Report, train: Items | None = None
) -> lightning.Trainer:
    """Train on the train split, or on some of it, and remember what does best on the validation split.

    Args:
        trainee: receives the history and the best weights.
        folder: for the checkpoint of the last whole epoch.
        checkpoint: to go on from, if there is one.
        report: told the fraction done and a note, often.
        train: items to learn from; None for the whole split.

    Raises:
        IPNetError: an empty split, or a loss that is not finite.
    """
    training = trainee.run.training
    accelerator = accelerator_of(training)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    keep_last = ModelCheckpoint(
        folder, Path(_LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=training.precision,
        max_epochs=training.epochs,
        deterministic=True if accelerator == "cpu" else "warn",  # not every kernel of a GPU has such a form
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
    train = trainee.task.items("train") if train is None else train
    validation = trainee.task.items("validation")
    if not len(train) or not len(validation):
        raise IPNetError(
            f"training needs at least one item to learn from and one to select by; got {len(train)} and "
            f"{len(validation)}: change the splits of the data set."
        )
    batches = partial(loader, batch_size=training.batch_size, workers=training.workers)
    try:
        trainer.fit(
            trainee,
            batches(train, sampler=Shuffled(len(train), trainee.run.seed)),
            batches(validation),
            ckpt_path=checkpoint,
        )
    except SystemExit:  # Lightning's answer to Ctrl-C, after which it ignores a second one
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None
    return trainer


def software_versions() -> dict[str, str]:
    """What computes."""
    names = "mtj-ipnet", "torch", "lightning", "numpy"
    return {name: version(name) for name in names} | {"python": platform.python_version()}


def _machine(training: Training) -> str:
    cores = f"{platform.machine()}, {os.cpu_count()} cores"
    return cores if accelerator_of(training) == "cpu" else f"{cores}, {torch.cuda.get_device_name()}"


def _result(trainee: Trainee, items: Items, timing: dict[str, Any]) -> Result:
    run, task, network = trainee.run, trainee.task, trainee.network
    output, y, numbers = trainee.collect()
    predicted = task.predict(output)
    best = trainee.best
    return Result(
        run=run.name,
        config=run.model_dump(mode="json"),
        data=task.facts(),
        versions=software_versions(),
        model={
            "memory": run.memory_name,
            "positions": list(network.memories),
            "causal": network.causal,
            "width": network.width,
            "parameters": count_parameters(network),
            "memory_parameters": count_parameters(network.memories),
            "macs_per_clip": count_macs(network, task.shape),
            "state_bytes": count_state_bytes(network, task.shape),
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
        confusion=task.confusion(predicted, y),
        outputs=list(task.outputs),
        predictions={
            "item": [items.names[i] for i in numbers.tolist()],
            "truth": y.tolist(),
            "predicted": predicted.tolist(),
        },
        history=trainee.history,
        timing={
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": _machine(run.training),
        }
        | timing,
    )


def _write_trace(trainee: Trainee, path: Path) -> None:
    """Keep what the frontier's memory went through over the first validation clip: the report's picture.

    Of a bank it is the junction that remembers longest.
    """
    if "frontier" not in trainee.network.memories:
        return
    items = trainee.task.items("validation")
    x, _ = items.batch([0])
    states = trainee.network.eval().trace(x, "frontier")
    if not states or not states[0] or states[0][0].shape[-3:] != x.shape[2:]:  # traces of several time constants
        return
    horizons = trainee.network.report().get("bank_horizons", [0.0])
    part = len(states[0]) // len(horizons) * horizons.index(max(horizons))
    arrays = {
        "frames": x[:, 0].numpy().astype(np.float16),
        "state": torch.stack([state[part][0, 0] for state in states]).numpy().astype(np.float16),
        "item": np.array(items.names[0]),
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    write_atomically(path, write)
