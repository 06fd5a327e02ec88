"""The Zarr 3 codec `spikey.codec`, an array-to-bytes codec: what Zarr calls a serializer.

Installed with the package (entry point `zarr.codecs`), so that arrays which name it open without an import.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

try:
    from zarr.abc.codec import ArrayBytesCodec
except ImportError as error:
    raise ImportError('needs Zarr 3: pip install "spikey-codec[zarr]"') from error

from spikey.errors import DataError, UsageError
from spikey.integrations.chunk import DEFAULTS, KINDS, Options, decode_chunk, encode_chunk, options_from

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NAME = "spikey.codec"


@dataclass(frozen=True, init=False)
class SpikeyCodec(ArrayBytesCodec):
    """Lossless compression of recordings, chunk by chunk; chunks have the shape (time, channels).

    Give it to Zarr as `serializer`, alone or inside shards. Options and errors are those of
    `spikey.integrations.chunk.Options`; the array's metadata state what differs from the defaults.

    >>> import zarr
    >>> samples = np.arange(8000, dtype="int16").reshape(2000, 4)
    >>> array = zarr.create_array({}, data=samples, chunks=(1000, 4), serializer=SpikeyCodec(), compressors=None)
    >>> bool((array[500:1500] == samples[500:1500]).all())
    True
    """

    is_fixed_size = False
    options: Options

    def __init__(
        self,
        preset: str = DEFAULTS.preset,
        model: str | None = DEFAULTS.model,
        calibration: str = DEFAULTS.calibration,
        jobs: int = DEFAULTS.jobs,
        verify: bool = DEFAULTS.verify,
    ):
        object.__setattr__(self, "options", Options(preset, model, calibration, jobs, verify))
