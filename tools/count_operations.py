"""What encoding costs: operations, memory traffic and memory per sample, counted while the codec's own kernels run.

`python -m tools.count_operations OUT.json` makes the file that `spikey budget` reads. One channel of a
simulated recording is encoded by the uncompiled kernels, on numbers and arrays that count (`tools.opcount`),
in whole segments, so that the averages are those of a stream that has long been running.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spikey.codec.adaptive import loop
from spikey.codec.builtin import ORDER
from spikey.codec.survey import initial_scale
from spikey.coding.range_coder import range_encoder
from spikey.levels.n1 import N1_VALUES
from spikey.levels.registry import find_levels
from spikey.model import balanced as ensemble
from spikey.model import dense, lstm, network
from spikey.model.balanced import balanced_predictor
from spikey.model.calibration import n1
from spikey.model.density import density_of
from spikey.model.learned import learned_predictor, network_of
from spikey.model.lpc import SEGMENT, lpc
from spikey.model.scale import deviation, scale
from spikey.model.trained import Architecture, Model
from spikey.recording.simulate import simulate
from spikey.report.counted import NETWORKS
from tools.opcount import CountingNumpy, Memory, Tally, quick_dot, start, wrapped

PREDICTORS = ("lpc", "balanced", *NETWORKS)
UNCOMPILED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
COUNTED = ("spikey.model.", "spikey.coding.", "spikey.codec.", "spikey.base.jit")  # modules
WEIGHTS = ("first", "rest", "second", "direct", "bias", "head_inputs", "head_units", "head_bias")
LARGEST_WEIGHT = 200  # of a network that stands for a trained one, 1/512


def untrained(architecture: Architecture) -> Model:
    """A model of random weights: what it costs does not hang on them."""
    rng = np.random.default_rng(0)
    tensors = {
        name: np.zeros(shape, dtype=np.int32)
        if name.endswith("bias")
        else rng.integers(-LARGEST_WEIGHT, LARGEST_WEIGHT, shape).astype(np.int16)
        for name, shape in architecture.shapes().items()
    }
    return Model(architecture, tensors)


def _states(predictor: str, frames: int, codes: np.ndarray) -> tuple[Any, Any]:
    """Predictor and running scale of one channel; no vector is padded."""
    size, initial = n1().alphabet, initial_scale(codes)
    options: dict[str, Any] = {"prior": n1().prior}
    with _replaced((network, "VECTOR", 1), (ensemble, "ROOM", ensemble.INPUTS)):
        if predictor in NETWORKS:
            model = untrained(NETWORKS[predictor])
            state: Any = learned_predictor(model.architecture, network_of(model, 1), frames, size, [initial], **options)
            return state, state
        if predictor == "balanced":
            columns = slice(0, ensemble.INPUTS)
            weights = {n: w[:, columns] if n in ("first", "direct") else w for n, w in ensemble.network().items()}
            state = balanced_predictor(1, frames, size, initial, weights=weights, **options)
            return state, state
    options["scale"] = deviation(initial)
    return lpc(ORDER, 1, frames, size, **options), scale(1, size, initial)


@contextmanager
def _replaced(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Give attributes of modules other values for a while."""
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def count(predictor: str, segments: int, quick: bool = True) -> dict[str, Any]:
    """What encoding one sample takes, on average over `segments` of `SEGMENT` samples; kernels must be uncompiled.

    operations: times by kind and width; a signal that leaps from rail to rail fits into the widths as well.
    bytes: read and written, by kind of memory; fetched and stored, where registers hold values for the length of a
    sample. memory: bytes of each channel's state, and of tables, weights and scratch, which channels share.
    quick: count the sums of a network's rows at once.
    """
    assert UNCOMPILED
    usual = _run(predictor, simulate(segments * SEGMENT, seed=1)[:, 0], quick)
    extreme = _run(predictor, _extreme(), quick)
    return _summary(usual, extreme, segments * SEGMENT)


