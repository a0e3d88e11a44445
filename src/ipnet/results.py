"""Results: one JSON file per run that nothing but the run writes, and the statistics every table uses."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from scipy import stats

from ipnet.cache import write_atomically
from ipnet.errors import IPNetError, invalid_config

CONFIDENCE = 0.95
REVERSED, MIRRORED = "/reversed", "/mirrored"  # what the name of an item's copy ends with


class Proportion(BaseModel):
    """A share of successes with its Wilson interval.

    Args:
        value: successes / n.
        successes: how many.
        n: of how many.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    successes: int
    n: int
    low: float
    high: float


class Estimate(BaseModel):
    """A measured quantity with its 95 % interval, for what is not a share: an error in degrees, say.

    Args:
        value: the estimate, in `unit`.
        low: lower end of the interval.
        high: upper end of the interval.
        n: of how many items.
        unit: symbol of the unit.
        groups: recordings, drives or blocks of a drive that the items come from, the unit of the interval; None in
            results that did not count them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    low: float
    high: float
    n: int
    unit: str
    groups: int | None = None


Metric = Proportion | Estimate


def recording_of(item: str) -> str:
    """The name of the item of which this may be a time-reversed or mirrored copy.

    Example:
        >>> recording_of("test/subject24/1176/reversed"), recording_of("test/subject24/1176")
        ('test/subject24/1176', 'test/subject24/1176')
    """
    return item.removesuffix(REVERSED).removesuffix(MIRRORED)


def wilson(successes: int, n: int) -> Proportion:
    """The 95 % Wilson score interval of a proportion (Wilson, JASA 22, 209, 1927).

    Raises:
        IPNetError: not 0 <= successes <= n with n >= 1.

    Example:
        >>> share = wilson(287, 288)
        >>> round(100 * share.low, 2), round(100 * share.high, 2)
        (98.06, 99.94)
    """
    if n < 1 or not 0 <= successes <= n:
        raise IPNetError(f"a proportion needs 0 <= successes <= n and n >= 1; got {successes} of {n}.")
    interval = stats.binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return Proportion(
        value=successes / n, successes=successes, n=n, low=float(interval.low), high=float(interval.high)
    )


def mean_interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and its 95 % Student-t interval over seeds; the interval is (nan, nan) for fewer than two values.

    Example:
        >>> [round(v, 3) for v in mean_interval([0.97, 0.98, 0.99])]
        [0.98, 0.955, 1.005]
    """
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    error = float(stats.sem(values))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return mean, mean - half, mean + half


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test: p-value for two classifiers right on different items of one test set.

    Args:
        only_first: items that only the first got right.
        only_second: items that only the second got right.

    References:
        McNemar, Psychometrika 12, 153 (1947), exact binomial form.

    Example:
        >>> mcnemar(0, 6), mcnemar(3, 3)
        (0.03125, 1.0)
    """
    discordant = only_first + only_second
    return float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0


class Result(BaseModel):
    """What one run found, and everything needed to find it again.

    `timing` is the only part that differs between two runs of one configuration on one machine.

    Args:
        schema_version: of this layout.
        run: name of the run within its study.
        config: the whole configuration.
        data: name, whether real or simulated, description, fingerprint, clips per split.
        versions: of the software.
        model: contender, memory, positions, causal, parameters, multiply-accumulates per clip, bytes of state that
            one clip carries from frame to frame.
        physics: card, clock and memory horizon; empty for a memory without physics.
        validation: loss and score on the validation split in the epoch whose weights were kept, the one with the
            lowest loss; `score_name` is the metric.
        metrics: on the test split, each with n and interval.
        confusion: counts [truth, prediction] on the test split; empty for a task without classes.
        outputs: names of the classes; of a measured quantity its name and unit.
        predictions: item, truth, prediction on the test split.
        history: one entry per epoch.
        timing: seconds of training, median seconds per streamed frame (None if not causal), and dates.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    run: str
    config: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]
    model: dict[str, Any]
    physics: dict[str, Any]
    validation: dict[str, Any]
    metrics: dict[str, Metric]
    confusion: list[list[int]]
    outputs: list[str]
    predictions: dict[str, list[Any]]
    history: list[dict[str, float]]
    timing: dict[str, Any]

    @property
    def contender(self) -> str:
        """The contender as the study names it."""
        return str(self.config["contender"])

    @property
    def is_regression(self) -> bool:
        """Whether its score is an estimate, not a share of right answers."""
        return isinstance(self.metrics.get(str(self.validation.get("score_name"))), Estimate)

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.config["seed"])


RESULT_FILE = "result.json"


def write_result(folder: Path, result: Result) -> Path:
    """Write ``result.json`` into a run's folder, whole or not at all.

    Raises:
        IPNetError: the folder cannot be written.
    """
    path = folder / RESULT_FILE
    text = json.dumps(result.model_dump(), indent=1, sort_keys=True)
    write_atomically(path, lambda temporary: temporary.write_text(text + "\n", "utf-8"))
    return path


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        IPNetError: missing, damaged, or of another layout.
    """
    try:
        return Result.model_validate_json(path.read_bytes())
    except OSError as error:
        raise IPNetError(f"result '{path}' cannot be read ({error.strerror}); check the folder.") from error
    except ValidationError as error:
        raise invalid_config(error, Result, f"result '{path}' is damaged") from error


def find_results(folder: Path) -> list[tuple[Path, Result]]:
    """All results below a folder with the files they were read from, by study, contender and seed.

    Raises:
        IPNetError: no such folder, no result in it, or a damaged one.
    """
    if not folder.is_dir():
        raise IPNetError(f"'{folder}' must be a folder of runs; there is none. Run `ipnet study` first.")
    found = [(path, read_result(path)) for path in folder.rglob(RESULT_FILE)]
    if not found:
        raise IPNetError(f"no {RESULT_FILE} below '{folder}'; run `ipnet study` first.")
    return sorted(found, key=lambda pair: (pair[1].config["study"], pair[1].contender, pair[1].seed))


def read_results(folder: Path) -> list[Result]:
    """The results of `find_results` without their files."""
    return [result for _, result in find_results(folder)]


def holm(p_values: list[float]) -> list[float]:
    """Holm's correction: p-values that keep the family-wise error below their own value, in the given order.

    References:
        Holm, Scand. J. Stat. 6, 65 (1979).

    Example:
        >>> holm([0.03, 0.01, 0.5])
        [0.06, 0.03, 0.5]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
