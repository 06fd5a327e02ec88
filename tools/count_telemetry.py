"""What telemetry costs: operations, memory traffic and memory per sample, counted while its own kernels run.

`python -m tools.count_telemetry OUT.json` sets the entry "telemetry" of the file that `spikey budget` reads.
A simulated recording is encoded by the uncompiled kernels on numbers and arrays that count (`tools.opcount`),
from the first frame on. A packet holds as many slots times channels as one of 1,024 channels: few channels have long
packets. What is done in Python beside the kernels, with the lists of events, is not counted.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spikey.coding import range_coder
from spikey.levels.n1 import N1_VALUES
from spikey.recording.simulate import simulate
from spikey.telemetry import allocation, basis, channel_stats, frontend, logarithm, payload, pending, symbols, templates
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.settings import Settings
from tools.count_operations import UNCOMPILED, _replaced
from tools.opcount import Counted, CountedArray, CountingNumpy, Memory, Tally, square_root, start

RATE = 20_000
BUDGET = 1e6 / 1024  # bit/s of a channel
CHANNELS, SECONDS = 16, 1.0
COMPUTING = (basis, frontend, logarithm, range_coder, symbols, templates)  # modules whose NumPy counts in kernels
CALLED = {  # kernels by the module that calls them
    pending: (
        "begin_frontend", "process_frames", "cut_snippets", "analyse_waves", "analyse_low", "logarithms",
        "learn_templates", "match_templates", "place_best",
    ),
    allocation: ("quantise_to_fit", "spent", "code_omitted", "code_places", "code_waves"),
    payload: (
        "code_length", "code_profile", "code_dropped", "code_events", "code_omitted", "code_power", "code_size",
        "code_low", "code_places", "code_weak_waves", "code_waves",
    ),
    channel_stats: ("logarithms",),
    range_coder: ("close",),
}  # fmt: skip
WIRED = ("numbers", "sections")  # a few values for all channels together, which stay in registers, as single numbers do


class _Numpy(CountingNumpy):
    """NumPy whose conversions of scalars give counted numbers, of bytes too, and whose square roots count."""

    def __getattr__(self, name: str) -> Any:
        special = {"uint8": Counted, "sqrt": square_root, "float64": Counted}
        return special[name] if name in special else super().__getattr__(name)


class _Counting:
    """Runs kernels on counting arrays that lie over the true ones."""

    def __init__(self, encoder: TelemetryEncoder):
        self.tally = start()
        self._encoder = encoder
        self._inside = False
        self._kept: dict[int, tuple[np.ndarray, CountedArray]] = {}
        self.passing: dict[tuple[str, str], list[Memory]] = defaultdict(list)
        transforms = encoder._pending.transforms
        for kind, array in (*encoder._pending.frontend._asdict().items(), *encoder._tables._asdict().items()):
            self._keep(kind, array)
        self._keep("waves", transforms.waves)
        self._keep("cosines", transforms.cosines)
        self._keep("templates", encoder._pending._templates)

    def _keep(self, name: str, array: np.ndarray) -> None:
        self._kept[id(array)] = array, _over(array, name)

    def kernel(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same kernel, counted when Python calls it."""
        names = list(inspect.signature(function).parameters)

        def run(*arguments: Any) -> Any:
            if self._inside:
                return function(*arguments)
            self._inside, self.tally.step = True, self._encoder.frames
            try:
                with _replaced(*((module, "np", _Numpy()) for module in COMPUTING)):
                    where = f"{function.__module__}.{function.__name__}"
                    return function(*(self._count(where, *each) for each in zip(names, arguments, strict=True)))
            finally:
                self._inside = False

        return run

    def _count(self, where: str, name: str, value: Any) -> Any:
        if isinstance(value, tuple):
            where = type(value).__name__  # one coder for all kernels
            return type(value)(*(self._count(where, n, v) for n, v in value._asdict().items()))  # type: ignore[attr-defined]
        if isinstance(value, int | np.integer):
            return Counted(int(value))
        if not isinstance(value, np.ndarray):
            return value
        if id(value) in self._kept:
            return self._kept[id(value)][1]
        array = _over(value, name)
        if value.size > 1:  # single numbers, as of the coder, stay in registers
            self.passing[where, name].append(array.memory)
        return array

    @property
    def kept(self) -> list[Memory]:
        """Of arrays that stay."""
        return [array.memory for _, array in self._kept.values() if array.memory.name not in WIRED]


