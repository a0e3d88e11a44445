"""Where the compact model of a junction is valid, and how finely it must look into a pulse."""

from typing import TYPE_CHECKING

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from ipnet.errors import IPNetError
from ipnet.physics import FINE, Quadrature, quadrature, require_activated
from ipnet.surrogate import cloglog
from ipnet.units import format_si

if TYPE_CHECKING:
    from ipnet.device.mtj import MTJ

SWITCHING_ERROR = 1e-4
WRONG = 1e-3  # how often a reset may fail and a read may disturb
_NODES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 64)
_RULES = [quadrature(nodes, power) for nodes in _NODES for power in (1, 2, 3, 4, 5)]
_EXACT = quadrature(128, 3)


def check_range(device: "MTJ") -> None:
    """Refuse a junction or a clock that leaves the range in which the laws hold; see `ipnet.device.mtj.MTJ`.

    Raises:
        IPNetError: names the quantity, its value and the cure.
    """
    who, clock = f"card '{device.card.name}'", device.card.clock
    key = "t_probe" if device.probes else "t_pulse"
    for pulse in (key, "t_reset"):
        require_activated(getattr(clock, pulse), float(device.tau_0.max()), f"{who}: {pulse}")
    if bool((device.R_AP <= device.R_P).any()):
        raise IPNetError(f"{who}: R_AP must exceed R_P (TMR > 0); some do not: correlate R_P and R_AP.")
    hottest = device.hottest
    temp = device.temp_0 + hottest
    where = f"at V_max = {format_si(clock.V_max, 'V')} (a rise of {hottest.max().item():.3g} K)"
    for key in ("temp_C", "temp_P"):
        limit = getattr(device, key)
        if bool((temp >= limit).any()):
            raise IPNetError(
                f"{who}: the temperature must stay below {key} = {limit.min().item():.4g} K; got "
                f"{temp.max().item():.4g} K {where}: lower V_max or R_th."
            )
    if not bool((device.stability(hottest, antiparallel=False)[0] > 0).all()):
        raise IPNetError(f"{who}: K_eff must stay positive; the barrier vanishes {where}: lower V_max or R_th.")
    slowest = max(range(device.poles), key=lambda i: float(device.tau_th[i].max()))
    cold = (0 * hottest,) * device.poles
    hot = (*cold[:slowest], hottest, *cold[slowest + 1 :])
    reset = _p_switch(device, device.V_reset, device.t_reset, cold, antiparallel=not device.resting)
    _require(who, "V_reset", "switch a cold junction back", float((1 - reset).mean()), "raise")
    for antiparallel in (False, True):
        read = _p_switch(device, device.V_read, device.t_read, hot, antiparallel=antiparallel)
        _require(who, "V_read", "leave a hot junction as it is", float(read.mean()), "lower")


def _p_switch(
    device: "MTJ",
    V: Tensor,
    width: Tensor,
    state: tuple[Tensor, ...],
    *,
    antiparallel: bool,
    rule: Quadrature = FINE,
) -> Tensor:
    nodes = rule.at_once(max(part.ndim for part in (V, *state)))
    return cloglog(device.log_hazard(V, width, state, antiparallel=antiparallel, rule=nodes).logsumexp(0))


def _require(who: str, key: str, rule: str, wrong: float, cure: str) -> None:
    if wrong > WRONG:
        raise IPNetError(
            f"{who}: {key} must {rule} in {1 - WRONG:.1%} of the cycles; it fails in {wrong:.2g} of them: "
            f"{cure} {key} or its width."
        )


def choose_rule(device: "MTJ") -> tuple[Quadrature, float]:
    """The smallest quadrature that is good enough for the pulse that switches, and its error in P.

    A single node stands in the middle of the pulse or, if that is not good enough, where its error has a minimum.
    The error is the largest difference to 128 nodes for voltages up to V_max and for junctions that are cold, half
    as hot and as hot as V_max makes them, with all their poles or with the first or the others alone.
    """
    power = device.power(device.V_max, antiparallel=False).max()
    steady = device.R_th.reshape(device.poles, -1).amax(1) * power
    shares = torch.tensor([[0.0, 0.5, 1.0, 1.0, 0.0], [0.0, 0.5, 1.0, 0.0, 1.0]], dtype=torch.float64)
    state = tuple(shares[min(i, 1)][:, None] * rise for i, rise in enumerate(steady))
    width, V = device.t_pulse, torch.linspace(0, float(device.V_max), 41, dtype=torch.float64)
    if device.probes:
        width, V = device.t_probe, device.V_probe.reshape(1)
    with torch.no_grad():
        exact = _p_switch(device, V, width, state, antiparallel=device.resting, rule=_EXACT)

        def error_of(rule: Quadrature) -> float:
            p = _p_switch(device, V, width, state, antiparallel=device.resting, rule=rule)
            return float((p - exact).abs().max())

        rule = _single(0.5)
        error = error_of(rule)
        if error > SWITCHING_ERROR:
            best = minimize_scalar(lambda t: error_of(_single(t)), bounds=(0.1, 0.9), options={"xatol": 1e-4})
            for rule in (_single(round(float(best.x), 3)), *_RULES):
                error = error_of(rule)
                if error <= SWITCHING_ERROR:
                    break
    return rule, error


def _single(time: float) -> Quadrature:
    return Quadrature((time,), (1.0,))
