"""Device physics as pure functions of tensors, in SI units; arguments broadcast against each other.

Every law is written once here; devices combine them. Sources: Neel-Brown switching as in Taniguchi & Imamura,
arXiv:1010.5845; Joule heating, magnetisation and anisotropy in the form of the SWrite compact model
(JaredArz/Stochastic_MTJ_Model, joule_heating.f90, device of Rehm et al. 2023); polarisation and bias-dependent TMR
as in the SPICE model of Kim et al. (CRTejaswi/mtj, models/kim2015).
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ellipe, ellipk
from torch import Tensor

from ipnet.errors import IPNetError
from ipnet.units import format_si

K_B = 1.380649e-23  # Boltzmann constant [J/K], exact (SI 2019)
MU_0 = 1.25663706127e-6  # vacuum permeability [T m/A] (CODATA 2022)


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


def magnetisation(temp: Tensor, temp_0: Tensor, temp_C: Tensor, q: Tensor, beta: Tensor, weight: Tensor) -> Tensor:
    """Saturation magnetisation relative to its value at temp_0.

    m(temp) = 1 + weight (f(temp) / f(temp_0) - 1),  f(temp) = (1 - (temp / temp_C)^q)^beta.

    Args:
        temp: temperature [K], below `temp_C`.
        temp_0: temperature at which m = 1 [K].
        temp_C: Curie temperature [K].
        q: exponent of the reduced temperature [1].
        beta: exponent of the whole [1].
        weight: 1 if Ms follows f; otherwise M* f(temp_0) / Ms, for a law M* f + constant fitted at temp_0 [1].

    Returns:
        m [1].

    References:
        Kim et al. (models/kim2015): temp_C = 1420 K, q = 1, beta = 0.4, weight = 1. SWrite: temp_C = 1453 K,
        q = 1.0583, beta = 1, and a constant that anchors the measured value at 295 K.

    Example:
        >>> m = magnetisation(*map(torch.tensor, (350.0, 300.0, 1400.0, 1.0, 1.0, 1.0)))
        >>> round(m.item(), 4)  # 1050 / 1100
        0.9545
    """
    f, f_0 = (1 - (temp / temp_C) ** q) ** beta, (1 - (temp_0 / temp_C) ** q) ** beta
    return 1 + weight * (f / f_0 - 1)


def anisotropy(m: Tensor, n_K: Tensor, weight: Tensor) -> Tensor:
    """Interface anisotropy relative to its value at temp_0: k = 1 + weight (m^n_K - 1).

    Args:
        m: relative magnetisation, see `magnetisation` [1].
        n_K: exponent; 3 for single ions, about 2 measured at CoFeB/MgO interfaces [1].
        weight: 1 if K_i follows m^n_K; below 1 if a constant part was fitted at temp_0 [1].

    Returns:
        k [1].

    References:
        Callen & Callen, J. Phys. Chem. Solids 27, 1271 (1966); SWrite: n_K = 1.804 and a constant part.

    Example:
        >>> anisotropy(*map(torch.tensor, (0.5, 2.0, 1.0))).item()
        0.25
    """
    return 1 + weight * (m**n_K - 1)


def demagnetisation(diameter: float, thickness: float) -> float:
    """Demagnetising factor across a cylinder less that along it, N = N_z - N_x, for uniform magnetisation.

    N_z = 1 - 4/(3 pi p) (sqrt(1 + p^2) (p^2 K(k) + (1 - p^2) E(k)) - 1),  p = thickness / diameter,
    k^2 = 1/(1 + p^2), with the complete elliptic integrals K and E; N_x = (1 - N_z) / 2.

    Args:
        diameter: of the free layer [m].
        thickness: of the free layer [m].

    Returns:
        N [1], from -1/2 (needle) to 1 (film).

    References:
        Joseph, J. Appl. Phys. 37, 4639 (1966), the magnetometric factor.

    Example:
        >>> round(demagnetisation(50e-9, 1.1e-9), 3)
        0.901
    """
    p = thickness / diameter
    m = 1 / (1 + p**2)
    bracket = math.sqrt(1 + p**2) * (p**2 * ellipk(m) + (1 - p**2) * ellipe(m)) - 1
    N_z = 1 - 4 / (3 * math.pi * p) * float(bracket)
    return (3 * N_z - 1) / 2


def polarisation(temp: Tensor, temp_0: Tensor, temp_P: Tensor, P_0: Tensor) -> Tensor:
    """Spin polarisation of the tunnel current: P(temp) = P_0 (1 - (temp/temp_P)^1.5) / (1 - (temp_0/temp_P)^1.5).

    Args:
        temp: temperature [K], below `temp_P`.
        temp_0: temperature at which P = P_0 [K].
        temp_P: where Bloch's law would reach zero [K]; a law 1 - a temp^1.5 has temp_P = a^(-2/3).
        P_0: polarisation at `temp_0` [1].

    Returns:
        P [1].

    References:
        Kim et al. (models/kim2015): a = 2e-5 K^-1.5, so temp_P = 1357 K.

    Example:
        >>> polarisation(*map(torch.tensor, (300.0, 300.0, 1357.0, 0.6))).item() == torch.tensor(0.6).item()
        True
    """
    reduced = temp / temp_P
    return P_0 * ((1 - reduced * torch.sqrt(reduced)) / (1 - (temp_0 / temp_P) ** 1.5))


def tmr_of(P: Tensor) -> Tensor:
    """Tunnelling magnetoresistance ratio of two electrodes of polarisation P: TMR = 2 P^2 / (1 - P^2).

    References:
        Julliere, Phys. Lett. A 54, 225 (1975).

    Example:
        >>> tmr_of(torch.tensor(0.5)).item()
        0.6666666865348816
    """
    return 2 * P**2 / (1 - P**2)


def polarisation_of(tmr: float) -> float:
    """The polarisation that gives this ratio, the inverse of `tmr_of`: P = sqrt(TMR / (2 + TMR)).

    Example:
        >>> round(polarisation_of(1.24), 3)
        0.619
    """
    return math.sqrt(tmr / (2 + tmr))


def barrier(delta: Tensor, kappa: Tensor, temp_0: Tensor, temp: Tensor) -> Tensor:
    """Thermal stability of a warm junction: delta(temp) = delta kappa temp_0 / temp.

    Args:
        delta: thermal stability E_b / (k_B temp_0) at ambient temperature [1].
        kappa: energy barrier relative to that at temp_0, K_eff(temp) / K_eff(temp_0) [1].
        temp_0: ambient temperature [K].
        temp: temperature of the junction [K].

    Returns:
        Thermal stability at `temp` [1].

    Example:
        >>> barrier(*map(torch.tensor, (45.0, 1.0, 300.0, 600.0))).item()
        22.5
    """
    return delta * kappa * temp_0 / temp


def torque(P: Tensor) -> Tensor:
    """Spin-transfer torque per voltage across a tunnel barrier, in units of hbar G_P / (2 e): P / (1 + P^2).

    The critical voltage of a macrospin is V_c0 = (4 e / hbar) alpha E_b R_P / torque(P), so that
    V_c0(temp) = V_c0 kappa torque(P_0) / torque(P).

    References:
        Slonczewski, Phys. Rev. B 71, 024411 (2005): symmetric electrodes, G = G_0 (1 + P^2 cos(theta)).

    Example:
        >>> torque(torch.tensor(1.0)).item()
        0.5
    """
    return P / (1 + P**2)


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
        (arXiv:2505.00418); measurements of Zhao et al., IEEE Magn. Lett. 2012, find it above 1 us only. tau_0 is
        a constant; the rate of a macrospin (b = 2) has the factor (1 - v^2) (1 - v), v = V/V_c0, which tau_0 must
        contain at the operating voltage. At V_c0 and above, where it is t_pulse / tau_0, it is an estimate.

    References:
        Taniguchi & Imamura, arXiv:1010.5845.
    """
    distance = (1 - V / V_c0).clamp(min=0)
    return torch.log(t_pulse / tau_0) - delta * (distance if exponent == 1 else distance**exponent)


