"""The keys of a configuration with their types, bounds and defaults; `documents` reads the files.

Every key is optional and has a description, from which the reference of the configuration is generated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

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


def _about(text: str) -> Any:
    """The description of a key, for the reference."""
    return Field(description=text)


class Preprocessing(_Section):
    """Processing of the samples before prediction."""

    use_delta_encoding: Annotated[bool, _about("Predict differences of samples instead of samples.")] = True


class Predictor(_Section):
    """The predictor and, if it is a trained network, its size."""

    type: Annotated[
        Annotated[str, _one_of(predictors)] | None,
        _about(
            "Predictor: wide or lpc, which need no training, or lstm or fixed_input_nn, trained networks; "
            "without one the preset decides."
        ),
    ] = None
    input_size: Annotated[
        _Size,
        _about(
            "Values for each step: 1, the signal alone; or 9, the last error and change and the terms of linear "
            "prediction, and 2 more for each further past sample (lstm)."
        ),
    ] = 1
    hidden_size: Annotated[_Size, _about("Units of each layer.")] = 128
    num_layers: Annotated[int, Field(ge=1, le=64), _about("Layers (lstm).")] = 2
    fixed_input_size: Annotated[_Size, _about("Past samples (fixed_input_nn).")] = 10


class Training(_Section):
    """Training of a network."""

    epochs: Annotated[_Count, _about("Epochs.")] = 10
    batch_size: Annotated[_Size, _about("Sequences in a batch.")] = 32
    learning_rate: Annotated[float, Field(gt=0, le=10), _about("Learning rate of the optimizer.")] = 0.001
    eval_freq: Annotated[_Count, _about("Epochs between two validations.")] = 2
    save_path: Annotated[_PathText, _about("Folder for the trained model.")] = "models"
    num_points: Annotated[_Count, _about("Samples in the picture of the prediction.")] = 1000
    minutes: Annotated[
        float | None,
        Field(gt=0),
        _about("Training time in minutes, over which the step size decreases; null: `epochs` decides."),
    ] = None
    seed: Annotated[
        int,
        Field(ge=0, lt=1 << 32),
        _about("Seed of the first weights, of the order of the samples and of the choice of recordings."),
    ] = 0
    limit: Annotated[
        int | None, Field(ge=2), _about("Number of recordings, chosen at random; null: all recordings.")
    ] = None
    leave_out: Annotated[
        int,
        Field(ge=0),
        _about(
            "Exclude every Nth recording in sorted order, from the first, and its simultaneous recordings, "
            "from training and validation; 0: none."
        ),
    ] = 0
    start_from: Annotated[
        _PathText | None, _about("Smaller LSTM that the network starts from: name or file; null: random weights.")
    ] = None
    resume: Annotated[
        Literal["auto", "never"],
        _about("auto: continue an interrupted training of the same configuration; never: start again."),
    ] = "auto"
    accelerator: Annotated[Literal["auto", "cpu", "gpu"], _about("Kind of processor.")] = "auto"
    devices: Annotated[
        int | None,
        Field(ge=1, le=65_536),
        _about("Number of processors of that kind; null: one CPU, or every GPU."),
    ] = None
    precision: Annotated[
        Literal["auto", "32-true", "bf16-mixed", "16-mixed"],
        _about("Precision of the arithmetic; auto: 32-true on a CPU, mixed on a GPU."),
    ] = "auto"
    threads: Annotated[int | None, Field(ge=1, le=65_536), _about("Threads on the CPU; null: PyTorch decides.")] = None
    logger: Annotated[Literal["tensorboard", "wandb", "none"], _about("Log of the training.")] = "tensorboard"


class BitstreamEncoding(_Section):
    """The entropy coder."""

    type: Annotated[str, _about("Entropy coder: arithmetic."), _one_of(coders)] = "arithmetic"


class Data(_Section):
    """The recordings for training."""

    url: Annotated[
        _PathText,
        _about("Address (http, https or file) of a zip archive, or path of one, or of a folder."),
    ] = "https://content.neuralink.com/compression-challenge/data.zip"
    directory: Annotated[_PathText, _about("Folder that the recordings are extracted to.")] = "data"
    split_ratio: Annotated[
        float, Field(gt=0, lt=1), _about("Fraction of the recordings for training; the others validate.")
    ] = 0.8


class Telemetry(_Section):
    """Contents of a telemetry stream (lossy), for `spikey telemetry encode` and `send`."""

    budget: Annotated[
        float | None,
        Field(ge=100),
        _about("Bit rate of all channels together, in bit/s; null: 976.5625 for each channel."),
    ] = None
    threshold: Annotated[
        float, Field(ge=1, le=100), _about("Threshold of crossings, in standard deviations of the noise.")
    ] = 4.5
    match: Annotated[
        float,
        Field(ge=0, le=100),
        _about("Threshold of weaker spikes, in standard deviations of the matched filter's output; 0: none."),
    ] = 5.0
    polarity: Annotated[Literal["negative", "positive", "both"], _about("Polarity of crossings.")] = "negative"
    refractory_ms: Annotated[
        float, Field(ge=0.75, le=100), _about("Time after a crossing without another of the channel, in ms.")
    ] = 1.0
    band_low: Annotated[float, Field(ge=1), _about("Lower edge of the band of crossings and waveforms, in Hz.")] = 300.0
    band_high: Annotated[float, Field(ge=2), _about("Upper edge of that band, in Hz.")] = 5000.0
    resolution_ms: Annotated[
        float, Field(ge=0, le=0.75), _about("Resolution of the times of crossings, in ms; 0: one sample.")
    ] = 0.0
    waveforms: Annotated[bool, _about("Send the waveforms of crossings.")] = True
    power_ms: Annotated[float, Field(ge=0, le=1000), _about("Bins of spike-band power, in ms; 0: no power.")] = 50.0
    power_high: Annotated[
        float, Field(ge=2), _about("Upper edge of the band of spike-band power, in Hz; the lower one is `band_low`.")
    ] = 1000.0
    low_high: Annotated[float, Field(ge=0, le=281), _about("Upper edge of the LFP band, in Hz; 0: no LFP.")] = 250.0
    packet_ms: Annotated[
        float | None,
        Field(gt=0, le=5000),
        _about("Length of a packet, in ms; null: as short as the bit rate allows."),
    ] = None
    buffer_ms: Annotated[
        float, Field(ge=0, le=10_000), _about("How far packets may run ahead of the bit rate, in ms.")
    ] = 10.0
    key_s: Annotated[
        float | None,
        Field(ge=0.1, le=3600),
        _about("Time between key packets, in s; null: as the bit rate allows, at least 4."),
    ] = None


class Config(_Section):
    """One document of a configuration file, complete and checked; it is immutable.

    >>> Config().preprocessing.use_delta_encoding, Config().training.epochs
    (True, 10)
    """

    # A name becomes part of file names: no separators, no control characters, no leading dot.
    name: Annotated[
        str,
        Field(max_length=100, pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$"),
        _about("Name of the document, and of the model that is trained from it."),
    ] = "default"
    preprocessing: Preprocessing = Preprocessing()
    predictor: Predictor = Predictor()
    training: Training = Training()
    bitstream_encoding: BitstreamEncoding = BitstreamEncoding()
    data: Data = Data()
    telemetry: Telemetry = Telemetry()
    preset: Annotated[
        Annotated[str, _one_of(presets)] | None,
        _about("Preset: fast, balanced or max; null: the predictor, and fast where that has no type."),
    ] = None
    calibration: Annotated[
        _PathText,
        _about("Code widths of the ADC: auto, none, the name of a shipped calibration, or the path of a file."),
    ] = "auto"


SECTIONS = {key: type(value) for key, value in Config() if isinstance(value, _Section)}
