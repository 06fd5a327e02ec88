"""Where tests find things: the checkout, golden files, and recordings beside the checkout."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SOURCE = ROOT / "src"
KIT = TESTS / "kit"
GOLDEN = KIT / "golden_files"
FUZZ = KIT / "fuzz"
DATA = ROOT.parent / "shared" / "data"  # absent on most machines; tests that want it skip
