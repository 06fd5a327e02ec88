"""Chunks of chunked stores: every array comes back, bytes are frozen, damage is found, threads do not disturb."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kit import reference_chunks
from kit.paths import GOLDEN, SOURCE
from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError
from spikey.codec.method import LPC
from spikey.container.layout import VERSION as FILE_VERSION
from spikey.integrations import chunk, chunk_samples
from spikey.integrations.chunk import DEFAULTS, Options, decode_chunk, encode_chunk, options_from
from spikey.integrations.chunk_samples import Means
from spikey.model.calibration import n1
from spikey.recording.simulate import simulate
from spikey.report.self_test import known_signal

FOLDER = GOLDEN / "chunks"


def _signal(dtype: str, channels: int = 4, frames: int = 600) -> np.ndarray:
    """Slow integers that any type of 8 bits or more can hold."""
    angles = np.arange(frames)[:, None] / (9 + np.arange(channels))
    return np.rint(60 + 50 * np.sin(angles)).astype(dtype)


# What lies in tests/kit/golden_files/chunks, each as it was written by the first version.
ARRAYS = {
    "n1": lambda: known_signal(400),
    "fortran": lambda: np.asfortranarray(_signal("<i2")),
    "big_endian": lambda: _signal(">u2"),
    "folded": lambda: _signal("u1", 6).reshape(600, 2, 3),
    "wide": lambda: _signal("<i4") * 1000,
    "float": lambda: _signal("<f4", 2, 50) / np.float32(3),
    "seconds": lambda: 7.5 + np.arange(500) / 30_000 + 3.25 * (np.arange(500) > 300),
    "time": lambda: (np.arange(20) * 10**9).astype("<M8[ns]"),
}
N1_FILE = SOURCE / "spikey" / "data" / "calibrations" / "n1.safetensors"
DEFLATED = {"float", "time"}  # zlib may deflate otherwise on other machines: only read


def mine() -> bytes:
    """A calibration that is the N1's but for its name."""
    return replace(n1(), metadata={**n1().metadata, "device": "mine"}).to_bytes()


def same(one: np.ndarray, other: np.ndarray) -> None:
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", ARRAYS)
def test_golden_chunk_is_read(name):
    same(decode_chunk((FOLDER / f"{name}.chunk").read_bytes()), ARRAYS[name]())


@pytest.mark.parametrize("name", sorted(set(ARRAYS) - DEFLATED))
def test_golden_chunk_is_written_again(name, monkeypatch):
    """With the predictor lpc, which was the default when they were written."""
    monkeypatch.setattr(chunk, "means_of", lambda options: Means(LPC, n1()))
    assert encode_chunk(ARRAYS[name]()) == (FOLDER / f"{name}.chunk").read_bytes()


@pytest.mark.parametrize("name", ARRAYS)
def test_the_plain_decoder_reads_golden_chunks(name):
    data = (FOLDER / f"{name}.chunk").read_bytes()
    same(reference_chunks.decode(data, [N1_FILE.read_bytes()]), ARRAYS[name]())


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (lambda: known_signal(250), Options()),
        (lambda: np.asfortranarray(_signal(">i4", 7, 250)), Options(jobs=2)),
        (lambda: simulate(250, 12, seed=8).reshape(1, 250, 3, 4), Options(preset="balanced")),
        (lambda: simulate(250, 7, seed=9), Options(model="n1-fixed", jobs=2)),
        (lambda: np.random.default_rng(3).integers(0, 256, (250, 7), "u1"), Options()),
    ],
    ids=["n1", "fortran", "folded", "network", "stored"],
)
def test_readers_do_not_depend_on_how_a_writer_cuts(array, options, monkeypatch):
    """And the plain decoder reads what is in several blocks."""
    array = array()
    whole = encode_chunk(array, options)
    monkeypatch.setattr(chunk_samples, "block_shape", lambda layout, frames, longest: (130, min(4, layout.channels)))
    cut = encode_chunk(array, options)
    monkeypatch.undo()
    assert cut[4] == whole[4] | chunk_samples.CUT
    models = (SOURCE / "spikey" / "data" / "models").glob("*.safetensors")
    plain = reference_chunks.decode(cut, [N1_FILE.read_bytes()], [path.read_bytes() for path in models])
    for decoded in (decode_chunk(cut), decode_chunk(cut, 2), plain):
        same(decoded, array)


