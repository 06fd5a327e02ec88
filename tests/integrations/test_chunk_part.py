"""Parts of chunks: the same samples as of the whole, fewer bytes asked for, damage found, and nothing that hangs."""

from __future__ import annotations

import numpy as np
import pytest

from spikey.base.errors import DamagedError, DataError
from spikey.codec.wide import engine
from spikey.integrations import chunk_part
from spikey.integrations.chunk import Options, decode_chunk, encode_chunk
from spikey.integrations.chunk_part import decode_part

FRAMES, CHANNELS = 3000, 100
OPTIONS = Options(calibration="none")


def signal(frames: int = FRAMES, channels: int = CHANNELS) -> np.ndarray:
    random = np.random.default_rng(3)
    shared = np.cumsum(random.normal(size=(frames, 4)), axis=0)
    noise = random.normal(size=(frames, channels)) * 5
    return np.ascontiguousarray((shared[:, np.arange(channels) % 4] * 3 + noise).astype(np.int16))


SAMPLES = signal()
CHUNK = encode_chunk(SAMPLES, OPTIONS)


def fits(dtype, shape):
    assert dtype.itemsize == 2 and len(shape) == 2


def part_of(data: bytes, channels: list[int], frames: tuple[int, int] = (0, FRAMES), jobs: int = 1):
    """What `decode_part` gives, and how many bytes it asked for."""
    parts = decode_part(frames, np.array(channels, np.int64), fits, "auto", jobs)
    asked, ranges = 0, next(parts)
    try:
        while True:
            answers = [data[start:end] for start, end in ranges]
            asked += sum(map(len, answers))
            ranges = parts.send(answers)
    except StopIteration as end:
        return end.value, asked


@pytest.fixture(autouse=True)
def short_beginnings(monkeypatch):
    monkeypatch.setattr(chunk_part, "BEGINNING", 3000)


@pytest.mark.parametrize("channels", [[7], [0, 1], [99], [3, 50, 51]])
def test_some_channels_take_some_bytes(channels):
    found, asked = part_of(CHUNK, channels)
    np.testing.assert_array_equal(found, SAMPLES[:, channels])
    assert asked < len(CHUNK) * 0.9


def test_most_channels_take_the_whole_chunk():
    assert part_of(CHUNK, list(range(CHANNELS)))[0] is None


def test_no_more_channels_of_a_group_are_decoded_than_it_takes(monkeypatch):
    found = []
    original = engine.group.decode_group

    def counted(lanes, frames, rows, *others):
        found.append(len(rows))
        return original(lanes, frames, rows, *others)

    monkeypatch.setattr(engine.group, "decode_group", counted)
    samples, _ = part_of(CHUNK, [7])
    assert samples is not None and len(found) == 1
    decode_chunk(CHUNK)
    assert sum(found[1:]) == CHANNELS and found[0] < max(found[1:])


def test_chunks_of_several_blocks(monkeypatch):
    monkeypatch.setattr("spikey.codec.cut.LARGEST", 1000 * CHANNELS)
    monkeypatch.setattr("spikey.codec.cut.SHORTEST", 1000)
    monkeypatch.setattr("spikey.codec.cut.FEWEST", 1000)
    data = encode_chunk(SAMPLES, OPTIONS)
    assert len(data) > len(CHUNK)
    for jobs in (1, 2):
        found, all_frames = part_of(data, [7], jobs=jobs)
        np.testing.assert_array_equal(found, SAMPLES[:, [7]])
        found, asked = part_of(data, [7], (1200, 1900), jobs)
        np.testing.assert_array_equal(found[1200:1900], SAMPLES[1200:1900, [7]])
        assert asked < all_frames / 2


@pytest.mark.parametrize(
    "data",
    [
        encode_chunk(SAMPLES.astype("i8")),
        encode_chunk(SAMPLES[:, :3]),
        encode_chunk(np.asfortranarray(SAMPLES), OPTIONS),
        encode_chunk(SAMPLES.reshape(FRAMES, 4, 25), OPTIONS),
        encode_chunk(SAMPLES[:8]),
        b"",
        b"no chunk" * 500,
        CHUNK[:50],
    ],
    ids=["elements", "one group", "fortran", "three axes", "few frames", "empty", "no chunk", "cut off"],
)
def test_what_can_only_be_decoded_whole(data, monkeypatch):
    monkeypatch.setattr(f"{__name__}.fits", lambda dtype, shape: None)
    assert part_of(data, [1])[0] is None


def test_a_chunk_of_another_array():
    def other(dtype, shape):
        raise DataError("another array's")

    parts = decode_part((0, FRAMES), np.array([1]), other, "auto")
    next(parts)
    with pytest.raises(DataError, match="another array's"):
        parts.send([CHUNK[:3000]])


def test_no_changed_byte_gives_other_samples():
    for place in range(0, len(CHUNK), 97):
        changed = bytearray(CHUNK)
        changed[place] ^= 1 << place % 8
        try:
            found, _ = part_of(bytes(changed), [7, 60])
        except DamagedError as error:
            assert "restore it from a copy" in str(error) and error.ranges[0][:2] == (0, FRAMES)
            continue
        except DataError:
            continue
        assert found is None or (found == SAMPLES[:, [7, 60]]).all(), place


def test_a_chunk_that_ends_too_early():
    for size in range(0, len(CHUNK), 5003):
        try:
            found, _ = part_of(CHUNK[:size], [7])
        except DataError:
            continue
        assert found is None or (found == SAMPLES[:, [7]]).all()
