"""Recording with `spikey.create`: whatever is appended, in whatever pieces, is in the file, and nothing else."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import spikey
from spikey import DataError, QueueFullError, UsageError
from spikey.files import acquisition, pipeline
from spikey.files.acquisition import stretch_shape
from spikey.files.acquisition_writer import Writer
from spikey.files.decompress import verify_file
from spikey.files.settings import Settings
from spikey.model.calibration import Calibration, n1
from spikey.recording.layout import DTYPES, Layout
from spikey.recording.simulate import simulate

CHANNELS, RATE = 3, 20_000
SAMPLES = simulate(4000, CHANNELS, RATE, seed=1)
BLOCK = 700  # frames


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.spky"


def begin(path: Path, **options) -> Writer:
    return spikey.create(path, CHANNELS, RATE, **{"block_frames": BLOCK} | options)


def assert_holds(path: Path, samples: np.ndarray, complete: bool = True) -> None:
    with spikey.open(path) as reader:
        assert reader.complete is complete
        assert reader[:].tobytes() == np.ascontiguousarray(samples).tobytes() and reader.dtype == samples.dtype


@pytest.mark.parametrize("sizes", [[1] * 50, [BLOCK], [BLOCK - 1, 1, BLOCK, 1], [4000], [0, 3, 0, 1999]])
def test_pieces_of_any_size(path, sizes):
    at = 0
    with begin(path) as writer:
        for size in sizes:
            writer.append(SAMPLES[at : at + size])
            at += size
            assert writer.frames == at
    assert_holds(path, SAMPLES[:at])
    assert writer.written == path.stat().st_size and writer.frames_written == at and not writer.plain


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_comes_back_bit_for_bit(path, dtype):
    random = np.random.default_rng(3)
    memory = Layout(1, 1, dtype).memory_dtype
    if memory.kind == "f":
        samples = random.integers(-500, 500, (3000, 2)).astype(memory) * memory.type(0.195)
        samples[1500:1520] = np.nan, -0.0
        samples[2500:] = random.normal(0, 1, (500, 2))
    else:
        limit = 1 << 23 if dtype == "int24" else np.iinfo(memory).max
        samples = random.integers(0, min(limit, 1000), (3000, 2)).astype(memory)
        samples[:9] = limit - 1
    with spikey.create(path, 2, RATE, dtype, block_frames=BLOCK) as writer:
        writer.append(samples)
    assert_holds(path, samples)
    assert spikey.open(path).layout == Layout(2, RATE, dtype)


def test_any_order_in_memory_and_nothing_is_kept_of_the_callers(path):
    with begin(path) as writer:
        for arranged in (np.asfortranarray(SAMPLES[:500]), SAMPLES[999:499:-1], np.tile(SAMPLES, 2)[:300, ::2]):
            writer.append(arranged)
        mine = SAMPLES[:400].copy()
        writer.append(mine)
        mine[:] = 0
        writer.append(SAMPLES[7])
    wanted = [SAMPLES[:500], SAMPLES[999:499:-1], np.tile(SAMPLES, 2)[:300, ::2], SAMPLES[:400], SAMPLES[7:8]]
    assert_holds(path, np.concatenate(wanted))


def test_one_channel_takes_plain_sequences(path):
    with spikey.create(path, 1, RATE) as writer:
        writer.append(SAMPLES[:100, 0])
        writer.append(SAMPLES[100:200, :1])
    assert_holds(path, SAMPLES[:200, :1])


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (SAMPLES.astype("int32"), "arrays of int16, not of int32"),
        (SAMPLES.astype(">i2"), "not of >i2"),
        (SAMPLES.astype("float32"), "float32"),
        (SAMPLES.tolist(), "not of list"),
        (SAMPLES[:, :2], r"\(frames, 3\), not one of shape \(4000, 2\)"),
        (SAMPLES.T, "give frames.T"),
        (SAMPLES[:5, 0], r"shape \(5,\)"),
        (SAMPLES[None], "shape"),
        (np.int16(4), "not of int16|shape"),
    ],
)
def test_frames_of_another_kind_are_refused(path, frames, says):
    with begin(path) as writer:
        writer.append(SAMPLES[:10])
        with pytest.raises(UsageError, match=says) as error:
            writer.append(frames)
        assert str(path) in str(error.value) and writer.frames == 10
    assert_holds(path, SAMPLES[:10])


def test_what_does_not_fit_into_24_bits_is_refused(path):
    with spikey.create(path, 1, RATE, "int24") as writer:
        writer.append(np.array([-(1 << 23), (1 << 23) - 1], "int32"))
        for wrong in (1 << 23, -(1 << 23) - 1):
            with pytest.raises(UsageError, match="24 bits"):
                writer.append(np.array([0, wrong], "int32"))
    assert len(spikey.open(path)) == 2


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ((3, float("nan")), {}, "rate"),
        ((3, -1.0), {}, "rate"),
        ((3, float("inf")), {}, "rate"),
        ((3, "fast"), {}, "rate"),
        ((0, RATE), {}, "channels"),
        ((1.5, RATE), {}, "channels"),
        ((3, RATE, "int64"), {}, "int64"),
        ((3, RATE, "complex64"), {}, "complex64"),
        ((3, RATE, None), {}, "type"),
        ((3, RATE), {"preset": "quick"}, "quick"),
        ((3, RATE), {"calibration": "auto"}, "auto"),
        ((3, RATE), {"on_full": "drop"}, "on_full"),
        ((3, RATE), {"queue": 0}, "queue"),
        ((3, RATE), {"jobs": 0}, "jobs"),
        ((3, RATE), {"jobs": 1.5}, "jobs"),
        ((3, RATE), {"block_frames": 0}, "block_frames"),
        ((3, RATE), {"metadata": {"a": object()}}, "JSON"),
    ],
)
def test_arguments_that_cannot_work_leave_no_file(path, arguments, options, says):
    with pytest.raises(UsageError, match=says):
        spikey.create(path, *arguments, **options)
    assert not list(path.parent.iterdir())


def test_a_file_that_exists_is_refused_also_while_it_is_written(path, tmp_path):
    with begin(path) as writer:
        writer.append(SAMPLES)
        with pytest.raises(UsageError, match="exists"):
            begin(path)
    with pytest.raises(UsageError, match="exists"):
        begin(path)
    assert_holds(path, SAMPLES)
    with pytest.raises(UsageError, match="No such file"):
        begin(tmp_path / "none" / "a.spky")
    with pytest.raises(UsageError, match="exists"):
        begin(tmp_path)
    with pytest.raises(UsageError, match="address"):
        spikey.create("s3://bucket/a.spky", 1, RATE)


def test_a_reader_sees_what_was_complete_when_it_was_opened(path):
    with begin(path) as writer:
        with spikey.open(path) as reader:
            assert reader.shape == (0, CHANNELS) and not reader.complete
        writer.append(SAMPLES[: 3 * BLOCK])
        writer.flush()
        with spikey.open(path) as early:
            assert_holds(path, SAMPLES[: 3 * BLOCK], complete=False)
            writer.append(SAMPLES[3 * BLOCK :])
            writer.flush()
            assert_holds(path, SAMPLES, complete=False)
            writer.close()
            assert len(early) == 3 * BLOCK and np.array_equal(early[BLOCK:], SAMPLES[BLOCK : 3 * BLOCK])
    assert_holds(path, SAMPLES)


def test_flushing_writes_what_there_is_and_waits_for_the_disk(path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(handle: int) -> None:
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            synced.append(len(spikey.open(path)))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with begin(path) as writer:
        for at in range(0, 2000, 250):
            writer.append(SAMPLES[at : at + 250])
            writer.flush()
            assert synced[-1] == writer.frames_written == at + 250
        writer.flush()
    assert synced[-1] == 2000 and len(synced) == 10
    assert_holds(path, SAMPLES[:2000])


def test_an_error_around_it_loses_nothing(path):
    with pytest.raises(ZeroDivisionError), begin(path) as writer:
        writer.append(SAMPLES)
        raise ZeroDivisionError
    assert_holds(path, SAMPLES)


def test_a_closed_recording_takes_nothing(path):
    writer = begin(path)
    writer.append(SAMPLES[:5])
    assert "5 frames of 3 channels, open" in repr(writer)
    writer.close()
    writer.close()
    assert "closed" in repr(writer)
    for call in (lambda: writer.append(SAMPLES), writer.flush):
        with pytest.raises(UsageError, match="is closed"):
            call()
    assert_holds(path, SAMPLES[:5])


def test_an_empty_recording(path):
    begin(path).close()
    assert_holds(path, SAMPLES[:0])
    assert verify_file(path).samples == 0


class Slow:
    """Encoding that begins only when it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.may, self.real = threading.Semaphore(0), pipeline.encode_part
        monkeypatch.setattr(pipeline, "encode_part", self)

    def __call__(self, *arguments):
        self.may.acquire()
        return self.real(*arguments)

    def go_on(self) -> None:
        self.may.release(1000)


