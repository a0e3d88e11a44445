"""Results that nobody trained: made up clip by clip, so that a test knows what must come out."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ipnet.battery import FIXED_ON, all_series
from ipnet.config import Run
from ipnet.device import load_device
from ipnet.hil_result import Bin, HilRun, Served
from ipnet.observer import observer_of
from ipnet.results import Estimate, Result, wilson, write_result
from ipnet.robustness_curve import Tested
from ipnet.robustness_result import Answers, Robustness, Row
from ipnet.train import TRACE_FILE

HORIZON = 4.5
_N, _CHANCE = 100, 0.25  # of runs under perturbations


def fabricate(
    contender: str,
    right: Sequence[bool],
    *,
    seed: int = 0,
    classes: int = 3,
    reverse_time: bool = False,
    real: bool = True,
    data: str = "nmnist",
    activation: str = "relu",
    validation: float = 0.9,
    positions: Sequence[str] | None = None,
    card: str = "mtj-thermal",
    study: str = "made-up",
    title: str = "",
    groups: Sequence[str] = ("made up",),
) -> Result:
    """A result whose clip i was recognised if ``right[i]``; with `reverse_time`, the second half is reversed.

    The clips belong to `groups` in turn.
    """
    run = Run(
        study=study,
        title=title,
        contender=contender,
        seed=seed,
        task={"name": "recognition", "reverse_time": reverse_time},
        data={"name": data},
        backbone={"activation": activation},
        memory={"intrinsic": {"card": card}},
    )
    n, copies = len(right), 2 if reverse_time else 1
    outputs = classes * copies
    names = [f"test/{groups[i % len(groups)]}/{i}" for i in range(n // copies)]
    names += [f"{name}/reversed" for name in names] if reverse_time else []
    truth = [i % (n // copies) % classes + classes * (i >= n // copies) for i in range(n)]
    # A wrong answer is the right class in the wrong direction, or the next class.
    wrong = [(t + classes) % outputs if reverse_time else (t + 1) % outputs for t in truth]
    predicted = [t if r else w for t, w, r in zip(truth, wrong, right, strict=True)]
    confusion = np.zeros((outputs, outputs), int)
    np.add.at(confusion, (truth, predicted), 1)
    physics: dict[str, Any] = {}
    if run.memory_name == "intrinsic":
        used = load_device("mtj-thermal").card
        clock = used.clock.model_dump()
        physics = {
            "card": card,
            "parameters": used.parameters.model_dump(),
            "clock": clock,
            "clock_period_s": clock["t_cycle"],
            "horizon_frames": HORIZON,
        }
    metrics = {"accuracy": wilson(sum(right), n)}
    if reverse_time:
        metrics["class_accuracy"] = wilson(n, n)
    return Result(
        run=run.name,
        config=run.model_dump(mode="json"),
        data={
            "name": data,
            "real": real,
            "description": "made up",
            "fingerprint": f"{data}-{outputs}",
            "items": {"train": 10, "validation": 5, "test": n},
            "classes": outputs,
            "frame_interval_s": 0.02,
        },
        versions={"mtj-ipnet": "0", "python": "3"},
        model={
            "memory": run.memory_name,
            "positions": list(positions if positions is not None else run.positions),
            "causal": run.memory_name != "conv2plus1d",
            "parameters": 1234,
            "memory_parameters": 0,
            "macs_per_clip": 5_600_000,
            "input_shape": [4, 2, 5, 6],
        },
        physics=physics,
        validation={"score_name": "accuracy", "epoch": 1, "score": validation, "loss": 0.1},
        metrics=metrics,
        confusion=confusion.tolist(),
        outputs=[f"class {i}" for i in range(outputs)],
        predictions={"item": names, "truth": truth, "predicted": predicted},
        history=[
            {"epoch": float(i), "train_loss": 1.0, "validation_loss": 1.0, "validation_accuracy": v}
            for i, v in enumerate((validation / 2, validation))
        ],
        timing={
            "finished": "2026-01-02T03:04:05+00:00",
            "train_seconds": 75.0,
            "resumed": False,
            "machine": "abacus",
        },
    )


def fabricate_errors(
    contender: str, seed: int, errors: list[float], like: Result, horizon: float = 4.0, score: float = 0.5
) -> Result:
    """A result of a regression with these errors, three clips to a drive; everything else is that of `like`."""
    names = [f"test/drive{i // 3}/{i}" for i in range(len(errors))]
    truth = [float(i) for i in range(len(errors))]
    predicted = [t + e for t, e in zip(truth, errors, strict=True)]
    rmse = math.sqrt(np.mean(np.square(errors)))
    metrics = {
        name: Estimate(value=rmse, low=0.9 * rmse, high=1.1 * rmse, n=len(errors), unit="deg")
        for name in ("rmse", "mae", "r2", "explained_variance")
    }
    return like.model_copy(
        update={
            "run": f"{contender}-seed{seed}",
            "config": like.config | {"contender": contender, "seed": seed, "study": "made-up"},
            "model": like.model | {"memory": contender.partition("@")[0]},
            "physics": {"horizon_frames": horizon},
            "validation": {"score_name": "explained_variance", "score": score, "epoch": 0, "loss": 1.0},
            "metrics": metrics,
            "predictions": {"item": names, "truth": truth, "predicted": predicted},
        }
    )


def _first_right(right: int) -> Answers:
    """Of _N clips of class 0 the first `right` are recognised."""
    predicted = [0] * right + [1] * (_N - right)
    return Answers(metrics={"accuracy": wilson(right, _N)}, predicted=predicted)


def fabricate_tested(
    contender: str,
    seed: int,
    clean: int,
    *,
    study: str = "made-up",
    data: str = "nmnist",
    real: bool = True,
    **rows: Mapping[float, int],
) -> Tested:
    """A run that undisturbed recognised the first `clean` of 100 clips; `rows`: how many at each level."""
    result = fabricate(contender, [True] * _N, seed=seed, study=study, data=data, real=real)
    found = Robustness(
        source="s",
        run=result.run,
        study=study,
        contender=contender,
        seed=seed,
        data=result.data,
        versions={},
        split="test",
        declared={},
        draws=[seed],
        score_name="accuracy",
        chance=_CHANCE,
        items=result.predictions["item"],
        truth=[0] * _N,
        undisturbed=_first_right(clean),
        untested={},
        rows=[
            Row(perturbation=name, level=level, seed=seed, **_first_right(right).model_dump())
            for name, levels in rows.items()
            for level, right in levels.items()
        ],
    )
    return Tested(result, found)


def fabricate_battery(
    card: str = "mtj-thermal", *, verdicts: Sequence[str] = ("holds",), **facts: object
) -> dict[str, Any]:
    """A battery of a card that does what people do, with a trend of n-back for each of `verdicts`."""
    near = {"rmse": 0.01, "r": 0.99, "rmse_interval": [0.009, 0.02], "r_interval": [0.98, 0.995]}
    flat = {"rmse": 0.3, "r": None, "rmse_interval": [0.3, 0.3], "r_interval": [None, None]}
    trends = [
        {"claim": "nback", "statement": f"trend {i}", "value": 0.1, "interval": [-0.0001, 0.2], "verdict": verdict}
        for i, verdict in enumerate(verdicts)
    ]
    return {
        "card": card,
        "choices": observer_of(card).model_dump(mode="json"),
        "fixed_on": FIXED_ON,
        "subjects": 50,
        "trials": 2,
        "seed": 3,
        "series": {
            entry.name: {
                "at": list(range(len(entry.ages))),
                "mean": list(entry.people) or [None] * len(entry.ages),
                "se": [0.01] * len(entry.ages),
            }
            for entry in all_series()
        },
        "distances": {entry.name: {"card": near, "constant": flat} for entry in all_series() if entry.people},
        "trends": trends,
    } | facts


def write_battery(folder: Path, battery: Mapping[str, Any], name: str = "") -> Path:
    """The file as `ipnet tasks battery` calls it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"memory_tasks-{name or battery['card']}.json"
    path.write_text(json.dumps(battery), "utf-8")
    return path


