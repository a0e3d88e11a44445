"""The tables of a study against what is counted by hand, on paper, on the terminal and for machines."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from conftest import Command
from fabricated import fabricate, right_but, write_runs
from ipnet.cli_tables import TABLE_FILE, write_tables
from ipnet.comparison import Comparison, comparisons
from ipnet.positions import sweeps
from ipnet.results import Result, read_results, wilson
from ipnet.subjects import subject_accuracy
from ipnet.tables import Sheet, accuracy_sheet, cost_sheet, paired_sheet, study_sheets, subject_sheet

SHIPPED = Path(__file__).parents[1] / "docs" / "results"
N = 40


def _texts(sheet: Sheet | None, contender: str) -> dict[str, str]:
    assert sheet is not None
    (row,) = (row for row in sheet.rows if row[0].text == contender)
    return {head.text: cell.text for head, cell in zip(sheet.heads, row, strict=True)}


def _study() -> Comparison:
    """A reference wrong on clip 0 forward, and an LSTM wrong on clips 0 to 7 forward and 0 and 1 reversed."""
    lstm = right_but(N, *range(8), 20, 21)
    results = [
        fabricate(name, right, seed=seed, reverse_time=True)
        for name, right in (("intrinsic@frontier", right_but(N, 0)), ("lstm", lstm))
        for seed in (0, 1)
    ]
    return Comparison(results)


def test_accuracy_by_direction_and_over_clips() -> None:
    row = _texts(accuracy_sheet(_study()), "lstm")
    pooled = wilson(60, 80)
    assert row["accuracy, %"] == "75.0 [75.0, 75.0]"
    assert row["n"] == "40 x 2"
    assert row["pooled, %"] == f"[{100 * pooled.low:.1f}, {100 * pooled.high:.1f}]"
    assert (row["fwd"], row["rev"], row["class"]) == ("60.0", "90.0", "100.0")


def test_the_paired_difference_is_over_recordings() -> None:
    row = _texts(paired_sheet(_study()), "lstm")
    # Of 20 recordings, forward and reversed: 0 loses one answer of two, 1 both, 2 to 7 one, the rest none.
    leads = np.array([-0.5, -1.0, *[-0.5] * 6, *[0.0] * 12])
    half = 2.093024054408263 * leads.std(ddof=1) / math.sqrt(20)  # t(0.975, 19)
    expected = [100 * value for value in (leads.mean(), leads.mean() - half, leads.mean() + half)]
    assert row["points"] == "{:+.1f} [{:+.1f}, {:+.1f}]".format(*expected)
    assert row["won : lost"] == "0 : 8"
    assert row["p"] == f"{2 / 2**8:.2g}"
    assert (row["is"], row["errors"]) == ("worse", "10x")
    assert _texts(paired_sheet(_study()), "intrinsic@frontier")["is"] == "reference"


def test_errors_are_compared_on_the_seeds_that_both_have() -> None:
    """The reference errs more with a seed that the LSTM does not have, which is none of its business."""
    reference = [right_but(N, 0), right_but(N, *range(1, 11))]
    results = [fabricate("intrinsic", right, seed=seed) for seed, right in enumerate(reference)]
    row = _texts(paired_sheet(Comparison([*results, fabricate("lstm", right_but(N, 0, 1, 2))])), "lstm")
    assert row["errors"] == "3x"


def test_the_cost_has_bytes_and_latency_where_a_result_says_so() -> None:
    plain = fabricate("lstm", right_but(N))
    timed = [
        plain.model_copy(
            update={
                "config": plain.config | {"seed": seed},
                "model": plain.model | {"state_bytes": 4096},
                "timing": plain.timing | {"latency_per_frame_s": seconds},
            }
        )
        for seed, seconds in enumerate((0.001, 0.002, 0.009))
    ]
    row = _texts(cost_sheet(Comparison(timed).ranking), "lstm")
    assert (row["parameters"], row["MACs"], row["state, B"]) == ("1,234", "5.6 M", "4,096")
    assert (row["training, s"], row["ms/frame"], row["causal"]) == ("75", "2", "yes")
    assert "state, B" not in _texts(cost_sheet(Comparison([plain]).ranking), "lstm")


def test_subjects_are_counted_one_by_one() -> None:
    groups = ["user01", "user02"]
    runs = [fabricate("lstm", right_but(N, 0, 2, 4, 1), seed=seed, groups=groups) for seed in (0, 1)]
    study = Comparison(runs)
    found = subject_accuracy(study.ranking[0])
    assert {name: (of.successes, of.n) for name, of in found.items()} == {"user01": (34, 40), "user02": (38, 40)}
    assert _texts(subject_sheet(study), "lstm")["user01"] == "85.0"
    assert subject_sheet(Comparison([fabricate("lstm", right_but(N), groups=["60001.bs2", "b"])])) is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stem": range(10), "head": range(20)}, ["the frontier is first", "number 1 of 3"]),
        ({"stem": range(10), "head": [0]}, ["no position is better", "not separated from intrinsic@head"]),
        ({"frontier": range(10), "stem": range(20)}, ["not the best position", "worse than intrinsic@head"]),
    ],
)
def test_the_verdict_on_the_frontier(wrong: dict[str, range], words: list[str]) -> None:
    runs = [fabricate(f"intrinsic@{at}", right_but(N, *wrong.get(at, ()))) for at in ("head", "stem", "frontier")]
    (sweep,) = sweeps(Comparison([*runs, fabricate("lstm", right_but(N))]))
    assert [standing.positions for standing in sweep.standings] == [("frontier",), ("stem",), ("head",)]
    assert all(phrase in sweep.verdict for phrase in words)


def test_one_position_is_no_sweep_and_several_at_once_come_last() -> None:
    assert sweeps(Comparison([fabricate("intrinsic@stem", right_but(N))])) == []
    runs = [fabricate(f"leaky@{at}", right_but(N)) for at in ("frontier+head", "stage2", "head")]
    (sweep,) = sweeps(Comparison(runs))
    assert [standing.positions[0] for standing in sweep.standings] == ["stage2", "head", "frontier"]
    assert sweep.verdict == "leaky was not tried at the frontier alone."


def test_the_text_is_80_columns_wide(tmp_path: Path) -> None:
    name = "intrinsic@frontier+stem+stage1+stage2+head"
    results: list[Result] = [
        fabricate(contender, right_but(2352, *range(seed)), seed=seed, reverse_time=True)
        for contender in (name, "lstm")
        for seed in range(5)
    ]
    text = write_tables(results, tmp_path / TABLE_FILE).read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 80
    assert "2352 x 5" in text


@pytest.mark.parametrize("study", ["nmnist20", "nmnist20_mtj"])
def test_shipped_tables_are_those_of_the_shipped_results(study: str, tmp_path: Path) -> None:
    results = read_results(SHIPPED / study)
    assert all(study_sheets(of) for of in comparisons(results))
    written = write_tables(results, tmp_path / TABLE_FILE).read_text("utf-8")
    assert written == (SHIPPED / study / TABLE_FILE).read_text("utf-8"), "run `make results`"


def test_one_command_writes_page_table_and_numbers(tmp_path: Path, ipnet: Command) -> None:
    folder = write_runs(tmp_path / "runs", list(_study().results), traces=False)
    code, out, errors = ipnet("report", folder, "--json")
    assert code == 0, errors
    (study,) = json.loads(out)["studies"]
    entry = study["contenders"][1]
    assert (entry["contender"], entry["accuracy"], entry["against"]["worse"]) == ("lstm", 0.75, 8)
    assert (folder / TABLE_FILE).exists()
    assert (folder / "report.html").exists()
