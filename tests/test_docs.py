"""The commands and programs of the documentation run as they stand, in order, in an empty folder."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipnet.bench_file import read_bench
from ipnet.cli import app
from ipnet.cost_report import ContenderCost, CostReport, read_costs
from ipnet.instrument import INSTRUMENTS
from ipnet.limits import Limits
from ipnet.perturbation import PERTURBATIONS
from ipnet.robustness import declare

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "devices.md").read_text("utf-8")


def test_the_page_about_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ ipnet (.+)$", PAGE, re.M)
    assert len(commands) >= 7
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command))
        assert result.exit_code == 0, f"ipnet {command}: {result.output} {result.exception}"
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        "data.csv",
        "mine.toml",
        "mine.cir",
        *(f"{name}.png" for name in ("fit", "characterise", "match", "validate")),
    }
    assert "fitted to data.csv" in (tmp_path / "mine.toml").read_text("utf-8")
    assert "SIMULATED" in (tmp_path / "data.csv").read_text("utf-8").splitlines()[0]


def test_the_page_about_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "events.md").read_text("utf-8"), re.S)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)


def test_the_page_about_robustness() -> None:
    page = (DOCS / "robustness.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    assert declare(tomllib.loads(example)["robustness"])
    named = re.findall(r"^\| `(\w+)` \| (.+) \| (?:input|network) \|$", page, re.M)
    assert dict(named) == {name: PERTURBATIONS[name].meaning for name in PERTURBATIONS}


def test_the_page_about_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "cost.md").read_text("utf-8")
    (prices,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    (tmp_path / "prices.toml").write_text(prices, "utf-8")
    (commands,) = re.findall(r"```sh\n(.*?)```", page, re.S)
    for command in commands.splitlines():
        few = "--set", "data.train=44", "--set", "data.test=22"
        result = CliRunner().invoke(app, [*shlex.split(command)[1:], *few])
        assert result.exit_code == 0, f"{command}: {result.output} {result.exception}"
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(example, {})
    keys = {
        key
        for row in re.findall(r"^\| (`[^|]+`) \|", page, re.M)
        for key in re.findall(r"`(?:\w+\[\]\.)?(\w+)", row)
    }
    known = {*CostReport.model_fields, *ContenderCost.model_fields, "moves"}
    assert keys <= known
    assert {"operations", "bill", "prices", "ratios", "published"} <= keys


def test_the_ratios_on_the_page_about_cost_are_those_of_the_files() -> None:
    page = (DOCS / "cost.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \((recorded|SIMULATED)\) \| (.+?) \| (.+?) \| (.+?) \|$", page, re.M)
    reports = {report.study: report for report in read_costs(DOCS / "results")}
    assert {row[0] for row in rows} == set(reports)
    for study, kind, of, *cells in rows:
        assert kind == ("recorded" if reports[study].real else "SIMULATED")
        found = {row.over: row.ratio for row in reports[study].ratios if row.of == of}
        for cell, over in zip(cells, ("bank", "intrinsic@frontier"), strict=True):
            spread = found[over]
            assert cell == f"{spread.value:.3g} [{spread.low:.3g}, {spread.high:.3g}]"


def test_the_bench_on_the_page_about_hardware_is_one(tmp_path: Path) -> None:
    page = (DOCS / "hardware.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    (tmp_path / "bench.toml").write_text(example, "utf-8")
    assert read_bench(tmp_path / "bench.toml").generator.driver in INSTRUMENTS
    for command in re.findall(r"`ipnet hil (\w+)", page):
        assert CliRunner().invoke(app, ["hil", command, "--help"]).exit_code == 0
    assert set(re.findall(r"`(\w+)`", page.split("The limits file has")[1].split("each with")[0])) == set(
        Limits.model_fields
    )


def test_the_page_about_memory_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "memory_tasks.md").read_text("utf-8")
    (commands,) = re.findall(r"```sh\n(.*?)```", page, re.S)
    for command in commands.splitlines():
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}: {result.output} {result.exception}"
    (program,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(program, {})
