"""The predictors and networks whose operations are in `data/budget/operations.json`."""

from __future__ import annotations

from spikey.model.trained import Architecture

NETWORKS = {
    "fixed_input_nn": Architecture("fixed_input_nn", alone=False, lags=8, hidden=64, layers=2),
    "lstm 32x1": Architecture("lstm", alone=False, lags=8, hidden=32, layers=1),
    "lstm 128x2": Architecture("lstm", alone=False, lags=8, hidden=128, layers=2),
}
PREDICTORS = ("realtime", "lms", "balanced", *NETWORKS)
