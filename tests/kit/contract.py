"""What the tests of predictors and densities share: all of each, signals to try them on, and one round trip.

`python -m kit.contract` prints the bytes of a few round trips; run without compilation, they must be the same.
"""

from __future__ import annotations

import sys

import numpy as np

from spikey.codec.adaptive.loop import run
from spikey.coding import mixed_symbols  # noqa: F401 - registers how mixtures are coded
from spikey.coding.range_coder import finish, range_decoder, range_encoder
from spikey.model.cross import crossed
from spikey.model.dense import dense
from spikey.model.density import Narrow, narrow, uniform_edges, wide
from spikey.model.learned import Learned, learned_predictor
from spikey.model.lms import lms
from spikey.model.lpc import SEGMENT, lpc
from spikey.model.mixture import mixed
from spikey.model.scale import scale
from spikey.model.stacked import LAGS, OTHERS, Prior, Stacked, network, stacked_predictor
from spikey.model.trained import Architecture, Model

NARROW_CODES = 300
WIDE_CODES = 50_000
EDGE_LENGTHS = [0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 95, 96, 97, 255, 256, 257, 479, 480, 481, 735, 736, 737]
PRIOR = np.array([5.2, 3.1, 0.4, -0.9, -0.6, -0.1, 0.2, 0.3, 0.1]) * 65536  # correlations of differences


def uneven_edges(codes, seed=0):
    """Edges of a converter whose code widths vary from 0.1 to 1.9 LSB."""
    widths = np.random.default_rng(seed).integers(6, 123, codes)
    return np.concatenate([[0], np.cumsum(widths)]) - 32


def with_lpc(lanes, steps, frames, codes):
    return lpc(16, lanes, steps, codes, prior=PRIOR.astype(np.int64), scale=320)


def with_lpc_direct(lanes, steps, frames, codes):
    return lpc(9, lanes, steps, codes, delta=False)


def with_lms(lanes, steps, frames, codes):
    return lms(lanes, steps, codes, prior=PRIOR.astype(np.int64), scale=320)


def with_lms_direct(lanes, steps, frames, codes):
    return lms(lanes, steps, codes, delta=False)


def with_crossed(lanes, steps, frames, codes):
    others = np.random.default_rng(8).integers(-900, 900, (2, frames)).astype(np.int32)
    return crossed(with_lpc(lanes, steps, frames, codes), list(others), frames, lanes)


def with_learned(lanes, steps, frames, codes):
    """A small network of small weights, so that predictions stay near those of its base."""
    built = Architecture("fixed_input_nn", alone=False, lags=2, hidden=4, layers=2)
    random = np.random.default_rng(5)
    tensors = {
        name: random.integers(-60, 61, shape).astype(np.int32 if name.endswith("bias") else np.int16)
        for name, shape in built.shapes().items()
    }
    network = dense(Model(built, tensors))
    return learned_predictor(built, network, steps, codes, [40] * lanes, prior=PRIOR.astype(np.int64))


PAIRS = np.array([[0, 31], [5, 5], [7, 2]])


def with_stacked(lanes, steps, frames, codes):
    """The archive's predictor with a prior of few products, so that it is quick without compilation too."""
    assert lanes == 1
    inputs = network().architecture.hidden + 2 + 2 * LAGS + OTHERS + len(PAIRS)
    mean = np.sin(np.arange(inputs)) / 32
    precision = np.eye(inputs) * 300 + np.outer(mean, mean)
    weights = Prior(mean, precision, PAIRS)
    return stacked_predictor(steps, codes, 40, prior_correlations=PRIOR.astype(np.int64), weights=weights)


PREDICTORS = {
    "lpc": with_lpc,
    "lms": with_lms,
    "crossed": with_crossed,
    "lpc direct": with_lpc_direct,
    "lms direct": with_lms_direct,
    "learned": with_learned,
    "max": with_stacked,
}
SIDE_BY_SIDE = {"max": 1}  # lanes at most
DENSITIES = {
    "narrow": (NARROW_CODES, narrow(uneven_edges(NARROW_CODES))),
    "wide": (WIDE_CODES, wide(WIDE_CODES)),
    "two": (2, narrow(uniform_edges(2))),
    "one": (1, narrow(uniform_edges(1))),
    "widest": (1 << 20, wide(1 << 20)),
}
# Every member of each kind at least once; each combination is compiled on its own.
COMBINATIONS = [
    ("lpc", "narrow"),
    ("lms", "narrow"),
    ("lms", "wide"),
    ("crossed", "narrow"),
    ("crossed", "wide"),
    ("learned", "narrow"),
    ("max", "narrow"),
]


def lanes_for(predictor, lanes):
    """As many lanes, or those that the predictor can have."""
    return min(lanes, SIDE_BY_SIDE.get(predictor, lanes))


