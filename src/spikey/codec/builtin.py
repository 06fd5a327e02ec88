"""The predictors and presets that come with the package.

Modules that look something up import `spikey.codec`, which imports this.
"""

from __future__ import annotations

from typing import Any

from spikey.codec.method import LPC, MOST_CHANNELS, MOST_REFERENCES, Method
from spikey.codec.registry import DEFAULT_PRESET, Candidate, Engine, Predictor, Preset, Start, Started, register

ORDER = 20  # of linear prediction
STARTING = 1 << 24  # multiplications that starting a channel of predictor max takes, about
WIDE = Method("wide", lanes=1, channels=MOST_CHANNELS)
BALANCED = Method("balanced", lanes=1, references=MOST_REFERENCES, channels=MOST_CHANNELS)
MAX = Method("max", lanes=1, references=MOST_REFERENCES, channels=MOST_CHANNELS)
FAST = Candidate(LPC.predictor, LPC.lanes, MOST_REFERENCES)
AT_ONCE = Candidate("wide", 1, 0)
BETWEEN = Candidate("interpolated", 1, 0)
GOOD = Candidate("balanced", 1, MOST_REFERENCES)
QUICK = Candidate("refined", 1, 4)
REFINED = Candidate("refined", 1, 8)


def _adaptive() -> Engine:
    from spikey.codec.adaptive import channels

    return channels


def _wide() -> Engine:
    from spikey.codec.wide import engine

    return engine


def _interpolated() -> Engine:
    from spikey.codec.interpolated import engine

    return engine


def _refined() -> Engine:
    from spikey.codec.refined import engine

    return engine


def _network() -> Engine:
    from spikey.codec.adaptive import networks

    return networks


def _options(channel: Start) -> dict[str, Any]:
    prior = None if channel.calibration is None else channel.calibration.prior
    return {"delta": channel.method.delta, "prior": prior}


def _finished(channel: Start, predictor: Any, scale: Any) -> Started:
    """The states, with the errors of other channels taken in where there are such."""
    from spikey.model.density import density_of

    density = density_of(channel.alphabet, channel.calibration)
    if channel.others is None:
        return Started(predictor, density, scale)
    from spikey.model.cross import crossed

    predictor = crossed(predictor, channel.others, channel.frames, channel.method.lanes)
    return Started(predictor, density, scale, predictor.residual)


