"""Where tests find things: the checkout, golden files, recordings beside the checkout, and a C compiler."""

from __future__ import annotations

import shutil
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SOURCE = ROOT / "src"
KIT = TESTS / "kit"
GOLDEN = KIT / "golden_files"
FUZZ = KIT / "fuzz"
DATA = ROOT.parent / "shared" / "data"  # absent on most machines
CC = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
