"""Trajectories x steps per second: `ipnet.macrospin` against cmtj, one task, in turn, on one machine.

    python -m pip install cmtj
    python benchmarks/macrospin.py

The task is one junction under Slonczewski torque at 300 K, integrated with Heun's scheme at the same step for the
same number of steps, for as many trajectories as each solver gets through in a second or so. Ours also follows two
thermal poles and tables over temperature, here without effect (R_th = 0), so that both must find the same
switching probability. cmtj follows one trajectory at a time on one core.
"""
# ruff: noqa: T201

import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import cmtj
import numba
import numpy as np

from ipnet.macrospin import Macrospin

REPEATS, STEPS, DT, V = 7, 2000, 1e-12, 0.02
TILTED = (math.sin(0.3), 0.0, math.cos(0.3))
MU_0 = 4e-7 * math.pi

JUNCTION = Macrospin(
    temps=np.linspace(300, 500, 21),
    Ms=np.linspace(1e6, 0.85e6, 21),
    K_eff=np.linspace(2e5, 1.3e5, 21),
    polarisation=np.linspace(0.6, 0.55, 21),
    tmr=np.linspace(1.2, 0.9, 21),
    volume=1e-25,
    alpha=0.05,
    R_P=2500.0,
    V_h=0.5,
    temp_0=300.0,
    R_th=(0.0, 0.0),
    tau_th=(1e-9, 1e-6),
)


def cmtj_junction() -> Any:
    """The same free layer at 300 K: Ms in tesla, fields in A/m, the current reversed."""
    thickness, P, none = 1e-9, 0.6, [cmtj.CVector(0, 0, 0)] * 3
    area, axis = JUNCTION.volume / thickness, cmtj.CVector(0, 0, 1)
    layer = cmtj.Layer.createSTTLayer(
        "free", axis, axis, 1e6 * MU_0, thickness, area, none, JUNCTION.alpha, 1.0, JUNCTION.alpha, P / (1 + P**2)
    )
    layer.setReferenceLayer(axis)
    junction = cmtj.Junction([layer])
    junction.setLayerAnisotropyDriver("free", cmtj.constantDriver(2e5))
    junction.setLayerCurrentDriver("free", cmtj.constantDriver(-V / (JUNCTION.R_P * area)))
    junction.setLayerTemperatureDriver("free", cmtj.constantDriver(300.0))
    return junction


def run_cmtj(trajectories: int, junction: Any) -> float:
    """Switched fraction after the task."""
    switched = 0
    for _ in range(trajectories):
        junction.setLayerMagnetisation("free", cmtj.CVector(*TILTED))
        junction.clearLog()
        time_ = STEPS * DT
        junction.runSimulation(time_ * (1 + 1e-9), DT, time_, solverMode=cmtj.SolverMode.Heun)
        switched += junction.getLayerMagnetisation("free").z < 0
    return switched / trajectories


def run_ours(trajectories: int, threads: int) -> float:
    """Switched fraction after the task."""
    numba.set_num_threads(threads)
    p, _ = JUNCTION.switching_probability(V, STEPS * DT, m_0=TILTED, dt=DT, trajectories=trajectories)
    return float(p[0])


def main() -> None:
    """Measure the solvers in turn and print the table."""
    cores, junction = numba.get_num_threads(), cmtj_junction()
    tasks: dict[str, tuple[int, Callable[[int], float]]] = {
        "cmtj, 1 thread": (1000, lambda n: run_cmtj(n, junction)),
        "ours, 1 thread": (20_000, lambda n: run_ours(n, 1)),
        f"ours, {cores} threads": (20_000, lambda n: run_ours(n, cores)),
    }
    run_ours(1, cores)  # compile
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    switched: dict[str, float] = {}
    for _ in range(REPEATS):
        for name, (trajectories, run) in tasks.items():
            began = time.perf_counter()
            switched[name] = run(trajectories)
            seconds[name].append(time.perf_counter() - began)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores; {STEPS} steps, {REPEATS} repeats")
    print(f"{'':16} {'trajectories':>12} {'best':>12} {'median':>12} {'ratio of medians':>17} {'switched':>9}")
    rates = {name: [tasks[name][0] * STEPS / t for t in taken] for name, taken in seconds.items()}
    base = statistics.median(rates["cmtj, 1 thread"])
    for name, rate in rates.items():
        middle = statistics.median(rate)
        print(
            f"{name:16} {tasks[name][0]:12,} {max(rate):10.3g}/s {middle:10.3g}/s {middle / base:17.1f} "
            f"{switched[name]:9.3f}"
        )
    began = time.perf_counter()
    run_ours(100_000, cores)
    taken = time.perf_counter() - began
    print(f"100,000 trajectories at once on {cores} threads: {1e5 * STEPS / taken:.3g}/s, {taken:.1f} s")


if __name__ == "__main__":
    main()
