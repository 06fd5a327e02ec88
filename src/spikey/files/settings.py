"""How whole files are compressed, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from spikey.codec.calibration_policy import AUTO, Chosen, Wanted, choose_calibration
from spikey.codec.method import Method, learned
from spikey.codec.registry import DEFAULT_PRESET, predictor_method, preset_method
from spikey.model.trained import Model
from spikey.recording.readable import Readable

LARGE = 100_000_000  # bytes of a recording from which no slow preset is chosen unless it is named
Progress = Callable[[int, int], None]  # of a recording's bytes those done since; bytes written since


@dataclass(frozen=True)
class Settings:
    """How to compress: a preset, what a configuration overrides, calibration, threads.

    preset: None for the default, `fast`. predictor: one that a configuration can name and that needs no model, instead
    of a preset. model: a trained network instead of a preset; embed_model: whether to store it in the file, None:
    if it is not shipped and takes at most 1 % of the file. calibration: see
    `spikey.codec.calibration_policy.choose_calibration`. raw: channels, rate in Hz and type of a file without a header;
    keep_partial: whether it may end within a frame. block_frames: frames of a full block; None for the usual number.
    """

    preset: str | None = None
    predictor: str | None = None
    model: Model | None = None
    embed_model: bool | None = None
    delta: bool = True
    calibration: Wanted = AUTO
    raw: tuple[int, float, str] | None = None
    keep_partial: bool = False
    block_frames: int | None = None
    jobs: int = 1
    verify: bool = True

    @property
    def free(self) -> bool:
        """Whether neither preset nor predictor nor model is named."""
        return self.preset is None and self.predictor is None and self.model is None

    def method(self) -> Method:
        """The method that is named, or the default one; UsageError for an unknown preset."""
        if self.model is not None:
            return learned(self.model)
        if self.predictor is not None:
            method = predictor_method(self.predictor)
        else:
            method = preset_method(self.preset or DEFAULT_PRESET)
        return replace(method, delta=self.delta)


def calibration_for(source: Readable, settings: Settings) -> Chosen:
    """The calibration to use."""
    return choose_calibration(settings.calibration, source, settings.method())


def size_of(source: Readable) -> int:
    """A recording's size in bytes."""
    return source.head_size + source.frames * source.layout.frame_bytes + source.tail_size


@dataclass(frozen=True)
class Outcome:
    """What became of one file: sizes in bytes, samples, and a note, such as why it was not modelled (0 samples: stored
    as plain bytes).

    beside: how many bytes of `original` are side files. skipped: whether nothing was done, as the output exists.
    """

    original: int
    compressed: int
    samples: int
    note: str = ""
    beside: int = 0
    skipped: bool = False

    @property
    def ratio(self) -> float:
        """Compression ratio, bytes in over bytes out."""
        return self.original / self.compressed if self.compressed else 0.0


def report(progress: Progress | None, done: int, written: int) -> None:
    """Call `progress`, where there is one."""
    if progress is not None:
        progress(done, written)
