"""The shapes of residuals: counts below a standardised position, and their inverses."""

from __future__ import annotations

import numpy as np

from spikey.base.shipped import tables

MASS_BITS = 14  # of the counts that share out a code's probability
MASS = 1 << MASS_BITS
CELLS = 256  # of a table, for each mean absolute error
REACH = 16  # mean absolute errors
QUANTILE_BITS = 12
COST_CELLS = 16  # of the table of costs, for each mean absolute error

_tables = tables("wide")
COUNTS: np.ndarray = _tables["counts"]  # uint16 (shapes, 2 * REACH * CELLS + 1)
QUANTILES: np.ndarray = _tables["quantiles"]  # float32 (shapes, 4096), mean absolute errors
COSTS: np.ndarray = _tables["costs"]  # int32 (shapes, REACH * COST_CELLS + 1), 1/256 bits
SHAPES = len(COUNTS)
