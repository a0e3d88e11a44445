"""A finished run, loaded from its folder: its configuration, result, task, and the network with its weights."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from ipnet.cache import content_hash
from ipnet.config import Run
from ipnet.errors import IPNetError, invalid_config
from ipnet.network import Network, build_network
from ipnet.results import RESULT_FILE, Result, read_result
from ipnet.tasks import Task, build_task
from ipnet.train import WEIGHTS_FILE


@dataclass(frozen=True)
class Finished:
    """A run that was trained and tested.

    Args:
        run: its configuration.
        result: what it wrote.
        task: on the data that it was trained on.
        network: with its weights.
        source: hash of configuration, data and weights.
    """

    run: Run
    result: Result
    task: Task
    network: Network
    source: str


def load_finished(folder: Path, weights: Path | None = None) -> Finished:
    """Load a finished run.

    Args:
        folder: with ``result.json`` and ``model.safetensors``.
        weights: in place of those, such as `ipnet hil tune` writes.

    Raises:
        IPNetError: one of the files is missing or damaged, or the data are other data now.
    """
    result = read_result(folder / RESULT_FILE)
    try:
        run = Run.model_validate(result.config)
    except ValidationError as error:
        raise invalid_config(error, Run, f"the configuration in '{folder}'") from error
    task = build_task(run.task, run.data)
    if task.facts()["fingerprint"] != result.data["fingerprint"]:
        raise IPNetError(
            f"'{folder}' must be tested on the data that it was trained on; they are other data now: restore them "
            "or run the study again."
        )
    network = build_network(run, task.shape[1:], len(task.outputs))
    path = weights or folder / WEIGHTS_FILE
    try:
        network.load_state_dict(load_file(path))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, SafetensorError, RuntimeError) as error:
        raise IPNetError(
            f"the weights '{path}' must be there and fit the run's configuration ({type(error).__name__}): run "
            "the study again in another folder."
        ) from error
    source = content_hash(result.config, result.data["fingerprint"], digest)
    return Finished(run, result, task, network, source)
