"""The compact form of a calibration: differences from another one, or from even widths."""

from __future__ import annotations

import numpy as np
import pytest

from kit import reference
from spikey.base.errors import DataError
from spikey.base.wire import varint, zigzag
from spikey.model import calibration as calibrations
from spikey.model.calibration import COMPACT, Calibration, load, shipped
from spikey.model.compact import make_compact, read_compact, widths_of

PRIOR = np.array([900, -40], np.int32)


def differences(codes: int, seed: int) -> np.ndarray:
    row = np.random.default_rng(seed).integers(-40, 20, codes).astype(np.int8)
    row[: codes // 4] = row[-3:] = 0
    return row


def base_of(codes: int = 300) -> Calibration:
    """Some file's table, from value -50 on."""
    widths = np.random.default_rng(7).integers(3, 200, codes)
    edges = np.concatenate([[-32], -32 + np.cumsum(widths)]).astype(np.int32)
    return Calibration(edges, PRIOR, {"levels": "affine", "offset": -50, "step": 2})


@pytest.fixture
def known(monkeypatch, tmp_path):
    base = base_of()
    (tmp_path / "base.safetensors").write_bytes(base.to_bytes())
    monkeypatch.setenv("SPIKEY_CALIBRATIONS", str(tmp_path))
    return base


@pytest.mark.parametrize("converters", [1, 2, 5])
@pytest.mark.parametrize("shift", [None, 0, 32_768])
def test_what_is_written_is_read_by_both_readers(known, converters, shift):
    rows = [differences(200, seed) for seed in range(1 if converters == 1 else converters + 1)]
    firsts = [-32 + 5 * number for number in range(converters)]
    base = None if shift is None else known
    written = make_compact(rows, firsts, 10 + (shift or 0), 2, base, shift or 0, PRIOR)
    found = load(written.to_bytes())
    assert (found.converters, found.alphabet, found.id) == (converters, 200, written.id)
    assert found.metadata["offset"] == 10 + (shift or 0) and found.metadata["step"] == 2
    np.testing.assert_array_equal(found.edges, written.edges)
    plain = reference.read_calibration(written.to_bytes(), [known.to_bytes()])
    assert plain["converters"] == np.atleast_2d(found.edges).tolist()
    assert (plain["offset"], plain["step"], plain["prior"]) == (10 + (shift or 0), 2, PRIOR.tolist())


def test_no_differences_give_the_widths_of_the_other_one(known):
    none = np.zeros(400, np.int8)
    found = make_compact([none], [-64], -70, 2, known, 0, PRIOR)
    widths = np.diff(found.edges)
    assert (widths[10:310] == np.diff(known.edges)).all() and (widths[:10] == 64).all() and (widths[310:] == 64).all()
    assert len(found.to_bytes()) < 40


def test_widths_are_those_of_the_same_values(known):
    assert widths_of(known, -50 + 2 * 7, 2, 3).tolist() == np.diff(known.edges)[7:10].tolist()
    for offset, step in ((-49, 2), (-50, 1)):
        with pytest.raises(DataError, match="other values"):
            widths_of(known, offset, step, 3)


def test_differences_are_eighths_of_an_octave():
    found = make_compact([np.array([0, 8, -8, 4, -128, 127], np.int8)], [0], 0, 1, None, 0, PRIOR)
    assert np.diff(found.edges).tolist() == [64, 128, 32, round(64 * 2**0.5), 1, 4096]


def test_a_missing_calibration_is_named(known, monkeypatch):
    data = make_compact([differences(30, 1)], [0], 0, 2, known, 0, PRIOR).to_bytes()
    monkeypatch.setenv("SPIKEY_CALIBRATIONS", "")
    with pytest.raises(DataError, match=f"calibration {known.id.hex()} is needed and was not found in"):
        load(data)


def test_damaged_forms_are_refused(known):
    good = make_compact([differences(60, n) for n in range(3)], [0, 9], 0, 2, known, 0, PRIOR).to_bytes()
    for length in range(len(COMPACT), len(good)):
        with pytest.raises(DataError):
            load(good[:length])
    with pytest.raises(DataError, match="after its end"):
        load(good + b"\0")
    rng = np.random.default_rng(0)
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(COMPACT), len(data))] = rng.integers(256)
        try:
            found = load(bytes(data))
        except DataError:
            continue
        assert found.to_bytes() == bytes(data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([1 << 17, 1], "at most 65536"),
        ([1, 1], "tables of 1 codes"),
        ([8, 0], "0 tables"),
        ([8, 65], "at most 64"),
        ([1 << 16, 64], "64 tables of 65536 codes"),
    ],
)
def test_impossible_sizes_are_refused(fields, message):
    data = COMPACT + varint(0) + varint(zigzag(0)) + varint(1) + b"".join(map(varint, fields)) + varint(0)
    with pytest.raises(DataError, match=message):
        read_compact(data)


def test_tables_of_several_converters_are_bounded():
    edges = np.arange(1 << 16, dtype=np.int32)[None] * 64
    for rows, message in ((65, "1 to 64 converters"), (17, "1,048,576 codes")):
        with pytest.raises(DataError, match=message):
            Calibration(np.repeat(edges, rows, axis=0), PRIOR)
    two = Calibration(np.stack([edges[0], edges[0] + 7]), PRIOR, {"offset": 0, "step": 1})
    assert load(two.to_bytes()).converters == 2 and two.edges_of(1)[0] == 7
    with pytest.raises(DataError, match="int32 edges"):
        Calibration(np.zeros((2, 2, 5), np.int32), PRIOR)


def test_what_comes_with_the_package_is_for_values():
    assert {one.metadata["device"] for one in shipped()} == {"Intan RHD2000"}
    assert all("offset" in one.metadata and one.converters == 1 for one in shipped())
    assert calibrations.n1().id not in {one.id for one in shipped()}
