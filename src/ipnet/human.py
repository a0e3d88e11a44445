"""What people remember: published reference numbers, read from ``human.toml``; nothing is fitted to them.

Every table says who published the numbers (``citation``), by which way they came here (``origin``) and what they
are (``measure``). Shares are in [0, 1]; standard errors are over subjects.
"""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from ipnet.errors import invalid_config
from ipnet.settings import read_toml

Share = Annotated[float, Field(ge=0, le=1)]
Shares = tuple[Share, ...]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[int, Field(ge=1)]
_ROUNDED = 5e-5  # shares are given to four decimals


class _Table(BaseModel):
    """Every column is as long as `axis`, the first of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    axis: ClassVar[str] = ""

    @field_validator("*")
    @classmethod
    def _as_long_as_the_axis(cls, value: Any, info: ValidationInfo) -> Any:
        axis = info.data.get(cls.axis)
        count = len(axis) if isinstance(axis, Sequence) else axis
        if isinstance(value, tuple) and count is not None and len(value) != count:
            raise ValueError(f"must have {count} values, as many as '{cls.axis}' says, and has {len(value)}")
        return value


class _Study(_Table):
    citation: str = Field(min_length=1)
    origin: str = Field(min_length=1)
    measure: str = Field(min_length=1)


class FreeRecallCondition(_Table):
    """Free recall of lists of one length at one pace.

    Args:
        items: L, items per list.
        seconds_per_item: pace of the presentation [s].
        n_lists: that were recalled, by all subjects together.
        mean_recalled: items recalled per list; the sum of `spc`.
        spc: share of lists in which the item at each position was recalled [L].
        se: standard error of `spc` over subjects [L].
        pfr: share of lists in which the item at each position was recalled first [L].
    """

    axis: ClassVar[str] = "items"

    items: Number
    seconds_per_item: float = Field(gt=0)
    n_lists: Number
    mean_recalled: float = Field(ge=0)
    spc: Shares
    se: Shares
    pfr: Shares

    @field_validator("spc")
    @classmethod
    def _adds_up(cls, spc: Shares, info: ValidationInfo) -> Shares:
        mean = info.data.get("mean_recalled", sum(spc))
        if abs(sum(spc) - mean) > _ROUNDED * len(spc):
            raise ValueError(f"must add up to mean_recalled, {mean:.4f}, and adds up to {sum(spc):.4f}")
        return spc

    @field_validator("pfr")
    @classmethod
    def _adds_up_to_one(cls, pfr: Shares) -> Shares:
        if sum(pfr) > 1 + _ROUNDED * len(pfr):
            raise ValueError(f"must add up to 1 at most and adds up to {sum(pfr):.4f}: one item is recalled first")
        return pfr


class FreeRecall(_Study):
    """Murdock's serial position curves.

    Args:
        conditions: by list length and seconds per item: "10-2", "20-2" and "20-1".
    """

    conditions: dict[str, FreeRecallCondition]


class BrownPeterson(_Study):
    """One item, a distracting task, then recall.

    Args:
        t_s: duration of the task [s].
        p: share recalled after each.
    """

    axis: ClassVar[str] = "t_s"

    t_s: tuple[Annotated[float, Field(ge=0)], ...]
    p: Shares


class NBack(_Study):
    """Is this the item of n steps ago?

    Args:
        subjects: how many.
        n: steps back.
        all_sessions: share of right answers for each n.
        session1: the same in the first session, without practice.
        session1_se: its standard error over subjects.
        session1_hits: share of matching probes that were called so.
        session1_false_alarms: share of probes that match nothing, no lures, that were called matching.
    """

    axis: ClassVar[str] = "n"

    subjects: Number
    n: tuple[Number, ...]
    all_sessions: Shares
    session1: Shares
    session1_se: Shares
    session1_hits: Shares
    session1_false_alarms: Shares


class RetroactiveInterference(_Study):
    """Words of the first list, recalled after other lists.

    Args:
        n_pairs: pairs of words behind each share.
        n_singletons: single words behind each share.
        interpolated_lists: lists learnt since.
        pair_words: share of the words of pairs that were recalled.
        singletons: share of the single words.
        all_words: share of all words.
    """

    axis: ClassVar[str] = "interpolated_lists"

    n_pairs: Number
    n_singletons: Number
    interpolated_lists: tuple[Count, ...]
    pair_words: Shares
    singletons: Shares
    all_words: Shares


class Responses(_Table):
    """One test of pairs A-B that were learnt before pairs A-C.

    Args:
        B: share of right responses B, for each number of presentations of A-B.
        C: share of right responses C.
    """

    B: Shares
    C: Shares


class ProactiveInterference(_Study):
    """Pairs A-C, learnt after pairs A-B.

    Args:
        n_per_cell: responses behind each share.
        ab_presentations: how often A-B had been shown.
        test1: right responses.
        test2: right responses when tested again.
    """

    n_per_cell: Number
    ab_presentations: tuple[Number, ...]
    test1: Responses
    test2: Responses

    @field_validator("test1", "test2")
    @classmethod
    def _one_for_each_presentation(cls, test: Responses, info: ValidationInfo) -> Responses:
        count = len(info.data.get("ab_presentations", test.B))
        if not len(test.B) == len(test.C) == count:
            raise ValueError(f"must have {count} values of B and of C, as many as 'ab_presentations' has")
        return test


class Distractors(_Study):
    """Serial recall with words to be spoken between the items.

    Args:
        items: per list.
        quiet: share recalled without distractors.
        one: with one between two items.
        three_identical: with three times the same.
        three_different: with three different ones.
    """

    items: Number
    quiet: Share
    one: Share
    three_identical: Share
    three_different: Share


class HumanReference(BaseModel):
    """All tables.

    Args:
        free_recall: serial positions and first recalls.
        brown_peterson: forgetting during a distracting task.
        n_back: accuracy by n.
        retroactive_interference: what is learnt later disturbs.
        proactive_interference: what was learnt before disturbs.
        distractors: what is spoken in between disturbs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    free_recall: FreeRecall
    brown_peterson: BrownPeterson
    n_back: NBack
    retroactive_interference: RetroactiveInterference
    proactive_interference: ProactiveInterference
    distractors: Distractors


def read_reference(path: Path) -> HumanReference:
    """A file of reference numbers in the layout of the shipped one.

    Raises:
        IPNetError: it cannot be read, a table is missing or unknown, columns differ in length, a share is not one.
    """
    content = read_toml(path, "reference")
    try:
        return HumanReference.model_validate(content)
    except ValidationError as error:
        raise invalid_config(error, HumanReference, f"reference '{path}'") from error


@cache
def human_reference() -> HumanReference:
    """The shipped reference numbers.

    Example:
        >>> people = human_reference()
        >>> people.free_recall.conditions["20-1"].spc[-1], people.n_back.session1[:3]
        (0.95, (0.982, 0.926, 0.895))
        >>> people.brown_peterson.citation
        'B. B. Murdock, The retention of individual items, J. Exp. Psychol. 62, 618 (1961)'
    """
    with resources.as_file(resources.files("ipnet").joinpath("human.toml")) as path:
        return read_reference(path)
