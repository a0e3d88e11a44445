"""The order-blind control: a network without memory must not tell a clip from its time-reversed copy."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from ipnet.comparison import percent
from ipnet.results import Proportion, Result, recording_of

_TIES = 0.005  # of the clips, so one recording in a hundred


def _told_apart(result: Result) -> int:
    """Recordings that were answered differently when played backwards; without memory only rounding does that."""
    answers: dict[str, set[int]] = {}
    for item, predicted in zip(result.predictions["item"], result.predictions["predicted"], strict=True):
        answers.setdefault(recording_of(item), set()).add(predicted)
    return sum(len(seen) > 1 for seen in answers.values())


class LeakCheck(BaseModel):
    """Whether the order-blind control sits at half of its class accuracy, as it must.

    Args:
        run: name of the run.
        study: of the run.
        passed: whether the half lies in the Wilson interval of the accuracy, and no more recordings than rounding
            can explain (one in a hundred) are answered differently forward and backward.
        sentence: the same in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    study: str
    passed: bool
    sentence: str


def leak_check(results: Sequence[Result]) -> list[LeakCheck]:
    """For every run without memory on clips and their time-reversed copies: is the direction invisible to it?"""
    checks = []
    for result in results:
        accuracy, classes = result.metrics.get("accuracy"), result.metrics.get("class_accuracy")
        if result.model["memory"] != "none" or not isinstance(accuracy, Proportion) or classes is None:
            continue
        half = classes.value / 2
        told = _told_apart(result)
        passed = accuracy.low <= half <= accuracy.high and told <= _TIES * accuracy.n
        sentence = (
            f"{result.run} ({result.config['study']}): accuracy {percent(accuracy.value)} "
            f"[{percent(accuracy.low)}, {percent(accuracy.high)}], half of its class accuracy {percent(half)}, "
            f"{told} recordings told from their reverse: "
            + ("frames do not give the direction away." if passed else "frames may give the direction away.")
        )
        study = str(result.config["study"])
        checks.append(LeakCheck(run=result.run, study=study, passed=passed, sentence=sentence))
    return checks
