"""`spikey models`."""

from __future__ import annotations

import json
from typing import Any

import typer

from spikey.cli import options


def command(as_json: options.AsJson = False) -> None:
    """List the trained models.

    These are the models that come with this version, those in the folders of the variable SPIKEY_MODELS, and those in
    ./models.

    Examples
    --------
    spikey models
    spikey compress a.wav --model n1-fixed
    """
    from dataclasses import asdict

    from spikey.base.errors import DataError
    from spikey.model.trained import listed

    rows: list[dict[str, Any]] = []
    for path, model in listed():
        if isinstance(model, DataError):
            rows.append({"file": str(path), "problem": str(model)})
        else:
            facts = {"name": model.name, "id": model.id.hex(), "file": str(path), "bytes": len(model.file)}
            rows.append(facts | {"architecture": asdict(model.architecture), "metadata": model.metadata})
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        if "problem" in row:
            typer.echo(f"{'(unusable)':20}{row['problem']}")
            continue
        built = row["architecture"]
        sees = "the signal alone" if built["alone"] else "errors, changes and running scales"
        size = f"{built['layers']} x {built['hidden']}"
        typer.echo(f"{row['name']:20}{row['id']}  {built['type']:15}{size:9}{row['bytes']:>9,} bytes  inputs: {sees}")
    if not rows:
        typer.echo("no models; train one with `spikey train`")
