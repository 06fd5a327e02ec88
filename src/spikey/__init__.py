"""Spikey: lossless compression of raw brain recordings.

`compress` and `decompress` work on samples in memory, `open` slices a compressed file like a NumPy array, and
`spikey.files.compress` works on whole files. A name is imported when it is first used, so that `import spikey` costs
nothing; no module of the package imports this one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikey.base.errors import DamagedError, DataError, QueueFullError, SpikeyError, UsageError
    from spikey.base.version import __version__ as __version__
    from spikey.container.archive import Archive
    from spikey.container.reader import Reader
    from spikey.files.acquisition import create
    from spikey.files.acquisition_writer import Writer
    from spikey.files.arrays import Recording, compress, decompress, open, open_archive
    from spikey.stream.decoder import Decoder
    from spikey.stream.encoder import Encoder
    from spikey.stream.key_file import read_key
    from spikey.stream.segments import Gap, Segment
    from spikey.telemetry.contents import Missing, PacketContents
    from spikey.telemetry.decoded import Telemetry
    from spikey.telemetry.decoder import TelemetryDecoder
    from spikey.telemetry.encoder import TelemetryEncoder
    from spikey.telemetry.file import iter_telemetry, read_telemetry
    from spikey.telemetry.settings import Settings as TelemetrySettings

__all__ = [
    "Archive",
    "DamagedError",
    "DataError",
    "Decoder",
    "Encoder",
    "Gap",
    "Missing",
    "PacketContents",
    "QueueFullError",
    "Reader",
    "Recording",
    "Segment",
    "SpikeyError",
    "Telemetry",
    "TelemetryDecoder",
    "TelemetryEncoder",
    "TelemetrySettings",
    "UsageError",
    "Writer",
    "compress",
    "create",
    "decompress",
    "iter_telemetry",
    "open",
    "open_archive",
    "read_key",
    "read_telemetry",
]

# The module of each public name, and its name there where that is another one.
_PLACES = {
    "Archive": "container.archive",
    "DamagedError": "base.errors",
    "DataError": "base.errors",
    "Decoder": "stream.decoder",
    "Encoder": "stream.encoder",
    "Gap": "stream.segments",
    "Missing": "telemetry.contents",
    "PacketContents": "telemetry.contents",
    "QueueFullError": "base.errors",
    "Reader": "container.reader",
    "Recording": "files.arrays",
    "Segment": "stream.segments",
    "SpikeyError": "base.errors",
    "Telemetry": "telemetry.decoded",
    "TelemetryDecoder": "telemetry.decoder",
    "TelemetryEncoder": "telemetry.encoder",
    "TelemetrySettings": "telemetry.settings:Settings",
    "UsageError": "base.errors",
    "Writer": "files.acquisition_writer",
    "compress": "files.arrays",
    "create": "files.acquisition",
    "decompress": "files.arrays",
    "iter_telemetry": "telemetry.file",
    "open": "files.arrays",
    "open_archive": "files.arrays",
    "read_key": "stream.key_file",
    "read_telemetry": "telemetry.file",
    "__version__": "base.version",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module 'spikey' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value = globals()[name] = getattr(import_module(f"spikey.{module}"), attribute or name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
