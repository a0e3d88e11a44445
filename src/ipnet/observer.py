"""An observer: a card that performs a paradigm. All that is free, and so not physics, stands in `Observer`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.stats import norm
from torch import Tensor

from ipnet.device import Device, State, load_device
from ipnet.errors import IPNetError, invalid_config
from ipnet.field import NOTHING, Layout, MemoryField
from ipnet.paradigm import Cue, Judge, Paradigm, Pause, Performance, Recall, Show
from ipnet.seeds import make_seed
from ipnet.settings import apply_setting

# Fixed on free recall of 20 words at one per second (Murdock 1962), and on nothing else.
CALIBRATED: dict[str, dict[str, Any]] = {
    "leaky": {"t_cycle": 140e-9, "layout": Layout(junctions=720)},
    "memristor-rnnet": {"layout": Layout(junctions=32)},
    "mtj-nyu": {"t_cycle": 140e-9, "layout": Layout(junctions=4500)},
    "mtj-thermal": {"t_cycle": 140e-9, "layout": Layout(junctions=112)},
}
_CHUNK = 256  # trials that are run together, and share patterns
_ROUNDING = 1e-9  # cycles
_DRAWS, _PATTERNS = 1, 2  # streams of random numbers


class Observer(BaseModel):
    """What is chosen, once and for all paradigms; the values of the card are as they are.

    Args:
        card: name of a shipped card, or path of a TOML file.
        t_cycle: period of the clock [s]; None for the card's.
        seconds_per_cycle: seconds of an experiment that pass in a cycle of the device [s].
        false_alarms: how readily noise is taken for memory: probability per decision, in (0, 1/2]. A word that is
            asked for is called old from the z on that normal noise exceeds so often; when the words of the field
            compete to be named, the largest of their z must be one that it exceeds so often in any of them. While
            items are warm, noise has a longer tail than that: words that share places with them stand out.
        patience: cycles in succession in which no word is named, after which recall ends.
        rehearses: whether one of the words that stand out, drawn at random, is pulsed again when a cycle is to
            spare: while nothing is shown, and in every cycle but the first of an item that is.
        layout: of the memory field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    card: str = "mtj-thermal"
    t_cycle: float | None = Field(None, gt=0)
    seconds_per_cycle: float = Field(1.0, gt=0)
    false_alarms: float = Field(0.05, gt=0, le=0.5)
    patience: int = Field(10, ge=1)
    rehearses: bool = False
    layout: Layout = Layout()

    def criterion(self, words: int) -> float:
        """The z that one or more of so many noise values exceed with the probability `false_alarms`."""
        return float(norm.isf(self.false_alarms / words))

    def device(self) -> Device:
        """The device of the card, with the chosen clock."""
        clock: dict[str, Any] = {} if self.t_cycle is None else {"t_cycle": self.t_cycle}
        return load_device(self.card, **clock)

    def changed(self, settings: Sequence[str]) -> "Observer":
        """The observer with other choices, written as in ``"layout.overlap=0.25"``.

        Raises:
            IPNetError: no such choice, or a value of the wrong type or range.
        """
        content = self.model_dump()
        for setting in settings:
            apply_setting(content, setting)
        try:
            return Observer.model_validate(content)
        except ValidationError as error:
            raise invalid_config(error, Observer, "choice of an observer") from error


def observer_of(card: str) -> Observer:
    """The observer of a card: the choices that were fixed for it, or those of `Observer`.

    Example:
        >>> observer_of("mtj-thermal").layout.junctions
        112
    """
    return Observer(card=card, **CALIBRATED.get(card, {}))


def perform(
    observer: Observer,
    paradigm: Paradigm,
    *,
    subjects: int = 200,
    trials: int = 10,
    seed: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Performance:
    """Let an observer perform a paradigm.

    An item is pulsed for as many whole cycles as fit into the time it is shown; what is left of all steps adds up
    to cycles in silence, so that no time is lost over a trial. A judgement and a cue take one cycle. In each cycle
    of recall the word with the largest z is named, if it reaches the criterion of all words together and was not
    named before.

    Args:
        observer: the card and the free choices.
        paradigm: what is asked.
        subjects: each with `trials` trials, and patterns that it shares with its neighbours.
        trials: of each subject.
        seed: of stimuli, patterns and draws.
        report: told the share that is done.

    Raises:
        IPNetError: an item is shown for less than a cycle; see also `MemoryField`.
    """
    device, script = observer.device(), paradigm.script()
    total, parts = subjects * trials, []
    for start in range(0, total, _CHUNK):
        numbers = range(start, min(start + _CHUNK, total))
        stimuli = np.stack([paradigm.items(observer.layout, seed, index) for index in numbers])
        memory = MemoryField(device, observer.layout, make_seed(seed, start, _PATTERNS))
        trial = _Trial(observer, memory, torch.from_numpy(stimuli), make_seed(seed, start, _DRAWS))
        for step, cycles in _timed(observer, script):
            trial.do(step, cycles)
        parts.append((stimuli, trial.judged(), trial.named(), trial.recalled()))
        report((start + len(numbers)) / total)
    items, strength, named, recalled = zip(*parts, strict=True)
    width = max(part.shape[1] for part in recalled)
    padded = [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=NOTHING) for part in recalled]
    return Performance(
        items=np.concatenate(items),
        strength=np.concatenate(strength),
        named=np.concatenate(named),
        recalled=np.concatenate(padded),
        subjects=np.repeat(np.arange(subjects), trials),
        criterion=observer.criterion(1),
        layout=observer.layout,
    )


