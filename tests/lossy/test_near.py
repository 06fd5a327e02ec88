"""Near-lossless and hybrid files: their guarantees, their label, and what a correction file gives back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import spikey
from kit import reference
from kit.writing import write_file
from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.codec.method import LPC
from spikey.container import layout as lay
from spikey.container.contents import packed_record
from spikey.container.reader import Reader
from spikey.container.records import BINS
from spikey.files.decompress import verify_file
from spikey.files.settings import Settings
from spikey.levels.quantised import FEW, MODES, Bins, find_axes, limits, read_bins
from spikey.lossy import hybrid as hybrid_module
from spikey.lossy.near_lossless import hybrid, near_lossless, restore
from spikey.recording.layout import DTYPES, Layout, pack
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head
from tools.near_table import measure

FAST = Settings(preset="fast")
FRAMES = 6000


def wav(samples: np.ndarray, dtype: str = "int16", rate: int = 20_000) -> bytes:
    layout = Layout(samples.shape[1], rate, dtype)
    return canonical_head(layout, len(samples)) + pack(samples, layout)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(simulate(FRAMES, 1)))
    return path


def made(source: Path, target: Path, mode: str, value: float, how: Settings = FAST, correction: Path | None = None):
    if mode == "near":
        return near_lossless(source, target, int(value), how)
    return hybrid(source, target, value, how, correction=correction)


def codes_of(samples: np.ndarray) -> np.ndarray:
    """The N1's codes."""
    return (samples.astype(np.int64) >> 6) + 512


@pytest.mark.parametrize("error", [1, 2, 5, 40])
def test_no_sample_is_off_by_more_than_promised(file, tmp_path, error):
    out, back = tmp_path / "a.spky", tmp_path / "back.wav"
    written = near_lossless(file, out, error, FAST)
    restore(out, back)
    original, restored = file.read_bytes(), back.read_bytes()
    assert original[:44] == restored[:44] and len(original) == len(restored)
    samples, others = (np.frombuffer(data[44:], dtype="<i2") for data in (original, restored))
    assert np.abs(codes_of(samples) - codes_of(others)).max() == error == written.bins.largest_error
    assert out.stat().st_size == written.outcome.compressed < len(spikey.compress(samples, 20_000, "fast"))


@pytest.mark.parametrize("bits", [0.5, 2.0, 2.5, 3.3])
def test_the_file_takes_no_more_bits_than_given_and_nearly_as_many(file, tmp_path, bits):
    out = tmp_path / "a.spky"
    written = hybrid(file, out, bits, FAST)
    used = 8 * out.stat().st_size / FRAMES
    assert bits - 0.1 < used <= bits
    assert len({step for _, step in written.bins.runs}) <= 2


def test_the_original_comes_back_with_the_correction(file, tmp_path):
    out, beside, back = tmp_path / "a.spky", tmp_path / "a.fix.spky", tmp_path / "back.wav"
    hybrid(file, out, 2.5, FAST, correction=beside)
    restore(out, back, beside)
    assert back.read_bytes() == file.read_bytes()
    restore(out, back, overwrite=True)
    assert back.read_bytes() != file.read_bytes()
    with Reader(out, lossy=True) as reader, Reader(beside, correction=True) as rests:
        assert (reader[100:110, 0] != spikey.decompress(out, lossy=True).samples[100:110, 0]).sum() == 0
        reader.correct(rests)
        samples = np.frombuffer(file.read_bytes()[44:], dtype="<i2")
        assert (reader[100:200:3, 0] == samples[100:200:3]).all()


def test_a_wrong_pair_is_refused(file, tmp_path):
    for name, bits in (("a", 2.5), ("b", 2.0)):
        hybrid(file, tmp_path / f"{name}.spky", bits, FAST, correction=tmp_path / f"{name}.fix.spky")
    back = tmp_path / "back.wav"
    for other in ("b.fix.spky", "b.spky", "a.spky"):
        with pytest.raises(DataError, match="is not the correction of"):
            restore(tmp_path / "a.spky", back, tmp_path / other)
    with pytest.raises(UsageError, match="would be read and written at once"):
        restore(tmp_path / "a.spky", tmp_path / "a.fix.spky", tmp_path / "a.fix.spky")
    assert not back.exists()


