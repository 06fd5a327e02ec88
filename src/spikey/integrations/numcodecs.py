"""The numcodecs codec `spikey`, for Zarr 2 and other users of numcodecs.

Installed with the package (entry point `numcodecs.codecs`), so that `numcodecs.get_codec({"id": "spikey"})` and Zarr
arrays find it without an import.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from spikey.base.errors import DataError, install

try:
    from numcodecs.abc import Codec
    from numcodecs.compat import ensure_contiguous_ndarray, ensure_ndarray, ndarray_copy
except ImportError as error:
    raise ImportError(f"needs numcodecs: {install('numcodecs')}") from error

from spikey.integrations.calibrations import portable
from spikey.integrations.chunk import DEFAULTS, Options, decode_chunk, encode_chunk, options_from

__all__ = ["Spikey", "codec_for"]


def _check_fits(dtype: np.dtype[Any], shape: tuple[int, ...], out: np.ndarray) -> None:
    """DataError where a chunk of this type and shape is not for `out`; numcodecs itself compares sizes alone."""
    viewed = dtype.kind in "MmV" or out.dtype.kind == "V"  # times as integers, fields without their names
    alike = dtype == out.dtype or (viewed and dtype.itemsize == out.dtype.itemsize)
    buffers = (dtype.itemsize == 1 and len(shape) == 1) or (out.dtype.itemsize == 1 and out.ndim == 1)
    flat = buffers or (alike and out.ndim == 1)
    same_size = dtype.itemsize * math.prod(shape) == out.nbytes
    if not same_size or not (flat or (alike and _long(shape) == _long(out.shape))):
        raise DataError(
            f"a chunk contains {dtype} {shape}, where {out.dtype} {out.shape} is expected: it belongs to another array"
        )


def _long(shape: tuple[int, ...]) -> list[int]:
    """A shape without the axes of length 1, which stores add and leave out."""
    return [axis for axis in shape if axis != 1]


class Spikey(Codec):
    """Lossless compression of recordings, chunk by chunk; chunks have the shape (time, channels).

    A configuration contains what differs from the defaults; see `spikey.integrations.chunk.Options`.

    Parameters
    ----------
    preset : str
        A name in `spikey.codec.registry.PRESETS`, each smaller and slower than the one before.
    model : str, optional
        Name or path of a trained network to use instead.
    calibration : str, bytes or path
        "auto" for the shipped one that fits a chunk best, if any; "none"; the name of a shipped one; or the bytes or
        the path of a file of `spikey calibrate`, which becomes part of the configuration.
    jobs : int
        Threads within a chunk.
    verify : bool
        Decode every chunk after encoding it and compare.

    Raises
    ------
    UsageError
        An option is invalid.

    Examples
    --------
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
        calibration: str | bytes | os.PathLike[str] = DEFAULTS.calibration,
        jobs: int = DEFAULTS.jobs,
        verify: bool = DEFAULTS.verify,
    ):
        self.options = Options(preset, model, portable(calibration), jobs, verify)

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

        buf: bytes, or an array of them. out: of the encoded type and shape, or flat; either may be bytes.
        Raises DamagedError or DataError if `buf` is not an encoded chunk, or does not fit `out`.
        """
        if out is None:
            return decode_chunk(ensure_contiguous_ndarray(buf), self.options.threads, None, self.options.calibration)
        out = ensure_contiguous_ndarray(out, flatten=False)

        def fits(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
            _check_fits(dtype, shape, out)

        array = decode_chunk(ensure_contiguous_ndarray(buf), self.options.threads, fits, self.options.calibration)
        if _long(array.shape) == _long(out.shape):  # element by element, whichever memory orders the two have
            np.copyto(out.reshape(array.shape), array.view(out.dtype))
            return out
        return ndarray_copy(array.view(np.int64) if array.dtype.kind in "Mm" else array, out)

    def get_config(self) -> dict[str, Any]:
        """The codec's id and the options that differ from the defaults."""
        return {"id": self.codec_id, **self.options.config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Spikey:
        """The codec of a configuration without its id; UsageError if a newer version wrote it."""
        return cls(**vars(options_from(config)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.options.config().items())})"


def codec_for(recording: Any, preset: str = DEFAULTS.preset, **options: Any) -> Spikey:
    """The codec for storing a recording in an array, with the code widths of the recording's own ADCs.

    The widths are estimated once from a few million samples, and become part of the array's metadata.

    Parameters
    ----------
    recording : recording of SpikeInterface, or array (frames, channels) of NumPy, Dask, Zarr or h5py
        The recording to be stored.
    preset : str
        As of `Spikey`.
    **options
        The other options of `Spikey`.

    Returns
    -------
    Spikey

    Raises
    ------
    UsageError
        The recording is of another kind, or an option is invalid.

    Examples
    --------
    >>> codec_for(np.zeros((1000, 4), dtype="int16")).options.calibration
    'none'
    """
    from spikey.integrations.estimated import calibration_for

    return Spikey(preset, calibration=calibration_for(recording, preset), **options)