@pytest.fixture
def slow(monkeypatch):
    slow = Slow(monkeypatch)
    yield slow
    slow.go_on()


def test_append_waits_for_the_encoder_and_counts_it(path, slow):
    with begin(path) as writer:
        for at in range(0, 3 * BLOCK, BLOCK):  # one with the encoder, two that wait
            writer.append(SAMPLES[at : at + BLOCK])
            while at == 0 and writer._pipeline._begun == 0:
                time.sleep(0.001)
        writer.append(SAMPLES[3 * BLOCK : 4 * BLOCK])
        assert writer.late == 0
        threading.Timer(0.1, slow.go_on).start()
        writer.append(SAMPLES[4 * BLOCK :])
        assert writer.late >= 1
    assert_holds(path, SAMPLES)


def test_append_raises_at_once_where_that_was_asked_for(path, slow):
    taken = []
    with begin(path, on_full="raise", queue=1) as writer:
        for at in range(0, 4000, 100):
            started = time.monotonic()
            try:
                writer.append(SAMPLES[at : at + 100])
                taken.append(SAMPLES[at : at + 100])
            except QueueFullError as error:
                assert "100 frames are not in the recording" in str(error) and isinstance(error, DataError)
            assert time.monotonic() - started < 5
        assert writer.late == 40 - len(taken) > 0 and writer.frames == 100 * len(taken)
        slow.go_on()
        writer.flush()
        writer.append(SAMPLES[:100])
        with pytest.raises(UsageError, match="at most 700 frames"):
            writer.append(np.tile(SAMPLES, (2, 1)))
    assert_holds(path, np.concatenate([*taken, SAMPLES[:100]]))


