"""Contenders of a study: their names, what they stand for, and what one has of its own."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ipnet.settings import flatten, lay_over, replaced

PLACED = r"^\w+(@\w+(\+\w+)*)?$"  # a memory and where it stands


def _as_folder(name: str) -> str:
    if not re.fullmatch(r"\w[\w.@+-]*", name):
        raise ValueError("must do as a folder's name: a letter or digit, then any of these and _ . - @ +")
    return name


Contender = Annotated[str, AfterValidator(_as_folder)]
Placed = Annotated[str, Field(pattern=PLACED)]


class Own(BaseModel):
    """The table ``[contender."<name>"]`` of a study: what one contender has of its own.

    Args:
        stands_for: ``is`` in the file, what the contender is; None for its own name.
        memory: options of this memory, laid over those of ``[memory.<name>]``.
        training: laid over ``[training]``.
        backbone: laid over ``[backbone]``; either of width and parameters displaces the other.
        seeds: those of the study with which it is trained; None for all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stands_for: Placed | None = Field(None, alias="is")
    memory: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    backbone: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[int, ...] | None = Field(None, min_length=1)

    def over(self, memory: str) -> dict[str, Any]:
        """The tables of a run that this one is laid over."""
        sizes = dict.fromkeys(("width", "parameters")) if {"width", "parameters"} & self.backbone.keys() else {}
        return {
            "memory": {memory: self.memory} if self.memory else {},
            "training": self.training,
            "backbone": sizes | self.backbone,
        }


def own_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the contender of a run has of its own, by dotted keys: not what its study gives to all.

    Args:
        config: of the run, as its result keeps it.

    Example:
        >>> own_values({"training": {"epochs": 9, "warmup": 0.1}, "instead_of": {"training": {"epochs": 4}}})
        {'training.epochs': 9}
    """
    tables = replaced(config, lay_over(config, config.get("instead_of", {})))
    own = {"is": config.get("stands_for")} | flatten(tables)
    return {key: value for key, value in own.items() if value is not None}