def test_the_plain_decoder_reads_a_calibration_in_a_chunk(tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(mine())
    data = encode_chunk(known_signal(2000), Options(calibration=str(path)))
    assert data[4] == chunk_samples.CALIBRATED | chunk_samples.EMBEDDED
    same(reference_chunks.decode(data), known_signal(2000))


@pytest.mark.parametrize("dtype", ["i1", "<u2", ">i4", "<f8"])
@pytest.mark.parametrize("shape", [(16,), (1, 17, 1), (1000, 384), (17, 9000), (70_000, 1)])
def test_no_chunk_is_larger_than_its_array_by_more_than_a_thousandth(dtype, shape):
    array = np.frombuffer(np.random.default_rng(1).bytes(math.prod(shape) * np.dtype(dtype).itemsize), dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that channels come first, and of floats
        assert len(encode_chunk(array.reshape(shape), Options(verify=False))) <= bound(array)


def bound(array: np.ndarray) -> float:
    return array.nbytes * 1.001 + 64


def test_elements_are_stored_where_blocks_or_a_calibration_would_take_too_much(tmp_path, monkeypatch):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(mine())
    array = known_signal(100)
    data = encode_chunk(array, Options(calibration=str(path)))
    assert data[4] == chunk.GENERAL and len(data) <= bound(array)
    noise = np.random.default_rng(2).integers(-(1 << 15), 1 << 15, 2000, "i2")
    monkeypatch.setattr(chunk_samples, "block_shape", lambda layout, frames, longest: (2, 1))
    data = encode_chunk(noise)
    assert data[4] == chunk.GENERAL and len(data) <= bound(noise)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(525_000, dtype="<i8") + (1 << 41),
        np.arange(20_000, dtype="<u8").reshape(1, -1, 1),
        (np.arange(20_000) + 12_345_678) / 30_000,
        1234.5 + np.arange(20_000) / 30_000,
        (np.arange(3000) * 33_333_333).astype("<M8[ns]"),
        np.repeat([0, 10**6], 3000) + np.arange(6000),
    ],
    ids=["integers", "unsigned", "seconds", "from a start", "dates", "jump"],
)
def test_timestamps_take_next_to_nothing(array):
    data = encode_chunk(array)
    assert len(data) < 100
    same(decode_chunk(data), array)
    same(reference_chunks.decode(data, []), array)
    for at in range(0, len(data), 3):
        with pytest.raises(DataError):
            decode_chunk(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(DataError):
            decode_chunk(data[:at])


DTYPES = ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", "<i8", "<f4", ">f8", "<c8", "?", "<M8[ms]", "S3"]


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=40))
    ),
    st.sampled_from("CF"),
)
@settings(max_examples=60, deadline=None)
def test_any_array_comes_back(array, order):
    array = np.asarray(array, order=order)
    decoded = decode_chunk(encode_chunk(array))
    same(decoded, array)
    assert decoded.flags.c_contiguous == array.flags.c_contiguous
    assert decoded.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize("dtype", chunk.MODELLED)
@pytest.mark.parametrize("order", ["C", "F"])
def test_integers_go_through_the_model(dtype, order):
    array = np.asarray(_signal(dtype, 20, 2000), order=order)
    data = encode_chunk(array)
    same(decode_chunk(data), array)
    assert not data[4] & chunk.GENERAL
    assert len(data) < 0.4 * array.size * 1  # of a byte a sample


