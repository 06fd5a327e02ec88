"""A calibration in the configuration of a store's codec: once, whatever its chunks are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spikey.base.errors import DataError, UsageError
from spikey.codec.calibration_policy import choose_calibration
from spikey.codec.registry import preset_method
from spikey.integrations.calibrations import calibration_in, portable
from spikey.integrations.chunk import decode_chunk
from spikey.integrations.numcodecs import Spikey, codec_for
from spikey.model.calibration import Calibration, n1, named
from spikey.recording.readable import ArraySource

UNEVEN = np.random.default_rng(3).permutation(np.repeat([0.2, 0.6, 1.0, 1.4, 1.8], 60))


def digitised(frames: int, channels: int, widths: np.ndarray = UNEVEN, offset: int = -150) -> np.ndarray:
    """Noise with a past through a converter of such code widths: int16 (frames, channels)."""
    noise = np.random.default_rng(frames).normal(0, 20, (frames + 4, channels))
    analog = noise[4:] + noise[3:-1] * 0.9 + noise[:-4] * 0.5
    edges = np.concatenate([[0], np.cumsum(widths)]) + offset
    return (np.searchsorted(edges, analog, side="right") - 1 + offset).astype(np.int16)


def test_a_recordings_own_calibration_is_in_the_configuration_and_only_named_in_chunks():
    samples = digitised(40_000, 8)
    codec = codec_for(samples, verify=False)
    config = json.loads(json.dumps(codec.get_config()))
    assert config["calibration"].startswith("base64:")
    chunks = [samples[at : at + 10_000] for at in range(0, len(samples), 10_000)]
    encoded = [codec.encode(chunk) for chunk in chunks]
    plain = [Spikey(calibration="none").encode(chunk) for chunk in chunks]
    assert sum(map(len, encoded)) < 0.97 * sum(map(len, plain))
    calibration = calibration_in(config["calibration"])
    assert calibration is not None and all(data[: len(data) // 8].count(calibration.id) == 1 for data in encoded)
    reader = Spikey.from_config({key: value for key, value in config.items() if key != "id"})
    for chunk, data in zip(chunks, encoded, strict=True):
        np.testing.assert_array_equal(reader.decode(data), chunk)
        np.testing.assert_array_equal(reader.decode(data, np.empty_like(chunk)), chunk)


def test_without_the_configuration_it_is_said_what_is_missing_and_where_it_was_looked_for(tmp_path, monkeypatch):
    samples = digitised(40_000, 8)
    codec = codec_for(samples)
    data = codec.encode(samples)
    calibration = calibration_in(codec.options.calibration)
    assert calibration is not None
    with pytest.raises(DataError, match=rf"{calibration.id.hex()}.*SPIKEY_CALIBRATIONS.*nor is it in the codec's"):
        decode_chunk(data)
    with pytest.raises(DataError, match=calibration.id.hex()):
        Spikey(calibration="n1").decode(data)
    (tmp_path / "own.safetensors").write_bytes(calibration.to_bytes())
    monkeypatch.setenv("SPIKEY_CALIBRATIONS", str(tmp_path))
    np.testing.assert_array_equal(decode_chunk(data), samples)


def test_recordings_are_looked_at_whatever_holds_them():
    samples = digitised(40_000, 8)
    text = codec_for(samples).options.calibration

    class Lazy:
        shape, dtype = samples.shape, samples.dtype

        def __getitem__(self, part: slice) -> np.ndarray:
            return samples[part]

    assert codec_for(Lazy()).options.calibration == text
    pytest.importorskip("spikeinterface")
    from spikeinterface.core import NumpyRecording

    short = NumpyRecording([samples[:100], samples], 30_000)
    assert codec_for(short).options.calibration.startswith("base64:")


def test_what_is_no_recording_is_refused():
    for wrong in ("a.wav", 3, np.zeros((4, 4, 4), np.int16), np.zeros((4, 4), np.int64)):
        with pytest.raises(UsageError, match="estimated from"):
            codec_for(wrong)


@pytest.mark.parametrize("shift", [0, 1 << 15])
def test_a_chunk_finds_its_shipped_calibration_by_itself(shift):
    intan = named("intan-rhd2000")
    widths, offset = np.diff(intan.edges) / 64, intan.metadata["offset"]
    start = int(np.searchsorted(np.arange(offset, offset + len(widths)), -400))
    samples = digitised(5000, 12, widths[start : start + 800], -400)
    samples = samples if not shift else (samples.astype(np.int32) + shift).astype(np.uint16)
    data = Spikey().encode(samples)
    assert len(data) < 0.95 * len(Spikey(calibration="none").encode(samples))
    np.testing.assert_array_equal(Spikey(calibration="none").decode(data), samples)


def test_forms_of_a_calibration(tmp_path):
    own = Calibration(np.arange(11, dtype=np.int32) * 70, n1().prior, {"offset": 3, "step": 1})
    path = tmp_path / "own.safetensors"
    path.write_bytes(own.to_bytes())
    text = portable(path)
    assert text == portable(str(path)) == portable(own.to_bytes()) == portable(text) == portable(portable(path))
    found = calibration_in(text)
    assert found is not None and found.id == own.id
    assert portable(n1().to_bytes()) == "n1"
    assert [portable(each) for each in ("auto", "none", "intan-rhd2000")] == ["auto", "none", "intan-rhd2000"]


@pytest.mark.parametrize("wrong", ["no-such-calibration", "", 5, None, "a\0b"])
def test_what_is_no_calibration_is_refused(wrong):
    with pytest.raises(UsageError):
        portable(wrong)


@pytest.mark.parametrize("text", ["base64:", "base64:!!!", "base64:AAAA", "base64:é", "base64:" + "A" * 4000])
def test_a_damaged_configuration_is_refused(text):
    samples = digitised(400, 2)
    with pytest.raises(DataError, match="codec's configuration is damaged"):
        Spikey(calibration=text).encode(samples)


def test_a_cut_calibration_is_refused_wherever_it_is_cut():
    samples = digitised(40_000, 4)
    calibration = choose_calibration("auto", ArraySource(samples, 0), preset_method("fast")).calibration
    assert calibration is not None
    data = calibration.to_bytes()
    for size in range(0, len(data), max(len(data) // 60, 1)):
        with pytest.raises(DataError):
            portable(data[:size])
