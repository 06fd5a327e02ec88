"""The Zarr 3 codec `spikey`, an array-to-bytes codec: what Zarr calls a serializer.

Installed with the package (entry point `zarr.codecs`), so that arrays with it open without an import.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spikey.base.errors import DataError, UsageError, install

try:
    from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
    from zarr.abc.store import RangeByteRequest
except ImportError as error:
    raise ImportError(f"needs Zarr 3: {install('zarr')}") from error

from spikey.integrations.calibrations import portable
from spikey.integrations.chunk import (
    DEFAULTS,
    KINDS,
    Fits,
    Options,
    decode_chunk,
    encode_chunk,
    options_from,
)
from spikey.integrations.chunk_part import decode_part

if TYPE_CHECKING:
    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

__all__ = ["SpikeyCodec", "codec_for"]

NAME = "spikey"  # as arrays' metadata contain it


@dataclass(frozen=True, init=False)
class SpikeyCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Lossless compression of recordings, chunk by chunk; chunks have the shape (time, channels).

    Pass it to Zarr as `serializer`, with or without shards. Without filters and compressors beside it, reading some
    channels fetches and decodes only the groups of channels of a chunk that contain them. The array's metadata contain
    what differs from the defaults; see `spikey.integrations.chunk.Options`.

    Parameters
    ----------
    preset : str
        A name in `spikey.codec.registry.PRESETS`, each smaller and slower than the one before.
    model : str, optional
        Name or path of a trained network to use instead.
    calibration : str, bytes or path
        "auto" for the shipped one that fits a chunk best, if any; "none"; the name of a shipped one; or the bytes or
        the path of a file of `spikey calibrate`, which becomes part of the array's metadata.
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
    >>> import numpy as np, zarr
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
        calibration: str | bytes | os.PathLike[str] = DEFAULTS.calibration,
        jobs: int = DEFAULTS.jobs,
        verify: bool = DEFAULTS.verify,
    ):
        object.__setattr__(self, "options", Options(preset, model, portable(calibration), jobs, verify))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The codec of an array's metadata; UsageError if a newer version wrote them."""
        return cls(**vars(options_from(data.get("configuration") or {})))

    def to_dict(self) -> dict[str, Any]:
        """The codec's name and the options that differ from the defaults, for the array's metadata."""
        config = self.options.config()
        return {"name": NAME, "configuration": config} if config else {"name": NAME}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raises UsageError for arrays of variable-length elements, such as strings."""
        native = dtype.to_native_dtype()
        if native.kind not in KINDS or native.hasobject:
            raise UsageError(f"{NAME} cannot hold elements of type {native}; use another codec for this array")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raises NotImplementedError, as chunks vary in size."""
        raise NotImplementedError

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        # Always as C: Zarr 3 does not care, and Zarr 2 can then read the chunks of whatever array this was.
        data = encode_chunk(chunk_array.as_numpy_array(), self.options, order="C")
        return chunk_spec.prototype.buffer.from_bytes(data)

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        wanted = chunk_spec.dtype.to_native_dtype()
        fits = _fitting(chunk_spec)
        array = decode_chunk(chunk_bytes.as_numpy_array(), self.options.threads, fits, self.options.calibration)
        if wanted.names:
            array = array.view(wanted)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(array)

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        prototype = chunk_spec.prototype
        chosen = _chosen(selection, chunk_spec.shape)
        if chosen is not None:
            frames, channels, remaining = chosen
            parts = decode_part(frames, channels, _fitting(chunk_spec), self.options.calibration, self.options.threads)
            answers: list[Any] | None = None
            while True:
                ranges, array = await asyncio.to_thread(_advance, parts, answers)
                if ranges is None:
                    break
                requests = [byte_getter.get(prototype, RangeByteRequest(*each)) for each in ranges]
                buffers = await asyncio.gather(*requests)
                if any(each is None for each in buffers):
                    return None
                answers = [each.as_numpy_array() for each in buffers if each is not None]
            if array is not None:
                return prototype.nd_buffer.from_numpy_array(array[remaining])
        whole = await byte_getter.get(prototype)
        if whole is None:
            return None
        decoded: NDBuffer = await self._decode_single(whole, chunk_spec)
        return decoded[selection]

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)


def _fitting(chunk_spec: ArraySpec) -> Fits:
    """What raises DataError for a chunk of another type or shape than its array's metadata specify."""
    wanted = chunk_spec.dtype.to_native_dtype()

    def fits(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        named = wanted.names and dtype.itemsize == wanted.itemsize  # a chunk has no names of fields
        if shape != chunk_spec.shape or not (named or dtype.newbyteorder("=") == wanted.newbyteorder("=")):
            raise DataError(
                f"a chunk contains {dtype} {shape}, where its array's metadata specify {wanted} "
                f"{chunk_spec.shape}: it belongs to another array, or the metadata were changed"
            )

    return fits


def _chosen(selection: Any, shape: tuple[int, ...]) -> tuple[tuple[int, int], np.ndarray, Any] | None:
    """The frames [first, end) and channels that a selection from a chunk needs, and the selection from those channels.

    None where that is no part of the channels of a chunk (time, channels).
    """
    if len(shape) != 2 or not isinstance(selection, tuple) or len(selection) != 2:
        return None
    rows, columns = (np.arange(length)[part] for part, length in zip(selection, shape, strict=True))
    channels, places = np.unique(columns, return_inverse=True)
    if not len(channels) or not rows.size or len(channels) == shape[1]:
        return None
    remaining = slice(None) if isinstance(selection[1], slice) else places.reshape(np.shape(columns))
    if isinstance(selection[1], slice) and (selection[1].step or 1) < 0:
        return None
    return (int(rows.min()), int(rows.max()) + 1), channels, (selection[0], remaining)


def _advance(parts: Any, answers: list[Any] | None) -> tuple[list[tuple[int, int]] | None, np.ndarray | None]:
    """Send a generator what it asked for: what it asks for next, or None and its result."""
    try:
        return parts.send(answers), None
    except StopIteration as end:
        return None, end.value


def codec_for(recording: Any, preset: str = DEFAULTS.preset, **options: Any) -> SpikeyCodec:
    """The codec for storing a recording in an array, with the code widths of the recording's own ADCs.

    The widths are estimated once from a few million samples, and become part of the array's metadata.

    Parameters
    ----------
    recording : recording of SpikeInterface, or array (frames, channels) of NumPy, Dask, Zarr or h5py
        The recording to be stored.
    preset : str
        As of `SpikeyCodec`.
    **options
        The other options of `SpikeyCodec`.

    Returns
    -------
    SpikeyCodec

    Raises
    ------
    UsageError
        The recording is of another kind, or an option is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> codec_for(np.zeros((1000, 4), dtype="int16")).options.calibration
    'none'
    """
    from spikey.integrations.estimated import calibration_for

    return SpikeyCodec(preset, calibration=calibration_for(recording, preset), **options)
