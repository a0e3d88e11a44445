"""The macrospin of a junction that its own current heats: what the compact switching law is checked against.

`ipnet.physics` writes the switching probability as a closed law in a barrier, a critical voltage and a rise. Here
the free layer is one magnetic moment of which every precession is followed, in noise, while the resistance that
it sets heats the junction and the temperature changes its laws. Nothing of the closed law is used.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from ipnet.errors import IPNetError
from ipnet.physics import K_B
from ipnet.sllgs import Array, Law, run_kernel

Start = Literal["P", "AP"]

_HBAR = 1.054571817e-34  # [J s]
_E = 1.602176634e-19  # elementary charge [C]
_GAMMA = 1.76085963023e11  # gyromagnetic ratio of the electron [rad/(s T)]


class Pulse(NamedTuple):
    """What a pulse leaves behind, for n conditions.

    Args:
        m: magnetisation at the end [n, trajectories, 3], unit vectors; m_z = 1 is parallel to the reference.
        rises: temperature rise of each thermal pole at the end [n, trajectories, poles] [K].
        t_cross: end of the first step in which m_z, counted from the starting side, was below the threshold
            [n, trajectories] [s]; 0 if it started there, inf if it never was.
    """

    m: Array
    rises: Array
    t_cross: Array


class Probability(NamedTuple):
    """A fraction of trajectories and its binomial standard error, each [n].

    Args:
        p: switched trajectories / trajectories.
        error: sqrt(q (1 - q) / trajectories), with q = (switched + 1/2) / (trajectories + 1) because the error
            is not zero where none or all switched.
    """

    p: Array
    error: Array


@dataclass(frozen=True, eq=False)
class Macrospin:
    """One free layer with perpendicular easy axis z, on a reference layer magnetised along p = +z.

    Gilbert's equation with Slonczewski's torque and the thermal field b, all at the temperature of the instant::

        dm/dt = -gamma m x (B + b) + alpha m x dm/dt + gamma a_J m x (m x p)
        B     = B_ext + B_k m_z z,    B_k = 2 K_eff / Ms
        a_J   = efficiency hbar/(2 e) P / (1 + P^2) V / (R_P Ms volume)
        <b_i(t) b_j(s)> = 2 alpha k_B temp / (gamma Ms volume) delta_ij delta(t - s),  Stratonovich

    Putting dm/dt into its own right-hand side gives the explicit form that is integrated. The torque leaves a
    field-like by-product alpha a_J, since m x (m x (m x p)) = -m x p::

        dm/dt = Omega x m,    Omega = gamma/(1 + alpha^2) (h + m x d),
        h = B + b + alpha a_J p,    d = alpha (B + b) - a_J p

    Positive V destabilises the parallel state, above V_c0 where a_J = alpha B_k. The torque per volt does not
    depend on the angle, as in a tunnel junction: L = hbar/(2 e) G_0 P V sin(theta), with G_0 = G_P / (1 + P^2).

    Heat: temp = temp_0 + the sum of the rises of the poles of a Foster chain, R_th[i] and tau_th[i], that share
    the power V^2 G; G = (G_P + G_AP)/2 + m_z (G_P - G_AP)/2, G_P = 1/R_P, G_AP = G_P / (1 + TMR),
    TMR = tmr(temp) / (1 + (V/V_h)^2).

    One step: Heun's predictor and corrector, with the same increment of b in both, for the rotation vector
    Omega dt: m turned by it is the prediction, m turned by the mean of its values at both ends is the step. A
    rotation keeps |m| = 1 without renormalisation, and precession alone is exact. The laws are taken at the
    temperature foreseen for the middle of the step; then every pole is relaxed exactly under the mean of the
    powers before and after. Without noise this is of order 2. With noise the strong order is 1/2, the best that
    increments alone can give because rotations do not commute (Ruemelin), and the weak order is 1.

    Args:
        temps: temperatures of the tables [K], ascending, uniformly spaced; between them the laws are straight.
        Ms: saturation magnetisation over temps [A/m], > 0.
        K_eff: uniaxial anisotropy over temps, shape anisotropy subtracted [J/m^3], > 0.
        polarisation: spin polarisation P over temps [1], in (0, 1).
        tmr: magnetoresistance ratio at zero bias over temps [1], >= 0.
        volume: of the free layer, or of what switches at once [m^3].
        alpha: Gilbert damping [1].
        R_P: resistance of the parallel state [ohm].
        V_h: voltage that halves the TMR [V]; inf for none.
        temp_0: ambient temperature [K], within temps.
        R_th: thermal resistance of each pole [K/W], >= 0.
        tau_th: time constant of each pole [s].
        efficiency: factor on the torque [1], 1 for Slonczewski's.

    Raises:
        IPNetError: a value is outside its range, or a table does not fit temps.

    Valid for: a layer that switches as one moment, at temperatures where Ms is an equilibrium value (the length
        of the moment does not fluctuate); spin pumping and the field-like torque of the barrier are left out.

    References:
        J. C. Slonczewski, J. Magn. Magn. Mater. 159, L1 (1996); Phys. Rev. B 71, 024411 (2005): the torque.
        W. F. Brown, Phys. Rev. 130, 1677 (1963): the thermal field, the escape rate. J. L. Garcia-Palacios and
        F. J. Lazaro, Phys. Rev. B 58, 14937 (1998): Heun's scheme for the Stratonovich equation. W. Ruemelin,
        SIAM J. Numer. Anal. 19, 604 (1982): its order. H. Munthe-Kaas, BIT 38, 92 (1998): Runge-Kutta steps made
        of rotations.

    Example:
        >>> junction = Macrospin(
        ...     temps=[300, 400], Ms=[1e6, 0.9e6], K_eff=[2e5, 1.6e5], polarisation=[0.6, 0.58], tmr=[1.2, 1.0],
        ...     volume=2e-25, alpha=0.05, R_P=2500, V_h=0.5, temp_0=300, R_th=(1e6,), tau_th=(1e-8,),
        ... )
        >>> round(junction.delta, 2), round(junction.V_c0, 3), junction.tau_0 < 1e-9
        (9.66, 0.069, True)
        >>> p, error = junction.switching_probability([0.0, 0.3], 5e-9, trajectories=256)
        >>> bool(p[0] < 0.05), bool(p[1] > 0.95)
        (True, True)
    """

    temps: ArrayLike
    Ms: ArrayLike
    K_eff: ArrayLike
    polarisation: ArrayLike
    tmr: ArrayLike
    volume: float
    alpha: float
    R_P: float
    V_h: float
    temp_0: float
    R_th: tuple[float, ...]
    tau_th: tuple[float, ...]
    efficiency: float = 1.0

    def __post_init__(self) -> None:
        for name in ("temps", "Ms", "K_eff", "polarisation", "tmr"):
            table = np.array(getattr(self, name), np.float64)
            table.flags.writeable = False
            object.__setattr__(self, name, table)
        for name in ("R_th", "tau_th"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        self._check_numbers()
        self._check_tables()

    def _check_numbers(self) -> None:
        for name in ("volume", "alpha", "R_P", "temp_0", "efficiency"):
            if not 0 < getattr(self, name) < math.inf:
                raise IPNetError(f"{name} must be positive and finite, in SI units; got {getattr(self, name)}.")
        if not self.V_h > 0:
            raise IPNetError(f"V_h must be positive; got {self.V_h} V: use inf for a TMR without bias dependence.")
        if not self.R_th or len(self.R_th) != len(self.tau_th):
            raise IPNetError(
                f"R_th and tau_th need one value per thermal pole; got {len(self.R_th)} and {len(self.tau_th)}: "
                "use R_th = (0,) for a junction that does not heat."
            )
        if not all(0 <= R < math.inf for R in self.R_th) or not all(0 < tau < math.inf for tau in self.tau_th):
            raise IPNetError(
                f"R_th must be at least 0 and tau_th positive, both finite; got {self.R_th} K/W and "
                f"{self.tau_th} s."
            )

    def _check_tables(self) -> None:
        temps = np.asarray(self.temps)
        spacing = np.diff(temps)
        if temps.ndim != 1 or temps.size < 2 or not temps[0] > 0 or not np.ptp(spacing) < 1e-6 * spacing.min():
            raise IPNetError("temps must be positive, ascending and uniformly spaced, two at least: use linspace.")
        for name, rule, below in (
            ("Ms", "positive", math.inf),
            ("K_eff", "positive", math.inf),
            ("polarisation", "between 0 and 1", 1.0),
            ("tmr", "at least 0", math.inf),
        ):
            table = np.asarray(getattr(self, name))
            if table.shape != temps.shape:
                raise IPNetError(f"{name} needs one value per temperature; got {table.shape} for {temps.shape}.")
            wrong = ~((table >= 0 if name == "tmr" else table > 0) & (table < below))
            if wrong.any():
                raise IPNetError(
                    f"{name} must be {rule} at every temperature; got {table[wrong][0]:.4g} at "
                    f"{temps[wrong][0]:g} K: end temps below the temperature at which it vanishes."
                )
        if not temps[0] <= self.temp_0 <= temps[-1]:
            raise IPNetError(
                f"temps must contain temp_0, {self.temp_0:g} K; got {temps[0]:g} to {temps[-1]:g} K: widen them."
            )

    def at(self, name: str, temp: ArrayLike) -> Array:
        """A tabulated law at any temperature, by its field name.

        Args:
            name: ``"Ms"``, ``"K_eff"``, ``"polarisation"`` or ``"tmr"``.
            temp: temperature, any shape [K].

        Raises:
            IPNetError: a temperature is outside temps.
        """
        wanted, temps = np.asarray(temp, np.float64), np.asarray(self.temps)
        outside = ~((wanted >= temps[0] * (1 - 1e-12)) & (wanted <= temps[-1] * (1 + 1e-12)))
        if outside.any():
            raise IPNetError(
                f"temperatures must stay within temps, {temps[0]:g} to {temps[-1]:g} K; got "
                f"{wanted[outside].flat[0]:.5g} K: extend the tables, or lower V, t_pulse or R_th."
            )
        return np.asarray(np.interp(wanted, temps, getattr(self, name)), np.float64)

    def stability(self, temp: ArrayLike) -> Array:
        """Thermal stability K_eff volume / (k_B temp) at a temperature [K] of any shape [1]."""
        return self.at("K_eff", temp) * self.volume / (K_B * np.asarray(temp, np.float64))

    def critical_voltage(self, temp: ArrayLike) -> Array:
        """Voltage at which a_J = alpha B_k, at a temperature [K] of any shape [V]."""
        return self.alpha * self._field(temp) / self._torque(temp)

    def _field(self, temp: ArrayLike) -> Array:
        """Anisotropy field B_k [T]."""
        return 2 * self.at("K_eff", temp) / self.at("Ms", temp)

    def _torque(self, temp: ArrayLike) -> Array:
        """a_J per volt [T/V]."""
        P = self.at("polarisation", temp)
        return self._spin * P / ((1 + P**2) * self.at("Ms", temp))

    @property
    def _spin(self) -> float:
        return self.efficiency * _HBAR / (2 * _E * self.R_P * self.volume)

    @property
    def delta(self) -> float:
        """Thermal stability E_b / (k_B temp_0) of the cold junction, E_b = K_eff volume [1]."""
        return float(self.stability(self.temp_0))

    @property
    def V_c0(self) -> float:  # noqa: N802, the field's symbol
        """Critical voltage of the cold junction, (4 e/hbar) alpha E_b R_P (1 + P^2) / (P efficiency) [V]."""
        return float(self.critical_voltage(self.temp_0))

    @property
    def tau_0(self) -> float:
        """Attempt time of the cold junction without voltage [s]: the mean dwell in a well is tau_0 e^delta.

        1 / tau_0 = alpha gamma B_k / (1 + alpha^2) sqrt(delta / pi), Brown's rate from one well to the other at
        a high barrier (the mean time to reach the barrier's top is half the dwell).
        """
        rate = self.alpha * _GAMMA * float(self._field(self.temp_0)) / (1 + self.alpha**2)
        return math.sqrt(math.pi / self.delta) / rate

    def hottest(self, V: ArrayLike, t_pulse: float, rises: ArrayLike | None = None) -> float:
        """An upper bound of the temperature in a run [K]: every pole heated as by the parallel resistance.

        Args:
            V: voltages [n] [V].
            t_pulse: length of the pulse [s].
            rises: of each pole at the start [n, poles] [K]; None is a cold junction.

        Returns:
            temp_0 + the largest sum over the poles of max(start, end).
        """
        volts, start = self._conditions(V, rises)
        fade = np.exp(-t_pulse / np.array(self.tau_th))
        steady = np.array(self.R_th) * volts[:, None] ** 2 / self.R_P
        return self.temp_0 + float(np.maximum(start, start * fade + steady * (1 - fade)).sum(-1).max())

    def default_step(
        self,
        V: ArrayLike,
        t_pulse: float,
        *,
        rises: ArrayLike | None = None,
        B_ext: ArrayLike = (0.0, 0.0, 0.0),
        precession: bool = True,
        accuracy: float = 0.01,
    ) -> float:
        """A step [s] that changes an escape rate by less than the fraction `accuracy`.

        At the bottom of a well the scheme has an effective temperature that is off by the fraction
        (precession dt)^2 / 12 + (damping dt)^2 / 4, from its linear stability function; on the way to the barrier
        precession falls with m_z, which halves the mean, and the rate e^-delta follows it delta-fold. The noise
        is of weak order 1 and adds, as measured, about 2 D dt. Hence::

            dt = sqrt(min(accuracy / delta, 0.01) / (precession^2 / 24 + damping^2 / 8)),  at most accuracy / (4 D)
            precession = gamma/(1 + alpha^2) (B_k + |B_ext| + alpha a_J), or 0 without precession
            damping    = gamma/(1 + alpha^2) (alpha (B_k + |B_ext|) + a_J)
            D          = gamma/(1 + alpha^2) alpha B_k / (2 delta), the diffusion of m

        at the worst temperature within reach, and at most a twentieth of t_pulse and of every thermal pole.

        Args:
            V: voltages [n] [V].
            t_pulse: length of the pulse [s].
            rises: of each pole at the start [n, poles] [K].
            B_ext: external field [3] [T].
            precession: as in `run`.
            accuracy: relative error allowed in an escape rate [1].

        Raises:
            IPNetError: the junction may get hotter than temps.
        """
        temps = np.asarray(self.temps)
        hottest = self.hottest(V, t_pulse, rises)
        reach = np.array([self.temp_0, *temps[(temps > self.temp_0) & (temps < hottest)], hottest])
        delta, B_k, a_J = self.stability(reach), self._field(reach), self._torque(reach) * np.abs(V).max()
        B, gyro = B_k + np.linalg.norm(B_ext), _GAMMA / (1 + self.alpha**2)
        damping, D = gyro * (self.alpha * B + a_J), gyro * self.alpha * B_k / (2 * delta)
        turning = gyro * (B + self.alpha * a_J) if precession else 0.0 * B
        steps = np.sqrt(np.minimum(accuracy / delta, 0.01) / (turning**2 / 24 + damping**2 / 8))
        steps = np.minimum(steps, accuracy / (4 * D))
        poles = [tau / 20 for tau, R in zip(self.tau_th, self.R_th, strict=True) if R]
        return min(float(steps.min()), t_pulse / 20, *poles)

    def run(
        self,
        V: ArrayLike,
        t_pulse: float,
        *,
        rises: ArrayLike | None = None,
        trajectories: int = 1000,
        start: Start = "P",
        m_0: ArrayLike | None = None,
        B_ext: ArrayLike = (0.0, 0.0, 0.0),
        precession: bool = True,
        threshold: float = 0.0,
        dt: float | None = None,
        seed: int = 0,
        increments: ArrayLike | None = None,
    ) -> Pulse:
        """Follow many junctions through one pulse each, all at once.

        An axially symmetric junction may be run without precession: h = sqrt(1 + alpha^2) b and d without b. The
        noise is as strong and isotropic as before and no other term of h acts on m_z, so that m_z obeys the same
        law exactly, at steps about 1/alpha longer.

        Args:
            V: voltage of each condition [n], or one [V].
            t_pulse: length of the pulse [s].
            rises: of each pole at the start [n, poles] [K]; None is a cold junction.
            trajectories: junctions per condition.
            start: the well they start in, ``"P"`` (m_z > 0) or ``"AP"``.
            m_0: magnetisations at the start, that broadcast to [n, trajectories, 3]; None draws them from the
                well's Boltzmann distribution at the starting temperature, without voltage and external field.
            B_ext: external field [3] [T].
            precession: False to leave precession out; B_ext must then lie along z.
            threshold: of `Pulse.t_cross`, in (-1, 1).
            dt: step [s], rounded down so that whole steps fill t_pulse; None is `default_step`.
            seed: of the initial draws and the noise; the result does not depend on the number of threads.
            increments: the Brownian path to follow instead of a random one [steps, trajectories, 3]
                [sqrt(s)], independent with variance t_pulse / steps, the same for every condition; zeros for no
                noise. It replaces `dt` and `trajectories`.

        Raises:
            IPNetError: a shape or a value does not fit, or the junction may get hotter than temps.
        """
        volts, warm = self._conditions(V, rises)
        field = np.array(B_ext, np.float64)
        path = np.require(np.zeros((0, 0, 3)) if increments is None else increments, np.float64, ["C", "W"])
        self._check_run(volts, t_pulse, warm, field, start, threshold, precession=precession)
        if increments is not None:
            if path.ndim != 3 or path.shape[2] != 3 or not path.size:
                raise IPNetError(f"increments must have the shape [steps, trajectories, 3]; got {path.shape}.")
            steps, trajectories = path.shape[:2]
        else:
            if dt is None:
                dt = self.default_step(volts, t_pulse, rises=warm, B_ext=field, precession=precession)
            if not (dt > 0 and trajectories >= 1):
                raise IPNetError(f"dt and trajectories must be positive; got {dt} s and {trajectories}.")
            steps = math.ceil(t_pulse / dt * (1 - 1e-9))
        side = 1.0 if start == "P" else -1.0
        wells, noise = np.random.SeedSequence(seed).spawn(2)
        shape = (volts.size, trajectories)
        m = self._wells(warm, shape, side, wells) if m_0 is None else _given(m_0, shape)
        heat = np.repeat(warm[:, None], trajectories, axis=1)
        t_cross = np.where(side * m[..., 2] < threshold, 0.0, np.inf)
        law = self._law(t_pulse / steps, field, side, threshold, precession=precession)
        key = noise.generate_state(1, np.uint64)[0]
        run_kernel(
            law, steps, key, volts, path, m.reshape(-1, 3), heat.reshape(-1, len(self.R_th)), t_cross.reshape(-1)
        )
        return Pulse(m, heat, t_cross)

    def switching_probability(self, V: ArrayLike, t_pulse: float, **options: Any) -> Probability:
        """The probability that a pulse leaves a junction beyond the barrier (m_z = 0) it started from.

        Args:
            V: voltage of each condition [n], or one [V].
            t_pulse: length of the pulse [s].
            options: the other arguments of `run`.
        """
        m_z = self.run(V, t_pulse, **options).m[..., 2]
        switched = m_z < 0 if options.get("start", "P") == "P" else m_z > 0
        q = (switched.sum(1) + 0.5) / (switched.shape[1] + 1)
        return Probability(switched.mean(1), np.sqrt(q * (1 - q) / switched.shape[1]))

    def _conditions(self, V: ArrayLike, rises: ArrayLike | None) -> tuple[Array, Array]:
        """Voltages [n] and rises [n, poles]."""
        volts = np.array(V, np.float64, ndmin=1)
        shape = (volts.size, len(self.R_th))
        try:
            warm = np.broadcast_to(np.asarray(0.0 if rises is None else rises, np.float64), shape)
        except ValueError:
            got = np.asarray(rises).shape
            raise IPNetError(f"rises must have the shape {shape}, [n, poles]; got {got}.") from None
        if volts.ndim != 1 or not volts.size or not np.isfinite(volts).all():
            raise IPNetError(f"V must be one finite voltage or a list of them, [n]; got {volts}.")
        if not ((warm >= 0) & (warm < np.inf)).all():
            raise IPNetError(f"rises must be finite and at least 0 K, counted from temp_0; got {warm.min():g} K.")
        return volts, warm

    def _check_run(
        self,
        volts: Array,
        t_pulse: float,
        rises: Array,
        field: Array,
        start: str,
        threshold: float,
        *,
        precession: bool,
    ) -> None:
        if not 0 < t_pulse < math.inf:
            raise IPNetError(f"t_pulse must be positive and finite; got {t_pulse} s.")
        if start not in get_args(Start):
            raise IPNetError(f"start must be 'P' or 'AP'; got '{start}'.")
        if not -1 < threshold < 1:
            raise IPNetError(f"threshold must lie between -1 and 1, as m_z does; got {threshold}.")
        if field.shape != (3,) or not np.isfinite(field).all():
            raise IPNetError(f"B_ext must be three finite components in tesla; got {field}.")
        if not precession and field[:2].any():
            raise IPNetError(f"precession = False needs B_ext along z; got {field} T: use precession = True.")
        self.at("Ms", self.hottest(volts, t_pulse, rises))  # raises if the tables end before

    def _wells(self, rises: Array, shape: tuple[int, int], side: float, seed: np.random.SeedSequence) -> Array:
        """Draw from exp(delta m_z^2) in a well, exactly: rejection from exp(-delta x), x = 1 - |m_z| in [0, 1]."""
        rng = np.random.default_rng(seed)
        delta = np.repeat(self.stability(self.temp_0 + rises.sum(-1)), shape[1])
        x = np.empty(delta.size)
        todo = np.arange(delta.size)
        while todo.size:
            x[todo] = -np.log1p(rng.random(todo.size) * np.expm1(-delta[todo])) / delta[todo]
            kept = rng.random(todo.size) < np.exp(-delta[todo] * x[todo] * (1 - x[todo]))
            todo = todo[~kept]
        azimuth, across = 2 * np.pi * rng.random(x.size), np.sqrt(x * (2 - x))
        m = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), side * (1 - x)], -1)
        return m.reshape(*shape, 3)

    def _law(self, dt: float, field: Array, side: float, threshold: float, *, precession: bool) -> Law:
        R_th, tau_th, temps = np.array(self.R_th), np.array(self.tau_th), np.asarray(self.temps)
        laws = np.stack([self.Ms, self.K_eff, self.polarisation, self.tmr], -1)
        warming = -R_th * np.expm1(-dt / tau_th)
        return Law(
            laws=laws,
            slopes=np.diff(laws, axis=0) / np.diff(temps)[:, None],
            coldest=float(temps[0]),
            spacing=float((temps[-1] - temps[0]) / (temps.size - 1)),
            temp_0=float(self.temp_0),
            dt=dt,
            gyro=_GAMMA / (1 + self.alpha**2),
            alpha=float(self.alpha),
            spin=self._spin,
            thermal=2 * self.alpha * K_B / (_GAMMA * self.volume),
            precess=1.0 if precession else 0.0,
            noise_h=1.0 if precession else math.sqrt(1 + self.alpha**2),
            noise_d=self.alpha if precession else 0.0,
            B_x=field[0],
            B_y=field[1],
            B_z=field[2],
            G_P=1 / self.R_P,
            V_h=float(self.V_h),
            fading=np.exp(-dt / tau_th),
            warming=warming,
            heat=float(warming.sum()),
            side=side,
            threshold=threshold,
        )


def _given(m_0: ArrayLike, shape: tuple[int, int]) -> Array:
    try:
        m = np.array(np.broadcast_to(np.asarray(m_0, np.float64), (*shape, 3)), order="C")
    except ValueError:
        raise IPNetError(f"m_0 must broadcast to {(*shape, 3)}; got {np.asarray(m_0).shape}.") from None
    if not np.allclose(np.linalg.norm(m, axis=-1), 1, rtol=0, atol=1e-6):
        raise IPNetError("m_0 must be unit vectors; divide them by their length.")
    return m
