"""A study small enough to run in seconds, on files that it writes itself."""

from pathlib import Path

from ipnet.data.nmnist import NMNIST

STUDY = """
study = "tiny"
contenders = {contenders}
seeds = {seeds}

[task]
name = "recognition"
reverse_time = true
steps = 4

[data]
name = "nmnist"
root = "{root}"
validation = 0.25

[backbone]
width = 3
blocks = [1]
stem_stride = 4

[training]
epochs = {epochs}
batch_size = 16
threads = 1
"""


def write_tiny_study(
    folder: Path, *, contenders: str = '["none", "intrinsic"]', seeds: str = "[0]", epochs: int = 2
) -> Path:
    """Write recordings and a study file; returns the path of the file."""
    NMNIST.example(folder / "clips")
    path = folder / "tiny.toml"
    path.write_text(
        STUDY.format(contenders=contenders, seeds=seeds, epochs=epochs, root=folder / "clips"), "utf-8"
    )
    return path
