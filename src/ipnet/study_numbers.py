"""The numbers behind the tables of a study, for machines."""

import math
from collections.abc import Sequence
from typing import Any

from ipnet.comparison import Comparison, comparisons
from ipnet.pairing import Paired
from ipnet.positions import sweeps
from ipnet.prediction_error import ErrorStanding, error_studies
from ipnet.results import Result
from ipnet.standing import Seeds, Standing
from ipnet.subjects import subject_accuracy


def _cost_numbers(standing: Seeds) -> dict[str, Any]:
    names = (
        "contender seeds positions causal parameters macs_per_clip state_bytes train_seconds latency is_intrinsic"
    )
    return {name: getattr(standing, name) for name in names.split()}


def _paired_numbers(test: Paired | None) -> dict[str, Any] | None:
    if test is None:
        return None
    names = ["other", "better", "worse", "n", "p", "relation"]
    ratio = test.ratio if math.isfinite(test.ratio) else None  # JSON knows no infinity
    found = {name: getattr(test, name) for name in names}
    return found | {"difference": test.difference.model_dump(), "ratio": ratio}


def _accuracy(comparison: Comparison) -> list[dict[str, Any]]:
    """The numbers behind the tables, an entry per contender, for machines."""

    def entry(standing: Standing) -> dict[str, Any]:
        forward, backward = standing.directions or (None, None)
        pooled = {
            "pooled": standing.pooled,
            "forward": forward,
            "reversed": backward,
            "class": standing.class_pooled,
        }
        return {
            **_cost_numbers(standing),
            **{name: getattr(standing, name) for name in ("accuracy", "low", "high", "n")},
            **{name: found and found.model_dump() for name, found in pooled.items()},
            "subjects": {name: found.model_dump() for name, found in subject_accuracy(standing).items()},
            "against": _paired_numbers(comparison.against_best.get(standing.contender)),
        }

    return [entry(standing) for standing in comparison.ranking]


def _errors(study: Sequence[ErrorStanding]) -> list[dict[str, Any]]:
    """The numbers behind the tables, an entry per contender, for machines."""
    names = "rmse", "mae", "r2", "explained_variance"
    return [
        {
            **_cost_numbers(standing),
            **{name: standing.metric(name).model_dump() for name in names},
            "against": _paired_numbers(standing.against),
        }
        for standing in study
    ]


def study_numbers(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Every study with the numbers of its tables, for machines: an entry per contender, the best first."""
    studies = [
        {
            "study": study.study,
            "verdicts": [of.verdict for of in sweeps(study)],
            "contenders": _accuracy(study),
        }
        for study in comparisons(results)
    ]
    measured = [
        {"study": study[0].results[0].config["study"], "contenders": _errors(study)}
        for study in error_studies(results)
    ]
    return studies + measured
