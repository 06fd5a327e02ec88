"""Compile what most tests need, each kernel once: `python tests/kit/kernels.py PROCESSES`.

Processes that run tests compile what they meet, and two of them soon meet the same; here they share the work instead.
Kernels that are compiled already are only loaded, which takes a few seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

FRAMES = 300


def _block(predictor: str, kind: str) -> None:
    """Code a block and decode it: of one channel, of two that resemble each other, or of a large alphabet."""
    from kit.golden import ALONE, DENSE, LSTM, known_model
    from spikey.codec.decode import decode_block
    from spikey.codec.encode import encode_block
    from spikey.codec.method import MOST_REFERENCES, Method, learned
    from spikey.codec.payload import Lookup, Payload
    from spikey.model.calibration import n1
    from spikey.report.self_test import known_signal

    models = {"lstm": LSTM, "dense": DENSE, "alone": ALONE}
    model = known_model(models[predictor], down=9) if predictor in models else None
    method = Method(predictor, lanes=2 if predictor == "lpc" else 1, references=MOST_REFERENCES)
    if model is not None:
        method = learned(model)
    samples = known_signal(FRAMES).astype(np.int32)[:, : 2 if kind == "crossed" else 1]
    if kind == "wide":
        samples = samples * 65_521 + np.arange(FRAMES, dtype=np.int32)[:, None]
    payload = encode_block(samples, method, n1())
    if payload is not None:
        decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(n1, lambda: model))


def _groups(frames: int, calibrated: bool) -> None:
    """Code a block of the wide engine and decode it; longer ones have more lanes."""
    from spikey.codec.decode import decode_block
    from spikey.codec.encode import encode_block
    from spikey.codec.payload import Lookup, Payload
    from spikey.codec.registry import preset_method
    from spikey.model.calibration import n1
    from spikey.report.self_test import known_signal

    samples = known_signal(frames)
    payload = encode_block(samples, preset_method("fast"), n1() if calibrated else None)
    if payload is not None:
        decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(n1))


def _refined(calibrated: bool) -> None:
    """Code a block of the refined engine and decode it."""
    from kit.refined import SIGNALS, coded
    from spikey.codec.decode import decode_block
    from spikey.codec.payload import Lookup
    from spikey.model.calibration import n1

    payload = coded("n1_three" if calibrated else "spikes")
    assert decode_block(payload, Lookup(n1)).tobytes() == SIGNALS["n1_three" if calibrated else "spikes"].tobytes()


def _streams() -> None:
    from spikey.stream.prepare import prepare_receiving

    prepare_receiving()


def _telemetry() -> None:
    from spikey.telemetry.prepare import prepare

    prepare()


JOBS: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
    *((_groups, (frames, calibrated)) for frames in (FRAMES, 1 << 14) for calibrated in (False, True)),
    *((_block, ("max", kind)) for kind in ("crossed", "wide", "one")),
    *((_refined, (calibrated,)) for calibrated in (False, True)),
    (_telemetry, ()),
    (_streams, ()),
    *((_block, (predictor, "wide")) for predictor in ("lstm", "dense", "balanced", "lpc")),
    *((_block, (predictor, "crossed")) for predictor in ("balanced", "lpc")),
    *((_block, (predictor, "one")) for predictor in ("lstm", "dense", "alone", "balanced", "lpc")),
]


def run(number: int) -> None:
    do, arguments = JOBS[number]
    do(*arguments)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    with get_context("spawn").Pool(int(sys.argv[1])) as pool:
        for _ in pool.imap_unordered(run, range(len(JOBS))):
            pass