def _timed(observer: Observer, script: list[Any]) -> Iterator[tuple[Any, int]]:
    """Each step with its number of cycles; what is left of a cycle is made up for in silence."""
    left = 0.0  # cycles
    for step in script:
        whole = 1
        if not isinstance(step, Judge | Cue):
            cycles = step.seconds / observer.seconds_per_cycle
            whole = int(cycles + _ROUNDING) if isinstance(step, Show) else int(left + cycles + _ROUNDING)
            left += cycles - whole
        if isinstance(step, Show) and not whole:
            raise IPNetError(
                f"an item must be shown for a cycle of the device or longer; got {step.seconds:g} s, and "
                f"{observer.seconds_per_cycle:g} s per cycle: lower seconds_per_cycle."
            )
        yield step, whole
        if left + _ROUNDING >= 1:
            yield Pause(0.0), int(left + _ROUNDING)
            left -= int(left + _ROUNDING)


class _Trial:
    """Trials that run together."""

    def __init__(self, observer: Observer, memory: MemoryField, items: Tensor, seed: int) -> None:
        self.observer, self.memory, self.items = observer, memory, items
        self.state: State = memory.rest(len(items))
        self.criterion = observer.criterion(memory.layout.words)
        self.generator = torch.Generator().manual_seed(seed)
        self.p = torch.zeros(len(items), memory.layout.places)
        self.nothing = torch.full((len(items),), NOTHING)
        self.strengths: list[Tensor] = []
        self.named_words: list[Tensor] = []
        self.answers: list[Tensor] = []

    def do(self, step: Any, cycles: int) -> None:
        """Carry out one step."""
        if isinstance(step, Judge):
            z = self._asked()
            self.strengths.append(z.gather(1, self.items[:, step.column, None])[:, 0])
        elif isinstance(step, Cue):
            self.named_words.append(self._cued(step))
        elif isinstance(step, Recall):
            self._recall(cycles)
        else:
            shown = self.items[:, step.column] if isinstance(step, Show) else self.nothing
            for number in range(cycles):
                spare = self.observer.rehearses and (number or shown is self.nothing)
                self.p, self.state = self.memory.cycle(self._rehearsed(shown) if spare else shown, self.state)

    def _alike(self, item: Tensor, by: str) -> Tensor:
        """The words [B, words] that share a category, or a place in it, with an item [B, 1]."""
        words, category = torch.arange(self.memory.layout.words), self.memory.layout.category
        if by == "category":
            return words // category == item // category
        return words % category == item % category

    def judged(self) -> Any:
        """The z of all judgements [trials, judgements]."""
        return torch.stack(self.strengths, 1).numpy() if self.strengths else np.zeros((len(self.items), 0))

    def named(self) -> Any:
        """Words that were named when one was asked for [trials, cues]."""
        return self._stacked(self.named_words)

    def recalled(self) -> Any:
        """Words that came to mind [trials, answers]."""
        return self._stacked(self.answers)

    def _stacked(self, words: list[Tensor]) -> Any:
        return torch.stack(words, 1).numpy() if words else np.zeros((len(self.items), 0), np.int64)

    def _cued(self, step: Cue) -> Tensor:
        """The strongest of the words that share a category, or a place in it, with the item of a column."""
        fits = self._alike(self.items[:, step.column, None], step.by)
        if step.again:
            fits &= torch.arange(fits.shape[1]) != self.named_words[-1][:, None]
        z, word = self._asked().masked_fill(~fits, -torch.inf).max(1)
        return torch.where(z >= self.observer.criterion(int(fits.sum(1).max())), word, NOTHING)

    def _asked(self) -> Tensor:
        self.p, self.state = self.memory.cycle(self.nothing, self.state)
        return self.memory.evidence(self.p, self.generator)

    def _rehearsed(self, shown: Tensor) -> Tensor:
        """One of the words that stood out in the cycle before, drawn at random; what is shown if none did."""
        out = self.memory.evidence(self.p, self.generator) >= self.criterion
        word = (torch.rand(out.shape, generator=self.generator) * out).argmax(1)
        return torch.where(out.any(1), word, shown)

    def _recall(self, cycles: int) -> None:
        trial = torch.arange(len(self.items))
        said = torch.zeros(len(trial), self.memory.layout.words, dtype=torch.bool)
        failures = torch.zeros(len(trial), dtype=torch.int64)
        for _ in range(cycles):
            z, word = self._asked().masked_fill(said, -torch.inf).max(1)
            comes = (z >= self.criterion) & (failures < self.observer.patience)
            self.answers.append(torch.where(comes, word, NOTHING))
            said[trial[comes], word[comes]] = True
            failures = torch.where(comes, 0, failures + 1)
            if bool((failures >= self.observer.patience).all()):
                break
