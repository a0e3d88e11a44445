"""The cards of a fit: the base card with what was read, and with what was fitted."""

from typing import Any

import numpy as np

from ipnet.cards import Card, CardFile, Entry, make_card, unit_of
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.fit_result import Fit
from ipnet.measurement import READS, Measurements
from ipnet.units import format_si, to_si


def build_junction(file: CardFile) -> MTJ:
    """The junction of a card that may not have been written yet."""
    return MTJ(make_card(file, MTJ.Parameters, MTJ.Clock))  # type: ignore[arg-type]


def card_file(card: Card[Any, Any]) -> CardFile:
    """A card as it would be written."""
    tables: dict[str, dict[str, Any]] = {"parameters": {}, "clock": {}, "variation": {}, "correlation": {}}
    clock = card.clock.model_dump(exclude_defaults=True)
    tables["clock"] = {key: value for key, value in clock.items() if isinstance(value, str)}
    for name, entry in card.entries.items():
        table, _, key = name.partition(".")
        tables[table][key] = entry
    about = {"name": card.name, "device": card.device, "title": card.title, "description": card.description}
    return CardFile.model_validate(about | tables)


def _name(rows: Measurements) -> str:
    return f"{rows.name} (sha256 {rows.digest}, {len(rows)} rows, {int(rows['trials'].sum())} trials)"


def _entry(old: Entry, unit: str, value: Any, interval: tuple[float, float] = (0, 0), **origin: Any) -> Entry:
    """A value in SI as an entry in the unit of another, to 6 digits; the interval as its range if bounded."""
    factor = to_si(1.0, old.unit, unit)
    parts = tuple(float(f"{part / factor:.6g}") for part in np.atleast_1d(value))
    low, high = (float(f"{part / factor:.6g}") for part in interval)
    bounds = (low, high) if 0 < low < high < np.inf else None
    return Entry(value=parts if np.ndim(value) else parts[0], unit=old.unit, range=bounds, **origin)


def prepare(base: MTJ, rows: Measurements, poles: int | None) -> CardFile:
    """The base card with the resistances that were read and the thermal poles that are wanted.

    R_th is scaled with the resistance of the resting state, so that a pulse heats as it does in the base card; if
    only R_P was read, the TMR is kept.
    """
    file, known = card_file(base.card), base.card.parameters
    entries, found = dict(file.parameters), dict[str, float]()
    for key in READS:
        reads = rows[key][np.isfinite(rows[key])]
        if len(reads):
            mean, ends, text = float(reads.mean()), (0.0, 0.0), f"one read, in {_name(rows)}"
            if len(reads) > 1:
                error = float(reads.std(ddof=1) / len(reads) ** 0.5)
                ends = (mean - 1.96 * error, mean + 1.96 * error)
                text = f"mean of {len(reads)} reads, standard error {format_si(error, 'ohm')}, in {_name(rows)}"
            found[key], entries[key] = mean, _entry(entries[key], "ohm", mean, ends, source=text)
    if "R_P" in found and "R_AP" not in found:
        found["R_AP"] = known.R_AP * found["R_P"] / known.R_P
        entries["R_AP"] = _entry(entries["R_AP"], "ohm", found["R_AP"], assumed=f"the TMR of card '{file.name}'")
    resting = "R_AP" if base.resting else "R_P"
    scale = found.get(resting, getattr(known, resting)) / getattr(known, resting)
    R_th, tau_th = np.array(known.R_th) * scale, np.array(known.tau_th)
    if poles == 1 < len(R_th):
        R_th, tau_th = R_th.sum(keepdims=True), np.exp(np.log(tau_th).mean(keepdims=True))
    elif poles == 2 and len(R_th) == 1:
        R_th, tau_th = R_th[[0, 0]] / 2, tau_th[[0, 0]] * [0.1, 1.0]
    if poles not in (None, len(R_th)):
        raise IPNetError(f"poles must be 1 or 2, or as many as card '{file.name}' has; got {poles}: leave it out.")
    text = f"card '{file.name}', for the same heat with the resistance and the number of poles of the measurement"
    for key, values in (("R_th", R_th), ("tau_th", tau_th)):
        if values.tolist() != list(getattr(known, key)):
            entries[key] = _entry(entries[key], unit_of(MTJ.Parameters, key), values, assumed=text)
    return file.model_copy(update={"parameters": entries})


def fitted_card(result: Fit, name: str) -> CardFile:
    """The base card with the fitted values, each with the measurement as its source and its interval as range.

    Write it with `ipnet.cards.format_card`.

    Args:
        result: of `fit`.
        name: of the card.

    Raises:
        IPNetError: the fitted junction breaks a rule of the base card's clock.
    """
    file, device, entries = result.base, result.device, dict(result.base.parameters)
    source = f"fitted to {_name(result.rows)}"
    for key in ("delta", "V_c0", "n_K", "R_th", "tau_th"):
        state = "_AP" if device.resting and key in ("delta", "V_c0") else ""
        own, found = f"{key}{state}", [each for part, each in result.estimates.items() if part.startswith(key)]
        if not found:
            continue
        value, unit = getattr(device, own).numpy(), unit_of(MTJ.Parameters, own)
        texts = [found[0].interval] if value.size == 1 else [f"{each.name}: {each.interval}" for each in found]
        ends = (found[0].low, found[0].high) if value.size == 1 else (0.0, 0.0)
        entries[own] = _entry(entries[own], unit, value, ends, source=f"{source}, {'; '.join(texts)}")
        if key in ("delta", "V_c0"):
            other = key if state else f"{key}_AP"
            text = f"in the ratio to {own} that it has in card '{file.name}'"
            entries[other] = _entry(entries[other], unit, getattr(device, other).numpy(), assumed=text)
    good = result.goodness
    about = [
        f"Fitted to {_name(result.rows)}; {len(result.quarantined)} rows were left out.",
        f"Deviance {good.deviance:.4g} with {good.dof} degrees of freedom, p = {good.p_value:.2g}.",
    ]
    card = file.model_copy(
        update={
            "name": name,
            "title": f"Junction fitted to {result.rows.name}, otherwise {file.name}",
            "description": "\n".join([*about, *result.warnings, *result.notes, ""]),
            "parameters": entries,
        }
    )
    try:
        build_junction(card)
    except IPNetError as error:
        raise IPNetError(
            f"the fitted junction must obey the clock of card '{file.name}' ({str(error).rstrip('.')}): write a "
            "copy of that card with another clock and fit with that as base."
        ) from error
    return card
