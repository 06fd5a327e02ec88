"""Tables of text on standard output, numbers to the right."""

from __future__ import annotations

import typer


def show_table(heads: list[str], rows: list[list[str]]) -> None:
    """Columns as wide as they need to be; those whose entries are all numbers, or empty, are set to the right."""
    columns = list(zip(heads, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(not cell or cell[-1].isdigit() for cell in column[1:]) and bool(rows) for column in columns]
    right[0] = False
    for row in [heads, *rows]:
        cells = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)]
        typer.echo("  ".join(cells).rstrip())