def _over(array: np.ndarray, name: str) -> CountedArray:
    return CountedArray(array, np.arange(array.size).reshape(array.shape), Memory(name, array))


def count(channels: int = CHANNELS, seconds: float = SECONDS) -> dict[str, Any]:
    """What telemetry of one sample takes, on average; in the form of `tools.count_operations.count`."""
    assert UNCOMPILED
    frames = int(seconds * RATE)
    usual = _run(simulate(frames, channels, RATE, seed=1))
    time = np.arange(RATE // 5)
    leaps = N1_VALUES[(time[:, None] // 8 + np.arange(2)) % 2 * 1023].astype(np.int16)
    return _summary(usual, _run(leaps).tally, frames, channels)


def _run(samples: np.ndarray) -> _Counting:
    channels = samples.shape[1]
    settings = Settings(budget=BUDGET * channels)
    encoder = TelemetryEncoder(channels, RATE, settings=settings, stream=0)
    counting = _Counting(encoder)
    changes = [(m, name, counting.kernel(getattr(m, name))) for m, names in CALLED.items() for name in names]
    filtering, tally = frontend._filter, counting.tally

    def _filter(state: Any, raw: Any, band: Any) -> None:
        tally.step = int(state.numbers.values[frontend.FRAMES]) + 1
        filtering(state, raw, band)

    with _replaced(*changes, (frontend, "_filter", _filter)):
        encoder.push(samples)
        encoder.close()
    return counting


def _summary(counting: _Counting, extreme: Tally, frames: int, channels: int) -> dict[str, Any]:
    samples = frames * channels
    memory = dict.fromkeys(("table", "weight", "state", "scratch"), 0)
    traffic: dict[str, float] = defaultdict(float)

    def add(kind: str, each: Memory) -> None:
        for way in ("reads", "writes", "fetched", "stored"):
            traffic[f"{kind} {way}"] += getattr(each, way) * each.item / samples

    for each in counting.kept:
        kept = each.kept() if each.writes else 0
        kind = "state" if kept else "scratch" if each.writes else "table"
        memory[kind] += -(-kept * each.item // channels) if kept else each.size * each.item
        add(kind, each)
    for passing in counting.passing.values():
        memory["scratch"] += max(each.size * each.item for each in passing)
        for each in passing:
            add("scratch", each)
    operations = {
        kind: {str(width): round(times / samples, 4) for width, times in widths.items() if times}
        for kind, widths in counting.tally.operations(extreme).items()
    }
    moved = {name: round(amount, 3) for name, amount in sorted(traffic.items()) if round(amount, 3)}
    return {"operations": operations, "bytes": moved, "memory": memory}


def count_apart(channels: int = CHANNELS, seconds: float = SECONDS) -> dict[str, Any]:
    """`count`, in a process of its own whose kernels are uncompiled."""
    out = subprocess.run(
        [sys.executable, "-m", "tools.count_telemetry", "-", str(channels), str(seconds)],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        check=True,
        stdout=subprocess.PIPE,
    )
    return dict(json.loads(out.stdout))


def main(out: str, channels: str = str(CHANNELS), seconds: str = str(SECONDS)) -> None:
    """Count; set the entry "telemetry" of the file `out`, or write that alone to standard output for "-"."""
    counts = (count if UNCOMPILED else count_apart)(int(channels), float(seconds))
    if out == "-":
        sys.stdout.write(json.dumps(counts, indent=1) + "\n")
    else:
        path = Path(out)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"telemetry": counts}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