def test_an_encoder_that_stands_still_is_given_up(path, slow, monkeypatch):
    """Its samples, and all that follow, are stored as they are; the user hears of it once."""
    monkeypatch.setattr(pipeline, "PATIENCE", 0.2)
    monkeypatch.setattr(pipeline, "SLOWEST", 1e9)
    writer = begin(path)
    with pytest.raises(DataError, match="has stalled.*none is lost"):
        writer.append(SAMPLES)
    assert writer.frames == len(SAMPLES)
    writer.append(SAMPLES)
    writer.close()
    slow.go_on()
    time.sleep(0.1)
    assert_holds(path, np.tile(SAMPLES, (2, 1)))
    assert writer.plain > 0


def test_closing_does_not_wait_for_ever(path, slow, monkeypatch):
    monkeypatch.setattr(pipeline, "PATIENCE", 0.2)
    monkeypatch.setattr(pipeline, "SLOWEST", 1e9)
    with pytest.raises(DataError, match="has stalled"), begin(path, on_full="raise") as writer:
        writer.append(SAMPLES[:BLOCK])
        writer.append(SAMPLES[BLOCK : 2 * BLOCK + 100])
    assert_holds(path, SAMPLES[: 2 * BLOCK + 100])


def test_what_cannot_be_encoded_is_stored(path, monkeypatch):
    real, calls = pipeline.encode_part, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(pipeline, "encode_part", failing)
    with begin(path) as writer:
        writer.append(SAMPLES)
    assert writer.plain == 1
    assert_holds(path, SAMPLES)


@pytest.mark.parametrize("fault", ["other samples", "an error", "another shape"])
def test_what_does_not_decode_to_its_samples_is_stored_and_reported(path, monkeypatch, fault):
    real, calls = pipeline.decode_block, []

    def wrong(*arguments):
        calls.append(1)
        samples = real(*arguments)
        if len(calls) == 2:
            if fault == "an error":
                raise IndexError
            samples = samples[1:] if fault == "another shape" else samples ^ 1
        return samples

    writer = begin(path)
    monkeypatch.setattr(pipeline, "decode_block", wrong)
    with pytest.raises(DataError, match=r"a\.spky: frames 700 to 1400 of channels 0 to 2 did not decode"):
        for at in range(0, 4000, 100):
            writer.append(SAMPLES[at : at + 100])
            while writer.frames_written < at // BLOCK * BLOCK:
                time.sleep(0.001)
    frames = writer.frames
    writer.append(SAMPLES[frames:])
    writer.close()
    assert writer.plain == 1
    assert_holds(path, SAMPLES)


