"""The ledger: each published claim beside what was run, with n, interval and verdict.

Rules, each of which is named again in the reason of its row:

* gesture11, gesture22: the intrinsic contender with the best validation score. Its interval (Student's t over
  seeds, Wilson's for one seed) must reach the published accuracy, and its lower end must be within five
  percentage points of it.
* same_backbone: that contender must be right more often than rnn, lstm and conv2plus1d each (of several of one
  memory, that with the best validation score), p < 0.05 after Holm's correction (paired test of
  `ipnet.comparison`), and conv2plus1d must make at least 18 times its errors.
* frontier: the memory at the frontier against every other position, by the same test.
* all_mtj: a network exists in which every activation and the memory are junctions, and the interval of its
  accuracy lies above chance.
* raw_device: no parameter of the card is assumed.

Recordings are preferred to simulated data, then the study with more clips, never the one with the better
result. A rule that is met yields "reproduced" on recordings and "supported on simulated data" otherwise; a rule
that is not met yields "differs".
"""

import math
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ipnet.comparison import (
    Comparison,
    Paired,
    Standing,
    card_of,
    comparisons,
    paired_with_each,
    percent,
)
from ipnet.results import Result

Verdict = Literal["reproduced", "supported on simulated data", "differs", "not attempted"]
_BASELINES = ("rnn", "lstm", "conv2plus1d")  # the last is that whose errors are counted
_GESTURES, _GESTURE_SETS = 11, ("dvs_gesture", "simulated_gesture")
_MARGIN = 0.05  # an interval that reaches further below a published accuracy says too little
_ERROR_RATIO = 18  # arXiv:2512.15829 v3, against spatiotemporal convolution
_ACCURACY = {"gesture11": 287 / 288, "gesture22": 573 / 576}


class Claim(BaseModel):
    """A published claim; `needs` says what counts as evidence, empty if there is no experiment yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    claim: str
    published: str
    source: str
    needs: str = ""


class Row(BaseModel):
    """A line of the ledger.

    Args:
        id: of the claim.
        claim: in words.
        published: the published number, or "trend".
        source: where it was published.
        verdict: one of four; simulated data never yield "reproduced".
        reason: the rule that was applied and what it met, one sentence.
        ours: what was found.
        interval: 95 % interval of an accuracy.
        n: test clips of one run, or recordings of a paired test.
        seeds: networks behind the contender.
        data: name of the data set.
        real: True for recordings, False for simulated events.
        command: the command line that makes the evidence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    claim: str
    published: str
    source: str
    verdict: Verdict = "not attempted"
    reason: str = ""
    ours: str = ""
    interval: tuple[float, float] | None = None
    n: int | None = None
    seeds: int | None = None
    data: str = ""
    real: bool | None = None
    command: str = ""


Finding = dict[str, Any]
Rule = Callable[[Sequence[Comparison]], Finding | None]


@cache
def published_claims() -> tuple[Claim, ...]:
    """The claims of the packaged list, in order."""
    text = resources.files("ipnet").joinpath("claims.toml").read_text("utf-8")
    return tuple(Claim.model_validate(entry) for entry in tomllib.loads(text)["claim"])


def ledger(results: Sequence[Result]) -> list[Row]:
    """One row per published claim, in the order of the list.

    Args:
        results: of any number of studies; may be empty.

    Raises:
        IPNetError: two results of one study with the same contender and seed.

    Example:
        >>> {row.verdict for row in ledger([])}
        {'not attempted'}
    """
    studies = sorted(comparisons(results), key=_weight, reverse=True)
    rows = []
    for claim in published_claims():
        found = _RULES[claim.id](studies) if claim.id in _RULES else None
        if found is None:
            missing = f"Needs {claim.needs}; no such result is here."
            found = {"reason": missing if claim.needs else "There is no experiment for this claim yet."}
        rows.append(Row(**claim.model_dump(exclude={"needs"}), **found))
    return rows


def _weight(comparison: Comparison) -> tuple[bool, int, str]:
    """Recordings first, then more clips: sorts studies by what they can show, not by what they show."""
    return comparison.real, sum(standing.pooled.n for standing in comparison.standings.values()), comparison.study


def _finding(comparison: Comparison, standing: Standing, *, met: bool, reason: str, **more: Any) -> Finding:
    verdict: Verdict = "differs"
    if met:
        verdict = "reproduced" if comparison.real else "supported on simulated data"
    shared = {
        "n": standing.n,
        "seeds": standing.seeds,
        "data": comparison.data["name"],
        "real": comparison.real,
        "command": comparison.command,
    }
    return {"verdict": verdict, "reason": reason, **shared, **more}


def _is_gesture(comparison: Comparison, *, reversed_too: bool) -> bool:
    task, data = comparison.results[0].config["task"], comparison.data
    return (
        task["name"] == "recognition"
        and data["name"] in _GESTURE_SETS
        and bool(task.get("reverse_time")) == reversed_too
        and not task.get("swap_polarity")
        and data["classes"] == _GESTURES * (2 if reversed_too else 1)
    )


