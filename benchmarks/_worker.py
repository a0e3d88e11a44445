"""Measuring in several processes, one at a time: what the benchmarks share. Standard library alone.

A worker is a script that ends in `serve`. It gets a request as a line on its standard input, ``["function",
{arguments}]`` in JSON, and answers with a line: ``{"value": ...}`` or ``{"error": "..."}``. It stays alive between
requests, so that contenders from several environments can be timed in turn.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"


class WorkerError(Exception):
    """A worker could not do what it was asked; says why."""


class Worker:
    """A script that serves requests in an environment of its own.

    Args:
        python: the interpreter.
        script: name of a file beside this one.
        arguments: of the script.
        environment: variables to set for it.
    """

    def __init__(self, python: str | Path, script: str, *arguments: object, **environment: str) -> None:
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", str(HERE / script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def __call__(self, function: str, **arguments: Any) -> Any:
        """Ask for `function` and wait for what it returns.

        Raises:
            WorkerError: the function raised, or the process has ended.
        """
        requests, answers = self.process.stdin, self.process.stdout
        try:
            requests.write(json.dumps([function, arguments]) + "\n")
            requests.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"the process ended with exit code {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["value"]


def serve(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests for `functions` until standard input ends; what they print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"value": functions[name](**arguments)}
        except Exception as error:  # whatever a peer raises is a result
            answer = {"error": f"{type(error).__name__}: {error}".strip().splitlines()[0]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def take_turns(
    contenders: Mapping[str, Callable[[], float]], rounds: Callable[[str], int]
) -> dict[str, list[float]]:
    """Seconds of every contender, each round in turn, so that what disturbs the machine disturbs all alike.

    Args:
        contenders: measures once and returns seconds.
        rounds: how often; who needs fewer than the most is spread evenly over them.
    """
    most, seconds = max(map(rounds, contenders)), {name: list[float]() for name in contenders}
    for turn in range(most):
        for name, measure in contenders.items():
            if turn * rounds(name) // most > (turn - 1) * rounds(name) // most:
                seconds[name].append(measure())
    return seconds


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median, best and spread of rounds: spread = (worst - best) / median."""
    median, best = statistics.median(seconds), min(seconds)
    return {
        "median_s": median,
        "best_s": best,
        "spread": (max(seconds) - best) / median,
        "rounds": len(seconds),
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of the packages that are installed."""
    installed = [name for name in packages if any(distributions(name=name))]
    return {"python": platform.python_version()} | {name: version(name) for name in installed}


def machine(threads: int) -> dict[str, Any]:
    """What the figures were taken on, and how busy it was: runnable processes of the last minute."""
    found, cpu = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if found.exists():
        lines = found.read_text("utf-8").splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": threads, "load_before": os.getloadavg()[0]}
