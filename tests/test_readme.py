"""The README's examples are run, its commands exist."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipnet.cli import app

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")


def test_the_python_examples_run_in_order() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) >= 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`ipnet ([a-z]+)", README))))
def test_every_command_of_the_readme_exists(command: str) -> None:
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("target", re.findall(r"`make ([a-z]+)`", README))
def test_every_make_target_of_the_readme_exists(target: str) -> None:
    makefile = Path(__file__).parents[1].joinpath("Makefile").read_text("utf-8")
    assert re.search(rf"^{target}:", makefile, re.M)
