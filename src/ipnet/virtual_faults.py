"""What goes wrong in the virtual laboratory, as a TOML file says it, drawn with seeds."""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ipnet.cards import Values, quantity
from ipnet.errors import invalid_config
from ipnet.settings import read_toml
from ipnet.virtual_chip import Chip, Drift, Endurance, Fate

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stuck(_Part):
    """A junction that keeps its state from one of its plays on, counted from 0."""

    junction: int = Field(ge=0)
    play: int = Field(ge=0)
    state: Literal["P", "AP"] = "P"


class Breakdown(_Part):
    """A junction whose barrier is pierced at one of its plays, counted from 0, whatever the voltage."""

    junction: int = Field(ge=0)
    play: int = Field(ge=0)


class Limits(Values):
    """What the junctions survive where it is not the default, see `ipnet.virtual_chip.Endurance`."""

    V_max: float | None = quantity("V", "largest voltage", default=None, gt=0)
    P_max: float | None = quantity("W", "largest power", default=None, gt=0)
    t_max: float | None = quantity("s", "longest pulse above a quarter of V_max", default=None, gt=0)


class Drifts(Values):
    """How the junctions change, see `ipnet.virtual_chip.Drift`."""

    R: float = quantity("1", "standard deviation of ln R that a play adds", default=0.0, ge=0)
    V_c0: float = quantity("1", "standard deviation of ln V_c0 that a play adds", default=0.0, ge=0)


class Faults(_Part):
    """The faults of a laboratory; everything is 0 or absent by default.

    Args:
        seed: of the draws, apart from that of the chip.
        time_out: share of the answers that are never sent, though the command was carried out.
        drop: share of the messages at which the connection is closed, half of them before the message is carried
            out and half of them after.
        garbled: share of the answers in which bytes are replaced by bytes above 127, blocks lose their end.
        nan: share of the messages in which a measured value is what stands for "not a number": 9.91e37 of the
            meter, level 0, a hole, of the oscilloscope.
        slow: share of the messages that are carried out only after `slow_time`.
        slow_time: [s].
        stuck: junctions that keep their state.
        breakdown: junctions that break.
        limits: above which a junction breaks, SI.
        drift: of the junctions.

    Example:
        >>> Faults(drop=0.1, stuck=[{"junction": 2, "play": 5, "state": "AP"}]).stuck[0].state
        'AP'
    """

    seed: int = 0
    time_out: Share = 0.0
    drop: Share = 0.0
    garbled: Share = 0.0
    nan: Share = 0.0
    slow: Share = 0.0
    slow_time: float = Field(default=0.5, ge=0)
    stuck: tuple[Stuck, ...] = ()
    breakdown: tuple[Breakdown, ...] = ()
    limits: Limits = Limits()
    drift: Drifts = Drifts()


def read_faults(path: Path) -> Faults:
    """The faults of a TOML file.

    Raises:
        IPNetError: the file cannot be read, an unknown key, a value out of its range.
    """
    try:
        return Faults.model_validate(read_toml(path, "faults"))
    except ValidationError as error:
        raise invalid_config(error, Faults, f"faults '{path.name}'") from error


def chip_with(card: str | Path, junctions: int, seed: int, faults: Faults) -> Chip:
    """A chip of a card that breaks, sticks and drifts as the faults say.

    Raises:
        IPNetError: see `ipnet.virtual_chip.Chip`.
    """
    chip = Chip(
        card,
        junctions,
        seed,
        drift=Drift(**faults.drift.model_dump()),
        fates=[
            *(Fate(stuck.junction, stuck.play, stuck.state) for stuck in faults.stuck),
            *(Fate(broken.junction, broken.play, "broken") for broken in faults.breakdown),
        ],
    )
    standard = Endurance.of(chip.nominal)
    given = faults.limits.model_dump(exclude_none=True)
    if "V_max" in given:  # and with it the power, unless that is given, too
        standard = Endurance(
            given["V_max"], standard.P_max * (given["V_max"] / standard.V_max) ** 2, standard.t_max
        )
    chip.endurance = Endurance(**vars(standard) | given)
    return chip


class Trouble(NamedTuple):
    """What happens to one message."""

    early_drop: bool = False
    late_drop: bool = False
    silent: bool = False
    garbled: bool = False
    nan: bool = False
    slow: bool = False


class Draws:
    """The troubles of the messages that reach one instrument, in order.

    Args:
        faults: how often what happens.
        stream: number of the instrument; each has random numbers of its own.
    """

    def __init__(self, faults: Faults, stream: int) -> None:
        self.faults, self.rng = faults, np.random.default_rng((faults.seed, stream))

    def next(self) -> Trouble:
        """The trouble of the next message."""
        faults, draw = self.faults, self.rng.random(5)
        return Trouble(
            early_drop=bool(draw[0] < faults.drop / 2),
            late_drop=bool(faults.drop / 2 <= draw[0] < faults.drop),
            silent=bool(draw[1] < faults.time_out),
            garbled=bool(draw[2] < faults.garbled),
            nan=bool(draw[3] < faults.nan),
            slow=bool(draw[4] < faults.slow),
        )

    def garble(self, answer: bytes) -> bytes:
        """An answer with up to three bytes that no instrument sends; a block stops halfway."""
        text = bytearray(answer[: len(answer) // 2] if answer.startswith(b"#") else answer)
        for at in self.rng.integers(0, min(len(text), 64), 3):
            text[at] = int(self.rng.integers(128, 256))
        return bytes(text)
