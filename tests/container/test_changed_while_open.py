"""A reader whose file is truncated, replaced or removed while it is open: its own bytes, or one clear sentence."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

import spikey
from kit.blocks import packed
from spikey.base.errors import DamagedError, DataError
from spikey.codec.registry import preset_method
from spikey.container.reader import Reader

SAMPLES = np.random.default_rng(1).normal(0, 30, (3000, 40)).astype("int16")
DATA = packed(SAMPLES, preset_method("fast"), block_frames=1000)
OTHER = packed(SAMPLES + 1, preset_method("fast"), block_frames=1000)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.spky").write_bytes(DATA)
    return tmp_path / "a.spky"


def test_a_replaced_file_is_the_one_that_was_opened(path):
    with Reader(path) as reader:
        np.testing.assert_array_equal(reader[:10], SAMPLES[:10])
        (path.parent / "b.spky").write_bytes(OTHER)
        os.replace(path.parent / "b.spky", path)
        np.testing.assert_array_equal(reader[:], SAMPLES)
        with pytest.raises(DataError, match="has changed since its reader was pickled"):
            pickle.loads(pickle.dumps(reader))


def test_a_removed_file_can_be_read_to_its_end(path):
    with Reader(path) as reader:
        path.unlink()
        np.testing.assert_array_equal(reader[:, 3], SAMPLES[:, 3])
        with pytest.raises(DataError, match="a.spky"):
            pickle.loads(pickle.dumps(reader))


def test_a_truncated_file_loses_what_is_cut_off(path):
    with Reader(path) as reader:
        np.testing.assert_array_equal(reader[:900], SAMPLES[:900])
        os.truncate(path, reader.structure.blocks[1].offset + 100)
        np.testing.assert_array_equal(reader[:900], SAMPLES[:900])
        for wanted in (np.s_[1000:], np.s_[1000:, 3]):
            with pytest.raises(DamagedError, match="ended at byte|too early"):
                reader[wanted]


def test_a_file_written_over_gives_no_wrong_samples(path):
    with Reader(path) as reader:
        path.write_bytes(OTHER)
        for wanted in (np.s_[:], np.s_[:, 3], np.s_[1500]):
            try:
                found = reader[wanted]
            except DataError:
                continue
            np.testing.assert_array_equal(found, (SAMPLES + 1)[wanted])  # as long as the other: all of it, or nothing


def test_nothing_can_be_read_from_a_closed_reader(path):
    reader = spikey.open(path)
    reader.close()
    with pytest.raises(ValueError, match="closed file"):
        reader[:10]
