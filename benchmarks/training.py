"""What one step of training costs each contender of a study, on random clips: seconds, and memory of a GPU.

    python benchmarks/training.py dvs_gesture22 --device cuda
    python benchmarks/training.py gesture22_simulated --set training.batch_size=8

The network, the precision and the batch are those of the study; reading and jittering the clips is not counted.
Contenders take turns. ``seconds`` are of the median step (forwards, backwards and the optimiser's),
``peak_bytes`` what torch handed out at most (GPU alone), ``ratio_to_none`` the seconds over those of `none`.
"""
# ruff: noqa: T201

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from ipnet.config import Run, Study, read_config
from ipnet.network import build_network, count_parameters

CLASSES = 22


def make_step(run: Run, device: str, shape: tuple[int, int, int]) -> tuple[Callable[[], None], int]:
    """A function that does one step of training on one batch, and the number of trained values."""
    network = build_network(run, shape, CLASSES).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), run.training.learning_rate)
    generator = torch.Generator().manual_seed(0)
    clips = torch.poisson(torch.full((run.task["steps"], run.training.batch_size, *shape), 0.3), generator).to(
        device
    )
    classes = torch.randint(CLASSES, (run.training.batch_size,), generator=generator).to(device)
    short = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(run.training.precision)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device, short, enabled=short is not None):
            loss = F.cross_entropy(network(clips)[0].mean(0), classes)
        loss.backward()
        optimiser.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step, count_parameters(network)


def measure(study: Study, device: str, shape: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    """Seconds and memory of every contender."""
    found: dict[str, Any] = {}
    for name in study.contenders:
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        step, parameters = make_step(study.run(name, 0), device, shape)
        for _ in range(2):
            step()
        seconds = []
        for _ in range(rounds):
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
        found[name] = {"seconds": statistics.median(seconds), "peak_bytes": peak, "parameters": parameters}
        del step
    for entry in found.values():
        entry["ratio_to_none"] = entry["seconds"] / found["none"]["seconds"] if "none" in found else None
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="TOML file of a study, or the name of a shipped one")
    parser.add_argument("--set", action="append", default=[], help="change a value: key=value")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", type=int, nargs=2, help="H and W of a frame; default: the study's, or 128 128")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    study = read_config(Study, options.study, options.set)
    size = options.size or study.task.get("size") or (128, 128)
    found = measure(study, options.device, (2, *size), options.rounds)
    where = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    if options.json:
        print(json.dumps({"machine": where, "torch": torch.__version__, "contenders": found}, indent=2))
        return
    print(f"{study.study}: one training step on {where}, frames of {size[0]} x {size[1]}")
    print(f"{'':24}{'seconds':>10}{'/ none':>8}{'peak, GB':>10}{'parameters':>12}")
    for name, entry in found.items():
        peak, ratio = entry["peak_bytes"], entry["ratio_to_none"]
        print(
            f"{name:24}{entry['seconds']:10.4f}{f'{ratio:.2f}' if ratio else '':>8}"
            f"{f'{peak / 1e9:.2f}' if peak else '':>10}{entry['parameters']:12,}"
        )


if __name__ == "__main__":
    main()