def test_with_more_bits_than_lossless_takes_nothing_is_lost(file, tmp_path):
    out, back = tmp_path / "a.spky", tmp_path / "back.wav"
    assert hybrid(file, out, 12, FAST).bins.largest_error == 0
    restore(out, back)
    assert back.read_bytes() == file.read_bytes()
    with pytest.raises(DataError, match="largest error 0 codes"):
        spikey.open(str(out))


def test_too_few_bits_are_refused_with_the_least_possible(file, tmp_path):
    out = tmp_path / "a.spky"
    with pytest.raises(UsageError, match="least possible is") as failure:
        hybrid(file, out, 0.001, FAST)
    assert not out.exists()
    least = float(str(failure.value).rsplit(" ", 1)[1])
    assert hybrid(file, out, least, FAST).outcome.compressed * 8 <= least * FRAMES


def blank(dtype: str) -> np.ndarray:
    return np.zeros((0, 2), dtype=DTYPES[dtype][1])


def rails(dtype: str) -> np.ndarray:
    low, high = limits(Layout(1, 1, dtype))
    ends = np.array([low, high])[np.arange(500) // 7 % 2]
    ramp = np.linspace(low, high, 500).astype(np.int64)
    return np.stack([ends, ramp, np.full(500, high)], axis=1).astype(DTYPES[dtype][1])


INTEGERS = [name for name in DTYPES if "int" in name]


@pytest.mark.parametrize("shape", [blank, rails])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_type_empty_constant_and_from_rail_to_rail(tmp_path, dtype, shape):
    samples, out, beside, back = shape(dtype), tmp_path / "a.spky", tmp_path / "fix.spky", tmp_path / "back.raw"
    source = tmp_path / "a.raw"
    source.write_bytes(pack(samples, Layout(samples.shape[1], 1000, dtype)) + b"!")
    raw = Settings(preset="fast", raw=(samples.shape[1], 1000, dtype), keep_partial=True)
    near_lossless(source, out, 3, raw)
    restored = spikey.decompress(str(out), lossy=True).samples
    assert restored.dtype == samples.dtype and restored.shape == samples.shape
    if samples.size:
        assert (restored[:, 0] == samples[:, 0]).all() and (restored[:, 2] == samples[:, 2]).all()
    hybrid(source, out, 9, raw, correction=beside, overwrite=True)
    restore(out, back, beside)
    assert back.read_bytes() == source.read_bytes()
    restore(out, back, overwrite=True)
    assert back.stat().st_size == source.stat().st_size and back.read_bytes()[-1:] == b"!"


def test_a_digital_line_is_kept_as_it_is(tmp_path):
    line = (5 * (np.arange(FRAMES) // 300 % FEW)).astype(np.int16)
    samples = np.stack([line, simulate(FRAMES, 1, profile="openephys")[:, 0]], axis=1)
    (tmp_path / "a.wav").write_bytes(wav(samples))
    bins = near_lossless(tmp_path / "a.wav", tmp_path / "a.spky", 2, FAST).bins
    restored = spikey.decompress(str(tmp_path / "a.spky"), lossy=True).samples
    assert (restored[:, 0] == line).all()
    assert np.abs(restored[:, 1].astype(int) - samples[:, 1]).max() == 2 * 12  # the converter's codes are 12 apart
    assert [axis.exact for axis in bins.axes] == [True, False]


def test_many_blocks_and_threads(tmp_path, monkeypatch):
    """The finer bins end in the middle of a block; blocks of several channels and times, by several threads."""
    monkeypatch.setattr("spikey.codec.cut.HELD_BYTES", 40 * 2 * 2048)
    monkeypatch.setattr(hybrid_module, "SAMPLED", 20_000)
    samples = simulate(5000, 40, profile="neuropixels")
    (tmp_path / "a.wav").write_bytes(wav(samples))
    out, beside, back = tmp_path / "a.spky", tmp_path / "fix.spky", tmp_path / "back.wav"
    written = hybrid(tmp_path / "a.wav", out, 2.2, Settings(preset="fast", jobs=2), correction=beside)
    assert 2.15 < 8 * out.stat().st_size / samples.size <= 2.2
    frame = written.bins.runs[1][0]
    with Reader(out, lossy=True) as reader:
        assert len(reader.structure.blocks) > 2 and all(frame != block.first_frame for block in reader.structure.blocks)
        part = reader[frame - 3 : frame + 3, 17:30]
        assert (part == reader[:][frame - 3 : frame + 3, 17:30]).all()
    restore(out, back, beside, jobs=2)
    assert back.read_bytes() == (tmp_path / "a.wav").read_bytes()


def test_a_long_head_is_counted(tmp_path, monkeypatch):
    """Bytes around the samples are kept, and their blocks are within the bits."""
    data = bytearray(wav(simulate(FRAMES, 1)))
    junk = np.random.default_rng(0).bytes(70_000)
    data[36:36] = b"junk" + len(junk).to_bytes(4, "little") + junk
    (tmp_path / "a.wav").write_bytes(data)
    out, back = tmp_path / "a.spky", tmp_path / "back.wav"
    monkeypatch.setattr("spikey.lossy.near_lossless.MOST_BITS", 100)
    written = hybrid(tmp_path / "a.wav", out, 97, FAST)
    assert 96.8 < 8 * written.outcome.compressed / FRAMES <= 97 and written.bins.largest_error > 0
    with pytest.raises(UsageError, match="least possible"):
        hybrid(tmp_path / "a.wav", out, 3, FAST)
    near_lossless(tmp_path / "a.wav", out, 1, FAST, overwrite=True)
    restore(out, back)
    assert back.read_bytes()[: 44 + 70_008] == bytes(data[: 44 + 70_008])


def test_lossy_files_are_refused_wherever_they_are_not_asked_for(file, tmp_path):
    out, beside = tmp_path / "a.spky", tmp_path / "fix.spky"
    hybrid(file, out, 2.5, FAST, correction=beside)
    for call in (
        lambda: spikey.open(str(out)),
        lambda: spikey.decompress(out.read_bytes()),
        lambda: Reader(out, salvage=True),
        lambda: Reader(out, correction=True),
    ):
        with pytest.raises(SpikeyError, match="lossy"):
            call()
    with pytest.raises(DataError, match="corrects a lossy file"):
        spikey.open(str(beside), lossy=True)
    with pytest.raises(UsageError, match="is lossless"):
        (tmp_path / "b.spky").write_bytes(spikey.compress(simulate(100, 1), 20_000))
        restore(tmp_path / "b.spky", tmp_path / "back.wav")
    assert verify_file(out).note.startswith("is lossy: hybrid, largest error")


def test_commands(run, file, tmp_path):
    near, out, beside, back = (tmp_path / name for name in ("n.spky", "h.spky", "fix.spky", "back.wav"))
    status, said, _ = run("telemetry", "near-lossless", file, near, "--error", 2, "--preset", "fast")
    assert status == 0 and "LOSSY, near-lossless, largest error 2 codes" in said
    status, said, _ = run("telemetry", "hybrid", file, out, "--bits", 2.5, "--correction", beside)
    assert status == 0 and "LOSSY, hybrid" in said
    status, _, err = run("decompress", near, back)
    assert status == 1 and "largest error 2 codes" in err and "spikey telemetry restore" in err and not back.exists()
    status, said, _ = run("telemetry", "restore", near, back)
    assert status == 0 and "not the original" in said and back.stat().st_size == file.stat().st_size
    status, said, _ = run("telemetry", "restore", out, back, "--correction", beside, "--force")
    assert status == 0 and "bit for bit" in said and back.read_bytes() == file.read_bytes()
    status, said, _ = run("info", "--json", near, beside)
    facts = json.loads(said)
    assert not facts[0]["lossless"] and facts[0]["lossy"]["mode"] == "near-lossless"
    assert facts[0]["lossy"]["largest_error"] == 2 and facts[0]["lossy"]["steps"] == [5]
    assert not facts[1]["lossless"] and len(facts[1]["corrects"]) == 32
    assert "largest_error 2" in run("info", near)[1]
    status, _, err = run("verify", near)
    assert status == 0 and "is lossy: near-lossless, largest error 2 codes" in err


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("near-lossless", "a.wav", "x.spky", "--error", "0"), 2, "error"),
        (("hybrid", "a.wav", "x.spky", "--bits", "0"), 2, "above 0"),
        (("hybrid", "a.wav", "x.spky", "--bits", "nan"), 2, "above 0"),
        (("hybrid", "a.wav", "x.spky", "--bits", "2", "--correction", "x.spky"), 2, "both the output"),
        (("near-lossless", "none.wav", "x.spky", "--error", "1"), 1, "does not exist"),
        (("near-lossless", "a.wav", "a.wav", "--error", "1"), 2, "read and written at once"),
        (("near-lossless", "f.wav", "x.spky", "--error", "1"), 1, "not integer PCM"),
        (("near-lossless", "f.wav", "x.spky", "--error", "1", "--channels", "1", "--rate", "9", "--dtype", "float32"),
         2, "integer samples"),
    ],
)  # fmt: skip
def test_calls_that_cannot_work(run, file, tmp_path, monkeypatch, arguments, status, text):
    monkeypatch.chdir(tmp_path)
    head = bytearray(wav(np.zeros((4, 1), dtype=np.int16)))
    head[20:22], head[32:36] = b"\3\0", b"\4\0\x20\0"
    Path("f.wav").write_bytes(head)
    got, _, err = run("telemetry", *arguments)
    assert got == status and text in err and not Path("x.spky").exists()


