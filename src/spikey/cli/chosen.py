"""Summaries of what was chosen for each channel of a block: a list of all channels would fill pages."""

from __future__ import annotations

from collections import Counter
from typing import Any

SHOWN = 12  # channels whose order of coding is listed
BY_CHANNEL = ("orders", "scale_rates", "shapes")


def summarise(facts: dict[str, Any]) -> None:
    """Put summaries in place of lists that have an entry for each channel.

    >>> facts = {"groups": [[2, 0, 1]], "orders": [16, 16, 8], "references": [[2], [2], []]}
    >>> summarise(facts)
    >>> facts
    {'groups': '1, of 3 channels: 2 0 1', 'orders': '16 (2 channels), 8 (1)', 'references': '1 (2 channels), 0 (1)'}
    """
    files = facts.get("restored_files")
    if isinstance(files, list) and len(files) > 1:
        facts["restored_files"] = f"{len(files):,}: {files[0]} to {files[-1]}"
    groups = facts.get("groups")
    if isinstance(groups, list):
        facts["groups"] = _groups(groups)
    if isinstance(facts.get("constant"), list):
        facts["constant"] = len(facts["constant"])
    for key in BY_CHANNEL:
        if isinstance(facts.get(key), list):
            facts[key] = _counted(map(_word, facts[key]))
    if isinstance(facts.get("interpolated"), list):
        facts["interpolated"] = len(facts["interpolated"])
    if isinstance(facts.get("phases"), list):
        facts["phases"] = _phases(facts["phases"])
    if isinstance(facts.get("taps"), list):
        facts["taps"] = "; ".join(map(_taps, facts["taps"]))
    if isinstance(facts.get("references"), list):
        facts["references"] = _counted(str(len(one)) for one in facts["references"])


def _groups(groups: list[list[int]]) -> str:
    order = [channel for group in groups for channel in group]
    size = max(map(len, groups))
    some = " ".join(map(str, order[:SHOWN])) + (" ..." if len(order) > SHOWN else "")
    return f"{len(groups)}, of {'up to ' * (len(groups) > 1)}{size} channel{'s' * (size > 1)}: {some}"


def _phases(runs: list[dict[str, int]]) -> str:
    """Where sampled frames lie."""
    some = [f"{run['phase']} from frame {run['first']:,}" if run["first"] else str(run["phase"]) for run in runs]
    return ", ".join(some[:SHOWN]) + (", ..." if len(some) > SHOWN else "")


def _taps(taps: list[float]) -> str:
    """Those near the middle."""
    beyond = max(len(taps) - SHOWN, 0) // 2
    some = " ".join(f"{tap:.4f}" for tap in taps[beyond : len(taps) - beyond])
    return f"... {some} ..." if beyond else some


def _word(value: object) -> str:
    if isinstance(value, list):
        return " and ".join(f"1/{1 / rate:.0f}" for rate in value)
    return str(value)


def _counted(words: Any) -> str:
    """Each word with the number of its channels, the most frequent one first."""
    (first, count), *others = Counter(words).most_common()
    rest = "".join(f", {word} ({number})" for word, number in others)
    return f"{first} ({count} channel{'s' * (count > 1)}){rest}"
