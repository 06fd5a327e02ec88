"""Samples that are hard for the wide engine, and what must hold for any samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spikey.codec.decode import decode_block
from spikey.codec.encode import encode_block
from spikey.codec.payload import Lookup, Payload
from spikey.codec.registry import preset_method
from spikey.model.calibration import Calibration, n1

METHOD = preset_method("fast")
LOOKUP = Lookup(n1)
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
SHAPES = ((1, 1), (1, 40), (2, 1), (7, 3), (8, 2), (9, 33), (19, 3), (31, 5), (257, 40), (1500, 2), (40, 600))


def encoded(samples: np.ndarray, calibration: Calibration | None = None) -> bytes | None:
    """The payload of samples (frames, channels), or None where it would not be smaller."""
    return encode_block(samples, METHOD, calibration)


def decoded(payload: bytes, samples: np.ndarray) -> np.ndarray:
    """What a payload of samples of this shape and type gives."""
    return decode_block(Payload(payload, *samples.shape, samples.dtype), LOOKUP)


def round_trip(samples: np.ndarray, calibration: Calibration | None = None) -> int:
    """Bytes of the payload, from which the samples come back bit for bit. Constant channels make it smaller than they
    are, whatever they are.
    """
    still = np.repeat(samples[:1, :1], samples.shape[1] + 2, axis=1).repeat(len(samples), axis=0)
    padded = np.concatenate([samples, still], axis=1)
    payload = encoded(padded, calibration)
    if payload is None:
        assert len(samples) * samples.dtype.itemsize < 400, "constant channels do not make it smaller"
        return padded.nbytes
    found = decoded(payload, padded)
    assert (found.dtype, found.shape) == (padded.dtype, padded.shape)
    assert found.tobytes() == padded.tobytes()
    return len(payload)


def ends(dtype: str) -> tuple[int, int]:
    """The least and the largest value of a type of integers."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def of_type(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values around 0 as samples (frames, channels), around the middle of the type, cut off at its ends."""
    low, high = ends(dtype)
    return np.clip(np.rint(values) + (0 if low else high // 2), low, high).astype(dtype)


def _noise(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    low, high = ends(dtype)
    return rng.integers(low, high, shape, dtype=dtype, endpoint=True)


def _square(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    low, high = ends(dtype)
    return np.where(np.arange(shape[0])[:, None] // (3 + np.arange(shape[1])) % 2, high, low).astype(dtype)


def _rails(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    low, high = ends(dtype)
    return np.where((np.arange(shape[0])[:, None] + np.arange(shape[1])) % 2, high, low).astype(dtype)


def _constant(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    return np.resize(np.array(ends(dtype), dtype), shape[1])[None].repeat(shape[0], axis=0)


def _ramps(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    low, high = ends(dtype)
    slopes = np.array([1, -2, 3, -7, 100, -4099, 65537, -16777259])[np.arange(shape[1]) % 8]
    return ((np.arange(shape[0], dtype=np.int64)[:, None] * slopes) % (high - low + 1) + low).astype(dtype)


def _walk(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    common = np.cumsum(rng.normal(0, 2, (shape[0], 1)), axis=0)
    return of_type(common + rng.normal(0, 3, shape), dtype)


def _outliers(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    samples = _walk(shape, dtype, rng)
    samples[shape[0] // 2, ::2] = ends(dtype)[1]
    samples[-1, 1::3] = ends(dtype)[0]
    return samples


def _offsets(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    low, high = ends(dtype)
    noise = np.rint(rng.normal(0, 2, shape)).astype(np.int64)
    return np.clip(noise + np.linspace(low, high, shape[1]).astype(np.int64), low, high).astype(dtype)


def _saturated(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    return of_type(rng.normal(0, ends(dtype)[1] * 2.0, shape), dtype)


def _scales(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> np.ndarray:
    """Of each channel another, from nothing to hundreds of thousands of codes, growing and falling within a channel."""
    sizes = np.array([0, 0.02, 0.3, 1, 8, 65, 500, 7000, 90_000, 700_000])[np.arange(shape[1]) % 10]
    swell = 2.0 ** (6 * np.sin(np.arange(shape[0]) / 40))[:, None]
    return of_type(rng.standard_normal(shape) * sizes * swell, dtype)


CONTENTS: dict[str, Callable[[tuple[int, int], str, np.random.Generator], np.ndarray]] = {
    "noise": _noise,
    "square waves": _square,
    "alternating rails": _rails,
    "constants": _constant,
    "ramps": _ramps,
    "walks": _walk,
    "outliers": _outliers,
    "offsets": _offsets,
    "saturated": _saturated,
    "scales": _scales,
}


def made(content: str, shape: tuple[int, int], dtype: str) -> np.ndarray:
    """Samples (frames, channels), the same every time."""
    return CONTENTS[content](shape, dtype, np.random.default_rng(len(content) + shape[0]))