def test_damage_is_found(file, tmp_path):
    out = tmp_path / "a.spky"
    near_lossless(file, out, 1, FAST)
    data = bytearray(out.read_bytes())
    for at in range(0, len(data), 61):
        data[at] ^= 0x10
        with pytest.raises(SpikeyError):
            spikey.decompress(bytes(data), lossy=True)
        data[at] ^= 0x10
    for size in range(0, len(data), 97):
        with pytest.raises(SpikeyError):
            spikey.decompress(bytes(data[:size]), lossy=True)


def test_what_does_not_keep_its_promise_is_not_kept(file, tmp_path, monkeypatch):
    right = Bins.values
    monkeypatch.setattr(Bins, "values", lambda self, *where: right(self, *where) + 200)
    with pytest.raises(SpikeyError, match="guarantee"):
        near_lossless(file, tmp_path / "a.spky", 1, FAST)
    assert not (tmp_path / "a.spky").exists()


AXES = find_axes(ArraySource(rails("int16"), 1000))
GOOD = Bins("near-lossless", 2, ((0, 5),), AXES).write()


def lossy_file(record: bytes, kind: int = BINS, twice: bool = False) -> bytes:
    import io

    out = io.BytesIO()
    stated = ((kind, record),) * (1 + twice)
    write_file(ArraySource(np.zeros((9, 3), dtype=np.int16), 1000), out, LPC, records=stated)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x09" + GOOD[1:],  # another mode
        GOOD[:1] + b"\1" + GOOD[2:],  # another largest error
        GOOD + b"\0",
        GOOD[:-1],
        GOOD[:3] + b"\2\0\4\0\4" + GOOD[6:],  # two runs from frame 0 on
        GOOD[:3] + b"\0" + GOOD[6:],  # no runs
        GOOD[:3] + b"\xff\x7f" + b"\1\4" * 16_383 + GOOD[6:],  # more runs than there can be
        b"\1\2\2\1\0\4" + bytes([9]) * 3,  # codes of an unknown kind
        b"\1\2\2\1\0\4" + b"\1\0\0\xff\xff\x03" * 3,  # values beyond int16
        b"\1\2\2\1\0\xff\xff\xff\xff\x7f" + bytes(3),  # a step without bounds
    ],
)
def test_malformed_records_are_refused(content):
    with pytest.raises(DataError):
        spikey.open(lossy_file(packed_record(content)), lossy=True)


