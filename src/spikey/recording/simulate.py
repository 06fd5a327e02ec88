"""Simulated recordings: noise, spikes and field potentials as an implant's converter would deliver them.

    white noise -> AR(1) ----.
    1/f field potential -----+--> analog, in codes --> ADC (DNL, rails) --> 16-bit samples
    spikes, mains, artifacts-'

The numbers follow the recordings of the Neuralink compression challenge: a spectrum that falls by a factor of 50
from DC to Nyquist as AR(1) noise does, field potentials below 100 Hz that double the power, an innovation of 4 to 7.5
codes. Nothing is copied from them: the ADC's pattern of code widths is artificial.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikey.base.errors import UsageError

Floats = NDArray[np.float64]

_CODES = 1024  # of a 10-bit converter
_AR = 0.75  # pole of the background noise at the challenge's 19,531 Hz
_AR_RATE = 19_531.0
_FIELD_CORNER = 28.0  # Hz; the field potential falls as 1/f^2 above it
_HIGH_PASS = 2.0  # Hz; the amplifier passes no DC
_REFRACTORY = 2e-3  # s
_TROUGH = 0.3e-3  # s, from where a spike begins


class Spikes(NamedTuple):
    """The spikes of a channel's own units: frames float64 (n,), ascending, of their troughs; units int64 (n,), from 0.

    What a channel sees of its neighbours' units is not among them.
    """

    frames: Floats
    units: NDArray[np.int64]


@dataclass(frozen=True)
class _Profile:
    rate: float  # Hz
    field_sd: float  # codes
    centre: int  # code of 0 V
    uneven: bool  # code widths of the N1 kind
    codes: int = _CODES
    noise_sd: float = 5.5  # codes
    step: int = 3  # between the samples of neighbouring codes, where they are even


_PROFILES = {
    "n1": _Profile(rate=19_531.0, field_sd=13.0, centre=525, uneven=True),
    "neuropixels": _Profile(rate=30_000.0, field_sd=2.0, centre=512, uneven=False),
    "openephys": _Profile(rate=30_000.0, field_sd=2.0, centre=512, uneven=False, step=12),
    "intan": _Profile(rate=30_000.0, field_sd=100.0, centre=32_768, uneven=False, codes=65_536, noise_sd=25.0, step=1),
}


def rate_of(profile: str) -> float:
    """The usual sampling rate in Hz of a profile; UsageError where there is no such profile."""
    if profile not in _PROFILES:
        raise UsageError(f"the profile of a simulation must be one of {', '.join(_PROFILES)}, not {profile!r}")
    return _PROFILES[profile].rate


def simulate(
    frames: int = 98_304,
    channels: int = 1,
    rate: float | None = None,
    seed: int = 0,
    *,
    profile: str = "n1",
    spikes_per_second: float = 10.0,
    noise_sd: float | None = None,
    field_sd: float | None = None,
    mains_hz: float = 50.0,
    mains_amplitude: float = 0.3,
    correlation: float = 0.3,
    step: int | None = None,
    artifacts: bool = False,
    rails: bool = False,
    spikes_into: list[Spikes] | None = None,
) -> NDArray[np.int16]:
    """Make an int16 recording of shape (frames, channels), C-contiguous.

    The same arguments give the same samples with the same release of NumPy on the same kind of processor. A channel
    does not depend on how many follow it. Besides the result, about 120 bytes per frame are needed, for any number of
    channels.

    frames, channels: the shape; 0 frames are allowed.
    rate: Hz; by default that of the profile, 19,531 for `n1` and 30,000 for the others.
    seed: any integer from 0.
    profile: `n1`, 10-bit codes with DNL, rescaled to 16 bits as trunc(code / 1023 * 65535 - 32768);
        `neuropixels` or `openephys`, even 10-bit codes of which a sample is `step` times the distance from the middle;
        `intan`, even 16-bit codes likewise.
    spikes_per_second: of all units of a channel together, 0 to 200.
    noise_sd: codes, by default 5.5, or 25 for `intan`; standard deviation of the white noise that drives the
        background. The residual of a linear predictor is about 15 % more: field potentials, spikes and the DNL
        add to it.
    field_sd: codes; standard deviation of the local field potential, by default 13 (`n1`), 100 (`intan`) or 2.
    mains_hz, mains_amplitude: Hz and codes, of the line noise that all channels share.
    correlation: from 0 to below 1, of the noise of neighbouring channels; falls exponentially with their distance.
    step: by default 3 (`neuropixels`), 12 (`openephys`) or 1 (`intan`); nothing to `n1`.
    artifacts: add rare steps of hundreds of codes that decay within 20 ms.
    rails: add a slow drift that drives the converter into both rails.
    spikes_into: a list to which the spikes of every channel are added, which changes no sample.

    Raises UsageError for arguments outside these ranges.

    >>> samples = simulate(frames=1000, channels=2, seed=7)
    >>> samples.shape, samples.dtype, bool((samples == simulate(1000, 2, seed=7)).all())
    ((1000, 2), dtype('int16'), True)
    >>> int(np.gcd.reduce(simulate(1000, profile="neuropixels"), axis=None))
    3
    """
    usual_rate = rate_of(profile)
    kind = _PROFILES[profile]
    rate = usual_rate if rate is None else rate
    noise_sd = kind.noise_sd if noise_sd is None else noise_sd
    step = kind.step if step is None else step
    field_sd = kind.field_sd if field_sd is None else field_sd
    for name, value, low, high in [
        ("frames", frames, 0, 2**40),
        ("channels", channels, 1, 65_536),
        ("rate", rate, 1000, 1e9),
        ("seed", seed, 0, 2**128),
        ("spikes_per_second", spikes_per_second, 0, 200),
        ("noise_sd", noise_sd, 0, 1e6),
        ("field_sd", field_sd, 0, 1e6),
        ("mains_hz", mains_hz, 0, 1e9),
        ("mains_amplitude", mains_amplitude, 0, 1e6),
        ("correlation", correlation, 0, 1 - 1e-9),
        ("step", step, 1, 64),
    ]:
        if not low <= value <= high:
            raise UsageError(f"{name} of a simulation must lie from {low:g} to {high:g}, not {value}")

    samples = np.empty((frames, channels), np.int16)
    if frames == 0:
        return samples
    shared_source, *_ = sources = np.random.SeedSequence(seed).spawn(channels + 1)
    shared_rng = _generator(shared_source)
    phase = shared_rng.uniform(0, 2 * np.pi)
    shared = kind.centre + mains_amplitude * np.sin(2 * np.pi * mains_hz / rate * np.arange(frames) + phase)
    if artifacts:
        shared += _artifacts(shared_rng, frames, rate)
    if rails:
        shared += 0.7 * kind.codes * np.sin(2 * np.pi * 1.5 / frames * np.arange(frames))

    noise = _background(sources[1:], frames, rate, noise_sd, field_sd, correlation)
    edges = adc_edges() if kind.uneven else np.arange(kind.codes + 1.0)
    spikes: Floats = np.zeros(frames)
    for channel, (rng, analog) in enumerate(noise):
        # Spikes fade along the probe like everything else, so that neighbours see the same ones, smaller.
        spikes *= correlation
        known = _add_spikes(spikes, rng, rate, spikes_per_second, noise_sd)
        if spikes_into is not None:
            spikes_into.append(known)
        analog += spikes
        analog += shared
        codes = np.searchsorted(edges[1:-1], analog, side="right")
        if kind.uneven:
            samples[:, channel] = np.trunc(codes / (_CODES - 1) * 65535 - 32768)
        else:
            samples[:, channel] = step * (codes - kind.codes // 2)
    return samples


def adc_edges() -> Floats:
    """Edges of the simulated converter's codes: 1,025 positions, in codes; code c covers edges[c] to edges[c + 1].

    Widths lie from 0.6 to 1.9 in a pattern of period 32 that averages 1; codes 510 and 511 are almost missing.

    >>> widths = np.diff(adc_edges())
    >>> bool(np.allclose(widths[:32], widths[32:64])), round(float(widths[:32].mean()), 9), widths[510:512].round(2)
    (True, 1.0, array([0.1 , 0.01]))
    """
    rng = _generator(np.random.SeedSequence(32))
    pattern = np.clip(np.exp(rng.normal(0, 0.3, 32)), 0.65, 1.8)
    widths = np.tile(pattern / pattern.mean(), _CODES // 32)
    widths[510:512] = 0.1, 0.01
    return np.concatenate([[0.0], np.cumsum(widths)])


def _generator(source: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(source))


def _background(
    sources: list[np.random.SeedSequence],
    frames: int,
    rate: float,
    noise_sd: float,
    field_sd: float,
    correlation: float,
) -> Iterator[tuple[np.random.Generator, Floats]]:
    """Noise and field potential of one channel after the other, in codes, and the channel's random numbers.

    Shaped in the frequency domain: Gaussian spectra that follow their neighbour's as an AR(1) process over channels,
    which makes the correlation fall exponentially, times the square root of the wanted power.
    """
    length = _fast_length(frames)
    frequency = np.fft.rfftfreq(length, 1 / rate)
    passed = frequency**2 / (frequency**2 + _HIGH_PASS**2)
    # The pole moves with the rate: it stands for the bandwidth of an amplifier.
    pole = _AR ** (_AR_RATE / rate)
    noise_shape = noise_sd * np.sqrt(length * passed) / np.abs(1 - pole * np.exp(-2j * np.pi * frequency / rate))
    field_power = passed / (1 + (frequency / _FIELD_CORNER) ** 2)
    field_shape = field_sd * length * np.sqrt(field_power / max(2 * field_power.sum(), 1e-30))

    noise = field = np.zeros(frequency.size, np.complex128)
    # The field potential comes from far away and reaches further along the probe.
    noise_kept, field_kept = correlation, correlation**0.25
    for number, source in enumerate(sources):
        rng = _generator(source)
        noise_new, field_new = (np.sqrt(1 - kept**2) if number else 1.0 for kept in (noise_kept, field_kept))
        noise = noise_kept * noise + noise_new * _white(rng, frequency.size)
        field = field_kept * field + field_new * _white(rng, frequency.size)
        yield rng, np.fft.irfft(noise_shape * noise + field_shape * field, length)[:frames]


def _fast_length(frames: int) -> int:
    """The next length whose prime factors are small, at most a quarter above `frames` (from 64 on)."""
    granule = 1 << max(frames.bit_length() - 4, 4)
    return -(-frames // granule) * granule


def _white(rng: np.random.Generator, size: int) -> NDArray[np.complex128]:
    """Complex Gaussian numbers of mean square 1: the spectrum of white noise."""
    return rng.normal(0, np.sqrt(0.5), 2 * size).view(np.complex128)


def _add_spikes(
    trace: Floats, rng: np.random.Generator, rate: float, spikes_per_second: float, noise_sd: float
) -> Spikes:
    """Add, in place, one to four units that fire at random: a trough 3 to 9 times the noise's sd deep, then a hump."""
    units = int(rng.integers(1, 5))
    background_sd = noise_sd / np.sqrt(1 - _AR**2)
    shares = rng.dirichlet(np.ones(units)) * spikes_per_second
    time = np.arange(np.ceil(1.5e-3 * rate)) / rate  # a template lasts 1.5 ms
    troughs, numbers = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for unit, share in enumerate(shares):
        depth = rng.uniform(3, 9) * background_sd
        width = rng.uniform(0.08e-3, 0.15e-3)
        hump = rng.uniform(0.2, 0.5)
        onsets = _poisson(rng, share, trace.size / rate) * rate
        first = np.ceil(onsets).astype(np.int64)
        # Spikes begin between samples: each is computed at its own offset.
        shifted = time + ((first - onsets) / rate)[:, None]
        shape = hump * np.exp(-(((shifted - 0.7e-3) / (2.5 * width)) ** 2)) - np.exp(
            -(((shifted - _TROUGH) / width) ** 2)
        )
        position = first[:, None] + np.arange(time.size)
        inside = position < trace.size
        np.add.at(trace, position[inside], depth * shape[inside])
        troughs.append(onsets + _TROUGH * rate)
        numbers.append(np.full(onsets.size, unit))
    when, whose = np.concatenate(troughs), np.concatenate(numbers)
    order = np.argsort(when, kind="stable")
    order = order[when[order] < trace.size]
    return Spikes(when[order], whose[order])


def _poisson(rng: np.random.Generator, spikes_per_second: float, duration: float) -> Floats:
    """Times in s, within `duration`, of a Poisson process in which no two are closer than the refractory time."""
    # One in ten thousand such units would fire at all: silence is near enough, and divides by nothing.
    if spikes_per_second * duration < 1e-4:
        return np.zeros(0)
    mean = 1 / spikes_per_second
    count = int(duration / mean + 8 * np.sqrt(duration / mean) + 16)
    times = np.cumsum(_REFRACTORY + rng.exponential(mean - _REFRACTORY, count))
    return times[times < duration]


def _artifacts(rng: np.random.Generator, frames: int, rate: float) -> Floats:
    """One step of 200 to 450 codes, either way, and one more every 5 s on average; each decays within 20 ms."""
    trace: Floats = np.zeros(frames)
    decay = np.exp(-np.arange(int(0.1 * rate)) / (0.02 * rate))
    for start in rng.integers(0, frames, 1 + rng.poisson(0.2 * frames / rate)):
        piece = trace[start : start + decay.size]
        piece += rng.choice([-1, 1]) * rng.uniform(200, 450) * decay[: piece.size]
    return trace