def require_activated(width: float, tau_0: float, what: str) -> None:
    """Refuse a pulse too short for thermally activated switching, the only regime of `log_hazard`.

    Raises:
        IPNetError: the width is below 10 tau_0; `what` names it.
    """
    if not width >= 10 * tau_0 * (1 - 1e-9):
        raise IPNetError(
            f"{what} must be at least 10 tau_0 (thermally activated switching); got {format_si(width, 's')} with "
            f"tau_0 = {format_si(tau_0, 's')}: lengthen the pulse."
        )


class Quadrature(NamedTuple):
    """Nodes of an integral over a pulse: sum_k weights[k] f(times[k] t_pulse) for (1/t_pulse) int f dt.

    Args:
        times: where the pulse is looked at, in (0, 1), ascending.
        weights: positive, of sum 1.
    """

    times: tuple[float, ...]
    weights: tuple[float, ...]

    def at_once(self, axes: int) -> "Quadrature":
        """The same as one node that is a tensor [nodes, 1, ...], for an integrand of so many axes.

        What the integrand then gives has the nodes along an axis in front, to be summed over.
        """
        times, weights = (torch.tensor(part, dtype=torch.float64).view(-1, *[1] * axes) for part in self)
        return Quadrature((times,), (weights,))  # type: ignore[arg-type]


def quadrature(nodes: int, power: int) -> Quadrature:
    """Gauss-Legendre nodes in u with time = u^power, which resolves a fast start of a pulse for power > 1.

    Exact for polynomials in u up to degree 2 nodes - power.

    Example:
        >>> quadrature(1, 1)
        Quadrature(times=(0.5,), weights=(1.0,))
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    u = (x + 1) / 2
    weights = w / 2 * power * u ** (power - 1)
    weights /= weights.sum()
    return Quadrature(tuple((u**power).tolist()), tuple(weights.tolist()))


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


FINE = quadrature(64, 3)  # as good as exact for any pulse of a card's valid range
