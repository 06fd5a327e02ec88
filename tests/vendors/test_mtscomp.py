"""mtscomp: samples of `.cbin` in any windows, as mtscomp itself writes and reads them, and damaged files."""

from __future__ import annotations

import json
import random
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kit.parsing import parsed, reasons_in
from kit.vendor_files import mtscomp
from kit.vendors import noise
from spikey.base.errors import DataError, UsageError


def only(folder):
    found = parsed("mtscomp", folder)
    assert not found.failed
    (recording,) = found.recordings
    return recording


def rewrite(folder, **changes):
    path = next(folder.glob("*.ch"))
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("time_diff", [False, True])
@pytest.mark.parametrize("spatial_diff", [False, True])
def test_orders_and_differences(order, time_diff, spatial_diff, tmp_path):
    (samples,) = mtscomp(tmp_path, time_diff=time_diff, spatial_diff=spatial_diff, order=order)
    found = only(tmp_path)
    assert (found.reader, found.path.name, found.beside.name) == ("mtscomp", "run.imec0.ap.cbin", "run.imec0.ap.ch")
    assert found.restored == "run.imec0.ap.bin"
    with found.open() as source:
        assert (source.name, source.frames, source.layout) == (str(found.path), 700, found.layout)
        assert (source.layout.channels, source.layout.rate, source.layout.dtype) == (6, 30_000, "int16")
        assert (source.head_size, source.tail_size, source.canonical) == (0, 0, False)
        assert not list(source.head_chunks()) and not list(source.tail_chunks())
        np.testing.assert_array_equal(source.read(0, 700), samples)


@pytest.mark.parametrize(
    ("dtype", "differences"), [("uint16", True), ("int32", True), ("uint8", True), ("float32", False)]
)
def test_types(dtype, differences, tmp_path):
    (samples,) = mtscomp(tmp_path, dtype=dtype, time_diff=differences)
    with only(tmp_path).open() as source:
        assert source.layout.dtype == dtype
        np.testing.assert_array_equal(source.read(0, 700), samples)


def test_any_window_in_any_order_by_threads(tmp_path):
    (samples,) = mtscomp(tmp_path, frames=2000)
    rng = random.Random(1)
    windows = [(0, 0), (2000, 0), (299, 2), (300, 300), (0, 2000)]
    for _ in range(100):
        first = rng.randrange(2001)
        windows.append((first, rng.randrange(2001 - first)))
    with only(tmp_path).open() as source, ThreadPoolExecutor(4) as pool:
        for (first, count), read in zip(windows, pool.map(lambda w: source.read(*w), windows), strict=True):
            np.testing.assert_array_equal(read, samples[first : first + count])
            read[:] = 0  # what was read is the reader's own
        for first, count in ((-1, 1), (0, 2001), (2000, 1), (0, -1)):
            with pytest.raises(UsageError, match="has 2000 frames"):
                source.read(first, count)


def test_files_of_mtscomp_itself(tmp_path):
    package = pytest.importorskip("mtscomp")
    samples = noise(70_000, 9)
    (tmp_path / "run.ap.bin").write_bytes(samples.tobytes())
    package.compress(
        tmp_path / "run.ap.bin",
        tmp_path / "run.ap.cbin",
        tmp_path / "run.ap.ch",
        sample_rate=30_000.0,
        n_channels=9,
        dtype=np.int16,
        quiet=True,
        n_threads=1,
    )
    with only(tmp_path).open() as source:
        np.testing.assert_array_equal(source.read(0, 70_000), samples)


def test_the_makers_files_are_those_that_mtscomp_reads(tmp_path):
    package = pytest.importorskip("mtscomp")
    for order, spatial in (("F", True), ("C", False)):
        (samples,) = mtscomp(tmp_path, order=order, spatial_diff=spatial)
        reader = package.decompress(tmp_path / "run.imec0.ap.cbin", tmp_path / "run.imec0.ap.ch", quiet=True)
        np.testing.assert_array_equal(reader[:], samples)
        reader.close()


def test_a_description_that_is_missing_or_without_recording(tmp_path):
    mtscomp(tmp_path)
    (tmp_path / "other.ch").write_text("{}")
    next(tmp_path.glob("run*.ch")).unlink()
    assert reasons_in("mtscomp", tmp_path) == {"run.imec0.ap.cbin": "its .ch file, which describes it, is missing"}
    (tmp_path / "run.imec0.ap.cbin").unlink()
    assert parsed("mtscomp", tmp_path).recordings == ()


