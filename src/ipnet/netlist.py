"""Export of a junction to SPICE: a subcircuit with the laws of `ipnet.device.mtj`, and a pulse train to try it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ipnet import __version__
from ipnet.cards import Card, read_card_file, shipped_cards, unit_of
from ipnet.device import DEVICES, Device
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.physics import MU_0, demagnetisation
from ipnet.units import format_si

Kind = Literal["drive", "probe", "read", "reset"]
_RENAMED = {"q": "q_Ms"}  # q is the charge of the electron to LTspice
_ACCESS = f"""\
+ V_threshold=0.5 ; V, word line against bottom at which the access transistor conducts. Assumed: half of 1 V
+ R_on=1e-3 ; ohm, access transistor on. Assumed: none, the voltages of a card are those of the junction itself
+ R_off=1e12 ; ohm, access transistor off. Assumed: no leakage
+ ambient=0 ; K, how much warmer than temp_0 the surroundings are. Assumed: none
+ mu_0={MU_0} ; T m/A, vacuum permeability. Source: CODATA 2022
"""
_ABOUT = """
This deck runs as it is: ngspice -b FILE. For each clock cycle k of the pulse train at its end it prints rise_k
(temperature rise at the end of the cycle, K), h_k (hazard integrated over the pulse that may switch), p_k (the
switching probability, 1 - exp(-h_k)) and i_k (current halfway through the read pulse, uA), then three waveforms.
With -r FILE.raw, all waveforms go into that file instead.

To use the junction in a circuit, copy the lines from .subckt to .ends and the .options into it. For example,
X1 top bottom wl rise state hazard H clear current mtj_neuron R_P=2600
is a junction with another R_P; each value in the list of the subcircuit can be given like that. The nodes:
top, bottom: electrodes, top behind the access transistor [V]
wl: word line; the access transistor conducts while V(wl, bottom) exceeds V_threshold [V]
rise: thermal port, 1 V = 1 K above temp_0 and 1 A = 1 W into the junction; leave it open, or couple neighbours
state: input, 0 V = parallel (P), 1 V = antiparallel (AP); in between, the two conductances are mixed
hazard: output, rate at which this state is left, 1 V = 1 per ns = 1e9 per s
H: output, integral of the hazard, 1 V = 1; meanwhile the junction switches with probability 1 - exp(-H)
clear: input, 1 V keeps H at zero, 0 V lets it integrate
current: output, from top to bottom through the junction, 1 V = 1 uA
Nothing here is random: read H at the end of a pulse, draw, and set `state` for what follows.

Polarity: top positive drives P to AP, top negative drives AP to P; exchange the electrodes if the stack is grown
the other way round. The opposite polarity raises the barrier instead: it heats and does not switch.

The laws are those of ipnet.device.mtj, with one difference: there, the power of a pulse is that at its start (read
and reset: at ambient temperature); here, the resistance of the antiparallel state follows the heat.
Valid, as there, for pulses of at least 10 tau_0, below temp_C and temp_P, while a barrier remains.

