"""The claim about hardware in the loop, from what `ipnet hil run` or `ipnet hil demo` wrote."""

from collections.abc import Sequence

from ipnet.finding import Finding, finding
from ipnet.hil_result import HilRun


def hil(runs: Sequence[HilRun]) -> Finding | None:
    """What the runs on a bench say: those on real junctions before simulated ones, then the one with more clips.

    The claim is met if the accuracy on the bench lies where ten runs in software foresee it (`HilRun.agrees`).
    """
    if not runs:
        return None
    run = max(runs, key=lambda run: (not run.simulated, run.real, len(run.truth)))
    foreseen, low, high = (100 * share for share in run.foreseen)
    accuracy, chip = run.accuracy, "the virtual laboratory's chip" if run.simulated else "a chip"
    switched = sum(part.measured.successes for part in run.bins) / run.answers
    expected = sum(part.expected * part.measured.n for part in run.bins) / run.answers
    return finding(
        met=run.agrees,
        real=not run.simulated and run.real,
        reason=f"On {chip}, {run.card}, through {len(run.junctions)} junctions in turns ({len(run.dead)} set "
        f"aside), the network of {run.run} is right on {accuracy.successes} of {accuracy.n} clips; ten runs in "
        f"software, each with spikes of its own, foresee {foreseen:.1f} % [{low:.1f}, {high:.1f}]. Of "
        f"{run.answers:,} answers {100 * switched:.2f} % switched, where the law expects {100 * expected:.2f} %. "
        "The claim needs the accuracy within what is foreseen.",
        ours=f"{100 * accuracy.value:.1f} % on the bench, {foreseen:.1f} % foreseen",
        interval=(accuracy.low, accuracy.high),
        n=accuracy.n,
        seeds=1,
        data=run.data,
        command=run.command,
    )
