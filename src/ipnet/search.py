"""What a study tunes: the budget of trials, equal for every contender, and the ranges they are drawn from."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ipnet.settings import flatten

_TABLES = ("training", "memory")


class Search(BaseModel):
    """The table ``[search]`` of a study, see `ipnet.tune`.

    All other keys are ranges, named as in the study: ``"training.learning_rate" = [1e-3, 1e-2]`` for every
    contender, ``"memory.lif.gain" = [0.1, 2.0]`` for those with this memory. Two numbers are the ends of a
    range that is searched on a logarithmic scale; any other list holds the values to choose from.

    Args:
        trials: per contender; the first has the study's present values.
        seed: of the training in every trial, and of what is drawn.
        epochs: in every trial; None for those of the study.
        clips: training items in every trial, a fixed part of whole recordings; None for all.
        ranges: by dotted key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int = Field(8, ge=1)
    seed: int = Field(1000, ge=0)
    epochs: int | None = Field(None, ge=1)
    clips: int | None = Field(None, ge=1)
    ranges: dict[str, list[Any]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_ranges(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        ranged = {key: value for key, value in content.items() if key.split(".")[0] in _TABLES}
        rest = {key: value for key, value in content.items() if key not in ranged}
        return rest | {"ranges": flatten(ranged)} if ranged else rest

    @field_validator("ranges")
    @classmethod
    def _can_be_drawn(cls, ranges: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in ranges.items():
            if key in ("training.epochs", "training.threads"):
                raise ValueError(f"must leave the budget alone, it is equal for all; got '{key}': remove it")
            if key.startswith("memory.") and key.count(".") < 2:
                raise ValueError(f"must name memory.<memory>.<option>; got '{key}': add the option")
            if len(values) < 2:
                raise ValueError(f"must have at least two values for '{key}'; got {values}: add one")
            if is_interval(values) and not 0 < values[0] < values[1]:
                raise ValueError(
                    f"must have 0 < low < high for '{key}', its scale is logarithmic; got {values}: for a choice "
                    "list more than two numbers"
                )
        return ranges

    def of(self, memory: str) -> dict[str, list[Any]]:
        """The ranges that apply to a memory, by their keys in a table ``[contender]``.

        Example:
            >>> Search.model_validate({"memory.lif.gain": [0.1, 2.0]}).of("lif")
            {'memory.gain': [0.1, 2.0]}
        """
        own = f"memory.{memory}."
        return {
            key.replace(own, "memory."): values
            for key, values in self.ranges.items()
            if key.startswith(("training.", own))
        }


def is_interval(values: list[Any]) -> bool:
    """Whether a list is two numbers: the ends of an interval."""
    return len(values) == 2 and all(type(value) in (int, float) for value in values)
