"""The stochastic Landau-Lifshitz-Gilbert-Slonczewski equation, compiled; `ipnet.macrospin` says what it solves."""

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ipnet.vector_math import compiled, scrambled

Array = NDArray[np.float64]


class Law(NamedTuple):
    """What the kernel knows of a run, in the symbols of `Macrospin`."""

    laws: Array  # Ms, K_eff, P, tmr at each of temps
    slopes: Array  # their slopes between the temps
    coldest: float
    spacing: float
    temp_0: float
    dt: float
    gyro: float  # gamma / (1 + alpha^2)
    alpha: float
    spin: float  # a_J = spin P / (1 + P^2) V / Ms
    thermal: float  # sigma^2 = thermal temp / Ms
    precess: float  # whether the fields of h act
    noise_h: float  # shares of the thermal field in h and in d
    noise_d: float
    B_x: float
    B_y: float
    B_z: float
    G_P: float
    V_h: float
    fading: Array  # e^(-dt/tau_th)
    warming: Array  # R_th (1 - e^(-dt/tau_th))
    heat: float  # the sum of warming
    side: float
    threshold: float


# The kernel carries _LANES trajectories at once through loops without branches, which become vector instructions.
# Its state is one flat array in which row r of lane j is state[r + j]: the compiler sees that rows at constant
# distances do not overlap.
_LANES = 64
_X, _Y, _Z, _V, _TEMP, _POWER, _COOLED, _MEAN, _MIDDLE, _CROSS = range(0, 10 * _LANES, _LANES)
_W_X, _W_Y, _W_Z, _CELL, _MS, _K, _P, _TMR, _D_MS, _D_K, _D_P, _D_TMR = range(10 * _LANES, 22 * _LANES, _LANES)
_RISES = 22 * _LANES  # of every pole in turn
_U = np.uint64


@compiled(forceinline=True)
def _random(a, b):  # type: ignore[no-untyped-def]
    """xoroshiro128++ (Blackman & Vigna, 2021): 64 random bits, and the next state."""
    total = a + b
    bits = ((total << _U(17)) | (total >> _U(47))) + a
    b ^= a
    return bits, ((a << _U(49)) | (a >> _U(15))) ^ b ^ (b << _U(21)), (b << _U(28)) | (b >> _U(36))


@compiled(forceinline=True)
def _normals(bits):  # type: ignore[no-untyped-def]
    """Two standard normals from 64 random bits (Box & Muller, 1958), with series in place of library calls.

    Half of the bits give u in (0, 1), so |normal| < 6.8, the others v in [-1/2, 1/2). log u = k log 2 + log f with
    f in [sqrt(1/2), sqrt(2)) from exponent and mantissa of u, and log f = 2 artanh((f - 1)/(f + 1)). Sine and
    cosine of 2 pi v follow from those of pi v. The series are as exact as 32-bit random numbers, 1e-8.
    """
    u = _U((bits >> _U(32)) << _U(20) | _U(0x3FF0000000080000)).view(np.float64) - 1.0
    v = _U((bits << _U(32)) >> _U(12) | _U(0x3FF0000000000000)).view(np.float64) - 1.5
    scaled = np.float64(u).view(_U) - _U(0x3FE6A09E667F3BCD) + _U(1 << 62)  # less the bits of sqrt(1/2)
    k = _U(scaled >> _U(52) | _U(0x4330000000000000)).view(np.float64) - (2.0**52 + 1024.0)
    f = _U((scaled & _U(0x000FFFFFFFFFFFFF)) + _U(0x3FE6A09E667F3BCD)).view(np.float64)
    s = (f - 1.0) / (f + 1.0)
    q = s * s
    log = k * math.log(2.0) + 2.0 * s * (1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q / 11)))))
    x = math.pi * v
    y = x * x
    sin = x * (1 - y / 6 * (1 - y / 20 * (1 - y / 42 * (1 - y / 72 * (1 - y / 110 * (1 - y / 156))))))
    cos = 1 - y / 2 * (1 - y / 12 * (1 - y / 30 * (1 - y / 56 * (1 - y / 90 * (1 - y / 132 * (1 - y / 182))))))
    radius = math.sqrt(-2.0 * log)
    return radius * (cos * cos - sin * sin), 2.0 * radius * sin * cos


