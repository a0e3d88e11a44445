"""Configurations: one run and one study, read from TOML, checked before anything is computed."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from ipnet.budget import Backbone, Table, Training, without
from ipnet.contender import PLACED, Contender, Own, Placed
from ipnet.errors import IPNetError, invalid_config
from ipnet.search import Search
from ipnet.settings import apply_setting, find_file, lay_over, read_toml, replaced

M = TypeVar("M", bound=BaseModel)


class _Common(Table):
    study: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    title: str = ""
    task: dict[str, Any] = Field(default_factory=lambda: {"name": "recognition"})
    data: dict[str, Any]
    backbone: Backbone = Backbone()
    memory: dict[str, dict[str, Any]] = Field(default_factory=dict)
    training: Training = Training()

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        for table in ("task", "data"):
            if not isinstance(getattr(self, table).get("name"), str):
                raise ValueError(f"[{table}] must have a 'name'; add name = \"...\"")
        return self


Seed = Annotated[int, Field(ge=0)]


class Run(_Common):
    """One network, one seed.

    `stands_for` is a memory and where it stands: ``"lstm"`` (its default position), ``"intrinsic@stem"``,
    ``"intrinsic@frontier+stem"``; None if the contender's name says it. Options of the memory are in
    ``[memory.<name>]``.

    Args:
        contender: its name.
        stands_for: what it is, if that is not its name.
        seed: of the network and its training.
        instead_of: what the study has where the contender has values of its own; None for what it has not.
    """

    contender: Contender
    stands_for: Placed | None = None
    seed: Seed = 0
    instead_of: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_a_memory(self) -> Self:
        if self.stands_for is None and not re.fullmatch(PLACED, self.contender):
            raise ValueError(
                f"a contender must be a memory and where it stands, such as intrinsic@frontier; got "
                f'\'{self.contender}\': say what it is, [contender."{self.contender}"] is = "..."'
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A contender without a table is written as before there were any, so that old results belong to it."""
        return without(write(self), *(key for key in ("stands_for", "instead_of") if not getattr(self, key)))

    @property
    def name(self) -> str:
        """The run's folder name within its study."""
        return f"{self.contender.replace('@', '-at-').replace('+', '-')}-seed{self.seed}"

    @property
    def memory_name(self) -> str:
        """The memory part of what the contender is."""
        return (self.stands_for or self.contender).partition("@")[0]

    @property
    def positions(self) -> tuple[str, ...]:
        """The positions named by what the contender is; empty for the memory's default."""
        named = (self.stands_for or self.contender).partition("@")[2]
        return tuple(named.split("+")) if named else ()


_OF_A_CONTENDER = {"memory", "training", "backbone"}  # what its own table may change
_OF_A_STUDY = {"contenders", "seeds", "robustness", "contender", "search"}  # and not of one of its runs


