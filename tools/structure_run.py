"""What `tools.structure` finds by running the package, in a process of its own: `structure_run.py WHAT NAME`."""

from __future__ import annotations

import json
import sys
import threading
import wave
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


def compress(name: str) -> dict[str, Any]:
    """The calls between files of the package while a WAV file is compressed, in order: caller and callee.

    A call that passes through other packages, such as a callback of NumPy's, counts from the nearest file of this one.
    """
    module, _, function = name.partition(":")
    compress_file = getattr(import_module(module), function)
    folder = str(Path(sys.modules["spikey"].__file__ or "").parent.resolve())
    samples = (np.random.default_rng(0).normal(0, 40, (20_000, 2))).astype("<i2")
    with wave.open("a.wav", "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(20_000)
        file.writeframes(samples.tobytes())
    compress_file("a.wav", "first.spky")  # imports and compilation apart
    calls: list[tuple[str, str]] = []

    def on_event(frame: Any, event: str, argument: object) -> None:
        callee = frame.f_code.co_filename
        if event != "call" or not callee.startswith(folder):
            return
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(folder):
            caller = caller.f_back
        calls.append((callee if caller is None else caller.f_code.co_filename, callee))

    threading.setprofile(on_event)
    sys.setprofile(on_event)
    compress_file("a.wav", "second.spky")
    sys.setprofile(None)
    return {"calls": calls}


def codec(name: str) -> dict[str, Any]:
    """How many modules of the package the codec loads, before and after a round trip, and whether Numba comes early."""
    chosen = import_module(name).Spikey()
    before, numba = _loaded(), "numba" in sys.modules
    samples = (np.random.default_rng(0).normal(0, 40, (1000, 4))).astype(np.int16)
    restored = np.asarray(chosen.decode(chosen.encode(samples))).view(np.int16).reshape(samples.shape)
    assert (restored == samples).all()
    return {"modules": _loaded(), "before": before, "numba": numba}


def _loaded() -> int:
    return sum(name.split(".")[0] == "spikey" for name in sys.modules)


if __name__ == "__main__":
    print(json.dumps({"compress": compress, "codec": codec}[sys.argv[1]](sys.argv[2])))
