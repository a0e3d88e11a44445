"""Configurations: one run and one study, read from TOML, checked before anything is computed."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from ipnet.errors import IPNetError, invalid_config, unknown_name

M = TypeVar("M", bound=BaseModel)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Backbone(_Table):
    """The ResNet-family network that every contender shares (He et al., arXiv:1512.03385).

    `width` channels after the stem, doubled at each further stage; ``blocks=(2, 2, 2, 2), width=64,
    stem_kernel=7, stem_stride=2, stem_pool=True`` is ResNet-18. Activation ``"mtj"`` puts a memoryless MTJ
    neuron wherever ``"relu"`` would stand.
    """

    width: int = Field(16, ge=1)
    blocks: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 1), min_length=1)
    stem_kernel: int = Field(3, ge=1)
    stem_stride: int = Field(1, ge=1)
    stem_pool: bool = False
    activation: Literal["relu", "mtj"] = "relu"

    @model_validator(mode="after")
    def _has_a_centre(self) -> Self:
        if self.stem_kernel % 2 == 0:
            raise ValueError(f"stem_kernel must be odd, to have a centre; got {self.stem_kernel}: use 3 or 7")
        return self


class Training(_Table):
    """The budget and the optimiser, the same for every contender of a study.

    AdamW with linear warm-up over `warmup` of the steps and cosine decay to zero; the weights kept are those of
    the lowest validation loss. Each training clip is moved as a whole by a random amount: at most `shift`
    pixels, `rotate` degrees, and a `zoom` of 1 +- that share; then it is disturbed by the perturbations of `noise`
    (see `ipnet.perturbation`), each of a level uniform between none and the given one. `threads`, `accelerator`
    and `precision` are part of the configuration because sums in another order, or of shorter numbers, round
    differently. `workers` are processes that load batches beside the training; they change no number.
    """

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    clip_norm: float = Field(1.0, gt=0)
    shift: int = Field(2, ge=0)
    rotate: float = Field(10.0, ge=0, le=180)
    zoom: float = Field(0.1, ge=0, lt=1)
    noise: dict[str, float] = Field(default_factory=dict)
    threads: int = Field(2, ge=1)
    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    workers: int = Field(0, ge=0)

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What came later and is not used is not written, so that old results belong to this configuration."""
        written: dict[str, Any] = write(self)
        later = {"noise": {}, "accelerator": "cpu", "precision": "32-true", "workers": 0}
        return {key: value for key, value in written.items() if key not in later or value != later[key]}


class _Common(_Table):
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


Contender = Annotated[str, Field(pattern=r"^\w+(@\w+(\+\w+)*)?$")]
Seed = Annotated[int, Field(ge=0)]


class Run(_Common):
    """One network, one seed.

    `contender` is a memory and where it stands: ``"lstm"`` (its default position), ``"intrinsic@stem"``,
    ``"intrinsic@frontier+stem"``. Options of the memory are in ``[memory.<name>]``.
    """

    contender: Contender
    seed: Seed = 0

    @property
    def name(self) -> str:
        """The run's folder name within its study."""
        return f"{self.contender.replace('@', '-at-').replace('+', '-')}-seed{self.seed}"

    @property
    def memory_name(self) -> str:
        """The memory part of the contender."""
        return self.contender.partition("@")[0]

    @property
    def positions(self) -> tuple[str, ...]:
        """The positions named by the contender; empty for the memory's default."""
        named = self.contender.partition("@")[2]
        return tuple(named.split("+")) if named else ()


_OF_A_STUDY = {"contenders", "seeds", "robustness"}  # and not of one of its runs


class Study(_Common):
    """A grid of contenders and seeds on one task, data set, backbone and budget.

    `robustness` declares, before anything is tested, the levels of each perturbation under which its finished runs
    are tested (see `ipnet.robustness`).
    """

    contenders: tuple[Contender, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    robustness: dict[str, tuple[float, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        for key in ("contenders", "seeds"):
            values = getattr(self, key)
            twice = [value for i, value in enumerate(values) if value in values[:i]]
            if twice:
                raise ValueError(f"{key} must name each of them once; got {twice[0]!r} twice: remove one")
        return self

    def runs(self) -> list[Run]:
        """The runs of the grid, all contenders of a seed before the next seed."""
        shared = self.model_dump(exclude=_OF_A_STUDY)
        return [
            Run.model_validate(shared | {"contender": contender, "seed": seed})
            for seed in self.seeds
            for contender in self.contenders
        ]


def shipped_configs() -> dict[str, Path]:
    """The configurations of the package by name; from a checkout, its ``configs/`` folder."""
    package = Path(__file__).parent
    folders = (package / "configs", package.parents[1] / "configs")
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_file(name_or_path: str | Path, shipped: dict[str, Path], kind: str) -> Path:
    """A TOML file by its path, or a shipped one by its name.

    Raises:
        IPNetError: a name that is not among the shipped ones.
    """
    text = str(name_or_path)
    if text.endswith(".toml"):
        return Path(text)
    if text not in shipped:
        raise unknown_name(kind, text, shipped)
    return shipped[text]


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The content of a TOML file; `kind` says what it should be, for messages.

    Raises:
        IPNetError: the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise IPNetError(f"{kind} '{path}' cannot be read ({error.strerror}); check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise IPNetError(f"{kind} '{path}' is not valid TOML: {error}.") from error


def read_config(model: type[M], source: str | Path, settings: Iterable[str] = ()) -> M:
    """Read a shipped configuration by name or any TOML file by path, change it by ``key=value``, check it.

    Args:
        model: `Run` or `Study`; a study is read as a `Run` when `settings` name its contender (and seed).
        source: name or path.
        settings: changes such as ``"training.epochs=3"``; values are TOML, bare words are strings.

    Raises:
        IPNetError: no such file, damaged TOML, an unknown key, or a value that breaks a rule.
    """
    path = find_file(source, shipped_configs(), "configuration")
    content = read_toml(path, "configuration")
    if model is Run and "contenders" in content:  # one run of a study: the settings say which
        content = {key: value for key, value in content.items() if key not in _OF_A_STUDY}
    for setting in settings:
        _apply(content, setting)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise invalid_config(error, model, f"configuration '{path.name}'") from error


def _apply(content: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise IPNetError(f"a setting is written key=value, such as training.epochs=3; got '{setting}'.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise IPNetError(f"'{table}' in the setting '{setting}' is a value, not a table; it has no keys.")
    content[last] = value
