"""A study: a grid of runs, checked as a whole before the first one starts, resumable at any moment."""

from pathlib import Path

from ipnet.config import Run
from ipnet.network import build_network
from ipnet.perturbation import build_noise
from ipnet.tasks import Progress, build_task
from ipnet.train import check_writable, checkpoint_of, finished
from ipnet.trainee import accelerator_of


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
        build_network(run, task.shape[1:], len(task.outputs))
    task.prepare(progress)
    fingerprint = task.facts()["fingerprint"]
    for run, place in placed:
        finished(run, place, fingerprint) or checkpoint_of(run, place, fingerprint)
    return placed