def right_but(n: int, *wrong: int) -> list[bool]:
    """n right answers but for the given clips."""
    return [i not in wrong for i in range(n)]


def write_runs(folder: Path, results: Sequence[Result], *, traces: bool = True) -> Path:
    """Write results where a study would, with a trace for every memory at the frontier."""
    random = np.random.default_rng(0)
    for result in results:
        place = folder / result.config["study"] / result.run
        place.mkdir(parents=True)
        write_result(place, result)
        if traces and "frontier" in result.model["positions"]:
            frames, state = random.poisson(0.3, (4, 2, 5, 6)), random.uniform(0, 20, (4, 2, 5, 6))
            np.savez(
                place / TRACE_FILE, frames=frames.astype("f2"), state=state.astype("f2"), item=np.array("a clip")
            )
    return folder


def fabricate_bench() -> HilRun:
    """Forty clips on two junctions of a virtual laboratory, one of which died; better than foreseen."""
    parts = [(0.2, 10, 1.0), (0.4, 42, 20.0)]
    bins = tuple(
        Bin(
            expected=p,
            measured=wilson(switched, 100),
            rise_expected=rise,
            rise_measured=Estimate(value=rise + 2, low=rise - 3, high=rise + 7, n=100, unit="K"),
        )
        for p, switched, rise in parts
    )
    junctions = (
        Served(junction=2, answers=150, deviation=-1.2, V_probe=0.28, heat=1.02, dead=""),
        Served(junction=5, answers=50, deviation=0.3, V_probe=None, heat=None, dead="it does not switch"),
    )
    truth = (0,) * 40
    return HilRun(
        run="intrinsic-seed0",
        study="made-up",
        source="abc",
        place="frontier",
        card="mine",
        identities=("Maker,scope,SIMULATED,1",),
        command="ipnet hil demo",
        junctions=junctions,
        data="made-up",
        real=True,
        split="validation",
        items=tuple(f"clip {i}" for i in range(40)),
        truth=truth,
        hardware=tuple(int(i >= 30) for i in range(40)),
        software=tuple(tuple(int(i >= right) for i in range(40)) for right in (20, 21)),
        bins=bins,
        deviation=-0.8,
    )
