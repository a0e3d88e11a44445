"""What a neuron over time costs, forwards and backwards, beside ReLU, recurrent layers and other libraries.

    make bench-peers
    python benchmarks/neuron.py
    python benchmarks/neuron.py --json
    python benchmarks/neuron.py --device cuda

Contenders take turns, so that what disturbs the machine disturbs all alike; each has a process of its own, since
the memory that one leaves to a process serves those that follow; one process computes at a time. A pass that is
not timed precedes each that is: a system may have taken the memory of a process that slept. All get the same
numbers in the layout they like best, in single precision, with gradients for the input and for parameters. Peers
live in an environment of their own and are left out, with the reason, where it is missing.
Threads that wait for others sleep (OpenMP's passive policy): where they spin, whoever shares the machine slows a
contender of many small operations down many times over. ``--allocator warm`` lets freed memory stay with the
process, so that nobody pays for fresh pages; ``system`` (the default) leaves the C library as users have it.

Figures, of medians where not said otherwise:

* ``ratio_to_relu``, ``two_pole_ratio``: time of the shipped junction / ReLU; of two thermal poles / one;
* ``ratio_to_fastest_peer``: / the fastest leaky integrate-and-fire neuron as its library ships it;
  ``ratio_to_fastest_compiled_peer``: / the fastest of them under `torch.compile`;
* ``extra_memory_ratio``: the rise of the resident set to its peak over a pass in a fresh process, less the output
  and the gradient of the input, / (input + output); the input and the gradient of the output were there before;
  on a GPU it is the rise of what torch has handed out.
  ``extra_memory_ratio_with_gradients`` adds both gradients to the numerator. ReLU is the check: nearly 0 and 1;
* ``linearity_in_T``: largest ``abs(t_T / T / median - 1)`` of the best times t_T of ``seconds_in_T``, equally many
  elements per step; the median is that of t_T / T;
* ``inference_state_bytes``: what the state after T steps without gradients keeps alive;
* ``first_call_seconds``: the first pass of a fresh process with empty caches, on a small input;
  ``second_process_seconds``: the same in the next process, which finds the caches;
* ``seconds_in_elements``: best times by elements per step.
"""
# ruff: noqa: T201

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from _worker import PEERS, Worker, WorkerError, machine, summary, take_turns

WARM = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}  # of glibc
SLOW = {"reference": 3, "lstm": 3, "gru": 3, "convlstm": 3}  # rounds at most
OURS = ("torch", "numba", "numpy", "mtj-ipnet")
THEIRS = ("torch", "spikingjelly", "snntorch", "norse", "sinabs")


class Plan(NamedTuple):
    """How much is measured."""

    shape: tuple[int, ...] = (16, 8, 32, 64, 64)
    rounds: int = 9
    times: tuple[int, ...] = (16, 64, 256, 1024)
    step: tuple[int, ...] = (1, 32, 32, 32)  # per step, for the scaling in T: 537 MB at T = 1024
    elements: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    element_steps: int = 4  # T, for the scaling in elements: 640 MB at 1e7
    weighed: tuple[str, ...] = ("ours", "ours_two_poles", "reference", "relu")
    compiled: bool = True
    only: tuple[str, ...] = ()  # of these contenders; empty for all


QUICK = Plan(
    (4, 2, 3, 8, 8),
    2,
    (16, 64),
    (1, 2, 8, 8),
    (100, 1_000),
    4,
    ("ours",),
    compiled=False,
    only=(
        *("relu", "ours", "ours_two_poles", "reference", "lstm", "gru", "convlstm"),
        *("spikingjelly", "snntorch", "norse_box", "norse_lif", "sinabs"),
    ),
)
NEEDED = "relu", "ours", "ours_two_poles"


Start = Callable[[], Worker]


