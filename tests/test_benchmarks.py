"""The benchmarks run and give every figure; what the figures are is none of a test's business."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(script: str, peers: Path) -> dict[str, Any]:
    words = [sys.executable, str(BENCHMARKS / script), "--json", "--quick", "--peers", str(peers)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def positive(value: Any) -> bool:
    return math.isfinite(value) and value > 0


@pytest.mark.skipif(not os.environ.get("CI"), reason="compiles everything anew: set CI=1 to run it, as CI does")
def test_neurons_without_an_environment_of_the_peers(tmp_path: Path) -> None:
    found = run("neuron.py", tmp_path / "no-python")
    for key in ("ratio_to_relu", "two_pole_ratio", "first_call_seconds", "second_process_seconds"):
        assert positive(found[key]), key
    for key in ("extra_memory_ratio", "extra_memory_ratio_with_gradients", "linearity_in_T"):
        assert math.isfinite(found[key]), key
    for key in ("ratio_to_fastest_peer", "ratio_to_fastest_compiled_peer"):
        assert found[key] is None
        assert "make bench-peers" in found[f"{key}_reason"]
    at_16, at_1024 = found["inference_state_bytes"].values()
    assert at_16 == at_1024 > 0
    expected = {"relu", "ours", "ours_two_poles", "reference", "lstm", "gru", "convlstm"}
    assert expected == set(found["contenders"])
    for entry in found["contenders"].values():
        assert positive(entry["ratio_to_relu"])
        assert entry["best_s"] <= entry["median_s"]
        assert entry["rounds"] == 2
    assert found["not_run"] == {}
    assert found["machine"]["versions"]["mtj-ipnet"]


def test_framing_beside_a_peer_that_is_not_installed() -> None:
    found = run("framing.py", Path(sys.executable))
    assert found["speedup_over_tonic"] is None
    assert "No module named 'tonic'" in found["tonic_reason"]
    for key in ("add_at", "histogramdd", "bincount"):
        assert positive(found[f"speedup_over_{key}"]), key
    for name, entry in found["contenders"].items():
        assert positive(entry["events_per_s"])
        assert entry["lost"] == 0, name


def test_a_training_step_of_each_contender_of_a_study() -> None:
    changes = (
        "--set",
        "contenders=['none', 'bank', 'lstm']",
        "--set",
        "training.batch_size=2",
        "--set",
        "task.steps=4",
    )
    words = [
        sys.executable,
        str(BENCHMARKS / "training.py"),
        "gesture22_noisy",
        *changes,
        "--rounds",
        "2",
        "--json",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["contenders"]
    assert list(found) == ["none", "bank", "lstm"]
    for entry in found.values():
        assert positive(entry["seconds"])
        assert entry["peak_bytes"] is None  # which a GPU has
        assert 0 < entry["parameters"] <= 100_000
    assert found["none"]["ratio_to_none"] == 1
