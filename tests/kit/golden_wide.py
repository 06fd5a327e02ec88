"""Golden files of the predictors wide and refined: what is compressed, and how. `kit.golden` has them too."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kit.writing import write_file
from spikey.codec.encode import encode_blocks
from spikey.codec.method import Method
from spikey.codec.registry import PRESETS
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from spikey.model.calibration import Calibration, n1
from spikey.model.compact import make_compact
from spikey.recording.layout import Layout
from spikey.recording.readable import ArraySource
from spikey.recording.wav import canonical_head
from spikey.report.self_test import known_signal


def _drawn(name: str, frames: int, channels: int, high: int) -> np.ndarray:
    """Integers from -high to high that a hash function gives."""
    data = hashlib.shake_256(name.encode()).digest(4 * frames * channels)
    return np.frombuffer(data, "<u4").reshape(frames, channels).astype(np.int64) % (2 * high + 1) - high


def _fast(samples: np.ndarray, *, calibrated: bool = False) -> bytes:
    out = io.BytesIO()
    write_file(ArraySource(samples, 20_000), out, PRESETS["fast"].method, n1() if calibrated else None)
    return out.getvalue()


def _refined(samples: np.ndarray, *, calibrated: bool = False) -> bytes:
    """With the payload of the refined engine, whatever is smaller."""
    out, calibration = io.BytesIO(), n1() if calibrated else None
    method = Method("refined", lanes=1, references=8)
    (coded,) = encode_blocks([samples], method, calibration)
    write_file(ArraySource(samples, 20_000), out, method, calibration, payload=coded)
    return out.getvalue()


def _wav() -> np.ndarray:
    return known_signal(3000)[:, :1]


def _wav_file() -> bytes:
    """A canonical WAV file of the N1, as the command compresses it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.wav")
        path.write_bytes(canonical_head(Layout(1, 20_000, "int16"), 3000) + _wav().astype("<i2").tobytes())
        compress_file(path, path.with_suffix(".spky"), Settings(preset="fast"))
        return path.with_suffix(".spky").read_bytes()


def _n1() -> np.ndarray:
    """Two channels of the N1, and one that is silent."""
    samples = known_signal(260)
    return np.concatenate([samples, np.full_like(samples[:, :1], samples[0, 0])], axis=1)


def _groups() -> np.ndarray:
    """Enough channels for two groups; not as many frames as would fill all lanes."""
    common = known_signal(303).astype(np.int64) // 128
    shares = 4 + np.arange(40) % 7
    return (common[:, :1] * shares // 8 + common[:, 1:] + _drawn("groups", 303, 40, 6)).astype(np.int16)


def _five() -> np.ndarray:
    """Channels that resemble each other, with events that reach all of them."""
    samples = _groups()[:, :5].copy()
    samples[40::60] += 150
    return samples


def _lanes() -> np.ndarray:
    """Enough frames and channels for 64 lanes; seven channels are silent, so that the file is small."""
    slow = np.repeat(known_signal(1025)[:, 0].astype(np.int64) // 64, 16)[:16_389, None]
    moving = slow + _drawn("lanes", 16_389, 2, 9)
    return np.concatenate([moving, np.zeros((16_389, 7), np.int64)], axis=1).astype(np.int16)


def _wideband() -> np.ndarray:
    """Scales of thousands of codes beside a quieter channel with shocks."""
    sums = np.cumsum(_drawn("wideband", 1017, 2, 3000), axis=0)
    samples = sums[8:] - sums[:-8]
    samples[:, 1] = samples[:, 1] % 1000
    samples[300:302, 1] = 20_000, -20_000
    return samples.astype(np.int16)


def _synchronous() -> np.ndarray:
    """Pulses, a dead channel, noise, a saturated channel."""
    frames = np.arange(300)
    pulses, dead, rail = 5 * (frames // 50 % 2), np.full(300, -7), np.full(300, 32767)
    return np.stack([pulses, dead, _drawn("synchronous", 300, 1, 40)[:, 0], rail], axis=1).astype(np.int16)


def _long() -> np.ndarray:
    """Codes with low bits, and timestamps that advance evenly."""
    frames = np.arange(300)
    high = known_signal(300)[:, 0].astype(np.int64) * 65_521 + frames
    return np.stack([high, frames * 100 // 3 + 1_000_000], axis=1).astype(np.int32)


def _floats() -> np.ndarray:
    """Microvolts in single precision, some with gaps."""
    samples = _drawn("floats", 300, 2, 50).astype(np.float32) * np.float32(0.195)
    samples[100:120, 1] = np.nan
    return samples


def _converter() -> Calibration:
    """Three converters of 120 codes from value -60 on, in compact form."""
    rows = [_drawn(f"widths {number}", 120, 1, 20)[:, 0].astype(np.int8) for number in range(4)]
    return make_compact(rows, [-32, 0, 40], -60, 1, None, 0, np.array([65536], np.int32))


def _converters() -> np.ndarray:
    """Channels of three converters, some of whose codes lie outside of the tables."""
    edges, sums = _converter().edges, np.cumsum(_drawn("converters", 1205, 7, 160), axis=0)
    analog = (sums[5:] - sums[:-5]) * 3 + 60 * 64
    columns = [np.searchsorted(edges[c % 3], analog[:, c], side="right") - 61 for c in range(7)]
    samples = np.stack(columns, axis=1)
    samples[400:404, 2] = -300, 500, 90, -75
    return samples.astype(np.int16)


def _converters_file() -> bytes:
    out, calibration = io.BytesIO(), _converter()
    method = PRESETS["fast"].method
    write_file(ArraySource(_converters(), 20_000), out, method, calibration, embed=calibration.to_bytes())
    return out.getvalue()


def _interpolated() -> np.ndarray:
    """Frames of a third of the rate and what a filter makes of them, of frames lost in between; and another channel."""
    signal = known_signal(240).astype(np.int64) // 16
    before, behind = signal[:-1], signal[1:]
    samples = np.empty((3 * len(before), 3), np.int64)
    for place, channel in enumerate((slice(0, 1), slice(1, 2))):
        one, other = before[:, channel], behind[:, channel]
        samples[:, place] = np.concatenate([one, (21 * one + 11 * other) >> 5, (11 * one + 21 * other) >> 5], 1).ravel()
    samples[:, 2] = _drawn("interpolated", len(samples), 1, 5)[:, 0]
    samples[50, 0] += 3
    return np.delete(samples, [649, 650], axis=0).astype(np.int16)


WIDE_CASES: dict[str, tuple[Callable[[], np.ndarray | bytes], Callable[[], bytes]]] = {
    "fast_wav": (_wav, _wav_file),
    "fast_n1": (_n1, lambda: _fast(_n1(), calibrated=True)),
    "fast_groups": (_groups, lambda: _fast(_groups())),
    "fast_lanes": (_lanes, lambda: _fast(_lanes())),
    "fast_wideband": (_wideband, lambda: _fast(_wideband())),
    "fast_synchronous": (_synchronous, lambda: _fast(_synchronous())),
    "fast_int32": (_long, lambda: _fast(_long())),
    "fast_converters": (_converters, _converters_file),
    "fast_interpolated": (_interpolated, lambda: _fast(_interpolated())),
    "refined_n1": (_n1, lambda: _refined(_n1(), calibrated=True)),
    "refined_five": (_five, lambda: _refined(_five())),
    "fast_floats": (_floats, lambda: _fast(_floats())),
}
