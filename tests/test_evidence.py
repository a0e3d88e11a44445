"""The committed results belong to the shipped configurations, and the README's claims to the committed results."""

import math
from pathlib import Path

import pytest

from ipnet.comparison import comparisons
from ipnet.config import Study, read_config, shipped_configs
from ipnet.leak import leak_check
from ipnet.results import Result, read_results, wilson

EVIDENCE = Path(__file__).parents[1] / "docs" / "results"
STUDIES = sorted(path.name for path in EVIDENCE.iterdir() if path.is_dir())


@pytest.fixture(params=STUDIES)
def results(request: pytest.FixtureRequest) -> list[Result]:
    return read_results(EVIDENCE / request.param)


def test_there_is_evidence() -> None:
    assert "nmnist20" in STUDIES


def test_every_result_is_a_run_of_the_shipped_study(results: list[Result]) -> None:
    """A study may be committed in parts: what is there has the shipped values."""
    study = read_config(Study, results[0].config["study"])
    shipped = {run.name: run.model_dump(mode="json") for run in study.runs()}
    assert results[0].config["study"] in shipped_configs()
    assert {result.run: result.config for result in results}.items() <= shipped.items()


def test_metrics_follow_from_the_predictions(results: list[Result]) -> None:
    for result in results:
        truth, predicted = result.predictions["truth"], result.predictions["predicted"]
        if "accuracy" in result.metrics:
            right = sum(t == p for t, p in zip(truth, predicted, strict=True))
            assert result.metrics["accuracy"] == wilson(right, len(truth))
        else:
            squares = [(t - p) ** 2 for t, p in zip(truth, predicted, strict=True)]
            assert result.metrics["rmse"].value == pytest.approx(math.sqrt(sum(squares) / len(squares)), rel=1e-6)
        assert len(set(result.predictions["item"])) == len(truth) == result.data["items"]["test"]


def test_the_order_blind_control_is_blind(results: list[Result]) -> None:
    assert all(check.passed for check in leak_check(results))


def test_intrinsic_at_the_frontier_tells_direction_on_recorded_events() -> None:
    (comparison,) = comparisons(read_results(EVIDENCE / "nmnist20"))
    assert comparison.real
    intrinsic, none = comparison.standings["intrinsic@frontier"], comparison.standings["none"]
    assert min(intrinsic.seeds, none.seeds) >= 3
    assert none.accuracy <= 0.5
    assert intrinsic.low > none.high
    assert intrinsic.class_accuracy is not None
    assert intrinsic.accuracy > 0.99 * intrinsic.class_accuracy  # the direction is right wherever the digit is