def test_verification_can_be_left_out(path, monkeypatch):
    monkeypatch.setattr(pipeline, "decode_block", None)
    with begin(path, verify=False) as writer:
        writer.append(SAMPLES)
    assert not writer.plain
    assert_holds(path, SAMPLES)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_leaves_the_recording_usable(path, monkeypatch, when):
    real, interrupts = pipeline.Pipeline.put, iter([False, True, False, True])

    def put(self, stretch):
        interrupt = next(interrupts, False)
        if interrupt and when == "before":
            raise KeyboardInterrupt
        waited = real(self, stretch)
        if interrupt:
            time.sleep(0.2)  # so that its buffer is free again
            raise KeyboardInterrupt
        return waited

    monkeypatch.setattr(pipeline.Pipeline, "put", put)
    interrupted = 0
    with begin(path) as writer:
        while writer.frames < len(SAMPLES):
            try:
                writer.append(SAMPLES[writer.frames :][:300])
            except KeyboardInterrupt:
                interrupted += 1
    assert interrupted == 2
    assert_holds(path, SAMPLES)


@pytest.mark.parametrize("given_up", [False, True])
def test_an_interrupt_within_a_flush_leaves_no_frame_twice(path, monkeypatch, given_up):
    real, interrupts = pipeline.Pipeline.put, iter([True])

    def put(self, stretch):
        waited = real(self, stretch)
        if next(interrupts, False):
            raise KeyboardInterrupt
        return waited

    writer = begin(path)
    writer._pipeline._given_up = writer._pipeline._stopped = given_up
    writer.append(SAMPLES[:100])
    monkeypatch.setattr(pipeline.Pipeline, "put", put)
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    assert writer.frames == 100
    writer.append(SAMPLES[100:])
    writer.close()
    assert_holds(path, SAMPLES)


def test_memory_is_constant(path, monkeypatch):
    made, real = [], Writer._new_buffer
    monkeypatch.setattr(Writer, "_new_buffer", lambda self: made.append(1) or real(self))
    with begin(path, block_frames=50) as writer:
        for _ in range(10):
            writer.append(SAMPLES)
    assert len(made) <= 2 + 4
    assert_holds(path, np.tile(SAMPLES, (10, 1)))


def test_many_channels_are_several_blocks(path, monkeypatch):
    monkeypatch.setattr(acquisition, "LARGEST", 5 * BLOCK)
    samples = simulate(2000, 13, RATE, seed=2)
    with spikey.create(path, 13, RATE, block_frames=BLOCK, jobs=2) as writer:
        writer.append(samples)
    assert_holds(path, samples)
    data = path.read_bytes()
    with spikey.open(path) as reader:
        assert [block.channels for block in reader.structure.blocks[:4]] == [5, 5, 3, 5]
        last = reader.structure.blocks[-1]
    for cut in (last.offset, last.offset - 20, reader.structure.blocks[-2].offset - 20):
        path.write_bytes(data[:cut])
        assert_holds(path, samples[: 2 * BLOCK], complete=False)  # no stretch of some channels
    path.write_bytes(data[: last.offset + last.size])
    assert_holds(path, samples, complete=False)


def test_blocks_are_about_a_second_long():
    fast, balanced = (Settings(preset=name).method() for name in ("fast", "balanced"))
    assert stretch_shape(Layout(384, 30_000, "int16"), fast) == (30_000, 384)
    assert stretch_shape(Layout(1536, 30_000, "int16"), fast) == (30_000, 384)
    assert stretch_shape(Layout(1, 30_000, "int16"), fast) == (30_000, 1)
    assert stretch_shape(Layout(384, 30_000, "int16"), balanced) == (30_000, 384)
    assert stretch_shape(Layout(20_000, 30_000, "int16"), fast)[0] * 40_000 <= acquisition.STRETCH_BYTES
    for channels in (1, 7, 1000, 100_000, 1 << 24):
        for frames in (None, 1, 1 << 30):
            length, width = stretch_shape(Layout(channels, 1e9, "float64"), fast, frames)
            assert length >= 1 and 1 <= width <= channels and length * width <= acquisition.LARGEST


def test_presets_calibrations_and_metadata(path, tmp_path):
    edges = np.concatenate([[0], np.cumsum(np.tile([86, 43], 50))])[:101].astype(np.int32)
    mine = Calibration(
        edges, np.array([2, -1, 0], np.int32) << 16, metadata={"levels": "affine", "offset": -50, "step": 2}
    )
    cases = [("balanced", "n1", n1().id), ("fast", n1(), n1().id), ("max", None, b""), (None, mine, mine.id)]
    for number, (preset, calibration, wanted) in enumerate(cases):
        place = tmp_path / f"{number}.spky"
        with begin(place, preset=preset, calibration=calibration, metadata={"subject": "a"}) as writer:
            writer.append(SAMPLES)
        assert_holds(place, SAMPLES)
        with spikey.open(place) as reader:
            assert reader.header.calibration == wanted
            assert reader.metadata == {"subject": "a"}
