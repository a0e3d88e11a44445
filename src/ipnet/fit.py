"""From a measurement to a device card: maximum likelihood, what the data can tell, intervals, goodness of fit.

The law is that of `ipnet.device.mtj.MTJ` on the rows of `ipnet.measurement`: cold, conditioning pulse, delay,
pulse; switches ~ binomial(trials, P). Fitted, as logarithms: delta and V_c0 of the resting state (the other state
keeps the ratio of the base card), n_K, and R_th and tau_th of each thermal pole. tau_0 and the exponent are never
fitted: along ln(tau_0) + delta the law hardly changes.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ipnet.cards import CardFile
from ipnet.device import load_device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.estimation import GROSS, solve
from ipnet.fit_result import Estimate, Fit, format_value, goodness_of
from ipnet.fitted_card import build_junction, card_file, fitted_card, prepare
from ipnet.likelihood import (
    Indices,
    Law,
    climb,
    install,
    intervals,
    invert,
    logarithms,
    moves,
    parameter_names,
    probability,
    unit_of_name,
)
from ipnet.measurement import Floats, Measurements, Quarantined
from ipnet.physics import quadrature
from ipnet.units import format_si

__all__ = [
    "GROSS",
    "Fit",
    "fit",
    "fitted_card",
    "format_value",
    "install",
    "load_junction",
    "logarithms",
    "parameter_names",
]

APART = 5.0  # ambient temperatures that differ by less do not tell n_K from R_th [K]
POOR = 1e-3  # p-value below which the law does not fit
FLANK = 0.4  # share of rows between 0 and 100 % below which a warning is due


def show(name: str, value: float) -> str:
    return f"{name} = {format_value(value, unit_of_name(name))}"


def _span(times: Floats) -> str:
    low, high = format_si(float(times.min()), "s"), format_si(float(times.max()), "s")
    return f"all {low}" if low == high else f"{low} to {high}"


def _missing(names: tuple[str, ...], values: list[float], free: Indices, rows: Measurements) -> list[str]:
    """What is held, and what to measure to learn it."""
    heated, found = rows.heated, list[str]()
    if not heated.any():
        what = ", ".join(show(name, value) for name, value in zip(names[3:], values[3:], strict=True))
        cure = "measure S-curves at several delays after a conditioning pulse"
        found.append(f"No conditioning pulse heats the junction; {what} of the base card: {cure}.")
    for i in np.setdiff1d(np.arange(len(names)), free).tolist():
        if i < 2:
            lack = f"Saturated probabilities or a single voltage do not determine {names[i]}"
            cure = "several voltages at which 5 to 95 % of the pulses switch"
        elif i == 2:
            lost = "separate R_th from n_K (dV_c0/dtemp)" if heated.any() else "determine n_K (dV_c0/dtemp)"
            lack = f"This data cannot {lost}"
            cure = f"S-curves at two or more ambient temperatures, {APART:g} K apart or more"
            if np.ptp(rows["ambient"]) >= APART:
                cure = "more pulses at ambient temperatures further apart"
        elif heated.any():
            lack = f"The delays, {_span(rows['delay'][heated])}, cannot determine {names[i]}"
            cure = "more pulses at delays from a third of tau_th to three times tau_th, after more heat"
        else:
            continue
        found.append(f"{lack}; {show(names[i], values[i])} of the base card: measure {cure}.")
    return found


def _doubts(result: Fit, sd: Mapping[str, float]) -> list[str]:
    """What weakens the estimates, and what to measure."""
    rows, good, found = result.rows, result.goodness, list[str]()
    heated = rows["delay"][rows.heated]
    if np.ptp(rows["t_pulse"]) <= 1e-6 * rows["t_pulse"].max():
        width = format_si(rows["t_pulse"][0], "s")
        found.append(f"All pulses last {width}, the law of the width is untested: measure a second width.")
    flank = float(np.mean((rows["switches"] > 0) & (rows["switches"] < rows["trials"])))
    if flank < FLANK:
        found.append(f"Only {flank:.0%} of the rows lie between 0 and 100 %: measure voltages on the flank.")
    for name, each in result.estimates.items():
        if each.is_open:
            found.append(f"The data bound {name} on one side only, {each.interval}: measure more pulses.")
        if name.startswith("tau_th") and sd[name] > 0.1 and not heated.min() <= each.value <= heated.max():
            cure = "measure delays from a third of it to three times"
            found.append(f"The delays, {_span(heated)}, do not span {show(name, each.value)}: {cure}.")
    if good.p_value < POOR:
        wide = max(good.overdispersion, 1) ** 0.5
        found.append(
            f"The law does not fit (p = {good.p_value:.1g}): counts scatter {good.overdispersion:.3g} times as "
            f"much as binomial ones, intervals are too narrow, {wide:.3g} times or more: try other poles, or "
            f"another {'' if len(heated) else 'R_th, '}exponent or tau_0 in the base card."
        )
    return found


def _notes(law: Law, logs: Floats, free: Indices, covariance: Floats) -> tuple[str, ...]:
    """What the estimates are conditional on."""
    device, names = law.device, parameter_names(law.device)
    tau_0, here = device.tau_0, law.eta(logs)
    device.tau_0 = tau_0 * np.exp(1e-6)
    slopes = (law.eta(logs) - here) / 1e-6
    device.tau_0 = tau_0
    away = np.exp(logs[0, free] - np.log(10) * moves(law, logs, free, covariance, slopes)[:, 0])
    shown = [show(names[i], float(value)) for i, value in zip(free, away, strict=True) if i < 2]
    notes = [
        f"{show('tau_0', float(tau_0))} and exponent = {device.b} are those of the base card; a tenth of that "
        f"tau_0 would make {' and '.join(shown)}.",
        "delta and V_c0 of the other state keep the ratio to these that they have in the base card.",
    ]
    resting = "R_AP" if device.resting else "R_P"
    if not np.isfinite(law.rows[resting]).any():
        notes.append(f"{show(resting, float(getattr(device, resting)))} was not read; R_th is proportional to it.")
    return tuple(notes)


def load_junction(base: str | Path) -> MTJ:
    """The junction of a card that can be the base of a fit.

    Raises:
        IPNetError: no such card, or one of another device.
    """
    device = load_device(base)
    if not isinstance(device, MTJ):
        raise IPNetError(
            f"the base of a fit must be a card of device 'mtj'; '{device.card.name}' is of "
            f"'{device.card.device}': choose another card."
        )
    return device


@contextmanager
def _one_thread() -> Iterator[None]:
    """Passes are too short to share: on a busy machine, waiting for a second thread takes ten times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def fit(rows: Measurements, base: MTJ, poles: int | None = None) -> Fit:
    """The junction that makes a measurement most likely, as far as the measurement determines it.

    Parameters that the data leave unknown (standard deviation of the logarithm above `LOOSEST`) keep the value of
    the base card, n_K first, and a warning says what to measure. Rows whose counts are impossible under the law
    (Bonferroni's bound at `GROSS`) are left out and named, unless they are more than `MOST_GROSS` of all.

    Args:
        rows: the measurement.
        base: what gives everything else, among it the exponent, tau_0 and the clock; see `load_junction`.
        poles: number of thermal poles, 1 or 2; None for those of the base card.

    Raises:
        IPNetError: the rows determine nothing; the resistances that were read break a rule.

    Example:
        >>> from ipnet.simulated_measurement import plan, simulate
        >>> mtj = load_junction("mtj-thermal")
        >>> rows = simulate(mtj, plan(mtj, widths=[1e-7, 1e-6], ambients=[300, 340]), 2000, seed=1)
        >>> found = fit(rows, mtj).estimates["V_c0"]
        >>> found.low < 0.3189 < found.high
        True
    """
    file = prepare(base, rows, poles)
    device = copy.deepcopy(base) if file == card_file(base.card) else build_junction(file)
    known, heat = logarithms(device), range(3, 3 + 2 * device.poles)
    law = Law(device, rows, quadrature(4, 2))
    candidates = [0, 1, *[2] * bool(np.ptp(rows["ambient"]) >= APART), *(heat if rows.heated.any() else ())]
    logs, free, kept = solve(law, np.array(candidates), known)
    unknown = not set(heat) <= set(free.tolist())
    if unknown and device.poles > base.poles:
        simpler = fit(rows, base)
        lost = f"The data do not tell {device.poles} thermal poles apart, {base.poles} is fitted: add delays."
        return replace(simpler, warnings=(lost, *simpler.warnings))
    if not unknown:
        order = np.argsort(logs[0, 3 + device.poles :])
        logs[0, 3:] = logs[0, 3:].reshape(2, -1)[:, order].ravel()
    return _conclude(law, logs, free, kept, file, known)


