"""The command line: tables for people, JSON for machines, one sentence and exit code 2 for a mistake."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ipnet.cards import shipped_cards
from ipnet.data.nmnist import write_bin
from ipnet.events import EVENT
from tiny import write_tiny_study


def is_one_sentence(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text


def test_study_report_and_claims_tell_one_story(ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    study = write_tiny_study(tmp_path)
    code, out, err = ipnet("study", study, "-o", tmp_path / "runs", "--json")
    assert (code, err) == (0, "")
    results = json.loads(out)
    assert [result["config"]["contender"] for result in results] == ["none", "intrinsic"]
    code, out, _ = ipnet("study", study, "-o", tmp_path / "runs")
    assert code == 0
    assert "none" in out
    assert "intrinsic" in out
    code, out, _ = ipnet("report", tmp_path / "runs")
    assert code == 0
    assert (tmp_path / "runs" / "report.html").stat().st_size > 10_000
    code, out, _ = ipnet("claims", tmp_path / "runs", "--json")
    assert code == 0
    rows = {row["id"]: row for row in json.loads(out)}
    assert rows["hil"]["verdict"] == "not attempted"


def test_train_runs_one_run_of_a_study(ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    study = write_tiny_study(tmp_path, epochs=1)
    code, out, _ = ipnet("train", study, "--set", "contender=none", "-o", tmp_path / "r", "--json")
    assert code == 0
    assert [result["config"]["contender"] for result in json.loads(out)] == ["none"]
    code, _, err = ipnet("train", study, "-o", tmp_path / "r")
    assert code == 2
    assert "'contender' is missing" in err


def test_train_runs_one_configuration(ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    text = (
        write_tiny_study(tmp_path)
        .read_text("utf-8")
        .replace('contenders = ["none", "intrinsic"]', 'contender = "rnn"')
    )
    config = tmp_path / "run.toml"
    config.write_text(text.replace("seeds = [0]\n", ""), "utf-8")
    code, out, _ = ipnet(
        "train", config, "--set", "seed=7", "--set", "training.epochs=1", "-o", tmp_path / "r", "--json"
    )
    assert code == 0
    (result,) = json.loads(out)
    assert (result["config"]["seed"], len(result["history"])) == (7, 1)
    assert (tmp_path / "r" / "tiny" / "rnn-seed7" / "result.json").exists()


class TestBadInput:
    """Each mistake: one clear sentence, exit code 2, no traceback, nothing computed before it lost."""

    def test_damaged_recording(self, ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        study = write_tiny_study(tmp_path, contenders='["none"]', epochs=1)
        assert ipnet("study", study, "-o", tmp_path / "runs", "--json")[0] == 0
        before = (tmp_path / "runs" / "tiny" / "none-seed0" / "result.json").read_bytes()
        clip = tmp_path / "clips" / "Train" / "3" / "00001.bin"
        clip.write_bytes(clip.read_bytes()[:-2])
        code, _, err = ipnet("study", study, "-o", tmp_path / "runs", "--json")
        assert code == 2
        assert is_one_sentence(err)
        assert "00001.bin" in err
        assert "byte 195" in err
        assert (tmp_path / "runs" / "tiny" / "none-seed0" / "result.json").read_bytes() == before

    def test_empty_clip(self, ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        study = write_tiny_study(tmp_path)
        write_bin(tmp_path / "clips" / "Test" / "5" / "00000.bin", np.empty(0, EVENT))
        code, _, err = ipnet("study", study, "-o", tmp_path / "runs", "--json")
        assert code == 2
        assert is_one_sentence(err)
        assert "at least one event" in err

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("R_AP = { value = 5667", "R_AP = { value = 500", ["R_AP must exceed R_P", "2.53 kohm", "500 ohm"]),
            ("tau_th = { value = 1,", "tau_th = { value = -1,", ["'tau_th' must be greater than 0", "-1 us"]),
            ("tau_0 = { value = 1,", "tau_0 = { value = -1,", ["'tau_0' must be greater than 0", "-1 ns"]),
        ],
    )
    def test_impossible_card(self, ipnet, tmp_path: Path, old: str, new: str, words: list[str]) -> None:  # type: ignore[no-untyped-def]
        text = shipped_cards()["mtj-thermal"].read_text("utf-8")
        assert old in text
        card = tmp_path / "mine.toml"
        card.write_text(text.replace(old, new), "utf-8")
        code, _, err = ipnet("devices", "show", card)
        assert code == 2
        assert is_one_sentence(err)
        assert all(word in err for word in words), err

    @pytest.mark.parametrize(
        ("contender", "words"),
        [
            ("lstn", ["unknown memory 'lstn'", "did you mean 'lstm'", "conv2plus1d"]),
            ("intrinsic@frontire", ["unknown position 'frontire'", "did you mean 'frontier'"]),
        ],
    )
    def test_unknown_contender(self, ipnet, tmp_path: Path, contender: str, words: list[str]) -> None:  # type: ignore[no-untyped-def]
        study = write_tiny_study(tmp_path, contenders=f'["none", "{contender}"]')
        code, _, err = ipnet("study", study, "-o", tmp_path / "runs", "--json")
        assert code == 2
        assert is_one_sentence(err)
        assert all(word in err for word in words), err

    def test_unknown_key_and_setting(self, ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        study = write_tiny_study(tmp_path)
        code, _, err = ipnet("study", study, "--set", "training.epoch=3", "-o", tmp_path / "runs")
        assert code == 2
        assert is_one_sentence(err)
        assert "did you mean 'training.epochs'" in err

    @pytest.mark.parametrize(
        ("setting", "words"),
        [
            ("data.validation=abc", "'validation' must be a valid number; got 'abc'"),
            ("data.validation=0", "validation must be a share between 0 and 1; got 0"),
            ("task.size=32", "'size'"),
            ('task.size=["a", 32]', "'size.0' must be a valid integer; got 'a'"),
            ("task.steps=2.5", "'steps' must be a valid integer; got 2.5"),
            ("task.reverse_time=no", "'reverse_time' must be a valid boolean; got 'no'"),
            ("task.label_smoothing=2", "label_smoothing must be at least 0 and below 1; got 2"),
            ("memory.intrinsic.devices=abc", "'devices' must be a valid integer; got 'abc'"),
            ("memory.intrinsic.clock=3", "'clock' must be a valid dictionary; got 3"),
            ("memory.intrinsic.clock.t_cyle=1e-6", "did you mean 't_cycle'"),
            ("training.learning_rate=1e30", "the validation loss must be finite"),
        ],
    )
    def test_wrong_option(self, ipnet, tmp_path: Path, setting: str, words: str) -> None:  # type: ignore[no-untyped-def]
        code, _, err = ipnet("study", write_tiny_study(tmp_path), "--set", setting, "-o", tmp_path / "runs")
        assert code == 2
        assert is_one_sentence(err)
        assert words in err

    def test_unwritable_output(self, ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        (tmp_path / "file").write_text("", "utf-8")
        code, _, err = ipnet("study", write_tiny_study(tmp_path), "-o", tmp_path / "file" / "runs")
        assert code == 2
        assert is_one_sentence(err)
        assert "must be writable" in err

    def test_report_of_nothing(self, ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        code, _, err = ipnet("report", tmp_path / "missing")
        assert code == 2
        assert is_one_sentence(err)

    def test_recordings_missing(self, ipnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
        study = write_tiny_study(tmp_path)
        shutil.rmtree(tmp_path / "clips")
        code, _, err = ipnet("study", study, "-o", tmp_path / "runs")
        assert code == 2
        assert is_one_sentence(err)
        assert "no N-MNIST in" in err


def test_help_does_not_import_what_it_does_not_need() -> None:
    heavy = "torch", "numpy", "matplotlib", "lightning"
    code = f"import sys, ipnet.cli; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_version(ipnet) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = ipnet("--version")
    assert code == 0
    assert out.strip() == "0.1.0"
