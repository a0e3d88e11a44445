"""Robustness: how the score of a finished run falls when its input or its hardware is disturbed.

The levels are declared before anything is tested, in ``[robustness]`` of a study. Each of them is evaluated once
per run and every outcome is written down and reported; none is chosen by what was found. So the test split takes
part in no selection, although it is seen once more for every level than in the run itself. The declaration is
written into the file before the first disturbed answer; on the test split other levels are then refused, and the
same levels are served from the file. Whoever wants to look around first does so on the validation split, the
default.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ipnet.data import Split
from ipnet.errors import IPNetError
from ipnet.finished import Finished, load_finished
from ipnet.perturbation import (
    PERTURBATIONS,
    InputPerturbation,
    NetworkPerturbation,
    Perturbation,
    perturb_clips,
)
from ipnet.robustness_result import Answers, Robustness, Row, read_robustness, robustness_file, write_robustness
from ipnet.tasks import Items, Task
from ipnet.train import Report, alone, software_versions
from ipnet.trainee import EVALUATION, isolated, loader, reseed

Plan = list[tuple[Perturbation, float]]
Change = Callable[[Tensor, Sequence[int]], Tensor]  # clips [T, B, C, H, W] and their numbers to other clips


@dataclass(frozen=True)
class _Subject(Finished):
    """A finished run and the split that it is tested on."""

    split: Split

    @cached_property
    def items(self) -> Items:
        """The items of the split, handed out when the first answer is wanted."""
        return self.task.items(self.split)

    def answers(self, network: nn.Module, change: Change = lambda x, _numbers: x) -> tuple[Tensor, Tensor]:
        """Predictions and targets [N] of the whole split, in the batches and with the draws of the run's test."""
        predicted, truth = [], []
        network.eval()
        with isolated(self.run.training.threads), torch.no_grad():
            reseed(network, self.run.seed, EVALUATION)
            for x, y, numbers in loader(self.items, self.run.training.batch_size):
                outputs, _ = network(change(x, numbers.tolist()))
                predicted.append(self.task.predict(self.task.combine(outputs)))
                truth.append(y)
        return torch.cat(predicted), torch.cat(truth)


def declare(levels: Mapping[str, Sequence[float]]) -> Plan:
    """The perturbations and levels to test; those that disturb nothing are left out: they are the undisturbed run.

    Raises:
        IPNetError: nothing to test, an unknown name, or a level outside its range.
    """
    plan: Plan = []
    for name, values in levels.items():
        perturbation = PERTURBATIONS.build(name)
        for level in values:
            perturbation.check(level)
        disturbing = sorted({float(level) for level in values if perturbation.distance(level) > 0})
        if not disturbing:
            raise IPNetError(
                f"robustness: '{name}' needs at least one level besides the neutral {perturbation.neutral:g}; got "
                f"{list(values)}: add one."
            )
        plan += [(perturbation, level) for level in disturbing]
    if not plan:
        raise IPNetError("robustness needs perturbations; got none: add a line such as event_drop = [0.1, 0.5].")
    return plan


def robustness(
    folder: Path,
    levels: Mapping[str, Sequence[float]],
    *,
    split: Split = "validation",
    seeds: Sequence[int] | None = None,
    report: Report = lambda _fraction, _note: None,
) -> Robustness:
    """Evaluate a finished run under perturbations; what was evaluated before is kept and not evaluated again.

    Args:
        folder: of the run, with ``result.json`` and ``model.safetensors``; receives ``robustness-<split>.json``,
            written whole after every level.
        levels: by name of the perturbation.
        split: ``"validation"`` to look around; ``"test"`` with levels that were declared before, once: a second
            call with the same levels and seeds reads the file and does not touch the split.
        seeds: of the random draws; the run's own by default, so that contenders of a seed meet the same.
        report: told the fraction done and a note, often.

    Returns:
        All rows of the run, also of earlier calls.

    Raises:
        IPNetError: unknown perturbations or levels; on the test split, others than were declared for it; a run
            that is not finished, or whose weights or data are not those of its result.
    """
    plan = declare(levels)
    with alone(folder):
        subject = _Subject(split=split, **vars(load_finished(folder)))
        path = folder / robustness_file(split)
        draws = [subject.run.seed] if seeds is None else list(seeds)
        found = _declared(_stored(path, subject) or _started(subject), plan, draws, path)
        write_robustness(path, found)
        done = {(row.perturbation, row.level, row.seed) for row in found.rows}
        for i, (perturbation, level) in enumerate(plan):
            name, what = perturbation.name(), f"{perturbation.name()} {level:g}"
            report(i / len(plan), what)
            found.untested.pop(what, None)
            for seed in draws:
                if (name, level, seed) in done:
                    continue
                try:
                    answers = _disturbed(subject, perturbation, level, seed)
                except IPNetError as error:  # this network knows no such fault, or its devices leave their range
                    found.untested[what] = str(error)
                else:
                    found.rows.append(Row(perturbation=name, level=level, seed=seed, **answers.model_dump()))
                write_robustness(path, found)
        report(1.0, "")
        return found


def _stored(path: Path, subject: _Subject) -> Robustness | None:
    """What was evaluated before, if it was of these very weights."""
    if not path.exists():
        return None
    found = read_robustness(path)
    return found if found.source == subject.source else None


def _started(subject: _Subject) -> Robustness:
    predicted, y = subject.answers(subject.network)
    return Robustness(
        source=subject.source,
        run=subject.run.name,
        study=subject.run.study,
        contender=subject.run.contender,
        seed=subject.run.seed,
        data=subject.result.data,
        versions=software_versions(),
        split=subject.split,
        declared={},
        draws=[],
        score_name=subject.task.score_name,
        chance=_chance(subject.task, y),
        items=list(subject.items.names),
        truth=y.tolist(),
        undisturbed=Answers(metrics=subject.task.metrics(predicted, y), predicted=predicted.tolist()),
        untested={},
        rows=[],
    )


def _chance(task: Task, y: Tensor) -> float:
    """The score of the best constant answer: the most frequent class, or the mean of what is measured."""
    constant = y.mean() if y.is_floating_point() else y.mode().values
    return task.metrics(constant.expand_as(y), y)[task.score_name].value


def _declared(found: Robustness, plan: Plan, draws: list[int], path: Path) -> Robustness:
    """`found` with the declaration of this call; the test split takes one declaration and no other."""
    declared: dict[str, list[float]] = {}
    for perturbation, level in plan:
        declared.setdefault(perturbation.name(), []).append(level)
    if found.split == "test" and found.declared and (found.declared, found.draws) != (declared, draws):
        raise IPNetError(
            f"levels of the test split must be declared before it is looked at; '{path}' was declared with "
            f"{found.declared} and seeds {found.draws}, and got {declared} and seeds {draws}: restore the "
            "declaration, or look around on the validation split."
        )
    return found.model_copy(update={"declared": declared, "draws": draws})


def _disturbed(subject: _Subject, perturbation: Perturbation, level: float, seed: int) -> Answers:
    if isinstance(perturbation, InputPerturbation):
        change = partial(perturb_clips, perturbation=perturbation, level=level, seed=seed)
        predicted, y = subject.answers(subject.network, change)
    elif isinstance(perturbation, NetworkPerturbation):
        predicted, y = subject.answers(perturbation.perturb(subject.network, level, seed))
    else:
        raise IPNetError(f"'{perturbation.name()}' must disturb the input or the network: inherit accordingly.")
    return Answers(metrics=subject.task.metrics(predicted, y), predicted=predicted.tolist())