def test_flag_and_record_belong_together():
    data = lossy_file(packed_record(GOOD))
    assert data[5] & lay.LOSSY
    spikey.open(data, lossy=True)
    for broken in (data[:5] + bytes([data[5] & ~lay.LOSSY]) + data[6:], lossy_file(packed_record(GOOD), twice=True)):
        with pytest.raises(DataError, match="contradictory lossy records"):
            spikey.open(broken, lossy=True)


ALL = limits(Layout(1, 1, "int16"))


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int16, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.integers(*ALL)),
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 70_000)), min_size=1, max_size=3),
    st.sampled_from([1, 3, 64]),
)
def test_bins_hold_their_promise_for_any_samples(samples, gaps, factor):
    samples = (samples // factor * factor).astype(np.int16)
    starts = np.cumsum([0] + [gap for gap, _ in gaps[1:]]).tolist()
    runs = tuple((start, step) for start, (_, step) in zip(starts, gaps, strict=True))
    bins = Bins("hybrid", 2.5, runs, find_axes(ArraySource(samples, 1000)))
    coarse = bins.values(bins.bins(samples))
    assert (bins.errors(samples, coarse) <= bins.bounds(samples.shape)).all()
    assert bins.errors(samples, coarse).max() <= bins.largest_error
    assert (bins.bins(coarse) == bins.bins(samples)).all()
    if max(step for _, step in runs) <= ALL[1]:
        assert (bins.corrected(coarse, bins.rests(samples)) == samples).all()
    if not any(axis.n1 for axis in bins.axes):
        assert coarse.min() >= samples.min() and coarse.max() <= samples.max()
    half = len(samples) // 2
    assert (bins.bins(samples[half:, 1:], half, 1) == bins.bins(samples)[half:, 1:]).all()
    assert read_bins(bins.write(), Layout(samples.shape[1], 1000, "int16"), "x") == bins


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.sampled_from(INTEGERS))
def test_any_bytes_as_a_record(content, dtype):
    layout = Layout(2, 1000, dtype)
    try:
        bins = read_bins(content, layout, "x")
    except DataError:
        return
    low, high = limits(layout)
    hostile = np.array([[low, high], [high, low]]).astype(layout.memory_dtype)
    coarse = bins.values(hostile).astype(np.int64)
    assert coarse.min() >= low and coarse.max() <= high and bins.mode in MODES.values()