class Lab(NamedTuple):
    """Where it is measured: starts workers."""

    threads: int
    place: str
    caches: str

    def ours(self, **environment: str) -> Worker:
        """A worker of IPNet's environment, which compiles into caches of its own."""
        keys = ("IPNET_CACHE", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "TRITON_CACHE_DIR")
        caches = {key: str(Path(self.caches) / key) for key in keys}
        return Worker(
            sys.executable, "_neuron_ours.py", self.threads, self.place, **self.limits, **caches, **environment
        )

    def theirs(self, python: Path, **environment: str) -> Worker:
        """A worker of the peers' environment."""
        return Worker(python, "_neuron_peers.py", self.threads, self.place, **self.limits, **environment)

    @property
    def limits(self) -> dict[str, str]:
        """Variables that limit the threads of whatever library, and let those that wait sleep."""
        keys = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        return dict.fromkeys(keys, str(self.threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}


def compare(
    plan: Plan, ours: Start, theirs: Start | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Time all contenders in turn: a summary of ours, of theirs, and the reason for each that could not run."""
    with ours() as worker:
        places = dict.fromkeys((name for name in worker("names") if name in (plan.only or (name,))), ours)
    if theirs:
        with theirs() as worker:
            names = [name for name in worker("names") if plan.compiled or not name.endswith("_compiled")]
        places |= dict.fromkeys((name for name in names if name in (plan.only or (name,))), theirs)
    measures: dict[str, Callable[[], float]] = {}
    failed = {}
    with ExitStack() as stack:
        for name, start in places.items():
            worker = stack.enter_context(start())
            try:
                worker("prepare", name=name, shape=plan.shape)
            except WorkerError as error:
                if start is ours:
                    raise
                failed[name] = str(error)
            else:
                measures[name] = partial(worker, "time", name=name, shape=plan.shape)
        seconds = take_turns(measures, lambda name: min(plan.rounds, SLOW.get(name, plan.rounds)))
    found = {name: summary(taken) for name, taken in seconds.items()}
    for entry in found.values():
        entry["ratio_to_relu"] = entry["median_s"] / found["relu"]["median_s"]
    mine = {name: entry for name, entry in found.items() if places[name] is ours}
    return mine, {name: entry for name, entry in found.items() if name not in mine}, failed


def best_times(plan: Plan, worker: Worker, shapes: Mapping[int, tuple[int, ...]], name: str) -> dict[int, float]:
    """Best time of a contender for each of several shapes, in turn."""
    measures = {}
    for key, shape in shapes.items():
        worker("prepare", name=name, shape=shape)
        measures[str(key)] = partial(worker, "time", name=name, shape=shape)
    seconds = take_turns(measures, lambda _: plan.rounds)
    return {key: min(seconds[str(key)]) for key in shapes}


def scaling(plan: Plan, worker: Worker) -> dict[str, Any]:
    """How time grows with T and with the elements per step, and that the state does not grow."""
    in_T = best_times(plan, worker, {T: (T, *plan.step) for T in plan.times}, "ours")
    per_step = [seconds / T for T, seconds in in_T.items()]
    middle = statistics.median(per_step)
    shapes = {n: (plan.element_steps, 1, 10, n // 10, 1) for n in plan.elements}
    return {
        "linearity_in_T": max(abs(seconds / middle - 1) for seconds in per_step),
        "seconds_in_T": in_T,
        "seconds_in_elements": {name: best_times(plan, worker, shapes, name) for name in ("ours", "relu")},
        "inference_state_bytes": {T: worker("state_bytes", steps=T) for T in (16, 1024)},
    }


def fresh_processes(plan: Plan, lab: Lab) -> dict[str, Any]:
    """First calls, and memory: each contender in a process of its own, which has forgotten nothing yet."""
    with lab.ours() as worker:
        first = worker("first_call")
    memory, second = {}, None
    for name in plan.weighed:
        with lab.ours() as worker:
            second = second or worker("first_call")
            try:
                seen = worker("memory", name=name, shape=plan.shape)
            except WorkerError as error:
                memory[name] = {"reason": str(error)}
                continue
        both = seen["input"] + seen["output"]
        extra = seen["rise"] - seen["output"] - seen["input"]  # a gradient is as large as its tensor
        memory[name] = seen | {"extra_ratio": extra / both, "extra_ratio_with_gradients": (extra + both) / both}
    return {
        "extra_memory_ratio": memory["ours"].get("extra_ratio"),
        "extra_memory_ratio_with_gradients": memory["ours"].get("extra_ratio_with_gradients"),
        "memory": memory,
        "first_call_seconds": first,
        "second_process_seconds": second,
    }


def against_peers(ours: float, peers: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Ratio of ours to the fastest peer as shipped and under `torch.compile`, or null and the reason."""
    found: dict[str, Any] = {}
    for key, compiled in (("ratio_to_fastest_peer", False), ("ratio_to_fastest_compiled_peer", True)):
        times = {name: peers[name]["median_s"] for name in peers if name.endswith("_compiled") == compiled}
        fastest = min(times, key=times.__getitem__, default=None)
        found[key] = ours / times[fastest] if fastest else None
        found[f"{key}_name" if fastest else f"{key}_reason"] = fastest or reason
    return found


def measure(plan: Plan, threads: int, place: str, peers: Path, allocator: str) -> dict[str, Any]:
    """Everything, see the module."""
    here = machine(threads) | {"allocator": allocator, "place": place}
    reason = "not one of them ran, see not_run"
    environment = WARM if allocator == "warm" else {}
    with tempfile.TemporaryDirectory() as caches:
        lab = Lab(threads, place, caches)
        alone = fresh_processes(plan, lab)
        ours, theirs = partial(lab.ours, **environment), None
        if peers.exists():
            theirs = partial(lab.theirs, peers, **environment)
            with theirs() as worker:
                here["versions_of_peers"] = worker("versions", packages=THEIRS)
        else:
            reason = f"there is no interpreter {peers}: run 'make bench-peers', or name one with --peers"
        contenders, others, failed = compare(plan, ours, theirs)
        with ours() as worker:
            here["versions"] = worker("versions", packages=OURS)
            sizes = scaling(plan, worker)
    return {
        "ratio_to_relu": contenders["ours"]["ratio_to_relu"],
        **against_peers(contenders["ours"]["median_s"], others, reason),
        "two_pole_ratio": contenders["ours_two_poles"]["median_s"] / contenders["ours"]["median_s"],
        **alone,
        **sizes,
        "shape": plan.shape,
        "contenders": contenders | others,
        "not_run": failed,
        "machine": here,
    }


def show(found: Mapping[str, Any]) -> None:
    """Print what people read."""
    print(", ".join(f"{key} {value}" for key, value in found["machine"].items()))
    T, B, C, H, W = found["shape"]
    print(f"\nforwards and backwards, [T {T}, B {B}, C {C}, H {H}, W {W}], single precision, seconds")
    print(f"{'':24}{'median':>9}{'best':>9}{'spread':>8}{'rounds':>8}{'/ relu':>8}")
    for name, entry in sorted(found["contenders"].items(), key=lambda item: item[1]["median_s"]):
        print(
            f"{name:24}{entry['median_s']:9.3g}{entry['best_s']:9.3g}{entry['spread']:8.0%}{entry['rounds']:8}"
            f"{entry['ratio_to_relu']:8.2f}"
        )
    for name, reason in found["not_run"].items():
        print(f"{name:24}not run: {reason}")
    print()
    for key, value in found.items():
        if key not in ("machine", "shape", "contenders", "not_run"):
            print(f"{key:42}{value:.3g}" if isinstance(value, float) else f"{key:42}{value}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--quick", action="store_true", help="tiny shapes: does it run? The figures mean nothing")
    parser.add_argument("--rounds", type=int, help="of each contender but the slow ones")
    parser.add_argument("--only", nargs="+", default=(), help=f"contenders beside {', '.join(NEEDED)}")
    parser.add_argument("--threads", type=int, default=2, help="of every contender")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where layers compute")
    parser.add_argument("--peers", type=Path, default=PEERS, help="interpreter with the other libraries")
    parser.add_argument("--allocator", choices=("system", "warm"), default="system", help="see above")
    options = parser.parse_args()
    plan = QUICK if options.quick else Plan()
    plan = plan._replace(rounds=options.rounds or plan.rounds)
    if options.only:
        plan = plan._replace(only=(*NEEDED, *options.only))
    found = measure(plan, options.threads, options.device, options.peers, options.allocator)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
