"""Results: intervals against published values, and files that are whole or named as damaged."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ipnet.errors import IPNetError
from ipnet.results import (
    Result,
    mcnemar,
    mean_interval,
    read_result,
    read_results,
    wilson,
    write_result,
)


def result(contender: str = "lstm", seed: int = 0, study: str = "s", **changes: Any) -> Result:
    values: dict[str, Any] = {
        "run": f"{contender}-seed{seed}",
        "config": {"study": study, "contender": contender, "seed": seed},
        "data": {"name": "nmnist", "real": True},
        "versions": {"torch": "2"},
        "model": {"parameters": 5},
        "physics": {},
        "validation": {"score": 0.5, "epoch": 1},
        "metrics": {"accuracy": wilson(3, 4)},
        "confusion": [[1, 0], [1, 2]],
        "outputs": ["a", "b"],
        "predictions": {"item": ["x"], "truth": [0], "predicted": [1]},
        "history": [{"epoch": 0, "train_loss": 1.25}],
        "timing": {"train_seconds": 0.1},
    }
    return Result.model_validate(values | changes)


def _wilson_by_hand(k: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    p = k / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


@pytest.mark.parametrize(("k", "n"), [(287, 288), (573, 576), (0, 10), (10, 10), (1, 1), (50, 100)])
def test_wilson_interval(k: int, n: int) -> None:
    share = wilson(k, n)
    low, high = _wilson_by_hand(k, n)
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert (share.successes, share.n, share.value) == (k, n, k / n)
    assert 0 <= share.low <= share.value <= share.high <= 1


def test_the_interval_of_the_claim() -> None:
    share = wilson(287, 288)
    assert (round(100 * share.low, 2), round(100 * share.high, 2)) == (98.06, 99.94)


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 4), (5, 4), (0, 0)])
def test_an_impossible_proportion(k: int, n: int) -> None:
    with pytest.raises(IPNetError, match=rf"0 <= successes <= n and n >= 1; got {k} of {n}"):
        wilson(k, n)


@pytest.mark.parametrize(("b", "c"), [(0, 6), (6, 0), (1, 5), (3, 3), (10, 2), (0, 0), (1, 0)])
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    n, k = b + c, min(b, c)
    by_hand = min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)
    assert mcnemar(b, c) == pytest.approx(by_hand, rel=1e-12)


def test_mean_interval() -> None:
    mean, low, high = mean_interval([0.97, 0.98, 0.99])
    half = 4.302652729911275 * 0.01 / math.sqrt(3)  # t(0.975, 2)
    assert (mean, low, high) == (pytest.approx(0.98), pytest.approx(0.98 - half), pytest.approx(0.98 + half))
    single = mean_interval([0.5])
    assert single[0] == 0.5
    assert math.isnan(single[1])
    assert math.isnan(single[2])


def test_a_result_reads_back(tmp_path: Path) -> None:
    written = result()
    path = write_result(tmp_path / "deep" / "run", written)
    assert path == tmp_path / "deep" / "run" / "result.json"
    assert read_result(path) == written
    assert [entry.name for entry in path.parent.iterdir()] == ["result.json"], "no temporary file may stay"
    assert (written.contender, written.seed) == ("lstm", 0)


def test_equal_results_are_equal_bytes(tmp_path: Path) -> None:
    a, b = (write_result(tmp_path / name, result()).read_bytes() for name in "ab")
    assert a == b


@pytest.mark.parametrize("cut", [0, 1, 40, -2])
def test_a_cut_result_is_named(cut: int, tmp_path: Path) -> None:
    path = write_result(tmp_path, result())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(IPNetError, match=r"result\.json' is damaged"):
        read_result(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"accuracy": 0.75}}, r"'metrics\.accuracy\.Proportion'"),
        ({"cofusion": []}, r"unknown key 'cofusion'; did you mean 'confusion'\?"),
        ({"confusion": None}, r"'confusion'"),
    ],
)
def test_a_result_of_another_layout_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_result(tmp_path, result())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(IPNetError, match=rf"result\.json' is damaged: .*{message}"):
        read_result(path)


def test_results_below_a_folder_are_ordered(tmp_path: Path) -> None:
    for i, (contender, seed, study) in enumerate(
        [("rnn", 1, "b"), ("rnn", 0, "b"), ("lstm", 2, "b"), ("rnn", 5, "a")]
    ):
        write_result(tmp_path / f"x{i}" / "y", result(contender, seed, study))
    found = [(r.config["study"], r.contender, r.seed) for r in read_results(tmp_path)]
    assert found == [("a", "rnn", 5), ("b", "lstm", 2), ("b", "rnn", 0), ("b", "rnn", 1)]


def test_missing_results(tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=r"no result\.json below"):
        read_results(tmp_path)
    with pytest.raises(IPNetError, match=r"must be a folder of runs; there is none"):
        read_results(tmp_path / "gone")
    with pytest.raises(IPNetError, match=r"cannot be read \(No such file"):
        read_result(tmp_path / "result.json")