@pytest.mark.parametrize("mode", ["near", "hybrid"])
def test_a_decoder_written_from_the_specification(tmp_path, mode):
    """docs/format.md, section 30: reference.decode knows nothing but that."""
    for index, samples in enumerate((simulate(700, 1), simulate(700, 2, profile="openephys"), rails("int16")[:300])):
        source, out, beside = (tmp_path / f"{index}{name}" for name in (".wav", ".spky", ".fix.spky"))
        source.write_bytes(wav(samples))
        if mode == "near":
            near_lossless(source, out, 2, FAST, overwrite=True)
        else:
            hybrid(source, out, 3.5, FAST, correction=beside, overwrite=True)
            assert reference.decode(out.read_bytes(), correction=beside.read_bytes()) == source.read_bytes()
        restore(out, tmp_path / "back.wav", overwrite=True)
        assert reference.decode(out.read_bytes()) == (tmp_path / "back.wav").read_bytes()


def test_the_table_of_results(file):
    rows = measure([file], "fast")
    by_name = {row.name: row for row in rows}
    assert by_name["lossless, fast"].largest == 0
    assert by_name["near-lossless, k = 4"].largest == 4
    assert by_name["hybrid, 2 bits"].compressed * 8 <= 2 * FRAMES
    assert by_name["hybrid, 2 bits"].ratios[0] < by_name["hybrid, 3 bits"].ratios[0]
    assert by_name["hybrid, 2 bits"].markdown().count("|") == 7
