"""The comparison of stores as the tables of docs/results.md."""

from __future__ import annotations

from typing import Any

from spikey.base.errors import DataError

COLUMNS = {
    "ratio": "ratio",
    "write_million_samples_s": "write, million samples/s",
    "read_million_samples_s": "read",
    "second_ms": "one second of all channels, ms",
    "channel_ms": "one channel, ms",
    "everything_ms": "everything, one process, ms",
    "memory_mb": "memory, MB",
}
Row = dict[str, Any]


def reduced(answer: dict[str, Any]) -> dict[str, Any]:
    """What is kept of what `tools.stores --json` wrote."""
    if not isinstance(answer, dict) or not all("second_ms" in row for row in answer.get("rows", [{}])):
        raise DataError("is not what `python -m tools.stores --json` writes")
    return {name: answer[name] for name in ("command", "processor", "versions", "rows")}


def _cell(key: str, value: float) -> str:
    if key == "ratio":
        return f"{value:.4f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _table(rows: list[Row]) -> list[str]:
    lines = [f"| codec | {' | '.join(COLUMNS[key] for key in COLUMNS)} |", "|---|" + "---:|" * len(COLUMNS)]
    for row in rows:
        cells = [_cell(key, row[key]) for key in COLUMNS]
        if row["codec"].startswith("spikey"):
            cells[0] = f"**{cells[0]}**"
        lines.append(f"| {row['codec']} | {' | '.join(cells)} |")
    return lines


def full(run: dict[str, Any]) -> list[str]:
    """Every recording's table, and what they were made with."""
    versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
    lines = [f"`{run['command']}`; {run['processor']}; {versions}", ""]
    for name in dict.fromkeys(row["recording"] for row in run["rows"]):
        rows = [row for row in run["rows"] if row["recording"] == name]
        lines += [f"**{name}** (real time is {rows[0]['real_time_million_samples_s']:,} million samples/s)", ""]
        lines += [*_table(rows), ""]
    return lines