def _conclude(
    whole: Law, logs: Floats, free: Indices, kept: NDArray[np.bool_], file: CardFile, known: Floats
) -> Fit:
    """Intervals, goodness, warnings and notes from the rows that were kept."""
    device, rows, names = whole.device, whole.rows, parameter_names(whole.device)
    law = Law(device, rows.take(kept), whole.rule)
    logs, look = climb(law, logs, free, np.ones(len(law.rows)))
    covariance, values, bases = invert(look.curvature[0]), np.exp(logs[0]).tolist(), np.exp(known).tolist()
    sd = np.sqrt(np.diag(covariance))
    ends = np.exp(intervals(law, logs, free, float(look.value[0])))
    held = [i for i in range(len(names)) if i not in free]
    moved = np.abs(moves(law, logs, free, covariance, law.jacobian(logs, np.array(held, int))[1][0]))
    estimates = dict[str, Estimate]()
    for at, (i, (low, high)) in enumerate(zip(free.tolist(), ends.tolist(), strict=True)):
        given = [show(names[j], values[j]) for j, move in zip(held, moved[at], strict=True) if move > sd[at]]
        text = f"for {', '.join(given)}" if given else ""
        estimates[names[i]] = Estimate(names[i], unit_of_name(names[i]), values[i], low, high, bases[i], text)
    eta, p, trials = law.eta(logs)[0], probability(whole.eta(logs)[0]), rows["trials"]
    gross = [
        Quarantined(
            int(rows.lines[i]),
            f"switches must be near {p[i] * trials[i]:.4g} of {trials[i]:g}, as the other rows say; got "
            f"{rows['switches'][i]:g}",
        )
        for i in np.flatnonzero(~kept)
    ]
    result = Fit(
        base=file,
        device=device,
        estimates=estimates,
        held=tuple(names[i] for i in held),
        correlation=covariance / np.outer(sd, sd),
        rows=law.rows,
        rejected=rows.take(~kept),
        quarantined=tuple(sorted([*rows.quarantined, *gross], key=lambda row: row.line)),
        p=p[kept],
        residuals=np.sign(law.k - law.n * p[kept]) * np.sqrt(law.terms(eta)[0]),
        goodness=goodness_of(law, eta, len(free)),
        warnings=(),
        notes=_notes(law, logs, free, covariance),
    )
    install(device, logs[0])
    doubts = _doubts(result, dict(zip(estimates, sd.tolist(), strict=True)))
    return replace(result, warnings=(*_missing(names, values, free, law.rows), *doubts))
