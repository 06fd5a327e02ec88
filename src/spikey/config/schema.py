"""The keys of a configuration with their types, bounds and defaults; `documents` reads the files.

Every key is optional. What a key means is said in config.yaml, beside its default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from spikey.codec.registry import configured, ranked

CHOICE = "choice"  # the kind of error that `_one_of` raises, with the choices as its context


def presets() -> tuple[str, ...]:
    """Values of `preset`, fastest first."""
    return tuple(ranked())


def predictors() -> tuple[str, ...]:
    """Values of `predictor.type`."""
    return tuple(configured())


def networks() -> dict[str, str]:
    """Predictors that are trained before they are used, with the shipped model that is used until then."""
    return {kind: model for kind, model in configured().items() if model is not None}


def coders() -> tuple[str, ...]:
    """Values of `bitstream_encoding.type`."""
    return ("arithmetic",)


def _one_of(choices: Callable[[], tuple[str, ...]]) -> BeforeValidator:
    def check(value: object) -> object:
        if value not in choices():
            raise PydanticCustomError(CHOICE, "one of the choices", {"choices": choices()})
        return value

    return BeforeValidator(check)


_Size = Annotated[int, Field(ge=1, le=65_536)]
_Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
_PathText = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Preprocessing(_Section):
    """What happens to the samples before prediction."""

    use_delta_encoding: bool = True


class Predictor(_Section):
    """The predictor and, for the learned ones, its size: values per step, units per layer, layers, past samples."""

    type: Annotated[str, _one_of(predictors)] | None = None
    input_size: _Size = 1
    hidden_size: _Size = 128
    num_layers: Annotated[int, Field(ge=1, le=64)] = 2
    fixed_input_size: _Size = 10


class Training(_Section):
    """How a learned predictor is trained."""

    epochs: _Count = 10
    batch_size: _Size = 32
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.001
    eval_freq: _Count = 2
    save_path: _PathText = "models"
    num_points: _Count = 1000
    minutes: Annotated[float, Field(gt=0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    limit: Annotated[int, Field(ge=2)] | None = None
    leave_out: Annotated[int, Field(ge=0)] = 0
    start_from: _PathText | None = None
    resume: Literal["auto", "never"] = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Annotated[int, Field(ge=1, le=65_536)] | None = None
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    threads: Annotated[int, Field(ge=1, le=65_536)] | None = None
    logger: Literal["tensorboard", "wandb", "none"] = "tensorboard"


class BitstreamEncoding(_Section):
    """The entropy coder."""

    type: Annotated[str, _one_of(coders)] = "arithmetic"


class Data(_Section):
    """Where the recordings come from, where they lie, and which fraction of them trains (the rest validates).

    `url` is an http, https or file address of a zip archive, or the path of one or of a folder.
    """

    url: _PathText = "https://content.neuralink.com/compression-challenge/data.zip"
    directory: _PathText = "data"
    split_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.8


class Telemetry(_Section):
    """What a telemetry stream contains; `spikey.telemetry.settings.Settings` defines the keys.

    `budget` is in bit/s for all channels; None leaves it to the command.
    """

    budget: Annotated[float, Field(ge=100)] | None = None
    threshold: Annotated[float, Field(ge=1, le=100)] = 4.5
    match: Annotated[float, Field(ge=0, le=100)] = 5.0
    neighbours: Annotated[int, Field(ge=0, le=8)] = 0
    column: Annotated[int, Field(ge=0, le=65536)] = 0
    polarity: Literal["negative", "positive", "both"] = "negative"
    refractory_ms: Annotated[float, Field(ge=0.75, le=100)] = 1.0
    band_low: Annotated[float, Field(ge=1)] = 300.0
    band_high: Annotated[float, Field(ge=2)] = 5000.0
    resolution_ms: Annotated[float, Field(ge=0, le=0.75)] = 0.0
    waveforms: bool = True
    power_ms: Annotated[float, Field(ge=0, le=1000)] = 50.0
    power_high: Annotated[float, Field(ge=2)] = 1000.0
    low_high: Annotated[float, Field(ge=0, le=281)] = 250.0
    packet_ms: Annotated[float, Field(gt=0, le=5000)] | None = None
    buffer_ms: Annotated[float, Field(ge=0, le=10_000)] = 10.0
    key_s: Annotated[float, Field(ge=0.1, le=3600)] | None = None


class Config(_Section):
    """One document of a configuration file, complete and checked; it is immutable.

    `preset` None leaves the choice to `predictor`, and is `fast` where that has no type; `calibration` is `auto`,
    `none`, `n1` or the path of a calibration file.

    >>> Config().preprocessing.use_delta_encoding, Config().training.epochs
    (True, 10)
    """

    # A name becomes part of file names: no separators, no control characters, no leading dot.
    name: Annotated[str, Field(max_length=100, pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$")] = "default"
    preprocessing: Preprocessing = Preprocessing()
    predictor: Predictor = Predictor()
    training: Training = Training()
    bitstream_encoding: BitstreamEncoding = BitstreamEncoding()
    data: Data = Data()
    telemetry: Telemetry = Telemetry()
    preset: Annotated[str, _one_of(presets)] | None = None
    calibration: _PathText = "auto"


SECTIONS = {key: type(value) for key, value in Config() if isinstance(value, _Section)}
