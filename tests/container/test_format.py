"""docs/format.md says what the package does: a decoder written from it alone restores what the package compressed."""

from __future__ import annotations

import hashlib
import io
import re
import struct

import numpy as np
import pytest

import spikey
from kit import reference
from kit.golden import GOLDEN
from kit.paths import ROOT
from kit.writing import cut_into, write_file
from spikey.base.shipped import FOLDER
from spikey.codec.adaptive.syntax import channels_in, companions_in
from spikey.codec.encode import encode_block
from spikey.codec.method import Method
from spikey.codec.registry import PREDICTORS
from spikey.container import writer as writer_module
from spikey.container.records import RECORDS
from spikey.container.writer import write_bytes_file
from spikey.files.arrays import compress_with
from spikey.files.compress import compress_file
from spikey.files.decompress import decompress_file
from spikey.files.settings import Settings
from spikey.levels.contract import LEVEL_MAPS
from spikey.levels.registry import find_levels
from spikey.levels.rescaled import Rescaled
from spikey.model import fixed_point as fixed
from spikey.model import mixture, stacked
from spikey.model.balanced import network
from spikey.model.calibration import SHIPPED, Calibration, n1
from spikey.model.density import narrow, uniform_edges
from spikey.model.trained import SHIPPED as SHIPPED_MODELS
from spikey.recording.readable import ArraySource
from spikey.report.self_test import known_signal

SPECIFICATION = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
FRAMES = 700


def check(samples: np.ndarray, method: Method, calibration: Calibration | None = None) -> None:
    out = io.BytesIO()
    write_file(ArraySource(samples, 20_000), out, method, calibration)
    known = [] if calibration is None else [calibration.to_bytes()]
    assert len(out.getvalue()) < samples.nbytes
    assert reference.decode(out.getvalue(), known) == samples.tobytes()


