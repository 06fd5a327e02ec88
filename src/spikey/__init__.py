"""Spikey: lossless compression of raw brain recordings.

`compress` and `decompress` work on samples in memory, `open` slices a compressed file like a NumPy array, and
`spikey.files.whole` works on whole files. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from spikey.container.archive import Archive
    from spikey.container.reader import Reader
    from spikey.stream.decoder import Decoder, Gap, Segment
    from spikey.stream.encoder import Encoder
    from spikey.telemetry.decoder import Missing, PacketContents, TelemetryDecoder
    from spikey.telemetry.encoder import TelemetryEncoder
    from spikey.telemetry.file import read_telemetry
    from spikey.telemetry.record import Telemetry
    from spikey.telemetry.settings import Settings as TelemetrySettings

__version__ = "0.1.0"
__all__ = [
    "Archive",
    "DamagedError",
    "DataError",
    "Decoder",
    "Encoder",
    "Gap",
    "Missing",
    "PacketContents",
    "Reader",
    "Recording",
    "Segment",
    "SpikeyError",
    "Telemetry",
    "TelemetryDecoder",
    "TelemetryEncoder",
    "TelemetrySettings",
    "UsageError",
    "compress",
    "decompress",
    "open",
    "open_archive",
    "read_telemetry",
]


class Recording(NamedTuple):
    """Samples (frames, channels), an integer or float type; rate in Hz; number of channels."""

    samples: np.ndarray
    rate: float
    channels: int


def compress(samples: Any, rate: float, preset: str | None = None, calibration: Any = "auto", jobs: int = 1) -> bytes:
    """Compress samples (frames, channels) or (frames,) of an integer type of up to 32 bits, or float32 or float64,
    sampled at `rate` Hz. Floats that are integers times a gain are coded like those, bit for bit; others hardly shrink.

    preset: "realtime", "balanced", "max", each smaller and slower than the one before, or None for
    one of the first two, by size. calibration: "auto" (the N1's where it suits, or one estimated from the samples where
    that pays), None, or a `spikey.model.calibration.Calibration`. jobs: threads.
    Raises UsageError for samples that are of another kind; warns of channels that seem to come first, and of floats
    that hardly shrink.

    >>> import numpy, spikey
    >>> samples = numpy.arange(1000, dtype="int16")
    >>> bool((spikey.decompress(spikey.compress(samples, rate=20000)).samples[:, 0] == samples).all())
    True
    """
    import io

    import numpy as np

    from spikey.codec.calibration_policy import choose_calibration
    from spikey.container.writer import ArraySource, write_file
    from spikey.files.whole import Settings, note_on_floats
    from spikey.model.calibration import n1
    from spikey.recording.hints import warn_of_floats, warn_of_shape

    array = np.asarray(samples)
    source = ArraySource(array, rate)
    warn_of_shape(source.frames, source.layout.channels, "give samples.T")
    method = Settings(preset=preset).method(array.nbytes)
    if isinstance(calibration, str) and calibration == "auto":
        chosen, embed = choose_calibration(source, method)
    else:
        chosen = calibration
        embed = None if chosen is None or chosen.id == n1().id else chosen.to_bytes()
    out = io.BytesIO()
    write_file(source, out, method, chosen, embed=embed, jobs=jobs)
    if array.dtype.kind == "f":
        with open(out.getvalue()) as reader:
            warn_of_floats(note_on_floats(reader, "the array"))
    return out.getvalue()


def decompress(data: bytes | str | os.PathLike[str], jobs: int = 1, lossy: bool = False) -> Recording:
    """Restore all samples of a compressed file, given as bytes or as a path.

    lossy: whether a lossy file (`spikey telemetry`) will do, which otherwise is refused.
    Raises DamagedError, with the extents that are lost, or DataError.
    """
    with open(data, lossy=lossy) as reader:
        samples = reader.read(0, reader.frames, jobs=jobs)
        return Recording(samples, reader.rate, reader.layout.channels)


def open(path: str | os.PathLike[str] | bytes, lossy: bool = False) -> Reader:
    """Open a compressed file for slicing: a path, an address that fsspec opens (`https://...`, `s3://...`), or bytes.

    lossy: whether a lossy file will do; `reader.lossy` then says what was lost. See `spikey.container.reader.Reader`.
    """
    from spikey.container.reader import Reader

    return Reader(path, lossy=lossy)


def open_archive(path: str | os.PathLike[str] | bytes) -> Archive:
    """Open an archive of recordings that were compressed together: `archive.names`, and `archive[name]` is a `Reader`.

    See `spikey.container.archive.Archive`.
    """
    from spikey.container.archive import Archive

    return Archive(path)


# Names that are imported when they are first asked for: where each lies, and what it is called there.
_LATER = {
    "Archive": ("spikey.container.archive", "Archive"),
    "Reader": ("spikey.container.reader", "Reader"),
    "Encoder": ("spikey.stream.encoder", "Encoder"),
    "Decoder": ("spikey.stream.decoder", "Decoder"),
    "Segment": ("spikey.stream.decoder", "Segment"),
    "Gap": ("spikey.stream.decoder", "Gap"),
    "TelemetryEncoder": ("spikey.telemetry.encoder", "TelemetryEncoder"),
    "TelemetrySettings": ("spikey.telemetry.settings", "Settings"),
    "TelemetryDecoder": ("spikey.telemetry.decoder", "TelemetryDecoder"),
    "PacketContents": ("spikey.telemetry.decoder", "PacketContents"),
    "Missing": ("spikey.telemetry.decoder", "Missing"),
    "Telemetry": ("spikey.telemetry.record", "Telemetry"),
    "read_telemetry": ("spikey.telemetry.file", "read_telemetry"),
}


def __getattr__(name: str) -> Any:
    """What is imported late."""
    if name not in _LATER:
        raise AttributeError(f"module 'spikey' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LATER[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
