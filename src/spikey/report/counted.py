"""The networks that are in `data/budget/operations.json`, and the predictors that no preset uses."""

from __future__ import annotations

from spikey.codec import registry
from spikey.model.trained import Architecture

NETWORKS = {
    "fixed_input_nn": Architecture("fixed_input_nn", alone=False, lags=8, hidden=64, layers=2),
    "lstm 32x1": Architecture("lstm", alone=False, lags=8, hidden=32, layers=1),
    "lstm 128x2": Architecture("lstm", alone=False, lags=8, hidden=128, layers=2),
}


def without_preset() -> list[str]:
    """The predictors that need no model and that no preset uses, by the name that a configuration has for them."""
    used = {preset.method.predictor for preset in registry.PRESETS}
    free = [record for record in registry.PREDICTORS if record.method is not None and record.name not in used]
    return [name for record in free for name in record.configured]
