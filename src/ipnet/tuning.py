"""What tuning trains: a contender with the values of a trial, on some of the train split, judged by validation."""

import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ipnet.cache import content_hash
from ipnet.config import Run, Study
from ipnet.contender import Own
from ipnet.errors import DivergedError, IPNetError
from ipnet.memory import MEMORIES
from ipnet.network import Network, build_network, check_stride
from ipnet.results import recording_of
from ipnet.search import is_interval
from ipnet.seeds import make_seed
from ipnet.settings import lay_over, nested
from ipnet.tasks import Items, Task, build_task
from ipnet.train import Report, fit
from ipnet.trainee import Trainee, isolated


@dataclass(frozen=True)
class Part:
    """Some of the items of a split, numbered anew."""

    whole: Items
    chosen: Sequence[int]

    @property
    def names(self) -> Sequence[str]:
        """Of the chosen items."""
        return [self.whole.names[i] for i in self.chosen]

    def __len__(self) -> int:
        return len(self.chosen)

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Items by their new numbers."""
        return self.whole.batch([self.chosen[i] for i in numbers])


def part_of(items: Items, count: int, seed: int) -> Part:
    """At most `count` items, recordings drawn by seed and taken with their reversed and mirrored copies.

    Raises:
        IPNetError: not one recording has so few items.
    """
    recordings: dict[str, list[int]] = {}
    for number, name in enumerate(items.names):
        recordings.setdefault(recording_of(name), []).append(number)
    known, chosen = list(recordings.values()), list[int]()
    for i in np.random.default_rng(make_seed(seed)).permutation(len(known)):
        if len(chosen) + len(known[i]) > count:
            break
        chosen += known[i]
    if not chosen:
        raise IPNetError(f"search.clips must hold one recording with its copies, {len(known[0])}; got {count}.")
    return Part(items, sorted(chosen))


class Tuning:
    """The search of a study.

    Args:
        study: with its ``[search]``.
        contenders: to tune; all of the study if empty.

    Raises:
        IPNetError: a contender that the study does not have, a range that fits none of its memories' options, a
            present value outside its range, or the study's own seed.
    """

    def __init__(self, study: Study, contenders: Sequence[str] = ()) -> None:
        self.study, self.search = study, study.search
        self.contenders = tuple(dict.fromkeys(contenders)) or study.contenders
        if unknown := [name for name in self.contenders if name not in study.contenders]:
            raise IPNetError(
                f"a contender to tune must be one of the study's; got '{unknown[0]}': take of "
                f"{', '.join(study.contenders)}."
            )
        if self.search.seed in study.seeds:
            raise IPNetError(
                f"search.seed must not be one of the study's {list(study.seeds)}; got {self.search.seed}: take "
                "another, so that no network is judged by what its values were chosen by."
            )
        if not self.search.ranges:
            raise IPNetError(
                '[search] must name at least one range; got none: add "training.learning_rate" = [1e-3, 1e-2].'
            )
        for key in self.search.ranges:
            if key.startswith("memory."):
                MEMORIES[key.split(".")[1]]
        self.task: Task = build_task(study.task, study.data)
        for name in self.contenders:
            ranges = self.ranges(name)
            for values in ({}, {key: ends[0] for key, ends in ranges.items()}):
                self._network(self.run(name, values))
            self._check_present(name)
        train, clips = self.task.items("train"), self.search.clips
        self.train = train if clips is None else part_of(train, clips, self.search.seed)

    def ranges(self, contender: str) -> dict[str, list[Any]]:
        """The ranges that apply to a contender, by key of its table."""
        return self.search.of(self.study.run(contender, self.search.seed).memory_name)

    def own(self, contender: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The table of a contender with the values of a trial."""
        table = self.study.contender.get(contender, Own()).model_dump(by_alias=True, exclude_unset=True)
        return lay_over(table, nested(values))

    def run(self, contender: str, values: Mapping[str, Any]) -> Run:
        """The training of a trial: the contender with these values, the seed and epochs of the search."""
        epochs = self.search.epochs or self.study.training.epochs
        own = lay_over(self.own(contender, values), {"training": {"epochs": epochs}})
        tables = self.study.contender | {contender: Own.model_validate(own)}
        return self.study.model_copy(update={"contender": tables}).run(contender, self.search.seed)

    def present(self, contender: str) -> dict[str, Any]:
        """What the study states for the ranges of a contender; what it does not, the memory's default decides."""
        run = self.run(contender, {})
        stated = {"training": run.training.model_dump(), "memory": run.memory.get(run.memory_name, {})}
        found = {key: _at(stated, key) for key in self.ranges(contender)}
        return {key: value for key, value in found.items() if value is not None}

    def _check_present(self, contender: str) -> None:
        ranges = self.ranges(contender)
        for key, value in self.present(contender).items():
            ends = ranges[key]
            inside = ends[0] <= value <= ends[1] if is_interval(ends) else value in ends
            if not inside:
                raise IPNetError(
                    f"the range of '{key}' must hold what the study has for '{contender}'; got {ends} without "
                    f"{value!r}: widen it, or change the study."
                )

    def _network(self, run: Run) -> Network:
        check_stride(run, self.task.shape[0])
        return build_network(run, self.task.shape[1:], len(self.task.outputs))

    def identity(self, contender: str) -> str:
        """Hash of everything that a trial depends on but its values; the number of trials may grow."""
        search = self.search.model_dump(exclude={"trials", "ranges"}) | {"ranges": self.ranges(contender)}
        run = self.run(contender, {}).model_dump(mode="json")
        return content_hash(run, search, self.task.facts()["fingerprint"])

    def train_once(self, run: Run, report: Report) -> tuple[float, float]:
        """The best validation loss of a training, and the score beside it; (inf, nan) if it diverges.

        Raises:
            IPNetError: anything else that ends a training.
        """
        trainee = Trainee(self._network(run), self.task, run)
        try:
            with (
                tempfile.TemporaryDirectory() as folder,
                isolated(run.training.threads),
                warnings.catch_warnings(),
            ):
                fit(trainee, Path(folder), None, report, self.train)
        except IPNetError as error:
            finite = all(bool(parameter.isfinite().all()) for parameter in trainee.network.parameters())
            if finite and not isinstance(error, DivergedError):
                raise
            return math.inf, math.nan
        return trainee.best["loss"], trainee.best["score"]


def _at(table: Mapping[str, Any], key: str) -> Any:
    """The entry at a dotted key; None if there is none."""
    found: Any = table
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
