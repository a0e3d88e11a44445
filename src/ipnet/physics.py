"""Device physics as pure functions of tensors, in SI units; arguments broadcast against each other.

Every law is written once here; devices combine them. Sources: Neel-Brown switching as in Taniguchi & Imamura,
arXiv:1010.5845; single-pole Joule heating in the form of the SWrite compact model (JaredArz/Stochastic_MTJ_Model,
joule_heating.f90, device of Rehm et al. 2023); bias-dependent TMR as in the SPICE model of Kim
et al. (CRTejaswi/mtj, models/kim2015).
"""

import torch
from torch import Tensor


def tmr_at_bias(tmr_0: Tensor, V: Tensor, V_h: Tensor) -> Tensor:
    """Tunnelling magnetoresistance ratio under bias: TMR(V) = TMR_0 / (1 + (V / V_h)^2).

    Args:
        tmr_0: ratio (R_AP - R_P) / R_P at zero bias [1].
        V: voltage [V].
        V_h: voltage at which the ratio has halved [V].

    Returns:
        The ratio at `V` [1].

    References:
        SPICE MTJ model of Kim et al. (CRTejaswi/mtj, models/kim2015), V_h = 0.48 V.

    Example:
        >>> tmr_at_bias(torch.tensor(1.5), torch.tensor(0.5), torch.tensor(0.5)).item()
        0.75
    """
    return tmr_0 / (1 + (V / V_h) ** 2)


def barrier(delta: Tensor, softening: Tensor, temp_0: Tensor, rise: Tensor) -> Tensor:
    """Thermal stability of a warm junction: delta(rise) = delta (1 - softening rise) temp_0 / (temp_0 + rise).

    The energy barrier falls by the fraction `softening` per kelvin, and is measured in units of k_B temp.

    Args:
        delta: thermal stability E_b / (k_B temp_0) at ambient temperature [1].
        softening: fractional fall of the energy barrier [1/K].
        temp_0: ambient temperature [K].
        rise: temperature rise above ambient [K]; valid while softening * rise < 1.

    Returns:
        Thermal stability at temp_0 + rise [1].

    Example:
        >>> barrier(*map(torch.tensor, (45.0, 0.0, 300.0, 300.0))).item()
        22.5
    """
    return delta * (1 - softening * rise) * temp_0 / (temp_0 + rise)


def critical_voltage(V_c0: Tensor, softening: Tensor, rise: Tensor) -> Tensor:
    """Intrinsic critical voltage of a warm junction: V_c0(rise) = V_c0 (1 - softening rise).

    Args:
        V_c0: intrinsic critical voltage at ambient temperature [V].
        softening: fractional fall per kelvin [1/K].
        rise: temperature rise above ambient [K].

    Returns:
        Critical voltage at temp_0 + rise [V].

    Example:
        >>> critical_voltage(*map(torch.tensor, (0.5, 1e-3, 500.0))).item()
        0.25
    """
    return V_c0 * (1 - softening * rise)


def log_hazard(V: Tensor, t_pulse: Tensor, tau_0: Tensor, delta: Tensor, V_c0: Tensor, exponent: int) -> Tensor:
    """Logarithm of the expected number of switching attempts that succeed in a pulse.

    eta = ln(t_pulse / tau_0) - delta (1 - V / V_c0)^b, with the barrier gone (zero) above V_c0.
    The switching probability is P = 1 - exp(-exp(eta)), see `ipnet.surrogate.cloglog`.

    Args:
        V: pulse voltage [V], any shape.
        t_pulse: pulse width [s].
        tau_0: attempt time [s].
        delta: thermal stability at the temperature of the junction [1].
        V_c0: intrinsic critical voltage at that temperature [V].
        exponent: b, 1 or 2.

    Returns:
        eta [1], the shape of `V`.

    Valid for:
        thermally activated switching, taken here as t_pulse >= 10 tau_0: simulations find it above 10 ns
        (arXiv:2505.00418); measurements of Zhao et al., IEEE Magn. Lett. 2012, find it above 1 us only.

    References:
        Taniguchi & Imamura, arXiv:1010.5845.
    """
    distance = (1 - V / V_c0).clamp(min=0)
    return torch.log(t_pulse / tau_0) - delta * (distance if exponent == 1 else distance**exponent)


def relax(rise: Tensor, steady: Tensor, duration: Tensor, tau_th: Tensor) -> Tensor:
    """One thermal pole over an interval of constant power, solved exactly.

    C_th d(rise)/dt = P - rise / R_th  =>  rise(t) = rise e^{-t/tau_th} + R_th P (1 - e^{-t/tau_th}).

    Args:
        rise: temperature rise at the start [K].
        steady: R_th P, the rise that this power would reach [K].
        duration: length of the interval [s].
        tau_th: thermal time constant R_th C_th [s].

    Returns:
        Temperature rise at the end [K].

    References:
        Same form as SWrite's joule_heating.f90.

    Example:
        >>> relax(*map(torch.tensor, (10.0, 0.0, 0.0, 1e-6))).item()
        10.0
    """
    return rise * torch.exp(-duration / tau_th) - steady * torch.expm1(-duration / tau_th)
