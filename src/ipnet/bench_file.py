"""A bench as a TOML file says it: which instruments, which junctions, which card, and where their limits are."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ipnet.bench import Bench
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError, invalid_config
from ipnet.fit import load_junction
from ipnet.instrument import INSTRUMENTS, PARTS, Digitiser, Generator, Meter, Transport, losses
from ipnet.instrument._visa import connect
from ipnet.journal import Journal
from ipnet.limits import Limits, limits_beside, read_limits
from ipnet.replay import Replay
from ipnet.settings import read_toml
from ipnet.shots import Protocol, protocol_of
from ipnet.units import read_quantity


class Address(BaseModel):
    """An instrument.

    Args:
        driver: a name of `ipnet.instrument.INSTRUMENTS`.
        address: of VISA, see `ipnet.instrument._visa.connect`.
        baud: symbols per second, if that is a serial line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: str
    address: str
    baud: int = Field(9600, gt=0)


class BenchFile(BaseModel):
    """A bench.

    Args:
        card: name of a shipped card, or path of a TOML file; paths are relative to this file.
        limits: file of the junctions' limits; empty for the one beside the card.
        junctions: numbers at the multiplexer.
        sample_time: of waveforms, with its unit.
        timeout: for one reply, with its unit.
        shots_per_batch: see `ipnet.bench.Bench`; more are faster, and find a dead junction later.
        generator: drives the junction.
        meter: selects it, and measures its resistance.
        digitiser: records its current.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    card: str
    limits: str = ""
    junctions: tuple[int, ...] = Field(min_length=1)
    sample_time: str = "10 ns"
    timeout: str = "5 s"
    shots_per_batch: int = Field(14, ge=1)
    generator: Address
    meter: Address
    digitiser: Address


def read_bench(path: Path) -> BenchFile:
    """Read a bench; its paths become those from here.

    Raises:
        IPNetError: the file cannot be read, an unknown or missing key, a value that breaks a rule.
    """
    try:
        file = BenchFile.model_validate(read_toml(path, "bench"))
    except ValidationError as error:
        raise invalid_config(error, BenchFile, f"bench '{path.name}'") from error
    here = {key: _beside(path, value) for key in ("card", "limits") if (value := getattr(file, key))}
    return file.model_copy(update=here)


def _beside(path: Path, name: str) -> str:
    return str(path.parent / name) if name.endswith(".toml") else name


@contextmanager
def replay_bench(file: BenchFile, journal: Path, *, card: str = "") -> Iterator[tuple[Replay, MTJ]]:
    """The journal of a bench in place of its instruments, see `open_bench`; nothing is connected.

    Raises:
        IPNetError: no card, no limits, no journal, or one that was begun with others.
    """
    mtj, limits, protocol = _junctions(file, card)
    with Journal(journal, identities=None, limits=limits, card=mtj.card, protocol=protocol) as written:
        yield Replay(written, limits, mtj, protocol), mtj


@contextmanager
def open_bench(file: BenchFile, journal: Path, *, card: str = "") -> Iterator[tuple[Bench, MTJ]]:
    """Connect the instruments of a bench; park them and hang up when it is over.

    A lost connection is closed before another is opened: a port that one program at a time can have is free again,
    and an instrument that carries out late what it was told hears that nobody waits for it.

    Card and limits are read before anything is connected, and the instruments are asked for their identity before
    anything else is sent.

    Args:
        file: of the bench.
        journal: its file; a bench goes on with the one that it was begun with.
        card: in place of the file's; empty for that.

    Raises:
        IPNetError: no card, no limits, an instrument that is another one or does not answer, another journal.
    """
    mtj, limits, protocol = _junctions(file, card)

    connections = ExitStack()

    def reach() -> tuple[Generator, Meter, Digitiser]:
        connections.close()
        timeout, found = read_quantity(file.timeout, "s"), []
        for part, kind in PARTS.items():
            at: Address = getattr(file, part)
            driver = INSTRUMENTS[at.driver]
            if not issubclass(driver, kind):
                raise IPNetError(f"the {part} of a bench needs a driver of its kind; '{at.driver}' is none.")
            transport = connect(at.address, timeout=timeout, baud=at.baud)
            connections.callback(_hang_up, transport)
            found.append(driver(transport))
        return tuple(found)  # type: ignore[return-value]

    with connections:
        instruments = reach()
        identities = {part: one.idn for part, one in zip(PARTS, instruments, strict=True)}
        with (
            Journal(journal, identities=identities, limits=limits, card=mtj.card, protocol=protocol) as written,
            Bench(
                *instruments,
                limits,
                written,
                mtj,
                protocol,
                reconnect=reach,
                shots_per_batch=file.shots_per_batch,
            ) as bench,
        ):
            yield bench, mtj


def _hang_up(transport: Transport) -> None:
    with suppress(*losses()):
        transport.close()


def _junctions(file: BenchFile, card: str) -> tuple[MTJ, Limits, Protocol]:
    """What a bench knows of its junctions before it asks them."""
    mtj = load_junction(card or file.card)
    limits = read_limits(file.limits or limits_beside(file.card))
    return mtj, limits, protocol_of(mtj, read_quantity(file.sample_time, "s"))
