"""The claim about noise: does recurrent memory accumulate what physical memory filters?"""

import math
from collections.abc import Mapping, Sequence

from ipnet.comparison import command_of
from ipnet.finding import Finding, finding
from ipnet.robustness_curve import Tested
from ipnet.robustness_verdict import CARRIED, Difference, Verdict, judge

_WHOLE = "background_activity"
_WORDS = {CARRIED: "Early noise minus late noise (what the memory carried on)", _WHOLE: "Noise in the whole clip"}


def noise(studies: Sequence[Sequence[Tested]]) -> Finding | None:
    """What runs under noise say; None if no study compares the two kinds of memory under both kinds of noise.

    The numbers are those of `ipnet.robustness_verdict.judge`. A recurrent contender that undisturbed is at chance
    has nothing to lose, one with fewer than two seeds has no spread: neither is judged, and the reason names it.

    Args:
        studies: of `ipnet.robustness_curve.studies`, on the test split.

    Raises:
        IPNetError: runs of a study that share no level.
    """
    for study in sorted(studies, key=_weight, reverse=True):
        verdict, first = judge(study), study[0]
        able = [each for each in verdict.differences if each.perturbation in _WORDS and not math.isnan(each.p)]
        judged = [{each.other for each in able if each.perturbation == name} for name in _WORDS]
        others = set.intersection(*judged)
        if not others:
            continue
        able = [each for each in able if each.other in others]
        unjudged = sorted({each.other for each in verdict.differences} - others)
        worse = others - {each.other for each in able if each.verdict != "accumulates"}
        return finding(
            met=worse == others,
            real=bool(first.found.data["real"]),
            reason="Loss in % of what each knew undisturbed, per noise event in a pixel, polarity and frame. "
            f"{' '.join(_sentence(verdict, able, name) for name in _WORDS)} The claim needs each recurrent memory "
            f"to lose more than {verdict.reference} in both: p < 0.05, Student's t by seed, Holm-corrected."
            + (
                f" Not judged in both, for want of a spread or of knowledge: {', '.join(unjudged)}."
                if unjudged
                else ""
            ),
            ours=f"{len(worse)} of {len(others)} recurrent memories lose more than {verdict.reference} in both",
            n=len(first.found.items),
            seeds=min(each.seeds for each in able),
            data=first.found.data["name"],
            command=f"ipnet robustness runs/{first.found.study} --config {_config(first)} --split test",
        )
    return None


def _weight(study: Sequence[Tested]) -> tuple[bool, int, str]:
    """Recordings first, then more answers: what a study can show, not what it shows."""
    found = study[0].found
    return bool(found.data["real"]), sum(len(run.found.items) for run in study), found.study


def _config(run: Tested) -> str:
    return command_of(run.result).split()[-1]


def _sentence(verdict: Verdict, able: Sequence[Difference], name: str) -> str:
    """What one kind of noise costs the intrinsic memory and each recurrent one."""
    slopes: Mapping[str, tuple[float, float, float]] = verdict.carried
    if name != CARRIED:
        slopes = {curve.contender: curve.relative for curve in verdict.curves if curve.perturbation == name}
    found = [
        f"{each.other} {_interval(*slopes[each.other])}, a difference of "
        f"{_interval(each.value, each.low, each.high)}, p = {each.p:.2g}: {each.verdict}"
        for each in able
        if each.perturbation == name
    ]
    reference = str(verdict.reference)
    return f"{_WORDS[name]}: {reference} {_interval(*slopes[reference])}; {'; '.join(found)}."


def _interval(mean: float, low: float, high: float) -> str:
    """A mean over seeds with its 95 % interval.

    Example:
        >>> _interval(-41.94, -60, -23.9)
        '-41.9 [-60.0, -23.9]'
    """
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
