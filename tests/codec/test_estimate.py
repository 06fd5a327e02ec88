"""The calibration that a recording is coded with is found by looking at it."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

import spikey
from kit.paths import DATA
from spikey.cli import app
from spikey.codec import automatic
from spikey.codec.calibration_policy import AUTO, Chosen, choose_calibration
from spikey.codec.method import LPC
from spikey.codec.registry import preset_method
from spikey.model.calibration import Calibration, n1, shipped
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate
from spikey.report.self_test import known_signal


def chosen(samples: np.ndarray, rate: float = 20_000, preset: str = "fast") -> Chosen:
    return choose_calibration(AUTO, ArraySource(samples, rate), preset_method(preset))


def converter(codes: int, seed: int, spread: float = 0.6) -> np.ndarray:
    """Edges float64 (codes + 1,) in LSB of an uneven converter, whose middle code is 0."""
    widths = np.exp(spread * np.random.default_rng(seed).standard_normal(codes))
    edges = np.concatenate([[0.0], np.cumsum(widths / widths.mean())])
    return np.asarray(edges - codes / 2)


def digitised(edges: list[np.ndarray], frames: int, scale: float = 15.0, middle: int = 0) -> np.ndarray:
    """Correlated noise as channels with such converters deliver it, int16."""
    random = np.random.default_rng(frames)
    noise = random.normal(0, scale, (frames + 1, len(edges)))
    analog = noise[1:] + 0.8 * noise[:-1]
    columns = [np.searchsorted(one, analog[:, c]) - len(one) // 2 + middle for c, one in enumerate(edges)]
    return np.stack(columns, axis=1).astype(np.int16)


def sizes(samples: np.ndarray, preset: str = "fast") -> tuple[int, int]:
    """Bytes of the file without a calibration and with what is found; both give the samples back."""
    found = []
    for calibration in (None, "auto"):
        packed = spikey.compress(samples, 20_000, preset, calibration=calibration)
        np.testing.assert_array_equal(spikey.decompress(packed).samples, samples)
        found.append(len(packed))
    return found[0], found[1]


# ---------------------------------------------------------------- an N1


def test_an_n1_is_recognised():
    assert chosen(known_signal()) == (n1(), None)
    assert choose_calibration(AUTO, ArraySource(known_signal(), 20_000), LPC) == (n1(), None)


def test_a_short_recording_of_another_converter_goes_without():
    assert chosen(simulate(5_000, seed=1)) == (None, None)


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_n1_levels_of_other_widths_are_estimated_once_and_stored(preset):
    samples = simulate(300_000, seed=2)
    calibration, data = chosen(samples, preset=preset)
    assert calibration is not None and data == calibration.to_bytes()
    assert calibration.alphabet == 1024 and "offset" not in calibration.metadata
    packed = spikey.compress(samples, 19_531, preset)
    assert calibration.id in packed[:64]
    assert len(packed) < 0.99 * len(spikey.compress(samples, 19_531, preset, calibration=None))
    np.testing.assert_array_equal(spikey.decompress(packed).samples, samples)


# ---------------------------------------------------------------- widths of any converter


def test_widths_are_those_of_the_converter():
    edges = converter(4000, 1)
    samples = digitised([edges, edges], 400_000)
    calibration, _ = chosen(samples)
    assert calibration is not None and calibration.converters == 1
    codes = np.arange(-25, 26)
    found = np.diff(calibration.edges)[codes - calibration.metadata["offset"]] / 64
    true = np.diff(edges)[codes + len(edges) // 2 - 1]
    assert np.corrcoef(np.log(found), np.log(true))[0, 1] > 0.95
    without, with_widths = sizes(samples)
    assert with_widths < 0.97 * without


def test_alphabets_of_many_codes_have_widths_too():
    samples = digitised([converter(4000, 1)] * 2, 60_000)
    samples[100] = 30_000
    samples[30_000] = -30_000
    without, with_widths = sizes(samples)
    assert with_widths < 0.98 * without


@pytest.mark.parametrize("wiring", ["chips", "interleaved"])
def test_channels_that_share_a_converter_share_a_table(wiring):
    tables = [converter(4000, seed) for seed in range(6)]
    place = np.arange(64)
    numbers = place // 32 if wiring == "chips" else place // 24 * 2 + place % 2
    calibration, data = chosen(digitised([tables[number] for number in numbers], 6_000))
    assert calibration is not None and data is not None
    assert calibration.converters == len(set(numbers.tolist()))
    assert len(data) < 3_000, "codes that hardly occur have no differences"


def test_a_shipped_calibration_is_named_where_a_recording_is_short():
    (intan,) = shipped()
    edges = intan.edges / 64 + intan.metadata["offset"]
    noise = np.random.default_rng(1).normal(0, 30, (2_000, 8))
    samples = (np.searchsorted(edges, noise, side="right") - 1 + intan.metadata["offset"]).astype(np.int16)
    assert chosen(samples) == (intan, None)
    calibration, data = chosen((samples.astype(np.int32) + 32_768).astype(np.uint16))
    assert calibration is not None and data is not None and len(data) < 40
    assert calibration.metadata["base"] == intan.id.hex()
    for one in (samples, (samples.astype(np.int32) + 32_768).astype(np.uint16), samples.astype(np.float32) * 0.195):
        without, with_widths = sizes(one.astype(np.float32) if one.dtype.kind == "f" else one)
        assert with_widths < 0.95 * without


def test_what_a_recording_has_in_common_with_a_shipped_one_is_not_stored():
    (intan,) = shipped()
    edges = intan.edges / 64 + intan.metadata["offset"]
    noise = np.random.default_rng(1).normal(0, 30, (60_000, 4))
    samples = (np.searchsorted(edges, noise, side="right") - 1 + intan.metadata["offset"]).astype(np.int16)
    calibration, data = chosen(samples)
    assert calibration is not None
    assert calibration is intan or len(data or b"") < 300


# ---------------------------------------------------------------- even widths win


@pytest.mark.parametrize("channels", [1, 40])
def test_an_even_converter_goes_without(channels):
    noise = np.random.default_rng(0).normal(0, 20, (600_000 // channels, channels))
    assert chosen(np.rint(noise).astype(np.int16)) == (None, None)


def test_filtered_clipped_digital_and_silent_recordings_go_without():
    noise = np.random.default_rng(0).normal(0, 5000, (300_000, 2))
    assert chosen(np.rint(noise).astype(np.int16)) == (None, None)
    assert chosen((noise > 0).astype(np.int16)) == (None, None)
    assert chosen(np.zeros((600_000, 1), np.int16)) == (None, None)
    assert chosen(np.zeros((1, 1), np.int16)) == (n1(), None)
    assert chosen(np.zeros((0, 3), np.int16)) == (n1(), None)
    clipped = np.clip(np.rint(noise / 100), -60, 60).astype(np.int16)
    without, with_widths = sizes(clipped)
    assert with_widths <= without
    edges = converter(4000, 1)
    raw = digitised([edges], 200_000)[:, 0].astype(np.float64)
    smooth = np.rint(np.convolve(raw, np.hanning(9) / np.hanning(9).sum(), "same"))[:, None].astype(np.int16)
    without, with_widths = sizes(smooth)
    assert with_widths <= without


@pytest.mark.parametrize(
    ("dtype", "middle", "dead"), [("int16", 2000, 0), ("uint16", 32_768, 0), ("int32", 0, 1 << 30)]
)
def test_a_dead_channel_outside_the_range_of_the_others(dtype, middle, dead):
    noise = np.rint(np.random.default_rng(1).normal(middle, 40, 300_000)).astype(dtype)
    samples = np.stack([noise, np.full_like(noise, dead)], axis=1)
    packed = spikey.compress(samples, 30_000, "fast")
    np.testing.assert_array_equal(spikey.decompress(packed).samples, samples)


def test_dead_channels_teach_nothing():
    live = simulate(600_000, seed=2)
    beside = np.concatenate([live[:, :1], np.full_like(live[:, :1], -32_000)], axis=1)
    calibration, data = chosen(beside)
    assert calibration is not None and data is not None and calibration.alphabet == 1024
    without, with_widths = sizes(beside)
    assert with_widths < 0.99 * without


# ---------------------------------------------------------------- nothing fails


@pytest.mark.parametrize("error", [spikey.UsageError("no"), spikey.DataError("no"), np.linalg.LinAlgError("singular")])
def test_an_estimate_that_fails_does_not_fail_the_compression(monkeypatch, error):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(automatic, "find_grid", fail)
    samples = np.rint(np.random.default_rng(0).normal(0, 20, (600_000, 1))).astype(np.int16)
    assert chosen(samples) == (None, None)


def test_an_unreadable_recording_still_fails():
    class Gone(ArraySource):
        def read(self, first_frame: int, count: int) -> np.ndarray:
            raise spikey.DataError("gone")

    with pytest.raises(spikey.DataError, match="gone"):
        choose_calibration(AUTO, Gone(np.zeros((600_000, 1), np.int16), 1), LPC)


def test_a_long_recording_is_looked_at_in_part_from_beginning_to_end():
    class Counted(ArraySource):
        seen = 0
        last = 0

        def read(self, first_frame: int, count: int) -> np.ndarray:
            self.seen += count
            self.last = max(self.last, first_frame + count)
            return super().read(first_frame, count)

    source = Counted(np.zeros((4_000_000, 4), np.int16), 20_000)
    found = automatic.read_samples(source)
    assert found is not None and found.samples.shape == (source.seen, 4)
    assert source.last == source.frames and source.seen * 4 <= automatic.LEAST_SAMPLES


def test_a_calibration_of_several_converters_leaves_slower_presets_as_they_are():
    samples = digitised([converter(4000, number // 32) for number in range(64)], 3_000)
    edges = np.stack([converter(4000, seed) for seed in range(2)])
    rounded = np.maximum.accumulate(np.rint(edges * 64) - np.arange(4001), axis=1) + np.arange(4001)
    calibration = Calibration(rounded.astype(np.int32), n1().prior, {"offset": -2000, "step": 1})
    packed = spikey.compress(samples, 20_000, "balanced", calibration=calibration)
    np.testing.assert_array_equal(spikey.decompress(packed).samples, samples)


@pytest.mark.data("vendors/axon")
def test_real_files_with_dead_channels(tmp_path):
    folder = DATA / "vendors" / "axon"
    pytest.importorskip("neo")
    pytest.importorskip("spikeinterface")
    for path in sorted(folder.rglob("*.abf")):
        done = CliRunner().invoke(app, ["compress", str(path), str(tmp_path / f"{path.stem}.spky")])
        assert done.exit_code == 0, done.output
