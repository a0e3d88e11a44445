"""Tuning: an equal budget of trials for every contender of a study, judged by the validation split alone.

A trial is a training with the study's own means at one seed that the study does not use. The first trial of each
contender has the study's present values; the next are drawn over the ranges of ``[search]``, from the fourth on by
the tree-structured Parzen estimator (Bergstra et al., NeurIPS 24, 2546, 2011). The test
split is never asked for.
"""

import csv
import fcntl
import io
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from ipnet.cache import write_atomically
from ipnet.errors import IPNetError
from ipnet.search import is_interval
from ipnet.seeds import make_seed
from ipnet.settings import flatten, toml_value
from ipnet.train import Report, alone
from ipnet.tuning import Tuning

DATABASE, TRIALS_FILE, TUNED_FILE = "tune.sqlite3", "trials.csv", "tuned.toml"
_DRAWN = 3  # trials before the estimator: budgets are small
_COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Trial:
    """One training of one contender.

    Args:
        contender: its name.
        number: from 0, the study's present values.
        values: what was tried, by key of the contender's table; of the first trial what the study states.
        loss: best loss on the validation split; infinite if training diverged.
        score: on the validation split, of the same epoch.
        seconds: it took.
    """

    contender: str
    number: int
    values: Mapping[str, Any]
    loss: float
    score: float
    seconds: float


def tune(
    tuning: Tuning, folder: Path, trials: int, report: Callable[[str, int, int], Report] | None = None
) -> list[Trial]:
    """Try `trials` times per contender, as many as the folder does not hold yet; write the trials and the best.

    Trials are written down one by one, in the SQLite file of optuna; one that was interrupted is repeated. The
    contenders take turns, so that an interrupted search has given each as many trials. Processes may share the
    folder if they have different contenders.

    Args:
        tuning: the search.
        folder: receives the database, ``trials.csv`` and ``tuned.toml``.
        trials: per contender.
        report: asked by run name, number and count for what is told the progress of each training.

    Returns:
        All trials there are, by contender.

    Raises:
        IPNetError: the folder holds another search, or a training fails otherwise than by diverging.
    """
    with ExitStack() as locks:
        for name in tuning.contenders:
            locks.enter_context(alone(folder, name))
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with (folder / ".lock-database").open("w") as lock:  # two that make it at once would both fail
            fcntl.flock(lock, fcntl.LOCK_EX)
            storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / DATABASE).resolve()}")
            studies = {name: _open(tuning, name, storage) for name in tuning.contenders}
        jobs = [
            name for turn in range(trials) for name in tuning.contenders if turn >= len(_counted(studies[name]))
        ]
        for number, name in enumerate(jobs):
            told = report(name, number, len(jobs)) if report else lambda _fraction, _note: None
            _try(tuning, name, studies[name], told)
        known = [study.study_name for study in storage.get_all_studies()]
        found = [
            trial
            for name in tuning.study.contenders
            if name in known
            for trial in trials_of(name, optuna.load_study(study_name=name, storage=storage))
        ]
        _write(folder, tuning, found)
    return found


def _open(tuning: Tuning, contender: str, storage: optuna.storages.RDBStorage) -> optuna.Study:
    """The trials of a contender; what was interrupted is set up again."""
    study = optuna.create_study(study_name=contender, storage=storage, load_if_exists=True)
    identity = tuning.identity(contender)
    if study.user_attrs.get("search", identity) != identity:
        raise IPNetError(
            f"'{DATABASE}' must belong to this very study and search; its trials of '{contender}' are of another: "
            "choose another output folder, or remove it."
        )
    study.set_user_attr("search", identity)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=_COUNTED)


def _distribution(values: list[Any]) -> BaseDistribution:
    if is_interval(values):
        return FloatDistribution(float(values[0]), float(values[1]), log=True)
    return CategoricalDistribution([json.dumps(value) for value in values])


