"""A reader as an array: what NumPy, Dask and programs that take either expect of it."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit.writing import write_file
from spikey.codec.method import LPC
from spikey.container.reader import Reader
from spikey.recording.readable import ArraySource

SAMPLES = np.random.default_rng(0).normal(0, 20, (2300, 5)).astype(np.int16)


def packed(samples: np.ndarray, rate: float = 20_000, block_frames: int | None = 500) -> bytes:
    out = io.BytesIO()
    write_file(ArraySource(samples, rate), out, LPC, block_frames=block_frames)
    return out.getvalue()


@pytest.fixture
def reader():
    with spikey.open(packed(SAMPLES)) as opened:
        yield opened


def test_chunks_are_the_steps_to_read_in(reader):
    assert reader.chunks == (500, 5)
    for samples, chunks in ((SAMPLES[:7], (7, 5)), (SAMPLES[:0], (1, 5)), (SAMPLES[:, :1], (500, 1))):
        with spikey.open(packed(samples)) as other:
            assert other.chunks == chunks
    wide = np.zeros((300, 5000), np.int16)
    with spikey.open(packed(wide, block_frames=100)) as other:
        frames, channels = other.chunks
        assert frames == 100 and 1 <= channels <= 5000
        assert all(b.frames <= frames and b.channels <= channels for b in other.structure.blocks)


def test_dask_takes_a_reader(reader):
    dask = pytest.importorskip("dask.array")
    array = dask.from_array(reader)
    assert array.shape == SAMPLES.shape and array.dtype == np.int16 and array.chunks[1] == (5,)
    np.testing.assert_array_equal(array.compute(scheduler="threads"), SAMPLES)
    cut = dask.from_array(reader, chunks=reader.chunks)
    assert cut.chunks == ((500, 500, 500, 500, 300), (5,))
    np.testing.assert_array_equal(cut[700:1900:3, [0, 4]].compute(scheduler="threads"), SAMPLES[700:1900:3, [0, 4]])
    assert int(cut.astype("int64").sum().compute(scheduler="threads")) == int(SAMPLES.sum())


def test_equal_files_are_equal_to_dask(reader):
    base = pytest.importorskip("dask.base")
    with spikey.open(packed(SAMPLES)) as same, spikey.open(packed(SAMPLES[::-1])) as other:
        assert base.tokenize(reader) == base.tokenize(same) != base.tokenize(other)


def test_indices_that_name_no_axis(reader):
    for key in ((), ..., (slice(None),), (..., slice(None))):
        np.testing.assert_array_equal(reader[key], SAMPLES[key])


def test_numpy_takes_a_reader(reader):
    np.testing.assert_array_equal(np.asarray(reader), SAMPLES)
    assert np.asarray(reader, dtype="float32").dtype == np.float32
    assert np.array(reader, dtype=np.int16).flags.writeable
    np.testing.assert_array_equal(np.concatenate([reader, reader]), np.concatenate([SAMPLES, SAMPLES]))
    assert float(np.mean(reader)) == float(np.mean(SAMPLES))
    with pytest.raises(ValueError, match="always a copy"):
        reader.__array__(copy=False)
    assert len(reader) == 2300 and reader.ndim == 2 and reader.size == SAMPLES.size and reader.nbytes == SAMPLES.nbytes


def test_repr(tmp_path):
    path = tmp_path / "a.spky"
    path.write_bytes(packed(SAMPLES))
    with spikey.open(path) as reader:
        assert repr(reader) == f"<spikey.Reader {str(path)!r}: shape (2300, 5), int16, 20000 Hz, 0.115 s>"
        assert reader.duration == 0.115
    with spikey.open(packed(SAMPLES, 0)) as reader:
        assert "0 Hz, nan s" in repr(reader)


def test_blocks_are_iterated(reader):
    np.testing.assert_array_equal(np.concatenate(list(reader.blocks(jobs=2))), SAMPLES)


def test_public_names_are_seen():
    assert spikey.Reader is Reader and spikey.Archive.__name__ == "Archive"
    assert set(spikey.__all__) <= set(dir(spikey)) and set(spikey._PLACES) == {*spikey.__all__, "__version__"}
    for name in spikey.__all__:
        assert getattr(spikey, name).__doc__


def test_public_names_are_seen_by_type_checkers():
    """What is imported late is imported under TYPE_CHECKING too."""
    tree = ast.parse(Path(spikey.__file__).read_text("utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    found = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    places = {name: place.partition(":") for name, place in spikey._PLACES.items()}
    assert found == {name: (f"spikey.{module}", attribute or name) for name, (module, _, attribute) in places.items()}
