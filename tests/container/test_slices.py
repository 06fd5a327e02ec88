"""Slices of a compressed recording are NumPy's, and decode no more than they need."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.blocks import many_blocks, packed
from kit.writing import cut_into
from spikey.container.reader import Reader

INDEX = st.one_of(
    st.integers(-12, 11),
    st.builds(slice, *[st.none() | st.integers(-15, 15)] * 2, st.none() | st.sampled_from([1, 2, 5, -1, -3])),
)


@pytest.fixture(scope="module")
def sliced() -> tuple[np.ndarray, Reader]:
    patch = pytest.MonkeyPatch()
    cut_into(patch, 5, 4)
    samples = np.arange(12 * 11, dtype=np.int16).reshape(12, 11) ** 2 % 97
    data = packed(samples)
    patch.undo()
    return samples, Reader(data)


def check_same(samples: np.ndarray, reader: Reader, key: object) -> None:
    """A reader has what NumPy has for an index, or raises as NumPy does."""
    try:
        wanted = samples[key]
    except IndexError:
        with pytest.raises(IndexError):
            reader[key]
        return
    out = reader[key]
    assert out.shape == wanted.shape and out.dtype == wanted.dtype
    np.testing.assert_array_equal(out, wanted)


@given(rows=INDEX, columns=INDEX)
@settings(max_examples=150, deadline=None)
def test_slices_are_numpys(sliced, rows, columns):
    samples, reader = sliced
    for key in (rows, (rows, columns), (rows, ...), (..., columns), (..., rows, columns)):
        check_same(samples, reader, key)


LISTED = st.one_of(
    st.lists(st.integers(-12, 10), min_size=3, max_size=3),
    st.integers(-12, 10).map(lambda index: [index]),
    st.integers(-12, 10),
    st.lists(st.booleans(), min_size=11, max_size=11).map(np.array),
)


@given(rows=LISTED, columns=LISTED)
@settings(max_examples=100, deadline=None)
def test_lists_and_masks_are_numpys(sliced, rows, columns):
    samples, reader = sliced
    if isinstance(rows, np.ndarray):
        rows = np.append(rows, False)  # the recording has a frame more than channels
    for key in (rows, (rows, columns), (rows, slice(2, 9, 2)), (slice(None, None, -2), columns)):
        check_same(samples, reader, key)


def test_other_ways_to_read(sliced):
    samples, reader = sliced
    np.testing.assert_array_equal(reader[...], samples)
    np.testing.assert_array_equal(np.asarray(reader), samples)
    np.testing.assert_array_equal(np.stack(list(reader)), samples)
    np.testing.assert_array_equal(reader.read(3, 4, range(9, 2, -3)), samples[3:7, 9:2:-3])
    assert reader.read(12, 0).shape == (0, 11)
    for bad in ("a", 1.5, [1, 12], [0.5], [True, False], None, (1, 2, 3), (..., ...), ([1, 2], [2, 3, 4])):
        with pytest.raises(IndexError):
            reader[bad]
    for bad in ((-1, 2), (0, 13), (5, -1)):
        with pytest.raises(IndexError):
            reader.read(*bad)
    with pytest.raises(IndexError):
        reader.read(0, 1, range(12))


def test_a_slice_decodes_only_what_it_needs(small_blocks, monkeypatch):
    samples, data = many_blocks()
    with Reader(data) as reader:
        touched = []
        content = reader.decoder.content
        monkeypatch.setattr(reader.decoder, "content", lambda block: touched.append(block.extent) or content(block))
        np.testing.assert_array_equal(reader[120:180, 4], samples[120:180, 4])
        assert touched == [(100, 200, 4, 5)]
        _ = reader[130, 4]
        assert len(touched) == 1
