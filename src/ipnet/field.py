"""A memory field: many junctions of one card, in which an item is a pattern of places that are pulsed."""

from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from ipnet.device import Device, State
from ipnet.neuron import Neuron

NOTHING = -1  # the number of no item


class Layout(BaseModel):
    """How items lie on the places of a field.

    Args:
        places: where pulses can be given, each to several junctions at once.
        size: places of an item; size / places is the sparsity.
        junctions: in parallel at each place; enough for their count to be drawn by its moments.
        words: items that can be named; others, the distractors, cannot.
        distractors: items that are only ever shown.
        category: words in a row that resemble each other.
        overlap: share of its places that a word has in common with all others of its category, in [0, 1).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    places: int = Field(512, ge=1)
    size: int = Field(32, ge=1)
    junctions: int = Field(64, ge=16)
    words: int = Field(200, ge=1)
    distractors: int = Field(100, ge=0)
    category: int = Field(10, ge=1)
    overlap: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.size > self.places:
            raise ValueError(
                f"an item must fit into the field; got {self.size} places of {self.places}: take a smaller size"
            )
        return self


class MemoryField:
    """Places with junctions of one card; see the module.

    Showing an item pulses its places with V_max, once in every cycle. Every cycle ends with the card's own probe,
    the same for all places, which heats as any probe does. In a cycle without pulses, the junctions that switch
    are the evidence: with n_i of them at place i, of mean M and variance S^2 over all places, a word stands out by

        z = (sum_{i of the word} n_i - size M) / sqrt(size (1 - size / places) S^2)

    standard deviations of what as many places chosen at random would give.
    Nothing of the card is changed or fitted.

    All junctions of a place are pulsed alike, and the state of a place is that of their mean (expected spikes heat
    it); n_i is drawn with the mean, the variance and the skewness of a binomial number.

    Args:
        device: of a card without variation.
        layout: how items lie on the places.
        seed: of the patterns.

    Example:
        >>> from ipnet.device import load_device
        >>> field = MemoryField(load_device("mtj-thermal"), Layout(), seed=0)
        >>> _, state = field.cycle(torch.tensor([3]), field.rest(1))
        >>> p, state = field.cycle(torch.tensor([NOTHING]), state)
        >>> int(field.evidence(p, torch.Generator().manual_seed(0)).argmax())
        3
    """

    def __init__(self, device: Device, layout: Layout, seed: int) -> None:
        self.layout, self.device = layout, device
        self.neuron = Neuron(device, channels=1)
        self.pulse = float((device.V_max - device.V_bias) / device.gain)
        generator = torch.Generator().manual_seed(seed)
        common = round(layout.overlap * layout.size)
        patterns = torch.zeros(layout.words + layout.distractors, layout.places)
        for word, pattern in enumerate(patterns):
            if word % layout.category == 0 or word >= layout.words:
                shared = torch.randperm(layout.places, generator=generator)[: common if word < layout.words else 0]
            free = torch.ones(layout.places).index_fill(0, shared, 0.0)
            own = torch.multinomial(free, layout.size - len(shared), generator=generator)
            pattern[shared] = pattern[own] = 1.0
        self.patterns = patterns

    def rest(self, trials: int) -> State:
        """Places that were never pulsed, one field for each trial."""
        return self.device.rest(torch.zeros(1, trials, 1, self.layout.places))

    @torch.no_grad()
    def cycle(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """One clock cycle of every trial.

        Args:
            items: the item that is shown in each trial [B], `NOTHING` for none.
            state: of all places.

        Returns:
            The probability that a junction of each place switched [B, places], and the state afterwards.
        """
        x = torch.zeros(1, len(items), 1, self.layout.places)
        shown = items >= 0
        x[0, shown, 0] = self.pulse * self.patterns[items[shown]]
        p, state = self.neuron(x, state)
        return p[0, :, 0], state

    def switched(self, p: Tensor, generator: torch.Generator) -> Tensor:
        """How many junctions of each place switch [B, places], one draw; see the class.

        Args:
            p: probability that a junction of each place switches [B, places].
            generator: of the draw.
        """
        m, xi = self.layout.junctions, torch.randn(p.shape, generator=generator)
        return m * p + (m * p * (1 - p)).sqrt() * xi + (1 - 2 * p) / 6 * (xi.square() - 1)  # Cornish-Fisher

    def evidence(self, p: Tensor, generator: torch.Generator) -> Tensor:
        """How far each word stands out: z [B, words], from one draw of all junctions; see the class."""
        n, size = self.switched(p, generator), self.layout.size
        mean = n.mean(1, keepdim=True)
        off = n - mean
        variance = off.square().sum(1, keepdim=True) / (self.layout.places - 1)
        named, share = self.patterns[: self.layout.words], size / self.layout.places
        return (off @ named.T) / (size * (1 - share) * variance).clamp(min=1e-9).sqrt()
