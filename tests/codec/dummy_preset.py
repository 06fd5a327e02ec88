"""A preset in one file, as a contributor would add it."""

from __future__ import annotations

from spikey.codec.method import Method
from spikey.codec.registry import Preset

RECORD = Preset(
    name="simplest", rank=-1, method=Method("last", lanes=1), about="the last sample", use="tests", hours=(1, 1)
)
