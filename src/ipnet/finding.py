"""A finding: what the results say about one claim."""

from typing import Any, Literal

Verdict = Literal["reproduced", "supported on simulated data", "differs", "not attempted"]
Finding = dict[str, Any]  # fields of `ipnet.claims.Row` beside those of the claim


def finding(*, met: bool, real: bool, reason: str, **facts: Any) -> Finding:
    """A finding with its verdict: simulated data never yield "reproduced".

    Args:
        met: whether the rule of the claim was met.
        real: whether the data are recordings.
        reason: the rule that was applied and what it met.
        facts: other fields of the row.
    """
    verdict: Verdict = "differs"
    if met:
        verdict = "reproduced" if real else "supported on simulated data"
    return {"verdict": verdict, "reason": reason, "real": real, **facts}
