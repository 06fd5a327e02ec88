"""The numcodecs codec `spikey`, for Zarr 2 and everything else that takes numcodecs' codecs.

Installed with the package (entry point `numcodecs.codecs`), so that `numcodecs.get_codec({"id": "spikey"})` and a Zarr
array that names it find it without an import.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikey.errors import install

try:
    from numcodecs.abc import Codec
    from numcodecs.compat import ensure_contiguous_ndarray, ensure_ndarray, ndarray_copy
except ImportError as error:
    raise ImportError(f"needs numcodecs: {install('numcodecs')}") from error

from spikey.integrations.chunk import DEFAULTS, Options, decode_chunk, encode_chunk, options_from


class Spikey(Codec):
    """Lossless compression of recordings, chunk by chunk; chunks have the shape (time, channels).

    preset: "realtime", "balanced", "archive" or "archive-max", each smaller and slower than the one before. model: name
    or path of a trained network to use instead. calibration: "auto", "none" or the path of a calibration. jobs: threads
    within a chunk. verify: decode what was encoded and compare.
    See `spikey.integrations.chunk.Options`; a configuration states what differs from these defaults.
    Raises UsageError for options that cannot be.

    >>> codec = Spikey()
    >>> samples = np.arange(4000, dtype="int16").reshape(1000, 4)
    >>> bool((codec.decode(codec.encode(samples)) == samples).all())
    True
    >>> codec.get_config()
    {'id': 'spikey'}
    """

    codec_id = "spikey"

    def __init__(
        self,
        preset: str = DEFAULTS.preset,
        model: str | None = DEFAULTS.model,
        calibration: str = DEFAULTS.calibration,
        jobs: int = DEFAULTS.jobs,
        verify: bool = DEFAULTS.verify,
    ):
        self.options = Options(preset, model, calibration, jobs, verify)

    def encode(self, buf: Any) -> bytes:
        """The bytes of an array of any shape, type and memory order, or of a buffer, which is one channel.

        Raises TypeError for arrays of objects.
        """
        array = ensure_ndarray(buf)
        if array.dtype.hasobject:
            raise TypeError("object arrays are not supported: convert them first, as Zarr's object_codec does")
        return encode_chunk(array, self.options)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array that was encoded, in its memory order; or `out`, filled with it.

        buf: bytes, or an array of them. Raises DamagedError or DataError where it is not what was encoded.
        """
        if out is not None:
            out = ensure_contiguous_ndarray(out, flatten=False)
        array = decode_chunk(ensure_contiguous_ndarray(buf), self.options.threads)
        if out is None:
            return array
        if out.dtype.kind not in "Mm" and array.dtype.kind in "Mm":
            array = array.view(np.int64)
        return ndarray_copy(array, out)

    def get_config(self) -> dict[str, Any]:
        """The codec's id and the options that differ from the defaults."""
        return {"id": self.codec_id, **self.options.config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Spikey:
        """The codec of a configuration without its id; UsageError where a newer version wrote it."""
        return cls(**vars(options_from(config)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.options.config().items())})"
