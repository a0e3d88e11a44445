"""What `ipnet.robustness` writes: one JSON file per run and split, with every answer under every perturbation."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ipnet.cache import write_atomically
from ipnet.data import Split
from ipnet.errors import IPNetError, invalid_config
from ipnet.results import Metric


class Answers(BaseModel):
    """What a network answered to every item of a split.

    Args:
        metrics: of the answers, each with n and interval.
        predicted: by item.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: dict[str, Metric]
    predicted: list[Any]


class Row(Answers):
    """The answers under one perturbation.

    Args:
        perturbation: its name.
        level: how strong it was.
        seed: of its random draws.
    """

    perturbation: str
    level: float
    seed: int


class Robustness(BaseModel):
    """One run under perturbations: the content of ``robustness-<split>.json`` in its folder.

    Args:
        schema_version: of this layout.
        source: hash of configuration, data and weights; rows of another source are never mixed with these.
        run: name of the run within its study.
        study: name of the study.
        contender: as the study names it.
        seed: of the run.
        data: name, whether real or simulated, description, fingerprint, items per split.
        versions: of the software that evaluated.
        split: on which it was evaluated.
        declared: the table ``[robustness]`` without neutral levels; written before the first of them is tested.
        draws: the seeds of the random draws, declared with it.
        score_name: the metric that counts.
        chance: its value for the best constant answer to the split: what is known without looking at a clip.
        items: names.
        truth: targets, by item.
        undisturbed: the answers without any perturbation.
        untested: perturbations and levels that cannot be tested on this network, and why.
        rows: one per perturbation, level and seed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 2
    source: str
    run: str
    study: str
    contender: str
    seed: int
    data: dict[str, Any]
    versions: dict[str, str]
    split: Split
    declared: dict[str, list[float]]
    draws: list[int]
    score_name: str
    chance: float
    items: list[str]
    truth: list[Any]
    undisturbed: Answers
    untested: dict[str, str]
    rows: list[Row]


def robustness_file(split: Split) -> str:
    """The name of the file in the folder of a run."""
    return f"robustness-{split}.json"


def write_robustness(path: Path, found: Robustness) -> None:
    """Write the file, whole or not at all.

    Raises:
        IPNetError: the folder cannot be written.
    """
    text = found.model_dump_json() + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def read_robustness(path: Path) -> Robustness:
    """Read the file that `ipnet.robustness.robustness` writes.

    Raises:
        IPNetError: missing, damaged, or of another layout.
    """
    try:
        return Robustness.model_validate_json(path.read_bytes())
    except OSError as error:
        raise IPNetError(f"'{path}' cannot be read ({error.strerror}); run `ipnet robustness` first.") from error
    except ValidationError as error:
        raise invalid_config(error, Robustness, f"'{path}' is damaged or of another layout (remove it)") from error