def _steps(channel: Start) -> int:
    return -(-channel.frames // channel.method.lanes)


def _start_lpc(channel: Start) -> Started:
    from spikey.model.lpc import lpc
    from spikey.model.scale import deviation, scale

    lanes, alphabet, spread = channel.method.lanes, channel.alphabet, deviation(channel.initial)
    predictor = lpc(ORDER, lanes, _steps(channel), alphabet, scale=spread, **_options(channel))
    return _finished(channel, predictor, scale(lanes, alphabet, channel.initial))


def _start_balanced(channel: Start) -> Started:
    from spikey.model.balanced import balanced_predictor

    lanes, alphabet = channel.method.lanes, channel.alphabet
    predictor = balanced_predictor(lanes, _steps(channel), alphabet, channel.initial, **_options(channel))
    return _finished(channel, predictor, predictor)


def _start_max(channel: Start) -> Started:
    from spikey.coding import mixed_symbols
    from spikey.model.density import Narrow, density_of
    from spikey.model.mixture import mixed
    from spikey.model.stacked import stacked_predictor

    options = _options(channel)
    predictor = stacked_predictor(
        channel.frames,
        channel.alphabet,
        channel.initial,
        delta=options["delta"],
        prior_correlations=options["prior"],
        residuals=channel.others,
    )
    density = density_of(channel.alphabet, channel.calibration)
    if isinstance(density, Narrow):
        density = mixed(density)
        assert mixed_symbols  # which makes such densities known to the coder
    return Started(predictor, density, predictor, None if channel.others is None else predictor.inner.base.residual)


def _work_of_max(frames: int) -> int:
    from spikey.model.stacked import network

    return frames * network().architecture.weights + STARTING


def _nothing(method: Method) -> tuple[Candidate, ...]:
    return ()


def _between(method: Method) -> tuple[Candidate, ...]:
    return (BETWEEN,)


def _quick(method: Method) -> tuple[Candidate, ...]:
    return (AT_ONCE, BETWEEN, QUICK)


def _all(method: Method) -> tuple[Candidate, ...]:
    return (AT_ONCE, BETWEEN, QUICK, GOOD, REFINED)


def _those_fast_beside_it(method: Method) -> tuple[Candidate, ...]:
    recurrent = method.model is not None and method.model.architecture.type == "lstm"
    return (AT_ONCE, BETWEEN, FAST, GOOD) if recurrent else (AT_ONCE, BETWEEN, FAST)


_plain: dict[str, Any] = {"companions": False, "trained": False, "work": None, "few": False, "compared": _nothing}
_side_by_side: dict[str, Any] = _plain | {"engine": _adaptive, "lanes": 2}
_whole_blocks: dict[str, Any] = _plain | {"start": None, "lanes": 1}  # of engines with a payload syntax of their own

register(
    Predictor(
        name="lpc",
        number=1,
        about="linear prediction of order 20, its weights solved again every 1,024 samples",
        method=LPC,
        configured={"lpc": None},
        start=_start_lpc,
        **_side_by_side,
    )
)
register(
    Predictor(
        name="balanced",
        number=3,
        about="several linear predictors and scales combined by a small network",
        method=BALANCED,
        configured={},
        start=_start_balanced,
        **_side_by_side | {"few": True, "compared": _quick},
    )
)
register(
    Predictor(
        name="learned",
        number=4,
        about="a trained network, identified or contained in the file",
        method=None,
        configured={"lstm": "n1-lstm-small", "fixed_input_nn": "n1-fixed"},
        engine=_network,
        start=None,
        lanes=1,
        companions=False,
        trained=True,
        work=None,
        few=False,
        compared=_those_fast_beside_it,
    )
)
register(
    Predictor(
        name="max",
        number=6,
        about="a shipped network, other predictors and other channels combined by a regression",
        method=MAX,
        configured={},
        engine=_adaptive,
        start=_start_max,
        lanes=1,
        companions=True,
        trained=False,
        work=_work_of_max,
        few=True,
        compared=_all,
    )
)
register(
    Predictor(
        name="wide",
        number=7,
        about="least-squares weights, fitted to each block and stored, with neighbouring channels",
        method=WIDE,
        configured={"wide": None},
        engine=_wide,
        **_whole_blocks | {"compared": _between},
    )
)
register(
    Predictor(
        name="interpolated",
        number=8,
        about="interpolated frames, predicted by a filter from sampled ones, which the predictor wide codes",
        method=None,
        configured={},
        engine=_interpolated,
        **_whole_blocks,
    )
)
register(
    Predictor(
        name="refined",
        number=9,
        about="recursive least squares on the past and on other channels",
        method=None,
        configured={},
        engine=_refined,
        **_whole_blocks,
    )
)
register(
    Preset(
        name=DEFAULT_PRESET,
        rank=0,
        method=WIDE,
        about="stored weights, fitted to each second; neighbouring channels; vector instructions",
        use="the default: recording, sorting, reading",
        hours=(2, 8),
    )
)
register(
    Preset(
        name="balanced",
        rank=1,
        method=BALANCED,
        about="also recursive least squares on 4 earlier channels; with up to 4 channels, a small "
        "integer network that refines location and scale",
        use="copying and keeping",
        hours=(55, 80),
    )
)
register(
    Preset(
        name="max",
        rank=2,
        method=MAX,
        about="the same on 8 channels; with up to 4 channels, an LSTM, other predictors and other channels combined by "
        "an adaptive regression, and an adaptive mixture density",
        use="archives: the smallest files",
        hours=(180, 460),
    )
)
