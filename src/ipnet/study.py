"""A study: a grid of runs, checked as a whole before the first one starts, resumable at any moment."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ipnet.config import Run
from ipnet.errors import BusyError
from ipnet.network import build_network, check_stride
from ipnet.perturbation import build_noise
from ipnet.results import RESULT_FILE, Result
from ipnet.streaming import evaluating
from ipnet.tasks import Items, Progress, build_task
from ipnet.train import Report, check_writable, checkpoint_of, execute, finished
from ipnet.trainee import Trainee, accelerator_of, isolated

_TIMED = 3  # batches
_POLL = 5.0  # s


def check_runs(runs: list[Run], folder: Path, progress: Progress | None = None) -> list[tuple[Run, Path]]:
    """Build every network once, prepare the data, look at what is already there.

    Args:
        runs: of one study, so on one task and data set.
        folder: where studies are kept; this one goes into a folder of its name.
        progress: told how far the preparation of the data is.

    Returns:
        Every run with its folder, in order.

    Raises:
        IPNetError: any contender, option, datum, accelerator or folder that would stop the study later.
    """
    check_writable(folder)
    accelerator_of(runs[0].training)
    build_noise(runs[0].training.noise)
    task = build_task(runs[0].task, runs[0].data)
    placed = [(run, folder / run.study / run.name) for run in runs]
    for run, _ in placed:
        check_stride(run, task.shape[0])
        build_network(run, task.shape[1:], len(task.outputs))
    task.prepare(progress)
    fingerprint = task.facts()["fingerprint"]
    for run, place in placed:
        finished(run, place, fingerprint) or checkpoint_of(run, place, fingerprint)
    return placed


def execute_all(placed: list[tuple[Run, Path]], report: Callable[[str, int, int], Report]) -> list[Result]:
    """Train the runs in order, those last that another process is at: started twice, a study is shared by two.

    Args:
        placed: of `check_runs`.
        report: asked by run name, number of finished runs and of all for what is told the progress of a run.

    Returns:
        The results in order, also of other processes, for which it waits.

    Raises:
        IPNetError: see `ipnet.train.execute`; of one run also if another process is at it.
    """
    results: dict[int, Result] = {}
    while len(results) < len(placed):
        before = len(results)
        for i, (run, place) in enumerate(placed):
            if i not in results:
                with suppress(BusyError) if len(placed) > 1 else nullcontext():
                    results[i] = execute(run, place, report(run.name, len(results), len(placed)))
        if len(results) == before:
            time.sleep(_POLL)
    return [results[i] for i in range(len(placed))]


@dataclass(frozen=True)
class Cost:
    """What is still to be trained of one contender.

    Args:
        contender: its name.
        runs: that are not finished.
        minutes: of wall time, all of them together.
        cpu_minutes: the same times the threads.
    """

    contender: str
    runs: int
    minutes: float
    cpu_minutes: float


def estimate(placed: list[tuple[Run, Path]]) -> list[Cost]:
    """How long the runs without a result would take, from a few batches of each contender on this machine's CPU.

    ``minutes = runs epochs (n_train t_train + n_validation t_eval) + runs n_test t_eval``, n in batches and t per
    batch. Nothing is written, and of the test split only the size is looked at.

    Args:
        placed: of `check_runs`.
    """
    waiting: dict[str, list[Run]] = {}
    for run, place in placed:
        waiting.setdefault(run.contender, [])
        if not (place / RESULT_FILE).exists():
            waiting[run.contender].append(run)
    return [_cost(name, runs) for name, runs in waiting.items()]


def _cost(contender: str, runs: list[Run]) -> Cost:
    if not runs:
        return Cost(contender, 0, 0.0, 0.0)
    run, training = runs[0], runs[0].training
    task = build_task(run.task, run.data)
    batches = {split: math.ceil(n / training.batch_size) for split, n in task.facts()["items"].items()}
    trainee = Trainee(build_network(run, task.shape[1:], len(task.outputs)), task, run)
    optimizer = torch.optim.AdamW(trainee.parameters())

    def train(batch: Any) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(trainee.training_step(batch, 0))
        optimizer.step()

    with isolated(training.threads):
        step = _seconds(train, trainee.task.items("train"), training.batch_size)
        with evaluating(trainee), torch.no_grad():
            look = _seconds(
                lambda batch: trainee.validation_step(batch, 0), task.items("validation"), training.batch_size
            )
    epoch = batches["train"] * step + batches["validation"] * look
    minutes = len(runs) * (training.epochs * epoch + batches["test"] * look) / 60
    return Cost(contender, len(runs), minutes, minutes * training.threads)


def _seconds(work: Callable[[Any], object], items: Items, batch_size: int) -> float:
    """Mean time of one batch, fetched and worked on, over three after the first."""
    numbers, started = [i % len(items) for i in range(batch_size)], 0.0
    for turn in range(1 + _TIMED):
        if turn == 1:
            started = time.perf_counter()
        work((*items.batch(numbers), torch.tensor(numbers)))
    return (time.perf_counter() - started) / _TIMED