@pytest.mark.parametrize("dtype", ["<i2", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_can_be_stated(dtype, order):
    array = _signal(dtype, 6).reshape(600, 2, 3)
    for own in "CF":
        decoded = decode_chunk(encode_chunk(np.asarray(array, order=own), order=order))
        same(decoded, array)
        assert decoded.flags[f"{order}_CONTIGUOUS"]


def test_strided_arrays_and_leading_axes_of_length_one():
    array = simulate(3000, 6, seed=1)
    same(decode_chunk(encode_chunk(array[::3, ::-2])), np.ascontiguousarray(array[::3, ::-2]))
    one = encode_chunk(array[None])
    same(decode_chunk(one), array[None])
    assert abs(len(one) - len(encode_chunk(array))) < 3  # the axis of time is found


def test_options_change_what_is_written_and_not_what_is_read():
    array = known_signal(4000)
    sizes = {}
    for options in (
        Options(),
        Options(verify=False),
        Options(jobs=2),
        Options(preset="balanced"),
        Options(model="n1-fixed"),
        Options(calibration="none"),
    ):
        data = encode_chunk(array, options)
        same(decode_chunk(data), array)
        sizes[options] = len(data)
    assert sizes[Options()] == sizes[Options(verify=False)] == sizes[Options(jobs=2)]
    assert sizes[Options(preset="balanced")] <= sizes[Options()] < sizes[Options(calibration="none")]


def test_a_calibration_of_ones_own_travels_along(tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(mine())
    array = known_signal(2000)
    data = encode_chunk(array, Options(calibration=str(path)))
    assert encode_chunk(_signal("i2"), Options(calibration=str(path))) == encode_chunk(_signal("i2"))  # it suits not
    path.unlink()
    same(decode_chunk(data), array)
    assert len(data) > len(encode_chunk(array)) + 500


def test_the_n1s_calibration_is_named_and_left_out_where_it_does_not_suit(tmp_path):
    array = known_signal(2000)
    named = encode_chunk(array)
    assert named[4] == chunk_samples.CALIBRATED and n1().id in named
    assert encode_chunk(array, Options(calibration=str(N1_FILE))) == named
    assert not encode_chunk(_signal("i2"))[4]


def test_blocks_by_several_threads_are_the_same_bytes():
    array = simulate(6000, 40, seed=4)
    assert encode_chunk(array, Options(jobs=2)) == encode_chunk(array)
    same(decode_chunk(encode_chunk(array), 2), array)


def test_many_threads_at_once():
    arrays = [np.asarray(simulate(3000, 1 + k % 5, seed=k), order="CF"[k % 2]) for k in range(24)]
    wanted = [encode_chunk(array) for array in arrays]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(encode_chunk, arrays)) == wanted
        for decoded, array in zip(pool.map(decode_chunk, wanted), arrays, strict=True):
            same(decoded, array)


def test_the_lock_of_the_interpreter_is_released():
    """A thread that sleeps for a millisecond at a time gets on while another one encodes, in kernels of 40 ms or so."""
    array = simulate(200_000, 1, seed=5)
    options = Options(preset="balanced")
    encode_chunk(array[:1000], options)
    ticks, start = 0, time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        encoded = pool.submit(encode_chunk, array, options)
        while not encoded.done():
            time.sleep(0.001)
            ticks += 1
    assert ticks > 60 * (time.perf_counter() - start)  # otherwise it would be one or two a kernel


@pytest.mark.parametrize("name", ARRAYS)
def test_every_damaged_byte_is_found(name):
    data = (FOLDER / f"{name}.chunk").read_bytes()
    array = ARRAYS[name]()
    for at in range(0, len(data), 1 if len(data) < 300 else 7):
        damaged = bytearray(data)
        damaged[at] ^= 16
        with pytest.raises(DataError) as caught:
            decode_chunk(damaged)
        assert "\n" not in str(caught.value)
    for size in (0, 1, 3, 4, 8, len(data) // 2, len(data) - 1):
        with pytest.raises(DamagedError):
            decode_chunk(data[:size])
    same(decode_chunk(data), array)


def test_what_says_that_it_is_huge_is_refused_without_making_room():
    for array in (np.zeros(20), _signal("i2")):
        data = encode_chunk(array)
        head, _ = chunk._head(data[4], array.dtype, (1 << 40, 4))
        with pytest.raises(DataError, match="are allowed"):
            decode_chunk(head + data[-40:])


def test_impossible_shapes_are_refused():
    empty = encode_chunk(np.zeros(0, "f8"))
    body = empty[len(chunk._head(empty[4], np.dtype("f8"), (0,))[0]) :]
    for shape in ((0,) * 99, (0, 1 << 62), (0, 1 << 60, 1 << 60)):
        with pytest.raises(DataError, match="impossible shape"):
            decode_chunk(chunk._head(empty[4], np.dtype("f8"), shape)[0] + body)


def test_another_codec_and_a_newer_version():
    with pytest.raises(DamagedError, match="another codec wrote it"):
        decode_chunk(b"\x28\xb5\x2f\xfd what zstd writes")
    data = bytearray(encode_chunk(_signal("i2")))
    data[3] = 3
    with pytest.raises(DataError, match="git pull, then pip install -e"):
        decode_chunk(data)
    data[3] = 1
    with pytest.raises(DataError, match="version 1, which was never released"):
        decode_chunk(data)
    with pytest.raises(UsageError, match="git pull, then pip install -e"):
        options_from({"transform": "wavelet"})
    with pytest.raises(UsageError, match="git pull, then pip install -e"):
        options_from({"preset": "museum"})
    assert (FILE_VERSION, chunk.VERSION) == (1, 2)  # another version of files has other payloads, which chunks have too


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"preset": "quick"}, "fast, balanced"),
        ({"preset": ["fast"]}, "fast, balanced"),
        ({"calibration": "a\0b"}, "calibration"),
        ({"jobs": 0}, "jobs"),
        ({"jobs": 1.5}, "jobs"),
        ({"model": 3}, "model"),
        ({"verify": "yes"}, "verify"),
        ({"calibration": None}, "calibration"),
    ],
)
def test_impossible_options(options, says):
    with pytest.raises(UsageError, match=says):
        Options(**options)


