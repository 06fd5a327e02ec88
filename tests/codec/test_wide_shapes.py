"""The wide engine's tables are what they are made of, and what the engine assumes of them."""

from __future__ import annotations

import numpy as np
import pytest

from spikey.base.shipped import FOLDER
from spikey.codec.wide import shape_definitions, shapes


def test_tables_are_what_they_are_made_of():
    made = shape_definitions.make()
    with np.load(FOLDER / "tables" / "wide.npz") as stored:
        assert sorted(made) == sorted(stored.files)
        for name, table in made.items():
            np.testing.assert_array_equal(stored[name], table)
            assert stored[name].dtype == table.dtype


def test_the_engine_and_the_definitions_agree_on_sizes():
    for name in ("CELLS", "REACH", "MASS_BITS", "QUANTILE_BITS", "COST_CELLS"):
        assert getattr(shapes, name) == getattr(shape_definitions, name)
    assert len(shape_definitions.SHAPES) == shapes.SHAPES


@pytest.mark.parametrize("shape", range(shapes.SHAPES))
def test_counts_are_a_distribution_that_leaves_some_for_escapes(shape):
    counts = shapes.COUNTS[shape].astype(np.int64)
    escapes = shape_definitions.SHAPES[shape].escapes
    assert counts[0] == 0 and counts[-1] == shapes.MASS - escapes and escapes > 0
    assert (np.diff(counts) >= 0).all()


@pytest.mark.parametrize("shape", range(shapes.SHAPES))
def test_a_quantile_lies_in_the_cell_of_its_slot(shape):
    counts, quantiles = shapes.COUNTS[shape], shapes.QUANTILES[shape]
    cells = np.floor((quantiles + shapes.REACH) * shapes.CELLS).astype(np.int64)
    slots = np.minimum(np.arange(len(quantiles)) * 4 + 2, int(counts[-1]) - 1)
    assert (counts[cells] <= slots).all() and (slots < counts[cells + 1]).all()
    assert (np.diff(quantiles) >= 0).all()


@pytest.mark.parametrize("shape", range(shapes.SHAPES))
def test_a_shape_has_a_mean_absolute_value_of_one(shape):
    counts = shapes.COUNTS[shape].astype(np.float64)
    middles = (np.arange(len(counts) - 1) + 0.5) / shapes.CELLS - shapes.REACH
    assert np.sum(np.diff(counts) * np.abs(middles)) / counts[-1] == pytest.approx(1, abs=0.01)
