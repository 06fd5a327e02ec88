"""SpikeGLX: of the metadata, the number of channels and the rate suffice."""

from __future__ import annotations

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in, parsed, reasons_in
from kit.paths import DATA
from kit.vendors import noise, spikeglx

METAS = sorted((DATA / "vendors" / "spikeglx_meta").glob("*.meta"))


def pair(folder, text, samples, name="run_g0_t0.imec0.ap", ends="\r\n"):
    (folder / f"{name}.meta").write_bytes(ends.join(text).encode())
    (folder / f"{name}.bin").write_bytes(samples.astype("<i2").tobytes())


@pytest.mark.data("vendors/spikeglx_meta")
@pytest.mark.parametrize("meta", METAS, ids=lambda path: path.stem)
def test_metadata_of_every_probe_type(meta, tmp_path):
    values = dict(line.split("=", 1) for line in meta.read_text().splitlines() if "=" in line)
    samples = noise(40, int(values["nSavedChans"]))
    pair(tmp_path, meta.read_text().splitlines(), samples)
    (found,) = mapped_in("spikeglx", tmp_path)
    assert found.layout.channels == int(values["nSavedChans"])
    assert found.layout.rate == float(values["imSampRate"])
    assert found.layout.dtype == "int16"
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.data("vendors/spikeglx_meta")
def test_there_is_metadata_of_22_probes():
    assert len(METAS) == 22


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("kind", "key"), [("nidq", "niSampRate"), ("imec", "imSampRate"), ("obx", "obSampRate"), ("new", "xySampRate")]
)
def test_rate_of_each_kind_of_device(ends, kind, key, tmp_path):
    lines = ["nSavedChans=3", "typeThis=" + kind, key + "=31250.5", "~snsChanMap=(1,0)(=;)", "userNotes=a=b"]
    pair(tmp_path, lines, noise(10, 3), ends=ends)
    (found,) = mapped_in("spikeglx", tmp_path)
    assert found.layout.rate == 31250.5


def test_the_rate_is_that_of_the_files_kind(tmp_path):
    pair(tmp_path, ["nSavedChans=3", "imSampRate=1", "niSampRate=2", "typeThis=nidq"], noise(10, 3))
    (found,) = mapped_in("spikeglx", tmp_path)
    assert found.layout.rate == 2


def test_a_partial_frame_is_noted(tmp_path):
    pair(tmp_path, ["nSavedChans=3", "imSampRate=30000"], noise(10, 3))
    path = tmp_path / "run_g0_t0.imec0.ap.bin"
    path.write_bytes(path.read_bytes() + b"12345")
    (found,) = mapped_in("spikeglx", tmp_path)
    assert found.frames == 10
    assert found.notes == ("5 bytes after the last whole frame, which are stored as they are",)
    path.write_bytes(path.read_bytes()[:-4])
    (found,) = mapped_in("spikeglx", tmp_path)
    assert found.notes == ("1 byte after the last whole frame, which is stored as it is",)


def test_a_bin_without_meta_is_no_recording(tmp_path):
    written = spikeglx(tmp_path, frames=30)
    next(tmp_path.rglob("*.lf.meta")).unlink()
    (tmp_path / "firmware.bin").write_bytes(b"1234")
    assert len(mapped_in("spikeglx", tmp_path)) == len(written) - 1 == 2


def test_runs_of_several_triggers_are_several_recordings(tmp_path):
    assert len(mapped_in("spikeglx", tmp_path)) == 0
    written = spikeglx(tmp_path, frames=30, triggers=3) | spikeglx(tmp_path, run="other", frames=30)
    assert len(mapped_in("spikeglx", tmp_path)) == len(written) == 12


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "nSavedChans in its .meta is not a whole number of 1 or more"),
        (["nSavedChans=0", "imSampRate=1"], "nSavedChans in its .meta is not a whole number of 1 or more"),
        (["nSavedChans=1e3", "imSampRate=1"], "nSavedChans in its .meta is not a whole number of 1 or more"),
        (["nSavedChans=99999999", "imSampRate=1"], "a recording has 1 to 16,777,216 channels, not 99,999,999"),
        (["nSavedChans=3"], "its .meta contains no sampling rate"),
        (["nSavedChans=3", "imSampRate=fast"], "imSampRate in its .meta is not a sampling rate in Hz"),
        (["nSavedChans=3", "imSampRate=inf"], "imSampRate in its .meta is not a sampling rate in Hz"),
        (["nSavedChans=31", "imSampRate=1"], "contains no samples"),
    ],
)
def test_metadata_that_does_not_suffice(lines, reason, tmp_path):
    pair(tmp_path, lines, noise(10, 3))
    pair(tmp_path, ["nSavedChans=3", "imSampRate=1"], noise(10, 3), name="sound_g0_t0.imec0.ap")
    assert reasons_in("spikeglx", tmp_path) == {"run_g0_t0.imec0.ap.bin": reason}
    assert len(parsed("spikeglx", tmp_path).recordings) == 1


def test_metadata_that_is_not_text(tmp_path):
    pair(tmp_path, ["nSavedChans=3", "imSampRate=30000", "userNotes=Grüße"], noise(10, 3))
    meta = tmp_path / "run_g0_t0.imec0.ap.meta"
    meta.write_bytes(meta.read_text("utf-8").encode("latin-1") + bytes(range(256)))
    assert len(mapped_in("spikeglx", tmp_path)) == 1
