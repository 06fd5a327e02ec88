"""How figures of a training are formatted for people."""

from __future__ import annotations

from spikey.training.evaluate import Compressed, rates


def gain(bits: float, base: float) -> str:
    """A number of bits compared with another one.

    >>> gain(4.5, 5.0), gain(5.5, 5.0)
    ('10.00 % fewer than', '10.00 % more than')
    """
    return f"{abs(100 * (1 - bits / base)):.2f} % {'fewer' if bits <= base else 'more'} than"


def compression(compressed: list[Compressed]) -> str:
    """What the codec makes of the compressed recordings, as the rest of a sentence.

    >>> compression([Compressed("a.wav", samples=8, model=4, lpc=5)])
    '; one of them compresses to 4.0000, by lpc to 5.0000'
    >>> compression([])
    ''
    """
    if not compressed:
        return ""
    count = "one of them compresses" if len(compressed) == 1 else f"{len(compressed)} of them compress"
    own, plain = rates(compressed)
    return f"; {count} to {own:.4f}, by lpc to {plain:.4f}"


def duration(seconds: float) -> str:
    """A time in its unit.

    >>> duration(40), duration(1000), duration(100_000)
    ('40 seconds', '17 minutes', '27.8 hours')
    """
    if seconds < 100:
        return f"{max(round(seconds), 1)} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
