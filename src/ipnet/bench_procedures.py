"""What is done with a junction on a bench before a network runs on it: its measurement, and its probe voltage."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.measurement import Measurements
from ipnet.shots import Answers, Shot, Trim
from ipnet.simulated_measurement import measured, plan, tabulate
from ipnet.units import format_si

Floats = NDArray[np.float64]
Report = Callable[[float], None]
_SCAN = np.linspace(0.7, 1.3, 61)  # parts of the expected voltage, scanned to find where a junction switches
_SCANNED = 20  # shots of each
_BELOW, _ABOVE = 0.6, 2.0  # of ln H about the wanted one, where trimming asks
_HEATING = 1e-6  # s, about, of a pulse that heats
_SPREAD, _HOT = 0.2, 0.8  # of voltages that heat, and the largest probability of an answer to them
_ALIKE = 0.1  # standard deviation of the heat that junctions of a card take [1]


class UnsuitableError(IPNetError):
    """A junction does not switch where the card says."""


def halfway(bench: Answers, junction: int, expected: MTJ, width: float, label: str) -> float:
    """Where the cold junction switches in half of the shots, roughly [V].

    Args:
        bench: measures.
        junction: on it.
        expected: a junction of its kind.
        width: of the pulse [s].
        label: of the measurement; names its key.

    Raises:
        UnsuitableError: it switches always, or never, in the range that is scanned.
    """
    middle = float(np.mean(plan(expected, widths=[width], points=1)["V"]))
    V = middle * _SCAN
    V = V[: int(np.searchsorted(V, float(expected.V_max), "right"))]
    shots = [_pulse(v, width) for v in V for _ in range(_SCANNED)]
    share = bench.run(junction, shots, f"{label}/scan").reshape(len(V), -1).mean(1)
    if not share.min() < 0.5 <= share.max():
        raise UnsuitableError(
            f"junction {junction} must switch in half of the shots somewhere from {format_si(V[0], 'V')} to "
            f"{format_si(V[-1], 'V')}; it does in {share.min():.0%} to {share.max():.0%}: check the wiring, "
            "name a card that is more like it, or leave the junction out."
        )
    wrong = np.array([share[:i].sum() + (1 - share[i:]).sum() for i in range(len(V) + 1)])
    return float(V[min(int(wrong.argmin()), len(V) - 1)])


def characterise(
    bench: Answers,
    junction: int,
    expected: MTJ,
    *,
    trials: int = 400,
    delays: Sequence[float] = (0.2e-6, 0.5e-6, 1e-6, 2e-6, 4e-6),
    widths: Sequence[float] = (),
    heating: float = 1e-6,
    sample_time: float = 10e-9,
    label: str = "characterise",
    report: Report = lambda _: None,
) -> Measurements:
    """S-curves of the cold junction, and after a heating pulse: the rows that `ipnet devices fit` reads.

    A coarse scan finds where it switches; then every row is a voltage, with as many shots as trials, and with the
    resistances of both states wherever they were read anew.

    Args:
        bench: measures.
        junction: on it.
        expected: a junction of its kind, for what is worth measuring.
        trials: shots of each row.
        delays: after the heating pulse [s].
        widths: of the pulse [s]; empty for the card's drive and probe.
        heating: width of the heating pulse of V_max [s]: a time constant or more, for a shift that is well seen.
        sample_time: that durations are rounded to [s].
        label: of the measurement; names its keys.
        report: told the share that is done.

    Raises:
        IPNetError: the junction does not switch where it is expected to, or the bench stops.
    """
    clock = expected.card.clock
    chosen = list(widths) or [clock.t_pulse, *([clock.t_probe] if expected.probes else [])]
    rounded = [sample_time * max(1, round(delay / sample_time)) for delay in delays]
    heating = sample_time * max(1, round(heating / sample_time))
    conditions = plan(expected, widths=chosen, delays=rounded, V_cond=clock.V_max, t_cond=heating)
    for width in chosen:
        of_width = conditions["t_pulse"] == width
        cold = of_width & (conditions["V_cond"] == 0)
        shift = halfway(bench, junction, expected, width, f"{label}/{width:.3g}") - float(
            np.median(conditions["V"][cold])
        )
        conditions["V"] = np.where(of_width, (conditions["V"] + shift).clip(0, clock.V_max), conditions["V"])
    rows = tabulate(expected, conditions, trials, label)
    switches, reads, before = np.zeros(len(rows)), np.full((2, len(rows)), np.nan), (math.nan, math.nan)
    for row in range(len(rows)):
        condition = {name: float(column[row]) for name, column in rows.columns.items()}
        key = f"{label}/row {row}"
        switches[row] = bench.run(junction, [_shot(condition)] * trials, key).sum()
        if (told := bench.resistances(key)) != before:  # the junction was read anew
            reads[:, row], before = [float(f"{R:.6g}") for R in told], told
        report((row + 1) / len(rows))
    R_P, R_AP = reads[::-1] if expected.resting else reads
    return measured(rows, switches=switches, R_P=R_P, R_AP=R_AP)


def _shot(row: dict[str, float]) -> Shot:
    """The shot of a row: a heating pulse that cannot switch, a delay, the pulse."""
    parts = [(row["V"], row["t_pulse"])]
    if row["V_cond"] > 0 and row["t_cond"] > 0:
        parts = [(-row["V_cond"], row["t_cond"]), (0.0, row["delay"]), *parts]
    V, t = zip(*((v, t) for v, t in parts if t > 0), strict=True)
    return Shot(np.array(V), np.array(t))


def _pulse(V: float, width: float) -> Shot:
    return Shot(np.array([V]), np.array([width]))


def trim(
    bench: Answers,
    junction: int,
    model: MTJ,
    *,
    trials: int = 300,
    points: int = 9,
    label: str = "trim",
    hottest: Callable[[Trim], Sequence[Shot]] = lambda _: (),
) -> Trim:
    """How a junction is asked so that it answers as the card's model does: cold, and after a heating pulse.

    First the probe: ln H = a + b V is fitted to shots around where the cold junction answers as often as the
    model, and solved for the model's hazard. Then the heat, which is that of V^2: ln H = a + b f^2 is fitted to
    shots that were heated for a microsecond by f times a voltage V, and solved for the model's hazard after V, at
    which it answers in four of five at most. What that says of f^2 is weighed against 1 +- 0.1 (assumed, how R_th
    and R_P spread among junctions) by its standard error: where a pulse hardly warms, f stays near 1.

    Args:
        bench: measures.
        junction: on it.
        model: whose answers are wanted.
        trials: shots at each voltage.
        points: voltages.
        label: of the measurement; names its keys.
        hottest: the hottest shots that will be asked; the factor is kept where the limits allow them.

    Raises:
        UnsuitableError: the junction does not switch where it is expected to.
    """
    width, V_max, t_pulse = (float(part) for part in (model.t_probe, model.V_max, model.t_pulse))
    heating = t_pulse * max(1, round(_HEATING / t_pulse))
    middle, wanted = halfway(bench, junction, model, width, label), _warm(model, 0.0, heating)
    steepness = (_warm(model, 0.0, heating, 1.01) - _warm(model, 0.0, heating, 0.99)) / (
        0.02 * float(model.V_probe)
    )
    centre = middle + (wanted - math.log(math.log(2))) / steepness
    V = np.linspace(centre - _BELOW / steepness, min(centre + _ABOVE / steepness, V_max), points)
    shots = [_pulse(v, width) for v in V for _ in range(trials)]
    counts = bench.run(junction, shots, f"{label}/{points} voltages").reshape(points, -1).sum(1)
    cold = _solved(V, counts, trials, wanted)
    V_probe = float(np.clip(cold.x, 0, V_max))

    def heated(V: float) -> Shot:
        return Shot(np.array([-V, V_probe]), np.array([heating, width]))

    lowest = min(bench.resistances(f"{label}/scan"))
    allowed = [
        f
        for f in np.linspace(1, 1 + _SPREAD, 41).tolist()
        if all(bench.allows(shot, lowest) for shot in (heated(f * V_max), *hottest(Trim(V_probe, f))))
    ]
    if not allowed:
        return Trim(V_probe)
    heaters = np.linspace(0, V_max, 101)[1:]
    below = [V for V in heaters.tolist() if _warm(model, V, heating) <= math.log(-math.log1p(-_HOT))]
    heater = max(below, default=V_max)
    factors = np.linspace(1 - _SPREAD, allowed[-1], points)
    shots = [heated(f * heater) for f in factors for _ in range(trials)]
    counts = bench.run(junction, shots, f"{label}/{points} heats").reshape(points, -1).sum(1)
    warm = _solved(factors**2, counts, trials, _warm(model, heater, heating))
    if warm.slope <= 0:
        return Trim(V_probe)
    error = math.hypot(warm.error, cold.slope * cold.error / warm.slope)
    power = 1 + (warm.x - 1) * _ALIKE**2 / (_ALIKE**2 + error**2)
    return Trim(V_probe, min(math.sqrt(max(power, 0.0)), allowed[-1]))


def shots_of_trim(trials: int = 300, points: int = 9) -> int:
    """How many shots `trim` takes.

    Example:
        >>> shots_of_trim()
        6620
    """
    return len(_SCAN) * _SCANNED + 2 * points * trials


class _Solved(NamedTuple):
    """Where a line has a value: x and its standard error, and the slope there."""

    x: float
    error: float
    slope: float


def _warm(model: MTJ, V: float, heating: float, stronger: float = 1.0) -> float:
    """Logarithm of the model's hazard in a probe, or a stronger one, after a heating pulse of V."""
    number = partial(torch.tensor, dtype=torch.float64)
    probe = model.V_probe.double()
    warm = model.heat(model.rest(probe), model.power(number(V), antiparallel=model.resting), number(heating))
    return float(model.log_hazard(stronger * probe, model.t_probe, warm, antiparallel=model.resting))


def _solved(x: Floats, counts: Floats, trials: int, wanted: float) -> _Solved:
    """Where the most likely line ln H = a + b x has the wanted value; the error by Fisher's information."""
    offset, slope = _line(x, counts, trials)
    H = np.exp(np.clip(offset + slope * x, -30, 5))
    told = trials * H**2 / np.expm1(H)
    found, centre = (wanted - offset) / slope, float((told * x).sum() / told.sum())
    variance = 1 / told.sum() + (found - centre) ** 2 / (told * (x - centre) ** 2).sum()
    return _Solved(found, math.sqrt(variance) / abs(slope), slope)


def _line(V: Floats, counts: Floats, trials: int) -> tuple[float, float]:
    """The a and b of P = 1 - exp(-exp(a + b V)), the most likely for these counts."""
    centre, scale = V.mean(), np.ptp(V)
    x = (V - centre) / scale

    def cost(line: Any) -> float:
        hazard = np.exp(np.clip(line[0] + line[1] * x, -30, 5))
        return float(-(counts * np.log(-np.expm1(-hazard)) - (trials - counts) * hazard).sum())

    found = minimize(cost, (-1.0, 3.0), method="Nelder-Mead").x
    return float(found[0] - found[1] * centre / scale), float(found[1] / scale)
