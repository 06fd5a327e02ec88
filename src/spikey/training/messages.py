"""How a training's figures are said."""

from __future__ import annotations

from spikey.training.evaluate import Compressed


def gain(bits: float, base: float) -> str:
    """In words.

    >>> gain(4.5, 5.0), gain(5.5, 5.0)
    ('10.00 % fewer than', '10.00 % more than')
    """
    return f"{abs(100 * (1 - bits / base)):.2f} % {'fewer' if bits <= base else 'more'} than"


def rates(compressed: list[Compressed]) -> tuple[float, float]:
    """Bits per sample that the compressed recordings take with the model and by `realtime`."""
    samples = sum(found.samples for found in compressed)
    return 8 * sum(c.model for c in compressed) / samples, 8 * sum(c.realtime for c in compressed) / samples


def really(compressed: list[Compressed]) -> str:
    """In words, as the rest of a sentence."""
    if not compressed:
        return ""
    count = "one of them compresses" if len(compressed) == 1 else f"{len(compressed)} of them compress"
    own, plain = rates(compressed)
    return f"; {count} to {own:.4f}, by realtime to {plain:.4f}"


def duration(seconds: float) -> str:
    """For people.

    >>> duration(40), duration(1000), duration(100_000)
    ('40 seconds', '17 minutes', '27.8 hours')
    """
    if seconds < 100:
        return f"{max(round(seconds), 1)} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