def _extreme() -> np.ndarray:
    """A signal of large weights, then of large changes: a sine, then leaps between the converter's rails."""
    time = np.arange(SEGMENT)
    swing = np.rint(511.5 + 511.5 * np.sin(2 * np.pi * time / 40)).astype(np.int64)
    return N1_VALUES[np.concatenate([swing, time // 8 % 2 * 1023])]


def _run(predictor: str, values: np.ndarray, quick: bool) -> Tally:
    """Encode samples of one channel."""
    codes = find_levels(values).to_codes(values)[0].astype(np.int32)
    predicting, running = _states(predictor, len(codes), codes)
    encoder = range_encoder(1, 4 * len(codes) + 64)
    tally = start()
    states = [wrapped(state) for state in (encoder, predicting, density_of(n1().alphabet, n1()))]
    states.append(states[1] if running is predicting else wrapped(running))
    original = loop.prepare  # type: ignore[attr-defined]

    def prepare(state: Any, at: int) -> None:
        tally.step = at
        original(state, at)

    changes: list[tuple[Any, str, Any]] = [(loop, "prepare", prepare)]
    if quick:
        changes += [(module, "dot", quick_dot) for module in (dense, lstm)]
    for name, module in list(sys.modules.items()):
        if (
            name.startswith(("spikey.model.", "spikey.coding.", "spikey.codec.", "spikey.base.jit"))
            and getattr(module, "np", None) is np
        ):
            changes.append((module, "np", CountingNumpy()))
    with _replaced(*changes):
        loop.run_rows(*states, codes[None], np.array([len(codes)]), SEGMENT, SEGMENT)
    return tally


def _summary(tally: Tally, extreme: Tally, samples: int) -> dict[str, Any]:
    traffic: dict[str, float] = defaultdict(float)
    memory = dict.fromkeys(("table", "weight", "state", "scratch"), 0)
    for each in tally.memories:
        kind, size = _kind(each)
        if kind is None:
            continue
        memory[kind] += size
        for way in ("reads", "writes", "fetched", "stored"):
            traffic[f"{kind} {way}"] += getattr(each, way) * each.item / samples
    operations = {
        kind: {str(width): round(times / samples, 4) for width, times in widths.items() if times}
        for kind, widths in tally.operations(extreme).items()
    }
    bytes_moved = {name: round(amount, 3) for name, amount in sorted(traffic.items()) if amount}
    return {"operations": operations, "bytes": bytes_moved, "memory": memory}


def _kind(memory: Memory) -> tuple[str | None, int]:
    """The kind of memory that an array needs, and bytes of it; None for what is wired or never touched."""
    if memory.name == "out":  # the stream, which leaves at once
        return "scratch", 0
    if memory.writes == 0:
        if memory.reads == 0 or memory.size == 1:
            return None, 0
        return "weight" if memory.name in WEIGHTS else "table", memory.size * memory.item
    kept = memory.kept()
    if kept:
        return "state", kept * memory.item
    return "scratch", memory.size * memory.item


def count_all(segments: int, predictors: list[str]) -> dict[str, Any]:
    """`count` of each predictor, by its name, in a process of its own."""
    command = [sys.executable, "-m", "tools.count_operations", "-", str(segments)]
    out = subprocess.run(
        [*command, ",".join(predictors)],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        check=True,
        stdout=subprocess.PIPE,
    )
    return dict(json.loads(out.stdout))


def main(out: str, segments: str = "2", predictors: str = ",".join(PREDICTORS)) -> None:
    """Count and write JSON to the file `out`, or to standard output for "-"."""
    names = predictors.split(",")
    counted = {name: count(name, int(segments)) for name in names} if UNCOMPILED else count_all(int(segments), names)
    text = json.dumps(counted, indent=1) + "\n"
    if out == "-":
        sys.stdout.write(text)
    else:
        Path(out).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
