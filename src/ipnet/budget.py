"""The budget of a study: the backbone and the training that all of its contenders are given."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator


class Table(BaseModel):
    """A table of a configuration: no other keys, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def without(table: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A table but for some keys.

    Example:
        >>> without({"width": 16, "parameters": None}, "parameters")
        {'width': 16}
    """
    return {key: value for key, value in table.items() if key not in keys}


class Backbone(Table):
    """The ResNet-family network that every contender shares (He et al., arXiv:1512.03385).

    `width` channels after the stem, doubled at each further stage; ``blocks=(2, 2, 2, 2), width=64,
    stem_kernel=7, stem_stride=2, stem_pool=True`` is ResNet-18. Activation ``"mtj"`` puts a memoryless MTJ
    neuron wherever ``"relu"`` would stand. The backbone looks once per `temporal_stride` frames: at their sum, or,
    behind a memory at the frontier, at what this says after the last of them.

    With `parameters` in the place of `width`, each contender takes the largest width at which its whole network
    has no more trained values.
    """

    width: int = Field(16, ge=1)
    parameters: int | None = Field(None, ge=1)
    blocks: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 1), min_length=1)
    stem_kernel: int = Field(3, ge=1)
    stem_stride: int = Field(1, ge=1)
    stem_pool: bool = False
    temporal_stride: int = Field(1, ge=1)
    activation: Literal["relu", "mtj"] = "relu"

    @model_validator(mode="after")
    def _has_a_centre(self) -> Self:
        if self.stem_kernel % 2 == 0:
            raise ValueError(f"stem_kernel must be odd, to have a centre; got {self.stem_kernel}: use 3 or 7")
        return self

    @model_validator(mode="after")
    def _has_one_size(self) -> Self:
        if self.parameters is not None and "width" in self.model_fields_set:
            raise ValueError(
                f"must have either width or parameters; got width {self.width} and parameters {self.parameters}: "
                "remove one"
            )
        return self

    @model_serializer(mode="wrap")
    def _with_one_size(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only what was given of width and parameters; without what came later as before there was any."""
        later = ("temporal_stride",) if self.temporal_stride == 1 else ()
        return without(write(self), "parameters" if self.parameters is None else "width", *later)


class Training(Table):
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
    def without_what_is_not_there(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What came later and is not used is not written, so that old results belong to this configuration."""
        later = {"noise": {}, "accelerator": "cpu", "precision": "32-true", "workers": 0}
        return without(write(self), *(key for key, value in later.items() if getattr(self, key) == value))
