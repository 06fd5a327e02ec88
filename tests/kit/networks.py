"""Networks for tests: some that refine a little, some that say nonsense; and how to have them used all the same."""

from __future__ import annotations

import numpy as np
import pytest

from kit.golden import ALONE, DENSE, LSTM, known_model
from kit.writing import compare_networks
from spikey.base.errors import DataError
from spikey.codec.encode import encode_blocks
from spikey.container import hold, writer
from spikey.files import encoding
from spikey.model import trained
from spikey.recording.layout import Layout, pack
from spikey.recording.wav import canonical_head

GENTLE = known_model(LSTM, down=9)  # refines a little, so that it beats linear prediction
DENSE_MODEL, ALONE_MODEL = known_model(DENSE), known_model(ALONE)
NONSENSE = [known_model(LSTM, down=0), known_model(DENSE, down=0)]


@pytest.fixture
def nothing_in_use(monkeypatch, tmp_path):
    """Models that another test has brought into use, or that are shipped, are unknown."""
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.setattr(trained, "_places", [])
    monkeypatch.setattr(trained, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(trained, "OWN", tmp_path / "own")
    monkeypatch.delenv("SPIKEY_MODELS", raising=False)


@pytest.fixture
def unguarded(monkeypatch):
    """The network is used for every block, whether it pays or not."""

    def coded(blocks, layouts, method, calibration, companions=None):
        return encode_blocks(blocks, method, calibration)

    monkeypatch.setattr(encoding, "encode_smallest", coded)


def wav(samples: np.ndarray) -> bytes:
    layout = Layout(samples.shape[1], 20_000, "int16")
    return canonical_head(layout, len(samples)) + pack(samples, layout)


@pytest.fixture
def no_comparison(monkeypatch):
    """These networks win nothing: they would never be used, and the files with one inside are larger than allowed."""
    compare_networks(monkeypatch, False)
    monkeypatch.setattr(writer, "most_bytes", lambda size: 1 << 40)
    monkeypatch.setattr(hold, "_covers", lambda spared, cost: True)


def one_sentence(error: BaseException, *parts: str) -> None:
    text = str(error)
    assert isinstance(error, DataError) and "\n" not in text and len(text) < 600, text
    assert all(part in text for part in parts), (parts, text)


LENGTHS = [200, 33, 1, 257, 32, 300, 2, 31, 150, 256, 0]
