"""Studies: a killed one ends like an uninterrupted one, what is done is skipped, nothing is lost."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ipnet.config import Study, read_config
from ipnet.errors import IPNetError
from ipnet.results import read_results
from ipnet.study import check_runs, execute_all
from ipnet.tasks import Task, build_task
from ipnet.train import alone, execute
from tiny import write_tiny_study


def _start(study: Path, output: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ipnet.cli", "study", str(study), "-o", str(output), "--json"]
    heard = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731, a background job is deaf
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=dict(os.environ), preexec_fn=heard)


def _facts(folder: Path) -> dict[str, Any]:
    """Everything the runs found, without the seconds it took."""
    found = {}
    for path in sorted(folder.rglob("result.json")):
        result = json.loads(path.read_text("utf-8"))
        del result["timing"]
        found[path.parent.name] = result
        found[path.parent.name + "/weights"] = path.with_name("model.safetensors").read_bytes()
    return found


def test_a_killed_study_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    study = write_tiny_study(tmp_path, contenders='["lstm", "intrinsic"]', epochs=12)
    for run, place in check_runs(read_config(Study, study).runs(), tmp_path / "whole"):
        execute(run, place)
    kills = 0
    # SIGKILL in the middle of the first run, then in the middle of the second, then let it end.
    for name in ("lstm-seed0", "intrinsic-seed0"):
        process = _start(study, tmp_path / "killed")
        checkpoint = tmp_path / "killed" / "tiny" / name / "last.ckpt"
        while process.poll() is None and not checkpoint.exists():
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate(timeout=60)
        assert not (checkpoint.parent / "result.json").exists()
    assert kills == 2
    last = _start(study, tmp_path / "killed")
    _, errors = last.communicate(timeout=240)
    assert last.returncode == 0, errors
    assert json.loads((checkpoint.parent / "result.json").read_text("utf-8"))["timing"]["resumed"] is True
    assert _facts(tmp_path / "killed") == _facts(tmp_path / "whole")
    assert len(_facts(tmp_path / "whole")) == 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    folder = tmp_path_factory.mktemp("finished")
    study = read_config(Study, write_tiny_study(folder))
    for run, place in check_runs(study.runs(), folder / "runs"):
        execute(run, place)
    return study, folder / "runs"


def test_what_is_done_is_skipped(finished: tuple[Study, Path]) -> None:
    study, folder = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    for run, place in check_runs(study.runs(), folder):
        execute(run, place)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    assert len(before) == 2


def test_a_finished_run_keeps_no_checkpoint_and_has_weights(finished: tuple[Study, Path]) -> None:
    _, folder = finished
    assert not list(folder.rglob("*.ckpt"))
    assert len(list(folder.rglob("model.safetensors"))) == 2
    assert [path.parent.name for path in folder.rglob("trace.npz")] == ["intrinsic-seed0"]


def test_a_result_of_another_configuration_is_never_overwritten(finished: tuple[Study, Path]) -> None:
    study, folder = finished
    changed = study.model_copy(update={"training": study.training.model_copy(update={"epochs": 3})})
    with pytest.raises(IPNetError, match="another"):
        check_runs(changed.runs(), folder)
    assert len(read_results(folder)) == 2


def test_a_result_of_other_data_is_never_taken_for_this_one(tmp_path: Path) -> None:
    study = read_config(Study, write_tiny_study(tmp_path, contenders='["none"]', epochs=1))
    ((run, place),) = check_runs(study.runs(), tmp_path / "runs")
    execute(run, place)
    clip = tmp_path / "clips" / "Train" / "4" / "00000.bin"
    clip.write_bytes(clip.read_bytes()[:-5])
    with pytest.raises(IPNetError, match="it is of other data"):
        check_runs(study.runs(), tmp_path / "runs")


def test_two_processes_never_work_on_one_run(tmp_path: Path) -> None:
    study = read_config(Study, write_tiny_study(tmp_path, contenders='["none"]'))
    place = tmp_path / "runs" / "tiny" / "none-seed0"
    place.mkdir(parents=True)
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(IPNetError, match="one process at a time"):
            execute(study.runs()[0], place)


def test_a_study_started_twice_is_shared(tmp_path: Path) -> None:
    study = read_config(Study, write_tiny_study(tmp_path, contenders='["none", "rnn"]', epochs=1))
    placed = check_runs(study.runs(), tmp_path / "runs")
    order = list[str]()
    with ExitStack() as other:
        other.enter_context(alone(placed[0][1]))

        def report(name: str, number: int, count: int) -> Any:
            order.append(f"{name} {number}/{count}")
            if name == "rnn-seed0":
                other.close()  # the other process has stopped
            return lambda _fraction, _note: None

        results = execute_all(placed, report)
    assert [result.run for result in results] == ["none-seed0", "rnn-seed0"]
    assert order == ["none-seed0 0/2", "rnn-seed0 0/2", "none-seed0 1/2"]
    with alone(placed[0][1]), pytest.raises(IPNetError, match="one process at a time"):
        execute_all(placed[:1], report)


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    study = write_tiny_study(tmp_path, contenders='["lstm"]', epochs=500)
    process = _start(study, tmp_path / "runs")
    checkpoint = tmp_path / "runs" / "tiny" / "lstm-seed0" / "last.ckpt"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.endswith("interrupted; the same command goes on where it stopped.\n")
    assert checkpoint.exists()


def test_a_result_holds_what_a_reader_needs(finished: tuple[Study, Path]) -> None:
    _, folder = finished
    result = next(found for found in read_results(folder) if found.contender == "intrinsic")
    assert result.data["real"] is True
    assert result.data["items"] == {"train": 60, "validation": 20, "test": 40}
    assert result.metrics["accuracy"].n == 40
    assert sum(map(sum, result.confusion)) == 40
    assert sum(result.confusion[i][i] for i in range(20)) == result.metrics["accuracy"].successes
    assert len(result.history) == 2
    assert result.physics["card"] == "mtj-thermal"
    assert result.physics["horizon_frames"] == pytest.approx(1000 / 220)
    assert result.model["macs_per_clip"] > 0
    assert result.model["state_bytes"] == 2 * 34 * 34 * 4  # the heat of each junction in float32
    assert 0 < result.timing["latency_per_frame_s"] < result.timing["train_seconds"]


def test_all_mistakes_of_a_study_are_found_before_its_first_run(tmp_path: Path) -> None:
    study = read_config(Study, write_tiny_study(tmp_path, contenders='["none", "lstm@stem"]'))
    with pytest.raises(IPNetError, match="'lstm' cannot stand at 'stem'; it can at: head"):
        check_runs(study.runs(), tmp_path / "runs")
    assert not list(tmp_path.rglob("result.json"))


def test_the_test_split_is_handed_out_once(tmp_path: Path) -> None:
    study = read_config(Study, write_tiny_study(tmp_path))
    task = build_task(study.task, study.data)
    task.items("test")
    with pytest.raises(IPNetError, match="once"):
        task.items("test")


def _kill_before_the_result(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_run_killed_between_its_test_and_its_result_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = read_config(Study, write_tiny_study(tmp_path, contenders='["intrinsic"]')).runs()
    whole = execute(run, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("ipnet.train.write_result", _kill_before_the_result)
        with pytest.raises(KeyboardInterrupt):
            execute(run, tmp_path / "killed")
    again = execute(run, tmp_path / "killed")
    assert again.predictions == whole.predictions
    assert (tmp_path / "killed" / "tested").read_text() == (tmp_path / "whole" / "tested").read_text()


def test_a_run_that_reads_the_test_set_twice_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = read_config(Study, write_tiny_study(tmp_path, contenders='["none"]', epochs=1))
    (run,) = study.runs()
    place = tmp_path / "run"
    first = execute(run, place)
    (place / "result.json").unlink()  # what it found is not liked: try again
    other = run.model_copy(update={"training": run.training.model_copy(update={"learning_rate": 0.01})})
    with pytest.raises(
        IPNetError, match=r"the test split must be touched once per run; '.*tested' says that other"
    ):
        execute(other, place)
    assert not (place / "result.json").exists()
    (place / "last.ckpt").unlink()
    assert execute(run, place).predictions == first.predictions  # the same weights: nothing new is learnt
    monkeypatch.setattr(Task, "_test_taken", True)
    with pytest.raises(IPNetError, match="already handed out"):
        execute(run, tmp_path / "elsewhere")
