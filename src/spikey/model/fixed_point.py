"""The fixed-point units that all stages share, and the integer tables."""

from __future__ import annotations

import numpy as np

from spikey.base.shipped import tables

POSITION_BITS = 6  # positions and edges are in 1/64 LSB of the converter
UNIT = 1 << POSITION_BITS
WEIGHT_BITS = 16  # predictor weights
FARTHEST = 1 << 28  # of a location, 1/64 LSB
SCALE_BITS = 16  # log2 of the scale (in 1/64 LSB), 1/65536 octave
SCALE_STEP_BITS = 11  # 32 table steps an octave
SCALE_MIN = 2 << SCALE_BITS
SCALE_MAX = (26 << SCALE_BITS) - 1
Z_BITS = 16  # standardised errors, 1/65536 sigma
Z_MAX = 8 << Z_BITS
Z_CELL_BITS = 9  # 128 table cells a sigma
MASS_BITS = 24  # of every cumulative count
MASS = 1 << MASS_BITS
NARROW = 4096  # the largest alphabet whose codes are all listed
WIDEST = 1 << 20  # the largest alphabet that is modelled at all

_tables = tables("density")
CUMULATIVE: np.ndarray = _tables["cumulative"]  # int32 (2049,)
NORMAL: np.ndarray = _tables["normal"]  # int32 (2049,)
RECIPROCAL: np.ndarray = _tables["reciprocal"]  # int64 (768,)
SPREAD: np.ndarray = (1 << 38) // RECIPROCAL  # the scale itself in 1/4096 LSB, for guesses
UPDATE: np.ndarray = _tables["update"]  # int32 (rates, 97)
UPDATE_BITS = 11  # 32 cells a sigma
UPDATE_LAST = UPDATE.shape[1] - 1
ACTIVATION_BITS = 8  # of a trained network's inputs and units, 1/256
ACTIVATION_MAX = 4 << ACTIVATION_BITS
NETWORK_BITS = 9  # of its weights, 1/512
SIGMOID: np.ndarray = _tables["sigmoid"]  # int16 (4096,), 1/16384, for arguments from -8 to 8
TANGENT: np.ndarray = _tables["tangent"]
GATE_BITS = 14
