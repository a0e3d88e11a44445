"""Claims about recognition: the rules that read studies of classes, recordings first (see `ipnet.claims`)."""

from collections.abc import Callable, Sequence
from typing import Any

from ipnet.comparison import Comparison, card_of, percent
from ipnet.finding import Finding, finding
from ipnet.pairing import Paired, paired
from ipnet.positions import sweeps
from ipnet.standing import Standing, paired_with_each

_BASELINES = ("rnn", "lstm", "conv2plus1d")  # the last is that whose errors are counted
_GESTURES, _GESTURE_SETS = 11, ("dvs_gesture", "simulated_gesture")
_MARGIN = 0.05  # an interval that reaches further below a published accuracy says too little
_ERROR_RATIO = 18  # arXiv:2512.15829 v3, against spatiotemporal convolution
_ACCURACY = {"gesture11": 287 / 288, "gesture22": 573 / 576}

Rule = Callable[[Sequence[Comparison]], Finding | None]


def _finding(comparison: Comparison, standing: Standing, *, met: bool, reason: str, **more: Any) -> Finding:
    shared = {
        "n": standing.n,
        "seeds": standing.seeds,
        "data": comparison.data["name"],
        "command": comparison.command,
    }
    return finding(met=met, real=comparison.real, reason=reason, **shared | more)


def _is_gesture(comparison: Comparison, *, reversed_too: bool) -> bool:
    task, data = comparison.results[0].config["task"], comparison.data
    return (
        task["name"] == "recognition"
        and data["name"] in _GESTURE_SETS
        and bool(task.get("reverse_time")) == reversed_too
        and not task.get("swap_polarity")
        and data["classes"] == _GESTURES * (2 if reversed_too else 1)
    )


def _gesture(name: str) -> Rule:
    published = _ACCURACY[name]

    def rule(studies: Sequence[Comparison]) -> Finding | None:
        for comparison in studies:
            best = comparison.best
            if best is None or not _is_gesture(comparison, reversed_too=name == "gesture22"):
                continue
            interval = (best.low, best.high)
            reaches, close = interval[1] >= published, interval[0] >= published - _MARGIN
            found = f"[{percent(interval[0])}, {percent(interval[1])}]"
            outcome = f"reaches {percent(published)}" if reaches else f"stays below {percent(published)}"
            if reaches and not close:
                outcome = f"holds {percent(published)} but is too wide to support it"
            where = "recordings" if comparison.real else f"simulated data ({comparison.data['name']})"
            return _finding(
                comparison,
                best,
                met=reaches and close,
                reason=f"On {where}, the 95 % interval {found} of {best.contender} {outcome}.",
                ours=f"{percent(best.accuracy)} ({best.contender})",
                interval=interval,
            )
        return None

    return rule


def _words(tests: Sequence[Paired]) -> str:
    """Paired tests in words."""
    found = [f"{t.relation} {t.other} ({t.better} : {t.worse}, p = {t.p:.2g})" for t in tests]
    return f"{', '.join(found)}; recordings won : lost, Holm-corrected p."


def _same_backbone(studies: Sequence[Comparison]) -> Finding | None:
    for comparison in studies:
        best, found = comparison.best, [comparison.of_memory(name) for name in _BASELINES]
        baselines = [standing for standing in found if standing is not None]
        if best is None or len(baselines) < len(_BASELINES):
            continue
        tests = paired_with_each(best, baselines)
        ratio = paired(baselines[-1].results, best.results).ratio  # on the seeds that both have
        return _finding(
            comparison,
            best,
            met=all(test.relation == "better than" for test in tests) and ratio >= _ERROR_RATIO,
            reason=f"{best.contender} (chosen by validation) is {_words(tests)} The claim needs {_ERROR_RATIO}x."
            + _sizes([best, *baselines]),
            ours=f"{percent(best.accuracy)} ({best.contender}); {baselines[-1].contender} makes {ratio:.1f}x its "
            "errors",
            interval=(best.low, best.high),
            n=tests[0].n,
        )
    return None


def _sizes(standings: Sequence[Standing]) -> str:
    """A sentence on the sizes of backbones that are not one."""
    widths = {standing.contender: standing.results[0].model.get("width") for standing in standings}
    if len(set(widths.values())) == 1:
        return ""
    return f" The backbones differ in width: {', '.join(f'{name} {width}' for name, width in widths.items())}."


def _frontier(studies: Sequence[Comparison]) -> Finding | None:
    for comparison in studies:
        for sweep in sweeps(comparison):
            frontier = sweep.standings[0]
            others = [of for of in sweep.standings if "frontier" not in of.positions]
            if not sweep.tests or not others or not all(of.is_intrinsic for of in sweep.standings):
                continue
            tests = paired_with_each(frontier, others)
            return _finding(
                comparison,
                frontier,
                met=all(test.relation == "better than" for test in tests),
                reason=f"{frontier.contender} is {_words(tests)}",
                ours=", ".join(f"{percent(s.accuracy)} ({s.contender})" for s in [frontier, *others]),
                interval=(frontier.low, frontier.high),
                n=tests[0].n,
            )
    return None


def _all_mtj(studies: Sequence[Comparison]) -> Finding | None:
    for comparison in studies:
        best = comparison.best
        if best is not None and best.results[0].config["backbone"]["activation"] == "mtj":
            return _finding(
                comparison,
                best,
                met=best.low > 1 / len(best.results[0].outputs),
                reason=f"Every activation and the memory of {best.contender} are junctions; chance is "
                f"{percent(1 / len(best.results[0].outputs))}.",
                ours=f"{percent(best.accuracy)} ({best.contender})",
                interval=(best.low, best.high),
            )
    return None


def _raw_device(studies: Sequence[Comparison]) -> Finding | None:
    for comparison in studies:
        card = card_of(comparison.best.results[0]) if comparison.best else None
        if comparison.best is None or card is None:
            continue
        values = {key: entry for key, entry in card.entries.items() if key.startswith("parameters.")}
        assumed = [key.removeprefix("parameters.") for key, entry in values.items() if entry.assumed]
        which = f"{len(assumed)} of {len(values)} parameters of card '{card.name}' are assumed"
        found = f"{which} ({', '.join(assumed)})" if assumed else f"no parameter of card '{card.name}' is assumed"
        return _finding(
            comparison,
            comparison.best,
            met=not assumed,
            reason=f"The claim needs measured values of one fabricated device, none of them trained; {found}.",
            ours=f"{len(values) - len(assumed)} of {len(values)} parameters sourced, none trained",
        )
    return None


RULES: dict[str, Rule] = {
    "gesture11": _gesture("gesture11"),
    "gesture22": _gesture("gesture22"),
    "same_backbone": _same_backbone,
    "frontier": _frontier,
    "all_mtj": _all_mtj,
    "raw_device": _raw_device,
}
