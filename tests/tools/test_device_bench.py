"""The README's table of devices: of each codec the form of the data with the best ratio counts."""

from __future__ import annotations

from kit.paths import ROOT
from tools import device_bench


def row(codec: str, ratio: float, compressed: int = 1) -> dict[str, object]:
    return {"codec": codec, "ratio": ratio, "compressed": compressed, "encode_ms_s": 12.345, "decode_ms_s": 6.0}


def test_the_best_form_of_each_codec_counts():
    rows = [row("spikey fast", 3.0), row("FLAC -8, samples", 2.0), row("flac-numcodecs 8, corrected", 2.5)]
    found = device_bench.best_of([*rows, row("pcodec, level 8, codes", 9.0, compressed=0)])
    assert found == {
        "Spikey `fast`": [3.0, 12.3, 6.0, "spikey fast"],
        "FLAC": [2.5, 12.3, 6.0, "flac-numcodecs 8, corrected"],
    }


def test_the_smallest_file_is_bold_and_what_was_not_measured_has_no_figure():
    run = {"rows": {"a": {"FLAC": [2.5, 12.3, 6.0, "x"], "Spikey `max`": [2.4, 0.5, 100.0, "spikey max"]}}}
    *_, line = device_bench.table(run)
    assert line == "| a | - | 2.40 (0.5, 100) | **2.50** (12.3, 6) | - | - | - |"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
