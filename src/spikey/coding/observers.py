"""A coder that codes nothing, for samples that both sides know: the loop then only learns from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.coding.symbols import code_symbol


class Known(NamedTuple):
    """at int64 (1,): one lane, which the loop looks for."""

    at: np.ndarray


def known() -> Known:
    """Start."""
    return Known(np.zeros(1, dtype=np.int64))


@code_symbol.register(Known)
def _code_symbol_known(coder, density, lane, location, step, code):
    return code
