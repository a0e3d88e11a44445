"""ngspice, the second computation of what a junction does."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

NGSPICE = shutil.which("ngspice")
needs_ngspice = pytest.mark.skipif(
    NGSPICE is None and os.environ.get("CI") != "true", reason="needs ngspice (apt-get install ngspice)"
)


def ngspice(deck: str, folder: Path, *options: str) -> str:
    """What ngspice prints when it runs the deck, without the user's own settings."""
    assert NGSPICE, "CI must install ngspice"
    (folder / "deck.cir").write_text(deck, "ascii")
    command = [NGSPICE, "-n", "-b", *options, "deck.cir"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    assert not re.search(r"error|singular|too small|unrecognized", said, re.IGNORECASE), said
    return run.stdout


def waves_of(deck: str, folder: Path) -> dict[str, NDArray[np.float64]]:
    """Every node of the deck over time."""
    ngspice(deck, folder, "-r", "waves.raw")
    header, _, data = (folder / "waves.raw").read_bytes().partition(b"Binary:\n")
    names = re.findall(r"^\t\d+\t(\S+)\t", header.decode(), re.MULTILINE)
    return dict(zip(names, np.frombuffer(data, np.float64).reshape(-1, len(names)).T, strict=True))
