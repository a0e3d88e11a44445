"""The ledger: each published claim beside what was run, with n, interval and verdict.

Rules, each of which is named again in the reason of its row:

* gesture11, gesture22: the intrinsic contender with the best validation score. Its interval (Student's t over
  seeds, Wilson's for one seed) must reach the published accuracy, and its lower end must be within five
  percentage points of it.
* same_backbone: that contender must be right more often than rnn, lstm and conv2plus1d each (of several of one
  memory, that with the best validation score), p < 0.05 after Holm's correction (paired test of
  `ipnet.pairing`), and conv2plus1d must make at least 18 times its errors.
* frontier: the memory at the frontier against every other position, by the same test.
* driving: on a typical drive, the RMSE of the intrinsic contender with the best validation score must be at least
  12 percent lower than that of lstm, with an interval over drives below zero. DDD20 counts before events simulated
  from video, these before simulated driving; only DDD20 can yield "reproduced".
* noise: every recurrent memory must lose more than that contender, p < 0.05 after Holm's correction, by noise in
  the whole clip and by early noise beyond late noise (`ipnet.robustness_verdict`).
* nback, recall, interference: every trend of people that was stated for the claim must be shown by the card, its
  95 % interval over simulated people above half a point (`ipnet.battery.trends`).
* energy_lstm, energy_3d: memory energy of lstm, and of conv3d, over that of the first memory of junctions of the
  study, counted on clips and priced: the published ratio must lie in the interval over the ranges of all prices.
* area: of a neuron of one junction with a periphery of its own, at 28 nm: 1.5 um2 must lie in that interval, and
  the published LIF neuron must be more than 20 times larger.
* hil: the accuracy of a network whose memory stood on a bench must lie where ten runs in software foresee it; a
  simulated chip never yields "reproduced".
* all_mtj: a network exists in which every activation and the memory are junctions, and the interval of its
  accuracy lies above chance.
* raw_device: no parameter of the card is assumed.

Recordings are preferred to simulated data, then the study with more clips, never the one with the better
result. A rule that is met yields "reproduced" on recordings and "supported on simulated data" otherwise; a rule
that is not met yields "differs".
"""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from ipnet.comparison import Comparison, comparisons
from ipnet.cost_claims import cost
from ipnet.cost_report import PATTERN as COSTS
from ipnet.cost_report import CostReport, read_costs
from ipnet.driving_claim import driving
from ipnet.errors import IPNetError
from ipnet.finding import Finding, Verdict
from ipnet.hil_claim import hil
from ipnet.hil_result import PATTERN as BENCHES
from ipnet.hil_result import HilRun, read_benches
from ipnet.memory_claims import memory
from ipnet.noise_claim import noise
from ipnet.prediction_error import error_studies
from ipnet.recognition_claims import RULES
from ipnet.results import RESULT_FILE, Result, find_results
from ipnet.robustness_curve import Tested, studies
from ipnet.written_battery import PATTERN, WrittenBattery, read_batteries


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
        interval: 95 % interval of an accuracy, or of a relative difference.
        n: test clips of one run, or recordings or drives of a paired test.
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


@cache
def published_claims() -> tuple[Claim, ...]:
    """The claims of the packaged list, in order."""
    text = resources.files("ipnet").joinpath("claims.toml").read_text("utf-8")
    return tuple(Claim.model_validate(entry) for entry in tomllib.loads(text)["claim"])


class Evidence(NamedTuple):
    """What a folder holds.

    Attributes:
        results: below it, with the files that they were read from.
        batteries: in it.
        costs: in it.
        benches: runs on a bench in it.
    """

    results: list[tuple[Path, Result]]
    batteries: list[WrittenBattery]
    costs: list[CostReport]
    benches: list[HilRun]


def read_evidence(folder: Path) -> Evidence:
    """All evidence of a folder.

    Raises:
        IPNetError: no such folder, nothing in it, or a damaged file.
    """
    others = read_batteries(folder), read_costs(folder), read_benches(folder)
    if any(folder.rglob(RESULT_FILE)) or not folder.is_dir():
        return Evidence(find_results(folder), *others)
    if not any(others):
        raise IPNetError(
            f"no {RESULT_FILE} below '{folder}' and no {PATTERN}, {COSTS} or {BENCHES} in it; run `ipnet study`, "
            "`ipnet tasks battery`, `ipnet cost` or `ipnet hil` first."
        )
    return Evidence([], *others)


def ledger(
    results: Sequence[Result],
    tested: Sequence[Tested] = (),
    batteries: Sequence[WrittenBattery] = (),
    costs: Sequence[CostReport] = (),
    benches: Sequence[HilRun] = (),
) -> list[Row]:
    """One row per published claim, in the order of the list.

    Args:
        results: of any number of studies; may be empty.
        tested: those of them that were tested under perturbations, on the test split.
        batteries: cards that performed human memory tasks.
        costs: memories that were counted and priced.
        benches: networks that ran on a bench.

    Raises:
        IPNetError: two results of one study with the same contender and seed, or runs under perturbations that
            share no level.

    Example:
        >>> {row.verdict for row in ledger([])}
        {'not attempted'}
    """
    of_classes = sorted(comparisons(results), key=_weight, reverse=True)
    findings = {name: rule(of_classes) for name, rule in RULES.items()}
    findings |= {"driving": driving(error_studies(results)), "noise": noise(studies(tested))}
    findings |= memory(batteries) | cost(costs) | {"hil": hil(benches)}
    return [_row(claim, findings.get(claim.id)) for claim in published_claims()]


def _row(claim: Claim, found: Finding | None) -> Row:
    missing = f"Needs {claim.needs}; no such result is here."
    nothing = {"reason": missing if claim.needs else "There is no experiment for this claim yet."}
    return Row(**claim.model_dump(exclude={"needs"}), **(nothing if found is None else found))


def _weight(comparison: Comparison) -> tuple[bool, int, str]:
    """Recordings first, then more clips: sorts studies by what they can show, not by what they show."""
    return comparison.real, sum(standing.pooled.n for standing in comparison.standings.values()), comparison.study
