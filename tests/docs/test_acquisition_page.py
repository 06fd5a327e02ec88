"""The example of docs/acquisition.md runs as it stands."""

from __future__ import annotations

import numpy as np

import spikey
from kit.pages import blocks
from kit.paths import ROOT


def test_the_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = blocks((ROOT / "docs" / "acquisition.md").read_text(encoding="utf-8"))
    examples = [block.text for block in page if block.language == "python"]
    assert len(examples) == 1
    names: dict[str, object] = {}
    exec(examples[0], names)
    with spikey.open("day.spky") as reader:
        frames = names["frames"]
        assert reader.complete and reader.shape == (30_000, 384) and reader.metadata == {"subject": "m17"}
        np.testing.assert_array_equal(reader[-300:], frames)