@compiled(forceinline=True)
def _turned(x, y, z, o_x, o_y, o_z):  # type: ignore[no-untyped-def]
    """Turn m by the rotation vector o: Cayley's rotation with u = o/|o| tan(|o|/2), which keeps |m| exactly.

    tan(a/2) / a = 1/2 + a^2/24 + a^4/240 lacks a^7/1200 of the angle a.
    """
    square = o_x * o_x + o_y * o_y + o_z * o_z
    half = 0.5 + square * (1 / 24 + square / 240)
    u_x, u_y, u_z = half * o_x, half * o_y, half * o_z
    c_x, c_y, c_z = u_y * z - u_z * y, u_z * x - u_x * z, u_x * y - u_y * x
    twice = 2.0 / (1.0 + half * half * square)
    x += twice * (c_x + u_y * c_z - u_z * c_y)
    y += twice * (c_y + u_z * c_x - u_x * c_z)
    z += twice * (c_z + u_x * c_y - u_y * c_x)
    return x, y, z


@compiled(forceinline=True)
def _heun(law, x, y, z, temp, V, Ms, K_eff, P, w_x, w_y, w_z):  # type: ignore[no-untyped-def]
    """Return m one step later, at the temperature `temp`, under the Brownian increment w [sqrt(s)]."""
    sigma = law.gyro * math.sqrt(law.thermal * temp / Ms)
    in_h, in_d = law.noise_h * sigma, law.noise_d * sigma
    angle = law.gyro * law.dt  # [rad/T]; h and d below are angles, without the part of B_k
    by_h, by_d = law.precess * angle, law.alpha * angle
    a_J = law.spin * P / ((1 + P * P) * Ms) * V
    h_x, h_y, h_z = in_h * w_x + by_h * law.B_x, in_h * w_y + by_h * law.B_y, in_h * w_z + by_h * law.B_z
    d_x, d_y, d_z = in_d * w_x + by_d * law.B_x, in_d * w_y + by_d * law.B_y, in_d * w_z + by_d * law.B_z
    h_z, d_z = h_z + by_h * law.alpha * a_J, d_z - angle * a_J
    B_k = 2 * K_eff / Ms
    h, d = h_z + by_h * B_k * z, d_z + by_d * B_k * z
    o_x, o_y, o_z = h_x + y * d - z * d_y, h_y + z * d_x - x * d, h + x * d_y - y * d_x
    u, v, w = _turned(x, y, z, o_x, o_y, o_z)
    h, d = h_z + by_h * B_k * w, d_z + by_d * B_k * w
    q_x, q_y, q_z = h_x + v * d - w * d_y, h_y + w * d_x - u * d, h + u * d_y - v * d_x
    return _turned(x, y, z, 0.5 * (o_x + q_x), 0.5 * (o_y + q_y), 0.5 * (o_z + q_z))


@compiled(forceinline=True)
def _power(law, V, tmr, z):  # type: ignore[no-untyped-def]
    G_AP = law.G_P / (1 + tmr / (1 + (V / law.V_h) ** 2))
    return V * V * 0.5 * (law.G_P + G_AP + z * (law.G_P - G_AP))


@compiled(forceinline=True)
def _look_up(law, state):  # type: ignore[no-untyped-def]
    """Bring every lane to the straight piece of the laws on which its temperature lies; they rarely change it."""
    left = 0
    for j in range(_LANES):
        beyond = state[_MIDDLE + j] - state[_CELL + j]
        left += (beyond < 0.0) | (beyond > law.spacing)
    if left:
        for j in range(_LANES):
            cell = int((state[_MIDDLE + j] - law.coldest) / law.spacing)
            cell = min(max(cell, 0), law.slopes.shape[0] - 1)  # for rounding at the ends of temps
            state[_CELL + j] = law.coldest + cell * law.spacing
            for c in range(4):
                state[_MS + c * _LANES + j] = law.laws[cell, c]
                state[_D_MS + c * _LANES + j] = law.slopes[cell, c]


@compiled(forceinline=True)
def _draw(law, state, random):  # type: ignore[no-untyped-def]
    root = math.sqrt(law.dt)
    for j in range(_LANES):
        bits, a, b = _random(random[j], random[_LANES + j])
        more, random[j], random[_LANES + j] = _random(a, b)
        n_x, n_y = _normals(bits)
        n_z, _ = _normals(more)
        state[_W_X + j], state[_W_Y + j], state[_W_Z + j] = root * n_x, root * n_y, root * n_z


