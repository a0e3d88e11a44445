"""The commands about devices. Everything heavy is imported inside the command that needs it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipnet.console import Json, print_json, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from ipnet.characterisation import Characterisation
    from ipnet.fit_result import Fit
    from ipnet.validation import Validation

devices = typer.Typer(no_args_is_help=False, invoke_without_command=True)

CardName = Annotated[str, typer.Argument(help="Name of a shipped card, or a TOML file.")]
Picture = Annotated[
    Path | None, typer.Option("--figure", help="Picture to write; the ending chooses png, svg or pdf.")
]


def _table(title: str, *columns: str, caption: str = "") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), caption=escape(caption) or None)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _draw(figure: "Figure", path: Path) -> None:
    """Write a picture, saying where; a folder that is missing is made."""
    from ipnet.device_figures import save_figure

    _write(path, lambda: save_figure(figure, path))


def _write(path: Path, write: Any) -> None:
    from ipnet.errors import IPNetError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    except OSError as error:
        raise IPNetError(f"'{path}' cannot be written ({error.strerror}); choose another place.") from error
    typer.echo(f"written: {path}", err=True)


@devices.callback()
def list_devices(context: typer.Context, as_json: Json = False) -> None:
    """List the shipped cards."""
    if context.invoked_subcommand:
        return
    from ipnet.device import card_names, load_device

    cards = [load_device(name).card for name in card_names()]
    if as_json:
        print_json([{"name": card.name, "device": card.device, "title": card.title} for card in cards])
        return
    table = _table("Device cards", "card", "physics", "what it is", "sourced", "assumed")
    for card in cards:
        assumed = sum(bool(entry.assumed) for entry in card.entries.values())
        table.add_row(card.name, card.device, card.title, str(len(card.entries) - assumed), str(assumed))
    show(table)


@devices.command("show")
def show_device(card: CardName, as_json: Json = False) -> None:
    """Print every value of a card with its unit and its source."""
    from rich.markup import escape

    from ipnet.device import load_device

    device = load_device(card)
    found = device.card
    if as_json:
        values = {key: entry.model_dump(exclude_none=True) for key, entry in found.entries.items()}
        print_json({"name": found.name, "device": found.device, "title": found.title, "values": values})
        return
    columns = "value", "", "unit", "source, or why it is assumed"
    table = _table(f"{found.name}: {found.title}", *columns, caption=found.description.strip())
    for key, entry in found.entries.items():
        origin = escape(entry.source) if entry.source else f"[yellow]assumed[/]: {escape(entry.assumed or '')}"
        span = f" (sweep {entry.range[0]:g} to {entry.range[1]:g})" if entry.range else ""
        group, _, name = key.partition(".")
        label = name if group in ("parameters", "clock") else f"{group}: {name}"
        table.add_row(label, entry.numbers, entry.unit, origin + span)
    show(table)
    typer.echo(f"memory: {device.memory_cycles():.2f} clock cycles to 1/e")


@devices.command("export")
def export_device(
    card: CardName,
    spice: Annotated[Path, typer.Option("--spice", help="SPICE deck to write, for example out.cir.")],
) -> None:
    """Write the neuron cell as a SPICE netlist with a pulse train that runs as it is: ngspice -b out.cir."""
    from ipnet.device import load_device
    from ipnet.netlist import netlist

    text = netlist(load_device(card))
    _write(spice, lambda: spice.write_text(text, "utf-8"))


@devices.command("validate")
def validate_device(
    card: CardName,
    match: Annotated[
        str, typer.Option(help="What the macrospin shares with the card: 'S-curve' (when cold) or 'parameters'.")
    ] = "S-curve",
    trajectories: Annotated[int, typer.Option(help="Macrospins per condition.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of their noise.")] = 0,
    figure: Picture = None,
    as_json: Json = False,
) -> None:
    """Compare the compact switching law with a macrospin that heats, over voltage and starting temperature."""
    from typing import cast

    from ipnet.device import load_device
    from ipnet.validation import Match, validate

    found = validate(load_device(card), match=cast("Match", match), trajectories=trajectories, seed=seed)
    if figure:
        from ipnet.validation_figure import validation_figure

        _draw(validation_figure(found), figure)
    if as_json:
        print_json(_plain(found) | {"holds": found.holds.tolist(), "shift": found.shift.tolist()})
        return
    show(_validation_table(found))
    for rise, shift in zip(found.rises, found.shift, strict=True):
        typer.echo(f"starting {rise:.0f} K warm, the macrospin's hazard is e^{shift:+.2f} times the compact law's")
    typer.echo(found.verdict)


def _validation_table(found: "Validation") -> "Table":
    facts = [
        f"{name} {card * unit:.4g} / {spin * unit:.4g} {symbol}".strip()
        for name, (card, spin), unit, symbol in (
            ("delta", found.delta, 1, ""),
            ("V_c0", found.V_c0, 1e3, "mV"),
            ("tau_0", found.tau_0, 1e9, "ns"),
        )
    ]
    table = _table(
        f"{found.card}: P of switching from {found.left} in {1e9 * found.t_pulse:.4g} ns, %",
        *("rise, K", "V, mV", "compact", "macrospin", "agree"),
        caption=f"{found.trajectories} macrospins each, same {found.match}\ncard / macrospin: {', '.join(facts)}\n"
        f"{100 * found.volume_share:.0f} % of the free layer turns over, torque x {found.efficiency:.3g}",
    )
    for i, rise in enumerate(found.rises):
        for j, V in enumerate(found.voltages):
            table.add_row(
                f"{rise:.1f}",
                f"{1e3 * V:.1f}",
                f"{100 * found.compact[i, j]:.1f}",
                f"{100 * found.macrospin[i, j]:.1f} +- {100 * found.error[i, j]:.1f}",
                "yes" if found.holds[i, j] else "[yellow]no[/]",
                end_section=j == len(found.voltages) - 1,
            )
    return table


def _plain(value: Any) -> Any:
    """Dataclasses, arrays and tuples as JSON can hold them; numbers that are not finite become null."""
    import dataclasses
    import math

    import numpy as np

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@devices.command("characterise")
def characterise_device(
    card: CardName,
    amplitude: Annotated[float, typer.Option(help="Of the event that is remembered, in units of the gain.")] = 1.0,
    figure: Picture = None,
    as_json: Json = False,
) -> None:
    """S-curves, heating, memory kernel and horizon, energy per pulse: in numbers and as a picture."""
    from ipnet.characterisation import characterise
    from ipnet.device import load_device

    found = characterise(load_device(card), amplitude)
    if figure:
        from ipnet.device_figures import characterisation_figure

        _draw(characterisation_figure(found), figure)
    if as_json:
        print_json(_plain(found))
        return
    _show_characterisation(found)


def _show_characterisation(found: "Characterisation") -> None:
    from ipnet.horizon import DETECTABLE
    from ipnet.units import format_si

    table = _table(f"{found.card}: what one event leaves", "quantity", "value")
    seen, at, junction = found.kernel, found.horizon, found.junction
    if seen is None or at is None:
        table.add_row("memory", "none")
    else:
        shifts = ", ".join(f"{shift:.3g}" for shift in seen.shift[1:6])
        table.add_row("shift of the answer 1 to 5 cycles later", f"{shifts} ({seen.scale})")
        seconds = f", {format_si(at.seconds, 's')}" if at.seconds is not None else ""
        table.add_row("horizon, to 1/e", f"{at.cycles:.3g} cycles{seconds}")
        level = f"detectable, to {DETECTABLE[at.scale]:g} ({at.scale})"
        table.add_row(level, f"{at.detectable_cycles:.3g} cycles")
    if junction:
        for curve in junction.switching:
            if curve.V_50 is not None and curve.slope is not None:
                steep = f"{1e3 * curve.slope:.3g} mV per logit"
                table.add_row(f"V_50, {curve.start:g} K warm", f"{format_si(curve.V_50, 'V')}, {steep}")
        table.add_row("sensitivity to heat", f"{junction.logit_per_kelvin:.3g} logit per kelvin")
        table.add_row("rise at the end of the event", f"{junction.event_rise:.3g} K")
        energy = junction.energy
        for name in ("drive_event", "probe", "read", "reset", "cycle_silent", "cycle_event", "cycle_switched"):
            table.add_row(f"energy, {name.replace('_', ' ')}", format_si(getattr(energy, name), "J"))
        table.add_row(f"energy, average at {energy.event_rate:g} events per cycle", format_si(energy.average, "J"))
        table.caption = "energy: Joule heat of the junction alone"
    show(table)


@devices.command("match")
def match_device(
    card: CardName,
    frame_interval: Annotated[str, typer.Option(help="Time between frames in the task, such as 20ms.")],
    horizon: Annotated[str, typer.Option(help="How long the task must remember, such as 500ms.")],
    compression: Annotated[
        float | None, typer.Option(help="Replay frames this many times faster; default: search.")
    ] = None,
    figure: Picture = None,
    as_json: Json = False,
) -> None:
    """Does the relaxation of this device fit a task, natively or replayed faster; and if not, which one would?"""
    from ipnet.codesign import match
    from ipnet.device import load_device
    from ipnet.units import read_quantity

    found = match(load_device(card), read_quantity(frame_interval, "s"), read_quantity(horizon, "s"), compression)
    if as_json:
        print_json(_plain(found))
    else:
        typer.echo("\n".join(found.sentences))
    if figure:
        from ipnet.device_figures import match_figure

        _draw(match_figure(found), figure)


@devices.command("fit")
def fit_device(
    data: Annotated[
        Path, typer.Argument(help="CSV: V, t_pulse, trials, switches; perhaps delay, V_cond, t_cond...")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Card to write, for example card.toml.")],
    like: Annotated[str, typer.Option(help="Card that gives what is not fitted, and the clock.")] = "mtj-thermal",
    poles: Annotated[int | None, typer.Option(help="Thermal poles, 1 or 2; default: as in that card.")] = None,
    figure: Picture = None,
    as_json: Json = False,
) -> None:
    """Turn a measurement into a card: maximum likelihood, 95 % intervals, goodness of fit, what to measure."""
    from ipnet.cards import format_card
    from ipnet.errors import IPNetError
    from ipnet.fit import fit, load_junction
    from ipnet.fitted_card import fitted_card
    from ipnet.measurement import read_measurements

    if output.suffix != ".toml":
        raise IPNetError(f"a card's name must end in .toml; got '{output.name}'.")
    base = load_junction(like)
    found = fit(read_measurements(data, base), base, poles)
    if figure:
        from ipnet.fit_figure import fit_figure

        _draw(fit_figure(found), figure)
    if as_json:
        print_json(_fit_numbers(found))
    else:
        _show_fit(found)
    text = format_card(fitted_card(found, output.stem))
    _write(output, lambda: output.write_text(text, "utf-8"))


def _fit_numbers(found: "Fit") -> dict[str, Any]:
    names = ("estimates", "held", "correlation", "goodness", "quarantined", "warnings", "notes")
    return {name: _plain(getattr(found, name)) for name in names} | {"rows": len(found.rows)}


def _show_fit(found: "Fit") -> None:
    from ipnet.fit_result import format_value

    table = _table(f"{found.rows.name}: {len(found.rows)} rows", "value", "fitted", "95 % interval", "base card")
    for name, estimate in found.estimates.items():
        value, base = (format_value(number, estimate.unit) for number in (estimate.value, estimate.base))
        table.add_row(name, value, estimate.interval.removeprefix("95 % interval "), base)
    show(table)
    good = found.goodness
    typer.echo(
        f"deviance {good.deviance:.4g}, {good.dof} degrees of freedom, p = {good.p_value:.2g}, "
        f"overdispersion {good.overdispersion:.2f}"
    )
    for heading, lines in (("warning", found.warnings), ("note", found.notes), ("left out", found.quarantined)):
        for line in lines:
            typer.echo(f"{heading}: {line}")


@devices.command("simulate")
def simulate_device(
    card: CardName,
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV to write, for example data.csv.")],
    trials: Annotated[int, typer.Option(help="Pulses of each row.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
) -> None:
    """A plan of measurements that can identify this junction, with SIMULATED counts, as `fit` reads them."""
    from ipnet.errors import IPNetError
    from ipnet.fit import load_junction
    from ipnet.simulated_measurement import format_measurements, plan, simulate

    if trials < 1:
        raise IPNetError(f"trials must be at least 1; got {trials}.")
    junction = load_junction(card)
    clock, parameters = junction.card.clock, junction.card.parameters
    slowest = max(parameters.tau_th)
    conditions = plan(
        junction,
        delays=[slowest * share for share in (0.03, 0.1, 0.3, 1, 3)],
        V_cond=clock.V_max,
        t_cond=slowest,
        widths=[clock.t_pulse, 10 * clock.t_pulse],
        ambients=[parameters.temp_0, parameters.temp_0 + 40],
    )
    text = format_measurements(simulate(junction, conditions, trials, seed, name=output.name))
    comment = f"# SIMULATED: a junction that obeys card '{junction.card.name}' exactly; seed {seed}\n"
    _write(output, lambda: output.write_text(comment + text, "utf-8"))