def _gesture(name: str) -> Rule:
    published = _ACCURACY[name]

    def rule(studies: Sequence[Comparison]) -> Finding | None:
        for comparison in studies:
            best = comparison.best
            if best is None or not _is_gesture(comparison, reversed_too=name == "gesture22"):
                continue
            interval = (best.low, best.high)
            reaches, close = interval[1] >= published, interval[0] >= published - _MARGIN
            found = f"[{percent(interval[0])}, {percent(interval[1])}]"
            outcome = f"reaches {percent(published)}" if reaches else f"stays below {percent(published)}"
            if reaches and not close:
                outcome = f"holds {percent(published)} but is too wide to support it"
            where = "recordings" if comparison.real else f"simulated data ({comparison.data['name']})"
            return _finding(
                comparison,
                best,
                met=reaches and close,
                reason=f"On {where}, the 95 % interval {found} of {best.contender} {outcome}.",
                ours=f"{percent(best.accuracy)} ({best.contender})",
                interval=interval,
            )
        return None

    return rule


def _words(tests: Sequence[Paired]) -> str:
    """Paired tests in words."""
    found = [f"{t.relation} {t.other} ({t.better} : {t.worse}, p = {t.p:.2g})" for t in tests]
    return f"{', '.join(found)}; recordings won : lost, Holm-corrected p."


def _same_backbone(studies: Sequence[Comparison]) -> Finding | None:
    for comparison in studies:
        best, found = comparison.best, [comparison.of_memory(name) for name in _BASELINES]
        baselines = [standing for standing in found if standing is not None]
        if best is None or len(baselines) < len(_BASELINES):
            continue
        tests = paired_with_each(best, baselines)
        errors = [1 - standing.accuracy for standing in (baselines[-1], best)]
        ratio = errors[0] / errors[1] if errors[1] else math.inf
        return _finding(
            comparison,
            best,
            met=all(test.relation == "better than" for test in tests) and ratio >= _ERROR_RATIO,
            reason=f"{best.contender} (chosen by validation) is {_words(tests)} The claim needs {_ERROR_RATIO}x.",
            ours=f"{percent(best.accuracy)} ({best.contender}); conv2plus1d makes {ratio:.1f}x its errors",
            interval=(best.low, best.high),
            n=tests[0].n,
        )
    return None


def _frontier(studies: Sequence[Comparison]) -> Finding | None:
    for comparison in studies:
        able = [standing for standing in comparison.standings.values() if standing.is_intrinsic]
        chosen = [standing for standing in able if standing.positions == ("frontier",)]
        others = [standing for standing in able if "frontier" not in standing.positions]
        if not chosen or not others:
            continue
        tests = paired_with_each(chosen[0], others)
        return _finding(
            comparison,
            chosen[0],
            met=all(test.relation == "better than" for test in tests),
            reason=f"{chosen[0].contender} is {_words(tests)}",
            ours=", ".join(f"{percent(s.accuracy)} ({s.contender})" for s in [chosen[0], *others]),
            interval=(chosen[0].low, chosen[0].high),
            n=tests[0].n,
        )
    return None


def _all_mtj(studies: Sequence[Comparison]) -> Finding | None:
    for comparison in studies:
        best = comparison.best
        if best is not None and comparison.results[0].config["backbone"]["activation"] == "mtj":
            return _finding(
                comparison,
                best,
                met=best.low > 1 / len(best.results[0].outputs),
                reason=f"Every activation and the memory of {best.contender} are junctions; chance is "
                f"{percent(1 / len(best.results[0].outputs))}.",
                ours=f"{percent(best.accuracy)} ({best.contender})",
                interval=(best.low, best.high),
            )
    return None


def _raw_device(studies: Sequence[Comparison]) -> Finding | None:
    for comparison in studies:
        card = card_of(comparison.best.results[0]) if comparison.best else None
        if comparison.best is None or card is None:
            continue
        values = {key: entry for key, entry in card.entries.items() if key.startswith("parameters.")}
        assumed = [key.removeprefix("parameters.") for key, entry in values.items() if entry.assumed]
        which = f"{len(assumed)} of {len(values)} parameters of card '{card.name}' are assumed"
        found = f"{which} ({', '.join(assumed)})" if assumed else f"no parameter of card '{card.name}' is assumed"
        return _finding(
            comparison,
            comparison.best,
            met=not assumed,
            reason=f"The claim needs measured values of one fabricated device, none of them trained; {found}.",
            ours=f"{len(values) - len(assumed)} of {len(values)} parameters sourced, none trained",
        )
    return None


_RULES: dict[str, Rule] = {
    "gesture11": _gesture("gesture11"),
    "gesture22": _gesture("gesture22"),
    "same_backbone": _same_backbone,
    "frontier": _frontier,
    "all_mtj": _all_mtj,
    "raw_device": _raw_device,
}
