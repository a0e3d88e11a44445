"""The claim about driving: how far off the steering is, against an LSTM on the same backbone."""

from collections.abc import Sequence

from ipnet.finding import Finding, finding
from ipnet.prediction_error import ErrorStanding, compare_errors
from ipnet.standing import chosen

_SETS = ("simulated_driving", "rc_car", "ddd20")  # simulated, events of real video, recordings: the last counts
_LOWER = 0.12  # arXiv:2512.15829: 14.4 % in v1 and v2, 12.4 % in v3

Study = Sequence[ErrorStanding]


def driving(studies: Sequence[Study]) -> Finding | None:
    """What studies of steering say; None if none of them has both memories and a test split of several drives.

    The number is ``exp(mean_g ln(rmse_intrinsic,g / rmse_lstm,g)) - 1`` over drives g, or blocks of a drive, with
    Student's t (`ipnet.intervals.paired_ratio`): how much lower the error of a typical drive is, if negative.

    Args:
        studies: of `ipnet.prediction_error.error_studies`.
    """
    for study in sorted(filter(_is_steering, studies), key=_weight, reverse=True):
        intrinsic = chosen(study)
        recurrent = [standing for standing in study if standing.memory == "lstm" and standing.against is not None]
        if intrinsic is None or not recurrent:
            continue
        lstm = max(recurrent, key=lambda standing: standing.validation)
        test = compare_errors(intrinsic.results, lstm.results)
        ratio, data = test.difference, intrinsic.results[0].data
        seeds = len({result.seed for result in intrinsic.results} & {result.seed for result in lstm.results})
        return finding(
            met=ratio.value <= -_LOWER and ratio.high < 0,
            real=bool(data["real"]),
            reason=f"On {data['description']}, the RMSE of {intrinsic.contender} (chosen by validation) is "
            f"{_change(ratio.value)} than that of {lstm.contender} on a typical drive: geometric mean of the "
            f"ratios of {test.n} drives or blocks of a drive, 95 % interval over them from {_change(ratio.low)} "
            f"to {_change(ratio.high)}, {seeds} seeds of both. The claim needs at least {_change(-_LOWER)} and an "
            "interval below zero.",
            ours=f"{100 * ratio.value:+.1f} % ({intrinsic.contender} against {lstm.contender})",
            interval=(ratio.low, ratio.high),
            n=test.n,
            seeds=seeds,
            data=data["name"],
            command=intrinsic.command,
        )
    return None


def _is_steering(study: Study) -> bool:
    result = study[0].results[0]
    return result.data["name"] in _SETS and result.outputs[0].startswith("steering")


def _weight(study: Study) -> tuple[int, int, str]:
    """The kind of data, then test clips, then the name: what a study can show, not what it shows."""
    result = study[0].results[0]
    return _SETS.index(result.data["name"]), result.data["items"]["test"], str(result.config["study"])


def _change(ratio: float) -> str:
    """A relative difference in words.

    Example:
        >>> _change(-0.144)
        '14.4 % lower'
    """
    return f"{100 * abs(ratio):.1f} % {'lower' if ratio < 0 else 'higher'}"
