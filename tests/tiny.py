"""A study small enough to run in seconds, on files that it writes itself."""

from pathlib import Path

from ipnet.config import Study, read_config
from ipnet.data.nmnist import NMNIST
from ipnet.study import check_runs, execute_all

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


def train_tiny_network(folder: Path) -> Path:
    """Train a network of junctions that answer 0 or 1, 8 to each clip and step; returns the folder of its run."""
    path = write_tiny_study(folder, contenders='["intrinsic"]', epochs=1)
    study = read_config(Study, path, ['memory.intrinsic.emission="sample"', "task.size=[2, 2]"])
    execute_all(check_runs(study.runs(), folder, lambda *_: None), lambda *_: lambda *_: None)
    return folder / "tiny" / "intrinsic-seed0"
