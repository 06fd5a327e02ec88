"""A slower preset is never larger than a faster one: every block is coded with all that faster ones have."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest

from kit.refined import SIGNALS, noise, spikes
from kit.writing import write_file
from spikey.codec.cut import block_shape
from spikey.codec.decode import decode_block
from spikey.codec.encode import encode_block
from spikey.codec.method import FEW_CHANNELS, Method
from spikey.codec.payload import Payload, predictor_in
from spikey.codec.registry import PREDICTORS, PRESETS, ranked
from spikey.recording.layout import Layout
from spikey.recording.readable import ArraySource


def size_of(samples: np.ndarray, preset: str) -> int:
    out = io.BytesIO()
    write_file(ArraySource(samples, 1000), out, PRESETS[preset].method)
    return out.tell()


@pytest.mark.parametrize("name", ["one", "spikes", "few_frames", "shocks", "constant", "floats", "many", "blocks"])
def test_files_of_slower_presets_are_never_larger(name):
    more = {"many": noise(300, 21, 4).astype(np.int16), "blocks": np.tile(noise(900, 2, 5), (20, 1)).astype(np.int16)}
    samples = SIGNALS[name] if name in SIGNALS else more[name]
    sizes = [size_of(samples, preset) for preset in ranked()]
    assert sizes == sorted(sizes, reverse=True)


def test_all_presets_cut_recordings_alike():
    for channels in (1, 2, 16, 17, 384, 5000):
        shapes = {block_shape(Layout(channels, 30_000, "int16"), 1 << 21, PRESETS[name].method) for name in ranked()}
        assert len(shapes) == 1


def test_what_faster_presets_compare_slower_ones_do_too():
    named = [PREDICTORS[PRESETS[name].method.predictor] for name in ranked()]
    for faster, slower in pairwise(named):
        candidates = slower.compared(PRESETS["max"].method)
        assert set(faster.compared(PRESETS["max"].method)) <= set(candidates)
        if faster.method is not None and not faster.few:
            assert faster.name in [candidate.predictor for candidate in candidates]


def test_many_channels_are_refined():
    payload = encode_block(spikes(), Method("refined", lanes=1, references=8))
    assert payload is not None and predictor_in(payload) == "refined"
    few, out = PRESETS["max"].method, io.BytesIO()
    write_file(ArraySource(spikes(), 1000), out, few)
    assert PREDICTORS[few.predictor].few and spikes().shape[1] > FEW_CHANNELS
    assert len(out.getvalue()) <= len(payload) + 100


def test_other_channels_make_a_channel_smaller():
    """Neighbours' samples and, in spikes, neighbours' errors."""
    samples, method = spikes(), Method("refined", lanes=1, references=8)
    alone = sum(len(encode_block(samples[:, k : k + 1], method) or b"") for k in range(7))
    together = encode_block(samples, method)
    assert together is not None and len(together) < 0.9 * alone
    assert (decode_block(Payload(together, *samples.shape, samples.dtype)) == samples).all()
