"""Does the compact switching law hold? A macrospin with the same heat answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipnet.device import Device, State
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.macrospin import Macrospin
from ipnet.physics import K_B, tmr_of
from ipnet.units import format_si

Match = Literal["S-curve", "parameters"]
TOLERANCE = 0.05
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Validation:
    """Switching probabilities of the compact law and of the macrospin, over starting rise and voltage.

    Args:
        card: name of the card.
        match: what the macrospin has in common with the card, see `validate`.
        left: the state that is left, "P" or "AP".
        t_pulse: width of the pulse [s].
        trajectories: macrospins per condition.
        voltages: [n] [V].
        rises: at the start, in the slowest thermal pole [k] [K].
        compact: probabilities of the compact law [k, n].
        macrospin: fractions of switched macrospins [k, n].
        error: binomial standard errors of those [k, n].
        delta: thermal stability of card and macrospin [1].
        V_c0: critical voltage of card and macrospin [V].
        tau_0: attempt time of card and macrospin (Brown) [s].
        volume_share: what turns over at once in the macrospin, relative to the free layer [1].
        efficiency: its torque relative to Slonczewski's [1].
    """

    card: str
    match: Match
    left: str
    t_pulse: float
    trajectories: int
    voltages: Floats
    rises: Floats
    compact: Floats
    macrospin: Floats
    error: Floats
    delta: tuple[float, float]
    V_c0: tuple[float, float]
    tau_0: tuple[float, float]
    volume_share: float
    efficiency: float

    @property
    def holds(self) -> NDArray[np.bool_]:
        """Where both agree: within 0.05 in P plus three standard errors [k, n]."""
        return np.asarray(np.abs(self.compact - self.macrospin) <= TOLERANCE + 3 * self.error)

    @property
    def shift(self) -> Floats:
        """By how much ln of the macrospin's hazard is larger: the mean where both P are in 2..98 % [k], or nan.

        The same shift at every starting temperature means that the law has the heat right and tau_0 wrong, by the
        factor e^-shift.
        """
        low, high = np.minimum(self.compact, self.macrospin), np.maximum(self.compact, self.macrospin)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log(np.log1p(-self.macrospin) / np.log1p(-self.compact))
        seen = (low > 0.02) & (high < 0.98)
        return np.array([row[use].mean() if use.any() else np.nan for row, use in zip(ratio, seen, strict=True)])

    @property
    def verdict(self) -> str:
        """One sentence: where the compact law holds."""
        what = f"the compact law of '{self.card}' ({1e9 * self.t_pulse:.4g} ns, from {self.left})"
        within = f"within {TOLERANCE} in P plus 3 standard errors ({3 * self.error.max():.2f} at most)"
        if self.holds.all():
            return f"{what} holds at every voltage and starting temperature that was tried, {within}."
        rows = [f"{rise:.0f} K" for rise, row in zip(self.rises, self.holds, strict=True) if row.all()]
        where = (
            f"at all voltages for a starting rise of {', '.join(rows)}" if rows else "at all voltages for no rise"
        )
        return f"{what} holds in {self.holds.sum()} of {self.holds.size} conditions, {within}; {where}."


def macrospin_of(device: MTJ, hottest: float) -> Macrospin:
    """The macrospin with the barrier and the critical voltage of a card at temp_0, and with its heat and laws.

    Its volume is delta k_B temp_0 / K_eff(temp_0), what must turn over at once to have the card's barrier; its
    torque is scaled so that V_c0 is the card's.

    Args:
        device: of the card; the state that is left is the resting one.
        hottest: largest rise that its tables must reach [K].

    Raises:
        IPNetError: the laws end before that rise.
    """
    p = device.card.parameters
    rise = torch.linspace(0, hottest, 256, dtype=torch.float64)
    m, kappa, P = device.free_layer(rise)
    valid = int(((m > 0) & (kappa > 0) & (P > 0)).long().cumprod(0).sum())  # NaN compares as False
    rise, m, kappa, P = rise[:valid], m[:valid], kappa[:valid], P[:valid]
    delta, V_c0 = (p.delta_AP, p.V_c0_AP) if device.resting else (p.delta, p.V_c0)
    spin = Macrospin(
        temps=p.temp_0 + rise.numpy(),
        Ms=p.Ms * m.numpy(),
        K_eff=p.K_eff * kappa.numpy(),
        polarisation=P.numpy(),
        tmr=tmr_of(P).numpy(),
        volume=delta * K_B * p.temp_0 / p.K_eff,
        alpha=p.alpha,
        R_P=p.R_P,
        V_h=p.V_h,
        temp_0=p.temp_0,
        R_th=p.R_th,
        tau_th=p.tau_th,
    )
    return replace(spin, efficiency=spin.V_c0 / V_c0)


def validate(
    device: Device,
    *,
    match: Match = "S-curve",
    voltages: Sequence[float] | None = None,
    rises: Sequence[float] | None = None,
    trajectories: int = 2000,
    seed: int = 0,
) -> Validation:
    """Compare compact law and macrospin over voltage and starting temperature, for the pulse that switches.

    Both heat while the pulse lasts. The macrospin runs without precession, which is exact for m_z in an axially
    symmetric junction (see `Macrospin.run`), from thermal equilibrium at the starting temperature.

    Args:
        device: an MTJ.
        match: what the macrospin has in common with the card. ``"S-curve"``: the switching probability of the cold
            junction, its middle and its steepness, so that what is tested is how the law carries it to other
            temperatures. ``"parameters"``: delta and V_c0, so that tau_0 and exponent are tested, too.
        voltages: [V]; None for 7 between 5 % of the hottest and 95 % of the coldest junction.
        rises: at the start [K]; None for 0, 1/4 and 1/2 of the hottest valid rise.
        trajectories: macrospins per condition, at least 50; 2000 have a standard error of 0.011 at P = 1/2.
        seed: of their noise.

    Raises:
        IPNetError: not an MTJ, an unknown match, too few trajectories, or a condition outside the
            card's valid range.
    """
    if not isinstance(device, MTJ):
        kind = type(device).__name__
        raise IPNetError(
            f"only a single MTJ has a macrospin to compare with; got card '{device.card.name}' as {kind}: take a "
            "card of device 'mtj', without variation."
        )
    if match not in get_args(Match):
        raise IPNetError(f"match must be one of {', '.join(get_args(Match))}; got '{match}'.")
    if trajectories < 50:
        raise IPNetError(f"trajectories must be at least 50, or nothing can be told; got {trajectories}.")
    for name, values in (("voltages", voltages), ("rises", rises)):
        if values is not None and not len(values):
            raise IPNetError(f"{name} must have at least one value; got none: leave it out for the usual ones.")
    pulse = _Pulse(device)
    top = float(device.hottest)
    warm = np.array([0.0, top / 4, top / 2] if rises is None else rises, np.float64)
    low, high = pulse.voltage(0.05, float(warm.max())), pulse.voltage(0.95, float(warm.min()))
    volts = np.linspace(low, high, 7) if voltages is None else np.array(voltages, np.float64)
    V, rise = np.meshgrid(volts, warm)
    compact = pulse.compact(V, rise)
    spin = macrospin_of(device, 1.5 * top)
    if match == "S-curve":
        spin = _matched(pulse, spin, max(trajectories // 2, 100), seed)
    fractions = spin.switching_probability(
        pulse.sign * V.ravel(),
        pulse.width,
        rises=pulse.state(rise),
        trajectories=trajectories,
        seed=seed,
        **pulse.options,
    )
    p = device.card.parameters
    return Validation(
        card=device.card.name,
        match=match,
        left="AP" if device.resting else "P",
        t_pulse=pulse.width,
        trajectories=trajectories,
        voltages=volts,
        rises=warm,
        compact=compact,
        macrospin=fractions.p.reshape(V.shape),
        error=fractions.error.reshape(V.shape),
        delta=(p.delta_AP if device.resting else p.delta, spin.delta),
        V_c0=(p.V_c0_AP if device.resting else p.V_c0, spin.V_c0),
        tau_0=(p.tau_0, spin.tau_0),
        volume_share=spin.volume / (math.pi / 4 * p.diameter**2 * p.t_free),
        efficiency=spin.efficiency,
    )


class _Pulse:
    """The pulse of a device that switches it."""

    def __init__(self, device: MTJ) -> None:
        self.device = device
        self.t_pulse = device.t_probe if device.probes else device.t_pulse
        self.width = float(self.t_pulse)
        self.sign = -1.0 if device.resting else 1.0
        self.options: dict[str, Any] = {"start": "AP" if device.resting else "P", "precession": False}
        self.slowest = int(np.argmax(device.card.parameters.tau_th))

    def state(self, rise: Floats) -> Floats:
        """Rise of each pole, all of it in the slowest [n, poles]."""
        poles = np.zeros((rise.size, self.device.poles))
        poles[:, self.slowest] = rise.ravel()
        return poles

    def compact(self, V: Floats, rise: Floats) -> Floats:
        """Switching probabilities of the compact law, shape of both."""
        V, rise = np.broadcast_arrays(V, rise)
        state: State = tuple(torch.from_numpy(part.copy()).view(V.shape) for part in self.state(rise).T)
        p: Tensor = self.device.p_switch(torch.from_numpy(V.copy()), self.t_pulse, state)
        return np.asarray(p.numpy())

    def voltage(self, p: float, rise: float) -> float:
        """The voltage with this switching probability, in [0, V_max], to a thousandth."""
        grid = np.linspace(0, float(self.device.V_max), 1001)
        return float(grid[min(int(np.searchsorted(self.compact(grid, np.array(rise)), p)), 1000)])

    def simulated(self, spin: Macrospin, V: Floats, trajectories: int, seed: int) -> Floats:
        """Fractions of cold macrospins that switch, kept off 0 and 1."""
        options = self.options | {"trajectories": trajectories, "seed": seed}
        p = spin.switching_probability(self.sign * V, self.width, **options).p
        return np.clip(p, 0.5 / trajectories, 1 - 0.5 / trajectories)


def _curve(V: Floats, p: Floats) -> tuple[float, float]:
    """Middle, ln V at P = 1/2, and steepness, d(eta)/d(ln V), of a straight eta = ln(-ln(1 - P))."""
    seen = (p > 0.02) & (p < 0.98)
    if seen.sum() < 2:  # a step between two voltages
        seen = np.arange(len(V)) // 2 == np.searchsorted(p, 0.5) // 2
    eta, x = np.log(-np.log1p(-p[seen])), np.log(V[seen])
    slope, start = np.polyfit(x, eta, 1, w=np.sqrt(p[seen] * (1 - p[seen])))
    return float((math.log(math.log(2)) - start) / slope), float(slope)


def _matched(pulse: _Pulse, spin: Macrospin, trajectories: int, seed: int) -> Macrospin:
    """The macrospin with the cold S-curve of the card: volume for its steepness, efficiency for its middle.

    For a macrospin eta = c - delta (1 - v)^2 with c = ln(t_pulse / tau_0), so that the steepness at P = 1/2 is
    about 2 c (sqrt(delta/c) - 1): the first guess and the direction of each correction.

    Raises:
        IPNetError: no macrospin of this free layer has so steep a curve.
    """
    wanted = np.linspace(pulse.voltage(0.1, 0.0), pulse.voltage(0.9, 0.0), 9)
    middle, steepness = _curve(wanted, pulse.compact(wanted, np.zeros(9)))
    c = math.log(max(pulse.width / spin.tau_0, 3.0))
    delta = c * (steepness / (2 * c) + 1) ** 2
    for _ in range(10):
        spin, found = _centred(pulse, spin, delta, middle, trajectories, seed)
        if abs(math.log(found / steepness)) < 0.04:
            return spin
        change = ((steepness / (2 * c) + 1) / (found / (2 * c) + 1)) ** 2
        delta *= min(max(change, 1 / 3), 3.0)
    raise IPNetError(
        f"no macrospin of this free layer switches as steeply in {format_si(pulse.width, 's')} as the card; got "
        f"{found:.3g} for d(eta)/d(ln V) instead of {steepness:.3g}: lengthen the pulse, or match = 'parameters'."
    )


def _centred(
    pulse: _Pulse, spin: Macrospin, delta: float, middle: float, trajectories: int, seed: int
) -> tuple[Macrospin, float]:
    """The macrospin of this barrier whose cold S-curve has its middle at ln V = middle, and its steepness."""
    top = float(pulse.device.V_max)
    spin = replace(spin, volume=spin.volume * delta / spin.delta)
    spin = replace(spin, efficiency=spin.efficiency * spin.V_c0 / math.exp(middle))
    V, count = np.geomspace(min(math.exp(middle) / 4, top / 2), min(math.exp(middle) * 6, top), 41), 100
    for _ in range(3):
        found, steepness = _curve(V, pulse.simulated(spin, V, count, seed))
        spin = replace(spin, efficiency=spin.efficiency * math.exp(found - middle))
        V, count = math.exp(middle) * np.exp(np.linspace(-1.5, 1.5, 9) / steepness), trajectories
    return spin, steepness