N1 = known_signal(FRAMES)[:, :1]
EVEN = (N1 // 64).astype(np.int16)
WIDE = (N1.astype(np.int32) * 60 + np.arange(FRAMES)[:, None] ** 2 % 61).astype(np.int32)
SHOCKS = (EVEN + 600 * (np.arange(FRAMES) % 90 == 0)[:, None]).astype(np.int16)


SIGNALS = {"n1": (N1, n1()), "even": (EVEN, None), "wide": (WIDE, None), "shocks": (SHOCKS, None)}


@pytest.mark.parametrize("predictor", ["lpc", "balanced"])
@pytest.mark.parametrize("name", list(SIGNALS))
def test_the_range_coder_with_every_model(predictor, name):
    check(SIGNALS[name][0], Method(predictor, lanes=2 if predictor == "lpc" else 1), SIGNALS[name][1])


def test_several_channels():
    samples = known_signal(FRAMES)
    three = np.concatenate([samples, samples[:, :1], np.zeros_like(samples[:, :1])], axis=1)
    check(three, Method("lpc", lanes=2), n1())
    check(three[:400], Method("balanced", lanes=1), n1())


def test_rescaled_codes():
    samples = (EVEN.astype(np.int64) * 625 // 26 + 7).astype(np.int16)
    check(samples, Method("lpc", lanes=2))
    toward_zero = (np.sign(EVEN) * (np.abs(EVEN.astype(np.int64)) * 625 // 26) - 40).astype(np.int16)
    for one in (samples, toward_zero):
        assert isinstance(find_levels(one[:, 0]), Rescaled)
    check(toward_zero, Method("lpc", lanes=2))


def test_without_deltas_and_with_other_lanes():
    check(EVEN, Method("lpc", delta=False, lanes=2))
    check(EVEN[:-1], Method("lpc", lanes=2))


def test_levels_of_all_kinds():
    table = np.array([-30_000, -5, 0, 17, 20_000], dtype=np.int32)[N1[:, 0] % 5]
    low = known_signal(300).astype(np.int32) * 65_521 + np.arange(300, dtype=np.int32)[:, None]
    for samples in (table[:, None], EVEN * 3 + 1, low):
        check(samples, Method("lpc", lanes=2))


def check_max(
    samples: np.ndarray,
    calibration: Calibration | None = None,
    companions: np.ndarray | None = None,
    **how: str | bool,
) -> bytes:
    """Whether it pays or not: a file would be coded in another way where that is smaller. The payload."""
    method = Method(**{"predictor": "max", "lanes": 1, "references": 4} | how)  # type: ignore[arg-type]
    payload = encode_block(samples, method, calibration, companions)
    assert payload is not None
    beside = None if companions is None else companions.T.tolist()
    if companions is None:
        out = io.BytesIO()
        write_file(ArraySource(samples, 20_000), out, method, calibration, payload=payload)
        known = [] if calibration is None else [calibration.to_bytes()]
        assert reference.decode(out.getvalue(), known) == samples.tobytes()
    else:
        tables = None if calibration is None else reference.read_calibration(calibration.to_bytes())
        got = reference.decode_payload(payload, *samples.shape, tables, None, 2, beside)
        assert np.array(got).T.tolist() == samples.tolist()
    return payload


@pytest.mark.parametrize("name", list(SIGNALS))
def test_max(name):
    check_max(*SIGNALS[name])


@pytest.mark.parametrize("frames", [5, 31, 32, 33, 97])
def test_max_of_a_few_samples(frames):
    check_max((np.arange(300)[:frames, None] * 7 // 3 % 4).repeat(2, axis=1).astype(np.int32) * 9)


def test_max_with_references():
    samples = known_signal(FRAMES)
    three = np.concatenate([samples, samples[:, :1], np.zeros_like(samples[:, :1])], axis=1)
    payload = check_max(three[:420], n1())
    assert any(channel.references for channel in channels_in(payload, 4))


@pytest.mark.parametrize("beside", ["n1", "even", "shocks and constant", "wide"])
def test_max_with_companions(beside):
    """Some of which are referred to, some not; of one kind of levels and of others."""
    first, second = known_signal(400).T[:, :, None]
    companions = {
        "n1": first,
        "even": first // 64,
        "shocks and constant": np.concatenate([np.full_like(first, 7), SHOCKS[:400], first // 32], axis=1),
        "wide": first.astype(np.int32) * 7 + np.arange(400)[:, None] % 5,
    }[beside]
    payload = check_max(second, n1(), companions)
    assert companions_in(payload) == companions.shape[1]
    assert check_max(np.concatenate([second, second[::-1]], axis=1)[:300], n1(), companions[:300])


def test_max_without_deltas():
    check_max(EVEN[:400], delta=False)
    check_max(np.concatenate([EVEN, EVEN[::-1]], axis=1)[:300], delta=False)


def test_max_of_two_codes():
    check_max((EVEN % 5 == 0).astype(np.int16) * 1000)


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_max_of_the_largest_numbers(dtype):
    """Plain Python's integers cannot overflow, so nothing else did."""
    limits, time = np.iinfo(dtype), np.arange(450)
    square = np.where(time // 37 % 2, limits.max, limits.min)
    alternating = np.where(time % 2, limits.max - time % 5, limits.min + time % 3)
    shocks = np.where(time % 50 == 0, alternating, time % 7)
    check_max(np.stack([alternating, shocks, square, alternating // 3], axis=1).astype(dtype))


def test_max_over_whole_segments():
    """Long enough that the regression forgets."""
    check_max(known_signal(1500)[:, :1], n1())


@pytest.mark.parametrize("blocks", [False, True])
def test_files_of_all_kinds(tmp_path, monkeypatch, blocks):
    if blocks:
        cut_into(monkeypatch, 64, 1)
        monkeypatch.setattr(writer_module, "RECORD_BYTES", 10)
        monkeypatch.setattr(writer_module, "PIECE", 100)
    pcm = EVEN[:200].tobytes()
    for head, tail, kind in [
        (b"", b"", 1),
        (b"LIST\4\0\0\0abcd", b"the end" * 20, 1),
        (b"", b"", 3),
    ]:
        fmt = b"fmt \x10\0\0\0" + struct.pack("<HHIIHH", kind, 2, 20_000, 80_000, 4, 16)
        body = b"WAVE" + head + fmt + b"data" + struct.pack("<I", len(pcm)) + pcm + tail
        path, packed, restored = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
        path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
        compress_file(path, packed, Settings(predictor="lpc", calibration=n1()), overwrite=True)
        decompress_file(packed, restored, overwrite=True)
        assert reference.decode(packed.read_bytes()) == path.read_bytes() == restored.read_bytes()
    out = io.BytesIO()
    content = np.arange(150, dtype=np.float32).tobytes() + b"xyz"
    write_bytes_file(len(content), (content[at : at + 100] for at in range(0, len(content), 100)), 4, out)
    assert reference.decode(out.getvalue()) == content


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.spky")), ids=lambda path: path.name)
def test_golden_files(path):
    data = path.read_bytes()
    with spikey.open(data) as reader:
        if reader.frames * reader.layout.channels > 4000 and not path.name.startswith("fast"):
            pytest.skip("large")
    out = reference.decode(data, [file.read_bytes() for file in SHIPPED.glob("*.safetensors")])
    with spikey.open(data) as reader:
        assert reader.header.wrapper == 3 or reader[:].tobytes() in out


def test_the_specification_states_the_tables():
    tables = {"C": fixed.CUMULATIVE, "R": fixed.RECIPROCAL, "U": fixed.UPDATE, **network()}
    tables |= {"L": fixed.SIGMOID, "H": fixed.TANGENT, "N": fixed.NORMAL}
    for name, table in tables.items():
        digest = hashlib.sha256(table.astype(table.dtype.newbyteorder("<")).tobytes()).hexdigest()
        assert re.search(rf"\| `{name}`.* \| `{digest}` \|", SPECIFICATION), f"{name}: {digest}"


def test_the_specification_states_what_the_strongest_predictor_is_made_of():
    network = SHIPPED_MODELS / f"{stacked.NETWORK}.safetensors"
    digests = {f"`{network.name}`": network.read_bytes()}
    with np.load(FOLDER / "tables" / "stacked.npz", allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["mean", "pairs", "precision"]
        for key, array in arrays.items():
            shape = ", ".join(map(str, array.shape))
            content = array.astype(array.dtype.newbyteorder("<")).tobytes()
            digests[f"`stacked.npz`: `{key}`, {array.dtype} ({shape})"] = content
        facts = [stacked.network().architecture.hidden, len(arrays["pairs"]), len(arrays["mean"])]
    for what, content in digests.items():
        digest = hashlib.sha256(content).hexdigest()
        assert f"| {what} | `{digest}` |" in SPECIFICATION, f"{what}: {digest}"
    rows = ["units of the network's last layer, `hidden`", "products of units, m", "inputs of the regression"]
    for row, fact in zip(rows, facts, strict=True):
        stated = next(line for line in SPECIFICATION.splitlines() if line.startswith(f"| {row}"))
        assert int(stated.split("|")[2]) == fact


def test_the_specification_states_the_mixture():
    shares = mixture.mixed(narrow(uniform_edges(2))).shares
    assert f"shares  = {', '.join(map(str, shares))}  " in SPECIFICATION
    assert f"offsets = {', '.join(map(str, mixture.OFFSETS))}  " in SPECIFICATION


def test_the_specifications_example():
    example = re.search(r"```\n(53 50 4b 59[^`]*)```", SPECIFICATION)
    assert example
    data = bytes.fromhex(example[1])
    samples = (np.arange(200) % 7).astype(np.int16)
    assert reference.decode(data) == samples.tobytes()
    assert spikey.decompress(data).samples.tobytes() == samples.tobytes()
    assert compress_with(samples, 20_000, Settings(predictor="lpc")) == data


def test_the_specification_lists_what_is_registered():
    (method,) = re.findall(r"^\| method \|.*$", SPECIFICATION, re.MULTILINE)
    for predictor in PREDICTORS:
        assert re.search(rf"\b{predictor.number} {predictor.name}\b", method)
    section = SPECIFICATION.split("\n## 4.")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE))
    assert [int(number) for number in rows] == sorted(record.number for record in RECORDS)
    critical = {record.number for record in RECORDS if record.critical}
    assert critical == {1, 2, 3, 4, 6, 7, 8, 9} and "Records 1 to 4 and 6 to 9 are critical" in section
    levels = SPECIFICATION.split("\n## 8.")[1].split("\n## ")[0]
    for record in LEVEL_MAPS:
        assert re.search(rf"\b{record.number}\b", levels)