def test_names_with_identifiers_of_a_database(tmp_path):
    mtscomp(tmp_path, name="_spikeglx_g0_t0.imec0.ap")
    mtscomp(tmp_path, name="_spikeglx_g0_t0.imec1.ap")
    for end, identifier in (
        ("cbin", "5c8e9f0a-1111-4222-8333-0123456789ab"),
        ("ch", "00000000-1111-4222-8333-0123456789ab"),
    ):
        for probe in (0, 1):
            path = tmp_path / f"_spikeglx_g0_t0.imec{probe}.ap.{end}"
            path.rename(tmp_path / f"_spikeglx_g0_t0.imec{probe}.ap.{identifier}.{end}")
    found = parsed("mtscomp", tmp_path)
    assert [each.restored for each in found.recordings] == [f"_spikeglx_g0_t0.imec{p}.ap.bin" for p in (0, 1)]
    assert [each.beside.name[:24] for each in found.recordings] == [f"_spikeglx_g0_t0.imec{p}.ap" for p in (0, 1)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"algorithm": "lzma"}, "its .ch specifies a compression other than zlib"),
        ({"dtype": "complex64"}, "its .ch specifies no type of samples that is supported"),
        ({"dtype": ["int16"]}, "its .ch specifies no type of samples that is supported"),
        ({"dtype": "float32"}, "its .ch specifies differences of floats, which cannot be undone exactly"),
        ({"chunk_order": "A"}, "its .ch specifies no order of samples that is supported"),
        ({"chunk_order": ["C"]}, "its .ch specifies no order of samples that is supported"),
        ({"n_channels": 0}, "n_channels in its .ch is not a whole number of 1 or more"),
        ({"n_channels": 1 << 40}, "a recording has 1 to 16,777,216 channels, not 1,099,511,627,776"),
        ({"sample_rate": None}, "sample_rate in its .ch is not a sampling rate in Hz"),
        ({"chunk_bounds": [0]}, "chunk_bounds in its .ch lists no chunks"),
        ({"chunk_bounds": None}, "chunk_bounds in its .ch lists no chunks"),
        ({"chunk_bounds": [1, 300, 600, 700]}, "chunk_bounds in its .ch is not in ascending order from 0"),
        ({"chunk_bounds": [0, 300, 300, 700]}, "chunk_bounds in its .ch is not in ascending order from 0"),
        (
            {"chunk_bounds": [0, 300.5, 600, 700]},
            "an entry of chunk_bounds in its .ch is not a whole number of 0 or more",
        ),
        ({"chunk_bounds": [0, 300, 700]}, "its .ch lists chunks of which the bounds or the offsets are missing"),
        ({"chunk_bounds": [0, 300, 600, 10**15]}, "its .ch lists a chunk that is larger than it can be"),
    ],
)
def test_descriptions_that_cannot_be_true(changes, reason, tmp_path):
    mtscomp(tmp_path)
    rewrite(tmp_path, **changes)
    assert reasons_in("mtscomp", tmp_path) == {"run.imec0.ap.cbin": reason}


def test_a_file_that_is_cut(tmp_path):
    mtscomp(tmp_path)
    path = tmp_path / "run.imec0.ap.cbin"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    assert reasons_in("mtscomp", tmp_path) == {
        path.name: f"has {size - 1:,} bytes, but its .ch lists chunks up to byte {size:,}"
    }


def test_a_chunk_that_is_damaged(tmp_path):
    (samples,) = mtscomp(tmp_path)
    found = only(tmp_path)
    data = bytearray(found.path.read_bytes())
    data[found.chunks.offsets[1] + 50] ^= 0xFF
    found.path.write_bytes(data)
    with only(tmp_path).open() as source:
        np.testing.assert_array_equal(source.read(0, 300), samples[:300])
        with pytest.raises(DataError, match="chunk 1 "):
            source.read(299, 2)
        np.testing.assert_array_equal(source.read(600, 100), samples[600:])


@pytest.mark.parametrize("bounds", [[0, 300, 600, 699], [0, 300, 600, 701]])
def test_a_chunk_of_another_size_than_listed(bounds, tmp_path):
    mtscomp(tmp_path)
    rewrite(tmp_path, chunk_bounds=bounds)
    with only(tmp_path).open() as source, pytest.raises(DataError, match="does not contain the .* bytes"):
        source.read(600, 1)


def test_a_chunk_that_expands_to_more_than_listed(tmp_path):
    """64 MB of zeros in some 64 kB."""
    mtscomp(tmp_path)
    bomb = zlib.compress(bytes(1 << 26))
    (tmp_path / "run.imec0.ap.cbin").write_bytes(bomb)
    rewrite(tmp_path, chunk_bounds=[0, 1000], chunk_offsets=[0, len(bomb)])
    with only(tmp_path).open() as source:
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match="does not contain the 12,000 bytes"):
                source.read(0, 1)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
