"""What all tests share: a cache of their own, the recordings of IPNET_DATA, device cards and plug-ins to break."""

import importlib
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ipnet import cli
from ipnet.cards import shipped_cards
from ipnet.device import Device, load_device

if not torch.cuda.is_available():
    os.environ.setdefault(
        "TRITON_INTERPRET", "1"
    )  # kernels for a GPU are run by numpy; read when triton is imported
torch.set_num_threads(1)  # the test processes share the cores

Command = Callable[..., tuple[int, str, str]]
CardWriter = Callable[..., Path]
DeviceMaker = Callable[..., Device]
Plugin = Callable[[str, str, str], str]


@pytest.fixture(scope="session")
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    shared = tmp_path_factory.getbasetemp().parent / "kernels"  # what one worker compiled, another need not
    shared.mkdir(exist_ok=True)
    (folder / "kernels").symlink_to(shared, target_is_directory=True)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(_session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPNET_CACHE", str(_session_cache))


@pytest.fixture
def ipnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``ipnet words`` in this process: exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ipnet", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as leave:
            code = int(leave.code or 0)
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.fixture
def data_root() -> Path:
    """The folder of the recordings of IPNET_DATA."""
    folder = os.environ.get("IPNET_DATA")
    if not folder:
        pytest.skip("needs recordings: set IPNET_DATA to their folder")
    return Path(folder)


@pytest.fixture
def write_card(tmp_path: Path) -> CardWriter:
    """Write a variant of a shipped card: ``write_card("mtj-thermal", R_P=(500, "ohm"), exponent=None)``.

    A value is (number, unit), a text as it stands in TOML, or None to remove the line; ``"variation.R_P"`` names
    the line of another table than the first that has one.
    """

    def write(base: str, *, name: str = "variant.toml", extra: str = "", **changes: object) -> Path:
        text = shipped_cards()[base].read_text("utf-8")
        for key, change in changes.items():
            if isinstance(change, tuple):
                change = f'{{ value = {change[0]}, unit = "{change[1]}", assumed = "a test" }}'
            table, _, key = key.rpartition(".")
            line = "" if change is None else f"{key} = {change}"
            start = text.index(f"[{table}]") if table else 0
            rest, found = re.subn(
                rf"^{key} = .*$", lambda _, line=line: line, text[start:], count=1, flags=re.MULTILINE
            )
            assert found, f"{base} has no line '{key}'"
            text = text[:start] + rest
        path = tmp_path / name
        path.write_text(text + extra, "utf-8")
        return path

    return write


@pytest.fixture
def vary(write_card: CardWriter) -> DeviceMaker:
    """The device of a variant of a shipped card, see `write_card`."""
    return lambda base, **changes: load_device(write_card(base, **changes))


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    """Drop a file into an extension point: ``plugin("memory", "mine", source)`` returns the name."""
    dropped: list[tuple[str, str]] = []

    def drop(folder: str, name: str, source: str) -> str:
        package = importlib.import_module(f"ipnet.{folder}")
        place = tmp_path / "plugins" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.py").write_text(textwrap.dedent(source), "utf-8")
        if str(place) not in package.__path__:
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(place)])
        importlib.invalidate_caches()
        dropped.append((f"ipnet.{folder}", name))
        return name

    yield drop
    for package, name in dropped:
        sys.modules.pop(f"{package}.{name}", None)
        vars(sys.modules[package]).pop(name, None)
