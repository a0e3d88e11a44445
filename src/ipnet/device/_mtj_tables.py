"""The values of a junction and of its operation, as a card gives them."""

import math
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from ipnet.cards import Pulses, Values, quantity
from ipnet.physics import MU_0, demagnetisation, polarisation_of
from ipnet.units import format_si

NotNegative: TypeAlias = Annotated[float, Field(ge=0)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]


class MTJParameters(Values):
    """What belongs to the junction."""

    R_P: float = quantity("ohm", "resistance of the parallel state", gt=0)
    R_AP: float = quantity("ohm", "resistance of the antiparallel state at zero bias and temp_0", gt=0)
    V_h: float = quantity("V", "voltage at which the TMR has halved", gt=0)
    temp_P: float = quantity("K", "where Bloch's law for the polarisation would reach zero", gt=0)
    delta: float = quantity("1", "thermal stability E_b / (k_B temp_0) of the parallel state", gt=0)
    delta_AP: float = quantity("1", "thermal stability of the antiparallel state", gt=0)
    V_c0: float = quantity("V", "intrinsic critical voltage at temp_0, from P to AP", gt=0)
    V_c0_AP: float = quantity("V", "magnitude of the same from AP to P", gt=0)
    tau_0: float = quantity("s", "attempt time", gt=0)
    exponent: float = quantity("1", "b in the barrier (1 - V/V_c0)^b, 1 or 2", ge=1, le=2, multiple_of=1)
    temp_0: float = quantity("K", "ambient temperature, for which the other values hold", gt=0)
    temp_C: float = quantity("K", "Curie temperature of the free layer", gt=0)
    q: float = quantity("1", "exponent of temp/temp_C in the magnetisation", gt=0)
    beta: float = quantity("1", "exponent of the whole magnetisation", gt=0)
    Ms_weight: float = quantity("1", "weight of that law against a constant magnetisation", ge=0)
    n_K: float = quantity("1", "exponent of the anisotropy in the magnetisation", ge=0)
    K_weight: float = quantity("1", "weight of that law against a constant anisotropy", ge=0)
    Ms: float = quantity("A/m", "saturation magnetisation of the free layer at temp_0", gt=0)
    K_i: float = quantity("J/m2", "interface anisotropy of the free layer at temp_0", gt=0)
    t_free: float = quantity("m", "thickness of the free layer", gt=0)
    diameter: float = quantity("m", "diameter of the junction", gt=0)
    alpha: float = quantity("1", "Gilbert damping of the free layer", gt=0)
    R_th: tuple[NotNegative, ...] = quantity("K/W", "thermal resistance of each pole, in a chain to ambient")
    tau_th: tuple[Positive, ...] = quantity("s", "thermal time constant R_th C_th of each pole")

    @model_validator(mode="after")
    def _is_a_junction(self) -> Self:
        if self.R_AP <= self.R_P:
            raise ValueError(
                f"R_AP must exceed R_P (TMR > 0); got R_P = {format_si(self.R_P, 'ohm')}, "
                f"R_AP = {format_si(self.R_AP, 'ohm')}: exchange them if the states are named the other way round"
            )
        if len(self.R_th) != len(self.tau_th) or not self.R_th:
            raise ValueError(
                f"R_th and tau_th must have one value per thermal pole; got {len(self.R_th)} and "
                f"{len(self.tau_th)}: give each pole both"
            )
        for key in ("temp_C", "temp_P"):
            if getattr(self, key) <= self.temp_0:
                raise ValueError(
                    f"{key} must exceed temp_0; got {getattr(self, key):g} K and "
                    f"{self.temp_0:g} K: check the units"
                )
        if self.diameter <= self.t_free:
            raise ValueError(
                f"the free layer must be a disc, wider than thick; got diameter = "
                f"{format_si(self.diameter, 'm')}, t_free = {format_si(self.t_free, 'm')}"
            )
        if self.K_eff <= 0:
            raise ValueError(
                f"K_eff = K_i / t_free - mu_0 N Ms^2 / 2 must be positive (a perpendicular junction); got "
                f"{self.K_eff:.3g} J/m3: raise K_i or lower Ms or t_free"
            )
        return self

    @property
    def tmr_0(self) -> float:
        """TMR at zero bias and temp_0, (R_AP - R_P) / R_P [1]."""
        return (self.R_AP - self.R_P) / self.R_P

    @property
    def P_0(self) -> float:
        """Spin polarisation at temp_0 that gives tmr_0 (Julliere) [1]."""
        return polarisation_of(self.tmr_0)

    @property
    def shape_anisotropy(self) -> float:
        """mu_0 N Ms^2 / 2, what the stray field takes from the anisotropy [J/m3]."""
        return MU_0 * demagnetisation(self.diameter, self.t_free) * self.Ms**2 / 2

    @property
    def K_eff(self) -> float:
        """K_i / t_free - mu_0 N Ms^2 / 2, the perpendicular anisotropy at temp_0 [J/m3]."""
        return self.K_i / self.t_free - self.shape_anisotropy

    @property
    def C_th(self) -> tuple[float, ...]:
        """Heat capacity tau_th / R_th of each pole [J/K]; infinite for a pole that does not heat."""
        return tuple(tau / R if R else math.inf for R, tau in zip(self.R_th, self.tau_th, strict=True))


class MTJClock(Pulses):
    """How the junction is operated; the user may choose these.

    Of junctions that differ, each can have a probe pulse of its own: with ``trim = "probe"`` its voltage is the
    one at which the cold junction answers as the card's does, or V_max if that is not enough. A chip sets it once,
    from measured answers.
    """

    operation: Literal["bias", "drive and probe"]
    rest_state: Literal["P", "AP"]
    trim: Literal["none", "probe"] = "none"
    V_probe: float = quantity("V", "probe pulse ('drive and probe' only)", ge=0)
    V_read: float = quantity("V", "read pulse", ge=0)
    V_reset: float = quantity("V", "magnitude of the reset pulse, applied if the junction switched", ge=0)
    I_noise: float = quantity("A", "noise of the read current, rms", ge=0)
    t_cycle: float = quantity("s", "clock period, one frame", gt=0)
    t_pulse: float = quantity("s", "width of the input pulse", gt=0)
    t_probe: float = quantity("s", "width of the probe pulse ('drive and probe' only)", ge=0)
    t_read: float = quantity("s", "width of the read pulse", ge=0)
    t_reset: float = quantity("s", "width of the reset pulse", ge=0)

    @model_validator(mode="after")
    def _fits_the_cycle(self) -> Self:
        busy = self.t_pulse + self.t_read + self.t_reset
        busy += self.t_probe if self.operation == "drive and probe" else 0.0
        if busy > self.t_cycle * (1 + 1e-9):
            raise ValueError(
                f"the pulses of a cycle must fit into t_cycle; got {format_si(busy, 's')} of pulses in "
                f"{format_si(self.t_cycle, 's')}: lengthen t_cycle or shorten a pulse"
            )
        if self.trim == "probe" and self.operation != "drive and probe":
            raise ValueError(
                f"trim = 'probe' needs operation = 'drive and probe'; got '{self.operation}': leave trim out"
            )
        for key in ("V_probe", "V_read", "V_reset"):
            if getattr(self, key) > self.V_max:
                raise ValueError(
                    f"{key} must not exceed V_max; got {key} = {format_si(getattr(self, key), 'V')}, "
                    f"V_max = {format_si(self.V_max, 'V')}"
                )
        return self