class Study(_Common):
    """A grid of contenders and seeds on one task, data set, backbone and budget.

    `contender` holds, by name, what a contender has of its own; `search` says how such values are found (see
    `ipnet.tune`). `robustness` declares, before anything is tested, the levels of each perturbation under which
    its finished runs are tested (see `ipnet.robustness`).
    """

    contenders: tuple[Contender, ...] = Field(min_length=1)
    contender: dict[str, Own] = Field(default_factory=dict)
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    robustness: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    search: Search = Search()

    @field_validator("contender", mode="before")
    @classmethod
    def _are_tables(cls, tables: Any) -> Any:
        if not isinstance(tables, dict):
            raise ValueError("must hold a table for each that differs; the list of all is 'contenders'")
        return tables

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        for key in ("contenders", "seeds"):
            values = getattr(self, key)
            twice = [value for i, value in enumerate(values) if value in values[:i]]
            if twice:
                raise ValueError(f"{key} must name each of them once; got {twice[0]!r} twice: remove one")
        return self

    @model_validator(mode="after")
    def _has_a_run_for_each(self) -> Self:
        if missing := [name for name in self.contender if name not in self.contenders]:
            raise ValueError(
                f"a table [contender.\"{missing[0]}\"] needs '{missing[0]}' among the contenders; got "
                f"{', '.join(self.contenders)}: add it there, or remove the table"
            )
        for name, table in self.contender.items():
            if table.seeds is not None and not set(table.seeds) <= set(self.seeds):
                raise ValueError(
                    f"contender '{name}' must be trained with seeds of the study, {list(self.seeds)}; got "
                    f"{list(table.seeds)}: add the missing ones to 'seeds', or remove them there"
                )
        folders: dict[str, str] = {}
        for name in self.contenders:
            other = folders.setdefault(self.run(name, 0).name, name)
            if other != name:
                raise ValueError(f"contenders need a folder each; '{other}' and '{name}' share one: rename one")
        return self

    def run(self, contender: str, seed: int) -> Run:
        """One run of the grid, or of a contender and seed beside it.

        Raises:
            IPNetError: the contender's own values break a rule.
        """
        own = self.contender.get(contender, Own())
        what = {"contender": contender, "seed": seed}
        if own.stands_for not in (None, contender):
            what["stands_for"] = own.stands_for
        memory = (own.stands_for or contender).partition("@")[0]
        shared = self.model_dump(exclude=_OF_A_STUDY)
        try:
            run = Run.model_validate(lay_over(shared, own.over(memory)) | what)
        except ValidationError as error:
            raise invalid_config(error, Run, f"contender '{contender}'") from error
        before, after = (of.model_dump(mode="json", include=_OF_A_CONTENDER) for of in (self, run))
        return run.model_copy(update={"instead_of": replaced(before, after)})

    def runs(self) -> list[Run]:
        """The runs of the grid, all contenders of a seed before the next seed."""
        own = {name: table.seeds for name, table in self.contender.items() if table.seeds is not None}
        return [
            self.run(contender, seed)
            for seed in self.seeds
            for contender in self.contenders
            if seed in own.get(contender, self.seeds)
        ]


def shipped_configs() -> dict[str, Path]:
    """The configurations of the package by name; from a checkout, its ``configs/`` folder."""
    package = Path(__file__).parent
    folders = (package / "configs", package.parents[1] / "configs")
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_config(model: type[M], source: str | Path, settings: Iterable[str] = ()) -> M:
    """Read a shipped configuration by name or any TOML file by path, change it by ``key=value``, check it.

    Args:
        model: `Run` or `Study`; a study is read as a `Run` when `settings` name its contender (and seed).
        source: name or path.
        settings: changes such as ``"training.epochs=3"``; values are TOML, bare words are strings. What belongs to
            contenders or seeds that they leave out is set aside.

    Raises:
        IPNetError: no such file, damaged TOML, an unknown key, or a value that breaks a rule.
    """
    path = find_file(source, shipped_configs(), "configuration")
    content, where = read_toml(path, "configuration"), f"configuration '{path.name}'"
    of_a_study = model is Run and "contenders" in content
    one: dict[str, Any] = {}  # what makes a run of a study
    listed = {key: content.get(key) for key in ("contenders", "seeds")}
    for setting in settings:
        is_one = of_a_study and setting.partition("=")[0] in ("contender", "seed")
        apply_setting(one if is_one else content, setting)
    if of_a_study and "contender" not in one:
        raise IPNetError(f"{where}: 'contender' is missing; add it, such as --set contender=lstm.")
    _narrow(content, listed)
    try:
        if of_a_study:
            run = Study.model_validate(content).run(str(one["contender"]), one.get("seed", 0))
            return model.model_validate(run)
        return model.model_validate(content)
    except ValidationError as error:
        raise invalid_config(error, model, where) from error


def _narrow(content: dict[str, Any], listed: dict[str, Any]) -> None:
    """Set aside what the tables ``[contender]`` say of contenders and seeds that settings have left out.

    A contender none of whose own seeds is left is left out, too.
    """
    tables, named, seeds = content.get("contender"), content.get("contenders"), content.get("seeds")
    if (named == listed["contenders"] and seeds == listed["seeds"]) or not isinstance(tables, dict):
        return
    for name, table in list(tables.items()):
        own = table.get("seeds") if isinstance(table, dict) else None
        if isinstance(own, list) and isinstance(seeds, list) and isinstance(named, list):
            table["seeds"] = [seed for seed in own if seed in seeds]
            content["contenders"] = named = [other for other in named if other != name or table["seeds"]]
        if name in (listed["contenders"] or ()) and name not in (named or ()):
            del tables[name]