def _try(tuning: Tuning, contender: str, study: optuna.Study, report: Report) -> None:
    """One trial: its draws are a function of the seed, its number and the trials before it."""
    number, ranges, present = len(_counted(study)), tuning.ranges(contender), tuning.present(contender)
    seed = make_seed(tuning.search.seed, number) % 2**32
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_DRAWN)
    if not number:  # what the study does not state is left to the memory, so no value is drawn for it
        ranges = {key: ranges[key] for key in present}
    distributions = {key: _distribution(values) for key, values in ranges.items()}
    drawn = study.ask(distributions) if number else None
    values = {key: _value(value) for key, value in drawn.params.items()} if drawn else present
    started = time.perf_counter()
    loss, score = tuning.train_once(tuning.run(contender, values), report)
    facts = {"values": values, "score": score, "seconds": round(time.perf_counter() - started, 3)}
    state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.PRUNED
    value = loss if math.isfinite(loss) else None
    if drawn is None:
        params = {key: v if is_interval(ranges[key]) else json.dumps(v) for key, v in present.items()}
        study.add_trial(
            create_trial(state=state, value=value, params=params, distributions=distributions, user_attrs=facts)
        )
        return
    for key, fact in facts.items():
        drawn.set_user_attr(key, fact)
    study.tell(drawn, value, state)


def _value(drawn: float | str) -> Any:
    """What optuna drew, to three digits, as it will stand in the file."""
    return json.loads(drawn) if isinstance(drawn, str) else float(f"{drawn:.3g}")


def trials_of(contender: str, study: optuna.Study) -> list[Trial]:
    """The trials of a contender in the order in which they were made."""
    found = []
    for number, trial in enumerate(_counted(study)):
        facts, diverged = trial.user_attrs, trial.state == TrialState.PRUNED
        loss = math.inf if diverged or trial.value is None else trial.value
        found.append(Trial(contender, number, facts["values"], loss, facts["score"], facts["seconds"]))
    return found


def best_of(trials: Sequence[Trial]) -> dict[str, Trial]:
    """Of each contender the trial with the lowest loss, the earlier of equal ones; none if all diverged."""
    best: dict[str, Trial] = {}
    for trial in trials:
        if trial.loss < (best[trial.contender].loss if trial.contender in best else math.inf):
            best[trial.contender] = trial
    return best


def unequal(tuning: Tuning, trials: Sequence[Trial]) -> str:
    """One sentence if the contenders of the study have not had the same number of trials; else empty."""
    counts = {name: sum(trial.contender == name for trial in trials) for name in tuning.study.contenders}
    if len(set(counts.values())) == 1:
        return ""
    had = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"the budgets differ, so these values must not be compared yet: trials of {had}."


def _write(folder: Path, tuning: Tuning, trials: Sequence[Trial]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["contender", "trial", "values", "validation_loss", "score", "seconds"])
    for trial in trials:
        row = trial.loss, trial.score, trial.seconds
        writer.writerow([trial.contender, trial.number, json.dumps(trial.values), *row])
    write_atomically(folder / TRIALS_FILE, lambda temporary: temporary.write_text(text.getvalue(), "utf-8"))
    tables = tuned(tuning, trials)
    write_atomically(folder / TUNED_FILE, lambda temporary: temporary.write_text(tables, "utf-8"))


def tuned(tuning: Tuning, trials: Sequence[Trial]) -> str:
    """The tables ``[contender]`` with the best values, to paste into the study."""
    lines = [f"# `ipnet tune`, seed {tuning.search.seed}: lowest validation loss of each contender."]
    for name, trial in best_of(trials).items():
        had = sum(other.contender == name for other in trials)
        lines += ["", f"[contender.{json.dumps(name)}] # trial {trial.number} of {had}, loss {trial.loss:.4g}"]
        lines += [f"{key} = {toml_value(value)}" for key, value in flatten(tuning.own(name, trial.values)).items()]
    return "\n".join([*lines, ""])