def _coloured(random, frames, codes):
    noise = random.normal(size=frames + 3)
    smooth = noise[3:] + 1.5 * noise[2:-1] + noise[1:-2] + 0.3 * noise[:-3]
    return codes / 2 + smooth * min(codes / 20, 6) + codes / 8 * np.sin(np.arange(frames) / 40)


SIGNALS = {
    "constant": lambda random, frames, codes: np.full(frames, codes // 3),
    "lowest": lambda random, frames, codes: np.zeros(frames),
    "highest": lambda random, frames, codes: np.full(frames, codes),
    "alternating": lambda random, frames, codes: np.arange(frames) % 2 * codes,
    "square": lambda random, frames, codes: np.arange(frames) // 37 % 2 * codes,
    "white": lambda random, frames, codes: random.integers(0, codes, frames),
    "coloured": _coloured,
    "ramp": lambda random, frames, codes: np.arange(frames) * 7 % codes,
    "smooth then alternating": lambda random, frames, codes: np.where(
        np.arange(frames) < frames // 2,
        codes / 2 * (1 + np.sin(np.arange(frames) / 150)),
        np.arange(frames) % 2 * codes,
    ),
    "silence and shocks": lambda random, frames, codes: codes // 2 + (random.random(frames) < 0.01) * codes,
}


def signal(name, frames, codes, seed=0):
    """Codes int32 (frames,) of a kind of signal that fills an alphabet."""
    values = SIGNALS[name](np.random.default_rng(seed), frames, codes)
    return np.clip(np.rint(values), 0, codes - 1).astype(np.int32)


def _states(predictor, density, frames, lanes):
    codes, state = DENSITIES[density]
    model = PREDICTORS[predictor](lanes, -(-frames // lanes), frames, codes)
    if predictor == "max" and isinstance(state, Narrow):
        state = mixed(state)
    return model, state, model if isinstance(model, Learned | Stacked) else scale(lanes, codes, 40)


def encode(codes, predictor="lpc", density="narrow", lanes=1):
    """The streams of one channel of codes."""
    encoder = range_encoder(lanes, 8 * len(codes) + 64)
    before = codes.copy()
    run(encoder, *_states(predictor, density, len(codes), lanes), codes, SEGMENT)
    np.testing.assert_array_equal(codes, before)
    return finish(encoder)


def decode(streams, frames, predictor="lpc", density="narrow", lanes=1):
    """The codes of the streams of one channel."""
    codes = np.full(frames, -1, dtype=np.int32)
    run(range_decoder(streams), *_states(predictor, density, frames, lanes), codes, SEGMENT)
    return codes


def damage(streams, seed):
    """Streams that no encoder wrote: changed, cut short, lengthened, emptied or invented."""
    random = np.random.default_rng(seed)
    damaged = []
    for stream in streams:
        kind = random.integers(5)
        data = bytearray(stream)
        if kind == 0 and data:
            data[random.integers(len(data))] ^= 1 << random.integers(8)
        elif kind == 1:
            data = data[: random.integers(len(data) + 1)]
        elif kind == 2:
            data = bytearray(random.integers(0, 256, len(data) + 40, dtype=np.uint8).tobytes())
        elif kind == 3:
            data = bytearray(b"\xff" * (len(data) + 200))
        damaged.append(bytes(data) if kind < 4 else b"")
    return damaged


def witness(thorough):
    """Lines that describe what was coded to what; `thorough`: predictor max as long as others, which takes its time."""
    lines = []
    for predictor, density in COMBINATIONS:
        slow = predictor == "max" and not thorough
        for name in ("coloured", "square", "smooth then alternating")[: 1 if slow else 3]:
            frames = 40 if slow else 150
            codes, lanes = signal(name, frames, DENSITIES[density][0]), lanes_for(predictor, 2)
            streams = encode(codes, predictor, density, lanes)
            lines.append(f"{predictor} {density} {name} {' '.join(stream.hex() for stream in streams)}")
            wrong = damage(streams, len(lines))
            got = decode(wrong, frames, predictor, density, lanes)
            lines.append(f"damaged {got.tolist()}")
    return lines


def try_all(thorough):
    """Every predictor with every density, there and back and damaged; of max only where `thorough`."""
    names = list(SIGNALS)
    for predictor in PREDICTORS:
        if predictor == "max" and not thorough:
            continue
        lanes = lanes_for(predictor, 2)
        for density, (size, _) in DENSITIES.items():
            names.append(names.pop(0))
            codes = signal(names[0], 70, size)
            streams = encode(codes, predictor, density, lanes)
            np.testing.assert_array_equal(decode(streams, 70, predictor, density, lanes), codes)
            got = decode(damage(streams, len(names[0])), 70, predictor, density, lanes)
            assert got.min() >= 0 and got.max() < size


if __name__ == "__main__":
    try_all("thorough" in sys.argv)
    print("\n".join(witness("thorough" in sys.argv)))