Tested with ngspice 39 only. The subcircuit keeps to what LTspice documents, too (behavioural sources B with pow,
max, min, exp and the step u), but check that the .ic within is honoured. PSpice wants E and G sources with VALUE=
in place of B, and STP for u. The .options, .print, and the quotes of param='..' in .meas belong to ngspice.
"""
_LAWS = """\
.param tmr_0={R_AP/R_P-1} P_0={sqrt(tmr_0/(2+tmr_0))} torque_0={P_0/(1+P_0*P_0)}
.param bloch_0={1-pow(temp_0/temp_P,1.5)} f_0={pow(1-pow(temp_0/temp_C,q_Ms),beta)}
* Share of the shape in the anisotropy, mu_0 N Ms^2 t_free / (2 K_i).
.param shape={mu_0*N_demag/2*Ms*Ms*t_free/K_i}
* Access transistor, a switch between top and the junction (j).
S_access top j wl bottom access
.model access sw(vt={V_threshold} vh=0 ron={R_on} roff={R_off})
* Spin polarisation P_0 (1 - (temp/temp_P)^1.5) / (1 - (temp_0/temp_P)^1.5) and TMR = 2 P^2 / (1 - P^2) [1].
B_pol pol 0 V=P_0*max(1e-3,1-pow((temp_0+V(rise))/temp_P,1.5))/bloch_0
B_tmr tmr 0 V=2*V(pol)*V(pol)/(1-V(pol)*V(pol))
* Current V / R_P, or V / (R_P (1 + TMR / (1 + (V/V_h)^2))) in the antiparallel state [uA].
B_part part 0 V=min(1,max(0,V(state)))
B_current current 0 V=1e6*V(j,bottom)/R_P*(1-V(part)+V(part)/(1+V(tmr)/(1+pow(V(j,bottom)/V_h,2))))
B_junction j bottom I=1e-6*V(current)
* Heat V I into a Foster chain: C_th d(rise)/dt = V I - rise / R_th for each pole, C_th = tau_th / R_th.
B_heat 0 rise I=1e-6*V(current)*V(j,bottom)
{CHAIN}
V_ambient ambience 0 {ambient}
* Magnetisation relative to temp_0: m = 1 + Ms_weight (f(temp)/f(temp_0) - 1), f = (1 - (temp/temp_C)^q)^beta [1].
B_m m 0 V=1+Ms_weight*(pow(max(1e-3,1-pow((temp_0+V(rise))/temp_C,q_Ms)),beta)/f_0-1)
* Barrier relative to temp_0: kappa = K_eff(temp)/K_eff(temp_0), K_eff = K_i k / t_free - mu_0 N Ms^2 m^2 / 2,
* k = 1 + K_weight (m^n_K - 1) [1].
B_kappa kappa 0 V=max(1e-3,(1+K_weight*(pow(V(m),n_K)-1)-shape*V(m)*V(m))/(1-shape))
* Thermal stability of the state, delta kappa temp_0 / temp [1].
B_left left 0 V=u(V(state)-0.5)
B_barrier barrier 0 V=(delta+(delta_AP-delta)*V(left))*V(kappa)*temp_0/(temp_0+V(rise))
* Critical voltage of the state, V_c0 kappa torque(P_0)/torque(P), torque = P/(1 + P^2); negative from AP to P [V].
B_critical critical 0 V=(V_c0-(V_c0+V_c0_AP)*V(left))*V(kappa)*torque_0*(1+V(pol)*V(pol))/V(pol)
* Hazard exp(-barrier (1 - V/critical)^b) / tau_0, without barrier above the critical voltage [1/ns].
B_hazard hazard 0 V=1e-9/tau_0*exp(-V(barrier)*pow(max(0,1-V(j,bottom)/V(critical)),exponent))
* Its integral: 1 mA per 1/ns into 1 pF is 1e9 V/s. `clear` empties it within 0.1 ns.
B_integrate 0 H I=1e-3*V(hazard)
C_H H 0 1e-12
B_clear H 0 I=0.1*V(H)*min(1,max(0,V(clear)))
.ic V(H)=0
.ends mtj_neuron"""


@dataclass(frozen=True)
class Pulse:
    """One pulse on the junction.

    Args:
        cycle: clock cycle that it belongs to, from 0.
        kind: what it is for. The one that may switch is `probe`, or `drive` in an operation without probes.
        start: [s].
        width: at half its height [s].
        voltage: of top against bottom; positive drives P to AP [V].
    """

    cycle: int
    kind: Kind
    start: float
    width: float
    voltage: float

    @property
    def end(self) -> float:
        """Start plus width [s]."""
        return self.start + self.width


def netlist(
    device: Device,
    u: Sequence[float] | None = None,
    switched: Sequence[bool] | None = None,
    *,
    edge: float | None = None,
) -> str:
    """A SPICE deck of a junction: the subcircuit `mtj_neuron` and a pulse train that shows what it does.

    Args:
        device: an MTJ; the deck has the values of its card.
        u: gain times pre-activation of each clock cycle [V]; None stands for six events and six cycles of rest.
        switched: whether the junction switches in each cycle; None stands for never, without `u` for the sixth.
        edge: rise and fall time of the pulses [s], which rise after their start and fall after their end; None
            stands for a thousandth of the shortest.

    Returns:
        The text of a file for ``ngspice -b``, which explains itself at its top.

    Raises:
        IPNetError: the device is no MTJ; no cycle, cycles that do not match, or an edge that does not fit.

    Example:
        >>> from ipnet.device import load_device
        >>> "R_P=2530 ; ohm, resistance of the parallel state" in netlist(load_device("mtj-thermal"))
        True
    """
    junction = _junction(device)
    card = junction.card
    if switched is None:
        switched = [cycle == 5 for cycle in range(12)] if u is None else [False] * len(u)
    if u is None:
        u = [card.clock.gain] * 6 + [0.0] * 6
    train = pulse_train(junction, u, switched)
    head = f"{card.name}: {card.title}\nWritten by IPNet {__version__} from device card '{card.name}'."
    bench = f"Pulse train: {len(u)} cycles of the clock of the card, whose values are fixed in what follows:"
    clock = "\n".join(f"{key} = {value} {note}" for key, value, note in _rows(card, "clock"))
    about, operation = _comments(f"{head}\n\n{card.description}{_ABOUT}"), _comments(f"\n{bench}\n{clock}")
    deck = [*about, subcircuit(junction), *operation, *_testbench(junction, train, edge), ".end", ""]
    return "\n".join(deck)


def subcircuit(device: Device) -> str:
    """The subcircuit `mtj_neuron` alone, from .subckt to .ends; the top of a `netlist` explains its nodes.

    Raises:
        IPNetError: the device is no MTJ.
    """
    card = _junction(device).card
    head = ".subckt mtj_neuron top bottom wl rise state hazard H clear current params:"
    values = [f"+ {_RENAMED.get(key, key)}={value} ; {note}" for key, value, note in _rows(card, "parameters")]
    N = demagnetisation(card.parameters.diameter, card.parameters.t_free)
    values.append(
        f"+ N_demag={N:.8g} ; 1, N_z - N_x of a cylinder of this diameter and t_free (Joseph 1966). Computed"
    )
    return "\n".join([head, *values, _ACCESS + _LAWS.replace("{CHAIN}", _chain(card.parameters.R_th))])


def pulse_train(device: Device, u: Sequence[float], switched: Sequence[bool]) -> list[Pulse]:
    """The pulses that clock cycles put on a junction, in order.

    A junction that switches in a cycle is in its other state from the start of the read pulse to the end of the
    reset pulse, which no other cycle has. The drive pulse before a probe, the read pulse and the reset pulse have
    the polarity that stabilises the resting state.

    Args:
        device: an MTJ, for its clock.
        u: gain times pre-activation of each cycle [V].
        switched: whether the junction switches in each cycle.

    Raises:
        IPNetError: the device is no MTJ; no cycle, or cycles that do not match.
    """
    junction = _junction(device)
    if not len(u) or len(u) != len(switched) or not all(map(math.isfinite, u)):
        raise IPNetError(
            f"a pulse train must have one cycle or more, each with a finite u and whether it switched; got "
            f"{len(u)} u and {len(switched)} switched: give each cycle both."
        )
    clock, forward = junction.card.clock, -1.0 if junction.resting else 1.0
    train = []
    for cycle, V in enumerate(junction.drive(torch.tensor(u, dtype=torch.float64)).tolist()):
        slots: list[tuple[Kind, float, float]] = [("drive", clock.t_pulse, -V if junction.probes else V)]
        slots += [("probe", clock.t_probe, clock.V_probe)] if junction.probes else []
        slots += [("read", clock.t_read, -clock.V_read)]
        slots += [("reset", clock.t_reset, -clock.V_reset)] if switched[cycle] else []
        start = cycle * clock.t_cycle
        for kind, width, voltage in slots:
            train.append(Pulse(cycle, kind, start, width, forward * voltage))
            start += width
    return train


def _junction(device: Device) -> MTJ:
    if type(device) is MTJ:  # a subclass may have other laws
        return device
    known = [name for name in shipped_cards() if DEVICES[read_card_file(name).device] is MTJ]
    raise IPNetError(
        f"only the junction of a card with device = 'mtj' can be exported to SPICE; got card '{device.card.name}' "
        f"as a device of class {type(device).__name__}: choose one of {', '.join(known)}, or a card of yours."
    )


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()  # not every simulator reads more


def _comments(text: str) -> list[str]:
    return [f"* {line}".rstrip() for line in _ascii(text).splitlines()]


def _rows(card: Card[Any, Any], table: Literal["parameters", "clock"]) -> Iterator[tuple[str, str, str]]:
    """Name, value in SI, and 'UNIT, description. Source: ...' of each value of a card; poles one by one."""
    values = getattr(card, table)
    for key, field in type(values).model_fields.items():
        value, entry = getattr(values, key), card.entries.get(f"{table}.{key}")
        if entry is None:  # a word, such as the operation
            yield key, value, ""
            continue
        origin = f"Source: {entry.source}" if entry.source else f"Assumed: {entry.assumed}"
        note = _ascii(f"{unit_of(type(values), key)}, {field.description}. {' '.join(origin.split())}")
        parts = {key: value} if isinstance(value, float) else {f"{key}_{i}": x for i, x in enumerate(value, 1)}
        yield from ((name, f"{part:.12g}", note) for name, part in parts.items())


def _chain(R_th: Iterable[float]) -> str:
    """The thermal poles from the port to the surroundings; one that does not heat is left out."""
    poles = [number for number, R in enumerate(R_th, start=1) if R > 0]
    nodes = ["rise", *(f"below_{number}" for number in poles[:-1]), "ambience"]
    chain = [
        f"R_pole_{i} {above} {below} {{R_th_{i}}}\nC_pole_{i} {above} {below} {{tau_th_{i}/R_th_{i}}}"
        for i, above, below in zip(poles, nodes, nodes[1:], strict=False)
    ]
    return "\n".join(chain or ["V_cold rise ambience 0"])


def _testbench(junction: MTJ, train: Sequence[Pulse], edge: float | None) -> Iterator[str]:
    """Sources, analysis and measurements for a train of pulses on one junction."""
    clock, resting = junction.card.clock, float(junction.resting)
    shortest = min(pulse.width for pulse in train if pulse.width > 0)
    edge = shortest / 1000 if edge is None else edge
    if not 0 < edge <= shortest / 10:
        raise IPNetError(
            f"the edges of a pulse must take more than no time and at most a tenth of the shortest pulse, "
            f"{format_si(shortest, 's')}; got {format_si(edge, 's')}: shorten them."
        )
    V, state, clear, measured = [], [], [], []
    for pulse in train:
        V += [(pulse.start, pulse.voltage), (pulse.end, -pulse.voltage)]
        after, cycle = pulse.end + edge, pulse.cycle + 1
        if pulse.kind == "reset":
            state += [(pulse.start - clock.t_read + edge, 1 - 2 * resting), (after, 2 * resting - 1)]
        elif pulse.kind == "read":
            measured += [f"rise_{cycle} find V(rise) at={cycle * clock.t_cycle:.12g}"]
            measured += [f"i_{cycle} find V(current) at={(pulse.start + after) / 2:.12g}"] * (pulse.width > 0)
        elif pulse.kind == "probe" or not junction.probes:
            clear += [(pulse.start, -1.0), (after, 1.0)]
            measured += [f"h_{cycle} find V(H) at={after:.12g}", f"p_{cycle} param='1-exp(-h_{cycle})'"]
    yield from ("X1 top 0 wl rise state hazard H clear current mtj_neuron", "V_wl wl 0 1")
    for source, level, steps in (("top", 0.0, V), ("state", resting, state), ("clear", 1.0, clear)):
        yield from _pwl(f"V_{source} {source} 0", level, steps, edge)
    yield ".options reltol=1e-5 vntol=1e-9 abstol=1e-15 chgtol=1e-18"
    step, stop = clock.t_cycle / 100, (train[-1].cycle + 1) * clock.t_cycle + 4 * edge
    yield f".tran {step:.12g} {stop:.12g} 0 {step:.12g}"
    yield from (f".meas tran {what}" for what in measured)
    yield ".print tran V(top) V(rise) V(H)"


def _pwl(source: str, level: float, steps: Iterable[tuple[float, float]], edge: float) -> Iterator[str]:
    """A piecewise linear source: starts at a level, takes steps (time, height), joins simultaneous ones."""
    merged: list[tuple[float, float]] = []
    for time, height in sorted(steps):
        if merged and time - merged[-1][0] < 2 * edge:
            merged[-1] = (merged[-1][0], merged[-1][1] + height)
        else:
            merged.append((time, height))
    yield f"{source} PWL("
    yield f"+ 0 {level:.12g}"
    for time, height in merged:
        if time > 0:
            yield f"+ {time:.12g} {level:.12g}"
        level = round(level + height, 12)
        yield f"+ {time + edge:.12g} {level:.12g}"
    yield "+ )"