@compiled(forceinline=True)
def _advance(law, state, now):  # type: ignore[no-untyped-def]
    """One step of every lane: see `Macrospin`."""
    for j in range(_LANES):
        state[_COOLED + j] = law.temp_0
    for i in range(law.fading.size):
        for j in range(_LANES):
            state[_COOLED + j] += law.fading[i] * state[_RISES + i * _LANES + j]
    for j in range(_LANES):
        state[_MIDDLE + j] = 0.5 * (state[_TEMP + j] + state[_COOLED + j] + law.heat * state[_POWER + j])
    _look_up(law, state)
    for j in range(_LANES):
        V, temp = state[_V + j], state[_MIDDLE + j]
        beyond = temp - state[_CELL + j]
        Ms, K_eff = state[_MS + j] + beyond * state[_D_MS + j], state[_K + j] + beyond * state[_D_K + j]
        P, tmr = state[_P + j] + beyond * state[_D_P + j], state[_TMR + j] + beyond * state[_D_TMR + j]
        w_x, w_y, w_z = state[_W_X + j], state[_W_Y + j], state[_W_Z + j]
        x, y, z = _heun(law, state[_X + j], state[_Y + j], state[_Z + j], temp, V, Ms, K_eff, P, w_x, w_y, w_z)
        power = _power(law, V, tmr, z)
        mean = 0.5 * (state[_POWER + j] + power)
        crossed = (law.side * z < law.threshold) & (now < state[_CROSS + j])
        state[_X + j], state[_Y + j], state[_Z + j] = x, y, z
        state[_POWER + j], state[_MEAN + j], state[_TEMP + j] = power, mean, state[_COOLED + j] + law.heat * mean
        state[_CROSS + j] = now if crossed else state[_CROSS + j]
    for i in range(law.fading.size):
        for j in range(_LANES):
            row = _RISES + i * _LANES + j
            state[row] = law.fading[i] * state[row] + law.warming[i] * state[_MEAN + j]


@compiled()
def _follow(law, steps, key, volts, path, m, rises, t_cross, first):  # type: ignore[no-untyped-def]
    """Carry the trajectories `first` to `first + _LANES` through the run; surplus lanes repeat the last one."""
    size, each = m.shape[0], m.shape[0] // volts.size
    state = np.zeros(_RISES + rises.shape[1] * _LANES)
    random = np.empty(2 * _LANES, np.uint64)
    for j in range(_LANES):
        k = min(first + j, size - 1)
        random[j] = scrambled(key + _U(2 * (first + j) + 1) * _U(0x9E3779B97F4A7C15))
        random[_LANES + j] = scrambled(key + _U(2 * (first + j) + 2) * _U(0x9E3779B97F4A7C15))
        state[_X + j], state[_Y + j], state[_Z + j], state[_V + j] = m[k, 0], m[k, 1], m[k, 2], volts[k // each]
        state[_CROSS + j], state[_CELL + j], state[_TEMP + j] = t_cross[k], -1e9, law.temp_0
        for i in range(rises.shape[1]):
            state[_RISES + i * _LANES + j] = rises[k, i]
            state[_TEMP + j] += rises[k, i]
        state[_MIDDLE + j] = state[_TEMP + j]
    _look_up(law, state)
    for j in range(_LANES):
        tmr = state[_TMR + j] + (state[_MIDDLE + j] - state[_CELL + j]) * state[_D_TMR + j]
        state[_POWER + j] = _power(law, state[_V + j], tmr, state[_Z + j])
    for step in range(steps):
        if path.size:
            for j in range(_LANES):
                k = min(first + j, size - 1) % each
                for c in range(3):
                    state[_W_X + c * _LANES + j] = path[step, k, c]
        else:
            _draw(law, state, random)
        _advance(law, state, (step + 1) * law.dt)
    for j in range(min(_LANES, size - first)):
        k = first + j
        m[k, 0], m[k, 1], m[k, 2], t_cross[k] = state[_X + j], state[_Y + j], state[_Z + j], state[_CROSS + j]
        for i in range(rises.shape[1]):
            rises[k, i] = state[_RISES + i * _LANES + j]


@compiled(parallel=True)
def run_kernel(law, steps, key, volts, path, m, rises, t_cross):  # type: ignore[no-untyped-def]
    """Advance m [trajectories, 3], rises [trajectories, poles] and t_cross [trajectories] in place."""
    for block in numba.prange((m.shape[0] + _LANES - 1) // _LANES):
        _follow(law, steps, key, volts, path, m, rises, t_cross, block * _LANES)