def test_missing_model_and_calibration():
    with pytest.raises(UsageError, match="no model 'none-such'"):
        encode_chunk(_signal("i2"), Options(model="none-such"))
    with pytest.raises(SpikeyError, match="none-such"):
        encode_chunk(_signal("i2"), Options(calibration="none-such.safetensors"))


@pytest.mark.parametrize("array", [np.array(["a", None], dtype=object), np.zeros(3, dtype=[("a", object)])])
def test_objects_are_refused(array):
    with pytest.raises(UsageError, match="no bytes of their own"):
        encode_chunk(array)


def test_what_does_not_verify_is_not_given_out(monkeypatch):
    encode = chunk.encode_samples
    monkeypatch.setattr(chunk, "encode_samples", lambda samples, means, jobs: encode(samples + 1, means, jobs))
    with pytest.raises(SpikeyError, match="does not decode"):
        encode_chunk(_signal("i2"))
    assert encode_chunk(_signal("i2"), Options(verify=False))


def test_defaults_are_not_configured():
    assert DEFAULTS.config() == {}
    options = Options(preset="balanced", jobs=2)
    assert options.config() == {"preset": "balanced", "jobs": 2}
    assert options_from(options.config()) == options


def test_nothing_optional_is_imported():
    """By the package, by the command line, by the chunks themselves."""
    program = (
        "import sys, spikey, spikey.cli, spikey.integrations.chunk\n"
        "print([name for name in ('zarr', 'numcodecs', 'h5py', 'hdmf', 'spikeinterface') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"


if __name__ == "__main__":
    for name, make in ARRAYS.items():
        path = FOLDER / f"{name}.chunk"
        if not path.exists():  # a released chunk is never written again
            path.write_bytes(encode_chunk(make()))


def test_weights_of_very_different_precision_follow_each_other():
    """Single large samples among zeros: what is expected of the next channel's weights stays within their bounds."""
    array = np.zeros((32, 32), np.int16)
    for frame, channel, value in (
        *((1, 18, -7), (5, 25, 32767), (12, 24, -7), (17, 16, 1), (18, 2, -1), (21, 16, 12345), (21, 22, 32767)),
        *((22, 23, -7), (26, 6, 4095), (28, 16, 255), (29, 9, 32767)),
    ):
        array[frame, channel] = value
    same(decode_chunk(encode_chunk(array)), array)
    same(reference_chunks.decode(encode_chunk(array), [N1_FILE.read_bytes()]), array)
